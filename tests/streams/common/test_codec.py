"""Messages of the topics: what is decoded, what is refused, how batches are cut, where keys belong."""

from __future__ import annotations

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.common.codec import decode, encode, partition_of, schema_of, split
from streams.common.errors import Undecodable


def test_an_object_is_a_batch_of_one():
    assert decode(b'{"a":1}') == [{"a": 1}]
    assert decode(b'[{"a":1},{"a":2}]') == [{"a": 1}, {"a": 2}]
    assert decode(b"[]") == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"", "byte 0"),
        (None, "byte 0"),
        (b"\xff\x00", "byte 0"),
        (b'[{"a":1},2]', "element 1 is int"),
        (b"7", "was int"),
        (b'{"a":NaN}', "at byte"),
        (b"[" * 5000, "at byte"),
    ],
)
def test_what_is_no_batch_is_refused_and_said_where(value, said):
    with pytest.raises(Undecodable) as caught:
        decode(value)
    assert said in str(caught.value)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(value):
    with contextlib.suppress(Undecodable):
        assert all(isinstance(event, dict) for event in decode(value))


def test_partitions_of_the_contracts_examples():
    assert [partition_of(key, 1 << 31) for key in ("1", "42", "BTC/USD")] == [154038159, 417700972, 914443021]


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(20, 400), st.integers(1, 20))
def test_cut_batches_hold_all_events_in_order_and_keep_their_bounds(sizes, bytes_max, count_max):
    events = [{"n": n, "x": "x" * size} for n, size in enumerate(sizes)]
    values = list(split(events, bytes_max, count_max))
    assert [event for value in values for event in orjson.loads(value)] == events
    assert all(len(orjson.loads(value)) <= count_max for value in values)
    assert all(len(value) <= bytes_max or len(orjson.loads(value)) == 1 for value in values)


def test_one_event_is_written_as_an_object():
    assert encode({"a": 1}) == b'{"a":1}'
    assert schema_of("book.top") == [("schema", b"book.top/1")]
