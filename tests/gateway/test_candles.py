"""Candles and the day's figures against a slow recomputation from all trades."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterable, Sequence

import pytest

from gateway.candles import BASES, INTERVALS, Candle, Candles, merged, next_start, start_of, with_flat
from gateway.market import Trade

SECOND = 10**9
DAY = 86_400 * SECOND
FIELDS = Candle.__slots__


def at(text: str) -> int:
    """Nanoseconds of a time in UTC."""
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()) * SECOND


def random_trades(
    seed: int, count: int, pauses: Sequence[int], begin_ns: int = at("2026-02-26 23:50:03")
) -> list[Trade]:
    """Trades that come in bursts, with pauses of seconds, hours or days between."""
    draw, time_ns, price, made = random.Random(seed), begin_ns, 10_000, []
    for number in range(1, count + 1):
        time_ns += draw.choice((0, 1, 1000, SECOND // 3, SECOND, *(pause * SECOND for pause in pauses)))
        price = max(1, price + draw.randint(-20, 20))
        lots = draw.randint(1, 9)
        made.append(Trade(1, number, price, lots, price * lots * 3, draw.choice((1, 2)), time_ns, 1, 2, number, False))
    return made


def slowly(interval: str, trades: Iterable[Trade]) -> dict[int, list[Trade]]:
    """Trades by the begin of their interval, by the calendar."""
    found: dict[int, list[Trade]] = {}
    for trade in trades:
        moment = datetime.datetime.fromtimestamp(trade.received_ns // SECOND, datetime.UTC)
        day = moment.replace(hour=0, minute=0, second=0)
        if interval == "1M":
            start = day.replace(day=1)
        elif interval == "1w":
            start = day - datetime.timedelta(days=day.weekday())
        else:
            length = INTERVALS[interval][1] // SECOND
            start = datetime.datetime.fromtimestamp(int(moment.timestamp()) // length * length, datetime.UTC)
        found.setdefault(int(start.timestamp()) * SECOND, []).append(trade)
    return found


def candle_of(start_ns: int, trades: Sequence[Trade]) -> Candle:
    prices = [trade.price_ticks for trade in trades]
    bought = [trade for trade in trades if trade.taker_side == 1]
    return Candle(
        start_ns, prices[0], max(prices), min(prices), prices[-1], sum(one.quantity_lots for one in trades),
        sum(one.notional_units for one in trades), sum(one.quantity_lots for one in bought),
        sum(one.notional_units for one in bought), len(trades), trades[0].trade_id, trades[-1].trade_id,
    )  # fmt: skip


def fields(candle: Candle) -> tuple[int, ...]:
    return tuple(getattr(candle, name) for name in FIELDS)


def expected(interval: str, trades: Iterable[Trade]) -> list[tuple[int, ...]]:
    return [fields(candle_of(start_ns, found)) for start_ns, found in sorted(slowly(interval, trades).items())]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("pauses", [(7,), (40, 200), (3_000, 20_000, 400_000)], ids=["dense", "minutes", "days"])
def test_candles_of_every_interval_are_what_all_trades_add_up_to(seed: int, pauses: tuple[int, ...]) -> None:
    trades = random_trades(seed, 600, pauses)
    candles = Candles()
    for count, trade in enumerate(trades, 1):
        candles.add(trade)
        if count in (1, 2, 50, 333, 600):
            for interval in INTERVALS:
                found = candles.between(interval, 0, 1 << 62)
                assert [fields(one) for one in found] == expected(interval, trades[:count]), interval
    middle = trades[300].received_ns
    for interval in INTERVALS:
        found = candles.between(interval, middle, middle + 2 * DAY)
        wanted = expected(interval, trades)
        start = FIELDS.index("start_ns")
        assert [fields(one) for one in found] == [one for one in wanted if 0 <= one[start] - middle < 2 * DAY]


@pytest.mark.parametrize("pauses", [(7,), (40, 200), (3_000, 20_000)], ids=["dense", "minutes", "hours"])
def test_the_days_figures_are_what_the_trades_of_its_minutes_add_up_to(pauses: tuple[int, ...]) -> None:
    trades = random_trades(5, 700, pauses)
    candles = Candles()
    for count, trade in enumerate(trades, 1):
        candles.add(trade)
        if count % 13:
            continue
        for later in (0, 30 * SECOND, 3600 * SECOND, 23 * 3600 * SECOND, 3 * DAY):
            now_ns = trade.received_ns + later
            from_ns = now_ns // (60 * SECOND) * 60 * SECOND - DAY
            within = [one for one in trades[:count] if one.received_ns >= from_ns]
            before = [one.price_ticks for one in trades[:count] if one.received_ns < from_ns]
            ticker = candles.ticker(now_ns)
            assert (ticker.open_ns, ticker.close_ns) == (from_ns, now_ns)
            assert ticker.previous_ticks == (before[-1] if before else 0)
            assert ticker.last_lots == trade.quantity_lots
            if not within:
                assert (ticker.trade_count, ticker.volume_lots, ticker.close_ticks) == (0, 0, before[-1])
                continue
            whole = candle_of(0, within)
            for name in (
                "open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots", "notional_units", "trade_count",
                "first_trade_id", "last_trade_id",
            ):  # fmt: skip
                assert getattr(ticker, name) == getattr(whole, name), name


@pytest.mark.parametrize("stored_count", [1, 2, 60, 333, 399, 400])
@pytest.mark.parametrize("kept_from", [1, 50, 300])
def test_candles_that_begin_with_stored_ones_are_those_that_saw_everything(stored_count: int, kept_from: int) -> None:
    trades = random_trades(3, 400, (2, 40, 200, 4000))
    whole = Candles()
    for trade in trades:
        whole.add(trade)
    stored = {
        base: [candle_of(start, found) for start, found in sorted(slowly(base, trades[:stored_count]).items())]
        for base in BASES
    }
    candles = Candles(trades[min(kept_from, stored_count) - 1].received_ns)
    for trade in trades[min(kept_from, stored_count) :]:
        candles.add(trade)
    candles.seed(stored, dict.fromkeys(BASES, 0), trades[stored_count:])
    more = random_trades(4, 200, (2, 40, 200, 4000), trades[-1].received_ns)
    for later in (*[[]], more):
        for trade in later:
            trade.trade_id += 400
            whole.add(trade)
            candles.add(trade)
        for interval in INTERVALS:
            assert candles.complete_from_ns(interval) == 0
            found = [fields(one) for one in candles.between(interval, 0, 1 << 62)]
            assert found == [fields(one) for one in whole.between(interval, 0, 1 << 62)], interval
        now_ns = (later or trades)[-1].received_ns + SECOND
        assert vars_of(candles.ticker(now_ns)) == vars_of(whole.ticker(now_ns))


def vars_of(ticker: object) -> dict[str, object]:
    return {name: getattr(ticker, name) for name in type(ticker).__slots__}


def test_the_open_candle_is_flat_until_something_is_traded_in_it() -> None:
    candles = Candles()
    assert candles.now("1m", at("2026-03-01 10:00:00")) is None
    candles.add(Trade(1, 1, 500, 2, 1000, 1, at("2026-03-01 10:00:59"), 1, 2, 1, False))
    now = candles.now("1m", at("2026-03-01 10:00:59"))
    assert now is not None
    assert (now.trade_count, now.close_ticks) == (1, 500)
    flat = candles.now("1m", at("2026-03-01 10:01:00"))
    assert flat is not None
    assert (flat.start_ns, flat.open_ticks, flat.trade_count) == (at("2026-03-01 10:01:00"), 500, 0)


def test_weeks_begin_on_mondays_and_months_on_the_first() -> None:
    for text, week, month in (
        ("2026-03-01 23:59:59", "2026-02-23 00:00:00", "2026-03-01 00:00:00"),
        ("2026-03-02 00:00:00", "2026-03-02 00:00:00", "2026-03-01 00:00:00"),
        ("2024-02-29 12:00:00", "2024-02-26 00:00:00", "2024-02-01 00:00:00"),
    ):
        assert start_of("1w", at(text)) == at(week)
        assert start_of("1M", at(text)) == at(month)
    assert next_start("1M", at("2024-02-01 00:00:00")) == at("2024-03-01 00:00:00")
    assert next_start("1M", at("2025-12-01 00:00:00")) == at("2026-01-01 00:00:00")
    assert next_start("1w", at("2026-02-23 00:00:00")) == at("2026-03-02 00:00:00")


def test_flat_candles_stand_where_nothing_was_traded() -> None:
    minute = 60 * SECOND
    first = at("2026-03-01 10:00:00")
    trades = [Trade(1, n, 100 + n, 1, 1, 1, first + n * 3 * minute, 1, 2, n, False) for n in (1, 2)]
    found = merged("1m", [candle_of(trade.received_ns, [trade]) for trade in trades])
    filled = with_flat("1m", found, first, first + 7 * minute, 99, 100)
    assert [one.start_ns for one in filled] == [first + n * minute for n in range(8)]
    assert [one.close_ticks for one in filled] == [99, 99, 99, 101, 101, 101, 102, 102]
    assert [one.trade_count for one in filled] == [0, 0, 0, 1, 0, 0, 1, 0]
    assert [one.close_ticks for one in with_flat("1m", found, first, first + 7 * minute, None, 100)] == [
        101, 101, 101, 102, 102,
    ]  # fmt: skip
    assert [one.close_ticks for one in with_flat("1m", found, first, first + 7 * minute, 99, 3)] == [101, 102, 102]
    assert with_flat("1m", [], first, first + 7 * minute, None, 3) == []


def test_what_is_kept_of_a_base_is_bounded_and_says_from_where_on_it_is_complete() -> None:
    candles = Candles()
    for number in range(9_000):
        candles.add(Trade(1, number + 1, 100, 1, 100, 1, number * SECOND, 1, 2, 1, False))
    kept = candles.between("1s", 0, 1 << 62)
    assert 4_000 <= len(kept) <= 8_001
    assert candles.complete_from_ns("1s") == kept[0].start_ns
    assert candles.complete_from_ns("1m") == 0
    assert sum(one.trade_count for one in candles.between("1m", 0, 1 << 62)) == 9_000
