"""The rows of the reports: what is read, what folds are fed with, and what is written, each type once.

    Postgres, statements ──▶ rows ──▶ files (executions, trades, audit trail …), as they stream past
                               └────▶ figures ──▶ their rows ──▶ files and page

The large tables' rows are never made into these types one by one: what streams past has their columns. Numbers are
whole (ticks, lots, units, nanoseconds since the epoch, UTC) as in the database; what is absent is None. The order
of the fields is the order of the columns; the comment behind a field is its line in docs/reference/reports.md.
"""

from __future__ import annotations

import dataclasses
from typing import Final, NamedTuple

UNSIGNED: Final = frozenset({"client_order_id", "reference"})  # any unsigned 64-bit number
# Of these types lots, units and values are sums of a day, which may have more bits than what they are sums of.
SUMS: Final = frozenset({"BestExecution", "Fees", "Pnl", "ReconciliationLine", "SymbolFigures"})


class Asset(NamedTuple):
    """An asset as it stands now."""

    asset: str  # its name
    asset_number: int  # the engine's number of it
    decimals: int  # digits behind the point: one whole is 10^decimals units


class Instrument(NamedTuple):
    """An instrument: what a tick and a lot of it are."""

    symbol: str  # its name, such as BTC/USD
    instrument: int  # the engine's number of it
    base: str  # name of the asset that is traded
    quote: str  # name of the asset that pays
    base_decimals: int  # digits of the base asset
    quote_decimals: int  # digits of the quote asset
    base_units_per_lot: int  # units of the base asset in one lot
    quote_units_per_tick_lot: int  # units of the quote asset that one lot costs at a price of one tick
    tick_size: str  # price of one tick
    lot_size: str  # quantity of one lot
    price_decimals: int  # digits of a price
    quantity_decimals: int  # digits of a quantity


class Account(NamedTuple):
    """An account and its firm."""

    account: int  # its number
    firm: int  # the firm it belongs to; itself by default


class Reach(NamedTuple):
    """How far the events of a shard are in the tables."""

    shard: int  # whose journal
    seq: int  # the newest mark; 0: the tables have none of it
    later_ns: int | None  # newest time of an event at or behind the day's end; None: there is none


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What folds and page must know beforehand."""

    day: str  # 2026-11-21
    start_ns: int  # the day's first nanosecond
    end_ns: int  # the first nanosecond behind it
    partial: bool  # the day is not over: as far as it went
    assets: dict[str, Asset]
    instruments: dict[str, Instrument]  # by symbol
    accounts: dict[int, Account]  # by number


class Arrival(NamedTuple):
    """The best prices just before an accepted order entered; fed directly before that order's Execution."""

    shard: int  # whose journal
    seq: int  # the order's sequence, which is its order id
    symbol: str  # instrument's name
    bid_ticks: int | None  # best bid; None: nobody bought
    ask_ticks: int | None  # best ask; None: nobody sold


class Execution(NamedTuple):
    """One event of the engine about an account's order or command. Key: shard, seq, n."""

    shard: int  # whose journal
    seq: int  # sequence of the record that caused it
    n: int  # which event of that record
    received_ns: int  # when the engine received that record
    type: str  # accepted, rejected, filled, cancelled, replaced, triggered, applied or adjustment
    firm: int  # the account's firm
    account: int  # whose order
    key: int  # number of the key whose report it is; 0: the engine
    report_number: int  # dense within the key
    code: str  # none, or why
    symbol: str | None  # instrument's name, where there is one
    instrument: int | None  # instrument's number, where there is one
    side: str | None  # buy or sell
    order_id: int | None  # the order's number within the shard: the sequence that entered it
    client_order_id: int | None  # the client's number of it; 0: none
    price_ticks: int | None  # price in ticks
    quantity_lots: int | None  # quantity in lots; of filled: of this fill
    remaining_lots: int | None  # open after it
    done: bool | None  # nothing of the order is open
    order_type: str | None  # of accepted: limit, market or market_by_quote
    time_in_force: str | None  # of accepted
    post_only: bool | None  # of accepted
    trade_id: int | None  # of filled, triggered and adjustment: dense within the symbol
    maker: bool | None  # of filled: the order waited in the book
    auction: bool | None  # of filled: in an auction
    notional_units: int | None  # of filled: price times quantity, units of the quote asset
    fee_units: int | None  # of filled: units of the quote asset; below zero: a rebate
    quote: str | None  # of filled: the quote asset's name
    kind: str | None  # of rejected and applied: kind of the command
    reference: int | None  # of rejected and applied: the client sequence
    order_count: int | None  # of applied: orders cancelled by it
    kept_priority: bool | None  # of replaced
    position_change_lots: int | None  # of adjustment
    amount_units: int | None  # of adjustment: change of quote units
    nonce: str | None  # of the command, 32 hexadecimal digits
    text: str | None  # of the command


