"""The front door: every target brings what it runs, on a machine that has nothing yet."""

from __future__ import annotations

import re
import subprocess

import pytest

NEEDS_ALL = r"-m (tests\.|pytest|benchmarks\.gateway)"  # with boto3, moto, Chromium's driver, uvicorn


def would_run(root, target: str) -> str:
    """What make says it would do for a target where there is no environment yet."""
    command = ["make", "--no-print-directory", "-n", "VENV=build/no-such-environment", target]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=60).stdout


def targets(text: str, recipe: str) -> list[str]:
    """Those with such a line in their recipe."""
    rules = re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    return [name for name, lines in rules if re.search(recipe, lines)]


def test_a_target_that_runs_the_tests_own_programs_installs_what_they_import(texts, root):
    found = targets(texts["Makefile"], NEEDS_ALL)
    assert {"demo-report", "screenshots", "report-screenshots", "bench-gateway", "test-python"} <= set(found)
    bare = [target for target in found if "-e '.[dev]'" not in would_run(root, target)]
    assert not bare, f"these must wait for $(VENV)/.ready: {bare}"


@pytest.mark.parametrize("target", ["up", "demo", "functions"])
def test_who_only_uses_it_does_not_wait_for_what_tests_need(root, target):
    said = would_run(root, target)
    assert "-e '.[embedded,gateway,streams]'" in said
    assert "-e '.[dev]'" not in said


def test_the_list_of_targets_is_a_table(root):
    lines = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [re.fullmatch(r"  make (([a-z-]+) +)(\S.*)", line) for line in lines]
    assert all(rows), lines
    assert len({len(row[1]) for row in rows if row}) == 1, "what a target does must begin at one column"
