"""The open orders of an instrument, by their place: displayed and hidden ones by side and price, each first come, first
served; unlit ones (13) in a list of their side; waiting ones (14) in one list.

    levels[SELL] = {10050: [#7 5 lots, #9 2 lots], 10051: [#8 1 lot]}
"""

from __future__ import annotations

from schemas.vocabulary import Side
from tests.oracle import numbers
from tests.oracle.state import DISPLAYED, HIDDEN, UNLIT, InstrumentState, OrderState, State

Levels = dict[int, list[OrderState]]


def best_of(levels: Levels, side: int) -> int | None:
    if not levels:
        return None
    return max(levels) if side == Side.BUY else min(levels)


def best_price(instrument: InstrumentState, side: int) -> int | None:
    """Of the displayed orders."""
    return best_of(instrument.levels[side], side)


def prices_best_first(instrument: InstrumentState, side: int) -> list[int]:
    return in_turn(instrument.levels[side], side)


def in_turn(levels: Levels, side: int) -> list[int]:
    return sorted(levels, reverse=side == Side.BUY)


def shown(order: OrderState) -> int:
    """What the book shows of a resting order: an iceberg hides its reserve."""
    return order.rest - order.reserve


def shown_lots(level: list[OrderState]) -> int:
    return sum(shown(order) for order in level)


def is_top(instrument: InstrumentState, side: int, price: int, matched: int | None) -> bool:
    """Whether a displayed level is the best of its side, or was until it went away. The level that is being matched
    counts as there until it is left."""
    others = [other for other in (best_price(instrument, side), matched) if other is not None]
    return all(numbers.at_price_or_better(numbers.other_side(side), other, price) for other in others)


def unlit_in_turn(instrument: InstrumentState, side: int) -> list[OrderState]:
    return sorted(instrument.unlit[side], key=lambda order: (order.priority, order.id))


def levels_of(state: State, order: OrderState) -> Levels:
    """Where a displayed or hidden order rests."""
    instrument = state.instruments[order.instrument]
    return instrument.hidden[order.side] if order.place == HIDDEN else instrument.levels[order.side]


def list_of(state: State, order: OrderState) -> list[OrderState]:
    """The list that an order stands in: of its level, of its side's unlit ones, of what waits."""
    instrument = state.instruments[order.instrument]
    if order.place in (DISPLAYED, HIDDEN):
        return levels_of(state, order).setdefault(order.price, [])
    return instrument.unlit[order.side] if order.place == UNLIT else instrument.waiting


def add(state: State, order: OrderState) -> None:
    """To the back of its list."""
    list_of(state, order).append(order)
    state.orders[order.id] = order


def remove(state: State, order: OrderState) -> None:
    list_of(state, order).remove(order)
    if order.place in (DISPLAYED, HIDDEN) and not list_of(state, order):
        del levels_of(state, order)[order.price]
    del state.orders[order.id]


def to_the_back(state: State, order: OrderState, priority: int) -> None:
    """Behind what stands at its price."""
    orders = list_of(state, order)
    orders.remove(order)
    orders.append(order)
    order.priority = priority
