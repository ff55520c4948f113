"""Fee tiers, price steps, floors, payouts, busts and corrections from the command line."""

from __future__ import annotations

from ironbook.cli._app import EXIT_FAILED, EXIT_REJECTED
from tests.ironbook.cli.conftest import Command


def test_a_trade_is_shown_corrected_and_busted_and_its_fees_are_paid_out(cli: Command) -> None:
    assert cli("instruments", "tier", "BTC/USD", 3, "--maker-fee-ppm", -100, "--taker-fee-ppm", 1000).code == 0
    assert cli("accounts", "create", 1, "--fee-tier", 3).code == 0
    cli("order", "sell", "0.2", "BTC/USD", "--price", "60010", "--key", "demo-2")
    cli("order", "buy", "0.2", "BTC/USD", "--price", "60010")
    trade = cli("trades", "list", "BTC/USD", "--json").json["trades"][0]
    assert (trade["buyer"], trade["seller"], trade["buyer_fee"]) == (1, 2, "12.002")
    assert (trade["quantity"], trade["price"], trade["state"]) == ("0.2", "60010", "settled")
    assert cli("trades", "correct", "BTC/USD", trade["trade"], "--price", "60000", "-q", "0.1").code == 0
    assert "0.1" in cli("trades", "list", "BTC/USD").out
    corrected = cli("trades", "list", "BTC/USD", "--count", "1", "--json").json["trades"][0]
    assert (corrected["quantity"], corrected["price"], corrected["buyer_fee"]) == ("0.1", "60000", "6")
    assert cli("trades", "bust", "BTC/USD", trade["trade"]).code == 0
    assert cli("trades", "list", "BTC/USD", "--json").json["trades"][0]["state"] == "busted"
    again = cli("trades", "bust", "BTC/USD", trade["trade"], "--json")
    assert (again.code, again.json["engine_code_name"]) == (EXIT_REJECTED, "unknown_trade")
    gone = cli("trades", "correct", "BTC/USD", 999_999, "--price", "1", "--json")
    assert (gone.code, gone.json["error"]) == (EXIT_FAILED, "input_invalid")

    cli("order", "sell", "0.2", "BTC/USD", "--price", "60010", "--key", "demo-2")
    cli("order", "buy", "0.2", "BTC/USD", "--price", "60010")
    before = float(cli("accounts", "show", 2, "--json").json["balances"]["USD"]["free"])
    assert cli("accounts", "pay-fees", 2, "USD", "12").code == 0
    assert float(cli("accounts", "show", 2, "--json").json["balances"]["USD"]["free"]) == before + 12
    short = cli("accounts", "pay-fees", 2, "USD", "1000000", "--json")
    assert (short.code, short.json["engine_code_name"]) == (EXIT_REJECTED, "insufficient_funds")


def test_a_floor_lets_an_account_sell_short(cli: Command) -> None:
    held = cli("accounts", "show", 1, "--json").json["balances"]["ETH"]
    assert "floor" not in held
    too_much = float(held["free"]) + 1
    refused = cli("order", "sell", too_much, "ETH/USD", "--price", "3100", "--json")
    assert (refused.code, refused.json["engine_code_name"]) == (EXIT_REJECTED, "insufficient_funds")
    assert cli("accounts", "floor", 1, "ETH", "5").code == 0
    assert cli("order", "sell", too_much, "ETH/USD", "--price", "3100").code == 0
    balance = cli("accounts", "show", 1, "--json").json["balances"]["ETH"]
    assert (balance["free"], balance["floor"]) == ("-1", "-5")
    held_by = cli("accounts", "floor", 1, "ETH", "0", "--json")
    assert (held_by.code, held_by.json["engine_code_name"]) == (EXIT_REJECTED, "insufficient_funds")
    assert cli("cancel", "all", "--all").code == 0
    assert cli("accounts", "floor", 1, "ETH", "0").code == 0


def test_price_steps_are_set_as_a_whole_table(cli: Command) -> None:
    rows = ("--row", "0:0.5:0.001", "--row", "50000:5:0.01")
    assert cli("instruments", "steps", "BTC/USD", *rows).code == 0
    refused = cli("order", "buy", "0.01", "BTC/USD", "--price", "59001", "--json")
    assert (refused.code, refused.json["engine_code_name"]) == (EXIT_REJECTED, "price_not_on_tick")
    refused = cli("order", "buy", "0.001", "BTC/USD", "--price", "59005", "--json")
    assert (refused.code, refused.json["engine_code_name"]) == (EXIT_REJECTED, "quantity_not_on_lot")
    assert cli("order", "buy", "0.01", "BTC/USD", "--price", "59005").code == 0
    assert cli("instruments", "steps", "BTC/USD").code == 0
    assert cli("order", "buy", "0.001", "BTC/USD", "--price", "59001").code == 0
    assert cli("cancel", "all", "--all").code == 0
    assert cli("instruments", "steps", "BTC/USD", "--row", "1:2").code != 0
