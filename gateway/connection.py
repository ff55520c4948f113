"""HTTP/1.1 on the loop's own sockets: bytes become requests, answers become bytes, and everything is bounded.

    bytes ─▶ llhttp ─▶ Request ─▶ handle ─▶ Response, or a future of one ─▶ one write
                │         │
                │         └─ asks for a WebSocket: upgrade ─▶ SocketHandler ─▶ the connection is a Socket from then on
                └─ refused here: {"code", "msg"}, then the connection ends

A connection is in one phase, and each phase has its time: idle, headers, body, busy (a handler's future is awaited;
the handler bounds that), writing (the client does not read) and leaving (all is written; what still comes is thrown
away for a moment, since closing at once would take the answer back). One timer of the server looks at all of them.

Pipelined requests are answered in order. Of what one client sends at once only a little is parsed in a turn of the
loop, and while its answers are not read nothing more is taken from it.
"""

from __future__ import annotations

import asyncio
import enum
import http
import ipaddress
import math
from collections import deque
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote_to_bytes

import msgspec
from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from gateway import errors, websocket
from gateway.errors import Problem
from gateway.routing import Reply, Request, Response
from gateway.websocket import HandshakeRefused, Socket, shown

if TYPE_CHECKING:
    from gateway.http import HttpServer

__all__ = ["LINGER_S", "TOO_MANY", "Connection", "Phase", "Turn", "plain_address", "refusal"]

SLICE_BYTES: Final = 4_096  # parsed at once
WAITING_COUNT_MAX: Final = 32  # requests of one connection that wait, or are answered in one turn of the loop
HEADER_OVERHEAD_BYTES: Final = 32  # what a header counts beside its name and value, so that there are not too many
TARGET_BYTES_MAX: Final = 8_192
JOIN_BYTES_MAX: Final = 65_536  # up to here head and body are copied together
LINGER_S: Final = 1.0
LINGER_BYTES_MAX: Final = 1 << 20
DRAIN_BYTES_MIN: Final = 16_384  # a client must read so much of an answer within write_timeout
# May come once: what they say decides where a request ends, who sent it and what it is.
SINGLE: Final = frozenset(
    (
        "host", "content-length", "content-type", "transfer-encoding", "origin", "authorization", "expect",
        "x-mbx-apikey", "x-ironbook-request",
    )
)  # fmt: skip

HEADER_LINE: Final = "\r\n%s: %s".__mod__
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
BARE: Final = frozenset((204, 304))  # answers that never have a body
STATUS_LINES: Final = {one.value: f"HTTP/1.1 {one.value} {one.phrase}".encode() for one in http.HTTPStatus}
_NAMES: Final[dict[bytes, str]] = {}  # header names as they came, in lower case; bounded
_PATHS: Final[dict[bytes, str]] = {}  # paths as they came, checked and decoded; bounded
NAME_COUNT_MAX: Final = 512


class Phase(enum.Enum):
    """What a connection is doing."""

    IDLE = enum.auto()
    HEADERS = enum.auto()
    BODY = enum.auto()
    BUSY = enum.auto()
    WRITING = enum.auto()
    LEAVING = enum.auto()


class Refused(Exception):
    """What came is no request that can be handed on."""

    def __init__(self, problem: Problem, text: str = "") -> None:
        super().__init__(text or problem.text)
        self.problem = problem


class Turn:
    """A request whose answer is due, in order; or, where bytes were refused here, the answer itself."""

    __slots__ = ("keep", "old", "request", "request_id", "response", "upgrade")

    def __init__(self, request: Request | None, keep: bool, old: bool, request_id: str = "") -> None:
        self.request, self.keep, self.old, self.request_id = request, keep, old, request_id
        self.response = NOTHING
        self.upgrade = False


def refusal(problem: Problem, text: str = "") -> Response:
    """A refusal below routing."""
    return Response(problem.status, msgspec.json.encode({"code": problem.binance, "msg": text or problem.text}))


SPENT: Final = HttpRequestParser(object())
NOTHING: Final = Response(500, b"")
TOO_MANY: Final = (
    STATUS_LINES[503]
    + b"\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: "
    + b"%d\r\n\r\n%s" % (len(refusal(errors.TOO_MANY_CONNECTIONS).body), refusal(errors.TOO_MANY_CONNECTIONS).body)
)


