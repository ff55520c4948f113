"""Settings: the only reader of the environment and of the settings file, once, into one frozen object.

    default  <  settings file (TOML: --settings FILE, or IRONBOOK_ENGINE_SETTINGS)  <  variables IRONBOOK_ENGINE_...

Each field of Settings says its unit, range, default and reason; from these the checks, the example file
(`python -m engine_node settings --example`, kept as ops/engine_node.example.toml) and the error texts are made. What is
unknown or out of range stops the start and says what must hold, what was found, where, and what to do; all such
problems are told at once.

The field `idle_ms` is `idle_ms` in the file and IRONBOOK_ENGINE_IDLE_MS in the environment. Only the passphrase of the
key file differs: it is a secret, so it comes from IRONBOOK_KEY_PASSPHRASE or from a file, and is refused in a settings
file. Variables that begin with IRONBOOK_ but not with IRONBOOK_ENGINE_ belong to clients and are not looked at.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from engine_node.errors import SettingsError
from ironbook.keystore import KEY_FILE_NAME, PASSPHRASE_FILE_VARIABLE, PASSPHRASE_VARIABLE

__all__ = [
    "ENVIRONMENT_PREFIX",
    "SETTINGS_FILE_VARIABLE",
    "Address",
    "Settings",
    "child_environment",
    "example",
    "load",
]

ENVIRONMENT_PREFIX: Final = "IRONBOOK_ENGINE_"
SETTINGS_FILE_VARIABLE: Final = "IRONBOOK_ENGINE_SETTINGS"
SETTINGS_FILE_BYTES_MAX: Final = 1 << 20
TOPIC_PREFIX_VARIABLE: Final = "IRONBOOK_TOPIC_PREFIX"  # the same for every process of an installation
CPU_MAX: Final = 1023
POOL_MAX: Final = 1 << 28  # slots of any pool of the core: engine_node/core/limits.h


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: an IPv4 or IPv6 address (never a name: a start must not wait for a resolver) and a port."""

    host: str
    port: int  # 0: any free one; engine.json tells which

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# ---- What a field may hold -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    kind: str  # integer, switch, choice, path, addresses, secret
    about: str
    unit: str = ""
    least: int = 0
    most: int = 0
    choices: tuple[str, ...] = ()
    power_of_two: bool = False
    group: str = ""  # set on the first field of a group


class _Bad(Exception):
    """What must hold; what was found is added by the caller."""


def _integer(
    default: int, least: int, most: int, unit: str, about: str, *, group: str = "", power_of_two: bool = False
) -> Any:
    rule = _Rule(kind="integer", about=about, unit=unit, least=least, most=most, group=group, power_of_two=power_of_two)
    return dataclasses.field(default=default, metadata={"rule": rule})


def _switch(default: bool, about: str, *, group: str = "") -> Any:
    return dataclasses.field(default=default, metadata={"rule": _Rule(kind="switch", about=about, group=group)})


def _choice(default: str, choices: Sequence[str], about: str, *, group: str = "") -> Any:
    rule = _Rule(kind="choice", about=about, choices=tuple(choices), group=group)
    return dataclasses.field(default=default, metadata={"rule": rule})


def _path(default: str, about: str, *, group: str = "") -> Any:
    return dataclasses.field(default=default, metadata={"rule": _Rule(kind="path", about=about, group=group)})


def _words(default: str, about: str, *, group: str = "") -> Any:
    return dataclasses.field(default=default, metadata={"rule": _Rule(kind="text", about=about, group=group)})


def _addresses(default: Sequence[Address], about: str, *, group: str = "") -> Any:
    return dataclasses.field(
        default=tuple(default), metadata={"rule": _Rule(kind="addresses", about=about, group=group)}
    )


def _secret(about: str) -> Any:
    return dataclasses.field(default="", repr=False, metadata={"rule": _Rule(kind="secret", about=about)})


