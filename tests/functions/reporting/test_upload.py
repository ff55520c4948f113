"""Files on their way to S3: in parts, checked, and all of them or none to be seen."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from functions.common.aws import Clients
from functions.common.errors import CloudFailed
from functions.reporting.upload import PART_BYTES, Outbox
from tests.support.aws import Aws

BYTES = bytes(range(256)) * (10 << 12)  # 10 MiB: a part and a bit


@pytest.fixture
def s3(aws: Aws) -> Any:
    client = aws.client("s3")
    client.create_bucket(Bucket="reports", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return client


def keys(s3: Any) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket="reports").get("Contents", [])]


def pending(s3: Any) -> int:
    return len(s3.list_multipart_uploads(Bucket="reports").get("Uploads", []))


def test_nothing_is_seen_before_all_is_complete(s3: Any) -> None:
    outbox = Outbox(Clients(), "reports")
    large, small = outbox.open("large", "text/csv"), outbox.open("small", "text/csv")
    assert len(BYTES) > PART_BYTES
    for at in range(0, len(BYTES), 1 << 20):
        large.write(BYTES[at : at + (1 << 20)])
    small.write(b"x")
    large.close()
    small.close()
    assert (keys(s3), pending(s3)) == ([], 2)
    outbox.commit()
    assert (keys(s3), pending(s3)) == (["large", "small"], 0)
    assert s3.get_object(Bucket="reports", Key="large")["Body"].read() == BYTES
    assert (large.sha256, large.byte_count) == (hashlib.sha256(BYTES).hexdigest(), len(BYTES))
    assert s3.head_object(Bucket="reports", Key="small")["ContentType"] == "text/csv"


def test_a_run_that_is_given_up_leaves_nothing(s3: Any) -> None:
    outbox = Outbox(Clients(), "reports")
    outbox.open("done", "text/csv").close()
    outbox.open("half", "text/csv").write(BYTES)
    assert outbox.abort() == []
    assert (keys(s3), pending(s3)) == ([], 0)
    assert outbox.abort() == [], "a second time there is nothing to do"


def test_what_is_complete_stays_when_the_rest_is_given_up(s3: Any) -> None:
    outbox = Outbox(Clients(), "reports")
    outbox.open("done", "text/csv").close()
    outbox.commit()
    outbox.abort()
    assert keys(s3) == ["done"]


def test_a_bucket_that_refuses_is_told_with_the_object(s3: Any) -> None:
    with pytest.raises(CloudFailed, match="an upload must begin") as refused:
        Outbox(Clients(), "not-ours").open("file", "text/csv")
    assert refused.value.detail == "s3://not-ours/file"
    assert refused.value.aws_code == "NoSuchBucket"


def test_an_upload_that_somebody_else_ended_is_no_report(s3: Any) -> None:
    outbox = Outbox(Clients(), "reports")
    upload = outbox.open("file", "text/csv")
    upload.write(b"x")
    upload.close()
    [found] = s3.list_multipart_uploads(Bucket="reports")["Uploads"]
    s3.abort_multipart_upload(Bucket="reports", Key="file", UploadId=found["UploadId"])
    with pytest.raises(CloudFailed, match="an upload must end"):
        outbox.commit()
    assert keys(s3) == []
