"""Structured logs: one JSON object a line, written by a thread of their own.

    hot thread ── (time, level, event, fields) ──▶ bounded queue ──▶ writer thread ──▶ redaction ── orjson ──▶ file
                        │ full                                            ▲
                        └── counted, and told by the next line: {"event":"log_dropped","count":…}

The hot thread pays for one append: no formatting, no system call unless the writer sleeps. Nothing here ever raises
into the caller, and a log that cannot be written counts its losses and goes on.

Secrets: bytes are never written (only how many there were), nor is the value of a field whose name says that it is one.
"""

from __future__ import annotations

import collections
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import orjson

from engine_node.errors import SettingsError, parts_of

__all__ = ["LEVELS", "Log"]

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
WRITE_ENTRIES_MAX: Final = 256  # entries a write call
FLUSH_POLL_S: Final = 0.005
_WITHHELD_NAMES: Final = ("secret", "passphrase", "password", "token", "private", "mac")
_WITHHELD: Final = "[withheld]"

_Entry = tuple[int, str, str, Mapping[str, object]]


class Log:
    """A log with its writer thread. Any thread may write; `close` flushes within a bound.

    descriptor  where lines go; owned by the caller unless `open` made it.
    level       the least level that is written: debug, info, warning, error.
    queue_max   entries waiting at most; what comes beyond is dropped and counted.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        level: str = "info",
        queue_max: int = 10_000,
        base: Mapping[str, object] | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._descriptor = descriptor
        self._owned = False
        self._least = LEVELS[level]
        self._queue_max = queue_max
        self._base = dict(base or {})
        self._now_ns = now_ns
        self._queue: collections.deque[_Entry] = collections.deque()
        self._wake = threading.Semaphore(0)
        self._writing = False
        self._closing = False
        self.dropped_count = 0  # since the start; told in the log too
        self.lost_count = 0  # entries whose write failed
        self._dropped_told = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, file: str, *, level: str, queue_max: int, base: Mapping[str, object] | None = None) -> Log:
        """Append to a file (mode 0640), or write to standard error if the name is empty. Raises SettingsError."""
        if not file:
            return cls(sys.stderr.fileno(), level=level, queue_max=queue_max, base=base)
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise SettingsError(
                f"log_file must be writable: {error.strerror}",
                detail=file,
                hint="check the path and its owner, or leave it empty",
            ) from None
        log = cls(descriptor, level=level, queue_max=queue_max, base=base)
        log._owned = True
        return log

    def debug(self, event: str, **fields: object) -> None:
        """For whoever looks for a fault."""
        self.write("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """What happens in ordinary life."""
        self.write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Someone should look at it; work goes on."""
        self.write("warning", event, fields)

    def error(self, event: str, cause: BaseException | None = None, **fields: object) -> None:
        """Something is broken. An exception adds its code, message, detail and hint."""
        self.write("error", event, fields if cause is None else {**fields, **parts_of(cause)})

    def write(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Queue one entry. Never blocks, never raises; a full queue drops it and counts."""
        if LEVELS[level] < self._least:
            return
        if self._closing or len(self._queue) >= self._queue_max:
            self.dropped_count += 1
            return
        self._queue.append((self._now_ns(), level, event, fields))
        self._wake.release()

    def flush(self, timeout_s: float = 1.0) -> bool:
        """Wait until all that was queued is written, or the time is up. Returns whether it is."""
        deadline = time.monotonic() + timeout_s
        while self._queue or self._writing:
            if time.monotonic() >= deadline or not self._thread.is_alive():
                return False
            time.sleep(FLUSH_POLL_S)
        return True

    def close(self, timeout_s: float = 2.0) -> None:
        """Flush within the bound and end the thread."""
        self.flush(timeout_s)
        self._closing = True
        self._wake.release()
        self._thread.join(timeout_s)
        if self._owned and not self._thread.is_alive():
            os.close(self._descriptor)
            self._owned = False

    def _run(self) -> None:
        while not self._closing or self._queue:
            self._wake.acquire()
            self._writing = True
            while self._queue:
                self._write_some()
            self._writing = False

    def _write_some(self) -> None:
        count = min(len(self._queue), WRITE_ENTRIES_MAX)
        lines = [self._line(*self._queue.popleft()) for _ in range(count)]
        dropped = self.dropped_count
        if dropped != self._dropped_told:
            fields = {"count": dropped - self._dropped_told, "total": dropped}
            lines.append(self._line(self._now_ns(), "warning", "log_dropped", fields))
            self._dropped_told = dropped
        data = memoryview(b"".join(lines))
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            self.lost_count += count

    def _line(self, time_ns: int, level: str, event: str, fields: Mapping[str, object]) -> bytes:
        entry: dict[str, object] = {"time_ns": time_ns, "level": level, "event": event, **self._base}
        for name, value in fields.items():
            entry[name] = _WITHHELD if any(word in name.lower() for word in _WITHHELD_NAMES) else value
        try:
            return orjson.dumps(entry, default=_plain, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
        except (TypeError, ValueError) as error:
            told = {"time_ns": time_ns, "level": level, "event": event, "unwritable": type(error).__name__}
            return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


def _plain(value: object) -> object:
    """What orjson does not know. Bytes may be secret, so only their number is told."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    return str(value)
