"""Nothing of a secret in logs, answers and alerts; two at once; dry runs; what people are told."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from functions.common.errors import SecretInvalid
from functions.rotation import handler
from functions.rotation.database import LOCK_CLASS, Administrator, scram_verifier
from functions.rotation.errors import DatabaseRefused, DriveFailed, NewSecretRefused, RotationBusy, RotationError
from functions.rotation.holders import Holder, lived_out
from tests.support.rotation import CURRENT, PENDING, PREVIOUS, STEPS, World, mark


def all_values(world: World) -> set[str]:
    """Everything secret that ever stood in any version."""
    found = set()
    for secret in world.api.list_secrets()["SecretList"]:
        for version in secret["SecretVersionsToStages"]:
            value = json.loads(world.stored(secret["ARN"], version) or "{}")
            found |= {value[field] for field in ("secret", "password", "private_key") if value.get(field)}
    return found


def test_no_secret_is_in_any_log_answer_alert_or_error(world: World, capfd: pytest.CaptureFixture[str], caplog: Any):
    caplog.set_level("DEBUG")
    said: list[str] = []
    secrets = [world.database(), world.api_key(), world.cookie()]
    for secret in secrets:
        said.append(str(world.rotate(secret, dry_run=True)))
        said.append(str(world.rotate(secret)))
        world.hold(secret)
        said += [str(world.drive(secret)), str(world.handle({"action": "status"}))]
        world.hold(secret)
        said += [str(world.drive(secret)), str(world.rotate(secret))]
        pending = world.labels(secret).get(PENDING, world.labels(secret)[CURRENT])
        for step in STEPS:
            with contextlib.suppress(RotationError):
                said.append(str(world.step(step, secret, pending)))
    broken = json.dumps({**world.value(secrets[0]), "role": "nobody", "username": world.value(secrets[0])["users"][0]})
    world.hold(secrets[0])
    world.drive(secrets[0])
    world.api.put_secret_value(SecretId=secrets[0], SecretString=broken, VersionStages=[PENDING])
    with pytest.raises(DriveFailed) as failed:
        world.handle({"action": "drive"})
    out, err = capfd.readouterr()
    # boto3's own debug lines are of its logger, which Lambda keeps at warning; ours are what this function says.
    ours = [record.getMessage() + str(record.__dict__) for record in caplog.records if "ironbook" in record.name]
    text = "\n".join([out, err, *said, *ours, str(failed.value), *world.alerts()])
    assert len(text) > 5000
    found = all_values(world)
    assert len(found) > 8
    assert not [value for value in found if value in text]


def test_postgres_is_given_a_verifier_and_never_the_password(world: World):
    secret = world.database()
    world.hold(secret)
    world.rotate(secret)
    value = world.value(secret)
    stored = world.sql("SELECT rolpassword FROM pg_authid WHERE rolname = $1", value["username"])[0][0]
    salt = base64.b64decode(stored.split("$")[1].split(":")[1])
    assert stored == scram_verifier(value["password"], salt)
    assert world.may_log_on(value)


def test_two_at_once_cannot_clash(world: World):
    """Secrets Manager, drive and people all at the same time: one works, the others are told so, one secret is left."""
    secret = world.database()
    for _ in range(3):
        world.hold(secret)
        before = world.labels(secret)[CURRENT]
        token = world.begin(secret)
        calls = [
            *(functools.partial(world.step, step, secret, token) for step in STEPS),
            *[functools.partial(world.rotate, secret)] * 2,
            *[functools.partial(world.handle, {"action": "drive"})] * 2,
        ]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            done = [pool.submit(call) for call in calls]
        for one in done:
            error = one.exception()
            # set, test and finish that come before create find no value yet, and say so
            assert error is None or isinstance(error, RotationError | SecretInvalid), error
        held = world.value(secret)
        assert world.may_log_on(held)
        for _ in range(3):
            world.hold(secret)
            world.drive(secret)
        assert set(world.labels(secret)) == {CURRENT}
        assert world.labels(secret)[CURRENT] != before
        assert world.may_log_on(world.value(secret))


def test_who_comes_second_is_told_that_another_one_is_at_it(world: World):
    secret = world.cookie()
    number = int.from_bytes(hashlib.sha256(b"cookie").digest()[:4], signed=True)

    async def hold_the_lock() -> None:
        connection = await asyncpg.connect(world.url)
        await connection.fetch("SELECT pg_advisory_lock($1, $2)", LOCK_CLASS, number)
        before = await asyncio.to_thread(world.everything)
        with pytest.raises(RotationBusy, match="another one is at it"):
            await asyncio.to_thread(world.rotate, secret)
        answer = await asyncio.to_thread(world.handle, {"action": "drive"})
        assert [one["state"] for one in answer["secrets"]] == ["busy"]
        assert await asyncio.to_thread(world.everything) == before
        assert await asyncio.to_thread(world.alerts) == [], "nothing failed: the other one is at it"
        await connection.close()  # as when the other function is killed

    asyncio.run(hold_the_lock())
    assert world.rotate(secret)["state"] == "unfinished"


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(world: World):
    secret = world.database()
    world.hold(secret)
    before = world.everything()
    answer = world.rotate(secret, dry_run=True)
    assert answer["state"] == "would"
    assert answer["did"][:2] == ["would make a new version", "would set it"]
    assert world.everything() == before
    world.rotate(secret)
    before = world.everything()
    assert world.rotate(secret, dry_run=True)["did"] == ["would end the old version when nobody needs it"]
    assert world.rotate(secret, dry_run=True)["waiting"]
    assert world.everything() == before
    world.settings(database_port=1)
    with pytest.raises(DatabaseRefused):
        world.rotate(secret, dry_run=True)


def test_a_rotation_that_waits_too_long_is_told_of_again_and_again_until_it_ends(world: World, monkeypatch: Any):
    secret = world.cookie()
    world.hold(secret)
    world.rotate(secret)
    world.settings(unfinished_alert_minutes=30, holder_silent_s=86_400)
    world.drive(secret)
    assert world.alerts() == []
    monkeypatch.setattr(handler, "now_ns", lambda: time.time_ns() + 31 * 60 * 10**9)
    world.drive(secret)
    world.drive(secret)
    assert len(world.alerts()) == 2
    assert "rotation of cookie waits" in world.alerts()[0]
    assert "- gateway-0 does not accept the new one yet" in world.alerts()[0]
    world.hold(secret)
    world.drive(secret)
    assert "- gateway-0 still uses another one" in world.alerts()[2]
    world.hold(secret)
    assert world.drive(secret)["state"] == "rest"
    assert len(world.alerts()) == 3


def test_one_secret_that_fails_keeps_no_other_one_from_going_on(world: World):
    broken = world.secret("a-broken", "cookie", {"secret": "none"}, "gateway=0")
    good = world.cookie()
    world.hold(good)
    world.rotate(good)
    world.hold(good)
    with pytest.raises(DriveFailed, match="1 of 2 failed"):
        world.handle({"action": "drive"})
    assert set(world.labels(good)) <= {CURRENT, PREVIOUS}
    assert len(world.alerts()) == 1
    assert "secret must be 64 hexadecimal digits" in world.alerts()[0]
    assert broken in world.alerts()[0] or "a-broken" in world.alerts()[0]


def test_an_alert_that_cannot_be_published_hides_no_failure(world: World):
    world.settings(alerts_topic_arn="arn:aws:sns:eu-central-1:123456789012:nowhere", database_port=1)
    with pytest.raises(DatabaseRefused):
        world.handle({"action": "drive"})


def test_the_trial_call_of_a_new_schedule_changes_nothing_and_is_answered(world: World):
    secret = world.database(make=False)
    for value in (world.value(secret), None):
        if value is None:
            token = world.begin(secret)
        else:
            answer = world.api.put_secret_value(
                SecretId=secret, SecretString=json.dumps(value), VersionStages=[PENDING]
            )
            token = answer["VersionId"]
        before = world.everything()
        assert world.step("testSecret", secret, token)["did"][0].startswith("a trial")
        assert world.everything() == before
        world.api.update_secret_version_stage(SecretId=secret, VersionStage=PENDING, RemoveFromVersionId=token)


def test_install_makes_the_users_that_current_secrets_name_and_again_changes_no_login(world: World):
    secret = world.database(make=False)
    world.cookie()
    value = world.value(secret)
    assert not world.may_log_on(value)
    for _ in range(2):
        answers = world.handle({"action": "install"})["secrets"]
        assert [one["state"] for one in answers] == ["rest", "rest"]
        assert world.may_log_on(value)
    assert set(world.labels(secret)) == {CURRENT}


def test_a_user_of_a_secret_that_must_be_seen_keeps_the_old_one_alive(world: World):
    """A client outside: its key's old secret lives until the client is seen with the new one."""
    secret = world.api_key("desk-9", holders="engine=1", users="client=1")
    world.hold(secret, "engine-0")
    world.rotate(secret)
    world.hold(secret, "engine-0")
    assert world.drive(secret)["waiting"] == ["1 of kind client must use the new one, 0 do"]
    world.row("client-9", "api_key/desk-9", [], mark("api_key", world.value(secret, PREVIOUS)))
    assert world.drive(secret)["waiting"][0] == "client-9 still uses another one"
    world.row("client-9", "api_key/desk-9", [], mark("api_key", world.value(secret)))
    assert world.drive(secret)["state"] == "rest"


