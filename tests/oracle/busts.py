"""Section 20: the last trades, and what undoes them or settles them anew."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator

from schemas.vocabulary import (
    PRICE_TICKS_MAX,
    TRADES_KEPT,
    UNITS_MAX,
    Code,
    EventKind,
    ReportFlag,
    Side,
    TradeBust,
    TradeCorrection,
)
from tests.oracle import numbers
from tests.oracle.events import Events
from tests.oracle.state import InstrumentState, OrderState, State, Trade

Account = int
Asset = int


def keep(
    state: State,
    instrument: InstrumentState,
    one: OrderState,
    other: OrderState,
    price: int,
    lots: int,
    one_fee: int,
    other_fee: int,
) -> None:
    """Note a trade that was just made, with the fee of each order."""
    bought = one.side == Side.BUY
    buyer, seller = (one, other) if bought else (other, one)
    buyer_fee, seller_fee = (one_fee, other_fee) if bought else (other_fee, one_fee)
    state.trade_count += 1
    state.trades[instrument.number, instrument.last_trade_id] = Trade(
        number=state.trade_count,
        buyer=buyer.account,
        seller=seller.account,
        price=price,
        lots=lots,
        buyer_fee=buyer_fee,
        seller_fee=seller_fee,
    )
    if len(state.trades) > TRADES_KEPT:
        del state.trades[next(iter(state.trades))]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a trade has done to both sides, or what the change from one to another does."""

    buyer_quote: int
    seller_quote: int
    base: int  # to the buyer, from the seller
    lots: int
    fees: int

    def less(self, other: Effect) -> Effect:
        return Effect(**{name: getattr(self, name) - getattr(other, name) for name in self.__slots__})


NOTHING = Effect(buyer_quote=0, seller_quote=0, base=0, lots=0, fees=0)


def effect_of(instrument: InstrumentState, trade: Trade) -> Effect:
    notional = numbers.notional(trade.price, trade.lots, instrument.quote_units)
    return Effect(
        buyer_quote=-notional - trade.buyer_fee,
        seller_quote=notional - trade.seller_fee,
        base=trade.lots * instrument.base_units,
        lots=trade.lots,
        fees=trade.buyer_fee + trade.seller_fee,
    )


def corrected(instrument: InstrumentState, trade: Trade, price: int, lots: int) -> Trade:
    """The trade at other terms; its fees in proportion."""
    was = numbers.notional(trade.price, trade.lots, instrument.quote_units)
    now = numbers.notional(price, lots, instrument.quote_units)
    return dataclasses.replace(
        trade,
        price=price,
        lots=lots,
        buyer_fee=numbers.divide_up(trade.buyer_fee * now, was),
        seller_fee=numbers.divide_up(trade.seller_fee * now, was),
    )


# ---- may it be?


def bust_faults(state: State, command: TradeBust) -> Iterator[Code]:
    yield from trade_faults(state, command)
    instrument, trade = named(state, command)
    yield from change_faults(state, instrument, trade, NOTHING.less(effect_of(instrument, trade)))


def correction_faults(state: State, command: TradeCorrection) -> Iterator[Code]:
    yield from trade_faults(state, command)
    instrument, trade = named(state, command)
    price, lots = command.price_ticks, command.quantity_lots
    if not 1 <= price <= PRICE_TICKS_MAX:
        yield Code.PRICE_INVALID
    if not 1 <= lots <= trade.lots:
        yield Code.QUANTITY_INVALID
    if numbers.notional(price, lots, instrument.quote_units) > UNITS_MAX:
        yield Code.NOTIONAL_TOO_LARGE
    after = corrected(instrument, trade, price, lots)
    yield from change_faults(state, instrument, trade, effect_of(instrument, after).less(effect_of(instrument, trade)))


