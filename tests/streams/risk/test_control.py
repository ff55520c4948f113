"""What risk wants done reaches a real engine, is in its journal, and waits while the engine is away."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine_node.replica import Replica
from ironbook import Key, held
from ironbook.cli._app import run
from schemas.vocabulary import Code, EventKind, Permission, Side
from tests.streams.risk.stage import Stage
from tests.support.node import Client, Node
from tests.support.workers import WorkerProcess

pytestmark = pytest.mark.timeout(300)  # an engine and a worker each, on a machine that may be busy


class Venue(Stage):
    """A stage with an engine, and a worker whose key may act on it."""

    def __init__(self, kafka: str, prefix: str, directory: Path) -> None:
        super().__init__(kafka, prefix, directory)
        self.node = Node(directory / "engine")
        self.secret = self.node.make_key("admin")
        self.key_path = directory / "risk.json"
        self._write_key("risk", int(Permission.ADMIN | Permission.READ))
        self.node.start()
        host, port = self.node.address()
        self.node.settings["listen"] = self.engine = f"{host}:{port}"
        client = self.client()
        client.define_market()
        client.close()

    def _write_key(self, key_id: str, permissions: int) -> None:
        secret = self.node.make_key(key_id, permissions, 0)
        self.key_path.write_bytes(orjson.dumps({"key_id": key_id, "secret": secret.hex()}))
        self.key_path.chmod(0o600)

    def client(self) -> Client:
        return Client.connect(self.node.address(), "admin", self.secret)

    def controlled(self) -> WorkerProcess:
        return self.worker(engine=self.engine, engine_key=self.key_path, engine_timeout=2000)

    def lose(self) -> None:
        """Account 1 buys, and the price falls."""
        self.buy(1000, 50)
        time.sleep(0.5)
        self.price(40)

    def account(self, number: int = 1) -> dict[str, Any]:
        with Replica.open(self.node.directory) as replica:
            replica.catch_up()
            found = replica.core.account(number)
            assert found is not None
            return found

    def journal(self, capsys: pytest.CaptureFixture[str], kind: str) -> list[dict[str, Any]]:
        """Records of that kind."""
        capsys.readouterr()
        assert run(["journal", "show", "--data", str(self.node.directory), "--json", "--kind", kind]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def venue(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Venue]:
    made = Venue(kafka, topic_prefix, tmp_path)
    try:
        yield made
    finally:
        made.node.end()


def test_a_halt_and_its_end_reach_the_engine_as_admin_commands_in_its_journal(
    venue: Venue, capsys: pytest.CaptureFixture[str]
) -> None:
    with venue.controlled() as worker:
        worker.wait_ready()
        venue.limit({"daily_loss_units": 9_999, "actions": {"daily_loss": "halt"}})
        venue.until("risk.audit")
        venue.lose()
        told = venue.until("risk.audit", 2)[-1]
        client = venue.client()
        refused = client.ask(client.order(Side.BUY, 100, 1))
        venue.limit({}, resume=True)
        resumed = venue.until("risk.audit", 4)[-1]
        taken = client.ask(client.order(Side.BUY, 100, 1))
        client.close()
        assert worker.stop() == 0
    assert (told["what"], told["who"], told["account"]) == ("action_done", "risk", 1)
    assert told["after"] == {"kind": "halt", "reason": "daily_loss_exceeded"}
    assert (refused.kind, refused.code) == (EventKind.REJECTED, Code.ACCOUNT_HALTED)
    assert taken.kind == EventKind.ACCEPTED
    venue.node.stop()
    records = venue.journal(capsys, "halt")
    assert [record["sequence"] for record in records] == [told["seq"], resumed["seq"]]


def test_actions_go_on_with_each_new_secret_of_the_key_that_the_engine_has_taken(venue: Venue) -> None:
    path, store = venue.directory / "risk.held.json", venue.node.keys()

    def rotate(worker: WorkerProcess) -> None:
        secret = store.begin_rotation("risk").secret
        Key(key_id="risk", secret=secret).write(venue.key_path)

        def uses() -> str | None:
            return {one.secret: one.uses for one in held.read(path).holdings}["api_key/risk"]

        worker.wait(lambda status: uses() == held.fingerprint(secret))
        store.finish_rotation("risk")

    with venue.worker(engine=venue.engine, engine_key=venue.key_path, engine_timeout=2000, held_file=path) as worker:
        worker.wait_ready()
        rotate(worker)  # there is no session yet
        venue.limit({"daily_loss_units": 9_999, "actions": {"daily_loss": "halt"}})
        venue.until("risk.audit")
        venue.lose()
        halted = venue.until("risk.audit", 2)[-1]
        rotate(worker)  # and now there is one
        venue.limit({}, resume=True)
        resumed = venue.until("risk.audit", 4)[-1]
        assert worker.stop() == 0
    assert [halted["what"], resumed["what"]] == ["action_done", "action_done"]


def test_reduce_only_bounds_the_position_on_the_engine_and_keeps_its_other_limits_and_resume_gives_them_back(
    venue: Venue,
) -> None:
    with venue.controlled() as worker:
        worker.wait_ready()
        venue.limit({"daily_loss_units": 9_999, "actions": {"daily_loss": "reduce_only"}})
        venue.until("risk.audit")
        venue.lose()
        told = venue.until("risk.audit", 2)[-1]
        reduced = venue.account()
        venue.limit({}, resume=True)
        venue.until("risk.audit", 4)
        assert worker.stop() == 0
    assert told["what"] == "action_done"
    assert reduced["position_lots_max"] == 1000
    assert venue.account()["position_lots_max"] == 0


@pytest.mark.soak
def test_an_action_waits_while_the_engine_is_away_and_is_not_lost_when_the_worker_is_killed(venue: Venue) -> None:
    venue.node.stop()
    with venue.controlled() as worker:
        worker.wait_ready()
        venue.limit({"daily_loss_units": 9_999, "actions": {"daily_loss": "halt"}})
        venue.until("risk.audit")
        venue.lose()
        worker.wait(lambda status: "engine" in status.get("waits_for", {}))
        worker.kill()
        worker.start()
        worker.wait(lambda status: "engine" in status.get("waits_for", {}))
        venue.node.start()
        told = venue.until("risk.audit", 2)[-1]
        worker.wait_idle()
        assert worker.stop() == 0
    assert told["what"] == "action_done"
    assert venue.account()["halted"]


def test_what_the_engine_refuses_is_told_with_its_code(venue: Venue) -> None:
    venue._write_key("weak", int(Permission.READ))
    with venue.controlled() as worker:
        worker.wait_ready()
        venue.limit({"daily_loss_units": 9_999, "actions": {"daily_loss": "halt"}})
        venue.until("risk.audit")
        venue.lose()
        told = venue.until("risk.audit", 2)[-1]
        assert worker.stop() == 0
    assert (told["what"], told["code"]) == ("action_failed", "kind_forbidden")
    assert not venue.account()["halted"]
