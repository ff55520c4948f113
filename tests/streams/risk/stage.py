"""The topics of one test of risk, keys, workers, and messages in few words."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from ironbook import Key, sign_limits
from schemas.vocabulary import Permission
from tests.streams.support import KeyDirectory, make_market, read_events, read_until, submit
from tests.support.topics import example, partition, writing
from tests.support.workers import WorkerProcess

TOPICS = (
    "orders.validated", "orders.accepted", "risk.limits", "risk.alerts", "risk.actions", "risk.audit", "book.top",
)  # fmt: skip


class Stage:
    """The topics of one test, keys, and workers of risk."""

    def __init__(self, kafka: str, prefix: str, directory: Path) -> None:
        self.kafka, self.prefix, self.directory = kafka, prefix, directory
        self.keys = KeyDirectory(directory / "keys")
        self.admin = self.keys.make("boss", int(Permission.ADMIN))
        self.trader = self.keys.make("trader", int(Permission.TRADE), account=1)
        self.seq = 100
        asyncio.run(make_market(kafka, prefix, *TOPICS))

    def worker(self, name: str = "one", **settings: object) -> WorkerProcess:
        return WorkerProcess(
            "streams.risk", self.kafka, self.prefix, self.directory / name, **self.keys.settings(), **settings
        )

    def order(self, account: int = 1, quantity_lots: int = 1, **more: Any) -> dict[str, Any]:
        now = time.time_ns()
        nonce = hashlib.sha256(random.randbytes(16)).hexdigest()[:32]
        changed = {"account": account, "firm": account, "price_ticks": 100, "quantity_lots": quantity_lots}
        return example("orders.validated", "order", timestamp_ns=now, appended_ns=now, nonce=nonce, **changed) | more

    def send(self, orders: Sequence[dict[str, Any]]) -> None:
        """Orders of one firm, as validation writes them."""
        asyncio.run(submit(self.kafka, self.prefix, "orders.validated", [(orders[0]["firm"], orders)]))

    def limit(self, limits: dict[str, Any], firm: int = 1, key: Key | None = None, **more: Any) -> None:
        """An envelope of limits for the account that is the firm's."""
        body = {"firm": firm, "account": firm, "limits": limits} | more
        nonce = random.randbytes(8).hex()
        envelope = sign_limits(key or self.admin, body, timestamp_ns=time.time_ns(), nonce=nonce)
        asyncio.run(submit(self.kafka, self.prefix, "risk.limits", [(firm, [dict(envelope)])]))

    def report(self, kind: str, account: int = 1, **changed: Any) -> None:
        """An event of the engine."""
        self.seq += 1
        event = example("executions", kind, seq=self.seq, firm=account, account=account, received_ns=time.time_ns())
        asyncio.run(self._write("executions", partition("executions", str(account)), event | changed))

    def buy(self, lots: int, ticks: int) -> None:
        """A fill of account 1."""
        units = lots * ticks
        told = {"quantity_lots": lots, "price_ticks": ticks, "notional_units": units, "fee_units": 0}
        self.report("filled", remaining_lots=0, **told)

    def price(self, last_ticks: int) -> None:
        """The top of the book."""
        self.seq += 1
        top = example("book.top", "top", seq=self.seq, last_price_ticks=last_ticks, received_ns=time.time_ns())
        asyncio.run(self._write("book.top", partition("book.top", "BTC/USD"), top, b"BTC/USD"))

    async def _write(self, topic: str, number: int, event: dict[str, Any], key: bytes | None = None) -> None:
        async with writing(self.kafka, self.prefix) as writer:
            await writer.send_raw(topic, number, orjson.dumps(event), key, schema=f"{topic}/1".encode())

    def read(self, topic: str) -> list[dict[str, Any]]:
        return asyncio.run(read_events(self.kafka, self.prefix, topic))

    def until(self, topic: str, count: int = 1) -> list[dict[str, Any]]:
        """The events of a topic, once there are so many."""
        return asyncio.run(read_until(self.kafka, self.prefix, topic, lambda found: len(found) >= count))
