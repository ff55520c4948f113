"""Messages of topics for tests, without asyncio: all topics made, messages put, topics read to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import load_topics
from tests.support import topics

Message = tuple[str, int, Any]  # topic, partition, value: bytes, or what is written as JSON


def make_all_topics(bootstrap: str, prefix: str) -> None:
    """Every topic of the contract under this prefix, ready to be written to."""

    async def make() -> None:
        names = [topic.name for topic in load_topics()]
        await topics.make_topics(bootstrap, prefix, *names)
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            for _ in range(200):
                found = await admin.describe_topics([prefix + name for name in names])
                if all(one["error_code"] == 0 and all(p["leader"] >= 0 for p in one["partitions"]) for one in found):
                    return
                await asyncio.sleep(0.05)
        finally:
            await admin.close()

    asyncio.run(make())


def put(bootstrap: str, prefix: str, messages: Sequence[Message], *, headers: Sequence[tuple[str, bytes]] = ()) -> None:
    """Write messages in order."""

    async def write() -> None:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
            for topic, partition, value in messages:
                data = value if isinstance(value, bytes) else orjson.dumps(value)
                await producer.send(prefix + topic, data, partition=partition, headers=list(headers))

    asyncio.run(write())


def read(bootstrap: str, prefix: str, topic: str) -> list[list[Any]]:
    """Everything that is in a topic of the contract now: its messages of each partition, in order."""
    return read_named(bootstrap, prefix + topic, load_topics()[topic].partitions_count)


def read_named(bootstrap: str, name: str, partitions_count: int) -> list[list[Any]]:
    """The same of any topic, by its full name."""

    async def consume() -> list[list[Any]]:
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
            places = [TopicPartition(name, number) for number in range(partitions_count)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            found: list[list[Any]] = [[] for _ in places]
            for place in places:
                while await consumer.position(place) < ends[place]:
                    for messages in (await consumer.getmany(timeout_ms=200)).values():
                        for message in messages:
                            found[message.partition].append(message)
            return found

    return asyncio.run(consume())


def events(bootstrap: str, prefix: str, topic: str) -> list[list[dict[str, Any]]]:
    """The events of a topic by partition, batches taken apart."""
    found = []
    for messages in read(bootstrap, prefix, topic):
        values = [orjson.loads(message.value) for message in messages if message.value]
        found.append([event for value in values for event in (value if isinstance(value, list) else [value])])
    return found
