"""Rules one by one: average cost to the unit, decimals, marks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.analytics import rules
from tests.streams.analytics.scenario import example, instrument


def position(*flows: tuple[int, int]) -> tuple[int, int, list[int]]:
    """Lots, cost and what each flow realised."""
    state = rules.new_position(example("executions", "filled"))
    realised = [rules.flow(state, lots, cash) for lots, cash in flows]
    return state["position_lots"], state["cost_units"], realised


@pytest.mark.parametrize(
    ("flows", "expected"),
    [
        ([(10, -1000)], (10, 1000, [0])),
        ([(10, -1000), (-4, 480)], (6, 600, [0, 80])),
        ([(10, -1000), (-10, 900)], (0, 0, [0, -100])),
        ([(10, -1000), (-15, 1500)], (-5, -500, [0, 0])),
        ([(-10, 1000)], (-10, -1000, [0])),
        ([(-10, 1000), (4, -360)], (-6, -600, [0, 40])),
        ([(-3, 100), (1, -30), (1, -30), (1, -30)], (0, 0, [0, 3, 3, 4])),
        ([(3, -100), (-1, 40), (-1, 40), (-1, 40)], (0, 0, [0, 7, 7, 6])),
        ([(5, -500), (0, 20)], (5, 500, [0, 20])),
        ([(2, -10), (-2, 12), (1, 5)], (1, -5, [0, 2, 0])),
        ([(3, 0), (-2, 1)], (1, 0, [0, 1])),
    ],
)
def test_cost_leaves_in_proportion_and_a_closed_position_leaves_none(
    flows: list[tuple[int, int]], expected: tuple[int, int, list[int]]
) -> None:
    assert position(*flows) == expected


@given(st.lists(st.tuples(st.integers(-(10**9), 10**9), st.integers(-(10**15), 10**15)), max_size=30))
def test_no_unit_is_made_or_lost_and_a_closed_position_costs_nothing(flows: list[tuple[int, int]]) -> None:
    lots, cost, realised = position(*flows)
    assert sum(realised) - cost == sum(cash for _, cash in flows)
    assert lots == sum(change for change, _ in flows)
    assert lots or cost == 0


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**9), st.integers(1, 10**9))
def test_a_share_is_floored_toward_zero(total: int, part: int, more: int) -> None:
    whole = part + more
    taken = rules.share(total, part, whole)
    assert abs(taken) * whole <= abs(total) * part < (abs(taken) + 1) * whole
    assert rules.share(-total, part, whole) == -taken
    assert rules.share(total, whole, whole) == total


def test_a_mark_lets_only_what_is_above_it_pass() -> None:
    marks: rules.Marks = {}
    seen = [
        rules.advance(marks, {"shard": shard, "seq": seq, "n": n, "received_ns": seq})
        for shard, seq, n in [(0, 5, 1), (0, 5, 1), (0, 5, 0), (0, 4, 9), (0, 5, 2), (1, 1, 0), (0, 6, 0)]
    ]
    assert seen == [True, False, False, False, True, True, True]
    assert rules.last_mark(marks) == (0, 6, 0, 6)


def test_states_go_to_json_and_back_unchanged() -> None:
    state = rules.new_position(example("executions", "filled"))
    rules.fold_fill(state, example("executions", "filled"))
    assert rules.from_json(rules.to_json(state)) == state


@pytest.mark.parametrize(
    ("digits", "decimals", "text"),
    [(12345, 2, "123.45"), (-5, 2, "-0.05"), (0, 3, "0.000"), (7, 0, "7"), (2**64, 1, "1844674407370955161.6")],
)
def test_decimals_have_the_digits_asked_for(digits: int, decimals: int, text: str) -> None:
    assert rules.decimal_text(digits, decimals) == text


def test_quantities_and_average_prices_are_those_of_the_instrument() -> None:
    btc = instrument()
    assert rules.quantity_text(2000, btc) == "0.2000"
    assert rules.vwap_text(12002000000, 2000, btc) == "60010.00"
    assert rules.vwap_text(0, 0, btc) is None
    fill = example("executions", "filled")
    assert rules.vwap_text(fill["notional_units"] + 1999, fill["quantity_lots"], btc) == fill["price"]


def test_a_position_is_valued_at_the_last_price_and_a_short_gains_when_it_falls() -> None:
    state = rules.new_position(example("executions", "filled"))
    rules.fold_fill(
        state, example("executions", "filled", side="sell", quantity_lots=10, notional_units=1000, price_ticks=100)
    )
    assert rules.unrealised_units(state, 1) == 0
    assert rules.remark(state, 90, 99, state["marks"][0][2])
    assert rules.unrealised_units(state, 1) == 100
    assert not rules.remark(state, 80, 99, state["marks"][0][2])


def test_an_order_that_fills_twice_counts_once() -> None:
    account = rules.new_account(example("executions", "filled"))
    for n, (lots, done) in enumerate([(1, False), (1, False), (3, True)]):
        rules.fold_account(account, example("executions", "filled", n=n, quantity_lots=lots, done=done))
    assert (account["filled_orders_count"], account["fill_count"], account["filled_lots"]) == (1, 3, 5)
    assert account["part_filled"] == {}
    assert not rules.fold_account(account, example("executions", "filled", n=2))
