"""What a replica's ledger says at the end of a UTC day, and the best prices that each order of the day met.

    <day>.json               Statement: free and locked units, positions, fees, what came in and went out
    <day>.arrivals.parquet   one row an accepted order: seq, symbol, bid_ticks, ask_ticks just before it entered

Whole numbers only; names of assets and symbols, as everywhere outside the core. Formats: schemas/archive.md.
"""

from __future__ import annotations

import dataclasses
import datetime
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from ironbook._errors import DependencyMissing, InputInvalid

if TYPE_CHECKING:
    from engine_node import _engine

__all__ = [
    "DAY_NS",
    "Arrival",
    "Ledger",
    "arrivals_key",
    "day_of",
    "ledger_of",
    "parse_day",
    "parquet",
    "start_of",
    "statement",
    "statement_key",
]

FORMAT: Final = 1
DAY_NS: Final = 86_400 * 1_000_000_000
ROW_GROUP: Final = 131_072
Arrival = tuple[int, int, int | None, int | None]  # seq, instrument, bid_ticks, ask_ticks


def statement_key(shard: int, day: int) -> str:
    """Where a day's statement is."""
    return f"statements/{shard:05d}/{day_text(day)}.json"


def arrivals_key(shard: int, day: int) -> str:
    """Where a day's arrival prices are."""
    return f"statements/{shard:05d}/{day_text(day)}.arrivals.parquet"


def day_of(received_ns: int) -> int:
    """The UTC day of a moment, counted from the epoch."""
    return received_ns // DAY_NS


def start_of(day: int) -> int:
    """Its first nanosecond."""
    return day * DAY_NS


def day_text(day: int) -> str:
    """YYYY-MM-DD."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()


def parse_day(text: str) -> int:
    """Raises InputInvalid."""
    try:
        return (datetime.date.fromisoformat(text) - datetime.date(1970, 1, 1)).days
    except ValueError:
        raise InputInvalid(f"a day must be YYYY-MM-DD, was {text[:40]!r}", hint="days are UTC") from None


@dataclasses.dataclass(slots=True)
class Ledger:
    """What a core's state does not tell, folded from the first record on."""

    deposits: Counter[int] = dataclasses.field(default_factory=Counter)  # asset -> units
    withdrawals: Counter[int] = dataclasses.field(default_factory=Counter)
    fee_payouts: Counter[int] = dataclasses.field(default_factory=Counter)
    last_event_sequence: int = 0  # the last record that made an event that others are told of

    def to_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        flows = ("deposits", "withdrawals", "fee_payouts")
        return {name: {str(k): v for k, v in sorted(getattr(self, name).items())} for name in flows} | {
            "last_event_sequence": self.last_event_sequence
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Ledger:
        """Raises KeyError, ValueError, AttributeError."""
        flows = {
            name: Counter({int(asset): int(units) for asset, units in said[name].items()})
            for name in ("deposits", "withdrawals", "fee_payouts")
        }
        return cls(**flows, last_event_sequence=int(said["last_event_sequence"]))


def ledger_of(core: _engine.Core) -> dict[str, Any]:
    """Balances, positions and fees of a core, by names, sorted; what is zero is left out."""
    options = core.options()
    assets = [found for number in range(1, options["asset_count_max"]) if (found := core.asset(number))]
    books = [found for number in range(1, options["instrument_count_max"]) if (found := core.instrument(number))]
    accounts = [number for number in range(1, options["account_count_max"]) if core.account(number)]
    balances, positions, open_orders = [], [], 0
    for account in accounts:
        known = core.account(account)
        open_orders += 0 if known is None else known["open_orders"]
        for asset in assets:
            held = core.balance(account, int(asset["asset"]))
            if held is not None and held != (0, 0):
                balances.append(
                    {"account": account, "asset": asset["name"], "free_units": held[0], "locked_units": held[1]}
                )
        for book in books:
            position = core.position(account, int(book["instrument"]))
            if position is not None and position[0]:
                positions.append({"account": account, "symbol": book["name"], "position_lots": position[0]})
    return {
        "assets": {asset["name"]: asset["decimals"] for asset in assets},
        "balances": balances,
        "positions": positions,
        "fees": [{"asset": asset["name"], "units": asset["fees_units"]} for asset in assets],
        "open_orders_count": open_orders,
    }


def statement(core: _engine.Core, ledger: Ledger, *, shard: int, day: int, partial: bool) -> bytes:
    """The statement's bytes: the same for the same state.

    For each asset: sum of free and locked + fees = deposits - withdrawals.
    """
    names = {
        number: asset["name"] for number in range(1, core.options()["asset_count_max"]) if (asset := core.asset(number))
    }
    said = {
        "format": FORMAT,
        "shard": shard,
        "day": day_text(day),
        "partial": partial,
        "sequence": core.sequence(),
        "last_event_sequence": ledger.last_event_sequence,
        "received_ns": core.received_ns(),
        "digest": f"{core.digest():016x}",
    }
    for flow in ("deposits", "withdrawals", "fee_payouts"):
        units = getattr(ledger, flow)
        said[flow] = [{"asset": names[number], "units": units[number]} for number in sorted(units)]
    return orjson.dumps(said | ledger_of(core), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def parquet(rows: Iterable[Arrival], symbols: Mapping[int, str]) -> bytes:
    """A day's arrival prices. Raises DependencyMissing."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DependencyMissing(
            "pyarrow must be installed to write Parquet, is not", hint="pip install 'ironbook[export]'"
        ) from error
    schema = pa.schema(
        [("seq", pa.uint64()), ("symbol", pa.string()), ("bid_ticks", pa.int64()), ("ask_ticks", pa.int64())]
    )
    out = io.BytesIO()
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        group: list[Arrival] = []
        for row in rows:
            group.append(row)
            if len(group) == ROW_GROUP:
                writer.write_batch(_batch(pa, schema, group, symbols))
                group = []
        if group:
            writer.write_batch(_batch(pa, schema, group, symbols))
    return out.getvalue()


def _batch(pa: Any, schema: Any, rows: list[Arrival], symbols: Mapping[int, str]) -> Any:
    seq, instruments, bids, asks = zip(*rows, strict=True)
    columns = (seq, [symbols[number] for number in instruments], bids, asks)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)
