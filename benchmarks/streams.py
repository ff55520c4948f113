"""The streams under load: `python -m benchmarks.streams [--smoke|--real] [--kafka HOST:PORT] [--postgres URL]`.

    signed orders ──▶ orders.submitted ──▶ validation ──▶ risk ──▶ orders.accepted          one worker each
                  ──▶ the same rules in a per-message Faust agent, and in a plain aiokafka loop
    journal       ──▶ engine_node publisher ──▶ event topics                                 catching up
    orders/s      ──▶ engine ──▶ publisher ──▶ consumer                                      delay of each event
    event topics  ──▶ analytics ──▶ Postgres                                                 one worker

On a machine whose CPUs are shared what counts is CPU time: events for each CPU-second of the worker's process
(/proc/PID/stat; its start is not counted), beside what went through in a second. Every phase counts what came out and
fails if something is missing. Kafka and Postgres are real; without addresses they are started for the run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import random
import resource
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks import servers
from benchmarks.machine import describe, placement
from benchmarks.servers import PROGRAMS, ROOT, Server
from engine_node._engine import Core, Feed
from ironbook import Client, Key, services, sign_order
from ironbook._topics_admin import TopicAdmin
from ironbook.keystore import KeyFile, make_passphrase_file
from ironbook.topics import planned
from schemas import migrations
from schemas import vocabulary as v
from schemas.topics import load_topics
from streams.analytics.topics import FIRM_TOPICS, REFERENCE_TOPICS, SYMBOL_TOPICS
from streams.common.codec import partition_of, schema_of

__all__ = ["REAL", "SMOKE", "Size", "main", "run"]

SEED = 20260301
BEGAN_NS = 1_790_000_000_000_000_000
FIRMS, ACCOUNTS_A_FIRM, SYMBOLS = 16, 4, ("BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD")
ORDERS_A_MESSAGE = 100
FLUSH_RECORDS = 2_048  # the publisher's batches when it catches up are as large or larger
OPEN_ORDERS = 10_000
STEP_MS = 5  # of the steady load
EVENTS_A_PAIR = 4  # an order that rests and its cancel: accepted, level, cancelled, level
DELAY_TOPICS = ("executions", "book", "trades")
READY_S, DONE_S = 120.0, 900.0
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything."""

    orders: int  # through validation and risk
    peer_orders: int  # through the agents they are compared with
    commands: int  # whose events go through analytics
    journal_commands: int  # that the publisher catches up on
    delay_s: float  # at delay_rate
    delay_rate: int  # events a second


SMOKE = Size(orders=2_000, peer_orders=500, commands=1_000, journal_commands=5_000, delay_s=1, delay_rate=2_000)
REAL = Size(
    orders=100_000, peer_orders=10_000, commands=200_000, journal_commands=1_000_000, delay_s=20, delay_rate=20_000
)


class BenchmarkFailed(RuntimeError):
    """Something that went in did not come out."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Servers, topics of a prefix, a key, and where files go."""

    kafka: str
    postgres: str
    prefix: str
    directory: Path
    key: Key

    def environment(self) -> dict[str, str]:
        """Settings of a worker."""
        settings = {
            "KAFKA": self.kafka, "DATABASE_URL": self.postgres, "STATE_DIRECTORY": self.directory,
            "KEY_FILE": self.directory / "keys.ironbook", "KEY_PASSPHRASE_FILE": self.directory / "passphrase",
            "LOG_LEVEL": "warning",
        }  # fmt: skip
        return {
            **os.environ,
            "IRONBOOK_TOPIC_PREFIX": self.prefix,
            **{f"IRONBOOK_STREAMS_{name}": str(value) for name, value in settings.items()},
        }


def cpu_seconds(pid: int) -> float:
    """CPU time of a process until now, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def children_seconds() -> float:
    """CPU time of all children that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# ---- Workers ---------------------------------------------------------------------------------------------------------


