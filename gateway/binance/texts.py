"""The words of the Binance dialect for what an order is, and back: sides, types, times in force, states."""

from __future__ import annotations

from typing import Final, Protocol

from gateway.events import Event
from schemas.vocabulary import (
    Code,
    OrderType,
    ReportFlag,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TradingState,
    Trigger,
)

__all__ = [
    "ORDER_TYPES",
    "PREVENTIONS",
    "SIDES",
    "TIMES_IN_FORCE",
    "Told",
    "ended_text",
    "is_open",
    "side_text",
    "state_text",
    "status_text",
    "stp_text",
    "time_in_force_text",
    "told_lots",
    "type_text",
]

ORDER_TYPES: Final = (
    "LIMIT",
    "LIMIT_MAKER",
    "MARKET",
    "STOP_LOSS",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
)
SIDES: Final[dict[str, int]] = {"BUY": int(Side.BUY), "SELL": int(Side.SELL)}
TIMES_IN_FORCE: Final[dict[str, int]] = {
    "GTC": int(TimeInForce.GOOD_TILL_CANCELLED),
    "IOC": int(TimeInForce.IMMEDIATE_OR_CANCEL),
    "FOK": int(TimeInForce.FILL_OR_KILL),
}
PREVENTIONS: Final[dict[str, int]] = {
    "NONE": int(SelfTradePrevention.NONE),
    "EXPIRE_TAKER": int(SelfTradePrevention.CANCEL_TAKER),
    "EXPIRE_MAKER": int(SelfTradePrevention.CANCEL_MAKER),
    "EXPIRE_BOTH": int(SelfTradePrevention.CANCEL_BOTH),
    "DECREMENT": int(SelfTradePrevention.DECREMENT),
}
_TIME_IN_FORCE_TEXTS: Final = {number: text for text, number in TIMES_IN_FORCE.items()}
_PREVENTION_TEXTS: Final = {number: text for text, number in PREVENTIONS.items()}
_STATE_TEXTS: Final[dict[int, str]] = {
    TradingState.OPEN: "TRADING",
    TradingState.HALTED: "HALT",
    TradingState.PRE_OPEN: "PRE_TRADING",
    TradingState.AUCTION: "AUCTION_MATCH",
    TradingState.CLOSED: "END_OF_DAY",
}
# Why an order is no longer open: CANCELED where somebody wanted it, EXPIRED where its own terms or the market did
_ENDED: Final[dict[int, str]] = {
    Code.CANCELLED_BY_REQUEST: "CANCELED",
    Code.CANCELLED_BY_MASS_CANCEL: "CANCELED",
    Code.CANCELLED_ON_DISCONNECT: "CANCELED",
    Code.CANCELLED_COUNTDOWN: "CANCELED",
    Code.CANCELLED_BY_KILL: "CANCELED",
    Code.CANCELLED_UNFILLED: "EXPIRED",
    Code.CANCELLED_LINKED: "EXPIRED",
    Code.CANCELLED_EXPIRED: "EXPIRED",
    Code.CANCELLED_SESSION_CLOSED: "EXPIRED",
    Code.CANCELLED_BY_BREAKER: "EXPIRED",
    Code.CANCELLED_WOULD_TAKE: "EXPIRED",
    Code.CANCELLED_SELF_TRADE: "EXPIRED_IN_MATCH",
}


class Told(Protocol):
    """What of an order its words are made from (gateway.market.Order has it)."""

    @property
    def side(self) -> int: ...
    @property
    def order_type(self) -> int: ...
    @property
    def time_in_force(self) -> int: ...
    @property
    def self_trade_prevention(self) -> int: ...
    @property
    def post_only(self) -> bool: ...
    @property
    def trigger(self) -> int: ...
    @property
    def quantity_lots(self) -> int: ...
    @property
    def filled_lots(self) -> int: ...
    @property
    def remaining_lots(self) -> int: ...
    @property
    def code(self) -> int: ...


def ended_text(code: int, filled_lots: int) -> str:
    """The state of an order that was cancelled with that code."""
    if code == Code.CANCELLED_AMOUNT_REACHED:  # all of the amount that buys a lot was spent
        return "FILLED" if filled_lots else "EXPIRED"
    return _ENDED.get(code, "CANCELED")


def is_open(order: Told) -> bool:
    """Does it rest or wait?"""
    return order.code == 0 and order.remaining_lots > 0


def status_text(order: Told) -> str:
    """`status` of queries, `X` of executionReport."""
    if order.code:
        return ended_text(order.code, order.filled_lots)
    if order.remaining_lots == 0:
        return "FILLED"
    return "PARTIALLY_FILLED" if order.filled_lots else "NEW"


def told_lots(order: Told) -> int:
    """`origQty`, `q`. A market order by an amount has no quantity of its own: it is told what it got."""
    return order.filled_lots if order.order_type == OrderType.MARKET_BY_QUOTE else order.quantity_lots


def side_text(order: Told) -> str:
    """BUY or SELL."""
    return "BUY" if order.side == Side.BUY else "SELL"


def event_side_text(event: Event) -> str:
    """The same of an event."""
    return "SELL" if event.flags & ReportFlag.SELL else "BUY"


def type_text(order: Told) -> str:
    """The dialect's order type; a trailing stop is a STOP_LOSS."""
    limit = order.order_type == OrderType.LIMIT
    if order.trigger:
        kind = "TAKE_PROFIT" if order.trigger == Trigger.TAKE_PROFIT else "STOP_LOSS"
        return f"{kind}_LIMIT" if limit else kind
    if not limit:
        return "MARKET"
    return "LIMIT_MAKER" if order.post_only else "LIMIT"


def time_in_force_text(order: Told) -> str:
    """GTC for what has none in the dialect: Binance answers so for market orders, too."""
    if order.order_type != OrderType.LIMIT:
        return "GTC"
    return _TIME_IN_FORCE_TEXTS.get(order.time_in_force, "GTC")


def stp_text(order: Told) -> str:
    """selfTradePreventionMode."""
    return _PREVENTION_TEXTS.get(order.self_trade_prevention, "NONE")


def state_text(state: int) -> str:
    """`status` of a symbol."""
    return _STATE_TEXTS.get(state, "BREAK")
