"""The line to the engine: one signed session of one key, whose answers come from the replica.

    submit ─▶ numbered, signed ─▶ one write a turn of the loop ─▶ engine ─▶ journal
      │                                                             │ reports: only a sign that something was released
      ▼                                                             ▼
    mirror.when(key, client sequence) ◀── mirror.advance() ◀── data_received

The future of a command is that of its record in the mirror: it holds every event that the command caused. Until then
three things can happen, and a caller is told which:

    refused by the engine, or the line away     ENGINE_AWAY       certainly not entered; to be sent again, if at all
    the line lost, and back                     either its record is in the journal, and the mirror answers, or the new
                                                session shows that it is not: ENGINE_AWAY. Nothing is sent twice
    no answer in time                           OUTCOME_UNKNOWN   it may still be entered; nobody is told a guess

A new session begins with a ping. With it the engine ends whatever came before, and its pong names the last client
sequence that is recorded; from there on no frame of an older connection can be. If such a frame came in between, the
ping is a repeat, and the next attempt begins behind it.

A new secret of the key is taken up without a gap. The session that it opens waits beside the old one; then commands are
held back for two round trips: a ping tells that the old session has recorded all that it was sent, a ping in the new
one ends the old. What was held is signed for the new session and goes on in order. Where anything goes wrong before
that, it is signed for the old one, and nobody has noticed.

    old   ──── commands ────▶ │ ping ▶ ◀ pong: all recorded │                          (session_replaced)
    new     logon ▶ ◀ answer  │                             │ ping ▶ ◀ pong │ ──── held, then further commands ────▶
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import random
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast

from engine_node._engine import Signer
from gateway.auth import Say
from gateway.errors import ENGINE_AWAY, OUTCOME_UNKNOWN, ApiError
from ironbook import Key, KeyInvalid
from ironbook._commands import Command, Prefixed, pack
from ironbook._options import parse_address
from ironbook._session import MAGIC, SESSION_LABEL
from schemas.vocabulary import (
    CODE_TEXT,
    LOGON_BYTES,
    REPORT_BYTES,
    RESUME_NEW_ONLY,
    Code,
    EventKind,
    LogonAnswer,
    LogonRequest,
    MessageKind,
    Nonce,
    Ping,
)

if TYPE_CHECKING:
    from gateway.events import Applied

__all__ = ["Line", "pack_nonce"]

OUTSTANDING_MAX: Final = 8192  # commands whose fate is not known
SWEEP_S: Final = 0.02  # how exactly time-outs are kept
BACKOFF_S: Final = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
STEADY_S: Final = 5.0  # a session that has lasted so long was a good one
CONNECT_S: Final = 5.0
HOLD_S: Final = 1.0  # each round trip of a hand-over, in which commands wait, must end within
KEEP_ALIVE: Final = (
    ((socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 10),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPINTVL), 5),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPCNT), 3),
    ((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), 20_000),
    ((socket.IPPROTO_TCP, socket.TCP_NODELAY), 1),
)
_PING: Final = Ping(echo=1).pack()
_LAST_PING: Final = Ping(echo=2).pack()  # of a session that is handed over
_MESSAGE_MIN: Final = int(MessageKind.LOGON_ANSWER)
_LOGON_ANSWER, _PONG = int(MessageKind.LOGON_ANSWER), int(MessageKind.PONG)
_REFUSED, _SESSION_ENDED = int(MessageKind.REFUSED), int(MessageKind.SESSION_ENDED)
_FILLED, _TRIGGERED = int(EventKind.FILLED), int(EventKind.TRIGGERED)  # whose reference is no client sequence
_reference_of = struct.Struct("<Q").unpack_from
_REFERENCE_AT, _ORDER_ID_AT, _CODE_AT = 80, 40, 2
_pack_nonce = Nonce._STRUCT.pack
_NONCE = int(Nonce.KIND)


class Follower(Protocol):
    """What is needed of the mirror."""

    def when(self, key: int, client_sequence: int) -> asyncio.Future[Applied]:
        """Resolves when the record that closes this command is applied."""

    def forget(self, key: int, client_sequence: int) -> None:
        """Nobody waits for it any more."""

    def advance(self) -> int:
        """Apply what is released."""


def pack_nonce(nonce: bytes, timestamp_ns: int) -> bytes:
    """A nonce prefix of 48 bytes."""
    return _pack_nonce(_NONCE, timestamp_ns, nonce)


class _Waiting:
    """One command that was sent. first, last: its client sequences, prefixes and all."""

    __slots__ = ("deadline_s", "first", "future", "last")

    def __init__(self, first: int, last: int, deadline_s: float, future: asyncio.Future[Applied]) -> None:
        self.first, self.last, self.deadline_s, self.future = first, last, deadline_s, future


class _Again(Exception):
    """The session did not come about; another attempt may do better."""


class _Refused(_Again):
    """The engine does not take the key's secret, or does not show that it has it."""


