"""A mirror on the journal's topic: where it begins, what it refuses, how it goes on. Messages are made by hand here."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.admin.client import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from engine_node import _engine
from engine_node.snapshots import write_snapshot
from gateway.market import Market
from gateway.mirror import Mirror
from gateway.settings import GatewaySettings, SettingsInvalid
from gateway.sources import open_source
from gateway.topic_source import TopicSource, kafka_security
from ironbook._errors import DependencyMissing
from ironbook._kafka import PLAIN_TEXT, Security, check_renewable, client_of
from ironbook._topics_admin import TopicAdmin
from ironbook.topics import Operation, Pattern, Resource, Rule
from schemas import vocabulary as v
from tests.gateway.markets import random_market
from tests.support.aio import in_loop, until
from tests.support.node import Client, Node
from tests.support.publishing import PublisherProcess, make_topics
from tests.support.services import Broker

REPLAY_ALL = 1 << 40


class Topic:
    """A journal topic and what is appended to it."""

    def __init__(
        self, bootstrap: str, prefix: str, seed: int = 3, commands: int = 400, *, security: Security = PLAIN_TEXT
    ) -> None:
        self.bootstrap, self.name = bootstrap, f"{prefix}journal.0"
        self.login = security.options()
        records, self.options = random_market(seed, commands)
        self.sealed = _engine.seal(records)
        self.count = len(records) // 64
        self.core = _engine.Core(**self.options)
        self.ends = []  # sequences at which a command is whole
        for at in range(self.count):
            piece = self.sealed[self.core.sequence() * 64 : (at + 1) * 64]
            whole = self.core.group_bytes(piece)
            if whole == len(piece) and piece[-64] < v.Kind.TEXT:
                self.core.apply(piece)
                self.ends.append(at + 1)

    def end_near(self, share: float) -> int:
        return self.ends[int(len(self.ends) * share)]

    async def make(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, **self.login)
        await admin.start()
        await admin.create_topics([NewTopic(self.name, num_partitions=1, replication_factor=1)])
        await admin.close()

    async def append(self, *spans: tuple[int, int], value: bytes | None = None) -> None:
        """Records of these spans (first and last sequence), a message each."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, **self.login)
        await producer.start()
        for first, last in spans:
            records = self.sealed[(first - 1) * 64 : last * 64] if value is None else value
            await producer.send_and_wait(self.name, records, headers=[("first_sequence", str(first).encode())])
        await producer.stop()

    def snapshot(self, directory: Path, sequence: int) -> None:
        core = _engine.Core(**self.options)
        core.apply(self.sealed[: sequence * 64])
        write_snapshot(directory, core.save(), sequence=sequence, digest=core.digest())

    def mirror(
        self, snapshots: Path | None = None, replay: int = REPLAY_ALL, *, security: Security = PLAIN_TEXT,
        **capacities: int,
    ) -> Mirror:  # fmt: skip
        settings = GatewaySettings()
        capacities["nonce_window_ns"] = self.options["nonce_window_ns"]  # an engine says so in its first record
        source = TopicSource(self.bootstrap, security, self.name, snapshots, replay, capacities)
        mirror = Mirror(source, settings)
        self.source = source
        Market(mirror, settings)
        return mirror


@pytest.fixture
def topic(kafka: str, topic_prefix: str) -> Topic:
    return Topic(kafka, topic_prefix)


@in_loop
async def test_a_mirror_waits_for_its_topic_and_follows_it_as_it_grows(topic: Topic) -> None:
    mirror = topic.mirror()
    await mirror.open()
    assert not mirror.live
    assert "the journal's topic must be there" in mirror.trouble
    await topic.make()
    await until(lambda: mirror.live)
    assert (mirror.began_at, mirror.sequence) == (0, 0)
    quarter, half, most = (topic.end_near(share) for share in (0.25, 0.5, 0.75))
    await topic.append((1, quarter))
    await until(lambda: mirror.sequence == quarter)
    await topic.append((quarter + 1, half), (1, half), (quarter, most), (most + 1, topic.count))  # repeats are dropped
    await until(lambda: mirror.sequence == topic.ends[-1])
    assert mirror.core.digest() == topic.core.digest()
    await until(lambda: mirror.lag_records() == topic.count - topic.ends[-1])
    assert mirror.live
    assert mirror.began_count == 1
    await mirror.close()


