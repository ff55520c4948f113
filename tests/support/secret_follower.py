"""A follower of secrets that runs as a process, and a client that trades with the key that it brings.

follower = SecretFollower(tmp_path, settings_toml, aws)
follower.start().wait_ready()
trader = Trader(node.address(), directory / "trader.key")
trader.start()                       # .refusals stays empty whatever rotates
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from ironbook import Key
from schemas import vocabulary as v
from tests.support.aws import Aws
from tests.support.node import ROOT, Client, LogonRefused, wait_until


class SecretFollower:
    """A follower that runs, and what it told systemd."""

    def __init__(self, directory: Path, settings: str, aws: Aws) -> None:
        self.path = directory / "secrets.toml"
        self.path.write_text(settings)
        self.log_path = directory / "follower.log"
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.settimeout(0.01)
        self.notified.bind(str(directory / "notify"))
        self.environment = {**os.environ, **aws.environment(), "NOTIFY_SOCKET": str(directory / "notify")}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> SecretFollower:
        arguments = ["secrets", "follow", "--settings", str(self.path)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ironbook", *arguments],
                cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        return self

    def told_ready(self) -> bool:
        """Whether READY=1 came since the last time this was asked."""
        told = []
        with contextlib.suppress(TimeoutError):
            while True:
                told.append(self.notified.recv(1024))
        return b"READY=1" in told

    def wait_ready(self) -> None:
        wait_until(self.told_ready, 60, "the follower did not get ready: " + self.log_path.read_text())

    def events(self, event: str) -> list[dict[str, object]]:
        lines = (line for line in self.log_path.read_text().splitlines() if line.startswith("{"))
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.notified.close()


class Trader(threading.Thread):
    """Trades on and on with the key that its file holds, and logs on anew when the file changes. Counts refusals."""

    def __init__(self, address: tuple[str, int], key_file: Path) -> None:
        super().__init__(daemon=True)
        self.address, self.key_file = address, key_file
        self.accepted_count = 0
        self.refusals: list[object] = []
        self.secret = ""
        self.ended = threading.Event()

    def run(self) -> None:
        client, changed = None, -1
        while not self.ended.is_set():
            try:
                status = self.key_file.stat().st_ino
                if client is None or status != changed:
                    key, changed = Key.from_file(self.key_file), status
                    newer = Client.connect(self.address, key.key_id, key.secret)
                    if client is not None:
                        client.close()
                    client, self.secret = newer, key.secret.hex()
                report = client.ask(client.order(v.Side.BUY, 100, 1))
                if report.kind == v.EventKind.ACCEPTED:
                    self.accepted_count += 1
                else:
                    self.refusals.append(report)
            except LogonRefused as error:
                self.refusals.append(error)
                client = None
            time.sleep(0.002)
        if client is not None:
            client.close()

    def end(self) -> None:
        self.ended.set()
        self.join(10)
