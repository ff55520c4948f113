"""/api/v1: what an account has and did: positions, balances, executions, profit and loss, what it is worth."""

from __future__ import annotations

import collections
import datetime
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Final

from gateway import errors, past
from gateway.context import Gateway
from gateway.errors import ApiError
from gateway.routing import Access, Call, Route
from gateway.symbols import Asset, decimal_text
from gateway.v1 import shapes
from gateway.v1.holdings import Day, Holding, days, holdings, position, unrealised_units
from gateway.v1.models import (
    AssetPnl,
    AssetValue,
    Balance,
    DayPnl,
    DaysQuery,
    Execution,
    ListQuery,
    OfSymbol,
    Pnl,
    Portfolio,
    Position,
    ReferenceQuery,
    SymbolPnl,
)
from gateway.v1.types import Page

__all__ = ["ROUTES", "balances_of", "day_of", "find_asset"]

DAYS_MAX: Final = 1_000
PRICE_DIGITS: Final = 12  # of a price that was made by a chain of prices


# ---- Positions, balances, executions ---------------------------------------------------------------------------------


def chosen(gateway: Gateway, found: Iterable[Holding], symbol: str | None) -> list[Holding]:
    """Those of one instrument, or all; by its number."""
    number = None if symbol is None else gateway.mirror.instrument(symbol).number
    wanted = (one for one in found if number is None or one.instrument.number == number)
    return sorted(wanted, key=lambda one: one.instrument.number)


async def positions(call: Call) -> Page[Position]:
    """Positions at average cost, at last prices; closed ones too, for what they realised."""
    gateway = call.gateway
    held = await holdings(gateway, shapes.account_of(call))
    found = chosen(gateway, held.values(), call.parameters.symbol)
    return Page(items=[position(one, shapes.last_price_ticks(gateway, one.instrument)) for one in found])


def balances_of(gateway: Gateway, account: int) -> list[tuple[Asset, int, int]]:
    """Assets that an account has or had: (asset, free_units, locked_units)."""
    found = []
    for number in sorted(gateway.mirror.assets):
        units = gateway.mirror.core.balance(account, number)
        if units is not None:
            found.append((gateway.mirror.assets[number], *units))
    return found


def balances(call: Call) -> Page[Balance]:
    """Free and locked of each asset."""
    found = balances_of(call.gateway, shapes.account_of(call))
    return Page(items=[shapes.balance(*one) for one in found])


async def executions(call: Call) -> Page[Execution]:
    """Fills of the account's orders, newest first."""
    gateway, asked = call.gateway, call.parameters
    instrument = None if asked.symbol is None else gateway.mirror.instrument(asked.symbol)
    before = None if asked.after is None else _place(asked.after)
    account = shapes.account_of(call)
    found = await past.fills(gateway, account, instrument=instrument, before=before, limit=asked.limit)
    items = [shapes.execution(gateway.mirror.instruments[fill.instrument], fill) for fill in reversed(found)]
    more = f"{items[-1].sequence}.{items[-1].n}" if len(items) == asked.limit else None
    return Page(items=items, next=more)


def _place(after: str) -> tuple[int, int]:
    sequence, point, n = after.partition(".")
    if not (point and sequence.isdecimal() and n.isdecimal() and len(after) <= 30):
        raise bad_cursor(after)
    return int(sequence), int(n)


def bad_cursor(after: str) -> ApiError:
    """A cursor that no answer gave."""
    return ApiError(
        errors.PARAMETER, "after must be what `next` of an answer said.", detail=f"was {after!r}", hint="leave it out"
    )


# ---- Profit and loss -------------------------------------------------------------------------------------------------


async def pnl(call: Call) -> Pnl:
    """Profit and loss since the beginning, by instrument and by quote asset."""
    gateway = call.gateway
    found = chosen(gateway, (await holdings(gateway, shapes.account_of(call))).values(), call.parameters.symbol)
    totals: dict[int, list[int]] = collections.defaultdict(lambda: [0, 0, 0])  # by number of the quote asset
    items = []
    for one in found:
        quote = one.instrument.quote
        unrealised = unrealised_units(one, shapes.last_price_ticks(gateway, one.instrument)) or 0
        figures = one.realised_units, unrealised, one.fees_units
        items.append(SymbolPnl(symbol=one.instrument.symbol, quote=quote.name, **_pnl(quote, figures)))
        total = totals[quote.number]
        total[:] = [sum(pair) for pair in zip(total, figures, strict=True)]
    assets = gateway.mirror.assets
    sums = [AssetPnl(asset=assets[one].name, **_pnl(assets[one], totals[one])) for one in totals]
    return Pnl(items=items, totals=sums)


def _pnl(quote: Asset, figures: Iterable[int]) -> dict[str, str]:
    realised, unrealised, fees = figures
    said = {"realised": realised, "unrealised": unrealised, "fees": fees, "net": realised + unrealised - fees}
    return {name: quote.text(units) for name, units in said.items()}


def day_of(text: str | None) -> datetime.date | None:
    """A day as it was asked for. Raises ApiError if there is none such."""
    if text is None:
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ApiError(errors.PARAMETER, f"A day must be one of the calendar, was {text!r}.") from None


