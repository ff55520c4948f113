"""Signed envelopes: how an order, or a change of risk limits, is put on a topic by any Kafka client.

    signed bytes = "IRONBOOK order 1" LF key id LF timestamp LF nonce LF body          (limits: "IRONBOOK limits 1")
    signature    = HMAC-SHA256(secret, signed bytes), 64 hexadecimal digits
    name         = leading 16 bytes of SHA-256(key id LF timestamp LF nonce), 32 hexadecimal digits

The body is JSON *as text*: exactly its bytes are signed, so nobody ever has to write JSON the same way twice. Key id
and nonce are printable ASCII and the timestamp is digits, so no line feed can stand in them and no two envelopes have
the same signed bytes. Nothing here reads a clock, a file or a network; schemas/topics/envelope.md has a worked example.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Final, TypedDict

import orjson

from ironbook._errors import InputInvalid
from ironbook._key import Key

__all__ = [
    "BODY_BYTES_MAX",
    "LIMITS",
    "NONCE_CHARACTERS_MAX",
    "ORDER",
    "Envelope",
    "nonce_name",
    "sign_limits",
    "sign_order",
    "signature",
    "signed_bytes",
    "verify",
]

ORDER: Final = "IRONBOOK order 1\n"
LIMITS: Final = "IRONBOOK limits 1\n"
BODY_BYTES_MAX: Final = 4096
NONCE_CHARACTERS_MAX: Final = 36
_NONCE = re.compile(r"[ -~]{1,36}")
_SIGNATURE_CHARACTERS: Final = 64
_U64_MAX: Final = 2**64 - 1


class Envelope(TypedDict):
    """One event of `orders.submitted` or `risk.limits`."""

    key_id: str
    timestamp_ns: int
    nonce: str
    body: str
    signature: str


def signed_bytes(domain: str, key_id: str, timestamp_ns: int, nonce: str, body: str) -> bytes:
    """The bytes that a signature is over. `domain`: ORDER or LIMITS, so that one can never be taken for the other."""
    return f"{domain}{key_id}\n{timestamp_ns}\n{nonce}\n{body}".encode()


def signature(secret: bytes, domain: str, key_id: str, timestamp_ns: int, nonce: str, body: str) -> str:
    """The signature of an envelope: 64 hexadecimal digits."""
    return hmac.digest(secret, signed_bytes(domain, key_id, timestamp_ns, nonce, body), "sha256").hex()


def nonce_name(key_id: str, timestamp_ns: int, nonce: str) -> str:
    """What names the order from validation to the engine and back in `executions`: 32 hexadecimal digits."""
    return hashlib.sha256(f"{key_id}\n{timestamp_ns}\n{nonce}".encode()).hexdigest()[:32]


def verify(envelope: Envelope, secrets: Iterable[bytes], *, domain: str = ORDER) -> bool:
    """Is the signature by one of these secrets? All are tried, and the time taken says nothing about which."""
    signed = signed_bytes(domain, envelope["key_id"], envelope["timestamp_ns"], envelope["nonce"], envelope["body"])
    claimed = envelope["signature"].encode()
    good = False
    for secret in secrets:
        good |= hmac.compare_digest(hmac.digest(secret, signed, "sha256").hex().encode(), claimed)
    return good


def sign_order(key: Key, body: Mapping[str, object] | str, *, timestamp_ns: int, nonce: str) -> Envelope:
    """An envelope for `orders.submitted`.

    body          an order as schemas/topics.json has it (order_bodies), prices and quantities as decimal texts; or the
                  JSON text itself
    timestamp_ns  now, since the epoch: time.time_ns()
    nonce         new for every order of this key, 1 to 36 printable ASCII characters: uuid.uuid4().hex

    Raises InputInvalid.

    >>> key = Key.from_hex("demo-1", "00" * 32)
    >>> envelope = sign_order(key, {"action": "mass_cancel", "account": 1}, timestamp_ns=1, nonce="n-1")
    >>> envelope["body"], verify(envelope, [key.secret]), verify(envelope, [key.secret], domain=LIMITS)
    ('{"action":"mass_cancel","account":1}', True, False)
    """
    return _sign(ORDER, key, body, timestamp_ns, nonce)


def sign_limits(key: Key, body: Mapping[str, object] | str, *, timestamp_ns: int, nonce: str) -> Envelope:
    """An envelope for `risk.limits`: the limits of an account or a firm, by a key with the permission admin.

    Arguments as of sign_order; the body is limit_body of schemas/topics.json. Raises InputInvalid.
    """
    return _sign(LIMITS, key, body, timestamp_ns, nonce)


def _sign(domain: str, key: Key, body: Mapping[str, object] | str, timestamp_ns: int, nonce: str) -> Envelope:
    if not isinstance(nonce, str) or _NONCE.fullmatch(nonce) is None:
        raise InputInvalid(
            f"a nonce must be 1 to {NONCE_CHARACTERS_MAX} printable ASCII characters, was {nonce!r}",
            hint="for example uuid.uuid4().hex, a new one for each envelope",
        )
    if type(timestamp_ns) is not int or not 0 <= timestamp_ns <= _U64_MAX:
        raise InputInvalid(
            f"timestamp_ns must be whole nanoseconds since the epoch, was {timestamp_ns!r}", hint="time.time_ns()"
        )
    text = body if isinstance(body, str) else _json(body)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InputInvalid("a body must be text that has an UTF-8 form, has a lone surrogate") from None
    if size > BODY_BYTES_MAX:
        raise InputInvalid(f"a body must be at most {BODY_BYTES_MAX} bytes, was {size}", hint="drop what is no field")
    return {
        "key_id": key.key_id,
        "timestamp_ns": timestamp_ns,
        "nonce": nonce,
        "body": text,
        "signature": signature(key.secret, domain, key.key_id, timestamp_ns, nonce, text),
    }


def _json(body: Mapping[str, object]) -> str:
    for name, value in body.items():
        if isinstance(value, float):
            raise InputInvalid(
                f"{name} must not be a float, was {value!r}",
                detail="a body; nothing was signed",
                hint='prices and quantities are decimal texts: "101.25"',
            )
    try:
        return orjson.dumps(dict(body)).decode()
    except TypeError as error:
        raise InputInvalid(
            f"a body must be what JSON can say: {error}", hint="see order_bodies in schemas/topics.json"
        ) from None
