"""New orders of the dialect, from parameters to the answer, through the real core."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas.vocabulary import AccountLimits, Halt, HaltAction, HaltScope
from tests.gateway.binance.desk import Desk

MANDATORY = "Mandatory parameter '{}' was not sent, was empty/null, or malformed."
NOT_REQUIRED = "Parameter '{}' sent when not required."
ACK = {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as made:
        yield made


def state(desk: Desk, order: dict[str, object], account: int = 1) -> dict[str, object]:
    found: dict[str, object] = desk.call("GET", "/api/v3/order", account, symbol="BTCUSD", orderId=order["orderId"])
    return found


# ---- Limit orders ----------------------------------------------------------------------------------------------------


def test_a_limit_order_that_rests_is_answered_in_full(desk: Desk) -> None:
    order = desk.order(newClientOrderId="my-order.1")
    assert order == {
        "symbol": "BTCUSD", "orderId": order["orderId"], "orderListId": -1, "clientOrderId": "my-order.1",
        "transactTime": order["transactTime"], "price": "60000.00", "origQty": "0.1000", "executedQty": "0.0000",
        "origQuoteOrderQty": "0.000000", "cummulativeQuoteQty": "0.000000", "status": "NEW", "timeInForce": "GTC",
        "type": "LIMIT", "side": "BUY", "workingTime": order["transactTime"],
        "selfTradePreventionMode": "EXPIRE_TAKER", "fills": [],
    }  # fmt: skip
    found = state(desk, order)
    assert found["status"] == "NEW"
    assert found["clientOrderId"] == "my-order.1"
    assert found["isWorking"] is True


def test_an_order_without_a_client_order_id_gets_one_that_finds_it(desk: Desk) -> None:
    order = desk.order()
    found = desk.call("GET", "/api/v3/order", symbol="BTCUSD", origClientOrderId=order["clientOrderId"])
    assert found["orderId"] == order["orderId"]


def test_a_client_order_id_that_is_a_number_is_the_engines_own(desk: Desk) -> None:
    order = desk.order(newClientOrderId="4711")
    assert desk.market.order(order["orderId"]).client_order_id == 4711


@pytest.mark.parametrize("name", ["a:b/c_d-e.F", "007", "18446744073709551616", "x" * 36, "9" * 19])
def test_any_name_of_the_dialects_letters_finds_its_order(desk: Desk, name: str) -> None:
    order = desk.order(newClientOrderId=name)
    assert order["clientOrderId"] == name
    assert desk.call("GET", "/api/v3/order", symbol="BTCUSD", origClientOrderId=name)["orderId"] == order["orderId"]
    gone = desk.call("DELETE", "/api/v3/order", symbol="BTCUSD", origClientOrderId=name)
    assert gone["origClientOrderId"] == name


def test_no_order_is_called_0(desk: Desk) -> None:
    assert desk.order_refused(newClientOrderId="0")[1] == -1100


def test_the_highest_price_still_has_a_cap(desk: Desk) -> None:
    refused = desk.order_refused(type="STOP_LOSS", stopPrice="2814749767106.55", quantity="0.0001")
    assert refused == (400, -2010, "Account has insufficient balance for requested action.")


def test_fills_are_told_with_price_quantity_and_commission(desk: Desk) -> None:
    desk.order("SELL", 2, price="59999.50", quantity="0.04")
    desk.order("SELL", 2, price="60000", quantity="0.1")
    order = desk.order(quantity="0.1")
    assert order["status"] == "FILLED"
    assert order["executedQty"] == "0.1000"
    assert order["cummulativeQuoteQty"] == "5999.980000"
    assert order["fills"] == [
        {"price": "59999.50", "qty": "0.0400", "commission": "0.719994", "commissionAsset": "USD", "tradeId": 1},
        {"price": "60000.00", "qty": "0.0600", "commission": "1.080000", "commissionAsset": "USD", "tradeId": 2},
    ]


def test_a_partly_filled_order_says_so(desk: Desk) -> None:
    desk.order("SELL", 2, quantity="0.04")
    order = desk.order(newOrderRespType="RESULT")
    assert (order["status"], order["executedQty"]) == ("PARTIALLY_FILLED", "0.0400")
    assert "fills" not in order
    assert state(desk, order)["status"] == "PARTIALLY_FILLED"


def test_ack_is_five_fields(desk: Desk) -> None:
    assert set(desk.order(newOrderRespType="ACK")) == ACK


def test_orders_that_wait_are_acknowledged_only_by_default(desk: Desk) -> None:
    assert set(desk.order("SELL", type="STOP_LOSS_LIMIT", price="58000", stopPrice="59000")) == ACK
    assert set(desk.order("SELL", type="LIMIT_MAKER", price="61000")) == ACK


def test_the_rest_of_an_immediate_order_expires(desk: Desk) -> None:
    desk.order("SELL", 2, quantity="0.04")
    order = desk.order(timeInForce="IOC")
    assert (order["status"], order["executedQty"], order["timeInForce"]) == ("EXPIRED", "0.0400", "IOC")
    assert state(desk, order)["status"] == "EXPIRED"


def test_a_fill_or_kill_order_is_filled_whole_or_refused(desk: Desk) -> None:
    desk.order("SELL", 2, quantity="0.1")
    status, code, text = desk.order_refused(timeInForce="FOK", quantity="0.2")
    assert (status, code) == (400, -2010)
    assert text == "A fill-or-kill order must be fillable at once and whole."
    assert desk.order(timeInForce="FOK")["status"] == "FILLED"


def test_a_post_only_order_rests_or_is_refused(desk: Desk) -> None:
    desk.order("SELL", 2)
    assert desk.order_refused(type="LIMIT_MAKER") == (400, -2010, "Order would immediately match and take.")
    order = desk.order(type="LIMIT_MAKER", price="59999.99", newOrderRespType="FULL")
    assert (order["status"], order["type"]) == ("NEW", "LIMIT_MAKER")
    assert state(desk, order)["type"] == "LIMIT_MAKER"


def test_an_iceberg_shows_a_part(desk: Desk) -> None:
    order = desk.order(quantity="1", icebergQty="0.1", newOrderRespType="RESULT")
    assert order["icebergQty"] == "0.1000"
    assert state(desk, order)["icebergQty"] == "0.1000"
    assert desk.call("GET", "/api/v3/depth", symbol="BTCUSD")["bids"] == [["60000.00", "0.1000"]]
    assert desk.order_refused(quantity="1", icebergQty="2") == (400, -1013, "Filter failure: ICEBERG_PARTS")
    assert desk.order_refused(quantity="1.1", icebergQty="0.001") == (400, -1013, "Filter failure: ICEBERG_PARTS")
    assert desk.order_refused(quantity="1", icebergQty="0.1", timeInForce="IOC")[1] == -1128


# ---- Market orders ---------------------------------------------------------------------------------------------------


def test_a_market_order_takes_what_is_there(desk: Desk) -> None:
    desk.order("SELL", 2, quantity="0.04")
    order = desk.order(type="MARKET", quantity="0.1")
    assert (order["status"], order["executedQty"], order["price"]) == ("EXPIRED", "0.0400", "0.00")
    found = state(desk, order)
    assert (found["type"], found["price"], found["timeInForce"]) == ("MARKET", "0.00", "GTC")


def test_a_market_order_by_quote_spends_an_amount(desk: Desk) -> None:
    desk.order("SELL", 2, quantity="1")
    order = desk.order(type="MARKET", quantity=None, quoteOrderQty="3000")
    assert (order["status"], order["executedQty"], order["origQty"]) == ("FILLED", "0.0500", "0.0500")
    assert (order["origQuoteOrderQty"], order["cummulativeQuoteQty"]) == ("3000.000000", "3000.000000")
    found = state(desk, order)
    assert (found["origQty"], found["executedQty"], found["origQuoteOrderQty"]) == ("0.0500", "0.0500", "3000.000000")
    order = desk.order("SELL", 2, type="MARKET", quantity=None, quoteOrderQty="3000")
    assert (order["status"], order["executedQty"]) == ("EXPIRED", "0.0000")
    found = state(desk, order, 2)
    assert (found["status"], found["origQty"]) == ("EXPIRED", "0.0000")


def test_a_sale_by_quote_that_gets_a_better_price_has_nothing_left_to_fill(desk: Desk) -> None:
    desk.order("BUY", 2, price="61000", quantity="0.05")
    order = desk.order("SELL", type="MARKET", quantity=None, quoteOrderQty="600")
    assert (order["status"], order["origQty"]) == ("FILLED", "0.0098")
    assert state(desk, order)["origQty"] == "0.0098"


def test_a_market_order_has_one_of_two_quantities(desk: Desk) -> None:
    assert desk.order_refused(type="MARKET", quantity=None)[1] == -1128
    assert desk.order_refused(type="MARKET", quantity="1", quoteOrderQty="1")[1] == -1128


def test_a_market_buy_without_a_collar_is_capped_by_the_book() -> None:
    with Desk(collar_ppm=0) as desk:
        assert desk.order_refused(type="MARKET") == (400, -1112, "No orders on book for symbol.")
        desk.order("SELL", 2, price="60000", quantity="0.05")
        desk.order("SELL", 2, price="70000", quantity="0.05")
        assert desk.order(type="MARKET", quantity="0.08")["executedQty"] == "0.0800"
        order = desk.order(type="MARKET", quantity=None, quoteOrderQty="1400")
        assert order["cummulativeQuoteQty"] == "1400.000000"


# ---- Orders that wait ------------------------------------------------------------------------------------------------


def cross(desk: Desk, price: str) -> None:
    """A trade between accounts 2 and 3 at that price."""
    desk.order("SELL", 2, price=price, quantity="0.0001")
    desk.order("BUY", 3, price=price, quantity="0.0001")


def test_a_stop_loss_limit_waits_and_then_rests(desk: Desk) -> None:
    cross(desk, "60000")
    order = desk.order("SELL", type="STOP_LOSS_LIMIT", price="58000", stopPrice="59000", newOrderRespType="RESULT")
    assert (order["status"], order["workingTime"], order["stopPrice"]) == ("NEW", -1, "59000.00")
    found = state(desk, order)
    assert (found["type"], found["isWorking"], found["stopPrice"]) == ("STOP_LOSS_LIMIT", False, "59000.00")
    cross(desk, "59000")
    found = state(desk, order)
    assert (found["status"], found["isWorking"], found["type"]) == ("NEW", True, "STOP_LOSS_LIMIT")
    assert desk.call("GET", "/api/v3/depth", symbol="BTCUSD")["asks"] == [["58000.00", "0.1000"]]


@pytest.mark.parametrize(
    ("side", "kind", "stop"),
    [
        ("SELL", "STOP_LOSS", "59000"), ("BUY", "STOP_LOSS", "61000"), ("SELL", "TAKE_PROFIT", "61000"),
        ("BUY", "TAKE_PROFIT", "59000"),
    ],
)  # fmt: skip
def test_a_waiting_market_order_fires_at_its_price(desk: Desk, side: str, kind: str, stop: str) -> None:
    cross(desk, "60000")
    order = desk.order(side, type=kind, stopPrice=stop)
    assert state(desk, order)["type"] == kind
    other = "BUY" if side == "SELL" else "SELL"
    desk.order(other, 2, price=stop, quantity="0.2")
    desk.order(side, 3, price=stop, quantity="0.0001")
    found = state(desk, order)
    assert (found["status"], found["executedQty"], found["type"]) == ("FILLED", "0.1000", kind)


def test_a_price_that_is_there_already_is_refused(desk: Desk) -> None:
    cross(desk, "60000")
    refused = desk.order_refused("SELL", type="STOP_LOSS_LIMIT", price="60000", stopPrice="60000")
    assert refused == (400, -2010, "Stop price would trigger immediately.")


def test_a_trailing_stop_follows_the_price(desk: Desk) -> None:
    cross(desk, "60000")
    order = desk.order("SELL", type="STOP_LOSS", trailingDelta=100, newOrderRespType="RESULT")
    assert (order["trailingDelta"], order["trailingTime"]) == (100, order["transactTime"])
    cross(desk, "61000")
    desk.order("BUY", 2, price="60400", quantity="0.2")
    desk.order("SELL", 3, price="60400", quantity="0.0001")
    assert state(desk, order)["status"] == "FILLED"  # 600 below 61,000, the delta of 1 % at entry


def test_a_trailing_stop_needs_a_last_price() -> None:
    with Desk(collar_ppm=0, reference_ticks=0) as desk:
        refused = desk.order_refused("SELL", type="STOP_LOSS", trailingDelta=100)
        assert refused == (400, -2010, "A trailing stop needs a last price to start from.")


def test_what_trailing_cannot_do_is_refused(desk: Desk) -> None:
    assert desk.order_refused("SELL", type="STOP_LOSS", trailingDelta=100, stopPrice="59000")[1] == -1128
    assert desk.order_refused("SELL", type="TAKE_PROFIT", trailingDelta=100)[1] == -1128
    assert desk.order_refused("SELL", type="STOP_LOSS_LIMIT", stopPrice="59000", timeInForce="FOK")[1] == -1128


# ---- Self-trade prevention -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "taker", "maker"),
    [
        ("EXPIRE_TAKER", "EXPIRED_IN_MATCH", "NEW"), ("EXPIRE_MAKER", "NEW", "EXPIRED_IN_MATCH"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"), ("DECREMENT", "EXPIRED_IN_MATCH", "NEW"),
        ("NONE", "FILLED", "PARTIALLY_FILLED"),
    ],
)  # fmt: skip
def test_self_trade_prevention_is_the_takers_choice(desk: Desk, mode: str, taker: str, maker: str) -> None:
    first = desk.order(quantity="0.1")
    second = desk.order("SELL", quantity="0.04", selfTradePreventionMode=mode)
    assert (second["status"], second["selfTradePreventionMode"]) == (taker, mode)
    assert state(desk, second)["status"] == taker
    assert state(desk, first)["status"] == maker


def test_what_decrement_took_off_is_told_alike_everywhere(desk: Desk) -> None:
    first = desk.order(quantity="0.01")
    second = desk.order("SELL", quantity="0.03", selfTradePreventionMode="DECREMENT")
    assert (second["status"], second["origQty"]) == ("NEW", "0.0200")
    assert state(desk, second)["origQty"] == "0.0200"
    assert (state(desk, first)["status"], state(desk, first)["origQty"]) == ("EXPIRED_IN_MATCH", "0.0100")
    gone = desk.call("DELETE", "/api/v3/order", symbol="BTCUSD", orderId=second["orderId"])
    assert gone["origQty"] == "0.0200"


# ---- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "code", "text"),
    [
        ({"symbol": "NOSUCH"}, -1121, "Invalid symbol."),
        ({"price": None}, -1102, MANDATORY.format("price")),
        ({"quantity": None}, -1102, MANDATORY.format("quantity")),
        ({"timeInForce": None}, -1102, MANDATORY.format("timeInForce")),
        ({"stopPrice": "1"}, -1106, NOT_REQUIRED.format("stopPrice")),
        ({"type": "MARKET", "price": "1"}, -1106, NOT_REQUIRED.format("price")),
        ({"type": "MARKET", "timeInForce": "GTC"}, -1106, NOT_REQUIRED.format("timeInForce")),
        ({"type": "STOP_LOSS"}, -1102, MANDATORY.format("stopPrice")),
        ({"price": "60000.005"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "0"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "90000"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        ({"price": "60000.0000001"}, -1111, "Parameter 'price' has too much precision."),
        ({"quantity": "0.00005"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "5000"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0.0001"}, -1013, "Filter failure: NOTIONAL"),
        ({"quantity": "900"}, -2010, "Account has insufficient balance for requested action."),
    ],
)
def test_each_mistake_has_its_code_and_text(parameters: dict[str, object], code: int, text: str) -> None:
    with Desk(quantity_lots_max=10_000_000, notional_units_min=10_000_000) as desk:
        assert desk.order_refused(**parameters) == (400, code, text)
        assert desk.market.open_orders(1) == []


def test_the_name_of_an_open_order_cannot_be_used_again(desk: Desk) -> None:
    desk.order(newClientOrderId="twice")
    assert desk.order_refused(newClientOrderId="twice") == (400, -2010, "Duplicate order sent.")


def test_a_halted_market_or_account_takes_no_order(desk: Desk) -> None:
    desk.admin(Halt(target=1, scope=HaltScope.INSTRUMENT, action=HaltAction.HALT))
    assert desk.order_refused() == (400, -1013, "Market is closed.")
    said = {"symbol": "BTCUSD", "side": "BUY", "type": "MARKET", "quantity": "1"}
    assert desk.refused("POST", "/api/v3/order/test", **said) == (400, -1013, "Market is closed.")
    desk.admin(Halt(target=1, scope=HaltScope.INSTRUMENT, action=HaltAction.RESUME))
    desk.admin(Halt(target=1, scope=HaltScope.ACCOUNT, action=HaltAction.HALT))
    assert desk.order_refused() == (400, -2010, "This account may not place or cancel orders.")
    assert desk.call("GET", "/api/v3/account")["canTrade"] is False
    assert desk.order(account=2)["status"] == "NEW"


def test_limits_of_the_account_are_told_as_filters(desk: Desk) -> None:
    desk.admin(AccountLimits(account=1, open_orders_max=1))
    desk.order()
    assert desk.order_refused() == (400, -1013, "Filter failure: MAX_NUM_ORDERS")
    desk.admin(AccountLimits(account=2, position_lots_max=1))
    assert desk.order_refused(account=2) == (400, -1013, "Filter failure: MAX_POSITION")
    desk.admin(AccountLimits(account=3, order_rate_max=1, order_rate_window_ms=60_000))
    desk.order(account=3)
    assert desk.order_refused(account=3) == (429, -1015, "Too many new orders.")


def test_the_same_request_twice_is_entered_once(desk: Desk) -> None:
    desk.order()
    desk.calls -= 1
    assert desk.order_refused() == (400, -1021, "This request was received before; sign each request anew.")
    assert len(desk.market.open_orders(1)) == 1


# ---- Test orders -----------------------------------------------------------------------------------------------------


def test_a_test_order_is_checked_and_not_entered() -> None:
    with Desk(quantity_lots_max=10_000_000, notional_units_min=10_000_000) as desk:
        said = {"symbol": "BTCUSD", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        said |= {"quantity": "1", "price": "60000"}
        assert desk.call("POST", "/api/v3/order/test", **said) == {}
        rates = desk.call("POST", "/api/v3/order/test", computeCommissionRates="true", **said)
        assert rates["standardCommissionForOrder"]["taker"] == "0.00030000"
        path = "/api/v3/order/test"
        assert desk.refused("POST", path, **said | {"price": "0.001"})[2] == "Filter failure: PRICE_FILTER"
        assert desk.refused("POST", path, **said | {"quantity": "2000"})[2] == "Filter failure: LOT_SIZE"
        assert desk.refused("POST", path, **said | {"price": "1"})[2] == "Filter failure: NOTIONAL"
        assert desk.market.open_orders(1) == []