# ---- The settings ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One engine node's settings. Paths are as given; an empty path means what its text says."""

    data_directory: str = _path(
        ".ironbook",
        "Holds journal/, snapshots/, engine.json and, unless told otherwise, the key file.",
        group="Where and who",
    )
    shard: int = _integer(0, 0, 65535, "number", "The shard that this node serves. Kept in the journal; cannot change.")
    node: int = _integer(0, 0, 65535, "number", "This node's number, written into each term it leads.")

    listen: tuple[Address, ...] = _addresses(
        (Address("127.0.0.1", 7400),),
        "Plain TCP, for private networks: address:port, [IPv6]:port; port 0 takes a free one (see engine.json).",
        group="Listening",
    )
    proxy_socket: str = _path(
        "",
        "Unix socket for a TLS terminator (PROXY v2). Empty: <data_directory>/proxy.sock with tls_listen, else none.",
    )
    backlog_count: int = _integer(1024, 1, 65535, "connections", "How many may wait to be accepted.")
    connection_count_max: int = _integer(
        1024, 1, 65535, "connections", "Open at once; a further one is closed at once."
    )
    idle_ms: int = _integer(30_000, 100, 86_400_000, "ms", "A session that sends nothing for so long is ended.")
    logon_timeout_ms: int = _integer(5_000, 50, 600_000, "ms", "A connection that does not log on in time is closed.")
    refused_peer_max: int = _integer(
        100, 1, 1_000_000, "in a minute", "Bad logons and frames of one address before it is refused for a while."
    )

    tls_listen: tuple[Address, ...] = _addresses(
        (), "TLS, ended in a process of its own, for all other networks. Empty: none.", group="TLS"
    )
    tls_certificate_file: str = _path("", "PEM: the certificate and its chain. Needed with tls_listen.")
    tls_key_file: str = _path("", "PEM: the private key, readable by its owner only. Needed with tls_listen.")
    tls_connection_count_max: int = _integer(1024, 1, 65535, "connections", "Open at once through TLS.")
    tls_handshake_count_max: int = _integer(64, 1, 4096, "handshakes", "Under way at once; more wait unaccepted.")
    tls_handshake_peer_max: int = _integer(
        8, 1, 4096, "handshakes", "Under way at once from one address; more are closed."
    )
    tls_handshake_timeout_ms: int = _integer(5_000, 100, 60_000, "ms", "A handshake that takes longer is given up.")
    tls_buffer_bytes: int = _integer(
        262_144, 4096, 1 << 26, "bytes", "Held each way for a connection before its sender must wait."
    )

    key_file: str = _path("", f"The encrypted keys. Empty: <data_directory>/{KEY_FILE_NAME}.", group="Keys")
    key_passphrase: str = _secret(f"Opens the key file. Only from the environment: {PASSPHRASE_VARIABLE}.")
    key_passphrase_file: str = _path(
        "", f"File of mode 0600 whose first line opens the key file. Also: {PASSPHRASE_FILE_VARIABLE}."
    )
    key_poll_ms: int = _integer(
        1_000, 50, 600_000, "ms", "How often to look whether the key file changed (SIGHUP looks at once)."
    )

    survival_level: str = _choice(
        "disk",
        ("process", "disk", "cluster"),
        "What an acknowledgement survives: process: kill -9; disk: power loss; cluster: loss of the machine (Kafka).",
        group="Journal",
    )
    unshipped_records_max: int = _integer(
        1_000_000, 1, 1 << 40, "records",
        "Level cluster: with more that the journal topic lacks, commands are refused; cancels with twice as many.",
    )  # fmt: skip
    segment_records: int = _integer(
        1 << 20, 1 << 12, 1 << 24, "records of 64 bytes", "A segment, allocated before it is needed.", power_of_two=True
    )
    sync_interval_us: int = _integer(
        50, 0, 1_000_000, "µs", "How long an idle sync thread waits for a group to gather."
    )
    sync_cpu: int = _integer(-1, -1, CPU_MAX, "CPU", "Where the sync thread runs; -1: anywhere but engine_cpu.")
    free_bytes_min: int = _integer(
        1 << 28, 0, 1 << 50, "bytes", "Room to leave on the disk: below it new commands are refused."
    )
    tick_interval_ms: int = _integer(
        1_000, 0, 3_600_000, "ms", "A clock_tick record so often while time matters; 0: none, and no order expires."
    )
    digest_interval_records: int = _integer(
        65_536, 0, (1 << 32) - 1, "records", "A digest that replicas compare; 0: none."
    )

    asset_count_max: int = _integer(
        65, 2, 65_535, "assets", "Numbers 1 to this - 1.", group="Capacities (raised by a restart)"
    )
    instrument_count_max: int = _integer(257, 2, 1_048_575, "instruments", "Numbers 1 to this - 1.")
    account_count_max: int = _integer(4_097, 2, 16_777_215, "accounts", "Numbers 1 to this - 1.")
    key_count_max: int = _integer(257, 2, 65_535, "keys", "Numbers 1 to this - 1.")
    order_count_max: int = _integer(1_048_576, 2, POOL_MAX, "orders", "Resting at once, all books together.")
    extra_count_max: int = _integer(65_536, 2, POOL_MAX, "orders", "Of them, those with terms or a link.")
    level_count_max: int = _integer(131_072, 2, POOL_MAX, "levels", "Price levels at once, all books together.")
    ladder_count_max: int = _integer(
        262_144, 2, POOL_MAX, "nodes", "Ladder nodes of 64 prices each; every waiting order keeps 8 of them free."
    )
    balance_count_max: int = _integer(65_536, 2, POOL_MAX, "pairs", "(account, asset) pairs.")
    position_count_max: int = _integer(65_536, 2, POOL_MAX, "pairs", "(account, instrument) pairs.")
    nonce_count_max: int = _integer(1_048_576, 2, POOL_MAX, "nonces", "Nonces held at once.")
    reports_kept: int = _integer(
        4_096, 256, 65_536, "reports a key", "For resuming; older ones come from a replica.", power_of_two=True
    )
    nonce_window_ms: int = _integer(
        300_000, 1_000, 86_400_000, "ms", "How far a nonce's timestamp may be from the time of receipt."
    )

    engine_cpu: int = _integer(-1, -1, CPU_MAX, "CPU", "Pins the engine; -1: not pinned.", group="Machine")
    background_cpu: int = _integer(
        -1, -1, CPU_MAX, "CPU", "Pins snapshotter, publisher and TLS; -1: anywhere but engine_cpu."
    )
    realtime_priority: int = _integer(
        0, 0, 99, "SCHED_FIFO", "Real-time priority of the engine; 0: ordinary scheduling."
    )
    lock_memory: bool = _switch(False, "mlockall: no page of the engine is ever swapped or faulted in late.")
    busy_poll: bool = _switch(
        False, "Keeps the loop spinning: half the round trip for a whole CPU. Give it one of its own."
    )
    socket_busy_poll_us: int = _integer(
        0, 0, 1_000_000, "µs", "SO_BUSY_POLL on client sockets; 0: the system's default."
    )

    snapshot_process: bool = _switch(
        True, "Runs the replica that writes snapshots beside the engine.", group="Snapshots"
    )
    snapshot_interval_records: int = _integer(
        1_000_000, 0, 1 << 40, "records", "A snapshot after so many records; 0: by time only."
    )
    snapshot_interval_s: int = _integer(
        300, 0, 86_400, "s", "A snapshot after so long, if anything changed; 0: by records only."
    )
    snapshot_keep_count: int = _integer(3, 1, 1_000, "files", "The newest so many are kept.")

    kafka_bootstrap: str = _words(
        "", "Brokers to begin with, host:port[,host:port]. Empty: no publisher; nothing goes to Kafka.", group="Kafka"
    )
    kafka_topic_prefix: str = _words(
        "", f"Stands before every topic and transactional id of this installation. Also: {TOPIC_PREFIX_VARIABLE}."
    )
    kafka_security: str = _choice(
        "plaintext", ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"), "How brokers are spoken to."
    )
    kafka_sasl_mechanism: str = _choice(
        "SCRAM-SHA-512", ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"), "How the password is proved."
    )
    kafka_username: str = _words("", "Needed with sasl_plaintext and sasl_ssl.")
    kafka_password_file: str = _path("", "File of mode 0600 whose first line is the password.")
    kafka_login_file: str = _path(
        "", "JSON, read again when it changes: username, password, mechanism, tls, ca_file; instead of the settings."
    )
    kafka_ca_file: str = _path("", "PEM: who vouches for the brokers' certificates. Empty: the system's list.")
    kafka_compression: str = _choice(
        "snappy",
        ("none", "snappy", "zstd", "lz4", "gzip"),
        "Of event topics; the journal topic has none.",
    )
    kafka_linger_ms: int = _integer(
        5, 0, 1_000, "ms", "How long events gather into a message; the first after a quiet time does not wait."
    )
    kafka_in_flight_bytes_max: int = _integer(
        1 << 24, 1 << 20, 1 << 30, "bytes", "Of events not yet acknowledged by brokers; beyond it, encoding waits."
    )
    kafka_ship_records_max: int = _integer(8_192, 16, 12_288, "records", "One message of the journal topic.")
    kafka_fence_ms: int = _integer(
        60_000, 6_000, 900_000, "ms", "transaction.timeout.ms of the fence; a third of it is one transaction."
    )
    kafka_flush_ms: int = _integer(2_500, 0, 600_000, "ms", "At a stop: how long what is released may still go out.")

    drain_ms: int = _integer(
        100, 0, 60_000, "ms", "At a stop: so long commands still get an answer (engine_stopping).", group="Stop"
    )
    stop_timeout_ms: int = _integer(
        20_000, 100, 600_000, "ms", "A stop that takes longer ends the process; the journal is whole."
    )
    child_restart_max: int = _integer(
        10, 0, 1_000, "restarts", "Of snapshotter, publisher or TLS without a minute's run between."
    )

    log_level: str = _choice("info", ("debug", "info", "warning", "error"), "Least level that is written.", group="Log")
    log_file: str = _path("", "JSON lines are appended to it. Empty: standard error.")
    log_queue_max: int = _integer(
        10_000, 100, 10_000_000, "entries", "Waiting to be written; what comes beyond is dropped and counted."
    )
    counters_interval_s: int = _integer(
        10, 0, 86_400, "s", "The engine's counters are logged so often when they changed; 0: never."
    )

    notify_socket: str = dataclasses.field(
        default="", metadata={}
    )  # NOTIFY_SOCKET: the service manager's, not a setting

    def __post_init__(self) -> None:
        """Check every field and how they fit. Raises SettingsError (where: the field)."""
        problems = []
        for field, rule in _rules():
            try:
                _check(rule, getattr(self, field.name))
            except _Bad as bad:
                problems.append(_problem(field, bad, getattr(self, field.name), f"field {field.name}"))
        problems += [] if problems else list(_misfits(self))
        _raise_all(problems)

    # What follows from the fields

    @property
    def data_path(self) -> Path:
        """The data directory, absolute."""
        return Path(self.data_directory).absolute()

    @property
    def journal_path(self) -> Path:
        """Where the journal is."""
        return self.data_path / "journal"

    @property
    def snapshot_path(self) -> Path:
        """Where snapshots are."""
        return self.data_path / "snapshots"

    @property
    def state_file(self) -> Path:
        """engine.json: how `ironbook` finds a running engine."""
        return self.data_path / "engine.json"

    @property
    def held_path(self) -> Path:
        """engine.held.json: which secrets of which keys the engine accepts, by fingerprints."""
        return self.data_path / "engine.held.json"

    @property
    def key_path(self) -> Path:
        """The encrypted key file."""
        return Path(self.key_file).absolute() if self.key_file else self.data_path / KEY_FILE_NAME

    @property
    def proxy_path(self) -> Path | None:
        """The Unix socket for the TLS terminator, or None."""
        if self.proxy_socket:
            return Path(self.proxy_socket).absolute()
        return self.data_path / "proxy.sock" if self.tls_listen else None

    @property
    def level(self) -> int:
        """The survival level as the journal counts it."""
        return {"process": 1, "disk": 2, "cluster": 3}[self.survival_level]

    def core_options(self) -> dict[str, int]:
        """The core's capacities (core_options in engine_node/core/core.h)."""
        names = [field.name for field, _ in _rules() if field.name.endswith("_count_max")]
        chosen = {name: int(getattr(self, name)) for name in names if name in _CORE_POOLS}
        return chosen | {"reports_kept": self.reports_kept, "nonce_window_ns": self.nonce_window_ms * 1_000_000}


