"""The doctor over trees of /proc and /sys as machines show them: a tuned server, an untuned one, a virtual machine."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from engine_node import doctor
from engine_node.doctor import Finding, Wishes
from engine_node.settings import Settings
from tests.support.node import ROOT

LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max open files            {files}              {files}               files
Max locked memory         {memlock}            {memlock}             bytes
Max realtime priority     {rtprio}             {rtprio}
"""
MOUNTS = """22 1 259:2 / / rw,relatime shared:1 - {root} /dev/nvme0n1p2 rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
24 22 0:5 / /dev/shm rw - tmpfs tmpfs rw
25 22 259:3 / /srv rw - {root} /dev/nvme1n1p1 rw
26 25 0:44 / /srv/a\\040b rw - nfs4 server:/x rw
"""
CPU = "/sys/devices/system/cpu"

# Two sockets, eight CPUs, everything done: the engine on 3, the rest on 0-2.
TUNED = {
    f"{CPU}/online": "0-7\n",
    f"{CPU}/isolated": "3,7\n",
    f"{CPU}/nohz_full": "3,7\n",
    f"{CPU}/smt/active": "1\n",
    f"{CPU}/cpu3/topology/thread_siblings_list": "3,7\n",
    f"{CPU}/cpu3/cpufreq/scaling_governor": "performance\n",
    f"{CPU}/cpu3/cpuidle/state0/name": "POLL\n",
    f"{CPU}/cpu3/cpuidle/state0/latency": "0\n",
    f"{CPU}/cpu3/cpuidle/state1/name": "C1\n",
    f"{CPU}/cpu3/cpuidle/state1/latency": "2\n",
    f"{CPU}/cpu3/cpuidle/state2/name": "C6\n",
    f"{CPU}/cpu3/cpuidle/state2/latency": "133\n",
    f"{CPU}/cpu3/cpuidle/state2/disable": "1\n",
    "/sys/devices/system/node/online": "0-1\n",
    "/sys/devices/system/node/node0/cpulist": "0-3\n",
    "/sys/devices/system/node/node1/cpulist": "4-7\n",
    "/proc/sys/kernel/numa_balancing": "0\n",
    "/proc/interrupts": "           CPU0       CPU1       CPU2       CPU3\n"
    " 24:     100000          0          0          0   PCI-MSI 512000-edge   nvme0q0\n"
    " 25:          0      99999          0          0   PCI-MSI 512001-edge   eth0-rx\n"
    "NMI:          0          0          0          0   Non-maskable interrupts\n",
    "/proc/irq/24/effective_affinity_list": "0\n",
    "/proc/irq/25/effective_affinity_list": "1\n",
    "/proc/stat": "cpu  1000 0 1000 100000 0 0 0 0 0 0\n",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "/sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm\n",
    "/proc/sys/kernel/sched_rt_runtime_us": "-1\n",
    "/proc/self/limits": LIMITS.format(files=65536, memlock="unlimited", rtprio=99),
    "/proc/self/status": "Name:\tpython\nCapEff:\t0000000000000000\n",
    "/proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
    "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "/sys/kernel/mm/transparent_hugepage/defrag": "always defer [defer+madvise] madvise never\n",
    "/proc/self/mountinfo": MOUNTS.format(root="xfs"),
    "/proc/sys/net/core/somaxconn": "4096\n",
}

# The same hardware as it comes.
UNTUNED = TUNED | {
    f"{CPU}/isolated": "\n",
    f"{CPU}/nohz_full": "(null)\n",
    f"{CPU}/cpu3/cpufreq/scaling_governor": "powersave\n",
    f"{CPU}/cpu3/cpuidle/state2/disable": "0\n",
    "/proc/sys/kernel/numa_balancing": "1\n",
    "/proc/irq/25/effective_affinity_list": "3\n",
    "/proc/interrupts": "           CPU0       CPU1       CPU2       CPU3\n"
    " 24:     100000          0          0          0   PCI-MSI 512000-edge   nvme0q0\n"
    " 25:          0          0          0      99999   PCI-MSI 512001-edge   eth0-rx\n",
    "/proc/stat": "cpu  1000 0 1000 100000 0 0 0 900 0 0\n",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet\n",
    "/proc/sys/kernel/sched_rt_runtime_us": "950000\n",
    "/proc/self/limits": LIMITS.format(files=256, memlock=65536, rtprio=0),
    "/proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/nvme0n1p3 partition 8388604 1024 -2\n",
    "/sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n",
    "/proc/self/mountinfo": MOUNTS.format(root="btrfs"),
    "/proc/sys/net/core/somaxconn": "128\n",
}

WISHES = Wishes(
    engine_cpu=3, background_cpu=2, realtime_priority=80, lock_memory=True,
    data_directory="/srv/ironbook", free_bytes_min=1 << 30,
)  # fmt: skip


