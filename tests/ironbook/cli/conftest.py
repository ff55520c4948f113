"""An engine started by `ironbook up` in a process of its own, and the command line in this one."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from ironbook.cli._app import run
from tests.support.node import ROOT


@dataclasses.dataclass
class Said:
    """What a command line said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON object."""
        (line,) = self.out.splitlines()
        return orjson.loads(line)

    @property
    def lines(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [orjson.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Said]


class Up:
    """`ironbook up` as a process; without analytics and gateway unless an argument asks for them."""

    def __init__(self, data: Path, *arguments: str, **variables: str) -> None:
        self.data = data
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IRONBOOK_")}
        engine = {"IRONBOOK_ENGINE_ORDER_COUNT_MAX": "65536", "IRONBOOK_ENGINE_FREE_BYTES_MIN": "0"}
        wanted = {"--analytics", "--kafka", "--database"} & {*arguments}
        without = [*([] if wanted else ["--no-analytics"]), *([] if "--http" in arguments else ["--no-gateway"])]
        given = [*without, *arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ironbook", "up", "--data", str(data), "--listen", "127.0.0.1:0", *given],
            cwd=ROOT,
            env=kept | engine | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def first_line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> tuple[int, str, str]:
        """Wait until it ends by itself; exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out.decode(), err.decode()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Signal it, wait; exit code, standard output and standard error."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.end()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A running engine with the demo market."""
    made = Up(tmp_path_factory.mktemp("up") / "data", "--json", "--level", "process")
    ready = orjson.loads(made.first_line())
    assert ready["ready"], ready
    yield made
    assert made.stop()[0] == 0


@pytest.fixture
def cli(up: Up, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command line against that engine."""
    for name in [name for name in os.environ if name.startswith("IRONBOOK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IRONBOOK_DATA", str(up.data))

    def command(*arguments: object) -> Said:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return command
