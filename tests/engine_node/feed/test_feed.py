"""The compiled feed against the slow reference, the contract and the core, on random streams of every kind."""

from __future__ import annotations

import collections
import itertools
import json
import random
import struct
import subprocess
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine_node._engine import Core, CoreRecord, Feed
from schemas import vocabulary as v
from schemas.topics import load_topics
from tests.support.contract import check_event
from tests.support.feed_reference import Encoder, Group, as_json, decimals_of, fixed, market, partition, read_events

if TYPE_CHECKING:
    from engine_node._engine import FeedMessage

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = ROOT / "build" / "release" / "tools" / "commands"
PROFILES = ["calm", "limits", "wild", "selftrade", "huge", "poor", "terms", "money", "auctions"]
COMMAND_COUNT = 800
STATE_N = 2**32 - 1
CAPACITIES = {"nonce_window_ns": 1_000_000_000, "nonce_count_max": 65_536, "event_mask": 11}
BATCHED = ("executions", "balances", "trades", "book", "market.state")
Groups = list[Group]


def random_groups(profile: str, seed: int, count: int = COMMAND_COUNT) -> Groups:
    """Groups of records that a core takes one after the other."""
    assert COMMANDS.exists(), "make build makes the tools that the tests call"
    done = subprocess.run([COMMANDS, profile, str(seed), str(count)], capture_output=True, timeout=120, check=True)
    groups, at = [], 0
    while at < len(done.stdout):
        void_count, count = struct.unpack_from("<II", done.stdout, at)
        end = at + 8 + (void_count + count) * v.RECORD_BYTES
        groups.append(Group(done.stdout[at + 8 : end], void_count))
        at = end
    return groups


def new_core() -> Core:
    return Core(**CAPACITIES)


def joined(groups: Groups) -> bytes:
    return b"".join(group.records for group in groups)


def batches_of(groups: Groups, size: int) -> Iterator[Groups]:
    for at in range(0, len(groups), size):
        yield groups[at : at + size]


def events_of(message: FeedMessage) -> list[dict[str, Any]]:
    found = json.loads(message[3])
    return found if isinstance(found, list) else [found]


def told(messages: Sequence[FeedMessage]) -> dict[tuple[str, int], list[bytes]]:
    """Events of the engine by topic and partition, each as it stands there; states aside."""
    out = collections.defaultdict(list)
    for topic, place, _, value, *_ in messages:
        if topic in BATCHED:
            out[topic, place] += [as_json(event) for event in json.loads(value) if event["n"] != STATE_N]
    return {key: events for key, events in out.items() if events}


def all_messages(groups: Groups, feed: Feed, core: Core, flush_every: int = 100) -> list[FeedMessage]:
    messages = []
    for batch in batches_of(groups, flush_every):
        feed.apply(core, joined(batch))
        messages += feed.take(True, True)
    return messages


# ---- Events ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
def test_every_event_stands_in_its_partition_as_the_reference_writes_it(profile: str) -> None:
    groups = random_groups(profile, seed=31)
    encoder = Encoder(new_core(), shard=3, firm_partitions=5, symbol_partitions=3)
    expected = collections.defaultdict(list)
    for group in groups:
        for topic, place, event in encoder.apply(group):
            expected[topic, place].append(as_json(event))
    messages = all_messages(groups, Feed(shard=3, firm_partitions=5, symbol_partitions=3), new_core())
    assert told(messages) == expected
    assert sum(map(len, expected.values())) > COMMAND_COUNT


@pytest.mark.parametrize("profile", PROFILES)
def test_every_message_is_json_of_the_contract_and_says_what_is_in_it(profile: str) -> None:
    counts = load_topics()
    for topic, place, key, value, count, first, last in all_messages(random_groups(profile, 8), Feed(), new_core()):
        events = json.loads(value)
        assert isinstance(events, list) is (topic in BATCHED)
        events = events if topic in BATCHED else [events]
        assert len(events) == count
        assert (events[0]["seq"], events[0]["n"]) == first
        assert (events[-1]["seq"], events[-1]["n"]) == last
        assert place < counts[topic].partitions_count
        for event in events:
            check_event(topic, event)
        assert key == key_of(topic, events)


