"""`ironbook database`: the tables of the Postgres database, forward and back."""

from __future__ import annotations

from typing import Annotated

import typer

from ironbook.cli._output import JsonOption, show, table

app = typer.Typer(
    help="The Postgres database: migrations forward and back.", no_args_is_help=True, rich_markup_mode="rich"
)
Url = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="IRONBOOK_DATABASE_URL",
        help="Where the database is: postgresql://user:password@host:port/name.",
        show_default=False,
    ),
]


@app.command("migrate")
def migrate(url: Url, json: JsonOption = False) -> None:
    """Apply the migrations that the database lacks; again it does nothing.

    Example:  ironbook database migrate --url postgresql://ironbook@127.0.0.1/ironbook
    """
    from schemas import migrations

    applied = migrations.migrate(url)
    text = f"applied {', '.join(applied)}" if applied else "nothing to apply: the database is up to date"
    show(json, {"applied": applied}, lambda console: console.print(text))


@app.command("rollback")
def rollback(
    url: Url,
    count: Annotated[int, typer.Option(help="How many migrations to take back, the newest first.", min=1)] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: what the tables hold is lost.")] = False,
    json: JsonOption = False,
) -> None:
    """Take back the last migrations, with the tables that they made and all that is in them.

    Example:  ironbook database rollback --count 1 --yes
    """
    from schemas import migrations

    if not yes:
        typer.confirm(f"Take back {count} of the migrations, with the rows of their tables?", abort=True, err=True)
    undone = migrations.rollback(url, count)
    text = f"took back {', '.join(undone)}" if undone else "nothing to take back: the database has no migration"
    show(json, {"rolled_back": undone}, lambda console: console.print(text))


@app.command("status")
def status(url: Url, json: JsonOption = False) -> None:
    """Each migration, and whether the database has it.

    Example:  ironbook database status
    """
    from schemas import migrations

    found = migrations.status(url)
    listed = table("", ("migration", "state"), ((one.name, "applied" if one.applied else "missing") for one in found))
    data = {"migrations": [{"name": one.name, "applied": one.applied} for one in found]}
    show(json, data, lambda console: console.print(listed))
