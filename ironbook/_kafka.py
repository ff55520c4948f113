"""What is shared by all that speak to Kafka here: the contract, security, and connections that say what went wrong."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
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
        import aiokafka.conn
        import aiokafka.errors
        import aiokafka.partitioner
    except ImportError as error:
        raise DependencyMissing(
            "aiokafka must be installed to read or write topics, is not", hint="pip install 'ironbook[streams]'"
        ) from error
    return module


# ---- Another login for clients that run ------------------------------------------------------------------------------

_CREDENTIALS = ("security_protocol", "ssl_context", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
_LOGIN = ("_sasl_mechanism", "_sasl_plain_username", "_sasl_plain_password")
_CONNECTION_USED = (*_LOGIN, "_requests", "_request_timeout", "close", "connected", "host", "port")
_CLIENT_USED = (
    *(f"_{name}" for name in _CREDENTIALS), "_client_id", "_request_timeout_ms", "_connections_max_idle_ms", "_conns",
    "_get_conn_lock", "_on_connection_closed", "cluster",
)  # fmt: skip


def client_of(user: Any) -> Any:
    """The AIOKafkaClient of a producer, a consumer or an admin client."""
    for name in ("client", "_client"):
        if (found := getattr(user, name, None)) is not None:
            return found
    raise _changed(f"{type(user).__name__} has no client")


def check_renewable(client: Any) -> None:
    """Has this release of aiokafka what `renew_login` needs? Called at the start: not the first renewal should find it.

    Raises DependencyMissing.
    """
    connection = aiokafka().conn.AIOKafkaConnection
    known = set(inspect.signature(aiokafka().conn.create_conn).parameters)
    made = inspect.getsource(connection.__init__)
    missing = [f"AIOKafkaClient.{name}" for name in _CLIENT_USED if not hasattr(client, name)]
    missing += [
        f"AIOKafkaConnection.{name}"
        for name in _CONNECTION_USED
        if not hasattr(connection, name) and f"self.{name} =" not in made
    ]
    needed = {*_CREDENTIALS, "client_id", "request_timeout_ms", "max_idle_ms", "on_close"}
    missing += [f"create_conn({name})" for name in sorted(needed - known)]
    if missing:
        raise _changed(f"it lacks {', '.join(missing)}")


def _changed(found: str) -> DependencyMissing:
    version = getattr(aiokafka(), "__version__", "?")
    return DependencyMissing(
        "aiokafka must be a release whose clients can be given another login while they run, is not",
        detail=f"aiokafka {version}: {found}",
        hint="install the release that pyproject.toml names; ironbook/_kafka.py says what it needs",
    )


async def renew_login(client: Any, security: Security) -> bool:
    """Give a running AIOKafkaClient another login, in its own loop; had it another one?

    The login is tried first: what the brokers refuse is raised and changes nothing. Then each connection gets its
    successor before it goes, and goes when all that was asked over it is answered: no request fails, nothing overtakes
    (of a partition one batch is under way at a time), and nothing stays logged on as the old user. What raises in
    between is to be called again: it goes on with the connections that are left.
    """
    check_renewable(client)
    wanted = security.options()
    login = tuple(wanted.get(name.removeprefix("_")) for name in _LOGIN)
    stale = [place for place, found in client._conns.items() if _login_of(found) != login]
    if _login_of(client) == login and not stale:
        return False
    credentials = {name: wanted.get(name, getattr(client, f"_{name}")) for name in _CREDENTIALS}
    lock = client._get_conn_lock  # who opens a connection meanwhile waits, and takes the new login
    async with lock:
        if _login_of(client) != login:
            await _try(client, credentials)
            for name, value in credentials.items():
                setattr(client, f"_{name}", value)
    failed: Exception | None = None
    for place in [place for place, found in client._conns.items() if _login_of(found) != login]:
        async with lock:
            old = client._conns.get(place)
            if old is None or _login_of(old) == login:
                continue
            try:
                new = await _connect(client, old.host, old.port, client._on_connection_closed, credentials)
            except (aiokafka().errors.KafkaError, OSError, TimeoutError) as error:
                failed = error
                continue
            client._conns[place] = new
        await _retire(old)
    if failed is not None:
        raise failed
    return True


async def try_login(servers: str, security: Security) -> None:
    """Log on once, at the first broker that answers. Raises aiokafka's errors."""
    failed: Exception = ConnectionError("no broker is named")
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            trial = await aiokafka().conn.create_conn(host.strip("[]"), int(port), **security.options())
        except (OSError, TimeoutError, aiokafka().errors.KafkaConnectionError) as error:
            failed = error
        else:
            await trial.close()
            return
    raise failed


def _login_of(thing: Any) -> tuple[Any, ...]:
    return tuple(getattr(thing, name) for name in _LOGIN)


async def _try(client: Any, credentials: dict[str, Any]) -> None:
    """Log on once to a broker that the client knows, and leave again. Raises what the brokers say."""
    places = [(found.host, found.port) for found in client._conns.values() if found.connected()]
    places += [(broker.host, broker.port) for broker in client.cluster.brokers()]
    places += [(host, port) for host, port, _ in client.hosts]
    trial = await _connect(client, *places[0], None, credentials)
    await trial.close()


async def _connect(client: Any, host: str, port: int, on_close: Any, credentials: dict[str, Any]) -> Any:
    """As the client itself does it."""
    return await aiokafka().conn.create_conn(
        host, port, client_id=client._client_id, request_timeout_ms=client._request_timeout_ms,
        max_idle_ms=client._connections_max_idle_ms, on_close=on_close, **credentials,
    )  # fmt: skip


async def _retire(connection: Any) -> None:
    """Close it when nothing is under way on it any more, at the latest when that would be given up anyway."""
    waiting = [future for _, _, future in connection._requests]
    if waiting:
        await asyncio.wait(waiting, timeout=connection._request_timeout)
    connection.close(reason=aiokafka().conn.CloseReason.SHUTDOWN)


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
