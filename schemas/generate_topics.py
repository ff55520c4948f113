"""What is made of topics.json beside Python's classes: JSON Schemas, the AsyncAPI document and the reference page.

    topics.json ──▶ topics/<topic>.v1.json      a JSON Schema (2020-12) of a message's value: one event, or a batch
                ──▶ asyncapi.json               AsyncAPI 3.0: channels, messages, who sends and who receives
                ──▶ docs/reference/topics.md    the same for people

Part of `python -m schemas.generate`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DECIMAL = r"^-?[0-9]+(\.[0-9]+)?(/[0-9]+(\.[0-9]+)?)?$"
_OPEN = {"envelope": False}  # only what clients sign must have no field that is not known


def make_topics(contract: Mapping[str, Any], wire: Mapping[str, Any], codes: Mapping[str, Any]) -> dict[str, str]:
    """Every file made of topics.json, by its path from the root of the repository."""
    types = _types(contract, wire, codes)
    made = {
        f"schemas/topics/{schema_name(contract, topic)}": _json(_schema(contract, types, topic))
        for topic in contract["topics"]
        if not topic.get("journal")
    }
    made["schemas/asyncapi.json"] = _json(_asyncapi(contract))
    made["docs/reference/topics.md"] = _page(contract)
    return made


def schema_name(contract: Mapping[str, Any], topic: Mapping[str, Any]) -> str:
    """The file name of a topic's JSON Schema."""
    return f"{topic['name']}.v{contract['version']}.json"


def events_of(contract: Mapping[str, Any], topic: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Events of a topic with all their fields, common ones too: [{type, about, fields, example}]."""
    source = next(one for one in contract["topics"] if one["name"] == topic.get("same_as", topic["name"]))
    found = []
    for event in source.get("events", ()):
        rows = list(contract["common"]) if event.get("common", True) else []
        for part in event.get("with", ()):
            rows += source[part]
        found.append({**event, "fields": rows + event["fields"]})
    return found


def _json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


# ---- JSON Schemas


def _integer(least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most}


def _types(contract: Mapping[str, Any], wire: Mapping[str, Any], codes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A schema for each kind of field."""
    code_names = [one["name"] for one in codes["codes"]]
    decimal = {"type": "string", "pattern": _DECIMAL}
    whole = _integer(-(2**63), 2**63 - 1)
    level = {"type": "array", "prefixItems": [decimal, decimal, whole, whole, whole], "minItems": 5, "maxItems": 5}
    limits = {
        name: {"type": "object", "additionalProperties": {"enum": ["warn", "refuse", "reduce_only", "halt"]}}
        if name == "actions"
        else _integer(0, 2**63 - 1)
        for name in contract["limit_names"]
    }
    place = {"topic": {"type": "string"}, "partition": _integer(0, 2**31 - 1)}
    place |= {"offset": whole, "index": _integer(0, 2**32 - 1)}
    enums = {name: sorted(members, key=members.get) for name, members in wire["enums"].items()}
    enums["Kind"] = [kind["name"] for kind in wire["kinds"]] + ["refused"]
    return {
        "u16": _integer(0, 2**16 - 1),
        "u32": _integer(0, 2**32 - 1),
        "u64": _integer(0, 2**64 - 1),
        "i64": whole,
        "ns": _integer(0, 2**63 - 1),
        "decimal": decimal,
        "bool": {"type": "boolean"},
        "text": {"type": "string"},
        "hex16": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "hex32": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "base64": {"type": "string", "pattern": "^[A-Za-z0-9+/]*={0,2}$", "contentEncoding": "base64"},
        "side": {"enum": ["buy", "sell"]},
        "code": {"enum": list(dict.fromkeys([*code_names, *contract["stream_codes"]]))},
        "place": {"type": "object", "properties": place, "required": [*place]},
        "levels": {"type": "array", "items": level},
        "limits": {"type": "object", "properties": limits, "additionalProperties": False},
        "object": {"type": ["object", "array"]},
        **{f"enum:{name}": {"enum": members} for name, members in enums.items()},
    }


def _object(types: Mapping[str, Any], rows: Any, *, constant: Mapping[str, str], is_open: bool) -> dict[str, Any]:
    """The schema of an object with these fields. constant: fields that have one value."""
    properties = {}
    for name, kind, about in rows:
        field = name.removesuffix("?")
        is_so = {"const": constant[field]} if field in constant else types[kind]
        properties[field] = {**is_so, "description": about} if about else dict(is_so)
    made: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": [name for name, _, _ in rows if not name.endswith("?")],
    }
    return made if is_open else {**made, "additionalProperties": False}


