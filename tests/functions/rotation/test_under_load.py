"""Every secret of a running installation changes while clients trade flat out, and not one of them is refused.

    Secrets Manager ◀── rotation (this process)            trader      frames to the engine, signed by desk-1
      ▲ polled                                             http        signed requests to the gateway, by desk-1
    ironbook secrets follow ──files──▶ engine, gateway     browser     requests with a session's cookie
      └── what they hold ──▶ secret_holders            history     requests that the gateway answers from PostgreSQL
                                                       letters     requests that the gateway answers from Kafka

Engine, gateway, follower, PostgreSQL and Kafka are the real programs, each a process of its own. Changed are the
clients' own key, the two keys that the gateway has on the engine, its users of the database and of Kafka, the key of
its cookies and its certificate.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import json
import os
import secrets
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from functions.rotation import handler
from ironbook import Client, Key, Options, Side, TimeInForce
from ironbook._kafka import Security
from ironbook._topics_admin import TopicAdmin
from ironbook.held import Held, fingerprint
from ironbook.topics import planned
from schemas.topics import load_topics
from tests.support.gateway import Stack
from tests.support.node import ROOT, wait_until
from tests.support.rotation import CURRENT, World, authority
from tests.support.services import Broker

TRADER = ["trade", "cancel", "read"]
KEYS: dict[str, tuple[list[str], int]] = {
    "admin": (["admin", "read"], 0),
    "gateway": ([*TRADER, "delegate"], 0),
    "gateway-admin": (["admin", "read"], 0),
    "desk-1": (TRADER, 1),
    "desk-2": (TRADER, 2),
}
ROTATED = ("desk-1", "gateway", "gateway-admin")
TURN_S = 60.0


class Installation(Stack):
    """Engine and gateway that have all their secrets from a follower."""

    def __init__(self, directory: Path, world: World, broker: Broker) -> None:
        self.broker = broker
        self.world, self.secrets_directory = world, directory / "secrets"
        files = self.secrets_directory
        key_file = {"key_file": files / "keys.ironbook", "key_passphrase_file": files / "key-passphrase"}
        super().__init__(
            directory, engine=key_file, **key_file, listen="127.0.0.1:0", manage_keys="false",
            engine_key=files / "gateway.key", admin_key=files / "gateway-admin.key",
            cookie_secret_file=files / "cookie-secret", database_url_file=files / "gateway.database-url",
            tls_certificate=files / "gateway.crt", tls_key=files / "gateway.pem",
            kafka=broker.bootstrap, kafka_login=files / "gateway.kafka-login.json",
        )  # fmt: skip
        self.follower: subprocess.Popen[bytes] | None = None
        self.firm = authority()
        self.secrets: dict[str, str] = {}

    def key_path(self, key_id: str) -> Path:
        return self.secrets_directory / f"{key_id}.key"

    def make_keys(self) -> None:
        """All secrets, and the follower that brings them."""
        for number, (key_id, (permissions, account)) in enumerate(KEYS.items(), 1):
            users = {"desk-1": {"users": "client=1"}, "gateway": {"users": "gateway=1"}}.get(key_id, {})
            self.secrets[key_id] = self.world.api_key(
                key_id, holders="engine=1 gateway=1", number=number, permissions=permissions, account=account, **users
            )
            self.keys[key_id] = bytes.fromhex(self.world.value(self.secrets[key_id])["secret"])
        ca = self.world.secret("ca", "ca", self.firm, environment="elsewhere")
        self.world.settings(ca_secret=ca)
        self.secrets["cookie"] = self.world.cookie("gateway=1")
        self.secrets["database"] = self.world.database()
        named = {"certificate": "", "private_key": "", "names": ["localhost", "127.0.0.1"], "days": 90}
        self.secrets["tls"] = self.world.secret("tls/gateway", "tls", named, "gateway=1")
        self.secrets["kafka"] = self.kafka()
        self.world.handle({"action": "install"})
        self.start_follower()

    def kafka(self) -> str:
        """The topic that the gateway reads there, and its user, who may do what an operator may."""
        login = self.broker.login("admin")
        asyncio.run(_make_topic(self.broker))
        admin = {"username": "admin", "password": login["sasl_plain_password"], "mechanism": "SCRAM-SHA-512"}
        arn = self.world.secret("kafka/admin", "administrator", admin, environment="elsewhere")
        self.world.settings(kafka_bootstrap=self.broker.bootstrap, kafka_admin_secret=arn, kafka_tls=False)
        users = [f"{self.world.mark}_a", f"{self.world.mark}_b"]
        value = {"username": users[0], "password": secrets.token_hex(32), "mechanism": "SCRAM-SHA-512",
                 "users": users, "principal": "operator"}  # fmt: skip
        return self.world.secret("kafka/gateway", "kafka", value, "gateway=1")

    def start_follower(self) -> None:
        """`ironbook secrets follow`, until all files are there."""
        self.secrets_directory.mkdir(mode=0o700)
        (self.directory / "clients").mkdir()
        url = self.secrets_directory / "follower.database-url"
        url.touch(mode=0o600)
        url.write_text(self.world.url)
        names = {**{key_id: f"api_key/{key_id}" for key_id in KEYS}, "gateway-cookie": "cookie"}
        lines = [
            f'directory = "{self.secrets_directory}"', 'environment = "test"', "poll_interval_s = 1",
            "relay_interval_s = 0.2", 'database_url_file = "follower.database-url"',
            f'held_files = ["{self.node.directory}/*.held.json", "{self.directory}/clients/*.held.json"]',
            "[keys]", 'file = "keys.ironbook"', 'passphrase_file = "key-passphrase"',
            *(f'[[files]]\nsecret = "{secret}"\nname = "{name}"' for name, secret in names.items()),
            '[[files]]\nsecret = "database/gateway"\nname = "gateway"',
            '[[files]]\nsecret = "kafka/gateway"\nname = "gateway"',
            '[[files]]\nsecret = "tls/gateway"\nname = "gateway"',
        ]  # fmt: skip
        settings = self.directory / "secrets.toml"
        settings.write_text("\n".join(lines))
        log = (self.directory / "follower.log").open("ab")
        self.follower = process = subprocess.Popen(
            [sys.executable, "-m", "ironbook", "secrets", "follow", "--settings", str(settings)], cwd=ROOT,
            env=os.environ | self.world.aws.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        ready = self.secrets_directory / "ready"
        wait_until(lambda: ready.exists() or process.poll() is not None, 30.0, "the follower is not ready")
        assert process.poll() is None, (self.directory / "follower.log").read_text()

    def end(self) -> None:
        super().end()
        if self.follower is not None:
            self.follower.kill()
            self.follower.wait()

    def tls(self) -> ssl.SSLContext:
        """As a client of the firm: its authority is trusted, nobody else."""
        return ssl.create_default_context(cadata=self.firm["certificate"])


async def _make_topic(broker: Broker) -> None:
    login = broker.login("admin")
    security = Security(username="admin", password=login["sasl_plain_password"])
    async with TopicAdmin(broker.bootstrap, security) as admin:
        plans = [plan for plan in planned(load_topics(), "") if plan.name == "dead-letters"]
        await admin.create(plans, 1)


class Load(threading.Thread):
    """One client, flat out until it is told to stop. Whatever is refused is kept."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.work, self.count, self.refused = work, 0, Counter[str]()
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                self.work()
                self.count += 1
            except Exception as error:
                self.refused[f"{type(error).__name__}: {error}"[:300]] += 1


