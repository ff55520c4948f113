"""Every section of every scenario file, against the oracle and against the compiled core."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from schemas.vocabulary import CODE_TEXT, KIND_CLASS, Code, Kind
from tests.scenarios.exchanges import EXCHANGES
from tests.scenarios.language import FOLDER, Line, ScenarioError, Section, add_line, all_sections, read_sections
from tests.scenarios.market import Market

SECTIONS = all_sections()
RECORDED_CODES = [Code(number) for number, (kind, _, _) in CODE_TEXT.items() if kind in ("reject", "cancel")]


def title(section: Section) -> str:
    return f"{section.file}: {section.title}"


@functools.cache
def codes_of(exchange: str, which: int) -> frozenset[int]:
    """Run a section; the codes that its rejects and cancellations carried."""
    market = Market(EXCHANGES[exchange]())
    market.run(SECTIONS[which])
    return frozenset(market.codes)


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("which", range(len(SECTIONS)), ids=[title(section) for section in SECTIONS])
def test_scenario(which: int, exchange: str) -> None:
    codes_of(exchange, which)


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("code", RECORDED_CODES, ids=[code.name.lower() for code in RECORDED_CODES])
def test_code_has_a_section_of_its_name_that_produces_it(code: Code, exchange: str) -> None:
    named = [which for which, section in enumerate(SECTIONS) if section.title == code.name.lower()]
    assert len(named) == 1, f"one section must be called {code.name.lower()}"
    assert code in codes_of(exchange, named[0])


def test_every_kind_that_a_client_sends_and_the_core_records_has_a_file() -> None:
    kinds = {Kind(number) for number, kind in KIND_CLASS.items() if kind == "client"} - {Kind.PING}
    missing = {kind.name.lower() for kind in kinds} - {path.stem for path in FOLDER.glob("*.txt")}
    assert not missing


def test_titles_are_given_once() -> None:
    titles = [title(section) for section in SECTIONS]
    assert len(set(titles)) == len(titles)


def test_expectation_that_does_not_hold_is_told_with_its_place_and_what_was_found() -> None:
    lines: list[Line] = []
    add_line(lines, "here:1", "alice buy 5 @ 100 as b1 -> accepted b1 buy 5 @ 101")
    market = Market(EXCHANGES["oracle"]())
    with pytest.raises(AssertionError, match=r"here:1.*\n.*expected accepted b1 buy 5 @ 101\n.*found .*5 @ 100"):
        market.run(Section(file="here", title="wrong", lines=lines))


def test_line_that_cannot_be_read_is_told_with_its_place() -> None:
    lines: list[Line] = []
    add_line(lines, "here:1", "alice juggle 5 -> nothing")
    with pytest.raises(ScenarioError, match=r"here:1.*juggle"):
        Market(EXCHANGES["oracle"]()).run(Section(file="here", title="wrong", lines=lines))


def test_reader_keeps_continued_expectations_together(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("# prose\n== one\nbook -> 1: 2, 3: 4  # why\n     -> 5: 6\n== two\ntick\n")
    first, second = read_sections(path)
    assert first.lines[0].expected == ["1: 2", "3: 4", "5: 6"]
    assert second.lines[0].expected is None
