"""Envelopes of risk.limits: what is signed by a key that may, becomes a change; anything else says why not. Pure.

Codes win in the order of stream_codes: schema ▸ partition ▸ signature ▸ timestamp ▸ nonce (rules.py, it has a memory)
▸ kind ▸ account. A body that cannot be read is refused before its signature is looked at, as validation does it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, cast

import orjson

from ironbook import envelope as signing
from schemas.vocabulary import Permission
from streams.risk.limits import LimitsInvalid, parse_body

_FIELDS: Final = {"key_id", "timestamp_ns", "nonce", "body", "signature"}
_KEY_ID: Final = re.compile(r"[!-~]{1,16}")
_NONCE: Final = re.compile(r"[ -~]{1,36}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")
_U64_MAX: Final = 2**64 - 1


class KeyRights(NamedTuple):
    """A live key: its secrets, and what it may do."""

    secrets: tuple[bytes, ...]
    permissions: int


class Known(NamedTuple):
    """What judgements rest on."""

    keys: Mapping[str, KeyRights]
    accounts: Mapping[int, Mapping[str, Any]]
    partition_of: Callable[[int], int]
    window_ns: int


class _Refused(Exception):
    pass


def judge(event: Mapping[str, Any], place: str, partition: int, appended_ns: int, known: Known) -> dict[str, Any]:
    """The change that an envelope asks for; `code` says why it may not be, empty if it may."""
    change: dict[str, Any] = {
        "place": place, "who": "", "firm": 0, "account": 0, "code": "", "text": "", "time_ns": appended_ns,
    }  # fmt: skip
    try:
        _read(event, change)
        _check(event, change, partition, appended_ns, known)
    except _Refused as refused:
        change["code"], change["text"] = refused.args
    return change


def _read(event: Mapping[str, Any], change: dict[str, Any]) -> None:
    key_id = event.get("key_id")
    if isinstance(key_id, str) and _KEY_ID.fullmatch(key_id):
        change["who"] = key_id
    try:
        if set(event) != _FIELDS:
            raise LimitsInvalid(f"an envelope must have exactly the fields {', '.join(sorted(_FIELDS))}")
        for name, pattern in (("key_id", _KEY_ID), ("nonce", _NONCE), ("signature", _SIGNATURE)):
            if not isinstance(event[name], str) or not pattern.fullmatch(event[name]):
                raise LimitsInvalid(f"{name} must be text as the contract has it")
        stamp = event["timestamp_ns"]
        if type(stamp) is not int or not 0 <= stamp <= _U64_MAX:
            raise LimitsInvalid("timestamp_ns must be whole nanoseconds since the epoch")
        body = event["body"]
        if not isinstance(body, str) or len(body.encode()) > signing.BODY_BYTES_MAX:
            raise LimitsInvalid(f"body must be text of at most {signing.BODY_BYTES_MAX} bytes")
        found = orjson.loads(body)
        _claim(found, change)
        firm, account, limits, resume = parse_body(found)
    except LimitsInvalid as error:
        raise _Refused("schema_invalid", str(error)) from None
    except (ValueError, UnicodeEncodeError):
        raise _Refused("schema_invalid", "the body must be JSON") from None
    change |= {"firm": firm, "account": account, "limits": limits, "resume": resume, "timestamp_ns": stamp}


def _claim(body: Any, change: dict[str, Any]) -> None:
    """Whom a body speaks of, even if it is refused."""
    for name in ("firm", "account"):
        number = body.get(name) if isinstance(body, dict) else None
        if type(number) is int and 0 <= number < 2**32:
            change[name] = number


def _check(
    event: Mapping[str, Any], change: dict[str, Any], partition: int, appended_ns: int, known: Known
) -> None:
    right = known.partition_of(change["firm"])
    if right != partition:
        raise _Refused("partition_wrong", f"an envelope must be in its firm's partition {right}, was in {partition}")
    key = known.keys.get(event["key_id"])
    secrets = key.secrets if key is not None else ()
    if not signing.verify(cast(signing.Envelope, event), secrets, domain=signing.LIMITS):
        raise _Refused("signature_invalid", "the signature must be by a live secret of a key that may do this")
    if abs(appended_ns - event["timestamp_ns"]) > known.window_ns:
        off_ms = (event["timestamp_ns"] - appended_ns) // 1_000_000
        raise _Refused("timestamp_outside_window", f"the timestamp must lie within the window, was off by {off_ms} ms")
    change["nonce"] = signing.nonce_name(event["key_id"], event["timestamp_ns"], event["nonce"])
    if key is None or not key.permissions & Permission.ADMIN:
        raise _Refused("kind_forbidden", "the key must have the permission admin")
    if change["account"]:
        account = known.accounts.get(change["account"])
        if account is None:
            raise _Refused("unknown_account", f"the account must have been defined, was {change['account']}")
        if account["firm"] != change["firm"]:
            raise _Refused("account_forbidden", f"the account must be of the firm, is of firm {account['firm']}")
