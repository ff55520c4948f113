"""An account that is called is liquidated by commands that have their records: with a real engine, to the last unit."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from engine_node.replica import Replica
from ironbook import Client, EngineFailed, Key
from ironbook.cli._app import run
from ironbook.cli.margin import RETRY_S, Watcher
from ironbook.margin import Policy, liquidation_number
from schemas import vocabulary as v
from tests.support import node as support
from tests.support.node import Node

BTC, USD = 1, 2
POLICY = Policy(asset=USD, maintenance_ppm={BTC: 100_000}, slippage_ppm=20_000)
SHORT = 3  # the account that sells what it has not
TRADE = int(v.Permission.TRADE | v.Permission.CANCEL | v.Permission.DELEGATE)


@dataclasses.dataclass
class Venue:
    """An engine, whoever sets its market up, and the liquidator's key."""

    node: Node
    desk: support.Client
    key: Key

    def client(self) -> Client:
        """A session of the liquidator."""
        host, port = self.node.address()
        return Client(f"{host}:{port}", self.key)

    def trade(self, seller: int, buyer: int, price: int, lots: int) -> None:
        """Between two accounts, through the book."""
        self.ask(self.desk.order(v.Side.SELL, price, lots, seller))
        self.ask(self.desk.order(v.Side.BUY, price, lots, buyer))

    def ask(self, command: Any) -> None:
        """A command of the desk; what comes of its orders meanwhile is passed over."""
        answer = self.desk.ask(command)
        while answer.reference != self.desk.sequence or answer.kind == v.EventKind.FILLED:
            answer = self.desk.report()
        assert answer.kind in (v.EventKind.APPLIED, v.EventKind.ACCEPTED), answer

    def called(self) -> None:
        """Account 3 has sold 1,000 at 100 short, with 100,000 of its own; then the price is 185."""
        self.ask(v.Account(account=SHORT))
        self.ask(v.Deposit(account=SHORT, asset=USD, amount_units=100_000))
        self.ask(v.BalanceFloor(account=SHORT, asset=BTC, floor_units=-1000))
        self.trade(SHORT, 1, 100, 1000)
        self.ask(self.desk.order(v.Side.BUY, 50, 10, SHORT))
        self.trade(2, 1, 185, 1)

    def offer(self, price: int, lots: int) -> None:
        """Account 2 sells."""
        self.ask(self.desk.order(v.Side.SELL, price, lots, 2))

    def replica(self) -> Replica:
        """The engine's state now."""
        replica = Replica.open(self.node.directory)
        replica.catch_up()
        return replica

    def commands(self) -> list[Any]:
        """What the liquidator's key has recorded, in order."""
        with Replica.open(self.node.directory, use_snapshot=False) as replica:
            records = replica.reader.next(4096, replica.limit())
        told = [v.Record.unpack(records, offset) for offset in range(0, len(records), v.RECORD_BYTES)]
        with self.client() as client:
            assert client.logon is not None
            number = client.logon.key
        kinds: dict[int, Any] = {v.Kind.MASS_CANCEL: v.MassCancel, v.Kind.NEW_ORDER: v.NewOrder}
        return [
            kinds[record.command[0]].unpack(record.command)
            for record in told
            if record.key == number and record.command[0] in kinds
        ]


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Venue]:
    """A market of BTC against USD, one unit a lot and a tick."""
    node = Node(tmp_path / "data")
    admin = node.make_key("admin")
    liquidator = node.make_key("liquidator", TRADE, 1)
    node.start()
    desk = support.Client.connect(node.address(), "admin", admin)
    desk.define_market()
    yield Venue(node, desk, Key(key_id="liquidator", secret=liquidator))
    desk.close()
    node.end()


def liquidated(core: Any) -> dict[str, Any]:
    """What the arithmetic says the account has in the end.

    200,000 less 1,000 at 185: 15,000 where 18,500 are required; 3,500 lack. A lot bought back at 188 at worst gains
    185 × (10 % - 2 %): 237 lots, at 186. Then 163 × 186 … : 14,000 where 14,192 are required: 13 lots more, at 186.
    """
    return {
        "usd": core.balance(SHORT, USD),
        "btc": core.balance(SHORT, BTC),
        "position": core.position(SHORT, 1),
    }


EXPECTED = {"usd": (200_000 - 250 * 186, 0), "btc": (-750, 0), "position": (-750, 0, 0)}


def test_an_account_short_beyond_maintenance_is_liquidated_and_each_step_has_its_record(venue: Venue) -> None:
    venue.called()
    venue.offer(186, 5000)
    with venue.replica() as replica, venue.client() as client:
        watcher = Watcher(replica, POLICY)
        assert watcher.accounts == {SHORT}
        before = watcher.assess(SHORT)
        assert (before.equity_units, before.requirement_units) == (15_000, 18_500)
        watcher.begin(client)
        steps = list(watcher.look(client))
        assert [step["command"] for step in steps] == ["mass_cancel", "new_order", "new_order"]
        assert [step["filled_lots"] for step in steps[1:]] == [237, 13]
        assert liquidated(replica.core) == EXPECTED
        after = watcher.assess(SHORT)
        assert (after.equity_units, after.requirement_units, after.called) == (14_000, 13_950, False)
        assert list(watcher.look(client)) == []
    sweep, first, second = venue.commands()
    assert (sweep.account, sweep.KIND) == (SHORT, v.Kind.MASS_CANCEL)
    assert [(order.price_ticks, order.quantity_lots) for order in (first, second)] == [(188, 237), (189, 13)]
    assert first.client_order_id == liquidation_number(SHORT, steps[0]["sequence"])
    assert {order.time_in_force for order in (first, second)} == {v.TimeInForce.IMMEDIATE_OR_CANCEL}


