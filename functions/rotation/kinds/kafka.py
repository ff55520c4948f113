"""A Kafka login: two SCRAM users that alternate, with the same rights."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Protocol

from functions.common.errors import SecretInvalid
from functions.rotation.kinds import SECRET_BYTES, Draw, Quiet, Value, need_pair, need_text
from ironbook.held import alternating, fingerprint, login_value

__all__ = ["Kafka"]

MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")
_KEPT = ("users", "mechanism", "principal")


class Users(Protocol):
    """The users of a cluster."""

    def let_in(self, user: str, password: str, mechanism: str, principal: str, like: str) -> None:
        """The user has just this password, and the rights of the principal and of that other user.

        Raises KafkaRefused.
        """

    def try_login(self, user: str, password: str, mechanism: str) -> None:
        """Raises NewSecretRefused."""

    def shut_out(self, user: str, mechanism: str) -> None:
        """The user may log on no more. Connections that are open stay."""


class Kafka(Quiet):
    """A user of Kafka. A broker tells nobody who is connected, so only holders say who uses which one."""

    name: ClassVar[str] = "kafka"
    verified: ClassVar[bool] = False

    def __init__(self, draw: Draw, users: Users) -> None:
        self._draw, self._users = draw, users

    def check(self, value: Value, where: str) -> None:
        for user in (*need_pair(value, where), need_text(value, "principal", where)):
            if not isinstance(user, str) or _NAME.fullmatch(user) is None:
                raise SecretInvalid("users and principal must be of A-Z a-z 0-9 . _ -, are not", detail=where)
        need_text(value, "password", where)
        if value.get("mechanism") not in MECHANISMS:
            raise SecretInvalid(f"mechanism must be one of {', '.join(MECHANISMS)}, is not", detail=where)

    def pair(self, new: Value, old: Value, where: str) -> None:
        if new["username"] == old["username"]:
            raise SecretInvalid("the new version must be of the other user, is of the same one", detail=where)
        wrong = sorted(field for field in _KEPT if new.get(field) != old.get(field))
        if wrong:
            raise SecretInvalid(f"a rotation must change user and password only, would change {wrong}", detail=where)

    def holder(self, value: Value) -> str:
        return f"kafka/{alternating(value['username'])}"

    def fingerprint(self, value: Value) -> str:
        return fingerprint(login_value(value["username"], value["password"]))

    def fresh(self, value: Value) -> dict[str, Any]:
        _, other = need_pair(value, "")
        return {**value, "username": other, "password": self._draw(SECRET_BYTES).hex()}

    async def set(self, new: Value) -> list[str]:
        user, other = need_pair(new, "")
        self._users.let_in(user, new["password"], new["mechanism"], new["principal"], other)
        return [f"user {new['username']} has the new password and the rights of {new['principal']}"]

    async def test(self, new: Value) -> list[str]:
        self._users.try_login(new["username"], new["password"], new["mechanism"])
        return [f"user {new['username']} logged on to Kafka"]

    async def end(self, old: Value, new: Value) -> list[str]:
        if old["username"] == new["username"]:
            return []
        self._users.shut_out(old["username"], old["mechanism"])
        return [f"user {old['username']} may log on no more"]
