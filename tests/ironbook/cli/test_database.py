"""`ironbook database`: a database goes forward and back from the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ironbook.cli._app import run


def test_a_database_is_migrated_told_of_and_taken_back(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(*arguments: str) -> dict[str, Any]:
        assert run(["database", *arguments, "--url", postgres_url, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    applied = answer("migrate")["applied"]
    assert applied[0] == "0001.reference"
    assert answer("migrate") == {"applied": []}
    assert answer("status") == {"migrations": [{"name": name, "applied": True} for name in applied]}
    assert answer("rollback", "--count", "2", "--yes") == {"rolled_back": applied[:-3:-1]}
    assert [one["applied"] for one in answer("status")["migrations"]] == [True] * (len(applied) - 2) + [False] * 2


def test_a_database_that_does_not_answer_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["database", "migrate", "--url", "postgresql://nobody@127.0.0.1:1/none"]) == 1
    assert "the database must answer to be migrated" in capsys.readouterr().err


def test_an_address_that_is_none_is_said_to_be_none_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["positions", "--database", "nobody:hidden-password@127.0.0.1"]) == 4
    said = capsys.readouterr().err
    assert "a database's address must be postgresql://user:password@host:port/name, is not" in said
    assert "hidden-password" not in said
