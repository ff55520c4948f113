"""The resting orders of an instrument: for each side and price a list, first come, first served.

    levels[SELL] = {10050: [#7 5 lots, #9 2 lots], 10051: [#8 1 lot]}
"""

from __future__ import annotations

from schemas.vocabulary import Side
from tests.oracle import numbers
from tests.oracle.state import InstrumentState, OrderState, State


def best_price(instrument: InstrumentState, side: int) -> int | None:
    prices = instrument.levels[side]
    if not prices:
        return None
    return max(prices) if side == Side.BUY else min(prices)


def prices_best_first(instrument: InstrumentState, side: int) -> list[int]:
    return sorted(instrument.levels[side], reverse=side == Side.BUY)


def price_to_meet(instrument: InstrumentState, side: int, price: int) -> int | None:
    """The best price of the other side, if an order of this side and price meets it."""
    best = best_price(instrument, numbers.other_side(side))
    return best if best is not None and numbers.at_price_or_better(side, price, best) else None


def add(state: State, order: OrderState) -> None:
    """To the back of its level."""
    state.instruments[order.instrument].levels[order.side].setdefault(order.price, []).append(order)
    state.orders[order.id] = order


def remove(state: State, order: OrderState) -> None:
    levels = state.instruments[order.instrument].levels[order.side]
    levels[order.price].remove(order)
    if not levels[order.price]:
        del levels[order.price]
    del state.orders[order.id]
