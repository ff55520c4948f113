"""`ironbook workers`: what the publisher and the workers say of themselves in their heartbeats."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ironbook.cli._kafka import Cluster, KafkaOption, LoginOption, PrefixOption, find_kafka
from ironbook.cli._output import JsonOption, say_json, show, table
from ironbook.cli._place import DATA, DataOption

if TYPE_CHECKING:
    from rich.console import Console

SILENT_S = 10.0


def workers(
    max_silence: Annotated[float, typer.Option(help="A worker silent for more seconds counts as gone.")] = SILENT_S,
    kafka: KafkaOption = None,
    prefix: PrefixOption = None,
    login: LoginOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Show each worker's last heartbeat: is it ready, how far behind is it, what has it counted.

    Exit code 1 if one is silent or not ready.

    Example:  ironbook workers
    """
    found = asyncio.run(heartbeats(find_kafka(data, kafka, prefix, login)))
    now_ns = time.time_ns()
    told = _living([_told(name, beat, now_ns, max_silence) for name, beat in sorted(found.items())])
    if json:
        for one in told:
            say_json(one)
    else:
        columns = ("worker", "state", "lag", "silent", "up for", "counters", "waits for", "instance")

        def render(console: Console) -> None:
            console.print(table("", columns, map(_row, told), right=("lag", "silent", "up for")))

        show(False, None, render)
    if not told or any(one["state"] != "ready" for one in told):
        raise typer.Exit(1)


async def heartbeats(cluster: Cluster) -> dict[str, Any]:
    """The last heartbeat of each worker, by the key it is kept under."""
    from ironbook.subscribe import Subscription

    async with Subscription(
        cluster.servers, "heartbeats", prefix=cluster.prefix, security=cluster.security
    ) as subscription:
        return dict(await subscription.state())


def _living(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those that others of the same name have followed: of each worker at least the one heard last."""
    heard: dict[str, float] = {}
    for one in told:
        heard[one["name"]] = min(one["silent_s"], heard.get(one["name"], one["silent_s"]))
    return [one for one in told if one["state"] != "silent" or one["silent_s"] == heard[one["name"]]]


def _told(name: str, beat: Any, now_ns: int, max_silence: float) -> dict[str, Any]:
    silent_s = max(now_ns - beat.time_ns, 0) / 1e9
    state = "silent" if silent_s > max_silence else "ready" if beat.ready else "not ready"
    return {
        "worker": name,
        "name": beat.worker,
        "state": state,
        "lag": sum(beat.lag.values()),
        "silent_s": round(silent_s, 1),
        "up_s": round((beat.time_ns - beat.started_ns) / 1e9),
        "counters": beat.counters,
        "lag_by_topic": beat.lag,
        "why": beat.why,
        "instance": beat.instance,
    }


def _row(one: dict[str, Any]) -> tuple[object, ...]:
    counters = "  ".join(f"{name} {value}" for name, value in sorted(one["counters"].items()))
    seconds = f"{one['silent_s']} s", f"{one['up_s']} s"
    return one["worker"], one["state"], one["lag"], *seconds, counters, one["why"], one["instance"]
