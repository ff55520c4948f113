"""A fresh engine node in a process of its own, for a tape, a demonstration or a test.

with EngineNode(directory) as node:           directory/  passphrase, keys.ironbook, journal/, engine.json, engine.log
    key = node.add_key("desk", Permission.TRADE)
    node.start() ──▶ python -m engine_node    on a free port of 127.0.0.1, told by engine.json
    Client(node.address, key)
    node.kill() · node.start()                the same port again: clients come back by themselves
    node.stop()                               SIGTERM, by pid; the end of the block does it too
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from engine_node.settings import Address, Settings, child_environment
from ironbook import EngineFailed, Key
from ironbook.keystore import KEY_FILE_NAME, KeyFile, make_passphrase_file

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
LOG_TAIL_BYTES = 2_000
SEGMENT_RECORDS = 1 << 16


class EngineNode:
    """One engine node. Nothing runs before `start`; `stop` or the end of the block ends it.

    settings    fields of engine_node.settings.Settings beside those that are set here
    """

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.log_path = directory / "engine.log"
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        passphrase_file = directory / "passphrase"
        self._keys = KeyFile(directory / KEY_FILE_NAME, make_passphrase_file(passphrase_file))
        self._keys.initialise()
        chosen: dict[str, Any] = {
            "data_directory": str(directory),
            "key_passphrase_file": str(passphrase_file),
            "segment_records": SEGMENT_RECORDS,
            "survival_level": "process",
            "snapshot_process": False,
        }
        self.settings = Settings(**(chosen | settings))

    def add_key(self, key_id: str, permissions: int, account: int = 0) -> Key:
        """A new key of the engine, and what a client needs of it."""
        made = self._keys.create_key(key_id, permissions=int(permissions), account=account)
        return Key(key_id=key_id, secret=made.secret)

    @property
    def keys(self) -> KeyFile:
        """The key file, to edit."""
        return self._keys

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; known after the first start and the same after further ones."""
        return ("127.0.0.1", self._port)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the engine process; 0 if none was started."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start and wait until it listens. Raises EngineFailed with the end of its log."""
        self.spawn()
        self.wait_until_listening()

    def spawn(self) -> None:
        """Start the process, without waiting for anything. Raises EngineFailed if one is running."""
        if self.running:
            raise EngineFailed("an engine node must be started once, it is running", detail=f"pid {self.pid}")
        settings = dataclasses.replace(self.settings, listen=(Address("127.0.0.1", self._port),))
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "engine_node", "run", f"--parent={os.getpid()}"],
                env=child_environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C at the terminal is for us; we stop it by pid
            )

    def wait_until_listening(self) -> None:
        """Wait for a process that was spawned. Raises EngineFailed with the end of its log."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._listens():
            if self._process is None or self._process.poll() is not None:
                status = self._process.returncode if self._process is not None else "none"
                raise self._failed(f"an engine node must start, it ended with status {status}")
            if time.monotonic() > deadline_s:
                self.kill()
                raise self._failed(f"an engine node must start within {START_TIMEOUT_S:.0f} s, it did not")
            time.sleep(0.005)

    def kill(self) -> None:
        """kill -9, and wait until the process is gone. Nothing if it isn't there."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait for the orderly end. Raises EngineFailed if it ends otherwise."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            status = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise self._failed(f"an engine node must stop within {STOP_TIMEOUT_S:.0f} s, it did not") from None
        if status not in (0, -signal.SIGKILL):
            raise self._failed(f"an engine node must stop with status 0, was {status}")

    def _listens(self) -> bool:
        """Has the process that was just started written where it listens?"""
        try:
            state = json.loads(self.settings.state_file.read_bytes())
        except (OSError, ValueError):
            return False
        if state.get("pid") != self.pid or not state.get("addresses"):
            return False
        self._port = int(str(state["addresses"][0]).rpartition(":")[2])
        return True

    def _failed(self, message: str) -> EngineFailed:
        try:
            tail = self.log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        except OSError:
            tail = ""
        return EngineFailed(message, detail=f"its log ends: {tail}" if tail else "it wrote no log")

    def __enter__(self) -> EngineNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
        else:
            self.kill()
