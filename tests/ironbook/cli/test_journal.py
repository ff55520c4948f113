"""`ironbook journal`: a sound journal is proved, a damaged one is named, exports hold every record."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from ironbook import Side
from ironbook.cli._app import EXIT_DAMAGED, EXIT_FAILED, EXIT_USAGE
from tests.ironbook.cli.conftest import Command, Said
from tests.ironbook.conftest import Market, make_market


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a few hundred records in it, of an engine that has stopped."""
    market: Market = make_market(tmp_path_factory.mktemp("journal") / "data", digest_interval_records=64)
    with market.client(market.one) as one, market.client(market.two) as two:
        for n in range(60):
            one.submit(1, Side.SELL, 100 + n % 7, 5, client_order_id=n + 1)
            two.submit(1, Side.BUY, 101 + n % 5, 3)
    assert market.node.stop() == 0
    return market.node.directory


@pytest.fixture
def journal(data: Path, cli: Command) -> Command:
    def command(*arguments: object, data: Path = data) -> Said:
        return cli("journal", *arguments, "--data", data)

    return command


def test_a_sound_journal_is_proved(journal: Command) -> None:
    found = journal("verify", "--json").json
    assert found["sound"]
    assert found["first_sequence"] == 1
    assert found["records"] == found["last_sequence"] > 140
    assert found["digest_records"] >= 2
    assert found["terms"] == 1
    assert journal("verify").out.startswith("sound")
    from_snapshot = journal("verify", "--from-snapshot", "--json").json
    assert (from_snapshot["digest"], from_snapshot["records"]) == (found["digest"], 0)


