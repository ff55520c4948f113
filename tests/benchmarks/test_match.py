"""The comparison of engines: everybody does the same work, and who does not is found out."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from benchmarks import flows, match
from benchmarks.machine import placement
from benchmarks.match import Result
from tests.support.recorded import missing

PEERS = ("exchange-core pipeline", "exchange-core one CPU", "exchange-core book", "orderbook-rs")


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setattr(flows, "directory", lambda: tmp_path)
    return flows.make("sweep", resting=200, timed=500)


@pytest.mark.parametrize("name", flows.NAMES)
def test_the_core_answers_a_flow_as_the_dense_book_does(name, tmp_path, monkeypatch):
    monkeypatch.setattr(flows, "directory", lambda: tmp_path)
    if name == "tape" and missing(flows.TAPE):
        pytest.skip(missing(flows.TAPE))
    resting, timed = flows.SMOKE[name]
    path = flows.make(name, resting=resting, timed=timed)
    result = match.compare("ironbook", match._ours(placement(0), match.SMOKE), path)
    assert result.answer.fills > 0
    assert result.ns_per_command > 0


def test_an_engine_that_answers_otherwise_is_found_out(small):
    must = flows.answer(small)
    wrong = dataclasses.replace(must, digest="0" * 16)
    with pytest.raises(RuntimeError, match="hasty must answer"):
        match.compare("hasty", lambda path: Result(ns_per_command=1.0, undisturbed=None, answer=wrong), small)


@pytest.mark.parametrize(
    "build",
    [lambda: match.exchange_core(match.SMOKE, "book"), lambda: match.orderbook_rs(placement(0), match.SMOKE)],
)
def test_a_peer_whose_tools_are_missing_is_left_out_with_a_reason(build, monkeypatch):
    which = match.shutil.which
    monkeypatch.setattr(match.shutil, "which", lambda name, **rest: which(name) if name == "taskset" else None)
    with pytest.raises(match.PeerMissing, match="which is not installed"):
        build()


def test_the_ratio_of_a_peer_is_its_smallest(small):
    must = flows.answer(small)
    figures = match._Figures()
    for flow, ours in (("tape", 30.0), ("deep", 90.0)):
        figures.add(
            flow,
            "slow",
            Result(ns_per_command=900.0, undisturbed=800.0, answer=must),
            Result(ns_per_command=ours, undisturbed=ours - 10.0, answer=must),
        )
    assert figures.least("slow") == 10.0
    assert figures.undisturbed_ratios["slow"] == {"tape": 40.0, "deep": 10.0}
    assert figures.least("absent") is None


# The first run of a checkout fetches and builds the peers, which takes a minute or two; the next ones take seconds.
@pytest.mark.timeout(900)
def test_every_engine_does_every_flow_and_the_figures_are_one_json_object():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "match", "--smoke"], capture_output=True, text=True, timeout=880
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    left_out = [line for line in done.stdout.splitlines() if " is left out: " in line]
    names = [name for name in flows.NAMES if not any(line.startswith(f"{name} ") for line in left_out)]
    assert list(said["ns_per_command"]) == names
    there = [peer for peer in PEERS if not any(line.startswith(f"{peer} ") for line in left_out)]
    assert sorted(said["ratios"]) == sorted(there)
    assert all(list(ratios) == names for ratios in said["ratios"].values())
    assert (said["orderbook_rs_ratio"] is not None) == ("orderbook-rs" in there)
    assert (said["exchange_core_ratio"] is not None) == ("exchange-core pipeline" in there)
    if left_out:
        pytest.skip("; ".join(left_out)[:500])
