"""One round of the canary: place, look, cancel, look; and nothing left behind.

leftovers cancelled ─▶ plan ─▶ POST ─▶ GET: NEW ─▶ DELETE ─▶ GET: CANCELED
                                └── whatever fails from here on: DELETE once more, then the error
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final, Protocol

from functions.canary.errors import AnswerWrong, GatewayRefused
from functions.canary.order import PREFIX, check, leftovers, plan
from functions.common.errors import FunctionError

__all__ = ["Line", "run"]

ORDER: Final = "/api/v3/order"


class Line(Protocol):
    """The gateway."""

    def get(self, path: str, **parameters: str) -> Any: ...

    def signed(self, method: str, path: str, **parameters: str) -> Any: ...


def run(line: Line, symbol: str, away_ppm: int, name: str, clock_ns: Callable[[], int]) -> dict[str, Any]:
    """Say how long the gateway took to place and to cancel, in microseconds. Raises FunctionError.

    name      of this order, which no other call has
    clock_ns  a clock that only measures
    """
    left = leftovers(line.signed("GET", "/api/v3/openOrders"))  # of every symbol: an event may have named another one
    for where, one in left:
        with contextlib.suppress(GatewayRefused):  # gone meanwhile
            line.signed("DELETE", ORDER, symbol=where, origClientOrderId=one)
    prices = _prices(line, "/api/v3/ticker/bookTicker", symbol, "bidPrice", "askPrice")
    with contextlib.suppress(GatewayRefused):  # nothing traded yet
        prices += _prices(line, "/api/v3/ticker/price", symbol, "price")
    order = plan(line.get("/api/v3/exchangeInfo", symbol=symbol), prices, symbol, PREFIX + name, away_ppm)
    named = {"symbol": symbol, "origClientOrderId": order.client_order_id}
    began_ns = clock_ns()
    try:
        placed = line.signed("POST", ORDER, **order.parameters())
        placed_ns = clock_ns()
        check(placed, order, "NEW", f"POST {ORDER}")
        check(line.signed("GET", ORDER, **named), order, "NEW", f"GET {ORDER}")
        asked_ns = clock_ns()
        cancelled = line.signed("DELETE", ORDER, **named)
        cancelled_ns = clock_ns()
    except FunctionError:
        with contextlib.suppress(FunctionError):  # what cannot be cancelled now is a leftover of the next call
            line.signed("DELETE", ORDER, **named)
        raise
    check(cancelled, order, "CANCELED", f"DELETE {ORDER}")
    check(line.signed("GET", ORDER, **named), order, "CANCELED", f"GET {ORDER}")
    return {
        "symbol": symbol,
        "client_order_id": order.client_order_id,
        "price": order.price,
        "quantity": order.quantity,
        "order_us": (placed_ns - began_ns) // 1000,
        "cancel_us": (cancelled_ns - asked_ns) // 1000,
        "leftovers": [one for _, one in left],
    }


def _prices(line: Line, path: str, symbol: str, *names: str) -> list[object]:
    """Raises FunctionError."""
    found = line.get(path, symbol=symbol)
    if not isinstance(found, dict):
        raise AnswerWrong(f"an answer must be an object, was a {type(found).__name__}", detail=f"GET {path}")
    return [found.get(name) for name in names]
