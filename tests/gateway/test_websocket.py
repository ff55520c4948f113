"""WebSockets: the handshake, messages, fragments, pings, closing from both sides, slow readers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect

from tests.support.door import Door

TEXT, BINARY, CONTINUED, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with Door(socket_messages_per_s=1_000) as running:
        yield running


def test_a_client_library_gets_its_messages_back(door):
    async def converse() -> list[str | bytes]:
        async with connect(f"ws://{door.address[0]}:{door.address[1]}/echo") as line:
            found = []
            for text in ("a", "x" * 200, "y" * 16_000, "ü€"):
                await line.send(text)
                found.append(await line.recv())
            return found

    assert asyncio.run(converse()) == ["a", "x" * 200, "y" * 16_000, "ü€"]


def test_the_handshake_is_answered_as_the_standard_says(door):
    with door.connect() as line:
        headers = line.upgrade("/echo?x=1")
        assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert headers["upgrade"] == "websocket"
        assert "x-request-id" in headers
        line.send_frame(TEXT, b"hello")
        assert line.frame() == (TEXT, b"hello")
        assert door.sockets[-1].request.query == b"x=1"


def test_fragments_become_one_message_and_pings_between_them_are_answered(door):
    with door.connect() as line:
        line.upgrade()
        line.send_frame(TEXT, b"one ", final=False)
        line.send_frame(PING, b"?")
        line.send_frame(CONTINUED, b"mess", final=False)
        line.send_frame(CONTINUED, b"age")
        assert [line.frame(), line.frame()] == [(PONG, b"?"), (TEXT, b"one message")]
