"""From a request to its answer: find the route, count it, know the caller, convert what was sent, call the handler.

    Request ─▶ route ─▶ weight of the address ─▶ caller (signature, or cookie under /api/v1) ─▶ parameters and body
                                                                             ─▶ order counts ─▶ handler ─▶ Response

Everything that is refused on the way has changed nothing. `handle` never raises: what nobody expected becomes a 500
with the request id, and the log has the rest.
"""

from __future__ import annotations

import asyncio
import re
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

import msgspec

from engine_node.logs import Log
from gateway import errors
from gateway.assets import PAGES, Assets
from gateway.errors import ApiError, Problem
from gateway.routing import JSON, Access, Call, Later, NoParameters, Reply, Request, Response, Route, SocketRoute
from gateway.websocket import shown
from schemas.vocabulary import Permission

if TYPE_CHECKING:
    from gateway.auth import Caller
    from gateway.context import Gateway
    from gateway.websocket import SocketHandler

__all__ = ["App", "Bound", "pairs", "parameters", "render", "speaks_v1"]

SIGNING: Final = ("timestamp", "recvWindow", "signature")
PARAMETER_COUNT_MAX: Final = 100
SOCKET_WEIGHT: Final = 2
STARTING: Final = "The gateway has not caught up with the journal; try again soon."
PERMISSION: Final = {
    Access.READ: int(Permission.READ),  # plain numbers: those of an enumeration are slow to combine
    Access.TRADE: int(Permission.TRADE),
    Access.CANCEL: int(Permission.CANCEL),
    Access.ADMIN: int(Permission.ADMIN),
}
# Of every answer of the API. A page of another site may not read it, frame it or guess its type.
SECURITY: Final = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)
CROSS_ORIGIN_HEADERS: Final = "X-MBX-APIKEY, Content-Type, X-Ironbook-Request"
SHOWN_HEADERS: Final = "X-MBX-USED-WEIGHT-1M, X-MBX-ORDER-COUNT-10S, X-MBX-ORDER-COUNT-1D, Retry-After, X-Request-Id"
_MISSING = re.compile(r"missing required field `([^`]+)`")
_PLACE = re.compile(r" - at `\$\.?([^`]*)`")
_TO_PROBLEM: Final = {
    "side": errors.SIDE,
    "type": errors.ORDER_TYPE,
    "timeInForce": errors.TIME_IN_FORCE,
    "interval": errors.INTERVAL,
}

Answer = Response | Reply
Headers = tuple[tuple[str, str], ...]
_encode = msgspec.json.Encoder().encode


def speaks_v1(path: str) -> bool:
    """Are refusals at this path told as /api/v1 tells them? Else as the Binance dialect does."""
    return not path.startswith(("/api/v3/", "/sapi/", "/fapi/", "/dapi/", "/ws", "/stream"))


def render(error: ApiError, request: Request) -> Response:
    """A refusal in the shape of the dialect of its path."""
    problem = error.problem
    if speaks_v1(request.path):
        text, detail = error.text, error.detail
        if problem in (errors.FILTER, errors.PRECISION) and detail:  # the dialect's words are for its own clients
            text, detail = detail, ""
        said: dict[str, Any] = {"code": problem.name, "message": text}
        said |= {name: more for name, more in (("detail", detail), ("hint", error.hint)) if more}
        body = _encode({"error": said | {"request_id": request.request_id}})
    else:
        body = _encode({"code": problem.binance, "msg": error.text} | (error.more or {}))
    more = () if error.retry_after is None else (("Retry-After", str(error.retry_after)),)
    return Response(problem.status, body, JSON, SECURITY + more)


class Bound:
    """A route made ready: what would be looked up for each request stands here."""

    __slots__ = ("count_weight", "names", "parts", "pattern", "route", "signed", "v1", "weight")

    def __init__(self, route: Route) -> None:
        self.route = route
        fields = msgspec.structs.fields(route.parameters)
        self.names = frozenset(field.encode_name for field in fields)
        self.signed = route.access in PERMISSION
        self.v1 = speaks_v1(route.path)
        self.weight = 0 if callable(route.weight) else route.weight
        self.count_weight: Callable[[Any], int] | None = route.weight if callable(route.weight) else None
        self.parts = re.findall(r"{(\w+)}", route.path)
        self.pattern = re.compile(re.sub(r"{\w+}", "([^/]+)", route.path))


