"""Run a benchmark: `python -m benchmarks.run ingress|replay|match [--smoke|--real]`.

    ingress    signed order -> acknowledgement at a real engine node, against plain echoes, alternating in one run;
               then pipelined orders a second at both survival levels
    replay     commands a second from journal to state; bytes a resting order
    match      nanoseconds a command of five flows, the core alone, beside other engines (benchmarks/match.py)

Smoke sizes prove that everything runs and every answer is right; their figures mean nothing. Real sizes take about two
minutes, match about five. Each run prints machine, scheduling and a digest of the answers; the last line is one JSON
object.
Nothing here passes or fails by time: only a wrong answer ends a run.
"""

from __future__ import annotations

import argparse
import array
import contextlib
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import match, servers
from benchmarks.machine import Placement, describe, placement
from benchmarks.servers import PROGRAMS, ROOT, Server

__all__ = ["main"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything."""

    rounds: int  # of alternating round trips
    trips: int  # in one round, at each server
    open_orders: int  # resting while orders come in
    pipe_rounds: int
    pipe_commands: int
    pipe_window: int  # reports awaited at most
    replay_commands: int
    replay_rounds: int
    resting_orders: int
    realtime_priority: int


SMOKE = Size(
    rounds=2, trips=200, open_orders=256, pipe_rounds=1, pipe_commands=20_000, pipe_window=2048,
    replay_commands=50_000, replay_rounds=1, resting_orders=20_000,
    realtime_priority=0,  # a test must not keep a CPU from everybody else
)  # fmt: skip
REAL = Size(
    rounds=24, trips=5_000, open_orders=10_000, pipe_rounds=5, pipe_commands=2_000_000, pipe_window=8192,
    replay_commands=8_000_000, replay_rounds=5, resting_orders=1_000_000, realtime_priority=10,
)  # fmt: skip


def _load(place: Placement, server: Server, *arguments: str) -> dict[str, float | str]:
    """One run of the load generator; its JSON line. Raises RuntimeError with what it said if an answer was wrong."""
    program = [str(PROGRAMS / "load"), arguments[0], str(server.port), *arguments[1:]]
    # Many orders in flight keep the generator busy, and the journal's sync thread shares its CPU: it must get its turn.
    command = place.command(place.load_cpu, program, realtime=arguments[0] != "pipe")
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ) | server.environment)
    if done.returncode != 0:
        raise RuntimeError(f"load {arguments[0]} at {server.name}: {done.stderr.strip() or done.returncode}")
    answer: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _percentile(samples: Sequence[int], part: float) -> int:
    return samples[min(len(samples) - 1, int(len(samples) * part))]


# ---- Round trips -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(slots=True)
class _Trips:
    """Round trips at one server, over all rounds."""

    p50: list[float] = dataclasses.field(default_factory=list)  # of each round, ns
    p99: list[float] = dataclasses.field(default_factory=list)
    samples: array.array[int] = dataclasses.field(default_factory=lambda: array.array("I"))
    digests: set[str] = dataclasses.field(default_factory=set)

    def take(self, answer: dict[str, float | str], path: Path) -> None:
        self.p50.append(float(answer["p50_ns"]))
        self.p99.append(float(answer["p99_ns"]))
        self.digests.add(str(answer["digest"]))
        with path.open("rb") as file:
            self.samples.frombytes(file.read())

    def line(self, name: str) -> str:
        pooled = sorted(self.samples)
        p50, p99, p999 = (_percentile(pooled, part) / 1000 for part in (0.5, 0.99, 0.999))
        return f"{name:14s} p50 {p50:7.1f}  p99 {p99:7.1f}  p99.9 {p999:7.1f} us   ({len(pooled)} round trips)"


def _measure_trips(place: Placement, size: Size, directory: Path) -> dict[str, float]:
    with contextlib.ExitStack() as stack:
        pairs = [
            stack.enter_context(servers.echo(place, "block", directory)),
            stack.enter_context(
                servers.engine(place, directory, name="engine block", level="process", busy_poll=False)
            ),
            stack.enter_context(servers.uvloop_echo(place, directory)),
            stack.enter_context(servers.echo(place, "spin", directory)),
        ]
        for server in pairs:  # before a spinning engine takes the CPU for itself
            server.pause()
        pairs.append(
            stack.enter_context(servers.engine(place, directory, name="engine spin", level="process", busy_poll=True))
        )
        pairs[-1].pause()
        found = {server.name: _Trips() for server in pairs}
        samples = directory / "samples"
        for server in pairs:
            if server.environment:
                server.resume()
                _load(place, server, "setup", str(size.open_orders))
                server.pause()
        for _ in range(size.rounds):
            for server in pairs:
                server.resume()
                if server.environment:
                    answer = _load(place, server, "trip", str(size.open_orders), str(size.trips), str(samples))
                else:
                    answer = _load(place, server, "echo", str(size.trips), str(samples))
                server.pause()
                found[server.name].take(answer, samples)
    return _tell_trips(found)


def _tell_trips(found: dict[str, _Trips]) -> dict[str, float]:
    for name, trips in found.items():
        print(trips.line(name))
    digests = found["engine block"].digests | found["engine spin"].digests
    if len(digests) != 1:
        raise RuntimeError(f"every run of one flow must be answered alike, found digests {sorted(digests)}")
    print(f"answers        digest {digests.pop()}")

    def ratio(ours: str, theirs: str, which: str) -> float:
        # Of each round, back to back; the middle of them: a neighbour's burst on a shared machine hits one round.
        pairs = zip(getattr(found[ours], which), getattr(found[theirs], which), strict=True)
        return round(float(statistics.median(mine / other for mine, other in pairs)), 3)

    return {
        "median_ratio": ratio("engine block", "echo block", "p50"),
        "p99_ratio": ratio("engine block", "echo block", "p99"),
        "spin_median_ratio": ratio("engine spin", "echo spin", "p50"),
        "spin_p99_ratio": ratio("engine spin", "echo spin", "p99"),
        "uvloop_median_ratio": ratio("engine block", "echo uvloop", "p50"),
    }


# ---- Pipelined -------------------------------------------------------------------------------------------------------


def _measure_pipe(place: Placement, size: Size, directory: Path, level: str) -> float:
    """Signed frames a second, the median of the rounds: orders that rest, that take, and cancels."""
    rates, digests = [], set()
    # Half of the reports kept may wait for the disk before the engine stops reading: enough for one sync's worth.
    room = {"REPORTS_KEPT": str(2 * size.pipe_window), "KEY_COUNT_MAX": "16"}
    with servers.engine(place, directory, name=f"pipe {level}", level=level, busy_poll=False, extra=room) as server:
        _load(place, server, "setup", str(size.open_orders))
        for _ in range(size.pipe_rounds):
            answer = _load(place, server, "pipe", str(size.open_orders), str(size.pipe_commands), str(size.pipe_window))
            rates.append(float(answer["commands_per_s"]))
            digests.add(answer["digest"])
    if len(digests) != 1:
        raise RuntimeError(f"every run of one flow must be answered alike, found digests {sorted(map(str, digests))}")
    median = statistics.median(rates)
    print(
        f"{level:8s}       {median:,.0f} signed commands/s (least {min(rates):,.0f}, most {max(rates):,.0f}); of each "
        f"{answer['commands']}: {answer['orders']} orders, {answer['fills']} fills, {answer['reports']} reports; "
        f"digest {digests.pop()}"
    )
    return round(median)


def run_ingress(size: Size, directory: Path) -> dict[str, float]:
    """The ingress benchmark; its figures."""
    place = placement(size.realtime_priority)
    print(*describe(place), sep="\n")
    figures = _measure_trips(place, size, directory)
    figures["orders_per_s_process"] = _measure_pipe(place, size, directory, "process")
    figures["orders_per_s_disk"] = _measure_pipe(place, size, directory, "disk")
    return figures


# ---- Replay ----------------------------------------------------------------------------------------------------------


def _replay(place: Placement, *arguments: str) -> dict[str, float | str]:
    command = place.command(place.server_cpu, [str(PROGRAMS / "replay"), *arguments])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"replay {arguments[0]}: {done.stderr.strip() or done.returncode}")
    *said, last = done.stdout.splitlines()
    print(*(f"  {line}" for line in said), sep="\n")
    answer: dict[str, float | str] = json.loads(last)
    return answer


def run_replay(size: Size, directory: Path) -> dict[str, float]:
    """The replay benchmark; its figures."""
    place = placement(size.realtime_priority)
    print(*describe(place), sep="\n")
    speed = _replay(
        place, "speed", str(directory / "journal"), str(size.replay_commands), str(size.open_orders),
        str(size.replay_rounds),
    )  # fmt: skip
    memory = _replay(place, "memory", str(size.resting_orders))
    print(
        f"replay         {float(speed['commands_per_s']):,.0f} commands/s to state, "
        f"{float(speed['commands_per_s_all_events']):,.0f} with all events; digest {speed['digest']}"
    )
    print(
        f"memory         {memory['resting_orders']:,} resting orders: {float(memory['resident_bytes']) / 2**20:.1f} "
        f"MiB resident of {float(memory['reserved_bytes']) / 2**20:.1f} reserved; digest {memory['digest']}"
    )
    return {
        "commands_per_s": float(speed["commands_per_s"]),
        "commands_per_s_all_events": float(speed["commands_per_s_all_events"]),
        "bytes_per_resting_order": float(memory["bytes_per_resting_order"]),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. 0, or 1 with a sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["ingress", "replay", "match"])
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--real", action="store_true", help="real sizes (minutes)")
    sizes.add_argument("--smoke", action="store_true", help="small sizes, a few seconds: proves the answers (default)")
    chosen = parser.parse_args(arguments)
    if not (PROGRAMS / "load").exists():
        print("the benchmark programs must be built: run `make build`", file=sys.stderr)
        return 1
    (ROOT / "build").mkdir(exist_ok=True)  # on the disk of the tree: a journal in memory would flatter `disk`
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=ROOT / "build"))
    try:
        if chosen.what == "match":
            print(json.dumps(match.run_match(match.REAL if chosen.real else match.SMOKE)))
        else:
            measure = run_ingress if chosen.what == "ingress" else run_replay
            print(json.dumps(measure(REAL if chosen.real else SMOKE, directory)))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
