"""Messages in, answers out. One Desk a partition; what it does is in rules.py, how it is kept in journal.py.

      orders.validated ┐
      executions       ├─▶ queue ─▶ group ─▶ fold ─▶ entry stored ─▶ answers sent ─▶ marks, acknowledged ─▶ next group
      orders.rejected  │   (by partition)      │
      risk.limits      ┘                  what is new of instruments, prices, accounts is folded first

State before answers: what was answered is never forgotten, so an order has one answer, a crash between the two
notwithstanding. After a crash the answers of the last entry are sent again, and messages behind the marks are read
again: orders get the answers that they had, events are passed over by their (shard, seq, n). Who reads our topics drops
what he has, by nonce or id.

The queue is bounded, and a desk takes all that has gathered at once: while the broker writes, the next group grows.
"""

from __future__ import annotations

import asyncio
import contextlib
import operator
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import orjson

from streams.common.codec import partition_of
from streams.common.logs import LOGGER, fields
from streams.common.worker import Batch
from streams.risk import topics
from streams.risk.app import worker
from streams.risk.envelopes import Known, judge
from streams.risk.journal import Journal, read
from streams.risk.keys import Keys
from streams.risk.rules import RiskState, Told
from streams.risk.tables import desks as table

SOURCES: Final = (topics.VALIDATED, topics.EXECUTIONS, topics.REJECTED, topics.LIMITS)
QUEUE_MAX: Final = 64
GROUP_BYTES_MAX: Final = 400_000
MARGIN_NS: Final = 60_000_000_000
PRICES_S: Final = 0.1
MARKS_S: Final = 0.2
POLL_S: Final = 0.05
NS_PER_MS: Final = 1_000_000
SYMBOL: Final = operator.itemgetter("symbol")

desks: dict[int, Desk] = {}
keys = Keys(worker.settings)


