"""What follows from the versions of a secret: which ones count, and what stands in which file. Pure: no AWS, no disk.

    label          api_key, cookie                          database, kafka, tls
    AWSCURRENT     accepted, and used                       used
    AWSPREVIOUS    accepted, until the label goes           not looked at
    AWSPENDING     accepted already; not beside a PREVIOUS  not looked at

Key file and cookie file have room for two secrets. Where all three labels stand on versions of their own, PREVIOUS goes
before PENDING: who still signs with the older one would be refused, while nobody signs with the newer one yet.

    api_key    <name>.key               {"key_id", "secret"}: what `ironbook.Key.from_file` reads; CURRENT
    database   <name>.database-url      CURRENT
    kafka      <name>.kafka-login.json  CURRENT
    tls        <name>.crt + <name>.pem  CURRENT, both at once
    cookie     cookie-secret            a line each: the first one signs, both are good
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from ironbook.keystore import Key, KeyInvalid, Secret, parse_permissions
from ironbook.secret_store.errors import SecretMalformed
from ironbook.secret_store.settings import FileWanted

__all__ = [
    "KINDS",
    "FollowedKey",
    "SecretFiles",
    "Version",
    "choose",
    "crowded",
    "followed_key",
    "secret_files",
]

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
KINDS: Final = ("api_key", "database", "kafka", "tls", "cookie")
SHARED: Final = ("api_key", "cookie")  # kinds of which a second version is accepted
MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
_HEX_64 = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version that counts."""

    label: str
    version_id: str
    value: Mapping[str, Any] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FollowedKey:
    """A key as the store has it, for the key file."""

    key_id: str
    number: int
    permissions: int
    account: int
    networks: tuple[str, ...]
    secrets: tuple[bytes, ...] = dataclasses.field(repr=False)  # one, or the older and the newer


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SecretFiles:
    """Files of one secret. together: they replace those that are there all at once."""

    contents: Mapping[str, bytes] = dataclasses.field(repr=False)
    together: str = ""


def choose(kind: str, stages: Mapping[str, frozenset[str]]) -> list[tuple[str, str]]:
    """Labels and version ids that count, CURRENT first; empty: the secret has no value yet."""
    by_label = {label: version for version, labels in stages.items() for label in labels}
    if CURRENT not in by_label:
        return []
    chosen = [(CURRENT, by_label[CURRENT])]
    if kind in SHARED:
        others = [(label, by_label[label]) for label in (PREVIOUS, PENDING) if label in by_label]
        chosen += [one for one in others if one[1] != by_label[CURRENT]][:1]
    return chosen


def crowded(kind: str, stages: Mapping[str, frozenset[str]]) -> bool:
    """Whether all three labels stand on versions of their own, so that PENDING waits."""
    by_label = {label: version for version, labels in stages.items() for label in labels}
    labelled = [by_label[label] for label in (CURRENT, PENDING, PREVIOUS) if label in by_label]
    return kind in SHARED and len(set(labelled)) == 3


def followed_key(versions: Sequence[Version], where: str) -> FollowedKey:
    """The key of a secret of kind api_key. Raises SecretMalformed."""
    current = _Value(versions[0], where)
    key_id, number = current.text("key_id"), current.whole("number")
    permissions, networks = current.texts("permissions"), current.texts("networks", [])
    account = current.whole("account", 0)
    for other in (_Value(version, where) for version in versions[1:]):
        if (other.text("key_id"), other.whole("number")) != (key_id, number):
            raise other.malformed("key_id and number must be the same in every version, are not")
    older_first = sorted(versions, key=lambda one: (PREVIOUS, CURRENT, PENDING).index(one.label))
    secrets = tuple(dict.fromkeys(_Value(version, where).secret() for version in older_first))
    try:
        made = Key(
            number=number,
            key_id=key_id,
            permissions=parse_permissions(permissions),
            account=account,
            networks=tuple(networks),
            secrets=tuple(Secret(value=secret, created_ns=0) for secret in secrets),
        )
    except KeyInvalid as error:
        raise current.malformed(error.message.split(", was ")[0]) from None  # what was found may be a secret misplaced
    return FollowedKey(
        key_id=made.key_id,
        number=made.number,
        permissions=made.permissions,
        account=made.account,
        networks=made.networks,
        secrets=secrets,
    )


