"""The curve of profit and loss, its drawdown, and ratios, worked by hand."""

from __future__ import annotations

import datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.symbols import Asset, Instrument
from gateway.v1 import shapes
from gateway.v1.analytics import curve, performance
from gateway.v1.holdings import Day
from ironbook._decimals import Units

USD = Asset(1, "USD", 2)
INSTRUMENT = Instrument(
    {"instrument": 1, "name": "BTC/USD"}, Asset(2, "BTC", 8), USD,
    Units(base_decimals=8, quote_decimals=2, base_units_per_lot=10_000, quote_units_per_tick_lot=1),
)  # fmt: skip
FIRST = datetime.date(2026, 11, 20)


def day(number: int, realised: int, fees: int = 0, **more: int) -> Day:
    """So many days after the first."""
    name = FIRST + datetime.timedelta(days=number)
    return Day(INSTRUMENT, name, realised_units=realised, fees_units=fees, **more)


def test_drawdown_is_how_far_the_curve_is_below_its_highest_point() -> None:
    found = curve([day(3, 50), day(0, 100, 10), day(1, -200), day(2, 20), day(1, 30)])
    assert [(one[0] - FIRST).days for one in found] == [0, 1, 2, 3]
    assert [one[3] for one in found] == [90, -80, -60, -10]
    assert [one[4] for one in found] == [0, 170, 150, 100]


def test_who_only_loses_has_a_drawdown_from_the_first_day_on() -> None:
    assert [one[4] for one in curve([day(0, -5), day(1, -7, 1)])] == [5, 13]


@given(st.lists(st.integers(-(10**12), 10**12), max_size=40))
def test_the_greatest_drawdown_is_the_greatest_fall_between_two_days(nets: list[int]) -> None:
    found = curve([day(number, net) for number, net in enumerate(nets)])
    sums = [0, *(sum(nets[: end + 1]) for end in range(len(nets)))]
    falls = [sums[early] - sums[late] for late in range(len(sums)) for early in range(late + 1)]
    assert max((one[4] for one in found), default=0) == max(falls)


def test_ratios_are_of_closing_fills_and_null_where_nothing_divides() -> None:
    days = [
        day(0, 300, 10, profit_units=400, loss_units=100, winning_count=3, losing_count=1, fill_count=6),
        day(1, -50, 5, profit_units=0, loss_units=50, losing_count=2, fill_count=2),
    ]
    found = performance(USD, days)
    assert (found["winners"], found["losers"], found["trades"]) == (3, 3, 8)
    assert (found["win_rate"], found["profit_factor"]) == ("0.500000", "2.666667")
    assert (found["average_win"], found["average_loss"]) == ("1.33", "0.50")
    assert (found["realised"], found["fees"], found["net"]) == ("2.50", "0.15", "2.35")
    empty = performance(USD, [])
    assert [empty[name] for name in ("win_rate", "profit_factor", "average_win", "average_loss")] == [None] * 4


@pytest.mark.parametrize(
    ("value", "expected"), [("1/2", 1), ("-1/2", -1), ("3/2", 2), ("-5/2", -3), ("1/3", 0), ("0", 0), ("7", 7)]
)
def test_halves_round_away_from_zero_as_the_database_does(value: str, expected: int) -> None:
    assert shapes.rounded(Fraction(value)) == expected
