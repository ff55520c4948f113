"""The reference page of the reports' files, made from the row types and the comments behind their fields.

python -m functions.reporting.columns > docs/reference/reports.md
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Final

from functions.reporting.files import columns_of
from functions.reporting.run import TABLES

__all__ = ["page"]

HEAD: Final = """# Files of the reports

<!-- generated: python -m functions.reporting.columns -->

Each is there as Parquet and as CSV, with the same rows in the same order. What they are for, and how they are made:
[the guide](../guides/reports.md).

- Numbers are whole: ticks, lots, units, nanoseconds since the epoch (UTC); names say which. Each column in ticks, lots
  or units has a twin at the end of the table, without that ending, which says the same as a decimal text: `price`
  beside `price_ticks`.
- `integer` is signed and has 64 bits; `unsigned` may be any number of 64 bits; a `sum` has up to 38 digits, in Parquet
  as a decimal without any behind the point. What may be absent is null in Parquet and nothing at all in CSV.
- A text that begins with `=`, `+`, `-`, `@`, a tab or a carriage return, and is no number, has `'` before it in CSV, so
  that no spreadsheet runs what a client wrote. Parquet has it as it was.
- `(shard, seq, n)` names an event of the engine for ever, as in [the database](database.md).
"""
_FIELD: Final = re.compile(r"    (\w+): [^#]+?  # (.+)")
_KINDS: Final = {int: "integer", str: "text", bool: "true or false"}


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for name in sorted(TABLES) for line in _table(name, TABLES[name]))])


def _table(name: str, kind: type) -> Iterator[str]:
    lines = map(_FIELD.fullmatch, inspect.getsource(kind).splitlines())
    about = {match[1]: match[2] for match in lines if match is not None}
    said, _, key = (inspect.getdoc(kind) or "").replace("\n", " ").partition(" Key: ")
    yield from (f"## {name}", "", said, "", "| column | type | |", "|---|---|---|")
    columns = columns_of(kind)
    for column in columns:
        if not column.twin_of:
            kind_text = "sum" if column.is_sum else "unsigned" if column.unsigned else _KINDS[column.kind]
            absent = ", may be absent" if column.nullable else ""
            yield f"| `{column.name}` | {kind_text}{absent} | {about[column.name]} |"
    twins = [f"`{column.name}`" for column in columns if column.twin_of]
    endings = f"; decimal twins {', '.join(twins)}" if twins else ""
    yield from ("", f"Order and key: {key.rstrip('.')}{endings}.", "")


if __name__ == "__main__":
    sys.stdout.write(page())
