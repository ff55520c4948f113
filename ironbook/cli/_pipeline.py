"""What `ironbook up` starts beside the engine: analytics on this machine, or with --kafka the full pipeline.

embedded   PostgreSQL (of pip, or --database) ◀── python -m ironbook.embedded ◀── replica of the journal
full       Kafka and its topics ◀─▶ python -m streams.{validation,risk,submitter,analytics} ──▶ PostgreSQL

<data>/pipeline.json        what runs, for other commands; gone when `up` ends
<data>/database-url         where the results are, mode 0600
<data>/streams/<worker>.log and .json
"""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit

import orjson

from ironbook import DependencyMissing, EngineFailed, InputInvalid, Key, ServiceFailed
from ironbook._secrets import read_secret, write_secret
from ironbook.cli._children import Child, Children
from ironbook.cli._kafka import PIPELINE_FILE, Cluster, read_login
from ironbook.cli._place import client_key_path, passphrase_from_environment
from ironbook.keystore import KEY_FILE_NAME, PASSPHRASE_FILE_VARIABLE, KeyFile
from schemas.vocabulary import Permission

WORKERS = ("validation", "risk", "submitter", "analytics")
LOCAL = "local"
URL_FILE = "database-url"
STOP_TIMEOUT_S = 20.0
READY_TIMEOUT_S = 240.0
DATABASE_TIMEOUT_S = 60.0
POLL_S = 0.2
# What a worker does on the engine, it does with a key of its own.
WORKER_KEYS = {
    "submitter": Permission.DELEGATE | Permission.TRADE | Permission.CANCEL | Permission.READ,
    "risk": Permission.ADMIN | Permission.READ,
}
Told = Callable[[str], None]


class Embedded:
    """PostgreSQL and `python -m ironbook.embedded`. Whatever fails here is told and does not stop trading."""

    def __init__(self, data: Path, database: str | None, told: Told) -> None:
        self.data, self.database, self.told = data, database, told
        self.children = Children(told)

    def engine_variables(self) -> dict[str, str]:
        """What the engine must know of it: nothing."""
        return {}

    def prepare(self, keys: KeyFile) -> None:
        """Before the engine starts: nothing."""

    def start(self, address: str) -> dict[str, Any]:
        """Start it; what there is to say of it. What the database does wrong is told and tried again."""
        try:
            check_embedded()
        except DependencyMissing as error:
            self.told(f"analytics does not run: {error}")
            return {"analytics": None}
        arguments = ["--data", str(self.data)]
        if self.database is not None:
            write_secret(self.data / URL_FILE, self.database)
            arguments += ["--database-url-file", str(self.data / URL_FILE)]
        log = self.data / "streams" / "embedded.log"
        self.children.add(Child("analytics", "ironbook.embedded", arguments, os.environ, log))
        self.children.start()
        return {"analytics": "embedded"}

    def for_gateway(self) -> dict[str, Any]:
        """What the gateway is told of it: waits until the database is named."""
        deadline_s = time.monotonic() + DATABASE_TIMEOUT_S
        while self.children.children and not (self.data / URL_FILE).exists() and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        return {"database": bool(self.children.children) and (self.data / URL_FILE).exists()}

    def stop(self) -> None:
        """End analytics."""
        self.children.stop(STOP_TIMEOUT_S)

    def stop_services(self) -> None:
        """End the database that it started, should it not have done so."""
        if self.database is None and (self.data / "embedded").exists():
            stop_services(self.data / "embedded")


