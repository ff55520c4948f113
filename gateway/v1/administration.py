"""What the operations of administrators share: the nonce that makes each one happen once, and who did it and why.

A signed request of an administrator must not work twice either, and the core keeps the nonces. The administrator's key
on the engine is no delegate, so it may not bring one: a command that changes nothing (it names account 0, which nobody
can be) brings it through the line of orders, with the operation in its text. So the journal tells who asked for what,
of changes to keys too, and of what failed afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.auth import Caller
from gateway.binance.refusals import refusal
from gateway.errors import NO_ADMIN_KEY, PARAMETER, UNAUTHORIZED, ApiError
from gateway.line import Line, pack_nonce
from gateway.routing import Call
from ironbook._commands import pack_text
from schemas.vocabulary import CODE_TEXT, TEXT_BYTES_MAX, Code, CountdownCancel, EventKind

if TYPE_CHECKING:
    from gateway.events import Applied, Event

__all__ = ["administer", "answer_of", "audit", "caller_of", "note", "take_once"]

_NOTHING = CountdownCancel(account=0, timeout_ms=0).pack()
# Their texts; orders are refused for them in other words
_OWN_WORDS = (Code.UNKNOWN_ACCOUNT, Code.UNKNOWN_INSTRUMENT, Code.KIND_FORBIDDEN)


def caller_of(call: Call) -> Caller:
    """Who called. Raises ApiError."""
    if call.caller is None:
        raise ApiError(UNAUTHORIZED)
    return call.caller


def note(call: Call, what: str) -> str:
    """The text of the journal: who, and what or why, as much of it as fits."""
    said = f"{caller_of(call).key_id}: {what}".encode("ascii", "replace").decode()
    return "".join(c if c.isprintable() else " " for c in said)[:TEXT_BYTES_MAX].rstrip()


async def take_once(call: Call, what: str) -> None:
    """Have the core take the request's nonce. Raises ApiError: it was taken before, or the engine is away."""
    parts = (pack_text(note(call, what)), pack_nonce(call.nonce, call.timestamp_ns), _NOTHING)
    applied = await call.gateway.line.submit_parts(parts)
    for event in applied.events:
        if event.code in (Code.NONCE_REPEATED, Code.NONCE_STALE):
            raise refusal(event.code)


def administer(call: Call) -> Line:
    """The administrator's line. Raises ApiError if this gateway has none."""
    line = call.gateway.admin_line
    if line is None:
        raise ApiError(NO_ADMIN_KEY, hint="set IRONBOOK_GATEWAY_ADMIN_KEY to the file of a key with admin")
    return line


def answer_of(applied: Applied) -> Event:
    """The event that answers a command of administration. Raises ApiError if it was rejected."""
    for event in applied.events:
        if event.kind == EventKind.REJECTED:
            if event.code in _OWN_WORDS:
                raise ApiError(PARAMETER, CODE_TEXT[event.code][1], hint=CODE_TEXT[event.code][2])
            raise refusal(event.code)
    return next(event for event in applied.events if event.kind == EventKind.APPLIED)


def audit(call: Call, what: str, **more: object) -> None:
    """A line of the log: who did what, from where. Never a secret."""
    caller = caller_of(call)
    who = {"who": caller.key_id, "via": caller.via, "peer": call.request.peer, "request_id": call.request.request_id}
    call.gateway.log.info("audit", what=what, **who, **more)
