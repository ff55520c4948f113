"""Topics and rights on real brokers: what is created, what is told, and who may do what."""

from __future__ import annotations

import asyncio
import contextlib
import secrets

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)

from ironbook import ConnectionFailed, ServiceFailed
from ironbook._kafka import Security
from ironbook._topics_admin import TopicAdmin
from ironbook.topics import Operation, Pattern, Resource, Rule, compare_rules, differences, planned, rules
from schemas.topics import load_topics
from tests.support.services import Broker

TOPICS = load_topics()
PRINCIPALS = TOPICS.principals
WAIT_S = 30.0


def security_of(broker: Broker, user: str) -> Security:
    return Security(username=user, password=broker.server.users[user])


@pytest.fixture(scope="module")
def guarded(sasl_kafka: Broker) -> tuple[Broker, str]:
    """A broker with all topics under a prefix, the contract's rules, and one message in each topic."""
    prefix = f"t{secrets.token_hex(4)}."
    plans = planned(TOPICS, prefix)

    async def prepare() -> None:
        async with TopicAdmin(sasl_kafka.bootstrap, security_of(sasl_kafka, "admin")) as admin:
            await admin.create(plans, 1)
            await admin.allow(rules(TOPICS, prefix))
        async with producer_of(sasl_kafka, "admin") as producer:
            for plan in plans:
                await producer.send_and_wait(plan.name, b"{}", key=b"1", partition=0)

    asyncio.run(prepare())
    return sasl_kafka, prefix


@contextlib.asynccontextmanager
async def producer_of(broker: Broker, user: str, **options):
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, **broker.login(user), **options)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@contextlib.asynccontextmanager
async def consumer_of(broker: Broker, user: str, *topics: str, **options):
    consumer = AIOKafkaConsumer(
        *topics, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", **broker.login(user), **options
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def known_to(broker: Broker, user: str, topics: list[str]) -> list[str]:
    """Topics that a user may at least see: a consumer of another would wait until it may."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap, **broker.login(user))
    await admin.start()
    try:
        described = await admin.describe_topics(topics)
    finally:
        await admin.close()
    refused = [one["topic"] for one in described if one["error_code"] == TopicAuthorizationFailedError.errno]
    return [topic for topic in topics if topic not in refused]


async def make_topic(broker: Broker, user: str, name: str) -> int:
    """Kafka's code of what came of it: 0 where the topic was made."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap, **broker.login(user))
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, 1, 1)])
        return int(answer.topic_errors[0][1])
    finally:
        await admin.close()


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_a_principal_writes_the_topics_of_its_row_and_is_refused_at_all_others(guarded, principal):
    broker, prefix = guarded

    async def write() -> set[str]:
        written = set()
        async with producer_of(broker, principal) as producer:
            for topic in TOPICS:
                with contextlib.suppress(TopicAuthorizationFailedError):
                    await producer.send_and_wait(prefix + topic.name, b"{}", key=b"1", partition=0)
                    written.add(topic.name)
        return written

    assert asyncio.run(write()) == {topic.name for topic in TOPICS if principal in topic.writers}


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_a_principal_reads_the_topics_of_its_row_and_is_refused_at_all_others(guarded, principal):
    broker, prefix = guarded

    async def read() -> set[str]:
        seen = set()
        async with consumer_of(broker, principal) as consumer:
            for topic in await known_to(broker, principal, [prefix + topic.name for topic in TOPICS]):
                place = TopicPartition(topic, 0)
                with contextlib.suppress(TopicAuthorizationFailedError):
                    consumer.assign([place])
                    consumer.seek(place, 0)
                    assert (await asyncio.wait_for(consumer.getone(), WAIT_S)).value == b"{}"
                    seen.add(topic.removeprefix(prefix))
        return seen

    assert asyncio.run(read()) == {topic.name for topic in TOPICS if principal in topic.readers}


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_a_principal_deletes_records_of_the_topics_of_its_row_and_is_refused_at_all_others(guarded, principal):
    broker, prefix = guarded

    async def trim() -> set[str]:
        trimmed = set()
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap, **broker.login(principal))
        await admin.start()
        try:
            seen = await known_to(broker, principal, [prefix + topic.name for topic in TOPICS])
            for topic in seen:  # of what it does not see it cannot even ask: it has no broker to ask at
                with contextlib.suppress(TopicAuthorizationFailedError):
                    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(0)})
                    trimmed.add(topic.removeprefix(prefix))
        finally:
            await admin.close()
        return trimmed

    assert asyncio.run(trim()) == {topic.name for topic in TOPICS if principal in topic.trimmers}


