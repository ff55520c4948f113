"""The process `ironbook secrets follow`: looks again and again, relays what is held, and says when all is there.

    look   every poll_interval_s, a fifth more or less; later after each failure, up to 5 minutes; SIGHUP: at once
    relay  every relay_interval_s, by a connection of its own; ever later while the database is away
    ready  systemd's READY=1 and the file <directory>/ready, as soon as everything wanted is there
    stop   SIGTERM, SIGINT: what stopped meanwhile is relayed once more, then the follower's own rows go

The log is one JSON object a line on standard error. A problem is told when it comes, when it changes and when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from ironbook._errors import IronbookError
from ironbook.secret_store.aws import SecretsManager, Store
from ironbook.secret_store.errors import FilesUnwritable, FollowIncomplete, SecretStoreError
from ironbook.secret_store.files import Directory
from ironbook.secret_store.follow import READY_FILE, Follower, Look
from ironbook.secret_store.relay import Relay, gather
from ironbook.secret_store.settings import FollowSettings

__all__ = ["follow", "follow_once"]

LOOK_WAIT_S_MAX: Final = 300.0  # while Secrets Manager is away
UNREADY_WAIT_S_MAX: Final = 30.0  # the same, while processes wait for their first files
RELAY_WAIT_S_MAX: Final = 60.0  # while the database is away
JITTER: Final = 0.2  # of a wait, more or less: followers that start together do not ask together
STOP_TIMEOUT_S: Final = 8.0
RELAYED_FILE: Final = "relayed.json"
Tell = Callable[[str, str, dict[str, object]], None]


def tell_standard_error(level: str, event: str, fields: dict[str, object]) -> None:
    """A line of the log."""
    line = {"time_ns": time.time_ns(), "level": level, "event": event, **fields}
    sys.stderr.write(json.dumps(line, default=str) + "\n")
    sys.stderr.flush()


def next_wait_s(interval_s: float, failed_count: int, most_s: float, unit: float) -> float:
    """Seconds until the next attempt: the interval, doubled with each failure in a row. unit: 0 to 1, for jitter."""
    wait_s = max(interval_s, min(interval_s * 2.0 ** min(failed_count, 16), most_s))
    return wait_s * (1 - JITTER + 2 * JITTER * unit)


def follow(settings: FollowSettings, tell: Tell = tell_standard_error) -> None:
    """Follow until a signal. Raises what keeps it from beginning."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is somebody to look again
    directory = Directory(settings.directory)
    directory.take()
    try:
        directory.remove(READY_FILE)
        store = SecretsManager(settings.region)
        asyncio.run(_Process(settings, store, directory, tell).run())
    finally:
        directory.release()


def follow_once(settings: FollowSettings, tell: Tell = tell_standard_error) -> Look:
    """One look, and what is held is relayed once. Raises FollowIncomplete, and what keeps it from beginning."""
    directory = Directory(settings.directory)
    directory.take()
    try:
        process = _Process(settings, SecretsManager(settings.region), directory, tell)
        return asyncio.run(process.once())
    finally:
        directory.release()


