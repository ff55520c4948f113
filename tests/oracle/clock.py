"""Sections 16 and 21: what time brings."""

from __future__ import annotations

import zlib

from schemas.vocabulary import CHECKSUM_LEVEL_COUNT, Code, CountdownCancel, EventKind, Side, TradingState
from tests.oracle import auctions, book, cancels, numbers, sweeps
from tests.oracle.events import Events
from tests.oracle.state import InstrumentState, State

TIME_MAX_NS = numbers.WORD - 1


def countdown_cancel(state: State, events: Events, command: CountdownCancel) -> None:
    key = state.key(events.key)
    deadline_ns = events.received_ns + command.timeout_ms * 10**6
    key.deadline_ns = min(deadline_ns, TIME_MAX_NS) if command.timeout_ms else 0
    key.countdown_account = command.account
    events.applied(account=command.account, client_order_id=command.client_order_id)


def tick(state: State, events: Events) -> None:
    expire(state, events)
    count_down(state, events)
    if not state.everything_halted:
        open_instruments(state, events)
    book_events(state, events)


def is_due(when_ns: int, now_ns: int) -> bool:
    return 0 < when_ns <= now_ns


def expire(state: State, events: Events) -> None:
    due = [order for order in state.orders.values() if is_due(order.expire_ns, events.received_ns)]
    in_turn = sorted(due, key=lambda order: (order.expire_ns, order.id))
    cancels.cancel_each(state, events, in_turn, Code.CANCELLED_EXPIRED)


def count_down(state: State, events: Events) -> None:
    for number, key in sorted(state.keys.items()):
        if is_due(key.deadline_ns, events.received_ns):
            key.deadline_ns = 0
            sweeps.cancel_of_key(state, events, number, key.countdown_account, Code.CANCELLED_COUNTDOWN)


def open_instruments(state: State, events: Events) -> None:
    for _, instrument in sorted(state.instruments.items()):
        called = instrument.trading_state in auctions.CALL_STATES
        if called and is_due(instrument.auction_ends_ns, events.received_ns):
            auctions.move(state, events, instrument, TradingState.OPEN)
            auctions.behind_move(state, events, instrument)


def book_events(state: State, events: Events) -> None:
    for _, instrument in sorted(state.instruments.items()):
        if instrument.last_book_update_id != instrument.checksum_update_id:
            if instrument.trading_state in auctions.CALL_STATES:
                auctions.indicative(events, instrument)
            book_checksum(events, instrument)
            instrument.checksum_update_id = instrument.last_book_update_id


def book_checksum(events: Events, instrument: InstrumentState) -> None:
    """Over price and quantity of the best levels, bids first."""
    bids, asks = (best_levels(instrument, side) for side in (Side.BUY, Side.SELL))
    data = b"".join(number.to_bytes(8, "little") for level in (*bids, *asks) for number in level)
    events.public(
        EventKind.BOOK_CHECKSUM,
        instrument=instrument.number,
        quantity_lots=len(bids),
        remaining_lots=len(asks),
        reference=instrument.last_book_update_id,
        amount_units=zlib.crc32(data),
    )


def best_levels(instrument: InstrumentState, side: int) -> list[tuple[int, int]]:
    prices = book.prices_best_first(instrument, side)[:CHECKSUM_LEVEL_COUNT]
    return [(price, book.shown_lots(instrument.levels[side][price])) for price in prices]
