"""Sections 5, 6 and 15: lots taken off unfilled, and what goes away with the order that they were of."""

from __future__ import annotations

from schemas.vocabulary import Code, EventKind, Level3Action, ReportFlag
from tests.oracle import book, ledger, links
from tests.oracle.events import Events
from tests.oracle.state import DISPLAYED, OrderState, State


def done_flag(order: OrderState) -> int:
    return ReportFlag.DONE if order.rest == 0 else 0


def report_cancelled(events: Events, order: OrderState, lots: int, code: Code, reference: int = 0) -> None:
    events.about(
        order,
        EventKind.CANCELLED,
        flags=done_flag(order),
        code=code,
        price_ticks=order.price,
        quantity_lots=lots,
        reference=reference,
    )


def take_off(state: State, events: Events, order: OrderState, lots: int, code: Code, reference: int = 0) -> None:
    """Cancel some lots of an order: what was locked for them is free, and a `cancelled` report says so."""
    order.rest -= lots
    order.reserve = min(order.reserve, order.rest)
    ledger.change_open(state, order, -lots)
    ledger.lower_lock(state, order)
    report_cancelled(events, order, lots, code, reference)


def leave_book(state: State, events: Events, order: OrderState, *, level_is_told: bool = True) -> None:
    """Out of its place; of a displayed one the book says so."""
    instrument = state.instruments[order.instrument]
    book.remove(state, order)
    if order.place == DISPLAYED:
        events.level3(instrument, order, Level3Action.REMOVE)
        if level_is_told:
            events.book_update(instrument, order.side, order.price)


def cancel_open(state: State, events: Events, order: OrderState, code: Code, reference: int = 0) -> None:
    """An open order ends; what it is linked with goes directly behind it."""
    take_off(state, events, order, order.rest, code, reference)
    leave_book(state, events, order)
    cancel_after_end(state, events, order)


def cancel_each(state: State, events: Events, orders: list[OrderState], code: Code) -> int:
    """One after the other. How many: what has gone by a link before its turn came is not counted."""
    count = 0
    for order in orders:
        if order.id in state.orders:
            cancel_open(state, events, order, code)
            count += 1
    return count


# ---- one cancels the other


def cancel_after_end(state: State, events: Events, order: OrderState, level: int | None = None) -> None:
    """What is linked with an order that has ended."""
    other = state.orders.get(order.linked)
    if other is not None:
        order.linked = other.linked = 0
        take_off(state, events, other, other.rest, Code.CANCELLED_LINKED)
        leave_book(state, events, other, level_is_told=other.price != level)


def cancel_before_trade(state: State, events: Events, order: OrderState, level: int | None = None) -> None:
    """What is linked with an order that is about to trade or to fire; the order takes over its lock.

    level: the price of the order's own level, if that is being worked on: it is told when it is left.
    """
    other = state.orders.get(order.linked)
    if other is not None:
        lots, other.rest = other.rest, 0
        other.reserve = 0
        ledger.change_open(state, other, -lots)
        links.take_over_lock(state, order, other)
        report_cancelled(events, other, lots, Code.CANCELLED_LINKED)
        leave_book(state, events, other, level_is_told=other.price != level)
