"""Pictures of the page for the documentation, made from a running stack: `make screenshots`.

    python -m tests.dashboard.screenshots [seconds of trading before the pictures]

A market of two simulated traders runs for a while, so that there are candles, a book and a tape to be seen.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page

from ironbook import Client
from schemas.vocabulary import Side, TimeInForce
from tests.support.browser import Terminal, build_dashboard, chromium
from tests.support.gateway import Stack
from tests.support.node import ROOT

PLACE = ROOT / "docs" / "images"
PICTURE_BYTES_MAX = 300_000
TRADING_S = 110.0
STEP_S = 0.015
ORDERS_MAX = 500


class Market:
    """Quotes of one trader around a price that wanders, and another one who takes."""

    def __init__(self, maker: Client, taker: Client) -> None:
        self.maker, self.taker = maker, taker
        self.random = random.Random(11)
        self.middle = 6_000_000.0
        self.resting: list[int] = []

    def step(self) -> None:
        """One quote, now and then a take."""
        chance = self.random
        self.middle += chance.gauss(0, 90) + (6_000_000 - self.middle) * 0.002
        side = chance.choice((Side.BUY, Side.SELL))
        away = 40 + min(4_000.0, chance.expovariate(1 / 700))
        price = int(self.middle - away if side == Side.BUY else self.middle + away)
        outcome = self.maker.submit(1, side, price_ticks=price, quantity_lots=1 + int(chance.expovariate(1 / 6_000)))
        if outcome.answer.remaining_lots:
            self.resting.append(outcome.answer.order_id)
        if len(self.resting) > ORDERS_MAX:
            self.maker.cancel(1, self.resting.pop(chance.randrange(len(self.resting) // 2)))
        if chance.random() < 0.35 and len(self.resting) > ORDERS_MAX // 2:
            side = chance.choice((Side.BUY, Side.SELL))
            bound = int(self.middle * (1.01 if side == Side.BUY else 0.99))
            self.taker.submit(
                1, side, price_ticks=bound, quantity_lots=1 + int(chance.expovariate(1 / 4_000)),
                time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL,
            )  # fmt: skip

    def run(self, seconds: float, pages: list[Page]) -> None:
        """So long; the pages go on meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()
            for page in pages:
                page.wait_for_timeout(1)
            time.sleep(STEP_S)


def trade(stack: Stack, market: Market) -> None:
    """What the one who looks at the page has done: fills, and orders that rest, wait or are partly filled."""
    middle = int(market.middle) // 100

    def enter(**said: object) -> None:
        status, answer = stack.signed("alice", "POST", "/api/v1/orders", json={"symbol": "BTC/USD"} | said)
        assert status == 200, answer

    enter(side="buy", price=str(middle + 40), quantity="1.25")
    enter(side="sell", price=str(middle - 30), quantity="0.5")
    enter(side="buy", price=str(middle - 5), quantity="2.5")
    enter(side="sell", price=f"{middle + 14}.50", quantity="1.5", display_quantity="0.5")
    enter(side="sell", price=str(middle - 410), quantity="0.75", trigger="stop", trigger_price=str(middle - 400))
    stack.order("bob", "SELL", "2", "2999", symbol="ETHUSD")
    status, answer = stack.signed(
        "alice", "POST", "/api/v1/orders", json={"symbol": "ETH/USD", "side": "buy", "price": "3000", "quantity": "2"}
    )
    assert status == 200, answer


def shoot(page: Page, name: str, *, whole: bool = False) -> None:
    """One picture."""
    page.screenshot(path=PLACE / f"{name}.png", full_page=whole)
    size = (PLACE / f"{name}.png").stat().st_size
    assert size < PICTURE_BYTES_MAX, f"{name}.png must be below {PICTURE_BYTES_MAX} bytes, is {size}"
    print(f"docs/images/{name}.png  {size:,} bytes")


def pictures(terminal: Terminal, stack: Stack, market: Market) -> None:
    """All of them."""
    desk = terminal.log_in(terminal.blank(width=1440, height=860), "alice")
    desk.get_by_role("radio", name="1s", exact=True).click()
    trade(stack, market)
    market.run(4, [desk])
    desk.fill("#ticket-price", str(int(market.middle) // 100 - 10))
    desk.fill("#ticket-quantity", "0.5")
    desk.locator(".toast button").evaluate_all("buttons => buttons.forEach(one => one.click())")
    market.run(1, [desk])
    shoot(desk, "trading-dark")
    desk.keyboard.press("Escape")
    desk.keyboard.press("t")
    market.run(1, [desk])
    shoot(desk, "trading-light")
    desk.keyboard.press("t")
    for path in ("/positions", "/risk", "/monitoring"):
        terminal.go(desk, path)
        market.run(12 if path == "/monitoring" else 3, [desk])
        shoot(desk, path.strip("/"))
    operator = terminal.log_in(terminal.blank(width=1440, height=860, scheme="light"), "admin", "/risk")
    operator.click("#halt-and-cancel")
    operator.fill("#confirm-reason", "price feed is wrong")
    market.run(1, [operator])
    shoot(operator, "kill-switch")
    phone = terminal.log_in(terminal.blank(width=360, height=740, scale=1.5), "alice")
    for pane in ("Book", "Order"):
        phone.get_by_role("radio", name=pane, exact=True).click()
        market.run(1.5, [phone])
        shoot(phone, f"phone-{pane.lower()}")


def main(seconds: float) -> None:
    """Start the stack, let it trade, take the pictures."""
    build_dashboard()
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, Stack(Path(directory)) as stack, chromium() as browser:
        with stack.client("bob") as maker, stack.client("carol") as taker:
            market = Market(maker, taker)
            market.run(seconds, [])
            terminal = Terminal(browser, stack)
            pictures(terminal, stack, market)
            terminal.close()
            assert terminal.errors == [], terminal.errors


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else TRADING_S)
