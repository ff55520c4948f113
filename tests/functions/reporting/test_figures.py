"""A day's figures out of real tables: they agree with the engine's ledger, and with the slow and obvious way."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pyarrow.parquet
import pytest

from engine_node._engine import Core
from functions.reporting import rows
from functions.reporting.database import opened
from functions.reporting.figures import DayFigures, Figures, RowsInvalid
from functions.reporting.page import render
from ironbook.archive.replay import Replay
from ironbook.archive.statements import parse_day
from tests.functions.reporting import market, oracle
from tests.functions.reporting.days import DAY_NS, figures, missing, parsed

EMPTY = rows.Books(positions=(), holdings=(), cash=(), fees=())


def start_ns(day: str) -> int:
    return market.end_ns(day) - DAY_NS


def said(day: str) -> Any:
    return parsed(market.as_json(market.statement(day)), day)


def before(day: str) -> list[Any]:
    index = market.DAYS.index(day)
    return [said(market.DAYS[index - 1])] if index else []


def arrivals(day: str) -> list[rows.Arrival]:
    """The best prices before each order, as the archive's verifier finds them."""
    closed: list[Any] = []
    core = Core(**{**market.flow().options, "event_mask": market.EVENT_MASK})
    made = Replay(core, shard=0, on_day=lambda found, replay: closed.append(found), only=parse_day(day))
    made.feed(market.flow().records)
    made.end()
    [found] = [one for one in closed if one.day == parse_day(day)]
    table = pyarrow.parquet.read_table(io.BytesIO(found.arrivals)).to_pylist()
    return [rows.Arrival(0, row["seq"], row["symbol"], row["bid_ticks"], row["ask_ticks"]) for row in table]


def of_day(url: str, day: str, *, known: list[rows.Arrival] | None = None) -> Figures:
    best = None if known is None else iter(known)
    return figures(url, day, start_ns(day), statements=[said(day)], before=before(day), arrivals=best)


def executions(url: str, day: str) -> list[Any]:
    async def read() -> list[Any]:
        async with opened({"dsn": url}, "disable") as database:
            start = start_ns(day)
            return [row async for part in database.stream("executions", start, start + DAY_NS) for row in part]

    return asyncio.run(read())


@pytest.mark.parametrize("day", market.DAYS)
def test_a_day_of_every_kind_of_event_reconciles_to_the_unit(market_url: str, day: str) -> None:
    found = of_day(market_url, day)
    assert found.reconciliation.differences == ()
    assert found.reconciliation.with_engine
    assert found.reconciliation.headline.startswith("Everything agrees to the unit")
    compared = set(found.reconciliation.checks)
    assert {"balances: executions with the engine", "positions: executions with the engine"} <= compared


@pytest.mark.parametrize("day", market.DAYS)
def test_fees_of_accounts_and_of_symbols_are_what_the_ledger_took_meanwhile(market_url: str, day: str) -> None:
    found = of_day(market_url, day)
    took = dict(said(day).fees)
    for statement in before(day):
        took = {asset: units - statement.fees.get(asset, 0) for asset, units in took.items()}
    for row in executions(market_url, day):
        if row["type"] == "adjustment":  # a bust gives the fees back
            took[found.instruments[row["symbol"]].quote] += row["amount_units"]
    took = {asset: units for asset, units in took.items() if asset in {one.quote for one in found.instruments.values()}}
    by_symbol = dict.fromkeys(took, 0)
    by_account = dict.fromkeys(took, 0)
    for symbol in found.symbols:
        by_symbol[symbol.instrument.quote] += symbol.fees_units
    for account in found.accounts:
        by_account[account.quote] += account.fees_units
    assert by_symbol == by_account
    if not any(row["type"] == "applied" and row["kind"] == "fee_payout" for row in executions(market_url, day)):
        assert by_account == took


