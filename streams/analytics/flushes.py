"""Group commit: what has been folded since the last flush is stored whole, then told, and only then acknowledged.

    batches ──▶ folds (memory) ──▶ every flush_interval, or flush_count_max events:
        1. Postgres    rows, states and marks in one transaction; refused if another worker has written meanwhile
        2. topics      one message a changed position, day, candle, statistic
        3. changelog   the changed states, then where to read on
        4. acknowledge the batches

Killed at any point, a worker starts again from the changelog's state and reads from its mark: what comes again is
dropped by the marks of the states, and by the keys and marks in Postgres. A worker that was paused past its rebalance
meets another's mark in step 1 and ends. If it was paused between the steps, it asks again before it goes on: nothing
older than half the session's time-out may be told.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from streams.analytics.folds import Changes, FirmFold, Fold, ReferenceFold, SymbolFold, merge
from streams.analytics.store import Mark, Store
from streams.analytics.topics import FIRM_TOPICS, FOLDED_TOPICS, SYMBOL_TOPICS
from streams.common.codec import partition_of
from streams.common.logs import LOGGER, fields
from streams.common.state import State
from streams.common.worker import Batch, Worker

__all__ = ["Flushes"]

PENDING_FLUSHES_MAX: Final = 2  # so many times flush_count_max may be folded and not yet stored
SENDING_MAX: Final = 2_000


class Flushes:
    """The folds of one worker and their flushes."""

    def __init__(self, worker: Worker, store: Store, firms: State, symbols: State) -> None:
        self._worker, self._store = worker, store
        self._states = {"firm": firms, "symbol": symbols}
        self._firms: dict[int, FirmFold] = {}
        self._symbols: dict[int, SymbolFold] = {}
        self._reference = ReferenceFold(0)
        self._batches: list[Batch] = []
        self._pending_count = 0
        self._generation = 0
        self._last: dict[tuple[str, int], tuple[int, int, int]] = {}
        self._due = asyncio.Event()
        self._room = asyncio.Event()
        self._busy = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._counts: dict[str, int] = {}
        self._partition_of = functools.lru_cache(maxsize=1 << 16)(partition_of)

    # ---- assignment ----------------------------------------------------------------------------------------------

    async def assign(self, assigned: Mapping[str, Sequence[int]]) -> None:
        """Begin anew with these partitions: what was folded and not stored is read again."""
        self._generation += 1
        async with self._busy:
            places = [(topic, partition) for topic, partitions in assigned.items() for partition in partitions]
            marks = await self._store.open_marks(places)
            self._last = {place: (mark.shard, mark.seq, mark.n) for place, mark in marks.items()}
            instruments = self._worker.reference.instruments
            self._firms = {p: FirmFold(p, instruments) for p in _partitions(assigned, FIRM_TOPICS)}
            self._symbols = {p: SymbolFold(p, instruments) for p in _partitions(assigned, SYMBOL_TOPICS)}
            self._reference = ReferenceFold(0)
            for group, folds in (("firm", self._firms), ("symbol", self._symbols)):
                for partition, fold in folds.items():
                    for key, value in self._states[group].items(partition):
                        fold.load(key, orjson.dumps(value))
            for top in self._worker.reference.top.values():
                self.price("book.top", top)
            self._batches, self._pending_count = [], 0
            self._room.set()
        self._worker.ready("database")
        if self._task is None:
            self._task = asyncio.create_task(self._flush_forever(), name="flushes")

    def price(self, topic: str, event: Mapping[str, Any]) -> None:
        """A top of a book: positions are revalued at its last price."""
        if topic == "book.top" and "last_price_ticks" in event:
            for fold in self._firms.values():
                fold.price(event["symbol"], event["last_price_ticks"], event["seq"], event["received_ns"])

    # ---- folding -------------------------------------------------------------------------------------------------

    async def take(self, batch: Batch) -> None:
        """Fold a batch; it is acknowledged with a later flush. Waits while too much is not stored yet."""
        generation = self._generation
        await self._room.wait()
        fold = self._fold_of(batch)
        if generation != self._generation or fold is None:
            return  # read before a rebalance: whoever has the partition now reads it again
        if batch.value == b"" and batch.topic == "keys":
            self._reference.forget_key((batch.key or b"").decode(errors="replace"), batch.offset)
        self._check_chain(batch)
        refused = fold.apply(batch.topic, batch.offset, batch.timestamp_ns, batch.events)
        self._batches.append(batch)
        self._pending_count += len(batch.events)
        if self._pending_count >= self._worker.settings.flush_count_max:
            self._due.set()
            if self._pending_count >= PENDING_FLUSHES_MAX * self._worker.settings.flush_count_max:
                self._room.clear()
        for one in refused:
            await self._worker.dead_letter(batch, one.code, one.text, one.index)

    def _fold_of(self, batch: Batch) -> Fold | None:
        if batch.topic in FIRM_TOPICS:
            return self._firms.get(batch.partition)
        if batch.topic in SYMBOL_TOPICS:
            return self._symbols.get(batch.partition)
        return self._reference

    def _check_chain(self, batch: Batch) -> None:
        """A message of a chained topic names the event before it: if that was never seen, something is missing."""
        place = (batch.topic, batch.partition)
        previous, known = _place_of(batch.headers.get("previous", b"")), self._last.get(place, (0, 0, 0))
        if previous is not None and known != (0, 0, 0) and previous[0] == known[0] and previous > known:
            self._worker.counters["gaps"] += 1
            where = {"topic": batch.topic, "partition": batch.partition, "offset": batch.offset}
            LOGGER.error("gap", extra=fields(**where, previous=previous, known=known))
        if batch.events:
            last = batch.events[-1]
            self._last[place] = (last.get("shard", 0), last.get("seq", 0), last.get("n", 0))

    # ---- flushing ------------------------------------------------------------------------------------------------

    async def _flush_forever(self) -> None:
        interval_s = self._worker.settings.flush_interval / 1000
        while True:
            try:
                async with asyncio.timeout(interval_s):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            try:
                async with self._busy:
                    await self._flush()
            except Exception as error:
                self._worker.fail(error, "flush")

    async def _flush(self) -> None:
        folds = [*self._firms.values(), *self._symbols.values(), self._reference]
        parts = [(fold, fold.take()) for fold in folds if fold.pending]
        if not parts:
            return
        batches, self._batches, self._pending_count = self._batches, [], 0
        self._room.set()
        changes = merge([part for _, part in parts])
        marks = {
            place: Mark(next_offset=mark.next_offset, shard=mark.shard, seq=mark.seq, n=mark.n)
            for place, mark in changes.marks.items()
        }
        held = [("executions", fold.partition) for fold, _ in parts if isinstance(fold, FirmFold)]
        begun_s = time.monotonic()
        await self._store.write(changes.rows, marks, held=held)
        self._worker.ready("database")
        begun_s = await self._still_ours(begun_s, marks)
        await self._tell(changes)
        begun_s = await self._still_ours(begun_s, marks)
        for fold, part in parts:
            await self._keep(fold, part)
        for batch in batches:
            self._worker.ack(batch)
        self._worker.counters["flushes"] += 1
        self._worker.counters["rows"] += sum(map(len, changes.rows.values()))

    async def _still_ours(self, begun_s: float, marks: Iterable[tuple[str, int]]) -> float:
        """So long ago another may have taken over: ask the database again."""
        now_s = time.monotonic()
        if now_s - begun_s < self._worker.settings.session_timeout / 2000:
            return begun_s
        await self._store.confirm(marks)
        return now_s

    async def _tell(self, changes: Changes) -> None:
        waiting: list[asyncio.Future[Any]] = []
        for message in changes.messages:
            count = self._counts.get(message.topic) or await self._count(message.topic)
            partition = self._partition_of(message.partition_key, count) if count > 1 else 0
            waiting.append(await self._worker.send_one(message.topic, partition, message.key, message.event))
            if len(waiting) >= SENDING_MAX:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)

    async def _count(self, topic: str) -> int:
        producer: Any = self._worker.producer
        self._counts[topic] = len(await producer.partitions_for(self._worker.settings.full(topic)))
        return self._counts[topic]

    async def _keep(self, fold: Fold, part: Changes) -> None:
        offsets = {topic: mark.next_offset for (topic, _), mark in part.marks.items() if topic in FOLDED_TOPICS}
        if part.states or offsets:
            state = self._states["firm" if isinstance(fold, FirmFold) else "symbol"]
            kept = {key: orjson.Fragment(text) for key, text in part.states.items()}
            await state.store(fold.partition, kept, offsets)


def _partitions(assigned: Mapping[str, Sequence[int]], topics: Iterable[str]) -> list[int]:
    return sorted({partition for topic in topics for partition in assigned.get(topic, ())})


def _place_of(header: bytes) -> tuple[int, ...] | None:
    """shard:seq:n of a header; None if it is not that."""
    parts = header.split(b":")
    return tuple(map(int, parts)) if len(parts) == 3 and all(part.isdigit() for part in parts) else None


def told_of(worker: Worker) -> Callable[[BaseException, int, float], None]:
    """What the store calls when the database does not answer: readiness says why."""

    def failed(error: BaseException, attempt: int, wait_s: float) -> None:
        why = str(error).strip() or type(error).__name__
        worker.counters["database_failures"] += 1
        worker.not_ready("database", f"the database must answer, does not: {why}")
        LOGGER.warning("database_away", extra=fields(why=why, attempt=attempt, wait_s=round(wait_s, 3)))

    return failed
