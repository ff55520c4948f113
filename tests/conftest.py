"""What holds for every test."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator

import pytest

from schemas.topics import load_topics
from tests.support.aws import Aws
from tests.support.services import (
    Broker,
    create_database,
    delete_topics,
    drop_database,
    end_guard,
    session_kafka,
    session_postgres,
)


def pytest_configure() -> None:
    """Programs that the tests start can be interrupted, even where the tests themselves run in the background.

    A shell starts background jobs with SIGINT and SIGQUIT ignored, and what is ignored stays so in all children; a
    handler of our own becomes the default in them.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make test` leaves the long forms to `make soak`: each process is killed in tests/pipeline in every run."""
    if os.environ.get("IRONBOOK_SOAK"):
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    items[:] = [item for item in items if not item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=long)


def pytest_unconfigure() -> None:
    """Servers that tests left behind end with the session."""
    end_guard()


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The bootstrap address of the session's broker. Tests keep out of each other's way by `topic_prefix`."""
    with session_kafka() as bootstrap:
        yield bootstrap


@pytest.fixture
def topic_prefix(kafka: str) -> Iterator[str]:
    """A prefix that no other test has, for topics, groups and transactional ids; its topics are deleted afterwards."""
    prefix = f"t{secrets.token_hex(4)}."
    yield prefix
    delete_topics(kafka, prefix)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of the session's PostgreSQL server, whose user may make databases."""
    with session_postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty database of this test alone."""
    url = create_database(postgres_server)
    yield url
    drop_database(url, postgres_server)


@pytest.fixture(scope="session")
def sasl_kafka() -> Iterator[Broker]:
    """A broker that knows every principal of schemas/topics.json by SASL/SCRAM; `login(name)` is how to be one.

    Analytics, gateway and publisher have two users besides, that take turns: analytics_a, analytics_b …
    """
    turns = [f"{name}_{letter}" for name in ("analytics", "gateway", "publisher") for letter in "ab"]
    with Broker.start(users=[*load_topics().principals, *turns]) as broker:
        yield broker


@pytest.fixture(scope="session")
def aws_server() -> Iterator[Aws]:
    """The session's server that stands in for AWS."""
    with Aws.start() as server:
        yield server


@pytest.fixture
def aws(aws_server: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """The same, empty, and the one that boto3 in this process finds."""
    for variable, value in aws_server.environment().items():
        monkeypatch.setenv(variable, value)
    yield aws_server
    aws_server.reset()
