"""What the reading operations of /api/v1 take and answer. The OpenAPI document is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.v1.types import (
    ClientOrderId,
    Count,
    Day,
    Decimal,
    Limit,
    OrderKind,
    OrderState,
    Positive,
    SelfTrade,
    Sequence,
    Side,
    Struct,
    Symbol,
    SymbolName,
    TimeInForceName,
    TimeNs,
    TradingStateName,
    TriggerName,
)

After = Annotated[
    str, Meta(max_length=200, pattern=r"^[0-9A-Za-z._:-]{1,200}$", description="What `next` of the answer before said.")
]
Ppm = Annotated[int, Meta(description="Millionths.")]


# ---- Parameters -----------------------------------------------------------------------------------------------------


class OfSymbol(msgspec.Struct, frozen=True, kw_only=True):
    """Of one instrument, or of all."""

    symbol: SymbolName | None = None


class OrdersQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which orders: open ones, or all, newest first."""

    symbol: SymbolName | None = None
    client_order_id: ClientOrderId | None = None
    status: Literal["open", "all"] = "open"
    limit: Limit = 500
    after: After | None = None


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list of things that happened, newest first."""

    symbol: SymbolName | None = None
    limit: Limit = 100
    after: After | None = None


class DaysQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which days (UTC), both included; the newest 1,000 where more are asked for."""

    symbol: SymbolName | None = None
    from_day: Day | None = None
    to_day: Day | None = None


class ReferenceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """In which asset to value; default: the quote asset of the first instrument."""

    asset: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._/-]{1,36}$", max_length=36, examples=["USD"])] | None = None


class AnalyticsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of instruments whose quote asset is `asset` (default: that of the first instrument)."""

    asset: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._/-]{1,36}$", max_length=36, examples=["USD"])] | None = None
    symbol: SymbolName | None = None
    from_day: Day | None = None
    to_day: Day | None = None


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list."""

    limit: Limit = 100
    after: After | None = None


class LettersQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters."""

    code: Annotated[str, Meta(max_length=64, pattern=r"^[a-z0-9_]{1,64}$", examples=["undecodable"])] | None = None
    worker: Annotated[str, Meta(max_length=64, pattern=r"^[a-z0-9._-]{1,64}$", examples=["validation"])] | None = None
    topic: Annotated[str, Meta(max_length=249, pattern=r"^[A-Za-z0-9._-]{1,249}$")] | None = None
    limit: Limit = 100


class ReplayQuery(msgspec.Struct, frozen=True, kw_only=True):
    """whole: all of the message, even where only one event of it was given up."""

    whole: bool = False


# ---- Instruments ----------------------------------------------------------------------------------------------------


class Breaker(Struct, frozen=True, kw_only=True):
    """A circuit breaker: bounds around the last price (band) and the static price (levels); 0: off."""

    band_ppm: Ppm
    band_ms: Count
    level1_ppm: Ppm
    level1_ms: Count
    level2_ppm: Ppm
    level2_ms: Count
    level3_ppm: Ppm
    level3_ms: Count
    static_price: Decimal | None


class PriceStep(Struct, frozen=True, kw_only=True):
    """From this price on, prices are multiples of tick_size and quantities of lot_size."""

    from_price: Decimal
    tick_size: Decimal
    lot_size: Decimal


class InstrumentInfo(Struct, frozen=True, kw_only=True):
    """An instrument as it stands."""

    symbol: Symbol
    name: str
    number: Count
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    price_decimals: Count
    quantity_decimals: Count
    base_decimals: Count
    quote_decimals: Count
    maker_fee_ppm: Ppm
    taker_fee_ppm: Ppm
    state: TradingStateName
    auction_ends_ns: TimeNs | None
    reference_price: Decimal | None
    min_quantity: Decimal | None
    max_quantity: Decimal | None
    min_notional: Decimal | None
    collar_ppm: Ppm
    breaker: Breaker
    price_steps: list[PriceStep]


# ---- Account --------------------------------------------------------------------------------------------------------


class Balance(Struct, frozen=True, kw_only=True):
    """What the account has of an asset. locked: held by open orders."""

    asset: str
    free: Decimal
    locked: Decimal
    total: Decimal


class Position(Struct, frozen=True, kw_only=True):
    """A position at average cost. Amounts in the quote asset; fees are not in realised and unrealised.

    cost: of a short position below zero: what it brought. unrealised: at last_price; null while there is none.
    """

    symbol: Symbol
    quote: str
    position: Decimal
    position_lots: int
    cost: Decimal
    average_price: Decimal | None
    last_price: Decimal | None
    realised: Decimal
    unrealised: Decimal | None
    fees: Decimal
    fill_count: Count


class Execution(Struct, frozen=True, kw_only=True):
    """One side of a trade: a fill of an order of the account. (sequence, n) names it for ever."""

    trade_id: Count
    order_id: Count
    symbol: Symbol
    side: Side
    maker: bool
    price: Decimal
    quantity: Decimal
    notional: Decimal
    fee: Decimal
    fee_asset: str
    received_ns: TimeNs
    sequence: Sequence
    n: Count


class OrderInfo(Struct, frozen=True, kw_only=True):
    """An order as it stands. code: why it ended, or `none`. average_price: null before the first fill."""

    order_id: Count
    client_order_id: str
    symbol: Symbol
    side: Side
    type: OrderKind
    time_in_force: TimeInForceName
    post_only: bool
    price: Decimal | None
    quantity: Decimal
    filled: Decimal
    remaining: Decimal
    average_price: Decimal | None
    notional: Decimal
    fees: Decimal
    status: OrderState
    code: str
    self_trade_prevention: SelfTrade | None
    trigger: TriggerName | None
    trigger_price: Decimal | None
    display_quantity: Decimal | None
    linked_order_id: Count | None
    expire_ns: TimeNs | None
    entered_ns: TimeNs
    updated_ns: TimeNs


class NewOrderBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new order. docs/reference/orders.md says which terms go together.

    price: of a market order the worst to take; null: the instrument's collar decides. amount: of market_by_quote, in
    the quote asset, instead of quantity. trigger: the order waits until the last price is at trigger_price, or, if
    trailing, turns by `offset` from its best. cancel_first: an open order of the instrument that this one takes the
    place of. one_cancels_other: one that is cancelled when this one trades or ends, and the other way round.
    """

    symbol: SymbolName
    side: Side
    type: OrderKind = "limit"
    price: Positive | None = None
    quantity: Positive | None = None
    amount: Positive | None = None
    time_in_force: TimeInForceName | None = None
    self_trade_prevention: SelfTrade = "cancel_taker"
    post_only: bool = False
    client_order_id: ClientOrderId | None = None
    display_quantity: Positive | None = None
    minimum_quantity: Positive | None = None
    hidden: bool = False
    all_or_none: bool = False
    day: bool = False
    expire_ns: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)] | None = None
    trigger: TriggerName | None = None
    trigger_price: Positive | None = None
    peg: Literal["own_best", "other_best", "middle"] | None = None
    offset: Decimal | None = None
    cancel_first: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)] | None = None
    one_cancels_other: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)] | None = None


class AmendBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New price and new total quantity, what has filled included; what is left out stays.

    At the same price and with no larger total the order keeps its place in the book.
    """

    price: Positive | None = None
    quantity: Positive | None = None


class OrderResult(Struct, frozen=True, kw_only=True):
    """An order after a command on it, and the fills that the command brought."""

    order: OrderInfo
    fills: list[Execution]
    sequence: Sequence


class CancelledOrders(Struct, frozen=True, kw_only=True):
    """Orders that a mass cancel ended."""

    items: list[OrderInfo]
    sequence: Sequence


# ---- Profit and loss ------------------------------------------------------------------------------------------------


class SymbolPnl(Struct, frozen=True, kw_only=True):
    """Profit and loss of an instrument since the beginning, in its quote asset. net = realised + unrealised − fees."""

    symbol: Symbol
    quote: str
    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    net: Decimal


class AssetPnl(Struct, frozen=True, kw_only=True):
    """The same over all instruments of one quote asset."""

    asset: str
    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    net: Decimal


class Pnl(Struct, frozen=True, kw_only=True):
    """Profit and loss by instrument, and in all by quote asset."""

    items: list[SymbolPnl]
    totals: list[AssetPnl]


class DayPnl(Struct, frozen=True, kw_only=True):
    """An instrument on a day (UTC). unrealised: of what was open at the day's last known price."""

    day: Day
    symbol: Symbol
    quote: str
    realised: Decimal
    fees: Decimal
    net: Decimal
    unrealised: Decimal
    volume: Decimal
    fill_count: Count
    winning_count: Count
    losing_count: Count


class AssetValue(Struct, frozen=True, kw_only=True):
    """An asset of the account. price, value: in the reference asset; null where no chain of last prices leads to it."""

    asset: str
    free: Decimal
    locked: Decimal
    total: Decimal
    price: Decimal | None
    value: Decimal | None


class Portfolio(Struct, frozen=True, kw_only=True):
    """What the account is worth at last prices. total: of what has a value, rounded down."""

    asset: str
    total: Decimal
    items: list[AssetValue]


# ---- Analytics ------------------------------------------------------------------------------------------------------


class Performance(Struct, frozen=True, kw_only=True):
    """How closing fills turned out, before fees. Ratios are null where nothing divides them.

    winners, losers: fills that closed something with a profit, a loss. win_rate: winners / (winners + losers).
    profit_factor: gross_profit / gross_loss. Amounts in the quote asset.
    """

    trades: Count
    winners: Count
    losers: Count
    win_rate: Decimal | None
    profit_factor: Decimal | None
    gross_profit: Decimal
    gross_loss: Decimal
    average_win: Decimal | None
    average_loss: Decimal | None
    realised: Decimal
    fees: Decimal
    net: Decimal
    volume: Decimal


