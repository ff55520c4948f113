"""What /api/v1 says of an order, a fill, a balance, an instrument: exact texts of what the mirror holds."""

from __future__ import annotations

import enum
from fractions import Fraction
from typing import Any, Final

from engine_node._engine import Core
from gateway import errors
from gateway.context import Gateway
from gateway.errors import ApiError
from gateway.market import Fill, Order
from gateway.routing import Call
from gateway.symbols import Asset, Instrument, decimal_text
from gateway.v1.models import Balance, Breaker, Execution, InstrumentInfo, OrderInfo, PriceStep
from schemas.vocabulary import Code, OrderType, SelfTradePrevention, Side, TimeInForce, TradingState, Trigger

__all__ = [
    "account_of", "balance", "breaker", "execution", "instrument_info", "instruments", "last_price_ticks", "order_info",
    "ratio_text", "rounded", "whole",
]  # fmt: skip


def _names(kind: type[enum.IntEnum]) -> dict[int, Any]:
    return {int(member): member.name.lower() for member in kind}


SIDES: Final = _names(Side)
KINDS: Final = _names(OrderType)
TIMES_IN_FORCE: Final = _names(TimeInForce)
PREVENTIONS: Final = _names(SelfTradePrevention)
TRIGGERS: Final = _names(Trigger) | {0: None}
STATES: Final = _names(TradingState)
CODES: Final = _names(Code)
DIGITS_MAX: Final = 20
BREAKER_NAMES: Final = ("band", "level1", "level2", "level3")


def account_of(call: Call) -> int:
    """The caller's account. Raises ApiError: a key of an operator may have none."""
    if call.caller is None or call.caller.account == 0:
        raise ApiError(errors.UNAUTHORIZED, "The key must belong to an account, it belongs to none.")
    return call.caller.account


def whole(text: str, what: str, least: int, most: int) -> int:
    """A whole number of a path. Raises ApiError."""
    if text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX and least <= int(text) <= most:
        return int(text)
    must = f"{what} must be a whole number from {least} to {most}."
    raise ApiError(errors.PARAMETER, must, detail=f"was {text[:40]!r}")


def instruments(gateway: Gateway) -> list[Instrument]:
    """By rising number."""
    return [gateway.mirror.instruments[number] for number in sorted(gateway.mirror.instruments)]


def rounded(value: Fraction) -> int:
    """To the nearest whole number, halves away from zero, as PostgreSQL rounds."""
    magnitude = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return magnitude if value >= 0 else -magnitude


def ratio_text(numerator: int, denominator: int, decimals: int) -> str | None:
    """A quotient with so many digits, rounded; None: nothing divides."""
    return decimal_text(rounded(Fraction(numerator, denominator) * 10**decimals), decimals) if denominator else None


def average_price(instrument: Instrument, units: int, lots: int) -> str | None:
    """What a lot cost on average, with the digits of a price."""
    above = units * 10**instrument.base.decimals
    below = lots * instrument.base_units_per_lot * 10**instrument.quote.decimals
    return ratio_text(above, below, instrument.price_decimals)


def last_price_ticks(gateway: Gateway, instrument: Instrument) -> int:
    """Of the last trade; before the first one that is known here, the reference price; 0: there is none."""
    trade = gateway.market.last_trade(instrument.number)
    if trade is not None:
        return trade.price_ticks
    told = gateway.mirror.core.instrument(instrument.number)
    return int(told["reference_price_ticks"]) if told is not None else 0


def _price(instrument: Instrument, ticks: int) -> str | None:
    return instrument.price_text(ticks) if ticks else None


def _quantity(instrument: Instrument, lots: int) -> str | None:
    return instrument.quantity_text(lots) if lots else None


