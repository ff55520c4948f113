"""PostgreSQL as reporting reads it: one connection, one snapshot, rows a few thousand at a time by server-side cursors.

What stood at a moment of the past is what stands now less all that came after; every figure of the engine's is a whole
number, so this is exact. Positions and their profits are written in one transaction with the fills they are made of.
"""

from __future__ import annotations

import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

from functions.reporting import queries
from functions.reporting.books import stood
from functions.reporting.errors import DatabaseAway, DatabaseInvalid
from functions.reporting.request import DAY_NS
from functions.reporting.rows import (
    Account,
    Asset,
    Books,
    CashTotal,
    Holding,
    Instrument,
    Position,
    Profit,
    Reach,
    Realised,
    Reference,
)

__all__ = ["FETCH_ROWS", "Database", "opened"]

FETCH_ROWS: Final = 16_384
CONNECT_TIMEOUT_S: Final = 15.0
STATEMENT_TIMEOUT_MS: Final = 850_000  # Lambda ends us at 900 s
SERVER_SETTINGS: Final = {
    "application_name": "ironbook-reporting",
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": "300000",
    "jit": "off",
}
NEEDED: Final = (
    "accounts", "assets", "balances", "cash_flows", "daily_pnl", "executions", "instruments", "keys",
    "market_states", "order_rejections", "orders", "positions", "stream_marks", "trades",
)  # fmt: skip


@contextlib.asynccontextmanager
async def opened(where: Mapping[str, Any], tls: str, authority: str = "") -> AsyncIterator[Database]:
    """A connection and its one snapshot. Raises DatabaseAway, DatabaseInvalid.

    where      arguments of asyncpg.connect
    authority  PEM of who signed the server's certificate; "": one of the system's
    """
    try:
        connection = await asyncpg.connect(
            **where, ssl=_tls(tls, authority), timeout=CONNECT_TIMEOUT_S, server_settings=SERVER_SETTINGS
        )
    except ValueError:  # its text may repeat a part of the address, and so of the password
        raise DatabaseAway(
            "a database's address must be postgresql://user:password@host:port/name, is not",
            hint="mend IRONBOOK_FUNCTION_DATABASE_URL, or host and port in the secret",
        ) from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseAway(
            f"PostgreSQL must answer and let the user in: {type(error).__name__}: {error}"[:500],
            detail=_place(where),
            hint="is it running, may the function reach it, and does the secret hold its user?",
        ) from None
    try:
        with _told():
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=int, format="text")
                database = Database(connection)
                await database.check()
                yield database
    finally:
        connection.terminate()


def _day(time_ns: int) -> datetime.date:
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=time_ns // DAY_NS)


def _place(where: Mapping[str, Any]) -> str:
    """Which server it is, for an error; never more of an address than host and port."""
    address = urlsplit(where.get("dsn", ""))
    return f"{where.get('host', address.hostname)}:{where.get('port', address.port) or 5432}"


def _tls(tls: str, authority: str) -> Any:
    return ssl.create_default_context(cadata=authority or None) if tls == "verify-full" else tls


@contextlib.contextmanager
def _told() -> Any:
    """What PostgreSQL refuses becomes DatabaseInvalid, a lost line DatabaseAway."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InsufficientPrivilegeError) as error:
        raise DatabaseInvalid(
            f"the database must have the tables of this release, and the user must be allowed to read them: {error}",
            hint="ironbook database migrate, and GRANT ironbook_reader TO the user",
        ) from None
    except (
        OSError,
        asyncpg.PostgresConnectionError,
        asyncpg.InterfaceError,
        asyncpg.OperatorInterventionError,
    ) as error:
        raise DatabaseAway(
            f"PostgreSQL must stay until the report is made: {type(error).__name__}: {error}"[:500],
            hint="nothing was written; run it again",
        ) from None


class Database:
    """One snapshot."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def check(self) -> None:
        """Are all tables there? Raises DatabaseInvalid."""
        found = await self._connection.fetch(queries.MISSING_TABLES, list(NEEDED))
        if found:
            raise DatabaseInvalid(
                f"the database must have the table {found[0][0]}, has not",
                detail=f"missing are {', '.join(row[0] for row in found)}",
                hint="ironbook database migrate",
            )

    async def reference(self, day: str, start_ns: int, partial: bool) -> Reference:
        """Assets, instruments and accounts."""
        assets = await self._rows(queries.ASSETS, Asset)
        instruments = await self._rows(queries.INSTRUMENTS, Instrument)
        accounts = await self._rows(queries.ACCOUNTS, Account)
        return Reference(
            day=day,
            start_ns=start_ns,
            end_ns=start_ns + DAY_NS,
            partial=partial,
            assets={one.asset: one for one in assets},
            instruments={one.symbol: one for one in instruments},
            accounts={one.account: one for one in accounts},
        )

    async def reach(self, end_ns: int) -> list[Reach]:
        """How far the tables go, of each shard."""
        return await self._rows(queries.REACH, Reach, end_ns)

    async def lasts(self, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """Each shard's last sequence among the rows of a day; none of an empty day."""
        return [(shard, seq) for shard, seq in await self._fetch(queries.LASTS, start_ns, end_ns)]

    async def books(self, *times_ns: int) -> list[Books]:
        """Everybody's positions and money before the first record that was received at each of one or two times."""
        first, last = min(times_ns), max(times_ns)
        instruments = {one.symbol: one for one in await self._rows(queries.INSTRUMENTS, Instrument)}
        positions = await self._rows(queries.POSITIONS, Position)
        holdings = await self._rows(queries.HOLDINGS, Holding)
        flows = await self._fetch(queries.FLOWS, first, last)
        cash_flows = await self._fetch(queries.CASH_FLOWS, first, last)
        days = await self._fetch(queries.DAYS, _day(first), _day(last))
        return [
            stood(
                positions,
                holdings,
                instruments,
                flows=(row for row in flows if row["behind"] or time_ns == first),
                cash_flows=(row for row in cash_flows if row["behind"] or time_ns == first),
                days=(row for row in days if row["behind"] or time_ns == first),
                cash=await self._rows(queries.CASH, CashTotal, time_ns),
                realised=await self._rows(queries.REALISED, Realised, _day(time_ns)),
            )
            for time_ns in times_ns
        ]

    async def profits(self, start_ns: int) -> list[Profit]:
        """The rows of daily_pnl of a day."""
        return await self._rows(queries.PROFITS, Profit, _day(start_ns))

    async def stream(self, table: str, start_ns: int, end_ns: int) -> AsyncIterator[Sequence[Any]]:
        """The rows of a day in order, some thousands at a time. table: a key of queries.STREAMS."""
        for shard, first, last in await self._parts(table, start_ns, end_ns):
            cursor = await self._connection.cursor(
                queries.STREAMS[table], shard, first, last, start_ns, end_ns, prefetch=None
            )
            while rows := await cursor.fetch(FETCH_ROWS):
                yield rows

    async def _parts(self, table: str, start_ns: int, end_ns: int) -> list[tuple[int, int, int]]:
        """Each shard's first and last sequence of the day, so that rows are read in the order of their key."""
        if table not in queries.BOUNDS:
            return [(0, 0, 0)]
        found = await self._fetch(queries.BOUNDS[table], start_ns, end_ns)
        return [(row["shard"], row["first"], row["last"]) for row in found]

    async def _rows(self, query: str, kind: Any, *values: Any) -> list[Any]:
        return [kind(*row) for row in await self._fetch(query, *values)]

    async def _fetch(self, query: str, *values: Any) -> list[Any]:
        found: list[Any] = await self._connection.fetch(query, *values)
        return found
