"""Best execution: what orders paid against the market when they came and against the VWAPs, and how long it took.

Costs are above zero, gains below. Of an order that bought B lots for P units of the quote asset:

    arrival   P - B x mid     mid: half of best bid plus best ask just before it entered; without them (no file of
                              arrivals, an empty side) the last trade before it on that day; without one not measured
    interval  P - B x VWAP    of all prints from its arrival to its end, its own among them
    day       P - B x VWAP    of all prints of the day

and of one that sold the opposite. An order counts in its day: fills of one that was entered earlier are in the volumes
and the day's VWAP only. A stop order is measured from its trigger on. Everything is whole numbers: arrival costs are
kept in half units (a mid may lie between two ticks), interval costs are rounded to a unit for each order.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from functions.reporting.market import Market, rounded
from functions.reporting.sketch import Sketch, add

__all__ = ["EDGES_PPM", "Group", "Orders", "Quality", "Spread", "ppm"]

Row = Mapping[str, Any]

ORDERS_TRACKED_MAX = 400_000  # open at one time; of more, the newest are counted and not measured
EDGES_PPM = (-10_000, -5_000, -2_000, -1_000, -500, -200, -100, -50, -20, -10, 0,
             10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)  # fmt: skip
MID, TRADE, NONE = range(3)
COUNTS = (
    "orders", "filled_orders", "full_orders", "cancelled_orders", "immediate_orders", "ordered_lots", "filled_lots",
    "filled_units", "maker_lots", "maker_units", "maker_fee_units", "taker_fee_units", "fills", "carried_fills",
    "mid_orders", "trade_orders", "unmeasured_orders", "arrival_cost_halves", "arrival_halves", "interval_cost_units",
    "interval_units", "buy_lots", "buy_units", "sell_lots", "sell_units",
)  # fmt: skip


def ppm(cost: int, of: int) -> int | None:
    """cost / of in millionths, rounded; None of nothing."""
    return rounded(cost * 1_000_000, of) if of > 0 else None


class Quality:
    """What is counted of the orders of one account, symbol and order type."""

    __slots__ = ("account", "market", "order_type", "of_account", "of_kind", *COUNTS)
    orders: int
    filled_orders: int
    full_orders: int
    cancelled_orders: int
    immediate_orders: int
    ordered_lots: int
    filled_lots: int
    filled_units: int
    maker_lots: int
    maker_units: int
    maker_fee_units: int
    taker_fee_units: int
    fills: int
    carried_fills: int
    mid_orders: int
    trade_orders: int
    unmeasured_orders: int
    arrival_cost_halves: int
    arrival_halves: int
    interval_cost_units: int
    interval_units: int
    buy_lots: int
    buy_units: int
    sell_lots: int
    sell_units: int

    def __init__(self, account: int, order_type: str, market: Market, of_account: Spread, of_kind: Spread) -> None:
        self.account, self.order_type, self.market = account, order_type, market
        self.of_account, self.of_kind = of_account, of_kind
        for name in COUNTS:
            setattr(self, name, 0)


class Spread:
    """How the orders of one group are spread: cost against arrival, time to the first fill and to the end."""

    __slots__ = ("arrival_ppm", "done_ns", "first_fill_ns")

    def __init__(self) -> None:
        self.arrival_ppm, self.first_fill_ns, self.done_ns = Sketch(), Sketch(), Sketch()

    def merge(self, other: Spread) -> None:
        """The orders of another group too."""
        self.arrival_ppm.merge(other.arrival_ppm)
        self.first_fill_ns.merge(other.first_fill_ns)
        self.done_ns.merge(other.done_ns)


class _Order:
    """One that is open."""

    __slots__ = (
        "arrival_ticks2",
        "entered_ns",
        "first_ns",
        "lots",
        "market_lots",
        "market_units",
        "quality",
        "sign",
        "source",
        "units",
    )  # fmt: skip

    def __init__(self, quality: Quality, sign: int) -> None:
        self.quality, self.sign = quality, sign
        self.lots = self.units = self.entered_ns = self.first_ns = 0
        self.market_lots = self.market_units = self.arrival_ticks2 = 0
        self.source = NONE

    def arrive(self, time_ns: int, bid_ticks: int | None, ask_ticks: int | None) -> None:
        """It comes, and finds the market so."""
        market = self.quality.market
        self.entered_ns, self.market_lots, self.market_units = time_ns, market.lots, market.units
        if bid_ticks is not None and ask_ticks is not None:
            self.source, self.arrival_ticks2 = MID, bid_ticks + ask_ticks
        elif market.last_ticks:
            self.source, self.arrival_ticks2 = TRADE, 2 * market.last_ticks
        else:
            self.source, self.arrival_ticks2 = NONE, 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The orders of an account, a symbol or an order type, as far as they are paid in one asset."""

    name: str
    quote: str
    quote_decimals: int
    counts: Mapping[str, int]  # of COUNTS; ordered_lots and the like only mean something within one symbol
    day_cost_units: int
    day_units: int
    spread: Spread

    def ppm(self, which: str) -> int | None:
        """Cost against arrival, interval or day, in millionths of what it is measured against."""
        counts = self.counts
        if which == "arrival":
            return ppm(counts["arrival_cost_halves"], counts["arrival_halves"])
        if which == "interval":
            return ppm(counts["interval_cost_units"], counts["interval_units"])
        return ppm(self.day_cost_units, self.day_units)

    def cost_units(self, which: str) -> int:
        """The same in units of the quote asset."""
        if which == "arrival":
            return rounded(self.counts["arrival_cost_halves"], 2)
        return self.counts["interval_cost_units"] if which == "interval" else self.day_cost_units


