"""Keys: made, rotated, bound to networks and revoked by an administrator, where this gateway may change the key file.

A change rules here when it is answered, and in the engine when it next looks at the file. Each one is a line of the
log, and but for a revocation a record of the journal. A revocation needs no engine: it must not wait for one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from gateway.errors import (
    KEY_EXISTS,
    KEY_FILE_AWAY,
    KEY_IN_USE,
    KEY_INVALID,
    KEY_UNKNOWN,
    KEYS_ELSEWHERE,
    ROTATION_REFUSED,
    ApiError,
)
from gateway.routing import Access, Call, Route
from gateway.v1.administration import audit, take_once
from gateway.v1.session import PermissionName
from gateway.v1.types import Limit, Page, Struct, TimeNs
from ironbook import keystore
from ironbook.keystore import Key, KeyFile, parse_permissions

__all__ = ["ROUTES"]

Answer = TypeVar("Answer")
Networks = Annotated[
    list[Annotated[str, Meta(max_length=64, description="CIDR, IPv4 or IPv6.", examples=["10.0.0.0/8"])]],
    Meta(max_length=keystore.NETWORK_COUNT_MAX, description="Where it may be used from; empty: anywhere."),
]
Rate = Annotated[int, Meta(ge=0, le=keystore.MESSAGE_RATE_MAX)]


class SecretInfo(Struct, frozen=True):
    """One live secret, without its value."""

    fingerprint: str
    created_ns: TimeNs


class KeyInfo(Struct, frozen=True):
    """A key, without its secrets."""

    key_id: str
    number: int
    live: bool
    permissions: list[PermissionName]
    account: int
    networks: list[str]
    message_rate_per_s: int
    message_burst: int
    secrets: list[SecretInfo]
    created_ns: TimeNs
    rotated_ns: TimeNs
    revoked_ns: TimeNs
    note: str


class KeyList(Struct, frozen=True):
    """Which part of the list. after: the number of a key."""

    limit: Limit = 100
    after: Annotated[int, Meta(ge=0)] = 0


class NewKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made. account 0: none of its own."""

    key_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,15}$", max_length=16, examples=["desk-1"])]
    permissions: Annotated[list[PermissionName], Meta(max_length=5)]
    account: Annotated[int, Meta(ge=0, le=keystore.ACCOUNT_MAX)] = 0
    networks: Networks = msgspec.field(default_factory=list)
    message_rate_per_s: Rate = 0
    message_burst: Rate | None = None
    note: Annotated[str, Meta(max_length=keystore.NOTE_CHARACTERS_MAX)] = ""


class Rotation(Struct, frozen=True, forbid_unknown_fields=True):
    """begin: a second secret, both are good. finish: the older one goes. cancel: the newer one goes."""

    step: Literal["begin", "finish", "cancel"]


