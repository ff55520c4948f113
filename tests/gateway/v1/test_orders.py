"""/api/v1/orders against a running engine: every kind of order goes in, is seen, changes and ends."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.support.gateway import Stack

ORDERS = "/api/v1/orders"


def enter(stack: Stack, key_id: str, side: str, quantity: str | None, price: str | None, **more: Any) -> dict[str, Any]:
    """An order for BTC/USD that must be taken."""
    said = {"symbol": "BTC/USD", "side": side, "quantity": quantity, "price": price} | more
    body = {name: value for name, value in said.items() if value is not None}
    status, answer = stack.signed(key_id, "POST", ORDERS, json=body)
    assert status == 200, answer
    found: dict[str, Any] = answer
    return found


def refused(stack: Stack, key_id: str, **body: Any) -> tuple[int, str]:
    """Status and code of an order that must be refused."""
    status, answer = stack.signed(key_id, "POST", ORDERS, json={"symbol": "BTC/USD", "side": "buy"} | body)
    assert status >= 400, answer
    return status, answer["error"]["code"]


@pytest.fixture(autouse=True)
def _empty_book(stack: Stack) -> None:
    for key_id in ("alice", "bob", "carol"):
        assert stack.signed(key_id, "DELETE", ORDERS)[0] == 200


def test_an_order_rests_is_found_by_either_name_and_is_cancelled(stack: Stack) -> None:
    order = enter(stack, "alice", "buy", "0.5", "59000", client_order_id="first.one")["order"]
    assert order["status"] == "open"
    assert (order["price"], order["quantity"], order["remaining"]) == ("59000.00", "0.5000", "0.5000")
    by_number = stack.signed("alice", "GET", f"{ORDERS}/{order['order_id']}")
    assert by_number == (200, order)
    assert stack.signed("alice", "GET", ORDERS, client_order_id="first.one") == (200, {"items": [order], "next": None})
    assert stack.signed("alice", "GET", ORDERS, symbol="BTCUSD") == (200, {"items": [order], "next": None})
    assert stack.signed("alice", "GET", ORDERS, symbol="ETH/USD")[1]["items"] == []
    status, answer = stack.signed("alice", "DELETE", f"{ORDERS}/{order['order_id']}")
    assert (status, answer["order"]["status"], answer["order"]["code"]) == (200, "cancelled", "cancelled_by_request")
    assert stack.signed("alice", "GET", ORDERS)[1]["items"] == []


def test_fills_are_in_the_answer_and_in_the_executions_of_both(stack: Stack) -> None:
    resting = enter(stack, "alice", "sell", "0.3", "61000")["order"]
    taken = enter(stack, "bob", "buy", "0.2", "61500", time_in_force="immediate_or_cancel")
    assert taken["order"]["status"] == "filled"
    assert taken["order"]["average_price"] == "61000.00"
    [fill] = taken["fills"]
    assert (fill["maker"], fill["quantity"], fill["notional"]) == (False, "0.2000", "12200.000000")
    assert stack.signed("bob", "GET", "/api/v1/executions", limit=1)[1]["items"] == [fill]
    [other] = stack.signed("alice", "GET", "/api/v1/executions", limit=1)[1]["items"]
    assert (other["order_id"], other["maker"], other["trade_id"]) == (resting["order_id"], True, fill["trade_id"])
    found = stack.signed("alice", "GET", f"{ORDERS}/{resting['order_id']}")[1]
    assert (found["status"], found["filled"], found["remaining"]) == ("partly_filled", "0.2000", "0.1000")


def test_an_amended_order_keeps_its_number_and_what_is_left_out(stack: Stack) -> None:
    order = enter(stack, "alice", "buy", "0.5", "59000")["order"]
    path = f"{ORDERS}/{order['order_id']}"
    status, answer = stack.signed("alice", "PATCH", path, json={"quantity": "0.4"})
    assert (status, answer["order"]["price"], answer["order"]["quantity"]) == (200, "59000.00", "0.4000")
    status, answer = stack.signed("alice", "PATCH", path, json={"price": "59100.5"})
    assert (status, answer["order"]["price"], answer["order"]["quantity"]) == (200, "59100.50", "0.4000")
    assert stack.signed("alice", "PATCH", path, json={})[1]["error"]["code"] == "parameter_missing"
    assert stack.signed("bob", "PATCH", path, json={"quantity": "0.1"})[1]["error"]["code"] == "unknown_order"


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"post_only": True}, {"status": "open", "post_only": True}),
        ({"display_quantity": "0.1"}, {"status": "open", "display_quantity": "0.1000", "remaining": "0.5000"}),
        ({"hidden": True}, {"status": "open"}),
        ({"all_or_none": True}, {"status": "open"}),
        ({"day": True}, {"status": "open"}),
        ({"expire_ns": 1 << 62}, {"status": "open", "expire_ns": 1 << 62}),
        ({"peg": "own_best", "offset": "-0.5"}, {"status": "open"}),
        ({"minimum_quantity": "0.1"}, None),
        ({"trigger": "stop", "trigger_price": "65000"}, {"status": "waiting", "trigger": "stop"}),
        ({"trigger": "take_profit", "trigger_price": "50000"}, {"trigger_price": "50000.00", "trigger": "take_profit"}),
        ({"self_trade_prevention": "decrement"}, {"self_trade_prevention": "decrement"}),
        ({"time_in_force": "immediate_or_cancel"}, {"status": "expired", "code": "cancelled_unfilled"}),
        ({"time_in_force": "fill_or_kill"}, None),
    ],
)
def test_all_that_the_engine_knows_of_can_be_said(
    stack: Stack, terms: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    body = {"quantity": "0.5", "price": "59000"} | terms
    if expected is None:  # nothing is there to trade with: the terms reached the engine
        assert refused(stack, "alice", **body) == (400, "unfillable")
        return
    order = enter(stack, "alice", "buy", **body)["order"]
    assert {name: order[name] for name in expected} == expected


def test_a_trailing_stop_follows_the_last_price(stack: Stack) -> None:
    enter(stack, "alice", "sell", "0.01", "60000")
    enter(stack, "bob", "buy", "0.01", "60000")
    order = enter(stack, "alice", "sell", "0.01", "59000", trigger="trailing", offset="100")["order"]
    assert (order["status"], order["trigger"]) == ("waiting", "trailing")


def test_a_market_order_takes_and_one_by_amount_spends_it(stack: Stack) -> None:
    enter(stack, "alice", "sell", "1", "60000")
    taken = enter(stack, "bob", "buy", "0.1", None, type="market")["order"]
    assert (taken["filled"], taken["type"], taken["price"] is None) == ("0.1000", "market", False)
    spent = enter(stack, "bob", "buy", None, None, type="market_by_quote", amount="3000")["order"]
    assert (spent["filled"], spent["notional"]) == ("0.0500", "3000.000000")


def test_linked_orders_end_together_and_cancel_first_takes_ones_place(stack: Stack) -> None:
    first = enter(stack, "alice", "buy", "0.1", "59000")["order"]
    second = enter(stack, "alice", "buy", "0.1", "58000", one_cancels_other=first["order_id"])["order"]
    assert second["linked_order_id"] == first["order_id"]
    enter(stack, "bob", "sell", "0.1", "59000")
    found = stack.signed("alice", "GET", f"{ORDERS}/{second['order_id']}")[1]
    assert (found["status"], found["code"]) == ("expired", "cancelled_linked")
    third = enter(stack, "alice", "buy", "0.1", "57000")["order"]
    fourth = enter(stack, "alice", "buy", "0.2", "57100", cancel_first=third["order_id"])["order"]
    assert [one["order_id"] for one in stack.signed("alice", "GET", ORDERS)[1]["items"]] == [fourth["order_id"]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"quantity": "0.1"}, (400, "parameter_missing")),
        ({"price": "59000"}, (400, "parameter_missing")),
        ({"quantity": "0.1", "price": "59000", "amount": "3"}, (400, "combination")),
        ({"quantity": "0.1", "price": "59000", "trigger_price": "3"}, (400, "combination")),
        ({"quantity": "0.1", "price": "59000", "offset": "3"}, (400, "combination")),
        ({"quantity": "0.1", "price": "59000.001"}, (400, "filter")),
        ({"quantity": "0.00001", "price": "59000"}, (400, "filter")),
        ({"quantity": "0.1", "price": "59000", "type": "market", "post_only": True}, (400, "combination")),
        ({"quantity": "0.1", "price": "1e5"}, (400, "parameter")),
        ({"quantity": "0.1", "price": 59000}, (400, "parameter")),
        ({"quantity": "0.1", "price": "59000", "side": "hold"}, (400, "parameter")),
        ({"quantity": "0.1", "price": "59000", "more": 1}, (400, "parameter")),
        ({"quantity": "0.1", "price": "59000", "client_order_id": "sp ace"}, (400, "parameter")),
        ({"quantity": "0.1", "price": "59000", "client_order_id": "line\n"}, (400, "parameter")),
        ({"quantity": "0.1", "price": "59000", "symbol": "XYZ/USD"}, (400, "symbol")),
        ({"quantity": "900", "price": "59000"}, (400, "insufficient_funds")),
        ({"quantity": "0.1", "price": "59000", "cancel_first": 1}, (400, "unknown_order")),
    ],
)
def test_what_does_not_fit_is_refused_and_says_why(
    stack: Stack, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert refused(stack, "alice", **body) == expected
    assert stack.signed("alice", "GET", ORDERS)[1]["items"] == []


def test_an_order_of_another_account_is_not_there(stack: Stack) -> None:
    order = enter(stack, "alice", "buy", "0.1", "59000")["order"]
    path = f"{ORDERS}/{order['order_id']}"
    assert stack.signed("bob", "GET", path)[1]["error"]["code"] == "no_such_order"
    assert stack.signed("bob", "DELETE", path)[1]["error"]["code"] == "unknown_order"
    assert stack.signed("alice", "GET", ORDERS + "/0")[1]["error"]["code"] == "parameter"
    assert stack.signed("alice", "GET", ORDERS + "/seven")[1]["error"]["code"] == "parameter"


@pytest.mark.parametrize("order_id", ["0" * 4_400 + "1", "9" * 21, str(1 << 63), "٣", "1e3", "-1"])
def test_an_order_id_that_is_none_is_a_bad_parameter(stack: Stack, order_id: str) -> None:
    for method in ("GET", "DELETE"):
        status, answer = stack.signed("alice", method, f"{ORDERS}/{quote(order_id)}")
        assert (status, answer["error"]["code"]) == (400, "parameter")


def test_the_same_signed_request_enters_one_order(stack: Stack) -> None:
    body = '{"symbol":"BTC/USD","side":"buy","quantity":"0.1","price":"59000"}'
    query = urlencode({"timestamp": stack.timestamp_ms()})
    target = f"{ORDERS}?{query}&signature={stack.sign_v1('alice', 'POST', ORDERS, query, body)}"
    headers = {"X-MBX-APIKEY": "alice", "Content-Type": "application/json"}
    answers = [stack.exchange("POST", target, body, headers) for _ in range(2)]
    assert [status for status, *_ in answers] == [200, 400]
    assert answers[1][1]["error"]["code"] == "repeated"
    assert len(stack.signed("alice", "GET", ORDERS)[1]["items"]) == 1


def test_cancelling_all_of_one_instrument_leaves_the_other(stack: Stack) -> None:
    bitcoin = [enter(stack, "alice", "buy", "0.1", price)["order"]["order_id"] for price in ("59000", "59001")]
    ether = enter(stack, "alice", "buy", "1", "2000", symbol="ETH/USD")["order"]["order_id"]
    status, answer = stack.signed("alice", "DELETE", ORDERS, symbol="BTC/USD")
    assert status == 200
    assert [one["order_id"] for one in answer["items"]] == bitcoin
    assert {one["status"] for one in answer["items"]} == {"cancelled"}
    assert [one["order_id"] for one in stack.signed("alice", "GET", ORDERS)[1]["items"]] == [ether]


def test_all_orders_come_in_pages_newest_first_without_a_gap(stack: Stack) -> None:
    entered = [enter(stack, "alice", "buy", "0.1", "59000")["order"]["order_id"] for _ in range(5)]
    assert stack.signed("alice", "DELETE", ORDERS)[0] == 200
    seen: list[int] = []
    after: dict[str, Any] = {}
    while True:
        status, page = stack.signed("alice", "GET", ORDERS, status="all", limit=2, **after)
        assert status == 200
        seen += [one["order_id"] for one in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen[:5] == entered[::-1]
    assert seen == sorted(set(seen), reverse=True)
    bad = stack.signed("alice", "GET", ORDERS, status="all", after="x.y")
    assert (bad[0], bad[1]["error"]["code"]) == (400, "parameter")
