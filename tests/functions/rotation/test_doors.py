"""A key is tried at a real engine, and nobody who uses it notices: no session of it is cut, in whatever state it is."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.rotation.doors import EngineDoor
from functions.rotation.errors import NewSecretRefused
from schemas.vocabulary import MessageKind, Ping
from tests.support.node import Client, Node


class Tried(Node):
    """An engine with one key, and the door to it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.secret = self.make_key("desk")
        self.start()
        host, port = self.address()
        self.door = EngineDoor(f"{host}:{port}", time.time_ns)

    def client(self) -> Client:
        """One that has logged on, and sent nothing yet."""
        return Client.connect(self.address(), "desk", self.secret)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    made = Tried(tmp_path_factory.mktemp("engine"))
    yield made
    made.end()


def test_a_client_that_has_logged_on_and_sent_nothing_yet_goes_on_while_its_key_is_tried(engine: Tried):
    client = engine.client()
    assert "logon" in engine.door.try_key("desk", engine.secret)
    assert client.ask(Ping(echo=7)).kind == MessageKind.PONG
    client.close()


def test_a_client_that_trades_goes_on_while_its_key_is_tried(engine: Tried):
    client = engine.client()
    assert client.ask(Ping(echo=7)).kind == MessageKind.PONG
    for _ in range(3):
        assert "logon" in engine.door.try_key("desk", engine.secret)
        assert client.ask(Ping(echo=8)).kind == MessageKind.PONG
    client.close()


@pytest.mark.parametrize("key_id", ["desk", "nobody"])
def test_a_secret_that_the_engine_does_not_hold_is_refused_and_nobody_is_cut(engine: Tried, key_id: str):
    client = engine.client()
    with pytest.raises(NewSecretRefused, match="must take the new secret, did not"):
        engine.door.try_key(key_id, secrets.token_bytes(32))
    assert client.ask(Ping(echo=7)).kind == MessageKind.PONG
    client.close()
