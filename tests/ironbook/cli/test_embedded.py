"""`ironbook up` without Kafka: orders become positions, P&L and candles, whatever is killed or away."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine_node.replica import Replica
from ironbook import Client, Key, Side
from ironbook.cli._app import run
from ironbook.cli._place import client_key_path
from tests.ironbook.cli.conftest import Up
from tests.support.node import wait_until

pytestmark = pytest.mark.timeout(300)  # servers and workers start on whatever the machine leaves them
START_S = 90.0


@pytest.fixture
def capture(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command with --json; exit code and JSON lines."""

    def call(*arguments: object) -> tuple[int, list[Any]]:
        capsys.readouterr()
        code = run([*map(str, arguments), "--json"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return call


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("IRONBOOK_") and "TEST" not in name]:
        monkeypatch.delenv(name)


def ready(up: Up) -> str:
    """Its address, once it is ready."""
    said = orjson.loads(up.first_line())
    assert said.get("ready"), said
    return str(said["address"])


def trade(data: Path, address: str, count: int) -> None:
    """So many fills of 10 lots between the demo traders, at rising prices."""
    one, two = (Key.from_file(client_key_path(data, name)) for name in ("demo-1", "demo-2"))
    with Client(address, one) as buyer, Client(address, two) as seller:
        for number in range(count):
            price = 6_000_000 + number
            seller.submit(1, Side.SELL, price_ticks=price, quantity_lots=10).raise_if_rejected()
            assert buyer.submit(1, Side.BUY, price_ticks=price, quantity_lots=10).filled_lots == 10


def engine_positions(data: Path) -> dict[int, int]:
    """Account to lots, as a replica has them."""
    with Replica.open(data) as replica:
        replica.catch_up()
        found = {account: replica.core.position(account, 1) for account in (1, 2)}
        return {account: position[0] for account, position in found.items() if position is not None}


def lots(answer: tuple[int, list[Any]]) -> dict[int, int]:
    """Account to lots of the demo market (a lot is 0.0001), as the database has them; none while it is not there."""
    code, rows = answer
    return {} if code else {row["account"]: round(float(row["position"]) * 10_000) for row in rows}


def log_lines(data: Path, event: str) -> list[Any]:
    """What analytics said by that name."""
    log = data / "streams" / "embedded.log"
    lines = log.read_bytes().splitlines() if log.exists() else []
    said = [orjson.loads(line) for line in lines if line.startswith(b"{")]
    return [line for line in said if line["event"] == event]


def analytics_pids(data: Path) -> list[int]:
    """Processes of `python -m ironbook.embedded` on this data directory."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"ironbook.embedded" in words and os.fsencode(data) in words:
            found.append(int(place.parent.name))
    return found


def test_orders_become_positions_pnl_and_candles_in_a_database_of_its_own(tmp_path: Path, capture: Any) -> None:
    data = tmp_path / "data"
    up = Up(data, "--json", "--level", "process", "--analytics")
    try:
        address = ready(up)
        trade(data, address, 20)
        place = ("--data", data)
        wait_until(lambda: (data / "database-url").exists() and log_lines(data, "analytics_started"), START_S)
        wait_until(lambda: lots(capture("positions", *place)) == {1: 200, 2: -200}, START_S)
        assert lots(capture("positions", *place)) == engine_positions(data)
        [one] = capture("positions", *place, "--account", 1)[1]
        assert (one["symbol"], one["fill_count"], one["realised"]) == ("BTC/USD", 20, "0.000000")
        days = capture("pnl", *place, "--account", 2)[1]
        assert sum(day["fill_count"] for day in days) == 20
        candles = capture("candles", "BTC/USD", "--interval", "1d", *place)[1]
        assert sum(candle["trade_count"] for candle in candles) == 20
        assert sum(float(candle["volume"]) for candle in candles) == pytest.approx(0.02)
    finally:
        code, _, err = up.stop()
    assert code == 0, err
    assert analytics_pids(data) == []
    assert not (data / "embedded" / "postgres" / "data" / "postmaster.pid").exists()
    assert capture("positions", *place)[0] == 4, "the database ended with it"


@pytest.mark.soak
def test_analytics_killed_between_orders_goes_on_behind_its_mark(
    tmp_path: Path, postgres_url: str, capture: Any
) -> None:
    data = tmp_path / "data"
    up = Up(data, "--json", "--level", "process", "--database", postgres_url)
    place = ("--data", data)
    try:
        address = ready(up)
        for killed in range(1, 4):
            trade(data, address, 10)
            for pid in wait_until(lambda: analytics_pids(data), START_S):
                os.kill(pid, signal.SIGKILL)
            trade(data, address, 10)
            expected = {1: 200 * killed, 2: -200 * killed}
            wait_until(lambda wanted=expected: lots(capture("positions", *place)) == wanted, START_S)
            wait_until(lambda: analytics_pids(data), START_S)
    finally:
        code, _, err = up.stop()
    assert code == 0, err
    assert lots(capture("positions", *place)) == engine_positions(data)
    [one] = capture("positions", *place, "--account", 1)[1]
    assert one["fill_count"] == 60
    again = Up(data, "--json", "--level", "process", "--database", postgres_url)
    try:
        trade(data, ready(again), 1)
        wait_until(lambda: lots(capture("positions", *place)) == {1: 610, 2: -610}, START_S)
        assert log_lines(data, "analytics_started")[-1]["sequence"] > 100
    finally:
        assert again.stop()[0] == 0


@pytest.mark.soak
def test_analytics_ends_with_an_ironbook_up_that_is_killed(tmp_path: Path, postgres_url: str) -> None:
    data = tmp_path / "data"
    up = Up(data, "--json", "--level", "process", "--database", postgres_url)
    try:
        ready(up)
        wait_until(lambda: log_lines(data, "analytics_started"), START_S)
    finally:
        up.stop(signal.SIGKILL)
    wait_until(lambda: not analytics_pids(data), START_S, "analytics outlived it")


def test_a_database_that_is_not_there_does_not_stop_trading(tmp_path: Path) -> None:
    data = tmp_path / "data"
    nowhere = "postgresql://nobody:secret@127.0.0.1:1/none"
    up = Up(data, "--json", "--level", "process", "--database", nowhere)
    try:
        address = ready(up)
        wait_until(lambda: len(log_lines(data, "analytics_failed")) > 1, START_S, "it is tried again")
        trade(data, address, 2)
    finally:
        code, out, err = up.stop()
    assert code == 0, err
    assert engine_positions(data) == {1: 20, 2: -20}
    assert "secret" not in out + err + (data / "streams" / "embedded.log").read_text()