class Trade(NamedTuple):
    """A print, a bust or a correction. Key: shard, seq, n."""

    shard: int  # whose journal
    seq: int  # sequence of the record that caused it
    n: int  # which event of that record
    received_ns: int  # when the engine received that record
    type: str  # trade, bust or correction
    symbol: str  # instrument's name
    instrument: int  # instrument's number
    trade_id: int  # dense within the symbol
    price_ticks: int  # price; of a correction the new one
    quantity_lots: int  # quantity; of a correction the new one
    side: str | None  # of a trade: the taker's
    maker_order_id: int | None  # of a trade: who waited
    taker_order_id: int | None  # of a trade: who came
    auction: bool | None  # of a trade: in an auction
    notional_units: int | None  # of a trade: price times quantity, units of the quote asset


class Position(NamedTuple):
    """Position of an account in a symbol at the end of the day, at average cost. Key: account, symbol."""

    account: int  # whose
    symbol: str  # instrument's name
    firm: int  # the account's firm
    position_lots: int  # below zero: short
    cost_units: int  # what it cost, quote units; of a short below zero: what it brought
    realised_units: int  # since the beginning, fees not in it
    fees_units: int  # since the beginning
    quote: str  # the quote asset's name


class Profit(NamedTuple):
    """The day's row of daily_pnl, to be compared with what the executions add up to. Key: account, symbol."""

    account: int  # whose
    symbol: str  # instrument's name
    firm: int  # the account's firm
    realised_units: int  # of the day, fees not in it
    fees_units: int  # of the day
    unrealised_units: int  # of the position at the mark price
    mark_price_ticks: int  # the day's last price; 0: none
    fill_count: int  # of the day
    winning_count: int  # fills that closed with a profit
    losing_count: int  # fills that closed with a loss
    volume_units: int  # notional traded
    profit_units: int  # of fills that closed with a profit, fees not in it
    loss_units: int  # of fills that closed with a loss: what was lost
    quote: str  # the quote asset's name


class Pnl(NamedTuple):
    """What the day brought an account in a symbol, as the executions add up. Key: account, symbol."""

    account: int  # whose
    firm: int  # the account's firm
    symbol: str  # instrument's name
    quote: str  # name of the asset that pays; all units are of it
    position_lots: int  # at the day's end; below zero: short
    cost_units: int  # what that position cost; of a short below zero: what it brought
    realised_units: int  # of the day, fees not in it
    unrealised_units: int  # of the position at the day's last price
    fees_units: int  # of the day, less rebates
    net_units: int  # realised and unrealised less fees
    fill_count: int  # of the day
    winning_count: int  # fills that closed with a profit
    losing_count: int  # fills that closed with a loss
    volume_units: int  # notional filled


class Holding(NamedTuple):
    """What an account has of an asset at the end of the day, free and locked together. Key: shard, account, asset."""

    shard: int  # whose journal
    account: int  # whose
    asset: str  # asset's name
    total_units: int  # free and locked


