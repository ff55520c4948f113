"""Flow files are what their format says, and their answers are those of the slow oracle."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
from pathlib import Path

import pytest

from benchmarks import flows
from benchmarks.flows import CANCEL, HEADER, IMMEDIATE, LIMIT, MAGIC, OPERATION, REDUCE, Answer
from schemas.vocabulary import (
    Account,
    Asset,
    Cancel,
    Deposit,
    EventKind,
    Instrument,
    NewOrder,
    OrderType,
    Record,
    Replace,
    Report,
    SelfTradePrevention,
    Text,
    TimeInForce,
    TradingState,
)
from tests.oracle.oracle import Oracle
from tests.support.recorded import missing

SMALL = {"deep": (300, 1_000), "cancel": (200, 1_500), "sweep": (200, 1_000), "wide": (20_000, 300)}
KEY, QUOTE, PLENTY = 1, 1, 2**50
FIELDS = ("id", "price", "lots", "instrument", "account", "kind", "side")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    id: int
    price: int
    lots: int
    instrument: int
    account: int
    kind: int
    side: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    operations: list[Operation]
    preload: int
    instruments: int
    accounts: int


def read(path: Path) -> Flow:
    data = path.read_bytes()
    magic, count, preload, instruments, accounts = HEADER.unpack_from(data)
    assert magic == MAGIC
    assert len(data) == HEADER.size + count * OPERATION.size
    operations = [
        Operation(**dict(zip(FIELDS, values, strict=True))) for values in OPERATION.iter_unpack(data[HEADER.size :])
    ]
    return Flow(operations=operations, preload=preload, instruments=instruments, accounts=accounts)


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(flows, "directory", lambda: tmp_path)


@functools.cache  # reading the tape takes seconds
def recorded_hours(hours: int) -> bytes:
    return flows.make("tape", resting=0, timed=hours).read_bytes()


def hours_of_tape(hours: int) -> Path:
    reason = missing(flows.TAPE)
    if reason:
        pytest.skip(reason)
    path = flows.directory() / f"tape-{hours}.flow"
    path.write_bytes(recorded_hours(hours))
    return path


def made(name: str) -> Path:
    if name == "tape":
        return flows.cut(hours_of_tape(1), 4_000)
    resting, timed = SMALL[name]
    return flows.make(name, resting=resting, timed=timed)


# ---- Format ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", flows.NAMES)
def test_a_flow_file_is_well_formed(name):
    flow = read(made(name))
    new = [o for o in flow.operations if o.kind in (LIMIT, IMMEDIATE)]
    assert [o.id for o in new] == sorted({o.id for o in new})
    assert {o.kind for o in flow.operations} <= {LIMIT, IMMEDIATE, CANCEL, REDUCE}
    assert all(o.price > 0 and o.lots > 0 and o.side in (1, 2) for o in new)
    assert all(1 <= o.instrument <= flow.instruments and 1 <= o.account <= flow.accounts for o in flow.operations)
    owners = {o.id: (o.account, o.instrument) for o in new}
    changes = [o for o in flow.operations if o.kind in (CANCEL, REDUCE)]
    assert all(owners.get(o.id, (o.account, o.instrument)) == (o.account, o.instrument) for o in changes)
    assert flow.preload < len(flow.operations)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_made_flow_rests_only_before_the_clock_and_is_the_same_each_time(name):
    first = made(name)
    data = first.read_bytes()
    assert all(o.kind == LIMIT for o in read(first).operations[: SMALL[name][0]])
    assert made(name).read_bytes() == data


@pytest.mark.parametrize("name", flows.NAMES)
def test_nobody_trades_with_himself_and_only_the_tape_cancels_what_is_not_there(name):
    said = flows._flows("answer", made(name))
    assert said["self_trades"] == 0
    assert (said["refused"] == 0) == (name != "tape")


def test_the_recorded_hour_leaves_empty_books_so_that_it_can_come_again():
    hour = hours_of_tape(1)
    once = flows._flows("answer", hour)
    assert once["resting"] == 0
    assert once["refused"] == 76  # docs/reference/tape.md
    assert sum(o.kind == IMMEDIATE for o in read(hour).operations) == 4_055
    twice = flows.answer(hours_of_tape(2))
    assert (twice.fills, twice.lots) == (2 * once["fills"], 2 * once["lots"])


def test_a_cut_flow_is_the_beginning_of_the_whole():
    whole = made("cancel")
    short = flows.cut(whole, 10)
    assert read(short).operations == read(whole).operations[:210]
    assert read(short).preload == 200


@pytest.mark.parametrize("data", [b"", b"IBFLOW02" + bytes(56), HEADER.pack(MAGIC, 2, 0, 1, 1) + bytes(48)])
def test_a_file_that_is_no_flow_is_refused_with_a_sentence(tmp_path, data):
    path = tmp_path / "no.flow"
    path.write_bytes(data)
    with pytest.raises(RuntimeError, match="a flow file must"):
        flows.answer(path)


def test_the_command_line_makes_files_and_says_what_must_be_answered(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(flows, "ROOT", tmp_path)
    assert flows.main(["--smoke", "sweep", "--deep", "1000"]) == 0
    assert [line.split('"')[3] for line in capsys.readouterr().out.splitlines()] == ["sweep", "deep1000"]
    with pytest.raises(SystemExit):
        flows.main(["nosuch"])


# ---- Answers ---------------------------------------------------------------------------------------------------------


class Slow:
    """The oracle does a flow."""

    def __init__(self, flow: Flow) -> None:
        self.oracle = Oracle()
        self.flow = flow
        self.client_sequence = 0
        self.ids: dict[int, int] = {}  # the oracle's order: the flow's
        self.placed: dict[int, tuple[int, int]] = {}  # the flow's order: the oracle's, price

    def send(self, *commands) -> list[Report]:
        data = b""
        for command in commands:
            self.client_sequence += 1
            command = dataclasses.replace(command, client_sequence=self.client_sequence)
            data += Record(command=command.pack(), key=KEY).pack()
        return self.oracle.apply(data)

    def prepare(self) -> None:
        named = Text(text=b"N".ljust(36, b"\0"))
        self.send(named, Asset(asset=QUOTE, decimals=0))
        for instrument in range(1, self.flow.instruments + 1):
            name = Text(text=f"I{instrument}".encode().ljust(36, b"\0"))
            self.send(name, Asset(asset=instrument + 1, decimals=0))
            self.send(
                name,
                Instrument(
                    instrument=instrument, base_asset=instrument + 1, quote_asset=QUOTE,
                    trading_state=TradingState.OPEN, base_units_per_lot=1, quote_units_per_tick_lot=1,
                ),
            )  # fmt: skip
        for account in range(1, self.flow.accounts + 1):
            self.send(Account(account=account))
            for asset in range(1, self.flow.instruments + 2):
                self.send(Deposit(account=account, asset=asset, amount_units=PLENTY))

    def apply(self, o: Operation) -> list[Report]:
        if o.kind in (LIMIT, IMMEDIATE):
            rests = o.kind == LIMIT
            events = self.send(
                NewOrder(
                    account=o.account, instrument=o.instrument, price_ticks=o.price, quantity_lots=o.lots,
                    side=o.side, order_type=OrderType.LIMIT, self_trade_prevention=SelfTradePrevention.NONE,
                    time_in_force=TimeInForce.GOOD_TILL_CANCELLED if rests else TimeInForce.IMMEDIATE_OR_CANCEL,
                )
            )  # fmt: skip
            assert events[0].kind == EventKind.ACCEPTED
            self.ids[events[0].order_id] = o.id
            self.placed[o.id] = (events[0].order_id, o.price)
            return events
        order_id, price = self.placed.get(o.id, (2**40, 1))
        if o.kind == CANCEL:
            return self.send(Cancel(account=o.account, instrument=o.instrument, order_id=order_id))
        return self.send(
            Replace(
                account=o.account, instrument=o.instrument, order_id=order_id, price_ticks=price, quantity_lots=o.lots
            )
        )

    def answer(self) -> Answer:
        self.prepare()
        fills = lots = notional = refused = 0
        digest = 14695981039346656037
        for index, operation in enumerate(self.flow.operations):
            events = self.apply(operation)
            if index < self.flow.preload:
                continue
            for event in events:
                refused += event.kind == EventKind.REJECTED
                if event.kind == EventKind.TRADE:
                    parts = (operation.id, self.ids[event.order_id], event.price_ticks, event.quantity_lots)
                    for part in parts:
                        digest = (digest ^ part) * 1099511628211 % 2**64
                    fills += 1
                    lots += event.quantity_lots
                    notional += event.price_ticks * event.quantity_lots
        return Answer(fills=fills, lots=lots, notional=notional % 2**64, digest=f"{digest:016x}", refused=refused)


@pytest.mark.parametrize("name", ["tape", "deep", "cancel", "sweep"])
def test_the_dense_book_answers_as_the_oracle_does(name):
    path = made(name)
    must = Slow(read(path)).answer()
    assert must.fills > 0
    assert flows.answer(path) == must


def test_a_flow_with_a_kind_that_does_not_exist_ends_in_a_sentence(tmp_path):
    path = tmp_path / "odd.flow"
    good, odd = OPERATION.pack(1, 5, 5, 1, 1, LIMIT, 1), OPERATION.pack(1, 5, 5, 1, 1, 9, 1)
    path.write_bytes(HEADER.pack(MAGIC, 2, 0, 1, 1) + good + odd)
    done = subprocess.run([str(flows.PROGRAMS / "flows"), "answer", str(path)], capture_output=True, text=True)
    assert done.returncode != 0
    assert "must have a kind of 1 to 4" in done.stderr
