"""The asyncio client: one connection, many tasks, and a line that mends itself. Works on uvloop as well.

    task ─ submit() ─▶ Session.enter ─▶ transport.write      any number of tasks wait for outcomes of their own
    task ◀─ future  ◀─ Session.receive ◀─ data_received      reports that no outcome holds: `async for` over `reports`

Two tasks belong to a client and end with it: the keeper sends pings when nothing else is sent; the mender lives while
the line is lost. Every queue is bounded: commands wait for room among the outstanding frames (up to their time-out),
and when nobody reads the reports, reading stops and further commands are QueueFull.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterable
from types import TracebackType
from typing import cast

from ironbook._client import MENDABLE, Batch, keep_alive_pause_s
from ironbook._commands import Command, Prefixed, pack
from ironbook._errors import (
    ClientClosed,
    ConnectionFailed,
    IronbookError,
    KeyInvalid,
    NotRecorded,
    ProtocolError,
    QueueFull,
    RequestTimeout,
    SessionEnded,
)
from ironbook._key import Key
from ironbook._methods import CommandMethods
from ironbook._options import Options, ResumeState, Surroundings, backoff_s, parse_address
from ironbook._reports import Outcome, Report
from ironbook._session import Request, Session, State, complete_when, refused_logon
from schemas.vocabulary import LOGON_BYTES, Code, LogonAnswer, Nonce

_NONCE_BYTES = 16


class _Wire(asyncio.Protocol):
    """Hands what the loop says to the client, as long as this is still the client's line."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        if self._client._wire is self:
            self._client._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        if self._client._wire is self:
            self._client._line_lost(exc or ConnectionResetError("the peer closed the connection"))

    def pause_writing(self) -> None:
        self._client._writable.clear()

    def resume_writing(self) -> None:
        self._client._writable.set()


