"""Which pictures a report has, and what they show: volume, trades and prices, who earned, what orders cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

from functions.reporting.best_execution import EDGES_PPM
from functions.reporting.charts import Bar, Line, bars, columns, lines, log_bars
from functions.reporting.figures import Figures, SymbolDay
from functions.reporting.market import decimal_text, rounded
from functions.reporting.sketch import Sketch

__all__ = ["duration", "pictures", "time_of_day"]

POINTS_MAX = 400
SYMBOLS_MAX = 3
ACCOUNTS_MAX = 12
SECOND_NS = 1_000_000_000
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600)
TICKS_MAX = 5
MARKS_MAX = 5
MARKS_NS = (*(10**power for power in range(11)), *(SECOND_NS * wide for wide in (60, 600, 3_600, 36_000, 360_000)))
NS_NAMES = ((1, "ns"), (1_000, "µs"), (1_000_000, "ms"), (SECOND_NS, "s"))


def pictures(found: Figures) -> Iterator[str]:
    """Figures in the order of the page."""
    quote = main_quote(found)
    traded = [symbol for symbol in found.symbols if symbol.trade_count]
    if quote:
        yield from _growth(found, [symbol for symbol in traded if symbol.instrument.quote == quote], quote, traded)
    for number, symbol in enumerate(sorted(traded, key=lambda one: (-one.trade_count, one.instrument.symbol))):
        if number < SYMBOLS_MAX:
            yield _price(symbol, number)
    yield _profit(found, quote)
    yield _slippage(found)
    yield _latency(found)


def main_quote(found: Figures) -> str:
    """The asset in which most trades are paid."""
    counts: dict[str, int] = {}
    for symbol in found.symbols:
        counts[symbol.instrument.quote] = counts.get(symbol.instrument.quote, 0) + symbol.trade_count
    return min(counts, key=lambda name: (-counts[name], name)) if counts else ""


def figure(heading: str, drawn: str, caption: str) -> str:
    """A picture with its heading and what is to be said under it (HTML)."""
    return f"<figure><h3>{escape(heading)}</h3>{drawn}<figcaption>{caption}</figcaption></figure>"


def _growth(found: Figures, of_quote: Sequence[SymbolDay], quote: str, traded: Sequence[SymbolDay]) -> Iterator[str]:
    units = grown([(at, step.units) for symbol in of_quote for at, step in symbol.timeline.points()], of_quote)
    trades = grown([(at, step.trades) for symbol in traded for at, step in symbol.timeline.points()], traded)
    decimals = of_quote[0].instrument.quote_decimals
    total = decimal_text(units[-1][1], decimals)
    others = sorted({symbol.instrument.quote for symbol in traded} - {quote})
    yield figure(
        f"Turnover so far, {quote}",
        lines(
            "volume", f"Turnover so far in {quote}", f"Rises to {total} {quote} at {time_of_day(units[-1][0], True)}.",
            [Line(name="turnover", points=units, kind="one", area=True)], zero=True,
            x_text=clock(units), x_ticks=time_ticks(units), y_text=lambda value: short(value, decimals),
        ),
        escape(f"{total} {quote}" + (f"; symbols paid in {', '.join(others)} are not in it" if others else "")),
    )  # fmt: skip
    yield figure(
        "Trades so far",
        lines(
            "trades", "Trades so far", f"Rises to {trades[-1][1]:,} trades at {time_of_day(trades[-1][0], True)}.",
            [Line(name="trades", points=trades, kind="three", area=True)], zero=True,
            x_text=clock(trades), x_ticks=time_ticks(trades), y_text=lambda value: short(value, 0),
        ),
        f"{trades[-1][1]:,} trades of {len(traded):,} symbol{'s' if len(traded) != 1 else ''}",
    )  # fmt: skip


def grown(steps: list[tuple[int, int]], symbols: Sequence[SymbolDay]) -> list[tuple[int, int]]:
    """Sums from the first print on."""
    start_ns = min(symbol.timeline.start_ns for symbol in symbols)
    points, total = [(start_ns, 0)], 0
    for at, value in sorted(steps):
        total += value
        if points[-1][0] == at:
            points[-1] = at, total
        else:
            points.append((at, total))
    return sparse(points)


def sparse(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """At most POINTS_MAX of them and the last."""
    every = -(-len(points) // POINTS_MAX)
    return points if every == 1 else [*points[:-1:every], points[-1]]


def _price(symbol: SymbolDay, number: int) -> str:
    instrument, lots, units = symbol.instrument, 0, 0
    prices, averages = [], []
    for at, step in symbol.timeline.points():
        if step.trades:
            lots += step.lots
            units += step.units
            prices.append((at, instrument.price_digits(step.last_ticks * instrument.quote_units_per_tick_lot, 1)))
            averages.append((at, instrument.price_digits(units, lots)))
    prices, averages = sparse(prices), sparse(averages)
    vwap, last = instrument.price(units, lots), instrument.ticks(symbol.last_ticks)
    name = instrument.symbol
    return figure(
        f"{name}: price and VWAP, {instrument.quote}",
        lines(
            f"price-{number}", f"Price of {name} with its VWAP",
            f"From {instrument.ticks(symbol.open_ticks)} to {last}, between {instrument.ticks(symbol.low_ticks)} and "
            f"{instrument.ticks(symbol.high_ticks)}; VWAP {vwap}.",
            [
                Line(name="price", points=prices, kind="one", steps=True),
                Line(name="VWAP", points=averages, kind="two"),
            ],
            x_text=clock(prices), x_ticks=time_ticks(prices),
            y_text=lambda value: decimal_text(value, instrument.price_decimals),
        ),
        f'<span class="key one"></span>price, last {escape(last)} &nbsp; '
        f'<span class="key two"></span>VWAP so far, at the end {escape(vwap)}',
    )  # fmt: skip


def _profit(found: Figures, quote: str) -> str:
    sums: dict[int, int] = {}
    decimals = found.decimals.get(quote, 0)
    for row in found.accounts:
        if row.quote == quote and (row.fill_count or row.position_lots or row.net_units):
            sums[row.account] = sums.get(row.account, 0) + row.net_units
    ranked = sorted(sums, key=lambda account: (-sums[account], account))
    shown = ranked if len(ranked) <= ACCOUNTS_MAX else ranked[: ACCOUNTS_MAX // 2] + ranked[-ACCOUNTS_MAX // 2 :]
    drawn = [
        Bar(
            name=f"account {account}", value=sums[account], text=decimal_text(sums[account], decimals),
            kind="gain" if sums[account] >= 0 else "cost",
        )
        for account in shown
    ]  # fmt: skip
    said = ", ".join(f"{bar.name} {bar.text}" for bar in drawn)
    left_out = f"; the {len(shown)} furthest from nothing of {len(ranked):,}" if len(shown) < len(ranked) else ""
    return figure(
        f"Net profit and loss by account, {quote}" if quote else "Net profit and loss by account",
        bars("profit", f"Net profit and loss by account in {quote}", f"{said}.", drawn),
        escape("Realised and unrealised, less fees" + left_out),
    )


def _slippage(found: Figures) -> str:
    middle = EDGES_PPM.index(0)
    drawn = []
    for index, count in enumerate(found.histogram):
        if index == 0:
            name = f"at most {EDGES_PPM[0]:,} ppm"
        elif index == len(EDGES_PPM):
            name = f"above {EDGES_PPM[-1]:,} ppm"
        else:
            name = f"above {EDGES_PPM[index - 1]:,} to {EDGES_PPM[index]:,} ppm"
        kind = "gain" if index <= middle else "cost"
        drawn.append(Bar(name=name, value=count, text=f"{count:,} orders", kind=kind))
    told = (-5_000, -500, -50, 0, 50, 500, 5_000)
    marks = [(EDGES_PPM.index(edge) + 1, f"{edge:+,}" if edge else "0") for edge in told]
    spread = found.overall.arrival_ppm
    half, most = spread.quantile(1, 2), spread.quantile(9, 10)
    cost = sum(found.histogram[middle + 1 :])
    said = f"{sum(found.histogram) - cost:,} orders gained or paid nothing, {cost:,} paid."
    if half is not None and most is not None:
        said += f" Half of them paid {half:,} ppm or less, nine of ten {most:,} ppm or less."
    return figure(
        "Cost against the price at arrival, orders by ppm",
        columns(
            "slippage", "Orders by their cost against the price at arrival", said, drawn, middle=middle + 1, marks=marks
        ),
        escape(said),
    )


def _latency(found: Figures) -> str:
    rows = (("first fill", found.overall.first_fill_ns, "plain"), ("done", found.overall.done_ns, "gain"))
    drawn = [
        Bar(name=f"{name} {part_name}", value=value, text=duration(value), kind=kind)
        for name, spread, kind in rows
        for part_name, value in percentiles(spread)
    ]
    ticks = [(mark, duration(mark)) for mark in marks_of([bar.value for bar in drawn if bar.value > 0])]
    said = ", ".join(f"{bar.name} {bar.text}" for bar in drawn)
    return figure(
        "Time from arrival to first fill, and to the end",
        log_bars("latency", "Percentiles of the time to the first fill and to the end", f"{said}.", drawn, ticks),
        "Orders with a fill, from the engine’s receipt on; a logarithmic scale",
    )


def marks_of(values: Sequence[int]) -> list[int]:
    """At most MARKS_MAX times from below the least to above the greatest, as many marks apart from each other."""
    least, greatest = (min(values), max(values)) if values else (1_000, 1_000_000)
    last = next((index for index, mark in enumerate(MARKS_NS) if mark >= greatest), len(MARKS_NS) - 1)
    first = max((index for index, mark in enumerate(MARKS_NS) if mark < least), default=0)
    every = max(1, -(-(last - first) // (MARKS_MAX - 1)))
    steps = -(-(last - first) // every)
    return [MARKS_NS[max(0, last - every * step)] for step in range(steps, -1, -1)]


def percentiles(spread: Sketch) -> list[tuple[str, int]]:
    """The ones that are drawn."""
    found = ((name, spread.quantile(part, 1000)) for name, part in (("p50", 500), ("p90", 900), ("p99", 990)))
    return [(name, value) for name, value in found if value is not None]


# ---- texts -----------------------------------------------------------------------------------------------------------


def duration(ns: int) -> str:
    """Nanoseconds for people, three digits."""
    if ns == 0:
        return "at once"
    if ns >= 3600 * SECOND_NS:
        minutes = ns // (60 * SECOND_NS)
        return f"{minutes // 60:,} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60:,} h"
    if ns >= 100 * SECOND_NS:
        seconds = ns // SECOND_NS
        return f"{seconds // 60} min {seconds % 60} s" if seconds % 60 else f"{seconds // 60} min"
    unit, name = max((unit, name) for unit, name in NS_NAMES if unit <= ns)
    whole = ns // unit
    decimals = 0 if whole >= 100 or unit == 1 else 1 if whole >= 10 else 2
    text = decimal_text(rounded(ns * 10**decimals, unit), decimals)
    return f"{text.rstrip('0').rstrip('.') if decimals else text} {name}"


def short(value: int, decimals: int) -> str:
    """A tick of an axis: 1,250,000 is 1.25 M."""
    whole = value // 10**decimals
    for unit, name in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(whole) >= unit:
            text = decimal_text(rounded(value * 100, unit * 10**decimals), 2)
            return f"{text.rstrip('0').rstrip('.')} {name}"
    text = decimal_text(value, decimals)
    return text.rstrip("0").rstrip(".") if decimals else text


def time_of_day(ns: int, seconds: bool) -> str:
    """A time for people."""
    found = ns // SECOND_NS % 86_400
    text = f"{found // 3600:02d}:{found // 60 % 60:02d}"
    return f"{text}:{found % 60:02d}" if seconds else text


def step_of(points: Sequence[tuple[int, int]]) -> int:
    """How far the ticks of the time stand apart, in seconds."""
    size_s = max(1, (points[-1][0] - points[0][0]) // SECOND_NS)
    return next((step for step in STEPS_S if size_s // step < TICKS_MAX), STEPS_S[-1])


def time_ticks(points: Sequence[tuple[int, int]]) -> list[int]:
    """Round times between the first and the last."""
    width = step_of(points) * SECOND_NS
    return list(range(-(-points[0][0] // width) * width, points[-1][0] + 1, width))


def clock(points: Sequence[tuple[int, int]]) -> Callable[[int], str]:
    """How these times are told."""
    seconds = step_of(points) < 60
    return lambda ns: time_of_day(ns, seconds)
