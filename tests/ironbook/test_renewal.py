"""Files of secrets that change: tried, taken up, or left alone and told once; and what is said of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ironbook import held, renewal
from ironbook.held import Held, fingerprint
from ironbook.renewal import Renewal, SecretUnusable, database_holding, database_url, private_text
from tests.support.aio import in_loop, until
from tests.support.alternating import write_file


class Taker:
    """Takes up a file whose text begins with `good`."""

    def __init__(self, path: Path) -> None:
        self.path, self.taken = path, path.read_text()
        self.tries = 0
        self.log: list[tuple[str, str, Mapping[str, Any]]] = []

    async def renew(self) -> bool:
        self.tries += 1
        text = private_text(self.path, "the test")
        if not text.startswith("good"):
            raise SecretUnusable("the text must be good, is not", hint="mend it")
        new, self.taken = text != self.taken, text
        return new

    def say(self, level: str, event: str, more: Mapping[str, Any]) -> None:
        self.log.append((level, event, more))

    def events(self) -> list[str]:
        return [event for _, event, _ in self.log]


@pytest.fixture
def taker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Taker:
    monkeypatch.setattr(renewal, "RETRY_S", (0.0, 0.02))
    write_file(tmp_path / "file", "good 1")
    return Taker(tmp_path / "file")


@in_loop
async def test_what_is_new_is_taken_and_what_is_bad_is_told_once_until_it_is_mended(taker: Taker) -> None:
    looking = Renewal(0.005, taker.say)
    looking.watch_files("test", [taker.path], taker.renew)
    await looking.open()
    write_file(taker.path, "good 2")
    await until(lambda: taker.taken == "good 2")
    await until(lambda: taker.events() == ["secret_renewed"])
    write_file(taker.path, "go")
    await until(lambda: len(taker.log) == 2)
    tries = taker.tries
    await until(lambda: taker.tries > tries + 2)
    assert taker.events() == ["secret_renewed", "secret_not_renewed"]
    assert taker.log[1][2]["hint"] == "mend it"
    assert taker.taken == "good 2"
    taker.path.unlink()
    await until(lambda: len(taker.log) == 3)
    write_file(taker.path, "good 3")
    taker.path.chmod(0o644)
    await until(lambda: len(taker.log) == 4)
    assert "mode 0644" in taker.log[3][2]["why"]
    taker.path.chmod(0o600)
    await until(lambda: taker.taken == "good 3")
    await until(lambda: taker.events()[4:] == ["secret_renewed"])
    await looking.close()


@in_loop
async def test_a_file_that_is_caught_half_written_is_no_reason_to_say_anything(taker: Taker) -> None:
    looking = Renewal(0.005, taker.say)
    looking.watch_files("test", [taker.path], taker.renew)
    await looking.look()
    write_file(taker.path, "g")
    await looking.look()
    write_file(taker.path, "good 2")
    await looking.look()
    assert taker.taken == "good 2"
    assert taker.events() == ["secret_renewed"]


@in_loop
async def test_what_changed_before_the_first_look_is_found_by_it(taker: Taker) -> None:
    write_file(taker.path, "good 2")
    looking = Renewal(60.0, taker.say)
    looking.watch_files("test", [taker.path], taker.renew)
    await looking.open()
    await until(lambda: taker.taken == "good 2")
    await looking.close()


@in_loop
async def test_one_that_hangs_keeps_no_other_waiting(taker: Taker, tmp_path: Path) -> None:
    async def hang() -> bool:
        await asyncio.Event().wait()
        return True

    looking = Renewal(0.005, taker.say)
    looking.watch_files("hangs", [tmp_path / "none"], hang)
    looking.watch_files("test", [taker.path], taker.renew)
    await looking.open()
    write_file(taker.path, "good 2")
    await until(lambda: taker.taken == "good 2")
    await looking.close()


@in_loop
async def test_what_is_held_is_whole_when_it_is_first_said_and_gone_after_a_clean_stop(tmp_path: Path) -> None:
    path, log = tmp_path / "p.held.json", list[str]()
    looking = Renewal(60.0, lambda level, event, more: log.append(event), Held(path, "p@h", "gateway"))
    holdings = looking.holdings
    one, two, three = (fingerprint(bytes([number])) for number in (1, 2, 3))
    holdings.accept_only("api_key/", {"api_key/a": [one], "api_key/b": [two]})
    holdings.use("api_key/a", one)
    holdings.use_only("database", "database/x", two)
    await looking.open()

    def said() -> dict[str, tuple[tuple[str, ...], str | None]]:
        return {holding.secret: (holding.accepts, holding.uses) for holding in held.read(path).holdings}

    assert held.read(path).whole
    assert said() == {"api_key/a": ((one,), one), "api_key/b": ((two,), None), "database/x": ((), two)}
    holdings.accept_only("api_key/", {"api_key/a": [one, three]})
    holdings.use_only("database", "database/y", three)
    await until(lambda: said() == {"api_key/a": ((one, three), one), "database/y": ((), three)})
    path.unlink()
    path.mkdir()  # nobody can write it now
    holdings.use("cookie", one)
    await until(lambda: log == ["held_not_told"])
    path.rmdir()
    holdings.use("cookie", two)
    await until(lambda: path.is_file() and "cookie" in said())
    await looking.close()
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "nonsense", "postgresql://u:p@h:port/d", "postgresql://u:p@h:1/", "mysql://h/d"])
def test_a_line_that_is_no_url_is_refused_and_nothing_of_it_is_told(tmp_path: Path, text: str) -> None:
    write_file(tmp_path / "url", text)
    with pytest.raises(SecretUnusable) as refused:
        database_url(tmp_path / "url")
    assert not text or text not in str(refused.value)


def test_two_users_that_take_turns_are_one_secret(tmp_path: Path) -> None:
    write_file(tmp_path / "url", "postgresql://desk_b:a%2Fb@127.0.0.1:5432/ironbook\nmore")
    name, found = database_holding(database_url(tmp_path / "url"))
    assert name == "database/desk"
    assert found == fingerprint(b"desk_b\0a/b")
