"""One run of the function in a process of its own: how much memory it ever had, and how long it took.

python -m tests.functions.reporting.peak DAY NOW_NS        settings in the environment, as Lambda gives them
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path

from functions.common.aws import Clients
from functions.common.settings import load
from functions.reporting.request import parse
from functions.reporting.run import REPORTS, run
from functions.reporting.settings import Settings


def peak_bytes() -> int:
    """The most memory this program ever had resident. ru_maxrss would count what forked it: exec keeps that figure."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def main(day: str, now_ns: int) -> None:
    """Print what was found as one line."""
    begun_s = time.monotonic()
    answer = asyncio.run(run(load(Settings, os.environ), parse({"day": day}, now_ns, REPORTS), Clients()))
    found = {
        "peak_bytes": peak_bytes(),
        "seconds": round(time.monotonic() - begun_s, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "answer": answer,
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
