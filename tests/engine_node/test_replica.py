"""Replicas and the snapshotter, beside an engine that runs."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine_node import _engine
from engine_node.errors import ReplicaError, SnapshotUnsound
from engine_node.logs import Log
from engine_node.replica import Replica, Step
from engine_node.settings import Settings
from engine_node.snapshots import list_snapshots
from engine_node.snapshotter import Snapshotter, save_verified
from schemas import vocabulary as v
from tests.support.node import Client, Node, wait_until


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "data", snapshot_process=False)
    yield made
    made.end()


@pytest.fixture
def client(node: Node) -> Iterator[Client]:
    secret = node.make_key()
    node.start()
    made = Client.connect(node.address(), "admin", secret)
    made.define_market()
    yield made
    made.close()


def burst(client: Client, count: int, price: int = 100) -> None:
    client.send(*[client.order(v.Side.BUY, price, 1)] * count)
    for _ in range(count):
        assert client.report().kind == v.EventKind.ACCEPTED


def test_a_replica_shows_what_was_acknowledged_and_makes_the_same_events(node: Node, client: Client) -> None:
    burst(client, 20)
    with Replica.open(node.directory) as replica:
        steps: list[Step] = []
        applied = replica.catch_up(each=steps.append)
        assert applied == sum(len(step.records) for step in steps) // 64 == replica.core.sequence()
        assert replica.core.levels(1, v.Side.BUY) == [(100, 20, 20)]
        events = b"".join(step.events for step in steps)
        kinds = [events[at] for at in range(0, len(events), v.REPORT_BYTES)]
        assert kinds.count(v.EventKind.ACCEPTED) == 20
        assert replica.core.check() is None
        burst(client, 5)
        wait_until(lambda: replica.catch_up() and replica.core.levels(1, v.Side.BUY) == [(100, 25, 25)])


def test_a_replica_stops_at_the_limit_it_is_given(node: Node, client: Client) -> None:
    burst(client, 20)
    with Replica.open(node.directory) as replica:
        replica.catch_up(15)
        assert replica.core.sequence() in (14, 15)
        assert replica.step(15) is None


def test_a_group_that_is_cut_by_a_read_is_applied_whole(node: Node, client: Client) -> None:
    with Replica.open(node.directory) as whole, Replica.open(node.directory) as piecewise:
        whole.catch_up()
        while piecewise.core.sequence() < whole.core.sequence():
            piecewise.step(room=1)
        assert piecewise.core.digest() == whole.core.digest()


def test_following_yields_each_step_and_ends_when_told(node: Node, client: Client) -> None:
    with Replica.open(node.directory) as replica:
        slept: list[float] = []
        seen = 0
        for step in replica.follow(lambda: len(slept) >= 8, slept.append):
            seen += len(step.records) // 64
        assert seen == replica.core.sequence() > 0
        assert slept == sorted(slept)
        assert max(slept) <= 0.05


def test_a_replica_from_a_snapshot_equals_one_from_the_beginning(node: Node, client: Client) -> None:
    burst(client, 30)
    with Replica.open(node.directory) as first:
        first.catch_up()
        save_verified(node.directory / "snapshots", first.core, first.core.options())
        at = first.core.sequence()
    burst(client, 10, price=101)
    with Replica.open(node.directory) as quick, Replica.open(node.directory, use_snapshot=False) as slow:
        assert quick.snapshot is not None
        assert quick.snapshot.sequence == at == quick.core.sequence()
        assert slow.snapshot is None
        for replica in (quick, slow):
            wait_until(functools.partial(has_caught_up, replica))
        assert quick.core.digest() == slow.core.digest()


def has_caught_up(replica: Replica) -> bool:
    return replica.catch_up() == 0 and replica.core.levels(1, v.Side.BUY)[:1] == [(101, 10, 10)]


def test_bad_snapshots_are_listed_by_the_replica(node: Node, client: Client) -> None:
    directory = node.directory / "snapshots"
    directory.mkdir(exist_ok=True)
    (directory / f"{5:020d}-{'0' * 16}.snap").write_bytes(b"nonsense")
    with Replica.open(node.directory) as replica:
        assert [bad.path.name for bad in replica.bad] == [f"{5:020d}-{'0' * 16}.snap"]
        assert replica.bad[0].why["message"]
        assert replica.snapshot is None


def test_a_directory_without_a_journal_says_so(tmp_path: Path) -> None:
    with pytest.raises(ReplicaError, match="must be there"):
        Replica.open(tmp_path)


# ---- The snapshotter, turn by turn -----------------------------------------------------------------------------------


class Clock:
    """Seconds, moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def advanced_until(snapshotter: Snapshotter, what: Callable[[], object]) -> None:
    def turn() -> bool:
        snapshotter.advance()
        return bool(what())

    wait_until(turn)


