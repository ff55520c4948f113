"""The machine a benchmark runs on: what to print beside every figure, and where to run what."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import subprocess
from pathlib import Path

__all__ = ["Placement", "describe", "placement"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Which CPU serves, which one loads it, and under which scheduling."""

    server_cpu: int
    load_cpu: int
    realtime_priority: int  # of SCHED_FIFO; 0: ordinary scheduling, the machine does not grant it

    @property
    def shared(self) -> bool:
        """One CPU for both: figures then say little."""
        return self.server_cpu == self.load_cpu

    def command(self, cpu: int, command: list[str], *, realtime: bool = True) -> list[str]:
        """The command pinned to a CPU; realtime: with real-time priority where it is granted."""
        priority = ["chrt", "-f", str(self.realtime_priority)] if realtime and self.realtime_priority else []
        return ["taskset", "-c", str(cpu), *priority, *command]


def placement(priority: int = 10) -> Placement:
    """The last two CPUs this process may use; priority 0: ordinary scheduling. Raises RuntimeError without taskset."""
    if shutil.which("taskset") is None:
        raise RuntimeError("taskset (util-linux) must be installed to pin servers and load")
    cpus = sorted(os.sched_getaffinity(0))
    granted = (
        priority > 0
        and shutil.which("chrt") is not None
        and subprocess.run(["chrt", "-f", str(priority), "true"], capture_output=True).returncode == 0
    )
    return Placement(server_cpu=cpus[-1], load_cpu=cpus[-2:][0], realtime_priority=priority if granted else 0)


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"


def describe(place: Placement) -> list[str]:
    """Lines that name the machine and the scheduling, for the head of a benchmark's output."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _read("/proc/cpuinfo").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    governor = _read(f"/sys/devices/system/cpu/cpu{place.server_cpu}/cpufreq/scaling_governor")
    isolated = _read("/sys/devices/system/cpu/isolated") or "none"
    scheduling = f"SCHED_FIFO {place.realtime_priority}" if place.realtime_priority else "ordinary scheduling"
    budget = _read("/proc/sys/kernel/sched_rt_runtime_us")
    memory = next((line.split()[1] for line in _read("/proc/meminfo").splitlines() if line.startswith("MemTotal")), "0")
    lines = [
        f"machine     {model}, {os.cpu_count()} CPUs, {int(memory) // 1024 // 1024} GiB, Linux {platform.release()}",
        f"scheduling  {scheduling} (budget {budget} of 1000000 us), isolated CPUs {isolated}, governor {governor}",
        f"placement   server on CPU {place.server_cpu}, load on CPU {place.load_cpu}",
    ]
    if place.shared:
        lines.append("warning     one CPU for server and load: ratios say little here")
    return lines
