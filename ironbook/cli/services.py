"""`ironbook services`: a Kafka broker and a PostgreSQL server for development, up and down by one command each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from urllib.parse import urlsplit

import typer

from ironbook.cli._output import JsonOption, show, table

if TYPE_CHECKING:
    from rich.console import Console

    from ironbook.services import Service

app = typer.Typer(
    help="Kafka and PostgreSQL for development: up, down, status.", no_args_is_help=True, rich_markup_mode="rich"
)
PLACE = Path(".ironbook/services")
PlaceOption: TypeAlias = Annotated[Path, typer.Option("--data", help="Where their data and services.json are.")]
PortOption: TypeAlias = Annotated[int | None, typer.Option(min=1, max=65535, help="Default: a free one, then kept.")]


@app.command("up")
def up(
    data: PlaceOption = PLACE,
    kafka: Annotated[bool, typer.Option(help="Start Kafka.")] = True,
    postgres: Annotated[bool, typer.Option(help="Start PostgreSQL.")] = True,
    sasl: Annotated[
        bool, typer.Option("--sasl", help="Kafka with a user for each principal of the topics, and access rules.")
    ] = False,
    kafka_port: PortOption = None,
    postgres_port: PortOption = None,
    json: JsonOption = False,
) -> None:
    """Start a Kafka broker and a PostgreSQL server, and return. What runs already is left as it is.

    The first start has Maven bring Kafka into the user's cache. Addresses and passwords are in services.json.

    Example:  ironbook services up
    """
    from ironbook import services
    from schemas.topics import load_topics

    users = load_topics().principals if sasl else ()
    before = [service.name for service in services.status(data) if service.running]
    found = services.up(
        data, kafka=kafka, postgres=postgres, users=users, kafka_port=kafka_port, postgres_port=postgres_port
    )
    _say(json, data, found, dict.fromkeys(before, "was up"))


@app.command("down")
def down(data: PlaceOption = PLACE, json: JsonOption = False) -> None:
    """Stop what `up` started. Data and addresses stay for the next `up`.

    Example:  ironbook services down
    """
    from ironbook import services

    stopped = [service.name for service in services.down(data)]
    text = f"stopped: {', '.join(stopped)}" if stopped else f"nothing was running in {data}"
    show(json, {"stopped": stopped}, lambda console: console.print(text))


@app.command("status")
def status(data: PlaceOption = PLACE, json: JsonOption = False) -> None:
    """What runs, and where. Exit code 1 if anything that was started once does not run.

    Example:  ironbook services status
    """
    from ironbook import services

    found = services.status(data)
    _say(json, data, found, {})
    if not found or not all(service.running for service in found):
        raise typer.Exit(1)


@app.command("fetch")
def fetch(json: JsonOption = False) -> None:
    """Bring Kafka into the user's cache, if it is not there, without starting anything.

    Example:  ironbook services fetch
    """
    from ironbook import services

    place = services.fetch()
    show(json, {"jars": str(place)}, lambda console: console.print(f"Kafka is in {place}"))


def _say(json: bool, data: Path, found: list[Service], notes: dict[str, str]) -> None:
    told = [_told(service, notes.get(service.name, "")) for service in found]
    columns = ("service", "state", "address", "pid", "note")
    listed = table("", columns, ([one.get(c, "") for c in columns] for one in told), right=("pid",))
    state = str(data.absolute() / "services.json")

    def render(console: Console) -> None:
        console.print(listed)
        console.print(f"passwords: {state}", style="dim", soft_wrap=True)

    show(json, {"services": told, "state_file": state}, render)


def _told(service: Service, note: str) -> dict[str, Any]:
    """A service for people and programs; the password stays in the state file."""
    told: dict[str, Any] = {
        "service": service.name,
        "state": "up" if service.running else "down",
        "address": service.address,
        "note": note,
    }
    parts = urlsplit(service.address)
    if parts.password:
        told["address"] = service.address.replace(f":{parts.password}@", "@")
    if service.process is not None and service.running:
        told["pid"] = service.process.pid
    return told