def trade_faults(state: State, command: TradeBust | TradeCorrection) -> Iterator[Code]:
    if command.instrument not in state.instruments:
        yield Code.UNKNOWN_INSTRUMENT
    trade = state.trades.get((command.instrument, command.trade_id))
    if trade is None or trade.busted:
        yield Code.UNKNOWN_TRADE


def named(state: State, command: TradeBust | TradeCorrection) -> tuple[InstrumentState, Trade]:
    return state.instruments[command.instrument], state.trades[command.instrument, command.trade_id]


def change_faults(state: State, instrument: InstrumentState, trade: Trade, change: Effect) -> Iterator[Code]:
    for account, lots in position_changes(trade, change).items():
        position = state.positions[account, instrument.number]
        after = position.lots + lots
        if lots != 0 and max(after + position.open_buy, -after + position.open_sell) > UNITS_MAX:
            yield Code.POSITION_EXCEEDED
    for (account, asset), units in balance_changes(instrument, trade, change).items():
        balance = state.balance(account, asset)
        if units < 0 and balance.free + units < min(0, balance.floor):
            yield Code.INSUFFICIENT_FUNDS
    if state.assets[instrument.quote].fees_units + change.fees < 0:
        yield Code.INSUFFICIENT_FUNDS


def position_changes(trade: Trade, change: Effect) -> Counter[Account]:
    """Of each account, both sides added up."""
    changes = Counter({trade.buyer: change.lots})
    changes[trade.seller] -= change.lots
    return changes


def balance_changes(instrument: InstrumentState, trade: Trade, change: Effect) -> Counter[tuple[Account, Asset]]:
    """Of each balance, both sides added up."""
    changes: Counter[tuple[Account, Asset]] = Counter()
    changes[trade.buyer, instrument.quote] += change.buyer_quote
    changes[trade.seller, instrument.quote] += change.seller_quote
    changes[trade.buyer, instrument.base] += change.base
    changes[trade.seller, instrument.base] -= change.base
    return changes


# ---- doing it


def bust(state: State, events: Events, command: TradeBust) -> None:
    instrument, trade = named(state, command)
    tell(events, EventKind.TRADE_BUST, instrument, command.trade_id, trade.price, trade.lots)
    settle_anew(state, events, command, NOTHING.less(effect_of(instrument, trade)), 0, 0)
    trade.busted = True


def correct(state: State, events: Events, command: TradeCorrection) -> None:
    instrument, trade = named(state, command)
    price, lots = command.price_ticks, command.quantity_lots
    after = corrected(instrument, trade, price, lots)
    tell(events, EventKind.TRADE_CORRECTION, instrument, command.trade_id, price, lots)
    settle_anew(state, events, command, effect_of(instrument, after).less(effect_of(instrument, trade)), price, lots)
    state.trades[command.instrument, command.trade_id] = after


def tell(events: Events, kind: EventKind, instrument: InstrumentState, trade_id: int, price: int, lots: int) -> None:
    events.public(kind, instrument=instrument.number, price_ticks=price, quantity_lots=lots, reference=trade_id)


def settle_anew(
    state: State, events: Events, command: TradeBust | TradeCorrection, change: Effect, price: int, lots: int
) -> None:
    instrument, trade = named(state, command)
    for (account, asset), units in balance_changes(instrument, trade, change).items():
        state.balance(account, asset).free += units
    for account, moved in position_changes(trade, change).items():
        state.positions[account, instrument.number].lots += moved
    state.assets[instrument.quote].fees_units += change.fees
    for account, flags, moved, units in (
        (trade.buyer, 0, change.lots, change.buyer_quote),
        (trade.seller, ReportFlag.SELL, -change.lots, change.seller_quote),
    ):
        events.public(
            EventKind.ADJUSTMENT,
            flags=flags,
            instrument=instrument.number,
            account=account,
            price_ticks=price,
            quantity_lots=lots,
            remaining_lots=moved,
            reference=command.trade_id,
            amount_units=units,
        )
    events.applied(instrument=instrument.number)
