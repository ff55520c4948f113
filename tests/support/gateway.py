"""A running stack for the tests: a real engine, a real gateway on it, funded accounts with keys, signed requests.

    with Stack(tmp_path) as stack:
        status, order = stack.signed("alice", "POST", "/api/v3/order", symbol="BTCUSD", side="BUY", ...)

The market is that of `ironbook up`: BTC/USD (tick 0.01, lot 0.0001, around 60,000) and ETH/USD. Signing and HTTP are
done by hand here, with nothing of the gateway's own, so a mistake in one of the two shows.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlencode

import orjson

from ironbook import Client, Key
from ironbook.cli._demo import INSTRUMENTS
from ironbook.cli._demo import define as define_market
from schemas.vocabulary import Permission
from tests.support.node import ROOT, Node, wait_until

TRADER = Permission.TRADE | Permission.CANCEL | Permission.READ
TRADERS = {"alice": 1, "bob": 2, "carol": 3, "dave": 4}
START_S = 30.0
ANSWER_S = 20.0


class Stack:
    """One engine node and one gateway in a directory of their own.

    database   URL of an empty PostgreSQL database: embedded analytics fills it, the gateway reads it
    settings   of the gateway: names of GatewaySettings
    engine     settings of the engine node
    beside     another stack, whose engine and clients are this one's too: a second gateway, with an engine key of its
               own and no administration
    """

    def __init__(
        self,
        directory: Path,
        *,
        database: str = "",
        engine: dict[str, object] | None = None,
        beside: Stack | None = None,
        **settings: object,
    ) -> None:
        self.directory = directory
        self.beside = beside
        self.node = beside.node if beside else Node(directory / "node", **{"nonce_count_max": 1 << 20} | (engine or {}))
        self.database = database
        self.settings = settings
        self.log_path = directory / "gateway.log"
        self.state_path = directory / "gateway.json"
        self.process: subprocess.Popen[bytes] | None = None
        self.analytics: subprocess.Popen[bytes] | None = None
        self.keys: dict[str, bytes] = beside.keys if beside else {}
        self.own_key = f"gateway-{directory.name}" if beside else "gateway"
        self._last_ms = 0

    # ---- Start and stop ---------------------------------------------------------------------------------------------

    def __enter__(self) -> Stack:
        try:
            return self.start()
        except BaseException:
            self.end()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self, *, ready: bool = True) -> Stack:
        """Engine, market, accounts, database, gateway; beside another stack the gateway alone."""
        if self.beside is not None:
            self._make_key(self.own_key, TRADER | Permission.DELEGATE, 0)
            self.start_gateway(ready=ready)
            return self
        self.make_keys()
        self.node.start()
        self.define()
        if self.database:
            self.start_analytics()
        self.start_gateway()
        return self

    def make_keys(self) -> None:
        """Traders of accounts 1 to 4, an administrator, and what the gateway has on the engine."""
        self.key_path("admin").parent.mkdir(exist_ok=True)
        self._make_key("admin", Permission.ADMIN | Permission.READ, 0)
        self._make_key(self.own_key, TRADER | Permission.DELEGATE, 0)
        self._make_key("gateway-admin", Permission.ADMIN | Permission.READ, 0)
        for key_id, account in TRADERS.items():
            self._make_key(key_id, TRADER, account)

    def _make_key(self, key_id: str, permissions: int, account: int) -> None:
        self.keys[key_id] = self.node.make_key(key_id, int(permissions), account)
        Key(key_id=key_id, secret=self.keys[key_id]).write(self.key_path(key_id))

    def key_path(self, key_id: str) -> Path:
        """The client key file of a key."""
        return (self.beside or self).directory / "client-keys" / f"{key_id}.json"

    def define(self) -> None:
        """The demo market, and accounts 3 and 4 like the first two."""
        from engine_node.replica import Replica

        with Replica.open(self.node.directory) as replica, self.client() as client:
            replica.catch_up()
            define_market(client, replica.core, lambda what: None)
            for account in (3, 4):
                client.define_account(account).raise_if_rejected()
                for asset, units in ((1, 10_000_000 * 10**6), (2, 100 * 10**8), (3, 2_000 * 10**8)):
                    client.deposit(account, asset, units).raise_if_rejected()

    def client(self, key_id: str = "admin") -> Client:
        """The SDK's client at the engine's own door."""
        host, port = self.node.address()
        return Client((host, port), Key(key_id=key_id, secret=self.keys[key_id]))

    def start_analytics(self) -> None:
        """What keeps positions, P&L and history: `python -m ironbook.embedded`."""
        path = self.directory / "database-url"
        path.touch(mode=0o600)
        path.write_text(self.database)
        command = [sys.executable, "-m", "ironbook.embedded", "--data", str(self.node.directory)]
        with (self.directory / "analytics.log").open("ab") as log:
            self.analytics = subprocess.Popen(
                [*command, "--database-url-file", str(path)], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(
            lambda: b"analytics_started" in (self.directory / "analytics.log").read_bytes(), START_S, "no analytics"
        )

    def environment(self) -> dict[str, str]:
        """Variables of the gateway."""
        said: dict[str, object] = {
            "listen": "127.0.0.1:0",
            "data": self.node.directory,
            "state_file": self.state_path,
            "engine_key": self.key_path(self.own_key),
            "admin_key": self.key_path("gateway-admin") if self.beside is None else "",
            "manage_keys": "true",
            "cookie_secret_file": self.directory / "cookie-secret",
            "log_file": self.log_path,
            "log_level": "debug",
            "key_poll": 50,
            "weight_per_minute": 1_000_000,
            "orders_per_10s": 1_000_000,
        }
        if self.database:
            said["database_url_file"] = self.directory / "database-url"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IRONBOOK_")}
        chosen = {f"IRONBOOK_GATEWAY_{name.upper()}": str(value) for name, value in (said | self.settings).items()}
        return kept | {"PYTHONPATH": str(ROOT)} | chosen

    def start_gateway(self, *, ready: bool = True) -> None:
        """Start it and wait until it is ready."""
        self.process = process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run"], cwd=ROOT, env=self.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        wait_until(lambda: self.state() is not None or process.poll() is not None, START_S, "no gateway")
        assert process.poll() is None, self.last_words()
        if ready:
            wait_until(lambda: (self.state() or {}).get("ready"), START_S, "the gateway is not ready")

    def last_words(self) -> str:
        """What the gateway said before it ended."""
        assert self.process is not None
        said = self.process.stderr.read().decode() if self.process.stderr is not None else ""
        return said + (self.log_path.read_text() if self.log_path.exists() else "")

    def state(self) -> dict[str, Any] | None:
        """gateway.json of the process that runs, or None."""
        try:
            state = orjson.loads(self.state_path.read_bytes())
        except (OSError, ValueError):
            return None
        return state if self.process is not None and state["pid"] == self.process.pid else None

    def stop_gateway(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it, wait for its end, return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(START_S)
        if self.process.stderr is not None:
            self.process.stderr.close()
        self.process = None
        return code

    def restart_gateway(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it and start another one, at the same address."""
        self.settings["listen"] = self.address
        self.stop_gateway(number)
        self.start_gateway()

    def end(self) -> None:
        """Whatever happened: no process is left."""
        if self.process is not None:
            self.stop_gateway(signal.SIGKILL)
        if self.analytics is not None:
            self.analytics.kill()
            self.analytics.wait()
            self.analytics = None
        if self.beside is None:
            self.node.end()

    def events(self, event: str) -> list[dict[str, Any]]:
        """Lines of that name in the gateway's log."""
        lines = self.log_path.read_bytes().splitlines() if self.log_path.exists() else []
        return [line for line in map(orjson.loads, lines) if line["event"] == event]

    # ---- As a client ------------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """host:port of the gateway."""
        state = self.state()
        assert state is not None, "the gateway must run"
        return str(state["addresses"][0])

    @property
    def url(self) -> str:
        """Where HTTP goes."""
        return f"http://{self.address}"

    @property
    def ws_url(self) -> str:
        """Where WebSockets go."""
        return f"ws://{self.address}"

    def secret(self, key_id: str) -> str:
        """The API secret of a key, as its owner types it."""
        return self.keys[key_id].hex()

    def timestamp_ms(self) -> int:
        """Now, and never the same twice: the same signed request is refused a second time."""
        self._last_ms = max(time.time_ns() // 1_000_000, self._last_ms + 1)
        return self._last_ms

    def sign(self, key_id: str, query: str, body: str = "") -> str:
        """The signature over a query and a body."""
        return hmac.new(self.secret(key_id).encode(), (query + body).encode(), hashlib.sha256).hexdigest()

    def sign_v1(self, key_id: str, method: str, path: str, query: str, body: str = "") -> str:
        """The same under /api/v1, where method and path are signed too."""
        return self.sign(key_id, f"{method} {unquote(path)}?{query}", body)

    def exchange(
        self, method: str, target: str, body: str | bytes = "", headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """One request on a connection of its own: status, decoded body, headers in lower case."""
        host, _, port = self.address.rpartition(":")
        line = http.client.HTTPConnection(host, int(port), timeout=ANSWER_S)
        try:
            line.request(method, target, body or None, headers or {})
            answer = line.getresponse()
            data = answer.read()
        finally:
            line.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        is_json = found.get("content-type", "").startswith("application/json") and data
        return answer.status, orjson.loads(data) if is_json else data, found

    def get(self, path: str, **parameters: object) -> tuple[int, Any]:
        """A request that nobody signs."""
        query = urlencode(parameters)
        return self.exchange("GET", path + ("?" + query if query else ""))[:2]

    def signed(
        self, key_id: str, method: str, path: str, json: object | None = None, **parameters: object
    ) -> tuple[int, Any]:
        """A signed request; parameters in the query, `json` as the body."""
        query = urlencode(parameters | {"timestamp": self.timestamp_ms()})
        body = "" if json is None else orjson.dumps(json).decode()
        headers = {"X-MBX-APIKEY": key_id} | ({"Content-Type": "application/json"} if body else {})
        sign = self.sign_v1(key_id, method, path, query, body) if path.startswith("/api/v1/") else None
        target = f"{path}?{query}&signature={sign or self.sign(key_id, query, body)}"
        return self.exchange(method, target, body, headers)[:2]

    def order(self, key_id: str, side: str, quantity: str, price: str = "", **more: object) -> dict[str, Any]:
        """Enter an order for BTCUSD through the dialect; a limit order if it has a price. It must be taken."""
        said: dict[str, object] = {"symbol": "BTCUSD", "side": side, "quantity": quantity}
        said |= {"type": "LIMIT", "timeInForce": "GTC", "price": price} if price else {"type": "MARKET"}
        status, answer = self.signed(key_id, "POST", "/api/v3/order", **(said | more))
        assert status == 200, (status, answer)
        found: dict[str, Any] = answer
        return found


SYMBOLS = tuple(one.symbol for one in INSTRUMENTS)


def new_request_id() -> str:
    """For X-Ironbook-Request: 32 hexadecimal digits that nobody had before."""
    return secrets.token_hex(16)
