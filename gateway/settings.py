"""Settings of the gateway: the only reader of its environment, once, into one frozen object.

Each field of GatewaySettings is the variable IRONBOOK_GATEWAY_<FIELD>; those that other parts of Ironbook share have
names of their own: IRONBOOK_TOPIC_PREFIX, and the passphrase of the key file (ironbook/keystore.py).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ironbook import environment as env
from ironbook._errors import IronbookError
from ironbook.keystore import PASSPHRASE_FILE_VARIABLE, PASSPHRASE_VARIABLE

__all__ = ["ENVIRONMENT_PREFIX", "GatewaySettings", "SettingsInvalid", "load"]

ENVIRONMENT_PREFIX: Final = "IRONBOOK_GATEWAY_"
SHARED: Final = {
    "IRONBOOK_TOPIC_PREFIX": "topic_prefix",
    PASSPHRASE_VARIABLE: "key_passphrase",
    PASSPHRASE_FILE_VARIABLE: "key_passphrase_file",
}


class SettingsInvalid(IronbookError):
    """A setting that cannot be used."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """One gateway's settings. Times in milliseconds, sizes in bytes, unless the name says otherwise."""

    # Where it listens
    listen: str = env.text("127.0.0.1:7480", "host:port, several separated by commas; port 0: any free one.")
    tls_certificate: str = env.text("", "PEM file of the certificate and its chain. Empty: plain HTTP.")
    tls_key: str = env.text("", "PEM file of its private key.")
    state_directory: str = env.text("", "Where it keeps files of its own: each gateway has one. Default: data.")
    state_file: str = env.text("", "Where it tells pid and addresses. Default: <state_directory>/gateway.json.")
    assets: str = env.text("", "Directory of the built dashboard. Empty: where the build leaves it, if it is there.")
    allowed_origins: str = env.text("", "Origins of other sites' pages that may call, separated by commas.")
    measures_networks: str = env.text(
        "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7",
        "Networks that are shown /metrics and the parts of /health without a login, separated by commas.",
    )
    trusted_proxies: str = env.text("", "Networks whose X-Forwarded-For is believed, separated by commas.")

    # Bounds of one client and of all
    connection_count_max: int = env.integer(10_000, 1, 1_000_000, "Connections at once; more are closed.")
    connection_count_per_address_max: int = env.integer(1_000, 1, 1_000_000, "The same, of one address, or /64.")
    header_bytes_max: int = env.integer(16_384, 1_024, 1 << 20, "Request line and headers together.")
    body_bytes_max: int = env.integer(65_536, 1_024, 1 << 24, "A request's body.")
    header_timeout: int = env.integer(10_000, 100, 600_000, "A request's headers must come within.")
    body_timeout: int = env.integer(10_000, 100, 600_000, "Then its body.")
    idle_timeout: int = env.integer(75_000, 100, 3_600_000, "A connection without a request is closed.")
    write_timeout: int = env.integer(10_000, 100, 600_000, "A client that does not read an answer is dropped.")
    socket_buffer_max: int = env.integer(1 << 20, 1 << 12, 1 << 28, "Unread bytes of a WebSocket; then it is dropped.")
    socket_message_max: int = env.integer(16_384, 256, 1 << 20, "A message from a WebSocket client.")
    socket_messages_per_s: int = env.integer(10, 1, 100_000, "Messages that a WebSocket client may send.")
    socket_streams_max: int = env.integer(1_024, 1, 100_000, "Streams of one WebSocket.")
    ping_interval: int = env.integer(20_000, 100, 600_000, "A WebSocket is pinged; no pong for three of them: closed.")

    # Limits, as exchangeInfo tells them
    weight_per_minute: int = env.integer(6_000, 1, 1 << 30, "Request weight of an address in a minute.")
    orders_per_10s: int = env.integer(1_000, 1, 1 << 30, "New orders of an account in 10 seconds.")
    orders_per_day: int = env.integer(1_000_000, 1, 1 << 30, "New orders of an account in a UTC day.")
    ban_after: int = env.integer(50, 1, 1 << 20, "Requests refused by 429 in a minute, then the address gets 418.")
    ban_seconds: int = env.integer(120, 1, 86_400, "How long; doubles for each further time up to three days.")
    bad_signatures_max: int = env.integer(100, 1, 1 << 20, "Bad signatures of an address in a minute, then 418.")
    recv_window_max: int = env.integer(60_000, 1, 60_000, "Largest recvWindow.")

    # Where things are
    data: str = env.text(".ironbook", "Data directory of the engine node on this machine.")
    source: str = env.text("local", "Whose journal: local (segments in data) or kafka.", ("local", "kafka"))
    snapshots: str = env.text("", "Directory of snapshots for source kafka; empty: the topic from its beginning.")
    shard: int = env.integer(0, 0, 65_535, "Whose journal topic.")
    engine: str = env.text("", "The engine's ingress: host:port. Empty: the engine running in data.")
    engine_timeout: int = env.integer(5_000, 100, 600_000, "An answer of the engine must come within.")
    engine_key: str = env.text("", "File of the key for orders: trade, cancel, read, delegate. Default: in data.")
    admin_key: str = env.text("", "File of a key with admin; empty: nothing of administration is offered.")
    key_file: str = env.text("", "The encrypted key file. Default: in data.")
    key_passphrase: str = env.secret("Opens the key file. IRONBOOK_KEY_PASSPHRASE.", from_file=False)
    key_passphrase_file: str = env.text("", "File of mode 0600 whose first line opens it. Default: in data.")
    key_poll: int = env.integer(500, 50, 600_000, "How often to look whether a file of keys or secrets changed.")
    manage_keys: bool = env.flag(False, "May keys be made, rotated and revoked here? Needs write access to the file.")
    unsigned_listen_keys: bool = env.flag(False, "May a listen key be had by a key's name alone, as on Binance?")
    cookie_secret_file: str = env.text(
        "", "Secrets of session cookies, made if not there. Default: in the state directory."
    )
    session_hours: int = env.integer(12, 1, 720, "A dashboard login ends after.")
    database_url: str = env.secret("PostgreSQL: postgresql://user:password@host:port/database; better in a file.")
    database_url_file: str = env.text("", "File of mode 0600 whose first line is the database's URL.")
    kafka: str = env.text("", "Brokers: host:port, separated by commas. Empty: no topics here.")
    kafka_login: str = env.text("", "File of JSON: username, password, mechanism, tls, ca_file.")
    topic_prefix: str = env.text("", "Before every name of a topic. IRONBOOK_TOPIC_PREFIX.")
    workers: str = env.text("", "Files that running workers keep (<state_directory>/*.json), for their health.")

    # What it keeps
    poll_us: int = env.integer(1_000, 50, 1_000_000, "How often to look for records, in microseconds.")
    replay_records: int = env.integer(
        200_000, 0, 1 << 40, "Records before the end that a start reads again, so that memory has what they made."
    )
    trades_kept: int = env.integer(10_000, 100, 1 << 24, "Newest trades of a symbol in memory.")
    orders_kept: int = env.integer(200_000, 100, 1 << 26, "Orders that ended, in memory.")
    events_kept: int = env.integer(200_000, 100, 1 << 26, "Events kept for subscribers that resume.")

    held_file: str = env.text(
        "", "Where it tells which secrets it holds. Default: <state_directory>/gateway.held.json."
    )
    log_level: str = env.text("info", "Least level that is logged.", ("debug", "info", "warning", "error"))
    log_file: str = env.text("", "Where the log goes; empty: standard error.")

    @property
    def state_path(self) -> Path:
        """The state directory: nothing that a gateway writes stands elsewhere, unless it is told so."""
        return Path(self.state_directory or self.data)


def load(environment: Mapping[str, str] | None = None) -> GatewaySettings:
    """From the environment. Raises SettingsInvalid, which tells of the first variable that is wrong."""
    source = os.environ if environment is None else environment
    return env.read(GatewaySettings, ENVIRONMENT_PREFIX, SHARED, source, SettingsInvalid)
