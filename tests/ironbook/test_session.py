"""The session machine against bytes made by hand: no socket, no clock."""

from __future__ import annotations

import hashlib
import hmac
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironbook import (
    AnswerForged,
    ClientClosed,
    Key,
    ProtocolError,
    QueueFull,
    ReportGap,
    ReportRepeated,
    ResumeState,
    SequenceConflict,
)
from ironbook._commands import pack, pack_order
from ironbook._session import Request, Session, State, Until, complete_when
from schemas.vocabulary import (
    RESUME_NEW_ONLY,
    Asset,
    Cancel,
    Code,
    CountdownCancel,
    EventKind,
    Header,
    InstrumentState,
    Kind,
    LinkAction,
    LogonAnswer,
    LogonRequest,
    MassCancel,
    MessageKind,
    NewOrder,
    OrderLink,
    OrderTerms,
    OrderType,
    Ping,
    Replace,
    Report,
    TimeInForce,
    Trigger,
)

SECRET = bytes(range(32))
KEY = Key(key_id="desk-1", secret=SECRET)
KEY_NUMBER, ACCOUNT = 5, 9
CLIENT_NONCE, SERVER_NONCE = bytes(range(16)), bytes(range(100, 116))
DONE = 4


class Peer:
    """The engine's half, by hand: signs answers, checks frames, numbers reports."""

    def __init__(self, *, last_client_sequence: int = 0, last_report_number: int = 0) -> None:
        self.last_client_sequence = last_client_sequence
        self.last_report_number = last_report_number
        self.session_key = b""

    def answer(self, request: bytes, **changes: int) -> bytes:
        fields: dict[str, Any] = {
            "kind": MessageKind.LOGON_ANSWER,
            "idle_ms": 5000,
            "server_nonce": SERVER_NONCE,
            "last_client_sequence": self.last_client_sequence,
            "last_report_number": self.last_report_number,
            "key": KEY_NUMBER,
            "account": ACCOUNT,
            "permissions": 7,
        }
        signed = LogonAnswer(**(fields | changes)).pack()[:64]
        label = b"IRONBK01 session" + CLIENT_NONCE + SERVER_NONCE + b"desk-1".ljust(16, b"\0")
        self.session_key = hmac.new(SECRET, label, hashlib.sha256).digest()
        return signed + hmac.new(SECRET, request[:64] + signed, hashlib.sha256).digest()

    def frames(self, output: bytes) -> list[bytes]:
        """The commands of signed frames; every tag is checked."""
        assert len(output) % 64 == 0
        commands = []
        for offset in range(0, len(output), 64):
            command, tag = output[offset : offset + 48], output[offset + 48 : offset + 64]
            assert tag == hmac.new(self.session_key, command, hashlib.sha256).digest()[:16]
            commands.append(command)
        return commands

    def report(self, kind: EventKind, **fields: int) -> bytes:
        self.last_report_number += 1
        return Report(kind=kind, key=KEY_NUMBER, report_number=self.last_report_number, **fields).pack()

    @staticmethod
    def message(kind: MessageKind, **fields: int) -> bytes:
        return Report(kind=kind, key=KEY_NUMBER, **fields).pack()


def sequences(commands: list[bytes]) -> list[int]:
    """Client sequences, pings left out."""
    return [Header.unpack(c).client_sequence for c in commands if c[0] != Kind.PING]


def live(peer: Peer, **options: Any) -> Session:
    session = Session(KEY, **options)
    session.receive(peer.answer(session.logon(1_000, CLIENT_NONCE)))
    peer.frames(session.output())
    return session


def order(price: int = 100, **fields: Any) -> bytes:
    return pack_order(ACCOUNT, 1, 1, price, 5, **fields)


def entered(session: Session, *commands: bytes, until: Until) -> Request:
    request = session.enter(*commands, until=until)
    assert request is not None
    return request


# ---- Logon -----------------------------------------------------------------------------------------------------------


