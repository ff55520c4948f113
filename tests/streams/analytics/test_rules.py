"""Rules one by one: decimals, marks."""

from __future__ import annotations

import pytest

from streams.analytics import rules
from tests.streams.analytics.scenario import example, instrument


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
