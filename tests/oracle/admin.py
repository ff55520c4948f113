"""Sections 9 and 10: definitions, limits, money and halts; the engine's own records."""

from __future__ import annotations

from schemas.vocabulary import (
    Account,
    AccountLimits,
    Asset,
    ClockTick,
    Code,
    Deposit,
    EventKind,
    FeePayout,
    Halt,
    HaltAction,
    HaltScope,
    Instrument,
    InstrumentLimits,
    Logoff,
    Logon,
    LogonOption,
    Refused,
    Term,
    TradingState,
    Withdrawal,
)
from tests.oracle import auctions, checks, clock, sweeps
from tests.oracle.commands import System
from tests.oracle.events import Events
from tests.oracle.state import AccountState, AssetState, InstrumentState, State

NONCE_DROPS_MAX = 4


def asset(state: State, events: Events, command: Asset, name: bytes) -> None:
    known = state.assets.setdefault(command.asset, AssetState(name=name, decimals=command.decimals))
    known.name = name
    events.applied()


def instrument(state: State, events: Events, command: Instrument, name: bytes) -> None:
    is_new = command.instrument not in state.instruments
    if is_new:
        state.instruments[command.instrument] = InstrumentState(
            number=command.instrument,
            name=name,
            base=command.base_asset,
            quote=command.quote_asset,
            maker_ppm=command.maker_fee_ppm,
            taker_ppm=command.taker_fee_ppm,
            trading_state=command.trading_state,
            base_units=command.base_units_per_lot,
            quote_units=command.quote_units_per_tick_lot,
        )
    known = state.instruments[command.instrument]
    known.name = name
    known.maker_ppm, known.taker_ppm = command.maker_fee_ppm, command.taker_fee_ppm
    if is_new:
        events.instrument_state(known)
    events.applied(instrument=command.instrument)


def instrument_limits(state: State, events: Events, command: InstrumentLimits) -> None:
    known = state.instruments[command.instrument]
    known.collar_ppm = command.collar_ppm
    known.quantity_min = command.quantity_lots_min
    known.quantity_max = command.quantity_lots_max
    known.notional_min = command.notional_units_min
    if command.reference_price_ticks > 0:
        known.reference_price = command.reference_price_ticks
    events.applied(instrument=command.instrument)


def account(state: State, events: Events, command: Account) -> None:
    firm = command.firm or command.account
    known = state.accounts.setdefault(command.account, AccountState(firm=firm))
    known.fee_tier = command.fee_tier
    events.applied(account=command.account)


def account_limits(state: State, events: Events, command: AccountLimits) -> None:
    known = state.accounts[command.account]
    known.open_orders_max = command.open_orders_max
    known.order_rate_max = command.order_rate_max
    known.order_rate_window_ms = command.order_rate_window_ms
    known.notional_max = command.notional_units_max
    known.position_max = command.position_lots_max
    known.quantity_max = command.quantity_lots_max
    events.applied(account=command.account)


def deposit(state: State, events: Events, command: Deposit) -> None:
    change_balance(state, events, command, command.amount_units)


def withdrawal(state: State, events: Events, command: Withdrawal) -> None:
    change_balance(state, events, command, -command.amount_units)


def fee_payout(state: State, events: Events, command: FeePayout) -> None:
    state.assets[command.asset].fees_units -= command.amount_units
    tell_change(state, events, command, command.amount_units)


def change_balance(state: State, events: Events, command: Deposit | Withdrawal, units: int) -> None:
    state.assets[command.asset].supply_units += units
    tell_change(state, events, command, units)


def tell_change(state: State, events: Events, command: Deposit | Withdrawal | FeePayout, units: int) -> None:
    balance = state.balance(command.account, command.asset)
    balance.free += units
    events.public(
        EventKind.BALANCE,
        instrument=command.asset,
        account=command.account,
        quantity_lots=balance.free,
        remaining_lots=balance.locked,
        reference=command.reference,
        amount_units=units,
    )
    events.applied(account=command.account, order_id=command.reference)


def halt(state: State, events: Events, command: Halt) -> None:
    """Halt, resume, or kill: a halt that cancels what is open, too."""
    halted = command.action != HaltAction.RESUME
    if command.scope == HaltScope.INSTRUMENT:
        into = TradingState.HALTED if halted else TradingState.OPEN
        auctions.move(state, events, state.instruments[command.target], into)
    elif command.scope == HaltScope.EVERYTHING:
        state.everything_halted = halted
        tell_halt(events, halted, 0)
    else:
        for number in accounts_halted(state, command):
            state.accounts[number].halted = halted
            tell_halt(events, halted, number)
    killed = kill(state, events, command) if command.action == HaltAction.KILL else 0
    events.applied(quantity_lots=killed)
    if command.scope == HaltScope.INSTRUMENT:
        auctions.behind_move(state, events, state.instruments[command.target])


def tell_halt(events: Events, halted: bool, account: int) -> None:
    events.public(EventKind.STATE, code=TradingState.HALTED if halted else TradingState.OPEN, account=account)


def accounts_halted(state: State, command: Halt) -> list[int]:
    return [command.target] if command.scope == HaltScope.ACCOUNT else state.accounts_of_firm(command.target)


def kill(state: State, events: Events, command: Halt) -> int:
    """Cancel every open order of the target. How many."""
    if command.scope == HaltScope.EVERYTHING:
        return sum(sweeps.kill_instrument(state, events, number) for number in sorted(state.instruments))
    if command.scope == HaltScope.INSTRUMENT:
        return sweeps.kill_instrument(state, events, command.target)
    return sum(sweeps.kill_account(state, events, number) for number in accounts_halted(state, command))


# ---- the engine's own records


def system(state: State, events: Events, command: System) -> None:
    """A digest was compared before."""
    match command:
        case ClockTick():
            clock.tick(state, events)
        case Term():
            state.term = command.term
            state.nonce_window_ns = command.nonce_window_ns or state.nonce_window_ns
        case Logon():
            logon(state, events.key, command, events.received_ns)
        case Logoff():
            logoff(state, events)
        case Refused():
            refused(events, command)


def logon(state: State, key_number: int, command: Logon, received_ns: int) -> None:
    key = state.key(key_number)
    key.session = command.session
    key.live = True
    key.account = command.account
    key.options = command.options
    if command.nonce not in state.nonces:
        store_nonce(state, command.nonce, command.timestamp_ns, received_ns)


def logoff(state: State, events: Events) -> None:
    key = state.key(events.key)
    key.live = False
    if key.options & LogonOption.CANCEL_ON_DISCONNECT:
        sweeps.cancel_of_key(state, events, events.key, key.account, Code.CANCELLED_ON_DISCONNECT)


def refused(events: Events, command: Refused) -> None:
    events.rejected(
        code=command.code,
        account=command.account,
        instrument=command.instrument,
        client_order_id=command.client_order_id,
    )


def store_nonce(state: State, nonce: bytes, timestamp_ns: int, received_ns: int) -> None:
    """At the back, after dropping a few from the front whose time has passed."""
    for _ in range(NONCE_DROPS_MAX):
        front = next(iter(state.nonces), None)
        if front is None or state.nonces[front] + state.nonce_window() >= received_ns:
            break
        del state.nonces[front]
    state.nonces[nonce] = timestamp_ns


def name_from(text: bytes | None) -> bytes:
    name = checks.name_of(text)
    assert name is not None
    return name
