"""The errors of the functions; each function has its own below FunctionError, in functions/<name>/errors.py.

IronbookError
└── FunctionError      base: message (what must hold, what was found), detail (where), hint (what to do)
    ├── SettingsInvalid    a variable of the environment
    ├── EventInvalid       what the function was invoked with
    ├── SecretInvalid      a secret of Secrets Manager that is missing or is not what it must be
    └── CloudFailed        AWS refused a call, or did not answer within the bound
"""

from __future__ import annotations

from typing import ClassVar

from ironbook import IronbookError

__all__ = ["CloudFailed", "EventInvalid", "FunctionError", "SecretInvalid", "SettingsInvalid"]


class FunctionError(IronbookError):
    """Base of all below."""

    code: ClassVar[str] = "function"


class SettingsInvalid(FunctionError):
    """A setting is missing or out of range."""

    code = "settings"


class EventInvalid(FunctionError):
    """The event says something that the function does not know or cannot do."""

    code = "event"


class SecretInvalid(FunctionError):
    """A secret is missing, or is no JSON object, or lacks a field."""

    code = "secret"


class CloudFailed(FunctionError):
    """AWS refused a call or did not answer; `aws_code` is its own name of why."""

    code = "cloud"

    def __init__(self, message: str, *, aws_code: str = "", detail: str = "", hint: str = "") -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.aws_code = aws_code
