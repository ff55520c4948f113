"""The worker of analytics: `python -m streams.analytics` runs it."""

from __future__ import annotations

from streams.common.settings import load
from streams.common.worker import make_worker

settings = load()
worker = make_worker("analytics", settings, reference_topics=("instruments", "book.top"))
