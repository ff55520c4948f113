"""Sections 3, 6, 7, 8 and 9: the reasons to refuse.

Each generator yields what is wrong in the order in which codes win, and only the first is taken: nothing behind
a yielded code is looked at, so what is used there (an account, a book) may lean on the checks before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from schemas.vocabulary import (
    ACCOUNT_NUMBER_MAX,
    ASSET_DECIMALS_MAX,
    ASSET_NUMBER_MAX,
    COLLAR_PPM_MAX,
    FEE_PPM_MAX,
    INSTRUMENT_NUMBER_MAX,
    PRICE_TICKS_MAX,
    QUANTITY_LOTS_MAX,
    UNITS_MAX,
    UNITS_PER_LOT_MAX,
    Account,
    AccountLimits,
    Asset,
    Cancel,
    Code,
    Deposit,
    Halt,
    HaltAction,
    HaltScope,
    Instrument,
    InstrumentLimits,
    MassCancel,
    NewOrder,
    Nonce,
    OrderOption,
    OrderType,
    Refused,
    Replace,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TradingState,
    Withdrawal,
)
from tests.oracle import book, ledger, numbers
from tests.oracle.commands import Group
from tests.oracle.state import AccountState, InstrumentState, OrderState, State

Faults: TypeAlias = Iterator[Code]
NAME_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/"
RATE_WINDOW_MS_DEFAULT = 1000


def first_fault(state: State, group: Group) -> Code:
    """The code that wins, NONE if the command is to be carried out. Nonce first, then the command's own checks."""
    return next(nonce_faults(state, group), Code.NONE) or next(command_faults(state, group), Code.NONE)


def command_faults(state: State, group: Group) -> Faults:
    if not group.bytes_valid and not isinstance(group.command, Refused):
        yield Code.MALFORMED
    match group.command:
        case NewOrder() as command:
            yield from new_order_faults(state, command, group.received_ns)
        case Cancel() as command:
            yield from cancel_faults(state, command)
        case Replace() as command:
            yield from replace_faults(state, command, group.received_ns)
        case MassCancel() as command:
            yield from mass_cancel_faults(state, command)
        case Asset() as command:
            yield from asset_faults(state, command, group.text)
        case Instrument() as command:
            yield from instrument_faults(state, command, group.text)
        case InstrumentLimits() as command:
            yield from instrument_limits_faults(state, command)
        case Account() as command:
            yield from account_number_faults(state, command.account)
        case AccountLimits() as command:
            yield from account_limits_faults(state, command)
        case Deposit() as command:
            yield from deposit_faults(state, command)
        case Withdrawal() as command:
            yield from withdrawal_faults(state, command)
        case Halt() as command:
            yield from halt_faults(state, command)


# ---- nonces


def nonce_faults(state: State, group: Group) -> Faults:
    if nonce_counts(group):
        assert group.nonce is not None
        if not within_window(state, group.nonce, group.received_ns):
            yield Code.NONCE_STALE
        if group.nonce.nonce in state.nonces:
            yield Code.NONCE_REPEATED


def nonce_counts(group: Group) -> bool:
    return group.nonce is not None and not isinstance(group.command, Refused)


def within_window(state: State, nonce: Nonce, received_ns: int) -> bool:
    return abs(received_ns - nonce.timestamp_ns) <= state.nonce_window()


# ---- new order


def new_order_faults(state: State, command: NewOrder, received_ns: int) -> Faults:
    yield from new_order_form_faults(command)
    if command.account not in state.accounts:
        yield Code.UNKNOWN_ACCOUNT
    if command.instrument not in state.instruments:
        yield Code.UNKNOWN_INSTRUMENT
    account, instrument = state.accounts[command.account], state.instruments[command.instrument]
    yield from halt_of_trading_faults(state, account, instrument)
    yield from price_faults(command.price_ticks, 0 if command.order_type == OrderType.MARKET else 1)
    yield from quantity_faults(account, instrument, command.quantity_lots)
    price = effective_price(instrument, command)
    if price is None:
        yield Code.PRICE_CAP_REQUIRED
        return
    market_sell = command.order_type == OrderType.MARKET and command.side == Side.SELL
    yield from notional_faults(account, instrument, price, command.quantity_lots, least_matters=not market_sell)
    yield from collar_faults(instrument, command.side, price)
    if command.client_order_id > 0 and order_by_client(state, command.account, command.client_order_id) is not None:
        yield Code.DUPLICATE_CLIENT_ORDER_ID
    yield from rate_faults(account, received_ns)
    rests = command.time_in_force == TimeInForce.GOOD_TILL_CANCELLED
    if rests and 0 < account.open_orders_max <= len(state.orders_of(command.account)):
        yield Code.OPEN_ORDERS_EXCEEDED
    yield from position_faults(state, account, command.account, command.instrument, command.side, command.quantity_lots)
    if command.options & OrderOption.POST_ONLY and book.price_to_meet(instrument, command.side, price) is not None:
        yield Code.POST_ONLY_WOULD_TAKE
    order = order_to_be(command, instrument, price)
    if command.time_in_force == TimeInForce.FILL_OR_KILL and lots_to_get(instrument, order) < command.quantity_lots:
        yield Code.FILL_OR_KILL_UNFILLABLE
    if ledger.locked_balance(state, order).free < ledger.needed(instrument, order):
        yield Code.INSUFFICIENT_FUNDS


