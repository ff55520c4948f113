"""Repeats are dropped and gaps are named, whatever order a publisher's restarts bring."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironbook._follow import N_MAX, Follower, Missing, parse_previous


def event(seq: int, n: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": "trade", "shard": 0, "seq": seq, "n": n, "symbol": "BTC/USD", "trade_id": seq} | more


def takes(follower: Follower, partition: int, taken: dict[str, Any]) -> bool:
    """Take an event if it is new."""
    new = follower.is_new(partition, taken)
    if new:
        follower.take(partition, taken)
    return new


def test_an_event_is_new_until_it_is_taken() -> None:
    follower = Follower("balances")
    assert follower.is_new(0, event(5))
    assert takes(follower, 0, event(5))
    assert not follower.is_new(0, event(5))
    assert not follower.is_new(0, event(4, 9))
    assert takes(follower, 0, event(5, 1))


def test_partitions_and_shards_have_marks_of_their_own() -> None:
    follower = Follower("balances")
    assert takes(follower, 0, event(5))
    assert takes(follower, 1, event(3))
    assert takes(follower, 0, event(3, shard=1))


def test_a_state_comes_after_all_events_of_its_record() -> None:
    follower = Follower("balances")
    assert takes(follower, 0, event(5, N_MAX))
    assert not takes(follower, 0, event(5, 2))
    assert takes(follower, 0, event(6))


def test_each_account_and_asset_has_a_state_of_its_own() -> None:
    follower = Follower("balances", first_seq=4)
    assert takes(follower, 0, event(5, N_MAX, account=1, asset_number=1))
    assert takes(follower, 0, event(5, N_MAX, account=1, asset_number=2))
    assert takes(follower, 0, event(5, N_MAX, account=2, asset_number=1))
    assert takes(follower, 0, event(4, N_MAX, account=3, asset_number=1)), "told later, for what no one was told of yet"
    assert not takes(follower, 0, event(5, N_MAX, account=2, asset_number=1))
    assert not takes(follower, 0, event(4, N_MAX, account=2, asset_number=1))
    assert not takes(follower, 0, event(3, N_MAX, account=9, asset_number=1)), "from before where the reader began"
    assert follower.marks == {(0, 0): (5, N_MAX)}


def test_a_message_whose_previous_was_not_read_is_a_gap_and_told_once() -> None:
    follower = Follower("trades")
    assert follower.chain(2, b"0:0:0") is None
    assert takes(follower, 2, event(5))
    gap = follower.chain(2, b"0:8:1")
    assert gap == Missing(what="events", partition=2, shard=0, after=(5, 0), until=(8, 1))
    assert follower.chain(2, b"0:8:1") is None
    assert takes(follower, 2, event(9))
    assert follower.skipped_ids(2, event(9)) is None, "the ids of the gap are not told a second time"


def test_a_publisher_that_repeats_itself_makes_no_gap() -> None:
    follower = Follower("trades")
    for seq in (1, 2, 3):
        takes(follower, 0, event(seq))
    assert follower.chain(0, b"0:1:0") is None
    assert not takes(follower, 0, event(2))
    assert follower.chain(0, b"0:2:0") is None


def test_the_first_message_read_is_no_gap_wherever_it_stands() -> None:
    assert Follower("trades").chain(0, b"0:77:3") is None


def test_behind_a_sequence_nothing_may_be_missing() -> None:
    follower = Follower("trades", marks={(0, 0): (41, N_MAX)})
    assert follower.chain(0, b"0:41:7") is None
    assert follower.chain(0, b"0:50:0") == Missing(
        what="events", partition=0, shard=0, after=(41, N_MAX), until=(50, 0)
    )


@pytest.mark.parametrize(
    ("topic", "first", "second", "what", "whose"),
    [
        ("trades", {}, {"trade_id": 9}, "trade_id", "BTC/USD"),
        ("book", {"type": "level", "update_id": 1}, {"type": "level", "update_id": 9}, "update_id", "BTC/USD"),
        ("executions", {"key": 3, "report_number": 1}, {"key": 3, "report_number": 9}, "report_number", "3"),
    ],
)
def test_an_id_that_was_passed_over_is_a_gap(
    topic: str, first: dict[str, Any], second: dict[str, Any], what: str, whose: str
) -> None:
    follower = Follower(topic, dense_keys=[3])
    assert follower.skipped_ids(0, event(1, **first)) is None
    found = follower.skipped_ids(0, event(2, **second))
    assert found == Missing(what=what, partition=0, shard=0, after=(1, 0), until=(8, 0), whose=whose)


def test_busts_checksums_and_keys_of_several_firms_have_no_dense_ids() -> None:
    trades, book, executions = Follower("trades"), Follower("book"), Follower("executions", dense_keys=[3])
    for at, number in enumerate((1, 9, 4)):
        assert trades.skipped_ids(0, event(at, type="bust", trade_id=number)) is None
        assert book.skipped_ids(0, event(at, type="checksum", update_id=number)) is None
        assert executions.skipped_ids(0, event(at, key=4, report_number=number)) is None


@pytest.mark.parametrize("header", [b"", b"0:1", b"0:1:2:3", b"a:b:c", b"\xff"])
def test_a_previous_that_is_none_is_refused(header: bytes) -> None:
    with pytest.raises(ValueError):
        parse_previous(header)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_restarts_anywhere_leave_every_event_once_and_no_gap(lengths: list[int], random: Any) -> None:
    """A publisher writes on from some earlier point after each restart; a reader sees each event once, in order."""
    follower, reached, taken = Follower("trades"), 0, []
    for length in lengths:
        start = random.randint(0, reached)
        for seq in range(start + 1, start + length + 1):
            assert follower.chain(0, f"0:{seq - 1}:0".encode()) is None
            if takes(follower, 0, event(seq)):
                assert follower.skipped_ids(0, event(seq)) is None
                taken.append(seq)
        reached = max(reached, start + length)
    assert taken == list(range(1, reached + 1))
