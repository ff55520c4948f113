"""Which order the canary places, and which answers it believes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.canary.errors import AnswerWrong
from functions.canary.order import Order, check, leftovers, plan


def info(**changes: Any) -> dict[str, Any]:
    values = {"tick": "0.01", "lot": "0.0001", "least": "0.0001", "notional": "10", "status": "TRADING"} | changes
    return {
        "symbols": [
            {
                "symbol": "BTCUSD",
                "status": values["status"],
                "filters": [
                    {"filterType": "PRICE_FILTER", "tickSize": values["tick"]},
                    {"filterType": "LOT_SIZE", "stepSize": values["lot"], "minQty": values["least"]},
                    {"filterType": "NOTIONAL", "minNotional": values["notional"]},
                ],
            }
        ]
    }


def test_it_stays_away_from_the_market_and_is_as_small_as_is_allowed() -> None:
    order = plan(info(), ["60000.00", "60001.00", "59000"], "BTCUSD", "canary-1", 100_000)
    assert (order.price, order.quantity) == ("54000.00", "0.0002")
    assert order.parameters()["type"] == "LIMIT_MAKER"
    assert plan(info(), ["0", None, "59000"], "BTCUSD", "canary-1", 100_000).price == "53100.00"
    assert plan(info(tick="5"), ["4"], "BTCUSD", "canary-1", 500_000).price == "5"


texts = st.integers(1, 10**9).map(lambda units: format(Decimal(units).scaleb(-4), "f"))


@given(price=texts, tick=texts, lot=texts, notional=texts, away=st.integers(1, 999_999))
def test_what_it_places_stands_on_the_grids_and_reaches_the_least_notional(price, tick, lot, notional, away) -> None:
    order = plan(info(tick=tick, lot=lot, least=lot, notional=notional), [price], "BTCUSD", "canary-1", away)
    assert Decimal(order.price) % Decimal(tick) == 0
    assert Decimal(order.quantity) % Decimal(lot) == 0
    assert Decimal(order.price) * Decimal(order.quantity) >= Decimal(notional)
    assert 0 < Decimal(order.price) <= max(Decimal(price), Decimal(tick))
    less = Decimal(order.quantity) - Decimal(lot)
    assert less == 0 or less * Decimal(order.price) < Decimal(notional), "no more than it must be"


@pytest.mark.parametrize(
    ("given_info", "prices", "says"),
    [
        (info(status="BREAK"), ["1"], "must be TRADING, is BREAK"),
        (info(), [None, "0"], "must have a bid, an ask or a last price"),
        (info(), ["much"], "prices must be decimals"),
        ({"symbols": []}, ["1"], "must have the symbol"),
        ([], ["1"], "must have the symbol"),
    ],
)
def test_a_market_that_gives_no_order_is_told(given_info: Any, prices: list[str], says: str) -> None:
    with pytest.raises(AnswerWrong, match=says):
        plan(given_info, prices, "BTCUSD", "canary-1", 1000)


def test_only_its_own_orders_are_leftovers() -> None:
    orders = [{"symbol": "BTCUSD", "clientOrderId": name} for name in ("canary-a", "mine")]
    assert leftovers(orders) == [("BTCUSD", "canary-a")]
    with pytest.raises(AnswerWrong):
        leftovers({"code": -1})


ORDER = Order(symbol="BTCUSD", client_order_id="canary-1", price="54000.00", quantity="0.0002")
GOOD = {
    "symbol": "BTCUSD", "status": "NEW", "side": "BUY", "clientOrderId": "canary-1",
    "price": "54000.00000000", "origQty": "0.00020000", "executedQty": "0.00000000",
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_that_differs_anywhere_is_not_believed(name: str) -> None:
    check(GOOD, ORDER, "NEW", "POST")
    for value in ("other", None, "1"):
        with pytest.raises(AnswerWrong, match=f"{name} must be"):
            check({**GOOD, name: value}, ORDER, "NEW", "POST")
    for value in (json.loads("[]"), None, "text"):
        with pytest.raises(AnswerWrong):
            check(value, ORDER, "NEW", "POST")
