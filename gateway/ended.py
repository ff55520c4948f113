"""Sessions that were logged out, until their time would have been over anyway. A restart finds them in the file.

    <state_directory>/gateway-ended.json    {"<key id>": {"<digest of the session's id>": <expires, ns>, ...}, ...}

A key has room for ENDED_A_KEY_MAX of them; then those of its own that expire first make room, so who logs in and out
without end frees nobody else's session and does not make the file long.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from ironbook import IronbookError
from ironbook._secrets import write_secret

__all__ = ["ENDED_FILE", "Ended", "EndedUnreadable"]

ENDED_FILE: Final = "gateway-ended.json"
ENDED_A_KEY_MAX: Final = 256


class EndedUnreadable(IronbookError):
    """The file of ended sessions cannot be used. Without it sessions that were logged out would be good again."""

    code = "ended_unreadable"


class Ended:
    """What was ended, in memory and in the file. Raises EndedUnreadable."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = self._read()

    def holds(self, key_id: str, session_id: bytes) -> bool:
        """Was this session of the key logged out?"""
        known = self._keys.get(key_id)
        return known is not None and _digest(session_id) in known

    def add(self, key_id: str, session_id: bytes, expires_ns: int, now_ns: int) -> None:
        """End one. Raises OSError: it has ended here, and a restart would not know."""
        kept: dict[str, dict[str, int]] = {}
        for name, known in self._keys.items():
            if live := {digest: until_ns for digest, until_ns in known.items() if until_ns > now_ns}:
                kept[name] = live
        own = kept.setdefault(key_id, {})
        while len(own) >= ENDED_A_KEY_MAX:
            del own[min(own, key=own.__getitem__)]
        own[_digest(session_id)] = expires_ns
        self._keys = kept
        write_secret(self._path, msgspec.json.encode(kept).decode())

    def _read(self) -> dict[str, dict[str, int]]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, dict[str, int]])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise EndedUnreadable(
                f"the file of ended sessions must be readable, is not: {error}", detail=str(self._path),
                hint="put in a new cookie secret, which ends every session; then remove the file",
            ) from None  # fmt: skip


def _digest(session_id: bytes) -> str:
    return hashlib.sha256(session_id).hexdigest()[:32]
