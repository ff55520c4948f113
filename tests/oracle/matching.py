"""Section 5: a taker meets the levels of the other side, best first, and in each the orders in the order they came."""

from __future__ import annotations

from schemas.vocabulary import Code, EventKind, Level3Action, ReportFlag, SelfTradePrevention, Side
from tests.oracle import book, ledger, numbers
from tests.oracle.events import Events
from tests.oracle.state import InstrumentState, OrderState, State


def match(state: State, events: Events, taker: OrderState) -> None:
    """Trade as far as the taker's lots and price reach. The taker is not in the book."""
    instrument = state.instruments[taker.instrument]
    while taker.rest > 0:
        price = book.price_to_meet(instrument, taker.side, taker.price)
        if price is None:
            return
        match_level(state, events, instrument, taker, price)


def match_level(state: State, events: Events, instrument: InstrumentState, taker: OrderState, price: int) -> None:
    maker_side = numbers.other_side(taker.side)
    changed = False
    while taker.rest > 0 and price in instrument.levels[maker_side]:
        maker = first_of_level(instrument.levels[maker_side][price])
        if maker.account == taker.account and taker.self_trade_prevention != SelfTradePrevention.NONE:
            changed = prevent_self_trade(state, events, maker, taker) or changed
        else:
            trade(state, events, instrument, maker, taker)
            changed = True
    if changed:
        events.book_update(instrument, maker_side, price)


def first_of_level(level: list[OrderState]) -> OrderState:
    return level[0]


# ---- trades


def trade(state: State, events: Events, instrument: InstrumentState, maker: OrderState, taker: OrderState) -> None:
    lots = min(maker.rest, taker.rest)
    for order in (maker, taker):
        order.rest -= lots
        order.filled += lots
        ledger.change_open(state, order, -lots)
        ledger.change_position(state, order, lots)
    maker_fee, taker_fee = ledger.settle(state, maker, taker, lots)
    instrument.last_trade_id += 1
    instrument.reference_price = maker.price
    events.public(
        EventKind.TRADE,
        flags=ReportFlag.SELL if taker.side == Side.SELL else 0,
        instrument=instrument.number,
        order_id=maker.id,
        client_order_id=taker.id,
        price_ticks=maker.price,
        quantity_lots=lots,
        reference=instrument.last_trade_id,
    )
    report_fill(events, instrument, maker, maker.price, lots, maker_fee, ReportFlag.MAKER)
    report_fill(events, instrument, taker, maker.price, lots, taker_fee, 0)
    tell_change(state, events, instrument, maker)


def report_fill(
    events: Events, instrument: InstrumentState, order: OrderState, price: int, lots: int, fee: int, role: int
) -> None:
    events.about(
        order,
        EventKind.FILLED,
        flags=role | done_flag(order),
        price_ticks=price,
        quantity_lots=lots,
        reference=instrument.last_trade_id,
        amount_units=fee,
    )


def done_flag(order: OrderState) -> int:
    return ReportFlag.DONE if order.rest == 0 else 0


def tell_change(state: State, events: Events, instrument: InstrumentState, order: OrderState) -> None:
    """Level 3 of a resting order whose rest fell; gone from the book if nothing is left."""
    if order.rest == 0:
        book.remove(state, order)
        events.level3(instrument, order, Level3Action.REMOVE)
    else:
        events.level3(instrument, order, Level3Action.CHANGE)


# ---- lots taken off unfilled


def take_off(state: State, events: Events, order: OrderState, lots: int, code: Code, reference: int = 0) -> None:
    """Cancel some lots of an order: what was locked for them is free, and a `cancelled` report says so."""
    order.rest -= lots
    ledger.change_open(state, order, -lots)
    ledger.lower_lock(state, order)
    events.about(
        order,
        EventKind.CANCELLED,
        flags=done_flag(order),
        code=code,
        price_ticks=order.price,
        quantity_lots=lots,
        reference=reference,
    )


def prevent_self_trade(state: State, events: Events, maker: OrderState, taker: OrderState) -> bool:
    """What the taker's mode says. Returns whether the book changed."""
    code = Code.CANCELLED_SELF_TRADE
    instrument = state.instruments[taker.instrument]
    mode = taker.self_trade_prevention
    both = min(maker.rest, taker.rest)
    if mode in (SelfTradePrevention.CANCEL_MAKER, SelfTradePrevention.CANCEL_BOTH):
        take_off(state, events, maker, maker.rest, code)
        tell_change(state, events, instrument, maker)
    if mode in (SelfTradePrevention.CANCEL_TAKER, SelfTradePrevention.CANCEL_BOTH):
        take_off(state, events, taker, taker.rest, code)
    if mode == SelfTradePrevention.DECREMENT:
        take_off(state, events, maker, both, code)
        tell_change(state, events, instrument, maker)
        take_off(state, events, taker, both, code)
    return mode != SelfTradePrevention.CANCEL_TAKER
