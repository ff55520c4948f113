"""Texts of prices and quantities, both ways."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import pytest

from gateway.errors import FILTER, ILLEGAL, PRECISION, ApiError, Problem
from gateway.symbols import Instrument, client_number, client_text, decimal_text


def made(base_decimals: int, quote_decimals: int, base_units_per_lot: int, quote_units: int) -> Instrument:
    return Instrument.of(
        {
            "instrument": 1, "name": "BTC/USD", "base_units_per_lot": base_units_per_lot,
            "quote_units_per_tick_lot": quote_units,
        },
        {"asset": 1, "name": "BTC", "decimals": base_decimals},
        {"asset": 2, "name": "USD", "decimals": quote_decimals},
    )  # fmt: skip


BTC = made(8, 6, 10_000, 1)  # tick 0.01, lot 0.0001


def test_a_price_always_has_the_same_digits_and_never_an_exponent() -> None:
    assert (BTC.symbol, BTC.name, BTC.price_decimals, BTC.quantity_decimals) == ("BTC/USD", "BTCUSD", 2, 4)
    assert [BTC.price_text(ticks) for ticks in (0, 1, 10, 6_000_000, 2**48 - 1)] == [
        "0.00", "0.01", "0.10", "60000.00", "2814749767106.55",
    ]  # fmt: skip
    assert BTC.quantity_text(1) == BTC.quantity_text(1) == "0.0001"
    assert BTC.quantity_text(2**48 - 1) == "28147497671.0655"
    assert (BTC.amount_text(-1_500_000), BTC.base_text(1)) == ("-1.500000", "0.00000001")


@pytest.mark.parametrize(
    "instrument",
    [BTC, made(0, 0, 1, 1), made(2, 2, 1, 25), made(8, 2, 10**8, 5), made(3, 0, 1000, 10), made(0, 18, 1, 1)],
)
def test_every_text_reads_back_as_the_same_number(instrument: Instrument) -> None:
    for number in (1, 2, 3, 9, 10, 11, 99, 12_345, 10**9 + 7, 2**48 - 1):
        price, quantity = instrument.price_text(number), instrument.quantity_text(number)
        assert instrument.price_ticks(price) == number
        assert instrument.quantity_lots(quantity) == number
        assert "e" not in price.lower()
        lots = Fraction(instrument.base_units_per_lot, 10**instrument.base.decimals) * number
        assert Fraction(quantity) == lots
        assert Fraction(price) * lots == Fraction(
            instrument.notional_units(number, number), 10**instrument.quote.decimals
        )


def test_zeros_at_the_end_say_nothing() -> None:
    assert BTC.price_ticks("60000.0100000000") == 6_000_001
    assert BTC.price_ticks("00060000") == 6_000_000
    assert BTC.quantity_lots("1.00000000") == 10_000
    assert BTC.amount_units("100.50") == 100_500_000


@pytest.mark.parametrize(
    ("read", "text", "problem", "says"),
    [
        ("price_ticks", "0.001", FILTER, "Filter failure: PRICE_FILTER"),
        ("price_ticks", "0", FILTER, "Filter failure: PRICE_FILTER"),
        ("price_ticks", "2814749767106.56", FILTER, "Filter failure: PRICE_FILTER"),
        ("price_ticks", "1.0000001", PRECISION, "Parameter 'price' has too much precision."),
        ("quantity_lots", "0.00001", FILTER, "Filter failure: LOT_SIZE"),
        ("quantity_lots", "0.0", FILTER, "Filter failure: LOT_SIZE"),
        ("quantity_lots", "0.000000001", PRECISION, "Parameter 'quantity' has too much precision."),
        ("amount_units", "0", FILTER, "Filter failure: NOTIONAL"),
        ("amount_units", "1.0000001", PRECISION, "Parameter 'quoteOrderQty' has too much precision."),
        *(
            ("price_ticks", text, ILLEGAL, "Illegal characters found in parameter 'price'")
            for text in ("", "-1", "+1", "1e3", "1.", ".5", "1,5", " 1", "1 ", "0x10", "NaN", "١", "1" * 21, "1\n")
        ),
    ],
)
def test_a_text_that_does_not_fit_is_refused_and_named(read: str, text: str, problem: Problem, says: str) -> None:
    with pytest.raises(ApiError) as refused:
        getattr(BTC, read)(text)
    assert refused.value.problem is problem
    assert refused.value.text.startswith(says)


def test_steps_that_are_no_power_of_ten_hold() -> None:
    quarter = made(2, 2, 100, 25)  # ticks of 0.25
    assert (quarter.price_decimals, quarter.price_text(3)) == (2, "0.75")
    with pytest.raises(ApiError, match="PRICE_FILTER"):
        quarter.price_ticks("0.30")


@pytest.mark.parametrize("instrument", [made(0, 0, 3, 1), made(2, 2, 3, 7), made(0, 6, 7, 1)])
def test_ticks_without_a_decimal_text_that_ends_have_rounded_ones_of_their_own(instrument: Instrument) -> None:
    assert not instrument.exact
    texts = {instrument.price_text(ticks): ticks for ticks in (*range(1, 2000), 10**9, 2**48 - 1)}
    assert len(texts) == 2001
    for text, ticks in texts.items():
        assert instrument.price_ticks(text) == ticks
        assert abs(Fraction(text) - instrument._tick * ticks) <= Fraction(1, 10**instrument.price_decimals)
    for text in ("0", instrument.price_text(8)[:-1], instrument.price_text(8)[:-1] + "0"):
        with pytest.raises(ApiError, match="PRICE_FILTER"):
            instrument.price_ticks(text)


def test_an_average_price_is_rounded_to_the_digits_of_the_price_or_the_quote_asset() -> None:
    assert BTC.average_text(BTC.notional_units(6_000_000, 3) + BTC.notional_units(6_000_001, 1), 4) == "60000.002500"
    assert BTC.average_text(-2_000_000, 3) == "-6666.666667"
    assert BTC.average_text(0, 0) == "0.000000"


def test_a_clients_text_has_one_number_and_numbers_have_their_own() -> None:
    hashed = int.from_bytes(hashlib.sha256(b"my-order").digest()[:8], "big") | 1 << 63
    assert client_number("my-order") == hashed
    assert [client_number(text) for text in ("0", "1", "42", str(2**64 - 1))] == [0, 1, 42, 2**64 - 1]
    for text in ("01", "00", str(2**64), "１２"):
        assert client_number(text) >= 1 << 63
    assert client_text(7, b"abc".ljust(36, b"\0")) == "abc"
    assert (client_text(7, b""), client_text(0, b"")) == ("7", "")


def test_decimal_texts_have_their_sign_and_zeros() -> None:
    assert [decimal_text(value, 2) for value in (-1205, -5, 0, 5, 1205)] == ["-12.05", "-0.05", "0.00", "0.05", "12.05"]
    assert decimal_text(-7, 0) == "-7"
