"""One run of the function in a process of its own: how much memory it ever had, and how long it took.

    python -m tests.functions.reporting.peak DAY NOW_NS        settings in the environment, as Lambda gives them
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time

from functions.common.aws import Clients
from functions.common.settings import load
from functions.reporting.request import parse
from functions.reporting.run import REPORTS, run
from functions.reporting.settings import Settings


def main(day: str, now_ns: int) -> None:
    """Print what was found as one line."""
    begun_s = time.monotonic()
    answer = asyncio.run(run(load(Settings, os.environ), parse({"day": day}, now_ns, REPORTS), Clients()))
    found = {
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "seconds": round(time.monotonic() - begun_s, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "answer": answer,
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
