"""Sections 3, 6, 7, 8 and 9: the reasons to refuse.

Each generator yields what is wrong in the order in which codes win, and only the first is taken: nothing behind
a yielded code is looked at, so what is used there (an account, a book) may lean on the checks before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TypeAlias

from schemas.vocabulary import (
    ACCOUNT_NUMBER_MAX,
    ASSET_DECIMALS_MAX,
    ASSET_NUMBER_MAX,
    COLLAR_PPM_MAX,
    FEE_TIER_MAX,
    INSTRUMENT_NUMBER_MAX,
    PRICE_TICKS_MAX,
    QUANTITY_LOTS_MAX,
    UNITS_MAX,
    UNITS_PER_LOT_MAX,
    UNLIT_ORDERS_MAX,
    Account,
    AccountLimits,
    Asset,
    BalanceFloor,
    Cancel,
    CircuitBreaker,
    Code,
    CountdownCancel,
    Deposit,
    FeePayout,
    FeeTier,
    Halt,
    HaltAction,
    HaltScope,
    Instrument,
    InstrumentLimits,
    MassCancel,
    NewOrder,
    Nonce,
    OrderOption,
    OrderTerms,
    OrderType,
    Peg,
    PriceStep,
    Refused,
    Replace,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TradeBust,
    TradeCorrection,
    TradingState,
    Withdrawal,
)
from schemas.vocabulary import (
    InstrumentState as InstrumentStateCommand,
)
from tests.oracle import auctions, book, breaker, busts, ledger, links, makers, named, rates, terms, unlit, waiting
from tests.oracle.commands import Group
from tests.oracle.state import WAITING, AccountState, InstrumentState, OrderState, State

Faults: TypeAlias = Iterator[Code]
NAME_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/"
RATE_WINDOW_MS_DEFAULT = 1000


def first_fault(state: State, group: Group) -> Code:
    """The code that wins, NONE if there is none. Nonce first, then the command's own checks; of a new order those that
    come before its link cancels what it names."""
    return next(nonce_faults(state, group), Code.NONE) or next(command_faults(state, group), Code.NONE)


def later_fault(state: State, group: Group) -> Code:
    """The code that wins among the checks behind that."""
    if not isinstance(group.command, NewOrder):
        return Code.NONE
    return next(new_order_faults_behind_links(state, group, group.command), Code.NONE)


def command_faults(state: State, group: Group) -> Faults:
    if not group.bytes_valid and not isinstance(group.command, Refused):
        yield Code.MALFORMED
    match group.command:
        case NewOrder() as command:
            yield from new_order_faults(state, group, command)
        case Cancel() as command:
            yield from cancel_faults(state, command)
        case Replace() as command:
            yield from replace_faults(state, command, group.received_ns)
        case MassCancel() as command:
            yield from mass_cancel_faults(state, command)
        case CountdownCancel() as command:
            yield from countdown_faults(state, command)
        case Asset() as command:
            yield from asset_faults(state, command, group.text)
        case Instrument() as command:
            yield from instrument_faults(state, command, group.text)
        case InstrumentLimits() as command:
            yield from instrument_limits_faults(state, command)
        case Account() as command:
            yield from account_faults(state, command)
        case AccountLimits() as command:
            yield from account_limits_faults(state, command)
        case Deposit() as command:
            yield from deposit_faults(state, command)
        case Withdrawal() as command:
            yield from withdrawal_faults(state, command)
        case Halt() as command:
            yield from halt_faults(state, command)
        case InstrumentStateCommand() as command:
            yield from auctions.state_faults(state, command, group.received_ns)
        case CircuitBreaker() as command:
            yield from breaker.faults(state, command)
        case FeeTier() as command:
            yield from rates.fee_tier_faults(state, command)
        case PriceStep() as command:
            yield from rates.price_step_faults(state, command)
        case BalanceFloor() as command:
            yield from rates.balance_floor_faults(state, command)
        case TradeBust() as command:
            yield from busts.bust_faults(state, command)
        case TradeCorrection() as command:
            yield from busts.correction_faults(state, command)
        case FeePayout() as command:
            yield from fee_payout_faults(state, command)


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


# ---- new order: sections 3 and 13 to 15


def new_order_faults(state: State, group: Group, command: NewOrder) -> Faults:
    """The steps before a `cancel_first` link cancels."""
    yield from new_order_form_faults(command, group)
    if command.account not in state.accounts:
        yield Code.UNKNOWN_ACCOUNT
    if command.instrument not in state.instruments:
        yield Code.UNKNOWN_INSTRUMENT
    yield from links.target_faults(state, command, group.link)


def new_order_form_faults(command: NewOrder, group: Group) -> Faults:
    market = command.order_type != OrderType.LIMIT
    rests = command.time_in_force == TimeInForce.GOOD_TILL_CANCELLED
    by_quote = command.order_type == OrderType.MARKET_BY_QUOTE
    if (
        command.side not in list(Side)
        or command.order_type not in list(OrderType)
        or command.time_in_force not in list(TimeInForce)
        or command.self_trade_prevention not in list(SelfTradePrevention)
        or command.options not in (0, OrderOption.POST_ONLY)
        or (market and rests)
        or (command.options == OrderOption.POST_ONLY and not terms.can_rest(command))
        or (by_quote and command.time_in_force != TimeInForce.IMMEDIATE_OR_CANCEL)
    ):
        yield Code.MALFORMED
    yield from terms.form_faults(command, group)
    yield from links.form_faults(command, group)


def new_order_faults_behind_links(state: State, group: Group, command: NewOrder) -> Faults:
    """The steps from the halts on."""
    said, waits = group.terms, terms.waits(group.terms)
    account, instrument = state.accounts[command.account], state.instruments[command.instrument]
    yield from halt_of_trading_faults(state, account, instrument, fits_call=fits_call(command, said))
    price, quantity = effective_price(instrument, command, said), quantity_of(instrument, command, said)
    yield from number_faults(account, instrument, command, said, quantity, group.received_ns)
    if price is None or quantity is None:
        yield Code.PRICE_CAP_REQUIRED
        return
    order = order_to_be(state, command, said, price, quantity)
    yield from worth_faults(account, instrument, command, order)
    if not waits:
        yield from collar_faults(instrument, command.side, price)
    if command.client_order_id > 0 and named.by_client(state, command.account, command.client_order_id) is not None:
        yield Code.DUPLICATE_CLIENT_ORDER_ID
    yield from rate_faults(account, group.received_ns)
    yield from count_faults(state, account, instrument, order, waits=waits)
    yield from position_faults(state, account, command.account, command.instrument, command.side, quantity)
    yield from waiting.faults(instrument, order)
    yield from taker_faults(instrument, command, said, order)
    lock = links.lock_of_new(state, order, links.one_cancels_other(state, command, group.link))
    if ledger.spendable(state, order) < lock:
        yield Code.INSUFFICIENT_FUNDS


def fits_call(command: NewOrder, said: OrderTerms) -> bool:
    """Whether an order may come while an instrument is called to an auction."""
    stays = terms.waits(said) or terms.can_rest(command)
    return stays and not (command.options & OrderOption.POST_ONLY or terms.is_unlit(said) or said.minimum_lots)


def number_faults(
    account: AccountState,
    instrument: InstrumentState,
    command: NewOrder,
    said: OrderTerms,
    quantity: int | None,
    received_ns: int,
) -> Faults:
    """Steps 5 and 6. quantity: of a market_by_quote order what its amount comes to, None if that can't be said."""
    by_quote = command.order_type == OrderType.MARKET_BY_QUOTE
    yield from price_faults(command.price_ticks, 1 if command.order_type == OrderType.LIMIT else 0)
    if command.order_type == OrderType.LIMIT and said.peg == Peg.NONE:
        yield from rates.tick_faults(instrument, command.price_ticks)
    yield from quantity_faults(command.quantity_lots, UNITS_MAX if by_quote else QUANTITY_LOTS_MAX)
    price = effective_price(instrument, command, said)
    if price is not None and not by_quote:
        yield from rates.lot_faults(instrument, price, command.quantity_lots)
    yield from terms.faults(said, command.quantity_lots, received_ns)
    if quantity is not None:
        yield from size_faults(account, instrument, quantity)


