"""The calls that several functions make, against a server that stands in for AWS."""

from __future__ import annotations

import json

import pytest

from functions.common.aws import Clients, alert, get_object, put_object, read_secret, tell_failure
from functions.common.errors import CloudFailed, SecretInvalid
from functions.common.log import logger
from tests.support.aws import CREDENTIALS, Aws


@pytest.fixture
def clients(aws: Aws) -> Clients:
    aws.client("s3").create_bucket(Bucket="store", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return Clients()


def test_an_object_is_written_read_and_replaced_only_on_its_condition(clients: Clients) -> None:
    first = put_object(clients, "store", "head", b"one", if_none_match=True)
    assert first is not None
    assert put_object(clients, "store", "head", b"two", if_none_match=True) is None
    assert get_object(clients, "store", "head") == (b"one", first)
    second = put_object(clients, "store", "head", b"three", if_match=first)
    assert second not in (None, first)
    assert put_object(clients, "store", "head", b"four", if_match=first) is None
    assert get_object(clients, "store", "head") == (b"three", second)
    assert get_object(clients, "store", "nothing") is None


def test_what_aws_refuses_is_told_with_its_name_and_place(clients: Clients) -> None:
    with pytest.raises(CloudFailed, match="an object must be written, AWS said NoSuchBucket") as refused:
        put_object(clients, "none", "key", b"")
    assert (refused.value.aws_code, refused.value.detail) == ("NoSuchBucket", "s3://none/key")
    assert "may the role do it?" in refused.value.hint


def test_an_aws_that_does_not_answer_is_told_as_a_matter_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CloudFailed, match="a secret must be readable, AWS said EndpointConnectionError") as away:
        read_secret(Clients(), "kafka")
    assert "does the network lead there?" in away.value.hint


def test_a_secret_is_an_object_and_no_error_shows_it(aws: Aws, clients: Clients) -> None:
    store = aws.client("secretsmanager")
    store.create_secret(Name="good", SecretString=json.dumps({"secret": "s3cret"}))
    store.create_secret(Name="bad", SecretString="s3cret")
    assert read_secret(clients, "good") == {"secret": "s3cret"}
    with pytest.raises(SecretInvalid, match="must be a JSON object") as wrong:
        read_secret(clients, "bad")
    assert "s3cret" not in str(wrong.value)
    with pytest.raises(SecretInvalid, match="must have such a version"):
        read_secret(clients, "good", stage="AWSPENDING")
    with pytest.raises(SecretInvalid, match="must have such a version"):
        read_secret(clients, "none")


def test_an_alert_has_a_plain_subject_and_goes_nowhere_without_a_topic(aws: Aws, clients: Clients) -> None:
    topic = aws.topic()
    alert(clients, "", "nobody", "hears this")
    alert(clients, topic.arn, "käse\n" + "x" * 200, "the text")
    [told] = topic.told()
    assert told["Message"] == "the text"
    assert told["Subject"].startswith("k?se x")
    assert len(told["Subject"]) == 100


def test_a_failure_is_told_whatever_it_is_and_hidden_by_nothing(
    aws: Aws, clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    topic, log = aws.topic(), logger("test")
    tell_failure(clients, topic.arn, log, "archiver", SecretInvalid("a secret must be there", detail="secret a"))
    tell_failure(clients, topic.arn, log, "archiver", RuntimeError("the password is hunter2"))
    tell_failure(clients, topic.arn + "-gone", log, "archiver", RuntimeError("the password is hunter2"))
    assert sorted((said["Subject"], said["Message"]) for said in topic.told()) == [
        ("Ironbook archiver: secret", "a secret must be there; secret a"),
        ("Ironbook archiver: unexpected", "RuntimeError; see the function's log"),
    ]
    said = capsys.readouterr().out
    assert said.count('"message":"failed"') == 3
    assert said.count("alert_failed") == 1
    assert "hunter2" not in said
