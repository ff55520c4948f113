"""Engine and Connection as Python meets them: real TCP sockets in a uvloop, and what the binding refuses."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hmac
import os
import socket
import struct
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from engine_node import _engine
from schemas import vocabulary as v

ALL_PERMISSIONS = int(sum(v.Permission))
LOOPBACK = bytes(10) + b"\xff\xff\x7f\x00\x00\x01"
CORE_OPTIONS = {
    "asset_count_max": 8,
    "instrument_count_max": 8,
    "account_count_max": 16,
    "key_count_max": 16,
    "order_count_max": 65536,
    "level_count_max": 4096,
    "ladder_count_max": 8192,
    "balance_count_max": 64,
    "position_count_max": 64,
    "nonce_count_max": 1024,
    "reports_kept": 4096,
}


def key(number: int, **changed: Any) -> Any:
    record: dict[str, Any] = {
        "number": number,
        "key_id": f"key-{number}".encode(),
        "secrets": [bytes([number]) * 32],
        "permissions": ALL_PERMISSIONS,
        "account": number,
        "networks": [],
        "messages_per_s": 0,
        "message_burst": 0,
    }
    return record | changed


class Rig:
    """One Engine, its callbacks wired to a loop, its listener on a port of its own."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.closed: list[tuple[int, int]] = []
        self.failures: list[str] = []
        self.connections: dict[int, _engine.Connection] = {}
        self.write_wishes = 0
        settings: dict[str, Any] = {
            "core_options": CORE_OPTIONS,
            "journal_directory": str(directory / "journal"),
            "shard": 1,
            "node": 1,
            "level": 1,
            "segment_records": 4096,
            "sync_interval_us": 100,
            "free_bytes_min": 0,
            "sync_cpu": -1,
            "connection_count_max": 16,
            "idle_ms": 30000,
            "logon_timeout_ms": 5000,
            "tick_interval_ms": 1000,
            "digest_interval_records": 1000,
            "refused_peer_max": 5,
            "unshipped_records_max": 1_000_000,
            "closed": self.on_closed,
            "want_write": self.on_want_write,
            "failed": self.failures.append,
        }
        self.engine = _engine.Engine(**(settings | options))

    def start(self, snapshot: bytes | None = None) -> dict[str, int | str]:
        found = self.engine.recover(snapshot)
        self.engine.set_keys([key(number) for number in range(1, 5)])
        return found

    def listen(self) -> tuple[str, int]:
        self.loop = asyncio.get_running_loop()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.loop.add_reader(self.listener.fileno(), self.on_accept)
        self.loop.add_reader(self.engine.wake_fd, self.engine.on_wake)
        name: tuple[str, int] = self.listener.getsockname()
        return name

    def on_accept(self) -> None:
        taken, _ = self.listener.accept()
        taken.setblocking(False)
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fd = taken.detach()
        self.connections[fd] = self.engine.accept(fd, LOOPBACK)
        self.loop.add_reader(fd, self.connections[fd])

    def on_closed(self, fd: int, code: int) -> None:
        self.closed.append((fd, code))
        if fd in self.connections:
            self.loop.remove_reader(fd)
            self.loop.remove_writer(fd)
            del self.connections[fd]
            os.close(fd)

    def on_want_write(self, fd: int, wanted: bool) -> None:
        self.write_wishes += wanted
        if wanted:
            self.loop.add_writer(fd, self.connections[fd].on_writable)
        else:
            self.loop.remove_writer(fd)

    def stop(self) -> dict[str, int]:
        self.engine.begin_stop()
        found = self.engine.finish()
        self.loop.remove_reader(self.engine.wake_fd)
        self.loop.remove_reader(self.listener.fileno())
        self.listener.close()
        return found


