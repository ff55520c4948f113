"""Decimal texts and whole numbers: exact both ways, or refused. No float ever.

The core counts in ticks, lots and units; people write 101.25 and 0.5. One tick is the price step, one lot the
quantity step of an instrument:

    1.0 of an asset = 10^decimals units
    1 lot           = base_units_per_lot units of the base asset
    1 tick          = what a lot costs at one tick / what a lot is, both in whole assets
                    = quote_units_per_tick_lot × 10^base_decimals / (base_units_per_lot × 10^quote_decimals)
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from fractions import Fraction

from ironbook._errors import DecimalInvalid

DIGITS_MAX = 40
_DECIMAL = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?")


def parse_decimal(text: str, what: str = "a number") -> Fraction:
    """Read a decimal like -12.50 exactly. Raises DecimalInvalid."""
    match = _DECIMAL.fullmatch(text.strip())
    if match is None or len(text.strip()) > DIGITS_MAX:
        raise DecimalInvalid(
            f"{what} must be digits with at most one point (no exponent, no separators), was {text[:60]!r}",
            hint="for example 101.25",
        )
    sign, whole, part = match[1], match[2], match[3] or ""
    value = Fraction(int(whole + part), 10 ** len(part))
    return -value if sign == "-" else value


def format_decimal(value: Fraction) -> str:
    """The shortest decimal text of a value. Raises DecimalInvalid if it has no end (1/3)."""
    denominator, places = value.denominator, 0
    while denominator % 10 == 0:
        denominator //= 10
        places += 1
    for factor in (2, 5):
        while denominator % factor == 0:
            denominator //= factor
            places += 1
    if denominator != 1:
        raise DecimalInvalid(
            f"{value} must have a decimal text that ends, and has none",
            hint="show ticks instead, or define the instrument with units that are powers of ten",
        )
    scaled = abs(value.numerator) * 10**places // value.denominator
    digits = str(scaled).rjust(places + 1, "0")
    whole, part = (digits[:-places], digits[-places:].rstrip("0")) if places else (digits, "")
    return ("-" if value < 0 else "") + whole + (f".{part}" if part else "")


def amount_units(text: str, decimals: int) -> int:
    """Units of an amount: "1.5" with 8 decimals is 150000000. Raises DecimalInvalid if it does not divide."""
    units = parse_decimal(text, "an amount") * 10**decimals
    return _whole(units, f"an amount must have at most {decimals} decimals", text, Fraction(1, 10**decimals))


def amount_text(units: int, decimals: int) -> str:
    """The amount as people write it."""
    return format_decimal(Fraction(units, 10**decimals))


def _whole(steps: Fraction, must: str, text: str, step: Fraction) -> int:
    if steps.denominator != 1:
        low = steps.numerator // steps.denominator
        try:
            near = f"it lies between {format_decimal(low * step)} and {format_decimal((low + 1) * step)}"
        except DecimalInvalid:
            near = "it lies between two of them"
        raise DecimalInvalid(f"{must}, was {text.strip()!r}", detail=near, hint="give one of these")
    return steps.numerator


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """What ticks and lots of one instrument are worth.

    >>> units = Units(base_decimals=8, quote_decimals=2, base_units_per_lot=1_000_000, quote_units_per_tick_lot=1)
    >>> units.price_ticks("101"), units.quantity_lots("0.5"), units.price_text(250), units.quantity_text(7)
    (101, 50, '250', '0.07')
    """

    base_decimals: int
    quote_decimals: int
    base_units_per_lot: int
    quote_units_per_tick_lot: int

    @classmethod
    def of(
        cls,
        instrument: Mapping[str, int | str],
        base: Mapping[str, int | str],
        quote: Mapping[str, int | str],
    ) -> Units:
        """From what a replica says about an instrument and its two assets."""
        return cls(
            base_decimals=int(base["decimals"]),
            quote_decimals=int(quote["decimals"]),
            base_units_per_lot=int(instrument["base_units_per_lot"]),
            quote_units_per_tick_lot=int(instrument["quote_units_per_tick_lot"]),
        )

    @property
    def tick(self) -> Fraction:
        """The price of one tick: quote asset for 1.0 of the base asset."""
        return Fraction(
            self.quote_units_per_tick_lot * 10**self.base_decimals, self.base_units_per_lot * 10**self.quote_decimals
        )

    @property
    def lot(self) -> Fraction:
        """The quantity of one lot, in base asset."""
        return Fraction(self.base_units_per_lot, 10**self.base_decimals)

    def price_ticks(self, text: str) -> int:
        """Ticks of a price. Raises DecimalInvalid if it is not a whole number of them."""
        must = f"a price must be whole ticks of {self.tick_text}"
        return _whole(parse_decimal(text, "a price") / self.tick, must, text, self.tick)

    def quantity_lots(self, text: str) -> int:
        """Lots of a quantity. Raises DecimalInvalid if it is not a whole number of them."""
        must = f"a quantity must be whole lots of {format_decimal(self.lot)}"
        return _whole(parse_decimal(text, "a quantity") / self.lot, must, text, self.lot)

    def price_text(self, ticks: int) -> str:
        """The price as people write it."""
        return format_decimal(self.tick * ticks)

    def quantity_text(self, lots: int) -> str:
        """The quantity as people write it."""
        return format_decimal(self.lot * lots)

    @property
    def tick_text(self) -> str:
        """The price of one tick as people write it; as a fraction if it has no decimal text."""
        try:
            return format_decimal(self.tick)
        except DecimalInvalid:
            return str(self.tick)