@in_loop
async def test_a_mirror_begins_at_a_snapshot_in_the_midst_of_the_topic(topic: Topic, tmp_path: Path) -> None:
    await topic.make()
    places = [topic.end_near(share) for share in (0.2, 0.4, 0.6, 0.8)]
    firsts = [1, *(place + 1 for place in places)]
    await topic.append(*zip(firsts, [*places, topic.count], strict=True))
    within = topic.end_near(0.5)  # within a message
    for sequence in (places[0], within, topic.end_near(0.9)):
        topic.snapshot(tmp_path, sequence)
    for replay, before, begins in (
        (0, None, topic.end_near(0.9)), (topic.count - within, None, within), (0, places[0], places[0]),
        (0, within - 1, places[0]), (REPLAY_ALL, None, 0), (0, 5, 0 if places[0] > 5 else places[0]),
    ):  # fmt: skip
        mirror = topic.mirror(tmp_path, replay)
        await mirror.open(before)
        assert mirror.trouble == ""
        begins = begins or (0 if replay or before == 0 else topic.end_near(0.9))
        assert (mirror.began_at, mirror.core.digest()) == (begins, topic.core.digest())
        await mirror.close()


@in_loop
async def test_what_is_not_the_next_record_of_the_chain_is_refused_and_the_topic_read_again(topic: Topic) -> None:
    await topic.make()
    half = topic.end_near(0.5)
    await topic.append((1, half))
    mirror = topic.mirror()
    await mirror.open()
    await until(lambda: mirror.live)
    gap = topic.end_near(0.6) + 1
    await topic.append((gap, topic.count))
    await until(lambda: f"the next record must be {half + 1}, was {gap}" in mirror.trouble)
    await topic.append((half + 1, topic.count))
    assert mirror.sequence == half
    await until(lambda: mirror.began_count >= 2)
    assert not mirror.live  # the gap is still there: nobody can say what was meant
    await mirror.close()


@in_loop
async def test_records_of_another_engine_are_refused(topic: Topic) -> None:
    await topic.make()
    half = topic.end_near(0.5)
    other = bytearray(topic.sealed[half * 64 :])
    other[40] ^= 1
    await topic.append((1, half))
    await topic.append((half + 1, 0), value=_engine.seal(bytes(other)))
    mirror = topic.mirror()
    await mirror.open()
    assert "each record must be the next of the chain" in mirror.trouble
    await mirror.close()


@in_loop
async def test_messages_that_are_none_are_refused(topic: Topic) -> None:
    await topic.make()
    await topic.append((1, 0), value=b"no record")
    mirror = topic.mirror()
    await mirror.open()
    assert "must be whole records with a header first_sequence" in mirror.trouble
    await mirror.close()


@in_loop
async def test_a_core_that_has_no_room_is_made_larger(topic: Topic) -> None:
    await topic.make()
    await topic.append((1, topic.count))
    mirror = topic.mirror(order_count_max=4096, balance_count_max=3)
    await mirror.open()
    assert "CoreFull" in mirror.trouble
    await until(lambda: mirror.live)
    assert mirror.core.digest() == topic.core.digest()
    assert mirror.core.options()["balance_count_max"] == 12
    await mirror.close()


@in_loop
async def test_a_topic_whose_beginning_is_gone_needs_a_snapshot(topic: Topic, tmp_path: Path) -> None:
    await topic.make()
    half, later = topic.end_near(0.5), topic.end_near(0.7)
    await topic.append((half + 1, later), (later + 1, topic.count))
    mirror = topic.mirror(tmp_path)
    await mirror.open()
    assert f"there must be a snapshot from sequence {half + 1} on" in mirror.trouble
    topic.snapshot(tmp_path, later)
    await until(lambda: mirror.live)
    assert (mirror.began_at, mirror.core.digest()) == (later, topic.core.digest())
    await mirror.close()


