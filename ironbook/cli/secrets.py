"""`ironbook secrets`: secrets of AWS Secrets Manager in files beside a process, and who holds which of them."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import time
from pathlib import Path
from typing import Annotated

import typer

from ironbook.cli._output import JsonOption, plural, show, table
from ironbook.cli.database import Url

app = typer.Typer(
    help="Secrets of AWS Secrets Manager beside running processes, and which process holds which.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command("follow")
def follow(
    settings: Annotated[
        Path, typer.Option("--settings", help="What to follow, into which files: TOML.", show_default=False)
    ],
    once: Annotated[bool, typer.Option("--once", help="Look once, and fail if something wanted is not there.")] = False,
    json: JsonOption = False,
) -> None:
    """Bring secrets into files, again whenever they change; say in the database which process holds which.

    Example:  ironbook secrets follow --settings /etc/ironbook/secrets.toml
    """
    from ironbook.secret_store import run
    from ironbook.secret_store.settings import load

    wanted = load(settings)
    if not once:
        run.follow(wanted)
        return
    look = run.follow_once(wanted)
    text = f"brought {', '.join(look.changed)}" if look.changed else "everything was there already"
    show(json, {"changed": look.changed}, lambda console: console.print(text, soft_wrap=True))


@app.command("holders")
def holders(
    url: Url,
    secret: Annotated[str, typer.Option("--secret", help="Only of this secret, such as api_key/desk-1.")] = "",
    json: JsonOption = False,
) -> None:
    """Which running process holds which version of which secret, by fingerprints.

    Example:  ironbook secrets holders --secret database/gateway
    """
    from ironbook.secret_store import relay

    rows = [row for row in asyncio.run(relay.holders(url)) if not secret or row.secret == secret]
    now_ns = time.time_ns()
    cells = (
        (row.secret, row.process, row.kind, " ".join(row.accepts), row.uses or "", _ago(now_ns - row.seen_ns))
        for row in rows
    )
    listed = table("", ("secret", "process", "kind", "accepts", "uses", "seen"), cells)
    show(json, {"holders": [dataclasses.asdict(row) for row in rows]}, lambda console: console.print(listed))


@app.command("forget")
def forget(
    process: Annotated[str, typer.Argument(help="Its name, as `ironbook secrets holders` shows it.")],
    url: Url,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Say that a process which ended without a clean stop will not come back: it holds up no rotation any more.

    A living process says again what it holds within seconds.

    Example:  ironbook secrets forget gateway@host-7 --yes
    """
    from ironbook.secret_store import relay

    if not yes:
        typer.confirm(f"Will {process} not come back? Old secrets that only it needs will end.", abort=True, err=True)
    count = asyncio.run(relay.forget(url, process))
    text = f"forgot {process}: {plural(count, 'row')}" if count else f"nothing is known of {process}"
    show(json, {"process": process, "rows": count}, lambda console: console.print(text, soft_wrap=True))


def _ago(span_ns: int) -> str:
    return f"{datetime.timedelta(seconds=max(0, span_ns // 1_000_000_000))} ago"
