"""What processes say that they hold, carried from their files into the table secret_holders.

    held files ──gather──▶ living: rows written, seen_ns moved on ──▶ secret_holders
                     ├──▶ stopped (file gone): rows deleted
                     └──▶ dead (file of a process that is no more): nothing; its rows stay and hold a rotation up

The follower itself uses a user of the database; it says so in rows of its own. The connection is renewed when the file
with the database's address changes, so that an old user has no session left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import json
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ironbook._errors import DependencyMissing
from ironbook.held import HeldUnreadable, Holding, Statement, process_name, read
from ironbook.renewal import SecretUnusable, database_holding, database_url
from ironbook.secret_store.errors import HoldersUnavailable, SecretStoreError

__all__ = ["Gathered", "HolderRow", "Relay", "forget", "gather", "holders"]

HELD_FILE_COUNT_MAX: Final = 256
SEEN_INTERVAL_NS: Final = 15_000_000_000  # how often a row that did not change is moved on
CONNECT_TIMEOUT_S: Final = 5.0
COMMAND_TIMEOUT_S: Final = 10.0
ROW_COUNT_MAX: Final = 100_000

WRITE: Final = """
INSERT INTO secret_holders AS t (process, kind, secret, accepts, uses, host, since_ns, seen_ns)
SELECT $1, $2, said.secret, said.accepts, said.uses, $3, said.since_ns, $4
FROM jsonb_to_recordset($5::jsonb) AS said(secret text, accepts text[], uses text, since_ns bigint)
ON CONFLICT (process, secret) DO UPDATE SET kind = excluded.kind, accepts = excluded.accepts, uses = excluded.uses,
    host = excluded.host, since_ns = excluded.since_ns, seen_ns = excluded.seen_ns"""
NO_LONGER: Final = "DELETE FROM secret_holders WHERE process = $1 AND secret <> ALL ($2::text[])"
SEEN: Final = "UPDATE secret_holders SET seen_ns = $2 WHERE process = $1"
GONE: Final = "DELETE FROM secret_holders WHERE process = $1"
ALL: Final = """
SELECT process, kind, secret, accepts, uses, host, since_ns, seen_ns FROM secret_holders
ORDER BY secret, kind, process LIMIT $1"""


@dataclasses.dataclass(slots=True, kw_only=True)
class Gathered:
    """What one look at the held files found."""

    living: dict[str, Statement] = dataclasses.field(default_factory=dict)  # by process
    stopped: list[str] = dataclasses.field(default_factory=list)  # processes whose file is gone
    dead: set[str] = dataclasses.field(default_factory=set)  # paths of processes that ended without a clean stop
    problems: dict[str, str] = dataclasses.field(default_factory=dict)  # by path
    paths: dict[str, str] = dataclasses.field(default_factory=dict)  # the living process of each path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HolderRow:
    """A row of secret_holders."""

    process: str
    kind: str
    secret: str
    accepts: tuple[str, ...]
    uses: str | None
    host: str
    since_ns: int
    seen_ns: int


def gather(patterns: Iterable[str], before: Mapping[str, str]) -> Gathered:
    """Read the held files. before: the living process of each path at the last look."""
    found = Gathered()
    paths = sorted({path for pattern in patterns for path in glob.glob(pattern)})
    if len(paths) > HELD_FILE_COUNT_MAX:
        found.problems["held_files"] = f"at most {HELD_FILE_COUNT_MAX} held files are read, there are {len(paths)}"
    for path in paths[:HELD_FILE_COUNT_MAX]:
        try:
            said = read(Path(path))
        except HeldUnreadable as error:
            if path in before and Path(path).exists():
                found.paths[path] = before[path]  # not to be taken for stopped
            found.problems[path] = str(error)
            continue
        if not said.alive():
            found.dead.add(path)
            found.problems[path] = f"{said.process} ended without a clean stop; its rows stay until it is back"
        elif said.process in found.living:
            found.problems[path] = f"two living processes must not have one name, {said.process} is told twice"
        else:
            found.living[said.process] = said
            found.paths[path] = said.process
    gone = {process for path, process in before.items() if not Path(path).exists()}
    found.stopped = sorted(gone - found.living.keys())
    return found


class Relay:
    """Writes what was gathered. Belongs to one loop.

    url_file   the database's address, as `ironbook secrets follow` writes it
    own_name   of the follower's own rows
    """

    def __init__(self, url_file: Path, own_name: str) -> None:
        self._url_file = url_file
        self._own_name = own_name
        self._own: tuple[str, Holding] | None = None  # of which address
        self._url = ""
        self._connection: Any = None
        self._written: dict[str, Statement] = {}  # by process, as the table has it

    async def write(self, gathered: Gathered, now_ns: int) -> None:
        """Bring the table up to date. Raises HoldersUnavailable; then the next call begins anew."""
        async with _told(f"database of {self._url_file}", self._renew):
            connection = await self._connected()
            for said in (*gathered.living.values(), *self._own_statement(now_ns)):
                await self._write_one(connection, said)
            for process in gathered.stopped:
                await connection.execute(GONE, process)
                self._written.pop(process, None)

    async def close(self) -> None:
        """Delete the follower's own rows and end the connection."""
        with contextlib.suppress(SecretStoreError):
            async with _told("", self._renew):
                if self._connection is not None and not self._connection.is_closed():
                    await self._connection.execute(GONE, process_name(self._own_name))
                    await self._connection.close()
        self._renew()

    async def _write_one(self, connection: Any, said: Statement) -> None:
        known = self._written.get(said.process)
        if known is not None and dataclasses.replace(said, seen_ns=known.seen_ns) == known:
            if said.seen_ns < known.seen_ns + SEEN_INTERVAL_NS:
                return
            moved = await connection.execute(SEEN, said.process, said.seen_ns)
            if int(moved.rpartition(" ")[2]) >= len(said.holdings):
                self._written[said.process] = said
                return
        rows = json.dumps([dataclasses.asdict(one) for one in said.holdings])
        async with connection.transaction():
            await connection.execute(WRITE, said.process, said.kind, said.host, said.seen_ns, rows)
            if said.whole:
                await connection.execute(NO_LONGER, said.process, [one.secret for one in said.holdings])
        self._written[said.process] = said

    async def _connected(self) -> Any:
        try:
            url = database_url(self._url_file)
        except SecretUnusable as error:
            raise HoldersUnavailable(error.message, detail=error.detail, hint=error.hint) from None
        if self._connection is not None and (url != self._url or self._connection.is_closed()):
            if not self._connection.is_closed():
                await self._connection.close()
            self._renew()
        if self._connection is None:
            self._connection = await connected(url, f"database of {self._url_file}")
            self._url = url
        return self._connection

    def _own_statement(self, now_ns: int) -> Sequence[Statement]:
        if self._own is None or self._own[0] != self._url:
            secret, uses = database_holding(self._url)
            self._own = self._url, Holding(secret=secret, accepts=(), uses=uses, since_ns=now_ns)
        return (
            Statement(
                process=process_name(self._own_name),
                kind="follower",
                host=socket.gethostname(),
                pid=0,
                started="",
                whole=True,
                holdings=(self._own[1],),
                seen_ns=now_ns,
            ),
        )

    def _renew(self) -> None:
        connection, self._connection, self._url = self._connection, None, ""
        self._written.clear()
        if connection is not None and not connection.is_closed():
            connection.terminate()


