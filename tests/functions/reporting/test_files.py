"""Tables as Parquet and CSV: the same rows, the same bytes, in both."""

from __future__ import annotations

import csv
import io
from typing import NamedTuple

import pyarrow.parquet
import pytest

from functions.reporting.figures import BestExecution, Fees, ReconciliationLine, SymbolFigures
from functions.reporting.files import GROUP_ROWS, Column, Decimals, TableWriter, columns_of
from functions.reporting.rows import Asset, Execution, Instrument, Pnl, Reference
from functions.reporting.run import TABLES

INSTRUMENT = Instrument("BTC/USD", 1, "BTC", "USD", 8, 6, 10_000, 1, "0.01", "0.0001", 2, 4)
THIRD = Instrument("ODD/USD", 2, "ODD", "USD", 0, 2, 3, 1, "1/300", "3", 4, 0)
REFERENCE = Reference(
    day="2026-03-02",
    start_ns=0,
    end_ns=1,
    partial=False,
    assets={"USD": Asset("USD", 1, 6)},
    instruments={one.symbol: one for one in (INSTRUMENT, THIRD)},
    accounts={},
)


class Row(NamedTuple):
    """A row of all kinds."""

    seq: int
    symbol: str | None
    side: str
    price_ticks: int | None
    quantity_lots: int
    cost_half_units: int
    fee_units: int
    client_order_id: int
    maker: bool | None


class Money(NamedTuple):
    """An amount of an asset."""

    asset: str
    total_units: int


def rows(count: int) -> list[Row]:
    return [
        Row(
            seq=number,
            symbol=(None, "BTC/USD", "ODD/USD")[number % 3],
            side='says "buy", twice' if number % 7 == 0 else "sell",
            price_ticks=None if number % 5 == 0 else number - 50,
            quantity_lots=number,
            cost_half_units=3,
            fee_units=-number,
            client_order_id=2**64 - 1 - number,
            maker=(None, True, False)[number % 3],
        )
        for number in range(count)
    ]


def written(found: list[Row], part: int = 1000) -> tuple[bytes, bytes]:
    """Parquet and CSV of rows that come so many at a time."""
    parquet, csv = io.BytesIO(), io.BytesIO()
    writer = TableWriter(Row, Decimals(REFERENCE), parquet, csv)
    for at in range(0, len(found), part):
        writer.write(found[at : at + part])
    writer.close()
    assert writer.row_count == len(found)
    return parquet.getvalue(), csv.getvalue()


def test_what_was_written_is_what_is_read() -> None:
    found = rows(2500)
    table = pyarrow.parquet.read_table(io.BytesIO(written(found)[0]))
    for name in Row._fields:
        assert table.column(name).to_pylist() == [getattr(row, name) for row in found]


def test_the_same_rows_give_the_same_bytes_however_many_come_at_a_time() -> None:
    found = rows(GROUP_ROWS + 5000)
    first = written(found, 16_384)
    assert written(found, 16_384) == first
    assert pyarrow.parquet.read_table(io.BytesIO(written(found, 999)[0])).equals(
        pyarrow.parquet.read_table(io.BytesIO(first[0]))
    )
    assert written(found, 999)[1] == first[1]


def test_row_groups_have_one_size_but_for_the_last() -> None:
    file = pyarrow.parquet.ParquetFile(io.BytesIO(written(rows(2 * GROUP_ROWS + 7), 16_384)[0]))
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    assert sizes == [GROUP_ROWS, GROUP_ROWS, 7]


def test_ticks_lots_and_units_have_exact_decimal_twins_without_the_suffix() -> None:
    table = pyarrow.parquet.read_table(io.BytesIO(written(rows(60))[0])).to_pylist()
    one = table[52]
    assert (one["symbol"], one["price_ticks"], one["quantity_lots"], one["fee_units"]) == ("BTC/USD", 2, 52, -52)
    assert (one["price"], one["quantity"], one["fee"]) == ("0.02", "0.0052", "-0.000052")
    assert table[1]["price"] == "-0.49"
    assert table[0]["price"] is None, "no price, no text"
    assert table[3]["quantity"] is None, "no symbol, no text"
    assert table[2]["price"] is None, "a third of a cent has no decimal text that ends"
    assert table[2]["quantity"] == "6"


def test_half_units_have_no_twin_for_it_would_say_twice_as_much() -> None:
    assert "cost_half" not in {column.name for column in columns_of(Row)}


class Filled(NamedTuple):
    """Two columns of one stem."""

    symbol: str
    filled_lots: int
    filled_units: int


def test_two_columns_of_one_stem_have_twins_of_two_names() -> None:
    parquet, csv = io.BytesIO(), io.BytesIO()
    writer = TableWriter(Filled, Decimals(REFERENCE), parquet, csv)
    writer.write([Filled("BTC/USD", 10_000, 2_000_000)])
    writer.close()
    assert pyarrow.parquet.read_table(parquet).to_pylist() == [
        {
            "symbol": "BTC/USD",
            "filled_lots": 10_000,
            "filled_units": 2_000_000,
            "filled_quantity": "1.0000",
            "filled_amount": "2.000000",
        }
    ]


