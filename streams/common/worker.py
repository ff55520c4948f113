"""A processor's process: Faust app, sources, state, sending, heartbeats, health, an end within a bound.

      topic ──▶ Faust (group, assignment, recovery) ──▶ agent ──▶ rules ──▶ send ──▶ finish: outputs are written,
                                                          │                            then state and mark are stored,
                     undecodable or of another version ───┴──▶ dead-letters            then the source is acknowledged

`finish` does not wait: while the broker writes what one batch brought, the next are worked on, and what has gathered is
stored at once (a group commit). In a partition everything keeps its order.

An agent is written as if nothing could fail. What its body raises ends the process (exit status 70) with nothing
acknowledged: start and recovery are one path, and whoever watches the process starts it again.

Faust gives groups, assignment and recovery of tables. Messages are sent by an idempotent producer of our own (ordered
per partition, acknowledged by all replicas), and health is a page of our own: Faust's web server would show tables.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import faust
import orjson
import uvloop
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError
from faust.auth import SASLCredentials, SSLCredentials
from faust.types import TP

from ironbook._kafka import check_renewable, client_of, renew_login, try_login
from ironbook.held import Held, process_name
from ironbook.renewal import Renewal, kafka_holding
from ironbook.topics import APP
from schemas.topics import load_topics
from streams.common import logs
from streams.common.codec import SCHEMA_HEADER, VERSION, VERSION_BYTES, decode, encode, schema_of, split
from streams.common.errors import BrokerMismatch, StreamError, Unavailable, Undecodable, WorkerFailed
from streams.common.logs import LOGGER, fields
from streams.common.reference import Reference
from streams.common.retry import Backoff, Breaker, retrying
from streams.common.settings import StreamSettings, kafka_login, kafka_options
from streams.common.state import State

__all__ = ["EXIT_BUG", "Batch", "Worker", "make_worker"]

EXIT_BUG: Final = 70
EXIT_START_FAILED: Final = 1
START_TIMEOUT_S: Final = 60.0
PAUSE_PART_MAX: Final = 0.7  # of a session: heartbeats come four times in one
FINISHING_MAX: Final = 64  # batches of a partition whose outputs are being written
BATCH_COUNT_MAX: Final = 512
MESSAGE_BYTES_MAX: Final = 900_000
GROUPS: Final = ("firm", "symbol")  # of topics that have one count of partitions
Agent = Callable[[AsyncIterator["Batch"]], Awaitable[None]]
Waiting = Sequence["asyncio.Future[Any]"]
Assigned = Callable[[Mapping[str, Sequence[int]]], Awaitable[None]]


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """One message of a source topic. timestamp_ns is the broker's append time, or the producer's."""

    topic: str  # without prefix
    partition: int
    offset: int
    timestamp_ns: int
    events: list[dict[str, Any]]
    key: bytes | None
    value: bytes
    headers: Mapping[str, bytes]
    event: Any = dataclasses.field(repr=False)  # Faust's


_Finishing = tuple[Batch, Waiting, State | None, Mapping[str, Any]]


class _App(faust.App):
    """Faust's app, whose seek to the committed offsets, made before the flow is resumed, is ours.

    Between an assignment and the resumed flow Faust may fetch messages and drop them again; where it then goes on is
    said by the worker: behind what its agents were given.
    """

    seek: Callable[[], Awaitable[None]]

    def _new_consumer(self) -> Any:
        consumer: Any = super()._new_consumer()
        consumer.perform_seek = self.seek
        return consumer


class Worker:
    """One processor. Made at import by make_worker; `run` blocks until the end.

    counters    numbers for heartbeat and /metrics: worker.counters["orders"] += 1
    reference   assets, instruments, accounts (and book.top with `reference_topics`), complete before the first batch
    """

    def __init__(self, name: str, settings: StreamSettings, reference_topics: Sequence[str]) -> None:
        self.name = name
        self.settings = settings
        self.instance = f"{socket.gethostname()}:{os.getpid()}"
        self.counters: collections.Counter[str] = collections.Counter()
        self.reference = Reference(settings, reference_topics)
        self.started_ns = time.time_ns()
        self.login = kafka_login(settings)  # None: it is in the settings, and stays
        self._credentials = _credentials(settings)
        self.app = _make_app(name, settings, self._credentials)
        self.app.seek = self._seek
        self.app.on_partitions_revoked.connect(self._drain)
        self.app.on_rebalance_complete.connect(self._before_reading)
        self.states: list[State] = []
        self.producer: AIOKafkaProducer | None = None
        self._counts = asyncio.run(_partition_counts(settings, topics_that_tell(name)))
        self._sources: dict[str, Any] = {}
        self._waits_for: dict[str, str] = {"assignment": "partitions have not been assigned yet"}
        self._assigned: list[Assigned] = []
        self._next: dict[tuple[str, int], int] = {}  # next offset to be given to an agent
        self._skipped: dict[tuple[str, int], int] = {}  # the offset at which something before it was missing
        self._done: dict[tuple[str, int], int] = {}  # next offset to be acknowledged
        self._finishing: dict[int, asyncio.Queue[_Finishing]] = {}  # by partition
        self._web: web.AppRunner | None = None
        self.renewal = self._renewing()
        self.app.task(self._start)
        self.app.task(self._watch_for_pauses)
        self.app.timer(settings.heartbeat_interval / 1000)(self._beat)

    # ---- What a processor is made of ---------------------------------------------------------------------------------

    def partitions(self, group: str) -> int:
        """How many partitions the topics of a group ("firm", "symbol") have. KeyError: it may see none of them."""
        return self._counts[group]

    def state(self, name: str, group: str = "firm") -> State:
        """Keyed state with a changelog, partitioned like the topics of that group."""
        table = self.app.Table(name, partitions=self.partitions(group), key_type=str, default=None)
        self.states.append(State(table))
        return self.states[-1]

    def agent(self, topic: str) -> Callable[[Agent], Agent]:
        """Decorator: the function gets the batches of that topic, one after the other, and finishes (or acks) each."""
        source = self.app.topic(
            self.settings.full(topic), key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes
        )
        self._sources[topic] = source

        def decorate(function: Agent) -> Agent:
            async def run(stream: Any) -> None:
                try:
                    await function(self._batches(stream, topic))
                except (asyncio.CancelledError, GeneratorExit):
                    raise
                except BaseException as error:
                    self.fail(error, topic)

            self.app.agent(source, name=f"{self.name}.{topic}.{getattr(function, '__name__', 'agent')}")(run)
            return function

        return decorate

    def on_assigned(self, function: Assigned) -> Assigned:
        """Decorator: awaited after each assignment with {topic: partitions}: states restored, nothing read yet."""
        self._assigned.append(function)
        return function

    def timer(self, seconds: float) -> Callable[[Callable[[], Awaitable[None]]], Callable[[], Awaitable[None]]]:
        """Decorator: called so often."""

        def decorate(function: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
            async def run() -> None:
                try:
                    await function()
                except Exception as error:
                    self.fail(error, getattr(function, "__name__", "timer"))

            self.app.timer(seconds)(run)
            return function

        return decorate

    # ---- What agents call --------------------------------------------------------------------------------------------

    async def send(self, topic: str, partition: int, events: Sequence[Mapping[str, Any]]) -> Waiting:
        """Send events in order, in as few messages as may be. What is returned is done when the broker has them."""
        return [
            await self._send(topic, partition, None, value)
            for value in split(events, MESSAGE_BYTES_MAX, BATCH_COUNT_MAX)
        ]

    async def send_one(
        self, topic: str, partition: int, key: str, event: Mapping[str, Any] | None
    ) -> asyncio.Future[Any]:
        """One event under its key, for compacted topics; None is a tombstone. Done when the broker has it."""
        return await self._send(topic, partition, key.encode(), None if event is None else encode(event))

    async def finish(
        self, batch: Batch, outputs: Waiting = (), state: State | None = None, changes: Mapping[str, Any] | None = None
    ) -> None:
        """It has been worked on: once its outputs are written, changes and mark are stored, then it is acknowledged.

        The changes are in memory at once. Waits only if FINISHING_MAX batches of the partition are on their way.
        """
        if state is not None and changes:
            state.remember(batch.partition, changes)
        queue = self._finishing.get(batch.partition)
        if queue is None:
            queue = self._finishing[batch.partition] = asyncio.Queue(FINISHING_MAX)
            self.app.add_future(self._finish_partition(batch.partition, queue))
        await queue.put((batch, outputs, state, changes or {}))

    def ack(self, batch: Batch) -> None:
        """This batch is done: what it caused is written. For agents that commit in groups of their own."""
        batch.event.ack()
        place = batch.topic, batch.partition
        self._done[place] = max(self._done.get(place, 0), batch.offset + 1)

    async def dead_letter(self, batch: Batch, code: str, text: str, index: int | None = None) -> None:
        """Keep what cannot be processed: the whole message, and which event of it (None: all)."""
        self.counters["dead_letters"] += 1
        LOGGER.warning(
            "dead_letter",
            extra=fields(code=code, topic=batch.topic, partition=batch.partition, offset=batch.offset, index=index),
        )
        letter: dict[str, Any] = {
            "worker": self.name, "code": code, "text": text, "topic": batch.topic, "partition": batch.partition,
            "offset": batch.offset, "value": base64.b64encode(batch.value).decode(), "time_ns": batch.timestamp_ns,
        }  # fmt: skip
        if index is not None:
            letter["index"] = index
        if batch.key is not None:
            letter["key"] = base64.b64encode(batch.key).decode()
        await asyncio.gather(*await self.send("dead-letters", 0, [letter]))

    def not_ready(self, what: str, why: str) -> None:
        """Say in /ready and heartbeats what is being waited for."""
        self._waits_for[what] = why

    def ready(self, what: str) -> None:
        """It is waited for no more."""
        self._waits_for.pop(what, None)

    def fail(self, error: BaseException, where: str) -> None:
        """Nobody expected this: log it and end the process at once; nothing more is acknowledged."""
        LOGGER.error("worker_failed", exc_info=error, extra=fields(where=where))
        os._exit(EXIT_BUG)

    def run(self) -> int:
        """Start, work until SIGTERM or SIGINT, stop within stop_timeout. The exit status."""
        uvloop.install()
        Path(self.settings.state_directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        worker = _FaustWorker(
            self.app, loglevel="WARNING", redirect_stdouts=False, override_logging=False, loop=asyncio.new_event_loop()
        )
        worker.owner = self
        worker.spinner = None
        try:
            worker.execute_from_commandline()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    # ---- Inside ------------------------------------------------------------------------------------------------------

    async def _finish_partition(self, partition: int, queue: asyncio.Queue[_Finishing]) -> None:
        """Take what has gathered, wait for its outputs, store the newest values and marks, acknowledge."""
        try:
            while True:
                group = [await queue.get()]
                while not queue.empty():
                    group.append(queue.get_nowait())
                await asyncio.gather(*(output for _, outputs, _, _ in group for output in outputs))
                changes: dict[State, dict[str, Any]] = {}
                marks: dict[State, dict[str, int]] = {}
                for batch, _, state, changed in group:
                    if state is not None:
                        changes.setdefault(state, {}).update(changed)
                        marks.setdefault(state, {})[batch.topic] = batch.offset + 1
                for state, changed in changes.items():
                    await state.store(partition, changed, marks[state])
                for batch, _, _, _ in group:
                    self.ack(batch)
                    queue.task_done()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.fail(error, f"finishing partition {partition}")

    async def _batches(self, stream: Any, topic: str) -> AsyncIterator[Batch]:
        async for event in stream.noack().events():
            message = event.message
            if not await self._is_next(topic, message.partition, message.offset):
                continue
            batch = Batch(
                topic, message.partition, message.offset, round(message.timestamp * 1e9), [], message.key,
                message.value or b"", dict(message.headers or ()), event,
            )  # fmt: skip
            try:
                _check_schema(batch)
                if message.value is not None:  # a tombstone has no events
                    batch.events.extend(decode(batch.value))
            except Undecodable as error:
                await self.dead_letter(batch, error.code, str(error))
                self.ack(batch)
                continue
            self.counters["messages"] += 1
            self.counters["events"] += len(batch.events)
            yield batch

    async def _send(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> asyncio.Future[Any]:
        if self.producer is None:
            raise RuntimeError("a running worker only can send")
        future: asyncio.Future[Any] = await self.producer.send(
            self.settings.full(topic), value, key=key, partition=partition, headers=schema_of(topic)
        )
        return future

    async def _start(self) -> None:
        try:
            self._web = await _serve(self)
            self._write_state_file()
            await self.renewal.open()
        except Exception as error:
            self.fail(error, "start")

    async def _watch_for_pauses(self) -> None:
        """End a process that stood still for so long that others may have its partitions: its writes come too late.

        Looked at before anything else that the loop does after a pause; what was in a socket's buffer by then is gone.
        """
        most_s = PAUSE_PART_MAX * self.settings.session_timeout / 1000
        last_s = time.monotonic()
        while True:
            await asyncio.sleep(most_s / 20)
            now_s = time.monotonic()
            if now_s - last_s > most_s:
                self.fail(
                    WorkerFailed(
                        f"a worker must not stand still for more than {most_s:.1f} s, did for {now_s - last_s:.1f} s",
                        detail="its session may have ended and its partitions may have gone to another",
                        hint="start it again; if it was not paused, give it more of a CPU or raise session_timeout",
                    ),
                    "pause",
                )
            last_s = now_s

    async def _drain(self, *_: object, **__: object) -> None:
        """Before partitions go to others: store and acknowledge what has been worked on, within half a session."""
        joined = asyncio.gather(*(queue.join() for queue in self._finishing.values()))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(joined, self.settings.session_timeout / 2000)

    async def _before_reading(self, *_: object, **__: object) -> None:
        """Tables are restored, nothing is read: producer and reference, positions, then the processor's own."""
        assigned: dict[str, list[int]] = collections.defaultdict(list)
        try:
            await self._ensure_connected()
            prefix = len(self.settings.topic_prefix)
            for place in sorted(self.app.consumer.assignment()):
                if place.topic[prefix:] in self._sources:
                    assigned[place.topic[prefix:]].append(place.partition)
            self._next.clear()  # from here on agents are given nothing, until everything is as it was stored
            for told in self._assigned:
                await told(assigned)
            await self._read_positions(assigned)
            await self._seek()
        except Exception as error:
            self.fail(error, "assignment")
        self.ready("assignment")
        LOGGER.info("assigned", extra=fields(worker=self.name, partitions=assigned))

    async def _ensure_connected(self) -> None:
        if self.producer is not None:
            return
        await self.reference.start()
        producer = AIOKafkaProducer(
            enable_idempotence=True, acks="all", max_request_size=2 * MESSAGE_BYTES_MAX, linger_ms=1,
            request_timeout_ms=30_000, **kafka_options(self.settings),
        )  # fmt: skip
        await producer.start()
        if self.login is not None:
            check_renewable(producer.client)  # not the first renewal, months from now, should find it
        self.producer = producer
        for state in self.states:
            state.producer = producer

    # ---- Secrets that change -----------------------------------------------------------------------------------------

    def _renewing(self) -> Renewal:
        """What looks at this worker's files of secrets. A processor adds its own to it before it runs."""
        given, settings = self.settings.held_file, self.settings
        path = Path(given) if given else Path(settings.state_directory) / f"{self.name}.held.json"
        held = Held(path, process_name(path.name.removesuffix(".json").removesuffix(".held")), self.name)
        renewal = Renewal(settings.key_poll / 1000, _say, held)
        options = kafka_options(settings)
        if "sasl_mechanism" in options:
            login = options["sasl_plain_username"], options["sasl_plain_password"]
            renewal.holdings.use_only("kafka", *kafka_holding(*login))
        if settings.kafka_login:
            renewal.watch_files("login to Kafka", [settings.kafka_login], self._renew_login)
        return renewal

    async def _renew_login(self) -> bool:
        """Another user of Kafka for all clients of this worker, those that Faust has among them."""
        found = await asyncio.to_thread(kafka_login, self.settings)
        if found is None or found == self.login:
            return False
        await try_login(self.settings.kafka, found)
        if self._credentials is not None:  # for clients that Faust makes anew
            self._credentials.username, self._credentials.password = found.username, found.password
        for user in (self.producer, self.reference.consumer, getattr(self.app.producer, "_producer", None)):
            if user is not None:
                await renew_login(client_of(user), found)
        thread = getattr(self.app.consumer, "_thread", None)
        consumer = getattr(thread, "_consumer", None)
        if thread is not None and consumer is not None:  # in a loop of its own
            renewing = renew_login(client_of(consumer), found)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(renewing, thread.thread_loop))
        self.login = found
        self.renewal.holdings.use_only("kafka", *kafka_holding(found.username, found.password))
        return True

    async def _read_positions(self, assigned: Mapping[str, Sequence[int]]) -> None:
        """Where agents go on: at the mark of their states, else at the committed offset, else at the beginning."""
        consumer: Any = self.app.consumer
        of_thread = consumer._thread._ensure_consumer()
        self._next.clear()
        self._skipped.clear()
        for topic, partitions in assigned.items():
            places = [TopicPartition(self.settings.full(topic), partition) for partition in partitions]
            earliest = await consumer.earliest_offsets(*places)
            for place in places:
                marks = [state.next_offset(topic, place.partition) for state in self.states]
                known = [mark for mark in marks if mark is not None]
                committed = None if known else await consumer._thread.call_thread(of_thread.committed, place)
                begin = min(known) if known else committed
                found = max(0 if begin is None else begin, earliest.get(place) or 0)
                self._next[topic, place.partition] = self._done[topic, place.partition] = found

    async def _seek(self) -> None:
        """Every source partition that is assigned to what its agent is to be given next."""
        consumer: Any = self.app.consumer
        prefix = len(self.settings.topic_prefix)
        offsets = {
            place: self._next[place.topic[prefix:], place.partition]
            for place in consumer.assignment()
            if (place.topic[prefix:], place.partition) in self._next
        }
        if offsets:
            await consumer.seek_wait(offsets)
        for place, offset in offsets.items():
            consumer._read_offset[place] = consumer._committed_offset[place] = offset or None

    async def _is_next(self, topic: str, partition: int, offset: int) -> bool:
        """Is this what the agent must be given now? If something before it was dropped on the way, go back there."""
        place = topic, partition
        expected = self._next.get(place)
        if expected is None or offset < expected:
            return False
        if offset > expected and self._skipped.get(place) != offset:
            self._skipped[place] = offset  # if it comes again, then there is nothing before it any more
            full = TP(self.settings.full(topic), partition)
            await self.app.consumer.seek_wait({full: expected})
            return False
        self._next[place] = offset + 1
        return True

    async def _beat(self) -> None:
        if self.producer is None:
            return
        beat = {
            "worker": self.name, "instance": self.instance, "time_ns": time.time_ns(), "ready": not self._waits_for,
            "why": "; ".join(self._waits_for.values()), "lag": self.lag(), "counters": dict(self.counters),
            "started_ns": self.started_ns,
        }  # fmt: skip
        await self.send_one("heartbeats", 0, f"{self.name}:{self.instance}", beat)

    def lag(self) -> dict[str, int]:
        """Messages of each source topic that are not acknowledged yet, of the partitions that this worker has."""
        found: dict[str, int] = dict.fromkeys(self._sources, 0)
        consumer: Any = self.app.consumer
        prefix = len(self.settings.topic_prefix)
        for place in consumer.assignment():
            topic = place.topic[prefix:]
            if topic in found:
                done = self._done.get((topic, place.partition), consumer._committed_offset[place] or 0)
                found[topic] += max(0, (consumer.highwater(place) or 0) - done)
        return found

    def status(self) -> dict[str, Any]:
        """What /ready says."""
        return {
            "worker": self.name, "instance": self.instance, "ready": not self._waits_for, "waits_for": self._waits_for,
            "lag": self.lag() if self.producer is not None else {}, "counters": dict(self.counters),
        }  # fmt: skip

    def _write_state_file(self) -> None:
        directory = Path(self.settings.state_directory)
        address = self._web.addresses[0] if self._web is not None else ("", 0)
        text = orjson.dumps({"pid": os.getpid(), "web_host": address[0], "web_port": address[1]})
        temporary = directory / f".{self.name}.{os.getpid()}.tmp"
        temporary.write_bytes(text)
        temporary.rename(directory / f"{self.name}.json")

    def begin_end(self, why: str) -> None:
        """At the latest after stop_timeout the process is gone; what is unfinished then is read again."""
        LOGGER.info("stopping", extra=fields(worker=self.name, why=why))
        watch = threading.Timer(self.settings.stop_timeout / 1000, os._exit, (0,))
        watch.daemon = True
        watch.start()
        self.not_ready("stop", "the worker is stopping")

    async def end(self) -> None:
        """After Faust has stopped: give back what is ours."""
        await self.renewal.close()
        await self.reference.stop()
        for closing in (self.producer.stop() if self.producer else None, self._web.cleanup() if self._web else None):
            if closing is not None:
                with contextlib.suppress(Exception):
                    await closing


