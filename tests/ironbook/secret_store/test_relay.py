"""What processes say that they hold reaches the table that a rotation looks at; what nobody took back stays there."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from ironbook.held import Held, fingerprint, login_value, process_name
from ironbook.secret_store.errors import HoldersUnavailable
from ironbook.secret_store.relay import HolderRow, Relay, forget, gather, holders
from schemas import migrations
from tests.support.services import create_database, drop_database

A, B = (fingerprint(bytes([number]) * 32) for number in range(2))
NOW_NS = 1_790_000_000_000_000_000


@pytest.fixture(scope="module")
def database(postgres_server: str) -> Iterator[str]:
    """A migrated database, and a user of it who is nothing but a follower."""
    url = create_database(postgres_server)
    migrations.migrate(url)
    user = f"follower{os.getpid()}"
    run(url, f"CREATE ROLE {user}_a LOGIN PASSWORD 'geh/eim' IN ROLE ironbook_follower")
    run(url, f"CREATE ROLE {user}_b LOGIN PASSWORD 'anders' IN ROLE ironbook_follower")
    yield url
    drop_database(url, postgres_server)
    run(postgres_server, f"DROP ROLE {user}_a, {user}_b")


@pytest.fixture
def url(database: str) -> str:
    """The same, with nobody in the table; as a follower sees it."""
    run(database, "TRUNCATE secret_holders")
    return login(database, "a", "geh%2Feim")


def login(database: str, letter: str, password: str) -> str:
    parts = urlsplit(database)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"follower{os.getpid()}_{letter}:{password}@{place}").geturl()


def run(url: str, statement: str) -> list[asyncpg.Record]:
    async def ask() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return asyncio.run(ask())


def rows(url: str) -> dict[tuple[str, str], HolderRow]:
    """The table, without the follower's own rows."""
    found = asyncio.run(holders(url))
    return {(row.process, row.secret): row for row in found if row.kind != "follower"}


class Beside:
    """A follower's relay with its memory of the last look, and the clock of the held files."""

    def __init__(self, directory: Path, url: str) -> None:
        self.url_file = directory / "follower.database-url"
        self.url_file.touch(0o600)
        self.url_file.write_text(url + "\n")
        self.pattern = str(directory / "*.held.json")
        self.known: dict[str, str] = {}
        self.problems: dict[str, str] = {}

    def relay(self, *, times: int = 1) -> None:
        """Look and write, as often as said, by one relay."""

        async def go() -> None:
            relay = Relay(self.url_file, "follower-test")
            for _ in range(times):
                found = gather([self.pattern], self.known)
                await relay.write(found, NOW_NS)
                self.known, self.problems = found.paths, found.problems
            await relay.close()

        asyncio.run(go())


@pytest.fixture
def beside(tmp_path: Path, url: str) -> Beside:
    return Beside(tmp_path, url)


def leave_dead(held: Held) -> None:
    """The file as a process leaves it that was killed."""
    document = json.loads(held.path.read_bytes())
    held.path.write_text(json.dumps({**document, "started": "another boot/1"}))


def test_what_a_living_process_says_stands_in_the_table_and_follows_it(
    beside: Beside, tmp_path: Path, url: str
) -> None:
    clock = iter(range(NOW_NS, NOW_NS + 10**12, 10**10))
    held = Held(tmp_path / "gateway.held.json", "gateway@a", "gateway", now_ns=lambda: next(clock))
    held.say("cookie", [A], A)
    held.say("database/gateway", [], B)
    held.beat()
    beside.relay()
    row = rows(url)["gateway@a", "cookie"]
    assert (row.kind, row.accepts, row.uses) == ("gateway", (A,), A)
    assert row.seen_ns > row.since_ns > NOW_NS - 10**12
    held.say("cookie", [A, B], B)
    held.say("database/gateway", [], None)
    held.beat()
    beside.relay(times=2)
    (changed,) = rows(url).values()
    assert (changed.secret, changed.accepts, changed.uses) == ("cookie", (A, B), B)
    for _ in range(3):
        held.beat()
    beside.relay(times=2)
    (moved,) = rows(url).values()
    assert moved == dataclasses.replace(changed, seen_ns=moved.seen_ns)
    assert moved.seen_ns > changed.seen_ns
    held.close()
    beside.relay()
    assert rows(url) == {}, "who stopped cleanly holds nothing"


def test_a_process_that_was_killed_is_not_relayed_and_its_row_stays_until_it_is_back_or_forgotten(
    beside: Beside, tmp_path: Path, url: str
) -> None:
    held = Held(tmp_path / "gateway.held.json", "gateway@a", "gateway")
    held.say("cookie", [A], A)
    held.beat()
    beside.relay()
    before = rows(url)
    leave_dead(held)
    beside.relay(times=2)
    assert rows(url) == before
    assert "its rows stay" in beside.problems[str(held.path)]
    held.path.unlink()
    beside.relay()
    assert rows(url) == before, "somebody who tidies up does not say that the process is gone for good"
    back = Held(held.path, "gateway@a", "gateway")
    back.say("cookie", [B], B)
    back.beat()
    beside.relay()
    assert [row.accepts for row in rows(url).values()] == [(B,)]
    leave_dead(back)
    assert asyncio.run(forget(url, "gateway@a")) == 1
    beside.relay()
    assert rows(url) == {}
    assert asyncio.run(forget(url, "gateway@a")) == 0


def test_a_dead_file_of_an_earlier_life_brings_no_row(beside: Beside, tmp_path: Path, url: str) -> None:
    held = Held(tmp_path / "gateway.held.json", "gateway@a", "gateway")
    held.say("cookie", [A], A)
    leave_dead(held)
    beside.relay()
    assert rows(url) == {}


