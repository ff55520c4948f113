"""Users of a real broker, and of MSK, where each user's password is a secret of its own."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from functions.rotation.errors import KafkaRefused, NewSecretRefused
from ironbook.topics import rules
from schemas.topics import load_topics
from tests.support.rotation import CURRENT, World
from tests.support.services import Broker


@pytest.fixture
def broker(world: World, sasl_kafka: Broker) -> Broker:
    """The world's users are that broker's."""
    login = sasl_kafka.login("admin")
    admin = {"username": "admin", "password": login["sasl_plain_password"], "mechanism": "SCRAM-SHA-512"}
    arn = world.secret("kafka/admin", "administrator", admin, environment="elsewhere")
    world.settings(kafka_bootstrap=sasl_kafka.bootstrap, kafka_admin_secret=arn, kafka_tls=False)
    return sasl_kafka


def login(world: World, **more: Any) -> str:
    """A secret of two users that may do what analytics may."""
    users = [f"{world.mark}_a", f"{world.mark}_b"]
    value = {"username": users[0], "password": secrets.token_hex(32), "mechanism": "SCRAM-SHA-512", "users": users,
             "principal": "analytics"}  # fmt: skip
    return world.secret("kafka/analytics", "kafka", value | more, "analytics=1")


def admin(broker: Broker) -> AdminClient:
    """Kafka's own administrator."""
    said = broker.login("admin")
    return AdminClient(
        {"bootstrap.servers": broker.bootstrap, "security.protocol": "SASL_PLAINTEXT",
         "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "admin", "sasl.password": said["sasl_plain_password"]}
    )  # fmt: skip


def state(broker: Broker) -> tuple[Any, Any]:
    """All users and access rules of the broker."""
    kafka = admin(broker)
    users = kafka.describe_user_scram_credentials(request_timeout=10).result()
    known = {
        name: [(str(one.mechanism), one.iterations) for one in said.scram_credential_infos]
        for name, said in users.items()
    }
    every = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    return known, sorted(map(str, kafka.describe_acls(every).result()))


def may_log_on(broker: Broker, value: dict[str, Any]) -> bool:
    """Would the broker take this login?"""

    async def ask() -> bool:
        client = AIOKafkaClient(
            bootstrap_servers=broker.bootstrap, security_protocol="SASL_PLAINTEXT", sasl_mechanism=value["mechanism"],
            sasl_plain_username=value["username"], sasl_plain_password=value["password"],
        )  # fmt: skip
        try:
            await client.bootstrap()
        except KafkaError:
            return False
        finally:
            await client.close()
        return True

    return asyncio.run(ask())


def test_a_user_rotates_to_the_other_one_with_the_same_rights(world: World, broker: Broker):
    secret = login(world)
    world.handle({"action": "install"})
    old = world.value(secret)
    assert may_log_on(broker, old)
    by_hand = AclBinding(
        ResourceType.BROKER, "kafka-cluster", ResourcePatternType.LITERAL, f"User:{old['username']}", "10.0.0.1",
        AclOperation.ALTER, AclPermissionType.ALLOW,
    )  # fmt: skip
    kafka = admin(broker)
    for future in kafka.create_acls([by_hand]).values():
        future.result(10)
    world.hold(secret)
    before = state(broker), world.everything()
    world.rotate(secret, dry_run=True)
    assert (state(broker), world.everything()) == before
    world.rotate(secret)
    new = world.value(secret)
    assert may_log_on(broker, old)
    assert may_log_on(broker, new)
    wanted = rules(load_topics(), "", {"analytics": [new["username"]]})
    rights = [rule for rule in state(broker)[1] if f"User:{new['username']}" in rule]
    assert len(rights) == 1 + sum(rule.user == f"User:{new['username']}" for rule in wanted)
    assert sum("10.0.0.1" in rule for rule in rights) == 1
    world.hold(secret)
    assert world.drive(secret)["state"] == "rest"
    assert not may_log_on(broker, old)
    assert may_log_on(broker, new)
    assert set(world.labels(secret)) == {CURRENT}
    world.step("setSecret", secret, world.labels(secret)[CURRENT])
    assert may_log_on(broker, new)


def test_a_principal_that_is_none_gets_no_user(world: World, broker: Broker):
    secret = login(world, principal="everybody")
    world.hold(secret)
    current = world.labels(secret)[CURRENT]
    with pytest.raises(KafkaRefused, match="a principal must be one of"):
        world.rotate(secret)
    assert world.labels(secret)[CURRENT] == current


def test_kafka_that_is_not_there_changes_nothing(world: World, broker: Broker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("functions.rotation.kafka_users.TIMEOUT_S", 1.0)
    secret = login(world)
    world.hold(secret)
    current = world.labels(secret)[CURRENT]
    world.settings(kafka_bootstrap="127.0.0.1:1")
    with pytest.raises(KafkaRefused, match="must get its new password, Kafka refused"):
        world.rotate(secret)
    assert world.labels(secret)[CURRENT] == current
    assert "Kafka refused" in world.alerts()[0]


def test_on_msk_passwords_go_into_the_users_own_secrets_and_the_brokers_are_asked_for_the_rest(
    world: World, broker: Broker, monkeypatch: pytest.MonkeyPatch
):
    """The broker here is no MSK, so nobody carries the password from that secret to it: the test of it must fail."""
    monkeypatch.setattr("functions.rotation.kafka_users.TIMEOUT_S", 2.0)
    secret = login(world)
    world.settings(kafka_user_secret_prefix="AmazonMSK_test_")
    users = world.value(secret)["users"]
    for user in users:
        world.api.create_secret(Name=f"AmazonMSK_test_{user}", SecretString='{"username": "x", "password": "x"}')
    world.hold(secret)
    for _ in range(2):
        with pytest.raises(NewSecretRefused, match="the new user must be let in by Kafka, was not"):
            world.rotate(secret)
    pending = world.value(secret, "AWSPENDING")
    own = world.api.get_secret_value(SecretId=f"AmazonMSK_test_{users[1]}")
    assert json.loads(own["SecretString"]) == {"username": users[1], "password": pending["password"]}
    versions = world.api.describe_secret(SecretId=f"AmazonMSK_test_{users[1]}")["VersionIdsToStages"]
    assert len(versions) == 2  # the same value again is no new version
