"""What every kind of tape is read as: one stream of frozen messages.

    LOBSTER csv ──▶ lobster.py ──┐
    ITCH 5.0    ──▶ itch.py    ──┼──▶ TapeMessage, TapeMessage, … ──▶ player.py
    a seed      ──▶ flow.py    ──┘

A tape says what became of orders at a venue, not what anybody sent: an execution names the resting order that was hit,
and the side of a message is always that order's side.
"""

from __future__ import annotations

import dataclasses
import enum

NS_PER_SECOND = 1_000_000_000
PRICE_UNITS_PER_ONE = 10_000  # prices on a tape are whole ten-thousandths of the currency


class TapeKind(enum.IntEnum):
    """What happened on the tape."""

    ADD = 1  # a limit order arrived and rests, or takes first what it meets
    REDUCE = 2  # part of a resting order was cancelled; the rest keeps its place
    DELETE = 3  # a resting order was cancelled whole
    REPLACE = 4  # a resting order was cancelled, and new_order_id arrived on its side in its stead
    EXECUTE = 5  # a resting order was hit, at its own price
    EXECUTE_AT = 6  # a resting order was executed at a price that is not its own (an auction, a correction)
    HIDDEN = 7  # an order that was never shown was executed
    CROSS = 8  # an auction's print
    HALT = 9  # trading stopped
    QUOTE_ONLY = 10  # orders are taken again, trading has not begun
    RESUME = 11  # trading goes on
    OTHER = 12  # everything else: directories, indicators, session events


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TapeMessage:
    """One message of a tape.

    Fields that its kind does not have are 0 or "". REDUCE and DELETE of ITCH have no price; an order that the tape
    never showed arriving has no side there.
    """

    index: int  # place on the tape, from 1: line of a LOBSTER file, message of an ITCH file
    time_ns: int  # nanoseconds after midnight
    kind: TapeKind
    symbol: str = ""  # which instrument; "" where a tape has only one and does not name it
    order_id: int = 0  # the tape's number of the resting order
    side: int = 0  # schemas.vocabulary.Side of the resting order; 0 if not said
    price: int = 0  # ten-thousandths of the currency, per share
    quantity: int = 0  # shares
    new_order_id: int = 0  # REPLACE: the order that takes its place
