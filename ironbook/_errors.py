"""Every error of the package, and how they are related.

    IronbookError                     code, detail (where), hint (what to do)
    ├── InputInvalid                  what the caller gave cannot be used; nothing was sent
    │   ├── DecimalInvalid            a price, quantity or amount that does not divide into ticks, lots or units
    │   ├── KeyInvalid                a key file, key id or secret
    │   └── AddressInvalid            not host:port
    ├── QueueFull                     a bounded queue is full; nothing was sent
    ├── LineError
    │   ├── ConnectionFailed          no line to the engine, or lost and not regained in time
    │   ├── RequestTimeout            no answer in time; the command may still be carried out
    │   └── ClientClosed              this client was closed
    ├── EngineCodeError               whatever has a code of schemas/codes.json
    │   ├── SessionEnded              the engine ended the session; engine_code says why
    │   │   └── LogonRefused          key, secret, clock or address is not what the engine expects
    │   ├── Rejected                  the market refuses; engine_code says why
    │   └── NotRecorded               the engine could not record the command; nothing changed
    ├── ProtocolError                 the peer breaks the wire's rules; nothing it says is used any more
    │   ├── AnswerForged              the logon answer's signature is not the secret's
    │   ├── ReportGap                 a report is missing
    │   ├── ReportRepeated            a report came twice
    │   └── SequenceConflict          the engine knows other client sequences than this client
    ├── StreamError
    │   ├── StreamGap                 messages of a topic are missing; it says which
    │   └── StreamInvalid             a topic or message that is not what the contract says
    └── LocalError
        ├── EngineFailed              an engine node could not be started, found or stopped
        ├── ServiceFailed             Kafka or PostgreSQL could not be started or stopped, or refused what was asked
        ├── JournalInvalid            a journal that cannot be read as what it must be
        │   └── ArchiveInvalid        an archive of one; nothing in it was changed
        └── DependencyMissing         an optional package is not installed

`code` is a stable name. Where the engine gave a number, `engine_code` holds it, and text and hint are those of
schemas/codes.json.
"""

from __future__ import annotations

from typing import ClassVar

from schemas.vocabulary import CODE_TEXT, Code


