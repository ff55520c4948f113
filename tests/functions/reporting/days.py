"""A day's figures out of a database, by the function's own reading and folds; for tests and pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from functions.reporting.database import Database, opened
from functions.reporting.figures import DayFigures, Figures
from functions.reporting.rows import Arrival
from functions.reporting.statement import Missing, Statement, parse

DAY_NS = 86_400 * 10**9
Said = Statement | Missing


def missing(day: str, shard: int = 0) -> Missing:
    """No statement."""
    return Missing(shard=shard, why="it must be in the archive, is not", where=f"statements/{shard:05d}/{day}.json")


def parsed(body: bytes, day: str) -> Said:
    """A statement's bytes as the function reads them."""
    return parse(body, shard=0, day=day, where=f"statements/00000/{day}.json")


def figures(
    url: str,
    day: str,
    start_ns: int,
    *,
    statements: Sequence[Said] = (),
    before: Sequence[Said] = (),
    arrivals: Iterator[Arrival] | None = None,
    partial: bool = False,
) -> Figures:
    """The figures of a day. statements, before: empty means none is there."""

    async def read() -> Figures:
        async with opened({"dsn": url}, "disable") as database:
            said = statements or [missing(day)], before or [missing("the day before")]
            return await _read(database, day, start_ns, said, arrivals, partial)

    return asyncio.run(read())


async def _read(
    database: Database,
    day: str,
    start_ns: int,
    said: tuple[Any, Any],
    arrivals: Iterator[Arrival] | None,
    partial: bool,
) -> Figures:
    end_ns = start_ns + DAY_NS
    opening, closing = await database.books(start_ns, end_ns)
    found = DayFigures(
        await database.reference(day, start_ns, partial), statements=said[0], before=said[1],
        opening=opening, arrivals=arrivals,
    )  # fmt: skip
    for table, take in (("executions", found.execution), ("cash_flows", found.cash_flow), ("trades", found.trade)):
        async for rows in database.stream(table, start_ns, end_ns):
            for row in rows:
                take(row)
    return found.close(closing, await database.profits(start_ns))