class AsyncClient(CommandMethods[Awaitable[Outcome]]):
    """A signed session with an engine node; asyncio. Use it as an async context manager.

    Arguments as for `Client`. Every command method is awaited for its outcome; any number of tasks may do so at once.
    """

    def __init__(
        self,
        address: str | tuple[str, int],
        key: Key,
        *,
        options: Options | None = None,
        resume: ResumeState | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self.options = options or Options()
        self._surroundings = surroundings or Surroundings()
        self._host, self._port = parse_address(address)
        self._session = Session(
            key,
            cancel_on_disconnect=self.options.cancel_on_disconnect,
            keep_reports=self.options.keep_reports,
            outstanding_max=self.options.outstanding_max,
            resume=resume,
        )
        self._wire: _Wire | None = None
        self._writable = asyncio.Event()
        self._told = asyncio.Event()  # something arrived: outcomes, reports, room
        self._waiters: dict[Request, asyncio.Future[None]] = {}
        self._failure: IronbookError | None = None
        self._open = False
        self._attempting = False
        self._write_scheduled = False
        self._notice: NotRecorded | None = None  # of commands nobody waits for; the next call raises it
        self._account = 0
        self._sent_s = 0.0
        self._gap_at = -1
        self._progress: tuple[int, int, int] | None = None
        self._reading = True
        self._refused_from = 0
        self._refused_since_s = 0.0
        self._retry_count = 0
        self._retry_timer: asyncio.TimerHandle | None = None
        self._mender: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    # ---- The line ---------------------------------------------------------------------------------------------------

    async def connect(self, *, new_reports_only: bool = False) -> AsyncClient:
        """Connect and log on; after a loss, resume. Raises ConnectionFailed, LogonRefused, ProtocolError.

        `new_reports_only` gives up the reports behind the last one read: after reports_unavailable, the engine keeps
        them no more, and a replica has them.
        """
        if self._wire is None and self._mender is None:
            if new_reports_only:
                self._session.skip_reports()
            self._failure = None
            await self._attempt()
            self._open = True
            if self.options.keep_alive and self._keeper is None:
                self._keeper = asyncio.create_task(self._keep_alive(), name="ironbook keep-alive")
        return self

    async def close(self) -> None:
        """Close the line and end both tasks. What is outstanding is kept for another connect()."""
        self._open = False
        tasks = [task for task in (self._mender, self._keeper) if task is not None]
        self._mender = self._keeper = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        wire = self._wire
        self._drop_line()
        self._fail(ClientClosed("the client was closed", hint="connect() again to resume"))
        if wire is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(wire.lost), self.options.connect_timeout_s)

    async def __aenter__(self) -> AsyncClient:
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def account(self) -> int:
        """The key's own account, known after the first logon."""
        return self._account

    @property
    def logon(self) -> LogonAnswer | None:
        """What the engine said at the last logon: permissions, idle time, its clock."""
        return self._session.answer

    @property
    def connected(self) -> bool:
        """The line is open and the session live, as far as this side knows."""
        return self._wire is not None and self._session.state is State.LIVE

    @property
    def logon_count(self) -> int:
        """How many times this client has logged on."""
        return self._session.logon_count

    def resume_state(self) -> ResumeState:
        """Where this client stands, to be saved and handed to the next one."""
        return self._session.resume_state()

    async def use_key(self, key: Key) -> None:
        """Go on with another secret of the same key; what is outstanding is kept, and nothing is entered twice.

        The secret is tried first, in a session that never begins. Raises ConnectionFailed, LogonRefused, AnswerForged:
        the client then goes on as it was. Afterwards the line is mended with it, as after any loss; returns when it is.
        """
        if key == self._session.key:
            return
        if key.key_id != self._session.key.key_id:
            raise KeyInvalid(
                f"the key of a client must stay {self._session.key.key_id}, was given {key.key_id}",
                hint="make a client of its own for another key",
            )
        await self._try_key(key)
        self._session.key = key
        if self._wire is not None and not self._attempting:
            self._line_lost(ConnectionResetError("the key has another secret"))
        if self._mender is not None:
            await asyncio.wait([self._mender])
        if self._failure is not None:
            raise self._failure

    async def _try_key(self, key: Key) -> None:
        """Log on and leave again, without a frame: the live session goes on."""
        options, session = self.options, Session(key, keep_reports=False)
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                reader, writer = await asyncio.open_connection(
                    self._host, self._port, ssl=options.tls,
                    server_hostname=(options.tls_server_name or self._host) if options.tls else None,
                )  # fmt: skip
                try:
                    nonce = self._surroundings.random_bytes(_NONCE_BYTES)
                    writer.write(session.logon(self._surroundings.now_ns(), nonce))
                    session.receive(await reader.readexactly(LOGON_BYTES))
                finally:
                    writer.close()
        except (OSError, EOFError, TimeoutError) as error:
            raise ConnectionFailed(
                f"the engine must answer a logon, does not: {error or type(error).__name__}",
                detail=f"{self._host}:{self._port}",
            ) from error
        if session.state is not State.LIVE:
            raise refused_logon(session)

    # ---- Commands ---------------------------------------------------------------------------------------------------

    async def send(self, command: Command | Prefixed, *, text: str = "", nonce: Nonce | None = None) -> int:
        """Send without waiting for the outcome; returns its client sequence. Waits for room, then raises QueueFull."""
        group = pack(command, text, nonce)
        await self._room(len(group), self.options.request_timeout_s)
        self._session.enter(*group)
        sequence = self._session.entered
        self._write_soon()
        return sequence

    async def send_many(self, commands: Iterable[Command | Prefixed]) -> range:
        """Send many in one write without waiting; their client sequences (prefixes included)."""
        groups = [pack(command) for command in commands]
        await self._room(sum(map(len, groups)), self.options.request_timeout_s)
        first = self._session.entered + 1
        for group in groups:
            self._session.enter(*group)
        self._write()
        return range(first, self._session.entered + 1)

    async def submit_many(
        self, commands: Iterable[Command | Prefixed], *, timeout_s: float | None = None
    ) -> list[Outcome]:
        """Send many in one write and wait for all of their outcomes, in the same order."""
        return await self._do_many([pack(command) for command in commands], timeout_s)

    @contextlib.asynccontextmanager
    async def batch(self, *, timeout_s: float | None = None) -> AsyncIterator[Batch]:
        """Collect commands; at the end of the block they leave in one write, and `outcomes` is filled."""
        collected = Batch(self.account)
        yield collected
        collected.outcomes = await self._do_many(collected.groups, timeout_s)

    async def _do(self, group: tuple[bytes, ...], timeout_s: float | None) -> Outcome:
        return (await self._do_many([group], timeout_s))[0]

    async def _do_many(self, groups: list[tuple[bytes, ...]], timeout_s: float | None) -> list[Outcome]:
        limit_s = self.options.request_timeout_s if timeout_s is None else timeout_s
        deadline_s = self._surroundings.monotonic_s() + limit_s
        await self._room(sum(map(len, groups)), limit_s)
        requests: list[Request] = []
        loop = asyncio.get_running_loop()
        for group in groups:
            request = self._session.enter(*group, until=complete_when(group), more=True)
            if request is not None:
                requests.append(request)
                self._waiters[request] = loop.create_future()
        self._session.fence()
        futures = [self._waiters[request] for request in requests]
        self._write_soon()
        try:
            async with asyncio.timeout(deadline_s - self._surroundings.monotonic_s()):
                for future in futures:
                    await future
        except TimeoutError:
            raise RequestTimeout(
                "a command must be answered in time, and no answer came",
                detail=f"{self._host}:{self._port}, {self._session.outstanding_count()} frames may not be recorded",
                hint="what was sent is kept and may still be carried out: its reports will tell",
            ) from None
        finally:
            for request in requests:
                future = self._waiters.pop(request)
                if not future.done():
                    future.cancel()
                elif not future.cancelled():
                    future.exception()  # seen, even if another one was raised first
                self._session.forget(request)
        return [request.outcome() for request in requests]

    # ---- Reports ----------------------------------------------------------------------------------------------------

    @property
    async def reports(self) -> AsyncIterator[Report]:
        """Reports that no outcome holds, for ever; waits for the next one. Ends when the client is closed."""
        while self._open or self._session.reports:
            for report in await self.take_reports():
                yield report

    async def take_reports(self, timeout_s: float | None = None) -> list[Report]:
        """Reports that no outcome holds and that have arrived; waits for the first, at most `timeout_s`."""
        reports = self._session.reports
        if not reports:
            self._require_open()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not reports and self._open:
                    if self._failure is not None:
                        raise self._failure
                    self._told.clear()
                    await self._told.wait()
        taken = list(reports)
        reports.clear()
        self._read_on()
        return taken

    async def ping(self, timeout_s: float | None = None) -> float:
        """Ask for a sign of life; seconds until it came. Everything told before it has been received then."""
        self._require_open()
        began_s = self._surroundings.monotonic_s()
        limit_s = self.options.request_timeout_s if timeout_s is None else timeout_s
        echo, logons = self._session.ping(), self._session.logon_count
        self._write()
        try:
            async with asyncio.timeout(limit_s):
                while self._session.pong_echo < echo:
                    self._told.clear()
                    await self._told.wait()
                    self._require_open()
                    if self._session.logon_count != logons:  # the ping went down with its line
                        echo, logons = self._session.ping(), self._session.logon_count
                        self._write()
        except TimeoutError:
            raise RequestTimeout(
                f"a ping must be answered within {limit_s} s, and was not",
                detail=f"{self._host}:{self._port}",
                hint="is the engine busy or stopped? look at its log",
            ) from None
        return self._surroundings.monotonic_s() - began_s

    # ---- Inside -----------------------------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._notice is not None:
            notice, self._notice = self._notice, None
            raise notice
        if not self._open:
            raise ClientClosed(
                "a client must be connected", hint="await connect(), or use it as an async context manager"
            )

    async def _room(self, frame_count: int, limit_s: float) -> None:
        """Wait until that many frames may be entered and the transport takes bytes. Raises QueueFull."""
        self._require_open()
        session = self._session
        if len(session.reports) >= self.options.report_queue_max:
            raise QueueFull(
                f"at most {self.options.report_queue_max} reports may wait to be read, {len(session.reports)} do",
                detail="Options.report_queue_max",
                hint="read `reports`, then send this again; or set keep_reports=False if nobody reads them",
            )
        try:
            async with asyncio.timeout(limit_s):
                while session.outstanding_count() + frame_count > self.options.outstanding_max:
                    if frame_count > self.options.outstanding_max:
                        raise TimeoutError
                    self._told.clear()
                    await self._told.wait()
                    self._require_open()
                if self._wire is not None:
                    await self._writable.wait()
        except TimeoutError:
            raise QueueFull(
                f"at most {self.options.outstanding_max} frames may be sent and not yet known to be recorded; "
                f"{session.outstanding_count()} are, and {frame_count} more were given",
                detail="Options.outstanding_max",
                hint="send fewer at once, or wait; nothing of it was sent",
            ) from None

    def _write_soon(self) -> None:
        """Write at the end of this turn of the loop, so that what many tasks send leaves together."""
        if not self._write_scheduled:
            self._write_scheduled = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._write_scheduled = False
        wire = self._wire
        if wire is None or wire.transport is None or wire.transport.is_closing():
            return
        data = self._session.output()
        if data:
            self._sent_s = self._surroundings.monotonic_s()
            wire.transport.write(data)

    def _received(self, data: bytes) -> None:
        session = self._session
        try:
            session.receive(data)
        except ProtocolError as error:
            self._settle()
            self._drop_line()
            self._fail(error)
            return
        self._settle()
        if session.state is State.ENDED:
            if not self._attempting:
                self._ended()
            return
        if session.refusal is not None:
            self._retry_later()
        self._write()
        if self._reading and len(session.reports) >= self.options.report_queue_max:
            self._reading = False
            if self._wire is not None and self._wire.transport is not None:
                self._wire.transport.pause_reading()

    def _settle(self) -> None:
        """Wake who waits for what has arrived."""
        completed = self._session.completed
        if completed:
            for request in completed:
                future = self._waiters.get(request)
                if future is not None and not future.done():
                    future.set_result(None)
            completed.clear()
        self._told.set()

    def _read_on(self) -> None:
        if not self._reading and len(self._session.reports) <= self.options.report_queue_max // 2:
            self._reading = True
            if self._wire is not None and self._wire.transport is not None:
                self._wire.transport.resume_reading()

    def _ended(self) -> None:
        """The engine ended the session: go on with a new one, or tell everybody why not."""
        session = self._session
        code = session.ended or Code.NONE
        looping = code is Code.SEQUENCE_GAP and self._gap_at == session.recorded
        if code is Code.SEQUENCE_GAP:
            self._gap_at = session.recorded
        if code in MENDABLE and not looping:
            self._line_lost(ConnectionResetError(f"the engine ended the session: {code.name.lower()}"))
            return
        self._drop_line()
        self._fail(SessionEnded(code, detail=f"key {session.key.key_id} at {self._host}:{self._port}"))

    def _fail(self, error: IronbookError) -> None:
        """Nothing more will come: everybody who waits gets this error, and so does the next call."""
        self._failure = error
        for future in self._waiters.values():
            if not future.done():
                future.set_exception(error)
        self._told.set()

    def _drop_line(self) -> None:
        wire, self._wire = self._wire, None
        self._session.line_lost()
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None
        self._writable.set()
        self._reading = True
        if wire is not None and wire.transport is not None:
            wire.transport.close()

    def _line_lost(self, why: Exception) -> None:
        self._drop_line()
        self._told.set()
        if self._open and not self._attempting and self._mender is None:
            self._mender = asyncio.get_running_loop().create_task(self._mend(why), name="ironbook reconnect")

    def _stand(self) -> tuple[int, int, int]:
        session = self._session
        return session.recorded, session.last_report_number or 0, session.pong_echo

    async def _attempt(self) -> None:
        """One attempt: connect, log on, wait for the answer, resend."""
        options, session, loop = self.options, self._session, asyncio.get_running_loop()
        where = f"{self._host}:{self._port}"
        self._attempting = True
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                _, wire = await loop.create_connection(
                    lambda: _Wire(self),
                    self._host,
                    self._port,
                    ssl=options.tls,
                    server_hostname=(options.tls_server_name or self._host) if options.tls else None,
                )
                self._writable.set()
                self._wire = wire
                nonce = self._surroundings.random_bytes(_NONCE_BYTES)
                request = session.logon(self._surroundings.now_ns(), nonce)
                if wire.transport is not None:
                    wire.transport.write(request)
                while session.state is State.LOGON and self._wire is wire and self._failure is None:
                    self._told.clear()
                    await self._told.wait()
        except (OSError, TimeoutError) as error:
            self._drop_line()
            said = f"{error}" or f"no answer within {options.connect_timeout_s} s"
            raise ConnectionFailed(
                f"the engine must answer a logon at {where}, the system says: {said}",
                hint="is it running, and is this its client address (plain or TLS)?",
            ) from error
        finally:
            self._attempting = False
        if self._failure is not None:
            raise self._failure
        if session.state is State.ENDED and session.ended not in MENDABLE:
            refused = refused_logon(session)
            self._drop_line()
            raise refused
        if session.state is not State.LIVE:
            self._drop_line()
            raise ConnectionFailed("the engine must answer a logon, the peer closed the connection", detail=where)
        self._account = session.answer.account if session.answer is not None else 0
        self._retry_count = 0
        self._progress = self._stand()
        self._write()

    async def _mend(self, why: Exception) -> None:
        """Task while the line is lost: connect again until it stands or reconnect_timeout_s is over."""
        options, began_s, attempt = self.options, self._surroundings.monotonic_s(), 0
        try:
            if not options.reconnect:
                raise self._failed(why, "reconnecting is switched off")
            if self._progress == self._stand():
                await asyncio.sleep(backoff_s(options, 5, self._surroundings.random_unit()))
            while True:
                attempt += 1
                try:
                    await self._attempt()
                    return
                except ConnectionFailed as error:
                    why = error
                if self._surroundings.monotonic_s() - began_s > options.reconnect_timeout_s:
                    raise self._failed(why, f"{attempt} attempts in {options.reconnect_timeout_s} s")
                await asyncio.sleep(backoff_s(options, attempt, self._surroundings.random_unit()))
        except IronbookError as error:
            self._fail(error)
        finally:
            self._mender = None

    def _failed(self, why: Exception, detail: str) -> ConnectionFailed:
        return ConnectionFailed(
            f"the line to {self._host}:{self._port} must hold, it was lost: {why}",
            detail=f"{detail}; {self._session.outstanding_count()} frames are not known to be recorded",
            hint="connect() resumes them under the same client sequences; resume_state() saves them",
        )

    def _retry_later(self) -> None:
        """Frames were refused: send them again after a wait."""
        refusal = self._session.refusal
        if refusal is None or self._retry_timer is not None:
            return
        if self._retry_count == 0 or refusal.from_sequence > self._refused_from:
            self._refused_from = refusal.from_sequence
            self._refused_since_s = self._surroundings.monotonic_s()
            self._retry_count = 0
        self._retry_count += 1
        pause_s = backoff_s(self.options, self._retry_count, self._surroundings.random_unit())
        self._retry_timer = asyncio.get_running_loop().call_later(pause_s, self._retry)

    def _retry(self) -> None:
        self._retry_timer = None
        session, refusal = self._session, self._session.refusal
        if refusal is None:
            return
        if self._surroundings.monotonic_s() - self._refused_since_s > self.options.refusal_timeout_s:
            first, last = refusal.from_sequence, session.entered
            withdrawn = session.withdraw()
            if withdrawn is not None:
                self._retry_count = 0
                detail = f"client sequences {first} to {last} were taken back"
                for request in withdrawn:
                    future = self._waiters.get(request)
                    if future is not None and not future.done():
                        future.set_exception(NotRecorded(refusal.code, detail=detail))
                if not withdrawn:
                    self._notice = NotRecorded(refusal.code, detail=detail)
                self._told.set()
                return
        if session.retry():
            self._write()
        else:
            self._retry_later()

    async def _keep_alive(self) -> None:
        """Task: a ping when nothing else was sent for a third of the idle time."""
        while True:
            await asyncio.sleep(keep_alive_pause_s(self._session.answer))
            answer = self._session.answer
            if answer is None or not answer.idle_ms or self._session.state is not State.LIVE:
                continue
            if self._surroundings.monotonic_s() - self._sent_s > answer.idle_ms / 3000:
                self._session.ping()
                self._write()
