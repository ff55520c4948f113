"""What a command says: one JSON object or JSON lines on standard output, or the same for people.

With --json nothing but JSON is written to standard output. Progress and log lines go to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeAlias

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON and nothing else (an object, or one object a line).")
]

FILE_WIDTH = 240  # columns where standard output is no terminal: nothing is cut or wrapped there

stdout = Console(highlight=False, width=None if sys.stdout.isatty() else FILE_WIDTH)
stderr = Console(stderr=True, highlight=False)


def say_json(data: Any) -> None:
    """One JSON object on a line of its own, at once."""
    sys.stdout.write(orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS).decode() + "\n")
    sys.stdout.flush()


def show(as_json: bool, data: Any, render: Callable[[Console], None]) -> None:
    """The whole answer of a command."""
    if as_json:
        say_json(data)
    else:
        render(stdout)


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], *, right: Iterable[str] = ()) -> Table:
    """A plain table; columns named in `right` are aligned to the right."""
    made = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    aligned = set(right)
    for name in columns:
        made.add_column(name, justify="right" if name in aligned else "left", header_style="dim", no_wrap=True)
    for row in rows:
        made.add_row(*(escape(str(cell)) for cell in row))
    return made


@contextmanager
def progress(what: str, total: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, if that is a terminal; what is yielded takes how far it is."""
    if quiet or not stderr.is_terminal:
        yield lambda done: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def describe(error: BaseException) -> dict[str, Any]:
    """The parts of any error of ours: stable code, what must hold and was found, where, what to do."""
    to_json = getattr(error, "to_json", None)
    if callable(to_json):
        said: dict[str, Any] = to_json()
        return said
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    code = getattr(error, "code", None)
    said = {"error": code if isinstance(code, str) else _snake(type(error).__name__), "message": message}
    for part in ("detail", "hint"):
        if text := getattr(error, part, ""):
            said[part] = text
    return said


def show_error(as_json: bool, said: dict[str, Any]) -> None:
    """What, where, what to do: on standard error for people, on standard output as JSON."""
    if as_json:
        say_json(said)
        return
    stderr.print(f"[bold red]error[/] {escape(str(said['message']))}", soft_wrap=True)
    if "detail" in said:
        stderr.print(f"  [dim]where[/] {escape(str(said['detail']))}", soft_wrap=True)
    if "hint" in said:
        stderr.print(f"  [dim]mend [/] {escape(str(said['hint']))}", soft_wrap=True)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
