"""What tests of the client share: a scripted peer, and a real engine node with a small market."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from ironbook import Client, Key, Options
from schemas.vocabulary import Permission
from tests.support.node import Node
from tests.support.scripted_engine import ScriptedEngine

TRADER = Permission.TRADE | Permission.CANCEL | Permission.READ
FAST = Options(backoff_first_s=0.01, backoff_max_s=0.05, request_timeout_s=10.0, reconnect_timeout_s=10.0)


@pytest.fixture
def peer() -> Iterator[ScriptedEngine]:
    """A peer that follows a script; its key is "desk" with a secret of zero bytes, its account 7."""
    with ScriptedEngine() as engine:
        yield engine


@pytest.fixture
def desk() -> Key:
    return Key(key_id="desk", secret=bytes(32))


@dataclasses.dataclass
class Market:
    """A running engine node with instrument 1 (BTC/USD), accounts 1 and 2, and a key for each; admin defines."""

    node: Node
    admin: Key
    one: Key
    two: Key

    @property
    def address(self) -> str:
        host, port = self.node.address()
        return f"{host}:{port}"

    def client(self, key: Key, **changes: object) -> Client:
        return Client(self.address, key, options=dataclasses.replace(FAST, **changes))  # type: ignore[arg-type]


def _define(market: Market) -> None:
    with market.client(market.admin) as admin:
        admin.define_asset(1, "BTC", 8).raise_if_rejected()
        admin.define_asset(2, "USD", 6).raise_if_rejected()
        admin.define_instrument(
            1, "BTC/USD", base_asset=1, quote_asset=2, base_units_per_lot=10_000, quote_units_per_tick_lot=1
        ).raise_if_rejected()
        for account in (1, 2):
            admin.define_account(account).raise_if_rejected()
            for asset in (1, 2):
                admin.deposit(account, asset, 10**14).raise_if_rejected()


def make_market(directory: Path, **settings: object) -> Market:
    """Keys, a node that runs, and the market defined through the client."""
    node = Node(directory, **settings)

    def key(key_id: str, permissions: int, account: int) -> Key:
        return Key(key_id=key_id, secret=node.make_key(key_id, permissions, account))

    market = Market(
        node=node, admin=key("admin", Permission.ADMIN, 0), one=key("one", TRADER, 1), two=key("two", TRADER, 2)
    )
    node.start()
    _define(market)
    return market


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    made = make_market(tmp_path / "data")
    yield made
    made.node.end()
