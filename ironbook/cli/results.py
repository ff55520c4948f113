"""`ironbook positions`, `pnl` and `candles`: what analytics has written to PostgreSQL."""

from __future__ import annotations

import asyncio
import datetime
import decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ironbook import ConnectionFailed, DependencyMissing
from ironbook._secrets import read_secret
from ironbook.cli._output import JsonOption, say_json, show, table
from ironbook.cli._place import DATA, DataOption

if TYPE_CHECKING:
    from rich.console import Console

URL_FILE = "database-url"
CONNECT_TIMEOUT_S = 10.0
DatabaseOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--database", envvar="IRONBOOK_DATABASE_URL", help="PostgreSQL; default: `ironbook up`'s in --data."),
]
AccountOption: TypeAlias = Annotated[int | None, typer.Option(help="Only this account.")]
SymbolOption: TypeAlias = Annotated[str | None, typer.Option(help="Only this symbol.")]
LastOption: TypeAlias = Annotated[int, typer.Option(help="The newest so many rows.", min=1)]

POSITIONS = """
SELECT account, symbol, position, average_price, cost, realised, fees, quote, fill_count FROM positions_decimal
WHERE ($1::bigint IS NULL OR account = $1) AND ($2::text IS NULL OR symbol = $2) ORDER BY account, symbol LIMIT $3"""
PNL = """
SELECT day, account, symbol, realised, unrealised, fees, mark_price, quote, fill_count, winning_count, losing_count,
    volume
FROM daily_pnl_decimal WHERE ($1::bigint IS NULL OR account = $1) AND ($2::text IS NULL OR symbol = $2)
ORDER BY day DESC, account, symbol LIMIT $3"""
CANDLES = """
SELECT start, symbol, interval, open, high, low, close, volume, turnover, buy_volume, trade_count FROM candles_decimal
WHERE symbol = $1 AND interval = $2 ORDER BY start DESC LIMIT $3"""


def positions(
    account: AccountOption = None,
    symbol: SymbolOption = None,
    last: LastOption = 1000,
    database: DatabaseOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Show each account's position in each symbol, at average cost.

    Example:  ironbook positions --account 1
    """
    _say(json, "positions", find_database(data, database), POSITIONS, account, symbol, last)


def pnl(
    account: AccountOption = None,
    symbol: SymbolOption = None,
    last: LastOption = 100,
    database: DatabaseOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Show profit and loss by day (UTC), account and symbol; fees are not in realised and unrealised.

    Example:  ironbook pnl --symbol BTC/USD
    """
    _say(json, "pnl", find_database(data, database), PNL, account, symbol, last)


def candles(
    symbol: Annotated[str, typer.Argument(help="A symbol, for example BTC/USD.")],
    interval: Annotated[str, typer.Option(help="1s, 1m, 5m, 1h or 1d.")] = "1m",
    last: LastOption = 30,
    database: DatabaseOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Show open, high, low, close and volume of a symbol, newest first.

    Example:  ironbook candles BTC/USD --interval 1s
    """
    _say(json, "candles", find_database(data, database), CANDLES, symbol, interval, last)


def find_database(data: Path, database: str | None) -> str:
    """As given; else that of the data directory. Raises ConnectionFailed."""
    if database is not None:
        return database
    try:
        return read_secret(data / URL_FILE)
    except FileNotFoundError:
        raise ConnectionFailed(
            "a database with results must be named or be running here, is not",
            detail=str(data.absolute()),
            hint="start `ironbook up` (streams/embedded.log says what keeps it from having one), or give --database",
        ) from None


async def query(url: str, statement: str, *values: Any) -> list[dict[str, Any]]:
    """Rows of one statement. Raises ConnectionFailed, DependencyMissing."""
    try:
        import asyncpg
    except ImportError as error:
        raise DependencyMissing(
            "asyncpg must be installed to read results, is not", hint="pip install 'ironbook[streams]'"
        ) from error
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    except ValueError:  # its text may repeat a part of the address, and so of the password
        raise ConnectionFailed(
            "a database's address must be postgresql://user:password@host:port/name, is not",
            hint="see --database, or leave it out where `ironbook up` runs",
        ) from None
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise ConnectionFailed(
            f"the database must answer, does not: {error}",
            hint="does `ironbook up` run? Or name another database with --database",
        ) from None
    try:
        return [dict(row) for row in await connection.fetch(statement, *values)]
    except asyncpg.UndefinedTableError as error:
        raise ConnectionFailed(
            f"the database must have the tables of this version: {error}",
            hint="`ironbook up` migrates it at its start",
        ) from None
    finally:
        await connection.close()


def _say(as_json: bool, title: str, url: str, statement: str, *values: Any) -> None:
    rows = asyncio.run(query(url, statement, *values))
    if as_json:
        for row in rows:
            say_json({name: _plain(value) for name, value in row.items()})
        return

    def render(console: Console) -> None:
        if not rows:
            console.print(f"no {title} yet")
            return
        columns = [name.replace("_", " ") for name in rows[0]]
        exact = (int, decimal.Decimal)
        numbers = {name.replace("_", " ") for name, value in rows[0].items() if isinstance(value, exact)}
        cells = ([_cell(value) for value in row.values()] for row in rows)
        console.print(table("", columns, cells, right=numbers))

    show(False, None, render)


def _plain(value: Any) -> Any:
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, datetime.date) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return str(_plain(value))
