"""Positions, results and worth of an account: the same whether memory, the database or both tell them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Stack
from tests.support.node import ROOT, wait_until

TRADERS = ("alice", "bob", "carol")
COMPARED = ("symbol", "position", "average_price", "cost", "realised", "fees", "quote", "fill_count")
DAYS_COMPARED = (
    "day", "symbol", "realised", "fees", "unrealised", "fill_count", "winning_count", "losing_count", "volume",
)  # fmt: skip


def read(stack: Stack, key_id: str, path: str, **more: Any) -> Any:
    """A signed read that must be answered."""
    status, answer = stack.signed(key_id, "GET", f"/api/v1/{path}", **more)
    assert status == 200, answer
    return answer


def command_line(stack: Stack, command: str) -> list[dict[str, Any]]:
    """Rows of `ironbook positions` or `pnl`, from the same database."""
    run = subprocess.run(
        [sys.executable, "-m", "ironbook", command, "--json", "--last", "1000", "--database", stack.database],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in run.stdout.splitlines()]


def trade(stack: Stack, seed: int, count: int) -> None:
    """Orders of three accounts around the price, that cross and are cancelled and reverse positions."""
    chance = random.Random(seed)
    for _ in range(count):
        symbol, middle = chance.choice((("BTC/USD", 60_000), ("ETH/USD", 3_000)))
        body = {
            "symbol": symbol, "side": chance.choice(("buy", "sell")), "self_trade_prevention": "cancel_maker",
            "quantity": f"{chance.randint(1, 50) / 1000}", "price": str(middle + chance.randint(-30, 30)),
        }  # fmt: skip
        status, answer = stack.signed(chance.choice(TRADERS), "POST", "/api/v1/orders", json=body)
        assert status == 200, answer


def bust_and_correct(stack: Stack) -> None:
    """Undo alice's newest trade in BTC/USD and lower the price and quantity of the one before."""
    newest, before = read(stack, "alice", "executions", symbol="BTC/USD", limit=2)["items"]
    with stack.client() as admin:
        admin.bust_trade(1, newest["trade_id"]).raise_if_rejected()
        price_ticks = int(Fraction(before["price"]) * 100) - 50
        quantity_lots = max(1, int(Fraction(before["quantity"]) * 10_000) // 2)
        admin.correct_trade(
            1, before["trade_id"], price_ticks=price_ticks, quantity_lots=quantity_lots
        ).raise_if_rejected()
        sequence = (
            admin.correct_trade(1, before["trade_id"], price_ticks=price_ticks - 1, quantity_lots=quantity_lots)
            .raise_if_rejected()
            .answer.sequence
        )
    wait_until(lambda: replica(stack)["sequence"] >= sequence, 10, "the gateway must have applied it")


def replica(stack: Stack) -> dict[str, float]:
    """Figures of the gateway's replica."""
    [found] = [part for part in stack.get("/health")[1]["parts"] if part["name"] == "replica"]
    return dict(found["figures"])


def lots(stack: Stack, key_id: str) -> dict[str, str]:
    """Positions that are not zero."""
    rows = read(stack, key_id, "positions")["items"]
    return {row["symbol"]: row["position"] for row in rows if row["position_lots"]}


def lots_of_the_engine(stack: Stack, key_id: str) -> dict[str, str]:
    """The same as the core itself has them."""
    rows = read(stack, key_id, "risk")["positions"]
    return {row["symbol"]: row["position"] for row in rows if Fraction(row["position"])}


@pytest.fixture(scope="module")
def traded(stack: Stack) -> Stack:
    trade(stack, 7, 250)
    return stack


def positions(stack: Stack, key_id: str) -> list[dict[str, Any]]:
    """As the API tells them, in what the command line tells, too."""
    return [{name: row[name] for name in COMPARED} for row in read(stack, key_id, "positions")["items"]]


def test_positions_are_those_of_analytics_and_are_so_at_once(traded: Stack) -> None:
    at_once = {key_id: positions(traded, key_id) for key_id in TRADERS}
    assert all(row["fill_count"] > 10 for rows in at_once.values() for row in rows)
    accounts = dict(zip(TRADERS, (1, 2, 3), strict=True))

    def told() -> dict[str, list[dict[str, Any]]]:
        rows = command_line(traded, "positions")
        return {
            key_id: [{name: row[name] for name in COMPARED} for row in rows if row["account"] == account]
            for key_id, account in accounts.items()
        }

    wait_until(lambda: told() == at_once, 20, "analytics must come to the same positions")
    assert {key_id: positions(traded, key_id) for key_id in TRADERS} == at_once


def test_profit_and_loss_of_days_is_that_of_analytics(traded: Stack) -> None:
    def ours(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in DAYS_COMPARED)

    def same() -> bool:
        rows = command_line(traded, "pnl")
        found = {key_id: sorted(map(ours, read(traded, key_id, "pnl/daily")["items"])) for key_id in TRADERS}
        return found == {
            key_id: sorted(ours(row) for row in rows if row["account"] == account)
            for account, key_id in enumerate(TRADERS, 1)
        }

    wait_until(same, 20, "analytics must come to the same days")


def test_profit_and_loss_adds_up_to_the_cash_that_moved(traded: Stack) -> None:
    for key_id in TRADERS:
        rows = {row["symbol"]: row for row in read(traded, key_id, "positions")["items"]}
        total = read(traded, key_id, "pnl")["totals"]
        assert [row["asset"] for row in total] == ["USD"]
        for name in ("realised", "unrealised", "fees"):
            assert Fraction(total[0][name]) == sum(Fraction(row[name]) for row in rows.values())
        usd = next(row for row in read(traded, key_id, "balances")["items"] if row["asset"] == "USD")
        moved = sum(Fraction(row["realised"]) - Fraction(row["cost"]) - Fraction(row["fees"]) for row in rows.values())
        assert Fraction(usd["total"]) == 10_000_000 + moved


def test_unrealised_is_position_times_last_price_less_cost(traded: Stack) -> None:
    for row in read(traded, "alice", "positions")["items"]:
        value = Fraction(row["position"]) * Fraction(row["last_price"])
        assert Fraction(row["unrealised"]) == value - Fraction(row["cost"])


def test_the_portfolio_is_worth_its_assets_at_last_prices(traded: Stack) -> None:
    found = read(traded, "alice", "portfolio")
    prices = {row["asset"]: Fraction(row["price"]) for row in found["items"]}
    assert found["asset"] == "USD"
    assert prices["USD"] == 1
    assert prices["BTC"] == Fraction(read(traded, "alice", "positions", symbol="BTC/USD")["items"][0]["last_price"])
    total = sum(Fraction(row["value"]) for row in found["items"])
    assert Fraction(found["total"]) == total
    in_btc = read(traded, "alice", "portfolio", asset="BTC")
    assert abs(Fraction(in_btc["total"]) * prices["BTC"] - total) < 1
    status, answer = traded.signed("alice", "GET", "/api/v1/portfolio", asset="EUR")
    assert (status, answer["error"]["code"]) == (400, "parameter")


def test_analytics_are_sums_over_the_days(traded: Stack) -> None:
    found = read(traded, "bob", "analytics")
    days = read(traded, "bob", "pnl/daily")["items"]
    assert found["trades"] == sum(row["fill_count"] for row in days)
    assert found["winners"] == sum(row["winning_count"] for row in days)
    assert found["losers"] == sum(row["losing_count"] for row in days)
    assert found["winners"] > 0 < found["losers"]
    assert Fraction(found["gross_profit"]) - Fraction(found["gross_loss"]) == Fraction(found["realised"])
    assert Fraction(found["realised"]) == sum(Fraction(row["realised"]) for row in days)
    ratio = Fraction(found["gross_profit"]) / Fraction(found["gross_loss"])
    assert abs(Fraction(found["profit_factor"]) - ratio) < Fraction(1, 10**5)
    rate = Fraction(found["winners"], found["winners"] + found["losers"])
    assert abs(Fraction(found["win_rate"]) - rate) < Fraction(1, 10**5)
    assert [row["symbol"] for row in found["by_symbol"]] == ["BTC/USD", "ETH/USD"]
    for name in ("realised", "fees", "volume", "gross_profit"):
        assert Fraction(found[name]) == sum(Fraction(row[name]) for row in found["by_symbol"])
    [day] = read(traded, "bob", "analytics/daily-pnl")["items"]
    assert (day["net"], day["cumulative"]) == (found["net"], found["net"])
    assert Fraction(found["max_drawdown"]) == max(0, -Fraction(found["net"]))
    of_one = read(traded, "bob", "analytics", symbol="ETHUSD")
    assert of_one["realised"] == found["by_symbol"][1]["realised"]


def test_executions_come_in_pages_newest_first_without_a_gap(traded: Stack) -> None:
    seen: list[tuple[int, int]] = []
    after: dict[str, Any] = {}
    while True:
        page = read(traded, "carol", "executions", limit=7, **after)
        seen += [(row["sequence"], row["n"]) for row in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    count = sum(row["fill_count"] for row in read(traded, "carol", "positions")["items"])
    assert len(seen) == count
    assert seen == sorted(set(seen), reverse=True)
    bad = traded.signed("carol", "GET", "/api/v1/executions", after="7")
    assert (bad[0], bad[1]["error"]["code"]) == (400, "parameter")


def test_a_day_that_is_none_is_refused_and_days_can_be_chosen(traded: Stack) -> None:
    assert read(traded, "alice", "pnl/daily", from_day="2020-01-01", to_day="2020-12-31")["items"] == []
    assert read(traded, "alice", "pnl/daily", from_day="2020-01-01")["items"]
    status, answer = traded.signed("alice", "GET", "/api/v1/pnl/daily", from_day="2020-02-30")
    assert (status, answer["error"]["code"]) == (400, "parameter")


def test_after_a_restart_of_the_gateway_nothing_of_it_is_lost(traded: Stack) -> None:
    before = {key_id: positions(traded, key_id) for key_id in TRADERS}
    executions = read(traded, "alice", "executions", limit=1000)
    traded.restart_gateway()
    assert {key_id: positions(traded, key_id) for key_id in TRADERS} == before
    assert read(traded, "alice", "executions", limit=1000) == executions
    trade(traded, 8, 40)
    assert {key_id: positions(traded, key_id) for key_id in TRADERS} != before
    test_positions_are_those_of_analytics_and_are_so_at_once(traded)


def test_busts_and_corrections_are_in_positions_at_once_and_stay_so(traded: Stack) -> None:
    bust_and_correct(traded)
    for key_id in TRADERS:
        assert lots(traded, key_id) == lots_of_the_engine(traded, key_id)
    test_positions_are_those_of_analytics_and_are_so_at_once(traded)
    test_profit_and_loss_of_days_is_that_of_analytics(traded)
    test_profit_and_loss_adds_up_to_the_cash_that_moved(traded)


def test_without_a_database_positions_are_those_of_memory(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        trade(stack, 9, 60)
        bust_and_correct(stack)
        for key_id in TRADERS:
            assert lots(stack, key_id) == lots_of_the_engine(stack, key_id)
        test_profit_and_loss_adds_up_to_the_cash_that_moved(stack)
        found = read(stack, "alice", "analytics")
        assert found["trades"] > 0
        assert found["orders"] is None
        trade(stack, 10, 30)  # what was folded goes on from there, and is what one fold of everything gives
        in_parts = [read(stack, key_id, path) for key_id in TRADERS for path in ("positions", "pnl/daily")]
        stack.restart_gateway()
        assert [read(stack, key_id, path) for key_id in TRADERS for path in ("positions", "pnl/daily")] == in_parts
        status, answer = stack.signed("alice", "GET", "/api/v1/risk/alerts")
        assert (status, answer["error"]["code"]) == (503, "history_away")


def test_a_key_without_an_account_has_no_positions(stack: Stack) -> None:
    status, answer = stack.signed("admin", "GET", "/api/v1/positions")
    assert (status, answer["error"]["code"]) == (401, "unauthorized")
