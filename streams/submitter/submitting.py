"""Orders of many messages into the engine, in the order in which they came, each message's outcome told by a future.

    messages ──▶ queue ──▶ one group at a time: all that has gathered, in one write ──▶ outcomes ──▶ futures
                              │ the line is away, the engine refuses: again after a wait, the same group
                              └ not sent yet and too old: given up

One group is under way at a time, so what is tried again never overtakes or is overtaken. An order that was sent and
whose outcome is not known is not given up, however old: the engine alone can say what became of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ironbook import IronbookError, Outcome, Prefixed
from streams.common.retry import Backoff, Breaker, retrying
from streams.submitter.rules import is_expired

__all__ = ["Job", "Submitting"]

GROUP_ORDERS_MAX: Final = 1_024
LOOK_S: Final = 1.0  # how often to look at the line while there is nothing to do


class Job:
    """The orders of one message, from a partition. done: set when each has an outcome or was given up."""

    __slots__ = ("done", "orders", "partition")

    def __init__(self, partition: int, orders: list[tuple[dict[str, Any], Prefixed]]) -> None:
        self.partition = partition
        self.orders = orders
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Submitting:
    """Give it jobs; run() works on them.

    connect, enter   of an Engine
    told             "" when the engine answers, else why it does not
    outcome          called with each outcome
    give_up          called with a partition and the orders of it that are too old; returns when they have been told
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[None]],
        enter: Callable[[list[Prefixed]], Awaitable[list[Outcome]]],
        *,
        window_ns: int,
        told: Callable[[str], None],
        outcome: Callable[[Outcome], None],
        give_up: Callable[[int, list[dict[str, Any]], int], Awaitable[None]],
        now_ns: Callable[[], int] = time.time_ns,
        backoff: Backoff | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self._connect, self._enter = connect, enter
        self._window_ns, self._now_ns = window_ns, now_ns
        self._told, self._outcome, self._tell_given_up = told, outcome, give_up
        self._backoff = backoff or Backoff(most_s=2.0)
        self._breaker = breaker or Breaker(failures_max=5, open_s=1.0)
        self._jobs: deque[Job] = deque()
        self._more = asyncio.Event()

    def add(self, job: Job) -> None:
        """Behind all others."""
        self._jobs.append(job)
        self._more.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._gather()
            for job in await self._submit():
                if not job.done.done():  # its partition may have gone to another worker meanwhile
                    job.done.set_result(None)

    async def _gather(self) -> None:
        """Until there is a job. Meanwhile the line is kept: what is ready says that an order would go through."""
        while not self._jobs:
            try:
                await self._connect()
                self._told("")
            except IronbookError as error:
                self._told(str(error))
            self._more.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    while not self._jobs:
                        await self._more.wait()

    async def _submit(self) -> list[Job]:
        """One group to its end. Until it has been sent, what comes meanwhile joins it."""
        group: list[Job] = []
        sent = False

        async def attempt() -> list[Outcome]:
            nonlocal sent
            if not sent:
                await self._give_up([*group, *self._jobs])
                self._fill(group)
            commands = [command for job in group for _, command in job.orders]
            if not commands:
                return []
            await self._connect()
            sent = True
            return await self._enter(commands)

        outcomes = await retrying(
            attempt, (IronbookError,), breaker=self._breaker, backoff=self._backoff,
            failed=lambda error, attempts, wait_s: self._told(str(error)),
        )  # fmt: skip
        if outcomes:
            self._told("")
        for outcome in outcomes:
            self._outcome(outcome)
        return group

    def _fill(self, group: list[Job]) -> None:
        count = sum(len(job.orders) for job in group)
        while self._jobs and (not group or count + len(self._jobs[0].orders) <= GROUP_ORDERS_MAX):
            group.append(self._jobs.popleft())
            count += len(group[-1].orders)

    async def _give_up(self, jobs: list[Job]) -> None:
        now_ns = self._now_ns()
        for job in jobs:
            old = [order for order, _ in job.orders if is_expired(order, now_ns, self._window_ns)]
            if old:
                await self._tell_given_up(job.partition, old, now_ns)
                job.orders = [pair for pair in job.orders if not is_expired(pair[0], now_ns, self._window_ns)]
