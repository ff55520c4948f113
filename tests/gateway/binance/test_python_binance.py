"""python-binance makes a round trip against a running stack; only its addresses change."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from binance.exceptions import BinanceAPIException

from tests.gateway.binance.clients import by_python_binance, clear, fenced
from tests.support.gateway import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    path: Path = tmp_path_factory.mktemp("python-binance")
    with fenced() as refused, Stack(path) as made:
        yield made
        assert refused == []


@pytest.fixture
def alice(stack: Stack) -> Iterator[Any]:
    clear(stack)
    client = by_python_binance(stack, "alice")
    yield client
    client.close_connection()
    clear(stack)


@pytest.fixture
def bob(stack: Stack) -> Iterator[Any]:
    client = by_python_binance(stack, "bob")
    yield client
    client.close_connection()


def test_the_exchange_is_told(alice: Any) -> None:
    assert alice.ping() == {}
    assert alice.get_server_time()["serverTime"] > 0
    symbols = {one["symbol"]: one for one in alice.get_exchange_info()["symbols"]}
    assert symbols["BTCUSD"]["filters"][0]["tickSize"] == "0.01"
    assert alice.get_symbol_info("ETHUSD")["baseAsset"] == "ETH"
    assert alice.get_asset_balance("BTC")["free"].endswith("0000")
    assert alice.get_system_status() == {"status": 0, "msg": "normal"}
    assert alice.get_trade_fee(symbol="BTCUSD")[0]["takerCommission"] == "0.00030000"


def test_orders_rest_trade_and_are_cancelled(alice: Any, bob: Any) -> None:
    order = alice.order_limit_buy(symbol="BTCUSD", quantity="0.1", price="60000", newClientOrderId="b_d-e.F")
    assert alice.get_order(symbol="BTCUSD", orderId=order["orderId"])["status"] == "NEW"
    assert [one["orderId"] for one in alice.get_open_orders(symbol="BTCUSD")] == [order["orderId"]]
    sold = bob.order_market_sell(symbol="BTCUSD", quantity="0.04")
    assert (sold["status"], sold["fills"][0]["price"]) == ("FILLED", "60000.00")
    gone = alice.cancel_order(symbol="BTCUSD", origClientOrderId=order["clientOrderId"])
    assert (gone["status"], gone["executedQty"]) == ("CANCELED", "0.0400")
    trade = alice.get_my_trades(symbol="BTCUSD")[-1]
    assert (trade["orderId"], trade["isMaker"], trade["commissionAsset"]) == (order["orderId"], True, "USD")
    assert alice.get_all_orders(symbol="BTCUSD")[-1]["orderId"] == order["orderId"]
    assert alice.get_account()["canTrade"] is True
    assert alice.get_recent_trades(symbol="BTCUSD")[-1]["qty"] == "0.0400"
    assert alice.get_aggregate_trades(symbol="BTCUSD")[-1]["q"] == "0.0400"
    assert alice.get_klines(symbol="BTCUSD", interval="1m")[-1][4] == "60000.00"
    assert alice.get_historical_klines("BTCUSD", "1h", "1 day ago UTC")[-1][4] == "60000.00"
    assert alice.get_ticker(symbol="BTCUSD")["lastPrice"] == "60000.00"
    assert alice.get_avg_price(symbol="BTCUSD")["mins"] == 5
    assert alice.get_order_book(symbol="BTCUSD")["bids"] == []
    assert {one["symbol"] for one in alice.get_all_tickers()} == {"BTCUSD", "ETHUSD"}
    assert alice.get_orderbook_ticker(symbol="BTCUSD")["bidPrice"] == "0.00"


def test_further_kinds_of_orders(alice: Any, bob: Any) -> None:
    bob.order_limit_sell(symbol="BTCUSD", quantity="1", price="60000")
    bought = alice.order_market_buy(symbol="BTCUSD", quoteOrderQty="600")
    assert bought["executedQty"] == "0.0100"
    stop = alice.create_order(
        symbol="BTCUSD", side="SELL", type="STOP_LOSS_LIMIT", timeInForce="GTC", quantity="0.1", price="54000",
        stopPrice="55000", newOrderRespType="FULL",
    )  # fmt: skip
    assert (stop["status"], stop["stopPrice"]) == ("NEW", "55000.00")
    assert alice.create_test_order(symbol="BTCUSD", side="BUY", type="MARKET", quantity="1") == {}
    replaced = alice.cancel_replace_order(
        symbol="BTCUSD", side="SELL", type="LIMIT", timeInForce="GTC", quantity="0.1", price="61000",
        cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=stop["orderId"],
    )  # fmt: skip
    assert replaced["newOrderResponse"]["status"] == "NEW"
    assert [one["type"] for one in alice.get_open_orders()] == ["LIMIT"]
    assert len(alice.cancel_all_open_orders(symbol="BTCUSD")) == 1


def test_one_order_cancels_the_other(alice: Any, bob: Any) -> None:
    alice.order_limit_buy(symbol="BTCUSD", quantity="0.1", price="60000")
    bob.order_market_sell(symbol="BTCUSD", quantity="0.1")
    made = alice.create_oco_order(
        symbol="BTCUSD", side="SELL", quantity="0.1", aboveType="LIMIT_MAKER", abovePrice="62000",
        belowType="STOP_LOSS_LIMIT", belowPrice="58000", belowStopPrice="59000", belowTimeInForce="GTC",
    )  # fmt: skip
    assert made["listOrderStatus"] == "EXECUTING"
    assert len(alice.get_open_orders(symbol="BTCUSD")) == 2
    alice.cancel_order(symbol="BTCUSD", orderId=made["orders"][0]["orderId"])
    assert alice.get_open_orders(symbol="BTCUSD") == []


def test_a_list_and_an_order_of_one_name_at_once_are_one_or_the_other(stack: Stack, alice: Any, bob: Any) -> None:
    alice.order_limit_buy(symbol="BTCUSD", quantity="0.1", price="60000")
    bob.order_market_sell(symbol="BTCUSD", quantity="0.1")
    said = {"symbol": "BTCUSD", "side": "SELL", "quantity": "0.01"}
    plain = said | {"type": "LIMIT", "timeInForce": "GTC", "price": "71000"}
    pair = said | {"aboveType": "LIMIT_MAKER", "abovePrice": "70000"}
    pair |= {"belowType": "STOP_LOSS", "belowStopPrice": "50000"}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for number in range(12):
            name, other = f"race-{number}", f"other-{number}"
            names = {"aboveClientOrderId": name} if number % 3 else {"belowClientOrderId": name}
            if number % 3 == 2:
                names = {"aboveClientOrderId": other, "belowClientOrderId": name}
            order = plain | {"newClientOrderId": name}
            one = pool.submit(stack.signed, "carol", "POST", "/api/v3/order", **order)
            two = pool.submit(stack.signed, "carol", "POST", "/api/v3/orderList/oco", **pair | names)
            (status, entered), (listed, _) = one.result(), two.result()
            found = stack.signed("carol", "GET", "/api/v3/openOrders", symbol="BTCUSD")[1]
            assert [one["clientOrderId"] for one in found].count(name) == (status == 200) + (listed == 200) <= 1
            assert status != 200 or entered["orderId"] in [one["orderId"] for one in found]
            assert len(found) in ((1,) if status == 200 else (0, 2))
            stack.signed("carol", "DELETE", "/api/v3/openOrders", symbol="BTCUSD")


def test_refusals_have_their_codes(alice: Any) -> None:
    with pytest.raises(BinanceAPIException) as caught:
        alice.order_limit_buy(symbol="BTCUSD", quantity="100000", price="60000")
    assert caught.value.code == -2010
    assert caught.value.message == "Account has insufficient balance for requested action."
    told = caught.value.response.headers
    assert min(int(told[f"x-mbx-order-count-{period}"]) for period in ("10s", "1d")) >= 1
    with pytest.raises(BinanceAPIException) as caught:
        alice.cancel_order(symbol="BTCUSD", orderId=987654321)
    assert (caught.value.code, caught.value.status_code) == (-2011, 400)
    with pytest.raises(BinanceAPIException) as caught:
        alice.get_order_book(symbol="NOSUCH")
    assert caught.value.code == -1121
    assert int(caught.value.response.headers["x-mbx-used-weight-1m"]) >= 1
