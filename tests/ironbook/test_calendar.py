"""Which state a calendar says, at any time: daylight saving, holidays, openings by themselves, and what it refuses."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ironbook import InputInvalid
from ironbook.calendar import Calendar, Moment, may_move, next_change, read_calendar, rules_at
from schemas.vocabulary import TradingState

PAGE = Path(__file__).resolve().parents[2] / "schemas" / "calendar.md"
NEW_YORK = ZoneInfo("America/New_York")
OPEN, HALTED, PRE_OPEN, AUCTION, CLOSED = TradingState


@pytest.fixture(scope="module")
def example() -> Calendar:
    """The worked example of the page."""
    return read_calendar(tomllib.loads(PAGE.read_text().split("```toml")[1].split("```")[0]))


def at(text: str, zone: str = "America/New_York") -> int:
    """Nanoseconds of a local time."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 10**9


def ruling(calendar: Calendar, text: str) -> tuple[TradingState, int]:
    """State at a local time, and when it opens by itself."""
    found = rules_at(calendar, calendar.schedules[0], at(text))
    assert found is not None
    return found.state, found.opens_ns


@pytest.mark.parametrize(
    ("time", "state", "opens"),
    [
        ("2026-11-23 08:29:59", CLOSED, ""),  # a Monday; closed since Friday
        ("2026-11-23 08:30:00", PRE_OPEN, "2026-11-23 09:30"),
        ("2026-11-23 09:29:59", PRE_OPEN, "2026-11-23 09:30"),
        ("2026-11-23 09:30:00", OPEN, ""),
        ("2026-11-23 15:54:59", OPEN, ""),
        ("2026-11-23 15:55:00", AUCTION, "2026-11-23 16:00"),
        ("2026-11-23 16:00:00", OPEN, ""),  # for the minute until it closes
        ("2026-11-23 16:01:00", CLOSED, ""),
        ("2026-11-22 12:00:00", CLOSED, ""),  # Sunday
        ("2026-11-26 12:00:00", CLOSED, ""),  # a holiday
        ("2026-11-27 12:59:59", OPEN, ""),  # a short day
        ("2026-11-27 13:00:00", CLOSED, ""),
        ("2026-12-25 10:00:00", CLOSED, ""),
    ],
)
def test_the_state_that_rules(example: Calendar, time: str, state: TradingState, opens: str) -> None:
    assert ruling(example, time) == (state, at(opens) if opens else 0)


@pytest.mark.parametrize(
    ("time", "next_time", "state"),
    [
        ("2026-11-23 08:30:00", "2026-11-23 15:55:00", AUCTION),
        ("2026-11-23 16:01:00", "2026-11-24 08:30:00", PRE_OPEN),
        ("2026-11-25 17:00:00", "2026-11-27 08:30:00", PRE_OPEN),  # over Thanksgiving
        ("2026-11-27 13:00:00", "2026-11-30 08:30:00", PRE_OPEN),  # over a weekend
        ("2026-12-24 20:00:00", "2026-12-28 08:30:00", PRE_OPEN),
    ],
)
def test_the_next_change(example: Calendar, time: str, next_time: str, state: TradingState) -> None:
    found = next_change(example, example.schedules[0], at(time))
    assert found is not None
    assert (found.time_ns, found.state) == (at(next_time), state)


def test_local_times_follow_daylight_saving(example: Calendar) -> None:
    winter, summer = (
        next_change(example, example.schedules[0], at(text)) for text in ("2027-03-12 17:00", "2027-03-15 00:00")
    )
    assert winter is not None
    assert summer is not None
    assert summer.time_ns - at("2027-03-12 08:30") == (3 * 24 - 1) * 3600 * 10**9
    assert winter.time_ns == summer.time_ns
    hour = dt.datetime.fromtimestamp(summer.time_ns / 1e9, dt.UTC).hour
    assert hour == 12  # 08:30 is 12:30 in summer and 13:30 in winter


def calendar_of(*changes: dict[str, Any], zone: str = "America/New_York") -> Calendar:
    return read_calendar(
        {
            "time_zone": zone,
            "plans": {"day": list(changes)},
            "schedules": [{"name": "s", "instruments": ["A"], "weekdays": {"sunday": "day"}}],
        }
    )


