"""Tables as Parquet and CSV, written while rows stream past: the same rows give the same bytes.

    rows (16,384 at a time) ──▶ columns ──▶ decimal twins ──▶ record batch ──▶ Parquet (65,536 rows a group) and CSV

A column in ticks, lots or units has a twin at the end of the table, without the suffix, which says the same as a
decimal text for people: price_ticks and price; where two would have one name, filled_quantity and filled_amount. What
is absent is null, in CSV nothing at all. A text that a spreadsheet would run as a formula begins with ' in CSV, and is
true in Parquet.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from functions.reporting.rows import SUMS, UNSIGNED, Reference
from ironbook import IronbookError
from ironbook._decimals import format_decimal

__all__ = ["GROUP_ROWS", "Column", "Decimals", "TableWriter", "columns_of"]

GROUP_ROWS: Final = 65_536
TEXTS_KEPT_MAX: Final = 100_000  # of a column: then they are forgotten, so that memory does not grow with rows
COMPRESSION_LEVEL: Final = 3
ARROW: Final = {int: pa.int64(), str: pa.string(), bool: pa.bool_()}
SUFFIXES: Final = {"_ticks": "_price", "_lots": "_quantity", "_units": "_amount"}
FORMULA: Final = "^[=+\\-@\t\r]"  # what a spreadsheet runs when it opens a CSV, but for numbers
NUMBER: Final = r"^[+-]?[0-9]+(\.[0-9]+)?$"
HALVES: Final = "_half_units"  # have no twin: it would be twice what it says


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a file."""

    name: str
    kind: type  # int, str or bool
    nullable: bool
    twin_of: str = ""  # decimal text of that column; "": a column of its own
    is_sum: bool = False  # of a day: may have more than 64 bits

    @property
    def unsigned(self) -> bool:
        """May it be any number of 64 bits without a sign?"""
        return self.name in UNSIGNED


def columns_of(row_type: type) -> tuple[Column, ...]:
    """The columns of a row type, decimal twins last."""
    sums = row_type.__name__ in SUMS
    own = tuple(_column(name, hint, sums) for name, hint in typing.get_type_hints(row_type).items())
    names = {column.name for column in own}
    if not names & {"symbol", "asset"}:
        return own
    found = [
        (column.name, column.name.removesuffix(suffix), suffix)
        for column in own
        for suffix in SUFFIXES
        if column.name.endswith(suffix) and not column.name.endswith(HALVES)
    ]
    stems = [stem for _, stem, _ in found] + list(names)
    twins = ((name, stem + (SUFFIXES[suffix] if stems.count(stem) > 1 else "")) for name, stem, suffix in found)
    return own + tuple(Column(name=twin, kind=str, nullable=True, twin_of=name) for name, twin in twins)


def _column(name: str, hint: Any, sums: bool) -> Column:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    [kind] = (kind for kind in kinds if kind is not type(None))
    is_sum = sums and (name.endswith(("_lots", "_units")) or name == "value")
    return Column(name=name, kind=kind, nullable=type(None) in kinds, is_sum=is_sum)


class Decimals:
    """Whole numbers as exact decimal texts, by the instruments and assets of a day."""

    def __init__(self, reference: Reference) -> None:
        self._scales: dict[tuple[str, str], tuple[int, int]] = {}  # (symbol or asset, suffix): multiplier, places
        for asset in reference.assets.values():
            self._scales[asset.asset, "asset"] = 1, asset.decimals
        for symbol, one in reference.instruments.items():
            base, quote = 10**one.base_decimals, 10**one.quote_decimals
            tick = Fraction(one.quote_units_per_tick_lot * base, one.base_units_per_lot * quote)
            self._scales[symbol, "_ticks"] = _scale(tick, one.price_decimals)
            self._scales[symbol, "_lots"] = _scale(Fraction(one.base_units_per_lot, base), one.quantity_decimals)
            self._scales[symbol, "_units"] = 1, one.quote_decimals

    def text(self, name: str, suffix: str, value: int) -> str | None:
        """The decimal, or None where what a tick is has no decimal or the name is not known."""
        multiplier, places = self._scales.get((name, suffix), (0, 0))
        if multiplier == 0:
            return None
        digits = value * multiplier
        if places == 0:
            return str(digits)
        text = str(abs(digits)).rjust(places + 1, "0")
        return f"{'-' if digits < 0 else ''}{text[:-places]}.{text[-places:]}"


