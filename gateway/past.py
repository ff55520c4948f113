"""What has happened, wherever it is kept: memory where that has it, the database for what is older.

    ask ──▶ Market (from its beginning on, without a gap) ──enough?──▶ answer
                              └─ no ─▶ History (up to there; refused while it is behind) ─▶ both, each thing once

Without a database an answer is what memory keeps. All lists are oldest first.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.candles import INTERVALS, Candle, merged, next_start, start_of, with_flat
from gateway.kept import FAR
from gateway.market import Fill, Market, Order, Trade

if TYPE_CHECKING:
    from gateway.context import Gateway
    from gateway.symbols import Instrument

__all__ = ["candles", "fills", "order", "orders", "trades"]

Thing = TypeVar("Thing")
NEWEST: Final = (FAR, 0)
BASE_ROWS_MAX: Final = 20_000
N_MAX: Final = (1 << 32) - 1


def _bounded(asked: int | None, without: int) -> int:
    """A number of a request as the database can take it."""
    return without if asked is None else min(max(asked, 0), FAR)


def _joined(old: Iterable[Thing], new: Iterable[Thing], name: Callable[[Thing], Hashable]) -> list[Thing]:
    """Each thing once; as memory has it where both have it."""
    known = {name(one): one for one in old}
    known.update((name(one), one) for one in new)
    return [known[key] for key in sorted(known)]  # type: ignore[type-var]


async def order(
    gateway: Gateway, account: int, *, order_id: int | None = None, text: str | None = None
) -> Order | None:
    """An order of an account, open or ended, by its number or (the newest) by what its client called it."""
    market, history = gateway.market, gateway.history
    if order_id is not None:
        found = market.order(order_id)
        if found is None and history is not None and order_id < market.orders_from:
            await history.reaches(market.orders_need)
            found = await history.order(account, order_id)
        return found if found is not None and found.account == account else None
    if text is None:
        return None
    found = market.order_by_text(account, text)
    if found is None and history is not None and market.orders_from > 1:
        await history.reaches(market.orders_need)
        found = await history.order_by_text(account, text)
    return found


async def orders(
    gateway: Gateway, account: int, *, instrument: Instrument | None = None, from_id: int | None = None,
    before_id: int | None = None, start_ns: int | None = None, end_ns: int | None = None, limit: int = 500,
) -> list[Order]:  # fmt: skip
    """Of an account, by rising id. from_id: the oldest from there on; else the newest, below before_id if given."""
    market, history = gateway.market, gateway.history
    first, last = _bounded(from_id, 0), _bounded(before_id, FAR) - 1
    start, end = _bounded(start_ns, 0), _bounded(end_ns, FAR)
    oldest_first = from_id is not None or (start_ns is not None and end_ns is None)
    number = None if instrument is None else instrument.number
    kept = market.orders(
        account, number, first_id=first, before_id=last + 1, start_ns=start, end_ns=end, newest=not oldest_first
    )
    new = sorted(itertools.islice(kept, limit), key=lambda one: one.order_id)
    whole = first >= market.orders_from
    if not oldest_first and len(new) == limit and new[0].order_id >= market.orders_from:
        whole = True
    if history is not None and not whole:
        await history.reaches(market.orders_need)
        symbol = None if instrument is None else instrument.symbol
        below = min(last, max(market.orders_from - 1, 0))
        old = await history.orders(account, symbol, first, below, start, end, limit, not oldest_first)
        new = _joined(old, new, lambda one: one.order_id)
    return new[:limit] if oldest_first else new[-limit:]


async def fills(
    gateway: Gateway, account: int, *, instrument: Instrument | None = None, order_id: int | None = None,
    from_id: int | None = None, before: tuple[int, int] | None = None, start_ns: int | None = None,
    end_ns: int | None = None, limit: int = 500,
) -> list[Fill]:  # fmt: skip
    """Of an account, by rising place (sequence, n). from_id: the oldest from that trade id on (needs an instrument);
    else the newest, below the place `before` if given."""
    market, history = gateway.market, gateway.history
    first, below = _bounded(from_id, 0), before or NEWEST
    below = (_bounded(below[0], 0), min(max(below[1], 0), N_MAX))
    start, end = _bounded(start_ns, 0), _bounded(end_ns, FAR)
    oldest_first = from_id is not None or order_id is not None or (start_ns is not None and end_ns is None)
    number = None if instrument is None else instrument.number
    if order_id is not None:
        new, whole = _of_order(market, account, order_id)
        new = [one for one in new if one.trade_id >= first and (one.sequence, one.n) < below]
        new = [one for one in new if start <= one.received_ns <= end and number in (None, one.instrument)]
    else:
        begins = _sequence_of(market, number, first)  # of the first trade that is asked for
        kept = market.fills(
            account, number, first=(begins, 0), before=below, start_ns=start, end_ns=end, newest=not oldest_first
        )
        wanted = (one for one in kept if one.trade_id >= first)
        new = list(itertools.islice(wanted, limit + 1 if oldest_first else limit))
        new = new if oldest_first else new[::-1]
        whole = (not oldest_first and len(new) == limit) or begins >= market.fills_from
    if history is not None and not whole and market.fills_from > 1:
        await history.reaches(market.fills_from - 1)
        if order_id is not None:
            old = await history.fills_of(account, order_id, 10_000)
            old = [one for one in old if one.trade_id >= first and start <= one.received_ns <= end]
        else:
            symbols = _traded(market, account, instrument)
            place = min(below, (market.fills_from, 0))
            old = await history.fills(account, symbols, first, FAR, place, start, end, limit + 1, not oldest_first)
        new = _joined(old, new, lambda one: (one.sequence, one.n))
    return _page(new, limit) if oldest_first else new[-limit:]


def _of_order(market: Market, account: int, order_id: int) -> tuple[list[Fill], bool]:
    """What memory has of an order's fills, and whether that is all."""
    found = market.order(order_id)
    if found is None or found.account != account:
        return [], found is not None or order_id >= market.orders_from
    fills = market.fills_of(found)
    return fills, order_id >= market.fills_from or (found.entered_ns > 0 and len(fills) == found.fills)


