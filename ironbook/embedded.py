"""Analytics on one machine, without Kafka: a replica's events through the same folds into Postgres.

    journal ──▶ replica + Feed ──▶ folds (streams/analytics) ──▶ rows, states and mark, one transaction ──▶ Postgres

`ironbook up` runs it beside the engine as `python -m ironbook.embedded --data DIRECTORY`; it asks the engine for
nothing. Its mark, and the folds' states, are in the database: a start goes on behind the mark. While the database is
away it waits, reads nothing, and the engine notices nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import orjson

from engine_node import _engine
from engine_node.replica import Replica
from ironbook import IronbookError, services
from ironbook._secrets import read_secret, write_secret
from ironbook.held import Held, process_name
from ironbook.renewal import Renewal, database_holding, database_url
from schemas.migrations import MigrationFailed, migrate
from streams.analytics.folds import Changes, FirmFold, Fold, ReferenceFold, SymbolFold, merge
from streams.analytics.store import Mark, Store, open_store
from streams.analytics.topics import FIRM_TOPICS, REFERENCE_TOPICS, SYMBOL_TOPICS

__all__ = ["CONSUMER", "DATABASE_DIRECTORY", "URL_FILE", "Analytics", "main"]

CONSUMER: Final = "embedded"
DATABASE_DIRECTORY: Final = "embedded"
URL_FILE: Final = "database-url"
EVENT_MASK: Final = _engine.EVENTS_REPORTS | _engine.EVENTS_MARKET | _engine.EVENTS_ACCOUNTS
ROOM_RECORDS: Final = 4096
FLUSH_COUNT_MAX: Final = 20_000  # events that are written together at most (and those of one read more)
SNAPSHOT_S: Final = 1.0
IDLE_S: Final = 0.05
DRAIN_S: Final = 5.0
POLL_S: Final = 1.0  # how often to look whether the URL's file changed
HELD_FILE: Final = "analytics.held.json"  # in the data directory


class Analytics:
    """A replica, the folds of everything, and the store. One step reads, folds and writes."""

    def __init__(self, data: Path, store: Store, *, shard: int = 0) -> None:
        self.data, self.store, self.shard = data, store, shard
        self.place = (f"journal.{shard}", 0)
        self.refused_count = 0
        self._instruments: dict[str, dict[str, Any]] = {}
        self._firm = FirmFold(0, self._instruments)
        self._symbol = SymbolFold(0, self._instruments)
        self._reference = ReferenceFold(0)
        self._feed = _engine.Feed(shard=shard, firm_partitions=1, symbol_partitions=1)
        self._replica: Replica | None = None
        self._held = b""
        self._snapshot_s = 0.0
        self._written = 0  # sequence of the last mark

    @property
    def replica(self) -> Replica:
        """The replica, once `open` has made it."""
        if self._replica is None:
            raise RuntimeError("open it first")
        return self._replica

    async def open(self) -> int:
        """Take up the mark and the states of the database; the sequence behind which it goes on."""
        marks = await self.store.open_marks([self.place])
        seq = int(marks[self.place].seq)
        if seq:
            for key, text in (await self.store.states()).items():
                fold: Fold = self._symbol if key.startswith("symbols/") else self._firm
                fold.load(key, text)
        self._replica = self._open_replica(seq)
        self._replica.catch_up(seq)
        self._feed.touch_everything(self._replica.core)
        return seq

    def _open_replica(self, seq: int) -> Replica:
        """Behind the mark; without one, from the journal's beginning, or what is left of it."""
        if seq:
            return Replica.open(self.data, event_mask=EVENT_MASK, before=seq)
        try:
            return Replica.open(self.data, event_mask=EVENT_MASK, use_snapshot=False)
        except _engine.EngineError as error:
            say("history_not_whole", level="warning", error=str(error))
            return Replica.open(self.data, event_mask=EVENT_MASK)

    def close(self) -> None:
        """Give the journal back."""
        if self._replica is not None:
            self._replica.close()

    async def step(self) -> int:
        """Read what is there, fold it, write it; how many events that were. 0: there was nothing."""
        count = self._read()
        due = time.monotonic() >= self._snapshot_s
        if due:
            self._snapshot_s = time.monotonic() + SNAPSHOT_S
        count += self._fold(flush=True, snapshots=due)
        changes = merge([fold.take() for fold in (self._reference, self._firm, self._symbol)])
        moved = due and self.replica.core.sequence() != self._written  # records without events move the mark too
        if count or changes.rows or changes.states or moved:
            await self._write(changes)
        return count

    def _read(self) -> int:
        count, core, reader = 0, self.replica.core, self.replica.reader
        while count < FLUSH_COUNT_MAX:
            records = self._held + reader.next(ROOM_RECORDS, reader.released())
            whole = core.group_bytes(records) if records else 0
            self._held = records[whole:]
            if not whole:
                break
            self._feed.apply(core, records[:whole])
            count += self._fold(flush=False, snapshots=False)
        return count

    def _fold(self, *, flush: bool, snapshots: bool) -> int:
        count, now_ns, seq = 0, time.time_ns(), self.replica.core.sequence()
        for topic, _, _, value, _, _, _ in self._feed.take(flush, snapshots):
            events = orjson.loads(value)
            if isinstance(events, dict):
                events = [events]
            refused = self._fold_of(topic, events).apply(topic, seq, now_ns, events) if self._wants(topic) else []
            for one in refused:
                self.refused_count += 1
                say("event_refused", topic=topic, code=one.code, text=one.text, sequence=seq)
            if topic == "book.top":
                self._note_prices(events)
            count += len(events)
        return count

    def _wants(self, topic: str) -> bool:
        return topic in FIRM_TOPICS or topic in SYMBOL_TOPICS or topic in REFERENCE_TOPICS

    def _fold_of(self, topic: str, events: list[dict[str, Any]]) -> Fold:
        if topic == "instruments":
            for event in events:
                self._instruments[event["symbol"]] = event
        if topic in FIRM_TOPICS:
            return self._firm
        return self._symbol if topic in SYMBOL_TOPICS else self._reference

    def _note_prices(self, tops: list[dict[str, Any]]) -> None:
        for top in tops:
            if "last_price_ticks" in top:
                self._firm.price(top["symbol"], top["last_price_ticks"], top["seq"], top["received_ns"])

    async def _write(self, changes: Changes) -> None:
        seq = self.replica.core.sequence()
        states = {key: value.decode() for key, value in changes.states.items()}
        mark = Mark(next_offset=seq + 1, shard=self.shard, seq=seq, n=2**32 - 1)
        await self.store.write(changes.rows, {self.place: mark}, states)
        self._written = seq