def new_order_form_faults(command: NewOrder) -> Faults:
    market = command.order_type == OrderType.MARKET
    rests = command.time_in_force == TimeInForce.GOOD_TILL_CANCELLED
    if (
        command.side not in list(Side)
        or command.order_type not in list(OrderType)
        or command.time_in_force not in list(TimeInForce)
        or command.self_trade_prevention not in list(SelfTradePrevention)
        or command.options not in (0, OrderOption.POST_ONLY)
        or (market and rests)
        or (command.options == OrderOption.POST_ONLY and not (rests and not market))
    ):
        yield Code.MALFORMED


def halt_of_trading_faults(state: State, account: AccountState, instrument: InstrumentState) -> Faults:
    if state.everything_halted:
        yield Code.EVERYTHING_HALTED
    if instrument.trading_state == TradingState.HALTED:
        yield Code.INSTRUMENT_HALTED
    if account.halted:
        yield Code.ACCOUNT_HALTED


def price_faults(price: int, least: int) -> Faults:
    if not least <= price <= PRICE_TICKS_MAX:
        yield Code.PRICE_INVALID


def quantity_faults(account: AccountState, instrument: InstrumentState, lots: int) -> Faults:
    if not 1 <= lots <= QUANTITY_LOTS_MAX:
        yield Code.QUANTITY_INVALID
    if lots < instrument.quantity_min:
        yield Code.QUANTITY_TOO_SMALL
    if 0 < instrument.quantity_max < lots or 0 < account.quantity_max < lots:
        yield Code.QUANTITY_TOO_LARGE


def has_collar(instrument: InstrumentState) -> bool:
    return instrument.collar_ppm > 0 and instrument.reference_price > 0


def highest_buy(instrument: InstrumentState) -> int:
    price = instrument.reference_price * (numbers.PPM + instrument.collar_ppm) // numbers.PPM
    return min(price, PRICE_TICKS_MAX)


def lowest_sell(instrument: InstrumentState) -> int:
    price = numbers.divide_up(instrument.reference_price * (numbers.PPM - instrument.collar_ppm), numbers.PPM)
    return max(price, 1)


def effective_price(instrument: InstrumentState, command: NewOrder) -> int | None:
    """The price that a market order without one gets; None for a buy where there is no collar."""
    if command.price_ticks > 0:
        return command.price_ticks
    if has_collar(instrument):
        return highest_buy(instrument) if command.side == Side.BUY else lowest_sell(instrument)
    return None if command.side == Side.BUY else 1


def notional_faults(
    account: AccountState, instrument: InstrumentState, price: int, lots: int, *, least_matters: bool = True
) -> Faults:
    notional = ledger.notional_of(instrument, price, lots)
    if least_matters and notional < instrument.notional_min:
        yield Code.NOTIONAL_TOO_SMALL
    if (
        notional > UNITS_MAX
        or lots * instrument.base_units > UNITS_MAX
        or 0 < account.notional_max < notional
    ):
        yield Code.NOTIONAL_TOO_LARGE


def collar_faults(instrument: InstrumentState, side: int, price: int) -> Faults:
    if has_collar(instrument):
        outside = price > highest_buy(instrument) if side == Side.BUY else price < lowest_sell(instrument)
        if outside:
            yield Code.PRICE_OUTSIDE_COLLAR


def order_by_client(state: State, account: int, client_order_id: int) -> OrderState | None:
    for order in state.orders_of(account):
        if order.client_order_id == client_order_id:
            return order
    return None


def rate_window(account: AccountState, received_ns: int) -> int:
    """The number of the window that a moment lies in."""
    window_ms = account.order_rate_window_ms or RATE_WINDOW_MS_DEFAULT
    return received_ns // (window_ms * 10**6)


def rate_faults(account: AccountState, received_ns: int) -> Faults:
    same_window = rate_window(account, received_ns) == account.rate_window
    if account.order_rate_max > 0 and same_window and account.rate_count >= account.order_rate_max:
        yield Code.ORDER_RATE_EXCEEDED


