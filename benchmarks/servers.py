"""Servers for the ingress benchmark: plain echoes and a real engine node, each pinned.

    with echo(place, "spin", directory) as server: ...    build/release/benchmarks/echo spin
    with engine(place, directory, ...) as server: ...     python -m engine_node, with a key for the load generator

All servers stand on one CPU, so only the one being measured may run: the others get SIGSTOP, with all their children.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.machine import Placement
from ironbook.keystore import KEY_FILE_NAME, KeyFile
from schemas.vocabulary import Permission

__all__ = ["PROGRAMS", "ROOT", "Server", "echo", "engine", "gateway", "python_server", "uvloop_echo"]

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "build" / "release" / "benchmarks"
START_TIMEOUT_S = 30.0
KEY_ID = "bench"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server: where it listens, and what the load generator needs in its environment."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    environment: dict[str, str]
    settings: dict[str, str] = dataclasses.field(default_factory=dict)  # of an engine node: its variables

    def pause(self) -> None:
        """Stop it and its children from running at all."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run again."""
        os.killpg(self.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process group of its own; ended, if need be by force, at the end."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, env=environment, start_new_session=True
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _first_line(process: subprocess.Popen[bytes], log: Path) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().decode().strip()
    if not line:
        raise RuntimeError(f"{process.args!r} must print its port, ended instead: {log.read_text()[-500:]}")
    return line


@contextlib.contextmanager
def echo(place: Placement, mode: str, directory: Path) -> Iterator[Server]:
    """The C echo; mode: block or spin."""
    command = place.command(place.server_cpu, [str(PROGRAMS / "echo"), mode])
    log = directory / f"echo-{mode}.log"
    with _running(command, dict(os.environ), log) as process:
        yield Server(name=f"echo {mode}", process=process, port=int(_first_line(process, log)), environment={})


@contextlib.contextmanager
def uvloop_echo(place: Placement, directory: Path) -> Iterator[Server]:
    """The echo in Python on uvloop."""
    with python_server(place, directory, "echo uvloop", ["benchmarks.echo_uvloop"]) as server:
        yield server


@contextlib.contextmanager
def python_server(place: Placement, directory: Path, name: str, module: list[str]) -> Iterator[Server]:
    """A module that prints the port it listens at."""
    command = place.command(place.server_cpu, [sys.executable, "-m", *module])
    log = directory / f"{name.replace(' ', '-')}.log"
    with _running(command, dict(os.environ), log) as process:
        yield Server(name=name, process=process, port=int(_first_line(process, log)), environment={})


@contextlib.contextmanager
def gateway(place: Placement, directory: Path, module: list[str], settings: dict[str, object]) -> Iterator[Server]:
    """A gateway that is ready. module: what serves it; settings: by name, without the prefix of their variables."""
    state, log = directory / "gateway.json", directory / "gateway.log"
    said = settings | {"listen": "127.0.0.1:0", "state_file": state}
    variables = {f"IRONBOOK_GATEWAY_{name.upper()}": str(value) for name, value in said.items()}
    command = place.command(place.server_cpu, [sys.executable, "-m", *module])
    with _running(command, dict(os.environ) | variables, log) as process:
        port = _await_port(process, state, log, ready=True)
        yield Server(name="gateway", process=process, port=port, environment={}, settings=variables)


def _await_port(process: subprocess.Popen[bytes], state_file: Path, log: Path, *, ready: bool = False) -> int:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(
                f"it must start, ended with {process.returncode}: {log.read_text()[-2000:]}"
            )
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError, KeyError, IndexError):
            state = json.loads(state_file.read_text())
            if state.get("pid") == process.pid and (not ready or state["ready"]):
                return int(str(state["addresses"][0]).rsplit(":", 1)[1])
        time.sleep(0.02)
    raise RuntimeError(f"it must listen within {START_TIMEOUT_S} s: {log.read_text()[-2000:]}")


@contextlib.contextmanager
def engine(
    place: Placement,
    directory: Path,
    *,
    name: str,
    level: str,
    busy_poll: bool,
    extra: dict[str, str] | None = None,
    more_keys: Callable[[KeyFile], None] = lambda keys: None,
    cpu: int | None = None,
) -> Iterator[Server]:
    """A real engine node on a fresh journal, with one key that may do everything. extra: more settings.

    cpu: of the whole process, instead of the server's for the engine and the load's for what works beside it
    """
    data = directory / name.replace(" ", "-")
    data.mkdir(parents=True)
    passphrase = secrets.token_hex(16)
    keys = KeyFile(data / KEY_FILE_NAME, passphrase.encode())
    keys.initialise()
    everything = Permission.TRADE | Permission.CANCEL | Permission.READ | Permission.ADMIN | Permission.DELEGATE
    made = keys.create_key(KEY_ID, permissions=everything)
    more_keys(keys)
    settings = {
        "DATA_DIRECTORY": data,
        "LISTEN": "127.0.0.1:0",
        "SURVIVAL_LEVEL": level,
        "ENGINE_CPU": place.server_cpu if cpu is None else -1,
        "SYNC_CPU": place.load_cpu if cpu is None else -1,
        "BACKGROUND_CPU": place.load_cpu if cpu is None else -1,
        "REALTIME_PRIORITY": place.realtime_priority,
        "LOCK_MEMORY": "true",
        "BUSY_POLL": str(busy_poll).lower(),
        "SNAPSHOT_PROCESS": "false",  # there is no third CPU for it
        "IDLE_MS": 600_000,
    } | (extra or {})
    variables = {f"IRONBOOK_ENGINE_{field}": str(value) for field, value in settings.items()}
    environment = dict(os.environ) | variables | {"IRONBOOK_KEY_PASSPHRASE": passphrase}
    log = directory / f"{data.name}.log"
    command = [sys.executable, "-m", "engine_node"]
    pinned = command if cpu is None else place.command(cpu, command, realtime=False)
    with _running(pinned, environment, log) as process:
        port = _await_port(process, data / "engine.json", log)
        client = {
            "IRONBOOK_BENCH_KEY": KEY_ID,
            "IRONBOOK_BENCH_SECRET": made.secret.hex(),
            "IRONBOOK_KEY_PASSPHRASE": passphrase,
        }
        yield Server(name=name, process=process, port=port, environment=client, settings=variables)
