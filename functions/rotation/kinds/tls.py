"""A server's certificate and its private key, signed by the firm's own authority."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from functions.common.errors import SecretInvalid
from functions.rotation.kinds import Quiet, Value
from ironbook.held import certificate_value, fingerprint

__all__ = ["Authority", "Tls", "make_certificate"]

DAYS_MAX = 398  # what clients of a public authority would take; there is no reason for more here
URGENT = datetime.timedelta(days=30)  # people must hear of a certificate that ends within it
BEFORE = datetime.timedelta(minutes=5)  # clocks that are behind
Authority = Callable[[], Value]  # the value of the authority's own secret: certificate, private_key (PEM)


class Handshakes(Protocol):
    """Where a certificate is tried."""

    def try_certificate(self, certificate: str, private_key: str, authority: str, names: list[str]) -> None:
        """Raises NewSecretRefused."""

    def shown(self, address: str) -> str:
        """Fingerprint of the certificate that a server shows; "" if it does not answer."""


class Tls(Quiet):
    """A certificate. When nobody shows the old one any more, it lapses by itself."""

    name: ClassVar[str] = "tls"
    verified: ClassVar[bool] = False

    def __init__(self, authority: Authority, handshakes: Handshakes, now_ns: Callable[[], int]) -> None:
        self._authority, self._handshakes, self._now_ns = authority, handshakes, now_ns

    def check(self, value: Value, where: str) -> None:
        for field in ("names", "addresses"):
            texts = value.get(field, [])
            good = isinstance(texts, list) and all(isinstance(one, str) and one.isprintable() for one in texts)
            if not good or (field == "names" and not texts):
                raise SecretInvalid(f"{field} must be a list of texts, is not", detail=where)
        days = value.get("days")
        if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= DAYS_MAX:
            raise SecretInvalid(f"days must be a number from 1 to {DAYS_MAX}, is not", detail=where)
        if value.get("certificate") == value.get("private_key") == "":
            return  # named, and not made yet
        for field in ("certificate", "private_key"):
            if not isinstance(value.get(field), str) or "-----BEGIN " not in value[field]:
                raise SecretInvalid(f"{field} must be PEM, is not", detail=where)
        try:
            x509.load_pem_x509_certificate(value["certificate"].encode())
        except ValueError:
            raise SecretInvalid("certificate must be a PEM certificate, is not", detail=where) from None

    def pair(self, new: Value, old: Value, where: str) -> None:
        if not new["certificate"]:
            raise SecretInvalid("the new version must have a certificate, has none", detail=where)
        if new["names"] != old["names"]:
            raise SecretInvalid("a rotation must keep the names of a certificate, would change them", detail=where)

    def made(self, value: Value) -> bool:
        return bool(value["certificate"])

    def due(self, value: Value) -> bool:
        """In the last third of its life, so that no schedule can be too late."""
        if not self.made(value):
            return False
        leaf = x509.load_pem_x509_certificate(value["certificate"].encode())
        begins_s, ends_s = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
        left_s = ends_s - self._now_ns() / 10**9
        return bool(left_s < (ends_s - begins_s) / 3)

    def urgent(self, value: Value) -> str:
        """It should have been made anew long since: in its last 30 days, of a short life in the last quarter."""
        if not self.made(value):
            return ""
        leaf = x509.load_pem_x509_certificate(value["certificate"].encode())
        life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        left = leaf.not_valid_after_utc - datetime.datetime.fromtimestamp(self._now_ns() / 10**9, datetime.UTC)
        if left > min(URGENT, life / 4):
            return ""
        ends = f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        if left.total_seconds() <= 0:
            return f"the certificate in use ended {ends}"
        return f"the certificate in use ends {ends}, in {left.days} days, and no new one took its place"

    def holder(self, value: Value) -> str:
        return f"tls/{value['names'][0]}"

    def fingerprint(self, value: Value) -> str:
        return fingerprint(certificate_value(value["certificate"]))

    def fresh(self, value: Value) -> dict[str, Any]:
        now = datetime.datetime.fromtimestamp(self._now_ns() / 10**9, datetime.UTC)
        chain, key = make_certificate(self._authority(), value["names"], value["days"], now)
        return {**value, "certificate": chain, "private_key": key}

    async def test(self, new: Value) -> list[str]:
        authority = _authority_pem(self._authority(), "certificate")
        self._handshakes.try_certificate(new["certificate"], new["private_key"], authority, new["names"])
        return [f"handshake for {', '.join(new['names'])}"]

    async def unused(self, old: Value, new: Value) -> list[str]:
        wanted = self.fingerprint(new)
        return [
            f"{address} does not show the new certificate"
            for address in new.get("addresses", [])
            if self._handshakes.shown(address) != wanted
        ]


def _authority_pem(value: Value, field: str) -> str:
    """A PEM field of the authority's secret. Raises SecretInvalid."""
    found = value.get(field)
    if not isinstance(found, str) or "-----BEGIN " not in found:
        raise SecretInvalid(f"{field} of the authority must be PEM, is not", detail="setting ca_secret")
    return found


def make_certificate(authority: Value, names: list[str], days: int, now: datetime.datetime) -> tuple[str, str]:
    """(chain, private key) as PEM, for these names. Raises SecretInvalid where the authority cannot sign."""
    try:
        signer = x509.load_pem_x509_certificate(_authority_pem(authority, "certificate").encode())
        signing = serialization.load_pem_private_key(_authority_pem(authority, "private_key").encode(), None)
    except (ValueError, TypeError):
        raise SecretInvalid(
            "certificate and private_key of the authority must be PEM and not encrypted, are not",
            detail="setting ca_secret",
        ) from None
    if not isinstance(signing, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise SecretInvalid("the authority's key must be EC, RSA or Ed25519, is not", detail="setting ca_secret")
    last = now + datetime.timedelta(days=days)
    if last > signer.not_valid_after_utc:
        raise SecretInvalid(
            f"the authority must live as long as what it signs, ends {signer.not_valid_after_utc:%Y-%m-%d}; "
            f"a certificate of {days} days would end {last:%Y-%m-%d}",
            detail="setting ca_secret",
            hint="make a new authority (docs/guides/terraform.md says how to change it), or give the secret fewer days",
        )
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
        .issuer_name(signer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(last)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority_id, critical=False)
        .sign(signing, None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    try:
        made.verify_directly_issued_by(signer)
    except (InvalidSignature, ValueError, TypeError):
        raise SecretInvalid(
            "the authority's key must belong to its certificate, does not", detail="setting ca_secret"
        ) from None
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = [made.public_bytes(serialization.Encoding.PEM), signer.public_bytes(serialization.Encoding.PEM)]
    return b"".join(chain).decode(), private.decode()


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
