"""What the engine and the other processors tell, folded and flushed: into Postgres, topics and the changelog."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from streams.analytics.app import settings, worker
from streams.analytics.flushes import Flushes, told_of
from streams.analytics.store import open_store
from streams.analytics.tables import firms, symbols
from streams.analytics.topics import FIRM_TOPICS, REFERENCE_TOPICS, SYMBOL_TOPICS
from streams.common.errors import SettingsInvalid
from streams.common.worker import Batch

COLLECT_EACH: Final = 200_000  # objects: a flush's rows live shortly and have no cycles

if not settings.database_url:
    raise SettingsInvalid(
        "analytics must be told of a database, was not",
        detail="variable IRONBOOK_STREAMS_DATABASE_URL or IRONBOOK_STREAMS_DATABASE_URL_FILE",
        hint="such as postgresql://user@host:5432/ironbook, made ready by: ironbook database migrate",
    )
flushes = Flushes(worker, open_store(settings.database_url, "analytics", told_of(worker)), firms, symbols)
worker.not_ready("database", "the marks have not been read yet")
worker.reference.changed.append(flushes.price)


@worker.on_assigned
async def assign(assigned: Mapping[str, Sequence[int]]) -> None:
    """States restored, marks read: begin anew."""
    gc.freeze()
    gc.set_threshold(COLLECT_EACH, 20, 100)
    await flushes.assign(assigned)


async def fold(batches: AsyncIterator[Batch]) -> None:
    """Fold each batch."""
    async for batch in batches:
        await flushes.take(batch)


for _topic in (*FIRM_TOPICS, *SYMBOL_TOPICS, *REFERENCE_TOPICS):
    worker.agent(_topic)(fold)
