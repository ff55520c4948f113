"""`ironbook calendar`: a file says when which instruments trade; this shows it, checks it, and carries it out.

run   a replica says which state each instrument is in; where the calendar says another, the command is sent. Nothing is
      remembered between two looks, so a restart sends nothing twice, and what a command did not bring is tried again.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ironbook import Client, InputInvalid, LineError, SessionEnded
from ironbook.calendar import Calendar, Moment, Schedule, may_move, next_change, read_calendar, rules_at
from ironbook.cli._output import JsonOption, say_json, show, stderr, stdout, table
from ironbook.cli._place import ADMIN_KEY, DATA, AddressOption, DataOption, KeyOption, Names, connect, open_replica
from schemas.vocabulary import Code, TradingState

if TYPE_CHECKING:
    from engine_node.replica import Replica

app = typer.Typer(
    help="Calendars: when which instruments trade, from a file.", no_args_is_help=True, rich_markup_mode="rich"
)
File = Annotated[Path, typer.Argument(help="Calendar file (TOML; see schemas/calendar.md).", show_default=False)]
LOOK_S_MAX = 1.0  # between two looks at the instruments
REPLICA_POLL_S = 0.001
_NS = 10**9


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An instrument that should be in another state."""

    symbol: str
    number: int
    moment: Moment


@app.command("show")
def show_calendar(
    file: File,
    at: Annotated[str | None, typer.Option(help="Local time, for example 2026-12-24T15:00; default: now.")] = None,
    count: Annotated[int, typer.Option(help="Changes to show of each schedule.", min=1, max=1000)] = 10,
    json: JsonOption = False,
) -> None:
    """Which state rules, and what comes next.

    Example:  ironbook calendar show market.toml --at 2026-11-26T12:00
    """
    calendar = read_file(file)
    start_ns = time.time_ns() if at is None else _moment_ns(calendar, at)
    found = [_told(calendar, schedule, start_ns, count) for schedule in calendar.schedules]
    rows = [
        (schedule["name"], change["at"], change["state"], change["opens"])
        for schedule in found
        for change in schedule["changes"]
    ]
    listed = table("", ("schedule", "at", "state", "opens by itself"), rows)
    show(json, {"schedules": found}, lambda console: console.print(listed))


@app.command("check")
def check(file: File, data: DataOption = DATA, json: JsonOption = False) -> None:
    """Is the file sound, and is each of its instruments defined? Exit code 1 and the place if not.

    Example:  ironbook calendar check market.toml
    """
    calendar = read_file(file)
    with open_replica(data) as replica:
        numbers = numbers_of(calendar, Names(replica.core))
    answer = {"sound": True, "schedules": len(calendar.schedules), "instruments": sorted(numbers)}
    told = f"sound: {len(calendar.schedules)} schedules, {len(numbers)} instruments, all of them defined"
    show(json, answer, lambda console: console.print(told))