class Full:
    """Kafka, its topics, the database, and the four workers; the engine gets its publisher by settings."""

    def __init__(
        self, data: Path, kafka: str, prefix: str, login: Path | None, database: str | None, told: Told
    ) -> None:
        self.data, self.told = data, told
        self._kafka, self._database, self._login = kafka, database, login
        self._started: Path | None = None  # the services that are ours to stop
        security = {} if login is None else {"security": read_login(login)}
        self.cluster = Cluster(servers="" if kafka == LOCAL else kafka, prefix=prefix, **security)
        self.children = Children(told)
        self.directory = data / "streams"

    def prepare(self, keys: KeyFile) -> None:
        """Before the engine starts: services, topics, tables, keys."""
        self.prepare_services()
        make_worker_keys(keys, self.data)

    def prepare_services(self) -> None:
        """Servers that answer, with topics and tables."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = self._database
        if self._kafka == LOCAL:
            servers, local_url = self._start_local(postgres=database is None)
            self.cluster = Cluster(servers=servers, prefix=self.cluster.prefix, security=self.cluster.security)
            database = database or local_url
        elif database is None:
            database = start_postgres(self.data / "embedded")
            self._started = self.data / "embedded"
        write_secret(self.data / URL_FILE, database)
        made = asyncio.run(create_topics(self.cluster))
        self.told(f"Kafka at {self.cluster.servers}: {made} topics made")
        from schemas.migrations import migrate

        applied = migrate(database)
        self.told(f"PostgreSQL at {without_password(database)}: {len(applied)} migrations applied")

    def _start_local(self, *, postgres: bool) -> tuple[str, str]:
        from ironbook import services

        place = self.data / "services"
        before = {service.name for service in services.status(place) if service.running}
        found = {service.name: service.address for service in services.up(place, postgres=postgres)}
        if not before:
            self._started = place
        return found["kafka"], found.get("postgres", "")

    def engine_variables(self) -> dict[str, str]:
        """Settings by which the engine starts its publisher."""
        security = self.cluster.security
        said = {
            "IRONBOOK_ENGINE_KAFKA_BOOTSTRAP": self.cluster.servers,
            "IRONBOOK_ENGINE_KAFKA_TOPIC_PREFIX": self.cluster.prefix,
            "IRONBOOK_ENGINE_KAFKA_SECURITY": security.options()["security_protocol"].lower(),
        }
        if security.username:
            said["IRONBOOK_ENGINE_KAFKA_USERNAME"] = security.username
            said["IRONBOOK_ENGINE_KAFKA_SASL_MECHANISM"] = security.mechanism
            said["IRONBOOK_ENGINE_KAFKA_PASSWORD_FILE"] = str(self._password_file())
        if security.ca_file:
            said["IRONBOOK_ENGINE_KAFKA_CA_FILE"] = security.ca_file
        return said

    def _password_file(self) -> Path:
        return write_secret(self.directory / "kafka-password", self.cluster.security.password)

    def worker_variables(self, worker: str, address: str) -> dict[str, str]:
        """The environment of a worker."""
        security = self.cluster.security
        said = {
            "KAFKA": self.cluster.servers,
            "SECURITY_PROTOCOL": security.options()["security_protocol"],
            "STATE_DIRECTORY": str(self.directory),
            "KEY_FILE": str(self.data / KEY_FILE_NAME),
            "ENGINE": address,
            "DATABASE_URL_FILE": str(self.data / URL_FILE),
        }
        if worker in WORKER_KEYS:
            said["ENGINE_KEY"] = str(client_key_path(self.data, worker))
        if security.username:
            said |= {"USERNAME": security.username, "SASL_MECHANISM": security.mechanism}
            said["PASSWORD_FILE"] = str(self._password_file())
        if security.ca_file:
            said["CA_FILE"] = security.ca_file
        variables = {name: value for name, value in os.environ.items() if not name.startswith("IRONBOOK_STREAMS_")}
        variables |= {f"IRONBOOK_STREAMS_{name}": value for name, value in said.items()}
        variables["IRONBOOK_TOPIC_PREFIX"] = self.cluster.prefix
        if not passphrase_from_environment():
            variables[PASSPHRASE_FILE_VARIABLE] = str(self.data / "passphrase")
        return variables

    def start(self, address: str) -> dict[str, Any]:
        """Start the workers and wait until they are ready. Raises EngineFailed with what one said last."""
        for worker in WORKERS:
            (self.directory / f"{worker}.json").unlink(missing_ok=True)
            log = self.directory / f"{worker}.log"
            variables = self.worker_variables(worker, address)
            self.children.add(Child(worker, f"streams.{worker}", [], variables, log))
        self.children.start()
        said = {
            "pid": os.getpid(),
            "kafka": self.cluster.servers,
            "prefix": self.cluster.prefix,
            "login": str(self._login.absolute()) if self._login is not None else "",
            "engine": address,
        }
        write_secret(self.data / PIPELINE_FILE, orjson.dumps(said).decode())
        self._wait_until_ready()
        database = without_password(read_secret(self.data / URL_FILE))
        workers = {child.name: child.pid for child in self.children.children}
        return {"kafka": self.cluster.servers, "prefix": self.cluster.prefix, "database": database, "workers": workers}

    def for_gateway(self) -> dict[str, Any]:
        """What the gateway is told of it: the database, the brokers and the login file."""
        return {"database": True, "cluster": self.cluster, "login": self._login}

    def _wait_until_ready(self) -> None:
        waiting = {child.name: child for child in self.children.children}
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while waiting:
            for name in [name for name in waiting if worker_ready(self.directory / f"{name}.json")]:
                self.told(f"worker {name} is ready")
                del waiting[name]
            if waiting and time.monotonic() > deadline_s:
                name, child = next(iter(waiting.items()))
                raise EngineFailed(
                    f"all workers must be ready within {READY_TIMEOUT_S:.0f} s, {', '.join(waiting)} are not",
                    detail=last_line(child.log),
                    hint=f"the whole log: {child.log}",
                )
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End the workers."""
        (self.data / PIPELINE_FILE).unlink(missing_ok=True)
        self.children.stop(STOP_TIMEOUT_S)

    def stop_services(self) -> None:
        """When the engine has ended too: its publisher tells Kafka the rest first."""
        if self._started is not None:
            stop_services(self._started)


