"""Random markets for the tests of the mirror: records of all kinds, and a source that hands them out from memory."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator

from engine_node import _engine
from gateway.market import Market
from gateway.mirror import Mirror
from gateway.settings import GatewaySettings
from schemas.vocabulary import RECORD_BYTES, Asset, Instrument
from tests.oracle import compare, flow
from tests.oracle.choice import RandomChoice


class Records:
    """A source of records that are there already, with a state to begin with."""

    def __init__(self, records: bytes, *, snapshot: bytes = b"", part: int = 0, **options: int) -> None:
        self.arrived: Callable[[], object] | None = None
        self.records, self.snapshot, self.part, self.options = records, snapshot, part, options
        self.at = 0
        self.opened = 0

    async def open(self, before: int | None, *, roomier: bool = False) -> _engine.Core:
        self.opened += 1
        core = _engine.Core.load(self.snapshot, **self.options) if self.snapshot else _engine.Core(**self.options)
        self.at = core.sequence() * RECORD_BYTES
        return core

    def next(self, room: int) -> bytes:
        found = self.records[self.at : self.at + (self.part or room) * RECORD_BYTES]
        self.at += len(found)
        return found

    def behind(self) -> int:
        return (len(self.records) - self.at) // RECORD_BYTES

    async def close(self) -> None:
        pass


def random_market(seed: int, commands: int, slower: int = 1) -> tuple[bytes, dict[str, int]]:
    """Records of a seeded flow of all kinds of commands, as core and oracle agree that they can stand.

    slower  times the pauses of the flow, which are some nanoseconds
    """
    pair = compare.Pair()
    records = bytearray()
    choice = RandomChoice(seed)

    def steps() -> Iterator[flow.Step]:
        yield from flow.prelude()
        for _ in range(commands):
            yield flow.draw_step(choice)

    for drawn in steps():
        elapsed_ns = drawn.elapsed_ns if slower == 1 else min(drawn.elapsed_ns, 10**6) * slower
        step = dataclasses.replace(drawn, elapsed_ns=elapsed_ns)
        if isinstance(step.command, Asset | Instrument) and step.text is not None:  # each a name of its own
            number = step.command.asset if isinstance(step.command, Asset) else step.command.instrument
            step = dataclasses.replace(step, text=f"{type(step.command).__name__[0]}{number}".encode())
        made = flow.records_of(step, pair.oracle.state)
        before = pair.core.sequence()
        pair.play(step)
        records += made[: (pair.core.sequence() - before) * RECORD_BYTES]
    return bytes(records), pair.options


def follow(
    source: Records, listen: Callable[[Mirror, Market], None] = lambda mirror, market: None, **settings: int
) -> tuple[Mirror, Market]:
    """A mirror that has caught up with the source, and its market."""

    async def run() -> tuple[Mirror, Market]:
        chosen = GatewaySettings(**settings)
        mirror = Mirror(source, chosen)
        market = Market(mirror, chosen)
        listen(mirror, market)
        await mirror.open()
        await mirror.close()
        if mirror.failure is not None:
            raise mirror.failure
        return mirror, market

    return asyncio.run(run())
