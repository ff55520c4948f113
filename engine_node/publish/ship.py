"""Stage 1: raw records to `journal.<shard>`, each once, in order, by one publisher at a time.

    JournalReader ── whole commands ──▶ producer in an open transaction ──▶ journal.0 ── acks=all ──▶ acknowledged
                                            │                                                     └─▶ reader.ship()
                                            └─ committed and begun anew each third of its time-out

The transaction is only a fence: a later publisher's `init_transactions` ends it, and nothing of the older one can be
appended any more. So everybody reads the topic uncommitted, and a record counts when the produce request is answered.
One request is under way at a time; what gathers meanwhile is the next message, so a message is as large as the load
makes it and never waits.

A start learns from the topic's last message what is there already, holds it against its own journal (the chain of CRCs
makes one record speak for all before it), and goes on behind it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import ProducerFenced

from engine_node import _engine
from engine_node.errors import PublisherFenced, PublishError
from engine_node.logs import Log
from engine_node.publish.kafka import Kafka, bounds, last_message, message_at
from engine_node.replica import first_kept
from engine_node.settings import Settings

__all__ = ["FIRST_SEQUENCE", "RECORD_BYTES", "Shipper", "first_sequence_of"]

RECORD_BYTES: Final = 64
FIRST_SEQUENCE: Final = "first_sequence"  # header: ASCII decimal
SCHEMA: Final = b"journal/1"
POLL_S_MIN: Final = 0.001
POLL_S_MAX: Final = 0.005
EAGER_S: Final = 0.1  # so long after the last record it looks as often as it can
LOOK_TIMEOUT_S: Final = 30.0


def first_sequence_of(message: Any) -> int:
    """The sequence of a journal message's first record. Raises PublishError for a message that is none."""
    text = dict(message.headers).get(FIRST_SEQUENCE, b"")
    if not text.isdigit() or not message.value or len(message.value) % RECORD_BYTES:
        raise PublishError(
            f"a message of the journal topic must be whole records with a header {FIRST_SEQUENCE}, "
            f"was {len(message.value or b'')} bytes with {text[:40]!r}",
            detail=f"{message.topic}, offset {message.offset}",
            hint="something else wrote there; see who may (ironbook topics acls)",
        )
    return int(text)


