"""The compiled core against the slow oracle: two independent readings of docs/reference/rules.md must be one."""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Sequence
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from schemas.vocabulary import Logoff, Logon, MassCancel, NewOrder
from tests.oracle import compare, flow, kind_mutations, mutations
from tests.oracle.compare import Pair
from tests.scenarios.exchanges import OracleExchange
from tests.scenarios.language import all_sections
from tests.scenarios.market import Market

T = TypeVar("T")
SOAK = bool(os.environ.get("IRONBOOK_SOAK"))
EXAMPLES = 5_000 if SOAK else 100
MARKETS = 2_000 if SOAK else 50
COMMANDS_A_MARKET = 2_000
EVERY_MUTATION = [*mutations.MUTATIONS, *kind_mutations.MUTATIONS]
TINY_POOLS = {
    "order_count_max": 6,
    "extra_count_max": 4,
    "level_count_max": 5,
    "ladder_count_max": 64,
    "balance_count_max": 12,
    "position_count_max": 7,
    "nonce_count_max": 5,
}


SMALL_ORDER = NewOrder(
    account=3,
    instrument=1,
    price_ticks=100,
    quantity_lots=1,
    side=1,
    order_type=1,
    time_in_force=1,
    self_trade_prevention=1,
)


class DrawnChoice:
    """The flow's decisions drawn by Hypothesis, so that it can shrink them."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def one_of(self, options: Sequence[T]) -> T:
        return options[self.draw(st.integers(0, len(options) - 1))]

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))


@st.composite
def steps(draw: st.DrawFn) -> flow.Step:
    return flow.draw_step(DrawnChoice(draw))


def play(pair: Pair, played: list[flow.Step], reload_after: int) -> None:
    """Play steps behind the prelude, looking at everything in the end and, once in between, saving and loading."""
    for step in flow.prelude():
        pair.play(step)
    for number, step in enumerate(played):
        note(repr(step))
        pair.play(step)
        pair.check_digest()
        if number == reload_after:
            pair.reload()
    pair.check_all()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(played=st.lists(steps(), max_size=40), reload_after=st.integers(0, 40))
def test_core_and_oracle_agree_on_whatever_is_drawn(played: list[flow.Step], reload_after: int) -> None:
    play(Pair(), played, reload_after)


@settings(max_examples=EXAMPLES // 4, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(records=st.lists(st.binary(min_size=64, max_size=64), min_size=1, max_size=4))
def test_core_and_oracle_agree_on_bytes_without_sense(records: list[bytes]) -> None:
    pair = Pair()
    for step in flow.prelude():
        pair.play(step)
    pair.apply(b"".join(records))
    pair.check_all()


@pytest.mark.parametrize("market", range(MARKETS))
def test_core_and_oracle_agree_on_a_long_seeded_flow(market: int) -> None:
    seed = random.SystemRandom().randrange(2**32) if SOAK else 1000 + market
    print(f"seed {seed}")
    counts = compare.run(COMMANDS_A_MARKET, seed)
    assert counts["trade"] > 0
    assert counts["reloads"] > 0


@pytest.mark.parametrize("seed", [900, 904, 905])
def test_no_room_in_a_pool_changes_nothing(seed: int) -> None:
    counts = compare.run(COMMANDS_A_MARKET, seed, **TINY_POOLS)
    assert counts["groups without room"] > 0


@pytest.mark.parametrize("void_prefixes", range(len(flow.VOID_PREFIXES)))
def test_void_prefixes_need_no_room(void_prefixes: int) -> None:
    """A nonce that belongs to nothing is not kept, so that a full pool of nonces is nothing to it."""
    pair = Pair(**TINY_POOLS)
    for step in flow.prelude():
        pair.play(step)
    for number in range(8):
        pair.play(flow.Step(command=MassCancel(account=1), key=1, nonce=(number, 0)))
    assert pair.counts["groups without room"] > 0
    pair.play(flow.Step(command=MassCancel(account=1), key=1, void_prefixes=void_prefixes))
    pair.check_all()
    assert pair.counts["groups applied"] == len(flow.prelude()) + TINY_POOLS["nonce_count_max"] + 1


@pytest.mark.parametrize("event_mask", [0, 1, 2, 4, 8, 3, 12])
def test_events_that_nobody_asked_for_are_counted_all_the_same(event_mask: int) -> None:
    assert compare.run(COMMANDS_A_MARKET // 4, event_mask, event_mask=event_mask)["groups applied"] > 0


def test_command_of_many_events_is_handed_out_whole() -> None:
    """A sweep, a mass cancel and a lost line of thousands of orders: far more events than one chunk holds."""
    pair = Pair()
    for step in flow.prelude():
        pair.play(step)
    pair.play(flow.Step(command=Logon(session=1, account=3, options=1), key=3, nonce=(0, 0)))
    for side, first_price in ((1, 80), (2, 100)):
        for number in range(900):
            order = dataclasses.replace(SMALL_ORDER, side=side, price_ticks=first_price + number % 20)
            pair.play(flow.Step(command=order, key=3))
    pair.check_all()
    sweep = dataclasses.replace(SMALL_ORDER, account=2, side=2, price_ticks=80, quantity_lots=100)
    pair.play(flow.Step(command=sweep, key=2))
    own_sweep = dataclasses.replace(SMALL_ORDER, side=1, price_ticks=109, quantity_lots=10_000, self_trade_prevention=3)
    pair.play(flow.Step(command=own_sweep, key=3))
    pair.check_all()
    pair.play(flow.Step(command=MassCancel(account=3, side=1), key=1))
    pair.check_all()
    pair.play(flow.Step(command=Logoff(session=1, reason=1), key=3))
    pair.check_all()
    assert pair.counts["cancelled_on_disconnect"] == 450
    assert pair.counts["cancelled_by_mass_cancel"] > 700
    assert pair.counts["cancelled_self_trade"] == 450


def compare_markets_and_scenarios() -> None:
    """What comes up too rarely by chance has a scenario."""
    for seed in range(8):
        compare.run(COMMANDS_A_MARKET, seed)
    for section in all_sections():
        Market(OracleExchange()).run(section)


@pytest.mark.parametrize("mutation", EVERY_MUTATION, ids=lambda mutation: mutation.title)
def test_comparison_notices_that(mutation: mutations.Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Core and oracle disagree, or the oracle's own sums do not come out."""
    monkeypatch.setattr(mutation.module, mutation.name, mutation.instead)
    with pytest.raises(AssertionError):
        compare_markets_and_scenarios()
