"""Topics for strategies: every event once, in order, typed, and a gap is told.

    from ironbook.subscribe import Subscription, events

    async with Subscription("127.0.0.1:9092", "trades", symbol="BTC/USD", from_="beginning") as trades:
        async for event in trades:
            if isinstance(event, events.Trade):
                print(event.price, event.quantity)

Within a partition events come in the order of the engine; a symbol, and a firm, is in one partition. Nothing is stored
on the brokers: `position()` says where the reader is, and `from_=position` goes on there.

Needs `pip install 'ironbook[streams]'`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import random
import time
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

import orjson

from ironbook._book_view import BookState
from ironbook._errors import ConnectionFailed, InputInvalid, StreamGap, StreamInvalid
from ironbook._follow import N_MAX, Follower, Missing
from ironbook._kafka import (
    PLAIN_TEXT,
    SCHEMA_VERSION,
    Security,
    aiokafka,
    check_servers,
    header,
    partition_of,
    topic_named,
)
from schemas import events
from schemas.events import EVENTS, Event, EventInvalid

__all__ = ["BookView", "Gone", "Item", "Position", "Security", "Start", "Subscription", "events"]

PROBE_TIMEOUT_S: Final = 10.0
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """The state of a key was deleted from a compacted topic."""

    topic: str
    key: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a reader is: hand it to a later Subscription of the same topic and filter, and it goes on there.

    offsets  partition to (offset, index): the next event to read
    marks    (partition, shard) to (seq, n): the last event read
    """

    topic: str
    offsets: dict[int, tuple[int, int]]
    marks: dict[tuple[int, int], tuple[int, int]]

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        return {
            "topic": self.topic,
            "offsets": {str(partition): list(place) for partition, place in self.offsets.items()},
            "marks": [[*place, *mark] for place, mark in self.marks.items()],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Position:
        """What to_json made. Raises InputInvalid."""
        try:
            offsets = {int(partition): (int(at), int(index)) for partition, (at, index) in data["offsets"].items()}
            marks = {(partition, shard): (seq, n) for partition, shard, seq, n in data["marks"]}
            return cls(topic=data["topic"], offsets=offsets, marks=marks)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputInvalid(f"a position must be what Position.to_json made, was not: {error}") from None


Item: TypeAlias = Event | Gone | StreamGap
Start: TypeAlias = Literal["beginning", "live"] | tuple[int, int] | Position


@dataclasses.dataclass(slots=True)
class _Held:
    """The message being read."""

    message: Any
    rows: list[Any]
    index: int
    gap: StreamGap | None
    repeat: bool = False


class Subscription:
    """One topic, read in order. Belongs to one task. An async context manager and an async iterator of `Item`.

    servers      host:port of brokers, separated by commas
    topic        a name of the contract; `prefix` comes before it on the brokers
    from_        "live": what comes from now on. "beginning": all that is kept. (shard, seq): from that sequence on;
                 to find it costs about log2(messages) reads a partition. A Position: go on there.
                 Compacted topics always begin with their state, then go on live.
    symbol, firm, account    only theirs; where the topic is keyed by it, only its partition is read. (An account's firm
                 is looked up in the topic `accounts` if it is not given.)
    dense_keys   `executions`: numbers of engine keys whose report numbers must rise by one; only for keys that act for
                 one firm
    on_gap       "raise": StreamGap is raised; iterate again to go on behind the gap. "give": it is handed out instead.
    connect_timeout_s    how long to try at first (ConnectionFailed); a line lost later is regained for ever
    fetch_bytes_max      most bytes held of each partition
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        *,
        prefix: str = "",
        from_: Start = "live",
        symbol: str | None = None,
        firm: int | None = None,
        account: int | None = None,
        dense_keys: Iterable[int] = (),
        on_gap: Literal["raise", "give"] = "raise",
        security: Security = PLAIN_TEXT,
        connect_timeout_s: float = 30.0,
        fetch_bytes_max: int = 1 << 20,
    ) -> None:
        self.topic, self.prefix, self.security = topic, prefix, security
        self._servers = check_servers(servers)
        self._contract = topic_named(topic)
        self._sequenced = _is_sequenced(topic)
        self._chained = self._contract.chained
        self._compacted = self._contract.compacted
        wanted: dict[str, str | int | None] = {"symbol": symbol, "firm": firm, "account": account}
        self._wanted = {name: value for name, value in wanted.items() if value is not None}
        self._check(from_)
        self._start: Start = "beginning" if self._compacted and from_ == "live" else from_
        self._dense_keys = frozenset(dense_keys)
        self._raise = on_gap == "raise"
        self._connect_timeout_s, self._fetch_bytes_max = connect_timeout_s, fetch_bytes_max
        self._consumer: Any = None
        self._follower = Follower(topic, dense_keys=self._dense_keys)
        self._states: dict[str, tuple[int, int]] = {}  # of a compacted topic: the mark of each key
        self._next: dict[int, tuple[int, int]] = {}
        self._held: _Held | None = None
        self._key = ""  # of the message last looked at
        self.place: tuple[int, int] = (0, 0)  # partition and offset of the message that the last item came from

    # ---- opening and closing -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        deadline_s = time.monotonic() + self._connect_timeout_s
        errors, wait_s = aiokafka().errors, BACKOFF_FIRST_S
        while True:
            try:
                await self._open()
                return self
            except (errors.KafkaError, OSError, TimeoutError) as error:
                await self._disconnect()
                self._refuse_for_good(error)
                if time.monotonic() + wait_s > deadline_s:
                    raise ConnectionFailed(
                        f"Kafka must answer within {self._connect_timeout_s:g} s, did not",
                        detail=f"{self._servers}: {error}",
                        hint="is it running (`ironbook services up`), and are user, password and TLS as it wants them?",
                    ) from error
            except BaseException:
                await self._disconnect()
                raise
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(2 * wait_s, BACKOFF_MAX_S)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disconnect()

    async def _open(self) -> None:
        count = await self._partition_count()
        partitions = await self._choose_partitions(count)
        await self._connect()
        self._follower = Follower(self.topic, dense_keys=self._dense_keys)
        start = self._start
        if isinstance(start, Position):
            first = await self._consumer.beginning_offsets([self._place(p) for p in partitions])
            self._next = {p: start.offsets.get(p, (first[self._place(p)], 0)) for p in partitions}
            self._follower = Follower(self.topic, marks=start.marks, dense_keys=self._dense_keys)
        elif isinstance(start, tuple):
            shard, seq = start
            self._next = {partition: (await self._locate(partition, shard, seq), 0) for partition in partitions}
            marks = {(partition, shard): (seq - 1, N_MAX) for partition in partitions}
            self._follower = Follower(self.topic, marks=marks, first_seq=seq, dense_keys=self._dense_keys)
        else:
            ask = self._consumer.beginning_offsets if start == "beginning" else self._consumer.end_offsets
            found = await ask([self._place(partition) for partition in partitions])
            self._next = {place.partition: (offset, 0) for place, offset in found.items()}
        self._seek()

    async def _connect(self) -> None:
        self._consumer = aiokafka().AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            client_id="ironbook-subscription",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=self._fetch_bytes_max,
            metadata_max_age_ms=30_000,
            **self.security.options(),
        )
        await self._consumer.start()

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(aiokafka().errors.KafkaError, OSError):
                await consumer.stop()

    async def _partition_count(self) -> int:
        from_admin = aiokafka().admin.AIOKafkaAdminClient(bootstrap_servers=self._servers, **self.security.options())
        await from_admin.start()
        try:
            [found] = await from_admin.describe_topics([self.prefix + self.topic])
        finally:
            await from_admin.close()
        error = aiokafka().errors.for_code(found["error_code"])
        if error is aiokafka().errors.UnknownTopicOrPartitionError:
            raise StreamInvalid(
                f"the topic {self.prefix + self.topic} must be there, is not",
                detail=self._servers,
                hint="`ironbook topics create` makes all; is the prefix right, and may this user read it?",
            )
        if found["error_code"]:
            raise error(self.prefix + self.topic)
        return len(found["partitions"])

    async def _choose_partitions(self, count: int) -> list[int]:
        key = self._contract.key
        if key == "firm" and "account" in self._wanted and "firm" not in self._wanted:
            firm = await self._firm_of(int(self._wanted["account"]))
            return [partition_of(str(firm), count)]
        if key not in self._wanted or self._contract.partition_group == "one":
            return list(range(count))
        chosen = {partition_of(str(self._wanted[key]), count)}
        if self.topic == "market.state":
            chosen.add(0)  # there, what holds for everything is told
        return sorted(chosen)

    async def _firm_of(self, account: int) -> int:
        async with Subscription(
            self._servers, "accounts", prefix=self.prefix, account=account, security=self.security,
            connect_timeout_s=self._connect_timeout_s,
        ) as accounts:  # fmt: skip
            found = (await accounts.state()).get(str(account))
        if not isinstance(found, events.Account):
            raise InputInvalid(
                f"an account must be defined to find its firm, {account} is not in the topic accounts",
                hint="give firm= as well, if it is not published yet",
            )
        return found.firm

    async def _locate(self, partition: int, shard: int, seq: int) -> int:
        """From which offset everything from this sequence on comes: a message that is not below it, behind one that is.

        A publisher that went back after a restart repeats a stretch, so there may be several such places; each is good.
        """
        place = self._place(partition)
        low = (await self._consumer.beginning_offsets([place]))[place]
        high = (await self._consumer.end_offsets([place]))[place]
        end = high
        self._consumer.assign([place])
        while low < high:
            middle = (low + high) // 2
            found = await self._probe(place, middle, end, shard)
            if found is None or found[1] >= seq:
                high = middle
            else:
                low = found[0] + 1
        return int(low)

    async def _probe(self, place: Any, offset: int, end: int, shard: int) -> tuple[int, int] | None:
        """(offset, last sequence) of the first message from this offset on that holds events of the shard."""
        self._consumer.seek(place, offset)
        while offset < end:
            message = await asyncio.wait_for(self._consumer.getone(place), PROBE_TIMEOUT_S)
            with contextlib.suppress(StreamInvalid, KeyError, TypeError):
                rows = self._rows(message)
                if rows and rows[-1]["shard"] == shard:
                    return message.offset, int(rows[-1]["seq"])
            offset = message.offset + 1
        return None

    def _check(self, from_: Start) -> None:
        fields = {field.name for event in EVENTS[self.topic].values() for field in dataclasses.fields(event)}
        for name in self._wanted:
            if name not in fields:
                raise InputInvalid(f"events of {self.topic} must have a {name} to choose by it, have none")
        if isinstance(from_, Position):
            if from_.topic != self.topic:
                raise InputInvalid(f"a position must be one of {self.topic}, was one of {from_.topic}")
        elif isinstance(from_, tuple):
            if not self._chained:
                raise InputInvalid(
                    f"only a topic in the order of sequences can be read from one, {self.topic} is none",
                    hint='from_="beginning"',
                )
            if len(from_) != 2 or min(from_) < 0:
                raise InputInvalid(f"a sequence to begin at must be (shard, seq), was {from_!r}")
        elif from_ not in ("beginning", "live"):
            raise InputInvalid(f'from_ must be "beginning", "live", (shard, seq) or a Position, was {from_!r}')

    # ---- reading -------------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        while True:
            item = await self._pull()
            if item is None:
                continue
            if self._raise and isinstance(item, StreamGap):
                raise item
            return item

    async def until_now(self) -> AsyncIterator[Item]:
        """What there is at this moment, then the end; iterate the subscription itself to go on."""
        ends = await self._ends()
        while any(self._next[partition][0] < end for partition, end in ends.items()):
            item = await self._pull()
            if self._raise and isinstance(item, StreamGap):
                raise item
            if item is not None:
                yield item

    async def state(self) -> dict[str, Event]:
        """Of a compacted topic, before iterating: what every key stands at now. Iterating goes on behind it."""
        if not self._compacted:
            raise InputInvalid(f"only a compacted topic has a state, {self.topic} is none")
        found: dict[str, Event] = {}
        async for item in self.until_now():
            if isinstance(item, Gone):
                found.pop(item.key, None)
            elif isinstance(item, Event):
                found[self._key] = item
        return found

    async def lag(self) -> int:
        """How many messages there are that were not read yet."""
        return sum(max(end - self._next[partition][0], 0) for partition, end in (await self._ends()).items())

    def position(self) -> Position:
        """Where the next event will come from."""
        return Position(topic=self.topic, offsets=dict(self._next), marks=dict(self._follower.marks))

    async def _ends(self) -> dict[int, int]:
        found = await self._consumer.end_offsets([self._place(partition) for partition in self._next])
        return {place.partition: offset for place, offset in found.items()}

    async def _pull(self) -> Item | None:
        """One step: an item, or None if what was looked at is not for this reader."""
        if self._held is None:
            message = await self._fetch()
            if isinstance(message, StreamGap):
                return message
            self._held = self._begin(message)
            self._key = (message.key or b"").decode(errors="replace")
            self.place = (message.partition, message.offset)
        held = self._held
        if held.gap is not None:
            given, held.gap = held.gap, None
            return given
        if held.index >= len(held.rows):
            self._pass_over()
            return self._gone() if held.message.value is None else None
        try:
            gap = self._take(held, held.rows[held.index])
            item = self._parse(held.rows[held.index]) if gap is None else None
        except (EventInvalid, KeyError, TypeError) as error:
            self._pass_over()
            raise self._invalid(held.message, f"event {held.index - 1}: {error}") from None
        if gap is not None:
            return gap  # the event behind it comes with the next step
        self._pass_over()
        return item

    def _pass_over(self) -> None:
        """The event at hand is done with, and with the last one its message."""
        held = self._held
        if held is None:
            return
        held.index += 1
        done = held.index >= len(held.rows)
        self._next[held.message.partition] = (held.message.offset + 1, 0) if done else (held.message.offset, held.index)
        if done:
            self._held = None

    def _begin(self, message: Any) -> _Held:
        """Look at a message as a whole. What cannot be read is passed over by the next step. Raises StreamInvalid."""
        index = self._next[message.partition][1]
        self._next[message.partition] = (message.offset + 1, 0)
        rows = self._rows(message)
        gap = None
        previous = header(message, "previous") if self._chained else None
        if previous is not None:
            try:
                missing = self._follower.chain(message.partition, previous)
            except ValueError:
                raise self._invalid(message, "its header previous must be shard:seq:n") from None
            gap = self._gap(missing) if missing is not None else None
        self._next[message.partition] = (message.offset, index)
        return _Held(message, rows, index, gap)

    def _rows(self, message: Any) -> list[Any]:
        """The JSON objects of a message; none of a tombstone. Raises StreamInvalid."""
        schema = header(message, "schema")
        if schema is not None and schema.decode(errors="replace") != f"{self.topic}/{SCHEMA_VERSION}":
            raise self._invalid(message, f"its schema must be {self.topic}/{SCHEMA_VERSION}, is {schema!r}")
        if message.value is None:
            return []
        try:
            data = orjson.loads(message.value)
        except orjson.JSONDecodeError as error:
            raise self._invalid(message, f"it must be JSON: {error}") from None
        rows = data if isinstance(data, list) else [data]
        if not all(isinstance(row, dict) for row in rows):
            raise self._invalid(message, "it must be an object or an array of objects")
        return rows

    def _take(self, held: _Held, row: dict[str, Any]) -> StreamGap | None:
        """Note that the event was seen; held.repeat: it is none for anybody."""
        held.repeat = False
        if not self._sequenced:
            return None
        if self._compacted:
            mark = (row["seq"], row["n"])
            held.repeat = mark < self._states.get(self._key, (0, 0))
            if not held.repeat:
                self._states[self._key] = mark
            return None
        partition = held.message.partition
        held.repeat = not self._follower.is_new(partition, row)
        if held.repeat:
            return None
        missing = self._follower.skipped_ids(partition, row)
        if missing is not None and self._is_wanted(row):
            return self._gap(missing)
        self._follower.take(partition, row)
        return None

    def _parse(self, row: dict[str, Any]) -> Event | None:
        held = self._held
        if held is None or held.repeat or not self._is_wanted(row):
            return None
        return events.parse(self.topic, row)

    def _is_wanted(self, row: dict[str, Any]) -> bool:
        for name, value in self._wanted.items():
            if row.get(name) != value and not (self.topic == "market.state" and row.get("scope") != "instrument"):
                return False
        return True

    def _gone(self) -> Gone:
        self._states.pop(self._key, None)
        return Gone(topic=self.topic, key=self._key)

    def _gap(self, missing: Missing) -> StreamGap:
        return StreamGap(topic=self.topic, **dataclasses.asdict(missing))

    def _invalid(self, message: Any, found: str) -> StreamInvalid:
        return StreamInvalid(
            f"a message must be what the contract says: {found}",
            detail=f"topic {message.topic}, partition {message.partition}, offset {message.offset}",
            hint="iterate again to go on behind it; a newer version of this package may know it",
        )

    # ---- the line ------------------------------------------------------------------------------------------------

    async def _fetch(self) -> Any:
        """The next message of any partition; regains the line for as long as it takes. A StreamGap: offsets gone."""
        errors, wait_s = aiokafka().errors, BACKOFF_FIRST_S
        while True:
            try:
                if self._consumer is None:
                    await self._connect()
                    self._seek()
                return await self._consumer.getone()
            except errors.OffsetOutOfRangeError as error:
                return await self._skip(next(iter(error.args[0].items())))
            except (errors.KafkaError, OSError, TimeoutError) as error:
                await self._disconnect()
                self._refuse_for_good(error)
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(2 * wait_s, BACKOFF_MAX_S)

    async def _skip(self, found: tuple[Any, int]) -> StreamGap:
        """The brokers do not keep that offset any more: go on with the oldest they have, or a younger topic's end."""
        place, wanted = found
        first = (await self._consumer.beginning_offsets([place]))[place]
        end = (await self._consumer.end_offsets([place]))[place]
        at = first if wanted < first else end
        self._next[place.partition] = (at, 0)
        self._consumer.seek(place, at)
        return StreamGap(
            topic=self.topic, partition=place.partition, what="offsets", after=(wanted - 1, 0), until=(at - 1, 0)
        )

    def _seek(self) -> None:
        self._consumer.assign([self._place(partition) for partition in self._next])
        for partition, (offset, _) in self._next.items():
            self._consumer.seek(self._place(partition), offset)

    def _place(self, partition: int) -> Any:
        return aiokafka().TopicPartition(self.prefix + self.topic, partition)

    def _refuse_for_good(self, error: BaseException) -> None:
        """What no further attempt can mend. Raises ConnectionFailed."""
        errors = aiokafka().errors
        if isinstance(error, errors.TopicAuthorizationFailedError | errors.SaslAuthenticationFailed):
            raise ConnectionFailed(
                f"this user must be allowed to read {self.prefix + self.topic}, is not",
                detail=f"{self._servers}: {error}",
                hint="`ironbook topics acls` shows who may",
            ) from error


class BookView:
    """A symbol's book, kept: the newest snapshot, then every change, checked against the engine's checksums.

        async with BookView("127.0.0.1:9092", "BTC/USD") as book:
            async for change in book:                    # once for each change of a level
                print(book.bids(1), book.asks(1))

    Raises StreamGap if a change is missing, StreamInvalid if the book is not the engine's; open it again then.
    """

    def __init__(
        self, servers: str, symbol: str, *, prefix: str = "", security: Security = PLAIN_TEXT,
        connect_timeout_s: float = 30.0,
    ) -> None:  # fmt: skip
        self._open = functools.partial(
            Subscription, servers, prefix=prefix, security=security, connect_timeout_s=connect_timeout_s, symbol=symbol
        )
        self.state = BookState(symbol)
        self._changes: Subscription | None = None

    def bids(self, count: int | None = None) -> list[events.Level]:
        """The levels that buy, best first."""
        return self.state.bids(count)

    def asks(self, count: int | None = None) -> list[events.Level]:
        """The levels that sell, best first."""
        return self.state.asks(count)

    async def __aenter__(self) -> Self:
        async with self._open("book.snapshots") as snapshots:
            found = (await snapshots.state()).get(self.state.symbol)
        start: Start = "beginning"
        if isinstance(found, events.Snapshot):
            self.state.load(found)
            start = (found.shard, found.seq)
        self._changes = await self._open("book", from_=start).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._changes is not None:
            await self._changes.__aexit__(kind, error, trace)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> events.Level:
        if self._changes is None:
            raise StreamInvalid("a view must be opened before it is read", hint="async with BookView(...) as book")
        while True:
            item = await anext(self._changes)
            if isinstance(item, events.Checksum):
                self.state.verify(item)
            elif isinstance(item, events.Level) and self.state.apply(item):
                return item


def _is_sequenced(topic: str) -> bool:
    """Do its events carry (shard, seq, n)?"""
    return all(
        {"shard", "seq", "n"} <= {field.name for field in dataclasses.fields(event)} for event in EVENTS[topic].values()
    )