def secret_files(kind: str, versions: Sequence[Version], wanted: FileWanted, where: str) -> SecretFiles:
    """The files of a secret. Raises SecretMalformed."""
    value = _Value(versions[0], where)
    if kind == "api_key":
        document = {"key_id": value.text("key_id"), "secret": value.secret().hex()}
        return SecretFiles(contents={f"{wanted.name}.key": _json(document)})
    if kind == "database":
        return SecretFiles(contents={f"{wanted.name}.database-url": _database_url(value, wanted.options) + b"\n"})
    if kind == "kafka":
        return SecretFiles(contents={f"{wanted.name}.kafka-login.json": _kafka_login(value, wanted)})
    if kind == "tls":
        certificate, key = _tls_pair(value)
        contents = {f"{wanted.name}.crt": certificate.encode(), f"{wanted.name}.pem": key.encode()}
        return SecretFiles(contents=contents, together=wanted.name)
    if kind == "cookie":
        lines = dict.fromkeys(_Value(version, where).secret().hex() for version in versions)
        return SecretFiles(contents={"cookie-secret": "".join(f"{line}\n" for line in lines).encode()})
    raise SecretMalformed(
        f"the tag ironbook:kind must be one of {', '.join(KINDS)}, was {kind[:40]!r}", detail=where, hint="mend the tag"
    )


def _database_url(value: _Value, options: str) -> bytes:
    user, password = quote(value.text("username"), safe=""), quote(value.text("password"), safe="")
    host, port, name = value.text("host"), value.whole("port", 5432), quote(value.text("dbname"), safe="")
    if not 1 <= port <= 65_535 or re.search(r"[\s/@?#]", host):
        raise value.malformed("host must be a name or an address, and port from 1 to 65535")
    host = f"[{host}]" if ":" in host else host
    return f"postgresql://{user}:{password}@{host}:{port}/{name}{'?' if options else ''}{options}".encode()


def _kafka_login(value: _Value, wanted: FileWanted) -> bytes:
    mechanism = value.text("mechanism", "SCRAM-SHA-512")
    if mechanism not in MECHANISMS:
        raise value.malformed(f"mechanism must be one of {', '.join(MECHANISMS)}")
    login: dict[str, object] = {
        "username": value.text("username"), "password": value.text("password"), "mechanism": mechanism,
    }  # fmt: skip
    if wanted.tls:
        login |= {"tls": True, **({"ca_file": wanted.ca_file} if wanted.ca_file else {})}
    return _json(login)


def _tls_pair(value: _Value) -> tuple[str, str]:
    """Certificate chain and key, which must fit each other: half a pair must never reach a server."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    certificate, key = value.text("certificate", multiline=True), value.text("private_key", multiline=True)
    try:
        leaf = x509.load_pem_x509_certificates(certificate.encode())[0]
        loaded = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError):
        raise value.malformed("certificate and private_key must be PEM, the key without a passphrase") from None
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if leaf.public_key().public_bytes(*form) != loaded.public_key().public_bytes(*form):
        raise value.malformed("private_key must be the one of the certificate, is another")
    return certificate, key


class _Value:
    """A version's value; what is wrong in it is told by its place, never repeated."""

    def __init__(self, version: Version, where: str) -> None:
        self._version, self._where = version, where

    def malformed(self, message: str) -> SecretMalformed:
        return SecretMalformed(
            message,
            detail=f"{self._where}, {self._version.label} {self._version.version_id}",
            hint="put a right value; until then the files stay as they are",
        )

    def text(self, name: str, default: str | None = None, *, multiline: bool = False) -> str:
        found = self._version.value.get(name, default)
        plain = isinstance(found, str) and found != "" and (multiline or found.isprintable())
        if not plain:
            raise self.malformed(f"{name} must be a text{'' if multiline else ' of printable characters'}, is not")
        return str(found)

    def whole(self, name: str, default: int | None = None) -> int:
        found = self._version.value.get(name, default)
        if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 20:
            found = int(found)  # as some tools write it
        if not isinstance(found, int) or isinstance(found, bool):
            raise self.malformed(f"{name} must be a whole number, is not")
        return found

    def texts(self, name: str, default: list[str] | None = None) -> list[str]:
        found = self._version.value.get(name, default)
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise self.malformed(f"{name} must be a list of texts, is not")
        return found

    def secret(self) -> bytes:
        found = self._version.value.get("secret")
        if not isinstance(found, str) or _HEX_64.fullmatch(found.lower()) is None:
            raise self.malformed("secret must be 64 hexadecimal digits, is not")
        return bytes.fromhex(found)


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document).encode() + b"\n"
