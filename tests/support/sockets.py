"""A WebSocket client for the tests, made with the library `websockets`; JSON both ways."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

WAIT_S = 15.0


class Client:
    """One open socket.

    async with Client(stack.ws_url + "/ws/btcusd@trade") as client:
        trade = await client.event("trade")
    """

    def __init__(self, url: str, **headers: str) -> None:
        self.url, self.headers = url, headers
        self.seen: list[Any] = []
        self._line: ClientConnection | None = None
        self._number = 0

    async def __aenter__(self) -> Client:
        self._line = await connect(
            self.url, max_size=1 << 24, additional_headers={name.title(): value for name, value in self.headers.items()}
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.line.close()

    @property
    def line(self) -> ClientConnection:
        """The library's connection."""
        assert self._line is not None
        return self._line

    async def send(self, message: object) -> None:
        """Text or bytes as they are, all else as JSON."""
        await self.line.send(message if isinstance(message, str | bytes) else orjson.dumps(message).decode())

    async def next(self, wait_s: float = WAIT_S) -> Any:
        """The next message."""
        message = orjson.loads(await asyncio.wait_for(self.line.recv(), wait_s))
        self.seen.append(message)
        return message

    async def until(self, wanted: Any, wait_s: float = WAIT_S) -> Any:
        """The next message that `wanted` is true of; those before it are in `seen`."""
        async with asyncio.timeout(wait_s):
            while True:
                message = await self.next(wait_s)
                if wanted(message):
                    return message

    async def event(self, kind: str) -> Any:
        """The next event of that kind, plain or wrapped."""
        found = await self.until(lambda one: _event(one).get("e") == kind)
        return _event(found)

    async def ask(self, method: str, params: object = None, **more: object) -> Any:
        """A request; its answer."""
        self._number += 1
        said: dict[str, object] = {"id": self._number, "method": method} | more
        if params is not None:
            said["params"] = params
        await self.send(said)
        return await self.until(lambda one: isinstance(one, dict) and one.get("id") == said["id"])


def _event(message: Any) -> Any:
    if not isinstance(message, dict):
        return {}
    return message.get("data") or message.get("event") or message
