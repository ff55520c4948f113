"""What is kept of one owner in one instrument, in the order in which it came, so that any part is found at once.

things  [gone, gone, #7, #9, gone, #12]      by number, place and time: all of them rise
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from gateway.market import Fill, Order

__all__ = ["FAR", "Kept", "fills_between", "orders_between"]

Thing = TypeVar("Thing")
FAR: Final = (1 << 63) - 1


class Kept(Generic[Thing]):
    """gone: how many of things are no longer kept; of fills those at the begin, of orders any."""

    __slots__ = ("gone", "things")

    def __init__(self) -> None:
        self.things: list[Thing] = []
        self.gone = 0

    def drop_first(self) -> Thing:
        """The oldest is no longer kept."""
        oldest = self.things[self.gone]
        self.gone += 1
        if 2 * self.gone > len(self.things):
            del self.things[: self.gone]
            self.gone = 0
        return oldest

    def drop(self, stays: Callable[[Thing], bool]) -> None:
        """One of them is no longer kept: stays says of each whether it is."""
        self.gone += 1
        if 2 * self.gone > len(self.things):
            self.things = [one for one in self.things if stays(one)]
            self.gone = 0


def _order_id(order: Order) -> int:
    return order.order_id


def _entered_ns(order: Order) -> int:
    return order.entered_ns


def _place(fill: Fill) -> tuple[int, int]:
    return fill.sequence, fill.n


def _received_ns(fill: Fill) -> int:
    return fill.received_ns


def _span(things: list[Thing], low: int, high: int, newest: bool) -> Iterator[Thing]:
    return (things[at] for at in (range(high - 1, low - 1, -1) if newest else range(low, high)))


def orders_between(
    lists: Iterable[Kept[Order]], first_id: int, before_id: int, start_ns: int, end_ns: int, newest: bool
) -> Iterator[Order]:
    """Of all lists together, by number: the newest or the oldest first. Those that are gone are among them."""
    spans = []
    for things in (kept.things for kept in lists):
        low, high = bisect_left(things, first_id, key=_order_id), bisect_left(things, before_id, key=_order_id)
        if start_ns > 0:
            low = max(low, bisect_left(things, start_ns, key=_entered_ns))
        if end_ns < FAR:
            high = min(high, bisect_right(things, end_ns, key=_entered_ns))
        spans.append(_span(things, low, high, newest))
    return spans[0] if len(spans) == 1 else heapq.merge(*spans, key=_order_id, reverse=newest)


def fills_between(
    lists: Iterable[Kept[Fill]],
    first: tuple[int, int],
    before: tuple[int, int],
    start_ns: int,
    end_ns: int,
    newest: bool,
) -> Iterator[Fill]:
    """Of all lists together, by place (sequence, n): the newest or the oldest first."""
    spans = []
    for kept in lists:
        things = kept.things
        low, high = bisect_left(things, first, key=_place), bisect_left(things, before, key=_place)
        if start_ns > 0:
            low = max(low, bisect_left(things, start_ns, key=_received_ns))
        if end_ns < FAR:
            high = min(high, bisect_right(things, end_ns, key=_received_ns))
        spans.append(_span(things, max(low, kept.gone), high, newest))
    return spans[0] if len(spans) == 1 else heapq.merge(*spans, key=_place, reverse=newest)
