"""The synchronous client: one connection, blocking calls, and a line that mends itself.

    submit() … ─▶ Session.enter ─▶ Line.write          lock-step: one write, one read, no poll, no thread switch
    outcome   ◀─ Session.receive ◀─ Line.read

A client belongs to one thread at a time; a lock only keeps the keep-alive thread apart from it. Whatever breaks the
line (a cut, a restart, an idle time-out) is mended inside the call that notices it: connect again with exponential
backoff and jitter, log on, resend what is not recorded, and go on waiting.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType

from ironbook._commands import Command, Prefixed, pack
from ironbook._errors import (
    ClientClosed,
    ConnectionFailed,
    IronbookError,
    NotRecorded,
    ProtocolError,
    QueueFull,
    RequestTimeout,
    SessionEnded,
)
from ironbook._key import Key
from ironbook._line import Line
from ironbook._methods import CommandMethods
from ironbook._options import Options, ResumeState, Surroundings, backoff_s, parse_address
from ironbook._reports import Outcome, Report
from ironbook._session import Request, Session, State, complete_when, refused_logon
from schemas.vocabulary import Code, LogonAnswer, Nonce

# The engine ended the session, and a new one may go on where it stopped.
MENDABLE = frozenset((Code.SERVER_STOPPING, Code.IDLE_TIMEOUT, Code.SLOW_READER, Code.SEQUENCE_GAP))
_NONCE_BYTES = 16
_READ_WHEN_OUTSTANDING = 256  # read along while sending without waiting, so that neither side's buffers fill


def keep_alive_pause_s(answer: LogonAnswer | None) -> float:
    """How often to look whether a ping is due: it is after a third of the idle time."""
    return 0.5 if answer is None or not answer.idle_ms else max(0.02, min(0.5, answer.idle_ms / 6000))


class Batch(CommandMethods[int]):
    """Collects commands and sends them in one write; each method returns the command's index in `outcomes`."""

    def __init__(self, account: int) -> None:
        self._account = account
        self.groups: list[tuple[bytes, ...]] = []
        self.outcomes: list[Outcome] = []

    @property
    def account(self) -> int:
        return self._account

    def _do(self, group: tuple[bytes, ...], timeout_s: float | None) -> int:
        self.groups.append(group)
        return len(self.groups) - 1


