"""A LOBSTER message file played through the oracle alone, in lock-step: docs/reference/tape.md, row by row."""

from __future__ import annotations

import csv
import dataclasses
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from schemas.vocabulary import (
    Account,
    Asset,
    Cancel,
    Code,
    Deposit,
    EventKind,
    Instrument,
    NewOrder,
    OrderType,
    Record,
    Replace,
    Report,
    SelfTradePrevention,
    Side,
    Text,
    TimeInForce,
    TradingState,
)
from tests.oracle.oracle import Oracle

Command: TypeAlias = Account | Asset | Cancel | Deposit | Instrument | NewOrder | Replace | Text

KEY, ACCOUNT, BASE, QUOTE, INSTRUMENT = 1, 1, 1, 2, 1
TICK = 100  # prices on the tape are dollars × 10,000; a tick is a cent
PLENTY = 2**60
ARRIVAL, PARTIAL_CANCEL, DELETE, EXECUTION = 1, 2, 3, 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    type: int
    order_id: int
    size: int
    price_ticks: int
    side: int  # of the order that arrived, was cancelled or was hit


@dataclasses.dataclass(slots=True, kw_only=True)
class Known:
    """An order whose arrival is on the tape."""

    id: int  # in the oracle
    total: int  # size at arrival less its partial cancels
    price_ticks: int
    side: int


@dataclasses.dataclass(slots=True, kw_only=True)
class Outcome:
    executions: int = 0
    agreed: int = 0
    not_whole: int = 0
    crossing_arrivals: int = 0
    deletes_of_nothing: int = 0
    refused_replacements: int = 0
    other_refusals: int = 0


def read(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", newline="") as file:
        for _, kind, order_id, size, price, direction in csv.reader(file):
            yield Row(
                type=int(kind),
                order_id=int(order_id),
                size=int(size),
                price_ticks=int(price) // TICK,
                side=Side.BUY if direction == "1" else Side.SELL,
            )


class Player:
    def __init__(self) -> None:
        self.oracle = Oracle()
        self.outcome = Outcome()
        self.known: dict[int, Known] = {}
        self.client_sequence = 0
        self.prepare()

    def prepare(self) -> None:
        """One account that holds plenty of both assets: funds decide nothing here."""
        for asset, name in ((BASE, b"AAPL"), (QUOTE, b"USD")):
            self.send(named(name), Asset(asset=asset, decimals=0))
        self.send(
            named(b"AAPL-USD"),
            Instrument(
                instrument=INSTRUMENT,
                base_asset=BASE,
                quote_asset=QUOTE,
                trading_state=TradingState.OPEN,
                base_units_per_lot=1,
                quote_units_per_tick_lot=1,
            ),
        )
        self.send(Account(account=ACCOUNT))
        for asset in (BASE, QUOTE):
            self.send(Deposit(account=ACCOUNT, asset=asset, amount_units=PLENTY))

    def send(self, *commands: Command) -> list[Report]:
        data = b""
        for command in commands:
            self.client_sequence += 1
            command = dataclasses.replace(command, client_sequence=self.client_sequence)
            data += Record(command=command.pack(), key=KEY).pack()
        return self.oracle.apply(data)

    def play(self, row: Row) -> None:
        known = self.known.get(row.order_id)
        if row.type == ARRIVAL:
            self.arrive(row)
        elif row.type == PARTIAL_CANCEL and known is not None:
            self.lower(row, known)
        elif row.type == DELETE:
            self.delete(row, known)
        elif row.type == EXECUTION and known is not None:
            self.execute(row, known)

    def arrive(self, row: Row) -> None:
        events = self.send(limit(row.side, row.price_ticks, row.size, TimeInForce.GOOD_TILL_CANCELLED))
        self.known[row.order_id] = Known(
            id=events[0].order_id, total=row.size, price_ticks=row.price_ticks, side=row.side
        )
        self.outcome.crossing_arrivals += bool(fills(events))
        self.outcome.other_refusals += events[0].kind == EventKind.REJECTED

    def lower(self, row: Row, known: Known) -> None:
        known.total -= row.size
        events = self.send(
            Replace(
                account=ACCOUNT,
                instrument=INSTRUMENT,
                order_id=known.id,
                price_ticks=known.price_ticks,
                quantity_lots=known.total,
            )
        )
        self.outcome.refused_replacements += events[0].kind == EventKind.REJECTED

    def delete(self, row: Row, known: Known | None) -> None:
        if known is not None:
            command = Cancel(account=ACCOUNT, instrument=INSTRUMENT, order_id=known.id)
        else:
            command = Cancel(account=ACCOUNT, instrument=INSTRUMENT, target_client_order_id=row.order_id)
        self.outcome.deletes_of_nothing += self.send(command)[0].code == Code.UNKNOWN_ORDER

    def execute(self, row: Row, known: Known) -> None:
        side = Side.SELL if row.side == Side.BUY else Side.BUY
        events = self.send(limit(side, row.price_ticks, row.size, TimeInForce.IMMEDIATE_OR_CANCEL))
        self.outcome.executions += 1
        self.outcome.agreed += fills(events) == [(known.id, row.price_ticks, row.size)]
        self.outcome.not_whole += any(event.kind == EventKind.CANCELLED for event in events)
        self.outcome.other_refusals += events[0].kind == EventKind.REJECTED


def named(name: bytes) -> Text:
    return Text(text=name.ljust(36, b"\0"))


def limit(side: int, price_ticks: int, size: int, time_in_force: TimeInForce) -> NewOrder:
    return NewOrder(
        account=ACCOUNT,
        instrument=INSTRUMENT,
        price_ticks=price_ticks,
        quantity_lots=size,
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=time_in_force,
        self_trade_prevention=SelfTradePrevention.NONE,
    )


def fills(events: list[Report]) -> list[tuple[int, int, int]]:
    """(maker's order id, price, size) of each trade."""
    return [
        (event.order_id, event.price_ticks, event.quantity_lots) for event in events if event.kind == EventKind.TRADE
    ]
