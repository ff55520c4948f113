"""Folds against the oracle: repeats, restarts, interleaved partitions; and what flushes bring."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.topics import load_topics
from streams.analytics.folds import Changes, FirmFold, ReferenceFold, SymbolFold
from streams.analytics.rows import COLUMNS
from streams.analytics.topics import FIRM_TOPICS, REFERENCE_TOPICS, SYMBOL_TOPICS
from tests.streams.analytics import oracle
from tests.streams.analytics.scenario import INSTRUMENTS, START_NS, Event, Market, example, instrument

DAY_NS = 86_400 * 10**9


def messages(events: list[Event], chance: random.Random) -> list[list[Event]]:
    """The events in messages of random sizes; now and then the publisher starts again from a while before."""
    found, start = [], 0
    while start < len(events):
        size = chance.randrange(1, 9)
        found.append(copy.deepcopy(events[start : start + size]))
        start += size
        if chance.random() < 0.15:
            start = max(0, start - chance.randrange(20))
    return found


class Reader:
    """Reads messages by a fold as a worker does: flushes now and then, and is killed now and then.

    What a flush stored are states; killed, it loads them and reads on from an earlier message than it had come to.
    torn: the crash came while the states were being stored, so some of the last flush are as they were before it.
    """

    def __init__(self, kind: Any, chance: random.Random) -> None:
        self.kind, self.chance = kind, chance
        self.fold = kind(0, INSTRUMENTS)
        self.stored: dict[str, bytes] = {}
        self.rows: dict[str, dict[Any, tuple[Any, ...]]] = {}

    def read(self, topic: str, all_messages: list[list[Event]]) -> None:
        offset = safe = 0
        while offset < len(all_messages):
            assert self.fold.apply(topic, offset, START_NS, copy.deepcopy(all_messages[offset])) == []
            offset += 1
            chance = self.chance.random()
            if chance < 0.25:
                self._flush(self.fold.take())
                safe = offset
            elif chance < 0.32:
                torn = self.fold.take() if self.chance.random() < 0.5 else Changes()
                self._write(torn)
                self.stored |= {key: state for key, state in torn.states.items() if self.chance.random() < 0.5}
                self.fold = self.kind(0, INSTRUMENTS)
                for key, state in self.stored.items():
                    self.fold.load(key, state)
                offset = safe
        self._flush(self.fold.take())

    def _flush(self, changes: Changes) -> None:
        self._write(changes)
        self.stored |= changes.states

    def _write(self, changes: Changes) -> None:
        """As Postgres does it: the mark decides."""
        keys = {"positions": 2, "daily_pnl": 3, "trade_statistics": 1, "candles": 3}
        for table, count in keys.items():
            for row in changes.rows.get(table, []):
                held = self.rows.setdefault(table, {})
                key, known = row[4 : 4 + count], held.get(row[4 : 4 + count])
                mark = (row[-1],) if table == "trade_statistics" else row[1:3]
                old = known and ((known[-1],) if table == "trade_statistics" else known[1:3])
                if known is None or mark > old:
                    held[key] = row

    def table(self, name: str) -> list[dict[str, Any]]:
        return [dict(zip(COLUMNS[name], row, strict=True)) for row in self.rows.get(name, {}).values()]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 120))
def test_positions_and_profit_equal_the_oracle_whatever_comes_twice_and_wherever_it_is_killed(
    seed: int, count: int
) -> None:
    chance = random.Random(seed)
    market = Market(seed, accounts=3, step_ns=chance.choice((10**6, 3600 * 10**9))).run(count)
    reader = Reader(FirmFold, chance)
    reader.read("executions", messages(market.executions, chance))
    expected = oracle.books(market.executions)
    assert {(row["account"], row["symbol"]) for row in reader.table("positions")} == set(expected)
    for row in reader.table("positions"):
        book = expected[row["account"], row["symbol"]]
        assert (row["position_lots"], row["cost_units"]) == (book.lots, book.cost)
        assert (row["realised_units"], row["fees_units"]) == (book.realised, book.fees)
        assert (row["bought_lots"], row["sold_lots"], row["fill_count"]) == (book.bought, book.sold, book.fills)
        assert row["realised_units"] - row["cost_units"] - row["fees_units"] == book.cash
        assert row["position_lots"] or row["cost_units"] == 0
    for row in reader.table("daily_pnl"):
        day = expected[row["account"], row["symbol"]].days[row["day"].isoformat()]
        for name in ("realised_units", "fees_units", "fill_count", "winning_count", "losing_count", "volume_units"):
            assert row[name] == day[name]
        assert (row["profit_units"], row["loss_units"]) == (day["profit_units"], day["loss_units"])
    days = sum(len(book.days) for book in expected.values())
    assert len(reader.table("daily_pnl")) == days


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 120))
def test_statistics_of_accounts_equal_the_oracle(seed: int, count: int) -> None:
    chance = random.Random(seed)
    market = Market(seed, accounts=3).run(count)
    reader = Reader(FirmFold, chance)
    reader.read("executions", messages(market.executions, chance))
    rows = reader.table("trade_statistics")
    assert {row["account"] for row in rows} == {event["account"] for event in market.executions}
    for row in rows:
        expected = oracle.account(market.executions, row["account"])
        assert {name: row[name] for name in expected} == expected


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 150))
def test_candles_equal_the_oracle(seed: int, count: int) -> None:
    chance = random.Random(seed)
    market = Market(seed, step_ns=chance.choice((10**7, 10**9, 10**12))).run(count)
    reader = Reader(SymbolFold, chance)
    reader.read("trades", messages(market.trades, chance))
    expected = oracle.candles(market.trades)
    rows = {(row["symbol"], row["interval"], row["start_ns"]): row for row in reader.table("candles")}
    assert set(rows) == set(expected)
    for key, candle in expected.items():
        assert {name: rows[key][name] for name in candle} == candle


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_two_shards_in_one_partition_keep_marks_of_their_own(seed: int) -> None:
    chance = random.Random(seed)
    here, there = Market(seed, accounts=2).run(60), Market(seed + 1, accounts=2).run(60)
    for event in there.executions:
        event["shard"] = 1
    queues, merged = [list(here.executions), list(there.executions)], []
    while any(queues):
        queue = chance.choice([queue for queue in queues if queue])
        merged.append(queue.pop(0))
    reader = Reader(FirmFold, chance)
    reader.read("executions", messages(merged, chance))
    for row in reader.table("trade_statistics"):
        both = [oracle.account(market.executions, row["account"]) for market in (here, there)]
        for name in ("orders_count", "fill_count", "filled_lots", "filled_orders_count", "cancelled_count"):
            assert row[name] == sum(one[name] for one in both)


def validator(topic: str, kind: str) -> Draft202012Validator:
    """Fields of an event must be those that the contract names, no more and no fewer."""
    data = load_topics().data
    event = next(one for one in load_topics()[topic].data["events"] if one["type"] == kind)
    fields = [*data["common"], *event["fields"]]
    required = [name for name, *_ in fields if not name.endswith("?")]
    properties = {name.removesuffix("?"): {} for name, *_ in fields}
    return Draft202012Validator(
        {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    )


def test_messages_have_exactly_the_fields_of_their_topic() -> None:
    market = Market(31).run(120)
    firm, symbol = FirmFold(0, INSTRUMENTS), SymbolFold(0, INSTRUMENTS)
    firm.apply("executions", 0, START_NS, copy.deepcopy(market.executions))
    symbol.apply("trades", 0, START_NS, copy.deepcopy(market.trades))
    symbol.apply("book.top", 0, START_NS, [example("book.top", "top")])
    told = [*firm.take().messages, *symbol.take().messages]
    assert {message.topic for message in told} == {"positions", "pnl", "statistics", "candles"}
    for message in told:
        validator(message.topic, message.event["type"]).validate(message.event)


def test_a_top_of_the_book_gives_the_spread_and_revalues_open_positions() -> None:
    firm, symbol = FirmFold(0, INSTRUMENTS), SymbolFold(0, INSTRUMENTS)
    firm.apply("executions", 0, START_NS, [example("executions", "filled")])
    fill = example("executions", "filled")
    firm.take()
    assert not firm.pending
    firm.price("BTC/USD", fill["price_ticks"] + 10, fill["seq"] + 1, START_NS + DAY_NS)
    assert firm.pending
    (pnl,) = [message.event for message in firm.take().messages if message.topic == "pnl"]
    assert pnl["unrealised_units"] == fill["quantity_lots"] * 10 * instrument()["quote_units_per_tick_lot"]
    assert (pnl["realised_units"], pnl["day"]) == (0, "2026-09-22")
    assert not firm.pending
    top = example("book.top", "top", ask_price="60012.00", ask_price_ticks=6001200, ask_quantity_lots=5)
    symbol.apply("book.top", 0, START_NS, [top])
    (statistics,) = [message.event for message in symbol.take().messages]
    assert statistics["spread_ticks"] == 200


def test_a_snapshot_gives_depth_and_imbalance_of_the_ten_best_levels() -> None:
    symbol = SymbolFold(0, INSTRUMENTS)
    bids = [["0", "0", 100 - level, 10, 1] for level in range(12)]
    asks = [["0", "0", 101 + level, 5, 1] for level in range(3)]
    symbol.apply("book.snapshots", 0, START_NS, [example("book.snapshots", "snapshot", bids=bids, asks=asks)])
    (statistics,) = [message.event for message in symbol.take().messages]
    assert (statistics["bid_depth_lots"], statistics["ask_depth_lots"]) == (100, 15)
    assert statistics["imbalance_ppm"] == 85 * 1_000_000 // 115


def test_the_delay_from_engine_to_topic_is_told_by_its_quantiles_once_a_second_has_passed() -> None:
    symbol = SymbolFold(0, INSTRUMENTS)
    for number in range(100):
        trade = example("trades", "trade", seq=number + 1, received_ns=START_NS)
        symbol.apply("trades", number, START_NS + (number + 1) * 1_000_000, [trade])
    assert "topic_delay_us_p50" not in symbol.take().messages[-1].event
    late = example("trades", "trade", seq=101, received_ns=START_NS)
    symbol.apply("trades", 100, START_NS + 2_000_000_000, [late])
    event = symbol.take().messages[-1].event
    assert (event["topic_delay_us_p50"], event["topic_delay_us_p99"]) == (50_000, 99_000)


def test_balances_keep_the_newest_of_each_account_and_asset_and_every_deposit() -> None:
    firm = FirmFold(0, INSTRUMENTS)
    told = [
        example("balances", "deposit", seq=12, n=0, free_units=5),
        example("balances", "balance", seq=12, n=2**32 - 1, free_units=7),
        example("balances", "balance", seq=11, n=2**32 - 1, free_units=6),
        example("balances", "balance", seq=12, n=2**32 - 1, free_units=9, account=2),
    ]
    assert firm.apply("balances", 0, START_NS, told) == []
    rows = firm.take().rows
    assert len(rows["cash_flows"]) == 1
    balances = [dict(zip(COLUMNS["balances"], row, strict=True)) for row in rows["balances"]]
    assert {(b["account"], b["seq"], b["free_units"]) for b in balances} == {(1, 12, 7), (2, 12, 9)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"quantity_lots": "2000"}, "quantity_lots must be int, was str"),
        ({"quantity_lots": 1.5}, "quantity_lots must be int, was float"),
        ({"quantity_lots": True}, "quantity_lots must be int, was bool"),
        ({"notional_units": 2**63}, "notional_units must be a number of 64 bits"),
        ({"client_order_id": 2**64}, "client_order_id must be a number of 64 bits"),
        ({"client_order_id": -1}, "client_order_id must be a number of 64 bits"),
        ({"fee_units": -(2**70)}, "fee_units must be a number of 64 bits"),
        ({"symbol": None}, "symbol must be str, was NoneType"),
        ({"type": "unheard of"}, "the type must be one of"),
        ({"type": ["filled"]}, "the type must be one of"),
    ],
)
def test_an_event_that_is_not_as_its_schema_says_is_refused_alone_and_changes_no_state(
    change: dict[str, Any], said: str
) -> None:
    firm = FirmFold(0, INSTRUMENTS)
    good = example("executions", "filled", seq=50)
    (refused,) = firm.apply("executions", 0, START_NS, [example("executions", "filled") | change, good])
    assert (refused.index, refused.code) == (0, "schema_invalid")
    assert said in refused.text
    changes = firm.take()
    assert len(changes.rows["executions"]) == 1
    assert firm.positions[1, "BTC/USD"]["fill_count"] == 1


def test_every_event_of_the_contract_that_analytics_reads_has_its_row() -> None:
    firm, symbol, reference = FirmFold(0, INSTRUMENTS), SymbolFold(0, INSTRUMENTS), ReferenceFold(0)
    for topic in load_topics():
        if topic.name not in (*FIRM_TOPICS, *SYMBOL_TOPICS, *REFERENCE_TOPICS):
            continue
        for event in topic.data["events"]:
            fold: Any = symbol if topic.partition_group == "symbol" else firm
            fold = reference if topic.partition_group == "one" else fold
            assert fold.apply(topic.name, 0, START_NS, [copy.deepcopy(event["example"])]) == []
    tables = {name for fold in (firm, symbol, reference) for name in fold.take().rows}
    assert tables == set(COLUMNS)


def test_texts_of_clients_come_into_the_table_without_what_postgres_refuses() -> None:
    firm = FirmFold(0, INSTRUMENTS)
    firm.apply("executions", 0, START_NS, [example("executions", "accepted", text="a\0b", client_order_id=2**64 - 1)])
    (row,) = firm.take().rows["executions"]
    found = dict(zip(COLUMNS["executions"], row, strict=True))
    assert (found["text"], found["client_order_id"]) == ("a\N{REPLACEMENT CHARACTER}b", -1)
