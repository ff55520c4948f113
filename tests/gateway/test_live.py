"""/api/v1/stream: the account's channel, order-by-order books and the state, on a running gateway."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest

from engine_node.replica import Replica
from tests.support.aio import in_loop
from tests.support.followers import Book, Follower
from tests.support.gateway import Stack, new_request_id
from tests.support.sockets import Client


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("live"), socket_messages_per_s=1_000) as found:
        yield found


@pytest.fixture(autouse=True)
def _no_orders(stack: Stack) -> None:
    """Each test begins with empty books."""
    for key in ("alice", "bob", "carol"):
        stack.signed(key, "DELETE", "/api/v3/openOrders", symbol="BTCUSD")


async def enter(stack: Stack, key: str, side: str, quantity: str, price: str = "", **more: object) -> dict[str, Any]:
    return await asyncio.to_thread(lambda: stack.order(key, side, quantity, price, **more))


async def do(client: Client, op: str, **said: object) -> Any:
    """A request and its answer."""
    number = len(client.seen) + 1
    await client.send({"op": op, "id": number} | said)
    return await client.until(lambda one: one.get("id") == number and "op" in one)


async def login(stack: Stack, client: Client, key: str) -> Any:
    timestamp = stack.timestamp_ms()
    signature = stack.sign(key, f"apiKey={key}&timestamp={timestamp}")
    return await do(client, "login", key_id=key, timestamp=timestamp, signature=signature)


@in_loop
async def test_an_account_is_told_of_its_orders_fills_balances_and_positions(stack: Stack) -> None:
    await enter(stack, "alice", "SELL", "0.1000", "60100.00", newClientOrderId="rests-1")
    async with Client(stack.ws_url + "/api/v1/stream") as client:
        assert (await login(stack, client, "alice"))["account"] == 1
        answer = await do(client, "subscribe", channel="account")
        assert (answer["op"], answer["account"], answer["resumed"]) == ("subscribed", 1, False)
        snapshot = await client.next()
        assert (snapshot["type"], snapshot["at"]) == ("snapshot", answer["at"])
        assert [one["client_order_id"] for one in snapshot["orders"]] == ["rests-1"]
        assert {one["asset"] for one in snapshot["balances"]} == {"USD", "BTC", "ETH"}
        await enter(stack, "bob", "BUY", "0.0400", "60100.00")
        filled = await client.until(lambda one: one.get("event") == "filled")
        assert filled["previous"] == snapshot["at"]
        assert filled["order"]["remaining"] == "0.0600"
        assert filled["order"]["status"] == "partly_filled"
        assert (filled["fill"]["quantity"], filled["fill"]["maker"]) == ("0.0400", True)
        balances = await client.until(lambda one: one.get("type") == "balances")
        positions = await client.until(lambda one: one.get("type") == "positions")
        assert {one["asset"] for one in balances["items"]} == {"USD", "BTC"}
        assert positions["items"][0]["symbol"] == "BTC/USD"
        assert positions["items"][0]["open_sell"] == "0.0600"
        status, rest = await asyncio.to_thread(lambda: stack.signed("alice", "GET", "/api/v1/balances"))
        assert status == 200
        known = {one["asset"]: one for one in rest["items"]}
        assert all(known[one["asset"]] == one for one in balances["items"])
        await asyncio.to_thread(
            lambda: stack.signed("alice", "DELETE", "/api/v3/order", symbol="BTCUSD", origClientOrderId="rests-1")
        )
        cancelled = await client.until(lambda one: one.get("event") == "cancelled")
        assert (cancelled["order"]["status"], cancelled["fill"]) == ("cancelled", None)


@in_loop
async def test_a_refused_order_and_a_deposit_are_told(stack: Stack) -> None:
    async with Client(stack.ws_url + "/api/v1/stream") as client:
        await login(stack, client, "dave")
        await do(client, "subscribe", channel="account")
        status, answer = await asyncio.to_thread(
            lambda: stack.signed(
                "dave", "POST", "/api/v3/order", symbol="BTCUSD", side="BUY", type="LIMIT", timeInForce="GTC",
                quantity="9000", price="60000.00",
            )
        )  # fmt: skip
        assert (status, answer["code"]) == (400, -2010)
        refused = await client.until(lambda one: one.get("type") == "rejected")
        assert (refused["code"], refused["symbol"], refused["side"]) == ("insufficient_funds", "BTC/USD", "buy")

        def deposit() -> None:
            with stack.client() as admin:
                admin.deposit(4, 1, 2_500_000).raise_if_rejected()

        await asyncio.to_thread(deposit)
        money = await client.until(lambda one: one.get("type") == "money")
        assert (money["asset"], money["amount"], money["previous"]) == ("USD", "2.500000", refused["at"])
        assert (await client.until(lambda one: one.get("type") == "balances"))["items"][0]["asset"] == "USD"


@in_loop
async def test_after_a_cut_the_account_goes_on_without_gap_or_repeat(stack: Stack) -> None:
    follower, whole = Follower(), Follower()
    async with Client(stack.ws_url + "/api/v1/stream") as steady:
        await login(stack, steady, "carol")
        whole.at = tuple((await do(steady, "subscribe", channel="account"))["at"])
        follower.at = whole.at
        for cut in range(4):
            async with Client(stack.ws_url + "/api/v1/stream") as client:
                await login(stack, client, "carol")
                answer = await do(client, "subscribe", channel="account", after=follower.at)
                assert answer["resumed"] is True
                entered = await enter(stack, "carol", "BUY", "0.0100", f"{59_000 + cut}.00")
                while not any(one.get("order", {}).get("order_id") == entered["orderId"] for one in follower.taken):
                    follower.take(await client.next())
            for step in range(3):  # nobody is there
                await enter(stack, "carol", "BUY", "0.0100", f"{58_000 + step}.00")
        async with Client(stack.ws_url + "/api/v1/stream") as client:
            await login(stack, client, "carol")
            await do(client, "subscribe", channel="account", after=follower.at)
            while len(whole.taken) < 16:
                whole.take(await steady.next())
            while len(follower.taken) < 16:
                follower.take(await client.next())
        assert follower.taken == whole.taken


@in_loop
async def test_a_place_from_before_the_log_gets_a_snapshot(stack: Stack) -> None:
    async with Client(stack.ws_url + "/api/v1/stream") as client:
        await login(stack, client, "bob")
        answer = await do(client, "subscribe", channel="account", after=[1, 0])
        assert answer["resumed"] is False
        assert (await client.next())["type"] == "snapshot"
        assert (await do(client, "unsubscribe", channel="account"))["op"] == "unsubscribed"
        answer = await do(client, "subscribe", channel="account", after=[1 << 40, 0])
        assert answer["resumed"] is False


@in_loop
async def test_nobody_hears_of_an_account_without_its_key(stack: Stack) -> None:
    async with Client(stack.ws_url + "/api/v1/stream") as client:
        assert (await do(client, "subscribe", channel="account"))["code"] == "unauthorized"
        timestamp = stack.timestamp_ms()
        wrong = await do(client, "login", key_id="alice", timestamp=timestamp, signature="0" * 64)
        assert (wrong["op"], wrong["code"]) == ("error", "signature")
        unknown = await do(client, "login", key_id="mallory", timestamp=timestamp, signature="0" * 64)
        assert unknown["code"] == "key_refused"
        signature = stack.sign("alice", f"apiKey=alice&timestamp={timestamp - 60_000}")
        late = await do(client, "login", key_id="alice", timestamp=timestamp - 60_000, signature=signature)
        assert late["code"] == "timestamp"


@in_loop
async def test_a_login_that_was_seen_is_no_login(stack: Stack) -> None:
    timestamp = stack.timestamp_ms()
    signature = stack.sign("alice", f"apiKey=alice&timestamp={timestamp}")
    said = {"key_id": "alice", "timestamp": timestamp, "signature": signature}
    async with Client(stack.ws_url + "/api/v1/stream") as client, Client(stack.ws_url + "/api/v1/stream") as thief:
        assert (await do(client, "login", **said))["op"] == "login"
        assert (await do(thief, "login", **said))["code"] == "repeated"


@in_loop
async def test_a_revoked_key_loses_its_account_at_once(stack: Stack) -> None:
    secret = stack.node.make_key("leaver", 7, 1)
    stack.keys["leaver"] = secret
    async with Client(stack.ws_url + "/api/v1/stream") as client:
        for _ in range(100):  # until the gateway has read the key file
            if (await login(stack, client, "leaver"))["op"] == "login":
                break
            await asyncio.sleep(0.05)
        await do(client, "subscribe", channel="account")
        await asyncio.to_thread(lambda: stack.node.keys().revoke("leaver"))
        assert (await client.until(lambda one: one.get("op") == "logout"))["message"]
        await enter(stack, "alice", "SELL", "0.0100", "60500.00")
        assert (await do(client, "ping"))["op"] == "pong"
        assert not [one for one in client.seen if one.get("event") == "accepted"]


@in_loop
async def test_the_dashboards_cookie_opens_the_account_for_pages_of_this_host_only(stack: Stack) -> None:
    status, _, headers = await asyncio.to_thread(lambda: signed_login(stack, "alice"))
    assert status == 201
    cookie = headers["set-cookie"].partition(";")[0]
    url = stack.ws_url + "/api/v1/stream"
    async with Client(url, cookie=cookie, origin=stack.url) as page:
        answer = await do(page, "subscribe", channel="account")
        assert (answer["op"], answer["account"]) == ("subscribed", 1)
        assert (await do(page, "login", key_id="bob"))["code"] == "combination"
        for origin in ("https://elsewhere.example", stack.url + "0"):
            async with Client(url, cookie=cookie, origin=origin) as other:
                assert (await do(other, "subscribe", channel="account"))["code"] == "unauthorized"
        await asyncio.to_thread(
            lambda: stack.exchange(
                "DELETE", "/api/v1/session",
                headers={"Cookie": cookie, "Origin": stack.url, "X-Ironbook-Request": new_request_id()},
            )
        )  # fmt: skip
        assert (await page.until(lambda one: one.get("op") == "logout"))["message"]
        assert (await do(page, "subscribe", channel="account"))["code"] == "unauthorized"


def signed_login(stack: Stack, key_id: str) -> tuple[int, Any, dict[str, str]]:
    """POST /api/v1/session with its headers."""
    found: dict[str, Any] = {}
    exchange = stack.exchange

    def keep(*arguments: Any, **named: Any) -> tuple[int, Any, dict[str, str]]:
        found["answer"] = exchange(*arguments, **named)
        return found["answer"]

    stack.exchange = keep  # type: ignore[method-assign]
    try:
        stack.signed(key_id, "POST", "/api/v1/session", json={})
    finally:
        del stack.exchange  # type: ignore[method-assign]
    return found["answer"]


@in_loop
async def test_after_a_restart_of_the_gateway_both_channels_begin_with_a_snapshot(stack: Stack) -> None:
    await enter(stack, "carol", "BUY", "0.0100", "59000.00", newClientOrderId="stays")
    async with Client(stack.ws_url + "/api/v1/stream") as client:
        await login(stack, client, "carol")
        at = (await do(client, "subscribe", channel="account"))["at"]
        level3 = await do(client, "subscribe", channel="level3", symbol="BTC/USD")
        await asyncio.to_thread(stack.restart_gateway)
        await client.line.wait_closed()
    async with Client(stack.ws_url + "/api/v1/stream") as client:
        await login(stack, client, "carol")
        again = await do(client, "subscribe", channel="account", after=at)
        snapshot = await client.until(lambda one: one.get("type") == "snapshot")
        assert [one["client_order_id"] for one in snapshot["orders"]] == ["stays"]
        assert again["resumed"] is False or again["at"] == at
        book = await do(client, "subscribe", channel="level3", symbol="BTC/USD", after=level3["at"])
        assert book["at"] == level3["at"]


# ---- Level 3 ---------------------------------------------------------------------------------------------------------


async def random_market(stack: Stack, count: int, seed: int) -> None:
    """Orders near 60,000 that rest, trade, are cancelled; icebergs too."""
    choice = random.Random(seed)
    for _ in range(count):
        key, side = choice.choice(("alice", "bob", "carol")), choice.choice(("BUY", "SELL"))
        lots, price = choice.randint(2, 60), 60_000 + choice.randint(-12, 12) / 2
        more = {"icebergQty": f"0.{lots // 2:04d}"} if choice.random() < 0.15 else {}
        entered = await enter(stack, key, side, f"0.{lots:04d}", f"{price:.2f}", **more)
        if choice.random() < 0.4:
            await asyncio.to_thread(
                lambda key=key, number=entered["orderId"]: stack.signed(
                    key, "DELETE", "/api/v3/order", symbol="BTCUSD", orderId=number
                )
            )


def core_orders(stack: Stack) -> tuple[int, dict[str, list[tuple[int, str, str]]]]:
    """The level 3 id and the book of a replica of the test's own."""
    with Replica.open(stack.node.directory) as replica:
        replica.catch_up()
        found: dict[str, list[tuple[int, str, str]]] = {}
        for side, number in (("buy", 1), ("sell", 2)):
            found[side] = [
                (
                    one["order_id"],
                    f"{one['price_ticks'] / 100:.2f}",
                    f"{(one['rest_lots'] - one['reserve_lots']) / 10_000:.4f}",
                )
                for one in replica.core.book_orders(1, number, 0, 1_000)
            ]
        told = replica.core.instrument(1)
        assert told is not None
        return int(told["level3_id"]), found


