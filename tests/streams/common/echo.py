"""A processor for the tests of the worker: counts what comes by symbol, keeps it, and passes each batch on.

Run by the tests as `python -m tests.streams.common.echo`, like any processor.
"""

from __future__ import annotations

import collections
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence

from streams.common.settings import load
from streams.common.worker import Batch, make_worker

worker = make_worker("echo", load())
state = worker.state("counts")
known: dict[int, dict[str, dict[str, int]]] = {}  # by partition and symbol: count, and the next offset that counts


@worker.on_assigned
async def restore(assigned: Mapping[str, Sequence[int]]) -> None:
    known.clear()
    for partition in assigned.get("executions", ()):
        known[partition] = dict(state.items(partition))


@worker.agent("executions")
async def count_symbols(batches: AsyncIterator[Batch]) -> None:
    async for batch in batches:
        counts = known[batch.partition]
        if any(event.get("type") == "poison" for event in batch.events) and "ECHO_POISON" in os.environ:
            raise ValueError("an event that this body cannot bear")
        changes = {}
        for symbol, count in collections.Counter(event["symbol"] for event in batch.events).items():
            old = counts.get(symbol, {"count": 0, "next": 0})
            if old["next"] <= batch.offset:
                changes[symbol] = {"count": old["count"] + count, "next": batch.offset + 1}
        counts.update(changes)
        outputs = await worker.send("orders.rejected", batch.partition, batch.events)
        await worker.finish(batch, outputs, state, changes)


if __name__ == "__main__":
    sys.exit(worker.run())
