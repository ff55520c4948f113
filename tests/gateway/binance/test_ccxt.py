"""ccxt's binance makes whole round trips against a running stack, by asyncio and without; only the addresses change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ccxt
import pytest

from schemas.vocabulary import Permission
from tests.gateway.binance.clients import SYMBOL, by_async_ccxt, by_ccxt, clear, fenced
from tests.support.aio import in_loop
from tests.support.gateway import Stack
from tests.support.node import wait_until


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    path: Path = tmp_path_factory.mktemp("ccxt")
    with fenced() as refused, Stack(path, orders_per_10s=1_000_000) as made:
        yield made
        assert refused == []


@pytest.fixture
def alice(stack: Stack) -> Iterator[Any]:
    clear(stack)
    yield by_ccxt(stack, "alice")
    clear(stack)


@pytest.fixture
def bob(stack: Stack) -> Any:
    return by_ccxt(stack, "bob")


# ---- The whole round -------------------------------------------------------------------------------------------------


def test_markets_have_steps_limits_and_types(alice: Any) -> None:
    markets = alice.load_markets()
    assert set(markets) >= {"BTC/USD", "ETH/USD"}
    market = markets[SYMBOL]
    assert (market["id"], market["base"], market["quote"], market["active"]) == ("BTCUSD", "BTC", "USD", True)
    assert market["precision"]["price"] == 0.01
    assert market["precision"]["amount"] == 0.0001
    assert market["limits"]["amount"]["min"] == 0.0001


def test_ccxt_as_it_comes_loads_markets_too(stack: Stack) -> None:
    exchange = by_ccxt(stack, "alice", options={})
    assert SYMBOL in exchange.load_markets()
    assert exchange.fetch_currencies() == {}
    assert exchange.fetch_trading_fees()[SYMBOL]["taker"] == 0.0003
    assert exchange.fetch_status()["status"] == "ok"
    assert abs(exchange.fetch_time() - time.time() * 1000) < 60_000


def test_a_limit_order_rests_is_found_listed_and_cancelled(alice: Any) -> None:
    free = alice.fetch_balance()["USD"]["free"]
    order = alice.create_order(SYMBOL, "limit", "buy", 0.1, 50_000)
    assert (order["status"], order["price"], order["amount"], order["filled"]) == ("open", 50_000.0, 0.1, 0.0)
    balance = alice.fetch_balance()
    assert balance["USD"]["used"] == pytest.approx(5_001.5, abs=0.01)
    assert balance["USD"]["free"] == pytest.approx(free - 5_001.5, abs=0.01)
    found = alice.fetch_order(order["id"], SYMBOL)
    assert (found["status"], found["clientOrderId"]) == ("open", order["clientOrderId"])
    by_name = {"clientOrderId": order["clientOrderId"]}
    assert alice.fetch_order(None, SYMBOL, by_name)["id"] == order["id"]
    assert [one["id"] for one in alice.fetch_open_orders(SYMBOL)] == [order["id"]]
    alice.options["fetchOpenOrders"]["warnWithoutSymbol"] = False
    assert [one["id"] for one in alice.fetch_open_orders()] == [order["id"]]
    gone = alice.cancel_order(order["id"], SYMBOL)
    assert gone["status"] == "canceled"
    assert alice.fetch_open_orders(SYMBOL) == []
    assert order["id"] in [one["id"] for one in alice.fetch_canceled_orders(SYMBOL)]
    assert alice.fetch_order(order["id"], SYMBOL)["status"] == "canceled"


def test_two_accounts_cross_and_both_see_their_trade(alice: Any, bob: Any) -> None:
    resting = alice.create_order(SYMBOL, "limit", "buy", 0.2, 60_000)
    taken = bob.create_order(SYMBOL, "market", "sell", 0.2)
    assert (taken["status"], taken["filled"], taken["average"]) == ("closed", 0.2, 60_000.0)
    assert taken["trades"][0]["fee"] == {"cost": 3.6, "currency": "USD"}
    found = alice.fetch_order(resting["id"], SYMBOL)
    assert (found["status"], found["cost"]) == ("closed", 12_000.0)
    trade = alice.fetch_my_trades(SYMBOL)[-1]
    assert (trade["order"], trade["takerOrMaker"], trade["side"]) == (resting["id"], "maker", "buy")
    assert trade["fee"] == {"cost": 1.2, "currency": "USD"}
    taker = bob.fetch_order_trades(taken["id"], SYMBOL)
    assert [one["id"] for one in taker] == [trade["id"]]
    assert taker[0]["takerOrMaker"] == "taker"
    assert resting["id"] in [one["id"] for one in alice.fetch_closed_orders(SYMBOL)]
    assert [one["id"] for one in alice.fetch_orders(SYMBOL, int(resting["timestamp"]))] == [resting["id"]]


def test_market_data_is_read(alice: Any, bob: Any) -> None:
    bob.create_order(SYMBOL, "limit", "sell", 0.3, 60_010)
    alice.create_order(SYMBOL, "limit", "buy", 0.1, 60_010)
    alice.create_order(SYMBOL, "limit", "buy", 0.5, 59_990)
    book = alice.fetch_order_book(SYMBOL, 5)
    assert (book["bids"], book["asks"]) == ([[59_990.0, 0.5]], [[60_010.0, 0.2]])
    assert book["nonce"] > 0
    trade = alice.fetch_trades(SYMBOL)[-1]
    assert (trade["price"], trade["amount"], trade["side"]) == (60_010.0, 0.1, "buy")
    candle = alice.fetch_ohlcv(SYMBOL, "1m")[-1]
    assert candle[4] == 60_010.0
    ticker = alice.fetch_ticker(SYMBOL)
    assert (ticker["last"], ticker["bid"], ticker["ask"]) == (60_010.0, 59_990.0, 60_010.0)
    assert set(alice.fetch_tickers()) == {"BTC/USD", "ETH/USD"}
    assert alice.fetch_bids_asks([SYMBOL])[SYMBOL]["bid"] == 59_990.0
    assert alice.fetch_last_prices([SYMBOL])[SYMBOL]["price"] == 60_010.0


def test_market_orders_by_cost(alice: Any, bob: Any) -> None:
    bob.create_order(SYMBOL, "limit", "sell", 1, 60_000)
    order = alice.create_market_buy_order_with_cost(SYMBOL, 3_000)
    assert (order["status"], order["filled"], order["cost"]) == ("closed", 0.05, 3_000.0)


def test_post_only_stop_and_time_in_force(alice: Any, bob: Any) -> None:
    bob.create_order(SYMBOL, "limit", "sell", 0.1, 60_000)
    order = alice.create_order(SYMBOL, "limit", "buy", 0.1, 59_999, {"postOnly": True})
    assert alice.fetch_order(order["id"], SYMBOL)["postOnly"] is True
    alice.create_order(SYMBOL, "limit", "buy", 0.1, 60_000)  # now there is a last price
    stop = alice.create_order(SYMBOL, "limit", "sell", 0.1, 54_000, {"stopLossPrice": 55_000})
    found = alice.fetch_order(stop["id"], SYMBOL)
    assert (found["status"], found["triggerPrice"], found["price"]) == ("open", 55_000.0, 54_000.0)
    profit = alice.create_order(SYMBOL, "market", "sell", 0.1, None, {"takeProfitPrice": 65_000})
    assert alice.fetch_order(profit["id"], SYMBOL)["triggerPrice"] == 65_000.0
    following = {"trailingDelta": 100, "stopLossOrTakeProfit": "stopLoss"}
    trailing = alice.create_order(SYMBOL, "market", "sell", 0.1, None, following)
    assert alice.fetch_order(trailing["id"], SYMBOL)["status"] == "open"
    part = alice.create_order(SYMBOL, "limit", "buy", 1, 61_000, {"timeInForce": "IOC"})
    assert part["status"] == "expired"
    iceberg = alice.create_order(SYMBOL, "limit", "buy", 1, 50_000, {"icebergAmount": 0.1})
    assert alice.fetch_order(iceberg["id"], SYMBOL)["info"]["icebergQty"] == "0.1000"


def test_an_order_is_edited(alice: Any) -> None:
    order = alice.create_order(SYMBOL, "limit", "buy", 0.1, 50_000)
    edited = alice.edit_order(order["id"], SYMBOL, "limit", "buy", 0.2, 50_001)
    assert (edited["status"], edited["amount"], edited["price"]) == ("open", 0.2, 50_001.0)
    assert [one["id"] for one in alice.fetch_open_orders(SYMBOL)] == [edited["id"]]


def test_all_orders_of_a_symbol_are_cancelled(alice: Any) -> None:
    ids = [alice.create_order(SYMBOL, "limit", "buy", 0.1, price)["id"] for price in (50_000, 50_001, 50_002)]
    assert [one["id"] for one in alice.cancel_all_orders(SYMBOL)] == ids
    assert alice.fetch_open_orders(SYMBOL) == []


def test_a_test_order_leaves_nothing(alice: Any) -> None:
    alice.create_order(SYMBOL, "limit", "buy", 0.1, 50_000, {"test": True})
    assert alice.fetch_open_orders(SYMBOL) == []


def test_self_trade_prevention_has_ccxts_names(alice: Any) -> None:
    alice.create_order(SYMBOL, "limit", "buy", 0.1, 50_000)
    order = alice.create_order(SYMBOL, "limit", "sell", 0.1, 50_000, {"selfTradePrevention": "EXPIRE_BOTH"})
    assert order["info"]["status"] == "EXPIRED_IN_MATCH"
    assert alice.fetch_open_orders(SYMBOL) == []


# ---- Refusals --------------------------------------------------------------------------------------------------------


def test_each_refusal_is_ccxts_own_exception(stack: Stack, alice: Any, bob: Any) -> None:
    bob.create_order(SYMBOL, "limit", "sell", 0.1, 60_000)
    with pytest.raises(ccxt.InsufficientFunds):
        alice.create_order(SYMBOL, "limit", "buy", 1_000_000, 60_000)
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        alice.create_order(SYMBOL, "limit", "buy", 0.1, 60_000, {"postOnly": True})
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        alice.create_order(SYMBOL, "market", "sell", 0.1, None, {"stopLossPrice": 70_000})
    with pytest.raises(ccxt.OrderNotFound):
        alice.cancel_order("987654321", SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        alice.fetch_order("987654321", SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        alice.cancel_all_orders(SYMBOL)
    with pytest.raises(ccxt.InvalidOrder, match="PERCENT_PRICE_BY_SIDE"):
        alice.create_order(SYMBOL, "limit", "buy", 0.1, 90_000)
    with pytest.raises(ccxt.BadSymbol):
        alice.public_get_depth({"symbol": "NOSUCH"})
    raw = {"symbol": "BTCUSD", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "50000"}
    with pytest.raises(ccxt.InvalidOrder, match="price is invalid"):
        alice.private_post_order(raw | {"price": "50000.001"})
    with pytest.raises(ccxt.InvalidOrder, match="lot size"):
        alice.private_post_order(raw | {"quantity": "0.00001"})
    with pytest.raises(ccxt.BadRequest):
        alice.private_post_order(raw | {"side": "HOLD"})
    with pytest.raises(ccxt.BadRequest, match="timeInForce"):
        alice.private_post_order({name: value for name, value in raw.items() if name != "timeInForce"})
    alice.create_order(SYMBOL, "limit", "buy", 0.1, 50_000, {"clientOrderId": "twice"})
    with pytest.raises(ccxt.InvalidOrder, match="Duplicate order sent"):
        alice.create_order(SYMBOL, "limit", "buy", 0.1, 50_000, {"clientOrderId": "twice"})
    for client_order_id in ("x" * 37, "two words", "ä", "x\n", "x" * 36 + "\n"):
        with pytest.raises(ccxt.BadRequest):
            alice.private_post_order(raw | {"newClientOrderId": client_order_id})


def test_notional_too_small_is_a_bad_request(stack: Stack, alice: Any) -> None:
    with stack.client() as admin:
        limits = {"collar_ppm": 200_000, "quantity_lots_min": 1, "notional_units_min": 10 * 10**6}
        admin.set_instrument_limits(2, **limits).raise_if_rejected()
    order = {"symbol": "ETHUSD", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    with pytest.raises(ccxt.BadRequest, match="NOTIONAL"):
        alice.private_post_order(order | {"quantity": "0.001", "price": "3000"})


def test_a_halted_market_is_closed(stack: Stack, alice: Any) -> None:
    with stack.client() as admin:
        admin.halt(instrument=2).raise_if_rejected()
        try:
            with pytest.raises(ccxt.MarketClosed):
                alice.create_order("ETH/USD", "limit", "buy", 0.1, 3_000)
            assert alice.load_markets(True)["ETH/USD"]["active"] is False
        finally:
            admin.resume(instrument=2).raise_if_rejected()


def test_a_wrong_key_secret_or_clock_is_told_apart(stack: Stack) -> None:
    exchange = by_ccxt(stack, "alice")
    exchange.secret = "0" * 64
    with pytest.raises(ccxt.AuthenticationError, match="Signature for this request is not valid"):
        exchange.fetch_balance()
    exchange = by_ccxt(stack, "alice")
    exchange.apiKey = "nobody"
    with pytest.raises(ccxt.AuthenticationError, match="Invalid API-key"):
        exchange.fetch_balance()
    exchange = by_ccxt(stack, "alice")
    exchange.apiKey = "no key has spaces"
    with pytest.raises(ccxt.AuthenticationError, match="API-key format invalid"):
        exchange.fetch_balance()
    stack.keys["reader"] = stack.node.make_key("reader", int(Permission.READ), 1)
    exchange = by_ccxt(stack, "reader")
    wait_until(lambda: stack.signed("reader", "GET", "/api/v3/account")[0] == 200, 10, "the key is not known")
    with pytest.raises(ccxt.AuthenticationError, match="Invalid API-key, IP, or permissions"):
        exchange.private_post_order({"symbol": "BTCUSD", "side": "BUY", "type": "MARKET", "quantity": "1"})
    assert exchange.fetch_balance()["USD"]["total"] > 0
    exchange = by_ccxt(stack, "alice")
    exchange.load_markets()
    exchange.options["timeDifference"] = 3_600_000
    with pytest.raises(ccxt.InvalidNonce):
        exchange.fetch_balance()


# ---- asyncio ---------------------------------------------------------------------------------------------------------


@in_loop
async def test_the_round_by_asyncio(stack: Stack) -> None:
    clear(stack)
    alice, bob = by_async_ccxt(stack, "alice"), by_async_ccxt(stack, "bob")
    try:
        assert SYMBOL in await alice.load_markets()
        before = (await alice.fetch_balance())["BTC"]["total"]
        order = await alice.create_order(SYMBOL, "limit", "buy", 0.1, 60_000)
        assert [one["id"] for one in await alice.fetch_open_orders(SYMBOL)] == [order["id"]]
        taken = await bob.create_order(SYMBOL, "market", "sell", 0.04)
        assert taken["filled"] == 0.04
        found = await alice.fetch_order(order["id"], SYMBOL)
        assert (found["status"], found["filled"], found["remaining"]) == ("open", 0.04, 0.06)
        edited = await alice.edit_order(order["id"], SYMBOL, "limit", "buy", 0.05, 59_000)
        assert (await alice.cancel_order(edited["id"], SYMBOL))["status"] == "canceled"
        assert (await alice.fetch_balance())["BTC"]["total"] == pytest.approx(before + 0.04)
        assert (await alice.fetch_my_trades(SYMBOL))[-1]["order"] == order["id"]
        assert (await alice.fetch_order_book(SYMBOL))["bids"] == []
        assert (await alice.fetch_ohlcv(SYMBOL))[-1][4] == 60_000.0
        assert (await alice.fetch_trades(SYMBOL))[-1]["price"] == 60_000.0
        assert (await alice.fetch_tickers())[SYMBOL]["last"] == 60_000.0
        with pytest.raises(ccxt.OrderNotFound):
            await alice.cancel_order(edited["id"], SYMBOL)
        with pytest.raises(ccxt.InsufficientFunds):
            await alice.create_order(SYMBOL, "limit", "buy", 1_000_000, 60_000)
    finally:
        await alice.close()
        await bob.close()


# ---- Limits, and a restart -------------------------------------------------------------------------------------------


def test_limits_of_orders_and_weight_are_kept(tmp_path: Path) -> None:
    with fenced(), Stack(tmp_path, weight_per_minute=400, orders_per_10s=3, ban_after=3) as stack:
        alice = by_ccxt(stack, "alice")
        alice.load_markets()
        orders = [_refusal(alice, "create_order", SYMBOL, "limit", "buy", 0.001, 50_000) for _ in range(8)]
        [late, *_] = [one for one in orders if one[0]]  # three fit, or six where ten seconds end among them
        assert "429" in late[0]
        assert "-1015" in late[0]
        assert 0 < late[1] <= 10
        reads = [_refusal(alice, "fetch_balance") for _ in range(60)]
        assert any("429" in text and "-1003" in text for text, _ in reads)
        assert "418" in reads[-1][0]
        assert reads[-1][1] > 10


def _refusal(exchange: Any, method: str, *arguments: object) -> tuple[str, int]:
    """What ccxt says, and after how many seconds to come again; nothing if it was not refused."""
    try:
        getattr(exchange, method)(*arguments)
    except ccxt.DDoSProtection as error:
        headers = {name.lower(): value for name, value in exchange.last_response_headers.items()}
        return str(error), int(headers["retry-after"])
    return "", 0


def test_a_restart_of_the_gateway_loses_nothing(stack: Stack, alice: Any, bob: Any) -> None:
    named = {"clientOrderId": "before:the/restart_1.0"}
    order = alice.create_order(SYMBOL, "limit", "buy", 0.1, 60_000, named)
    bob.create_order(SYMBOL, "market", "sell", 0.04)
    before = alice.fetch_my_trades(SYMBOL)[-1]
    stack.restart_gateway()
    found = alice.fetch_order(None, SYMBOL, named)
    assert (found["id"], found["status"], found["filled"]) == (order["id"], "open", 0.04)
    assert alice.fetch_my_trades(SYMBOL)[-1] == before
    assert alice.fetch_trades(SYMBOL)[-1]["id"] == before["id"]
    assert alice.cancel_order(order["id"], SYMBOL)["info"]["origClientOrderId"] == "before:the/restart_1.0"


def test_an_engine_that_is_away_refuses_orders_and_reads_go_on(stack: Stack, alice: Any) -> None:
    order = alice.create_order(SYMBOL, "limit", "buy", 0.1, 50_000)
    stack.node.stop()
    try:
        with pytest.raises(ccxt.OperationFailed):
            alice.create_order(SYMBOL, "limit", "buy", 0.1, 50_000)
        with pytest.raises(ccxt.OperationFailed):
            alice.cancel_order(order["id"], SYMBOL)
        assert [one["id"] for one in alice.fetch_open_orders(SYMBOL)] == [order["id"]]
    finally:
        stack.node.start()
    wait_until(lambda: _is_open(alice, order["id"]) is False, 20, "no line to the engine")
    assert alice.fetch_open_orders(SYMBOL) == []
    assert alice.create_order(SYMBOL, "limit", "buy", 0.1, 50_000)["status"] == "open"


def _is_open(exchange: Any, order_id: str) -> bool:
    """Cancel it; False: it is cancelled."""
    try:
        exchange.cancel_order(order_id, SYMBOL)
    except ccxt.OperationFailed:
        return True
    return False
