"""Records through a core: every digest in them is compared, days are closed, arrival prices kept.

    records ──▶ core (checks digest records) ──▶ events ──▶ Ledger, tops of books, arrivals
                 └─ at the first record of a new UTC day: on_day(day that ended, …)

Days without a record between two that have some are closed too, up to QUIET_DAYS_MAX of them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from ironbook._errors import ArchiveInvalid
from ironbook.archive.layout import received_ns
from ironbook.archive.statements import Arrival, Ledger, day_of, parquet, start_of, statement
from schemas.vocabulary import RECORD_BYTES, REPORT_BYTES, EventKind, Kind, Report, ReportFlag

if TYPE_CHECKING:
    from engine_node import _engine

__all__ = ["SCALES", "Closed", "NoRoom", "Replay", "capacities"]

BATCH_RECORDS: Final = 16_384
CHECK_EVERY_RECORDS: Final = 4_000_000  # core.check walks the whole state
QUIET_DAYS_MAX: Final = 31
SCALES: Final = (1, 4, 16)  # times the usual capacities: the archive does not say which ones the engine had
POOLS: Final = (
    "account_count_max", "asset_count_max", "balance_count_max", "extra_count_max", "instrument_count_max",
    "key_count_max", "ladder_count_max", "level_count_max", "nonce_count_max", "order_count_max", "position_count_max",
)  # fmt: skip
_EVENT = Report._STRUCT
_TOP, _ACCEPTED, _BALANCE = int(EventKind.TOP), int(EventKind.ACCEPTED), int(EventKind.BALANCE)
_OF_INTEREST = re.compile(b"[%c%c%c]" % (_TOP, _ACCEPTED, _BALANCE))
_SELL = int(ReportFlag.SELL)  # plain numbers: an enumeration's & costs more than all else there


class NoRoom(Exception):
    """A capacity of the core was too small: replay again with a greater scale."""


@dataclasses.dataclass(frozen=True, slots=True)
class Closed:
    """A day's end, or (partial) the archive's."""

    day: int
    partial: bool
    statement: bytes
    arrivals: bytes


def capacities(scale: int, *, events: bool = True) -> dict[str, int]:
    """Options of a core that replays: the usual capacities, times scale. Nothing is kept for clients."""
    from engine_node import _engine

    usual = _engine.Core().options()
    mask = _engine.EVENTS_REPORTS | _engine.EVENTS_MARKET | _engine.EVENTS_ACCOUNTS
    return {name: value * (scale if name in POOLS else 1) for name, value in usual.items()} | {
        "event_mask": mask if events else 0,
        "reports_kept": 0,
    }


class Replay:
    """A core and what is folded beside it. Give it all records from the core's sequence on; then `end`.

    on_day   called at each day's end; None: days are of no interest, and replaying is quicker.
    only     a day: no other is handed out.
    day      with a core that has state: the day that follows it.
    """

    def __init__(
        self,
        core: _engine.Core,
        *,
        shard: int,
        ledger: Ledger | None = None,
        on_day: Callable[[Closed, Replay], None] | None = None,
        only: int | None = None,
        day: int | None = None,
    ) -> None:
        self.core = core
        self.shard = shard
        self.ledger = ledger or Ledger()
        self.records = self.digest_records = self.terms = 0
        self.day = day
        self._on_day, self._only = on_day, only
        self._held = b""
        self._tops: dict[int, list[int | None]] = {}
        self._arrivals: list[Arrival] = []
        self._checked = 0
        if core.sequence() > 0:
            self._take_tops()

    def feed(self, records: bytes) -> None:
        """Further records, whole or in parts of commands. Raises NoRoom, ArchiveInvalid (what diverges)."""
        pending = self._held + records
        while pending:
            part = pending[: BATCH_RECORDS * RECORD_BYTES]
            if self._on_day is not None:
                part = part[: self._until_day_ends(part)]
            whole = self.core.group_bytes(part) if part else 0
            if whole == 0:
                if not self._close_day(pending):  # prefixes whose command is still to come
                    break
                continue
            self._apply(pending[:whole])
            pending = pending[whole:]
        self._held = pending

    def end(self) -> None:
        """All records were fed. Checks the state; closes the day under way, as partial."""
        self.check()
        if self._on_day is not None and self.day is not None:
            self._close(self.day, partial=True)

    @property
    def held_records(self) -> int:
        """Prefixes at the end whose command is not there."""
        return len(self._held) // RECORD_BYTES

    # ---- Days --------------------------------------------------------------------------------------------------------

    def _until_day_ends(self, records: bytes) -> int:
        """How many leading bytes are of the present day (of the first record's, at the beginning)."""
        if self.day is None:
            self.day = day_of(received_ns(records, 0))
        ends_ns = start_of(self.day + 1)
        low, high = 0, len(records) // RECORD_BYTES
        if received_ns(records, -1) < ends_ns:
            return len(records)
        while low < high:
            middle = (low + high) // 2
            if received_ns(records, middle) < ends_ns:
                low = middle + 1
            else:
                high = middle
        return low * RECORD_BYTES

    def _close_day(self, pending: bytes) -> bool:
        """The next command is of a later day: close this one. False: it is not."""
        count = self._group(pending)
        if count == 0 or self.day is None:
            return False
        later = day_of(received_ns(pending, count - 1))
        if later <= self.day:
            return False
        for day in range(self.day, min(later, self.day + 1 + QUIET_DAYS_MAX)):
            self._close(day, partial=False)
        self.day = later
        return True

    def _group(self, pending: bytes) -> int:
        """Records of the first command."""
        for count in range(1, min(8, len(pending) // RECORD_BYTES) + 1):
            if self.core.group_bytes(pending[: count * RECORD_BYTES]):
                return count
        return 0

    def _close(self, day: int, *, partial: bool) -> None:
        rows, self._arrivals = self._arrivals, []
        if self._on_day is None or (self._only is not None and day != self._only):
            return
        options = range(1, self.core.options()["instrument_count_max"])
        symbols = {number: str(book["name"]) for number in options if (book := self.core.instrument(number))}
        said = statement(self.core, self.ledger, shard=self.shard, day=day, partial=partial)
        self._on_day(Closed(day, partial, said, parquet(sorted(rows), symbols)), self)

    # ---- Applying ----------------------------------------------------------------------------------------------------

    def _apply(self, records: bytes) -> None:
        from engine_node import _engine

        first = self.core.sequence() + 1
        try:
            events = self.core.apply(records)
        except _engine.CoreFull as error:
            raise NoRoom(str(error)) from error
        except (_engine.CoreDiverged, _engine.CoreRecord) as error:
            raise ArchiveInvalid(
                f"every record must apply, and agree with the digests: {error}",
                detail=f"sequence {self.core.sequence() + 1}",
                hint="altered records, or another release: replay the engine's own journal and compare",
            ) from error
        kinds = records[::RECORD_BYTES]
        self.records += len(kinds)
        self.digest_records += kinds.count(bytes([Kind.DIGEST]))
        self.terms += kinds.count(bytes([Kind.TERM]))
        self._fold(records, first, events)
        if self.records - self._checked >= CHECK_EVERY_RECORDS:
            self.check()

    def _fold(self, records: bytes, first: int, events: bytes) -> None:
        if not events or self._on_day is None:
            return
        tops, wanted = self._tops, self._only in (None, self.day)
        for found in _OF_INTEREST.finditer(events[::REPORT_BYTES]):
            event = _EVENT.unpack_from(events, found.start() * REPORT_BYTES)
            kind = event[0]
            if kind == _TOP:
                tops.setdefault(event[3], [None, None])[event[1] & _SELL] = event[11] if event[12] else None
            elif kind == _ACCEPTED:
                if wanted:
                    bid, ask = tops.get(event[3], (None, None))
                    self._arrivals.append((event[9], event[3], bid, ask))
            elif kind == _BALANCE:
                self._flow(records[(event[7] - first) * RECORD_BYTES], event[3], event[15])
        self.ledger.last_event_sequence = int.from_bytes(events[-72:-64], "little")

    def _flow(self, kind: int, asset: int, amount_units: int) -> None:
        if kind == Kind.DEPOSIT:
            self.ledger.deposits[asset] += amount_units
        elif kind == Kind.WITHDRAWAL:
            self.ledger.withdrawals[asset] -= amount_units
        elif kind == Kind.FEE_PAYOUT:
            self.ledger.fee_payouts[asset] += amount_units

    def _take_tops(self) -> None:
        for number in range(1, self.core.options()["instrument_count_max"]):
            if self.core.instrument(number) is not None:
                self._tops[number] = list(self._best(number))

    def _best(self, instrument: int) -> Iterator[int | None]:
        for side in (1, 2):
            levels = self.core.levels(instrument, side, 1)
            yield levels[0][0] if levels else None

    def check(self) -> None:
        """The state must hold together. Raises ArchiveInvalid."""
        self._checked = self.records
        wrong = self.core.check()
        if wrong is not None:
            raise ArchiveInvalid(
                f"the state must hold together after each command: {wrong}",
                detail=f"after sequence {self.core.sequence()}",
                hint="this is a fault of the core: keep the archive and report it",
            )
