"""Section 13: what unlit orders, all-or-none and pegged, trade at and with whom."""

from __future__ import annotations

import dataclasses

from schemas.vocabulary import PRICE_TICKS_MAX, OrderType, Peg, Side, TermOption
from tests.oracle import book, numbers
from tests.oracle.state import InstrumentState, OrderState


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best displayed prices as they stood when a taker's matching began; None where there was none."""

    bid: int | None
    ask: int | None


def best_now(instrument: InstrumentState) -> Best:
    return Best(bid=book.best_price(instrument, Side.BUY), ask=book.best_price(instrument, Side.SELL))


def best_without(instrument: InstrumentState, order: OrderState) -> Best:
    """As they will stand when a resting order has left the book to be a taker."""
    others = [
        other
        for levels in instrument.levels.values()
        for level in levels.values()
        for other in level
        if other.id != order.id
    ]
    bids, asks = ([other.price for other in others if other.side == side] for side in (Side.BUY, Side.SELL))
    return Best(bid=max(bids, default=None), ask=min(asks, default=None))


def is_all_or_none(order: OrderState) -> bool:
    return bool(order.term_options & TermOption.ALL_OR_NONE)


def is_unlit(order: OrderState) -> bool:
    return order.peg != Peg.NONE or is_all_or_none(order)


def limit_of(order: OrderState, best: Best) -> int | None:
    """How far an order trades: to its limit price; a pegged one to what is made of the best prices, or not at all."""
    return order.price if order.peg == Peg.NONE else pegged_price(order, best)


def pegged_price(order: OrderState, best: Best) -> int | None:
    reference = peg_reference(order, best)
    if reference is None:
        return None
    if order.side == Side.BUY:
        price = min(reference + order.offset, order.price)
        price = price if best.ask is None else min(price, best.ask - 1)
    else:
        price = max(reference + order.offset, order.price)
        price = price if best.bid is None else max(price, best.bid + 1)
    return price if 1 <= price <= PRICE_TICKS_MAX else None


def peg_reference(order: OrderState, best: Best) -> int | None:
    own, other = (best.bid, best.ask) if order.side == Side.BUY else (best.ask, best.bid)
    if order.peg == Peg.OWN_BEST:
        return own
    if order.peg == Peg.OTHER_BEST:
        return other
    if best.bid is None or best.ask is None:
        return None
    both = best.bid + best.ask
    return both // 2 if order.side == Side.BUY else numbers.divide_up(both, 2)


def can_trade_with(maker: OrderState, taker_rest: int, taker_type: int) -> bool:
    """An all-or-none maker needs a taker that can take the whole of it, and is sure to."""
    if not is_all_or_none(maker):
        return True
    return maker.rest <= taker_rest and taker_type != OrderType.MARKET_BY_QUOTE
