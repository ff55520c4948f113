"""A processor for the tests of the worker: counts what comes by symbol, keeps it, and passes each batch on.

Run by the tests as `python -m tests.streams.common.echo`, like any processor.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence

from streams.common.settings import load
from streams.common.worker import Batch, make_worker

worker = make_worker("echo", load())
state = worker.state("counts")
known: dict[int, dict[str, int]] = {}


@worker.on_assigned
async def restore(assigned: Mapping[str, Sequence[int]]) -> None:
    known.clear()
    for partition in assigned.get("executions", ()):
        known[partition] = {key: value["count"] for key, value in state.items(partition)}


@worker.agent("executions")
async def count(batches: AsyncIterator[Batch]) -> None:
    async for batch in batches:
        counts = known.setdefault(batch.partition, {})
        for event in batch.events:
            if event.get("type") == "poison" and "ECHO_POISON" in os.environ:
                raise ValueError("an event that this body cannot bear")
            counts[event["symbol"]] = counts.get(event["symbol"], 0) + 1
        outputs = await worker.send("orders.rejected", batch.partition, batch.events)
        changes = {event["symbol"]: {"count": counts[event["symbol"]]} for event in batch.events}
        await worker.finish(batch, outputs, state, changes)


if __name__ == "__main__":
    sys.exit(worker.run())
