"""Both clients against a real engine node, through lines that break."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import ipaddress
import random
import signal
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine_node.replica import Replica
from ironbook import (
    AsyncClient,
    Client,
    ConnectionFailed,
    EventKind,
    Key,
    KeyInvalid,
    LogonRefused,
    NewOrder,
    Options,
    Report,
    ResumeState,
    SessionEnded,
    Side,
    TimeInForce,
)
from schemas.vocabulary import Code, Permission
from tests.ironbook.conftest import FAST, TRADER, Market, make_market
from tests.support.cutting_proxy import CuttingProxy
from tests.support.node import Node, wait_until

BUY, SELL = Side.BUY, Side.SELL
IOC = TimeInForce.IMMEDIATE_OR_CANCEL


@pytest.fixture
def proxy(market: Market) -> Iterator[CuttingProxy]:
    with CuttingProxy(market.node.address()) as cutter:
        yield cutter


def through(proxy: CuttingProxy, key: Key, **changes: object) -> Client:
    return Client(proxy.address, key, options=dataclasses.replace(FAST, **changes))  # type: ignore[arg-type]


def order(account: int, side: Side, price: int, lots: int, client_order_id: int = 0) -> NewOrder:
    return NewOrder(
        account=account, instrument=1, side=side, price_ticks=price, quantity_lots=lots, order_type=1,
        time_in_force=1, self_trade_prevention=2, client_order_id=client_order_id,
    )  # fmt: skip


def replica_of(market: Market) -> Replica:
    replica = Replica.open(market.node.directory, use_snapshot=False)
    wait_until(lambda: replica.limit() == replica.reader.written())
    replica.catch_up()
    return replica


def dense(reports: list[Report]) -> bool:
    numbers = [report.report_number for report in reports]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True


# ---- Trading ---------------------------------------------------------------------------------------------------------


def test_an_outcome_holds_every_report_that_the_command_caused(market: Market) -> None:
    with market.client(market.one) as one, market.client(market.two) as two:
        makers = one.submit_many([order(1, SELL, 100 + level, 5) for level in range(50)])
        taken = two.submit(1, BUY, 149, 1_000)
        assert len(taken.fills) == 50
        assert taken.filled_lots == 250
        assert taken.reports[-1].remaining_lots == 750
        assert two.take_reports() == []
        fills: list[Report] = []
        while len(fills) < 50:
            fills += one.take_reports(timeout_s=5.0)
        assert [fill.order_id for fill in fills] == [maker.order_id for maker in makers]
        assert all(fill.maker and fill.done for fill in fills)
        replaced = two.replace(1, taken.order_id, price_ticks=120, quantity_lots=500)
        assert replaced.answer.kind is EventKind.REPLACED
        assert replaced.answer.remaining_lots == 250
        hit = one.submit(1, SELL, 110, 100, time_in_force=IOC)
        assert (hit.filled_lots, hit.reports[-1].done) == (100, True)
        swept = two.mass_cancel()
        assert [report.kind for report in swept.reports] == [EventKind.CANCELLED, EventKind.APPLIED]
        with replica_of(market) as replica:
            assert replica.core.check() is None
            assert replica.core.levels(1, 1) == replica.core.levels(1, 2) == []


def test_commands_of_an_admin_on_another_keys_order_are_applied(tmp_path: Path) -> None:
    market = make_market(tmp_path / "data")
    try:
        everything = sum(Permission)
        boss = Key(key_id="boss", secret=market.node.make_key("boss", int(everything), 1))
        market.node.tell(signal.SIGHUP)
        with market.client(market.two) as two:
            first, second = two.submit(1, BUY, 100, 5), two.submit(1, BUY, 99, 5)
            with contextlib.ExitStack() as stack:
                chief = stack.enter_context(wait_for_logon(market, boss))
                assert chief.submit(1, SELL, 101, 1).answer.kind is EventKind.ACCEPTED
                moved = chief.replace(1, first.order_id, price_ticks=101, quantity_lots=5, account=2)
                assert [report.kind for report in moved.reports] == [EventKind.FILLED, EventKind.APPLIED]
                assert chief.cancel(1, second.order_id, account=2).answer.kind is EventKind.APPLIED
                swept = chief.mass_cancel(account=2)
                assert (swept.answer.quantity_lots, len(swept.reports)) == (1, 1)
            kinds = [report.kind.name for report in two.take_reports(timeout_s=5.0)]
            assert kinds == ["REPLACED", "FILLED", "CANCELLED", "CANCELLED"]
    finally:
        market.node.end()


def wait_for_logon(market: Market, key: Key) -> Client:
    """The engine takes new keys over within its polling time."""

    def attempt() -> Client | None:
        try:
            return market.client(key).connect()
        except LogonRefused:
            return None

    made = wait_until(attempt)
    assert isinstance(made, Client)
    return made


def test_an_asyncio_client_trades_on_uvloop(market: Market) -> None:
    async def main() -> None:
        async with (
            AsyncClient(market.address, market.one, options=FAST) as one,
            AsyncClient(market.address, market.two, options=FAST) as two,
        ):
            rests = await asyncio.gather(*(one.submit(1, SELL, 100, 1, client_order_id=n) for n in range(1, 201)))
            assert len({rest.order_id for rest in rests}) == 200
            takes = await asyncio.gather(*(two.submit(1, BUY, 100, 1, time_in_force=IOC) for _ in range(200)))
            assert sum(take.filled_lots for take in takes) == 200
            fills: list[Report] = []
            async for fill in one.reports:
                fills.append(fill)
                if len(fills) == 200:
                    break
            assert dense(fills)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


# ---- Lines that break ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_line_cut_at_random_bytes_enters_each_order_once_and_tells_each_report_once(
    market: Market, proxy: CuttingProxy, seed: int
) -> None:
    chance = random.Random(seed)
    reports: list[Report] = []
    with through(proxy, market.one) as one:
        for burst in range(12):
            proxy.cut_after(chance.randrange(1, 64 * 40))
            orders = [order(1, BUY, 50 + burst, 1, client_order_id=burst * 40 + n + 1) for n in range(40)]
            for outcome in one.submit_many(orders):
                reports.extend(outcome.reports)
        reports.extend(one.take_reports())
        assert one.logon_count >= 12
        assert one.resume_state().outstanding == ()
    reports.sort(key=lambda report: report.report_number)
    assert dense(reports)
    assert [report.client_order_id for report in reports] == list(range(1, 481))
    with replica_of(market) as replica:
        resting = replica.core.account_orders(1)
        assert sorted(found["client_order_id"] for found in resting) == list(range(1, 481))
        assert replica.core.check() is None


def test_many_tasks_over_a_line_that_is_cut_again_and_again(market: Market, proxy: CuttingProxy) -> None:
    async def main() -> None:
        async with AsyncClient(proxy.address, market.one, options=FAST) as one:

            async def cut() -> None:
                for _ in range(8):
                    await asyncio.sleep(0.05)
                    proxy.cut()

            async def trade(task: int) -> int:
                done = 0
                for n in range(15):
                    outcome = await one.submit(1, BUY, 40, 1, client_order_id=task * 100 + n + 1)
                    assert outcome.answer.kind is EventKind.ACCEPTED
                    done += 1
                    await asyncio.sleep(0.02)
                return done

            done = await asyncio.gather(cut(), *(trade(task) for task in range(20)))
            assert sum(count for count in done if count) == 300
            assert one.logon_count > 3

    asyncio.run(main())
    with replica_of(market) as replica:
        assert len({found["client_order_id"] for found in replica.core.account_orders(1, 0, 1000)}) == 300


def test_a_key_rotates_under_many_tasks_and_each_order_is_entered_once(market: Market) -> None:
    key_id, store = market.one.key_id, market.node.keys()

    async def main() -> None:
        ended = asyncio.Event()
        numbers = iter(range(1, 100_000))
        async with AsyncClient(market.address, market.one, options=FAST) as one:

            async def trade() -> int:
                done = 0
                while not ended.is_set():
                    outcome = await one.submit(1, BUY, 40, 1, client_order_id=next(numbers))
                    assert outcome.answer.kind is EventKind.ACCEPTED
                    done += 1
                    await asyncio.sleep(0.01)
                return done

            tasks = [asyncio.create_task(trade()) for _ in range(10)]
            with pytest.raises(LogonRefused):
                await one.use_key(Key(key_id=key_id, secret=bytes(32)))
            with pytest.raises(KeyInvalid, match="must stay"):
                await one.use_key(market.two)
            assert one.logon_count == 1, "what was refused has changed nothing"
            secret = await asyncio.to_thread(lambda: store.begin_rotation(key_id).secret)
            while one.logon_count == 1:
                with contextlib.suppress(LogonRefused):  # the engine has not looked at its file yet
                    await one.use_key(Key(key_id=key_id, secret=secret))
                await asyncio.sleep(0.05)
            await asyncio.to_thread(store.finish_rotation, key_id)
            await asyncio.sleep(0.3)
            ended.set()
            done = sum(await asyncio.gather(*tasks))
            assert one.logon_count == 2
        with replica_of(market) as replica:
            resting = replica.core.account_orders(1, 0, 100_000)
            assert len({found["client_order_id"] for found in resting}) == len(resting) == done

    asyncio.run(main())


def test_an_engine_killed_and_started_again_is_found_and_nothing_is_lost(market: Market, proxy: CuttingProxy) -> None:
    with through(proxy, market.one, reconnect_timeout_s=30.0, request_timeout_s=40.0) as one:
        for n in range(1, 21):
            one.submit(1, BUY, 50, 1, client_order_id=n)
        one.send_many([order(1, BUY, 50, 1, client_order_id=n) for n in range(21, 61)])
        market.node.tell(signal.SIGKILL)
        market.node.stop(signal.SIGKILL)
        proxy.refuse()
        proxy.cut()
        market.node.start()
        proxy.target = market.node.address()
        proxy.refuse(False)
        one.ping()
        told = one.take_reports()
        assert [report.client_order_id for report in told] == list(range(21, 61))
        assert one.resume_state().outstanding == ()
    with replica_of(market) as replica:
        assert len(replica.core.account_orders(1, 0, 1000)) == 60


def test_an_engine_that_stops_in_order_is_waited_for(market: Market, proxy: CuttingProxy) -> None:
    with through(proxy, market.one, reconnect_timeout_s=30.0, request_timeout_s=40.0) as one:
        one.submit(1, BUY, 50, 1)
        proxy.refuse()
        assert market.node.stop() == 0
        market.node.start()
        proxy.target = market.node.address()
        proxy.refuse(False)
        assert one.submit(1, BUY, 51, 1).answer.kind is EventKind.ACCEPTED
        assert one.logon_count == 2


def test_a_saved_state_reads_the_reports_made_meanwhile(market: Market) -> None:
    with market.client(market.one) as one:
        resting = one.submit(1, SELL, 100, 5)
        saved = ResumeState.from_json(one.resume_state().to_json())
    with market.client(market.two) as two:
        two.submit(1, BUY, 100, 5)
    with Client(market.address, market.one, options=FAST, resume=saved) as again:
        (fill,) = again.take_reports(timeout_s=5.0)
        assert (fill.kind, fill.order_id, fill.done) == (EventKind.FILLED, resting.order_id, True)


def test_orders_are_cancelled_on_disconnect_if_asked(market: Market) -> None:
    with market.client(market.two) as two:
        two.submit(1, BUY, 49, 5)
        with market.client(market.one, cancel_on_disconnect=True) as one:
            gone = one.submit(1, BUY, 50, 5)
    resume = ResumeState(last_report_number=1, last_client_sequence=1)
    with Client(market.address, market.one, options=FAST, resume=resume) as again:
        (cancelled,) = again.take_reports(timeout_s=5.0)
        assert (cancelled.order_id, cancelled.code) == (gone.order_id, Code.CANCELLED_ON_DISCONNECT)


# ---- What the engine refuses -----------------------------------------------------------------------------------------


def test_a_second_session_of_a_key_ends_the_first_which_does_not_fight_back(market: Market) -> None:
    with market.client(market.one) as first, market.client(market.one) as second:
        second.ping()
        with pytest.raises(SessionEnded) as caught:
            first.take_reports(timeout_s=5.0)
        assert caught.value.engine_code is Code.SESSION_REPLACED
        assert second.submit(1, BUY, 1, 1).answer.kind is EventKind.ACCEPTED


def test_frames_over_the_message_rate_are_sent_again_in_order(market: Market) -> None:
    secret = market.node.make_key("slow", int(TRADER), 1, message_rate_per_s=400, message_burst=20)
    market.node.tell(signal.SIGHUP)
    with wait_for_logon(market, Key(key_id="slow", secret=secret)) as slow:
        outcomes = slow.submit_many([order(1, BUY, 10, 1, client_order_id=n) for n in range(1, 121)])
        assert [outcome.answer.client_order_id for outcome in outcomes] == list(range(1, 121))
        assert slow.logon_count == 1
    with replica_of(market) as replica:
        assert len(replica.core.account_orders(1, 0, 1000)) == 120


def test_reports_that_the_engine_keeps_no_more_are_said_to_be_gone(tmp_path: Path) -> None:
    market = make_market(tmp_path / "data", reports_kept=256)
    try:
        with market.client(market.one) as one:
            one.submit_many([order(1, BUY, 10, 1)] * 200)
            one.submit_many([order(1, BUY, 10, 1)] * 200)
        late = Client(market.address, market.one, options=FAST, resume=ResumeState(
            last_report_number=3, last_client_sequence=0
        ))  # fmt: skip

        def read() -> None:  # the end comes in place of the logon's answer, or behind the first frame
            late.connect()
            late.take_reports(timeout_s=5.0)

        with pytest.raises(SessionEnded) as caught:
            read()
        assert caught.value.engine_code is Code.REPORTS_UNAVAILABLE
        late.connect(new_reports_only=True)
        assert late.submit(1, BUY, 10, 1).answer.report_number == 401
        late.close()
    finally:
        market.node.end()


def test_a_client_that_reads_too_slowly_comes_back_and_misses_nothing(tmp_path: Path) -> None:
    market = make_market(tmp_path / "data", reports_kept=65536, idle_ms=60_000)
    try:
        with market.client(market.one, keep_alive=False) as one, market.client(market.two) as two:
            one.submit(1, SELL, 100, 30_000)
            for _ in range(10):
                two.submit_many([order(2, BUY, 100, 1)] * 2_000)
            fills: list[Report] = []
            while len(fills) < 20_000:
                taken = one.take_reports(timeout_s=5.0)
                assert taken
                fills += taken
            assert dense(fills)
    finally:
        market.node.end()


def test_an_idle_session_is_kept_alive_and_without_pings_it_comes_back(tmp_path: Path) -> None:
    market = make_market(tmp_path / "data", idle_ms=400)
    try:
        with market.client(market.one) as kept, market.client(market.two, keep_alive=False) as dropped:
            time.sleep(1.5)
            kept.submit(1, BUY, 1, 1)
            dropped.submit(1, BUY, 1, 1)
            assert (kept.logon_count, dropped.logon_count) == (1, 2)
    finally:
        market.node.end()


def test_a_revoked_key_is_told_so(market: Market) -> None:
    with market.client(market.one) as one:
        market.node.keys().revoke("one")
        market.node.tell(signal.SIGHUP)
        with pytest.raises(SessionEnded) as caught:
            one.take_reports(timeout_s=30.0)
        assert caught.value.engine_code is Code.KEY_CHANGED
        with pytest.raises(LogonRefused):
            one.connect()


# ---- TLS -------------------------------------------------------------------------------------------------------------


def make_certificate(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, key_pem = directory / "certificate.pem", directory / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    key_pem.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    key_pem.chmod(0o600)
    return pem, key_pem


def test_both_clients_speak_tls_and_refuse_a_wrong_certificate(tmp_path: Path) -> None:
    pem, key_pem = make_certificate(tmp_path)
    market = make_market(
        tmp_path / "data", tls_listen="127.0.0.1:0", tls_certificate_file=pem, tls_key_file=key_pem,
        proxy_socket=f"/tmp/ironbook-{random.randrange(10**9)}.sock",
    )  # fmt: skip
    try:
        address = market.node.address("tls_addresses")
        trusting = ssl.create_default_context(cafile=str(pem))
        options = dataclasses.replace(FAST, tls=trusting, tls_server_name="localhost")
        with CuttingProxy(address) as cutter, Client(cutter.address, market.one, options=options) as one:
            assert len(one.submit_many([order(1, BUY, 10, 1)] * 500)) == 500
            cutter.cut()
            one.send_many([order(1, BUY, 10, 1)] * 3_000)
            one.ping(timeout_s=30.0)
            taken: list[Report] = []
            while len(taken) < 3_000:
                taken += one.take_reports(timeout_s=5.0)
            assert dense(taken)

        async def main() -> None:
            async with AsyncClient(address, market.two, options=options) as two:
                assert not (await two.submit(1, SELL, 20, 1)).rejected

        asyncio.run(main())
        with pytest.raises(ConnectionFailed):
            Client(address, market.one, options=dataclasses.replace(FAST, tls=ssl.create_default_context())).connect()
        with pytest.raises(ConnectionFailed):
            Client(market.address, market.one, options=Options(tls=trusting, connect_timeout_s=1.0)).connect()
    finally:
        market.node.end()


def test_nothing_of_a_node_is_left_behind(market: Market) -> None:
    assert isinstance(market.node, Node)
    with market.client(market.one) as one:
        one.submit(1, BUY, 1, 1)
    assert market.node.stop() == 0
