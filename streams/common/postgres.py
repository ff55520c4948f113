"""Writing to Postgres: batches of rows with their marks in one transaction, once, in order, whatever fails.

    COPY rows ─▶ staging (temporary tables of the connection) ─▶ lock marks ─▶ merge into the tables ─▶ marks ─▶ commit

Rows of events are keyed by (shard, seq, n) and do nothing on conflict; rows of states carry their mark and only move
up; how far each source partition is written stands in `stream_marks`, in the same transaction. A writer remembers
what it last read or wrote there. If it finds something else, another has gone on in its place (it was paused past its
rebalance): it raises `Overtaken` with nothing written, and must not tell anybody else what it had folded.

While the database is away nothing is lost and nothing is dropped: `write` tries again, with growing waits and a
circuit breaker, until it succeeds; whoever waits for it takes no more from its source. No lock is held while rows
travel, and the server ends a transaction whose client has fallen silent.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import asyncpg

from streams.common.errors import StreamError, Unavailable
from streams.common.retry import Backoff, Breaker, retrying

__all__ = ["Mark", "Overtaken", "RowsRefused", "Store", "Table", "insert_once", "keep_newest"]

Place = tuple[str, int]  # topic, partition
Result = TypeVar("Result")
Told = Callable[[BaseException, int, float], None]

STATEMENT_TIMEOUT_MS: Final = 30_000
LOCK_TIMEOUT_MS: Final = 10_000
IDLE_TIMEOUT_MS: Final = 5_000
CONNECT_TIMEOUT_S: Final = 10.0

# What may pass: the line, a server that starts, stops or is out of something, and conflicts with others.
PASSING: Final[tuple[type[BaseException], ...]] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,
)


class Overtaken(StreamError):
    """Somebody else has written this source partition since: what was folded here is out of date."""

    code = "overtaken"


class RowsRefused(StreamError):
    """Rows that do not fit their table; trying again cannot help."""

    code = "rows_refused"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a source partition is written: everything below next_offset; (shard, seq, n) of its last event."""

    next_offset: int
    shard: int = 0
    seq: int = 0
    n: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as it is written. merge: SQL that brings the rows of its staging table stage_<name> into it.

    unsigned   columns numeric(20) that may be any unsigned 64-bit number: they travel as signed ones of the same bits,
               because asyncpg encodes those many times faster
    """

    name: str
    columns: tuple[str, ...]
    merge: str
    unsigned: frozenset[str] = frozenset()

    @property
    def staging(self) -> str:
        """Makes its staging table."""
        changes = [f"ALTER COLUMN {_name(column)} TYPE bigint" for column in sorted(self.unsigned)]
        alter = f"ALTER TABLE stage_{self.name} {', '.join(changes)};" if changes else ""
        return f"CREATE TEMPORARY TABLE stage_{self.name} (LIKE {self.name}) ON COMMIT DELETE ROWS; {alter}"


def _name(column: str) -> str:
    return f'"{column}"'


def staged(columns: Sequence[str], unsigned: frozenset[str]) -> str:
    """The columns of a staging table as the table has them."""
    return ", ".join(f"unsigned_64({_name(name)})" if name in unsigned else _name(name) for name in columns)


def insert_once(name: str, columns: tuple[str, ...], unsigned: frozenset[str] = frozenset()) -> Table:
    """A table of events: a row that is there already stays as it is."""
    merge = (
        f"INSERT INTO {name} ({', '.join(map(_name, columns))}) SELECT {staged(columns, unsigned)} FROM stage_{name} "
        "ON CONFLICT DO NOTHING"
    )
    return Table(name=name, columns=columns, merge=merge, unsigned=unsigned)


def keep_newest(
    name: str, columns: tuple[str, ...], key: str, mark: str, unsigned: frozenset[str] = frozenset()
) -> Table:
    """A table of states: a row is replaced only by one with a higher mark. key, mark: names of columns."""
    keys, marks = key.split(), mark.split()
    values = ", ".join(f"{_name(column)} = excluded.{_name(column)}" for column in columns if column not in keys)
    newer = f"({', '.join(f'excluded.{one}' for one in marks)}) > ({', '.join(f't.{one}' for one in marks)})"
    merge = (
        f"INSERT INTO {name} AS t ({', '.join(map(_name, columns))}) SELECT {staged(columns, unsigned)} "
        f"FROM stage_{name} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {values} WHERE {newer}"
    )
    return Table(name=name, columns=columns, merge=merge, unsigned=unsigned)


LOCK_MARKS: Final = """
SELECT m.topic, m.partition, m.next_offset FROM stream_marks m
JOIN unnest($2::text[], $3::bigint[]) AS wanted(topic, partition) USING (topic, partition)
WHERE m.consumer = $1 ORDER BY m.topic, m.partition FOR UPDATE OF m"""

RAISE_MARKS: Final = """
UPDATE stream_marks m SET next_offset = new.next_offset, shard = new.shard, seq = new.seq, n = new.n
FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    AS new(topic, partition, next_offset, shard, seq, n)
WHERE m.consumer = $1 AND m.topic = new.topic AND m.partition = new.partition AND m.next_offset < new.next_offset"""

OPEN_MARKS: Final = """
INSERT INTO stream_marks (consumer, topic, partition, next_offset, shard, seq, n)
SELECT $1, topic, partition, 0, 0, 0, 0 FROM unnest($2::text[], $3::bigint[]) AS wanted(topic, partition)
ON CONFLICT DO NOTHING"""

READ_MARKS: Final = """
SELECT topic, partition, next_offset, shard, seq, n FROM stream_marks
JOIN unnest($2::text[], $3::bigint[]) AS wanted(topic, partition) USING (topic, partition) WHERE consumer = $1"""

KEEP_STATES: Final = """
INSERT INTO stream_states AS t (consumer, key, value)
SELECT $1, key, value::jsonb FROM unnest($2::text[], $3::text[]) AS new(key, value)
ON CONFLICT (consumer, key) DO UPDATE SET value = excluded.value"""


class Store:
    """Writes batches for one consumer. Belongs to one loop; one batch at a time.

    consumer   whose marks: "analytics", "embedded"
    failed     told of each failure that may pass: (error, attempts made, seconds until the next)
    """

    def __init__(self, url: str, consumer: str, tables: Iterable[Table], *, failed: Told | None = None) -> None:
        self.url, self.consumer = url, consumer
        self.tables = {table.name: table for table in tables}
        self.breaker = Breaker()
        self._backoff = Backoff()
        self._failed = failed
        self._pool: asyncpg.Pool[Any] | None = None
        self._believed: dict[Place, int] = {}
        self._busy = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._draining: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End all connections."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.terminate()
        for task in list(self._draining):
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)

    async def renew(self, url: str) -> bool:
        """Go on with this URL, once it has answered; is it another one? Raises what is wrong: nothing has changed then.

        What is being written is finished over its old connection; the next batch takes a new one.
        """
        if url == self.url:
            return False
        pool = await self._connect(url)
        try:
            await pool.fetchval("SELECT next_offset FROM stream_marks LIMIT 1")
        except BaseException:
            pool.terminate()
            raise
        old, self._pool, self.url = self._pool, pool, url
        if old is not None:
            task = asyncio.get_running_loop().create_task(_drain(old), name="old database pool")
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)
        return True

    async def open_marks(self, places: Sequence[Place]) -> dict[Place, Mark]:
        """How far each of these source partitions is written; from now on this store is who writes them."""

        async def attempt() -> dict[Place, Mark]:
            topics, partitions = [place[0] for place in places], [place[1] for place in places]
            async with (await self._opened()).acquire() as connection:
                await connection.execute(OPEN_MARKS, self.consumer, topics, partitions)
                rows = await connection.fetch(READ_MARKS, self.consumer, topics, partitions)
            return {
                (row["topic"], row["partition"]): Mark(
                    next_offset=row["next_offset"], shard=row["shard"], seq=row["seq"], n=row["n"]
                )
                for row in rows
            }

        async with self._busy:
            await self._check_tables()
            marks = await self._retrying(attempt)
            self._believed = {place: mark.next_offset for place, mark in marks.items()}
            return marks

    async def states(self) -> dict[str, str]:
        """The states that `write` kept, as JSON texts by key: for a consumer without changelog."""

        async def attempt() -> dict[str, str]:
            async with (await self._opened()).acquire() as connection:
                rows = await connection.fetch("SELECT key, value FROM stream_states WHERE consumer = $1", self.consumer)
            return {row["key"]: row["value"] for row in rows}

        return await self._retrying(attempt)

    async def write(
        self,
        rows: Mapping[str, Sequence[tuple[Any, ...]]],
        marks: Mapping[Place, Mark],
        states: Mapping[str, str] | None = None,
        held: Iterable[Place] = (),
    ) -> None:
        """Write rows by table, states (JSON texts by key) and marks, all or nothing; returns when it is committed.

        The marks' places must have been opened, and so must `held`: places whose rows change without anything new from
        them. Raises Overtaken, or RowsRefused.
        """
        marks = {**{place: Mark(next_offset=self._believed[place]) for place in held}, **marks}

        async def attempt() -> None:
            async with (await self._opened()).acquire() as connection:
                async with connection.transaction():
                    for name, records in rows.items():
                        if records:
                            await connection.copy_records_to_table(
                                f"stage_{name}", records=records, columns=self.tables[name].columns
                            )
                    await self._lock(connection, marks)
                    for name, records in rows.items():
                        if records:
                            await connection.execute(self.tables[name].merge)
                    if states:
                        await connection.execute(KEEP_STATES, self.consumer, list(states), list(states.values()))
                    await connection.execute(RAISE_MARKS, self.consumer, *_columns_of(marks))

        async with self._busy:
            await self._retrying(attempt)
            for place, mark in marks.items():
                self._believed[place] = max(self._believed[place], mark.next_offset)

    async def confirm(self, places: Iterable[Place]) -> None:
        """Is this store still who writes these places? Raises Overtaken."""

        async def attempt() -> None:
            async with (await self._opened()).acquire() as connection:
                async with connection.transaction():
                    await self._lock(connection, {place: Mark(next_offset=self._believed[place]) for place in places})

        async with self._busy:
            await self._retrying(attempt)

    async def _check_tables(self) -> None:
        async def attempt() -> Any:
            connection = await asyncpg.connect(self.url, timeout=CONNECT_TIMEOUT_S)
            try:
                return await connection.fetchval("SELECT to_regclass('stream_marks')")
            finally:
                await connection.close()

        if await self._retrying(attempt) is None:
            raise Unavailable(
                "the database must have the tables of this release, has not",
                detail="table stream_marks",
                hint="make them first: ironbook database migrate",
            )

    async def _lock(self, connection: Any, marks: Mapping[Place, Mark]) -> None:
        """Lock the marks' rows; they must say what this store believes, or what a lost answer left there."""
        places = sorted(marks)
        found = await connection.fetch(
            LOCK_MARKS, self.consumer, [topic for topic, _ in places], [partition for _, partition in places]
        )
        known = {(row["topic"], row["partition"]): row["next_offset"] for row in found}
        for place in places:
            believed = self._believed[place]
            if known.get(place) not in (believed, max(believed, marks[place].next_offset)):
                raise Overtaken(
                    f"a source partition must stand where this worker left it, at {believed}, was {known.get(place)}",
                    detail=f"consumer {self.consumer}, topic {place[0]}, partition {place[1]}",
                    hint="another worker has taken over while this one was paused; it reads on from there",
                )

    async def _retrying(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        async def guarded() -> Result:
            try:
                return await attempt()
            except (TypeError, ValueError, OverflowError) as error:  # the driver cannot encode a value
                raise RowsRefused(f"rows must fit their tables, did not: {error}") from error

        return await retrying(guarded, PASSING, breaker=self.breaker, backoff=self._backoff, failed=self._failed)

    async def _opened(self) -> asyncpg.Pool[Any]:
        if self._pool is None:
            async with self._opening:
                while self._pool is None:
                    url = self.url
                    made = await self._connect(url)
                    if self._pool is None and url == self.url:
                        self._pool = made
                    else:  # renewed meanwhile
                        made.terminate()
        return self._pool

    async def _connect(self, url: str) -> asyncpg.Pool[Any]:
        return await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=2,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=2 * STATEMENT_TIMEOUT_MS / 1000,
            init=self._prepare,
            server_settings={
                "application_name": f"ironbook-{self.consumer}",
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "lock_timeout": str(LOCK_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(IDLE_TIMEOUT_MS),
            },
        )

    async def _prepare(self, connection: Any) -> None:
        await connection.execute(" ".join(table.staging for table in self.tables.values()))


async def _drain(pool: asyncpg.Pool[Any]) -> None:
    """Close it once what runs over it has ended, at the latest when that must have."""
    try:
        async with asyncio.timeout(2 * STATEMENT_TIMEOUT_MS / 1000):
            await pool.close()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncio.CancelledError):
        pool.terminate()


def _columns_of(marks: Mapping[Place, Mark]) -> tuple[list[Any], ...]:
    places = sorted(marks)
    return (
        [topic for topic, _ in places],
        [partition for _, partition in places],
        [marks[place].next_offset for place in places],
        [marks[place].shard for place in places],
        [marks[place].seq for place in places],
        [marks[place].n for place in places],
    )