def worth_faults(account: AccountState, instrument: InstrumentState, command: NewOrder, order: OrderState) -> Faults:
    """Step 8. The notional of a market_by_quote order is its amount."""
    by_quote = command.order_type == OrderType.MARKET_BY_QUOTE
    if by_quote and order.rest == 0:
        yield Code.NOTIONAL_TOO_SMALL
    notional = order.amount_left if by_quote else ledger.notional_of(instrument, order.price, order.rest)
    market_sell = command.order_type == OrderType.MARKET and command.side == Side.SELL
    yield from notional_faults(account, instrument, notional, order.rest, least_matters=not market_sell)


def count_faults(
    state: State, account: AccountState, instrument: InstrumentState, order: OrderState, *, waits: bool
) -> Faults:
    stays = order.time_in_force == TimeInForce.GOOD_TILL_CANCELLED or waits
    if stays and 0 < account.open_orders_max <= len(state.orders_of(order.account)):
        yield Code.OPEN_ORDERS_EXCEEDED
    if unlit.is_unlit(order) and len(instrument.unlit[order.side]) >= UNLIT_ORDERS_MAX:
        yield Code.SPECIAL_ORDERS_EXCEEDED
    if waiting.too_many_trailing(instrument, order):
        yield Code.SPECIAL_ORDERS_EXCEEDED


