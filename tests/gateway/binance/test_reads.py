"""Reads of the dialect: exchangeInfo and its filters, market data, and what an account asks about itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from schemas.vocabulary import Account, FeeTier, Halt, HaltAction, HaltScope, InstrumentState, PriceStep, TradingState
from tests.gateway.binance.desk import START_NS, Desk

START_MS = START_NS // 1_000_000
MINUTE_NS = 60_000_000_000


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as made:
        yield made


def get(desk: Desk, what: str, account: int = 1, **parameters: object) -> Any:
    return desk.call("GET", f"/api/v3/{what}", account, **parameters)


def trade(desk: Desk, price: str, quantity: str = "0.01") -> None:
    """Account 2 sells to account 1, who takes."""
    desk.order("SELL", 2, price=price, quantity=quantity)
    desk.order("BUY", 1, price=price, quantity=quantity)


# ---- exchangeInfo ----------------------------------------------------------------------------------------------------


def filters(desk: Desk) -> dict[str, dict[str, Any]]:
    [symbol] = get(desk, "exchangeInfo", symbol="BTCUSD")["symbols"]
    return {one["filterType"]: one for one in symbol["filters"]}


def test_a_symbol_is_told_as_clients_read_it(desk: Desk) -> None:
    told = get(desk, "exchangeInfo")
    assert told["timezone"] == "UTC"
    assert [one["rateLimitType"] for one in told["rateLimits"]] == ["REQUEST_WEIGHT", "ORDERS", "ORDERS"]
    [symbol] = told["symbols"]
    assert (symbol["symbol"], symbol["status"], symbol["baseAsset"], symbol["quoteAsset"]) == (
        "BTCUSD", "TRADING", "BTC", "USD",
    )  # fmt: skip
    assert (symbol["baseAssetPrecision"], symbol["quoteAssetPrecision"]) == (8, 6)
    assert symbol["permissions"] == ["SPOT"]
    assert symbol["permissionSets"] == [["SPOT"]]
    assert "LIMIT_MAKER" in symbol["orderTypes"]
    assert symbol["allowedSelfTradePreventionModes"][-1] == "DECREMENT"


def test_filters_are_the_engines_own_rules() -> None:
    with Desk(quantity_lots_min=10, quantity_lots_max=5_000_000, notional_units_min=5_000_000) as desk:
        found = filters(desk)
        assert found["PRICE_FILTER"]["tickSize"] == "0.01"
        assert found["PRICE_FILTER"]["minPrice"] == "0.01"
        assert found["LOT_SIZE"] == {
            "filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "500", "stepSize": "0.0001",
        }  # fmt: skip
        assert found["NOTIONAL"]["minNotional"] == "5"
        assert found["PERCENT_PRICE_BY_SIDE"]["bidMultiplierUp"] == "1.2"
        assert found["PERCENT_PRICE_BY_SIDE"]["askMultiplierDown"] == "0.8"
        assert desk.order_refused(quantity="0.0009", price="50000")[2] == "Filter failure: LOT_SIZE"
        assert desk.order(quantity="0.001", price="50000")["status"] == "NEW"


def test_price_steps_are_those_at_the_last_price(desk: Desk) -> None:
    desk.admin(PriceStep(instrument=1, step=0, from_price_ticks=0, tick_multiple=1, lot_multiple=10))
    desk.admin(PriceStep(instrument=1, step=1, from_price_ticks=5_000_000, tick_multiple=50, lot_multiple=1))
    assert filters(desk)["PRICE_FILTER"]["tickSize"] == "0.5"
    assert filters(desk)["LOT_SIZE"]["stepSize"] == "0.0001"
    assert desk.order_refused(price="60000.01")[2] == "Filter failure: PRICE_FILTER"


def test_without_a_collar_there_is_no_filter_of_it() -> None:
    with Desk(collar_ppm=0) as desk:
        assert "PERCENT_PRICE_BY_SIDE" not in filters(desk)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (TradingState.OPEN, "TRADING"), (TradingState.HALTED, "HALT"), (TradingState.AUCTION, "AUCTION_MATCH"),
        (TradingState.PRE_OPEN, "PRE_TRADING"), (TradingState.CLOSED, "END_OF_DAY"),
    ],
)  # fmt: skip
def test_the_status_is_the_instruments_state(desk: Desk, state: TradingState, told: str) -> None:
    desk.admin(InstrumentState(instrument=1, trading_state=state))
    assert get(desk, "exchangeInfo")["symbols"][0]["status"] == told


def test_a_halt_of_everything_halts_every_symbol(desk: Desk) -> None:
    desk.admin(Halt(scope=HaltScope.EVERYTHING, action=HaltAction.HALT))
    assert get(desk, "exchangeInfo")["symbols"][0]["status"] == "HALT"


def test_symbols_are_chosen_by_name(desk: Desk) -> None:
    assert len(get(desk, "exchangeInfo", symbols='["BTCUSD"]')["symbols"]) == 1
    assert get(desk, "exchangeInfo", permissions="MARGIN")["symbols"] == []
    assert get(desk, "exchangeInfo", symbolStatus="HALT")["symbols"] == []
    path = "/api/v3/exchangeInfo"
    assert desk.refused("GET", path, symbol="BTCUSD", symbols='["BTCUSD"]')[1] == -1128
    assert desk.refused("GET", path, symbols='["NOSUCH"]') == (400, -1121, "Invalid symbol.")
    for wrong in ("BTCUSD", "[", "[1]", "{}", "[" * 4_000):
        assert desk.refused("GET", path, symbols=wrong)[1] == -1100
    assert desk.refused("GET", path, symbols='["BTCUSD","BTCUSD"]')[1] == -1128
    assert desk.refused("GET", path, symbols="[]")[1] == -1128


# ---- Market data -----------------------------------------------------------------------------------------------------


def test_depth_is_best_first_and_bounded(desk: Desk) -> None:
    for price in ("59998", "59999"):
        desk.order(price=price)
    desk.order("SELL", 2, price="60001", quantity="0.3")
    told = get(desk, "depth", symbol="BTCUSD", limit=1)
    assert told["bids"] == [["59999.00", "0.1000"]]
    assert told["asks"] == [["60001.00", "0.3000"]]
    assert told["lastUpdateId"] == 3


def test_trades_are_told_oldest_first(desk: Desk) -> None:
    for price in ("60000", "60001", "60002"):
        trade(desk, price)
    told = get(desk, "trades", symbol="BTCUSD", limit=2)
    assert [one["id"] for one in told] == [2, 3]
    assert told[0]["price"] == "60001.00"
    assert told[0]["quoteQty"] == "600.010000"
    assert told[0]["isBuyerMaker"] is False
    assert [one["id"] for one in get(desk, "historicalTrades", symbol="BTCUSD", fromId=1, limit=1)] == [1]
    assert [one["a"] for one in get(desk, "aggTrades", symbol="BTCUSD", fromId=2)] == [2, 3]
    times = [one["T"] for one in get(desk, "aggTrades", symbol="BTCUSD")]
    assert [one["a"] for one in get(desk, "aggTrades", symbol="BTCUSD", startTime=times[1])] == [2, 3]
    assert [one["a"] for one in get(desk, "aggTrades", symbol="BTCUSD", endTime=times[1])] == [1, 2]
    window = {"startTime": times[1], "endTime": times[1]}
    assert [one["a"] for one in get(desk, "aggTrades", symbol="BTCUSD", **window)] == [2]
    assert desk.refused("GET", "/api/v3/aggTrades", symbol="BTCUSD", startTime=2, endTime=1)[1] == -1128


def test_candles_are_arrays_of_twelve(desk: Desk) -> None:
    trade(desk, "60000", "0.01")
    trade(desk, "60100", "0.02")
    desk.now_ns += 2 * MINUTE_NS
    trade(desk, "60050", "0.01")
    told = get(desk, "klines", symbol="BTCUSD", interval="1m")
    assert [len(one) for one in told] == [12, 12, 12]
    first, flat, last = told
    assert first[1:6] == ["60000.00", "60100.00", "60000.00", "60100.00", "0.0300"]
    assert first[6] == first[0] + 59_999
    assert first[7:] == ["1802.000000", 2, "0.0300", "1802.000000", "0"]
    assert flat[1:9] == ["60100.00", "60100.00", "60100.00", "60100.00", "0.0000", flat[6], "0.000000", 0]
    assert last[4] == "60050.00"
    assert get(desk, "klines", symbol="BTCUSD", interval="1m", limit=1) == [last]
    assert get(desk, "klines", symbol="BTCUSD", interval="1m", startTime=first[0], limit=1) == [first]
    assert get(desk, "klines", symbol="BTCUSD", interval="1m", startTime=first[0] + 1, limit=1) == [flat]
    assert get(desk, "uiKlines", symbol="BTCUSD", interval="1M")[0][5] == "0.0400"


@pytest.mark.parametrize("interval", ["1s", "1m", "3m", "1h", "4h", "1d", "1w", "1M"])
def test_a_time_before_the_first_trade_means_the_first_candle(desk: Desk, interval: str) -> None:
    trade(desk, "60000", "0.01")
    desk.now_ns += 3 * MINUTE_NS
    trade(desk, "60001", "0.01")
    every = get(desk, "klines", symbol="BTCUSD", interval=interval)
    assert get(desk, "klines", symbol="BTCUSD", interval=interval, startTime=0, limit=1) == every[:1]
    assert get(desk, "klines", symbol="BTCUSD", interval=interval, startTime=0) == every


def test_before_the_first_trade_there_are_no_candles(desk: Desk) -> None:
    assert get(desk, "klines", symbol="BTCUSD", interval="1h") == []
    assert get(desk, "trades", symbol="BTCUSD") == []
    assert get(desk, "avgPrice", symbol="BTCUSD")["price"] == "60000.00"
    told = get(desk, "ticker/24hr", symbol="BTCUSD")
    assert (told["count"], told["firstId"], told["priceChangePercent"]) == (0, -1, "0.000")


def test_tickers_are_of_one_symbol_of_some_or_of_all(desk: Desk) -> None:
    trade(desk, "60000")
    trade(desk, "60600")
    desk.order(price="59000", quantity="0.5")
    told = get(desk, "ticker/24hr", symbol="BTCUSD")
    assert (told["priceChange"], told["priceChangePercent"], told["lastPrice"]) == ("600.00", "1.000", "60600.00")
    assert (told["bidPrice"], told["bidQty"], told["askPrice"]) == ("59000.00", "0.5000", "0.00")
    assert (told["volume"], told["quoteVolume"], told["count"]) == ("0.0200", "1206.000000", 2)
    assert get(desk, "ticker/24hr") == get(desk, "ticker/24hr", symbols='["BTCUSD"]')
    small = get(desk, "ticker/24hr", symbol="BTCUSD", type="MINI")
    assert "bidPrice" not in small
    assert small["lastPrice"] == "60600.00"
    assert get(desk, "ticker/price", symbol="BTCUSD") == {"symbol": "BTCUSD", "price": "60600.00"}
    assert get(desk, "ticker/price") == [{"symbol": "BTCUSD", "price": "60600.00"}]
    assert get(desk, "ticker/bookTicker")[0]["bidPrice"] == "59000.00"
    assert get(desk, "avgPrice", symbol="BTCUSD")["price"] == "60300.000000"


# ---- An account ------------------------------------------------------------------------------------------------------


def test_an_order_is_found_by_either_name_and_by_its_owner_only(desk: Desk) -> None:
    order = desk.order(newClientOrderId="mine")
    assert get(desk, "order", symbol="BTCUSD", orderId=order["orderId"], origClientOrderId="mine")["status"] == "NEW"
    path, none = "/api/v3/order", (400, -2013, "Order does not exist.")
    assert desk.refused("GET", path, symbol="BTCUSD", orderId=order["orderId"], origClientOrderId="other") == none
    assert desk.refused("GET", path, 2, symbol="BTCUSD", orderId=order["orderId"]) == none
    assert desk.refused("GET", path, 2, symbol="BTCUSD", origClientOrderId="mine") == none
    assert desk.refused("GET", path, symbol="BTCUSD", orderId=99_999) == none
    assert desk.refused("GET", path, symbol="BTCUSD")[1] == -1102


def test_open_orders_and_all_orders(desk: Desk) -> None:
    ids = [desk.order(price=price)["orderId"] for price in ("59000", "58000", "57000")]
    desk.order(account=2, price="56000")
    desk.call("DELETE", "/api/v3/order", symbol="BTCUSD", orderId=ids[1])
    assert [one["orderId"] for one in get(desk, "openOrders")] == [ids[0], ids[2]]
    assert [one["orderId"] for one in get(desk, "openOrders", symbol="BTCUSD")] == [ids[0], ids[2]]
    told = get(desk, "allOrders", symbol="BTCUSD")
    assert [(one["orderId"], one["status"]) for one in told] == [
        (ids[0], "NEW"), (ids[1], "CANCELED"), (ids[2], "NEW"),
    ]  # fmt: skip
    assert [one["orderId"] for one in get(desk, "allOrders", symbol="BTCUSD", limit=2)] == ids[1:]
    assert [one["orderId"] for one in get(desk, "allOrders", symbol="BTCUSD", orderId=ids[0], limit=2)] == ids[:2]
    assert [one["orderId"] for one in get(desk, "allOrders", symbol="BTCUSD", startTime=told[1]["time"])] == ids[1:]
    assert [one["orderId"] for one in get(desk, "allOrders", symbol="BTCUSD", endTime=told[1]["time"])] == ids[:2]


def test_my_trades_tell_role_and_commission(desk: Desk) -> None:
    for price in ("60000", "60001", "60002"):
        trade(desk, price)
    told = get(desk, "myTrades", symbol="BTCUSD")
    assert [one["id"] for one in told] == [1, 2, 3]
    assert told[0] == {
        "symbol": "BTCUSD", "id": 1, "orderId": told[0]["orderId"], "orderListId": -1, "price": "60000.00",
        "qty": "0.0100", "quoteQty": "600.000000", "commission": "0.180000", "commissionAsset": "USD",
        "time": told[0]["time"], "isBuyer": True, "isMaker": False, "isBestMatch": True,
    }  # fmt: skip
    maker = get(desk, "myTrades", 2, symbol="BTCUSD", limit=1)[0]
    assert (maker["id"], maker["isBuyer"], maker["isMaker"], maker["commission"]) == (3, False, True, "0.060002")
    assert [one["id"] for one in get(desk, "myTrades", symbol="BTCUSD", fromId=2)] == [2, 3]
    assert [one["id"] for one in get(desk, "myTrades", symbol="BTCUSD", fromId=2, limit=1)] == [2]
    assert [one["id"] for one in get(desk, "myTrades", symbol="BTCUSD", orderId=told[1]["orderId"])] == [2]
    assert [one["id"] for one in get(desk, "myTrades", symbol="BTCUSD", startTime=told[1]["time"])] == [2, 3]
    assert [one["id"] for one in get(desk, "myTrades", symbol="BTCUSD", endTime=told[1]["time"])] == [1, 2]


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_no_page_of_trades_ends_between_both_sides_of_one(desk: Desk, limit: int) -> None:
    desk.order("SELL", 2, quantity="0.001")
    for _ in range(3):
        desk.order("BUY", 2, quantity="0.001", selfTradePreventionMode="NONE")
        desk.order("SELL", 2, quantity="0.001", selfTradePreventionMode="NONE")
    desk.order("BUY", 1, quantity="0.001")
    whole = get(desk, "myTrades", 2, symbol="BTCUSD")
    assert [one["id"] for one in whole] == [1, 1, 2, 2, 3, 3, 4]
    found: list[dict[str, Any]] = []
    first = 0
    while page := get(desk, "myTrades", 2, symbol="BTCUSD", fromId=first, limit=limit):
        found += page
        first = page[-1]["id"] + 1
    assert found == whole
    newest = get(desk, "myTrades", 2, symbol="BTCUSD", limit=limit)
    assert newest == whole[-len(newest) :]
    assert len(newest) == {1: 1, 2: 1, 3: 3, 4: 3}[limit]


def test_an_account_tells_balances_and_rates(desk: Desk) -> None:
    desk.order(price="50000", quantity="1")
    told = get(desk, "account")
    balances = {one["asset"]: (one["free"], one["locked"]) for one in told["balances"]}
    assert balances["BTC"] == ("100.00000000", "0.00000000")
    assert balances["USD"] == ("9949984.999999", "50015.000001")
    assert (told["makerCommission"], told["takerCommission"], told["accountType"]) == (1, 3, "SPOT")
    assert told["commissionRates"]["taker"] == "0.00030000"
    assert told["canTrade"] is True
    desk.admin(Account(account=4))
    assert get(desk, "account", 4, omitZeroBalances="true")["balances"] == []


def test_rates_are_those_of_the_accounts_tier(desk: Desk) -> None:
    desk.admin(FeeTier(instrument=1, tier=1, maker_fee_ppm=-50, taker_fee_ppm=200))
    desk.admin(Account(account=1, fee_tier=1))
    told = get(desk, "account/commission", symbol="BTCUSD")
    assert told["standardCommission"]["maker"] == "-0.00005000"
    assert told["standardCommission"]["taker"] == "0.00020000"
    fees = desk.call("GET", "/sapi/v1/asset/tradeFee", 2)
    assert fees == [{"symbol": "BTCUSD", "makerCommission": "0.00010000", "takerCommission": "0.00030000"}]


def test_what_is_used_of_the_order_limits(desk: Desk) -> None:
    desk.gateway.limits.orders(1, 3, desk.now_ns)
    told = get(desk, "rateLimit/order")
    assert [(one["interval"], one["count"]) for one in told] == [("SECOND", 3), ("DAY", 3)]


def test_what_is_not_here_is_answered_with_nothing(desk: Desk) -> None:
    for path in ("/sapi/v1/capital/config/getall", "/sapi/v1/margin/allPairs", "/sapi/v1/margin/isolated/allPairs"):
        assert desk.call("GET", path) == []
    for path in ("/fapi/v1/exchangeInfo", "/dapi/v1/exchangeInfo"):
        assert desk.call("GET", path)["symbols"] == []
    assert desk.call("GET", "/sapi/v1/system/status") == {"status": 0, "msg": "normal"}
    assert get(desk, "ping") == {}
    assert get(desk, "time")["serverTime"] >= START_MS