class SymbolPerformance(Performance, frozen=True, kw_only=True):
    """The same of one instrument."""

    symbol: Symbol


class Analytics(Performance, frozen=True, kw_only=True):
    """How the account did in one quote asset, and by instrument.

    max_drawdown: the furthest that the sum of the days' net fell below its highest before. fill_ratio: lots filled to
    lots ordered, of all instruments since the beginning. Counts of orders come with a database only.
    """

    asset: str
    max_drawdown: Decimal
    orders: Count | None
    rejected: Count | None
    cancelled: Count | None
    filled_orders: Count | None
    fill_ratio: Decimal | None
    by_symbol: list[SymbolPerformance]


class DailyResult(Struct, frozen=True, kw_only=True):
    """A day of the curve. net = realised − fees; cumulative: its sum so far; drawdown: how far below its highest."""

    day: Day
    realised: Decimal
    fees: Decimal
    net: Decimal
    cumulative: Decimal
    drawdown: Decimal


class DailyResults(Struct, frozen=True, kw_only=True):
    """Days with fills, oldest first, in one quote asset."""

    asset: str
    items: list[DailyResult]


# ---- Risk -----------------------------------------------------------------------------------------------------------


class Used(Struct, frozen=True, kw_only=True):
    """Use of a limit. max: null: no limit."""

    used: Count
    max: Count | None


class OrderRate(Struct, frozen=True, kw_only=True):
    """Orders of an account in a window of time."""

    used: Count
    max: Count | None
    window_ms: Count


class PositionUse(Struct, frozen=True, kw_only=True):
    """Position and what open orders could add to it. share: the larger side's use of the limit; null: no limit."""

    symbol: Symbol
    position: Decimal
    open_buy: Decimal
    open_sell: Decimal
    max: Decimal | None
    share: Decimal | None


class BreakerState(Struct, frozen=True, kw_only=True):
    """An instrument's state and its circuit breaker."""

    symbol: Symbol
    state: TradingStateName
    auction_ends_ns: TimeNs | None
    reference_price: Decimal | None
    collar_ppm: Ppm
    breaker: Breaker


class RiskState(Struct, frozen=True, kw_only=True):
    """Limits of the account and what is used of them; halts; circuit breakers.

    notional_max: quote units of one order. quantity_lots_max, position_lots_max: lots of one order, of a position.
    request_orders: what the gateway counts of the account's new orders.
    """

    account: Count
    firm: Count
    halted: bool
    everything_halted: bool
    fee_tier: Count
    open_orders: Used
    order_rate: OrderRate
    notional_units_max: Count | None
    quantity_lots_max: Count | None
    position_lots_max: Count | None
    orders_10s: Used
    orders_day: Used
    countdown_ns: TimeNs | None
    positions: list[PositionUse]
    breakers: list[BreakerState]


class Alert(Struct, frozen=True, kw_only=True):
    """A risk limit was reached, or a level of warning passed."""

    alert_id: str
    code: str
    action: str
    scope: str
    account: Count
    firm: Count
    symbol: str | None
    limit: int
    found: int
    text: str
    time_ns: TimeNs


# ---- Audit, dead letters --------------------------------------------------------------------------------------------


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Who changed what, and when. sequence: of the journal's record, if there is one.

    what: limits_changed, limits_refused, action_done, action_failed; or the kind of an administrator's command.
    """

    audit_id: str
    who: str
    what: str
    firm: Count | None
    account: Count | None
    symbol: str | None
    before: Any
    after: Any
    code: str | None
    text: str | None
    sequence: Sequence | None
    time_ns: TimeNs


class DeadLetterInfo(Struct, frozen=True, kw_only=True):
    """What a worker could not process, and why. value: the original bytes in base64; value_text: where it is text."""

    number: Count
    worker: str
    code: str
    text: str
    topic: str
    partition: Count
    offset: Count
    index: Count | None
    key: str | None
    value: str
    value_text: str | None
    time_ns: TimeNs


class Replayed(Struct, frozen=True, kw_only=True):
    """Where the original bytes stand now."""

    number: Count
    topic: str
    partition: Count
    offset: Count


# ---- Health ---------------------------------------------------------------------------------------------------------


class Part(Struct, frozen=True, kw_only=True):
    """One part of the installation. figures: numbers by name, such as lag_records, behind_ms, age_ms."""

    name: str
    status: Literal["up", "degraded", "down", "off"]
    detail: str
    figures: dict[str, float]


class Health(Struct, frozen=True, kw_only=True):
    """down: what is needed to trade is away. degraded: something else is."""

    status: Literal["up", "degraded", "down"]
    time_ns: TimeNs
    version: str
    parts: list[Part]


class Ready(Struct, frozen=True, kw_only=True):
    """May requests be sent here? waits_for: what is not there yet."""

    ready: bool
    waits_for: list[str]


class Live(Struct, frozen=True, kw_only=True):
    """The process runs."""

    live: bool
