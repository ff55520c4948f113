"""The session: everything a client knows and decides, without a socket, a clock or a source of randomness.

    commands ──▶ enter() ──▶ outstanding ──▶ output() ──▶ bytes to write
                                 ▲   │ resent after a new logon, or when the engine could not record them
                                 │   ▼ dropped when a report, a pong or a logon answer shows that they are recorded
    bytes read ──▶ receive() ──▶ reports, outcomes of requests, refusal, end

Nothing is entered twice or lost: a command gets its client sequence once and keeps it over every line. The logon
answer says which one the engine recorded last; what lies behind is signed anew and sent again under the same
numbers, and what was recorded meanwhile is answered by a `repeat`, which is success. Reports are numbered within the
key; the logon names the last one read, and each one must carry the next number.

States:  OFFLINE ──logon()──▶ LOGON ──good answer──▶ LIVE ──session_ended──▶ ENDED
            ▲──────────────────────line_lost()──────────────────────────────────┘
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, cast

from typing_extensions import Buffer

from ironbook._errors import (
    AnswerForged,
    ClientClosed,
    LogonRefused,
    ProtocolError,
    QueueFull,
    ReportGap,
    ReportRepeated,
    SequenceConflict,
    SessionEnded,
)
from ironbook._key import Key
from ironbook._options import ResumeState
from ironbook._reports import CODES, DONE, KINDS, STRUCT, Outcome, Report, Twin
from schemas.vocabulary import (
    KIND_CLASS,
    LOGON_BYTES,
    REPORT_BYTES,
    RESUME_NEW_ONLY,
    TAG_BYTES,
    Code,
    EventKind,
    Kind,
    LinkAction,
    LogonAnswer,
    LogonOption,
    LogonRequest,
    MessageKind,
    OrderType,
    Ping,
    TimeInForce,
)

MAGIC = b"IRONBK01"
SESSION_LABEL = b"IRONBK01 session"
SHA256_BLOCK_BYTES = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))

_REJECTED, _FILLED, _CANCELLED = int(EventKind.REJECTED), int(EventKind.FILLED), int(EventKind.CANCELLED)
_TRIGGERED = _REPORT_KIND_MAX = int(EventKind.TRIGGERED)
_REPLACE, _MASS_CANCEL = int(Kind.REPLACE), int(Kind.MASS_CANCEL)
# Commands behind whose answer more may come: fills, linked orders that go, waiting ones that fire.
_SETS_OFF = frozenset((Kind.REPLACE, Kind.CANCEL, Kind.HALT, Kind.INSTRUMENT_STATE))
_MESSAGE_KIND_MIN = int(MessageKind.LOGON_ANSWER)
_REFUSED, _REPEAT = int(MessageKind.REFUSED), int(MessageKind.REPEAT)
_PONG, _SESSION_ENDED = int(MessageKind.PONG), int(MessageKind.SESSION_ENDED)
_ORDER_TERMS, _ORDER_LINK = int(Kind.ORDER_TERMS), int(Kind.ORDER_LINK)
_TRIGGER_AT, _LINK_ACTION_AT = 44, 24  # bytes of order_terms and order_link
_PREFIX_KINDS = frozenset(kind for kind, group in KIND_CLASS.items() if group == "prefix")
_NUMBER_STEP = 1 << 16  # report_number stands above the 16 bits of the key


class State(enum.Enum):
    """Where a session stands."""

    OFFLINE = "offline"  # no line
    LOGON = "logon"  # the request was made, its answer has not come
    LIVE = "live"  # frames and reports
    ENDED = "ended"  # the engine said so; the line is of no use any more


class Until(enum.Enum):
    """When a request is complete."""

    ANSWER = "answer"  # at the report that answers it
    DONE = "done"  # when its order is no longer open
    FENCE = "fence"  # when a ping sent behind it is answered, so that every report it caused has come


def complete_when(group: Sequence[bytes]) -> Until:
    """How to know that every report of this command has come. group: its prefixes and itself, 48 bytes each."""
    data = group[-1]
    kind = data[0]
    if kind == Kind.NEW_ORDER:
        if any(prefix[0] == _ORDER_TERMS and prefix[_TRIGGER_AT] for prefix in group[:-1]):
            return Until.ANSWER  # it waits: what it does when it fires is no part of this outcome
        resting = data[41] == OrderType.LIMIT and data[42] == TimeInForce.GOOD_TILL_CANCELLED
        return Until.FENCE if resting and not data[44] else Until.ANSWER if resting else Until.DONE
    return Until.FENCE if kind in _SETS_OFF else Until.ANSWER


class Request:
    """One command whose outcome somebody waits for."""

    __slots__ = ("answer", "client_sequence", "complete", "echo", "late", "reports", "until")

    def __init__(self, client_sequence: int, until: Until, late: bool) -> None:
        self.client_sequence = client_sequence
        self.until = until
        self.late = late  # the answer may come behind other reports of the same record
        self.echo = 0  # of the ping that closes it; 0: none is under way
        self.reports: list[Report] = []
        self.answer: Report | None = None
        self.complete = False

    def outcome(self) -> Outcome:
        """What became of it; it must be complete."""
        if self.answer is None:
            where = f"client sequence {self.client_sequence}"
            raise ProtocolError("a complete request must have an answer", detail=where)
        return Outcome(client_sequence=self.client_sequence, answer=self.answer, reports=tuple(self.reports))


class Refusal:
    """The engine could not record frames; they wait here to be sent again.

    code            why the first of them was refused
    from_sequence   the first client sequence to send again
    through         the highest client sequence known to be refused
    """

    __slots__ = ("code", "from_sequence", "through")

    def __init__(self, code: int, from_sequence: int, through: int) -> None:
        self.code = code
        self.from_sequence = from_sequence
        self.through = through


class Session:
    """The machine. Its user feeds it lines and bytes, and writes what output() gives.

    reports    deque that receive() appends to: reports that no request waits for; the user takes from the left
    requests   requests that are not complete, by client sequence
    completed  requests completed since the user last looked
    """

    def __init__(
        self,
        key: Key,
        *,
        cancel_on_disconnect: bool = False,
        keep_reports: bool = True,
        outstanding_max: int = 65_536,
        resume: ResumeState | None = None,
    ) -> None:
        self.key = self._signer = key
        self.state = State.OFFLINE
        self.keep_reports = keep_reports
        self.outstanding_max = outstanding_max
        self.reports: deque[Report] = deque()
        self.requests: dict[int, Request] = {}
        self.completed: list[Request] = []
        self.refusal: Refusal | None = None
        self.ended: Code | None = None
        self.answer: LogonAnswer | None = None
        self.logon_count = 0
        self.repeat_count = 0
        self.pong_echo = 0  # of the newest pong
        self.recorded = resume.last_client_sequence if resume is not None else 0
        self.entered = self.recorded  # the newest client sequence given to a command
        self._resume_number = None if resume is None else resume.last_report_number
        self._cancel_on_disconnect = cancel_on_disconnect
        self._known = resume is not None and bool(resume.outstanding)  # client sequences are those of this client
        self._outstanding: deque[bytes] = deque(resume.outstanding if resume is not None else ())
        self.entered += len(self._outstanding)
        self._request = b""
        self._output: list[bytes] = []
        self._partial = b""
        self._number_word = 0  # key and number of the next report, as they stand at byte 16
        self._echo = 0  # of the last ping
        self._fences: deque[Request] = deque()  # requests that a pong completes, in the order of their pings
        self._owner: Request | None = None  # whose reports those of record _group_sequence are
        self._group_sequence = 0
        self._held: list[Report] = []  # reports of that record, while a mass cancel may turn out to own them
        self._inner = self._outer = hashlib.sha256()
        self._late_count = 0  # requests whose answer may come last, and has not come
        self._sent = 0  # the newest client sequence written on this line

    @property
    def last_report_number(self) -> int | None:
        """Number of the newest report received; None before the first logon."""
        return (self._number_word >> 16) - 1 if self._number_word else self._resume_number

    # ---- The line ---------------------------------------------------------------------------------------------------

    def logon(self, timestamp_ns: int, client_nonce: bytes) -> bytes:
        """The first 96 bytes of a new line. `timestamp_ns`: now, since the epoch; `client_nonce`: 16 random bytes."""
        self.line_lost()
        last = self.last_report_number
        request = LogonRequest(
            magic=MAGIC,
            key_id=self.key.key_id_bytes,
            client_nonce=client_nonce,
            timestamp_ns=timestamp_ns,
            last_report_number=RESUME_NEW_ONLY if last is None else last,
            options=int(LogonOption.CANCEL_ON_DISCONNECT) if self._cancel_on_disconnect else 0,
        ).pack()
        signed = request[:64]
        self._signer = self.key  # which may be changed before the answer comes
        self._request = signed + hmac.digest(self._signer.secret, signed, "sha256")
        self.state = State.LOGON
        self.ended = None
        return self._request

    def skip_reports(self) -> None:
        """Ask for new reports only at the next logon: the engine keeps those behind the last one read no more."""
        self._number_word, self._resume_number = 0, None

    def line_lost(self) -> None:
        """The line is gone; what is outstanding stays."""
        self.state = State.OFFLINE
        self.refusal = None
        self._partial = b""
        self._output.clear()
        self._deliver_held()
        self._owner = None

    def _logged_on(self, data: bytes) -> None:
        """Verify the logon answer, take over its numbers, and put what is not recorded into the output."""
        if data[0] == _SESSION_ENDED:
            self._end(int.from_bytes(data[2:4], "little"))
            return
        expected = hmac.digest(self._signer.secret, self._request[:64] + data[:64], "sha256")
        if data[0] != MessageKind.LOGON_ANSWER or not hmac.compare_digest(expected, data[64:96]):
            self.state = State.ENDED
            raise AnswerForged(
                "a logon answer must be signed with the key's secret, and this one is not",
                detail=f"key {self.key.key_id}",
                hint="check the address: whoever answers does not hold this secret, or changed the bytes on the way",
            )
        answer = LogonAnswer.unpack(data)
        self._take_sequences(answer.last_client_sequence)
        last = self.last_report_number
        if last is None:
            last = answer.last_report_number
        elif answer.last_report_number < last:
            self.state = State.ENDED
            raise SequenceConflict(
                f"the engine's last report must be at least number {last}, was {answer.last_report_number}",
                detail=f"key {self.key.key_id}",
                hint="the engine lost reports that this client has read, or it is another engine",
            )
        self.answer = answer
        self._number_word = answer.key | (last + 1) << 16
        self._derive_session_key(answer.server_nonce)
        self.state = State.LIVE
        self.logon_count += 1
        self._sign(self._outstanding)
        self._sent = self.entered
        self._fence_again()

    def _take_sequences(self, last: int) -> None:
        if not self._known or (last > self.entered and not self._outstanding):
            self.recorded = self.entered = last  # nothing of ours is open: whoever used the key, go on behind it
            self._known = True
        elif not self.recorded <= last <= self.entered:
            self.state = State.ENDED
            raise SequenceConflict(
                f"the engine's last client sequence must be from {self.recorded} to {self.entered}, was {last}",
                detail=f"key {self.key.key_id}",
                hint="use one key for each client; if nobody else uses this one, the engine lost records",
            )
        self._record(last)

    def _derive_session_key(self, server_nonce: bytes) -> None:
        label = SESSION_LABEL + self._request[24:40] + server_nonce + self.key.key_id_bytes
        padded = hmac.digest(self._signer.secret, label, "sha256").ljust(SHA256_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(padded.translate(_INNER_PAD))
        self._outer = hashlib.sha256(padded.translate(_OUTER_PAD))

    def _end(self, code: int) -> None:
        self.state = State.ENDED
        self.ended = CODES.get(code, Code.NONE)
        self._output.clear()
        self._deliver_held()

    # ---- Commands ---------------------------------------------------------------------------------------------------

    def enter(self, *commands: bytes, until: Until | None = None, more: bool = False) -> Request | None:
        """Give the next client sequences to prefixes and the command that they stand before; 48 bytes each.

        With `until`, a Request that will be complete then; the command's own client sequence is `entered` afterwards.
        `more`: other commands follow in the same write, and fence() behind the last of them.
        Raises QueueFull, ClientClosed; nothing is entered then.
        """
        if not self._known:
            raise ClientClosed("a client must have logged on before it sends commands", hint="call connect() first")
        count = len(commands)
        if self.entered - self.recorded + count > self.outstanding_max:
            raise QueueFull(
                f"at most {self.outstanding_max} frames may be sent and not yet known to be recorded, "
                f"{self.entered - self.recorded} are",
                detail="Options.outstanding_max",
                hint="read reports until some are answered, then send this again",
            )
        sequence = self.entered
        sending = self.state is State.LIVE and self.refusal is None
        inner, outer = self._inner, self._outer
        for command in commands:
            sequence += 1
            numbered = command[:2] + sequence.to_bytes(6, "little") + command[8:]
            self._outstanding.append(numbered)
            if sending:
                digest = inner.copy()
                digest.update(numbered)
                tag = outer.copy()
                tag.update(digest.digest())
                self._output.append(numbered + tag.digest()[:TAG_BYTES])
        self.entered = sequence
        if sending:
            self._sent = sequence
        if until is None:
            return None
        request = Request(sequence, until, _answers_late(commands))
        self.requests[sequence] = request
        self._late_count += request.late
        if until is Until.FENCE:
            self._fences.append(request)
            if sending and not more:
                request.echo = self.ping()
        return request

    def fence(self) -> None:
        """One ping behind all requests that still need one."""
        if self.state is not State.LIVE or self.refusal is not None:
            return
        echo = 0
        for request in reversed(self._fences):
            if request.echo:
                break
            echo = echo or self.ping()
            request.echo = echo

    def ping(self) -> int:
        """Put a ping into the output; its echo. A pong with it, or a later one, closes fences."""
        self._echo += 1
        last = self.entered if self.refusal is None else self.refusal.from_sequence - 1
        command = Ping(client_sequence=last, echo=self._echo).pack()
        self._sign((command,))
        return self._echo

    def retry(self) -> bool:
        """Send again what the engine could not record, under the same client sequences.

        False, and nothing is sent, while frames behind the refused one are still to be refused: otherwise a refusal of
        the first sending could be taken for one of the second.
        """
        refusal = self.refusal
        if refusal is None or self.state is not State.LIVE or refusal.through < self._sent:
            return False
        first = max(refusal.from_sequence, self.recorded + 1)
        self.refusal = None
        self._sign(list(self._outstanding)[first - self.recorded - 1 :])
        self._sent = self.entered
        self._fence_again()
        return True

    def withdraw(self) -> list[Request] | None:
        """Take back every frame from the refused one on; later commands get their client sequences.

        None, and nothing changes, unless each of them that was sent has been refused, for it may still be recorded.
        Returns the requests among them.
        """
        refusal = self.refusal
        if refusal is None or self.state is not State.LIVE or refusal.through < self._sent:
            return None
        first = max(refusal.from_sequence, self.recorded + 1)
        while self.entered >= first:
            self._outstanding.pop()
            self.entered -= 1
        self._sent = self.entered
        self.refusal = None
        withdrawn = [request for sequence, request in self.requests.items() if sequence >= first]
        for request in withdrawn:
            self.forget(request)
        return withdrawn

    def forget(self, request: Request) -> None:
        """Nobody waits for this request any more; its reports go to `reports`. The command stays as it is."""
        if self.requests.pop(request.client_sequence, None) is None:
            return
        request.complete = True
        if self._owner is request:
            self._owner = None
        if request.answer is None:
            self._late_count -= request.late
        if self.keep_reports:
            self.reports.extend(request.reports)

    def output(self) -> bytes:
        """What is to be written now; forgotten here. What gets lost on the way is outstanding still."""
        parts = self._output
        if not parts:
            return b""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return data

    def outstanding_count(self) -> int:
        """Frames entered and not known to be recorded."""
        return self.entered - self.recorded

    def resume_state(self) -> ResumeState:
        """Where this client stands: behind the last report taken from `reports`."""
        number = self.last_report_number or 0
        waiting = [report.report_number for report in self._held]
        if self.reports:
            waiting.append(self.reports[0].report_number)
        waiting.extend(request.reports[0].report_number for request in self.requests.values() if request.reports)
        return ResumeState(
            last_report_number=min([number, *(first - 1 for first in waiting)]),
            last_client_sequence=self.recorded,
            outstanding=tuple(self._outstanding),
        )

    def _sign(self, commands: Iterable[bytes]) -> None:
        """Append signed frames to the output; the commands carry their client sequences."""
        inner, outer = self._inner, self._outer
        for command in commands:
            digest = inner.copy()
            digest.update(command)
            tag = outer.copy()
            tag.update(digest.digest())
            self._output.append(command + tag.digest()[:TAG_BYTES])

    # ---- What the engine says ---------------------------------------------------------------------------------------

    def receive(self, data: Buffer) -> None:
        """Take bytes as they were read. Fills `reports`, `completed`, `refusal`, `ended`.

        Raises a ProtocolError: then the line must be closed; everything before the fault has been taken.
        """
        view: Buffer = data
        if self._partial:
            view = self._partial + bytes(data)
            self._partial = b""
        size = memoryview(view).nbytes
        offset = 0
        if self.state is State.LOGON and size >= LOGON_BYTES:
            self._logged_on(bytes(memoryview(view)[:LOGON_BYTES]))
            offset = LOGON_BYTES
        if self.state is State.LIVE:
            offset = self._take_messages(view, offset, size)
        if offset < size and self.state in (State.LOGON, State.LIVE):
            self._partial = bytes(memoryview(view)[offset:])

    def _take_messages(self, data: Buffer, offset: int, size: int) -> int:
        """Take whole messages of 96 bytes from `offset` on. Returns where it stopped."""
        unpack = STRUCT.unpack_from
        kinds, codes, twin = KINDS, CODES, Twin
        expected = self._number_word
        while size - offset >= REPORT_BYTES:
            (
                kind, flags, code, instrument, account, n, word, sequence, received_ns,
                order_id, client_order_id, price_ticks, quantity_lots, remaining_lots, reference, amount_units,
            ) = unpack(data, offset)  # fmt: skip
            offset += REPORT_BYTES
            if kind >= _MESSAGE_KIND_MIN:
                self._take_message(kind, code, reference, order_id)
                if self.state is not State.LIVE:
                    break
                continue
            if word != expected or not 0 < kind <= _REPORT_KIND_MAX or code not in codes:
                self._wrong_report(kind, code, word, expected)
            expected += _NUMBER_STEP
            self._number_word = expected
            report: Any = twin(
                kinds[kind], flags, codes[code], instrument, account, n, word >> 16, sequence, received_ns,
                order_id, client_order_id, price_ticks, quantity_lots, remaining_lots, reference, amount_units,
            )  # fmt: skip
            report.__class__ = Report
            if reference > self.recorded and kind != _FILLED and kind != _TRIGGERED:
                self._record(reference)
            if self.requests or self._held:
                self._route(cast(Report, report), kind)
            elif self.keep_reports:
                self.reports.append(report)
        return offset

    def _wrong_report(self, kind: int, code: int, word: int, expected: int) -> None:
        self.state = State.ENDED
        number, wanted = word >> 16, expected >> 16
        where = f"key {self.key.key_id} (number {expected & 0xFFFF}), logon {self.logon_count} of this client"
        again = "connect again: the session resumes behind the last report read"
        if not 0 < kind <= _REPORT_KIND_MAX or code not in CODES:
            raise ProtocolError(
                f"a report must have a known kind and code, had kind {kind} and code {code}",
                detail=where,
                hint="this client is older than the engine, or the line carries something else",
            )
        if word & 0xFFFF != expected & 0xFFFF:
            raise ProtocolError(
                f"a report must be for key number {expected & 0xFFFF}, was for {word & 0xFFFF}",
                detail=where,
                hint="the engine mixed up sessions; stop using it and compare its journal with its reports",
            )
        if number > wanted:
            raise ReportGap(f"the next report must be number {wanted}, was {number}", detail=where, hint=again)
        raise ReportRepeated(f"the next report must be number {wanted}, was {number} again", detail=where, hint=again)

    def _take_message(self, kind: int, code: int, reference: int, order_id: int) -> None:
        """A message that is not recorded: refused, repeat, pong or session_ended."""
        if kind == _PONG:
            self.pong_echo = reference
            if order_id > self.recorded:
                self._record(order_id)
            self._deliver_held()
            self._close_fences(reference)
        elif kind == _REPEAT:
            self.repeat_count += 1
            if reference > self.recorded:
                self._record(reference)
        elif kind == _REFUSED:
            self._refuse(code, reference)
        elif kind == _SESSION_ENDED:
            self._end(code)
        else:
            self.state = State.ENDED
            raise ProtocolError(
                f"a message must be of a known kind, was kind {kind}",
                detail=f"key {self.key.key_id}",
                hint="this client is older than the engine, or the line carries something else",
            )

    def _record(self, sequence: int) -> None:
        """Everything up to this client sequence is recorded."""
        if sequence > self.entered:
            self.state = State.ENDED
            raise SequenceConflict(
                f"the engine must not speak of client sequences above {self.entered}, it named {sequence}",
                detail=f"key {self.key.key_id}",
                hint="use one key for each client",
            )
        outstanding = self._outstanding
        kind = 0
        for _ in range(sequence - self.recorded):
            kind = outstanding.popleft()[0]
        if kind in _PREFIX_KINDS:
            self.state = State.ENDED
            raise ProtocolError(
                "a command's prefixes must be recorded together with it",
                detail=f"key {self.key.key_id}, client sequence {sequence} is a prefix",
                hint="compare the engine's journal with schemas/wire/frames.md",
            )
        self.recorded = sequence

    def _refuse(self, code: int, sequence: int) -> None:
        """The frame with this client sequence was not recorded: its group is to be sent again."""
        if sequence > self.entered:
            return
        if sequence <= self.recorded:  # a ping over the message rate: only fences have to be asked for again
            if self.refusal is None:
                self.refusal = Refusal(code, self.entered + 1, self._sent)
            return
        outstanding, first, last = self._outstanding, sequence, sequence
        while first > self.recorded + 1 and outstanding[first - self.recorded - 2][0] in _PREFIX_KINDS:
            first -= 1
        while last < self.entered and outstanding[last - self.recorded - 1][0] in _PREFIX_KINDS:
            last += 1
        refusal = self.refusal
        if refusal is None:
            self.refusal = Refusal(code, first, last)
            return
        refusal.from_sequence = min(refusal.from_sequence, first)
        refusal.through = max(refusal.through, last)
        if code != Code.EARLIER_REFUSED:
            refusal.code = code

    # ---- Requests ---------------------------------------------------------------------------------------------------

    def _route(self, report: Report, kind: int) -> None:
        """Give a report to the request whose command caused it, or to `reports`.

        All reports of one command have its record's sequence and stand together. The one that answers names the client
        sequence; it comes first, but for a mass cancel or the replacement of another key's order, whose `applied` comes
        last, and for an order that cancels another first: so while one of these is waited for, reports are held until
        the next record begins. None of these is answered by a `cancelled`. What comes behind the report that completes
        a request (an immediate order is done, and sets off a stop of the same key) goes to `reports`.
        """
        if report.sequence != self._group_sequence:
            self._deliver_held()
            self._owner = None
            self._group_sequence = report.sequence
        owner = self._owner
        if owner is None and kind != _FILLED and kind != _TRIGGERED and report.reference:
            owner = self.requests.get(report.reference)
            if owner is not None and owner.late and kind == _CANCELLED:
                owner = None
            if owner is not None:
                self._owner = owner
                owner.answer = report
                self._late_count -= owner.late
                if self._held:
                    owner.reports.extend(self._held)
                    self._held.clear()
        if owner is None or owner.complete:
            if self._late_count:
                self._held.append(report)
            elif self.keep_reports:
                self.reports.append(report)
            return
        owner.reports.append(report)
        if not owner.complete:
            self._advance(owner, report, kind)

    def _advance(self, request: Request, report: Report, kind: int) -> None:
        """Is the request complete with this report?"""
        until = request.until
        if kind == _REJECTED or until is Until.ANSWER:
            self._complete(request)
        elif until is Until.DONE:
            answer = request.answer
            if report.flags & DONE and answer is not None and report.order_id == answer.order_id:
                self._complete(request)
        elif report is request.answer and request.echo <= self.pong_echo:
            request.echo = self.ping()  # the pong overtook the answer, which waited for its survival level: ask again
            self._fences.append(request)

    def _complete(self, request: Request) -> None:
        request.complete = True
        del self.requests[request.client_sequence]
        self.completed.append(request)

    def _close_fences(self, echo: int) -> None:
        fences = self._fences
        while fences and (0 < fences[0].echo <= echo or fences[0].complete):
            request = fences.popleft()
            if request.answer is not None and not request.complete:
                self._complete(request)

    def _fence_again(self) -> None:
        echo = self.ping()
        self._fences = deque(r for r in self.requests.values() if r.until is Until.FENCE)
        for request in self._fences:
            request.echo = echo

    def _deliver_held(self) -> None:
        if self._held:
            if self.keep_reports:
                self.reports.extend(self._held)
            self._held.clear()


def _answers_late(group: Sequence[bytes]) -> bool:
    """May other reports of the same record stand before the one that answers?"""
    if group[-1][0] in (_MASS_CANCEL, _REPLACE):
        return True
    return any(prefix[0] == _ORDER_LINK and prefix[_LINK_ACTION_AT] == LinkAction.CANCEL_FIRST for prefix in group[:-1])


def refused_logon(session: Session) -> SessionEnded:
    """The error of a logon that was answered by the end of the session."""
    code = session.ended or Code.LOGON_REFUSED
    kind = LogonRefused if code is Code.LOGON_REFUSED else SessionEnded
    return kind(code, detail=f"key {session.key.key_id}")