class App:
    """All routes of one gateway. Until it is open only what tells of health is answered, all else is 503."""

    def __init__(
        self,
        gateway: Gateway,
        routes: tuple[Route, ...],
        sockets: tuple[SocketRoute, ...],
        log: Log,
        pages: Assets | None = None,
    ) -> None:
        self.gateway = gateway
        self._sockets = sorted(sockets, key=lambda one: -len(one.prefix))
        self._log, self._pages = log, pages
        self._plain: dict[str, dict[str, Bound]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Bound]]] = []
        self._origins = frozenset(one.strip() for one in gateway.settings.allowed_origins.split(",") if one.strip())
        for route in routes:
            self._add(Bound(route))

    def _add(self, bound: Bound) -> None:
        path = bound.route.path
        if not bound.parts:
            methods = self._plain.setdefault(path, {})
        else:
            methods = next((found for pattern, found in self._patterns if pattern == bound.pattern), {})
            if not methods:
                self._patterns.append((bound.pattern, methods))
        if bound.route.method in methods:
            raise ValueError(f"a route must be there once, {bound.route.method} {path} is there twice")
        methods[bound.route.method] = bound

    # ---- A WebSocket ------------------------------------------------------------------------------------------------

    def upgrade(self, request: Request) -> SocketHandler | Response:
        """Who serves the WebSocket that is asked for, or why none is opened. Never raises."""
        try:
            self.gateway.limits.weight(request.peer, SOCKET_WEIGHT, self.gateway.now_ns())
            if not (self.gateway.open and self.gateway.mirror.live):
                raise ApiError(errors.ENGINE_AWAY, STARTING, retry_after=1)
            for socket in self._sockets:
                if request.path == socket.prefix or request.path.startswith(socket.prefix + "/"):
                    made: SocketHandler = socket.make(self.gateway, request)
                    return made
            raise ApiError(errors.NOT_FOUND, detail=request.path[:200], hint="see /docs")
        except Exception as error:
            return self._refuse(request, error)

    # ---- One request ------------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Answer:
        """The answer, or the future of one. Never raises."""
        began_ns = time.perf_counter_ns()
        headers: Headers = ()
        try:
            bound, path = self._find(request)
            if bound is None:
                return self._elsewhere(request, path)
            call, headers = self._counted(bound, path, request)
            result = bound.route.handler(call)
            if type(result) is Later:
                return _Reply(self, bound, request, headers, began_ns, result)
            if hasattr(result, "__await__"):  # a tenth of what isinstance with the abstract class takes
                return asyncio.get_running_loop().create_task(self._later(bound, request, result, headers, began_ns))
            response = self._answer(bound, request, result, headers)
        except Exception as error:
            bound = None
            response = self._refuse(request, error, headers)
        self._count(bound, response, began_ns)
        return response

    async def _later(
        self, bound: Bound, request: Request, result: Awaitable[Any], headers: Headers, began_ns: int
    ) -> Response:
        try:
            response = self._answer(bound, request, await result, headers)
        except Exception as error:
            response = self._refuse(request, error, headers)
        self._count(bound, response, began_ns)
        return response

    def _find(self, request: Request) -> tuple[Bound | None, Mapping[str, str]]:
        """The route and the parts of its path; no route: the methods that the path takes, by name."""
        methods = self._plain.get(request.path)
        parts: tuple[str, ...] = ()
        if methods is None:
            for pattern, found in self._patterns:
                if match := pattern.fullmatch(request.path):
                    methods, parts = found, match.groups()
                    break
            else:
                return None, {}
        bound = methods.get("GET" if request.method == "HEAD" else request.method)
        if bound is None:
            return None, dict.fromkeys(methods, "")
        return bound, dict(zip(bound.parts, parts, strict=True)) if parts else {}

    def _elsewhere(self, request: Request, methods: Mapping[str, str]) -> Response:
        """No route: a preflight, a page, or nothing."""
        if methods and request.method == "OPTIONS":
            return self._preflight(request, methods)
        used = self.gateway.limits.weight(request.peer, 1, self.gateway.now_ns())
        if not methods and request.method in ("GET", "HEAD") and self._pages is not None:
            page = self._pages.find(request)
            if page is not None:
                return page
        if methods:
            response = self._refuse(request, ApiError(errors.METHOD_NOT_ALLOWED, hint=", ".join(methods)), used)
            response.headers += (("Allow", ", ".join((*methods, "OPTIONS"))),)
            return response
        missing = ApiError(errors.NOT_FOUND, detail=request.path[:200], hint="see /docs")
        if request.path in PAGES or request.path == "/docs":
            missing = ApiError(errors.NOT_FOUND, "No dashboard was built here.", hint="make dashboard builds it")
        return self._refuse(request, missing, used)

    def _preflight(self, request: Request, methods: Mapping[str, str]) -> Response:
        allowed: Headers = (("Allow", ", ".join((*methods, "OPTIONS"))),)
        if request.headers.get("origin") in self._origins:
            allowed += (
                ("Access-Control-Allow-Methods", ", ".join(methods)),
                ("Access-Control-Allow-Headers", CROSS_ORIGIN_HEADERS),
                ("Access-Control-Max-Age", "600"),
            )
        return Response(204, b"", JSON, SECURITY + allowed + self._cross_origin(request))

    def _cross_origin(self, request: Request) -> Headers:
        """A cookie is never taken from another origin, so credentials are never allowed."""
        origin = request.headers.get("origin")
        if origin is None or origin not in self._origins:
            return ()
        shown = ("Access-Control-Expose-Headers", SHOWN_HEADERS)
        return (("Access-Control-Allow-Origin", origin), ("Vary", "Origin"), shown)

    def _counted(self, bound: Bound, path: Mapping[str, str], request: Request) -> tuple[Call, Headers]:
        """What the handler is given; headers that tell what is used by now, whether it then refuses or not."""
        gateway, route = self.gateway, bound.route
        now_ns = gateway.now_ns()
        if route.tag != "health" and not (gateway.open and gateway.mirror.live):
            raise ApiError(errors.ENGINE_AWAY, STARTING, retry_after=1)
        headers = gateway.limits.weight(request.peer, bound.weight, now_ns)
        sent = pairs(request, form=not bound.v1)
        caller: Caller | None = None
        nonce, timestamp_ns = b"", 0
        if bound.signed:
            caller, nonce, timestamp_ns = self._know(bound, request, sent, now_ns)
        else:
            _take_signing(sent)
            if route.access is Access.KEY:
                caller = gateway.keys.named(request.headers.get("x-mbx-apikey", ""), request.peer).caller
        given = parameters(bound, sent)
        if bound.count_weight is not None:
            headers = gateway.limits.weight(request.peer, bound.count_weight(given), now_ns)
        body = None if route.body is None else _body(route.body, request)
        if route.orders and caller is not None:
            headers += gateway.limits.orders(caller.account, route.orders, now_ns)
        return Call(gateway, request, caller, given, body, path, nonce, timestamp_ns), headers

    def _know(self, bound: Bound, request: Request, sent: dict[str, str], now_ns: int) -> tuple[Caller, bytes, int]:
        permission = PERMISSION[bound.route.access]
        if bound.v1 and "x-mbx-apikey" not in request.headers:
            _take_signing(sent)
            return self.gateway.sessions.authenticate(request, permission, now_ns)
        return self.gateway.keys.authenticate(request, sent, permission, now_ns)

    def _answer(self, bound: Bound, request: Request, result: Any, headers: Headers) -> Response:
        if isinstance(result, Response):
            result.headers += SECURITY + headers + self._cross_origin(request)
            return result
        more = self._cross_origin(request) if self._origins else ()
        return Response(bound.route.status, _encode(result), JSON, SECURITY + headers + more)

    def _refuse(self, request: Request, error: Exception, headers: Headers = ()) -> Response:
        """headers: of what was counted; none: it was refused before, and only the address's weight is told."""
        if not isinstance(error, ApiError):
            where = "".join(traceback.format_exception(error)[-6:])
            self._log.error("handler_failed", request_id=request.request_id, path=shown(request.path), error=where)
            error = ApiError(errors.INTERNAL, hint="the log has more under the request id")
        response = render(error, request)
        if not headers and error.problem is not errors.BANNED:  # of whom nothing is counted any more
            headers = self.gateway.limits.weight_header(request.peer, self.gateway.now_ns())
        response.headers += headers + self._cross_origin(request)
        return response

    def _count(self, bound: Bound | None, response: Response, began_ns: int) -> None:
        tag = "refused" if bound is None else bound.route.tag
        self.gateway.metrics.observe(tag, response.status, time.perf_counter_ns() - began_ns)