def test_a_logon_request_is_signed_with_the_secret_and_asks_for_new_reports_only() -> None:
    request = Session(KEY, cancel_on_disconnect=True).logon(1_234, CLIENT_NONCE)
    read = LogonRequest.unpack(request)
    assert (read.magic, read.key_id, read.client_nonce) == (b"IRONBK01", b"desk-1".ljust(16, b"\0"), CLIENT_NONCE)
    assert (read.timestamp_ns, read.last_report_number, read.options) == (1_234, RESUME_NEW_ONLY, 1)
    assert read.mac == hmac.new(SECRET, request[:64], hashlib.sha256).digest()


def test_a_good_answer_makes_the_session_live_and_a_signed_ping_follows() -> None:
    peer = Peer(last_client_sequence=41, last_report_number=7)
    session = Session(KEY)
    session.receive(peer.answer(session.logon(1, CLIENT_NONCE)))
    assert (session.state, session.recorded, session.entered) == (State.LIVE, 41, 41)
    assert session.last_report_number == 7
    (ping,) = peer.frames(session.output())
    assert Ping.unpack(ping) == Ping(client_sequence=41, echo=1)


def test_an_answer_may_arrive_byte_by_byte_with_reports_behind_it() -> None:
    peer = Peer()
    session = Session(KEY)
    data = peer.answer(session.logon(1, CLIENT_NONCE)) + peer.report(EventKind.FILLED, reference=3, order_id=8)
    for byte in data:
        session.receive(bytes([byte]))
    assert [report.order_id for report in session.reports] == [8]


@pytest.mark.parametrize("offset", [0, 1, 8, 24, 32, 48, 52, 64, 95])
def test_an_answer_changed_in_any_byte_is_forged(offset: int) -> None:
    session = Session(KEY)
    answer = bytearray(Peer().answer(session.logon(1, CLIENT_NONCE)))
    answer[offset] ^= 1
    with pytest.raises(AnswerForged) as caught:
        session.receive(bytes(answer))
    assert session.state is State.ENDED
    assert SECRET.hex() not in str(caught.value)


def test_an_answer_to_another_request_is_forged() -> None:
    session = Session(KEY)
    old = Peer().answer(session.logon(1, CLIENT_NONCE))
    session.logon(2, CLIENT_NONCE)
    with pytest.raises(AnswerForged):
        session.receive(old)


def test_a_refused_logon_ends_the_session_with_its_code() -> None:
    session = Session(KEY)
    session.logon(1, CLIENT_NONCE)
    session.receive(Report(kind=MessageKind.SESSION_ENDED, code=Code.LOGON_REFUSED).pack())
    assert (session.state, session.ended) == (State.ENDED, Code.LOGON_REFUSED)


# ---- Commands --------------------------------------------------------------------------------------------------------


def test_client_sequences_rise_by_one_prefixes_too() -> None:
    peer = Peer(last_client_sequence=10)
    session = live(peer)
    session.enter(order())
    session.enter(*pack(Asset(asset=1, decimals=2), "USD"))
    commands = peer.frames(session.output())
    assert sequences(commands) == [11, 12, 13]
    assert [c[0] for c in commands] == [Kind.NEW_ORDER, Kind.TEXT, Kind.ASSET]
    assert NewOrder.unpack(commands[0]).quantity_lots == 5


def test_commands_before_the_first_logon_are_refused() -> None:
    with pytest.raises(ClientClosed):
        Session(KEY).enter(order())


def test_more_outstanding_frames_than_allowed_are_queue_full_and_nothing_is_entered() -> None:
    session = live(Peer(), outstanding_max=8)
    for _ in range(7):
        session.enter(order())
    session.output()
    with pytest.raises(QueueFull):
        session.enter(*pack(Asset(asset=1, decimals=2), "USD"))
    assert (session.entered, session.output()) == (7, b"")
    session.enter(order())


def test_a_report_that_answers_shows_that_everything_before_it_is_recorded() -> None:
    peer = Peer()
    session = live(peer)
    for _ in range(5):
        session.enter(order())
    session.receive(peer.report(EventKind.ACCEPTED, reference=3, sequence=50))
    assert (session.recorded, session.outstanding_count()) == (3, 2)


def test_the_trade_id_of_a_fill_is_not_taken_for_a_client_sequence() -> None:
    peer = Peer()
    session = live(peer)
    session.enter(order())
    session.receive(peer.report(EventKind.FILLED, reference=1, order_id=3))
    assert session.recorded == 0


