"""Do the tables hold the whole day? Pure.

A mark moves with events, so behind the last event of a day it stands still until the next day has one. The day is
covered when an event of the next day is in the tables, or when the newest mark is at least the last event that the
engine's own statement knows of. Which shards there are, the archive knows too: one that analytics never wrote, or whose
rows and marks are gone, has reached sequence 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from functions.reporting.errors import AnalyticsBehind
from functions.reporting.rows import Reach
from functions.reporting.statement import Missing, Statement

__all__ = ["check", "joined"]


def joined(reach: Sequence[Reach], archived: Sequence[int]) -> list[Reach]:
    """How far every shard's events are in the tables, also of those that only the archive has."""
    missing = set(archived) - {one.shard for one in reach}
    return sorted([*reach, *(Reach(shard, 0, None) for shard in missing)])


def check(day: str, reach: Sequence[Reach], statements: Sequence[Statement | Missing]) -> None:
    """Raises AnalyticsBehind, which says of each shard what is missing."""
    if not any(one.seq for one in reach):
        raise AnalyticsBehind(
            f"the tables must hold {day}, analytics has written nothing yet",
            detail="table stream_marks",
            hint="is the analytics worker running, and is this its database?",
        )
    known = {one.shard: one for one in statements}
    behind = [text for one in reach if (text := _behind(one, known.get(one.shard)))]
    if behind:
        raise AnalyticsBehind(
            f"the tables must hold the whole of {day}, do not (or nobody can tell)",
            detail="; ".join(behind),
            hint="run it again when analytics (and the archive) have gone on, or ask for it as partial",
        )


def _behind(reach: Reach, statement: Statement | Missing | None) -> str:
    """What is missing of a shard; "" if nothing is."""
    if reach.later_ns is not None:
        return ""
    if isinstance(statement, Statement):
        if reach.seq >= statement.last_event_sequence:
            return ""
        return f"shard {reach.shard}: sequence {reach.seq} of {statement.last_event_sequence}"
    why = f" ({statement.why}: {statement.where})" if statement is not None else ""
    return f"shard {reach.shard}: sequence {reach.seq}, nothing of a later day, and no statement to compare with{why}"