class Desk:
    """The firms of one partition, from its assignment to the next."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.window_ns = worker.settings.nonce_window * NS_PER_MS
        kept = read(table.items(partition))
        self.state = (
            RiskState(self.window_ns, MARGIN_NS)
            if kept.state is None
            else RiskState.load(kept.state, self.window_ns, MARGIN_NS)
        )
        self.again = Told()
        for entry in kept.entries:
            self.again = self.fold(entry["steps"])
        self.offsets = kept.offsets
        self.stale = kept.stale
        self.journal = Journal(secrets.token_hex(4), max(time.time_ns(), kept.began_ns + 1))
        self.queue: asyncio.Queue[Batch | None] = asyncio.Queue(QUEUE_MAX)
        self.marks: dict[str, int] = {}  # of messages that are answered
        self.facts: dict[str, Any] = {"instruments": {}, "prices": {}, "accounts": []}
        for topic, known in (
            ("instruments", worker.reference.instruments),
            ("accounts", worker.reference.accounts),
            ("book.top", worker.reference.top),
        ):
            for event in known.values():
                self.note(topic, event)
        self.task = worker.app.add_future(self.work())  # the app ends it before the producer goes

    # ---- What is known -----------------------------------------------------------------------------------------------

    def note(self, topic: str, event: Mapping[str, Any]) -> None:
        """Something new of the reference; the next group begins with it."""
        if topic == "instruments":
            self.facts["instruments"][event["symbol"]] = [
                event["quote_units_per_tick_lot"], event["quote"], event["shard"],
            ]  # fmt: skip
        elif topic == "book.top":
            self.facts["prices"][event["symbol"]] = [
                event["seq"], event.get("last_price_ticks", 0), event.get("bid_price_ticks", 0),
                event.get("ask_price_ticks", 0), event["received_ns"],
            ]  # fmt: skip
        elif topic == "accounts" and partition_of_firm(event["firm"]) == self.partition:
            self.facts["accounts"].append([event["account"], event["firm"], event["position_lots_max"]])

    def take_facts(self) -> dict[str, Any]:
        """What is new since the last group, and nothing that is not."""
        facts = {name: known for name, known in self.facts.items() if known}
        self.facts = {"instruments": {}, "prices": {}, "accounts": []}
        return facts

    def held_price_moved(self) -> bool:
        """A price is new in which somebody has a position."""
        prices = self.state.prices
        return any(symbol in prices and prices[symbol].holders for symbol in self.facts["prices"])

    async def wait_for_instruments(self, batch: Batch) -> None:
        """Events may be read before the instrument that they are of; that instrument is on its way."""
        try:
            symbols = set(map(SYMBOL, batch.events))
        except KeyError:  # not every event is of an instrument
            symbols = {event.get("symbol") for event in batch.events}
        for symbol in symbols:
            while symbol and symbol not in self.state.prices and symbol not in self.facts["instruments"]:
                worker.not_ready("instruments", f"instrument {symbol} of {batch.topic} is not on its topic yet")
                await asyncio.sleep(POLL_S)
        worker.ready("instruments")

    # ---- Work --------------------------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Group by group, until the partition goes."""
        try:
            await self.begin()
            while True:
                await self.do(await self.gather())
        except asyncio.CancelledError:
            raise
        except Exception as error:
            worker.fail(error, f"desk {self.partition}")

    async def begin(self) -> None:
        """A new epoch, then the answers that the last one may not have given."""
        await self.keep(self.journal.snapshot(self.state.dump(), self.offsets))
        if self.stale:
            await table.store(self.partition, dict.fromkeys(self.stale))
        await self.answer(self.again, by_itself=True)

    async def gather(self) -> list[Batch]:
        """What is there, at least one message (or none, but a price)."""
        group: list[Batch] = []
        size_bytes = 0
        while not size_bytes or (not self.queue.empty() and size_bytes < GROUP_BYTES_MAX):
            batch = await self.next()
            if batch is None:
                if not group and self.queue.empty():
                    break
                continue
            await self.wait_for_instruments(batch)
            group.append(batch)
            size_bytes += len(batch.value)
        return group

    async def next(self) -> Batch | None:
        """The next message. While there is none the marks of those before are stored, once, a little later."""
        if self.marks and self.queue.empty():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MARKS_S):
                    return await self.queue.get()
            await self.keep({})
        return await self.queue.get()

    async def do(self, group: list[Batch]) -> None:
        """Fold, keep, answer, mark, acknowledge."""
        steps: list[list[Any]] = []
        if facts := self.take_facts():
            steps.append(["facts", 0, facts])
        written: list[list[Any]] = [[*step] for step in steps]
        for batch in group:
            events = batch.events if batch.topic != topics.LIMITS else changes(batch)
            steps.append([batch.topic, batch.timestamp_ns, events])
            same = batch.topic != topics.LIMITS and batch.value[:1] == b"["
            written.append([batch.topic, batch.timestamp_ns, orjson.Fragment(batch.value) if same else events])
            self.see(batch)
        if not steps:
            return
        told = self.fold(steps)
        size_bytes = sum(len(batch.value) for batch in group) + 200
        await self.keep(self.journal.entry(written, self.offsets, size_bytes))
        await self.answer(told)
        if self.journal.due:
            await self.keep(self.journal.snapshot(self.state.dump(), self.offsets))
        self.marks |= {batch.topic: batch.offset + 1 for batch in group}
        for batch in group:
            worker.ack(batch)
        worker.counters["passed"] += len(told.passed)
        worker.counters["refused"] += len(told.refused)
        worker.counters["alerts"] += len(told.alerts)

    def see(self, batch: Batch) -> None:
        """How far each source is read. What the broker no longer kept when its turn came is missed, and told."""
        expected = self.offsets.get(batch.topic, batch.offset)
        if batch.offset > expected:
            worker.counters["messages_missed"] += batch.offset - expected
            where = fields(topic=batch.topic, partition=self.partition, expected=expected, found=batch.offset)
            LOGGER.error("messages_missed", extra=where)
        self.offsets[batch.topic] = max(expected, batch.offset + 1)

    def fold(self, steps: Sequence[Sequence[Any]]) -> Told:
        """The same steps give the same state and the same answers."""
        told = Told()
        state = self.state
        for topic, time_ns, events in steps:
            if topic == topics.VALIDATED:
                state.orders(events, time_ns, told)
            elif topic == topics.EXECUTIONS:
                state.executions(events, told)
            elif topic == topics.REJECTED:
                state.freed(events, time_ns)
            elif topic == topics.LIMITS:
                for change in events:
                    state.change(change, time_ns, told)
            else:
                state.learn(events, told)
        return told

    async def keep(self, rows: Mapping[str, Any]) -> None:
        """Rows into the table, and behind them the marks of what is answered; returns when the broker has them."""
        marks, self.marks = self.marks, {}
        await table.store(self.partition, rows, marks)

    async def answer(self, told: Told, by_itself: bool = False) -> None:
        """Send; returns when the broker has all of it."""
        outputs: list[asyncio.Future[Any]] = []
        for topic, events in (
            (topics.ACCEPTED, [] if by_itself else told.passed),
            (topics.REJECTED, [] if by_itself else told.refused),
            (topics.ALERTS, told.alerts),
            (topics.ACTIONS, told.actions),
        ):
            if events:
                outputs += await worker.send(topic, self.partition, events)
        for audit in told.audits:  # a refused envelope may speak of a firm of another partition
            outputs += await worker.send(topics.AUDIT, partition_of_firm(audit["firm"]), [audit])
        await asyncio.gather(*outputs)


