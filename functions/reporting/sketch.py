"""How whole numbers are spread, in bounded memory: what a percentile needs, and no more.

    |value|  0 … 255          a bucket each
             256 … 511        two values a bucket
             512 … 1023       four, and so on: at most 1/128 of the value is lost, 128 buckets for each doubling

Below zero the same, mirrored. Only buckets that hold something are kept, so ten million latencies are some hundred
integers; 64-bit values can make 14,464 buckets at most. Equal values give equal sketches, in whatever order they come.
"""

from __future__ import annotations

__all__ = ["Sketch", "add"]

HALF = 128
EXACT = 2 * HALF


def bucket_of(value: int) -> int:
    """Its number; numbers rise with values."""
    if value < 0:
        return ~bucket_of(~value)
    if value < EXACT:
        return value
    shift = value.bit_length() - 8
    return shift * HALF + (value >> shift)


def middle_of(bucket: int) -> int:
    """What the values of a bucket are told as."""
    if bucket < 0:
        return ~middle_of(~bucket)
    if bucket < EXACT:
        return bucket
    shift = bucket // HALF - 1
    return ((bucket - shift * HALF) << shift) + (1 << shift) // 2


class Sketch:
    """Counts by bucket, and the least and greatest value exactly."""

    __slots__ = ("counts", "greatest", "least")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.least: int | None = None
        self.greatest: int | None = None

    @property
    def count(self) -> int:
        """How many values."""
        return sum(self.counts.values())

    def merge(self, other: Sketch) -> None:
        """The values of another one too."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        for value in (other.least, other.greatest):
            self._reach(value)

    def _reach(self, value: int | None) -> None:
        if value is None:
            return
        if self.least is None or value < self.least:
            self.least = value
        if self.greatest is None or value > self.greatest:
            self.greatest = value

    def quantile(self, part: int, whole: int) -> int | None:
        """The value that part/whole of all do not exceed, to 1/128; None when there is none."""
        if self.least is None or self.greatest is None:
            return None
        count = self.count
        rank = max(1, -(-count * part // whole))
        if rank >= count:
            return self.greatest
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                return min(max(middle_of(bucket), self.least), self.greatest)
        return self.greatest


def add(value: int, *sketches: Sketch) -> None:
    """One value more in each of them."""
    bucket = value if 0 <= value < EXACT else bucket_of(value)
    for sketch in sketches:
        counts = sketch.counts
        counts[bucket] = counts.get(bucket, 0) + 1
        least, greatest = sketch.least, sketch.greatest
        if least is None or greatest is None:
            sketch.least = sketch.greatest = value
        elif value < least:
            sketch.least = value
        elif value > greatest:
            sketch.greatest = value
