"""Workers on a broker with access rules: the rights of its row in the contract are all that a worker needs."""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from ironbook import sign_order
from ironbook._kafka import Security
from ironbook._topics_admin import TopicAdmin
from ironbook.topics import planned, rules
from schemas import migrations
from schemas.topics import load_topics
from schemas.vocabulary import Permission
from tests.streams.support import KeyDirectory
from tests.support.services import Broker
from tests.support.topics import example
from tests.support.workers import WorkerProcess

pytestmark = pytest.mark.timeout(300)  # a broker and a worker start, on a machine that may be busy
TOPICS = load_topics()
WAIT_S = 90.0


class Guarded:
    """An installation of its own on a broker with access rules, with BTC/USD and account 1."""

    def __init__(self, broker: Broker, directory: Path) -> None:
        self.broker, self.directory, self.prefix = broker, directory, f"t{secrets.token_hex(4)}."
        self.keys = KeyDirectory(directory / "keys")
        asyncio.run(self._make())

    async def _make(self) -> None:
        security = Security(username="admin", password=self.broker.server.users["admin"])
        async with TopicAdmin(self.broker.bootstrap, security) as admin:
            await admin.create(planned(TOPICS, self.prefix), 1)
            await admin.allow(rules(TOPICS, self.prefix))
        for topic, kind in (("instruments", "instrument"), ("accounts", "account")):
            await self._send("publisher", topic, b"1", example(topic, kind))

    async def _send(self, user: str, topic: str, key: bytes, event: dict[str, Any]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.broker.bootstrap, **self.broker.login(user))
        await producer.start()
        try:
            headers = [("schema", f"{topic}/1".encode())]
            await producer.send_and_wait(self.prefix + topic, orjson.dumps(event), key=key, headers=headers)
        finally:
            await producer.stop()

    def send(self, user: str, topic: str, key: bytes, event: dict[str, Any]) -> None:
        """One event, as a principal."""
        asyncio.run(self._send(user, topic, key, event))

    def first(self, user: str, topic: str) -> dict[str, Any]:
        """The first event of a topic, read as a principal in a group of its own."""

        async def read() -> dict[str, Any]:
            consumer = AIOKafkaConsumer(
                self.prefix + topic,
                bootstrap_servers=self.broker.bootstrap,
                group_id=f"{self.prefix}ironbook-{user}",
                auto_offset_reset="earliest",
                **self.broker.login(user),
            )
            await consumer.start()
            try:
                found = orjson.loads((await asyncio.wait_for(consumer.getone(), WAIT_S)).value)
                return dict(found[0] if isinstance(found, list) else found)
            finally:
                await consumer.stop()

        return asyncio.run(read())

    def worker(self, name: str, **settings: object) -> WorkerProcess:
        """The worker of that name, logged on as the principal of that name."""
        login = self.broker.login(name)
        return WorkerProcess(
            f"streams.{name}",
            self.broker.bootstrap,
            self.prefix,
            self.directory / name,
            security_protocol=login["security_protocol"],
            sasl_mechanism=login["sasl_mechanism"],
            username=login["sasl_plain_username"],
            password=login["sasl_plain_password"],
            **self.keys.settings(),
            **settings,
        )


@pytest.fixture
def guarded(sasl_kafka: Broker, tmp_path: Path) -> Guarded:
    return Guarded(sasl_kafka, tmp_path)


def test_a_clients_order_is_validated_with_nobody_having_more_rights_than_its_row_says(guarded: Guarded) -> None:
    key = guarded.keys.make("desk", int(Permission.TRADE | Permission.CANCEL), account=1)
    body = {"action": "new", "account": 1, "symbol": "BTC/USD", "side": "buy", "price": "60010.00", "quantity": "0.5"}
    with guarded.worker("validation") as worker:
        worker.wait_ready()
        envelope = dict(sign_order(key, body, timestamp_ns=time.time_ns(), nonce="n-1"))
        guarded.send("client", "orders.submitted", b"1", envelope)
        assert guarded.first("risk", "orders.validated")["key_id"] == "desk"
        assert guarded.first("operator", "heartbeats")["worker"] == "validation"


def test_risk_gets_ready_with_the_rights_of_its_row_alone(guarded: Guarded) -> None:
    with guarded.worker("risk") as worker:
        worker.wait_ready()
        assert guarded.first("operator", "heartbeats")["worker"] == "risk"


def test_analytics_gets_ready_with_the_rights_of_its_row_alone(guarded: Guarded, postgres_url: str) -> None:
    migrations.migrate(postgres_url)
    with guarded.worker("analytics", database_url=postgres_url) as worker:
        worker.wait_ready()
        assert guarded.first("operator", "heartbeats")["worker"] == "analytics"
