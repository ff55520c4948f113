"""Positions and results of an account as of now: the database up to its rows' marks, the mirror's fills behind them.

    positions, daily_pnl (PostgreSQL) ──▶ Holding, Day ◀── fills, busts and corrections of memory, each above the mark
                                                           of the row that it goes to

What comes of it is what analytics will have written when it is as far: the rule is one (ironbook/average_cost.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import itertools
from typing import Final

from gateway import errors
from gateway.context import Gateway
from gateway.errors import ApiError
from gateway.events import Event
from gateway.market import Fill, Listener
from gateway.symbols import Instrument
from gateway.v1 import shapes
from gateway.v1.models import Position
from ironbook.average_cost import flow
from schemas.vocabulary import EventKind, Side

__all__ = ["Day", "Holding", "Ledger", "days", "holdings", "position", "unrealised_units"]

DAY_NS: Final = 86_400 * 10**9
PART: Final = 1_000  # fills that are folded before others are served again
FAR: Final = 1 << 63
DAYS_MAX: Final = 50_000  # rows of days that are read at most; the newest
Mark = tuple[int, int]  # (sequence, n)
BEFORE_ALL: Final[Mark] = (0, 0)
FIGURES: Final = ("position_lots", "cost_units", "realised_units", "fees_units", "fill_count")
DAY_FIGURES: Final = (
    "realised_units",
    "fees_units",
    "unrealised_units",
    "profit_units",
    "loss_units",
    "fill_count",
    "winning_count",
    "losing_count",
    "volume_units",
)

POSITIONS: Final = """
SELECT instrument, position_lots, cost_units, realised_units, fees_units, fill_count, seq, n FROM positions
WHERE account = $1"""
DAYS: Final = """
SELECT i.instrument, d.day, d.realised_units, d.fees_units, d.unrealised_units, d.profit_units, d.loss_units,
    d.fill_count, d.winning_count, d.losing_count, d.volume_units::bigint AS volume_units, d.seq, d.n
FROM daily_pnl d JOIN instruments i ON i.symbol = d.symbol
WHERE d.account = $1 AND ($2::date IS NULL OR d.day >= $2) AND ($3::date IS NULL OR d.day <= $3)
ORDER BY d.day DESC LIMIT $4"""


class Ledger(Listener):
    """What memory alone knows: busts and corrections since the mirror's beginning, and what was folded so far.

    Accounts are folded where there is no database, each when it is first asked for, and then goes on from there.
    """

    def __init__(self) -> None:
        self.folding = asyncio.Lock()
        self._adjustments: dict[int, list[Event]] = {}
        self._folds: dict[int, Fold] = {}

    def correction(self, event: Event) -> None:
        """One side of a trade that was undone or changed."""
        if event.kind == EventKind.ADJUSTMENT:
            self._adjustments.setdefault(event.account, []).append(event)

    def begin(self) -> None:
        """All comes again, or is in the database."""
        self._adjustments.clear()
        self._folds.clear()

    def adjustments(self, account: int, above: Mark) -> list[Event]:
        """An account's behind a place, oldest first."""
        return [event for event in self._adjustments.get(account, ()) if _place(event) > above]

    def fold(self, account: int) -> Fold:
        """As far as it was folded."""
        return self._folds.setdefault(account, Fold())


@dataclasses.dataclass(slots=True)
class Result:
    """What a fill, bust or correction behind its row did: for the day that it belongs to."""

    change: Fill | Event
    realised_units: int


@dataclasses.dataclass(slots=True)
class Holding:
    """What an account has and had of an instrument. results: of what is behind the database's row, oldest first."""

    instrument: Instrument
    position_lots: int = 0
    cost_units: int = 0
    realised_units: int = 0
    fees_units: int = 0
    fill_count: int = 0
    mark: Mark = BEFORE_ALL
    results: list[Result] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Day:
    """An instrument of an account on a day (UTC)."""

    instrument: Instrument
    day: datetime.date
    realised_units: int = 0
    fees_units: int = 0
    unrealised_units: int = 0
    profit_units: int = 0
    loss_units: int = 0
    fill_count: int = 0
    winning_count: int = 0
    losing_count: int = 0
    volume_units: int = 0
    mark: Mark = BEFORE_ALL


@dataclasses.dataclass(slots=True)
class Fold:
    """An account from the beginning up to a place."""

    held: dict[int, Holding] = dataclasses.field(default_factory=dict)
    days: dict[tuple[datetime.date, int], Day] = dataclasses.field(default_factory=dict)
    place: Mark = BEFORE_ALL


async def holdings(gateway: Gateway, account: int) -> dict[int, Holding]:
    """By instrument. Raises ApiError where neither database nor memory has all of it."""
    memory_from, history = gateway.market.fills_from, gateway.history
    if history is None:
        return (await _from_memory(gateway, account)).held
    await history.reaches(memory_from - 1)
    complete_to = await history.mark() or 0  # up to here all is in the rows that are read now
    found: dict[int, Holding] = {}
    for row in await history.rows(POSITIONS, account):
        instrument = gateway.mirror.instruments.get(row["instrument"])
        if instrument is not None:
            figures = {name: row[name] for name in FIGURES}
            found[instrument.number] = Holding(instrument, **figures, mark=(row["seq"], row["n"]))
    place = (complete_to + 1, 0)
    newer: list[Fill | Event] = list(gateway.market.fills(account, first=place))
    newer += gateway.shared[Ledger].adjustments(account, place)
    for change in sorted(newer, key=_place):
        holding = _holding(gateway, found, change)
        if _place(change) > holding.mark:
            holding.results.append(Result(change, _add(holding, change)))
    return found


