"""Instruments and assets as clients write them: exact texts of prices and quantities, both ways, without a float.

    1 tick = price_step / 10^price_decimals of the quote asset      1 lot = lot_step / 10^quantity_decimals of the base

so a text is one multiplication and a point put in. Every text of an instrument's price has the same number of digits
behind the point; none has an exponent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Final, TypeVar

from gateway.errors import FILTER, ILLEGAL, PRECISION, ApiError, Problem
from ironbook._decimals import Units
from schemas.vocabulary import PRICE_TICKS_MAX, QUANTITY_LOTS_MAX, UNITS_MAX

__all__ = ["DECIMAL_PATTERN", "Asset", "Instrument", "client_number", "client_text", "decimal_text"]

DECIMAL_PATTERN: Final = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
From = TypeVar("From")
To = TypeVar("To")
Told = Mapping[str, int | str]  # what a core says of something

NUMBER_MAX: Final = (1 << 64) - 1
HASHED: Final = 1 << 63  # set in every client order id that was made from a text
TEXTS_KEPT: Final = 1 << 16
ROUNDED_STEP_MIN: Final = 1000  # a tick that must be rounded is so many of the last digit at least
_DECIMAL: Final = re.compile(DECIMAL_PATTERN)


def decimal_text(value: int, decimals: int) -> str:
    """value / 10^decimals with exactly so many digits: decimal_text(-1205, 2) is "-12.05"."""
    if decimals == 0:
        return str(value)
    digits = f"{abs(value):0{decimals + 1}d}"
    return f"{'-' if value < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"


def client_number(text: str) -> int:
    """The engine's client_order_id of a client's text: the number that it writes, else one made from its hash."""
    if text.isascii() and text.isdecimal() and (text == "0" or text[0] != "0") and int(text) <= NUMBER_MAX:
        return int(text)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") | HASHED


def client_text(number: int, prefix: bytes) -> str:
    """What a client calls an order: its text prefix (36 bytes, zero-padded), else its number, else nothing."""
    if prefix:
        text = prefix.split(b"\0", 1)[0].decode("ascii", "replace")
        if text:
            return text
    return str(number) if number else ""


def _decimals_of(step: Fraction) -> int | None:
    """How many digits behind the point a multiple of step has; None: no number of them is enough."""
    rest, twos, fives = step.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


class Asset:
    """What is held: name, and how many digits its amounts have."""

    __slots__ = ("decimals", "name", "number")

    def __init__(self, number: int, name: str, decimals: int) -> None:
        self.number, self.name, self.decimals = number, name, decimals

    def text(self, units: int) -> str:
        """An amount of it."""
        return decimal_text(units, self.decimals)

    def units(self, text: str, what: str = "quantity") -> int:
        """Units of an amount above zero. Raises ApiError."""
        digits, places = _read(text, what)
        return _whole(digits, places, self.decimals, 1, self.decimals, UNITS_MAX, what, "NOTIONAL")


class Instrument:
    """One symbol, by what never changes; state, fees and limits are asked of the replica's core.

    symbol  as the engine names it, such as BTC/USD; name: as the dialect does, BTCUSD
    exact   False: one tick (such as 7/3) has no decimal text that ends. Then texts are rounded, to so many digits that
            each tick has one of its own, and only that text is read as the tick.
    """

    __slots__ = (
        "_lots", "_prices", "_quantities", "_tick", "_ticks", "base", "base_units_per_lot", "exact", "lot_step",
        "name", "number", "price_decimals", "price_step", "quantity_decimals", "quote", "quote_units_per_tick_lot",
        "symbol",
    )  # fmt: skip

    def __init__(self, core: Told, base: Asset, quote: Asset, units: Units) -> None:
        price_decimals, quantity_decimals = _decimals_of(units.tick), _decimals_of(units.lot) or 0
        self.exact = price_decimals is not None
        if price_decimals is None:
            price_decimals = quote.decimals
            while units.tick * 10**price_decimals < ROUNDED_STEP_MIN:
                price_decimals += 1
        self.number, self.symbol = int(core["instrument"]), str(core["name"])
        self.name = self.symbol.replace("/", "")
        self.base, self.quote = base, quote
        self.base_units_per_lot = units.base_units_per_lot
        self.quote_units_per_tick_lot = units.quote_units_per_tick_lot
        self.price_decimals, self.quantity_decimals = price_decimals, quantity_decimals
        self.price_step = round(units.tick * 10**price_decimals)
        self._tick = units.tick
        self.lot_step = int(units.lot * 10**quantity_decimals)
        self._prices: dict[int, str] = {}
        self._quantities: dict[int, str] = {}
        self._ticks: dict[str, int] = {}
        self._lots: dict[str, int] = {}

    @classmethod
    def of(cls, core: Told, base: Told, quote: Told) -> Instrument:
        """From what a core says of it and its assets."""
        assets = [Asset(int(one["asset"]), str(one["name"]), int(one["decimals"])) for one in (base, quote)]
        return cls(core, assets[0], assets[1], Units.of(core, base, quote))

    def same(self, core: Told, base: Told, quote: Told) -> bool:
        """Is it still this? In one journal only names can change."""
        names = (self.symbol, self.base.name, self.quote.name) == (core["name"], base["name"], quote["name"])
        lots = (self.base_units_per_lot, self.quote_units_per_tick_lot)
        digits = (self.base.decimals, self.quote.decimals) == (base["decimals"], quote["decimals"])
        return names and digits and lots == (core["base_units_per_lot"], core["quote_units_per_tick_lot"])

    # ---- Texts -------------------------------------------------------------------------------------------------------

    def price_text(self, ticks: int) -> str:
        """A price, always with price_decimals digits."""
        text = self._prices.get(ticks)
        if text is None:
            value = ticks * self.price_step if self.exact else round(ticks * self._tick * 10**self.price_decimals)
            text = _remember(self._prices, ticks, decimal_text(value, self.price_decimals))
        return text

    def quantity_text(self, lots: int) -> str:
        """A quantity, always with quantity_decimals digits."""
        text = self._quantities.get(lots)
        if text is None:
            text = _remember(self._quantities, lots, decimal_text(lots * self.lot_step, self.quantity_decimals))
        return text

    def amount_text(self, units: int) -> str:
        """An amount of the quote asset."""
        return decimal_text(units, self.quote.decimals)

    def base_text(self, units: int) -> str:
        """An amount of the base asset."""
        return decimal_text(units, self.base.decimals)

    def average_text(self, notional_units: int, quantity_lots: int) -> str:
        """The average price of so much for so much, rounded to the digits of a price (at least the quote's)."""
        decimals = max(self.price_decimals, self.quote.decimals)
        if quantity_lots == 0:
            return decimal_text(0, decimals)
        above = abs(notional_units) * 10 ** (decimals + self.base.decimals)
        below = quantity_lots * self.base_units_per_lot * 10**self.quote.decimals
        rounded = (2 * above + below) // (2 * below)
        return decimal_text(-rounded if notional_units < 0 else rounded, decimals)

    # ---- Numbers -----------------------------------------------------------------------------------------------------

    def price_ticks(self, text: str, what: str = "price") -> int:
        """Ticks of a price above zero. Raises ApiError."""
        known = self._ticks.get(text)
        if known is not None:
            return known
        digits, places = _read(text, what)
        decimals, most = self.price_decimals, max(self.price_decimals, self.quote.decimals)
        if not self.exact and places <= decimals:
            ticks = round(Fraction(digits, 10**places) / self._tick)
            if 1 <= ticks <= PRICE_TICKS_MAX and _read(self.price_text(ticks), what) == (digits, places):
                return _remember(self._ticks, text, ticks)
            raise _refuse(FILTER, "Filter failure: PRICE_FILTER", what, text)
        found = _whole(digits, places, decimals, self.price_step, most, PRICE_TICKS_MAX, what, "PRICE_FILTER")
        return _remember(self._ticks, text, found)

    def quantity_lots(self, text: str, what: str = "quantity") -> int:
        """Lots of a quantity above zero. Raises ApiError."""
        known = self._lots.get(text)
        if known is not None:
            return known
        digits, places = _read(text, what)
        most = max(self.quantity_decimals, self.base.decimals)
        found = _whole(digits, places, self.quantity_decimals, self.lot_step, most, QUANTITY_LOTS_MAX, what, "LOT_SIZE")
        return _remember(self._lots, text, found)

    def amount_units(self, text: str, what: str = "quoteOrderQty") -> int:
        """Units of the quote asset of an amount above zero. Raises ApiError."""
        return self.quote.units(text, what)

    def notional_units(self, price_ticks: int, lots: int) -> int:
        """What so many lots cost at that price, in units of the quote asset."""
        return price_ticks * lots * self.quote_units_per_tick_lot

    def base_units(self, lots: int) -> int:
        """So many lots in units of the base asset."""
        return lots * self.base_units_per_lot


def _remember(known: dict[From, To], name: From, value: To) -> To:
    """Keep it, in a table that begins anew when it is full."""
    if len(known) >= TEXTS_KEPT:
        known.clear()
    known[name] = value
    return value


def _refuse(problem: Problem, text: str, what: str, found: str, must: str = "must be above 0") -> ApiError:
    rule = f"{what} {must}, was {found[:60]!r}"
    return ApiError(problem, text, detail=rule, hint="exchangeInfo and /api/v1/instruments tell the steps")


def _read(text: str, what: str) -> tuple[int, int]:
    """The digits of a decimal as one number, and how many of them stand behind the point, without zeros at the end."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        must = f"Illegal characters found in parameter '{what}'; legal range is '{DECIMAL_PATTERN}'."
        raise _refuse(ILLEGAL, must, what, text)
    part = (match[2] or ".")[1:].rstrip("0")
    return int(match[1] + part), len(part)


def _whole(digits: int, places: int, decimals: int, step: int, most: int, largest: int, what: str, filter_: str) -> int:
    """digits / 10^places as a whole number of steps of step / 10^decimals, from 1 to largest."""
    if places > most:
        text = f"Parameter '{what}' has too much precision."
        raise _refuse(PRECISION, text, what, decimal_text(digits, places), f"must have at most {most} decimals")
    steps, rest = divmod(digits * 10 ** (decimals - places), step) if places <= decimals else (0, 1)
    if rest or not 1 <= steps <= largest:
        least, greatest = decimal_text(step, decimals), decimal_text(step * largest, decimals)
        must = f"must be a multiple of {least}, from that to {greatest}"
        raise _refuse(FILTER, f"Filter failure: {filter_}", what, decimal_text(digits, places), must)
    return steps