@in_loop
async def test_a_book_of_orders_rebuilt_after_cuts_is_the_cores(stack: Stack) -> None:
    book = Book()
    await random_market(stack, 30, 5)
    market = asyncio.create_task(random_market(stack, 120, 6))
    resumed = 0
    while not market.done():
        async with Client(stack.ws_url + "/api/v1/stream") as client:
            more = {"after": book.id, "after_trade": book.trade_id} if book.id >= 0 else {}
            answer = await do(client, "subscribe", channel="level3", symbol="BTC/USD", **more)
            assert answer["resumed"] == bool(more)
            resumed += answer["resumed"]
            for _ in range(40):
                if market.done():
                    break
                book.take(await client.next())
    await market
    level3_id, orders = await asyncio.to_thread(lambda: core_orders(stack))
    async with Client(stack.ws_url + "/api/v1/stream") as client:
        await do(client, "subscribe", channel="level3", symbol="BTCUSD", after=book.id, after_trade=book.trade_id)
        while book.id < level3_id:
            book.take(await client.next())
        assert {side: book.rows(side) for side in ("buy", "sell")} == orders
        before = book.checked
        await enter(stack, "alice", "SELL", "0.0100", "60900.00")
        while book.checked == before:
            book.take(await client.next())
    assert resumed >= 2
    assert book.trades


