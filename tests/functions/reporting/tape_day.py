"""A day on which a tape was played through a real engine, analytics beside it into PostgreSQL, and its ledger stated.

tape ──▶ signed clients ──▶ engine node ──▶ journal ──▶ embedded analytics ──▶ PostgreSQL ──▶ figures ──▶ page
                                               ├──▶ ironbook journal statement ──▶ statement, arrival prices
                                               └──▶ a replica: what the totals are held against
"""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet

from engine_node.replica import Replica
from functions.reporting.figures import Figures
from functions.reporting.rows import Arrival
from functions.reporting.statement import Statement
from ironbook.archive.statements import DAY_NS, day_of, day_text, ledger_of, start_of
from ironbook.tape import Played, Player, PlayOptions
from ironbook.tape._desk import local_desk
from ironbook.tape._source import Source
from ironbook.tape._venue import VenueOptions
from tests.functions.reporting.days import figures, parsed
from tests.support.node import ROOT, wait_until

CASH_UNITS = 10**9 * 10**6
SHARES = 10**7
CAUGHT_UP_S = 120.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TapeDay:
    """What came of it, and where it is. ledger: what a replica of the journal says, by names."""

    url: str
    directory: Path
    day: str
    start_ns: int
    played: Played
    ledger: dict[str, Any]
    sequence: int

    def statement(self) -> Statement:
        """The engine's ledger, as the archive's verifier states it."""
        said = parsed((self.directory / f"{self.day}.json").read_bytes(), self.day)
        assert isinstance(said, Statement), said
        return said

    def arrivals(self) -> Iterator[Arrival]:
        """The best prices before each order."""
        file = pyarrow.parquet.ParquetFile(self.directory / f"{self.day}.arrivals.parquet")
        for batch in file.iter_batches(columns=["seq", "symbol", "bid_ticks", "ask_ticks"]):
            for row in batch.to_pylist():
                yield Arrival(0, row["seq"], row["symbol"], row["bid_ticks"], row["ask_ticks"])

    def figures(self, *, arrivals: bool = True, statement: bool = True, over: bool = False) -> Figures:
        """The day's figures out of its database. over: the engine has ended, so what it stated is the whole day."""
        statements = [dataclasses.replace(self.statement(), partial=not over)] if statement else ()
        return figures(
            self.url, self.day, self.start_ns, statements=statements,
            arrivals=self.arrivals() if arrivals else None, partial=not over,
        )  # fmt: skip


def play(source: Source, url: str, directory: Path, *, makers: int = 3, pace: PlayOptions | None = None) -> TapeDay:
    """Play a tape to its end, and wait until analytics has written all of it. url: an empty database."""
    data, options = directory / "engine", VenueOptions(
        step=source.step, cash_units_per_account=CASH_UNITS, shares_per_account=SHARES
    )  # fmt: skip
    (directory / "url").write_text(url + "\n")
    (directory / "url").chmod(0o600)
    with contextlib.ExitStack() as beside:
        with local_desk(data, makers, options) as desk:
            beside.enter_context(_analytics(data, directory))
            played = Player(desk.traders, desk.venue, pace).play(source.messages())
        with Replica.open(data) as replica:  # the engine has ended: what its end wrote is in it too
            replica.catch_up()
            sequence, ledger, now_ns = replica.core.sequence(), ledger_of(replica.core), replica.core.received_ns()
        wait_until(lambda: _written(url) >= sequence, CAUGHT_UP_S, "analytics must write everything")
    day = day_text(day_of(now_ns))
    said = [sys.executable, "-m", "ironbook", "journal", "statement", "--day", day]
    subprocess.run(
        [*said, "--data", str(data), "--out", str(directory)], cwd=ROOT, check=True, capture_output=True, timeout=300
    )
    return TapeDay(
        url=url, directory=directory, day=day, start_ns=start_of(day_of(now_ns)), played=played, ledger=ledger,
        sequence=sequence,
    )  # fmt: skip


@contextlib.contextmanager
def _analytics(data: Path, directory: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "ironbook.embedded", "--data", str(data)]
    with (directory / "analytics.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--database-url-file", str(directory / "url")], cwd=ROOT, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def _written(url: str) -> int:
    with contextlib.suppress(psycopg.errors.UndefinedTable), psycopg.connect(url) as connection:
        row = connection.execute("SELECT coalesce(max(seq), 0) FROM stream_marks").fetchone()
        return int(row[0]) if row is not None else 0
    return 0


__all__ = ["DAY_NS", "TapeDay", "play"]
