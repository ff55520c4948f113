"""A function that is killed at any call, before it or after it, and is called again.

After each death the secret that processes hold must still work, and whoever calls next must bring the rotation to its
end: one new secret, and nothing left of the old one. To die at a call that only reads leaves behind what dying after
the last change does, so `make test` dies before and after each change, `make soak` before every call as well.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import botocore.client
import pytest
from confluent_kafka.admin import AdminClient

from tests.support.rotation import CURRENT, World, kafka_may_log_on
from tests.support.services import Broker

KAFKA_CHANGES = ("alter_user_scram_credentials", "create_acls")
CHANGES = ("PutSecretValue", "UpdateSecretVersionStage")


class Killed(BaseException):
    """The process is gone."""


class Killer:
    """Counts calls while armed; ends the process at the n-th, before or after it took effect."""

    def __init__(self) -> None:
        self.left, self.count, self.armed, self.everywhere, self.behind = 0, 0, False, False, False
        self.seen: list[str] = []

    def at(self, name: str) -> None:
        """One place to die."""
        when, _, call = name.partition(" ")
        if not self.armed or not (self.everywhere or _changes(call)) or (self.behind and when == "before"):
            return
        self.count += 1
        self.seen.append(name)
        if self.count == self.left:
            raise Killed(name)

    @contextlib.contextmanager
    def kill_at(self, number: int) -> Iterator[None]:
        """Within, the call of this number is the last one."""
        self.left, self.count, self.armed, self.seen = number, 0, True, []
        try:
            yield
        finally:
            self.armed = False

    def around(self, call: Any, named: Callable[..., str]) -> Any:
        """The same call, with a place to die before it, and one behind it if it may change something."""
        if inspect.iscoroutinefunction(call):

            @functools.wraps(call)
            async def later(*arguments: Any, **more: Any) -> Any:
                name = named(*arguments)
                self.at(f"before {name}")
                answer = await call(*arguments, **more)
                if _changes(name):
                    self.at(f"after {name}")
                return answer

            return later

        @functools.wraps(call)
        def now(*arguments: Any, **more: Any) -> Any:
            name = named(*arguments)
            self.at(f"before {name}")
            answer = call(*arguments, **more)
            if _changes(name):
                self.at(f"after {name}")
            return answer

        return now


def _changes(name: str) -> bool:
    return name in CHANGES or name in KAFKA_CHANGES or name.startswith(("ALTER", "CREATE"))


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    """Places to die at every call of boto3 and asyncpg."""
    made = Killer()
    api = botocore.client.BaseClient
    monkeypatch.setattr(api, "_make_api_call", made.around(api._make_api_call, lambda client, name, *_: name))
    for method in ("fetch", "fetchval", "execute"):
        call = getattr(asyncpg.Connection, method)
        monkeypatch.setattr(asyncpg.Connection, method, made.around(call, lambda connection, sql, *_: sql))
    for method in ("alter_user_scram_credentials", "create_acls"):  # killed behind them, the request is on its way
        call = getattr(AdminClient, method)
        monkeypatch.setattr(AdminClient, method, made.around(call, lambda *_, name=method: name))
    monkeypatch.setattr(asyncpg, "connect", made.around(asyncpg.connect, lambda *_: "connect"))
    return made


def rotated_though_killed_at(world: World, killer: Killer, secret: str, number: int) -> bool:
    """A whole rotation with one death in it. False: it had fewer calls than that."""
    first = world.labels(secret)[CURRENT]
    world.hold(secret)
    held = world.value(secret)
    died = False
    for ask in (lambda: world.rotate(secret), lambda: world.drive(secret)):
        try:
            with killer.kill_at(number):
                ask()
        except Killed:
            died = True
        number -= killer.count if not died else 0
        works(world, held)
        if died:
            break
        world.hold(secret)
        held = world.value(secret)
    if died and world.labels(secret) == {CURRENT: first}:
        world.rotate(secret)  # nothing had begun: whoever asked asks again
    for _ in range(3):
        works(world, held)
        world.hold(secret)
        held = world.value(secret)
        if world.drive(secret)["state"] == "rest":
            break
    labels = world.labels(secret)
    assert set(labels) == {CURRENT}, killer.seen[-1]
    assert labels[CURRENT] != first, killer.seen[-1]
    works(world, world.value(secret))
    return died


def works(world: World, value: dict[str, Any]) -> None:
    """What processes hold is let in."""
    assert let_in(world, value)


def let_in(world: World, value: dict[str, Any]) -> bool:
    """Would PostgreSQL or Kafka take this login?"""
    if "principal" in value:
        return kafka_may_log_on(os.environ["IRONBOOK_FUNCTION_KAFKA_BOOTSTRAP"], value)
    return "users" not in value or world.may_log_on(value)


def killed_everywhere(world: World, killer: Killer, kind: str) -> list[str]:
    """Rotate again and again, each time with the next place to die; the places."""
    secret = {"database": world.database, "api_key": world.api_key, "kafka": world.kafka}[kind]()
    world.handle({"action": "install"})
    places: list[str] = []
    while True:
        old = world.value(secret)
        died = rotated_though_killed_at(world, killer, secret, len(places) + 1)
        assert kind == "api_key" or not let_in(world, old)
        if not died:
            return places
        places.append(" ".join(killer.seen[-1].split()[:3]))


@pytest.mark.timeout(300)
def test_a_rotation_of_a_kafka_user_that_is_killed_behind_any_change_ends_well(
    world: World, killer: Killer, broker: Broker
):
    killer.behind = True  # before a change all is as behind the one before it, and a broker takes its time
    places = killed_everywhere(world, killer, "kafka")
    changes = [
        "PutSecretValue", *KAFKA_CHANGES, "UpdateSecretVersionStage", "UpdateSecretVersionStage", KAFKA_CHANGES[0],
        "UpdateSecretVersionStage",
    ]  # fmt: skip
    assert [place.split()[1] for place in places] == changes


@pytest.mark.parametrize("kind", ["database", "api_key"])
def test_a_rotation_that_is_killed_before_or_after_any_change_ends_well(world: World, killer: Killer, kind: str):
    places = killed_everywhere(world, killer, kind)
    stored = ["PutSecretValue", "UpdateSecretVersionStage", "UpdateSecretVersionStage", "UpdateSecretVersionStage"]
    changes = ["PutSecretValue", "ALTER ROLE", *stored[1:3], "ALTER ROLE", stored[3]] if kind == "database" else stored
    found = [place for place in places if place.startswith("after")]
    assert [place.split(" ", 1)[1].partition(' "')[0] for place in found] == changes
    assert len(places) == 2 * len(changes)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["database", "api_key"])
def test_a_rotation_that_is_killed_at_any_call_ends_well(world: World, killer: Killer, kind: str):
    killer.everywhere = True
    assert len(killed_everywhere(world, killer, kind)) > 25