async def connected(url: str, where: str) -> Any:
    """A connection whose calls end in time; the caller closes it. where: what an error says of the address."""
    try:
        import asyncpg
    except ModuleNotFoundError:
        raise DependencyMissing(
            "the table of who holds which secret needs the package asyncpg", hint="pip install 'ironbook[cloud]'"
        ) from None
    try:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings={"application_name": "ironbook-secrets"},
        )
    except ValueError:  # its text may repeat a part of the address
        raise HoldersUnavailable(
            "a database's address must be postgresql://user:password@host:port/name, is not", detail=where
        ) from None


async def holders(url: str) -> list[HolderRow]:
    """All rows, by secret. Raises HoldersUnavailable."""
    async with _told(_place(url), must="say"):
        connection = await connected(url, _place(url))
        try:
            rows = await connection.fetch(ALL, ROW_COUNT_MAX)
        finally:
            await connection.close()
    return [HolderRow(**{**dict(row), "accepts": tuple(row["accepts"])}) for row in rows]


async def forget(url: str, process: str) -> int:
    """Delete a process's rows; how many there were. Raises HoldersUnavailable."""
    async with _told(_place(url), must="forget"):
        connection = await connected(url, _place(url))
        try:
            deleted: str = await connection.execute(GONE, process)
        finally:
            await connection.close()
    return int(deleted.rpartition(" ")[2])


@contextlib.asynccontextmanager
async def _told(where: str, failed: Any = None, must: str = "take") -> Any:
    """What the driver raises becomes HoldersUnavailable, without the address: a password stands in it.

    must: what the database has to do with who holds which secret
    """
    try:
        yield
    except (SecretStoreError, DependencyMissing):
        if failed is not None:
            failed()
        raise
    except BaseException as error:
        if failed is not None:
            failed()
        why = _why(error)
        if why is None:
            raise
        raise HoldersUnavailable(
            f"the database must {must} who holds which secret, did not: {why}",
            detail=where,
            hint="is it there, has it the tables (ironbook database migrate), and its user the role ironbook_follower?",
        ) from None


def _place(url: str) -> str:
    """Which database an address names, as far as that can be said without its password."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    return f"database at {host}" if host else "database"


def _why(error: BaseException) -> str | None:
    """What the driver said; None: it is none of the driver's."""
    import asyncpg

    if isinstance(error, asyncpg.PostgresError):
        return f"{error.sqlstate} {error}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, TimeoutError | asyncpg.InterfaceError | ValueError):
        return type(error).__name__
    return None
