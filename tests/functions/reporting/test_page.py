"""The page by itself: what comes from elsewhere is escaped, it needs nothing, and it is looked at in a browser."""

from __future__ import annotations

import dataclasses
import html.parser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from functions.reporting import best_execution
from functions.reporting import market as markets
from functions.reporting.charts import nice_ticks
from functions.reporting.figures import DayFigures, Figures
from functions.reporting.market import STEP_NS, STEPS_MAX, Step, Timeline, decimal_text
from functions.reporting.page import ROWS_MAX, render
from functions.reporting.pictures import duration, marks_of, short
from functions.reporting.rows import Account, Asset, Books, CashTotal, Holding, Instrument, Reference
from tests.functions.reporting.days import DAY_NS, missing
from tests.support.browser import VIOLATIONS, chromium

HOSTILE = """<script>alert("x")</script>&'"><img src=x onerror=alert(1)>"""
VOID = {"meta", "br"}
EMPTY = Books(positions=(), holdings=(), cash=(), fees=())


def trading(symbol: str, *, accounts: int = 2, trades: int = 40, asset: str = "USD") -> Figures:
    """A day on which accounts trade in turn with each other."""
    instrument = Instrument(symbol, 1, "BTC", asset, 8, 2, 1_000_000, 1, "1.00", "0.01", 2, 2)
    reference = Reference(
        day="2026-11-21", start_ns=0, end_ns=DAY_NS, partial=False, accounts={1: Account(1, 1)},
        assets={asset: Asset(asset, 2, 2), "BTC": Asset("BTC", 1, 8)}, instruments={symbol: instrument},
    )  # fmt: skip
    made = DayFigures(reference, statements=[missing(HOSTILE)], before=[], opening=EMPTY)
    for number in range(1, trades + 1):
        for row in trade(symbol, asset, number, accounts):
            made.execution(row)
    cash = (CashTotal(0, asset, 5, 0, 0),)
    return made.close(Books(positions=(), holdings=(Holding(0, 9, asset, 5),), cash=cash, fees=()), [])


def trade(symbol: str, quote: str, number: int, accounts: int) -> Iterator[dict[str, Any]]:
    """Two orders that meet, and their fills."""
    price, time_ns = 10_000 + number * number % 37, number * 60 * 10**9
    maker, taker = number % accounts + 1, (number + 1) % accounts + 1
    common: dict[str, Any] = {
        "shard": 0, "symbol": symbol, "instrument": 1, "price_ticks": price, "quantity_lots": 5, "firm": 1,
        "quote": quote, "key": 0, "auction": False,
    }  # fmt: skip
    sent = [(2 * number, 0, maker, "sell", time_ns), (2 * number + 1, 0, taker, "buy", time_ns + number * 10**6)]
    for seq, n, account, side, at in sent:
        yield common | {
            "seq": seq, "n": n, "received_ns": at, "type": "accepted", "account": account, "side": side,
            "order_id": seq, "order_type": "limit",
        }  # fmt: skip
    at = time_ns + number * 10**6
    fill = common | {"seq": 2 * number + 1, "received_ns": at, "type": "filled", "trade_id": number}
    for n, (order_id, account, side) in enumerate([(2 * number, maker, "sell"), (2 * number + 1, taker, "buy")], 1):
        yield fill | {
            "n": n, "account": account, "side": side, "order_id": order_id, "maker": side == "sell", "done": True,
            "notional_units": price * 5, "fee_units": 3 if side == "buy" else -1,
        }  # fmt: skip


