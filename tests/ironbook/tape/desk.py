"""The slow oracle behind the face of `ironbook.Client`: the player meets the rules without a socket.

DeskClient.request ──▶ Record ──▶ Oracle.apply_group ──▶ reports of this key: the outcome; of other keys: theirs to take
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ironbook import Outcome, Report
from ironbook._methods import CommandMethods
from schemas.vocabulary import Code, EventKind, Record
from schemas.vocabulary import Report as WireReport
from tests.oracle.oracle import Oracle


class Desk:
    """One oracle and the clients of its keys."""

    def __init__(self) -> None:
        self.oracle = Oracle()
        self.clients: dict[int, DeskClient] = {}
        self.last_ns = 1_700_000_000_000_000_000

    def client(self, key: int, account: int = 0) -> DeskClient:
        """The client of a key."""
        return self.clients.setdefault(key, DeskClient(self, key, account))

    def apply(self, key: int, commands: Sequence[bytes]) -> list[WireReport]:
        """Apply one group; reports of other keys go to their clients."""
        self.last_ns += 1000
        made = self.oracle.apply_group([Record(command=c, key=key, received_ns=self.last_ns) for c in commands])
        own = []
        for report in made:
            if report.key == key:
                own.append(report)
            elif report.key:
                self.clients[report.key].waiting.append(as_client_report(report))
        return own


class DeskClient(CommandMethods[Outcome]):
    """Like `ironbook.Client`, in the same process."""

    def __init__(self, desk: Desk, key: int, account: int) -> None:
        self.desk = desk
        self.key = key
        self._account = account
        self.sequence = 0
        self.waiting: deque[Report] = deque()

    @property
    def account(self) -> int:
        return self._account

    def _do(self, group: tuple[bytes, ...], timeout_s: float | None) -> Outcome:
        numbered = []
        for command in group:
            self.sequence += 1
            numbered.append(command[:2] + self.sequence.to_bytes(6, "little") + command[8:])
        reports = tuple(as_client_report(report) for report in self.desk.apply(self.key, numbered))
        answers = [r for r in reports if r.reference == self.sequence and r.kind is not EventKind.FILLED]
        return Outcome(client_sequence=self.sequence, answer=answers[0], reports=reports)

    def take_reports(self, timeout_s: float = 0.0) -> list[Report]:
        taken = list(self.waiting)
        self.waiting.clear()
        return taken


def as_client_report(report: WireReport) -> Report:
    """A report as the client library gives it."""
    return Report(
        kind=EventKind(report.kind), flags=report.flags, code=Code(report.code), instrument=report.instrument,
        account=report.account, n=report.n, report_number=report.report_number, sequence=report.sequence,
        received_ns=report.received_ns, order_id=report.order_id, client_order_id=report.client_order_id,
        price_ticks=report.price_ticks, quantity_lots=report.quantity_lots, remaining_lots=report.remaining_lots,
        reference=report.reference, amount_units=report.amount_units,
    )  # fmt: skip