def test_no_table_has_two_columns_of_one_name() -> None:
    for name, kind in TABLES.items():
        columns = [column.name for column in columns_of(kind)]
        assert len(columns) == len(set(columns)), name


def test_an_amount_of_an_asset_has_the_assets_digits() -> None:
    parquet, csv = io.BytesIO(), io.BytesIO()
    writer = TableWriter(Money, Decimals(REFERENCE), parquet, csv)
    writer.write([Money("USD", -1_500_000), Money("EUR", 1)])
    writer.close()
    assert csv.getvalue().decode().splitlines() == [
        '"asset","total_units","total"',
        '"USD",-1500000,"-1.500000"',
        '"EUR",1,',
    ]


def test_an_empty_table_is_a_valid_file_with_its_columns() -> None:
    parquet, csv = written([])
    table = pyarrow.parquet.read_table(io.BytesIO(parquet))
    names = [column.name for column in columns_of(Row)]
    assert (table.num_rows, table.column_names) == (0, names)
    assert csv.decode() == ",".join(f'"{name}"' for name in names) + "\n"


def test_quotes_in_texts_are_doubled_and_what_is_absent_is_nothing() -> None:
    lines = written(rows(2))[1].decode().splitlines()
    assert lines[1].startswith('0,,"says ""buy"", twice",,0,3,0,18446744073709551615,,')


@pytest.mark.parametrize(
    "text", ['=HYPERLINK("http://evil","x")', "@SUM(1+1)*cmd|'/C calc'!A0", "+1+cmd", "-1+cmd", "\t=1", "\r=1"]
)
def test_a_text_that_a_spreadsheet_would_run_is_inert_in_csv_and_true_in_parquet(text: str) -> None:
    parquet, sheet = written([rows(2)[1]._replace(symbol="ODD/USD", side=text)])
    [_, found] = csv.reader(io.StringIO(sheet.decode(), newline=""))
    assert found[Row._fields.index("side")] == f"'{text}"
    assert pyarrow.parquet.read_table(io.BytesIO(parquet)).column("side").to_pylist() == [text]


@pytest.mark.parametrize("text", ["-1", "+1.50", "1=1", "'=1", "a-b", ""])
def test_numbers_and_texts_that_nothing_runs_are_the_same_in_csv(text: str) -> None:
    _, sheet = written([rows(2)[1]._replace(side=text)])
    [_, found] = csv.reader(io.StringIO(sheet.decode(), newline=""))
    assert found[Row._fields.index("side")] == text
    assert found[Row._fields.index("price_ticks")] == "-49", "a number below zero is a number"


def test_columns_of_executions_are_those_of_the_table_and_their_twins() -> None:
    columns = columns_of(Execution)
    assert [column.name for column in columns[: len(Execution._fields)]] == list(Execution._fields)
    assert columns[0] == Column(name="shard", kind=int, nullable=False)
    assert [(column.name, column.twin_of) for column in columns[len(Execution._fields) :]] == [
        ("price", "price_ticks"),
        ("quantity", "quantity_lots"),
        ("remaining", "remaining_lots"),
        ("notional", "notional_units"),
        ("fee", "fee_units"),
        ("position_change", "position_change_lots"),
        ("amount", "amount_units"),
    ]


def test_a_number_beyond_64_bits_is_refused_and_not_wrapped() -> None:
    writer = TableWriter(Money, Decimals(REFERENCE), io.BytesIO(), io.BytesIO())
    with pytest.raises(OverflowError):
        writer.write([Money("USD", 2**63)])


@pytest.mark.parametrize("kind", [Fees, SymbolFigures, BestExecution, Pnl, ReconciliationLine])
def test_a_days_sum_may_be_greater_than_any_number_it_is_a_sum_of(kind: type) -> None:
    """Each notional has 64 bits; a busy day of a quote asset with eight digits has more than 92 billion."""
    great = -3 * 2**63
    values = {int: great, str: "BTC/USD"}
    own = [column for column in columns_of(kind) if not column.twin_of]
    sums = [column.name for column in own if column.name.endswith(("_units", "_lots")) or column.name == "value"]
    row = [values[column.kind] if column.name in sums or column.kind is str else 7 for column in own]
    parquet, text = io.BytesIO(), io.BytesIO()
    writer = TableWriter(kind, Decimals(REFERENCE), parquet, text)
    writer.write([row])
    writer.close()
    [read] = pyarrow.parquet.read_table(io.BytesIO(parquet.getvalue())).to_pylist()
    [line] = csv.DictReader(io.StringIO(text.getvalue().decode()))
    assert sums
    for name in sums:
        assert (read[name], line[name]) == (great, str(great))
