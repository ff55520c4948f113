"""The publisher under test: its topics, its process, what it should have published, and what it did."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from engine_node import _engine
from ironbook._kafka import PLAIN_TEXT, Security
from ironbook._topics_admin import TopicAdmin
from ironbook.topics import planned, rules
from schemas import vocabulary as v
from schemas.topics import load_topics
from tests.support.node import ROOT, Client, Node, wait_until

STATE_N = 4294967295
EVENT_TOPICS = [topic.name for topic in load_topics() if "publisher" in topic.writers and not topic.journal]
EVENT_TOPICS = [name for name in EVENT_TOPICS if name not in ("heartbeats", "publisher.progress")]


@dataclasses.dataclass(frozen=True)
class Read:
    """One message as a reader sees it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]

    @property
    def events(self) -> list[dict[str, Any]]:
        found = orjson.loads(self.value)
        return found if isinstance(found, list) else [found]


def make_topics(bootstrap: str, prefix: str, security: Security = PLAIN_TEXT) -> None:
    """All topics of the contract, and the rights on them where the broker knows users."""

    async def make() -> None:
        async with TopicAdmin(bootstrap, security) as admin:
            await admin.create(planned(load_topics(), prefix), 1)
            if security is not PLAIN_TEXT:
                await admin.allow(rules(load_topics(), prefix))

    asyncio.run(make())


def read(bootstrap: str, prefix: str, names: Iterable[str], **login: Any) -> list[Read]:
    """All messages of these topics, those of a partition in order."""

    async def go() -> list[Read]:
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, **login)
        await consumer.start()
        try:
            places = []
            for name in names:
                await consumer._client._wait_on_metadata(prefix + name)
                places += [TopicPartition(prefix + name, p) for p in consumer.partitions_for_topic(prefix + name) or ()]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            for place in places:
                consumer.seek(place, 0)
            found: list[Read] = []
            left = {place for place in places if ends[place] > 0}
            while left:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += [
                        Read(m.topic.removeprefix(prefix), m.partition, m.offset, m.key, m.value, dict(m.headers))
                        for m in batch
                    ]
                left = {place for place in left if await consumer.position(place) < ends[place]}
            return found
        finally:
            await consumer.stop()

    return asyncio.run(asyncio.wait_for(go(), 60))


# ---- What there should be --------------------------------------------------------------------------------------------


def journal_records(node: Node) -> bytes:
    """All records of a node's journal."""
    with _engine.JournalReader(str(node.directory / "journal"), 1) as reader:
        parts = []
        while part := reader.next(4096, reader.written()):
            parts.append(part)
    return b"".join(parts)


Events = dict[tuple[str, int], list[dict[str, Any]]]


def expected(records: bytes, options: dict[str, int]) -> tuple[Events, dict[tuple[str, bytes], dict[str, Any]]]:
    """What a feed makes of these records, all at once: events of each partition, and the last state of each key."""
    core = _engine.Core(**options | {"event_mask": 11})
    feed = _engine.Feed(shard=0, firm_partitions=8, symbol_partitions=8)
    feed.apply(core, records)
    events: Events = collections.defaultdict(list)
    states = {}
    for topic, partition, key, value, *_ in feed.take(True, True):
        found = orjson.loads(value)
        for event in found if isinstance(found, list) else [found]:
            if event["n"] == STATE_N:
                states[topic, _key(topic, key, event)] = event
            else:
                events[topic, partition].append(event)
    return events, states


def _key(topic: str, key: bytes | None, event: dict[str, Any]) -> bytes:
    if topic == "balances":
        return b"%d:%d" % (event["account"], event["asset_number"])
    return key or b""


def published(found: Sequence[Read]) -> tuple[Events, dict[tuple[str, bytes], dict[str, Any]], int]:
    """What a reader that keeps its marks has: events of each partition, last states, and how many it dropped.

    Fails the test where something is missing: the chain of `previous`.
    """
    events: Events = collections.defaultdict(list)
    states: dict[tuple[str, bytes], dict[str, Any]] = {}
    marks: dict[tuple[str, int], tuple[int, int]] = {}
    told: dict[tuple[str, int], tuple[int, int]] = {}
    dropped = 0
    for message in found:
        place = (message.topic, message.partition)
        assert message.headers["schema"] == f"{message.topic}/1".encode()
        if "previous" in message.headers:
            _, seq, n = map(int, message.headers["previous"].split(b":"))
            assert (seq, n) <= told.get(place, (0, 0)), f"{place}: {message.headers} behind {told.get(place)}"
        for event in message.events:
            at = (event["seq"], event["n"])
            told[place] = max(told.get(place, (0, 0)), at)
            if event["n"] == STATE_N:
                key = (message.topic, _key(message.topic, message.key, event))
                if states.get(key, {"seq": 0})["seq"] <= event["seq"]:
                    states[key] = event
            elif at > marks.get(place, (0, -1)):
                marks[place] = at
                events[place].append(event)
            else:
                dropped += 1
    return events, states, dropped


