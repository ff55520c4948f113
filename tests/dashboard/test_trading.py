"""Orders on the page: entered, amended, filled, cancelled; by mouse, by keyboard, on a phone."""

from __future__ import annotations

import json
import re

import ccxt
import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Terminal
from tests.support.gateway import Stack

ROW = "#open-orders tbody tr"


def enter(page: Page, side: str, price: str, quantity: str) -> None:
    """Fill in the ticket and send it."""
    page.locator(f'.sides [data-value="{side}"]').click()
    page.fill("#ticket-price", price)
    page.fill("#ticket-quantity", quantity)
    page.click("#ticket-send")


def orders_of(stack: Stack, key_id: str) -> list[dict[str, object]]:
    """Open orders as the gateway tells them."""
    status, answer = stack.signed(key_id, "GET", "/api/v1/orders")
    assert status == 200, answer
    found: list[dict[str, object]] = answer["items"]
    return found


def cell(page: Page, name: str) -> object:
    """A field of the only open order."""
    return page.locator(f'{ROW} [data-field="{name}"]')


def test_an_order_is_placed_amended_in_place_and_cancelled(terminal: Terminal, stack: Stack) -> None:
    page = terminal.trader("alice")
    enter(page, "buy", "51000.10", "0.5")
    expect(page.locator(ROW)).to_have_count(1)
    expect(cell(page, "price")).to_have_text("51,000.10")
    # it stands in the ladder too, marked as one's own
    expect(page.locator(".level.buy", has_text="51,000.10").locator(".mine")).to_have_count(1)

    page.get_by_role("button", name=re.compile("^Amend order")).click()
    page.get_by_label(re.compile("^Price of order")).fill("51000.20")
    page.get_by_label(re.compile("^Quantity of order")).fill("0.75")
    page.keyboard.press("Enter")
    expect(cell(page, "price")).to_have_text("51,000.20")
    expect(cell(page, "quantity")).to_have_text("0.7500")
    (order,) = orders_of(stack, "alice")
    assert (order["price"], order["quantity"]) == ("51000.20", "0.7500")

    page.get_by_role("button", name=re.compile("^Cancel order")).click()
    expect(page.get_by_text("No open orders", exact=True)).to_be_visible()
    assert orders_of(stack, "alice") == []


def test_an_amendment_that_cannot_stand_is_told_where_it_is_written(terminal: Terminal, stack: Stack) -> None:
    page = terminal.trader("alice")
    enter(page, "buy", "51000", "0.5")
    page.locator(ROW).focus()
    page.keyboard.press("e")
    price = page.get_by_label(re.compile("^Price of order"))
    expect(price).to_be_focused()
    price.fill("51000.005")
    page.keyboard.press("Enter")
    expect(page.locator(f"{ROW} .fault")).to_have_text("Price must be a multiple of 0.01")
    page.keyboard.press("Escape")
    expect(cell(page, "price")).to_have_text("51,000.00")
    expect(page.locator(ROW)).to_be_focused()


