"""Where the recorded order flow lies: beside the repository, never in it."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
AAPL_HOUR = DATA / "AAPL_2012-06-21_34200000_37800000_message_50.csv.gz"
ITCH_EXAMPLE = DATA / "ex20101224.TEST_ITCH_50.gz"


def missing(path: Path) -> str:
    """Why a test must be skipped, "" if the file is there."""
    return (
        "" if path.exists() else f"recorded order flow must be in ../shared/data beside the repository: no {path.name}"
    )
