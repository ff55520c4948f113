"""What processors need to know without asking the engine: assets, instruments, accounts, tops of books.

A compacted topic is read to its end before the worker is ready, and followed from then on. No consumer group: every
instance sees everything. Of two messages of one key the one with the higher (seq, n) counts, whatever their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.common.codec import decode
from streams.common.errors import BrokerMismatch, Undecodable
from streams.common.logs import LOGGER, fields
from streams.common.settings import StreamSettings, kafka_options

__all__ = ["Reference"]

POLL_MS: Final = 500
NAMED: Final = {"assets": "asset", "instruments": "symbol", "accounts": "account", "book.top": "symbol"}


class Reference:
    """Compacted topics as dictionaries. Belongs to one loop.

    assets        by name
    instruments   by symbol; `by_number` the same by number
    accounts      by number
    top           by symbol; only if asked for
    """

    def __init__(self, settings: StreamSettings, topics: Iterable[str] = ("assets", "instruments", "accounts")) -> None:
        self.settings = settings
        self.topics = tuple(topics)
        self.assets: dict[str, dict[str, Any]] = {}
        self.instruments: dict[str, dict[str, Any]] = {}
        self.by_number: dict[int, dict[str, Any]] = {}
        self.accounts: dict[int, dict[str, Any]] = {}
        self.top: dict[str, dict[str, Any]] = {}
        self.changed: list[Callable[[str, dict[str, Any]], None]] = []  # told of each (topic, event) that was taken
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read all topics to where they end now; then go on in the background. Raises BrokerMismatch."""
        if not self.topics:
            return
        consumer = AIOKafkaConsumer(group_id=None, enable_auto_commit=False, **kafka_options(self.settings))
        await consumer.start()
        self._consumer = consumer
        places = []
        for name in self.topics:
            partitions = await _partitions(consumer, self.settings.full(name))
            places += [TopicPartition(self.settings.full(name), partition) for partition in partitions]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            await self._take(consumer)
        self._task = asyncio.create_task(self._follow(consumer), name="reference")

    @property
    def consumer(self) -> AIOKafkaConsumer | None:
        """Which reads the topics, once it has begun."""
        return self._consumer

    async def stop(self) -> None:
        """End the background task and the consumer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.stop()

    def take(self, topic: str, event: dict[str, Any]) -> bool:
        """Take one event of a topic (name without prefix) if it is newer than what is known. Was it?"""
        tables: dict[str, dict[Any, dict[str, Any]]] = {
            "assets": self.assets, "instruments": self.instruments, "accounts": self.accounts, "book.top": self.top,
        }  # fmt: skip
        table = tables[topic]
        key = event[NAMED[topic]]
        known = table.get(key)
        if known is not None and (event["seq"], event["n"]) < (known["seq"], known["n"]):
            return False
        table[key] = event
        if topic == "instruments":
            self.by_number[event["instrument"]] = event
        for told in self.changed:
            told(topic, event)
        return True

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            await self._take(consumer)

    async def _take(self, consumer: AIOKafkaConsumer) -> None:
        prefix = len(self.settings.topic_prefix)
        found = await consumer.getmany(timeout_ms=POLL_MS)
        for place, messages in found.items():
            for message in messages:
                try:
                    events = decode(message.value) if message.value else []
                    for event in events:
                        self.take(place.topic[prefix:], event)
                except (Undecodable, KeyError, TypeError) as error:
                    where = fields(topic=place.topic, partition=place.partition, offset=message.offset)
                    LOGGER.warning("reference_bad", exc_info=error, extra=where)


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    await consumer._client.force_metadata_update()
    found = consumer.partitions_for_topic(topic)
    if not found:
        raise BrokerMismatch(
            "a topic of the contract must be on the broker, is not",
            detail=f"topic {topic}",
            hint="make the topics first: ironbook topics create",
        )
    return sorted(found)
