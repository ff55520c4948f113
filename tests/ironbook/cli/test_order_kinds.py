"""Order kinds and market structure on the command line, against an engine that `ironbook up` started."""

from __future__ import annotations

import time
from typing import Any

import pytest
import typer

from ironbook import LinkAction, OrderTerms, Peg, TermOption, Trigger
from ironbook.cli import _terms
from ironbook.cli._app import EXIT_REJECTED, EXIT_USAGE
from ironbook.cli._terms import TermWords
from tests.ironbook.cli.conftest import Command

MAKER = ("--key", "demo-2")


@pytest.fixture(autouse=True)
def a_clean_book(cli: Command) -> None:
    for key in ("demo-1", "demo-2"):
        assert cli("cancel", "all", "--all", "--key", key).code == 0
    if cli("book", "BTC/USD", "--once", "--json").json["state"] != "open":
        assert cli("instruments", "state", "BTC/USD", "open").code == 0


def last_price(cli: Command, price: str) -> None:
    assert cli("order", "sell", "0.001", "BTC/USD", "-p", price, *MAKER).code == 0
    assert cli("order", "buy", "0.001", "BTC/USD", "-p", price, "--tif", "ioc").code == 0


def levels(cli: Command, side: str, *more: object) -> list[tuple[str, str]]:
    book = cli("book", "BTC/USD", "--once", "--json", *more).json
    return [(level["price"], level["quantity"]) for level in book[side]]


# ---- Orders ----------------------------------------------------------------------------------------------------------


def test_a_stop_and_a_take_profit_of_which_one_cancels_the_other(cli: Command) -> None:
    last_price(cli, "60000")
    profit = cli("order", "sell", "0.1", "BTC/USD", "-p", "61000", "--json").json["answer"]["order_id"]
    stop = cli("order", "sell", "0.1", "BTC/USD", "--stop", "59000", "--one-cancels", profit, "--json").json
    assert [report["kind"] for report in stop["reports"]] == ["accepted"]
    met = cli("order", "sell", "0.1", "BTC/USD", "--stop", "60500", "--json")
    assert (met.code, met.json["engine_code_name"]) == (EXIT_REJECTED, "trigger_already_met")
    cancelled = cli("cancel", "BTC/USD", profit, "--json").json
    codes = {(report["order_id"], report["code"]) for report in cancelled["reports"]}
    assert codes == {(profit, "cancelled_by_request"), (stop["answer"]["order_id"], "cancelled_linked")}


def test_an_iceberg_a_hidden_and_a_pegged_order(cli: Command) -> None:
    last_price(cli, "60000")
    assert cli("order", "sell", "1", "BTC/USD", "-p", "60100", "--display", "0.2", *MAKER).code == 0
    assert cli("order", "sell", "1", "BTC/USD", "-p", "60050", "--hidden", *MAKER).code == 0
    assert cli("order", "buy", "0.1", "BTC/USD", "-p", "59900", *MAKER).code == 0
    pegged = cli("order", "buy", "0.1", "BTC/USD", "-p", "60090", "--peg", "own_best", "--offset", "-0.50", *MAKER)
    assert pegged.code == 0
    assert levels(cli, "asks") == [("60100", "0.2")]
    assert levels(cli, "bids") == [("59900", "0.1")]
    bought = cli("order", "buy", "1.5", "BTC/USD", "-p", "60100", "--json").json
    assert [(report["price"], report["quantity"]) for report in bought["reports"][1:]] == [
        ("60050", "1"),
        ("60100", "0.2"),
        ("60100", "0.2"),
        ("60100", "0.1"),
    ]


