"""Locks, settlement and positions (sections 2, 4 and 5). Nothing is made or lost; check_conservation says so."""

from __future__ import annotations

from schemas.vocabulary import UNITS_MAX, OrderType, Side
from tests.oracle import numbers
from tests.oracle.state import UNLIT, Balance, InstrumentState, OrderState, Position, State


def notional_of(instrument: InstrumentState, price: int, lots: int) -> int:
    return numbers.notional(price, lots, instrument.quote_units)


def needed(instrument: InstrumentState, order: OrderState) -> int:
    """What the rest of an order must keep locked at its price."""
    if order.rest == 0:
        return 0
    if order.side == Side.SELL:
        return order.rest * instrument.base_units
    by_quote = order.order_type == OrderType.MARKET_BY_QUOTE
    amount = order.amount_left if by_quote else notional_of(instrument, order.price, order.rest)
    return numbers.need_of_buy(amount, order.maker_ppm, order.taker_ppm)


def locked_balance(state: State, order: OrderState) -> Balance:
    """The balance that an order's lock is part of: quote of a buy, base of a sell."""
    instrument = state.instruments[order.instrument]
    return state.balance(order.account, instrument.quote if order.side == Side.BUY else instrument.base)


def spendable(state: State, order: OrderState) -> int:
    """What an order may lock: down to the floor."""
    balance = locked_balance(state, order)
    return balance.free - balance.floor


def set_lock(state: State, order: OrderState, lock: int) -> None:
    """Move the difference between free and locked."""
    balance = locked_balance(state, order)
    balance.free += order.lock - lock
    balance.locked += lock - order.lock
    order.lock = lock


def lower_lock(state: State, order: OrderState) -> None:
    """After the rest fell: never more than is needed, and never more than there was. One of a linked pair keeps what
    the other lacks, since the two locks together must do for either."""
    instrument = state.instruments[order.instrument]
    need = needed(instrument, order)
    if order.linked and order.rest > 0:
        other = state.orders[order.linked]
        need = max(need, needed(instrument, other) - other.lock)
    set_lock(state, order, min(order.lock, need))


def pay_from_lock(state: State, order: OrderState, units: int) -> None:
    order.lock -= units
    locked_balance(state, order).locked -= units


def position_of(state: State, account: int, instrument: int) -> Position:
    """An account's position in an instrument; made at its first accepted order there."""
    if (account, instrument) not in state.positions:
        rank = 1 + len(state.positions_of(account))
        state.positions[account, instrument] = Position(rank=rank)
    return state.positions[account, instrument]


def change_open(state: State, order: OrderState, lots: int) -> None:
    """Lots on their way to be bought or sold."""
    position = position_of(state, order.account, order.instrument)
    if order.side == Side.BUY:
        position.open_buy += lots
    else:
        position.open_sell += lots


def change_position(state: State, order: OrderState, lots: int) -> None:
    position = position_of(state, order.account, order.instrument)
    position.lots += lots if order.side == Side.BUY else -lots


def fill(state: State, order: OrderState, lots: int) -> None:
    """Lots of an order have traded."""
    order.rest -= lots
    order.filled += lots
    change_open(state, order, -lots)
    change_position(state, order, lots)


def settle(state: State, maker: OrderState, taker: OrderState, price: int, lots: int) -> tuple[int, int]:
    """A fill at a price; the rests must be lowered already. Returns the fees of maker and taker."""
    notional = notional_of(state.instruments[taker.instrument], price, lots)
    maker_fee, taker_fee = take_fees(maker, taker, notional)
    if taker.side == Side.BUY:
        exchange(state, taker, maker, lots, notional, taker_fee, maker_fee)
    else:
        exchange(state, maker, taker, lots, notional, maker_fee, taker_fee)
    return maker_fee, taker_fee


def settle_in_auction(state: State, buy: OrderState, sell: OrderState, price: int, lots: int) -> tuple[int, int]:
    """Both pay as makers, but never less than nothing. Returns the fees of buyer and seller."""
    notional = notional_of(state.instruments[buy.instrument], price, lots)
    buyer_fee, seller_fee = (max(maker_fee(order, notional, bounded=True), 0) for order in (buy, sell))
    exchange(state, buy, sell, lots, notional, buyer_fee, seller_fee)
    return buyer_fee, seller_fee


def exchange(
    state: State, buyer: OrderState, seller: OrderState, lots: int, notional: int, buyer_fee: int, seller_fee: int
) -> None:
    """Each gives from its lock and gets free; fees are collected in the quote asset."""
    instrument = state.instruments[buyer.instrument]
    pay_from_lock(state, buyer, notional + buyer_fee)
    pay_from_lock(state, seller, lots * instrument.base_units)
    state.balance(buyer.account, instrument.base).free += lots * instrument.base_units
    state.balance(seller.account, instrument.quote).free += notional - seller_fee
    state.assets[instrument.quote].fees_units += buyer_fee + seller_fee
    lower_lock(state, buyer)


def take_fees(maker: OrderState, taker: OrderState, notional: int) -> tuple[int, int]:
    """Each side's fee of one fill; a rebate is never above the taker's fee of the same fill."""
    if maker.place == UNLIT and taker.taker_notional + notional > UNITS_MAX:
        taker.taker_notional = 0
    taker_fee = numbers.fee_increase(taker.taker_notional, notional, taker.taker_ppm)
    taker.taker_notional += notional
    return limited_rebate(maker_fee(maker, notional, bounded=maker.place == UNLIT), taker_fee), taker_fee


def maker_fee(maker: OrderState, notional: int, *, bounded: bool) -> int:
    """bounded: the entry begins anew where its notional would come to more than there can be."""
    if bounded and maker.maker_notional + notional > UNITS_MAX:
        maker.maker_notional = 0
    increase = numbers.fee_increase(maker.maker_notional, notional, maker.maker_ppm)
    maker.maker_notional += notional
    return increase


def limited_rebate(maker_fee: int, taker_fee: int) -> int:
    return max(maker_fee, -taker_fee)


def check_conservation(state: State) -> None:
    """Every unit of every asset is somewhere, and every lock belongs to an order. Raises AssertionError."""
    for number, asset in state.assets.items():
        held = [balance for (_, owned), balance in state.balances.items() if owned == number]
        total = sum(balance.free + balance.locked for balance in held) + asset.fees_units
        assert total == asset.supply_units, f"asset {number}: {total} units found, {asset.supply_units} put in"
    assert all(balance.free >= balance.floor and balance.locked >= 0 for balance in state.balances.values())
    assert all(asset.fees_units >= 0 for asset in state.assets.values())
    for (account, owned), balance in state.balances.items():
        mine = [order for order in state.orders.values() if order.account == account]
        locks = sum(order.lock for order in mine if locked_balance(state, order) is state.balances[account, owned])
        assert locks == balance.locked, f"account {account}, asset {owned}: {locks} in orders, {balance.locked} locked"
    for (account, number), position in state.positions.items():
        mine = [order for order in state.orders.values() if (order.account, order.instrument) == (account, number)]
        assert position.open_buy == sum(order.rest for order in mine if order.side == Side.BUY)
        assert position.open_sell == sum(order.rest for order in mine if order.side == Side.SELL)
