"""Whatever a WebSocket client can say: an answer of the door's own shape, or a closed socket; the gateway serves on."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from gateway.binance.ws_api import METHODS
from tests.support.aio import in_loop
from tests.support.gateway import Stack
from tests.support.sockets import Client

COUNT = 400  # messages at each door
WORDS: tuple[Any, ...] = (
    "", "a", "BTCUSD", "btcusd@trade", "btcusd@depth@100ms", "@", "!ticker@arr", "BTC/USD", "alice", "null", "-1",
    "0.1", "1e400", "\ud83d\ude00", "\x00", "x" * 200, "9" * 60, "[]", "account", "level3", "status", "subscribe",
    "login", 0, -1, 1, 2**31, 2**63, -(2**70), 10**300, 0.5, 1e308, True, False, None, [], {}, [[]], {"a": {"b": []}},
)  # fmt: skip
NAMES = (
    "id", "op", "method", "params", "channel", "symbol", "after", "after_trade", "key_id", "timestamp", "signature",
    "apiKey", "recvWindow", "quantity", "price", "side", "type", "orderId", "listenKey", "limit", "interval", "fromId",
    "subscriptionId", "returnRateLimits", "symbols", "", "x", "__class__",
)  # fmt: skip
STREAM_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
OPS = ("subscribe", "unsubscribe", "ping", "login")
API_METHODS = (*METHODS, "session.logon", "session.status", "userDataStream.subscribe", "userDataStream.unsubscribe")

ORDER = {
    "symbol": "BTCUSD", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "60000.00",
}  # fmt: skip
# Requests that are whole: one of their values is then another one, so that the rest of a handler is reached
WHOLE: dict[str, dict[str, Any]] = {
    "order.place": ORDER | {"newOrderRespType": "FULL", "newClientOrderId": "a", "icebergQty": "0.001"},
    "order.test": {"symbol": "BTCUSD", "side": "BUY", "type": "MARKET", "quoteOrderQty": "100"},
    "order.status": {"symbol": "BTCUSD", "orderId": 7}, "order.cancel": {"symbol": "BTCUSD", "origClientOrderId": "a"},
    "order.cancelReplace": ORDER | {"cancelReplaceMode": "ALLOW_FAILURE", "cancelOrderId": 7},
    "order.amend.keepPriority": {"symbol": "BTCUSD", "orderId": 7, "newQty": "0.001"},
    "orderList.place.oco": {
        "symbol": "BTCUSD", "side": "SELL", "quantity": "0.01", "aboveType": "LIMIT_MAKER", "abovePrice": "61000.00",
        "belowType": "STOP_LOSS", "belowStopPrice": "59000.00",
    },
    "orderList.cancel": {"symbol": "BTCUSD", "orderListId": 7}, "openOrders.cancelAll": {"symbol": "BTCUSD"},
    "allOrders": {"symbol": "BTCUSD", "orderId": 1, "limit": 5}, "myTrades": {"symbol": "BTCUSD", "fromId": 1},
    "account.status": {"omitZeroBalances": True}, "account.commission": {"symbol": "BTCUSD"},
    "depth": {"symbol": "BTCUSD", "limit": 5}, "trades.historical": {"symbol": "BTCUSD", "fromId": 0, "limit": 5},
    "trades.aggregate": {"symbol": "BTCUSD", "startTime": 1, "endTime": 2},
    "klines": {"symbol": "BTCUSD", "interval": "1m", "startTime": 1, "endTime": 2, "timeZone": "0"},
    "ticker.24hr": {"symbols": ["BTCUSD", "ETHUSD"], "type": "MINI"}, "userDataStream.start": {"apiKey": "alice"},
    "userDataStream.unsubscribe": {"subscriptionId": 0}, "userDataStream.ping": {"apiKey": "alice", "listenKey": "a"},
}  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"socket_messages_per_s": 100_000, "ban_after": 1 << 20, "bad_signatures_max": 1 << 20}
    with Stack(tmp_path_factory.mktemp("fuzz"), **settings) as found:
        yield found


def value(choice: random.Random, depth: int = 0) -> Any:
    kind = choice.random()
    if depth < 4 and kind < 0.12:
        return [value(choice, depth + 1) for _ in range(choice.randint(0, 4))]
    if depth < 4 and kind < 0.24:
        return {choice.choice(NAMES): value(choice, depth + 1) for _ in range(choice.randint(0, 4))}
    return choice.choice(WORDS)


def request(choice: random.Random) -> dict[str, Any]:
    """Something that a door may take for a request, more or less."""
    said: dict[str, Any] = {choice.choice(NAMES): value(choice) for _ in range(choice.randint(0, 5))}
    if choice.random() < 0.8:
        said["id"] = choice.choice((1, "a", None, 7))
    if choice.random() < 0.5:
        said["method"] = choice.choice((*STREAM_METHODS, *API_METHODS))
        said["params"] = value(choice) if choice.random() < 0.5 else {
            choice.choice(NAMES): value(choice, 2) for _ in range(choice.randint(0, 6))
        }  # fmt: skip
    if choice.random() < 0.3:
        said["method"] = choice.choice(sorted(WHOLE))
        said["params"] = whole = dict(WHOLE[said["method"]])
        if choice.random() < 0.6:
            whole[choice.choice((*whole, *NAMES) if choice.random() < 0.2 else tuple(whole))] = value(choice)
    if choice.random() < 0.4:
        said["op"] = choice.choice(OPS)
        said["channel"] = choice.choice(("account", "level3", "status", "other"))
    return said


def message(choice: random.Random) -> str:
    text = json.dumps(request(choice), ensure_ascii=choice.random() < 0.5)
    kind = choice.random()
    if kind < 0.7:
        return text.encode("utf-8", "replace").decode()
    if kind < 0.8:
        return text[: choice.randint(0, len(text))].encode("utf-8", "replace").decode()
    if kind < 0.9:
        return choice.choice(("[", '{"a":', "[{")) * choice.randint(1, 3_000)
    return "".join(chr(choice.randint(0, 255)) for _ in range(choice.randint(0, 60)))


def of_streams(answer: Any) -> bool:
    return isinstance(answer, list) or (set(answer) == {"result", "id"} or "error" in answer or "e" in answer or (
        "u" in answer or "lastUpdateId" in answer or "stream" in answer
    ))  # fmt: skip


def of_api(answer: Any) -> bool:
    """A failure of the gateway's own is no answer to what a client said."""
    return "event" in answer or (answer["status"] < 500 and ("result" in answer) != ("error" in answer))


