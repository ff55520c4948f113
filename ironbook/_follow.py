"""Which events of a topic are new, which are repeats, and what is missing between them: no Kafka here.

message ──▶ previous header above the last event? ──▶ Missing(events)
   event ──▶ not above the last one of its partition and shard? ──▶ repeat, dropped
             (a state, n 4294967295: of its account and asset)
         ──▶ a dense id more than one above the last? ──▶ Missing(trade_id, update_id, report_number)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

N_MAX = 2**32 - 1  # a state: after all events of its record

Mark = tuple[int, int]  # (seq, n)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What is missing: everything above `after`, up to `until`.

    what   events: both are (seq, n). trade_id, update_id or report_number: (id, 0). offsets: (offset, 0)
    whose  symbol or key that the ids belong to; empty for events and offsets
    """

    what: str
    partition: int
    shard: int
    after: Mark
    until: Mark
    whose: str = ""


def parse_previous(header: bytes) -> tuple[int, int, int]:
    """shard:seq:n. Raises ValueError."""
    shard, seq, n = (int(part) for part in header.decode().split(":"))
    return shard, seq, n


class Follower:
    """What has been read of one topic.

    marks       (partition, shard) to the last event taken
    first_seq   states as of earlier sequences are not new
    dense_keys  engine keys whose report numbers must rise by one here: those that act for one firm only
    """

    def __init__(
        self,
        topic: str,
        *,
        marks: dict[tuple[int, int], Mark] | None = None,
        first_seq: int = 0,
        dense_keys: Iterable[int] = (),
    ) -> None:
        self.marks: dict[tuple[int, int], Mark] = dict(marks or {})
        self._states: dict[tuple[Any, ...], int] = {}
        self._first_seq = first_seq
        self._topic = topic
        self._dense_keys = frozenset(dense_keys)
        self._ids: dict[tuple[int, str, str], int] = {}

    def chain(self, partition: int, header: bytes) -> Missing | None:
        """Look at a message's `previous`. Raises ValueError if it is none."""
        shard, seq, n = parse_previous(header)
        last = self.marks.get((partition, shard))
        if last is None or (seq, n) <= last:
            return None
        self.marks[partition, shard] = (seq, n)
        for name in [name for name in self._ids if name[0] == partition]:
            del self._ids[name]  # said once: the ids begin anew behind the gap
        return Missing(what="events", partition=partition, shard=shard, after=last, until=(seq, n))

    def is_new(self, partition: int, event: dict[str, Any]) -> bool:
        """Is the event above all that were taken? Raises KeyError, TypeError."""
        if event["n"] == N_MAX:
            return bool(event["seq"] > self._states.get(_state_key(partition, event), self._first_seq - 1))
        last = self.marks.get((partition, event["shard"]))
        return bool(last is None or (event["seq"], event["n"]) > last)

    def take(self, partition: int, event: dict[str, Any]) -> None:
        """From now on it is a repeat."""
        place, mark = (partition, event["shard"]), (event["seq"], event["n"])
        if event["n"] == N_MAX:
            self._states[_state_key(partition, event)] = event["seq"]
        self.marks[place] = max(mark, self.marks.get(place, mark))

    def skipped_ids(self, partition: int, event: dict[str, Any]) -> Missing | None:
        """Look at the dense id of a new event, if it has one; asked again, nothing is missing. Raises KeyError."""
        kind = event.get("type")
        if self._topic == "trades" and kind == "trade":
            name, whose = "trade_id", event["symbol"]
        elif self._topic == "book" and kind == "level":
            name, whose = "update_id", event["symbol"]
        elif self._topic == "executions" and event.get("key") in self._dense_keys:
            name, whose = "report_number", str(event["key"])
        else:
            return None
        found, last = event[name], self._ids.get((partition, name, whose))
        self._ids[partition, name, whose] = found
        if last is None or found <= last + 1:
            return None
        return Missing(
            what=name, partition=partition, shard=event["shard"], after=(last, 0), until=(found - 1, 0), whose=whose
        )


def _state_key(partition: int, event: dict[str, Any]) -> tuple[Any, ...]:
    """Several states of one flush have one (seq, n): each account and asset has a mark of its own."""
    return partition, event["shard"], event.get("account"), event.get("asset_number"), event.get("symbol")
