"""User data of the dialect: every field of an executionReport as an order goes through its life; listen keys."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.binance.clients import clear
from tests.support.aio import in_loop
from tests.support.gateway import Stack
from tests.support.sockets import Client

PATH = "/api/v3/userDataStream"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("user")) as found:
        yield found


@pytest.fixture(autouse=True)
def _no_orders(stack: Stack) -> None:
    clear(stack)


def ask(stack: Stack, method: str, key_id: str = "alice", listen_key: str = "") -> tuple[int, Any]:
    query = f"?listenKey={listen_key}" if listen_key else ""
    return stack.exchange(method, PATH + query, headers={"X-MBX-APIKEY": key_id})[:2]


def listen_key(stack: Stack, key_id: str = "alice") -> str:
    status, answer = stack.signed(key_id, "POST", PATH, apiKey=key_id)
    assert status == 200, answer
    return str(answer["listenKey"])


async def enter(stack: Stack, key: str, side: str, quantity: str, price: str = "", **more: object) -> Any:
    return await asyncio.to_thread(lambda: stack.order(key, side, quantity, price, **more))


async def cancel(stack: Stack, key: str, **said: object) -> Any:
    status, answer = await asyncio.to_thread(
        lambda: stack.signed(key, "DELETE", "/api/v3/order", **({"symbol": "BTCUSD"} | said))
    )
    assert status == 200, answer
    return answer


@in_loop
async def test_an_order_is_reported_with_every_field_through_its_life(stack: Stack) -> None:
    async with Client(f"{stack.ws_url}/ws/{listen_key(stack)}") as client:
        entered = await enter(stack, "alice", "SELL", "0.0300", "60010.00", newClientOrderId="mine-1")
        new = await client.event("executionReport")
        number, time_ms = entered["orderId"], new["T"]
        assert new == {
            "e": "executionReport", "E": time_ms, "s": "BTCUSD", "c": "mine-1", "S": "SELL", "o": "LIMIT", "f": "GTC",
            "q": "0.0300", "p": "60010.00", "P": "0.00", "F": "0.0000", "g": -1, "C": "", "x": "NEW", "X": "NEW",
            "r": "NONE", "i": number, "l": "0.0000", "z": "0.0000", "L": "0.00", "n": "0", "N": None, "T": time_ms,
            "t": -1, "I": new["I"], "w": True, "m": False, "M": False, "O": time_ms, "Z": "0.000000",
            "Y": "0.000000", "Q": "0.000000", "V": "EXPIRE_TAKER", "W": time_ms,
        }  # fmt: skip
        held = await client.event("outboundAccountPosition")
        assert held["u"] == held["E"] == time_ms
        assert {one["a"]: one["l"] for one in held["B"]} == {"BTC": "0.03000000", "USD": "0.000000"}
        taken = await enter(stack, "bob", "BUY", "0.0100", "60010.00")
        part = await client.event("executionReport")
        changed = {name: part[name] for name in part if part[name] != new[name] and name not in "ETI"}
        assert changed == {
            "x": "TRADE", "X": "PARTIALLY_FILLED", "l": "0.0100", "z": "0.0100", "L": "60010.00", "n": "0.060010",
            "N": "USD", "t": taken["fills"][0]["tradeId"], "m": True, "M": True, "Z": "600.100000", "Y": "600.100000",
        }  # fmt: skip
        await cancel(stack, "alice", orderId=number, newClientOrderId="cancel-1")
        last = await client.event("executionReport")
        assert (last["x"], last["X"], last["c"], last["C"]) == ("CANCELED", "CANCELED", "cancel-1", "mine-1")
        assert (last["i"], last["z"], last["w"], last["l"], last["t"]) == (number, "0.0100", False, "0.0000", -1)


@in_loop
async def test_each_fill_of_one_command_is_reported_as_of_itself(stack: Stack) -> None:
    for step in range(3):
        await enter(stack, "alice", "SELL", "0.0100", f"{60_010 + step}.00")
    async with Client(f"{stack.ws_url}/stream?streams={listen_key(stack, 'bob')}") as client:
        await enter(stack, "bob", "BUY", "0.0500", "60011.00", timeInForce="IOC")
        reports = [await client.event("executionReport") for _ in range(4)]
        assert [one["x"] for one in reports] == ["NEW", "TRADE", "TRADE", "EXPIRED"]
        assert [one["X"] for one in reports] == ["NEW", "PARTIALLY_FILLED", "PARTIALLY_FILLED", "EXPIRED"]
        assert [one["z"] for one in reports] == ["0.0000", "0.0100", "0.0200", "0.0200"]
        assert [one["m"] for one in reports[1:3]] == [False, False]
        assert [one["n"] for one in reports[1:3]] == ["0.180030", "0.180033"]
        assert client.seen[-1]["stream"] == listen_key(stack, "bob")
        await client.event("outboundAccountPosition")
        assert len([one for one in client.seen if one["data"]["e"] == "outboundAccountPosition"]) == 1


@in_loop
async def test_market_iceberg_stop_amended_and_prevented_orders_are_reported(stack: Stack) -> None:
    async with Client(f"{stack.ws_url}/ws/{listen_key(stack)}") as client:
        await enter(stack, "bob", "SELL", "0.0500", "60010.00")
        await enter(stack, "alice", "BUY", "0.0100")
        market, fill = [await client.event("executionReport") for _ in range(2)]
        assert (market["o"], market["p"], market["x"]) == ("MARKET", "0.00", "NEW")
        assert (fill["X"], fill["L"], fill["w"]) == ("FILLED", "60010.00", False)
        entered = await enter(stack, "alice", "SELL", "0.0400", "60020.00", icebergQty="0.0100")
        assert (await client.event("executionReport"))["F"] == "0.0100"
        await asyncio.to_thread(
            lambda: stack.signed(
                "alice", "PUT", "/api/v3/order/amend/keepPriority", symbol="BTCUSD", orderId=entered["orderId"],
                newQty="0.0300",
            )
        )  # fmt: skip
        amended = await client.event("executionReport")
        assert (amended["x"], amended["X"], amended["q"]) == ("REPLACED", "NEW", "0.0300")
        stop: dict[str, object] = {"type": "STOP_LOSS_LIMIT", "stopPrice": "60040.00"}
        await enter(stack, "alice", "BUY", "0.0200", "60050.00", **stop)
        waits = await client.event("executionReport")
        assert (waits["o"], waits["P"], waits["w"], "W" in waits) == ("STOP_LOSS_LIMIT", "60040.00", False, False)
        await enter(stack, "alice", "BUY", "0.0500", "60020.00", selfTradePreventionMode="EXPIRE_MAKER")
        expired = await client.until(lambda one: one.get("x") == "EXPIRED")
        assert (expired["X"], expired["i"]) == ("EXPIRED_IN_MATCH", entered["orderId"])


@in_loop
async def test_a_stop_that_fires_is_reported_as_working(stack: Stack) -> None:
    await enter(stack, "bob", "SELL", "0.0100", "60000.00")
    await enter(stack, "carol", "BUY", "0.0100", "60000.00")
    async with Client(f"{stack.ws_url}/ws/{listen_key(stack)}") as client:
        await enter(stack, "alice", "BUY", "0.0200", "60050.00", type="STOP_LOSS_LIMIT", stopPrice="60030.00")
        await client.event("executionReport")
        await enter(stack, "bob", "SELL", "0.0100", "60030.00")
        await enter(stack, "carol", "BUY", "0.0100", "60030.00")
        fired = await client.event("executionReport")
        assert (fired["x"], fired["X"], fired["w"], "W" in fired) == ("NEW", "NEW", True, True)


@in_loop
async def test_a_deposit_is_a_balance_update(stack: Stack) -> None:
    def deposit() -> None:
        with stack.client() as admin:
            admin.deposit(1, 2, 150_000_000).raise_if_rejected()

    async with Client(f"{stack.ws_url}/ws/{listen_key(stack)}") as client:
        await asyncio.to_thread(deposit)
        update = await client.event("balanceUpdate")
        assert (update["a"], update["d"], update["T"]) == ("BTC", "1.50000000", update["E"])
        assert [one["a"] for one in (await client.event("outboundAccountPosition"))["B"]] == ["BTC"]


@in_loop
async def test_all_orders_cancelled_at_once_are_reported_one_by_one(stack: Stack) -> None:
    names = [f"all-{step}" for step in range(5)]
    for step, name in enumerate(names):
        await enter(stack, "alice", "BUY", "0.0100", f"{59_000 + step}.00", newClientOrderId=name)
    async with Client(f"{stack.ws_url}/ws/{listen_key(stack)}") as client:
        await asyncio.to_thread(lambda: stack.signed("alice", "DELETE", "/api/v3/openOrders", symbol="BTCUSD"))
        reports = [await client.event("executionReport") for _ in names]
        assert [one["C"] for one in reports] == names
        assert {one["X"] for one in reports} == {"CANCELED"}


@in_loop
async def test_a_stream_tells_nothing_of_other_accounts(stack: Stack) -> None:
    async with Client(f"{stack.ws_url}/ws/{listen_key(stack)}") as client:
        await enter(stack, "bob", "BUY", "0.0100", "59000.00", newClientOrderId="of-bob")
        await enter(stack, "alice", "BUY", "0.0100", "59000.00", newClientOrderId="of-alice")
        assert (await client.event("executionReport"))["c"] == "of-alice"
        assert not [one for one in client.seen if one.get("c") == "of-bob"]


def test_a_listen_key_is_one_a_key_and_cannot_be_guessed(stack: Stack) -> None:
    mine, other = listen_key(stack), listen_key(stack, "bob")
    assert mine == listen_key(stack) != other
    assert len(mine) == 64
    assert ask(stack, "PUT", listen_key=mine) == (200, {})
    gone = {"code": -1125, "msg": "This listenKey does not exist."}
    assert ask(stack, "PUT", "bob", mine) == (400, gone)
    assert ask(stack, "PUT", listen_key="0" * 64) == (400, gone)
    assert ask(stack, "DELETE", listen_key=mine) == (200, {})
    assert ask(stack, "PUT", listen_key=mine) == (400, gone)
    assert listen_key(stack) != mine


def test_the_name_of_a_key_alone_does_not_open_its_account(stack: Stack) -> None:
    for key_id, refused in (("alice", (400, -1102)), ("nobody", (401, -2015))):
        status, answer = ask(stack, "POST", key_id)
        assert (status, answer["code"]) == refused


def test_a_signed_request_that_was_seen_opens_no_stream(stack: Stack) -> None:
    head = {"X-MBX-APIKEY": "alice"}
    account = f"timestamp={stack.timestamp_ms()}"
    account += f"&signature={stack.sign('alice', account)}"
    assert stack.exchange("GET", f"/api/v3/account?{account}", headers=head)[0] == 200
    status, answer, _ = stack.exchange("POST", f"{PATH}?{account}", headers=head)
    assert (status, answer["code"]) == (400, -1102)
    mine = f"apiKey=alice&timestamp={stack.timestamp_ms()}"
    mine += f"&signature={stack.sign('alice', mine)}"
    assert stack.exchange("POST", f"{PATH}?{mine}", headers=head)[0] == 200
    assert stack.exchange("POST", f"{PATH}?{mine}", headers=head)[1]["code"] == -1021


@in_loop
async def test_a_listen_key_ends_where_its_key_may_not_be_used(stack: Stack) -> None:
    stack.keys["roamer"] = stack.node.make_key("roamer", 7, 1)
    for _ in range(200):  # until the gateway has read the key file
        status, answer = await asyncio.to_thread(lambda: stack.signed("roamer", "POST", PATH, apiKey="roamer"))
        if status == 200:
            break
        await asyncio.sleep(0.05)
    async with Client(f"{stack.ws_url}/ws/{answer['listenKey']}") as client:
        await asyncio.to_thread(lambda: stack.node.keys().set_networks("roamer", ["10.1.2.0/24"]))
        assert (await client.event("listenKeyExpired"))["listenKey"] == answer["listenKey"]
        await enter(stack, "alice", "BUY", "0.0100", "59000.00")
        await client.ask("LIST_SUBSCRIPTIONS")
        assert not [one for one in client.seen if one.get("e") == "executionReport"]
    async with Client(f"{stack.ws_url}/ws/{answer['listenKey']}") as client:
        await enter(stack, "alice", "BUY", "0.0100", "59000.00")
        assert (await client.ask("LIST_SUBSCRIPTIONS"))["id"] == 1
        assert len(client.seen) == 1


def test_where_the_owner_says_so_a_keys_name_is_enough_as_on_binance(tmp_path: Path) -> None:
    with Stack(tmp_path, unsigned_listen_keys=True) as stack:
        status, answer = ask(stack, "POST")
        assert (status, len(answer["listenKey"])) == (200, 64)
        assert ask(stack, "POST", "nobody")[0] == 401


@in_loop
async def test_whoever_listens_by_a_key_that_ends_is_told(stack: Stack) -> None:
    stack.keys["lodger"] = stack.node.make_key("lodger", 7, 1)
    for _ in range(200):  # until the gateway has read the key file
        if (await asyncio.to_thread(lambda: stack.signed("lodger", "POST", PATH, apiKey="lodger")))[0] == 200:
            break
        await asyncio.sleep(0.05)
    async with Client(f"{stack.ws_url}/ws/{listen_key(stack, 'lodger')}") as client:
        await asyncio.to_thread(lambda: stack.node.keys().revoke("lodger"))
        assert (await client.event("listenKeyExpired"))["listenKey"] == client.url.rpartition("/")[2]
        await enter(stack, "alice", "BUY", "0.0100", "59000.00")
        assert (await client.ask("LIST_SUBSCRIPTIONS"))["result"] == [client.url.rpartition("/")[2]]
        assert not [one for one in client.seen if one.get("e") == "executionReport"]
    async with Client(f"{stack.ws_url}/ws/{'0' * 64}") as nothing:
        await enter(stack, "alice", "BUY", "0.0100", "59000.00")
        assert (await nothing.ask("LIST_SUBSCRIPTIONS"))["result"] == []
        assert len(nothing.seen) == 1