def partition_of_firm(firm: int) -> int:
    """Where a firm's messages are."""
    return partition_of(str(firm), worker.partitions("firm"))


def changes(batch: Batch) -> list[dict[str, Any]]:
    """What the envelopes of a message ask for."""
    window_ns = worker.settings.nonce_window * NS_PER_MS
    known = Known(keys.rights, worker.reference.accounts, partition_of_firm, window_ns)
    place = f"{topics.LIMITS}:{batch.partition}:{batch.offset}"
    found = []
    for index, event in enumerate(batch.events):
        change = judge(event, f"{place}:{index}", batch.partition, batch.timestamp_ns, known)
        worker.counters["limits_refused" if change["code"] else "limits_changed"] += 1
        found.append(change)
    return found


async def assigned(partitions: Mapping[str, Sequence[int]]) -> None:
    """Desks of before go, their state is read anew."""
    for desk in desks.values():
        desk.task.cancel()
    await asyncio.gather(*(desk.task for desk in desks.values()), return_exceptions=True)
    for desk in desks.values():
        while not desk.queue.empty():  # what waits for room there is read again, by its mark
            desk.queue.get_nowait()
    desks.clear()
    for partition in sorted({partition for topic in SOURCES for partition in partitions.get(topic, ())}):
        desks[partition] = Desk(partition)
        await hold_to_what_was_seen(desks[partition])


async def hold_to_what_was_seen(desk: Desk) -> None:
    """A mark above what the state has seen is of a worker that lost the partition: messages between would be missed.

    Positions are read from the marks after this.
    """
    too_high = {
        topic: desk.offsets.get(topic, 0)
        for topic in SOURCES
        if (table.next_offset(topic, desk.partition) or 0) > desk.offsets.get(topic, 0)
    }
    if too_high:
        LOGGER.warning("marks_set_back", extra=fields(partition=desk.partition, offsets=too_high))
        await table.store(desk.partition, {}, too_high)


async def submit(batches: AsyncIterator[Batch]) -> None:
    """Each message to its desk."""
    async for batch in batches:
        desk = desks.get(batch.partition)
        if desk is not None:  # otherwise the partition has gone to another worker, which reads it again
            await desk.queue.put(batch)


async def look_at_prices() -> None:
    """Losses follow prices, messages or none."""
    for desk in desks.values():
        if desk.queue.empty() and desk.held_price_moved():
            desk.queue.put_nowait(None)


async def renew_keys() -> bool:
    """A change of the key file holds from here on."""
    new = await keys.renew()
    worker.renewal.holdings.accept_only("api_key/", keys.held)
    return new


def noticed(topic: str, event: dict[str, Any]) -> None:
    """The reference took something."""
    for desk in desks.values():
        desk.note(topic, event)


def attach() -> None:
    """Make the worker do all this."""
    worker.reference.changed.append(noticed)
    worker.on_assigned(assigned)
    for topic in SOURCES:
        worker.agent(topic)(submit)
    worker.timer(PRICES_S)(look_at_prices)
    worker.renewal.holdings.accept_only("api_key/", keys.held)
    worker.renewal.watch("key file", keys.mark, renew_keys)
