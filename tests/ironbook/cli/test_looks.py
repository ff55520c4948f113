"""How things look to people, on a recorded console; and the help, which the reference page repeats."""

from __future__ import annotations

import io
import re
import time
from typing import Any

import pytest
import typer
from rich.console import Console

from ironbook import Units
from ironbook._reports import Report
from ironbook.cli import _output, _reference
from ironbook.cli._app import EPILOG, app, run
from ironbook.cli._place import Market
from ironbook.cli.book import ladder
from ironbook.cli.orders import report_line
from schemas.vocabulary import Code, EventKind
from tests.support.node import ROOT

UNITS = Units(base_decimals=8, quote_decimals=6, base_units_per_lot=10_000, quote_units_per_tick_lot=1)
MARKET = Market(symbol="BTC/USD", quote="USD", units=UNITS)


def recorded(*things: Any, width: int = 80) -> list[str]:
    console = Console(record=True, width=width, file=io.StringIO())
    for thing in things:
        console.print(thing)
    return [line.rstrip() for line in console.export_text().splitlines()]


def level(price: str, quantity: str, lots: int, orders: int = 1) -> dict[str, Any]:
    return {"price": price, "quantity": quantity, "lots": lots, "orders": orders}


def shown(bids: list[dict[str, Any]], asks: list[dict[str, Any]]) -> dict[str, Any]:
    told = {"symbol": "BTC/USD", "state": "open", "sequence": 42, "received_ns": 1, "engine_running": True}
    return told | {"reference": "100", "bids": bids, "asks": asks}


def test_a_ladder_has_asks_above_bids_and_bars_in_proportion() -> None:
    asks, bids = [level("101", "1", 100), level("102", "2", 200, 3)], [level("99", "0.5", 50)]
    trades = [{"side": "buy", "price": "101", "quantity": "0.1", "trade_id": 7}]
    lines = recorded(ladder(shown(bids, asks), trades))
    assert lines[0] == "BTC/USD  open  last 100  sequence 42"
    prices = [line.split()[2] for line in lines if "█" in line]
    assert prices == ["102", "101", "99"]
    assert [line.count("█") for line in lines if "█" in line] == [24, 12, 6]
    assert lines[-1].split() == ["buy", "0.1", "@", "101"]


def test_an_empty_book_says_so() -> None:
    assert any(line.strip() == "empty" for line in recorded(ladder(shown([], []), [])))


def test_a_ladder_says_that_no_engine_is_running_and_how_old_it_is() -> None:
    gone = shown([], []) | {"engine_running": False, "received_ns": time.time_ns()}
    first = recorded(ladder(gone, []))[0]
    assert re.fullmatch(r"engine not running; as of [0-9]{2}:[0-9]{2}:[0-9]{2}", first)
    old = recorded(ladder(gone | {"received_ns": 1}, []))[0]
    assert re.search(r"as of [0-9]{4}-[0-9]{2}-[0-9]{2} ", old)


def report(kind: EventKind, **fields: Any) -> Report:
    values: dict[str, Any] = dict.fromkeys(Report.__dataclass_fields__, 0) | {"kind": kind, "code": Code.NONE}
    return Report(**(values | fields))


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            report(EventKind.ACCEPTED, order_id=5, price_ticks=6_001_000, quantity_lots=2_000, remaining_lots=2_000),
            "accepted  order 5 buy 0.2 @ 60010 open 0.2",
        ),
        (
            report(
                EventKind.FILLED, order_id=5, flags=1 | 2 | 4, price_ticks=100, quantity_lots=1, reference=9,
                amount_units=-3, client_order_id=8,
            ),
            "filled    order 5 (yours: 8) sell 0.0001 @ 1 maker trade 9, fee -0.000003 USD done",
        ),
        (
            report(EventKind.REJECTED, code=Code.INSUFFICIENT_FUNDS, price_ticks=1, quantity_lots=1),
            "rejected  buy 0.0001 @ 0.01 insufficient_funds: The free balance must cover what the command locks or "
            "takes out.",
        ),
        (report(EventKind.APPLIED, quantity_lots=3), "applied   3 orders cancelled"),
        (report(EventKind.APPLIED, quantity_lots=1), "applied   1 order cancelled"),
        (report(EventKind.APPLIED), "applied   done"),
    ],
)  # fmt: skip
def test_a_report_is_one_line(told: Report, line: str) -> None:
    assert " ".join(recorded(report_line(told, MARKET))) == line


