"""The worker of the submitter: `python -m streams.submitter` runs it."""

from __future__ import annotations

from streams.common.settings import load
from streams.common.worker import make_worker

settings = load()
worker = make_worker("submitter", settings, reference_topics=())
