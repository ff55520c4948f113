"""`ironbook functions`: the Lambda functions on this machine: list, run with an event, pack for AWS."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ironbook import DependencyMissing
from ironbook.cli._output import JsonOption, show, table

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    help="The Lambda functions: list, run here with an event, pack.", no_args_is_help=True, rich_markup_mode="rich"
)


OURS = ("engine_node", "functions", "ironbook", "schemas")


@contextlib.contextmanager
def _packages_named() -> Iterator[None]:
    """A package that a function needs and that is not there is told by its name."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or str(error)).partition(".")[0]
        if name in OURS:
            raise
        raise DependencyMissing(
            f"{name} must be installed to run functions, is not",
            hint="pip install 'ironbook[functions]'; in a checkout: make venv",
        ) from error


def _part(name: str) -> Any:
    """A module of functions.common. It is found by name: this package is below the functions and never imports them."""
    with _packages_named():
        return importlib.import_module(f"functions.common.{name}")


@app.command("list")
def list_functions(json: JsonOption = False) -> None:
    """List the functions, what each does and an event that it takes.

    Example:  ironbook functions list
    """
    invoke = _part("invoke")
    rows = [{"name": name, "does": invoke.about(name), "event": str(invoke.example(name))} for name in invoke.names()]

    def render(console: Console) -> None:
        console.print(table("", ("name", "does", "event"), ([row[key] for key in row] for row in rows)))

    show(json, rows, render)


@app.command("invoke")
def invoke_function(
    name: Annotated[str, typer.Argument(help="Which, e.g. canary.", show_default=False)],
    event: Annotated[Path | None, typer.Option(help="File of JSON; an empty object unless told.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Rotation, action rotate: say what would be done, and do nothing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Run a function in this process, as Lambda would, and print its answer.

    Settings are the variables IRONBOOK_FUNCTION_..., AWS is where boto3 finds it (AWS_ENDPOINT_URL for another).
    Its log goes to standard error.

    Examples:

      ironbook functions invoke reporting --event day.json

      ironbook functions invoke rotation --event rotate.json --dry-run
    """
    invoke = _part("invoke")
    given = {} if event is None else invoke.read_event(event)
    given = invoke.dry(name, given) if dry_run else given
    with _packages_named(), contextlib.redirect_stdout(sys.stderr):  # Lambda's logs are on standard output
        answer = invoke.invoke(name, given)

    def render(console: Console) -> None:
        console.print_json(data=answer, indent=2, default=str)

    show(json, answer, render)


@app.command("package")
def package_functions(
    name: Annotated[list[str] | None, typer.Argument(help="Which; all unless told.", show_default=False)] = None,
    to: Annotated[Path, typer.Option(help="Directory of the zips.")] = Path("build/functions"),
    python: Annotated[str, typer.Option(help="Version of Python that will run them.")] = "3.12",
    json: JsonOption = False,
) -> None:
    """Make the zips that AWS runs; the same sources give the same bytes.

    Example:  ironbook functions package canary --to build/functions
    """
    made = _part("package").package_all(name or [], to, python)

    def render(console: Console) -> None:
        columns = ("name", "path", "zip_bytes", "unpacked_bytes", "sha256")
        rows = ([row[column] for column in columns] for row in made)
        console.print(table("", columns, rows, right=("zip_bytes", "unpacked_bytes")))

    show(json, made, render)
