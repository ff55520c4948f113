"""The proof: a tape played through a real engine and analytics, reported, and held against the engine's own ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.reporting.figures import Figures
from functions.reporting.page import render
from ironbook.tape._source import Source, file_source, flow_source
from ironbook.tape.flow import FlowOptions
from tests.functions.reporting.tape_day import CASH_UNITS, SHARES, TapeDay, play
from tests.support.recorded import AAPL_HOUR, missing
from tests.support.services import create_database, drop_database

pytestmark = pytest.mark.timeout(600)


def aapl() -> Source:
    if reason := missing(AAPL_HOUR):
        pytest.skip(reason)
    return file_source(AAPL_HOUR, "lobster", 0, "", 0)


@pytest.fixture(scope="module", params=["recorded", "seeded"])
def tape_day(
    request: pytest.FixtureRequest, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TapeDay]:
    source = aapl() if request.param == "recorded" else flow_source(6_000, FlowOptions(seed=5))
    url = create_database(postgres_server)
    yield play(source, url, tmp_path_factory.mktemp("tape-day"))
    drop_database(url, postgres_server)


@pytest.fixture(scope="module")
def found(tape_day: TapeDay) -> Figures:
    return tape_day.figures()


def test_the_day_reconciles_with_the_engines_ledger_to_the_unit(found: Figures) -> None:
    assert found.reconciliation.differences == ()
    assert found.reconciliation.with_engine
    trades = sum(symbol.trade_count for symbol in found.symbols)
    assert found.reconciliation.checks["trades: both sides"] == trades > 300


def test_totals_are_those_of_a_replica_of_the_journal(tape_day: TapeDay, found: Figures) -> None:
    ledger = tape_day.ledger
    fees = {row["asset"]: row["units"] for row in ledger["fees"]}
    [symbol] = found.symbols
    assert symbol.fees_units == sum(row.fees_units for row in found.accounts) == fees["USD"]
    assert symbol.trade_count == tape_day.played.fills
    positions = {(row["account"], row["symbol"]): row["position_lots"] for row in ledger["positions"]}
    assert {(row.account, row.symbol): row.position_lots for row in found.accounts if row.position_lots} == positions
    held = {(row["account"], row["asset"]): row["free_units"] + row["locked_units"] for row in ledger["balances"]}
    for row in found.accounts:
        paid = row.realised_units - row.cost_units - row.fees_units
        assert held[row.account, "USD"] == CASH_UNITS + paid
        assert held[row.account, row.symbol.removesuffix("/USD")] == SHARES + row.position_lots


def test_profits_and_losses_of_all_accounts_together_are_the_fees(found: Figures) -> None:
    assert sum(row.realised_units + row.unrealised_units for row in found.accounts) == 0
    assert sum(row.net_units for row in found.accounts) == -sum(row.fees_units for row in found.accounts)


def test_takers_pay_against_the_mid_and_makers_gain(found: Figures) -> None:
    taker, *makers = found.by_account
    assert (taker.ppm("arrival") or 0) > 0
    assert all((maker.ppm("arrival") or 0) < 0 for maker in makers)
    measured = sum(group.counts["mid_orders"] for group in found.by_account)
    assert measured > 0.99 * sum(group.counts["filled_orders"] for group in found.by_account)


def test_without_arrival_prices_orders_are_measured_against_the_last_trade(tape_day: TapeDay) -> None:
    without = tape_day.figures(arrivals=False)
    assert sum(group.counts["mid_orders"] for group in without.by_symbol) == 0
    assert sum(group.counts["trade_orders"] for group in without.by_symbol) > 0
    assert "every order" not in render(without)
    assert "no arrival prices of this day" in render(without)


def test_the_page_shows_the_ledgers_totals(tape_day: TapeDay, found: Figures) -> None:
    page = render(found)
    fees = {row["asset"]: row["units"] for row in tape_day.ledger["fees"]}["USD"]
    assert f"{fees // 10**6:,}.{fees % 10**6:06d}" in page
    [symbol] = found.symbols
    assert f"{symbol.trade_count:,}" in page
    told = re.findall(r'<tr><th scope="row" class="n">(\d+)</th><td>([^<]+)</td><td class="n">(-?[\d,]+)</td>', page)
    shown = told[: len(found.accounts)]
    positions = {(int(account), name): int(lots.replace(",", "")) for account, name, lots in shown}
    assert positions == {(row.account, row.symbol): row.position_lots for row in found.accounts}


def test_a_page_is_small_and_whole(found: Figures, tmp_path: Path) -> None:
    page = render(found)
    assert len(page.encode()) < 200_000
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!#)', page)