class Line:
    """One session of one key with the engine; comes back by itself. `name` stands in the log.

    address   host:port, or who knows it; asked at each attempt
    key       or who reads it; asked at each attempt and by `renew`. Where that key cannot be read or is refused, the
              one that was good last goes on
    failure   why there is no session now; "" if there is one
    awaited   client sequence that is recorded, and that a replica which is not behind must have: that of the session's
              beginning, or of a command that waited too long
    """

    def __init__(
        self,
        address: str | Callable[[], tuple[str, int]],
        key: Key | Callable[[], Key],
        mirror: Follower,
        *,
        timeout_s: float,
        now_ns: Callable[[], int],
        name: str = "orders",
        say: Say = lambda level, event, fields: None,
    ) -> None:
        self.name, self.failure = name, "not connected yet"
        self.key_id = ""
        self.connected = False
        self.key_number = self.account = self.permissions = self.awaited = 0
        self.sent_count = self.refused_count = self.timeout_count = self.connect_count = 0
        self._find_address = address if callable(address) else lambda: parse_address(address)
        self._find_key = key if callable(key) else lambda: key
        self._mirror, self._timeout_s, self._now_ns, self._say = mirror, timeout_s, now_ns, say
        self._told: Callable[[Key], None] = lambda key: None
        self._key: Key | None = None  # that the engine has taken last
        self._not_taken: Key | None = None  # that it refused a moment ago
        self._held: list[tuple[Sequence[bytes], int]] | None = None  # parts and first sequence, during a hand-over
        self._last_pong: asyncio.Future[int] | None = None  # of a session that is handed over: what it has recorded
        self._waiting: deque[_Waiting] = deque()  # by rising client sequence
        self._entered = self._recorded = 0  # client sequences: the last one given, the last one known to be recorded
        self._refused_first = self._refused_last = 0  # client sequences refused and not taken back yet; 0: none
        self._refused_code = 0
        self._output: list[bytes] = []
        self._flushing = False
        self._signer = Signer(bytes(32))
        self._wire: _Wire | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Begin to connect; returns once there is a session, or the first attempt failed. It goes on by itself."""
        self._loop = asyncio.get_running_loop()
        tried = asyncio.Event()
        self._keeper = self._loop.create_task(self._keep(tried), name=f"line {self.name}")
        await tried.wait()

    async def close(self) -> None:
        """End the session. What is outstanding is told to be unknown."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        wire = self._wire
        self._lost("closed")
        if self._sweeper is not None:
            self._sweeper.cancel()
        while self._waiting:
            _fail(self._waiting.popleft().future, _unknown("the gateway stops"))
        if wire is not None:
            await asyncio.wait([wire.lost], timeout=1.0)

    def on_key(self, told: Callable[[Key], None]) -> None:
        """Tell of the key that the engine has taken now, and of each one that it takes."""
        self._told = told
        if self._key is not None:
            told(self._key)

    @property
    def waiting_count(self) -> int:
        """Commands whose fate is not known."""
        return len(self._waiting)

    # ---- Commands ---------------------------------------------------------------------------------------------------

    def submit(
        self, command: Command | Prefixed, *, text: str = "", nonce: Nonce | None = None
    ) -> asyncio.Future[Applied]:
        """Enter a command. Raises ApiError ENGINE_AWAY at once if it cannot be; the future may raise it too."""
        return self.submit_parts(pack(command, text, nonce))

    def submit_parts(self, parts: Sequence[bytes]) -> asyncio.Future[Applied]:
        """The same from prefixes and command as ironbook._commands packs them: 48 bytes each, without sequences."""
        self._check_room(1)
        return self._enter(parts)

    def submit_linked(self, groups: Sequence[Sequence[bytes]]) -> list[asyncio.Future[Applied]]:
        """Several commands in one write, in this order; either all are sent or none."""
        self._check_room(len(groups))
        return [self._enter(parts) for parts in groups]

    def _check_room(self, count: int) -> None:
        if not self.connected:
            raise _away(self.failure, "the engine is away; try again soon")
        if self._refused_first:
            raise _away(_code_text(self._refused_code), "the engine takes no commands now; try again soon")
        if len(self._waiting) + count > OUTSTANDING_MAX:
            raise _away(f"{len(self._waiting)} commands wait for an answer", "the engine is busy; try again soon")

    def _enter(self, parts: Sequence[bytes]) -> asyncio.Future[Applied]:
        first, sequence = self._entered + 1, self._entered + len(parts)
        if self._held is None:
            self._output.append(self._signer.frames(parts, first))
        else:
            self._held.append((parts, first))
        self._entered = sequence
        future = self._mirror.when(self.key_number, sequence)
        loop = cast(asyncio.AbstractEventLoop, self._loop)
        self._waiting.append(_Waiting(first, sequence, loop.time() + self._timeout_s, future))
        self.sent_count += 1
        if not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush)
        if self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_S, self._sweep)
        return future

    def _flush(self) -> None:
        """Write what this turn of the loop has brought."""
        self._flushing = False
        if self._output and self._wire is not None and self._wire.transport is not None:
            self._wire.transport.write(b"".join(self._output))
        self._output.clear()

    def _ping(self, ping: bytes = _PING) -> None:
        self._output.append(self._signer.frames((ping,), self._entered))
        self._flush()

    def _trim(self) -> None:
        """Forget what is recorded and answered."""
        waiting, recorded = self._waiting, self._recorded
        while waiting and waiting[0].last <= recorded and waiting[0].future.done():
            waiting.popleft()

    def _sweep(self) -> None:
        """Timer: tell those who have waited too long."""
        self._sweeper = None
        self._trim()
        loop = cast(asyncio.AbstractEventLoop, self._loop)
        now_s, more = loop.time(), False
        for one in self._waiting:
            if one.future.done():
                continue
            if one.deadline_s > now_s:
                more = True
                break
            self.timeout_count += 1
            recorded = one.last <= self._recorded
            if recorded:
                self.awaited = one.last
            known = "it is recorded" if recorded else "it was sent"
            _fail(one.future, _unknown(f"{known}, and no answer came within {self._timeout_s:g} s"))
        if more:
            self._sweeper = loop.call_later(SWEEP_S, self._sweep)

    # ---- What the engine says ---------------------------------------------------------------------------------------

    def _received(self, data: bytes) -> None:
        """Whole items of 96 bytes of a live session."""
        reports = False
        recorded = self._recorded
        for offset in range(0, len(data), REPORT_BYTES):
            kind = data[offset]
            if kind < _MESSAGE_MIN:
                reports = True
                if kind != _FILLED and kind != _TRIGGERED:
                    (reference,) = _reference_of(data, offset + _REFERENCE_AT)
                    if recorded < reference <= self._entered:
                        self._recorded = recorded = reference
            elif kind == _PONG:
                self._ponged(data, offset)
            elif kind == _REFUSED:
                self._refuse(*_code_and_reference(data, offset))
            elif kind == _SESSION_ENDED:
                self._lost(_code_text(_code_and_reference(data, offset)[0]))
                break
        if reports:
            self._mirror.advance()
            self._trim()

    def _ponged(self, data: bytes, offset: int) -> None:
        """A sign of life; where it ends a session that is handed over, what that session has recorded."""
        (echo,) = _reference_of(data, offset + _REFERENCE_AT)
        waiting, (last,) = self._last_pong, _reference_of(data, offset + _ORDER_ID_AT)
        if waiting is not None and not waiting.done() and echo == 2:
            waiting.set_result(last)

    def _refuse(self, code: int, sequence: int) -> None:
        """A frame was not recorded, and so none behind it. They are taken back once all of them are refused."""
        if not self._recorded < sequence <= self._entered:
            return  # a ping
        if not self._refused_first or code != Code.EARLIER_REFUSED:
            self._refused_code = code
        first = last = sequence
        for one in reversed(self._waiting):
            if one.first <= sequence <= one.last:
                first, last = one.first, one.last
                break
        self._refused_first = min(first, self._refused_first or first)
        self._refused_last = max(last, self._refused_last)
        if self._refused_last < self._entered:
            return
        why = _code_text(self._refused_code)
        self._take_back(self._refused_first - 1, why)
        self._say("warning", "line_refused", {"line": self.name, "why": why})

    def _take_back(self, last: int, why: str) -> None:
        """Everything behind this client sequence is certainly not entered; its numbers are given again."""
        while self._waiting and self._waiting[-1].first > last:
            one = self._waiting.pop()
            self._mirror.forget(self.key_number, one.last)
            self.refused_count += 1
            _fail(one.future, _away(why, "it was not entered; send it again"))
        self._entered = last
        self._refused_first = self._refused_last = self._refused_code = 0

    def _lost(self, why: str) -> None:
        """The session is over; what is outstanding waits for the next one, or for the mirror."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        self.connected, self.failure = False, why
        self._output.clear()
        self._held = None  # taken back with all that was not recorded
        self._refused_first = self._refused_last = self._refused_code = 0
        if wire.transport is not None:
            wire.transport.close()
        wire.over.set()
        self._say("warning", "line_lost", {"line": self.name, "why": why, "outstanding": len(self._waiting)})

    # ---- The session ------------------------------------------------------------------------------------------------

    async def _keep(self, tried: asyncio.Event) -> None:
        """Task: have a session, for ever. Pauses grow until one has lasted: two that take it from each other tire."""
        loop = cast(asyncio.AbstractEventLoop, self._loop)
        attempt = 0
        while True:
            began_s = loop.time()
            try:
                wire, idle_s = await self._connect()
                tried.set()
                live: _Wire | None = wire
                while live is not None:  # each of those to which the session is handed over
                    await self._watch(live, idle_s)
                    live = self._wire
                if loop.time() - began_s >= STEADY_S:
                    attempt = 0
            except Exception as error:  # whatever it is, the next attempt may do better
                self._lost(repr(error))
                told, self.failure = self.failure, str(error) or type(error).__name__
                if self.failure != told:
                    self._say("warning", "line_away", {"line": self.name, "why": self.failure})
            tried.set()
            await asyncio.sleep(self._pause_s(attempt))
            attempt += 1

    def _pause_s(self, attempt: int) -> float:
        """How long to wait before the next attempt."""
        return BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)] * (0.5 + 0.5 * random.random())

    async def _watch(self, wire: _Wire, idle_s: float) -> None:
        """As long as the session lives: a ping when nothing else was sent."""
        sent_count = self.sent_count
        while not wire.over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(idle_s):  # wait_for may swallow a cancellation that comes with the event
                    await wire.over.wait()
                return
            if self.sent_count == sent_count and not self._refused_first and self._held is None:
                self._ping()
            sent_count = self.sent_count

    async def _connect(self) -> tuple[_Wire, float]:
        """One attempt: connect, log on, ping; then the session is live. Seconds between signs of life."""
        loop = cast(asyncio.AbstractEventLoop, self._loop)
        key = self._choose_key()
        host, port = self._find_address()
        wire = _Wire(self)
        try:
            async with asyncio.timeout(max(CONNECT_S, self._timeout_s)):
                await loop.create_connection(lambda: wire, host, port)
                answer, signer = await self._log_on(wire, key)
                last = await self._first_ping(wire, signer, answer.last_client_sequence)
        except TimeoutError:
            wire.abort()
            raise _Again(f"no answer to a logon at {host}:{port}") from None
        except _Refused:
            wire.abort()
            self._not_taken = key
            raise
        except BaseException:
            wire.abort()
            raise
        self._signer = signer
        self._take_key(key)
        self._begin(wire, answer, last)
        return wire, max(0.05, (answer.idle_ms or 30_000) / 3000)

    def _choose_key(self) -> Key:
        """That of the file; the one that was good last, if that cannot be read, or was refused a moment ago."""
        try:
            found = self._find_key()
        except KeyInvalid as error:
            if self._key is None:
                raise
            self._say("warning", "line_key_unreadable", {"line": self.name, "why": str(error)})
            return self._key
        if self._key is not None and found != self._key and found == self._not_taken:
            self._not_taken = None
            return self._key
        return found

    def _take_key(self, key: Key) -> None:
        self.key_id, self._key = key.key_id, key
        self._told(key)

    async def _first_ping(self, wire: _Wire, signer: Signer, sequence: int) -> int:
        """Begin the session: the engine ends whatever came before. The last client sequence that is recorded."""
        wire.write(signer.frames((_PING,), sequence))
        pong = await wire.item()
        while pong[0] < _MESSAGE_MIN:  # reports since the logon was answered: the mirror has them
            pong = await wire.item()
        if pong[0] != _PONG:
            raise _Again(f"a first ping must be answered by a pong: {_said(pong)}")
        return int(_reference_of(pong, _ORDER_ID_AT)[0])

    async def _log_on(self, wire: _Wire, key: Key) -> tuple[LogonAnswer, Signer]:
        """The logon, and what signs frames afterwards."""
        head = LogonRequest(
            magic=MAGIC, key_id=key.key_id_bytes, client_nonce=os.urandom(16), timestamp_ns=self._now_ns(),
            last_report_number=RESUME_NEW_ONLY, options=0,
        ).pack()[:64]  # fmt: skip
        wire.write(head + hmac.digest(key.secret, head, "sha256"))
        data = await wire.item()
        if data[0] != _LOGON_ANSWER:
            raise _Refused(f"the logon of key {key.key_id} was refused: {_said(data)}")
        if not hmac.compare_digest(hmac.digest(key.secret, head + data[:64], "sha256"), data[64:LOGON_BYTES]):
            raise _Refused(f"the logon answer must be signed with the secret of key {key.key_id}, is not")
        answer = LogonAnswer.unpack(data)
        material = SESSION_LABEL + head[24:40] + answer.server_nonce + key.key_id_bytes
        return answer, Signer(hmac.digest(key.secret, material, "sha256"))

    def _begin(self, wire: _Wire, answer: LogonAnswer, last: int) -> None:
        """The session lives, and `last` is what of this key is recorded."""
        if answer.key != self.key_number:
            while self._waiting:
                _fail(self._waiting.popleft().future, _unknown("the gateway's key was changed"))
        self.key_number, self.account, self.permissions = answer.key, answer.account, answer.permissions
        self._take_back(last, "the line to the engine was lost before the command was recorded")
        self._entered = self._recorded = self.awaited = last
        self._wire, self.connected, self.failure = wire, True, ""
        self.connect_count += 1
        self._mirror.advance()
        self._say("info", "line_connected", {"line": self.name, "key": answer.key, "client_sequence": last})
        wire.go_live()

    # ---- Another secret ---------------------------------------------------------------------------------------------

    async def renew(self) -> bool:
        """Go on with the secret that the key has now; was it another one? No command is refused meanwhile.

        Raises what is wrong; the session then goes on as it was.
        """
        key = self._find_key()
        if self._key is None or key == self._key:
            return False
        if key.key_id != self._key.key_id:
            raise KeyInvalid(
                f"the key of a line must stay {self._key.key_id}, the file has {key.key_id}",
                hint="the other key is taken up at the next start",
            )
        old = self._wire
        if old is None:
            raise _Again(f"there is no session to hand over: {self.failure}")
        wire = _Wire(self)
        host, port = self._find_address()
        try:
            async with asyncio.timeout(max(CONNECT_S, self._timeout_s)):
                await cast(asyncio.AbstractEventLoop, self._loop).create_connection(lambda: wire, host, port)
                _, signer = await self._log_on(wire, key)
            await self._hand_over(old, wire, signer)
        except TimeoutError:
            wire.abort()
            raise _Again(f"no answer in time from the engine at {host}:{port}") from None
        except BaseException:
            wire.abort()
            raise
        self._take_key(key)
        self.connect_count += 1
        self._say("info", "line_handed_over", {"line": self.name, "client_sequence": self._entered})
        return True

    async def _hand_over(self, old: _Wire, wire: _Wire, signer: Signer) -> None:
        """From one session to the other. Raises _Again, TimeoutError: the old one goes on."""
        if self._wire is not old or self._refused_first:
            raise _Again(self.failure or "the engine takes no commands now")
        self._flush()
        last = self._entered
        self._held, self._last_pong = [], cast(asyncio.AbstractEventLoop, self._loop).create_future()
        self._ping(_LAST_PING)
        try:
            async with asyncio.timeout(HOLD_S):
                recorded = await self._last_pong
            if self._wire is not old or self._refused_first or recorded != last:
                raise _Again(f"the session must have recorded all of its {last} commands, has {recorded}")
            self._wire = wire  # the old one says nothing any more but that it is replaced
            try:
                async with asyncio.timeout(max(CONNECT_S, self._timeout_s)):
                    await self._first_ping(wire, signer, last)
            except _Again:  # it was not taken: the old one lives on
                self._wire = old
                if old.lost.done():
                    self._lost("the session was lost while it was handed over")
                raise
            except BaseException:  # nobody knows which of them lives
                self._lost("no answer while the session was handed over")
                raise
        finally:
            self._last_pong = None
            if self._wire is wire:
                self._signer = signer
            self._release()
            if self._wire is not old:
                old.over.set()
                old.close()
        wire.go_live()
        self._mirror.advance()

    def _release(self) -> None:
        """What was held goes on, in whichever session there is."""
        held, self._held = self._held, None
        if held and self._wire is not None:
            self._output += [self._signer.frames(parts, first) for parts, first in held]
            self._flush()


class _Wire(asyncio.Protocol):
    """One connection: items of 96 bytes, to whoever waits for them until the session lives, then to the line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._held = b""
        self._items: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: asyncio.Transport | None = None
        self._live = False
        self.over = asyncio.Event()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        for option, value in KEEP_ALIVE:  # finds out a machine that is gone; an engine that is busy is not given up
            transport.get_extra_info("socket").setsockopt(*option, value)

    def data_received(self, data: bytes) -> None:
        if self._held:
            data = self._held + data
        size = len(data)
        whole = size - size % REPORT_BYTES
        self._held = data[whole:] if whole < size else b""
        if not self._live:
            for offset in range(0, whole, REPORT_BYTES):
                self._items.put_nowait(data[offset : offset + REPORT_BYTES])
        elif self._line._wire is self:
            self._line._received(data[:whole] if whole < size else data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._items.put_nowait(b"")
        if self._line._wire is self:
            self._line._lost(str(exc) if exc else "the engine closed the connection")
        if not self.lost.done():
            self.lost.set_result(None)

    def go_live(self) -> None:
        """From here on the line gets everything, what has come behind the pong first."""
        self._live = True
        while not self._items.empty() and self._line._wire is self:
            if item := self._items.get_nowait():
                self._line._received(item)
            else:
                self._line._lost("the engine closed the connection")

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    async def item(self) -> bytes:
        """The next item before the session lives. Raises ConnectionResetError at the end."""
        item = await self._items.get()
        if not item:
            raise ConnectionResetError("the engine closed the connection")
        return item

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


def _fail(future: asyncio.Future[Applied], error: ApiError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # whoever waited may be gone


def _away(why: str, hint: str) -> ApiError:
    return ApiError(ENGINE_AWAY, detail=f"nothing was entered: {why}", hint=hint, retry_after=1)


def _unknown(why: str) -> ApiError:
    return ApiError(OUTCOME_UNKNOWN, detail=why, hint="ask for the order by its client order id before sending again")


def _code_and_reference(data: bytes, offset: int) -> tuple[int, int]:
    code = int.from_bytes(data[offset + _CODE_AT : offset + _CODE_AT + 2], "little")
    return code, int(_reference_of(data, offset + _REFERENCE_AT)[0])


def _said(item: bytes) -> str:
    """A message in words."""
    return f"kind {item[0]}, {_code_text(_code_and_reference(item, 0)[0])}"


def _code_text(code: int) -> str:
    return CODE_TEXT[code][1] if code in CODE_TEXT else f"code {code}"
