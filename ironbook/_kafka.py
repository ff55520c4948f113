"""What is shared by all that speak to Kafka here: the contract, security, and connections that say what went wrong."""

from __future__ import annotations

import dataclasses
import ssl
from pathlib import Path
from typing import Any

import orjson

from ironbook._errors import AddressInvalid, DependencyMissing, InputInvalid
from schemas.topics import Topic, load_topics

SCHEMA_VERSION = "1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """How to log on to Kafka. Nothing given: plain text, for private networks.

    username, password, mechanism   SASL; PLAIN only together with tls
    tls                             encrypt; ca_file: PEM of the authority that signed the brokers' certificates
    """

    username: str = ""
    password: str = dataclasses.field(default="", repr=False)
    mechanism: str = "SCRAM-SHA-512"
    tls: bool = False
    ca_file: str | None = None

    def __post_init__(self) -> None:
        if self.mechanism not in ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"):
            raise InputInvalid(
                f"a mechanism must be SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN, was {self.mechanism!r}",
                hint="what the brokers' listener offers",
            )
        if bool(self.username) != bool(self.password):
            raise InputInvalid("a user name and a password must be given together", hint="see Security")

    def options(self) -> dict[str, Any]:
        """Arguments of aiokafka's clients."""
        protocol = ("SASL_" if self.username else "") + ("SSL" if self.tls else "PLAINTEXT")
        said: dict[str, Any] = {"security_protocol": protocol}
        if self.tls:
            said["ssl_context"] = ssl.create_default_context(cafile=self.ca_file)
        if self.username:
            said |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return said


PLAIN_TEXT = Security()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Brokers, the prefix of an installation on them, and how to log on."""

    servers: str
    prefix: str = ""
    security: Security = PLAIN_TEXT

    def options(self) -> dict[str, Any]:
        """Arguments of aiokafka's clients."""
        return {"bootstrap_servers": self.servers, **self.security.options()}


def read_login(path: Path) -> Security:
    """Raises InputInvalid."""
    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise InputInvalid(
                f"a file with a password must be readable by its owner only, has mode {mode:04o}",
                detail=str(path),
                hint=f"chmod 600 {path}",
            )
        return Security(**orjson.loads(path.read_bytes()))
    except (OSError, orjson.JSONDecodeError, TypeError) as error:
        raise InputInvalid(
            f"a login must be a JSON object of username, password, mechanism, tls and ca_file: {error}",
            detail=str(path),
        ) from None


def aiokafka() -> Any:
    """The Kafka client. Raises DependencyMissing."""
    try:
        import aiokafka as module
        import aiokafka.admin
        import aiokafka.errors
        import aiokafka.partitioner
    except ImportError as error:
        raise DependencyMissing(
            "aiokafka must be installed to read or write topics, is not", hint="pip install 'ironbook[streams]'"
        ) from error
    return module


def topic_named(name: str) -> Topic:
    """A topic of the contract that carries events. Raises InputInvalid."""
    topics = load_topics().topics
    if name not in topics or topics[name].journal:
        known = ", ".join(topic.name for topic in topics.values() if not topic.journal)
        raise InputInvalid(f"a topic must be one of the contract's, was {name!r}", detail=known)
    return topics[name]


def check_servers(servers: str) -> str:
    """host:port, several separated by commas. Raises AddressInvalid."""
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise AddressInvalid(
                f"a Kafka server must be host:port, was {server.strip()!r}", hint="several are separated by commas"
            )
    return servers


def partition_of(key: str, count: int) -> int:
    """Where the key's events are: the Java client's partitioner."""
    murmur2 = aiokafka().partitioner.murmur2
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % count)


def header(message: Any, name: str) -> bytes | None:
    """The last header of that name."""
    found: bytes | None = None
    for key, value in message.headers:
        if key == name:
            found = value
    return found
