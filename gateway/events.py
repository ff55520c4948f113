"""Events and records as the gateway reads them: named fields over the core's bytes, made in C where it can be.

    Core.apply ── 96 bytes each ──▶ read_events ──▶ list of Event       records ── 64 bytes each ──▶ command_at

An Event is a tuple, so that making one costs a fraction of a microsecond; its fields are those of
schemas.vocabulary.Report.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from schemas import vocabulary as v

__all__ = [
    "EVENT_BYTES", "EVENT_LEVEL3", "HEADER", "PREFIX_KIND_MIN", "RECORD_BYTES", "Applied", "Batch", "Command", "Event",
    "command_at", "prefixes_at", "read_events",
]  # fmt: skip

EVENT_BYTES: Final = v.REPORT_BYTES
EVENT_LEVEL3: Final = int(v.EventKind.LEVEL3)
RECORD_BYTES: Final = v.RECORD_BYTES
PREFIX_KIND_MIN: Final = int(v.Kind.TEXT)  # kinds from here on say more of the record that closes the command

_EVENT: Final = struct.Struct("<BBHIIIHHIQQQQqqqQq")
HEADER: Final = struct.Struct("<Q40xI4xQ")  # kind, flags and client sequence; key; received_ns


class Event(NamedTuple):
    """One event. What price_ticks, reference and the others mean depends on the kind: schemas/wire/session.md."""

    kind: int  # schemas.vocabulary.EventKind
    flags: int  # ReportFlag
    code: int  # Code, or as the kind says
    instrument: int
    account: int
    n: int  # which event of its command, from 0: (sequence, n) names it for ever
    key: int  # whose report; 0 in public events
    report_low: int
    report_high: int
    sequence: int  # of the record that caused it
    received_ns: int  # of that record
    order_id: int
    client_order_id: int
    price_ticks: int
    quantity_lots: int
    remaining_lots: int
    reference: int
    amount_units: int

    @property
    def report_number(self) -> int:
        """Dense within the key, from 1; 0 in public events."""
        return self.report_low | self.report_high << 16

    @property
    def sells(self) -> bool:
        """Is it of an order, a trade or a level that sells?"""
        return bool(self.flags & v.ReportFlag.SELL)

    @property
    def done(self) -> bool:
        """Is the order no longer open after it?"""
        return bool(self.flags & v.ReportFlag.DONE)


_make: Final[Callable[[tuple[int, ...]], Event]] = functools.partial(tuple.__new__, Event)  # all in C


def read_events(data: bytes) -> list[Event]:
    """All events of what Core.apply returned."""
    return list(map(_make, _EVENT.iter_unpack(data)))


class Batch:
    """One step of the replica: whole groups of records, and the events that they made, in order."""

    __slots__ = ("events", "first_sequence", "records")

    def __init__(self, first_sequence: int, records: bytes, events: list[Event]) -> None:
        self.first_sequence, self.records, self.events = first_sequence, records, events


class Applied(NamedTuple):
    """A command that the replica has applied: the record that closed it, and all its events but level3 ones."""

    sequence: int
    received_ns: int
    events: tuple[Event, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A command as its records say it: the closing record's 48 bytes and those of its prefixes, empty if not there."""

    kind: int
    key: int
    closing: bytes
    text: bytes = b""
    nonce: bytes = b""
    order_terms: bytes = b""
    order_link: bytes = b""


_PREFIXES: Final = {
    int(v.Kind.TEXT): "text",
    int(v.Kind.NONCE): "nonce",
    int(v.Kind.ORDER_TERMS): "order_terms",
    int(v.Kind.ORDER_LINK): "order_link",
}


def prefixes_at(records: bytes, offset: int) -> list[int]:
    """Where the prefixes of the command stand whose closing record stands at that byte offset; the last first."""
    word, key, _ = HEADER.unpack_from(records, offset)
    found: list[int] = []
    sequence, at, seen = word >> 16, offset - RECORD_BYTES, 0
    while at >= 0 and len(found) < v.PREFIX_COUNT_MAX:
        before, its_key, _ = HEADER.unpack_from(records, at)
        kind = before & 0xFF
        if kind < PREFIX_KIND_MIN or its_key != key or before >> 16 != sequence - 1 or seen >> kind & 1:
            break  # what stands before is another command, or a void prefix
        found.append(at)
        seen |= 1 << kind
        sequence, at = sequence - 1, at - RECORD_BYTES
    return found


def command_at(records: bytes, offset: int) -> Command:
    """The command whose closing record stands at that byte offset."""
    word, key, _ = HEADER.unpack_from(records, offset)
    said = {_PREFIXES[records[at]]: records[at : at + v.COMMAND_BYTES] for at in prefixes_at(records, offset)}
    return Command(word & 0xFF, key, records[offset : offset + v.COMMAND_BYTES], **said)