def test_tables_are_whole_where_nobody_looks() -> None:
    wide = _output.table("", ("a", "b"), [("x" * 100, "[red]y[/]")])
    buffer = io.StringIO()
    Console(file=buffer, width=_output.FILE_WIDTH).print(wide)
    assert "x" * 100 in buffer.getvalue()
    assert "[red]y[/]" in buffer.getvalue()


@pytest.mark.parametrize("width", [30, 60, 80, 132])
def test_a_table_that_is_too_wide_becomes_lines_and_keeps_every_cell(width: int) -> None:
    columns = ("number", "key", "price", "quantity", "permissions", "networks", "note")
    rows = [
        (number, f"demo-{number}", "1234567890.00000001", "0.000000000000000001", "trade,cancel", "10.0.0.0/8", "")
        for number in (1, 2)
    ]
    lines = recorded(_output.table("keys", columns, rows, right=("price",)), width=width)
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    for row in rows:
        for cell in row[:-1]:
            assert any(str(cell) in line for line in lines), cell
    assert lines[0] == "keys"
    if width == 132:
        assert len(lines) == 4
        assert lines[1].split() == list(columns)
    else:
        assert next(line.strip() for line in lines if "demo-1" in line).startswith("1  demo-1")
        assert any("price 1234567890.00000001" in line for line in lines)


def test_a_second_number_of_a_line_is_named() -> None:
    wide = _output.table("", ("account", "firm", "free"), [(1, 3, "x" * 90)], right=("account", "firm"))
    assert recorded(wide)[0] == "1  firm 3"


def test_a_ladder_gives_up_its_bars_before_its_numbers() -> None:
    asks = [level("1234567890.00000001", "0.000000000000000001", 5)]
    lines = recorded(ladder(shown([], asks), []), width=52)
    assert any("0.000000000000000001" in line and "1234567890.00000001" in line and "█" in line for line in lines)


def test_one_is_not_many() -> None:
    assert [_output.plural(count, "order") for count in (0, 1, 2)] == ["0 orders", "1 order", "2 orders"]


def test_an_unforeseen_error_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ironbook.cli.keys.open_key_file", lambda data: 1 / 0)
    assert run(["keys", "list"]) == 1
    err = capfd.readouterr().err
    assert "ZeroDivisionError" in err
    assert "Traceback" not in err
    monkeypatch.setenv("IRONBOOK_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        run(["keys", "list"])


# ---- Help ------------------------------------------------------------------------------------------------------------


def every_command() -> list[str]:
    return [line.removeprefix("## ironbook ") for line in _reference.page().splitlines() if line.startswith("## ")]


def test_the_reference_page_is_what_the_commands_say() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()
    assert page == _reference.page(), "run: python -m ironbook.cli._reference > docs/reference/cli.md"


def test_every_command_has_help_with_json_and_an_example(capfd: pytest.CaptureFixture[str]) -> None:
    assert len(every_command()) >= 30
    for command in every_command():
        assert run([*command.split(), "--help"]) == 0
        said = capfd.readouterr().out
        assert "--json" in said, command
        if command not in ("tape", "demo"):
            assert f"ironbook {command.split()[0]}" in said, command
            assert "Example" in said, command


def test_the_root_help_lists_every_command_and_the_exit_codes(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    said = capfd.readouterr().out
    for command in every_command():
        assert command.split()[0] in said
    assert "Exit codes" in said
    assert str(app.info.epilog) == EPILOG
    assert isinstance(app, typer.Typer)
