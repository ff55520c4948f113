"""The gateway's HTTP server alone, with a tiny handler, in a thread of its own; and raw bytes to throw at it.

with Door(header_timeout=200) as door:
    with door.connect() as line:
        line.send(b"GET /echo HTTP/1.1\\r\\nHost: door\\r\\n\\r\\n")
        assert line.answer().status == 200
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import uvloop

from engine_node.logs import Log
from gateway import settings as gateway_settings
from gateway.http import HttpServer
from gateway.metrics import Metrics
from gateway.routing import Request, Response
from gateway.websocket import Socket, frame

PATIENCE_S = 20.0


class Answer:
    """What came back for one request."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        """The body, decoded."""
        return orjson.loads(self.body)


class Line:
    """One TCP connection of a client that does as it likes."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.socket.settimeout(PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def __enter__(self) -> Line:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """All of it, or as much as the server takes before it closes."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def request(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """A well-formed request and its answer. Underscores in names of headers are hyphens."""
        said = {"Host": "door"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if body:
            said["Content-Length"] = str(len(body))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items()), "", ""]
        self.send("\r\n".join(lines).encode() + body)
        return self.answer(bodiless=method == "HEAD")

    def _more(self) -> bool:
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        self.received += data
        return bool(data)

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer."""
        while b"\r\n\r\n" not in self.received:
            assert self._more(), f"an answer must come, found an end after {self.received!r}"
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        assert first.startswith("HTTP/1.1 "), first
        pairs = [one.split(": ", 1) for one in rest]
        names = [name.lower() for name, _ in pairs]
        assert len(set(names)) == len(names), f"each header once: {rest}"
        return int(first.split()[1]), {name.lower(): value for name, value in pairs}

    def take(self, size: int) -> bytes:
        """Exactly so many bytes."""
        while len(self.received) < size:
            assert self._more(), f"{size} bytes must come, found {self.received!r}"
        data, self.received = self.received[:size], self.received[size:]
        return data

    def answer(self, *, bodiless: bool = False) -> Answer:
        """The next answer, whole."""
        status, headers = self.head()
        size = 0 if bodiless or status in (100, 101, 204, 304) else int(headers["content-length"])
        return Answer(status, headers, self.take(size))

    def rest(self) -> bytes:
        """All that comes until the server closes; it must."""
        while self._more():
            pass
        return self.received

    # ---- WebSocket --------------------------------------------------------------------------------------------------

    def upgrade(self, target: str = "/echo", rest: bytes = b"", **headers: str) -> dict[str, str]:
        """Ask for a WebSocket and get it."""
        asked = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        asked |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        asked |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"GET {target} HTTP/1.1", "Host: door", *(f"{name}: {value}" for name, value in asked.items()), "", ""]
        self.send("\r\n".join(lines).encode() + rest)
        status, found = self.head()
        assert status == 101, (status, self.received)
        return found

    def send_frame(self, opcode: int, data: bytes = b"", *, final: bool = True, mask: bytes = b"\1\2\3\4") -> None:
        """A frame of a client; mask b"": unmasked."""
        self.send(client_frame(opcode, data, final=final, mask=mask))

    def frame(self) -> tuple[int, bytes]:
        """The next frame of the server: opcode, payload."""
        first, size = self.take(2)
        assert first & 0xF0 == 0x80, f"a whole frame without extensions: {first:x}"
        assert size < 128, "a server does not mask"
        if size == 126:
            size = int.from_bytes(self.take(2))
        elif size == 127:
            size = int.from_bytes(self.take(8))
        return first & 15, self.take(size)

    def closed_with(self) -> int:
        """The code of the server's close frame, behind which the connection ends."""
        while True:
            opcode, data = self.frame()
            if opcode == 8:
                assert self.rest() == b""
                return int.from_bytes(data[:2])


def client_frame(opcode: int, data: bytes = b"", *, final: bool = True, mask: bytes = b"\1\2\3\4") -> bytes:
    """A frame as a client sends it."""
    size, bit = len(data), 0x80 if mask else 0
    head = bytes((opcode | (0x80 if final else 0),))
    if size < 126:
        head += bytes((bit | size,))
    elif size < 65_536:
        head += bytes((bit | 126,)) + size.to_bytes(2)
    else:
        head += bytes((bit | 127,)) + size.to_bytes(8)
    return head + mask + (bytes(b ^ mask[i % 4] for i, b in enumerate(data)) if mask else data)


class Echo:
    """What the tests' sockets are for: /echo answers what it gets, /feed sends on command of the test."""

    def __init__(self, door: Door, request: Request) -> None:
        self.door, self.request = door, request
        self.socket: Socket | None = None
        self.received_texts: list[bytes] = []
        self.lost_count = 0

    def opened(self, socket: Socket) -> None:
        """The server calls it."""
        self.socket = socket
        self.door.sockets.append(self)
        if self.request.path == "/broken":
            raise RuntimeError("a handler that fails")

    def received(self, text: bytes) -> None:
        """The server calls it."""
        self.received_texts.append(text)
        assert self.socket is not None
        if text == b"fail":
            raise RuntimeError("a handler that fails")
        if self.request.path != "/feed":
            self.socket.send(text)

    def lost(self) -> None:
        """The server calls it."""
        self.lost_count += 1