class Worker:
    """`python -m streams.NAME`, and what its page says."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.name, self.state, self.log = name, stage.directory / f"{name}.json", stage.directory / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"streams.{name}"], cwd=ROOT, env=stage.environment(), stdout=log, stderr=log
            )

    def status(self) -> dict[str, Any]:
        """What /ready says."""
        if self.process.poll() is not None:
            raise BenchmarkFailed(f"{self.name} must run, ended: {self.log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(OSError, ValueError, KeyError):
            place = orjson.loads(self.state.read_bytes())
            try:
                with urllib.request.urlopen(f"http://{place['web_host']}:{place['web_port']}/ready", timeout=5) as page:
                    return dict(orjson.loads(page.read()))
            except urllib.error.HTTPError as error:
                return dict(orjson.loads(error.read()))
        return {"ready": False, "counters": {}, "lag": {}}

    def wait(self, holds: Callable[[dict[str, Any]], bool], what: str, timeout_s: float) -> None:
        """Until its status is so."""
        until_s = time.monotonic() + timeout_s
        while not holds(status := self.status()):
            if time.monotonic() > until_s:
                raise BenchmarkFailed(f"{self.name} must be {what} within {timeout_s} s, says {status}")
            time.sleep(0.2)

    def cpu(self) -> float:
        """CPU seconds so far."""
        return cpu_seconds(self.process.pid)

    def end(self) -> None:
        """However the run went."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextlib.contextmanager
def workers(stage: Stage, *names: str) -> Iterator[list[Worker]]:
    """Workers that are ready."""
    started = [Worker(stage, name) for name in names]
    try:
        for worker in started:
            worker.wait(lambda status: bool(status["ready"]), "ready", READY_S)
        yield started
    finally:
        for worker in started:
            worker.end()


# ---- A market --------------------------------------------------------------------------------------------------------


