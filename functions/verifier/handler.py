"""Lambda's way in: {"shard": 0, "full": false} ──▶ what was verified. full: the next part of a pass over everything."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from functions.common.aws import Clients, tell_failure
from functions.common.errors import EventInvalid
from functions.common.log import logger
from functions.common.settings import load, need, need_object
from functions.verifier.command import answer_of, check_pass, command
from functions.verifier.errors import VerifyFailed
from functions.verifier.settings import Settings

LOG = logger("verifier")
SHARD_MAX = 99_999
LEAVE_S = 15  # of the call, to answer
SHARE_OF_CALL = 0.6  # of it, after which a day's end is the end; a day longer than the rest needs a longer call


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Verify one shard's archive. Raises IronbookError; people are told too."""
    settings, clients = load(Settings, os.environ), Clients()
    try:
        answer = _run(settings, need_object(event), context)
    except Exception as error:  # whatever it is, people hear of it
        tell_failure(clients, settings.alerts_topic_arn, LOG, "verifier", error)
        raise
    LOG.info("verified", did=answer)
    return answer


def _run(settings: Settings, event: dict[str, Any], context: Any) -> dict[str, Any]:
    need(settings, "archive_bucket")
    shard, full = event.get("shard", 0), event.get("full", False)
    known = set(event) <= {"shard", "full"}
    if not known or type(shard) is not int or not 0 <= shard <= SHARD_MAX or not isinstance(full, bool):
        raise EventInvalid(
            f"an event must be a shard from 0 to {SHARD_MAX} and full, true or false, and no more; was {event!r}"[:300]
        )
    allowed_s = max(1, context.get_remaining_time_in_millis() // 1000 - LEAVE_S)
    where = f"s3://{settings.archive_bucket}/journal/{shard:05d}/"
    words = command(
        settings.program, settings.archive_bucket, shard, full=full, limit_s=max(1, int(allowed_s * SHARE_OF_CALL))
    )
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=allowed_s, check=False)
    except subprocess.TimeoutExpired:
        raise VerifyFailed(
            f"an archive must be verified within {allowed_s} s, was not",
            detail=where,
            hint="a day that takes longer runs where there is more time: the same image or "
            "`ironbook journal verify --archive` on any machine, with --record",
        ) from None
    except OSError as error:
        raise VerifyFailed(f"the program must start: {error}", detail=settings.program) from None
    answer = answer_of(done.returncode, done.stdout, done.stderr, where)
    if full:
        check_pass(answer, where)
    return answer
