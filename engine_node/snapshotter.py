"""The process that writes snapshots: a replica beside the engine, on another CPU, at low priority.

    journal ──▶ Replica ── every N records or S seconds ──▶ <sequence>-<digest>.snap ──▶ loaded again ──▶ older ones go

It reads only what is both released and on disk: a snapshot must never know more than a journal that lost its power.
A snapshot that does not load again as the state it was made from is removed at once and ends the process with an error:
that is a bug, and no start may depend on it.

The engine starts it (`python -m engine_node snapshotter`) and starts it again if it dies; it ends with the engine.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import FrameType
from typing import Final

from engine_node import _engine, machine
from engine_node.errors import EngineNodeError, SnapshotError, SnapshotUnsound
from engine_node.logs import Log
from engine_node.replica import Replica, read_mark
from engine_node.settings import Settings
from engine_node.snapshots import Snapshot, load_snapshot, prune, write_snapshot

__all__ = ["Snapshotter", "run", "save_verified"]

POLL_S: Final = 0.05
NO_EVENTS: Final = 0


def save_verified(
    directory: Path, source: _engine.Core | _engine.Engine, options: Mapping[str, int]
) -> tuple[Snapshot, int]:
    """Write a snapshot of that state, load it again, compare. Returns it and its size in bytes.

    Raises SnapshotError (it could not be written), SnapshotUnsound (it is not what it was made from, and is removed).
    """
    data = source.save()
    snapshot = write_snapshot(directory, data, sequence=source.sequence(), digest=source.digest())
    try:
        load_snapshot(snapshot, options)
    except SnapshotError as error:
        snapshot.path.unlink(missing_ok=True)
        raise SnapshotUnsound(error.message, detail=error.detail, hint="a bug: please report it") from error
    return snapshot, len(data)


class Snapshotter:
    """Decides when a snapshot is due and writes it. `advance` is one turn; the time is handed in."""

    def __init__(
        self, settings: Settings, replica: Replica, log: Log, *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self.replica = replica
        self.log = log
        self._now_s = now_s
        self._last_sequence = replica.core.sequence()
        self._last_s = now_s()

    def advance(self) -> bool:
        """Apply what there is, write a snapshot if one is due. Returns whether anything was applied.

        Raises SnapshotUnsound for one that does not load again; a full disk is logged and tried again later.
        """
        limit = min(self.replica.reader.released(), self.replica.reader.durable())
        step = self.replica.step(limit)
        if self._due():
            self._write()
        return step is not None

    def _due(self) -> bool:
        records = self.replica.core.sequence() - self._last_sequence
        by_records = 0 < self.settings.snapshot_interval_records <= records
        waited_s = self._now_s() - self._last_s
        return by_records or (records > 0 and 0 < self.settings.snapshot_interval_s <= waited_s)

    def _write(self) -> None:
        core = self.replica.core
        began_s = self._now_s()
        self._last_sequence, self._last_s = core.sequence(), began_s
        try:
            snapshot, size = save_verified(self.settings.snapshot_path, core, core.options())
        except SnapshotUnsound:
            raise
        except SnapshotError as error:
            self.log.error("snapshot_failed", error)
            return
        mark = read_mark(self.settings.data_path)
        gone = prune(self.settings.snapshot_path, self.settings.snapshot_keep_count, mark)
        self.log.info(
            "snapshot_written",
            file=snapshot.path.name,
            bytes=size,
            seconds=round(self._now_s() - began_s, 3),
            removed=len(gone),
        )


def run(settings: Settings, log: Log, parent: int | None = None, cpus: Collection[int] = ()) -> int:
    """The process's body: follow until SIGTERM or SIGINT. Returns the exit code."""
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if parent is not None:
        machine.die_with_parent(parent)
    if cpus:
        os.sched_setaffinity(0, cpus)  # or the engine's own would be inherited
    machine.lower_priority()
    try:
        with Replica.open(settings.data_path, event_mask=NO_EVENTS) as replica:
            _tell_start(log, replica)
            snapshotter = Snapshotter(settings, replica, log)
            while not stopping:
                if not snapshotter.advance():
                    time.sleep(POLL_S)
            log.info("snapshotter_stopped", sequence=replica.core.sequence())
    except (EngineNodeError, _engine.EngineError) as error:
        log.error("snapshotter_failed", error)
        return 1
    return 0


def _tell_start(log: Log, replica: Replica) -> None:
    for bad in replica.bad:
        log.warning("snapshot_bad", file=bad.path.name, **bad.why)
    log.info(
        "snapshotter_started",
        snapshot=replica.snapshot.path.name if replica.snapshot else "",
        sequence=replica.core.sequence(),
        released=replica.limit(),
    )
