"""The guide's examples run as they stand beside `ironbook up`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.ironbook.cli.conftest import Up
from tests.support.node import ROOT

GUIDE = (ROOT / "docs/guides/client.md").read_text()


def examples() -> list[tuple[int, str]]:
    """(line, code) of each Python block."""
    return [
        (GUIDE[: match.start()].count("\n") + 1, match[1])
        for match in re.finditer(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A working directory with an engine in ./.ironbook, and its address."""
    directory = tmp_path_factory.mktemp("guide")
    up = Up(directory / ".ironbook", "--json", "--level", "process")
    ready = orjson.loads(up.first_line())
    assert ready.get("ready"), ready
    yield directory, ready["address"]
    assert up.stop()[0] == 0


def test_every_example_of_the_client_guide_runs_in_order(
    place: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, address = place
    monkeypatch.chdir(directory)
    assert len(examples()) >= 8
    names: dict[str, Any] = {"__name__": "guide"}
    for line, code in examples():
        padded = "\n" * line + code.replace("127.0.0.1:7400", address)
        exec(compile(padded, "docs/guides/client.md", "exec"), names)
    said = capsys.readouterr().out
    for word in (
        "ACCEPTED",
        "CANCELLED_BY_REQUEST",
        "PRICE_OUTSIDE_COLLAR",
        "101 orders cancelled",
        "µs to the engine",
    ):
        assert word in said, word


def test_every_option_and_error_that_the_guide_names_exists() -> None:
    import ironbook

    for name in re.findall(r"`([A-Z][A-Za-z]+(?:Error|Invalid|Full|Failed|Ended|Refused|Forged|Gap)?)`", GUIDE):
        assert name in ironbook.__all__ or name.isupper(), name
    fields = set(ironbook.Options.__dataclass_fields__)
    for name in re.findall(r"`(\w+_(?:s|max|reports|disconnect))`", GUIDE):
        assert name in fields | {"take_reports"}, name
