"""The synchronous client against a scripted peer: what a real engine would never do, or not on command."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time

import pytest

from ironbook import (
    AddressInvalid,
    AnswerForged,
    Client,
    ClientClosed,
    ConnectionFailed,
    EventKind,
    InputInvalid,
    Key,
    LogonRefused,
    NewOrder,
    NotRecorded,
    Options,
    Outcome,
    Prefixed,
    ProtocolError,
    QueueFull,
    Rejected,
    ReportGap,
    RequestTimeout,
    ResumeState,
    SessionEnded,
    Side,
    Surroundings,
    TimeInForce,
)
from schemas.vocabulary import Asset, Code, Header, Kind, MessageKind, Report
from tests.ironbook.conftest import FAST
from tests.support.node import wait_until
from tests.support.scripted_engine import ScriptedEngine

BUY = Side.BUY


def client(peer: ScriptedEngine, key: Key, **changes: object) -> Client:
    return Client(peer.address, key, options=dataclasses.replace(FAST, **changes))  # type: ignore[arg-type]


def buy(price: int = 100, quantity: int = 5) -> NewOrder:
    return NewOrder(
        account=7, instrument=1, price_ticks=price, quantity_lots=quantity, side=1, order_type=1, time_in_force=1,
        self_trade_prevention=2,
    )  # fmt: skip


def recorded_sequences(peer: ScriptedEngine) -> list[int]:
    return [Header.unpack(command).client_sequence for command in peer.recorded]


# ---- Ordinary life ---------------------------------------------------------------------------------------------------


def test_an_order_is_accepted_cancelled_and_each_outcome_holds_its_reports(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        entered = desk_client.submit(1, BUY, 100, 5, client_order_id=3)
        assert entered.answer.kind is EventKind.ACCEPTED
        assert entered.answer.client_order_id == 3
        cancelled = desk_client.cancel(1, entered.order_id)
        assert cancelled.answer.code is Code.CANCELLED_BY_REQUEST
        immediate = desk_client.submit(1, BUY, 100, 5, time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL)
        assert [report.kind for report in immediate.reports] == [EventKind.ACCEPTED, EventKind.CANCELLED]
        assert desk_client.take_reports() == []
        assert (desk_client.account, desk_client.logon_count) == (7, 1)


def test_a_rejected_command_is_an_outcome_and_an_error_only_when_asked(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        outcome = desk_client.submit(1, BUY, 100, 0)
        assert outcome.rejected
        with pytest.raises(Rejected) as caught:
            outcome.raise_if_rejected()
    assert caught.value.engine_code is Code.QUANTITY_INVALID
    assert "client sequence 1" in caught.value.detail
    assert caught.value.hint == "Correct quantity_lots."


def test_many_commands_leave_in_one_write_and_their_outcomes_keep_the_order(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        outcomes = desk_client.submit_many([buy(price) for price in range(1, 501)])
        assert [outcome.client_sequence for outcome in outcomes] == list(range(1, 501))
        assert {outcome.answer.kind for outcome in outcomes} == {EventKind.ACCEPTED}
        with desk_client.batch() as batch:
            first = batch.submit(1, BUY, 7, 1)
            second = batch.mass_cancel()
            third = batch.define_asset(1, "USD", 2)
        assert (first, second, third) == (0, 1, 2)
        assert batch.outcomes[1].answer.quantity_lots == 501
        assert len(batch.outcomes[1].reports) == 502
        assert batch.outcomes[2].client_sequence == 504  # the name before it has a number too


def test_a_batch_whose_block_raises_sends_nothing(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        with contextlib.suppress(KeyError), desk_client.batch() as batch:
            batch.submit(1, BUY, 7, 1)
            raise KeyError("changed my mind")
        desk_client.ping()
    assert peer.recorded == []


def test_commands_sent_without_waiting_are_answered_in_reports(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        assert desk_client.send(buy()) == 1
        assert desk_client.send(Asset(asset=1, decimals=2), text="USD") == 3
        assert desk_client.send_many([buy(), Prefixed(command=Asset(asset=2), text="EUR")]) == range(4, 7)
        reports = iter(desk_client.reports)
        assert [next(reports).reference for _ in range(4)] == [1, 3, 4, 6]
        assert desk_client.ping() > 0


def test_reports_end_when_the_client_is_closed_from_elsewhere(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        threading.Timer(0.2, desk_client.close).start()
        assert list(desk_client.reports) == []


def test_a_client_that_was_not_connected_says_so(peer: ScriptedEngine, desk: Key) -> None:
    with pytest.raises(ClientClosed):
        client(peer, desk).submit(1, BUY, 1, 1)
    closed = client(peer, desk).connect()
    closed.close()
    with pytest.raises(ClientClosed):
        closed.take_reports()


@pytest.mark.parametrize("address", ["nowhere", "host:", ":1", "host:0", "host:65536", "host:http", "[::1]"])
def test_an_address_must_be_host_and_port(address: str, desk: Key) -> None:
    with pytest.raises(AddressInvalid):
        Client(address, desk)


def test_fields_that_do_not_fit_the_wire_are_named_and_nothing_is_sent(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        for bad in (2**63, -(2**63) - 1, "7"):
            with pytest.raises(InputInvalid):
                desk_client.submit(1, BUY, bad, 1)  # type: ignore[arg-type]
        with pytest.raises(InputInvalid):
            desk_client.cancel(-1, 5)
        with pytest.raises(InputInvalid):
            desk_client.define_asset(1, "x" * 37, 2)
        with pytest.raises(InputInvalid):
            desk_client.replace(1, 5, price_ticks=1, quantity_lots=2**70)
    assert peer.recorded == []


# ---- Logon -----------------------------------------------------------------------------------------------------------


def test_nobody_there_is_connection_failed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ConnectionFailed):
        Client(("127.0.0.1", port), Key(key_id="x", secret=bytes(32))).connect()


def test_somebody_who_never_answers_is_connection_failed(desk: Key) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = Options(connect_timeout_s=0.3)
        with pytest.raises(ConnectionFailed):
            Client(silent.getsockname(), desk, options=options).connect()


def test_a_wrong_secret_is_logon_refused(peer: ScriptedEngine) -> None:
    with pytest.raises(LogonRefused) as caught:
        client(peer, Key(key_id="desk", secret=b"\1" * 32)).connect()
    assert caught.value.engine_code is Code.LOGON_REFUSED


def test_a_peer_without_the_secret_is_found_out_and_gets_no_order(peer: ScriptedEngine, desk: Key) -> None:
    peer.alter_answer = lambda answer: answer[:-1] + bytes([answer[-1] ^ 1])
    with pytest.raises(AnswerForged):
        client(peer, desk).connect()
    assert peer.recorded == []


def test_resuming_from_reports_that_are_gone_says_so(peer: ScriptedEngine, desk: Key) -> None:
    peer.end_logon = Code.REPORTS_UNAVAILABLE
    resume = ResumeState(last_report_number=1, last_client_sequence=0)
    with pytest.raises(SessionEnded) as caught:
        Client(peer.address, desk, options=FAST, resume=resume).connect()
    assert caught.value.engine_code is Code.REPORTS_UNAVAILABLE


# ---- A line that breaks ----------------------------------------------------------------------------------------------


def test_a_cut_between_commands_is_mended_by_the_next_one(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        desk_client.submit(1, BUY, 1, 1)
        peer.cut()
        desk_client.submit(1, BUY, 2, 1)
        assert desk_client.logon_count == 2
    assert recorded_sequences(peer) == [1, 2]


@pytest.mark.parametrize("recorded_first", [0, 1, 7, 19])
def test_a_cut_in_the_middle_of_a_burst_enters_each_command_once(
    peer: ScriptedEngine, desk: Key, recorded_first: int
) -> None:
    with client(peer, desk) as desk_client:
        desk_client.ping()
        peer.cut_after = recorded_first
        outcomes = desk_client.submit_many([buy(price) for price in range(1, 21)])
    assert recorded_sequences(peer) == list(range(1, 21))
    assert [outcome.client_sequence for outcome in outcomes] == list(range(1, 21))
    assert desk_client.logon_count == 2


def test_a_command_recorded_just_before_the_cut_is_not_entered_again(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        desk_client.ping()
        peer.cut_before_answer = True
        outcome = desk_client.submit(1, BUY, 2, 1)
        assert outcome.answer.kind is EventKind.ACCEPTED
    assert recorded_sequences(peer) == [1]
    assert [report[0] for report in peer.reports] == [EventKind.ACCEPTED]


def test_reports_made_while_the_line_was_cut_come_after_it(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        desk_client.submit(1, BUY, 2, 1)
        peer.cut()
        peer.report(EventKind.FILLED, order_id=101)
        peer.report(EventKind.FILLED, order_id=102)
        taken: list[int] = []
        while len(taken) < 2:
            taken += [report.order_id for report in desk_client.take_reports(timeout_s=5.0)]
        assert taken == [101, 102]


@pytest.mark.parametrize("code", [Code.SERVER_STOPPING, Code.IDLE_TIMEOUT, Code.SLOW_READER, Code.SEQUENCE_GAP])
def test_an_end_that_can_be_mended_is_mended(peer: ScriptedEngine, desk: Key, code: Code) -> None:
    with client(peer, desk) as desk_client:
        desk_client.submit(1, BUY, 2, 1)
        peer.tell(peer.message(MessageKind.SESSION_ENDED, code=code))
        desk_client.submit(1, BUY, 2, 1)
        assert desk_client.logon_count == 2


@pytest.mark.parametrize("code", [Code.SESSION_REPLACED, Code.KEY_CHANGED, Code.FRAME_REFUSED, Code.PREFIX_INVALID])
def test_an_end_that_cannot_be_mended_is_an_error(peer: ScriptedEngine, desk: Key, code: Code) -> None:
    with client(peer, desk) as desk_client:
        peer.tell(peer.message(MessageKind.SESSION_ENDED, code=code))
        with pytest.raises(SessionEnded) as caught:
            desk_client.take_reports(timeout_s=5.0)
        assert caught.value.engine_code is code
        assert len(peer.logons) == 1
        desk_client.connect()
        assert desk_client.submit(1, BUY, 1, 1).client_sequence == 1


def test_a_missing_report_is_an_error_and_connecting_again_gets_it(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        desk_client.submit(1, BUY, 1, 1)
        missing, sent = peer.report(EventKind.FILLED, order_id=1), peer.report(EventKind.FILLED, order_id=2)
        peer.tell(sent)
        with pytest.raises(ReportGap):
            desk_client.take_reports(timeout_s=5.0)
        desk_client.connect()
        assert [report.order_id for report in desk_client.take_reports(timeout_s=5.0)] == [1, 2]
        assert missing != sent


def test_a_changed_report_kind_is_a_protocol_error(peer: ScriptedEngine, desk: Key) -> None:
    peer.alter = lambda message: [b"\x20" + message[1:] if message[0] == EventKind.ACCEPTED else message]
    with client(peer, desk) as desk_client:
        with pytest.raises(ProtocolError):
            desk_client.submit(1, BUY, 1, 1)


def test_a_line_that_does_not_come_back_is_connection_failed_and_nothing_is_forgotten(
    peer: ScriptedEngine, desk: Key
) -> None:
    slept: list[float] = []
    surroundings = Surroundings(sleep=slept.append, random_unit=lambda: 1.0)
    options = dataclasses.replace(FAST, reconnect_timeout_s=0.2, backoff_first_s=0.01, backoff_max_s=0.04)
    broken = Client(peer.address, desk, options=options, surroundings=surroundings).connect()
    peer.mute = True
    broken.send(buy())
    peer.stop_listening()
    peer.cut()
    with pytest.raises(ConnectionFailed) as caught:
        broken.ping()
    assert "1 frames are not known to be recorded" in caught.value.detail
    assert slept[-4:] == [0.04] * 4
    assert len(broken.resume_state().outstanding) == 1
    broken.close()


def test_without_reconnecting_a_cut_is_connection_failed_at_once(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk, reconnect=False) as desk_client:
        peer.cut()
        with pytest.raises(ConnectionFailed):
            desk_client.submit(1, BUY, 1, 1)
        assert len(peer.logons) == 1


def test_no_answer_in_time_is_a_time_out_and_the_answer_still_comes(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        peer.mute = True
        began_s = time.monotonic()
        with pytest.raises(RequestTimeout):
            desk_client.submit(1, BUY, 1, 1, timeout_s=0.2)
        assert time.monotonic() - began_s < 5.0
        peer.mute = False
        peer.cut()
        assert [report.reference for report in desk_client.take_reports(timeout_s=5.0)] == [1]
    assert recorded_sequences(peer) == [1]


def test_a_saved_state_goes_on_in_another_process_of_the_same_key(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as first:
        first.submit(1, BUY, 1, 1)
        peer.mute = True
        first.send(buy(2))
        first.send(buy(3))
        wait_until(lambda: len(peer.recorded) == 3, why="the peer must have read all three")
        saved = first.resume_state().to_json()
    peer.mute = False
    peer.last_client_sequence, peer.recorded = 2, peer.recorded[:2]  # the third was lost on the way
    del peer.reports[2:]
    with Client(peer.address, desk, options=FAST, resume=ResumeState.from_json(saved)) as second:
        assert [report.reference for report in second.take_reports(timeout_s=5.0)][:1] == [2]
        assert second.submit(1, BUY, 4, 1).client_sequence == 4
    assert recorded_sequences(peer) == [1, 2, 3, 4]


# ---- What the engine could not record --------------------------------------------------------------------------------


def test_a_refused_command_is_sent_again_until_it_is_recorded(peer: ScriptedEngine, desk: Key) -> None:
    peer.refuse = {2: [Code.MESSAGE_RATE_EXCEEDED, Code.JOURNAL_NO_ROOM]}
    with client(peer, desk) as desk_client:
        outcomes = desk_client.submit_many([buy(price) for price in (1, 2, 3, 4)])
        assert [outcome.answer.reference for outcome in outcomes] == [1, 2, 3, 4]
    assert recorded_sequences(peer) == [1, 2, 3, 4]
    assert len(peer.logons) == 1


def test_what_cannot_be_recorded_in_time_is_taken_back(peer: ScriptedEngine, desk: Key) -> None:
    peer.refuse = {2: [Code.CORE_NO_ROOM] * 1000}
    with client(peer, desk, refusal_timeout_s=0.1) as desk_client:
        desk_client.submit(1, BUY, 1, 1)
        with pytest.raises(NotRecorded) as caught:
            desk_client.submit(1, BUY, 2, 1)
        assert caught.value.engine_code is Code.CORE_NO_ROOM
        assert desk_client.resume_state().outstanding == ()
        peer.refuse.clear()
        assert desk_client.submit(1, BUY, 3, 1).client_sequence == 2
    assert len(peer.recorded) == 2


# ---- Queues and idleness ---------------------------------------------------------------------------------------------


def test_too_many_frames_at_once_are_queue_full_and_none_is_sent(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk, outstanding_max=10) as desk_client:
        with pytest.raises(QueueFull):
            desk_client.submit_many([buy()] * 11)
        assert len(desk_client.submit_many([buy()] * 10)) == 10
    assert len(peer.recorded) == 10


def test_reports_nobody_reads_stop_further_commands(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk, report_queue_max=8) as desk_client:
        desk_client.send_many([buy()] * 8)
        desk_client.ping()
        with pytest.raises(QueueFull):
            desk_client.submit(1, BUY, 1, 1)
        assert len(desk_client.take_reports()) == 8
        assert isinstance(desk_client.submit(1, BUY, 1, 1), Outcome)


def test_a_burst_larger_than_all_socket_buffers_does_not_stand_still(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk, keep_reports=False) as desk_client:
        sent = desk_client.send_many([buy()] * 20_000)
        assert (sent.start, sent.stop) == (1, 20_001)
        desk_client.ping(timeout_s=30.0)
        assert desk_client.resume_state().outstanding == ()
    assert len(peer.recorded) == 20_000


def test_an_idle_client_sends_pings_and_takes_in_reports(peer: ScriptedEngine, desk: Key) -> None:
    peer.idle_ms = 300
    with client(peer, desk) as desk_client:
        peer.report(EventKind.FILLED, order_id=5)
        time.sleep(1.6)
        assert peer.pings >= 3
        assert len(desk_client.take_reports()) == 1


def test_an_end_noticed_while_idle_is_told_by_the_next_call(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        peer.tell(peer.message(MessageKind.SESSION_ENDED, code=Code.SESSION_REPLACED))
        time.sleep(1.0)
        with pytest.raises(SessionEnded):
            desk_client.submit(1, BUY, 1, 1)


def test_what_is_sent_is_what_the_wire_says(peer: ScriptedEngine, desk: Key) -> None:
    with client(peer, desk) as desk_client:
        desk_client.submit(3, Side.SELL, 11, 12, account=9, client_order_id=13, time_in_force=3, post_only=False)
        desk_client.request(buy(5, 6))
        desk_client.halt(instrument=4)
        desk_client.halt(account=5)
        desk_client.resume()
        desk_client.set_account_limits(9, open_orders_max=1, quantity_lots_max=2)
        desk_client.set_instrument_limits(3, collar_ppm=10, reference_price_ticks=7)
        desk_client.withdraw(9, 1, 5, reference=6)
    order = NewOrder.unpack(peer.recorded[0])
    assert (order.instrument, order.side, order.account, order.time_in_force) == (3, 2, 9, 3)
    assert NewOrder.unpack(peer.recorded[1]) == dataclasses.replace(buy(5, 6), client_sequence=2)
    kinds = [Kind(command[0]).name for command in peer.recorded[2:]]
    assert kinds == ["HALT"] * 3 + ["ACCOUNT_LIMITS", "INSTRUMENT_LIMITS", "WITHDRAWAL"]
    assert [(command[12], command[13]) for command in peer.recorded[2:5]] == [(2, 1), (3, 1), (1, 2)]
    assert Report.BYTES == 96
