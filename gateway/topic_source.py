"""Records from `journal.<shard>`, for a gateway on another machine than the engine.

    newest snapshot that the topic goes on from, or its beginning ─▶ core
    journal.<shard> ── one consumer, one task ──▶ chain of CRCs ──▶ parts, bounded ──▶ next()

What the topic has is acknowledged by its brokers, and released. A message holds whole commands and says the sequence of
its first record; what comes again is the same and is dropped. Anything else (a gap, a record that is not the next of
the chain) ends the reading: the mirror begins anew, and tells why until it works.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from engine_node import _engine
from engine_node.errors import ReplicaError
from engine_node.snapshots import BadSnapshot, newest_good
from gateway.events import RECORD_BYTES
from gateway.settings import GatewaySettings, SettingsInvalid
from ironbook._errors import InputInvalid
from ironbook._kafka import PLAIN_TEXT, Security, aiokafka, check_servers, client_of, read_login, renew_login, try_login

__all__ = ["KafkaLogin", "TopicSource", "kafka_security"]

FIRST_SEQUENCE: Final = "first_sequence"
REPLAY_MAX: Final = 5_000_000  # so far back at most, however far the database is behind: a minute or two
START_TIMEOUT_S: Final = 15.0
SILENCE_S: Final = 10.0
FETCH_WAIT_MS: Final = 200
BUFFER_BYTES_MAX: Final = 32 << 20
ROOMIER: Final = 4  # times the capacities of before, when a core had no room
POOLS: Final = (
    "account_count_max", "asset_count_max", "balance_count_max", "extra_count_max", "instrument_count_max",
    "key_count_max", "ladder_count_max", "level_count_max", "nonce_count_max", "order_count_max", "position_count_max",
)  # fmt: skip
SCALES: Final = (1, ROOMIER, ROOMIER**2)


def kafka_security(settings: GatewaySettings) -> Security:
    """How to log on to Kafka, from the file that the settings name. Raises SettingsInvalid."""
    if not settings.kafka_login:
        return PLAIN_TEXT
    try:
        return read_login(Path(settings.kafka_login))
    except InputInvalid as error:
        raise SettingsInvalid(
            error.message, detail=error.detail, hint='for example {"username": "gateway", "password": "…", "tls": true}'
        ) from None


class KafkaLogin:
    """Who this gateway is to the brokers, for all of its parts; changes with the file. Raises SettingsInvalid."""

    def __init__(self, settings: GatewaySettings, source: object) -> None:
        self.security = kafka_security(settings)
        self._settings = settings
        self._source = source if isinstance(source, TopicSource) else None

    async def renew(self) -> bool:
        """Read the file again; was there another login? Raises what is wrong with it: the old one goes on."""
        found = await asyncio.to_thread(kafka_security, self._settings)
        if found == self.security:
            return False
        if self._source is not None:
            await self._source.renew(found)
        else:
            await try_login(self._settings.kafka, found)
        self.security = found
        return True


class TopicSource:
    """A journal topic, read from a snapshot on.

    capacities  of the core, instead of the usual ones; where they are too small, more is taken
    """

    def __init__(
        self,
        servers: str,
        security: Security,
        topic: str,
        snapshots: Path | None,
        replay_records: int,
        capacities: Mapping[str, int] | None = None,
    ) -> None:
        self.arrived: Callable[[], object] | None = None
        self.security = security
        self._servers = check_servers(servers).split(",")
        self._topic, self._snapshots, self._replay_records = topic, snapshots, replay_records
        usual = {name: value for name, value in _engine.Core().options().items() if name in POOLS}
        self._capacities = usual | dict(capacities or {})
        self._scale = 0
        self._consumer: Any = None
        self._task: asyncio.Task[None] | None = None
        self._parts: collections.deque[bytes] = collections.deque()
        self._buffered = 0  # bytes in the parts
        self._drained = asyncio.Event()
        self._failure: Exception | None = None
        self._last = self._crc = 0  # of the last record that was taken from the topic
        self._end = self._position = 0  # offsets

    async def open(self, before: int | None, *, roomier: bool = False) -> _engine.Core:
        """The state to begin with; then the topic is read by a task of its own."""
        if roomier and self._scale + 1 < len(SCALES):
            self._scale += 1
        module = aiokafka()
        self._consumer = module.AIOKafkaConsumer(
            bootstrap_servers=self._servers, **self.security.options(), client_id="ironbook-gateway", group_id=None,
            enable_auto_commit=False, fetch_max_wait_ms=FETCH_WAIT_MS, max_partition_fetch_bytes=4 << 20,
            auto_offset_reset="none", isolation_level="read_uncommitted",
        )  # fmt: skip
        await asyncio.wait_for(self._consumer.start(), START_TIMEOUT_S)
        if self._topic not in await asyncio.wait_for(self._consumer.topics(), START_TIMEOUT_S):
            raise ReplicaError(
                f"the journal's topic must be there, is not: {self._topic}",
                hint="make the topics (ironbook topics create) and start the publisher beside the engine",
            )
        place = module.TopicPartition(self._topic, 0)
        self._consumer.assign([place])
        first = (await self._consumer.beginning_offsets([place]))[place]
        self._end = (await self._consumer.end_offsets([place]))[place]
        core, start = await self._begin(place, first, before)
        self._last = core.sequence()
        self._consumer.seek(place, start)
        self._position, self._failure = start, None
        self._task = asyncio.get_running_loop().create_task(self._read(place))
        return core

    async def renew(self, security: Security) -> bool:
        """Go on as another user, without reading anew; is it one? Raises what the brokers say: the old one goes on."""
        if security == self.security:
            return False
        if self._consumer is not None:
            await renew_login(client_of(self._consumer), security)
        self.security = security
        return True

    # ---- Where to begin ----------------------------------------------------------------------------------------------

    async def _begin(self, place: Any, first: int, before: int | None) -> tuple[_engine.Core, int]:
        """A core, and the offset of the message that holds its last record (at sequence 0 the first message)."""
        oldest = await self._message_at(place, first)
        newest = await self._last_message(place, first)
        last = 0 if newest is None else newest[0] + newest[1] // RECORD_BYTES - 1
        core = await self._load(oldest[0] if oldest is not None else 1, last, before)
        if core.sequence() == 0:
            self._crc = 0
            return core, first
        low, high = first, self._end  # the last message that begins at or before the core's last record
        while high - low > 1:
            middle = (low + high) // 2
            found = await self._message_at(place, middle)
            if found is None or found[0] > core.sequence():
                high = middle
            else:
                low = middle
        message = await self._message_at(place, low)
        if message is None or not message[0] <= core.sequence() < message[0] + message[1] // RECORD_BYTES:
            raise ReplicaError(
                f"the topic must hold record {core.sequence()}, where the snapshot was taken, and does not",
                detail=self._topic,
                hint="copy a newer snapshot of the engine here; the topic keeps its records for a while only",
            )
        self._crc = _crc_of(message[2], core.sequence() - message[0])
        return core, message[3]

    async def _load(self, oldest: int, last: int, before: int | None) -> _engine.Core:
        """A snapshot that the topic goes on from and that is old enough, else the newest, else an empty core."""
        scale = SCALES[self._scale]
        capacities = {name: value * (scale if name in POOLS else 1) for name, value in self._capacities.items()}
        options = capacities | {"event_mask": _engine.EVENTS_ALL, "reports_kept": 0}
        wanted = max(0, last - self._replay_records)
        wanted = wanted if before is None else max(0, min(wanted, before), last - REPLAY_MAX)
        if wanted == 0 and oldest <= 1:
            return _engine.Core(**options)
        bad: list[BadSnapshot] = []
        directory = self._snapshots
        for most in (wanted, None):
            for found in newest_good(directory, options, sequence_max=last, before=most) if directory else ():
                if isinstance(found, BadSnapshot):
                    bad.append(found)
                elif found[0].sequence >= oldest:
                    return found[2]
        if oldest <= 1:
            return _engine.Core(**options)
        why = f"; {len(bad)} could not be used, the first: {dict(bad[0].why)}" if bad else ""
        raise ReplicaError(
            f"there must be a snapshot from sequence {oldest} on, where the topic begins now{why}",
            detail=str(self._snapshots or "no directory of snapshots"),
            hint="copy a snapshot of the engine (<data>/snapshots) into the directory of the gateway's settings",
        )

    async def _message_at(self, place: Any, offset: int) -> tuple[int, int, bytes, int] | None:
        """First sequence, bytes, records and offset of the first message at or behind an offset."""
        if offset >= self._end:
            return None
        self._consumer.seek(place, offset)
        async with asyncio.timeout(SILENCE_S):
            while await self._consumer.position(place) < self._end:
                found = (await self._consumer.getmany(place, timeout_ms=FETCH_WAIT_MS, max_records=1)).get(place)
                if found:
                    return first_sequence_of(found[0]), len(found[0].value), found[0].value, found[0].offset
        return None

    async def _last_message(self, place: Any, first: int) -> tuple[int, int, bytes, int] | None:
        """What transactions leave at the end of a log is no message: so it is looked for backwards."""
        span = 16
        while True:
            start = max(first, self._end - span)
            last, at = None, start
            while (found := await self._message_at(place, at)) is not None:
                last, at = found, found[3] + 1
            if last is not None or start == first:
                return last
            span *= 16

    # ---- Reading -----------------------------------------------------------------------------------------------------

    async def _read(self, place: Any) -> None:
        try:
            while True:
                found = (await self._consumer.getmany(place, timeout_ms=FETCH_WAIT_MS)).get(place, ())
                for message in found:
                    self._take(message)
                self._position = await self._consumer.position(place)
                self._end = max(self._end, self._consumer.highwater(place) or 0)
                if found and self.arrived is not None:
                    self.arrived()
                while self._buffered > BUFFER_BYTES_MAX:
                    self._drained.clear()
                    await self._drained.wait()
        except Exception as error:
            self._failure = error

    def _take(self, message: Any) -> None:
        """What is new of a message. Raises ReplicaError."""
        first = first_sequence_of(message)
        count = len(message.value) // RECORD_BYTES
        where = f"{self._topic}, offset {message.offset}, sequences {first} to {first + count - 1}"
        if first > self._last + 1:
            raise ReplicaError(f"the next record must be {self._last + 1}, was {first}", detail=where)
        new = message.value[(self._last + 1 - first) * RECORD_BYTES :]
        if not new:
            return
        if _engine.seal(new, self._crc) != new:
            raise ReplicaError(
                "each record must be the next of the chain, one was not",
                detail=where,
                hint="two engines wrote to this topic, or the snapshot is of another one",
            )
        self._last, self._crc = first + count - 1, _crc_of(new, len(new) // RECORD_BYTES - 1)
        self._parts.append(new)
        self._buffered += len(new)

    def next(self, room: int) -> bytes:
        """What has arrived."""
        if not self._parts:
            if self._failure is not None:
                raise self._failure
            return b""
        part = self._parts.popleft()
        if len(part) > room * RECORD_BYTES:
            self._parts.appendleft(part[room * RECORD_BYTES :])
            part = part[: room * RECORD_BYTES]
        self._buffered -= len(part)
        self._drained.set()
        return part

    def behind(self) -> int:
        """Records that have arrived; messages that have not count as one each."""
        return self._buffered // RECORD_BYTES + max(0, self._end - self._position)

    async def close(self) -> None:
        """Let the brokers go."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(consumer.stop(), START_TIMEOUT_S)
        self._parts.clear()
        self._buffered = self._end = self._position = 0


def _crc_of(records: bytes, index: int) -> int:
    at = index * RECORD_BYTES + 52
    return int.from_bytes(records[at : at + 4], "little")


def first_sequence_of(message: Any) -> int:
    """The sequence of a journal message's first record. Raises ReplicaError for a message that is none."""
    text = dict(message.headers).get(FIRST_SEQUENCE, b"")
    if not text.isdigit() or not message.value or len(message.value) % RECORD_BYTES:
        raise ReplicaError(
            f"a message of the journal topic must be whole records with a header {FIRST_SEQUENCE}",
            detail=f"{message.topic}, offset {message.offset}, {len(message.value or b'')} bytes",
            hint="something else wrote there; see who may (ironbook topics acls)",
        )
    return int(text)
