"""Which versions count, and what the files hold: the table of labels, row by row."""

from __future__ import annotations

import json

import pytest

from ironbook.secret_store.errors import SecretMalformed
from ironbook.secret_store.plan import Version, choose, crowded, followed_key, secret_files
from ironbook.secret_store.settings import FileWanted
from tests.ironbook.secret_store.installation import SECRETS, api_key, database, tls

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
A, B, C = "version-a", "version-b", "version-c"


@pytest.mark.parametrize(
    ("stages", "accepted"),
    [
        ({}, []),
        ({A: {PENDING}}, []),
        ({A: {PREVIOUS}, B: set()}, []),
        ({A: {CURRENT}}, [(CURRENT, A)]),
        ({A: {CURRENT, PENDING}}, [(CURRENT, A)]),
        ({A: {CURRENT, PREVIOUS}}, [(CURRENT, A)]),
        ({A: {CURRENT}, B: {PENDING}}, [(CURRENT, A), (PENDING, B)]),
        ({A: {PREVIOUS}, B: {CURRENT}}, [(CURRENT, B), (PREVIOUS, A)]),
        ({A: {PREVIOUS}, B: {CURRENT, PENDING}}, [(CURRENT, B), (PREVIOUS, A)]),
        ({A: {PREVIOUS}, B: {CURRENT}, C: {PENDING}}, [(CURRENT, B), (PREVIOUS, A)]),
        ({A: {PREVIOUS, PENDING}, B: {CURRENT}}, [(CURRENT, B), (PREVIOUS, A)]),
        ({A: {"mine"}, B: {CURRENT, "blue"}}, [(CURRENT, B)]),
    ],
)
def test_labels_say_which_versions_count(stages: dict[str, set[str]], accepted: list[tuple[str, str]]) -> None:
    frozen = {version: frozenset(labels) for version, labels in stages.items()}
    for kind in ("api_key", "cookie"):
        assert choose(kind, frozen) == accepted
        assert crowded(kind, frozen) == (len({*frozen}) == 3)
    for kind in ("database", "kafka", "tls"):
        assert choose(kind, frozen) == accepted[:1]
        assert not crowded(kind, frozen)


def version(value: object, label: str = CURRENT, version_id: str = A) -> Version:
    assert isinstance(value, dict)
    return Version(label=label, version_id=version_id, value=value)


def test_a_key_has_the_older_secret_first_whichever_label_it_has() -> None:
    current = version(api_key(secret=SECRETS[1]))
    for label, order in ((PENDING, [1, 0]), (PREVIOUS, [0, 1])):
        key = followed_key([current, version(api_key(secret=SECRETS[0]), label, B)], "secret x")
        assert [secret.hex() for secret in key.secrets] == [SECRETS[number] for number in order]
    same = followed_key([current, version(api_key(secret=SECRETS[1]), PREVIOUS, B)], "secret x")
    assert len(same.secrets) == 1


@pytest.mark.parametrize("change", [{"key_id": "other"}, {"number": 7}])
def test_another_version_of_a_key_is_of_the_same_key(change: dict[str, object]) -> None:
    with pytest.raises(SecretMalformed, match="the same in every version") as caught:
        followed_key([version(api_key()), version({**api_key(), **change}, PENDING, B)], "secret x")
    assert caught.value.detail == "secret x, AWSPENDING version-b"


def test_what_a_key_may_do_is_said_by_the_current_version_alone() -> None:
    pending = version(api_key(secret=SECRETS[1], permissions=["admin"], account=9), PENDING, B)
    key = followed_key([version(api_key(permissions=["read"])), pending], "secret x")
    assert (key.permissions, key.account) == (4, 1)


def test_a_key_id_in_which_a_secret_stands_by_mistake_is_not_repeated() -> None:
    with pytest.raises(SecretMalformed) as caught:
        followed_key([version(api_key(SECRETS[3]))], "secret x")
    assert SECRETS[3] not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "options", "url"),
    [
        (database("a", "b"), "", "postgresql://a:b@127.0.0.1:5432/ironbook"),
        (database("a b", "c%"), "sslmode=require", "postgresql://a%20b:c%25@127.0.0.1:5432/ironbook?sslmode=require"),
        (database("a", "b", host="::1", port="6543"), "", "postgresql://a:b@[::1]:6543/ironbook"),
    ],
)
def test_an_address_of_a_database_has_its_parts_escaped(value: object, options: str, url: str) -> None:
    wanted = FileWanted(secret="x", name="x", options=options)
    assert secret_files("database", [version(value)], wanted, "").contents == {"x.database-url": f"{url}\n".encode()}


def test_a_login_to_kafka_says_how_to_encrypt_where_the_settings_do() -> None:
    value = version({"username": "a", "password": "b"})
    plain = secret_files("kafka", [value], FileWanted(secret="x", name="x"), "").contents["x.kafka-login.json"]
    assert json.loads(plain) == {"username": "a", "password": "b", "mechanism": "SCRAM-SHA-512"}
    wanted = FileWanted(secret="x", name="x", tls=True, ca_file="/ca.pem")
    login = json.loads(secret_files("kafka", [value], wanted, "").contents["x.kafka-login.json"])
    assert (login["tls"], login["ca_file"]) == (True, "/ca.pem")


def test_every_kind_writes_its_files() -> None:
    values = {
        "api_key": (api_key(), {"web.key"}),
        "database": (database(), {"web.database-url"}),
        "kafka": ({"username": "a", "password": "b"}, {"web.kafka-login.json"}),
        "tls": (tls(), {"web.crt", "web.pem"}),
        "cookie": ({"secret": SECRETS[0]}, {"cookie-secret"}),
    }
    for kind, (value, names) in values.items():
        made = secret_files(kind, [version(value)], FileWanted(secret="x", name="web"), "")
        assert made.contents.keys() == names
        assert SECRETS[0] not in repr(made)
