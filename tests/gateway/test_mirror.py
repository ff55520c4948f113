"""The mirror: beside an engine that runs, stops, dies and comes; and whoever waits for a command."""

from __future__ import annotations

import asyncio
import functools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine_node import _engine
from engine_node.snapshots import write_snapshot
from gateway.errors import OUTCOME_UNKNOWN, ApiError
from gateway.events import Batch, Event
from gateway.market import Market, OrderStatus
from gateway.mirror import Mirror
from gateway.settings import GatewaySettings
from gateway.sources import LocalSource
from schemas import vocabulary as v
from tests.gateway.markets import Records, follow, random_market
from tests.support.aio import in_loop, until
from tests.support.node import Client, Node

REPLAY_ALL = 1 << 40


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "data", snapshot_process=False)
    yield made
    made.end()


def connect(node: Node, secret: bytes) -> Client:
    return Client.connect(node.address(), "admin", secret)


def mirror_of(directory: Path, replay_records: int = REPLAY_ALL) -> tuple[Mirror, Market]:
    settings = GatewaySettings(data=str(directory), replay_records=replay_records)
    mirror = Mirror(LocalSource(directory, replay_records), settings)
    return mirror, Market(mirror, settings)


async def in_thread(function: Callable[..., Any], *arguments: object) -> Any:
    """Blocking calls of the tests' client, beside the mirror's loop."""
    return await asyncio.get_running_loop().run_in_executor(None, functools.partial(function, *arguments))


@in_loop
async def test_a_mirror_follows_an_engine_over_its_end_its_death_and_its_return(node: Node) -> None:
    secret = node.make_key()
    mirror, market = mirror_of(node.directory)
    await mirror.open()
    assert not mirror.live
    assert "a journal must be there" in mirror.trouble
    assert mirror.core.levels(1, v.Side.BUY) == []
    assert mirror.by_name == {}

    await in_thread(node.start)
    client = await in_thread(connect, node, secret)
    await in_thread(client.define_market)
    await until(lambda: mirror.live and "BTC-USD" in mirror.by_name and mirror.core.account(2) is not None)
    assert mirror.trouble == ""
    assert mirror.began_at == 0

    def entered(client: Client, price: int) -> int:
        report = client.ask(client.order(v.Side.BUY, price, 3))
        assert report.kind == v.EventKind.ACCEPTED
        return int(report.order_id)

    first = await in_thread(entered, client, 100)
    await until(lambda: market.order(first))
    client.close()
    for number, price in ((signal.SIGTERM, 101), (signal.SIGKILL, 102)):
        await in_thread(node.stop, number)
        await asyncio.sleep(0.05)
        assert mirror.live
        await in_thread(node.start)
        client = await in_thread(connect, node, secret)
        order_id = await in_thread(entered, client, price)
        order = await until(lambda wanted=order_id: market.order(wanted))
        assert (order.price_ticks, order.status) == (price, OrderStatus.OPEN)
        client.close()
    assert mirror.began_count == 1
    assert [order.price_ticks for order in market.open_orders(1)] == [100, 101, 102]
    await until(lambda: mirror.lag_records() == 0)
    assert mirror.behind_ns() == 0
    await mirror.close()


@in_loop
async def test_whoever_waits_for_a_command_has_its_events_in_the_turn_in_which_it_is_applied(node: Node) -> None:
    secret = node.make_key()
    await in_thread(node.start)
    client = await in_thread(connect, node, secret)
    await in_thread(client.define_market)
    mirror, market = mirror_of(node.directory)
    await mirror.open()
    assert client.answer is not None
    key = client.answer.key
    sell = mirror.when(key, client.sequence + 1)
    buy = mirror.when(key, client.sequence + 2)
    refused = mirror.when(key, client.sequence + 3)
    client.send(
        client.order(v.Side.SELL, 100, 2, account=2),
        client.order(v.Side.BUY, 100, 5, client_order_id=7),
        client.order(v.Side.BUY, 0, 5),
    )
    for _ in range(5):
        await in_thread(client.report)
    mirror.advance()  # as the line does, once the engine has answered
    assert sell.done()
    assert buy.done()
    assert [event.kind for event in sell.result().events] == [
        v.EventKind.ACCEPTED, v.EventKind.BOOK_UPDATE, v.EventKind.TOP,
    ]  # fmt: skip
    kinds = [event.kind for event in buy.result().events]
    assert kinds.count(v.EventKind.FILLED) == 2
    assert v.EventKind.LEVEL3 not in kinds
    order = market.order(buy.result().sequence)
    assert order is not None
    assert (order.client_text, order.filled_lots, order.status) == ("7", 2, OrderStatus.PARTLY)
    [rejected] = refused.result().events
    assert (rejected.kind, rejected.code) == (v.EventKind.REJECTED, v.Code.PRICE_INVALID)
    client.close()
    await mirror.close()


