"""The errors of the streams.

StreamError            base: message (what must hold, what was found), detail (where), hint (what to do)
├── SettingsInvalid    a variable of the environment
├── Undecodable        bytes that are no message
├── BrokerMismatch     the broker's topics are not those of schemas/topics.json
├── Unavailable        what a worker depends on did not answer within its bound
└── WorkerFailed       an agent met an exception that nobody expected
"""

from __future__ import annotations

__all__ = ["BrokerMismatch", "SettingsInvalid", "StreamError", "Unavailable", "Undecodable", "WorkerFailed"]


class StreamError(Exception):
    """Base of all below."""

    code = "stream"

    def __init__(self, message: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message, self.detail, self.hint = message, detail, hint

    def __str__(self) -> str:
        return "\n".join(part for part in (self.message, self.detail, self.hint) if part)


class SettingsInvalid(StreamError):
    """A setting is missing or out of range."""

    code = "settings"


class Undecodable(StreamError):
    """Bytes that are not a JSON object or an array of objects."""

    code = "undecodable"


class BrokerMismatch(StreamError):
    """A topic is missing on the broker or is not as the contract has it."""

    code = "broker"


class Unavailable(StreamError):
    """Broker, database or engine did not answer within the bound."""

    code = "unavailable"


class WorkerFailed(StreamError):
    """An unexpected exception in an agent; the process ends and the message stays unacknowledged."""

    code = "worker"
