"""`ironbook topics` on real brokers, and `ironbook services` as a person uses it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from ironbook.cli._app import run
from ironbook.services import ADMIN
from schemas.topics import load_topics
from tests.ironbook.cli.conftest import Command, Said
from tests.support.services import Broker
from tests.support.topics import make_topics

NAMES = [topic.name for topic in load_topics()]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command line, with nothing from the environment."""
    for name in [name for name in os.environ if name.startswith("IRONBOOK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Said:
        capfd.readouterr()
        code = run([*arguments])
        return Said(code, *capfd.readouterr())

    return command


def login_file(place: Path, broker: Broker, user: str) -> str:
    file = place / f"{user}.json"
    with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as to:
        json.dump({"username": user, "password": broker.server.users[user]}, to)
    return str(file)


def test_the_list_names_every_topic_with_its_writers_and_readers(command: Command):
    said = command("topics", "list", "--prefix", "dev.", "--json").json["topics"]
    assert [one["topic"] for one in said] == ["dev." + name for name in NAMES]
    assert said[0]["writers"] == list(load_topics()["orders.submitted"].writers)
    assert {one["topic"]: one["trimmers"] for one in said if one["trimmers"]} == {"dev.journal.0": ["archiver"]}
    assert "for ever" in command("topics", "list").out


def test_topics_are_created_once_and_checked(command: Command, kafka, topic_prefix):
    where = ("--kafka", kafka, "--prefix", topic_prefix, "--json")
    missing = command("topics", "check", *where)
    assert missing.code == 1
    assert {one["found"] for one in missing.json["differences"]} == {"missing"}
    assert sorted(command("topics", "create", *where).json["created"]) == sorted(topic_prefix + name for name in NAMES)
    again = command("topics", "create", *where)
    assert (again.code, again.json) == (0, {"created": [], "mended": [], "differences": []})
    assert command("topics", "check", *where).code == 0


def test_settings_are_mended_and_another_count_of_partitions_is_told_and_left_alone(
    command: Command, kafka, topic_prefix
):
    name, where = topic_prefix + "orders.submitted", ("--kafka", kafka, "--prefix", topic_prefix, "--json")
    asyncio.run(make_topics(kafka, topic_prefix, "orders.submitted", partitions=3))
    for _ in range(100):  # the broker tells of a new topic a moment after it was made
        seen = command("topics", "check", *where).json["differences"]
        if {"topic": name, "what": "partitions", "planned": "8", "found": "3"} in seen:
            break
    told = command("topics", "create", *where)
    assert told.code == 1
    wrong = {one["what"]: (one["planned"], one["found"]) for one in told.json["differences"] if one["topic"] == name}
    assert wrong == {"partitions": ("8", "3"), "retention.ms": ("86400000", "604800000")}
    mended = command("topics", "create", "--mend", *where)
    assert (mended.code, mended.json["mended"]) == (1, [name])
    assert mended.json["differences"] == [{"topic": name, "what": "partitions", "planned": "8", "found": "3"}]


def test_rules_are_printed_for_kafkas_own_command_without_asking_a_kafka(command: Command):
    lines = command("topics", "acls", "--print", "--prefix", "dev.", "--user", "client=desk-1").out.splitlines()
    wanted = "--topic dev.orders.submitted --resource-pattern-type literal"
    assert f"--add --allow-principal User:desk-1 --operation Write {wanted}" in lines
    assert not [line for line in lines if "User:client" in line]
    wanted = "--topic dev.journal.0 --resource-pattern-type literal"
    assert f"--add --allow-principal User:archiver --operation Delete {wanted}" in lines


def test_a_user_of_no_principal_is_wrong_usage(command: Command):
    assert command("topics", "acls", "--print", "--user", "nobody=desk-1").code == 2


def test_rules_are_told_made_and_then_complete(command: Command, sasl_kafka: Broker, tmp_path):
    where = ("--kafka", sasl_kafka.bootstrap, "--prefix", "cli.", "--json")
    admin = ("--kafka-login", login_file(tmp_path, sasl_kafka, ADMIN))
    missing = command("topics", "acls", *where, *admin)
    assert missing.code == 1
    assert {one["state"] for one in missing.json["changes"]} == {"missing"}
    assert command("topics", "acls", "--apply", *where, *admin).code == 0
    complete = command("topics", "acls", *where, *admin)
    assert (complete.code, complete.json["changes"]) == (0, [])
    refused = command("topics", "acls", *where, "--kafka-login", login_file(tmp_path, sasl_kafka, "risk"))
    assert (refused.code, refused.json["error"]) == (1, "service_failed")


@pytest.fixture
def services(command: Command, tmp_path):
    yield lambda *words: command("services", *words, "--data", str(tmp_path / "services"))
    command("services", "down", "--data", str(tmp_path / "services"))


def test_services_come_up_are_told_without_passwords_and_go_down(services):
    first = services("up", "--no-kafka", "--json").json
    (one,) = first["services"]
    assert (one["service"], one["state"]) == ("postgres", "up")
    assert one["address"].startswith("postgresql://ironbook@127.0.0.1:")
    assert "was up" in services("up", "--no-kafka").out
    assert services("status").code == 0
    other = services("up", "--no-kafka", "--postgres-port", "1", "--json")
    assert (other.code, other.json["error"]) == (1, "service_failed")
    assert services("down", "--json").json == {"stopped": ["postgres"]}
    assert services("status").code == 1
