"""The kinds of secrets that rotate: what each is made of, and how a new one is made, given out, tried and ended.

    kind       verified   set                          test                                   end
    api_key    yes        (holders take it)            logon at the engine, signed request    (holders drop it)
    cookie     yes        (holders take it)            (holders say so)                       (holders drop it)
    database   no         other user's password        logon as that user                     old user is shut out
    kafka      no         other user's password        logon as that user                     old user is shut out
    tls        no         (holders take it)            handshake against the authority        (holders dropped it)

verified: others check it, so they must accept the new one before anybody uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from functions.common.errors import SecretInvalid

__all__ = ["SECRET_BYTES", "Draw", "Kind", "Quiet", "Value", "need_hex", "need_text"]

Value = Mapping[str, Any]
Draw = Callable[[int], bytes]  # so many random bytes
SECRET_BYTES = 32


class Kind(Protocol):
    """One kind. No method sleeps; all may be called again after any of them stopped anywhere."""

    name: ClassVar[str]
    verified: ClassVar[bool]

    def check(self, value: Value, where: str) -> None:
        """Raises SecretInvalid where the value is not what a secret of this kind must be. It never says the value."""

    def pair(self, new: Value, old: Value, where: str) -> None:
        """Raises SecretInvalid where the new value cannot follow the old one. Both are checked already."""

    def made(self, value: Value) -> bool:
        """Is there a secret in it yet? Some are named before they can be made."""

    def due(self, value: Value) -> bool:
        """Must a new one be made now, whatever the schedule says?"""

    def urgent(self, value: Value) -> str:
        """What people must hear of the value in use, though nothing failed; "": nothing."""

    def holder(self, value: Value) -> str:
        """Its name in secret_holders."""

    def fingerprint(self, value: Value) -> str:
        """What a process that has it says that it has."""

    def fresh(self, value: Value) -> dict[str, Any]:
        """The next value."""

    async def set(self, new: Value) -> list[str]:
        """Let the new one in where we can; what was done."""

    async def test(self, new: Value) -> list[str]:
        """Try the new one; what was tried. Raises NewSecretRefused."""

    async def unused(self, old: Value, new: Value) -> list[str]:
        """Who is still seen with the old one, beyond what holders say of themselves."""

    async def end(self, old: Value, new: Value) -> list[str]:
        """Let the old one in no more; what was done."""


class Quiet:
    """A kind of which only followers and holders need to know: nothing to give out, to try or to take back."""

    def pair(self, new: Value, old: Value, where: str) -> None:
        """Any new value may follow any old one."""

    def made(self, value: Value) -> bool:
        return True

    def due(self, value: Value) -> bool:
        return False

    def urgent(self, value: Value) -> str:
        return ""

    async def set(self, new: Value) -> list[str]:
        return []

    async def test(self, new: Value) -> list[str]:
        return []

    async def unused(self, old: Value, new: Value) -> list[str]:
        return []

    async def end(self, old: Value, new: Value) -> list[str]:
        return []


def need_text(value: Value, field: str, where: str, *, most: int = 200) -> str:
    """A field that must be a text. Raises SecretInvalid."""
    found = value.get(field)
    if not isinstance(found, str) or not 1 <= len(found) <= most or not found.isprintable():
        raise SecretInvalid(f"{field} must be a text of 1 to {most} printable characters, is not", detail=where)
    return found


def need_hex(value: Value, field: str, where: str) -> bytes:
    """A field that must be 64 hexadecimal digits. Raises SecretInvalid."""
    found = value.get(field)
    try:
        raw = bytes.fromhex(found) if isinstance(found, str) and len(found) == 2 * SECRET_BYTES else b""
    except ValueError:
        raw = b""
    if len(raw) != SECRET_BYTES:
        raise SecretInvalid(f"{field} must be {2 * SECRET_BYTES} hexadecimal digits, is not", detail=where)
    return raw