class _Told:
    """Which problems were told, so that each is told once."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._known: dict[str, dict[str, str]] = {}

    def now(self, kind: str, level: str, problems: dict[str, dict[str, object]]) -> None:
        """These are the problems of a kind now."""
        known = self._known.setdefault(kind, {})
        for what, fields in problems.items():
            mark = json.dumps(fields, default=str, sort_keys=True)
            if known.get(what) != mark:
                known[what] = mark
                self._tell(level, f"{kind}_problem", {"what": what, **fields})
        for what in [one for one in known if one not in problems]:
            del known[what]
            self._tell("info", f"{kind}_mended", {"what": what})


class _Process:
    """One follower's loop. random_unit: 0 to 1, for jitter."""

    def __init__(
        self,
        settings: FollowSettings,
        store: Store,
        directory: Directory,
        tell: Tell,
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._directory, self._tell = settings, directory, tell
        self._random_unit = random_unit
        self._follower = Follower(settings, store, directory)
        self._told = _Told(tell)
        self._ready = False
        self._again = asyncio.Event()  # SIGHUP: look at once
        self._stop = asyncio.Event()
        self._living: dict[str, str] = _load_relayed(directory)  # process by path, as the table has them
        self._saved_living = dict(self._living)
        url_file = settings.database_url_file
        name = f"follower-{settings.directory.name}"
        self._relay = Relay(url_file, name) if url_file is not None else None

    async def run(self) -> None:
        """Until a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._again.set)
        self._tell("info", "following", {"directory": str(self._settings.directory), "process": os.getpid()})
        tasks = [asyncio.create_task(self._look_on()), asyncio.create_task(self._relay_on())]
        stop = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
        _notify("STOPPING=1")
        self._follower.stop()
        for task in (*tasks, stop):
            task.cancel()
        await asyncio.wait([*tasks, stop], timeout=STOP_TIMEOUT_S)
        for task in done:
            if task is not stop:
                task.result()  # a bug of ours: nothing else ends these
        await self._end_relay()
        self._tell("info", "stopped", {})

    async def once(self) -> Look:
        """One look. Raises FollowIncomplete."""
        look = await self._look()
        if self._relay is not None:
            await self._relay_once()
            await self._relay.close()
        if look.problems:
            raise FollowIncomplete(
                f"everything that is wanted must be there, {len(look.problems)} of it is not",
                detail="; ".join(f"{what}: {_short(error)}" for what, error in sorted(look.problems.items()))[:2000],
                hint="what could be brought was; mend the rest and look again",
            )
        return look

    # ---- Looking -----------------------------------------------------------------------------------------------------

    async def _look_on(self) -> None:
        failed_count = 0
        while True:
            look = await self._look()
            failed_count = 0 if look.reached else failed_count + 1
            most_s = LOOK_WAIT_S_MAX if self._ready else UNREADY_WAIT_S_MAX
            wait_s = next_wait_s(self._settings.poll_interval_s, failed_count, most_s, self._random_unit())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), wait_s)
            self._again.clear()

    async def _look(self) -> Look:
        look = await asyncio.to_thread(self._follower.look)
        if look.changed:
            self._tell("info", "secrets_changed", {"what": look.changed})
        self._told.now("secret", "error", {what: _parts(error) for what, error in look.problems.items()})
        self._told.now("secret_warning", "warning", {what: _parts(error) for what, error in look.warnings.items()})
        if look.complete and not self._ready:
            with contextlib.suppress(FilesUnwritable):  # the next look tries again
                await asyncio.to_thread(self._directory.write, READY_FILE, b"everything was brought\n")
                self._ready = True
                self._tell("info", "ready", {})
                _notify("READY=1")
        _notify(f"STATUS={len(look.problems)} problems" if look.problems else "STATUS=up to date")
        return look

    # ---- Relaying ----------------------------------------------------------------------------------------------------

    async def _relay_on(self) -> None:
        failed_count = 0
        while self._relay is not None:
            failed_count = 0 if await self._relay_once() else failed_count + 1
            interval_s = self._settings.relay_interval_s
            await asyncio.sleep(next_wait_s(interval_s, failed_count, RELAY_WAIT_S_MAX, self._random_unit()))
        await asyncio.Event().wait()

    async def _relay_once(self) -> bool:
        if self._relay is None:
            return True
        found = await asyncio.to_thread(gather, self._settings.held_files, self._living)
        self._told.now("held", "warning", {path: {"message": why} for path, why in found.problems.items()})
        try:
            await self._relay.write(found, time.time_ns())
        except IronbookError as error:
            self._told.now("holders", "error", {"database": _parts(error)})
            # What stopped is tried again, so it stays among those that the table has.
            self._living = {path: one for path, one in self._living.items() if path not in found.dead} | found.paths
            return False
        self._told.now("holders", "error", {})
        self._living = found.paths
        if self._living != self._saved_living:
            with contextlib.suppress(SecretStoreError):
                data = json.dumps(self._living, sort_keys=True).encode()
                await asyncio.to_thread(self._directory.write, RELAYED_FILE, data)
                self._saved_living = dict(self._living)
        return True

    async def _end_relay(self) -> None:
        """Processes that stopped just before the follower: nobody else would take their rows away."""
        if self._relay is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._relay_once()
                    await self._relay.close()


def _load_relayed(directory: Directory) -> dict[str, str]:
    try:
        document = json.loads(directory.read(RELAYED_FILE) or b"{}")
        return {str(path): str(process) for path, process in document.items()}
    except (ValueError, AttributeError, RecursionError):
        return {}


def _parts(error: Any) -> dict[str, object]:
    return {"error": error.code, "message": error.message, "detail": error.detail, "hint": error.hint}


def _short(error: Any) -> str:
    return f"{error.message} ({error.detail})" if error.detail else str(error.message)


def _notify(state: str) -> None:
    """Tell systemd (Type=notify), if it started us."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.connect("\0" + path[1:] if path.startswith("@") else path)
        sender.sendall(state.encode())