def test_an_order_is_watched_while_a_ccxt_client_fills_it(terminal: Terminal, stack: Stack) -> None:
    page = terminal.trader("alice")
    enter(page, "sell", "61000", "1")
    expect(page.locator(ROW)).to_have_count(1)
    exchange = ccxt.binance({"apiKey": "bob", "secret": stack.secret("bob")})
    exchange.urls["api"] = dict.fromkeys(("public", "private"), stack.url + "/api/v3")
    exchange.options |= {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
    exchange.create_order("BTC/USD", "limit", "buy", 0.4, 61000)
    expect(cell(page, "filled")).to_have_text("0.4000")
    expect(page.locator(f"{ROW} .badge")).to_contain_text("partly filled")
    expect(page.locator(".print").first).to_contain_text("61,000.00")
    exchange.create_order("BTC/USD", "limit", "buy", 0.6, 61000)
    expect(page.get_by_text("No open orders", exact=True)).to_be_visible()
    page.get_by_role("radio", name="Fills").click()
    expect(page.locator("#fills tbody tr").first).to_contain_text("0.6000")
    terminal.go(page, "/positions")
    expect(page.locator("#positions tbody tr").first).to_contain_text("−1.0000")


def test_an_order_is_written_sent_amended_and_cancelled_without_a_mouse(terminal: Terminal, stack: Stack) -> None:
    page = terminal.trader("alice")
    page.keyboard.press("s")
    expect(page.locator("#ticket-price")).to_be_focused()
    page.keyboard.type("69000")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    expect(page.locator("#ticket-quantity")).to_be_focused()
    page.keyboard.type("0.2")
    page.keyboard.press("Enter")
    expect(cell(page, "price")).to_have_text("69,000.01")
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    expect(page.locator(ROW)).to_be_focused()
    page.keyboard.press("e")
    page.keyboard.type("69500")
    page.keyboard.press("Enter")
    expect(cell(page, "price")).to_have_text("69,500.00")
    page.keyboard.press("o")
    page.keyboard.press("Delete")
    expect(page.get_by_text("No open orders", exact=True)).to_be_visible()


def test_a_price_is_chosen_from_the_ladder_by_arrows(terminal: Terminal, stack: Stack) -> None:
    for price in ("55000.00", "54999.00", "54998.00"):
        stack.order("bob", "BUY", "0.1", price)
    page = terminal.trader("alice")
    expect(page.locator(".level.buy")).to_have_count(3)
    page.keyboard.press("l")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator('.level[aria-selected="true"]')).to_contain_text("54,999.00")
    page.keyboard.press("s")
    expect(page.locator("#ticket-price")).to_be_focused()
    expect(page.locator("#ticket-price")).to_have_value("54999.00")
    expect(page.locator("#ticket-send")).to_contain_text("Sell")


@pytest.mark.parametrize(
    ("kind", "fields", "told"),
    [
        ("stop_limit", {"trigger": "90000", "price": "90010"}, {"type": "limit", "trigger": "stop"}),
        ("take_limit", {"trigger": "40000", "price": "40010"}, {"type": "limit", "trigger": "take_profit"}),
        ("stop_market", {"trigger": "90000", "worst": "91000"}, {"type": "market", "trigger": "stop"}),
    ],
)
def test_orders_that_wait_for_a_trigger_are_entered(
    terminal: Terminal, stack: Stack, kind: str, fields: dict[str, str], told: dict[str, str]
) -> None:
    page = terminal.trader("carol")
    page.select_option("#ticket-kind", kind)
    for name, value in fields.items():
        page.fill(f"#ticket-{name}", value)
    page.fill("#ticket-quantity", "0.3")
    page.click("#ticket-send")
    expect(page.locator(f"{ROW} .badge")).to_contain_text("waiting")
    (order,) = orders_of(stack, "carol")
    assert {name: order[name] for name in told} == told


def test_a_market_order_takes_at_once_within_its_bound(terminal: Terminal, stack: Stack) -> None:
    stack.order("bob", "SELL", "0.2", "60500")
    page = terminal.trader("carol")
    expect(page.locator(".level.sell", has_text="60,500.00")).to_be_visible()
    page.select_option("#ticket-kind", "market")
    page.fill("#ticket-quantity", "0.2")
    page.get_by_role("button", name="+5 %").click()
    expect(page.locator("#ticket-worst")).to_have_value("63525.00")
    page.click("#ticket-send")
    page.get_by_role("radio", name="Fills").click()
    expect(page.locator("#fills tbody tr").first).to_contain_text("60,500.00")


def test_an_iceberg_that_only_makes_is_entered_with_its_terms(terminal: Terminal, stack: Stack) -> None:
    page = terminal.trader("carol")
    page.locator(".more summary").click()
    page.get_by_label("Post-only").check()
    page.fill("#ticket-display", "0.5")
    enter(page, "buy", "50000", "2")
    expect(page.locator(ROW)).to_contain_text("post-only, iceberg")
    (order,) = orders_of(stack, "carol")
    assert (order["post_only"], order["display_quantity"]) == (True, "0.5000")
    # the book shows what it shows, no more
    expect(page.locator(".level.buy", has_text="50,000.00")).to_contain_text("0.5000")


def test_a_ticket_says_what_must_be_mended_and_sends_nothing(terminal: Terminal, stack: Stack) -> None:
    page = terminal.trader("alice")
    enter(page, "buy", "51000.001", "")
    expect(page.locator("#ticket-price-fault")).to_have_text("Price must be a multiple of 0.01")
    expect(page.locator("#ticket-quantity-fault")).to_have_text("Quantity must be given")
    expect(page.locator("#ticket-price")).to_be_focused()
    assert not [sent for sent in terminal.sent if sent.method == "POST" and sent.url.endswith("/orders")]


