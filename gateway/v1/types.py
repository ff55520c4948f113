"""Types that the operations under /api/v1 share: decimals, symbols, pages of a list.

JSON in snake_case. Prices, quantities and amounts are decimal texts, exact, with the digits of the instrument or asset;
ids, counts and times are whole numbers, times in nanoseconds since the epoch (`*_ns`). A value that is not there is
null. Symbols are written as BTC/USD; where one is asked for, BTCUSD is the same.
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

__all__ = [
    "ClientOrderId",
    "Count",
    "Day",
    "Decimal",
    "Limit",
    "OrderKind",
    "OrderState",
    "Page",
    "Positive",
    "SelfTrade",
    "Sequence",
    "Side",
    "Struct",
    "Symbol",
    "SymbolName",
    "TimeInForceName",
    "TimeNs",
    "TradingStateName",
    "TriggerName",
]


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is answered."""


Decimal: TypeAlias = Annotated[
    str, Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$", description="An exact decimal.", examples=["101.25"])
]
Positive: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,20}(\.[0-9]{1,18})?$", max_length=39, description="A decimal above zero.", examples=["0.5"]
    ),
]
Symbol: TypeAlias = Annotated[str, Meta(description="Symbol of an instrument.", examples=["BTC/USD"])]
SymbolName: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._/-]{1,36}$",
        max_length=36,
        description="An instrument: BTC/USD or BTCUSD.",
        examples=["BTC/USD"],
    ),
]
TimeNs: TypeAlias = Annotated[int, Meta(ge=0, description="Nanoseconds since the epoch (UTC).")]
Sequence: TypeAlias = Annotated[int, Meta(ge=0, description="Sequence of a record of the journal.")]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Day: TypeAlias = Annotated[
    str,
    Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", max_length=10, description="A day (UTC).", examples=["2026-11-22"]),
]
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=1000, description="At most so many.")]
ClientOrderId: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[.A-Z:/a-z0-9_-]{1,36}(?!\n)$",  # in Python $ would let a line break pass
        max_length=36,
        description="The client's own id of an order.",
        examples=["my-order-1"],
    ),
]

Side: TypeAlias = Literal["buy", "sell"]
OrderKind: TypeAlias = Literal["limit", "market", "market_by_quote"]
TimeInForceName: TypeAlias = Literal["good_till_cancelled", "immediate_or_cancel", "fill_or_kill"]
SelfTrade: TypeAlias = Literal["none", "cancel_taker", "cancel_maker", "cancel_both", "decrement"]
TriggerName: TypeAlias = Literal["stop", "take_profit", "trailing"]
OrderState: TypeAlias = Literal["waiting", "open", "partly_filled", "filled", "cancelled", "expired"]
TradingStateName: TypeAlias = Literal["open", "halted", "pre_open", "auction", "closed"]

T = TypeVar("T")


class Page(Struct, Generic[T], frozen=True):
    """A part of a list, newest first where it has a time. next: give it as `after` for what follows; null: the end."""

    items: list[T]
    next: str | None = None
