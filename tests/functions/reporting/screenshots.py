"""Pictures of a day's report for the documentation: `make report-screenshots`.

    python -m tests.functions.reporting.screenshots [TAPE]

A tape (without one the recorded hour where it is, else a seeded flow) is played through a real engine node with
analytics beside it into PostgreSQL, at a pace that gives it a minute or two; its ledger is stated from the journal.
"""

from __future__ import annotations

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path

from functions.reporting.page import render
from ironbook.tape import PlayOptions
from ironbook.tape._source import Source, file_source, flow_source
from ironbook.tape.flow import FlowOptions
from tests.functions.reporting.tape_day import TapeDay, play
from tests.support.browser import chromium
from tests.support.node import ROOT
from tests.support.recorded import AAPL_HOUR
from tests.support.services import create_database, session_postgres

PLACE = ROOT / "docs" / "images"
PICTURE_BYTES_MAX = 300_000
MAKERS = 6
FLOW = FlowOptions(symbol="DEMO", seed=11, mean_gap_ns=20_000_000, value_step_ppm=160_000, lot=5)
FLOW_MESSAGES = 60_000
PACE = Fraction(40)


def source_of(tape: Path | None) -> Source:
    """The tape that is asked for; the recorded hour where it is; else the seeded flow."""
    if tape is None and AAPL_HOUR.exists():
        tape = AAPL_HOUR
    return flow_source(FLOW_MESSAGES, FLOW) if tape is None else file_source(tape, "auto", 0, "", 0)


def pictures(page: str) -> None:
    """The page in a wide window, light and dark, its tables, and on a phone."""
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, chromium() as browser:
        path = Path(directory) / "report.html"
        path.write_text(page, encoding="utf-8")
        for name, width, height, scheme, place in (
            ("report-light", 1280, 1180, "light", ""), ("report-dark", 1280, 1180, "dark", ""),
            ("report-execution", 1280, 800, "light", "#execution"), ("report-phone", 390, 844, "light", ""),
        ):  # fmt: skip
            phone = width < 760
            context = browser.new_context(
                viewport={"width": width, "height": height}, device_scale_factor=1.5 if phone else 1,
                color_scheme="dark" if scheme == "dark" else "light",
            )  # fmt: skip
            shown = context.new_page()
            shown.goto(path.as_uri() + place)
            file = PLACE / f"{name}.png"
            shown.screenshot(path=file)
            size = file.stat().st_size
            assert size < PICTURE_BYTES_MAX, f"{name}.png must be below {PICTURE_BYTES_MAX} bytes, is {size}"
            print(f"docs/images/{name}.png  {size:,} bytes")
            context.close()


def played(tape: Path | None, directory: Path, server: str) -> TapeDay:
    """The day, once everything is written."""
    source = source_of(tape)
    print(f"plays {source.name} at {PACE} times its pace", flush=True)
    return play(source, create_database(server), directory, makers=MAKERS, pace=PlayOptions(speed=PACE))


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tape", type=Path, nargs="?", help="a LOBSTER message file or ITCH 5.0; default: what is there")
    chosen = parser.parse_args()
    with session_postgres() as server, tempfile.TemporaryDirectory() as directory:
        day = played(chosen.tape, Path(directory), server)
        found = day.figures(over=True)
        assert found.reconciliation.ok, found.reconciliation.headline
        print(found.reconciliation.headline)
        pictures(render(found))


if __name__ == "__main__":
    main()