def _sequence_of(market: Market, number: int | None, trade_id: int) -> int:
    """A record that the trade of that id is not before; 0 where its trade is no longer kept."""
    trades = [] if number is None else market.books[number].trades
    if not trades or trade_id < trades[0].trade_id:
        return 0
    return trades[trade_id - trades[0].trade_id].sequence if trade_id <= trades[-1].trade_id else trades[-1].sequence


def _page(found: list[Fill], limit: int) -> list[Fill]:
    """The first `limit`. Both fills of an account that traded with itself have one trade id: they stay together, so
    that whoever goes on behind the last id misses none."""
    if len(found) <= limit or found[limit - 1].trade_id != found[limit].trade_id:
        return found[:limit]
    return found[: limit - 1] or found[:2]


def _traded(market: Market, account: int, instrument: Instrument | None) -> list[str]:
    """Symbols in which the account has ever had an order."""
    if instrument is not None:
        return [instrument.symbol]
    core, known = market.mirror.core, market.mirror.instruments.values()
    return [one.symbol for one in known if core.position(account, one.number) is not None]


async def trades(
    gateway: Gateway, instrument: Instrument, *, from_id: int | None = None, start_ns: int | None = None,
    end_ns: int | None = None, limit: int = 500,
) -> list[Trade]:  # fmt: skip
    """Of an instrument, by rising id. from_id: the oldest from there on; likewise from start_ns; else the newest."""
    market, history = gateway.market, gateway.history
    kept = market.books[instrument.number].trades
    told = market.mirror.core.instrument(instrument.number)
    kept_from = kept[0].trade_id if kept else int(told["trade_id"]) + 1 if told is not None else 1
    oldest_first = from_id is not None or start_ns is not None
    first, start, end = _bounded(from_id, 1), _bounded(start_ns, 0), _bounded(end_ns, FAR)
    if start_ns is None and end_ns is None:
        new = market.trades(instrument.number, limit, None if from_id is None else first)
        whole = first >= kept_from if oldest_first else len(new) == limit
    else:
        new = [one for one in kept if one.trade_id >= first and start <= one.received_ns <= end]
        whole = first >= kept_from or (bool(kept) and start > kept[0].received_ns)
        whole = whole or (not oldest_first and len(new) >= limit)
    if history is not None and not whole and kept_from > 1:
        await history.reaches(market.books[instrument.number].trades_need)
        old = await history.trades(instrument.symbol, first, kept_from - 1, start, end, limit, not oldest_first)
        new = _joined(old, new, lambda one: one.trade_id)
    return new[:limit] if oldest_first else new[-limit:]