def test_a_process_that_still_starts_takes_away_no_row_of_its_earlier_life(
    beside: Beside, tmp_path: Path, url: str
) -> None:
    held = Held(tmp_path / "gateway.held.json", "gateway@a", "gateway")
    held.say("cookie", [A], A)
    held.say("database/gateway", [], A)
    held.beat()
    beside.relay()
    again = Held(held.path, "gateway@a", "gateway")
    again.say("cookie", [B], B)
    beside.relay()
    assert {row.secret: row.uses for row in rows(url).values()} == {"cookie": B, "database/gateway": A}
    again.beat()
    beside.relay()
    assert {row.secret for row in rows(url).values()} == {"cookie"}


def test_a_living_process_that_was_forgotten_comes_back_by_itself(beside: Beside, tmp_path: Path, url: str) -> None:
    clock = iter(range(NOW_NS, NOW_NS + 10**13, 10**11))
    held = Held(tmp_path / "gateway.held.json", "gateway@a", "gateway", now_ns=lambda: next(clock))
    held.say("cookie", [A], A)
    held.beat()

    async def go() -> None:
        relay = Relay(beside.url_file, "follower-test")
        await relay.write(gather([beside.pattern], {}), NOW_NS)
        await forget(url, "gateway@a")
        held.beat()
        await relay.write(gather([beside.pattern], {}), NOW_NS)
        await relay.close()

    asyncio.run(go())
    assert len(rows(url)) == 1


def test_two_living_processes_of_one_name_and_a_broken_file_are_told(beside: Beside, tmp_path: Path, url: str) -> None:
    for name in ("a", "b"):
        held = Held(tmp_path / f"{name}.held.json", "gateway@a", "gateway")
        held.say("cookie", [A], A)
    (tmp_path / "c.held.json").write_text("{")
    beside.relay()
    assert {Path(path).name for path in beside.problems} == {"b.held.json", "c.held.json"}
    assert len(rows(url)) == 1
    (tmp_path / "a.held.json").write_text("{")
    beside.relay()
    assert len(rows(url)) == 1, "a file that cannot be read is not one that is gone"


def test_rows_of_who_stopped_while_the_database_was_away_go_when_it_is_back(tmp_path: Path, url: str) -> None:
    held = Held(tmp_path / "gateway.held.json", "gateway@a", "gateway")
    held.say("cookie", [A], A)
    known = gather([str(tmp_path / "*.held.json")], {}).paths
    held.close()
    for _ in range(2):
        assert gather([str(tmp_path / "*.held.json")], known).stopped == ["gateway@a"]


def test_the_follower_says_which_user_it_uses_and_leaves_no_session_of_the_old_one(
    beside: Beside, database: str, url: str
) -> None:
    own = process_name("follower-test")

    async def go() -> list[list[tuple[str, str | None]]]:
        seen = []
        relay = Relay(beside.url_file, "follower-test")
        for address in (url, login(database, "b", "anders")):
            beside.url_file.write_text(address)
            await relay.write(gather([], {}), NOW_NS)
            sessions = await asyncio.to_thread(
                run, database, "SELECT usename FROM pg_stat_activity WHERE application_name = 'ironbook-secrets'"
            )
            said = [(row.secret, row.uses) for row in await holders(url) if row.process == own]
            seen.append([*said, *((str(row["usename"]), None) for row in sessions if row["usename"] is not None)])
        await relay.close()
        return seen

    user = f"follower{os.getpid()}"
    assert asyncio.run(go()) == [
        [(f"database/{user}", fingerprint(login_value(f"{user}_a", "geh/eim"))), (f"{user}_a", None)],
        [(f"database/{user}", fingerprint(login_value(f"{user}_b", "anders"))), (f"{user}_b", None)],
    ]
    assert [row for row in asyncio.run(holders(url)) if row.process == own] == [], "and takes its row with it"


def test_a_database_that_refuses_is_told_without_the_password(beside: Beside, database: str, url: str) -> None:
    nobody = "postgresql://x:geheim@127.0.0.1:1/x"
    for address in (login(database, "a", "falsch"), url.rpartition("/")[0] + "/none", nobody, "geheim"):
        beside.url_file.write_text(address)
        with pytest.raises(HoldersUnavailable) as caught:
            beside.relay()
        assert not [word for word in ("geh", "falsch") if word in str(caught.value)]
    beside.url_file.unlink()
    with pytest.raises(HoldersUnavailable, match="readable"):
        beside.relay()
    run(database, "ALTER TABLE secret_holders RENAME TO elsewhere")
    try:
        with pytest.raises(HoldersUnavailable) as caught:
            asyncio.run(holders(url))
        assert "ironbook database migrate" in str(caught.value)
    finally:
        run(database, "ALTER TABLE elsewhere RENAME TO secret_holders")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://desk:geheim@127.0.0.1:1/x", "the database must say who holds which secret, did not: "),
        ("geheim", "a database's address must be postgresql://user:password@host:port/name, is not"),
        ("postgresql://desk:geh/eim@127.0.0.1:1/x", "a database's address must be postgresql://"),
    ],
)
@pytest.mark.parametrize("ask", [holders, lambda url: forget(url, "gateway@host-8")])
def test_who_asks_by_hand_is_told_which_database_and_never_its_password(ask, url: str, said: str) -> None:
    with pytest.raises(HoldersUnavailable) as caught:
        asyncio.run(ask(url))
    assert caught.value.message.startswith(said.replace("say", "forget") if ask is not holders else said)
    assert "geh" not in str(caught.value)
    if "did not" in said:
        assert caught.value.detail == "database at 127.0.0.1"
