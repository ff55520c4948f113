"""The WebSocket API of the dialect on a running gateway: signing, sessions, answers, refusals, user data."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.binance.ws_api import METHODS, signed_bytes
from schemas.vocabulary import Permission
from tests.gateway.binance.clients import clear
from tests.support.aio import in_loop
from tests.support.gateway import Stack
from tests.support.sockets import Client

ORDER = {"symbol": "BTCUSD", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.0100"}
BEGINNING = ("session.logon", "userDataStream.subscribe.signature", "userDataStream.start")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("api")) as found:
        yield found


@pytest.fixture(autouse=True)
def _no_orders(stack: Stack) -> None:
    clear(stack)


def api(stack: Stack, query: str = "") -> Client:
    return Client(f"{stack.ws_url}/ws-api/v3{query}")


def signed(stack: Stack, key_id: str, **said: object) -> dict[str, object]:
    """Parameters with key, time and signature, as a client would send them."""
    sent = {"apiKey": key_id, "timestamp": stack.timestamp_ms()} | said
    text = "&".join(f"{name}={sent[name]}" for name in sorted(sent))
    return sent | {"signature": stack.sign(key_id, text)}


def test_what_is_signed_is_sorted_and_leaves_the_signature_out() -> None:
    sent = {"timestamp": "5", "signature": "ff", "apiKey": "alice", "quantity": "0.10"}
    assert signed_bytes(sent) == b"apiKey=alice&quantity=0.10&timestamp=5"


@in_loop
async def test_an_order_is_placed_queried_and_cancelled_by_signed_requests(stack: Stack) -> None:
    async with api(stack) as client:
        placed = await client.ask("order.place", signed(stack, "alice", **ORDER, price="60010.00"))
        assert (placed["status"], placed["result"]["status"]) == (200, "NEW")
        kinds = [(one["rateLimitType"], one["interval"]) for one in placed["rateLimits"]]
        assert kinds == [("REQUEST_WEIGHT", "MINUTE"), ("ORDERS", "SECOND"), ("ORDERS", "DAY")]
        number = placed["result"]["orderId"]
        found = await client.ask("order.status", signed(stack, "alice", symbol="BTCUSD", orderId=number))
        assert (found["result"]["orderId"], found["result"]["price"]) == (number, "60010.00")
        (listed,) = (await client.ask("openOrders.status", signed(stack, "alice", symbol="BTCUSD")))["result"]
        assert listed["orderId"] == number
        cancelled = await client.ask("order.cancel", signed(stack, "alice", symbol="BTCUSD", orderId=number))
        assert cancelled["result"]["status"] == "CANCELED"
        again = await client.ask("order.cancel", signed(stack, "alice", symbol="BTCUSD", orderId=number))
        assert (again["status"], again["error"]) == (400, {"code": -2011, "msg": "Unknown order sent."})
        assert (await client.ask("order.test", signed(stack, "alice", **ORDER, price="60010.00")))["result"] == {}


@in_loop
async def test_numbers_are_signed_with_the_digits_they_were_sent_with(stack: Stack) -> None:
    async with api(stack) as client:
        said = signed(stack, "alice", **(ORDER | {"quantity": "0.0100"}), price="60010.00")
        text = "&".join(f"{name}={said[name]}" for name in sorted(said) if name != "signature")
        fields = ",".join(
            f'"{name}":{value}' if name in ("quantity", "price", "timestamp") else f'"{name}":"{value}"'
            for name, value in (said | {"signature": stack.sign("alice", text)}).items()
        )
        await client.send(f'{{"id":"n","method":"order.place","params":{{{fields}}}}}')
        assert (await client.next())["result"]["price"] == "60010.00"


@in_loop
async def test_a_session_signs_once_for_its_socket(stack: Stack) -> None:
    async with api(stack) as client:
        assert (await client.ask("session.status"))["result"]["apiKey"] is None
        refused = await client.ask("account.status", {"timestamp": stack.timestamp_ms()})
        assert (refused["status"], refused["error"]["code"]) == (401, -2014)
        logged = await client.ask("session.logon", signed(stack, "alice"))
        assert logged["result"]["apiKey"] == "alice"
        placed = await client.ask("order.place", ORDER | {"price": "60020.00", "timestamp": stack.timestamp_ms()})
        assert placed["status"] == 200
        same = await client.ask("order.place", ORDER | {"price": "60020.00"})
        assert same["result"]["orderId"] > placed["result"]["orderId"]
        account = await client.ask("account.status", {"omitZeroBalances": True})
        assert {one["asset"]: one["locked"] for one in account["result"]["balances"]}["BTC"] == "0.02000000"
        left = await client.ask("openOrders.cancelAll", {"symbol": "BTCUSD"})
        assert [one["status"] for one in left["result"]] == ["CANCELED", "CANCELED"]
        assert (await client.ask("session.logout"))["result"]["apiKey"] is None
        assert (await client.ask("account.status"))["status"] == 401


@in_loop
async def test_a_signed_request_seen_on_the_way_is_no_logon(stack: Stack) -> None:
    async with api(stack) as client, api(stack) as thief:
        seen = signed(stack, "alice", symbol="BTCUSD")
        await client.ask("openOrders.status", seen)
        for method in BEGINNING:
            refused = await thief.ask(method, seen)
            assert (refused["status"], refused["error"]["code"]) == (400, -1104)
        bare = signed(stack, "alice")
        assert (await client.ask("account.status", bare))["status"] == 200
        for method in BEGINNING:
            assert (await thief.ask(method, bare))["error"]["code"] == -1021
        logon = signed(stack, "alice")
        assert (await client.ask("session.logon", logon))["status"] == 200
        assert (await thief.ask("session.logon", logon))["error"]["code"] == -1021
        assert (await thief.ask("session.status"))["result"]["apiKey"] is None
        start = signed(stack, "alice")
        assert (await client.ask("userDataStream.start", start))["status"] == 200
        for method in BEGINNING:
            assert (await thief.ask(method, start))["error"]["code"] == -1021


@in_loop
async def test_a_signed_order_seen_on_the_way_is_no_listen_key(stack: Stack) -> None:
    seen = signed(stack, "alice", **ORDER, price="60070.00")
    async with api(stack) as client, api(stack) as thief:
        assert (await client.ask("order.place", seen))["status"] == 200
        refused = await thief.ask("userDataStream.start", seen)
        assert (refused["status"], refused["error"]["code"]) == (400, -1104)


@in_loop
async def test_a_request_that_was_refused_for_want_of_a_permission_is_no_logon_either(stack: Stack) -> None:
    stack.keys["writer"] = stack.node.make_key("writer", int(Permission.TRADE), 3)
    async with api(stack) as client, api(stack) as thief:
        for _ in range(200):  # until the gateway has read the key file
            if (await client.ask("session.logon", signed(stack, "writer")))["status"] == 200:
                break
            await asyncio.sleep(0.05)
        for method in ("account.status", "userDataStream.start", "userDataStream.subscribe.signature"):
            seen = signed(stack, "writer")
            refused = await client.ask(method, seen)
            assert (refused["status"], refused["error"]["code"]) == (401, -2015)
            assert (await thief.ask("session.logon", seen))["error"]["code"] == -1021


@in_loop
async def test_a_session_has_a_listen_key_without_a_signature_and_one_with_it_is_taken_once(stack: Stack) -> None:
    async with api(stack) as client:
        assert (await client.ask("session.logon", signed(stack, "alice")))["status"] == 200
        found = (await client.ask("userDataStream.start"))["result"]["listenKey"]
        assert (await client.ask("userDataStream.start", {"apiKey": "alice"}))["result"]["listenKey"] == found
        assert (await client.ask("userDataStream.start", {"apiKey": "bob"}))["error"]["code"] == -2015
        said = signed(stack, "alice")
        assert (await client.ask("userDataStream.start", said))["result"]["listenKey"] == found
        assert (await client.ask("userDataStream.start", said))["error"]["code"] == -1021


@in_loop
async def test_a_listen_key_over_the_socket_is_asked_for_with_a_signature(stack: Stack) -> None:
    async with api(stack) as client:
        assert (await client.ask("userDataStream.start", {"apiKey": "alice"}))["status"] == 400
        found = (await client.ask("userDataStream.start", signed(stack, "alice")))["result"]["listenKey"]
        said = {"apiKey": "alice", "listenKey": found}
        assert (await client.ask("userDataStream.ping", said))["result"] == {}
        assert (await client.ask("userDataStream.stop", said))["result"] == {}
        assert (await client.ask("userDataStream.ping", said))["error"]["code"] == -1125


@in_loop
async def test_the_same_signed_order_is_taken_once(stack: Stack) -> None:
    said = signed(stack, "alice", **ORDER, price="60030.00")
    async with api(stack) as client:
        assert (await client.ask("order.place", said))["status"] == 200
    async with api(stack) as client:
        repeated = await client.ask("order.place", said)
        assert (repeated["status"], repeated["error"]["code"]) == (400, -1021)
        assert len((await client.ask("openOrders.status", signed(stack, "alice")))["result"]) == 1


@in_loop
async def test_bad_keys_signatures_and_times_are_refused_as_over_http(stack: Stack) -> None:
    async with api(stack) as client:
        cases: list[tuple[dict[str, object], int, int]] = [
            (signed(stack, "alice", **ORDER, price="60000.00") | {"signature": "0" * 64}, 400, -1022),
            (signed(stack, "alice", **ORDER, price="60000.00") | {"price": "60001.00"}, 400, -1022),
            (signed(stack, "alice", timestamp=1), 400, -1021),
            (signed(stack, "alice", recvWindow=60_001), 400, -1131),
            (signed(stack, "alice") | {"apiKey": "nobody"}, 401, -2015),
            (signed(stack, "alice") | {"apiKey": "no body"}, 401, -2014),
        ]
        for said, status, code in cases:
            answer = await client.ask("order.place", said)
            assert (answer["status"], answer["error"]["code"]) == (status, code), answer


@in_loop
async def test_a_cancel_replace_that_half_fails_tells_both_halves(stack: Stack) -> None:
    async with api(stack) as client:
        await client.ask("session.logon", signed(stack, "alice"))
        placed = await client.ask("order.place", ORDER | {"price": "60040.00"})
        number = placed["result"]["orderId"]
        replaced = await client.ask(
            "order.cancelReplace",
            ORDER | {"price": "60050.00", "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": number},
        )
        assert replaced["result"]["cancelResult"] == replaced["result"]["newOrderResult"] == "SUCCESS"
        failed = await client.ask(
            "order.cancelReplace",
            ORDER | {"price": "60050.00", "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": number},
        )
        assert (failed["status"], failed["error"]["code"]) == (400, -2022)
        assert failed["error"]["data"]["newOrderResult"] == "NOT_ATTEMPTED"


@in_loop
async def test_every_public_method_says_what_rest_says(stack: Stack) -> None:
    stack.order("alice", "SELL", "0.0300", "60000.00")
    stack.order("bob", "BUY", "0.0100", "60000.00")
    asked: dict[str, dict[str, object]] = {
        "ping": {}, "exchangeInfo": {"symbols": ["BTCUSD", "ETHUSD"]}, "depth": {"symbol": "BTCUSD", "limit": 5},
        "trades.recent": {"symbol": "BTCUSD"}, "trades.historical": {"symbol": "BTCUSD", "fromId": 0},
        "trades.aggregate": {"symbol": "BTCUSD"}, "klines": {"symbol": "BTCUSD", "interval": "1d"},
        "uiKlines": {"symbol": "BTCUSD", "interval": "1h", "limit": 3}, "avgPrice": {"symbol": "BTCUSD"},
        "ticker.price": {"symbol": "BTCUSD"}, "ticker.book": {"symbols": '["BTCUSD"]'},
    }  # fmt: skip
    changing = {"serverTime", "closeTime"}
    async with api(stack) as client:
        for method, said in asked.items():
            path = "/api/v3/" + METHODS[method][1]
            texts = {name: '["BTCUSD","ETHUSD"]' if isinstance(value, list) else value for name, value in said.items()}
            _, rest = await asyncio.to_thread(lambda path=path, texts=texts: stack.get(path, **texts))
            found = (await client.ask(method, said))["result"]
            if isinstance(rest, dict):
                rest, found = ({name: one[name] for name in one if name not in changing} for one in (rest, found))
            assert found == rest, method
        assert (await client.ask("time"))["result"]["serverTime"] > 1_600_000_000_000
        day = (await client.ask("ticker.24hr", {"symbol": "BTCUSD"}))["result"]
        assert day["lastPrice"] == "60000.00"


@in_loop
async def test_rate_limits_are_told_unless_the_client_says_no(stack: Stack) -> None:
    async with api(stack) as client:
        told = (await client.ask("ping"))["rateLimits"]
        assert told[0]["limit"] == 1_000_000
        assert "rateLimits" not in await client.ask("ping", {"returnRateLimits": False})
    async with api(stack, "?returnRateLimits=false") as client:
        assert "rateLimits" not in await client.ask("ping")
        assert "rateLimits" in await client.ask("ping", {"returnRateLimits": True})


BAD = (
    "{", "[]", "17", "null", '"ping"', "[" * 8_000, '{"id":1}', '{"id":1,"method":7}', '{"id":1,"method":"conquer"}',
    '{"id":[],"method":"ping"}', '{"id":true,"method":"ping"}', '{"id":"' + "x" * 37 + '","method":"ping"}',
    '{"id":1,"method":"depth"}', '{"id":1,"method":"depth","params":[1]}', '{"id":1,"method":"depth","params":"a"}',
    '{"id":1,"method":"depth","params":{"symbol":{"a":[1,{}]}}}', '{"id":1,"method":"depth","params":{"symbol":1e400}}',
    '{"id":1,"method":"klines","params":{"symbol":"BTCUSD","interval":"9x"}}',
    '{"id":1,"method":"depth","params":{"symbol":"BTCUSD","limit":' + "9" * 400 + "}}",
    '{"id":1,"method":"userDataStream.subscribe"}', '{"id":1,"method":"userDataStream.subscribe.signature"}',
    '{"id":1,"method":"userDataStream.unsubscribe","params":{"subscriptionId":4}}',
    '{"id":1,"method":"userDataStream.ping","params":{"apiKey":"alice","listenKey":"x"}}',
    '{"id":1,"method":"order.place","params":{"apiKey":"alice","timestamp":[],"signature":{}}}',
    '{"id":1,"method":"session.logon","params":{"apiKey":null,"timestamp":1,"signature":"00"}}',
)  # fmt: skip


@in_loop
async def test_what_is_no_request_is_answered_with_an_error_and_the_socket_lives(stack: Stack) -> None:
    async with api(stack) as client:
        for text in BAD:
            await client.send(text)
            answer = await client.next()
            assert answer["status"] >= 400, text
            assert isinstance(answer["error"]["code"], int), text
            assert answer["error"]["msg"], text
        assert (await client.ask("ping"))["status"] == 200


@in_loop
async def test_user_data_comes_by_signature_and_by_session(stack: Stack) -> None:
    async with api(stack) as by_signature, api(stack) as by_session:
        first = await by_signature.ask("userDataStream.subscribe.signature", signed(stack, "alice"))
        assert first["result"] == {"subscriptionId": 0}
        second = await by_signature.ask("userDataStream.subscribe.signature", signed(stack, "bob"))
        assert second["result"] == {"subscriptionId": 1}
        await by_session.ask("session.logon", signed(stack, "alice"))
        assert (await by_session.ask("userDataStream.subscribe"))["result"] == {"subscriptionId": 0}
        assert (await by_session.ask("session.status"))["result"]["userDataStream"] is True
        assert (await by_session.ask("session.subscriptions"))["result"] == [{"subscriptionId": 0}]
        await asyncio.to_thread(lambda: stack.order("alice", "SELL", "0.0100", "60060.00"))
        for client in (by_signature, by_session):
            told = await client.until(lambda one: "event" in one)
            assert (told["subscriptionId"], told["event"]["e"], told["event"]["x"]) == (0, "executionReport", "NEW")
        await asyncio.to_thread(lambda: stack.order("bob", "BUY", "0.0100", "60000.00"))
        of_bob = await by_signature.until(lambda one: one.get("subscriptionId") == 1)
        assert of_bob["event"]["S"] == "BUY"
        assert (await by_signature.ask("userDataStream.unsubscribe", {"subscriptionId": 1}))["result"] == {}
        await by_session.ask("session.logout")
        assert [one for one in by_session.seen if one.get("event", {}).get("e") == "eventStreamTerminated"]


@in_loop
async def test_a_revoked_key_loses_its_session_and_its_stream(stack: Stack) -> None:
    stack.keys["guest"] = stack.node.make_key("guest", 7, 3)
    async with api(stack) as client:
        for _ in range(200):  # until the gateway has read the key file
            if (await client.ask("session.logon", signed(stack, "guest")))["status"] == 200:
                break
            await asyncio.sleep(0.05)
        await client.ask("userDataStream.subscribe")
        await asyncio.to_thread(lambda: stack.node.keys().revoke("guest"))
        await client.event("eventStreamTerminated")
        assert (await client.ask("account.status"))["status"] == 401


async def request_count(client: Client) -> Any:
    return (await client.ask("ping"))["rateLimits"][0]["count"]


@in_loop
async def test_requests_count_toward_the_address(stack: Stack) -> None:
    async with api(stack) as client:
        before = await request_count(client)
        await client.ask("depth", {"symbol": "BTCUSD", "limit": 5_000})
        assert await request_count(client) >= before + 200
