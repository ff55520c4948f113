"""Parts of what is kept, found at once, against a walk through all of it."""

from __future__ import annotations

import itertools
import random

from gateway.kept import FAR, Kept, fills_between, orders_between
from gateway.market import Fill, Order


def fill(sequence: int, n: int, instrument: int) -> Fill:
    return Fill(1, sequence, sequence, instrument, 1, True, 1, 1, 1, 0, 10 * sequence, sequence, n)


def order(number: int, instrument: int) -> Order:
    made = Order()
    made.order_id, made.entered_ns, made.instrument = number, 10 * number, instrument
    return made


def test_fills_of_several_instruments_between_places_and_times_are_those_of_a_walk() -> None:
    draw = random.Random(1)
    every = [fill(sequence, n, draw.randint(1, 3)) for sequence in range(1, 200) for n in range(draw.randint(0, 2))]
    kept = {number: Kept[Fill]() for number in (1, 2, 3)}
    for one in every:
        kept[one.instrument].things.append(one)
    for count in range(60):
        oldest = every[count]
        assert kept[oldest.instrument].drop_first() is oldest
    left = every[60:]
    for _ in range(300):
        first, before = (draw.randint(0, 210), draw.randint(0, 2)), (draw.choice((FAR, draw.randint(0, 210))), 1)
        start_ns, end_ns = draw.choice((0, draw.randint(0, 2100))), draw.choice((FAR, draw.randint(0, 2100)))
        lists = draw.choice((list(kept.values()), [kept[2]], []))
        wanted = [
            one for one in left
            if kept[one.instrument] in lists and first <= (one.sequence, one.n) < before
            and start_ns <= one.received_ns <= end_ns
        ]  # fmt: skip
        assert list(fills_between(lists, first, before, start_ns, end_ns, newest=False)) == wanted
        assert list(fills_between(lists, first, before, start_ns, end_ns, newest=True)) == wanted[::-1]


def test_orders_that_go_in_any_order_leave_the_others_in_theirs() -> None:
    draw = random.Random(2)
    every = [order(number, draw.randint(1, 2)) for number in range(1, 300)]
    kept, stays = {1: Kept[Order](), 2: Kept[Order]()}, set(range(1, 300))
    for one in every:
        kept[one.instrument].things.append(one)
    for one in draw.sample(every, 200):
        stays.discard(one.order_id)
        kept[one.instrument].drop(lambda other: other.order_id in stays)
        first, before = draw.randint(0, 300), draw.choice((FAR, draw.randint(0, 300)))
        start_ns, end_ns = draw.choice((0, draw.randint(0, 3000))), draw.choice((FAR, draw.randint(0, 3000)))
        wanted = [
            one.order_id for one in every
            if one.order_id in stays and first <= one.order_id < before and start_ns <= one.entered_ns <= end_ns
        ]  # fmt: skip
        for newest in (False, True):
            found = orders_between(kept.values(), first, before, start_ns, end_ns, newest)
            mine = [one.order_id for one in found if one.order_id in stays]
            assert mine == (wanted[::-1] if newest else wanted)
    assert sum(len(one.things) for one in kept.values()) <= 2 * len(stays) + 2


class Counting(list[Fill]):
    """Counts how often one of it is looked at."""

    looked = 0

    def __getitem__(self, at: object) -> object:  # type: ignore[override]
        Counting.looked += 1
        return super().__getitem__(at)  # type: ignore[index]


def test_a_part_of_many_is_found_without_a_walk_through_all() -> None:
    kept = Kept[Fill]()
    kept.things = Counting(fill(sequence, 0, 1) for sequence in range(1, 50_001))
    for asked in (
        ((0, 0), (FAR, 0), 0, FAR, True), ((0, 0), (FAR, 0), 0, FAR, False), ((25_000, 0), (FAR, 0), 0, FAR, False),
        ((0, 0), (25_000, 0), 0, FAR, True), ((0, 0), (FAR, 0), 250_000, 250_100, True),
    ):  # fmt: skip
        Counting.looked = 0
        assert len(list(itertools.islice(fills_between([kept], *asked), 10))) == 10
        assert Counting.looked < 100
