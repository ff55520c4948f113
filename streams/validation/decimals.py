"""Decimal texts to ticks, lots and units: whole numbers alone, no fraction, no float.

A step (of price, of quantity, of an asset) is numerator / denominator of 1.0. A text of k decimals is digits / 10^k, so

    steps = digits × denominator / (numerator × 10^k)

The two factors are reduced and kept for each k; what is left of the division must be 0. For a step that is a power of
ten, as most are, the divisor is 1 as long as the text has no more decimals than the step.
"""

from __future__ import annotations

import math
from typing import Final

CHARACTERS_MAX: Final = 40
_REMEMBERED_MAX: Final = 4096  # texts of one scale; prices and quantities come again and again


class Scale:
    """What one step is worth, ready to count steps in a text."""

    __slots__ = ("_factors", "_remembered")

    def __init__(self, numerator: int, denominator: int) -> None:
        factors = []
        for decimals in range(CHARACTERS_MAX):
            divisor = numerator * 10**decimals
            common = math.gcd(denominator, divisor)
            factors.append((denominator // common, divisor // common))
        self._factors = factors
        self._remembered: dict[str, int] = {}

    @classmethod
    def of_price(cls, base_decimals: int, quote_decimals: int, base_units: int, quote_units: int) -> Scale:
        """Ticks; arguments as of ironbook.Units."""
        return cls(quote_units * 10**base_decimals, base_units * 10**quote_decimals)

    @classmethod
    def of_quantity(cls, base_decimals: int, base_units: int) -> Scale:
        """Lots."""
        return cls(base_units, 10**base_decimals)

    @classmethod
    def of_amount(cls, decimals: int) -> Scale:
        """Units of an asset."""
        return cls(1, 10**decimals)

    def steps(self, text: str) -> int | None:
        """How many steps the text says: digits with at most one point between them. None if it says no whole number."""
        found = self._remembered.get(text)
        if found is None:
            found = self._counted(text)
            if found is not None:
                if len(self._remembered) >= _REMEMBERED_MAX:
                    self._remembered.clear()
                self._remembered[text] = found
        return found

    def _counted(self, text: str) -> int | None:
        if len(text) > CHARACTERS_MAX or not text.isascii():
            return None
        whole, point, part = text.partition(".")
        digits = whole + part
        if not digits.isdecimal() or not whole or (point and not part):
            return None
        multiplier, divisor = self._factors[len(part)]
        steps = int(digits) * multiplier
        if divisor == 1:
            return steps
        steps, rest = divmod(steps, divisor)
        return None if rest else steps
