"""python -m streams.submitter"""

from __future__ import annotations

from streams.submitter import agents  # noqa: F401  their decorators tell the worker of them
from streams.submitter.app import worker

if __name__ == "__main__":
    raise SystemExit(worker.run())
