"""The Python classes of all events on topics, from topics.json: what `schemas/events.py` holds.

One frozen class an event, its name in capitals (`filled` is `Filled`); a field that may be absent is None then. Part of
`python -m schemas.generate`.
"""

from __future__ import annotations

import json
from typing import Any

_TYPES = {
    **dict.fromkeys(("u16", "u32", "u64", "i64", "ns"), "int"),
    **dict.fromkeys(("decimal", "text", "hex16", "hex32", "base64", "side", "code"), "str"),
    "bool": "bool",
    "levels": "Levels",
    **dict.fromkeys(("place", "limits", "object"), "Any"),
}

_HEAD = '''"""The events of all topics: a frozen class each, and `parse`, which makes one of decoded JSON.

{banner}.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, TypeAlias

Levels: TypeAlias = tuple[tuple[str, str, int, int, int], ...]  # price, quantity, price_ticks, quantity_lots, orders


class EventInvalid(ValueError):
    """A decoded message is not an event of its topic, or lacks a field."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all. TYPE is the contract's name of the event; fields that it does not know are passed over."""

    TYPE: ClassVar[str] = ""

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Event:
        """The event in a decoded JSON object. Raises EventInvalid."""
        raise EventInvalid(f"{{cls.__name__}} is no event of its own")

    def to_dict(self) -> dict[str, Any]:
        """As on the topic: without the fields that are absent."""
        said: dict[str, Any] = {{"type": self.TYPE}}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                said[field.name] = value
        return said


def _levels(data: list[list[Any]]) -> Levels:
    return tuple((price, quantity, ticks, lots, orders) for price, quantity, ticks, lots, orders in data)

'''

_PARSE = '''
def parse(topic: str, data: Any) -> Event:
    """The event of a decoded JSON object from this topic (its name without prefix). Raises EventInvalid."""
    known = EVENTS.get(topic)
    if known is None:
        raise EventInvalid(f"a topic with events must be one of the contract's, was {topic!r}")
    if not isinstance(data, dict):
        raise EventInvalid(f"an event of {topic} must be a JSON object, was {type(data).__name__}")
    event = next(iter(known.values())) if len(known) == 1 else known.get(data.get("type", ""))
    if event is None:
        raise EventInvalid(f"an event of {topic} must be one of {', '.join(known)}, was {data.get('type')!r}")
    try:
        return event.from_dict(data)
    except KeyError as missing:
        raise EventInvalid(f"{event.TYPE} of {topic} must have the field {missing.args[0]}, has not") from None
    except (TypeError, ValueError) as error:
        raise EventInvalid(f"{event.TYPE} of {topic} must have the fields of its schema: {error}") from None
'''


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _fields(contract: dict[str, Any], topic: dict[str, Any], event: dict[str, Any]) -> list[tuple[str, str, bool, str]]:
    """(name, Python type, may be absent, about) of each field of an event but its type."""
    rows = list(contract["common"]) if event.get("common", True) else []
    for part in event.get("with", ()):
        rows += topic[part]
    rows += event["fields"]
    found = []
    for name, kind, about in rows:
        if name == "type":
            continue
        python = "str" if kind.startswith("enum:") else _TYPES[kind]
        found.append((name.removesuffix("?"), python, name.endswith("?"), about))
    return found


def _event_class(contract: dict[str, Any], topic: dict[str, Any], event: dict[str, Any]) -> list[str]:
    name, fields = _camel(event["type"]), _fields(contract, topic, event)
    about = (event.get("about") or topic["about"]).replace('"""', "'''")
    lines = [
        "",
        "@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)",
        f"class {name}(Event):",
        f'    """{topic["name"]}: {about}"""',
        "",
        f'    TYPE: ClassVar[str] = "{event["type"]}"',
        "",
    ]
    for field, python, optional, said in fields:
        kind = f"{python} | None = None" if optional and python != "Any" else f"{python} = None" if optional else python
        lines.append(f"    {field}: {kind}{f'  # {said}' if said else ''}")
    lines += ["", "    @classmethod", f"    def from_dict(cls, data: dict[str, Any]) -> {name}:", "        return cls("]
    for field, python, optional, _ in fields:
        value = f'data.get("{field}")' if optional else f'data["{field}"]'
        lines.append(f"            {field}={f'_levels({value})' if python == 'Levels' else value},")
    return [*lines, "        )", ""]


def make_events(contract: dict[str, Any], banner: str) -> str:
    """The text of schemas/events.py."""
    lines = _HEAD.format(banner=banner).splitlines()
    classes: dict[str, dict[str, str]] = {}
    keyed = {topic["name"]: topic for topic in contract["topics"]}
    for topic in contract["topics"]:
        for event in topic.get("events", ()):
            lines += _event_class(contract, topic, event)
        source = keyed[topic.get("same_as", topic["name"])]
        if source.get("events"):
            classes[topic["name"]] = {event["type"]: _camel(event["type"]) for event in source["events"]}
    lines += ["", "EVENTS: dict[str, dict[str, type[Event]]] = {"]
    for name, events in classes.items():
        inside = ", ".join(f"{json.dumps(kind)}: {made}" for kind, made in events.items())
        lines.append(f"    {json.dumps(name)}: {{{inside}}},")
    return "\n".join([*lines, "}", "", *_PARSE.splitlines()]) + "\n"
