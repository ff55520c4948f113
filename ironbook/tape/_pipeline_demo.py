"""`ironbook demo --kafka`: a tape and signed orders through the whole pipeline, and totals that must agree.

tape ──signed frames──▶ engine ──▶ publisher ──▶ topics ──▶ analytics ──▶ PostgreSQL
orders.submitted ──▶ validation ──▶ risk ──▶ submitter ──▲                     │
replica of the journal ──────────────── compared with ─────────────────────────┘
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from engine_node._engine import Core
from engine_node.replica import Replica, Step
from ironbook import Key, envelope
from ironbook._kafka import partition_of
from ironbook._secrets import read_secret
from schemas.topics import load_topics
from schemas.vocabulary import REPORT_BYTES, EventKind, Permission, Report

from ._desk import TRADING, Desk, local_desk
from ._venue import VenueOptions
from .errors import TapeFailed

if TYPE_CHECKING:
    from ironbook.cli._pipeline import Full

SETTLE_TIMEOUT_S = 180.0
POLL_S = 0.5
ENVELOPES_A_MESSAGE = 20
KIND_AT = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One total, as the journal has it and as the pipeline brought it."""

    what: str
    journal: Any
    pipeline: Any

    @property
    def agrees(self) -> bool:
        return bool(self.journal == self.pipeline)


@contextlib.contextmanager
def pipeline_desk(
    directory: Path, kafka: str, prefix: str, makers: int, options: VenueOptions, told: Callable[[str], None]
) -> Iterator[tuple[Desk, Full, list[Key]]]:
    """A fresh engine with its publisher, the workers, and keys for signed orders (accounts 1 and 2)."""
    from ironbook.cli._pipeline import WORKER_KEYS, Full
    from ironbook.cli._place import client_key_path

    full = Full(directory, kafka, prefix, None, None, told)
    try:
        full.prepare_services()
        settings = {
            "kafka_bootstrap": full.cluster.servers,
            "kafka_topic_prefix": full.cluster.prefix,
        }
        with local_desk(directory, makers, options, settings) as desk:
            node = desk.node
            if node is None:
                raise TapeFailed("a desk of this machine must have an engine node, has none")
            (directory / "client-keys").mkdir(mode=0o700, exist_ok=True)
            for name, permissions in WORKER_KEYS.items():
                node.add_key(name, Permission(permissions)).write(client_key_path(directory, name))
            keys = [node.add_key(f"stream-{account}", TRADING, account) for account in (1, 2)]
            host, port = node.address
            try:
                full.start(f"{host}:{port}")
                yield desk, full, keys
            finally:
                full.stop()
    finally:
        full.stop_services()


def submit(full: Full, keys: list[Key], symbol: str, price: str, pairs: int) -> int:
    """Put signed orders on `orders.submitted`: each pair is a sell and a buy at one price. How many orders."""
    from ironbook._kafka import SCHEMA_VERSION, aiokafka

    async def send() -> int:
        topic, count = "orders.submitted", load_topics()["orders.submitted"].partitions_count
        producer = aiokafka().AIOKafkaProducer(acks="all", enable_idempotence=True, **full.cluster.options())
        await producer.start()
        try:
            for first in range(0, pairs, ENVELOPES_A_MESSAGE):
                for key, account, side in ((keys[0], 1, "sell"), (keys[1], 2, "buy")):
                    order = _order(account, symbol, side, price)
                    orders = [
                        envelope.sign_order(key, order, timestamp_ns=time.time_ns(), nonce=uuid.uuid4().hex)
                        for _ in range(min(ENVELOPES_A_MESSAGE, pairs - first))
                    ]
                    await producer.send_and_wait(
                        full.cluster.prefix + topic,
                        orjson.dumps(orders),
                        partition=partition_of(str(account), count),  # an account's firm is itself here
                        headers=[("schema", f"{topic}/{SCHEMA_VERSION}".encode())],
                    )
        finally:
            await producer.stop()
        return 2 * pairs

    return asyncio.run(send())


def _order(account: int, symbol: str, side: str, price: str) -> dict[str, object]:
    return {"action": "new", "account": account, "symbol": symbol, "side": side, "price": price, "quantity": "1"}


