"""The submitter with a real engine and a real broker: every order is entered once, whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
import collections
import hashlib
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine_node.replica import Replica
from ironbook import Key, held
from schemas import vocabulary as v
from tests.streams.support import ACCOUNTS, ALWAYS, read_events, read_until, submit
from tests.support.alternating import write_file
from tests.support.node import Client, Node
from tests.support.topics import example, make_topics, partition
from tests.support.workers import WorkerProcess

MESSAGES, ORDERS = 20, 10  # of each firm, of each message
ALL = MESSAGES * ORDERS * len(ACCOUNTS)
FIRST_PRICE = 1_000
pytestmark = pytest.mark.timeout(300)


class Stage:
    """An engine with eight accounts, topics, and a submitter with a delegate's key."""

    def __init__(self, kafka: str, prefix: str, directory: Path) -> None:
        self.kafka, self.prefix, self.directory = kafka, prefix, directory
        self.node = Node(directory / "node", nonce_count_max=65_536)
        self.node.make_key("admin")
        secret = self.node.make_key(
            "submitter", int(v.Permission.TRADE | v.Permission.CANCEL | v.Permission.DELEGATE), account=0
        )
        self.key_path = directory / "submitter.json"
        Key(key_id="submitter", secret=secret).write(self.key_path)
        self.node.start()
        host, port = self.node.address()
        self.node.settings["listen"] = self.address = f"{host}:{port}"
        self.define()
        asyncio.run(make_topics(kafka, prefix, *ALWAYS, "orders.accepted"))

    def define(self) -> None:
        admin = Client.connect(self.node.address(), "admin", self.node.keys().load().find("admin").secrets[0].value)
        admin.define_market()
        for account in ACCOUNTS:
            if account > 2:
                admin.ask(v.Account(account=account))
                for asset in (1, 2):
                    admin.ask(v.Deposit(account=account, asset=asset, amount_units=10**12))
        admin.close()

    def worker(self, **settings: object) -> WorkerProcess:
        given = {"engine": self.address, "engine_key": self.key_path, "engine_timeout": 2000, **settings}
        return WorkerProcess("streams.submitter", self.kafka, self.prefix, self.directory / "worker", **given)

    def order(self, account: int, number: int, at: int, **changed: Any) -> dict[str, Any]:
        """A buy at a price of its own, by which it is known again."""
        place = {"topic": "orders.submitted", "partition": partition("orders.accepted", str(account)), "offset": number}
        nonce = hashlib.sha256(f"{account}:{number}".encode()).hexdigest()[:32]
        return example(
            "orders.validated", "order", account=account, firm=account,
            timestamp_ns=at, nonce=nonce, place=place | {"index": 0}, price_ticks=FIRST_PRICE + number, quantity_lots=1,
            symbol="BTC-USD", **changed,
        )  # fmt: skip

    def load(self) -> list[tuple[int, list[dict[str, Any]]]]:
        """Messages of all firms in turn; every order has a price of its own."""
        at, numbers = time.time_ns(), iter(range(ALL))
        return [
            (firm, [self.order(firm, next(numbers), at) for _ in range(ORDERS)])
            for _ in range(MESSAGES)
            for firm in ACCOUNTS
        ]

    def submit(self, messages: list[tuple[int, Any]]) -> None:
        asyncio.run(submit(self.kafka, self.prefix, "orders.accepted", messages))

    def entered(self) -> tuple[collections.Counter[int], collections.Counter[str], list[tuple[int, int]]]:
        """From the journal: how often each price was accepted, why others were not, and the order of acceptance."""
        accepted: collections.Counter[int] = collections.Counter()
        refused: collections.Counter[str] = collections.Counter()
        order: list[tuple[int, int]] = []
        with Replica.open(self.node.directory, use_snapshot=False) as replica:
            while (step := replica.step()) is not None:
                for at in range(0, len(step.events), v.REPORT_BYTES):
                    event = v.Report.unpack(step.events, at)
                    if event.kind == v.EventKind.ACCEPTED:
                        accepted[event.price_ticks] += 1
                        order.append((event.account, event.price_ticks))
                    elif event.kind == v.EventKind.REJECTED:
                        refused[v.Code(event.code).name.lower()] += 1
        return accepted, refused, order