@in_loop
async def test_a_mirror_begins_at_a_snapshot_and_reads_so_much_before_the_end_as_it_is_told(tmp_path: Path) -> None:
    records, options = random_market(3, 400)
    sealed = _engine.seal(records)
    (tmp_path / "journal").mkdir()
    writer = _engine.JournalWriter(
        str(tmp_path / "journal"), shard=0, segment_records=4096, core_options=_engine.Core(**options).options()
    )
    writer.append(sealed)
    writer.close()
    core, taken = _engine.Core(**options), []
    for part in range(1, 4):
        target = len(sealed) // 64 * part // 4
        piece = sealed[core.sequence() * 64 : target * 64]
        core.apply(piece[: core.group_bytes(piece)])
        taken.append(core.sequence())
        write_snapshot(tmp_path / "snapshots", core.save(), sequence=core.sequence(), digest=core.digest())
    core.apply(sealed[core.sequence() * 64 :])
    total = core.sequence()
    for replay, before, begins in (
        (0, None, taken[2]), (total - taken[1], None, taken[1]), (0, taken[1], taken[1]), (0, taken[1] - 1, taken[0]),
        (REPLAY_ALL, None, 0), (0, 0, 0), (0, total, taken[2]),
    ):  # fmt: skip
        mirror, _ = mirror_of(tmp_path, replay)
        await mirror.open(before)
        assert mirror.trouble == ""
        assert (mirror.began_at, mirror.core.digest()) == (begins, core.digest())
        await mirror.close()


@in_loop
async def test_who_gave_up_or_asked_twice_for_a_command_hurts_nobody() -> None:
    records, options = random_market(1, 200)
    source = Records(records, part=1, **options)
    settings = GatewaySettings()
    mirror = Mirror(source, settings)
    closing = next(at for at in range(0, len(records), 64) if records[at] == v.Kind.NEW_ORDER)
    key = int.from_bytes(records[closing + 48 : closing + 52], "little")
    client_sequence = int.from_bytes(records[closing + 2 : closing + 8], "little") - 2
    gone, forgotten, replaced = (mirror.when(key, client_sequence + n) for n in range(3))
    gone.cancel()
    mirror.forget(key, client_sequence + 1)
    again = mirror.when(key, client_sequence + 2)
    await mirror.open()
    assert not forgotten.done()
    assert not replaced.done()
    found = again.result()
    at = (found.sequence - 1) * 64
    assert int.from_bytes(records[at + 2 : at + 8], "little") == client_sequence + 2
    assert found.received_ns == int.from_bytes(records[at + 56 : at + 64], "little")
    assert {event.sequence for event in found.events} == {found.sequence}
    await mirror.close()


@in_loop
async def test_a_listener_that_fails_makes_the_mirror_begin_anew_and_those_who_wait_are_told() -> None:
    records, options = random_market(1, 300)
    source = Records(records, part=4, **options)
    core = _engine.Core(**options)
    core.apply(records)
    mirror = Mirror(source, GatewaySettings())
    market = Market(mirror, GatewaySettings())
    begun = []
    mirror.on_begin(lambda: begun.append(mirror.sequence))

    def fail_once(batch: Batch) -> None:
        if batch.first_sequence > 100 and len(begun) == 1:
            source.snapshot = core.save()
            raise ValueError("out of order")

    mirror.on_batch(fail_once)
    last = core.key(1)
    assert last is not None
    waiting, future = mirror.when(1, last["last_client_sequence"]), mirror.when(1, last["last_client_sequence"] + 1)
    await mirror.open()
    assert not mirror.live
    assert mirror.trouble == "ValueError: out of order"
    await until(lambda: mirror.live)
    assert begun == [0, core.sequence()]
    assert (mirror.trouble, mirror.core.digest()) == ("", core.digest())
    assert {order.order_id for account in (1, 2, 3) for order in market.open_orders(account)} == {
        order["order_id"] for account in (1, 2, 3) for order in core.account_orders(account)
    }
    with pytest.raises(ApiError) as refused:
        waiting.result()
    assert refused.value.problem is OUTCOME_UNKNOWN
    assert not future.done()
    await mirror.close()


def test_events_are_read_as_the_vocabulary_says() -> None:
    report = v.Report(
        kind=3, flags=5, code=6, instrument=7, account=8, n=9, key=65_535, report_number=2**40 + 3, sequence=11,
        received_ns=12, order_id=2**64 - 1, client_order_id=14, price_ticks=-1, quantity_lots=16, remaining_lots=17,
        reference=2**64 - 2, amount_units=-19,
    )  # fmt: skip
    records, options = random_market(1, 50)
    told: list[Event] = []
    mirror, _ = follow(Records(records, **options), lambda mirror, _: mirror.on_batch(lambda b: told.extend(b.events)))
    assert mirror.event_count == len(told)
    from gateway.events import read_events

    [event] = read_events(report.pack())
    for name in v.Report.__slots__:
        assert getattr(event, name) == getattr(report, name), name
    assert event.sells
    assert event.done
