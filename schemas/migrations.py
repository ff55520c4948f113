"""Migrations of the Postgres database: plain SQL files in schemas/sql, applied by yoyo.

`0003.analytics.sql` goes forward, `0003.analytics.rollback.sql` back; each runs in a transaction of its own, and yoyo's
lock lets one process migrate at a time. yoyo keeps what it applied in tables of its own (`_yoyo_*`).
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FOLDER = pathlib.Path(__file__).parent / "sql"
LOCK_TIMEOUT_S = 30


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One migration, and whether the database has it."""

    name: str
    applied: bool


class MigrationFailed(Exception):
    """A database could not be migrated; nothing of the failed step stayed."""

    code = "migration_failed"

    def __init__(self, message: str, *, detail: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.detail, self.hint = message, detail, hint


def migrate(url: str) -> list[str]:
    """Apply what the database lacks; the names applied."""
    with _opened(url) as (backend, migrations), backend.lock(timeout=LOCK_TIMEOUT_S):
        wanted = backend.to_apply(migrations)
        names = [migration.id for migration in wanted]
        _run("forward", backend.apply_migrations, wanted)
    return names


def rollback(url: str, count: int = 1) -> list[str]:
    """Take back the last `count` migrations, newest first; the names taken back."""
    with _opened(url) as (backend, migrations), backend.lock(timeout=LOCK_TIMEOUT_S):
        wanted = backend.to_rollback(migrations)[:count]
        names = [migration.id for migration in wanted]
        _run("back", backend.rollback_migrations, wanted)
    return names


def status(url: str) -> list[Migration]:
    """Each migration in the order in which they apply."""
    with _opened(url) as (backend, migrations):
        missing = {migration.id for migration in backend.to_apply(migrations)}
        return [Migration(name=migration.id, applied=migration.id not in missing) for migration in migrations]


def _run(direction: str, action: Any, wanted: Any) -> None:
    try:
        action(wanted)
    except Exception as error:
        raise MigrationFailed(
            f"a migration must go {direction} whole, the database refused: {str(error).strip()}",
            detail=", ".join(migration.id for migration in wanted),
            hint="nothing of the failed step stayed; `ironbook database status` shows where the database is",
        ) from error


@contextmanager
def _opened(url: str) -> Iterator[tuple[Any, Any]]:
    import yoyo

    if not url.startswith(("postgresql://", "postgres://")):
        raise MigrationFailed(
            "a database's address must begin with postgresql://",
            detail=f"found {url.split(':', 1)[0]}:",
            hint="such as postgresql://user@host:5432/ironbook",
        )
    try:
        backend = yoyo.get_backend("postgresql+psycopg://" + url.split("://", 1)[1])
    except Exception as error:
        raise MigrationFailed(
            "the database must answer to be migrated, it did not",
            detail=str(error).strip(),
            hint="is it running, and may this user connect?",
        ) from error
    try:
        yield backend, yoyo.read_migrations(str(FOLDER))
    finally:
        backend.connection.close()
