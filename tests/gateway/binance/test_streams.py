"""Market streams of the Binance dialect, as clients meet them on a running gateway."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.support.aio import in_loop
from tests.support.gateway import Stack
from tests.support.sockets import Client


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("streams"), socket_messages_per_s=1_000) as found:
        yield found


@pytest.fixture(autouse=True)
def _no_orders(stack: Stack) -> None:
    """Each test begins with empty books."""
    for key in ("alice", "bob", "carol"):
        for symbol in ("BTCUSD", "ETHUSD"):
            stack.signed(key, "DELETE", "/api/v3/openOrders", symbol=symbol)


async def enter(stack: Stack, key: str, side: str, quantity: str, price: str = "", **more: object) -> dict[str, Any]:
    return await asyncio.to_thread(lambda: stack.order(key, side, quantity, price, **more))


async def cross(stack: Stack, price: str, quantity: str = "0.0100") -> dict[str, Any]:
    """Alice sells to bob at that price."""
    await enter(stack, "alice", "SELL", quantity, price)
    return await enter(stack, "bob", "BUY", quantity, price)


@in_loop
async def test_a_trade_is_told_with_its_id_and_who_was_the_maker(stack: Stack) -> None:
    async with Client(f"{stack.ws_url}/ws/btcusd@trade/btcusd@aggTrade") as client:
        assert await client.ask("LIST_SUBSCRIPTIONS") == {"result": ["btcusd@trade", "btcusd@aggTrade"], "id": 1}
        await cross(stack, "60000.00")
        trade, aggregate = await client.event("trade"), await client.event("aggTrade")
        assert (trade["s"], trade["p"], trade["q"], trade["m"]) == ("BTCUSD", "60000.00", "0.0100", False)
        assert trade["E"] == trade["T"] > 1_600_000_000_000
        assert (aggregate["a"], aggregate["f"], aggregate["l"]) == (trade["t"], trade["t"], trade["t"])
        await enter(stack, "bob", "BUY", "0.0200", "59999.00")
        await enter(stack, "alice", "SELL", "0.0200", "59999.00")
        sold = await client.event("trade")
        assert (sold["t"], sold["m"], sold["q"]) == (trade["t"] + 1, True, "0.0200")


@in_loop
async def test_a_book_rebuilt_from_changes_and_a_snapshot_is_the_book(stack: Stack) -> None:
    seeds = random.Random(7)
    async with Client(f"{stack.ws_url}/ws/btcusd@depth@100ms") as client:

        async def trade() -> None:
            for _ in range(150):
                side = seeds.choice(("BUY", "SELL"))
                price = 60_000 + seeds.randint(-40, 40) / 2
                await enter(stack, seeds.choice(("alice", "bob", "carol")), side, f"0.{seeds.randint(1, 90):04d}",
                            f"{price:.2f}", selfTradePreventionMode="EXPIRE_MAKER")  # fmt: skip

        market = asyncio.create_task(trade())
        first = await client.event("depthUpdate")
        _, snapshot = await asyncio.to_thread(lambda: stack.get("/api/v3/depth", symbol="BTCUSD", limit=5000))
        book = {side: {Decimal(p): Decimal(q) for p, q in snapshot[side]} for side in ("bids", "asks")}
        update_id, message = snapshot["lastUpdateId"], first
        assert first["U"] <= update_id + 1
        previous = first["U"] - 1
        while True:
            assert message["U"] == previous + 1
            previous = message["u"]
            if message["u"] > update_id:
                for name, short in (("bids", "b"), ("asks", "a")):
                    for price, quantity in message[short]:
                        book[name][Decimal(price)] = Decimal(quantity)
            if market.done():
                _, end = await asyncio.to_thread(lambda: stack.get("/api/v3/depth", symbol="BTCUSD", limit=5000))
                if end["lastUpdateId"] == max(previous, update_id):
                    break
            message = await client.event("depthUpdate")
        await market
        for name in ("bids", "asks"):
            rebuilt = {price: quantity for price, quantity in book[name].items() if quantity}
            assert rebuilt == {Decimal(p): Decimal(q) for p, q in end[name]}


@in_loop
async def test_best_levels_and_best_prices_are_told_at_once_and_on_change(stack: Stack) -> None:
    names = "btcusd@depth5@100ms/btcusd@depth20/btcusd@bookTicker"
    for step in range(7):
        await enter(stack, "alice", "SELL", "0.0100", f"{60_010 + step}.00")
        await enter(stack, "bob", "BUY", "0.0200", f"{60_000 - step}.00")
    async with Client(f"{stack.ws_url}/stream?streams={names}") as client:
        await client.until(lambda one: one.get("stream") == "btcusd@bookTicker")
        told = {one["stream"]: one["data"] for one in client.seen}
        assert set(told) == set(names.split("/"))
        _, depth = await asyncio.to_thread(lambda: stack.get("/api/v3/depth", symbol="BTCUSD", limit=5))
        assert told["btcusd@depth5@100ms"] == depth
        best = told["btcusd@bookTicker"]
        assert (best["b"], best["B"]) == tuple(depth["bids"][0])
        assert (best["a"], best["A"]) == tuple(depth["asks"][0])
        price = f"{Decimal(best['b']) + Decimal('0.01'):.2f}"
        entered = await enter(stack, "carol", "BUY", "0.0500", price)
        changed = await client.until(lambda one: one["stream"] == "btcusd@bookTicker" and one["data"]["b"] == price)
        assert changed["data"]["B"] == "0.0500"
        assert changed["data"]["u"] > best["u"]
        await asyncio.to_thread(
            lambda: stack.signed("carol", "DELETE", "/api/v3/order", symbol="BTCUSD", orderId=entered["orderId"])
        )
        back = await client.until(lambda one: one["stream"] == "btcusd@bookTicker" and one["data"]["b"] != price)
        assert (back["data"]["b"], back["data"]["u"]) == (best["b"], changed["data"]["u"] + 1)


@in_loop
async def test_a_candle_grows_and_is_closed_when_its_time_is_over(stack: Stack) -> None:
    async with Client(f"{stack.ws_url}/ws/btcusd@kline_1s/btcusd@kline_1m") as client:
        await cross(stack, "60001.00", "0.0300")

        def candle(interval: str, *, closed: bool) -> Any:
            """The first one with the trade."""
            found = (one["k"] for one in client.seen if one["k"]["i"] == interval and one["k"]["c"] == "60001.00")
            return next((k for k in found if k["x"] == closed and k["n"]), None)

        await client.until(lambda one: candle("1m", closed=False) and candle("1s", closed=True))
        k = candle("1m", closed=False)
        assert (k["s"], k["T"] - k["t"]) == ("BTCUSD", 59_999)
        k = candle("1s", closed=True)
        _, (rest, *_) = await asyncio.to_thread(
            lambda: stack.get("/api/v3/klines", symbol="BTCUSD", interval="1s", startTime=k["t"])
        )
        assert [k[name] for name in "tohlcvTqnVQB"] == rest
        assert k["T"] - k["t"] == 999


@in_loop
async def test_tickers_say_what_rest_says(stack: Stack) -> None:
    names = "btcusd@ticker/btcusd@miniTicker/!ticker@arr/!miniTicker@arr"
    async with Client(f"{stack.ws_url}/stream?streams={names}") as client:
        await client.until(lambda one: len({told["stream"] for told in client.seen}) == 4)
        told = {one["stream"]: one["data"] for one in client.seen}
        _, rest = await asyncio.to_thread(lambda: stack.get("/api/v3/ticker/24hr", symbol="BTCUSD"))
        pairs = {
            "c": "lastPrice", "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume", "q": "quoteVolume",
            "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "Q": "lastQty", "b": "bidPrice",
            "B": "bidQty", "a": "askPrice", "A": "askQty", "n": "count", "F": "firstId", "L": "lastId",
            "x": "prevClosePrice",
        }  # fmt: skip
        ticker = told["btcusd@ticker"]
        assert {short: ticker[short] for short in pairs} == {short: rest[name] for short, name in pairs.items()}
        assert ticker["e"] == "24hrTicker"
        mini = told["btcusd@miniTicker"]
        assert mini == {"e": "24hrMiniTicker", "E": mini["E"]} | {
            name: ticker[name] for name in ("s", "c", "o", "h", "l", "v", "q")
        }
        assert {one["s"] for one in told["!ticker@arr"]} == {"BTCUSD", "ETHUSD"}
        assert {one["s"] for one in told["!miniTicker@arr"]} == {"BTCUSD", "ETHUSD"}


@in_loop
async def test_requests_change_what_is_told_and_repeat_their_ids(stack: Stack) -> None:
    async with Client(f"{stack.ws_url}/ws/1") as client:
        answer = await client.ask("SUBSCRIBE", ["btcusd@trade", "nothing@here", "btcusd@depth7", "BTCUSD@trade"])
        assert answer == {"result": None, "id": 1}
        assert (await client.ask("SUBSCRIBE", ["ethusd@trade"], id="a text"))["id"] == "a text"
        assert (await client.ask("UNSUBSCRIBE", ["btcusd@trade", "nothing@here"]))["result"] is None
        await cross(stack, "60000.00")
        await asyncio.to_thread(lambda: stack.order("alice", "SELL", "0.1000", "3000.00", symbol="ETHUSD"))
        await asyncio.to_thread(lambda: stack.order("bob", "BUY", "0.1000", "3000.00", symbol="ETHUSD"))
        assert (await client.event("trade"))["s"] == "ETHUSD"
        assert not [one for one in client.seen if one.get("s") == "BTCUSD"]
        assert (await client.ask("GET_PROPERTY", ["combined"]))["result"] is False
        assert (await client.ask("SET_PROPERTY", ["combined", True]))["result"] is None
        await asyncio.to_thread(lambda: stack.order("alice", "SELL", "0.1000", "3000.00", symbol="ETHUSD"))
        await asyncio.to_thread(lambda: stack.order("bob", "BUY", "0.1000", "3000.00", symbol="ETHUSD"))
        wrapped = await client.until(lambda one: "stream" in one)
        assert wrapped["stream"] == "ethusd@trade"
        assert wrapped["data"]["e"] == "trade"


BAD = {
    "not json": ("{", 3),
    "no object": ("[1,2]", 2),
    "deep": ("[" * 8_000, 3),
    "deep and whole": ("[" * 4_000 + "]" * 4_000, 3),
    "no method": ('{"id":1}', 2),
    "method no text": ('{"method":5,"id":1}', 2),
    "unknown method": ('{"method":"CONQUER","id":1}', 2),
    "params no list": ('{"method":"SUBSCRIBE","params":"btcusd@trade","id":1}', 2),
    "params no texts": ('{"method":"SUBSCRIBE","params":[1,null,{}],"id":1}', 2),
    "unknown field": ('{"method":"SUBSCRIBE","params":[],"id":1,"more":2}', 2),
    "id a list": ('{"method":"LIST_SUBSCRIPTIONS","id":[1]}', 2),
    "id a boolean": ('{"method":"LIST_SUBSCRIPTIONS","id":true}', 2),
    "id too long": ('{"method":"LIST_SUBSCRIPTIONS","id":"' + "x" * 37 + '"}', 2),
    "name too long": ('{"method":"SUBSCRIBE","params":["' + "x" * 129 + '"],"id":1}', 2),
    "unknown property": ('{"method":"GET_PROPERTY","params":["other"],"id":1}', 0),
    "property no boolean": ('{"method":"SET_PROPERTY","params":["combined",1],"id":1}', 1),
    "too many": ('{"method":"SET_PROPERTY","params":["combined",true,1],"id":1}', 2),
}


@in_loop
async def test_what_is_no_request_is_answered_with_an_error_and_the_socket_lives(stack: Stack) -> None:
    async with Client(f"{stack.ws_url}/ws") as client:
        for what, (text, code) in BAD.items():
            await client.send(text)
            answer = await client.next()
            assert answer["error"]["code"] == code, (what, answer)
            assert answer["error"]["msg"]
            assert set(answer) == {"error", "id"}
        assert (await client.ask("LIST_SUBSCRIPTIONS"))["result"] == []


@in_loop
async def test_a_socket_has_a_bounded_number_of_streams(stack: Stack) -> None:
    async with Client(f"{stack.ws_url}/ws") as client:
        answer = await client.ask("SUBSCRIBE", [f"a{number}" for number in range(1_025)])
        assert "at most 1024 streams" in answer["error"]["msg"]
        assert (await client.ask("SUBSCRIBE", ["a", "btcusd@trade"]))["result"] is None
        assert (await client.ask("LIST_SUBSCRIPTIONS"))["result"] == ["btcusd@trade"]


@in_loop
async def test_nobody_is_told_again_because_others_join(stack: Stack) -> None:
    names = ["btcusd@bookTicker", "btcusd@depth5@100ms", "btcusd@kline_1d", "!ticker@arr"]
    await cross(stack, "60000.00")
    url = f"{stack.ws_url}/stream?streams=" + "/".join(names)
    async with Client(url) as first:
        told = [(await first.next())["stream"] for _ in names]
        assert sorted(told) == sorted(names)
        for _ in range(5):
            async with Client(url) as other:
                assert sorted([(await other.next())["stream"] for _ in names]) == sorted(names)
        await first.ask("LIST_SUBSCRIPTIONS")
        assert len(first.seen) <= len(names) + 2  # the answer, and a second's ticker of the trade before


@in_loop
async def test_other_paths_are_refused_before_the_upgrade(stack: Stack) -> None:
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    many = "/stream?streams=" + "/".join(map(str, range(1_025)))
    for path, status in (("/wsx", 404), ("/streams", 404), (many, 400)):
        found, answer, _ = await asyncio.to_thread(lambda path=path: stack.exchange("GET", path, headers=upgrade))
        assert (found, bool(answer)) == (status, True), path[:40]