class IronbookError(Exception):
    """Base of all errors of this package.

    The message says what must hold and what was found; `detail` where; `hint` what to do.
    """

    code: ClassVar[str] = "ironbook_error"

    def __init__(self, message: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return "; ".join(part for part in (self.message, self.detail, self.hint) if part)

    def to_json(self) -> dict[str, str | int]:
        """As the command line prints it with --json."""
        said: dict[str, str | int] = {"error": self.code, "message": self.message}
        if self.detail:
            said["detail"] = self.detail
        if self.hint:
            said["hint"] = self.hint
        return said


class InputInvalid(IronbookError):
    """What the caller gave cannot be used. Nothing was sent."""

    code = "input_invalid"


class DecimalInvalid(InputInvalid):
    """A decimal text that is none, or does not divide into whole ticks, lots or units."""

    code = "decimal_invalid"


class KeyInvalid(InputInvalid):
    """A key id, a secret, or the file or variable that should hold them."""

    code = "key_invalid"


class AddressInvalid(InputInvalid):
    """An address that is not host:port."""

    code = "address_invalid"


class QueueFull(IronbookError):
    """A bounded queue is full. Nothing was sent: read reports, or wait for answers, and send again."""

    code = "queue_full"


class LineError(IronbookError):
    """Base of what can happen to the line between client and engine."""

    code = "line_error"


class ConnectionFailed(LineError):
    """No line to the engine, or it was lost and could not be regained in time.

    Commands that were sent are kept; `connect()` resumes them under the same client sequences.
    """

    code = "connection_failed"


class RequestTimeout(LineError):
    """No answer in time. The command is kept and may still be carried out; its reports will tell."""

    code = "request_timeout"


class ClientClosed(LineError):
    """The client was closed, or never connected."""

    code = "client_closed"


class EngineCodeError(IronbookError):
    """An error with a code of schemas/codes.json."""

    code = "engine_code_error"

    def __init__(self, engine_code: int, *, detail: str = "") -> None:
        _, text, mend = CODE_TEXT.get(engine_code, ("", f"The engine gave code {engine_code}.", "Update this package."))
        super().__init__(text, detail=detail, hint=mend)
        self.engine_code = Code(engine_code) if engine_code in CODE_TEXT else Code.NONE

    def to_json(self) -> dict[str, str | int]:
        said = super().to_json()
        said["engine_code"] = int(self.engine_code)
        said["engine_code_name"] = self.engine_code.name.lower()
        return said


class SessionEnded(EngineCodeError):
    """The engine ended the session; `engine_code` says why."""

    code = "session_ended"


class LogonRefused(SessionEnded):
    """The engine refused the logon. It never says which of the reasons it was."""

    code = "logon_refused"


class Rejected(EngineCodeError):
    """The market refuses a command; `engine_code` says why. Raised by `Outcome.raise_if_rejected`."""

    code = "rejected"


class NotRecorded(EngineCodeError):
    """The engine could not record the command in time, and the client took it back. Nothing changed."""

    code = "not_recorded"


class ProtocolError(IronbookError):
    """The peer breaks the rules of the wire. The line is closed; nothing it says is used any more."""

    code = "protocol_error"


class AnswerForged(ProtocolError):
    """The signature of the logon answer does not verify: the peer does not hold the secret."""

    code = "answer_forged"


class ReportGap(ProtocolError):
    """A report number is missing."""

    code = "report_gap"


class ReportRepeated(ProtocolError):
    """A report number came twice."""

    code = "report_repeated"


class SequenceConflict(ProtocolError):
    """The engine's last client sequence does not fit what this client has sent."""

    code = "sequence_conflict"


class StreamError(IronbookError):
    """Base of what can be wrong with a topic."""

    code = "stream_error"


class StreamGap(StreamError):
    """Messages of a topic are missing: everything above `after`, up to `until`.

    what   events: `after` and `until` are (seq, n). trade_id, update_id, report_number or offsets: (number, 0)
    whose  the symbol or key that the numbers belong to; empty for events and offsets
    """

    code = "stream_gap"

    def __init__(
        self,
        *,
        topic: str,
        partition: int,
        what: str,
        after: tuple[int, int],
        until: tuple[int, int],
        shard: int = 0,
        whose: str = "",
    ) -> None:
        one, two = (f"{a}:{b}" if what == "events" else str(a) for a, b in (after, until))
        super().__init__(
            f"{what} must follow {one}{f' of {whose}' if whose else ''}, all up to {two} are missing",
            detail=f"topic {topic}, partition {partition}, shard {shard}",
            hint="state built from this topic is not whole: build it anew from a snapshot or from the beginning",
        )
        self.topic = topic
        self.partition = partition
        self.shard = shard
        self.what = what
        self.whose = whose
        self.after = after
        self.until = until

    def to_json(self) -> dict[str, str | int]:
        said = super().to_json()
        one, two = (f"{a}:{b}" if self.what == "events" else str(a) for a, b in (self.after, self.until))
        return said | {"what": self.what, "whose": self.whose, "after": one, "until": two}


class StreamInvalid(StreamError):
    """A topic that is not there, or a message on it that the contract does not know."""

    code = "stream_invalid"


class LocalError(IronbookError):
    """Base of what can go wrong on this machine, beside the line."""

    code = "local_error"


class EngineFailed(LocalError):
    """An engine node could not be started, found or stopped."""

    code = "engine_failed"


class ServiceFailed(LocalError):
    """Kafka or PostgreSQL could not be started or stopped, or refused what was asked."""

    code = "service_failed"


class JournalInvalid(LocalError):
    """A journal cannot be read as what it must be; `detail` names segment and offset."""

    code = "journal_invalid"


class ArchiveInvalid(JournalInvalid):
    """An archive must be whole and chained, and is not; the detail names key, sequence and offset."""

    code = "archive_invalid"


class DependencyMissing(LocalError):
    """An optional package is not installed."""

    code = "dependency_missing"
