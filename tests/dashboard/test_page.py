"""The page around the trading: who is logged in, what is stopped, what is lost and comes back, how it looks."""

from __future__ import annotations

import re
import signal
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from schemas.vocabulary import Side
from tests.support.browser import PAGES, Terminal
from tests.support.gateway import Stack

NARROW = 360


def test_a_wrong_secret_is_refused_and_no_secret_ever_leaves_the_page(terminal: Terminal, stack: Stack) -> None:
    page = terminal.open("/login")
    wrong = "0" * 64
    page.fill("#key-id", "alice")
    page.fill("#key-secret", wrong)
    page.click("#log-in")
    expect(page.locator("#login-fault")).to_contain_text("Signature for this request is not valid.")
    expect(page.locator("#to-login")).to_be_visible()
    terminal.errors.clear()  # the browser reports the refusal's status
    page.fill("#key-secret", stack.secret("alice"))
    page.click("#log-in")
    expect(page.locator("#who")).to_have_text("alice")
    for secret in (wrong, stack.secret("alice")):
        for sent in terminal.sent:
            assert secret not in sent.url + (sent.post_data or "") + str(sent.headers)
        assert secret not in page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")


def test_a_login_outlives_a_reload_and_ends_by_logging_out(terminal: Terminal, stack: Stack) -> None:
    stack.order("alice", "BUY", "0.1", "50500")
    page = terminal.trader("alice")
    page.reload()
    expect(page.locator("#who")).to_have_text("alice")
    expect(page.locator("#open-orders tbody tr")).to_have_count(1)
    page.click("#who")
    page.click("#log-out")
    expect(page.locator("#to-login")).to_be_visible()
    terminal.go(page, "/")
    expect(page.get_by_text("Log in to trade")).to_be_visible()
    expect(page.locator("#open-orders")).to_have_count(0)


def test_a_login_has_the_rights_that_it_is_for_and_no_more_than_its_key(terminal: Terminal, stack: Stack) -> None:
    page = terminal.open("/login")
    for key_id, use, rights in (
        ("alice", "trade", ["trade", "cancel", "read"]),
        ("alice", "watch", ["read"]),
        ("alice", "admin", ["trade", "cancel", "read"]),
        ("admin", "trade", ["read"]),
        ("admin", "admin", ["read", "admin"]),
    ):
        page.fill("#key-id", key_id)
        page.fill("#key-secret", stack.secret(key_id))
        assert page.input_value("#session-use") == "trade"
        page.select_option("#session-use", use)
        page.click("#log-in")
        expect(page.locator("#who")).to_have_text(key_id)
        has = page.evaluate("fetch('/api/v1/session').then(answer => answer.json())")
        assert has["permissions"] == rights, (key_id, use)
        if use == "watch":
            expect(page.locator("#ticket-send")).to_be_disabled()
        page.click("#who")
        page.click("#log-out")
        expect(page.locator("#key-id")).to_be_visible()
    terminal.errors.clear()  # the browser reports the status of what was still asked as the login ended


def test_logging_out_in_one_tab_ends_the_other(terminal: Terminal, stack: Stack) -> None:
    page = terminal.trader("alice")
    other = page.context.new_page()
    other.goto(stack.url + "/login")
    other.click("#log-out")
    expect(page.get_by_text("Log in to trade")).to_be_visible(timeout=45_000)
    terminal.errors.clear()  # the browser reports the status of the question whether the session lives


def test_a_page_opens_sockets_to_its_own_gateway_alone(terminal: Terminal) -> None:
    page = terminal.open("/")
    opened = "new Promise(tell => { new WebSocket(`ws://${location.host}/ws`).onopen = () => tell(true); })"
    assert page.evaluate(opened)
    for other in ("ws://127.0.0.1:9/ws", "wss://elsewhere.example/ws"):
        forbidden = f"policy violated: connect-src {other}"
        with page.expect_console_message(lambda said, forbidden=forbidden: said.text == forbidden):
            page.evaluate("address => { new WebSocket(address); }", other)
    terminal.errors.clear()  # the browser reports what the policy forbade


