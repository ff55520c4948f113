"""A market on the topics of a test, keys in a file, and what stands in a topic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from ironbook import Key
from ironbook.keystore import KeyFile, make_passphrase_file
from schemas.topics import load_topics
from tests.support.topics import example, make_topics, partition, writing

ACCOUNTS = range(1, 9)  # each its own firm
ALWAYS = ("executions", "trades", "assets", "instruments", "accounts", "heartbeats", "dead-letters", "orders.rejected")


class KeyDirectory:
    """A key file and the passphrase file beside it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path, self.passphrase_path = directory / "keys.ironbook", directory / "passphrase"
        self.store = KeyFile(self.path, make_passphrase_file(self.passphrase_path))
        self.store.initialise()

    def make(self, key_id: str, permissions: int, account: int = 0) -> Key:
        """A new key."""
        return Key(
            key_id=key_id,
            secret=self.store.create_key(key_id, permissions=permissions, account=account).secret,
        )

    def settings(self) -> dict[str, object]:
        """For a worker."""
        return {"key_file": self.path, "key_passphrase_file": self.passphrase_path, "key_poll": 100}


async def make_market(kafka: str, prefix: str, *topics: str) -> None:
    """These topics and those that every worker needs; BTC/USD and eight accounts."""
    await make_topics(kafka, prefix, *ALWAYS, *topics)
    async with writing(kafka, prefix) as writer:
        instrument = example("instruments", "instrument")
        await writer.send_raw("instruments", 0, orjson.dumps(instrument), b"1", schema=b"instruments/1")
        for account in ACCOUNTS:
            event = example("accounts", "account", account=account, firm=account, seq=10 + account)
            await writer.send_raw("accounts", 0, orjson.dumps(event), b"%d" % account, schema=b"accounts/1")


async def submit(
    kafka: str, prefix: str, topic: str, messages: Sequence[tuple[int, Sequence[Any] | bytes]]
) -> list[tuple[int, int]]:
    """Messages for firms, as any client writes them: the key decides the partition. Their partitions and offsets."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        waiting = []
        for firm, events in messages:
            value = events if isinstance(events, bytes) else orjson.dumps(list(events))
            headers = [("schema", f"{topic}/1".encode())]
            waiting.append(await producer.send(prefix + topic, value, key=str(firm).encode(), headers=headers))
        written = [await one for one in waiting]
    finally:
        await producer.stop()
    wanted = [partition(topic, str(firm)) for firm, _ in messages]
    assert [found.partition for found in written] == wanted
    return [(found.partition, found.offset) for found in written]


class Reading:
    """A topic from its beginning, read on whenever more is asked for."""

    def __init__(self, kafka: str, prefix: str, topic: str) -> None:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=None, enable_auto_commit=False)
        count = load_topics()[topic].partitions_count
        self._places = [TopicPartition(prefix + topic, number) for number in range(count)]
        self.messages: list[ConsumerRecord] = []
        self.events: list[dict[str, Any]] = []

    async def __aenter__(self) -> Reading:
        await self._consumer.start()
        self._consumer.assign(self._places)
        await self._consumer.seek_to_beginning(*self._places)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def read_on(self) -> None:
        """To where the topic ends now."""
        ends = await self._consumer.end_offsets(self._places)
        while any([await self._consumer.position(place) < ends[place] for place in self._places]):
            for records in (await self._consumer.getmany(timeout_ms=200)).values():
                self.messages += records
                for record in records:
                    events = orjson.loads(record.value or b"[]")
                    self.events += events if isinstance(events, list) else [events]


async def read_messages(kafka: str, prefix: str, topic: str) -> list[ConsumerRecord]:
    """All messages that a topic has now."""
    async with Reading(kafka, prefix, topic) as reading:
        await reading.read_on()
        return reading.messages


async def read_events(kafka: str, prefix: str, topic: str) -> list[dict[str, Any]]:
    """All events that a topic has now."""
    async with Reading(kafka, prefix, topic) as reading:
        await reading.read_on()
        return reading.events


async def read_until(
    kafka: str, prefix: str, topic: str, holds: Callable[[list[dict[str, Any]]], Any], timeout_s: float = 90.0
) -> list[dict[str, Any]]:
    """The events of a topic, once holds(events)."""
    async with asyncio.timeout(timeout_s), Reading(kafka, prefix, topic) as reading:
        while True:
            await reading.read_on()
            if holds(reading.events):
                return reading.events
            await asyncio.sleep(0.1)
