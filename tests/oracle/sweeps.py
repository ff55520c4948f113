"""Sections 8, 9, 10 and 16: cancels of many orders, and the order in which they go."""

from __future__ import annotations

from schemas.vocabulary import Code, MassCancel, Side
from tests.oracle import book, cancels, waiting
from tests.oracle.events import Events
from tests.oracle.state import InstrumentState, OrderState, State


def mass_cancel(state: State, events: Events, command: MassCancel) -> None:
    in_scope = [
        order
        for order in orders_in_turn(state, command.account)
        if command.instrument in (0, order.instrument) and command.side in (0, order.side)
    ]
    count = cancels.cancel_each(state, events, in_scope, Code.CANCELLED_BY_MASS_CANCEL)
    events.applied(
        account=command.account,
        instrument=command.instrument,
        client_order_id=command.client_order_id,
        quantity_lots=count,
    )


def orders_in_turn(state: State, account: int) -> list[OrderState]:
    """By the account's positions in the order of their creation, and in each by rising id."""
    mine = state.orders_of(account)
    return [order for instrument, _ in state.positions_of(account) for order in mine if order.instrument == instrument]


def cancel_of_key(state: State, events: Events, key: int, account: int, code: Code) -> None:
    """Every open order that a key entered in an account."""
    cancels.cancel_each(state, events, [order for order in orders_in_turn(state, account) if order.key == key], code)


# ---- kill


def kill_account(state: State, events: Events, account: int) -> int:
    return cancels.cancel_each(state, events, orders_in_turn(state, account), Code.CANCELLED_BY_KILL)


def kill_instrument(state: State, events: Events, number: int) -> int:
    orders = orders_of_instrument(state.instruments[number])
    return cancels.cancel_each(state, events, orders, Code.CANCELLED_BY_KILL)


def orders_of_instrument(instrument: InstrumentState) -> list[OrderState]:
    """Displayed bids and asks, hidden bids and asks, unlit buys and sells, rising and falling waiting ones."""
    resting = [
        order
        for levels in (instrument.levels, instrument.hidden)
        for side in (Side.BUY, Side.SELL)
        for price in book.in_turn(levels[side], side)
        for order in levels[side][price]
    ]
    unlit = [order for side in (Side.BUY, Side.SELL) for order in book.unlit_in_turn(instrument, side)]
    rising = sorted(filter(waiting.rises, instrument.waiting), key=lambda order: order.trigger_price)
    falling = [order for order in instrument.waiting if not waiting.rises(order)]
    return [*resting, *unlit, *rising, *sorted(falling, key=lambda order: -order.trigger_price)]
