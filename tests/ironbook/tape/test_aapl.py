"""The recorded day: the AAPL hour through signed clients over TCP, on a real engine node."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from engine_node.replica import Replica
from ironbook.tape import Played, Player, TapeKind, common_step, read_itch, read_lobster, read_messages
from ironbook.tape._book import simulate
from ironbook.tape._desk import local_desk
from ironbook.tape._venue import VenueOptions
from tests.support.recorded import AAPL_HOUR, ITCH_EXAMPLE, missing
from tests.support.replay import replay


@pytest.fixture
def aapl_hour() -> Path:
    if reason := missing(AAPL_HOUR):
        pytest.skip(reason)
    return AAPL_HOUR


@pytest.fixture
def itch_example() -> Path:
    if reason := missing(ITCH_EXAMPLE):
        pytest.skip(reason)
    return ITCH_EXAMPLE


def test_the_recorded_hour_is_read_whole(aapl_hour: Path) -> None:
    kinds = [message.kind for message in read_lobster(aapl_hour)]
    assert [kinds.count(kind) for kind in list(TapeKind)[:7]] == [44_256, 469, 41_004, 0, 4_067, 0, 2_201]
    assert len(kinds) == 91_997
    assert common_step(aapl_hour) == (100, 91_997)


def test_price_time_priority_gives_3989_of_4055_on_the_obvious_book(aapl_hour: Path) -> None:
    found = simulate(read_lobster(aapl_hour))
    assert (found.executions_checked, found.executions_agreed) == (4_055, 3_989)
    assert (found.deletes_without_order, found.arrivals_that_traded) == (76, 1)


@pytest.mark.timeout(600)
def test_the_recorded_hour_plays_through_signed_clients_with_3989_of_4055(aapl_hour: Path, tmp_path: Path) -> None:
    with local_desk(tmp_path, 3, VenueOptions(step=100)) as desk:
        player = Player(desk.traders, desk.venue)
        played = player.play(read_lobster(aapl_hour))
        assert_priced_as_recorded(played)
        assert desk.node is not None
        with Replica.open(tmp_path) as replica:
            replica.catch_up()
            assert all(balance.reconciles for balance in desk.venue.balances(replica.core, played.balances))
            for side, levels in player.books["AAPL"].levels.items():
                told = {price // 100: (sum(level.values()), len(level)) for price, level in levels.items()}
                found = {price: (lots, count) for price, lots, count in replica.core.levels(1, side, 10_000)}
                assert told == found
    with Replica.open(tmp_path, use_snapshot=False) as whole:
        whole.catch_up()
        assert [state.digest for state in replay(tmp_path / "journal")] == [f"{whole.core.digest():016x}"]


def assert_priced_as_recorded(played: Played) -> None:
    assert played.messages == 91_997
    assert (played.executions_checked, played.executions_agreed, played.executions_unknown) == (4_055, 3_989, 12)
    assert played.reject_codes == {"unknown_order": 76}
    assert played.arrivals_that_traded == 1
    assert played.commands == 44_256 + 469 + 41_004 + 4_055
    assert played.outcome_digest == "3a129dfddd335bc987087125fe726a338b7a1873e08667295280f4e351abd30b"
    assert len(played.differences) == 10
    assert all(difference.why for difference in played.differences)


def test_the_itch_example_is_read_whole(itch_example: Path) -> None:
    codes = [message.code for message in read_messages(itch_example)]
    counts = {code: codes.count(code) for code in sorted(set(codes))}
    assert counts == {
        "A": 4_997, "D": 1_745, "E": 198, "F": 3, "H": 3, "P": 5_000, "R": 3, "S": 6, "U": 12, "X": 45,
    }  # fmt: skip
    messages = list(read_itch(itch_example))
    assert len(messages) == 12_012
    assert {message.symbol for message in messages} == {"", "ALC", "BOB", "CHAR"}
    assert [sum(m.symbol == s for m in messages) for s in ("ALC", "BOB", "CHAR")] == [3_211, 5_165, 3_630]
    assert list(read_itch(itch_example, symbol="BOB")) == [m for m in messages if m.symbol in ("", "BOB")]


@pytest.mark.timeout(300)
def test_an_itch_file_of_several_symbols_plays_on_an_instrument_each(itch_example: Path, tmp_path: Path) -> None:
    pieces = list(itertools.islice(read_itch(itch_example), 2_000))
    with local_desk(tmp_path, 2, VenueOptions(step=1)) as desk:
        player = Player(desk.traders, desk.venue)
        played = player.play(pieces)
        assert played.messages == 2_000
        assert played.executions_checked > 0
        assert sorted(desk.venue.symbols.values()) == ["ALC", "BOB", "CHAR"]
        with Replica.open(tmp_path) as replica:
            replica.catch_up()
            assert all(balance.reconciles for balance in desk.venue.balances(replica.core, played.balances))
