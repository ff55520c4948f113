"""Bad input never changes state: every kind of command with every byte, every field and many pairs of fields spoiled.

A command that is refused may use up its client sequence and make one report, and nothing else. So a twin of the core
gets a `refused` record in its place, which does exactly that; then both must have the same digest. The slow oracle
gets the same command and must answer with the same events.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from engine_node import _engine
from schemas.vocabulary import (
    KIND_CLASS,
    RECORD_BYTES,
    REPORT_BYTES,
    Account,
    AccountLimits,
    Asset,
    BalanceFloor,
    Cancel,
    CircuitBreaker,
    Code,
    CountdownCancel,
    Deposit,
    EventKind,
    FeePayout,
    FeeTier,
    Halt,
    Instrument,
    InstrumentLimits,
    InstrumentState,
    Kind,
    LinkAction,
    MassCancel,
    NewOrder,
    OrderLink,
    OrderTerms,
    OrderType,
    Peg,
    PriceStep,
    Record,
    Refused,
    Replace,
    Side,
    TermOption,
    Text,
    TimeInForce,
    TradeBust,
    TradeCorrection,
    TradingState,
    Trigger,
    Withdrawal,
)
from schemas.vocabulary import Report as WireReport
from tests.oracle.oracle import Oracle

CAPACITIES = {"asset_count_max": 4, "instrument_count_max": 4, "account_count_max": 5, "key_count_max": 3}
POOLS = {
    "order_count_max": 64,
    "level_count_max": 256,
    "ladder_count_max": 4096,
    "balance_count_max": 64,
    "position_count_max": 64,
    "nonce_count_max": 16,
    "reports_kept": 0,
}
START_NS = 1_700_000_000_000_000_000
HOUR_NS = 3600 * 10**9
Group = tuple[Any, ...]


def text(name: str) -> Text:
    return Text(text=name.encode().ljust(36, b"\0"))


LIMIT_BUY = NewOrder(
    account=1,
    instrument=1,
    price_ticks=99,
    quantity_lots=4,
    client_order_id=70,
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    time_in_force=TimeInForce.GOOD_TILL_CANCELLED,
    self_trade_prevention=2,
)
MARKET_BUY = dataclasses.replace(
    LIMIT_BUY, price_ticks=110, order_type=OrderType.MARKET, time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL
)
RESTING = 2  # client order id of account 1's open buy at 90
STAGE: list[Group] = [
    (text("BTC"), Asset(asset=1, decimals=8)),
    (text("USD"), Asset(asset=2, decimals=2)),
    (
        text("BTC-USD"),
        Instrument(
            instrument=1,
            base_asset=1,
            quote_asset=2,
            maker_fee_ppm=-100,
            taker_fee_ppm=1000,
            trading_state=TradingState.OPEN,
            base_units_per_lot=10,
            quote_units_per_tick_lot=3,
        ),
    ),
    (Account(account=1),),
    (Account(account=2),),
    *((Deposit(account=a, asset=b, amount_units=10**12),) for a in (1, 2) for b in (1, 2)),
    (dataclasses.replace(LIMIT_BUY, account=2, side=Side.SELL, price_ticks=100, client_order_id=1),),
    (dataclasses.replace(LIMIT_BUY, price_ticks=100, client_order_id=1),),
    (dataclasses.replace(LIMIT_BUY, account=2, side=Side.SELL, price_ticks=101, client_order_id=1),),
    (dataclasses.replace(LIMIT_BUY, price_ticks=90, client_order_id=RESTING),),
]

GOOD: list[Group] = [
    (LIMIT_BUY,),
    (MARKET_BUY,),
    (dataclasses.replace(MARKET_BUY, order_type=OrderType.MARKET_BY_QUOTE, quantity_lots=1000),),
    (OrderTerms(display_lots=2, expire_ns=START_NS + HOUR_NS), LIMIT_BUY),
    (OrderTerms(options=TermOption.HIDDEN | TermOption.DAY), LIMIT_BUY),
    (OrderTerms(options=TermOption.ALL_OR_NONE), LIMIT_BUY),
    (OrderTerms(minimum_lots=2), dataclasses.replace(LIMIT_BUY, price_ticks=101)),
    (OrderTerms(peg=Peg.MIDDLE, offset_ticks=-1), LIMIT_BUY),
    (OrderTerms(trigger=Trigger.STOP, trigger_price_ticks=105), MARKET_BUY),
    (OrderTerms(trigger=Trigger.TAKE_PROFIT, trigger_price_ticks=95), LIMIT_BUY),
    (OrderTerms(trigger=Trigger.TRAILING, offset_ticks=7), MARKET_BUY),
    (OrderLink(target_client_order_id=RESTING, action=LinkAction.ONE_CANCELS_OTHER), LIMIT_BUY),
    (OrderLink(target_client_order_id=RESTING, action=LinkAction.CANCEL_FIRST), LIMIT_BUY),
    (Cancel(account=1, instrument=1, target_client_order_id=RESTING),),
    (Replace(account=1, instrument=1, target_client_order_id=RESTING, price_ticks=91, quantity_lots=3),),
    (MassCancel(account=1, instrument=1, side=Side.BUY),),
    (CountdownCancel(account=1, timeout_ms=1000),),
    (text("ETH"), Asset(asset=3, decimals=6)),
    (
        text("USD-BTC"),
        Instrument(
            instrument=2,
            base_asset=2,
            quote_asset=1,
            trading_state=TradingState.PRE_OPEN,
            base_units_per_lot=1,
            quote_units_per_tick_lot=1,
        ),
    ),
    (InstrumentLimits(instrument=1, collar_ppm=50_000, quantity_lots_min=1, quantity_lots_max=9),),
    (Account(account=3, firm=1, fee_tier=1),),
    (AccountLimits(account=1, open_orders_max=10, order_rate_max=10, quantity_lots_max=10),),
    (Deposit(account=1, asset=1, amount_units=5, reference=6),),
    (Withdrawal(account=1, asset=1, amount_units=5, reference=6),),
    (Halt(target=1, scope=2, action=1),),
    (Halt(target=1, scope=3, action=3),),
    (InstrumentState(instrument=1, trading_state=TradingState.AUCTION, auction_ends_ns=START_NS + HOUR_NS),),
    (CircuitBreaker(instrument=1, band_ppm=1000, band_ms=5, level1_ppm=2000, level1_ms=7, level2_ppm=3000),),
    (FeeTier(instrument=1, tier=1, maker_fee_ppm=-5, taker_fee_ppm=10),),
    (PriceStep(instrument=1, step=0, from_price_ticks=0, tick_multiple=2, lot_multiple=2),),
    (BalanceFloor(account=1, asset=1, floor_units=-1000),),
    (TradeBust(instrument=1, trade_id=1),),
    (TradeCorrection(instrument=1, trade_id=1, price_ticks=98, quantity_lots=2),),
    (FeePayout(account=2, asset=2, amount_units=1),),
]
EXTREMES = (0, 1, 2, 3, 255, 2**31, 2**32 - 1, 2**48 - 1, 2**48, 2**62 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


class Trio:
    """The core, a twin of it that gets `refused` records, and the oracle; all in the state of the stage."""

    def __init__(self) -> None:
        self.options = CAPACITIES | POOLS
        self.core = _engine.Core(**self.options)
        self.oracle = Oracle(**CAPACITIES)
        self.client_sequence = 0
        for group in STAGE:
            packed = self.records([part.pack() for part in group])
            self.core.apply(packed)
            self.oracle.apply(packed)
        self.stage = self.core.save(), self.oracle.copy(), self.client_sequence
        self.twin = _engine.Core.load(self.stage[0], **self.options)

    def back_to_the_stage(self) -> None:
        saved, oracle, self.client_sequence = self.stage
        self.oracle = oracle.copy()
        self.core = _engine.Core.load(saved, **self.options)
        self.twin = _engine.Core.load(saved, **self.options)

    def records(self, parts: list[bytes]) -> bytes:
        out = b""
        for part in parts:
            self.client_sequence += 1
            numbered = part[:2] + self.client_sequence.to_bytes(6, "little") + part[8:]
            out += Record(command=numbered, key=1, received_ns=START_NS).pack()
        return out

    def send(self, parts: list[bytes]) -> str:
        """`full`, `damage`, `applied`, or the name of the code; everything about it is checked."""
        records = self.records(parts)
        before = self.core.digest()
        try:
            made = self.core.apply(records)
        except _engine.CoreFull:
            assert self.core.digest() == before
            self.client_sequence -= len(parts)
            return "full"
        except _engine.CoreRecord:
            self.back_to_the_stage()  # groups before the bad one stay applied
            return "damage"
        events = [WireReport.unpack(made, offset) for offset in range(0, len(made), REPORT_BYTES)]
        assert [event.pack() for event in self.oracle.apply(records)] == [event.pack() for event in events]
        refused = [Code(event.code) for event in events if event.kind == EventKind.REJECTED]
        if not refused or len(events) > 1:  # taken; or refused behind the order that it cancelled first
            assert len(refused) <= 1
            fault = self.core.check()
            assert fault is None, fault
            assert self.core.digest() == self.oracle.digest()
            self.back_to_the_stage()
            return "applied"
        stand_in = Refused(code=refused[0], client_sequence=self.client_sequence).pack()
        last = Record(command=stand_in, key=1, received_ns=START_NS).pack()
        self.twin.apply(records[:-RECORD_BYTES] + last)
        assert self.core.digest() == self.twin.digest(), f"{refused[0].name} changed the state"
        return refused[0].name.lower()


def spoiled_bytes(group: Group) -> Iterator[list[bytes]]:
    """Every byte but the kind and the client sequence, of every record of the group, with five values."""
    parts = [part.pack() for part in group]
    for at, part in enumerate(parts):
        for offset, value in itertools.product((1, *range(8, 48)), (0x00, 0x01, 0x7F, 0x80, 0xFF)):
            if part[offset] != value:
                yield [*parts[:at], part[:offset] + bytes([value]) + part[offset + 1 :], *parts[at + 1 :]]


def integer_fields(part: Any) -> list[tuple[int, int]]:
    """(offset, bytes) of the integer fields behind the header, by packing a value into one at a time."""
    empty, found = type(part)().pack(), []
    for field in dataclasses.fields(part):
        if field.name in ("flags", "client_sequence") or isinstance(getattr(part, field.name), bytes):
            continue
        marked = dataclasses.replace(type(part)(), **{field.name: 1}).pack()
        offset = next(i for i in range(48) if marked[i] != empty[i])
        try:
            dataclasses.replace(type(part)(), **{field.name: 2**32}).pack()
            found.append((offset, 8))
        except Exception:
            wide = 4 if _fits(part, field.name, 2**16) else 1
            found.append((offset, wide))
    return found


def _fits(part: Any, name: str, value: int) -> bool:
    try:
        dataclasses.replace(type(part)(), **{name: value}).pack()
    except Exception:
        return False
    return True


def extreme_fields(group: Group, rng: random.Random, pairs: int) -> Iterator[list[bytes]]:
    """Every integer field with every extreme, then pairs and triples of fields with extremes drawn."""
    parts = [part.pack() for part in group]
    fields = [(at, offset, size) for at, part in enumerate(group) for offset, size in integer_fields(part)]

    def put(into: list[bytes], place: tuple[int, int, int], value: int) -> list[bytes]:
        at, offset, size = place
        low = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        part = into[at]
        return [*into[:at], part[:offset] + low + part[offset + size :], *into[at + 1 :]]

    for place, value in itertools.product(fields, EXTREMES):
        yield put(parts, place, value)
    for _ in range(pairs if fields else 0):
        spoiled = parts
        for place in rng.choices(fields, k=rng.choice((2, 2, 3))):
            spoiled = put(spoiled, place, rng.choice(EXTREMES))
        yield spoiled


@pytest.fixture(scope="module")
def trio() -> Trio:
    return Trio()


@pytest.mark.parametrize("group", GOOD, ids=lambda group: "-".join(type(part).__name__ for part in group))
def test_a_good_command_is_taken(trio: Trio, group: Group) -> None:
    trio.back_to_the_stage()
    assert trio.send([part.pack() for part in group]) == "applied"


@pytest.mark.parametrize("group", GOOD, ids=lambda group: "-".join(type(part).__name__ for part in group))
def test_spoiled_commands_change_nothing_and_have_one_code(trio: Trio, group: Group) -> None:
    trio.back_to_the_stage()
    refused = 0
    rng = random.Random(f"{group}")
    for parts in itertools.chain(spoiled_bytes(group), extreme_fields(group, rng, 200)):
        refused += trio.send(parts) not in ("applied", "full", "damage")
    assert refused > 20


def test_every_kind_that_a_client_may_send_is_spoiled() -> None:
    spoiled = {type(part).__name__ for group in GOOD for part in group}
    kinds = {Kind(value).name for value, group in KIND_CLASS.items() if group in ("client", "prefix")}
    assert {name.upper() for name in spoiled} >= {kind.replace("_", "") for kind in kinds - {"PING", "NONCE"}}
