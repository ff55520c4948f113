"""A gateway that ends and begins again says of the past what it said before; and one whose engine goes and comes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.migrations import migrate
from tests.support.gateway import Stack
from tests.support.node import wait_until
from tests.support.services import create_database, drop_database


@pytest.fixture(scope="module")
def stack(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Its memory reaches back no further than the newest snapshot."""
    url = create_database(postgres_server)
    migrate(url)
    with Stack(tmp_path_factory.mktemp("restart"), database=url, replay_records=0) as made:
        yield made
    drop_database(url, postgres_server)


def asked(stack: Stack) -> dict[str, Any]:
    """What clients ask of the past, for both sides of the trades."""
    found: dict[str, Any] = {}
    for key in ("alice", "bob"):
        for path in ("/api/v3/openOrders", "/api/v3/allOrders", "/api/v3/myTrades"):
            found[f"{key} {path}"] = stack.signed(key, "GET", path, symbol="BTCUSD")
        found[f"{key} account"] = stack.signed(key, "GET", "/api/v3/account")[1]["balances"]
        named = {"symbol": "BTCUSD", "origClientOrderId": "mine"}
        found[f"{key} by name"] = stack.signed(key, "GET", "/api/v3/order", **named)
    for path in ("/api/v3/trades", "/api/v3/aggTrades", "/api/v3/depth", "/api/v3/ticker/bookTicker"):
        found[path] = stack.get(path, symbol="BTCUSD")
    for interval in ("1m", "5m", "1h", "1d", "1w"):
        status, rows = stack.get("/api/v3/klines", symbol="BTCUSD", interval=interval, startTime=0)
        found[f"klines {interval}"] = status, [row[:10] for row in rows if row[8]]  # those with trades
    status, ticker = stack.get("/api/v3/ticker/24hr", symbol="BTCUSD")
    moving = ("openTime", "closeTime")
    found["ticker"] = status, {name: value for name, value in ticker.items() if name not in moving}
    return found


def trade_some(stack: Stack, at: int) -> None:
    """A few trades, orders that rest (one with a text for a name, one partly filled), one that was cancelled."""
    for number in range(3):
        stack.order("alice", "SELL", "0.2", f"{at + number}.00")
        stack.order("bob", "BUY", "0.1", f"{at + number}.00")
    stack.order("alice", "BUY", "0.3", "100.00", newClientOrderId=f"rests-{at}")
    gone = stack.order("bob", "BUY", "0.3", "101.00")
    assert stack.signed("bob", "DELETE", "/api/v3/order", symbol="BTCUSD", orderId=gone["orderId"])[0] == 200


def same(stack: Stack, wanted: dict[str, Any]) -> None:
    """From the first answer on: a gateway is not ready before it has what it wants of the database."""
    found = asked(stack)
    assert found == wanted, _difference(found, wanted)


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    return "\n".join(f"{name}:\n  {found[name]}\n  {wanted[name]}" for name in wanted if found[name] != wanted[name])


def test_a_gateway_that_was_restarted_says_what_it_said_before(stack: Stack) -> None:
    stack.order("alice", "SELL", "0.5", "60100.00", newClientOrderId="mine")
    stack.order("bob", "BUY", "0.2", "60100.00", newClientOrderId="mine")
    trade_some(stack, 60_200)
    stack.node.stop()  # its last act is a snapshot
    stack.node.start()
    wait_until(lambda: stack.get("/ready")[0] == 200)
    trade_some(stack, 60_300)
    wanted = asked(stack)
    assert all(one[0] == 200 for one in wanted.values() if isinstance(one, tuple)), wanted
    assert len(wanted["alice /api/v3/allOrders"][1]) == 9
    assert len(wanted["klines 1d"][1]) == 1
    for number in (signal.SIGTERM, signal.SIGKILL):
        stack.restart_gateway(number)
        same(stack, wanted)
    [live] = [line for line in stack.events("mirror_live") if line["began_at"]][-1:]
    assert live["began_at"] > 20
    trade_some(stack, 60_400)
    after = asked(stack)
    assert len(after["alice /api/v3/allOrders"][1]) == 13
    ticker, before = after["ticker"][1], wanted["ticker"][1]
    assert ticker["count"] == before["count"] + 3
    stack.restart_gateway()
    same(stack, after)


def test_orders_go_on_when_the_engine_has_come_back(stack: Stack) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        stack.node.stop(number)
        assert stack.get("/api/v3/depth", symbol="BTCUSD")[0] == 200
        status, refused = stack.signed(
            "alice", "POST", "/api/v3/order", symbol="BTCUSD", side="BUY", type="LIMIT", timeInForce="GTC",
            quantity="0.1", price="50.00",
        )  # fmt: skip
        assert (status, refused["code"]) in ((503, -1001), (504, -1007)), refused
        stack.node.start()
        wait_until(lambda: stack.get("/ready")[0] == 200, 20.0)
        made = stack.order("alice", "BUY", "0.1", "51.00")
        status, found = stack.signed("alice", "GET", "/api/v3/order", symbol="BTCUSD", orderId=made["orderId"])
        assert (status, found["status"]) == (200, "NEW")


def test_the_databases_mark_moves_with_records_that_make_no_events(stack: Stack) -> None:
    def lag() -> int:
        status, health = stack.get("/health")
        assert status == 200
        [database] = [part for part in health["parts"] if part["name"] == "database"]
        return int(database["figures"]["lag_records"])

    wait_until(lambda: lag() == 0)
    stack.client().close()  # a session begins and ends, and nobody is told
    wait_until(lambda: lag() == 0)