def position_faults(
    state: State, account: AccountState, account_number: int, instrument: int, side: int, lots_more: int
) -> Faults:
    """lots_more: by how much the open lots of that side would rise."""
    position = state.positions.get((account_number, instrument))
    held, open_buy, open_sell = (position.lots, position.open_buy, position.open_sell) if position else (0, 0, 0)
    reach = held + open_buy + lots_more if side == Side.BUY else -held + open_sell + lots_more
    if reach > min(account.position_max or UNITS_MAX, UNITS_MAX):
        yield Code.POSITION_EXCEEDED


def order_to_be(command: NewOrder, instrument: InstrumentState, price: int) -> OrderState:
    """The order that a good command makes, before it has an id, a key and a lock."""
    return OrderState(
        id=0,
        key=0,
        account=command.account,
        instrument=command.instrument,
        side=command.side,
        price=price,
        rest=command.quantity_lots,
        client_order_id=command.client_order_id,
        options=command.options,
        self_trade_prevention=command.self_trade_prevention,
        maker_ppm=instrument.maker_ppm,
        taker_ppm=instrument.taker_ppm,
    )


def lots_to_get(instrument: InstrumentState, taker: OrderState) -> int:
    """How many lots a fill-or-kill order would find, walking the other side in priority."""
    side = numbers.other_side(taker.side)
    lots = 0
    for price in book.prices_best_first(instrument, side):
        if not numbers.at_price_or_better(taker.side, taker.price, price):
            break
        for maker in instrument.levels[side][price]:
            if maker.account != taker.account or taker.self_trade_prevention == SelfTradePrevention.NONE:
                lots += maker.rest
            elif taker.self_trade_prevention != SelfTradePrevention.CANCEL_MAKER:
                return lots
    return lots


# ---- cancel, replace, mass cancel


def named_order(state: State, command: Cancel | Replace) -> OrderState | None:
    """The open order that a cancel or replace names, if it is in that account and instrument."""
    if command.order_id > 0:
        order = state.orders.get(command.order_id)
    else:
        order = order_by_client(state, command.account, command.target_client_order_id)
    if order is None or (order.account, order.instrument) != (command.account, command.instrument):
        return None
    return order


def named_order_faults(state: State, command: Cancel | Replace) -> Faults:
    if (command.order_id > 0) == (command.target_client_order_id > 0):
        yield Code.MALFORMED
    if command.account not in state.accounts:
        yield Code.UNKNOWN_ACCOUNT
    if named_order(state, command) is None:
        yield Code.UNKNOWN_ORDER


def cancel_faults(state: State, command: Cancel) -> Faults:
    yield from named_order_faults(state, command)


def keeps_place(order: OrderState, command: Replace) -> bool:
    return command.price_ticks == order.price and command.quantity_lots <= order.filled + order.rest


def replace_faults(state: State, command: Replace, received_ns: int) -> Faults:
    yield from named_order_faults(state, command)
    order = named_order(state, command)
    assert order is not None
    account, instrument = state.accounts[command.account], state.instruments[command.instrument]
    price, total = command.price_ticks, command.quantity_lots
    yield from halt_of_trading_faults(state, account, instrument)
    yield from price_faults(price, 1)
    yield from quantity_faults(account, instrument, total)
    if total <= order.filled:
        yield Code.REPLACE_QUANTITY_FILLED
    yield from notional_faults(account, instrument, price, total)
    yield from collar_faults(instrument, order.side, price)
    yield from rate_faults(account, received_ns)
    rest = total - order.filled
    yield from position_faults(state, account, command.account, command.instrument, order.side, rest - order.rest)
    if order.options & OrderOption.POST_ONLY and book.price_to_meet(instrument, order.side, price) is not None:
        yield Code.POST_ONLY_WOULD_TAKE
    if not keeps_place(order, command):
        free = ledger.locked_balance(state, order).free
        if free + order.lock < ledger.needed(instrument, replaced_order(order, price, rest)):
            yield Code.INSUFFICIENT_FUNDS


def replaced_order(order: OrderState, price: int, rest: int) -> OrderState:
    """What has the same side, rates and account as the order, at another price and rest."""
    return OrderState(
        id=order.id,
        key=order.key,
        account=order.account,
        instrument=order.instrument,
        side=order.side,
        price=price,
        rest=rest,
        client_order_id=order.client_order_id,
        options=order.options,
        self_trade_prevention=order.self_trade_prevention,
        maker_ppm=order.maker_ppm,
        taker_ppm=order.taker_ppm,
    )


def mass_cancel_faults(state: State, command: MassCancel) -> Faults:
    if command.side not in (0, Side.BUY, Side.SELL):
        yield Code.MALFORMED
    if command.account not in state.accounts:
        yield Code.UNKNOWN_ACCOUNT
    if command.instrument > 0 and command.instrument not in state.instruments:
        yield Code.UNKNOWN_INSTRUMENT