def _scale(unit: Fraction, places: int) -> tuple[int, int]:
    """unit = multiplier / 10^places, with at least so many places; multiplier 0: it has no such decimal."""
    try:
        places = max(places, len(format_decimal(unit).partition(".")[2]))
    except IronbookError:
        return 0, 0
    return int(unit * 10**places), places


class TableWriter:
    """One table into a Parquet and a CSV file, which it does not close."""

    def __init__(self, row_type: type, decimals: Decimals, parquet: Any, csv: Any) -> None:
        self.columns = columns_of(row_type)
        self.row_count = 0
        self._own = [column for column in self.columns if not column.twin_of]
        self._place = {column.name: place for place, column in enumerate(self._own)}
        self._named = self._place.get("asset", self._place.get("symbol", 0))
        self._decimals = decimals
        self._texts: dict[str, dict[tuple[Any, Any], str | None]] = {}
        self._schema = pa.schema([pa.field(one.name, _arrow(one), nullable=one.nullable) for one in self.columns])
        self._parquet = pa.parquet.ParquetWriter(
            parquet, self._schema, compression="zstd", compression_level=COMPRESSION_LEVEL, version="2.6"
        )
        self._csv = pa.csv.CSVWriter(csv, self._schema)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_count = 0

    def write(self, rows: Sequence[Iterable[Any]]) -> None:
        """Some rows more; values in the order of the row type's fields."""
        if not rows:
            return
        self.row_count += len(rows)
        values: list[Sequence[Any]] = list(zip(*rows, strict=True))
        values += [self._twin(column, values) for column in self.columns if column.twin_of]
        arrays = [pa.array(one, type=field.type) for one, field in zip(values, self._schema, strict=True)]
        batch = pa.record_batch(arrays, schema=self._schema)
        self._csv.write_batch(pa.record_batch([_inert(one) for one in arrays], schema=self._schema))
        self._waiting.append(batch)
        self._waiting_count += len(rows)
        while self._waiting_count >= GROUP_ROWS:
            self._write_group(GROUP_ROWS)

    def close(self) -> None:
        """Write what is left and the files' ends."""
        if self._waiting_count:
            self._write_group(self._waiting_count)
        self._parquet.close()
        self._csv.close()

    def _write_group(self, count: int) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        self._parquet.write_table(table.slice(0, count), row_group_size=count)
        self._waiting = table.slice(count).to_batches()
        self._waiting_count -= count

    def _twin(self, column: Column, values: Sequence[Sequence[Any]]) -> list[str | None]:
        names, numbers = values[self._named], values[self._place[column.twin_of]]
        suffix = "asset" if "asset" in self._place else column.twin_of[column.twin_of.rindex("_") :]
        known = self._texts.setdefault(column.name, {})
        if len(known) > TEXTS_KEPT_MAX:
            known.clear()
        keys = list(zip(names, numbers, strict=True))
        for key in set(keys):
            if key not in known:
                known[key] = None if key[1] is None else self._decimals.text(key[0], suffix, key[1])
        return list(map(known.__getitem__, keys))


def _inert(array: pa.Array) -> pa.Array:
    """Texts that no spreadsheet runs; anything else as it is. Clients write them, people open them."""
    if not pa.types.is_string(array.type):
        return array
    runs = pc.and_not(pc.match_substring_regex(array, FORMULA), pc.match_substring_regex(array, NUMBER))
    return pc.if_else(runs, pc.binary_join_element_wise("'", array, ""), array)


def _arrow(column: Column) -> pa.DataType:
    if column.is_sum:
        return pa.decimal128(38, 0)
    return pa.uint64() if column.unsigned else ARROW[column.kind]
