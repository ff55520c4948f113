"""One cancels other in the dialect, through the real core."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.vocabulary import Halt, HaltAction, HaltScope
from tests.gateway.binance.desk import Desk, refusal_of
from tests.support.gateway import Stack

PATH = "/api/v3/orderList/oco"


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as made:
        made.order("SELL", 2, quantity="0.0001")
        made.order("BUY", 3, quantity="0.0001")  # now 60,000 is the last price
        yield made


def pair(desk: Desk, **parameters: object) -> Any:
    """A sale at 62,000, or at 58,000 once the price falls to 59,000."""
    said: dict[str, object] = {"symbol": "BTCUSD", "side": "SELL", "quantity": "0.1"}
    said |= {"aboveType": "LIMIT_MAKER", "abovePrice": "62000", "aboveClientOrderId": "profit"}
    said |= {"belowType": "STOP_LOSS_LIMIT", "belowPrice": "58000", "belowStopPrice": "59000"}
    said |= {"belowTimeInForce": "GTC", "belowClientOrderId": "loss"}
    return desk.call("POST", PATH, **(said | parameters))


def statuses(desk: Desk) -> dict[str, str]:
    return {one["clientOrderId"]: one["status"] for one in desk.call("GET", "/api/v3/allOrders", symbol="BTCUSD")}


def test_a_pair_is_entered_with_one_lock(desk: Desk) -> None:
    made = pair(desk, listClientOrderId="both")
    assert (made["contingencyType"], made["listOrderStatus"], made["listClientOrderId"]) == ("OCO", "EXECUTING", "both")
    assert [one["clientOrderId"] for one in made["orders"]] == ["profit", "loss"]
    assert [one["type"] for one in made["orderReports"]] == ["LIMIT_MAKER", "STOP_LOSS_LIMIT"]
    assert made["orderListId"] == min(one["orderId"] for one in made["orders"])
    told = desk.call("GET", "/api/v3/openOrders", symbol="BTCUSD")
    assert {one["orderListId"] for one in told} == {made["orderListId"]}
    balances = {one["asset"]: one["locked"] for one in desk.call("GET", "/api/v3/account")["balances"]}
    assert balances["BTC"] == "0.10000000"


def test_the_order_that_trades_cancels_the_other(desk: Desk) -> None:
    pair(desk)
    desk.order("BUY", 2, price="62000", quantity="0.05")
    assert statuses(desk) == {"profit": "PARTIALLY_FILLED", "loss": "EXPIRED"}


def test_the_order_that_fires_cancels_the_other(desk: Desk) -> None:
    pair(desk)
    desk.order("SELL", 2, price="59000", quantity="0.0001")
    desk.order("BUY", 3, price="59000", quantity="0.0001")
    assert statuses(desk) == {"profit": "EXPIRED", "loss": "NEW"}


def test_a_list_is_cancelled_by_its_number(desk: Desk) -> None:
    made = pair(desk)
    gone = desk.call("DELETE", "/api/v3/orderList", symbol="BTCUSD", orderListId=made["orderListId"])
    assert (gone["listOrderStatus"], len(gone["orderReports"])) == ("ALL_DONE", 2)
    assert desk.market.open_orders(1) == []
    path = "/api/v3/orderList"
    unknown = (400, -2011, "Unknown order sent.")
    assert desk.refused("DELETE", path, symbol="BTCUSD", orderListId=made["orderListId"]) == unknown
    order = desk.order()
    assert desk.refused("DELETE", path, symbol="BTCUSD", orderListId=order["orderId"]) == unknown


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"abovePrice": "59000"}, -2010),
        ({"belowStopPrice": "61000"}, -2010),
        ({"quantity": "1000000"}, -2010),
        ({"belowPrice": "90000.001"}, -1013),
        ({"belowTimeInForce": "FOK"}, -1128),
        ({"aboveStopPrice": "61000"}, -1106),
    ],
)
def test_a_pair_that_is_refused_leaves_nothing(desk: Desk, parameters: dict[str, object], code: int) -> None:
    desk.order("BUY", 2, price="59500")
    assert refusal_of(lambda: pair(desk, **parameters))[1] == code
    assert desk.market.open_orders(1) == []


@pytest.mark.parametrize("name", ["profit", "loss"])
def test_a_name_that_is_taken_links_nothing(desk: Desk, name: str) -> None:
    order = desk.order("SELL", price="63000", newClientOrderId=name)
    assert refusal_of(lambda: pair(desk)) == (400, -2010, "Duplicate order sent.")
    assert [one.order_id for one in desk.market.open_orders(1)] == [order["orderId"]]


def test_a_first_order_that_has_ended_meanwhile_is_told(desk: Desk) -> None:
    submit, number = desk.submit_parts, 0

    def and_cancel(parts: Any) -> Any:
        nonlocal number
        number += 1
        if number == 2:  # the operator comes between the two orders
            desk.admin(Halt(target=1, scope=HaltScope.ACCOUNT, action=HaltAction.KILL))
            desk.admin(Halt(target=1, scope=HaltScope.ACCOUNT, action=HaltAction.RESUME))
        return submit(parts)

    desk.submit_parts = and_cancel  # type: ignore[method-assign]
    status, code, text = refusal_of(lambda: pair(desk))
    assert (status, code) == (400, -2010)
    assert "ended before the other was entered" in text
    assert desk.market.open_orders(1) == []


def test_the_same_request_twice_is_entered_once(desk: Desk) -> None:
    pair(desk)
    desk.calls -= 1
    assert refusal_of(lambda: pair(desk, aboveClientOrderId="a", belowClientOrderId="b"))[1] == -1021
    assert len(desk.market.open_orders(1)) == 2


def test_orders_of_a_list_go_by_their_names(desk: Desk) -> None:
    pair(desk)
    assert desk.call("GET", "/api/v3/order", symbol="BTCUSD", origClientOrderId="loss")["type"] == "STOP_LOSS_LIMIT"
    for name in ("loss", "profit"):
        assert desk.order_refused("SELL", price="63000", newClientOrderId=name) == (400, -2010, "Duplicate order sent.")
    gone = desk.call("DELETE", "/api/v3/order", symbol="BTCUSD", origClientOrderId="loss")
    assert (gone["origClientOrderId"], gone["status"]) == ("loss", "CANCELED")
    assert desk.market.open_orders(1) == []
    assert desk.order("SELL", price="63000", newClientOrderId="loss")["status"] == "NEW"


def test_a_list_without_an_answer_does_not_stay_by_half(tmp_path: Path) -> None:
    with Stack(tmp_path, engine_timeout=300) as stack:
        stack.order("bob", "SELL", "0.01", "60000")
        stack.order("dave", "BUY", "0.01", "60000")
        assert stack.node.process is not None
        stack.node.process.send_signal(signal.SIGSTOP)
        try:
            said = {"symbol": "BTCUSD", "side": "SELL", "quantity": "0.01", "aboveType": "LIMIT_MAKER"}
            said |= {"abovePrice": "70000", "belowType": "STOP_LOSS", "belowStopPrice": "50000"}
            status, answer = stack.signed("carol", "POST", PATH, **said)
        finally:
            stack.node.process.send_signal(signal.SIGCONT)
        assert (status, answer["code"]) == (504, -1007)
        stack.order("carol", "BUY", "0.01", "50000")  # behind all that was sent before
        left = stack.signed("carol", "GET", "/api/v3/openOrders", symbol="BTCUSD")[1]
        assert [one["side"] for one in left] == ["BUY"]
