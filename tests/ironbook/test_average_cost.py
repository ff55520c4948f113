"""Average cost, to the unit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironbook.average_cost import flow, share


def position(*flows: tuple[int, int]) -> tuple[int, int, list[int]]:
    """Lots, cost and what each flow realised."""
    state = {"position_lots": 0, "cost_units": 0}
    realised = [flow(state, lots, cash) for lots, cash in flows]
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
    taken = share(total, part, whole)
    assert abs(taken) * whole <= abs(total) * part < (abs(taken) + 1) * whole
    assert share(-total, part, whole) == -taken
    assert share(total, whole, whole) == total
