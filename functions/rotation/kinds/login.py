"""What logins to PostgreSQL and to Kafka have in common: two users that alternate; the one in use is never touched.

current gateway_a ──▶ set: gateway_b gets a new password ──▶ current gateway_b ──▶ gateway_a may log on no more
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from functions.common.errors import SecretInvalid
from functions.rotation.kinds import SECRET_BYTES, Draw, Quiet, Value, need_text
from ironbook.held import alternating, fingerprint, login_value

__all__ = ["Login", "need_pair"]


class Login(Quiet, abc.ABC):
    """A kind whose values are logins; its subclass has the server."""

    name: ClassVar[str]
    verified: ClassVar[bool] = False
    kept: ClassVar[tuple[str, ...]]  # fields that a rotation must not change

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def pair(self, new: Value, old: Value, where: str) -> None:
        if new["username"] == old["username"]:
            raise SecretInvalid("the new version must be of the other user, is of the same one", detail=where)
        wrong = sorted(field for field in self.kept if new.get(field) != old.get(field))
        if wrong:
            raise SecretInvalid(f"a rotation must change user and password only, would change {wrong}", detail=where)

    def holder(self, value: Value) -> str:
        return f"{self.name}/{alternating(value['username'])}"

    def fingerprint(self, value: Value) -> str:
        return fingerprint(login_value(value["username"], value["password"]))

    def fresh(self, value: Value) -> dict[str, Any]:
        _, other = need_pair(value, "")
        return {**value, "username": other, "password": self._draw(SECRET_BYTES).hex()}

    async def end(self, old: Value, new: Value) -> list[str]:
        if old["username"] == new["username"]:
            return []  # somebody put a value by hand: its user is the one in use
        await self.shut_out(old)
        return [f"user {old['username']} may log on no more"]

    @abc.abstractmethod
    async def shut_out(self, old: Value) -> None:
        """The old one's user may log on no more. What is open stays."""


def need_pair(value: Value, where: str) -> tuple[str, str]:
    """(the user that it names, the other one) of two that alternate. Raises SecretInvalid."""
    found, username = value.get("users"), need_text(value, "username", where, most=63)
    users = [user for user in found if isinstance(user, str)] if isinstance(found, list) else []
    if found != users or len(users) != 2 or users[0] == users[1] or username not in users:
        raise SecretInvalid(
            "users must be two different names, one of them the username, are not",
            detail=where,
            hint='such as "users": ["gateway_a", "gateway_b"]',
        )
    if {*users} != {f"{alternating(username)}_{turn}" for turn in "ab"}:
        raise SecretInvalid(
            "two users that alternate must be called <name>_a and <name>_b, are not",
            detail=where,
            hint="holders say <name>, whichever of the two they use",
        )
    first, second = users
    return (first, second) if username == first else (second, first)
