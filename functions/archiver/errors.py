"""The archiver's errors.

FunctionError
└── ArchiverError      base
    ├── TopicInvalid       the journal's topic is not what it must be: missing, trimmed too far, of another history
    ├── ArchiveTaken       something else stands where this archiver was to write
    └── BrokersFailed      Kafka did not answer within the bound, or refused
"""

from __future__ import annotations

from functions.common.errors import FunctionError

__all__ = ["ArchiveTaken", "ArchiverError", "BrokersFailed", "TopicInvalid"]


class ArchiverError(FunctionError):
    """Base of all below."""

    code = "archiver"


class TopicInvalid(ArchiverError):
    """The topic and the archive do not belong together, or records between them are gone. Nothing was written."""

    code = "topic_invalid"


class ArchiveTaken(ArchiverError):
    """An object or manifest is there under the name of one to be written, and is another."""

    code = "archive_taken"


class BrokersFailed(ArchiverError):
    """Kafka did not answer in time, or refused; the next call goes on where this one was."""

    code = "brokers_failed"
