"""Round trips, in an HdrHistogram: from handing a command to a client to having everything it caused.

The `hdrhistogram` package is used with three significant digits from 1 ns to 100 s. Its `record_value` is plain Python
and takes 2 to 3 µs, outside of what is measured.
"""

from __future__ import annotations

from hdrh.histogram import HdrHistogram

NS_PER_US = 1_000
HIGHEST_NS = 100 * 1_000_000_000
DIGITS = 3


class Latencies:
    """A histogram of nanoseconds, told in microseconds."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, HIGHEST_NS, DIGITS)

    def record(self, elapsed_ns: int) -> None:
        """Count one round trip; longer ones than the histogram reaches count as its longest."""
        self._histogram.record_value(min(max(elapsed_ns, 1), HIGHEST_NS))

    @property
    def count(self) -> int:
        """Round trips so far."""
        return int(self._histogram.get_total_count())

    def percentile_us(self, percent: float) -> float:
        """Microseconds that `percent` of the round trips did not exceed, to a tenth; 0 if there was none."""
        if not self.count:
            return 0.0
        return round(int(self._histogram.get_value_at_percentile(percent)) / NS_PER_US, 1)

    def to_json(self) -> dict[str, float]:
        """p50, p99 and p99.9 in microseconds."""
        return {"p50": self.percentile_us(50), "p99": self.percentile_us(99), "p999": self.percentile_us(99.9)}
