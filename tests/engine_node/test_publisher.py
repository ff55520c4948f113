"""The publisher on a real broker: what the journal says is in the topics, once, in order, whatever dies on the way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ironbook import held
from ironbook._kafka import Security
from ironbook._topics_admin import TopicAdmin
from ironbook.renewal import kafka_holding
from ironbook.topics import rules
from schemas import vocabulary as v
from schemas.topics import load_topics
from tests.support.alternating import connections, write_file
from tests.support.node import Node, wait_until
from tests.support.publishing import (
    EVENT_TOPICS,
    Market,
    PublisherProcess,
    Read,
    check_journal_topic,
    check_topics,
    journal_records,
    make_topics,
    read,
)
from tests.support.services import Broker

Publish = Callable[..., PublisherProcess]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "node", idle_ms=600_000)
    yield made
    made.end()


@pytest.fixture
def market(node: Node) -> Iterator[Market]:
    made = Market(node, seed=1)
    node.start()
    made.open()
    yield made
    made.close()


@pytest.fixture
def topics(kafka: str, topic_prefix: str) -> str:
    make_topics(kafka, topic_prefix)
    return topic_prefix


@pytest.fixture
def publish(node: Node) -> Iterator[Publish]:
    made: list[PublisherProcess] = []

    def start(bootstrap: str, prefix: str, **settings: object) -> PublisherProcess:
        made.append(PublisherProcess(node, bootstrap, prefix, **settings))
        return made[-1]

    yield start
    for process in made:
        process.end()


def ended(node: Node, publisher: PublisherProcess) -> None:
    """Stop the engine, then the publisher: it flushes what the engine released."""
    publisher.wait_line("kafka_session")
    assert node.stop() == 0
    assert publisher.stop() == 0
    assert publisher.lines("publisher_flushed")[-1]["complete"], publisher.lines("publisher_flushed")


@contextlib.contextmanager
def trading(market: Market, count: int) -> Iterator[None]:
    """Commands while the block runs, and until so many are in."""
    thread = threading.Thread(target=market.trade, args=(count,))
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


def test_topics_hold_what_the_journal_says(
    node: Node, market: Market, kafka: str, topics: str, publish: Publish
) -> None:
    publisher = publish(kafka, topics)
    market.trade(3000)
    ended(node, publisher)
    assert check_topics(kafka, topics, node) == 0, "nothing failed, so nothing came twice"


def test_the_engine_starts_its_publisher_and_flushes_it_at_a_stop(tmp_path: Path, kafka: str, topics: str) -> None:
    more = {"kafka_flush_ms": 20_000, "stop_timeout_ms": 40_000}
    node = Node(tmp_path / "node", kafka_bootstrap=kafka, kafka_topic_prefix=topics, **more)
    market = Market(node, seed=2)
    try:
        node.start()
        market.open().trade(500)
        node.wait_event("publisher_started")
        assert node.stop(timeout_s=45) == 0
        assert node.events("publisher_flushed")[-1]["complete"]
        assert check_topics(kafka, topics, node) == 0
    finally:
        market.close()
        node.end()


@pytest.mark.soak
def test_a_publisher_killed_again_and_again_misses_nothing(
    node: Node, market: Market, kafka: str, topics: str, publish: Publish
) -> None:
    chance = random.Random(3)
    with trading(market, 6000):
        for _ in range(4):
            publisher = publish(kafka, topics)
            publisher.wait_line("kafka_session")
            time.sleep(chance.uniform(0.0, 1.5))
            publisher.kill()
    last = publish(kafka, topics)
    ended(node, last)
    check_topics(kafka, topics, node)


def test_a_start_goes_on_behind_the_progress(
    node: Node, market: Market, kafka: str, topics: str, publish: Publish
) -> None:
    first = publish(kafka, topics)
    market.trade(1000)
    first.wait_line("kafka_session")
    known = len(journal_records(node)) // 64
    assert first.stop() == 0
    assert first.lines("publisher_flushed")[-1]["complete"]
    before = {(m.topic, m.partition, m.offset) for m in read(kafka, topics, EVENT_TOPICS)}
    market.trade(200)
    second = publish(kafka, topics)
    end = second.wait_line("publisher_started")["progress"]
    assert end >= known
    ended(node, second)
    fresh = [m for m in read(kafka, topics, EVENT_TOPICS) if (m.topic, m.partition, m.offset) not in before]
    assert fresh
    assert min(event["seq"] for message in fresh for event in message.events) > end
    assert check_topics(kafka, topics, node) == 0


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that tests may kill and start again."""
    with Broker.start(tmp_path_factory.mktemp("mortal")) as broker:
        yield broker


