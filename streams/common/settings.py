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

from ironbook import environment as env
from ironbook._errors import InputInvalid
from ironbook._kafka import Security, read_login
from ironbook.keystore import PASSPHRASE_FILE_VARIABLE, PASSPHRASE_VARIABLE
from streams.common.errors import SettingsInvalid

__all__ = ["ENVIRONMENT_PREFIX", "StreamSettings", "kafka_login", "kafka_options", "load"]

ENVIRONMENT_PREFIX: Final = "IRONBOOK_STREAMS_"
SHARED: Final = {  # with other parts of Ironbook, and so with names of their own
    "IRONBOOK_TOPIC_PREFIX": "topic_prefix",
    PASSPHRASE_VARIABLE: "key_passphrase",
    PASSPHRASE_FILE_VARIABLE: "key_passphrase_file",
}
SECURITY_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
SASL_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """One worker's settings. Times in milliseconds unless the name says otherwise."""

    kafka: str = env.text("127.0.0.1:9092", "Brokers: host:port, several separated by commas.")
    topic_prefix: str = env.text("", "Before every name of a topic, group and transaction. IRONBOOK_TOPIC_PREFIX.")
    security_protocol: str = env.text("PLAINTEXT", "How to reach the brokers.", SECURITY_PROTOCOLS)
    sasl_mechanism: str = env.text("SCRAM-SHA-512", "How to log on there.", SASL_MECHANISMS)
    username: str = env.text("", "Who this worker is to the broker (SASL).")
    password: str = env.secret("Of that user; better in password_file.")
    password_file: str = env.text("", "File of mode 0600 whose first line is the password.")
    kafka_login: str = env.text(
        "", "JSON, read again when it changes: username, password, mechanism, tls, ca_file; instead of the settings."
    )
    ca_file: str = env.text("", "PEM: who vouches for the broker's certificate. Empty: the system's.")
    session_timeout: int = env.integer(10_000, 1_000, 300_000, "A worker silent for so long loses its partitions.")
    commit_interval: int = env.integer(500, 10, 60_000, "Offsets are committed so often.")

    state_directory: str = env.text(".ironbook/streams", "Where <worker>.json tells pid and port of a running worker.")
    web_host: str = env.text("127.0.0.1", "Address of /health, /ready and /metrics.")
    web_port: int = env.integer(0, 0, 65_535, "Port of the same; 0: any free one.")
    heartbeat_interval: int = env.integer(2_000, 100, 60_000, "A heartbeat on the topic so often.")
    stop_timeout: int = env.integer(10_000, 100, 600_000, "A stop that takes longer ends the process.")
    log_level: str = env.text("info", "Least level that is logged.", ("debug", "info", "warning", "error"))

    key_file: str = env.text(".ironbook/keys.ironbook", "The encrypted key file, the same as the ingress has.")
    key_passphrase: str = env.secret("Opens the key file. IRONBOOK_KEY_PASSPHRASE.", from_file=False)
    key_passphrase_file: str = env.text(
        "", "File of mode 0600 whose first line opens the key file. Also IRONBOOK_KEY_PASSPHRASE_FILE."
    )
    key_poll: int = env.integer(1_000, 50, 600_000, "How often to look whether a file of keys or secrets changed.")
    held_file: str = env.text("", "Where it says what secrets it holds. Default: <state_directory>/<worker>.held.json.")
    nonce_window: int = env.integer(300_000, 1_000, 86_400_000, "How far a timestamp may be from the append time.")
    nonce_count_max: int = env.integer(2_000_000, 1_000, 1 << 28, "Nonces held at once by one worker.")

    engine: str = env.text("127.0.0.1:7400", "The engine's ingress: host:port.")
    engine_key: str = env.text("", "File of the client key with which the worker logs on to the engine.")
    engine_timeout: int = env.integer(5_000, 100, 600_000, "An answer of the engine must come within.")

    database_url: str = env.secret("PostgreSQL: postgresql://user:password@host:port/database; better in a file.")
    database_url_file: str = env.text("", "File of mode 0600 whose first line is the database's URL.")
    flush_interval: int = env.integer(200, 1, 60_000, "Results are written so often.")
    flush_count_max: int = env.integer(20_000, 1, 10_000_000, "Events that make a flush due before its time.")

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
    return _checked(env.read(StreamSettings, ENVIRONMENT_PREFIX, SHARED, source, SettingsInvalid))


def _checked(settings: StreamSettings) -> StreamSettings:
    if not settings.brokers:
        raise SettingsInvalid("kafka must name a broker, was empty", detail=f"variable {ENVIRONMENT_PREFIX}KAFKA")
    return settings


def kafka_login(settings: StreamSettings) -> Security | None:
    """Who the file of the login says that this worker is now; None: no file is named. Raises SettingsInvalid."""
    if not settings.kafka_login:
        return None
    try:
        return read_login(Path(settings.kafka_login))
    except InputInvalid as error:
        raise SettingsInvalid(error.message, detail=error.detail, hint=error.hint) from None


def kafka_options(settings: StreamSettings) -> dict[str, Any]:
    """How any aiokafka client of these settings reaches the brokers, now. Raises SettingsInvalid."""
    if (login := kafka_login(settings)) is not None:
        return {"bootstrap_servers": settings.brokers, **login.options()}
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
