"""Settings of the processors: the only reader of their environment, once, into one frozen object.

Each field of StreamSettings is the variable IRONBOOK_STREAMS_<FIELD>; some are shared with other parts of Ironbook and
have their names: IRONBOOK_TOPIC_PREFIX, and the passphrase of the key file (ironbook/keystore.py). Passwords come from
the environment or from files of mode 0600, and are in no repr.
"""

from __future__ import annotations

import dataclasses
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ironbook.keystore import PASSPHRASE_FILE_VARIABLE, PASSPHRASE_VARIABLE
from streams.common.errors import SettingsInvalid

__all__ = ["ENVIRONMENT_PREFIX", "StreamSettings", "kafka_options", "load"]

ENVIRONMENT_PREFIX: Final = "IRONBOOK_STREAMS_"
SHARED: Final = {  # with other parts of Ironbook, and so with names of their own
    "IRONBOOK_TOPIC_PREFIX": "topic_prefix",
    PASSPHRASE_VARIABLE: "key_passphrase",
    PASSPHRASE_FILE_VARIABLE: "key_passphrase_file",
}
SECURITY_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
SASL_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def _text(default: str, about: str) -> Any:
    return dataclasses.field(default=default, metadata={"about": about})


def _secret(about: str) -> Any:
    return dataclasses.field(default="", repr=False, metadata={"about": about})


