"""An engine node's user data, executed for real in a Debian root, and the next boot of what it left.

    python -m tests.terraform.node WORKPLACE        (root, in namespaces of its own; see machine())

    first boot   cloud-init's four stages run in a chroot on a disk of its own, with the real apt, mkfs, mount, pip,
                 systemctl, update-grub; the journal's disk is a loop device under the name that Amazon gives it, the
                 bundle comes from a server that stands in for S3
    next boot    what a kernel would do with the command line in grub.cfg, and systemd with sysctl.d, fstab and limits,
                 is done to a described machine of 96 CPUs; then the boot script runs in it

Not executed: a kernel, systemd as process 1, the engine, the reboot. Answers with JSON on standard output.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from engine_node import doctor, settings
from tests.support.services import ROOT

DISK_BYTES: Final = 2 << 30
STAGES: Final = (("init", "--local"), ("init",), ("modules", "--mode=config"), ("modules", "--mode=final"))
DEVICES: Final = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
EXPORTER: Final = "prometheus-node-exporter.service"  # Debian's, with ours on top
UNITS: Final = "/etc/systemd/system"
LIMITS: Final = {
    "Max open files": "LimitNOFILE",
    "Max locked memory": "LimitMEMLOCK",
    "Max realtime priority": "LimitRTPRIO",
}
CPU: Final = "/sys/devices/system/cpu"


def machine(user_data: bytes, environment: dict[str, str], image: str) -> dict[str, Any]:
    """Boot it twice, in mount, process and host name namespaces that end with it."""
    with tempfile.TemporaryDirectory(prefix="node-", dir="/var/tmp") as place:
        Path(place, "user-data").write_bytes(user_data)
        subprocess.run(["cp", "--sparse=always", image, f"{place}/root.img"], check=True, timeout=60)
        with open(f"{place}/journal.img", "wb") as disk:
            disk.truncate(DISK_BYTES)
        apart = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child"]
        done = subprocess.run(
            [*apart, sys.executable, "-m", "tests.terraform.node", place],
            cwd=ROOT,
            env={**environment, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told


@contextlib.contextmanager
def _loop(image: Path) -> Iterator[str]:
    device = subprocess.check_output(["losetup", "--find", "--show", str(image)], text=True).strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=False)


class Root:
    """The root directory of the node."""

    def __init__(self, place: Path, environment: dict[str, str]) -> None:
        self.place = place
        self.environment = environment

    def path(self, inside: str) -> Path:
        return Path(f"{self.place}{inside}")

    def read(self, inside: str) -> str:
        return self.path(inside).read_text()

    def write(self, inside: str, text: str) -> None:
        self.path(inside).parent.mkdir(parents=True, exist_ok=True)
        self.path(inside).write_text(text)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["chroot", str(self.place), *command],
            env={**self.environment, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        return done


# ---- First boot ------------------------------------------------------------------------------------------------------


def _devices(root_device: str, journal_device: str) -> None:
    """A /dev of this namespace: the disks as an instance names them (to grub a loop is none)."""
    numbers = {path: os.stat(path).st_rdev for path in (root_device, journal_device)}
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev"], check=True)
    for name, (major, minor) in DEVICES.items():
        os.mknod(f"/dev/{name}", 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        os.chmod(f"/dev/{name}", 0o666)
    os.symlink("/proc/self/fd", "/dev/fd")
    for path, name in ((root_device, "/dev/nvme0n1p1"), (journal_device, "/dev/nvme1n1")):
        os.mknod(path, 0o660 | stat.S_IFBLK, numbers[path])
        os.mknod(name, 0o660 | stat.S_IFBLK, numbers[path])
    os.makedirs("/dev/disk/by-id")
    os.symlink("../../nvme1n1", "/dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_AWS0123456789ABCDEF")


def _furnish(root: Root) -> None:
    """What a machine image and its kernel bring: /proc, /dev, a kernel to boot, and swap."""
    subprocess.run(["mount", "-t", "proc", "proc", root.path("/proc")], check=True)
    subprocess.run(["mount", "--bind", "/dev", root.path("/dev")], check=True)
    for directory in ("/run", "/tmp"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root.path(directory)], check=True)
    root.path("/boot/grub").mkdir()
    root.write("/boot/vmlinuz-6.1.0-35-cloud-amd64", "")
    root.write("/etc/fstab", "/dev/root / ext4 defaults 0 1\n/dev/nvme0n1p3 none swap sw 0 0\n")
    root.write("/etc/cloud/cloud.cfg.d/99-seed.cfg", "datasource_list: [NoCloud]\nnetwork: {config: disabled}\n")
    root.write("/var/lib/cloud/seed/nocloud/meta-data", "instance-id: i-0123456789abcdef0\n")


def _first_boot(root: Root, user_data: Path) -> dict[str, Any]:
    shutil.copy(user_data, root.path("/var/lib/cloud/seed/nocloud/user-data"))
    for stage in STAGES:
        root.run("cloud-init", *stage)
    again = root.run("/usr/local/sbin/ironbook-node-setup")  # what is there stays
    return {
        "result": json.loads(root.read("/run/cloud-init/result.json"))["v1"],
        "schema": root.run("cloud-init", "schema", "--system").stdout,  # ends with another status where it is invalid
        "log": root.read("/var/log/cloud-init-output.log"),
        "again": again.stderr,
        "verify": {
            unit.name: root.run("systemd-analyze", "verify", f"{UNITS}/{unit.name}", check=False).stderr
            for unit in sorted(root.path(UNITS).glob("ironbook-*"))
            if unit.is_file()
        }
        | {EXPORTER: root.run("systemd-analyze", "verify", f"/lib/systemd/system/{EXPORTER}", check=False).stderr},
        "enabled": sorted(path.name for path in root.path(UNITS).glob("*.wants/*")),
        "masked": [
            path.name for path in root.path(UNITS).iterdir() if path.is_symlink() and os.readlink(path) == "/dev/null"
        ],
        "fstab": root.read("/etc/fstab"),
        "kernel_line": _kernel_line(root),
        "hostname": root.read("/etc/hostname").strip(),
        "chrony": root.run("chronyd", "-p", "-f", "/etc/chrony/chrony.conf").stdout,
        "modes": {
            path: f"{root.path(path).stat().st_mode & 0o7777:04o} {root.path(path).stat().st_uid}"
            for path in ("/etc/ironbook", "/var/lib/ironbook", "/usr/local/sbin/ironbook-machine")
        },
        "owner": root.run("id", "-u", "ironbook").stdout.strip(),
        "bundle": root.run("/opt/ironbook/bin/python", "-P", "-m", "engine_node").stdout.strip(),
    }


def _kernel_line(root: Root) -> str:
    lines = re.findall(r"^\s*linux\s+(/boot/vmlinuz\S*.*)$", root.read("/boot/grub/grub.cfg"), re.MULTILINE)
    return str(lines[0])


# ---- Next boot -------------------------------------------------------------------------------------------------------

HARDWARE: Final = {
    f"{CPU}/smt/active": "1\n",
    "/sys/devices/system/node/online": "0-1\n",
    "/sys/devices/system/node/node0/cpulist": "0-23,48-71\n",
    "/sys/devices/system/node/node1/cpulist": "24-47,72-95\n",
    "/sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm\n",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet\n",
    "/sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n",
    "/sys/kernel/mm/transparent_hugepage/defrag": "[always] defer defer+madvise madvise never\n",
    "/proc/interrupts": "           CPU0       CPU1       CPU2       CPU3\n"
    " 24:     100000          0          0          0   PCI-MSI 512000-edge   nvme0q0\n"
    " 25:          0          0          0      99999   PCI-MSI 512001-edge   eth0-Tx-Rx-3\n",
    "/proc/irq/24/smp_affinity_list": "0\n",
    "/proc/irq/25/smp_affinity_list": "3\n",
    "/proc/stat": "cpu  1000 0 1000 100000 0 0 0 0 0 0\n",
    "/proc/self/status": "Name:\tpython\nCapEff:\t0000000000000000\n",
    "/proc/sys/kernel/sched_rt_runtime_us": "950000\n",
    "/proc/sys/kernel/numa_balancing": "1\n",
    "/proc/sys/kernel/timer_migration": "1\n",
    "/proc/sys/vm/swappiness": "60\n",
    "/proc/sys/vm/stat_interval": "1\n",
    "/proc/sys/net/core/somaxconn": "128\n",
    "/proc/sys/net/core/rmem_max": "212992\n",
    "/proc/sys/net/core/wmem_max": "212992\n",
}


def _hardware(root: Root, line: str) -> None:
    """A machine of two sockets with 24 cores of two threads, as a kernel with that command line shows it."""
    given = dict(part.partition("=")[::2] for part in line.split())
    online = 48 if "nosmt" in given else 96
    files = dict(HARDWARE)
    files[f"{CPU}/online"] = f"0-{online - 1}\n"
    files[f"{CPU}/isolated"] = given.get("isolcpus", "").split(",")[-1] + "\n"
    files[f"{CPU}/nohz_full"] = given.get("nohz_full", "(null)") + "\n"
    for cpu in range(online):
        siblings = f"{cpu}" if "nosmt" in given else f"{cpu % 48},{cpu % 48 + 48}"
        files[f"{CPU}/cpu{cpu}/topology/thread_siblings_list"] = siblings + "\n"
        files[f"{CPU}/cpu{cpu}/cpufreq/scaling_governor"] = "powersave\n"
        for number, (name, latency_us) in enumerate((("POLL", 0), ("C1", 2), ("C6", 133))):
            base = f"{CPU}/cpu{cpu}/cpuidle/state{number}"
            files |= {f"{base}/name": f"{name}\n", f"{base}/latency": f"{latency_us}\n", f"{base}/disable": "0\n"}
    if given.get("clocksource") == "tsc":
        files["/sys/devices/system/clocksource/clocksource0/current_clocksource"] = "tsc\n"
    for path, text in files.items():
        root.write(path, text)


def _by_systemd(root: Root) -> None:
    """What systemd does with fstab and with the unit's limits."""
    mounts, swaps = [], ["Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority"]
    for number, text in enumerate(root.read("/etc/fstab").splitlines()):
        fields = text.split()
        if not fields or fields[0].startswith("#"):
            continue
        if fields[2] == "swap":
            swaps.append(f"{fields[0]} partition 8388604 0 -2")
        else:
            mounts.append(f"{number + 20} 1 259:{number} / {fields[1]} rw - {fields[2]} {fields[0]} rw")
    root.write("/proc/self/mountinfo", "\n".join(mounts) + "\n")
    root.write("/proc/swaps", "\n".join(swaps) + "\n")
    unit = root.read(f"{UNITS}/ironbook-engine.service")
    limits = []
    for name, setting in LIMITS.items():
        found = re.search(rf"^{setting}=(\S+)$", unit, re.MULTILINE)
        value = "0" if found is None else found[1].replace("infinity", "unlimited")
        limits.append(f"{name:<25} {value:<20} {value:<20}")
    root.write("/proc/self/limits", "\n".join(limits) + "\n")


