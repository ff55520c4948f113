"""An archive read: manifests from the head back, objects from the first on; what does not fit is named.

head(store, shard) ──▶ entries(store, shard, head) ──▶ records(store, entry, crc of the one before)
"""

from __future__ import annotations

from typing import Final

from ironbook._errors import ArchiveInvalid
from ironbook.archive.layout import (
    OBJECT_RECORDS_MAX,
    Entry,
    FindBreak,
    Head,
    check_records,
    head_key,
    last_crc,
    manifest_key,
    object_key,
    object_of,
    parse_entry,
    parse_head,
    received_ns,
    sha256,
    unpack,
)
from ironbook.archive.stores import Found, Store

__all__ = ["check_end", "check_names", "entries", "entry_at", "newest", "read_head", "records_of"]

OBJECTS_MAX: Final = 1 << 22
_VERSIONS = "bring its last good version back: the bucket keeps them"


def read_head(store: Store, shard: int) -> tuple[Head, str | None]:
    """The head and its tag; an empty one and None where the archive has not begun. Raises ArchiveInvalid."""
    key = head_key(shard)
    found = store.get(key)
    if found is None:
        orphan = next(store.keys(f"journal/{shard:05d}/"), None)
        if orphan is None:
            return Head(shard=shard), None
        found = store.get(key)  # an archiver may have begun meanwhile
        if found is None:
            raise ArchiveInvalid(
                "an archive with objects must have a head, has none",
                detail=f"{store.place}{key}; the first object there is {orphan}",
                hint=_VERSIONS,
            )
    return parse_head(found.data, shard, store.place + key), found.tag


def entry_at(store: Store, shard: int, key: str, digest: str | None, vouched_by: str) -> Entry:
    """The manifest of that key, which must have that digest. Raises ArchiveInvalid."""
    found = store.get(key)
    if found is None:
        raise ArchiveInvalid(
            "each manifest must be there, one is missing",
            detail=f"{store.place}{key}, named by {vouched_by}",
            hint=_VERSIONS,
        )
    if sha256(found.data) != digest:
        raise ArchiveInvalid(
            f"a manifest must have the digest {digest}, has {sha256(found.data)}",
            detail=f"{store.place}{key}, named by {vouched_by}",
            hint=_VERSIONS,
        )
    return parse_entry(found.data, shard, key)


def newest(store: Store, head: Head) -> Entry | None:
    """The entry that the head names; None: there is none."""
    if head.head is None:
        return None
    return entry_at(store, head.shard, head.head, head.sha256, head_key(head.shard))


def entries(store: Store, head: Head, above: int = 0) -> list[Entry]:
    """All entries whose records go beyond `above`, oldest first. Raises ArchiveInvalid: the chain is broken."""
    found: list[Entry] = []
    entry = newest(store, head)
    while entry is not None and entry.last_sequence > above:
        found.append(entry)
        if len(found) > OBJECTS_MAX:
            raise ArchiveInvalid(f"an archive must have at most {OBJECTS_MAX} objects", detail=store.place)
        before = entry.previous
        entry = entry_at(store, head.shard, before, entry.previous_sha256, entry.manifest) if before else None
    if above == 0 and len(found) != head.objects_count:
        raise ArchiveInvalid(
            f"the head must count the objects that there are, {len(found)}; it says {head.objects_count}",
            detail=store.place + head_key(head.shard),
            hint=_VERSIONS,
        )
    return found[::-1]


def records_of(store: Store, entry: Entry, previous_crc: int, find_break: FindBreak) -> bytes:
    """The raw records of an entry's object, each digest and the chain checked. Raises ArchiveInvalid."""
    where = store.place + entry.key
    found = store.get(entry.key)
    if found is None:
        raise ArchiveInvalid(
            "each object of a manifest must be there, one is missing",
            detail=f"{where}, sequences {entry.first_sequence} to {entry.last_sequence}",
            hint=_VERSIONS,
        )
    _check_stored(found, entry, where)
    records = unpack(found.data, entry.records_count, where)
    check_records(records, entry.first_sequence, previous_crc, find_break, where)
    said = (entry.records_sha256, entry.first_received_ns, entry.last_received_ns, entry.crc32c)
    if (sha256(records), received_ns(records, 0), received_ns(records, -1), last_crc(records)) != said:
        raise ArchiveInvalid(
            "a manifest must tell of its object's records what they are, does not",
            detail=f"{store.place}{entry.manifest}, sequences {entry.first_sequence} to {entry.last_sequence}",
            hint=_VERSIONS,
        )
    return records


