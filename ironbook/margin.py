"""Margin maintenance: what an account is worth, what it must be worth, and what to close when it is not.

Pure functions over whole units: balances (below zero too), marks and a policy go in, an assessment or an order comes
out. Nothing here asks an engine; `ironbook margin watch` does, with a replica and ordinary signed commands.

    equity       Σ value of each asset held, at its mark; what is owed counts below zero          (rounded down)
    requirement  Σ ⌈|value| × maintenance rate⌉ of each asset but the one that all is counted in
    call         equity < requirement

A mark is the reference price of the instrument that trades an asset against the counting asset. What has no mark counts
for nothing if it is held; if it is owed, the account cannot be assessed and `unpriced` says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ironbook._errors import InputInvalid
from schemas.vocabulary import PRICE_TICKS_MAX, QUANTITY_LOTS_MAX, Side, TradingState

__all__ = [
    "PPM",
    "Assessment",
    "Close",
    "Exposure",
    "Holding",
    "Mark",
    "Policy",
    "assess",
    "closing_order",
    "holdings_of",
    "liquidation_number",
    "marks_of",
    "read_policy",
]

PPM: Final = 1_000_000
SEQUENCE_BITS: Final = 40


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How accounts are judged.

    asset            the asset that all is counted in
    maintenance_ppm  of each other asset: how much of its value must be covered; what is not named is covered in full
    slippage_ppm     how far beyond the mark a liquidation order may go
    """

    asset: int
    maintenance_ppm: Mapping[int, int]
    slippage_ppm: int

    def rate(self, asset: int) -> int:
        """Maintenance rate of an asset."""
        return self.maintenance_ppm.get(asset, PPM)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """An account's balance of an asset, in units; free may be below zero down to the floor."""

    free_units: int
    locked_units: int = 0
    floor_units: int = 0

    @property
    def total_units(self) -> int:
        """Free and locked."""
        return self.free_units + self.locked_units


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The instrument that an asset is valued and closed in.

    fee_ppm      the highest rate that an order of the account may pay there
    steps        (from_price_ticks, tick_multiple, lot_multiple) by rising price
    trades       it is open
    """

    instrument: int
    price_ticks: int
    base_units_per_lot: int
    quote_units_per_tick_lot: int
    fee_ppm: int = 0
    quantity_lots_min: int = 0
    quantity_lots_max: int = 0
    steps: Sequence[tuple[int, int, int]] = ()
    trades: bool = True

    def value_units(self, units: int) -> int:
        """What so many units are worth, rounded down."""
        return units * self.price_ticks * self.quote_units_per_tick_lot // self.base_units_per_lot

    def lot_units(self) -> int:
        """What a lot is worth."""
        return self.price_ticks * self.quote_units_per_tick_lot


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """An asset that is held or owed, and what it is worth."""

    asset: int
    units: int
    value_units: int
    requirement_units: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """An account, judged. exposures: those that ask for most first."""

    equity_units: int
    requirement_units: int
    exposures: tuple[Exposure, ...]
    unpriced: tuple[int, ...]

    @property
    def called(self) -> bool:
        """Equity does not reach what is required."""
        return self.equity_units < self.requirement_units

    @property
    def shortfall_units(self) -> int:
        """By how much."""
        return max(0, self.requirement_units - self.equity_units)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """An immediate-or-cancel order that reduces an exposure."""

    instrument: int
    side: Side
    price_ticks: int
    quantity_lots: int


def assess(holdings: Mapping[int, Holding], marks: Mapping[int, Mark], policy: Policy) -> Assessment:
    """Judge an account by its balances (by asset) and the marks (by asset)."""
    exposures, unpriced = [], []
    counted = holdings.get(policy.asset, Holding(free_units=0)).total_units
    for asset, holding in sorted(holdings.items()):
        units, mark = holding.total_units, marks.get(asset)
        if asset == policy.asset or units == 0:
            continue
        if mark is None:
            unpriced += [asset] if units < 0 else []
            continue
        value = mark.value_units(units)
        required = -(-abs(value) * policy.rate(asset) // PPM)
        exposures.append(Exposure(asset=asset, units=units, value_units=value, requirement_units=required))
    return Assessment(
        equity_units=counted + sum(exposure.value_units for exposure in exposures),
        requirement_units=sum(exposure.requirement_units for exposure in exposures),
        exposures=tuple(sorted(exposures, key=lambda exposure: (-exposure.requirement_units, exposure.asset))),
        unpriced=tuple(unpriced),
    )


# ---- What to close ---------------------------------------------------------------------------------------------------


def closing_order(holdings: Mapping[int, Holding], marks: Mapping[int, Mark], policy: Policy) -> Close | None:
    """The next liquidation order of an account without open orders: of the exposure that asks for most, as much as
    mends the shortfall even at the worst price allowed. None: there is no call, or nothing that can be closed.
    """
    found = assess(holdings, marks, policy)
    if not found.called:
        return None
    spendable = _spendable(holdings.get(policy.asset, Holding(free_units=0)))
    for exposure in found.exposures:
        mark = marks[exposure.asset]
        order = _close(exposure, mark, policy, found.shortfall_units, spendable) if mark.trades else None
        if order is not None:
            return order
    return None


def _close(exposure: Exposure, mark: Mark, policy: Policy, shortfall: int, spendable: int) -> Close | None:
    side = Side.BUY if exposure.units < 0 else Side.SELL
    price = _bound(mark, side, policy.slippage_ppm)
    gained_ppm = policy.rate(exposure.asset) - policy.slippage_ppm - mark.fee_ppm  # of each unit of value closed
    whole = _whole_lots(exposure.units, mark)
    lots = whole
    if gained_ppm > 0:
        lots = min(whole, _divide_up(_divide_up(shortfall * PPM, gained_ppm), mark.lot_units()))
    if side == Side.BUY:
        lots = min(lots, _affordable(mark, price, spendable))
    lots = min(lots, mark.quantity_lots_max or QUANTITY_LOTS_MAX, QUANTITY_LOTS_MAX)
    multiple = _step(mark, price)[1]
    lots = min(_divide_up(lots, multiple) * multiple, whole // multiple * multiple)
    if side == Side.BUY and lots > _affordable(mark, price, spendable):
        lots -= multiple
    least = max(1, mark.quantity_lots_min)
    if lots < least:
        lots = least if least <= whole and least % multiple == 0 else 0
    if lots <= 0 or (side == Side.BUY and lots > _affordable(mark, price, spendable)):
        return None
    return Close(instrument=mark.instrument, side=side, price_ticks=price, quantity_lots=lots)


def _whole_lots(units: int, mark: Mark) -> int:
    """All of an exposure: what is owed is bought back to the last unit, what is held is never sold short."""
    return units // mark.base_units_per_lot if units > 0 else _divide_up(-units, mark.base_units_per_lot)


def _affordable(mark: Mark, price: int, spendable: int) -> int:
    """Lots that a buy can lock: N + ⌈N × fee⌉ + 1 must be there."""
    notional = (spendable - 1) * PPM // (PPM + max(mark.fee_ppm, 0))
    return max(0, notional // (price * mark.quote_units_per_tick_lot))


def _spendable(holding: Holding) -> int:
    return holding.free_units - holding.floor_units


def _bound(mark: Mark, side: Side, slippage_ppm: int) -> int:
    """The worst price allowed, on the tick table and never beyond the slippage."""
    if side == Side.BUY:
        price = min(mark.price_ticks * (PPM + slippage_ppm) // PPM, PRICE_TICKS_MAX)
        while price % (tick := _step(mark, price)[0]) != 0:
            price -= price % tick
        return max(1, price)
    price = max(1, _divide_up(mark.price_ticks * (PPM - slippage_ppm), PPM))
    while price % (tick := _step(mark, price)[0]) != 0:
        price += tick - price % tick
    return min(price, PRICE_TICKS_MAX)


def _step(mark: Mark, price: int) -> tuple[int, int]:
    """Tick and lot multiple at a price."""
    rows = [(tick, lot) for start, tick, lot in mark.steps if start <= price]
    return rows[-1] if rows else (1, 1)


def _divide_up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def liquidation_number(account: int, sequence: int) -> int:
    """The client order id of a liquidation order: whose, and behind which record it was decided."""
    return account << SEQUENCE_BITS | sequence & (1 << SEQUENCE_BITS) - 1


# ---- Asking a replica's core -----------------------------------------------------------------------------------------


def holdings_of(core: Any, account: int, assets: Sequence[int]) -> dict[int, Holding]:
    """Balances of an account, by asset."""
    found = {}
    for asset in assets:
        pair = core.balance(account, asset)
        if pair is not None:
            free, locked = pair
            found[asset] = Holding(free_units=free, locked_units=locked, floor_units=core.floor(account, asset))
    return found


def marks_of(core: Any, account: int, instruments: Sequence[int], asset: int) -> dict[int, Mark]:
    """Of each asset the first instrument that trades it against the counting asset and has a reference price."""
    known = core.account(account)
    tier = int(known["fee_tier"]) if known is not None else 0
    marks: dict[int, Mark] = {}
    for number in instruments:
        found = core.instrument(number)
        if found is None or found["quote_asset"] != asset or not found["reference_price_ticks"]:
            continue
        rates = core.fee_tier(number, tier) or (found["maker_fee_ppm"], found["taker_fee_ppm"])
        mark = Mark(
            instrument=number,
            price_ticks=int(found["reference_price_ticks"]),
            base_units_per_lot=int(found["base_units_per_lot"]),
            quote_units_per_tick_lot=int(found["quote_units_per_tick_lot"]),
            fee_ppm=max(0, *rates),
            quantity_lots_min=int(found["quantity_lots_min"]),
            quantity_lots_max=int(found["quantity_lots_max"]),
            steps=core.price_steps(number),
            trades=found["trading_state"] == TradingState.OPEN,
        )
        marks.setdefault(int(found["base_asset"]), mark)
    return marks


# ---- Reading ---------------------------------------------------------------------------------------------------------


def read_policy(data: Mapping[str, Any], assets: Mapping[str, int]) -> Policy:
    """A policy from what a TOML file holds; `assets`: numbers by name. Raises InputInvalid, which names the field."""
    for name in data:
        if name not in ("asset", "slippage_ppm", "maintenance_ppm"):
            raise _wrong("only asset, slippage_ppm and maintenance_ppm may stand here", name)
    rates = data.get("maintenance_ppm")
    if not isinstance(rates, dict):
        raise _wrong("`maintenance_ppm` must be a table of rates by asset", rates)
    return Policy(
        asset=_asset(data.get("asset"), assets),
        maintenance_ppm={_asset(name, assets): _rate(name, rate) for name, rate in rates.items()},
        slippage_ppm=_rate("slippage_ppm", data.get("slippage_ppm")),
    )


def _asset(name: Any, assets: Mapping[str, int]) -> int:
    if name not in assets:
        raise _wrong(f"an asset must be defined ({', '.join(assets) or 'none is'})", name)
    return assets[name]


def _rate(name: str, rate: Any) -> int:
    if not isinstance(rate, int) or not 0 <= rate <= PPM:
        raise _wrong(f"`{name}` must be whole millionths up to {PPM}", rate)
    return rate


def _wrong(must: str, found: Any) -> InputInvalid:
    return InputInvalid(f"{must}, was {found!r}", detail="the margin policy", hint="schemas/margin.md has an example")