def taker_faults(instrument: InstrumentState, command: NewOrder, said: OrderTerms, order: OrderState) -> Faults:
    """Steps 14 and 15: of an order that is to be matched at once."""
    if terms.waits(said):
        return
    is_open = instrument.trading_state == TradingState.OPEN
    if command.options & OrderOption.POST_ONLY and is_open and makers.would_take(instrument, order):
        yield Code.POST_ONLY_WOULD_TAKE
    wanted = command.quantity_lots
    if command.time_in_force == TimeInForce.FILL_OR_KILL and makers.lots_to_get(instrument, order, wanted) < wanted:
        yield Code.FILL_OR_KILL_UNFILLABLE
    if makers.lots_to_get(instrument, order, said.minimum_lots) < said.minimum_lots:
        yield Code.MINIMUM_UNFILLABLE


def halt_of_trading_faults(
    state: State, account: AccountState, instrument: InstrumentState, *, fits_call: bool
) -> Faults:
    if state.everything_halted:
        yield Code.EVERYTHING_HALTED
    if instrument.trading_state in auctions.NO_TRADING:
        yield Code.INSTRUMENT_HALTED
    if instrument.trading_state in auctions.CALL_STATES and not fits_call:
        yield Code.NOT_IN_THIS_STATE
    if account.halted:
        yield Code.ACCOUNT_HALTED


def price_faults(price: int, least: int) -> Faults:
    if not least <= price <= PRICE_TICKS_MAX:
        yield Code.PRICE_INVALID


def quantity_faults(quantity: int, most: int) -> Faults:
    if not 1 <= quantity <= most:
        yield Code.QUANTITY_INVALID


def size_faults(account: AccountState, instrument: InstrumentState, lots: int) -> Faults:
    if lots < instrument.quantity_min:
        yield Code.QUANTITY_TOO_SMALL
    if 0 < instrument.quantity_max < lots or 0 < account.quantity_max < lots:
        yield Code.QUANTITY_TOO_LARGE


def has_collar(instrument: InstrumentState) -> bool:
    return instrument.collar_ppm > 0 and instrument.reference_price > 0


def highest_buy(instrument: InstrumentState) -> int:
    return breaker.highest_price(instrument.reference_price, instrument.collar_ppm)


def lowest_sell(instrument: InstrumentState) -> int:
    return breaker.lowest_price(instrument.reference_price, instrument.collar_ppm)


def effective_price(instrument: InstrumentState, command: NewOrder, said: OrderTerms) -> int | None:
    """The price that a market order without one gets; None for a buy where there is no collar for it."""
    if command.price_ticks > 0:
        return command.price_ticks
    if has_collar(instrument) and not terms.waits(said):
        return highest_buy(instrument) if command.side == Side.BUY else lowest_sell(instrument)
    return None if command.side == Side.BUY else 1


