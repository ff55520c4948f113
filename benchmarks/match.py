"""Three engines do the same flows, back to back: ours, exchange-core (Java) and orderbook-rs (Rust).

    flow file ──▶ match (benchmarks/match.c)              the whole core: ledger, checks, id lookup, all events
              ──▶ exchange-core, pipeline                 ring, risk engine, matching engine, journaling off: every CPU
              ──▶ exchange-core, one CPU                  the same with all its threads on one CPU
              ──▶ exchange-core, book                     its order book alone: no accounts, no risk, no ring
              ──▶ orderbook-rs                            books without accounts; a prefix, it is slow
              ──▶ match again                             the better of its two runs counts

Every harness replays the part of a flow that sets the stage, times the rest over some rounds from the start, takes the
best, and answers once more with fill totals and the digest of all fills; all must be what the dense book of the flows
says. Ours, the book and orderbook-rs work on one thread. The pipeline's stages are threads of their own: it is measured
with every CPU, as it is meant to run, and on one, which is what ours has. The book's thread is not pinned, so that
compiler and collector do not disturb it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import flows
from benchmarks.flows import Answer
from benchmarks.machine import Placement, describe, placement
from benchmarks.servers import PROGRAMS, ROOT

__all__ = ["PeerMissing", "Size", "REAL", "SMOKE", "compare", "exchange_core", "orderbook_rs", "run_match"]

SOURCES = ROOT / "benchmarks" / "peers"
BUILT = ROOT / "build" / "peers"
ENGINE_SECONDS_MAX = 300  # of one engine on one flow
# exchange-core's serialization (Chronicle) reaches into these on Java 17.
JAVA_OPENS = ("java.base/java.lang", "java.base/java.nio", "java.base/sun.nio.ch")
SPINNING_CPUS_MIN = 6  # fewer: the pipeline's threads yield while they wait, which is its best there


class PeerMissing(Exception):
    """A peer cannot be had on this machine: no tool to build it with, or its registry cannot be reached."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything."""

    flows: Mapping[str, tuple[int, int]]
    rounds: int  # of ours, which runs twice: as many as of Java and, on the prefix, of orderbook-rs
    java_rounds: int
    warm_rounds: int  # of Java, and not counted: the compiler learns
    slow_rounds: int  # of orderbook-rs
    slow_timed: int  # its timed operations at most


SMOKE = Size(flows=flows.SMOKE, rounds=1, java_rounds=1, warm_rounds=0, slow_rounds=1, slow_timed=2_000)
REAL = Size(flows=flows.FLOWS, rounds=2, java_rounds=4, warm_rounds=3, slow_rounds=2, slow_timed=200_000)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an engine did with a flow."""

    ns_per_command: float
    undisturbed: float | None  # the same, each stretch of 1,024 commands from the round where it took least
    answer: Answer


Engine = Callable[[Path], Result]


# ---- Engines ---------------------------------------------------------------------------------------------------------


def _tool(name: str, of: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(Path.home() / ".cargo" / "bin"))
    if found is None:
        raise PeerMissing(f"{of} needs {name}, which is not installed")
    return found


def _step(what: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[bool, str]:
    """Whether a command worked, and what it said."""
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ) | dict(environment or {}))
    return done.returncode == 0, f"{what}: {(done.stderr + done.stdout).strip()[-2000:] or done.returncode}"


def _run(name: str, command: Sequence[str]) -> Result:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ENGINE_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{name} must be done within {ENGINE_SECONDS_MAX} s, was not: {command}") from None
    if done.returncode != 0:
        raise RuntimeError(f"{name}: {done.stderr.strip()[-2000:] or done.returncode}")
    said = json.loads(done.stdout.splitlines()[-1])
    answer = Answer(**{field.name: said[field.name] for field in dataclasses.fields(Answer)})
    return Result(
        ns_per_command=float(said["ns_per_command"]),
        undisturbed=said.get("ns_per_command_undisturbed"),
        answer=answer,
    )


def _ours(place: Placement, size: Size) -> Engine:
    """Cancels name an order by the client's own number, so that the core has to look it up."""

    def run(path: Path) -> Result:
        command = [str(PROGRAMS / "match"), str(path), str(size.rounds), "client"]
        return _run("match", place.command(place.server_cpu, command))

    return run