class Client(CommandMethods[Outcome]):
    """A signed session with an engine node; blocking. Use it as a context manager.

    address       "host:port"
    key           id and secret
    options       how it behaves
    resume        where an earlier client stood (`resume_state()`); reports go on behind the last one that was read

    Every command method waits for its outcome. `send` and `send_many` do not wait. Reports that no outcome holds
    are read from `reports` or `take_reports()`.
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
        self._line: Line | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._opened = False
        self._account = 0
        self._sent_s = 0.0
        self._gap_at = -1  # last client sequence recorded at the last sequence_gap
        self._progress: tuple[int, int, int] | None = None  # at the last logon: without any since, wait first
        self._broken: IronbookError | None = None  # what the keep-alive thread met; the next call raises it
        self._refused_from = 0
        self._refused_since_s = 0.0
        self._retry_at_s = 0.0
        self._retry_count = 0
        self._keep_alive: threading.Thread | None = None

    # ---- The line ---------------------------------------------------------------------------------------------------

    def connect(self, *, new_reports_only: bool = False) -> Client:
        """Connect and log on; after a loss, resume. Raises ConnectionFailed, LogonRefused, ProtocolError.

        `new_reports_only` gives up the reports behind the last one read: after reports_unavailable, the engine keeps
        them no more, and a replica has them.
        """
        with self._lock:
            if self._line is None:
                if new_reports_only:
                    self._session.skip_reports()
                self._closed.clear()
                self._open()
                self._opened = True
                if self.options.keep_alive and self._keep_alive is None:
                    name = f"ironbook keep-alive {self._session.key.key_id}"
                    self._keep_alive = threading.Thread(target=self._keep_alive_run, name=name, daemon=True)
                    self._keep_alive.start()
        return self

    def close(self) -> None:
        """Close the line. What is outstanding is kept for another connect(), or for `resume_state()`."""
        self._closed.set()
        with self._lock:
            self._drop_line()
            self._opened = False
        thread, self._keep_alive = self._keep_alive, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def __enter__(self) -> Client:
        return self.connect()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
        return self._line is not None and self._session.state is State.LIVE

    @property
    def logon_count(self) -> int:
        """How many times this client has logged on."""
        return self._session.logon_count

    def resume_state(self) -> ResumeState:
        """Where this client stands, to be saved and handed to the next one."""
        with self._lock:
            return self._session.resume_state()

    # ---- Commands ---------------------------------------------------------------------------------------------------

    def send(self, command: Command | Prefixed, *, text: str = "", nonce: Nonce | None = None) -> int:
        """Send without waiting; returns the client sequence that its answer will name. Raises QueueFull."""
        group = pack(command, text, nonce)
        with self._lock:
            self._ready(len(group))
            self._session.enter(*group)
            self._write()
            return self._session.entered

    def send_many(self, commands: Iterable[Command | Prefixed]) -> range:
        """Send many in one write without waiting; their client sequences (prefixes included). Raises QueueFull."""
        groups = [pack(command) for command in commands]
        with self._lock:
            self._ready(sum(map(len, groups)))
            first = self._session.entered + 1
            for group in groups:
                self._session.enter(*group)
            self._write()
            return range(first, self._session.entered + 1)

    def submit_many(self, commands: Iterable[Command | Prefixed], *, timeout_s: float | None = None) -> list[Outcome]:
        """Send many in one write and wait for all of their outcomes, in the same order."""
        return self._do_many([pack(command) for command in commands], timeout_s)

    @contextlib.contextmanager
    def batch(self, *, timeout_s: float | None = None) -> Iterator[Batch]:
        """Collect commands; at the end of the block they leave in one write, and `outcomes` is filled.

        Nothing is sent if the block raises.
        """
        collected = Batch(self.account)
        yield collected
        collected.outcomes = self._do_many(collected.groups, timeout_s)

    def _do(self, group: tuple[bytes, ...], timeout_s: float | None) -> Outcome:
        with self._lock:
            self._ready(len(group))
            request = self._session.enter(*group, until=complete_when(group))
            if request is None:
                raise ProtocolError("a command that is waited for must be a request", detail="Session.enter")
            self._write()
            if not request.complete:
                self._wait((request,), timeout_s)
            self._session.completed.clear()
            return request.outcome()

    def _do_many(self, groups: list[tuple[bytes, ...]], timeout_s: float | None) -> list[Outcome]:
        with self._lock:
            self._ready(sum(map(len, groups)))
            requests = [self._session.enter(*group, until=complete_when(group), more=True) for group in groups]
            self._session.fence()
            waiting = [request for request in requests if request is not None]
            self._write()
            self._wait(waiting, timeout_s)
            self._session.completed.clear()
            return [request.outcome() for request in waiting]

    # ---- Reports ----------------------------------------------------------------------------------------------------

    @property
    def reports(self) -> Iterator[Report]:
        """Reports that no outcome holds, for ever; waits for the next one. Ends when the client is closed."""
        while not self._closed.is_set():
            try:
                taken = self.take_reports(timeout_s=1.0)
            except ClientClosed:
                return
            yield from taken

    def take_reports(self, timeout_s: float = 0.0) -> list[Report]:
        """Reports that no outcome holds and that have arrived; waits up to `timeout_s` for the first."""
        with self._lock:
            reports = self._session.reports
            self._require_open()
            deadline_s = self._surroundings.monotonic_s() + timeout_s
            while True:
                self._read_available(0.0)
                left_s = deadline_s - self._surroundings.monotonic_s()
                if reports or left_s <= 0 or self._closed.is_set():
                    break
                self._read_available(min(left_s, 0.25))
            taken = list(reports)
            reports.clear()
            return taken

    def ping(self, timeout_s: float | None = None) -> float:
        """Ask for a sign of life; seconds until it came. Everything told before it has been received then."""
        with self._lock:
            self._require_open()
            began_s = self._surroundings.monotonic_s()
            echo = self._session.ping()
            logons = self._session.logon_count
            self._write()
            deadline_s = began_s + (self.options.request_timeout_s if timeout_s is None else timeout_s)
            while self._session.pong_echo < echo:
                self._pump(deadline_s, "a ping must be answered")
                if self._session.logon_count != logons:  # the ping went down with its line
                    logons = self._session.logon_count
                    echo = self._session.ping()
                    self._write()
            return self._surroundings.monotonic_s() - began_s

    # ---- Inside: the lock is held -----------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self._broken is not None:
            broken, self._broken = self._broken, None
            raise broken
        if not self._opened:
            raise ClientClosed("a client must be connected", hint="call connect(), or use it as a context manager")

    def _ready(self, frame_count: int) -> None:
        """May that many frames be entered? Reads along when much is outstanding."""
        self._require_open()
        session = self._session
        if session.outstanding_count() + frame_count > _READ_WHEN_OUTSTANDING:
            self._read_available(0.0)
        if session.outstanding_count() + frame_count > self.options.outstanding_max:
            raise QueueFull(
                f"at most {self.options.outstanding_max} frames may be sent and not yet known to be recorded; "
                f"{session.outstanding_count()} are, and {frame_count} more were given",
                detail="Options.outstanding_max",
                hint="take reports until some are answered, then send this again; nothing of it was sent",
            )
        if len(session.reports) >= self.options.report_queue_max:
            raise QueueFull(
                f"at most {self.options.report_queue_max} reports may wait to be read, {len(session.reports)} do",
                detail="Options.report_queue_max",
                hint="take reports, then send this again; or set keep_reports=False if nobody reads them",
            )

    def _open(self) -> None:
        """One attempt: connect, log on, wait for the answer. What is outstanding is in the output then."""
        options, session = self.options, self._session
        line = Line.open(
            self._host,
            self._port,
            timeout_s=options.connect_timeout_s,
            tls=options.tls,
            tls_server_name=options.tls_server_name,
        )
        try:
            nonce = self._surroundings.random_bytes(_NONCE_BYTES)
            line.write(session.logon(self._surroundings.now_ns(), nonce), session.receive, options.connect_timeout_s)
            deadline_s = self._surroundings.monotonic_s() + options.connect_timeout_s
            while session.state is State.LOGON:
                data = line.read()
                if data is not None:
                    session.receive(data)
                elif self._surroundings.monotonic_s() > deadline_s:
                    raise TimeoutError(f"no logon answer within {options.connect_timeout_s} s")
            if session.state is State.ENDED:
                if session.ended in MENDABLE:
                    raise ConnectionResetError(f"the engine said {session.ended.name.lower() if session.ended else ''}")
                raise refused_logon(session)
            self._sent_s = self._surroundings.monotonic_s()
            line.write(session.output(), session.receive, options.connect_timeout_s)
        except OSError as error:
            line.close()
            session.line_lost()
            raise ConnectionFailed(
                f"the engine must answer a logon, the line says: {error}",
                detail=f"{self._host}:{self._port}",
                hint="is this the engine's client address (plain or TLS)? look at the engine's log",
            ) from error
        except IronbookError:
            line.close()
            session.line_lost()
            raise
        self._line = line
        self._account = session.answer.account if session.answer is not None else 0
        self._retry_count = 0
        self._progress = self._stand()

    def _stand(self) -> tuple[int, int, int]:
        session = self._session
        return session.recorded, session.last_report_number or 0, session.pong_echo

    def _drop_line(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        self._session.line_lost()

    def _regain(self, why: Exception) -> None:
        """The line is lost: connect again until it stands or reconnect_timeout_s is over."""
        self._drop_line()
        options = self.options
        if not options.reconnect:
            raise self._failed(why, "reconnecting is switched off") from why
        began_s = self._surroundings.monotonic_s()
        attempt = 0
        if self._progress == self._stand():
            self._surroundings.sleep(backoff_s(options, 5, self._surroundings.random_unit()))
        while not self._closed.is_set():
            attempt += 1
            try:
                self._open()
                return
            except ConnectionFailed as error:
                why = error
            if self._surroundings.monotonic_s() - began_s > options.reconnect_timeout_s:
                raise self._failed(why, f"{attempt} attempts in {options.reconnect_timeout_s} s") from why
            self._surroundings.sleep(backoff_s(options, attempt, self._surroundings.random_unit()))
        raise ClientClosed("the client was closed while it reconnected", hint="connect() again to resume")

    def _failed(self, why: Exception, detail: str) -> ConnectionFailed:
        return ConnectionFailed(
            f"the line to {self._host}:{self._port} must hold, it was lost: {why}",
            detail=f"{detail}; {self._session.outstanding_count()} frames are not known to be recorded",
            hint="connect() resumes them under the same client sequences; resume_state() saves them",
        )

    def _write(self) -> None:
        """Write the output; mend the line if it is lost."""
        if self._line is None:
            self._regain(ConnectionResetError("it was lost before"))
            return
        self._write_once()

    def _write_once(self) -> None:
        line, session = self._line, self._session
        data = session.output()
        if line is None or not data:
            return
        self._sent_s = self._surroundings.monotonic_s()
        try:
            line.write(data, session.receive, self.options.request_timeout_s)
        except OSError as error:
            if session.state is State.ENDED:
                self._ended()
            else:
                self._regain(error)
        except ProtocolError:
            self._drop_line()
            raise

    def _read_once(self) -> bool:
        """Read once, waiting a tick; False if nothing came. Mends the line, answers refusals, pings when idle."""
        line, session = self._line, self._session
        if line is None:
            self._regain(ConnectionResetError("it was lost before"))
            return True
        try:
            data = line.read()
            if data is not None:
                session.receive(data)
        except OSError as error:
            self._regain(error)
            return True
        except ProtocolError:
            self._drop_line()
            raise
        if session.state is State.ENDED:
            self._ended()
        elif session.refusal is not None:
            self._retry()
        elif data is None:
            self._ping_if_idle()
        if session._output:
            self._write_once()
        return data is not None

    def _ended(self) -> None:
        """The engine ended the session: go on with a new one, or say why not."""
        code = self._session.ended or Code.NONE
        if code is Code.SEQUENCE_GAP and self._gap_at == self._session.recorded:
            code = Code.NONE
        if code is Code.SEQUENCE_GAP:
            self._gap_at = self._session.recorded
        if code in MENDABLE:
            self._regain(ConnectionResetError(f"the engine ended the session: {code.name.lower()}"))
            return
        ended = self._session.ended or Code.NONE
        self._drop_line()
        raise SessionEnded(ended, detail=f"key {self._session.key.key_id} at {self._host}:{self._port}")

    def _retry(self) -> None:
        """Send refused frames again after a wait; take them back when refusal_timeout_s is over."""
        session, refusal = self._session, self._session.refusal
        if refusal is None:
            return
        now_s = self._surroundings.monotonic_s()
        if self._retry_count == 0 or refusal.from_sequence > self._refused_from:
            self._refused_from = refusal.from_sequence
            self._refused_since_s = now_s
            self._retry_count = 1
            self._retry_at_s = now_s + backoff_s(self.options, 1, self._surroundings.random_unit())
        if now_s - self._refused_since_s > self.options.refusal_timeout_s:
            code, first, last = refusal.code, refusal.from_sequence, session.entered
            if session.withdraw() is not None:
                self._retry_count = 0
                raise NotRecorded(code, detail=f"client sequences {first} to {last} were taken back")
        if now_s >= self._retry_at_s and session.retry():
            self._retry_count += 1
            pause_s = backoff_s(self.options, self._retry_count, self._surroundings.random_unit())
            self._retry_at_s = now_s + pause_s
            self._write_once()

    def _ping_if_idle(self) -> None:
        answer = self._session.answer
        if answer is None or self._session.state is not State.LIVE or not self.options.keep_alive or not answer.idle_ms:
            return
        if self._surroundings.monotonic_s() - self._sent_s > answer.idle_ms / 3000:
            self._session.ping()

    def _read_available(self, timeout_s: float) -> None:
        """Read what has arrived, waiting up to `timeout_s` for it; stops at report_queue_max."""
        while len(self._session.reports) < self.options.report_queue_max:
            line = self._line
            if line is not None and not line.readable(timeout_s):
                self._ping_if_idle()
                if self._session.refusal is not None:
                    self._retry()
                if self._session._output:
                    self._write_once()
                return
            self._read_once()
            timeout_s = 0.0

    def _pump(self, deadline_s: float, must: str) -> None:
        """Read once; raise RequestTimeout when the deadline is over."""
        self._read_once()
        if self._surroundings.monotonic_s() > deadline_s:
            raise RequestTimeout(
                f"{must} in time, and none came",
                detail=f"{self._host}:{self._port}, {self._session.outstanding_count()} frames may not be recorded",
                hint="what was sent is kept and may still be carried out: its reports will tell",
            )

    def _wait(self, requests: Sequence[Request], timeout_s: float | None) -> None:
        deadline_s = self._sent_s + (self.options.request_timeout_s if timeout_s is None else timeout_s)
        try:
            for request in requests:
                while not request.complete:
                    self._pump(deadline_s, "a command must be answered")
        except BaseException:
            for request in requests:
                self._session.forget(request)
            raise

    # ---- The keep-alive thread --------------------------------------------------------------------------------------

    def _keep_alive_run(self) -> None:
        """Ping when nothing else is sent, and take in reports, whenever nobody uses the client."""
        while not self._closed.wait(keep_alive_pause_s(self._session.answer)):
            if not self._lock.acquire(blocking=False):
                continue
            try:
                if self._line is not None:
                    self._keep_alive_once(self._line)
            except OSError:
                self._drop_line()  # the next call mends it
            except IronbookError as error:
                self._drop_line()
                self._broken = error
            finally:
                self._lock.release()

    def _keep_alive_once(self, line: Line) -> None:
        session = self._session
        while session.state is State.LIVE and len(session.reports) < self.options.report_queue_max:
            if not line.readable(0.0):
                break
            data = line.read()
            if data is not None:
                session.receive(data)
        if session.state is State.ENDED:
            ended = session.ended or Code.NONE
            self._drop_line()
            if ended not in MENDABLE:
                raise SessionEnded(ended, detail=f"key {session.key.key_id} at {self._host}:{self._port}")
            return
        self._ping_if_idle()
        output = session.output()
        if output:
            line.write(output, session.receive, self.options.connect_timeout_s)
            self._sent_s = self._surroundings.monotonic_s()
