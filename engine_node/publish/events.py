"""Stage 2: what the journal topic has is applied to a replica, and its events go to their topics.

    JournalReader ── up to acknowledged ──▶ Feed.apply(core) ──▶ messages ──▶ chain ──▶ lanes ──▶ topics
                                                                   │
                                       definitions first: acknowledged before anything that may name them

Events gather for `linger`, but not the first after a quiet time: it is told at once. Each second everything touched is
told (books too), and when all of it is acknowledged, the progress is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Final

from engine_node import _engine
from engine_node.errors import ReplicaError
from engine_node.logs import Log
from engine_node.publish.lanes import Lane, Lanes, Mark, Message
from engine_node.publish.progress import Place, Progress
from engine_node.publish.ship import RECORD_BYTES, Shipper
from engine_node.publish.topics import PROGRESS_TOPIC, Topics
from engine_node.replica import Replica, write_mark
from engine_node.settings import Settings

__all__ = ["EVENT_MASK", "Events"]

EVENT_MASK: Final = _engine.EVENTS_REPORTS | _engine.EVENTS_MARKET | _engine.EVENTS_ACCOUNTS
DEFINITION_TOPICS: Final = ("assets", "instruments", "accounts")
ROOM_RECORDS: Final = 1024  # applied in one go; a millisecond or so, in which the loop does nothing else
PROGRESS_S: Final = 1.0


class Events:
    """The replica, its feed and where each partition stands. Lives as long as the process; producers come and go.

    published  all events up to this sequence are acknowledged.
    stopping   `run` ends soon, between two steps; then `finish` may be called.
    """

    def __init__(
        self,
        settings: Settings,
        log: Log,
        replica: Replica,
        topics: Topics,
        lanes: Lanes,
        progress: Progress,
    ) -> None:
        self.settings = settings
        self.log = log
        self.lanes = lanes
        self.event_count = 0
        self.stopping = False
        self.published = progress.seq
        self.applied = replica.core.sequence()
        self._replica = replica
        self._topics = topics
        self._feed = _engine.Feed(
            shard=settings.shard,
            firm_partitions=topics.counts["executions"],
            symbol_partitions=topics.counts["trades"],
        )
        self._last: dict[str, list[Place]] = {}
        for name in topics.chained:
            known = list(progress.last.get(name, ()))
            self._last[name] = [known[index] if index < len(known) else (0, 0) for index in range(topics.counts[name])]
        for name, ends in progress.offsets.items():
            for partition, end in enumerate(ends):
                lanes.lane(name, partition).end_offset = end
        self._held = b""
        self._untold = False  # something was applied that no batch has told yet
        self._told_s = 0.0
        self._progress_s = time.monotonic()
        self._progress_seq = progress.seq
        self._telling: asyncio.Task[None] | None = None
        self._told_seq = progress.seq  # what the newest progress message on its way says
        write_mark(settings.data_path, progress.seq)
        if progress.seq == 0 and self.applied > 0:  # the journal's beginning is gone: what it made is told as states
            self._feed.touch_everything(replica.core)
            self._untold = True

    async def run(self, shipper: Shipper) -> None:
        """Apply and tell what the journal topic has, until stopping."""
        linger_s = self.settings.kafka_linger_ms / 1000
        if self._untold:
            await self._tell(True)
        while not self.stopping:
            if self.lanes.full:
                await self.lanes.wait()
                continue
            records = self._next(shipper.acknowledged)
            if records:
                self._apply(records)
                await self._take(False, False)
                await asyncio.sleep(0)  # the shipper and the lanes have their turn
            now_s = time.monotonic()
            if now_s - self._progress_s >= PROGRESS_S and self.applied > self._progress_seq:
                await self.tell_all()
            elif self._untold and now_s - self._told_s >= linger_s:
                await self._tell(False)
            elif not records:
                await self._rest(shipper, linger_s, now_s)

    async def tell_all(self) -> None:
        """Tell everything touched, and the progress once it is acknowledged."""
        await self._tell(True)
        self._progress_s = time.monotonic()
        if self._telling is None or self._telling.done():
            last = {name: list(places) for name, places in self._last.items()}
            self._progress_seq = self.applied
            self._telling = asyncio.get_running_loop().create_task(
                self._tell_progress(self.lanes.mark(), self.applied, last)
            )

    async def finish(self, shipper: Shipper, target: int) -> None:
        """At a stop: tell all up to target, wait until it and the progress are acknowledged. The caller bounds it."""
        while self.applied < min(target, shipper.acknowledged):
            if self.lanes.full:
                await self.lanes.wait()
            elif records := self._next(shipper.acknowledged):
                self._apply(records)
                await self._take(False, False)
                await asyncio.sleep(0)  # the shipper and the lanes have their turn
            else:
                break
        if self._telling is not None:
            await self._telling
        await self.tell_all()
        if self._telling is not None:
            await self._telling
        await self.lanes.reached(self.lanes.mark())
        write_mark(self.settings.data_path, self._told_seq)

    def close(self) -> None:
        """Give the journal back."""
        if self._telling is not None:
            self._telling.cancel()
        self._replica.close()

    # ---- Records in --------------------------------------------------------------------------------------------------

    def _next(self, limit: int) -> bytes:
        """Whole commands that the journal topic has; empty: nothing yet."""
        if self.applied >= limit:
            return b""
        records = self._held + self._replica.reader.next(ROOM_RECORDS, limit)
        whole = self._replica.core.group_bytes(records) if records else 0
        self._held = records[whole:]
        return records[:whole] if self._held else records

    def _apply(self, records: bytes) -> None:
        core, count = self._replica.core, len(records) // RECORD_BYTES
        try:
            self._feed.apply(core, records)
        except (_engine.CoreRecord, _engine.CoreFull) as error:
            raise ReplicaError(
                f"every record of the journal must apply: {error}",
                detail=f"sequence {core.sequence() + 1}",
                hint="verify the journal (ironbook journal verify); it and this release may not belong together",
            ) from error
        self.applied += count
        self._untold = True

    async def _rest(self, shipper: Shipper, linger_s: float, now_s: float) -> None:
        """Until the journal topic has more, or it is time to tell something."""
        due_s = self._progress_s + PROGRESS_S if self.applied > self._progress_seq else now_s + PROGRESS_S
        if self._untold:
            due_s = min(due_s, self._told_s + linger_s)
        shipper.progressed.clear()
        if shipper.acknowledged > self.applied + len(self._held) // RECORD_BYTES:
            return
        try:
            async with asyncio.timeout(max(0.0, due_s - now_s)):
                await shipper.progressed.wait()
        except TimeoutError:
            return

    # ---- Messages out ------------------------------------------------------------------------------------------------

    async def _tell(self, snapshots: bool) -> None:
        """Close what is open and put it on its way."""
        self._told_s, self._untold = time.monotonic(), False
        await self._take(True, snapshots)
        if not self.lanes.held_messages:
            self.published = self.applied

    async def _take(self, flush: bool, snapshots: bool) -> None:
        """Put what is ready on its way; definitions are acknowledged before the rest is put."""
        made = self._feed.take(flush, snapshots)
        definitions = [message for message in made if message[0] in DEFINITION_TOPICS]
        if definitions:
            lanes = self._put(definitions)
            await self.lanes.reached(self.lanes.mark(lanes))
            made = [message for message in made if message[0] not in DEFINITION_TOPICS]
        self._put(made)

    def _put(self, made: Iterable[_engine.FeedMessage]) -> set[Lane]:
        touched = set()
        for name, partition, key, value, count, _, last in made:
            lane = self.lanes.lane(name, partition)
            headers = [("schema", self._topics.schemas[name])]
            places = self._last.get(name)
            if places is not None:
                before = places[partition]
                headers.append(("previous", b"%d:%d:%d" % (self.settings.shard, *before)))
                places[partition] = last
            self.lanes.put(lane, Message(key or None, value, headers))
            self.event_count += count
            touched.add(lane)
        return touched

    async def _tell_progress(self, mark: Mark, seq: int, last: Mapping[str, list[Place]]) -> None:
        await self.lanes.reached(mark)  # the progress before this one too
        self.published = max(self.published, seq)
        write_mark(self.settings.data_path, self._told_seq)
        self._told_seq = seq
        offsets = {
            name: [self.lanes.lane(name, partition).end_offset for partition in range(self._topics.counts[name])]
            for name in self._topics.events
        }
        value = Progress(seq=seq, offsets=offsets, last=last).encode(self.settings.shard, time.time_ns())
        lane = self.lanes.lane(PROGRESS_TOPIC, 0)
        key = str(self.settings.shard).encode()
        self.lanes.put(lane, Message(key, value, [("schema", self._topics.schemas[PROGRESS_TOPIC])]))