class _Reply:
    """The answer to a request whose handler gave a Later: made, and written, in the callback of its future."""

    __slots__ = ("_app", "_began_ns", "_bound", "_deliver", "_headers", "_later", "_request", "_response")

    def __init__(self, app: App, bound: Bound, request: Request, headers: Headers, began_ns: int, later: Later) -> None:
        self._app, self._bound, self._request, self._headers = app, bound, request, headers
        self._began_ns, self._later = began_ns, later
        self._response: Response | None = None
        self._deliver: Callable[[Any], object] = lambda reply: None

    def done(self) -> bool:
        return self._response is not None

    def result(self) -> Response:
        if self._response is None:
            raise asyncio.InvalidStateError("the answer is not there yet")
        return self._response

    def add_done_callback(self, function: Callable[[Any], object], /) -> None:
        self._deliver = function
        self._later.future.add_done_callback(self._ready)

    def _ready(self, future: asyncio.Future[Any]) -> None:
        app, request = self._app, self._request
        try:
            self._response = app._answer(self._bound, request, self._later.finish(future.result()), self._headers)
        except asyncio.CancelledError:
            self._response = app._refuse(request, ApiError(errors.OUTCOME_UNKNOWN), self._headers)
        except Exception as error:
            self._response = app._refuse(request, error, self._headers)
        app._count(self._bound, self._response, self._began_ns)
        self._deliver(self)


