"""What the engine node may forget: segments that are archived, that no start needs, and that no reader has open.

    archive's newest manifest ─┐
    newest good snapshots ─────┼─▶ the least of these, minus keep ──▶ floor: whole segments below it go, oldest first
    publisher's mark ──────────┘                                             └─ but none at or behind one that is mapped

The archive must be this journal's: its last record is compared with ours, and the chain vouches for all before it; each
object over what is to go must be there. Snapshots are published first, so that whoever begins elsewhere can.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from engine_node import _engine
from engine_node.replica import JOURNAL_DIRECTORY, SNAPSHOT_DIRECTORY, read_mark
from engine_node.snapshots import BadSnapshot, Snapshot, newest_good, prune, write_snapshot
from ironbook._errors import ArchiveInvalid, JournalInvalid
from ironbook.archive.layout import Entry, last_crc, snapshot_key, snapshot_of, snapshots_prefix
from ironbook.archive.reading import entries, newest, read_head
from ironbook.archive.replay import SCALES, capacities
from ironbook.archive.stores import Store

__all__ = ["Retention", "any_published", "fetch_snapshot", "retain", "shard_of"]

STATE_NAME: Final = "journal.state"
STATE: Final = struct.Struct("<8sIIQ")  # magic, version, level, shard: schemas/wire/journal.md
KEEP_SNAPSHOTS: Final = 2  # a start must find a good one though the newest proves bad


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What was found, what was done or (dry_run) would be."""

    shard: int
    archived_sequence: int
    bounds: dict[str, int]  # the last sequence that each lets go, 0: none
    floor_sequence: int
    first_sequence: int  # of the journal, before
    removed: tuple[str, ...]  # segments
    kept_for_readers: tuple[str, ...]  # below the floor, but open
    published: tuple[str, ...]  # keys of snapshots
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        """For people and programs."""
        return dataclasses.asdict(self)


def shard_of(journal: Path) -> int:
    """Whose journal it is. Raises JournalInvalid."""
    try:
        magic, _, _, shard = STATE.unpack((journal / STATE_NAME).read_bytes()[: STATE.size])
    except (OSError, struct.error) as error:
        raise JournalInvalid(
            f"a journal must have its shared page: {error}", detail=str(journal / STATE_NAME)
        ) from None
    if magic != b"IRONJST1":
        raise JournalInvalid(f"a shared page must begin with IRONJST1, was {magic!r}", detail=str(journal / STATE_NAME))
    return int(shard)


def retain(data: Path, store: Store, *, keep_records: int, dry_run: bool, lock_days: int = 0) -> Retention:
    """Publish the newest good snapshots, then remove segments. Raises ArchiveInvalid, JournalInvalid, ServiceFailed.

    lock_days  for so long published snapshots are locked, where the bucket would lock them for years; 0: as it says.
    """
    journal = data / JOURNAL_DIRECTORY
    shard = shard_of(journal)
    head, _ = read_head(store, shard)
    last = newest(store, head)
    segments = _segments(journal)
    if last is not None:
        _must_be_ours(journal, segments, last, store)
    good = _good_snapshots(data, segments)
    published = tuple(_publish(store, shard, good, dry_run, lock_days))
    bounds = {
        "archive": 0 if last is None else last.last_sequence,
        "snapshots": good[KEEP_SNAPSHOTS - 1][0].sequence if len(good) >= KEEP_SNAPSHOTS else 0,
        "publisher": _publisher_bound(data),
    }
    floor = max(0, min(bounds.values()) - keep_records)
    old = [first for first, after in itertools.pairwise(segments) if after <= floor + 1]
    open_from = _lowest_mapped(journal, segments)
    gone = [first for first in old if first < open_from]
    if gone and last is not None:
        _must_be_stored(store, entries(store, head, gone[0] - 1), segments[segments.index(gone[-1]) + 1] - 1)
    if not dry_run:
        _remove(journal, gone)
    return Retention(
        shard=shard,
        archived_sequence=bounds["archive"],
        bounds=bounds,
        floor_sequence=floor,
        first_sequence=segments[0] if segments else 1,
        removed=tuple(map(_name, gone)),
        kept_for_readers=tuple(_name(first) for first in old if first >= open_from),
        published=published,
        dry_run=dry_run,
    )


def _segments(journal: Path) -> list[int]:
    return sorted(int(path.stem) for path in journal.glob("*.jnl") if len(path.stem) == 20 and path.stem.isdecimal())


def _name(first: int) -> str:
    return f"{first:020d}.jnl"


def _must_be_ours(journal: Path, segments: list[int], last: Entry, store: Store) -> None:
    where = f"{store.place}{last.manifest}; {journal}"
    with _engine.JournalReader(str(journal), max(segments[0] if segments else 1, last.last_sequence)) as reader:
        if last.last_sequence > reader.written() or last.last_sequence < (segments[0] if segments else 1):
            raise ArchiveInvalid(
                f"the archive must end within the journal, sequences {segments[0] if segments else 1} to "
                f"{reader.written()}, ends at {last.last_sequence}",
                detail=where,
                hint="another journal's archive? One that lost its end is restored: python -m engine_node restore",
            )
        record = reader.next(1)
    if last_crc(record) != last.crc32c:
        raise ArchiveInvalid(
            f"archive and journal must be of one history, record {last.last_sequence} differs",
            detail=where,
            hint="is it this shard's bucket? Was the engine begun anew? Nothing was removed",
        )


