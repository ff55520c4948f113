"""One WebSocket: frames of the client become whole text messages, answers leave together once a turn of the loop.

    client ──frames──▶ ServerProtocol (RFC 6455) ──▶ whole messages, so many a second ──▶ SocketHandler.received
    client ◀──one write a turn── frames waiting ◀── Socket.send, send_frame (a frame is made once for many sockets)

A client that does not read is dropped alone, as soon as more than socket_buffer_max bytes wait for it; nobody waits
for it, and what others get does not change. Every end of a socket, however it comes, is told to its handler once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import struct
from typing import TYPE_CHECKING, Final, Protocol

from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from gateway.routing import Request

if TYPE_CHECKING:
    from gateway.http import HttpServer

__all__ = ["HandshakeRefused", "Socket", "SocketHandler", "accept", "frame", "shown"]

SLICE_BYTES: Final = 1_024  # parsed at once: between slices the bounds are looked at
FRAMES_A_MESSAGE: Final = 32  # on average; a message in more fragments counts as several
JOIN_BYTES_MAX: Final = 16_384  # up to here frames of one turn are copied together; larger ones are written as they are
CLOSE_S: Final = 3.0  # the other side's part of a close must come within
PINGS_UNANSWERED_MAX: Final = 3
TURN_FRAME_COUNT_MAX: Final = 4_096
REASON_BYTES_MAX: Final = 123  # RFC 6455, 5.5: a control frame has at most 125 bytes, two are the code
CONTROL: Final = frozenset((Opcode.CLOSE, Opcode.PING, Opcode.PONG))
NORMAL, GOING_AWAY, UNSUPPORTED, BAD_TEXT, POLICY, INTERNAL = 1000, 1001, 1003, 1007, 1008, 1011

_logger = logging.getLogger("gateway.websocket")  # of the protocol library, which tells of each socket that ended
_logger.setLevel(logging.CRITICAL)


class SocketHandler(Protocol):
    """What a WebSocket is for. None of these may block."""

    def opened(self, socket: Socket) -> None:
        """It is open: messages may be sent."""

    def received(self, text: bytes) -> None:
        """A whole message, which is UTF-8."""

    def lost(self) -> None:
        """It has ended, whatever ended it. Called once."""


class HandshakeRefused(Exception):
    """A request that asks for a WebSocket and cannot have one. status: of the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def frame(text: bytes) -> bytes:
    """A text message as the bytes that any client gets: make it once, send it to many."""
    size = len(text)
    if size < 126:
        return bytes((0x81, size)) + text
    if size < 65_536:
        return struct.pack("!BBH", 0x81, 126, size) + text
    return struct.pack("!BBQ", 0x81, 127, size) + text


def accept(request: Request, old: bool) -> list[tuple[str, str]]:
    """Headers of the answer 101. old: the request is HTTP/1.0. Raises HandshakeRefused."""
    protocol = ServerProtocol(logger=_logger)
    version = "HTTP/1.0" if old else "HTTP/1.1"
    response = protocol.accept(Handshake(request.path, Headers(request.headers), request.method, version))
    if response.status_code != 101:
        text = f"A WebSocket must be asked for as RFC 6455 says: {protocol.handshake_exc}."
        raise HandshakeRefused(response.status_code, text)
    return [(name, value) for name, value in response.headers.raw_items() if name != "Date"]


def shown(path: str) -> str:
    """A path for the log: what stands behind /ws/ may be the key of somebody's stream."""
    return "/ws/..." if path.startswith("/ws/") else path


