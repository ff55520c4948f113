"""Section 5: a taker meets its makers, the best first."""

from __future__ import annotations

from schemas.vocabulary import Code, EventKind, Level3Action, OrderType, ReportFlag, SelfTradePrevention, Side
from tests.oracle import book, breaker, busts, cancels, ledger, makers, numbers, unlit
from tests.oracle.events import Events
from tests.oracle.makers import Maker
from tests.oracle.state import DISPLAYED, InstrumentState, OrderState, State


def match(state: State, events: Events, taker: OrderState) -> Code:
    """Trade as far as the taker's lots and price reach. The taker is not in the book. Returns what a rest that can't
    rest is cancelled for."""
    instrument = state.instruments[taker.instrument]
    if unlit.is_all_or_none(taker) and makers.lots_to_get(instrument, taker, taker.rest) < taker.rest:
        return Code.CANCELLED_UNFILLED
    best = unlit.best_now(instrument)
    level: int | None = None  # the displayed level that has changed and is not told yet
    end, stopped = Code.CANCELLED_UNFILLED, 0
    while taker.rest > 0:
        maker = makers.first_maker(instrument, taker, best)
        if level is not None and (maker is None or displayed_price(maker) != level):
            leave_level(events, instrument, taker, level)
            level = None
        if maker is None:
            break
        if maker.order.place == DISPLAYED:
            events.matched[instrument.number, maker.order.side] = maker.price
        if makers.prevents(taker, maker.order):
            changed = prevent_self_trade(state, events, maker, taker)
        elif lots_of_trade(instrument, maker, taker) == 0:
            end = Code.CANCELLED_AMOUNT_REACHED
            break
        elif stopped := stopped_by_breaker(instrument, maker):
            end = Code.CANCELLED_BY_BREAKER
            break
        else:
            changed = True
            cancels.cancel_before_trade(state, events, maker.order, displayed_price(maker))
            cancels.cancel_before_trade(state, events, taker)
            trade(state, events, instrument, maker, taker)
        level = displayed_price(maker) if changed else level
    leave_level(events, instrument, taker, level)
    if stopped:
        breaker.trip(events, instrument, stopped)
    return end


def leave_level(events: Events, instrument: InstrumentState, taker: OrderState, changed: int | None) -> None:
    """The level that was matched is told, if it has changed."""
    side = numbers.other_side(taker.side)
    events.matched.pop((instrument.number, side), None)
    if changed is not None:
        events.book_update(instrument, side, changed)


def stopped_by_breaker(instrument: InstrumentState, maker: Maker) -> int:
    return breaker.stopped_by(instrument, maker.price, instrument.reference_price, instrument.static_price)


def displayed_price(maker: Maker) -> int | None:
    """The price of the displayed level that a maker stands in."""
    return maker.price if maker.order.place == DISPLAYED else None


# ---- trades


def lots_of_trade(instrument: InstrumentState, maker: Maker, taker: OrderState) -> int:
    lots = min(book.shown(maker.order), taker.rest)
    if taker.order_type == OrderType.MARKET_BY_QUOTE:
        return min(lots, taker.amount_left // (maker.price * instrument.quote_units))
    return lots


def trade(state: State, events: Events, instrument: InstrumentState, maker: Maker, taker: OrderState) -> None:
    lots = lots_of_trade(instrument, maker, taker)
    for order in (maker.order, taker):
        ledger.fill(state, order, lots)
    taker.amount_left -= ledger.notional_of(instrument, maker.price, lots) if taker.amount_left else 0
    maker_fee, taker_fee = ledger.settle(state, maker.order, taker, maker.price, lots)
    set_prices(instrument, maker.price)
    count_trade(events, instrument)
    busts.keep(state, instrument, maker.order, taker, maker.price, lots, maker_fee, taker_fee)
    events.public(
        EventKind.TRADE,
        flags=ReportFlag.SELL if taker.side == Side.SELL else 0,
        instrument=instrument.number,
        order_id=maker.order.id,
        client_order_id=taker.id,
        price_ticks=maker.price,
        quantity_lots=lots,
        reference=instrument.last_trade_id,
    )
    report_fill(events, instrument, maker.order, maker.price, lots, maker_fee, ReportFlag.MAKER)
    report_fill(events, instrument, taker, maker.price, lots, taker_fee, 0)
    tell_change(state, events, instrument, maker.order)


def count_trade(events: Events, instrument: InstrumentState) -> None:
    instrument.last_trade_id += 1
    events.traded.add(instrument.number)


def set_prices(instrument: InstrumentState, price: int) -> None:
    """The reference price is the last trade's, the static price the first one's while there is none."""
    instrument.reference_price = price
    if instrument.static_price == 0:
        instrument.static_price = price


def report_fill(
    events: Events, instrument: InstrumentState, order: OrderState, price: int, lots: int, fee: int, role: int
) -> None:
    events.about(
        order,
        EventKind.FILLED,
        flags=role | cancels.done_flag(order),
        price_ticks=price,
        quantity_lots=lots,
        reference=instrument.last_trade_id,
        amount_units=fee,
    )


def tell_change(state: State, events: Events, instrument: InstrumentState, order: OrderState) -> None:
    """Level 3 of a resting order whose rest fell; gone from its place if nothing is left."""
    if order.rest == 0:
        cancels.leave_book(state, events, order, level_is_told=False)
    elif order.place == DISPLAYED and book.shown(order) == 0:
        show_again(state, events, instrument, order)
    elif order.place == DISPLAYED:
        events.level3(instrument, order, Level3Action.CHANGE)


def show_again(state: State, events: Events, instrument: InstrumentState, iceberg: OrderState) -> None:
    """The next part of the reserve, at the back of its level."""
    events.level3(instrument, iceberg, Level3Action.REMOVE)
    iceberg.reserve -= min(iceberg.display, iceberg.reserve)
    book.to_the_back(state, iceberg, events.sequence)
    events.level3(instrument, iceberg, Level3Action.ADD)


# ---- self-trades


def prevent_self_trade(state: State, events: Events, met: Maker, taker: OrderState) -> bool:
    """What the taker's mode says. Returns whether the maker changed."""
    maker, mode = met.order, taker.self_trade_prevention
    if mode in (SelfTradePrevention.CANCEL_MAKER, SelfTradePrevention.CANCEL_BOTH):
        take_off_maker(state, events, met, maker.rest)
    if mode in (SelfTradePrevention.CANCEL_TAKER, SelfTradePrevention.CANCEL_BOTH):
        take_off_taker(state, events, taker, taker.rest)
    if mode == SelfTradePrevention.DECREMENT:
        both = min(book.shown(maker), taker.rest)
        take_off_maker(state, events, met, both)
        take_off_taker(state, events, taker, both)
    return mode != SelfTradePrevention.CANCEL_TAKER


def take_off_maker(state: State, events: Events, met: Maker, lots: int) -> None:
    maker = met.order
    cancels.take_off(state, events, maker, lots, Code.CANCELLED_SELF_TRADE)
    tell_change(state, events, state.instruments[maker.instrument], maker)
    if maker.rest == 0:
        cancels.cancel_after_end(state, events, maker, displayed_price(met))


def take_off_taker(state: State, events: Events, taker: OrderState, lots: int) -> None:
    cancels.take_off(state, events, taker, lots, Code.CANCELLED_SELF_TRADE)
    if taker.rest == 0:
        cancels.cancel_after_end(state, events, taker)
