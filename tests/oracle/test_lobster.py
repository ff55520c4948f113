"""Price-time truth: what a recorded hour of a real market says about the oracle."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracle.lobster import Outcome, Player, read

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
AAPL_HOUR = DATA / "AAPL_2012-06-21_34200000_37800000_message_50.csv.gz"


@pytest.fixture
def aapl_hour() -> Path:
    if not AAPL_HOUR.exists():
        pytest.skip(f"the recorded hour must be in ../shared/data beside the repository: {AAPL_HOUR.name} is not there")
    return AAPL_HOUR


@pytest.mark.timeout(600)  # 92,000 rows through plain Python: 13 s of CPU, longer on a busy machine
def test_recorded_hour_agrees_where_price_time_priority_does(aapl_hour: Path) -> None:
    player = Player()
    rows = 0
    for row in read(aapl_hour):
        player.play(row)
        rows += 1
    assert rows == 91_997
    assert player.outcome == Outcome(
        executions=4_055,
        agreed=3_989,
        not_whole=2,
        crossing_arrivals=1,
        deletes_of_nothing=76,
        refused_replacements=0,
        other_refusals=0,
    )
    player.oracle.check_conservation()
