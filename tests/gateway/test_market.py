"""The market's folds against the core itself, on random markets of every kind of command."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter, defaultdict

import pytest

from engine_node import _engine
from gateway.events import Event, command_at, read_events
from gateway.market import Fill, Listener, Market, Order, OrderStatus, Trade
from gateway.mirror import Mirror
from gateway.symbols import client_text
from schemas import vocabulary as v
from tests.gateway.markets import Records, follow, random_market

SEEDS = (1, 2, 3, 4)
COMMANDS = 1500


@functools.cache
def market_of(seed: int) -> tuple[bytes, dict[str, int], Mirror, Market]:
    records, options = random_market(seed, COMMANDS)
    mirror, market = follow(Records(records, **options))
    assert mirror.trouble == "", mirror.trouble
    return records, options, mirror, market


def every_event(records: bytes, options: dict[str, int]) -> list[Event]:
    return read_events(_engine.Core(**options).apply(records))


def accounts_of(core: _engine.Core) -> list[int]:
    return [number for number in range(1, core.options()["account_count_max"]) if core.account(number) is not None]


@pytest.mark.parametrize("seed", SEEDS)
def test_open_orders_are_the_cores_all_the_time(seed: int) -> None:
    records, options, _, _ = market_of(seed)
    compared = 0

    class Comparing(Listener):
        def __init__(self, market: Market) -> None:
            self.market = market

        def done(self, batch: object) -> None:
            nonlocal compared
            compared += compare_open_orders(self.market)

    def listen(mirror: Mirror, market: Market) -> None:
        market.on(Comparing(market))

    follow(Records(records, part=9, **options), listen)
    assert compared > 500


def compare_open_orders(market: Market) -> int:
    core, found = market.mirror.core, 0
    for account in accounts_of(core):
        told = sorted(core.account_orders(account, 0, 10_000), key=lambda order: order["order_id"])
        mine = market.open_orders(account)
        assert [order.order_id for order in mine] == [order["order_id"] for order in told]
        for order, one in zip(mine, told, strict=True):
            found += 1
            same_as_core(order, one)
            assert order in market.open_orders(account, order.instrument)
            assert order not in market.open_orders(account, order.instrument + 1)
    return found


def same_as_core(order: Order, core: dict[str, int]) -> None:
    for name in (
        "account", "instrument", "key", "side", "client_order_id", "price_ticks", "filled_lots", "display_lots",
        "expire_ns", "linked_order_id", "self_trade_prevention", "term_options",
    ):  # fmt: skip
        assert getattr(order, name) == core[name], name
    assert order.remaining_lots == core["rest_lots"]
    assert order.post_only == bool(core["options"] & v.OrderOption.POST_ONLY)
    assert (order.status is OrderStatus.WAITING) == (core["place"] == 3)
    if order.status is not OrderStatus.WAITING:
        assert (order.status is OrderStatus.PARTLY) == (order.filled_lots > 0)
    assert order.is_open
    assert order.code == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_every_order_is_what_its_reports_add_up_to(seed: int) -> None:
    records, options, mirror, market = market_of(seed)
    units = {n: mirror.core.instrument(n)["quote_units_per_tick_lot"] for n in (1, 2, 3)}
    filled: Counter[int] = Counter()
    notional: Counter[int] = Counter()
    fees: Counter[int] = Counter()
    count: Counter[int] = Counter()
    last: dict[int, Event] = {}
    for event in every_event(records, options):
        if event.kind in (1, 3, 4, 5, 7):
            last[event.order_id] = event
        if event.kind == v.EventKind.FILLED:
            filled[event.order_id] += event.quantity_lots
            notional[event.order_id] += event.price_ticks * event.quantity_lots * units[event.instrument]
            fees[event.order_id] += event.amount_units
            count[event.order_id] += 1
    assert last
    for order_id, event in last.items():
        order = market.order(order_id)
        assert order is not None
        found = (order.filled_lots, order.notional_units, order.fee_units, order.fills)
        assert found == (filled[order_id], notional[order_id], fees[order_id], count[order_id])
        assert (order.remaining_lots, order.updated_ns) == (event.remaining_lots, event.received_ns)
        assert order.is_open == (not event.done)
        assert sum(fill.quantity_lots for fill in market.fills_of(order)) == order.filled_lots
        if event.done and event.kind == v.EventKind.FILLED:
            assert order.status is OrderStatus.FILLED
        assert order.entered_ns <= order.updated_ns
    assert len(last) == sum(len(list(market.orders(account))) for account in accounts_of(mirror.core))


@pytest.mark.parametrize("seed", SEEDS)
def test_trades_fills_and_books_are_the_cores(seed: int) -> None:
    records, options, mirror, market = market_of(seed)
    events = every_event(records, options)
    for number in (1, 2, 3):
        told = mirror.core.instrument(number)
        kept = market.trades(number, 1_000_000)
        assert [trade.trade_id for trade in kept] == list(range(1, told["trade_id"] + 1))
        prints = [event for event in events if event.kind == v.EventKind.TRADE and event.instrument == number]
        assert [(t.price_ticks, t.quantity_lots, t.maker_order_id, t.taker_order_id) for t in kept] == [
            (e.price_ticks, e.quantity_lots, e.order_id, e.client_order_id) for e in prints
        ]
        assert market.trades(number, 3, 2) == kept[1:4]
        assert market.trades(number, 3) == kept[-3:]
        assert market.last_trade(number) is (kept[-1] if kept else None)
        assert market.update_id(number) == told["book_update_id"]
        assert market.books[number].level3_id == told["level3_id"]
        top = market.top(number)
        assert [(top.bid_ticks, top.bid_lots)] == [one[:2] for one in mirror.core.levels(number, 1, 1) or [(0, 0)]]
        assert [(top.ask_ticks, top.ask_lots)] == [one[:2] for one in mirror.core.levels(number, 2, 1) or [(0, 0)]]
    fills = [event for event in events if event.kind == v.EventKind.FILLED]
    mine = [fill for account in accounts_of(mirror.core) for fill in market.fills(account)]
    assert sorted((fill.sequence, fill.n) for fill in mine) == [(event.sequence, event.n) for event in fills]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_market_begun_from_a_snapshot_says_the_same_of_all_that_came_behind_it(seed: int) -> None:
    records, options, mirror, market = market_of(seed)
    core = _engine.Core(**options)
    half = core.group_bytes(records[: len(records) // 2 // 64 * 64])
    core.apply(records[:half])
    later_mirror, later = follow(Records(records, snapshot=core.save(), **options))
    assert later_mirror.trouble == ""
    assert later_mirror.began_at == half // 64
    assert later_mirror.core.digest() == mirror.core.digest()
    for number in (1, 2, 3):
        kept = later.trades(number, 1_000_000)
        same = market.trades(number, 1_000_000)[-len(kept) :] if kept else []
        assert [trade.trade_id for trade in kept] == [trade.trade_id for trade in same]
        assert later.update_id(number) == market.update_id(number)
        for side in ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots"):
            assert getattr(later.top(number), side) == getattr(market.top(number), side)
    unknown = {"notional_units", "fee_units", "fills", "entered_ns", "updated_ns", "working_ns", "client_text"}
    names = set(Order.__slots__) - {"last_fill"}
    seen_here = {"order_type", "time_in_force", "trigger", "trigger_price_ticks", "amount_units"}
    for account in accounts_of(mirror.core):
        ours = {order.order_id: order for order in later.orders(account)}
        theirs = {order.order_id: order for order in market.orders(account)}
        assert set(ours) <= set(theirs)
        assert {order_id for order_id, order in theirs.items() if order_id >= later.orders_from} <= set(ours)
        for order_id, order in ours.items():
            known = names if order.entered_ns else names - unknown - seen_here
            for name in known:
                assert getattr(order, name) == getattr(theirs[order_id], name), name
    every = [order.order_id for account in accounts_of(core) for order in market.orders(account)]
    assert {order.order_id for order in later.incomplete()} == {one for one in every if core.order(one) is not None}


class Everything(Listener):
    """Notes what it is told, with what orders looked like then."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.tops = 0
        self.touched: set[tuple[int, int]] = set()

    def order(self, order: Order, event: Event, fill: Fill | None) -> None:
        assert (fill is not None) == (event.kind == v.EventKind.FILLED)
        if fill is not None:
            assert (fill.trade_id, fill.sequence, fill.n) == (event.reference, event.sequence, event.n)
        assert order.remaining_lots == event.remaining_lots
        self.told.append((event.sequence, event.n, "order"))

    def answer(self, event: Event) -> None:
        self.told.append((event.sequence, event.n, "answer"))

    def trade(self, trade: Trade) -> None:
        assert trade.notional_units > 0

    def balances(self, touched: set[tuple[int, int]]) -> None:
        self.touched |= touched


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_listeners_are_told_each_report_once_and_in_order_and_every_balance_that_moved(seed: int) -> None:
    records, options, _, _ = market_of(seed)
    source = Records(records, part=1, **options)
    listener = Everything()
    balances: dict[tuple[int, int], tuple[int, int] | None] = {}

    class Balances(Listener):
        def __init__(self, mirror: Mirror) -> None:
            self.mirror = mirror

        def done(self, batch: object) -> None:
            for account in (1, 2, 3):
                for asset in (1, 2, 3):
                    now = self.mirror.core.balance(account, asset)
                    if balances.get((account, asset)) != now:
                        assert (account, asset) in listener.touched
                        balances[account, asset] = now
            listener.touched.clear()

    def listen(mirror: Mirror, market: Market) -> None:
        market.on(listener)
        market.on(Balances(mirror))

    follow(source, listen)
    wanted = [
        (event.sequence, event.n) for event in every_event(records, options) if event.kind <= v.EventKind.TRIGGERED
    ]
    assert [told[:2] for told in listener.told] == wanted


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_depth_tapes_have_every_change_without_a_gap(seed: int) -> None:
    records, options, _, _ = market_of(seed)
    levels: dict[int, dict[tuple[str, int], int]] = defaultdict(dict)

    class Taker(Listener):
        def __init__(self, market: Market) -> None:
            self.market, self.count, self.last = market, 0, 0
            self.tape = None

        def done(self, batch: object) -> None:
            if self.tape is None:
                if self.market.mirror.core.instrument(1) is None:
                    return
                self.tape = self.market.tape(1)
                self.last = self.tape.last_id
                for side, name in ((1, "bid"), (2, "ask")):
                    for ticks, lots, _ in self.market.mirror.core.levels(1, side, 10_000):
                        levels[1][name, ticks] = lots
                return
            self.count += 1
            if self.count % 7 == 0 and (made := self.tape.take()) is not None:
                assert made.first_id == self.last + 1 <= made.last_id
                self.last = made.last_id
                for name, changes in (("bid", made.bids), ("ask", made.asks)):
                    for ticks, lots in changes:
                        levels[1][name, ticks] = lots
                now = {}
                for side, name in ((1, "bid"), (2, "ask")):
                    for ticks, lots, _ in self.market.mirror.core.levels(1, side, 10_000):
                        now[name, ticks] = lots
                assert {place: lots for place, lots in levels[1].items() if lots} == now

    def listen(mirror: Mirror, market: Market) -> None:
        market.on(Taker(market))

    follow(Records(records, part=3, **options), listen)
    assert levels[1]


