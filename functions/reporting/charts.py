"""Pictures as SVG text: lines, areas, bars. Whole numbers in, the same text for the same numbers out.

Colours and type come from classes that the page's sheet knows (light and dark), never from attributes of style. Each
picture has a title and a description, for those who cannot see it, and stands beside a table with the same figures.
Coordinates are tenths of a point of a frame of WIDTH x HEIGHT that scales with the page.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from html import escape

__all__ = ["Bar", "Line", "bars", "columns", "lines", "log_bars", "nice_ticks"]

WIDTH, HEIGHT = 460, 236
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 12, 26
TICKS_MAX = 5
ROW = 23

Text = Callable[[int], str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Points (x, y) in the order of x. kind: the class that colours it. area: filled down to the frame."""

    name: str
    points: Sequence[tuple[int, int]]
    kind: str
    area: bool = False
    steps: bool = False  # a value stands until the next


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar with its name and what it says."""

    name: str
    value: int
    text: str
    kind: str


def nice_ticks(least: int, greatest: int, count: int = TICKS_MAX) -> list[int]:
    """At most `count` round numbers from least to greatest, a round step apart: 1, 2 or 5 times a power of ten."""
    if greatest <= least:
        return [least]
    step = 1
    while True:
        for factor in (1, 2, 5):
            width = step * factor
            first = -(-least // width) * width
            if (greatest - first) // width + 1 <= count:
                return list(range(first, greatest + 1, width))
        step *= 10


def tenths(value: int) -> str:
    """A coordinate: 1234 tenths are 123.4."""
    whole, part = divmod(abs(value), 10)
    return f"{'-' if value < 0 else ''}{whole}" + (f".{part}" if part else "")


def svg(name: str, title: str, description: str, body: Sequence[str], height: int = HEIGHT) -> str:
    """A picture with its words. name: unique on the page."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{name}-t {name}-d" focusable="false">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>'
        + "".join(body)
        + "</svg>"
    )


def label(x: int, y: int, text: str, kind: str) -> str:
    """Text at tenths."""
    return f'<text x="{tenths(x)}" y="{tenths(y)}" class="{kind}">{escape(text)}</text>'


def grid_line(edge: int, at: int, text: str) -> list[str]:
    """A line across, and what it stands for. edge: where the frame begins; at: tenths from the top."""
    line = f'<path class="grid" d="M{edge} {tenths(at)}H{WIDTH - RIGHT}"/>'
    return [line, label(edge * 10 - 60, at + 35, text, "axis end")]


class Scale:
    """From least … greatest to from … to, in tenths."""

    def __init__(self, least: int, greatest: int, start: int, end: int) -> None:
        self.least, self.size = least, max(1, greatest - least)
        self.start, self.reach = start * 10, (end - start) * 10

    def __call__(self, value: int) -> int:
        """Where a value stands."""
        return self.start + (2 * (value - self.least) * self.reach + self.size) // (2 * self.size)


def thinned(points: Sequence[tuple[int, int]], x: Scale, y: Scale) -> list[tuple[int, int]]:
    """Positions without repeats: what is drawn twice at one place is drawn once."""
    found: list[tuple[int, int]] = []
    for one, two in points:
        place = x(one), y(two)
        if not found or place != found[-1]:
            found.append(place)
    return found


def path_of(places: Sequence[tuple[int, int]], steps: bool) -> str:
    """The path through them."""
    parts = [f"M{tenths(places[0][0])} {tenths(places[0][1])}"]
    for one, two in places[1:]:
        parts.append(f"H{tenths(one)}V{tenths(two)}" if steps else f"L{tenths(one)} {tenths(two)}")
    return "".join(parts)


