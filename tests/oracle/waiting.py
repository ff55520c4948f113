"""Section 14: orders with a trigger wait until the reference price is there; then they fire."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.vocabulary import (
    PRICE_TICKS_MAX,
    TRAILING_ORDERS_MAX,
    Code,
    EventKind,
    OrderOption,
    Side,
    TradingState,
    Trigger,
)
from tests.oracle import book, cancels, makers, taking
from tests.oracle.events import Events
from tests.oracle.state import WAITING, InstrumentState, OrderState, State


def rises(order: OrderState) -> bool:
    """Whether it fires when the reference price has come up to its trigger price, not down to it."""
    return (order.side == Side.BUY) == (order.trigger in (Trigger.STOP, Trigger.TRAILING))


def would_fire(order: OrderState, reference: int) -> bool:
    return reference >= order.trigger_price if rises(order) else reference <= order.trigger_price


def trailing_orders(instrument: InstrumentState) -> list[OrderState]:
    trailing = [order for order in instrument.waiting if order.trigger == Trigger.TRAILING]
    return sorted(trailing, key=lambda order: order.id)


def too_many_trailing(instrument: InstrumentState, order: OrderState) -> bool:
    same_side = [other for other in trailing_orders(instrument) if other.side == order.side]
    return order.trigger == Trigger.TRAILING and len(same_side) >= TRAILING_ORDERS_MAX


def faults(instrument: InstrumentState, order: OrderState) -> Iterator[Code]:
    """What keeps an order from waiting."""
    reference = instrument.reference_price
    if order.trigger == Trigger.TRAILING and reference == 0:
        yield Code.NO_REFERENCE_PRICE
    if order.trigger in (Trigger.STOP, Trigger.TAKE_PROFIT) and reference > 0 and would_fire(order, reference):
        yield Code.TRIGGER_ALREADY_MET


def follow(order: OrderState, reference: int) -> None:
    """The peak of a trailing order is the reference price; its trigger price lies behind it."""
    order.peak = reference
    if order.side == Side.SELL:
        order.trigger_price = max(1, order.peak - order.offset)
    else:
        order.trigger_price = min(PRICE_TICKS_MAX, order.peak + order.offset)


def wait(state: State, events: Events, order: OrderState) -> None:
    order.place = WAITING
    order.priority = events.sequence
    if order.trigger == Trigger.TRAILING:
        follow(order, state.instruments[order.instrument].reference_price)
    book.add(state, order)


# ---- firing


def fire_after_run(state: State, events: Events, instrument: InstrumentState) -> None:
    """A taker's run has ended."""
    if instrument.number in events.traded:
        fire_all(state, events, instrument)


def fire_all(state: State, events: Events, instrument: InstrumentState) -> None:
    while instrument.trading_state == TradingState.OPEN and instrument.reference_price > 0:
        trail(state, events, instrument)
        order = next_to_fire(instrument)
        if order is None:
            return
        fire(state, events, instrument, order)


def trail(state: State, events: Events, instrument: InstrumentState) -> None:
    """Trailing orders follow a price that has moved away from them, and go to the back."""
    reference = instrument.reference_price
    for order in trailing_orders(instrument):
        moved = order.peak < reference if order.side == Side.SELL else order.peak > reference
        if moved:
            follow(order, reference)
            book.to_the_back(state, order, events.sequence)


def next_to_fire(instrument: InstrumentState) -> OrderState | None:
    """The first of the lowest rising trigger price, or else the first of the highest falling one, that is reached."""
    reached = [order for order in instrument.waiting if would_fire(order, instrument.reference_price)]
    rising = sorted((order for order in reached if rises(order)), key=lambda order: order.trigger_price)
    falling = sorted((order for order in reached if not rises(order)), key=lambda order: -order.trigger_price)
    return next(iter([*rising, *falling]), None)


def fire(state: State, events: Events, instrument: InstrumentState, order: OrderState) -> None:
    """From here on it is an order like any other."""
    cancels.cancel_before_trade(state, events, order)
    book.remove(state, order)
    order.trigger = order.trigger_price = order.peak = order.offset = 0
    order.priority = events.sequence
    events.about(
        order,
        EventKind.TRIGGERED,
        price_ticks=order.price,
        quantity_lots=order.rest,
        reference=instrument.last_trade_id,
    )
    if order.options & OrderOption.POST_ONLY and makers.would_take(instrument, order):
        taking.cancel_rest(state, events, order, Code.CANCELLED_WOULD_TAKE)
    else:
        taking.take(state, events, order)