def quantity_of(instrument: InstrumentState, command: NewOrder, said: OrderTerms) -> int | None:
    """The lots of an order; of a market_by_quote order what its amount comes to at the price that it may expect."""
    price = effective_price(instrument, command, said)
    if command.order_type != OrderType.MARKET_BY_QUOTE or price is None:
        return None if price is None and command.order_type == OrderType.MARKET_BY_QUOTE else command.quantity_lots
    ask = book.best_price(instrument, Side.SELL)
    if command.side == Side.BUY and ask is not None:
        price = min(price, ask)
    return min(command.quantity_lots // (price * instrument.quote_units), QUANTITY_LOTS_MAX)


def notional_faults(
    account: AccountState, instrument: InstrumentState, notional: int, lots: int, *, least_matters: bool = True
) -> Faults:
    if least_matters and notional < instrument.notional_min:
        yield Code.NOTIONAL_TOO_SMALL
    if notional > UNITS_MAX or lots * instrument.base_units > UNITS_MAX or 0 < account.notional_max < notional:
        yield Code.NOTIONAL_TOO_LARGE


def collar_faults(instrument: InstrumentState, side: int, price: int) -> Faults:
    if has_collar(instrument):
        outside = price > highest_buy(instrument) if side == Side.BUY else price < lowest_sell(instrument)
        if outside:
            yield Code.PRICE_OUTSIDE_COLLAR


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


def order_to_be(state: State, command: NewOrder, said: OrderTerms, price: int, quantity: int) -> OrderState:
    """The order that a good command makes, before it has an id, a key and a lock."""
    maker_ppm, taker_ppm = rates.rates_of(state, command.account, state.instruments[command.instrument])
    return OrderState(
        id=0,
        key=0,
        account=command.account,
        instrument=command.instrument,
        side=command.side,
        price=price,
        rest=quantity,
        client_order_id=command.client_order_id,
        options=command.options,
        self_trade_prevention=command.self_trade_prevention,
        maker_ppm=maker_ppm,
        taker_ppm=taker_ppm,
        order_type=command.order_type,
        time_in_force=command.time_in_force,
        amount_left=command.quantity_lots if command.order_type == OrderType.MARKET_BY_QUOTE else 0,
        trigger=said.trigger,
        trigger_price=said.trigger_price_ticks,
        offset=said.offset_ticks,
        peg=said.peg,
        term_options=said.options,
        display=said.display_lots,
        expire_ns=said.expire_ns,
    )


# ---- cancel, replace, mass cancel


def named_order(state: State, command: Cancel | Replace) -> OrderState | None:
    """The open order that a cancel or replace names."""
    return named.order(state, command.account, command.instrument, command.order_id, command.target_client_order_id)


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
    if order.place == WAITING or unlit.is_unlit(order) or order.linked:
        yield Code.REPLACE_UNSUPPORTED
    yield from halt_of_trading_faults(state, account, instrument, fits_call=True)
    yield from price_faults(price, 1)
    yield from rates.tick_faults(instrument, price)
    yield from quantity_faults(total, QUANTITY_LOTS_MAX)
    yield from rates.lot_faults(instrument, price, total)
    yield from terms.iceberg_faults(order.display, total)
    yield from size_faults(account, instrument, total)
    if total <= order.filled:
        yield Code.REPLACE_QUANTITY_FILLED
    yield from notional_faults(account, instrument, ledger.notional_of(instrument, price, total), total)
    yield from collar_faults(instrument, order.side, price)
    yield from rate_faults(account, received_ns)
    rest = total - order.filled
    yield from position_faults(state, account, command.account, command.instrument, order.side, rest - order.rest)
    anew = dataclasses.replace(order, price=price, rest=rest, reserve=0)
    is_open = instrument.trading_state == TradingState.OPEN
    if order.options & OrderOption.POST_ONLY and is_open and makers.would_take(instrument, anew):
        yield Code.POST_ONLY_WOULD_TAKE
    can_spend = ledger.spendable(state, order) + order.lock
    if not keeps_place(order, command) and can_spend < ledger.needed(instrument, anew):
        yield Code.INSUFFICIENT_FUNDS


def mass_cancel_faults(state: State, command: MassCancel) -> Faults:
    if command.side not in (0, Side.BUY, Side.SELL):
        yield Code.MALFORMED
    if command.account not in state.accounts:
        yield Code.UNKNOWN_ACCOUNT
    if command.instrument > 0 and command.instrument not in state.instruments:
        yield Code.UNKNOWN_INSTRUMENT


def countdown_faults(state: State, command: CountdownCancel) -> Faults:
    if command.account not in state.accounts:
        yield Code.UNKNOWN_ACCOUNT


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
        or not rates.rates_valid(command.maker_fee_ppm, command.taker_fee_ppm)
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


def account_faults(state: State, command: Account) -> Faults:
    if not 0 < command.account <= ACCOUNT_NUMBER_MAX:
        yield Code.UNKNOWN_ACCOUNT
    if command.fee_tier > FEE_TIER_MAX:
        yield Code.DEFINITION_INVALID
    old = state.accounts.get(command.account)
    if old is not None and old.firm != (command.firm or command.account):
        yield Code.DEFINITION_CONFLICT


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
    known = state.assets[command.asset]
    owed = rates.floors_of(state, command.asset)
    if command.amount_units <= 0 or known.supply_units + owed + command.amount_units > UNITS_MAX:
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
    if state.assets[command.asset].supply_units - command.amount_units < -UNITS_MAX:
        yield Code.AMOUNT_INVALID


def fee_payout_faults(state: State, command: FeePayout) -> Faults:
    if command.account not in state.accounts:
        yield Code.UNKNOWN_ACCOUNT
    if command.asset not in state.assets:
        yield Code.UNKNOWN_ASSET
    if command.amount_units <= 0:
        yield Code.AMOUNT_INVALID
    if state.assets[command.asset].fees_units < command.amount_units:
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
    if command.scope == HaltScope.FIRM and not state.accounts_of_firm(command.target):
        yield Code.UNKNOWN_ACCOUNT
