"""Cancels, cancelReplace and amendments of the dialect, through the real core."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.errors import ApiError
from schemas.vocabulary import Halt, HaltAction, HaltScope
from tests.gateway.binance.desk import GATEWAY_KEY, Desk, refusal_of

UNKNOWN = (400, -2011, "Unknown order sent.")
BOTH = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
REPLACE = "/api/v3/order/cancelReplace"
AMEND = "/api/v3/order/amend/keepPriority"


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as made:
        yield made


def cancel(desk: Desk, account: int = 1, **parameters: object) -> Any:
    return desk.call("DELETE", "/api/v3/order", account, **({"symbol": "BTCUSD"} | parameters))


def replace(desk: Desk, mode: str = "STOP_ON_FAILURE", **parameters: object) -> Any:
    said = {"symbol": "BTCUSD", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.2"}
    said |= {"price": "59000", "cancelReplaceMode": mode}
    return desk.call("POST", REPLACE, **(said | parameters))


def failed_replace(desk: Desk, mode: str = "STOP_ON_FAILURE", **parameters: object) -> tuple[int, int, dict[str, Any]]:
    with pytest.raises(ApiError) as caught:
        replace(desk, mode, **parameters)
    error = caught.value
    data: Any = (error.more or {})["data"]
    return error.problem.status, error.problem.binance, data


# ---- Cancel ----------------------------------------------------------------------------------------------------------


def test_an_order_is_cancelled_by_its_id(desk: Desk) -> None:
    order = desk.order(newClientOrderId="mine")
    gone = cancel(desk, orderId=order["orderId"], newClientOrderId="the-cancel")
    assert gone == {
        "symbol": "BTCUSD", "origClientOrderId": "mine", "orderId": order["orderId"], "orderListId": -1,
        "clientOrderId": "the-cancel", "transactTime": gone["transactTime"], "price": "60000.00", "origQty": "0.1000",
        "executedQty": "0.0000", "origQuoteOrderQty": "0.000000", "cummulativeQuoteQty": "0.000000",
        "status": "CANCELED", "timeInForce": "GTC", "type": "LIMIT", "side": "BUY",
        "selfTradePreventionMode": "EXPIRE_TAKER",
    }  # fmt: skip
    assert refusal_of(lambda: cancel(desk, orderId=order["orderId"])) == UNKNOWN


def test_an_order_is_cancelled_by_its_client_order_id_or_both(desk: Desk) -> None:
    desk.order(newClientOrderId="one")
    two = desk.order(newClientOrderId="two")
    assert cancel(desk, origClientOrderId="one")["origClientOrderId"] == "one"
    assert refusal_of(lambda: cancel(desk, origClientOrderId="one", orderId=two["orderId"])) == UNKNOWN
    assert cancel(desk, origClientOrderId="two", orderId=two["orderId"])["status"] == "CANCELED"


def test_a_cancel_names_an_order(desk: Desk) -> None:
    assert refusal_of(lambda: cancel(desk)) == (400, -1102, BOTH)
    assert refusal_of(lambda: cancel(desk, orderId=0)) == UNKNOWN
    assert refusal_of(lambda: cancel(desk, orderId=12345)) == UNKNOWN
    assert refusal_of(lambda: cancel(desk, origClientOrderId="never-was")) == UNKNOWN


def test_nobody_cancels_an_order_of_somebody_else(desk: Desk) -> None:
    order = desk.order(newClientOrderId="mine")
    assert refusal_of(lambda: cancel(desk, 2, orderId=order["orderId"])) == UNKNOWN
    assert refusal_of(lambda: cancel(desk, 2, origClientOrderId="mine")) == UNKNOWN
    both = {"orderId": order["orderId"], "origClientOrderId": "mine"}
    assert refusal_of(lambda: cancel(desk, 2, **both)) == UNKNOWN


def test_a_cancel_can_be_restricted(desk: Desk) -> None:
    order = desk.order()
    desk.order("SELL", 2, quantity="0.04")
    refused = refusal_of(lambda: cancel(desk, orderId=order["orderId"], cancelRestrictions="ONLY_NEW"))
    assert refused == (400, -2011, "Order was not canceled due to cancel restrictions.")
    gone = cancel(desk, orderId=order["orderId"], cancelRestrictions="ONLY_PARTIALLY_FILLED")
    assert (gone["status"], gone["executedQty"]) == ("CANCELED", "0.0400")


def test_a_waiting_order_is_cancelled_while_the_market_is_halted(desk: Desk) -> None:
    order = desk.order("SELL", type="STOP_LOSS_LIMIT", price="50000", stopPrice="55000")
    desk.admin(Halt(target=1, scope=HaltScope.INSTRUMENT, action=HaltAction.HALT))
    gone = cancel(desk, orderId=order["orderId"])
    assert (gone["status"], gone["type"], gone["stopPrice"]) == ("CANCELED", "STOP_LOSS_LIMIT", "55000.00")


def test_all_orders_of_a_symbol_are_cancelled_together(desk: Desk) -> None:
    ids = [desk.order(price=price)["orderId"] for price in ("59000", "58000")]
    ids.append(desk.order("SELL", type="STOP_LOSS", stopPrice="50000")["orderId"])
    other = desk.order(account=2, price="57000")
    gone = desk.call("DELETE", "/api/v3/openOrders", symbol="BTCUSD")
    assert [one["orderId"] for one in gone] == ids
    assert {one["status"] for one in gone} == {"CANCELED"}
    assert refusal_of(lambda: desk.call("DELETE", "/api/v3/openOrders", symbol="BTCUSD")) == UNKNOWN
    assert [one.order_id for one in desk.market.open_orders(2)] == [other["orderId"]]


def test_more_orders_than_are_kept_are_cancelled_and_told() -> None:
    with Desk(orders_kept=100) as desk:
        ids = [desk.order(price="50000", quantity="0.001")["orderId"] for _ in range(120)]
        gone = desk.call("DELETE", "/api/v3/openOrders", symbol="BTCUSD")
        assert [one["orderId"] for one in gone] == ids
        assert {one["status"] for one in gone} == {"CANCELED"}


# ---- Cancel and replace ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["STOP_ON_FAILURE", "ALLOW_FAILURE"])
def test_an_order_is_replaced_by_another(desk: Desk, mode: str) -> None:
    order = desk.order(newClientOrderId="old")
    made = replace(desk, mode, cancelOrderId=order["orderId"], newClientOrderId="new")
    assert (made["cancelResult"], made["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    assert (made["cancelResponse"]["origClientOrderId"], made["cancelResponse"]["status"]) == ("old", "CANCELED")
    assert (made["newOrderResponse"]["clientOrderId"], made["newOrderResponse"]["status"]) == ("new", "NEW")
    assert [one.client_text for one in desk.market.open_orders(1)] == ["new"]


def test_stop_on_failure_is_one_command(desk: Desk) -> None:
    order = desk.order()
    before = desk.mirror.sequence
    replace(desk, cancelOrigClientOrderId=order["clientOrderId"])
    assert desk.mirror.sequence - before == 3  # nonce, link, order
    assert desk.sequences[GATEWAY_KEY]


def test_stop_on_failure_enters_nothing_if_there_is_nothing_to_cancel(desk: Desk) -> None:
    status, code, data = failed_replace(desk, cancelOrderId=77)
    assert (status, code) == (400, -2022)
    assert data == {
        "cancelResult": "FAILURE",
        "newOrderResult": "NOT_ATTEMPTED",
        "cancelResponse": {"code": -2011, "msg": "Unknown order sent."},
        "newOrderResponse": None,
    }
    assert desk.market.open_orders(1) == []


def test_stop_on_failure_may_cancel_and_then_be_refused(desk: Desk) -> None:
    order = desk.order()
    status, code, data = failed_replace(desk, cancelOrderId=order["orderId"], price="90000")
    assert (status, code) == (409, -2021)
    assert (data["cancelResult"], data["newOrderResult"]) == ("SUCCESS", "FAILURE")
    assert data["cancelResponse"].status == "CANCELED"
    assert data["newOrderResponse"] == {"code": -1013, "msg": "Filter failure: PERCENT_PRICE_BY_SIDE"}


def test_what_does_not_pass_the_filters_cancels_nothing(desk: Desk) -> None:
    order = desk.order()
    refused = refusal_of(lambda: replace(desk, cancelOrderId=order["orderId"], price="0.001"))
    assert refused == (400, -1013, "Filter failure: PRICE_FILTER")
    assert len(desk.market.open_orders(1)) == 1


def test_allow_failure_enters_the_order_all_the_same(desk: Desk) -> None:
    status, code, data = failed_replace(desk, "ALLOW_FAILURE", cancelOrderId=77)
    assert (status, code) == (409, -2021)
    assert (data["cancelResult"], data["newOrderResult"]) == ("FAILURE", "SUCCESS")
    assert data["newOrderResponse"].status == "NEW"
    assert len(desk.market.open_orders(1)) == 1
    status, code, data = failed_replace(desk, "ALLOW_FAILURE", cancelOrderId=77, price="90000")
    assert (status, code) == (400, -2022)
    assert data["newOrderResponse"]["code"] == -1013


@pytest.mark.parametrize("mode", ["STOP_ON_FAILURE", "ALLOW_FAILURE"])
def test_a_replacement_that_is_received_twice_is_entered_once(desk: Desk, mode: str) -> None:
    order = desk.order()
    replace(desk, mode, cancelOrderId=order["orderId"])
    desk.calls -= 1
    refused = refusal_of(lambda: replace(desk, mode, cancelOrderId=order["orderId"]))
    assert refused == (400, -1021, "This request was received before; sign each request anew.")
    assert len(desk.market.open_orders(1)) == 1


# ---- Amend -----------------------------------------------------------------------------------------------------------


def test_an_amended_order_keeps_its_place(desk: Desk) -> None:
    first = desk.order(quantity="0.2", newClientOrderId="first")
    desk.order(account=2, quantity="0.2")
    made = desk.call("PUT", AMEND, symbol="BTCUSD", orderId=first["orderId"], newQty="0.1")
    order = made["amendedOrder"]
    assert (order["orderId"], order["qty"], order["status"]) == (first["orderId"], "0.1000", "NEW")
    assert (order["origClientOrderId"], order["clientOrderId"]) == ("first", "first")
    fill = desk.order("SELL", 3, quantity="0.1")
    assert fill["status"] == "FILLED"
    assert desk.call("GET", "/api/v3/order", symbol="BTCUSD", orderId=first["orderId"])["status"] == "FILLED"


def test_an_amendment_lowers_the_quantity_of_an_open_order(desk: Desk) -> None:
    order = desk.order(newClientOrderId="it")
    said = {"symbol": "BTCUSD", "origClientOrderId": "it"}
    assert desk.refused("PUT", AMEND, **said, newQty="0.1")[1] == -2038
    assert desk.refused("PUT", AMEND, **said, newQty="0.05", newClientOrderId="other")[1] == -2038
    assert desk.refused("PUT", AMEND, **said, newQty="0.00001")[1] == -1013
    assert desk.refused("PUT", AMEND, 2, **said, newQty="0.05") == (400, -2013, "Order does not exist.")
    assert desk.refused("PUT", AMEND, symbol="BTCUSD", newQty="0.05") == (400, -1102, BOTH)
    desk.order("SELL", 2, quantity="0.04")
    assert desk.refused("PUT", AMEND, **said, newQty="0.04")[1] == -2038
    made = desk.call("PUT", AMEND, **said, newQty="0.05")["amendedOrder"]
    assert (made["executedQty"], made["status"]) == ("0.0400", "PARTIALLY_FILLED")
    assert desk.call("GET", "/api/v3/order", symbol="BTCUSD", orderId=order["orderId"])["origQty"] == "0.0500"


def test_a_waiting_order_cannot_be_amended(desk: Desk) -> None:
    order = desk.order("SELL", type="STOP_LOSS_LIMIT", price="50000", stopPrice="55000")
    refused = desk.refused("PUT", AMEND, symbol="BTCUSD", orderId=order["orderId"], newQty="0.05")
    assert refused == (400, -2038, "Waiting, pegged, all-or-none and linked orders cannot be replaced.")
