"""One subscriber's messages in order, where there may be more of them at first than its socket may hold.

    snapshot, what was missed ──▶ queue ──as the client reads──▶ socket
    what happens meanwhile ─────────┘      (nothing queued: straight to the socket)

A client that reads nothing of a queue for STALL_S is dropped, as one that does not read from its socket is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

from gateway.websocket import Socket

__all__ = ["Paced"]

STALL_S: Final = 10.0
LOOK_S: Final = 0.01
QUEUE_BYTES_MAX: Final = 1 << 26
POLICY: Final = 1008


class Paced:
    """Frames for one socket."""

    __slots__ = ("_bytes", "_moved_s", "_queue", "_room", "_timer", "socket")

    def __init__(self, socket: Socket, buffer_max: int) -> None:
        self.socket = socket
        self._room = buffer_max // 2
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._moved_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def send(self, frames: bytes) -> None:
        """One or more frames, behind those that wait."""
        if self._queue:
            self._wait([frames])
        else:
            self.socket.send_frame(frames)

    def begin(self, frames: Iterable[bytes]) -> None:
        """Many frames: they leave as the client reads."""
        self._wait(frames)
        if self._timer is None and self._queue:
            self._moved_s = asyncio.get_running_loop().time()
            self._pump()

    def end(self) -> None:
        """Nobody wants them any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queue.clear()
        self._bytes = 0

    def _wait(self, frames: Iterable[bytes]) -> None:
        for one in frames:
            self._queue.append(one)
            self._bytes += len(one)
        if self._bytes > QUEUE_BYTES_MAX:
            self._drop()

    def _pump(self) -> None:
        self._timer = None
        socket, queue, loop = self.socket, self._queue, asyncio.get_running_loop()
        if socket.closed:
            self.end()
            return
        while queue and socket.buffered_bytes < self._room:
            one = queue.popleft()
            self._bytes -= len(one)
            self._moved_s = loop.time()
            socket.send_frame(one)
        if not queue:
            return
        if loop.time() - self._moved_s > STALL_S:
            self._drop()
            return
        self._timer = loop.call_later(LOOK_S, self._pump)

    def _drop(self) -> None:
        self.end()
        self.socket.close(POLICY, "slow")
