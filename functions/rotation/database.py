"""PostgreSQL, as rotation uses it: one connection of an administrator, for locks, holders and database users.

The server never gets to see a new password: it is given SCRAM's verifier, as `\\password` of psql does, so that no log
of statements can hold it. Whoever loses this connection loses the lock, and may change nothing more: `still_held` is
asked before each change.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import asyncpg

from functions.common.errors import SecretInvalid
from functions.rotation.errors import DatabaseRefused, NewSecretRefused, RotationBusy
from functions.rotation.holders import Holder
from functions.rotation.settings import Settings

__all__ = ["Administrator", "scram_verifier"]

CONNECT_S: Final = 10.0
COMMAND_S: Final = 15.0
LOCK_CLASS: Final = 0x49524F4E  # "IRON", so that no other program's locks are met
ITERATIONS: Final = 4096
# InternalClientError: what a connection says that was cut while nothing was asked.
REFUSED: Final = (
    asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError,
)  # fmt: skip
# A function that is stopped says no goodbye: the server finds that out and lets the lock go.
SESSION: Final = {"application_name": "ironbook-rotation", "tcp_keepalives_idle": "20", "tcp_keepalives_interval": "5",
                  "tcp_keepalives_count": "3"}  # fmt: skip


def scram_verifier(password: str, salt: bytes) -> str:
    """What PostgreSQL stores of a password of SCRAM-SHA-256 (RFC 5803)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"


def _context(settings: Settings) -> ssl.SSLContext | bool:
    if settings.database_tls == "disable":
        return False
    context = ssl.create_default_context(cadata=settings.database_ca_pem or None)
    if settings.database_tls == "require":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _why(error: BaseException) -> str:
    """What the server said; of the network only what kind of trouble."""
    if isinstance(error, asyncpg.PostgresError):
        return f"{type(error).__name__} {error.sqlstate}: {error.args[0] if error.args else ''}"[:300]
    return getattr(error, "strerror", None) or type(error).__name__


