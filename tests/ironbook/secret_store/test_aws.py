"""Secrets Manager as the follower sees it: pages, labels, tags; and who may not read, with a role that may not."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ironbook.secret_store.aws import SecretsManager
from ironbook.secret_store.errors import SecretDenied, SecretMalformed, StoreUnreachable
from tests.ironbook.secret_store.installation import (
    ENVIRONMENT,
    SECRETS,
    Secrets,
    api_key,
    database,
    follower,
    settings,
    wanted_keys,
)
from tests.support.aws import REGION, Aws


@pytest.fixture
def secrets(aws: Aws) -> Secrets:
    return Secrets(aws.client("secretsmanager"))


@contextlib.contextmanager
def rights_are_checked(aws: Aws) -> Iterator[None]:
    """From now on the server asks for each call whether the role allows it."""

    def begin_after(count: str) -> None:
        plain = {"Content-Type": "text/plain"}
        address = f"{aws.url}/moto-api/reset-auth"
        request = urllib.request.Request(address, method="POST", data=count.encode(), headers=plain)
        urllib.request.urlopen(request, timeout=10).close()

    begin_after("0")
    try:
        yield
    finally:
        begin_after("inf")


def be_somebody_who_may(aws: Aws, monkeypatch: pytest.MonkeyPatch, *allowed: tuple[str, str]) -> None:
    """Log on as a user with these rights: pairs of action and resource."""
    iam = aws.client("iam")
    iam.create_user(UserName="follower")
    statements = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in allowed]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName="follower", PolicyName="follower", PolicyDocument=document)
    key = iam.create_access_key(UserName="follower")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])


def test_all_pages_are_read_and_only_of_the_environment(secrets: Secrets) -> None:
    for number in range(103):
        secrets.make(f"cookie-{number}", "cookie", {"secret": SECRETS[0]})
    secrets.make("other", "cookie", {"secret": SECRETS[0]}, environment=f"{ENVIRONMENT}-too")
    listed = SecretsManager(REGION).list(ENVIRONMENT)
    assert {one.name for one in listed} == {f"{ENVIRONMENT}/cookie-{number}" for number in range(103)}
    assert {one.kind for one in listed} == {"cookie"}
    assert all([*one.stages.values()] == [frozenset({"AWSCURRENT"})] for one in listed)


def test_a_secret_is_described_and_valued_by_version_and_one_that_is_gone_is_nothing(secrets: Secrets) -> None:
    arn = secrets.make("cookie", "cookie", {"secret": SECRETS[0]})
    store = SecretsManager(REGION)
    (first,) = secrets.stages("cookie")
    second = secrets.put("cookie", "[]", ["AWSPENDING"])
    described = store.describe(arn)
    assert described is not None
    assert described.stages == {first: {"AWSCURRENT"}, second: {"AWSPENDING"}}
    assert store.value(arn, first) == {"secret": SECRETS[0]}
    with pytest.raises(SecretMalformed, match="JSON object"):
        store.value(arn, second)
    assert store.value(arn, "0" * 32) is None
    secrets.client.delete_secret(SecretId=arn, RecoveryWindowInDays=7)
    scheduled = store.describe(arn)
    assert scheduled is not None
    assert scheduled.deleted
    secrets.client.restore_secret(SecretId=arn)
    secrets.client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    assert store.describe(arn) is None


def test_secrets_that_may_not_be_read_change_no_file(
    aws: Aws, secrets: Secrets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    secrets.make("database/gateway", "database", database())
    wanted = settings(tmp_path, {"gateway": "database/gateway"}, keys=wanted_keys(tmp_path))
    assert follower(SecretsManager(REGION), wanted).look().complete
    before = {name: (tmp_path / name).read_bytes() for name in ("gateway.database-url", "keys.ironbook")}
    secrets.put("database/gateway", database("gateway_b"))
    secrets.put("api_key/desk-1", api_key(secret=SECRETS[1]), ["AWSPENDING"])
    be_somebody_who_may(aws, monkeypatch, ("secretsmanager:ListSecrets", "*"), ("secretsmanager:DescribeSecret", "*"))
    with rights_are_checked(aws):
        look = follower(SecretsManager(REGION), wanted).look()
    assert {name: type(error) for name, error in look.problems.items()} == {
        f"{ENVIRONMENT}/api_key/desk-1": SecretDenied,
        f"{ENVIRONMENT}/database/gateway": SecretDenied,
    }
    assert "GetSecretValue" in str(look.problems[f"{ENVIRONMENT}/database/gateway"])
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert (look.changed, look.complete) == ([], True), "what an earlier life brought is still there"


def test_who_may_not_even_list_changes_nothing(
    aws: Aws, secrets: Secrets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets.make("api_key/desk-1", "api_key", api_key())
    wanted = settings(tmp_path, keys=wanted_keys(tmp_path, revoke_deleted=True))
    follower(SecretsManager(REGION), wanted).look()
    keys = (tmp_path / "keys.ironbook").read_bytes()
    be_somebody_who_may(aws, monkeypatch, ("s3:GetObject", "*"))
    with rights_are_checked(aws):
        look = follower(SecretsManager(REGION), wanted).look()
    assert isinstance(look.problems["secrets manager"], SecretDenied)
    assert (tmp_path / "keys.ironbook").read_bytes() == keys


def test_no_region_and_no_server_are_told(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreUnreachable, match="must answer"):
        SecretsManager(REGION).list(ENVIRONMENT)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(StoreUnreachable, match="AWS_REGION"):
        SecretsManager()
