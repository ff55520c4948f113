"""Users of Kafka and of the database take turns under a worker that is busy: no row is lost and none comes twice."""

from __future__ import annotations

import asyncio
import collections
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from ironbook import held
from ironbook._kafka import Security
from ironbook._topics_admin import TopicAdmin
from ironbook.renewal import database_holding, kafka_holding
from ironbook.topics import planned, rules
from schemas import migrations
from schemas.topics import load_topics
from tests.streams.analytics.scenario import INSTRUMENTS, Event, Market, batches, instrument
from tests.support.alternating import Users, connections, write_file
from tests.support.services import Broker
from tests.support.topics import partition, writing
from tests.support.workers import WorkerProcess

pytestmark = pytest.mark.timeout(300)
WAIT_S = 60.0
PARTS = 6
TOPICS = load_topics()


class Turns:
    """A worker whose logins are in files, on a broker and a database that know two users of it."""

    def __init__(self, broker: Broker, database: str, directory: Path) -> None:
        self.broker, self.directory, self.prefix = broker, directory, f"t{secrets.token_hex(4)}."
        self.market = Market(11, accounts=6).run(400)
        self.users = Users(database, "ironbook_writer")
        self.login, self.url = directory / "analytics.kafka-login.json", directory / "analytics.database-url"
        self.held_file = directory / "analytics.held.json"
        asyncio.run(self._make())

    def admin(self) -> TopicAdmin:
        return TopicAdmin(
            self.broker.bootstrap, Security(username="admin", password=self.broker.server.users["admin"])
        )

    async def _make(self) -> None:
        both = {"analytics": ("analytics_a", "analytics_b")}
        async with self.admin() as admin:
            await admin.create(planned(TOPICS, self.prefix), 1)
            await admin.allow([rule for rule in rules(TOPICS, self.prefix, both) if "analytics" in rule.user])
        async with writing(self.broker.bootstrap, self.prefix, **self.broker.login("admin")) as writer:
            for symbol, event in INSTRUMENTS.items():
                key = str(event["instrument"]).encode()
                await writer.send_raw("instruments", 0, orjson.dumps(instrument(symbol)), key)

    def forbid(self, user: str) -> None:
        """Whatever is still logged on as this user can do nothing from here on."""

        async def run() -> None:
            async with self.admin() as admin:
                await admin.remove([rule for rule in await admin.rules() if rule.user == f"User:{user}"])

        asyncio.run(run())

    def kafka_login(self, user: str, password: str = "") -> str:
        word = password or self.broker.server.users[user]
        return json.dumps({"username": user, "password": word, "mechanism": "SCRAM-SHA-512"})

    def worker(self) -> WorkerProcess:
        return WorkerProcess(
            "streams.analytics", self.broker.bootstrap, self.prefix, self.directory, kafka_login=self.login,
            database_url_file=self.url, key_poll=50, held_file=self.held_file, flush_interval=20,
        )  # fmt: skip

    def write(self, part: int) -> None:
        """A part of what happens, as it happens: those of one partition in order."""

        async def run() -> None:
            async with writing(self.broker.bootstrap, self.prefix, **self.broker.login("admin")) as writer:
                for topic, events, key in (
                    ("executions", self.market.executions, "firm"),
                    ("trades", self.market.trades, "symbol"),
                ):
                    mine: dict[int, list[Event]] = collections.defaultdict(list)
                    for event in events:
                        mine[partition(topic, str(event[key]))].append(event)
                    for number, found in mine.items():
                        share = -(-len(found) // PARTS)
                        for batch in batches(found[part * share : (part + 1) * share], 3):
                            await writer.send(topic, number, batch)

        asyncio.run(run())

    def uses(self) -> dict[str, str | None]:
        return {one.secret: one.uses for one in held.read(self.held_file).holdings}

    def count(self, table: str) -> int:
        return int(self.users.do(f"SELECT count(*) AS c FROM {table}")[0]["c"])


@pytest.fixture
def turns(sasl_kafka: Broker, postgres_url: str, tmp_path: Path) -> Iterator[Turns]:
    migrations.migrate(postgres_url)
    made = Turns(sasl_kafka, postgres_url, tmp_path)
    yield made
    made.users.drop()


def until(holds: Callable[[], Any], worker: WorkerProcess) -> None:
    ends_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < ends_s, worker.log()
        time.sleep(0.05)


def complaints(worker: WorkerProcess, of: str) -> list[dict[str, Any]]:
    found = [orjson.loads(line) for line in worker.log_path.read_bytes().splitlines() if line.startswith(b"{")]
    return [line for line in found if line["event"] == "secret_not_renewed" and line["of"] == of]


def test_users_of_kafka_and_of_the_database_take_turns_and_every_row_comes_once(turns: Turns) -> None:
    good = turns.users.enable(0)
    write_file(turns.url, good)
    write_file(turns.login, turns.kafka_login("analytics_a"))
    port = int(turns.broker.bootstrap.rpartition(":")[2])
    with turns.worker() as worker:
        worker.wait_ready()
        assert worker.process is not None
        pid = worker.process.pid
        turns.write(0)
        until(lambda: turns.count("executions") > 0, worker)
        first = connections(pid, port)
        assert first
        busy = threading.Thread(target=lambda: [turns.write(part) for part in range(1, 4)])
        busy.start()

        write_file(turns.login, turns.kafka_login("analytics_b")[:-9])
        until(lambda: len(complaints(worker, "login to Kafka")) == 1, worker)
        write_file(turns.login, turns.kafka_login("analytics_b", "wrong"))
        until(lambda: len(complaints(worker, "login to Kafka")) == 2, worker)
        name, value = kafka_holding("analytics_a", turns.broker.server.users["analytics_a"])
        assert turns.uses()[name] == value
        write_file(turns.login, turns.kafka_login("analytics_b"))
        _, value = kafka_holding("analytics_b", turns.broker.server.users["analytics_b"])
        until(lambda: turns.uses()[name] == value, worker)
        assert not first & connections(pid, port), "nothing stays logged on as the old user"
        turns.forbid("analytics_a")

        url = turns.users.enable(1)
        write_file(turns.url, url.replace(str(urlsplit(url).password), "wrong"))
        until(lambda: len(complaints(worker, "database")) == 1, worker)
        assert turns.uses()[database_holding(url)[0]] == database_holding(good)[1]
        write_file(turns.url, url)
        until(lambda: turns.uses()[database_holding(url)[0]] == database_holding(url)[1], worker)
        until(lambda: turns.users.sessions(0) == 0, worker)
        turns.users.end(0)

        busy.join(WAIT_S)
        for part in (4, 5):
            turns.write(part)
        until(lambda: turns.count("executions") >= len(turns.market.executions), worker)
        worker.wait_idle()
        assert worker.process.pid == pid
        assert worker.process.poll() is None
        assert turns.count("executions") == len(turns.market.executions)
        assert turns.count("trades") == len(turns.market.trades)
        assert worker.status()["counters"].get("gaps", 0) == 0
        assert worker.status()["counters"].get("dead_letters", 0) == 0
        assert worker.stop() == 0
    assert not turns.held_file.exists()