@app.command("run")
def run(
    file: File,
    seconds: Annotated[float | None, typer.Option(help="End after so long; default: never.")] = None,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Keep every instrument in the state that the calendar says, until interrupted. One line for each command.

    Example:  ironbook calendar run market.toml
    """
    calendar = read_file(file)
    ends_s = None if seconds is None else time.monotonic() + seconds
    with open_replica(data, event_mask=0) as replica:
        numbers = numbers_of(calendar, Names(replica.core))
        while True:
            replica.catch_up()
            for told in _carry_out(due(calendar, numbers, replica, time.time_ns()), replica, (data, address, key)):
                _say(json, told)
            if ends_s is not None and time.monotonic() >= ends_s:
                return
            time.sleep(_pause_s(calendar, time.time_ns()))


def read_file(file: Path) -> Calendar:
    """The calendar of a file. Raises InputInvalid."""
    try:
        return read_calendar(tomllib.loads(file.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputInvalid(
            f"a calendar must be a readable TOML file: {error}", detail=str(file), hint="see schemas/calendar.md"
        ) from error


def numbers_of(calendar: Calendar, names: Names) -> dict[str, int]:
    """Number of each instrument that the calendar names. Raises InputInvalid if one is not defined."""
    symbols = [symbol for schedule in calendar.schedules for symbol in schedule.instruments]
    return {symbol: int(names.instrument(symbol)["instrument"]) for symbol in symbols}


def due(calendar: Calendar, numbers: dict[str, int], replica: Replica, time_ns: int) -> list[Move]:
    """What the calendar says now and the replica's state does not say yet."""
    moves = []
    for schedule in calendar.schedules:
        moment = rules_at(calendar, schedule, time_ns)
        for symbol in schedule.instruments if moment is not None else ():
            present = replica.core.instrument(numbers[symbol])
            if moment is None or present is None:
                continue
            if may_move(TradingState(int(present["trading_state"])), moment.state):
                moves.append(Move(symbol=symbol, number=numbers[symbol], moment=moment))
    return moves


def _carry_out(
    moves: list[Move], replica: Replica, where: tuple[Path, str | None, str | None]
) -> Iterator[dict[str, Any]]:
    """Each move as a command of a session that lasts only so long; what became of it. What failed is due again."""
    if not moves:
        return
    try:
        with connect(*where, ADMIN_KEY) as client:
            for move in moves:
                yield _send(client, replica, move)
    except (LineError, SessionEnded) as error:
        yield {"symbol": ", ".join(move.symbol for move in moves), "error": str(error)}


def _send(client: Client, replica: Replica, move: Move) -> dict[str, Any]:
    told = {"symbol": move.symbol, "state": move.moment.state.name.lower(), "opens_ns": move.moment.opens_ns}
    outcome = client.set_instrument_state(move.number, move.moment.state, auction_ends_ns=move.moment.opens_ns)
    if outcome.rejected:
        return {**told, "error": f"refused: {Code(outcome.answer.code).name.lower()}"}
    deadline_s = time.monotonic() + LOOK_S_MAX
    while replica.core.sequence() < outcome.answer.sequence and time.monotonic() < deadline_s:
        if replica.catch_up() == 0:
            time.sleep(REPLICA_POLL_S)
    return {**told, "sequence": outcome.answer.sequence}


def _pause_s(calendar: Calendar, time_ns: int) -> float:
    """Until the next change, a second at most: an operator may do something in between."""
    found = (next_change(calendar, schedule, time_ns) for schedule in calendar.schedules)
    times = [moment.time_ns for moment in found if moment is not None]
    return min([LOOK_S_MAX, *((moment_ns - time_ns) / _NS for moment_ns in times)])


def _say(as_json: bool, told: dict[str, Any]) -> None:
    if as_json:
        say_json(told)
    elif "error" in told:
        stderr.print(f"{told['symbol']}: {told['error']}", style="yellow", soft_wrap=True)
    else:
        stdout.print(f"{told['symbol']} is {told['state']}  [dim]sequence {told['sequence']}[/]")


def _told(calendar: Calendar, schedule: Schedule, start_ns: int, count: int) -> dict[str, Any]:
    moments: list[Moment] = []
    moment = rules_at(calendar, schedule, start_ns)
    time_ns = start_ns
    while len(moments) <= count:
        if moment is not None:
            moments.append(moment)
        moment = next_change(calendar, schedule, time_ns)
        if moment is None:
            break
        time_ns = moment.time_ns
    changes = [
        {
            "at": _text(calendar, found.time_ns),
            "state": found.state.name.lower(),
            "opens": _text(calendar, found.opens_ns) if found.opens_ns else "",
        }
        for found in moments
    ]
    return {"name": schedule.name, "instruments": list(schedule.instruments), "changes": changes}


def _text(calendar: Calendar, time_ns: int) -> str:
    return dt.datetime.fromtimestamp(time_ns // _NS, calendar.time_zone).isoformat()


def _moment_ns(calendar: Calendar, text: str) -> int:
    try:
        local = dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"--at must be a time such as 2026-12-24T15:00, was {text!r}") from None
    placed = local if local.tzinfo is not None else local.replace(tzinfo=calendar.time_zone)
    return int(placed.timestamp()) * _NS
