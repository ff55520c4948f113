"""Migrations forward and back, on an empty and on a filled database; and the rights of the roles."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from schemas import migrations

NAMES = [
    "0001.reference",
    "0002.events",
    "0003.analytics",
    "0004.views",
    "0005.roles",
    "0006.profits",
    "0007.holders",
]


def query(url: str, *statements: str) -> list[asyncpg.Record]:
    """The rows of the last statement."""

    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetch(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


def schema(url: str) -> list[tuple[str, ...]]:
    """Every column of every table and view that migrations make."""
    rows = query(
        url,
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name NOT LIKE '%yoyo%' ORDER BY 1, 2",
    )
    return [tuple(row) for row in rows]


def test_an_empty_database_goes_forward_back_and_forward_to_the_same_tables(postgres_url: str) -> None:
    before = schema(postgres_url)
    assert migrations.migrate(postgres_url) == NAMES
    made = schema(postgres_url)
    assert {row[0] for row in made} >= {"orders", "executions", "positions", "candles", "stream_marks", "keys"}
    assert migrations.rollback(postgres_url, len(NAMES)) == NAMES[::-1]
    assert schema(postgres_url) == before
    assert migrations.migrate(postgres_url) == NAMES
    assert schema(postgres_url) == made


def test_each_migration_alone_goes_back_and_forward_with_rows_in_the_tables(postgres_url: str) -> None:
    migrations.migrate(postgres_url)
    made = schema(postgres_url)
    query(
        postgres_url,
        "INSERT INTO assets VALUES (1, 'BTC', 8, 0, 1, 0, 0), (2, 'USD', 6, 0, 2, 0, 0)",
        "INSERT INTO positions VALUES (1, 'BTC/USD', 1, 1, -5, -100, 0, 0, 0, 5, 1, 0, 7, 1, 0)",
        "SELECT 1",
    )
    for count in range(1, len(NAMES) + 1):
        assert migrations.rollback(postgres_url, count) == NAMES[::-1][:count]
        assert [one.applied for one in migrations.status(postgres_url)] == [
            index < len(NAMES) - count for index in range(len(NAMES))
        ]
        if count < 5:
            assert query(postgres_url, "SELECT position_lots FROM positions")[0]["position_lots"] == -5
        migrations.migrate(postgres_url)
        assert schema(postgres_url) == made


def test_migrating_twice_does_nothing_the_second_time(postgres_url: str) -> None:
    migrations.migrate(postgres_url)
    assert migrations.migrate(postgres_url) == []


def test_a_migration_that_the_database_refuses_leaves_nothing_and_says_so(postgres_url: str) -> None:
    query(postgres_url, "CREATE TABLE positions (x integer)", "SELECT 1")
    with pytest.raises(migrations.MigrationFailed, match="positions"):
        migrations.migrate(postgres_url)
    found = {one.name: one.applied for one in migrations.status(postgres_url)}
    assert found == dict(zip(NAMES, (True, True, *[False] * 5), strict=True))
    assert "candles" not in {row[0] for row in schema(postgres_url)}


def test_an_address_that_is_none_of_postgres_is_refused() -> None:
    with pytest.raises(migrations.MigrationFailed, match="postgresql://"):
        migrations.status("sqlite:///somewhere")


def test_a_reader_reads_tables_and_views_and_writes_nothing(postgres_url: str) -> None:
    migrations.migrate(postgres_url)
    tables = {row[0] for row in schema(postgres_url)} - {"stream_states"}
    for table in sorted(tables):
        query(postgres_url, "SET ROLE ironbook_reader", f"SELECT * FROM {table} LIMIT 1")
    for statement in (
        "INSERT INTO assets VALUES (1, 'BTC', 8, 0, 1, 0, 0)",
        "UPDATE positions SET cost_units = 0",
        "DELETE FROM executions",
        "TRUNCATE orders",
        "CREATE TABLE mine (x integer)",
        "DROP TABLE candles",
    ):
        with pytest.raises(asyncpg.PostgresError, match=r"permission denied|must be owner"):
            query(postgres_url, "SET ROLE ironbook_reader", statement, "SELECT 1")


def test_a_writer_adds_events_but_changes_and_deletes_none(postgres_url: str) -> None:
    migrations.migrate(postgres_url)
    query(
        postgres_url,
        "SET ROLE ironbook_writer",
        "INSERT INTO trades (shard, seq, n, received_ns, type, symbol, instrument, trade_id, price_ticks, "
        "quantity_lots) VALUES (0, 1, 0, 0, 'trade', 'BTC/USD', 1, 1, 1, 1)",
        "UPDATE positions SET cost_units = 0",
        "SELECT 1",
    )
    for statement in (
        "UPDATE trades SET price_ticks = 2",
        "DELETE FROM trades",
        "DELETE FROM positions",
        "DROP VIEW trades_standing",
    ):
        with pytest.raises(asyncpg.PostgresError, match=r"permission denied|must be owner"):
            query(postgres_url, "SET ROLE ironbook_writer", statement, "SELECT 1")


def test_a_follower_writes_which_process_holds_which_secret_and_reads_nothing_else(postgres_url: str) -> None:
    migrations.migrate(postgres_url)
    rows = query(
        postgres_url,
        "SET ROLE ironbook_follower",
        "INSERT INTO secret_holders VALUES ('engine-0', 'engine', 'cookie', '{aa,bb}', NULL, 'a', 1, 2)",
        "UPDATE secret_holders SET seen_ns = 3",
        "SELECT accepts, seen_ns FROM secret_holders",
    )
    assert [tuple(row) for row in rows] == [(["aa", "bb"], 3)]
    query(postgres_url, "SET ROLE ironbook_follower", "DELETE FROM secret_holders", "SELECT 1")
    for table in sorted({row[0] for row in schema(postgres_url)} - {"secret_holders"}):
        with pytest.raises(asyncpg.PostgresError, match="permission denied"):
            query(postgres_url, "SET ROLE ironbook_follower", f"SELECT * FROM {table} LIMIT 1")
    with pytest.raises(asyncpg.PostgresError, match="permission denied"):
        query(postgres_url, "SET ROLE ironbook_writer", "DELETE FROM secret_holders", "SELECT 1")
