"""exchangeInfo: what the engine checks of an order, told as the dialect's filters.

Everything is asked of the replica's core at the time of the call, so it changes as soon as an administrator changes
it. Steps are told in as few digits as they have: some clients count the digits of "0.01" and not its value.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

import msgspec

from engine_node._engine import Core
from gateway import errors
from gateway.binance import texts
from gateway.binance.models import ExchangeInfo, ExchangeInfoQuery, NoSymbols, RateLimit, SymbolInfo
from gateway.errors import ApiError
from gateway.routing import Call
from gateway.settings import GatewaySettings
from gateway.symbols import Instrument, decimal_text
from schemas.vocabulary import ICEBERG_PARTS_MAX, PRICE_TICKS_MAX, QUANTITY_LOTS_MAX, UNITS_MAX

if TYPE_CHECKING:
    from gateway.context import Gateway

__all__ = ["chosen", "exchange_info", "filters", "no_symbols", "rate_limits"]

UNBOUNDED: Final = "1000000"  # a multiplier where the engine has no bound on that side
TRAILING_DELTA_MAX: Final = 10_000
SYMBOLS_MAX: Final = 1_000
MADE_OF: Final = ("trading_state", "collar_ppm", "quantity_lots_min", "quantity_lots_max", "notional_units_min")

Filter = dict[str, str | int | bool]


def exchange_info(call: Call) -> ExchangeInfo:
    """GET /api/v3/exchangeInfo."""
    gateway: Gateway = call.gateway
    asked: ExchangeInfoQuery = call.parameters
    found = chosen(gateway, asked.symbol, asked.symbols)
    wanted = asked.permissions is None or "SPOT" in asked.permissions
    made = gateway.shared.setdefault(Symbols, Symbols())
    symbols = [made.told(gateway.mirror.core, instrument) for instrument in found] if wanted else []
    shown = [text for status, text in symbols if asked.symbolStatus in (None, status)]
    now_ms = gateway.now_ns() // 1_000_000
    return ExchangeInfo("UTC", now_ms, rate_limits(gateway.settings), [], cast(list[SymbolInfo], shown))


class Symbols:
    """Symbols as they were last told, ready as JSON: with a thousand of them, making all anew takes too long."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[tuple[object, ...], str, msgspec.Raw]] = {}

    def told(self, core: Core, instrument: Instrument) -> tuple[str, msgspec.Raw]:
        """Status and JSON of a symbol, made anew if anything that they are made of has changed."""
        number = instrument.number
        info = core.instrument(number) or {}
        rows = core.price_steps(number)
        at = info.get("reference_price_ticks") if rows else 0
        key = (core.everything_halted(), rows, at, *(info.get(name) for name in MADE_OF))
        known = self._made.get(number)
        if known is None or known[0] != key:
            symbol = symbol_info(core, instrument)
            known = self._made[number] = (key, symbol.status, msgspec.Raw(msgspec.json.encode(symbol)))
        return known[1], known[2]


def chosen(gateway: Gateway, symbol: str | None, symbols: str | None) -> list[Instrument]:
    """One symbol, those of a JSON array, or all, by number. Raises ApiError."""
    mirror = gateway.mirror
    if symbol is not None and symbols is not None:
        raise ApiError(errors.COMBINATION, hint="send symbol or symbols, not both")
    if symbol is None and symbols is None:
        return [mirror.instruments[number] for number in sorted(mirror.instruments)]
    names = [symbol] if symbol is not None else read_symbols(symbols or "")
    found = [mirror.by_name.get(name or "") for name in names]
    if None in found:
        raise ApiError(errors.SYMBOL, hint="exchangeInfo lists the symbols")
    return [one for one in found if one is not None]


def read_symbols(text: str) -> list[str]:
    """The names of a JSON array. Raises ApiError."""
    try:
        names = msgspec.json.decode(text, type=list[str])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        raise ApiError(
            errors.ILLEGAL,
            'Illegal characters found in parameter \'symbols\'; it must be a JSON array such as ["BTCUSD","ETHUSD"].',
        ) from None
    if not 1 <= len(names) <= SYMBOLS_MAX or len(set(names)) != len(names):
        raise ApiError(errors.COMBINATION, hint="symbols must name at least one symbol, and each once")
    return names


