"""Section 2 and the arithmetic of section 12: everything here is a pure function of whole numbers."""

from __future__ import annotations

import functools

from schemas.vocabulary import Side

PPM = 1_000_000
WORD = 2**64


def divide_up(dividend: int, divisor: int) -> int:
    """The quotient rounded toward plus infinity, also for negative dividends."""
    return -(-dividend // divisor)


def part_ppm(amount: int, rate_ppm: int) -> int:
    """ceil(amount × rate)."""
    return divide_up(amount * rate_ppm, PPM)


def notional(price_ticks: int, quantity_lots: int, quote_units_per_tick_lot: int) -> int:
    return price_ticks * quantity_lots * quote_units_per_tick_lot


def fee_increase(notional_before: int, notional_of_fill: int, rate_ppm: int) -> int:
    """What one fill adds to the fee so far of its order, role and entry."""
    return part_ppm(notional_before + notional_of_fill, rate_ppm) - part_ppm(notional_before, rate_ppm)


def need_of_buy(notional_left: int, maker_ppm: int, taker_ppm: int) -> int:
    """What a buy must keep locked while that notional is left of it."""
    return notional_left + part_ppm(notional_left, max(maker_ppm, taker_ppm, 0)) + 1


def at_price_or_better(side: int, price_ticks: int, other_price_ticks: int) -> bool:
    """Whether an order of this side and price may trade with one of the other side at other_price_ticks."""
    return other_price_ticks <= price_ticks if side == Side.BUY else other_price_ticks >= price_ticks


def worse_by(side: int, price_ticks: int) -> int:
    """A number that rises from the best price of a side to its worst."""
    return -price_ticks if side == Side.BUY else price_ticks


def other_side(side: int) -> int:
    return Side.SELL if side == Side.BUY else Side.BUY


@functools.lru_cache(maxsize=4096)
def mix(x: int) -> int:
    x %= WORD
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 % WORD
    x ^= x >> 27
    x = x * 0x94D049BB133111EB % WORD
    return x ^ x >> 31


def entity_weight(tag: int, a: int, b: int) -> int:
    """K(tag, a, b) of section 12."""
    return mix(mix(tag << 56 ^ a) ^ b)


def entity_digest(tag: int, a: int, b: int, fields: list[int]) -> int:
    """One entity's part of the digest."""
    weighted = sum(mix(f) * field for f, field in enumerate(fields, start=1))
    return entity_weight(tag, a, b) * weighted % WORD
