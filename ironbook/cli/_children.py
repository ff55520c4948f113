"""Helper processes of `ironbook up`: started, started again when they fail, ended with it.

    start ──▶ running ──exit──▶ waiting (0.5 s, 1 s, 2 s … 30 s) ──▶ running …      a minute's run clears the wait

Each runs in a session of its own, so Ctrl-C comes to `ironbook up` alone, which stops them in order; the kernel sends
them SIGTERM should it die. What they say goes to a log file each.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

BACKOFF_S_MIN, BACKOFF_S_MAX, STEADY_S = 0.5, 30.0, 60.0
POLL_S = 0.1
# Runs a module as `python -m` would, after asking the kernel for SIGTERM at the death of the process named.
_RUN = """
import ctypes, os, runpy, signal, sys
parent, module = int(sys.argv[1]), sys.argv[2]
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() != parent:
    sys.exit(0)
sys.argv = sys.argv[2:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


class Child:
    """One helper process. Belongs to the thread of its Children."""

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], variables: Mapping[str, str], log: Path
    ) -> None:
        self.name, self.log = name, log
        self.restart_count = 0
        self._command = [sys.executable, "-c", _RUN, str(os.getpid()), module, *arguments]
        self._variables = dict(variables)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._next_s = 0.0
        self._wait_s = BACKOFF_S_MIN

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start it now."""
        self._started_s = time.monotonic()
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def look(self, told: Callable[[str], None]) -> None:
        """Start it again if it has ended, and its wait is over."""
        process, now_s = self._process, time.monotonic()
        if process is None:
            if now_s >= self._next_s:
                self.start()
            return
        status = process.poll()
        if status is None:
            return
        self._process = None
        if now_s - self._started_s >= STEADY_S:
            self._wait_s = BACKOFF_S_MIN
        self.restart_count += 1
        self._next_s = now_s + self._wait_s
        told(f"{self.name} ended with status {status} and is started again in {self._wait_s:g} s; log {self.log}")
        self._wait_s = min(2 * self._wait_s, BACKOFF_S_MAX)

    def ask_to_end(self) -> None:
        """SIGTERM, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait_or_kill(self, deadline_s: float) -> None:
        """Wait for its end until then; SIGKILL if it does not come."""
        if self._process is None:
            return
        try:
            self._process.wait(max(deadline_s - time.monotonic(), 0.01))
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Children:
    """All helpers, and the thread that watches them.

    The thread starts and ends them: the kernel takes the death of the thread that started a process for its parent's.
    """

    def __init__(self, told: Callable[[str], None]) -> None:
        self.children: list[Child] = []
        self._told = told
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._stop_by_s = 0.0

    def add(self, child: Child) -> None:
        """Before `start`."""
        self.children.append(child)

    def start(self) -> None:
        """Start all and watch them from now on."""
        if self.children and self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="children", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End all within the time; what does not end then is killed."""
        self._stop_by_s = time.monotonic() + timeout_s
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_S):
            for child in self.children:
                if not self._stopping.is_set():
                    child.look(self._told)
        for child in self.children:
            child.ask_to_end()
        for child in self.children:
            child.wait_or_kill(self._stop_by_s)
