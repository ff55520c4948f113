"""orders.submitted in, orders.validated and orders.rejected out, in the same partition; and the topic of keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from ironbook.keystore import KeyStoreError
from streams.common.codec import partition_of
from streams.common.errors import BrokerMismatch
from streams.common.logs import LOGGER, fields
from streams.common.worker import EXIT_START_FAILED, Batch
from streams.validation.app import settings, worker
from streams.validation.keys import Keys, open_keys
from streams.validation.nonces import Nonces
from streams.validation.rules import Known, Message, judge
from streams.validation.tables import nonces as nonces_state
from streams.validation.topics import KEYS, REJECTED, SUBMITTED, VALIDATED

LOG_APPEND_TIME: Final = 1


def _keys() -> Keys:
    try:
        return open_keys(settings)
    except KeyStoreError as error:
        LOGGER.error("start_failed", extra=fields(message=error.message, detail=error.detail, hint=error.hint))
        raise SystemExit(EXIT_START_FAILED) from None


keys = _keys()
partition_count = worker.partitions("firm")
known = Known(
    keys.rights, worker.reference.instruments, worker.reference.accounts,
    lambda firm: partition_of(str(firm), partition_count), settings.nonce_window * 1_000_000,
)  # fmt: skip


async def renew_keys() -> bool:
    """A change of the key file holds from here on."""
    new = await keys.renew()
    known.keys = keys.rights
    worker.renewal.holdings.accept_only("api_key/", keys.held)
    return new


worker.renewal.holdings.accept_only("api_key/", keys.held)
worker.renewal.watch("key file", keys.mark, renew_keys)
nonces: dict[int, Nonces] = {}  # by partition, of those that are assigned


@worker.on_assigned
async def rebuild(partitions: Mapping[str, Sequence[int]]) -> None:
    """The nonces of what was assigned, from the restored table."""
    nonces.clear()
    for partition in partitions.get(SUBMITTED, ()):
        count_max = max(1, settings.nonce_count_max // partition_count)
        nonces[partition] = Nonces(nonces_state.items(partition), count_max=count_max)


@worker.agent(SUBMITTED)
async def validate(batches: AsyncIterator[Batch]) -> None:
    """Judge each message, tell, remember."""
    async for batch in batches:
        _require_append_time(batch)
        partition = batch.partition
        seen = nonces.get(partition)
        if seen is None:  # it has gone to another worker, which reads this again
            continue
        judged = judge(Message(partition, batch.offset, batch.timestamp_ns, batch.value, batch.events), known, seen)
        outputs: list[asyncio.Future[Any]] = []
        if judged.unclaimed is not None:
            await worker.dead_letter(batch, judged.unclaimed.code, judged.unclaimed.text, judged.unclaimed.at)
        if judged.orders:
            outputs += await worker.send(VALIDATED, partition, judged.orders)
            worker.counters["validated"] += len(judged.orders)
        if judged.rejections:
            outputs += await worker.send(REJECTED, partition, judged.rejections)
            worker.counters["rejected"] += len(judged.rejections)
        changes: dict[str, Any] = dict.fromkeys(map(str, seen.expire()))
        if judged.record is not None:
            changes[str(batch.offset)] = judged.record.to_json()
        await worker.finish(batch, outputs, nonces_state, changes)


@worker.timer(settings.key_poll / 1000)
async def tell_keys() -> None:
    """What has changed of the keys is told."""
    if worker.producer is None:
        return
    for key_id, event in keys.untold():
        await (await worker.send_one(KEYS, 0, key_id, event))
        keys.told(key_id, event)


def _require_append_time(batch: Batch) -> None:
    """A client that could set the time of its message could reopen every window."""
    if batch.event.message.timestamp_type != LOG_APPEND_TIME:
        raise BrokerMismatch(
            "messages of orders.submitted must carry the broker's append time, carry the client's",
            detail=f"partition {batch.partition}, offset {batch.offset}",
            hint="set message.timestamp.type=LogAppendTime on the topic, as `ironbook topics create` does",
        )
