"""What the engine tells a client: reports, and the outcome of one command.

Reports arrive in a burst of 96 bytes each. A frozen dataclass with 17 fields takes 4 µs to construct through its own
`__init__`, which sets each field through `object.__setattr__`. So a twin class with the same slots, not frozen, is
filled by a plain `__init__` (0.6 µs), and the finished object changes its class to the frozen one; both lay out the
same slots in the same order, which the interpreter checks at each assignment.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ironbook._errors import Rejected
from schemas.vocabulary import CODE_TEXT, REPORT_BYTES, Code, EventKind, ReportFlag, Side
from schemas.vocabulary import Report as WireReport

SELL, MAKER, DONE = int(ReportFlag.SELL), int(ReportFlag.MAKER), int(ReportFlag.DONE)
KEPT, AUCTION = int(ReportFlag.KEPT_PRIORITY), int(ReportFlag.AUCTION)

_FIELDS: list[tuple[str, Any]] = [
    ("kind", EventKind),
    ("flags", int),
    ("code", Code),
    ("instrument", int),
    ("account", int),
    ("n", int),
    ("report_number", int),
    ("sequence", int),
    ("received_ns", int),
    ("order_id", int),
    ("client_order_id", int),
    ("price_ticks", int),
    ("quantity_lots", int),
    ("remaining_lots", int),
    ("reference", int),
    ("amount_units", int),
]

Twin = dataclasses.make_dataclass("Twin", _FIELDS, slots=True)

KINDS: list[EventKind | int] = [EventKind(value) if value in set(EventKind) else value for value in range(256)]
CODES: dict[int, Code] = {value: Code(value) for value in CODE_TEXT}
STRUCT = WireReport._STRUCT

if WireReport.BYTES != REPORT_BYTES:
    raise ImportError("schemas.vocabulary.Report must be REPORT_BYTES long; run schemas/generate.py")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report. Prices in ticks, quantities in lots, amounts in units of an asset, times in ns since the epoch.

    kind            accepted, rejected, filled, cancelled, replaced, applied or triggered
    flags           bits of ReportFlag; `side`, `maker`, `done`, `kept_priority` and `auction` read them
    code            why, of rejected and cancelled reports
    n               which event of its command; (sequence, n) names it for ever
    report_number   dense within the key, from 1
    sequence        of the journal record that caused it
    order_id        the order; of applied, the sender's reference
    remaining_lots  open after it
    reference       client sequence of the command that this answers; of a fill the trade id, of triggered the last one
    amount_units    of a fill, the fee in quote units (below zero: a rebate); of a market order by quote, the amount
    """

    kind: EventKind
    flags: int
    code: Code
    instrument: int
    account: int
    n: int
    report_number: int
    sequence: int
    received_ns: int
    order_id: int
    client_order_id: int
    price_ticks: int
    quantity_lots: int
    remaining_lots: int
    reference: int
    amount_units: int

    @property
    def side(self) -> Side:
        """Side of the order."""
        return Side.SELL if self.flags & SELL else Side.BUY

    @property
    def maker(self) -> bool:
        """Of a fill: the order was resting."""
        return bool(self.flags & MAKER)

    @property
    def done(self) -> bool:
        """The order is no longer open."""
        return bool(self.flags & DONE)

    @property
    def kept_priority(self) -> bool:
        """Of a replacement: the order kept its place."""
        return bool(self.flags & KEPT)

    @property
    def auction(self) -> bool:
        """Of a fill: it traded in an auction, neither as maker nor as taker."""
        return bool(self.flags & AUCTION)

    @property
    def text(self) -> str:
        """What the code says must hold, or why a cancelled order was cancelled."""
        return CODE_TEXT[self.code][1]

    def to_json(self) -> dict[str, int | str | bool]:
        """Names instead of numbers for kind, side and code; everything else as it is."""
        return {
            "kind": self.kind.name.lower(),
            "code": self.code.name.lower(),
            "side": self.side.name.lower(),
            "maker": self.maker,
            "done": self.done,
            "kept_priority": self.kept_priority,
            "auction": self.auction,
            "account": self.account,
            "instrument": self.instrument,
            "order_id": self.order_id,
            "client_order_id": self.client_order_id,
            "price_ticks": self.price_ticks,
            "quantity_lots": self.quantity_lots,
            "remaining_lots": self.remaining_lots,
            "reference": self.reference,
            "amount_units": self.amount_units,
            "report_number": self.report_number,
            "sequence": self.sequence,
            "n": self.n,
            "received_ns": self.received_ns,
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one command.

    client_sequence  its number
    answer           the report that answers it: accepted, rejected, cancelled, replaced or applied
    reports          every report that it caused for this key until it was complete, the answer and fills of this key's
                     makers included; a stop that an immediate order sets off behind its own end comes by take_reports
    """

    client_sequence: int
    answer: Report
    reports: tuple[Report, ...]

    @property
    def rejected(self) -> bool:
        """The market refused it."""
        return self.answer.kind is EventKind.REJECTED

    @property
    def order_id(self) -> int:
        """Of a new order: its id."""
        return self.answer.order_id

    @property
    def fills(self) -> tuple[Report, ...]:
        """Fills of the order itself."""
        order_id = self.answer.order_id
        return tuple(r for r in self.reports if r.kind is EventKind.FILLED and r.order_id == order_id)

    @property
    def filled_lots(self) -> int:
        """How much of the order this command filled."""
        return sum(fill.quantity_lots for fill in self.fills)

    def raise_if_rejected(self) -> Outcome:
        """Raise Rejected if the market refused it; otherwise itself."""
        if self.answer.kind is EventKind.REJECTED:
            said = [f"client sequence {self.client_sequence}"]
            for name in ("account", "instrument", "order_id", "client_order_id", "price_ticks", "quantity_lots"):
                if value := getattr(self.answer, name):
                    said.append(f"{name} {value}")
            raise Rejected(self.answer.code, detail=", ".join(said))
        return self

    def to_json(self) -> dict[str, Any]:
        """The answer, and all reports."""
        return {
            "client_sequence": self.client_sequence,
            "rejected": self.rejected,
            "answer": self.answer.to_json(),
            "reports": [report.to_json() for report in self.reports],
        }
