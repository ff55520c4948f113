"""Keyed state of a processor: a Faust table with its changelog, and the mark up to which it has been brought.

    partition 3:   "3:key" ─▶ value      "3:@executions" ─▶ 18      (the next offset of the source to read)

Faust restores the table from the changelog when a partition is assigned. Writing goes another way: by an idempotent
producer whose acknowledgements are waited for, because Faust's own buffer holds a hundred messages and does not say
when they are written. The mark is written behind the values it speaks of, in the same partition: a restart reads on
from the mark. What is read twice is told by the marks inside the values. A worker that was paused past its
rebalance and writes late sets values and mark back together, so what came after is read once more: nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer

__all__ = ["State"]

MARK: Final = "@"
IN_FLIGHT_MAX: Final = 1_000


class State:
    """Values by (partition, key). Made by Worker.state."""

    def __init__(self, table: Any) -> None:
        self.table = table
        self.producer: AIOKafkaProducer | None = None  # the worker's, once it runs

    def get(self, partition: int, key: str, default: Any = None) -> Any:
        """The value of a key, or the default. Do not change it in place."""
        return self.table.data.data.get(f"{partition}:{key}", default)

    def items(self, partition: int) -> Iterator[tuple[str, Any]]:
        """All keys and values of a partition, marks not among them."""
        begin = f"{partition}:"
        for key, value in list(self.table.data.data.items()):
            if key.startswith(begin) and not key.startswith(MARK, len(begin)):
                yield key[len(begin) :], value

    def next_offset(self, topic: str, partition: int) -> int | None:
        """Where to read on in a source topic (its name without prefix); None: this partition has no mark."""
        found = self.table.data.data.get(f"{partition}:{MARK}{topic}")
        return None if found is None else int(found)

    def remember(self, partition: int, changes: Mapping[str, Any]) -> None:
        """Set values (None deletes) in memory only; until they are stored a crash loses them."""
        store: Any = self.table.data
        for key, value in changes.items():
            name = f"{partition}:{key}"
            if value is None:
                store.data.pop(name, None)
                store._key_partition.pop(name, None)
            else:
                store.data[name] = value
                store._key_partition[name] = partition  # by this Faust forgets it when the partition goes to another

    async def store(
        self, partition: int, changes: Mapping[str, Any], next_offsets: Mapping[str, int] | None = None
    ) -> None:
        """Write values (None deletes) and then marks into the changelog; returns when the broker has them all."""
        marks = {f"{MARK}{topic}": offset for topic, offset in (next_offsets or {}).items()}
        rows = [(f"{partition}:{key}", value) for key, value in (*changes.items(), *marks.items())]
        self.remember(partition, changes)
        self.remember(partition, marks)
        if self.producer is None:
            raise RuntimeError("a state must be stored by a running worker only")
        name = self.table.changelog_topic.get_topic_name()
        waiting: list[asyncio.Future[Any]] = []
        for key, value in rows:
            data = None if value is None else orjson.dumps(value)
            waiting.append(await self.producer.send(name, data, key=orjson.dumps(key), partition=partition))
            if len(waiting) >= IN_FLIGHT_MAX:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
