"""A replica: the same core, applied to the same journal, in another process.

    <data>/snapshots/ newest good ──▶ Core ◀── apply ── JournalReader ◀── <data>/journal/ (the engine goes on writing)

It asks the engine for nothing and so cannot slow it down. It applies only records that are released: what a replica
shows has passed the survival level that acknowledgements have passed.

    with Replica.open("./.ironbook") as replica:
        replica.catch_up()
        print(replica.core.levels(1, 1))
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from engine_node import _engine
from engine_node.errors import ReplicaError
from engine_node.snapshots import BadSnapshot, Snapshot, list_snapshots, newest_good

__all__ = ["JOURNAL_DIRECTORY", "SNAPSHOT_DIRECTORY", "Replica", "Step", "first_kept", "read_mark", "write_mark"]

JOURNAL_DIRECTORY: Final = "journal"
SNAPSHOT_DIRECTORY: Final = "snapshots"
MARK_NAME: Final = "published.mark"  # in the data directory: 20 digits
RECORD_BYTES: Final = 64
ROOM_RECORDS: Final = 4096
POLL_S_MIN: Final = 0.001
POLL_S_MAX: Final = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What one read brought: whole groups of records, and the events they made (96 bytes each)."""

    first_sequence: int  # of the first record
    records: bytes
    events: bytes


class Replica:
    """A core that follows a journal. Belongs to one thread. Made by `open`.

    core      ask it anything that Core answers; it changes only in step, catch_up and follow.
    snapshot  where the state began; None: at the journal's beginning.
    bad       snapshots that were passed over, and why.
    """

    def __init__(
        self,
        core: _engine.Core,
        reader: _engine.JournalReader,
        *,
        snapshot: Snapshot | None = None,
        bad: tuple[BadSnapshot, ...] = (),
    ) -> None:
        self.core = core
        self.reader = reader
        self.snapshot = snapshot
        self.bad = bad
        self._held = b""  # a prefix whose group has not come whole yet

    @classmethod
    def open(
        cls,
        data_directory: Path | str,
        *,
        event_mask: int = _engine.EVENTS_ALL,
        use_snapshot: bool = True,
        before: int | None = None,
    ) -> Replica:
        """The newest good snapshot, and a reader behind it. Nothing is replayed yet.

        event_mask   which events `step` hands out.
        use_snapshot False replays the journal from its beginning: the proof of a snapshot, slower.
        before       a sequence that the snapshot must not be behind: for the state as it was then.
        Raises ReplicaError (no journal there), _engine.JournalError (one that cannot be read).
        """
        journal = Path(data_directory) / JOURNAL_DIRECTORY
        snapshots = Path(data_directory) / SNAPSHOT_DIRECTORY
        with _open_reader(journal, first_kept(journal)) as probe:
            options = probe.core_options() | {"event_mask": event_mask}
        bad: list[BadSnapshot] = []
        if use_snapshot and list_snapshots(snapshots):
            for found in newest_good(snapshots, options, before=before):
                if isinstance(found, BadSnapshot):
                    bad.append(found)
                    continue
                snapshot, _, core = found
                reader = _open_reader(journal, snapshot.sequence + 1)
                return cls(core, reader, snapshot=snapshot, bad=tuple(bad))
        return cls(_engine.Core(**options), _open_reader(journal, 1), bad=tuple(bad))

    def limit(self) -> int:
        """How far it may read: the last released sequence."""
        return self.reader.released()

    def step(self, limit: int | None = None, room: int = ROOM_RECORDS) -> Step | None:
        """Apply up to `room` further records, none behind `limit` (default: released). None: there is nothing yet.

        Raises _engine.JournalError (a damaged record), _engine.CoreDiverged (this state is not the engine's),
        ReplicaError (a record that cannot stand where it stands).
        """
        records = self._held + self.reader.next(room, self.limit() if limit is None else limit)
        whole = self.core.group_bytes(records) if records else 0
        if whole == 0:
            self._held = records
            return None
        first = self.core.sequence() + 1
        self._held = records[whole:]
        taken = records[:whole] if self._held else records
        try:
            events = self.core.apply(taken)
        except (_engine.CoreRecord, _engine.CoreFull) as error:
            raise ReplicaError(
                f"every record of the journal must apply: {error}",
                detail=f"sequence {self.core.sequence() + 1}",
                hint="verify the journal (ironbook journal verify); it and this release may not belong together",
            ) from error
        return Step(first, taken, events)

    def catch_up(self, limit: int | None = None, each: Callable[[Step], None] | None = None) -> int:
        """Apply all that is there now, up to `limit` (default: released now). Returns how many records were applied."""
        target = self.limit() if limit is None else limit
        before = self.core.sequence()
        while self.core.sequence() < target and (step := self.step(target)) is not None:
            if each is not None:
                each(step)
        return self.core.sequence() - before

    def follow(self, stop: Callable[[], bool], sleep: Callable[[float], None] = time.sleep) -> Iterator[Step]:
        """Each step as it comes, until `stop` says so. Between them it sleeps, longer while nothing happens."""
        wait_s = POLL_S_MIN
        while not stop():
            step = self.step()
            if step is None:
                sleep(wait_s)
                wait_s = min(2 * wait_s, POLL_S_MAX)
                continue
            wait_s = POLL_S_MIN
            yield step

    def close(self) -> None:
        """Give the journal back. The core can still be asked."""
        self.reader.close()

    def __enter__(self) -> Replica:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def first_kept(journal: Path) -> int:
    """The first sequence of the oldest segment, from its name; 1 if there is none."""
    names = sorted(path.stem for path in journal.glob("*.jnl") if path.stem.isdigit())
    return int(names[0]) if names else 1


def write_mark(data: Path, sequence: int) -> None:
    """By the publisher: it will never again begin before this sequence. So a snapshot at or before it must stay.

    A disk that refuses does no harm: the mark of before is lower.
    """
    beside = data / f".{MARK_NAME}.{os.getpid()}"
    with contextlib.suppress(OSError):
        beside.write_text(f"{sequence:020d}\n")
        beside.rename(data / MARK_NAME)


def read_mark(data: Path) -> int | None:
    """What the publisher wrote last; None: nothing, or nothing that can be read."""
    try:
        text = (data / MARK_NAME).read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if len(text) == 21 and text[:20].isdecimal() and text[20] == "\n" else None


def _open_reader(journal: Path, from_sequence: int) -> _engine.JournalReader:
    if not journal.is_dir():
        raise ReplicaError(
            "a journal must be there to be followed, is not",
            detail=str(journal),
            hint="name the engine's data directory (python -m engine_node run makes it)",
        )
    return _engine.JournalReader(str(journal), from_sequence)