def test_the_archiver_reads_in_no_group_makes_no_topic_and_takes_no_transaction(guarded):
    broker, prefix = guarded

    async def read_in_a_group() -> None:
        group = prefix + "ironbook-archiver"
        async with consumer_of(broker, "archiver", prefix + "journal.0", group_id=group) as consumer:
            await asyncio.wait_for(consumer.getone(), WAIT_S)

    async def transact() -> None:
        async with producer_of(broker, "archiver", transactional_id=prefix + "ironbook-archiver-0"):
            pass

    with pytest.raises(GroupAuthorizationFailedError):
        asyncio.run(read_in_a_group())
    with pytest.raises(TransactionalIdAuthorizationFailed):
        asyncio.run(transact())
    made = asyncio.run(make_topic(broker, "archiver", prefix + "ironbook-archiver-table-changelog"))
    assert for_code(made) is TopicAuthorizationFailedError


def test_a_worker_reads_in_its_own_group_and_in_no_other(guarded):
    broker, prefix = guarded

    async def read(user: str, group: str) -> bytes:
        async with consumer_of(broker, user, prefix + "executions", group_id=prefix + group) as consumer:
            return (await asyncio.wait_for(consumer.getone(), WAIT_S)).value

    assert asyncio.run(read("risk", "ironbook-risk")) == b"{}"
    with pytest.raises(GroupAuthorizationFailedError):
        asyncio.run(read("analytics", "ironbook-risk"))


def test_a_worker_makes_the_topics_of_its_own_tables_and_no_others(guarded):
    broker, prefix = guarded
    assert asyncio.run(make_topic(broker, "risk", prefix + "ironbook-risk-exposure-changelog")) == 0
    for name in ("ironbook-analytics-candles-changelog", "executions2"):
        assert for_code(asyncio.run(make_topic(broker, "risk", prefix + name))) is TopicAuthorizationFailedError


def test_only_the_publisher_takes_the_journals_transactions(guarded):
    broker, prefix = guarded

    async def transact(user: str) -> None:
        async with producer_of(broker, user, transactional_id=prefix + f"ironbook-{user}-0") as producer:
            async with producer.transaction():
                await producer.send_and_wait(prefix + "journal.0", b"\0" * 64, partition=0)

    asyncio.run(transact("publisher"))
    with pytest.raises(TransactionalIdAuthorizationFailed):
        asyncio.run(transact("risk"))


def test_nobody_comes_in_with_a_wrong_password_or_with_none(guarded):
    broker, _ = guarded

    async def start(**login: str) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, request_timeout_ms=5000, **login)
        try:
            await consumer.start()
        finally:
            await consumer.stop()

    wrong = broker.login("risk") | {"sasl_plain_password": "wrong"}
    for login in (wrong, {}):
        with pytest.raises(KafkaConnectionError):
            asyncio.run(start(**login))


def test_rules_are_read_back_as_they_were_made_and_a_surplus_one_is_removed(guarded):
    broker, prefix = guarded
    extra = Rule("User:eve", Resource.TOPIC, Pattern.LITERAL, prefix + "executions", Operation.WRITE)

    async def change() -> None:
        async with TopicAdmin(broker.bootstrap, security_of(broker, "admin")) as admin:
            wanted = rules(TOPICS, prefix)
            assert compare_rules(wanted, await admin.rules(), prefix) == ([], [])
            await admin.allow([extra])
            assert compare_rules(wanted, await admin.rules(), prefix) == ([], [extra])
            await admin.remove([extra])
            assert compare_rules(wanted, await admin.rules(), prefix) == ([], [])

    asyncio.run(change())


def test_only_an_administrator_makes_rules(guarded):
    broker, prefix = guarded

    async def allow() -> None:
        async with TopicAdmin(broker.bootstrap, security_of(broker, "operator")) as admin:
            await admin.allow(rules(TOPICS, prefix)[:1])

    with pytest.raises(ServiceFailed, match="ClusterAuthorizationFailed"):
        asyncio.run(allow())


def test_created_topics_are_as_planned_and_differences_are_told_and_mended(kafka, topic_prefix):
    plans = planned(TOPICS, topic_prefix)
    names = [plan.name for plan in plans]

    async def work() -> None:
        async with TopicAdmin(kafka) as admin:
            assert await admin.found(names) == {}
            assert sorted(await admin.create(plans, 1)) == sorted(names)
            assert await admin.create(plans[:1], 1) == []
            found = await admin.found(names)
            assert [one for plan in plans for one in differences(plan, found[plan.name])] == []
            await admin.mend(names[0], {"retention.ms": "1000"})
            await admin.mend(names[0], {"segment.bytes": "1048576"})
            for _ in range(600):  # the broker tells of a change a moment after it was made
                first = (await admin.found(names[:1]))[names[0]]
                if first.settings["segment.bytes"] == "1048576":
                    break
                await asyncio.sleep(0.05)
            (wrong,) = differences(plans[0], first)
            assert (wrong.what, wrong.found) == ("retention.ms", "1000")
            assert first.settings["segment.bytes"] == "1048576"

    asyncio.run(work())


def test_a_kafka_that_is_not_there_is_told_as_such():
    async def connect() -> None:
        async with TopicAdmin("127.0.0.1:1"):
            pass

    with pytest.raises(ConnectionFailed, match="Kafka must answer"):
        asyncio.run(connect())
