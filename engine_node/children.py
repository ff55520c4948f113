"""Helper processes of the engine: started, watched, started again, ended with it.

    start ──▶ running ──exit──▶ waiting (1 s, 2 s, 4 s … 30 s) ──▶ running …      a minute's run clears the count
                                   └── more than restart_max in a row: given up, told once as an error

Started with vfork semantics (subprocess without a preexec function), so that the engine's memory is neither copied nor
marked for copying; an exit is told by a pidfd in the engine's loop, so nothing polls. Each child asks the kernel for
SIGTERM at its parent's death.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from engine_node.logs import Log

__all__ = ["Child"]

BACKOFF_S_MIN: Final = 1.0
BACKOFF_S_MAX: Final = 30.0
STEADY_S: Final = 60.0  # a run of so long clears the count of restarts


class Child:
    """One supervised helper. Belongs to the loop's thread; call `stop` before the loop ends.

    arguments    behind `python -m engine_node`.
    environment  the whole of it (settings.child_environment).
    inherited    descriptors that it keeps, such as listening sockets.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        inherited: Sequence[int] = (),
        restart_max: int,
        loop: asyncio.AbstractEventLoop,
        log: Log,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.restart_count = 0  # since the last steady run
        safe_path = ["-P"] if sys.flags.safe_path else []  # as this process was started
        self._command = [sys.executable, *safe_path, "-m", "engine_node", *arguments]
        self._environment = dict(environment)
        self._inherited = tuple(inherited)
        self._restart_max = restart_max
        self._loop = loop
        self._log = log
        self._now_s = now_s
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._started_s = 0.0
        self._again: asyncio.TimerHandle | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it now. A failure to start counts like an exit."""
        self._again = None
        self._started_s = self._now_s()
        try:
            self._process = subprocess.Popen(
                self._command, env=self._environment, pass_fds=self._inherited, stdin=subprocess.DEVNULL
            )
        except OSError as error:
            self._log.error("child_not_started", error, child=self.name)
            self._plan_restart()
            return
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._pidfd, self._exited)
        self._log.info("child_started", child=self.name, pid=self._process.pid)

    def hang_up(self) -> None:
        """Send it SIGHUP: read its files again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def begin_stop(self) -> None:
        """Ask it to end and start it no more."""
        self._stopping = True
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._process is not None:
            self._process.terminate()

    def finish(self, timeout_s: float) -> None:
        """Wait for it (blocking, bounded), and kill it if it does not end."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._log.warning("child_killed", child=self.name, pid=self._process.pid, after_s=timeout_s)
            self._process.kill()
            self._process.wait()
        self._forget()

    def _exited(self) -> None:
        if self._process is None or self._process.poll() is None:
            return
        code = self._process.returncode
        ran_s = self._now_s() - self._started_s
        if self._stopping:
            self._log.info("child_ended", child=self.name, exit_code=code)
        else:
            self._log.warning("child_died", child=self.name, exit_code=code, ran_s=round(ran_s, 3))
        self._forget()
        if not self._stopping:
            if ran_s >= STEADY_S:
                self.restart_count = 0
            self._plan_restart()

    def _forget(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        self._pidfd = -1
        self._process = None

    def _plan_restart(self) -> None:
        if self.restart_count >= self._restart_max:
            self._log.error(
                "child_given_up",
                child=self.name,
                restarts=self.restart_count,
                hint="see its last log lines; restart the engine",
            )
            return
        delay_s = min(BACKOFF_S_MIN * 2**self.restart_count, BACKOFF_S_MAX)
        self.restart_count += 1
        self._again = self._loop.call_later(delay_s, self.start)
