"""orders.accepted into the engine; acknowledged when the outcome of every order of a message is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from ironbook import Key, KeyInvalid, Prefixed
from streams.common.keys import key_holding
from streams.common.logs import LOGGER, fields
from streams.common.worker import EXIT_START_FAILED, Batch
from streams.submitter.app import settings, worker
from streams.submitter.engine import Engine
from streams.submitter.rules import NoCommand, command, expired, verdict
from streams.submitter.submitting import Job, Submitting
from streams.submitter.topics import ACCEPTED, REJECTED


def _key() -> Key:
    try:
        return Key.from_file(settings.engine_key)
    except KeyInvalid as error:
        LOGGER.error("start_failed", extra=fields(message=error.message, detail=error.detail, hint=error.hint))
        raise SystemExit(EXIT_START_FAILED) from None


engine = Engine(settings.engine, _key(), settings.engine_timeout / 1000)


async def renew_key() -> bool:
    """Another secret of the key."""
    new = await engine.renew(await asyncio.to_thread(Key.from_file, settings.engine_key))
    worker.renewal.holdings.use(*key_holding(engine.key))
    return new


worker.renewal.holdings.use(*key_holding(engine.key))
worker.renewal.watch_files("engine key", [settings.engine_key], renew_key)
window_ns = settings.nonce_window * 1_000_000
running: dict[str, Submitting] = {}
reasons: set[str] = set()  # told since the engine last answered


def told(why: str) -> None:
    """Readiness, and one line in the log for each new reason."""
    if not why:
        worker.ready("engine")
        reasons.clear()
        return
    if why not in reasons:
        LOGGER.warning("engine_away", extra=fields(why=why))
        reasons.add(why)
    worker.not_ready("engine", why)


@worker.on_assigned
async def begin(partitions: Mapping[str, Sequence[int]]) -> None:
    """Submit from the first assignment on."""
    if not running:
        submitting = running["engine"] = Submitting(
            engine.connect, engine.enter, window_ns=window_ns, told=told,
            outcome=lambda outcome: worker.counters.update((verdict(outcome),)), give_up=give_up,
        )  # fmt: skip
        worker.app.add_future(_run(submitting))


async def _run(submitting: Submitting) -> None:
    try:
        await submitting.run()
    except Exception as error:
        worker.fail(error, "submitting")


@worker.agent(ACCEPTED)
async def submit(batches: AsyncIterator[Batch]) -> None:
    """Queue each message; the worker lets only so many of a partition be unfinished, so a queue has its end."""
    async for batch in batches:
        orders: list[tuple[dict[str, Any], Prefixed]] = []
        for index, event in enumerate(batch.events):
            try:
                orders.append((event, command(event)))
            except NoCommand as error:
                await worker.dead_letter(batch, "schema_invalid", str(error), index)
        job = Job(batch.partition, orders)
        running["engine"].add(job)
        await worker.finish(batch, [job.done])


async def give_up(partition: int, orders: list[dict[str, Any]], now_ns: int) -> None:
    """Tell of orders that are too old; returns when the broker has it."""
    worker.counters["expired"] += len(orders)
    rejections = [expired(order, now_ns, window_ns) for order in orders]
    await asyncio.gather(*await worker.send(REJECTED, partition, rejections))


@worker.timer(1.0)
async def look_at_the_line() -> None:
    """Not ready while the line is away, also in the middle of a group; whoever gets an answer says that it is back."""
    if running and not engine.connected:
        worker.not_ready("engine", f"no session with the engine at {settings.engine}")
