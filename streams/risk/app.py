"""The worker of risk."""

from __future__ import annotations

from streams.common.settings import load
from streams.common.worker import make_worker
from streams.risk.topics import REFERENCE

worker = make_worker("risk", load(), reference_topics=REFERENCE)
