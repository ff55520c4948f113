"""/api/v1/risk and /audit: limits and what is used of them, alerts, and who changed what."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.support.gateway import Stack
from tests.support.node import wait_until

ALERT = """
INSERT INTO alerts (alert_id, code, action, scope, firm, account, symbol, limit_value, found_value, text, time_ns)
VALUES ($1, 'daily_loss_exceeded', 'halt', $2, 4, $3, NULL, 100, 150, 'the day''s loss must stay within 100', $4)"""
AUDIT = """
INSERT INTO audit (audit_id, who, what, firm, account, before, after, time_ns)
VALUES ('limits:1', 'admin', 'limits_changed', 4, 4, '{}', '{"daily_loss_units": 100}', $1)"""


def run(stack: Stack, *statements: tuple[Any, ...]) -> None:
    """What the risk worker's topics bring to the database, written as analytics writes it."""

    async def go() -> None:
        line = await asyncpg.connect(stack.database)
        try:
            for sql, *values in statements:
                await line.execute(sql, *values)
        finally:
            await line.close()

    asyncio.run(go())


def read(stack: Stack, key_id: str, path: str, **more: Any) -> Any:
    """A signed read that must be answered."""
    status, answer = stack.signed(key_id, "GET", f"/api/v1/{path}", **more)
    assert status == 200, answer
    return answer


def limits(stack: Stack, **said: int) -> None:
    """Set limits of account 4 as an administrator."""
    status, answer = stack.signed("admin", "PUT", "/api/v1/risk/limits", json={"account": 4} | said)
    assert status == 200, answer


@pytest.fixture
def _no_limits(stack: Stack) -> Any:
    yield
    limits(stack, open_orders_max=0, position_lots_max=0, order_rate_max=0)
    assert stack.signed("dave", "DELETE", "/api/v1/orders")[0] == 200


@pytest.mark.usefixtures("_no_limits")
def test_limits_and_what_is_used_of_them(stack: Stack) -> None:
    before = read(stack, "dave", "risk")
    assert (before["account"], before["halted"], before["everything_halted"]) == (4, False, False)
    limits(stack, open_orders_max=5, position_lots_max=10_000, order_rate_max=50, order_rate_window_ms=60_000)
    for price in ("50000", "50001"):
        stack.order("dave", "BUY", "0.1", price)
    found = read(stack, "dave", "risk")
    assert found["open_orders"] == {"used": before["open_orders"]["used"] + 2, "max": 5}
    assert found["position_lots_max"] == 10_000
    assert (found["order_rate"]["max"], found["order_rate"]["window_ms"]) == (50, 60_000)
    assert found["order_rate"]["used"] >= 2
    assert found["orders_day"]["used"] == before["orders_day"]["used"] + 2
    [position] = [row for row in found["positions"] if row["symbol"] == "BTC/USD"]
    assert (position["open_buy"], position["max"], position["share"]) == ("0.2000", "1.0000", "0.200000")


def test_a_countdown_shows_when_it_ends(stack: Stack) -> None:
    assert read(stack, "dave", "risk")["countdown_ns"] is None
    assert stack.signed("dave", "POST", "/api/v1/controls/countdown", json={"timeout_ms": 60_000})[0] == 200
    assert read(stack, "dave", "risk")["countdown_ns"] > 0
    assert stack.signed("dave", "POST", "/api/v1/controls/countdown", json={"timeout_ms": 0})[0] == 200
    assert read(stack, "dave", "risk")["countdown_ns"] is None


def test_breakers_tell_their_bounds_and_the_state_of_their_instrument(stack: Stack) -> None:
    found = {row["symbol"]: row for row in read(stack, "dave", "risk")["breakers"]}
    assert set(found) == {"BTC/USD", "ETH/USD"}
    shown = read(stack, "dave", "instruments/BTCUSD")
    assert found["BTC/USD"]["breaker"] == shown["breaker"]
    assert found["BTC/USD"]["state"] == shown["state"] == "open"


def test_alerts_of_the_account_and_of_its_firm_come_in_pages(stack: Stack) -> None:
    times = [10**18 + step for step in range(5)]
    rows = [(ALERT, f"daily_loss_exceeded:4:{time_ns}:1", "account", 4, time_ns) for time_ns in times]
    run(stack, *rows, (ALERT, "daily_loss_exceeded:0:7:1", "firm", 0, times[2]), (ALERT, "of-another", "account", 9, 1))
    seen: list[str] = []
    after: dict[str, Any] = {}
    while True:
        page = read(stack, "dave", "risk/alerts", limit=2, **after)
        seen += [row["alert_id"] for row in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert len(seen) == len(set(seen)) == 6
    assert "of-another" not in seen
    assert seen[0].endswith(f":{times[4]}:1")
    assert read(stack, "alice", "risk/alerts")["items"] == []
    status, answer = stack.signed("dave", "GET", "/api/v1/risk/alerts", after="yesterday")
    assert (status, answer["error"]["code"]) == (400, "parameter")


def test_the_audit_has_changes_of_limits_and_administrators_commands(stack: Stack) -> None:
    limits(stack, open_orders_max=7)
    limits(stack, open_orders_max=0)
    run(stack, (AUDIT, 5))

    def commands() -> list[dict[str, Any]]:
        items = read(stack, "admin", "audit", limit=1000)["items"]
        return [row for row in items if row["what"] == "account_limits" and row["account"] == 4]

    wait_until(lambda: len(commands()) >= 2, 20, "administrators' commands must come to the audit")
    newest = commands()[0]
    assert newest["who"]
    assert newest["sequence"] > 0
    assert "admin" in newest["text"]
    whole = read(stack, "admin", "audit", limit=1000)["items"]
    assert [row["time_ns"] for row in whole] == sorted((row["time_ns"] for row in whole), reverse=True)
    assert {"asset", "instrument", "account", "deposit"} <= {row["what"] for row in whole}
    [changed] = [row for row in whole if row["audit_id"] == "limits:1"]
    assert (changed["who"], changed["before"], changed["after"]) == ("admin", {}, {"daily_loss_units": 100})


def test_the_audit_comes_in_pages_and_to_a_trader_only_its_own(stack: Stack) -> None:
    seen: list[str] = []
    after: dict[str, Any] = {}
    while True:
        page = read(stack, "admin", "audit", limit=7, **after)
        seen += [row["audit_id"] for row in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert len(seen) == len(set(seen)) >= 20
    own = read(stack, "alice", "audit")["items"]
    assert own
    assert {row["account"] for row in own} == {1}
