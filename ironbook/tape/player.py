"""Plays a tape through signed clients, and compares what the engine does with what the tape says.

    tape ──▶ plan ──▶ step ──▶ client ──▶ engine
                        │                    │ answer, fills of both sides
                        ▼                    ▼
                      what the tape     what the book did  ──▶ agreed, or a difference that is shown and explained
                      says was hit

Lock-step: the next command leaves when everything that the one before it caused has come back, on every client that
has part in it. So the order of commands at the engine is the tape's, whichever client sends; only the pace differs
between runs.

An execution agrees if its order made exactly one fill: with the recorded order, at the recorded price, for the recorded
quantity. A difference stays in the book. To say why it came about, the player keeps its own picture of each book, moved
only by what the engine reported.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from ironbook import Outcome, Report
from schemas.vocabulary import Code, EventKind, Side

from ._book import QueueBook
from ._latency import Latencies
from ._outcome import CASH, OutcomeLog
from ._plan import Planner, Step, StepKind, tape_order_id
from ._venue import Trader, Venue
from .errors import TapeFailed, TapeOptions
from .messages import NS_PER_SECOND, PRICE_UNITS_PER_ONE, TapeMessage

RECENT_FILLS = 6
GATHER_TIMEOUT_S = 30.0  # for the other side of a trade to be told


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One trade, in the tape's numbers."""

    symbol: str
    maker: int  # the tape's order that was hit
    taker: str  # `m<message>` or `o<order>`
    price: int  # ten-thousandths
    quantity: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A recorded execution with which the book did not agree."""

    message: TapeMessage
    fills: tuple[Fill, ...]
    why: str

    def text(self) -> str:
        """What the tape says, what the book did, and why: one line each."""
        message = self.message
        did = ", ".join(f"order {f.maker} {f.quantity} @ {price_text(f.price)}" for f in self.fills) or "nothing"
        left = message.quantity - sum(fill.quantity for fill in self.fills)
        return (
            f"message {message.index} at {time_text(message.time_ns)}{' ' + message.symbol if message.symbol else ''}\n"
            f"  tape  order {message.order_id} {message.quantity} @ {price_text(message.price)}\n"
            f"  book  {did}{f', {left} left unfilled' if left else ''}\n"
            f"  why   {self.why}"
        )


@dataclasses.dataclass(slots=True, kw_only=True)
class Played:
    """What came of a tape."""

    messages: int = 0
    commands: int = 0
    fills: int = 0
    rejected: int = 0
    reject_codes: dict[str, int] = dataclasses.field(default_factory=dict)
    executions_checked: int = 0
    executions_agreed: int = 0
    executions_unknown: int = 0  # of orders whose arrival is not on the tape: not sent
    arrivals_that_traded: int = 0
    elapsed_ns: int = 0
    latencies: Latencies = dataclasses.field(default_factory=Latencies)
    differences: list[Difference] = dataclasses.field(default_factory=list)
    outcome_digest: str = ""
    balances: dict[tuple[int, str], int] = dataclasses.field(default_factory=dict)

    @property
    def orders_per_s(self) -> int:
        """Commands a second, waiting for the tape's pace included."""
        return self.commands * NS_PER_SECOND // self.elapsed_ns if self.elapsed_ns else 0

    def to_json(self) -> dict[str, object]:
        """The last line of `ironbook tape --json`."""
        return {
            "messages": self.messages,
            "executions_checked": self.executions_checked,
            "executions_agreed": self.executions_agreed,
            "rejected": self.rejected,
            "orders_per_s": self.orders_per_s,
            "latency_us": self.latencies.to_json(),
            "outcome_digest": self.outcome_digest,
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlayOptions:
    """How to play."""

    speed: Fraction | None = None  # of the recorded pace; None: flat out
    differences_shown: int = 10  # how many are kept with their explanation
    now_ns: Callable[[], int] = time.perf_counter_ns
    sleep_s: Callable[[float], None] = time.sleep


def parse_pace(text: str) -> Fraction | None:
    """`flat` is None, `recorded` is 1, `20x` or `0.5x` a multiple. Raises TapeOptions."""
    if text == "flat":
        return None
    try:
        speed = Fraction(1) if text == "recorded" else Fraction(text.removesuffix("x"))
    except (ValueError, ZeroDivisionError):
        speed = Fraction(0)
    if not 0 < speed <= 1_000_000:
        raise TapeOptions(
            f"a pace must be flat, recorded, or a multiple like 20x or 0.5x (at most 1000000x), was {text!r}"
        )
    return speed


class Player:
    """Plays one tape once. `traders` are those of venue.accounts: taker, then makers; some may be one client."""

    def __init__(self, traders: Sequence[Trader], venue: Venue, options: PlayOptions | None = None) -> None:
        if len(traders) != len(venue.accounts):
            raise TapeOptions(
                f"each account must have its client: {len(venue.accounts)} accounts, {len(traders)} clients"
            )
        self.traders = list(traders)
        self.venue = venue
        self.options = options or PlayOptions()
        self.plan = Planner(step=venue.options.step, accounts=venue.accounts, instrument=venue.instrument)
        self.played = Played()
        self.log = OutcomeLog()
        self.books: dict[str, QueueBook] = {}
        self.recent: deque[tuple[int, Fill]] = deque(
            maxlen=RECENT_FILLS
        )  # the last fills, each with its time on the tape
        self._clients = {account: client for client, account in enumerate(venue.accounts)}
        self._distinct = list({id(trader): trader for trader in traders}.values())
        self._arrived: dict[tuple[str, int], int] = {}  # of orders in the books: message
        self._lost: dict[tuple[str, int], int] = {}  # filled by the book while the tape says open: message

    def play(self, messages: Iterable[TapeMessage], told: Callable[[Played], None] | None = None) -> Played:
        """Play to the end. Raises TapeError, and what the clients raise."""
        played, options = self.played, self.options
        started_ns = options.now_ns()
        first_ns: int | None = None
        for message in messages:
            played.messages += 1
            steps = self.plan.steps(message)
            if steps and options.speed is not None:
                first_ns = (
                    message.time_ns if first_ns is None else first_ns
                )  # hours of silence before it are not waited for
                self._keep_pace(started_ns, message.time_ns - first_ns, options.speed)
            for step in steps:
                self._step(message, step)
            if self._lost and not self.plan.is_open(message.order_id):
                self._lost.pop((message.symbol, message.order_id), None)
            if told is not None:
                told(played)
        played.elapsed_ns = options.now_ns() - started_ns
        played.executions_unknown = self.plan.executions_unknown
        played.fills = self.log.fill_count
        played.balances = dict(self.log.balances)
        played.outcome_digest = self.log.digest()
        return played

    def _keep_pace(self, started_ns: int, recorded_ns: int, speed: Fraction) -> None:
        due_ns = started_ns + recorded_ns * speed.denominator // speed.numerator
        while (left_ns := due_ns - self.options.now_ns()) > 0:
            self.options.sleep_s(left_ns / NS_PER_SECOND)

    # ---- One command ------------------------------------------------------------------------------------------------

    def _step(self, message: TapeMessage, step: Step) -> None:
        played = self.played
        book = self.books.get(step.symbol)
        if book is None:
            book = self.books[step.symbol] = QueueBook()
        began_ns = self.options.now_ns()
        outcome = self.traders[step.client].request(step.command)
        played.latencies.record(self.options.now_ns() - began_ns)
        played.commands += 1
        if outcome.rejected:
            played.rejected += 1
            name = outcome.answer.code.name.lower()
            played.reject_codes[name] = played.reject_codes.get(name, 0) + 1
            if step.kind is StepKind.TAKE:
                self._compare(message, step, (), book, outcome.answer.code)
            return
        if step.kind is StepKind.CANCEL:
            book.take(step.order_id, book.rest_of(step.order_id))
            self._arrived.pop((step.symbol, step.order_id), None)
        elif step.kind is StepKind.REDUCE:
            book.take(step.order_id, book.rest_of(step.order_id) - outcome.answer.remaining_lots)
        else:
            self._entered(message, step, outcome, book)

    def _entered(self, message: TapeMessage, step: Step, outcome: Outcome, book: QueueBook) -> None:
        """A new order: its fills, their other side, and what rests."""
        own_fills = outcome.fills
        fills = self._gather(message, step, outcome, own_fills) if own_fills else ()
        if step.kind is StepKind.TAKE:
            self._compare(message, step, fills, book, Code.NONE)
        self.played.arrivals_that_traded += bool(fills) and step.kind is StepKind.ENTER
        for fill in fills:
            book.take(fill.maker, fill.quantity)
            at = (step.symbol, fill.maker)
            if fill.maker not in book.orders:
                self._arrived.pop(at, None)
                if self.plan.is_open(fill.maker):
                    self._lost[at] = message.index
        if step.kind is StepKind.ENTER:
            rest = step.quantity - sum(fill.quantity for fill in fills)
            at = (step.symbol, step.order_id)
            if rest:
                book.rest(step.order_id, step.side, step.price, rest)
                self._arrived[at] = message.index
            else:
                self._lost[at] = message.index

    def _gather(
        self, message: TapeMessage, step: Step, outcome: Outcome, own_fills: tuple[Report, ...]
    ) -> tuple[Fill, ...]:
        """Both sides of each trade. The makers' reports may come on other clients: wait for them."""
        own_order = outcome.answer.order_id
        waiting = {fill.reference for fill in own_fills}
        makers: dict[int, Report] = {}
        self._sort_out(outcome.reports, own_order, waiting, makers)
        deadline_ns = self.options.now_ns() + round(GATHER_TIMEOUT_S * NS_PER_SECOND)
        first = self.traders[self.plan.client_of(step.order_id)]  # where the tape says the other side is
        timeout_s = 0.0
        while waiting:
            for trader in (first, *(other for other in self._distinct if other is not first)):
                if waiting:
                    self._sort_out(trader.take_reports(timeout_s), own_order, waiting, makers)
            timeout_s = 0.001
            if waiting and self.options.now_ns() > deadline_ns:
                raise TapeFailed(
                    f"both sides of a trade must be told within {GATHER_TIMEOUT_S:.0f} s, the makers' were not",
                    detail=f"message {message.index}, trades {sorted(waiting)}",
                    hint="nobody else may trade in the instruments that a tape is played in",
                )
        taker = f"m{message.index}" if step.kind is StepKind.TAKE else f"o{step.order_id}"
        fills = []
        for own in own_fills:
            maker = makers[own.reference]
            fill = Fill(
                symbol=step.symbol,
                maker=tape_order_id(maker.client_order_id),
                taker=taker,
                price=own.price_ticks * self.venue.options.step,
                quantity=own.quantity_lots,
            )
            self.log.fill(fill.symbol, f"o{fill.maker}", fill.taker, fill.price, fill.quantity)
            self._settle(step.symbol, own)
            self._settle(step.symbol, maker)
            fills.append(fill)
            self.recent.append((message.time_ns, fill))
        return tuple(fills)

    @staticmethod
    def _sort_out(reports: Iterable[Report], own_order: int, waiting: set[int], makers: dict[int, Report]) -> None:
        for report in reports:
            if report.kind is EventKind.FILLED and report.order_id != own_order and report.reference in waiting:
                waiting.discard(report.reference)
                makers[report.reference] = report

    def _settle(self, symbol: str, fill: Report) -> None:
        """What a fill does to its account: shares one way, money and fee the other."""
        client = self._clients[fill.account]
        money = fill.price_ticks * fill.quantity_lots * self.venue.cash_units_per_tick_lot
        sign = 1 if fill.side is Side.BUY else -1
        self.log.change(client, symbol, sign * fill.quantity_lots)
        self.log.change(client, CASH, -sign * money - fill.amount_units)

    # ---- Comparing --------------------------------------------------------------------------------------------------

    def _compare(self, message: TapeMessage, step: Step, fills: tuple[Fill, ...], book: QueueBook, code: Code) -> None:
        played = self.played
        played.executions_checked += 1
        if len(fills) == 1:
            (fill,) = fills
            if (fill.maker, fill.price, fill.quantity) == (step.order_id, message.price, message.quantity):
                played.executions_agreed += 1
                return
        if len(played.differences) < self.options.differences_shown:
            why = self._why(message, step, book, code)
            played.differences.append(Difference(message=message, fills=fills, why=why))

    def _why(self, message: TapeMessage, step: Step, book: QueueBook, code: Code) -> str:
        """Why the book could not do what the tape says. `book` is as it was before."""
        if code is not Code.NONE:
            return f"the engine refused the order: {code.name.lower()}"
        order = message.order_id
        left = book.rest_of(order)
        if not left:
            lost = self._lost.get((step.symbol, order))
            if lost is not None:
                return f"order {order} is gone: the book filled it at message {lost}, where the tape hit another"
            return f"order {order} is gone: it is not in the book"
        best = book.best(step.side)
        if best != message.price:
            first = next(iter(book.queue(step.side, best)))
            return (
                f"order {order} is not at the best price: order {first}{self._came(step.symbol, first)} "
                f"still stands at {price_text(best)}"
            )
        ahead: list[int] = []
        for other in book.queue(step.side, message.price):
            if other == order:
                break
            ahead.append(other)
        if ahead:
            shares = sum(book.rest_of(other) for other in ahead)
            orders = (
                f"{len(ahead)} orders with {shares} shares" if len(ahead) > 1 else f"one order with {shares} shares"
            )
            return (
                f"queue position: {orders} stand{'s' if len(ahead) == 1 else ''} before order {order} at "
                f"{price_text(message.price)}; order {ahead[0]}{self._came(step.symbol, ahead[0])} comes first"
            )
        return (
            f"order {order} is first in the queue, but has only {left} left: the book filled more of it than the tape"
        )

    def _came(self, symbol: str, order: int) -> str:
        index = self._arrived.get((symbol, order))
        return f" (message {index})" if index else ""


def price_text(price: int) -> str:
    """A price as people write it: at least two digits behind the point."""
    whole, part = divmod(price, PRICE_UNITS_PER_ONE)
    digits = f"{part:04d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{digits}"


def time_text(time_ns: int) -> str:
    """Time of day, to the nanosecond."""
    seconds, ns = divmod(time_ns, NS_PER_SECOND)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ns:09d}"
