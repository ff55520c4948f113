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
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON and nothing else (an object, or one object a line).")
]

FILE_WIDTH = 1 << 20  # columns where standard output is no terminal: nothing is cut or wrapped there
GAP = 2  # columns between the cells of a table

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


class Listing:
    """A plain table; where it is too wide for the terminal, rows of named cells. Nothing of a cell is ever cut off.

    number  key     state           1  demo-1  state live
         1  demo-1  live               permissions trade,cancel  networks any
    """

    def __init__(
        self, title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], right: Iterable[str] = ()
    ) -> None:
        self.title = title
        self.columns = list(columns)
        self.rows = [[str(cell) for cell in row] for row in rows]
        self.right = set(right)

    def width(self) -> int:
        """Columns it takes as a table."""
        widths = [max(map(cell_len, cells)) for cells in zip(self.columns, *self.rows, strict=True)]
        return max(sum(widths) + GAP * (len(widths) - 1), cell_len(self.title))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield Text(self.title, style="bold", overflow="fold")
        if self.width() <= options.max_width:
            yield self._table()
        else:
            for row in self.rows:
                yield from self._lines(row, options.max_width)

    def _table(self) -> Table:
        made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        for name in self.columns:
            justify: JustifyMethod = "right" if name in self.right else "left"
            made.add_column(name, justify=justify, header_style="dim", no_wrap=True)
        for row in self.rows:
            made.add_row(*map(escape, row))
        return made

    def _lines(self, row: list[str], width: int) -> Iterator[Text]:
        """One row on as many lines as it needs: number and name come first, all others are named."""
        line = Text(overflow="fold")
        for place, (name, cell) in enumerate(zip(self.columns, row, strict=True)):
            if not cell:
                continue
            known = place == 0 or (place == 1 and name not in self.right)
            part = Text(cell, style="bold") if known else Text.assemble((f"{name} ", "dim"), cell)
            if line and cell_len(line.plain) + GAP + cell_len(part.plain) > width:
                yield line
                line = Text(" ", overflow="fold")
            line.append(" " * GAP if line else "").append_text(part)
        yield line


def table(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], *, right: Iterable[str] = ()
) -> Listing:
    """A plain table; columns named in `right` are aligned to the right."""
    return Listing(title, columns, rows, right)


def plural(count: int, what: str) -> str:
    """1 order, 2 orders."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


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
