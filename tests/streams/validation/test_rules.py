"""What validation decides, row by row; and that no input ever makes it stumble."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironbook import Key
from ironbook.envelope import nonce_name, sign_limits
from schemas.vocabulary import PRICE_TICKS_MAX, QUANTITY_LOTS_MAX, UNITS_MAX
from streams.validation.nonces import Nonces
from streams.validation.rules import judge
from streams.validation.shapes import ENUMERATIONS, FIELDS, REQUIRED
from tests.streams.validation.market import (
    DELEGATE,
    DEMO,
    NEW,
    NOW,
    PARTITION,
    READER,
    SECOND_SECRET,
    UNKNOWN,
    WINDOW_NS,
    code_of,
    decide,
    envelope,
    known,
    message,
    raw,
)

CONTRACT = json.loads((Path(__file__).resolve().parents[3] / "schemas/topics.json").read_text())
# Of those that come after, account_halted and below are risk's and the submitter's.
CODES = list(CONTRACT["stream_codes"])
OWN_CODES = [*CODES[: CODES.index("account_halted")], "order_rate_exceeded"]

CANCEL = {"action": "cancel", "account": 1, "symbol": "BTC/USD", "order_id": 42}
REPLACE = {
    "action": "replace", "account": 1, "symbol": "BTC/USD", "target_client_order_id": 9, "price": "1.5",
    "quantity": "2",
}  # fmt: skip
MASS_CANCEL = {"action": "mass_cancel", "account": 1}


def changed(event: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return event | fields


def without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: value for other, value in event.items() if other != name}


# ---- What is good ----------------------------------------------------------------------------------------------------


def test_a_limit_order_becomes_the_order_of_the_contract_s_example() -> None:
    judged = decide(envelope(nonce="b7f0"))
    assert judged.rejections == []
    topic = next(topic for topic in CONTRACT["topics"] if topic["name"] == "orders.validated")
    example = dict(topic["events"][0]["example"])
    example |= {"nonce": nonce_name("demo-1", NOW, "b7f0"), "appended_ns": NOW}
    assert judged.orders == [example]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (NEW | {"client_order_id": 7, "post_only": True}, {"client_order_id": 7, "post_only": True}),
        (
            without(NEW, "price") | {"side": "sell", "quantity": "1", "order_type": "market"},
            {"price_ticks": 0, "time_in_force": "immediate_or_cancel", "quantity_lots": 10000, "side": "sell"},
        ),
        (NEW | {"order_type": "market"}, {"price_ticks": 6001000}),
        (NEW | {"order_type": "market_by_quote", "quantity": "12.5"}, {"quantity_lots": 12_500_000}),
        (NEW | {"time_in_force": "fill_or_kill"}, {"time_in_force": "fill_or_kill"}),
        (NEW | {"self_trade_prevention": "decrement"}, {"self_trade_prevention": "decrement"}),
        (NEW | {"trigger": "stop", "trigger_price": "59"}, {"terms": {"trigger": 1, "trigger_price_ticks": 5900}}),
        (NEW | {"trigger": "trailing", "offset": "12.5"}, {"terms": {"trigger": 3, "offset_ticks": 1250}}),
        (NEW | {"peg": "middle", "offset": "-0.05"}, {"terms": {"peg": 3, "offset_ticks": -5}}),
        (NEW | {"display": "0.1", "expire_ns": NOW + 1}, {"terms": {"display_lots": 1000, "expire_ns": NOW + 1}}),
        (NEW | {"minimum": "0.1", "hidden": True}, {"terms": {"minimum_lots": 1000, "options": 1}}),
        (NEW | {"all_or_none": True, "day": True, "hidden": False}, {"terms": {"options": 6}}),
        (CANCEL, {"order_id": 42, "instrument": 1, "firm": 1}),
        (CANCEL | {"client_order_id": 3}, {"client_order_id": 3}),
        (REPLACE, {"target_client_order_id": 9, "price_ticks": 150, "quantity_lots": 20000}),
        (MASS_CANCEL, {"account": 1, "firm": 1}),
        (MASS_CANCEL | {"symbol": "BTC/USD", "side": "sell"}, {"instrument": 1, "side": "sell"}),
    ],
)
def test_every_action_and_field_arrives_in_whole_numbers(body: dict[str, Any], found: dict[str, Any]) -> None:
    judged = decide(envelope(body))
    assert judged.rejections == []
    (order,) = judged.orders
    assert order | found == order
    assert order["action"] == body["action"]


def test_a_mass_cancel_of_all_names_no_instrument() -> None:
    (order,) = decide(envelope(MASS_CANCEL)).orders
    assert "symbol" not in order
    assert "instrument" not in order


def test_one_object_is_a_batch_of_one() -> None:
    assert len(judge(raw(orjson.dumps(envelope())), known(), Nonces()).orders) == 1


def test_either_secret_of_a_key_in_rotation_signs() -> None:
    judged = decide(envelope(), envelope(key=SECOND_SECRET, nonce="n-2"))
    assert len(judged.orders) == 2


def test_a_delegate_acts_for_any_account() -> None:
    (order,) = decide(envelope(NEW | {"account": 2}, key=DELEGATE)).orders
    assert (order["account"], order["firm"]) == (2, 2)


def test_an_order_is_named_by_its_place_whatever_else_the_message_holds() -> None:
    judged = decide(envelope(nonce="a"), envelope(NEW | {"account": 77}, key=DELEGATE, nonce="b"), envelope(nonce="c"))
    assert [order["place"]["index"] for order in judged.orders] == [0, 2]
    assert [rejection["place"]["index"] for rejection in judged.rejections] == [1]


# ---- What is not: a row is an envelope and the code that wins --------------------------------------------------------


REFUSED: dict[str, list[dict[str, Any]]] = {
    "schema_invalid": [
        without(envelope(), "signature"),
        changed(envelope(), extra=1),
        changed(envelope(), timestamp_ns=-1),
        changed(envelope(), timestamp_ns=1.5),
        changed(envelope(), timestamp_ns=True),
        changed(envelope(), timestamp_ns="1"),
        changed(envelope(), nonce=""),
        changed(envelope(), nonce="n" * 37),
        changed(envelope(), nonce="a\nb"),
        changed(envelope(), nonce="ä"),
        changed(envelope(), nonce=5),
        changed(envelope(), signature="zz" * 32),
        changed(envelope(), signature="00" * 31),
        changed(envelope(), signature=None),
        changed(envelope(), body={"action": "new"}),
        changed(envelope(), body="{}" + " " * 4096),
        changed(envelope(), body='"' + "ä" * 2100 + '"'),
        *[
            envelope(body)
            for body in (
                "", "no json", "[]", "null", "{}", "[" * 3000, '{"a":' * 600 + "1" + "}" * 600, "NaN", "1e400", "\x00",
                '{"action":"new"}', '{"action":["new"]}', '{"action":"trade"}',
                json.dumps(NEW)[:-1] + ',"account":2}',
                json.dumps(NEW)[:-1] + ',"account":1}',
                json.dumps(NEW)[:-1] + ',"acc\\u006funt":2}',
                json.dumps(NEW).replace('"buy"', "NaN"),
                json.dumps(NEW).replace('"0.5"', "1e400"),
                json.dumps(NEW).replace('"0.5"', "9" * 400),
            )
        ],
        envelope(without(NEW, "price")),
        *[envelope(without(NEW, name)) for name in REQUIRED["new"]],
        *[
            envelope(NEW | fields)
            for fields in (
                {"unknown": 1}, {"price": 60010}, {"price": None}, {"price": ["1"]}, {"quantity": True},
                {"account": "1"}, {"account": -1}, {"account": 2**32}, {"account": True}, {"account": {"a": 1}},
                {"client_order_id": -1}, {"client_order_id": "9"}, {"side": "BUY"}, {"side": 1},
                {"order_type": "Limit"}, {"time_in_force": ""}, {"self_trade_prevention": "x"}, {"post_only": 1},
                {"trigger": "x"}, {"peg": "best"}, {"hidden": 0}, {"expire_ns": -1}, {"expire_ns": "1"},
            )
        ],
        envelope(without(CANCEL, "order_id")),
        envelope(CANCEL | {"target_client_order_id": 1}),
        envelope(REPLACE | {"order_id": 1}),
        envelope(without(REPLACE, "price")),
        envelope(MASS_CANCEL | {"side": "both"}),
        envelope(MASS_CANCEL | {"quantity": "1"}),
    ],
    "partition_wrong": [envelope(NEW | {"account": 9}, key=DELEGATE), envelope(NEW | {"account": 9}, key=UNKNOWN)],
    "signature_invalid": [
        envelope(key=UNKNOWN),
        envelope(key=Key(key_id="demo-1", secret=bytes(32))),
        changed(envelope(), nonce="other"),
        changed(envelope(), timestamp_ns=NOW + 1),
        changed(envelope(), body=envelope()["body"] + " "),
        changed(envelope(), signature="0" * 64),
        dict(sign_limits(DEMO, NEW, timestamp_ns=NOW, nonce="n-1")),
        envelope(NEW | {"account": 77}, key=UNKNOWN, at=1),
    ],
    "timestamp_outside_window": [
        envelope(at=NOW - WINDOW_NS - 1),
        envelope(at=NOW + WINDOW_NS + 1),
        envelope(at=0),
        envelope(at=2**64 - 1),
        envelope(NEW | {"account": 77}, at=0),
    ],
    "account_forbidden": [
        envelope(NEW | {"account": 2}),
        envelope(NEW | {"account": 2, "symbol": "X"}, key=READER),
        envelope(MASS_CANCEL | {"account": 0}),
    ],
    "kind_forbidden": [
        envelope(key=READER),
        envelope(NEW | {"symbol": "X"}, key=READER),
        envelope(CANCEL, key=READER),
        envelope(REPLACE, key=READER),
        envelope(MASS_CANCEL, key=READER),
    ],
    "unknown_account": [
        envelope(NEW | {"account": 77}, key=DELEGATE),
        envelope(NEW | {"account": 77, "symbol": "X"}, key=DELEGATE),
        envelope(MASS_CANCEL | {"account": 2**32 - 1}, key=DELEGATE),
    ],
    "unknown_instrument": [
        envelope(NEW | {"symbol": symbol}) for symbol in ("X", "", "btc/usd", "BTC/USD ", "Ω" * 900, "\x00")
    ] + [envelope(CANCEL | {"symbol": "X"}), envelope(MASS_CANCEL | {"symbol": "X", "side": "buy"})],
    "number_invalid": [
        envelope(NEW | {"price": text})
        for text in (
            "NaN", "Infinity", "-Infinity", "1e400", "1E2", "-1", "+1", "0", "0.00", "-0", "0.001", "60010.005", "",
            " 1", "1 ", "1.", ".5", ".", "1,5", "1_000", "0x10", "٣", "²", "1.2.3", "9" * 41, "9" * 40, "0" * 4000,
            str(PRICE_TICKS_MAX // 100 + 1), "1\n", "1\x00", "--1",
        )
    ] + [
        envelope(NEW | {"quantity": text}) for text in ("0", "-0.5", "0.00005", "1e1", "NaN", "9" * 30, "0" * 40)
    ] + [
        envelope(NEW | fields)
        for fields in (
            {"order_type": "market_by_quote", "quantity": "0.0000001"},
            {"order_type": "market_by_quote", "quantity": str(UNITS_MAX)},
            {"trigger": "stop", "trigger_price": "0"},
            {"trigger": "stop", "trigger_price": "-1"},
            {"trigger": "trailing", "offset": str(2**31)},
            {"peg": "middle", "offset": "--1"},
            {"peg": "middle", "offset": "-" + str(2**31)},
            {"display": "-1"}, {"display": "0.00001"}, {"minimum": "x"}, {"minimum": str(QUANTITY_LOTS_MAX)},
            {"symbol": "ETH/USD", "price": "1.01", "quantity": "1"},
            {"symbol": "ETH/USD", "price": "1000.50", "quantity": "1"},
            {"symbol": "ETH/USD", "price": "1.05", "quantity": "0.0011"},
            {"symbol": "ETH/USD", "price": "1.05", "quantity": "0.0008"},
            {"symbol": "ETH/USD", "price": "1.05", "quantity": "1.0002"},
        )
    ] + [envelope(REPLACE | {"price": "0"}), envelope(REPLACE | {"quantity": "1e1"})],
}  # fmt: skip


@pytest.mark.parametrize(("code", "index"), [(code, at) for code, rows in REFUSED.items() for at in range(len(rows))])
def test_each_row_is_rejected_with_its_code_and_the_stream_goes_on(code: str, index: int) -> None:
    judged = decide(REFUSED[code][index], envelope(nonce="behind"))
    assert [rejection["code"] for rejection in judged.rejections] == [code]
    assert [order["place"]["index"] for order in judged.orders] == [1]
    assert judged.unclaimed is None
    assert "must" in judged.rejections[0]["text"] or "needs" in judged.rejections[0]["text"]


def test_a_step_that_rules_at_the_price_takes_what_is_a_multiple() -> None:
    assert code_of(envelope(NEW | {"symbol": "ETH/USD", "price": "1.05", "quantity": "0.0012"})) == ""
    assert code_of(envelope(NEW | {"symbol": "ETH/USD", "price": "1001", "quantity": "0.0011"})) == ""
    assert code_of(envelope(NEW | {"symbol": "ETH/USD", "price": "1.01", "quantity": "1", "peg": "middle"})) == ""


@pytest.mark.parametrize("key_id", [None, 5, "", "a b", "x" * 17, "ä", ["demo-1"], {"a": 1}])
def test_an_envelope_without_a_claimed_key_is_a_dead_letter(key_id: Any) -> None:
    assert code_of(changed(envelope(), key_id=key_id)) == "dead letter schema_invalid"
    assert code_of({}) == "dead letter schema_invalid"


def test_a_message_makes_one_dead_letter_however_many_of_its_envelopes_claim_nothing() -> None:
    judged = decide({}, envelope(), {"key_id": 5}, {"a": {}})
    assert judged.unclaimed is not None
    assert judged.unclaimed.at is None
    assert judged.unclaimed.text.startswith("envelope 0: ")
    assert judged.unclaimed.text.endswith("and 2 more like it")
    assert len(judged.orders) == 1


def test_a_message_of_too_many_envelopes_is_one_dead_letter() -> None:
    judged = decide(*[{}] * 513)
    assert judged.unclaimed is not None
    assert judged.unclaimed.at is None
    assert not judged.orders
    assert not judged.rejections


def test_a_field_that_stands_twice_in_an_envelope_is_refused_and_the_others_go_on() -> None:
    good, twice = orjson.dumps(envelope(nonce="a")).decode(), orjson.dumps(envelope(nonce="b")).decode()
    value = f'[{good},{twice[:-1]},"nonce":"b"}}]'.encode()
    judged = judge(raw(value), known(), Nonces())
    assert [order["place"]["index"] for order in judged.orders] == [0]
    assert [rejection["code"] for rejection in judged.rejections] == ["schema_invalid"]


def test_quotation_marks_written_as_escapes_hide_no_field_that_stands_twice() -> None:
    event = envelope(NEW, nonce="ab")
    text = orjson.dumps(event).decode().replace('\\"action\\"', "\\u0022action\\u0022")
    twice = f'[{text[:-1]},"nonce":"ab"}}]'.encode()
    assert twice.count(b'"') == 18 + event["body"].count('"') - 2 + 4
    judged = judge(raw(twice), known(), Nonces())
    assert [rejection["code"] for rejection in judged.rejections] == ["schema_invalid"]
    assert len(judge(raw(text.encode()), known(), Nonces()).orders) == 1


def test_a_body_with_escapes_is_read_as_any_json_reader_does() -> None:
    assert code_of(envelope(json.dumps(NEW).replace("BTC/USD", "BTC\\/USD"))) == ""
    assert code_of(envelope(json.dumps(NEW).replace("account", "acc\\u006funt"))) == ""
    assert code_of(envelope(json.dumps(NEW, indent=4))) == ""


# ---- Rejections ------------------------------------------------------------------------------------------------------


def test_a_rejection_of_an_authentic_order_names_account_and_order() -> None:
    (rejection,) = decide(envelope(NEW | {"price": "x", "client_order_id": 9}, nonce="b7f0")).rejections
    assert rejection | {"text": ""} == {
        "stage": "validation", "code": "number_invalid", "text": "",
        "place": {"topic": "orders.submitted", "partition": PARTITION, "offset": 17, "index": 0}, "appended_ns": NOW,
        "key_id": "demo-1", "nonce": nonce_name("demo-1", NOW, "b7f0"), "firm": 1, "account": 1, "symbol": "BTC/USD",
        "client_order_id": 9,
    }  # fmt: skip


def test_a_forged_envelope_speaks_of_nobody_s_account() -> None:
    (rejection,) = decide(envelope(key=UNKNOWN)).rejections
    assert rejection["key_id"] == "nobody"
    assert not rejection.keys() & {"firm", "account", "symbol", "client_order_id"}


# ---- Nonces ----------------------------------------------------------------------------------------------------------


def test_a_nonce_is_good_once_in_a_message_and_across_messages() -> None:
    nonces = Nonces()
    judged = decide(envelope(), envelope(), nonces=nonces)
    assert len(judged.orders) == 1
    assert [rejection["code"] for rejection in judged.rejections] == ["nonce_repeated"]
    assert code_of(envelope(), nonces=nonces, offset=18) == "nonce_repeated"
    assert code_of(envelope(NEW | {"price": "1.00"}), nonces=nonces, offset=19) == "nonce_repeated"
    assert code_of(envelope(nonce="n-2"), nonces=nonces, offset=20) == ""


def test_an_order_that_was_refused_for_its_numbers_has_used_its_nonce() -> None:
    nonces = Nonces()
    assert code_of(envelope(NEW | {"price": "x"}), nonces=nonces) == "number_invalid"
    assert code_of(envelope(), nonces=nonces, offset=18) == "nonce_repeated"


def test_what_is_forged_or_late_uses_up_no_nonce() -> None:
    nonces = Nonces()
    assert code_of(changed(envelope(), signature="0" * 64), nonces=nonces) == "signature_invalid"
    assert code_of(envelope(), nonces=nonces, offset=18) == ""


def test_the_same_place_again_gets_the_same_answer_even_if_all_that_is_known_has_changed() -> None:
    nonces = Nonces()
    good, bad = envelope(nonce="good"), envelope(NEW | {"price": "x"}, nonce="bad")
    first = judge(message(good, bad), known(), nonces)
    assert first.record is not None
    again = Nonces([("17", orjson.loads(orjson.dumps(first.record.to_json())))])
    changed_world = known()
    changed_world.keys = {}
    changed_world.window_ns = 0
    second = judge(message(good, bad, at=NOW), changed_world, again)
    assert second.orders == first.orders
    assert [rejection["code"] for rejection in second.rejections] == ["number_invalid"]
    assert second.record is None
    assert code_of(good, nonces=again, offset=18) == "nonce_repeated"


def test_a_message_read_twice_in_one_life_gets_the_same_answers() -> None:
    nonces = Nonces()
    events = [envelope(nonce="a"), envelope(nonce="a"), envelope(NEW | {"quantity": "0"}, nonce="b"), {}]
    first = decide(*events, nonces=nonces)
    second = decide(*events, nonces=nonces)
    assert second.orders == first.orders
    assert [r["code"] for r in second.rejections] == [r["code"] for r in first.rejections]
    assert second.unclaimed == first.unclaimed


def test_a_message_read_again_with_a_key_that_is_known_now_keeps_what_it_had() -> None:
    nonces, world = Nonces(), known()
    world.keys = {"demo-1": world.keys["demo-1"]}
    events = [envelope(nonce="a"), envelope(key=DELEGATE, nonce="b")]
    first = judge(message(*events), world, nonces)
    assert [rejection["code"] for rejection in first.rejections] == ["signature_invalid"]
    second = judge(message(*events), known(), nonces)
    assert len(second.orders) == 2
    assert second.record is not None
    assert len(second.record.names) == 2


def test_a_nonce_is_kept_as_long_as_its_timestamp_can_be_good_and_then_goes() -> None:
    nonces = Nonces()
    assert code_of(envelope(at=NOW), nonces=nonces, offset=1, at=NOW) == ""
    assert code_of(envelope(nonce="b", at=NOW + WINDOW_NS), nonces=nonces, offset=2, at=NOW + WINDOW_NS) == ""
    assert nonces.expire() == []
    assert code_of(envelope(at=NOW), nonces=nonces, offset=3, at=NOW + WINDOW_NS) == "nonce_repeated"
    assert code_of(envelope(nonce="c", at=NOW + WINDOW_NS), nonces=nonces, offset=4, at=NOW + WINDOW_NS + 1) == ""
    assert nonces.expire() == [1]
    assert len(nonces) == 2
    assert code_of(envelope(at=NOW), nonces=nonces, offset=5, at=NOW + WINDOW_NS + 1) == "timestamp_outside_window"


def test_a_broker_s_clock_that_goes_back_reopens_no_window() -> None:
    nonces = Nonces()
    assert code_of(envelope(at=NOW), nonces=nonces, offset=1) == ""
    later = NOW + WINDOW_NS + 1
    assert code_of(envelope(nonce="b", at=later), nonces=nonces, offset=2, at=later) == ""
    assert nonces.expire() == [1]
    assert code_of(envelope(at=NOW), nonces=nonces, offset=3, at=NOW) == "timestamp_outside_window"


def test_the_table_of_nonces_is_bounded_and_says_so() -> None:
    nonces = Nonces(count_max=2)
    assert [code_of(envelope(nonce=nonce), nonces=nonces, offset=offset) for offset, nonce in enumerate("abc", 1)] == [
        "", "", "order_rate_exceeded",
    ]  # fmt: skip
    assert len(nonces) == 2
    assert code_of(envelope(nonce="a"), nonces=nonces, offset=9) == "nonce_repeated"


@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from("abcdef"), st.integers(-320, 320)), max_size=40))
@settings(max_examples=150, deadline=None)
def test_whatever_comes_when_a_nonce_is_validated_at_one_place_only(rows: list[tuple[int, str, int]]) -> None:
    """Through restarts after each message as well: what the table holds is enough."""
    world, at, nonces = known(), NOW, Nonces()
    table: dict[str, Any] = {}
    seen: set[str] = set()
    for offset, (later_s, nonce, age_s) in enumerate(rows):
        at += later_s * 1_000_000_000
        event = envelope(nonce=nonce, at=NOW + (age_s + 300) // 600 * 10**9)
        judged = judge(message(event, offset=offset, at=at), world, nonces)
        for order in judged.orders:
            assert order["nonce"] not in seen
            seen.add(order["nonce"])
        if judged.record is not None:
            table[str(offset)] = orjson.loads(orjson.dumps(judged.record.to_json()))
        for gone in nonces.expire():
            del table[str(gone)]
        if later_s % 2:
            high_ns = nonces.high_ns
            nonces = Nonces(table.items())
            nonces.high_ns = max(nonces.high_ns, high_ns)


# ---- No input makes it stumble ---------------------------------------------------------------------------------------

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=12)
    | st.sampled_from(["new", "cancel", "1", "0.5", "NaN", "1e400", "BTC/USD", "buy", "stop", "demo-1"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
NAMES = st.sampled_from(sorted({name for fields in FIELDS.values() for name in fields})) | st.text(max_size=5)


ENVELOPE_NAMES = st.sampled_from(sorted(envelope())) | st.text(max_size=5)


@given(st.lists(st.dictionaries(ENVELOPE_NAMES, VALUES, max_size=6), max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_json_object_is_answered(events: list[dict[str, Any]]) -> None:
    try:
        made = message(*events)
    except (TypeError, ValueError):  # no JSON text says this
        return
    judged = judge(made, known(), Nonces())
    assert len(judged.orders) == 0
    assert len(judged.rejections) + (judged.unclaimed is not None) <= len(events)
    assert bool(events) == bool(judged.rejections or judged.unclaimed)


@given(st.dictionaries(NAMES, VALUES, max_size=9), st.sampled_from(["new", "cancel", "replace", "mass_cancel"]))
@settings(max_examples=150, deadline=None)
def test_any_signed_body_is_answered_once(fields: dict[str, Any], action: str) -> None:
    base = {"new": NEW, "cancel": CANCEL, "replace": REPLACE, "mass_cancel": MASS_CANCEL}[action]
    try:
        text = orjson.dumps(base | fields | {"action": action}).decode()
        event = envelope(text)
    except (TypeError, ValueError):
        return
    judged = decide(event)
    assert len(judged.orders) + len(judged.rejections) == 1
    for order in judged.orders:
        assert all(type(value) is int for name, value in order.items() if name.endswith(("_ticks", "_lots")))


@given(st.text(max_size=80))
@settings(max_examples=100, deadline=None)
def test_any_text_signed_as_a_body_is_answered_once(text: str) -> None:
    assert code_of(envelope(text)) == "schema_invalid"


@given(st.text(max_size=45), st.text(max_size=45))
@settings(max_examples=100, deadline=None)
def test_any_text_as_a_number_is_taken_exactly_or_refused(price: str, quantity: str) -> None:
    assert code_of(envelope(NEW | {"price": price, "quantity": quantity})) in ("", "number_invalid")


# ---- The data --------------------------------------------------------------------------------------------------------


def test_each_code_of_this_stage_has_a_row_or_a_test_of_its_own() -> None:
    elsewhere = {"undecodable", "nonce_repeated", "order_rate_exceeded"}  # the worker's, and above
    assert set(REFUSED) | elsewhere == set(OWN_CODES)


def test_rows_stand_in_the_order_in_which_codes_win() -> None:
    assert list(REFUSED) == [code for code in CODES if code in REFUSED]


def test_bodies_have_the_fields_of_the_contract() -> None:
    types = {"text": str, "side": str, "decimal": str, "u32": int, "u64": int, "ns": int, "bool": bool}
    for action, fields in CONTRACT["order_bodies"].items():
        found = {name.rstrip("?"): types.get(kind, str) for name, kind, _ in fields}
        assert FIELDS[action] == found
        assert REQUIRED[action] == {name for name, _, _ in fields if not name.endswith("?")}
        for name, kind, _ in fields:
            if kind.startswith("enum:") or kind == "side":
                assert name.rstrip("?") in ENUMERATIONS