def _check_stored(found: Found, entry: Entry, where: str) -> None:
    if sha256(found.data) == entry.sha256 and len(found.data) == entry.bytes:
        return
    broken = ""
    try:
        unpack(found.data, entry.records_count, where)
    except ArchiveInvalid as error:
        broken = f"; {error.message}"
    raise ArchiveInvalid(
        f"an object must be of {entry.bytes} bytes with digest {entry.sha256}, "
        f"is of {len(found.data)} with {sha256(found.data)}{broken}",
        detail=f"{where}, sequences {entry.first_sequence} to {entry.last_sequence}",
        hint=_VERSIONS,
    )


def check_end(store: Store, head: Head) -> Entry | None:
    """What a writer must know before it goes on: the newest entry, its object's presence, and nothing behind the head.

    An object or a manifest behind the head that the head does not have as pending means that the head was rolled back,
    or that somebody else writes there. Raises ArchiveInvalid.
    """
    entry = newest(store, head)
    if entry is not None:
        stored = store.size(entry.key)
        if stored != entry.bytes:
            was = "is missing" if stored is None else f"is of {stored}"
            raise ArchiveInvalid(
                f"the newest manifest's object must be of {entry.bytes} bytes, {was}",
                detail=f"{store.place}{entry.key}, sequences {entry.first_sequence} to {entry.last_sequence}",
                hint=_VERSIONS,
            )
    folder = f"journal/{head.shard:05d}/"
    for key in store.keys(folder, f"{folder}{head.last_sequence + 1:020d}"):
        if object_of(key) is None:
            break  # objects come first in the order of keys
        _must_be_known(store, head, key)
    for key in store.keys(f"{folder}manifest/", manifest_key(head.shard, head.last_sequence)):
        _must_be_known(store, head, key)
    return entry


def check_names(store: Store, head: Head, above: int = 0) -> None:
    """By the listing alone, without reading anything: no object and no manifest up to the head is missing.

    What a replay that resumes does not read can be gone all the same.
    above  only those that have records behind it: what an archive of years lists each time must not grow with it
    Raises ArchiveInvalid, which names the key.
    """
    folder = f"journal/{head.shard:05d}/"
    manifests = set(store.keys(f"{folder}manifest/", manifest_key(head.shard, above)))
    begins = max(0, above + 1 - OBJECT_RECORDS_MAX)  # no object that goes beyond `above` begins before it
    place = 0 if begins == 0 else None
    for key in store.keys(folder, f"{folder}{begins:020d}"):
        named = object_of(key)
        if named is None:
            break  # objects come first in the order of keys
        if named[1] > head.last_sequence:
            break
        if place is None:
            place = min(named[1] - 1, above)
        if named[1] != place + 1:
            raise _missing(store, f"{folder}{place + 1:020d}-….records.gz", f"the next object is {key}")
        place = named[2]
        if place > above and manifest_key(head.shard, place) not in manifests:
            raise _missing(store, manifest_key(head.shard, place), f"its object is {key}")
    if place != head.last_sequence:
        begins = (above if place is None else place) + 1
        raise _missing(store, f"{folder}{begins:020d}-….records.gz", f"the head ends at {head.last_sequence}")


def _missing(store: Store, key: str, beside: str) -> ArchiveInvalid:
    return ArchiveInvalid(
        "each object and manifest up to the head must be there, one is missing",
        detail=f"{store.place}{key}; {beside}",
        hint=_VERSIONS,
    )


def _must_be_known(store: Store, head: Head, key: str) -> None:
    """The head knows of it; or the one that is there by now, for an archiver may have gone on since it was read."""
    if _knows(head, key) or _knows(read_head(store, head.shard)[0], key):
        return
    raise ArchiveInvalid(
        f"nothing must be behind the head's sequence {head.last_sequence}, {key} is",
        detail=f"{store.place}{head_key(head.shard)}",
        hint="the head was rolled back, or something else writes there: bring the head's last version back",
    )


def _knows(head: Head, key: str) -> bool:
    """Is this object or manifest up to the head's end, or what is being written?"""
    if head.pending is not None and key in (
        object_key(head.shard, *head.pending), manifest_key(head.shard, head.pending[1])
    ):  # fmt: skip
        return True
    named = object_of(key)
    return key <= manifest_key(head.shard, head.last_sequence) if named is None else named[2] <= head.last_sequence