def test_a_damaged_record_is_named_by_segment_and_offset(journal: Command, data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    shutil.rmtree(copy / "snapshots", ignore_errors=True)
    segment = min((copy / "journal").glob("*.jnl"))
    damaged = bytearray(segment.read_bytes())
    damaged[64 + 49 * 64 + 20] ^= 1
    segment.write_bytes(damaged)
    said = journal("verify", "--json", data=copy)
    assert (said.code, said.json["error"]) == (EXIT_DAMAGED, "journal_invalid")
    assert segment.name in said.json["detail"]
    assert "sequence 50" in said.json["detail"]
    for command in (["show", "--count", "0", "--json"], ["export", tmp_path / "x.csv", "--json"]):
        said = journal(*command, data=copy)
        assert said.code == EXIT_DAMAGED
    assert not list(tmp_path.glob("*.csv*"))


def test_records_are_shown_decoded_and_filtered(journal: Command) -> None:
    lines = journal("show", "--from", "2", "--count", "5", "--json").lines
    assert [line["sequence"] for line in lines] == [2, 3, 4, 5, 6]
    orders = journal("show", "--kind", "new_order", "--kind", "asset", "--count", "0", "--json").lines
    assert {line["kind"] for line in orders} == {"new_order", "asset"}
    assert sum(line["kind"] == "new_order" for line in orders) == 120
    order = next(line for line in orders if line["kind"] == "new_order")
    assert (order["fields"]["client_order_id"], order["fields"]["side"]) == (1, "sell")
    for line in journal("show", "--kind", "new_order", "--count", "0").out.splitlines():
        assert len(line) <= 100, line
        assert "buy" in line or "sell" in line
    names = journal("show", "--kind", "text", "--json").lines
    assert [line["fields"]["text"] for line in names] == ["BTC", "USD", "BTC/USD"]
    own = journal("show", "--key-number", "2", "--count", "3", "--json").lines
    assert {line["key"] for line in own} == {2}
    shown = journal("show", "--count", "3").out.splitlines()
    assert len(shown) == 3
    assert "term" in shown[0]


def test_commands_are_exported_to_both_formats_alike(journal: Command, tmp_path: Path) -> None:
    said = journal("export", tmp_path / "commands.csv", "--json").json
    assert said["rows"] == journal("verify", "--json").json["records"]
    with (tmp_path / "commands.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["sequence"]) for row in rows] == list(range(1, said["rows"] + 1))
    assert journal("export", tmp_path / "commands.parquet").code == 0
    table = pq.read_table(tmp_path / "commands.parquet").to_pylist()
    assert [{name: str(value) for name, value in row.items()} for row in table] == rows
    orders = [row for row in table if row["kind"] == "new_order"]
    assert {row["side"] for row in orders} == {"buy", "sell"}
    named = (orders[0]["side"], orders[0]["order_type"], orders[0]["time_in_force"])
    assert named == ("sell", "limit", "good_till_cancelled")
    fields = orjson.loads(orders[0]["fields"])
    assert (fields["side"], fields["self_trade_prevention"], fields["options"]) == ("sell", "cancel_taker", "")
    assert {row["side"] for row in table if row["kind"] != "new_order"} == {""}
    part = journal("export", tmp_path / "part.csv", "--from", "10", "--to", "19", "--json").json
    assert part["rows"] == 10


def test_events_are_exported_with_names(journal: Command, tmp_path: Path) -> None:
    assert journal("export", tmp_path / "events.parquet", "--what", "events", "--json").json["rows"] > 200
    rows = pq.read_table(tmp_path / "events.parquet").to_pylist()
    kinds = {row["kind"] for row in rows}
    assert {"accepted", "filled", "trade", "book_update", "level3", "balance", "applied"} <= kinds
    assert {row["code"] for row in rows if row["kind"] == "level3"} == {"add", "change", "remove"}
    assert not any(row["code"].isdecimal() for row in rows)
    sides = {kind: {row["side"] for row in rows if row["kind"] == kind} for kind in kinds}
    for kind in ("accepted", "filled", "book_update", "level3"):
        assert sides[kind] == {"buy", "sell"}, kind
    for kind in ("trade", "balance", "applied"):
        assert sides[kind] == {""}, kind
    filled = sum(row["quantity_lots"] for row in rows if row["kind"] == "filled")
    assert filled == 2 * sum(row["quantity_lots"] for row in rows if row["kind"] == "trade") > 0
    names = [(row["sequence"], row["n"]) for row in rows]
    assert len(set(names)) == len(names)
    assert names == sorted(names)
    late = journal("export", tmp_path / "late.csv", "--what", "events", "--from", "100", "--json").json["rows"]
    assert late == sum(row["sequence"] >= 100 for row in rows)


def test_an_export_that_cannot_be_meant_is_refused_and_says_how_to_mend_it(journal: Command, tmp_path: Path) -> None:
    said = journal("export", tmp_path / "c.xlsx", "--json")
    assert (said.code, said.json["error"]) == (EXIT_USAGE, "usage")
    assert ".csv, .parquet, .pq" in said.json["message"]
    assert journal("export", tmp_path / "c.txt", "--format", "csv").code == 0
    said = journal("export", tmp_path / "c.csv", "--from", "50", "--to", "10", "--json")
    assert said.code == EXIT_USAGE
    assert "--to must be at least --from (50), was 10" in said.json["message"]
    said = journal("export", tmp_path / "not" / "there" / "c.csv", "--json")
    assert (said.code, said.json["error"]) == (EXIT_FAILED, "input_invalid")
    assert f"mkdir -p {tmp_path / 'not' / 'there'}" in said.json["hint"]


def test_an_export_never_overwrites_and_a_missing_journal_says_so(journal: Command, tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("mine")
    assert journal("export", tmp_path / "there.csv", "--json").json["error"] == "usage"
    assert (tmp_path / "there.csv").read_text() == "mine"
    for command in (["verify"], ["show"], ["export", tmp_path / "y.csv"]):
        said = journal(*command, "--json", data=tmp_path)
        assert (said.code, said.json["error"]) == (EXIT_FAILED, "engine_failed")