@dataclasses.dataclass
class Tree:
    """A recorded machine."""

    files: dict[str, str]
    free: int | None = 1 << 40

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def names(self, path: str) -> list[str]:
        front = path + "/"
        return sorted({name[len(front) :].split("/")[0] for name in self.files if name.startswith(front)})

    def free_bytes(self, path: str) -> int | None:
        return self.free


def finding(check: str, files: dict[str, str], wishes: Wishes = WISHES, free: int | None = 1 << 40) -> Finding:
    (found,) = [found for found in doctor.examine(Tree(files, free), wishes) if found.check == check]
    return found


def test_a_tuned_machine_is_all_well() -> None:
    assert [found for found in doctor.examine(Tree(TUNED), WISHES) if found.result != "ok"] == []


def test_an_untuned_machine_is_told_everything_that_it_lacks() -> None:
    results = {found.check: found.result for found in doctor.examine(Tree(UNTUNED, 100 << 20), WISHES)}
    assert results == {
        "cpu_count": "ok", "isolated_cpu": "warn", "smt_sibling": "warn", "governor": "warn", "idle_states": "warn",
        "interrupts": "warn", "numa": "warn", "steal": "warn", "clock_source": "bad", "rt_throttling": "warn",
        "rt_priority": "bad", "swap": "ok", "huge_pages": "warn", "memlock": "bad", "disk_room": "bad",
        "file_system": "warn", "open_files": "bad", "backlog": "warn",
    }  # fmt: skip


@pytest.mark.parametrize("check", [check.__name__.removeprefix("check_") for check in doctor.CHECKS])
def test_a_machine_that_tells_nothing_is_unknown_and_never_an_error(check: str) -> None:
    assert finding(check, {}, free=None).result in (("bad", "warn") if check == "isolated_cpu" else ("unknown",))


@pytest.mark.parametrize("machine", [TUNED, UNTUNED, {}], ids=["tuned", "untuned", "silent"])
@pytest.mark.parametrize("wishes", [WISHES, Wishes(), Wishes(busy_poll=True)], ids=["all", "none", "spinning"])
def test_whatever_is_not_well_says_why_and_what_to_type(machine: dict[str, str], wishes: Wishes) -> None:
    for found in doctor.examine(Tree(machine, 1 << 20), wishes):
        assert found.found
        if found.result in ("warn", "bad"):
            assert found.why
            assert found.mend


@pytest.mark.parametrize(
    ("check", "mend"),
    [
        ("isolated_cpu", "isolcpus=managed_irq,domain,3 nohz_full=3 rcu_nocbs=3"),
        ("smt_sibling", "echo 0 > /sys/devices/system/cpu/cpu7/online"),
        ("governor", "cpupower frequency-set -g performance"),
        ("idle_states", "cpupower idle-set -D 10"),
        ("interrupts", "for i in 25; do echo 0,1,2,4,5,6,7 > /proc/irq/$i/smp_affinity_list; done"),
        ("numa", "sysctl -w kernel.numa_balancing=0"),
        ("clock_source", "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource"),
        ("rt_throttling", "sysctl -w kernel.sched_rt_runtime_us=-1"),
        ("rt_priority", "LimitRTPRIO=99"),
        ("huge_pages", "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"),
        ("memlock", "LimitMEMLOCK=infinity"),
        ("open_files", "LimitNOFILE=1280"),
        ("backlog", "sysctl -w net.core.somaxconn=1024"),
    ],
)
def test_the_mending_is_a_command_for_this_very_machine(check: str, mend: str) -> None:
    assert mend in finding(check, UNTUNED).mend


def test_one_cpu_is_too_few() -> None:
    assert finding("cpu_count", TUNED | {f"{CPU}/online": "0\n"}).result == "bad"


def test_a_cpu_that_is_not_online_is_bad() -> None:
    found = finding("isolated_cpu", TUNED, dataclasses.replace(WISHES, engine_cpu=9))
    assert (found.result, "set engine_cpu to one of 0, 1" in found.mend) == ("bad", True)


def test_an_isolated_cpu_with_a_tick_is_a_warning() -> None:
    assert "timer tick" in finding("isolated_cpu", TUNED | {f"{CPU}/nohz_full": "\n"}).found


def test_an_unpinned_engine_is_told_which_cpu_to_take() -> None:
    assert finding("isolated_cpu", TUNED, Wishes()).mend == "set engine_cpu = 3"


def test_a_background_cpu_on_the_same_core_is_a_warning() -> None:
    assert finding("smt_sibling", TUNED, dataclasses.replace(WISHES, background_cpu=7)).result == "warn"


def test_cpus_on_two_nodes_are_a_warning() -> None:
    found = finding("numa", TUNED, dataclasses.replace(WISHES, background_cpu=5))
    assert (found.result, "node 0: 0-3" in found.mend) == ("warn", True)


