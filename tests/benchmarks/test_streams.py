"""The streams' benchmark runs at smoke size on a real broker and database, and all that goes in comes out."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks import streams

FIGURES = {
    "orders_per_s_validation_risk",
    "events_per_s_analytics",
    "per_message_ratio",
    "publisher_events_per_s",
    "topic_delay_p99_ms",
}


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_everything_comes_out_and_it_ends_in_one_json_object(kafka, postgres_url):
    command = [sys.executable, "-m", "benchmarks.streams", "--smoke", "--kafka", kafka, "--postgres", postgres_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said.keys() >= FIGURES
    assert all(value > 0 for value in said.values())
    assert "machine " in done.stdout
    assert "digest" in done.stdout


def test_the_market_is_the_same_each_time():
    markets = [streams.Market(), streams.Market()]
    for market in markets:
        market.define()
        market.trade(500)
    assert markets[0].records == markets[1].records