def test_an_amount_is_spent_and_an_order_takes_the_place_of_another(cli: Command) -> None:
    last_price(cli, "60000")
    assert cli("order", "sell", "1", "BTC/USD", "-p", "60000", *MAKER).code == 0
    spent = cli("order", "buy", "600", "BTC/USD", "--by-quote", "--json").json
    assert sum(r["quantity_lots"] for r in spent["reports"] if r["kind"] == "filled") == 100  # 0.01 BTC
    old = cli("order", "buy", "0.1", "BTC/USD", "-p", "59000", "--json").json["answer"]["order_id"]
    new = cli("order", "buy", "0.1", "BTC/USD", "-p", "59001", "--instead-of", old, "--json").json
    assert [report["kind"] for report in new["reports"]] == ["cancelled", "accepted"]
    gone = cli("order", "buy", "0.1", "BTC/USD", "-p", "59001", "--instead-of", old, "--json")
    assert (gone.code, gone.json["engine_code_name"]) == (EXIT_REJECTED, "unknown_order")


def test_an_order_expires_and_a_countdown_runs_out(cli: Command) -> None:
    kept = cli("order", "buy", "0.1", "BTC/USD", "-p", "59000", "--expire", "1h").code
    assert kept == 0
    assert cli("order", "buy", "0.1", "BTC/USD", "-p", "58999", "--expire", "300ms").code == 0
    await_levels(cli, "bids", [("59000", "0.1")])
    assert cli("countdown", "200ms").code == 0
    await_levels(cli, "bids", [])
    assert cli("countdown", "0").code == 0
    assert cli("countdown", "soon").code == EXIT_USAGE


def await_levels(cli: Command, side: str, wanted: list[tuple[str, str]]) -> None:
    deadline_s = time.monotonic() + 20
    while (found := levels(cli, side)) != wanted:
        assert time.monotonic() < deadline_s, found
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--stop", "1", "--trail", "2"), "one of --stop"),
        (("--offset", "1"), "--peg"),
        (("--expire", "tomorrow"), "a time must be"),
        (("--one-cancels", "1", "--instead-of", "2"), "one link"),
        (("-p", "60000", "--by-quote"), "--cap"),
        (("--peg", "middle"), "--price"),
    ],
)
def test_words_that_do_not_fit_are_refused_before_anything_is_sent(
    cli: Command, wrong: tuple[str, ...], said: str
) -> None:
    refused = cli("order", "buy", "0.1", "BTC/USD", *wrong, "--json")
    assert refused.code == EXIT_USAGE
    assert said in refused.json["message"]


# ---- The market ------------------------------------------------------------------------------------------------------


def test_an_auction_from_the_command_line(cli: Command) -> None:
    assert cli("instruments", "state", "BTC/USD", "auction").code == 0
    assert cli("order", "sell", "0.2", "BTC/USD", "-p", "60000", *MAKER).code == 0
    assert cli("order", "buy", "0.3", "BTC/USD", "-p", "60100").code == 0
    early = cli("order", "buy", "0.1", "BTC/USD", "--json")
    assert early.json["engine_code_name"] in ("not_in_this_state", "price_cap_required")
    listed = cli("instruments", "list", "--json").json["instruments"]
    assert next(i for i in listed if i["symbol"] == "BTC/USD")["state"] == "auction"
    assert cli("instruments", "state", "BTC/USD", "open").code == 0
    assert levels(cli, "bids") == [("60100", "0.1")]
    assert cli("instruments", "state", "BTC/USD", "closed", "--for", "1m").code == EXIT_REJECTED


def test_breakers_and_kills(cli: Command) -> None:
    assert cli("instruments", "breaker", "BTC/USD", "--band", "2:30s", "--level", "7:5m", "--level", "20:0").code == 0
    falling = cli("instruments", "breaker", "BTC/USD", "--level", "7:5m", "--level", "5:5m", "--json")
    assert falling.json["engine_code_name"] == "limits_invalid"
    assert cli("instruments", "breaker", "BTC/USD", "--level", "7").code == EXIT_USAGE
    assert cli("instruments", "breaker", "BTC/USD").code == 0
    assert cli("order", "buy", "0.3", "BTC/USD", "-p", "50000").code == 0
    killed = cli("accounts", "kill", "1")
    assert "1 order cancelled" in killed.out
    assert cli("order", "buy", "0.3", "BTC/USD", "-p", "50000").code == EXIT_REJECTED
    assert cli("accounts", "resume", "1").code == 0
    assert cli("order", "buy", "0.3", "BTC/USD", "-p", "50000").code == 0
    assert cli("instruments", "kill", "BTC/USD").code == 0
    assert levels(cli, "bids") == []


