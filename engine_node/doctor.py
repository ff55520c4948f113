"""What this machine lacks for steady latency, why it matters, and how to mend it.

    Reader (one seam: /proc, /sys, free room) ──▶ checks: pure functions over text ──▶ findings ──▶ table or JSON

A finding is ok, warn (latency will have tails), bad (it will not do what the settings ask, or data is at risk), or
unknown (the machine does not tell: a container without /sys, a virtual machine without frequency control). Every one
that is not ok says exactly what to type. Nothing is changed here.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import orjson

if TYPE_CHECKING:
    from engine_node.settings import Settings

__all__ = ["CHECKS", "Finding", "Machine", "Reader", "Wishes", "as_json", "as_text", "examine", "parse_cpus", "worst"]

RESULTS: Final = ("ok", "unknown", "warn", "bad")  # from best to worst
DEEP_IDLE_US: Final = 10  # an idle state that takes longer to leave shows in the tail
STEAL_PPM_WARN: Final = 1_000
NOFILE_SPARE: Final = 256


class Reader(Protocol):
    """The one way to the machine."""

    def read(self, path: str) -> str | None:
        """The text of a file, or None."""

    def names(self, path: str) -> list[str]:
        """What a directory holds, sorted; empty if there is none."""

    def free_bytes(self, path: str) -> int | None:
        """Room for this user on the file system of a path (or of its nearest parent that exists), or None."""


class Machine:
    """The machine itself; or, with a root, one whose /proc, /sys and disks stand below that directory."""

    def __init__(self, root: str = "") -> None:
        self._root = root

    def read(self, path: str) -> str | None:
        """The text of a file, or None."""
        try:
            return Path(self._root + path).read_text(errors="replace")
        except OSError:
            return None

    def names(self, path: str) -> list[str]:
        """What a directory holds, sorted."""
        try:
            return sorted(os.listdir(self._root + path))
        except OSError:
            return []

    def free_bytes(self, path: str) -> int | None:
        """Room for this user where the path is or will be."""
        place = Path(self._root + str(Path(path).absolute()))
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            room = os.statvfs(place)
        except OSError:
            return None
        return room.f_bavail * room.f_frsize


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the settings ask of the machine."""

    engine_cpu: int = -1
    background_cpu: int = -1
    realtime_priority: int = 0
    lock_memory: bool = False
    busy_poll: bool = False
    survival_level: str = "disk"
    data_directory: str = ".ironbook"
    free_bytes_min: int = 1 << 28
    segment_bytes: int = 1 << 26
    connection_count_max: int = 1024
    backlog_count: int = 1024

    @classmethod
    def of(cls, settings: Settings) -> Wishes:
        """Those of the settings."""
        same = {
            field.name: getattr(settings, field.name)
            for field in dataclasses.fields(cls)
            if hasattr(settings, field.name)
        }
        return cls(**same | {"data_directory": str(settings.data_path), "segment_bytes": settings.segment_records * 64})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check's answer."""

    check: str  # stable name
    result: str  # ok, warn, bad, unknown
    found: str
    why: str = ""  # why it matters; empty when ok
    mend: str = ""  # what to type; empty when ok


Check = Callable[[Reader, Wishes], Finding]


