"""Sections 4, 6, 7 and 8: what good orders, cancels, replacements and mass cancels do."""

from __future__ import annotations

from schemas.vocabulary import (
    Cancel,
    Code,
    EventKind,
    Level3Action,
    MassCancel,
    NewOrder,
    Replace,
    ReportFlag,
    TimeInForce,
)
from tests.oracle import book, checks, ledger, matching
from tests.oracle.events import Events
from tests.oracle.state import OrderState, State


def new_order(state: State, events: Events, command: NewOrder) -> None:
    instrument = state.instruments[command.instrument]
    price = checks.effective_price(instrument, command)
    assert price is not None
    order = checks.order_to_be(command, instrument, price)
    order.id, order.key = events.sequence, events.key

    ledger.position_of(state, order.account, order.instrument)
    count_order(state, order.account, events.received_ns)
    ledger.set_lock(state, order, ledger.needed(instrument, order))
    ledger.change_open(state, order, order.rest)
    events.about(
        order,
        EventKind.ACCEPTED,
        price_ticks=order.price,
        quantity_lots=order.rest,
        reference=events.client_sequence,
    )
    matching.match(state, events, order)
    if order.rest > 0 and command.time_in_force == TimeInForce.GOOD_TILL_CANCELLED:
        rest(state, events, order)
    elif order.rest > 0:
        matching.take_off(state, events, order, order.rest, Code.CANCELLED_UNFILLED)


def count_order(state: State, number: int, received_ns: int) -> None:
    """An accepted order or replacement counts while the account has a rate limit; a new window starts at 1."""
    account = state.accounts[number]
    if account.order_rate_max > 0:
        window = checks.rate_window(account, received_ns)
        account.rate_count = account.rate_count + 1 if window == account.rate_window else 1
        account.rate_window = window


def rest(state: State, events: Events, order: OrderState) -> None:
    """To the back of its level, and say so."""
    instrument = state.instruments[order.instrument]
    order.priority = events.sequence
    book.add(state, order)
    events.level3(instrument, order, Level3Action.ADD)
    events.book_update(instrument, order.side, order.price)


def leave_book(state: State, events: Events, order: OrderState) -> None:
    """Out of its level, and say so."""
    instrument = state.instruments[order.instrument]
    book.remove(state, order)
    events.level3(instrument, order, Level3Action.REMOVE)
    events.book_update(instrument, order.side, order.price)


# ---- cancel


def cancel(state: State, events: Events, command: Cancel) -> None:
    order = checks.named_order(state, command)
    assert order is not None
    cancel_resting(state, events, order, Code.CANCELLED_BY_REQUEST, events.reference_for(order))
    tell_other_sender(events, order, command.client_order_id)


def cancel_resting(state: State, events: Events, order: OrderState, code: Code, reference: int) -> None:
    matching.take_off(state, events, order, order.rest, code, reference)
    leave_book(state, events, order)


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
    instrument = state.instruments[order.instrument]
    set_total(state, order, total)
    ledger.lower_lock(state, order)
    report_replaced(events, order, order.price, total, ReportFlag.KEPT_PRIORITY)
    events.level3(instrument, order, Level3Action.CHANGE)
    events.book_update(instrument, order.side, order.price)


def replace_anew(state: State, events: Events, order: OrderState, price: int, total: int) -> None:
    """Out of the book at the old price, then a taker at the new one."""
    set_total(state, order, total)
    report_replaced(events, order, price, total, 0)
    leave_book(state, events, order)
    order.price = price
    ledger.set_lock(state, order, ledger.needed(state.instruments[order.instrument], order))
    order.maker_notional = order.taker_notional = 0
    matching.match(state, events, order)
    if order.rest > 0:
        rest(state, events, order)


# ---- mass cancel


def mass_cancel(state: State, events: Events, command: MassCancel) -> None:
    count = 0
    for order in orders_in_turn(state, command.account):
        in_scope = command.instrument in (0, order.instrument) and command.side in (0, order.side)
        if in_scope:
            cancel_resting(state, events, order, Code.CANCELLED_BY_MASS_CANCEL, 0)
            count += 1
    events.applied(
        account=command.account,
        instrument=command.instrument,
        client_order_id=command.client_order_id,
        quantity_lots=count,
    )


def orders_in_turn(state: State, account: int) -> list[OrderState]:
    """By the account's positions in the order of their creation, and in each by rising id."""
    mine = state.orders_of(account)
    return [
        order for instrument, _ in state.positions_of(account) for order in mine if order.instrument == instrument
    ]


def cancel_of_key(state: State, events: Events, key: int, account: int) -> None:
    """Every resting order that a key entered in its own account."""
    for order in orders_in_turn(state, account):
        if order.key == key:
            cancel_resting(state, events, order, Code.CANCELLED_ON_DISCONNECT, 0)
