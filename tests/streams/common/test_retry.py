"""Backoff and circuit breaker, without a clock; and the loop around them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.common.retry import Backoff, Breaker, retrying


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_wait_is_bounded_and_never_negative(attempt, chance):
    assert 0 <= Backoff(first_s=0.1, most_s=5.0).wait_s(attempt, chance) <= 5.0


def test_waits_double_until_the_most():
    backoff = Backoff(first_s=1.0, most_s=6.0)
    assert [backoff.wait_s(attempt, 1.0) for attempt in (1, 2, 3, 4, 5)] == [1.0, 2.0, 4.0, 6.0, 6.0]


def test_the_breaker_opens_after_failures_in_a_row_and_lets_one_try():
    breaker = Breaker(failures_max=3, open_s=2.0)
    for _ in range(2):
        breaker.failed(10.0)
    assert (breaker.state, breaker.wait_s(10.0)) == ("closed", 0.0)
    breaker.failed(10.0)
    assert (breaker.state, breaker.wait_s(10.5)) == ("open", 1.5)
    assert (breaker.wait_s(12.0), breaker.state) == (0.0, "half_open")
    breaker.failed(12.0)
    assert (breaker.state, breaker.wait_s(12.0)) == ("open", 2.0)
    breaker.wait_s(14.0)
    breaker.succeeded()
    assert (breaker.state, breaker.failure_count) == ("closed", 0)


def test_a_success_between_failures_keeps_it_closed():
    breaker = Breaker(failures_max=2)
    for _ in range(5):
        breaker.failed(1.0)
        breaker.succeeded()
    assert breaker.state == "closed"


def attempts(failures: int):
    made = []

    async def attempt() -> str:
        made.append(1)
        if len(made) <= failures:
            raise ConnectionError("away")
        return "here"

    return attempt, made


def test_an_attempt_is_repeated_until_it_succeeds_and_each_failure_is_told():
    attempt, made = attempts(3)
    told = []
    result = asyncio.run(
        retrying(
            attempt,
            (ConnectionError,),
            breaker=Breaker(failures_max=99),
            backoff=Backoff(first_s=0.001, most_s=0.002),
            failed=lambda error, count, wait_s: told.append((str(error), count)),
        )
    )
    assert (result, len(made), told) == ("here", 4, [("away", 1), ("away", 2), ("away", 3)])


def test_an_error_that_is_not_named_is_raised_at_once():
    attempt, made = attempts(9)
    with pytest.raises(ConnectionError):
        asyncio.run(retrying(attempt, (TimeoutError,), breaker=Breaker(), backoff=Backoff()))
    assert len(made) == 1


def test_the_last_error_is_raised_at_the_deadline():
    attempt, _ = attempts(10**9)
    with pytest.raises(ConnectionError):
        asyncio.run(
            retrying(
                attempt,
                (ConnectionError,),
                breaker=Breaker(failures_max=10**9),
                backoff=Backoff(first_s=0.001, most_s=0.002),
                deadline_s=0.0,
            )
        )