class Connection(asyncio.Protocol):
    """One connection while it speaks HTTP. The methods that have no underscore are called by transport and parser."""

    __slots__ = (
        "_address", "_blocked_bytes", "_body", "_closing", "_current", "_eof", "_found", "_fresh", "_gone",
        "_head_bytes", "_head_bytes_max", "_headers", "_in_body", "_old", "_parser", "_part_bytes", "_phase",
        "_reading", "_receiving", "_server", "_stalled", "_thrown_bytes", "_transport", "_turn_count", "_unread",
        "_upgrading", "_url", "_waiting", "arriving", "deadline_s",
    )  # fmt: skip

    def __init__(self, server: HttpServer, address: str) -> None:
        self.deadline_s = math.inf
        self.arriving: asyncio.Task[None] | None = None  # until there is a transport
        self._server, self._address = server, address
        self._transport: asyncio.Transport
        self._parser = HttpRequestParser(self)
        self._phase, self._fresh = Phase.HEADERS, True
        # What is being received
        self._receiving = self._in_body = self._old = False
        self._url = b""
        self._headers: dict[str, str] = {}
        self._found = self._headers  # of the request whose body is received
        self._head_bytes_max = server.settings.header_bytes_max
        self._head_bytes = self._part_bytes = 0  # counted by callbacks; at most so many more came
        self._body: bytes | bytearray = b""
        self._upgrading: Turn | None = None
        # What is due
        self._current: Turn | None = None  # its answer is awaited
        self._waiting: deque[Turn] = deque()
        self._turn_count = 0  # requests of this turn of the loop
        self._unread = b""  # received, not parsed
        # How it stands
        self._reading = True
        self._stalled = False  # the client does not read
        self._closing = False  # nothing more is parsed: what is due is the last
        self._eof = self._gone = False
        self._thrown_bytes = self._blocked_bytes = 0

    # ---- Begin and end ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It may speak."""
        self._transport = cast(asyncio.Transport, transport)  # a duck: the loop's own class
        self._settle()

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone. An answer that is still awaited will be thrown away: what it did is done."""
        if self._gone:
            return
        self._gone = self._closing = True
        self._unread = b""
        self._waiting.clear()
        self._parser = SPENT  # its callbacks are methods of this object: a circle that need not wait for the collector
        self._server.ended(self, self._address)

    def stop(self) -> None:
        """The server stops: what is under way is answered, nothing new is taken."""
        if self.arriving is not None:
            self.arriving.cancel()
        elif self._phase is Phase.IDLE:
            self._transport.close()

    def abort(self) -> None:
        """Now, whatever is under way."""
        if self.arriving is not None:
            self.arriving.cancel()
        else:
            self._transport.abort()

    def _leave(self) -> None:
        """All is said. The client has a moment to read it: closing while it still sends would take it back."""
        self._closing, self._unread, self._phase = True, b"", Phase.LEAVING
        self._waiting.clear()
        self._blocked_bytes = self._transport.get_write_buffer_size()
        limit_s = self._server.limits_s[Phase.WRITING] if self._blocked_bytes else LINGER_S
        self.deadline_s = self._server.now_s + limit_s
        self._read(True)
        if self._eof or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()

    def eof_received(self) -> bool:
        """The client sends nothing more; it gets the answers that are due."""
        self._eof = True
        if self._phase is Phase.LEAVING or (self._current is None and not self._waiting and not self._unread):
            return False
        return self._transport.can_write_eof()

    # ---- Time -------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Which phase this is, and when its time is up."""
        if self._phase is Phase.LEAVING or self._gone:
            return
        if self._stalled:
            phase = Phase.WRITING
        elif self._current is not None:
            phase = Phase.BUSY
        elif self._receiving:
            phase = Phase.BODY if self._in_body else Phase.HEADERS
        else:
            phase = Phase.IDLE
        if phase is not self._phase or self._fresh:
            self._phase, self._fresh = phase, False
            self.deadline_s = self._server.now_s + self._server.limits_s[phase]

    def overdue(self) -> None:
        """The time of a phase is up."""
        phase, transport = self._phase, self._transport
        if phase is Phase.IDLE:
            transport.close()
        elif phase is Phase.HEADERS or phase is Phase.BODY:
            self._server.metrics.counters["http_timeouts"] += 1
            self._refuse(Refused(errors.TOO_LATE))
        else:
            left_bytes = transport.get_write_buffer_size()
            if 0 < left_bytes <= self._blocked_bytes - DRAIN_BYTES_MIN:  # it reads, slowly
                self._blocked_bytes = left_bytes
                self.deadline_s = self._server.now_s + self._server.limits_s[Phase.WRITING]
                return
            self._server.metrics.counters["http_timeouts"] += left_bytes > 0
            transport.abort()

    # ---- In: bytes --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        self._server.metrics.counters["http_bytes_received"] += len(data)
        if self._closing:
            self._thrown_bytes += len(data)
            if self._thrown_bytes > LINGER_BYTES_MAX:
                self._transport.abort()
        elif self._unread or self._blocked():
            self._unread += data
            self._read(False)
        elif len(data) <= SLICE_BYTES:  # as nearly always
            self._turn_count = 0
            self._feed(data)
            if self._upgrading is not None:
                self._take(self._upgrading)
            self._settle()
        else:
            self._parse(data)
            self._settle()

    def _blocked(self) -> bool:
        """Must what came wait, since so much is due already?"""
        return self._stalled or self._upgrading is not None or len(self._waiting) >= WAITING_COUNT_MAX

    def _parse(self, data: bytes) -> None:
        """A slice after the other, until enough is due; the rest waits for a later turn of the loop."""
        self._turn_count = 0
        at = 0
        while at < len(data) and not self._closing:
            if self._blocked() or self._turn_count >= WAITING_COUNT_MAX:
                self._unread += data[at:]
                self._read(False)
                if not self._blocked() and self._current is None:
                    self._server.loop.call_soon(self._go_on)
                break
            self._feed(data[at : at + SLICE_BYTES])
            at += SLICE_BYTES
        if self._upgrading is not None:
            self._take(self._upgrading)

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._upgraded(data[upgrade.args[0] :])
            return
        except HttpParserCallbackError as error:
            self._refuse(error.__context__ or error)
            return
        except HttpParserError as error:
            self._refuse(_told_by_parser(error))
            return
        if self._receiving and not self._in_body:
            self._part_bytes += len(data)
            if self._part_bytes > self._server.settings.header_bytes_max + SLICE_BYTES:
                self._refuse(Refused(errors.HEADERS_TOO_LARGE))

    def _read(self, wanted: bool) -> None:
        if wanted is not self._reading and not self._transport.is_closing():
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    # ---- In: what the parser finds ----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._receiving, self._in_body, self._fresh = True, False, True
        self._url, self._headers, self._body = b"", {}, b""
        self._head_bytes = self._part_bytes = 0

    def on_url(self, url: bytes) -> None:
        """The request's target, or a part of it."""
        self._url += url
        self._head_bytes += len(url)
        if len(self._url) > TARGET_BYTES_MAX:
            raise Refused(errors.TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; of trailers, behind a chunked body, only the size counts."""
        size = self._head_bytes = self._head_bytes + len(name) + len(value) + HEADER_OVERHEAD_BYTES
        if size > self._head_bytes_max:
            raise Refused(errors.HEADERS_TOO_LARGE)
        known = _NAMES.get(name) or _lower(name)
        headers = self._headers
        if known not in headers:
            headers[known] = value.decode("latin-1")
        elif known in SINGLE:
            raise Refused(errors.MALFORMED, f"The header {known} must come once.")
        else:
            headers[known] += f"{'; ' if known == 'cookie' else ', '}{value.decode('latin-1')}"

    def on_headers_complete(self) -> None:
        """All headers are there: may the body come?"""
        parser = self._parser
        headers = self._found = self._headers
        self._headers = {}  # of trailers, which nobody reads
        self._in_body = self._fresh = True
        version = parser.get_http_version()
        self._old = version == "1.0"
        if not self._old and version != "1.1":
            raise Refused(errors.VERSION)
        if "host" not in headers and not self._old:
            raise Refused(errors.MALFORMED, "The header host must be there.")
        coding = headers.get("transfer-encoding")
        if coding is not None:
            if self._old or "content-length" in headers:
                raise Refused(errors.MALFORMED, "A body must have one length.")
            if coding.lower() != "chunked":
                raise Refused(errors.CODING)
        length = headers.get("content-length")
        if length is not None and int(length) > self._server.settings.body_bytes_max:
            raise Refused(errors.BODY_TOO_LARGE)
        if "expect" in headers and not self._old:
            if headers["expect"].lower() != "100-continue":
                raise Refused(errors.EXPECTATION)
            if self._current is None and not self._waiting:
                self._transport.write(CONTINUE)
        if parser.should_upgrade() and parser.get_method() == b"CONNECT":
            raise Refused(errors.METHOD_NOT_ALLOWED, "This is no proxy.")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if len(self._body) + len(body) > self._server.settings.body_bytes_max:
            raise Refused(errors.BODY_TOO_LARGE)
        if not self._body:
            self._body = body
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body

    def on_message_complete(self) -> None:
        """A whole request."""
        server, parser, headers = self._server, self._parser, self._found
        self._receiving, self._fresh = False, True
        path, query = _target(self._url)
        peer = self._address
        if server.trusted:
            peer = server.client(peer, headers.get("x-forwarded-for", ""))
        body = self._body if isinstance(self._body, bytes) else bytes(self._body)
        request = Request(
            parser.get_method().decode("latin-1"), path, query, headers, body, peer, server.new_id(), server.now_ns()
        )
        turn = Turn(request, parser.should_keep_alive(), self._old)
        if parser.should_upgrade():
            self._upgrading = turn  # which bytes of this slice are no longer HTTP is told next
            return
        if not turn.keep:
            self._closing = True
        if self._waiting or self._current is not None or self._stalled:
            self._take(turn)
        else:
            self._turn_count += 1
            self._start(turn)

    def _upgraded(self, rest: bytes) -> None:
        """The request asks for another protocol; only one is spoken here, any other is not heard."""
        turn, self._upgrading = self._upgrading, None
        if turn is None or turn.request is None:
            return
        if turn.request.headers.get("upgrade", "").lower() == "websocket":
            turn.upgrade, self._upgrading, self._unread = True, turn, rest
            self._read(False)
        else:
            self._closing, turn.keep = True, False
            self._take(turn)

    def _refuse(self, error: BaseException) -> None:
        """What came is no request: say so in its turn, and end."""
        if self._closing:
            return
        self._closing, self._receiving = True, False
        server = self._server
        turn = Turn(None, False, False, server.new_id())
        if isinstance(error, Refused):
            server.metrics.counters["http_bad_requests"] += 1
            turn.response = refusal(error.problem, str(error))
        else:
            server.log.error("request_raised", error, request_id=turn.request_id)
            turn.response = refusal(errors.INTERNAL)
        self._take(turn)
        self._settle()

    # ---- Out --------------------------------------------------------------------------------------------------------

    def _take(self, turn: Turn) -> None:
        """Answer it now, or in its turn."""
        self._turn_count += 1
        if self._waiting or self._current is not None or self._stalled:
            self._waiting.append(turn)
        else:
            self._start(turn)

    def _start(self, turn: Turn) -> None:
        request = turn.request
        if request is None:
            self._send(turn, turn.response)
            return
        if turn.upgrade:
            self._open_socket(turn, request)
            return
        try:
            answer = self._server.handle(request)
        except Exception as error:
            answer = self._server.failed(request, error)
        if isinstance(answer, Response):
            self._send(turn, answer)
        elif answer.done():
            self._send(turn, self._result(request, answer))
        else:
            self._current = turn
            answer.add_done_callback(self._answered)

    def _result(self, request: Request, answer: Reply) -> Response:
        try:
            return answer.result()
        except (Exception, asyncio.CancelledError) as error:
            return self._server.failed(request, error)

    def _answered(self, answer: Reply) -> None:
        """The awaited answer is there."""
        turn, self._current = self._current, None
        if turn is None or turn.request is None:
            return
        response = self._result(turn.request, answer)
        if self._gone:
            return
        self._send(turn, response)
        self._go_on()

    def _go_on(self) -> None:
        """Answer what waits, then take what came meanwhile."""
        while self._waiting and self._current is None and not self._stalled:
            self._start(self._waiting.popleft())
        if (self._unread or not self._reading) and not self._closing and not self._blocked() and self._current is None:
            data, self._unread = self._unread, b""
            if data:
                self._parse(data)
            if not self._unread:
                self._read(True)
        self._settle()

    def _send(self, turn: Turn, response: Response) -> None:
        """One answer, one write."""
        server, request, status, body = self._server, turn.request, response.status, response.body
        keep = turn.keep and not (self._eof or server.stopping)
        bare = status in BARE
        text = "".join(map(HEADER_LINE, response.headers))
        if text.count("\n") + text.count("\r") != 2 * len(response.headers):
            server.log.error("header_broken", path="" if request is None else shown(request.path))
            self._send(turn, refusal(errors.INTERNAL))
            return
        text += f"\r\nX-Request-Id: {turn.request_id if request is None else request.request_id}"
        if not bare:
            text += f"\r\nContent-Type: {response.content_type}\r\nContent-Length: {len(body)}"
        if not keep:
            text += "\r\nConnection: close"
        elif turn.old:
            text += "\r\nConnection: keep-alive"
        head = STATUS_LINES[status] + server.common + text.encode("latin-1", "replace") + b"\r\n\r\n"
        if bare or (request is not None and request.method == "HEAD"):
            body = b""
        if len(body) <= JOIN_BYTES_MAX:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        counters = server.metrics.counters
        counters["http_requests"] += 1
        counters["http_bytes_sent"] += len(head) + len(body)
        if status >= 400 or server.debug:
            server.tell(turn, response, self._address)
        if not keep:
            self._leave()

    def pause_writing(self) -> None:
        """The client does not read what it is sent."""
        self._stalled = True
        self._blocked_bytes = self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """It does again."""
        self._stalled = False
        if self._phase is not Phase.LEAVING:
            self._go_on()

    def _open_socket(self, turn: Turn, request: Request) -> None:
        """The connection becomes a WebSocket, or ends with a refusal."""
        server, transport = self._server, self._transport
        turn.keep, self._upgrading = False, None
        try:
            said = websocket.accept(request, self._old)
            handler = server.upgrade(request)
        except HandshakeRefused as error:
            self._send(turn, Response(error.status, refusal(errors.UPGRADE_NEEDED, str(error)).body))
            return
        except Exception as error:
            self._send(turn, server.failed(request, error))
            return
        if isinstance(handler, Response):
            self._send(turn, handler)
            return
        said.append(("X-Request-Id", request.request_id))
        head = b"".join(f"\r\n{name}: {value}".encode("latin-1") for name, value in said)
        transport.write(STATUS_LINES[101] + server.common + head + b"\r\n\r\n")
        socket = Socket(server, transport, request, handler, self._address)
        rest, self._unread = self._unread, b""
        self._gone, self._closing, self._parser = True, True, SPENT
        server.turned(self, socket)
        transport.set_protocol(socket)
        self._read(True)
        if server.debug:
            fields = {"request_id": request.request_id, "peer": request.peer, "path": shown(request.path)}
            server.log.debug("socket_opened", **fields)
        socket.start(rest)


# ---- Leaves ----------------------------------------------------------------------------------------------------------


def _lower(name: bytes) -> str:
    """The name of a header, in lower case; the first ones that come are kept."""
    known = name.decode("latin-1").lower()
    if len(_NAMES) < NAME_COUNT_MAX:
        _NAMES[name] = known
    return known


def _target(url: bytes) -> tuple[str, bytes]:
    """Path and query of a request's target. Raises Refused."""
    target, _, query = url.partition(b"?")
    plain = _PATHS.get(target)
    if plain is not None and b"#" not in query:
        return plain, query
    kept = target
    if target[:1] != b"/" and target != b"*":
        scheme, mark, rest = target.partition(b"://")
        if not mark or scheme.lower() not in (b"http", b"https"):
            raise Refused(errors.MALFORMED, "The target must be a path.")
        target = b"/" + rest.partition(b"/")[2]
    if b"%" in target:
        target = unquote_to_bytes(target)
    try:
        path = target.decode()
    except UnicodeDecodeError:
        raise Refused(errors.MALFORMED, "The path must be UTF-8.") from None
    if not path.isprintable() or b"#" in url:
        raise Refused(errors.MALFORMED, "The path must have no control characters, and no fragment.")
    if "/." in path and not {".", ".."}.isdisjoint(path.split("/")):
        raise Refused(errors.MALFORMED, "The path must have no segments . and ..")
    if len(_PATHS) < NAME_COUNT_MAX and len(kept) < 64:
        _PATHS[kept] = path
    return path, query


def _told_by_parser(error: HttpParserError) -> Refused:
    """What the parser says of bytes that it refuses; it never repeats them."""
    text = str(error)
    if text in ("Invalid HTTP version", "Pause on PRI/Upgrade"):
        return Refused(errors.VERSION)
    return Refused(errors.MALFORMED, f"{errors.MALFORMED.text[:-1]}: {text}.")


def plain_address(text: str) -> str:
    """An address as the rest of the gateway knows it: IPv4 even at a socket of both kinds. Raises ValueError."""
    if ":" not in text and text.replace(".", "").isdigit():
        return text
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(address if mapped is None else mapped)
