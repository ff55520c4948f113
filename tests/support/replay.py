"""The replay tool of tests/tools/replay.c, built with the sanitizers: the second opinion on an engine's state."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "sanitize"
BUILD_TIMEOUT_S = 300
REPLAY_TIMEOUT_S = 300


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a fresh core is after a journal's records up to `sequence`."""

    sequence: int
    digest: str  # 16 hexadecimal digits


@cache
def replay_tool() -> Path:
    """The program, built now if it is older than its sources. Fails the test if it cannot be built."""
    path = os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ.get("PATH", "")])
    environment = os.environ | {"PATH": path}
    cmake, ninja = (shutil.which(name, path=path) for name in ("cmake", "ninja"))
    assert cmake is not None, "cmake must be there, as `make build` uses it"
    assert ninja is not None, "ninja must be there, as `make build` uses it"
    if not (BUILD / "build.ninja").exists():
        flags = ["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug", "-DIRONBOOK_SANITIZE=ON", "-DIRONBOOK_EXTENSION=OFF"]
        run([cmake, "-S", str(ROOT), "-B", str(BUILD), *flags], environment)
    run([ninja, "-C", str(BUILD), "-j", "2", "tool_replay"], environment)
    return BUILD / "tools" / "replay"


def replay(journal: Path, sequences: Iterable[int] = ()) -> list[Replayed]:
    """Replay a journal directory, checking everything; what it is at each sequence (in order) and at the end.

    Fails the test if anything is wrong.
    """
    command = [str(replay_tool()), str(journal), *map(str, sequences)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=REPLAY_TIMEOUT_S, check=False)
    assert done.returncode == 0, f"replay of {journal} must succeed: {done.stderr[-4000:]}"
    said = [json.loads(line) for line in done.stdout.splitlines()]
    return [Replayed(sequence=state["sequence"], digest=state["digest"]) for state in said]


def run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, env=environment, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} must succeed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
