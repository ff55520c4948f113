"""The reference page of the database says what its SQL says."""

from __future__ import annotations

import re
from pathlib import Path

from schemas import tables

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_in_the_tree_is_what_the_comments_in_the_sql_make() -> None:
    assert (ROOT / "docs/reference/database.md").read_text() == tables.page(), "run python -m schemas.tables"


def test_every_table_and_every_column_is_told() -> None:
    page = tables.page()
    for path in tables.FOLDER.glob("*.sql"):
        for name, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\);", path.read_text(), re.DOTALL):
            section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
            for column in re.findall(r'^    "?([a-z_]+)"? ', body, re.MULTILINE):
                assert re.search(rf"^\| `{column}\??` \|", section, re.MULTILINE), f"{name}.{column}"
