"""What is no secret of its kind is refused before anybody is asked anything; what was wrong is never repeated."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from functions.common.errors import SecretInvalid
from functions.rotation.kinds import Kind
from functions.rotation.kinds.api_key import ApiKey
from functions.rotation.kinds.cookie import Cookie
from functions.rotation.kinds.database import Database
from functions.rotation.kinds.kafka import Kafka
from functions.rotation.kinds.tls import Tls

KEY = {"key_id": "desk-1", "secret": "ab" * 32, "number": 1, "permissions": ["trade"], "account": 1, "networks": []}
LOGIN = {"host": "127.0.0.1", "port": 5432, "dbname": "x", "username": "x_a", "password": "p", "users": ["x_a", "x_b"],
         "role": "ironbook_reader"}  # fmt: skip
SCRAM = {"username": "x_a", "password": "p", "mechanism": "SCRAM-SHA-512", "users": ["x_a", "x_b"],
         "principal": "analytics"}  # fmt: skip


CERTIFICATE = {"certificate": "", "private_key": "", "names": ["a"], "days": 90}
NOBODY: Any = None  # checking asks no adapter
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        ApiKey(secrets.token_bytes, None, None),
        Cookie(secrets.token_bytes),
        Database(secrets.token_bytes, NOBODY),
        Kafka(secrets.token_bytes, NOBODY),
        Tls(NOBODY, NOBODY, NOBODY),
    )
}


@pytest.mark.parametrize(
    ("kind", "wrong", "what"),
    [
        ("api_key", KEY | {"secret": "ab" * 31}, "secret must be 64 hexadecimal digits"),
        ("api_key", KEY | {"secret": "zz" * 32}, "secret must be 64 hexadecimal digits"),
        ("api_key", KEY | {"key_id": "no blanks"}, "key_id must be 1 to 16"),
        ("api_key", KEY | {"permissions": ["ab" * 31]}, "permissions must be of trade"),
        ("api_key", KEY | {"permissions": 7}, "must be a list of names"),
        ("api_key", KEY | {"networks": ["10.0.0.0/99"]}, "permissions must be of trade"),
        ("cookie", {}, "secret must be 64 hexadecimal digits"),
        ("cookie", {"secret": None}, "secret must be 64 hexadecimal digits"),
        ("database", LOGIN | {"users": ["x_a"]}, "users must be two different names"),
        ("database", LOGIN | {"users": ["x_a", "x_a"]}, "users must be two different names"),
        ("database", LOGIN | {"username": "c"}, "users must be two different names"),
        ("database", LOGIN | {"users": ["x_a", ["x_b"]]}, "users must be two different names"),
        ("database", LOGIN | {"users": ["x_a", 'b"; DROP ROLE a; --']}, "must be called <name>_a and"),
        ("database", LOGIN | {"username": 'x"_a', "users": ['x"_a', 'x"_b']}, "users and role must be of a-z 0-9 _"),
        ("database", LOGIN | {"role": "pg_write_all_data"}, "the role must be one of Ironbook's"),
        ("database", LOGIN | {"role": 'x" SUPERUSER'}, "users and role must be of a-z 0-9 _"),
        ("database", LOGIN | {"port": "5432"}, "port must be a number"),
        ("database", {key: value for key, value in LOGIN.items() if key != "password"}, "password must be a text"),
        ("kafka", SCRAM | {"mechanism": "PLAIN"}, "mechanism must be one of"),
        ("kafka", SCRAM | {"users": ["one", "two"], "username": "one"}, "must be called <name>_a and"),
        ("tls", {"certificate": "x", "private_key": "y", "names": ["a"], "days": 90}, "certificate must be PEM"),
        ("tls", {"certificate": "", "private_key": "", "names": [], "days": 90}, "names must be a list"),
        ("tls", {"certificate": "", "private_key": "", "names": ["a"], "days": 4000}, "days must be a number"),
    ],
)
def test_a_value_that_is_none_of_its_kind_is_refused(kind: str, wrong: dict[str, Any], what: str):
    with pytest.raises(SecretInvalid, match=what) as error:
        KINDS[kind].check(wrong, "secret s")
    assert "secret s" in str(error.value)
    assert not any(part in str(error.value) for part in ("ab" * 31, "zz" * 32, "DROP ROLE", "SUPERUSER"))


GOOD = {"api_key": KEY, "cookie": {"secret": "ab" * 32}, "database": LOGIN, "kafka": SCRAM, "tls": CERTIFICATE}


@pytest.mark.parametrize("kind", GOOD)
def test_a_value_without_any_one_of_its_fields_is_refused_or_means_the_same(kind: str):
    KINDS[kind].check(GOOD[kind], "secret s")
    for field in GOOD[kind]:
        lacking = {name: value for name, value in GOOD[kind].items() if name != field}
        for value in (lacking, {**lacking, field: None}, {**lacking, field: {}}):
            try:
                KINDS[kind].check(value, "secret s")
            except SecretInvalid:
                continue
            assert kind == "api_key"  # what a key may do is the key file's; only its secret changes here
            assert field in ("number", "account", "permissions", "networks")


@pytest.mark.parametrize("kind", ["api_key", "cookie", "database", "kafka"])
def test_a_new_value_has_256_new_bits_and_nothing_else_changed(kind: str):
    old = GOOD[kind]
    made = [KINDS[kind].fresh(old) for _ in range(100)]
    field = "password" if "password" in old else "secret"
    assert len({value[field] for value in made} | {old[field]}) == 101
    assert all(len(bytes.fromhex(value[field])) == 32 for value in made)
    for value in made:
        KINDS[kind].check(value, "secret s")
        KINDS[kind].pair(value, old, "secret s")
        changed = {name for name in old if value[name] != old[name]}
        assert changed <= {field, "username"}
        assert KINDS[kind].fingerprint(value) != KINDS[kind].fingerprint(old)
        assert KINDS[kind].holder(value) == KINDS[kind].holder(old) or "users" in old
    assert value.keys() == old.keys()


def test_two_users_that_alternate_are_one_holder():
    users = {"users": ["gateway_a", "gateway_b"]}
    names = {KINDS["database"].holder(LOGIN | users | {"username": name}) for name in users["users"]}
    assert names == {"database/gateway"}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("api_key", {"permissions": ["trade", "admin"]}),
        ("api_key", {"key_id": "desk-2"}),
        ("api_key", {"networks": ["0.0.0.0/0"]}),
        ("database", {}),
        ("database", {"username": "x_b", "role": "ironbook_owner"}),
        ("database", {"username": "x_b", "host": "elsewhere"}),
        ("kafka", {}),
        ("kafka", {"username": "x_b", "principal": "operator"}),
    ],
)
def test_a_new_value_that_changes_more_than_the_secret_is_refused(kind: str, change: dict[str, Any]):
    with pytest.raises(SecretInvalid, match="must"):
        KINDS[kind].pair(GOOD[kind] | change, GOOD[kind], "secret s")
