"""Where a mirror's records come from: a core to begin with, then the records behind it.

    LocalSource   <data>/snapshots, <data>/journal of an engine on this machine; only what is released
    TopicSource   a directory of snapshots, and journal.<shard> (gateway/topic_source.py)

A source is opened, read until it fails, closed, and opened again: whoever uses it begins anew with the core it gives.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from engine_node import _engine
from engine_node.errors import EngineNodeError
from engine_node.replica import JOURNAL_DIRECTORY, SNAPSHOT_DIRECTORY, Replica, first_kept
from engine_node.snapshots import list_snapshots
from gateway.settings import GatewaySettings
from gateway.topic_source import REPLAY_MAX, TopicSource, kafka_security

__all__ = ["SOURCE_TROUBLE", "LocalSource", "Source", "open_source"]

SOURCE_TROUBLE: Final = (EngineNodeError, _engine.EngineError, OSError)  # what opening it again may mend


class Source(Protocol):
    """Records in order, whole or in parts of groups."""

    arrived: Callable[[], object] | None  # called when there is more, by a source that knows

    async def open(self, before: int | None, *, roomier: bool = False) -> _engine.Core:
        """A state to begin with, if it can be one not behind `before`. Raises SOURCE_TROUBLE, and Kafka's errors.

        roomier  the core of before had no room: give one with more, if that can be chosen here
        """

    def next(self, room: int) -> bytes:
        """Up to room records behind the last ones; empty: there is nothing yet. Raises SOURCE_TROUBLE."""

    def behind(self) -> int:
        """Records that are there and were not read yet."""

    async def close(self) -> None:
        """Give back what it holds. It may be opened again."""


class LocalSource:
    """The journal of the engine on this machine, as it is written.

    replay_records  how many records before the end to begin at least, so that those who listen see what they made
    """

    arrived: Callable[[], object] | None = None

    def __init__(self, data: Path, replay_records: int) -> None:
        self._data, self._replay_records = data, replay_records
        self._reader: _engine.JournalReader | None = None
        self._read = 0

    async def open(self, before: int | None, *, roomier: bool = False) -> _engine.Core:
        """The newest good snapshot that is old enough, or the journal's beginning. Capacities are the engine's."""
        replica = self._open(before)
        self._reader, self._read = replica.reader, replica.core.sequence()
        return replica.core

    def _open(self, before: int | None) -> Replica:
        journal = self._data / JOURNAL_DIRECTORY
        first = first_kept(journal)
        with Replica.open(self._data, event_mask=_engine.EVENTS_ALL) as newest:
            released, snapshot = newest.limit(), newest.snapshot
        wanted = max(0, released - self._replay_records)
        wanted = wanted if before is None else max(min(wanted, before), released - REPLAY_MAX)
        known = list_snapshots(self._data / SNAPSHOT_DIRECTORY)
        if any(first - 1 <= one.sequence <= wanted for one in known):  # the journal goes on from it
            with contextlib.suppress(_engine.JournalError):  # unless it is bad, and an older one too old
                return Replica.open(self._data, event_mask=_engine.EVENTS_ALL, before=wanted)
        whole = first == 1 and (snapshot is None or wanted <= 0)
        return Replica.open(self._data, event_mask=_engine.EVENTS_ALL, use_snapshot=not whole)

    def next(self, room: int) -> bytes:
        """What is released."""
        reader = self._reader
        if reader is None:
            return b""
        records = reader.next(room, reader.released())
        self._read += len(records) >> 6
        return records

    def behind(self) -> int:
        """Released and not read."""
        return 0 if self._reader is None else max(0, self._reader.released() - self._read)

    async def close(self) -> None:
        """Give the journal back."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def open_source(settings: GatewaySettings) -> Source:
    """The one that the settings name. Raises SettingsInvalid."""
    if settings.source == "kafka":
        snapshots = Path(settings.snapshots) if settings.snapshots else None
        topic = f"{settings.topic_prefix}journal.{settings.shard}"
        return TopicSource(settings.kafka, kafka_security(settings), topic, snapshots, settings.replay_records)
    return LocalSource(Path(settings.data), settings.replay_records)
