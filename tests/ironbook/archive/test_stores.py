"""Where an archive lies: the same by S3 and in a directory; nothing is replaced that was not read."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from ironbook import InputInvalid, ServiceFailed
from ironbook.archive.stores import DirectoryStore, S3Store, Store, open_store
from tests.support.aws import Aws


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "directory":
        return open_store(str(tmp_path))
    aws: Aws = request.getfixturevalue("aws")
    aws.client("s3").create_bucket(
        Bucket="firm", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}, ObjectLockEnabledForBucket=True
    )
    return open_store("s3://firm/below/this")


def test_an_object_is_written_once_and_replaced_only_over_what_was_read(store: Store) -> None:
    assert store.get("a/b.json") is None
    assert store.size("a/b.json") is None
    first = store.put("a/b.json", b"one", None)
    assert first is not None
    assert store.put("a/b.json", b"two", None) is None
    assert store.put("a/b.json", b"two", "another") is None
    found = store.get("a/b.json")
    assert found is not None
    assert (found.data, store.size("a/b.json")) == (b"one", 3)
    second = store.put("a/b.json", b"three", found.tag)
    assert second is not None
    assert store.put("a/b.json", b"four", found.tag) is None, "it was replaced since"
    assert store.place.endswith("/")


def test_keys_come_in_order_and_from_a_place_on(store: Store) -> None:
    for key in ("x/2", "x/10", "x/1", "y/1", "x/sub/3"):
        store.put(key, b"", None)
    assert list(store.keys("x/")) == ["x/1", "x/10", "x/2", "x/sub/3"]
    assert list(store.keys("x/", "x/10")) == ["x/2", "x/sub/3"]
    assert list(store.keys("z/")) == []


def test_a_lock_of_some_days_is_what_s3_is_told(aws: Aws) -> None:
    client = aws.client("s3")
    client.create_bucket(
        Bucket="firm", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}, ObjectLockEnabledForBucket=True
    )
    S3Store(client, "firm").put("snapshots/00000/x.snap", b"state", None, lock_days=2)
    kept = client.head_object(Bucket="firm", Key="snapshots/00000/x.snap")
    left = kept["ObjectLockRetainUntilDate"] - datetime.datetime.now(datetime.UTC)
    assert kept["ObjectLockMode"] == "GOVERNANCE"
    assert datetime.timedelta(days=1) < left <= datetime.timedelta(days=2)


def test_what_cannot_be_reached_is_said_with_its_place(aws: Aws, tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed, match="must be readable, S3 said NoSuchBucket") as refused:
        open_store("s3://nowhere/").get("key")
    assert refused.value.detail == "s3://nowhere/key"
    with pytest.raises(ServiceFailed, match="a bucket must be listed"):
        list(open_store("s3://nowhere").keys("x/"))
    for wrong in (str(tmp_path / "none"), "s3://", "gs://bucket"):
        with pytest.raises(InputInvalid):
            open_store(wrong)
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceFailed, match="an object must be written"):
        DirectoryStore(tmp_path).put("file/below", b"", None)
