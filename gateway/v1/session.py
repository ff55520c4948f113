"""Logging in and out: a signed request becomes a cookie, so that the key's secret can stay where it was typed in."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from gateway.auth import Caller
from gateway.errors import ILLEGAL, STATE_UNWRITABLE, UNAUTHORIZED, ApiError
from gateway.routing import JSON, Access, Call, Response, Route
from gateway.sessions import RIGHTS_MAX, Session
from gateway.v1.administration import take_once
from gateway.v1.types import Struct
from ironbook.keystore import parse_permissions, permission_names
from schemas.vocabulary import Permission

__all__ = ["ROUTES", "PermissionName", "SessionAnswer"]

PermissionName: TypeAlias = Literal["trade", "cancel", "read", "admin", "delegate"]


class SessionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a login asks for. rights: at most these, and read with them; null: all that the key has."""

    rights: Annotated[list[PermissionName], Meta(max_length=5)] | None = None


class SessionAnswer(Struct, frozen=True):
    """Who is calling, and what the caller may do."""

    key_id: str
    account: int
    permissions: list[PermissionName]
    expires_ns: Annotated[int | None, Meta(description="When the session ends; null: the call was signed.")]


def _answer(caller: Caller) -> SessionAnswer:
    return SessionAnswer(
        key_id=caller.key_id,
        account=caller.account,
        permissions=list(permission_names(caller.permissions)),  # type: ignore[arg-type]
        expires_ns=caller.expires_ns if isinstance(caller, Session) else None,
    )


def _caller(call: Call) -> Caller:
    if call.caller is None:
        raise ApiError(UNAUTHORIZED)
    return call.caller


async def log_in(call: Call) -> Response:
    """POST /session: once for each signed request, so that who sees one has no session of his own by it.

    The core keeps the nonces; while the engine is away people must get in all the same, so this process keeps them too.
    """
    caller = _caller(call)
    if caller.via != "signature":
        raise ApiError(ILLEGAL, "A login must be signed; a session does not make another one.")
    call.gateway.sessions.take_once(call.nonce, call.gateway.now_ns())
    if call.gateway.line.connected:
        await take_once(call, "login")
    rights = RIGHTS_MAX if call.body.rights is None else parse_permissions(call.body.rights) | Permission.READ
    session, cookie = call.gateway.sessions.make(caller, rights, call.request, call.gateway.now_ns())
    return Response(201, msgspec.json.encode(_answer(session)), JSON, (("Set-Cookie", cookie),))


def show(call: Call) -> SessionAnswer:
    """GET /session"""
    return _answer(_caller(call))


def log_out(call: Call) -> Response:
    """DELETE /session"""
    caller = _caller(call)
    if not isinstance(caller, Session):
        raise ApiError(ILLEGAL, "A signed call has no session to end.")
    cookie = call.gateway.sessions.end(caller, call.request, call.gateway.now_ns())
    return Response(200, msgspec.json.encode(_answer(caller)), JSON, (("Set-Cookie", cookie),))


ROUTES = (
    Route(
        method="POST", path="/api/v1/session", handler=log_in, tag="session", status=201, access=Access.READ,
        summary="Log in: a cookie for a signed call", body=SessionRequest, returns=SessionAnswer,
    ),
    Route(
        method="GET", path="/api/v1/session", handler=show, tag="session", access=Access.READ,
        summary="Who is calling, and with which rights", returns=SessionAnswer,
    ),
    Route(
        method="DELETE", path="/api/v1/session", handler=log_out, tag="session", access=Access.READ,
        summary="Log out", returns=SessionAnswer, problems=(STATE_UNWRITABLE,),
    ),
)  # fmt: skip
