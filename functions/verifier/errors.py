"""The verifier's errors.

FunctionError
└── VerifierError      base
    ├── ArchiveUnsound     the archive differs from what it must be; the detail names object, sequence and offset
    └── VerifyFailed       it could not be looked at: no answer in time, no room, the program did not start
"""

from __future__ import annotations

from functions.common.errors import FunctionError

__all__ = ["ArchiveUnsound", "VerifierError", "VerifyFailed"]


class VerifierError(FunctionError):
    """Base of all below."""

    code = "verifier"


class ArchiveUnsound(VerifierError):
    """Something in the archive is not what it must be. Nothing in it was changed."""

    code = "archive_unsound"


class VerifyFailed(VerifierError):
    """It was not verified; that says nothing about the archive."""

    code = "verify_failed"
