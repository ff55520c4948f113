"""What cannot rotate: each a clear error, an alert, and nothing changed."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import pytest

from functions.common.errors import EventInvalid, SecretInvalid, SettingsInvalid
from functions.rotation.errors import (
    DatabaseRefused,
    DriveFailed,
    HoldersUnnamed,
    KindUnknown,
    NewSecretRefused,
    RotationRefused,
)
from tests.support.rotation import CURRENT, PENDING, STEPS, World


def refused(world: World, error: type[Exception], what: str, call: Callable[[], Any]) -> None:
    """It raises that, and the whole state is as before."""
    before = world.everything()
    with pytest.raises(error, match=what):
        call()
    assert world.everything() == before


def test_a_secret_that_is_no_json_is_refused(world: World):
    secret = world.cookie()
    world.api.put_secret_value(SecretId=secret, SecretString="correct horse")
    refused(world, SecretInvalid, "a secret must be a JSON object, is not", lambda: world.rotate(secret))


def test_a_secret_that_is_not_there_is_refused(world: World):
    refused(world, SecretInvalid, "a secret must be there to rotate", lambda: world.rotate("nowhere"))
    refused(world, SecretInvalid, "must be there", lambda: world.step(STEPS[0], "nowhere", "v" * 32))


def test_a_secret_of_another_environment_or_kind_is_refused(world: World):
    other = world.secret("other", "cookie", {"secret": "ab" * 32}, "gateway=0", environment="production")
    refused(world, SecretInvalid, "must be of environment test to rotate here", lambda: world.rotate(other))
    strange = world.secret("strange", "password", {"secret": "ab" * 32}, "gateway=0")
    refused(world, KindUnknown, "kind must be one of api_key, cookie, database, was password",
            lambda: world.rotate(strange))  # fmt: skip
    nobodys = world.secret("nobodys", "cookie", {"secret": "ab" * 32}, None)
    for dry_run in (False, True):
        call = functools.partial(world.rotate, nobodys, dry_run=dry_run)
        refused(world, HoldersUnnamed, "a secret must say who holds it", call)
    world.api.delete_secret(SecretId=strange)
    with pytest.raises(SecretInvalid, match="is marked for deletion"):
        world.rotate(strange)
    assert [one["state"] for one in world.handle({"action": "drive"})["secrets"]] == ["rest"]  # it need not rotate


def test_a_version_that_is_not_pending_is_refused_in_every_step(world: World):
    secret = world.cookie()
    for step in STEPS:
        unknown = functools.partial(world.step, step, secret, "x" * 32)
        refused(world, RotationRefused, "must be one of the secret's", unknown)
    refused(world, RotationRefused, "a step must be one of", lambda: world.step("dropSecret", secret, "x" * 32))
    old = world.labels(secret)[CURRENT]
    world.hold(secret)
    world.rotate(secret)
    world.hold(secret)
    world.drive(secret)
    for step in STEPS:
        refused(world, RotationRefused, "must be AWSPENDING, is not", lambda step=step: world.step(step, secret, old))


def test_a_half_rotated_secret_whose_pending_value_is_broken_leaves_the_old_one_working(world: World):
    secret = world.database()
    world.hold(secret)
    held = world.value(secret)
    for wrong in (
        "{",
        "{}",
        json.dumps(held),
        json.dumps(held | {"username": held["users"][1], "role": "ironbook_owner"}),
        json.dumps(held | {"username": held["users"][1], "host": "elsewhere"}),
    ):
        world.api.put_secret_value(SecretId=secret, SecretString=wrong, VersionStages=[PENDING])
        pending = world.labels(secret)[PENDING]
        refused(world, SecretInvalid, ".", lambda pending=pending: world.step(STEPS[1], secret, pending))
        refused(world, DriveFailed, "1 of 1 failed", lambda: world.handle({"action": "drive"}))
        assert world.may_log_on(held)


def test_a_database_that_is_not_there_changes_nothing(world: World):
    secret = world.database()
    world.hold(secret)
    world.settings(database_port=1)
    for event in ({"action": "drive"}, {"action": "status"}, {"action": "rotate", "secret_id": secret}):
        call = functools.partial(world.handle, event)
        refused(world, DatabaseRefused, "PostgreSQL must let the administrator in", call)


def test_a_database_that_refuses_the_administrator_changes_nothing(world: World):
    secret = world.database()
    world.api.put_secret_value(SecretId="admin", SecretString='{"username": "postgres", "password": "wrong"}')
    refused(world, DatabaseRefused, "InvalidPassword", lambda: world.rotate(secret))
    world.api.put_secret_value(SecretId="admin", SecretString='{"username": "postgres"}')
    refused(world, SecretInvalid, "must have username and password", lambda: world.rotate(secret))


def test_an_administrator_that_may_not_change_users_leaves_the_old_secret_and_goes_on_when_it_may(world: World):
    secret = world.database()
    world.hold(secret)
    held = world.value(secret)
    weak = {"username": f"{world.mark}weak", "password": "weak"}
    world.sql(f"CREATE ROLE \"{weak['username']}\" LOGIN PASSWORD 'weak'")
    world.sql(f'GRANT ironbook_reader TO "{weak["username"]}"')
    strong = world.value("admin")
    world.api.put_secret_value(SecretId="admin", SecretString=json.dumps(weak))
    with pytest.raises(DatabaseRefused, match="must get its new password, PostgreSQL refused: InsufficientPrivilege"):
        world.rotate(secret)
    assert world.value(secret) == held
    assert world.may_log_on(held)
    assert "must get its new password" in world.alerts()[-1]
    world.api.put_secret_value(SecretId="admin", SecretString=json.dumps(strong))
    assert world.drive(secret)["state"] == "unfinished"
    world.hold(secret)
    assert world.drive(secret)["state"] == "rest"
    assert not world.may_log_on(held)


def test_a_database_without_the_table_of_holders_ends_no_old_secret(world: World):
    secret = world.database()
    world.hold(secret)
    held = world.value(secret)
    world.rotate(secret)
    world.sql("ALTER TABLE secret_holders RENAME TO elsewhere")
    with pytest.raises(DriveFailed):
        world.handle({"action": "drive"})
    assert "secret_holders must be readable" in world.alerts()[-1]
    assert world.may_log_on(held)
    world.sql("ALTER TABLE elsewhere RENAME TO secret_holders")
    world.hold(secret)
    assert world.drive(secret)["state"] == "rest"


def test_an_administrator_is_never_given_a_rotating_password(world: World):
    mighty = f"{world.mark}gateway_b"
    world.sql(f'CREATE ROLE "{mighty}" SUPERUSER LOGIN')
    secret = world.database(users=[f"{world.mark}gateway_a", mighty])
    with pytest.raises(DatabaseRefused, match="must not be administrators"):
        world.rotate(secret)
    assert world.sql("SELECT rolpassword FROM pg_authid WHERE rolname = $1", mighty)[0][0] is None


def test_a_new_user_that_is_not_let_in_never_becomes_current(world: World):
    secret = world.database(port=1)
    current = world.labels(secret)[CURRENT]
    with pytest.raises(NewSecretRefused, match="the new user must be let in, was not"):
        world.rotate(secret)
    assert world.labels(secret)[CURRENT] == current


def test_a_process_that_never_confirms_keeps_the_old_secret_and_is_named(world: World):
    secret = world.cookie()
    world.hold(secret)
    held = world.value(secret)
    answer = world.rotate(secret)
    assert answer["state"] == "unfinished"
    assert answer["waiting"][:2] == [f"gateway-{n} does not accept the new one yet" for n in (0, 1)]
    world.hold(secret, "gateway-0")
    for _ in range(3):
        before = world.everything()
        assert world.drive(secret)["waiting"] == [
            "gateway-1 does not accept the new one yet", "2 of kind gateway must accept the new one, 1 do",
        ]  # fmt: skip
        assert world.everything() == before
    assert world.value(secret) == held
    assert not world.alerts()
    world.settings(holder_silent_s=10)
    world.row("gateway-1", "cookie", [], None, seen_ns=1)
    assert world.handle({"action": "status"})["secrets"][0]["waiting"]


def test_an_event_that_says_nothing_is_refused(world: World):
    for event in (
        {},
        {"action": "explode"},
        {"action": "rotate"},
        {"action": "drive", "dry_run": True},
        {"action": "install", "dry_run": True},
        {"action": "rotate", "secret_id": 7},
        {"action": "rotate", "secret_id": "x", "dry_run": "yes"},
        {"Step": "createSecret"},
        {"Step": "createSecret", "SecretId": "x"},
    ):
        refused(world, EventInvalid, "must", functools.partial(world.handle, event))
    assert len(world.alerts()) == 9


def test_settings_that_are_missing_are_named(world: World):
    world.settings(environment="")
    refused(world, SettingsInvalid, "environment must be set", lambda: world.handle({"action": "drive"}))
    world.settings(environment="test", holder_silent_s=0)
    refused(world, SettingsInvalid, "from 10 to 86400", lambda: world.handle({"action": "drive"}))
