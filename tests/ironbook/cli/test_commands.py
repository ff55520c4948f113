"""Every command against an engine that `ironbook up` started, for people and with --json."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from ironbook import Client, Key
from ironbook.cli._app import EXIT_FAILED, EXIT_LINE, EXIT_REJECTED, EXIT_USAGE
from tests.ironbook.cli.conftest import Command, Up
from tests.support.node import ROOT


def test_an_order_is_entered_filled_shown_and_cancelled(cli: Command) -> None:
    sold = cli("order", "sell", "0.5", "BTC/USD", "--price", "60010", "--key", "demo-2", "--json")
    assert sold.code == 0
    order_id = sold.json["answer"]["order_id"]
    bought = cli("order", "buy", "0.2", "btc/usd", "--price", "60010.00", "--json").json
    assert [report["kind"] for report in bought["reports"]] == ["accepted", "filled"]
    assert (bought["reports"][1]["price"], bought["reports"][1]["quantity"]) == ("60010", "0.2")
    book = cli("book", "BTC/USD", "--once", "--json").json
    assert book["asks"] == [{"price": "60010", "quantity": "0.3", "lots": 3000, "orders": 1}]
    assert book["state"] == "open"
    shown = cli("accounts", "show", "2", "--json").json
    assert shown["orders"][0]["order_id"] == order_id
    assert shown["balances"]["BTC"] == {"free": "99.5", "locked": "0.3"}
    assert shown["positions"][0]["position"] == "-0.2"
    cancelled = cli("cancel", "BTC/USD", order_id, "--key", "demo-2")
    assert cancelled.code == 0
    assert "cancelled" in cancelled.out
    assert "0.3" in cancelled.out
    again = cli("cancel", "BTC/USD", order_id, "--key", "demo-2", "--json")
    assert again.code == EXIT_REJECTED
    assert again.json["engine_code_name"] == "unknown_order"


def test_a_market_order_and_a_mass_cancel_and_orders_by_own_number(cli: Command) -> None:
    assert cli("order", "sell", "1", "ETH/USD", "-p", "3001", "--key", "demo-2", "--client-order-id", 77).code == 0
    market = cli("order", "buy", "0.25", "ETH/USD")
    assert "filled" in market.out
    assert "0.25 @ 3001" in market.out
    assert cli("cancel", "ETH/USD", "--client-order-id", 77, "--key", "demo-2", "--json").code == 0
    for price in ("2999", "2998"):
        assert cli("order", "buy", "0.1", "ETH/USD", "--price", price, "--post-only").code == 0
    swept = cli("cancel", "all", "--all", "--json").json
    assert swept["answer"]["quantity_lots"] == 2
    raw = cli("order", "buy", "100", "2", "--price", "299900", "--raw", "--json").json
    assert raw["answer"]["price_ticks"] == 299900
    assert cli("cancel", "2", "--all", "--side", "buy", "--raw").code == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["order", "buy", "0.2", "BTC/USD", "--price", "60010.001"], "decimal_invalid"),
        (["order", "buy", "0.00001", "BTC/USD", "--price", "60010"], "decimal_invalid"),
        (["order", "buy", "one", "BTC/USD", "--price", "60010"], "decimal_invalid"),
        (["order", "buy", "1", "DOGE/USD", "--price", "1"], "input_invalid"),
        (["order", "buy", "1", "BTC/USD", "--price", "1", "--key", "nobody"], "key_invalid"),
        (["keys", "create", "admin"], "key_exists"),
        (["keys", "revoke", "nobody"], "key_unknown"),
        (["keys", "create", "x", "--network", "10.0.0.1/8"], "key_invalid"),
        (["accounts", "deposit", "1", "USD", "0.0000001"], "decimal_invalid"),
    ],
)
def test_what_cannot_be_says_what_where_and_what_to_do(cli: Command, arguments: list[str], error: str) -> None:
    said = cli(*arguments, "--json")
    assert (said.code, said.json["error"], said.err) == (EXIT_FAILED, error, "")
    plain = cli(*arguments)
    assert plain.out == ""
    assert said.json["message"][:40] in plain.err.replace("\n", "")
    assert "Traceback" not in plain.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["order"],
        ["order", "hold", "1", "BTC/USD"],
        ["order", "buy", "1", "BTC/USD", "--tif", "day"],
        ["order", "buy", "1", "BTC/USD", "--nonsense"],
        ["order", "buy", "x", "1", "--raw"],
        ["order", "buy", "1", "BTC/USD", "--raw"],
        ["cancel", "BTC/USD"],
        ["cancel", "BTC/USD", "5", "--all"],
        ["accounts", "show", "0"],
        ["accounts", "show", "4000"],
        ["keys", "networks", "demo-1", "10.0.0.0/8", "--any"],
        ["keys", "rotate", "demo-1", "--finish", "--cancel"],
        ["watch", "--log-on"],
        ["journal", "show", "--kind", "nonsense"],
        ["nonsense"],
    ],
)
def test_wrong_usage_ends_with_2_and_names_the_help(cli: Command, arguments: list[str]) -> None:
    said = cli(*arguments, "--json")
    assert (said.code, said.json["error"]) == (EXIT_USAGE, "usage")
    assert "--help" in said.json["hint"]


def test_what_the_market_refuses_ends_with_3(cli: Command) -> None:
    said = cli("order", "buy", "0.2", "BTC/USD", "--price", "159000", "--json")
    assert (said.code, said.json["engine_code_name"]) == (EXIT_REJECTED, "price_outside_collar")
    halted = cli("instruments", "halt", "BTC/USD")
    assert halted.code == 0
    assert cli("order", "buy", "0.2", "BTC/USD", "--price", "59000").code == EXIT_REJECTED
    assert cli("book", "BTC/USD", "--once", "--json").json["state"] == "halted"
    assert cli("instruments", "resume", "BTC/USD").code == 0
    forbidden = cli("accounts", "create", "9", "--key", "demo-1", "--json")
    assert (forbidden.code, forbidden.json["engine_code_name"]) == (EXIT_REJECTED, "kind_forbidden")


def test_no_engine_ends_with_4(cli: Command, tmp_path: Path) -> None:
    said = cli("accounts", "create", "9", "--data", tmp_path, "--json")
    assert (said.code, said.json["error"]) == (EXIT_LINE, "connection_failed")
    assert "ironbook up" in said.json["hint"]
    nobody = cli("order", "buy", "1", "1", "--raw", "--address", "127.0.0.1:1")
    assert nobody.code == EXIT_LINE
    assert cli("book", "BTC/USD", "--data", tmp_path, "--json").json["error"] == "engine_failed"


def test_definitions_deposits_limits_and_halts_by_an_admin(cli: Command) -> None:
    assert cli("assets", "create", "4", "EUR", "--decimals", "6").code == 0
    created = cli(
        "instruments", "create", "3", "ETH/EUR", "--base", "ETH", "--quote", "EUR", "--tick", "0.05", "--lot", "0.01",
        "--maker-fee-ppm", "-50", "--taker-fee-ppm", "200", "--json",
    )  # fmt: skip
    assert created.json["done"] == "instrument 3 (ETH/EUR) defined"
    assert cli("instruments", "limits", "ETH/EUR", "--collar", "5", "--reference", "2800").code == 0
    found = {i["symbol"]: i for i in cli("instruments", "list", "--json").json["instruments"]}["ETH/EUR"]
    assert (found["tick"], found["lot"], found["maker_fee"], found["collar_ppm"]) == (
        "0.05",
        "0.01",
        "-0.005 %",
        50_000,
    )
    uneven = cli("instruments", "create", "4", "X", "--base", "ETH", "--quote", "EUR", "--tick", "0.00001", "--json")
    assert uneven.json["error"] == "input_invalid"
    assert cli("accounts", "create", "7", "--firm", "3").code == 0
    assert cli("accounts", "deposit", "7", "EUR", "1000.5", "--reference", "12").code == 0
    assert cli("accounts", "withdraw", "7", "EUR", "0.25").code == 0
    assert cli("accounts", "withdraw", "7", "EUR", "5000").code == EXIT_REJECTED
    assert cli("accounts", "limits", "7", "--open-orders", "5", "--order-rate", "10").code == 0
    assert cli("accounts", "halt", "7").code == 0
    account = cli("accounts", "show", "7", "--json").json
    assert (account["firm"], account["halted"], account["open_orders_max"]) == (3, 1, 5)
    assert account["balances"]["EUR"]["free"] == "1000.25"
    assert cli("accounts", "resume", "7").code == 0
    listed = {a["account"]: a for a in cli("accounts", "list", "--json").json["accounts"]}
    assert listed[7]["halted"] == 0
    assets = {a["name"]: a for a in cli("assets", "list", "--json").json["assets"]}
    assert assets["EUR"]["supply"] == "1000.25"
    for command in (["accounts", "list"], ["assets", "list"], ["instruments", "list"], ["accounts", "show", "7"]):
        assert "EUR" in cli(*command).out


def test_a_symbol_and_an_asset_name_belong_to_one_number(cli: Command, up: Up) -> None:
    terms = ("--base", "ETH", "--quote", "USD", "--json")
    taken = cli("instruments", "create", "9", "btc/usd", *terms)
    assert (taken.code, taken.json["error"]) == (EXIT_FAILED, "input_invalid")
    assert "'btc/usd' is the symbol of instrument 1" in taken.json["message"]
    assert "another symbol" in taken.json["hint"]
    asset = cli("assets", "create", "9", "Usd", "--json")
    assert (asset.code, asset.json["error"]) == (EXIT_FAILED, "input_invalid")
    assert "is the name of asset" in asset.json["message"]
    key = Key.from_file(up.data / "client-keys" / "admin.json")
    address = orjson.loads((up.data / "engine.json").read_bytes())["addresses"][0]
    with Client(address, key) as client:  # the engine itself does not mind
        for number in (11, 12):
            client.define_instrument(
                number, "TWIN/USD", base_asset=2, quote_asset=1, base_units_per_lot=100, quote_units_per_tick_lot=100
            ).raise_if_rejected()
    twin = cli("book", "twin/usd", "--once", "--json")
    assert (twin.code, twin.json["error"]) == (EXIT_FAILED, "input_invalid")
    assert twin.json["detail"] == "instruments 11, 12"
    assert "number" in twin.json["hint"]
    assert cli("book", "12", "--once", "--json").json["symbol"] == "TWIN/USD"
    steps = ("--lot", "0.000001", "--tick", "100", "--base", "2", "--quote", "1", "--json")
    refused = cli("instruments", "create", "11", "TWIN/USD", *steps)
    assert "is the symbol of instrument 12" in refused.json["message"]
    assert cli("instruments", "create", "12", "OTHER/USD", *steps).code == 0
    assert cli("instruments", "create", "11", "TWIN/USD", *steps).code == 0  # its own symbol is no other's
    assert cli("book", "twin/usd", "--once").code == 0


def test_a_step_that_is_too_small_is_told_in_digits(cli: Command) -> None:
    said = cli("instruments", "create", "9", "X", "--base", "ETH", "--quote", "USD", "--tick", "0.0000000001", "--json")
    assert "is 0.00000001 of them" in said.json["message"]


def test_people_read_decimals_and_clock_times(cli: Command) -> None:
    assert cli("order", "sell", "0.5", "ETH/USD", "-p", "3001", "--key", "demo-2").code == 0
    said = [
        cli("order", "buy", "0.25", "ETH/USD", "-p", "3001").out,
        cli("cancel", "all", "--all", "--key", "demo-2").out,
    ]
    assert "ETH/USD sell 0.25 @ 3001" in said[1]
    assert "1 order cancelled" in said[1]
    said.append(cli("watch", "--key", "demo-1", "--log-on", "--after-report", "0", "--seconds", "1").out)
    said.append(cli("watch", "--key", "demo-1", "--past", "--seconds", "1").out)
    said.append(cli("watch", "--past", "--seconds", "1").out)
    for text in (said[0], said[2], said[3]):
        assert re.search(r"0\.25 @ 3001 taker trade [0-9]+, fee [0-9.]+ USD", text), text
    for text in said:
        assert not re.search(r"\b(ticks|lots|units)\b|\b1 orders", text), text
    made = cli("keys", "create", "clock")
    assert re.search(r"created +20[0-9-]+T[0-9:]+\+00:00", made.out)
    assert "_ns" not in made.out


def test_a_key_is_made_used_rotated_and_revoked_while_the_engine_runs(cli: Command, up: Up) -> None:
    made = cli("keys", "create", "bot", "--account", "1", "--rate", "1000", "--network", "127.0.0.0/8", "--json").json
    file = Path(made["secret_file"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first = Key.from_file(file)
    assert first.secret.hex() not in orjson.dumps(made).decode()
    said = cli("order", "buy", "0.1", "BTC/USD", "--price", "50000", "--key", "bot", "--tif", "ioc")
    deadline_s = time.monotonic() + 20
    while said.code == EXIT_LINE and time.monotonic() < deadline_s:
        time.sleep(0.2)  # the engine looks for new keys once a second
        said = cli("order", "buy", "0.1", "BTC/USD", "--price", "50000", "--key", "bot", "--tif", "ioc")
    assert said.code == 0, said.err
    newer = up.data / "bot.new.json"
    assert cli("keys", "rotate", "bot", "--out", newer).code == 0
    assert Key.from_file(newer).secret != first.secret
    listed = {key["key_id"]: key for key in cli("keys", "list", "--json").json["keys"]}
    assert (len(listed["bot"]["secrets"]), listed["bot"]["message_rate_per_s"]) == (2, 1000)
    assert cli("keys", "rotate", "bot", "--finish").code == 0
    assert cli("keys", "networks", "bot", "10.0.0.0/8", "2001:db8::/32", "--json").json["key"]["networks"] == [
        "10.0.0.0/8",
        "2001:db8::/32",
    ]
    assert "10.0.0.0/8" in cli("keys", "networks", "bot").out
    assert cli("keys", "networks", "bot", "--any", "--json").json["key"]["networks"] == []
    assert cli("keys", "revoke", "bot").code == 0
    assert "revoked" in cli("keys", "list").out


def test_watch_shows_public_events_and_the_reports_of_a_key(cli: Command) -> None:
    cli("order", "sell", "0.1", "BTC/USD", "--price", "60100", "--key", "demo-2")
    cli("order", "buy", "0.1", "BTC/USD", "--price", "60100")
    public = cli("watch", "BTC/USD", "--past", "--level3", "--seconds", "1", "--json").lines
    assert {event["kind"] for event in public} == {"trade", "book_update", "state", "level3"}
    trade = next(event for event in public if event["kind"] == "trade")
    assert trade["symbol"] == "BTC/USD"
    own = cli("watch", "--key", "demo-1", "--past", "--count", "2", "--json").lines
    assert len(own) == 2
    assert {event["account"] for event in own} == {1}
    lines = cli("watch", "--past", "--count", "5").out.splitlines()
    assert len(lines) == 5
    live = cli("watch", "--key", "demo-1", "--log-on", "--after-report", "0", "--count", "2", "--json").lines
    assert [report["report_number"] for report in live] == [1, 2]
    assert "order" in cli("watch", "--key", "demo-1", "--log-on", "--after-report", "0", "--count", "1").out


def test_a_live_book_goes_on_as_orders_come(cli: Command, up: Up) -> None:
    environment = {**os.environ, "IRONBOOK_DATA": str(up.data)}
    live = subprocess.Popen(
        [sys.executable, "-m", "ironbook", "book", "ETH/USD", "--seconds", "20", "--json"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert live.stdout is not None
    first = orjson.loads(live.stdout.readline())
    assert cli("order", "buy", "0.5", "ETH/USD", "--price", "2990").code == 0
    second = orjson.loads(live.stdout.readline())
    live.terminate()
    live.wait(10)
    live.stdout.close()
    assert second["sequence"] > first["sequence"]
    cli("cancel", "all", "--all")
    assert "ETH/USD" in cli("book", "ETH/USD", "--seconds", "0.3").out


def test_doctor_tells_what_it_found(cli: Command) -> None:
    said = cli("doctor", "--json")
    assert {finding["result"] for finding in said.json["findings"]} <= {"ok", "unknown", "warn", "bad"}
    assert cli("doctor").out.count("\n") > 5


def test_a_saved_key_of_up_signs_for_the_sdk_too(up: Up) -> None:
    state = orjson.loads((up.data / "engine.json").read_bytes())
    with Client(state["addresses"][0], Key.from_file(up.data / "client-keys" / "demo-1.json")) as client:
        assert client.account == 1


def test_the_installed_command_and_the_module_are_the_same(up: Up) -> None:
    for command in (
        [sys.executable, "-m", "ironbook"],
        [sys.executable, "-c", "from ironbook.cli import main; main()"],
    ):
        environment = {**os.environ, "IRONBOOK_DATA": str(up.data)}
        done = subprocess.run(
            [*command, "instruments", "list", "--json"], cwd=ROOT, env=environment, capture_output=True, check=True
        )
        assert orjson.loads(done.stdout)["instruments"][0]["symbol"] == "BTC/USD"
        assert done.stderr == b""
