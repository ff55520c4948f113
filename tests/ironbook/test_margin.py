"""What an account is worth, what it must be worth, and the order that mends it: figures worked out by hand."""

from __future__ import annotations

import dataclasses
import random
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ironbook import InputInvalid
from ironbook.margin import (
    PPM,
    Close,
    Holding,
    Mark,
    Policy,
    assess,
    closing_order,
    liquidation_number,
    read_policy,
)
from schemas.vocabulary import Side

PAGE = Path(__file__).resolve().parents[2] / "schemas" / "margin.md"
USD, BTC, ETH = 1, 2, 3
POLICY = Policy(asset=USD, maintenance_ppm={BTC: 100_000, ETH: 200_000}, slippage_ppm=20_000)
BITCOIN = Mark(instrument=7, price_ticks=100, base_units_per_lot=1, quote_units_per_tick_lot=1)
ETHER = Mark(instrument=8, price_ticks=10, base_units_per_lot=5, quote_units_per_tick_lot=3)
MARKS = {BTC: BITCOIN, ETH: ETHER}


def held(**units: int) -> dict[int, Holding]:
    numbers = {"usd": USD, "btc": BTC, "eth": ETH}
    return {numbers[name]: Holding(free_units=free) for name, free in units.items()}


def test_long_and_short_holdings_are_valued_and_what_they_require_is_added_up() -> None:
    found = assess(held(usd=1000, btc=-5, eth=50), MARKS, POLICY)
    # -5 at 100; 50 units are 10 lots of 30
    assert found.equity_units == 1000 - 500 + 300
    assert found.requirement_units == 50 + 60
    assert [exposure.asset for exposure in found.exposures] == [ETH, BTC]
    assert not found.called
    assert found.shortfall_units == 0


def test_values_are_rounded_down_and_requirements_up() -> None:
    found = assess(held(usd=0, eth=-1), MARKS, POLICY)
    assert found.equity_units == -6  # 1 unit at 30 for 5
    assert found.requirement_units == 2  # a fifth of 6
    assert assess(held(eth=1), MARKS, Policy(asset=USD, maintenance_ppm={}, slippage_ppm=0)).requirement_units == 6
    lot_of_seven = dataclasses.replace(ETHER, base_units_per_lot=7)
    assert assess(held(eth=1), {ETH: lot_of_seven}, POLICY).equity_units == 4
    assert assess(held(eth=-1), {ETH: lot_of_seven}, POLICY).equity_units == -5


def test_locked_money_counts_and_floors_do_not() -> None:
    holdings = {USD: Holding(free_units=-100, locked_units=250, floor_units=-1000)}
    assert assess(holdings, MARKS, POLICY).equity_units == 150


def test_what_has_no_mark_counts_for_nothing_if_held_and_is_told_if_owed() -> None:
    found = assess(held(usd=10, eth=50, btc=-1), {}, POLICY)
    assert (found.equity_units, found.requirement_units, found.unpriced) == (10, 0, (BTC,))


def test_a_short_account_buys_back_as_much_as_mends_it_at_the_worst_price() -> None:
    # 1,100 of dollars less 1,000 owed: 100 where 100 are required
    assert closing_order(held(usd=1100, btc=-10), MARKS, POLICY) is None
    # 99: 1 lacks; each lot of 100 bought back at 102 at worst gains 10 - 2 = 8
    assert closing_order(held(usd=1099, btc=-10), MARKS, POLICY) == Close(
        instrument=7, side=Side.BUY, price_ticks=102, quantity_lots=1
    )
    # 1,067: equity 67, lacks 33: five lots gain 40
    order = closing_order(held(usd=1067, btc=-10), MARKS, POLICY)
    assert order is not None
    assert order.quantity_lots == 5
    # never more than is owed
    order = closing_order(held(usd=1021, btc=-10), MARKS, POLICY)
    assert order is not None
    assert order.quantity_lots == 10


