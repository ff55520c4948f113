"""Daily and on-demand reports: the event, the use case, the answer."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from functions.common.aws import Clients, tell_failure
from functions.common.log import logger
from functions.common.runtime import now_ns
from functions.common.settings import load, need_object
from functions.reporting.request import parse
from functions.reporting.run import REPORTS, run
from functions.reporting.settings import Settings

__all__ = ["handle", "now_ns"]  # the clock is handed in from here

LOG = logger("reporting")


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Make what is asked for; a failure is told to the alerts' topic and raised."""
    settings, clients = load(Settings, os.environ), Clients()
    try:
        answer = asyncio.run(run(settings, parse(need_object(event), now_ns(), REPORTS), clients))
    except Exception as error:
        tell_failure(clients, settings.alerts_topic_arn, LOG, "reporting", error)
        raise
    LOG.info("report_made", extra={"made": {**answer, "link": "(signed)"}})
    return answer
