"""The key that signs session cookies: 32 bytes that all gateways share."""

from __future__ import annotations

from typing import Any, ClassVar

from functions.rotation.kinds import SECRET_BYTES, Draw, Quiet, Value, need_hex
from ironbook.held import fingerprint

__all__ = ["Cookie"]


class Cookie(Quiet):
    """New logins are signed with the current one; those signed with another labelled one go on."""

    name: ClassVar[str] = "cookie"
    verified: ClassVar[bool] = True

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def check(self, value: Value, where: str) -> None:
        need_hex(value, "secret", where)

    def holder(self, value: Value) -> str:
        return "cookie"

    def fingerprint(self, value: Value) -> str:
        return fingerprint(bytes.fromhex(value["secret"]))

    def fresh(self, value: Value) -> dict[str, Any]:
        return {**value, "secret": self._draw(SECRET_BYTES).hex()}
