"""A store with secrets in it, as an installation has them, and followers of it."""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ironbook.secret_store.files import Directory
from ironbook.secret_store.follow import Follower
from ironbook.secret_store.settings import FileWanted, FollowSettings, KeysWanted

ENVIRONMENT = "ironbook-test"
SECRETS = [f"{number:02x}" * 32 for number in range(8)]


class Secrets:
    """Secrets of one environment; boto3's client is `client`."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def make(self, name: str, kind: str, value: object, environment: str = ENVIRONMENT) -> str:
        """A new secret; its ARN."""
        tags = [{"Key": "ironbook:kind", "Value": kind}, {"Key": "ironbook:environment", "Value": environment}]
        made = self.client.create_secret(Name=f"{ENVIRONMENT}/{name}", SecretString=_text(value), Tags=tags)
        return str(made["ARN"])

    def put(self, name: str, value: object, stages: Iterable[str] = ("AWSCURRENT",)) -> str:
        """A new version with these labels; its id. AWSPREVIOUS comes by itself to what was current."""
        made = self.client.put_secret_value(
            SecretId=f"{ENVIRONMENT}/{name}", SecretString=_text(value), VersionStages=list(stages)
        )
        return str(made["VersionId"])

    def move(self, name: str, label: str, to: str | None) -> None:
        """Move a label to a version, or take it away."""
        where = {version for version, labels in self.stages(name).items() if label in labels}
        arguments = {"MoveToVersionId": to} if to else {}
        if where - {to}:
            arguments["RemoveFromVersionId"] = (where - {to}).pop()
        self.client.update_secret_version_stage(SecretId=f"{ENVIRONMENT}/{name}", VersionStage=label, **arguments)

    def stages(self, name: str) -> dict[str, list[str]]:
        """Labels by version."""
        found: dict[str, list[str]] = self.client.describe_secret(SecretId=f"{ENVIRONMENT}/{name}")[
            "VersionIdsToStages"
        ]
        return found


def api_key(key_id: str = "desk-1", secret: str = SECRETS[0], number: int = 100, **more: object) -> dict[str, object]:
    """The value of a secret of kind api_key."""
    fields = {"permissions": ["trade", "cancel", "read"], "account": 1, "networks": []}
    return {"key_id": key_id, "secret": secret, "number": number, **fields, **more}


def database(username: str = "gateway_a", password: str = "geh/eim:@?", **more: object) -> dict[str, object]:
    """The value of a secret of kind database."""
    return {"host": "127.0.0.1", "port": 5432, "dbname": "ironbook", "username": username, "password": password, **more}


@functools.cache
def tls(name: str = "gateway.test") -> dict[str, str]:
    """The value of a secret of kind tls; another one for each name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "private_key": private.decode(),
    }


def wanted_keys(directory: Path, **more: Any) -> KeysWanted:
    """Table [keys] with what is usual."""
    return KeysWanted(file=directory / "keys.ironbook", passphrase_file=directory / "key-passphrase", **more)


def settings(directory: Path, files: dict[str, str] | None = None, **more: Any) -> FollowSettings:
    """Settings. files: names of secrets, by name of the file."""
    wanted = tuple(FileWanted(secret=f"{ENVIRONMENT}/{secret}", name=name) for name, secret in (files or {}).items())
    return FollowSettings(directory=directory, environment=ENVIRONMENT, files=wanted, **more)


def follower(store: Any, wanted: FollowSettings) -> Follower:
    """A follower of a directory that nobody else follows into."""
    wanted.directory.mkdir(mode=0o700, exist_ok=True)
    return Follower(wanted, store, Directory(wanted.directory))


MakeFollower = Callable[..., Follower]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