class _FaustWorker(faust.Worker):
    """Faust's worker with our way to stop; its handlers of SIGUSR1 and SIGUSR2 (a debugger) are left out."""

    owner: Worker

    def install_signal_handlers(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self._schedule_shutdown, number)

    async def _stop_on_signal(self, number: signal.Signals) -> None:
        self.owner.begin_end(number.name)
        await super()._stop_on_signal(number)
        await self.owner.end()


def _say(level: str, event: str, more: Mapping[str, object]) -> None:
    LOGGER.log(logging.getLevelNamesMapping()[level.upper()], event, extra=fields(**more))


def make_worker(
    name: str, settings: StreamSettings, *, reference_topics: Sequence[str] = ("assets", "instruments", "accounts")
) -> Worker:
    """The worker of a processor. Asks the broker for partition counts; ends the process if that fails."""
    logs.set_up(settings.log_level)
    try:
        return Worker(name, settings, reference_topics)
    except StreamError as error:
        LOGGER.error("start_failed", exc_info=error)
        raise SystemExit(EXIT_START_FAILED) from None


def _make_app(name: str, settings: StreamSettings, credentials: Any) -> _App:
    return _App(
        settings.full(f"{APP}{name}"),
        broker=[f"aiokafka://{one}" for one in settings.brokers],
        broker_credentials=credentials,
        broker_session_timeout=settings.session_timeout / 1000,
        broker_heartbeat_interval=settings.session_timeout / 4000,
        broker_commit_interval=settings.commit_interval / 1000,
        broker_request_timeout=max(30.0, 3 * settings.session_timeout / 1000),
        broker_max_poll_interval=300.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 << 20,
        producer_acks=-1,
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        table_standby_replicas=0,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        autodiscover=False,
        datadir=str(Path(settings.state_directory) / f"faust-{name}"),
    )