def turned(snapshotter: Snapshotter) -> None:
    while snapshotter.advance():
        pass


def make(node: Node, log: Log, **changes: Any) -> tuple[Snapshotter, Clock]:
    settings = Settings(
        data_directory=str(node.directory), **{"snapshot_interval_records": 50, "snapshot_interval_s": 60} | changes
    )
    clock = Clock()
    return Snapshotter(settings, Replica.open(node.directory, event_mask=0), log, now_s=clock), clock


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log.open(str(tmp_path / "snapshotter.log"), level="debug", queue_max=1000)
    yield made
    made.close()


def test_a_snapshot_is_due_after_so_many_records_or_so_long(node: Node, client: Client, log: Log) -> None:
    snapshotter, clock = make(node, log)
    directory = node.directory / "snapshots"
    advanced_until(snapshotter, lambda: snapshotter.replica.core.sequence() >= 14)
    assert list_snapshots(directory) == []
    burst(client, 60)
    advanced_until(snapshotter, lambda: list_snapshots(directory))
    (first,) = list_snapshots(directory)
    burst(client, 3)
    advanced_until(snapshotter, lambda: snapshotter.replica.core.sequence() == first.sequence + 3)
    assert len(list_snapshots(directory)) == 1
    clock.now = 61
    snapshotter.advance()
    assert len(list_snapshots(directory)) == 2
    clock.now = 200
    turned(snapshotter)
    assert len(list_snapshots(directory)) == 2, "nothing changed, so nothing is due"
    snapshotter.replica.close()


def test_only_what_is_on_disk_is_snapshotted(node: Node, client: Client, log: Log) -> None:
    burst(client, 60)
    snapshotter, _ = make(node, log)
    reader = snapshotter.replica.reader

    class Held:
        """A reader whose disk is behind."""

        def __getattr__(self, name: str) -> Any:
            return getattr(reader, name)

        def durable(self) -> int:
            return 20

    snapshotter.replica.reader = Held()  # type: ignore[assignment]
    turned(snapshotter)
    assert snapshotter.replica.core.sequence() in (19, 20)
    reader.close()


def test_a_full_disk_is_told_and_tried_again(
    node: Node, client: Client, log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    burst(client, 60)
    snapshotter, clock = make(node, log)
    directory = node.directory / "snapshots"
    directory.write_text("a file where the directory should be")
    advanced_until(snapshotter, lambda: snapshotter.replica.core.sequence() >= 70)
    directory.unlink()
    burst(client, 1)
    clock.now = 61
    advanced_until(snapshotter, lambda: list_snapshots(directory))
    log.flush()
    assert "snapshot_failed" in (tmp_path / "snapshotter.log").read_text()
    snapshotter.replica.close()


def test_a_snapshot_that_is_not_its_state_is_removed_and_never_trusted(node: Node, client: Client) -> None:
    burst(client, 5)
    with Replica.open(node.directory) as replica:
        replica.catch_up()
        core = replica.core

        class Lying:
            """A core whose snapshot is of something else."""

            sequence, options = core.sequence, core.options

            def save(self) -> bytes:
                return core.save()

            def digest(self) -> int:
                return core.digest() ^ 1

        with pytest.raises(SnapshotUnsound):
            save_verified(node.directory / "snapshots", Lying(), core.options())  # type: ignore[arg-type]
    assert list_snapshots(node.directory / "snapshots") == []


def test_a_journal_that_does_not_belong_to_the_state_is_an_error(node: Node, client: Client) -> None:
    burst(client, 5)
    with Replica.open(node.directory) as replica:
        replica.catch_up()
        core = _engine.Core(**replica.core.options())
        with Replica.open(node.directory) as other:
            for _ in itertools.repeat(None, 3):
                other.reader.next(1)
            other.core = core
            with pytest.raises((ReplicaError, _engine.EngineError)):
                other.catch_up()