_CORE_POOLS: Final = frozenset(
    f"{name}_count_max"
    for name in ("asset", "instrument", "account", "key", "order", "level", "ladder", "balance", "position", "nonce")
)


def _rules() -> Iterator[tuple[dataclasses.Field[Any], _Rule]]:
    for field in dataclasses.fields(Settings):
        if "rule" in field.metadata:
            yield field, field.metadata["rule"]


def _misfits(settings: Settings) -> Iterator[SettingsError]:
    """What no field alone can tell."""
    if settings.tls_listen and not (settings.tls_certificate_file and settings.tls_key_file):
        yield SettingsError(
            "tls_certificate_file and tls_key_file must be set where tls_listen is, were not",
            detail="field tls_listen",
            hint="name both PEM files, or empty tls_listen",
        )
    if not (settings.listen or settings.tls_listen or settings.proxy_socket):
        yield SettingsError(
            "one of listen, tls_listen and proxy_socket must be set, none was",
            detail="field listen",
            hint='for example listen = ["127.0.0.1:7400"]',
        )
    if settings.realtime_priority and settings.busy_poll and settings.engine_cpu < 0:
        yield SettingsError(
            "engine_cpu must be set where busy_poll meets realtime_priority, was -1",
            detail="field engine_cpu",
            hint="a real-time loop that spins starves whatever shares its CPU: pin it to an isolated one",
        )
    for name in ("background_cpu", "sync_cpu"):
        if settings.engine_cpu >= 0 and getattr(settings, name) == settings.engine_cpu:
            yield SettingsError(
                f"{name} must be another CPU than engine_cpu, both were {settings.engine_cpu}",
                detail=f"field {name}",
                hint="work beside the engine belongs on another CPU; -1 chooses one",
            )
    if settings.proxy_path is not None and len(os.fsencode(settings.proxy_path)) > 107:
        yield SettingsError(
            f"the path of a Unix socket must be at most 107 bytes, was {len(os.fsencode(settings.proxy_path))}",
            detail=f"field proxy_socket: {settings.proxy_path}",
            hint="set proxy_socket to a short path, such as one in /run",
        )
    yield from _kafka_misfits(settings)
    if settings.drain_ms >= settings.stop_timeout_ms:
        yield SettingsError(
            f"drain_ms must be below stop_timeout_ms ({settings.stop_timeout_ms}), was {settings.drain_ms}",
            detail="field drain_ms",
        )


