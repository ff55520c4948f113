"""The benchmarks run, at smoke size, and every answer in them is right. How long they took does not matter here."""

from __future__ import annotations

import array
import json
import subprocess
import sys

import pytest

INGRESS = {
    "median_ratio",
    "p99_ratio",
    "spin_median_ratio",
    "spin_p99_ratio",
    "orders_per_s_process",
    "orders_per_s_disk",
}
REPLAY = {"commands_per_s", "bytes_per_resting_order"}


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("what", "figures"), [("ingress", INGRESS), ("replay", REPLAY)])
def test_a_benchmark_checks_its_answers_and_ends_in_one_json_object(what, figures):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", what, "--smoke"], capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert figures <= said.keys()
    assert all(value > 0 for value in said.values())
    assert "machine " in done.stdout
    assert "digest" in done.stdout


def test_the_same_flow_gives_the_same_answers_at_every_level_and_waiting():
    # run_ingress itself compares the digests of all rounds; a wrong one is a RuntimeError that names both.
    from benchmarks import run

    trips = run._Trips(p50=[1.0], p99=[2.0], samples=array.array("I", [1]), digests={"a"})
    other = run._Trips(p50=[1.0], p99=[2.0], samples=array.array("I", [1]), digests={"b"})
    with pytest.raises(RuntimeError, match="answered alike"):
        run._tell_trips(
            {"echo block": trips, "engine block": trips, "echo uvloop": trips, "echo spin": trips, "engine spin": other}
        )


def test_without_a_build_it_says_what_to_do(tmp_path, monkeypatch, capsys):
    from benchmarks import run

    monkeypatch.setattr(run, "PROGRAMS", tmp_path)
    assert run.main(["replay", "--smoke"]) == 1
    assert "make build" in capsys.readouterr().err