def _credentials(settings: StreamSettings) -> Any:
    options = kafka_options(settings)
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return SASLCredentials(
            username=options["sasl_plain_username"], password=options["sasl_plain_password"], ssl_context=context,
            mechanism=options["sasl_mechanism"],
        )  # fmt: skip
    return SSLCredentials(context) if context is not None else None


def topics_that_tell(name: str) -> dict[str, str]:
    """For each group one topic whose partitions this worker may count: of its row in the contract, if it has one."""
    own = [topic for topic in load_topics() if name in (*topic.readers, *topic.writers)]
    known = own or [load_topics()[topic] for topic in ("executions", "trades")]
    return {topic.partition_group: topic.name for topic in reversed(known) if topic.partition_group in GROUPS}


async def _partition_counts(settings: StreamSettings, topics: Mapping[str, str]) -> dict[str, int]:
    """Partitions of each group of topics. A broker that is still starting is waited for."""

    def told(error: BaseException, attempt: int, wait_s: float) -> None:
        LOGGER.warning("broker_away", extra=fields(brokers=settings.kafka, why=str(error), attempt=attempt))

    try:
        return await retrying(
            lambda: _ask_partition_counts(settings, topics), (KafkaConnectionError,),
            breaker=Breaker(failures_max=1 << 30), backoff=Backoff(), failed=told,
            deadline_s=time.monotonic() + START_TIMEOUT_S,
        )  # fmt: skip
    except KafkaConnectionError as error:
        raise Unavailable(
            f"a broker must answer within {START_TIMEOUT_S:.0f} s, did not: {error}",
            detail=f"brokers {settings.kafka}",
            hint="start Kafka (ironbook services up), or correct IRONBOOK_STREAMS_KAFKA",
        ) from None


