"""What the engine node asks of the operating system: CPUs, priorities, locked memory, children that do not outlive it.

Every function either does what it says or raises MachineError with what must hold and how to get it: a latency setting
that silently did nothing would be worse than a start that fails.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import threading
from typing import Final

from engine_node.errors import MachineError

__all__ = [
    "background_cpus",
    "choose_sync_cpu",
    "die_with_parent",
    "lock_memory",
    "lower_priority",
    "move_other_threads",
    "pin",
    "raise_open_files",
    "set_realtime",
]

_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_PR_SET_PDEATHSIG: Final = 1
_IOPRIO_WHO_PROCESS: Final = 1
_IOPRIO_CLASS_IDLE: Final = 3 << 13
_SYS_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30}

_libc = ctypes.CDLL(None, use_errno=True)


def pin(cpu: int) -> None:
    """Let the calling thread, and threads it starts later, run on that CPU only. Raises MachineError."""
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as error:
        allowed = ", ".join(str(index) for index in sorted(os.sched_getaffinity(0)))
        raise MachineError(
            f"CPU {cpu} must be one that this process may use: {error.strerror}",
            detail=f"allowed: {allowed}",
            hint="set engine_cpu to one of these, or widen the service's CPU set",
        ) from None


def background_cpus(engine_cpu: int, background_cpu: int, allowed: set[int]) -> set[int]:
    """Where work beside the engine may run: background_cpu if it is set, else all allowed ones but engine_cpu.

    On a machine with one CPU that is the engine's own.
    """
    if background_cpu >= 0:
        return {background_cpu}
    return allowed - {engine_cpu} or allowed


def choose_sync_cpu(engine_cpu: int, sync_cpu: int, background_cpu: int, allowed: set[int]) -> int:
    """The sync thread's CPU: as set; else another than the engine's, which it would inherit; -1 if that is moot."""
    if sync_cpu >= 0 or engine_cpu < 0:
        return sync_cpu
    others = background_cpus(engine_cpu, background_cpu, allowed)
    return min(others) if others != {engine_cpu} else -1


def move_other_threads(engine_cpu: int, cpus: set[int]) -> None:
    """Send every other thread of this process that might run on the engine's CPU to `cpus`."""
    own = threading.get_native_id()
    for name in os.listdir("/proc/self/task"):
        thread = int(name)
        with contextlib.suppress(ProcessLookupError):
            if thread != own and engine_cpu in os.sched_getaffinity(thread):
                os.sched_setaffinity(thread, cpus)


def lock_memory() -> None:
    """mlockall for what is mapped and what will be. Raises MachineError."""
    if _libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        limit = "unlimited" if soft == resource.RLIM_INFINITY else f"{soft} bytes"
        raise MachineError(
            f"lock_memory must be granted: {os.strerror(ctypes.get_errno())}",
            detail=f"memlock limit: {limit}",
            hint="set LimitMEMLOCK=infinity for the service (ulimit -l unlimited), or lock_memory = false",
        )


def set_realtime(priority: int) -> None:
    """SCHED_FIFO for the calling thread; processes and threads it starts are ordinary again. Raises MachineError."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        raise MachineError(
            f"realtime_priority {priority} must be granted: {error.strerror}",
            hint="set LimitRTPRIO=99 for the service (or give it CAP_SYS_NICE), or realtime_priority = 0",
        ) from None


def lower_priority(niceness: int = 10) -> None:
    """Make this process give way: nicer, and idle class for the disk. A refusal of the latter is not an error."""
    os.nice(niceness)
    number = _SYS_IOPRIO_SET.get(os.uname().machine)
    if number is not None:
        _libc.syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_CLASS_IDLE)


def die_with_parent(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when its parent ends, or at once if it has. Raises MachineError."""
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise MachineError(f"the parent's death signal must be granted: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def raise_open_files(wanted: int) -> int:
    """Raise the soft limit of open files to `wanted`, or as near as the hard one allows. Returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    chosen = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (chosen, hard))
    return chosen
