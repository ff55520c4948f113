"""Events held against schemas/topics.json itself: exactly the fields of their type, each within its bounds."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

_SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
_BOUNDS = {
    "u16": (0, 2**16 - 1),
    "u32": (0, 2**32 - 1),
    "u64": (0, 2**64 - 1),
    "i64": (-(2**63), 2**63 - 1),
    "ns": (0, 2**64 - 1),
}
_PATTERNS = {
    "decimal": r"-?\d+(\.\d+)?|-?\d+/\d+",
    "text": r"[\s\S]*",
    "hex16": r"[0-9a-f]{32}",
    "side": r"buy|sell",
}


@functools.cache
def _fields(topic: str, kind: str) -> dict[str, tuple[str, bool]]:
    """Field: (type, must be there)."""
    data = json.loads((_SCHEMAS / "topics.json").read_text())
    entry = next(entry for entry in data["topics"] if entry["name"] == topic)
    event = next(event for event in entry["events"] if event["type"] == kind)
    rows = [*data["common"], *(row for part in event.get("with", ()) for row in entry[part]), *event["fields"]]
    return {name.removesuffix("?"): (kind, not name.endswith("?")) for name, kind, _ in rows}


@functools.cache
def _names(kind: str) -> set[str]:
    if kind == "code":
        return {code["name"] for code in json.loads((_SCHEMAS / "codes.json").read_text())["codes"]}
    wire = json.loads((_SCHEMAS / "wire.json").read_text())
    name = kind.removeprefix("enum:")
    return {row["name"] for row in wire["kinds"]} if name == "Kind" else set(wire["enums"][name])


def _is_levels(value: Any) -> bool:
    return isinstance(value, list) and all(
        [*map(type, level)] == [str, str, int, int, int] and all(_fits("decimal", text) for text in level[:2])
        for level in value
    )


def _fits(kind: str, value: Any) -> bool:
    if kind in _BOUNDS:
        low, high = _BOUNDS[kind]
        return type(value) is int and low <= value <= high
    if kind in _PATTERNS:
        return type(value) is str and re.fullmatch(_PATTERNS[kind], value) is not None
    if kind == "bool":
        return type(value) is bool
    if kind == "levels":
        return _is_levels(value)
    return kind == "object" or value in _names(kind)


def check_event(topic: str, event: dict[str, Any]) -> None:
    """Fails the test if this is not an event of that topic."""
    fields = _fields(topic, event["type"])
    missing = {name for name, (_, needed) in fields.items() if needed} - event.keys()
    assert not missing, f"{topic} {event['type']} must have {sorted(missing)}: {event}"
    unknown = event.keys() - fields.keys()
    assert not unknown, f"{topic} {event['type']} must not have {sorted(unknown)}: {event}"
    wrong = {name: event[name] for name in event if not _fits(fields[name][0], event[name])}
    assert not wrong, f"fields of {topic} {event['type']} must be of their types, were {wrong}"
