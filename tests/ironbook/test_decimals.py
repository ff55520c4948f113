"""Decimal texts and whole numbers: exact both ways, or refused."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironbook import DecimalInvalid, Units, amount_text, amount_units, format_decimal, parse_decimal

BTC_USD = Units(base_decimals=8, quote_decimals=6, base_units_per_lot=10_000, quote_units_per_tick_lot=1)
THIRDS = Units(base_decimals=0, quote_decimals=0, base_units_per_lot=3, quote_units_per_tick_lot=1)


def test_prices_and_quantities_of_an_instrument() -> None:
    assert BTC_USD.tick_text == "0.01"
    assert BTC_USD.price_ticks("60010.25") == 6_001_025
    assert BTC_USD.quantity_lots("0.5") == 5_000
    assert BTC_USD.price_text(6_001_025) == "60010.25"
    assert BTC_USD.quantity_text(1) == "0.0001"
    assert (BTC_USD.price_text(0), BTC_USD.quantity_text(10_000)) == ("0", "1")


@pytest.mark.parametrize("text", ["60010.255", "0.001"])
def test_a_price_between_two_ticks_is_refused_and_both_are_named(text: str) -> None:
    with pytest.raises(DecimalInvalid) as caught:
        BTC_USD.price_ticks(text)
    low = BTC_USD.price_text(int(parse_decimal(text) / BTC_USD.tick))
    assert f"between {low} and" in caught.value.detail
    assert "0.01" in caught.value.message


@pytest.mark.parametrize("text", ["", "1e5", "1,000", "0x10", "--1", "1.", ".5", "NaN", "inf", "1 0", "١", "9" * 41])
def test_what_is_no_decimal_is_refused(text: str) -> None:
    with pytest.raises(DecimalInvalid):
        parse_decimal(text)


def test_amounts_have_no_more_decimals_than_their_asset() -> None:
    assert amount_units("1.5", 8) == 150_000_000
    assert amount_units("-0.01", 2) == -1
    assert amount_text(-1, 2) == "-0.01"
    assert amount_text(10**18, 18) == "1"
    with pytest.raises(DecimalInvalid):
        amount_units("0.001", 2)


def test_a_step_without_an_end_is_shown_as_a_fraction_and_its_multiples_exactly() -> None:
    assert THIRDS.tick_text == "1/3"
    assert THIRDS.price_text(6) == "2"
    with pytest.raises(DecimalInvalid):
        THIRDS.price_text(1)
    with pytest.raises(DecimalInvalid):
        THIRDS.price_ticks("0.5")


@given(st.integers(-(10**30), 10**30), st.integers(0, 18))
def test_a_decimal_text_reads_back_as_the_same_number(numerator: int, places: int) -> None:
    value = Fraction(numerator, 10**places)
    assert parse_decimal(format_decimal(value)[:60]) == value if len(format_decimal(value)) <= 40 else True


@given(st.integers(0, 2**48), st.integers(0, 18), st.integers(0, 18), st.integers(0, 6), st.integers(0, 6))
def test_ticks_and_lots_survive_being_written_and_read(ticks: int, base: int, quote: int, lot: int, step: int) -> None:
    units = Units(
        base_decimals=base, quote_decimals=quote, base_units_per_lot=10**lot, quote_units_per_tick_lot=10**step
    )
    price, quantity = units.price_text(ticks), units.quantity_text(ticks)
    if len(price) <= 40:
        assert units.price_ticks(price) == ticks
    if len(quantity) <= 40:
        assert units.quantity_lots(quantity) == ticks
