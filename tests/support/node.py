"""A real engine node for the tests: a process of its own, real files, real sockets, and a client of a few lines.

The client speaks the wire by hand (schemas/vocabulary.py and hmac), on purpose: it shares no line with the SDK, so a
mistake in one of the two shows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from ironbook.keystore import KeyFile, make_passphrase_file
from schemas import vocabulary as v

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0
ALL_PERMISSIONS = int(sum(v.Permission))


def wait_until(what: Callable[[], Any], timeout_s: float = 10.0, why: str = "") -> Any:
    """Poll until `what` is true, and return it. A test fails after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, why or f"not within {timeout_s} s"
        time.sleep(0.01)


class Node:
    """One data directory with keys, and the engine process on it, if it runs."""

    def __init__(self, directory: Path, **settings: object) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.log_path = directory / "log"
        self.settings: dict[str, object] = {
            "data_directory": directory,
            "listen": "127.0.0.1:0",
            "survival_level": "process",
            "segment_records": 4096,
            "key_poll_ms": 50,
            "order_count_max": 65536,
            "level_count_max": 4096,
            "ladder_count_max": 4096,
            "nonce_count_max": 4096,
            "reports_kept": 1024,
            "free_bytes_min": 0,
            "log_level": "debug",
            "log_file": self.log_path,
            "key_passphrase_file": directory / "passphrase",
        } | settings
        self.process: subprocess.Popen[bytes] | None = None
        if not (directory / "passphrase").exists():
            make_passphrase_file(directory / "passphrase")
            self.keys().initialise()

    def keys(self) -> KeyFile:
        """The key file, to edit."""
        return KeyFile(self.directory / "keys.ironbook", (self.directory / "passphrase").read_bytes().strip())

    def make_key(
        self, key_id: str = "admin", permissions: int = ALL_PERMISSIONS, account: int = 1, **more: Any
    ) -> bytes:
        """A new key; returns its secret."""
        return self.keys().create_key(key_id, permissions=permissions, account=account, **more).secret

    def environment(self) -> dict[str, str]:
        """Variables for the process."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IRONBOOK_")}
        chosen = {f"IRONBOOK_ENGINE_{name.upper()}": _text(value) for name, value in self.settings.items()}
        return kept | {"PYTHONPATH": str(ROOT)} | chosen

    def start(self, *, wait: bool = True) -> Node:
        """Start it and wait until it is ready."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine_node", "run"], cwd=ROOT, env=self.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        if wait:
            process = self.process
            wait_until(lambda: self.state() is not None or process.poll() is not None, START_S)
            assert process.poll() is None, self.last_words()
        return self

    def last_words(self) -> str:
        """What a process that ended had to say."""
        assert self.process is not None
        said = self.process.stderr.read().decode() if self.process.stderr is not None else ""
        return said + (self.log_path.read_text() if self.log_path.exists() else "")

    def state(self) -> dict[str, Any] | None:
        """engine.json of the process that runs, or None."""
        try:
            state = orjson.loads((self.directory / "engine.json").read_bytes())
        except (OSError, ValueError):
            return None
        return state if self.process is not None and state["pid"] == self.process.pid else None

    def address(self, which: str = "addresses") -> tuple[str, int]:
        """Where it listens."""
        state = self.state()
        assert state is not None
        host, _, port = state[which][0].rpartition(":")
        return host.strip("[]"), int(port)

    def events(self, event: str) -> list[dict[str, Any]]:
        """Log lines of that name."""
        lines = self.log_path.read_bytes().splitlines() if self.log_path.exists() else []
        return [line for line in map(orjson.loads, lines) if line["event"] == event]

    def wait_event(self, event: str, count: int = 1, timeout_s: float = 15.0) -> list[dict[str, Any]]:
        """Log lines of that name, once there are so many."""
        found: list[dict[str, Any]] = wait_until(
            lambda: (lines := self.events(event)) and len(lines) >= count and lines, timeout_s, f"no log line {event}"
        )
        return found

    def tell(self, number: signal.Signals) -> None:
        """Send the engine a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 15.0) -> int:
        """Signal it, wait for its end, return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout_s)
        if self.process.stderr is not None:
            self.process.stderr.close()
        self.process = None
        return code

    def end(self) -> None:
        """Whatever happened in the test: no process is left."""
        if self.process is not None:
            self.stop(signal.SIGKILL)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclasses.dataclass
