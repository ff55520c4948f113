"""Is the whole day in the tables?"""

from __future__ import annotations

import dataclasses
import json

import pytest

from functions.reporting.coverage import check, joined
from functions.reporting.errors import AnalyticsBehind
from functions.reporting.rows import Reach
from functions.reporting.statement import Missing, Statement, parse
from tests.functions.reporting.test_statement import WHOLE

DAY = "2026-03-02"
MISSING = Missing(shard=3, why="it must be there", where="s3://archive/x")


def statement(last_event_sequence: int) -> Statement:
    found = parse(json.dumps(WHOLE).encode(), shard=3, day=DAY, where="")
    assert isinstance(found, Statement)
    return dataclasses.replace(found, last_event_sequence=last_event_sequence)


def test_an_event_of_a_later_day_proves_that_the_day_is_whole() -> None:
    check(DAY, [Reach(3, 10, 5)], [MISSING])


def test_the_engines_statement_proves_it_when_nothing_happened_since() -> None:
    check(DAY, [Reach(3, 870, None)], [statement(870)])


def test_a_mark_below_the_days_last_event_is_refused_with_what_is_missing() -> None:
    with pytest.raises(AnalyticsBehind, match="do not") as refused:
        check(DAY, [Reach(3, 869, None)], [statement(870)])
    assert refused.value.detail == "shard 3: sequence 869 of 870"


def test_without_a_statement_and_without_a_later_event_nobody_can_tell() -> None:
    with pytest.raises(AnalyticsBehind) as refused:
        check(DAY, [Reach(3, 870, None)], [MISSING])
    assert "nothing of a later day, and no statement" in refused.value.detail
    assert "s3://archive/x" in refused.value.detail


def test_one_shard_behind_is_enough_to_refuse_and_is_the_one_named() -> None:
    with pytest.raises(AnalyticsBehind) as refused:
        check(DAY, [Reach(2, 10, 5), Reach(3, 9, None)], [statement(870)])
    assert refused.value.detail == "shard 3: sequence 9 of 870"


def test_a_database_that_analytics_never_wrote_is_refused() -> None:
    with pytest.raises(AnalyticsBehind, match="written nothing yet"):
        check(DAY, [], [])


def test_a_shard_that_only_the_archive_has_is_refused_though_the_others_are_whole() -> None:
    with pytest.raises(AnalyticsBehind) as refused:
        check(DAY, joined([Reach(2, 10, 5)], [2, 3]), [statement(870)])
    assert refused.value.detail == "shard 3: sequence 0 of 870"


def test_a_shard_that_never_had_an_event_needs_no_rows() -> None:
    check(DAY, joined([Reach(2, 10, 5)], [2, 3]), [statement(0)])


def test_a_shard_that_the_archive_does_not_have_yet_is_kept() -> None:
    assert joined([Reach(3, 10, 5)], [1]) == [Reach(1, 0, None), Reach(3, 10, 5)]


def test_an_archive_beside_a_database_that_analytics_never_wrote_is_refused_as_such() -> None:
    with pytest.raises(AnalyticsBehind, match="written nothing yet"):
        check(DAY, joined([], [3]), [statement(870)])
