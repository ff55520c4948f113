"""Which Kafka a command speaks to: as given, or that of the pipeline or the services in the data directory."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import orjson
import typer

from ironbook import ConnectionFailed
from ironbook._kafka import PLAIN_TEXT, Cluster, Security, check_servers, read_login

__all__ = [
    "PIPELINE_FILE", "Cluster", "KafkaOption", "LoginOption", "PrefixOption", "find_kafka", "read_login",
    "read_pipeline",
]  # fmt: skip

KafkaOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--kafka",
        envvar="IRONBOOK_KAFKA",
        help="Brokers, host:port; default: those of `ironbook up --kafka` or `ironbook services` in --data.",
    ),
]
PrefixOption: TypeAlias = Annotated[
    str | None, typer.Option("--prefix", envvar="IRONBOOK_TOPIC_PREFIX", help="Before every name of a topic.")
]
LoginOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--kafka-login",
        envvar="IRONBOOK_KAFKA_LOGIN",
        help="File of mode 0600, JSON: username, password, mechanism, tls, ca_file.",
    ),
]
PIPELINE_FILE = "pipeline.json"


def find_kafka(data: Path, kafka: str | None, prefix: str | None, login: Path | None) -> Cluster:
    """As given; else the running pipeline's; else the services'. Raises ConnectionFailed, InputInvalid."""
    for name in ("aiokafka", "kafka", "faust"):  # what they have to say is said by the errors they raise
        logging.getLogger(name).addHandler(logging.NullHandler())
    security = read_login(login) if login is not None else PLAIN_TEXT
    if kafka is not None:
        return Cluster(servers=check_servers(kafka), prefix=prefix or "", security=security)
    pipeline = read_pipeline(data)
    if pipeline is not None:
        given = pipeline["prefix"] if prefix is None else prefix
        if login is None and pipeline.get("login"):
            security = read_login(Path(pipeline["login"]))
        return Cluster(servers=pipeline["kafka"], prefix=given, security=security)
    from ironbook import services

    for service in services.status(data / "services"):
        if isinstance(service.server, services.Kafka) and service.running:
            users = service.server.users
            if login is None and users:
                password = users[services.ADMIN]
                security = Security(username=services.ADMIN, password=password, mechanism="SCRAM-SHA-256")
            return Cluster(servers=service.address, prefix=prefix or "", security=security)
    raise ConnectionFailed(
        "a Kafka broker must be named or be running here, is not",
        detail=str(data.absolute()),
        hint="--kafka HOST:PORT, or start one: `ironbook services up`, or all of it: `ironbook up --kafka local`",
    )


def read_pipeline(data: Path) -> dict[str, Any] | None:
    """What a running `ironbook up --kafka` wrote down; None if there is none."""
    try:
        said: dict[str, Any] = orjson.loads((data / PIPELINE_FILE).read_bytes())
        os.kill(int(said["pid"]), 0)
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    return said
