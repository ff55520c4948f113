"""Messages on their way to Kafka: one lane a partition.

    put ──▶ lane trades/0   [m4 m3 | m2 m1] ──▶ one batch under way ──▶ acks=all ──▶ forgotten
            lane trades/1   [ ]                     │
            lane book/0     [m9 m8]                 └─ its producer fails: what is left is sent again by the next

A lane sends a batch of what has gathered and waits for its answer before it sends the next. So a partition's order
holds whatever fails, nothing behind a failure is ever in the log before what failed, and there is one future a batch
rather than one a message. Messages stay in their lane until they are acknowledged: a new producer after a failure sends
them again (readers drop what repeats), and none is ever missing.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import time
from collections.abc import Iterable, Sequence
from typing import Final

from aiokafka import AIOKafkaProducer

__all__ = ["Lane", "Lanes", "Mark", "Message"]

OVERHEAD_BYTES: Final = 100  # about what a message takes beside key and value

Header = tuple[str, bytes]


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One message, ready to be sent."""

    key: bytes | None
    value: bytes
    headers: Sequence[Header]

    @property
    def size(self) -> int:
        """Bytes that it counts for."""
        return len(self.value) + len(self.key or b"") + OVERHEAD_BYTES


class Lane:
    """A partition's messages, in order."""

    __slots__ = ("acknowledged", "end_offset", "partition", "queued", "task", "topic", "waiting")

    def __init__(self, topic: str, partition: int, end_offset: int = 0) -> None:
        self.topic = topic
        self.partition = partition
        self.end_offset = end_offset  # behind the last message known to be there
        self.waiting: collections.deque[Message] = collections.deque()
        self.queued = 0  # messages ever put
        self.acknowledged = 0  # of them, those answered
        self.task: asyncio.Task[None] | None = None


Mark = dict[Lane, int]  # lanes and how far each must come


class Lanes:
    """All lanes of a publisher. `attach` a producer, `put`; what goes wrong sets `trouble`, then `detach`.

    changed  set at every answer; whoever waits for it clears it.
    """

    def __init__(self, prefix: str, bytes_max: int) -> None:
        self._prefix = prefix
        self._bytes_max = bytes_max
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._producer: AIOKafkaProducer | None = None
        self.changed = asyncio.Event()
        self.trouble: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.held_bytes = 0
        self.held_messages = 0
        self.sent_bytes = 0
        self.sent_messages = 0
        self.answered_s = time.monotonic()

    def lane(self, topic: str, partition: int) -> Lane:
        """The lane of that partition (topic without prefix)."""
        found = self._lanes.get((topic, partition))
        if found is None:
            found = self._lanes[topic, partition] = Lane(self._prefix + topic, partition)
        return found

    @property
    def full(self) -> bool:
        """More must not be put until something is acknowledged."""
        return self.held_bytes >= self._bytes_max

    def put(self, lane: Lane, message: Message) -> None:
        """Queue it behind what the lane holds."""
        if not self.held_messages:
            self.answered_s = time.monotonic()
        lane.waiting.append(message)
        lane.queued += 1
        self.held_bytes += message.size
        self.held_messages += 1
        if lane.task is None and self._producer is not None:
            lane.task = asyncio.get_running_loop().create_task(self._drain(lane, self._producer))

    @property
    def producer(self) -> AIOKafkaProducer | None:
        """Of the session that there is."""
        return self._producer

    def attach(self, producer: AIOKafkaProducer) -> None:
        """Send with it from now on, first what is still held."""
        self._producer = producer
        self.trouble = asyncio.get_running_loop().create_future()
        for lane in self._lanes.values():
            if lane.waiting:
                lane.task = asyncio.get_running_loop().create_task(self._drain(lane, producer))

    async def detach(self) -> None:
        """Send no more. What is held stays."""
        self._producer = None
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for lane in self._lanes.values():
            lane.task = None

    def mark(self, lanes: Iterable[Lane] | None = None) -> Mark:
        """How far lanes (all unless named) must come until all that they hold now is acknowledged."""
        chosen = self._lanes.values() if lanes is None else lanes
        return {lane: lane.queued for lane in chosen if lane.acknowledged < lane.queued}

    async def reached(self, mark: Mark) -> None:
        """Wait until that is so."""
        while any(lane.acknowledged < queued for lane, queued in mark.items()):
            await self.wait()

    async def wait(self) -> None:
        """Wait for the next answer."""
        self.changed.clear()
        await self.changed.wait()

    async def _drain(self, lane: Lane, producer: AIOKafkaProducer) -> None:
        try:
            while lane.waiting:
                await self._send_some(lane, producer)
        except Exception as error:  # whatever the client met: a lane that stopped in silence would hold all others up
            if not self.trouble.done():
                self.trouble.set_result(error)
        finally:
            lane.task = None

    async def _send_some(self, lane: Lane, producer: AIOKafkaProducer) -> None:
        batch = producer.create_batch()
        count = size = 0
        for message in lane.waiting:
            if batch.append(key=message.key, value=message.value, timestamp=None, headers=message.headers) is None:
                break
            count += 1
            size += message.size
        batch.close()
        answer = await (await producer.send_batch(batch, lane.topic, partition=lane.partition))
        for _ in range(count):
            lane.waiting.popleft()
        lane.acknowledged += count
        if answer.offset >= 0:  # below: a repeat that the broker knows, but not where
            lane.end_offset = answer.offset + count
        self.held_bytes -= size
        self.held_messages -= count
        self.sent_bytes += size
        self.sent_messages += count
        self.answered_s = time.monotonic()
        self.changed.set()
