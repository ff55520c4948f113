"""Real Kafka and PostgreSQL for tests: one server of a kind a session, started when the first test asks.

    Broker.start()      bootstrap, kill(), restart(), stop()      the same port and data again
    Database.start()    url, kill(), restart(), stop()            create_database(), drop_database()

Servers of their own for tests that kill them: `Broker.start(directory)` and `Database.start(directory)`, which are also
context managers. A guard (a process that waits for this one's end) stops whatever this process leaves behind, even
where it is killed itself. IRONBOOK_TEST_KAFKA (host:port) and IRONBOOK_TEST_POSTGRES (a URL) name servers that run
already.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient

from ironbook.services import ADMIN, Kafka, Postgres, Running, prepare_kafka, prepare_postgres

KAFKA_VARIABLE, POSTGRES_VARIABLE = "IRONBOOK_TEST_KAFKA", "IRONBOOK_TEST_POSTGRES"
ROOT = Path(__file__).resolve().parents[2]
_GUARD = """
import os, shutil, signal, sys
from pathlib import Path
from ironbook.services import Running

servers, places = {}, set()
for line in sys.stdin:
    what, name, *started = line.rstrip("\\n").split("\\t")
    if what == "runs":
        servers[name] = Running(pid=int(name), started=started[0])
    elif what == "ends":
        servers.pop(name, None)
    elif what == "made":
        places.add(name)
for server in servers.values():
    server.kill()
for place in places:
    shutil.rmtree(place, ignore_errors=True)
"""


@functools.cache
def _guard() -> subprocess.Popen[str]:
    """Told of every server; when this process is gone its standard input ends, and it ends what still runs."""
    return subprocess.Popen(
        [sys.executable, "-c", _GUARD], cwd=ROOT, stdin=subprocess.PIPE, text=True, start_new_session=True
    )


def _tell(*words: str) -> None:
    pipe = _guard().stdin
    assert pipe is not None
    pipe.write("\t".join(words) + "\n")
    pipe.flush()


def end_guard() -> None:
    """At the end of a session: what is left is ended now."""
    if _guard.cache_info().currsize:
        guard = _guard()
        guard.communicate(timeout=60)
        _guard.cache_clear()


def new_directory() -> Path:
    """A directory that an unprivileged server may enter, removed at the end of the session."""
    made = Path(tempfile.mkdtemp(prefix="ironbook-services-"))
    made.chmod(0o711)
    _tell("made", str(made))
    return made


class _Server:
    """A server that this process started, can kill and can start again on the same port and data."""

    def __init__(self, server: Kafka | Postgres) -> None:
        self.server = server
        self.process: Running | None = None
        self.restart()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def restart(self) -> None:
        """Start it again, after kill() or stop(); returns when it answers."""
        assert self.process is None or not self.process.alive(), "kill() or stop() it first"
        self.process = self.server.start()
        _tell("runs", str(self.process.pid), self.process.started)

    def kill(self) -> None:
        """kill -9, children too; the data stays."""
        if self.process is not None:
            self.process.kill()
            _tell("ends", str(self.process.pid))

    def stop(self) -> None:
        """End it in order; the data stays."""
        if self.process is not None:
            self.process.stop(30.0, first=self.server.stop_signal)
            _tell("ends", str(self.process.pid))


class Broker(_Server):
    """A Kafka broker; with users one that takes SASL/SCRAM only."""

    server: Kafka

    @classmethod
    def start(cls, directory: Path | None = None, users: Sequence[str] = ()) -> Broker:
        names = {ADMIN, *users} if users else set()
        place = (directory or new_directory()) / "kafka"
        return cls(prepare_kafka(place, users={name: secrets.token_urlsafe(16) for name in sorted(names)}, brief=True))

    @property
    def bootstrap(self) -> str:
        return self.server.bootstrap

    def login(self, user: str) -> dict[str, str]:
        """What an aiokafka client needs to be this user: AIOKafkaProducer(bootstrap_servers=..., **login("risk"))."""
        return {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": user,
            "sasl_plain_password": self.server.users[user],
        }


class Database(_Server):
    """A PostgreSQL server."""

    server: Postgres

    @classmethod
    def start(cls, directory: Path | None = None) -> Database:
        place = (directory or new_directory()) / "postgres"
        return cls(prepare_postgres(place, secrets.token_urlsafe(16), durable=False))

    @property
    def url(self) -> str:
        return self.server.url


@contextlib.contextmanager
def session_kafka() -> Iterator[str]:
    """The bootstrap address of a broker: the one that the variable names, or one of our own."""
    if named := os.environ.get(KAFKA_VARIABLE):
        yield named
    else:
        with Broker.start() as broker:
            yield broker.bootstrap
        shutil.rmtree(broker.server.directory, ignore_errors=True)


@contextlib.contextmanager
def session_postgres() -> Iterator[str]:
    """The URL of a server whose user may make databases."""
    if named := os.environ.get(POSTGRES_VARIABLE):
        yield named
    else:
        with Database.start() as database:
            yield database.url
        shutil.rmtree(database.server.directory, ignore_errors=True)


def delete_topics(bootstrap: str, prefix: str) -> None:
    """Delete all topics of a prefix, so that brokers stay quick however many tests there are."""

    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            if made := [name for name in await admin.list_topics() if name.startswith(prefix)]:
                await admin.delete_topics(made)
        finally:
            await admin.close()

    asyncio.run(delete())


def create_database(server_url: str, template: str = "template0") -> str:
    """A fresh database as a copy of a template; its URL."""
    name = f"test_{secrets.token_hex(6)}"
    _execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def drop_database(url: str, server_url: str) -> None:
    """Drop a database, whoever still uses it."""
    name = urlsplit(url).path.removeprefix("/")
    _execute(server_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _execute(url: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())