def key_of(topic: str, events: list[dict[str, Any]]) -> bytes | None:
    """The one key that all events of a message have, if it is one."""
    field = {
        "executions": "firm",
        "balances": "firm",
        "assets": "asset_number",
        "instruments": "instrument",
        "accounts": "account",
    }.get(topic, "symbol")
    keys = {str(event.get(field, "")) for event in events}
    return keys.pop().encode() or None if len(keys) == 1 else None


@pytest.mark.parametrize("profile", ["wild", "auctions"])
def test_places_rise_within_each_partition(profile: str) -> None:
    last: dict[tuple[str, int], tuple[int, int]] = {}
    for message in all_messages(random_groups(profile, 9), Feed(), new_core()):
        if message[0] not in BATCHED:
            continue
        for event in events_of(message):
            place, before = (event["seq"], event["n"]), last.get(message[:2], (0, 0))
            assert place > before or (place == before and place[1] == STATE_N)
            last[message[:2]] = place


def test_chunks_of_the_core_of_any_size_give_the_same_bytes() -> None:
    groups = random_groups("auctions", 10)
    large = all_messages(groups, Feed(), new_core())
    assert all_messages(groups, Feed(chunk=64), new_core()) == large
    assert all_messages(groups, Feed(chunk=100), new_core()) == large


def test_one_apply_or_many_tell_the_same_events() -> None:
    groups = random_groups("calm", 11)
    at_once = told(all_messages(groups, Feed(), new_core(), len(groups)))
    assert told(all_messages(groups, Feed(), new_core(), 1)) == at_once


def test_a_core_that_went_on_without_the_feed_is_told_as_it_is_then() -> None:
    groups = random_groups("money", 12)
    feed, core, other = Feed(), new_core(), new_core()
    for number, group in enumerate(groups):
        if number % 3:
            core.apply(group.records)
            other.apply(group.records)
            continue
        expected: dict[tuple[str, int], list[bytes]] = collections.defaultdict(list)
        for topic, place, event in Encoder(other).apply(group):
            expected[topic, place].append(as_json(event))
        feed.apply(core, group.records)
        assert told(feed.take(True)) == expected


# ---- Batches --------------------------------------------------------------------------------------------------------


def test_batches_are_cut_by_count_and_only_full_ones_leave_before_a_flush() -> None:
    feed, core = Feed(batch_count_max=7), new_core()
    feed.apply(core, joined(random_groups("calm", 13)))
    full = [message for message in feed.take(False) if message[0] in BATCHED]
    assert full
    assert {message[4] for message in full} == {7}
    rest = [message for message in feed.take(True) if message[0] in BATCHED and message[0] != "balances"]
    assert rest
    assert all(0 < message[4] < 7 for message in rest)
    assert feed.take(True, True) != []  # the books, which changed too
    assert feed.take(True, True) == []


def test_batches_are_cut_by_bytes_just_where_one_event_more_would_not_fit() -> None:
    limit = 20_000
    feed = Feed(message_bytes_max=limit, batch_count_max=100_000)
    messages = all_messages(random_groups("calm", 14), feed, new_core(), 1_000_000)
    by_place = collections.defaultdict(list)
    for message in messages:
        if message[0] in BATCHED:
            by_place[message[:2]].append(message[3])
    cut = 0
    for values in by_place.values():
        assert all(len(value) <= limit for value in values)
        for value, following in itertools.pairwise(values):
            first = json.dumps(json.loads(following)[0], separators=(",", ":"), ensure_ascii=False).encode()
            assert len(value) + 1 + len(first) > limit
            cut += 1
    assert cut > 10