class Socket(asyncio.Protocol):
    """One open WebSocket.

    request          that asked for it
    id               unique in this process
    messages_per_s   what the client may send; the handler may set it in `opened`
    closed           nothing more is sent: it ended, is being closed, or was dropped
    """

    __slots__ = (
        "_address", "_closing", "_frame_count", "_handler", "_lost", "_message", "_out", "_out_bytes", "_pings",
        "_protocol", "_queued", "_server", "_transport", "_window_s", "closed", "deadline_s", "id", "messages_per_s",
        "request",
    )  # fmt: skip

    def __init__(
        self, server: HttpServer, transport: asyncio.Transport, request: Request, handler: SocketHandler, address: str
    ) -> None:
        settings = server.settings
        self._address = address
        self.request, self.id, self.messages_per_s = request, server.new_number(), settings.socket_messages_per_s
        self.closed = False
        self.deadline_s = server.now_s + settings.ping_interval / 1000
        self._server, self._transport, self._handler = server, transport, handler
        self._protocol = ServerProtocol(state=OPEN, max_size=settings.socket_message_max, logger=_logger)
        self._message: bytearray | None = None  # the fragments of a message so far
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._queued = False  # in the server's list of sockets to flush
        self._closing = False  # a close frame was sent, or a broken client was told so
        self._lost = False
        self._pings = 0  # unanswered
        self._window_s, self._frame_count = -math.inf, 0

    # ---- For handlers -----------------------------------------------------------------------------------------------

    @property
    def buffered_bytes(self) -> int:
        """What the client has not read yet, as far as this process knows."""
        return 0 if self._lost else self._out_bytes + self._transport.get_write_buffer_size()

    def send(self, text: bytes) -> None:
        """One text message: UTF-8."""
        self.send_frame(frame(text))

    def send_frame(self, ready: bytes) -> None:
        """A frame made by `frame`. Nothing happens if the socket is closed."""
        if self.closed:
            return
        out = self._out
        out.append(ready)
        self._out_bytes += len(ready)
        if not self._queued:
            self._queued = True
            self._server.flush_soon(self)
        elif len(out) >= TURN_FRAME_COUNT_MAX or self._out_bytes > self._server.settings.socket_buffer_max:
            self.flush()

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Tell the client and end; what was sent before is sent first."""
        if self.closed:
            return
        self.flush()
        if self.closed:  # it was too slow even for that
            return
        self.closed = True
        self._protocol.send_close(code, _fitting(reason))
        self._write_protocol()
        self._linger()

    def _fail(self, code: int, reason: str) -> None:
        """The client broke a rule: it is told, and not listened to any more."""
        if self.closed:
            return
        self.flush()
        self.closed = True
        self._protocol.fail(code, reason)
        self._write_protocol()

    # ---- Out --------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what waits, in one call. Called by the server once a turn."""
        out, size = self._out, self._out_bytes
        if not out or self._lost:
            return
        self._out, self._out_bytes = [], 0
        transport, counters = self._transport, self._server.metrics.counters
        if size + transport.get_write_buffer_size() > self._server.settings.socket_buffer_max:
            self._drop()
            return
        counters["socket_messages_sent"] += len(out)
        counters["socket_bytes_sent"] += size
        if len(out) == 1:
            transport.write(out[0])
        elif size <= JOIN_BYTES_MAX:
            transport.write(b"".join(out))
        else:
            transport.writelines(out)

    def flushed(self) -> None:
        """The turn's flush, for the server: the next frame asks for another one."""
        self._queued = False
        self.flush()

    def _drop(self) -> None:
        """The client does not read. It is told behind what it did not read, and has a moment to get there."""
        self.closed = True
        self._server.metrics.counters["sockets_slow"] += 1
        self._server.log.info(
            "socket_slow", request_id=self.request.request_id, peer=self.request.peer, path=shown(self.request.path)
        )
        self._protocol.send_close(POLICY, "slow")
        self._write_protocol()
        self._linger()

    def _write_protocol(self) -> None:
        """Whatever the protocol has to say; its end of the stream ends ours."""
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._end()

    def _linger(self) -> None:
        if not self._closing:
            self._closing = True
            self.deadline_s = self._server.now_s + CLOSE_S

    def _end(self) -> None:
        """All is said. Who broke the rules may still be sending, and closing then would take back what it was told."""
        self.closed = True
        self._linger()
        broken = self._protocol.close_rcvd is None
        if broken and self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    # ---- In ---------------------------------------------------------------------------------------------------------

    def start(self, rest: bytes) -> None:
        """The answer 101 is written. rest: what came behind the handshake."""
        try:
            self._handler.opened(self)
        except Exception as error:
            self._failed(error)
        if rest:
            self.data_received(rest)

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        protocol = self._protocol
        self._server.metrics.counters["http_bytes_received"] += len(data)
        self._pings = 0
        for at in range(0, len(data), SLICE_BYTES):
            if protocol.eof_sent or self._lost:
                return
            protocol.receive_data(data[at : at + SLICE_BYTES])
            self._take()

    def _take(self) -> None:
        if self._protocol.state is not OPEN and not self.closed:  # the client closed, or broke the protocol
            self.flush()  # before the protocol's own close frame
            self.closed = True
        for event in self._protocol.events_received():
            if self._closing:
                break
            if not isinstance(event, Frame):
                continue
            if not self._count(event) or event.opcode in CONTROL:
                continue
            if event.opcode is Opcode.BINARY:
                self._fail(UNSUPPORTED, "messages must be text")
            elif self._message is None and event.fin:
                self._received(bytes(event.data))
            else:
                self._fragment(event)
        self._write_protocol()

    def _fragment(self, part: Frame) -> None:
        if self._message is None:
            self._message = bytearray()
        self._message += part.data
        if part.fin:
            whole, self._message = bytes(self._message), None
            self._received(whole)

    def _count(self, event: Frame) -> bool:
        """Messages, pings and pongs count one each, further fragments a part of one. False: it was too many."""
        now_s = self._server.loop.time()
        if now_s - self._window_s >= 1.0:
            self._window_s, self._frame_count = now_s, 0
        self._frame_count += FRAMES_A_MESSAGE if event.fin else 1
        if self._frame_count <= self.messages_per_s * FRAMES_A_MESSAGE:
            return True
        self._fail(POLICY, f"at most {self.messages_per_s} messages a second")
        return False

    def _received(self, text: bytes) -> None:
        try:
            text.decode()
        except UnicodeDecodeError:
            self._fail(BAD_TEXT, "text must be UTF-8")
            return
        self._server.metrics.counters["socket_messages_received"] += 1
        try:
            self._handler.received(text)
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        request = self.request
        self._server.log.error("socket_failed", error, request_id=request.request_id, path=shown(request.path))
        self.close(INTERNAL, "internal error")

    # ---- Time and end -----------------------------------------------------------------------------------------------

    def overdue(self) -> None:
        """Called by the server when deadline_s has passed: time for a ping, or for an end."""
        if self._closing:
            self._transport.abort()
        elif self._pings >= PINGS_UNANSWERED_MAX:
            self._server.metrics.counters["http_timeouts"] += 1
            self.closed = True
            self._transport.abort()
        else:
            self._pings += 1
            self._protocol.send_ping(b"ironbook")
            self._write_protocol()
            self.deadline_s = self._server.now_s + self._server.settings.ping_interval / 1000

    def eof_received(self) -> bool:
        """The client will send nothing more: without a close frame that is an end."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the transport, once."""
        if self._lost:
            return
        self._lost = self.closed = True
        self._out = []
        self._server.ended(self, self._address)
        try:
            self._handler.lost()
        except Exception as failure:
            self._server.log.error("socket_failed", failure, path=shown(self.request.path))

    def stop(self) -> None:
        """The server stops."""
        self.close(GOING_AWAY, "the gateway stops")

    def abort(self) -> None:
        """Now, whatever is under way."""
        self.closed = True
        self._transport.abort()


def _fitting(reason: str) -> str:
    return reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
