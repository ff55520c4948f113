"""Kafka and PostgreSQL for development and tests: up and down, known by a state file.

    .ironbook/services/
        services.json    addresses, pids with start times, passwords; mode 0600
        kafka/           server.properties, log/, server.log
        postgres/        data/, server.log

`up` twice is `up` once; `down` ends only what services.json can prove to be ours. Ports and data stay from one `up` to
the next, so addresses that somebody noted remain right.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from ironbook._errors import ServiceFailed
from ironbook.services import _kafka, _postgres
from ironbook.services._kafka import ADMIN, Kafka
from ironbook.services._postgres import Postgres
from ironbook.services._process import Running

__all__ = [
    "ADMIN",
    "DIRECTORY",
    "Kafka",
    "Postgres",
    "Running",
    "Service",
    "down",
    "fetch",
    "prepare_kafka",
    "prepare_postgres",
    "status",
    "up",
]

DIRECTORY = Path(".ironbook/services")
_STATE = "services.json"
fetch = _kafka.fetch
prepare_kafka = _kafka.prepare
prepare_postgres = _postgres.prepare


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One server and, if it has been started, its process."""

    server: Kafka | Postgres
    process: Running | None

    @property
    def name(self) -> str:
        return "kafka" if isinstance(self.server, Kafka) else "postgres"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.alive()

    @property
    def address(self) -> str:
        """Where it answers; with the database's password."""
        return self.server.bootstrap if isinstance(self.server, Kafka) else self.server.url


def up(
    directory: Path = DIRECTORY,
    *,
    kafka: bool = True,
    postgres: bool = True,
    users: Sequence[str] = (),
    kafka_port: int | None = None,
    postgres_port: int | None = None,
) -> list[Service]:
    """Start what is wanted and not running. users: with any, Kafka takes SASL/SCRAM only; `admin` comes by itself."""
    directory = directory.absolute()
    with _held(directory):
        found = _read(directory)
        if kafka:
            _check(found.get("kafka"), users, kafka_port)
            _start(directory, found, "kafka", lambda: _new_kafka(directory, users, kafka_port))
        if postgres:
            word = secrets.token_urlsafe(24)
            _check(found.get("postgres"), (), postgres_port)
            _start(directory, found, "postgres", lambda: prepare_postgres(directory / "postgres", word, postgres_port))
        return list(found.values())


def down(directory: Path = DIRECTORY) -> list[Service]:
    """Stop what runs; the data stays. What was running."""
    directory = directory.absolute()
    with _held(directory):
        found = _read(directory)
        stopped = [service for service in found.values() if service.running]
        for service in stopped:
            assert service.process is not None
            service.process.stop(_kafka.STOP_TIMEOUT_S, first=service.server.stop_signal)
            found[service.name] = dataclasses.replace(service, process=None)
        _write(directory, found)
        return stopped


def status(directory: Path = DIRECTORY) -> list[Service]:
    """Every service that has ever been started there."""
    return list(_read(directory.absolute()).values())


def _new_kafka(directory: Path, users: Sequence[str], port: int | None) -> Kafka:
    names = sorted({ADMIN, *users}) if users else []
    return prepare_kafka(directory / "kafka", port, {name: secrets.token_urlsafe(24) for name in names})


def _start(directory: Path, found: dict[str, Service], name: str, make: Any) -> None:
    """Start one; what was made is written down before it is started, so nothing runs that nobody knows."""
    service = found.get(name) or Service(server=make(), process=None)
    if not service.running:
        found[name] = dataclasses.replace(service, process=None)
        _write(directory, found)
        found[name] = dataclasses.replace(service, process=service.server.start())
        _write(directory, found)


def _check(made: Service | None, users: Sequence[str], port: int | None) -> None:
    """What was made earlier must be what is asked for now."""
    if made is None:
        return
    if port not in (None, made.server.port):
        raise _other(made, f"{made.name} must have the port it was made with, {made.server.port}, not {port}")
    if isinstance(made.server, Kafka) and (lacking := sorted(set(users) - set(made.server.users))):
        raise _other(made, f"Kafka must have been made with the users {', '.join(lacking)}, was not")


def _other(made: Service, message: str) -> ServiceFailed:
    place = made.server.directory
    return ServiceFailed(
        message, detail=str(place), hint=f"choose another --data, or stop it and remove {place.parent}"
    )


@contextlib.contextmanager
def _held(directory: Path) -> Iterator[None]:
    """One `up` or `down` at a time."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _read(directory: Path) -> dict[str, Service]:
    try:
        said = orjson.loads((directory / _STATE).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, orjson.JSONDecodeError) as error:
        raise ServiceFailed(f"services.json must be readable: {error}", detail=str(directory / _STATE)) from error
    found = {}
    for name, kind in (("kafka", Kafka), ("postgres", Postgres)):
        if name in said:
            server = kind(**{**said[name]["server"], "directory": directory / name})
            process = said[name]["process"]
            found[name] = Service(server=server, process=Running(**process) if process else None)
    return found


def _write(directory: Path, found: dict[str, Service]) -> None:
    said: dict[str, Any] = {
        name: {
            "address": service.address,
            "server": {k: v for k, v in dataclasses.asdict(service.server).items() if k != "directory"},
            "process": dataclasses.asdict(service.process) if service.process else None,
        }
        for name, service in found.items()
    }
    new = directory / f"{_STATE}.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(orjson.dumps(said, option=orjson.OPT_INDENT_2))
    new.rename(directory / _STATE)