class Orders:
    """The orders of the day, from their reports in order."""

    def __init__(self) -> None:
        self.qualities: dict[tuple[int, str, str], Quality] = {}
        self._of_account: dict[tuple[int, str], Spread] = {}  # account, quote
        self._of_kind: dict[tuple[str, str], Spread] = {}  # symbol, order type
        self.histogram = [0] * (len(EDGES_PPM) + 1)  # orders by cost against arrival
        self.untracked_count = 0
        self.first: dict[int, int] = {}  # by shard: the day's first record; orders from it on were accepted on the day
        self._open: dict[int, dict[int, _Order]] = {}

    def accepted(self, row: Row, market: Market, bid_ticks: int | None, ask_ticks: int | None) -> None:
        """An order is entered."""
        quality = self._quality(row["account"], row["order_type"], market)
        quality.orders += 1
        quality.ordered_lots += row["quantity_lots"] or 0
        orders = self._open.setdefault(row["shard"], {})
        if len(orders) >= ORDERS_TRACKED_MAX:
            self.untracked_count += 1
            return
        order = orders[row["order_id"]] = _Order(quality, 1 if row["side"] == "buy" else -1)
        order.arrive(row["received_ns"], bid_ticks, ask_ticks)

    def filled(self, row: Row, market: Market) -> None:
        """A fill of it; before the market knows of the print, or after, is all the same to it."""
        orders = self._open.get(row["shard"])
        order = orders.get(row["order_id"]) if orders else None
        quality = order.quality if order is not None else self._quality(row["account"], "entered before", market)
        lots, units, fee = row["quantity_lots"], row["notional_units"], row["fee_units"]
        quality.fills += 1
        quality.filled_lots += lots
        quality.filled_units += units
        if row["maker"]:
            quality.maker_lots += lots
            quality.maker_units += units
            quality.maker_fee_units += fee
        else:
            quality.taker_fee_units += fee
        if row["side"] == "buy":
            quality.buy_lots += lots
            quality.buy_units += units
        else:
            quality.sell_lots += lots
            quality.sell_units += units
        if order is None or orders is None:
            quality.carried_fills += 1
            self._must_be_known(row, market)
            return
        if order.lots == 0:
            self._first_fill(order, row["received_ns"])
        order.lots += lots
        order.units += units
        if row["done"]:
            quality.full_orders += 1
            self._end(row, orders)

    def ended(self, row: Row, market: Market) -> None:
        """It is cancelled, in part (done is false) or all that was left."""
        orders = self._open.get(row["shard"])
        if not orders or row["order_id"] not in orders:
            self._must_be_known(row, market)
        elif row["done"]:
            orders[row["order_id"]].quality.cancelled_orders += 1
            self._end(row, orders)

    def _must_be_known(self, row: Row, market: Market) -> None:
        """A report of an order that is not open can only be of one that was entered before the day."""
        if row["order_id"] >= self.first.get(row["shard"], row["order_id"] + 1) and not self.untracked_count:
            market.fault(row, f"order {row['order_id']} must have been accepted and be open when it is {row['type']}")

    def triggered(self, row: Row) -> None:
        """A stop order enters the book: from here on it is measured."""
        order = self._open.get(row["shard"], {}).get(row["order_id"])
        if order is not None and order.lots == 0:
            order.arrive(row["received_ns"], None, None)

    def close(self) -> None:
        """The day is over: orders that are still open are measured as far as they are filled."""
        for orders in self._open.values():
            for order in orders.values():
                self._measure(order)
        self._open = {}

    def _quality(self, account: int, order_type: str, market: Market) -> Quality:
        key = account, market.instrument.symbol, order_type
        quality = self.qualities.get(key)
        if quality is None:
            symbol, quote = market.instrument.symbol, market.instrument.quote
            quality = self.qualities[key] = Quality(
                account,
                order_type,
                market,
                self._of_account.setdefault((account, quote), Spread()),
                self._of_kind.setdefault((symbol, order_type), Spread()),
            )
        return quality

    def _first_fill(self, order: _Order, time_ns: int) -> None:
        quality = order.quality
        order.first_ns = time_ns
        quality.filled_orders += 1
        if time_ns == order.entered_ns:
            quality.immediate_orders += 1
        took_ns = time_ns - order.entered_ns
        add(took_ns, quality.of_account.first_fill_ns, quality.of_kind.first_fill_ns)

    def _end(self, row: Row, orders: dict[int, _Order]) -> None:
        order = orders.pop(row["order_id"])
        if order.lots:
            took_ns = row["received_ns"] - order.entered_ns
            add(took_ns, order.quality.of_account.done_ns, order.quality.of_kind.done_ns)
            self._measure(order)

    def _measure(self, order: _Order) -> None:
        if order.lots == 0:
            return
        quality, market = order.quality, order.quality.market
        lots, units = market.lots - order.market_lots, market.units - order.market_units
        if lots > 0:
            due = rounded(order.lots * units, lots)
            quality.interval_units += due
            quality.interval_cost_units += order.sign * (order.units - due)
        if order.source == NONE:
            quality.unmeasured_orders += 1
            return
        if order.source == MID:
            quality.mid_orders += 1
        else:
            quality.trade_orders += 1
        due = order.lots * order.arrival_ticks2 * market.instrument.quote_units_per_tick_lot
        cost = order.sign * (2 * order.units - due)
        quality.arrival_halves += due
        quality.arrival_cost_halves += cost
        if (paid := ppm(cost, due)) is not None:
            self.histogram[bisect.bisect_left(EDGES_PPM, paid)] += 1
            add(paid, quality.of_account.arrival_ppm, quality.of_kind.arrival_ppm)

    def overall(self) -> Spread:
        """All orders."""
        return merged(self._of_kind.values())

    # ---- what came of it ---------------------------------------------------------------------------------------------

    def groups(self, kind: str) -> list[Group]:
        """By account, symbol or type: each with what it pays in."""
        parts: dict[tuple[str | int, str], list[Quality]] = {}
        for quality in self.qualities.values():
            instrument = quality.market.instrument
            name: str | int = quality.account
            if kind != "account":
                name = instrument.symbol if kind == "symbol" else quality.order_type
            parts.setdefault((name, instrument.quote), []).append(quality)
        return [self._group(kind, name, quote, parts[name, quote]) for name, quote in sorted(parts, key=_by_name)]

    def _group(self, kind: str, name: str | int, quote: str, qualities: list[Quality]) -> Group:
        counts = {count: sum(getattr(quality, count) for quality in qualities) for count in COUNTS}
        costs = [day_cost(quality) for quality in qualities]
        kept = [quality.of_account if kind == "account" else quality.of_kind for quality in qualities]
        spreads = {id(spread): spread for spread in kept}  # each once: several qualities share one
        return Group(
            name=str(name),
            quote=quote,
            quote_decimals=qualities[0].market.instrument.quote_decimals,
            counts=counts,
            day_cost_units=sum(cost for cost, _ in costs),
            day_units=sum(of for _, of in costs),
            spread=merged(spreads.values()),
        )


def merged(spreads: Iterable[Spread]) -> Spread:
    """All of them as one."""
    found = Spread()
    for spread in spreads:
        found.merge(spread)
    return found


def _by_name(key: tuple[str | int, str]) -> tuple[int, str, str]:
    name, quote = key
    return (name, "", quote) if isinstance(name, int) else (0, name, quote)


def day_cost(quality: Quality) -> tuple[int, int]:
    """(cost against the day's VWAP, what the VWAP makes of it), units of the quote asset."""
    market = quality.market
    if market.lots == 0:
        return 0, 0
    bought = rounded(quality.buy_lots * market.units, market.lots)
    sold = rounded(quality.sell_lots * market.units, market.lots)
    return quality.buy_units - bought + sold - quality.sell_units, bought + sold
