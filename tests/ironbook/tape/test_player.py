"""The player on the slow oracle: what it sends, what it counts, and how it explains what differs."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import pytest

from ironbook.tape import FlowOptions, TapeKind, TapeMessage, TapeOptions, generate
from ironbook.tape._outcome import OutcomeLog
from ironbook.tape._plan import Planner, StepKind
from ironbook.tape._venue import Venue, VenueOptions
from ironbook.tape.player import Played, Player, PlayOptions, parse_pace, price_text, time_text
from schemas.vocabulary import Cancel, NewOrder, Replace, Side, TimeInForce
from tests.ironbook.tape.desk import Desk

BUY, SELL = int(Side.BUY), int(Side.SELL)
SECOND = 1_000_000_000


class Tape:
    """Writes messages down with rising index and time."""

    def __init__(self) -> None:
        self.messages: list[TapeMessage] = []

    def note(self, kind: TapeKind, order_id: int, side: int, price: int, quantity: int, new_id: int = 0) -> Tape:
        index = len(self.messages) + 1
        message = TapeMessage(
            index=index, time_ns=index * SECOND, kind=kind, symbol="ABC", order_id=order_id, side=side, price=price,
            quantity=quantity, new_order_id=new_id,
        )  # fmt: skip
        self.messages.append(message)
        return self

    def add(self, order_id: int, side: int, price: int, quantity: int) -> Tape:
        return self.note(TapeKind.ADD, order_id, side, price, quantity)

    def hit(self, order_id: int, side: int, price: int, quantity: int) -> Tape:
        return self.note(TapeKind.EXECUTE, order_id, side, price, quantity)


def player_on(desk: Desk, makers: int = 2, options: PlayOptions | None = None, step: int = 100) -> Player:
    accounts = list(range(1, makers + 2))
    venue = Venue(desk.client(100), accounts, VenueOptions(step=step))
    venue.open()
    return Player([desk.client(account, account) for account in accounts], venue, options)


def play(messages: Iterable[TapeMessage], makers: int = 2, step: int = 100) -> tuple[Played, Player, Desk]:
    desk = Desk()
    player = player_on(desk, makers, step=step)
    played = player.play(messages)
    desk.oracle.check_conservation()
    for (client, asset), units in played.balances.items():
        number = 1 if asset == "cash" else 2
        deposited = player.venue.cash_units_per_account if number == 1 else player.venue.options.shares_per_account
        balance = desk.oracle.state.balances[client + 1, number]
        assert balance.free + balance.locked == deposited + units
    return played, player, desk


def test_an_execution_of_the_order_that_comes_first_agrees() -> None:
    tape = Tape().add(7, BUY, 500_000, 100).add(8, BUY, 500_000, 50).hit(7, BUY, 500_000, 100).hit(8, BUY, 500_000, 20)
    played, player, _ = play(tape.messages)
    assert (played.messages, played.commands, played.fills, played.rejected) == (4, 4, 2, 0)
    assert (played.executions_checked, played.executions_agreed) == (2, 2)
    assert player.books["ABC"].rest_of(8) == 30
    assert played.differences == []
    assert played.latencies.count == 4


def test_shares_and_money_with_fees_are_counted_by_client() -> None:
    played, _, _ = play(Tape().add(2, BUY, 500_000, 100).hit(2, BUY, 500_000, 100).messages)
    notional = 5_000 * 1_000_000  # 100 shares at 50.00, in millionths
    assert played.balances == {
        (0, "ABC"): -100,
        (0, "cash"): notional - notional * 30 // 1_000_000,
        (1, "ABC"): 100,
        (1, "cash"): -notional + notional * 20 // 1_000_000,
    }


def test_a_hit_behind_the_head_of_the_queue_differs_and_is_explained() -> None:
    tape = Tape().add(7, BUY, 500_000, 100).add(8, BUY, 500_000, 50).hit(8, BUY, 500_000, 50)
    played, player, _ = play(tape.messages)
    assert (played.executions_checked, played.executions_agreed) == (1, 0)
    assert played.differences[0].text() == (
        "message 3 at 00:00:03.000000000 ABC\n"
        "  tape  order 8 50 @ 50.00\n"
        "  book  order 7 50 @ 50.00\n"
        "  why   queue position: one order with 100 shares stands before order 8 at 50.00; "
        "order 7 (message 1) comes first"
    )
    assert player.books["ABC"].rest_of(7) == 50
    assert player.books["ABC"].rest_of(8) == 50


def test_differences_stay_in_the_book_and_later_ones_name_them() -> None:
    tape = (
        Tape()
        .add(7, SELL, 500_000, 50).add(8, SELL, 500_000, 50).hit(8, SELL, 500_000, 50)
        .hit(7, SELL, 500_000, 20).hit(7, SELL, 500_000, 30)
    )  # fmt: skip
    played, _, _ = play(tape.messages)
    assert (played.executions_checked, played.executions_agreed) == (3, 0)
    assert [difference.why for difference in played.differences[1:]] == [
        "order 7 is gone: the book filled it at message 3, where the tape hit another"
    ] * 2
    assert [fill.maker for difference in played.differences for fill in difference.fills] == [7, 8, 8]


def test_an_execution_away_from_the_best_price_is_explained() -> None:
    tape = Tape().add(7, BUY, 500_000, 100).add(8, BUY, 500_100, 30).hit(7, BUY, 500_000, 60)
    played, _, _ = play(tape.messages)
    (difference,) = played.differences
    assert difference.why == "order 7 is not at the best price: order 8 (message 2) still stands at 50.01"
    assert [(fill.maker, fill.price, fill.quantity) for fill in difference.fills] == [
        (8, 500_100, 30),
        (7, 500_000, 30),
    ]


def test_more_than_the_book_has_left_is_explained() -> None:
    tape = (
        Tape().add(7, BUY, 500_000, 100).add(8, BUY, 500_000, 100)
        .hit(8, BUY, 500_000, 40).hit(7, BUY, 500_000, 100)
    )  # fmt: skip
    played, _, _ = play(tape.messages)
    assert played.differences[1].why == (
        "order 7 is first in the queue, but has only 60 left: the book filled more of it than the tape"
    )


def test_several_orders_ahead_are_counted() -> None:
    tape = Tape().add(1, BUY, 500_000, 10).add(2, BUY, 500_000, 20).add(3, BUY, 500_000, 30).hit(3, BUY, 500_000, 5)
    played, _, _ = play(tape.messages)
    assert "2 orders with 30 shares stand before order 3 at 50.00; order 1 (message 1)" in played.differences[0].why


def test_an_arrival_that_crosses_trades_and_is_counted() -> None:
    tape = Tape().add(1, BUY, 500_000, 10).add(2, SELL, 499_900, 25).hit(2, SELL, 499_900, 15)
    played, player, _ = play(tape.messages)
    assert (played.fills, played.arrivals_that_traded) == (2, 1)
    assert (played.executions_checked, played.executions_agreed) == (1, 1)
    assert player.books["ABC"].orders == {}


def test_an_arrival_that_crosses_its_own_client_trades_too() -> None:
    tape = Tape().add(2, BUY, 500_000, 10).add(4, SELL, 500_000, 10)
    played, player, _ = play(tape.messages)
    assert (played.fills, played.arrivals_that_traded, played.rejected) == (1, 1, 0)
    assert player.books["ABC"].orders == {}


def test_executions_of_orders_from_before_the_tape_are_not_sent() -> None:
    played, _, _ = play(Tape().hit(5, BUY, 500_000, 10).add(1, BUY, 500_000, 10).messages)
    assert (played.commands, played.executions_checked, played.executions_unknown) == (1, 0, 1)


def test_deletes_that_find_nothing_are_refused_and_counted() -> None:
    tape = Tape().note(TapeKind.DELETE, 5, BUY, 500_000, 10)
    played, _, _ = play(tape.messages)
    assert (played.rejected, played.reject_codes) == (1, {"unknown_order": 1})


def test_a_part_that_is_cancelled_keeps_the_orders_place() -> None:
    tape = (
        Tape().add(1, BUY, 500_000, 100).add(2, BUY, 500_000, 100)
        .note(TapeKind.REDUCE, 1, BUY, 500_000, 60).hit(1, BUY, 500_000, 40).hit(2, BUY, 500_000, 100)
    )  # fmt: skip
    played, _, _ = play(tape.messages)
    assert (played.executions_checked, played.executions_agreed, played.rejected) == (2, 2, 0)


def test_a_part_that_the_book_has_filled_cannot_be_cancelled() -> None:
    tape = (
        Tape().add(1, BUY, 500_000, 100).add(2, BUY, 500_000, 100)
        .hit(2, BUY, 500_000, 90).note(TapeKind.REDUCE, 1, BUY, 500_000, 20)
    )  # fmt: skip
    played, player, _ = play(tape.messages)
    assert played.reject_codes == {"replace_quantity_filled": 1}
    assert player.books["ABC"].rest_of(1) == 10


def test_a_replacement_goes_to_the_end_of_the_queue() -> None:
    tape = (
        Tape().add(1, BUY, 500_000, 100).add(2, BUY, 500_000, 100)
        .note(TapeKind.REPLACE, 1, BUY, 500_000, 50, 3).hit(2, BUY, 500_000, 100).hit(3, BUY, 500_000, 50)
    )  # fmt: skip
    played, _, _ = play(tape.messages)
    assert (played.commands, played.executions_checked, played.executions_agreed) == (6, 2, 2)


def test_an_execution_at_another_price_takes_shares_off_without_a_trade() -> None:
    tape = (
        Tape().add(1, BUY, 500_000, 100)
        .note(TapeKind.EXECUTE_AT, 1, BUY, 499_950, 60).note(TapeKind.EXECUTE_AT, 1, BUY, 499_950, 40)
    )  # fmt: skip
    played, player, _ = play(tape.messages)
    assert (played.fills, played.executions_checked, played.rejected) == (0, 0, 0)
    assert player.books["ABC"].orders == {}


def test_what_concerns_no_visible_order_is_counted_and_not_sent() -> None:
    tape = Tape()
    for kind in (TapeKind.HIDDEN, TapeKind.CROSS, TapeKind.HALT, TapeKind.QUOTE_ONLY, TapeKind.RESUME, TapeKind.OTHER):
        tape.note(kind, 0, 0, 0, 0)
    played, _, _ = play(tape.messages)
    assert (played.messages, played.commands) == (6, 0)


def test_a_seeded_flow_agrees_whole_and_balances_reconcile() -> None:
    played, _, _ = play(generate(1_500, FlowOptions(seed=2)), makers=3)
    assert played.executions_checked == played.executions_agreed > 50
    assert played.rejected == 0


def test_the_outcome_is_the_same_at_every_tick_and_another_for_another_tape() -> None:
    messages = list(generate(400, FlowOptions(seed=2)))
    digests = {play(messages, step=step)[0].outcome_digest for step in (100, 1, 100)}
    assert len(digests) == 1
    assert play(messages[:-1])[0].outcome_digest != play(generate(400, FlowOptions(seed=3)))[0].outcome_digest


def test_a_price_between_two_ticks_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(TapeOptions, match="must be multiples of the tick, 100 ten-thousandths, was 500050") as caught:
        play(Tape().add(1, BUY, 500_050, 10).messages)
    assert "message 1" in caught.value.detail


def test_the_last_line_has_exactly_the_promised_fields() -> None:
    played, _, _ = play(Tape().add(7, BUY, 500_000, 100).hit(7, BUY, 500_000, 100).messages)
    said = played.to_json()
    names = "messages executions_checked executions_agreed rejected orders_per_s latency_us outcome_digest"
    assert list(said) == names.split()
    latency = said["latency_us"]
    assert isinstance(latency, dict)
    assert list(latency) == ["p50", "p99", "p999"]
    assert isinstance(said["outcome_digest"], str)
    assert len(said["outcome_digest"]) == 64


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.ns = 0
        self.slept: list[float] = []

    def now_ns(self) -> int:
        return self.ns

    def sleep_s(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.ns += round(seconds * SECOND)


@pytest.mark.parametrize(
    ("pace", "slept"), [("flat", []), ("recorded", [1.0, 1.0]), ("4x", [0.25] * 2), ("0.5x", [2.0] * 2)]
)
def test_pace_is_the_recorded_one_a_multiple_or_flat_out(pace: str, slept: list[float]) -> None:
    clock = Clock()
    options = PlayOptions(speed=parse_pace(pace), now_ns=clock.now_ns, sleep_s=clock.sleep_s)
    desk = Desk()
    tape = Tape().add(1, BUY, 500_000, 10).add(3, BUY, 500_000, 10).add(5, BUY, 500_000, 10)
    player_on(desk, options=options).play(tape.messages)
    assert clock.slept == slept


@pytest.mark.parametrize("text", ["", "fast", "0x", "-1x", "1/0", "1e9x", "nanx"])
def test_a_pace_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(TapeOptions, match="a pace must be flat, recorded, or a multiple"):
        parse_pace(text)
    assert parse_pace("2.5x") == Fraction(5, 2)


def test_steps_depend_on_the_tape_alone() -> None:
    plan = Planner(step=100, accounts=[11, 12, 13], instrument=lambda symbol: 5)
    tape = (
        Tape().add(4, BUY, 500_000, 100).note(TapeKind.REDUCE, 4, BUY, 500_000, 30).hit(4, BUY, 500_000, 70)
        .note(TapeKind.DELETE, 9, SELL, 500_000, 1)
    )  # fmt: skip
    steps = [step for message in tape.messages for step in plan.steps(message)]
    assert [(step.kind, step.client) for step in steps] == [
        (StepKind.ENTER, 1), (StepKind.REDUCE, 1), (StepKind.TAKE, 0), (StepKind.CANCEL, 2),
    ]  # fmt: skip
    order, replacement, taker, cancel = (step.command for step in steps)
    assert isinstance(order, NewOrder)
    assert (order.account, order.price_ticks, order.quantity_lots, order.client_order_id) == (12, 5_000, 100, 5)
    assert isinstance(replacement, Replace)
    assert (replacement.price_ticks, replacement.quantity_lots, replacement.target_client_order_id) == (5_000, 70, 5)
    assert isinstance(taker, NewOrder)
    assert (taker.account, taker.side, taker.client_order_id) == (11, SELL, 3)
    assert taker.time_in_force == TimeInForce.IMMEDIATE_OR_CANCEL
    assert isinstance(cancel, Cancel)
    assert cancel.target_client_order_id == 10
    assert not plan.is_open(4)


def test_the_digest_says_nothing_but_fills_and_balances() -> None:
    one, other = OutcomeLog(), OutcomeLog()
    for log, symbols in ((one, "AB"), (other, "BA")):
        for symbol in symbols:  # the order of trades counts within a symbol only
            log.fill(symbol, "o1", "m2", 500_000, 10)
        log.change(0, "A", 10)
        log.change(1, "A", -10)
        log.change(2, "A", 5)
    other.change(2, "A", -5)
    assert one.digest() != other.digest()
    one.change(2, "A", -5)
    assert one.digest() == other.digest()
    one.fill("A", "o1", "m3", 500_000, 10)
    assert one.digest() != other.digest()


def test_prices_and_times_are_written_as_people_write_them() -> None:
    assert [price_text(price) for price in (500_000, 500_050, 1, 12_345_678)] == [
        "50.00",
        "50.005",
        "0.0001",
        "1234.5678",
    ]
    assert time_text(34_200_004_241_176) == "09:30:00.004241176"
