"""Best execution the slow and obvious way: lists of everything, fractions, no state that is kept while reading."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

Row = Mapping[str, Any]
Best = Mapping[int, tuple[int | None, int | None]]
Key = tuple[int, str, str]  # account, symbol, order type


def nearest(value: Fraction) -> int:
    """The nearest whole number, halves away from zero."""
    whole = int(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


def prints(executions: Sequence[Row]) -> dict[str, list[Row]]:
    """Each trade once, in order: its first fill."""
    found: dict[str, dict[int, Row]] = collections.defaultdict(dict)
    for row in executions:
        if row["type"] == "filled":
            found[row["symbol"]].setdefault(row["trade_id"], row)
    return {symbol: list(trades.values()) for symbol, trades in found.items()}


def orders(executions: Sequence[Row], best: Best | None, worth: Mapping[str, int]) -> dict[int, dict[str, Any]]:
    """What became of each order that was entered among these rows. worth: units of a tick and lot, by symbol."""
    traded, found = prints(executions), {}
    at = {id(row): index for index, row in enumerate(executions)}
    for index, entered in enumerate(executions):
        if entered["type"] != "accepted":
            continue
        mine = [row for row in executions if row["order_id"] == entered["order_id"]]
        begun, arrival = index, (best or {}).get(entered["seq"], (None, None))
        for row in mine:
            if row["type"] == "triggered" and not any(r["type"] == "filled" and at[id(r)] < at[id(row)] for r in mine):
                begun, arrival = at[id(row)], (None, None)
        fills = [row for row in mine if row["type"] == "filled"]
        ends = [row for row in mine if row["type"] in ("filled", "cancelled") and row["done"]]
        end = at[id(ends[-1])] if ends else len(executions)
        market = traded.get(entered["symbol"], [])
        before = [row for row in market if at[id(row)] < begun]
        meanwhile = [row for row in market if begun <= at[id(row)] <= end]
        price = None
        if None not in arrival:
            price = Fraction(arrival[0] + arrival[1], 2)  # type: ignore[operator]
        elif before:
            price = Fraction(before[-1]["price_ticks"])
        found[entered["order_id"]] = {
            "key": (entered["account"], entered["symbol"], entered["order_type"]),
            "sign": 1 if entered["side"] == "buy" else -1,
            "lots": sum(row["quantity_lots"] for row in fills),
            "units": sum(row["notional_units"] for row in fills),
            "arrival_units": None if price is None else price * worth[entered["symbol"]],
            "vwap": Fraction(
                sum(row["notional_units"] for row in meanwhile), sum(row["quantity_lots"] for row in meanwhile) or 1
            ),
            "first_ns": fills[0]["received_ns"] - executions[begun]["received_ns"] if fills else None,
            "done_ns": ends[-1]["received_ns"] - executions[begun]["received_ns"] if fills and ends else None,
        }
    return found


def costs(executions: Sequence[Row], best: Best | None, worth: Mapping[str, int]) -> dict[Key, dict[str, int]]:
    """By account, symbol and order type: cost and what it is measured against, arrival in half units."""
    sums: dict[Key, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for order in orders(executions, best, worth).values():
        of = sums[order["key"]]
        of["orders"] += 1
        if not order["lots"]:
            continue
        of["filled_orders"] += 1
        due = nearest(order["vwap"] * order["lots"])
        of["interval_units"] += due
        of["interval_cost_units"] += order["sign"] * (order["units"] - due)
        if order["arrival_units"] is not None:
            halves = int(2 * order["lots"] * order["arrival_units"])
            of["arrival_halves"] += halves
            of["arrival_cost_halves"] += order["sign"] * (2 * order["units"] - halves)
    return {key: dict(of) for key, of in sums.items()}