def test_a_book_is_shown_as_it_was(cli: Command) -> None:
    first = cli("order", "buy", "0.1", "BTC/USD", "-p", "50000", "--json").json["answer"]["sequence"]
    second = cli("order", "buy", "0.2", "BTC/USD", "-p", "50001", "--json").json["answer"]["sequence"]
    assert cli("cancel", "all", "--all").code == 0
    assert levels(cli, "bids") == []
    assert levels(cli, "bids", "--at", first) == [("50000", "0.1")]
    then = cli("book", "BTC/USD", "--at", second, "--json").json
    assert then["sequence"] == second
    assert [level["price"] for level in then["bids"]] == ["50001", "50000"]
    beyond = cli("book", "BTC/USD", "--at", 10**9, "--json")
    assert "a sequence must be from 1" in beyond.json["message"]


def test_watch_and_the_journal_know_all_kinds(cli: Command) -> None:
    hidden = cli("order", "buy", "0.2", "BTC/USD", "-p", "50001", "--hidden", "--day", "--json").json["answer"]
    assert cli("instruments", "state", "BTC/USD", "closed").code == 0
    assert cli("instruments", "state", "BTC/USD", "pre_open").code == 0
    shown = cli("journal", "show", "--from", hidden["sequence"] - 1, "--json").lines
    terms = [row["fields"] for row in shown if row["kind"] == "order_terms"]
    assert terms[0]["options"] == "hidden+day"
    assert [row["fields"]["trading_state"] for row in shown if row["kind"] == "instrument_state"][-2:] == [
        "closed",
        "pre_open",
    ]
    states: Any = [e["code"] for e in cli("watch", "--past", "--seconds", "1", "--json").lines if e["kind"] == "state"]
    assert states[-2:] == ["closed", "pre_open"]
    assert cli("watch", "--past", "--seconds", "0.5").code == 0
    assert cli("journal", "verify").code == 0


# ---- Words -----------------------------------------------------------------------------------------------------------


def test_words_become_terms() -> None:
    assert _terms.order_terms(TermWords(), None) is None
    assert _terms.order_terms(TermWords(trail="25"), None) == OrderTerms(trigger=Trigger.TRAILING, offset_ticks=25)
    assert _terms.order_terms(TermWords(peg="middle", offset="-3"), None) == OrderTerms(peg=Peg.MIDDLE, offset_ticks=-3)
    words = TermWords(take_profit="90", display="4", minimum="2", hidden=True, all_or_none=True, day=True)
    assert _terms.order_terms(words, None) == OrderTerms(
        trigger=Trigger.TAKE_PROFIT,
        trigger_price_ticks=90,
        display_lots=4,
        minimum_lots=2,
        options=TermOption.HIDDEN | TermOption.ALL_OR_NONE | TermOption.DAY,
    )
    link = _terms.order_link(7, 0)
    assert link is not None
    assert (link.order_id, link.action) == (7, LinkAction.ONE_CANCELS_OTHER)


def test_times_are_durations_or_moments() -> None:
    assert _terms.moment_ns("1970-01-01T00:00:01.000250+00:00") == 1_000_250_000
    assert abs(_terms.moment_ns("1.5h") - time.time_ns() - 5400 * 10**9) < 60 * 10**9
    durations = {"0": 0, "250ms": 250, "30s": 30_000, "5m": 300_000, "1d": 86_400_000}
    assert {text: _terms.duration_ms(text) for text in durations} == durations
    with pytest.raises(typer.BadParameter):
        _terms.duration_ms("5")