# ---- Reports ---------------------------------------------------------------------------------------------------------


def test_every_field_of_a_report_is_read() -> None:
    peer = Peer(last_report_number=6)
    session = live(peer)
    fields = {
        "instrument": 2,
        "account": 3,
        "n": 4,
        "sequence": 5,
        "received_ns": 6,
        "order_id": 7,
        "client_order_id": 8,
        "price_ticks": -9,
        "quantity_lots": 10,
        "remaining_lots": 11,
        "reference": 12,
        "amount_units": -13,
    }
    session.receive(peer.report(EventKind.FILLED, flags=7, **fields))
    (report,) = session.reports
    assert {name: getattr(report, name) for name in fields} == fields
    assert (report.kind, report.code, report.report_number) == (EventKind.FILLED, Code.NONE, 7)
    assert (report.side.name, report.maker, report.done, report.kept_priority) == ("SELL", True, True, False)
    with pytest.raises(AttributeError):
        report.account = 1  # type: ignore[misc]
    assert report == session.reports[0]
    assert hash(report)


def test_a_missing_report_is_a_gap_and_what_came_before_is_kept() -> None:
    peer = Peer()
    session = live(peer)
    first = peer.report(EventKind.FILLED, order_id=1)
    peer.last_report_number += 1
    with pytest.raises(ReportGap):
        session.receive(first + peer.report(EventKind.FILLED, order_id=3))
    assert [report.order_id for report in session.reports] == [1]
    assert session.last_report_number == 1
    assert LogonRequest.unpack(session.logon(2, CLIENT_NONCE)).last_report_number == 1


def test_a_repeated_report_is_an_error_and_taken_once() -> None:
    peer = Peer()
    session = live(peer)
    report = peer.report(EventKind.FILLED, order_id=1)
    with pytest.raises(ReportRepeated):
        session.receive(report + report)
    assert len(session.reports) == 1


def test_a_report_for_another_key_is_an_error() -> None:
    session = live(Peer())
    with pytest.raises(ProtocolError):
        session.receive(Report(kind=EventKind.FILLED, key=KEY_NUMBER + 1, report_number=1).pack())


@pytest.mark.parametrize(("kind", "code"), [(0, 0), (8, 0), (32, 0), (63, 0), (69, 0), (255, 0), (1, 50)])
def test_an_unknown_kind_or_code_is_an_error(kind: int, code: int) -> None:
    session = live(Peer())
    with pytest.raises(ProtocolError):
        session.receive(Report(kind=kind, code=code, key=KEY_NUMBER, report_number=1).pack())
    assert session.state is State.ENDED


def test_an_answer_to_a_sequence_never_sent_is_a_conflict() -> None:
    peer = Peer()
    session = live(peer)
    with pytest.raises(SequenceConflict):
        session.receive(peer.report(EventKind.ACCEPTED, reference=4))


def test_reports_nobody_keeps_are_counted_and_dropped() -> None:
    peer = Peer()
    session = live(peer, keep_reports=False)
    session.receive(peer.report(EventKind.FILLED) + peer.report(EventKind.FILLED))
    assert (len(session.reports), session.last_report_number) == (0, 2)


# ---- Resume ----------------------------------------------------------------------------------------------------------


def again(session: Session, peer: Peer) -> list[bytes]:
    """Lose the line and log on anew; the commands that leave behind the answer."""
    session.line_lost()
    request = session.logon(9, CLIENT_NONCE)
    session.receive(peer.answer(request))
    return peer.frames(session.output())


def test_after_a_loss_what_is_not_recorded_is_sent_again_under_the_same_sequences() -> None:
    peer = Peer()
    session = live(peer)
    for price in (1, 2, 3, 4):
        session.enter(order(price))
    first = peer.frames(session.output())
    peer.last_client_sequence = 2
    resent = again(session, peer)
    assert sequences(resent) == [3, 4]
    assert resent[:2] == first[2:]
    assert Ping.unpack(resent[-1]).client_sequence == 4
    session.enter(order())
    assert sequences(peer.frames(session.output())) == [5]


def test_commands_entered_without_a_line_leave_after_the_next_logon() -> None:
    peer = Peer()
    session = live(peer)
    session.line_lost()
    session.enter(order())
    assert session.output() == b""
    assert sequences(again(session, peer)) == [1]


