"""A trading calendar as data: which state an instrument should be in, at any time (schemas/calendar.md).

Pure functions: a calendar and a time go in, a state and the next change come out. Nothing here asks a clock, an engine
or a file system; `ironbook calendar run` does.

    calendar = read_calendar(tomllib.loads(text))
    schedule = calendar.schedule_of("BTC/USD")
    rules_at(calendar, schedule, time_ns)       which state rules, since when, until when by itself
    next_change(calendar, schedule, time_ns)    what comes next, and when

Local times are turned into moments by the calendar's time zone, daylight saving included. A local time that a day does
not have counts as by the clock before it was set; one that it has twice is its first.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ironbook._errors import InputInvalid
from schemas.vocabulary import TradingState

__all__ = [
    "WEEKDAYS",
    "Calendar",
    "Change",
    "Moment",
    "Schedule",
    "may_move",
    "next_change",
    "read_calendar",
    "rules_at",
]

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LOOK_DAYS: Final = 400  # how far back and ahead a change is looked for
AUCTION_S_MAX: Final = 86_400
_NS: Final = 10**9
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_CALLS: Final = (TradingState.PRE_OPEN, TradingState.AUCTION)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """On a day of its plan, at this local time, the instrument goes into this state.

    auction_s  of pre_open and auction: after so long it opens by itself; 0: not by itself
    """

    at: dt.time
    state: TradingState
    auction_s: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When the instruments of this schedule follow which plan; a day without one brings no change."""

    name: str
    instruments: tuple[str, ...]
    weekdays: tuple[str | None, ...]  # from Monday: names of plans
    holidays: Mapping[dt.date, str | None]  # come before the weekdays


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Plans of days, and schedules that use them."""

    time_zone: ZoneInfo
    plans: Mapping[str, tuple[Change, ...]]
    schedules: tuple[Schedule, ...]

    def schedule_of(self, instrument: str) -> Schedule | None:
        """The schedule that names this instrument."""
        return next((schedule for schedule in self.schedules if instrument in schedule.instruments), None)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A change on its day: from `time_ns` on, this state.

    opens_ns  when it opens by itself; 0: never
    """

    time_ns: int
    state: TradingState
    opens_ns: int = 0


# ---- Asking ----------------------------------------------------------------------------------------------------------


def rules_at(calendar: Calendar, schedule: Schedule, time_ns: int) -> Moment | None:
    """What rules at a time: the last change until then, or the opening that it led to. None: none for a year."""
    day = _local_day(calendar, time_ns)
    for back in range(LOOK_DAYS):
        for moment in reversed(_moments(calendar, schedule, day - dt.timedelta(days=back - 1))):
            if moment.time_ns > time_ns:
                continue
            if 0 < moment.opens_ns <= time_ns:
                return Moment(time_ns=moment.opens_ns, state=TradingState.OPEN)
            return moment
    return None


def next_change(calendar: Calendar, schedule: Schedule, time_ns: int) -> Moment | None:
    """The first change behind a time. None: none within a year."""
    day = _local_day(calendar, time_ns)
    for ahead in range(LOOK_DAYS):
        for moment in _moments(calendar, schedule, day + dt.timedelta(days=ahead - 1)):
            if moment.time_ns > time_ns:
                return moment
    return None


def may_move(present: TradingState, into: TradingState) -> bool:
    """Whether a calendar may move an instrument that is in `present`. What an operator or a breaker has halted is only
    ever closed by it, never opened; and where it is to be open, an auction that is under way opens by itself.
    """
    if present == into:
        return False
    if present == TradingState.HALTED:
        return into == TradingState.CLOSED
    return not (into == TradingState.OPEN and present == TradingState.AUCTION)


