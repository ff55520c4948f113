"""A snapshot that is larger than a socket may hold reaches whoever reads, in order with what happens meanwhile."""

from __future__ import annotations

import asyncio

from gateway.paced import Paced
from tests.support.aio import in_loop, until


class Line:
    """What of a socket it needs: bytes that wait until they are read."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.taken: list[bytes] = []
        self.closed = False
        self.most = 0
        self.reason = ""

    @property
    def buffered_bytes(self) -> int:
        return sum(map(len, self.waiting))

    def send_frame(self, ready: bytes) -> None:
        self.waiting.append(ready)
        self.most = max(self.most, self.buffered_bytes)

    def close(self, code: int, reason: str) -> None:
        self.closed, self.reason = True, f"{code} {reason}"

    def read(self) -> None:
        self.taken += self.waiting
        self.waiting = []


@in_loop
async def test_frames_leave_as_the_client_reads_and_keep_their_order() -> None:
    line = Line()
    paced = Paced(line, 2_000)  # type: ignore[arg-type]
    paced.begin([b"%04d" % number * 25 for number in range(500)])
    for number in range(500, 600):
        paced.send(b"%04d" % number * 25)
        await asyncio.sleep(0)
    while len(line.taken) < 600:
        line.read()
        await asyncio.sleep(0.001)
    assert [int(one[:4]) for one in line.taken] == list(range(600))
    assert line.most <= 1_100
    paced.send(b"at once")
    assert line.waiting == [b"at once"]


@in_loop
async def test_what_waits_is_bounded_and_forgotten_at_the_end() -> None:
    line = Line()
    paced = Paced(line, 2_000)  # type: ignore[arg-type]
    paced.begin([bytes(1 << 20) for _ in range(65)])
    await until(lambda: line.closed)
    assert line.reason == "1008 slow"
    other = Line()
    ended = Paced(other, 100)  # type: ignore[arg-type]
    ended.begin([b"x" * 60, b"y" * 60, b"z" * 60])
    ended.end()
    other.read()
    await asyncio.sleep(0.05)
    assert other.waiting == []
