"""Supervision of helper processes: exits, back-off, giving up, stopping."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
import uvloop

from engine_node import children
from engine_node.children import Child
from engine_node.logs import Log
from tests.support.node import wait_until


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = uvloop.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log.open(str(tmp_path / "log"), level="debug", queue_max=1000)
    yield made
    made.close()


MakeChild = Callable[..., Child]


@pytest.fixture
def make(loop: asyncio.AbstractEventLoop, log: Log, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeChild]:
    """A child that runs a piece of Python, with a back-off of milliseconds."""
    monkeypatch.setattr(children, "BACKOFF_S_MIN", 0.01)
    made: list[Child] = []

    def child(code: str, restart_max: int = 3, now_s: Callable[[], float] = lambda: 0.0) -> Child:
        one = Child(
            "helper", [], environment=dict(os.environ), restart_max=restart_max, loop=loop, log=log, now_s=now_s
        )  # fmt: skip
        one._command = [sys.executable, "-c", code]
        made.append(one)
        return one

    yield child
    for one in made:
        one.begin_stop()
        one.finish(0.5)


def run_until(loop: asyncio.AbstractEventLoop, what: Callable[[], object], timeout_s: float = 20.0) -> None:
    async def wait() -> None:
        async with asyncio.timeout(timeout_s):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    loop.run_until_complete(wait())


def told(log: Log, path: Path, event: str) -> list[dict[str, object]]:
    log.flush()
    return [line for line in map(orjson.loads, path.read_bytes().splitlines()) if line["event"] == event]


def test_a_child_that_exits_is_started_again_up_to_the_most_and_then_given_up(
    loop: asyncio.AbstractEventLoop, log: Log, make: MakeChild, tmp_path: Path
) -> None:
    child = make("raise SystemExit(3)")
    child.start()
    run_until(loop, lambda: told(log, tmp_path / "log", "child_given_up"))
    died = told(log, tmp_path / "log", "child_died")
    assert [line["exit_code"] for line in died] == [3, 3, 3, 3]
    assert child.restart_count == 3
    assert child.pid is None


def test_a_steady_run_clears_the_count(
    loop: asyncio.AbstractEventLoop, log: Log, make: MakeChild, tmp_path: Path
) -> None:
    seconds = iter(range(0, 100_000, 100))
    child = make("pass", restart_max=1, now_s=lambda: float(next(seconds)))
    child.start()
    run_until(loop, lambda: len(told(log, tmp_path / "log", "child_died")) >= 4)
    assert told(log, tmp_path / "log", "child_given_up") == []


def test_a_command_that_cannot_be_started_counts_like_an_exit(
    loop: asyncio.AbstractEventLoop, log: Log, make: MakeChild, tmp_path: Path
) -> None:
    child = make("")
    child._command = ["/nonexistent/program"]
    child.start()
    run_until(loop, lambda: told(log, tmp_path / "log", "child_given_up"))
    assert len(told(log, tmp_path / "log", "child_not_started")) == 4


def test_a_stopped_child_is_not_started_again(
    loop: asyncio.AbstractEventLoop, log: Log, make: MakeChild, tmp_path: Path
) -> None:
    child = make("import time; time.sleep(60)")
    child.start()
    pid = child.pid
    assert pid is not None
    child.begin_stop()
    run_until(loop, lambda: child.pid is None)
    assert told(log, tmp_path / "log", "child_ended")[0]["exit_code"] == -signal.SIGTERM
    assert told(log, tmp_path / "log", "child_died") == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_child_that_ignores_the_request_is_killed(log: Log, make: MakeChild, tmp_path: Path) -> None:
    deaf = "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    child = make(deaf + f"pathlib.Path({str(tmp_path / 'up')!r}).touch(); time.sleep(60)")
    child.start()
    wait_until((tmp_path / "up").exists)
    child.begin_stop()
    child.finish(0.2)
    assert child.pid is None
    assert told(log, tmp_path / "log", "child_killed")


def test_hanging_up_reaches_the_child(
    loop: asyncio.AbstractEventLoop, log: Log, make: MakeChild, tmp_path: Path
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a run under nohup ignores it, and the child would too
    child = make("import time; time.sleep(60)", restart_max=0)
    child.hang_up()
    child.start()
    child.hang_up()
    run_until(loop, lambda: told(log, tmp_path / "log", "child_died"))
    assert told(log, tmp_path / "log", "child_died")[0]["exit_code"] == -signal.SIGHUP