def _kafka_misfits(settings: Settings) -> Iterator[SettingsError]:
    addresses = [part.strip() for part in settings.kafka_bootstrap.split(",")] if settings.kafka_bootstrap else []
    for address in addresses:
        if not re.fullmatch(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", address):
            yield SettingsError(
                f"kafka_bootstrap must be host:port[,host:port], was {settings.kafka_bootstrap!r}",
                detail="field kafka_bootstrap",
                hint='for example kafka_bootstrap = "127.0.0.1:9092"',
            )
            break
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,100}", settings.kafka_topic_prefix):
        yield SettingsError(
            "kafka_topic_prefix must be at most 100 letters, digits, dots, lines and underscores, "
            f"was {settings.kafka_topic_prefix!r}",
            detail="field kafka_topic_prefix",
            hint='for example kafka_topic_prefix = "dev."',
        )
    named = settings.kafka_login_file or (settings.kafka_username and settings.kafka_password_file)
    if settings.kafka_security.startswith("sasl") and not named:
        yield SettingsError(
            "kafka_login_file, or kafka_username and kafka_password_file, must be set where kafka_security is "
            f"{settings.kafka_security}, were not",
            detail="field kafka_security",
            hint="name the file that holds the whole login, or user and password's file; or choose plaintext or ssl",
        )


