"""The machine is lost: everything killed, the disk gone; the journal comes back from its topic."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine_node.replica import Replica
from schemas import vocabulary as v
from tests.support.node import ROOT, LogonRefused, Node, wait_until
from tests.support.publishing import Market, check_topics, journal_records, make_topics

LONG = {"idle_ms": 600_000, "kafka_flush_ms": 30_000, "stop_timeout_ms": 60_000}


@pytest.fixture
def cluster(tmp_path: Path, kafka: str, topic_prefix: str) -> Iterator[Node]:
    """An engine at level cluster and its publisher."""
    make_topics(kafka, topic_prefix)
    node = Node(
        tmp_path / "node", survival_level="cluster", kafka_bootstrap=kafka, kafka_topic_prefix=topic_prefix, **LONG
    )
    yield node
    node.end()


def digest_at(directory: Path, sequence: int) -> int:
    """The state of a replica of that journal at a sequence."""
    with Replica.open(directory, use_snapshot=False) as replica:
        replica.catch_up(sequence)
        assert replica.core.sequence() == sequence
        return replica.core.digest()


def restore(node: Node, *arguments: object) -> subprocess.CompletedProcess[str]:
    """python -m engine_node restore, with the node's capacities."""
    environment = {name: value for name, value in node.environment().items() if "KAFKA" not in name}
    environment.pop("IRONBOOK_ENGINE_LOG_FILE")
    environment.pop("IRONBOOK_ENGINE_DATA_DIRECTORY")
    return subprocess.run(
        [sys.executable, "-m", "engine_node", "restore", *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


class Acknowledged(Market):
    """Trades until the line ends, and remembers the last record that it was told of."""

    sequence = 0

    def trade_until_killed(self) -> None:
        assert self.client is not None
        with contextlib.suppress(LogonRefused, OSError):
            while True:
                self.client.send(*[self._command() for _ in range(20)])
                while True:
                    report = self.client.report()
                    self.sequence = max(self.sequence, report.sequence)
                    if report.reference == self.client.sequence and report.kind in (
                        v.EventKind.ACCEPTED, v.EventKind.REJECTED, v.EventKind.APPLIED
                    ):  # fmt: skip
                        break


def lose_the_machine(node: Node, old: Path) -> None:
    """kill -9 of engine, publisher and all; then the disk is gone, but for the keys, of which there is a copy."""
    children = {line["child"]: line["pid"] for line in node.events("child_started")}
    for pid in children.values():
        os.kill(pid, signal.SIGSTOP)  # or they would be told of their parent's end and still do something
    node.stop(signal.SIGKILL)
    for pid in children.values():
        os.kill(pid, signal.SIGKILL)
    node.directory.rename(old)
    node.directory.mkdir()
    for name in ("keys.ironbook", "passphrase"):
        shutil.copy2(old / name, node.directory / name)


def test_every_acknowledged_order_survives_the_loss_of_the_machine(
    cluster: Node, tmp_path: Path, kafka: str, topic_prefix: str
) -> None:
    market = Acknowledged(cluster, seed=6)
    cluster.start()
    market.open()
    trading = threading.Thread(target=market.trade_until_killed)
    trading.start()
    wait_until(lambda: market.sequence > 600, 60)
    lose_the_machine(cluster, tmp_path / "old")
    trading.join(30)
    assert not trading.is_alive()

    done = restore(cluster, "--kafka", kafka, "--prefix", topic_prefix, "--shard", 0, "--data", cluster.directory)
    assert done.returncode == 0, done.stderr
    restored = journal_records(cluster)
    last = len(restored) // 64
    assert last >= market.sequence, "every acknowledged order is there"
    assert digest_at(cluster.directory, last) == digest_at(tmp_path / "old", last)
    assert digest_at(cluster.directory, market.sequence) == digest_at(tmp_path / "old", market.sequence)

    cluster.start()
    goes_on(cluster, market)
    assert cluster.stop(timeout_s=60) == 0
    assert journal_records(cluster).startswith(restored)
    check_topics(kafka, topic_prefix, cluster)


def goes_on(node: Node, market: Market) -> None:
    """The restored engine takes orders, and its publisher ships behind what the topic had."""
    client: Any = None

    def logged_on() -> bool:
        nonlocal client
        with contextlib.suppress(LogonRefused, OSError):
            client = market.log_on()
        return client is not None

    wait_until(logged_on, 30)
    market.trade(100)
    assert node.events("publisher_failed") == []
    market.close()


def test_a_restore_never_overwrites_a_journal(cluster: Node, kafka: str, topic_prefix: str) -> None:
    market = Market(cluster, seed=7)
    cluster.start()
    market.open().trade(50)
    market.close()
    assert cluster.stop(timeout_s=60) == 0
    before = journal_records(cluster)
    done = restore(cluster, "--kafka", kafka, "--prefix", topic_prefix, "--shard", 0, "--data", cluster.directory)
    assert done.returncode == 1
    assert "a journal must be restored where none is" in done.stderr
    assert journal_records(cluster) == before


def test_a_restore_without_its_topic_says_so(cluster: Node, kafka: str, tmp_path: Path) -> None:
    done = restore(cluster, "--kafka", kafka, "--prefix", "nobody.", "--data", tmp_path / "new")
    assert done.returncode == 1
    assert "nobody.journal.0" in done.stderr
    assert not (tmp_path / "new" / "journal").exists()
