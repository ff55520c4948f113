"""The ledger alone, without a database: what is compared when a side is missing, and what is told of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from functions.reporting.reconciliation import DIFFERENCES_KEPT, Ledger, suspect
from functions.reporting.rows import Asset, Books, CashTotal, FeeTotal, Holding, Position, Reference
from functions.reporting.statement import Missing, Statement

DAY = "2026-01-05"
REFERENCE = Reference(
    day=DAY, start_ns=0, end_ns=86_400 * 10**9, partial=False, assets={"USD": Asset("USD", 1, 2)}, instruments={},
    accounts={},
)  # fmt: skip
NOTHING = Books(positions=(), holdings=(), cash=(), fees=())
NO_STATEMENT = Missing(shard=0, why="it must be in the archive, is not", where="statements/00000")
STATEMENT = Statement(
    shard=0, day=DAY, partial=False, sequence=9, digest="", decimals={"USD": 2}, balances={(1, "USD"): (300, 0)},
    positions={}, fees={}, deposits={"USD": 300}, withdrawals={}, open_orders_count=0, last_event_sequence=9,
)  # fmt: skip


def ledger(*statements: Statement | Missing, opening: Books = NOTHING) -> Ledger:
    return Ledger(REFERENCE, statements=statements, before=[], opening=opening)


def flow(units: int, kind: str = "deposit", seq: int = 1) -> dict[str, Any]:
    return {"shard": 0, "seq": seq, "type": kind, "account": 1, "asset": "USD", "amount_units": units}


def books(units: int, *, deposits: int = 0, withdrawals: int = 0, shard: int = 0, **more: Any) -> Books:
    held = tuple(Holding(shard, account, "USD", units) for account in more.pop("accounts", [1]))
    cash = (CashTotal(shard, "USD", deposits, withdrawals, 0),)
    return Books(**{"positions": (), "holdings": held, "cash": cash, "fees": ()} | more)


def test_without_a_statement_cash_flows_are_held_against_all_there_ever_were() -> None:
    found = ledger(NO_STATEMENT)
    found.cash_flow(flow(300))
    found.cash_flow(flow(-100, "withdrawal"))
    found.close(books(200, deposits=300, withdrawals=70))
    [difference] = found.result().differences
    assert (difference.what, difference.subject, difference.where) == (
        "withdrawals", "USD", f"shard 0, at the end of {DAY}",
    )  # fmt: skip
    assert [said.value for said in difference.said] == [100, 70]
    assert "(0.30 less)" in difference.text()


def test_a_shard_that_only_a_table_knows_of_was_not_held_against_the_engine() -> None:
    found = ledger(STATEMENT)
    found.cash_flow(flow(300))
    closing = books(300, deposits=300)
    found.close(closing)
    assert found.result().with_engine
    found = ledger(STATEMENT)
    found.cash_flow(flow(300))
    found.close(dataclasses.replace(closing, holdings=(*closing.holdings, Holding(1, 1, "USD", 0))))
    assert (found.result().ok, found.result().with_engine) == (True, False)
    assert "were not held against the engine's ledger" in found.result().headline


def test_a_statement_of_a_part_of_a_whole_day_is_noted() -> None:
    assert ledger(STATEMENT).result().notes == ()
    [note] = ledger(dataclasses.replace(STATEMENT, partial=True)).result().notes
    assert note == "The statement of shard 0 is of a part of the day: as of record 9."


def test_what_came_behind_the_statements_record_is_not_in_its_sums() -> None:
    found = ledger(STATEMENT)
    for row in (flow(300, seq=9), flow(50, seq=10)):
        found.cash_flow(row)
    found.close(books(350, deposits=350))
    assert found.result().differences == ()


def test_all_differences_are_counted_and_the_first_ones_kept() -> None:
    count = DIFFERENCES_KEPT + 5
    found = ledger(NO_STATEMENT)
    found.close(books(1, accounts=range(1, count + 1)))
    result = found.result()
    assert (result.difference_count, len(result.differences)) == (count, DIFFERENCES_KEPT)
    assert result.headline.startswith(f"{count} differences: balance of account 1, USD")
    assert result.headline.endswith(f"(and {count - 1} more)")


def test_a_payout_takes_from_the_fees_what_an_account_gets() -> None:
    found = ledger(NO_STATEMENT)
    for seq, (units, kind) in enumerate([(360, "deposit"), (40, "payout"), (-100, "withdrawal")], 1):
        found.cash_flow(flow(units, kind, seq))
    assert {what: total.now for (what, _, _), total in found.totals.items()} == {
        "deposits": 360, "fees": -40, "withdrawals": 100,
    }  # fmt: skip
    assert found.balances[0, 1, "USD"].now == 300


def test_a_day_that_begins_without_a_statement_begins_with_what_the_tables_say() -> None:
    position = Position(1, "A/USD", 1, 7, 0, 0, 0, "USD")
    fees = (FeeTotal(0, "USD", 5),)
    opening = books(200, deposits=205, positions=(position,), fees=fees)
    found = ledger(NO_STATEMENT, opening=opening)
    assert not found.from_nothing
    found.cash_flow(flow(10))
    closing = books(210, deposits=215, positions=(position,), fees=fees)
    found.close(closing)
    assert found.result().differences == ()
    assert found.result().checks["positions: executions with tables"] == 1
    assert found.totals["fees", 0, "USD"].now == 5
    altered = ledger(NO_STATEMENT, opening=opening)
    altered.cash_flow(flow(10))
    altered.close(dataclasses.replace(closing, positions=(position._replace(position_lots=8),)))
    [difference] = altered.result().differences
    assert (difference.what, [said.value for said in difference.said]) == ("position", [7, 8])


@pytest.mark.parametrize(
    ("engine", "summed", "table", "alone"),
    [
        (None, 1, 2, ""),
        (1, 2, 1, "executions or cash flows stand alone"),
        (1, 1, 2, "the table balances stands alone"),
        (2, 1, 1, "the engine's ledger stands alone"),
        (1, 2, 3, "no two of them agree"),
    ],
)
def test_of_three_sides_the_one_that_stands_alone_is_suspected(
    engine: int | None, summed: int, table: int, alone: str
) -> None:
    assert suspect(engine, summed, table, "balances").startswith(alone)
    assert bool(suspect(engine, summed, table, "balances")) == bool(alone)
