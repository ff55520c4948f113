"""The TLS terminator: a process of its own, so that no flood of handshakes moves the engine's latency.

    client ══TLS══▶ listening socket (bound by the engine, inherited) ──▶ handshake ──▶ PROXY v2 header ──▶ proxy.sock
                    at most N handshakes at once, n from one address        then bytes both ways, bounded buffers

The engine sees an ordinary connection whose first bytes tell the client's true address (for CIDR lists and for refusing
peers); signatures, sequences and time-outs are the engine's as ever, and nothing of a key is known here.

Bounded: handshakes under way (further connections wait unaccepted), handshakes of one address and connections in all
(further ones are closed), the time of a handshake, the bytes held each way (then the sender must wait: the engine sees
a slow reader as it is), and how long a closed line may take to flush.

Certificate and key are read again when their files change, and on SIGHUP; if they are bad, that is logged and the old
ones stay. <data>/tls.held.json says which certificate is in use. SIGTERM stops accepting and gives lines a moment to
end.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ipaddress
import os
import signal
import socket
import ssl
import stat
import struct
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, cast

import uvloop

from engine_node import machine
from engine_node.errors import EngineNodeError, TerminatorError
from engine_node.logs import Log
from engine_node.settings import Settings
from ironbook.held import Held, HeldError, process_name
from ironbook.renewal import Renewal, SecretUnusable, tls_holding

__all__ = ["Terminator", "make_context", "proxy_header", "run"]

CIPHERS_TLS_1_2: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"  # forward secrecy and authenticated encryption only
ACCEPT_COUNT_MAX: Final = 16
ACCEPT_PAUSE_S: Final = 0.1
FLUSH_S: Final = 5.0  # a closed line that its peer does not read is cut after so long
STOP_S: Final = 1.5
HELD_FILE: Final = "tls.held.json"  # in the data directory
SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
PROXY_VERSION_2: Final = 0x21


def proxy_header(source: tuple[str, int], target: tuple[str, int]) -> bytes:
    """The PROXY v2 header for a TCP connection. Both addresses are IPv4, or both are IPv6 (zones are dropped)."""
    hosts = [ipaddress.ip_address(host.split("%")[0]) for host, _ in (source, target)]
    family = 0x11 if hosts[0].version == 4 else 0x21
    body = hosts[0].packed + hosts[1].packed + struct.pack("!HH", source[1], target[1])
    return SIGNATURE + struct.pack("!BBH", PROXY_VERSION_2, family, len(body)) + body


def make_context(settings: Settings) -> ssl.SSLContext:
    """TLS 1.2 and newer with the certificate and key of the settings. Raises TerminatorError."""
    certificate, key = Path(settings.tls_certificate_file), Path(settings.tls_key_file)
    for path in (certificate, key):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            path.open("rb").close()
        except OSError as error:
            raise TerminatorError(
                f"certificate and key must be readable: {error.strerror}",
                detail=str(path),
                hint="check the path and its owner",
            ) from None
        if path == key and mode & 0o077:
            raise TerminatorError(
                f"the private key must have mode 0600 or 0400, had {mode:04o}", detail=str(key), hint=f"chmod 600 {key}"
            )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS_TLS_1_2)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise TerminatorError(
            f"certificate and key must be PEM and belong together: {error}",
            detail=f"{certificate}, {key}",
            hint="the certificate file holds the leaf first, then its chain; the key is not encrypted",
        ) from None
    return context


def _no_password() -> str:
    raise ValueError("the private key is encrypted, and nobody is there to type its password")


class _Line(asyncio.Protocol):
    """One half of a forwarded connection. What comes in goes to the other half; if that is full, this one waits."""

    def __init__(self, owner: Terminator) -> None:
        self.owner = owner
        self.other: _Line | None = None
        self.transport: asyncio.Transport | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=self.owner.settings.tls_buffer_bytes)
        self.transport.pause_reading()  # until there is somebody to forward to

    def join(self, other: _Line) -> None:
        self.other, other.other = other, self
        for line in (self, other):
            if line.transport is not None and not line.transport.is_closing():
                line.transport.resume_reading()
        if self.closed or other.closed:
            self.close()
            other.close()

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        self.closed = True
        if self.other is not None:
            self.other.close()
        self.owner.line_lost(self)

    def close(self) -> None:
        """Flush and close; cut it if its peer does not read."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()
            self.owner.loop.call_later(FLUSH_S, self._cut)

    def _cut(self) -> None:
        if not self.closed and self.transport is not None:
            self.transport.abort()


