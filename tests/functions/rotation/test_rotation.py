"""A secret from step to step, as Secrets Manager, the schedule and people ask for it."""

from __future__ import annotations

import pytest

from functions.rotation.errors import RotationRefused, RotationUnfinished
from tests.support.rotation import CURRENT, PREVIOUS, STEPS, World


def test_an_api_key_rotates_in_the_four_steps_and_ends_when_its_holders_have_the_new_one(world: World):
    secret = world.api_key()
    world.hold(secret)
    first = world.value(secret)
    pending = world.begin(secret)
    for step in STEPS[:2]:
        world.step(step, secret, pending)
    with pytest.raises(RotationUnfinished, match="engine-0 does not accept the new one yet"):
        world.step("testSecret", secret, pending)
    assert world.value(secret) == first
    world.hold(secret)  # followers gave the pending one to engine and gateways
    for step in STEPS:
        world.step(step, secret, pending)
    second = world.value(secret)
    assert second["secret"] != first["secret"]
    assert {**second, "secret": ""} == {**first, "secret": ""}
    assert set(world.labels(secret)) == {CURRENT}  # all accept it and nobody says that he uses the old one


def test_a_database_user_rotates_to_the_other_user_and_the_old_one_is_shut_out(world: World):
    secret = world.database()
    world.hold(secret)
    first = world.value(secret)
    answer = world.rotate(secret)
    assert answer["state"] == "unfinished"
    assert answer["waiting"] == ["gateway-0 still uses another one", "1 of kind gateway must use the new one, 0 do"]
    second = world.value(secret)
    assert second["username"] == first["users"][1]
    assert world.may_log_on(first)
    assert world.may_log_on(second)
    world.hold(secret)
    assert world.drive(secret)["state"] == "rest"
    assert not world.may_log_on(first)
    assert world.may_log_on(second)
    assert PREVIOUS not in world.labels(secret)


def test_it_rotates_back_to_the_first_user_with_another_password(world: World):
    secret = world.database()
    passwords = {world.value(secret)["password"]}
    for turn in range(3):
        world.hold(secret)
        world.rotate(secret)
        world.hold(secret)
        assert world.drive(secret)["state"] == "rest"
        value = world.value(secret)
        assert value["username"] == value["users"][(turn + 1) % 2]
        assert value["password"] not in passwords
        passwords.add(value["password"])


def test_every_step_may_be_repeated_after_the_rotation_is_over(world: World):
    secret = world.database()
    world.hold(secret)
    world.rotate(secret)
    world.hold(secret)
    world.drive(secret)
    before, current = world.everything(), world.labels(secret)[CURRENT]
    for step in (*STEPS, *reversed(STEPS)):
        assert world.step(step, secret, current)["did"] == []
    assert world.everything() == before


def test_a_second_rotation_is_refused_while_the_old_secret_lives(world: World):
    secret = world.database()
    world.hold(secret)
    world.rotate(secret)
    token = world.begin(secret)
    before = world.everything()
    with pytest.raises(RotationRefused, match="must have ended before the next one is made"):
        world.step("createSecret", secret, token)
    assert world.everything() == before
