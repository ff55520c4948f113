"""How everybody stood at a moment of the past: as they stand now, less all that came since. Pure, and exact.

    position   lots now - lots since          realised   now - what the days since realised
    money      now - amounts since            cost       now - (realised since - cash since, fees apart)

The last is what average cost keeps: realised - cost - fees = all cash that came less all that went (average_cost.py).
Fees held are what came and did not go, and that no account has.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from functions.reporting.rows import Books, CashTotal, FeeTotal, Holding, Instrument, Position, Realised

__all__ = ["stood"]

Row = Mapping[str, Any]


def stood(
    positions: Sequence[Position],
    holdings: Sequence[Holding],
    instruments: Mapping[str, Instrument],
    *,
    flows: Iterable[Row],
    cash_flows: Iterable[Row],
    days: Iterable[Row],
    cash: Sequence[CashTotal],
    realised: Sequence[Realised],
) -> Books:
    """The books of a moment.

    positions, holdings          as they stand now
    flows, cash_flows, days      all that came since, summed up
    cash, realised               all that came before, summed up
    """
    lots: collections.Counter[tuple[int, str]] = collections.Counter()
    units: collections.Counter[tuple[int, str]] = collections.Counter()
    fees: collections.Counter[tuple[int, str]] = collections.Counter()
    money: collections.Counter[tuple[int, int, str]] = collections.Counter()
    since: collections.Counter[tuple[int, str]] = collections.Counter()
    for row in flows:
        key, instrument = (row["account"], row["symbol"]), instruments[row["symbol"]]
        lots[key] += row["lots"]
        units[key] += row["cash_units"]
        fees[key] += row["fees_units"]
        money[row["shard"], row["account"], instrument.base] += row["known_lots"] * instrument.base_units_per_lot
        money[row["shard"], row["account"], instrument.quote] += row["known_units"]
    for row in cash_flows:
        money[row["shard"], row["account"], row["asset"]] += row["units"]
    for row in days:
        since[row["account"], row["symbol"]] += row["realised_units"]
    held = [one._replace(total_units=one.total_units - money[one[:3]]) for one in holdings]
    return Books(
        positions=tuple(filter(_is_any, (_position(one, lots, units, fees, since) for one in positions))),
        holdings=tuple(one for one in held if one.total_units),
        cash=tuple(cash),
        fees=tuple(_fees(cash, held)),
        realised=tuple(realised),
    )


def _position(
    now: Position,
    lots: Mapping[tuple[int, str], int],
    units: Mapping[tuple[int, str], int],
    fees: Mapping[tuple[int, str], int],
    since: Mapping[tuple[int, str], int],
) -> Position:
    key = now.account, now.symbol
    return now._replace(
        position_lots=now.position_lots - lots[key],
        cost_units=now.cost_units - (since[key] - units[key]),
        realised_units=now.realised_units - since[key],
        fees_units=now.fees_units - fees[key],
    )


def _is_any(one: Position) -> bool:
    return any((one.position_lots, one.cost_units, one.realised_units, one.fees_units))


def _fees(cash: Sequence[CashTotal], holdings: Sequence[Holding]) -> Iterable[FeeTotal]:
    units: collections.Counter[tuple[int, str]] = collections.Counter()
    for total in cash:
        units[total.shard, total.asset] += total.deposits_units - total.withdrawals_units
    for one in holdings:
        units[one.shard, one.asset] -= one.total_units
    return (FeeTotal(*place, units[place]) for place in sorted(units) if units[place])
