"""Memory does not grow with rows: a process of its own is measured, over a day made inside PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functions.reporting import many, sink
from tests.support.aws import CREDENTIALS
from tests.support.services import create_database, drop_database

ROOT = Path(__file__).resolve().parents[3]
LIMIT_BYTES = 512 << 20
GROWTH_BYTES = 48 << 20  # of nearly four times the rows; what they weigh as Python objects would be some hundred MiB
EXECUTIONS_A_TRADE = 4


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Takes any number of bytes and keeps none."""
    with sink.started() as url:
        yield url


def peak(server_url: str, bucket_url: str, trade_count: int, timeout_s: float) -> dict[str, Any]:
    """What a run over a day of so many trades says of itself."""
    url = create_database(server_url)
    try:
        many.fill(url, trade_count)
        environment = os.environ | CREDENTIALS | {
            "AWS_ENDPOINT_URL": bucket_url,
            "IRONBOOK_FUNCTION_DATABASE_URL": url,
            "IRONBOOK_FUNCTION_REPORTS_BUCKET": "reports",
        }  # fmt: skip
        command = [sys.executable, "-m", "tests.functions.reporting.peak", many.DAY, str(many.NOW_NS)]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        rows = found["answer"]["rows"]
        assert rows["executions.parquet"] == rows["audit_trail.csv"] == EXECUTIONS_A_TRADE * trade_count
        assert found["answer"]["headline"].startswith("The tables agree with each other")
        return found
    finally:
        drop_database(url, server_url)


def test_a_peak_is_of_the_program_not_of_what_started_it() -> None:
    """A test process may itself have more than the limit."""
    child = "from tests.functions.reporting.peak import peak_bytes; print(peak_bytes())"
    parent = f"import subprocess, sys; much = b'x' * {LIMIT_BYTES}; subprocess.run([sys.executable, '-c', {child!r}])"
    done = subprocess.run(
        [sys.executable, "-c", parent], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert 0 < int(done.stdout) < LIMIT_BYTES


@pytest.mark.timeout(900)
def test_memory_of_300_000_executions_is_that_of_80_000(postgres_server: str, bucket: str) -> None:
    small = peak(postgres_server, bucket, 20_000, 400)
    large = peak(postgres_server, bucket, 75_000, 400)
    assert large["peak_bytes"] < LIMIT_BYTES
    assert large["peak_bytes"] - small["peak_bytes"] < GROWTH_BYTES


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_ten_million_executions_fit_into_half_a_gigabyte(postgres_server: str, bucket: str) -> None:
    found = peak(postgres_server, bucket, 2_500_000, 3600)
    print(f"\n{found['peak_bytes'] / 2**20:.0f} MiB, {found['seconds']} s, of these {found['cpu_seconds']} s of CPU")
    assert found["peak_bytes"] < LIMIT_BYTES