class Checker(html.parser.HTMLParser):
    """Elements closed in order, and what they are."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_texts_from_elsewhere_are_texts() -> None:
    found = trading(HOSTILE, asset=HOSTILE)
    page = render(
        found, title=HOSTILE, notes=[HOSTILE],
        files=[{"name": HOSTILE, "bytes": 1, "rows": 2, "sha256": HOSTILE}, {"name": "a b/../c.csv", "bytes": 3}],
    )  # fmt: skip
    seen = checked(page).seen
    assert not {tag for tag, _ in seen} & {"script", "img", "iframe", "object", "link", "form", "a:href"}
    assert not any(name.startswith("on") or name == "style" for _, attributes in seen for name in attributes)
    assert "alert(1)>" not in page.replace("alert(1)&gt;", "")
    links = [attributes["href"] or "" for tag, attributes in seen if tag == "a"]
    assert all(link.startswith("#") or ":" not in link.split("/")[0] for link in links)


def test_a_hostile_text_runs_nothing_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(render(trading(HOSTILE, asset=HOSTILE), title=HOSTILE, notes=[HOSTILE]), encoding="utf-8")
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: said.append(request.url) if request.url != path.as_uri() else None)
    page.add_init_script(VIOLATIONS)
    page.goto(path.as_uri())
    assert said == []
    assert page.locator("h1").inner_text().startswith(HOSTILE)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 360])
def test_the_page_fits_its_window_and_can_be_read(browser: Browser, tmp_path: Path, width: int, scheme: Any) -> None:
    path = tmp_path / "page.html"
    path.write_text(render(trading("BTC/USD", accounts=9), files=[{"name": "fees.csv", "bytes": 9}]), encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        """() => [...document.querySelectorAll("svg text, td, th, p, dd, dt, figcaption, caption")]
            .filter(one => one.getBoundingClientRect().height < 9).map(one => one.textContent)"""
    )
    assert small == []
    texts = page.evaluate(OVERLAPS)
    assert texts == []
    assert page.evaluate(CONTRAST) >= 4.5
    context.close()


# Texts of one picture that lie over each other, and texts that leave their picture.
OVERLAPS = """() => [...document.querySelectorAll("svg")].flatMap(svg => {
    const frame = svg.getBoundingClientRect(), boxes = [...svg.querySelectorAll("text")].map(one =>
        [one.textContent, one.getBoundingClientRect()])
    const out = boxes.filter(([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1)
        .map(([text]) => text + " leaves its picture")
    return out.concat(boxes.flatMap(([one, a], index) => boxes.slice(index + 1)
        .filter(([, b]) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
        .map(([two]) => one + " over " + two)))
})"""

# The least contrast of any text with the panel it stands on.
CONTRAST = """() => {
    const light = colour => {
        const parts = colour.match(/[0-9.]+/g).slice(0, 3).map(part => part / 255)
            .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    }
    const ground = one => {
        for (let at = one; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor
            if (!colour.includes("rgba(0, 0, 0, 0)")) return colour
        }
        return "rgb(255, 255, 255)"
    }
    const all = "h1, h2, p, td, th, dt, dd, small, a, caption, figcaption, svg text"
    return Math.min(...[...document.querySelectorAll(all)]
        .map(one => {
            const style = getComputedStyle(one), colour = one.closest("svg") ? style.fill : style.color
            const [a, b] = [light(colour), light(ground(one))].sort((x, y) => y - x)
            return (a + 0.05) / (b + 0.05)
        }))
}"""


def test_pictures_have_names_and_descriptions_and_tables_have_headings() -> None:
    seen = checked(render(trading("BTC/USD"))).seen
    pictures = [attributes for tag, attributes in seen if tag == "svg"]
    assert len(pictures) == 6
    named = {attributes.get("id") for tag, attributes in seen if tag in ("title", "desc")}
    for picture in pictures:
        assert picture["role"] == "img"
        assert set((picture["aria-labelledby"] or "").split()) <= named
    assert sum(tag == "table" for tag, _ in seen) == sum(tag == "caption" for tag, _ in seen) >= 8
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in seen if tag == "th")
    ids = [attributes["id"] for _, attributes in seen if attributes.get("id")]
    assert len(ids) == len(set(ids))


def test_a_difference_stands_before_everything_else() -> None:
    found = trading("BTC/USD")
    assert not found.reconciliation.ok
    page = render(found)
    assert page.index("Does not reconcile") < page.index("What differs") < page.index("Pictures")


def test_many_accounts_are_cut_and_the_page_says_so() -> None:
    page = render(trading("BTC/USD", accounts=ROWS_MAX + 30, trades=3 * ROWS_MAX))
    assert f"the {ROWS_MAX} largest of {ROWS_MAX + 30}; all are in the file fees" in page
    assert len(page) < 250_000


def test_one_trade_is_a_dot(browser: Browser, tmp_path: Path) -> None:
    page = render(trading("BTC/USD", trades=1))
    assert sum(tag == "circle" for tag, _ in checked(page).seen) == 2
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    shown = browser.new_page()
    shown.goto(path.as_uri())
    assert shown.locator("svg circle.one").bounding_box()
    shown.close()


def test_nothing_in_the_page_depends_on_when_it_is_made() -> None:
    assert render(trading("BTC/USD")) == render(trading("BTC/USD"))


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "at once"), (7, "7 ns"), (1_500, "1.5 µs"), (25_400, "25.4 µs"), (999_000_000, "999 ms"),
     (4_190_000_000, "4.19 s"), (100 * 10**9, "1 min 40 s"), (7_200 * 10**9, "2 h"), (7_260 * 10**9, "2 h 1 min")],
)  # fmt: skip
def test_times_are_told_in_three_digits(ns: int, text: str) -> None:
    assert duration(ns) == text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(0, 2, "0"), (150, 2, "1.5"), (1_250_000_00, 2, "1.25 M"), (-2_000, 0, "-2 k"), (5 * 10**12, 0, "5 T")],
)
def test_ticks_are_short(value: int, decimals: int, text: str) -> None:
    assert short(value, decimals) == text


@pytest.mark.parametrize(("least", "greatest"), [(0, 1), (0, 7), (-5, 123_456), (99_990, 100_010), (-(10**30), 10**30)])
def test_ticks_are_few_and_round(least: int, greatest: int) -> None:
    ticks = nice_ticks(least, greatest)
    assert 2 <= len(ticks) <= 5
    assert all(least <= tick <= greatest for tick in ticks)
    width = ticks[1] - ticks[0]
    assert str(width).rstrip("0") in ("1", "2", "5")


def test_a_long_day_is_told_in_few_steps_that_hold_every_trade() -> None:
    timeline = Timeline()
    for number in range(100_000):
        timeline.at(number * STEP_NS * 3 + 17).add(Step(1, 2, 3 * number, number, number, number))
    assert len(timeline.steps) <= STEPS_MAX
    assert sum(step.trades for step in timeline.steps) == 100_000
    assert sum(step.units for step in timeline.steps) == 3 * 100_000 * 99_999 // 2
    assert [step.last_ticks for step in timeline.steps] == sorted(step.last_ticks for step in timeline.steps)
    assert timeline.steps[-1].last_ticks == 99_999


def test_decimals_are_exact_and_grouped() -> None:
    assert decimal_text(-1_234_567, 2) == "-12,345.67"
    assert decimal_text(5, 8) == "0.00000005"
    assert decimal_text(10**30, 0) == f"{10**30:,}"


def test_prices_of_short_positions_are_those_of_long_ones() -> None:
    instrument = markets.Instrument(
        symbol="A/B", base="A", quote="B", base_decimals=0, quote_decimals=6, base_units_per_lot=1,
        quote_units_per_tick_lot=10_000, price_decimals=2, quantity_decimals=0,
    )  # fmt: skip
    assert instrument.price(-585_555_000 * 3, -3) == instrument.price(585_555_000 * 3, 3) == "585.56"
    assert instrument.price(0, 0) == "–"
    assert dataclasses.replace(instrument, price_decimals=0).price(585_500_000, 1) == "586"


def test_orders_above_the_bound_are_counted_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_execution, "ORDERS_TRACKED_MAX", 0)
    found = trading("BTC/USD", trades=3)
    assert found.untracked_count == 6
    assert sum(group.counts["filled_lots"] for group in found.by_symbol) == 3 * 2 * 5
    assert "6 orders were open above the bound" in render(found)


@pytest.mark.parametrize(
    ("values", "texts"),
    [([], ["100 ns", "1 µs", "10 µs", "100 µs", "1 ms"]), ([7], ["1 ns", "10 ns"]),
     ([117_000_000, 4_190_000_000], ["100 ms", "1 s", "10 s"]),
     ([1_000_000_000, 10_000 * 10**9], ["100 ms", "10 s", "10 min", "10 h"])],
)  # fmt: skip
def test_times_have_marks_that_people_know(values: list[int], texts: list[str]) -> None:
    assert [duration(mark) for mark in marks_of(values)] == texts
