"""Journal topics filled as the publisher fills them, from records that a test has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from engine_node import _engine


def messages_of(records: bytes, first: int = 1, most: int = 40) -> list[tuple[int, bytes]]:
    """(first sequence, whole commands) of at most so many records each."""
    core, found, at = _engine.Core(order_count_max=64), [], 0
    while at < len(records):
        whole = core.group_bytes(records[at : at + most * 64])
        found.append((first + at // 64, records[at : at + whole]))
        at += whole
    return found


def ship(
    bootstrap: str, topic: str, messages: Sequence[tuple[int, bytes]], login: Mapping[str, str] | None = None
) -> None:
    """Make the topic if it is not there, and append; in a transaction, whose marks take offsets too.

    login: of the broker's administrator, where the brokers ask for one.
    """
    at_brokers: dict[str, Any] = {"bootstrap_servers": bootstrap, **(login or {})}

    async def go() -> None:
        admin = AIOKafkaAdminClient(**at_brokers)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic, 1, 1)])  # one that is there stays as it is
        finally:
            await admin.close()
        producer = AIOKafkaProducer(**at_brokers, transactional_id=f"fill-{topic}", acks="all")
        await producer.start()
        try:
            for at in range(0, len(messages), 5):
                async with producer.transaction():
                    for first, records in messages[at : at + 5]:
                        headers = [("schema", b"journal/1"), ("first_sequence", b"%d" % first)]
                        await producer.send_and_wait(topic, value=records, partition=0, headers=headers)
        finally:
            await producer.stop()

    asyncio.run(go())