def test_a_logon_resumes_behind_the_last_report_received() -> None:
    peer = Peer(last_report_number=3)
    session = live(peer)
    session.receive(peer.report(EventKind.FILLED) + peer.report(EventKind.FILLED)[:50])
    session.line_lost()
    assert LogonRequest.unpack(session.logon(9, CLIENT_NONCE)).last_report_number == 4


def test_a_repeat_is_success() -> None:
    peer = Peer()
    session = live(peer)
    session.enter(order())
    session.receive(peer.message(MessageKind.REPEAT, reference=1))
    assert (session.outstanding_count(), session.repeat_count) == (0, 1)


def test_a_pong_shows_what_is_recorded() -> None:
    peer = Peer()
    session = live(peer)
    session.enter(order())
    session.enter(order())
    session.receive(peer.message(MessageKind.PONG, reference=1, order_id=1))
    assert session.outstanding_count() == 1


def test_an_engine_that_knows_fewer_sequences_than_it_acknowledged_is_a_conflict() -> None:
    peer = Peer()
    session = live(peer)
    session.enter(order())
    session.receive(peer.report(EventKind.ACCEPTED, reference=1))
    peer.last_client_sequence = 0
    with pytest.raises(SequenceConflict):
        again(session, peer)


def test_an_engine_that_knows_more_sequences_than_were_sent_is_a_conflict() -> None:
    peer = Peer()
    session = live(peer)
    session.enter(order())
    peer.last_client_sequence = 2
    with pytest.raises(SequenceConflict):
        again(session, peer)


def test_sequences_that_another_program_used_are_taken_over_when_nothing_is_outstanding() -> None:
    peer = Peer()
    session = live(peer)
    session.enter(order())
    session.receive(peer.report(EventKind.ACCEPTED, reference=1))
    peer.last_client_sequence = 7
    again(session, peer)
    session.enter(order())
    assert sequences(peer.frames(session.output())) == [8]


def test_an_engine_that_made_fewer_reports_than_were_read_is_a_conflict() -> None:
    peer = Peer()
    session = live(peer)
    session.receive(peer.report(EventKind.FILLED))
    peer.last_report_number = 0
    with pytest.raises(SequenceConflict):
        again(session, peer)


def test_prefixes_recorded_without_their_command_are_a_protocol_error() -> None:
    peer = Peer()
    session = live(peer)
    session.enter(*pack(Asset(asset=1, decimals=2), "USD"))
    peer.last_client_sequence = 1
    with pytest.raises(ProtocolError):
        again(session, peer)


def test_a_saved_state_resumes_in_a_new_session() -> None:
    peer = Peer(last_client_sequence=20)
    session = live(peer)
    session.receive(peer.report(EventKind.FILLED) + peer.report(EventKind.FILLED))
    session.reports.popleft()
    session.enter(order(1))
    session.enter(order(2))
    saved = ResumeState.from_json(session.resume_state().to_json())
    assert (saved.last_report_number, saved.last_client_sequence, len(saved.outstanding)) == (1, 20, 2)
    other = Session(KEY, resume=saved)
    peer.last_client_sequence = 21
    request = other.logon(9, CLIENT_NONCE)
    assert LogonRequest.unpack(request).last_report_number == 1
    other.receive(peer.answer(request))
    assert sequences(peer.frames(other.output())) == [22]


def test_a_saved_state_without_outstanding_commands_takes_the_engines_sequences() -> None:
    peer = Peer(last_client_sequence=30, last_report_number=5)
    session = live(peer, resume=ResumeState(last_report_number=2, last_client_sequence=0))
    assert (session.recorded, session.entered, session.last_report_number) == (30, 30, 2)


# ---- What the engine could not record --------------------------------------------------------------------------------


