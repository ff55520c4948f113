"""From a tape's messages to the commands that clients send: who sends what, decided by the tape alone.

    message            command                                                    sent by
    ADD                new_order, limit, good_till_cancelled                      the maker whose turn the order id is
    REDUCE             replace: same price, total less what the tape took off     the same maker
    DELETE             cancel                                                     the same maker
    REPLACE            cancel, then new_order under the new id                    the maker of each id
    EXECUTE            new_order of the other side, immediate_or_cancel           the taker
    EXECUTE_AT         as REDUCE: no book in price-time priority trades there     the same maker
    everything else    nothing

docs/reference/tape.md says the same for LOBSTER rows. An order's client order id is its tape id plus one (0 means
"none" to the engine), an execution's is its message's index, so fills can be told in the tape's own numbers.

What is sent never depends on what the engine answered: the same tape gives the same commands in every run, at every
pace, and however often the engine was killed meanwhile.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable

from schemas.vocabulary import Cancel, NewOrder, OrderType, Replace, SelfTradePrevention, TimeInForce

from ._book import OTHER_SIDE
from .errors import TapeOptions
from .messages import TapeKind, TapeMessage


class StepKind(enum.IntEnum):
    """What a step does to the book."""

    ENTER = 1
    REDUCE = 2
    CANCEL = 3
    TAKE = 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command for one client."""

    kind: StepKind
    client: int  # 0 is the taker, makers count from 1
    command: NewOrder | Cancel | Replace  # its client sequence still 0
    symbol: str
    order_id: int  # the tape's: what is entered, changed, cancelled or (TAKE) expected to be hit
    client_order_id: int  # of what is entered; of REDUCE and CANCEL the target's
    side: int  # of the resting order (TAKE: of the one to be hit)
    price: int  # on the tape
    quantity: int  # entered, taken off or to be taken


@dataclasses.dataclass(slots=True)
class _Open:
    """An order that the tape says is open."""

    side: int
    price: int
    total: int  # as it arrived, less what the tape took off
    left: int


def maker_client_order_id(order_id: int) -> int:
    """The client order id of a tape's order."""
    return order_id + 1


def tape_order_id(client_order_id: int) -> int:
    """The tape's order of a maker's client order id."""
    return client_order_id - 1


