"""Rows of a desk: what is kept is found again, whatever was cut off, and what a late worker writes is not looked at."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streams.risk import journal as journals
from streams.risk.journal import Journal, read


def written(*changes: dict[str, Any]) -> dict[str, Any]:
    """What a table holds after these rows, as it comes back from its changelog."""
    rows: dict[str, Any] = {}
    for change in changes:
        rows |= orjson.loads(orjson.dumps(change))
    return rows


def test_an_empty_table_holds_nothing():
    kept = read([])
    assert (kept.state, kept.entries, kept.offsets, kept.stale) == (None, [], {}, [])


def test_a_state_and_the_entries_since_come_back_in_order_with_the_offsets_seen():
    journal = Journal("a", 1)
    rows = [journal.snapshot({"firms": 1}, {"executions": 5})]
    rows += [journal.entry([["executions", 0, [number]]], {"executions": 6 + number}, 10) for number in range(12)]
    kept = read(written(*rows).items())
    assert kept.state == {"firms": 1}
    assert [entry["steps"][0][2] for entry in kept.entries] == [[number] for number in range(12)]
    assert kept.offsets == {"executions": 17}


def test_a_message_s_own_bytes_stand_in_an_entry_as_json():
    journal = Journal("a", 1)
    rows = [journal.snapshot({}, {})]
    rows.append(journal.entry([["executions", 0, orjson.Fragment(b'[{"seq":1}]')]], {}, 10))
    kept = read(written(*rows).items())
    assert kept.entries[0]["steps"][0][2] == [{"seq": 1}]


def test_after_a_snapshot_the_entries_before_it_are_over_though_their_rows_stand():
    journal = Journal("a", 1)
    rows = [journal.snapshot({"n": 0}, {})]
    rows += [journal.entry([[number]], {}, 10) for number in range(3)]
    rows.append(journal.snapshot({"n": 3}, {"executions": 9}))
    rows.append(journal.entry([["new"]], {}, 10))
    kept = read(written(*rows).items())
    assert (kept.state, [entry["steps"] for entry in kept.entries]) == ({"n": 3}, [[["new"]]])
    assert kept.offsets == {"executions": 9}


def test_a_snapshot_that_was_cut_off_leaves_the_one_before_it():
    journal = Journal("a", 1)
    rows = [journal.snapshot({"n": 0}, {}), journal.entry([["kept"]], {}, 10)]
    half = journal.snapshot({"n": 1}, {})
    half.pop("a/head")
    kept = read(written(*rows, half).items())
    assert (kept.state, [entry["steps"] for entry in kept.entries]) == ({"n": 0}, [[["kept"]]])


def test_the_newest_epoch_counts_and_what_a_worker_writes_late_to_an_older_one_does_not():
    old, new = Journal("a", 1), Journal("b", 2)
    rows = [old.snapshot({"of": "old"}, {}), new.snapshot({"of": "new"}, {}), new.entry([["new"]], {}, 1)]
    late = [old.entry([["late"]], {"executions": 99}, 1), old.snapshot({"of": "late"}, {})]
    kept = read(written(*rows, *late).items())
    assert (kept.state, [entry["steps"] for entry in kept.entries]) == ({"of": "new"}, [[["new"]]])
    assert "executions" not in kept.offsets
    assert kept.began_ns == 2
    assert set(kept.stale) == {*rows[0], *rows[1], *rows[2], *late[0], *late[1]}


def test_a_large_state_is_kept_in_parts_and_numbers_beyond_64_bits_stay_exact(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journals, "PART_CHARACTERS", 50)
    state = {"units": 1 << 100, "text": "é" * 200}
    rows = Journal("a", 1).snapshot(state, {})
    assert len(rows) > 10
    assert read(written(rows).items()).state == state


def test_a_snapshot_is_due_when_the_entries_outweigh_it():
    journal = Journal("a", 1)
    journal.snapshot({"text": "x" * 1000}, {})
    journal.entry([], {}, journals.ENTRIES_BYTES_MIN)
    assert not journal.due
    journal.entry([], {}, 1)
    assert journal.due
    journal.snapshot({}, {})
    assert not journal.due
