"""Core and oracle side by side on the same records.

    python -m tests.oracle.compare --commands 100000 --seed 7

After each command the events must be the same, byte for byte; the digest, each answer of the core's questions, the
conservation of money, the core's own walk over its state, and a save and load in between must agree with the oracle.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from typing import TypeVar

from engine_node import _engine
from schemas.vocabulary import (
    FEE_TIER_MAX,
    RECORD_BYTES,
    REPORT_BYTES,
    Code,
    EventKind,
    OrderType,
    Record,
    Report,
    Side,
    TimeInForce,
)
from tests.oracle import book, flow, groups, sweeps
from tests.oracle.choice import RandomChoice
from tests.oracle.oracle import Oracle
from tests.oracle.state import WAITING, InstrumentState, OrderState

T = TypeVar("T")
REPORTS_KEPT = 8
CHUNKS = (64, 1024, 65, 64, 97)  # events that the core hands out at a time, of one command after another
POOLS = {  # plenty for what the flow does, and quickly laid out
    "order_count_max": 4096,
    "level_count_max": 4096,
    "ladder_count_max": 16384,
    "balance_count_max": 64,
    "position_count_max": 64,
    "nonce_count_max": 4096,
    "extra_count_max": 4096,
}


CLOCK = {EventKind.BOOK_CHECKSUM, EventKind.INDICATIVE}
BUSTS = {EventKind.TRADE_BUST, EventKind.TRADE_CORRECTION}
EVENT_MASKS = {  # which events a core hands out: the bits of its option event_mask
    _engine.EVENTS_REPORTS: {EventKind(kind) for kind in range(EventKind.ACCEPTED, EventKind.TRIGGERED + 1)},
    _engine.EVENTS_MARKET: {EventKind.TRADE, EventKind.BOOK_UPDATE, EventKind.TOP, EventKind.STATE, *CLOCK, *BUSTS},
    _engine.EVENTS_LEVEL3: {EventKind.LEVEL3},
    _engine.EVENTS_ACCOUNTS: {EventKind.BALANCE, EventKind.ADJUSTMENT},
}


class Disagreement(AssertionError):
    """Core and oracle read the rules differently: both readings."""


def agree(what: str, core: object, oracle: object) -> None:
    if core != oracle:
        raise Disagreement(f"{what}:\n  core   {core}\n  oracle {oracle}")


def show(report: Report) -> str:
    """A report on one line, without what is zero."""
    fields = {name: int(getattr(report, name)) for name in report.__slots__}
    words = [f"{name}={value}" for name, value in fields.items() if value and name not in ("kind", "received_ns")]
    return f"{EventKind(report.kind).name.lower()} {' '.join(words)}"


class Pair:
    """A core and an oracle that have seen the same records."""

    def __init__(self, *, event_mask: int = _engine.EVENTS_ALL, **pools: int) -> None:
        fixed = {"reports_kept": REPORTS_KEPT, "event_mask": event_mask}
        self.options = {**flow.OPTIONS, **POOLS, **pools, **fixed}
        self.handed_out = {kind for bit, kinds in EVENT_MASKS.items() if event_mask & bit for kind in kinds}
        self.oracle = Oracle(**flow.OPTIONS)
        self.core = _engine.Core(**self.options)
        self.reports: dict[tuple[int, int], bytes] = {}
        self.counts: Counter[str] = Counter()
        self.chunks = itertools.cycle(CHUNKS)

    def play(self, step: flow.Step) -> None:
        self.apply(flow.records_of(step, self.oracle.state))

    def apply(self, data: bytes) -> None:
        """Apply the records to both; they must be refused by both, or give the same events."""
        whole = groups.whole_groups([Record.unpack(data, offset) for offset in range(0, len(data), RECORD_BYTES)])
        agree("bytes of whole groups", self.core.group_bytes(data), bytes_of(whole))
        while whole and groups.is_prefix(whole[-1][-1]):
            whole.pop()  # a void group: without the record behind it nobody can tell that it is one
        core_name, core_events = self.apply_to_core(data[: bytes_of(whole)])
        if core_name == "full":
            self.follow_to_no_room(whole)
            return
        oracle_name, oracle_events = self.apply_to_oracle(whole)
        agree("outcome", core_name, oracle_name)
        agree("sequence", self.core.sequence(), self.oracle.state.sequence)
        self.counts[f"groups {core_name}"] += 1
        self.keep(oracle_events)
        if core_name == "applied":
            agree_on_events(core_events, [event for event in oracle_events if event.kind in self.handed_out])
        else:  # the core's exception tells nothing of the groups before the bad one, but they stay applied
            self.check_digest()

    def apply_to_core(self, data: bytes) -> tuple[str, bytes]:
        try:
            return "applied", self.core.apply(data, next(self.chunks))
        except _engine.CoreRecord:
            return "invalid", b""
        except _engine.CoreDiverged:
            return "diverged", b""
        except _engine.CoreFull:
            return "full", b""

    def apply_to_oracle(self, whole: list[list[Record]]) -> tuple[str, list[Report]]:
        made: list[Report] = []
        try:
            for group in whole:
                made += self.oracle.apply_group(group)
        except groups.RecordInvalid:
            return "invalid", made
        except groups.Diverged:
            return "diverged", made
        return "applied", made

    def follow_to_no_room(self, whole: list[list[Record]]) -> None:
        """Take the groups that had room; the one that had none is not void, and nothing of it happened."""
        self.counts["groups without room"] += 1
        while self.oracle.state.sequence < self.core.sequence():
            self.keep(self.apply_to_oracle([whole.pop(0)])[1])
        agree("a void group needs no room", groups.is_prefix(whole[0][-1]), False)
        self.check_digest()

    def keep(self, events: list[Report]) -> None:
        for report in events:
            self.counts[EventKind(report.kind).name.lower()] += 1
            if report.kind in (EventKind.REJECTED, EventKind.CANCELLED):
                self.counts[Code(report.code).name.lower()] += 1
            if report.key > 0:
                self.reports[report.key, report.report_number] = report.pack()

    # ---- what must hold between commands

    def check_digest(self) -> None:
        agree("digest", self.core.digest(), self.oracle.digest())

    def check_all(self) -> None:
        """Everything that can be asked, and everything that must hold."""
        self.check_digest()
        agree("core_check", self.core.check(), None)
        self.oracle.check_conservation()
        check_answers(self.core, self.oracle)
        for (key, number), report in list(self.reports.items()):
            last = self.oracle.state.keys[key].last_report_number
            kept = number > last - REPORTS_KEPT
            if EventKind.ACCEPTED in self.handed_out:
                agree(f"report {number} of key {key}", self.core.report(key, number), report if kept else None)
            if not kept:
                del self.reports[key, number]

    def reload(self) -> None:
        """Save the core and go on with what comes of loading it."""
        saved = self.core.save()
        loaded = _engine.Core.load(saved, **self.options)
        agree("digest after save and load", loaded.digest(), self.core.digest())
        agree("snapshot of what was loaded", loaded.save() == saved, True)
        self.core = loaded
        self.counts["reloads"] += 1


def bytes_of(whole: list[list[Record]]) -> int:
    return sum(len(group) for group in whole) * RECORD_BYTES


def agree_on_events(core: bytes, oracle: list[Report]) -> None:
    if core == b"".join(report.pack() for report in oracle):
        return
    core_lines = [show(Report.unpack(core, offset)) for offset in range(0, len(core), REPORT_BYTES)]
    oracle_lines = [show(report) for report in oracle]
    lines = [f"  core   {line}" for line in core_lines] + [f"  oracle {line}" for line in oracle_lines]
    same = sum(1 for _ in iter_same(core_lines, oracle_lines))
    raise Disagreement("\n".join([f"events differ from n = {same} on:", *lines]))


def iter_same(left: list[str], right: list[str]) -> list[str]:
    """What both begin with."""
    same = []
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        same.append(a)
    return same


# ---- the core's questions


def check_answers(core: _engine.Core, oracle: Oracle) -> None:
    state = oracle.state
    agree("sequence", core.sequence(), state.sequence)
    agree("received_ns", core.received_ns(), state.received_ns)
    agree("term", core.term(), state.term)
    agree("everything halted", core.everything_halted(), state.everything_halted)
    for number in range(flow.ASSETS + 2):
        check_asset(core, oracle, number)
    for number in range(flow.INSTRUMENTS + 2):
        check_instrument(core, oracle, number)
    for number in range(flow.ACCOUNTS + 2):
        check_account(core, oracle, number)
    for number in range(1, flow.KEYS + 1):
        check_key(core, oracle, number)
    check_trades(core, oracle)


def check_asset(core: _engine.Core, oracle: Oracle, number: int) -> None:
    known = oracle.state.assets.get(number)
    expected = known and {
        "asset": number,
        "decimals": known.decimals,
        "name": known.name.decode(),
        "supply_units": known.supply_units,
        "fees_units": known.fees_units,
    }
    agree(f"asset {number}", core.asset(number), expected)


def check_instrument(core: _engine.Core, oracle: Oracle, number: int) -> None:
    known = oracle.state.instruments.get(number)
    expected = known and {
        "instrument": number,
        "base_asset": known.base,
        "quote_asset": known.quote,
        "maker_fee_ppm": known.maker_ppm,
        "taker_fee_ppm": known.taker_ppm,
        "trading_state": known.trading_state,
        "name": known.name.decode(),
        "base_units_per_lot": known.base_units,
        "quote_units_per_tick_lot": known.quote_units,
        "collar_ppm": known.collar_ppm,
        "quantity_lots_min": known.quantity_min,
        "quantity_lots_max": known.quantity_max,
        "notional_units_min": known.notional_min,
        "reference_price_ticks": known.reference_price,
        "trade_id": known.last_trade_id,
        "book_update_id": known.last_book_update_id,
        "level3_id": known.last_level3_id,
        "top_id": known.last_top_id,
        "bid_level_count": len(known.levels[Side.BUY]),
        "ask_level_count": len(known.levels[Side.SELL]),
        "auction_ends_ns": known.auction_ends_ns,
        "static_price_ticks": known.static_price,
        "band_ppm": known.band_ppm,
        "band_ms": known.band_ms,
        **{
            f"level{level}_{name}": value
            for level, values in enumerate(known.breaker_levels, 1)
            for name, value in zip(("ppm", "ms"), values, strict=True)
        },
    }
    agree(f"instrument {number}", core.instrument(number), expected)
    if known is None:
        return
    check_rates(core, known)
    for side in Side:
        prices = book.prices_best_first(known, side)
        levels = [(price, book.shown_lots(known.levels[side][price])) for price in prices]
        counts = [len(known.levels[side][price]) for price in prices]
        expected_levels = [(price, lots, count) for (price, lots), count in zip(levels, counts, strict=True)]
        agree(f"levels of instrument {number}, {side.name}", core.levels(number, side, 1000), expected_levels)
        queue = [answer_of(order) for price in prices for order in known.levels[side][price]]
        agree(f"orders of instrument {number}, {side.name}", core.book_orders(number, side, 0, 10_000), queue)
        agree(f"second order of instrument {number}", core.book_orders(number, side, 1, 1), queue[1:2])
        hidden = [order for price in book.in_turn(known.hidden[side], side) for order in known.hidden[side][price]]
        unseen = [answer_of(order) for order in hidden + book.unlit_in_turn(known, side)]
        agree(f"unseen orders of instrument {number}, {side.name}", core.unseen_orders(number, side), unseen)
        agree(f"second unseen order of instrument {number}", core.unseen_orders(number, side, 1, 1), unseen[1:2])


def check_rates(core: _engine.Core, known: InstrumentState) -> None:
    for tier in range(FEE_TIER_MAX + 2):
        agree(f"tier {tier} of instrument {known.number}", core.fee_tier(known.number, tier), known.tiers.get(tier))
    steps = [(step.from_price, step.tick, step.lot) for step in known.steps]
    agree(f"price steps of instrument {known.number}", core.price_steps(known.number), steps)


def check_trades(core: _engine.Core, oracle: Oracle) -> None:
    agree("trades made", core.trade_count(), oracle.state.trade_count)
    for (instrument, trade_id), trade in oracle.state.trades.items():
        expected = {
            "instrument": instrument,
            "trade_id": trade_id,
            "number": trade.number,
            "buyer": trade.buyer,
            "seller": trade.seller,
            "price_ticks": trade.price,
            "quantity_lots": trade.lots,
            "buyer_fee_units": trade.buyer_fee,
            "seller_fee_units": trade.seller_fee,
            "busted": trade.busted,
        }
        agree(f"trade {trade_id} of instrument {instrument}", core.trade(instrument, trade_id), expected)


def answer_of(order: OrderState) -> dict[str, int]:
    return {
        "order_id": order.id,
        "client_order_id": order.client_order_id,
        "priority": order.priority,
        "account": order.account,
        "instrument": order.instrument,
        "key": order.key,
        "side": order.side,
        "options": order.options,
        "self_trade_prevention": order.self_trade_prevention,
        "price_ticks": order.price,
        "rest_lots": order.rest,
        "filled_lots": order.filled,
        "lock_units": order.lock,
        "order_type": order.order_type if order.place == WAITING else OrderType.LIMIT,
        "time_in_force": order.time_in_force if order.place == WAITING else TimeInForce.GOOD_TILL_CANCELLED,
        "place": order.place,
        "trigger": order.trigger,
        "peg": order.peg,
        "term_options": order.term_options,
        "offset_ticks": order.offset,
        "trigger_price_ticks": order.trigger_price,
        "display_lots": order.display,
        "reserve_lots": order.reserve,
        "expire_ns": order.expire_ns,
        "linked_order_id": order.linked,
    }


def check_account(core: _engine.Core, oracle: Oracle, number: int) -> None:
    state = oracle.state
    known = state.accounts.get(number)
    mine = sweeps.orders_in_turn(state, number)
    expected = known and {
        "account": number,
        "firm": known.firm,
        "halted": known.halted,
        "open_orders": len(mine),
        "open_orders_max": known.open_orders_max,
        "order_rate_max": known.order_rate_max,
        "order_rate_window_ms": known.order_rate_window_ms,
        "notional_units_max": known.notional_max,
        "position_lots_max": known.position_max,
        "quantity_lots_max": known.quantity_max,
        "fee_tier": known.fee_tier,
    }
    agree(f"account {number}", core.account(number), expected)
    if known is None:
        return
    agree(f"orders of account {number}", core.account_orders(number, 0, 10_000), [answer_of(order) for order in mine])
    for order in mine:
        agree(f"order {order.id}", core.order(order.id), answer_of(order))
    for asset in state.assets:
        held = oracle.balances().get((number, asset), (0, 0))
        agree(f"balance of account {number}, asset {asset}", core.balance(number, asset) or (0, 0), held)
        floor = state.balances[number, asset].floor if (number, asset) in state.balances else 0
        agree(f"floor of account {number}, asset {asset}", core.floor(number, asset), floor)
    for instrument in state.instruments:
        position = state.positions.get((number, instrument))
        answer = position and (position.lots, position.open_buy, position.open_sell)
        agree(f"position of account {number}, instrument {instrument}", core.position(number, instrument), answer)


def check_key(core: _engine.Core, oracle: Oracle, number: int) -> None:
    known = oracle.state.keys.get(number)
    if known is None:
        return
    expected = {
        "key": number,
        "last_client_sequence": known.last_client_sequence,
        "last_report_number": known.last_report_number,
        "session": known.session,
        "account": known.account,
        "live": known.live,
        "options": known.options,
        "countdown_ns": known.deadline_ns,
        "countdown_account": known.countdown_account,
    }
    agree(f"key {number}", core.key(number), expected)


# ---- long runs


def run(commands: int, seed: int, *, check_each: int = 64, **options: int) -> Counter[str]:
    """Play a seeded flow through both. Raises Disagreement, which says seed and step. What happened, counted."""
    choice = RandomChoice(seed)
    pair = Pair(**options)
    pauses = random.Random(seed + 1)
    step: flow.Step | None = None
    number = 0
    try:
        for step in flow.prelude():
            pair.play(step)
        for number in range(1, commands + 1):
            step = flow.draw_step(choice, flow.BUSY_DRAWS if seed % 2 else flow.DRAWS)
            pair.play(step)
            if number % check_each == 0:
                pair.check_all()
            if pauses.random() < 0.25 / check_each:
                pair.reload()
        pair.check_all()
    except Disagreement as disagreement:
        raise Disagreement(f"seed {seed}, command {number}: {step}\n{disagreement}") from None
    return pair.counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=100_000, help="how many in all")
    parser.add_argument("--seed", type=int, default=None, help="of the first market; each further one has the next")
    parser.add_argument("--market", type=int, default=2_000, help="commands until a new market begins")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    started = time.monotonic()
    counts: Counter[str] = Counter()
    for first in range(0, options.commands, options.market):
        counts += run(min(options.market, options.commands - first), seed + first // options.market)
    for name, count in counts.most_common():
        print(f"{count:10,} {name}")
    print(f"{options.commands:,} commands agree, in {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
