"""The gateway's door: it listens, knows every connection, and looks at all of them with one timer.

    client ──▶ Connection (connection.py) ──Request──▶ handle ──▶ Response, or a future of one
                   │ asks for a WebSocket ──Request──▶ upgrade ──▶ SocketHandler
                   └──────────────▶ Socket (websocket.py)

No client costs others more than its share: connections are counted in all and for each address (of IPv6: each /64), and
each of them has a time until which it must have gone on (`deadline_s`).
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import math
import resource
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from engine_node.logs import Log
from gateway import errors
from gateway.connection import LINGER_S, TOO_MANY, Connection, Phase, Turn, plain_address, refusal
from gateway.limits import client_share
from gateway.metrics import Metrics
from gateway.networks import Networks
from gateway.routing import Reply, Request, Response
from gateway.settings import GatewaySettings, SettingsInvalid
from gateway.websocket import Socket, SocketHandler, shown

__all__ = ["HttpServer"]

BACKLOG: Final = 1_024
ACCEPTED_A_TURN_MAX: Final = 64
LOGGED_A_TICK_MAX: Final = 20  # lines about refused requests between two looks at all connections; more are counted
FILES_KEPT: Final = 128  # descriptors for everything that is no connection
TICK_S: Final = 0.25
DAY: Final = b"\r\nDate: "
STRICT: Final = b"\r\nStrict-Transport-Security: max-age=31536000"  # a browser asks this host by TLS alone, for a year

Answer: TypeAlias = Response | Reply
Upgraded: TypeAlias = SocketHandler | Response


class HttpServer:
    """The gateway's door.

    handle   answers a request, at once or later; what it raises becomes a 500
    upgrade  answers a request for a WebSocket: what the socket is for, or a refusal
    now_ns   time of day
    """

    def __init__(
        self,
        handle: Callable[[Request], Answer],
        upgrade: Callable[[Request], Upgraded],
        settings: GatewaySettings,
        metrics: Metrics,
        now_ns: Callable[[], int],
        log: Log,
    ) -> None:
        self.handle, self.upgrade, self.settings = handle, upgrade, settings
        self.metrics, self.now_ns, self.log = metrics, now_ns, log
        self.now_s = 0.0  # of the loop's clock, as of the last look at all connections
        self.common = b""  # headers of every answer
        self._strict = STRICT if settings.tls_certificate else b""
        self.stopping = False
        self.debug = settings.log_level == "debug"
        self.count_max = settings.connection_count_max
        self.trusted = Networks("trusted_proxies", settings.trusted_proxies, "such as 10.0.0.0/8,192.0.2.7")
        self.loop: asyncio.AbstractEventLoop
        self.limits_s = {
            Phase.IDLE: settings.idle_timeout / 1000,
            Phase.HEADERS: settings.header_timeout / 1000,
            Phase.BODY: settings.body_timeout / 1000,
            Phase.BUSY: math.inf,
            Phase.WRITING: settings.write_timeout / 1000,
        }
        self.tick_s = min(TICK_S, self._least_timeout_s() / 4)
        self._listening: list[socket.socket] = []
        self._accepting = False
        self._connections: set[Connection | Socket] = set()
        self._by_address: Counter[str] = Counter()  # by client_share
        self._flush: list[Socket] = []
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event | None = None  # set when the last connection of a server that stops has ended
        self._request_prefix, self._request_count = secrets.token_hex(6), 0
        self._socket_count = self._socket_number = 0
        self._logged = self._unlogged = 0
        self._tls: ssl.SSLContext | None = None

    def _least_timeout_s(self) -> float:
        one = self.settings
        least = min(one.header_timeout, one.body_timeout, one.idle_timeout, one.write_timeout, one.ping_interval)
        return least / 1000

    # ---- Start and stop ---------------------------------------------------------------------------------------------

    async def start(self) -> list[str]:
        """Listen; "host:port" of each address. Raises SettingsInvalid."""
        self.loop = asyncio.get_running_loop()
        self._tls = _tls_context(self.settings)
        self._raise_descriptor_limit()
        try:
            for place in self.settings.listen.split(","):
                self._listening += _listen(*_place(place.strip()))
        except BaseException:
            self._stop_listening()
            raise
        self._look()
        return [_told(*listener.getsockname()[:2]) for listener in self._listening]

    async def renew_tls(self) -> bool:
        """Read certificate and key again, for handshakes from here on. Raises SettingsInvalid: the old ones stay."""
        self._tls = await asyncio.to_thread(_tls_context, self.settings)
        return True

    def _stop_listening(self) -> None:
        for listener in self._listening:
            self.loop.remove_reader(listener)
            listener.close()
        self._listening = []

    def _raise_descriptor_limit(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = self.settings.connection_count_max + FILES_KEPT
        if soft < wanted:
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            self.count_max = max(1, soft - FILES_KEPT)
            self.log.warning("connections_limited", connection_count_max=self.count_max, descriptors=soft)

    async def stop(self, timeout_s: float) -> None:
        """No new connections; requests under way are answered, WebSockets closed (1001); then what is left is cut."""
        self.stopping = True
        self._stop_listening()
        for one in list(self._connections):
            one.stop()
        self._empty = asyncio.Event()
        for seconds in (timeout_s, 1.0):
            if self._connections:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._empty.wait(), seconds)
            for one in list(self._connections):
                one.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def connection_count(self) -> int:
        """All that are open, WebSockets among them."""
        return len(self._connections)

    # ---- All connections --------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Once a tick: the time, the date, connections whose time is up, gauges."""
        self.now_s = now_s = self.loop.time()
        self.common = DAY + email.utils.formatdate(self.now_ns() / 1e9, usegmt=True).encode() + self._strict
        for one in [one for one in self._connections if one.deadline_s < now_s]:
            one.overdue()
        if not self._accepting:
            for listener in self._listening:
                self.loop.add_reader(listener, self._accept, listener)
            self._accepting = True
        self.metrics.gauges["http_connections_open"] = len(self._connections)
        self._logged = 0
        if self._unlogged:
            self.log.warning("requests_refused_unlogged", count=self._unlogged)
            self._unlogged = 0
        self._timer = self.loop.call_later(self.tick_s, self._look)

    def _accept(self, listener: socket.socket) -> None:
        """Those who knock, each admitted or sent away."""
        for _ in range(ACCEPTED_A_TURN_MAX):
            try:
                knocking, peer = listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # it is gone already
            except OSError as error:  # no descriptors or no memory: again at the next look
                self.metrics.counters["http_accepts_failed"] += 1
                self.log.warning("accept_failed", reason=error.strerror, connections=len(self._connections))
                for one in self._listening:
                    self.loop.remove_reader(one)
                self._accepting = False
                return
            self._admit(knocking, plain_address(str(peer[0])))

    def _admit(self, knocking: socket.socket, address: str) -> None:
        """A handshake of TLS counts as a connection from its first byte."""
        self.metrics.counters["http_connections"] += 1
        limit = self.settings.connection_count_per_address_max
        share = client_share(address)
        crowded = self._by_address[share] >= limit and address not in self.trusted
        if crowded or len(self._connections) >= self.count_max:
            self.metrics.counters["http_connections_refused"] += 1
            with contextlib.suppress(OSError):
                knocking.setblocking(False)
                if self._tls is None:
                    knocking.send(TOO_MANY)
                    knocking.shutdown(socket.SHUT_WR)
            knocking.close()
            return
        knocking.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, address)
        self._connections.add(connection)
        self._by_address[share] += 1
        connection.arriving = self.loop.create_task(self._arrive(knocking, connection))

    async def _arrive(self, knocking: socket.socket, connection: Connection) -> None:
        limits: dict[str, Any] = {}
        if self._tls is not None:
            limits = {"ssl_handshake_timeout": self.settings.header_timeout / 1000, "ssl_shutdown_timeout": LINGER_S}
        try:
            await self.loop.connect_accepted_socket(lambda: connection, knocking, ssl=self._tls, **limits)
        except (OSError, asyncio.CancelledError):  # a handshake that failed, or took too long
            self.metrics.counters["http_bad_requests"] += 1
            connection.connection_lost(None)
        except Exception as error:
            self.log.error("connection_failed", error)
            connection.connection_lost(None)
        finally:
            connection.arriving = None

    def ended(self, connection: Connection | Socket, address: str) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        share = client_share(address)
        self._by_address[share] -= 1
        if self._by_address[share] <= 0:
            del self._by_address[share]
        if isinstance(connection, Socket):
            self._count_sockets("sockets_closed", -1)
        if self._empty is not None and not self._connections:
            self._empty.set()

    def turned(self, connection: Connection, socket: Socket) -> None:
        """A connection has become a WebSocket."""
        self._connections.discard(connection)
        self._connections.add(socket)
        self._count_sockets("sockets_opened", 1)

    def _count_sockets(self, counter: str, change: int) -> None:
        self.metrics.counters[counter] += 1
        self._socket_count += change
        self.metrics.gauges["sockets_open"] = self._socket_count

    def flush_soon(self, socket: Socket) -> None:
        """What a socket has to send leaves at the end of this turn, together."""
        if not self._flush:
            self.loop.call_soon(self._flush_all)
        self._flush.append(socket)

    def _flush_all(self) -> None:
        waiting, self._flush = self._flush, []
        for one in waiting:
            one.flushed()

    def client(self, address: str, forwarded: str) -> str:
        """Who asks: a trusted proxy names the one before it, and so on, until one that nobody vouches for."""
        if not forwarded or address not in self.trusted:
            return address
        for said in reversed(forwarded.split(",")):
            try:
                address = plain_address(said.strip())
            except ValueError:
                return address
            if address not in self.trusted:
                return address
        return address

    def new_number(self) -> int:
        """Of a WebSocket."""
        self._socket_number += 1
        return self._socket_number

    def new_id(self) -> str:
        """The id of one request: no other one has it."""
        self._request_count += 1
        return f"{self._request_prefix}{self._request_count:012x}"

    # ---- What the log says ------------------------------------------------------------------------------------------

    def failed(self, request: Request, error: BaseException) -> Response:
        """A handler raised what nobody expected."""
        self.log.error("request_raised", error, request_id=request.request_id, path=shown(request.path))
        return refusal(errors.INTERNAL)

    def tell(self, turn: Turn, response: Response, peer: str) -> None:
        """One line for a request that was refused or failed, or for any if the level is debug. Never its query."""
        status, request = response.status, turn.request
        if status >= 400:
            if self._logged >= LOGGED_A_TICK_MAX:
                self._unlogged += 1
                return
            self._logged += 1
        fields: dict[str, object] = {"status": status, "bytes": len(response.body)}
        if request is None:
            fields |= {"peer": peer, "request_id": turn.request_id, "said": response.body.decode()}
        else:
            took_us = (self.now_ns() - request.received_ns) // 1_000
            fields |= {
                "method": request.method, "path": shown(request.path), "peer": request.peer, "took_us": took_us,
                "request_id": request.request_id,
            }  # fmt: skip
        if status >= 500:
            self.log.error("request_failed", None, **fields)
        elif status >= 400:
            self.log.info("request_refused", **fields)
        else:
            self.log.debug("request", **fields)


