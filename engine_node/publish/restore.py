"""python -m engine_node restore: a journal directory from `journal.<shard>`, for a machine whose disk is gone.

    a copy of the archive ──▶ older records ──┐
    init_transactions ──▶ whoever shipped before is fenced      journal.<shard>, read to its end ──▶ write_journal

The fence comes first: behind the end that is read here nobody can append any more, so nothing is acknowledged at level
`cluster` that this journal does not have. The topic keeps its records until they are archived: those before it come
from the archive's objects, copied to a directory. Each record must continue the chain, so neither is merely believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from engine_node import _engine
from engine_node.errors import EngineNodeError, PublishError, RestoreError
from engine_node.logs import Log
from engine_node.publish.kafka import TROUBLE, Kafka, abandon, bounds, messages, quiet_logs
from engine_node.publish.ship import first_sequence_of
from engine_node.restore import write_journal
from engine_node.settings import Settings

__all__ = ["run"]

START_TIMEOUT_S = 30.0


async def _fence(kafka: Kafka, shard: int) -> None:
    producer = kafka.producer(transactional_id=f"{kafka.prefix}ironbook-publisher-{shard}")
    try:
        await asyncio.wait_for(producer.start(), START_TIMEOUT_S)
    finally:
        await abandon(producer)


def archived(directory: Path, shard: int) -> Iterator[tuple[int, bytes]]:
    """Records of an archive's objects in a directory, oldest first: schemas/archive.md. Raises RestoreError."""
    folder = directory / "journal" / f"{shard:05d}"
    objects = sorted(folder.glob("*-*.records.gz"))
    if not objects:
        raise RestoreError(
            "a copy of an archive must have objects of the shard, has none",
            detail=str(folder),
            hint="copy all of it: aws s3 sync s3://BUCKET/ DIRECTORY",
        )
    for path in objects:
        try:
            records = gzip.decompress(path.read_bytes())
            first = int(path.name.partition("-")[0])
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise RestoreError(f"an archive's object must be readable: {error}", detail=str(path)) from None
        yield first, records


async def _batches(kafka: Kafka, shard: int) -> AsyncIterator[tuple[int, bytes]]:
    topic = f"{kafka.prefix}journal.{shard}"
    await kafka.partition_counts({f"journal.{shard}": "one"})
    await _fence(kafka, shard)
    async with kafka.consumer() as consumer:
        place, first, end = await bounds(consumer, topic)
        async for message in messages(consumer, place, first, end):
            yield first_sequence_of(message), message.value


def _one_by_one(
    loop: asyncio.AbstractEventLoop, source: AsyncIterator[tuple[int, bytes]]
) -> Iterator[tuple[int, bytes]]:
    """The same for a caller that does not await, so that memory holds a message and not a topic."""
    with contextlib.suppress(StopAsyncIteration):
        while True:
            yield loop.run_until_complete(anext(source))


def run(settings: Settings, log: Log, archive: Path | None = None) -> int:
    """Restore the journal of these settings' shard into their data directory. Returns the exit code.

    archive  a directory with a copy of the journal's archive, where the topic no longer begins at the first record.
    """
    quiet_logs(log)
    loop = asyncio.new_event_loop()
    try:
        restored = write_journal(
            settings.journal_path,
            settings.shard,
            itertools.chain(
                () if archive is None else archived(archive, settings.shard),
                _one_by_one(loop, _batches(Kafka(settings), settings.shard)),
            ),
            segment_records=settings.segment_records,
            core_options=settings.core_options(),
        )
    except TROUBLE as error:
        log.error(
            "restore_failed",
            PublishError(
                f"Kafka must answer: {type(error).__name__}: {error}",
                detail=settings.kafka_bootstrap,
                hint="see that brokers run and may be reached; nothing was left behind here",
            ),
        )
        return 1
    except (EngineNodeError, _engine.EngineError) as error:
        log.error("restore_failed", error)
        return 1
    finally:
        loop.close()
    log.info(
        "restored",
        directory=str(restored.directory),
        last_sequence=restored.last_sequence,
        repeated_records=restored.repeated_records,
    )
    return 0