class Market:
    """Records of a made-up market by a fixed seed: definitions, funds, then orders, takers and cancels."""

    def __init__(self) -> None:
        self.random = random.Random(SEED)
        self.records: list[bytes] = []
        self.sequence = self.order = 0
        self.open: list[tuple[int, int, int]] = []  # account, instrument, client order id

    def _add(self, command: bytes) -> None:
        self.records.append(command + struct.pack("<IIQ", 1, 0, BEGAN_NS + len(self.records) * 20_000))

    def command(self, kind: type, text: str = "", **fields: int) -> None:
        """One command, behind its name if it needs one."""
        if text:
            self.sequence += 1
            self._add(v.Text(client_sequence=self.sequence, text=text.encode().ljust(36, b"\0")).pack())
        self.sequence += 1
        self._add(kind(client_sequence=self.sequence, **fields).pack())

    def define(self) -> None:
        """Assets, instruments, accounts and their funds."""
        for asset, name in enumerate(("USD", *(symbol.partition("/")[0] for symbol in SYMBOLS)), 1):
            self.command(v.Asset, name, asset=asset, decimals=6)
        for number, symbol in enumerate(SYMBOLS, 1):
            self.command(
                v.Instrument, symbol, instrument=number, base_asset=number + 1, quote_asset=1, taker_fee_ppm=200,
                maker_fee_ppm=100, trading_state=1, base_units_per_lot=10_000, quote_units_per_tick_lot=100,
            )  # fmt: skip
        for account in range(1, FIRMS * ACCOUNTS_A_FIRM + 1):
            self.command(v.Account, account=account, firm=(account - 1) // ACCOUNTS_A_FIRM + 1)
            for asset in range(1, len(SYMBOLS) + 2):
                self.command(v.Deposit, account=account, asset=asset, amount_units=1 << 52)

    def trade(self, count: int) -> None:
        """Of ten commands about five rest, two or three take, the others cancel."""
        draw = self.random
        for _ in range(count):
            chance = draw.random()
            if chance < 0.25 and self.open:
                account, instrument, target = self.open.pop(draw.randrange(len(self.open)))
                self.command(v.Cancel, account=account, instrument=instrument, target_client_order_id=target)
                continue
            self.order += 1
            account, instrument = draw.randint(1, FIRMS * ACCOUNTS_A_FIRM), draw.randint(1, len(SYMBOLS))
            side, takes = draw.choice((v.Side.BUY, v.Side.SELL)), chance > 0.75
            away = draw.randint(1, 40) * (-1 if (side == v.Side.BUY) != takes else 1)
            self.command(
                v.NewOrder, account=account, instrument=instrument, side=side, price_ticks=10_000 + away,
                quantity_lots=draw.randint(1, 50), client_order_id=self.order, order_type=v.OrderType.LIMIT,
                time_in_force=2 if takes else 1, self_trade_prevention=2,
            )  # fmt: skip
            if not takes:
                self.open.append((account, instrument, self.order))


Messages = list[tuple[str, int, bytes | None, bytes, int]]  # topic, partition, key, value, events in it


def messages_of(market: Market) -> tuple[Messages, int]:
    """What the feed tells of the market's records, and its events; how many CPU-nanoseconds an event took."""
    core, feed, messages, events, began = Core(event_mask=11, reports_kept=0), Feed(), [], 0, time.process_time()
    for at in range(0, len(market.records), FLUSH_RECORDS):
        batch = b"".join(market.records[at : at + FLUSH_RECORDS])
        feed.apply(core, batch)
        for topic, place, key, value, count, _, _ in feed.take(True, True):
            messages.append((topic, place, key, value, count))
            events += count
    per_event = (time.process_time() - began) * 1e9 / events
    print(
        f"feed           {len(market.records):,} records, {events:,} events in {len(messages):,} messages: "
        f"{per_event:,.0f} ns an event, the core's work included; digest {core.digest():016x}"
    )
    return messages, round(per_event)


async def put(stage: Stage, messages: Sequence[tuple[str, int, bytes | None, bytes, int]]) -> None:
    """Write messages, those of a partition in order."""
    producer = AIOKafkaProducer(bootstrap_servers=stage.kafka, enable_idempotence=True, max_batch_size=1 << 20)
    async with producer:
        waiting = []
        for topic, place, key, value, _ in messages:
            sent = await producer.send(stage.prefix + topic, value, key=key, partition=place, headers=schema_of(topic))
            waiting.append(sent)
        await asyncio.gather(*waiting)


# ---- Orders ----------------------------------------------------------------------------------------------------------


def signed_orders(stage: Stage, count: int) -> list[tuple[int, dict[str, Any]]]:
    """(firm, envelope), signed now by a delegate's key."""
    draw, now, made = random.Random(SEED), time.time_ns(), []
    for number in range(count):
        account = draw.randint(1, FIRMS * ACCOUNTS_A_FIRM)
        body = {
            "action": "new", "account": account, "symbol": draw.choice(SYMBOLS), "side": draw.choice(("buy", "sell")),
            "price": f"{draw.randint(9_900, 10_100)}.00", "quantity": f"{draw.randint(1, 50)}.00",
        }  # fmt: skip
        envelope = sign_order(stage.key, body, timestamp_ns=now, nonce=f"{secrets.token_hex(4)}-{number}")
        made.append(((account - 1) // ACCOUNTS_A_FIRM + 1, dict(envelope)))
    return made


def submissions(orders: Sequence[tuple[int, dict[str, Any]]], size: int) -> Messages:
    """Messages of so many orders of one firm."""
    partitions = load_topics()["orders.submitted"].partitions_count
    by_firm: dict[int, list[dict[str, Any]]] = {}
    messages: Messages = []

    def send(firm: int) -> None:
        batch = by_firm.pop(firm)
        place = partition_of(str(firm), partitions)
        messages.append(("orders.submitted", place, b"%d" % firm, orjson.dumps(batch), len(batch)))

    for firm, order in orders:
        by_firm.setdefault(firm, []).append(order)
        if len(by_firm[firm]) == size:
            send(firm)
    for firm in list(by_firm):
        send(firm)
    return messages


def measure_orders(stage: Stage, size: Size) -> dict[str, float]:
    """Orders through one worker of validation and one of risk."""
    with workers(stage, "validation", "risk") as (validation, risk):
        messages = submissions(signed_orders(stage, size.orders), ORDERS_A_MESSAGE)
        before, began = (validation.cpu(), risk.cpu()), time.monotonic()
        asyncio.run(put(stage, messages))

        def done(*names: str) -> Callable[[dict[str, Any]], bool]:
            return lambda status: sum(status["counters"].get(name, 0) for name in names) >= size.orders

        validation.wait(done("validated", "rejected"), "through", DONE_S)
        risk.wait(done("passed", "refused"), "through", DONE_S)
        wall = time.monotonic() - began
        spent = (validation.cpu() - before[0], risk.cpu() - before[1])
        passed = risk.status()["counters"].get("passed", 0)
    if passed != size.orders:
        raise BenchmarkFailed(
            f"all {size.orders} orders must pass, {passed} did: risk refuses those that were signed minutes ago"
        )
    validated, risked = (size.orders / max(seconds, 1 / TICKS_A_SECOND) for seconds in spent)
    both = size.orders / max(sum(spent), 1 / TICKS_A_SECOND)
    print(
        f"orders         {size.orders:,} orders, {ORDERS_A_MESSAGE} a message, for each CPU-second: validation "
        f"{validated:,.0f}, risk {risked:,.0f}, both together {both:,.0f}; {size.orders / wall:,.0f} a second through "
        "both"
    )
    return {
        "orders_per_s_validation_risk": round(min(validated, risked)),
        "orders_per_s_validation": round(validated),
        "orders_per_s_risk": round(risked),
        "orders_per_wall_s": round(size.orders / wall),
    }


async def _ends(stage: Stage, topic: str) -> int:
    async with AIOKafkaConsumer(bootstrap_servers=stage.kafka) as consumer:
        count = load_topics()["orders.submitted"].partitions_count
        ends = await consumer.end_offsets([TopicPartition(stage.prefix + topic, place) for place in range(count)])
        return sum(ends.values())


def measure_peer(stage: Stage, size: Size, kind: str, known: Path) -> float:
    """Orders a CPU-second of a program that takes one message an order and does what validation does."""
    orders, log = signed_orders(stage, size.peer_orders), stage.directory / f"peer-{kind}.log"
    arguments = [kind, stage.kafka, stage.prefix, str(known), str(size.peer_orders)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.stream_peers", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=out
        )
    try:
        assert process.stdout is not None
        if b"ready\n" not in process.stdout:
            raise BenchmarkFailed(f"the {kind} peer must start: {log.read_text()[-2000:]}")
        before = cpu_seconds(process.pid)
        messages = [(f"{kind}.submitted", *rest) for _, *rest in submissions(orders, 1)]
        asyncio.run(put(stage, messages))  # type: ignore[arg-type]
        until_s = time.monotonic() + DONE_S
        while asyncio.run(_ends(stage, f"{kind}.validated")) < size.peer_orders:
            if process.poll() is not None or time.monotonic() > until_s:
                raise BenchmarkFailed(f"all orders must come out of the {kind} peer: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        return size.peer_orders / max(cpu_seconds(process.pid) - before, 1 / TICKS_A_SECOND)
    finally:
        process.kill()
        process.wait()


def measure_peers(stage: Stage, size: Size, messages: Messages, ours: float) -> dict[str, float]:
    """The same rules message by message: what batches are worth."""
    known = stage.directory / "known.json"
    said: dict[str, Any] = {"key_id": stage.key.key_id, "secret": stage.key.secret.hex()}
    for topic in ("instruments", "accounts"):
        said[topic] = [orjson.loads(value) for name, _, _, value, _ in messages if name == topic]
    known.write_bytes(orjson.dumps(said))
    known.chmod(0o600)
    faust, plain = (measure_peer(stage, size, kind, known) for kind in ("faust", "aiokafka"))
    print(
        f"peers          the rules of validation, a message an order: Faust agent {faust:,.0f} orders a CPU-second, "
        f"plain aiokafka loop {plain:,.0f}; validation is {ours / faust:.1f} and {ours / plain:.1f} times as fast"
    )
    return {
        "per_message_ratio": round(ours / faust, 2),
        "faust_agent_per_s": round(faust),
        "aiokafka_loop_per_s": round(plain),
    }


# ---- Events ----------------------------------------------------------------------------------------------------------


def measure_analytics(stage: Stage, messages: Messages) -> dict[str, float]:
    """Events through one worker of analytics into Postgres."""
    wanted = {*FIRM_TOPICS, *SYMBOL_TOPICS, *REFERENCE_TOPICS}
    chosen = [message for message in messages if message[0] in wanted]
    fills = executions = 0
    for topic, _, _, value, count in chosen:
        executions += count if topic == "executions" else 0
        fills += value.count(b'{"type":"trade"') if topic == "trades" else 0
    events = sum(message[4] for message in chosen)
    with workers(stage, "analytics") as (analytics,):
        before, began = analytics.cpu(), time.monotonic()
        asyncio.run(put(stage, chosen))
        until_s = time.monotonic() + DONE_S
        while (rows := asyncio.run(_rows(stage))) != (executions, fills):
            analytics.status()
            if time.monotonic() > until_s:
                raise BenchmarkFailed(f"Postgres must have {executions} executions and {fills} trades, has {rows}")
            time.sleep(0.3)
        analytics.wait(lambda status: not any(status["lag"].values()), "idle", DONE_S)
        wall, spent = time.monotonic() - began, analytics.cpu() - before
    rate = events / max(spent, 1 / TICKS_A_SECOND)
    print(
        f"events         {events:,} events in {len(chosen):,} messages: {rate:,.0f} a CPU-second of analytics, "
        f"{events / wall:,.0f} a second into Postgres ({executions:,} executions, {fills:,} trades)"
    )
    return {"events_per_s_analytics": round(rate), "events_per_wall_s_analytics": round(events / wall)}


_COUNTED = ("executions", "trades")


async def _rows(stage: Stage) -> tuple[int, int]:
    connection = await asyncpg.connect(stage.postgres)
    try:
        executions, trades = [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in _COUNTED]
        return executions, trades
    finally:
        await connection.close()


# ---- The publisher ---------------------------------------------------------------------------------------------------


class Publisher:
    """`python -m engine_node publisher` beside an engine; what it logs."""

    def __init__(self, stage: Stage, engine: Server, name: str) -> None:
        self.log = stage.directory / f"{name}.log"
        settings = {
            "KAFKA_BOOTSTRAP": stage.kafka, "KAFKA_TOPIC_PREFIX": stage.prefix, "KAFKA_FLUSH_MS": 600_000,
            "LOG_FILE": self.log, "REALTIME_PRIORITY": 0,
        }  # fmt: skip
        chosen = {f"IRONBOOK_ENGINE_{field}": str(value) for field, value in settings.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine_node", "publisher"], cwd=ROOT, env=os.environ | engine.settings | chosen
        )

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Its log lines of that name."""
        lines = self.log.read_bytes().splitlines() if self.log.exists() else []
        return [line for line in map(orjson.loads, lines) if line["event"] == event]

    def wait(self, event: str, timeout_s: float) -> dict[str, Any]:
        """The first line of that name, once it is there."""
        until_s = time.monotonic() + timeout_s
        while not (found := self.lines(event)):
            if self.process.poll() is not None or time.monotonic() > until_s:
                said = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else "nothing"
                raise BenchmarkFailed(f"the publisher must say {event}, said {said}")
            time.sleep(0.02)
        return found[0]

    def finish(self) -> tuple[dict[str, Any], float, float]:
        """A stop, before which all that there is goes out: its counters, the seconds that took, its CPU-seconds."""
        began, spent, others = time.monotonic(), cpu_seconds(self.process.pid), children_seconds()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(DONE_S)
        spent = children_seconds() - others - spent  # it is a child that ended meanwhile, the only one
        (flushed,) = self.lines("publisher_flushed")
        if not flushed["complete"]:
            raise BenchmarkFailed(f"the publisher must publish everything before it ends, says {flushed}")
        return flushed, time.monotonic() - began, spent

    def end(self) -> None:
        """However the run went."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def publisher(stage: Stage, engine: Server, name: str) -> Iterator[Publisher]:
    """A publisher that has begun."""
    started = Publisher(stage, engine, name)
    try:
        started.wait("publisher_started", READY_S)
        yield started
    finally:
        started.end()


def load(engine: Server, *arguments: object) -> dict[str, Any]:
    """The load generator at an engine; its last line."""
    command = [str(PROGRAMS / "load"), str(arguments[0]), str(engine.port), *map(str, arguments[1:])]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **engine.environment})
    if done.returncode != 0:
        raise BenchmarkFailed(f"load {arguments[0]}: {done.stderr.strip() or done.returncode}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure_publisher(stage: Stage, size: Size) -> dict[str, float]:
    """A journal that is there already, then an engine under a steady load."""
    asyncio.run(_make_topics(stage))
    room = {"REPORTS_KEPT": "16384", "KEY_COUNT_MAX": "16", "LOCK_MEMORY": "false"}
    place = placement(0)
    with servers.engine(
        place, stage.directory, name="engine", level="process", busy_poll=False, extra=room
    ) as engine:
        load(engine, "setup", OPEN_ORDERS)
        load(engine, "pipe", OPEN_ORDERS, size.journal_commands, 4096)
        with publisher(stage, engine, "publisher") as one:
            flushed, seconds, spent = one.finish()
        rate = flushed["events"] / seconds
        rate_cpu = flushed["events"] / max(spent, 1 / TICKS_A_SECOND)
        print(
            f"publisher      {flushed['sequence']:,} records of a journal, {flushed['events']:,} events in "
            f"{flushed['messages']:,} messages, {seconds:.1f} s: {rate:,.0f} events a second, {rate_cpu:,.0f} a "
            "CPU-second"
        )
        with publisher(stage, engine, "publisher-live") as two:
            sent = steady_load(engine, size)
            two.finish()
    delays = asyncio.run(_delays(stage, sent))
    p50, p99 = (delays[min(len(delays) - 1, int(len(delays) * part))] for part in (0.5, 0.99))
    print(
        f"delay          {len(delays):,} events, {len(delays) / size.delay_s:,.0f} a second: from the engine's receipt "
        f"to the broker's append p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    )
    return {
        "publisher_events_per_s": round(rate),
        "publisher_events_per_cpu_s": round(rate_cpu),
        "topic_delay_p50_ms": round(p50, 1),
        "topic_delay_p99_ms": round(p99, 1),
    }


def steady_load(engine: Server, size: Size) -> int:
    """Orders that rest and are cancelled, so many events of topics a second. When it began, as the engine has it."""
    secret = bytes.fromhex(engine.environment["IRONBOOK_BENCH_SECRET"])
    key = Key(key_id=engine.environment["IRONBOOK_BENCH_KEY"], secret=secret)
    draw, number, began_ns = random.Random(SEED), 0, time.time_ns()
    with Client(("127.0.0.1", engine.port), key).connect(new_reports_only=True) as client:
        began_s, steps = time.monotonic(), int(size.delay_s * 1000 / STEP_MS)
        pairs = max(1, size.delay_rate * STEP_MS // 1000 // EVENTS_A_PAIR)
        for step in range(steps):
            commands: list[Any] = []
            for _ in range(pairs):
                number += 1
                order = v.NewOrder(
                    account=1, instrument=1, side=v.Side.BUY, price_ticks=draw.randint(1, 64), quantity_lots=1,
                    client_order_id=(1 << 40) + number, order_type=1, time_in_force=1, self_trade_prevention=2,
                )  # fmt: skip
                cancel = v.Cancel(account=1, instrument=1, target_client_order_id=(1 << 40) + number)
                commands += [order, cancel]
            client.submit_many(commands)
            time.sleep(max(0.0, began_s + (step + 1) * STEP_MS / 1000 - time.monotonic()))
    return began_ns


async def _delays(stage: Stage, since_ns: int) -> list[float]:
    """Of the events received since then: milliseconds until the broker had them, sorted. States aside."""
    found: list[float] = []
    async with AIOKafkaConsumer(bootstrap_servers=stage.kafka) as consumer:
        for topic in DELAY_TOPICS:
            places = [TopicPartition(stage.prefix + topic, p) for p in range(load_topics()[topic].partitions_count)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            while any([await consumer.position(place) < ends[place] for place in places]):
                for messages in (await consumer.getmany(timeout_ms=500)).values():
                    for message in messages:
                        found += [
                            message.timestamp - event["received_ns"] / 1e6
                            for event in orjson.loads(message.value)
                            if event["received_ns"] >= since_ns and event["n"] != 2**32 - 1
                        ]
    return sorted(found)


# ---- Topics ----------------------------------------------------------------------------------------------------------


async def _make_topics(stage: Stage) -> None:
    """All topics of the contract, and those of the peers; each with a leader."""
    plans = planned(load_topics(), stage.prefix)
    like = next(plan for plan in plans if plan.name == stage.prefix + "orders.submitted")
    for kind in ("faust", "aiokafka"):
        plans += [dataclasses.replace(like, name=f"{stage.prefix}{kind}.{part}") for part in ("submitted", "validated")]
    for number, plan in enumerate(plans):  # the broker's clock says when it has an event
        if plan.name.removeprefix(stage.prefix) in DELAY_TOPICS:
            plans[number] = dataclasses.replace(
                plan, settings={**plan.settings, "message.timestamp.type": "LogAppendTime"}
            )
    async with TopicAdmin(stage.kafka) as admin:
        await admin.create(plans, 1)
    admin_client = AIOKafkaAdminClient(bootstrap_servers=stage.kafka)
    await admin_client.start()
    try:
        for _ in range(600):
            found = await admin_client.describe_topics([plan.name for plan in plans])
            if all(one["error_code"] == 0 and all(p["leader"] >= 0 for p in one["partitions"]) for one in found):
                return
            await asyncio.sleep(0.1)
    finally:
        await admin_client.close()
    raise BenchmarkFailed("every topic must have a leader within a minute")


# ---- Command line ----------------------------------------------------------------------------------------------------


def run(size: Size, kafka: str, postgres: str, directory: Path) -> dict[str, float]:
    """The whole benchmark; its figures."""
    print(*describe(placement(0)), sep="\n")
    keys = KeyFile(directory / "keys.ironbook", make_passphrase_file(directory / "passphrase"))
    keys.initialise()
    rights = v.Permission.TRADE | v.Permission.CANCEL | v.Permission.DELEGATE
    key = Key(key_id="bench", secret=keys.create_key("bench", permissions=int(rights)).secret)
    prefix = f"bench{secrets.token_hex(3)}."
    stage = Stage(kafka=kafka, postgres=postgres, prefix=prefix, directory=directory, key=key)
    migrations.migrate(postgres)
    asyncio.run(_make_topics(stage))
    market = Market()
    market.define()
    market.trade(size.commands)
    messages, _ = messages_of(market)
    definitions = [message for message in messages if message[0] in ("assets", "instruments", "accounts")]
    asyncio.run(put(stage, definitions))
    figures = measure_orders(stage, size)
    figures |= measure_peers(stage, size, definitions, figures["orders_per_s_validation"])
    figures |= measure_analytics(stage, messages)
    figures |= measure_publisher(dataclasses.replace(stage, prefix=f"{prefix}live."), size)
    return figures


@contextlib.contextmanager
def _servers(chosen: argparse.Namespace, directory: Path) -> Iterator[tuple[str, str]]:
    if chosen.kafka and chosen.postgres:
        yield chosen.kafka, chosen.postgres
        return
    place = directory / "services"
    found = {service.name: service.address for service in services.up(place)}
    try:
        yield chosen.kafka or found["kafka"], chosen.postgres or found["postgres"]
    finally:
        services.down(place)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. 0, or 1 with a sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__.splitlines()[0])
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--real", action="store_true", help="real sizes (minutes)")
    sizes.add_argument("--smoke", action="store_true", help="small sizes: proves the answers (default)")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a broker that runs; without it one is started")
    parser.add_argument("--postgres", metavar="URL", help="an empty database; without it a server is started")
    chosen = parser.parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # new topics have their leaders a little later
    (ROOT / "build").mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-streams-", dir=ROOT / "build"))
    try:
        with _servers(chosen, directory) as (kafka, postgres):
            print(json.dumps(run(REAL if chosen.real else SMOKE, kafka, postgres, directory)))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