def test_a_refused_frame_and_those_behind_it_are_sent_again_together() -> None:
    peer = Peer()
    session = live(peer)
    for price in (1, 2, 3):
        session.enter(order(price))
    session.output()
    session.receive(peer.report(EventKind.ACCEPTED, reference=1))
    session.receive(peer.message(MessageKind.REFUSED, code=Code.MESSAGE_RATE_EXCEEDED, reference=2))
    assert not session.retry()  # the refusal of the third is still to come
    session.receive(peer.message(MessageKind.REFUSED, code=Code.EARLIER_REFUSED, reference=3))
    assert session.refusal is not None
    assert session.refusal.code == Code.MESSAGE_RATE_EXCEEDED
    session.enter(order(4))
    assert session.output() == b""
    assert session.retry()
    assert sequences(peer.frames(session.output())) == [2, 3, 4]


@pytest.mark.parametrize("code", [Code.JOURNAL_NO_ROOM, Code.CORE_NO_ROOM, Code.ENGINE_STOPPING])
def test_a_refused_command_is_sent_again_with_its_prefixes(code: Code) -> None:
    peer = Peer()
    session = live(peer)
    session.enter(*pack(Asset(asset=1, decimals=2), "USD"))
    session.output()
    session.receive(peer.message(MessageKind.REFUSED, code=code, reference=1))
    session.receive(peer.message(MessageKind.REFUSED, code=code, reference=2))
    assert session.retry()
    assert sequences(peer.frames(session.output())) == [1, 2]


def test_refused_frames_can_be_taken_back_and_their_sequences_are_used_again() -> None:
    peer = Peer()
    session = live(peer)
    session.enter(order(1))
    request = entered(session, order(2), until=Until.ANSWER)
    session.output()
    session.receive(peer.message(MessageKind.REFUSED, code=Code.JOURNAL_NO_ROOM, reference=1))
    assert session.withdraw() is None  # the second may still be recorded
    session.receive(peer.message(MessageKind.REFUSED, code=Code.EARLIER_REFUSED, reference=2))
    assert session.withdraw() == [request]
    assert (session.outstanding_count(), session.requests) == (0, {})
    session.enter(order(3))
    assert sequences(peer.frames(session.output())) == [1]


def test_a_ping_over_the_rate_is_asked_again() -> None:
    peer = Peer()
    session = live(peer)
    request = entered(session, order(), until=Until.FENCE)
    session.output()
    session.receive(peer.report(EventKind.ACCEPTED, reference=1, sequence=9))
    session.receive(peer.message(MessageKind.REFUSED, code=Code.MESSAGE_RATE_EXCEEDED, reference=1))
    assert not request.complete
    assert session.retry()
    (ping,) = peer.frames(session.output())
    session.receive(peer.message(MessageKind.PONG, reference=Ping.unpack(ping).echo, order_id=1))
    assert request.complete


# ---- Requests --------------------------------------------------------------------------------------------------------


def test_how_a_command_is_known_to_be_complete() -> None:
    gtc, ioc = TimeInForce.GOOD_TILL_CANCELLED, TimeInForce.IMMEDIATE_OR_CANCEL
    market, by_quote = OrderType.MARKET, OrderType.MARKET_BY_QUOTE
    assert complete_when([order(time_in_force=gtc)]) is Until.FENCE
    assert complete_when([order(time_in_force=gtc, post_only=True)]) is Until.ANSWER
    assert complete_when([order(time_in_force=ioc)]) is Until.DONE
    assert complete_when([order(time_in_force=ioc, order_type=market)]) is Until.DONE
    assert complete_when([order(time_in_force=ioc, order_type=by_quote)]) is Until.DONE
    assert complete_when([Replace().pack()]) is Until.FENCE
    assert complete_when([Cancel().pack()]) is Until.FENCE
    assert complete_when([InstrumentState().pack()]) is Until.FENCE
    assert complete_when([MassCancel().pack()]) is Until.ANSWER
    assert complete_when([CountdownCancel().pack()]) is Until.ANSWER


def test_an_order_that_waits_is_complete_when_it_is_taken() -> None:
    stop, iceberg = OrderTerms(trigger=Trigger.STOP, trigger_price_ticks=90), OrderTerms(display_lots=1)
    assert complete_when([stop.pack(), order(time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL)]) is Until.ANSWER
    assert complete_when([stop.pack(), order()]) is Until.ANSWER
    assert complete_when([iceberg.pack(), order()]) is Until.FENCE