def parse_cpus(text: str) -> set[int]:
    """The kernel's list form: "0-3,8" is {0, 1, 2, 3, 8}."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        ends = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if ends is not None:
            cpus |= set(range(int(ends[1]), int(ends[2] or ends[1]) + 1))
    return cpus


def _online(reader: Reader) -> set[int]:
    return parse_cpus(reader.read("/sys/devices/system/cpu/online") or "")


def _engine_cpus(reader: Reader, wishes: Wishes) -> set[int]:
    """The CPU that must be quiet; all of them while the engine is not pinned."""
    return {wishes.engine_cpu} if wishes.engine_cpu >= 0 else _online(reader)


def _list(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)


# ---- CPUs ------------------------------------------------------------------------------------------------------------


def check_cpu_count(reader: Reader, _wishes: Wishes) -> Finding:
    """One for the engine, one for everything else."""
    online = _online(reader)
    if not online:
        return Finding(check="cpu_count", result="unknown", found="/sys/devices/system/cpu/online cannot be read")
    if len(online) < 2:
        return Finding(
            check="cpu_count", result="bad", found="1 CPU is online",
            why="The sync thread, the snapshotter and TLS would take turns with the engine.",
            mend="use a machine with two CPUs or more",
        )  # fmt: skip
    return Finding(check="cpu_count", result="ok", found=f"{len(online)} CPUs are online")


def check_isolated_cpu(reader: Reader, wishes: Wishes) -> Finding:
    """The engine's CPU belongs to nobody else."""
    online = _online(reader)
    isolated = parse_cpus(reader.read("/sys/devices/system/cpu/isolated") or "")
    quiet = parse_cpus(reader.read("/sys/devices/system/cpu/nohz_full") or "")
    suggested = wishes.engine_cpu if wishes.engine_cpu >= 0 else max(online, default=1)
    parameters = f"isolcpus=managed_irq,domain,{suggested} nohz_full={suggested} rcu_nocbs={suggested}"
    mend = f"add to the kernel command line and reboot: {parameters}"
    if wishes.engine_cpu < 0:
        cpus = f"; isolated: {_list(sorted(isolated))}" if isolated else ""
        return Finding(
            check="isolated_cpu", result="warn", found=f"engine_cpu is not set{cpus}",
            why="The scheduler moves the engine about, and each move empties its caches.",
            mend=f"set engine_cpu = {min(isolated) if isolated else suggested}" + ("" if isolated else f"; {mend}"),
        )  # fmt: skip
    if wishes.engine_cpu not in online:
        return Finding(
            check="isolated_cpu", result="bad",
            found=f"engine_cpu {wishes.engine_cpu} is not online; online: {_list(sorted(online))}",
            why="The engine will not start.", mend=f"set engine_cpu to one of {_list(sorted(online))}",
        )  # fmt: skip
    if wishes.engine_cpu not in isolated:
        return Finding(
            check="isolated_cpu", result="warn", found=f"CPU {wishes.engine_cpu} is not isolated",
            why="Other processes and kernel work run on it: milliseconds in the tail.", mend=mend,
        )  # fmt: skip
    if wishes.engine_cpu not in quiet:
        return Finding(
            check="isolated_cpu", result="warn", found=f"CPU {wishes.engine_cpu} is isolated, but keeps its timer tick",
            why="The tick interrupts the engine up to a thousand times a second.", mend=mend,
        )  # fmt: skip
    return Finding(check="isolated_cpu", result="ok", found=f"CPU {wishes.engine_cpu} is isolated and without a tick")


def check_smt_sibling(reader: Reader, wishes: Wishes) -> Finding:
    """The other half of the engine's physical core is idle."""
    if wishes.engine_cpu < 0:
        active = (reader.read("/sys/devices/system/cpu/smt/active") or "").strip()
        if active == "0":
            return Finding(check="smt_sibling", result="ok", found="SMT is off")
        if active != "1":
            return Finding(
                check="smt_sibling", result="unknown", found="/sys/devices/system/cpu/smt/active cannot be read"
            )
        return Finding(
            check="smt_sibling", result="warn", found="SMT is on and engine_cpu is not set",
            why="Two threads of one core share its caches and execution units.",
            mend="set engine_cpu, or: echo off > /sys/devices/system/cpu/smt/control",
        )  # fmt: skip
    path = f"/sys/devices/system/cpu/cpu{wishes.engine_cpu}/topology/thread_siblings_list"
    text = reader.read(path)
    if text is None:
        return Finding(check="smt_sibling", result="unknown", found=f"{path} cannot be read")
    others = parse_cpus(text) - {wishes.engine_cpu}
    isolated = parse_cpus(reader.read("/sys/devices/system/cpu/isolated") or "")
    if others - isolated or wishes.background_cpu in others:
        return Finding(
            check="smt_sibling", result="warn",
            found=f"CPU {wishes.engine_cpu} shares its core with CPU {_list(sorted(others))}",
            why="Whatever runs there takes caches and execution units from the engine.",
            mend="; ".join(f"echo 0 > /sys/devices/system/cpu/cpu{cpu}/online" for cpu in sorted(others)),
        )  # fmt: skip
    return Finding(check="smt_sibling", result="ok", found=f"CPU {wishes.engine_cpu} has its core to itself")


