"""The words for rates, floors, busts and payouts: commands, events and questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from schemas.vocabulary import (
    BalanceFloor,
    EventKind,
    FeePayout,
    FeeTier,
    PriceStep,
    Report,
    ReportFlag,
    TradeBust,
    TradeCorrection,
)
from tests.scenarios.language import ScenarioError

if TYPE_CHECKING:
    from tests.scenarios.commands import Words

Command: TypeAlias = BalanceFloor | FeePayout | FeeTier | PriceStep | TradeBust | TradeCorrection

TERMS = {"instrument", "price_ticks", "quantity_lots", "reference"}
MEANING: dict[EventKind, set[str]] = {  # the fields that may be other than zero
    EventKind.TRADE_BUST: TERMS,
    EventKind.TRADE_CORRECTION: TERMS,
    EventKind.ADJUSTMENT: TERMS | {"account", "flags", "remaining_lots", "amount_units"},
}


def command(rest: Words, verb: str) -> Command:
    match verb:
        case "tier":
            return FeeTier(instrument=rest.number(), tier=rest.number())
        case "step":
            where, row = rest.number(), rest.number()
            return PriceStep(
                instrument=where,
                step=row,
                from_price_ticks=rest.option("from"),
                tick_multiple=rest.option("tick"),
                lot_multiple=rest.option("lot"),
            )
        case "floor":
            return BalanceFloor(account=rest.number(), asset=rest.number(), floor_units=rest.number())
        case "bust":
            return TradeBust(trade_id=rest.number(), instrument=rest.option("in", 1))
        case "correct":
            trade, lots, price = rest.number(), rest.number(), rest.price()
            return TradeCorrection(
                trade_id=trade, quantity_lots=lots, price_ticks=price, instrument=rest.option("in", 1)
            )
        case "pay_fees":
            whose, what, units = rest.number(), rest.number(), rest.number()
            return FeePayout(account=whose, asset=what, amount_units=units, reference=rest.option("reference"))
        case _:
            raise ScenarioError(f"a command is needed, found {verb!r}")


def in_words(report: Report, whose: str) -> str:
    lots = f"{report.quantity_lots} @ {report.price_ticks}"
    if report.kind == EventKind.TRADE_BUST:
        return f"busted {report.reference} {lots}"
    if report.kind == EventKind.TRADE_CORRECTION:
        return f"corrected {report.reference} {lots}"
    side = "sell" if report.flags & ReportFlag.SELL else "buy"
    return f"adjusted {whose} {side} {lots} lots {report.remaining_lots:+} units {report.amount_units:+}"
