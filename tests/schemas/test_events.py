"""The generated event classes say what the contract says."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from schemas import events

CONTRACT = json.loads((pathlib.Path(events.__file__).parent / "topics.json").read_text())
EXAMPLES = [
    (topic["name"], event["example"]) for topic in CONTRACT["topics"] for event in topic.get("events", ())
]  # fmt: skip


@pytest.mark.parametrize(("topic", "example"), EXAMPLES, ids=lambda value: value if isinstance(value, str) else None)
def test_every_example_of_the_contract_becomes_an_event_and_is_said_again(topic: str, example: dict[str, Any]) -> None:
    event = events.parse(topic, example)
    assert json.loads(json.dumps(event.to_dict())) == {"type": event.TYPE} | example


def test_a_field_that_a_reader_does_not_know_is_passed_over() -> None:
    topic, example = next(row for row in EXAMPLES if row[0] == "trades")
    assert events.parse(topic, example | {"new_field": {"deep": 1}}) == events.parse(topic, example)


def test_numbers_up_to_the_last_of_64_bits_stay_exact() -> None:
    topic, example = next(row for row in EXAMPLES if row[0] == "trades")
    trade = events.parse(topic, example | {"seq": 2**64 - 1, "price_ticks": 2**63 - 1})
    assert isinstance(trade, events.Trade)
    assert (trade.seq, trade.price_ticks) == (2**64 - 1, 2**63 - 1)


def test_an_event_without_a_field_is_refused_by_the_name_of_the_field() -> None:
    topic, example = next(row for row in EXAMPLES if row[0] == "trades")
    with pytest.raises(events.EventInvalid, match="must have the field trade_id"):
        events.parse(topic, {name: value for name, value in example.items() if name != "trade_id"})


@pytest.mark.parametrize("data", [None, [], "trade", 7, {"type": "fill"}, {}])
def test_what_is_no_event_of_its_topic_is_refused(data: Any) -> None:
    with pytest.raises(events.EventInvalid):
        events.parse("trades", data)


def test_a_topic_that_carries_another_ones_events_reads_them() -> None:
    _, order = next(row for row in EXAMPLES if row[0] == "orders.validated")
    assert isinstance(events.parse("orders.accepted", order), events.Order)


def test_events_cannot_be_changed() -> None:
    topic, example = next(row for row in EXAMPLES if row[0] == "trades")
    with pytest.raises(AttributeError):
        events.parse(topic, example).seq = 1  # type: ignore[attr-defined]