def check_topics(bootstrap: str, prefix: str, node: Node, **login: Any) -> int:
    """Journal topic and event topics hold exactly what the journal says. Returns how many events came twice."""
    records = journal_records(node)
    check_journal_topic(bootstrap, prefix, records, **login)
    with _engine.JournalReader(str(node.directory / "journal"), 1) as reader:
        options = reader.core_options()
    events, states = expected(records, options)
    got, got_states, dropped = published(read(bootstrap, prefix, EVENT_TOPICS, **login))
    for place in sorted({*events, *got}):
        assert got.get(place, []) == events.get(place, []), place
    for key in sorted({*states, *got_states}):
        ours, theirs = dict(states.get(key, {})), dict(got_states.get(key, {}))
        for state in (ours, theirs):  # as of which record depends on timing
            for name in ("seq", "received_ns", "reference_price_ticks"):
                state.pop(name, None)
            if key[0] == "book.top":  # a change behind the best levels is none of the top's
                state.pop("update_id", None)
        assert theirs == ours, f"{key}: {theirs} must be {ours}"
    return dropped


def check_journal_topic(bootstrap: str, prefix: str, records: bytes, **login: Any) -> list[Read]:
    """`journal.0` holds these records, each once, in whole commands."""
    found = read(bootstrap, prefix, ["journal.0"], **login)
    core = _engine.Core(order_count_max=64)
    sequence = 1
    for message in found:
        assert int(message.headers["first_sequence"]) == sequence, "no gap, no repeat"
        assert core.group_bytes(message.value) == len(message.value), "whole commands"
        sequence += len(message.value) // 64
    assert b"".join(message.value for message in found) == records
    return found


# ---- The process -----------------------------------------------------------------------------------------------------


class PublisherProcess:
    """A publisher beside a node, to be killed without the engine."""

    def __init__(self, node: Node, bootstrap: str, prefix: str, **settings: object) -> None:
        self.node = node
        self.log_path = node.directory / f"publisher-{os.urandom(3).hex()}.log"
        chosen: dict[str, object] = {"kafka_bootstrap": bootstrap, "kafka_topic_prefix": prefix}
        chosen["log_file"] = self.log_path
        chosen |= {"kafka_flush_ms": 30_000} | settings  # a machine under load must not make a flush incomplete
        more = {f"IRONBOOK_ENGINE_{name.upper()}": str(value) for name, value in chosen.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine_node", "publisher"], cwd=ROOT, env=node.environment() | more,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Its log lines of that name."""
        lines = self.log_path.read_bytes().splitlines() if self.log_path.exists() else []
        return [line for line in map(orjson.loads, lines) if line["event"] == event]

    def wait_line(self, event: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """Its first log line of that name, once it is there."""
        wait_until(lambda: self.lines(event), timeout_s, f"no line {event} in {self.log_path}")
        return self.lines(event)[0]

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, timeout_s: float = 45.0) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def end(self) -> None:
        """Whatever happened in the test: no process is left."""
        if self.process.poll() is None:
            self.kill()


# ---- A market --------------------------------------------------------------------------------------------------------


class Market:
    """Random orders, trades, cancels and halts in a few books, through one signed session."""

    INSTRUMENTS = range(1, 6)
    ACCOUNTS = range(1, 9)

    def __init__(self, node: Node, seed: int) -> None:
        self.node = node
        self.random = random.Random(seed)
        self.secret = node.make_key()
        self.client: Client | None = None

    def log_on(self) -> Client:
        """A session on the node as it runs now."""
        self.client = Client.connect(self.node.address(), "admin", self.secret)
        return self.client

    def open(self) -> Market:
        """Log on and define what is traded."""
        client = self.log_on()
        client.define_market()
        steps: list[tuple[Any, ...]] = []
        for instrument in self.INSTRUMENTS[1:]:
            made = v.Instrument(
                instrument=instrument, base_asset=1, quote_asset=2, trading_state=v.TradingState.OPEN,
                base_units_per_lot=10, quote_units_per_tick_lot=3,
            )  # fmt: skip
            steps.append((v.Text(text=(b"S-%d" % instrument).ljust(36, b"\0")), made))
        for account in self.ACCOUNTS[2:]:
            steps.append((v.Account(account=account, firm=1 + account % 3),))
            steps += [(v.Deposit(account=account, asset=asset, amount_units=10**9),) for asset in (1, 2)]
        for step in steps:
            applied = client.ask(*step)
            assert applied.kind == v.EventKind.APPLIED, applied
        return self

    def trade(self, count: int, burst: int = 50) -> None:
        """So many random commands, a burst at a time, each burst answered before the next."""
        client = self.client
        assert client is not None
        answers = (v.EventKind.ACCEPTED, v.EventKind.REJECTED, v.EventKind.APPLIED)
        for start in range(0, count, burst):
            client.send(*[self._command() for _ in range(min(burst, count - start))])
            while (report := client.report()).kind not in answers or report.reference != client.sequence:
                pass

    def _command(self) -> Any:
        assert self.client is not None
        chance, instrument = self.random.random(), self.random.choice(self.INSTRUMENTS)
        account = self.random.choice(self.ACCOUNTS)
        if chance < 0.03:
            return v.MassCancel(account=account, instrument=self.random.choice((0, instrument)))
        if chance < 0.04:
            action = self.random.choice((v.HaltAction.RESUME, v.HaltAction.RESUME, v.HaltAction.HALT))
            return v.Halt(scope=v.HaltScope.INSTRUMENT, action=action, target=instrument)
        if chance < 0.05:
            return v.Deposit(account=account, asset=2, amount_units=self.random.randint(1, 10**6))
        side, price = self.random.choice((v.Side.BUY, v.Side.SELL)), self.random.randint(95, 105)
        order = self.client.order(side, price, self.random.randint(1, 9), account)
        return dataclasses.replace(order, instrument=instrument)

    def close(self) -> None:
        """Drop the line."""
        if self.client is not None:
            self.client.close()
