"""The line to the engine, on a real one: each command is entered once or not at all, and its caller is told which."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine_node import _engine
from gateway.errors import ENGINE_AWAY, OUTCOME_UNKNOWN, ApiError
from gateway.line import Line, pack_nonce
from gateway.mirror import Mirror
from gateway.settings import GatewaySettings
from gateway.sources import open_source
from ironbook import Key
from ironbook._commands import Prefixed, pack_cancel, pack_one, pack_order, pack_text
from schemas.vocabulary import (
    Code,
    EventKind,
    Halt,
    HaltAction,
    HaltScope,
    MassCancel,
    OrderLink,
    Permission,
    Side,
)
from tests.support.aio import in_loop, until
from tests.support.gateway import Stack
from tests.support.node import Client, Node, wait_until

GATEWAY = Permission.TRADE | Permission.CANCEL | Permission.READ | Permission.DELEGATE
PRICE = 1000


class HeldMirror(Mirror):
    """A mirror that can be told to lag."""

    held = False

    def advance(self) -> int:
        return 0 if self.held else super().advance()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    yield from market(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """For tests that leave it as it was: each makes a key of its own."""
    yield from market(tmp_path_factory.mktemp("shared"))


def market(directory: Path, **settings: Any) -> Iterator[Node]:
    made = Node(directory, nonce_count_max=1 << 16, **settings)
    secret = made.make_key("admin")
    made.start()
    client = Client.connect(made.address(), "admin", secret)
    client.define_market()
    client.close()
    try:
        yield made
    finally:
        made.end()


@asynccontextmanager
async def lined(
    node: Node,
    key_id: str = "gateway",
    *,
    timeout_s: float = 10.0,
    place: tuple[str, int] | None = None,
    make: type[Line] = Line,
) -> AsyncIterator[tuple[Line, HeldMirror]]:
    if key_id not in {key.key_id for key in node.keys().load().live()}:
        node.make_key(key_id, permissions=GATEWAY)

    def key() -> Key:
        return Key(key_id=key_id, secret=node.keys().load().find(key_id).secrets[-1].value)

    settings = dataclasses.replace(GatewaySettings(), data=str(node.directory))
    mirror = HeldMirror(open_source(settings), settings)
    await mirror.open()
    line = make(lambda: place or address(node), key, mirror, timeout_s=timeout_s, now_ns=time.time_ns)
    await line.open()
    await until(lambda: line.connected)
    try:
        yield line, mirror
    finally:
        await line.close()
        await mirror.close()


def address(node: Node) -> tuple[str, int]:
    state = node.state()
    if state is None:
        raise ConnectionError("no engine runs")
    return node.address()


def order(price: int = PRICE, side: int = Side.BUY, quantity: int = 5, number: int = 0, account: int = 1) -> bytes:
    return pack_order(account, 1, side, price, quantity, number)


async def refusal(future: asyncio.Future[Any]) -> Any:
    with pytest.raises(ApiError) as caught:
        await future
    return caught.value.problem


def kinds(applied: Any) -> list[int]:
    return [event.kind for event in applied.events if event.key]


# ---- Ordinary life ---------------------------------------------------------------------------------------------------


@in_loop
async def test_an_order_is_answered_with_every_event_it_caused(shared: Node) -> None:
    async with lined(shared, "every") as (line, _):
        resting = await line.submit_parts((order(2000, Side.SELL, 3),))
        taker = await line.submit_parts((order(2000, Side.BUY, 5, account=2),))
        assert kinds(resting) == [EventKind.ACCEPTED]
        assert kinds(taker) == [EventKind.ACCEPTED, EventKind.FILLED, EventKind.FILLED]
        assert {event.account for event in taker.events if event.kind == EventKind.FILLED} == {1, 2}
        await line.submit_parts((pack_cancel(2, 1, taker.sequence),))


@in_loop
async def test_prefixes_count_and_reach_the_journal(shared: Node) -> None:
    async with lined(shared, "prefixes") as (line, mirror):
        nonce = pack_nonce(os.urandom(16), time.time_ns())
        first = await line.submit_parts((pack_text("my-order"), nonce, order()))
        second = await line.submit_parts((nonce, order()))
        assert kinds(first) == [EventKind.ACCEPTED]
        assert [event.code for event in second.events] == [Code.NONCE_REPEATED]
        number = line.key_number
        assert mirror.core.key(number)["last_client_sequence"] == 5  # type: ignore[index]
        await line.submit_parts((pack_cancel(1, 1, first.sequence),))


@in_loop
async def test_commands_of_one_turn_keep_their_order_and_leave_together(shared: Node) -> None:
    async with lined(shared, "many") as (line, _):
        futures = [line.submit_parts((order(100 + n),)) for n in range(500)]
        found = await asyncio.gather(*futures)
        assert [applied.sequence for applied in found] == sorted(applied.sequence for applied in found)
        assert [applied.events[0].price_ticks for applied in found] == list(range(100, 600))
        cancelled = await line.submit(MassCancel(account=1))
        assert [event.quantity_lots for event in cancelled.events if event.kind == EventKind.APPLIED] == [500]
        await until(lambda: line.waiting_count == 0)  # the mirror may have told before the engine did


@in_loop
async def test_linked_commands_are_sent_in_their_order(shared: Node) -> None:
    async with lined(shared, "linked") as (line, _):
        first = await line.submit_parts((order(number=7),))
        link = OrderLink(target_client_order_id=7, action=2)
        cancel, entry = (pack_cancel(1, 1, first.sequence),), (order(PRICE + 1, number=8),)
        groups = [cancel, entry, (pack_one(link), order(number=9))]
        gone, second, refused = await asyncio.gather(*line.submit_linked(groups))
        assert (kinds(gone), kinds(second)) == ([EventKind.CANCELLED], [EventKind.ACCEPTED])
        assert [event.code for event in refused.events] == [Code.UNKNOWN_ORDER]
        await line.submit_parts((pack_cancel(1, 1, second.sequence),))


@in_loop
async def test_what_the_core_rejects_is_an_answer_too(shared: Node) -> None:
    async with lined(shared, "rejects") as (line, _):
        unknown = await line.submit_parts((pack_cancel(1, 1, 999_999),))
        assert [(event.kind, event.code) for event in unknown.events] == [(EventKind.REJECTED, Code.UNKNOWN_ORDER)]
        forbidden = await line.submit(Halt(scope=HaltScope.EVERYTHING, action=HaltAction.HALT))
        assert [event.code for event in forbidden.events] == [Code.KIND_FORBIDDEN], "recorded as refused"
        assert kinds(await line.submit(Prefixed(command=MassCancel(account=1), text="why"))) == [EventKind.APPLIED]


@in_loop
async def test_an_idle_line_is_kept_alive(tmp_path: Path) -> None:
    for node in market(tmp_path, idle_ms=600):
        async with lined(node) as (line, _):
            await asyncio.sleep(1.5)
            assert kinds(await line.submit_parts((order(),))) == [EventKind.ACCEPTED]
            assert line.connect_count == 1


# ---- What goes wrong -------------------------------------------------------------------------------------------------


@in_loop
async def test_without_an_engine_nothing_is_entered_and_the_caller_is_told_at_once(node: Node) -> None:
    async with lined(node) as (line, _):
        node.stop()
        await until(lambda: not line.connected)
        with pytest.raises(ApiError) as caught:
            line.submit_parts((order(),))
        assert (caught.value.problem, caught.value.retry_after) == (ENGINE_AWAY, 1)
        node.start()
        await until(lambda: line.connected)
        assert kinds(await line.submit_parts((order(),))) == [EventKind.ACCEPTED]


@in_loop
async def test_a_killed_engine_loses_no_order_and_enters_none_twice(node: Node) -> None:
    """kill -9 under load, three times. What was told as entered is in the journal, what was told as not is not."""
    told: dict[int, str] = {}

    async def trader(line: Line, first: int) -> None:
        for number in range(first, first + 400):
            try:
                applied = await line.submit_parts((order(number=number),))
                assert applied.events[0].client_order_id == number
                told[number] = "entered"
            except ApiError as error:
                told[number] = "not entered" if error.problem is ENGINE_AWAY else "unknown"
                await asyncio.sleep(0.002)

    async def killer(line: Line) -> None:
        for _ in range(3):
            sent = line.sent_count
            await until(lambda sent=sent: line.sent_count > sent + 150)
            node.tell(signal.SIGKILL)
            assert node.process is not None
            await asyncio.to_thread(node.process.wait)
            await asyncio.to_thread(node.stop)
            await asyncio.to_thread(node.start)
            await until(lambda: line.connected)

    async with lined(node, timeout_s=20.0) as (line, mirror):
        await asyncio.gather(killer(line), *(trader(line, 1 + 1000 * n) for n in range(8)))
        await until(lambda: line.waiting_count == 0)
        mirror.advance()
        assert line.connect_count == 4
        open_orders: list[dict[str, int]] = []
        while page := mirror.core.account_orders(1, skip=len(open_orders)):
            open_orders += page
        entered = [one["client_order_id"] for one in open_orders]
    assert len(entered) == len(set(entered)), "no order is there twice"
    assert set(entered) == {number for number, what in told.items() if what == "entered"}
    assert len(told) == 8 * 400
    assert "unknown" not in told.values(), "the engine came back in time, so each outcome is known"


@in_loop
async def test_what_is_not_answered_in_time_is_told_to_be_unknown_and_may_have_been_entered(shared: Node) -> None:
    async with lined(shared, "slow", timeout_s=0.2) as (line, mirror):
        shared.tell(signal.SIGSTOP)
        try:
            future = line.submit_parts((order(number=4711),))
            assert await refusal(future) is OUTCOME_UNKNOWN
            assert line.timeout_count == 1
        finally:
            shared.tell(signal.SIGCONT)
        await until(lambda: mirror.core.account_orders(1))
        again = await line.submit_parts((order(number=4711),))
        assert [event.code for event in again.events] == [Code.DUPLICATE_CLIENT_ORDER_ID], "it was entered"
        await line.submit(MassCancel(account=1))


@in_loop
async def test_a_mirror_that_lags_makes_outcomes_unknown_not_wrong(shared: Node) -> None:
    async with lined(shared, "lagging", timeout_s=0.2) as (line, mirror):
        mirror.held = True
        future = line.submit_parts((order(),))
        with pytest.raises(ApiError) as caught:
            await future
        assert caught.value.problem is OUTCOME_UNKNOWN
        assert "recorded" in caught.value.detail
        mirror.held = False
        assert kinds(await line.submit_parts((order(),))) == [EventKind.ACCEPTED]
        await line.submit(MassCancel(account=1))


@in_loop
async def test_reports_that_a_survival_level_holds_back_make_outcomes_unknown_until_it_passes(tmp_path: Path) -> None:
    node = Node(tmp_path, survival_level="cluster")
    secret = node.make_key("admin")
    node.start()
    shipper = _engine.JournalReader(str(tmp_path / "journal"))
    shipping = True

    def ship() -> None:
        if shipping:
            shipper.ship(shipper.shippable())

    async def ship_on() -> None:
        while True:
            ship()
            await asyncio.sleep(0.002)

    task = asyncio.get_running_loop().create_task(ship_on())
    try:
        client = await asyncio.to_thread(Client.connect, node.address(), "admin", secret)
        await asyncio.to_thread(client.define_market)
        client.close()
        async with lined(node, timeout_s=0.4) as (line, mirror):
            await line.submit_parts((order(),))
            shipping = False
            assert await refusal(line.submit_parts((order(number=5),))) is OUTCOME_UNKNOWN
            assert not [one for one in mirror.core.account_orders(1) if one["client_order_id"] == 5]
            shipping = True
            await until(lambda: [one for one in mirror.core.account_orders(1) if one["client_order_id"] == 5])
            assert kinds(await line.submit_parts((order(),))) == [EventKind.ACCEPTED]
            assert line.connect_count == 1
    finally:
        task.cancel()
        shipper.close()
        node.end()


@in_loop
async def test_what_the_engine_has_no_room_for_is_taken_back_and_later_orders_go_on(tmp_path: Path) -> None:
    for node in market(tmp_path, order_count_max=64):
        async with lined(node) as (line, _):
            futures = [line.submit_parts((pack_text(f"o{n}"), order(number=n + 1))) for n in range(100)]
            found = await asyncio.gather(*futures, return_exceptions=True)
            entered = [one for one in found if not isinstance(one, BaseException)]
            refused = [one for one in found if isinstance(one, ApiError)]
            assert len(entered) + len(refused) == 100
            assert refused
            assert {one.problem for one in refused} == {ENGINE_AWAY}
            assert all("nothing was entered" in one.detail for one in refused)
            cancelled = await line.submit(MassCancel(account=1))
            [count] = [event.quantity_lots for event in cancelled.events if event.kind == EventKind.APPLIED]
            assert count == len(entered)
            assert kinds(await line.submit_parts((pack_text("more"), order()))) == [EventKind.ACCEPTED]
            assert line.connect_count == 1


@in_loop
async def test_a_session_that_another_takes_over_comes_back(shared: Node) -> None:
    async with lined(shared, "twice") as (line, _):
        secret = shared.keys().load().find("twice").secrets[0].value
        other = await asyncio.to_thread(Client.connect, shared.address(), "twice", secret)
        await asyncio.to_thread(other.ask, other.order(Side.BUY, 77, 1))
        await until(lambda: line.connect_count == 2)
        assert kinds(await line.submit_parts((order(),))) == [EventKind.ACCEPTED]
        await line.submit(MassCancel(account=1))
        other.close()


@in_loop
async def test_two_gateways_with_one_key_do_not_fill_the_journal_with_logons(shared: Node) -> None:
    """A session that is taken over at once again is tried for more and more slowly."""
    attempts: list[int] = []

    class TiringLine(Line):
        def _pause_s(self, attempt: int) -> float:
            attempts.append(attempt)
            return super()._pause_s(attempt)

    async with lined(shared, "shared-key", make=TiringLine) as (first, _):
        async with lined(shared, "shared-key", make=TiringLine) as (second, _):
            await until(lambda: max(attempts, default=0) >= 4)
            assert first.connect_count + second.connect_count <= len(attempts) + 2
        await until(lambda: first.connected)
        assert kinds(await first.submit(MassCancel(account=1))) == [EventKind.APPLIED]


@in_loop
async def test_a_revoked_key_enters_nothing_more_and_a_rotated_one_goes_on_with_its_new_secret(shared: Node) -> None:
    async with lined(shared, "rotating") as (line, _):
        shared.keys().begin_rotation("rotating")
        shared.keys().finish_rotation("rotating")
        await until(lambda: line.connect_count == 2)
        assert kinds(await line.submit_parts((order(),))) == [EventKind.ACCEPTED]
        await line.submit(MassCancel(account=1))
        shared.keys().revoke("rotating")
        await until(lambda: not line.connected)
        with pytest.raises(ApiError) as caught:
            line.submit_parts((order(),))
        assert caught.value.problem is ENGINE_AWAY


@in_loop
async def test_more_commands_than_may_wait_are_refused_before_they_are_sent(
    shared: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.line.OUTSTANDING_MAX", 3)
    async with lined(shared, "busy") as (line, _):
        futures = [line.submit_parts((order(),)) for _ in range(3)]
        with pytest.raises(ApiError) as caught:
            line.submit_parts((order(),))
        assert caught.value.problem is ENGINE_AWAY
        await asyncio.gather(*futures)
        await line.submit(MassCancel(account=1))


@in_loop
async def test_the_engine_keeps_and_answers_what_clients_no_longer_wait_for(shared: Node) -> None:
    async with lined(shared, "gone") as (line, mirror):
        line.submit_parts((order(number=1),)).cancel()
        applied = await line.submit_parts((order(number=2),))
        assert kinds(applied) == [EventKind.ACCEPTED]
        assert [one["client_order_id"] for one in mirror.core.account_orders(1)] == [1, 2]
        assert line.waiting_count <= 1
        await line.submit(MassCancel(account=1))


@in_loop
async def test_a_line_that_is_closed_tells_who_waits(shared: Node) -> None:
    async with lined(shared, "closing") as (line, mirror):
        mirror.held = True
        future = line.submit_parts((order(),))
        await asyncio.sleep(0.05)
        await line.close()
        assert await refusal(future) is OUTCOME_UNKNOWN
        mirror.held = False


# ---- A line that is cut ----------------------------------------------------------------------------------------------


class Proxy:
    """Between line and engine: it can keep back what the line sends, cut the line, and pass on what was kept later.

    pass_bytes  so much of what the next connections send is passed on; what follows is kept
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.pass_bytes = 1 << 60
        self.links: list[Link] = []
        self.server: asyncio.Server | None = None

    async def open(self) -> tuple[str, int]:
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        host, port = self.server.sockets[0].getsockname()
        return host, port

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_connection(*self.node.address())
        link = Link(writer, engine_writer, self.pass_bytes)
        self.links.append(link)
        down = asyncio.ensure_future(link.down(engine_reader))
        while data := await reader.read(65536):
            link.up(data)
        await down

    def close(self) -> None:
        assert self.server is not None
        self.server.close()
        for link in self.links:
            link.line.close()
            link.engine.close()