def exchange_core(size: Size, part: str, on_one_cpu: Placement | None = None) -> Engine:
    """exchange-core, "pipeline" or "book"; built if it is not. Raises PeerMissing."""
    java, javac, maven = (_tool(name, "exchange-core") for name in ("java", "javac", "mvn"))
    built, source = BUILT / "exchange_core", SOURCES / "exchange_core"
    if not (built / "lib").exists():
        fetch = [maven, "-q", "-B", "-f", str(source / "pom.xml"), "dependency:copy-dependencies"]
        worked, said = _step("exchange-core cannot be fetched", fetch)
        if not worked:
            shutil.rmtree(built / "lib", ignore_errors=True)
            raise PeerMissing(said)
    sources = sorted(map(str, (source / "src").glob("*.java")))
    classes = built / "classes"
    if not classes.exists() or classes.stat().st_mtime < max(Path(name).stat().st_mtime for name in sources):
        shutil.rmtree(classes, ignore_errors=True)
        worked, said = _step("javac", [javac, "-d", str(classes), "-cp", f"{built / 'lib'}/*", *sources])
        if not worked:
            raise RuntimeError(said)
    spins = on_one_cpu is None and (os.cpu_count() or 1) >= SPINNING_CPUS_MIN

    def run(path: Path) -> Result:
        command = [
            java, "-Xmx3g", "-XX:+UseParallelGC", *(f"--add-opens={name}=ALL-UNNAMED" for name in JAVA_OPENS),
            "-cp", f"{classes}:{built / 'lib'}/*", "Peer", str(path), str(size.java_rounds), str(size.warm_rounds),
            part, "BUSY_SPIN" if spins else "YIELDING",
        ]  # fmt: skip
        if on_one_cpu is not None:
            command = on_one_cpu.command(on_one_cpu.server_cpu, command)
        return _run(f"exchange-core {part}", command)

    return run


def orderbook_rs(place: Placement, size: Size) -> Engine:
    """orderbook-rs; built if it is not, which takes a minute or two once. Raises PeerMissing."""
    cargo = _tool("cargo", "orderbook-rs")
    built, manifest = BUILT / "orderbook_rs", str(SOURCES / "orderbook_rs" / "Cargo.toml")
    program = built / "release" / "orderbook-rs-peer"
    environment = {"CARGO_TARGET_DIR": str(built)}
    if not program.exists():
        fetch = [cargo, "fetch", "--manifest-path", manifest]
        worked, said = _step("orderbook-rs cannot be fetched", fetch, environment)
        if not worked:
            raise PeerMissing(said)
    build = [cargo, "build", "-q", "--release", "--offline", "--manifest-path", manifest]
    worked, said = _step("cargo", build, environment)
    if not worked and "requires rustc" in said:
        raise PeerMissing(said)
    if not worked:
        raise RuntimeError(said)

    def run(path: Path) -> Result:
        command = [str(program), str(path), str(size.slow_rounds), "0"]
        return _run("orderbook-rs", place.command(place.server_cpu, command))

    return run


# ---- Comparing -------------------------------------------------------------------------------------------------------


def compare(name: str, engine: Engine, path: Path) -> Result:
    """Run an engine. Raises RuntimeError if it did not answer what the dense book says."""
    must, result = flows.answer(path), engine(path)
    if result.answer != must:
        raise RuntimeError(f"{name} must answer {path.name} with {must}, found {result.answer}")
    return result


@dataclasses.dataclass(slots=True)
class _Figures:
    ours: dict[str, float] = dataclasses.field(default_factory=dict)
    theirs: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)  # by peer, by flow
    ratios: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    undisturbed: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)  # by engine, by flow
    undisturbed_ratios: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)

    def add(self, flow: str, peer: str, theirs: Result, ours: Result) -> float:
        """A peer's result beside ours on the same operations. Returns the ratio."""
        self.theirs.setdefault(peer, {})[flow] = theirs.ns_per_command
        self.ratios.setdefault(peer, {})[flow] = round(theirs.ns_per_command / ours.ns_per_command, 2)
        if theirs.undisturbed and ours.undisturbed:
            self.undisturbed.setdefault(peer, {})[flow] = theirs.undisturbed
            self.undisturbed_ratios.setdefault(peer, {})[flow] = round(theirs.undisturbed / ours.undisturbed, 2)
        return theirs.ns_per_command / ours.ns_per_command

    def least(self, peer: str) -> float | None:
        """The peer's smallest ratio of all flows: what is said of a peer holds for each flow."""
        return min(self.ratios[peer].values()) if peer in self.ratios else None