async def _ask_partition_counts(settings: StreamSettings, topics: Mapping[str, str]) -> dict[str, int]:
    consumer = AIOKafkaConsumer(group_id=None, **kafka_options(settings))
    try:
        await consumer.start()
        await consumer._client.force_metadata_update()
        counts = {
            group: len(consumer.partitions_for_topic(settings.full(topic)) or ()) for group, topic in topics.items()
        }
    finally:
        await consumer.stop()
    for group, count in counts.items():
        if count == 0:
            raise BrokerMismatch(
                "the topics of the contract must be on the broker, are not",
                detail=f"topic {settings.full(topics[group])} at {settings.kafka}",
                hint="make them first, and let this user read them: ironbook topics create, ironbook topics acls",
            )
    return counts


def _check_schema(batch: Batch) -> None:
    found = batch.headers.get(SCHEMA_HEADER)
    if found is not None and found.rpartition(b"/")[2] != VERSION_BYTES:
        raise Undecodable(
            f"a message of {batch.topic} must be of version {VERSION}, was {found[:40]!r}",
            hint="this release reads no other; replay the dead letter with one that does",
        )


async def _serve(worker: Worker) -> web.AppRunner:
    async def health(request: web.Request) -> web.Response:
        return web.json_response({"worker": worker.name, "alive": True})

    async def ready(request: web.Request) -> web.Response:
        status = worker.status()
        return web.json_response(status, status=200 if status["ready"] else 503)

    async def metrics(request: web.Request) -> web.Response:
        lines = [f'ironbook_{name}_total{{worker="{worker.name}"}} {count}' for name, count in worker.counters.items()]
        lines += [
            f'ironbook_lag_messages{{worker="{worker.name}",topic="{topic}"}} {count}'
            for topic, count in (worker.lag() if worker.producer is not None else {}).items()
        ]
        lines.append(f'ironbook_ready{{worker="{worker.name}"}} {int(worker.status()["ready"])}')
        return web.Response(text="\n".join(lines) + "\n")

    pages = web.Application()
    pages.add_routes([web.get("/health", health), web.get("/ready", ready), web.get("/metrics", metrics)])
    runner = web.AppRunner(pages, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, worker.settings.web_host, worker.settings.web_port).start()
    return runner
