"""Nonces of one partition: each is bound to the place where it was first seen.

    index    name -> offset << 20 | index         the same place again (after a crash) gets the same answer,
    places   offset -> Record                     another place is a replay
    queue    (until_ns, offset), in order         what has left the window goes, oldest message first

The table holds one value a message, under its offset: the names in it, and which of them were refused and why. All
that is here is rebuilt from these values. Time is the broker's: the greatest append time seen in this partition, so a
clock that is set back reopens no window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

NONCE_COUNT_MAX: Final = 1 << 20  # of one partition; more within a window are refused, see rules.py
INDEX_BITS: Final = 20
REFUSED: Final = "refused"


class Record:
    """What one message brought."""

    __slots__ = ("appended_ns", "names", "refused", "until_ns")

    def __init__(self, appended_ns: int) -> None:
        self.appended_ns = appended_ns
        self.until_ns = 0  # the last of its nonces leaves the window behind this time
        self.names: dict[str, int] = {}  # name -> index within the message
        self.refused: dict[str, str] = {}  # index as text -> code of the answer; absent: validated

    def to_json(self) -> dict[str, Any]:
        """As it stands in the table."""
        return {
            "appended_ns": self.appended_ns, "until_ns": self.until_ns, "nonces": self.names, REFUSED: self.refused,
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Record:
        """Read what to_json made."""
        record = cls(value["appended_ns"])
        record.until_ns = value["until_ns"]
        record.names, record.refused = value["nonces"], value[REFUSED]
        return record

    def joined(self, more: Record) -> Record:
        """Both: a message that was read again and brought more, because a key is known now that was not."""
        both = Record(self.appended_ns)
        both.until_ns = max(self.until_ns, more.until_ns)
        both.names = self.names | more.names
        both.refused = self.refused | more.refused
        return both


class Nonces:
    """Of one partition."""

    def __init__(
        self, stored: Iterable[tuple[str, Mapping[str, Any]]] = (), *, count_max: int = NONCE_COUNT_MAX
    ) -> None:
        self.count_max = count_max
        self.high_ns = 0  # the greatest append time seen
        self.index: dict[str, int] = {}
        self._places: dict[int, Record] = {}
        self._queue: deque[tuple[int, int]] = deque()
        for offset, value in sorted((int(key), value) for key, value in stored):
            self.add(offset, Record.from_json(value))

    def __len__(self) -> int:
        return len(self.index)

    def answer(self, place: int) -> str | None:
        """The code of the answer that this place has had; "" if it was validated, None if it has had none."""
        record = self._places.get(place >> INDEX_BITS)
        return None if record is None else record.refused.get(str(place & (1 << INDEX_BITS) - 1), "")

    def add(self, offset: int, record: Record) -> Record:
        """Take what a message brought. What the table must hold for it now."""
        known = self._places.get(offset)
        if known is not None:
            record = known.joined(record)
        else:
            self._queue.append((record.until_ns, offset))
        self._places[offset] = record
        self.high_ns = max(self.high_ns, record.appended_ns)
        base = offset << INDEX_BITS
        index = self.index
        for name, at in record.names.items():
            index[name] = base | at
        return record

    def expire(self) -> list[int]:
        """Forget messages whose nonces have all left the window; their offsets, to be deleted from the table."""
        gone = []
        queue, high_ns = self._queue, self.high_ns
        while queue and queue[0][0] < high_ns:
            offset = queue.popleft()[1]
            record = self._places[offset]
            if record.until_ns >= high_ns:  # more came with the same message
                queue.appendleft((record.until_ns, offset))
                break
            del self._places[offset]
            for name in record.names:
                if self.index.get(name, -1) >> INDEX_BITS == offset:
                    del self.index[name]
            gone.append(offset)
        return gone