def test_a_kill_switch_names_what_it_does_and_is_seen_by_everybody(terminal: Terminal, stack: Stack) -> None:
    status, answer = stack.signed(
        "bob", "POST", "/api/v1/orders", json={"symbol": "ETH/USD", "side": "buy", "price": "2900", "quantity": "1"}
    )
    assert status == 200, answer
    trader = terminal.trader("bob")
    trader.select_option("#symbol", "ETHUSD")
    expect(trader.locator(".strip .state")).to_contain_text("open")
    operator = terminal.trader("admin", "/risk")
    operator.select_option("#halt-target", "ETH/USD")
    operator.click("#halt-and-cancel")
    dialog = operator.locator("dialog")
    expect(dialog).to_contain_text("New orders and amendments of every account in ETH/USD are refused")
    expect(dialog).to_contain_text("All open orders of every account in ETH/USD are cancelled.")
    expect(operator.locator("#confirm-act")).to_be_disabled()
    operator.fill("#confirm-reason", "drill")
    operator.click("#confirm-act")

    expect(operator.locator("#halts")).to_contain_text("ETH/USD")
    expect(operator.locator('#breakers [data-symbol="ETH/USD"] .badge')).to_contain_text("halted")
    expect(trader.locator(".strip .state")).to_contain_text("halted")
    expect(trader.get_by_text("No open orders", exact=True)).to_be_visible()
    trader.fill("#ticket-price", "2900")
    trader.fill("#ticket-quantity", "1")
    trader.click("#ticket-send")
    expect(trader.locator(".toast.refused")).to_be_visible()
    terminal.errors.clear()  # the browser reports the refusal's status

    operator.click("#resume")
    operator.fill("#confirm-reason", "drill over")
    operator.click("#confirm-act")
    expect(operator.locator("#halts")).to_have_count(0)
    expect(trader.locator(".strip .state")).to_contain_text("open")
    trader.click("#ticket-send")
    expect(trader.locator("#open-orders tbody tr")).to_have_count(1)


def test_halting_everything_must_be_typed_out(terminal: Terminal, stack: Stack) -> None:
    operator = terminal.trader("admin", "/risk")
    operator.select_option("#halt-scope", "everything")
    operator.click("#halt")
    operator.fill("#confirm-reason", "drill")
    expect(operator.locator("#confirm-act")).to_be_disabled()
    operator.fill("#confirm-phrase", "everything")
    operator.click("#confirm-act")
    expect(operator.locator("#halts")).to_contain_text("everything")
    operator.click("#resume")
    operator.fill("#confirm-reason", "drill over")
    operator.click("#confirm-act")
    expect(operator.locator("#halts")).to_have_count(0)


def test_a_trader_sees_the_switches_but_cannot_throw_them(terminal: Terminal, stack: Stack) -> None:
    page = terminal.trader("alice", "/risk")
    expect(page.locator("#halt")).to_be_disabled()
    expect(page.get_by_text("Needs a key with the right admin")).to_be_visible()
    expect(page.locator(".meter").first).to_contain_text("Open orders")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_page_survives_a_restart_of_the_gateway(terminal: Terminal, stack: Stack, number: signal.Signals) -> None:
    stack.order("alice", "BUY", "0.1", "50600")
    page = terminal.trader("alice")
    expect(page.locator("#open-orders tbody tr")).to_have_count(1)
    stack.settings["listen"] = stack.address
    stack.stop_gateway(number)
    expect(page.locator("#connection")).to_have_attribute("data-state", "lost")
    expect(page.locator("#lost")).to_contain_text("The gateway cannot be reached")
    expect(page.locator(".ladder")).to_have_class(re.compile("stale"))

    # Meanwhile the market goes on: another client takes the order at the engine's own door.
    with stack.client("bob") as client:
        outcome = client.submit(1, Side.SELL, price_ticks=5_060_000, quantity_lots=400)
        assert outcome.filled_lots == 400
        client.submit(1, Side.BUY, price_ticks=5_050_000, quantity_lots=700)
    stack.start_gateway()
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    expect(page.locator("#lost")).to_have_count(0)
    expect(page.locator("#who")).to_have_text("alice")
    expect(page.locator('#open-orders [data-field="filled"]')).to_have_text("0.0400")
    expect(page.locator(".level.buy", has_text="50,600.00")).to_contain_text("0.0600")
    expect(page.locator(".level.buy", has_text="50,500.00")).to_contain_text("0.0700")
    expect(page.locator(".print").first).to_contain_text("50,600.00")
    # and it trades on
    page.fill("#ticket-price", "50700")
    page.fill("#ticket-quantity", "0.1")
    page.click("#ticket-send")
    expect(page.locator("#open-orders tbody tr")).to_have_count(2)
    terminal.errors.clear()  # the browser reports each attempt that failed


def figures(page: Page) -> dict[str, tuple[str, str]]:
    """Figures of a page by name: the value and the note below it."""
    shown = page.locator(".figure").all()
    parts = [[one.locator(f".figure-{part}").inner_text() for part in ("name", "value", "note")] for one in shown]
    return {name: (value, note) for name, value, note in parts}


def rows(page: Page, table: str) -> list[list[str]]:
    """Cells of each row of a table."""
    return [row.locator("td").all_inner_texts() for row in page.locator(f"{table} tbody tr").all()]