async def daily(call: Call) -> Page[DayPnl]:
    """Profit and loss by day (UTC) and instrument, newest first."""
    gateway, asked = call.gateway, call.parameters
    account = shapes.account_of(call)
    number = None if asked.symbol is None else gateway.mirror.instrument(asked.symbol).number
    held = await holdings(gateway, account)
    found = await days(gateway, account, held, day_of(asked.from_day), day_of(asked.to_day))
    wanted = [one for one in found if number is None or one.instrument.number == number]
    return Page(items=[_day_pnl(one) for one in wanted[:DAYS_MAX]])


def _day_pnl(day: Day) -> DayPnl:
    quote = day.instrument.quote
    return DayPnl(
        day=day.day.isoformat(),
        symbol=day.instrument.symbol,
        quote=quote.name,
        realised=quote.text(day.realised_units),
        fees=quote.text(day.fees_units),
        net=quote.text(day.realised_units - day.fees_units),
        unrealised=quote.text(day.unrealised_units),
        volume=quote.text(day.volume_units),
        fill_count=day.fill_count,
        winning_count=day.winning_count,
        losing_count=day.losing_count,
    )


# ---- What it is worth ------------------------------------------------------------------------------------------------


def find_asset(gateway: Gateway, name: str | None) -> Asset:
    """By name; without one the quote asset of the first instrument. Raises ApiError."""
    for asset in gateway.mirror.assets.values():
        if asset.name == name:
            return asset
    for instrument in shapes.instruments(gateway):
        if name is None:
            return instrument.quote
    raise ApiError(errors.PARAMETER, f"asset must name an asset, was {name!r}.", hint="see /api/v1/balances")


def portfolio(call: Call) -> Portfolio:
    """Every asset of the account at last prices, in one asset."""
    gateway = call.gateway
    reference = find_asset(gateway, call.parameters.asset)
    prices = prices_in(gateway, reference)
    items, total = [], 0
    for asset, free, locked in balances_of(gateway, shapes.account_of(call)):
        price = prices.get(asset.number)
        value = None
        if price is not None:
            exact = price * Fraction(free + locked, 10**asset.decimals) * 10**reference.decimals
            value = abs(exact.numerator) // exact.denominator * (1 if exact >= 0 else -1)
            total += value
        shown = shapes.balance(asset, free, locked)
        items.append(
            AssetValue(
                asset=asset.name,
                free=shown.free,
                locked=shown.locked,
                total=shown.total,
                price=None if price is None else _price_text(price),
                value=None if value is None else reference.text(value),
            )
        )
    return Portfolio(asset=reference.name, total=reference.text(total), items=items)


def _price_text(price: Fraction) -> str:
    """Exact where it ends within PRICE_DIGITS, else rounded to them; no zeros at the end."""
    text = decimal_text(shapes.rounded(price * 10**PRICE_DIGITS), PRICE_DIGITS)
    return text.rstrip("0").rstrip(".")


def prices_in(gateway: Gateway, reference: Asset) -> dict[int, Fraction]:
    """What one whole of each asset costs in the reference asset, by the shortest chain of last prices."""
    links: dict[int, list[tuple[int, Fraction]]] = collections.defaultdict(list)
    for instrument in shapes.instruments(gateway):
        ticks = shapes.last_price_ticks(gateway, instrument)
        if ticks:
            price = Fraction(ticks * instrument.price_step, 10**instrument.price_decimals)
            links[instrument.quote.number].append((instrument.base.number, price))
            links[instrument.base.number].append((instrument.quote.number, 1 / price))
    prices = {reference.number: Fraction(1)}
    waiting = collections.deque([reference.number])
    while waiting:
        known = waiting.popleft()
        for other, price in links[known]:
            if other not in prices:
                prices[other] = prices[known] * price
                waiting.append(other)
    return prices


def _route(path: str, handler: Any, summary: str, weight: int = 5, **more: Any) -> Route:
    return Route(
        method="GET", path=path, handler=handler, summary=summary, tag="account", access=Access.READ, weight=weight,
        **more,
    )  # fmt: skip


PAST: Final = (errors.HISTORY_AWAY, errors.SYMBOL)
ROUTES: Final = (
    _route(
        "/api/v1/positions", positions, "Positions at average cost, marked at last prices.",
        parameters=OfSymbol, returns=Page[Position], problems=PAST,
    ),
    _route("/api/v1/balances", balances, "Free and locked of each asset.", returns=Page[Balance]),
    _route(
        "/api/v1/executions", executions, "Fills, newest first.", 10,
        parameters=ListQuery, returns=Page[Execution], problems=PAST,
    ),
    _route(
        "/api/v1/pnl", pnl, "Profit and loss since the beginning.", parameters=OfSymbol, returns=Pnl, problems=PAST
    ),
    _route(
        "/api/v1/pnl/daily", daily, "Profit and loss by day and instrument.", 10,
        parameters=DaysQuery, returns=Page[DayPnl], problems=PAST,
    ),
    _route(
        "/api/v1/portfolio", portfolio, "What the account is worth.", parameters=ReferenceQuery, returns=Portfolio
    ),
)  # fmt: skip