# ---- Values ----------------------------------------------------------------------------------------------------------

_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off")


def _check(rule: _Rule, value: object) -> None:
    must = _must_text(rule)
    if rule.kind == "integer":
        if not isinstance(value, int) or isinstance(value, bool) or not rule.least <= value <= rule.most:
            raise _Bad(must)
        if rule.power_of_two and value & (value - 1):
            raise _Bad(must)
    elif rule.kind == "switch":
        if not isinstance(value, bool):
            raise _Bad(must)
    elif rule.kind == "choice":
        if value not in rule.choices:
            raise _Bad(must)
    elif rule.kind == "addresses":
        if not isinstance(value, tuple) or not all(isinstance(item, Address) for item in value):
            raise _Bad(must)
    elif not isinstance(value, str) or "\0" in value:
        raise _Bad(must)


def _must_text(rule: _Rule) -> str:
    if rule.kind == "integer":
        return f"{'a power of two, ' if rule.power_of_two else ''}{rule.least} to {rule.most} ({rule.unit})"
    if rule.kind == "choice":
        return " or ".join(repr(choice) for choice in rule.choices)
    return {
        "switch": "true or false",
        "addresses": "addresses with a port each, such as 127.0.0.1:7400 or [::1]:7400",
    }.get(rule.kind, "text")