def of_live(answer: Any) -> bool:
    return "channel" in answer or "op" in answer


def logon(stack: Stack) -> dict[str, object]:
    timestamp = stack.timestamp_ms()
    signature = stack.sign("alice", f"apiKey=alice&timestamp={timestamp}")
    return {"apiKey": "alice", "timestamp": timestamp, "signature": signature}


DOORS: dict[str, Callable[[Any], bool]] = {
    "/ws": of_streams, "/stream": of_streams, "/ws-api/v3": of_api, "/api/v1/stream": of_live,
}  # fmt: skip


@pytest.mark.parametrize("path", DOORS)
def test_anything_gets_an_answer_of_the_doors_shape_or_a_closed_socket(stack: Stack, path: str) -> None:
    @in_loop
    async def run() -> None:
        choice, left = random.Random(path), COUNT
        while left:
            async with Client(stack.ws_url + path) as client:
                try:
                    if path == "/ws-api/v3":  # what needs a key is reached, too
                        assert (await client.ask("session.logon", logon(stack)))["status"] == 200
                    for _ in range(min(left, 100)):
                        left -= 1
                        await client.send(message(choice))
                    await client.send({"id": "last", "op" if path == "/api/v1/stream" else "method": "ping"})
                    await client.until(lambda one: isinstance(one, dict) and one.get("id") == "last")
                except ConnectionClosed:
                    left = max(0, left - 1)
                assert all(DOORS[path](one) for one in client.seen)

    run()
    assert stack.get("/api/v3/ping") == (200, {})
    assert stack.events("socket_failed") == stack.events("socket_request_failed") == []


@in_loop
async def test_raw_frames_that_are_none_end_their_own_socket_only(stack: Stack) -> None:
    choice = random.Random(11)
    host, _, port = stack.address.rpartition(":")
    async with Client(stack.ws_url + "/ws/btcusd@trade") as steady:
        for _ in range(60):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"GET /ws/btcusd@trade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\n")
            writer.write(choice.randbytes(choice.randint(1, 400)))
            if choice.random() < 0.5:
                writer.write_eof()
            writer.close()
        assert (await steady.ask("LIST_SUBSCRIPTIONS"))["result"] == ["btcusd@trade"]
    assert stack.events("socket_failed") == []
