"""A whole installation for one test: broker, database, engine, publisher and the four workers, each a real process."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from ironbook import Key, sign_order
from ironbook._topics_admin import TopicAdmin
from ironbook.topics import planned
from schemas import migrations
from schemas import vocabulary as v
from schemas.topics import load_topics
from tests.streams.support import submit
from tests.support.node import Client, Node
from tests.support.publishing import PublisherProcess
from tests.support.services import Broker, Database, create_database
from tests.support.workers import WorkerProcess

PREFIX = "whole."
WORKERS = ("validation", "risk", "submitter", "analytics")
Permission = v.Permission


class Installation:
    """Everything between a signed order on a topic and a row in PostgreSQL. A context manager: nothing is left."""

    def __init__(self, directory: Path, broker: Broker, database: Database, **engine_settings: object) -> None:
        self.broker, self.database = broker, database
        self.kafka = broker.bootstrap
        with socket.create_server(("127.0.0.1", 0)) as free:  # a restarted engine is found where it was
            listen = f"127.0.0.1:{free.getsockname()[1]}"
        self.node = Node(directory / "engine", listen=listen, **engine_settings)
        self.database_url = create_database(database.url)
        self.directory = directory
        self.publisher: PublisherProcess | None = None
        self.workers: dict[str, WorkerProcess] = {}
        self.number = itertools.count(1)
        self.names: list[str] = []  # of all orders that were sent well signed: as the nonce is called in topics

    def start(self) -> Installation:
        """Topics, tables, keys, market; then every process."""
        asyncio.run(self._make_topics())
        migrations.migrate(self.database_url)
        secrets = {"admin": self.node.make_key("admin")}
        delegate = int(Permission.DELEGATE | Permission.TRADE | Permission.CANCEL | Permission.READ)
        secrets["submitter"] = self.node.make_key("submitter", delegate, account=0)
        secrets["risk"] = self.node.make_key("risk", int(Permission.ADMIN | Permission.READ), account=0)
        trader = int(Permission.TRADE | Permission.CANCEL | Permission.READ)
        self.traders = {account: self._key(f"trader-{account}", trader, account) for account in (1, 2)}
        for name, secret in secrets.items():
            path = self.directory / f"{name}.json"
            path.write_bytes(orjson.dumps({"key_id": name, "secret": secret.hex()}))
            path.chmod(0o600)
        self.node.start()
        market = Client.connect(self.node.address(), "admin", secrets["admin"])
        market.define_market()
        market.close()
        self.start_publisher()
        for name in WORKERS:
            self.workers[name] = self._worker(name).start()
        self.wait_ready()
        return self

    async def _make_topics(self) -> None:
        async with TopicAdmin(self.kafka) as admin:
            await admin.create(planned(load_topics(), PREFIX), 1)

    def _key(self, key_id: str, permissions: int, account: int) -> Key:
        return Key(key_id=key_id, secret=self.node.make_key(key_id, permissions, account))

    def _worker(self, name: str) -> WorkerProcess:
        host, port = self.node.address()
        return WorkerProcess(
            f"streams.{name}", self.kafka, PREFIX, self.directory / "workers",
            key_file=self.node.directory / "keys.ironbook", key_passphrase_file=self.node.directory / "passphrase",
            engine=f"{host}:{port}", engine_key=self.directory / f"{name}.json", database_url=self.database_url,
            flush_interval=50, heartbeat_interval=500,
        )  # fmt: skip

    def start_publisher(self) -> None:
        """A publisher, another one if there was one."""
        self.publisher = PublisherProcess(self.node, self.kafka, PREFIX)

    # ---- Orders ------------------------------------------------------------------------------------------------------

    def envelope(self, account: int, body: dict[str, Any], age_s: int = 0, **change: Any) -> dict[str, Any]:
        """A signed order; `change` spoils it afterwards."""
        nonce, timestamp_ns = f"order-{next(self.number)}", time.time_ns() - age_s * 10**9
        key = self.traders[account]
        made = dict(sign_order(key, {"account": account} | body, timestamp_ns=timestamp_ns, nonce=nonce))
        if not change:
            text = f"{key.key_id}\n{timestamp_ns}\n{nonce}"
            self.names.append(hashlib.sha256(text.encode()).hexdigest()[:32])
        return made | change

    def order(self, account: int, side: str, price: int, quantity: int, **more: Any) -> dict[str, Any]:
        """A limit order in BTC-USD; the market of the tests has a tick of 1000000 and a lot of 0.00000001."""
        body = {"action": "new", "symbol": "BTC-USD", "side": side, "price": f"{price}000000"}
        return self.envelope(account, body | {"quantity": f"0.{quantity:08}"} | more)

    def put(self, account: int, events: list[Any] | bytes) -> None:
        """One message of an account's orders."""
        asyncio.run(submit(self.kafka, PREFIX, "orders.submitted", [(account, events)]))

    # ---- Answers -----------------------------------------------------------------------------------------------------

    def rows(self, query: str) -> list[Any]:
        """What the database says; [] while it is away."""

        async def ask() -> list[Any]:
            connection = await asyncpg.connect(self.database_url, timeout=5)
            try:
                return [tuple(row) for row in await connection.fetch(query)]
            finally:
                await connection.close()

        try:
            return asyncio.run(ask())
        except (OSError, asyncpg.PostgresError):
            return []

    def decided(self) -> set[str]:
        """Names of the orders whose outcome is in the database: reported by the engine, or refused on the way."""
        found = self.rows(
            "SELECT nonce FROM executions WHERE nonce IS NOT NULL UNION SELECT nonce FROM order_rejections "
            "WHERE nonce IS NOT NULL"
        )
        return {name for (name,) in found}

    def supervise(self) -> None:
        """Start again what ended by itself, as whoever runs an installation does: workers end rather than guess."""
        for worker in self.workers.values():
            if worker.process is not None and worker.process.poll() is not None:
                worker.start()
        if self.publisher is not None and self.publisher.process.poll() is not None:
            self.start_publisher()

    def wait(self, holds: Callable[[], Any], timeout_s: float, what: str) -> None:
        """Until it holds, starting again what ended meanwhile."""
        until_s = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > until_s:
                told = [f"--- {one.name} {one.status()}\n{one.log()[-1500:]}" for one in self.workers.values()]
                raise AssertionError("\n".join([f"not within {timeout_s} s: {what}", *told]))
            self.supervise()
            time.sleep(0.3)

    def wait_ready(self, timeout_s: float = 90.0) -> None:
        """Until all workers are."""
        self.wait(lambda: all(one.status()["ready"] for one in self.workers.values()), timeout_s, "all workers ready")

    def wait_decided(self, timeout_s: float = 120.0) -> None:
        """Until every well signed order has an outcome in the database."""
        self.wait(lambda: set(self.names) <= self.decided(), timeout_s, "every order has an outcome")

    def __enter__(self) -> Installation:
        return self.start()

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            if worker.process is not None:
                worker.kill()
        if self.publisher is not None:
            self.publisher.end()
        self.node.end()