# ---- admin commands


def name_of(text: bytes | None) -> bytes | None:
    """The name that a text prefix holds: 1 to 36 good characters, then zero bytes only; None if it is not one."""
    name = (text or b"").rstrip(b"\0")
    if not name or any(byte not in NAME_CHARACTERS for byte in name):
        return None
    return name


def asset_faults(state: State, command: Asset, text: bytes | None) -> Faults:
    if not 0 < command.asset <= ASSET_NUMBER_MAX:
        yield Code.UNKNOWN_ASSET
    if name_of(text) is None:
        yield Code.NAME_INVALID
    if command.decimals > ASSET_DECIMALS_MAX:
        yield Code.DEFINITION_INVALID
    old = state.assets.get(command.asset)
    if old is not None and old.decimals != command.decimals:
        yield Code.DEFINITION_CONFLICT


def instrument_faults(state: State, command: Instrument, text: bytes | None) -> Faults:
    if command.trading_state not in list(TradingState):
        yield Code.MALFORMED
    if not 0 < command.instrument <= INSTRUMENT_NUMBER_MAX:
        yield Code.UNKNOWN_INSTRUMENT
    if command.base_asset not in state.assets or command.quote_asset not in state.assets:
        yield Code.UNKNOWN_ASSET
    if name_of(text) is None:
        yield Code.NAME_INVALID
    units = (command.base_units_per_lot, command.quote_units_per_tick_lot)
    if (
        command.base_asset == command.quote_asset
        or any(not 1 <= unit <= UNITS_PER_LOT_MAX for unit in units)
        or not 0 <= command.taker_fee_ppm <= FEE_PPM_MAX
        or not -command.taker_fee_ppm <= command.maker_fee_ppm <= FEE_PPM_MAX
    ):
        yield Code.DEFINITION_INVALID
    old = state.instruments.get(command.instrument)
    if old is not None and (old.base, old.quote, old.base_units, old.quote_units) != (
        command.base_asset,
        command.quote_asset,
        command.base_units_per_lot,
        command.quote_units_per_tick_lot,
    ):
        yield Code.DEFINITION_CONFLICT


def instrument_limits_faults(state: State, command: InstrumentLimits) -> Faults:
    if command.instrument not in state.instruments:
        yield Code.UNKNOWN_INSTRUMENT
    least, greatest = command.quantity_lots_min, command.quantity_lots_max
    if (
        min(least, greatest, command.notional_units_min, command.reference_price_ticks) < 0
        or 0 < greatest < least
        or command.notional_units_min > UNITS_MAX
        or command.collar_ppm > COLLAR_PPM_MAX
        or command.reference_price_ticks > PRICE_TICKS_MAX
    ):
        yield Code.LIMITS_INVALID


def account_number_faults(state: State, number: int) -> Faults:
    if not 0 < number <= ACCOUNT_NUMBER_MAX:
        yield Code.UNKNOWN_ACCOUNT


def account_limits_faults(state: State, command: AccountLimits) -> Faults:
    if command.account not in state.accounts:
        yield Code.UNKNOWN_ACCOUNT
    if min(command.notional_units_max, command.position_lots_max, command.quantity_lots_max) < 0:
        yield Code.LIMITS_INVALID


def deposit_faults(state: State, command: Deposit) -> Faults:
    if command.account not in state.accounts:
        yield Code.UNKNOWN_ACCOUNT
    if command.asset not in state.assets:
        yield Code.UNKNOWN_ASSET
    if command.amount_units <= 0 or state.assets[command.asset].supply_units + command.amount_units > UNITS_MAX:
        yield Code.AMOUNT_INVALID


def withdrawal_faults(state: State, command: Withdrawal) -> Faults:
    if command.account not in state.accounts:
        yield Code.UNKNOWN_ACCOUNT
    if command.asset not in state.assets:
        yield Code.UNKNOWN_ASSET
    if command.amount_units <= 0:
        yield Code.AMOUNT_INVALID
    if state.balance(command.account, command.asset).free < command.amount_units:
        yield Code.INSUFFICIENT_FUNDS


def halt_faults(state: State, command: Halt) -> Faults:
    if (
        command.scope not in list(HaltScope)
        or command.action not in list(HaltAction)
        or (command.scope == HaltScope.EVERYTHING and command.target != 0)
    ):
        yield Code.MALFORMED
    if command.scope == HaltScope.INSTRUMENT and command.target not in state.instruments:
        yield Code.UNKNOWN_INSTRUMENT
    if command.scope == HaltScope.ACCOUNT and command.target not in state.accounts:
        yield Code.UNKNOWN_ACCOUNT