@pytest.mark.parametrize("with_arrivals", [True, False], ids=["arrival prices", "last trades"])
@pytest.mark.parametrize("day", market.DAYS)
def test_costs_are_those_of_the_slow_and_obvious_way(market_url: str, day: str, with_arrivals: bool) -> None:
    known = arrivals(day) if with_arrivals else None
    found = of_day(market_url, day, known=known)
    worth = {name: one.quote_units_per_tick_lot for name, one in found.instruments.items()}
    best = None if known is None else {one.seq: (one.bid_ticks, one.ask_ticks) for one in known}
    slow = oracle.costs(executions(market_url, day), best, worth)
    for row in found.tables["best_execution"]:
        assert isinstance(row, tuple)
        told: Any = row
        if told.order_type == "entered before":
            continue
        expected = slow[told.account, told.symbol, told.order_type]
        assert (told.order_count, told.filled_order_count) == (expected["orders"], expected.get("filled_orders", 0))
        for name, field in (
            ("interval_cost_units", told.interval_cost_units), ("interval_units", told.interval_units),
            ("arrival_cost_halves", told.arrival_cost_half_units), ("arrival_halves", told.arrival_half_units),
        ):  # fmt: skip
            assert field == expected.get(name, 0), name
    lines: Any = found.tables["best_execution"]
    entered = {(one.account, one.symbol, one.order_type): one for one in lines}
    assert set(slow) <= set(entered)


def test_times_to_first_fill_and_end_are_those_of_the_slow_and_obvious_way(market_url: str) -> None:
    day = market.DAYS[1]
    found = of_day(market_url, day)
    worth = {name: one.quote_units_per_tick_lot for name, one in found.instruments.items()}
    slow = oracle.orders(executions(market_url, day), None, worth).values()
    for name in ("first_ns", "done_ns"):
        times = sorted(order[name] for order in slow if order[name] is not None)
        spread = found.overall.first_fill_ns if name == "first_ns" else found.overall.done_ns
        assert spread.count == len(times)
        assert (spread.least, spread.greatest) == (times[0], times[-1])
        exact, near = times[(len(times) + 1) // 2 - 1], spread.quantile(1, 2)
        assert near is not None
        assert abs(near - exact) <= exact // 128 + 1


def test_day_costs_of_both_sides_of_all_trades_come_to_nothing(market_url: str) -> None:
    for group in of_day(market_url, market.DAYS[1]).by_symbol:
        # what buyers paid above the VWAP is what sellers got above it, but for the rounding of each account
        assert abs(group.day_cost_units) <= 2 * 7 * 4
        assert group.counts["maker_lots"] * 2 <= group.counts["filled_lots"]


def test_without_a_statement_the_page_says_so_and_the_tables_are_compared_alone(market_url: str) -> None:
    day = market.DAYS[1]
    found = figures(market_url, day, start_ns(day))
    assert found.reconciliation.ok
    assert not found.reconciliation.with_engine
    assert "not held against the engine's ledger" in found.reconciliation.headline
    page = render(found)
    assert "Not held against the engine" in page
    assert "it must be in the archive, is not" in page


def test_a_page_says_which_price_orders_were_measured_against(market_url: str) -> None:
    day = market.DAYS[1]
    assert "The archive has no arrival prices of this day" in render(of_day(market_url, day))
    with_prices = render(of_day(market_url, day, known=arrivals(day)))
    assert "measured against the middle of best bid and best ask" in with_prices


def test_the_same_rows_give_the_same_page_to_the_byte(market_url: str) -> None:
    day = market.DAYS[1]
    assert render(of_day(market_url, day)) == render(of_day(market_url, day))


def test_an_empty_day_is_a_report_with_nothing_in_it() -> None:
    empty = reference()
    found = DayFigures(empty, statements=[missing(empty.day)], before=[], opening=EMPTY).close(EMPTY, [])
    assert found.reconciliation.ok
    assert not any(found.tables[name] for name in ("fees", "symbols", "best_execution", "latency", "reconciliation"))
    assert "nothing to show" in render(found)


def test_executions_out_of_order_or_of_an_unknown_symbol_are_refused_with_where() -> None:
    made = DayFigures(reference(), statements=[], before=[], opening=EMPTY)
    row = {"shard": 0, "seq": 7, "n": 0, "type": "accepted", "account": 1, "symbol": "A/B", "key": 0}
    with pytest.raises(RowsInvalid, match="'A/B' is not") as refused:
        made.execution(row)
    assert "record 7 of shard 0" in str(refused.value)
    with pytest.raises(RowsInvalid, match="must come in the order"):
        made.execution(row)


def reference() -> rows.Reference:
    return rows.Reference(
        day="2026-11-21", start_ns=0, end_ns=DAY_NS, partial=False, assets={}, instruments={}, accounts={}
    )