class Trader:
    """Frames to the engine: orders that find no counterpart and end at once. Takes up its new key between two."""

    def __init__(self, stack: Installation) -> None:
        self.stack, self.path = stack, stack.key_path("desk-1")
        self.held = Held(stack.directory / "clients/desk-1.held.json", "desk-1", "client")
        self.written = b""
        self.client: Client | None = None
        self.count = 0
        self.logons = 0

    def __call__(self) -> None:
        if self.client is None or self.count % 64 == 0:
            self.look()
        self.count += 1
        assert self.client is not None
        self.client.submit(
            1, Side.BUY, price_ticks=100, quantity_lots=1, time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL
        ).raise_if_rejected()

    def look(self) -> None:
        written = self.path.read_bytes()
        if written == self.written:
            if self.count % 1024 == 0:
                self.held.beat()
            return
        key = Key.from_file(self.path)
        if self.client is not None:
            self.client.close()
        self.client = Client(self.stack.node.address(), key, options=Options(reconnect=False, keep_reports=False))
        self.client.connect()
        self.written, self.logons = written, self.logons + 1
        self.held.say("api_key/desk-1", [], fingerprint(key.secret))
        self.held.beat()


class Web:
    """Requests to the gateway over TLS; a new connection, and so a new handshake, every 32 of them."""

    def __init__(self, stack: Installation, key_id: str, method: str, path: str, **parameters: object) -> None:
        self.stack, self.key_id, self.method, self.path, self.parameters = stack, key_id, method, path, parameters
        self.line: http.client.HTTPSConnection | None = None
        self.context = stack.tls()
        self.count, self.last_ms = 0, 0
        self.cookie = ""
        self.shown: set[bytes] = set()

    def __call__(self) -> None:
        if self.cookie:
            self.ask(self.method, self.path, {"Cookie": self.cookie})
        else:
            self.signed(self.method, self.path, **self.parameters)

    def signed(self, method: str, path: str, body: str = "", **parameters: object) -> http.client.HTTPResponse:
        """Sign with the secret that the key's file has now."""
        self.last_ms = max(self.last_ms + 1, time.time_ns() // 10**6)
        query = urlencode(parameters | {"timestamp": self.last_ms, "recvWindow": 60_000})
        before = f"{method} {path}?" if path.startswith("/api/v1/") else ""
        secret = json.loads(self.stack.key_path(self.key_id).read_bytes())["secret"].encode()
        signature = hmac.new(secret, f"{before}{query}{body}".encode(), hashlib.sha256).hexdigest()
        headers = {"X-MBX-APIKEY": self.key_id} | ({"Content-Type": "application/json"} if body else {})
        return self.ask(method, f"{path}?{query}&signature={signature}", headers, body)

    def log_in(self) -> None:
        """From here on by a cookie."""
        answer = self.signed("POST", "/api/v1/session", "{}")
        self.cookie = str(answer.getheader("Set-Cookie")).partition(";")[0]

    def ask(self, method: str, target: str, headers: dict[str, str], body: str = "") -> http.client.HTTPResponse:
        if self.line is None or self.count % 32 == 0:
            if self.line is not None:
                self.line.close()
            port = int(self.stack.address.rpartition(":")[2])
            self.line = http.client.HTTPSConnection("localhost", port, timeout=20, context=self.context)
            self.line.connect()
            self.shown.add(self.line.sock.getpeercert(binary_form=True))
        self.count += 1
        self.line.request(method, target, body or None, headers)
        answer = self.line.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise AssertionError(f"{method} {target.partition('?')[0]}: {answer.status} {said[:200]!r}")
        return answer


@pytest.fixture
def stack(world: World, sasl_kafka: Broker, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path, world, sasl_kafka)
    try:
        yield made.start()
    finally:
        made.end()


def settled(world: World, names: list[str], waiting: Callable[[str], bool]) -> bool:
    """Drive once; is each of these secrets at rest, or waiting for nothing but that?"""
    answers = {one["secret"]: one for one in world.handle({"action": "drive"})["secrets"]}
    chosen = [answers[name] for name in names]
    return all(one["state"] == "rest" or all(map(waiting, one["waiting"])) for one in chosen)


@pytest.mark.timeout(300)
def test_clients_that_trade_flat_out_through_a_rotation_of_every_secret_see_not_one_refusal(
    world: World, stack: Installation, monkeypatch: pytest.MonkeyPatch
):
    host, port = stack.node.address()
    world.settings(
        engine_addresses=f"{host}:{port}", gateway_url=f"https://localhost:{stack.address.rpartition(':')[2]}",
        session_hours=1, holder_silent_s=86_400, settle_s=2,
    )  # fmt: skip
    trader, browser = Trader(stack), Web(stack, "desk-2", "GET", "/api/v1/session")
    browser.log_in()
    order: dict[str, object] = {"symbol": "BTCUSD", "side": "BUY", "type": "LIMIT", "timeInForce": "IOC",
                                "quantity": "0.001", "price": "1000"}  # fmt: skip
    orders = Web(stack, "desk-1", "POST", "/api/v3/order", **order)
    history = Web(stack, "desk-2", "GET", "/api/v1/pnl/daily")
    letters = Web(stack, "admin", "GET", "/api/v1/dead-letters")
    working = {"trader": trader, "orders": orders, "browser": browser, "history": history, "letters": letters}
    loads = [Load(name, work) for name, work in working.items()]
    for load in loads:
        load.start()
    wait_until(lambda: all(load.count > 5 for load in loads), 60.0, str([load.refused for load in loads]))
    rotated = {name: stack.secrets[name] for name in (*ROTATED, "cookie", "database", "kafka", "tls")}
    before = {name: world.value(secret) for name, secret in rotated.items()}
    names = [world.api.describe_secret(SecretId=secret)["Name"] for secret in rotated.values()]
    for secret in rotated.values():
        world.rotate(secret)
    # Logins that the old keys signed live on; a browser that logs in again gets a cookie of the new one.
    wait_until(lambda: settled(world, names, lambda who: who.startswith("logins that")), TURN_S, "not all are current")
    for name, secret in rotated.items():
        assert world.value(secret) != before[name]
    assert not world.may_log_on(before["database"])
    during = {load.name: load.count for load in loads}
    fresh = Web(stack, "desk-2", "GET", "/api/v1/session")
    fresh.log_in()
    browser.cookie = fresh.cookie
    monkeypatch.setattr(handler, "now_ns", lambda: time.time_ns() + 3601 * 10**9)
    wait_until(lambda: settled(world, names, lambda who: False), TURN_S, "not all old ones ended")
    wait_until(lambda: all(load.count > during[load.name] + 5 for load in loads), 30.0, "a client stands still")
    for load in loads:
        load.stopping.set()
    for load in loads:
        load.join(20)
    print({load.name: load.count for load in loads}, "logons of the trader:", trader.logons)
    assert {load.name: dict(load.refused) for load in loads} == {load.name: {} for load in loads}
    assert all(set(world.labels(secret)) == {CURRENT} for secret in rotated.values())
    assert trader.logons == 2
    assert len(orders.shown) == 2  # both certificates were shown, and both were good
    assert len(world.alerts()) == 0