class NewNetworks(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole list, instead of the present one."""

    networks: Networks


class KeySecret(Struct, frozen=True):
    """A key, and the secret that was made just now: it is shown this once. null: none was made."""

    key: KeyInfo
    secret: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None


def _info(key: Key) -> KeyInfo:
    return msgspec.convert(key.summary(), KeyInfo)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors of the key file, as the API tells them."""
    problems = {
        keystore.KeyUnknown: KEY_UNKNOWN,
        keystore.KeyExists: KEY_EXISTS,
        keystore.KeyInvalid: KEY_INVALID,
        keystore.RotationRefused: ROTATION_REFUSED,
    }
    try:
        yield
    except keystore.KeyStoreError as error:
        problem = problems.get(type(error), KEY_FILE_AWAY)
        where = "" if problem is KEY_FILE_AWAY else error.detail  # paths are for the log
        raise ApiError(problem, error.message, detail=where, hint=error.hint) from error


async def _edit(
    call: Call, what: str, key_id: str, change: Callable[[KeyFile], Answer], *, once: bool = True
) -> Answer:
    """Change the key file for an administrator, and say so."""
    gateway = call.gateway
    if not gateway.settings.manage_keys:
        raise ApiError(KEYS_ELSEWHERE, hint="use `ironbook keys`, or set IRONBOOK_GATEWAY_MANAGE_KEYS")
    lines = (gateway.line, gateway.admin_line)
    if any(line is not None and line.key_id == key_id for line in lines):
        raise ApiError(KEY_IN_USE, detail=f"key {key_id}", hint="use `ironbook keys`; the gateway reads its file anew")
    if once:
        await take_once(call, f"{what} {key_id}")
    try:
        with _told():
            answer = await gateway.keys.edit(change)
    except ApiError as error:
        audit(call, what, key_id=key_id, refused=error.text)
        raise
    audit(call, what, key_id=key_id)
    return answer


async def list_keys(call: Call) -> Page[KeyInfo]:
    """GET /keys"""
    with _told():
        found = (await call.gateway.keys.edit(lambda file: file.load())).keys
    wanted = [key for key in found if key.number > call.parameters.after]
    part = wanted[: call.parameters.limit]
    return Page(items=[_info(key) for key in part], next=str(part[-1].number) if len(part) < len(wanted) else None)


async def create(call: Call) -> KeySecret:
    """POST /keys"""
    wanted: NewKey = call.body
    made = await _edit(
        call, "key_create", wanted.key_id,
        lambda file: file.create_key(
            wanted.key_id, permissions=parse_permissions(wanted.permissions), account=wanted.account,
            networks=wanted.networks, message_rate_per_s=wanted.message_rate_per_s,
            message_burst=wanted.message_burst, note=wanted.note,
        ),
    )  # fmt: skip
    return KeySecret(key=_info(made.key), secret=made.secret.hex())


async def rotate(call: Call) -> KeySecret:
    """POST /keys/{key_id}/rotate"""
    key_id, step = call.path["key_id"], call.body.step
    if step == "begin":
        made = await _edit(call, "key_rotate", key_id, lambda file: file.begin_rotation(key_id))
        return KeySecret(key=_info(made.key), secret=made.secret.hex())
    if step == "finish":
        return KeySecret(key=_info(await _edit(call, "key_finish", key_id, lambda file: file.finish_rotation(key_id))))
    return KeySecret(key=_info(await _edit(call, "key_cancel", key_id, lambda file: file.cancel_rotation(key_id))))


async def set_networks(call: Call) -> KeyInfo:
    """PUT /keys/{key_id}/networks"""
    key_id, networks = call.path["key_id"], call.body.networks
    return _info(await _edit(call, "key_networks", key_id, lambda file: file.set_networks(key_id, networks)))


async def revoke(call: Call) -> KeyInfo:
    """DELETE /keys/{key_id}"""
    key_id = call.path["key_id"]
    return _info(await _edit(call, "key_revoke", key_id, lambda file: file.revoke(key_id), once=False))


_PROBLEMS = (KEYS_ELSEWHERE, KEY_FILE_AWAY)
_OF_ONE = (*_PROBLEMS, KEY_UNKNOWN, KEY_IN_USE)
ROUTES = (
    Route(
        method="GET", path="/api/v1/keys", handler=list_keys, tag="keys", access=Access.ADMIN, weight=20,
        summary="All keys, revoked ones too", parameters=KeyList, returns=Page[KeyInfo], problems=(KEY_FILE_AWAY,),
    ),
    Route(
        method="POST", path="/api/v1/keys", handler=create, tag="keys", access=Access.ADMIN, status=201, weight=20,
        summary="Make a key", body=NewKey, returns=KeySecret, problems=(*_PROBLEMS, KEY_EXISTS, KEY_INVALID),
    ),
    Route(
        method="POST", path="/api/v1/keys/{key_id}/rotate", handler=rotate, tag="keys", access=Access.ADMIN, weight=20,
        summary="Change a key's secret, in two steps", body=Rotation, returns=KeySecret,
        problems=(*_OF_ONE, ROTATION_REFUSED),
    ),
    Route(
        method="PUT", path="/api/v1/keys/{key_id}/networks", handler=set_networks, tag="keys", access=Access.ADMIN,
        weight=20, summary="Where a key may be used from", body=NewNetworks, returns=KeyInfo,
        problems=(*_OF_ONE, KEY_INVALID),
    ),
    Route(
        method="DELETE", path="/api/v1/keys/{key_id}", handler=revoke, tag="keys", access=Access.ADMIN, weight=20,
        summary="Revoke a key for ever", returns=KeyInfo, problems=_OF_ONE,
    ),
)  # fmt: skip
