"""The archive of a journal: raw records in objects, each vouched for by a manifest that vouches for the one before it.

    journal/00000/<first>-<last>.records.gz ◀── manifest/<last>.json ──previous──▶ manifest/<last before>.json ──▶ …
                                                      ▲ sha256
                                                 manifest.json (the head: replaced by conditional puts)

layout      keys, manifests, what an object must be; pure
stores      where it lies: S3, or a directory that holds a copy
reading     manifests from the head back, objects from the first on, each checked
statements  what a replica's ledger says at the end of a day, and arrival prices
replay      the archive through a core: digests, checkpoints, days

Formats: schemas/archive.md. Who writes it: functions/archiver. Why: docs/guides/archive.md.
"""