class Terminator:
    """Accepts TLS on sockets that listen already and forwards to the engine's Unix socket. Belongs to its loop."""

    def __init__(
        self, settings: Settings, log: Log, loop: asyncio.AbstractEventLoop, listeners: Sequence[socket.socket]
    ) -> None:
        if settings.proxy_path is None:
            raise TerminatorError("proxy_socket must be set for TLS to be forwarded to, was not")
        self.settings = settings
        self.log = log
        self.loop = loop
        self.context = make_context(settings)
        self.counters: collections.Counter[str] = collections.Counter()
        self._target = str(settings.proxy_path)
        self._listeners = list(listeners)
        self._accepting = False
        self._stopping = False
        self._handshakes: collections.Counter[str] = collections.Counter()  # under way, by address
        self._lines: set[_Line] = set()  # clients' halves
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: dict[str, int] = {}
        self._files = [settings.tls_certificate_file, settings.tls_key_file]
        self._known = self._read()
        self._renewal = self._renewing()
        self._begun: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to accept. In the running loop: uvloop loses a signal that comes before it runs."""
        self.loop.add_signal_handler(signal.SIGTERM, self.begin_stop)
        self.loop.add_signal_handler(signal.SIGINT, self.begin_stop)
        self.loop.add_signal_handler(signal.SIGHUP, self.reload)
        for listener in self._listeners:
            listener.setblocking(False)
        self._accept_again()
        self._begun = self.loop.create_task(self._renewal.open())
        if self.settings.counters_interval_s:
            self.loop.call_later(self.settings.counters_interval_s, self._tell_counters)
        self.log.info("terminator_started", listeners=len(self._listeners), openssl=ssl.OPENSSL_VERSION)

    def reload(self) -> None:
        """Certificate and key again; connections that are open keep theirs."""
        try:
            self._take_up(self._load())
        except TerminatorError as error:
            self.log.error("certificate_not_reloaded", error)
            return
        self.log.info("certificate_reloaded")

    async def end(self) -> None:
        """After the loop was stopped: nothing is held any more."""
        await self._renewal.close()

    # Another certificate

    def _renewing(self) -> Renewal:
        name = process_name(f"engine-{self.settings.shard}-tls")
        held = Held(self.settings.data_path / HELD_FILE, name, "engine")
        renewal = Renewal(self.settings.key_poll_ms / 1000, self.log.write, held)
        renewal.holdings.use_only("tls", *self._holding())
        renewal.watch_files("certificate", self._files, self._renew)
        return renewal

    async def _renew(self) -> bool:
        if await asyncio.to_thread(self._read) == self._known:
            return False
        self._take_up(await asyncio.to_thread(self._load))
        return True

    def _read(self) -> list[bytes]:
        try:
            return [Path(file).read_bytes() for file in self._files]
        except OSError as error:
            raise TerminatorError(f"certificate and key must be readable: {error.strerror}") from None

    def _load(self) -> tuple[list[bytes], ssl.SSLContext, tuple[str, str]]:
        """What is in the files now. Raises TerminatorError."""
        known = self._read()
        return known, make_context(self.settings), self._holding()

    def _take_up(self, loaded: tuple[list[bytes], ssl.SSLContext, tuple[str, str]]) -> None:
        self._known, self.context, holding = loaded
        self._renewal.holdings.use_only("tls", *holding)

    def _holding(self) -> tuple[str, str]:
        try:
            return tls_holding(self.settings.tls_certificate_file)
        except (SecretUnusable, HeldError) as error:
            raise TerminatorError(error.message, detail=error.detail, hint=error.hint) from None

    def begin_stop(self) -> None:
        """Stop accepting; end the loop when no line is left, or after STOP_S."""
        if self._stopping:
            return
        self._stopping = True
        self._pause()
        for task in self._tasks:
            task.cancel()
        self.loop.call_later(STOP_S, self.loop.stop)
        self._stop_if_idle()

    # Accepting

    def _accept_again(self) -> None:
        if not self._accepting and not self._stopping:
            self._accepting = True
            for listener in self._listeners:
                self.loop.add_reader(listener.fileno(), self._accept, listener)

    def _pause(self) -> None:
        self._accepting = False
        for listener in self._listeners:
            self.loop.remove_reader(listener.fileno())

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPT_COUNT_MAX):
            if self._handshakes.total() >= self.settings.tls_handshake_count_max:
                self._pause()  # the others wait in the kernel until a handshake ends
                return
            try:
                accepted, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self.log.warning("accept_failed", message=str(error))
                self._pause()
                self.loop.call_later(ACCEPT_PAUSE_S, self._accept_again)
                return
            self._take(accepted, peer)

    def _take(self, accepted: socket.socket, peer: tuple[str, int]) -> None:
        self.counters["accepted"] += 1
        address = peer[0]
        open_count = len(self._lines) + self._handshakes.total()
        if open_count >= self.settings.tls_connection_count_max:
            self.counters["refused_connection_count"] += 1
            accepted.close()
            return
        if self._handshakes[address] >= self.settings.tls_handshake_peer_max:
            self.counters["refused_peer_handshakes"] += 1
            accepted.close()
            return
        accepted.setblocking(False)
        self._handshakes[address] += 1
        task = self.loop.create_task(self._serve(accepted, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, accepted: socket.socket, address: str) -> None:
        """Handshake, then join the two halves. Owns the socket until asyncio does."""
        client = _Line(self)
        try:
            with contextlib.suppress(OSError):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            header = proxy_header(accepted.getpeername()[:2], accepted.getsockname()[:2])
            await self.loop.connect_accepted_socket(
                lambda: client,
                accepted,
                ssl=self.context,
                ssl_handshake_timeout=self.settings.tls_handshake_timeout_ms / 1000,
                ssl_shutdown_timeout=FLUSH_S,
            )
        except (OSError, ssl.SSLError) as error:  # time-outs are OSErrors too
            self.counters["handshakes_failed"] += 1
            self.log.debug("handshake_failed", address=address, message=str(error))
            accepted.close()
            return
        finally:
            self._handshake_ended(address)
        self.counters["handshakes_good"] += 1
        self._lines.add(client)
        engine = _Line(self)
        try:
            await self.loop.create_unix_connection(lambda: engine, self._target)
        except OSError as error:
            self.counters["engine_unreachable"] += 1
            self.log.warning("engine_unreachable", message=str(error))
            client.close()
            return
        if engine.transport is not None:
            engine.transport.write(header)
        client.join(engine)

    def _handshake_ended(self, address: str) -> None:
        self._handshakes[address] -= 1
        if self._handshakes[address] <= 0:
            del self._handshakes[address]
        self._accept_again()

    def line_lost(self, line: _Line) -> None:
        """A half is gone; a client's frees its place."""
        self._lines.discard(line)
        self._stop_if_idle()

    def _stop_if_idle(self) -> None:
        if self._stopping and not self._lines:
            self.loop.call_soon(self.loop.stop)

    def _tell_counters(self) -> None:
        counters = dict(self.counters) | {"open": len(self._lines), "handshakes": self._handshakes.total()}
        if counters != self._told:
            self._told = counters
            self.log.info("tls_counters", counters=counters)
        self.loop.call_later(self.settings.counters_interval_s, self._tell_counters)


def run(
    settings: Settings, log: Log, descriptors: Sequence[int], parent: int | None = None, cpus: Collection[int] = ()
) -> int:
    """The process's body: serve on the inherited listening sockets until SIGTERM. Returns the exit code."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read again
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        if parent is not None:
            machine.die_with_parent(parent)
        if cpus:
            os.sched_setaffinity(0, cpus)  # or the engine's own would be inherited
        machine.raise_open_files(2 * settings.tls_connection_count_max + 256)
        terminator = Terminator(settings, log, loop, [socket.socket(fileno=descriptor) for descriptor in descriptors])
    except (EngineNodeError, OSError) as error:
        log.error("terminator_failed", error)
        return 1
    loop.call_soon(terminator.start)
    loop.run_forever()
    loop.run_until_complete(terminator.end())
    log.info("terminator_stopped", counters=dict(terminator.counters))
    return 0
