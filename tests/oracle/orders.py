"""Sections 4, 6 and 7: what good orders, cancels and replacements do."""

from __future__ import annotations

from schemas.vocabulary import (
    Cancel,
    Code,
    EventKind,
    Level3Action,
    LinkAction,
    NewOrder,
    OrderLink,
    Replace,
    ReportFlag,
)
from tests.oracle import book, cancels, checks, ledger, links, taking, terms, waiting
from tests.oracle.commands import Group
from tests.oracle.events import Events
from tests.oracle.state import DISPLAYED, OrderState, State


def cancel_first(state: State, events: Events, command: NewOrder, link: OrderLink | None) -> None:
    """A new order may name one that is cancelled before it is looked at any further."""
    if link is not None and link.action == LinkAction.CANCEL_FIRST:
        order = links.target(state, command, link)
        assert order is not None
        cancels.cancel_open(state, events, order, Code.CANCELLED_BY_REQUEST, events.reference_for(order))


def new_order(state: State, events: Events, command: NewOrder, group: Group) -> None:
    instrument = state.instruments[command.instrument]
    price = checks.effective_price(instrument, command, group.terms)
    quantity = checks.quantity_of(instrument, command, group.terms)
    assert price is not None
    assert quantity is not None
    order = checks.order_to_be(state, command, group.terms, price, quantity)
    order.id, order.key = events.sequence, events.key

    ledger.position_of(state, order.account, order.instrument)
    count_order(state, order.account, events.received_ns)
    other = links.one_cancels_other(state, command, group.link)
    ledger.set_lock(state, order, links.lock_of_new(state, order, other))
    if other is not None:
        links.tie(order, other)
    ledger.change_open(state, order, order.rest)
    events.about(
        order,
        EventKind.ACCEPTED,
        price_ticks=order.price,
        quantity_lots=order.rest,
        reference=events.client_sequence,
        amount_units=order.amount_left,
    )
    if terms.waits(group.terms):
        waiting.wait(state, events, order)
    else:
        taking.take(state, events, order)
        waiting.fire_after_run(state, events, instrument)


def count_order(state: State, number: int, received_ns: int) -> None:
    """An accepted order or replacement counts while the account has a rate limit; a new window starts at 1."""
    account = state.accounts[number]
    if account.order_rate_max > 0:
        window = checks.rate_window(account, received_ns)
        account.rate_count = account.rate_count + 1 if window == account.rate_window else 1
        account.rate_window = window


# ---- cancel


def cancel(state: State, events: Events, command: Cancel) -> None:
    order = checks.named_order(state, command)
    assert order is not None
    cancels.cancel_open(state, events, order, Code.CANCELLED_BY_REQUEST, events.reference_for(order))
    tell_other_sender(events, order, command.client_order_id)


def tell_other_sender(events: Events, order: OrderState, client_order_id: int) -> None:
    """The key that entered the order got the report on it; another key that asked gets `applied`."""
    if order.key != events.key:
        events.applied(
            account=order.account,
            instrument=order.instrument,
            order_id=order.id,
            client_order_id=client_order_id,
            quantity_lots=1,
        )


# ---- replace


def replace(state: State, events: Events, command: Replace) -> None:
    order = checks.named_order(state, command)
    assert order is not None
    count_order(state, order.account, events.received_ns)
    if checks.keeps_place(order, command):
        replace_in_place(state, events, order, command.quantity_lots)
    else:
        replace_anew(state, events, order, command.price_ticks, command.quantity_lots)
    tell_other_sender(events, order, 0)
    waiting.fire_after_run(state, events, state.instruments[order.instrument])


def set_total(state: State, order: OrderState, total: int) -> None:
    new_rest = total - order.filled
    ledger.change_open(state, order, new_rest - order.rest)
    order.rest = new_rest


def report_replaced(events: Events, order: OrderState, price: int, total: int, flags: int) -> None:
    events.about(
        order,
        EventKind.REPLACED,
        flags=flags,
        price_ticks=price,
        quantity_lots=total,
        reference=events.reference_for(order),
    )


def replace_in_place(state: State, events: Events, order: OrderState, total: int) -> None:
    """An iceberg shows what it showed, or its new rest if that is less."""
    instrument = state.instruments[order.instrument]
    shown = book.shown(order)
    set_total(state, order, total)
    order.reserve = order.rest - min(shown, order.rest)
    ledger.lower_lock(state, order)
    report_replaced(events, order, order.price, total, ReportFlag.KEPT_PRIORITY)
    if order.place == DISPLAYED:
        events.level3(instrument, order, Level3Action.CHANGE)
        events.book_update(instrument, order.side, order.price)


def replace_anew(state: State, events: Events, order: OrderState, price: int, total: int) -> None:
    """Out of the book at the old price, then a taker at the new one."""
    instrument = state.instruments[order.instrument]
    set_total(state, order, total)
    report_replaced(events, order, price, total, 0)
    cancels.leave_book(state, events, order)
    order.price, order.reserve = price, 0
    ledger.set_lock(state, order, ledger.needed(instrument, order))
    order.maker_notional = order.taker_notional = 0
    taking.take(state, events, order)
