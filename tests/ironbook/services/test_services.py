"""Kafka and PostgreSQL as the tests of streams use them: they answer, die and come back with what they had."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from ironbook import ServiceFailed, services
from ironbook.services import Running, _postgres
from tests.support.services import ROOT, Broker, Database

NAMES = ("kafka", "postgres")


async def create_topic(bootstrap: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name=name, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def put(bootstrap: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        return [(await asyncio.wait_for(consumer.getone(), 60)).value for _ in range(count)]
    finally:
        await consumer.stop()


async def fetch(url: str, query: str):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def test_what_was_put_on_a_topic_is_there_after_the_broker_was_killed():
    with Broker.start() as broker:

        async def before() -> None:
            await create_topic(broker.bootstrap, "kept")
            await put(broker.bootstrap, "kept", b"one")

        asyncio.run(before())
        address = broker.bootstrap
        broker.kill()
        broker.restart()
        assert broker.bootstrap == address
        asyncio.run(put(address, "kept", b"two"))
        assert asyncio.run(read(address, "kept", 2)) == [b"one", b"two"]


def test_what_was_committed_is_there_after_postgres_was_killed():
    with Database.start() as database:
        asyncio.run(fetch(database.url, "CREATE TABLE kept AS SELECT 42 AS n"))
        database.kill()
        with pytest.raises(OSError):
            asyncio.run(fetch(database.url, "SELECT 1"))
        database.restart()
        assert asyncio.run(fetch(database.url, "SELECT n FROM kept")) == 42


def test_each_test_has_an_empty_database_of_its_own(postgres_url, postgres_server):
    assert postgres_url != postgres_server
    assert asyncio.run(fetch(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) == 0


def test_topics_do_not_come_of_themselves(kafka, topic_prefix):
    async def known() -> set[str]:
        producer = AIOKafkaProducer(bootstrap_servers=kafka)
        await producer.start()
        try:
            await producer.client.add_topic(topic_prefix + "never-made")
            return producer.client.cluster.topics()
        finally:
            await producer.stop()

    assert topic_prefix + "never-made" not in asyncio.run(known())


def test_the_password_of_a_database_is_asked_for(postgres_server):
    wrong = postgres_server.replace(postgres_server.split(":")[2].split("@")[0], "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(fetch(wrong, "SELECT 1"))


def test_a_cluster_id_that_looks_like_an_option_is_taken_as_an_id(tmp_path):
    made = services.prepare_kafka(tmp_path, cluster_id="-xAAAAAAAAAAAAAAAAAAAA")
    assert "cluster.id=-xAAAAAAAAAAAAAAAAAAAA" in (made.directory / "log/meta.properties").read_text()


def test_where_the_system_has_no_postgresql_the_one_that_comes_by_pip_serves(tmp_path, monkeypatch):
    monkeypatch.setattr(_postgres, "_places", _postgres._packaged)
    (service,) = services.up(tmp_path, kafka=False)
    try:
        assert asyncio.run(fetch(service.address, "SELECT 40 + 2")) == 42
    finally:
        services.down(tmp_path)


def test_data_of_another_version_is_not_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(_postgres, "_places", lambda: iter(()))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/PG_VERSION").write_text("9\n")
    with pytest.raises(ServiceFailed, match="must be version 9"):
        services.prepare_postgres(tmp_path, "word").start()


def test_up_twice_is_up_once_and_down_ends_both(tmp_path):
    first = services.up(tmp_path)
    try:
        assert [service.name for service in first] == [*NAMES]
        assert all(service.running for service in first)
        assert services.up(tmp_path) == first == services.status(tmp_path)
        assert stat.S_IMODE((tmp_path / "services.json").stat().st_mode) == 0o600
        assert asyncio.run(fetch(first[1].address, "SELECT 1")) == 1
    finally:
        stopped = services.down(tmp_path)
    assert [service.name for service in stopped] == [*NAMES]
    assert not any(service.process.alive() for service in first)
    assert not any(service.running for service in services.status(tmp_path))
    assert services.down(tmp_path) == []


def test_data_and_addresses_stay_from_one_up_to_the_next(tmp_path):
    (first,) = services.up(tmp_path, kafka=False)
    asyncio.run(fetch(first.address, "CREATE TABLE kept AS SELECT 7 AS n"))
    services.down(tmp_path)
    (second,) = services.up(tmp_path, kafka=False)
    try:
        assert (second.address, second.running) == (first.address, True)
        assert asyncio.run(fetch(second.address, "SELECT n FROM kept")) == 7
    finally:
        services.down(tmp_path)


def test_a_process_with_a_pid_of_ours_that_began_at_another_time_is_not_touched():
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        recorded = Running(pid=other.pid, started="another boot:1")
        assert not recorded.alive()
        recorded.stop(1.0)
        recorded.kill()
        assert other.poll() is None
    finally:
        other.communicate()


def test_a_killed_test_run_leaves_no_server_behind(tmp_path):
    script = """
import os, signal, sys
from tests.support.services import Database
database = Database.start()
print(database.process.pid, database.process.started, database.server.directory, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    pid, started, directory = run.stdout.split()
    assert Running(pid=int(pid), started=started).wait(60.0)
    ends_s = time.monotonic() + 60
    while Path(directory).exists() and time.monotonic() < ends_s:
        time.sleep(0.05)
    assert not Path(directory).exists()