class Client:
    """The wire by hand, over asyncio streams."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sequence = 0

    async def logon(self, address: tuple[str, int], last_report: int = v.RESUME_NEW_ONLY, options: int = 0) -> Client:
        self.reader, self.writer = await asyncio.open_connection(*address)
        key_id, secret = f"key-{self.number}".encode().ljust(16, b"\0"), bytes([self.number]) * 32
        nonce = os.urandom(16)
        request = b"IRONBK01" + key_id + nonce + struct.pack("<QQB7x", time.time_ns(), last_report, options)
        self.writer.write(request + hmac.digest(secret, request, "sha256"))
        answer = await self.reader.readexactly(96)
        assert answer[0] == v.MessageKind.LOGON_ANSWER, answer.hex()
        assert hmac.digest(secret, request + answer[:64], "sha256") == answer[64:]
        self.answer = v.LogonAnswer.unpack(answer)
        seed = b"IRONBK01 session" + nonce + self.answer.server_nonce + key_id
        self.session_key = hmac.digest(secret, seed, "sha256")
        self.sequence = self.answer.last_client_sequence
        return self

    def frame(self, command: bytes) -> bytes:
        return command + hmac.digest(self.session_key, command, "sha256")[:16]

    def order(self, side: v.Side, price: int, quantity: int, tif: v.TimeInForce | None = None) -> bytes:
        self.sequence += 1
        return self.frame(
            v.NewOrder(
                client_sequence=self.sequence,
                account=self.number,
                instrument=1,
                price_ticks=price,
                quantity_lots=quantity,
                client_order_id=0,
                side=side,
                order_type=v.OrderType.LIMIT,
                time_in_force=tif or v.TimeInForce.GOOD_TILL_CANCELLED,
                self_trade_prevention=v.SelfTradePrevention.NONE,
                options=0,
            ).pack()
        )

    def ping(self, echo: int = 0) -> bytes:
        return self.frame(struct.pack("<QQ32x", v.Kind.PING | self.sequence << 16, echo))

    async def receive(self, count: int = 1) -> list[v.Report]:
        data = await asyncio.wait_for(self.reader.readexactly(96 * count), 20)
        return [v.Report.unpack(data[at : at + 96]) for at in range(0, len(data), 96)]

    async def define_market(self) -> None:
        def send(kind: v.Kind, body: bytes) -> None:
            self.sequence += 1
            head = struct.pack("<Q", kind | self.sequence << 16)
            self.writer.write(self.frame(head + body.ljust(40, b"\0")))

        for asset in (1, 2):
            send(v.Kind.TEXT, f"A{asset}".encode())
            send(v.Kind.ASSET, struct.pack("<IB", asset, 0))
        send(v.Kind.TEXT, b"A1-A2")
        send(v.Kind.INSTRUMENT, struct.pack("<IIIiiB3xQQ", 1, 1, 2, 0, 0, v.TradingState.OPEN, 1, 1))
        for account in range(1, 5):
            send(v.Kind.ACCOUNT, struct.pack("<II", account, 0))
            for asset in (1, 2):
                send(v.Kind.DEPOSIT, struct.pack("<IIqQ", account, asset, 10**12, 0))
        assert {report.kind for report in await self.receive(15)} == {v.EventKind.APPLIED}

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def market(directory: Path, **options: Any) -> AsyncIterator[tuple[Rig, tuple[str, int], Client]]:
    rig = Rig(directory, **options)
    rig.start()
    address = rig.listen()
    admin = await Client(1).logon(address)
    await admin.define_market()
    yield rig, address, admin
    if not rig.listener._closed:  # type: ignore[attr-defined]
        rig.stop()
    assert not rig.failures


async def until(what: Callable[[], bool]) -> None:
    for _ in range(6000):
        if what():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("did not come about within 30 s")


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test())


# ---- Over real sockets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1, 2], ids=["process", "disk"])
def test_two_clients_trade_in_one_loop(tmp_path: Path, level: int) -> None:
    async def body() -> None:
        async with market(tmp_path, level=level) as (_, address, maker):
            taker = await Client(2).logon(address)
            maker.writer.write(maker.order(v.Side.SELL, 100, 5))
            (accepted,) = await maker.receive()
            assert accepted.kind == v.EventKind.ACCEPTED
            taker.writer.write(taker.order(v.Side.BUY, 100, 3))
            reports = await taker.receive(2)
            assert [report.kind for report in reports] == [v.EventKind.ACCEPTED, v.EventKind.FILLED]
            (fill,) = await maker.receive()
            assert (fill.kind, fill.order_id, fill.quantity_lots) == (v.EventKind.FILLED, accepted.order_id, 3)

    run(body)


@pytest.mark.parametrize("level", [1, 2], ids=["process", "disk"])
def test_many_orders_in_one_write_are_all_answered_in_order(tmp_path: Path, level: int) -> None:
    async def body() -> None:
        async with market(tmp_path, level=level) as (rig, address, _):
            client = await Client(2).logon(address)
            for _ in range(4):
                client.writer.write(b"".join(client.order(v.Side.BUY, 50 + n % 7, 1) for n in range(5000)))
                client.writer.write(client.ping(99))
                reports = await client.receive(5001)
                assert reports[-1].kind == v.MessageKind.PONG
                assert {report.kind for report in reports[:-1]} == {v.EventKind.ACCEPTED}
                last = client.sequence
                assert [report.reference for report in reports[:-1]] == list(range(last - 4999, last + 1))
            counters = rig.engine.counters()
            assert counters["commands"] == 15 + 20000
            assert counters["records"] == rig.engine.sequence()

    run(body)


def test_a_client_that_reads_late_gets_every_byte_in_order(tmp_path: Path) -> None:
    async def body() -> None:
        async with market(tmp_path) as (rig, address, _):
            client = await Client(2).logon(address)
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
            for number, connection in rig.connections.items():
                assert callable(connection)
                sock = socket.socket(fileno=os.dup(number))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                sock.close()
            client.writer.write(b"".join(client.order(v.Side.BUY, 50, 1) for _ in range(3000)))
            await until(lambda: rig.engine.counters()["commands"] >= 3015)
            assert rig.write_wishes > 0
            client.reader._transport.resume_reading()  # type: ignore[attr-defined]
            reports = await client.receive(3000)
            assert [report.report_number for report in reports] == list(range(1, 3001))

    run(body)


def test_a_client_that_never_reads_is_ended_and_loses_nothing_that_is_kept(tmp_path: Path) -> None:
    async def body() -> None:
        async with market(tmp_path) as (rig, address, _):
            client = await Client(2).logon(address)
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]

            def is_ended() -> bool:
                ioc = v.TimeInForce.IMMEDIATE_OR_CANCEL
                if len(rig.connections) > 1:
                    client.writer.write(b"".join(client.order(v.Side.BUY, 50, 1, ioc) for _ in range(1000)))
                return (0, v.Code.SLOW_READER) in [(0, code) for _, code in rig.closed]

            await until(is_ended)
            await client.close()
            last = 2 * rig.engine.counters()["commands"]
            back = await Client(2).logon(address, last_report=0)
            ended = await back.receive()
            assert ended[0].code == v.Code.REPORTS_UNAVAILABLE
            newest = back.answer.last_report_number
            assert newest <= last
            back = await Client(2).logon(address, last_report=newest - 1000)
            back.writer.write(back.ping())
            reports = await back.receive(1001)
            assert [report.report_number for report in reports[:-1]] == list(range(newest - 999, newest + 1))

    run(body)


def test_a_line_that_is_cut_ends_the_session_and_resume_brings_the_rest(tmp_path: Path) -> None:
    async def body() -> None:
        async with market(tmp_path) as (rig, address, _):
            client = await Client(2).logon(address, options=v.LogonOption.CANCEL_ON_DISCONNECT)
            client.writer.write(client.order(v.Side.BUY, 50, 1) + client.order(v.Side.BUY, 51, 1))
            await client.receive(2)
            client.writer.transport.abort()
            await until(lambda: rig.engine.counters()["lines_lost"] > 0)
            back = await Client(2).logon(address, last_report=2)
            back.writer.write(back.ping())
            *cancelled, pong = await back.receive(3)
            assert [report.code for report in cancelled] == [v.Code.CANCELLED_ON_DISCONNECT] * 2
            assert pong.kind == v.MessageKind.PONG

    run(body)


def test_stop_snapshot_and_start_go_on_where_it_was(tmp_path: Path) -> None:
    async def body() -> None:
        async with market(tmp_path) as (rig, address, _):
            client = await Client(2).logon(address)
            client.writer.write(b"".join(client.order(v.Side.BUY, 50 + n, 1) for n in range(10)))
            await client.receive(10)
            end = rig.stop()
            assert (await client.receive())[0].code == v.Code.SERVER_STOPPING
            snapshot = rig.engine.save()
            last = rig.engine.sequence()
            assert end == {"sequence": last, "released": last, "digest": rig.engine.digest()}
            del rig

        replica = _engine.Core.load(snapshot, **CORE_OPTIONS)
        assert (replica.sequence(), replica.digest()) == (end["sequence"], end["digest"])
        after = Rig(tmp_path)
        found = after.start(snapshot)
        assert (found["snapshot_sequence"], found["replayed_records"]) == (end["sequence"], 0)
        assert found["term"] == 2
        back = await Client(2).logon(after.listen(), last_report=8)
        assert back.answer.last_client_sequence == 10
        back.writer.write(back.ping())
        assert [report.report_number for report in await back.receive(3)] == [9, 10, 0]
        after.stop()

    run(body)


# ---- What the binding refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"connection_count_max": 0}, "connection_count_max"),
        ({"idle_ms": 0}, "idle_ms"),
        ({"level": 9}, "level"),
        ({"core_options": {**CORE_OPTIONS, "reports_kept": 64}}, "reports_kept"),
        ({"core_options": {"no_such": 1}}, "core_options"),
    ],
)
def test_options_out_of_range_say_what_must_hold(tmp_path: Path, changed: dict[str, Any], word: str) -> None:
    with pytest.raises(_engine.OptionsError, match=word) as caught:
        Rig(tmp_path, **changed)
    assert caught.value.detail
    assert caught.value.hint


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"number": 0}, "number must be from 1"),
        ({"number": 2**40}, "not be that large"),
        ({"key_id": b""}, "length"),
        ({"key_id": b"two words"}, "id must be"),
        ({"secrets": []}, "one or two secrets"),
        ({"secrets": [bytes(31)]}, "length"),
        ({"secrets": [bytes(32)] * 3}, "one or two secrets"),
        ({"permissions": 256}, "not be that large"),
        ({"networks": [(bytes(16), 129)]}, "prefix bits"),
        ({"networks": [(bytes(16), -1)]}, "prefix bits"),
        ({"networks": [(bytes(4), 8)]}, "length"),
        ({"networks": [bytes(16)]}, "pair"),
        ({"networks": [(bytes(16), 8)] * 300}, "at most 16 networks"),
        ({"messages_per_s": 5}, "message_burst"),
    ],
)
def test_a_bad_key_record_says_what_must_hold_and_changes_nothing(
    tmp_path: Path, changed: dict[str, Any], word: str
) -> None:
    rig = Rig(tmp_path)
    with pytest.raises(_engine.OptionsError, match=word):
        rig.engine.set_keys([key(1), key(2) | changed])
    incomplete = key(1)
    del incomplete["account"]
    with pytest.raises(_engine.OptionsError, match="every field"):
        rig.engine.set_keys([incomplete])


def test_calls_out_of_order_are_errors_and_not_crashes(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    with pytest.raises(_engine.EngineError, match="finish"):
        rig.engine.finish()
    with pytest.raises(_engine.EngineError, match="save"):
        rig.engine.save()
    with pytest.raises(_engine.EngineError, match="recovered"):
        rig.engine.accept(0, LOOPBACK)
    rig.engine.on_timer()
    rig.engine.on_wake()
    rig.start()
    with pytest.raises(_engine.EngineError, match="recover"):
        rig.engine.recover()
    with pytest.raises(_engine.OptionsError, match="16 bytes"):
        rig.engine.accept(0, b"\x7f\0\0\1")
    rig.engine.finish()
    with pytest.raises(_engine.EngineError, match="finish"):
        rig.engine.finish()
    with pytest.raises(_engine.EngineError, match="stopping"):
        rig.engine.accept(0, LOOPBACK)
    assert rig.engine.save().startswith(b"IBSNAP")


def test_a_second_primary_on_one_journal_is_refused(tmp_path: Path) -> None:
    first = Rig(tmp_path)
    first.start()
    with pytest.raises(_engine.JournalError) as caught:
        Rig(tmp_path).engine.recover()
    assert caught.value.hint


def test_a_spoiled_snapshot_is_refused_by_name(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    with pytest.raises(_engine.SnapshotInvalid):
        rig.engine.recover(b"not a snapshot")


def test_an_address_with_many_bad_logons_is_not_accepted(tmp_path: Path) -> None:
    rig = Rig(tmp_path, refused_peer_max=2)
    rig.start()
    for _ in range(3):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        connection = rig.engine.accept(ours.fileno(), LOOPBACK)
        theirs.sendall(bytes(96))
        connection()
        assert v.Report.unpack(theirs.recv(96)).code == v.Code.LOGON_REFUSED
        assert rig.closed[-1] == (ours.fileno(), v.Code.LOGON_REFUSED)
        connection()  # of a closed connection: nothing
        connection.on_writable()
        ours.close()
        theirs.close()
    with pytest.raises(_engine.EngineError, match="bad logons"):
        rig.engine.accept(0, LOOPBACK)
    rig.engine.finish()


def test_a_connection_takes_no_arguments_and_cannot_be_made_by_hand(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.start()
    connection = rig.engine.accept(0, LOOPBACK)
    with pytest.raises(TypeError):
        connection(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        _engine.Connection()


def test_an_engine_is_freed_with_its_cycle_of_callbacks(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.start()
    rig.connections[0] = rig.engine.accept(0, LOOPBACK)
    seen = weakref.ref(rig)
    wake_fd = rig.engine.wake_fd
    del rig
    gc.collect()
    assert seen() is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(wake_fd)