def test_a_debtor_sells_what_it_holds_and_never_more() -> None:
    assert closing_order(held(usd=-900, btc=10), MARKS, POLICY) is None
    order = closing_order(held(usd=-901, btc=10), MARKS, POLICY)
    assert order == Close(instrument=7, side=Side.SELL, price_ticks=98, quantity_lots=1)
    order = closing_order(held(usd=-5000, btc=10), MARKS, POLICY)
    assert order is not None
    assert order.quantity_lots == 10
    part = dataclasses.replace(BITCOIN, base_units_per_lot=4, quote_units_per_tick_lot=4)
    order = closing_order(held(usd=-5000, btc=10), {BTC: part}, POLICY)
    assert order is not None
    assert order.quantity_lots == 2  # of two and a half lots


def test_a_buy_stays_within_what_can_be_paid_fees_included() -> None:
    dear = dataclasses.replace(BITCOIN, fee_ppm=10_000)
    holdings = {USD: Holding(free_units=-500, floor_units=-1100), BTC: Holding(free_units=-10)}
    order = closing_order(holdings, {BTC: dear}, POLICY)
    assert order is not None
    assert order.quantity_lots == 5  # 5 × 102 + 6 + 1 of the 600 that are left
    nothing = {USD: Holding(free_units=-1100, floor_units=-1100), BTC: Holding(free_units=-10)}
    assert closing_order(nothing, {BTC: dear}, POLICY) is None


def test_the_exposure_that_asks_for_most_is_closed_first_and_one_that_does_not_trade_is_passed_over() -> None:
    holdings = held(usd=-1500, btc=10, eth=100)
    order = closing_order(holdings, MARKS, POLICY)
    assert order is not None
    assert order.instrument == 8  # 600 at a fifth: 120, before 1,000 at a tenth
    halted = {**MARKS, ETH: dataclasses.replace(ETHER, trades=False)}
    order = closing_order(holdings, halted, POLICY)
    assert order is not None
    assert order.instrument == 7
    assert closing_order(holdings, {ETH: dataclasses.replace(ETHER, trades=False)}, POLICY) is None


def test_prices_and_quantities_are_multiples_of_the_steps_and_within_the_slippage() -> None:
    stepped = dataclasses.replace(BITCOIN, steps=((0, 3, 1), (101, 5, 4)))
    order = closing_order(held(usd=1067, btc=-10), {BTC: stepped}, POLICY)
    # 102 is above 101, where fives rule: 100, where threes rule: 99; quantities there are free
    assert order == Close(instrument=7, side=Side.BUY, price_ticks=99, quantity_lots=5)
    order = closing_order(held(usd=-901, btc=10), {BTC: stepped}, POLICY)
    assert order == Close(instrument=7, side=Side.SELL, price_ticks=99, quantity_lots=1)
    lots = dataclasses.replace(BITCOIN, steps=((0, 1, 4),))
    order = closing_order(held(usd=1067, btc=-10), {BTC: lots}, POLICY)
    assert order is not None
    assert order.quantity_lots == 8
    assert closing_order(held(usd=300, btc=-3), {BTC: lots}, POLICY) is None


def test_least_and_greatest_quantities_hold() -> None:
    small = dataclasses.replace(BITCOIN, quantity_lots_max=2)
    order = closing_order(held(usd=1021, btc=-10), {BTC: small}, POLICY)
    assert order is not None
    assert order.quantity_lots == 2
    large = dataclasses.replace(BITCOIN, quantity_lots_min=6)
    order = closing_order(held(usd=1067, btc=-10), {BTC: large}, POLICY)
    assert order is not None
    assert order.quantity_lots == 6
    assert closing_order(held(usd=300, btc=-3), {BTC: large}, POLICY) is None


