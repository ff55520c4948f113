"""All order kinds through signed lines to a real engine node: what a trader and an operator would do, and what time
brings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine_node.replica import Replica
from ironbook import (
    Client,
    Code,
    EventKind,
    LinkAction,
    OrderLink,
    OrderTerms,
    OrderType,
    Outcome,
    Peg,
    Report,
    Side,
    TermOption,
    TimeInForce,
    TradingState,
    Trigger,
)
from schemas.vocabulary import REPORT_BYTES
from schemas.vocabulary import Report as WireReport
from tests.ironbook.conftest import Market
from tests.support.node import wait_until

BUY, SELL = Side.BUY, Side.SELL
IOC = TimeInForce.IMMEDIATE_OR_CANCEL
SECOND_NS = 10**9


@pytest.fixture
def one(market: Market) -> Iterator[Client]:
    with market.client(market.one) as client:
        yield client


@pytest.fixture
def two(market: Market) -> Iterator[Client]:
    with market.client(market.two) as client:
        yield client


@pytest.fixture
def admin(market: Market) -> Iterator[Client]:
    with market.client(market.admin) as client:
        yield client


def taken(outcome: Outcome) -> Outcome:
    outcome.raise_if_rejected()
    return outcome


def kinds(reports: Any) -> list[EventKind]:
    return [report.kind for report in reports]


def await_reports(client: Client, enough: Callable[[list[Report]], bool]) -> list[Report]:
    """Reports that come by themselves, until there are enough."""
    reports: list[Report] = []
    deadline_s = time.monotonic() + 20
    while not enough(reports):
        assert time.monotonic() < deadline_s, reports
        reports += client.take_reports(timeout_s=0.5)
    return reports


def trade_at(seller: Client, buyer: Client, price: int) -> list[Report]:
    """Make `price` the last one. What the seller is told of it and of what it sets off."""
    taken(seller.submit(1, SELL, price, 1))
    taken(buyer.submit(1, BUY, price, 1, time_in_force=IOC))
    return await_reports(seller, lambda reports: EventKind.FILLED in kinds(reports))


def public_events(market: Market) -> list[WireReport]:
    """Everything public that a replica makes of the whole journal."""
    found: list[WireReport] = []
    with Replica.open(market.node.directory, use_snapshot=False) as replica:
        wait_until(lambda: replica.limit() == replica.reader.written())
        while (step := replica.step()) is not None:
            every = [WireReport.unpack(step.events, at) for at in range(0, len(step.events), REPORT_BYTES)]
            found += [event for event in every if not event.key]
    return found


# ---- Orders ----------------------------------------------------------------------------------------------------------


def test_a_stop_waits_and_fires_behind_the_trade_that_reaches_it(one: Client, two: Client) -> None:
    trade_at(one, two, 100)
    taken(one.submit(1, BUY, 95, 3))  # whom the stop will meet
    terms = OrderTerms(trigger=Trigger.STOP, trigger_price_ticks=97)
    waiting = taken(two.submit(1, SELL, 90, 3, time_in_force=IOC, terms=terms))
    assert kinds(waiting.reports) == [EventKind.ACCEPTED]
    told = trade_at(two, one, 96)  # the seller's own stop fires behind its fill
    told += await_reports(two, lambda more: (told + more)[-1].order_id == waiting.order_id and (told + more)[-1].done)
    fired = [report for report in told if report.order_id == waiting.order_id]
    assert kinds(fired) == [EventKind.TRIGGERED, EventKind.FILLED]
    assert len({report.sequence for report in told}) == 1
    assert fired[-1].price_ticks == 95


def test_an_iceberg_shows_a_part_and_a_hidden_order_nothing(market: Market, one: Client, two: Client) -> None:
    taken(one.submit(1, SELL, 100, 10, terms=OrderTerms(display_lots=4)))
    taken(one.submit(1, SELL, 100, 5, terms=OrderTerms(options=TermOption.HIDDEN)))
    with Replica.open(market.node.directory, use_snapshot=False) as replica:
        wait_until(lambda: replica.limit() == replica.reader.written())
        replica.catch_up()
        assert replica.core.levels(1, SELL) == [(100, 4, 1)]
    bought = taken(two.submit(1, BUY, 100, 14, time_in_force=IOC))
    assert [fill.quantity_lots for fill in bought.fills] == [4, 4, 2, 4]
    assert bought.filled_lots == 14


def test_of_two_linked_orders_one_cancels_the_other(one: Client, two: Client) -> None:
    trade_at(one, two, 100)
    profit = taken(one.submit(1, SELL, 110, 2))
    stop = OrderTerms(trigger=Trigger.STOP, trigger_price_ticks=90)
    link = OrderLink(order_id=profit.order_id, action=LinkAction.ONE_CANCELS_OTHER)
    loss = taken(one.submit(1, SELL, 80, 2, time_in_force=IOC, terms=stop, link=link))
    taken(two.submit(1, BUY, 110, 1, time_in_force=IOC))
    reports = await_reports(one, lambda found: EventKind.FILLED in kinds(found))
    assert [(r.kind, r.order_id, r.code) for r in reports] == [
        (EventKind.CANCELLED, loss.order_id, Code.CANCELLED_LINKED),
        (EventKind.FILLED, profit.order_id, Code.NONE),
    ]


def test_an_order_takes_the_place_of_another_in_one_command(one: Client) -> None:
    old = taken(one.submit(1, BUY, 90, 2))
    link = OrderLink(order_id=old.order_id, action=LinkAction.CANCEL_FIRST)
    new = taken(one.submit(1, BUY, 91, 3, link=link))
    assert kinds(new.reports) == [EventKind.CANCELLED, EventKind.ACCEPTED]
    assert len({report.sequence for report in new.reports}) == 1


def test_an_amount_is_spent_and_a_peg_follows(one: Client, two: Client) -> None:
    taken(one.submit(1, SELL, 100, 5))
    taken(one.submit(1, BUY, 90, 1))
    pegged = taken(one.submit(1, SELL, 80, 2, terms=OrderTerms(peg=Peg.MIDDLE)))
    spent = taken(two.submit(1, BUY, 120, 300, order_type=OrderType.MARKET_BY_QUOTE, time_in_force=IOC))
    assert [(fill.price_ticks, fill.quantity_lots) for fill in spent.fills] == [(95, 2), (100, 1)]
    assert pegged.answer.price_ticks == 80
    assert spent.reports[-1].code is Code.CANCELLED_AMOUNT_REACHED or spent.reports[-1].done


# ---- Time ------------------------------------------------------------------------------------------------------------


def test_an_order_expires_by_itself(one: Client) -> None:
    terms = OrderTerms(expire_ns=time.time_ns() + SECOND_NS // 2)
    order = taken(one.submit(1, BUY, 90, 2, terms=terms))
    (report,) = await_reports(one, bool)
    assert (report.kind, report.code, report.order_id) == (
        EventKind.CANCELLED,
        Code.CANCELLED_EXPIRED,
        order.order_id,
    )
    assert report.received_ns >= terms.expire_ns


def test_a_countdown_that_is_not_renewed_cancels_what_its_key_entered(one: Client, two: Client) -> None:
    mine = [taken(one.submit(1, BUY, price, 1)).order_id for price in (88, 89)]
    other = taken(two.submit(1, BUY, 87, 1)).order_id
    taken(one.countdown_cancel(60_000))
    taken(one.countdown_cancel(300))
    reports = await_reports(one, lambda found: len(found) == len(mine))
    assert [(report.order_id, report.code) for report in reports] == [(i, Code.CANCELLED_COUNTDOWN) for i in mine]
    taken(two.cancel(1, other))


# ---- The market ------------------------------------------------------------------------------------------------------


def test_an_auction_collects_orders_opens_by_itself_and_trades_at_one_price(
    market: Market, one: Client, two: Client, admin: Client
) -> None:
    ends_ns = time.time_ns() + 2 * SECOND_NS
    taken(admin.set_instrument_state(1, TradingState.AUCTION, auction_ends_ns=ends_ns))
    taken(one.submit(1, SELL, 95, 4))
    taken(one.submit(1, SELL, 99, 4))
    taken(two.submit(1, BUY, 101, 6))
    refused = two.submit(1, BUY, 101, 6, time_in_force=IOC)
    assert refused.answer.code is Code.NOT_IN_THIS_STATE
    fills = await_reports(two, lambda found: sum(r.quantity_lots for r in found) == 6)
    assert {(fill.kind, fill.price_ticks, fill.auction) for fill in fills} == {(EventKind.FILLED, 99, True)}
    events = public_events(market)
    states = [TradingState(event.code) for event in events if event.kind == EventKind.STATE and event.instrument == 1]
    assert states[-2:] == [TradingState.AUCTION, TradingState.OPEN]
    assert (99, 6, 2) in [
        (event.price_ticks, event.quantity_lots, event.remaining_lots)
        for event in events
        if event.kind == EventKind.INDICATIVE
    ]


def test_a_circuit_breaker_stops_a_trade_and_an_auction_follows(
    market: Market, one: Client, two: Client, admin: Client
) -> None:
    trade_at(one, two, 100)
    taken(admin.set_circuit_breaker(1, band=(50_000, 300)))
    taken(one.submit(1, SELL, 104, 1))
    taken(one.submit(1, SELL, 150, 1))
    swept = taken(two.submit(1, BUY, 150, 2, time_in_force=IOC))
    assert [fill.price_ticks for fill in swept.fills] == [104]
    assert swept.reports[-1].code is Code.CANCELLED_BY_BREAKER
    wait_until(lambda: not two.submit(1, BUY, 50, 1, time_in_force=IOC).rejected, why="the auction must end")
    states = [event for event in public_events(market) if event.kind == EventKind.STATE and event.instrument == 1]
    assert [TradingState(event.code) for event in states[-2:]] == [TradingState.AUCTION, TradingState.OPEN]
    assert states[-2].quantity_lots == 4  # the band


def test_a_kill_halts_and_cancels_and_an_opening_forgets_nothing(one: Client, two: Client, admin: Client) -> None:
    order = taken(one.submit(1, BUY, 90, 2))
    taken(two.submit(1, BUY, 89, 2, terms=OrderTerms(options=TermOption.HIDDEN)))
    killed = taken(admin.kill(instrument=1))
    assert killed.answer.quantity_lots == 2
    (report,) = await_reports(one, bool)
    assert (report.order_id, report.code) == (order.order_id, Code.CANCELLED_BY_KILL)
    assert one.submit(1, BUY, 90, 2).answer.code is Code.INSTRUMENT_HALTED
    taken(admin.resume(instrument=1))
    taken(one.submit(1, BUY, 90, 2))


def test_a_replica_of_all_this_has_the_engines_digest(market: Market, one: Client, two: Client, admin: Client) -> None:
    trade_at(one, two, 100)
    taken(admin.set_instrument_state(1, TradingState.PRE_OPEN))
    for price in range(90, 110):
        taken(one.submit(1, SELL, price, 3, terms=OrderTerms(display_lots=1, options=TermOption.DAY)))
        taken(two.submit(1, BUY, price, 2))
    taken(admin.set_instrument_state(1, TradingState.OPEN))
    taken(admin.set_instrument_state(1, TradingState.CLOSED))
    market.node.stop()
    market.node.start()
    with Replica.open(market.node.directory, use_snapshot=False) as whole, Replica.open(market.node.directory) as short:
        wait_until(lambda: whole.limit() == whole.reader.written())
        last = whole.limit()
        whole.catch_up(last)
        short.catch_up(last)
        assert short.core.sequence() == whole.core.sequence()
        assert short.core.digest() == whole.core.digest()
        assert whole.core.check() is None
