"""ccxt's WebSocket part follows markets, orders, trades and balances of a running stack; only the addresses change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import ccxt.pro
import pytest

from tests.gateway.binance.clients import SYMBOL, ccxt_options, clear, fenced, point
from tests.support.aio import in_loop
from tests.support.gateway import Stack

WAIT_S = 15.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with fenced() as refused, Stack(tmp_path_factory.mktemp("pro")) as made:
        yield made
        assert refused == []


@contextlib.asynccontextmanager
async def trader(stack: Stack, key_id: str) -> AsyncIterator[Any]:
    """ccxt.pro's binance with the account's key, closed at the end."""
    exchange = point(ccxt.pro.binance(ccxt_options(stack, key_id)), stack)
    try:
        yield exchange
    finally:
        await exchange.close()


async def soon(waiting: Any) -> Any:
    return await asyncio.wait_for(waiting, WAIT_S)


async def following(waiting: Any) -> asyncio.Task[Any]:
    """A watch that has begun: its subscription was sent, and had time to arrive."""
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0.3)
    return task


async def watched(watch: Any, wanted: Any) -> Any:
    """What is watched, as soon as it is what is wanted."""
    async with asyncio.timeout(WAIT_S):
        while True:
            found = await watch()
            if wanted(found):
                return found


@in_loop
async def test_two_traders_cross_and_both_see_it(stack: Stack) -> None:
    clear(stack)
    async with trader(stack, "alice") as alice, trader(stack, "bob") as bob:
        await alice.load_markets()
        await bob.load_markets()
        orders = await following(alice.watch_orders(SYMBOL))
        entered = await soon(alice.create_limit_sell_order(SYMBOL, 0.05, 60_010, {"clientOrderId": "pro-1"}))
        (rests,) = await soon(orders)
        assert (rests["id"], rests["clientOrderId"]) == (entered["id"], "pro-1")
        assert (rests["status"], rests["amount"], rests["price"]) == ("open", 0.05, 60_010)
        trades, mine = await following(alice.watch_trades(SYMBOL)), await following(alice.watch_my_trades(SYMBOL))
        before = await soon(bob.fetch_balance())
        balance = await following(bob.watch_balance())
        filled = await following(watched(lambda: alice.watch_orders(SYMBOL), lambda found: found[-1]["filled"]))
        await soon(bob.create_limit_buy_order(SYMBOL, 0.02, 60_010))
        (print_,), (fill,), held, order = await soon(asyncio.gather(trades, mine, balance, filled))
        assert (print_["price"], print_["amount"], print_["side"]) == (60_010, 0.02, "buy")
        assert (fill["order"], fill["takerOrMaker"], fill["amount"]) == (entered["id"], "maker", 0.02)
        assert (fill["id"], fill["fee"]["currency"]) == (print_["id"], "USD")
        assert (order[-1]["filled"], order[-1]["remaining"], order[-1]["status"]) == (0.02, 0.03, "open")
        paid = 0.02 * 60_010 + 0.360060  # and the taker's fee, 300 millionths
        bought = {"BTC": round(before["BTC"]["total"] + 0.02, 8), "USD": round(before["USD"]["total"] - paid, 6)}
        for asset, total in bought.items():
            assert held[asset] == {"free": total, "used": 0.0, "total": total}
        cancelled = await following(
            watched(lambda: alice.watch_orders(SYMBOL), lambda found: found[-1]["status"] == "canceled")
        )
        await soon(alice.cancel_order(entered["id"], SYMBOL))
        (last,) = (await soon(cancelled))[-1:]
        assert (last["id"], last["clientOrderId"], last["filled"]) == (entered["id"], "pro-1", 0.02)


@in_loop
async def test_the_watched_book_is_the_books_levels(stack: Stack) -> None:
    clear(stack)
    async with trader(stack, "alice") as alice:
        await alice.load_markets()
        await soon(alice.create_limit_buy_order(SYMBOL, 0.01, 59_900))
        book = await following(alice.watch_order_book(SYMBOL))
        for step in range(5):
            await soon(alice.create_limit_sell_order(SYMBOL, 0.01, 60_100 + step))
        await soon(book)
        found = await watched(lambda: alice.watch_order_book(SYMBOL), lambda seen: len(seen["asks"]) == 5)
        assert [list(level) for level in found["asks"]] == [[60_100 + step, 0.01] for step in range(5)]
        assert [list(level) for level in found["bids"]] == [[59_900, 0.01]]
        rest = await soon(alice.fetch_order_book(SYMBOL))
        assert (found["asks"], found["bids"]) == (rest["asks"], rest["bids"])
        assert found["nonce"] == rest["nonce"]


@in_loop
async def test_candles_tickers_and_best_prices_are_watched(stack: Stack) -> None:
    clear(stack)
    async with trader(stack, "alice") as alice, trader(stack, "bob") as bob:
        await alice.load_markets()
        await bob.load_markets()
        traded = watched(lambda: alice.watch_ohlcv(SYMBOL, "1m"), lambda seen: seen[-1][4] == 60_050)
        whole = {"name": "ticker"}  # ccxt's own choice is the small one
        priced = watched(lambda: alice.watch_ticker(SYMBOL, whole), lambda seen: seen["last"] == 60_050)
        candles, ticker = await following(traded), await following(priced)
        await soon(alice.create_limit_sell_order(SYMBOL, 0.03, 60_050))
        await soon(bob.create_market_buy_order(SYMBOL, 0.01))
        assert (await soon(candles))[-1][5] >= 0.01
        found = await soon(ticker)
        assert (found["symbol"], found["ask"], found["askVolume"]) == (SYMBOL, 60_050, 0.02)
        best = (await soon(alice.watch_bids_asks([SYMBOL])))[SYMBOL]
        assert (best["ask"], best["askVolume"]) == (60_050, 0.02)


@in_loop
async def test_orders_go_over_the_websocket_api(stack: Stack) -> None:
    clear(stack)
    async with trader(stack, "alice") as alice, trader(stack, "bob") as bob:
        await alice.load_markets()
        await bob.load_markets()
        entered = await soon(alice.create_order_ws(SYMBOL, "limit", "sell", 0.05, 60_020))
        assert entered["status"] == "open"
        assert (await soon(alice.fetch_order_ws(entered["id"], SYMBOL)))["remaining"] == 0.05
        assert [one["id"] for one in await soon(alice.fetch_open_orders_ws(SYMBOL))] == [entered["id"]]
        taken = await soon(bob.create_order_ws(SYMBOL, "market", "buy", 0.02))
        assert (taken["status"], taken["filled"], taken["average"]) == ("closed", 0.02, 60_020)
        assert (await soon(bob.fetch_my_trades_ws(SYMBOL)))[-1]["order"] == taken["id"]
        changed = await soon(alice.edit_order_ws(entered["id"], SYMBOL, "limit", "sell", 0.03, 60_030))
        assert (changed["price"], changed["amount"]) == (60_030, 0.03)
        cancelled = await soon(alice.cancel_order_ws(changed["id"], SYMBOL))
        assert (cancelled["id"], cancelled["status"]) == (changed["id"], "canceled")
        await soon(alice.create_order_ws(SYMBOL, "limit", "sell", 0.05, 60_020))
        assert len(await soon(alice.cancel_all_orders_ws(SYMBOL))) == 1
        held = (await soon(alice.fetch_balance_ws()))["info"]["balances"]  # ccxt leaves a spot account as it came
        assert [one["locked"] for one in held if one["asset"] == "BTC"] == ["0.00000000"]
        assert await soon(alice.fetch_ohlcv_ws(SYMBOL, "1m"))
        assert len(await soon(alice.fetch_orders_ws(SYMBOL))) >= 3
        with pytest.raises(ccxt.InsufficientFunds):
            await soon(alice.create_order_ws(SYMBOL, "limit", "buy", 9_000, 60_000))
        with pytest.raises(ccxt.OrderNotFound):
            await soon(alice.cancel_order_ws("123456", SYMBOL))
        alice.secret = "0" * 64
        with pytest.raises(ccxt.AuthenticationError):
            await soon(alice.fetch_balance_ws())