def test_a_rate_below_the_slippage_closes_all_of_it() -> None:
    thin = Policy(asset=USD, maintenance_ppm={BTC: 10_000}, slippage_ppm=20_000)
    holdings = {USD: Holding(free_units=1009, floor_units=-100), BTC: Holding(free_units=-10)}
    order = closing_order(holdings, MARKS, thin)
    assert order is not None
    assert order.quantity_lots == 10


def test_whatever_is_drawn_an_order_that_fills_at_its_price_never_worsens_the_shortfall() -> None:
    draw = random.Random(7)
    orders = 0
    for _ in range(3000):
        mark = Mark(
            instrument=7,
            price_ticks=draw.randint(1, 5000),
            base_units_per_lot=draw.choice((1, 3, 1000)),
            quote_units_per_tick_lot=draw.choice((1, 7, 100)),
            quantity_lots_max=draw.choice((0, 0, 5)),
            steps=draw.choice(((), ((0, 1, 3),), ((0, 2, 1), (1000, 5, 2)))),
        )
        rate, slippage = draw.randint(50_000, PPM), draw.randint(0, 49_000)
        policy = Policy(asset=USD, maintenance_ppm={BTC: rate}, slippage_ppm=slippage)
        units = draw.randint(-(10**6), 10**6)
        value = mark.value_units(units)
        holdings = {
            USD: Holding(free_units=-value + draw.randint(0, 1 + abs(value) // 5), floor_units=-(10**15)),
            BTC: Holding(free_units=units, floor_units=-(10**9)),
        }
        before = assess(holdings, {BTC: mark}, policy)
        order = closing_order(holdings, {BTC: mark}, policy)
        if order is None:
            continue
        orders += 1
        sign = 1 if order.side == Side.BUY else -1
        paid = sign * order.quantity_lots * order.price_ticks * mark.quote_units_per_tick_lot
        moved = sign * order.quantity_lots * mark.base_units_per_lot
        after = assess(
            {
                USD: Holding(free_units=holdings[USD].free_units - paid),
                BTC: Holding(free_units=units + moved),
            },
            {BTC: mark},
            policy,
        )
        assert abs(units + moved) < abs(units) + mark.base_units_per_lot
        if abs(moved) <= abs(units):  # what is bought beyond the last unit of a lot is a lot at most
            assert after.shortfall_units <= before.shortfall_units + 2
    assert orders > 500


def test_numbers_of_liquidation_orders_name_account_and_sequence() -> None:
    assert liquidation_number(3, 17) == (3 << 40) + 17
    assert liquidation_number(3, (1 << 40) + 17) == (3 << 40) + 17
    assert liquidation_number(2**24 - 1, 2**40 - 1) == 2**64 - 1


def test_the_example_of_the_page_is_a_policy() -> None:
    data = tomllib.loads(PAGE.read_text().split("```toml")[1].split("```")[0])
    policy = read_policy(data, {"USD": 1, "BTC": 2, "ETH": 3})
    assert policy == Policy(asset=1, maintenance_ppm={2: 100_000, 3: 150_000}, slippage_ppm=20_000)
    assert policy.rate(9) == PPM


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"asset": "USD", "slippage_ppm": 1}, "`maintenance_ppm` must be a table"),
        ({"asset": "EUR", "slippage_ppm": 1, "maintenance_ppm": {}}, "an asset must be defined"),
        ({"asset": "USD", "slippage_ppm": -1, "maintenance_ppm": {}}, "`slippage_ppm` must be whole millionths"),
        ({"asset": "USD", "slippage_ppm": 1, "maintenance_ppm": {"BTC": 1.5}}, "`BTC` must be whole millionths"),
        ({"asset": "USD", "slippage_ppm": 1, "maintenance_ppm": {"X": 1}}, "an asset must be defined"),
        ({"asset": "USD", "slippage_ppm": 1, "maintenance_ppm": {}, "colour": 1}, "may stand here"),
    ],
)
def test_what_is_wrong_in_a_policy_is_said(data: dict[str, Any], says: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        read_policy(data, {"USD": 1, "BTC": 2})
    assert says in caught.value.message
