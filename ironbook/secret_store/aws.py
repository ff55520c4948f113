"""Secrets Manager, as a follower sees it: what is there with which labels, and the value of one version.

A list may be some minutes old, by Amazon's own word; what is asked of one secret alone is not. So a list only says
where something may have changed, and `describe` says what. boto3 comes with ironbook[cloud], imported when needed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from ironbook._errors import DependencyMissing
from ironbook.secret_store.errors import (
    SecretDenied,
    SecretMalformed,
    SecretMissing,
    SecretStoreError,
    StoreUnreachable,
)

__all__ = ["Listed", "SecretsManager", "Store"]

PAGE_COUNT_MAX: Final = 50
PAGE_SECRETS: Final = 100
VALUE_BYTES_MAX: Final = 65_536  # of Secrets Manager
TAG_KIND: Final = "ironbook:kind"
TAG_ENVIRONMENT: Final = "ironbook:environment"
DENIED: Final = frozenset(
    {"AccessDeniedException", "AccessDenied", "DecryptionFailure", "KMSAccessDeniedException", "NotAuthorized", "403"}
)
LACKING: Final = frozenset({"ResourceNotFoundException"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A secret without its values."""

    arn: str
    name: str
    kind: str  # its tag ironbook:kind
    environment: str  # its tag ironbook:environment
    stages: Mapping[str, frozenset[str]]  # labels by version id
    deleted: bool = False  # to be deleted


class Store(Protocol):
    """Where secrets come from. All of these may block."""

    def list(self, environment: str) -> list[Listed]:
        """The secrets of an environment, also those to be deleted. Raises StoreUnreachable, SecretDenied."""

    def describe(self, arn: str) -> Listed | None:
        """One of them as it is now; None: it is gone. Raises StoreUnreachable, SecretDenied."""

    def value(self, arn: str, version_id: str) -> dict[str, Any] | None:
        """A version's value; None: it has none yet. Raises StoreUnreachable, SecretDenied, SecretMalformed."""


class SecretsManager:
    """The real one; its endpoint is where botocore finds it (AWS_ENDPOINT_URL for a server that stands in)."""

    def __init__(self, region: str = "") -> None:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ModuleNotFoundError as error:
            raise DependencyMissing(
                f"following secrets needs the package {error.name}", hint="pip install 'ironbook[cloud]'"
            ) from None
        self._failures = (BotoCoreError, ClientError)
        config = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=3, read_timeout=5)
        try:
            session = boto3.session.Session(region_name=region or None)
            self._client: Any = session.client("secretsmanager", config=config)
        except BotoCoreError as error:
            raise StoreUnreachable(
                f"Secrets Manager must be known by region and endpoint, is not: {error}",
                hint="set region in the settings, or AWS_REGION",
            ) from None

    def __repr__(self) -> str:
        return "SecretsManager()"

    def list(self, environment: str) -> list[Listed]:
        """As Store says."""
        found: list[Listed] = []
        more: dict[str, str] = {}
        filters = [{"Key": "tag-key", "Values": [TAG_ENVIRONMENT]}, {"Key": "tag-value", "Values": [environment]}]
        for _ in range(PAGE_COUNT_MAX):
            answer = self._call(
                "list_secrets",
                f"environment {environment}",
                Filters=filters,
                MaxResults=PAGE_SECRETS,
                IncludePlannedDeletion=True,
                **more,
            )
            listed = (_listed(one, one.get("SecretVersionsToStages")) for one in answer.get("SecretList", ()))
            found += [one for one in listed if one.environment == environment]  # the filter takes prefixes too
            if not answer.get("NextToken"):
                return found
            more = {"NextToken": answer["NextToken"]}
        raise StoreUnreachable(
            f"an environment must have at most {PAGE_COUNT_MAX * PAGE_SECRETS} secrets, has more",
            detail=f"environment {environment}",
        )

    def describe(self, arn: str) -> Listed | None:
        """As Store says."""
        try:
            answer = self._call("describe_secret", f"secret {arn}", SecretId=arn)
        except SecretMissing:
            return None
        return _listed(answer, answer.get("VersionIdsToStages"))

    def value(self, arn: str, version_id: str) -> dict[str, Any] | None:
        """As Store says."""
        where = f"secret {arn}, version {version_id}"
        try:
            answer = self._call("get_secret_value", where, SecretId=arn, VersionId=version_id)
        except SecretMissing:
            return None
        text = answer.get("SecretString")
        try:
            value = json.loads(text) if isinstance(text, str) and len(text) <= VALUE_BYTES_MAX else None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise SecretMalformed("a secret must be a JSON object, is not", detail=where, hint="put a right value")
        return value

    def _call(self, name: str, where: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, name)(**arguments)
        except self._failures as error:
            raise _told(name, where, error) from None
        return answer


def _told(call: str, where: str, error: Exception) -> SecretStoreError:
    """What boto3 raised, as one of ours."""
    response = getattr(error, "response", None)
    code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else type(error).__name__
    text = response.get("Error", {}).get("Message", "") if isinstance(response, dict) else str(error)
    said = f"{call}: {code}: {text}"[:500]
    if code in LACKING:
        return SecretMissing(f"the secret must be there, is not ({said})", detail=where)
    if code in DENIED:
        return SecretDenied(
            f"this machine must be allowed to read the secret, is not ({said})",
            detail=where,
            hint="its role needs secretsmanager:DescribeSecret and GetSecretValue on it, and kms:Decrypt on its key",
        )
    return StoreUnreachable(
        f"Secrets Manager must answer, did not ({said})",
        detail=where,
        hint="all files stay as they are; it is asked again",
    )


def _listed(answer: Mapping[str, Any], stages: Mapping[str, Any] | None) -> Listed:
    tags = {str(tag.get("Key")): str(tag.get("Value")) for tag in answer.get("Tags") or ()}
    return Listed(
        arn=str(answer["ARN"]),
        name=str(answer.get("Name", "")),
        kind=tags.get(TAG_KIND, ""),
        environment=tags.get(TAG_ENVIRONMENT, ""),
        stages={str(version): frozenset(map(str, labels)) for version, labels in (stages or {}).items()},
        deleted=answer.get("DeletedDate") is not None,
    )
