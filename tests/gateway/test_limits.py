"""Rate limits: what one address and one account may ask for."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gateway import limits as module
from gateway.errors import BANNED, TOO_MANY_ORDERS, TOO_MANY_REQUESTS, ApiError
from gateway.limits import Limits
from gateway.settings import GatewaySettings

S = 1_000_000_000
NOW = 1_700_000_040 * S  # 0 s into a minute
HERE = "192.0.2.7"


def made(**settings: Any) -> Limits:
    chosen = {"weight_per_minute": 10, "ban_after": 2, "ban_seconds": 120, "bad_signatures_max": 6}
    chosen |= {"orders_per_10s": 3, "orders_per_day": 5}
    return Limits(dataclasses.replace(GatewaySettings(), **(chosen | settings)))


def refused(limits: Limits, address: str = HERE, n: int = 1, now_ns: int = NOW) -> ApiError:
    with pytest.raises(ApiError) as caught:
        limits.weight(address, n, now_ns)
    return caught.value


def test_weight_adds_up_and_stands_in_the_header() -> None:
    limits = made()
    assert limits.weight(HERE, 2, NOW) == (("X-MBX-USED-WEIGHT-1M", "2"),)
    assert limits.weight(HERE, 5, NOW + S) == (("X-MBX-USED-WEIGHT-1M", "7"),)
    assert limits.used_weight(HERE, NOW + S) == 7
    assert limits.used_weight("192.0.2.8", NOW) == 0


def test_beyond_the_weight_an_address_waits_for_the_next_minute() -> None:
    limits = made()
    limits.weight(HERE, 10, NOW)
    error = refused(limits, now_ns=NOW + 20 * S)
    assert (error.problem, error.retry_after) == (TOO_MANY_REQUESTS, 40)
    assert limits.weight("192.0.2.8", 1, NOW + 20 * S), "others are not touched"
    assert limits.weight(HERE, 1, NOW + 60 * S) == (("X-MBX-USED-WEIGHT-1M", "1"),)


def test_who_goes_on_is_banned_and_each_time_for_twice_as_long() -> None:
    limits = made()
    now = NOW
    for length_s in (120, 240, 480):
        limits.weight(HERE, 10, now)
        assert [refused(limits, now_ns=now).problem for _ in range(3)] == [TOO_MANY_REQUESTS, TOO_MANY_REQUESTS, BANNED]
        error = refused(limits, now_ns=now + 10 * S)
        assert (error.problem, error.retry_after) == (BANNED, length_s - 10)
        now += length_s * S
        limits.weight(HERE, 1, now)
        now += 60 * S


def test_a_ban_lasts_three_days_at_most_and_is_forgotten_after_as_long() -> None:
    limits = made(ban_seconds=86_400)
    now = NOW
    for _ in range(4):
        limits.weight(HERE, 10, now)
        for _ in range(3):
            error = refused(limits, now_ns=now)
        now += (error.retry_after or 0) * S
    assert error.retry_after == 3 * 86_400
    limits.weight(HERE, 1, now + 3 * 86_400 * S + 1)
    assert limits.ban_count == 0


def test_bad_signatures_are_refused_by_429_and_then_by_418() -> None:
    limits = made(ban_after=100)
    for _ in range(3):
        limits.bad_signature(HERE, NOW)
    found = []
    for _ in range(4):
        with pytest.raises(ApiError) as caught:
            limits.bad_signature(HERE, NOW)
        found.append(caught.value.problem)
    assert found == [TOO_MANY_REQUESTS] * 3 + [BANNED]
    assert refused(limits).problem is BANNED, "and so is everything else from there"


def test_bad_signatures_of_another_minute_do_not_count() -> None:
    limits = made()
    for minute in range(5):
        for _ in range(3):
            limits.bad_signature(HERE, NOW + minute * 60 * S)


def test_an_ipv6_client_is_its_subnet_and_a_mapped_address_its_ipv4() -> None:
    limits = made()
    limits.weight("2001:db8::1", 4, NOW)
    assert limits.used_weight("2001:db8::ffff:2", NOW) == 4
    assert limits.used_weight("2001:db8:0:1::1", NOW) == 0
    limits.weight("::ffff:192.0.2.7", 3, NOW)
    assert limits.used_weight(HERE, NOW) == 3


def test_a_flood_from_everywhere_keeps_memory_bounded_and_frees_no_banned_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ADDRESS_COUNT_MAX", 100)
    limits = made()
    limits.weight(HERE, 10, NOW)
    for _ in range(3):
        refused(limits)
    for number in range(1000):
        limits.weight(f"198.51.{number // 250}.{number % 250}", 1, NOW)
    assert len(limits._addresses) == 100
    assert refused(limits).problem is BANNED


def test_orders_count_in_ten_seconds_and_in_a_day() -> None:
    limits = made()
    assert limits.orders(1, 2, NOW) == (("X-MBX-ORDER-COUNT-10S", "2"), ("X-MBX-ORDER-COUNT-1D", "2"))
    with pytest.raises(ApiError) as caught:
        limits.orders(1, 2, NOW + 4 * S)
    assert (caught.value.problem, caught.value.retry_after) == (TOO_MANY_ORDERS, 6)
    assert limits.used_orders(1, NOW + 4 * S) == (2, 2), "what is refused is not counted"
    limits.orders(2, 3, NOW)
    limits.orders(1, 2, NOW + 10 * S)
    with pytest.raises(ApiError) as caught:
        limits.orders(1, 2, NOW + 20 * S)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 60, "the day is used up"
    assert limits.used_orders(1, NOW + 86_400 * S) == (0, 0)
