"""Sections 1 and 11: events in the order in which they are made, with their numbers."""

from __future__ import annotations

from schemas.vocabulary import EventKind, Level3Action, Report, ReportFlag, Side
from tests.oracle import book
from tests.oracle.state import InstrumentState, OrderState, State


def sell_flag(side: int) -> int:
    return ReportFlag.SELL if side == Side.SELL else 0


class Events:
    """The events of one command. `key` and `client_sequence` are those of the record that closed it."""

    def __init__(self, state: State, *, sequence: int, received_ns: int, key: int, client_sequence: int) -> None:
        self.state = state
        self.sequence = sequence
        self.received_ns = received_ns
        self.key = key
        self.client_sequence = client_sequence
        self.made: list[Report] = []
        self.traded: set[int] = set()  # instruments that have traded in this command
        self.matched: dict[tuple[int, int], int] = {}  # (instrument, side): the displayed level that is being matched

    # ---- any event

    def public(self, kind: EventKind, **fields: int) -> None:
        self._make(kind, key=0, report_number=0, **fields)

    def report(self, key: int, kind: EventKind, **fields: int) -> None:
        """A report to a key, with that key's next number. Reports of key 0 are not made."""
        if key == 0:
            return
        self.state.key(key).last_report_number += 1
        self._make(kind, key=key, report_number=self.state.key(key).last_report_number, **fields)

    def _make(self, kind: EventKind, **fields: int) -> None:
        n = len(self.made)
        self.made.append(Report(kind=kind, n=n, sequence=self.sequence, received_ns=self.received_ns, **fields))

    # ---- reports on an order: they go to the key that entered it

    def about(self, order: OrderState, kind: EventKind, *, flags: int = 0, **fields: int) -> None:
        self.report(
            order.key,
            kind,
            flags=flags | sell_flag(order.side),
            account=order.account,
            instrument=order.instrument,
            order_id=order.id,
            client_order_id=order.client_order_id,
            remaining_lots=order.rest,
            **fields,
        )

    def reference_for(self, order: OrderState) -> int:
        """The client sequence, if the order's own key sent this command."""
        return self.client_sequence if order.key == self.key else 0

    # ---- reports to the sender

    def applied(self, **fields: int) -> None:
        self.report(self.key, EventKind.APPLIED, reference=self.client_sequence, **fields)

    def rejected(self, **fields: int) -> None:
        self.report(self.key, EventKind.REJECTED, reference=self.client_sequence, **fields)

    # ---- public events of a book

    def level3(self, instrument: InstrumentState, order: OrderState, action: Level3Action) -> None:
        instrument.last_level3_id += 1
        self.public(
            EventKind.LEVEL3,
            flags=sell_flag(order.side),
            code=action,
            instrument=instrument.number,
            order_id=order.id,
            price_ticks=order.price,
            quantity_lots=0 if action == Level3Action.REMOVE else book.shown(order),
            reference=instrument.last_level3_id,
        )

    def book_update(self, instrument: InstrumentState, side: int, price: int) -> None:
        instrument.last_book_update_id += 1
        level = instrument.levels[side].get(price, [])
        self.public(
            EventKind.BOOK_UPDATE,
            flags=sell_flag(side),
            instrument=instrument.number,
            price_ticks=price,
            quantity_lots=book.shown_lots(level),
            remaining_lots=len(level),
            reference=instrument.last_book_update_id,
        )
        if book.is_top(instrument, side, price, self.matched.get((instrument.number, side))):
            self.top(instrument, side)

    def top(self, instrument: InstrumentState, side: int) -> None:
        """Section 21: the best displayed level of a side; all zero if there is none."""
        instrument.last_top_id += 1
        best = book.best_price(instrument, side)
        level = [] if best is None else instrument.levels[side][best]
        self.public(
            EventKind.TOP,
            flags=sell_flag(side),
            instrument=instrument.number,
            price_ticks=best or 0,
            quantity_lots=book.shown_lots(level),
            remaining_lots=len(level),
            reference=instrument.last_top_id,
        )

    # ---- an instrument's state

    def instrument_state(self, instrument: InstrumentState, breaker_level: int = 0) -> None:
        self.public(
            EventKind.STATE,
            code=instrument.trading_state,
            instrument=instrument.number,
            quantity_lots=breaker_level,
            reference=instrument.auction_ends_ns,
        )
