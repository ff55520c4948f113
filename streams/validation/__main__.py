"""python -m streams.validation"""

from __future__ import annotations

from streams.validation import agents  # noqa: F401  their decorators tell the worker of them
from streams.validation.app import worker

if __name__ == "__main__":
    raise SystemExit(worker.run())