# ---- What was sent ---------------------------------------------------------------------------------------------------


def _take_signing(sent: dict[str, str]) -> None:
    for name in SIGNING:
        sent.pop(name, None)


def pairs(request: Request, *, form: bool) -> dict[str, str]:
    """Names and values of the query, and of a form's body. Raises ApiError."""
    raw = request.query
    if form and request.body:
        raw = raw + b"&" + request.body if raw else request.body
    if not raw:
        return {}
    pieces = raw.split(b"&", PARAMETER_COUNT_MAX)
    if len(pieces) > PARAMETER_COUNT_MAX:
        raise ApiError(errors.TOO_MANY_PARAMETERS)
    try:
        text = raw.decode("ascii")
        if "%" in text or "+" in text:
            found = [_unquoted(piece) for piece in text.split("&") if piece]
        else:
            found = [(name, value) for name, _, value in [piece.partition("=") for piece in text.split("&")] if name]
    except UnicodeDecodeError:
        raise ApiError(errors.ILLEGAL, "Illegal characters found in a parameter; it must be UTF-8.") from None
    named = dict(found)
    if len(named) != len(found):
        seen: set[str] = set()
        twice = next(name for name, _ in found if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ApiError(errors.TOO_MANY_PARAMETERS, f"Duplicate values for parameter '{twice[:40]}' detected.")
    return named


def _unquoted(piece: str) -> tuple[str, str]:
    name, _, value = piece.partition("=")
    return unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")


def parameters(bound: Bound, sent: dict[str, str]) -> Any:
    """What a route's handler is given of what was sent, by name. Raises ApiError where it does not fit."""
    if not sent.keys() <= bound.names and (bound.v1 or bound.route.method != "GET"):
        # Clients send more than they need to reads of the dialect; what changes something is read to the last word.
        extra = sorted(sent.keys() - bound.names)
        read = len(sent) - len(extra)
        text = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(sent)}'."
        raise ApiError(errors.UNREAD, text, detail=f"unknown: {', '.join(extra)[:200]}")
    if bound.route.parameters is NoParameters:
        return None
    for name, value in sent.items():
        if not value or (len(value) == 4 and value.lower() == "null"):  # which a conversion would take for None
            raise _missing(name)
    try:
        return msgspec.convert(sent, bound.route.parameters, strict=False)
    except msgspec.ValidationError as error:
        raise _unfit(str(error), v1=bound.v1) from None


def _body(kind: type[msgspec.Struct], request: Request) -> Any:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise ApiError(errors.MEDIA_TYPE, f"A body must be {JSON}.", hint=f"send the header Content-Type: {JSON}")
    try:
        return msgspec.json.decode(request.body, type=kind)
    except msgspec.ValidationError as error:
        raise _unfit(str(error), v1=True) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(errors.ILLEGAL, "A body must be one JSON object.", detail=str(error)[:200]) from None


def _missing(name: str) -> ApiError:
    return ApiError(errors.MANDATORY, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def _unfit(said: str, *, v1: bool) -> ApiError:
    """What a value that does not fit is refused with. said: msgspec's words."""
    missing, place = _MISSING.search(said), _PLACE.search(said)
    name = missing[1] if missing else place[1] if place else ""
    rule = _PLACE.sub("", said)
    if missing:
        return _missing(name)
    problem: Problem = errors.PARAMETER if v1 else _TO_PROBLEM.get(name, errors.ILLEGAL)
    if problem is errors.PARAMETER:
        return ApiError(problem, f"{name or 'the body'}: {rule}"[:300])
    if problem is errors.ILLEGAL:
        return ApiError(problem, f"Illegal characters found in parameter '{name}'; {rule[:200]}.")
    return ApiError(problem)