def _from_text(rule: _Rule, text: str) -> object:
    """A variable's text as a value; checked later."""
    if rule.kind == "integer":
        if not re.fullmatch(r"-?[0-9][0-9_]*", text.strip()):
            raise _Bad(_must_text(rule))
        return int(text)
    if rule.kind == "switch":
        if text.strip().lower() not in _TRUE + _FALSE:
            raise _Bad(_must_text(rule))
        return text.strip().lower() in _TRUE
    if rule.kind == "addresses":
        return tuple(_address(part.strip(), rule) for part in text.split(",") if part.strip())
    return text


def _from_toml(rule: _Rule, value: object) -> object:
    if rule.kind == "addresses":
        if not isinstance(value, list):
            raise _Bad(f"a list of {_must_text(rule)}")
        return tuple(_address(item, rule) for item in value)
    return value


def _address(item: object, rule: _Rule) -> Address:
    parts = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([0-9.]+)):([0-9]{1,5})", item) if isinstance(item, str) else None
    if parts is None or int(parts[3]) > 65535:
        raise _Bad(_must_text(rule))
    try:
        host = ipaddress.ip_address(parts[1] or parts[2])
    except ValueError:
        raise _Bad(_must_text(rule)) from None
    return Address(str(host), int(parts[3]))


def _problem(field: dataclasses.Field[Any], bad: _Bad, found: object, where: str) -> SettingsError:
    shown = "(not shown)" if field.metadata["rule"].kind == "secret" else repr(found)
    return SettingsError(
        f"{field.name} must be {bad}, was {shown}", detail=where, hint=f"default: {_toml(field.default)}"
    )


def _raise_all(problems: Sequence[SettingsError]) -> None:
    if len(problems) == 1:
        raise problems[0]
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise SettingsError(f"{len(problems)} settings must be mended:{lines}")


