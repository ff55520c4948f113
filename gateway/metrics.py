"""Counters and gauges of the gateway, as /metrics shows them."""

from __future__ import annotations

from collections import Counter


class Metrics:
    """counters: by name, only rise. gauges: by name, as last set."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
