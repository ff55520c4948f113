"""kill -9 at random places of a tape: nothing acknowledged is lost, nothing is entered or told twice.

`make test` kills 50 times, half at level process, half at level disk; IRONBOOK_SOAK=1 (`make soak`) 1,000 times. The
tape is the recorded hour where it is there, else a seeded flow. Every run is compared with a run of the same tape
without kills.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ironbook.tape import FlowOptions, Player, TapeMessage, generate, read_lobster
from ironbook.tape._desk import local_desk
from ironbook.tape._venue import VenueOptions
from tests.support.crash import Crashed, CrashOptions, Killer, play, processes_left
from tests.support.recorded import AAPL_HOUR

SOAK = bool(os.environ.get("IRONBOOK_SOAK"))
KILLS_A_ROUND = 25
ROUNDS_A_LEVEL = 20 if SOAK else 1
MESSAGES = 6_000
SMALL_SEGMENTS = {"segment_records": 1 << 12, "digest_interval_records": 500}
SNAPSHOTS = {"snapshot_process": True, "snapshot_interval_records": 1_500, "snapshot_interval_s": 1}


def tape(round_number: int) -> Iterator[TapeMessage]:
    """A piece of the recorded hour, another one each round; a seeded flow where it is not there or by turns."""
    if AAPL_HOUR.exists() and round_number % 2 == 0:
        return itertools.islice(read_lobster(AAPL_HOUR), MESSAGES)
    return generate(MESSAGES, FlowOptions(seed=round_number))


def options(level: str, round_number: int, kill_count: int) -> CrashOptions:
    settings: dict[str, Any] = SMALL_SEGMENTS | (SNAPSHOTS if round_number % 2 else {})
    return CrashOptions(
        kill_count=kill_count, seed=round_number, level=level, makers=1 + round_number % 3, settings=settings
    )


def show(crashed: Crashed, level: str, round_number: int) -> None:
    print(
        f"level {level}, round {round_number}: {crashed.commands} commands, {crashed.kills} kills "
        f"({crashed.kills_in_recovery} while recovering), "
        f"{crashed.kills_in_flight} with frames in flight, {crashed.logons} logons, {crashed.elapsed_s:.1f} s"
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("round_number", range(ROUNDS_A_LEVEL))
@pytest.mark.parametrize("level", ["process", "disk"])
def test_kills_at_random_places_change_nothing(tmp_path: Path, level: str, round_number: int) -> None:
    place = round_number if level == "process" else round_number + 1  # the two levels take turns at tape and settings
    whole = play(tmp_path / "whole", tape(place), options(level, place, kill_count=0))
    killed = play(tmp_path / "killed", tape(place), options(level, place, kill_count=KILLS_A_ROUND))
    show(killed, level, place)
    assert killed.kills >= KILLS_A_ROUND
    assert killed.kills_in_flight >= KILLS_A_ROUND // 5
    assert len(killed.recovered) >= KILLS_A_ROUND + 1
    assert killed.came == whole.came
    assert whole.kills == 0
    assert processes_left(tmp_path) == []


@pytest.mark.timeout(300)
def test_the_outcome_digest_is_the_same_after_kills_and_restarts(tmp_path: Path) -> None:
    outcomes = [play_with_kills(tmp_path / "whole", 0), play_with_kills(tmp_path / "killed", 400)]
    assert outcomes[0] == outcomes[1]


def play_with_kills(directory: Path, kill_every: int) -> tuple[str, int, int]:
    """The player of `ironbook tape`, with a kill behind every so many messages."""
    with local_desk(directory, 2, VenueOptions(step=100)) as desk:
        assert desk.node is not None
        killer = Killer(desk.node, desk.traders, random.Random(1))
        killer.start()

        def interrupted() -> Iterator[TapeMessage]:
            for message in generate(1_500, FlowOptions(seed=21)):
                if kill_every and message.index % kill_every == 0:
                    killer.idle.wait(60)
                    killer.kill_soon()
                yield message

        played = Player(desk.traders, desk.venue).play(interrupted())
        killer.end()
        assert bool(killer.kills) == bool(kill_every)
        return played.outcome_digest, played.executions_agreed, played.fills
