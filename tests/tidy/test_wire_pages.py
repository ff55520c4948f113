"""The worked examples of the wire pages, decoded: the bytes on the page are the values printed beside them."""

from __future__ import annotations

import dataclasses
import re

import pytest

from schemas import vocabulary

PAGES = ("frames", "session", "journal", "snapshot")
EXAMPLE = re.compile(r"^Example `(\w+)`: (.*)\n\n```hex\n([0-9a-f \n]+)```$", re.MULTILINE)


def examples(text: str) -> list[tuple[str, dict[str, str], bytes]]:
    """(layout, values as printed, bytes) of each worked example on a page."""
    return [
        (name, dict(pair.split("=", 1) for pair in values.split(", ")), bytes.fromhex(digits.replace("\n", " ")))
        for name, values, digits in EXAMPLE.findall(text)
    ]


def layout(name: str) -> type | None:
    return getattr(vocabulary, "".join(part.capitalize() for part in name.split("_")), None)


@pytest.mark.parametrize("page", PAGES[:2])
def test_worked_examples_decode_to_the_values_beside_them(texts, page):
    checked = 0
    for name, values, data in examples(texts[f"schemas/wire/{page}.md"]):
        kind = layout(name)
        assert kind is not None, f"the example of {name} must have a class in schemas.vocabulary"
        decoded = kind.unpack(data)
        for field in dataclasses.fields(decoded):
            found = getattr(decoded, field.name)
            shown = found.hex() if isinstance(found, bytes) else str(found)
            assert values[field.name] == shown, f"{name}.{field.name}: page {values[field.name]}, bytes {shown}"
        assert decoded.pack() == data, f"{name} must pack into the bytes it was unpacked from"
        checked += 1
    assert checked == texts[f"schemas/wire/{page}.md"].count("```hex")


def test_every_layout_of_the_vocabulary_has_a_worked_example(texts):
    shown = {name for page in PAGES[:2] for name, _, _ in examples(texts[f"schemas/wire/{page}.md"])}
    kinds = {kind.name.lower() for kind in vocabulary.Kind}
    assert kinds <= shown, f"kinds without an example: {sorted(kinds - shown)}"


@pytest.mark.parametrize("page", PAGES[2:])
def test_hex_on_hand_written_pages_is_whole(texts, page):
    text = texts.get(f"schemas/wire/{page}.md")
    assert text is not None, f"schemas/wire/{page}.md must describe its format byte by byte"
    blocks = re.findall(r"```hex[^\n]*\n(.*?)```", text, re.DOTALL)
    assert blocks, "a format page has a worked record in hex"
    for block in blocks:
        data = bytes.fromhex(re.sub(r"#.*", "", block).replace("\n", " "))
        assert len(data) % 4 == 0, f"an example must be whole words, has {len(data)} bytes"
