"""Positions at average cost, exactly: the one rule by which analytics and the gateway count.

`position_lots` is below zero for a short position. `cost_units` is what the open position cost, in units of the quote
asset: lots bought add what was paid, lots sold short subtract what was brought, so that

    average price (ticks) = cost_units / position_lots / quote_units_per_tick_lot          of long and short alike
    unrealised            = position_lots * price_ticks * quote_units_per_tick_lot - cost_units

Lots that reduce a position take their part of the cost with them: share(cost, reduced, held), floored toward zero in
its magnitude. Who closes the last lot takes all that is left, so a closed position has cost 0, and no unit is lost:

    realised_units - cost_units - fees_units = all cash that came less all that went       after every event

A fill that crosses zero is two: the part that closes, with its share of the notional, and the rest that opens.
"""

from __future__ import annotations

from typing import Any

__all__ = ["flow", "share"]


def share(total: int, part: int, whole: int) -> int:
    """total * part / whole, its magnitude floored: what `part` of `whole` (both above zero) takes with it."""
    return total * part // whole if total >= 0 else -(-total * part // whole)


def flow(position: dict[str, Any], lots: int, cash_units: int) -> int:
    """Lots come (above zero) or go, cash comes (above zero) or goes; the profit that this realises.

    position  has position_lots and cost_units, which are changed
    """
    held: int = position["position_lots"]
    cost: int = position["cost_units"]
    if lots == 0:
        return cash_units
    position["position_lots"] = held + lots
    if held == 0 or (held > 0) == (lots > 0):
        position["cost_units"] = cost - cash_units
        return 0
    held_size, size = abs(held), abs(lots)
    if size < held_size:
        released = share(cost, size, held_size)
        position["cost_units"] = cost - released
        return cash_units - released
    closing = share(cash_units, held_size, size)
    position["cost_units"] = closing - cash_units
    return closing - cost