def _as_a_kernel_shows(root: Root) -> None:
    """A choice that was written to a file of /sys is read with brackets around it."""
    for name in ("enabled", "defrag"):
        path = f"/sys/kernel/mm/transparent_hugepage/{name}"
        if "[" not in root.read(path):
            root.write(path, f"[{root.read(path).strip()}]\n")


def _next_boot(root: Root) -> dict[str, Any]:
    line = _kernel_line(root)
    toml = root.path("/etc/ironbook/engine.toml")
    wishes = doctor.Wishes.of(settings.load(toml, {}))
    subprocess.run(["umount", root.path("/proc")], check=True)
    _hardware(root, "")
    before = doctor.examine(doctor.Machine(str(root.place)), wishes)
    _hardware(root, line)
    _by_systemd(root)
    applied = root.run("sysctl", "--system").stdout
    script = root.run("/usr/local/sbin/ironbook-machine")
    _as_a_kernel_shows(root)
    after = doctor.examine(doctor.Machine(str(root.place)), wishes)
    return {
        "sysctl": applied,
        "script": script.stderr,
        "before": [dataclasses.asdict(finding) for finding in before],
        "after": [dataclasses.asdict(finding) for finding in after],
        "deep_sleep_disabled": root.read(f"{CPU}/cpu3/cpuidle/state2/disable").strip(),
        "wishes": dataclasses.asdict(wishes),
    }


def main(place: Path) -> None:
    """Both boots; in namespaces of its own."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    (place / "root").mkdir()
    environment = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "LC_"))}
    with _loop(place / "root.img") as root_device, _loop(place / "journal.img") as journal_device:
        _devices(root_device, journal_device)
        subprocess.run(["mount", "/dev/nvme0n1p1", place / "root"], check=True)
        root = Root(place / "root", environment)
        try:
            _furnish(root)
            told = {"first": _first_boot(root, place / "user-data")}
            told["next"] = _next_boot(root)
        finally:
            subprocess.run(["umount", "--recursive", "--lazy", place / "root"], check=False)
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
