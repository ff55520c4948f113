"""An environment whose secrets rotate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas.migrations import migrate
from tests.support.aws import Aws
from tests.support.rotation import World
from tests.support.services import Broker, create_database, drop_database


@pytest.fixture(scope="module")
def holders_url(postgres_server: str) -> Iterator[str]:
    """A database with secret_holders, one for a module."""
    url = create_database(postgres_server)
    migrate(url)
    yield url
    drop_database(url, postgres_server)


@pytest.fixture
def world(aws: Aws, holders_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Secrets Manager, PostgreSQL with secret_holders, and an alerts topic."""
    made = World(aws, holders_url, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def broker(world: World, sasl_kafka: Broker) -> Broker:
    """The world's users are that broker's."""
    login = sasl_kafka.login("admin")
    admin = {"username": "admin", "password": login["sasl_plain_password"], "mechanism": "SCRAM-SHA-512"}
    arn = world.secret("kafka/admin", "administrator", admin, environment="elsewhere")
    world.settings(kafka_bootstrap=sasl_kafka.bootstrap, kafka_admin_secret=arn, kafka_tls=False)
    return sasl_kafka