def test_a_refused_order_says_why(terminal: Terminal, stack: Stack) -> None:
    page = terminal.trader("alice")
    enter(page, "buy", "60000", "99000")
    expect(page.locator(".ticket > .fault")).to_be_visible()
    expect(page.locator(".toast.refused")).to_contain_text("refused")
    terminal.errors.clear()  # the browser reports every status of 400 and above


def test_all_orders_are_cancelled_after_a_question(terminal: Terminal, stack: Stack) -> None:
    for price in ("50000", "50001", "50002"):
        stack.order("alice", "BUY", "0.1", price)
    page = terminal.trader("alice")
    expect(page.locator(ROW)).to_have_count(3)
    page.keyboard.press("x")
    expect(page.locator("dialog")).to_contain_text("3 open orders are cancelled")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    assert len(orders_of(stack, "alice")) == 3
    page.keyboard.press("x")
    page.click("#confirm-act")
    expect(page.get_by_text("No open orders", exact=True)).to_be_visible()
    assert orders_of(stack, "alice") == []


def test_the_page_keeps_to_the_screen_however_many_orders_there_are(terminal: Terminal, stack: Stack) -> None:
    for step in range(60):
        stack.order("dave", "BUY", "0.1", f"{40_000 + step}")
    page = terminal.trader("dave")
    expect(page.locator(ROW)).to_have_count(60)
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    assert page.evaluate("document.querySelector('.orders-panel .scroll').scrollHeight > 1000")


def test_an_order_is_entered_on_a_phone_of_360_pixels(terminal: Terminal, stack: Stack) -> None:
    page = terminal.trader("dave", width=360, height=740)
    page.get_by_role("radio", name="Order", exact=True).click()
    expect(page.locator(".ladder-panel")).to_be_hidden()
    enter(page, "buy", "52000", "0.1")
    page.get_by_role("radio", name="Open", exact=True).click()
    expect(page.locator(ROW)).to_have_count(1)
    expect(page.locator(ROW)).to_contain_text("52,000.00")
    page.get_by_role("button", name=re.compile("^Cancel order")).click()
    expect(page.get_by_text("No open orders", exact=True)).to_be_visible()


def test_the_first_trade_of_an_instrument_draws_its_first_candle(terminal: Terminal, stack: Stack) -> None:
    page = terminal.open("/")
    page.select_option("#symbol", "ETHUSD")
    expect(page.get_by_text("No candles yet")).to_be_visible()
    expect(page.get_by_text("No trades yet")).to_be_visible()
    stack.order("bob", "BUY", "1", "3000", symbol="ETHUSD")
    stack.order("carol", "SELL", "1", "3000", symbol="ETHUSD")
    expect(page.locator(".chart canvas").first).to_be_visible()
    expect(page.locator(".print")).to_have_count(1)
    expect(page.locator(".last")).to_have_text("3,000.00")


def test_a_change_of_the_book_that_is_lost_is_noticed_and_mended(terminal: Terminal, stack: Stack) -> None:
    stack.order("bob", "BUY", "0.1", "53000.00")
    page = terminal.blank()
    lost: list[str] = []

    def between(line) -> None:
        server = line.connect_to_server()

        def pass_on(message: str) -> None:
            if not lost and "depthUpdate" in message and "53001.00" in message:
                lost.append(message)
            else:
                line.send(message)

        server.on_message(pass_on)

    page.route_web_socket(re.compile(r"/stream\?"), between)
    terminal.log_in(page, "alice")
    expect(page.locator(".level.buy", has_text="53,000.00")).to_be_visible()
    stack.order("bob", "BUY", "0.2", "53001.00")
    page.wait_for_timeout(300)
    assert lost, "the change must have been lost on its way"
    stack.order("bob", "BUY", "0.3", "53002.00")
    for price in ("53,000.00", "53,001.00", "53,002.00"):
        expect(page.locator(".level.buy", has_text=price)).to_be_visible()
    assert json.loads(lost[0])["stream"].startswith("btcusd@depth")
    terminal.go(page, "/monitoring")
    expect(page.get_by_text(re.compile("1 gaps? mended"))).to_be_visible()