def say(event: str, *, level: str = "info", **fields: object) -> None:
    """A log line, as the engine's are."""
    print(orjson.dumps({"time_ns": time.time_ns(), "level": level, "event": event, **fields}).decode(), flush=True)


def _renewing(data: Path, store: Store, url_file: Path | None, held_file: Path | None) -> Renewal:
    """What looks whether the database's URL has another user or password, and says which one is in use."""
    path = held_file or data / HELD_FILE
    held = Held(path, process_name(path.name.removesuffix(".json").removesuffix(".held")), "analytics")
    renewal = Renewal(POLL_S, lambda level, event, more: say(event, level=level, **more), held)

    async def renew() -> bool:
        new = await store.renew(database_url(url_file or ""))
        renewal.holdings.use_only("database", *database_holding(store.url))
        return new

    renewal.holdings.use_only("database", *database_holding(store.url))
    if url_file is not None:
        renewal.watch_files("database", [url_file], renew)
    return renewal


async def run(data: Path, url: str, url_file: Path | None = None, held_file: Path | None = None) -> None:
    """Until SIGTERM or SIGINT; then what is there is written, if the database takes it within DRAIN_S.

    url_file   where the URL is from, if it may change
    """

    def failed(error: BaseException, attempts: int, wait_s: float) -> None:
        what = f"{type(error).__name__}: {error}"
        say("database_away", level="warning", error=what, attempts=attempts, wait_s=wait_s)

    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    store = open_store(url, CONSUMER, failed)
    analytics = Analytics(data, store)
    renewal = _renewing(data, store, url_file, held_file)
    await renewal.open()
    work = asyncio.create_task(_work(analytics, ended))
    told = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({work, told}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({work}, timeout=DRAIN_S)
        if work.done():
            work.result()
    finally:
        for task in (work, told):
            task.cancel()
        await asyncio.gather(work, told, return_exceptions=True)
        await renewal.close()
        analytics.close()
        await store.close()


async def _work(analytics: Analytics, ended: asyncio.Event) -> None:
    say("analytics_started", sequence=await analytics.open())
    while not ended.is_set():
        if not await analytics.step():
            await asyncio.sleep(IDLE_S)
    while await analytics.step():  # what the engine has released before it ended
        pass
    say("analytics_stopped", sequence=analytics.replica.core.sequence())


def start_database(data: Path) -> str:
    """A PostgreSQL of this data directory, its URL in a file beside it. Raises ServiceFailed, DependencyMissing."""
    [found] = services.up(data / DATABASE_DIRECTORY, kafka=False)
    write_secret(data / URL_FILE, found.address)
    return found.address


def main(arguments: list[str]) -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(prog="python -m ironbook.embedded", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory of the engine node")
    parser.add_argument("--database-url-file", type=Path, help="its first line is a PostgreSQL URL; default: its own")
    parser.add_argument("--held-file", type=Path, help=f"says which secrets it holds; default: <data>/{HELD_FILE}")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    own = chosen.database_url_file is None
    try:
        url = start_database(chosen.data) if own else read_secret(chosen.database_url_file)
        say("database_migrated", applied=migrate(url))
        asyncio.run(run(chosen.data, url, chosen.database_url_file, chosen.held_file))
    except (IronbookError, MigrationFailed, OSError) as error:
        say("analytics_failed", level="error", error=str(error))
        return 1
    finally:
        if own:
            services.down(chosen.data / DATABASE_DIRECTORY)
    return 0


if __name__ == "__main__":
    os.nice(5)  # trading comes first
    sys.exit(main(sys.argv[1:]))
