"""Two users that take turns: of a database, and of a broker's connections the proof that the old one has none.

    users = Users(url, "ironbook_reader")
    write_file(path, users.enable(1))     a new password; whoever follows the file logs on as the other user
    users.end(0)                          NOLOGIN, and its sessions are cut
"""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg


class Users:
    """Two users of a database with the rights of a role; `enable` gives one a new password, `end` takes all from it."""

    def __init__(self, url: str, role: str) -> None:
        self.url = url
        both = f"user_{secrets.token_hex(3)}"
        self.names = [f"{both}_a", f"{both}_b"]
        for name in self.names:
            self.do(f"CREATE ROLE {name} NOLOGIN IN ROLE {role}")

    def do(self, statement: str) -> list[Any]:
        """As the administrator."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.url)
            try:
                return list(await connection.fetch(statement))
            finally:
                await connection.close()

        return asyncio.run(run())

    def enable(self, index: int) -> str:
        """The URL of the user with a new password."""
        word = secrets.token_urlsafe(12) + "/@:"
        self.do(f"ALTER ROLE {self.names[index]} LOGIN PASSWORD '{word}'")
        parts = urlsplit(self.url)
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{self.names[index]}:{quote(word, safe='')}@{place}"))

    def sessions(self, index: int) -> int:
        """How many are open."""
        return len(self.do(f"SELECT pid FROM pg_stat_activity WHERE usename = '{self.names[index]}'"))

    def end(self, index: int) -> None:
        """It may log on no more, and what it has open is cut."""
        self.do(f"ALTER ROLE {self.names[index]} NOLOGIN")
        self.do(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{self.names[index]}'")

    def drop(self) -> None:
        """Both."""
        for name in self.names:
            self.end(self.names.index(name))
            self.do(f"DROP ROLE {name}")


def write_file(path: Path, text: str) -> None:
    """Whole or not at all, mode 0600, as the follower of secrets does it."""
    new = path.with_name(path.name + ".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.rename(path)


def connections(pid: int, port: int) -> set[int]:
    """Local ports of a process's open connections to that port of this machine."""
    inodes = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(entry.path)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            local, remote = (int(words[at].rpartition(":")[2], 16) for at in (1, 2))
            if words[9] in inodes and remote == port and words[3] == "01":
                found.add(local)
    return found