async def candles(
    gateway: Gateway, instrument: Instrument, interval: str, *, start_ns: int | None = None,
    end_ns: int | None = None, limit: int = 500,
) -> list[Candle]:  # fmt: skip
    """Those that begin within the times (both included), flat ones where nothing was traded; the newest without times,
    the oldest from start_ns on: from the first trade on, if that came later."""
    last = start_of(interval, min(gateway.now_ns(), _bounded(end_ns, FAR)))
    first = _back(interval, last, limit - 1)
    if start_ns is not None:
        begin = _whole_from(interval, min(_bounded(start_ns, 0), next_start(interval, last)))
        known = await _first_candle(gateway, instrument, interval, begin)
        if known is None:
            return []
        begin = max(begin, known)
        first, last = begin, min(last, _back(interval, begin, 1 - limit))
    if first > last:
        return []
    market, history = gateway.market, gateway.history
    kept = market.books[instrument.number].candles
    memory_ns = _whole_from(interval, kept.complete_from_ns(interval)) if history is not None else first
    found = kept.between(interval, max(first, memory_ns), last + 1)
    before = kept.last_ticks(first)
    if history is not None and first < memory_ns:
        await history.reaches(market.mirror.began_at)
        base, until = INTERVALS[interval][0], min(memory_ns, next_start(interval, last))
        rows = await history.candles(instrument.symbol, base, first, until, BASE_ROWS_MAX)
        earlier = [one for one in rows if one.start_ns < first]
        before = earlier[-1].close_ticks if earlier else None
        found = [*merged(interval, [one for one in rows if one.start_ns >= first]), *found]
    return with_flat(interval, found, first, last, before, limit)


async def _first_candle(gateway: Gateway, instrument: Instrument, interval: str, begin: int) -> int | None:
    """Where the first candle begins that a list from `begin` on may have; begin itself if there are older ones."""
    market, history = gateway.market, gateway.history
    kept = market.books[instrument.number].candles
    known = kept.first_start_ns(interval)
    if known is not None and known <= begin:
        return begin
    if history is None or kept.complete_from_ns(interval) == 0:
        return known
    stored = await history.first_start_ns(instrument.symbol, INTERVALS[interval][0], 0)
    return min((start_of(interval, one) for one in (stored, known) if one is not None), default=None)


def _whole_from(interval: str, complete_ns: int) -> int:
    """The begin of the first interval that lies wholly behind that time."""
    start_ns = start_of(interval, complete_ns)
    return start_ns if start_ns == complete_ns else next_start(interval, start_ns)


def _back(interval: str, start_ns: int, count: int) -> int:
    """The begin of the interval so many before (below zero: behind)."""
    length = INTERVALS[interval][1]
    if length:
        return max(0, start_ns - count * length)
    for _ in range(abs(count)):
        start_ns = start_of(interval, start_ns - 1) if count > 0 else next_start(interval, start_ns)
        if start_ns <= 0:
            return 0
    return start_ns
