"""The table of risk: rows of journal.py, by partition."""

from __future__ import annotations

from streams.risk.app import worker

desks = worker.state("desks")
