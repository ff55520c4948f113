"""Section 4, from the match on: an order is matched, and what is left of it rests or is cancelled."""

from __future__ import annotations

from schemas.vocabulary import Code, Level3Action, TermOption, TimeInForce, TradingState
from tests.oracle import book, cancels, matching, unlit
from tests.oracle.events import Events
from tests.oracle.state import DISPLAYED, HIDDEN, UNLIT, OrderState, State


def take(state: State, events: Events, order: OrderState) -> None:
    """The run of a taker, if its instrument is open, and its end."""
    unfilled = Code.CANCELLED_UNFILLED
    if state.instruments[order.instrument].trading_state == TradingState.OPEN:
        unfilled = matching.match(state, events, order)
    if order.rest > 0 and order.time_in_force == TimeInForce.GOOD_TILL_CANCELLED:
        rest(state, events, order)
    elif order.rest > 0:
        cancel_rest(state, events, order, unfilled)


def cancel_rest(state: State, events: Events, order: OrderState, code: Code) -> None:
    """Of an order that is in no place."""
    cancels.take_off(state, events, order, order.rest, code)
    cancels.cancel_after_end(state, events, order)


def rest(state: State, events: Events, order: OrderState) -> None:
    """To the back of its place; of a displayed order the book says so."""
    instrument = state.instruments[order.instrument]
    order.priority = events.sequence
    order.place = place_at_rest(order)
    order.reserve = order.rest - min(order.display, order.rest) if order.display else 0
    book.add(state, order)
    if order.place == DISPLAYED:
        events.level3(instrument, order, Level3Action.ADD)
        events.book_update(instrument, order.side, order.price)


def place_at_rest(order: OrderState) -> int:
    if unlit.is_unlit(order):
        return UNLIT
    return HIDDEN if order.term_options & TermOption.HIDDEN else DISPLAYED
