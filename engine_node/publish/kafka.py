"""Kafka as the publisher sees it: how brokers are reached, which topics there are, how a topic is read to its end.

Nothing here retries: what fails raises, and the publisher begins a new session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import stat
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from engine_node.errors import PublishError, SettingsError
from engine_node.logs import Log
from engine_node.settings import Settings
from ironbook._errors import InputInvalid
from ironbook._kafka import Security, read_login

__all__ = ["TROUBLE", "Kafka", "abandon", "last_message", "message_at", "messages", "quiet_logs"]

TROUBLE: Final = (KafkaError, OSError, asyncio.TimeoutError)  # what a new session may mend
REQUEST_TIMEOUT_MS: Final = 30_000
FETCH_WAIT_MS: Final = 200
BATCH_BYTES_MAX: Final = 950_000  # of one partition in one request; brokers take 1 MiB unless told otherwise
TAIL_SPAN: Final = 16  # how far before the end the last message is looked for first
SILENCE_S: Final = 10.0


class Kafka:
    """How the brokers are reached. Opens nothing by itself. Raises SettingsError for what cannot be used."""

    def __init__(self, settings: Settings) -> None:
        if not settings.kafka_bootstrap:
            raise SettingsError(
                "kafka_bootstrap must be set for whoever speaks to Kafka, was empty",
                detail="field kafka_bootstrap",
                hint='for example kafka_bootstrap = "127.0.0.1:9092"',
            )
        self.settings = settings
        self.prefix = settings.kafka_topic_prefix
        self.options: dict[str, Any] = {
            "bootstrap_servers": [part.strip() for part in settings.kafka_bootstrap.split(",")],
            "client_id": f"ironbook-publisher-{settings.shard}",
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "security_protocol": settings.kafka_security.upper(),
        }
        self.login: Security | None = None
        if settings.kafka_login_file:
            self.use(self.read_login())
            return
        if settings.kafka_security.endswith("ssl"):
            self.options["ssl_context"] = _trust(settings.kafka_ca_file)
        if settings.kafka_security.startswith("sasl"):
            self.options |= {
                "sasl_mechanism": settings.kafka_sasl_mechanism,
                "sasl_plain_username": settings.kafka_username,
                "sasl_plain_password": _password(Path(settings.kafka_password_file)),
            }

    def read_login(self) -> Security:
        """Who the file of the login says that the publisher is now. Raises SettingsError."""
        try:
            return read_login(Path(self.settings.kafka_login_file))
        except InputInvalid as error:
            raise SettingsError(error.message, detail=error.detail, hint=error.hint) from None

    def use(self, login: Security) -> None:
        """Whatever is opened from here on is this user."""
        self.login = login
        self.options |= login.options()

    def producer(self, **more: Any) -> AIOKafkaProducer:
        """Idempotent, acknowledged by all in-sync replicas."""
        return AIOKafkaProducer(
            **self.options, enable_idempotence=True, acks="all", max_batch_size=BATCH_BYTES_MAX, **more
        )

    @contextlib.asynccontextmanager
    async def consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        """Without a group: whoever uses it says where to read. Reads uncommitted, as the journal topic is meant."""
        consumer = AIOKafkaConsumer(
            **self.options, group_id=None, enable_auto_commit=False, fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=4 << 20, auto_offset_reset="earliest", isolation_level="read_uncommitted",
        )  # fmt: skip
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def partition_counts(self, names: Mapping[str, str]) -> dict[str, int]:
        """Partitions of each topic (without prefix); names: topic to its group. Raises PublishError.

        Topics are not made by asking for them, whatever the broker is set to.
        """
        admin = AIOKafkaAdminClient(**self.options)
        await admin.start()
        try:
            known = set(await admin.list_topics())
            missing = sorted(name for name in names if self.prefix + name not in known)
            if missing:
                raise PublishError(
                    f"every topic must be there, missing: {', '.join(self.prefix + name for name in missing)}",
                    detail=self.settings.kafka_bootstrap,
                    hint="make them: ironbook topics create",
                )
            described = await admin.describe_topics([self.prefix + name for name in names])
        finally:
            await admin.close()
        counts = {topic["topic"].removeprefix(self.prefix): len(topic["partitions"]) for topic in described}
        by_group: dict[str, dict[str, int]] = {}
        for name, group in names.items():
            by_group.setdefault(group, {})[name] = counts[name]
        for group, of_group in by_group.items():
            if len(set(of_group.values())) > 1:
                raise PublishError(
                    f"topics of the group {group!r} must have one number of partitions, have {of_group}",
                    detail=self.settings.kafka_bootstrap,
                    hint="make those with another number anew",
                )
        return counts


def _trust(file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file or None)
    except OSError as error:
        raise SettingsError(
            f"kafka_ca_file must be a PEM file: {error.strerror or error}", detail=file, hint="check path and content"
        ) from None


def _password(file: Path) -> str:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(
            f"kafka_password_file must be readable: {error.strerror}", detail=str(file), hint="make it with mode 0600"
        ) from None
    with open(descriptor, "rb") as opened:
        mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
        if mode & 0o077:
            raise SettingsError(
                f"kafka_password_file must have mode 0600 or 0400, had {mode:04o}",
                detail=str(file),
                hint=f"chmod 600 {file}",
            )
        return opened.read(4096).split(b"\n", 1)[0].rstrip(b"\r").decode()


async def abandon(producer: AIOKafkaProducer, timeout_s: float = 2.0) -> None:
    """Close it, also when its brokers do not answer: then what it still held is dropped, which its owner knows.

    `stop` waits for brokers without a bound, so its sender is ended by hand where they are gone.
    """
    with contextlib.suppress(*TROUBLE):
        await asyncio.wait_for(producer.stop(), timeout_s)
        return
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
        await asyncio.wait([sender], timeout=timeout_s)
    with contextlib.suppress(*TROUBLE):
        await asyncio.wait_for(producer.client.close(), timeout_s)


# ---- Reading ---------------------------------------------------------------------------------------------------------


async def bounds(consumer: AIOKafkaConsumer, topic: str) -> tuple[TopicPartition, int, int]:
    """Partition 0 of the topic, assigned; its first offset and the one behind its last."""
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    first = (await consumer.beginning_offsets([place]))[place]
    end = (await consumer.end_offsets([place]))[place]
    return place, first, end


async def messages(consumer: AIOKafkaConsumer, place: TopicPartition, start: int, end: int) -> AsyncIterator[Any]:
    """Each message from offset start on, below end. What transactions leave in a log are no messages."""
    if start >= end:
        return
    consumer.seek(place, start)
    quiet_since = time.monotonic()
    while await consumer.position(place) < end:
        for found in (await consumer.getmany(place, timeout_ms=FETCH_WAIT_MS)).get(place, ()):
            quiet_since = time.monotonic()
            if found.offset >= end:
                return
            yield found
        if time.monotonic() - quiet_since > SILENCE_S:
            raise TimeoutError(f"{place.topic} must be readable up to offset {end}, nothing came")


async def last_message(consumer: AIOKafkaConsumer, topic: str, wanted: Callable[[Any], bool] | None = None) -> Any:
    """The last message of partition 0 (the last one wanted), or None."""
    place, first, end = await bounds(consumer, topic)
    span = TAIL_SPAN
    while True:
        start, last = max(first, end - span), None
        async for found in messages(consumer, place, start, end):
            if wanted is None or wanted(found):
                last = found
        if last is not None or start == first:
            return last
        span *= 16


async def message_at(consumer: AIOKafkaConsumer, place: TopicPartition, offset: int, end: int) -> Any:
    """The first message at or behind an offset, or None."""
    async for found in messages(consumer, place, offset, end):
        return found
    return None


# ---- The client's own log --------------------------------------------------------------------------------------------


class _Quieter(logging.Handler):
    """What aiokafka has to say, as lines of our log: each kind of text once in a while."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._told_s: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s.get(str(record.msg), -SILENCE_S) >= SILENCE_S:
            self._told_s[str(record.msg)] = now_s
            self._log.warning("kafka_client", message=record.getMessage()[:500])


def quiet_logs(log: Log) -> None:
    """Send aiokafka's warnings to our log, rarely."""
    logger = logging.getLogger("aiokafka")
    logger.handlers = [_Quieter(log)]
    logger.propagate = False