def _schema(contract: Mapping[str, Any], types: Mapping[str, Any], topic: Mapping[str, Any]) -> dict[str, Any]:
    """A message's value: an event; of topics that are not compacted also an array of them."""
    definitions: dict[str, Any] = {}
    for event in events_of(contract, topic):
        is_open = _OPEN.get(event["type"], True)
        made = _object(types, event["fields"], constant={"type": event["type"]}, is_open=is_open)
        if event["type"] == "envelope":
            made["properties"]["body"] |= _body(contract, types, topic)
        definitions[event["type"]] = {"description": event.get("about", ""), **made, "examples": [event["example"]]}
    names = [{"$ref": f"#/$defs/{name}"} for name in definitions]
    definitions["event"] = {"oneOf": names}
    batch = {
        "type": "array",
        "items": {"$ref": "#/$defs/event"},
        "minItems": 1,
        "maxItems": contract["limits"]["batch_count_max"],
    }
    one = {"$ref": "#/$defs/event"}
    return {
        "$schema": _DIALECT,
        "$id": schema_name(contract, topic),
        "title": f"{topic['name']}/{contract['version']}",
        "description": topic["about"],
        **(one if topic.get("one_key") else {"oneOf": [one, batch]}),
        "$defs": definitions,
    }


def _body(contract: Mapping[str, Any], types: Mapping[str, Any], topic: Mapping[str, Any]) -> dict[str, Any]:
    """What an envelope's text must hold once it is decoded."""
    if topic["name"] == "risk.limits":
        bodies = [_object(types, contract["limit_body"], constant={}, is_open=False)]
    else:
        bodies = [
            _object(types, rows, constant={"action": action}, is_open=False)
            for action, rows in contract["order_bodies"].items()
        ]
    return {
        "maxLength": contract["limits"]["envelope_body_bytes_max"],
        "contentMediaType": "application/json",
        "contentSchema": bodies[0] if len(bodies) == 1 else {"oneOf": bodies},
    }


# ---- AsyncAPI


