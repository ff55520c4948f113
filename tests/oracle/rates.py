"""Section 19: fee tiers, price steps and floors; and what an order asks of them."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.vocabulary import (
    FEE_PPM_MAX,
    FEE_TIER_MAX,
    PRICE_STEP_COUNT_MAX,
    PRICE_TICKS_MAX,
    QUANTITY_LOTS_MAX,
    UNITS_MAX,
    BalanceFloor,
    Code,
    FeeTier,
    PriceStep,
)
from tests.oracle.events import Events
from tests.oracle.state import InstrumentState, State, Step

# ---- fee tiers


def rates_valid(maker_ppm: int, taker_ppm: int) -> bool:
    return 0 <= taker_ppm <= FEE_PPM_MAX and -taker_ppm <= maker_ppm <= FEE_PPM_MAX


def fee_tier_faults(state: State, command: FeeTier) -> Iterator[Code]:
    if command.instrument not in state.instruments:
        yield Code.UNKNOWN_INSTRUMENT
    if not 1 <= command.tier <= FEE_TIER_MAX or not rates_valid(command.maker_fee_ppm, command.taker_fee_ppm):
        yield Code.DEFINITION_INVALID


def fee_tier(state: State, events: Events, command: FeeTier) -> None:
    state.instruments[command.instrument].tiers[command.tier] = (command.maker_fee_ppm, command.taker_fee_ppm)
    events.applied(instrument=command.instrument)


def rates_of(state: State, account: int, instrument: InstrumentState) -> tuple[int, int]:
    """Maker's and taker's rate of an order that enters now."""
    return instrument.tiers.get(state.accounts[account].fee_tier, (instrument.maker_ppm, instrument.taker_ppm))


# ---- price steps


def price_step_faults(state: State, command: PriceStep) -> Iterator[Code]:
    if command.instrument not in state.instruments:
        yield Code.UNKNOWN_INSTRUMENT
    if command.step >= PRICE_STEP_COUNT_MAX:
        yield Code.LIMITS_INVALID
    start, tick, lot = command.from_price_ticks, command.tick_multiple, command.lot_multiple
    if tick == 0:
        if (start, lot) != (0, 0):
            yield Code.LIMITS_INVALID
        return
    if not (0 <= start <= PRICE_TICKS_MAX and 1 <= tick <= PRICE_TICKS_MAX and 1 <= lot <= QUANTITY_LOTS_MAX):
        yield Code.LIMITS_INVALID
    rows = state.instruments[command.instrument].steps
    before, behind = rows[: command.step], rows[command.step + 1 :]
    if (
        len(before) < command.step
        or any(start <= row.from_price for row in before)
        or any(start >= row.from_price for row in behind)
    ):
        yield Code.LIMITS_INVALID


def price_step(state: State, events: Events, command: PriceStep) -> None:
    rows = state.instruments[command.instrument].steps
    if command.tick_multiple == 0:
        del rows[command.step :]
    else:
        row = Step(from_price=command.from_price_ticks, tick=command.tick_multiple, lot=command.lot_multiple)
        rows[command.step : command.step + 1] = [row]
    events.applied(instrument=command.instrument)


def step_at(instrument: InstrumentState, price: int) -> Step:
    """The last row that begins at the price or below; where there is none, everything is a multiple."""
    return next(
        (row for row in reversed(instrument.steps) if row.from_price <= price), Step(from_price=0, tick=1, lot=1)
    )


def tick_faults(instrument: InstrumentState, price: int) -> Iterator[Code]:
    if price % step_at(instrument, price).tick != 0:
        yield Code.PRICE_NOT_ON_TICK


def lot_faults(instrument: InstrumentState, price: int, lots: int) -> Iterator[Code]:
    if lots % step_at(instrument, price).lot != 0:
        yield Code.QUANTITY_NOT_ON_LOT


# ---- floors


def balance_floor_faults(state: State, command: BalanceFloor) -> Iterator[Code]:
    if command.account not in state.accounts:
        yield Code.UNKNOWN_ACCOUNT
    if command.asset not in state.assets:
        yield Code.UNKNOWN_ASSET
    balance = state.balance(command.account, command.asset)
    owed = floors_of(state, command.asset) + balance.floor - command.floor_units
    if not -UNITS_MAX <= command.floor_units <= 0 or state.assets[command.asset].supply_units + owed > UNITS_MAX:
        yield Code.LIMITS_INVALID
    if balance.free < command.floor_units:
        yield Code.INSUFFICIENT_FUNDS


def floors_of(state: State, asset: int) -> int:
    """All floors of an asset, as amounts above zero."""
    return -sum(balance.floor for (_, owned), balance in state.balances.items() if owned == asset)


def balance_floor(state: State, events: Events, command: BalanceFloor) -> None:
    state.balance(command.account, command.asset).floor = command.floor_units
    events.applied(account=command.account)
