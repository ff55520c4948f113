"""A node forgets what is archived and needed by nobody, and everything that starts on what is left still starts."""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_node import _engine
from engine_node.errors import EngineNodeError
from engine_node.publish.restore import archived
from engine_node.replica import Replica, first_kept, read_mark, write_mark
from engine_node.restore import write_journal
from engine_node.snapshots import list_snapshots, prune
from gateway.sources import LocalSource
from ironbook import ArchiveInvalid, JournalInvalid
from ironbook.archive.retention import Retention, fetch_snapshot, retain, shard_of
from ironbook.archive.stores import DirectoryStore
from ironbook.cli._app import EXIT_DAMAGED, run
from tests.support.archives import closed_ends, put_over, three_days, write_archive
from tests.support.node import Node, wait_until
from tests.support.publishing import Market, journal_records

SHARD = 3
Made = tuple[Node, bytes, Market]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A node that has stopped, with six segments and a snapshot every few thousand records."""
    node = Node(
        tmp_path_factory.mktemp("retention") / "data", shard=SHARD, snapshot_interval_records=3000,
        snapshot_keep_count=6, digest_interval_records=1000,
    )  # fmt: skip
    market = Market(node, seed=5)
    node.start()
    market.open()
    for _ in range(7):
        before = len(snapshots(node))
        market.trade(3200, burst=200)
        wait_until(functools.partial(more_or_enough, node, before))
    market.close()
    assert node.stop() == 0
    yield node, journal_records(node), market
    node.end()


def more_or_enough(node: Node, before: int) -> bool:
    return before > 4 or len(snapshots(node)) > before


@pytest.fixture
def node(made: Made, tmp_path: Path) -> Iterator[Node]:
    """A copy of it, whose publisher has published everything."""
    shutil.copytree(made[0].directory, tmp_path / "data")
    copy = Node(tmp_path / "data", **{k: v for k, v in made[0].settings.items() if k in KEPT})
    write_mark(copy.directory, len(made[1]) // 64)
    yield copy
    copy.end()


KEPT = ("shard", "snapshot_interval_records", "snapshot_keep_count", "digest_interval_records")


@pytest.fixture
def store(made: Made, tmp_path: Path) -> DirectoryStore:
    """All but the end of it, archived."""
    (tmp_path / "archive").mkdir()
    found = DirectoryStore(tmp_path / "archive")
    write_archive(found, SHARD, made[1], closed_ends(made[1], [2000] * 9))
    return found


def segments(node: Node) -> list[str]:
    return sorted(path.name for path in (node.directory / "journal").glob("*.jnl"))


def snapshots(node: Node) -> list[int]:
    return [one.sequence for one in list_snapshots(node.directory / "snapshots")]


def go(node: Node, store: DirectoryStore, keep: int = 0, *, dry_run: bool = False) -> Retention:
    return retain(node.directory, store, keep_records=keep, dry_run=dry_run)


def test_only_whole_segments_below_every_bound_go(node: Node, store: DirectoryStore) -> None:
    before = segments(node)
    planned = go(node, store, dry_run=True)
    assert segments(node) == before
    assert list(store.keys("snapshots/")) == [], "a dry run changes nothing"
    done = go(node, store)
    assert planned.removed == done.removed
    assert done.bounds == {"archive": 18_000 + archived_over(store), "snapshots": snapshots(node)[1],
                           "publisher": snapshots(node)[0]}  # fmt: skip
    assert done.floor_sequence == min(done.bounds.values())
    assert 0 < len(done.removed) < len(before) - 1
    assert segments(node) == before[len(done.removed) :]
    assert first_kept(node.directory / "journal") <= done.floor_sequence + 1
    assert first_kept(node.directory / "journal") + 4096 > done.floor_sequence, "no more than that stays"
    assert len(list(store.keys(f"snapshots/{SHARD:05d}/"))) == 2
    again = go(node, store)
    assert (again.removed, again.published) == ((), ())


def test_a_segment_goes_when_its_last_record_may_and_no_record_earlier(node: Node, store: DirectoryStore) -> None:
    first, second = (int(name.removesuffix(".jnl")) for name in segments(node)[:2])
    floor = go(node, store, dry_run=True).floor_sequence
    assert go(node, store, floor - (second - 2), dry_run=True).removed == ()
    assert go(node, store, floor - (second - 1), dry_run=True).removed == (f"{first:020d}.jnl",)


def test_published_snapshots_are_locked_for_the_days_that_are_asked_for(node: Node, store: DirectoryStore) -> None:
    locked = {}

    class Recording(DirectoryStore):
        def put(self, key: str, data: bytes, tag: str | None, *, lock_days: int = 0) -> str | None:
            locked[key] = lock_days
            return super().put(key, data, tag, lock_days=lock_days)

    done = retain(node.directory, Recording(Path(store.place)), keep_records=0, dry_run=False, lock_days=2)
    assert len(done.published) == 2
    assert locked == dict.fromkeys(done.published, 2)


def archived_over(store: DirectoryStore) -> int:
    from ironbook.archive.reading import read_head

    return read_head(store, SHARD)[0].last_sequence - 18_000


def test_each_bound_alone_holds_segments_back(node: Node, store: DirectoryStore, made: Made) -> None:
    before = segments(node)
    assert go(node, store, keep=1 << 40).removed == ()
    (node.directory / "published.mark").write_text("not a number")
    assert read_mark(node.directory) is None
    assert go(node, store).bounds["publisher"] == 0
    write_mark(node.directory, snapshots(node)[-1] + 1)
    assert go(node, store, dry_run=True).floor_sequence == snapshots(node)[-1]
    write_mark(node.directory, len(made[1]) // 64)
    for one in list_snapshots(node.directory / "snapshots")[1:]:
        one.path.write_bytes(one.path.read_bytes()[:-1] + b"\0")
    assert go(node, store).bounds["snapshots"] == 0, "one good snapshot is not enough"
    shutil.rmtree(Path(store.place) / "journal")
    assert go(node, store).bounds["archive"] == 0
    assert segments(node) == before


def test_a_publisher_that_is_behind_still_starts_though_the_snapshot_at_its_mark_is_bad(
    node: Node, store: DirectoryStore
) -> None:
    known = list_snapshots(node.directory / "snapshots")
    write_mark(node.directory, known[-2].sequence + 1)
    known[-2].path.write_bytes(known[-2].path.read_bytes()[:-1] + b"\0")
    assert go(node, store).floor_sequence == known[-1].sequence, "it begins at the one before"
    with Replica.open(node.directory, before=known[-2].sequence + 1) as replica:
        assert replica.core.sequence() == known[-1].sequence


def read_first(journal: str, ready: multiprocessing.synchronize.Event, done: multiprocessing.synchronize.Event) -> None:
    with _engine.JournalReader(journal, 5000) as reader:
        assert reader.next(1)
        ready.set()
        done.wait(60)


def test_what_a_reader_has_open_stays_and_all_behind_it(node: Node, store: DirectoryStore) -> None:
    before, context = segments(node), multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    reader = context.Process(target=read_first, args=(str(node.directory / "journal"), ready, done))
    reader.start()
    try:
        assert ready.wait(60)
        found = go(node, store)
        assert found.removed == tuple(before[:1])
        assert found.kept_for_readers[0] == before[1]
    finally:
        done.set()
        reader.join(60)
    assert reader.exitcode == 0
    assert go(node, store).removed == found.kept_for_readers


def test_an_archive_of_another_history_or_with_a_hole_removes_nothing(
    node: Node, store: DirectoryStore, made: Made, tmp_path: Path
) -> None:
    before = segments(node)
    other = DirectoryStore(tmp_path / "other")
    (tmp_path / "other").mkdir()
    write_archive(other, SHARD, three_days(), [1103])
    with pytest.raises(ArchiveInvalid, match="of one history, record 1103 differs"):
        go(node, other)
    ahead = DirectoryStore(tmp_path / "ahead")
    (tmp_path / "ahead").mkdir()
    more = made[1] + _engine.seal(bytes([35]) + bytes(51) + bytes(4) + made[1][-8:], crc(made[1]))
    write_archive(ahead, SHARD, more, [len(more) // 64])
    with pytest.raises(ArchiveInvalid, match="must end within the journal"):
        go(node, ahead)
    hole = next(iter(store.keys(f"journal/{SHARD:05d}/")))
    (Path(store.place) / hole).unlink()
    with pytest.raises(ArchiveInvalid, match="an object must be there with") as found:
        go(node, store)
    assert hole in found.value.detail
    assert segments(node) == before
    assert (
        run(["journal", "retain", "--data", str(node.directory), "--keep", "0", "--archive", store.place])
        == EXIT_DAMAGED
    )
    assert shard_of(node.directory / "journal") == SHARD
    (node.directory / "journal" / "journal.state").write_bytes(b"no")
    with pytest.raises(JournalInvalid, match="must have its shared page"):
        go(node, store)


def crc(records: bytes) -> int:
    return int.from_bytes(records[-12:-8], "little")


# ---- What starts on it ----------------------------------------------------------------------------------------------


def test_everything_starts_on_a_journal_whose_beginning_is_gone(
    node: Node, store: DirectoryStore, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    last = len(made[1]) // 64
    go(node, store)
    first = first_kept(node.directory / "journal")
    assert first > 1
    with Replica.open(node.directory) as replica:
        replica.catch_up()
        assert replica.core.sequence() == last
        digest = replica.core.digest()
    usable = [sequence for sequence in snapshots(node) if sequence >= first - 1]
    for back, begins in ((10**6, usable[0]), (last - usable[-1], usable[-1]), (last - first + 2, usable[0])):
        core = asyncio.run(LocalSource(node.directory, replay_records=back).open(None))
        assert core.sequence() == begins, f"{back} records before {last}, of {snapshots(node)} from {first} on"
    assert run(["journal", "verify", "--data", str(node.directory), "--json"]) == 0
    said = capsys.readouterr().out
    assert f'"last_sequence":{last}' in said
    assert f'"digest":"{digest:016x}"' in said
    assert '"first_sequence":1,' not in said
    assert run(["journal", "verify", "--archive", store.place, "--shard", str(SHARD), "--json"]) == 0
    market = made[2]
    market.node = node
    node.start()
    market.log_on()
    market.trade(6000, burst=200)
    market.close()
    assert node.stop() == 0
    with Replica.open(node.directory, before=usable[0]) as replica:
        replica.catch_up()
        assert replica.core.sequence() > last + 6000
    with pytest.raises(_engine.JournalError, match="must reach back to sequence 1, and begins at"):
        Replica.open(node.directory, use_snapshot=False)


def test_a_journal_without_its_beginning_and_without_snapshots_says_what_to_do(
    node: Node, store: DirectoryStore, tmp_path: Path
) -> None:
    go(node, store)
    shutil.rmtree(node.directory / "snapshots")
    assert run(["journal", "verify", "--data", str(node.directory)]) == EXIT_DAMAGED
    newest, older = sorted(store.keys("snapshots/"), reverse=True)
    assert fetch_snapshot(store, SHARD, node.directory / "snapshots").name == Path(newest).name
    shutil.rmtree(node.directory / "snapshots")
    put_over(store, newest, b"altered")
    fetched = fetch_snapshot(store, SHARD, node.directory / "snapshots")
    assert (fetched.name, list(fetched.parent.iterdir())) == (Path(older).name, [fetched])
    put_over(store, older, b"altered")
    with pytest.raises(ArchiveInvalid, match="good published snapshot, is none"):
        fetch_snapshot(store, SHARD, tmp_path / "elsewhere")
    assert run(["journal", "verify", "--data", str(node.directory)]) == 0
    node.start()
    assert node.stop() == 0


def test_who_begins_before_the_first_snapshot_is_published_is_let_begin_without_one_if_asked(
    node: Node, store: DirectoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "elsewhere"
    words = ["journal", "snapshot", "--archive", store.place, "--shard", str(SHARD), "--to", str(to)]
    assert run(words) == EXIT_DAMAGED, "whoever must have one is told that there is none"
    capsys.readouterr()
    assert run([*words, "--if-any"]) == 0
    assert "none is published yet" in capsys.readouterr().out
    assert run([*words, "--if-any", "--json"]) == 0
    assert capsys.readouterr().out == '{"file":null}\n'
    assert not to.exists()
    published = go(node, store).published
    assert run([*words, "--if-any"]) == 0
    assert [path.name for path in to.iterdir()] == [Path(max(published)).name]
    shutil.rmtree(to)
    for key in published:
        put_over(store, key, b"altered")
    assert run([*words, "--if-any"]) == EXIT_DAMAGED, "the topic may be trimmed: a bad one is not as good as none"


def test_the_archive_and_the_topic_together_restore_the_journal(
    node: Node, store: DirectoryStore, made: Made, tmp_path: Path
) -> None:
    records = made[1]
    topic = [(1 + at // 64, records[at : at + 64 * 100]) for at in range(9000 * 64, len(records), 64 * 100)]
    with Replica.open(node.directory) as replica:
        options = replica.core.options()

    def restore(*sources: Iterator[tuple[int, bytes]]) -> int:
        batches = (batch for source in sources for batch in source)
        made = write_journal(tmp_path / "new" / "journal", SHARD, batches, segment_records=4096, core_options=options)
        return made.last_sequence

    with pytest.raises(EngineNodeError, match="the next record must be sequence 1, was 9001"):
        restore(iter(topic))
    assert restore(archived(Path(store.place), SHARD), iter(topic)) == len(records) // 64
    with pytest.raises(EngineNodeError, match="must have objects of the shard, has none"):
        list(archived(tmp_path, SHARD))


def test_pruning_keeps_the_snapshot_that_the_publisher_begins_at(node: Node) -> None:
    before = snapshots(node)
    prune(node.directory / "snapshots", 2, before[-2] + 1)
    assert snapshots(node) == [*before[:2], before[-2], before[-1]]
    prune(node.directory / "snapshots", 2, before[0])
    assert snapshots(node) == before[:2]
