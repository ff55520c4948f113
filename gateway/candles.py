"""Candles of one instrument, of every interval that the dialect knows, and its last 24 hours.

    trade ─▶ 1s ──closed──▶ 1m ──closed──▶ 5m ──closed──▶ 1h ──closed──▶ 1d        a trade touches the open second only

Each of these bases keeps its newest closed candles and the open one, which holds what the finer ones have closed. All
other intervals are merged from the next finer base when somebody asks. Time is the engine's (received_ns), in UTC.
"""

from __future__ import annotations

import datetime
import itertools
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.market import Trade

__all__ = ["BASES", "INTERVALS", "Candle", "Candles", "Ticker", "merged", "next_start", "start_of", "with_flat"]

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
MONDAY: Final = 4 * DAY  # the first one since the epoch, which was a Thursday
BASES: Final = {"1s": SECOND, "1m": MINUTE, "5m": 5 * MINUTE, "1h": HOUR, "1d": DAY}
BASE_NAMES: Final = tuple(BASES)
KEPT: Final = {"1s": 4_000, "1m": 3_000, "5m": 3_000, "1h": 3_000, "1d": 2_000}  # closed ones, of those with trades
INTERVALS: Final[Mapping[str, tuple[str, int]]] = {  # base that it is merged from, length in ns; 0: a calendar month
    "1s": ("1s", SECOND), "1m": ("1m", MINUTE), "3m": ("1m", 3 * MINUTE), "5m": ("5m", 5 * MINUTE),
    "15m": ("5m", 15 * MINUTE), "30m": ("5m", 30 * MINUTE), "1h": ("1h", HOUR), "2h": ("1h", 2 * HOUR),
    "4h": ("1h", 4 * HOUR), "6h": ("1h", 6 * HOUR), "8h": ("1h", 8 * HOUR), "12h": ("1h", 12 * HOUR),
    "1d": ("1d", DAY), "3d": ("1d", 3 * DAY), "1w": ("1d", WEEK), "1M": ("1d", 0),
}  # fmt: skip
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def start_of(interval: str, time_ns: int) -> int:
    """When the interval that this time lies in begins."""
    length = INTERVALS[interval][1]
    if length == WEEK:
        return (time_ns - MONDAY) // WEEK * WEEK + MONDAY
    if length:
        return time_ns - time_ns % length
    day = _EPOCH + datetime.timedelta(seconds=time_ns // SECOND)
    return int((day.replace(day=1, hour=0, minute=0, second=0) - _EPOCH).total_seconds()) * SECOND


def next_start(interval: str, start_ns: int) -> int:
    """When the interval behind the one that begins then begins."""
    length = INTERVALS[interval][1]
    return start_ns + length if length else start_of(interval, start_ns + 31 * DAY)


class Candle:
    """What was traded from start_ns on, for the length of its interval. trade_count 0: nothing, at the price before."""

    __slots__ = (
        "buy_notional_units", "buy_volume_lots", "close_ticks", "first_trade_id", "high_ticks", "last_trade_id",
        "low_ticks", "notional_units", "open_ticks", "start_ns", "trade_count", "volume_lots",
    )  # fmt: skip

    def __init__(
        self, start_ns: int, open_ticks: int, high_ticks: int, low_ticks: int, close_ticks: int, volume_lots: int,
        notional_units: int, buy_volume_lots: int, buy_notional_units: int, trade_count: int, first_trade_id: int,
        last_trade_id: int,
    ) -> None:  # fmt: skip
        self.start_ns, self.open_ticks, self.high_ticks = start_ns, open_ticks, high_ticks
        self.low_ticks, self.close_ticks, self.volume_lots = low_ticks, close_ticks, volume_lots
        self.notional_units, self.buy_volume_lots, self.buy_notional_units = (
            notional_units, buy_volume_lots, buy_notional_units,
        )  # fmt: skip
        self.trade_count, self.first_trade_id, self.last_trade_id = trade_count, first_trade_id, last_trade_id

    def copy(self, start_ns: int) -> Candle:
        """The same, as the first part of one that begins then."""
        return Candle(
            start_ns, self.open_ticks, self.high_ticks, self.low_ticks, self.close_ticks, self.volume_lots,
            self.notional_units, self.buy_volume_lots, self.buy_notional_units, self.trade_count, self.first_trade_id,
            self.last_trade_id,
        )  # fmt: skip

    def take(self, later: Candle) -> None:
        """Merge one that came behind it."""
        self.high_ticks = max(self.high_ticks, later.high_ticks)
        self.low_ticks = min(self.low_ticks, later.low_ticks)
        self.close_ticks = later.close_ticks
        self.volume_lots += later.volume_lots
        self.notional_units += later.notional_units
        self.buy_volume_lots += later.buy_volume_lots
        self.buy_notional_units += later.buy_notional_units
        self.trade_count += later.trade_count
        self.last_trade_id = later.last_trade_id


class Ticker:
    """The last 24 hours, from the begin of a minute on. All 0 where nothing was traded; previous_ticks: before them."""

    __slots__ = (
        "close_ns", "close_ticks", "first_trade_id", "high_ticks", "last_lots", "last_trade_id", "low_ticks",
        "notional_units", "open_ns", "open_ticks", "previous_ticks", "trade_count", "volume_lots",
    )  # fmt: skip

    def __init__(self, whole: Candle | None, previous_ticks: int, last_lots: int, open_ns: int, close_ns: int) -> None:
        self.open_ns, self.close_ns, self.previous_ticks, self.last_lots = open_ns, close_ns, previous_ticks, last_lots
        if whole is None:  # what was traded last is still the price
            self.open_ticks = self.high_ticks = self.low_ticks = self.close_ticks = previous_ticks
            self.volume_lots = self.notional_units = self.trade_count = 0
            self.first_trade_id = self.last_trade_id = -1
            return
        self.open_ticks, self.high_ticks = whole.open_ticks, whole.high_ticks
        self.low_ticks, self.close_ticks = whole.low_ticks, whole.close_ticks
        self.volume_lots, self.notional_units = whole.volume_lots, whole.notional_units
        self.trade_count = whole.trade_count
        self.first_trade_id, self.last_trade_id = whole.first_trade_id, whole.last_trade_id


class _Base:
    """Closed candles of one base, oldest first, and the open one."""

    __slots__ = ("closed", "complete_from_ns", "kept", "length", "name", "open")

    def __init__(self, name: str) -> None:
        self.name, self.length, self.kept = name, BASES[name], KEPT[name]
        self.closed: list[Candle] = []
        self.open: Candle | None = None
        self.complete_from_ns = 0  # every candle that begins from here on is here, if anything was traded in it

    def close(self, candle: Candle) -> None:
        self.closed.append(candle)
        if len(self.closed) >= 2 * self.kept:
            self.complete_from_ns = max(self.complete_from_ns, self.closed[-self.kept - 1].start_ns + self.length)
            del self.closed[: -self.kept]


class Candles:
    """Of one instrument."""

    __slots__ = ("_bases", "_closed_at", "_day", "_day_from_ns", "_previous_ticks", "_second", "last_lots")

    def __init__(self, complete_from_ns: int = 0) -> None:
        self._bases = [_Base(name) for name in BASE_NAMES]
        for base in self._bases:
            base.complete_from_ns = complete_from_ns
        self._second: Candle | None = None  # the open one of the finest base
        self.last_lots = 0
        self._closed_at = -1  # of the day's figures below: how many minutes were closed, and the first one in it
        self._day_from_ns = -1
        self._day: Candle | None = None
        self._previous_ticks = 0

    def add(self, trade: Trade) -> None:
        """The next trade. Their times never fall."""
        second, ticks, lots = self._second, trade.price_ticks, trade.quantity_lots
        if second is not None and trade.received_ns - second.start_ns < SECOND:
            if ticks > second.high_ticks:
                second.high_ticks = ticks
            elif ticks < second.low_ticks:
                second.low_ticks = ticks
            second.close_ticks = ticks
            second.volume_lots += lots
            second.notional_units += trade.notional_units
            if trade.taker_side == 1:
                second.buy_volume_lots += lots
                second.buy_notional_units += trade.notional_units
            second.trade_count += 1
            second.last_trade_id = trade.trade_id
        else:
            if second is not None:
                self._absorb(second)
            buys = trade.taker_side == 1
            self._second = self._bases[0].open = Candle(
                trade.received_ns - trade.received_ns % SECOND, ticks, ticks, ticks, ticks, lots, trade.notional_units,
                lots if buys else 0, trade.notional_units if buys else 0, 1, trade.trade_id, trade.trade_id,
            )  # fmt: skip
        self.last_lots = lots

    def _absorb(self, closed: Candle) -> None:
        """A closed second goes into the open minute; a minute that is over by it into the open 5 minutes; and so on."""
        self._bases[0].close(closed)
        for base in self._bases[1:]:
            start_ns = closed.start_ns - closed.start_ns % base.length
            known = base.open
            if known is not None and known.start_ns == start_ns:
                known.take(closed)
                return
            base.open = closed.copy(start_ns)
            if known is None:
                return
            base.close(known)
            closed = known

    # ---- Questions ---------------------------------------------------------------------------------------------------

    def complete_from_ns(self, interval: str) -> int:
        """Candles of the interval that begin from here on are whole."""
        return self._bases[BASE_NAMES.index(INTERVALS[interval][0])].complete_from_ns

    def between(self, interval: str, start_ns: int, end_ns: int) -> list[Candle]:
        """Those with trades that begin from start_ns to below end_ns, oldest first."""
        index = BASE_NAMES.index(INTERVALS[interval][0])
        base = self._bases[index]
        first = bisect_left(base.closed, start_of(interval, start_ns), key=_start)
        until_ns = next_start(interval, start_of(interval, end_ns - 1))
        last = bisect_left(base.closed, until_ns, key=_start)
        parts = base.closed[first:last]
        if last == len(base.closed):
            parts += [one.open for one in reversed(self._bases[: index + 1]) if one.open is not None]
        return [one for one in merged(interval, parts) if start_ns <= one.start_ns < end_ns]

    def first_start_ns(self, interval: str) -> int | None:
        """When the first candle that is kept begins; None: there is none."""
        index = BASE_NAMES.index(INTERVALS[interval][0])
        base = self._bases[index]
        parts = base.closed[:1] + [one.open for one in reversed(self._bases[: index + 1]) if one.open is not None]
        return start_of(interval, parts[0].start_ns) if parts else None

    def now(self, interval: str, now_ns: int) -> Candle | None:
        """The open candle, flat if nothing was traded in it yet; None: nothing was ever traded that is known."""
        start_ns = start_of(interval, now_ns)
        found = self.between(interval, start_ns, next_start(interval, start_ns))
        if found:
            return found[0]
        before = self.last_ticks(start_ns)
        return None if before is None else flat(start_ns, before)

    def last_ticks(self, before_ns: int) -> int | None:
        """The last price before that time, as far as minutes are kept."""
        minutes = self._bases[1]
        for one in (self._second, minutes.open):
            if one is not None and one.start_ns < before_ns:
                return one.close_ticks
        first = bisect_left(minutes.closed, before_ns, key=_start)
        return minutes.closed[first - 1].close_ticks if first else None

    def ticker(self, now_ns: int) -> Ticker:
        """From 24 hours before the begin of this minute until now."""
        from_ns = now_ns - now_ns % MINUTE - DAY
        minutes = self._bases[1]
        if self._day_from_ns != from_ns or self._closed_at != id_of_last(minutes.closed):
            self._sum_day(from_ns)
        whole, previous = self._day, self._previous_ticks
        for part in (minutes.open, self._second):
            if part is None:
                continue
            if part.start_ns < from_ns:
                previous = part.close_ticks
            elif whole is None:
                whole = part.copy(part.start_ns)
            else:
                whole = whole.copy(whole.start_ns)
                whole.take(part)
        return Ticker(whole, previous, self.last_lots, from_ns, now_ns)

    def _sum_day(self, from_ns: int) -> None:
        closed = self._bases[1].closed
        first = bisect_left(closed, from_ns, key=_start)
        self._day_from_ns, self._closed_at = from_ns, id_of_last(closed)
        self._previous_ticks = closed[first - 1].close_ticks if first else 0
        self._day = None
        for one in closed[first:]:
            if self._day is None:
                self._day = one.copy(one.start_ns)
            else:
                self._day.take(one)

    # ---- What was before ---------------------------------------------------------------------------------------------

    def seed(
        self, stored: Mapping[str, Sequence[Candle]], complete_from_ns: Mapping[str, int], later: Iterable[Trade]
    ) -> None:
        """Begin anew with candles of each base that are stored, oldest first, and the trades behind their last one.

        complete_from_ns  by base: from where on the stored ones are all there are
        """
        last_lots = self.last_lots
        self.__init__()  # type: ignore[misc]
        self.last_lots = last_lots
        for base in self._bases:
            base.complete_from_ns = complete_from_ns[base.name]
            found = stored[base.name]
            base.closed, base.open = list(found[:-1]), found[-1] if found else None
        self._untangle()
        self._second = self._bases[0].open
        for trade in later:
            self.add(trade)

    def _untangle(self) -> None:
        """Stored candles of each base hold all trades; an open one here holds only what the finer base has closed."""
        for fine, coarse in itertools.pairwise(self._bases):
            inner = fine.open
            known = coarse.closed + ([coarse.open] if coarse.open is not None else [])
            if inner is None:  # all there is lies in an open candle that is finer still
                coarse.closed, coarse.open = [], None
                continue
            start_ns = inner.start_ns - inner.start_ns % coarse.length
            known = known[: bisect_left(known, start_ns, key=_start)]
            known += merged(coarse.name, fine.closed[bisect_left(fine.closed, start_ns, key=_start) :])
            coarse.open = known.pop() if known else None
            coarse.closed = known


def id_of_last(closed: Sequence[Candle]) -> int:
    """What changes when a candle is closed."""
    return closed[-1].last_trade_id if closed else -1


def _start(candle: Candle) -> int:
    return candle.start_ns


def flat(start_ns: int, ticks: int) -> Candle:
    """One in which nothing was traded."""
    return Candle(start_ns, ticks, ticks, ticks, ticks, 0, 0, 0, 0, 0, -1, -1)


def merged(interval: str, parts: Iterable[Candle]) -> list[Candle]:
    """Candles of an interval from those of a finer one, which are in order."""
    made: list[Candle] = []
    end_ns = -1
    for part in parts:
        if part.start_ns < end_ns:
            made[-1].take(part)
        else:
            start_ns = start_of(interval, part.start_ns)
            end_ns = next_start(interval, start_ns)
            made.append(part.copy(start_ns))
    return made


def with_flat(
    interval: str, found: Sequence[Candle], first_ns: int, last_ns: int, before_ticks: int | None, limit: int
) -> list[Candle]:
    """One for each interval from the one that begins at first_ns to that at last_ns: the found ones, and flat ones.

    before_ticks  the price before all of them; None: it begins with the first that was found. At most limit, the last.
    """
    made: list[Candle] = []
    left = iter(found)
    following = next(left, None)
    start_ns, ticks = first_ns, before_ticks
    while start_ns <= last_ns:
        if ticks is None:
            if following is None:
                return []
            start_ns = following.start_ns
        if following is not None and following.start_ns == start_ns:
            made.append(following)
            ticks, following = following.close_ticks, next(left, None)
        elif ticks is not None:
            made.append(flat(start_ns, ticks))
        start_ns = next_start(interval, start_ns)
    return made[-limit:]
