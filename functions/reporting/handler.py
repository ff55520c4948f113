"""Daily and on-demand reports: the event, the use case, the answer."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from functions.common.aws import Clients, alert
from functions.common.errors import CloudFailed, FunctionError
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
        _tell(settings, clients, error)
        raise
    LOG.info("report_made", extra={"made": {**answer, "link": "(signed)"}})
    return answer


def _tell(settings: Settings, clients: Clients, error: Exception) -> None:
    """An error that is not ours may hold anything, so only its name is told."""
    code = error.code if isinstance(error, FunctionError) else "unexpected"
    text = str(error) if isinstance(error, FunctionError) else f"{type(error).__name__}; see the function's log"
    try:
        alert(clients, settings.alerts_topic_arn, f"Ironbook: no report ({code})", text)
    except CloudFailed as failure:
        LOG.error("alert_failed", extra={"why": str(failure)})
