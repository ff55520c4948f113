"""One Kafka node, broker and controller in one process, from jars that Maven brings into the user's cache.

    ops/kafka/pom.xml ──mvn, once──▶ <cache>/ironbook/kafka-<digest>/lib/*.jar, and an archive of loaded classes
    <directory>/server.properties   ports and settings; made once, so a restart is the same broker
               /log                 the broker's data            /server.log   what it says

The archive (class data sharing) halves the start: 2 s instead of 4.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from ironbook._errors import DependencyMissing, ServiceFailed
from ironbook.services._process import POLL_S, Running, free_port, last_lines, port_is_open, spawn

HEAP_MIB = 512
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
FETCH_TIMEOUT_S = 540.0
ADMIN = "admin"
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256")
_CONTROLLER = "controller"
_QUICK = (  # for what runs for seconds
    "-XX:TieredStopAtLevel=1",
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-BytecodeVerificationRemote",
)

# What holds for a broker of development, wherever it runs; ops/compose.yaml says the same.
SETTINGS: Mapping[str, str] = {
    "auto.create.topics.enable": "false",
    "broker.session.timeout.ms": "3000",  # a broker that was killed is registered again no sooner
    "broker.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",  # a standby takes over in seconds
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.index.size.max.bytes": "1048576",
    "min.insync.replicas": "1",
    "num.io.threads": "4",
    "num.network.threads": "2",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """A broker's directory.

    users   name to password; with any the broker takes SASL/SCRAM only, and access rules bind everybody but `admin`
    brief   for tests: it starts with half the work, and is slower under load
    """

    directory: Path
    port: int
    users: Mapping[str, str] = dataclasses.field(default_factory=dict)
    brief: bool = False
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def start(self) -> Running:
        """Start it, for the first time or again on the same port and data; returns when it answers."""
        quick = _QUICK if self.brief else ()
        command = [*_java(), *quick, f"-Xmx{HEAP_MIB}m", "kafka.Kafka", str(self.directory / "server.properties")]
        running = spawn(command, self.log)
        ends_s = time.monotonic() + START_TIMEOUT_S
        while not port_is_open(self.port):
            if not running.alive():
                raise ServiceFailed(
                    "Kafka must stay up after its start, ended", detail=f"{self.log}:\n{last_lines(self.log)}"
                )
            if time.monotonic() >= ends_s:
                running.kill()
                raise ServiceFailed(
                    f"Kafka must answer within {START_TIMEOUT_S:.0f} s, did not",
                    detail=f"{self.log}:\n{last_lines(self.log)}",
                )
            time.sleep(POLL_S)
        return running


def prepare(
    directory: Path,
    port: int | None = None,
    users: Mapping[str, str] | None = None,
    *,
    brief: bool = False,
    cluster_id: str = "",
) -> Kafka:
    """A formatted directory. port: None takes a free one. users: with `admin` among them a broker with SASL."""
    chosen, known = port or free_port(), dict(users or {})
    if known and ADMIN not in known:
        raise ServiceFailed(f"a broker with users must have the user {ADMIN}, has {sorted(known)}")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    properties = directory / "server.properties"
    with open(os.open(properties, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in _properties(directory, chosen, known).items())
    scram = [f"--add-scram={way}=[name={name},password={known[name]}]" for name in known for way in MECHANISMS]
    cluster = cluster_id or secrets.token_urlsafe(16)
    tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties), *scram]
    with tempfile.NamedTemporaryFile("w", dir=directory) as arguments:  # passwords are not for everybody's `ps`
        arguments.writelines(f'"{word}"\n' for word in tool)
        arguments.flush()
        done = subprocess.run([*_java(), *_QUICK, f"@{arguments.name}"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServiceFailed(
            "Kafka must accept its settings, did not", detail=f"{properties}: {(done.stderr or done.stdout)[-1000:]}"
        )
    return Kafka(directory=directory, port=chosen, users=known, brief=brief)


def _properties(directory: Path, port: int, users: Mapping[str, str]) -> dict[str, str]:
    controller = free_port()
    while controller == port:
        controller = free_port()
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{port}",
        "inter.broker.listener.name": "CLIENT",
        "log.dirs": str(directory / "log"),
        **SETTINGS,
        **(_sasl(users) if users else {"listener.security.protocol.map": "CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT"}),
    }


def _sasl(users: Mapping[str, str]) -> dict[str, str]:
    """Nobody is anonymous: clients by SCRAM, the controller (which SCRAM's passwords come from) by one of its own."""
    word = secrets.token_urlsafe(24)
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
    return {
        "listener.security.protocol.map": "CONTROLLER:SASL_PLAINTEXT,CLIENT:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        "sasl.mechanism.inter.broker.protocol": MECHANISMS[0],
        "sasl.mechanism.controller.protocol": "PLAIN",
        f"listener.name.client.{MECHANISMS[0].lower()}.sasl.jaas.config": (
            f'{scram} required username="{ADMIN}" password="{users[ADMIN]}";'
        ),
        f"listener.name.client.{MECHANISMS[1].lower()}.sasl.jaas.config": f"{scram} required;",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": (
            f'{plain} required username="{_CONTROLLER}" password="{word}" user_{_CONTROLLER}="{word}";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": f"User:{ADMIN};User:{_CONTROLLER}",
    }


# ---- the jars


def _java() -> list[str]:
    """java with the jars, fetched if they are not there yet, and the archive of classes for this very java."""
    java = _program("java", "a Java runtime, 17 or newer")
    lib, archive = _installed(java)
    return [
        java,
        "-Xshare:auto",
        f"-XX:SharedArchiveFile={archive}",
        "-Xlog:disable",
        "-Xlog:all=error:stderr",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-XX:+UseSerialGC",
        "-cp",
        f"{lib}/*",
    ]


def fetch() -> Path:
    """The directory of the jars, fetched by Maven if it is not there yet."""
    return _installed(_program("java", "a Java runtime, 17 or newer"))[0]


def _installed(java: str) -> tuple[Path, Path]:
    pom = _pom()
    home = _cache() / f"kafka-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    lib = home / "lib"
    real = Path(java).resolve()
    version = hashlib.sha256(f"{real} {real.stat().st_size} {real.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    archive = home / f"classes-{version}.jsa"
    if not archive.exists():
        with _locked(_cache() / "kafka.lock"):
            if not lib.exists():
                _fetch(pom, home)
            if not archive.exists():
                _archive(java, lib, archive)
    return lib, archive


def _fetch(pom: Path, home: Path) -> None:
    maven = _program("mvn", "Apache Maven")
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as place:
        shutil.copy(pom, place)
        command = [maven, "-q", "-B", "-f", f"{place}/{pom.name}", "dependency:copy-dependencies"]
        try:
            done = subprocess.run(
                [*command, f"-DoutputDirectory={place}/lib"],
                capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise ServiceFailed(f"Maven must bring Kafka within {FETCH_TIMEOUT_S:.0f} s, did not") from error
        if done.returncode:
            raise ServiceFailed(
                "Maven must bring Kafka's jars, did not",
                detail=(done.stdout + done.stderr)[-1000:],
                hint="it needs the network once; see Maven's settings.xml for a mirror",
            )
        Path(place, "lib").rename(home / "lib")


def _archive(java: str, lib: Path, archive: Path) -> None:
    """Run a broker once and have java write down the classes that it loaded."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as place:
        kept = Path(place, archive.name)
        base = [java, "-Xlog:disable", "-XX:+UseSerialGC", "-cp", f"{lib}/*"]
        port = free_port()
        properties = Path(place, "server.properties")
        properties.write_text("".join(f"{k}={v}\n" for k, v in _properties(Path(place), port, {}).items()))
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={secrets.token_urlsafe(16)}", "-c", str(properties)]
        subprocess.run([*base, *tool], capture_output=True, check=False)
        log = Path(place, "server.log")
        running = spawn([*base, f"-XX:ArchiveClassesAtExit={kept}", "kafka.Kafka", str(properties)], log)
        ends_s = time.monotonic() + START_TIMEOUT_S
        while running.alive() and not port_is_open(port) and time.monotonic() < ends_s:
            time.sleep(POLL_S)
        running.stop(START_TIMEOUT_S)
        if kept.exists():
            kept.rename(archive)
        elif "ArchiveClassesAtExit" in last_lines(log):
            archive.touch()  # a java without the feature starts Kafka without it
        else:
            raise ServiceFailed(
                "Kafka must start once with this java, did not", detail=f"{java}:\n{last_lines(log)}",
                hint="it needs Java 17 or newer",
            )  # fmt: skip


def _pom() -> Path:
    """Beside this file in what is installed, in ops/ in the source tree."""
    here = Path(__file__).resolve()
    for found in (here.parent / "pom.xml", here.parents[2] / "ops/kafka/pom.xml"):
        if found.exists():
            return found
    raise ServiceFailed("Kafka's pom.xml must be there, is not", detail=str(here.parent), hint="install ironbook again")


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "ironbook"


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _program(name: str, what: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise DependencyMissing(
            f"Kafka needs {what}, there is none",
            detail=f"no {name} in PATH",
            hint="as root: ops/system-packages services; or use ops/compose.yaml where Docker runs",
        )
    return found
