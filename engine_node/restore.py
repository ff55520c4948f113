"""Rebuild a journal from copies of its records: how a lost machine comes back from its journal topic.

    batches (first sequence, records) ──▶ no gap? the chain whole? ──▶ journal.restoring/ ── whole ──▶ journal/

The directory gets its name only when everything is in it and on disk, so an attempt that was cut short is never taken
for a journal. A start then replays it like any other, and every digest record in it is compared on the way.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from engine_node import _engine
from engine_node.errors import RestoreError

__all__ = ["Restored", "write_journal"]

RECORD_BYTES: Final = 64
SUFFIX: Final = ".restoring"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was written."""

    directory: Path
    last_sequence: int
    repeated_records: int  # came more than once, the same each time


def write_journal(
    directory: Path,
    shard: int,
    batches: Iterable[tuple[int, bytes]],
    *,
    segment_records: int,
    core_options: Mapping[str, int],
) -> Restored:
    """Write a journal of these records, from sequence 1 on, into `directory`, which must not hold one.

    batches       (first sequence, records of 64 bytes each), rising; what comes again must be the same.
    core_options  the capacities that replicas of it begin with; a start of the engine puts its own there.

    All of it counts as shipped, for that is where it came from. Raises RestoreError: a gap, a record that is not the
    next of the chain, no record at all, a journal that is there already; _engine.EngineError: the disk, an option.
    """
    if directory.exists() and any(directory.iterdir()):
        raise RestoreError(
            "a journal must be restored where none is, and something is there",
            detail=str(directory),
            hint="move it away, or name another data_directory",
        )
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    building = directory.with_name(directory.name + SUFFIX)
    if building.exists():
        shutil.rmtree(building)  # an attempt that was cut short
    building.mkdir(mode=0o700)
    writer = _engine.JournalWriter(
        str(building), shard=shard, segment_records=segment_records, core_options=core_options
    )
    try:
        repeated = sum(_append(writer, building, first, bytes(records)) for first, records in batches)
        last = writer.last()
    finally:
        writer.close()
    if last == 0:
        raise RestoreError("there must be records to restore a journal from, there were none", detail=str(directory))
    with _engine.JournalReader(str(building)) as reader:
        reader.ship(last)
    _name(building, directory)
    return Restored(directory=directory, last_sequence=last, repeated_records=repeated)


def _append(writer: _engine.JournalWriter, building: Path, first: int, records: bytes) -> int:
    """Append what is new of a batch; how many of its records were there already."""
    count, last = len(records) // RECORD_BYTES, writer.last()
    where = f"batch of sequences {first} to {first + count - 1}"
    if len(records) % RECORD_BYTES or count == 0:
        raise RestoreError(
            f"a batch must hold whole records of {RECORD_BYTES} bytes, was of {len(records)} bytes",
            detail=f"batch from sequence {first}",
        )
    if not 1 <= first <= last + 1:
        raise RestoreError(
            f"the next record must be sequence {last + 1}, was {first}",
            detail=where,
            hint="bring the records between from the archive (--archive): a journal is restored from sequence 1 on",
        )
    known = min(last + 1 - first, count)
    if known and _written(building, first, known) != records[: known * RECORD_BYTES]:
        raise RestoreError(
            "a record that comes again must be the same, one was not",
            detail=where,
            hint="two engines wrote to this topic: find the last record that both have, and restore up to there",
        )
    try:
        writer.append(records[known * RECORD_BYTES :])
    except _engine.JournalError as error:
        raise RestoreError(str(error), detail=where, hint=error.hint) from error
    return known


def _written(building: Path, first: int, count: int) -> bytes:
    found = b""
    with _engine.JournalReader(str(building), first) as reader:
        while len(found) < count * RECORD_BYTES:
            found += reader.next(count - len(found) // RECORD_BYTES)
    return found


def _name(building: Path, directory: Path) -> None:
    if directory.exists():
        directory.rmdir()
    building.rename(directory)
    parent = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
