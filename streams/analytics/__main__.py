"""python -m streams.analytics"""

from __future__ import annotations

from streams.analytics import agents  # noqa: F401  their decorators tell the worker of them
from streams.analytics.app import worker

if __name__ == "__main__":
    raise SystemExit(worker.run())
