"""What can go wrong with a tape.

    TapeError (an IronbookError)
    ├── TapeUnreadable    the file is not there, is not whole, or is no tape
    ├── TapeInvalid       a line or message is not what the format says
    ├── TapeOptions       an option does not fit the tape
    └── TapeFailed        the engine or the line to it did not do what playing needs

The message says what must hold and what was found, `detail` where, `hint` what to do.
"""

from __future__ import annotations

from ironbook._errors import IronbookError


class TapeError(IronbookError):
    """Base of all errors of tapes. `code` is stable."""

    code = "tape_error"


class TapeUnreadable(TapeError):
    """The file is not there, is not whole, or is no tape."""

    code = "tape_unreadable"


class TapeInvalid(TapeError):
    """A line or message is not what the format says."""

    code = "tape_invalid"


class TapeOptions(TapeError):
    """An option does not fit the tape."""

    code = "tape_options"


class TapeFailed(TapeError):
    """The engine or the line to it did not do what playing needs."""

    code = "tape_failed"