class Planner:
    """Turns messages into steps. Memory grows with the orders that the tape says are open.

    makers        how many clients the resting orders are spread over, by order id
    step          ten-thousandths in a tick; every price sent must be a multiple of it
    accounts      account numbers: [taker, maker 1, maker 2, …]
    instrument    number of a symbol; called once for each symbol with something to send
    """

    def __init__(self, *, step: int, accounts: list[int], instrument: Callable[[str], int]) -> None:
        if len(accounts) < 2:
            raise TapeOptions(f"a taker's and a maker's account must be given, were {len(accounts)}")
        if step < 1:
            raise TapeOptions(f"a tick must be at least 1 ten-thousandth, was {step}")
        self.step = step
        self.accounts = accounts
        self._instrument = instrument
        self._instruments: dict[str, int] = {}
        self._open: dict[int, _Open] = {}
        self.executions_unknown = 0  # of orders whose arrival is not on the tape

    def is_open(self, order_id: int) -> bool:
        """Whether the tape says so."""
        return order_id in self._open

    def client_of(self, order_id: int) -> int:
        """Which maker a tape's order belongs to."""
        return 1 + order_id % (len(self.accounts) - 1)

    def instrument(self, symbol: str) -> int:
        """Number of a symbol's instrument."""
        number = self._instruments.get(symbol)
        if number is None:
            number = self._instruments[symbol] = self._instrument(symbol)
        return number

    def steps(self, message: TapeMessage) -> tuple[Step, ...]:
        """What to send for a message, in order. Raises TapeOptions if a price does not divide into ticks."""
        kind = message.kind
        if kind is TapeKind.ADD:
            return (self._enter(message, message.order_id),)
        if kind is TapeKind.DELETE:
            self._open.pop(message.order_id, None)
            return (self._cancel(message),)
        if kind is TapeKind.EXECUTE:
            return self._take(message)
        if kind in (TapeKind.REDUCE, TapeKind.EXECUTE_AT):
            return self._reduce(message)
        if kind is TapeKind.REPLACE:
            self._open.pop(message.order_id, None)
            if not message.side:
                return (self._cancel(message),)
            return (self._cancel(message), self._enter(message, message.new_order_id))
        return ()

    def _enter(self, message: TapeMessage, order_id: int) -> Step:
        self._open[order_id] = _Open(message.side, message.price, message.quantity, message.quantity)
        client = self.client_of(order_id)
        command = NewOrder(
            account=self.accounts[client],
            instrument=self.instrument(message.symbol),
            price_ticks=self._ticks(message, message.price),
            quantity_lots=message.quantity,
            client_order_id=maker_client_order_id(order_id),
            side=message.side,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GOOD_TILL_CANCELLED,
            self_trade_prevention=SelfTradePrevention.NONE,
        )
        return self._step(
            StepKind.ENTER,
            client,
            command,
            message,
            order_id,
            command.client_order_id,
            message.side,
            message.price,
        )

    def _cancel(self, message: TapeMessage) -> Step:
        client = self.client_of(message.order_id)
        target = maker_client_order_id(message.order_id)
        command = Cancel(
            account=self.accounts[client], instrument=self.instrument(message.symbol), target_client_order_id=target
        )
        return self._step(
            StepKind.CANCEL, client, command, message, message.order_id, target, message.side, message.price
        )

    def _reduce(self, message: TapeMessage) -> tuple[Step, ...]:
        order = self._open.get(message.order_id)
        if order is None:
            return ()
        order.total -= message.quantity
        order.left -= message.quantity
        if order.left <= 0:
            del self._open[message.order_id]
            return (self._cancel(message),)
        client = self.client_of(message.order_id)
        target = maker_client_order_id(message.order_id)
        command = Replace(
            account=self.accounts[client],
            instrument=self.instrument(message.symbol),
            price_ticks=self._ticks(message, order.price),
            quantity_lots=order.total,
            target_client_order_id=target,
        )
        return (
            self._step(StepKind.REDUCE, client, command, message, message.order_id, target, order.side, order.price),
        )

    def _take(self, message: TapeMessage) -> tuple[Step, ...]:
        order = self._open.get(message.order_id)
        if order is None:
            self.executions_unknown += 1
            return ()
        order.left -= message.quantity
        if order.left <= 0:
            del self._open[message.order_id]
        command = NewOrder(
            account=self.accounts[0],
            instrument=self.instrument(message.symbol),
            price_ticks=self._ticks(message, message.price),
            quantity_lots=message.quantity,
            client_order_id=message.index,
            side=OTHER_SIDE[order.side],
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL,
            self_trade_prevention=SelfTradePrevention.NONE,
        )
        step = self._step(
            StepKind.TAKE, 0, command, message, message.order_id, message.index, order.side, message.price
        )
        return (step,)

    @staticmethod
    def _step(
        kind: StepKind,
        client: int,
        command: NewOrder | Cancel | Replace,
        message: TapeMessage,
        order_id: int,
        client_order_id: int,
        side: int,
        price: int,
    ) -> Step:
        return Step(
            kind=kind, client=client, command=command, symbol=message.symbol, order_id=order_id,
            client_order_id=client_order_id, side=side, price=price, quantity=message.quantity,
        )  # fmt: skip

    def _ticks(self, message: TapeMessage, price: int) -> int:
        if price % self.step:
            raise TapeOptions(
                f"prices must be multiples of the tick, {self.step} ten-thousandths, was {price}",
                detail=f"message {message.index}",
                hint="choose a tick that divides all prices; 1 always does",
            )
        return price // self.step
