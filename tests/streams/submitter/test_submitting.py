"""Groups, order, trying again and giving up, with an engine of a few lines."""

from __future__ import annotations

import asyncio
from typing import Any

from ironbook import ConnectionFailed, NotRecorded, Outcome, Prefixed
from schemas.vocabulary import Code, MassCancel
from streams.common.retry import Backoff, Breaker
from streams.submitter.submitting import GROUP_ORDERS_MAX, Job, Submitting

WINDOW_NS = 1_000


class Desk:
    """Plays the engine: what it was asked to enter, and what it answers next."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.entered: list[list[int]] = []
        self.failures: list[Exception] = []  # of the next attempts to enter
        self.away = 0  # attempts to connect that fail
        self.told: list[str] = []
        self.outcomes: list[Any] = []
        self.given_up: list[tuple[int, list[int]]] = []
        self.submitting = Submitting(
            self.connect, self.enter, window_ns=WINDOW_NS, told=self.told.append, outcome=self.outcomes.append,
            give_up=self.give_up, now_ns=lambda: self.now_ns, backoff=Backoff(first_s=0.001, most_s=0.001),
            breaker=Breaker(failures_max=2, open_s=0.001),
        )  # fmt: skip

    async def give_up(self, partition: int, orders: list[dict[str, Any]], now_ns: int) -> None:
        assert now_ns == self.now_ns
        self.given_up.append((partition, [order["timestamp_ns"] for order in orders]))

    async def connect(self) -> None:
        if self.away:
            self.away -= 1
            self.now_ns += 600
            raise ConnectionFailed("away")

    async def enter(self, commands: list[Prefixed]) -> list[Outcome]:
        await asyncio.sleep(0)
        self.entered.append([one.command.account for one in commands])  # type: ignore[union-attr]
        if self.failures:
            self.now_ns += 600
            raise self.failures.pop(0)
        return [Outcome(client_sequence=1, answer=None, reports=()) for _ in commands]  # type: ignore[arg-type]

    async def work(self, *jobs: list[tuple[int, int]]) -> list[Job]:
        """Jobs of (account, timestamp) to their end."""
        made = [
            Job(3, [({"timestamp_ns": at}, Prefixed(command=MassCancel(account=account))) for account, at in job])
            for job in jobs
        ]
        for job in made:
            self.submitting.add(job)
        running = asyncio.create_task(self.submitting.run())
        await asyncio.wait_for(asyncio.gather(*(job.done for job in made)), 10)
        running.cancel()
        return made


def test_what_has_gathered_is_entered_in_one_group_in_order() -> None:
    async def story() -> None:
        desk = Desk()
        await desk.work([(1, 0), (2, 0)], [(3, 0)], [(4, 0)])
        assert desk.entered == [[1, 2, 3, 4]]
        assert len(desk.outcomes) == 4
        assert desk.told[-1] == ""

    asyncio.run(story())


def test_a_group_is_bounded() -> None:
    async def story() -> None:
        desk = Desk()
        await desk.work(*[[(number, 0)] * 500 for number in range(3)])
        assert [len(group) for group in desk.entered] == [1000, 500]
        assert GROUP_ORDERS_MAX < 1500

    asyncio.run(story())


def test_a_group_that_failed_is_entered_again_before_anything_else() -> None:
    async def story() -> None:
        desk = Desk()
        desk.failures = [NotRecorded(Code.MESSAGE_RATE_EXCEEDED), ConnectionFailed("lost")]
        await desk.work([(1, 5000)] * 800, [(2, 5000)] * 800)
        assert [group[0] for group in desk.entered] == [1, 1, 1, 2]
        assert len(desk.told) >= 3

    asyncio.run(story())


def test_what_was_never_sent_and_is_too_old_is_given_up_and_the_rest_goes_on() -> None:
    async def story() -> None:
        desk = Desk()
        desk.away = 3
        await desk.work([(1, 0), (2, 5000), (3, 0)])
        assert desk.given_up == [(3, [0, 0])]
        assert desk.entered == [[2]]

    asyncio.run(story())


def test_what_waits_behind_a_group_that_cannot_be_sent_is_given_up_as_well() -> None:
    async def story() -> None:
        desk = Desk()
        desk.away = 3
        await desk.work([(1, 5000)] * 1000, [(2, 0), (3, 5000)] * 50)
        assert desk.given_up == [(3, [0] * 50)]
        assert [len(group) for group in desk.entered] == [1000, 50]

    asyncio.run(story())


def test_what_was_sent_is_never_given_up() -> None:
    async def story() -> None:
        desk = Desk()
        desk.failures = [ConnectionFailed("lost")] * 4
        await desk.work([(1, 0), (2, 5000)])
        assert desk.given_up == []
        assert desk.entered == [[1, 2]] * 5

    asyncio.run(story())


def test_a_message_without_orders_is_done_though_the_engine_is_away() -> None:
    async def story() -> None:
        desk = Desk()
        desk.away = 1 << 20
        await desk.work([])
        assert desk.entered == []

    asyncio.run(story())
