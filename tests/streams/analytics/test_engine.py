"""What the folds make of a real engine's events reconciles with the engine's own ledger, to the unit."""

from __future__ import annotations

import collections
import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine_node._engine import Core, Feed
from schemas import vocabulary as v
from streams.analytics.folds import FirmFold, ReferenceFold, SymbolFold
from streams.analytics.topics import FIRM_TOPICS, REFERENCE_TOPICS, SYMBOL_TOPICS

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = ROOT / "build" / "release" / "tools" / "commands"
PROFILES = ["calm", "limits", "wild", "selftrade", "huge", "poor", "terms", "money", "auctions"]
CAPACITIES = {"nonce_window_ns": 1_000_000_000, "nonce_count_max": 65_536, "event_mask": 11}
PARTITION_COUNT = 1


def engine_events(profile: str, seed: int, count: int = 1500) -> tuple[Core, list[tuple[str, list[dict[str, Any]]]]]:
    """A core after random commands of every kind, and the messages that told of them."""
    assert COMMANDS.exists(), "make build makes the tools that the tests call"
    done = subprocess.run([COMMANDS, profile, str(seed), str(count)], capture_output=True, timeout=120, check=True)
    core, feed = Core(**CAPACITIES), Feed(firm_partitions=PARTITION_COUNT, symbol_partitions=PARTITION_COUNT)
    messages, at = [], 0
    while at < len(done.stdout):
        void_count, record_count = struct.unpack_from("<II", done.stdout, at)
        end = at + 8 + (void_count + record_count) * v.RECORD_BYTES
        feed.apply(core, done.stdout[at + 8 : end])
        at = end
        for topic, _, _, value, *_ in feed.take(True, True):
            found = json.loads(value)
            events = found if isinstance(found, list) else [found]
            for event in events:
                if "symbol" in event:  # random commands give instruments the same name and new names; markets do not
                    event["symbol"] = f"S-{event['instrument']}"
            messages.append((topic, events))
    return core, messages


@pytest.mark.parametrize("profile", PROFILES)
def test_positions_and_money_are_those_of_the_engines_ledger(profile: str) -> None:
    core, messages = engine_events(profile, seed=5)
    instruments: dict[str, Any] = {}
    firm, symbol, reference = FirmFold(0, instruments), SymbolFold(0, instruments), ReferenceFold(0)
    cash: collections.Counter[tuple[int, int]] = collections.Counter()
    for offset, (topic, events) in enumerate(messages):
        if topic == "instruments":
            instruments |= {event["symbol"]: event for event in events}
        for topics, fold in ((FIRM_TOPICS, firm), (SYMBOL_TOPICS, symbol), (REFERENCE_TOPICS, reference)):
            if topic in topics:
                assert fold.apply(topic, offset, 0, events) == []
        for event in events:
            if topic == "balances" and event["type"] != "balance":
                cash[event["account"], event["asset_number"]] += event["amount_units"]
    for fold in (firm, symbol, reference):
        fold.take()
    for (account, name), position in firm.positions.items():
        instrument = instruments[name]
        held: Any = core.position(account, instrument["instrument"])
        assert position["position_lots"] == held[0]
        paid = position["realised_units"] - position["cost_units"] - position["fees_units"]
        cash[account, instrument["quote_asset"]] += paid
        cash[account, instrument["base_asset"]] += position["position_lots"] * instrument["base_units_per_lot"]
    for (account, asset), units in cash.items():
        assert sum(core.balance(account, asset) or (0, 0)) == units, f"account {account}, asset {asset}"


def test_every_profile_together_has_fills_busts_and_rejections() -> None:
    seen = {event["type"] for profile in PROFILES for topic, events in engine_events(profile, 5)[1] for event in events}
    assert {"filled", "adjustment", "rejected", "trade", "bust", "correction", "deposit", "withdrawal"} <= seen