async def _from_memory(gateway: Gateway, account: int) -> Fold:
    """Everything of an account, in parts between which others are served. Raises ApiError if memory began later."""
    ledger: Ledger = gateway.shared[Ledger]
    async with ledger.folding:
        while True:
            fold = ledger.fold(account)
            if gateway.market.fills_from > max(1, fold.place[0]):
                raise ApiError(
                    errors.HISTORY_AWAY,
                    "Positions must be known from the beginning on; this gateway has no database, and began later.",
                    detail=f"memory begins at sequence {gateway.market.fills_from}",
                    hint="give the gateway a database: IRONBOOK_GATEWAY_DATABASE_URL",
                )
            after = (fold.place[0], fold.place[1] + 1)
            newer: list[Fill | Event] = [
                *itertools.islice(gateway.market.fills(account, first=after, newest=False), PART)
            ]
            upto = _place(newer[-1]) if len(newer) == PART else (FAR, 0)
            newer += [one for one in ledger.adjustments(account, fold.place) if _place(one) <= upto]
            if not newer:
                return fold
            for change in sorted(newer, key=_place):
                holding = _holding(gateway, fold.held, change)
                _add_result(fold.days, holding, Result(change, _add(holding, change)))
                fold.place = _place(change)
            await asyncio.sleep(0)


def _holding(gateway: Gateway, found: dict[int, Holding], change: Fill | Event) -> Holding:
    holding = found.get(change.instrument)
    if holding is None:
        holding = found[change.instrument] = Holding(gateway.mirror.instruments[change.instrument])
    return holding


def _place(change: Fill | Event) -> Mark:
    return change.sequence, change.n


def _add(holding: Holding, change: Fill | Event) -> int:
    """A change into its holding; what it realised."""
    if isinstance(change, Fill):
        sign = 1 if change.side == Side.BUY else -1
        lots, cash = sign * change.quantity_lots, -sign * change.notional_units
        holding.fees_units += change.fee_units
        holding.fill_count += 1
    else:
        lots, cash = change.remaining_lots, change.amount_units
    state = {"position_lots": holding.position_lots, "cost_units": holding.cost_units}
    realised = flow(state, lots, cash)
    holding.position_lots, holding.cost_units = state["position_lots"], state["cost_units"]
    holding.realised_units += realised
    return realised


async def days(
    gateway: Gateway,
    account: int,
    held: dict[int, Holding],
    from_day: datetime.date | None = None,
    to_day: datetime.date | None = None,
) -> list[Day]:
    """Newest day first, then by instrument. held: as `holdings` gave it, before."""
    history = gateway.history
    found: dict[tuple[datetime.date, int], Day] = {}
    if history is None:
        found = gateway.shared[Ledger].fold(account).days
    else:
        for row in await history.rows(DAYS, account, from_day, to_day, DAYS_MAX):
            instrument = gateway.mirror.instruments.get(row["instrument"])
            if instrument is not None:
                figures = {name: row[name] for name in DAY_FIGURES}
                day = Day(instrument, row["day"], **figures, mark=(row["seq"], row["n"]))
                found[day.day, instrument.number] = day
        for holding in held.values():
            for result in holding.results:
                _add_result(found, holding, result)
    first, last = from_day or datetime.date.min, to_day or datetime.date.max
    chosen = [day for day in found.values() if first <= day.day <= last]
    return sorted(chosen, key=lambda day: (-day.day.toordinal(), day.instrument.number))


def _add_result(found: dict[tuple[datetime.date, int], Day], holding: Holding, result: Result) -> None:
    change, realised = result.change, result.realised_units
    name = datetime.datetime.fromtimestamp(change.received_ns // 10**9, datetime.UTC).date()
    day = found.get((name, holding.instrument.number))
    if day is None:
        day = found[name, holding.instrument.number] = Day(holding.instrument, name)
    if _place(change) <= day.mark:
        return
    day.realised_units += realised
    if not isinstance(change, Fill):  # neither a fill nor a win nor a loss
        return
    day.fees_units += change.fee_units
    day.profit_units += max(realised, 0)
    day.loss_units += max(-realised, 0)
    day.fill_count += 1
    day.winning_count += realised > 0
    day.losing_count += realised < 0
    day.volume_units += change.notional_units


def unrealised_units(holding: Holding, price_ticks: int) -> int | None:
    """Profit of what is open at a price; None: there is no price and something is open."""
    if holding.position_lots == 0:
        return 0
    if price_ticks == 0:
        return None
    return holding.instrument.notional_units(price_ticks, holding.position_lots) - holding.cost_units


def position(holding: Holding, price_ticks: int) -> Position:
    """A position as /api/v1 tells it, at that last price (0: none)."""
    instrument = holding.instrument
    unrealised = unrealised_units(holding, price_ticks)
    return Position(
        symbol=instrument.symbol,
        quote=instrument.quote.name,
        position=instrument.quantity_text(holding.position_lots),
        position_lots=holding.position_lots,
        cost=instrument.amount_text(holding.cost_units),
        average_price=shapes.average_price(instrument, holding.cost_units, holding.position_lots),
        last_price=instrument.price_text(price_ticks) if price_ticks else None,
        realised=instrument.amount_text(holding.realised_units),
        unrealised=None if unrealised is None else instrument.amount_text(unrealised),
        fees=instrument.amount_text(holding.fees_units),
        fill_count=holding.fill_count,
    )
