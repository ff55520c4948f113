"""Lambda's way in: {"shard": 0, "flush": false} ──▶ what was archived and trimmed."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit, single_metric

from functions.archiver.archive import Archiver
from functions.archiver.aws import bucket, journal_topic
from functions.archiver.settings import Settings
from functions.common.aws import Clients, tell_failure
from functions.common.errors import EventInvalid
from functions.common.log import logger
from functions.common.runtime import now_ns
from functions.common.settings import load, need, need_object

LOG = logger("archiver")
SHARD_MAX = 99_999
LEAVE_S = 20.0  # of the call, to finish the object under way and to answer


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Archive one shard's topic. Raises IronbookError; people are told too."""
    settings, clients = load(Settings, os.environ), Clients()
    try:
        answer = asyncio.run(_run(settings, clients, need_object(event), context))
    except Exception as error:  # whatever it is, people hear of it
        tell_failure(clients, settings.alerts_topic_arn, LOG, "archiver", error)
        raise
    LOG.info("archived", did=answer)
    if settings.metrics_environment and not answer["another_archiver"]:
        with single_metric("ArchiveLagSeconds", MetricUnit.Seconds, answer["lag_s"], namespace="Ironbook") as metric:
            metric.add_dimension("Environment", settings.metrics_environment)
    return answer


async def _run(settings: Settings, clients: Clients, event: dict[str, Any], context: Any) -> dict[str, Any]:
    need(settings, "archive_bucket", "kafka")
    shard, flush = event.get("shard", 0), event.get("flush", False)
    known = set(event) <= {"shard", "flush"}
    if not known or type(shard) is not int or not 0 <= shard <= SHARD_MAX or not isinstance(flush, bool):
        raise EventInvalid(
            f"an event must be a shard from 0 to {SHARD_MAX} and flush, true or false, and no more; was {event!r}"[:300]
        )
    allowed_s = min(settings.call_s_max, context.get_remaining_time_in_millis() / 1000 - LEAVE_S)
    ends_s = time.monotonic() + allowed_s
    archiver = Archiver(
        store=bucket(clients, settings),
        topic=journal_topic(clients, settings, shard),
        shard=shard,
        settings=settings,
        now_ns=now_ns(),
        remaining_s=lambda: ends_s - time.monotonic(),
    )
    return await archiver.run(flush=flush)
