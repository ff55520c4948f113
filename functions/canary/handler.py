"""Lambda's way in: {} ──▶ how long an order and its cancel took."""

from __future__ import annotations

import os
import secrets
import time
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit, single_metric

from functions.canary.gateway import Gateway
from functions.canary.run import run
from functions.canary.settings import Settings
from functions.common.aws import Clients, read_secret, tell_failure
from functions.common.errors import EventInvalid
from functions.common.log import logger
from functions.common.runtime import now_ns
from functions.common.settings import load, need, need_object

LOG = logger("canary")


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Place and cancel one order. Raises IronbookError; people are told too."""
    settings, clients = load(Settings, os.environ), Clients()
    try:
        answer = _run(settings, clients, need_object(event))
    except Exception as error:  # whatever it is, people hear of it
        _measure(settings, "CanarySuccess", MetricUnit.Count, 0)
        tell_failure(clients, settings.alerts_topic_arn, LOG, "canary", error)
        raise
    LOG.info("canary", did=answer)
    _measure(settings, "CanarySuccess", MetricUnit.Count, 1)
    _measure(settings, "CanaryOrder", MetricUnit.Microseconds, answer["order_us"])
    _measure(settings, "CanaryCancel", MetricUnit.Microseconds, answer["cancel_us"])
    return answer


def _run(settings: Settings, clients: Clients, event: dict[str, Any]) -> dict[str, Any]:
    need(settings, "gateway_url", "key_secret", "symbol")
    symbol = event.get("symbol", settings.symbol)
    if not isinstance(symbol, str) or not symbol.isalnum() or len(symbol) > 32 or set(event) - {"symbol"}:
        raise EventInvalid(f"an event must be empty or name a symbol such as BTCUSD, was {event!r}"[:300])
    gateway = Gateway(
        settings.gateway_url,
        settings.gateway_ca_file,
        settings.request_timeout,
        lambda: read_secret(clients, settings.key_secret),
        now_ns,
    )
    return run(gateway, symbol, settings.away_ppm, secrets.token_hex(8), time.monotonic_ns)


def _measure(settings: Settings, name: str, unit: MetricUnit, value: int) -> None:
    """A metric in CloudWatch's embedded format: a line of the log, which needs no right."""
    if settings.metrics_environment:
        with single_metric(name, unit, value, namespace="Ironbook") as metric:
            metric.add_dimension("Environment", settings.metrics_environment)