def lines(
    name: str, title: str, description: str, drawn: Sequence[Line], *, x_text: Text, y_text: Text, zero: bool = False,
    x_ticks: Sequence[int] = (),
) -> str:  # fmt: skip
    """Lines over time. zero: the axis begins at nothing. x_ticks: where the time is told; else at both ends."""
    points = [point for line in drawn for point in line.points]
    if not points:
        return nothing(name, title)
    low = 0 if zero else min(point[1] for point in points)
    high = max(point[1] for point in points)
    if high == low:
        low, high = (0, 1) if zero else (low - 1, high + 1)
    if not zero:
        margin = max(1, (high - low) // 16)
        low, high = low - margin, high + margin
    left, right = min(point[0] for point in points), max(point[0] for point in points)
    if left == right:  # one moment stands in the middle
        left, right = left - 1, right + 1
    told = [(tick, y_text(tick)) for tick in nice_ticks(low, high)]
    edge = max(LEFT, room_of(text for _, text in told))
    x, y = Scale(left, right, edge, WIDTH - RIGHT), Scale(low, high, HEIGHT - BOTTOM, TOP)
    body = []
    for tick, text in told:
        body += grid_line(edge, y(tick), text)
    ticks = [tick for tick in x_ticks if left <= tick <= right] or sorted({points[0][0], points[-1][0]})
    for tick in ticks:
        place = min(max(x(tick), (edge + 8) * 10), (WIDTH - 32) * 10)
        body.append(label(place, (HEIGHT - 8) * 10, x_text(tick), "axis middle"))
    for line in drawn:
        if not line.points:
            continue
        places = thinned(line.points, x, y)
        drawn_path = path_of(places, line.steps)
        if line.area:
            ground = tenths((HEIGHT - BOTTOM) * 10)
            closed = f"{drawn_path}V{ground}H{tenths(places[0][0])}Z"
            body.append(f'<path class="area {line.kind}" d="{closed}"/>')
        body.append(f'<path class="line {line.kind}" d="{drawn_path}"/>')
        if len(places) == 1:
            one, two = places[0]
            body.append(f'<circle class="dot {line.kind}" cx="{tenths(one)}" cy="{tenths(two)}" r="3.5"/>')
    return svg(name, title, description, body)


def bars(name: str, title: str, description: str, shown: Sequence[Bar]) -> str:
    """Bars to the right above zero, to the left below, one under the other, each with its value."""
    if not shown:
        return nothing(name, title)
    height = TOP + ROW * len(shown) + 8
    least, greatest = min(0, *(bar.value for bar in shown)), max(0, *(bar.value for bar in shown))
    if least == greatest:
        greatest = 1
    value_room = room_of(bar.text for bar in shown)
    name_room = min(150, 14 + 7 * max(len(bar.name) for bar in shown))
    x = Scale(least, greatest, name_room, WIDTH - RIGHT - value_room)
    zero = x(0)
    body = []
    for index, bar in enumerate(shown):
        top = TOP + ROW * index
        one, two = sorted((zero, x(bar.value)))
        width = max(10, two - one)
        body.append(label(0, top * 10 + 150, bar.name, "name"))
        body.append(
            f'<rect class="bar {bar.kind}" x="{tenths(one)}" y="{top + 3}" width="{tenths(width)}" height="{ROW - 7}" '
            f'rx="2"/>'
        )
        body.append(label((WIDTH - RIGHT) * 10, top * 10 + 150, bar.text, "value end"))
    body.append(f'<path class="zero" d="M{tenths(zero)} {TOP - 4}V{height - 6}"/>')
    return svg(name, title, description, body, height)


def log_bars(name: str, title: str, description: str, shown: Sequence[Bar], ticks: Sequence[tuple[int, str]]) -> str:
    """Bars on a logarithmic scale. ticks: values and their texts, from the first of the scale to its last."""
    if not shown:
        return nothing(name, title)
    height = TOP + ROW * len(shown) + BOTTOM
    room = room_of(bar.text for bar in shown)
    name_room = min(170, 14 + 7 * max(len(bar.name) for bar in shown))
    low, high = log_of(ticks[0][0]), log_of(ticks[-1][0])
    x = Scale(low, high, name_room, WIDTH - RIGHT - room)
    body = []
    for value, text in ticks:
        place = x(log_of(value))
        body.append(f'<path class="grid" d="M{tenths(place)} {TOP - 4}V{height - BOTTOM + 2}"/>')
        body.append(label(place, (height - 8) * 10, text, "axis middle"))
    for index, bar in enumerate(shown):
        top = TOP + ROW * index
        end = x(min(high, max(low, log_of(bar.value)))) if bar.value > 0 else name_room * 10
        body.append(label(0, top * 10 + 150, bar.name, "name"))
        width = max(20, end - name_room * 10)
        body.append(
            f'<rect class="bar {bar.kind}" x="{name_room}" y="{top + 3}" width="{tenths(width)}" height="{ROW - 7}" '
            f'rx="2"/>'
        )
        body.append(label((WIDTH - RIGHT) * 10, top * 10 + 150, bar.text, "value end"))
    return svg(name, title, description, body, height)


def room_of(texts: Iterable[str]) -> int:
    """How wide the widest of them may be: digits on a phone, where they are larger."""
    return 10 + 15 * max(map(len, texts)) // 2


def log_of(value: int) -> int:
    """A thousand for each factor of ten; of 1 it is 0. Whole numbers only, so the same everywhere."""
    if value < 1:
        return 0
    digits = len(str(value)) - 1
    power: int = 10**digits
    return 1000 * digits + log_part(value * 1000 // power)


def log_part(thousandths: int) -> int:
    """A thousand times the decimal logarithm of 1.000 … 9.999, within a few thousandths."""
    marks = ((1000, 0), (1200, 79), (1500, 176), (2000, 301), (2500, 398), (3000, 477), (4000, 602), (5000, 699),
             (6000, 778), (7000, 845), (8000, 903), (10000, 1000))  # fmt: skip
    for (low, low_log), (high, high_log) in itertools.pairwise(marks):
        if thousandths <= high:
            return low_log + (thousandths - low) * (high_log - low_log) // (high - low)
    return 1000


def columns(
    name: str, title: str, description: str, counts: Sequence[Bar], *, middle: int, marks: Sequence[tuple[int, str]]
) -> str:
    """Columns side by side, as of a histogram. middle: before which column zero stands. marks: the same, with texts."""
    if not any(bar.value for bar in counts):
        return nothing(name, title)
    greatest = max(bar.value for bar in counts)
    y = Scale(0, greatest, HEIGHT - BOTTOM, TOP)
    edge = max(LEFT, room_of(f"{tick:,}" for tick in nice_ticks(0, greatest)))
    x = Scale(0, len(counts), edge, WIDTH - RIGHT)
    body = []
    for tick in nice_ticks(0, greatest):
        body += grid_line(edge, y(tick), f"{tick:,}")
    for index, bar in enumerate(counts):
        if bar.value:
            top = min(y(bar.value), (HEIGHT - BOTTOM) * 10 - 10)
            left, width = x(index) + 10, x(index + 1) - x(index) - 20
            body.append(
                f'<rect class="bar {bar.kind}" x="{tenths(left)}" y="{tenths(top)}" width="{tenths(width)}" '
                f'height="{tenths((HEIGHT - BOTTOM) * 10 - top)}"><title>{escape(bar.name)}: {escape(bar.text)}</title>'
                "</rect>"
            )
    body.append(f'<path class="zero" d="M{tenths(x(middle))} {TOP - 4}V{HEIGHT - BOTTOM}"/>')
    body += [label(x(place), (HEIGHT - 8) * 10, text, "axis middle") for place, text in marks]
    return svg(name, title, description, body)


def nothing(name: str, title: str) -> str:
    """There is nothing to be drawn."""
    return svg(name, title, "Nothing to show.", [label(WIDTH * 5, 450, "nothing to show", "axis middle")], 80)
