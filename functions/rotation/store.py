"""Secrets Manager, as rotation uses it. Each call may be made again after it was made and nobody heard the answer."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Mapping
from typing import Any

from functions.common.aws import Clients, told
from functions.common.errors import CloudFailed, SecretInvalid
from functions.rotation.steps import CURRENT, PENDING, PREVIOUS

__all__ = ["Found", "Store", "Version"]

KIND_TAG, ENVIRONMENT_TAG = "ironbook:kind", "ironbook:environment"
HOLDERS_TAG, USERS_TAG = "ironbook:holders", "ironbook:users"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A secret without its values."""

    arn: str
    name: str
    tags: Mapping[str, str]
    versions: Mapping[str, tuple[str, ...]]
    changed_ns: int
    deleted: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version with its value, which is in no repr."""

    version_id: str
    value: Mapping[str, Any] = dataclasses.field(repr=False)
    made_ns: int


class Store:
    """The secrets of one environment."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def _api(self) -> Any:
        return self._clients.get("secretsmanager")

    def describe(self, secret_id: str) -> Found:
        """Raises SecretInvalid, CloudFailed."""
        try:
            with told("a secret must be there", f"secret {secret_id}"):
                return _found(self._api().describe_secret(SecretId=secret_id), "VersionIdsToStages")
        except CloudFailed as error:
            if error.aws_code == "ResourceNotFoundException":
                raise SecretInvalid(
                    "a secret must be there to rotate, is not", detail=f"secret {secret_id}", hint="correct the ARN"
                ) from error
            raise

    def list(self, environment: str) -> list[Found]:
        """All secrets of the environment that say which kind they are."""
        found: list[Found] = []
        more: dict[str, str] = {}
        while True:
            with told("secrets must be listed", f"environment {environment}"):
                answer = self._api().list_secrets(
                    Filters=[{"Key": "tag-key", "Values": [KIND_TAG]}], MaxResults=100, **more
                )
            found += [_found(one, "SecretVersionsToStages") for one in answer["SecretList"]]
            if not answer.get("NextToken"):
                break
            more = {"NextToken": answer["NextToken"]}
        ours = [one for one in found if one.tags.get(ENVIRONMENT_TAG) == environment and not one.deleted]
        return sorted((one for one in ours if KIND_TAG in one.tags), key=lambda one: one.name)

    def read(self, secret: Found, version_id: str, *, strict: bool = True) -> Version | None:
        """A version; None if it has no value yet. Raises SecretInvalid where that is no JSON object.

        strict  off: what is no JSON object is as good as none
        """
        where = f"secret {secret.name}, version {version_id}"
        try:
            with told("a secret must be readable", where):
                answer = self._api().get_secret_value(SecretId=secret.arn, VersionId=version_id)
        except CloudFailed as error:
            if error.aws_code == "ResourceNotFoundException":
                return None
            raise
        try:
            value = json.loads(answer.get("SecretString") or "")
        except ValueError:
            value = None
        if not isinstance(value, dict):
            if not strict:
                return None
            raise SecretInvalid(
                "a secret must be a JSON object, is not", detail=where, hint="put a value that is; the others stay"
            )
        return Version(version_id=version_id, value=value, made_ns=int(answer["CreatedDate"].timestamp() * 10**9))

    def put_pending(self, secret: Found, version_id: str, value: Mapping[str, Any]) -> str:
        """Give the version its value and PENDING; its id. A value that somebody else was quicker to put stays."""
        token = version_id or str(uuid.uuid4())
        try:
            with told("a new version must be stored", f"secret {secret.name}, version {token}"):
                self._api().put_secret_value(
                    SecretId=secret.arn,
                    ClientRequestToken=token,
                    SecretString=json.dumps(value),
                    VersionStages=[PENDING],
                )
        except CloudFailed as error:
            if error.aws_code != "ResourceExistsException":
                raise
        return token

    def make_current(self, secret: Found, version_id: str, was: str) -> None:
        """Move CURRENT, if it is still where it was; AWS moves PREVIOUS behind it."""
        with told("the new version must become current", f"secret {secret.name}, version {version_id}"):
            self._api().update_secret_version_stage(
                SecretId=secret.arn, VersionStage=CURRENT, MoveToVersionId=version_id, RemoveFromVersionId=was
            )

    def take_label(self, secret: Found, label: str, version_id: str) -> None:
        """A version has this label no more. One that lost it meanwhile is as good."""
        try:
            with told(f"{label} must be taken away", f"secret {secret.name}, version {version_id}"):
                self._api().update_secret_version_stage(
                    SecretId=secret.arn, VersionStage=label, RemoveFromVersionId=version_id
                )
        except CloudFailed:
            if label in self.describe(secret.arn).versions.get(version_id, ()):
                raise

    def end_previous(self, secret: Found, version_id: str) -> None:
        """The old version is gone for those who follow labels."""
        self.take_label(secret, PREVIOUS, version_id)


def _found(answer: Mapping[str, Any], versions: str) -> Found:
    changed = answer.get("LastChangedDate") or answer.get("CreatedDate")
    return Found(
        arn=answer["ARN"],
        name=answer["Name"],
        tags={tag["Key"]: tag["Value"] for tag in answer.get("Tags") or []},
        versions={version: tuple(labels) for version, labels in (answer.get(versions) or {}).items()},
        changed_ns=int(changed.timestamp() * 10**9) if changed is not None else 0,
        deleted=answer.get("DeletedDate") is not None,
    )
