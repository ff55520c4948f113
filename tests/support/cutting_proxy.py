"""A TCP proxy that cuts the line on command, so that losing a connection is an ordinary test.

client ──▶ proxy ──▶ engine          cut()                    both sides of every connection, at once
                                     cut_after(bytes_count)   once so many further bytes went to the engine
                                     hold()                   accepts, and lets nothing through; after=n: the first n
                                                              connections are let through
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading


class CuttingProxy:
    """Listens on a free port of the loopback; a context manager.

    connections  how many were accepted
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.connections = 0
        self.up_bytes = 0
        self._cut_at: int | None = None
        self._held_after: int | None = None
        self._refusing = False
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._stopped = False

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> CuttingProxy:
        self._start(self._accept)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def cut(self) -> None:
        """Reset every connection."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _reset(*pair)

    def cut_after(self, byte_count: int) -> None:
        """Reset every connection once so many further bytes went to the engine; what is beyond is lost."""
        self._cut_at = self.up_bytes + byte_count

    def hold(self, held: bool = True, *, after: int = 0) -> None:
        """New connections are accepted and nothing is let through, but for so many first ones; or again as usual."""
        self._held_after = after if held else None

    def refuse(self, refusing: bool = True) -> None:
        """New connections are closed at once; or again as usual."""
        self._refusing = refusing

    def _start(self, run: object, *args: object) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopped:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self._refusing:
                near.close()
                continue
            try:
                far = socket.create_connection(self.target)
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.append((near, far))
            if self._held_after is not None and self.connections > self._held_after:
                continue
            self._start(self._pump, near, far, True)
            self._start(self._pump, far, near, False)

    def _pump(self, source: socket.socket, sink: socket.socket, upward: bool) -> None:
        try:
            while data := source.recv(65_536):
                if upward and self._cut_at is not None and self.up_bytes + len(data) >= self._cut_at:
                    sink.sendall(data[: self._cut_at - self.up_bytes])
                    self._cut_at = None
                    break
                self.up_bytes += len(data) if upward else 0
                sink.sendall(data)
        except OSError:
            pass
        with self._lock:
            self._pairs = [pair for pair in self._pairs if source not in pair]
        _reset(source, sink)


def _reset(*ends: socket.socket) -> None:
    """Close with a reset instead of an orderly end, as a broken line looks to both sides."""
    for end in ends:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.shutdown(socket.SHUT_RDWR)
        end.close()