def _peers(place: Placement, size: Size) -> dict[str, Engine]:
    builds: dict[str, Callable[[], Engine]] = {
        "exchange-core pipeline": lambda: exchange_core(size, "pipeline"),
        "exchange-core one CPU": lambda: exchange_core(size, "pipeline", place),
        "exchange-core book": lambda: exchange_core(size, "book"),
        "orderbook-rs": lambda: orderbook_rs(place, size),
    }
    found: dict[str, Engine] = {}
    for name, build in builds.items():
        try:
            found[name] = build()
        except PeerMissing as missing:
            print(f"{name} is left out: {missing}")
    return found


def _better(first: Result, second: Result) -> Result:
    """The better of two runs of one engine."""
    undisturbed = min((each for each in (first.undisturbed, second.undisturbed) if each is not None), default=None)
    best = min(first.ns_per_command, second.ns_per_command)
    return Result(ns_per_command=best, undisturbed=undisturbed, answer=first.answer)


def _tell(flow: str, engine: str, result: Result, more: str) -> None:
    calm = f" ({result.undisturbed:.1f} undisturbed)" if result.undisturbed is not None else ""
    print(f"{flow:8s} {engine:22s} {result.ns_per_command:9.1f} ns a command{calm}, {more}", flush=True)


def _measure(size: Size, name: str, path: Path, ours: Engine, peers: Mapping[str, Engine], figures: _Figures) -> None:
    first = compare("ironbook", ours, path)
    theirs = {peer: compare(peer, engine, path) for peer, engine in peers.items() if peer != "orderbook-rs"}
    best = _better(first, compare("ironbook", ours, path))
    figures.ours[name] = best.ns_per_command
    if best.undisturbed is not None:
        figures.undisturbed.setdefault("ironbook", {})[name] = best.undisturbed
    answer = best.answer
    _tell(name, "ironbook", best, f"{answer.fills} fills, {answer.lots} lots, digest {answer.digest}")
    for peer, result in theirs.items():
        _tell(name, peer, result, f"{figures.add(name, peer, result, best):.1f} times")
    if "orderbook-rs" in peers:
        short = flows.cut(path, size.slow_timed)
        slow = compare("orderbook-rs", peers["orderbook-rs"], short)
        prefix = compare("ironbook", ours, short)
        which = f"the first {size.slow_timed} timed operations; ironbook on these: {prefix.ns_per_command:.1f}"
        _tell(name, "orderbook-rs", slow, f"{figures.add(name, 'orderbook-rs', slow, prefix):.1f} times ({which})")
        short.unlink()


def run_match(size: Size) -> dict[str, object]:
    """The comparison; its figures."""
    place = placement(0)  # ordinary scheduling for all
    print(*describe(place), sep="\n")
    ours, peers = _ours(place, size), _peers(place, size)
    figures = _Figures()
    for name, (resting, timed) in size.flows.items():
        try:
            path = flows.make(name, resting=resting, timed=timed)
        except flows.TapeMissing as missing:
            print(f"{name} is left out: {missing}")
            continue
        _measure(size, name, path, ours, peers, figures)
    for peer, ratios in figures.ratios.items():
        mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
        print(f"{peer}: {min(ratios.values()):.1f} times at least, {mean:.1f} in the geometric mean")
    return {
        "ns_per_command": figures.ours,
        "exchange_core_ratio": figures.least("exchange-core pipeline"),
        "exchange_core_one_cpu_ratio": figures.least("exchange-core one CPU"),
        "orderbook_rs_ratio": figures.least("orderbook-rs"),
        "ratio_is": "the peer's ns a command over ours, the smallest of the flows",
        "ratios": figures.ratios,
        "peers_ns_per_command": figures.theirs,
        "undisturbed": figures.undisturbed,
        "undisturbed_ratios": figures.undisturbed_ratios,
        "machine": describe(place)[0].partition(" ")[2].strip(),
    }
