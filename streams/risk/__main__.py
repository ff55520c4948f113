"""`python -m streams.risk`: run the worker."""

from __future__ import annotations

import sys

from streams.risk import agents, control
from streams.risk.app import worker

if __name__ == "__main__":
    agents.attach()
    control.attach()
    sys.exit(worker.run())
