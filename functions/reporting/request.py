"""What was asked for: a day, some reports, whole or partial. Pure: the time is handed in.

{}                                              yesterday (UTC): what the schedule asks for each night
{"day": "2026-11-21"}                           that day again: the same bytes
{"day": "2026-11-22", "partial": true}          a day in progress, as far as it went, under a key of its own
{"day": "2026-11-21", "reports": ["trades"]}    these files alone, beside no manifest but their own
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, Final

from functions.common.errors import EventInvalid
from functions.reporting.errors import DayInvalid

__all__ = ["DAY_NS", "Request", "day_before", "parse"]

DAY_NS: Final = 86_400 * 10**9
KNOWN: Final = ("day", "partial", "reports")
SCHEDULED: Final = "detail-type"  # EventBridge's envelope carries nothing that is meant for us


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A day's reports."""

    day: str
    start_ns: int
    end_ns: int
    partial: bool
    reports: tuple[str, ...]  # sorted names


def parse(event: Mapping[str, Any], now_ns: int, known_reports: tuple[str, ...]) -> Request:
    """Raises EventInvalid, DayInvalid."""
    asked = {} if SCHEDULED in event else dict(event)
    for name in asked:
        if name not in KNOWN:
            raise EventInvalid(f"an event has the fields {', '.join(KNOWN)}, was given {name!r}")
    partial = asked.get("partial", False)
    if not isinstance(partial, bool):
        raise EventInvalid(f"partial must be true or false, was {partial!r}")
    day = asked.get("day", _name(now_ns // DAY_NS - 1))
    start_ns = _start_ns(day)
    end_ns = start_ns + DAY_NS
    if start_ns < DAY_NS:  # of the first one there is no day before in the engine's time
        raise DayInvalid(f"a day must be 1970-01-02 or later, was {day}", hint="days are UTC")
    if start_ns > now_ns:
        raise DayInvalid(f"a day must have begun, {day} has not", hint="days are UTC")
    if end_ns > now_ns and not partial:
        raise DayInvalid(
            f"a day must be over (UTC), {day} is in progress",
            hint='ask for it as far as it went: {"day": "' + day + '", "partial": true}',
        )
    return Request(
        day=day,
        start_ns=start_ns,
        end_ns=end_ns,
        partial=partial,
        reports=_reports(asked.get("reports"), known_reports),
    )


def _reports(asked: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    if asked is None:
        return tuple(sorted(known))
    if not isinstance(asked, list) or not asked or not all(isinstance(name, str) for name in asked):
        raise EventInvalid("reports must be a list of names, with at least one", hint=f"known are {', '.join(known)}")
    for name in asked:
        if name not in known:
            raise EventInvalid(f"a report must be one of {', '.join(sorted(known))}, was {name[:60]!r}")
    return tuple(sorted(set(asked)))


def day_before(day: str) -> str:
    """The day before a day."""
    return (datetime.date.fromisoformat(day) - datetime.timedelta(days=1)).isoformat()


def _name(day_index: int) -> str:
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day_index)).isoformat()


def _start_ns(day: Any) -> int:
    try:
        date = datetime.date.fromisoformat(day)
        if date.isoformat() != day:
            raise ValueError("not in this form")
    except (TypeError, ValueError):
        raise EventInvalid(f"day must be a date such as 2026-11-21, was {str(day)[:40]!r}") from None
    return (date - datetime.date(1970, 1, 1)).days * DAY_NS
