"""The slow and obvious way: everything from the whole list of events, with fractions and no marks."""

from __future__ import annotations

import collections
import datetime
from collections.abc import Iterable
from typing import Any

Event = dict[str, Any]
SECONDS = {"1s": 1, "1m": 60, "5m": 300, "1h": 3600, "1d": 86400}


def distinct(events: Iterable[Event]) -> list[Event]:
    """Each event once, in order."""
    return [found for _, found in sorted({(e["shard"], e["seq"], e["n"]): e for e in events}.items())]


def toward_zero(numerator: int, denominator: int) -> int:
    """The quotient without its fraction."""
    magnitude = abs(numerator) // abs(denominator)
    return magnitude if (numerator >= 0) == (denominator > 0) else -magnitude


class Book:
    """One account's position in one symbol, lot by lot: every flow is taken apart into what closes and what opens."""

    def __init__(self) -> None:
        self.lots = self.cost = self.realised = self.fees = self.cash = 0
        self.bought = self.sold = self.fills = 0
        self.days: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)

    def fill(self, event: Event) -> int:
        sign = 1 if event["side"] == "buy" else -1
        realised = self.flow(sign * event["quantity_lots"], -sign * event["notional_units"])
        self.fees += event["fee_units"]
        self.cash -= event["fee_units"]
        self.fills += 1
        self.bought += event["quantity_lots"] if sign > 0 else 0
        self.sold += event["quantity_lots"] if sign < 0 else 0
        day = self.days[day_of(event)]
        day["realised_units"] += realised
        day["fees_units"] += event["fee_units"]
        day["fill_count"] += 1
        day["volume_units"] += event["notional_units"]
        day["winning_count"] += realised > 0
        day["losing_count"] += realised < 0
        day["profit_units"] += max(realised, 0)
        day["loss_units"] += max(-realised, 0)
        return realised

    def adjust(self, event: Event) -> None:
        self.days[day_of(event)]["realised_units"] += self.flow(event["position_change_lots"], event["amount_units"])

    def flow(self, lots: int, cash: int) -> int:
        self.cash += cash
        closing = min(abs(lots), abs(self.lots)) if lots * self.lots < 0 else 0
        opening = abs(lots) - closing
        if lots == 0:
            realised = cash
        elif closing == 0:
            self.cost, realised = self.cost - cash, 0
        else:
            cash_of_closing = toward_zero(cash * closing, abs(lots)) if opening else cash
            released = toward_zero(self.cost * closing, abs(self.lots))
            self.cost -= released
            realised = cash_of_closing - released
            if opening:
                assert self.cost == 0
                self.cost = -(cash - cash_of_closing)
        self.lots += lots
        self.realised += realised
        return realised


def day_of(event: Event) -> str:
    """The UTC day of an event."""
    return datetime.datetime.fromtimestamp(event["received_ns"] // 10**9, datetime.UTC).strftime("%Y-%m-%d")


def books(executions: Iterable[Event]) -> dict[tuple[int, str], Book]:
    """All positions."""
    found: dict[tuple[int, str], Book] = collections.defaultdict(Book)
    for event in distinct(executions):
        if event["type"] == "filled":
            found[event["account"], event["symbol"]].fill(event)
        elif event["type"] == "adjustment":
            found[event["account"], event["symbol"]].adjust(event)
    return dict(found)


def account(executions: Iterable[Event], number: int) -> dict[str, int]:
    """The statistics of an account."""
    mine = [event for event in distinct(executions) if event["account"] == number]
    of = collections.defaultdict(list)
    for event in mine:
        of[event["type"]].append(event)
    positions: dict[str, Book] = collections.defaultdict(Book)
    wins = losses = 0
    for event in mine:
        if event["type"] == "filled":
            realised = positions[event["symbol"]].fill(event)
            wins, losses = wins + (realised > 0), losses + (realised < 0)
        elif event["type"] == "adjustment":
            positions[event["symbol"]].adjust(event)
    return {
        "event_count": len(mine),
        "orders_count": len(of["accepted"]),
        "rejected_count": len(of["rejected"]),
        "cancelled_count": len(of["cancelled"]),
        "filled_orders_count": len({(e["shard"], e["order_id"]) for e in of["filled"]}),
        "fill_count": len(of["filled"]),
        "ordered_lots": sum(e["quantity_lots"] for e in of["accepted"]),
        "filled_lots": sum(e["quantity_lots"] for e in of["filled"]),
        "winning_count": wins,
        "losing_count": losses,
        "volume_units": sum(e["notional_units"] for e in of["filled"]),
    }


def candles(trades: Iterable[Event]) -> dict[tuple[str, str, int], dict[str, Any]]:
    """All candles: trades sorted into their intervals."""
    groups: dict[tuple[str, str, int], list[Event]] = collections.defaultdict(list)
    for trade in distinct(trades):
        if trade["type"] != "trade":
            continue
        second = trade["received_ns"] // 10**9
        for interval, length in SECONDS.items():
            groups[trade["symbol"], interval, second // length * length * 10**9].append(trade)
    return {
        key: {
            "open_ticks": group[0]["price_ticks"],
            "high_ticks": max(trade["price_ticks"] for trade in group),
            "low_ticks": min(trade["price_ticks"] for trade in group),
            "close_ticks": group[-1]["price_ticks"],
            "volume_lots": sum(trade["quantity_lots"] for trade in group),
            "notional_units": sum(trade["notional_units"] for trade in group),
            "buy_volume_lots": sum(trade["quantity_lots"] for trade in group if trade["side"] == "buy"),
            "trade_count": len(group),
            "first_trade_id": group[0]["trade_id"],
            "last_trade_id": group[-1]["trade_id"],
        }
        for key, group in groups.items()
    }
