"""What a request of the WebSocket API is told when it fails or comes too often, and what the log says of it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import orjson
import pytest

from engine_node.logs import Log
from gateway.app import Bound
from gateway.binance import ws_api
from gateway.binance.ws_api import ApiSocket
from gateway.limits import Limits
from gateway.live import LiveSocket
from gateway.routing import Call, Later, Request, Route
from tests.gateway.binance.desk import START_NS, Desk
from tests.support.aio import in_loop

PEER = "192.0.2.7"


def fail(call: Call) -> Any:
    raise ZeroDivisionError("nobody expected this")


async def fail_later(call: Call) -> Any:
    await asyncio.sleep(0)
    fail(call)


def lost(call: Call) -> Later:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.cancel()
    return Later(future, lambda found: found)


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for method, handler in (("fails", fail), ("fails.later", fail_later), ("lost", lost)):
        route = Route(method="GET", path=f"/{method}", handler=handler, summary="", tag="tried")
        monkeypatch.setitem(ws_api._BOUND, method, Bound(route))
    with Desk() as desk:
        made = desk.gateway
        made.settings = dataclasses.replace(made.settings, weight_per_minute=100, ban_after=2)
        made.limits, made.now_ns = Limits(made.settings), lambda: START_NS
        made.keys = SimpleNamespace(on_change=lambda listener: None)
        made.log = Log.open(str(tmp_path / "log"), level="info", queue_max=100)
        yield made
        made.log.close()


class Wire:
    """One client's socket, and what it was sent."""

    def __init__(self, gateway: Any, path: str) -> None:
        self.sent: list[bytes] = []
        request = Request("GET", path, b"", {}, b"", PEER, "request-1", START_NS)
        self.handler: ApiSocket | LiveSocket = ApiSocket(gateway, request, limits_told=True)
        if path == "/api/v1/stream":
            self.handler = LiveSocket(gateway, request, None)
        socket: Any = SimpleNamespace(send=self.sent.append, request=request, messages_per_s=1)
        self.handler.opened(socket)

    async def ask(self, **said: object) -> Any:
        """The answer."""
        self.handler.received(msgspec.json.encode(said | {"id": 7}))
        for _ in range(5):
            if self.sent:
                break
            await asyncio.sleep(0)
        return msgspec.json.decode(self.sent.pop())


@in_loop
async def test_what_nobody_expected_is_told_as_500_and_logged_with_its_request(gateway: Any, tmp_path: Path) -> None:
    wire = Wire(gateway, "/ws-api/v3")
    for method in ("fails", "fails.later"):
        answer = await wire.ask(method=method)
        assert (answer["id"], answer["status"], answer["error"]["code"]) == (7, 500, -1000)
        assert answer["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"
    gateway.log.flush()
    lines = [orjson.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    found = [(line["event"], line["level"], line["request_id"], line["method"]) for line in lines]
    assert found == [("socket_request_failed", "error", "request-1", name) for name in ("fails", "fails.later")]
    assert all("nobody expected this" in line["error"] for line in lines)


@in_loop
async def test_a_request_whose_answer_is_lost_is_told_that_its_outcome_is_unknown(gateway: Any) -> None:
    answer = await Wire(gateway, "/ws-api/v3").ask(method="lost")
    assert (answer["status"], answer["error"]["code"]) == (504, -1007)


@in_loop
async def test_who_asks_too_often_is_told_when_to_ask_again(gateway: Any) -> None:
    wire, now_ms = Wire(gateway, "/ws-api/v3"), START_NS // 1_000_000
    assert "data" not in (await wire.ask(method="depth", params={"symbol": "NONE"}))["error"]
    found: dict[int, Any] = {}
    while 418 not in found:
        answer = await wire.ask(method="exchangeInfo")
        found[answer["status"]] = answer.get("error")
    left_s = 60 - START_NS // 10**9 % 60
    assert found[429]["data"] == {"serverTime": now_ms, "retryAfter": now_ms + left_s * 1_000}
    assert found[418]["data"] == {"serverTime": now_ms, "retryAfter": now_ms + 120_000}
    told = await Wire(gateway, "/api/v1/stream").ask(op="subscribe", channel="status")
    assert (told["code"], told["retry_after"]) == ("banned", 120)
