"""What folds give, written to a real Postgres: once, whole, upwards only, and by one writer."""

from __future__ import annotations

import asyncio
import secrets
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
import pytest

from schemas import migrations
from streams.analytics.folds import Changes, FirmFold, SymbolFold
from streams.analytics.store import Mark, Store, open_store
from streams.common.errors import Unavailable
from streams.common.postgres import Overtaken, RowsRefused
from tests.streams.analytics.scenario import INSTRUMENTS, Market, batches

Result = TypeVar("Result")


@pytest.fixture
def database(postgres_url: str) -> str:
    migrations.migrate(postgres_url)
    return postgres_url


def with_stores(database: str, body: Callable[..., Awaitable[Result]], count: int = 1) -> Result:
    """The body's result, given open stores of one consumer."""

    async def run() -> Result:
        stores = [open_store(database, "analytics") for _ in range(count)]
        try:
            return await body(*stores)
        finally:
            for store in stores:
                await store.close()

    return asyncio.run(run())


async def fetch(database: str, statement: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(database)
    try:
        return [dict(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def query(database: str, statement: str) -> list[dict[str, Any]]:
    return asyncio.run(fetch(database, statement))


async def write(store: Store, changes: Changes) -> None:
    await store.write(
        changes.rows,
        {place: Mark(next_offset=m.next_offset, shard=m.shard, seq=m.seq, n=m.n) for place, m in changes.marks.items()},
        {key: state.decode() for key, state in changes.states.items()},
    )


async def feed(store: Store, market: Market, *, flush_each: int = 3, size: int = 7) -> FirmFold:
    """All of a market's executions and trades, a flush every few messages."""
    places = [("executions", 0), ("trades", 0)]
    await store.open_marks(places)
    firm, symbol = FirmFold(0, INSTRUMENTS), SymbolFold(0, INSTRUMENTS)
    for topic, fold, events in (("executions", firm, market.executions), ("trades", symbol, market.trades)):
        for offset, batch in enumerate(batches(events, size)):
            assert fold.apply(topic, offset, market.time_ns, batch) == []
            if offset % flush_each == flush_each - 1:
                await write(store, fold.take())
        await write(store, fold.take())
    return firm


def test_every_event_stands_in_its_table_once_and_positions_equal_the_fold(database: str) -> None:
    market = Market(1).run(150)
    firm = with_stores(database, lambda store: feed(store, market))
    assert query(database, "SELECT count(*) AS c FROM executions")[0]["c"] == len(market.executions)
    assert query(database, "SELECT count(*) AS c FROM trades")[0]["c"] == len(market.trades)
    rows = query(database, "SELECT * FROM positions")
    assert {(row["account"], row["symbol"]) for row in rows} == set(firm.positions)
    for row in rows:
        position = firm.positions[row["account"], row["symbol"]]
        for name in ("position_lots", "cost_units", "realised_units", "fees_units", "fill_count"):
            assert row[name] == position[name]
        assert (row["seq"], row["n"]) == tuple(position["marks"][0][:2])


def test_orders_are_what_their_reports_say(database: str) -> None:
    market = Market(2).run(150)
    with_stores(database, lambda store: feed(store, market, flush_each=1, size=3))
    rows = {row["order_id"]: row for row in query(database, "SELECT * FROM orders")}
    reports: dict[int, list[dict[str, Any]]] = {}
    for event in market.executions:
        if event["type"] in ("accepted", "filled", "cancelled"):
            reports.setdefault(event["order_id"], []).append(event)
    assert set(rows) == set(reports)
    for order_id, told in reports.items():
        row, fills, first, last = rows[order_id], [e for e in told if e["type"] == "filled"], told[0], told[-1]
        assert row["filled_lots"] == sum(fill["quantity_lots"] for fill in fills)
        assert row["filled_units"] == sum(fill["notional_units"] for fill in fills)
        assert row["fees_units"] == sum(fill["fee_units"] for fill in fills)
        assert row["fill_count"] == len(fills)
        assert (row["price_ticks"], row["quantity_lots"]) == (first["price_ticks"], first["quantity_lots"])
        assert row["client_order_id"] == first["client_order_id"]
        assert row["remaining_lots"] == last["remaining_lots"]
        assert row["status"] == ("open" if not last["done"] else last["type"])
        assert (row["seq"], row["n"]) == (last["seq"], last["n"])


def test_the_same_again_from_the_beginning_changes_nothing(database: str) -> None:
    market = Market(3).run(80)
    states = ("positions", "daily_pnl", "trade_statistics", "symbol_statistics", "candles")
    tables = ("executions", "orders", "trades", *states)

    def everything() -> list[list[dict[str, Any]]]:
        return [query(database, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables]

    with_stores(database, lambda store: feed(store, market))
    before = everything()
    with_stores(database, lambda store: feed(store, market, flush_each=5, size=4))
    assert everything() == before


def test_a_row_is_never_set_back_by_a_lower_mark(database: str) -> None:
    market = Market(4).run(80)

    async def body(store: Store) -> tuple[Changes, Changes]:
        await store.open_marks([("executions", 0)])
        fold = FirmFold(0, INSTRUMENTS)
        half, rest = batches(market.executions, len(market.executions) // 2 + 1)
        fold.apply("executions", 0, 0, half)
        early = fold.take()
        fold.apply("executions", 1, 0, rest)
        late = fold.take()
        await write(store, late)
        newest = await fetch(database, "SELECT * FROM positions ORDER BY account, symbol")
        await store.write({name: rows for name, rows in early.rows.items() if name != "executions"}, {})
        now = await fetch(database, "SELECT * FROM positions ORDER BY account, symbol")
        assert [row for row in now if row in newest] == newest
        assert len(newest) > 4
        return early, late

    with_stores(database, body)


def test_a_writer_whose_partition_another_has_written_since_is_refused_with_nothing_written(database: str) -> None:
    market = Market(5).run(60)
    first, second = batches(market.executions, len(market.executions) // 2 + 1)

    async def body(paused: Store, other: Store) -> None:
        place = ("executions", 0)
        await paused.open_marks([place])
        fold = FirmFold(0, INSTRUMENTS)
        fold.apply("executions", 0, 0, first)
        held = fold.take()
        assert (await other.open_marks([place]))[place].next_offset == 0
        follower = FirmFold(0, INSTRUMENTS)
        follower.apply("executions", 0, 0, first)
        follower.apply("executions", 1, 0, second)
        await write(other, follower.take())
        before = await fetch(database, "SELECT * FROM positions ORDER BY account, symbol")
        held.rows["executions"] = held.rows["executions"][:0]
        with pytest.raises(Overtaken, match="stand where this worker left it"):
            await write(paused, held)
        with pytest.raises(Overtaken):
            await paused.confirm([place])
        await other.confirm([place])
        assert await fetch(database, "SELECT * FROM positions ORDER BY account, symbol") == before

    with_stores(database, body, 2)


def test_marks_and_states_stand_with_the_rows_of_their_transaction(database: str) -> None:
    market = Market(6).run(50)
    firm = with_stores(database, lambda store: feed(store, market))

    async def read(store: Store) -> tuple[dict[Any, Mark], dict[str, str]]:
        return await store.open_marks([("executions", 0), ("executions", 1)]), await store.states()

    marks, states = with_stores(database, read)
    last = market.executions[-1]
    assert (marks["executions", 0].seq, marks["executions", 0].n) == (last["seq"], last["n"])
    assert marks["executions", 0].next_offset == len(batches(market.executions, 7))
    assert marks["executions", 1] == Mark(next_offset=0)
    again = FirmFold(0, INSTRUMENTS)
    for key, text in states.items():
        if not key.startswith("symbols/"):
            again.load(key, text)
    assert again.positions == firm.positions
    assert again.accounts == firm.accounts


def test_rows_that_the_table_cannot_hold_are_refused_at_once(database: str) -> None:
    async def body(store: Store) -> None:
        await store.open_marks([("keys", 0)])
        with pytest.raises(RowsRefused, match="must fit"):
            await store.write({"keys": [("a", "not a number", 0, [], True, 1, "", 1)]}, {})

    with_stores(database, body)


def test_decimal_views_say_the_same_in_the_units_of_people(database: str) -> None:
    market = Market(7).run(60)

    async def body(store: Store) -> None:
        await feed(store, market)
        connection = await asyncpg.connect(database)
        for name in ("assets", "instruments"):
            assert await connection.fetchval(f"SELECT count(*) FROM {name}") == 0
        await connection.close()

    with_stores(database, body)
    query(
        database,
        "INSERT INTO instruments SELECT 1, 'BTC/USD', 'BTC', 'USD', 1, 2, 8, 6, 10000, 1, '0.01', '0.0001', 2, 4, 0, "
        "0, 'open', 0, 0, 0, 0, 0, '[]', 0, 1, 0, 0",
    )
    fill = next(e for e in market.executions if e["type"] == "filled" and e["symbol"] == "BTC/USD")
    row = query(database, f"SELECT * FROM fills_decimal WHERE seq = {fill['seq']} AND n = {fill['n']}")[0]
    assert str(row["price"]) == f"{fill['price_ticks'] / 100:.2f}"
    assert str(row["quantity"]) == f"{fill['quantity_lots'] / 10000:.4f}"
    assert str(row["amount"]) == f"{fill['notional_units'] / 1e6:.6f}"
    standing = query(database, "SELECT count(*) AS c FROM trades_standing")[0]["c"]
    busted = {(t["symbol"], t["trade_id"]) for t in market.trades if t["type"] == "bust"}
    assert standing <= sum(t["type"] == "trade" for t in market.trades)
    assert standing >= sum(t["type"] == "trade" for t in market.trades) - len(busted)
    for view in ("orders_decimal", "trades_decimal", "positions_decimal", "daily_pnl_decimal", "candles_decimal"):
        assert query(database, f"SELECT * FROM {view}")
    for view in ("balances_decimal", "cash_flows_decimal", "trade_statistics_ratios", "symbol_statistics_decimal"):
        query(database, f"SELECT * FROM {view}")


def test_a_line_that_was_cut_is_opened_again_and_the_batch_is_written_once(database: str) -> None:
    market = Market(8).run(60)

    async def run() -> None:
        store = open_store(database, "analytics")
        try:
            await store.open_marks([("executions", 0)])
            fold = FirmFold(0, INSTRUMENTS)
            for offset, batch in enumerate(batches(market.executions, 20)):
                fold.apply("executions", offset, 0, batch)
                await fetch(
                    database,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'ironbook-analytics' AND datname = current_database()",
                )
                await write(store, fold.take())
        finally:
            await store.close()

    asyncio.run(run())
    assert query(database, "SELECT count(*) AS c FROM executions")[0]["c"] == len(market.executions)
    filled = sum(event["quantity_lots"] for event in market.executions if event["type"] == "filled")
    assert query(database, "SELECT sum(filled_lots) AS lots FROM orders")[0]["lots"] == filled


def test_a_batch_whose_commit_was_not_heard_of_is_written_again_without_harm(database: str) -> None:
    market = Market(9).run(60)

    async def body(lost: Store, again: Store) -> list[dict[str, Any]]:
        place = ("executions", 0)
        await lost.open_marks([place])
        await again.open_marks([place])
        for store in (lost, again):
            fold = FirmFold(0, INSTRUMENTS)
            for batch in batches(market.executions, len(market.executions)):
                fold.apply("executions", 0, 0, batch)
            await write(store, fold.take())
            if store is lost:
                before = await fetch(database, "SELECT * FROM orders ORDER BY order_id")
        assert await fetch(database, "SELECT * FROM orders ORDER BY order_id") == before
        return before

    assert with_stores(database, body, 2)


def test_a_database_without_tables_is_said_in_words(postgres_url: str) -> None:
    async def body(store: Store) -> None:
        with pytest.raises(Unavailable, match="must have the tables"):
            await store.open_marks([("executions", 0)])

    with_stores(postgres_url, body)


def test_the_rights_of_a_writer_are_all_that_the_store_needs(database: str) -> None:
    market = Market(10).run(60)
    name = f"writer_{secrets.token_hex(4)}"
    query(database, f"CREATE ROLE {name} LOGIN PASSWORD '{name}' IN ROLE ironbook_writer")
    try:
        parts = urllib.parse.urlsplit(database)
        place = parts.netloc.rpartition("@")[2]
        with_stores(parts._replace(netloc=f"{name}:{name}@{place}").geturl(), lambda store: feed(store, market))
        assert query(database, "SELECT count(*) AS c FROM executions")[0]["c"] == len(market.executions)
    finally:
        query(database, f"DROP ROLE {name}")
