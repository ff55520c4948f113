"""Where an archive lies: a bucket of S3, or a directory with a copy of one.

    store = open_store("s3://firm-archive/")            store = open_store("/backup/firm-archive")
    found = store.get("journal/00000/manifest.json")    # its bytes and its tag
    store.put(key, data, None)                          # only where nothing is; the tag, or None: something is there
    store.put(key, data, found.tag)                     # only over what was read

Writing is by condition only: nothing here replaces what it has not seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from ironbook._errors import DependencyMissing, InputInvalid, ServiceFailed

__all__ = ["DirectoryStore", "Found", "S3Store", "Store", "open_store"]

SCHEME: Final = "s3://"
NOT_THERE: Final = ("NoSuchKey", "404", "NotFound")
CONDITION_FAILED: Final = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
TYPES: Final = {".json": "application/json", ".gz": "application/gzip", ".parquet": "application/vnd.apache.parquet"}
LOCK: Final = ".lock"


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """An object and the tag by which it may be replaced."""

    data: bytes
    tag: str


class Store(Protocol):
    """Objects by key. Every method raises ServiceFailed for what the store refuses or does not answer."""

    @property
    def place(self) -> str:
        """What to call it in errors; ends with a slash."""

    def get(self, key: str) -> Found | None:
        """An object; None: there is none."""

    def size(self, key: str) -> int | None:
        """Bytes of an object, without reading it; None: there is none."""

    def put(self, key: str, data: bytes, tag: str | None, *, lock_days: int = 0) -> str | None:
        """Write where nothing is (tag None), or over what has that tag. The new tag; None: it is otherwise.

        lock_days  0: locked as the bucket says; else for so many days only, where the bucket locks for years.
        """

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Keys with that prefix, rising, behind `after`."""


class S3Store:
    """A bucket, or what lies below a prefix in it."""

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix

    @property
    def place(self) -> str:
        return f"{SCHEME}{self._bucket}/{self._prefix}"

    def get(self, key: str) -> Found | None:
        """See Store."""
        with _told("an object must be readable", self.place + key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            return Found(answer["Body"].read(), str(answer["ETag"]))
        return None

    def size(self, key: str) -> int | None:
        """See Store."""
        with _told("an object must tell its size", self.place + key):
            return int(self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)["ContentLength"])
        return None

    def put(self, key: str, data: bytes, tag: str | None, *, lock_days: int = 0) -> str | None:
        """See Store."""
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        if lock_days:
            until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=lock_days)
            condition |= {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
        digest = b64encode(hashlib.sha256(data).digest()).decode()
        with _told("an object must be written", self.place + key):
            answer = self._client.put_object(
                Bucket=self._bucket, Key=self._prefix + key, Body=data,
                ChecksumAlgorithm="SHA256", ChecksumSHA256=digest,
                ContentType=TYPES.get(Path(key).suffix, "application/octet-stream"), **condition,
            )  # fmt: skip
            return str(answer["ETag"])
        return None

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """See Store."""
        start = {"StartAfter": self._prefix + after} if after else {}
        with _told("a bucket must be listed", self.place + prefix):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix, **start):
                for entry in page.get("Contents", ()):
                    yield str(entry["Key"]).removeprefix(self._prefix)


@contextlib.contextmanager
def _told(what: str, where: str) -> Iterator[None]:
    """What boto3 raises within becomes ServiceFailed; that nothing is there, or something else is, ends the block."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code not in NOT_THERE + CONDITION_FAILED:
            text = error.response.get("Error", {}).get("Message", "")
            raise ServiceFailed(f"{what}, S3 said {code}: {text}"[:1000], detail=where, hint=_HINT) from error
    except BotoCoreError as error:
        raise ServiceFailed(f"{what}: {error}"[:1000], detail=where, hint=_HINT) from error


_HINT = "see who may do what there (iam.md of the function), and that the bucket's name is right"


class DirectoryStore:
    """A directory that holds what a bucket would."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def place(self) -> str:
        return f"{self._directory}/"

    def get(self, key: str) -> Found | None:
        """See Store."""
        try:
            data = (self._directory / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._failed("read", key, error) from None
        return Found(data, hashlib.sha256(data).hexdigest())

    def size(self, key: str) -> int | None:
        """See Store."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return (self._directory / key).stat().st_size
        return None

    def put(self, key: str, data: bytes, tag: str | None, *, lock_days: int = 0) -> str | None:
        """See Store."""
        path = self._directory / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with (self._directory / LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                found = self.get(key)
                if (None if found is None else found.tag) != tag:
                    return None
                beside = path.with_name(f".{path.name}.part")
                with beside.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                beside.rename(path)
        except OSError as error:
            raise self._failed("written", key, error) from None
        return hashlib.sha256(data).hexdigest()

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """See Store."""
        top = self._directory / prefix.rpartition("/")[0]
        found = (path.relative_to(self._directory).as_posix() for path in top.rglob("*") if path.is_file())
        yield from sorted(
            key for key in found if key.startswith(prefix) and key > after and not Path(key).name.startswith(".")
        )

    def _failed(self, done: str, key: str, error: OSError) -> ServiceFailed:
        return ServiceFailed(f"an object must be {done}: {error.strerror}", detail=self.place + key)


def open_store(url: str) -> Store:
    """s3://bucket/prefix, or a directory that is there. Raises InputInvalid, DependencyMissing."""
    if not url.startswith(SCHEME):
        directory = Path(url)
        if not directory.is_dir():
            raise InputInvalid(
                "an archive must be s3://bucket/prefix or a directory that is there, is neither",
                detail=url,
                hint="for example --archive s3://firm-archive/",
            )
        return DirectoryStore(directory)
    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise InputInvalid("an archive of S3 must name its bucket, does not", detail=url, hint="s3://bucket/prefix")
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise DependencyMissing(
            "boto3 must be installed to read S3, is not", hint="pip install 'ironbook[cloud]'"
        ) from error
    config = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=60)
    prefix = prefix + "/" if prefix and not prefix.endswith("/") else prefix
    return S3Store(boto3.client("s3", config=config), bucket, prefix)
