"""What the tables say of a moment of the past is what the engine's ledger was then, to the unit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from functions.reporting.database import Database, opened
from functions.reporting.errors import DatabaseAway, DatabaseInvalid
from functions.reporting.rows import Books
from schemas.migrations import migrate, rollback
from tests.functions.reporting import market

Found = TypeVar("Found")


def ask(url: str, what: Callable[[Database], Awaitable[Found]]) -> Found:
    """The answer out of one snapshot."""

    async def read() -> Found:
        async with opened({"dsn": url}, "disable") as database:
            return await what(database)

    return asyncio.run(read())


def books(url: str, time_ns: int) -> Books:
    [found] = ask(url, lambda database: database.books(time_ns))
    return found


@pytest.mark.parametrize("day", market.DAYS)
def test_positions_and_money_at_a_days_end_are_the_ledgers(market_url: str, day: str) -> None:
    found, ledger = books(market_url, market.end_ns(day)), market.statement(day)
    assert {(one.account, one.symbol): one.position_lots for one in found.positions if one.position_lots} == {
        (row["account"], row["symbol"]): row["position_lots"] for row in ledger["positions"] if row["position_lots"]
    }
    assert {(one.account, one.asset): one.total_units for one in found.holdings} == {
        (row["account"], row["asset"]): total
        for row in ledger["balances"]
        if (total := row["free_units"] + row["locked_units"])
    }
    for name, said in (("deposits", found.cash), ("withdrawals", found.cash), ("fees", found.fees)):
        units = {one.asset: getattr(one, f"{name}_units") for one in said}
        assert units == {row["asset"]: row["units"] for row in ledger[name] if row["asset"] in units}, name


def test_average_cost_of_the_past_is_what_it_was_when_the_past_was_now(market_url: str, postgres_url: str) -> None:
    day = market.DAYS[1]
    market.fill(postgres_url, until=day)
    then, now = books(postgres_url, market.end_ns(market.DAYS[2])), books(market_url, market.end_ns(day))
    assert now == then
    assert sum(abs(one.cost_units) for one in then.positions) > 0


@pytest.mark.parametrize("day", market.DAYS)
def test_what_all_days_realised_is_what_the_positions_did(market_url: str, day: str) -> None:
    found = books(market_url, market.end_ns(day))
    by_days = {(one.account, one.symbol): one.realised_units for one in found.realised}
    assert by_days == {(one.account, one.symbol): one.realised_units for one in found.positions if one.realised_units}


def test_a_days_start_and_end_are_read_at_once_and_are_the_same_as_one_by_one(market_url: str) -> None:
    start_ns, end_ns = market.end_ns(market.DAYS[0]), market.end_ns(market.DAYS[1])
    both = ask(market_url, lambda database: database.books(start_ns, end_ns))
    assert both == [books(market_url, start_ns), books(market_url, end_ns)]
    assert both[0] != both[1]


def test_before_the_first_record_there_was_nothing(market_url: str) -> None:
    found = books(market_url, market.end_ns(market.DAYS[0]) - 86_400 * 10**9)
    assert (found.positions, found.holdings, found.cash) == ((), (), ())
    assert all(one.fees_units == 0 for one in found.fees)


def test_rows_of_a_day_come_in_order_each_once_and_a_few_thousand_at_a_time(market_url: str) -> None:
    start_ns, end_ns = market.end_ns(market.DAYS[0]), market.end_ns(market.DAYS[1])

    async def read(database: Database) -> list[list[Any]]:
        return [list(rows) async for rows in database.stream("executions", start_ns, end_ns)]

    parts = ask(market_url, read)
    rows = [row for part in parts for row in part]
    places = [(row["shard"], row["seq"], row["n"]) for row in rows]
    assert places == sorted(set(places))
    assert all(start_ns <= row["received_ns"] < end_ns for row in rows)


def test_the_audit_trail_tells_each_orders_life_from_its_entry_on(market_url: str) -> None:
    start_ns, end_ns = market.end_ns(market.DAYS[0]), market.end_ns(market.DAYS[1])

    async def read(database: Database) -> list[Any]:
        return [row async for rows in database.stream("audit_trail", start_ns, end_ns) for row in rows]

    rows = ask(market_url, read)
    lives: dict[int, list[Any]] = {}
    for row in rows:
        if row["order_id"] is not None:
            lives.setdefault(row["order_id"], []).append(row)
    ordered = [row["order_id"] for row in rows if row["order_id"] is not None]
    assert ordered == sorted(ordered), "orders one after the other"
    assert [row["order_id"] for row in rows[len(ordered) :]] == [None] * (len(rows) - len(ordered))
    entered = [life for life in lives.values() if life[0]["type"] == "accepted"]
    assert len(entered) > 100
    for life in entered:
        places = [(row["seq"], row["n"]) for row in life]
        assert places == sorted(places)
        assert places[0][0] == life[0]["order_id"]
        assert {row["entered_ns"] for row in life} == {life[0]["received_ns"]}
        assert len({row["client_order_id"] for row in life}) == 1
        assert all(row["order_type"] and row["time_in_force"] for row in life)
        assert [row["done"] for row in life[:-1]].count(True) == 0, "nothing happens to an order that is done"
    carried = [life for life in lives.values() if life[0]["type"] != "accepted"]
    assert carried, "orders of the day before live on"
    assert all(life[0]["entered_ns"] < start_ns for life in carried)
    assert any(row["type"] == "rejected" and row["code"] != "none" for row in rows)


def test_the_audit_trail_names_the_key_of_each_report_where_it_is_known(postgres_url: str) -> None:
    migrate(postgres_url)

    async def write() -> None:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute("""
            INSERT INTO executions (shard, seq, n, received_ns, type, firm, account, key, report_number, code, order_id)
                VALUES (0, 7, 0, 50, 'accepted', 1, 1, 3, 1, 'none', 7), (0, 7, 1, 50, 'filled', 1, 1, 4, 2, 'none', 7);
            INSERT INTO keys VALUES ('desk-1', 3, 1, '{trade}', true, 2, '1', 1)""")
        await connection.close()

    async def read(database: Database) -> list[Any]:
        return [row async for rows in database.stream("audit_trail", 0, 100) for row in rows]

    asyncio.run(write())
    assert [(row["key"], row["key_id"]) for row in ask(postgres_url, read)] == [(3, "desk-1"), (4, None)]


def test_how_far_the_tables_go_is_said_by_the_topics_that_reports_are_made_of(postgres_url: str) -> None:
    migrate(postgres_url)
    marks = [
        ("analytics", "prod.executions", 0, 9, 1, 40),
        ("analytics", "prod-executions", 1, 9, 1, 55),
        ("analytics", "prod.trades", 0, 9, 2, 70),
        ("analytics", "prod.book.top", 0, 9, 1, 99),
        ("embedded", "journal.3", 0, 9, 3, 12),
        ("analytics", "keys", 0, 9, 0, 0),
    ]
    values = ", ".join(
        f"('{who}', '{topic}', {part}, {at}, {shard}, {seq}, 0)" for who, topic, part, at, shard, seq in marks
    )
    asyncio.run(_execute(postgres_url, f"INSERT INTO stream_marks VALUES {values}"))
    asyncio.run(
        _execute(
            postgres_url,
            "INSERT INTO market_states (shard, seq, n, received_ns, type) VALUES (2, 60, 0, 500, 'state'),"
            " (1, 50, 0, 499, 'state')",
        )
    )
    reach = ask(postgres_url, lambda database: database.reach(500))
    assert [tuple(one) for one in reach] == [(1, 55, None), (2, 70, 500), (3, 12, None)]


def test_an_unmigrated_database_is_refused_with_the_command_that_mends_it(postgres_url: str) -> None:
    with pytest.raises(DatabaseInvalid, match="must have the table accounts, has not") as refused:
        books(postgres_url, 0)
    assert "ironbook database migrate" in refused.value.hint


def test_a_missing_table_is_named(postgres_url: str) -> None:
    migrate(postgres_url)
    rollback(postgres_url, count=1)
    asyncio.run(_execute(postgres_url, "DROP TABLE trades CASCADE"))
    with pytest.raises(DatabaseInvalid, match="must have the table trades"):
        books(postgres_url, 0)


def test_a_database_of_an_older_release_is_refused_by_the_column_it_lacks(postgres_url: str) -> None:
    migrate(postgres_url)
    asyncio.run(_execute(postgres_url, "ALTER TABLE daily_pnl DROP COLUMN profit_units"))
    with pytest.raises(DatabaseInvalid, match="profit_units"):
        ask(postgres_url, lambda database: database.profits(0))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


def test_a_user_who_may_not_read_is_told_which_role_he_lacks(postgres_url: str) -> None:
    migrate(postgres_url)
    asyncio.run(_execute(postgres_url, "DROP ROLE IF EXISTS nobody_here; CREATE ROLE nobody_here LOGIN PASSWORD 'x'"))
    parts = urlsplit(postgres_url)
    url = urlunsplit(parts._replace(netloc=f"nobody_here:x@{parts.hostname}:{parts.port}"))
    try:
        with pytest.raises(DatabaseInvalid, match="permission denied") as refused:
            books(url, 0)
        assert "ironbook_reader" in refused.value.hint
    finally:
        asyncio.run(_execute(postgres_url, "DROP ROLE nobody_here"))


def test_a_database_that_is_not_there_or_refuses_the_user_is_away(postgres_url: str) -> None:
    parts = urlsplit(postgres_url)
    wrong = urlunsplit(parts._replace(netloc=f"{parts.username}:wrong-password@{parts.hostname}:{parts.port}"))
    gone = "postgresql://ironbook:x@127.0.0.1:1/ironbook"
    for url in (wrong, gone):
        with pytest.raises(DatabaseAway) as refused:
            books(url, 0)
        assert "wrong-password" not in str(refused.value)


def test_the_snapshot_can_not_write(market_url: str) -> None:
    async def write(database: Database) -> None:
        await database._connection.execute("DELETE FROM executions")

    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        ask(market_url, write)
