"""Users of a real broker, and of MSK, where each user's password is a secret of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
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
from tests.support.rotation import CURRENT, World, kafka_may_log_on
from tests.support.services import Broker


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


def test_a_user_rotates_to_the_other_one_with_the_same_rights(world: World, broker: Broker):
    secret = world.kafka()
    world.handle({"action": "install"})
    old = world.value(secret)
    assert kafka_may_log_on(broker.bootstrap, old)
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
    assert kafka_may_log_on(broker.bootstrap, old)
    assert kafka_may_log_on(broker.bootstrap, new)
    wanted = rules(load_topics(), "", {"analytics": [new["username"]]})
    rights = [rule for rule in state(broker)[1] if f"User:{new['username']}" in rule]
    assert len(rights) == 1 + sum(rule.user == f"User:{new['username']}" for rule in wanted)
    assert sum("10.0.0.1" in rule for rule in rights) == 1
    world.hold(secret)
    assert world.drive(secret)["state"] == "rest"
    assert not kafka_may_log_on(broker.bootstrap, old)
    assert kafka_may_log_on(broker.bootstrap, new)
    assert set(world.labels(secret)) == {CURRENT}
    world.step("setSecret", secret, world.labels(secret)[CURRENT])
    assert kafka_may_log_on(broker.bootstrap, new)


def test_a_principal_that_is_none_gets_no_user(world: World, broker: Broker):
    secret = world.kafka(principal="everybody")
    world.hold(secret)
    current = world.labels(secret)[CURRENT]
    with pytest.raises(KafkaRefused, match="a principal must be one of"):
        world.rotate(secret)
    assert world.labels(secret)[CURRENT] == current


def test_kafka_that_is_not_there_changes_nothing(world: World, broker: Broker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("functions.rotation.kafka_users.TIMEOUT_S", 1.0)
    secret = world.kafka()
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
    secret = world.kafka()
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
