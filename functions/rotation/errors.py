"""The errors of rotation.

FunctionError
├── SecretInvalid, EventInvalid, CloudFailed …     functions/common/errors.py
└── RotationError
    ├── KindUnknown           the secret's tag ironbook:kind names no kind that rotates here
    ├── HoldersUnnamed        nothing says who must hold this secret, so nobody could confirm that it may end
    ├── RotationBusy          another invocation works on this very secret
    ├── RotationRefused       the labels of the versions do not allow this step
    ├── RotationUnfinished    somebody has not confirmed yet; `waiting` says who
    ├── DatabaseRefused       PostgreSQL does not answer or refuses
    ├── KafkaRefused          Kafka does not answer or refuses
    ├── NewSecretRefused      the new secret does not work; the old one stays
    └── DriveFailed           some secrets failed; the others went on
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from functions.common.errors import FunctionError

__all__ = [
    "DatabaseRefused",
    "DriveFailed",
    "HoldersUnnamed",
    "KafkaRefused",
    "KindUnknown",
    "NewSecretRefused",
    "RotationBusy",
    "RotationError",
    "RotationRefused",
    "RotationUnfinished",
]


class RotationError(FunctionError):
    """Base of all below."""

    code: ClassVar[str] = "rotation"


class KindUnknown(RotationError):
    """The secret's tag ironbook:kind names no kind that rotates here."""

    code = "rotation_kind_unknown"


class HoldersUnnamed(RotationError):
    """Nothing says who must hold this secret, so nobody could confirm that the old one may end."""

    code = "rotation_holders_unnamed"


class RotationBusy(RotationError):
    """Another invocation works on this very secret."""

    code = "rotation_busy"


class RotationRefused(RotationError):
    """The labels of the versions do not allow this step."""

    code = "rotation_refused"


class RotationUnfinished(RotationError):
    """Somebody has not confirmed yet. waiting: who, each with what is missing."""

    code = "rotation_unfinished"

    def __init__(self, message: str, waiting: Sequence[str], *, detail: str = "", hint: str = "") -> None:
        super().__init__(message, detail="; ".join(filter(None, (detail, *waiting))), hint=hint)
        self.waiting = tuple(waiting)


class DatabaseRefused(RotationError):
    """PostgreSQL does not answer or refuses."""

    code = "rotation_database_refused"


class KafkaRefused(RotationError):
    """Kafka does not answer or refuses."""

    code = "rotation_kafka_refused"


class NewSecretRefused(RotationError):
    """The new secret does not work; the old one stays."""

    code = "rotation_new_secret_refused"


class DriveFailed(RotationError):
    """Some secrets failed; the others went on."""

    code = "rotation_drive_failed"
