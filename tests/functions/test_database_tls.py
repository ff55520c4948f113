"""No password goes to a PostgreSQL whose certificate is not of the authority that the settings give."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from functions.reporting import database as reporting
from functions.reporting.errors import DatabaseAway
from functions.rotation.database import Administrator
from functions.rotation.errors import DatabaseRefused
from functions.rotation.kinds.tls import make_certificate
from functions.rotation.settings import Settings
from schemas.migrations import migrate
from tests.support.rotation import authority
from tests.support.services import Database

OURS = authority(name="Ours")
OTHERS = [authority(name="Another")["certificate"], ""]  # "": those of the system, to which ours does not belong


async def execute(url: str, *statements: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return [await connection.fetchval(statement) for statement in statements][-1]
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of our own that speaks TLS, with a certificate for 127.0.0.1."""
    with Database.start() as server:
        place = Path(asyncio.run(execute(server.url, "SHOW data_directory")))
        owner = place.stat()
        made = make_certificate(OURS, ["127.0.0.1"], 9, datetime.datetime.now(datetime.UTC))
        for name, text in zip(("server.crt", "server.key"), made, strict=True):
            (place / name).touch(mode=0o600)
            (place / name).write_text(text)
            os.chown(place / name, owner.st_uid, owner.st_gid)
        asyncio.run(execute(server.url, "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"))
        migrate(server.url)
        yield server.url


def login(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "host": parts.hostname, "port": parts.port, "dbname": parts.path[1:], "username": parts.username,
        "password": parts.password,
    }  # fmt: skip


async def rotation(url: str, pem: str) -> None:
    found = login(url)
    settings = Settings(
        database_host=found["host"], database_port=found["port"], database_name=found["dbname"], database_ca_pem=pem
    )
    async with Administrator(settings, lambda: found) as book:
        await book.still_held()


async def report(url: str, pem: str) -> None:
    async with reporting.opened({"dsn": url}, "verify-full", pem) as database:
        await database.check()


def test_rotation_and_reporting_take_the_server_of_the_authority_that_they_are_given_and_no_other(url: str):
    for what, refused in ((rotation, DatabaseRefused), (report, DatabaseAway)):
        asyncio.run(what(url, OURS["certificate"]))
        for pem in OTHERS:
            with pytest.raises(refused):
                asyncio.run(what(url, pem))


def test_so_do_processes_with_the_address_that_a_follower_of_secrets_writes(url: str, tmp_path: Path):
    for pem, good in ((OURS["certificate"], True), (OTHERS[0], False)):
        (tmp_path / "database-ca.pem").write_text(pem)
        address = f"{url}?sslmode=verify-full&sslrootcert={tmp_path}/database-ca.pem"
        if good:
            assert asyncio.run(execute(address, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                asyncio.run(execute(address, "SELECT 1"))
