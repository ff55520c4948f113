"""Snapshot files: names, durability, which one is trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine_node import _engine, snapshots
from engine_node.errors import SnapshotError
from engine_node.snapshots import BadSnapshot, Snapshot
from schemas import vocabulary as v

OPTIONS = {
    "order_count_max": 256, "level_count_max": 256, "ladder_count_max": 256, "balance_count_max": 64,
    "position_count_max": 64, "nonce_count_max": 64, "reports_kept": 256,
}  # fmt: skip


def core_at(sequence: int) -> _engine.Core:
    """A core that has applied so many clock ticks behind a term."""
    core = _engine.Core(**OPTIONS)
    commands = [v.Term(term=1, node=0).pack()] + [v.ClockTick().pack()] * (sequence - 1)
    records = b"".join(v.Record(command=command, received_ns=1000 + n).pack() for n, command in enumerate(commands))
    core.apply(_engine.seal(records))
    return core


def write(directory: Path, sequence: int) -> Snapshot:
    core = core_at(sequence)
    return snapshots.write_snapshot(directory, core.save(), sequence=sequence, digest=core.digest())


def used(directory: Path, sequence_max: int | None = None) -> tuple[list[str], str | None]:
    """Names of the bad ones, and of the one chosen."""
    bad, good = [], None
    for found in snapshots.newest_good(directory, OPTIONS, sequence_max=sequence_max):
        if isinstance(found, BadSnapshot):
            bad.append(found.path.name)
        else:
            good = found[0].path.name
    return bad, good


def test_a_snapshot_is_named_by_sequence_and_digest_and_loads_again(tmp_path: Path) -> None:
    snapshot = write(tmp_path / "snapshots", 7)
    assert snapshot.path.name == f"{7:020d}-{core_at(7).digest():016x}.snap"
    data, core = snapshots.load_snapshot(snapshot, OPTIONS)
    assert (core.sequence(), core.digest()) == (7, core_at(7).digest())
    assert data == snapshot.path.read_bytes()
    assert snapshot.path.stat().st_mode & 0o777 == 0o600


def test_the_newest_comes_first_and_other_files_are_not_looked_at(tmp_path: Path) -> None:
    for sequence in (3, 12, 5):
        write(tmp_path, sequence)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".00000000000000000099-0000000000000000.snap.1.tmp").write_text("x")
    assert [snapshot.sequence for snapshot in snapshots.list_snapshots(tmp_path)] == [12, 5, 3]
    assert snapshots.list_snapshots(tmp_path / "none") == []


def test_a_bad_one_is_reported_and_the_next_older_taken(tmp_path: Path) -> None:
    older, newer, newest = (write(tmp_path, sequence).path for sequence in (3, 5, 8))
    newest.write_bytes(newest.read_bytes()[:-3])
    misnamed = newer.rename(newer.with_name(newer.name.replace("5-", "6-", 1)))
    assert used(tmp_path) == ([newest.name, misnamed.name], older.name)


@pytest.mark.parametrize("harm", ["empty", "one bit", "longer", "unreadable"])
def test_every_harm_makes_a_snapshot_bad(tmp_path: Path, harm: str) -> None:
    snapshot = write(tmp_path, 5)
    data = bytearray(snapshot.path.read_bytes())
    if harm == "empty":
        snapshot.path.write_bytes(b"")
    elif harm == "one bit":
        data[len(data) // 3] ^= 4
        snapshot.path.write_bytes(data)
    elif harm == "longer":
        snapshot.path.write_bytes(data + b"\0")
    else:
        snapshot.path.unlink()
        snapshot.path.mkdir()
    with pytest.raises(SnapshotError) as caught:
        snapshots.load_snapshot(snapshot, OPTIONS)
    assert snapshot.path.name in caught.value.detail
    assert used(tmp_path) == ([snapshot.path.name], None)


def test_one_newer_than_the_journal_is_passed_over(tmp_path: Path) -> None:
    names = [write(tmp_path, sequence).path.name for sequence in (3, 8)]
    assert used(tmp_path, sequence_max=7) == ([names[1]], names[0])


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SnapshotError, match="No space left"):
        write(tmp_path, 3)
    assert list(tmp_path.iterdir()) == []


def test_pruning_keeps_the_newest_and_clears_what_a_crash_left(tmp_path: Path) -> None:
    for sequence in (3, 4, 5, 6):
        write(tmp_path, sequence)
    left = tmp_path / ".00000000000000000099-0000000000000000.snap.4194305.tmp"
    left.write_text("x")
    mine = tmp_path / f".00000000000000000098-0000000000000000.snap.{os.getpid()}.tmp"
    mine.write_text("x")
    gone = snapshots.prune(tmp_path, 2)
    assert [snapshot.sequence for snapshot in snapshots.list_snapshots(tmp_path)] == [6, 5]
    assert len(gone) == 3
    assert mine.exists()
    assert not left.exists()
