"""What is asked of the operating system."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap

import pytest

from engine_node import machine
from engine_node.errors import MachineError
from tests.support.node import ROOT, wait_until


def in_process(code: str) -> str:
    """Run code in a process of its own, because it changes that process."""
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, check=False, timeout=60, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.mark.parametrize(
    ("engine", "background", "allowed", "cpus"),
    [(-1, -1, {0, 1}, {0, 1}), (1, -1, {0, 1, 2}, {0, 2}), (1, 2, {0, 1, 2}, {2}), (0, -1, {0}, {0})],
)
def test_work_beside_the_engine_keeps_off_its_cpu(
    engine: int, background: int, allowed: set[int], cpus: set[int]
) -> None:
    assert machine.background_cpus(engine, background, allowed) == cpus


@pytest.mark.parametrize(
    ("engine", "sync", "background", "allowed", "chosen"),
    [
        (-1, -1, -1, {0, 1}, -1),
        (1, -1, -1, {0, 1}, 0),
        (1, -1, 3, {0, 1, 2, 3}, 3),
        (1, 2, -1, {0, 1, 2}, 2),
        (0, -1, -1, {0}, -1),
    ],
)
def test_the_sync_thread_never_inherits_the_engines_cpu(
    engine: int, sync: int, background: int, allowed: set[int], chosen: int
) -> None:
    assert machine.choose_sync_cpu(engine, sync, background, allowed) == chosen


def test_pinning_moves_this_thread_and_can_move_the_others_away() -> None:
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        pytest.skip("one CPU only")
    cpu, other = allowed[-1], allowed[0]
    told = in_process(f"""
        import os, threading
        from engine_node import machine
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        machine.pin({cpu})
        machine.move_other_threads({cpu}, {{{other}}})
        print(os.sched_getaffinity(0), os.sched_getaffinity(thread.native_id))
        stop.set()
    """)
    assert told == f"{{{cpu}}} {{{other}}}"


def test_a_cpu_that_is_not_allowed_is_named_with_those_that_are() -> None:
    with pytest.raises(MachineError) as caught:
        machine.pin(1000)
    assert "CPU 1000" in caught.value.message
    assert "allowed: " in caught.value.detail


def test_memory_that_may_not_be_locked_says_which_limit_and_what_to_set() -> None:
    told = in_process("""
        import os, resource
        from engine_node import errors, machine
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
        if os.geteuid() == 0:
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
        try:
            machine.lock_memory()
        except errors.MachineError as error:
            print(error.detail, "|", error.hint)
    """)
    assert told.startswith("memlock limit: 65536 bytes | set LimitMEMLOCK=infinity")


def test_a_real_time_priority_that_may_not_be_taken_says_what_to_set() -> None:
    told = in_process("""
        import os, resource
        from engine_node import errors, machine
        resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
        if os.geteuid() == 0:
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
        try:
            machine.set_realtime(50)
        except errors.MachineError as error:
            print(error)
    """)
    assert "realtime_priority 50 must be granted" in told
    assert "LimitRTPRIO=99" in told


def test_lower_priority_is_nicer() -> None:
    before = os.nice(0)
    assert int(
        in_process("from engine_node import machine; import os; machine.lower_priority(); print(os.nice(0))")
    ) == min(19, before + 10)


def test_the_limit_of_open_files_rises_as_far_as_it_may() -> None:
    told = in_process("""
        import resource
        from engine_node import machine
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
        print(machine.raise_open_files(150), machine.raise_open_files(100), machine.raise_open_files(500))
        print(resource.getrlimit(resource.RLIMIT_NOFILE))
    """)
    assert told.split("\n") == ["150 100 200", "(200, 200)"]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 200


def test_a_child_dies_with_its_parent_and_at_once_with_one_that_is_gone() -> None:
    child = textwrap.dedent("""
        import os, sys, time
        from engine_node import machine
        machine.die_with_parent(int(sys.argv[1]))
        print(os.getpid(), flush=True)
        time.sleep(60)
    """)
    parent = textwrap.dedent(f"""
        import os, subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", {child!r}, str(os.getpid())], stdout=subprocess.PIPE)
        print(child.stdout.readline().decode().strip(), flush=True)
        os._exit(0)
    """)
    pid = int(in_process(parent))
    wait_until(lambda: not _runs(pid))
    gone = subprocess.run([sys.executable, "-c", child, "1"], cwd=ROOT, check=False, timeout=30)
    assert gone.returncode == -15


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
