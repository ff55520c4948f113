"""The obvious price-time book, in dicts: what a tape's orders would do to each other.

    levels[side][price] = {order id: shares left, …}      first in, first hit: a dict keeps the order of arrival

The flow generator makes its flow against it; the player keeps one as its view of the engine's book, moved by the
engine's reports, to say why an execution differed; `simulate` plays a whole tape on it. It is no second engine: no
ledger, no checks, no commands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from schemas.vocabulary import Side

from .messages import TapeKind, TapeMessage

BUY, SELL = int(Side.BUY), int(Side.SELL)
OTHER_SIDE = {BUY: SELL, SELL: BUY}


class QueueBook:
    """One instrument's resting orders in price-time priority."""

    def __init__(self) -> None:
        self.levels: dict[int, dict[int, dict[int, int]]] = {BUY: {}, SELL: {}}
        self.orders: dict[int, tuple[int, int]] = {}  # order id: (side, price)
        self._best: dict[int, int] = {BUY: 0, SELL: 0}  # 0: to be found again

    def best(self, side: int) -> int:
        """Best price of a side, 0 if it is empty."""
        levels = self.levels[side]
        if not levels:
            return 0
        if self._best[side] not in levels:
            self._best[side] = max(levels) if side == BUY else min(levels)
        return self._best[side]

    def meets(self, side: int, price: int) -> bool:
        """Whether an order of this side at this price would trade at once."""
        best = self.best(OTHER_SIDE[side])
        return best != 0 and (best <= price if side == BUY else best >= price)

    def rest_of(self, order_id: int) -> int:
        """Shares that an order has left, 0 if it is not here."""
        place = self.orders.get(order_id)
        return self.levels[place[0]][place[1]][order_id] if place else 0

    def queue(self, side: int, price: int) -> dict[int, int]:
        """The orders of a level in priority, with what they have left."""
        return self.levels[side].get(price, {})

    def rest(self, order_id: int, side: int, price: int, quantity: int) -> None:
        """Put an order behind all others of its level, without matching it."""
        self.levels[side].setdefault(price, {})[order_id] = quantity
        self.orders[order_id] = (side, price)
        best = self._best[side]
        if best and (price > best if side == BUY else price < best):
            self._best[side] = price

    def take(self, order_id: int, quantity: int) -> None:
        """Take shares off an order, in its place; it is gone when nothing is left. Does nothing if it is not here."""
        place = self.orders.get(order_id)
        if place is None:
            return
        side, price = place
        level = self.levels[side][price]
        level[order_id] -= quantity
        if level[order_id] <= 0:
            del level[order_id]
            del self.orders[order_id]
            if not level:
                del self.levels[side][price]

    def fills_of(self, side: int, price: int, quantity: int) -> list[tuple[int, int, int]]:
        """What an arriving order would fill, changing nothing: (order id, price, shares) each, in order."""
        fills: list[tuple[int, int, int]] = []
        others = self.levels[OTHER_SIDE[side]]
        if not self.meets(side, price):
            return fills
        for level_price in sorted(others, reverse=side == SELL):
            if quantity == 0 or (level_price > price if side == BUY else level_price < price):
                break
            for order_id, left in others[level_price].items():
                filled = min(left, quantity)
                fills.append((order_id, level_price, filled))
                quantity -= filled
                if quantity == 0:
                    break
        return fills

    def enter(
        self, order_id: int, side: int, price: int, quantity: int, *, rests: bool = True
    ) -> list[tuple[int, int, int]]:
        """Match an arriving order and let what is left rest, or drop it. What it filled, as fills_of."""
        fills = self.fills_of(side, price, quantity)
        for maker, _, filled in fills:
            self.take(maker, filled)
            quantity -= filled
        if quantity and rests:
            self.rest(order_id, side, price, quantity)
        return fills


@dataclasses.dataclass(slots=True, kw_only=True)
class Simulated:
    """What comes of a tape on the obvious book."""

    executions_checked: int = 0
    executions_agreed: int = 0
    deletes_without_order: int = 0
    arrivals_that_traded: int = 0


def simulate(messages: Iterable[TapeMessage]) -> Simulated:
    """Play a tape of one symbol, read as docs/reference/tape.md says, on a QueueBook."""
    book = QueueBook()
    found = Simulated()
    totals: dict[int, int] = {}  # arrived order: its shares less its partial cancels on the tape
    held: dict[int, int] = {}  # the same less those that the book took: a cancel of what has filled is refused
    for message in messages:
        order_id, quantity = message.order_id, message.quantity
        if message.kind in (TapeKind.DELETE, TapeKind.REPLACE):
            found.deletes_without_order += order_id not in book.orders
            book.take(order_id, book.rest_of(order_id))
        if message.kind is TapeKind.ADD or (message.kind is TapeKind.REPLACE and message.side):
            new_id = message.new_order_id if message.kind is TapeKind.REPLACE else order_id
            totals[new_id] = held[new_id] = quantity
            found.arrivals_that_traded += bool(book.enter(new_id, message.side, message.price, quantity))
        elif message.kind in (TapeKind.REDUCE, TapeKind.EXECUTE_AT) and order_id in totals:
            totals[order_id] -= quantity
            filled = held[order_id] - book.rest_of(order_id)
            if order_id in book.orders and totals[order_id] > filled:
                book.take(order_id, held[order_id] - totals[order_id])
                held[order_id] = totals[order_id]
        elif message.kind is TapeKind.EXECUTE and order_id in totals:
            found.executions_checked += 1
            other = OTHER_SIDE[message.side]
            fills = book.enter(0, other, message.price, quantity, rests=False)
            found.executions_agreed += fills == [(order_id, message.price, quantity)]
    return found
