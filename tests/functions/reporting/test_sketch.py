"""Percentiles of whole numbers in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from functions.reporting.sketch import HALF, Sketch, add, bucket_of, middle_of

VALUES = st.integers(-(2**63), 2**63 - 1)


@given(VALUES)
def test_a_bucket_tells_its_values_to_one_part_in_128(value: int) -> None:
    told = middle_of(bucket_of(value))
    assert abs(told - value) <= abs(value) // HALF


@given(VALUES, VALUES)
def test_buckets_rise_with_values(one: int, two: int) -> None:
    assert (bucket_of(one) <= bucket_of(two)) == (one <= two) or bucket_of(one) == bucket_of(two)


@given(st.lists(VALUES, min_size=1), st.integers(0, 1000))
def test_a_quantile_is_the_value_of_its_rank(values: list[int], part: int) -> None:
    sketch = Sketch()
    for value in values:
        add(value, sketch)
    exact = sorted(values)[max(1, -(-len(values) * part // 1000)) - 1]
    near = sketch.quantile(part, 1000)
    assert near is not None
    assert abs(near - exact) <= abs(exact) // HALF + 1
    assert (sketch.least, sketch.greatest, sketch.count) == (min(values), max(values), len(values))


@given(st.lists(VALUES), st.lists(VALUES))
def test_two_merged_are_one_of_all_values(ones: list[int], twos: list[int]) -> None:
    one, two, both = Sketch(), Sketch(), Sketch()
    for value in ones:
        add(value, one, both)
    for value in twos:
        add(value, two, both)
    one.merge(two)
    assert (one.counts, one.least, one.greatest) == (both.counts, both.least, both.greatest)


def test_of_nothing_there_is_no_quantile() -> None:
    assert Sketch().quantile(1, 2) is None


def test_a_million_values_take_some_thousand_buckets() -> None:
    sketch = Sketch()
    for value in range(0, 10**12, 10**7):
        add(value, sketch)
    assert len(sketch.counts) < 3000
