"""`journal.<shard>` as the archiver sees it: messages by sequence, read uncommitted, and the deletion of old ones.

A message's value is whole commands, 64 bytes a record; its header first_sequence names the first. Between messages lie
marks of transactions, which take offsets and are no messages; so an offset is looked for, never computed.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError
from aiokafka.record.util import calc_crc32c

from functions.archiver.errors import BrokersFailed, TopicInvalid
from ironbook._kafka import Security
from schemas.vocabulary import RECORD_BYTES

__all__ = ["JournalTopic", "Message", "crc32c"]

FIRST_SEQUENCE: Final = "first_sequence"
ANSWER_S: Final = 20.0
WAIT_MS: Final = 200
crc32c: Final = calc_crc32c


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One message: the sequence of its first record, its records, where it stands."""

    first: int
    records: bytes
    offset: int

    @property
    def last(self) -> int:
        return self.first + len(self.records) // RECORD_BYTES - 1


class JournalTopic:
    """Reads one journal topic as far as it goes at the time of `open`. Raises BrokersFailed, TopicInvalid.

    begin, end  offsets: of the first that the topic still has, and behind the last.
    """

    def __init__(self, servers: str, security: Security, prefix: str, shard: int) -> None:
        self.name = f"{prefix}journal.{shard}"
        self.begin = self.end = 0
        self._place = TopicPartition(self.name, 0)
        self._options: dict[str, Any] = {"bootstrap_servers": servers.split(","), **security.options()}
        self._consumer: Any = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[JournalTopic]:
        """For the time of the block."""
        self._consumer = AIOKafkaConsumer(
            **self._options, client_id="ironbook-archiver", group_id=None, enable_auto_commit=False,
            fetch_max_wait_ms=WAIT_MS, max_partition_fetch_bytes=4 << 20, auto_offset_reset="none",
            isolation_level="read_uncommitted",
        )  # fmt: skip
        try:
            await self._answer(self._consumer.start())
            if self.name not in await self._answer(self._consumer.topics()):
                raise TopicInvalid(
                    f"the journal's topic must be there, is not: {self.name}",
                    detail=str(self._options["bootstrap_servers"]),
                    hint="is it the right shard and prefix (ironbook topics create makes it), "
                    "and may the archiver's user see it (ironbook topics acls)?",
                )
            self._consumer.assign([self._place])
            self.begin = (await self._answer(self._consumer.beginning_offsets([self._place])))[self._place]
            self.end = (await self._answer(self._consumer.end_offsets([self._place])))[self._place]
            yield self
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(self._consumer.stop(), ANSWER_S)

    async def message_at(self, offset: int) -> Message | None:
        """The first message at or behind an offset; None: there is none up to the end."""
        if offset >= self.end:
            return None
        self._consumer.seek(self._place, max(offset, self.begin))
        async for message in self._on(1):
            return message
        return None

    async def messages(self, offset: int) -> AsyncIterator[Message]:
        """All messages from an offset on, up to the end."""
        self._consumer.seek(self._place, max(offset, self.begin))
        async for message in self._on(None):
            yield message

    async def find(self, sequence: int) -> Message | None:
        """The last message that begins at or before a sequence; None: the topic begins behind it, or is empty."""
        low, high = self.begin, self.end
        best: Message | None = None
        while low < high:
            middle = (low + high) // 2
            found = await self.message_at(middle)
            if found is None or found.first > sequence:
                high = middle
            else:
                best, low = found, found.offset + 1
        return best

    async def last(self) -> Message | None:
        """The last message; marks of transactions behind it are none. None: the topic is empty."""
        return await self.find(1 << 62)

    async def trim(self, offset: int) -> None:
        """Delete what is before an offset."""
        admin = AIOKafkaAdminClient(**self._options)
        try:
            await self._answer(admin.start())
            await self._answer(admin.delete_records({self._place: RecordsToDelete(offset)}))
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(admin.close(), ANSWER_S)

    async def _on(self, most: int | None) -> AsyncIterator[Message]:
        silent_s = asyncio.get_running_loop().time() + ANSWER_S
        while await self._answer(self._consumer.position(self._place)) < self.end:
            asked = self._consumer.getmany(self._place, timeout_ms=WAIT_MS, max_records=most)
            found = (await self._answer(asked)).get(self._place, ())
            now_s = asyncio.get_running_loop().time()
            if not found and now_s > silent_s:
                raise BrokersFailed(
                    f"the brokers must hand out what the topic has within {ANSWER_S:.0f} s, do not", detail=self.name
                )
            for message in found:
                if message.offset >= self.end:
                    return
                yield self._message(message)
            silent_s = now_s + ANSWER_S if found else silent_s

    def _message(self, message: Any) -> Message:
        text = dict(message.headers).get(FIRST_SEQUENCE, b"")
        if not text.isdigit() or not message.value or len(message.value) % RECORD_BYTES:
            raise TopicInvalid(
                f"a message of the journal topic must be whole records with a header {FIRST_SEQUENCE}",
                detail=f"{self.name}, offset {message.offset}, {len(message.value or b'')} bytes",
                hint="something else wrote there; see who may (ironbook topics acls)",
            )
        return Message(int(text), message.value, message.offset)

    async def _answer(self, asked: Any) -> Any:
        try:
            return await asyncio.wait_for(asked, ANSWER_S)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokersFailed(
                f"Kafka must answer, does not: {error or type(error).__name__}"[:500],
                detail=f"{self.name} at {','.join(self._options['bootstrap_servers'])}",
                hint="are the brokers up, do user, password and mechanism fit them, and may it (ironbook topics acls)?",
            ) from error
