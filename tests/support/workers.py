"""Processors as the tests start them: `python -m streams.NAME` in a process of its own.

with WorkerProcess("streams.risk", kafka, prefix, directory, flush_interval=50) as worker:
    worker.wait_ready()
    worker.kill()          kill -9
    worker.start()         the same again
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parents[2]
READY_S = 60.0


class WorkerProcess:
    """One worker. Settings are fields of StreamSettings; `environment` holds further variables."""

    def __init__(
        self,
        module: str,
        kafka: str,
        topic_prefix: str,
        directory: Path,
        *,
        environment: dict[str, str] | None = None,
        **settings: object,
    ) -> None:
        self.module, self.directory = module, directory
        self.name = module.rpartition(".")[2]
        given = {"kafka": kafka, "state_directory": str(directory), "session_timeout": 3000, **settings}
        self.environment = {
            **os.environ,
            "IRONBOOK_TOPIC_PREFIX": topic_prefix,
            **{f"IRONBOOK_STREAMS_{name.upper()}": str(value) for name, value in given.items()},
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = directory / f"{self.name}.log"

    def start(self) -> WorkerProcess:
        """Start it; its log goes to a file."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / f"{self.name}.json").unlink(missing_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def page(self, name: str) -> tuple[int, str]:
        """Status and text of /health, /ready or /metrics."""
        place = orjson.loads((self.directory / f"{self.name}.json").read_bytes())
        url = f"http://{place['web_host']}:{place['web_port']}/{name}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self) -> dict[str, Any]:
        """What /ready says; not ready while the page cannot be had."""
        try:
            return dict(orjson.loads(self.page("ready")[1]))
        except OSError:
            return {"ready": False, "counters": {}, "lag": {}}

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Until it has partitions and everything it needs."""
        self.wait(lambda status: status["ready"], timeout_s)

    def wait_idle(self, timeout_s: float = READY_S) -> None:
        """Until it is ready and has acknowledged everything there is."""
        self.wait(lambda status: status["ready"] and not any(status["lag"].values()), timeout_s)

    def wait(self, holds: Any, timeout_s: float = READY_S) -> None:
        """Until holds(status) is true."""
        until_s = time.monotonic() + timeout_s
        while not holds(self.status()):
            assert self.process is not None
            assert self.process.poll() is None, f"it ended:\n{self.log()}"
            assert time.monotonic() < until_s, f"waited {timeout_s} s: {self.status()}\n{self.log()}"
            time.sleep(0.1)

    def log(self) -> str:
        """The end of its log."""
        return self.log_path.read_text(errors="replace")[-6000:]

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 20.0) -> int:
        """Signal it and wait for its end; its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout_s)
        self.process = None
        return code

    def kill(self) -> None:
        """kill -9."""
        self.stop(signal.SIGKILL)

    def __enter__(self) -> WorkerProcess:
        return self if self.process is not None else self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.kill()
