"""Section 17: trading states, and the auction that uncrosses a book when it opens."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from schemas.vocabulary import (
    PRICE_TICKS_MAX,
    Code,
    EventKind,
    ReportFlag,
    Side,
    TermOption,
    TradingState,
)
from schemas.vocabulary import (
    InstrumentState as InstrumentStateCommand,
)
from tests.oracle import book, busts, cancels, ledger, matching, waiting
from tests.oracle.events import Events
from tests.oracle.state import DISPLAYED, InstrumentState, OrderState, State

CALL_STATES = (TradingState.PRE_OPEN, TradingState.AUCTION)
NO_TRADING = (TradingState.HALTED, TradingState.CLOSED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AuctionPrice:
    price: int
    bought: int  # lots that would buy at it, and that would sell
    sold: int

    @property
    def volume(self) -> int:
        return min(self.bought, self.sold)

    @property
    def surplus(self) -> int:
        return abs(self.bought - self.sold)


def orders_in_auction(instrument: InstrumentState, side: int) -> list[OrderState]:
    """Displayed and hidden orders: best price first, at one price displayed before hidden, then as they came."""
    levels, hidden = instrument.levels[side], instrument.hidden[side]
    prices = book.in_turn({**levels, **hidden}, side)
    return [order for price in prices for order in [*levels.get(price, []), *hidden.get(price, [])]]


def auction_price(instrument: InstrumentState) -> AuctionPrice | None:
    """The price with the most volume; of those the least surplus, the nearest to the reference, the highest."""
    buys, sells = (orders_in_auction(instrument, side) for side in (Side.BUY, Side.SELL))
    if not buys or not sells or buys[0].price < sells[0].price:
        return None
    prices = {order.price for order in (*buys, *sells) if sells[0].price <= order.price <= buys[0].price}
    offers = [
        AuctionPrice(
            price=price,
            bought=sum(order.rest for order in buys if order.price >= price),
            sold=sum(order.rest for order in sells if order.price <= price),
        )
        for price in prices
    ]
    return min(offers, key=lambda offer: rank_of_offer(offer, instrument.reference_price))


def rank_of_offer(offer: AuctionPrice, reference: int) -> tuple[int, int, int, int]:
    """Lowest first."""
    return -offer.volume, offer.surplus, abs(offer.price - reference), -offer.price


def indicative(events: Events, instrument: InstrumentState) -> None:
    offer = auction_price(instrument) or AuctionPrice(price=0, bought=0, sold=0)
    events.public(
        EventKind.INDICATIVE,
        flags=ReportFlag.SELL if offer.sold > offer.bought else 0,
        instrument=instrument.number,
        price_ticks=offer.price,
        quantity_lots=offer.volume,
        remaining_lots=offer.surplus,
        reference=instrument.last_book_update_id,
    )


# ---- uncrossing


def uncross(state: State, events: Events, instrument: InstrumentState) -> None:
    """At one price; and again if what went by links has left the book crossed."""
    while (offer := auction_price(instrument)) is not None:
        uncross_at(state, events, instrument, offer.price)


def uncross_at(state: State, events: Events, instrument: InstrumentState, price: int) -> None:
    while True:
        buys, sells = (orders_in_auction(instrument, side) for side in (Side.BUY, Side.SELL))
        if not buys or not sells or buys[0].price < price or sells[0].price > price:
            return
        trade(state, events, instrument, buys[0], sells[0], price)


def trade(
    state: State, events: Events, instrument: InstrumentState, buy: OrderState, sell: OrderState, price: int
) -> None:
    cancels.cancel_before_trade(state, events, buy)
    cancels.cancel_before_trade(state, events, sell)
    lots = min(book.shown(buy), book.shown(sell))
    for order in (buy, sell):
        ledger.fill(state, order, lots)
    buyer_fee, seller_fee = ledger.settle_in_auction(state, buy, sell, price, lots)
    instrument.reference_price = instrument.static_price = price
    matching.count_trade(events, instrument)
    busts.keep(state, instrument, buy, sell, price, lots, buyer_fee, seller_fee)
    events.public(
        EventKind.TRADE,
        flags=ReportFlag.AUCTION,
        instrument=instrument.number,
        order_id=sell.id,
        client_order_id=buy.id,
        price_ticks=price,
        quantity_lots=lots,
        reference=instrument.last_trade_id,
    )
    matching.report_fill(events, instrument, buy, price, lots, buyer_fee, ReportFlag.AUCTION)
    matching.report_fill(events, instrument, sell, price, lots, seller_fee, ReportFlag.AUCTION)
    for order in (buy, sell):
        matching.tell_change(state, events, instrument, order)
    for order in (buy, sell):
        if order.place == DISPLAYED:
            events.book_update(instrument, order.side, order.price)


# ---- states


def state_faults(state: State, command: InstrumentStateCommand, received_ns: int) -> Iterator[Code]:
    if command.trading_state not in list(TradingState):
        yield Code.MALFORMED
    if command.auction_ends_ns != 0 and command.trading_state not in CALL_STATES:
        yield Code.MALFORMED
    if command.instrument not in state.instruments:
        yield Code.UNKNOWN_INSTRUMENT
    if not 0 <= command.static_price_ticks <= PRICE_TICKS_MAX:
        yield Code.LIMITS_INVALID
    if 0 < command.auction_ends_ns <= received_ns:
        yield Code.EXPIRY_PASSED


def instrument_state(state: State, events: Events, command: InstrumentStateCommand) -> None:
    instrument = state.instruments[command.instrument]
    into = TradingState(command.trading_state)
    move(state, events, instrument, into, command.auction_ends_ns, command.static_price_ticks)
    events.applied(instrument=command.instrument)
    behind_move(state, events, instrument)


def move(
    state: State, events: Events, instrument: InstrumentState, into: TradingState, ends_ns: int = 0, static: int = 0
) -> None:
    """Into another state; whatever happened to cross is traded before it opens."""
    if into == TradingState.OPEN:
        uncross(state, events, instrument)
    instrument.trading_state = into
    instrument.auction_ends_ns = ends_ns
    instrument.static_price = static or instrument.static_price
    events.instrument_state(instrument)


def behind_move(state: State, events: Events, instrument: InstrumentState) -> None:
    """What a state brings behind the command that set it."""
    if instrument.trading_state == TradingState.CLOSED:
        mine = [order for order in state.orders.values() if order.instrument == instrument.number]
        day = [order for order in mine if order.term_options & TermOption.DAY]
        cancels.cancel_each(state, events, sorted(day, key=lambda order: order.id), Code.CANCELLED_SESSION_CLOSED)
    if instrument.trading_state == TradingState.OPEN:
        waiting.fire_all(state, events, instrument)
