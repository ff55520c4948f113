"""The dead man's switch: of each account its own, kept whatever happens to the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.countdown import Countdowns
from gateway.errors import STATE_UNWRITABLE, ApiError
from gateway.line import Line
from gateway.mirror import Mirror
from gateway.settings import GatewaySettings
from gateway.sources import open_source
from ironbook import Key
from ironbook._commands import pack_order
from schemas.vocabulary import Permission, Side
from tests.support.aio import in_loop, until
from tests.support.node import Client, Node

GATEWAY = Permission.TRADE | Permission.CANCEL | Permission.READ | Permission.DELEGATE
SECOND_NS = 1_000_000_000


class WatchedLine(Line):
    """A line that tells what is submitted, before it is sent."""

    watcher: Callable[[Any], None] = staticmethod(lambda command: None)

    def submit(self, command: Any, **more: Any) -> asyncio.Future[Any]:
        self.watcher(command)
        return super().submit(command, **more)


class Desk:
    """An engine's line, countdowns by a clock of the test's own, and the two accounts' open orders."""

    def __init__(self, line: WatchedLine, mirror: Mirror, path: Path) -> None:
        self.line, self.mirror, self.path = line, mirror, path
        self.now_ns = time.time_ns()
        self.said: list[str] = []
        self.countdowns = self.make()

    def make(self) -> Countdowns:
        return Countdowns(
            self.path, self.line, now_ns=lambda: self.now_ns, say=lambda level, event, fields: self.said.append(event)
        )

    async def enter(self, *accounts: int) -> None:
        for account in accounts:
            await self.line.submit_parts((pack_order(account, 1, Side.BUY, 100, 1),))

    def open_accounts(self) -> list[int]:
        return [account for account in (1, 2) if self.mirror.core.account_orders(account)]

    def later(self, seconds: float) -> None:
        """The clock goes on; any change makes the countdowns look at it."""
        self.now_ns += int(seconds * SECOND_NS)
        self.countdowns.set(9, 0)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = Node(tmp_path_factory.mktemp("countdown"))
    secret = made.make_key("admin")
    made.make_key("gateway", permissions=GATEWAY)
    made.start()
    client = Client.connect(made.address(), "admin", secret)
    client.define_market()
    client.close()
    yield made
    made.end()


@asynccontextmanager
async def desk(node: Node, directory: Path) -> AsyncIterator[Desk]:
    settings = GatewaySettings(data=str(node.directory))
    mirror = Mirror(open_source(settings), settings)
    await mirror.open()
    secret = node.keys().load().find("gateway").secrets[0].value
    key = Key(key_id="gateway", secret=secret)
    line = WatchedLine(node.address(), key, mirror, timeout_s=5, now_ns=time.time_ns)
    await line.open()
    here = Desk(line, mirror, directory / "countdowns.json")
    await here.countdowns.open()
    try:
        yield here
    finally:
        await here.countdowns.close()
        await line.close()
        await mirror.close()


@in_loop
async def test_each_account_is_cancelled_at_its_own_time(node: Node, tmp_path: Path) -> None:
    async with desk(node, tmp_path) as here:
        await here.enter(1, 2)
        here.countdowns.set(1, 1_000)
        assert here.countdowns.set(2, 5_000) == here.now_ns + 5 * SECOND_NS
        here.later(2)
        await until(lambda: here.open_accounts() == [2])
        assert here.countdowns.deadline_ns(1) is None
        here.later(4)
        await until(lambda: here.open_accounts() == [])


@in_loop
async def test_what_is_switched_off_or_set_anew_while_another_is_cancelled_is_left_alone(
    node: Node, tmp_path: Path
) -> None:
    for timeout_ms in (0, 60_000):
        async with desk(node, tmp_path) as here:
            await here.enter(1, 2)
            here.countdowns.set(1, 1_000)
            here.countdowns.set(2, 1_000)
            asked = timeout_ms
            here.line.watcher = lambda command, asked=asked, here=here: here.countdowns.set(2, asked)
            here.later(2)
            await until(lambda: 1 not in here.open_accounts())
            here.line.watcher = lambda command: None
            assert here.open_accounts() == [2]
            here.countdowns.set(2, 1_000)
            here.later(2)
            await until(lambda: here.open_accounts() == [], why="the countdowns do not go on")


@in_loop
async def test_what_goes_wrong_with_one_account_is_tried_again_and_stops_no_other(node: Node, tmp_path: Path) -> None:
    async with desk(node, tmp_path) as here:
        await here.enter(1, 2)

        def fail(command: Any) -> None:
            if command.account == 1:
                raise RuntimeError("nobody expected this")

        here.line.watcher = fail
        here.countdowns.set(1, 1_000)
        here.countdowns.set(2, 1_000)
        here.later(2)
        await until(lambda: here.open_accounts() == [1])
        assert "countdown_held_up" in here.said
        here.line.watcher = lambda command: None
        await until(lambda: here.open_accounts() == [])


@in_loop
async def test_deadlines_are_taken_up_again_from_the_file(node: Node, tmp_path: Path) -> None:
    async with desk(node, tmp_path) as here:
        await here.enter(1)
        deadline_ns = here.countdowns.set(1, 1_000)
        await here.countdowns.close()
        assert orjson.loads(here.path.read_bytes()) == {"1": deadline_ns}
        here.countdowns = here.make()
        await here.countdowns.open()
        assert here.countdowns.deadline_ns(1) == deadline_ns
        here.later(2)
        await until(lambda: here.open_accounts() == [])


@in_loop
async def test_what_cannot_be_kept_is_refused_and_changes_nothing(node: Node, tmp_path: Path) -> None:
    async with desk(node, tmp_path) as here:
        await here.enter(1)
        deadline_ns = here.countdowns.set(1, 60_000)
        in_the_way = tmp_path / "countdowns.json.new"
        in_the_way.mkdir()  # where the new file would be written
        for account, timeout_ms in ((1, 1_000), (1, 0), (2, 1_000)):
            with pytest.raises(ApiError) as caught:
                here.countdowns.set(account, timeout_ms)
            assert caught.value.problem is STATE_UNWRITABLE
        assert (here.countdowns.deadline_ns(1), here.countdowns.deadline_ns(2)) == (deadline_ns, None)
        assert orjson.loads(here.path.read_bytes()) == {"1": deadline_ns}
        in_the_way.rmdir()
        assert here.countdowns.set(1, 1_000) == here.now_ns + SECOND_NS
        assert here.path.stat().st_mode & 0o777 == 0o600
        here.later(2)
        await until(lambda: here.open_accounts() == [])


@in_loop
async def test_a_cancellation_that_cannot_be_kept_is_told_and_the_others_go_on(node: Node, tmp_path: Path) -> None:
    async with desk(node, tmp_path) as here:
        await here.enter(1, 2)
        here.countdowns.set(1, 1)
        here.countdowns.set(2, 1)
        (tmp_path / "countdowns.json.new").mkdir()
        here.now_ns += SECOND_NS
        await until(lambda: here.open_accounts() == [])
        await until(lambda: here.countdowns.deadline_ns(1) is here.countdowns.deadline_ns(2) is None)
        assert "countdowns_unwritable" in here.said


@in_loop
async def test_a_file_that_cannot_be_read_is_told_and_stops_nothing(node: Node, tmp_path: Path) -> None:
    (tmp_path / "countdowns.json").write_text("[1, 2")
    async with desk(node, tmp_path) as here:
        assert here.said == ["countdowns_unreadable"]
        await here.enter(1)
        here.countdowns.set(1, 1_000)
        here.later(2)
        await until(lambda: here.open_accounts() == [])
