"""The reference page of the database, made from the comments in schemas/sql.

python -m schemas.tables > docs/reference/database.md
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent / "sql"
HEAD = """# The database

<!-- generated: python -m schemas.tables -->

Tables of PostgreSQL, written by the analytics worker (or by `ironbook up` on a laptop), made by `ironbook database
migrate` from the files in [schemas/sql](../../schemas/sql). What the figures mean: [the guide](../guides/analytics.md).

- Numbers are whole: ticks, lots, units, nanoseconds since the epoch (UTC); names say which. Views ending in `_decimal`
  say the same as decimals, for people.
- `(shard, seq, n)` names an event of the engine for ever. Rows of events never change. Rows of states carry their mark
  and only move up: a row with a lower mark never replaces one with a higher.
- Roles without login, to be granted: `ironbook_owner` (migrations), `ironbook_writer` (adds events, raises states,
  deletes nothing), `ironbook_reader` (reads), `ironbook_follower` (writes `secret_holders` alone).
"""
_TABLE = re.compile(r"CREATE TABLE (\w+) \(\s*-- (.*)")
_COLUMN = re.compile(r'    "?(\w+)"? ([a-z]+(?:\(\d+\))?(?:\[\])?)(.*?),?\s+-- (.*)')
_ADDED = re.compile(r"ALTER TABLE (\w+) ADD COLUMN")
_KEY = re.compile(r"    PRIMARY KEY \((.*)\)")
_INDEX = re.compile(r"CREATE INDEX \w+ ON (\w+) (?:USING (\w+) )?\((.*?)\)( WHERE .*)?;")
_VIEW = re.compile(r"CREATE VIEW (\w+) AS")


def page() -> str:
    """The whole page."""
    lines = [line for path in _files() for line in path.read_text().splitlines()]
    views = [match[1] for line in lines if (match := _VIEW.match(line))]
    listed = ", ".join(f"`{view}`" for view in views)
    return "\n".join([HEAD, *_tables(lines), "## Views", "", f"{listed}.", ""])


def _files() -> list[Path]:
    return sorted(path for path in FOLDER.glob("*.sql") if ".rollback." not in path.name)


def _tables(lines: list[str]) -> Iterator[str]:
    indexes: dict[str, list[str]] = {}
    for line in lines:
        if match := _INDEX.match(line):
            how = f" ({match[2]})" if match[2] else ""
            indexes.setdefault(match[1], []).append(f"`{match[3]}`{how}{(match[4] or '').replace(' WHERE', ' where')}")
    added: dict[str, list[str]] = {}
    for line, following in itertools.pairwise(lines):
        if match := _ADDED.match(line):
            added.setdefault(match[1], []).extend(_rows(following))
    name = key = ""
    for line in lines:
        if match := _TABLE.match(line):
            name, key = match[1], ""
            yield from (f"## {name}", "", match[2], "", "| column | type | |", "|---|---|---|")
        elif name and (match := _COLUMN.match(line)):
            if "PRIMARY KEY" in match[3]:
                key = match[1]
            yield from _rows(line)
        elif name and (match := _KEY.match(line)):
            key = match[1]
        elif name and line == ");":
            yield from added.get(name, ())
            more = "; indexes " + ", ".join(indexes[name]) if name in indexes else ""
            yield from ("", f"Key `{key}`{more}.", "")
            name = ""


def _rows(line: str) -> list[str]:
    """The row of a column's line, if it is one."""
    match = _COLUMN.match(line)
    if match is None:
        return []
    may_lack = "" if "NOT NULL" in match[3] or "PRIMARY KEY" in match[3] else "?"
    return [f"| `{match[1]}{may_lack}` | {match[2]} | {match[4]} |"]


if __name__ == "__main__":
    sys.stdout.write(page())
