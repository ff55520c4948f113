"""What runs now and then, and nobody keeps running: AWS Lambda functions, one folder each.

reporting   a day's reports, from PostgreSQL and the archive, to S3
rotation    secrets that change themselves
archiver    the journal topic, to S3
verifier    replays the archive and compares digests (a container image)
canary      places and cancels a signed order, and says how long that took
common      settings, AWS clients, errors and logs of them all
"""