def test_the_limits_are_those_of_the_contract() -> None:
    limits = load_topics().limits
    header = (ROOT / "engine_node/feed/feed.h").read_text()
    assert f"#define FEED_BATCH_COUNT_MAX {limits['batch_count_max']}u" in header
    assert f"#define FEED_MESSAGE_BYTES_MAX {limits['message_bytes_max']}u" in header


def test_partitions_are_those_of_the_java_client() -> None:
    assert (partition("1", 2**31), partition("42", 2**31), partition("BTC/USD", 2**31)) == (
        154038159,
        417700972,
        914443021,
    )


# ---- States ---------------------------------------------------------------------------------------------------------


def balances(core: Core) -> dict[tuple[int, int], tuple[int, int]]:
    found = {(account, asset): core.balance(account, asset) for account in range(1, 32) for asset in range(1, 8)}
    return {place: balance for place, balance in found.items() if balance is not None}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_balance_that_changed_is_told_as_it_is_now(profile: str) -> None:
    groups = random_groups(profile, 15)
    feed, core = Feed(), new_core()
    before: dict[tuple[int, int], tuple[int, int]] = {}
    for batch in batches_of(groups, 20):
        feed.apply(core, joined(batch))
        states = {}
        for topic, place, _, value, *_ in feed.take(True):
            for event in json.loads(value) if topic == "balances" else []:
                if event["type"] != "balance":
                    continue
                assert (event["seq"], event["received_ns"]) == (core.sequence(), core.received_ns())
                whose: Any = core.account(event["account"])
                assert event["firm"] == whose["firm"]
                assert place == partition(str(event["firm"]), 8)
                assert event["free"] == amount(core, event["asset_number"], event["free_units"])
                assert event["locked"] == amount(core, event["asset_number"], event["locked_units"])
                states[event["account"], event["asset_number"]] = event["free_units"], event["locked_units"]
        now = balances(core)
        changed = {place for place in now if now[place] != before.get(place)}
        assert changed <= states.keys()
        assert {place: now[place] for place in states} == states
        before = now


def amount(core: Core, asset: int, units: int) -> str:
    decimals: Any = core.asset(asset)
    return fixed(Fraction(units, 10 ** decimals["decimals"]), decimals["decimals"])


def top_of(core: Core, number: int, last_ticks: int) -> dict[str, Any]:
    """The fields of a top, as the core has it now."""
    found: Any = core.instrument(number)
    named = market(core, number)
    assert named is not None
    top: dict[str, Any] = {"symbol": named.symbol, "instrument": number, "update_id": found["book_update_id"]}
    for name, side in (("bid", v.Side.BUY), ("ask", v.Side.SELL)):
        for ticks, lots, _ in core.levels(number, side, 1):
            top |= {f"{name}_price": named.price(ticks), f"{name}_price_ticks": ticks, f"{name}_quantity_lots": lots}
    if last_ticks:
        top |= {"last_price": named.price(last_ticks), "last_price_ticks": last_ticks}
    return top | {"last_trade_id": found["trade_id"]}


@pytest.mark.parametrize("profile", PROFILES)
def test_tops_and_books_that_changed_are_told_as_they_are_now(profile: str) -> None:
    groups = random_groups(profile, 16)
    feed, core, twin = Feed(), new_core(), new_core()
    last_ticks: dict[int, int] = collections.defaultdict(int)
    told_tops: dict[int, dict[str, Any]] = {}
    told_books: dict[int, dict[str, Any]] = {}
    for batch in batches_of(groups, 20):
        feed.apply(core, joined(batch))
        for raw in read_events(twin.apply(joined(batch))):
            if raw.kind == v.EventKind.TRADE:
                last_ticks[raw.instrument] = raw.price_ticks
        for topic, place, key, value, *_ in feed.take(True, True):
            if topic not in ("book.top", "book.snapshots"):
                continue
            event = json.loads(value)
            assert (event.pop("seq"), event.pop("n"), event.pop("received_ns")) == (
                core.sequence(),
                STATE_N,
                core.received_ns(),
            )
            assert event["symbol"].encode() == key
            assert place == partition(event["symbol"], 8)
            (told_tops if topic == "book.top" else told_books)[event["instrument"]] = event
        for number in range(1, 16):
            named = market(core, number)
            if named is None:
                continue
            top = top_of(core, number, last_ticks[number])
            kept = told_tops[number]
            assert {**kept, "update_id": top["update_id"]} == {"type": "top", "shard": 0} | top
            book = told_books[number]
            found: Any = core.instrument(number)
            assert book["update_id"] == found["book_update_id"]
            for name, side in (("bids", v.Side.BUY), ("asks", v.Side.SELL)):
                assert book[name] == [
                    [named.price(ticks), named.quantity(lots), ticks, lots, orders]
                    for ticks, lots, orders in core.levels(number, side, 1000)
                ]


