"""Scenario files as sections and lines."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

FOLDER = Path(__file__).parent
EVENT_BREAK = re.compile(r",\s+(?![^{]*})")  # a comma outside braces


class ScenarioError(Exception):
    """A scenario file says something that can't be read: file, line and what was found."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that is done or asked, and what must come of it (None: nothing is said about that)."""

    place: str  # file:line
    text: str
    expected: list[str] | None

    def words(self) -> list[str]:
        return self.text.split()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    file: str
    title: str
    lines: list[Line]


def read_sections(path: Path) -> list[Section]:
    """The sections of a file, each with its lines; a line that begins with `->` belongs to the one before it."""
    sections: list[Section] = []
    for number, raw in enumerate(path.read_text().splitlines(), 1):
        place = f"{path.name}:{number}"
        text = re.sub(r"(^|\s\s)#.*", "", raw).rstrip()
        if not text:
            continue
        if text.startswith("=="):
            sections.append(Section(file=path.stem, title=text.strip("= "), lines=[]))
            continue
        if not sections:
            raise ScenarioError(f"{place}: a line must stand in a section (== title), found {text!r}")
        add_line(sections[-1].lines, place, text)
    return sections


def add_line(lines: list[Line], place: str, text: str) -> None:
    said, arrow, outcome = text.partition("->")
    said = said.strip()
    expected = [event.strip() for event in EVENT_BREAK.split(outcome.strip().rstrip(","))] if arrow else None
    if said:
        lines.append(Line(place=place, text=said, expected=expected))
        return
    if not lines or expected is None:
        raise ScenarioError(f"{place}: -> at the start of a line must follow what is expected to give it")
    lines[-1] = dataclasses.replace(lines[-1], expected=[*(lines[-1].expected or []), *expected])


def all_sections() -> list[Section]:
    return [section for path in sorted(FOLDER.glob("*.txt")) for section in read_sections(path)]
