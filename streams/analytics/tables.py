"""States of analytics: positions and accounts of a firm's partition, symbols of a symbol's; see rules.py."""

from __future__ import annotations

from streams.analytics.app import worker

firms = worker.state("firms", group="firm")
symbols = worker.state("symbols", group="symbol")
