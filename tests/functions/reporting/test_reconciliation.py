"""What is altered, missing or too much in the tables is the headline, with account, asset, amounts and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from engine_node._engine import Core
from functions.reporting.figures import DayFigures, Figures
from functions.reporting.page import render
from functions.reporting.reconciliation import Difference, Reconciliation
from functions.reporting.rows import (
    Asset,
    Books,
    CashTotal,
    FeeTotal,
    Holding,
    Instrument,
    Position,
    Profit,
    Reference,
)
from functions.reporting.statement import Statement
from schemas.vocabulary import RECORD_BYTES
from tests.functions.reporting import market
from tests.functions.reporting.days import DAY_NS, figures, missing, parsed
from tests.support.services import create_database, drop_database

DAY = market.DAYS[1]
START_NS = market.end_ns(DAY) - DAY_NS
OF_DAY = f"received_ns >= {START_NS} AND received_ns < {START_NS + DAY_NS}"
A_FILL = (
    f"SELECT shard, seq, n FROM executions WHERE type = 'filled' AND {OF_DAY} AND fee_units > 0 ORDER BY seq, n LIMIT 1"
)

NOTHING = Books(positions=(), holdings=(), cash=(), fees=())

Altered = Callable[[str], Figures]


def said(day: str) -> Statement:
    found = parsed(market.as_json(market.statement(day)), day)
    assert isinstance(found, Statement)
    return found


@pytest.fixture
def url(market_url: str, postgres_server: str) -> Iterator[str]:
    """A database of this test alone, with the flow of all days."""
    made = create_database(postgres_server, template=market_url.rpartition("/")[2].partition("?")[0])
    yield made
    drop_database(made, postgres_server)


@pytest.fixture
def altered(url: str) -> Altered:
    """The figures of a day after a statement has changed what the tables say."""

    def change(statement: str) -> Figures:
        with psycopg.connect(url) as connection:
            count = connection.execute(statement.encode()).rowcount
            assert count >= 1, "the statement must change something"
        return read(url)

    return change


def read(url: str) -> Figures:
    return figures(url, DAY, START_NS, statements=[said(DAY)], before=[said(market.DAYS[0])])


def one(url: str, query: str) -> tuple[Any, ...]:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row


def differences(found: Figures, what: str) -> list[Difference]:
    return [one for one in found.reconciliation.differences if one.what == what]


def sides(difference: Difference) -> dict[str, int | None]:
    return {said.source: said.value for said in difference.said}


def test_an_altered_fee_is_the_headline_with_account_asset_amounts_and_where(url: str, altered: Altered) -> None:
    account, quote, decimals = one(
        url,
        "SELECT e.account, e.quote, a.decimals FROM executions e JOIN assets a ON a.asset = e.quote "
        f"WHERE (e.shard, e.seq, e.n) = ({A_FILL})",
    )
    found = altered(f"UPDATE executions SET fee_units = fee_units + 7 WHERE (shard, seq, n) IN ({A_FILL})")
    result = found.reconciliation
    assert not result.ok
    first = result.differences[0]
    assert (first.what, first.account, first.subject) == ("balance", account, quote)
    told = sides(first)
    engine, summed = told["engine's ledger"], told["executions and cash flows"]
    assert engine is not None
    assert summed == engine - 7
    assert told["table balances"] == engine
    assert "executions or cash flows stand alone" in first.note
    assert f"{7 / 10**decimals:.{decimals}f} less" in result.headline
    assert f"account {account}, {quote}" in result.headline
    assert "shard 0, as of record" in result.headline
    assert [one.account for one in differences(found, "fees")] == [0, account]  # all of them, and those of daily_pnl
    page = render(found)
    assert page.index("Does not reconcile") < page.index("<main>") + 200
    assert result.headline.replace("'", "&#x27;") in page


def test_a_missing_fill_is_told_with_its_trade_and_both_what_it_moved(url: str, altered: Altered) -> None:
    account, symbol, trade_id = one(
        url, f"SELECT account, symbol, trade_id FROM executions WHERE (shard, seq, n) = ({A_FILL})"
    )
    found = altered(f"DELETE FROM executions WHERE (shard, seq, n) IN ({A_FILL})")
    assert found.reconciliation.differences[0].account == account
    assert [(one.account, one.subject) for one in differences(found, "position")] == [(account, symbol)]
    assert len(differences(found, "balance")) == 2
    [fault] = differences(found, "fills")
    assert f"trade {trade_id} must have a buyer's and a seller's fill" in fault.note


def test_both_fills_of_a_trade_that_are_gone_are_missed(url: str, altered: Altered) -> None:
    symbol, trade_id = one(
        url,
        f"SELECT symbol, trade_id FROM executions e WHERE type = 'filled' AND {OF_DAY} AND EXISTS (SELECT FROM "
        f"executions x WHERE x.symbol = e.symbol AND x.trade_id = e.trade_id + 1 AND x.{OF_DAY}) AND EXISTS (SELECT "
        f"FROM executions x WHERE x.symbol = e.symbol AND x.trade_id = e.trade_id - 1 AND x.{OF_DAY}) LIMIT 1",
    )
    found = altered(f"DELETE FROM executions WHERE symbol = '{symbol}' AND trade_id = {trade_id} AND type = 'filled'")
    assert any(f"both fills of trade {trade_id} are missing" in one.note for one in differences(found, "fills"))
    [trades] = differences(found, "trades")
    assert (trades.subject, trades.said[0].source, trades.said[1].source) == (symbol, "executions", "table trades")


def test_an_altered_quantity_is_a_fault_of_its_own_row(url: str, altered: Altered) -> None:
    (seq,) = one(url, f"SELECT seq FROM executions WHERE (shard, seq, n) = ({A_FILL})")
    found = altered(f"UPDATE executions SET quantity_lots = quantity_lots + 1 WHERE (shard, seq, n) IN ({A_FILL})")
    faults = [one for one in differences(found, "fills") if "price times quantity" in one.note]
    assert [one.where for one in faults] == [f"shard 0, record {seq}"]


def test_an_altered_balance_is_the_tables_own(url: str, altered: Altered) -> None:
    account, asset = one(url, "SELECT account, asset FROM balances ORDER BY account DESC, asset LIMIT 1")
    found = altered(f"UPDATE balances SET free_units = free_units - 5 WHERE account = {account} AND asset = '{asset}'")
    [first] = found.reconciliation.differences
    assert (first.what, first.account, first.subject) == ("balance", account, asset)
    told = sides(first)
    assert told["engine's ledger"] == told["executions and cash flows"] == (told["table balances"] or 0) + 5
    assert first.note == "the table balances stands alone: its row is altered or old"


def test_an_altered_position_is_the_tables_own(url: str, altered: Altered) -> None:
    account, symbol = one(url, "SELECT account, symbol FROM positions ORDER BY fill_count DESC LIMIT 1")
    found = altered(
        f"UPDATE positions SET position_lots = position_lots + 3 WHERE account = {account} AND symbol = '{symbol}'"
    )
    [position] = differences(found, "position")
    assert (position.account, position.subject) == (account, symbol)
    assert "the table positions stands alone" in position.note
    assert position.where.startswith("shard 0, as of record")


@pytest.mark.parametrize("column", ["realised_units", "fees_units", "fill_count", "volume_units", "winning_count"])
def test_an_altered_figure_of_a_days_profit_is_named(url: str, altered: Altered, column: str) -> None:
    day = market.DAYS[0]
    account, symbol, value = one(
        url, f"SELECT account, symbol, {column} FROM daily_pnl WHERE day = '{day}' ORDER BY account, symbol LIMIT 1"
    )
    altered(
        f"UPDATE daily_pnl SET {column} = {column} + 2 WHERE (account, symbol, day) = ({account}, '{symbol}', '{day}')"
    )
    found = figures(url, day, START_NS - DAY_NS, statements=[said(day)])
    [first] = [one for one in found.reconciliation.differences if one.where.startswith("table daily_pnl")]
    assert (first.account, first.subject) == (account, symbol)
    assert sides(first) == {"executions": value, "table daily_pnl": value + 2}


def test_an_altered_profit_of_a_later_day_does_not_hide_in_the_cost_that_the_day_begins_with(
    url: str, altered: Altered
) -> None:
    account, symbol = one(url, f"SELECT account, symbol FROM daily_pnl WHERE day = '{DAY}' ORDER BY 1, 2 LIMIT 1")
    found = altered(
        f"UPDATE daily_pnl SET realised_units = realised_units + 2 "
        f"WHERE (account, symbol, day) = ({account}, '{symbol}', '{DAY}')"
    )
    told = [one for one in differences(found, "realised") if one.where.startswith("since the beginning")]
    [difference] = told
    assert (difference.account, difference.subject) == (account, symbol)
    stood, summed = (said.value or 0 for said in difference.said)
    assert summed == stood + 2


def test_an_altered_deposit_is_told_with_the_account_and_the_total(url: str, altered: Altered) -> None:
    at = f"SELECT shard, seq, n FROM cash_flows WHERE {OF_DAY} AND type = 'deposit' ORDER BY seq LIMIT 1"
    account, asset = one(url, f"SELECT account, asset FROM cash_flows WHERE (shard, seq, n) = ({at})")
    found = altered(f"UPDATE cash_flows SET amount_units = amount_units + 100 WHERE (shard, seq, n) IN ({at})")
    first = found.reconciliation.differences[0]
    assert (first.what, first.account, first.subject) == ("balance", account, asset)
    assert [one.subject for one in differences(found, "deposits")] == [asset]


def test_a_trade_that_is_gone_from_the_table_of_trades_is_missed(altered: Altered) -> None:
    a_trade = f"SELECT shard, seq, n FROM trades WHERE type = 'trade' AND {OF_DAY} LIMIT 1"
    found = altered(f"DELETE FROM trades WHERE (shard, seq, n) IN ({a_trade})")
    assert [one.what for one in found.reconciliation.differences] == ["trades"]


@pytest.mark.parametrize("kind", ["rejected", "cancelled", "accepted"])
def test_reports_that_are_gone_are_missed_by_their_numbers(url: str, altered: Altered, kind: str) -> None:
    beside = f"FROM executions x WHERE x.key = e.key AND x.{OF_DAY} AND x.report_number = e.report_number"
    key, number = one(
        url,
        f"SELECT key, report_number FROM executions e WHERE type = '{kind}' AND key <> 0 AND {OF_DAY} "
        f"AND EXISTS (SELECT {beside} - 1) AND EXISTS (SELECT {beside} + 1) ORDER BY seq, n LIMIT 1",
    )
    found = altered(f"DELETE FROM executions WHERE (key, report_number) = ({key}, {number})")
    [gap] = differences(found, "reports")
    assert gap.note == f"the next report of key {key} must have number {number}, has {number + 1}: rows are missing"


def test_a_fill_of_another_order_is_told(altered: Altered) -> None:
    found = altered(f"UPDATE executions SET order_id = order_id + 1000000 WHERE (shard, seq, n) IN ({A_FILL})")
    notes = [one.note for one in differences(found, "fills")]
    assert any("must have been accepted and be open when it is filled" in note for note in notes)
    assert len(differences(found, "trades")) == 1


@pytest.mark.parametrize("change", ["maker = NOT maker", "price_ticks = price_ticks + 1"])
def test_fills_that_are_not_those_of_the_table_of_trades_are_told(altered: Altered, change: str) -> None:
    found = altered(f"UPDATE executions SET {change} WHERE (shard, seq, n) IN ({A_FILL})")
    assert any("tables trades and executions" in one.where for one in differences(found, "trades"))


@pytest.mark.parametrize(
    ("table", "column"), [("assets", "decimals"), ("instruments", "base_decimals"), ("instruments", "quote_decimals")]
)
def test_altered_decimals_are_held_against_the_ledgers(altered: Altered, table: str, column: str) -> None:
    found = altered(f"UPDATE {table} SET {column} = {column} + 1")
    told = differences(found, "decimals")
    assert told
    assert all(one.said[1].value == (one.said[0].value or 0) + 1 for one in told)


def test_a_ledger_that_does_not_conserve_is_told_by_asset(market_url: str) -> None:
    true = said(DAY)
    asset = next(iter(true.deposits))
    forged = parsed(market.as_json(market.statement(DAY)), DAY)
    assert isinstance(forged, Statement)
    forged.deposits[asset] += 1
    found = figures(market_url, DAY, START_NS, statements=[forged], before=[said(market.DAYS[0])])
    assert {one.what for one in found.reconciliation.differences} == {"deposits", "conservation"}
    [broken] = differences(found, "conservation")
    assert broken.subject == asset
    assert broken.note == "deposits must be accounts + fees + withdrawals"


def test_a_change_without_a_statement_of_the_day_before_shows_on_the_first_day_all_the_same(url: str) -> None:
    day = market.DAYS[0]
    start_ns = START_NS - DAY_NS
    a_fill = A_FILL.replace(OF_DAY, f"received_ns < {START_NS}").replace("AND fee_units > 0 ", "")
    with psycopg.connect(url) as connection:
        change = f"UPDATE executions SET fee_units = fee_units + 1 WHERE (shard, seq, n) IN ({a_fill})"
        connection.execute(change.encode())
    found: Reconciliation = figures(url, day, start_ns, statements=[missing(day)], before=[missing("")]).reconciliation
    assert found.differences[0].what == "balance"
    assert {one.source for one in found.differences[0].said} == {"executions and cash flows", "table balances"}


def test_a_day_without_the_statement_before_it_says_what_that_hides(market_url: str) -> None:
    found = figures(market_url, DAY, START_NS, statements=[said(DAY)]).reconciliation
    assert found.ok
    assert any("No statement of the engine's ledger of the day before" in note for note in found.notes)


def test_a_statement_of_a_part_of_the_day_is_compared_as_of_its_record(market_url: str) -> None:
    whole = market.flow()
    first = len(whole.until(market.DAYS[0])) // RECORD_BYTES
    last = len(whole.until(DAY)) // RECORD_BYTES
    cut = whole.records[: (first + last) // 2 * RECORD_BYTES]
    then = market.Flow(records=cut[: Core(**whole.options).group_bytes(cut)], options=whole.options)
    said_then = parsed(market.as_json(market.statement(DAY, then) | {"partial": True}), DAY)
    assert isinstance(said_then, Statement)
    assert said_then.balances != said(DAY).balances
    found = figures(
        market_url, DAY, START_NS, statements=[said_then], before=[said(market.DAYS[0])], partial=True
    ).reconciliation
    assert (found.differences, found.with_engine) == ((), True)
    said_then.balances[next(iter(said_then.balances))] = (0, 1)
    wrong = figures(market_url, DAY, START_NS, statements=[said_then], before=[said(market.DAYS[0])], partial=True)
    assert "the engine's ledger stands alone" in wrong.reconciliation.differences[0].note
    assert f"as of record {said_then.sequence:,}" in wrong.reconciliation.headline


def test_shards_are_compared_each_with_its_own_statement() -> None:
    instruments = {
        name: Instrument(name, number, "BTC", "USD", 8, 2, 1_000_000, 1, "1.00", "0.01", 2, 2)
        for number, name in enumerate(("A/USD", "B/USD"), 1)
    }
    assets = {"USD": Asset("USD", 2, 2), "BTC": Asset("BTC", 1, 8)}
    reference = Reference(
        day=DAY, start_ns=0, end_ns=DAY_NS, partial=False, assets=assets, instruments=instruments, accounts={}
    )
    holdings = tuple(
        Holding(shard, account, asset, units)
        for shard in (0, 1)
        for account, asset, units in ((1, "BTC", 1_000_000), (1, "USD", 890), (2, "BTC", -1_000_000), (2, "USD", 1_100))
    )
    positions = tuple(
        Position(account, name, account, lots, cost, 0, fees, "USD")
        for name in instruments
        for account, lots, cost, fees in ((1, 1, 100, 10), (2, -1, -100, 0))
    )
    closing = Books(
        positions=positions, holdings=holdings, cash=tuple(CashTotal(shard, "USD", 2_000, 0, 0) for shard in (0, 1)),
        fees=tuple(FeeTotal(shard, "USD", 10) for shard in (0, 1)),
    )  # fmt: skip

    def read(*, forged: int = 0) -> Reconciliation:
        made = DayFigures(reference, statements=[of_shard(0, 0), of_shard(1, forged)], before=[], opening=NOTHING)
        for shard, name in enumerate(instruments):
            for n, (account, side, fee) in enumerate(((1, "buy", 10), (2, "sell", 0))):
                made.execution({
                    "shard": shard, "seq": 5, "n": n, "received_ns": 1, "type": "filled", "firm": account,
                    "account": account, "symbol": name, "side": side, "order_id": n + 1, "trade_id": 1, "maker": n == 1,
                    "price_ticks": 100, "quantity_lots": 1, "notional_units": 100, "fee_units": fee, "done": True,
                    "key": 0, "auction": False,
                })  # fmt: skip
        for shard in (0, 1):
            for account in (1, 2):
                made.cash_flow({
                    "shard": shard, "seq": account, "type": "deposit", "account": account, "asset": "USD",
                    "amount_units": 1_000,
                })  # fmt: skip
            made.trade({
                "type": "trade", "symbol": f"{'AB'[shard]}/USD", "quantity_lots": 1, "notional_units": 100,
                "trade_id": 1, "price_ticks": 100, "maker_order_id": 2, "taker_order_id": 1, "auction": False,
            })  # fmt: skip
        profits = [
            Profit(account, name, account, 0, fees, 0, 100, 1, 0, 0, 100, 0, 0, "USD")
            for name in instruments
            for account, fees in ((1, 10), (2, 0))
        ]
        return made.close(closing, profits).reconciliation

    agreed = read()
    assert (agreed.differences, agreed.with_engine) == ((), True)
    wrong = read(forged=7)
    assert {one.where for one in wrong.differences} == {"shard 1, as of record 5"}
    assert {one.what for one in wrong.differences} == {"balance", "conservation"}


def of_shard(shard: int, forged: int) -> Statement:
    """The ledger after one trade of each shard; forged: units that nobody else knows of."""
    return Statement(
        shard=shard, day=DAY, partial=False, sequence=5, digest="", decimals={"USD": 2, "BTC": 8},
        balances={
            (1, "BTC"): (1_000_000, 0), (1, "USD"): (890 + forged, 0), (2, "BTC"): (-1_000_000, 0),
            (2, "USD"): (1_000, 100),
        },
        positions={(1, f"{'AB'[shard]}/USD"): 1, (2, f"{'AB'[shard]}/USD"): -1}, fees={"USD": 10},
        deposits={"USD": 2_000}, withdrawals={}, open_orders_count=0, last_event_sequence=5,
    )  # fmt: skip