@pytest.fixture
def stage(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(kafka, topic_prefix, tmp_path)
    yield made
    made.node.end()


def check_each_once(stage: Stage) -> collections.Counter[str]:
    """Every order of the load is in the journal once, each firm's in the order of the topic; why others are not."""
    accepted, refused, order = stage.entered()
    assert accepted == collections.Counter(range(FIRST_PRICE, FIRST_PRICE + ALL))
    for account in ACCOUNTS:
        own = [price for number, price in order if number == account]
        assert own == sorted(own)
    return refused


def test_orders_are_entered_in_order_and_what_is_no_order_is_a_dead_letter(stage: Stage) -> None:
    with stage.worker() as worker:
        worker.wait_ready()
        stage.submit([*stage.load(), (1, [{"action": "new"}])])
        worker.wait(lambda status: status["counters"].get("entered") == ALL)
        (letter,) = asyncio.run(read_until(stage.kafka, stage.prefix, "dead-letters", lambda found: found))
        worker.wait_idle()
        assert worker.stop() == 0
    assert (letter["worker"], letter["code"]) == ("submitter", "schema_invalid")
    assert check_each_once(stage) == {}


def test_every_action_reaches_the_engine(stage: Stage) -> None:
    at = time.time_ns()
    stop = {"trigger": int(v.Trigger.TAKE_PROFIT), "trigger_price_ticks": 5_000}
    named = {"action": "replace", "target_client_order_id": 7, "price_ticks": 900, "quantity_lots": 3}
    with stage.worker() as worker:
        stage.submit(
            [
                (1, [stage.order(1, 0, at, client_order_id=7), stage.order(1, 1, at, client_order_id=8)]),
                (1, [stage.order(1, 2, at) | named, stage.order(1, 3, at, terms=stop)]),
                (1, [stage.order(1, 4, at) | {"action": "cancel", "target_client_order_id": 8, "client_order_id": 1}]),
                (1, [stage.order(1, 5, at) | {"action": "mass_cancel"}]),
                (2, [stage.order(2, 6, at, instrument=9)]),
            ]
        )
        worker.wait(lambda status: sum(status["counters"].get(name, 0) for name in ("entered", "refused")) == 7)
        assert worker.status()["counters"]["refused"] == 1
        worker.wait_idle()
    _, refused, _ = stage.entered()
    assert refused == {"unknown_instrument": 1}
    assert asyncio.run(read_events(stage.kafka, stage.prefix, "orders.rejected")) == []


@pytest.mark.soak
def test_killed_in_the_middle_of_a_load_every_order_is_entered_once(stage: Stage) -> None:
    sent = stage.load()
    with stage.worker() as worker:
        worker.wait_ready()
        for part in range(3):
            stage.submit(sent[part * len(sent) // 3 : (part + 1) * len(sent) // 3])
            if part < 2:
                worker.wait(lambda status: status["counters"].get("entered", 0) >= 20)
                worker.kill()
                worker.start()
        worker.wait_idle()
    assert check_each_once(stage).keys() <= {"nonce_repeated"}


@pytest.mark.soak
def test_when_the_engine_is_killed_in_the_middle_of_a_load_every_order_is_entered_once(stage: Stage) -> None:
    sent = stage.load()
    with stage.worker() as worker:
        worker.wait_ready()
        stage.submit(sent[: len(sent) // 2])
        worker.wait(lambda status: status["counters"].get("entered", 0) >= 20)
        stage.node.stop(signal.SIGKILL)
        stage.submit(sent[len(sent) // 2 :])
        worker.wait(lambda status: not status["ready"])
        stage.node.start()
        worker.wait_idle()
    assert check_each_once(stage).keys() <= {"nonce_repeated"}


def test_while_the_engine_is_away_orders_that_leave_the_window_are_given_up_and_the_others_wait(stage: Stage) -> None:
    stage.node.stop()
    now = time.time_ns()
    old = [stage.order(1, number, now - 3_600 * 10**9) for number in range(5)]
    with stage.worker() as worker:
        stage.submit([(1, [*old, stage.order(1, 100, now)]), (2, [stage.order(2, 101, now)])])
        worker.wait(lambda status: "engine" in status.get("waits_for", {}))
        rejected = asyncio.run(read_until(stage.kafka, stage.prefix, "orders.rejected", lambda found: len(found) >= 5))
        stage.node.start()
        worker.wait_idle()
    assert sorted(rejection["nonce"] for rejection in rejected) == sorted(order["nonce"] for order in old)
    assert {(rejection["stage"], rejection["code"]) for rejection in rejected} == {("submitter", "expired")}
    accepted, _, _ = stage.entered()
    assert accepted == {FIRST_PRICE + 100: 1, FIRST_PRICE + 101: 1}


def test_another_secret_of_the_key_is_taken_up_and_each_order_is_entered_once(stage: Stage, tmp_path: Path) -> None:
    path, store, load = tmp_path / "submitter.held.json", stage.node.keys(), stage.load()
    old = store.load().find("submitter").secrets[0].value

    def uses() -> str | None:
        return {one.secret: one.uses for one in held.read(path).holdings}["api_key/submitter"]

    with stage.worker(key_poll=50, held_file=path) as worker:
        worker.wait_ready()
        parts = [load[at : at + 10] for at in range(0, len(load) // 2, 10)]
        busy = threading.Thread(target=lambda: [stage.submit(part) for part in parts])
        busy.start()
        write_file(stage.key_path, stage.key_path.read_text()[:40])
        worker.wait(lambda status: "secret_not_renewed" in worker.log())
        assert uses() == held.fingerprint(old)
        new = store.begin_rotation("submitter").secret
        Key(key_id="submitter", secret=new).write(stage.key_path)
        worker.wait(lambda status: uses() == held.fingerprint(new))
        store.finish_rotation("submitter")
        busy.join()
        stage.submit(load[len(load) // 2 :])
        worker.wait(lambda status: status["counters"].get("entered") == ALL)
        worker.wait_idle()
        assert worker.stop() == 0
    assert check_each_once(stage) == {}
