"""`ironbook doctor`: what this machine lacks for steady latency, and how to mend it. The engine node looks."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import orjson
import typer
from rich.markup import escape

from ironbook import EngineFailed
from ironbook.cli._output import JsonOption, say_json, stdout
from ironbook.cli._place import DATA, DataOption

TIMEOUT_S = 60.0
_MARKS = {"ok": "[green]ok  [/]", "unknown": "[cyan]?   [/]", "warn": "[yellow]warn[/]", "bad": "[bold red]bad [/]"}


def doctor(data: DataOption = DATA, json: JsonOption = False) -> None:
    """Say what the machine lacks for steady latency: CPUs, governor, swap, huge pages, interrupts, clock, disk.

    Exit code 1 if something must be mended.

    Example:  ironbook doctor
    """
    command = [sys.executable, "-m", "engine_node", "doctor", "--json"]
    environment = {**os.environ, "IRONBOOK_ENGINE_DATA_DIRECTORY": str(data)}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False)
    try:
        found: Any = orjson.loads(done.stdout)
    except orjson.JSONDecodeError:
        raise EngineFailed(
            f"the engine node's doctor must answer with JSON, ended with status {done.returncode}",
            detail=done.stderr.decode(errors="replace").strip()[-500:],
            hint="run `python -m engine_node doctor` to see all of it",
        ) from None
    if json:
        say_json(found)
    else:
        render(found)
    if done.returncode:
        raise typer.Exit(1)


def render(found: Any) -> None:
    """Each check: what was found, and what to do about it."""
    for check in found["findings"]:
        mark = _MARKS.get(str(check["result"]), escape(str(check["result"])))
        stdout.print(
            f"{mark} [bold]{escape(str(check['check']))}[/]  {escape(str(check.get('found', '')))}", soft_wrap=True
        )
        for line in ("why", "mend"):
            if text := check.get(line):
                stdout.print(f"     [dim]{line:<5}[/] {escape(str(text))}", soft_wrap=True)