def test_fills_and_what_was_won_and_lost_are_what_was_traded(terminal: Terminal, stack: Stack) -> None:
    """One lot bought, sold in three parts: two won 40 and 20, the last lost 200. Fees: 300 and 100 millionths."""
    stack.order("carol", "SELL", "1", "60000")
    bought = stack.order("dave", "BUY", "1", "60000")
    made = stack.order("dave", "SELL", "0.4", "60100")
    stack.order("carol", "BUY", "0.4", "60100")
    stack.order("carol", "BUY", "0.4", "60050")
    stack.order("dave", "SELL", "0.4", "60050")
    page = terminal.trader("dave", "/executions")
    expect(page.locator("#fills tbody tr")).to_have_count(3)
    stack.order("carol", "BUY", "0.2", "59000")
    last = stack.order("dave", "SELL", "0.2", "59000")  # comes by the stream
    expect(page.locator("#fills tbody tr")).to_have_count(4)
    found = rows(page, "#fills")
    assert [row[1:8] for row in found] == [
        ["BTC/USD", "▼ Sell", "59,000.00", "0.2000", "11,800.00", "3.54 USD", "taker"],
        ["BTC/USD", "▼ Sell", "60,050.00", "0.4000", "24,020.00", "7.206 USD", "taker"],
        ["BTC/USD", "▼ Sell", "60,100.00", "0.4000", "24,040.00", "2.404 USD", "maker"],
        ["BTC/USD", "▲ Buy", "60,000.00", "1.0000", "60,000.00", "18 USD", "taker"],
    ]
    assert [found[place][8] for place in (0, 2, 3)] == [str(one["orderId"]) for one in (last, made, bought)]
    terminal.go(page, "/analytics")
    expect(page.locator("#by-symbol tbody tr")).to_have_count(1)
    told = figures(page)
    assert told["Net, USD"] == ("−171.15", "fees 31.15")
    assert told["Win rate"] == ("66.7 %", "2 won, 1 lost")
    assert told["Profit factor"][0] == "0.30"
    assert told["Largest drawdown"][0] == "−171.15"
    assert (told["Average win"][0], told["Average loss"][0]) == ("+30.00", "−200.00")
    assert told["Turnover, USD"] == ("119,860", "4 fills")
    assert rows(page, "#by-symbol") == [
        ["BTC/USD", "−171.15", "−140.00", "31.15", "66.7 %", "0.30", "4", "119,860"],
    ]
    expect(page.get_by_label("How far the curve stood below its highest, by day")).to_be_visible()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_page_opens_without_an_error(terminal: Terminal, stack: Stack, scheme: Literal["dark", "light"]) -> None:
    page = terminal.log_in(terminal.blank(scheme=scheme), "alice")
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    for path in PAGES:
        terminal.go(page, path)
        expect(page.locator("main")).not_to_be_empty()
        expect(page.locator(".spinner")).to_have_count(0)
        expect(page.locator(".failed")).to_have_count(0)


def test_no_page_scrolls_sideways_on_a_phone(terminal: Terminal, stack: Stack) -> None:
    stack.order("bob", "BUY", "0.2", "59000")
    stack.order("alice", "SELL", "0.2", "59000")
    page = terminal.trader("alice", width=NARROW, height=740)
    for path in PAGES:
        terminal.go(page, path)
        expect(page.locator("main")).not_to_be_empty()
        page.wait_for_timeout(250)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW, path


def test_the_switch_of_colours_reaches_the_charts_and_is_remembered(terminal: Terminal, stack: Stack) -> None:
    stack.order("bob", "BUY", "0.2", "59100")
    stack.order("carol", "SELL", "0.2", "59100")
    page = terminal.open("/")
    page.wait_for_selector(".chart canvas")
    corner = "() => document.querySelector('.chart canvas').getContext('2d').getImageData(3, 3, 1, 1).data[0]"
    page.wait_for_function(f"({corner})() > 0 && ({corner})() < 60")
    page.keyboard.press("t")
    page.wait_for_function(f"({corner})() > 200")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.reload()
    page.wait_for_selector("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_help_lists_the_keys_and_the_numbers_turn_the_pages(terminal: Terminal, stack: Stack) -> None:
    page = terminal.open("/")
    page.wait_for_selector("#help")
    page.keyboard.press("?")
    expect(page.locator("dialog.help")).to_contain_text("to the book")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.keyboard.press("6")
    expect(page.locator("h1")).to_have_text("Monitoring")
    page.go_back()
    expect(page.locator(".strip")).to_be_visible()


def test_monitoring_tells_each_part_and_the_latencies(terminal: Terminal, stack: Stack) -> None:
    page = terminal.trader("alice", "/monitoring")
    for part in ("gateway", "engine", "replica"):
        expect(page.locator(f'[data-part="{part}"] .badge')).to_contain_text("up")
    expect(page.locator("#latencies tbody tr").first).to_contain_text("µs")


def test_the_reference_of_the_api_is_rendered(terminal: Terminal, stack: Stack) -> None:
    page = terminal.open("/docs")
    expect(page.get_by_text("/api/v1/orders", exact=True).first).to_be_visible()
    expect(page.get_by_text("/api/v3/order", exact=True).first).to_be_visible()
