"""The quick converter against the exact one of fractions: the same number, or no number in both."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ironbook import DecimalInvalid, Units, amount_units
from streams.validation.decimals import CHARACTERS_MAX, Scale

UNITS = st.builds(
    Units, base_decimals=st.integers(0, 18), quote_decimals=st.integers(0, 18),
    base_units_per_lot=st.integers(1, 2**40) | st.integers(0, 12).map(lambda places: 10**places),
    quote_units_per_tick_lot=st.integers(1, 2**40) | st.integers(0, 12).map(lambda places: 10**places),
)  # fmt: skip
NUMBERS = st.from_regex(r"[0-9]{1,20}(\.[0-9]{1,19})?", fullmatch=True)
TEXTS = NUMBERS | st.text("0123456789.+-eE ٣", max_size=CHARACTERS_MAX + 2)


def exact(function: object, text: str) -> int | None:
    """What Units says; a text with a sign or blanks around it, which Units takes, is none here."""
    if text.startswith(("+", "-")) or text != text.strip():
        return None
    try:
        return function(text)  # type: ignore[operator,no-any-return]
    except DecimalInvalid:
        return None


@given(UNITS, TEXTS)
@settings(max_examples=150, deadline=None)
def test_prices_and_quantities_are_what_fractions_say(units: Units, text: str) -> None:
    ticks = Scale.of_price(
        units.base_decimals, units.quote_decimals, units.base_units_per_lot, units.quote_units_per_tick_lot
    )
    assert ticks.steps(text) == exact(units.price_ticks, text)
    lots = Scale.of_quantity(units.base_decimals, units.base_units_per_lot)
    assert lots.steps(text) == exact(units.quantity_lots, text)


@given(st.integers(0, 18), TEXTS)
@settings(max_examples=200, deadline=None)
def test_amounts_are_what_fractions_say(decimals: int, text: str) -> None:
    assert Scale.of_amount(decimals).steps(text) == exact(lambda found: amount_units(found, decimals), text)


@given(UNITS, st.integers(0, 2**48))
@settings(max_examples=200, deadline=None)
def test_what_units_write_is_read_back(units: Units, lots: int) -> None:
    scale = Scale.of_quantity(units.base_decimals, units.base_units_per_lot)
    text = units.quantity_text(lots)
    if len(text) <= CHARACTERS_MAX:
        assert scale.steps(text) == lots