def rate_limits(settings: GatewaySettings) -> list[RateLimit]:
    """Of an address, and of an account's new orders."""
    return [
        RateLimit("REQUEST_WEIGHT", "MINUTE", 1, settings.weight_per_minute),
        RateLimit("ORDERS", "SECOND", 10, settings.orders_per_10s),
        RateLimit("ORDERS", "DAY", 1, settings.orders_per_day),
    ]


def symbol_info(core: Core, instrument: Instrument) -> SymbolInfo:
    """One symbol."""
    info = core.instrument(instrument.number) or {}
    state = "HALT" if core.everything_halted() else texts.state_text(int(info.get("trading_state", 0)))
    return SymbolInfo(
        symbol=instrument.name,
        status=state,
        baseAsset=instrument.base.name,
        baseAssetPrecision=instrument.base.decimals,
        quoteAsset=instrument.quote.name,
        quotePrecision=instrument.quote.decimals,
        quoteAssetPrecision=instrument.quote.decimals,
        baseCommissionPrecision=instrument.base.decimals,
        quoteCommissionPrecision=instrument.quote.decimals,
        orderTypes=texts.ORDER_TYPES,
        filters=filters(core, instrument),
        allowedSelfTradePreventionModes=tuple(texts.PREVENTIONS),
    )


def filters(core: Core, instrument: Instrument) -> list[Filter]:
    """What the engine checks, as filters."""
    info = core.instrument(instrument.number) or {}
    tick, lot = _steps(core.price_steps(instrument.number), int(info.get("reference_price_ticks", 0)))
    least = max(lot, -(-int(info.get("quantity_lots_min", 0)) // lot) * lot)
    most = int(info.get("quantity_lots_max", 0)) or QUANTITY_LOTS_MAX
    lots: Filter = {
        "minQty": _quantity(instrument, least),
        "maxQty": _quantity(instrument, most // lot * lot),
        "stepSize": _quantity(instrument, lot),
    }
    found: list[Filter] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": _price(instrument, tick),
            "maxPrice": _price(instrument, PRICE_TICKS_MAX // tick * tick),
            "tickSize": _price(instrument, tick),
        },
        {"filterType": "LOT_SIZE", **lots},
        {"filterType": "MARKET_LOT_SIZE", **lots},
        {"filterType": "ICEBERG_PARTS", "limit": ICEBERG_PARTS_MAX},
        {
            "filterType": "NOTIONAL",
            "minNotional": _short(instrument.amount_text(int(info.get("notional_units_min", 0)))),
            "applyMinToMarket": True,
            "maxNotional": _short(instrument.amount_text(UNITS_MAX)),
            "applyMaxToMarket": True,
            "avgPriceMins": 0,
        },
    ]
    if collar_ppm := int(info.get("collar_ppm", 0)):
        found.append(_collar(collar_ppm))
    found.append(
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": 1,
            "maxTrailingAboveDelta": TRAILING_DELTA_MAX,
            "minTrailingBelowDelta": 1,
            "maxTrailingBelowDelta": TRAILING_DELTA_MAX,
        }
    )
    return found


def _collar(collar_ppm: int) -> Filter:
    """A buy must not be above, a sell not below the bound around the last price; the other side is free."""
    return {
        "filterType": "PERCENT_PRICE_BY_SIDE",
        "bidMultiplierUp": _short(decimal_text(1_000_000 + collar_ppm, 6)),
        "bidMultiplierDown": "0",
        "askMultiplierUp": UNBOUNDED,
        "askMultiplierDown": _short(decimal_text(1_000_000 - collar_ppm, 6)),
        "avgPriceMins": 0,
    }


def _steps(rows: Sequence[tuple[int, int, int]], reference_ticks: int) -> tuple[int, int]:
    """Multiples of tick and lot that rule at the last price; without one, at the lowest."""
    if not rows:
        return 1, 1
    at = bisect.bisect_right([row[0] for row in rows], reference_ticks) - 1
    _from, tick, lot = rows[max(at, 0)]
    return tick, lot


def _price(instrument: Instrument, ticks: int) -> str:
    return _short(instrument.price_text(ticks))


def _quantity(instrument: Instrument, lots: int) -> str:
    return _short(instrument.quantity_text(lots))


def _short(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def no_symbols(call: Call) -> NoSymbols:
    """exchangeInfo of futures: there are none."""
    return NoSymbols("UTC", call.gateway.now_ns() // 1_000_000)