class Client:
    """One session, blocking."""

    line: socket.socket
    key_id: str
    secret: bytes
    answer: v.LogonAnswer | None = None
    session_key: bytes = b""
    sequence: int = 0
    held: bytearray = dataclasses.field(default_factory=bytearray)

    @classmethod
    def connect(
        cls, address: tuple[str, int], key_id: str, secret: bytes, *, options: int = 0,
        last_report: int = v.RESUME_NEW_ONLY, tls: ssl.SSLContext | None = None, timeout_s: float = 10.0,
    ) -> Client:  # fmt: skip
        """Connect and log on. Raises LogonRefused (an OSError) if the engine closes the line instead of answering."""
        line: socket.socket = socket.create_connection(address, timeout=timeout_s)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            line = tls.wrap_socket(line, server_hostname="localhost")
        client = cls(line, key_id, secret)
        client.log_on(options, last_report)
        return client

    def log_on(self, options: int = 0, last_report: int = v.RESUME_NEW_ONLY) -> None:
        """Send the logon and take the answer."""
        nonce, key_id = os.urandom(16), self.key_id.encode().ljust(16, b"\0")
        request = v.LogonRequest(
            magic=b"IRONBK01", key_id=key_id, client_nonce=nonce, timestamp_ns=time.time_ns(),
            last_report_number=last_report, options=options,
        )  # fmt: skip
        head = request.pack()[:64]
        self.line.sendall(head + hmac.digest(self.secret, head, "sha256"))
        reply = self.receive()
        if reply[0] != v.MessageKind.LOGON_ANSWER:
            raise LogonRefused(v.Report.unpack(reply).code)
        answer = v.LogonAnswer.unpack(reply)
        assert hmac.compare_digest(answer.mac, hmac.digest(self.secret, head + reply[:64], "sha256"))
        self.answer = answer
        material = b"IRONBK01 session" + nonce + answer.server_nonce + key_id
        self.session_key = hmac.digest(self.secret, material, "sha256")
        self.sequence = answer.last_client_sequence

    def receive(self) -> bytes:
        """The next 96 bytes. Raises LogonRefused(0) when the line ends."""
        while len(self.held) < v.REPORT_BYTES:
            try:
                data = self.line.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                raise LogonRefused(0)
            self.held += data
        report = bytes(self.held[: v.REPORT_BYTES])
        del self.held[: v.REPORT_BYTES]
        return report

    def report(self) -> v.Report:
        """The next report or message."""
        return v.Report.unpack(self.receive())

    def send(self, *commands: Any) -> None:
        """Number, sign and send commands in one write."""
        frames = b""
        for command in commands:
            if not isinstance(command, v.Ping):
                self.sequence += 1
            packed = dataclasses.replace(command, client_sequence=self.sequence).pack()
            frames += packed + hmac.new(self.session_key, packed, hashlib.sha256).digest()[: v.TAG_BYTES]
        self.line.sendall(frames)

    def ask(self, *commands: Any) -> v.Report:
        """Send, and return the next report."""
        self.send(*commands)
        return self.report()

    def define_market(self) -> None:
        """Assets 1 and 2, instrument 1, accounts 1 and 2 with plenty of both."""

        def named(text: str) -> v.Text:
            return v.Text(text=text.encode().ljust(36, b"\0"))

        steps: list[tuple[Any, ...]] = [
            (named("BTC"), v.Asset(asset=1, decimals=8)),
            (named("USD"), v.Asset(asset=2, decimals=2)),
            (
                named("BTC-USD"),
                v.Instrument(
                    instrument=1, base_asset=1, quote_asset=2, trading_state=v.TradingState.OPEN,
                    base_units_per_lot=1, quote_units_per_tick_lot=1,
                ),
            ),
        ]  # fmt: skip
        for account in (1, 2):
            steps.append((v.Account(account=account),))
            steps += [(v.Deposit(account=account, asset=asset, amount_units=10**12),) for asset in (1, 2)]
        for step in steps:
            applied = self.ask(*step)
            assert applied.kind == v.EventKind.APPLIED, applied

    def order(self, side: int, price: int, quantity: int, account: int = 1, **more: Any) -> v.NewOrder:
        """A good-till-cancelled limit order."""
        return v.NewOrder(
            account=account, instrument=1, price_ticks=price, quantity_lots=quantity, side=side,
            order_type=v.OrderType.LIMIT, time_in_force=v.TimeInForce.GOOD_TILL_CANCELLED,
            self_trade_prevention=v.SelfTradePrevention.NONE, **more,
        )  # fmt: skip

    def ended_with(self) -> int:
        """Read until the session ends; the code of its last message, 0 if the line just ended."""
        code = 0
        while True:
            try:
                report = self.report()
            except LogonRefused:
                return code
            if report.kind == v.MessageKind.SESSION_ENDED:
                code = report.code

    def close(self) -> None:
        """Drop the line."""
        self.line.close()


class LogonRefused(OSError):
    """The engine closed the line; code is that of its last message, 0 if there was none."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the line ended, code {code}")
        self.code = code