@in_loop
async def test_a_mirror_follows_an_engine_through_its_publisher(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    make_topics_in_thread = asyncio.get_running_loop().run_in_executor(None, make_topics, kafka, topic_prefix)
    node = Node(tmp_path / "node", snapshot_process=False)
    secret = node.make_key()
    settings = GatewaySettings(source="kafka", kafka=kafka, topic_prefix=topic_prefix)
    mirror = Mirror(open_source(settings), settings)
    market = Market(mirror, settings)
    publisher = None
    try:
        await make_topics_in_thread
        await asyncio.get_running_loop().run_in_executor(None, node.start)
        publisher = PublisherProcess(node, kafka, topic_prefix)
        client = Client.connect(node.address(), "admin", secret)
        await asyncio.get_running_loop().run_in_executor(None, client.define_market)
        await mirror.open()
        await until(lambda: mirror.live and mirror.core.account(2) is not None)
        report = client.ask(client.order(v.Side.BUY, 100, 3, client_order_id=5))
        order = await until(lambda: market.order(report.order_id))
        assert (order.client_text, order.price_ticks) == ("5", 100)
        assert market.top(1).bid_ticks == 100
        client.close()
    finally:
        await mirror.close()
        if publisher is not None:
            publisher.end()
        node.end()


def test_the_login_to_kafka_is_read_from_a_file_and_nothing_of_it_is_told(tmp_path: Path) -> None:
    file = tmp_path / "login.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({"username": "gateway", "password": "hush-hush", "mechanism": "SCRAM-SHA-256"}))
    assert kafka_security(GatewaySettings()) == PLAIN_TEXT
    assert kafka_security(GatewaySettings(kafka_login=str(file))).username == "gateway"
    file.write_text('{"username": "gateway", "pass": "hush-hush"}')
    with pytest.raises(SettingsInvalid) as refused:
        kafka_security(GatewaySettings(kafka_login=str(file)))
    assert "hush" not in str(refused.value)


@in_loop
async def test_a_mirror_goes_on_as_another_user_without_reading_anew(sasl_kafka: Broker) -> None:
    prefix = f"t{secrets.token_hex(4)}."
    words = sasl_kafka.server.users
    admin, one, two = (Security(username=name, password=words[name]) for name in ("admin", "gateway_a", "gateway_b"))
    topic = Topic(sasl_kafka.bootstrap, prefix, security=admin)
    await topic.make()
    allowed = [
        Rule(
            user=f"User:{login.username}",
            resource=Resource.TOPIC,
            pattern=Pattern.PREFIXED,
            name=prefix,
            operation=what,
        )
        for login in (one, two)
        for what in (Operation.READ, Operation.DESCRIBE)
    ]
    async with TopicAdmin(sasl_kafka.bootstrap, admin) as administrator:
        await administrator.allow(allowed)
        mirror = topic.mirror(security=one)
        await mirror.open()
        source, half = topic.source, topic.end_near(0.5)
        await topic.append((1, half))
        await until(lambda: mirror.sequence == half, why=mirror.trouble)
        with pytest.raises(KafkaError):
            await source.renew(Security(username=two.username, password="wrong"))
        assert source.security == one
        old = list(client_of(source._consumer)._conns.values())
        assert await source.renew(two)
        assert not await source.renew(two), "there is nothing new"
        assert not any(connection.connected() for connection in old)
        await administrator.remove([rule for rule in allowed if rule.user.endswith(one.username)])
    await topic.append((half + 1, topic.count))
    await until(lambda: mirror.sequence == topic.ends[-1])
    assert mirror.core.digest() == topic.core.digest()
    assert mirror.began_count == 1
    await mirror.close()


def test_what_a_renewal_needs_of_the_client_of_kafka_is_there_and_missed_at_the_start_if_not() -> None:
    client = SimpleNamespace(**dict.fromkeys(("_conns", "_get_conn_lock", "cluster")))
    with pytest.raises(DependencyMissing, match="another login") as missed:
        check_renewable(client)
    assert "AIOKafkaClient._sasl_plain_username" in missed.value.detail