def _local_day(calendar: Calendar, time_ns: int) -> dt.date:
    return dt.datetime.fromtimestamp(time_ns // _NS, calendar.time_zone).date()


def _moments(calendar: Calendar, schedule: Schedule, day: dt.date) -> list[Moment]:
    """The changes of a day, by rising time."""
    plan = schedule.holidays[day] if day in schedule.holidays else schedule.weekdays[day.weekday()]
    if plan is None:
        return []
    return sorted(_placed(calendar, day, calendar.plans[plan]), key=lambda moment: moment.time_ns)


def _placed(calendar: Calendar, day: dt.date, changes: tuple[Change, ...]) -> Iterator[Moment]:
    for change in changes:
        local = dt.datetime.combine(day, change.at, calendar.time_zone)
        time_ns = int(local.timestamp()) * _NS
        opens_ns = time_ns + change.auction_s * _NS if change.auction_s else 0
        yield Moment(time_ns=time_ns, state=change.state, opens_ns=opens_ns)


# ---- Reading ---------------------------------------------------------------------------------------------------------


def read_calendar(data: Mapping[str, Any]) -> Calendar:
    """A calendar from what a TOML file holds. Raises InputInvalid, which names the place."""
    _only(data, "the calendar", ("time_zone", "plans", "schedules"))
    plans = {str(name): _plan(str(name), plan) for name, plan in _table(data, "the calendar", "plans").items()}
    found = data.get("schedules")
    if not isinstance(found, list) or not found:
        raise _wrong("the calendar", "`schedules` must be a list of at least one", found)
    schedules = tuple(_schedule(schedule, plans) for schedule in found)
    named = [name for schedule in schedules for name in schedule.instruments]
    for name in named:
        if named.count(name) > 1:
            raise _wrong("the calendar", "an instrument must be in one schedule", name)
    return Calendar(time_zone=_time_zone(data.get("time_zone")), plans=plans, schedules=schedules)


def _time_zone(name: Any) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise _wrong("the calendar", "`time_zone` must be one of the IANA database, as Europe/Berlin", name) from None


def _plan(name: str, changes: Any) -> tuple[Change, ...]:
    place = f"plan {name}"
    if not isinstance(changes, list) or not changes:
        raise _wrong(place, "a plan must be a list of at least one change", changes)
    made = tuple(_change(place, change) for change in changes)
    times = [change.at for change in made]
    if times != sorted(set(times)):
        raise _wrong(place, "the times of a plan must rise", ", ".join(map(str, times)))
    for earlier, later in itertools.pairwise(made):
        if _seconds(earlier.at) + earlier.auction_s > _seconds(later.at):
            raise _wrong(place, f"what is called at {earlier.at} must be open before the change at {later.at}",
                         f"{earlier.auction_s} s")  # fmt: skip
    return made


def _change(place: str, change: Any) -> Change:
    if not isinstance(change, dict):
        raise _wrong(place, 'a change must be a table such as { at = "09:30", state = "open" }', change)
    _only(change, place, ("at", "state", "auction_s"))
    match = _TIME.fullmatch(str(change.get("at")))
    if match is None:
        raise _wrong(place, "`at` must be a local time such as 09:30 or 09:30:15", change.get("at"))
    states = {state.name.lower(): state for state in TradingState if state != TradingState.HALTED}
    state = states.get(str(change.get("state")))
    if state is None:
        raise _wrong(place, f"`state` must be one of {', '.join(states)}", change.get("state"))
    auction_s = change.get("auction_s", 0)
    if not isinstance(auction_s, int) or not 0 <= auction_s <= AUCTION_S_MAX:
        raise _wrong(place, f"`auction_s` must be whole seconds up to {AUCTION_S_MAX}", auction_s)
    if auction_s > 0 and state not in _CALLS:
        raise _wrong(place, "only pre_open and auction may have `auction_s`", state.name.lower())
    hour, minute, second = (int(part or 0) for part in match.groups())
    return Change(at=dt.time(hour, minute, second), state=state, auction_s=auction_s)


def _schedule(schedule: Any, plans: Mapping[str, tuple[Change, ...]]) -> Schedule:
    if not isinstance(schedule, dict) or not isinstance(schedule.get("name"), str):
        raise _wrong("the calendar", "a schedule must be a table with a `name`", schedule)
    place = f"schedule {schedule['name']}"
    _only(schedule, place, ("name", "instruments", "weekdays", "holidays"))
    instruments = schedule.get("instruments")
    if not isinstance(instruments, list) or not instruments or not all(isinstance(name, str) for name in instruments):
        raise _wrong(place, "`instruments` must be a list of symbols", instruments)
    weekdays = _table(schedule, place, "weekdays")
    _only(weekdays, place, WEEKDAYS)
    holidays = _table(schedule, place, "holidays") if "holidays" in schedule else {}
    return Schedule(
        name=schedule["name"],
        instruments=tuple(instruments),
        weekdays=tuple(_plan_name(place, weekdays.get(day), plans) for day in WEEKDAYS),
        holidays={_date(place, day): _plan_name(place, plan or None, plans) for day, plan in holidays.items()},
    )


def _plan_name(place: str, name: Any, plans: Mapping[str, tuple[Change, ...]]) -> str | None:
    if name is None or (isinstance(name, str) and name in plans):
        return name
    raise _wrong(place, f"a day must name one of the plans ({', '.join(plans)})", name)


def _date(place: str, text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise _wrong(place, "a holiday must be a date such as 2026-12-25", text) from None


def _table(data: Mapping[str, Any], place: str, name: str) -> Mapping[str, Any]:
    found = data.get(name)
    if not isinstance(found, dict):
        raise _wrong(place, f"`{name}` must be a table", found)
    return found


def _only(data: Mapping[str, Any], place: str, names: tuple[str, ...]) -> None:
    for name in data:
        if name not in names:
            raise _wrong(place, f"only {', '.join(names)} may stand here", name)


def _seconds(time: dt.time) -> int:
    return time.hour * 3600 + time.minute * 60 + time.second


def _wrong(place: str, must: str, found: Any) -> InputInvalid:
    return InputInvalid(f"{must}, was {found!r}", detail=place, hint="schemas/calendar.md has an example of everything")
