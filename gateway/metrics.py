"""Counters, gauges and latencies of the gateway, as /metrics shows them in the text format of Prometheus.

Latencies go into buckets, eight to each power of two, so a quantile is at most an eighth too high, and recording one
costs well below a microsecond. Quantiles speak of the recent past: two windows, the older of which goes when the newer
is WINDOW_S old.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["Latencies", "Metrics"]

PREFIX: Final = "ironbook_gateway_"
WINDOW_S: Final = 30.0
BUCKET_COUNT: Final = 65 << 3
SHOWN_BITS: Final = range(14, 35)  # buckets of the histogram: 16 µs to 17 s
QUANTILES: Final = (0.5, 0.99)
Label = tuple[str, str]


class Latencies:
    """How long requests of one group took, in nanoseconds."""

    __slots__ = ("_newer", "_older", "_since_s", "counts", "total_ns")

    def __init__(self, now_s: float) -> None:
        self.counts = [0] * BUCKET_COUNT  # since the beginning
        self.total_ns = 0
        self._newer = [0] * BUCKET_COUNT  # counts when the newer window began, and the older one
        self._older = [0] * BUCKET_COUNT
        self._since_s = now_s

    def record(self, ns: int) -> None:
        """One more."""
        bits = ns.bit_length()
        self.counts[bits << 3 | ns >> bits - 4 & 7 if bits > 3 else ns] += 1
        self.total_ns += ns

    def recent(self, now_s: float) -> list[int]:
        """Counts of the present window and the one before."""
        found = [now - then for now, then in zip(self.counts, self._older, strict=True)]
        if now_s - self._since_s >= WINDOW_S:
            self._older, self._newer, self._since_s = self._newer, self.counts.copy(), now_s
        return found

    def quantiles_ns(self, now_s: float, wanted: Iterable[float] = QUANTILES) -> tuple[int, ...]:
        """Upper bounds of the recent quantiles; empty if there was nothing."""
        counts = self.recent(now_s)
        total = sum(counts)
        return tuple(_quantile(counts, total, one) for one in wanted) if total else ()


def _upper(bucket: int) -> int:
    """The first nanosecond above a bucket."""
    return bucket + 1 if bucket < 8 else (9 + (bucket & 7)) << (bucket >> 3) - 4


def _quantile(counts: list[int], total: int, wanted: float) -> int:
    rank = min(int(total * wanted), total - 1)
    for bucket, count in enumerate(counts):
        rank -= count
        if rank < 0:
            return _upper(bucket)
    return 0


class Metrics:
    """counters: by name, only rise. gauges: by name, as last set. latencies, answers: of requests, by group."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
        self.latencies: dict[str, Latencies] = {}
        self.answers: Counter[tuple[str, int]] = Counter()

    def observe(self, group: str, status: int, ns: int) -> None:
        """A request of a group was answered, so many nanoseconds after it came."""
        latencies = self.latencies.get(group)
        if latencies is None:
            latencies = self.latencies[group] = Latencies(time.monotonic())
        latencies.record(ns)
        self.answers[group, status] += 1

    def text(self, more: Mapping[tuple[str, tuple[Label, ...]], float]) -> str:
        """All of it. more: further gauges, as (name, labels)."""
        lines: list[str] = []
        for name, value in sorted(self.counters.items()):
            full = f"{PREFIX}{name}_total"
            lines += [f"# TYPE {full} counter", f"{full} {value}"]
        gauges = {(name, ()): value for name, value in self.gauges.items()} | dict(more)
        previous = ""
        for (name, labels), gauge in sorted(gauges.items()):
            if name != previous:
                lines.append(f"# TYPE {PREFIX}{name} gauge")
            lines.append(f"{PREFIX}{name}{_labels(labels)} {gauge:.10g}")
            previous = name
        return "\n".join([*lines, *self._requests(), ""])

    def _requests(self) -> list[str]:
        full = PREFIX + "requests_total"
        lines = [f"# TYPE {full} counter"]
        for (group, status), count in sorted(self.answers.items()):
            lines.append(f"{full}{_labels((('group', group), ('status', str(status))))} {count}")
        full = PREFIX + "request_seconds"
        lines.append(f"# TYPE {full} histogram")
        for group, latencies in sorted(self.latencies.items()):
            counts, below = latencies.counts, 0
            sums = [0]
            for count in counts:
                sums.append(sums[-1] + count)
            for bits in SHOWN_BITS:
                below = sums[(bits + 1) << 3]  # values of at most so many bits
                lines.append(f"{full}_bucket{_labels((('group', group), ('le', f'{2**bits / 1e9:.9g}')))} {below}")
            lines.append(f"{full}_bucket{_labels((('group', group), ('le', '+Inf')))} {sums[-1]}")
            lines.append(f"{full}_sum{_labels((('group', group),))} {latencies.total_ns / 1e9:.9f}")
            lines.append(f"{full}_count{_labels((('group', group),))} {sums[-1]}")
        full = PREFIX + "request_recent_seconds"
        lines.append(f"# TYPE {full} gauge")
        for group, latencies in sorted(self.latencies.items()):
            for wanted, recent_ns in zip(QUANTILES, latencies.quantiles_ns(time.monotonic()), strict=False):
                labels = (("group", group), ("quantile", str(wanted)))
                lines.append(f"{full}{_labels(labels)} {recent_ns / 1e9:.9f}")
        return lines


def _labels(labels: tuple[Label, ...]) -> str:
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for _, value in labels)
    pairs = ",".join(f'{name}="{value}"' for (name, _), value in zip(labels, escaped, strict=True))
    return f"{{{pairs}}}" if pairs else ""
