"""A seeded order flow, for where there is no tape.

    value      a hidden fair price that walks a tick at a time
    arrivals   bids below and asks above the touch, at distances that halve in likelihood from tick to tick
    cancels    as likely as there are orders, so a grown book shrinks again; most take it whole, some part
    takers     hit the best order of the side that is wrong about the value, or of either; larger ones hit several

The result is a tape like a recorded one: executions name the order that price-time priority puts first, so an engine
that keeps price-time priority agrees with all of them. Only whole numbers are used, drawn from the seed: the same seed
gives the same flow on every machine.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

from ._book import BUY, OTHER_SIDE, SELL, QueueBook
from .errors import TapeOptions
from .messages import NS_PER_SECOND, TapeKind, TapeMessage

PPM = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FlowOptions:
    """What the market is like. Prices in ten-thousandths, as on a tape."""

    symbol: str = "DEMO"
    seed: int = 1
    start_price: int = 100_0000
    tick: int = 100
    start_ns: int = 34_200 * NS_PER_SECOND
    mean_gap_ns: int = 1_000_000  # between messages
    resting_target: int = 120  # orders in the book, both sides together, around which cancels keep it
    taker_ppm: int = 90_000  # share of draws that are marketable orders
    reduce_ppm: int = 20_000  # share of cancels that take only a part
    value_step_ppm: int = 60_000  # how often the value moves by a tick
    lot: int = 1  # quantities are whole multiples of this


def generate(count: int, options: FlowOptions | None = None) -> Iterator[TapeMessage]:
    """`count` messages of made-up flow, the same for the same options.

    Raises TapeOptions if count or an option is below 1 (shares of draws: below 0).
    """
    options = options or FlowOptions()
    for name in ("start_price", "tick", "mean_gap_ns", "resting_target", "lot"):
        if getattr(options, name) < 1:
            raise TapeOptions(f"{name} must be above 0, was {getattr(options, name)}", detail="order flow")
    for name in ("taker_ppm", "reduce_ppm", "value_step_ppm", "start_ns"):
        if getattr(options, name) < 0:
            raise TapeOptions(f"{name} must not be below 0, was {getattr(options, name)}", detail="order flow")
    if count < 0:
        raise TapeOptions(f"the number of messages must not be below 0, was {count}", detail="order flow")
    if options.start_price < 1000 * options.tick:
        raise TapeOptions(
            f"start_price must be at least 1,000 ticks, was {options.start_price} at a tick of {options.tick}",
            detail="order flow",
        )
    flow = _Flow(options)
    made = 0
    while made < count:
        for message in flow.draw(made, count - made):
            made += 1
            yield message


class _Flow:
    """The market while it runs. Prices inside are ticks."""

    def __init__(self, options: FlowOptions) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        self.book = QueueBook()
        self.value = options.start_price // options.tick
        self.value_least = self.value // 2  # the walk turns back here, far above 0
        self.time_ns = options.start_ns
        self.next_order_id = 1
        self.live: list[int] = []  # order ids, in any order; those gone meanwhile are dropped when drawn

    def draw(self, made: int, room: int) -> Iterator[TapeMessage]:
        """The messages of one draw: one, or one for each order that a taker hits; at most `room`."""
        self._walk()
        self.time_ns += self._gap_ns()
        resting = len(self.book.orders)
        dice = self.random.randrange(PPM)
        if resting >= self.options.resting_target // 4 and dice < self.options.taker_ppm:
            yield from self._taker(made, room)
        elif dice % 1000 < 500 * resting // self.options.resting_target and resting > 2:
            yield self._cancel(made)
        else:
            yield self._arrival(made)

    def _walk(self) -> None:
        if self.random.randrange(PPM) < self.options.value_step_ppm:
            self.value += self.random.choice((-1, 1))
            self.value = max(self.value, self.value_least)

    def _gap_ns(self) -> int:
        """Exponential by halves: each whole half-life with likelihood 1/2 of one more, then anywhere in it."""
        half_ns = max(self.options.mean_gap_ns * 693 // 1000, 1)
        return half_ns * self._halvings() + self.random.randrange(half_ns) + 1

    def _halvings(self, most: int = 40) -> int:
        count = 0
        while count < most and self.random.getrandbits(1):
            count += 1
        return count

    def _quantity(self) -> int:
        """Mostly round hundreds, some odd lots, as on a stock's tape."""
        lots = self.random.randrange(1, 100) if self.random.randrange(4) == 0 else 100 * (1 + self._halvings(5))
        return lots * self.options.lot

    def _arrival(self, made: int) -> TapeMessage:
        side = self.random.choice((BUY, SELL))
        away = self._halvings(25) + self._halvings(25)
        other_best = self.book.best(OTHER_SIDE[side])
        if side == BUY:
            price = self.value - 1 - away
            price = min(price, other_best - 1) if other_best else price
        else:
            price = max(self.value + 1 + away, other_best + 1)
        order_id, quantity = self.next_order_id, self._quantity()
        self.next_order_id += 1
        self.book.rest(order_id, side, max(price, 1), quantity)
        self.live.append(order_id)
        return self._message(made, TapeKind.ADD, order_id, side, max(price, 1), quantity)

    def _cancel(self, made: int) -> TapeMessage:
        while True:
            at = self.random.randrange(len(self.live))
            self.live[at], self.live[-1] = self.live[-1], self.live[at]
            order_id = self.live[-1]
            if order_id in self.book.orders:
                break
            self.live.pop()
        side, price = self.book.orders[order_id]
        left = self.book.rest_of(order_id)
        if left > self.options.lot and self.random.randrange(PPM) < self.options.reduce_ppm:
            quantity = (
                self.random.randrange(1, left // self.options.lot + (left % self.options.lot > 0)) * self.options.lot
            )
            self.book.take(order_id, quantity)
            return self._message(made, TapeKind.REDUCE, order_id, side, price, quantity)
        self.live.pop()
        self.book.take(order_id, left)
        return self._message(made, TapeKind.DELETE, order_id, side, price, left)

    def _taker(self, made: int, room: int) -> Iterator[TapeMessage]:
        side = self._side_to_hit()
        quantity = self._quantity()
        last_price = self.book.best(side) - 3 if side == BUY else self.book.best(side) + 3
        for _ in range(room):
            price = self.book.best(side)
            if not quantity or not price or (price < last_price if side == BUY else price > last_price):
                return
            order_id, left = next(iter(self.book.queue(side, price).items()))
            filled = min(left, quantity)
            quantity -= filled
            self.book.take(order_id, filled)
            yield self._message(made, TapeKind.EXECUTE, order_id, side, price, filled)
            made += 1

    def _side_to_hit(self) -> int:
        if self.book.best(BUY) > self.value:
            return BUY
        if 0 < self.book.best(SELL) < self.value:
            return SELL
        side = self.random.choice((BUY, SELL))
        return side if self.book.best(side) else OTHER_SIDE[side]

    def _message(self, made: int, kind: TapeKind, order_id: int, side: int, price: int, quantity: int) -> TapeMessage:
        return TapeMessage(
            index=made + 1, time_ns=self.time_ns, kind=kind, symbol=self.options.symbol, order_id=order_id, side=side,
            price=price * self.options.tick, quantity=quantity,
        )  # fmt: skip
