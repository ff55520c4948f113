"""Every error that the engine node's Python raises, and how they are related.

    EngineNodeError                code               what
    ├── SettingsError              settings           a setting is unknown, out of range, or does not fit another
    ├── MachineError               machine            the system does not grant what a setting asks for
    ├── DataDirectoryError         data_directory     the data directory cannot be made, used or locked
    ├── SnapshotError              snapshot           a snapshot cannot be written or read
    │   └── SnapshotUnsound        snapshot_unsound   one just written is not the state it was made from
    ├── ReplicaError               replica            the journal cannot be followed
    ├── RestoreError               restore            a journal cannot be rebuilt from these records
    ├── StartError                 start              the engine cannot start: recovery, keys, sockets
    ├── TerminatorError            terminator         TLS cannot be ended here: certificate, key, socket
    └── PublishError           publish            topics and journal do not fit, or topics are not as agreed
        └── PublisherFenced    publisher_fenced   another publisher of this shard has begun

Errors of the compiled half (`engine_node._engine.EngineError`) and of the key store (`ironbook.keystore`) have the same
three parts; `parts_of` reads them all. Where one of those stops a start, it is said in its own words.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "DataDirectoryError",
    "EngineNodeError",
    "MachineError",
    "PublishError",
    "PublisherFenced",
    "ReplicaError",
    "RestoreError",
    "SettingsError",
    "SnapshotError",
    "SnapshotUnsound",
    "StartError",
    "TerminatorError",
    "parts_of",
]


class EngineNodeError(Exception):
    """Base of all: message (what must hold, what was found), detail (where), hint (what to do)."""

    code: ClassVar[str] = "engine_node"

    def __init__(self, message: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return "; ".join(part for part in (self.message, self.detail, self.hint) if part)


class SettingsError(EngineNodeError):
    """A setting is unknown, out of range, or does not fit another. Names the file and line, or the variable."""

    code = "settings"


class MachineError(EngineNodeError):
    """The operating system does not grant what a setting asks for: a CPU, memory locks, a real-time priority."""

    code = "machine"


class DataDirectoryError(EngineNodeError):
    """The data directory cannot be made, used or locked."""

    code = "data_directory"


class SnapshotError(EngineNodeError):
    """A snapshot cannot be written, or does not hold what its name says."""

    code = "snapshot"


class SnapshotUnsound(SnapshotError):
    """A snapshot just written is not the state it was made from: our bug."""

    code = "snapshot_unsound"


class ReplicaError(EngineNodeError):
    """The journal cannot be followed from where the state stands."""

    code = "replica"


class RestoreError(EngineNodeError):
    """A journal cannot be rebuilt from these records, or not there."""

    code = "restore"


class StartError(EngineNodeError):
    """The engine cannot start."""

    code = "start"


class TerminatorError(EngineNodeError):
    """TLS cannot be ended here."""

    code = "terminator"


class PublishError(EngineNodeError):
    """What is in the topics and what is in the journal do not fit, or the topics are not as the contract says."""

    code = "publish"


class PublisherFenced(PublishError):
    """Another publisher of this shard has begun; this one must end."""

    code = "publisher_fenced"


def parts_of(error: BaseException) -> dict[str, str]:
    """Any error as code, message, detail and hint (empty parts left out), for the log and for --json."""
    code = getattr(error, "code", None)
    parts = {
        "error": code if isinstance(code, str) else type(error).__name__,
        "message": str(getattr(error, "message", "") or (error.args[0] if error.args else error)),
        "detail": str(getattr(error, "detail", "")),
        "hint": str(getattr(error, "hint", "")),
    }
    return {name: text for name, text in parts.items() if text}