def check_governor(reader: Reader, wishes: Wishes) -> Finding:
    """The frequency does not follow the load."""
    slow: dict[int, str] = {}
    known = 0
    for cpu in sorted(_engine_cpus(reader, wishes)):
        text = reader.read(f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor")
        if text is not None:
            known += 1
            if text.strip() != "performance":
                slow[cpu] = text.strip()
    if not known:
        return Finding(
            check="governor", result="unknown", found="no frequency control is shown (a virtual machine hides it)"
        )
    if slow:
        return Finding(
            check="governor", result="warn", found=_list(f"CPU {cpu}: {governor}" for cpu, governor in slow.items()),
            why="A CPU that was idle takes its time to speed up, just when an order comes.",
            mend="cpupower frequency-set -g performance",
        )  # fmt: skip
    return Finding(check="governor", result="ok", found="performance")


def check_idle_states(reader: Reader, wishes: Wishes) -> Finding:
    """The CPU does not sleep deeply. A loop that spins never sleeps at all."""
    if wishes.busy_poll:
        return Finding(check="idle_states", result="ok", found="busy_poll keeps the engine's CPU awake")
    deep: dict[str, int] = {}
    seen = False
    for cpu in sorted(_engine_cpus(reader, wishes)):
        base = f"/sys/devices/system/cpu/cpu{cpu}/cpuidle"
        for state in reader.names(base):
            latency = (reader.read(f"{base}/{state}/latency") or "").strip()
            if latency.isdigit():
                seen = True
                if int(latency) > DEEP_IDLE_US and (reader.read(f"{base}/{state}/disable") or "").strip() != "1":
                    deep[(reader.read(f"{base}/{state}/name") or state).strip()] = int(latency)
    if not seen:
        return Finding(
            check="idle_states", result="unknown", found="no idle states are shown (a virtual machine hides them)"
        )
    if deep:
        return Finding(
            check="idle_states", result="warn",
            found=_list(f"{name} takes {latency} µs to leave" for name, latency in deep.items()),
            why="The first order after a quiet moment waits for the CPU to wake up.",
            mend=f"cpupower idle-set -D {DEEP_IDLE_US}; "
            "or on the kernel command line: processor.max_cstate=1 intel_idle.max_cstate=0",
        )  # fmt: skip
    return Finding(check="idle_states", result="ok", found=f"none takes longer than {DEEP_IDLE_US} µs to leave")


def check_numa(reader: Reader, wishes: Wishes) -> Finding:
    """Memory is near, and the kernel does not move it."""
    nodes = parse_cpus(reader.read("/sys/devices/system/node/online") or "")
    if not nodes:
        return Finding(check="numa", result="unknown", found="/sys/devices/system/node/online cannot be read")
    if len(nodes) == 1:
        return Finding(check="numa", result="ok", found="1 node")
    if (reader.read("/proc/sys/kernel/numa_balancing") or "0").strip() != "0":
        return Finding(
            check="numa", result="warn", found=f"{len(nodes)} nodes, and the kernel moves pages between them",
            why="A page that is being moved stops whoever touches it.", mend="sysctl -w kernel.numa_balancing=0",
        )  # fmt: skip
    if wishes.engine_cpu >= 0 and wishes.background_cpu >= 0:
        homes = {cpu: _node_of(reader, nodes, cpu) for cpu in (wishes.engine_cpu, wishes.background_cpu)}
        if len(set(homes.values())) > 1:
            return Finding(
                check="numa", result="warn", found=_list(f"CPU {cpu} is on node {node}" for cpu, node in homes.items()),
                why="Journal pages are shared by engine and sync thread: each hand-over crosses the sockets.",
                mend=f"choose engine_cpu and background_cpu from one line of: {_list(_node_lists(reader, nodes))}",
            )  # fmt: skip
    return Finding(check="numa", result="ok", found=f"{len(nodes)} nodes, pages stay where they are")


def _node_of(reader: Reader, nodes: set[int], cpu: int) -> int | None:
    for node in nodes:
        if cpu in parse_cpus(reader.read(f"/sys/devices/system/node/node{node}/cpulist") or ""):
            return node
    return None


def _node_lists(reader: Reader, nodes: set[int]) -> list[str]:
    return [
        f"node {node}: {(reader.read(f'/sys/devices/system/node/node{node}/cpulist') or '?').strip()}"
        for node in sorted(nodes)
    ]


def check_interrupts(reader: Reader, wishes: Wishes) -> Finding:
    """Devices interrupt another CPU."""
    if wishes.engine_cpu < 0:
        return Finding(
            check="interrupts", result="unknown", found="engine_cpu is not set", mend="set engine_cpu and ask again"
        )
    table = reader.read("/proc/interrupts")
    if table is None:
        return Finding(check="interrupts", result="unknown", found="/proc/interrupts cannot be read")
    counts = _interrupt_counts(table, wishes.engine_cpu)
    here: list[str] = []
    for number in reader.names("/proc/irq"):
        placed = reader.read(f"/proc/irq/{number}/effective_affinity_list") or reader.read(
            f"/proc/irq/{number}/smp_affinity_list"
        )
        if number.isdigit() and placed and wishes.engine_cpu in parse_cpus(placed) and counts.get(number, 0):
            here.append(number)
    if here:
        numbers = sorted(here, key=int)
        others = sorted(_online(reader) - {wishes.engine_cpu})
        target = ",".join(str(cpu) for cpu in others)
        return Finding(
            check="interrupts", result="warn", found=f"CPU {wishes.engine_cpu} serves interrupts {_list(numbers)}",
            why="Each one stops the engine for microseconds, and a busy network card sends thousands a second.",
            mend=f"systemctl disable --now irqbalance; for i in {' '.join(numbers)}; "
            f"do echo {target} > /proc/irq/$i/smp_affinity_list; done",
        )  # fmt: skip
    return Finding(check="interrupts", result="ok", found=f"no device interrupts CPU {wishes.engine_cpu}")


def _interrupt_counts(table: str, cpu: int) -> dict[str, int]:
    """How often each numbered interrupt came to that CPU, from /proc/interrupts."""
    lines = table.splitlines()
    header = lines[0].split() if lines else []
    if f"CPU{cpu}" not in header:
        return {}
    column = header.index(f"CPU{cpu}")
    counts = {}
    for line in lines[1:]:
        name, _, rest = line.partition(":")
        fields = rest.split()
        if name.strip().isdigit() and column < len(fields) and fields[column].isdigit():
            counts[name.strip()] = int(fields[column])
    return counts


def check_steal(reader: Reader, _wishes: Wishes) -> Finding:
    """The hypervisor does not take the CPU away."""
    line = next((line for line in (reader.read("/proc/stat") or "").splitlines() if line.startswith("cpu ")), "")
    ticks = [int(field) for field in line.split()[1:] if field.isdigit()]
    if len(ticks) < 8 or not sum(ticks[:8]):
        return Finding(check="steal", result="unknown", found="/proc/stat cannot be read")
    ppm = ticks[7] * 1_000_000 // sum(ticks[:8])
    if ppm > STEAL_PPM_WARN:
        return Finding(
            check="steal", result="warn", found=f"{ppm / 10_000:.2f} % of the time since boot was stolen",
            why="Another virtual machine ran on this CPU meanwhile.",
            mend="use bare metal or a dedicated host (no shared or burstable instance)",
        )  # fmt: skip
    return Finding(check="steal", result="ok", found=f"{ppm} ppm of the time since boot")


# ---- Memory ----------------------------------------------------------------------------------------------------------


def check_swap(reader: Reader, wishes: Wishes) -> Finding:
    """No page of the engine waits for a disk."""
    text = reader.read("/proc/swaps")
    if text is None:
        return Finding(check="swap", result="unknown", found="/proc/swaps cannot be read")
    areas = [line.split()[0] for line in text.splitlines()[1:] if line.split()]
    if not areas:
        return Finding(check="swap", result="ok", found="none")
    if wishes.lock_memory:
        return Finding(check="swap", result="ok", found=f"{_list(areas)}, but lock_memory keeps the engine out of it")
    return Finding(
        check="swap", result="warn", found=_list(areas),
        why="A page that was swapped out takes milliseconds to come back.",
        mend="swapoff -a (and remove it from /etc/fstab), or lock_memory = true",
    )  # fmt: skip


def check_huge_pages(reader: Reader, _wishes: Wishes) -> Finding:
    """The kernel gives huge pages where they are asked for, and compacts memory nowhere else."""
    base = "/sys/kernel/mm/transparent_hugepage"
    enabled, defrag = _chosen(reader.read(f"{base}/enabled")), _chosen(reader.read(f"{base}/defrag"))
    if enabled is None:
        return Finding(check="huge_pages", result="unknown", found=f"{base}/enabled cannot be read")
    if enabled == "always" or defrag == "always":
        return Finding(
            check="huge_pages", result="warn", found=f"enabled: {enabled}, defrag: {defrag}",
            why="The kernel stops a process to compact memory when it thinks fit; the engine asks for them itself.",
            mend=f"echo madvise > {base}/enabled; echo defer+madvise > {base}/defrag",
        )  # fmt: skip
    if enabled == "never":
        return Finding(
            check="huge_pages", result="warn", found="never",
            why="A large book costs a TLB miss at almost every step.", mend=f"echo madvise > {base}/enabled",
        )  # fmt: skip
    return Finding(check="huge_pages", result="ok", found=f"enabled: {enabled}, defrag: {defrag}")


def _chosen(text: str | None) -> str | None:
    parts = re.search(r"\[(\S+)\]", text or "")
    return None if parts is None else parts[1]


def check_memlock(reader: Reader, wishes: Wishes) -> Finding:
    """Memory may be locked."""
    limit = _limit(reader, "Max locked memory")
    if limit is None:
        return Finding(check="memlock", result="unknown", found="/proc/self/limits cannot be read")
    if limit == "unlimited":
        return Finding(check="memlock", result="ok", found="unlimited")
    return Finding(
        check="memlock", result="bad" if wishes.lock_memory else "warn", found=f"{limit} bytes",
        why="lock_memory needs more: " + ("the engine will not start." if wishes.lock_memory else "it cannot be set."),
        mend="LimitMEMLOCK=infinity in the service unit, or ulimit -l unlimited",
    )  # fmt: skip


def _limit(reader: Reader, name: str, *, hard: bool = False) -> str | None:
    for line in (reader.read("/proc/self/limits") or "").splitlines():
        if line.startswith(name):
            fields = line[len(name) :].split()
            return fields[1 if hard else 0] if len(fields) >= 2 else None
    return None


# ---- Time and scheduling ---------------------------------------------------------------------------------------------

_FAST_CLOCKS: Final = (
    "tsc",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "arch_sys_counter",
)  # read without a system call


def check_clock_source(reader: Reader, _wishes: Wishes) -> Finding:
    """Reading the time costs tens of nanoseconds."""
    base = "/sys/devices/system/clocksource/clocksource0"
    current = (reader.read(f"{base}/current_clocksource") or "").strip()
    if not current:
        return Finding(check="clock_source", result="unknown", found=f"{base}/current_clocksource cannot be read")
    if current in _FAST_CLOCKS:
        return Finding(check="clock_source", result="ok", found=current)
    available = (reader.read(f"{base}/available_clocksource") or "").split()
    better = next((clock for clock in _FAST_CLOCKS if clock in available), None)
    return Finding(
        check="clock_source", result="bad", found=f"{current}; available: {_list(available)}",
        why="Each look at the clock is a system call or a read from a device: a microsecond a burst.",
        mend=f"echo {better} > {base}/current_clocksource" if better else "boot with clocksource=tsc tsc=reliable",
    )  # fmt: skip


def check_rt_throttling(reader: Reader, wishes: Wishes) -> Finding:
    """A real-time loop is not stopped for a twentieth of each second."""
    text = (reader.read("/proc/sys/kernel/sched_rt_runtime_us") or "").strip()
    if not re.fullmatch(r"-?\d+", text):
        return Finding(
            check="rt_throttling", result="unknown", found="/proc/sys/kernel/sched_rt_runtime_us cannot be read"
        )
    if text == "-1":
        return Finding(check="rt_throttling", result="ok", found="-1: off")
    spins = bool(wishes.realtime_priority and wishes.busy_poll)
    if not wishes.realtime_priority:
        return Finding(
            check="rt_throttling", result="ok", found=f"{text} µs a period, and realtime_priority is not set"
        )
    return Finding(
        check="rt_throttling", result="bad" if spins else "warn", found=f"{text} µs a period",
        why="A real-time process that uses up its share is stopped for the rest of the period: 50 ms each second."
        + (" A loop that spins always does." if spins else ""),
        mend="sysctl -w kernel.sched_rt_runtime_us=-1 (only with engine_cpu on an isolated CPU)",
    )  # fmt: skip


def check_rt_priority(reader: Reader, wishes: Wishes) -> Finding:
    """Real-time priority may be taken."""
    limit = _limit(reader, "Max realtime priority")
    if limit is None:
        return Finding(check="rt_priority", result="unknown", found="/proc/self/limits cannot be read")
    status = reader.read("/proc/self/status") or ""
    capable = re.search(r"^CapEff:\s*([0-9a-fA-F]+)", status, re.MULTILINE)
    may = (
        limit == "unlimited"
        or int(limit) >= max(1, wishes.realtime_priority)
        or bool(capable and int(capable[1], 16) >> 23 & 1)
    )
    if may:
        return Finding(check="rt_priority", result="ok", found=f"limit {limit}")
    return Finding(
        check="rt_priority", result="bad" if wishes.realtime_priority else "warn", found=f"limit {limit}",
        why="Ordinary processes share the CPU in turns of milliseconds."
        + (" The engine will not start." if wishes.realtime_priority else ""),
        mend="LimitRTPRIO=99 in the service unit (or CAP_SYS_NICE)",
    )  # fmt: skip


# ---- Disk, files, network --------------------------------------------------------------------------------------------


def check_disk_room(reader: Reader, wishes: Wishes) -> Finding:
    """The journal has room to grow."""
    room = reader.free_bytes(wishes.data_directory)
    needed = wishes.free_bytes_min + 4 * wishes.segment_bytes
    if room is None:
        return Finding(check="disk_room", result="unknown", found=f"{wishes.data_directory}: the system does not tell")
    found = f"{room >> 20} MiB free for {wishes.data_directory}"
    if room < wishes.free_bytes_min + wishes.segment_bytes:
        result = "bad"
    elif room < needed:
        result = "warn"
    else:
        return Finding(check="disk_room", result="ok", found=found)
    return Finding(
        check="disk_room", result=result, found=f"{found}; {needed >> 20} MiB are wanted",
        why="Without room for the next segment new commands are refused (journal_no_room).",
        mend="make room, or put data_directory on a larger disk",
    )  # fmt: skip


_LOCAL_FILE_SYSTEMS: Final = ("ext4", "xfs")
_COPYING_FILE_SYSTEMS: Final = ("btrfs", "zfs", "bcachefs")  # not supported for the journal
_LAYERED_FILE_SYSTEMS: Final = ("overlay", "f2fs")
_REMOTE_FILE_SYSTEMS: Final = ("nfs", "cifs", "smb", "fuse", "9p")
_FORGETFUL_FILE_SYSTEMS: Final = ("tmpfs", "ramfs", "devtmpfs")


def check_file_system(reader: Reader, wishes: Wishes) -> Finding:
    """A journal written in place, on a local disk that keeps it."""
    journal = f"{wishes.data_directory.rstrip('/')}/journal"  # it may be a mount of its own
    kind = _file_system_of(reader.read("/proc/self/mountinfo") or "", journal)
    if kind is None:
        return Finding(check="file_system", result="unknown", found="/proc/self/mountinfo does not tell")
    found = f"{kind} for {journal}"
    if kind in _LOCAL_FILE_SYSTEMS:
        return Finding(check="file_system", result="ok", found=found)
    mend = "put data_directory (or its journal directory) on ext4 or xfs on a local NVMe disk"
    if kind in _FORGETFUL_FILE_SYSTEMS:
        lost = wishes.survival_level != "process"
        though = f", though survival_level is {wishes.survival_level}" if lost else ""
        return Finding(
            check="file_system", result="bad" if lost else "warn", found=found,
            why=f"It is memory: a loss of power loses everything{though}.",
            mend=mend,
        )  # fmt: skip
    if kind in _COPYING_FILE_SYSTEMS:
        return Finding(
            check="file_system", result="warn", found=f"{found}; it copies on write: not supported for the journal",
            why="Each write takes new blocks: preallocated room does not hold, and a full disk can end the engine.",
            mend=mend,
        )  # fmt: skip
    if kind in _LAYERED_FILE_SYSTEMS:
        return Finding(
            check="file_system", result="warn", found=found,
            why="It may write elsewhere than in place, so a sync also writes metadata.", mend=mend,
        )  # fmt: skip
    return Finding(
        check="file_system", result="bad" if kind.startswith(_REMOTE_FILE_SYSTEMS) else "warn", found=found,
        why="Shared mappings and syncs are slower or weaker there than the journal's promise needs.", mend=mend,
    )  # fmt: skip


def _file_system_of(mountinfo: str, path: str) -> str | None:
    """The type of the file system that the longest mount point on the path has; the last mount wins."""
    best, kind = -1, None
    for line in mountinfo.splitlines():
        front, separator, back = line.partition(" - ")
        fields = front.split()
        if not separator or len(fields) < 5 or not back.split():
            continue
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, kind = len(point), back.split()[0]
    return kind


def check_open_files(reader: Reader, wishes: Wishes) -> Finding:
    """Every connection has a descriptor."""
    limit = _limit(reader, "Max open files", hard=True)
    needed = wishes.connection_count_max + NOFILE_SPARE
    if limit is None:
        return Finding(check="open_files", result="unknown", found="/proc/self/limits cannot be read")
    if limit == "unlimited" or int(limit) >= needed:
        return Finding(check="open_files", result="ok", found=f"limit {limit}, {needed} needed")
    return Finding(
        check="open_files", result="bad", found=f"limit {limit}, {needed} needed",
        why="Connections beyond it cannot be accepted.",
        mend=f"LimitNOFILE={needed} in the service unit, or ulimit -n {needed}",
    )  # fmt: skip


def check_backlog(reader: Reader, wishes: Wishes) -> Finding:
    """Connections that come together can wait."""
    text = (reader.read("/proc/sys/net/core/somaxconn") or "").strip()
    if not text.isdigit():
        return Finding(check="backlog", result="unknown", found="/proc/sys/net/core/somaxconn cannot be read")
    if int(text) >= wishes.backlog_count:
        return Finding(check="backlog", result="ok", found=f"somaxconn {text}")
    return Finding(
        check="backlog", result="warn", found=f"somaxconn {text}, backlog_count {wishes.backlog_count}",
        why="After a restart all clients connect at once; those beyond it wait a second or more.",
        mend=f"sysctl -w net.core.somaxconn={wishes.backlog_count}",
    )  # fmt: skip


CHECKS: Final[tuple[Check, ...]] = (
    check_cpu_count,
    check_isolated_cpu,
    check_smt_sibling,
    check_governor,
    check_idle_states,
    check_interrupts,
    check_numa,
    check_steal,
    check_clock_source,
    check_rt_throttling,
    check_rt_priority,
    check_swap,
    check_huge_pages,
    check_memlock,
    check_disk_room,
    check_file_system,
    check_open_files,
    check_backlog,
)


def examine(reader: Reader, wishes: Wishes) -> list[Finding]:
    """Every check's finding, in order."""
    return [check(reader, wishes) for check in CHECKS]


def worst(findings: Sequence[Finding]) -> str:
    """The worst result among them."""
    return max((finding.result for finding in findings), key=RESULTS.index, default="ok")


def as_json(findings: Sequence[Finding]) -> str:
    """One JSON object: worst result, and each finding."""
    told = {"worst": worst(findings), "findings": [dataclasses.asdict(finding) for finding in findings]}
    return orjson.dumps(told).decode()


def as_text(findings: Sequence[Finding]) -> str:
    """A table for people: one line each, and what to do below those that are not ok."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.result:<7}  {finding.check:<{width}}  {finding.found}")
        margin = " " * (width + 11)
        lines += [f"{margin}{text}" for text in (finding.why, finding.mend and f"mend: {finding.mend}") if text]
    counts = {result: sum(finding.result == result for finding in findings) for result in reversed(RESULTS)}
    return "\n".join([*lines, "", _list(f"{count} {result}" for result, count in counts.items())])