def check_embedded() -> None:
    """Raises DependencyMissing."""
    try:
        import ironbook.embedded  # noqa: F401
    except ImportError as error:
        raise DependencyMissing(
            f"{error.name} must be installed for analytics, is not", hint="pip install 'ironbook[streams,embedded]'"
        ) from error


def start_postgres(place: Path) -> str:
    """A PostgreSQL of this directory; its URL."""
    from ironbook import services

    [found] = services.up(place, kafka=False)
    return found.address


def stop_services(place: Path) -> None:
    """End what runs there; what cannot be ended is no reason to fail at the end."""
    from ironbook import services

    try:
        services.down(place)
    except (ServiceFailed, OSError):
        return


async def create_topics(cluster: Cluster) -> int:
    """Make what is missing; how many were made. Raises ConnectionFailed, ServiceFailed."""
    from ironbook._topics_admin import TopicAdmin
    from ironbook.topics import planned, replication
    from schemas.topics import load_topics

    async with TopicAdmin(cluster.servers, cluster.security) as admin:
        copies, least = replication(await admin.brokers_count())
        plans = planned(load_topics(), cluster.prefix, min_insync_count=least)
        found = await admin.found([plan.name for plan in plans])
        missing = [plan for plan in plans if plan.name not in found]
        return len(await admin.create(missing, copies)) if missing else 0


def make_worker_keys(keys: KeyFile, data: Path) -> list[str]:
    """A key for each worker that speaks to the engine; the ids that were new."""
    known = {key.key_id for key in keys.load().keys}
    made = []
    for key_id, permissions in WORKER_KEYS.items():
        if key_id not in known:
            new = keys.create_key(key_id, permissions=int(permissions), account=0, note="a worker's, by ironbook up")
            Key(key_id=key_id, secret=new.secret).write(client_key_path(data, key_id))
            made.append(key_id)
    return made


def worker_ready(state: Path) -> bool:
    """Does the worker whose state file this is say that it is ready?"""
    try:
        said: Mapping[str, Any] = orjson.loads(state.read_bytes())
        with urllib.request.urlopen(f"http://127.0.0.1:{said['web_port']}/ready", timeout=1.0) as answer:
            return bool(answer.status == 200)
    except (OSError, URLError, orjson.JSONDecodeError, KeyError):
        return False


def without_password(url: str) -> str:
    """A database's URL for people."""
    password = urlsplit(url).password
    return url.replace(f":{password}@", "@") if password else url


def last_line(log: Path) -> str:
    """What a process said last."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "it has said nothing"
    return lines[-1][-500:] if lines else "it has said nothing"


def choose(
    data: Path,
    kafka: str | None,
    prefix: str | None,
    login: Path | None,
    database: str | None,
    analytics: bool,
    told: Told,
) -> Embedded | Full | None:
    """What is to run beside the engine. Raises InputInvalid."""
    if kafka is not None:
        if not analytics:
            raise InputInvalid("--no-analytics must not stand beside --kafka, whose workers include analytics")
        return Full(data, kafka, prefix or "", login, database, told)
    return Embedded(data, database, told) if analytics else None
