"""Every code of the core has its place in the dialect, and texts that clients match on are exact."""

from __future__ import annotations

import pytest

from gateway.binance.refusals import REFUSALS, filter_failure, refusal
from schemas.vocabulary import CODE_TEXT, Code

EXACT = [
    (Code.NONCE_STALE, 400, -1021, "Timestamp for this request is outside of the recvWindow."),
    (Code.UNKNOWN_INSTRUMENT, 400, -1121, "Invalid symbol."),
    (Code.UNKNOWN_ORDER, 400, -2011, "Unknown order sent."),
    (Code.INSUFFICIENT_FUNDS, 400, -2010, "Account has insufficient balance for requested action."),
    (Code.POST_ONLY_WOULD_TAKE, 400, -2010, "Order would immediately match and take."),
    (Code.TRIGGER_ALREADY_MET, 400, -2010, "Stop price would trigger immediately."),
    (Code.DUPLICATE_CLIENT_ORDER_ID, 400, -2010, "Duplicate order sent."),
    (Code.ACCOUNT_HALTED, 400, -2010, "This account may not place or cancel orders."),
    (Code.PRICE_NOT_ON_TICK, 400, -1013, "Filter failure: PRICE_FILTER"),
    (Code.PRICE_INVALID, 400, -1013, "Filter failure: PRICE_FILTER"),
    (Code.QUANTITY_NOT_ON_LOT, 400, -1013, "Filter failure: LOT_SIZE"),
    (Code.QUANTITY_TOO_SMALL, 400, -1013, "Filter failure: LOT_SIZE"),
    (Code.NOTIONAL_TOO_SMALL, 400, -1013, "Filter failure: NOTIONAL"),
    (Code.PRICE_OUTSIDE_COLLAR, 400, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    (Code.OPEN_ORDERS_EXCEEDED, 400, -1013, "Filter failure: MAX_NUM_ORDERS"),
    (Code.POSITION_EXCEEDED, 400, -1013, "Filter failure: MAX_POSITION"),
    (Code.INSTRUMENT_HALTED, 400, -1013, "Market is closed."),
    (Code.EVERYTHING_HALTED, 400, -1013, "Market is closed."),
    (Code.ORDER_RATE_EXCEEDED, 429, -1015, "Too many new orders."),
    (Code.PRICE_CAP_REQUIRED, 400, -1112, "No orders on book for symbol."),
    (Code.NONCE_REPEATED, 400, -1021, "This request was received before; sign each request anew."),
    (Code.ENGINE_STOPPING, 503, -1001, "Internal error; unable to process your request. Please try again."),
]


def test_every_code_that_refuses_a_command_has_its_place() -> None:
    refusing = {code for code, (kind, _, _) in CODE_TEXT.items() if kind in ("reject", "refusal")}
    assert set(REFUSALS) == refusing


@pytest.mark.parametrize(("code", "status", "number", "text"), EXACT, ids=[row[0].name for row in EXACT])
def test_clients_find_the_text_that_they_match_on(code: Code, status: int, number: int, text: str) -> None:
    error = refusal(code)
    assert (error.problem.status, error.problem.binance, error.text) == (status, number, text)


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_a_refusal_tells_what_must_hold_and_what_to_do(code: int) -> None:
    error = refusal(code)
    assert error.text
    assert (error.detail, error.hint) == CODE_TEXT[code][1:]


def test_whoever_is_too_fast_is_told_when_to_come_again() -> None:
    assert refusal(Code.ORDER_RATE_EXCEEDED).retry_after == 1
    assert refusal(Code.INSUFFICIENT_FUNDS).retry_after is None


def test_a_code_from_the_future_is_an_unknown_error() -> None:
    assert refusal(999).problem.status == 500


def test_a_filter_is_named_in_the_text() -> None:
    assert filter_failure("LOT_SIZE").text == "Filter failure: LOT_SIZE"