@dataclasses.dataclass(slots=True)
class Journal:
    """What a replay of the whole journal finds."""

    core: Core
    fills: int = 0
    trades: int = 0
    trade_lots: int = 0

    def look(self, step: Step) -> None:
        """Count the events of a step."""
        for offset in range(0, len(step.events), REPORT_BYTES):
            kind = step.events[offset + KIND_AT]
            if kind == EventKind.FILLED:
                self.fills += 1
            elif kind == EventKind.TRADE:
                self.trades += 1
                self.trade_lots += Report.unpack(step.events, offset).quantity_lots


def replay(directory: Path) -> Journal:
    """The journal from its beginning."""
    with Replica.open(directory, use_snapshot=False) as replica:
        journal = Journal(replica.core)
        replica.catch_up(each=journal.look)
    return journal


FOUND = """
SELECT (SELECT count(*) FROM executions WHERE type = 'filled') AS fills,
       (SELECT count(*) FROM trades WHERE type = 'trade') AS trades,
       (SELECT coalesce(sum(volume_lots), 0) FROM candles WHERE interval = '1d') AS candle_lots,
       (SELECT count(*) FROM executions WHERE nonce IS NOT NULL) AS answered,
       (SELECT count(*) FROM order_rejections) AS refused"""
POSITIONS = "SELECT account, instrument, position_lots FROM positions WHERE position_lots <> 0"
BALANCES = "SELECT account, asset_number, free_units, locked_units FROM balances"


def settle(directory: Path, submitted: int) -> list[Check]:
    """Wait until the database has what the journal has, and compare. What does not agree in time is in the checks."""
    url, deadline_s = read_secret(directory / "database-url"), time.monotonic() + SETTLE_TIMEOUT_S
    while True:
        checks = asyncio.run(_compare(url, replay(directory), submitted))
        if all(check.agrees for check in checks) or time.monotonic() > deadline_s:
            return checks
        time.sleep(POLL_S)


async def _compare(url: str, journal: Journal, submitted: int) -> list[Check]:
    from ironbook.cli.results import query

    [found] = await query(url, FOUND)
    positions = {(row["account"], row["instrument"]): row["position_lots"] for row in await query(url, POSITIONS)}
    rows = await query(url, BALANCES)
    balances = {(row["account"], row["asset_number"]): (row["free_units"], row["locked_units"]) for row in rows}
    return [
        Check(what="fills", journal=journal.fills, pipeline=found["fills"]),
        Check(what="trades", journal=journal.trades, pipeline=found["trades"]),
        Check(what="volume of candles, lots", journal=journal.trade_lots, pipeline=int(found["candle_lots"])),
        Check(what="positions", journal=_positions(journal.core), pipeline=positions),
        Check(what="balances", journal=_balances(journal.core), pipeline=balances),
        Check(what="signed orders answered", journal=submitted, pipeline=found["answered"]),
        Check(what="signed orders refused", journal=0, pipeline=found["refused"]),
    ]


def _positions(core: Core) -> dict[tuple[int, int], int]:
    sizes = core.options()
    accounts = [n for n in range(1, sizes["account_count_max"]) if core.account(n) is not None]
    instruments = [n for n in range(1, sizes["instrument_count_max"]) if core.instrument(n) is not None]
    found = {(a, i): core.position(a, i) for a in accounts for i in instruments}
    return {place: position[0] for place, position in found.items() if position is not None and position[0]}


def _balances(core: Core) -> dict[tuple[int, int], tuple[int, int]]:
    sizes = core.options()
    accounts = [n for n in range(1, sizes["account_count_max"]) if core.account(n) is not None]
    assets = [n for n in range(1, sizes["asset_count_max"]) if core.asset(n) is not None]
    found = {(account, asset): core.balance(account, asset) for account in accounts for asset in assets}
    return {place: balance for place, balance in found.items() if balance is not None}


def count_topics(full: Full) -> dict[str, int]:
    """Events of each topic, by a subscription from its beginning to its end."""
    from ironbook.subscribe import Subscription

    async def count(name: str) -> tuple[str, int]:
        async with Subscription(
            full.cluster.servers, name, prefix=full.cluster.prefix, from_="beginning", security=full.cluster.security
        ) as subscription:
            return name, len([item async for item in subscription.until_now()])

    async def every() -> dict[str, int]:
        return dict([await count(topic.name) for topic in load_topics() if not topic.journal])

    return asyncio.run(every())