# ---- Sources ---------------------------------------------------------------------------------------------------------


def load(file: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from defaults, then the file, then the environment (the process's own unless given).

    file: a TOML file; without one, the file that IRONBOOK_ENGINE_SETTINGS names, if any. Raises SettingsError.
    """
    variables = os.environ if environment is None else environment
    named = variables.get(SETTINGS_FILE_VARIABLE, "")
    chosen = file if file is not None else Path(named) if named else None
    values: dict[str, object] = {}
    problems: list[SettingsError] = []
    sources: dict[str, str] = {}
    for found in ([] if chosen is None else [_read_file(chosen)]) + [_read_environment(variables)]:
        values |= found.values
        sources |= found.sources
        problems += found.problems
    _raise_all(problems)
    values["notify_socket"] = variables.get("NOTIFY_SOCKET", "")
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except SettingsError as error:  # from how fields fit: say which source the named field came from
        name = error.detail.removeprefix("field ").split(":")[0]
        if name not in sources:
            raise
        raise SettingsError(error.message, detail=f"{error.detail}; {sources[name]}", hint=error.hint) from None


@dataclasses.dataclass(slots=True)
class _Found:
    values: dict[str, object] = dataclasses.field(default_factory=dict)
    sources: dict[str, str] = dataclasses.field(default_factory=dict)  # where each came from
    problems: list[SettingsError] = dataclasses.field(default_factory=list)

    def take(self, field: dataclasses.Field[Any], rule: _Rule, raw: object, where: str, *, text: bool) -> None:
        try:
            value = _from_text(rule, raw) if text and isinstance(raw, str) else _from_toml(rule, raw)
            _check(rule, value)
        except _Bad as bad:
            self.problems.append(_problem(field, bad, raw, where))
            return
        self.values[field.name] = value
        self.sources[field.name] = where


def _read_file(path: Path) -> _Found:
    found = _Found()
    try:
        data = path.read_bytes()
        text = data.decode()
        document = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(
            f"the settings file must be readable: {error.strerror}",
            detail=str(path),
            hint="check its path and its owner",
        ) from None
    except UnicodeDecodeError as error:
        raise SettingsError("the settings file must be UTF-8, is not", detail=f"{path}, byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"the settings file must be TOML: {error}", detail=str(path), hint="compare it with the example file"
        ) from None
    if len(data) > SETTINGS_FILE_BYTES_MAX:
        raise SettingsError(
            f"the settings file must have at most {SETTINGS_FILE_BYTES_MAX} bytes, has {len(data)}", detail=str(path)
        )
    lines = text.splitlines()
    fields = {field.name: (field, rule) for field, rule in _rules()}
    for name, value in document.items():
        where = f"{path}, line {_line_of(lines, name)}"
        if name not in fields:
            found.problems.append(_unknown("a setting", name, fields, where))
        elif fields[name][1].kind == "secret":
            found.problems.append(
                SettingsError(
                    f"{name} must not stand in a settings file, did", detail=where, hint=f"set {PASSPHRASE_VARIABLE}"
                )
            )
        else:
            found.take(*fields[name], value, where, text=False)
    return found


def _line_of(lines: Sequence[str], name: str) -> int:
    pattern = re.compile(rf"""\s*\[*["']?{re.escape(name)}["']?\s*[=.\]]""")
    return next((number for number, line in enumerate(lines, 1) if pattern.match(line)), 1)


def _read_environment(variables: Mapping[str, str]) -> _Found:
    found = _Found()
    by_variable = {_variable(field.name, rule): (field, rule) for field, rule in _rules()}
    by_variable[PASSPHRASE_FILE_VARIABLE] = by_variable[f"{ENVIRONMENT_PREFIX}KEY_PASSPHRASE_FILE"]
    by_variable[TOPIC_PREFIX_VARIABLE] = by_variable[f"{ENVIRONMENT_PREFIX}KAFKA_TOPIC_PREFIX"]
    for variable in sorted(variables):
        if variable in by_variable:
            found.take(*by_variable[variable], variables[variable], f"variable {variable}", text=True)
        elif variable.startswith(ENVIRONMENT_PREFIX) and variable != SETTINGS_FILE_VARIABLE:
            found.problems.append(_unknown("a variable", variable, by_variable, f"variable {variable}"))
    return found


def _variable(name: str, rule: _Rule) -> str:
    return PASSPHRASE_VARIABLE if rule.kind == "secret" else ENVIRONMENT_PREFIX + name.upper()


def _unknown(what: str, name: str, known: Mapping[str, object], where: str) -> SettingsError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "python -m engine_node settings --example lists all"
    return SettingsError(f"{what} must be a known one, was {name!r}", detail=where, hint=hint)


def child_environment(settings: Settings, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a helper process: ours without secrets, and these settings spelled out: it sees the same."""
    variables = os.environ if environment is None else environment
    kept = {
        name: value for name, value in variables.items() if not name.startswith(("IRONBOOK_", "NOTIFY_", "WATCHDOG_"))
    }
    for field, rule in _rules():
        if rule.kind != "secret":
            kept[_variable(field.name, rule)] = _text(getattr(settings, field.name))
    return kept


# ---- The example file ------------------------------------------------------------------------------------------------


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{item}"' for item in value) + "]"
    if isinstance(value, bool | int):
        return str(value).lower()
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def example(settings: Settings | None = None) -> str:
    """A settings file with every setting: all commented out at their defaults, or set to those of `settings`."""
    lines = [
        "# Settings of an Ironbook engine node. Made by: python -m engine_node settings --example",
        "#",
        "# What stands here wins over the built-in default; a variable wins over what stands here: idle_ms is",
        "# IRONBOOK_ENGINE_IDLE_MS. Relative paths begin at the working directory. Check with:",
        "# python -m engine_node settings --check --settings FILE",
    ]
    for field, rule in _rules():
        if rule.group:
            lines += ["", f"# ---- {rule.group} {'-' * (100 - len(rule.group))}"]
        lines += ["", f"# {rule.about}"]
        if rule.kind == "secret":
            continue
        if rule.kind == "integer":
            lines.append(
                f"# {rule.unit}; {rule.least} to {rule.most}{', a power of two' if rule.power_of_two else ''}."
            )
        elif rule.kind == "choice":
            lines.append(f"# One of: {', '.join(rule.choices)}.")
        value = field.default if settings is None else getattr(settings, field.name)
        lines.append(f"{'# ' if settings is None else ''}{field.name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def reference() -> str:
    """The reference page of all settings: docs/reference/settings.md."""
    lines = [
        "# Settings of the engine node",
        "",
        "<!-- generated: python -m engine_node settings --reference -->",
        "",
        "Sources, the later wins: built-in default; settings file (TOML; `--settings` or `IRONBOOK_ENGINE_SETTINGS`);",
        "environment (`idle_ms` in the file is `IRONBOOK_ENGINE_IDLE_MS`). An unknown name or a value out of range",
        "stops the start and says where it stands and what must hold.",
    ]
    for field, rule in _rules():
        if rule.group:
            lines += ["", f"## {rule.group}", "", "| setting | default | range | what |", "|---|---|---|---|"]
        allowed = {
            "integer": f"{rule.least} to {rule.most}",
            "choice": ", ".join(rule.choices),
            "switch": "true, false",
        }
        span = allowed.get(rule.kind, rule.kind) + (", a power of two" if rule.power_of_two else "")
        unit = f" ({rule.unit})" if rule.unit else ""
        default = "" if rule.kind == "secret" else f"`{_toml(field.default)}`"
        lines.append(f"| `{field.name}` | {default} | {span}{unit} | {rule.about} |")
    return "\n".join(lines) + "\n"