@in_loop
async def test_an_id_that_is_not_kept_gets_a_snapshot(stack: Stack) -> None:
    await random_market(stack, 5, 9)
    for after in (0, 1 << 50):
        async with Client(stack.ws_url + "/api/v1/stream") as client:
            answer = await do(client, "subscribe", channel="level3", symbol="BTC/USD", after=after)
            assert answer["resumed"] is False
            book = Book()
            book.take(await client.next())
            assert book.id == answer["at"]
            level3_id, orders = await asyncio.to_thread(lambda: core_orders(stack))
            assert level3_id == book.id
            assert {side: book.rows(side) for side in ("buy", "sell")} == orders


# ---- State, and what is no request -----------------------------------------------------------------------------------


@in_loop
async def test_the_state_is_told_each_second_and_when_it_changes(stack: Stack) -> None:
    async with Client(stack.ws_url + "/api/v1/stream") as client:
        await do(client, "subscribe", channel="status")
        first, second = await client.next(), await client.next()
        assert first["instruments"][0] == {"symbol": "BTC/USD", "state": "open", "auction_ends_ns": None}
        assert (first["live"], first["engine"], first["everything_halted"]) == (True, True, False)
        assert second["time_ns"] > first["time_ns"]

        def halt(*, on: bool) -> None:
            with stack.client() as admin:
                (admin.halt if on else admin.resume)(instrument=2).raise_if_rejected()

        await asyncio.to_thread(lambda: halt(on=True))
        await client.until(lambda one: one["instruments"][1]["state"] == "halted")
        await asyncio.to_thread(lambda: halt(on=False))
        await client.until(lambda one: one["instruments"][1]["state"] == "open")


