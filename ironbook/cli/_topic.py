"""What `ironbook watch TOPIC` shows: the events of a topic, a line each."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from ironbook import StreamGap
from ironbook.cli._kafka import Cluster
from ironbook.cli._output import say_json, stderr, stdout
from schemas.topics import load_topics

if TYPE_CHECKING:
    from ironbook.subscribe import Item, Subscription

_HEAD = frozenset(("type", "shard", "seq", "n", "received_ns", "time_ns", "instrument", "asset_number"))


def topic_names() -> frozenset[str]:
    """Topics of the contract that carry events."""
    return frozenset(topic.name for topic in load_topics() if not topic.journal)


def watch_topic(
    cluster: Cluster,
    topic: str,
    symbol: str | None,
    account: int | None,
    *,
    past: bool,
    count: int | None,
    seconds: float | None,
    as_json: bool,
) -> None:
    """Until count or seconds are over, or Ctrl-C."""
    from ironbook.subscribe import Subscription

    async def body() -> None:
        async with Subscription(
            cluster.servers,
            topic,
            prefix=cluster.prefix,
            from_="beginning" if past else "live",
            symbol=symbol,
            account=account,
            on_gap="give",
            security=cluster.security,
        ) as subscription:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await _show(subscription, count, as_json)

    asyncio.run(body())


async def _show(subscription: Subscription, count: int | None, as_json: bool) -> None:
    told = 0
    async for item in subscription:
        if isinstance(item, StreamGap) and not as_json:
            stderr.print(f"[bold red]gap[/] {escape(str(item))}", soft_wrap=True)
            continue
        if as_json:
            say_json(_json(item))
        else:
            stdout.print(item_line(item), soft_wrap=True)
        told += 1
        if told == count:
            return


def _json(item: Item) -> dict[str, Any]:
    from ironbook.subscribe import Gone

    if isinstance(item, Gone):
        return {"type": "gone", "key": item.key}
    return item.to_json() if isinstance(item, StreamGap) else item.to_dict()


def item_line(item: Item) -> str:
    """One event for people: time, sequence, type, and its fields."""
    said = _json(item)
    time_ns = said.get("received_ns") or said.get("time_ns") or said.get("timestamp_ns") or said.get("appended_ns")
    clock = "--:--:--" if not time_ns else time.strftime("%H:%M:%S", time.localtime(time_ns / 1e9))
    fields = "  ".join(
        f"[dim]{escape(name)}[/] {escape(str(value))}" for name, value in said.items() if name not in _HEAD
    )
    return f"[dim]{clock} {said.get('seq', ''):>10}[/] [bold]{escape(str(said['type'])):<10}[/] {fields}"
