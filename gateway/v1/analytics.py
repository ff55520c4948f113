"""/api/v1/analytics: how an account did: win rate, profit factor, drawdown, by instrument and by day."""

from __future__ import annotations

import collections
import datetime
from collections.abc import Iterable
from typing import Any, Final

from gateway import errors
from gateway.routing import Access, Call, Route
from gateway.symbols import Asset
from gateway.v1 import shapes
from gateway.v1.account import day_of, find_asset
from gateway.v1.holdings import Day, days, holdings
from gateway.v1.models import Analytics, AnalyticsQuery, DailyResult, DailyResults, SymbolPerformance

__all__ = ["ROUTES", "curve", "performance"]

RATIO_DIGITS: Final = 6
STATISTICS: Final = """
SELECT orders_count, rejected_count, cancelled_count, filled_orders_count, ordered_lots, filled_lots
FROM trade_statistics WHERE account = $1"""


async def _days(call: Call) -> tuple[Asset, list[Day]]:
    """The asset that the answer is in, and the days with fills of its instruments, newest first."""
    gateway, asked = call.gateway, call.parameters
    account = shapes.account_of(call)
    number = None if asked.symbol is None else gateway.mirror.instrument(asked.symbol).number
    of_symbol = None if number is None else gateway.mirror.instruments[number].quote.name
    asset = find_asset(gateway, asked.asset or of_symbol)
    held = await holdings(gateway, account)
    found = await days(gateway, account, held, day_of(asked.from_day), day_of(asked.to_day))
    wanted = [
        one
        for one in found
        if one.instrument.quote.number == asset.number and number in (None, one.instrument.number)
        if one.fill_count or one.realised_units or one.fees_units
    ]
    return asset, wanted


async def analytics(call: Call) -> Analytics:
    """Win rate, profit factor, drawdown, by instrument.

    Closing fills count by their profit before fees. Amounts are in one quote asset, of the instruments that have it.
    """
    asset, found = await _days(call)
    by_symbol: dict[str, list[Day]] = collections.defaultdict(list)
    for day in found:
        by_symbol[day.instrument.symbol].append(day)
    drawdowns = [drawdown for *_, drawdown in curve(found)]
    return Analytics(
        asset=asset.name,
        max_drawdown=asset.text(max(drawdowns, default=0)),
        by_symbol=[
            SymbolPerformance(symbol=symbol, **performance(asset, of_symbol))
            for symbol, of_symbol in sorted(by_symbol.items())
        ],
        **performance(asset, found),
        **await _counts(call),
    )


async def _counts(call: Call) -> dict[str, Any]:
    """Counts of the account's orders, as far as the database is; none without one."""
    history = call.gateway.history
    if history is None:
        return dict.fromkeys(("orders", "rejected", "cancelled", "filled_orders", "fill_ratio"))
    found = await history.rows(STATISTICS, shapes.account_of(call))
    counts = collections.Counter(dict(found[0]) if found else {})
    return {
        "orders": counts["orders_count"],
        "rejected": counts["rejected_count"],
        "cancelled": counts["cancelled_count"],
        "filled_orders": counts["filled_orders_count"],
        "fill_ratio": shapes.ratio_text(int(counts["filled_lots"]), int(counts["ordered_lots"]), RATIO_DIGITS),
    }


def performance(asset: Asset, found: Iterable[Day]) -> dict[str, Any]:
    """The fields of Performance, over some days."""
    sums: collections.Counter[str] = collections.Counter()
    for day in found:
        for name in SUMMED:
            sums[name] += getattr(day, name)
    won, lost, winners, losers = (sums[name] for name in SUMMED[:4])
    return {
        "trades": sums["fill_count"],
        "winners": winners,
        "losers": losers,
        "win_rate": shapes.ratio_text(winners, winners + losers, RATIO_DIGITS),
        "profit_factor": shapes.ratio_text(won, lost, RATIO_DIGITS),
        "gross_profit": asset.text(won),
        "gross_loss": asset.text(lost),
        "average_win": shapes.ratio_text(won, winners * 10**asset.decimals, asset.decimals),
        "average_loss": shapes.ratio_text(lost, losers * 10**asset.decimals, asset.decimals),
        "realised": asset.text(sums["realised_units"]),
        "fees": asset.text(sums["fees_units"]),
        "net": asset.text(sums["realised_units"] - sums["fees_units"]),
        "volume": asset.text(sums["volume_units"]),
    }


SUMMED: Final = (
    "profit_units",
    "loss_units",
    "winning_count",
    "losing_count",
    "fill_count",
    "realised_units",
    "fees_units",
    "volume_units",
)


def curve(found: Iterable[Day]) -> list[tuple[datetime.date, int, int, int, int]]:
    """Oldest first: (day, realised, fees, cumulative net, how far that is below its highest so far), in units.

    The curve begins at 0: who only loses has a drawdown from the first day on.
    """
    sums: dict[datetime.date, list[int]] = collections.defaultdict(lambda: [0, 0])
    for day in found:
        sums[day.day][0] += day.realised_units
        sums[day.day][1] += day.fees_units
    made, cumulative, highest = [], 0, 0
    for name in sorted(sums):
        realised, fees = sums[name]
        cumulative += realised - fees
        highest = max(highest, cumulative)
        made.append((name, realised, fees, cumulative, highest - cumulative))
    return made


async def daily(call: Call) -> DailyResults:
    """The curve of realised profit and loss less fees, by day, oldest first."""
    asset, found = await _days(call)
    items = [
        DailyResult(
            day=name.isoformat(),
            realised=asset.text(realised),
            fees=asset.text(fees),
            net=asset.text(realised - fees),
            cumulative=asset.text(cumulative),
            drawdown=asset.text(drawdown),
        )
        for name, realised, fees, cumulative, drawdown in curve(found)
    ]
    return DailyResults(asset=asset.name, items=items)


def _route(path: str, handler: Any, summary: str, returns: Any) -> Route:
    return Route(
        method="GET", path=path, handler=handler, summary=summary, tag="analytics", access=Access.READ, weight=20,
        parameters=AnalyticsQuery, returns=returns, problems=(errors.HISTORY_AWAY, errors.SYMBOL),
    )  # fmt: skip


ROUTES: Final = (
    _route("/api/v1/analytics", analytics, "Win rate, profit factor, drawdown.", Analytics),
    _route("/api/v1/analytics/daily-pnl", daily, "The curve of profit and loss by day.", DailyResults),
)
