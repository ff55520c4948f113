"""How whole numbers are spread, in bounded memory: what a percentile needs, and no more.

    |value|  0 … 255          a bucket each
             256 … 511        two values a bucket
             512 … 1023       four, and so on: at most 1/128 of the value is lost, 128 buckets for each doubling

Below zero the same, mirrored. Only buckets that hold something are kept, so ten million latencies are some hundred
integers; 64-bit values can make 14,464 buckets at most. Equal values give equal sketches, in whatever order they come.
"""

from __future__ import annotations

__all__ = ["Sketch"]

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

    __slots__ = ("count", "counts", "greatest", "least")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.least = self.greatest = self.count = 0

    def add(self, value: int) -> None:
        """One value more."""
        bucket = bucket_of(value)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        if self.count == 0:
            self.least = self.greatest = value
        elif value < self.least:
            self.least = value
        elif value > self.greatest:
            self.greatest = value
        self.count += 1

    def quantile(self, part: int, whole: int) -> int | None:
        """The value that part/whole of all do not exceed, to 1/128; None when there is none."""
        if self.count == 0:
            return None
        rank = max(1, -(-self.count * part // whole))
        if rank >= self.count:
            return self.greatest
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                return min(max(middle_of(bucket), self.least), self.greatest)
        return self.greatest
