"""A day's figures, folded from the rows of the tables while they are read once.

    executions ──▶ Market (prints, by symbol) ──▶ Orders (best execution)
        │   └────▶ Position (P&L at average cost, by account and symbol)
        ▼
      Ledger ◀── cash_flows, statements, tables     trades: compared with the prints

Rows are mappings by the names of schemas/sql; executions come in the order (shard, seq, n).
What is kept grows with accounts and symbols and with the orders that are open at one time, never with the rows. No
clock, no environment, no float.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from functions.common.errors import FunctionError
from functions.reporting.best_execution import Group, Orders, Quality, Spread, day_cost
from functions.reporting.market import BLOCK, Instrument, Market, Timeline, fill_sum
from functions.reporting.reconciliation import Difference, Ledger, Reconciliation, Said
from functions.reporting.rows import Arrival, Books, Profit, Reference
from functions.reporting.sketch import Sketch
from functions.reporting.statement import Missing, Statement
from ironbook.average_cost import flow

__all__ = ["FILES", "AccountSymbol", "DayFigures", "Figures", "RowsInvalid", "SymbolDay"]

Row = Mapping[str, Any]

GAPS_KEPT = 20
PROFIT_FIELDS = (
    "realised_units", "fees_units", "fill_count", "winning_count", "losing_count", "volume_units", "profit_units",
    "loss_units",
)  # fmt: skip


class RowsInvalid(FunctionError):
    """Rows that name what no other table knows, or come in another order than they must."""

    code: ClassVar[str] = "report_rows"


class Position:
    """An account's position in a symbol, and what the day made of it."""

    __slots__ = ("account", "day", "firm", "held", "market", "opening")

    def __init__(self, account: int, firm: int, market: Market) -> None:
        self.account, self.firm, self.market = account, firm, market
        self.held = {"position_lots": 0, "cost_units": 0}
        self.opening = (0, 0)  # realised and fees until the day began
        self.day = dict.fromkeys(PROFIT_FIELDS, 0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AccountSymbol:
    """An account in a symbol on the day; amounts in units of the quote asset."""

    account: int
    firm: int
    symbol: str
    quote: str
    position_lots: int  # at the end of the day
    cost_units: int
    realised_units: int  # of the day, fees not in it
    unrealised_units: int  # of the position, at the last price
    fees_units: int
    volume_units: int
    filled_lots: int
    fill_count: int
    winning_count: int
    losing_count: int
    order_count: int
    filled_order_count: int
    cancelled_count: int
    rejected_count: int
    ordered_lots: int
    maker_units: int
    maker_fee_units: int

    @property
    def net_units(self) -> int:
        """What the day brought: realised less fees, and what the open position is worth above its cost."""
        return self.realised_units + self.unrealised_units - self.fees_units


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SymbolDay:
    """A symbol's day as printed."""

    instrument: Instrument
    trade_count: int
    volume_lots: int
    buy_volume_lots: int
    notional_units: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    last_ticks: int
    fees_units: int
    timeline: Timeline


class Fees(NamedTuple):
    """Volumes, fees and what became of the orders of an account in a symbol on the day. Key: account, symbol."""

    account: int  # whose
    firm: int  # the account's firm
    symbol: str  # instrument's name
    quote: str  # name of the asset that pays; all units are of it
    order_count: int  # orders accepted
    filled_order_count: int  # of these: with at least one fill
    cancelled_count: int  # of these: cancelled, in part or whole
    rejected_count: int  # commands that the engine refused
    ordered_lots: int  # quantity of accepted orders
    filled_lots: int  # quantity filled
    fill_count: int  # fills
    volume_units: int  # notional filled
    maker_units: int  # of that: by orders that waited in the book
    fees_units: int  # fees less rebates
    maker_fee_units: int  # of these: of orders that waited; below zero: rebates


class SymbolFigures(NamedTuple):
    """A symbol on the day, as printed. Key: symbol."""

    symbol: str  # instrument's name
    quote: str  # name of the asset that pays
    trade_count: int  # trades
    volume_lots: int  # quantity traded
    buy_volume_lots: int  # of that: taken by buyers
    notional_units: int  # notional traded, units of the quote asset; VWAP: notional / volume
    open_ticks: int  # first price
    high_ticks: int  # highest price
    low_ticks: int  # lowest price
    close_ticks: int  # last price
    fees_units: int  # fees less rebates of both sides


class BestExecution(NamedTuple):
    """What orders cost against the market; above zero: paid, below: gained. Key: account, symbol, order_type."""

    account: int  # whose
    symbol: str  # instrument's name
    order_type: str  # limit, market, market_by_quote; entered before: fills of orders of an earlier day
    quote: str  # name of the asset that pays; all units are of it
    order_count: int  # orders accepted
    filled_order_count: int  # with at least one fill
    full_order_count: int  # filled whole
    immediate_order_count: int  # first filled by the very record that entered them
    filled_lots: int  # quantity filled
    filled_units: int  # notional filled
    maker_lots: int  # of the quantity: by orders that waited in the book
    mid_order_count: int  # measured against the mid at arrival
    trade_order_count: int  # measured against the last trade before arrival
    unmeasured_order_count: int  # neither was known
    arrival_cost_half_units: int  # cost against the price at arrival, in half units
    arrival_half_units: int  # what the quantity was worth at that price, in half units
    interval_cost_units: int  # cost against the VWAP from arrival to the order's end
    interval_units: int  # what the quantity was worth at it
    day_cost_units: int  # cost against the day's VWAP
    day_units: int  # what the quantity was worth at it


class Latency(NamedTuple):
    """How the orders of an account, symbol or order type are spread. Key: by, name, quote, measure."""

    by: str  # all, account, symbol or type
    name: str  # which
    quote: str  # what they are paid in; of all: nothing
    measure: str  # first_fill_ns, done_ns (both from the engine's receipt of the order on), or arrival_ppm
    order_count: int  # orders measured
    least: int | None  # the least
    p50: int | None  # half do not exceed it; this and the next three within 1/128
    p90: int | None  # nine of ten do not
    p99: int | None  # 99 of 100
    p999: int | None  # 999 of 1000
    greatest: int | None  # the greatest


class ReconciliationLine(NamedTuple):
    """What one side says where the sides differ; no rows: everything agrees. Key: number, source."""

    number: int  # of the difference
    what: str  # balance, position, fees, deposits, withdrawals, conservation, fills, trades, or a column of daily_pnl
    account: int  # whose; 0: of no single one
    subject: str  # asset or symbol
    source: str  # who says it
    value: int | None  # what it says: units or lots
    text: str  # the same for people, or what is wrong
    place: str  # shard and record, or the table


FILES: Mapping[str, type] = {
    "fees": Fees,
    "symbols": SymbolFigures,
    "best_execution": BestExecution,
    "latency": Latency,
    "reconciliation": ReconciliationLine,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All that a report says of a day."""

    reference: Reference
    decimals: Mapping[str, int]
    instruments: Mapping[str, Instrument]
    accounts: tuple[AccountSymbol, ...]
    symbols: tuple[SymbolDay, ...]
    by_account: tuple[Group, ...]
    by_symbol: tuple[Group, ...]
    by_type: tuple[Group, ...]
    overall: Spread
    histogram: tuple[int, ...]  # orders by cost against arrival; edges: best_execution.EDGES_PPM
    untracked_count: int
    has_arrivals: bool
    execution_count: int
    rejected_count: int
    sequences: Mapping[int, int]  # by shard: the last record of the day that made an execution
    statements: tuple[Statement, ...]
    reconciliation: Reconciliation
    tables: Mapping[str, Sequence[NamedTuple]]  # by name of FILES


class DayFigures:
    """The folds of a day. Feed it, then close it once."""

    def __init__(
        self,
        reference: Reference,
        *,
        statements: Sequence[Statement | Missing],
        before: Sequence[Statement | Missing],
        opening: Books,
        arrivals: Iterator[Arrival] | None = None,
    ) -> None:
        """statements, before: of the end of the day, and of the day before. arrivals: in order (shard, seq)."""
        self.reference = reference
        self.instruments = {name: Instrument.of(row) for name, row in reference.instruments.items()}
        self.ledger = Ledger(reference, statements=statements, before=before, opening=opening)
        self.orders = Orders()
        self.markets: dict[str, Market] = {}
        self.positions: dict[tuple[int, str], Position] = {}
        self.execution_count = self.rejected_count = 0
        self._rejected: dict[tuple[int, str], int] = {}
        self._printed: dict[str, list[int]] = {}  # by symbol, as the table trades has it: count, lots, units
        self._sequences: dict[int, int] = {}
        self._at = (-1, 0, 0)
        self._has_arrivals = arrivals is not None
        self._arrivals = arrivals if arrivals is not None else iter(())
        self._arrival: Arrival | None = None
        self._tables_read = False
        self._reports: dict[tuple[int, int], int] = {}  # by shard and key: the number of its next report
        self._gaps: list[Difference] = []
        self._gap_count = 0
        self._blocks: dict[str, dict[int, int]] = {}  # by symbol: checksums of the table trades, as Market has them
        if not self.ledger.from_nothing:
            self._open(opening)

    def _open(self, opening: Books) -> None:
        for row in opening.positions:
            position = self._position(row.account, row.firm, self._market(row.symbol, "the table positions"))
            position.held = {"position_lots": row.position_lots, "cost_units": row.cost_units}
            position.opening = row.realised_units, row.fees_units

    # ---- rows --------------------------------------------------------------------------------------------------------

    def execution(self, row: Row) -> None:
        """A report of the engine, of the day. Raises RowsInvalid."""
        shard, seq, kind = row["shard"], row["seq"], row["type"]
        at = shard, seq, row["n"]
        if at <= self._at:
            raise RowsInvalid(
                f"executions must come in the order (shard, seq, n), came {at} behind {self._at}",
                hint="order them by their primary key, each once",
            )
        self._at = at
        if row["key"]:
            self._number(row)
        if shard not in self._sequences:
            self.orders.first[shard] = seq
        self.execution_count += 1
        self._sequences[shard] = seq
        if kind == "filled":
            self._filled(row)
        elif kind == "accepted":
            bid, ask = self._best_at(shard, seq) if self._has_arrivals else (None, None)
            self.orders.accepted(row, self._market_of(row), bid, ask)
        elif kind == "cancelled":
            self.orders.ended(row, self._market_of(row))
        elif kind == "triggered":
            self.orders.triggered(row)
        elif kind == "adjustment":
            self._adjusted(row)
        elif kind == "rejected":
            self.rejected_count += 1
            key = row["account"], row["symbol"] or ""
            self._rejected[key] = self._rejected.get(key, 0) + 1

    def _number(self, row: Row) -> None:
        """Reports of a key are numbered without gaps, so one that is missing is missed."""
        key, number = (row["shard"], row["key"]), row["report_number"]
        due = self._reports.get(key, number)
        self._reports[key] = number + 1
        if number != due:
            self._gap_count += 1
            if len(self._gaps) < GAPS_KEPT:
                note = f"the next report of key {row['key']} must have number {due}, has {number}: rows are missing"
                where = f"shard {row['shard']}, record {row['seq']}"
                subject, account = row["symbol"] or "–", row["account"]
                gap = Difference(what="reports", account=account, subject=subject, said=(), where=where, note=note)
                self._gaps.append(gap)

    def cash_flow(self, row: Row) -> None:
        """A deposit, withdrawal or payout of fees, of the day."""
        self.ledger.cash_flow(row)

    def trade(self, row: Row) -> None:
        """A print of the day, as the table trades has it."""
        self._tables_read = True
        if row["type"] == "trade":
            sums = self._printed.setdefault(row["symbol"], [0, 0, 0])
            sums[0] += 1
            sums[1] += row["quantity_lots"]
            sums[2] += row["notional_units"]
            trade_id, price, lots = row["trade_id"], row["price_ticks"], row["quantity_lots"]
            blocks, waited = self._blocks.setdefault(row["symbol"], {}), not row["auction"]
            blocks[trade_id // BLOCK] = (
                blocks.get(trade_id // BLOCK, 0)
                + fill_sum(trade_id, price, lots, row["maker_order_id"], waited)
                + fill_sum(trade_id, price, lots, row["taker_order_id"], False)
            )

    def _filled(self, row: Row) -> None:
        market = self._market_of(row)
        market.fill(row)
        self.ledger.fill(row, market.instrument)
        position = self._position(row["account"], row["firm"], market)
        lots, units, day = row["quantity_lots"], row["notional_units"], position.day
        realised = flow(position.held, lots, -units) if row["side"] == "buy" else flow(position.held, -lots, units)
        day["fees_units"] += row["fee_units"]
        day["fill_count"] += 1
        day["volume_units"] += units
        if realised:
            day["realised_units"] += realised
            day["winning_count" if realised > 0 else "losing_count"] += 1
            day["profit_units" if realised > 0 else "loss_units"] += abs(realised)
        self.orders.filled(row, market)

    def _adjusted(self, row: Row) -> None:
        market = self._market_of(row)
        self.ledger.adjustment(row, market.instrument)
        position = self._position(row["account"], row["firm"], market)
        position.day["realised_units"] += flow(position.held, row["position_change_lots"], row["amount_units"])

    def _market_of(self, row: Row) -> Market:
        symbol: str = row["symbol"]
        market = self.markets.get(symbol)
        return market if market is not None else self._market(symbol, f"record {row['seq']} of shard {row['shard']}")

    def _market(self, symbol: str, where: str) -> Market:
        market = self.markets.get(symbol)
        if market is None:
            instrument = self.instruments.get(symbol)
            if instrument is None:
                raise RowsInvalid(
                    f"each symbol that is reported must be in the table instruments, {symbol!r} is not",
                    detail=where,
                    hint="let analytics catch up: it writes both tables; then ask for the report again",
                )
            market = self.markets[symbol] = Market(instrument)
        return market

    def _position(self, account: int, firm: int, market: Market) -> Position:
        key = account, market.instrument.symbol
        position = self.positions.get(key)
        if position is None:
            position = self.positions[key] = Position(account, firm, market)
        return position

    def _best_at(self, shard: int, seq: int) -> tuple[int | None, int | None]:
        """Best bid and ask just before an order entered."""
        arrival = self._arrival
        while arrival is None or (arrival.shard, arrival.seq) < (shard, seq):
            arrival = next(self._arrivals, None)
            if arrival is None:
                return None, None
        self._arrival = arrival
        if (arrival.shard, arrival.seq) != (shard, seq):
            return None, None
        return arrival.bid_ticks, arrival.ask_ticks

    # ---- the end -----------------------------------------------------------------------------------------------------

    def close(self, closing: Books, daily_pnl: Iterable[Profit]) -> Figures:
        """The day is over. closing: the tables as of its end; daily_pnl: its rows."""
        orders, ledger = self.orders, self.ledger
        orders.close()
        ledger.close(closing)
        for symbol in sorted(self.markets):
            self._settle(self.markets[symbol])
        for gap in self._gaps:
            ledger.differ(gap)
        if self._gap_count > len(self._gaps):
            ledger.note(f"{self._gap_count - len(self._gaps):,} more gaps in the numbers of reports are not listed.")
        self._compare_profits(daily_pnl)
        self._compare_positions(closing)
        self._compare_realised(closing)
        self._compare_prints()
        accounts, symbols, result = tuple(self._accounts()), tuple(self._symbols()), ledger.result()
        return Figures(
            reference=self.reference,
            decimals=ledger.decimals,
            instruments=self.instruments,
            accounts=accounts,
            symbols=symbols,
            by_account=tuple(orders.groups("account")),
            by_symbol=tuple(orders.groups("symbol")),
            by_type=tuple(orders.groups("type")),
            overall=orders.overall(),
            histogram=tuple(orders.histogram),
            untracked_count=orders.untracked_count,
            has_arrivals=self._has_arrivals,
            execution_count=self.execution_count,
            rejected_count=self.rejected_count,
            sequences=dict(sorted(self._sequences.items())),
            statements=tuple(ledger.statements[shard] for shard in sorted(ledger.statements)),
            reconciliation=result,
            tables={
                "fees": [Fees(*(getattr(row, name) for name in Fees._fields)) for row in accounts],
                "symbols": [_symbol_row(row) for row in symbols],
                "best_execution": list(_best_rows(orders)),
                "latency": list(_latency_rows(orders)),
                "reconciliation": list(_lines(result)),
            },
        )

    def _settle(self, market: Market) -> None:
        market.settle()
        self.ledger.checked("trades: both sides", market.trades)
        for fault in market.faults:
            where = f"shard {fault.shard}, record {fault.seq}"
            self.ledger.differ(
                Difference(
                    what="fills", account=fault.account, subject=fault.symbol, said=(), where=where, note=fault.text
                )
            )
        if market.fault_count > len(market.faults):
            more = market.fault_count - len(market.faults)
            self.ledger.note(f"{more:,} more such fills of {market.instrument.symbol} are not listed.")

    def _compare_positions(self, closing: Books) -> None:
        """Cost, and profit and fees since the beginning, as the table has them at the day's end."""
        for row in closing.positions:
            position = self.positions.get((row.account, row.symbol))
            if position is not None:
                sums = {
                    "cost_units": position.held["cost_units"],
                    "realised_units": position.opening[0] + position.day["realised_units"],
                    "fees_units": position.opening[1] + position.day["fees_units"],
                }
                said = {name: getattr(row, name) for name in sums}
                self._compare(row.account, said, sums, "table positions", position.market.instrument)

    def _compare_realised(self, closing: Books) -> None:
        """What positions have realised since the beginning is what all their days have: figures begin with both."""
        days = {(row.account, row.symbol): row.realised_units for row in closing.realised}
        positions = {(row.account, row.symbol): row.realised_units for row in closing.positions}
        for account, symbol in sorted(days if closing.realised else ()):
            instrument = self.instruments.get(symbol)
            summed, stood = days[account, symbol], positions.get((account, symbol), 0)
            if instrument is None:
                continue
            self.ledger.checked("daily_pnl: all days with positions")
            if summed != stood:
                said = tuple(
                    Said(source=source, value=value, text=_text("realised_units", value, instrument))
                    for source, value in (("table positions", stood), ("table daily_pnl, all days", summed))
                )
                where = f"since the beginning, at the end of {self.reference.day}"
                self.ledger.differ(Difference(what="realised", account=account, subject=symbol, said=said, where=where))

    def _compare_profits(self, rows: Iterable[Profit]) -> None:
        """The day's profit and loss: what the table says, and what the executions add up to."""
        nothing = dict.fromkeys(PROFIT_FIELDS, 0)
        seen = set()
        for row in rows:
            seen.add((row.account, row.symbol))
            position, instrument = self.positions.get((row.account, row.symbol)), self.instruments.get(row.symbol)
            if instrument is not None:
                said = {name: int(getattr(row, name)) for name in PROFIT_FIELDS}
                sums = position.day if position is not None else nothing
                self._compare(row.account, said, sums, "table daily_pnl", instrument)
        for key, position in sorted(self.positions.items()):
            if key not in seen and position.day["fill_count"]:
                self._compare(key[0], nothing, position.day, "table daily_pnl", position.market.instrument)

    def _compare(
        self, account: int, told: Mapping[str, int], sums: Mapping[str, int], table: str, instrument: Instrument
    ) -> None:
        self.ledger.checked(f"{table.removeprefix('table ')}: rows with executions")
        wrong = [name for name in told if told[name] != sums[name]]
        if not wrong:
            return
        name = wrong[0]
        said = tuple(
            Said(source=source, value=value, text=_text(name, value, instrument))
            for source, value in (("executions", sums[name]), (table, told[name]))
        )
        others = f"; so do {', '.join(map(_words, wrong[1:]))}" if len(wrong) > 1 else ""
        where = f"{table} of {self.reference.day}{others}"
        self.ledger.differ(
            Difference(what=_words(name), account=account, subject=instrument.symbol, said=said, where=where)
        )

    def _compare_prints(self) -> None:
        """The table trades, and the prints that the fills tell of."""
        if not self._tables_read and not any(market.trades for market in self.markets.values()):
            return
        for symbol in sorted({*self._printed, *(name for name, market in self.markets.items() if market.trades)}):
            printed, market = self._printed.get(symbol, [0, 0, 0]), self.markets.get(symbol)
            folded = [market.trades, market.lots, market.units] if market is not None else [0, 0, 0]
            self.ledger.checked("trades: symbols with executions")
            if folded == printed:
                self._compare_blocks(symbol, market)
                continue
            said = tuple(
                Said(source=source, value=sums[2], text=f"{sums[0]:,} trades, {sums[1]:,} lots, {sums[2]:,} units")
                for source, sums in (("executions", folded), ("table trades", printed))
            )
            where = f"the whole of {self.reference.day}"
            self.ledger.differ(Difference(what="trades", account=0, subject=symbol, said=said, where=where))

    def _compare_blocks(self, symbol: str, market: Market | None) -> None:
        """Prices, quantities and orders of the trades, some hundred trades at a time."""
        told, folded = self._blocks.get(symbol, {}), market.blocks if market is not None else {}
        for block in sorted({*told, *folded}):
            if told.get(block) != folded.get(block):
                note = "price, quantity, maker's or taker's order of at least one of them is not that of its fills"
                where = f"trades {block * BLOCK} to {block * BLOCK + BLOCK - 1}, tables trades and executions"
                self.ledger.differ(
                    Difference(what="trades", account=0, subject=symbol, said=(), where=where, note=note)
                )

    def _accounts(self) -> Iterator[AccountSymbol]:
        counted: dict[tuple[int, str], list[Quality]] = {}
        for quality in self.orders.qualities.values():
            counted.setdefault((quality.account, quality.market.instrument.symbol), []).append(quality)
        known = {key for key in self._rejected if key[1] in self.instruments}
        for key in sorted({*self.positions, *counted, *known}):
            qualities = counted.get(key, [])
            position = self.positions.get(key) or Position(*self._nobody(key))
            market, lots, cost = position.market, position.held["position_lots"], position.held["cost_units"]
            if not (qualities or lots or key in known or any(position.day.values())):
                continue
            value = lots * market.last_ticks * market.instrument.quote_units_per_tick_lot
            yield AccountSymbol(
                account=key[0],
                firm=position.firm,
                symbol=key[1],
                quote=market.instrument.quote,
                position_lots=lots,
                cost_units=cost,
                unrealised_units=value - cost if lots and market.last_ticks else 0,
                rejected_count=self._rejected.get(key, 0),
                **{name: position.day[name] for name in PROFIT_FIELDS[:6]},
                **{name: sum(getattr(quality, of) for quality in qualities) for name, of in _COUNTED.items()},
            )

    def _nobody(self, key: tuple[int, str]) -> tuple[int, int, Market]:
        known = self.reference.accounts.get(key[0])
        return key[0], known.firm if known is not None else key[0], self._market(key[1], "the rejected commands")

    def _symbols(self) -> Iterator[SymbolDay]:
        fees: dict[str, int] = {}
        for (_, symbol), position in self.positions.items():
            fees[symbol] = fees.get(symbol, 0) + position.day["fees_units"]
        ordered = {quality.market.instrument.symbol for quality in self.orders.qualities.values()}
        for symbol, market in sorted(self.markets.items()):
            if market.trades or symbol in ordered:
                yield SymbolDay(
                    instrument=market.instrument,
                    trade_count=market.trades,
                    volume_lots=market.lots,
                    buy_volume_lots=market.buy_lots,
                    notional_units=market.units,
                    open_ticks=market.open_ticks,
                    high_ticks=market.high_ticks,
                    low_ticks=market.low_ticks,
                    last_ticks=market.last_ticks,
                    fees_units=fees.get(symbol, 0),
                    timeline=market.timeline,
                )


_COUNTED = {
    "filled_lots": "filled_lots",
    "order_count": "orders",
    "filled_order_count": "filled_orders",
    "cancelled_count": "cancelled_orders",
    "ordered_lots": "ordered_lots",
    "maker_units": "maker_units",
    "maker_fee_units": "maker_fee_units",
}


def _symbol_row(day: SymbolDay) -> SymbolFigures:
    instrument = day.instrument
    return SymbolFigures(
        instrument.symbol, instrument.quote, day.trade_count, day.volume_lots, day.buy_volume_lots,
        day.notional_units, day.open_ticks, day.high_ticks, day.low_ticks, day.last_ticks, day.fees_units,
    )  # fmt: skip


def _best_rows(orders: Orders) -> Iterator[BestExecution]:
    for _, quality in sorted(orders.qualities.items()):
        instrument = quality.market.instrument
        cost, of = day_cost(quality)
        yield BestExecution(
            quality.account, instrument.symbol, quality.order_type, instrument.quote, quality.orders,
            quality.filled_orders, quality.full_orders, quality.immediate_orders, quality.filled_lots,
            quality.filled_units, quality.maker_lots, quality.mid_orders, quality.trade_orders,
            quality.unmeasured_orders, quality.arrival_cost_halves, quality.arrival_halves,
            quality.interval_cost_units, quality.interval_units, cost, of,
        )  # fmt: skip


def _latency_rows(orders: Orders) -> Iterator[Latency]:
    groups = [("all", "", "", orders.overall())]
    for kind in ("account", "symbol", "type"):
        groups += [(kind, group.name, group.quote, group.spread) for group in orders.groups(kind)]
    for by, name, quote, spread in groups:
        for measure in ("first_fill_ns", "done_ns", "arrival_ppm"):
            sketch: Sketch = getattr(spread, measure)
            if sketch.count:
                p50, p90, p99, p999 = (sketch.quantile(part, 1000) for part in (500, 900, 990, 999))
                yield Latency(
                    by, name, quote, measure, sketch.count, sketch.least, p50, p90, p99, p999, sketch.greatest
                )


def _lines(result: Reconciliation) -> Iterator[ReconciliationLine]:
    for number, one in enumerate(result.differences, 1):
        for said in one.said or (Said(source="executions", value=None, text=one.note),):
            yield ReconciliationLine(
                number, one.what, one.account, one.subject, said.source, said.value, said.text, one.where
            )


def _words(name: str) -> str:
    return name.removesuffix("_units").replace("_", " ")


def _text(name: str, value: int, instrument: Instrument) -> str:
    return f"{instrument.amount(value)} {instrument.quote}" if name.endswith("_units") else f"{value:,}"