class CashTotal(NamedTuple):
    """All deposits and withdrawals of an asset from the beginning to the end of the day. Key: shard, asset."""

    shard: int  # whose journal
    asset: str  # asset's name
    deposits_units: int  # came from outside
    withdrawals_units: int  # went outside; not below zero
    payouts_units: int  # fees that were paid out to accounts


class FeeTotal(NamedTuple):
    """Fees held at the end of the day: what came and did not go, and that no account has. Key: shard, asset."""

    shard: int  # whose journal
    asset: str  # asset's name
    fees_units: int  # deposits less withdrawals less all holdings


class Realised(NamedTuple):
    """What all days before a moment realised, by daily_pnl; what the position realised must be the same."""

    account: int  # whose
    symbol: str  # instrument's name
    realised_units: int  # fees not in it


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Everybody's positions and money at one moment: the day's start, or its end."""

    positions: tuple[Position, ...]
    holdings: tuple[Holding, ...]
    cash: tuple[CashTotal, ...]
    fees: tuple[FeeTotal, ...]
    realised: tuple[Realised, ...] = ()


class AuditEvent(NamedTuple):
    """One event in an order's life, orders one after another; then commands refused. Key: shard, order_id, seq, n."""

    shard: int  # whose journal
    order_id: int | None  # the order's number within the shard; absent: refused, it never became one
    seq: int  # sequence of the record that caused the event
    n: int  # which event of that record
    received_ns: int  # when the engine received that record
    entered_ns: int | None  # when the engine received the order
    type: str  # accepted, rejected, filled, cancelled, replaced or triggered
    code: str  # none, or why
    kind: str | None  # of rejected: kind of the command
    firm: int  # the account's firm
    account: int  # whose order
    key: int  # number of the key whose report it is; 0: the engine
    key_id: str | None  # its name, where known
    report_number: int  # dense within the key
    client_order_id: int | None  # the client's number of the order; 0: none
    nonce: str | None  # of the command that entered it, 32 hexadecimal digits
    symbol: str | None  # instrument's name
    side: str | None  # buy or sell
    order_type: str | None  # limit, market or market_by_quote
    time_in_force: str | None  # how long it may wait
    post_only: bool | None  # refused rather than matched on entry
    price_ticks: int | None  # price in ticks
    quantity_lots: int | None  # quantity in lots; of filled: of this fill
    remaining_lots: int | None  # open after it
    done: bool | None  # nothing of the order is open
    trade_id: int | None  # of filled and triggered
    maker: bool | None  # of filled: the order waited in the book
    notional_units: int | None  # of filled: units of the quote asset
    fee_units: int | None  # of filled: units of the quote asset; below zero: a rebate
    text: str | None  # of the command that entered it


class StreamRefusal(NamedTuple):
    """An order that the stream refused before the engine saw it. Key: topic, partition, offset, place, stage."""

    topic: str  # where the order stood first: topic
    partition: int  # partition
    offset: int  # offset
    place: int  # place within the message
    stage: str  # validation, risk or submitter
    code: str  # why
    text: str  # what must hold, what was found
    appended_ns: int  # when the broker took the order
    key_id: str | None  # who signed, as claimed
    nonce: str | None  # 32 hexadecimal digits
    firm: int | None  # as far as known
    account: int | None  # as far as known
    symbol: str | None  # as far as known
    client_order_id: int | None  # as far as known


class CashFlow(NamedTuple):
    """A deposit, a withdrawal, or fees paid out to an account. Key: shard, seq, n."""

    shard: int  # whose journal
    seq: int  # sequence of the record that caused it
    n: int  # which event of that record
    received_ns: int  # when the engine received that record
    type: str  # deposit, withdrawal or payout
    firm: int  # the account's firm
    account: int  # whose
    asset: str  # asset's name
    amount_units: int  # below zero: a withdrawal
    free_units: int  # free after it
    locked_units: int  # locked after it
    reference: int  # the sender's number of it
