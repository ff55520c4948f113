"""The topics' contract: what is made of it agrees with its own examples, and refuses what they are not."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

import jsonschema
import pytest

from schemas.generate_topics import events_of, schema_name
from schemas.topics import load_topics, read_topics, with_prefix
from tests.support.services import ROOT

TOPICS = load_topics()
EVENTS = [
    pytest.param(topic, event, id=f"{topic.name}-{event['type']}")
    for topic in TOPICS
    for event in events_of(TOPICS.data, topic.data)
]


def validator_of(topic) -> jsonschema.Draft202012Validator:
    return _validator(schema_name(TOPICS.data, topic.data))


@functools.cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((ROOT / "schemas/topics" / name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize(("topic", "event"), EVENTS)
def test_the_example_of_an_event_is_valid(topic, event):
    validator_of(topic).validate(event["example"])


@pytest.mark.parametrize(("topic", "event"), EVENTS)
def test_a_batch_is_valid_unless_the_topic_has_one_key_a_message(topic, event):
    assert validator_of(topic).is_valid([event["example"]] * 2) is not topic.one_key
    assert not validator_of(topic).is_valid([])


def test_a_batch_has_at_most_as_many_events_as_the_contract_says():
    alternatives = validator_of(TOPICS["trades"]).schema["oneOf"]
    assert [one["maxItems"] for one in alternatives if "maxItems" in one] == [TOPICS.limits["batch_count_max"]]


@pytest.mark.parametrize(("topic", "event"), EVENTS)
def test_an_example_without_a_required_field_is_not_valid(topic, event):
    validator = validator_of(topic)
    required = [name for name, _, _ in event["fields"] if not name.endswith("?")]
    assert {*required} <= {*event["example"]}
    for name in required:
        assert not validator.is_valid({k: v for k, v in event["example"].items() if k != name}), name


@pytest.mark.parametrize(("topic", "event"), EVENTS)
def test_no_field_of_an_example_may_be_of_another_type_or_null(topic, event):
    validator = validator_of(topic)
    kinds = {name.removesuffix("?"): kind for name, kind, _ in event["fields"]}
    for name, value in event["example"].items():
        others: list[Any] = [None, {} if kinds[name] not in ("object", "limits") else 1]
        others += [-(2**63) - 1, 1.5] if isinstance(value, int) and not isinstance(value, bool) else [1]
        for other in others:
            assert not validator.is_valid(event["example"] | {name: other}), f"{name} = {other!r}"


@pytest.mark.parametrize("amount", ["1e400", "NaN", "1.", ".5", "+1", "", " 1", "1,0"])
def test_a_decimal_has_digits_and_never_an_exponent(amount):
    (event,) = (one for one in events_of(TOPICS.data, TOPICS["executions"].data) if one["type"] == "filled")
    assert not validator_of(TOPICS["executions"]).is_valid(event["example"] | {"price": amount})


def test_an_envelope_has_no_field_more_and_an_event_may_have_fields_of_a_later_time():
    (envelope,) = events_of(TOPICS.data, TOPICS["orders.submitted"].data)
    assert not validator_of(TOPICS["orders.submitted"]).is_valid(envelope["example"] | {"more": 1})
    (event, *_) = events_of(TOPICS.data, TOPICS["executions"].data)
    validator_of(TOPICS["executions"]).validate(event["example"] | {"more": 1})


def test_the_signed_body_of_the_example_is_a_valid_order():
    schema = validator_of(TOPICS["orders.submitted"]).schema
    bodies = jsonschema.Draft202012Validator(schema["$defs"]["envelope"]["properties"]["body"]["contentSchema"])
    (envelope,) = events_of(TOPICS.data, TOPICS["orders.submitted"].data)
    body = json.loads(envelope["example"]["body"])
    bodies.validate(body)
    assert not bodies.is_valid(body | {"more": 1})
    assert not bodies.is_valid(body | {"action": "nothing"})


def test_there_is_one_schema_for_each_topic_with_json_and_no_other():
    made = {schema_name(TOPICS.data, topic.data) for topic in TOPICS if not topic.journal}
    assert {path.name for path in (ROOT / "schemas/topics").glob("*.json")} == made


def asyncapi() -> dict[str, Any]:
    return json.loads((ROOT / "schemas/asyncapi.json").read_text())


def references(data: Any) -> list[str]:
    if isinstance(data, dict):
        own = [data["$ref"]] if "$ref" in data else []
        return own + [found for value in data.values() for found in references(value)]
    return [found for value in data for found in references(value)] if isinstance(data, list) else []


def test_every_reference_of_the_asyncapi_document_leads_somewhere():
    document = asyncapi()
    found = references(document)
    assert len(found) > len(TOPICS)
    for reference in found:
        if reference.startswith("#/"):
            place = document
            for step in reference.removeprefix("#/").split("/"):
                place = place[step]
        else:
            assert (ROOT / "schemas" / reference).is_file(), reference


def test_the_asyncapi_document_tells_every_right_of_the_contract():
    told = {
        (one["tags"][0]["name"], one["action"], one["channel"]["$ref"].rpartition("/")[2])
        for one in asyncapi()["operations"].values()
    }
    held = {(who, "send", topic.name) for topic in TOPICS for who in topic.writers}
    assert told == held | {(who, "receive", topic.name) for topic in TOPICS for who in topic.readers}


def test_channels_have_the_partitions_and_the_retention_of_the_contract():
    for topic in TOPICS:
        kafka = asyncapi()["channels"][topic.name]["bindings"]["kafka"]
        assert kafka["partitions"] == topic.partitions_count
        assert kafka["topicConfiguration"]["cleanup.policy"] == ["compact" if topic.compacted else "delete"]
        assert kafka["topicConfiguration"].get("retention.ms") == topic.retention_ms


def test_a_prefix_stands_before_the_name():
    assert with_prefix("dev.", "executions") == "dev.executions"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"cleanup": "forget"}, "must be delete or compact"),
        ({"cleanup": "compact"}, "must have a retention if"),
        ({"partitions": "planet"}, "must be one of"),
        ({"writers": ["nobody"]}, "must be a principal"),
        ({"trimmers": ["nobody"]}, "must be a principal"),
        ({"name": "orders.validated"}, "stands there twice"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(change, text):
    data = copy.deepcopy(dict(TOPICS.data))
    data["topics"][0] |= change
    with pytest.raises(ValueError, match=text):
        read_topics(data)
