"""A Kafka login: a SCRAM user that has the rights of a principal."""

from __future__ import annotations

import re
from typing import ClassVar, Protocol

from functions.common.errors import SecretInvalid
from functions.rotation.kinds import Draw, Value, need_text
from functions.rotation.kinds.login import Login, need_pair

__all__ = ["Kafka"]

MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")


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


class Kafka(Login):
    """A user of Kafka. A broker tells nobody who is connected, so only holders say who uses which one."""

    name: ClassVar[str] = "kafka"
    kept: ClassVar[tuple[str, ...]] = ("users", "mechanism", "principal")

    def __init__(self, draw: Draw, users: Users) -> None:
        super().__init__(draw)
        self._users = users

    def check(self, value: Value, where: str) -> None:
        for user in (*need_pair(value, where), need_text(value, "principal", where)):
            if not isinstance(user, str) or _NAME.fullmatch(user) is None:
                raise SecretInvalid("users and principal must be of A-Z a-z 0-9 . _ -, are not", detail=where)
        need_text(value, "password", where)
        if value.get("mechanism") not in MECHANISMS:
            raise SecretInvalid(f"mechanism must be one of {', '.join(MECHANISMS)}, is not", detail=where)

    async def set(self, new: Value) -> list[str]:
        user, other = need_pair(new, "")
        self._users.let_in(user, new["password"], new["mechanism"], new["principal"], other)
        return [f"user {new['username']} has the new password and the rights of {new['principal']}"]

    async def test(self, new: Value) -> list[str]:
        self._users.try_login(new["username"], new["password"], new["mechanism"])
        return [f"user {new['username']} logged on to Kafka"]

    async def shut_out(self, old: Value) -> None:
        self._users.shut_out(old["username"], old["mechanism"])
