"""A follower brings what the store has, and touches nothing where it cannot."""

from __future__ import annotations

import functools
import json
import os
import stat
from pathlib import Path

import boto3
import pytest

from ironbook import Key
from ironbook.keystore import KeyFile, read_passphrase_file
from ironbook.secret_store.aws import SecretsManager
from ironbook.secret_store.errors import SecretMalformed, SecretMissing, StoreUnreachable
from ironbook.secret_store.follow import Follower
from tests.ironbook.secret_store.installation import (
    ENVIRONMENT,
    SECRETS,
    Secrets,
    api_key,
    database,
    follower,
    settings,
    tls,
    wanted_keys,
)
from tests.support.aws import REGION, Aws


@pytest.fixture
def secrets(aws: Aws) -> Secrets:
    return Secrets(aws.client("secretsmanager"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "secrets"


@functools.cache
def store(url: str) -> SecretsManager:
    """One client of boto3 for all: to make one takes long."""
    return SecretsManager(REGION)


def made(directory: Path, files: dict[str, str] | None = None, **more: object) -> Follower:
    return follower(store(os.environ["AWS_ENDPOINT_URL"]), settings(directory, files, **more))


def key_file(directory: Path) -> KeyFile:
    return KeyFile(directory / "keys.ironbook", read_passphrase_file(directory / "key-passphrase"))


def held(directory: Path, key_id: str = "desk-1") -> list[str]:
    """The secrets of a key in the key file, the older one first."""
    return [secret.value.hex() for secret in key_file(directory).load().find(key_id).secrets]


def contents(directory: Path) -> dict[str, bytes]:
    """Every file of secrets; not what the follower keeps for itself."""
    return {
        path.name: path.read_bytes()
        for path in directory.iterdir()
        if path.is_file() and path.name not in ("follow.json", "follow.lock", "keys.ironbook.lock", "ready")
    }


def test_an_empty_directory_gets_every_file_that_is_wanted(secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    secrets.make("api_key/desk-2", "api_key", api_key("desk-2", SECRETS[1], 101, networks=["10.0.0.0/8"]))
    secrets.make("database/gateway", "database", database())
    secrets.make("kafka/analytics", "kafka", {"username": "a_a", "password": "b", "mechanism": "SCRAM-SHA-256"})
    secrets.make("tls/gateway", "tls", tls())
    secrets.make("cookie", "cookie", {"secret": SECRETS[2]})
    files = {
        "signer": "api_key/desk-1", "gateway": "database/gateway", "analytics": "kafka/analytics",
        "web": "tls/gateway", "cookie": "cookie",
    }  # fmt: skip
    one = made(directory, files, keys=wanted_keys(directory))
    look = one.look()
    assert (look.problems, look.complete) == ({}, True)
    found = contents(directory)
    assert found["gateway.database-url"] == b"postgresql://gateway_a:geh%2Feim%3A%40%3F@127.0.0.1:5432/ironbook\n"
    assert json.loads(found["analytics.kafka-login.json"]) == {
        "username": "a_a", "password": "b", "mechanism": "SCRAM-SHA-256",
    }  # fmt: skip
    assert (found["web.crt"].decode(), found["web.pem"].decode()) == (tls()["certificate"], tls()["private_key"])
    assert found["cookie-secret"] == f"{SECRETS[2]}\n".encode()
    assert Key.from_file(directory / "signer.key").secret.hex() == SECRETS[0]
    assert [(key.key_id, key.number, key.networks) for key in key_file(directory).load().live()] == [
        ("desk-1", 100, ()),
        ("desk-2", 101, ("10.0.0.0/8",)),
    ]
    for name in found:
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    again = one.look()
    assert (again.changed, again.problems, again.complete) == ([], {}, True)
    assert made(directory, files, keys=wanted_keys(directory)).look().changed == [], "nor after a restart"


def test_a_rotation_goes_through_pending_current_previous_and_retired(secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    secrets.make("cookie", "cookie", {"secret": SECRETS[0]})
    one = made(directory, {"signer": "api_key/desk-1", "cookie": "cookie"}, keys=wanted_keys(directory))

    def now() -> tuple[list[str], str, list[str]]:
        look = one.look()
        assert look.problems == {}
        cookie = (directory / "cookie-secret").read_text().split()
        return held(directory), Key.from_file(directory / "signer.key").secret.hex(), cookie

    old, new = SECRETS[:2]
    assert now() == ([old], old, [old])
    key_version = secrets.put("api_key/desk-1", api_key(secret=new), ["AWSPENDING"])
    cookie_version = secrets.put("cookie", {"secret": new}, ["AWSPENDING"])
    assert now() == ([old, new], old, [old, new]), "both are accepted, the old one is used"
    secrets.move("api_key/desk-1", "AWSCURRENT", key_version)
    secrets.move("cookie", "AWSCURRENT", cookie_version)
    assert {"AWSPREVIOUS"} in map(set, secrets.stages("cookie").values())
    assert now() == ([old, new], new, [new, old]), "both are accepted, the new one is used"
    secrets.move("api_key/desk-1", "AWSPREVIOUS", None)
    secrets.move("cookie", "AWSPREVIOUS", None)
    assert now() == ([new], new, [new])
    assert one.look().changed == []


def test_who_signs_with_the_previous_secret_goes_before_one_that_nobody_has_yet(
    secrets: Secrets, directory: Path
) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    one = made(directory, keys=wanted_keys(directory))
    one.look()
    secrets.put("api_key/desk-1", api_key(secret=SECRETS[1]))
    secrets.put("api_key/desk-1", api_key(secret=SECRETS[2]), ["AWSPENDING"])
    look = one.look()
    assert held(directory) == SECRETS[:2]
    assert isinstance(look.warnings[f"{ENVIRONMENT}/api_key/desk-1"], SecretMalformed)
    assert look.complete


def test_of_a_login_and_a_certificate_only_the_current_one_is_ever_read(secrets: Secrets, directory: Path) -> None:
    secrets.make("database/gateway", "database", database())
    secrets.make("tls/web", "tls", tls())
    one = made(directory, {"gateway": "database/gateway", "web": "tls/web"})
    one.look()
    before = contents(directory)
    secrets.put("database/gateway", "not even JSON", ["AWSPENDING"])
    login = secrets.put("database/gateway", database("gateway_b"), ["AWSPENDING"])
    pair = secrets.put("tls/web", tls("other"), ["AWSPENDING"])
    assert (one.look().problems, contents(directory)) == ({}, before)
    secrets.move("database/gateway", "AWSCURRENT", login)
    secrets.move("tls/web", "AWSCURRENT", pair)
    assert sorted(one.look().changed) == ["gateway.database-url", "web.crt", "web.pem"]
    assert b"gateway_b" in (directory / "gateway.database-url").read_bytes()
    assert (directory / "web.pem").read_text() == tls("other")["private_key"]
    assert len([*directory.glob(".tls-web-*")]) == 1, "the older pair is gone"


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("api_key", "{"),
        ("api_key", [1]),
        ("api_key", api_key(secret="zz" * 32)),
        ("api_key", api_key(secret="ab")),
        ("api_key", api_key(number="many")),
        ("api_key", api_key(number=257)),
        ("api_key", api_key(permissions=["everything"])),
        ("api_key", api_key(networks=["10.0.0.1/8"])),
        ("api_key", {"key_id": "desk-1"}),
        ("database", {**database(), "password": ""}),
        ("database", {**database(), "host": "a/b"}),
        ("database", {**database(), "port": 0}),
        ("kafka", {"username": "a", "password": "b", "mechanism": "NONE"}),
        ("kafka", {"username": "a"}),
        ("tls", {"certificate": "", "private_key": ""}),
        ("tls", {**tls(), "private_key": tls("another")["private_key"]}),
        ("tls", {**tls(), "certificate": "-----BEGIN CERTIFICATE-----"}),
        ("cookie", {"secret": "geheim"}),
        ("surprise", {"secret": SECRETS[0]}),
    ],
)
def test_a_malformed_version_changes_no_file_and_is_told_without_its_value(
    secrets: Secrets, directory: Path, kind: str, wrong: object
) -> None:
    right = {
        "api_key": api_key(), "database": database(), "tls": tls(), "cookie": {"secret": SECRETS[0]},
        "kafka": {"username": "a", "password": "geheim"}, "surprise": "{}",
    }[kind]  # fmt: skip
    secrets.make("one", kind, right)
    secrets.make("other", "cookie" if kind != "cookie" else "database", {"secret": SECRETS[0], **database()})
    one = made(directory, {"one": "one", "other": "other"}, keys=wanted_keys(directory))
    first = one.look()
    before = contents(directory)
    secrets.put("one", wrong)
    secrets.put("other", {"secret": SECRETS[3], **database("x")})
    look = one.look()
    assert list(look.problems) == [f"{ENVIRONMENT}/one"]
    assert look.warnings == {}, "what is there is no key whose secret went away"
    problem = look.problems[f"{ENVIRONMENT}/one"]
    assert isinstance(problem, SecretMalformed)
    assert "geheim" not in str(problem)
    assert "zz" * 32 not in str(problem)
    after = contents(directory)
    changed = {name for name in after if before.get(name) != after[name]}
    assert len(changed) == 1, "the other secret goes on"
    assert look.complete == (not first.problems), "what was complete once and is still there stays so"


def test_a_key_whose_secret_is_deleted_is_revoked_only_where_the_settings_say_so(
    secrets: Secrets, directory: Path, tmp_path: Path
) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    careful = made(directory, keys=wanted_keys(directory))
    strict = made(tmp_path / "strict", keys=wanted_keys(tmp_path / "strict", revoke_deleted=True))
    careful.look()
    strict.look()
    secrets.client.delete_secret(SecretId=f"{ENVIRONMENT}/api_key/desk-1", RecoveryWindowInDays=7)
    look = careful.look()
    assert isinstance(look.warnings[f"{ENVIRONMENT}/api_key/desk-1"], SecretMissing)
    assert look.complete
    assert held(directory) == [SECRETS[0]]
    assert strict.look().changed == ["key desk-1 revoked"]
    assert key_file(tmp_path / "strict").load().live() == ()
    assert strict.look().changed == []


def test_a_key_whose_secret_is_gone_is_revoked_after_a_restart_too(secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    secrets.make("api_key/desk-2", "api_key", api_key("desk-2", number=101))
    made(directory, keys=wanted_keys(directory)).look()
    secrets.client.delete_secret(SecretId=f"{ENVIRONMENT}/api_key/desk-1", ForceDeleteWithoutRecovery=True)
    look = made(directory, keys=wanted_keys(directory, revoke_deleted=True)).look()
    assert look.changed == ["key desk-1 revoked"]


def test_a_store_in_which_nothing_is_found_at_all_revokes_nothing(aws: Aws, secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    made(directory, keys=wanted_keys(directory)).look()
    strict = wanted_keys(directory, revoke_deleted=True)
    elsewhere = SecretsManager("eu-west-1")
    Secrets(boto3.client("secretsmanager", region_name="eu-west-1")).make("cookie", "cookie", {"secret": SECRETS[1]})
    look = follower(elsewhere, settings(directory, keys=strict)).look()
    assert "not found, nor is any other one" in str(next(iter(look.warnings.values())))
    aws.reset()
    look = made(directory, keys=strict).look()
    assert "not found, nor is any other one" in str(next(iter(look.warnings.values())))
    assert held(directory) == [SECRETS[0]]


def test_a_secret_that_only_lost_its_tags_revokes_nothing(secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    one = made(directory, keys=wanted_keys(directory, revoke_deleted=True))
    one.look()
    secrets.client.untag_resource(SecretId=f"{ENVIRONMENT}/api_key/desk-1", TagKeys=["ironbook:environment"])
    look = one.look()
    assert [type(error) for error in look.warnings.values()] == [SecretMissing]
    assert held(directory) == [SECRETS[0]]


def test_keys_made_by_hand_stay_and_followed_ones_are_put_back(secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    one = made(directory, keys=wanted_keys(directory))
    one.look()
    by_hand = key_file(directory).create_key("local", permissions=7, networks=["10.0.0.0/8"]).secret
    key_file(directory).set_networks("desk-1", ["192.0.2.0/24"])
    assert one.look().changed == ["key desk-1"]
    secrets.put("api_key/desk-1", api_key(secret=SECRETS[1]), ["AWSPENDING"])
    one.look()
    keys = key_file(directory).load()
    assert keys.find("desk-1").networks == ()
    assert held(directory, "local") == [by_hand.hex()]
    assert keys.find("local").networks == ("10.0.0.0/8",)
    key_file(directory).revoke("desk-1")
    look = one.look()
    assert [error.code for error in look.warnings.values()] == ["key_exists"], "what a person revoked stays revoked"
    assert look.complete
    assert [key.key_id for key in key_file(directory).load().live()] == ["local"]


def test_two_secrets_of_one_key_or_one_number_or_one_file_are_told(secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/a", "api_key", api_key("desk-1", SECRETS[0], 100))
    secrets.make("api_key/b", "api_key", api_key("desk-1", SECRETS[1], 101))
    secrets.make("api_key/c", "api_key", api_key("desk-3", SECRETS[2], 100))
    secrets.make("cookie-1", "cookie", {"secret": SECRETS[0]})
    secrets.make("cookie-2", "cookie", {"secret": SECRETS[1]})
    one = made(directory, {"x": "cookie-1", "y": "cookie-2"}, keys=wanted_keys(directory))
    look = one.look()
    assert {name.rpartition("/")[2]: error.code for name, error in look.problems.items()} == {
        "b": "secret_malformed", "c": "key_number_taken", "cookie-2": "secret_malformed",
    }  # fmt: skip
    assert held(directory) == [SECRETS[0]]
    assert (directory / "cookie-secret").read_text().split() == [SECRETS[0]]
    assert not look.complete


def test_a_key_whose_number_the_engine_has_no_room_for_is_told(secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/a", "api_key", api_key("desk-1", number=256))
    secrets.make("api_key/b", "api_key", api_key("desk-2", number=257))
    look = made(directory, keys=wanted_keys(directory)).look()
    assert "a key's number must be at most 256, was 257" in str(look.problems[f"{ENVIRONMENT}/api_key/b"])
    assert [key.key_id for key in key_file(directory).load().live()] == ["desk-1"]


def test_a_secret_of_another_environment_or_pattern_is_not_looked_at(secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    secrets.make("api_key/desk-2", "api_key", api_key("desk-2", number=101), environment=f"{ENVIRONMENT}-2")
    secrets.make("other/desk-3", "api_key", api_key("desk-3", number=102))
    one = made(directory, keys=wanted_keys(directory, secrets=(f"{ENVIRONMENT}/api_key/*",)))
    assert one.look().problems == {}
    assert [key.key_id for key in key_file(directory).load().live()] == ["desk-1"]


def test_a_named_secret_that_is_not_there_is_told_and_makes_the_look_incomplete(
    secrets: Secrets, directory: Path
) -> None:
    one = made(directory, {"gateway": "database/gateway"})
    look = one.look()
    assert isinstance(look.problems[f"{ENVIRONMENT}/database/gateway"], SecretMissing)
    assert not look.complete
    secrets.make("database/gateway", "database", database())
    assert one.look().complete


def test_a_pending_version_without_a_value_is_asked_for_again(secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())

    class Slow(SecretsManager):
        """The label stands, the value does not yet: so Secrets Manager begins a rotation."""

        filled = False

        def value(self, arn: str, version_id: str) -> dict[str, object] | None:
            return super().value(arn, version_id) if self.filled or version_id == first else None

    (first,) = secrets.stages("api_key/desk-1")
    secrets.put("api_key/desk-1", api_key(secret=SECRETS[1]), ["AWSPENDING"])
    slow = Slow(REGION)
    one = follower(slow, settings(directory, keys=wanted_keys(directory)))
    look = one.look()
    assert (look.problems, look.complete, held(directory)) == ({}, True, [SECRETS[0]])
    slow.filled = True
    one.look()
    assert held(directory) == SECRETS[:2]


def test_a_list_that_is_older_than_what_was_seen_changes_nothing(secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    stale = SecretsManager(REGION)
    old_list = stale.list(ENVIRONMENT)
    one = follower(stale, settings(directory, {"signer": "api_key/desk-1"}, keys=wanted_keys(directory)))
    one.look()
    secrets.put("api_key/desk-1", api_key(secret=SECRETS[1]))
    secrets.move("api_key/desk-1", "AWSPREVIOUS", None)
    one.look()
    assert held(directory) == [SECRETS[1]]
    stale.list = lambda environment: old_list  # type: ignore[method-assign]
    assert one.look().changed == []
    assert held(directory) == [SECRETS[1]]
    assert Key.from_file(directory / "signer.key").secret.hex() == SECRETS[1]


def test_only_versions_that_were_not_seen_are_fetched(secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    fetched: list[str] = []

    class Counting(SecretsManager):
        def value(self, arn: str, version_id: str) -> dict[str, object] | None:
            fetched.append(version_id)
            return super().value(arn, version_id)

    one = follower(Counting(REGION), settings(directory, keys=wanted_keys(directory)))
    for _ in range(3):
        one.look()
    assert len(fetched) == 1
    secrets.put("api_key/desk-1", api_key(secret=SECRETS[1]), ["AWSPENDING"])
    for _ in range(3):
        one.look()
    assert len(fetched) == len(set(fetched)) == 2


def test_while_the_store_is_away_everything_stays_and_counts_as_complete_if_it_was(
    secrets: Secrets, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets.make("database/gateway", "database", database())
    files = {"gateway": "database/gateway"}
    made(directory, files, keys=wanted_keys(directory)).look()
    before = contents(directory)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    look = made(directory, files, keys=wanted_keys(directory)).look()
    assert isinstance(look.problems["secrets manager"], StoreUnreachable)
    assert (look.reached, look.complete, contents(directory)) == (False, True, before)
    (directory / "gateway.database-url").unlink()
    assert not made(directory, files, keys=wanted_keys(directory)).look().complete
    assert not made(directory.with_name("empty"), files).look().complete


def test_nothing_that_is_shown_holds_a_secret(secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    secrets.make("database/gateway", "database", database())
    one = made(directory, {"signer": "api_key/desk-1", "gateway": "database/gateway"}, keys=wanted_keys(directory))
    look = one.look()
    shown = repr(one) + repr(look) + (directory / "follow.json").read_text()
    assert SECRETS[0] not in shown
    assert "geh" not in shown


def test_a_key_file_that_cannot_be_opened_is_told_and_the_files_go_on(secrets: Secrets, directory: Path) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    one = made(directory, {"signer": "api_key/desk-1"}, keys=wanted_keys(directory))
    one.look()
    (directory / "keys.ironbook").chmod(0o644)
    secrets.put("api_key/desk-1", api_key(secret=SECRETS[1]))
    look = one.look()
    assert [(name, error.code) for name, error in look.problems.items()] == [("key file", "key_file_access")]
    assert Key.from_file(directory / "signer.key").secret.hex() == SECRETS[1]
    (directory / "keys.ironbook").chmod(0o600)
    assert one.look().problems == {}
    assert held(directory) == SECRETS[:2]
