"""Requests, answers, and the table of what the gateway serves. The OpenAPI document is made from the same table.

    bytes ──http.py──▶ Request ──app.py──▶ Route ──▶ Call ──handler──▶ result ──▶ Response ──http.py──▶ bytes

A route names the types of its parameters, body and result (msgspec structs): the request is converted to them, and
refused where it does not fit, before the handler is called.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from gateway.errors import Problem

if TYPE_CHECKING:
    from gateway.auth import Caller
    from gateway.context import Gateway

JSON = "application/json"


class Request:
    """One HTTP request as it was received.

    path        percent-decoded, without the query
    query       raw bytes behind the question mark: signatures are over these
    headers     names in lower case; a name that came twice has the values joined by ", "
    peer        the client's address, without its port
    request_id  new for each request; in the answer's header X-Request-Id and in the log
    """

    __slots__ = ("body", "headers", "method", "path", "peer", "query", "received_ns", "request_id")

    def __init__(
        self,
        method: str,
        path: str,
        query: bytes,
        headers: Mapping[str, str],
        body: bytes,
        peer: str,
        request_id: str,
        received_ns: int,
    ) -> None:
        self.method, self.path, self.query = method, path, query
        self.headers, self.body = headers, body
        self.peer, self.request_id, self.received_ns = peer, request_id, received_ns


class Response:
    """An answer. headers: pairs without line breaks; Content-Length, Date and X-Request-Id are http.py's."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self, status: int, body: bytes, content_type: str = JSON, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.status, self.body, self.content_type, self.headers = status, body, content_type, headers


class Access(enum.Enum):
    """What a caller needs. All but OPEN are signed, or (under /api/v1) have the dashboard's cookie."""

    OPEN = "open"  # anybody
    KEY = "key"  # names a live key, not signed (listen keys of user data streams)
    READ = "read"  # the permission `read`
    TRADE = "trade"
    CANCEL = "cancel"
    ADMIN = "admin"


@dataclasses.dataclass(slots=True)
class Call:
    """What a handler is given.

    caller      who signed; None where Access is OPEN
    parameters  of the type that the route names: query, and a form's body
    body        of the type that the route names: a JSON body
    path        parts of the path that the route names in braces
    nonce       16 bytes that are this call's own, of its signature: the core refuses them a second time
    timestamp_ns of the request, as signed; with nonce
    """

    gateway: Gateway
    request: Request
    caller: Caller | None
    parameters: Any
    body: Any
    path: Mapping[str, str]
    nonce: bytes
    timestamp_ns: int


class Later:
    """A result that comes with a future: finish(what the future brings) is called in the future's own callback.

    The same as a coroutine that awaits one future, for a fifth of what a task costs: orders are answered so.
    """

    __slots__ = ("finish", "future")

    def __init__(self, future: asyncio.Future[Any], finish: Callable[[Any], Any]) -> None:
        self.future, self.finish = future, finish

    def __await__(self) -> Generator[Any, None, Any]:
        return self.finish((yield from self.future.__await__()))


class Reply(Protocol):
    """An answer that is not there yet: an asyncio.Future[Response], or what is like one."""

    def done(self) -> bool:
        """Is it there?"""

    def result(self) -> Response:
        """It, once it is there."""

    def add_done_callback(self, function: Callable[[Any], object], /) -> object:
        """Call this with it when it is there."""


Result = Any  # what msgspec encodes, or a Response as it is
Handler = Callable[[Call], Result | Awaitable[Result]]


class NoParameters(msgspec.Struct, frozen=True):
    """A route that takes none."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation.

    path        such as /api/v3/order or /api/v1/keys/{key_id}
    parameters  struct of the query (and of a form body, in the Binance dialect)
    body        struct of the JSON body, or None
    returns     type of the result, for the document; a handler may return any type that encodes to it
    weight      what it counts toward an address's limit; a function of the parameters where it depends on them
    orders      how many orders it counts toward an account's limits
    status      of an answer; of a path that is reserved that of its one refusal
    problems    which refusals clients should expect beside those of signing and parameters
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    access: Access = Access.OPEN
    parameters: type[msgspec.Struct] = NoParameters
    body: type[msgspec.Struct] | None = None
    returns: Any = None
    status: int = 200
    weight: int | Callable[[Any], int] = 1
    orders: int = 0
    problems: tuple[Problem, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SocketRoute:
    """What serves a WebSocket: the longest prefix of the path wins.

    make   makes the handler of one socket (websocket.SocketHandler); may raise ApiError, answered before the upgrade
    """

    prefix: str
    make: Callable[[Gateway, Request], Any]
    summary: str
    tag: str
