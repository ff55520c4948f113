"""A server in a session of its own, known again by its pid and the moment it was started.

    spawn() ──▶ Running(pid, started) ──▶ a state file ──▶ alive()? stop() kill()      by this process or a later one

A pid alone proves nothing: it is given to somebody else once its process is gone. With the start time it does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ironbook._errors import ServiceFailed

POLL_S = 0.02
LOG_LINES_SHOWN = 12


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A process. started: the machine's boot and the clock ticks from it to the start of the process."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Does it run? One that only waits to be buried does not."""
        return _start_of(self.pid) == self.started

    def stop(self, timeout_s: float, *, first: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, and kill it if it has not within the time."""
        self._send(first)
        if not self.wait(timeout_s):
            self.kill()

    def kill(self) -> None:
        """SIGKILL to it and its children, as if the machine had lost them; returns when they are gone."""
        family = [self, *_children_of(self)]
        for member in family:
            member._send(signal.SIGKILL)
        for member in family:
            if not member.wait(30.0):
                raise ServiceFailed(
                    "a killed process must end within 30 s, did not",
                    detail=f"process {member.pid}",
                    hint="it hangs in the kernel: look at its disk",
                )

    def _send(self, number: signal.Signals) -> None:
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> bool:
        """Has it ended within the time?"""
        ends_s = time.monotonic() + timeout_s
        while self.alive():
            if time.monotonic() >= ends_s:
                return False
            time.sleep(POLL_S)
        with contextlib.suppress(ChildProcessError):  # buried here if it is a child of this process
            os.waitpid(self.pid, os.WNOHANG)
        return True


def spawn(command: Sequence[str], log: Path, variables: Mapping[str, str] | None = None) -> Running:
    """Start a server: no terminal, no standard input, its output at the end of a log file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawnp(
        command[0],
        list(command),
        dict(os.environ) if variables is None else dict(variables),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
    )
    return Running(pid=pid, started=_start_of(pid) or "gone at once")


def last_lines(log: Path) -> str:
    """The end of a log file, for an error's detail."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "no log"
    return "\n".join(lines[-LOG_LINES_SHOWN:])


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def port_is_open(port: int) -> bool:
    """Does somebody listen there?"""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _start_of(pid: int) -> str | None:
    """When a process began: boot and ticks. None if there is none, or none any more."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    threads_count = int(state[17])  # a process whose first thread has ended still has its sockets while others end
    if state[0] in (b"Z", b"X") and threads_count <= 1:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{state[19].decode()}"


def _children_of(parent: Running) -> list[Running]:
    found = []
    for entry in Path("/proc").iterdir() if parent.alive() else ():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1]) == parent.pid:
                started = _start_of(int(entry.name))
                if started is not None:
                    found.append(Running(pid=int(entry.name), started=started))
    return found