class Administrator:
    """Use it with `async with`. Raises DatabaseRefused."""

    def __init__(self, settings: Settings, login: Callable[[], Mapping[str, Any]]) -> None:
        self._settings, self._login = settings, login
        self._where = f"{settings.database_host}:{settings.database_port}/{settings.database_name}"
        self._connection: Any = None
        self._user = ""

    async def __aenter__(self) -> Administrator:
        login = self._login()
        self._user, password = str(login.get("username", "")), str(login.get("password", ""))
        if not self._user or not password:
            raise SecretInvalid("the administrator's secret must have username and password", detail=self._where)
        try:
            self._connection = await asyncpg.connect(
                host=self._settings.database_host, port=self._settings.database_port, user=self._user,
                password=password, database=self._settings.database_name, ssl=_context(self._settings),
                timeout=CONNECT_S, command_timeout=COMMAND_S, server_settings=SESSION,
            )  # fmt: skip
        except REFUSED as error:
            raise DatabaseRefused(
                f"PostgreSQL must let the administrator in, did not: {_why(error)}", detail=self._where,
                hint="nothing was changed; see database_host, database_tls, database_ca_pem, database_admin_secret",
            ) from None  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(*REFUSED):
            await self._connection.close(timeout=2)

    async def _ask(self, what: str, sql: str, *arguments: object) -> list[Any]:
        try:
            rows: list[Any] = await self._connection.fetch(sql, *arguments)
        except REFUSED as error:
            raise DatabaseRefused(
                f"{what}, PostgreSQL refused: {_why(error)}", detail=self._where,
                hint="the secret in use is untouched; the step is tried again",
            ) from None  # fmt: skip
        return rows

    # ---- One at a time ----------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def locked(self, secret: str) -> AsyncIterator[None]:
        """Only we work on this secret. Raises RotationBusy at once where somebody else does."""
        number = int.from_bytes(hashlib.sha256(secret.encode()).digest()[:4], signed=True)
        what = "a secret must be locked"
        got = await self._ask(what, "SELECT pg_try_advisory_lock($1, $2) AS got", LOCK_CLASS, number)
        if not got[0]["got"]:
            raise RotationBusy(
                "one invocation at a time may rotate a secret, another one is at it", detail=f"secret {secret}",
                hint="nothing to do: the other one goes on, or the next drive",
            )  # fmt: skip
        try:
            yield
        finally:
            with contextlib.suppress(*REFUSED):
                await self._connection.execute("SELECT pg_advisory_unlock($1, $2)", LOCK_CLASS, number)

    async def still_held(self) -> None:
        """Raises DatabaseRefused where the connection, and so the lock, is lost."""
        await self._ask("the lock must still be held", "SELECT 1")

    # ---- Holders ----------------------------------------------------------------------------------------------------

    async def holders(self, secret: str) -> list[Holder]:
        """All rows of a secret. It cannot be known who holds it where they cannot be read."""
        rows = await self._ask(
            "secret_holders must be readable (schemas/sql/0007)",
            "SELECT process, kind, accepts, uses, since_ns, seen_ns FROM secret_holders"
            " WHERE secret = $1 ORDER BY process",
            secret,
        )
        return [
            Holder(
                process=row["process"], kind=row["kind"], accepts=frozenset(row["accepts"]), uses=row["uses"],
                since_ns=row["since_ns"], seen_ns=row["seen_ns"],
            )
            for row in rows
        ]  # fmt: skip

    # ---- Database users (kinds.database.Logins) ---------------------------------------------------------------------

    async def let_in(self, user: str, password: str, role: str) -> None:
        found = await self._ask(
            "users must be readable",
            "SELECT rolname, rolsuper OR rolcreaterole OR rolreplication AS mighty FROM pg_roles"
            " WHERE rolname = ANY($1)",
            [user, role],
        )
        mighty = {row["rolname"]: row["mighty"] for row in found}
        if role not in mighty:
            raise DatabaseRefused(
                f"the role {role} must be there, is not", detail=self._where, hint="ironbook database migrate"
            )
        if user == self._user or any(mighty.values()):
            raise DatabaseRefused(
                "a rotating user and its role must not be administrators, one of them is",
                detail=f"{self._where}, user {user}, role {role}",
                hint="correct users and role in the secret",
            )
        verifier = scram_verifier(password, secrets.token_bytes(16))
        how = "ALTER" if user in mighty else "CREATE"
        # One text, so one transaction: there is no user without its role. All names were checked (kinds/database.py).
        await self._ask_all(
            f"user {user} must get its new password",
            f'{how} ROLE "{user}" LOGIN INHERIT PASSWORD \'{verifier}\'; GRANT "{role}" TO "{user}"',
        )

    async def _ask_all(self, what: str, sql: str) -> None:
        try:
            await self._connection.execute(sql)
        except REFUSED as error:
            why = f"{type(error).__name__} {getattr(error, 'sqlstate', '')}".strip()  # its text may quote the statement
            raise DatabaseRefused(
                f"{what}, PostgreSQL refused: {why}", detail=self._where,
                hint="the secret in use is untouched; may the administrator make users and grant the role?",
            ) from None  # fmt: skip

    async def try_login(self, value: Mapping[str, Any]) -> None:
        where = f"{value['host']}:{value['port']}/{value['dbname']}, user {value['username']}"
        try:
            connection = await asyncpg.connect(
                host=value["host"], port=value["port"], user=value["username"], password=value["password"],
                database=value["dbname"], ssl=_context(self._settings), timeout=CONNECT_S, command_timeout=COMMAND_S,
                server_settings={"application_name": "ironbook-rotation-test"},
            )  # fmt: skip
            try:
                granted = await connection.fetchval("SELECT pg_has_role(current_user, $1, 'USAGE')", value["role"])
            finally:
                await connection.close(timeout=2)
        except REFUSED as error:
            raise NewSecretRefused(
                f"the new user must be let in, was not: {_why(error)}", detail=where,
                hint="the old one stays in use; the step is tried again",
            ) from None  # fmt: skip
        if not granted:
            raise NewSecretRefused(f"the new user must have role {value['role']}, has not", detail=where)

    async def sessions(self, user: str) -> int:
        rows = await self._ask(
            "sessions must be readable", "SELECT count(*) AS n FROM pg_stat_activity WHERE usename = $1", user
        )
        return int(rows[0]["n"])

    async def shut_out(self, user: str) -> None:
        there = await self._ask("users must be readable", "SELECT FROM pg_roles WHERE rolname = $1", user)
        if there:
            await self._ask_all(f"user {user} must be shut out", f'ALTER ROLE "{user}" NOLOGIN PASSWORD NULL')
