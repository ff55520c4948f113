"""Topics of the contract for a test, and messages on them as a publisher writes them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from ironbook._kafka import partition_of
from schemas.topics import load_topics

RECEIVED_NS = 1_790_000_000_000_000_000


async def make_topics(bootstrap: str, prefix: str, *names: str, partitions: int | None = None) -> None:
    """The contract's topics of these names."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        made = []
        for name in names:
            topic = load_topics()[name]
            settings = {"cleanup.policy": "compact"} if topic.compacted else {}
            if topic.log_append_time:
                settings["message.timestamp.type"] = "LogAppendTime"
            count = partitions if partitions is not None else topic.partitions_count
            made.append(NewTopic(prefix + name, count, 1, topic_configs=settings))
        answer = await admin.create_topics(made)
        for _, code, *_ in answer.topic_errors:
            if code:
                raise for_code(code)
    finally:
        await admin.close()


@dataclasses.dataclass
class Writer:
    """Writes messages to topics of a prefix, chained as the contract says."""

    producer: AIOKafkaProducer
    prefix: str
    last: dict[tuple[str, int], tuple[int, int, int]] = dataclasses.field(default_factory=dict)

    async def send(self, topic: str, partition: int, events: Sequence[dict[str, Any]], *, lose: bool = False) -> None:
        """One message with these events; lose: it is not written, but the next one comes behind it."""
        shard, seq, n = self.last.get((topic, partition), (0, 0, 0))
        headers = [("schema", f"{topic}/1".encode())]
        if load_topics()[topic].chained:
            headers.append(("previous", f"{shard}:{seq}:{n}".encode()))
        if not lose:
            value = orjson.dumps(list(events) if len(events) > 1 else events[0])
            await self.producer.send_and_wait(self.prefix + topic, value, partition=partition, headers=headers)
        self.last[topic, partition] = (events[-1]["shard"], events[-1]["seq"], events[-1]["n"])

    async def send_raw(
        self, topic: str, partition: int, value: bytes | None, key: bytes | None = None, **headers: bytes
    ) -> None:
        """These bytes."""
        await self.producer.send_and_wait(
            self.prefix + topic, value, key=key, partition=partition, headers=list(headers.items())
        )


@contextlib.asynccontextmanager
async def writing(bootstrap: str, prefix: str, **options: Any) -> AsyncIterator[Writer]:
    """A writer, until the block ends."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, **options)
    await producer.start()
    try:
        yield Writer(producer, prefix)
    finally:
        await producer.stop()


def partition(topic: str, key: str) -> int:
    """Where the key's events are."""
    return partition_of(key, load_topics()[topic].partitions_count)


def trade(seq: int, n: int = 0, *, symbol: str = "BTC/USD", trade_id: int | None = None) -> dict[str, Any]:
    """A print."""
    example = next(e["example"] for e in load_topics()["trades"].data["events"] if e["type"] == "trade")
    changed = {"seq": seq, "n": n, "symbol": symbol, "trade_id": seq if trade_id is None else trade_id}
    return {**example, **changed, "received_ns": RECEIVED_NS + seq}


def example(topic: str, kind: str, **changed: Any) -> dict[str, Any]:
    """The contract's example of an event, changed."""
    found = next(e["example"] for e in load_topics()[topic].data["events"] if e["type"] == kind)
    return {**found, **changed}
