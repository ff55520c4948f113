"""Orders to commands of the engine, and what is too old."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironbook import Cancel, MassCancel, NewOrder, OrderTerms, Replace, Side
from schemas.topics import load_topics
from streams.submitter.rules import NoCommand, command, expired, is_expired
from tests.support.topics import example

ORDER = example("orders.validated", "order")
FIRST = {name: ORDER[name] for name in ("place", "key_id", "timestamp_ns", "nonce", "appended_ns", "firm", "account")}


@pytest.mark.parametrize(
    ("order", "found"),
    [
        (
            ORDER | {"post_only": True, "client_order_id": 9},
            NewOrder(
                account=1, instrument=1, price_ticks=6001000, quantity_lots=5000, client_order_id=9, side=Side.BUY,
                order_type=1, time_in_force=1, self_trade_prevention=2, options=1,
            ),
        ),
        (
            FIRST | {"action": "cancel", "symbol": "BTC/USD", "instrument": 1, "order_id": 42},
            Cancel(account=1, instrument=1, order_id=42),
        ),
        (
            FIRST
            | {
                "action": "replace", "symbol": "BTC/USD", "instrument": 1, "target_client_order_id": 9,
                "price_ticks": 5, "quantity_lots": 6,
            },
            Replace(account=1, instrument=1, target_client_order_id=9, price_ticks=5, quantity_lots=6),
        ),
        (FIRST | {"action": "mass_cancel"}, MassCancel(account=1)),
        (
            FIRST | {"action": "mass_cancel", "instrument": 1, "side": "sell", "client_order_id": 4},
            MassCancel(account=1, instrument=1, side=Side.SELL, client_order_id=4),
        ),
    ],
)  # fmt: skip
def test_each_action_becomes_its_command_behind_the_order_s_nonce(order: dict[str, Any], found: Any) -> None:
    made = command(order)
    assert made.command == found
    assert made.nonce is not None
    assert made.nonce.nonce.hex() == order["nonce"]
    assert made.nonce.timestamp_ns == order["timestamp_ns"]
    assert made.terms is None


def test_terms_go_with_a_new_order() -> None:
    made = command(ORDER | {"terms": {"trigger": 1, "trigger_price_ticks": 5}})
    assert made.terms == OrderTerms(trigger=1, trigger_price_ticks=5)


@pytest.mark.parametrize(
    "changed",
    [
        {"action": "trade"}, {"action": None}, {"nonce": "00"}, {"nonce": 5}, {"side": "both"}, {"order_type": 1},
        {"price_ticks": "1"}, {"price_ticks": 2**70}, {"account": -1}, {"terms": {"unknown": 1}}, {"terms": 5},
        {"timestamp_ns": None}, {"quantity_lots": 1.5},
    ],
)  # fmt: skip
def test_what_is_no_order_is_told_and_raises_nothing_else(changed: dict[str, Any]) -> None:
    with pytest.raises(NoCommand):
        command(ORDER | changed)


LISTS = st.lists(st.integers(), max_size=2)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | LISTS


@given(st.dictionaries(st.sampled_from([*ORDER, "order_id", "terms"]), VALUES, max_size=5), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_event_is_a_command_or_none(fields: dict[str, Any], whole: bool) -> None:
    try:
        made = command((ORDER if whole else {}) | fields)
    except NoCommand:
        return
    assert made.nonce is not None


def test_an_order_is_too_old_when_its_timestamp_has_left_the_window_and_not_before() -> None:
    at, window = ORDER["timestamp_ns"], 1_000
    assert not is_expired(ORDER, at + window, window)
    assert is_expired(ORDER, at + window + 1, window)


def test_the_rejection_of_one_that_is_given_up_names_it_as_the_contract_says() -> None:
    found = expired(ORDER, ORDER["timestamp_ns"] + 301 * 10**9, 300 * 10**9)
    fields = {name.rstrip("?"): name for name, *_ in load_topics()["orders.rejected"].data["events"][0]["fields"]}
    assert found.keys() <= fields.keys()
    assert {name for name, stated in fields.items() if not stated.endswith("?")} <= found.keys()
    assert (found["stage"], found["code"], found["nonce"]) == ("submitter", "expired", ORDER["nonce"])