def test_the_order_cancelled_first_belongs_to_the_outcome_and_does_not_answer() -> None:
    for reference in (2, 0):  # entered by this key, or by another
        peer = Peer()
        session = live(peer)
        link = OrderLink(order_id=4, action=LinkAction.CANCEL_FIRST)
        request = entered(session, link.pack(), order(post_only=True), until=Until.ANSWER)
        session.receive(peer.report(EventKind.CANCELLED, sequence=9, order_id=4, reference=reference, flags=DONE))
        assert not request.complete
        session.receive(peer.report(EventKind.REJECTED, sequence=9, reference=2, code=Code.INSUFFICIENT_FUNDS))
        assert [report.kind for report in request.outcome().reports] == [EventKind.CANCELLED, EventKind.REJECTED]
        assert request.outcome().rejected
        assert not session.reports


def test_what_comes_behind_the_end_of_an_immediate_order_is_no_part_of_its_outcome_and_not_lost() -> None:
    peer = Peer()
    session = live(peer)
    request = entered(session, order(), until=Until.DONE)
    burst = peer.report(EventKind.ACCEPTED, reference=1, sequence=9, order_id=9)
    burst += peer.report(EventKind.FILLED, flags=DONE, sequence=9, order_id=9)
    burst += peer.report(EventKind.TRIGGERED, sequence=9, order_id=4, reference=77)
    session.receive(burst)
    assert [report.order_id for report in request.outcome().reports] == [9, 9]
    assert [report.order_id for report in session.reports] == [4]


def test_an_order_that_fires_names_a_trade_and_no_client_sequence() -> None:
    peer = Peer()
    session = live(peer)
    session.receive(peer.report(EventKind.TRIGGERED, sequence=9, order_id=4, reference=77))
    assert [report.kind for report in session.reports] == [EventKind.TRIGGERED]
    assert session.recorded == 0


def test_a_resting_order_is_complete_when_the_ping_behind_it_is_answered() -> None:
    peer = Peer()
    session = live(peer)
    request = entered(session, order(), until=Until.FENCE)
    _, ping = peer.frames(session.output())
    session.receive(peer.report(EventKind.ACCEPTED, reference=1, sequence=9, order_id=9))
    session.receive(peer.report(EventKind.FILLED, reference=77, sequence=9, order_id=9, quantity_lots=2))
    assert not request.complete
    session.receive(peer.message(MessageKind.PONG, reference=Ping.unpack(ping).echo, order_id=1))
    outcome = request.outcome()
    assert (outcome.order_id, outcome.filled_lots, len(outcome.reports)) == (9, 2, 2)
    assert not session.reports


def test_a_pong_that_overtakes_its_answer_is_asked_for_again() -> None:
    peer = Peer()
    session = live(peer)
    request = entered(session, order(), until=Until.FENCE)
    session.output()
    session.receive(peer.message(MessageKind.PONG, reference=session._echo, order_id=0))
    session.receive(peer.report(EventKind.ACCEPTED, reference=1, sequence=9, order_id=9))
    assert not request.complete
    (ping,) = peer.frames(session.output())
    session.receive(peer.message(MessageKind.PONG, reference=Ping.unpack(ping).echo, order_id=1))
    assert request.complete


def test_an_immediate_order_is_complete_when_it_is_done() -> None:
    peer = Peer()
    session = live(peer)
    request = entered(session, order(), until=Until.DONE)
    session.receive(peer.report(EventKind.ACCEPTED, reference=1, sequence=9, order_id=9))
    session.receive(peer.report(EventKind.FILLED, flags=DONE | 2, sequence=9, order_id=4))  # the maker, same key
    assert not request.complete
    session.receive(peer.report(EventKind.CANCELLED, flags=DONE, sequence=9, order_id=9))
    assert [report.order_id for report in request.outcome().reports] == [9, 4, 9]


def test_a_rejected_order_is_complete_at_once() -> None:
    peer = Peer()
    session = live(peer)
    request = entered(session, order(), until=Until.FENCE)
    session.receive(peer.report(EventKind.REJECTED, reference=1, code=Code.PRICE_INVALID, sequence=9))
    assert request.outcome().rejected


