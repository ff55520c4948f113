"""Bodies of envelopes that set limits: what is taken, and what is not."""

from __future__ import annotations

import pytest

from schemas.topics import load_topics
from streams.risk.limits import CODES, LIMIT_MAX, Limits, LimitsInvalid, parse_body
from tests.support.risk import Desk

GOOD = {"firm": 1, "account": 0, "limits": {}}


def test_a_body_names_firm_account_limits_and_whether_to_resume():
    assert parse_body(GOOD) == (1, 0, {}, False)
    limits = {"order_rate": 0, "order_window_ms": 1, "actions": {"order_rate": "halt"}}
    assert parse_body({"firm": 2, "account": 3, "limits": limits, "resume": True}) == (2, 3, limits, True)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "must be a JSON object"),
        ({"firm": 1, "limits": {}}, "must have account"),
        (GOOD | {"more": 1}, "'more'"),
        (GOOD | {"firm": 0}, "firm must be"),
        (GOOD | {"firm": True}, "firm must be"),
        (GOOD | {"firm": "1"}, "firm must be"),
        (GOOD | {"account": 2**32}, "account must be"),
        (GOOD | {"account": -1}, "account must be"),
        (GOOD | {"resume": 1}, "resume must be"),
        (GOOD | {"limits": []}, "limits must be an object"),
        (GOOD | {"limits": {"weather": 1}}, "'weather'"),
        (GOOD | {"limits": {"drawdown_units": -1}}, "drawdown_units must be"),
        (GOOD | {"limits": {"drawdown_units": 1.5}}, "drawdown_units must be"),
        (GOOD | {"limits": {"drawdown_units": LIMIT_MAX + 1}}, "drawdown_units must be"),
        (GOOD | {"limits": {"drawdown_units": False}}, "drawdown_units must be"),
        (GOOD | {"limits": {"order_rate": 1}}, "given together"),
        (GOOD | {"limits": {"cancel_window_ms": 1}}, "given together"),
        (GOOD | {"limits": {"order_rate": 1, "order_window_ms": 0}}, "order_window_ms must be"),
        (GOOD | {"limits": {"actions": []}}, "actions must be an object"),
        (GOOD | {"limits": {"actions": {"weather": "halt"}}}, "'weather'"),
        (GOOD | {"limits": {"actions": {"drawdown": "shout"}}}, "action of drawdown"),
        (GOOD | {"limits": {"actions": {"drawdown": ["halt"]}}}, "action of drawdown"),
    ],
)
def test_a_body_that_is_not_as_it_must_be_is_refused_and_says_why(body, says):
    with pytest.raises(LimitsInvalid, match=says):
        parse_body(body)


def test_limits_and_codes_are_those_of_the_contract():
    contract = load_topics().data
    names = set(contract["limit_names"])
    for name in names - {"actions"}:
        pairs = {"order_rate": "order_window_ms", "cancel_rate": "cancel_window_ms"}
        pairs |= {window: rate for rate, window in pairs.items()}
        limits = {name: 5} | ({pairs[name]: 5} if name in pairs else {})
        assert parse_body(GOOD | {"limits": limits})[2] == limits
    assert set(CODES.values()) <= set(contract["stream_codes"])
    for name in CODES:
        assert name in contract["limit_names"]["actions"]


def test_a_limit_that_is_not_named_refuses_nothing():
    desk = Desk()
    desk.limit({"daily_loss_units": 0})
    assert Limits({}).named == {}
    assert desk.code("buy", 10**12, 10**6) == ""
