"""What a symbol is, and what it did: decimals of instruments, prints as they come, the day in a few hundred steps.

Prints are taken from the fills: both sides of a trade tell of it, the first one counts (trade ids are dense within a
symbol). So the two sides can be held against each other, and a fill that is missing is found where it should stand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from functions.reporting import rows

__all__ = ["Fault", "Instrument", "Market", "Step", "Timeline", "decimal_text", "rounded"]

STEPS_MAX = 512
STEP_NS = 100_000_000
FAULTS_KEPT = 20
BLOCK = 256  # trades that have one checksum

Row = Mapping[str, Any]


def decimal_text(digits: int, decimals: int) -> str:
    """An integer of 10^-decimals for people: (-1234567, 2) is -12,345.67."""
    whole, part = divmod(abs(digits), 10**decimals)
    return ("-" if digits < 0 else "") + f"{whole:,}" + (f".{part:0{decimals}d}" if decimals else "")


def rounded(numerator: int, denominator: int) -> int:
    """The quotient to the nearest whole number, halves away from zero. denominator > 0."""
    magnitude = (2 * abs(numerator) + denominator) // (2 * denominator)
    return magnitude if numerator >= 0 else -magnitude


def fill_sum(trade_id: int, price_ticks: int, lots: int, order_id: int, maker: bool) -> int:
    """A checksum of one side of a trade; sums of them are the same in whatever order. Never told, only compared."""
    return hash((trade_id, price_ticks, lots, order_id, maker))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What ticks and lots of a symbol are worth."""

    symbol: str
    base: str
    quote: str
    base_decimals: int
    quote_decimals: int
    base_units_per_lot: int
    quote_units_per_tick_lot: int
    price_decimals: int
    quantity_decimals: int

    @classmethod
    def of(cls, row: rows.Instrument) -> Instrument:
        """From a row of the table."""
        return cls(**{field.name: getattr(row, field.name) for field in dataclasses.fields(cls)})

    def amount(self, units: int) -> str:
        """Units of the quote asset, for people."""
        return decimal_text(units, self.quote_decimals)

    def quantity(self, lots: int) -> str:
        """Lots, for people."""
        return decimal_text(
            rounded(lots * self.base_units_per_lot * 10**self.quantity_decimals, 10**self.base_decimals),
            self.quantity_decimals,
        )

    def price_digits(self, units: int, lots: int) -> int:
        """units / lots as a price, rounded to the digits of prices. lots: not 0; of a short position both are below."""
        scale = 10 ** (self.base_decimals + self.price_decimals) * (1 if lots > 0 else -1)
        return rounded(units * scale, abs(lots) * self.base_units_per_lot * 10**self.quote_decimals)

    def price(self, units: int, lots: int) -> str:
        """units / lots as a price, for people; a dash without lots."""
        return decimal_text(self.price_digits(units, lots), self.price_decimals) if lots else "–"

    def ticks(self, ticks: int) -> str:
        """A price in ticks, for people."""
        return self.price(ticks * self.quote_units_per_tick_lot, 1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Rows that cannot be right by themselves: a side of a trade is missing, a notional is not price times quantity."""

    symbol: str
    account: int  # 0: of no single one
    shard: int
    seq: int
    text: str


@dataclasses.dataclass(slots=True)
class Step:
    """A stretch of the day."""

    trades: int = 0
    lots: int = 0
    units: int = 0
    high_ticks: int = 0
    low_ticks: int = 0
    last_ticks: int = 0

    def add(self, later: Step) -> None:
        """What came after it."""
        if later.trades == 0:
            return
        if self.trades == 0:
            self.high_ticks, self.low_ticks = later.high_ticks, later.low_ticks
        self.high_ticks = max(self.high_ticks, later.high_ticks)
        self.low_ticks = min(self.low_ticks, later.low_ticks)
        self.last_ticks = later.last_ticks
        self.trades += later.trades
        self.lots += later.lots
        self.units += later.units


class Timeline:
    """The day in at most STEPS_MAX steps from its first print on; when they do not reach, each two become one."""

    __slots__ = ("start_ns", "step_ns", "steps")

    def __init__(self) -> None:
        self.start_ns = 0
        self.step_ns = STEP_NS
        self.steps: list[Step] = []

    def at(self, time_ns: int) -> Step:
        """The step of a time that is not before an earlier one."""
        if not self.steps:
            self.start_ns = time_ns - time_ns % STEP_NS
        index = max(0, (time_ns - self.start_ns) // self.step_ns)
        while index >= STEPS_MAX:
            self._halve()
            index = (time_ns - self.start_ns) // self.step_ns
        while len(self.steps) <= index:
            self.steps.append(Step())
        return self.steps[index]

    def _halve(self) -> None:
        halves = self.steps
        self.steps = halves[::2]
        for step, later in zip(self.steps, halves[1::2], strict=False):
            step.add(later)
        self.step_ns *= 2

    def points(self) -> Iterator[tuple[int, Step]]:
        """(end of the step, step), in order."""
        for index, step in enumerate(self.steps):
            yield self.start_ns + (index + 1) * self.step_ns, step


class Market:
    """One symbol's prints, as the fills tell of them.

    lots, units  of the day so far: an order that remembers them at its arrival knows the VWAP since
    """

    __slots__ = (
        "_seq",
        "_shard",
        "_side_lots",
        "_sides",
        "blocks",
        "buy_lots",
        "fault_count",
        "faults",
        "high_ticks",
        "instrument",
        "last_ticks",
        "lots",
        "low_ticks",
        "open_ticks",
        "timeline",
        "trade_id",
        "trades",
        "units",
    )  # fmt: skip

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.trade_id = 0  # of the last print; 0: none known
        self.trades = self.lots = self.units = self.buy_lots = 0
        self.last_ticks = self.high_ticks = self.low_ticks = self.open_ticks = 0
        self.timeline = Timeline()
        self.blocks: dict[int, int] = {}  # checksums of the fills, by trade_id // BLOCK
        self.faults: list[Fault] = []
        self.fault_count = 0
        self._side_lots = self._sides = self._shard = self._seq = 0

    def fill(self, row: Row) -> None:
        """One side of a trade."""
        trade_id, lots, units = row["trade_id"], row["quantity_lots"], row["notional_units"]
        if row["price_ticks"] * lots * self.instrument.quote_units_per_tick_lot != units:
            due = row["price_ticks"] * lots * self.instrument.quote_units_per_tick_lot
            self.fault(row, f"notional of trade {trade_id} must be {due} units (price times quantity), is {units}")
        block = trade_id // BLOCK
        self.blocks[block] = self.blocks.get(block, 0) + fill_sum(
            trade_id, row["price_ticks"], lots, row["order_id"], row["maker"] and not row["auction"]
        )
        if trade_id != self.trade_id:
            self._print(row, trade_id, lots, units)
        self._sides += 1
        self._side_lots += lots if row["side"] == "buy" else -lots
        if not row["maker"] and row["side"] == "buy":
            self.buy_lots += lots

    def _print(self, row: Row, trade_id: int, lots: int, units: int) -> None:
        self.settle()
        if self.trade_id and trade_id != self.trade_id + 1:
            if trade_id < self.trade_id:
                self.fault(row, f"trade {trade_id} must come before trade {self.trade_id}, came behind it")
            else:
                missing = f"{self.trade_id + 1}" + (f" to {trade_id - 1}" if trade_id - 2 > self.trade_id else "")
                self.fault(row, f"both fills of trade {missing} are missing before it")
        self.trade_id, self._shard, self._seq = trade_id, row["shard"], row["seq"]
        self.last_ticks = ticks = row["price_ticks"]
        step = self.timeline.at(row["received_ns"])
        step.add(Step(1, lots, units, ticks, ticks, ticks))
        if self.trades == 0:
            self.open_ticks = self.high_ticks = self.low_ticks = ticks
        self.high_ticks, self.low_ticks = max(self.high_ticks, ticks), min(self.low_ticks, ticks)
        self.trades += 1
        self.lots += lots
        self.units += units

    def settle(self) -> None:
        """The last trade has had both its fills, or it is a fault."""
        sides, lots, self._sides, self._side_lots = self._sides, self._side_lots, 0, 0
        if sides == 0 or (sides == 2 and lots == 0):
            return
        found = f"{sides} fill" + ("s" if sides != 1 else "") + f" that differ by {abs(lots)} lots"
        text = f"trade {self.trade_id} must have a buyer's and a seller's fill of one quantity, has {found}"
        self._keep(Fault(symbol=self.instrument.symbol, account=0, shard=self._shard, seq=self._seq, text=text))

    def fault(self, row: Row, text: str) -> None:
        """Something about a row that cannot be."""
        at = Fault(symbol=self.instrument.symbol, account=row["account"], shard=row["shard"], seq=row["seq"], text=text)
        self._keep(at)

    def _keep(self, fault: Fault) -> None:
        self.fault_count += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(fault)