def definition_of(core: Core, topic: str, number: int) -> dict[str, Any]:
    """The fields of a definition, as the core has it now."""
    found: Any
    if topic == "assets":
        found = core.asset(number)
        return {"asset_number": number, "asset": found["name"], "decimals": found["decimals"]}
    if topic == "accounts":
        found = core.account(number)
        names = ("account", "firm", "fee_tier", "open_orders_max", "order_rate_max", "order_rate_window_ms")
        more = ("notional_units_max", "position_lots_max", "quantity_lots_max")
        return {name: found[name] for name in (*names, *more)} | {"halted": bool(found["halted"])}
    found = core.instrument(number)
    named = market(core, number)
    base: Any = core.asset(found["base_asset"])
    assert named is not None
    same = ("base_asset", "quote_asset", "base_units_per_lot", "quote_units_per_tick_lot", "maker_fee_ppm")
    more = ("taker_fee_ppm", "quantity_lots_min", "quantity_lots_max", "notional_units_min", "collar_ppm")
    return {name: found[name] for name in (*same, *more)} | {
        "instrument": number,
        "symbol": named.symbol,
        "base": base["name"],
        "quote": named.quote,
        "base_decimals": base["decimals"],
        "quote_decimals": named.quote_decimals,
        "tick_size": named.price(1),
        "lot_size": named.quantity(1),
        "price_decimals": decimals_of(named.tick) or 0,
        "quantity_decimals": decimals_of(named.lot),
        "state": v.TradingState(found["trading_state"]).name.lower(),
        "price_steps": [list(step) for step in core.price_steps(number)],
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_definitions_that_changed_are_told_as_they_are_now(profile: str) -> None:
    groups = random_groups(profile, 17)
    feed, core = Feed(), new_core()
    known: dict[tuple[str, int], dict[str, Any]] = {}
    for batch in batches_of(groups, 25):
        feed.apply(core, joined(batch))
        for topic, place, key, value, *_ in feed.take(False):
            if topic not in ("assets", "instruments", "accounts"):
                continue
            assert place == 0
            event = json.loads(value)
            assert event["seq"] == core.sequence()
            for name in ("type", "shard", "seq", "n", "received_ns", "reference_price_ticks"):
                event.pop(name, None)  # the reference price follows every trade and is told only with something else
            known[topic, int(key or b"0")] = event
        ask = {"assets": core.asset, "instruments": core.instrument, "accounts": core.account}
        there = {(topic, number) for topic in ask for number in range(1, 32) if find(ask[topic], number)}
        assert known == {(topic, number): definition_of(core, topic, number) for topic, number in there}


def find(ask: Any, number: int) -> bool:
    return ask(number) is not None


def test_definitions_come_before_what_may_speak_of_them() -> None:
    feed = Feed(batch_count_max=5)
    feed.apply(new_core(), joined(random_groups("calm", 18)))
    messages = feed.take(True)
    definitions = [message[0] in ("assets", "instruments", "accounts") for message in messages]
    assert definitions == sorted(definitions, reverse=True)
    assert any(definitions)


def test_all_of_a_core_can_be_told_at_once() -> None:
    core = new_core()
    for group in random_groups("calm", 19):
        core.apply(group.records)
    feed = Feed()
    feed.touch_everything(core)
    messages = feed.take(True, True)
    counts = collections.Counter(message[0] for message in messages)
    states = [event for message in messages if message[0] == "balances" for event in events_of(message)]
    assert {(event["account"], event["asset_number"]) for event in states} == balances(core).keys()
    instruments = [number for number in range(1, 16) if core.instrument(number) is not None]
    assert counts["instruments"] == counts["book.top"] == counts["book.snapshots"] == len(instruments)
    assert counts["accounts"] == len([number for number in range(1, 32) if core.account(number) is not None])
    assert counts["assets"] == len([number for number in range(1, 16) if core.asset(number) is not None])


# ---- Errors ---------------------------------------------------------------------------------------------------------


def test_a_bad_group_is_an_error_and_those_before_it_are_told() -> None:
    groups = random_groups("calm", 20, 200)
    feed, core, twin = Feed(), new_core(), new_core()
    with pytest.raises(CoreRecord):
        feed.apply(core, joined(groups) + bytes(64))
    expected = [event for group in groups for event in Encoder(twin).apply(group)]
    assert core.sequence() == twin.sequence()
    assert sum(map(len, told(feed.take(True)).values())) == len(expected)


def test_records_must_be_whole_and_the_core_a_core() -> None:
    feed, core = Feed(), new_core()
    with pytest.raises(ValueError, match="records must be a multiple of 64 bytes, were 63"):
        feed.apply(core, bytes(63))
    with pytest.raises(TypeError, match="a Core is needed, was int"):
        feed.apply(1, b"")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="firm_partitions must be from 1 to 65536, was 0"):
        Feed(firm_partitions=0)
    with pytest.raises(ValueError, match="message_bytes_max must be from 16384"):
        Feed(message_bytes_max=100)
    assert feed.take(True, True) == []