BAD = (
    "{", "[]", "5", "null", '"login"', "[" * 8_000, '{"op":"conquer"}', '{"id":1}', '{"op":1}', '{"op":"subscribe"}',
    '{"op":"subscribe","channel":"level3"}', '{"op":"subscribe","channel":"level3","symbol":"NO/NE"}',
    '{"op":"subscribe","channel":"account","symbol":"BTC/USD"}', '{"op":"subscribe","channel":"status","after":"x"}',
    '{"op":"subscribe","channel":"level3","symbol":"BTC/USD","after":[1,2]}', '{"op":"unsubscribe","channel":"status"}',
    '{"op":"login"}', '{"op":"login","key_id":"alice","timestamp":1e99}', '{"op":"ping","more":1}',
    '{"op":"ping","id":"' + "x" * 65 + '"}', '{"op":"ping","id":[]}',
)  # fmt: skip


@in_loop
async def test_what_is_no_request_is_answered_with_an_error_and_the_socket_lives(stack: Stack) -> None:
    async with Client(stack.ws_url + "/api/v1/stream") as client:
        for text in BAD:
            await client.send(text)
            answer = await client.next()
            assert answer["op"] == "error", text
            assert answer["code"], text
            assert answer["message"], text
        assert (await do(client, "ping"))["time_ns"]
