"""What a function's cold start costs before its first line of work: `python -m benchmarks.cold_start [--smoke|--real]`.

    zip ──unpacked──▶ a fresh process ──▶ import of the handler     beside it: a handler that imports boto3, no more

The zip is made for this interpreter; its files have no compiled twins and get none, as in Lambda, whose own start is
not in the figures. Rounds alternate between the functions; the least counts, being the one least disturbed. A handler
that does not import ends the run; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import Placement, describe, placement
from functions.common import package as packing
from functions.common.invoke import names

__all__ = ["Start", "main", "measure"]

SMOKE, REAL = 1, 7  # rounds
TIMEOUT_S = 120
BARE = "bare"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
Start = dict[str, float]  # import_ms, cpu_ms, resident_mib
# What Lambda's runtime has besides the zip.
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3")
PROGRAM = """
import json, re, sys, time
sys.path[:0] = {paths!r}
began = time.perf_counter(), time.process_time()
import importlib
assert callable(importlib.import_module({module!r}).handle)
ended = time.perf_counter(), time.process_time()
# Not ru_maxrss, which exec keeps from the process that forked.
used = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
print(json.dumps([(ended[0] - began[0]) * 1e3, (ended[1] - began[1]) * 1e3, used / 1024]))
"""


def measure(zips: dict[str, Path], rounds: int, place: Placement) -> dict[str, Start]:
    """The least figures of each function, and of the bare handler. Raises RuntimeError for one that does not import."""
    found: dict[str, Start] = {}
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "runtime").mkdir()
        for name in RUNTIME:
            source = Path(str(__import__(name.removesuffix(".py")).__file__))
            (root / "runtime" / name).symlink_to(source if name.endswith(".py") else source.parent)
        (root / BARE).mkdir()
        (root / BARE / "handler.py").write_text("import boto3\n\n\ndef handle(event, context):\n    return {}\n")
        for name, path in zips.items():
            with zipfile.ZipFile(path) as archive:
                archive.extractall(root / name)
        for _ in range(rounds):
            for name in (BARE, *zips):
                module = "handler" if name == BARE else f"functions.{name}.handler"
                taken = _start(place, [str(root / name), str(root / "runtime")], module)
                before = found.get(name, taken)
                found[name] = {key: min(value, before[key]) for key, value in taken.items()}
    return found


def _start(place: Placement, paths: list[str], module: str) -> Start:
    program = PROGRAM.format(paths=paths, module=module)
    python = [sys.executable, "-I", "-S", "-B", "-c", program]
    command = place.command(place.load_cpu, python)
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} must import from its zip alone: {done.stderr.strip()[-800:]}")
    import_ms, cpu_ms, resident_mib = json.loads(done.stdout)
    return {"import_ms": import_ms, "cpu_ms": cpu_ms, "resident_mib": resident_mib}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table and, as the last line, its figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--smoke", action="store_true", help="one round")
    size.add_argument("--real", action="store_true", help=f"{REAL} rounds")
    parser.add_argument("--to", type=Path, default=Path("build/functions-here"), help="where the zips are kept")
    parser.add_argument("names", nargs="*", help="functions; all unless told")
    given = parser.parse_args(arguments)
    place = placement(0)
    for line in describe(place):
        print(line)
    wanted = given.names or [name for name in names() if name not in packing.IMAGES]
    made: list[dict[str, Any]] = packing.package_all(wanted, given.to, PYTHON)
    found = measure({row["name"]: row["path"] for row in made}, REAL if given.real else SMOKE, place)
    sizes = {row["name"]: row for row in made}
    print(f"{'function':<10} {'zip MiB':>8} {'unpacked':>9} {'import ms':>10} {'CPU ms':>8} {'resident MiB':>13}")
    for name, start in found.items():
        row = sizes.get(name, {"zip_bytes": 0, "unpacked_bytes": 0})
        print(
            f"{name:<10} {row['zip_bytes'] / 2**20:8.1f} {row['unpacked_bytes'] / 2**20:9.1f} "
            f"{start['import_ms']:10.0f} {start['cpu_ms']:8.0f} {start['resident_mib']:13.1f}"
        )
    print(json.dumps({name: start | {"zip_bytes": sizes[name]["zip_bytes"]} if name in sizes else start
                      for name, start in found.items()}))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
