"""What the engine and the other processors tell, folded and flushed: into Postgres, topics and the changelog."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from ironbook.renewal import database_holding, database_url
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
store = open_store(settings.database_url, "analytics", told_of(worker))
flushes = Flushes(worker, store, firms, symbols)


async def renew_database() -> bool:
    """Another user or password of the database."""
    new = await store.renew(database_url(settings.database_url_file))
    worker.renewal.holdings.use_only("database", *database_holding(store.url))
    return new


worker.renewal.holdings.use_only("database", *database_holding(store.url))
if settings.database_url_file:
    worker.renewal.watch_files("database", [settings.database_url_file], renew_database)
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
