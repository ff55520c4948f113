"""The seeded flow: the same for a seed, consistent as a tape, and what price-time priority makes of it."""

from __future__ import annotations

import hashlib

import pytest

from ironbook.tape import FlowOptions, TapeKind, TapeMessage, TapeOptions, generate
from ironbook.tape._book import simulate


def digest(messages: list[TapeMessage]) -> str:
    return hashlib.sha256("\n".join(map(repr, messages)).encode()).hexdigest()


def test_the_same_seed_gives_the_same_flow_and_another_another() -> None:
    first = list(generate(2_000, FlowOptions(seed=3)))
    assert first == list(generate(2_000, FlowOptions(seed=3)))
    assert first[:100] == list(generate(100, FlowOptions(seed=3)))
    assert first != list(generate(2_000, FlowOptions(seed=4)))


def test_the_flow_of_a_seed_is_the_same_on_every_machine() -> None:
    assert digest(list(generate(1_000, FlowOptions(seed=1)))) == (
        "b85c58707f9d591293469bef35dc41b08d11582dc42cbfa4ecbd449ebb241c61"
    )


def test_every_message_follows_from_those_before_it() -> None:
    left: dict[int, int] = {}
    last_ns = 0
    for index, message in enumerate(generate(20_000, FlowOptions(seed=9, lot=10)), start=1):
        assert message.index == index
        assert message.time_ns >= last_ns
        assert message.price > 0
        assert message.price % 100 == 0
        assert message.quantity > 0
        assert message.quantity % 10 == 0
        last_ns = message.time_ns
        if message.kind is TapeKind.ADD:
            assert message.order_id not in left
            left[message.order_id] = message.quantity
        else:
            assert message.quantity <= left[message.order_id]
            left[message.order_id] -= message.quantity
            if message.kind is TapeKind.DELETE:
                assert left[message.order_id] == 0
            if message.kind is TapeKind.REDUCE:
                assert left[message.order_id] > 0


def test_price_time_priority_agrees_with_every_execution() -> None:
    found = simulate(generate(30_000, FlowOptions(seed=11)))
    assert found.executions_checked == found.executions_agreed
    assert found.executions_checked > 2_000
    assert found.deletes_without_order == 0
    assert found.arrivals_that_traded == 0


def test_a_book_that_has_grown_shrinks_again() -> None:
    live = 0
    most = 0
    left: dict[int, int] = {}
    for message in generate(50_000, FlowOptions(seed=5, resting_target=100)):
        left[message.order_id] = left.get(message.order_id, 0) + (
            message.quantity if message.kind is TapeKind.ADD else -message.quantity
        )
        if left[message.order_id] == 0:
            del left[message.order_id]
        live = len(left)
        most = max(most, live)
    assert 20 < live < 200
    assert most < 250


@pytest.mark.parametrize(
    ("count", "options", "must"),
    [
        (-1, FlowOptions(), "number of messages must not be below 0"),
        (1, FlowOptions(tick=0), "tick must be above 0"),
        (1, FlowOptions(lot=-1), "lot must be above 0"),
        (1, FlowOptions(taker_ppm=-1), "taker_ppm must not be below 0"),
        (1, FlowOptions(start_price=99_999), "start_price must be at least 1,000 ticks"),
    ],
)
def test_bad_options_are_named(count: int, options: FlowOptions, must: str) -> None:
    with pytest.raises(TapeOptions, match=must):
        list(generate(count, options))


def test_no_messages_is_a_flow_too() -> None:
    assert list(generate(0)) == []