def _integer(default: int, least: int, most: int, about: str) -> Any:
    return dataclasses.field(default=default, metadata={"about": about, "least": least, "most": most})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """One worker's settings. Times in milliseconds unless the name says otherwise."""

    kafka: str = _text("127.0.0.1:9092", "Brokers: host:port, several separated by commas.")
    topic_prefix: str = _text("", "Before every name of a topic, group and transaction. IRONBOOK_TOPIC_PREFIX.")
    security_protocol: str = _text("PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.")
    sasl_mechanism: str = _text("SCRAM-SHA-512", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.")
    username: str = _text("", "Who this worker is to the broker (SASL).")
    password: str = _secret("Of that user; better in password_file.")
    password_file: str = _text("", "File of mode 0600 whose first line is the password.")
    ca_file: str = _text("", "PEM: who vouches for the broker's certificate. Empty: the system's.")
    session_timeout: int = _integer(10_000, 1_000, 300_000, "A worker silent for so long loses its partitions.")
    commit_interval: int = _integer(500, 10, 60_000, "Offsets are committed so often.")

    state_directory: str = _text(".ironbook/streams", "Where <worker>.json tells pid and port of a running worker.")
    web_host: str = _text("127.0.0.1", "Address of /health, /ready and /metrics.")
    web_port: int = _integer(0, 0, 65_535, "Port of the same; 0: any free one.")
    heartbeat_interval: int = _integer(2_000, 100, 60_000, "A heartbeat on the topic so often.")
    stop_timeout: int = _integer(10_000, 100, 600_000, "A stop that takes longer ends the process.")
    log_level: str = _text("info", "debug, info, warning or error.")

    key_file: str = _text(".ironbook/keys.ironbook", "The encrypted key file, the same as the ingress has.")
    key_passphrase: str = _secret("Opens the key file. IRONBOOK_KEY_PASSPHRASE.")
    key_passphrase_file: str = _text(
        "", "File of mode 0600 whose first line opens the key file. Also IRONBOOK_KEY_PASSPHRASE_FILE."
    )
    key_poll: int = _integer(1_000, 50, 600_000, "How often to look whether the key file changed.")
    nonce_window: int = _integer(300_000, 1_000, 86_400_000, "How far a timestamp may be from the append time.")
    nonce_count_max: int = _integer(2_000_000, 1_000, 1 << 28, "Nonces held at once by one worker.")

    engine: str = _text("127.0.0.1:7400", "The engine's ingress: host:port.")
    engine_key: str = _text("", "File of the client key with which the worker logs on to the engine.")
    engine_timeout: int = _integer(5_000, 100, 600_000, "An answer of the engine must come within.")

    database_url: str = _secret("PostgreSQL: postgresql://user:password@host:port/database; better in a file.")
    database_url_file: str = _text("", "File of mode 0600 whose first line is the database's URL.")
    flush_interval: int = _integer(200, 1, 60_000, "Results are written so often.")
    flush_count_max: int = _integer(20_000, 1, 10_000_000, "Events that make a flush due before its time.")

    @property
    def brokers(self) -> list[str]:
        """host:port of each."""
        return [one.strip() for one in self.kafka.split(",") if one.strip()]

    def full(self, name: str) -> str:
        """The name of a topic or group with the prefix."""
        return self.topic_prefix + name


def load(environment: Mapping[str, str] | None = None) -> StreamSettings:
    """From the environment. Raises SettingsInvalid, which tells of the first variable that is wrong."""
    source = os.environ if environment is None else environment
    known = {field.name: field for field in dataclasses.fields(StreamSettings)}
    values: dict[str, Any] = {}
    for variable, text in source.items():
        if variable in SHARED:
            values.setdefault(SHARED[variable], text)
        elif variable.startswith(ENVIRONMENT_PREFIX):
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            if name not in known:
                raise SettingsInvalid(
                    f"a variable {ENVIRONMENT_PREFIX}... must name a setting, {name!r} is none",
                    detail=f"variable {variable}",
                    hint=f"known are {', '.join(sorted(known))}",
                )
            values[name] = _value(known[name], variable, text)
    for name, file_name in (("password", "password_file"), ("database_url", "database_url_file")):
        if values.get(file_name):
            values[name] = _first_line(values[file_name], ENVIRONMENT_PREFIX + file_name.upper())
    return _checked(StreamSettings(**values))


def _value(field: dataclasses.Field[Any], variable: str, text: str) -> Any:
    if "least" not in field.metadata:
        return text
    least, most = field.metadata["least"], field.metadata["most"]
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise SettingsInvalid(
            f"{field.name} must be a whole number from {least} to {most}, was {text[:40]!r}",
            detail=f"variable {variable}",
            hint=field.metadata["about"],
        )
    return int(text)


def _first_line(path: str, variable: str) -> str:
    try:
        mode = os.stat(path).st_mode & 0o777
        text = Path(path).read_text().split("\n", 1)[0].strip()
    except OSError as error:
        raise SettingsInvalid(
            f"the file must be readable: {error.strerror}", detail=f"variable {variable}, {path}"
        ) from None
    if mode & 0o077:
        raise SettingsInvalid(
            f"the file must be readable by its owner only, has mode {mode:04o}",
            detail=f"variable {variable}, {path}",
            hint=f"chmod 600 {path}",
        )
    return text


def _checked(settings: StreamSettings) -> StreamSettings:
    for name, found, choices in (
        ("security_protocol", settings.security_protocol, SECURITY_PROTOCOLS),
        ("sasl_mechanism", settings.sasl_mechanism, SASL_MECHANISMS),
        ("log_level", settings.log_level, ("debug", "info", "warning", "error")),
    ):
        if found not in choices:
            raise SettingsInvalid(
                f"{name} must be one of {', '.join(choices)}, was {found[:40]!r}",
                detail=f"variable {ENVIRONMENT_PREFIX}{name.upper()}",
            )
    if not settings.brokers:
        raise SettingsInvalid("kafka must name a broker, was empty", detail=f"variable {ENVIRONMENT_PREFIX}KAFKA")
    return settings


def kafka_options(settings: StreamSettings) -> dict[str, Any]:
    """How any aiokafka client of these settings reaches the brokers."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.brokers,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.username,
            "sasl_plain_password": settings.password,
        }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_context"] = ssl.create_default_context(cafile=settings.ca_file or None)
    return options
