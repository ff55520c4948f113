"""What to write next, and how far the topic may be trimmed: arithmetic, without Kafka, S3 or a clock.

records that have come ──▶ pieces: whole objects, and a last smaller one if its first record is old enough
archive's end, published snapshots ──▶ floor: the last record that the topic need not have before it
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from ironbook.archive.layout import received_ns
from schemas.vocabulary import RECORD_BYTES

__all__ = ["Floor", "Gathered", "floor"]

NS: Final = 1_000_000_000


@dataclasses.dataclass(slots=True)
class Gathered:
    """Messages of the topic that are to be one object: whole, in order, up to the first that reaches `most` records."""

    first: int
    most: int
    parts: list[bytes] = dataclasses.field(default_factory=list)
    count: int = 0

    def add(self, records: bytes) -> None:
        """Take a message."""
        self.parts.append(records)
        self.count += len(records) // RECORD_BYTES

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    @property
    def full(self) -> bool:
        return self.count >= self.most

    def due(self, now_ns: int, age_s: int) -> bool:
        """Is it time to write it, though it is not full and the topic has no more?"""
        return self.count > 0 and now_ns - received_ns(self.parts[0], 0) >= age_s * NS

    def records(self) -> bytes:
        """All of it."""
        return b"".join(self.parts)


@dataclasses.dataclass(frozen=True, slots=True)
class Floor:
    """The topic must keep the message that holds `sequence`, and all behind it. 0: all of it."""

    sequence: int
    why: str


def floor(archived: int, keep_records: int, snapshots: Sequence[int], keep_snapshots: int) -> Floor:
    """How far the topic may be trimmed.

    archived   the last sequence that the archive's head has
    snapshots  sequences of the snapshots that are published

    Whoever begins from the topic (a gateway, a standby) takes a published snapshot and needs the very record that it
    was taken at, and all behind it. So the topic goes back to the oldest of the newest few: one may prove bad.
    """
    newest = sorted(snapshots, reverse=True)[:keep_snapshots]
    if len(newest) < keep_snapshots:
        return Floor(0, f"{keep_snapshots} published snapshots are needed, there are {len(newest)}")
    kept = max(0, archived - keep_records)
    oldest = newest[-1]
    if kept <= oldest:
        return Floor(kept, "keep_records")
    return Floor(oldest, "the oldest snapshot that must stay a beginning")