class Link:
    """One connection through the proxy."""

    def __init__(self, line: asyncio.StreamWriter, engine: asyncio.StreamWriter, pass_bytes: int) -> None:
        self.line, self.engine, self.pass_bytes = line, engine, pass_bytes
        self.kept = b""

    def up(self, data: bytes) -> None:
        passed, kept = data[: self.pass_bytes], data[self.pass_bytes :]
        self.pass_bytes -= len(passed)
        self.kept += kept
        if passed:
            self.engine.write(passed)

    async def down(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            if not self.line.is_closing():
                self.line.write(data)
        self.line.close()

    def release(self) -> None:
        """Pass on what was kept, and from now on everything."""
        self.pass_bytes = 1 << 60
        self.engine.write(self.kept)
        self.kept = b""


@asynccontextmanager
async def proxied(node: Node, key_id: str) -> AsyncIterator[tuple[Line, HeldMirror, Proxy]]:
    proxy = Proxy(node)
    place = await proxy.open()
    try:
        async with lined(node, key_id, place=place) as (line, mirror):
            yield line, mirror, proxy
    finally:
        proxy.close()


@in_loop
async def test_frames_that_arrive_behind_a_new_session_are_not_entered_as_was_told(shared: Node) -> None:
    async with proxied(shared, "late") as (line, mirror, proxy):
        await line.submit(MassCancel(account=1))
        proxy.links[0].pass_bytes = 0
        future = line.submit_parts((order(number=1),))
        await until(lambda: proxy.links[0].kept)
        proxy.links[0].line.close()
        assert await refusal(future) is ENGINE_AWAY
        await until(lambda: line.connected)
        proxy.links[0].release()
        second = await line.submit_parts((order(number=2),))
        assert kinds(second) == [EventKind.ACCEPTED]
        assert [one["client_order_id"] for one in mirror.core.account_orders(1)] == [2]
        await line.submit(MassCancel(account=1))


@in_loop
async def test_frames_that_arrive_before_the_new_session_lives_are_entered_and_answered(shared: Node) -> None:
    """Between the logon answer and the first frame the old session lives on: the answer's number is too low then."""
    async with proxied(shared, "early") as (line, mirror, proxy):
        await line.submit(MassCancel(account=1))
        proxy.links[0].pass_bytes = 0
        future = line.submit_parts((order(number=1),))
        await until(lambda: proxy.links[0].kept)
        proxy.pass_bytes = 96  # the logon
        proxy.links[0].line.close()
        await until(lambda: len(proxy.links) == 2 and proxy.links[1].kept)
        proxy.pass_bytes = 1 << 60
        proxy.links[0].release()
        await until(lambda: mirror.core.account_orders(1))
        proxy.links[1].release()
        assert kinds(await future) == [EventKind.ACCEPTED]
        await until(lambda: line.connected)
        assert kinds(await line.submit_parts((order(number=2),))) == [EventKind.ACCEPTED]
        assert [one["client_order_id"] for one in mirror.core.account_orders(1)] == [1, 2]
        await line.submit(MassCancel(account=1))


# ---- The same, as a client over HTTP sees it -------------------------------------------------------------------------


def test_http_answers_are_true_while_the_engine_is_killed_under_load(tmp_path: Path) -> None:
    """200: the order is open. 503: it never was. Nothing else is said, for the engine is back in time."""
    told: dict[str, int] = {}
    over = threading.Event()

    def trade(stack: Stack, key_id: str) -> None:
        number = 0
        while not over.is_set():
            number += 1
            text = f"{key_id}-{number}"
            said = {"symbol": "BTCUSD", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
            said |= {"quantity": "0.001", "price": "100.00", "newClientOrderId": text}
            told[text] = stack.signed(key_id, "POST", "/api/v3/order", **said)[0]

    with Stack(tmp_path, engine_timeout=15_000) as stack:
        traders = [threading.Thread(target=trade, args=(stack, key_id)) for key_id in ("alice", "bob", "carol")]
        for thread in traders:
            thread.start()
        try:
            for _ in range(2):
                before = len(told)
                wait_until(lambda before=before: len(told) > before + 30, why=str(told))
                stack.node.stop(signal.SIGKILL)
                stack.node.start()
            before = list(told.values()).count(200)
            wait_until(lambda: list(told.values()).count(200) > before + 20, why=str(told))
        finally:
            over.set()
            for thread in traders:
                thread.join()
        found = [
            order["clientOrderId"]
            for key_id in ("alice", "bob", "carol")
            for order in stack.signed(key_id, "GET", "/api/v3/openOrders")[1]
        ]
    assert set(told.values()) <= {200, 503}
    assert 503 in told.values()
    assert len(found) == len(set(found))
    assert set(found) == {text for text, status in told.items() if status == 200}
