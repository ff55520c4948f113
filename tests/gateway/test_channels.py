"""What the channels tell of random markets of every kind of command: books, orders and levels are the core's own."""

from __future__ import annotations

import asyncio
import json
import random
import types
from typing import Any

import pytest

from gateway.account_channel import AccountChannels
from gateway.binance import streams
from gateway.events import Batch
from gateway.level3 import Level3Channels
from gateway.market import Listener, Market
from gateway.metrics import Metrics
from gateway.mirror import Mirror
from gateway.paced import Paced
from gateway.settings import GatewaySettings
from schemas.vocabulary import Side
from tests.gateway.markets import Records, random_market
from tests.support.followers import Book, Follower

COMMANDS = 1_200


class Line:
    """A socket that keeps what it is sent."""

    def __init__(self) -> None:
        self.closed, self.buffered_bytes, self.code = False, 0, 0
        self.data = b""

    def send_frame(self, frames: bytes) -> None:
        self.data += frames

    def close(self, code: int, reason: str) -> None:
        self.closed, self.code = True, code

    def take(self) -> list[Any]:
        """The messages since the last time."""
        data, self.data, at, found = self.data, b"", 0, []
        while at < len(data):
            size, head = data[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(data[at + 2 : at + 4]), 4
            elif size == 127:
                size, head = int.from_bytes(data[at + 2 : at + 10]), 10
            found.append(json.loads(data[at + head : at + head + size]))
            at += head + size
        return found


class Watcher(Listener):
    """Follows every instrument and account from the moment it is there, and holds all against the core."""

    def __init__(self, gateway: Any, choice: random.Random) -> None:
        self.gateway, self.choice = gateway, choice
        self.level3, self.accounts, self.hub = Level3Channels(gateway), AccountChannels(gateway), streams.hub(gateway)
        self.books: dict[int, tuple[Line, Book]] = {}
        self.followers: dict[int, tuple[Line, Follower]] = {}
        self.depths: dict[int, tuple[streams.DiffDepth, dict[str, dict[str, str]], list[int]]] = {}
        self.compared = self.reports = 0
        gateway.market.on(self)

    def begin(self) -> None:
        self.gateway.mirror.live = True  # the records are of the past, and told as if they were not

    def done(self, batch: Batch) -> None:
        for number in self.gateway.mirror.instruments:
            if number not in self.books:
                self._join(number)
        for number, (line, book) in self.books.items():
            for message in line.take():
                book.take(message)
            if self.choice.random() < 0.1:
                self._compare(number, book)
                self._compare_depth(number)
        for account in range(1, 30):
            if account not in self.followers and self.gateway.mirror.core.account(account) is not None:
                line, follower = Line(), Follower()
                follower.at = self.accounts.join(account, Paced(line, 1 << 20), None)[0]  # type: ignore[arg-type]
                self.followers[account] = line, follower
        for line, follower in self.followers.values():
            for message in line.take():
                follower.take(message)

    def _join(self, number: int) -> None:
        one, line = self.gateway.mirror.instruments[number], Line()
        book = Book(one.price_ticks, one.quantity_lots)
        *_, frames = self.level3.join(one, Paced(line, 1 << 20), None, None)  # type: ignore[arg-type]
        line.send_frame(b"".join(frames))
        self.books[number] = line, book
        depth = streams.DiffDepth(self.hub, "x", one, 1)
        core = self.gateway.mirror.core
        levels = {
            name: dict(streams.levels(one, core.levels(number, side, 5_000)))
            for name, side in (("b", Side.BUY), ("a", Side.SELL))
        }
        self.depths[number] = depth, levels, [self.gateway.market.update_id(number)]

    def _compare(self, number: int, book: Book) -> None:
        one, core = self.gateway.mirror.instruments[number], self.gateway.mirror.core
        assert book.id == core.instrument(number)["level3_id"]
        for name, side in (("buy", Side.BUY), ("sell", Side.SELL)):
            found = [
                (told["order_id"], one.price_text(told["price_ticks"]), shown)
                for told in core.book_orders(number, side, 0, 5_000)
                if (shown := one.quantity_text(told["rest_lots"] - told["reserve_lots"]))
            ]
            assert book.rows(name) == found
        self.compared += bool(book.orders["buy"] or book.orders["sell"])

    def _compare_depth(self, number: int) -> None:
        depth, levels, ids = self.depths[number]
        one, core = self.gateway.mirror.instruments[number], self.gateway.mirror.core
        data = depth.made()
        if data is not None:
            message = json.loads(data)
            assert message["U"] == ids[0] + 1
            ids[0] = message["u"]
            for name in "ba":
                levels[name].update(message[name])
        for name, side in (("b", Side.BUY), ("a", Side.SELL)):
            nothing = one.quantity_text(0)
            rebuilt = {price: lots for price, lots in levels[name].items() if lots != nothing}
            assert rebuilt == dict(streams.levels(one, core.levels(number, side, 5_000)))


def made(source: Records) -> tuple[Any, Mirror]:
    """A gateway's parts that the channels need."""
    settings = GatewaySettings()
    mirror = Mirror(source, settings)
    gateway = types.SimpleNamespace(
        settings=settings, mirror=mirror, market=Market(mirror, settings), metrics=Metrics(), shared={},
        now_ns=lambda: 1_700_000_000_000_000_000, keys=types.SimpleNamespace(on_change=lambda listener: None),
    )  # fmt: skip
    return gateway, mirror


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_books_levels_and_accounts_are_the_cores_at_every_step(seed: int) -> None:
    async def run() -> Watcher:
        records, options = random_market(seed, COMMANDS)
        gateway, mirror = made(Records(records, part=random.Random(seed).randint(1, 12), **options))
        watcher = Watcher(gateway, random.Random(seed))
        await mirror.open()
        await mirror.close()
        assert mirror.failure is None, mirror.failure
        return watcher

    watcher = asyncio.run(run())
    assert watcher.compared > 20
    assert sum(book.checked for _, book in watcher.books.values()) > 0
    assert sum(len(follower.taken) for _, follower in watcher.followers.values()) > 500


def test_a_mirror_that_begins_anew_sends_everybody_off_to_connect_again() -> None:
    async def run() -> list[int]:
        records, options = random_market(5, 200)
        source = Records(records, **options)
        gateway, mirror = made(source)
        level3, accounts = Level3Channels(gateway), AccountChannels(gateway)
        await mirror.open()
        one = next(iter(mirror.instruments.values()))
        lines = [Line(), Line(), Line()]
        level3.join(one, Paced(lines[0], 1 << 20), None, None)  # type: ignore[arg-type]
        accounts.join(1, Paced(lines[1], 1 << 20), None)  # type: ignore[arg-type]
        client = streams.StreamSocket(gateway, [f"{one.name.lower()}@trade"], wrapped=False)
        client.opened(lines[2])  # type: ignore[arg-type]
        gateway.market._begin()
        await mirror.close()
        return [line.code for line in lines]

    assert asyncio.run(run()) == [1012, 1012, 1012]
