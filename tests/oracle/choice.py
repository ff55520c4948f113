"""Decisions of a flow, and the small numbers that most of them are about."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

from schemas.vocabulary import PRICE_TICKS_MAX, QUANTITY_LOTS_MAX

T = TypeVar("T")


class Choice(Protocol):
    """Where the flow's decisions come from. What is first or lowest is simplest."""

    def one_of(self, options: Sequence[T]) -> T: ...
    def number(self, low: int, high: int) -> int: ...


class RandomChoice:
    """Decisions of a seeded generator."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def one_of(self, options: Sequence[T]) -> T:
        return self.random.choice(options)

    def number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)


def sometimes(choice: Choice, one_in: int) -> bool:
    return choice.number(0, one_in - 1) == one_in - 1


def usually(choice: Choice, usual: Sequence[int], extreme: Sequence[int], one_in: int = 24) -> int:
    return choice.one_of(extreme) if sometimes(choice, one_in) else choice.one_of(usual)


def some_price(choice: Choice) -> int:
    """Mostly close together; or at and beyond the ends, or anywhere between, also around the powers of 64."""
    if sometimes(choice, 40):
        return choice.number(1, PRICE_TICKS_MAX)
    if sometimes(choice, 20):
        return int(64 ** choice.number(1, 7)) * choice.number(1, 3) + choice.number(-2, 1)
    extremes = (0, 1, -1, PRICE_TICKS_MAX, PRICE_TICKS_MAX + 1, 2**63 - 1, -(2**63))
    return usually(choice, (10, 9, 11, 10, 8, 12, 7, 13), extremes)


def some_quantity(choice: Choice) -> int:
    extremes = (0, -1, QUANTITY_LOTS_MAX, QUANTITY_LOTS_MAX + 1, 2**63 - 1, -(2**63), 100, 2**20, 2**34)
    return usually(choice, (1, 2, 3, 4, 5, 6, 7, 8), extremes)
