"""The asyncio client against a scripted peer, on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from ironbook import (
    AnswerForged,
    AsyncClient,
    ClientClosed,
    ConnectionFailed,
    EventKind,
    Key,
    LogonRefused,
    NewOrder,
    NotRecorded,
    QueueFull,
    ReportGap,
    RequestTimeout,
    ResumeState,
    SessionEnded,
    Side,
)
from schemas.vocabulary import Code, Header, MessageKind
from tests.ironbook.conftest import FAST
from tests.support.scripted_engine import ScriptedEngine

Run = Callable[[Coroutine[Any, Any, None]], None]
BUY = Side.BUY


@pytest.fixture(params=["asyncio", "asyncio debug", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on a loop of its own; an error that nobody handled fails the test, and no task may be left."""

    def runner(main: Coroutine[Any, Any, None]) -> None:
        unhandled: list[dict[str, Any]] = []

        async def watched() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
            await asyncio.wait_for(main, 60)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left

        factory = uvloop.new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(debug=request.param == "asyncio debug", loop_factory=factory) as loop:
            loop.run(watched())
        assert not unhandled, unhandled

    return runner


def client(peer: ScriptedEngine, key: Key, **changes: object) -> AsyncClient:
    return AsyncClient(peer.address, key, options=dataclasses.replace(FAST, **changes))  # type: ignore[arg-type]


def buy(price: int = 100, quantity: int = 5) -> NewOrder:
    return NewOrder(
        account=7, instrument=1, price_ticks=price, quantity_lots=quantity, side=1, order_type=1, time_in_force=1,
        self_trade_prevention=2,
    )  # fmt: skip


def recorded_sequences(peer: ScriptedEngine) -> list[int]:
    return [Header.unpack(command).client_sequence for command in peer.recorded]


async def raises(kind: type[Exception], awaited: Awaitable[Any]) -> Any:
    with pytest.raises(kind) as caught:
        await awaited
    return caught.value


