"""The only clock of the functions; handlers read it and hand the time in."""

from __future__ import annotations

import time

__all__ = ["now_ns"]


def now_ns() -> int:
    """Nanoseconds since the epoch."""
    return time.time_ns()