def test_records_anywhere_in_memory_are_taken() -> None:
    groups = random_groups("calm", 21, 300)
    records = joined(groups)
    feed, core = Feed(), new_core()
    feed.apply(core, memoryview(b"x" + records)[1:])
    assert feed.take(True, True) == all_messages(groups, Feed(), new_core(), len(groups))


# ---- All of it ------------------------------------------------------------------------------------------------------


def test_every_kind_of_event_of_the_contract_is_told() -> None:
    seen, texts = set(), set()
    for profile in ("auctions", "money", "terms", "huge"):
        for message in all_messages(random_groups(profile, 31, 4_000), Feed(), new_core()):
            for event in events_of(message):
                seen.add((message[0], event["type"]))
                texts.add(event.get("price", ""))
    contract = load_topics()
    topics = [*BATCHED, "book.top", "book.snapshots", "assets", "instruments", "accounts"]
    assert seen == {(topic, event["type"]) for topic in topics for event in contract[topic].data["events"]}
    assert any("/" in text for text in texts), "a tick without a decimal text must be among them"


def record(command: v.Text | v.NewOrder) -> bytes:
    return command.pack() + struct.pack("<IIQ", 1, 0, 1_790_000_000_000_000_000)


def test_a_text_of_any_bytes_is_told_as_valid_json() -> None:
    choice = random.Random(23)
    pieces = [b"\xc3\xa9", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b'"', b"\\", b"\n", b"\x7f", b"\xe2\x82", b"a"]
    texts = [bytes(choice.randrange(1, 256) for _ in range(36)) for _ in range(200)]
    texts += [b"".join(choice.choices(pieces, k=9))[:36].ljust(36, b"\0") for _ in range(500)]
    records = b""
    for number, text in enumerate(texts):
        records += record(v.Text(client_sequence=2 * number + 1, text=text))
        records += record(v.NewOrder(client_sequence=2 * number + 2, account=1))
    feed, core = Feed(), new_core()
    feed.apply(core, records)
    told_texts = [event["text"] for message in feed.take(True) for event in events_of(message)]
    assert told_texts == [text.split(b"\0")[0].decode(errors="replace") for text in texts]
