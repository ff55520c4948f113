"""Deliberate breaks of what only some orders and markets have; each must be noticed, like those of mutations.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from schemas.vocabulary import Code, CountdownCancel, Peg, Side, Trigger
from tests.oracle import (
    auctions,
    book,
    breaker,
    cancels,
    clock,
    ledger,
    links,
    makers,
    matching,
    numbers,
    rates,
    sweeps,
    terms,
    unlit,
    waiting,
)
from tests.oracle.auctions import AuctionPrice
from tests.oracle.events import Events
from tests.oracle.makers import Maker
from tests.oracle.mutations import broken
from tests.oracle.state import HIDDEN, InstrumentState, OrderState, State
from tests.oracle.unlit import Best

# ---- who meets whom


def hidden_before_displayed(found: list[Maker], taker: OrderState, best: Best) -> list[Maker]:
    in_turn = real_in_turn(found, taker, best)
    return sorted(in_turn, key=lambda maker: (numbers.worse_by(maker.order.side, maker.price), -maker.order.place))


real_in_turn = makers.in_turn
real_peg_reference = unlit.peg_reference
real_lots_to_get = makers.lots_to_get
real_lots_of_trade = matching.lots_of_trade
real_cancel_of_key = sweeps.cancel_of_key


def touching_the_other_side(order: OrderState, best: Best) -> int | None:
    reference = unlit.peg_reference(order, best)
    if reference is None:
        return None
    best_of = min if order.side == Side.BUY else max
    price = best_of(reference + order.offset, order.price)
    return price if price >= 1 else None


def middle_rounded_down(order: OrderState, best: Best) -> int | None:
    reference = real_peg_reference(order, best)
    if order.peg == Peg.MIDDLE and reference is not None and best.bid is not None and best.ask is not None:
        return (best.bid + best.ask) // 2
    return reference


def own_and_other_changed(order: OrderState, best: Best) -> int | None:
    turned = Best(bid=best.ask, ask=best.bid)
    return real_peg_reference(order, best if order.peg == Peg.MIDDLE else turned)


def without_reserves(instrument: InstrumentState, taker: OrderState, wanted: int) -> int:
    lots = 0
    for maker in makers.all_in_turn(instrument, taker, unlit.best_now(instrument)):
        if not makers.prevents(taker, maker.order):
            lots += book.shown(maker.order)
    return min(lots, wanted)


def as_many_as_there_are(instrument: InstrumentState, maker: Maker, taker: OrderState) -> int:
    lots = real_lots_of_trade(instrument, maker, taker)
    return lots if lots == 0 else min(lots, max(lots - 1, 1))


def shown_again_in_place(state: State, events: Events, instrument: InstrumentState, iceberg: OrderState) -> None:
    iceberg.reserve -= min(iceberg.display, iceberg.reserve)


def special_without_reserve(order: OrderState) -> int:
    return order.rest


# ---- waiting


def falling_first(instrument: InstrumentState) -> OrderState | None:
    reached = [order for order in instrument.waiting if waiting.would_fire(order, instrument.reference_price)]
    falling = sorted((order for order in reached if not waiting.rises(order)), key=lambda order: -order.trigger_price)
    rising = sorted((order for order in reached if waiting.rises(order)), key=lambda order: order.trigger_price)
    return next(iter([*falling, *rising]), None)


def first_come_first_fired(instrument: InstrumentState) -> OrderState | None:
    reached = [order for order in instrument.waiting if waiting.would_fire(order, instrument.reference_price)]
    return next(iter(reached), None)


def only_beyond(order: OrderState, reference: int) -> bool:
    return reference > order.trigger_price if waiting.rises(order) else reference < order.trigger_price


def trailing_where_they_are(state: State, events: Events, instrument: InstrumentState) -> None:
    for order in waiting.trailing_orders(instrument):
        better = order.peak < instrument.reference_price
        if better if order.side == Side.SELL else order.peak > instrument.reference_price:
            waiting.follow(order, instrument.reference_price)


def no_trigger_is_met(instrument: InstrumentState, order: OrderState) -> Iterator[Code]:
    if order.trigger == Trigger.TRAILING and instrument.reference_price == 0:
        yield Code.NO_REFERENCE_PRICE


# ---- links and time


def lock_goes_free(state: State, stays: OrderState, ends: OrderState) -> None:
    ledger.set_lock(state, ends, 0)
    stays.linked = ends.linked = 0
    ledger.lower_lock(state, stays)


def partner_left_alone(state: State, events: Events, order: OrderState, level: int | None = None) -> None:
    other = state.orders.get(order.linked)
    if other is not None:
        order.linked = other.linked = 0


def needs_as_if_alone(state: State, order: OrderState) -> None:
    ledger.set_lock(state, order, min(order.lock, ledger.needed(state.instruments[order.instrument], order)))


def expiry_by_id(state: State, events: Events) -> None:
    due = [order for order in state.orders.values() if clock.is_due(order.expire_ns, events.received_ns)]
    cancels.cancel_each(state, events, sorted(due, key=lambda order: order.id), Code.CANCELLED_EXPIRED)


def only_before(when_ns: int, now_ns: int) -> bool:
    return 0 < when_ns < now_ns


def countdown_in_microseconds(state: State, events: Events, command: CountdownCancel) -> None:
    key = state.key(events.key)
    key.deadline_ns = events.received_ns + command.timeout_ms * 1000 if command.timeout_ms else 0
    key.countdown_account = command.account
    events.applied(account=command.account, client_order_id=command.client_order_id)


def asks_before_bids(instrument: InstrumentState) -> list[OrderState]:
    return sorted(real_orders_of_instrument(instrument), key=lambda order: -order.side)


def hidden_ones_stay(instrument: InstrumentState) -> list[OrderState]:
    return [order for order in real_orders_of_instrument(instrument) if order.place != HIDDEN]


real_orders_of_instrument = sweeps.orders_of_instrument

# ---- auctions and the breaker


def ranked(*keys: Callable[[AuctionPrice, int], int]) -> Callable[[AuctionPrice, int], tuple[int, ...]]:
    return lambda offer, reference: tuple(key(offer, reference) for key in keys)


def volume(offer: AuctionPrice, reference: int) -> int:
    return -offer.volume


def surplus(offer: AuctionPrice, reference: int) -> int:
    return offer.surplus


def distance(offer: AuctionPrice, reference: int) -> int:
    return abs(offer.price - reference)


def highest(offer: AuctionPrice, reference: int) -> int:
    return -offer.price


def lowest(offer: AuctionPrice, reference: int) -> int:
    return offer.price


def hidden_first_in_auction(instrument: InstrumentState, side: int) -> list[OrderState]:
    orders = real_orders_in_auction(instrument, side)
    return sorted(orders, key=lambda order: (numbers.worse_by(side, order.price), -order.place))


real_orders_in_auction = auctions.orders_in_auction


def with_rebates(state: State, buy: OrderState, sell: OrderState, price: int, lots: int) -> tuple[int, int]:
    notional = ledger.notional_of(state.instruments[buy.instrument], price, lots)
    fees = ledger.maker_fee(buy, notional, bounded=True), ledger.maker_fee(sell, notional, bounded=True)
    ledger.exchange(state, buy, sell, lots, notional, *fees)
    return fees


def lowest_level_first(instrument: InstrumentState, price: int, last_price: int, static_price: int) -> int:
    for level in (1, 2, 3):
        if breaker.beyond(price, static_price, instrument.breaker_levels[level - 1][0]):
            return level
    return breaker.BAND if breaker.beyond(price, last_price, instrument.band_ppm) else 0


def at_the_bounds(price: int, reference: int, ppm: int) -> bool:
    if ppm == 0 or reference == 0:
        return False
    return price >= breaker.highest_price(reference, ppm) or price <= breaker.lowest_price(reference, ppm)


def static_price_stays(instrument: InstrumentState, price: int) -> None:
    instrument.reference_price = price


def only_the_best_is_top(instrument: InstrumentState, side: int, price: int, matched: int | None) -> bool:
    return book.best_price(instrument, side) == price


def every_event_has_a_checksum(state: State, events: Events) -> None:
    for _, instrument in sorted(state.instruments.items()):
        clock.book_checksum(events, instrument)


def day_orders_stay(state: State, events: Events, instrument: InstrumentState) -> None:
    waiting.fire_all(state, events, instrument)


def own_rates(state: State, account: int, instrument: InstrumentState) -> tuple[int, int]:
    return instrument.maker_ppm, instrument.taker_ppm


def no_faults(*arguments: Any) -> Iterator[Code]:
    return iter(())


MUTATIONS = [
    broken("hidden orders come before displayed ones", makers, "in_turn", hidden_before_displayed),
    broken("a pegged order touches the other side", unlit, "pegged_price", touching_the_other_side),
    broken("the middle is rounded down for a sell, too", unlit, "peg_reference", middle_rounded_down),
    broken("own best is the other side's", unlit, "peg_reference", own_and_other_changed),
    broken("all-or-none trades in part", unlit, "can_trade_with", lambda maker, rest, order_type: True),
    broken("all-or-none takes what it gets", unlit, "is_all_or_none", lambda order: False),
    broken("the walk counts what is shown", makers, "lots_to_get", without_reserves),
    broken("a fill leaves one lot behind", matching, "lots_of_trade", as_many_as_there_are),
    broken("an iceberg shows again in its place", matching, "show_again", shown_again_in_place),
    broken("an iceberg shows all of it", book, "shown", special_without_reserve),
    broken("falling triggers go before rising ones", waiting, "next_to_fire", falling_first),
    broken("triggers fire by time alone", waiting, "next_to_fire", first_come_first_fired),
    broken("a trigger is met only beyond it", waiting, "would_fire", only_beyond),
    broken("trailing orders that move keep their place", waiting, "trail", trailing_where_they_are),
    broken("nothing trails", waiting, "trail", lambda state, events, instrument: None),
    broken("nothing fires", waiting, "fire_all", lambda state, events, instrument: None),
    broken("a trigger may be met already", waiting, "faults", no_trigger_is_met),
    broken("the lock of a linked order goes free", links, "take_over_lock", lock_goes_free),
    broken("an order that ends leaves its partner", cancels, "cancel_after_end", partner_left_alone),
    broken("an order that trades leaves its partner", cancels, "cancel_before_trade", partner_left_alone),
    broken("a linked order keeps what it needs itself", ledger, "lower_lock", needs_as_if_alone),
    broken("expiry goes by id", clock, "expire", expiry_by_id),
    broken("what is due now is not yet", clock, "is_due", only_before),
    broken("a countdown counts microseconds", clock, "countdown_cancel", countdown_in_microseconds),
    broken("a kill takes asks first", sweeps, "orders_of_instrument", asks_before_bids),
    broken("a kill leaves hidden orders", sweeps, "orders_of_instrument", hidden_ones_stay),
    broken("an auction wants little surplus first", auctions, "rank_of_offer", ranked(surplus, volume, distance)),
    broken("an auction ignores the surplus", auctions, "rank_of_offer", ranked(volume, distance, highest)),
    broken("an auction ignores the reference", auctions, "rank_of_offer", ranked(volume, surplus, highest)),
    broken("an auction takes the lowest price", auctions, "rank_of_offer", ranked(volume, surplus, distance, lowest)),
    broken("hidden orders come first in an auction", auctions, "orders_in_auction", hidden_first_in_auction),
    broken("an auction pays rebates", ledger, "settle_in_auction", with_rebates),
    broken("the lowest level stops a trade first", breaker, "stopped_by", lowest_level_first),
    broken("a price at the bounds is beyond them", breaker, "beyond", at_the_bounds),
    broken("the first trade sets no static price", matching, "set_prices", static_price_stays),
    broken("a level that went was no top", book, "is_top", only_the_best_is_top),
    broken("a checksum is of two levels", clock, "CHECKSUM_LEVEL_COUNT", 2),
    broken("every tick tells every checksum", clock, "book_events", every_event_has_a_checksum),
    broken("day orders outlive the day", auctions, "behind_move", day_orders_stay),
    broken("a fee tier changes nothing", rates, "rates_of", own_rates),
    broken("any price is on the tick", rates, "tick_faults", no_faults),
    broken("any quantity is on the lot", rates, "lot_faults", no_faults),
    broken("an iceberg has any number of parts", terms, "iceberg_faults", no_faults),
    broken("terms may say anything", terms, "faults", no_faults),
    broken("terms may go together", terms, "form_faults", no_faults),
    broken("any order may be linked", links, "target_faults", no_faults),
]
