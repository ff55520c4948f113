"""Trying again, without a stampede: exponential backoff with full jitter, and a circuit breaker.

                 failures reach the bound                 open_s have passed
      closed ─────────────────────────────▶ open ─────────────────────────────▶ half open
        ▲                                     ▲            one attempt fails         │ one attempt
        │                                     └──────────────────────────────────────┤ is let through
        └────────────────────────── it succeeds ─────────────────────────────────────┘

Both are plain values: the time and the random number are handed in, so tests need no clock. Full jitter is from
M. Brooker, "Exponential Backoff and Jitter", 2015; the breaker from M. Nygard, "Release It!".
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

__all__ = ["Backoff", "Breaker", "retrying"]

Result = TypeVar("Result")
DOUBLINGS_MAX: Final = 30


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait before attempt number 1, 2, …: a random time up to first_s × 2^(attempt − 1), at most most_s."""

    first_s: float = 0.05
    most_s: float = 5.0

    def wait_s(self, attempt: int, chance: float) -> float:
        """attempt from 1; chance from 0 to 1."""
        ceiling: float = self.first_s * 2 ** min(attempt - 1, DOUBLINGS_MAX)
        return min(ceiling, self.most_s) * chance


@dataclasses.dataclass(slots=True, kw_only=True)
class Breaker:
    """Stops asking what keeps failing. All times in seconds of one monotonic clock.

    failures_max   failures in a row that open it
    open_s         how long it stays open before one attempt may try
    """

    failures_max: int = 5
    open_s: float = 2.0
    failure_count: int = 0
    opened_s: float | None = None
    _trying: bool = False

    @property
    def state(self) -> str:
        """closed, open or half_open."""
        if self.opened_s is None:
            return "closed"
        return "half_open" if self._trying else "open"

    def wait_s(self, now_s: float) -> float:
        """0: an attempt may be made now. Otherwise how long none may be."""
        if self.opened_s is None:
            return 0.0
        left_s = self.opened_s + self.open_s - now_s
        if left_s <= 0.0:
            self._trying = True
            return 0.0
        return left_s

    def succeeded(self) -> None:
        """The attempt was good: closed."""
        self.failure_count, self.opened_s, self._trying = 0, None, False

    def failed(self, now_s: float) -> None:
        """The attempt failed."""
        self.failure_count += 1
        if self._trying or self.failure_count >= self.failures_max:
            self.opened_s, self._trying = now_s, False


async def retrying(
    attempt: Callable[[], Awaitable[Result]],
    errors: tuple[type[BaseException], ...],
    *,
    breaker: Breaker,
    backoff: Backoff,
    failed: Callable[[BaseException, int, float], None] | None = None,
    deadline_s: float | None = None,
) -> Result:
    """The attempt's result, tried until it succeeds; when deadline_s (monotonic) has passed, the last error is raised.

    errors   which exceptions are worth another attempt
    failed   told of each: (error, attempts made, seconds until the next)
    """
    count = 0
    while True:
        if (wait_s := breaker.wait_s(time.monotonic())) > 0.0:
            await asyncio.sleep(wait_s)
            continue
        try:
            result = await attempt()
        except errors as error:
            count += 1
            now_s = time.monotonic()
            breaker.failed(now_s)
            wait_s = max(backoff.wait_s(count, random.random()), breaker.wait_s(now_s))
            if deadline_s is not None and now_s + wait_s > deadline_s:
                raise
            if failed is not None:
                failed(error, count, wait_s)
            await asyncio.sleep(wait_s)
        else:
            breaker.succeeded()
            return result
