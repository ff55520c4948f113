"""The publisher: what the journal has goes to Kafka, from a process beside the engine, on another CPU.

    journal ──▶ Shipper ── records ──▶ journal.<shard> ── acknowledged ──▶ Events ── messages ──▶ Lanes ──▶ topics
     (mmap)        │                    (fenced)                             │ replica + feed        └─ heartbeats,
                   └─▶ ship(): at level `cluster`, reports may leave         └─ progress each second    progress

Both stages live as long as the process; the producers under them are those of a session. What brokers do not answer in
time, or refuse for now, ends the session: its producers are given up and a new one begins after a pause that grows. The
shipper then looks at the topic's end again, the lanes send again what was not acknowledged. So an outage of Kafka and a
start are one path, memory is bounded by settings, and the engine notices nothing (but for level `cluster`, whose word
it cannot give meanwhile).

What is not Kafka's trouble ends the process: another publisher has begun (fenced), the journal is not the topic's, the
topics are not as the contract says. The engine starts it again if it dies.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import socket
import time
import traceback
from collections.abc import Callable, Collection
from typing import Any, Final

import orjson
import uvloop
from aiokafka.errors import KafkaError

from engine_node import _engine, machine
from engine_node.errors import EngineNodeError, PublisherFenced, PublishError
from engine_node.logs import Log
from engine_node.publish.events import EVENT_MASK, Events
from engine_node.publish.kafka import TROUBLE, Kafka, abandon, quiet_logs
from engine_node.publish.lanes import Lanes, Message
from engine_node.publish.progress import Progress, read_progress
from engine_node.publish.ship import Shipper
from engine_node.publish.topics import HEARTBEATS_TOPIC, Topics, groups_of_written
from engine_node.replica import Replica, first_kept
from engine_node.settings import Settings
from engine_node.snapshots import list_snapshots
from ironbook._kafka import check_renewable, client_of, renew_login, try_login
from ironbook.held import Held, process_name
from ironbook.renewal import Renewal, kafka_holding

__all__ = ["Publisher", "run"]

BACKOFF_S_MIN: Final = 0.1
BACKOFF_S_MAX: Final = 5.0
HEARTBEAT_S: Final = 2.0
HELD_FILE: Final = "publisher.held.json"  # in the data directory
SILENT_S: Final = 5.0  # brokers that owe an answer for so long are told
START_TIMEOUT_S: Final = 30.0
EXIT_BUG: Final = 70


def open_replica(settings: Settings, progress: Progress) -> Replica:
    """The replica as of the progress: from the newest snapshot that is not behind it, or the journal's beginning.

    Without a progress it begins where the journal does. Raises ReplicaError, _engine.EngineError.
    """
    first = first_kept(settings.journal_path)
    with _engine.JournalReader(str(settings.journal_path), first) as reader:
        written = reader.written()
    if progress.seq > written:
        raise PublishError(
            f"the journal must have all that was published, ends at sequence {written}; "
            f"the progress says {progress.seq}",
            detail=str(settings.journal_path),
            hint="stop the engine and restore: python -m engine_node restore",
        )
    if progress.seq == 0 and first == 1:
        return Replica.open(settings.data_path, event_mask=EVENT_MASK, use_snapshot=False)
    before: int | None = progress.seq
    if progress.seq == 0:  # from the oldest snapshot that the journal goes on from
        usable = [found.sequence for found in list_snapshots(settings.snapshot_path) if found.sequence >= first - 1]
        before = min(usable, default=None)
    replica = Replica.open(settings.data_path, event_mask=EVENT_MASK, before=before)
    replica.catch_up(progress.seq)
    return replica


class Publisher:
    """Both stages and the sessions under them. `run` in a loop; `stop` from a signal handler."""

    def __init__(self, settings: Settings, log: Log, *, rand: Callable[[], float] = random.random) -> None:
        self.settings = settings
        self.log = log
        self._kafka = Kafka(settings)
        self._random = rand
        self._stop = asyncio.Event()
        self._lanes = Lanes(self._kafka.prefix, settings.kafka_in_flight_bytes_max)
        self._shipper = Shipper(settings, log, self._kafka, _engine.Core(**_smallest()))
        self._events: Events | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._failures = 0  # sessions that failed in a row
        self._silent = False
        self._renewal = self._renewing()
        self._login = self._kafka.login  # of all connections
        self._started_ns = time.time_ns()
        self._instance = f"{socket.gethostname()}:{os.getpid()}"

    def stop(self) -> None:
        """Flush within the bound, then end."""
        self._stop.set()

    async def run(self) -> None:
        """Sessions until `stop`. Raises what a new session cannot mend."""
        heart = asyncio.get_running_loop().create_task(self._beat())
        await self._renewal.open()
        try:
            while not self._stop.is_set():
                began_s = time.monotonic()
                try:
                    await self._session()
                except PublisherFenced:
                    raise
                except TROUBLE as error:
                    self._failures = 1 if time.monotonic() - began_s > BACKOFF_S_MAX else self._failures + 1
                    await self._pause(error)
        finally:
            heart.cancel()
            await self._renewal.close()
            if self._events is not None:
                self._events.close()

    async def _pause(self, error: BaseException) -> None:
        limit_s = min(BACKOFF_S_MIN * 2**self._failures, BACKOFF_S_MAX)
        wait_s = limit_s * (0.5 + self._random() / 2)
        self.log.warning(
            "kafka_unavailable",
            message=f"{type(error).__name__}: {error}"[:500],
            again_in_s=round(wait_s, 3),
            **self.counters(),
        )
        try:
            async with asyncio.timeout(wait_s):
                await self._stop.wait()
        except TimeoutError:
            return

    # ---- One session -------------------------------------------------------------------------------------------------

    async def _session(self) -> None:
        loop = asyncio.get_running_loop()
        counts = await asyncio.wait_for(
            self._kafka.partition_counts(groups_of_written(self.settings.shard)), START_TIMEOUT_S
        )
        compression = self.settings.kafka_compression
        producer = self._kafka.producer(compression_type=None if compression == "none" else compression)
        shipping: asyncio.Task[None] | None = None
        try:
            await self._shipper.open()
            shipping = loop.create_task(self._shipper.run())
            await asyncio.wait_for(producer.start(), START_TIMEOUT_S)
            if self._login is not None:
                check_renewable(producer.client)  # not the first renewal, months from now, should find it
            self._lanes.attach(producer)
            if self._publishing is None:
                self._publishing = await self._begin_events(Topics(counts))
            self.log.info("kafka_session", **self.counters())
            stop = loop.create_task(self._stop.wait())
            waiting: set[asyncio.Future[Any]] = {shipping, self._publishing, self._lanes.trouble, stop}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            for task in (shipping, self._publishing):
                if task.done():
                    task.result()
            if self._lanes.trouble.done():
                error = self._lanes.trouble.result()
                raise error if isinstance(error, TROUBLE) else KafkaError(repr(error)) from error
            await self._finish()
        finally:
            if shipping is not None:
                shipping.cancel()
                await asyncio.gather(shipping, return_exceptions=True)
            await self._lanes.detach()
            await self._shipper.close(abandon)
            await abandon(producer)

    async def _begin_events(self, topics: Topics) -> asyncio.Task[None]:
        found = await asyncio.wait_for(read_progress(self._kafka, self.settings.shard), START_TIMEOUT_S)
        progress = found or Progress()
        began_s = time.monotonic()
        replica = await asyncio.to_thread(open_replica, self.settings, progress)
        self._events = Events(self.settings, self.log, replica, topics, self._lanes, progress)
        self.log.info(
            "publisher_started",
            snapshot=replica.snapshot.path.name if replica.snapshot else "",
            progress=progress.seq,
            sequence=replica.core.sequence(),
            seconds=round(time.monotonic() - began_s, 3),
        )
        gc.collect()
        gc.freeze()  # or each full collection walks all that was imported: tens of milliseconds
        return asyncio.get_running_loop().create_task(self._events.run(self._shipper))

    async def _finish(self) -> None:
        """At a stop: what may leave now goes out, and the progress, within kafka_flush_ms."""
        target = self._shipper.target()
        done = False
        try:
            async with asyncio.timeout(self.settings.kafka_flush_ms / 1000):
                while self._shipper.waiting_records and self._shipper.acknowledged < target:
                    self._shipper.progressed.clear()
                    await self._shipper.progressed.wait()
                if self._events is not None and self._publishing is not None:
                    self._events.stopping = True
                    self._shipper.progressed.set()
                    await self._publishing
                    await self._events.finish(self._shipper, target)
                await self._shipper.commit()
                done = True
        except TimeoutError:
            pass
        self.log.info("publisher_flushed", complete=done, **self.counters())

    # ---- Another user ------------------------------------------------------------------------------------------------

    def _renewing(self) -> Renewal:
        held = Held(self.settings.data_path / HELD_FILE, process_name(f"publisher-{self.settings.shard}"), "publisher")
        renewal = Renewal(self.settings.key_poll_ms / 1000, self.log.write, held)
        options = self._kafka.options
        if "sasl_plain_username" in options:
            login = options["sasl_plain_username"], options["sasl_plain_password"]
            renewal.holdings.use_only("kafka", *kafka_holding(*login))
        if self.settings.kafka_login_file:
            renewal.watch_files("login to Kafka", [self.settings.kafka_login_file], self._renew_login)
        return renewal

    async def _renew_login(self) -> bool:
        """Both producers of the session go on as the user of the file; what is opened later is that user too."""
        found = await asyncio.to_thread(self._kafka.read_login)
        if found == self._login:
            return False
        await try_login(self.settings.kafka_bootstrap, found)
        self._kafka.use(found)
        for producer in (self._shipper.producer, self._lanes.producer):
            if producer is not None:
                await renew_login(client_of(producer), found)
        self._login = found
        self._renewal.holdings.use_only("kafka", *kafka_holding(found.username, found.password))
        return True

    # ---- What is told of it ------------------------------------------------------------------------------------------

    def counters(self) -> dict[str, int]:
        """How far it is, and how much it did."""
        events = self._events
        acknowledged = self._shipper.acknowledged
        published = events.published if events is not None else 0
        return {
            "sequence": acknowledged,
            "unshipped_records": self._shipper.waiting_records,
            "unpublished_records": max(0, acknowledged - published) if events is not None else acknowledged,
            "shipped_records": self._shipper.shipped_records,
            "events": events.event_count if events is not None else 0,
            "messages": self._lanes.sent_messages,
            "bytes": self._lanes.sent_bytes,
            "in_flight_bytes": self._lanes.held_bytes,
        }

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._look_for_silence()
            lane = self._lanes.lane(HEARTBEATS_TOPIC, 0)
            if self._events is None or lane.waiting:
                continue
            name = f"publisher:{self.settings.shard}"
            value = {
                "type": "heartbeat",
                "worker": "publisher",
                "instance": self._instance,
                "time_ns": time.time_ns(),
                "ready": not self._silent,
                "why": "brokers do not answer" if self._silent else "",
                "lag": {},
                "counters": self.counters(),
                "started_ns": self._started_ns,
            }
            self._lanes.put(lane, Message(name.encode(), orjson.dumps(value), [("schema", b"heartbeats/1")]))

    def _look_for_silence(self) -> None:
        now_s = time.monotonic()
        asked_s = [self._shipper.asked_s] if self._shipper.asked_s else []
        asked_s += [self._lanes.answered_s] if self._lanes.held_messages else []
        silent_s = now_s - min(asked_s, default=now_s)
        silent = silent_s > SILENT_S
        if silent and not self._silent:
            self.log.warning("kafka_silent", seconds=round(silent_s, 1), **self.counters())
        elif self._silent and not silent:
            self.log.info("kafka_answers_again", **self.counters())
        self._silent = silent


def _smallest() -> dict[str, int]:
    """A core that is only asked where commands end."""
    pools = ("asset", "instrument", "account", "key", "order", "level", "ladder", "balance", "position", "nonce")
    return {f"{name}_count_max": 2 for name in pools}


def run(settings: Settings, log: Log, parent: int | None = None, cpus: Collection[int] = ()) -> int:
    """The process's body: publish until SIGTERM or SIGINT. Returns the exit code."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        if parent is not None:
            machine.die_with_parent(parent)
        if cpus:
            os.sched_setaffinity(0, cpus)  # or the engine's own would be inherited
        quiet_logs(log)
        loop.run_until_complete(_run(settings, log))
    except (EngineNodeError, _engine.EngineError) as error:
        log.error("publisher_failed", error)
        return 1
    except Exception as error:
        log.error("bug", error, traceback="".join(traceback.format_exception(error))[-4000:])
        return EXIT_BUG
    log.info("publisher_stopped")
    return 0


async def _run(settings: Settings, log: Log) -> None:
    publisher = Publisher(settings, log)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, publisher.stop)
    loop.add_signal_handler(signal.SIGINT, publisher.stop)
    await publisher.run()
