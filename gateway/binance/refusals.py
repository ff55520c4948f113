"""What the core refuses, as the Binance dialect tells it: codes of schemas/codes.json to codes and exact texts.

Clients match on the texts, so those that Binance has are its own, word for word. Of what only this exchange refuses
the text says what must hold.
"""

from __future__ import annotations

from typing import Final

from gateway import errors
from gateway.errors import ApiError, Problem
from schemas.vocabulary import CODE_TEXT, Code

__all__ = ["REFUSALS", "filter_failure", "refusal"]

TOO_MANY: Final = 429
RETRY_S: Final = 1  # the engine's windows of order rates are a second or so


def _filter(name: str) -> tuple[Problem, str]:
    return errors.FILTER, f"Filter failure: {name}"


def _said(problem: Problem, code: Code) -> tuple[Problem, str]:
    return problem, CODE_TEXT[code][1]


def _own(problem: Problem) -> tuple[Problem, str]:
    return problem, problem.text


REFUSALS: Final[dict[int, tuple[Problem, str]]] = {
    Code.NONCE_STALE: _own(errors.TIMESTAMP),
    Code.NONCE_REPEATED: _own(errors.REPEATED),
    # The gateway's own key lacks a right, or sent what it must not: nothing that a client could mend
    Code.KIND_UNKNOWN: _own(errors.INTERNAL),
    Code.KIND_FORBIDDEN: _own(errors.INTERNAL),
    Code.ACCOUNT_FORBIDDEN: _own(errors.INTERNAL),
    Code.MALFORMED: _own(errors.COMBINATION),
    Code.UNKNOWN_ACCOUNT: _own(errors.ACCOUNT_HALTED),
    Code.UNKNOWN_INSTRUMENT: _own(errors.SYMBOL),
    # Of commands of administration
    Code.UNKNOWN_ASSET: _said(errors.PARAMETER, Code.UNKNOWN_ASSET),
    Code.NAME_INVALID: _said(errors.PARAMETER, Code.NAME_INVALID),
    Code.DEFINITION_INVALID: _said(errors.PARAMETER, Code.DEFINITION_INVALID),
    Code.DEFINITION_CONFLICT: _said(errors.PARAMETER, Code.DEFINITION_CONFLICT),
    Code.LIMITS_INVALID: _said(errors.PARAMETER, Code.LIMITS_INVALID),
    Code.UNKNOWN_TRADE: _said(errors.PARAMETER, Code.UNKNOWN_TRADE),
    Code.AMOUNT_INVALID: _said(errors.PARAMETER, Code.AMOUNT_INVALID),
    # Of orders
    Code.UNKNOWN_ORDER: _own(errors.CANCEL_REJECTED),
    Code.LINK_INVALID: _said(errors.ORDER_REJECTED, Code.LINK_INVALID),
    Code.REPLACE_UNSUPPORTED: _said(errors.AMEND_REJECTED, Code.REPLACE_UNSUPPORTED),
    Code.EVERYTHING_HALTED: _own(errors.MARKET_CLOSED),
    Code.INSTRUMENT_HALTED: _own(errors.MARKET_CLOSED),
    Code.NOT_IN_THIS_STATE: _own(errors.MARKET_CLOSED),
    Code.ACCOUNT_HALTED: _own(errors.ACCOUNT_HALTED),
    Code.PRICE_INVALID: _filter("PRICE_FILTER"),
    Code.PRICE_NOT_ON_TICK: _filter("PRICE_FILTER"),
    Code.QUANTITY_INVALID: _filter("LOT_SIZE"),
    Code.QUANTITY_NOT_ON_LOT: _filter("LOT_SIZE"),
    Code.TERMS_INVALID: _filter("ICEBERG_PARTS"),
    Code.EXPIRY_PASSED: _said(errors.PARAMETER, Code.EXPIRY_PASSED),
    Code.QUANTITY_TOO_SMALL: _filter("LOT_SIZE"),
    Code.QUANTITY_TOO_LARGE: _filter("LOT_SIZE"),
    Code.REPLACE_QUANTITY_FILLED: _said(errors.AMEND_REJECTED, Code.REPLACE_QUANTITY_FILLED),
    Code.PRICE_CAP_REQUIRED: _own(errors.NO_DEPTH),
    Code.NOTIONAL_TOO_SMALL: _filter("NOTIONAL"),
    Code.NOTIONAL_TOO_LARGE: _filter("NOTIONAL"),
    Code.PRICE_OUTSIDE_COLLAR: _filter("PERCENT_PRICE_BY_SIDE"),
    Code.DUPLICATE_CLIENT_ORDER_ID: _own(errors.DUPLICATE),
    Code.ORDER_RATE_EXCEEDED: _own(errors.TOO_MANY_ORDERS),
    Code.OPEN_ORDERS_EXCEEDED: _filter("MAX_NUM_ORDERS"),
    Code.SPECIAL_ORDERS_EXCEEDED: _filter("MAX_NUM_ALGO_ORDERS"),
    Code.POSITION_EXCEEDED: _filter("MAX_POSITION"),
    Code.NO_REFERENCE_PRICE: _said(errors.ORDER_REJECTED, Code.NO_REFERENCE_PRICE),
    Code.TRIGGER_ALREADY_MET: _own(errors.TRIGGER_MET),
    Code.POST_ONLY_WOULD_TAKE: _own(errors.WOULD_TAKE),
    Code.FILL_OR_KILL_UNFILLABLE: _said(errors.UNFILLABLE, Code.FILL_OR_KILL_UNFILLABLE),
    Code.MINIMUM_UNFILLABLE: _said(errors.UNFILLABLE, Code.MINIMUM_UNFILLABLE),
    Code.INSUFFICIENT_FUNDS: _own(errors.INSUFFICIENT),
    # Not recorded, so nothing was entered
    Code.JOURNAL_NO_ROOM: _own(errors.ENGINE_AWAY),
    Code.CORE_NO_ROOM: _own(errors.ENGINE_AWAY),
    Code.MESSAGE_RATE_EXCEEDED: _own(errors.ENGINE_AWAY),
    Code.ENGINE_STOPPING: _own(errors.ENGINE_AWAY),
    Code.EARLIER_REFUSED: _own(errors.ENGINE_AWAY),
    Code.CLUSTER_BEHIND: _own(errors.ENGINE_AWAY),
}


def refusal(code: int, more: dict[str, object] | None = None) -> ApiError:
    """The error to raise for a code with which the core refused a command."""
    problem, text = REFUSALS.get(code, (errors.INTERNAL, errors.INTERNAL.text))
    if code not in CODE_TEXT:
        return ApiError(problem, text, more=more)
    _, must, mend = CODE_TEXT[code]
    later = RETRY_S if problem.status == TOO_MANY else None
    return ApiError(problem, text, detail=must, hint=mend, retry_after=later, more=more)


def filter_failure(name: str) -> ApiError:
    """A parameter that cannot pass the filter of that name."""
    return ApiError(errors.FILTER, f"Filter failure: {name}")
