"""Statements of the archive: whole ones are read, all others are told as missing and why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.reporting.statement import Missing, Statement, parse

WHOLE: dict[str, Any] = {
    "format": 1,
    "shard": 3,
    "day": "2026-03-02",
    "partial": False,
    "sequence": 900,
    "digest": "00ff",
    "assets": {"USD": 6},
    "balances": [{"account": 1, "asset": "USD", "free_units": 5, "locked_units": 2}],
    "positions": [{"account": 1, "symbol": "BTC/USD", "position_lots": -4}],
    "fees": [{"asset": "USD", "units": 1}],
    "deposits": [{"asset": "USD", "units": 8}],
    "withdrawals": [{"asset": "USD", "units": 0}],
    "open_orders_count": 2,
}


def read(body: bytes, shard: int = 3, day: str = "2026-03-02") -> Statement | Missing:
    return parse(body, shard=shard, day=day, where="s3://archive/here")


def test_a_whole_statement_is_what_it_says() -> None:
    found = read(json.dumps(WHOLE).encode())
    assert isinstance(found, Statement)
    assert found.balances == {(1, "USD"): (5, 2)}
    assert found.positions == {(1, "BTC/USD"): -4}
    assert (found.deposits, found.withdrawals, found.fees) == ({"USD": 8}, {"USD": 0}, {"USD": 1})
    assert found.last_event_sequence == 900, "where nothing is said of events, the last record counts"


def test_the_last_record_with_an_event_is_known_where_it_is_said() -> None:
    found = read(json.dumps({**WHOLE, "last_event_sequence": 870}).encode())
    assert isinstance(found, Statement)
    assert (found.sequence, found.last_event_sequence) == (900, 870)


@pytest.mark.parametrize("kept", [0, 1, 40, len(json.dumps(WHOLE)) - 1])
def test_a_statement_that_was_cut_off_is_missing_not_half_read(kept: int) -> None:
    found = read(json.dumps(WHOLE).encode()[:kept])
    assert isinstance(found, Missing)
    assert "whole statement" in found.why
    assert found.where == "s3://archive/here"


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e999"])
@pytest.mark.parametrize("name", ["sequence", "last_event_sequence"])
def test_a_number_that_is_none_is_missing(name: str, number: str) -> None:
    body = json.dumps({**WHOLE, name: "HERE"}).replace('"HERE"', number).encode()
    assert isinstance(read(body), Missing)


def test_a_statement_without_end_is_missing() -> None:
    assert isinstance(read(b"[" * 200_000), Missing)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_statement_that_lacks_a_field_is_missing(name: str) -> None:
    assert isinstance(read(json.dumps({key: WHOLE[key] for key in WHOLE if key != name}).encode()), Missing)


def test_a_statement_of_another_day_or_shard_or_format_is_missing() -> None:
    body = json.dumps(WHOLE).encode()
    for found in (read(body, day="2026-03-03"), read(body, shard=4)):
        assert isinstance(found, Missing)
        assert "must be of shard" in found.why
    newer = read(json.dumps({**WHOLE, "format": 2}).encode())
    assert isinstance(newer, Missing)
    assert "format must be 1, was 2" in newer.why