def order_info(instrument: Instrument, order: Order) -> OrderInfo:
    """An order as it stands now."""
    return OrderInfo(
        order_id=order.order_id,
        client_order_id=order.client_text,
        symbol=instrument.symbol,
        side=SIDES[order.side],
        type=KINDS[order.order_type],
        time_in_force=TIMES_IN_FORCE[order.time_in_force],
        post_only=order.post_only,
        price=_price(instrument, order.price_ticks),
        quantity=instrument.quantity_text(order.quantity_lots),
        filled=instrument.quantity_text(order.filled_lots),
        remaining=instrument.quantity_text(order.remaining_lots),
        average_price=average_price(instrument, order.notional_units, order.filled_lots),
        notional=instrument.amount_text(order.notional_units),
        fees=instrument.amount_text(order.fee_units),
        status=order.status.value,
        code=CODES[order.code],
        self_trade_prevention=PREVENTIONS.get(order.self_trade_prevention),
        trigger=TRIGGERS[order.trigger],
        trigger_price=_price(instrument, order.trigger_price_ticks),
        display_quantity=_quantity(instrument, order.display_lots),
        linked_order_id=order.linked_order_id or None,
        expire_ns=order.expire_ns or None,
        entered_ns=order.entered_ns,
        updated_ns=order.updated_ns,
    )


def execution(instrument: Instrument, fill: Fill) -> Execution:
    """One side of a trade."""
    return Execution(
        trade_id=fill.trade_id,
        order_id=fill.order_id,
        symbol=instrument.symbol,
        side=SIDES[fill.side],
        maker=fill.maker,
        price=instrument.price_text(fill.price_ticks),
        quantity=instrument.quantity_text(fill.quantity_lots),
        notional=instrument.amount_text(fill.notional_units),
        fee=instrument.amount_text(fill.fee_units),
        fee_asset=instrument.quote.name,
        received_ns=fill.received_ns,
        sequence=fill.sequence,
        n=fill.n,
    )


def balance(asset: Asset, free_units: int, locked_units: int) -> Balance:
    """What an account has of an asset."""
    free, locked, total = (asset.text(units) for units in (free_units, locked_units, free_units + locked_units))
    return Balance(asset=asset.name, free=free, locked=locked, total=total)


def breaker(instrument: Instrument, told: dict[str, Any]) -> Breaker:
    """The circuit breaker, from what the core says of the instrument."""
    bounds = {f"{name}_{unit}": told[f"{name}_{unit}"] for name in BREAKER_NAMES for unit in ("ppm", "ms")}
    return Breaker(**bounds, static_price=_price(instrument, told["static_price_ticks"]))


def instrument_info(core: Core, instrument: Instrument) -> InstrumentInfo:
    """An instrument as it stands now."""
    told: Any = core.instrument(instrument.number)
    most, least = told["quantity_lots_max"], told["notional_units_min"]
    return InstrumentInfo(
        symbol=instrument.symbol,
        name=instrument.name,
        number=instrument.number,
        base=instrument.base.name,
        quote=instrument.quote.name,
        tick_size=instrument.price_text(1),
        lot_size=instrument.quantity_text(1),
        price_decimals=instrument.price_decimals,
        quantity_decimals=instrument.quantity_decimals,
        base_decimals=instrument.base.decimals,
        quote_decimals=instrument.quote.decimals,
        maker_fee_ppm=told["maker_fee_ppm"],
        taker_fee_ppm=told["taker_fee_ppm"],
        state=STATES[told["trading_state"]],
        auction_ends_ns=told["auction_ends_ns"] or None,
        reference_price=_price(instrument, told["reference_price_ticks"]),
        min_quantity=_quantity(instrument, told["quantity_lots_min"]),
        max_quantity=_quantity(instrument, most),
        min_notional=instrument.amount_text(least) if least else None,
        collar_ppm=told["collar_ppm"],
        breaker=breaker(instrument, told),
        price_steps=[
            PriceStep(
                from_price=instrument.price_text(start),
                tick_size=instrument.price_text(tick),
                lot_size=instrument.quantity_text(lot),
            )
            for start, tick, lot in core.price_steps(instrument.number)
        ],
    )