@pytest.mark.soak
@pytest.mark.timeout(240)
def test_trading_goes_on_while_the_broker_is_away_and_the_publisher_catches_up(
    node: Node, market: Market, publish: Publish, mortal: Broker
) -> None:
    make_topics(mortal.bootstrap, "away.")
    publisher = publish(mortal.bootstrap, "away.")
    publisher.wait_line("kafka_session")
    with trading(market, 3000):
        mortal.kill()
    market.trade(500)
    mortal.restart()
    market.trade(500)
    assert node.stop() == 0
    records = len(journal_records(node)) // 64
    wait_until(lambda: shipped(mortal.bootstrap, "away.") == records, 90)
    assert publisher.stop() == 0
    check_topics(mortal.bootstrap, "away.", node)


def shipped(bootstrap: str, prefix: str) -> int:
    """How many records the journal topic has."""
    return sum(len(message.value) // 64 for message in read(bootstrap, prefix, ["journal.0"]))


@pytest.mark.soak
@pytest.mark.timeout(240)
def test_a_publisher_waits_for_a_broker_that_is_not_there_yet(
    node: Node, market: Market, publish: Publish, mortal: Broker
) -> None:
    make_topics(mortal.bootstrap, "later.")
    mortal.stop()
    publisher = publish(mortal.bootstrap, "later.")
    publisher.wait_line("kafka_unavailable")
    market.trade(100)
    mortal.restart()
    publisher.wait_line("kafka_session", 90)
    ended(node, publisher)
    check_topics(mortal.bootstrap, "later.", node)


def test_a_second_publisher_fences_the_first_which_ends(
    node: Node, market: Market, kafka: str, topics: str, publish: Publish
) -> None:
    first = publish(kafka, topics)
    first.wait_line("kafka_session")
    market.trade(200)
    second = publish(kafka, topics)
    second.wait_line("kafka_session")
    market.trade(200)
    assert first.process.wait(20) == 1
    assert first.wait_line("publisher_failed")["error"] == "publisher_fenced"
    ended(node, second)
    check_topics(kafka, topics, node)


def test_a_quiet_market_has_one_event_a_message(node: Node, kafka: str, topics: str, publish: Publish) -> None:
    node.settings["tick_interval_ms"] = 0  # a tick may have the book's checksum told
    market = Market(node, seed=4)
    node.start()
    client = market.open().client
    assert client is not None
    publisher = publish(kafka, topics)
    publisher.wait_line("kafka_session")
    for step in range(4):
        accepted = client.ask(client.order(1, 90 - step, 1))
        assert accepted.kind == v.EventKind.ACCEPTED

        def messages_of(sequence: int = accepted.sequence) -> list[Read]:
            found = read(kafka, topics, ["executions", "book"])
            return [message for message in found if any(event["seq"] == sequence for event in message.events)]

        wait_until(lambda of=messages_of: len(of()) == 2, 30)
        assert [len(message.events) for message in messages_of()] == [1, 1]
    ended(node, publisher)
    market.close()


def test_a_journal_that_is_not_the_topics_is_refused_and_the_first_difference_named(
    node: Node, market: Market, kafka: str, topics: str, publish: Publish, tmp_path: Path
) -> None:
    publisher = publish(kafka, topics)
    market.trade(300)
    ended(node, publisher)
    other = Node(tmp_path / "other")
    try:
        other_market = Market(other, seed=5)
        other.start()
        other_market.open().trade(600)
        stranger = PublisherProcess(other, kafka, topics)
        assert stranger.process.wait(30) == 1
        said = stranger.wait_line("publisher_failed")
        assert said["error"] == "publish"
        assert "sequence 1 differs" in said["message"], said
        assert other.stop() == 0
        other_market.close()
    finally:
        other.end()
    check_journal_topic(kafka, topics, journal_records(node))


def test_a_journal_that_lacks_what_its_topic_has_is_refused_and_the_restore_named(
    node: Node, market: Market, kafka: str, topics: str, publish: Publish, tmp_path: Path
) -> None:
    publisher = publish(kafka, topics)
    market.trade(300)
    ended(node, publisher)
    young = Node(tmp_path / "young")
    try:
        young.start()
        stranger = PublisherProcess(young, kafka, topics)
        assert stranger.process.wait(30) == 1
        said = stranger.wait_line("publisher_failed")
        assert said["error"] == "publish"
    finally:
        young.end()


def test_topics_that_are_missing_are_named(node: Node, market: Market, kafka: str, topic_prefix: str) -> None:
    publisher = PublisherProcess(node, kafka, topic_prefix)
    assert publisher.process.wait(30) == 1
    said = publisher.wait_line("publisher_failed")
    assert f"{topic_prefix}executions" in said["message"]
    assert said["hint"] == "make them: ironbook topics create"


def test_a_journal_whose_beginning_was_removed_is_told_as_states_first(
    node: Node, market: Market, kafka: str, topics: str, publish: Publish
) -> None:
    market.trade(4500, burst=200)
    market.close()
    assert node.stop() == 0  # which leaves a snapshot
    records = journal_records(node)
    (node.directory / "journal" / f"{1:020d}.jnl").unlink()
    begin = len(records) // 64
    node.start()
    market.log_on()
    publisher = publish(kafka, topics)
    market.trade(200)
    ended(node, publisher)
    shipped = read(kafka, topics, ["journal.0"])
    assert int(shipped[0].headers["first_sequence"]) == 4097
    assert b"".join(message.value for message in shipped).startswith(records[4096 * 64 :])
    found = read(kafka, topics, EVENT_TOPICS)
    assert min(event["seq"] for message in found for event in message.events) == begin
    told = {(message.topic, message.key) for message in found}
    assert {("instruments", b"%d" % number) for number in market.INSTRUMENTS} <= told
    assert {("accounts", b"%d" % number) for number in market.ACCOUNTS} <= told
    balances = {(event["account"], event["asset"]) for m in found if m.topic == "balances" for event in m.events}
    assert balances == {(account, asset) for account in market.ACCOUNTS for asset in ("BTC", "USD")}


def test_a_publisher_logs_on_and_has_the_rights_it_needs(
    node: Node, market: Market, sasl_kafka: Broker, publish: Publish, tmp_path: Path
) -> None:
    prefix = f"t{secrets.token_hex(4)}."
    make_topics(sasl_kafka.bootstrap, prefix, Security(username="admin", password=sasl_kafka.server.users["admin"]))
    password = sasl_kafka.server.users["publisher"]
    file = tmp_path / "password"
    file.touch(mode=0o600)
    file.write_text(password + "\n")
    login = {
        "kafka_security": "sasl_plaintext", "kafka_sasl_mechanism": "SCRAM-SHA-256", "kafka_username": "publisher",
        "kafka_password_file": file,
    }  # fmt: skip
    publisher = publish(sasl_kafka.bootstrap, prefix, **login)
    market.trade(300)
    ended(node, publisher)
    check_topics(sasl_kafka.bootstrap, prefix, node, **sasl_kafka.login("admin"))
    assert password not in publisher.log_path.read_text()


def test_a_publisher_goes_on_as_another_user_and_nothing_is_lost_or_comes_twice(
    node: Node, market: Market, sasl_kafka: Broker, publish: Publish, tmp_path: Path
) -> None:
    prefix, words = f"t{secrets.token_hex(4)}.", sasl_kafka.server.users
    admin = Security(username="admin", password=words["admin"])
    make_topics(sasl_kafka.bootstrap, prefix, admin)
    both = {"publisher": ("publisher_a", "publisher_b")}
    allowed = [rule for rule in rules(load_topics(), prefix, both) if "publisher" in rule.user]
    file, path = tmp_path / "publisher.kafka-login.json", node.directory / "publisher.held.json"

    async def change(old: str = "") -> None:
        async with TopicAdmin(sasl_kafka.bootstrap, admin) as administrator:
            if old:
                await administrator.remove([rule for rule in allowed if rule.user.endswith(old)])
            else:
                await administrator.allow(allowed)

    def log_in(user: str, word: str = "") -> str:
        write_file(file, json.dumps({"username": user, "password": word or words[user]}))
        return kafka_holding(user, word or words[user])[1]

    def said() -> str | None:
        return {one.secret: one.uses for one in held.read(path).holdings}["kafka/publisher"]

    asyncio.run(change())
    first = log_in("publisher_a")
    publisher = publish(sasl_kafka.bootstrap, prefix, kafka_login_file=file, key_poll_ms=50)
    publisher.wait_line("kafka_session")
    assert said() == first
    port = int(sasl_kafka.bootstrap.rpartition(":")[2])
    open_before = connections(publisher.process.pid, port)
    with trading(market, 1500):
        log_in("publisher_b", "wrong")
        publisher.wait_line("secret_not_renewed")
        assert said() == first
        second = log_in("publisher_b")
        wait_until(lambda: said() == second, 60, publisher.log_path.read_text()[-2000:])
        assert not open_before & connections(publisher.process.pid, port)
        asyncio.run(change("publisher_a"))
    market.trade(100)
    ended(node, publisher)
    assert check_topics(sasl_kafka.bootstrap, prefix, node, **sasl_kafka.login("admin")) == 0
    assert len(publisher.lines("kafka_session")) == 1
    assert not path.exists()


def test_a_password_that_others_may_read_is_refused(node: Node, market: Market, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hardly-a-secret\n")
    file.chmod(0o644)
    login = {"kafka_security": "sasl_plaintext", "kafka_username": "publisher", "kafka_password_file": file}
    publisher = PublisherProcess(node, "127.0.0.1:1", "", **login)
    assert publisher.process.wait(30) == 1
    assert publisher.wait_line("publisher_failed")["hint"] == f"chmod 600 {file}"
    assert "hardly-a-secret" not in publisher.log_path.read_text()
