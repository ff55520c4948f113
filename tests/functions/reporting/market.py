"""Days of a market for the tests: a seeded flow of every kind of command, through the real core, its feed, the real
folds and store, into PostgreSQL; and the ledger's statements at the days' ends, by a second core.

    records ─▶ core + feed ─▶ folds ─▶ store ─▶ tables
         └───▶ core ─▶ statement of a day          (knows nothing of the tables)
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import functools
import json
from typing import Any

from engine_node._engine import EVENTS_ACCOUNTS, EVENTS_MARKET, EVENTS_REPORTS, Core, Feed
from schemas.migrations import migrate
from schemas.vocabulary import RECORD_BYTES, Record
from streams.analytics.folds import FirmFold, ReferenceFold, SymbolFold, merge
from streams.analytics.store import Mark, open_store
from streams.analytics.topics import FIRM_TOPICS, REFERENCE_TOPICS, SYMBOL_TOPICS
from tests.gateway.markets import random_market

FIRST_DAY = "2023-11-14"  # the flow begins at 22:13:20 UTC
DAYS = ("2023-11-14", "2023-11-15", "2023-11-16")
NOW_NS = 1_700_352_000 * 10**9  # 2023-11-19: all of them are over
PART_BYTES = 512 * RECORD_BYTES
SEED, COMMANDS, SLOWER = 11, 3000, 10**6
PLACE = ("journal.0", 0)
EVENT_MASK = EVENTS_REPORTS | EVENTS_MARKET | EVENTS_ACCOUNTS
NUMBERS = range(1, 8)  # of accounts, assets and instruments: more than the flow knows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flow:
    """Records, and how large a core must be for them."""

    records: bytes
    options: dict[str, int]

    def until(self, day: str) -> bytes:
        """Those received before the end of a day."""
        end = end_ns(day)
        count = sum(
            Record.unpack(self.records, at).received_ns < end for at in range(0, len(self.records), RECORD_BYTES)
        )
        return self.records[: count * RECORD_BYTES]


def end_ns(day: str) -> int:
    """The first nanosecond behind a day."""
    return (1_699_920_000 + 86_400 * (DAYS.index(day) + 1)) * 10**9


@functools.cache
def flow() -> Flow:
    """The same for everybody."""
    records, options = random_market(SEED, COMMANDS, SLOWER)
    return Flow(records=records, options=options)


def fill(url: str, *, until: str | None = None) -> None:
    """Migrate the database and write what happened, all of it or until the end of a day."""
    migrate(url)
    made = flow()
    asyncio.run(_write(url, made.records if until is None else made.until(until), made.options))


async def _write(url: str, records: bytes, options: dict[str, int]) -> None:
    core = Core(**{**options, "event_mask": EVENT_MASK})
    feed = Feed(shard=0, firm_partitions=1, symbol_partitions=1)
    instruments: dict[str, Any] = {}
    firm, symbol, reference = FirmFold(0, instruments), SymbolFold(0, instruments), ReferenceFold(0)
    store = open_store(url, "embedded")
    await store.open_marks([PLACE])
    try:
        held, part = b"", 0
        while part < len(records):
            held += records[part : part + PART_BYTES]
            part += PART_BYTES
            whole = core.group_bytes(held)
            feed.apply(core, held[:whole])
            held = held[whole:]
            for topic, _, _, value, *_ in feed.take(True, True):
                found = json.loads(value)
                events = found if isinstance(found, list) else [found]
                if topic == "instruments":
                    instruments |= {event["symbol"]: event for event in events}
                for topics, fold in ((FIRM_TOPICS, firm), (SYMBOL_TOPICS, symbol), (REFERENCE_TOPICS, reference)):
                    if topic in topics:
                        assert fold.apply(topic, part, 0, events) == []
            changes = merge([fold.take() for fold in (reference, firm, symbol)])
            states = {key: value.decode() for key, value in changes.states.items()}
            seq = core.sequence()
            await store.write(changes.rows, {PLACE: Mark(next_offset=seq + 1, seq=seq, n=2**32 - 1)}, states)
    finally:
        await store.close()


def statement(day: str, made: Flow | None = None) -> dict[str, Any]:
    """What the ledger says at the end of a day: as the archive's verifier writes it."""
    made = made or flow()
    records = made.until(day)
    core = Core(**{**made.options, "event_mask": EVENT_MASK})
    deposits, withdrawals = _cash(core, records)
    assets = {number: found for number in NUMBERS if (found := core.asset(number)) is not None}
    symbols = {number: str(found["name"]) for number in NUMBERS if (found := core.instrument(number)) is not None}
    names = {number: str(asset["name"]) for number, asset in assets.items()}
    return {
        "format": 1,
        "shard": 0,
        "day": day,
        "partial": False,
        "sequence": core.sequence(),
        "digest": f"{core.digest():016x}",
        "assets": {names[number]: asset["decimals"] for number, asset in assets.items()},
        "balances": [
            {"account": account, "asset": name, "free_units": held[0], "locked_units": held[1]}
            for account in NUMBERS
            for number, name in names.items()
            if (held := core.balance(account, number)) is not None
        ],
        "positions": [
            {"account": account, "symbol": symbol, "position_lots": taken[0]}
            for account in NUMBERS
            for number, symbol in symbols.items()
            if (taken := core.position(account, number)) is not None
        ],
        "fees": [{"asset": names[number], "units": asset["fees_units"]} for number, asset in assets.items()],
        "deposits": [{"asset": name, "units": deposits.get(name, 0)} for name in names.values()],
        "withdrawals": [{"asset": name, "units": withdrawals.get(name, 0)} for name in names.values()],
        "open_orders_count": 0,
    }


def _cash(core: Core, records: bytes) -> tuple[dict[str, int], dict[str, int]]:
    """Money that came from outside and that went outside, by asset, while a core applies the records."""
    feed, flows, payouts = Feed(), [], set()
    feed.apply(core, records)
    for topic, _, _, value, *_ in feed.take(True, False):
        if topic in ("balances", "executions"):
            found = json.loads(value)
            for event in found if isinstance(found, list) else [found]:
                if event["type"] in ("deposit", "withdrawal"):
                    flows.append(event)
                elif event.get("kind") == "fee_payout":
                    payouts.add(event["seq"])
    came: collections.Counter[str] = collections.Counter()
    went: collections.Counter[str] = collections.Counter()
    for event in flows:
        if event["seq"] not in payouts:
            (came if event["type"] == "deposit" else went)[event["asset"]] += abs(event["amount_units"])
    return came, went


def as_json(found: dict[str, Any]) -> bytes:
    """The bytes of a statement."""
    return json.dumps(found, sort_keys=True).encode()