class Killed(Exception):
    """The process ended."""


class KilledAfterSending:
    """A client whose process ends as soon as its order is recorded, before anything has come of it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def mass_cancel(self, **fields: Any) -> Any:
        return self.client.mass_cancel(**fields)

    def submit(self, *fields: Any, **more: Any) -> Any:
        self.client.submit(*fields, **more)
        raise Killed


def test_a_watcher_that_dies_behind_an_order_liquidates_nothing_twice(venue: Venue) -> None:
    venue.called()
    venue.offer(186, 5000)
    for _ in range(2):
        with venue.replica() as replica, venue.client() as client:
            watcher = Watcher(replica, POLICY)
            watcher.begin(client)
            dying: Any = KilledAfterSending(client)
            with pytest.raises(Killed):
                list(watcher.look(dying))
    with venue.replica() as replica, venue.client() as client:
        watcher = Watcher(replica, POLICY)
        watcher.begin(client)
        assert list(watcher.look(client)) == []
        assert liquidated(replica.core) == EXPECTED
    assert len(venue.commands()) == 3


def test_an_order_that_finds_nothing_is_tried_again_later_and_goes_on_when_there_is_something(venue: Venue) -> None:
    venue.called()
    now_s = [100.0]
    with venue.replica() as replica, venue.client() as client:
        watcher = Watcher(replica, POLICY, clock_s=lambda: now_s[0])
        watcher.begin(client)
        first = list(watcher.look(client))
        assert [step["command"] for step in first] == ["mass_cancel", "new_order"]
        assert first[1]["filled_lots"] == 0
        assert list(watcher.look(client)) == []
        venue.offer(186, 100)
        assert list(watcher.look(client)) == []
        now_s[0] += RETRY_S
        again = list(watcher.look(client))
        assert [step["filled_lots"] for step in again] == [100, 0]
        assert replica.core.balance(SHORT, BTC) == (-900, 0)


def test_a_halted_account_is_refused_and_a_new_floor_is_noticed(venue: Venue) -> None:
    now_s = [100.0]
    with venue.replica() as replica, venue.client() as client:
        watcher = Watcher(replica, POLICY, clock_s=lambda: now_s[0])
        assert watcher.accounts == set()
        venue.called()
        venue.offer(186, 5000)
        venue.ask(v.Halt(scope=v.HaltScope.ACCOUNT, target=SHORT, action=v.HaltAction.HALT))
        steps = list(watcher.look(client))
        assert watcher.accounts == {SHORT}
        assert [step["command"] for step in steps] == ["mass_cancel", "new_order"]
        assert steps[1]["refused"] == "account_halted"
        venue.ask(v.Halt(scope=v.HaltScope.ACCOUNT, target=SHORT, action=v.HaltAction.RESUME))
        now_s[0] += RETRY_S
        assert [step["filled_lots"] for step in watcher.look(client)] == [237, 13]


def test_the_command_line_checks_and_watches(venue: Venue, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    venue.called()
    venue.offer(186, 5000)
    policy = tmp_path / "margin.toml"
    policy.write_text('asset = "USD"\nslippage_ppm = 20_000\n[maintenance_ppm]\nBTC = 100_000\n')
    key = tmp_path / "liquidator.json"
    venue.key.write(key)
    where = ["--data", str(venue.node.directory), "--policy", str(policy)]
    assert run(["margin", "check", *where, "--json"]) == 0
    (account,) = orjson.loads(capfd.readouterr().out)["accounts"]
    assert account == {"account": SHORT, "equity": "150", "requirement": "185", "state": "called"}
    assert run(["margin", "watch", *where, "--key", str(key), "--seconds", "0.5", "--json"]) == 0
    lines = [orjson.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["command"] for line in lines] == ["mass_cancel", "new_order", "new_order"]
    assert run(["margin", "check", *where]) == 0
    assert "covered" in capfd.readouterr().out
    assert run(["margin", "watch", *where, "--key", str(key), "--seconds", "0.2"]) == 0
    assert capfd.readouterr().out == ""
    policy.write_text("asset = ")
    assert run(["margin", "check", *where]) == 1


def test_a_record_that_does_not_come_ends_the_wait(venue: Venue) -> None:
    seconds = itertools.count(0, 10)
    with venue.replica() as replica:
        watcher = Watcher(replica, POLICY, clock_s=lambda: float(next(seconds)))
        ahead: Any = SimpleNamespace(logon=SimpleNamespace(key=2, last_client_sequence=10**6))
        with pytest.raises(EngineFailed, match="must hold what was sent"):
            watcher.begin(ahead)
