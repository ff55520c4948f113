"""Section 13: what an `order_terms` prefix may say of the new order behind it."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.vocabulary import (
    ICEBERG_PARTS_MAX,
    PRICE_TICKS_MAX,
    Code,
    NewOrder,
    OrderOption,
    OrderTerms,
    OrderType,
    Peg,
    TermOption,
    TimeInForce,
    Trigger,
)
from tests.oracle.commands import Group

EVERY_OPTION = int(TermOption.HIDDEN | TermOption.ALL_OR_NONE | TermOption.DAY)


def can_rest(command: NewOrder) -> bool:
    limit = command.order_type == OrderType.LIMIT
    return limit and command.time_in_force == TimeInForce.GOOD_TILL_CANCELLED


def waits(terms: OrderTerms) -> bool:
    return terms.trigger != Trigger.NONE


def special(terms: OrderTerms) -> list[bool]:
    """What an order can be one of: iceberg, hidden, all-or-none, pegged."""
    hidden, all_or_none = (bool(terms.options & option) for option in (TermOption.HIDDEN, TermOption.ALL_OR_NONE))
    return [terms.display_lots != 0, hidden, all_or_none, terms.peg != Peg.NONE]


def is_unlit(terms: OrderTerms) -> bool:
    return terms.peg != Peg.NONE or bool(terms.options & TermOption.ALL_OR_NONE)


def form_faults(command: NewOrder, group: Group) -> Iterator[Code]:
    terms, has_terms = group.terms, group.has_terms
    post_only = command.options & OrderOption.POST_ONLY
    good_till_cancelled = command.time_in_force == TimeInForce.GOOD_TILL_CANCELLED
    minimum, day = terms.minimum_lots != 0, bool(terms.options & TermOption.DAY)
    if (
        terms.trigger not in list(Trigger)
        or terms.peg not in list(Peg)
        or terms.options & ~EVERY_OPTION
        or (has_terms and command.order_type == OrderType.MARKET_BY_QUOTE)
        or sum(special(terms)) > 1
        or (any(special(terms)) and not can_rest(command))
        or (is_unlit(terms) and (post_only or waits(terms) or minimum))
        or (minimum and (command.time_in_force == TimeInForce.FILL_OR_KILL or post_only or waits(terms)))
        or (waits(terms) and command.time_in_force == TimeInForce.FILL_OR_KILL)
        or (terms.expire_ns and day)
        or ((terms.expire_ns or day) and not (good_till_cancelled or waits(terms)))
        or (terms.trigger_price_ticks != 0 and terms.trigger not in (Trigger.STOP, Trigger.TAKE_PROFIT))
        or (terms.offset_ticks != 0 and terms.trigger != Trigger.TRAILING and terms.peg == Peg.NONE)
    ):
        yield Code.MALFORMED


def iceberg_faults(display: int, quantity: int) -> Iterator[Code]:
    if display > 0 and quantity > display * ICEBERG_PARTS_MAX:
        yield Code.TERMS_INVALID


def faults(terms: OrderTerms, quantity: int, received_ns: int) -> Iterator[Code]:
    if not (0 <= terms.display_lots <= quantity and 0 <= terms.minimum_lots <= quantity):
        yield Code.TERMS_INVALID
    yield from iceberg_faults(terms.display_lots, quantity)
    has_price = terms.trigger in (Trigger.STOP, Trigger.TAKE_PROFIT)
    if has_price and not 1 <= terms.trigger_price_ticks <= PRICE_TICKS_MAX:
        yield Code.TERMS_INVALID
    if terms.trigger == Trigger.TRAILING and terms.offset_ticks < 1:
        yield Code.TERMS_INVALID
    if 0 < terms.expire_ns <= received_ns:
        yield Code.EXPIRY_PASSED