# ---- Leaves ----------------------------------------------------------------------------------------------------------


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise SettingsInvalid("listen must be host:port, several separated by commas", detail=f"found {text!r}")
    return host.strip("[]"), int(port)


def _listen(host: str, port: int) -> list[socket.socket]:
    """Sockets of every address that the host's name has. Raises SettingsInvalid."""
    made: list[socket.socket] = []
    try:
        for family, kind, number, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            listener = socket.socket(family, kind, number)
            made.append(listener)
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
    except OSError as error:
        for listener in made:
            listener.close()
        raise SettingsInvalid(
            "listen must name addresses of this machine that are free",
            detail=f"{_told(host, port)}: {error.strerror}",
            hint="stop what listens there, or choose another port",
        ) from None
    return made


def _told(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tls_context(settings: GatewaySettings) -> ssl.SSLContext | None:
    """From tls_certificate and tls_key; None: plain HTTP. Raises SettingsInvalid."""
    if not settings.tls_certificate and not settings.tls_key:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key or None, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise SettingsInvalid(
            "tls_certificate and tls_key must be PEM files that belong together",
            detail=f"{settings.tls_certificate}, {settings.tls_key}: {error}",
            hint="a chain stands in the certificate's file, leaf first",
        ) from None
    return context


def _no_password() -> str:
    raise ValueError("the private key is encrypted, and nobody is there to type its password")
