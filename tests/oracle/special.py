"""Draws of what only some orders and markets have: terms, links, countdowns, trading states, the breaker."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from schemas.vocabulary import (
    UNITS_MAX,
    AccountLimits,
    CircuitBreaker,
    CountdownCancel,
    Halt,
    HaltAction,
    HaltScope,
    InstrumentLimits,
    InstrumentState,
    LinkAction,
    NewOrder,
    OrderTerms,
    OrderType,
    Peg,
    TermOption,
    TimeInForce,
    TradingState,
    Trigger,
)
from tests.oracle import commands
from tests.oracle.choice import Choice, some_price, some_quantity, sometimes, usually


def some_amount(choice: Choice) -> int:
    """Quote units of a market_by_quote order."""
    return usually(choice, (10, 37, 50, 100, 9, 1, 200), (0, -1, UNITS_MAX, UNITS_MAX + 1, 2**60), one_in=20)


# ---- terms


def iceberg(choice: Choice) -> OrderTerms:
    return OrderTerms(display_lots=usually(choice, (1, 2, 3), (0, -1, 2**63 - 1, -(2**63), 9)))


def hidden(choice: Choice) -> OrderTerms:
    return OrderTerms(options=TermOption.HIDDEN)


def all_or_none(choice: Choice) -> OrderTerms:
    return OrderTerms(options=TermOption.ALL_OR_NONE)


def pegged(choice: Choice) -> OrderTerms:
    pegs = (Peg.OWN_BEST, Peg.OTHER_BEST, Peg.MIDDLE)
    offset = usually(choice, (0, 1, -1, 2, -2), (2**31 - 1, -(2**31)))
    return OrderTerms(peg=usually(choice, pegs, (4, 255), one_in=60), offset_ticks=offset)


def minimum(choice: Choice) -> OrderTerms:
    return OrderTerms(minimum_lots=usually(choice, (1, 2, 3, 4, 5), (0, -1, 2**63 - 1, 9)))


def stop(choice: Choice) -> OrderTerms:
    trigger = choice.one_of((Trigger.STOP, Trigger.TAKE_PROFIT))
    return OrderTerms(trigger=usually(choice, (trigger,), (4, 255), one_in=60), trigger_price_ticks=some_price(choice))


def trailing(choice: Choice) -> OrderTerms:
    offset = usually(choice, (1, 2, 3), (0, -1, 2**31 - 1, -(2**31), 20))
    return OrderTerms(trigger=Trigger.TRAILING, offset_ticks=offset)


def plain(choice: Choice) -> OrderTerms:
    return OrderTerms()


def anything(choice: Choice) -> OrderTerms:
    """Most of what it says does not go together."""
    return OrderTerms(
        trigger_price_ticks=choice.one_of((0, 0, some_price(choice))),
        display_lots=choice.one_of((0, 0, some_quantity(choice))),
        minimum_lots=choice.one_of((0, 0, some_quantity(choice))),
        offset_ticks=choice.one_of((0, 0, 1, -1)),
        trigger=choice.number(0, 3),
        peg=choice.one_of((0, 0, 1, 2, 3)),
        options=choice.one_of((0, 1, 2, 4, 5, 6, 7, 8, 255)),
    )


SHAPES: tuple[Callable[[Choice], OrderTerms], ...] = (
    *((plain,) * 2),
    *((iceberg,) * 4),
    *((hidden,) * 4),
    *((all_or_none,) * 4),
    *((pegged,) * 5),
    *((minimum,) * 3),
    *((stop,) * 8),
    *((trailing,) * 4),
    anything,
)
NEED_GOOD_TILL_CANCELLED = (iceberg, hidden, all_or_none, pegged)


def with_terms(choice: Choice, order: NewOrder) -> tuple[NewOrder, OrderTerms | None]:
    """Half of the orders have terms, and mostly such as fit; a stop may be an iceberg or hidden, too."""
    if sometimes(choice, 2) or (order.order_type == OrderType.MARKET_BY_QUOTE and not sometimes(choice, 20)):
        return order, None
    shape = choice.one_of(SHAPES)
    terms = shape(choice)
    if shape in (stop, trailing) and sometimes(choice, 4):
        shape = choice.one_of((iceberg, hidden))
        terms = dataclasses.replace(shape(choice), **trigger_of(terms))
    if shape in NEED_GOOD_TILL_CANCELLED and not sometimes(choice, 20):
        order = dataclasses.replace(order, order_type=OrderType.LIMIT, time_in_force=TimeInForce.GOOD_TILL_CANCELLED)
    if shape in (all_or_none, pegged, minimum) and not sometimes(choice, 20):
        order = dataclasses.replace(order, options=0)
    if sometimes(choice, 10) and (lasts(order, terms) or sometimes(choice, 10)):
        terms = dataclasses.replace(terms, options=terms.options | TermOption.DAY)
    return order, terms


def lasts(order: NewOrder, terms: OrderTerms) -> bool:
    """Whether it may be open behind its command, so that it may have an end."""
    return order.time_in_force == TimeInForce.GOOD_TILL_CANCELLED or terms.trigger != Trigger.NONE


def trigger_of(terms: OrderTerms) -> dict[str, int]:
    return {name: getattr(terms, name) for name in ("trigger", "trigger_price_ticks", "offset_ticks")}


def some_link(choice: Choice) -> int | None:
    if not sometimes(choice, 5):
        return None
    actions = (LinkAction.ONE_CANCELS_OTHER,) * 4 + (LinkAction.CANCEL_FIRST,)
    return usually(choice, actions, (0, 3, 255), one_in=40)


# ---- time


def some_due(choice: Choice, command: commands.Closing, terms: OrderTerms | None) -> int | None:
    """When an order expires or an auction ends, in ns from the time of receipt."""
    if isinstance(command, NewOrder) and terms is not None:
        fits = lasts(command, terms) and not terms.options & TermOption.DAY
        return some_delay(choice) if sometimes(choice, 4 if fits else 40) else None
    if isinstance(command, InstrumentState):
        called = command.trading_state in (TradingState.PRE_OPEN, TradingState.AUCTION)
        return some_delay(choice) if sometimes(choice, 2 if called else 40) else None
    return None


def some_delay(choice: Choice) -> int:
    return usually(choice, (1, 100, 1000, 3000, 10_000), (0, -1, -(10**19), 10**6, 10**12), one_in=12)


def countdown_cancel(choice: Choice) -> commands.Closing:
    return CountdownCancel(
        account=usually(choice, (1, 2, 3), (0, 4, 2**32 - 1), one_in=30),
        timeout_ms=usually(choice, (1, 0, 2), (2**32 - 1,), one_in=20),
        client_order_id=choice.one_of((0, 1, 2**64 - 1)),
    )


# ---- markets


def calm(choice: Choice) -> commands.Closing:
    """Takes a halt or limit away again, so that most of the time most orders are taken."""
    number = choice.one_of((1, 1, 1, 2, 3))
    opens = InstrumentState(instrument=number, trading_state=TradingState.OPEN)
    return choice.one_of(
        (
            *(opens,) * 5,
            Halt(scope=HaltScope.EVERYTHING, action=HaltAction.RESUME),
            Halt(scope=HaltScope.EVERYTHING, action=HaltAction.RESUME),
            Halt(scope=HaltScope.ACCOUNT, target=choice.number(1, 3), action=HaltAction.RESUME),
            InstrumentLimits(instrument=number, reference_price_ticks=choice.number(8, 12)),
            CircuitBreaker(instrument=number),
            AccountLimits(account=choice.number(1, 3)),
        )
    )


def instrument_state(choice: Choice) -> commands.Closing:
    """Mostly opens, lest nothing trades any more."""
    states = (TradingState.OPEN, TradingState.OPEN, TradingState.PRE_OPEN, TradingState.AUCTION, *TradingState)
    return InstrumentState(
        instrument=usually(choice, (1, 1, 1, 2, 3), (0, 4, 2**32 - 1), one_in=40),
        trading_state=usually(choice, states, (0, 6, 255), one_in=40),
        static_price_ticks=usually(choice, (0, 0, 10), (-1, 1, 2**48 - 1, 2**48, 2**63 - 1), one_in=20),
    )


def circuit_breaker(choice: Choice) -> commands.Closing:
    band, *levels = (
        usually(choice, (0, 0, ppm), (1, 1_000_000, 1_000_001, 2**32 - 1), one_in=20)
        for ppm in (choice.one_of((100_000, 200_000)), 200_000, choice.one_of((300_000, 200_000)), 400_000)
    )
    lengths = [
        usually(choice, (1, 1, 1, 0), (2, 2**32 - 1), one_in=20) if ppm or sometimes(choice, 60) else 0
        for ppm in (band, *levels)
    ]
    return CircuitBreaker(
        instrument=usually(choice, (1, 1, 1, 2, 3), (0, 4, 2**32 - 1), one_in=40),
        band_ppm=band,
        band_ms=lengths[0],
        level1_ppm=levels[0],
        level1_ms=lengths[1],
        level2_ppm=levels[1],
        level2_ms=lengths[2],
        level3_ppm=levels[2],
        level3_ms=lengths[3],
    )