def _asyncapi(contract: Mapping[str, Any]) -> dict[str, Any]:
    channels, operations, messages = {}, {}, {}
    for topic in contract["topics"]:
        name = topic["name"]
        messages[name] = _message(contract, topic)
        channels[name] = {
            "address": name,
            "title": name,
            "description": topic["about"],
            "messages": {"value": {"$ref": f"#/components/messages/{name}"}},
            "bindings": {"kafka": _kafka_binding(contract, topic)},
        }
        for action, principals in (("send", topic["writers"]), ("receive", topic["readers"])):
            for principal in principals:
                operations[f"{principal}.{action}.{name}"] = {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{name}"},
                    "tags": [{"name": principal}],
                }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ironbook's topics",
            "version": f"{contract['version']}.0.0",
            "description": "What holds for all: topics/README.md. Names may carry the prefix of an installation.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _message(contract: Mapping[str, Any], topic: Mapping[str, Any]) -> dict[str, Any]:
    if topic.get("journal"):
        headers = {"first_sequence": {"type": "string", "pattern": "^[0-9]+$"}}
        records = {"type": "string", "format": "binary", "description": "Records of 64 bytes."}
        kind = {"contentType": "application/octet-stream", "payload": records}
    else:
        headers = {"schema": {"const": f"{topic['name']}/{contract['version']}"}}
        if topic.get("chained"):
            headers["previous"] = {"type": "string", "pattern": "^[0-9]+:[0-9]+:[0-9]+$"}
        reference = {"$ref": f"./topics/{schema_name(contract, topic)}"}
        kind = {"payload": {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": reference}}
    return {
        "name": topic["name"],
        "title": topic["about"],
        "headers": {"type": "object", "properties": headers, "required": [*headers]},
        **kind,
        "bindings": {"kafka": {"key": {"type": "string", "description": _key(topic)}}},
    }


def _key(topic: Mapping[str, Any]) -> str:
    return str(topic.get("message_key", topic["key"]))


def _kafka_binding(contract: Mapping[str, Any], topic: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {"cleanup.policy": [topic["cleanup"]]}
    if topic.get("retention_ms") is not None:
        kept["retention.ms"] = topic["retention_ms"]
    count = contract["partition_groups"][topic["partitions"]]
    return {"topic": topic["name"], "partitions": count, "topicConfiguration": kept}


# ---- the page


def _page(contract: Mapping[str, Any]) -> str:
    lines = [
        "# Topics",
        "",
        "<!-- generated by schemas/generate.py from topics.json; edit that -->",
        "",
        "What holds for all of them stands in [schemas/topics](../../schemas/topics/README.md), beside a JSON Schema",
        "of each; [asyncapi.json](../../schemas/asyncapi.json) says the same for tools.",
        "",
        "| topic | partitions by | count | kept | written by | read by |",
        "|---|---|---|---|---|---|",
    ]
    for topic in contract["topics"]:
        count = contract["partition_groups"][topic["partitions"]]
        row = [f"[{topic['name']}](#{_anchor(topic['name'])})", topic["key"], str(count), _kept(topic)]
        lines.append("| " + " | ".join([*row, ", ".join(topic["writers"]), ", ".join(topic["readers"])]) + " |")
    for topic in contract["topics"]:
        lines += _topic_section(contract, topic)
    lines += ["", "## Bodies of orders", "", "The text in the envelope's `body`, by its `action`.", ""]
    for action, rows in contract["order_bodies"].items():
        lines += [f"### {action}", "", *_table(rows), ""]
    lines += ["## Body of risk.limits", "", *_table(contract["limit_body"]), "", "### Limits", ""]
    lines += ["| limit | |", "|---|---|"]
    lines += [f"| `{name}` | {_cell(about)} |" for name, about in contract["limit_names"].items()]
    lines += ["", "## Codes of the streams", "", "Beside [those of the engine](codes.md).", ""]
    lines += ["| code | |", "|---|---|"]
    lines += [f"| `{name}` | {_cell(about)} |" for name, about in contract["stream_codes"].items()]
    lines += ["", "## Types of fields", "", "| type | |", "|---|---|"]
    lines += [f"| {name} | {_cell(about)} |" for name, about in contract["types"].items()]
    return "\n".join([*lines, ""])


def _topic_section(contract: Mapping[str, Any], topic: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", f"## {topic['name']}", "", topic["about"])
    facts = [fact for field, fact in _FACTS.items() if topic.get(field)]
    if topic.get("trimmers"):
        facts.append(f"Its oldest records are deleted by: {', '.join(topic['trimmers'])}.")
    if topic.get("message_key"):
        facts.append(f"Key of a message: {topic['message_key']}.")
    if facts:
        yield from ("", " ".join(facts))
    if "same_as" in topic:
        yield from ("", f"Fields: as of [{topic['same_as']}](#{_anchor(topic['same_as'])}).")
        return
    for event in events_of(contract, topic):
        about = event.get("about", "")
        yield from ("", f"### {event['type']}", "", *((about, "") if about else ()), *_table(event["fields"]))
        yield from ("", "```json", json.dumps(event["example"], ensure_ascii=False), "```")


_FACTS = {
    "one_key": "One object a message, under its key; a tombstone deletes.",
    "chained": "Messages have a header `previous`.",
    "log_append_time": "A message's time is the broker's.",
    "journal": "Records, not JSON.",
}


def _table(rows: Any) -> list[str]:
    made = ["| field | type | |", "|---|---|---|"]
    for name, kind, about in rows:
        absent = "may be absent" if name.endswith("?") else ""
        said = "; ".join(part for part in (absent, _cell(about)) if part)
        made.append(f"| `{name.removesuffix('?')}` | {kind} | {said} |")
    return made


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _anchor(name: str) -> str:
    return name.replace(".", "")


def _kept(topic: Mapping[str, Any]) -> str:
    milliseconds = topic.get("retention_ms")
    if milliseconds is None:
        return "newest of a key"
    days_count = milliseconds // 86_400_000
    return "for ever" if milliseconds < 0 else "1 day" if days_count == 1 else f"{days_count} days"
