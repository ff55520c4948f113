"""What a socket of market streams counts toward its address's weight, and what it can make the gateway do with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gateway.binance import streams
from gateway.binance.streams import StreamSocket
from gateway.errors import BANNED, TOO_MANY_REQUESTS, ApiError
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.routing import Request
from tests.gateway.binance.desk import Desk

PEER = "192.0.2.7"
UNKNOWN = [f"nobody{number}@trade" for number in range(1_024)]


class Names(dict[str, Any]):
    """Instruments by their names; counts how often all of them are read."""

    reads = 0

    def items(self) -> Any:
        self.reads += 1
        return super().items()


class Wire:
    """A client's end: what it was sent, and its requests."""

    def __init__(self, desk: Desk, *names: str) -> None:
        self.sent: list[bytes] = []
        self.desk, self.limits = desk, desk.gateway.limits
        self.handler = StreamSocket(desk.gateway, list(names), wrapped=False)
        socket: Any = SimpleNamespace(send=self.sent.append, request=SimpleNamespace(peer=PEER))
        self.run(lambda: self.handler.opened(socket))

    def run(self, what: Callable[[], object]) -> None:
        """It, and what it leaves for the next turn of the loop."""

        async def turn() -> None:
            what()

        self.desk.run(turn())
        self.desk.run(turn_over())

    def ask(self, method: str, *params: object) -> Any:
        """The answer, the first of what comes."""
        self.sent.clear()
        said = msgspec.json.encode({"method": method, "params": params, "id": 1})
        self.run(lambda: self.handler.received(said))
        return msgspec.json.decode(self.sent[0])

    def used(self) -> int:
        return self.limits.used_weight(PEER, self.desk.now_ns)


async def turn_over() -> None:
    """The loop has had a turn."""


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as made:
        settings = dataclasses.replace(made.gateway.settings, weight_per_minute=3_000, ban_after=2)
        made.gateway.settings, made.gateway.limits = settings, Limits(settings)
        made.gateway.keys = SimpleNamespace(on_change=lambda listener: None)
        made.gateway.metrics = Metrics()
        yield made


def test_names_that_nobody_knows_cost_one_lookup_each(desk: Desk) -> None:
    wire = Wire(desk)
    desk.mirror.by_name = names = Names(desk.mirror.by_name)
    assert wire.ask("SUBSCRIBE", *UNKNOWN) == {"result": None, "id": 1}
    assert names.reads <= 1
    names["btcusd"] = names["BTCUSD"]  # two names that are one in lower case
    wire.ask("SUBSCRIBE", *UNKNOWN[:9], "btcusd@trade")
    assert names.reads <= 1


def test_an_instrument_that_was_defined_meanwhile_has_streams(desk: Desk) -> None:
    wire = Wire(desk, "btcusd@trade")
    wire.ask("SUBSCRIBE", "ltcusd@trade")
    assert wire.ask("LIST_SUBSCRIPTIONS")["result"] == ["btcusd@trade"]
    one = desk.mirror.by_name["BTCUSD"]
    desk.mirror.by_name = desk.mirror.by_name | {"LTCUSD": one}
    wire.ask("SUBSCRIBE", "ltcusd@trade")
    assert wire.ask("LIST_SUBSCRIPTIONS")["result"] == ["btcusd@trade", "ltcusd@trade"]


def test_what_is_changed_counts_by_its_names_and_what_is_read_does_not(desk: Desk) -> None:
    wire = Wire(desk)
    for method, params, weight in (
        ("SUBSCRIBE", ["btcusd@trade", "btcusd@depth5", "nobody@trade"], 3),
        ("SUBSCRIBE", [], 1),
        ("SUBSCRIBE", ["!ticker@arr"], 80),
        ("SUBSCRIBE", ["!miniTicker@arr", "btcusd@ticker"], 81),
        ("UNSUBSCRIBE", ["!ticker@arr", "btcusd@trade"], 2),
        ("SET_PROPERTY", ["combined", True], 3),
        ("SET_PROPERTY", ["combined", True], 3),
        ("GET_PROPERTY", ["combined"], 0),
        ("LIST_SUBSCRIPTIONS", [], 0),
    ):
        before = wire.used()
        assert "error" not in wire.ask(method, *params)
        assert wire.used() - before == weight, (method, params)


def test_a_flood_of_subscriptions_meets_the_limit_and_then_the_ban(desk: Desk) -> None:
    wire = Wire(desk)
    assert wire.ask("SUBSCRIBE", *UNKNOWN)["result"] is None
    assert wire.ask("UNSUBSCRIBE", *UNKNOWN)["result"] is None
    told = [wire.ask("SUBSCRIBE", *UNKNOWN)["error"] for _ in range(4)]
    assert [one["code"] for one in told] == [-1003] * 4
    assert ["banned until" in one["msg"] for one in told] == [False, False, True, True]
    for method, params in (("UNSUBSCRIBE", ["btcusd@trade"]), ("SET_PROPERTY", ["combined", True])):
        assert "banned until" in wire.ask(method, *params)["error"]["msg"]
    with pytest.raises(ApiError) as caught:  # as any other request from there is
        desk.gateway.limits.weight(PEER, 1, desk.now_ns)
    assert caught.value.problem is BANNED


def test_a_new_socket_counts_by_the_names_in_its_address(desk: Desk) -> None:
    def opened(target: str) -> int:
        path, _, query = target.partition("?")
        before = desk.gateway.limits.used_weight(PEER, desk.now_ns)
        request = Request("GET", path, query.encode(), {}, b"", PEER, "1", desk.now_ns)
        streams.SOCKETS[0].make(desk.gateway, request)
        return desk.gateway.limits.used_weight(PEER, desk.now_ns) - before

    assert opened("/ws") == 0  # what a socket itself counts is counted for all of them
    assert opened("/ws/btcusd@trade/!ticker@arr") == 81
    assert opened("/stream?streams=" + "/".join(UNKNOWN)) == 1_024
    opened("/stream?streams=" + "/".join(UNKNOWN))
    with pytest.raises(ApiError) as caught:
        opened("/stream?streams=" + "/".join(UNKNOWN))
    assert caught.value.problem is TOO_MANY_REQUESTS


def test_whether_events_are_wrapped_changes_without_telling_a_state_again(desk: Desk) -> None:
    wire = Wire(desk, "btcusd@bookTicker", "btcusd@depth5", "!ticker@arr")
    assert len(wire.sent) == 3
    assert wire.ask("SET_PROPERTY", "combined", True)["result"] is None
    assert wire.ask("LIST_SUBSCRIPTIONS")["result"] == ["btcusd@bookTicker", "btcusd@depth5", "!ticker@arr"]
    assert len(wire.sent) == 1
    for stream in wire.handler._streams.values():
        assert isinstance(stream, streams.Stream)
        assert (len(stream.plain), len(stream.wrapped)) == (0, 1)
    assert wire.ask("SET_PROPERTY", "combined", False)["result"] is None
    assert len(wire.sent) == 1
