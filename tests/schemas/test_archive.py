"""The page of the archive's format: its worked example is what the code reads and writes."""

from __future__ import annotations

import re
from pathlib import Path

from engine_node import _engine
from ironbook.archive.layout import (
    Head,
    check_records,
    encode,
    first_break,
    head_key,
    parse_entry,
    parse_head,
    sha256,
    unpack,
)

PAGE = (Path(__file__).resolve().parents[2] / "schemas" / "archive.md").read_text()
BLOCKS = dict(re.findall(r"^```(?:hex|json) (\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def test_the_worked_example_is_an_archive() -> None:
    entry = parse_entry(BLOCKS["manifest"].encode(), 0, "journal/00000/manifest/00000000000000000002.json")
    stored, records = bytes.fromhex(BLOCKS["object"]), bytes.fromhex(BLOCKS["records"])
    assert (len(stored), sha256(stored), sha256(records)) == (entry.bytes, entry.sha256, entry.records_sha256)
    assert unpack(stored, entry.records_count, entry.key) == records
    check_records(records, 1, 0, lambda part, crc: first_break(part, crc, _engine.crc32c), entry.key)
    head = parse_head(BLOCKS["head"].encode(), 0, head_key(0))
    assert head == Head(shard=0).after(entry)
    assert (encode(entry).decode(), encode(head).decode()) == (BLOCKS["manifest"], BLOCKS["head"])
    assert f"`{entry.key}`" in PAGE
    assert f"`{entry.manifest}`" in PAGE


def test_the_page_names_every_field_of_manifest_and_head() -> None:
    for block in ("manifest", "head"):
        for name in re.findall(r'^  "(\w+)"', BLOCKS[block], re.MULTILINE):
            assert re.search(rf"^\|[^|]*\b{name}\b", PAGE, re.MULTILINE), name
