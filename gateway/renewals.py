"""What of a running gateway changes with its files, and what it says that it holds.

    file                     taken up by                                      until then, and if it is wrong
    key file                 KeyRing: keys, two secrets of each               the keys that were read
    cookie-secret            Sessions: the first signs, all are good          the secrets that were read
    engine_key, admin_key    Line: the session is handed over                 the session
    database_url_file        History: a new pool, then the old one is drained the old pool
    kafka_login              TopicSource: each connection gets a successor    the old user
    tls_certificate, tls_key HttpServer: for handshakes from then on          the old certificate
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from gateway.context import Gateway
from gateway.history import History
from gateway.http import HttpServer
from gateway.line import Line
from gateway.settings import GatewaySettings
from gateway.topic_source import KafkaLogin
from ironbook import Key
from ironbook.held import Held, fingerprint, process_name
from ironbook.renewal import Renewal, database_holding, database_url, kafka_holding, tls_holding

__all__ = ["HELD_FILE", "key_paths", "renewing", "watch_certificate"]

HELD_FILE: Final = "gateway.held.json"  # in the state directory, unless told otherwise
KEYS: Final = "api_key/"


def key_paths(settings: GatewaySettings) -> tuple[str, str]:
    """Files of the keys for orders and for administration; the latter may be empty."""
    return settings.engine_key or str(Path(settings.data) / "client-keys/gateway.json"), settings.admin_key


def renewing(gateway: Gateway, server: HttpServer, login: KafkaLogin) -> Renewal:
    """Looks after all of it, once it is opened. What the parts begin with is said."""
    settings = gateway.settings
    path = Path(settings.held_file) if settings.held_file else settings.state_path / HELD_FILE
    held = Held(path, process_name(path.name.removesuffix(".json").removesuffix(".held")), "gateway")
    renewal = Renewal(settings.key_poll / 1_000, gateway.log.write, held)
    _watch_keys(renewal, gateway)
    _watch_cookies(renewal, gateway)
    for line, file in zip((gateway.line, gateway.admin_line), key_paths(settings), strict=True):
        if line is not None:
            _watch_line(renewal, line, file)
    if gateway.history is not None:
        _watch_database(renewal, gateway.history, settings)
    if settings.kafka:
        _watch_kafka(renewal, login, settings)
    if settings.tls_certificate:
        watch_certificate(renewal, server, settings)
    return renewal


def _watch_keys(renewal: Renewal, gateway: Gateway) -> None:
    def tell() -> None:
        renewal.holdings.accept_only(KEYS, gateway.keys.held)

    gateway.keys.on_change(tell)
    tell()
    renewal.watch("key file", gateway.keys.mark, gateway.keys.renew)


def _watch_cookies(renewal: Renewal, gateway: Gateway) -> None:
    sessions = gateway.sessions

    def tell() -> None:
        found = [fingerprint(secret) for secret in sessions.live_secrets]
        renewal.holdings.accept("cookie", found)
        renewal.holdings.use("cookie", found[0])

    async def renew() -> bool:
        new = await sessions.renew()
        tell()
        return new

    tell()
    renewal.watch_files("cookie secret", [sessions.path], renew)


def _watch_line(renewal: Renewal, line: Line, file: str) -> None:
    def tell(key: Key) -> None:
        renewal.holdings.use(KEYS + key.key_id, fingerprint(key.secret))

    line.on_key(tell)
    renewal.watch_files(f"engine key of the line {line.name}", [file], line.renew)


def _watch_database(renewal: Renewal, history: History, settings: GatewaySettings) -> None:
    async def renew() -> bool:
        new = await history.renew(database_url(settings.database_url_file))
        renewal.holdings.use_only("database", *database_holding(history.url))
        return new

    renewal.holdings.use_only("database", *database_holding(history.url))
    if settings.database_url_file:
        renewal.watch_files("database", [settings.database_url_file], renew)


def _watch_kafka(renewal: Renewal, login: KafkaLogin, settings: GatewaySettings) -> None:
    def tell() -> None:
        if login.security.username:
            holding = kafka_holding(login.security.username, login.security.password)
            renewal.holdings.use_only("kafka", *holding)

    async def renew() -> bool:
        new = await login.renew()
        tell()
        return new

    tell()
    if settings.kafka_login:
        renewal.watch_files("login to Kafka", [settings.kafka_login], renew)


def watch_certificate(renewal: Renewal, server: HttpServer, settings: GatewaySettings) -> None:
    """The server's certificate and key."""
    files = [settings.tls_certificate, *([settings.tls_key] if settings.tls_key else [])]
    known: list[bytes] = []  # their content as it was loaded last

    def read() -> tuple[list[bytes], tuple[str, str]]:
        return [Path(file).read_bytes() for file in files], tls_holding(settings.tls_certificate)

    async def renew() -> bool:
        found, held = await asyncio.to_thread(read)
        if found == known:
            return False
        await server.renew_tls()
        renewal.holdings.use_only("tls", *held)
        new, known[:] = bool(known), found
        return new

    renewal.holdings.use_only("tls", *tls_holding(settings.tls_certificate))
    renewal.watch_files("certificate", files, renew)