class Door:
    """A running HttpServer. settings: of the gateway, by name."""

    def __init__(self, directory: Path | None = None, **settings: object) -> None:
        said = {"listen": "127.0.0.1:0"} | settings
        self.settings = gateway_settings.load(
            {f"IRONBOOK_GATEWAY_{name.upper()}": str(value) for name, value in said.items()}
        )
        self.metrics = Metrics()
        self.sockets: list[Echo] = []
        self.requests: list[Request] = []
        self.held: list[asyncio.Future[Response]] = []
        self.log_path = Path(os.devnull) if directory is None else directory / "gateway.log"
        self.loop = uvloop.new_event_loop()
        self.loop_errors: list[dict[str, Any]] = []
        self.address = ("", 0)
        self.addresses: list[str] = []
        self.server: HttpServer
        self._thread = threading.Thread(target=self._run, name="door", daemon=True)
        self._started = threading.Event()
        self._failure: BaseException | None = None

    def __enter__(self) -> Door:
        self._thread.start()
        assert self._started.wait(PATIENCE_S)
        if self._failure is not None:
            self._thread.join(PATIENCE_S)
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        assert self.loop_errors == []

    def stop(self, timeout_s: float = 0.1) -> None:
        """Stop the server and its thread."""
        if self._thread.is_alive():
            self.wait(self.server.stop(timeout_s))
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(lambda loop, context: self.loop_errors.append(context))
        log = Log.open(str(self.log_path), level=self.settings.log_level, queue_max=10_000)
        try:
            self.server = HttpServer(self.handle, self.upgrade, self.settings, self.metrics, time.time_ns, log)
            self.addresses = self.loop.run_until_complete(self.server.start())
            host, _, port = self.addresses[0].rpartition(":")
            self.address = (host.strip("[]"), int(port))
        except BaseException as error:
            self._failure = error
        self._started.set()
        if self._failure is None:
            self.loop.run_forever()
        self.loop.close()
        log.close()

    # ---- What it serves ---------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response | asyncio.Future[Response]:
        """Called by the server."""
        self.requests.append(request)
        path, later = request.path, self.loop.create_future()
        if path == "/raise":
            raise RuntimeError("a handler that fails")
        if path == "/large":
            return Response(200, b"x" * int(request.query), "text/plain")
        if path == "/nothing":
            return Response(204, b"")
        if path == "/injected":
            return Response(200, b"{}", headers=(("X-Said", request.query.decode("latin-1").replace("~", "\r\n")),))
        if path in ("/held", "/failing"):
            self.held.append(later)
            return later
        if path == "/done":
            later.set_result(Response(200, b'"done"'))
            return later
        said = {
            "method": request.method, "path": path, "query": request.query.decode("latin-1"), "peer": request.peer,
            "headers": dict(request.headers), "body": request.body.decode("latin-1"),
        }  # fmt: skip
        return Response(404 if path == "/missing" else 200, orjson.dumps(said))

    def upgrade(self, request: Request) -> Echo | Response:
        """Called by the server."""
        if request.path == "/refused":
            return Response(401, b'{"code":-1002,"msg":"no"}')
        if request.path == "/raise":
            raise RuntimeError("a handler that fails")
        return Echo(self, request)

    # ---- For tests --------------------------------------------------------------------------------------------------

    def connect(self, context: ssl.SSLContext | None = None) -> Line:
        """A new connection; with TLS if a context is given."""
        connected = socket.create_connection(self.address, PATIENCE_S)
        return Line(connected if context is None else context.wrap_socket(connected, server_hostname="localhost"))

    def wait(self, coroutine: Any) -> Any:
        """Run it in the server's thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE_S)

    def call(self, function: Callable[[], object]) -> None:
        """Call it in the server's thread, and wait for it."""

        async def called() -> None:
            function()

        self.wait(called())

    def answer_held(self, index: int, response: Response) -> None:
        """The answer that a request of /held waits for."""
        self.call(lambda: self.held[index].set_result(response))

    def send_all(self, text: bytes) -> None:
        """One frame, made once, to every open socket."""
        ready = frame(text)
        self.call(lambda: [one.socket.send_frame(ready) for one in self.sockets if one.socket is not None])

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until it holds."""
        until_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < until_s, f"{what}; counters {self.metrics.counters}"
            time.sleep(0.005)

    def log(self) -> list[dict[str, Any]]:
        """What the log says so far, after a flush."""
        self.server.log.flush()
        return [orjson.loads(line) for line in self.log_path.read_bytes().splitlines()]
