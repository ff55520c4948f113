"""The worker with a real broker and a real Postgres: once, whole, and whatever is killed or paused."""

from __future__ import annotations

import asyncio
import collections
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas import migrations
from schemas.topics import load_topics
from streams.analytics.folds import FirmFold, SymbolFold, candle_event, position_event
from tests.streams.analytics.scenario import INSTRUMENTS, Event, Market, batches, instrument
from tests.support.services import Database
from tests.support.topics import make_topics, partition, writing
from tests.support.workers import WorkerProcess

pytestmark = pytest.mark.timeout(400)
WAIT_S = 120.0
NAMES = [topic.name for topic in load_topics() if "analytics" in (*topic.readers, *topic.writers)]


def query(database: str, statement: str) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        connection = await asyncpg.connect(database)
        try:
            return [dict(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(run())


def wait_for(holds: Callable[[], bool], what: str, workers: tuple[WorkerProcess, ...] = ()) -> None:
    until_s = time.monotonic() + WAIT_S
    while not holds():
        logs = "\n".join(worker.log() for worker in workers)
        assert time.monotonic() < until_s, f"waited {WAIT_S} s for {what}\n{logs}"
        time.sleep(0.2)


class Pipeline:
    """Topics of a prefix, a market's events on their way into them, and what must come out at the end."""

    def __init__(self, kafka: str, prefix: str, seed: int, commands: int) -> None:
        self.kafka, self.prefix = kafka, prefix
        self.market = Market(seed, accounts=6).run(commands)
        self.firms = self._folded(FirmFold, "executions", self.market.executions)
        self.symbols = self._folded(SymbolFold, "trades", self.market.trades)

    def _folded(self, kind: Any, topic: str, events: list[Event]) -> Any:
        fold = kind(0, INSTRUMENTS)
        assert fold.apply(topic, 0, 0, [dict(event) for event in events]) == []
        fold.take()
        return fold

    def make(self) -> None:
        asyncio.run(make_topics(self.kafka, self.prefix, *NAMES))
        asyncio.run(self._write_instruments())

    async def _write_instruments(self) -> None:
        async with writing(self.kafka, self.prefix) as writer:
            for symbol, event in INSTRUMENTS.items():
                key = str(event["instrument"]).encode()
                await writer.send_raw("instruments", 0, orjson.dumps(instrument(symbol)), key)

    def write(self, part: slice = slice(None), size: int = 5) -> None:
        """Messages of a few events each; those of one partition in order."""

        async def run() -> None:
            async with writing(self.kafka, self.prefix) as writer:
                for topic, events, key in (
                    ("executions", self.market.executions, "firm"),
                    ("trades", self.market.trades, "symbol"),
                ):
                    by_partition = collections.defaultdict(list)
                    for event in events:
                        by_partition[partition(topic, str(event[key]))].append(event)
                    for number, mine in by_partition.items():
                        for batch in batches(mine, size)[part]:
                            await writer.send(topic, number, batch)

        asyncio.run(run())

    def newest(self, topic: str) -> dict[str, Event]:
        """The last value of each key of a compacted topic."""

        async def run() -> dict[str, Event]:
            consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka)
            await consumer.start()
            try:
                count = load_topics()[topic].partitions_count
                places = [TopicPartition(self.prefix + topic, number) for number in range(count)]
                consumer.assign(places)
                await consumer.seek_to_beginning(*places)
                ends = await consumer.end_offsets(places)
                found: dict[str, Event] = {}
                while any([await consumer.position(place) < ends[place] for place in places]):
                    for messages in (await consumer.getmany(timeout_ms=500)).values():
                        found |= {message.key.decode(): orjson.loads(message.value) for message in messages}
                return found
            finally:
                await consumer.stop()

        return asyncio.run(run())

    def count(self, database: str) -> int:
        """Executions in the table."""
        return int(query(database, "SELECT count(*) AS c FROM executions")[0]["c"])

    def counted(self, database: str) -> bool:
        """Has every event come?"""
        (found,) = query(database, "SELECT (SELECT count(*) FROM executions) AS e, (SELECT count(*) FROM trades) AS t")
        return (found["e"], found["t"]) == (len(self.market.executions), len(self.market.trades))

    def check(self, database: str) -> None:
        """Every event once, and states in tables and topics as the fold of all events has them."""
        rows = query(database, "SELECT shard, seq, n FROM executions ORDER BY seq, n")
        assert [(row["seq"], row["n"]) for row in rows] == [(e["seq"], e["n"]) for e in self.market.executions]
        assert self.counted(database)
        positions = {(row["account"], row["symbol"]): row for row in query(database, "SELECT * FROM positions")}
        assert set(positions) == set(self.firms.positions)
        told = self.newest("positions")
        for (account, symbol), position in self.firms.positions.items():
            expected = position_event(position)
            row = positions[account, symbol]
            assert {name: row[name] for name in expected if name != "type"} == {
                name: value for name, value in expected.items() if name != "type"
            }
            assert told[f"{account}:{symbol}"] == expected
        for row in query(database, "SELECT * FROM trade_statistics"):
            account = self.firms.accounts[row["account"]]
            assert {name: row[name] for name in account if name in row} == {
                name: value for name, value in account.items() if name in row
            }
        self._check_candles(database)
        self._check_orders(database)

    def _check_candles(self, database: str) -> None:
        rows = {(r["symbol"], r["interval"], r["start_ns"]): r for r in query(database, "SELECT * FROM candles")}
        assert sum(r["trade_count"] for k, r in rows.items() if k[1] == "1s") == sum(
            trade["type"] == "trade" for trade in self.market.trades
        )
        told = self.newest("candles")
        assert len(told) == len(rows)
        for symbol, state in self.symbols.symbols.items():
            for interval, candle in state["candles"].items():
                row = rows[symbol, interval, candle["start_ns"]]
                for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots", "trade_count"):
                    assert row[name] == candle[name]
                expected = candle_event(state, candle, INSTRUMENTS[symbol])
                assert told[f"{symbol}:{interval}:{candle['start_ns']}"] == expected

    def _check_orders(self, database: str) -> None:
        filled: collections.Counter[int] = collections.Counter()
        for event in self.market.executions:
            if event["type"] == "filled":
                filled[event["order_id"]] += event["quantity_lots"]
        rows = query(database, "SELECT order_id, filled_lots FROM orders")
        assert {row["order_id"]: row["filled_lots"] for row in rows if row["filled_lots"]} == dict(filled)
        assert len(rows) == sum(event["type"] == "accepted" for event in self.market.executions)


@pytest.fixture
def database(postgres_url: str) -> str:
    migrations.migrate(postgres_url)
    return postgres_url


@pytest.fixture
def start(kafka: str, topic_prefix: str, database: str, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers of this test; they end with it."""
    started: list[WorkerProcess] = []

    def begin(name: str = "a", database_url: str = database, flush_interval: int = 50) -> WorkerProcess:
        worker = WorkerProcess(
            "streams.analytics",
            kafka,
            topic_prefix,
            tmp_path / name,
            database_url=database_url,
            flush_interval=flush_interval,
        )
        started.append(worker)
        return worker.start()

    yield begin
    for worker in started:
        if worker.process is not None:
            worker.process.send_signal(signal.SIGCONT)
            worker.kill()


def test_events_come_into_tables_and_topics_and_what_does_not_fit_is_kept_as_a_dead_letter(
    kafka: str, topic_prefix: str, database: str, start: Callable[..., WorkerProcess]
) -> None:
    pipeline = Pipeline(kafka, topic_prefix, 21, 200)
    pipeline.make()
    worker = start()
    worker.wait_ready()
    odd = {**pipeline.market.executions[0], "seq": 10**6, "quantity_lots": "many"}

    async def write_odd() -> None:
        async with writing(kafka, topic_prefix) as writer:
            await writer.send_raw("executions", 0, orjson.dumps([odd]))
            await writer.send_raw("executions", 1, b"\xff{")
            await writer.send_raw("keys", 0, None, b"gone")

    asyncio.run(write_odd())
    pipeline.write()
    worker.wait_idle()
    wait_for(lambda: pipeline.counted(database), "all events", (worker,))
    worker.wait_idle()
    pipeline.check(database)
    assert worker.status()["counters"]["dead_letters"] == 2
    assert worker.stop() == 0
    assert query(database, "SELECT live FROM keys WHERE key_id = 'gone'") == [{"live": False}]
    assert {row["symbol"] for row in query(database, "SELECT symbol FROM instruments")} == set(INSTRUMENTS)


@pytest.mark.soak
def test_a_worker_killed_again_and_again_loses_and_repeats_nothing(
    kafka: str, topic_prefix: str, database: str, start: Callable[..., WorkerProcess]
) -> None:
    pipeline = Pipeline(kafka, topic_prefix, 22, 1200)
    pipeline.make()
    worker = start()
    worker.wait_ready()
    writer = threading.Thread(target=pipeline.write)
    writer.start()
    for share in (0.1, 0.4, 0.7):
        least = share * len(pipeline.market.executions)
        wait_for(lambda least=least: pipeline.count(database) >= least, f"{least:.0f} events", (worker,))
        worker.kill()
        worker.start()
    writer.join()
    wait_for(lambda: pipeline.counted(database), "all events", (worker,))
    worker.wait_idle()
    pipeline.check(database)


@pytest.mark.soak
def test_a_database_killed_in_the_middle_is_waited_for_and_nothing_is_lost(
    kafka: str, topic_prefix: str, start: Callable[..., WorkerProcess]
) -> None:
    pipeline = Pipeline(kafka, topic_prefix, 23, 800)
    pipeline.make()
    with Database.start() as server:
        migrations.migrate(server.url)
        worker = start("b", server.url)
        worker.wait_ready()
        writer = threading.Thread(target=pipeline.write)
        writer.start()
        wait_for(lambda: pipeline.count(server.url) > 300, "the first rows", (worker,))
        server.kill()
        writer.join()
        worker.wait(lambda status: "database" in status.get("waits_for", {}))
        assert "does not" in worker.status()["waits_for"]["database"]
        server.restart()
        wait_for(lambda: pipeline.counted(server.url), "all events", (worker,))
        worker.wait_idle()
        pipeline.check(server.url)
        worker.kill()


def test_a_worker_paused_past_its_rebalance_cannot_set_a_row_back(
    kafka: str, topic_prefix: str, database: str, start: Callable[..., WorkerProcess]
) -> None:
    pipeline = Pipeline(kafka, topic_prefix, 24, 800)
    pipeline.make()
    paused = start("a", flush_interval=5000)  # long enough to be paused with folded events that are not stored yet
    paused.wait_ready()
    pipeline.write(slice(0, 40))
    paused.wait(lambda status: status["counters"].get("events", 0) > 200)
    assert paused.process is not None
    os.kill(paused.process.pid, signal.SIGSTOP)
    follower = start("b")
    pipeline.write(slice(40, None))
    wait_for(lambda: pipeline.counted(database), "all events", (follower,))
    follower.wait_idle()
    before = query(database, "SELECT * FROM positions ORDER BY account, symbol")
    pipeline.check(database)
    os.kill(paused.process.pid, signal.SIGCONT)
    process = paused.process
    wait_for(
        lambda: process.poll() is not None or (paused.status()["ready"] and not paused.status()["lag"]["executions"]),
        "the paused worker to end or to have joined again",
        (paused, follower),
    )
    follower.wait_idle()
    assert query(database, "SELECT * FROM positions ORDER BY account, symbol") == before
    pipeline.check(database)


@pytest.mark.soak
def test_workers_come_and_go_while_events_come_in(
    kafka: str, topic_prefix: str, database: str, start: Callable[..., WorkerProcess]
) -> None:
    pipeline = Pipeline(kafka, topic_prefix, 25, 1200)
    pipeline.make()
    first = start("a")
    first.wait_ready()
    writer = threading.Thread(target=pipeline.write)
    writer.start()
    wait_for(lambda: pipeline.count(database) > 100, "the first rows", (first,))
    second = start("b")
    second.wait_ready()
    assert first.stop() == 0
    third = start("c")
    writer.join()
    wait_for(lambda: pipeline.counted(database), "all events", (second, third))
    third.wait_idle()
    second.wait_idle()
    pipeline.check(database)