def test_a_new_key_is_not_used_before_a_process_that_had_just_begun_could_say_that_it_lacks_it(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """A third gateway read the key file before the new version was there, and its first row comes a little later."""
    world.settings(newcomer_s=60, holder_silent_s=86_400)
    secret = world.api_key()
    world.hold(secret)
    held = mark("api_key", world.value(secret))
    world.rotate(secret)
    world.hold(secret)
    [waiting] = world.drive(secret)["waiting"]
    assert waiting.startswith("a process that had just begun may say what it holds within ")
    assert PENDING in world.labels(secret)
    world.row("gateway-late", "api_key/desk-1", [held], None)
    monkeypatch.setattr(handler, "now_ns", lambda: time.time_ns() + 61 * 10**9)
    assert world.drive(secret)["waiting"] == ["gateway-late does not accept the new one yet"]
    world.row("gateway-late", "api_key/desk-1", [held, mark("api_key", world.value(secret, PENDING))], None)
    new = world.value(secret, PENDING)
    world.drive(secret)
    assert world.value(secret) == new


def test_an_old_login_lives_until_what_was_begun_with_it_is_over(world: World, monkeypatch: pytest.MonkeyPatch):
    world.settings(settle_s=30)
    secret = world.database()
    world.hold(secret)
    world.rotate(secret)
    world.hold(secret)
    held = world.value(secret, PREVIOUS)
    assert world.drive(secret)["waiting"][0].startswith("what was begun with the old one may need ")
    assert world.may_log_on(held)
    monkeypatch.setattr(handler, "now_ns", lambda: time.time_ns() + 31 * 10**9)
    assert world.drive(secret)["state"] == "rest"
    assert not world.may_log_on(held)


def test_old_keys_live_as_long_as_the_logins_that_they_signed(world: World, monkeypatch: Any):
    """A cookie that the old key signed is good until its hours are over, and so is the key."""
    for secret in (world.cookie(), world.api_key()):
        world.settings(session_hours=12, unfinished_alert_minutes=60)
        monkeypatch.setattr(handler, "now_ns", time.time_ns)
        world.hold(secret)
        world.rotate(secret)
        world.hold(secret)
        world.drive(secret)
        world.hold(secret)
        assert PREVIOUS in world.labels(secret)
        assert world.drive(secret)["waiting"] == ["logins that the old one signed may live on for 720 minutes"]
        world.settings(holder_silent_s=86_400)
        monkeypatch.setattr(handler, "now_ns", lambda: time.time_ns() + 11 * 3600 * 10**9)
        assert world.drive(secret)["state"] == "unfinished"
        assert world.alerts() == []
        monkeypatch.setattr(handler, "now_ns", lambda: time.time_ns() + (12 * 3600 + 1) * 10**9)
        assert world.drive(secret)["state"] == "rest"
        assert set(world.labels(secret)) == {CURRENT}


def test_a_label_moved_back_to_a_login_that_was_shut_out_ends_nothing(world: World):
    secret = world.database("reporting", holders="")
    first = world.labels(secret)[CURRENT]
    world.rotate(secret)
    new, second = world.value(secret), world.labels(secret)[CURRENT]
    assert set(world.labels(secret)) == {CURRENT}
    world.api.update_secret_version_stage(
        SecretId=secret, VersionStage=CURRENT, MoveToVersionId=first, RemoveFromVersionId=second
    )
    with pytest.raises(DriveFailed):
        world.drive(secret)
    assert "the new user must be let in, was not" in world.alerts()[-1]
    assert world.may_log_on(new)
    assert world.labels(secret)[PREVIOUS] == second


def test_a_value_put_by_hand_that_does_not_work_ends_nothing(world: World):
    secret = world.database("reporting", holders="")
    good = world.value(secret)
    bad = json.dumps({**good, "username": good["users"][1], "password": "mistyped"})
    world.api.put_secret_value(SecretId=secret, SecretString=bad)
    with pytest.raises(DriveFailed):
        world.drive(secret)
    assert world.may_log_on(good)


def test_a_password_put_by_hand_for_the_user_in_use_shuts_nobody_out(world: World):
    secret = world.database("reporting", holders="")
    put = world.value(secret) | {"password": "put-by-hand"}
    world.sql(f"ALTER ROLE \"{put['username']}\" PASSWORD '{put['password']}'")
    world.api.put_secret_value(SecretId=secret, SecretString=json.dumps(put))
    assert world.drive(secret)["state"] == "rest"
    assert set(world.labels(secret)) == {CURRENT}
    assert world.may_log_on(put)


def test_a_new_version_with_the_secret_that_is_in_use_is_refused(world: World):
    secret = world.cookie()
    world.hold(secret)
    same = json.dumps(world.value(secret) | {"note": "nothing new"})
    world.api.put_secret_value(SecretId=secret, SecretString=same, VersionStages=[PENDING])
    before = world.everything()
    with pytest.raises(DriveFailed):
        world.drive(secret)
    assert "must be another secret than the current one, is the same" in world.alerts()[-1]
    assert world.everything() == before


def test_what_was_tested_some_time_ago_is_tested_again_before_it_is_current(world: World):
    secret = world.database("reporting", holders="")
    first, pending = world.labels(secret)[CURRENT], world.begin(secret)
    for step in STEPS[:3]:
        world.step(step, secret, pending)
    world.sql(f"ALTER ROLE \"{world.value(secret, PENDING)['username']}\" NOLOGIN")
    with pytest.raises(NewSecretRefused, match="the new user must be let in, was not"):
        world.step("finishSecret", secret, pending)
    assert world.labels(secret) == {CURRENT: first, PENDING: pending}


def test_who_lost_the_lock_changes_nothing_more(world: World, monkeypatch: Any):
    """The connection is cut just before each question whether it still holds."""
    asked = Administrator.still_held

    async def cut(book: Administrator) -> None:
        await asyncio.to_thread(
            world.sql,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'ironbook-rotation' AND datname = current_database()",
        )
        await asked(book)

    def refused(call: Callable[[], Any]) -> None:
        before = world.everything()
        with monkeypatch.context() as patched:
            patched.setattr(Administrator, "still_held", cut)
            with pytest.raises(DatabaseRefused, match="the lock must still be held"):
                call()
        assert world.everything() == before

    secret = world.cookie()
    world.hold(secret)
    refused(lambda: world.rotate(secret))
    pending = world.begin(secret)
    refused(lambda: world.step("createSecret", secret, pending))
    world.step("createSecret", secret, pending)
    world.hold(secret)
    for step in ("setSecret", "finishSecret"):
        refused(lambda step=step: world.step(step, secret, pending))
    world.step("finishSecret", secret, pending)  # gateways still sign with the old one
    assert PREVIOUS in world.labels(secret)
    world.hold(secret)
    refused(lambda: world.rotate(secret))  # only the old one's end is left to do


def test_who_uses_the_user_before_is_seen_under_its_name_too(world: World):
    secret = world.api_key("desk-1", holders="engine=0")
    old = world.value(secret)
    put = json.dumps({**old, "key_id": "desk-2", "secret": "cd" * 32})  # by hand: another key
    world.api.put_secret_value(SecretId=secret, SecretString=put)
    world.row("submitter-0", "api_key/desk-1", [], mark("api_key", old))
    assert world.drive(secret)["waiting"] == ["submitter-0 still uses another one"]


def test_an_old_secret_ends_though_processes_come_and_go():
    """Gateways scale with load; each new one took up the new secret at its start and never had the old one."""
    hour_ns = 3600 * 10**9
    row = Holder(process="g", kind="gateway", accepts=frozenset(), uses="new", since_ns=0, seen_ns=0)
    rows = {at: [dataclasses.replace(row, since_ns=at * hour_ns)] for at in (0, 6, 12, 100, 10**6)}
    ends = {at: lived_out(found, 0, 12 * hour_ns) // hour_ns for at, found in rows.items()}
    assert ends == {0: 12, 6: 18, 12: 24, 100: 24, 10**6: 24}
