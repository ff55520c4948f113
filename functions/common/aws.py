"""AWS as the functions use it: bounded clients, and the few calls that several functions make.

Where the endpoint is, botocore finds out by itself (AWS_ENDPOINT_URL for a server that stands in for AWS).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Final

import boto3
from aws_lambda_powertools import Logger
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from functions.common.errors import CloudFailed, SecretInvalid
from ironbook import IronbookError

__all__ = [
    "Clients",
    "aws_code",
    "alert",
    "get_object",
    "put_object",
    "read_secret",
    "tell_alert",
    "tell_failure",
    "told",
]

CONFIG: Final = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=3, read_timeout=30)
SUBJECT_CHARACTERS_MAX: Final = 100  # of SNS
MESSAGE_BYTES_MAX: Final = 200_000  # SNS takes 256 KiB
REFUSED_HINT: Final = "is the name right, and may the role do it? (iam.md of the function)"
AWAY_HINT: Final = "is AWS_REGION (or AWS_ENDPOINT_URL) right, and does the network lead there? then run it again"
PRECONDITION_FAILED: Final = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


class Clients:
    """Clients of boto3, each made when it is first asked for and kept as long as the process."""

    def __init__(self, region: str | None = None) -> None:
        self._session = boto3.session.Session(region_name=region)
        self._made: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """A client by boto3's name of the service, such as "s3"."""
        if name not in self._made:
            self._made[name] = self._session.client(name, config=CONFIG)
        return self._made[name]


def aws_code(error: ClientError | BotoCoreError) -> str:
    """AWS's own name of an error, such as AccessDeniedException."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__


@contextlib.contextmanager
def told(what: str, where: str, hint: str = "") -> Iterator[None]:
    """What boto3 raises within becomes CloudFailed. what: the call, as in "an object must be written"; hint: the cure
    that is likely, where it is another than for most calls."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        code = aws_code(error)
        text = error.response["Error"].get("Message", "") if isinstance(error, ClientError) else str(error)
        cure = hint or (REFUSED_HINT if isinstance(error, ClientError) else AWAY_HINT)
        raise CloudFailed(f"{what}, AWS said {code}: {text}"[:1000], aws_code=code, detail=where, hint=cure) from error


def read_secret(
    clients: Clients, secret_id: str, *, stage: str = "AWSCURRENT", version: str | None = None
) -> dict[str, Any]:
    """A secret's value, which must be a JSON object. Raises SecretInvalid, CloudFailed; neither says the value."""
    which = {"VersionId": version} if version else {"VersionStage": stage}
    try:
        with told("a secret must be readable", f"secret {secret_id}, {version or stage}"):
            answer = clients.get("secretsmanager").get_secret_value(SecretId=secret_id, **which)
    except CloudFailed as error:
        if error.aws_code == "ResourceNotFoundException":
            raise SecretInvalid(
                "a secret must have such a version, has none",
                detail=f"secret {secret_id}, {version or stage}",
                hint="put its first value, or correct the ARN",
            ) from error
        raise
    try:
        value = json.loads(answer.get("SecretString") or "")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise SecretInvalid(
            "a secret must be a JSON object, is not", detail=f"secret {secret_id}, version {answer['VersionId']}"
        )
    return value


def put_object(
    clients: Clients,
    bucket: str,
    key: str,
    body: bytes,
    *,
    content_type: str = "application/octet-stream",
    if_none_match: bool = False,
    if_match: str | None = None,
) -> str | None:
    """Write an object; S3 checks its SHA-256. Returns its ETag, or None where the condition did not hold.

    if_none_match  only where there is none yet
    if_match       only over the one of this ETag
    """
    wanted: dict[str, str] = {"IfNoneMatch": "*"} if if_none_match else {"IfMatch": if_match} if if_match else {}
    digest = b64encode(hashlib.sha256(body).digest()).decode()
    try:
        with told("an object must be written", f"s3://{bucket}/{key}"):
            answer = clients.get("s3").put_object(
                Bucket=bucket, Key=key, Body=body, ContentType=content_type, ChecksumSHA256=digest, **wanted
            )
    except CloudFailed as error:
        if wanted and error.aws_code in PRECONDITION_FAILED:
            return None
        raise
    return str(answer["ETag"])


def get_object(clients: Clients, bucket: str, key: str) -> tuple[bytes, str] | None:
    """An object that is known to be small: its bytes and ETag; None where there is none."""
    try:
        with told("an object must be readable", f"s3://{bucket}/{key}"):
            answer = clients.get("s3").get_object(Bucket=bucket, Key=key)
            return answer["Body"].read(), str(answer["ETag"])
    except CloudFailed as error:
        if error.aws_code in ("NoSuchKey", "404"):
            return None
        raise


def alert(clients: Clients, topic_arn: str, subject: str, text: str) -> None:
    """Tell people, by an SNS topic; nothing where none is set. Raises CloudFailed."""
    if not topic_arn:
        return
    plain = " ".join(subject.encode("ascii", "replace").decode().split())[:SUBJECT_CHARACTERS_MAX]
    message = text.encode()[:MESSAGE_BYTES_MAX].decode(errors="ignore")
    with told("an alert must be published", topic_arn):
        clients.get("sns").publish(TopicArn=topic_arn, Subject=plain, Message=message)


def tell_alert(clients: Clients, topic_arn: str, log: Logger, subject: str, text: str) -> None:
    """The same; where it cannot be published the log says so. Raises nothing: it must not hide what it tells of."""
    try:
        alert(clients, topic_arn, subject, text)
    except CloudFailed as failure:
        log.error("alert_failed", failure=failure.to_json())


def tell_failure(
    clients: Clients, topic_arn: str, log: Logger, subject: str, error: Exception, *, more: str = ""
) -> None:
    """A failure in the log and to people, whatever it is. Raises nothing, for the caller raises the failure itself.

    An error that is not ours may hold anything, so only its name is told.

    subject  of what: the function's name
    more     what else people must know
    """
    code, text = "unexpected", f"{type(error).__name__}; see the function's log"
    said: dict[str, str | int] = {"error": code, "message": type(error).__name__}
    if isinstance(error, IronbookError):
        code, text, said = error.code, str(error), error.to_json()
    log.error("failed", failure=said)
    tell_alert(clients, topic_arn, log, f"Ironbook {subject}: {code}", f"{text}\n\n{more}" if more else text)