def test_spinning_under_throttling_is_bad_and_idle_states_no_longer_matter() -> None:
    spinning = dataclasses.replace(WISHES, busy_poll=True)
    assert finding("rt_throttling", UNTUNED, spinning).result == "bad"
    assert finding("idle_states", UNTUNED, spinning).result == "ok"


def test_swap_matters_only_while_memory_is_not_locked() -> None:
    assert finding("swap", UNTUNED, dataclasses.replace(WISHES, lock_memory=False)).result == "warn"


def test_the_capability_stands_for_the_limit() -> None:
    able = UNTUNED | {"/proc/self/status": "CapEff:\t0000000000800000\n"}
    assert finding("rt_priority", able).result == "ok"


def test_a_clock_without_a_better_one_names_the_boot_parameter() -> None:
    alone = UNTUNED | {"/sys/devices/system/clocksource/clocksource0/available_clocksource": "hpet acpi_pm\n"}
    assert "clocksource=tsc" in finding("clock_source", alone).mend


@pytest.mark.parametrize(
    ("directory", "level", "result"),
    [
        ("/srv/ironbook", "disk", "ok"),
        ("/srv", "disk", "ok"),
        ("/dev/shm/x", "disk", "bad"),
        ("/dev/shm/x", "process", "warn"),
        ("/srv/a b/x", "disk", "bad"),
        ("/srvx", "disk", "ok"),
    ],
)
def test_the_file_system_is_that_of_the_longest_mount(directory: str, level: str, result: str) -> None:
    wishes = dataclasses.replace(WISHES, data_directory=directory, survival_level=level)
    assert finding("file_system", TUNED, wishes).result == result


@pytest.mark.parametrize("kind", ["btrfs", "zfs", "bcachefs"])
def test_a_file_system_that_copies_on_write_is_warned_of_as_not_supported(kind: str) -> None:
    found = finding("file_system", TUNED | {"/proc/self/mountinfo": MOUNTS.format(root=kind)})
    assert (found.result, "not supported for the journal" in found.found) == ("warn", True)
    assert "ext4 or xfs" in found.mend


def test_the_file_system_is_the_journals_where_that_is_a_mount_of_its_own() -> None:
    line = "27 25 259:4 / /srv/ironbook/journal rw - {kind} /dev/nvme2n1 rw\n"
    copying = {"/proc/self/mountinfo": MOUNTS.format(root="xfs") + line.format(kind="btrfs")}
    assert finding("file_system", TUNED | copying).result == "warn"
    plain = {"/proc/self/mountinfo": MOUNTS.format(root="btrfs") + line.format(kind="ext4")}
    assert finding("file_system", TUNED | plain).result == "ok"


@pytest.mark.parametrize(("free_mib", "result"), [(100, "bad"), (1024 + 65, "warn"), (1024 + 256, "ok")])
def test_room_is_measured_in_segments_above_the_least(free_mib: int, result: str) -> None:
    assert finding("disk_room", TUNED, free=free_mib << 20).result == result


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3,8", {0, 1, 2, 3, 8}), ("", set()), ("(null)", set()), ("5\n", {5}), ("0, 2-3", {0, 2, 3})]
)
def test_lists_of_cpus_read_as_the_kernel_writes_them(text: str, cpus: set[int]) -> None:
    assert doctor.parse_cpus(text) == cpus


def test_the_worst_result_and_both_forms_of_the_report() -> None:
    found = doctor.examine(Tree(UNTUNED), WISHES)
    told = orjson.loads(doctor.as_json(found))
    assert told["worst"] == "bad" == doctor.worst(found)
    assert len(told["findings"]) == len(doctor.CHECKS)
    text = doctor.as_text(found)
    assert "mend: cpupower frequency-set -g performance" in text
    assert text.endswith("ok")


def test_wishes_come_from_the_settings() -> None:
    wishes = Wishes.of(Settings(engine_cpu=1, lock_memory=True, segment_records=4096, data_directory="/x"))
    assert (wishes.engine_cpu, wishes.lock_memory, wishes.segment_bytes, wishes.data_directory) == (
        1,
        True,
        262144,
        "/x",
    )


def test_this_machine_answers_every_check(tmp_path: Path) -> None:
    found = doctor.examine(doctor.Machine(), Wishes(data_directory=str(tmp_path / "not" / "yet")))
    assert {one.check for one in found} == {check.__name__.removeprefix("check_") for check in doctor.CHECKS}
    assert all(one.result in doctor.RESULTS for one in found)


def test_the_command_prints_json_and_its_exit_code_says_bad() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IRONBOOK_")}
    ran = subprocess.run(
        [sys.executable, "-m", "engine_node", "doctor", "--json"],
        cwd=ROOT, env=environment, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    told = orjson.loads(ran.stdout)
    assert ran.returncode == (1 if told["worst"] == "bad" else 0)
