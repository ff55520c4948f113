"""A database login: a user of PostgreSQL that has one of Ironbook's roles."""

from __future__ import annotations

import re
from typing import ClassVar, Protocol

from functions.common.errors import SecretInvalid
from functions.rotation.kinds import Draw, Value, need_text
from functions.rotation.kinds.login import Login, need_pair

__all__ = ["Database"]

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class Logins(Protocol):
    """The users of a PostgreSQL server."""

    async def let_in(self, user: str, password: str, role: str) -> None:
        """The user exists, has this role and just this password. Raises DatabaseRefused."""

    async def try_login(self, value: Value) -> None:
        """Raises NewSecretRefused."""

    async def sessions(self, user: str) -> int:
        """How many it has."""

    async def shut_out(self, user: str) -> None:
        """The user may log on no more. Sessions that are open stay."""


class Database(Login):
    """A user of PostgreSQL."""

    name: ClassVar[str] = "database"
    kept: ClassVar[tuple[str, ...]] = ("host", "port", "dbname", "users", "role")

    def __init__(self, draw: Draw, logins: Logins) -> None:
        super().__init__(draw)
        self._logins = logins

    def check(self, value: Value, where: str) -> None:
        for user in (*need_pair(value, where), need_text(value, "role", where)):
            if not isinstance(user, str) or _IDENTIFIER.fullmatch(user) is None:
                raise SecretInvalid("users and role must be of a-z 0-9 _, at most 63, are not", detail=where)
        if not value["role"].startswith("ironbook_") or value["role"] in value["users"]:
            raise SecretInvalid(
                "the role must be one of Ironbook's (ironbook_reader …) and none of the users, is not", detail=where
            )
        need_text(value, "password", where)
        need_text(value, "host", where)
        need_text(value, "dbname", where, most=63)
        port = value.get("port")
        if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65_535:
            raise SecretInvalid("port must be a number from 1 to 65535, is not", detail=where)

    async def set(self, new: Value) -> list[str]:
        await self._logins.let_in(new["username"], new["password"], new["role"])
        return [f"user {new['username']} has the new password and role {new['role']}"]

    async def test(self, new: Value) -> list[str]:
        await self._logins.try_login(new)
        return [f"user {new['username']} logged on to PostgreSQL"]

    async def unused(self, old: Value, new: Value) -> list[str]:
        if old["username"] == new["username"]:
            return []
        count = await self._logins.sessions(old["username"])
        return [f"user {old['username']} has {count} sessions in PostgreSQL"] if count else []

    async def shut_out(self, old: Value) -> None:
        await self._logins.shut_out(old["username"])