def test_reports_of_other_commands_do_not_get_into_an_outcome() -> None:
    peer = Peer()
    session = live(peer)
    request = entered(session, order(), until=Until.DONE)
    session.receive(peer.report(EventKind.FILLED, sequence=8, order_id=3))
    session.receive(peer.report(EventKind.ACCEPTED, reference=1, sequence=9, order_id=9))
    session.receive(peer.report(EventKind.FILLED, flags=DONE, sequence=9, order_id=9))
    session.receive(peer.report(EventKind.FILLED, sequence=10, order_id=3))
    assert [report.sequence for report in request.outcome().reports] == [9, 9]
    assert [report.sequence for report in session.reports] == [8, 10]


def test_a_mass_cancel_owns_the_reports_before_its_answer() -> None:
    peer = Peer()
    session = live(peer)
    request = entered(session, MassCancel(account=ACCOUNT).pack(), until=Until.ANSWER)
    session.receive(peer.report(EventKind.FILLED, sequence=7, order_id=1))
    session.receive(peer.report(EventKind.CANCELLED, sequence=8, order_id=2))
    session.receive(peer.report(EventKind.CANCELLED, sequence=9, order_id=3))
    session.receive(peer.report(EventKind.CANCELLED, sequence=9, order_id=4))
    assert session.resume_state().last_report_number == 0
    session.receive(peer.report(EventKind.APPLIED, sequence=9, reference=1, quantity_lots=2))
    assert [report.order_id for report in request.outcome().reports] == [3, 4, 0]
    assert [report.order_id for report in session.reports] == [1, 2]


def test_a_forgotten_request_gives_its_reports_back() -> None:
    peer = Peer()
    session = live(peer)
    request = entered(session, order(), until=Until.FENCE)
    session.receive(peer.report(EventKind.ACCEPTED, reference=1, sequence=9, order_id=9))
    session.forget(request)
    session.receive(peer.report(EventKind.FILLED, sequence=9, order_id=9))
    assert [report.kind for report in session.reports] == [EventKind.ACCEPTED, EventKind.FILLED]


def test_requests_survive_a_loss_of_the_line() -> None:
    peer = Peer()
    session = live(peer)
    request = entered(session, order(), until=Until.FENCE)
    session.output()
    session.line_lost()
    answer_report = peer.report(EventKind.ACCEPTED, reference=1, sequence=9, order_id=9)
    peer.last_client_sequence = 1
    (ping,) = again(session, peer)
    session.receive(answer_report + peer.message(MessageKind.PONG, reference=Ping.unpack(ping).echo, order_id=1))
    assert request.complete


# ---- Whatever arrives ------------------------------------------------------------------------------------------------


@given(st.binary(max_size=600), st.booleans())
def test_no_bytes_bring_anything_but_a_protocol_error(data: bytes, logged_on: bool) -> None:
    session = live(Peer()) if logged_on else Session(KEY)
    if not logged_on:
        session.logon(1, CLIENT_NONCE)
    else:
        session.enter(order(), until=Until.FENCE)
    try:
        session.receive(data)
    except ProtocolError:
        assert session.state is State.ENDED


@given(st.lists(st.sampled_from([*EventKind, *MessageKind]), max_size=12), st.data())
def test_reports_are_taken_alike_however_the_bytes_are_cut(kinds: list[int], data: st.DataObject) -> None:
    peer = Peer()
    stream = b"".join(
        peer.report(EventKind(kind), order_id=n, sequence=n // 3, reference=n % 4)
        if kind in (1, 2, 3, 4, 5, 6)
        else peer.message(MessageKind.PONG, reference=n)
        for n, kind in enumerate(kinds)
    )

    def taken(parts: list[bytes]) -> tuple[list[int], list[int], int]:
        session = live(Peer())
        requests = [entered(session, order(), until=Until.ANSWER) for _ in range(4)]
        for part in parts:
            session.receive(part)
        outcomes = [report.report_number for request in requests for report in request.reports]
        return [report.report_number for report in session.reports], outcomes, session.recorded

    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    edges = [0, *cuts, len(stream)]
    parts = [stream[low:high] for low, high in itertools.pairwise(edges)]
    whole = taken([stream])
    assert taken(parts) == whole
    assert sorted(whole[0] + whole[1]) == list(range(1, peer.last_report_number + 1))