class Shipper:
    """Ships records. `open` with a new producer, then `run` until it fails or is cancelled; both again and again.

    acknowledged  the last sequence that the topic has.
    progressed    set whenever acknowledged rose; whoever waits for it clears it.
    asked_s       since when (monotonic) an answer is awaited; 0: none is.
    """

    def __init__(self, settings: Settings, log: Log, kafka: Kafka, core: _engine.Core) -> None:
        self.settings = settings
        self.log = log
        self.topic = f"{kafka.prefix}journal.{settings.shard}"
        self.acknowledged = 0
        self.shipped_records = 0
        self.asked_s = 0.0
        self.progressed = asyncio.Event()
        self._kafka = kafka
        self._group_bytes: Callable[[bytes], int] = core.group_bytes
        self._marks = _engine.JournalReader(str(settings.journal_path), 1 << 62)  # only asked how far the engine is
        self._reader: _engine.JournalReader | None = None
        self._producer: AIOKafkaProducer | None = None
        self._held = b""  # a prefix whose command has not come whole yet
        self._begun_s = 0.0
        self._dirty = False  # something was sent in the open transaction

    def target(self) -> int:
        """How far records may leave this machine."""
        return self._marks.shippable()

    @property
    def waiting_records(self) -> int:
        """Records that may leave and have not yet."""
        return max(0, self.target() - self.acknowledged)

    async def open(self) -> None:
        """Fence whoever shipped before, learn what the topic has, check it. Raises PublishError, Kafka's errors."""
        self._producer = self._kafka.producer(
            transactional_id=f"{self._kafka.prefix}ironbook-publisher-{self.settings.shard}",
            transaction_timeout_ms=self.settings.kafka_fence_ms,
        )
        await asyncio.wait_for(self._producer.start(), LOOK_TIMEOUT_S)
        async with self._kafka.consumer() as consumer:
            message = await asyncio.wait_for(last_message(consumer, self.topic), LOOK_TIMEOUT_S)
            await self._take_up(consumer, message)
        await self._begin()
        self.progressed.set()

    async def run(self) -> None:
        """Ship what comes, for ever."""
        wait_s, last_s = POLL_S_MIN, time.monotonic()
        while True:
            records = self._next()
            if records:
                await self._send(records)
                wait_s, last_s = POLL_S_MIN, time.monotonic()
                continue
            if time.monotonic() - self._begun_s > self.settings.kafka_fence_ms / 3000:
                await self._renew()
            await asyncio.sleep(wait_s)
            if time.monotonic() - last_s > EAGER_S:
                wait_s = min(wait_s * 1.5, POLL_S_MAX)

    @property
    def producer(self) -> AIOKafkaProducer | None:
        """Of the session that there is."""
        return self._producer

    async def close(self, abandon: Callable[[AIOKafkaProducer], Any]) -> None:
        """Give the producer back; an open transaction is ended first if brokers answer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await abandon(producer)

    async def commit(self) -> None:
        """End the open transaction: at a stop, so that the next publisher need not wait for its time-out."""
        if self._producer is not None and self._dirty:
            await self._calling(self._producer.commit_transaction())
            self._dirty = False

    # ---- What the topic has ------------------------------------------------------------------------------------------

    async def _take_up(self, consumer: AIOKafkaConsumer, message: Any) -> None:
        directory = str(self.settings.journal_path)
        oldest = first_kept(self.settings.journal_path)
        if message is None:
            self.acknowledged = oldest - 1
        else:
            last = first_sequence_of(message) + len(message.value) // RECORD_BYTES - 1
            if last > self._marks.written() or not self._same(message):
                raise await self._difference(consumer, message)
            if last + 1 < oldest:
                raise PublishError(
                    f"the journal must still have sequence {last + 1}, begins at {oldest}",
                    detail=f"{self.topic} ends at {last}; {directory}",
                    hint="put the removed segments back, or begin a new journal topic under another prefix",
                )
            self.acknowledged = last
        self._held = b""
        if self._reader is not None:
            self._reader.close()
        self._reader = _engine.JournalReader(directory, self.acknowledged + 1)
        self._tell_marks()
        self.log.info("journal_topic", topic=self.topic, acknowledged=self.acknowledged, target=self.target())

    def _same(self, message: Any) -> bool:
        """Are a message's records those of the journal? Those before the first one kept are taken as good."""
        first = first_sequence_of(message)
        start = max(first, first_kept(self.settings.journal_path))
        theirs = message.value[(start - first) * RECORD_BYTES :]
        if start + len(theirs) // RECORD_BYTES - 1 > self._marks.written():
            return False
        with _engine.JournalReader(str(self.settings.journal_path), start) as reader:
            while theirs:
                ours = reader.next(len(theirs) // RECORD_BYTES)
                if not ours or not theirs.startswith(ours):
                    return False
                theirs = theirs[len(ours) :]
        return True

    async def _difference(self, consumer: AIOKafkaConsumer, last: Any) -> PublishError:
        """Say which record is the first that the topic has and the journal has not, or has otherwise.

        The chain makes every record behind the first difference differ too, so halving finds it.
        """
        place, low, _ = await bounds(consumer, self.topic)
        high = last.offset  # differs
        while low < high:
            middle = (low + high) // 2
            found = await message_at(consumer, place, middle, last.offset + 1)
            if self._same(found):
                low = found.offset + 1
            else:
                high = middle
        found = await message_at(consumer, place, low, last.offset + 1)
        return await asyncio.to_thread(self._name_difference, found)

    def _name_difference(self, message: Any) -> PublishError:
        first = first_sequence_of(message)
        written = self._marks.written()
        where = f"{self.topic}, offset {message.offset}; {self.settings.journal_path}"
        sequence = first
        for index in range(len(message.value) // RECORD_BYTES):
            sequence = first + index
            theirs = message.value[index * RECORD_BYTES : (index + 1) * RECORD_BYTES]
            if sequence > written:
                return PublishError(
                    f"the journal must have all that its topic has, ends at sequence {written}; "
                    f"the topic has {sequence} and more",
                    detail=where,
                    hint="stop the engine and restore: python -m engine_node restore",
                )
            if sequence < first_kept(self.settings.journal_path):
                continue
            with _engine.JournalReader(str(self.settings.journal_path), sequence) as reader:
                ours = reader.next(1)
            if ours != theirs:
                break
        return PublishError(
            f"journal and topic must agree, sequence {sequence} differs",
            detail=where,
            hint="they are of two histories: is this another shard's data directory or topic prefix?",
        )

    # ---- Sending -----------------------------------------------------------------------------------------------------

    def _next(self) -> bytes:
        """Whole commands behind what is acknowledged; empty: nothing yet."""
        if self._reader is None:
            return b""
        room = self.settings.kafka_ship_records_max
        target = self.target()
        records = self._held
        while len(records) < room * RECORD_BYTES and (
            more := self._reader.next(room - len(records) // RECORD_BYTES, target)
        ):
            records += more
        whole = self._group_bytes(records) if records else 0
        self._held = records[whole:]
        return records[:whole] if self._held else records

    async def _send(self, records: bytes) -> None:
        producer = self._opened()
        first = self.acknowledged + 1
        headers = [("schema", SCHEMA), (FIRST_SEQUENCE, b"%d" % first)]
        if time.monotonic() - self._begun_s > self.settings.kafka_fence_ms / 3000:
            await self._renew()
        self._dirty = True
        await self._calling(producer.send_and_wait(self.topic, value=records, partition=0, headers=headers))
        count = len(records) // RECORD_BYTES
        self.acknowledged += count
        self.shipped_records += count
        self._tell_marks()
        self.progressed.set()

    def _tell_marks(self) -> None:
        self._marks.ship(min(self.acknowledged, self.target()))

    async def _begin(self) -> None:
        await self._calling(self._opened().begin_transaction())
        self._begun_s, self._dirty = time.monotonic(), False

    async def _renew(self) -> None:
        if self._dirty:
            await self._calling(self._opened().commit_transaction())
            await self._begin()
        self._begun_s = time.monotonic()

    def _opened(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise PublishError("the journal's producer must be open, is not")
        return self._producer

    async def _calling(self, call: Any) -> Any:
        """A call of the fenced producer; being fenced is an error of its own, for it must not be tried again."""
        self.asked_s = time.monotonic()
        try:
            return await call
        except ProducerFenced:
            raise PublisherFenced(
                "one publisher of a shard must run, another has begun",
                detail=f"{self.topic}, behind sequence {self.acknowledged}",
                hint="this one ends; stop the other if it should not be",
            ) from None
        finally:
            self.asked_s = 0.0
