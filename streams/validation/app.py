"""The worker of validation: `python -m streams.validation` runs it."""

from __future__ import annotations

from streams.common.settings import load
from streams.common.worker import make_worker

settings = load()
worker = make_worker("validation", settings, reference_topics=("instruments", "accounts"))
