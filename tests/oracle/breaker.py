"""Section 18: the prices at which the circuit breaker lets an instrument trade, and what happens beyond them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from schemas.vocabulary import COLLAR_PPM_MAX, PRICE_TICKS_MAX, CircuitBreaker, Code, TradingState
from tests.oracle import numbers
from tests.oracle.events import Events
from tests.oracle.state import InstrumentState, State

BAND = 4  # what a state event calls the band; the levels are 1, 2 and 3


def highest_price(reference: int, ppm: int) -> int:
    return min(reference * (numbers.PPM + ppm) // numbers.PPM, PRICE_TICKS_MAX)


def lowest_price(reference: int, ppm: int) -> int:
    return max(numbers.divide_up(reference * (numbers.PPM - ppm), numbers.PPM), 1)


def beyond(price: int, reference: int, ppm: int) -> bool:
    """Whether a price lies outside the bounds, if there are any."""
    if ppm == 0 or reference == 0:
        return False
    return price > highest_price(reference, ppm) or price < lowest_price(reference, ppm)


def stopped_by(instrument: InstrumentState, price: int, last_price: int, static_price: int) -> int:
    """The level, or the band around the last price, that keeps a trade at this price from happening; 0: none does."""
    for level in (3, 2, 1):
        ppm, _ = instrument.breaker_levels[level - 1]
        if beyond(price, static_price, ppm):
            return level
    return BAND if beyond(price, last_price, instrument.band_ppm) else 0


def trip(events: Events, instrument: InstrumentState, level: int) -> None:
    """To an auction of the level's length, or to a halt."""
    length_ms = instrument.band_ms if level == BAND else instrument.breaker_levels[level - 1][1]
    instrument.trading_state = TradingState.AUCTION if length_ms else TradingState.HALTED
    instrument.auction_ends_ns = events.received_ns + length_ms * 10**6 if length_ms else 0
    events.instrument_state(instrument, level)


# ---- the command


def faults(state: State, command: CircuitBreaker) -> Iterator[Code]:
    if command.instrument not in state.instruments:
        yield Code.UNKNOWN_INSTRUMENT
    levels = levels_said(command)
    steps = [(command.band_ppm, command.band_ms), *levels]
    rising = [ppm for ppm, _ in levels if ppm > 0]
    if any(ppm > COLLAR_PPM_MAX or (ppm == 0 and length_ms > 0) for ppm, length_ms in steps) or any(
        lower >= higher for lower, higher in itertools.pairwise(rising)
    ):
        yield Code.LIMITS_INVALID


def levels_said(command: CircuitBreaker) -> list[tuple[int, int]]:
    return [
        (command.level1_ppm, command.level1_ms),
        (command.level2_ppm, command.level2_ms),
        (command.level3_ppm, command.level3_ms),
    ]


def set_breaker(state: State, events: Events, command: CircuitBreaker) -> None:
    instrument = state.instruments[command.instrument]
    instrument.band_ppm, instrument.band_ms = command.band_ppm, command.band_ms
    instrument.breaker_levels = levels_said(command)
    events.applied(instrument=command.instrument)
