"""A line: one TCP connection, TLS or not, used by one thread.

The socket blocks with a receive time-out in the kernel (SO_RCVTIMEO), so that a read costs one system call and no
poll. TLS works on memory buffers beside it: the socket path is the same with and without. A write never blocks for
long: what the kernel does not take at once is written in pieces, and whatever the engine sends meanwhile is read, so
that neither side waits for the other for ever.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
from collections.abc import Callable

from ironbook._errors import ConnectionFailed

READ_BYTES = 65_536
TICK_S = 0.1  # a read gives up after this long, so that its caller can look at the clock
_TLS_PIECE_BYTES = 16_384


class Line:
    """An open connection. Every method but close raises OSError when the line is lost."""

    __slots__ = ("_buffer", "_incoming", "_outgoing", "_socket", "_tls", "_view")

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._buffer = bytearray(READ_BYTES)
        self._view = memoryview(self._buffer)
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    @classmethod
    def open(
        cls, host: str, port: int, *, timeout_s: float, tls: ssl.SSLContext | None, tls_server_name: str | None
    ) -> Line:
        """Connect, and shake hands if `tls` is given. Raises ConnectionFailed."""
        try:
            connected = socket.create_connection((host, port), timeout_s)
        except OSError as error:
            raise ConnectionFailed(
                f"the engine must answer at {host}:{port}, the system says: {error.strerror or error}",
                hint="is it running, and is this its client address? `ironbook up` prints where it listens",
            ) from error
        line = cls(connected)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.settimeout(timeout_s)
            if tls is not None:
                line._shake_hands(tls, tls_server_name or host)
            connected.settimeout(None)
            seconds, micros = divmod(round(TICK_S * 1e6), 1_000_000)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", seconds, micros))
        except (OSError, ssl.SSLError) as error:
            line.close()
            raise ConnectionFailed(
                f"a {'TLS ' if tls else ''}connection must come about within {timeout_s} s, the system says: {error}",
                detail=f"{host}:{port}",
                hint="check the certificate and the name in it (tls_server_name)" if tls else "try again",
            ) from error
        return line

    def _shake_hands(self, context: ssl.SSLContext, server_name: str) -> None:
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._socket.sendall(self._outgoing.read())
                data = self._socket.recv(READ_BYTES)
                if not data:
                    raise ConnectionResetError("the peer closed during the TLS handshake") from None
                self._incoming.write(data)
            except ssl.SSLError:
                self._socket.sendall(self._outgoing.read())  # the alert that tells the peer why
                raise
            else:
                self._socket.sendall(self._outgoing.read())
                self._tls = tls
                return

    def write(self, data: bytes, on_read: Callable[[memoryview], None], timeout_s: float) -> None:
        """Write all of it; what arrives meanwhile goes to `on_read`. Raises TimeoutError after a standstill."""
        if self._tls is None:
            try:
                written = self._socket.send(data, socket.MSG_DONTWAIT)
            except BlockingIOError:
                written = 0
            if written == len(data):
                return
            self._write_rest(memoryview(data)[written:], on_read, timeout_s)
            return
        rest = memoryview(data)
        while rest:
            self._tls.write(rest[:_TLS_PIECE_BYTES])
            rest = rest[_TLS_PIECE_BYTES:]
            self._write_rest(memoryview(self._outgoing.read()), on_read, timeout_s)

    def _write_rest(self, rest: memoryview, on_read: Callable[[memoryview], None], timeout_s: float) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | select.POLLOUT)
        while rest:
            ready = poll.poll(timeout_s * 1000)
            if not ready:
                raise TimeoutError(f"nothing could be written for {timeout_s} s")
            events = ready[0][1]
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                got = self.read()
                if got:
                    on_read(got)
            if events & select.POLLOUT:
                try:
                    rest = rest[self._socket.send(rest, socket.MSG_DONTWAIT) :]
                except BlockingIOError:
                    continue

    def read(self) -> memoryview | None:
        """What has arrived, waiting up to TICK_S for it; None if nothing did. Valid until the next read.

        Raises ConnectionResetError at the end of the line.
        """
        try:
            count = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return None
        if count == 0:
            raise ConnectionResetError("the peer closed the connection")
        if self._tls is None:
            return self._view[:count]
        return self._decrypt(count)

    def readable(self, timeout_s: float) -> bool:
        """Would read() return something at once, now or within `timeout_s`?"""
        if self._tls is not None and self._tls.pending():
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout_s) * 1000))

    def _decrypt(self, count: int) -> memoryview | None:
        self._incoming.write(self._view[:count])
        tls = self._tls
        if tls is None:
            return None
        parts = []
        try:
            while part := tls.read(READ_BYTES):
                parts.append(part)
            if not parts:
                raise ConnectionResetError("the peer ended TLS")
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            if not parts:
                raise ConnectionResetError("the peer ended TLS") from None
        if self._outgoing.pending:
            self._socket.sendall(self._outgoing.read())
        return memoryview(b"".join(parts)) if parts else None

    def close(self) -> None:
        """Close; never raises."""
        try:
            if self._tls is not None:
                self._tls.unwrap()
        except (OSError, ssl.SSLError):
            pass
        try:
            if self._outgoing.pending:
                self._socket.send(self._outgoing.read(), socket.MSG_DONTWAIT)
        except OSError:
            pass
        self._socket.close()
