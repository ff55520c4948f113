"""What may be asked for, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from functions.common.errors import EventInvalid
from functions.reporting.errors import DayInvalid
from functions.reporting.request import DAY_NS, day_before, parse

NOW_NS = 1_700_000_000 * 10**9  # 2023-11-14 22:13:20 UTC
KNOWN = ("executions", "page", "trades")


def test_without_a_word_it_is_yesterday_and_everything() -> None:
    request = parse({}, NOW_NS, KNOWN)
    assert (request.day, request.partial, request.reports) == ("2023-11-13", False, KNOWN)
    assert request.end_ns - request.start_ns == DAY_NS
    assert request.end_ns <= NOW_NS < request.end_ns + DAY_NS


def test_the_schedules_own_event_says_nothing_more() -> None:
    event = {"version": "0", "detail-type": "Scheduled Event", "time": "2023-11-14T00:30:00Z", "detail": {}}
    assert parse(event, NOW_NS, KNOWN) == parse({}, NOW_NS, KNOWN)


def test_a_day_in_progress_is_refused_unless_it_is_asked_for_as_partial() -> None:
    with pytest.raises(DayInvalid, match="2023-11-14 is in progress") as refused:
        parse({"day": "2023-11-14"}, NOW_NS, KNOWN)
    assert "partial" in refused.value.hint
    assert parse({"day": "2023-11-14", "partial": True}, NOW_NS, KNOWN).partial


def test_the_first_moment_of_the_next_day_makes_a_day_whole() -> None:
    end_ns = parse({"day": "2023-11-13"}, NOW_NS, KNOWN).end_ns
    assert parse({"day": "2023-11-13"}, end_ns, KNOWN).end_ns == end_ns
    with pytest.raises(DayInvalid):
        parse({"day": "2023-11-13"}, end_ns - 1, KNOWN)


def test_a_day_to_come_is_refused_even_as_partial() -> None:
    with pytest.raises(DayInvalid, match="must have begun"):
        parse({"day": "2023-11-15", "partial": True}, NOW_NS, KNOWN)


@pytest.mark.parametrize("day", ["1969-12-31", "1600-01-01", "0001-01-01"])
def test_a_day_before_all_journals_is_refused(day: str) -> None:
    with pytest.raises(DayInvalid, match="a day must be 1970-01-02 or later"):
        parse({"day": day}, NOW_NS, KNOWN)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"date": "2023-11-13"}, "'date'"),
        ({"day": "13.11.2023"}, "day must be a date"),
        ({"day": "20231113"}, "day must be a date"),
        ({"day": "2023-11-31"}, "day must be a date"),
        ({"day": 20231113}, "day must be a date"),
        ({"partial": "yes"}, "partial must be true or false"),
        ({"reports": "trades"}, "must be a list"),
        ({"reports": []}, "must be a list"),
        ({"reports": [1]}, "must be a list"),
        ({"reports": ["profit"]}, "must be one of executions, page, trades, was 'profit'"),
    ],
)
def test_what_is_not_known_is_refused_by_name(event: dict[str, Any], said: str) -> None:
    with pytest.raises(EventInvalid, match=said):
        parse(event, NOW_NS, KNOWN)


def test_reports_are_sorted_and_each_is_made_once() -> None:
    assert parse({"reports": ["trades", "page", "trades"]}, NOW_NS, KNOWN).reports == ("page", "trades")


def test_the_day_before_the_first_of_march_knows_leap_years() -> None:
    assert (day_before("2024-03-01"), day_before("2023-03-01")) == ("2024-02-29", "2023-02-28")
