"""The reference page of the files is the one that the row types make."""

from __future__ import annotations

from pathlib import Path

from functions.reporting import columns
from functions.reporting.files import columns_of
from functions.reporting.run import TABLES

ROOT = Path(__file__).resolve().parents[3]


def test_the_reference_page_is_up_to_date() -> None:
    written = (ROOT / "docs/reference/reports.md").read_text()
    assert written == columns.page(), "run python -m functions.reporting.columns > docs/reference/reports.md"


def test_every_column_of_every_file_is_on_the_page() -> None:
    page = columns.page()
    for name, kind in TABLES.items():
        [section] = [part for part in page.split("\n## ") if part.startswith(f"{name}\n")]
        for column in columns_of(kind):
            assert f"`{column.name}`" in section, f"{name}.{column.name}"