def test_a_local_time_that_does_not_exist_or_exists_twice_is_one_moment() -> None:
    twice_and_never = calendar_of({"at": "01:30", "state": "open"}, {"at": "02:30", "state": "closed"})
    schedule = twice_and_never.schedules[0]
    forward = next_change(twice_and_never, schedule, at("2027-03-14 01:30"))  # 02:00 becomes 03:00
    assert forward is not None
    assert forward == Moment(time_ns=at("2027-03-14 03:30"), state=CLOSED)
    back = next_change(twice_and_never, schedule, at("2026-11-01 00:00"))  # 02:00 becomes 01:00
    assert back is not None
    first = dt.datetime(2026, 11, 1, 5, 30, tzinfo=dt.UTC)  # 01:30 by summer time
    assert back.time_ns == int(first.timestamp()) * 10**9
    behind = next_change(twice_and_never, schedule, back.time_ns)
    assert behind is not None
    assert behind.time_ns - back.time_ns == 2 * 3600 * 10**9


def test_without_a_change_for_a_year_nothing_rules_and_nothing_comes() -> None:
    never = read_calendar(
        {
            "time_zone": "UTC",
            "plans": {"day": [{"at": "09:00", "state": "open"}]},
            "schedules": [{"name": "s", "instruments": ["A"], "weekdays": {}, "holidays": {"2020-01-01": "day"}}],
        }
    )
    schedule = never.schedules[0]
    assert rules_at(never, schedule, at("2026-01-01 00:00", "UTC")) is None
    assert next_change(never, schedule, at("2026-01-01 00:00", "UTC")) is None
    found = rules_at(never, schedule, at("2020-05-01 00:00", "UTC"))
    assert found is not None
    assert found.state == OPEN
    assert never.schedule_of("A") is schedule
    assert never.schedule_of("B") is None


@pytest.mark.parametrize(
    ("present", "into", "may"),
    [
        (OPEN, OPEN, False),
        (CLOSED, OPEN, True),
        (CLOSED, PRE_OPEN, True),
        (PRE_OPEN, OPEN, True),
        (AUCTION, OPEN, False),
        (AUCTION, CLOSED, True),
        (HALTED, OPEN, False),
        (HALTED, PRE_OPEN, False),
        (HALTED, CLOSED, True),
        (OPEN, AUCTION, True),
    ],
)
def test_a_halt_is_never_lifted_and_an_auction_ends_by_itself(
    present: TradingState, into: TradingState, may: bool
) -> None:
    assert may_move(present, into) is may


GOOD: dict[str, Any] = {
    "time_zone": "UTC",
    "plans": {"day": [{"at": "09:00", "state": "open"}]},
    "schedules": [{"name": "s", "instruments": ["A"], "weekdays": {"monday": "day"}}],
}
SCHEDULE = GOOD["schedules"][0]


def planned(*changes: Any) -> dict[str, Any]:
    return {**GOOD, "plans": {"day": list(changes)}}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({**GOOD, "time_zone": "Mars/Olympus"}, "IANA"),
        ({**GOOD, "time_zone": None}, "IANA"),
        ({**GOOD, "colour": 1}, "only time_zone, plans, schedules may stand here"),
        ({**GOOD, "plans": []}, "`plans` must be a table"),
        ({**GOOD, "plans": {"day": []}}, "at least one change"),
        (planned("open"), "a change must be a table"),
        (planned({"at": "9:00", "state": "open"}), "`at` must be a local time"),
        (planned({"at": "24:00", "state": "open"}), "`at` must be a local time"),
        (planned({"at": "09:00", "state": "halted"}), "`state` must be one of"),
        (planned({"at": "09:00", "state": "open", "auction_s": 5}), "only pre_open and auction"),
        (planned({"at": "09:00", "state": "auction", "auction_s": -1}), "whole seconds"),
        (planned({"at": "09:00", "state": "open"}, {"at": "09:00", "state": "closed"}), "must rise"),
        (
            planned({"at": "09:00", "state": "pre_open", "auction_s": 61}, {"at": "09:01", "state": "closed"}),
            "must be open before",
        ),
        ({**GOOD, "schedules": []}, "at least one"),
        ({**GOOD, "schedules": [{"instruments": ["A"]}]}, "with a `name`"),
        ({**GOOD, "schedules": [{**SCHEDULE, "instruments": [1]}]}, "list of symbols"),
        ({**GOOD, "schedules": [{**SCHEDULE, "weekdays": {"funday": "day"}}]}, "may stand here"),
        ({**GOOD, "schedules": [{**SCHEDULE, "weekdays": {"monday": "night"}}]}, "one of the plans (day)"),
        ({**GOOD, "schedules": [{**SCHEDULE, "holidays": {"Christmas": ""}}]}, "a holiday must be a date"),
        ({**GOOD, "schedules": [SCHEDULE, SCHEDULE]}, "in one schedule"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(data: dict[str, Any], says: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        read_calendar(data)
    assert says in caught.value.message
    assert caught.value.detail
