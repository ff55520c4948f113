"""Section 5, the maker, and step 15 of section 3, the walk: whom a taker meets, and what it would find."""

from __future__ import annotations

import dataclasses

from schemas.vocabulary import SelfTradePrevention
from tests.oracle import book, breaker, numbers, unlit
from tests.oracle.state import InstrumentState, OrderState
from tests.oracle.unlit import Best


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """An order of the other side, and the price at which it would trade."""

    order: OrderState
    price: int


def first_maker(instrument: InstrumentState, taker: OrderState, best: Best) -> Maker | None:
    """The maker that a taker meets now: of the three that may be first, the best price within the taker's."""
    side = numbers.other_side(taker.side)
    fit = [order for order in instrument.unlit[side] if unlit.can_trade_with(order, taker.rest, taker.order_type)]
    firsts = [
        *first_of_book(instrument.levels[side], side),
        *first_of_book(instrument.hidden[side], side),
        *priced(fit, best)[:1],
    ]
    return next(iter(in_turn(firsts, taker, best)), None)


def first_of_book(levels: book.Levels, side: int) -> list[Maker]:
    price = book.best_of(levels, side)
    return [] if price is None else [Maker(order=first_of_level(levels[price]), price=price)]


def first_of_level(level: list[OrderState]) -> OrderState:
    return level[0]


def priced(orders: list[OrderState], best: Best) -> list[Maker]:
    """The unlit orders that have a price, best first, then by priority and id."""
    prices = [(order, unlit.limit_of(order, best)) for order in orders]
    found = [Maker(order=order, price=price) for order, price in prices if price is not None]
    return sorted(
        found, key=lambda maker: (numbers.worse_by(maker.order.side, maker.price), maker.order.priority, maker.order.id)
    )


def in_turn(makers: list[Maker], taker: OrderState, best: Best) -> list[Maker]:
    """Those within the taker's price, best first; at one price displayed, hidden, unlit ones, else as they came."""
    limit = unlit.limit_of(taker, best)
    if limit is None:
        return []
    within = [maker for maker in makers if numbers.at_price_or_better(taker.side, limit, maker.price)]
    return sorted(within, key=lambda maker: (numbers.worse_by(maker.order.side, maker.price), maker.order.place))


def all_in_turn(instrument: InstrumentState, taker: OrderState, best: Best) -> list[Maker]:
    """Every order of the other side within the taker's price, in the order of matching."""
    side = numbers.other_side(taker.side)
    resting = [
        Maker(order=order, price=price)
        for levels in (instrument.levels[side], instrument.hidden[side])
        for price in levels
        for order in levels[price]
    ]
    return in_turn([*resting, *priced(instrument.unlit[side], best)], taker, best)


def would_take(instrument: InstrumentState, order: OrderState) -> bool:
    """Whether there is a maker for an order that is not in the book, or is to leave it first."""
    return first_maker(instrument, order, unlit.best_without(instrument, order)) is not None


def prevents(taker: OrderState, maker: OrderState) -> bool:
    return maker.account == taker.account and taker.self_trade_prevention != SelfTradePrevention.NONE


def lots_to_get(instrument: InstrumentState, taker: OrderState, wanted: int) -> int:
    """How many of the lots wanted a taker would find, walking the makers in turn."""
    lots = 0
    last_price, static_price = instrument.reference_price, instrument.static_price
    gone: set[int] = set()  # whose partner was counted: it goes away when that one trades
    for maker in all_in_turn(instrument, taker, unlit.best_now(instrument)):
        if lots >= wanted:
            break
        if maker.order.id in gone or not unlit.can_trade_with(maker.order, wanted - lots, taker.order_type):
            continue
        if prevents(taker, maker.order):
            if taker.self_trade_prevention == SelfTradePrevention.CANCEL_MAKER:
                continue
            break
        if breaker.stopped_by(instrument, maker.price, last_price, static_price):
            break
        lots += maker.order.rest
        last_price, static_price = maker.price, static_price or maker.price
        gone.add(maker.order.linked)
    return lots
