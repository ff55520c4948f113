"""Survival level cluster with a real engine: a publisher that does nothing but say what is shipped."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_node import _engine
from engine_node.replica import Replica
from schemas import vocabulary as v
from tests.support.node import Client, LogonRefused, Node, wait_until

BOUND = 40


class Publisher:
    """Ships everything at once, when it is told to."""

    def __init__(self, node: Node) -> None:
        self.reader = _engine.JournalReader(str(node.directory / "journal"))

    def ship(self) -> int:
        """Say that all that may leave the machine is on another; up to where that is."""
        self.reader.ship(self.reader.shippable())
        return self.reader.shipped()

    def ship_next(self) -> int:
        """Wait until something new is recorded, and ship all of it."""
        wait_until(lambda: self.reader.written() > self.reader.shipped())
        return self.ship_all()

    def ship_all(self) -> int:
        """Ship all that is written by now, as soon as it is on disk."""
        written = self.reader.written()
        shipped: int = wait_until(lambda: (now := self.ship()) >= written and now)
        wait_until(lambda: self.reader.released() >= written)
        return shipped


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "data", survival_level="cluster", unshipped_records_max=BOUND, tick_interval_ms=0)
    yield made
    made.end()


def silent(client: Client) -> bool:
    """Has nothing come within a moment?"""
    client.line.settimeout(0.3)
    try:
        client.receive()
    except TimeoutError:
        return True
    finally:
        client.line.settimeout(10.0)
    return False


def begun(node: Node) -> tuple[Publisher, bytes]:
    """A market of a node that ran at level disk: what it told then counts no more until it is shipped."""
    secret = node.make_key()
    node.settings["survival_level"] = "disk"
    node.start()
    Client.connect(node.address(), "admin", secret).define_market()
    assert node.stop() == 0
    node.settings["survival_level"] = "cluster"
    node.start()
    publisher = Publisher(node)
    assert publisher.reader.released() == publisher.reader.shipped() == 0
    publisher.ship_all()
    return publisher, secret


def test_reports_come_only_after_they_are_shipped(node: Node) -> None:
    publisher, secret = begun(node)
    client = Client.connect(node.address(), "admin", secret)
    client.send(client.order(v.Side.BUY, 100, 1))
    assert silent(client)
    publisher.ship_next()
    assert client.report().kind == v.EventKind.ACCEPTED
    client.send(v.Ping())
    assert client.report().kind == v.MessageKind.PONG  # nothing new is recorded: it need not wait
    assert node.stop() == 0


def test_beyond_the_bound_orders_are_refused_cancels_pass_and_the_log_says_why(node: Node) -> None:
    publisher, secret = begun(node)
    client = Client.connect(node.address(), "admin", secret)
    client.send(*[client.order(v.Side.BUY, 100, 1) for _ in range(BOUND)])
    wait_until(lambda: publisher.reader.written() - publisher.reader.shipped() > BOUND)
    refused = client.ask(client.order(v.Side.BUY, 100, 1))
    assert (refused.kind, refused.code) == (v.MessageKind.REFUSED, v.Code.CLUSTER_BEHIND)
    assert refused.reference == client.sequence
    client.sequence -= 1
    written = publisher.reader.written()
    client.send(v.MassCancel(account=1))
    wait_until(lambda: publisher.reader.written() > written)
    (told,) = node.wait_event("cluster_behind")
    assert told["refused"] == 1
    assert "publisher" in told["hint"]
    publisher.ship_all()
    reports = [client.report() for _ in range(2 * BOUND + 1)]
    assert [report.kind for report in reports[:BOUND]] == [v.EventKind.ACCEPTED] * BOUND
    assert reports[-1].kind == v.EventKind.APPLIED
    client.send(client.order(v.Side.BUY, 100, 1))
    publisher.ship_next()
    assert client.report().kind == v.EventKind.ACCEPTED
    assert node.stop() == 0


def test_kill_9_keeps_what_was_not_shipped_and_it_is_told_once_it_is(node: Node) -> None:
    publisher, secret = begun(node)
    client = Client.connect(node.address(), "admin", secret)
    client.send(*[client.order(v.Side.BUY, 100, 1, client_order_id=index) for index in range(1, 21)])
    wait_until(lambda: publisher.reader.written() - publisher.reader.shipped() > 20)
    shipped = publisher.reader.shipped()
    node.stop(signal.SIGKILL)
    with contextlib.suppress(LogonRefused):
        assert silent(client)

    node.start()
    recovered = node.events("recovered")[-1]
    assert recovered["shipped_sequence"] == shipped
    assert publisher.reader.released() == shipped
    with pytest.raises(TimeoutError):  # the answer speaks of what is recorded
        Client.connect(node.address(), "admin", secret, last_report=client_reports(client), timeout_s=0.5)
    publisher.ship_all()
    again = Client.connect(node.address(), "admin", secret, last_report=client_reports(client))
    assert again.answer is not None
    assert again.answer.last_client_sequence == client.sequence
    again.send(v.Ping())
    publisher.ship_next()
    assert [again.report().client_order_id for _ in range(20)] == list(range(1, 21))
    assert node.stop() == 0


def client_reports(client: Client) -> int:
    """The last report number when this client logged on: it has read none since."""
    assert client.answer is not None
    return client.answer.last_report_number


def test_a_stop_without_a_publisher_ends_and_leaves_no_snapshot_of_what_was_not_shipped(node: Node) -> None:
    publisher, secret = begun(node)
    snapshots = set((node.directory / "snapshots").iterdir())
    client = Client.connect(node.address(), "admin", secret)
    client.send(client.order(v.Side.BUY, 100, 1))
    wait_until(lambda: publisher.reader.written() > publisher.reader.shipped())
    assert node.stop() == 0
    (finished,) = node.events("finished")[1:]
    assert finished["released"] < finished["sequence"]
    assert set((node.directory / "snapshots").iterdir()) == snapshots
    assert client.ended_with() == v.Code.SERVER_STOPPING
    publisher.ship()
    node.start()
    assert node.events("recovered")[-1]["shipped_sequence"] == finished["sequence"]
    assert node.stop() == 0


def test_a_replica_stops_at_what_is_released_and_a_publisher_reads_on(node: Node) -> None:
    publisher, secret = begun(node)
    client = Client.connect(node.address(), "admin", secret)
    client.send(client.order(v.Side.BUY, 100, 1))
    wait_until(lambda: publisher.reader.shippable() > publisher.reader.shipped())
    with Replica.open(node.directory) as replica:
        replica.catch_up()
        assert replica.core.sequence() == publisher.reader.shipped()
        replica.catch_up(publisher.reader.shippable())
        assert replica.core.sequence() > publisher.reader.shipped()
    assert node.stop() == 0


def test_more_than_there_is_cannot_be_shipped(node: Node) -> None:
    publisher, _ = begun(node)
    last = publisher.reader.shipped()
    with pytest.raises(_engine.OptionsError, match="no record may be called shipped before this machine has it safe"):
        publisher.reader.ship(last + 1000)
    publisher.reader.ship(1)
    assert publisher.reader.shipped() == last
    assert node.stop() == 0
