"""`ironbook calendar` against a running engine: states at their times, nothing twice, and halts left alone."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from ironbook.cli._app import EXIT_FAILED, EXIT_USAGE
from tests.ironbook.cli.conftest import Command


def local(moment: dt.datetime) -> str:
    return moment.strftime("%H:%M:%S")


def calendar_file(path: Path, changes: str, symbol: str = "ETH/USD", zone: str = "UTC") -> Path:
    """A calendar with the same changes on every day."""
    days = ", ".join(f'{day} = "day"' for day in ("monday", "tuesday", "wednesday", "thursday", "friday"))
    weekend = 'saturday = "day", sunday = "day"'
    path.write_text(
        f'time_zone = "{zone}"\n[plans]\nday = [{changes}]\n'
        f'[[schedules]]\nname = "all"\ninstruments = ["{symbol}"]\nweekdays = {{ {days}, {weekend} }}\n'
    )
    return path


def state_of(cli: Command) -> str:
    return str(cli("book", "ETH/USD", "--once", "--json").json["state"])


def test_an_instrument_follows_the_calendar_and_a_restart_sends_nothing(cli: Command, tmp_path: Path) -> None:
    file = calendar_file(tmp_path / "c.toml", '{ at = "00:00:00", state = "closed" }')
    said = cli("calendar", "run", file, "--seconds", "0.2", "--json").lines
    assert [(line["symbol"], line["state"]) for line in said] == [("ETH/USD", "closed")]
    assert state_of(cli) == "closed"
    assert cli("calendar", "run", file, "--seconds", "0.2", "--json").lines == []

    now, zone = dt.datetime.now(dt.UTC), "UTC"
    if now.hour == 23:  # the auction must end on the day on which it begins: let it be late morning
        now, zone = now - dt.timedelta(hours=12), "Etc/GMT+12"
    called = f'{{ at = "00:00:00", state = "closed" }}, {{ at = "{local(now)}", state = "pre_open", auction_s = 600 }}'
    file = calendar_file(tmp_path / "c.toml", called, zone=zone)
    (line,) = cli("calendar", "run", file, "--seconds", "0.2", "--json").lines
    assert line["state"] == "pre_open"
    assert line["opens_ns"] > 0
    assert state_of(cli) == "pre_open"
    assert cli("calendar", "run", file, "--seconds", "0.2", "--json").lines == []

    file = calendar_file(tmp_path / "c.toml", '{ at = "00:00:00", state = "open" }')
    assert "ETH/USD is open" in cli("calendar", "run", file, "--seconds", "0.2").out
    assert state_of(cli) == "open"


def test_what_an_operator_halted_stays_halted(cli: Command, tmp_path: Path) -> None:
    file = calendar_file(tmp_path / "c.toml", '{ at = "00:00:00", state = "open" }')
    assert cli("instruments", "halt", "ETH/USD").code == 0
    assert cli("calendar", "run", file, "--seconds", "0.2", "--json").lines == []
    assert state_of(cli) == "halted"
    assert cli("instruments", "resume", "ETH/USD").code == 0


def test_a_calendar_is_shown_and_checked(cli: Command, tmp_path: Path) -> None:
    file = calendar_file(tmp_path / "c.toml", '{ at = "09:00", state = "open" }, { at = "17:30", state = "closed" }')
    shown = cli("calendar", "show", file, "--at", "2026-12-24T10:00", "--count", "3", "--json").json["schedules"][0]
    assert [(change["at"][:16], change["state"]) for change in shown["changes"]] == [
        ("2026-12-24T09:00", "open"),
        ("2026-12-24T17:30", "closed"),
        ("2026-12-25T09:00", "open"),
        ("2026-12-25T17:30", "closed"),
    ]
    assert "closed" in cli("calendar", "show", file).out
    assert cli("calendar", "check", file, "--json").json["instruments"] == ["ETH/USD"]
    assert "sound" in cli("calendar", "check", file).out
    unknown = cli("calendar", "check", calendar_file(tmp_path / "d.toml", '{ at = "09:00", state = "open" }', "X/Y"))
    assert unknown.code == EXIT_FAILED
    assert "X/Y" in unknown.err
    assert cli("calendar", "show", file, "--at", "noon").code == EXIT_USAGE


@pytest.mark.parametrize("text", ["time_zone = ", 'time_zone = "UTC"', "\xff"])
def test_a_file_that_cannot_be_read_is_told(cli: Command, tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(text.encode("latin-1"))
    for command in ("show", "check", "run"):
        said = cli("calendar", command, file, "--json")
        assert (said.code, said.json["error"]) == (EXIT_FAILED, "input_invalid")
