"""Which order the canary places, and what the answers to it must say. Pure.

best bid 60,000 · away 10 %  ──▶ buy at 54,000.00, rounded down to the tick, post-only: it can only rest
least quantity, least notional ──▶ the least quantity that both allow, rounded up to the lot
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any, Final

from functions.canary.errors import AnswerWrong

__all__ = ["PREFIX", "Order", "check", "leftovers", "plan"]

PREFIX: Final = "canary-"  # of the client order ids, by which an order that was left behind is known again
PPM: Final = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A resting buy order. price, quantity: decimal texts, on the symbol's grids."""

    symbol: str
    client_order_id: str
    price: str
    quantity: str

    def parameters(self) -> dict[str, str]:
        """Of POST /api/v3/order."""
        return {
            "symbol": self.symbol,
            "side": "BUY",
            "type": "LIMIT_MAKER",
            "price": self.price,
            "quantity": self.quantity,
            "newClientOrderId": self.client_order_id,
            "newOrderRespType": "RESULT",
        }


def plan(info: Any, prices: Sequence[object], symbol: str, client_order_id: str, away_ppm: int) -> Order:
    """The order to place.

    info    answer of /api/v3/exchangeInfo
    prices  decimal texts, the first above zero counts: best bid, best ask, last price
    Raises AnswerWrong where the symbol does not trade, has no price, or an answer is not what it must be.
    """
    where = f"symbol {symbol}"
    try:
        [found] = [one for one in info["symbols"] if one["symbol"] == symbol]
        filters = {one["filterType"]: one for one in found["filters"]}
        tick, lot = Decimal(filters["PRICE_FILTER"]["tickSize"]), Decimal(filters["LOT_SIZE"]["stepSize"])
        least_quantity = Decimal(filters["LOT_SIZE"]["minQty"])
        least_notional = Decimal(filters.get("NOTIONAL", {}).get("minNotional", "0"))
        status = found["status"]
        known = [price for price in (Decimal(str(one)) for one in prices if one) if price > 0]
        if not all(one.is_finite() and one > 0 for one in (tick, lot, *known)):
            raise ValueError("a grid or a price is no number above zero")
    except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
        raise AnswerWrong(
            f"exchangeInfo must have the symbol with its filters, and prices must be decimals: {error!r}",
            detail=where, hint="IRONBOOK_FUNCTION_SYMBOL must be a symbol of the gateway, such as BTCUSD",
        ) from None  # fmt: skip
    if status != "TRADING":
        raise AnswerWrong(f"the symbol must be TRADING, is {status}", detail=where, hint="resume it, or wait")
    if not known:
        raise AnswerWrong(
            "the symbol must have a bid, an ask or a last price, has none", detail=where,
            hint="a market without a single price has nothing to stay away from: choose another symbol",
        )  # fmt: skip
    price = max(_grid(known[0] * (PPM - away_ppm) / PPM, tick, ROUND_FLOOR), tick)
    quantity = max(least_quantity, _grid(least_notional / price, lot, ROUND_CEILING))
    return Order(
        symbol=symbol, client_order_id=client_order_id, price=format(price, "f"), quantity=format(quantity, "f")
    )


def _grid(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    return int((value / step).to_integral_value(rounding)) * step  # of int, or digits behind the point may be lost


def leftovers(open_orders: Any) -> list[tuple[str, str]]:
    """Symbol and client order id of orders that an earlier call left behind. Raises AnswerWrong."""
    try:
        found = [(str(one["symbol"]), str(one["clientOrderId"])) for one in open_orders]
    except (KeyError, TypeError):
        raise AnswerWrong("open orders must be a list of orders", detail="/api/v3/openOrders") from None
    return [(symbol, name) for symbol, name in found if name.startswith(PREFIX)]


def check(answer: Any, order: Order, status: str, where: str) -> None:
    """An answer about the order must be about it, of this status, and nothing of it filled. Raises AnswerWrong."""
    must = {"symbol": order.symbol, "status": status, "side": "BUY"}
    found = answer if isinstance(answer, dict) else {}
    wrong = [
        f"{name} must be {value}, was {found.get(name)!r}" for name, value in must.items() if found.get(name) != value
    ]
    names = (found.get("clientOrderId"), found.get("origClientOrderId"))
    if order.client_order_id not in names:
        wrong.append(f"clientOrderId must be {order.client_order_id}, was {names[0]!r}")
    for name, value, text in (
        ("price", Decimal(order.price), order.price),
        ("origQty", Decimal(order.quantity), order.quantity),
        ("executedQty", Decimal(0), "0"),
    ):
        try:
            holds = Decimal(str(found.get(name))) == value
        except InvalidOperation:
            holds = False
        if not holds:
            wrong.append(f"{name} must be {text}, was {found.get(name)!r}")
    if wrong:
        raise AnswerWrong(
            "; ".join(wrong)[:600], detail=where, hint="compare the gateway's answer with ironbook journal show"
        )