def _must_be_stored(store: Store, found: list[Entry], upto: int) -> None:
    """Every object over the records that are to go is there, in its size."""
    for entry in found:
        if entry.first_sequence > upto:
            return
        if store.size(entry.key) != entry.bytes:
            raise ArchiveInvalid(
                f"an object must be there with {entry.bytes} bytes before its records are removed here",
                detail=f"{store.place}{entry.key}, sequences {entry.first_sequence} to {entry.last_sequence}",
                hint="bring its last version back, or archive it anew from this journal; nothing was removed",
            )


def _good_snapshots(data: Path, segments: list[int]) -> list[tuple[Snapshot, bytes]]:
    """The newest ones that load and that the journal goes on from, at most KEEP_SNAPSHOTS; newest first."""
    found: list[tuple[Snapshot, bytes]] = []
    with _engine.JournalReader(str(data / JOURNAL_DIRECTORY), 1 << 62) as reader:
        options, durable = reader.core_options(), reader.durable()
    before: int | None = None
    while len(found) < KEEP_SNAPSHOTS:
        good = None
        for one in newest_good(data / SNAPSHOT_DIRECTORY, options, sequence_max=durable, before=before):
            good = None if isinstance(one, BadSnapshot) else one
        if good is None or good[0].sequence < (segments[0] if segments else 1) - 1:
            break
        found.append((good[0], good[1]))
        before = good[0].sequence - 1
    return found


def _publish(
    store: Store, shard: int, good: Iterable[tuple[Snapshot, bytes]], dry_run: bool, lock_days: int
) -> Iterable[str]:
    for snapshot, content in good:
        key = snapshot_key(shard, snapshot.sequence, snapshot.digest)
        if store.size(key) is None:
            if not dry_run:
                store.put(key, content, None, lock_days=lock_days)
            yield key


def _publisher_bound(data: Path) -> int:
    """What the publisher does not need: it begins at the newest good snapshot that is not behind its mark."""
    mark = read_mark(data)
    if mark is None:
        return 0
    with _engine.JournalReader(str(data / JOURNAL_DIRECTORY), 1 << 62) as reader:
        options = reader.core_options()
    for one in newest_good(data / SNAPSHOT_DIRECTORY, options, before=mark):
        if not isinstance(one, BadSnapshot):
            return one[0].sequence
    return 0


def _lowest_mapped(journal: Path, segments: list[int]) -> int:
    """The oldest segment that a process has mapped: its reader needs it and all behind it. Of processes that this user
    may look at: those that can read the journal run as its owner."""
    lowest = segments[-1] if segments else 1
    prefix = f"{journal.resolve()}/"
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            text = maps.read_text()
        except OSError:
            continue
        if prefix not in text:
            continue
        for line in text.splitlines():
            name = line.rpartition(prefix)[2] if prefix in line else ""
            if name.endswith(".jnl") and name[:20].isdecimal():
                lowest = min(lowest, int(name[:20]))
    return lowest


def _remove(journal: Path, gone: list[int]) -> None:
    """Oldest first, so that what is left after a crash is without a gap."""
    if not gone:
        return
    for first in gone:
        (journal / _name(first)).unlink(missing_ok=True)
    opened = os.open(journal, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


# ---- Elsewhere -------------------------------------------------------------------------------------------------------


def any_published(store: Store, shard: int) -> bool:
    """Is a snapshot there, good or bad? As long as there is none, the topic is not trimmed: it has every record."""
    return any(snapshot_of(key) is not None for key in store.keys(snapshots_prefix(shard)))


def fetch_snapshot(store: Store, shard: int, directory: Path, *, keep_count: int = KEEP_SNAPSHOTS) -> Path:
    """Copy the newest good published snapshot to a directory, and remove all but the newest few there.

    A snapshot counts if a core loads it and is what its name says. Raises ArchiveInvalid: there is none.
    """
    wrong = ""
    for key in sorted(store.keys(snapshots_prefix(shard)), reverse=True):
        named = snapshot_of(key)
        if named is None:
            continue
        _, sequence, digest = named
        path = directory / Path(key).name
        if not path.exists():
            found = store.get(key)
            why = "it is missing" if found is None else _unsound(found.data, sequence, digest)
            if found is None or why:
                wrong = wrong or f"; {store.place}{key}: {why}"
                continue
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_snapshot(directory, found.data, sequence=sequence, digest=digest)
        prune(directory, keep_count)
        return path
    raise ArchiveInvalid(
        "there must be a good published snapshot, is none",
        detail=f"{store.place}{snapshots_prefix(shard)}{wrong}",
        hint="the engine node publishes them: ironbook journal retain (ironbook-retention.timer)",
    )


def _unsound(content: bytes, sequence: int, digest: int) -> str:
    """Why it is not what its name says; "" if it is."""
    why = ""
    for scale in SCALES:
        try:
            core = _engine.Core.load(content, **capacities(scale))
        except _engine.EngineError as error:
            why = str(error)
            continue
        told = f"{core.sequence()}-{core.digest():016x}"
        return "" if (core.sequence(), core.digest()) == (sequence, digest) else f"it holds {told}"
    return why
