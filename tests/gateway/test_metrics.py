"""Counters, gauges and latencies, and the text that Prometheus reads."""

from __future__ import annotations

import random
import re

import pytest

from gateway import metrics
from gateway.metrics import Latencies, Metrics

LINE = re.compile(r'[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\.)*"(,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? [0-9.e+-]+')


@pytest.mark.parametrize("ns", [0, 1, 7, 8, 9, 15, 16, 17, 1_000, 123_456, 2**40 - 1, 2**40, 2**63])
def test_a_latency_is_told_at_most_an_eighth_too_high(ns: int) -> None:
    latencies = Latencies(0.0)
    latencies.record(ns)
    [found] = latencies.quantiles_ns(0.0, (0.5,))
    assert ns < found <= ns + ns // 8 + 1


def test_quantiles_are_those_of_the_values() -> None:
    chosen = random.Random(5)
    values = sorted(int(chosen.lognormvariate(11, 1)) for _ in range(5000))
    latencies = Latencies(0.0)
    for value in values:
        latencies.record(value)
    middle, late = latencies.quantiles_ns(0.0)
    assert values[2500] < middle <= values[2500] * 9 // 8 + 1
    assert values[4950] < late <= values[4950] * 9 // 8 + 1


def test_quantiles_speak_of_the_recent_past() -> None:
    latencies = Latencies(0.0)
    latencies.record(1_000_000)
    assert latencies.quantiles_ns(0.0)[0] > 1_000_000
    latencies.recent(metrics.WINDOW_S)
    latencies.recent(2 * metrics.WINDOW_S)
    assert latencies.quantiles_ns(2 * metrics.WINDOW_S) == ()
    latencies.record(10)
    assert latencies.quantiles_ns(2 * metrics.WINDOW_S)[0] <= 12


def test_the_text_is_what_prometheus_reads() -> None:
    made = Metrics()
    made.counters["line_commands"] += 3
    made.gauges["sockets_open"] = 2
    made.observe("trading", 200, 150_000)
    made.observe("trading", 400, 90_000)
    text = made.text({("part_up", (("part", 'a"b\\c'),)): 1.0, ("part_up", (("part", "line"),)): 0.0})
    for line in text.splitlines():
        assert line.startswith("# TYPE ironbook_gateway_") or LINE.fullmatch(line), line
    assert "ironbook_gateway_line_commands_total 3\n" in text
    assert 'ironbook_gateway_part_up{part="a\\"b\\\\c"} 1\n' in text
    assert 'ironbook_gateway_requests_total{group="trading",status="400"} 1\n' in text
    assert 'ironbook_gateway_request_seconds_bucket{group="trading",le="0.000131072"} 1\n' in text
    assert 'ironbook_gateway_request_seconds_bucket{group="trading",le="+Inf"} 2\n' in text
    assert 'ironbook_gateway_request_seconds_count{group="trading"} 2\n' in text
    assert text.count("# TYPE ironbook_gateway_part_up gauge") == 1


def test_a_histograms_buckets_rise() -> None:
    made = Metrics()
    for bits in range(40):
        made.observe("trading", 200, 1 << bits)
    counts = [int(found[1]) for found in re.finditer(r"request_seconds_bucket\{[^}]*\} (\d+)", made.text({}))]
    assert counts == sorted(counts)
    assert counts[-1] == 40
