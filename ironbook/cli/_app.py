"""The root of the command line: its commands, and how every error ends.

Exit codes: 0 done; 1 something went wrong (said on standard error); 2 wrong usage; 3 the market refused the command;
4 no engine, or the line to it failed; 5 a journal is damaged; 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from ironbook import IronbookError, JournalInvalid, LineError, Rejected, SessionEnded
from ironbook.cli import (
    accounts,
    assets,
    book,
    calendar,
    database,
    dead_letters,
    doctor,
    functions,
    instruments,
    journal,
    keys,
    margin,
    orders,
    results,
    risk,
    secrets,
    services,
    topics,
    trades,
    up,
    watch,
    workers,
)
from ironbook.cli._output import describe, show_error

EXIT_FAILED, EXIT_USAGE, EXIT_REJECTED, EXIT_LINE, EXIT_DAMAGED, EXIT_INTERRUPTED = 1, 2, 3, 4, 5, 130

EPILOG = (
    "Exit codes: 0 done · 1 failed · 2 wrong usage · 3 the market refused · 4 no engine, or the line failed · "
    "5 a journal is damaged · 130 interrupted."
)

# Bodies that bring heavy imports with them; imported when they are asked for.
LAZY = {"tape": "ironbook.tape.commands", "demo": "ironbook.tape.commands"}
ORDER = (
    *("up", "demo", "order", "cancel", "countdown", "book", "watch"),
    *("accounts", "assets", "instruments", "trades", "keys"),
)


class Commands(TyperGroup):
    """All commands, in the order in which somebody new needs them."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = {*super().list_commands(ctx), *LAZY}
        return [name for name in ORDER if name in names] + sorted(names - set(ORDER))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in LAZY:
            return super().get_command(ctx, cmd_name)
        body = getattr(importlib.import_module(LAZY[cmd_name]), cmd_name)
        holder = typer.Typer(add_completion=False, rich_markup_mode="rich")
        holder.command(cmd_name)(body)
        command = typer.main.get_command(holder)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=Commands,
    name="ironbook",
    help="Ironbook: an exchange core. Start an engine node, sign orders, watch the book, check the journal.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("up")(up.up)
app.command("order")(orders.order)
app.command("cancel")(orders.cancel)
app.command("countdown")(orders.countdown)
app.command("book")(book.book)
app.command("watch")(watch.watch)
app.command("positions")(results.positions)
app.command("pnl")(results.pnl)
app.command("candles")(results.candles)
app.command("workers")(workers.workers)
app.command("doctor")(doctor.doctor)
app.add_typer(accounts.app, name="accounts")
app.add_typer(assets.app, name="assets")
app.add_typer(instruments.app, name="instruments")
app.add_typer(trades.app, name="trades")
app.add_typer(keys.app, name="keys")
app.add_typer(journal.app, name="journal")
app.add_typer(calendar.app, name="calendar")
app.add_typer(margin.app, name="margin")
app.add_typer(services.app, name="services")
app.add_typer(database.app, name="database")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(functions.app, name="functions")
app.add_typer(topics.app, name="topics")
app.add_typer(risk.app, name="risk")
app.add_typer(secrets.app, name="secrets")

_USAGE_ERROR: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException" and issubclass(base, Exception)
)


def exit_code(error: BaseException) -> int:
    """Which exit code an error ends with."""
    if isinstance(error, Rejected):
        return EXIT_REJECTED
    if isinstance(error, LineError | SessionEnded):
        return EXIT_LINE
    if isinstance(error, JournalInvalid):
        return EXIT_DAMAGED
    return EXIT_FAILED


def is_ours(error: BaseException) -> bool:
    """Is it an error that says what, where and what to do: of this package, the key store or the engine node?"""
    return isinstance(error, IronbookError) or (hasattr(error, "detail") and hasattr(error, "hint"))


def with_local_kafka(arguments: list[str]) -> list[str]:
    """`up` and `demo` with a bare --kafka mean a Kafka of this machine (an option of typer's always takes a value)."""
    if not arguments or arguments[0] not in ("up", "demo"):
        return arguments
    said = []
    for word, behind in zip(arguments, [*arguments[1:], "--"], strict=True):
        said += [word, "local"] if word == "--kafka" and behind.startswith("-") else [word]
    return said


def run(arguments: list[str]) -> int:
    """Run a command line; its exit code."""
    as_json = "--json" in arguments
    try:
        result = app(args=with_local_kafka(arguments), prog_name="ironbook", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except typer.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except _USAGE_ERROR as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "ironbook"
        show_error(as_json, {"error": "usage", "message": message, "hint": f"see `{path} --help`"})
        return EXIT_USAGE
    except Exception as error:
        if os.environ.get("IRONBOOK_TRACEBACK"):
            raise
        show_error(as_json, describe(error) if is_ours(error) else _unforeseen(error))
        return exit_code(error)


def _unforeseen(error: Exception) -> dict[str, str]:
    """The system said no, or a fault of ours: where it happened, and how to see all of it."""
    if isinstance(error, OSError) and error.strerror:
        where = ", ".join(str(name) for name in (error.filename, error.filename2) if name)
        return {"error": "system", "message": f"the system says: {error.strerror}", "detail": where or "no file named"}
    if isinstance(error, ImportError) and "_engine" in str(error) and (error.name or "").startswith("engine_node"):
        return {
            "error": "core_missing",
            "message": "the engine's core must be built, is not",
            "detail": "engine_node/_engine",
            "hint": "make build, in the checkout; an ironbook that pip installed as a wheel has it",
        }
    last = traceback.extract_tb(error.__traceback__)[-1]
    return {
        "error": "bug",
        "message": f"this must not happen, and did: {type(error).__name__}: {error}",
        "detail": f"{os.path.basename(last.filename)}, line {last.lineno}",
        "hint": "run it again with IRONBOOK_TRACEBACK=1 to see the whole path, and report it",
    }


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))