def test_many_tasks_wait_for_outcomes_of_their_own(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        async with client(peer, desk) as desk_client:
            outcomes = await asyncio.gather(*(desk_client.submit(1, BUY, price, 1) for price in range(1, 101)))
            assert [outcome.client_sequence for outcome in outcomes] == list(range(1, 101))
            cancelled = await asyncio.gather(*(desk_client.cancel(1, o.order_id) for o in reversed(outcomes)))
            assert {outcome.answer.code for outcome in cancelled} == {Code.CANCELLED_BY_REQUEST}
            assert await desk_client.take_reports(timeout_s=0.0) == []

    run(main())


def test_batches_and_commands_without_waiting(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        async with client(peer, desk) as desk_client:
            async with desk_client.batch() as batch:
                batch.submit(1, BUY, 1, 1)
                batch.mass_cancel()
            assert batch.outcomes[1].answer.quantity_lots == 1
            assert len(await desk_client.submit_many([buy()] * 50)) == 50
            assert await desk_client.send(buy()) == 53
            assert await desk_client.send_many([buy()] * 2) == range(54, 56)
            seen = []
            async for report in desk_client.reports:
                seen.append(report.reference)
                if len(seen) == 3:
                    break
            assert seen == [53, 54, 55]
            assert await desk_client.ping() > 0

    run(main())


def test_reports_end_when_the_client_is_closed(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        desk_client = await client(peer, desk).connect()

        async def read() -> int:
            return len([report async for report in desk_client.reports])

        reading = asyncio.create_task(read())
        await desk_client.send(buy())
        await desk_client.ping()
        await desk_client.close()
        assert await reading == 1
        await raises(ClientClosed, desk_client.submit(1, BUY, 1, 1))

    run(main())


@pytest.mark.parametrize("recorded_first", [0, 1, 9, 39])
def test_a_cut_in_the_middle_of_many_tasks_enters_each_command_once(
    peer: ScriptedEngine, desk: Key, run: Run, recorded_first: int
) -> None:
    async def main() -> None:
        async with client(peer, desk) as desk_client:
            await desk_client.ping()
            peer.cut_after = recorded_first
            outcomes = await asyncio.gather(*(desk_client.submit(1, BUY, price, 1) for price in range(1, 41)))
            assert {outcome.answer.kind for outcome in outcomes} == {EventKind.ACCEPTED}
            assert desk_client.logon_count == 2

    run(main())
    assert recorded_sequences(peer) == list(range(1, 41))


def test_commands_given_while_the_line_is_lost_wait_for_it(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        async with client(peer, desk) as desk_client:
            await desk_client.submit(1, BUY, 1, 1)
            peer.cut()
            await asyncio.sleep(0)
            outcome = await desk_client.submit(1, BUY, 2, 1)
            assert outcome.client_sequence == 2

    run(main())
    assert recorded_sequences(peer) == [1, 2]


def test_an_end_that_cannot_be_mended_reaches_everybody_who_waits(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        async with client(peer, desk) as desk_client:
            peer.mute = True
            waiting = [asyncio.create_task(raises(SessionEnded, desk_client.submit(1, BUY, 1, 1))) for _ in range(3)]
            waiting.append(asyncio.create_task(raises(SessionEnded, desk_client.take_reports())))
            await asyncio.sleep(0.05)
            peer.tell(peer.message(MessageKind.SESSION_ENDED, code=Code.SESSION_REPLACED))
            errors = await asyncio.gather(*waiting)
            assert {error.engine_code for error in errors} == {Code.SESSION_REPLACED}
            await raises(SessionEnded, desk_client.submit(1, BUY, 1, 1))

    run(main())


@pytest.mark.parametrize("code", [Code.SERVER_STOPPING, Code.IDLE_TIMEOUT, Code.SLOW_READER, Code.SEQUENCE_GAP])
def test_an_end_that_can_be_mended_is_mended(peer: ScriptedEngine, desk: Key, run: Run, code: Code) -> None:
    async def main() -> None:
        async with client(peer, desk) as desk_client:
            await desk_client.submit(1, BUY, 2, 1)
            peer.tell(peer.message(MessageKind.SESSION_ENDED, code=code))
            await desk_client.submit(1, BUY, 2, 1)
            assert desk_client.logon_count == 2

    run(main())


def test_logons_that_cannot_succeed_say_why(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        await raises(LogonRefused, client(peer, Key(key_id="desk", secret=b"\1" * 32)).connect())
        peer.alter_answer = lambda answer: answer[:8] + bytes(16) + answer[24:]
        await raises(AnswerForged, client(peer, desk).connect())
        peer.end_logon = Code.REPORTS_UNAVAILABLE
        error = await raises(SessionEnded, client(peer, desk).connect())
        assert error.engine_code is Code.REPORTS_UNAVAILABLE
        peer.stop_listening()
        await raises(ConnectionFailed, client(peer, desk).connect())

    run(main())


def test_a_missing_report_is_an_error_and_connecting_again_gets_it(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        async with client(peer, desk) as desk_client:
            await desk_client.submit(1, BUY, 1, 1)
            peer.report(EventKind.FILLED, order_id=1)
            peer.tell(peer.report(EventKind.FILLED, order_id=2))
            await raises(ReportGap, desk_client.take_reports())
            await desk_client.connect()
            assert [report.order_id for report in await desk_client.take_reports()] == [1, 2]

    run(main())


def test_a_line_that_does_not_come_back_is_connection_failed(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        desk_client = await client(peer, desk, reconnect_timeout_s=0.2).connect()
        peer.mute = True
        await desk_client.send(buy())
        peer.stop_listening()
        peer.cut()
        await raises(ConnectionFailed, desk_client.take_reports())
        assert len(desk_client.resume_state().outstanding) == 1
        await desk_client.close()

    run(main())


def test_no_answer_in_time_is_a_time_out_and_the_answer_still_comes(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        async with client(peer, desk) as desk_client:
            peer.mute = True
            await raises(RequestTimeout, desk_client.submit(1, BUY, 1, 1, timeout_s=0.1))
            peer.mute = False
            peer.cut()
            assert [report.reference for report in await desk_client.take_reports()] == [1]

    run(main())


def test_a_cancelled_task_leaves_its_command_to_the_reports(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        async with client(peer, desk) as desk_client:
            peer.mute = True
            waiting = asyncio.create_task(desk_client.submit(1, BUY, 1, 1))  # type: ignore[arg-type]
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            peer.mute = False
            peer.cut()
            assert [report.reference for report in await desk_client.take_reports()] == [1]

    run(main())


def test_refused_commands_are_sent_again_or_taken_back(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        async with client(peer, desk, refusal_timeout_s=0.2) as desk_client:
            peer.refuse = {2: [Code.MESSAGE_RATE_EXCEEDED, Code.JOURNAL_NO_ROOM]}
            outcomes = await desk_client.submit_many([buy(price) for price in (1, 2, 3)])
            assert [outcome.answer.reference for outcome in outcomes] == [1, 2, 3]
            peer.refuse = {4: [Code.CORE_NO_ROOM] * 1000}
            error = await raises(NotRecorded, desk_client.submit(1, BUY, 1, 1))
            assert error.engine_code is Code.CORE_NO_ROOM
            await desk_client.send(buy())
            await asyncio.sleep(0.5)
            await raises(NotRecorded, desk_client.submit(1, BUY, 1, 1))
            peer.refuse.clear()
            assert (await desk_client.submit(1, BUY, 3, 1)).client_sequence == 4

    run(main())


def test_frames_wait_for_room_and_reports_nobody_reads_stop_reading(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        async with client(peer, desk, outstanding_max=10, report_queue_max=8, request_timeout_s=2.0) as desk_client:
            await raises(QueueFull, desk_client.submit_many([buy()] * 11))
            outcomes = await asyncio.gather(*(desk_client.submit(1, BUY, 1, 1) for _ in range(50)))
            assert len(outcomes) == 50
            await desk_client.send_many([buy()] * 8)
            await asyncio.sleep(0.3)
            await raises(QueueFull, desk_client.submit(1, BUY, 1, 1))
            assert len(await desk_client.take_reports()) == 8
            assert not (await desk_client.submit(1, BUY, 1, 1)).rejected

    run(main())


def test_an_idle_client_sends_pings(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        peer.idle_ms = 300
        async with client(peer, desk):
            await asyncio.sleep(0.8)
        assert peer.pings >= 4

    run(main())


def test_a_saved_state_goes_on_in_another_client(peer: ScriptedEngine, desk: Key, run: Run) -> None:
    async def main() -> None:
        async with client(peer, desk) as first:
            await first.submit(1, BUY, 1, 1)
            saved = first.resume_state()
        peer.report(EventKind.FILLED, order_id=101)
        async with AsyncClient(peer.address, desk, options=FAST, resume=saved) as second:
            assert [report.order_id for report in await second.take_reports()] == [101]
        assert saved == ResumeState(last_report_number=1, last_client_sequence=1)

    run(main())