def test_ended_orders_and_fills_go_when_there_are_too_many_and_open_ones_stay() -> None:
    records, options, whole, _ = market_of(1)
    mirror, market = follow(Records(records, **options), orders_kept=40)
    kept = [order for account in accounts_of(mirror.core) for order in market.orders(account)]
    assert sum(not order.is_open for order in kept) == 40
    for account in accounts_of(mirror.core):
        assert {order.order_id for order in market.open_orders(account)} == {
            order["order_id"] for order in whole.core.account_orders(account, 0, 10_000)
        }
    assert market.orders_from > 1
    assert market.orders_need >= market.orders_from - 1
    assert {market.order(order_id) for order_id in range(mirror.sequence)} == {None, *kept}
    assert sum(len(list(market.fills(account))) for account in accounts_of(mirror.core)) == 40
    assert market.fills_from > 1


def test_trades_beyond_what_is_kept_go_and_the_rest_stays_dense() -> None:
    records, options, _, whole = market_of(1)
    _, market = follow(Records(records, **options), trades_kept=100)
    every = whole.trades(1, 1_000_000)
    kept = market.trades(1, 1_000_000)
    assert 100 <= len(kept) < 200 or len(every) < 200
    assert [trade.trade_id for trade in kept] == [trade.trade_id for trade in every][-len(kept) :]


def test_an_order_is_found_by_its_clients_text_and_the_newest_counts() -> None:
    records, options, _, market = market_of(2)
    newest: dict[tuple[int, str], int] = {}
    for event in every_event(records, options):
        if event.kind == v.EventKind.ACCEPTED:
            command = command_at(records, (event.sequence - 1) * 64)
            text = v.Text.unpack(command.text).text if command.text else b""
            name = client_text(event.client_order_id, text)
            if name:
                newest[event.account, name] = event.order_id
    assert len(newest) > 5
    for (account, name), order_id in newest.items():
        order = market.order_by_text(account, name)
        assert order is not None
        assert order.order_id == order_id
    assert market.order_by_text(1, "nobody") is None


def test_records_in_parts_of_groups_make_the_same_market() -> None:
    records, options, mirror, _ = market_of(3)
    other, market = follow(Records(records, part=1, **options))
    assert (other.sequence, other.core.digest()) == (mirror.sequence, mirror.core.digest())
    assert dataclasses.asdict(command_at(records, 0))["kind"] == v.Kind.TERM
    assert market.books[1].update_id
