"""What a command costs, by how many orders rest: `python -m benchmarks.depth [--smoke|--real] [--plot FILE]`.

The flow `deep` with 10^3 to 10^7 resting orders; of each run the nanoseconds a command and the worst single command,
by name: the greatest of the least times that each command took over the rounds, so that what the machine does in
between is not taken for a command's cost. A wrong answer ends the run; the last line is one JSON object. --plot writes
an SVG.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import flows
from benchmarks.machine import Placement, describe, placement
from benchmarks.servers import PROGRAMS

__all__ = ["Point", "main", "measure", "plot"]

SMOKE = ((1_000, 2_000), 2_000, 1)  # resting orders, timed operations, rounds
REAL = ((1_000, 10_000, 100_000, 1_000_000, 10_000_000), 1_000_000, 5)
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 70, 20, 40, 60
LEAST_NS, MOST_NS = 50.0, 20_000.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One depth."""

    resting: int
    ns_per_command: float
    undisturbed: float
    worst_ns: float
    worst: str  # which command, and what it did


def measure(place: Placement, resting: int, timed: int, rounds: int) -> Point:
    """Run the flow with so many resting orders. Raises RuntimeError if the answer is wrong."""
    path = flows.make(f"deep{resting}", resting=resting, timed=timed)
    try:
        command = place.command(place.server_cpu, [str(PROGRAMS / "match"), str(path), str(rounds), "client"])
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"match: {done.stderr.strip() or done.returncode}")
        said, must = json.loads(done.stdout.splitlines()[-1]), flows.answer(path)
    finally:
        path.unlink()
    found = flows.Answer(**{field.name: said[field.name] for field in dataclasses.fields(flows.Answer)})
    if found != must:
        raise RuntimeError(f"the core must answer {path.name} with {must}, found {found}")
    worst = said["worst"]
    return Point(
        resting=resting,
        ns_per_command=said["ns_per_command"],
        undisturbed=said["ns_per_command_undisturbed"],
        worst_ns=said["worst_ns"],
        worst=f"{worst['kind']}, {worst['fills']} fills, operation {worst['operation']}",
    )


# ---- Drawing ---------------------------------------------------------------------------------------------------------


def _x(resting: float, points: Sequence[Point]) -> float:
    least, most = math.log10(points[0].resting), math.log10(points[-1].resting)
    return LEFT + (math.log10(resting) - least) / max(most - least, 1e-9) * (WIDTH - LEFT - RIGHT)


def _y(ns: float) -> float:
    part = (math.log10(ns) - math.log10(LEAST_NS)) / (math.log10(MOST_NS) - math.log10(LEAST_NS))
    return HEIGHT - BOTTOM - min(max(part, 0.0), 1.0) * (HEIGHT - TOP - BOTTOM)


def _line(points: Sequence[Point], field: str, colour: str, name: str) -> list[str]:
    spots = [(_x(p.resting, points), _y(getattr(p, field))) for p in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    last = spots[-1]
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in spots),
        f'<text x="{last[0] - 4:.1f}" y="{last[1] - 10:.1f}" text-anchor="end" fill="{colour}">{name}</text>',
    ]


def plot(points: Sequence[Point]) -> str:
    """Both axes are logarithmic: a cost that grew with the depth would rise like the diagonal."""
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14">Nanoseconds a command, by resting orders</text>',
    ]
    for ns in (100, 1_000, 10_000):
        out.append(f'<path d="M{LEFT} {_y(ns):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{_y(ns) + 4:.1f}" text-anchor="end">{ns:,} ns</text>')
    for point in points:
        x = _x(point.resting, points)
        out.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        out.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{point.resting:,}</text>')
    out += _line(points, "worst_ns", "#b3541e", "worst single command")
    out += _line(points, "ns_per_command", "#1e5fb3", "all commands")
    out.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 14}" text-anchor="middle">resting orders</text></svg>')
    return "\n".join(out) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. 0, or 1 with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.depth", description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--smoke", action="store_true", help="small sizes, the default")
    size.add_argument("--real", action="store_true", help="10^3 to 10^7 orders: some minutes, 6 GiB")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write an SVG")
    chosen = parser.parse_args(arguments)
    depths, timed, rounds = REAL if chosen.real else SMOKE
    place = placement(10 if chosen.real else 0)
    print(*describe(place), sep="\n")
    points = []
    try:
        for resting in depths:
            point = measure(place, resting, timed, rounds)
            points.append(point)
            print(
                f"{resting:>12,} resting {point.ns_per_command:8.1f} ns a command"
                f" ({point.undisturbed:.1f} undisturbed), worst {point.worst_ns:8.0f} ns: {point.worst}",
                flush=True,
            )
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if chosen.plot is not None:
        chosen.plot.write_text(plot(points))
    print(json.dumps({"depth": [dataclasses.asdict(point) for point in points]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
