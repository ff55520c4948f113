"""The WebSocket API of the Binance dialect: /ws-api/v3. Requests by name over one socket, and user data on it.

    {"id", "method", "params"} ──▶ the same route and handler as in REST ──▶ {"id", "status", "result" or "error"}

A request is signed over its parameters sorted by name, `name=value` joined by `&`, apiKey among them and signature left
out; or it comes after `session.logon`, which signs once for the socket. Answers come as they are ready and carry the id
of their request. A session ends when its key does.
"""

from __future__ import annotations

import asyncio
import secrets
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from gateway import errors
from gateway.app import PERMISSION, Bound, parameters
from gateway.auth import Caller
from gateway.binance import rest, user_data
from gateway.binance.signatures import signatures
from gateway.context import Gateway
from gateway.errors import ApiError
from gateway.routing import Access, Call, Request, SocketRoute
from gateway.websocket import Socket
from schemas.vocabulary import Permission

__all__ = ["METHODS", "SOCKETS", "ApiSocket", "signed_bytes"]

MESSAGES_PER_S: Final = 300  # what a client may send is bounded by its address's weight, too
UNDER_WAY_MAX: Final = 100
SUBSCRIPTION_COUNT_MAX: Final = 16
PARAMETER_COUNT_MAX: Final = 100
ID_LENGTH_MAX: Final = 36
SOCKET_WEIGHT: Final = 2
NONCE_BYTES: Final = 16
AROUND: Final = frozenset(("apiKey", "signature", "timestamp", "recvWindow", "returnRateLimits"))

# What is answered by the route of REST
METHODS: Final[dict[str, tuple[str, str]]] = {
    "ping": ("GET", "ping"),
    "time": ("GET", "time"),
    "exchangeInfo": ("GET", "exchangeInfo"),
    "depth": ("GET", "depth"),
    "trades.recent": ("GET", "trades"),
    "trades.historical": ("GET", "historicalTrades"),
    "trades.aggregate": ("GET", "aggTrades"),
    "klines": ("GET", "klines"),
    "uiKlines": ("GET", "uiKlines"),
    "avgPrice": ("GET", "avgPrice"),
    "ticker.24hr": ("GET", "ticker/24hr"),
    "ticker.price": ("GET", "ticker/price"),
    "ticker.book": ("GET", "ticker/bookTicker"),
    "order.place": ("POST", "order"),
    "order.test": ("POST", "order/test"),
    "order.status": ("GET", "order"),
    "order.cancel": ("DELETE", "order"),
    "order.cancelReplace": ("POST", "order/cancelReplace"),
    "order.amend.keepPriority": ("PUT", "order/amend/keepPriority"),
    "orderList.place.oco": ("POST", "orderList/oco"),
    "orderList.cancel": ("DELETE", "orderList"),
    "openOrders.status": ("GET", "openOrders"),
    "openOrders.cancelAll": ("DELETE", "openOrders"),
    "allOrders": ("GET", "allOrders"),
    "myTrades": ("GET", "myTrades"),
    "account.status": ("GET", "account"),
    "account.commission": ("GET", "account/commission"),
    "account.rateLimits.orders": ("GET", "rateLimit/order"),
}

_decode: Final = msgspec.json.Decoder(float_hook=str).decode  # a number's own digits are what was signed
_encode: Final = msgspec.json.Encoder().encode
_by_name: Final = {(route.method, route.path): route for route in rest.ROUTES}
_BOUND: Final = {name: Bound(_by_name[method, f"/api/v3/{path}"]) for name, (method, path) in METHODS.items()}


def signed_bytes(sent: dict[str, str]) -> bytes:
    """What the signature of a request's parameters is over."""
    return "&".join(f"{name}={sent[name]}" for name in sorted(sent) if name != "signature").encode()


class ApiSocket:
    """One client of the WebSocket API."""

    socket: Socket

    def __init__(self, gateway: Gateway, request: Request, *, limits_told: bool) -> None:
        self._gateway, self._request, self._limits_told = gateway, request, limits_told
        self._users = user_data.hub(gateway)
        self._caller: Caller | None = None  # who has logged on
        self._logon_ns = 0
        self._feeds: dict[int, user_data.Feed] = {}  # by subscription
        self._signed: dict[int, bool] = {}  # by subscription: was it signed for itself, and not by the logon?
        self._next_subscription = 0
        self._since_ns = gateway.now_ns()
        self._under_way: set[asyncio.Task[None]] = set()
        self._own: dict[str, Callable[[dict[str, str]], Any]] = {
            "session.logon": self._session_logon,
            "session.status": self._session_status,
            "session.logout": self._session_logout,
            "session.subscriptions": self._session_subscriptions,
            "userDataStream.subscribe": self._subscribe,
            "userDataStream.subscribe.signature": self._subscribe_signed,
            "userDataStream.unsubscribe": self._unsubscribe,
            "userDataStream.start": self._listen_key_start,
            "userDataStream.ping": self._listen_key_ping,
            "userDataStream.stop": self._listen_key_stop,
        }

    def opened(self, socket: Socket) -> None:
        """Of websocket.SocketHandler."""
        self.socket = socket
        socket.messages_per_s = max(socket.messages_per_s, MESSAGES_PER_S)
        _sockets(self._gateway).add(self)

    def lost(self) -> None:
        """Of websocket.SocketHandler. What is under way goes on: an order that was sent stays sent."""
        _sockets(self._gateway).discard(self)
        for feed in self._feeds.values():
            self._users.leave(feed)
        self._feeds.clear()

    # ---- A request ---------------------------------------------------------------------------------------------------

    def received(self, text: bytes) -> None:
        """Of websocket.SocketHandler."""
        ask = _Ask(limits_told=self._limits_told)
        try:
            sent = ask.read(text)
            if len(self._under_way) >= UNDER_WAY_MAX:
                raise ApiError(errors.TOO_MANY_REQUESTS, f"At most {UNDER_WAY_MAX} requests may be under way.")
            result = self._call(ask, sent)
        except Exception as error:
            self._refuse(ask, error)
            return
        if isinstance(result, Awaitable):
            task = asyncio.ensure_future(self._later(ask, result))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        else:
            self._answer(ask, result)

    def _call(self, ask: _Ask, sent: dict[str, str]) -> Any:
        gateway, now_ns = self._gateway, self._gateway.now_ns()
        own = self._own.get(ask.method)
        if own is not None:
            gateway.limits.weight(self._request.peer, SOCKET_WEIGHT, now_ns)
            return own(sent)
        bound = _BOUND.get(ask.method)
        if bound is None:
            raise ApiError(errors.ILLEGAL, f"Unknown method '{ask.method[:60]}'.")
        route = bound.route
        gateway.limits.weight(self._request.peer, bound.weight, now_ns)
        caller: Caller | None = None
        nonce, timestamp_ns = b"", 0
        if route.access is not Access.OPEN:
            caller, nonce, timestamp_ns = self._know(sent, PERMISSION[route.access], now_ns)
            ask.account = caller.account if route.orders else 0
        found = parameters(bound, {name: value for name, value in sent.items() if name not in AROUND})
        if bound.count_weight is not None:
            gateway.limits.weight(self._request.peer, bound.count_weight(found), now_ns)
        if caller is not None and route.orders:
            gateway.limits.orders(caller.account, route.orders, now_ns)
        return route.handler(Call(gateway, self._request, caller, found, None, {}, nonce, timestamp_ns))

    def _know(self, sent: dict[str, str], permission: int, now_ns: int) -> tuple[Caller, bytes, int]:
        """Who asks: who signed, or who has logged on; their nonce is new each time, for nobody else can repeat it."""
        if "signature" in sent or self._caller is None:
            return self._verify(sent, permission, now_ns)
        key = self._gateway.keys.named(self._caller.key_id, self._request.peer)
        if sent.get("apiKey", key.key_id) != key.key_id or key.permissions & permission != permission:
            raise ApiError(errors.KEY_REFUSED)
        return self._caller, secrets.token_bytes(NONCE_BYTES), now_ns

    def _verify(
        self, sent: dict[str, str], permission: int, now_ns: int, *, begins: bool = False
    ) -> tuple[Caller, bytes, int]:
        """Who signed. begins: a session or a stream, which a signature does once.

        Permissions are asked last: what is refused for want of one was seen all the same, and is no logon.
        """
        caller, nonce, timestamp_ns = self._gateway.keys.verify(
            sent.get("apiKey", ""), signed_bytes(sent), sent.get("signature"), sent.get("timestamp"),
            sent.get("recvWindow"), self._request.peer, 0, now_ns,
        )  # fmt: skip
        seen = signatures(self._gateway)
        (seen.begin if begins else seen.saw)(nonce, sent, now_ns)
        if not caller.may(permission):
            raise ApiError(errors.KEY_REFUSED)
        return caller, nonce, timestamp_ns

    # ---- Answers -----------------------------------------------------------------------------------------------------

    async def _later(self, ask: _Ask, result: Awaitable[Any]) -> None:
        try:
            found = await result
        except asyncio.CancelledError:  # not this request, but what it waits for: the client is told all the same
            self._refuse(ask, ApiError(errors.OUTCOME_UNKNOWN))
        except Exception as error:
            self._refuse(ask, error)
        else:
            self._answer(ask, found)

    def _answer(self, ask: _Ask, result: Any) -> None:
        self._send(ask, {"id": ask.number, "status": 200, "result": result})

    def _refuse(self, ask: _Ask, error: Exception) -> None:
        if not isinstance(error, ApiError):
            where, request_id = "".join(traceback.format_exception(error)[-6:]), self._request.request_id
            self._gateway.log.error("socket_request_failed", request_id=request_id, method=ask.method[:60], error=where)
            error = ApiError(errors.INTERNAL)
        said: dict[str, Any] = {"code": error.problem.binance, "msg": error.text}
        if error.retry_after is not None:
            now_ms = self._gateway.now_ns() // 1_000_000
            said["data"] = {"serverTime": now_ms, "retryAfter": now_ms + error.retry_after * 1_000}
        said |= error.more or {}
        self._send(ask, {"id": ask.number, "status": error.problem.status, "error": said})

    def _send(self, ask: _Ask, said: dict[str, Any]) -> None:
        if ask.limits_told:
            said["rateLimits"] = self._rate_limits(ask)
        self.socket.send(_encode(said))

    def _rate_limits(self, ask: _Ask) -> list[dict[str, str | int]]:
        limits, settings, now_ns = self._gateway.limits, self._gateway.settings, self._gateway.now_ns()
        used = limits.used_weight(self._request.peer, now_ns)
        found = [_limit("REQUEST_WEIGHT", "MINUTE", 1, settings.weight_per_minute, used)]
        if ask.account:
            of_10_s, of_day = limits.used_orders(ask.account, now_ns)
            found.append(_limit("ORDERS", "SECOND", 10, settings.orders_per_10s, of_10_s))
            found.append(_limit("ORDERS", "DAY", 1, settings.orders_per_day, of_day))
        return found

    # ---- Sessions ----------------------------------------------------------------------------------------------------

    def _session_logon(self, sent: dict[str, str]) -> dict[str, Any]:
        now_ns = self._gateway.now_ns()
        self._caller, _, _ = self._verify(sent, 0, now_ns, begins=True)
        self._logon_ns = now_ns
        return self._session_status(sent)

    def _session_status(self, sent: dict[str, str]) -> dict[str, Any]:
        caller = self._caller
        return {
            "apiKey": None if caller is None else caller.key_id,
            "authorizedSince": None if caller is None else self._logon_ns // 1_000_000,
            "connectedSince": self._since_ns // 1_000_000,
            "returnRateLimits": self._limits_told,
            "serverTime": self._gateway.now_ns() // 1_000_000,
            "userDataStream": bool(self._feeds),
        }

    def _session_logout(self, sent: dict[str, str]) -> dict[str, Any]:
        self._end_session()
        return self._session_status(sent)

    def _end_session(self) -> None:
        self._caller = None
        for number in [number for number, signed in self._signed.items() if not signed]:
            self._terminate(number)

    def keys_changed(self) -> None:
        """A key that is gone, or may not be used from here or for this any more, loses what it opened."""
        gateway, peer = self._gateway, self._request.peer
        if self._caller is not None and not gateway.sessions.good(self._caller, peer, gateway.now_ns()):
            self._end_session()
        for number, feed in list(self._feeds.items()):
            if not self._reads(feed.key_id, feed.account):
                self._terminate(number)

    def _reads(self, key_id: str, account: int) -> bool:
        key = self._gateway.keys.lookup(key_id)
        if key is None or key.account != account or not key.allows(self._request.peer):
            return False
        return bool(key.permissions & Permission.READ)

    # ---- User data ---------------------------------------------------------------------------------------------------

    def _subscribe(self, sent: dict[str, str]) -> dict[str, Any]:
        if self._caller is None:
            raise ApiError(errors.UNAUTHORIZED, "You must log on with session.logon first.")
        caller, _, _ = self._know({}, Permission.READ, self._gateway.now_ns())
        return self._follow(caller, signed=False)

    def _subscribe_signed(self, sent: dict[str, str]) -> dict[str, Any]:
        caller, _, _ = self._verify(sent, Permission.READ, self._gateway.now_ns(), begins=True)
        return self._follow(caller, signed=True)

    def _follow(self, caller: Caller, *, signed: bool) -> dict[str, Any]:
        if any(feed.account == caller.account for feed in self._feeds.values()):
            raise ApiError(errors.COMBINATION, "This connection has a user data stream of the account already.")
        if len(self._feeds) >= SUBSCRIPTION_COUNT_MAX:
            raise ApiError(errors.TOO_MANY_REQUESTS, f"A connection has at most {SUBSCRIPTION_COUNT_MAX} of them.")
        number, self._next_subscription = self._next_subscription, self._next_subscription + 1
        head = b'{"subscriptionId":%d,"event":' % number
        feed = self._users.add(caller.account, caller.key_id, lambda event: self.socket.send(head + event + b"}"))
        self._feeds[number], self._signed[number] = feed, signed
        return {"subscriptionId": number}

    def _terminate(self, number: int) -> None:
        """It ends without having been asked for: the client is told."""
        feed = self._drop(number)
        feed.tell(_encode({"e": "eventStreamTerminated", "E": self._gateway.now_ns() // 1_000_000}))

    def _drop(self, number: int) -> user_data.Feed:
        feed = self._feeds.pop(number)
        del self._signed[number]
        self._users.leave(feed)
        return feed

    def _unsubscribe(self, sent: dict[str, str]) -> dict[str, Any]:
        """One subscription, or all."""
        wanted = sent.get("subscriptionId")
        found = [number for number in self._feeds if wanted is None or str(number) == wanted]
        if wanted is not None and not found:
            raise ApiError(errors.PARAMETER, "subscriptionId must be one of this connection's.")
        for number in found:
            self._drop(number)
        return {}

    def _session_subscriptions(self, sent: dict[str, str]) -> list[dict[str, Any]]:
        return [{"subscriptionId": number} for number in self._feeds]

    # ---- Listen keys -------------------------------------------------------------------------------------------------

    def _owner(self, sent: dict[str, str]) -> Caller:
        """Of whom a listen key is that exists: who knows it need not sign."""
        return user_data.reader(self._gateway.keys.named(sent.get("apiKey", ""), self._request.peer).caller)

    def _listen_key_start(self, sent: dict[str, str]) -> dict[str, str]:
        """By the session; else by a signature of its own; by the key's name alone where the settings say so."""
        signed, now_ns = "signature" in sent, self._gateway.now_ns()
        if self._caller is not None and not signed:
            caller, _, _ = self._know(sent, Permission.READ, now_ns)
        elif self._gateway.settings.unsigned_listen_keys and not signed:
            caller = self._owner(sent)
        else:  # it outlives the request, as a session does: no request that somebody saw may begin it
            caller, _, _ = self._verify(sent, Permission.READ, now_ns, begins=True)
        return {"listenKey": self._users.create(caller.account, caller.key_id)}

    def _listen_key_ping(self, sent: dict[str, str]) -> dict[str, str]:
        self._users.keep(sent.get("listenKey", ""), self._owner(sent).account)
        return {}

    def _listen_key_stop(self, sent: dict[str, str]) -> dict[str, str]:
        self._users.close(sent.get("listenKey", ""), self._owner(sent).account)
        return {}


# ---- What was sent ---------------------------------------------------------------------------------------------------


class _Ask:
    """One request. account: whose orders it counts, 0 if none's."""

    __slots__ = ("account", "limits_told", "method", "number")

    def __init__(self, *, limits_told: bool) -> None:
        self.number: int | str | None = None
        self.method, self.account, self.limits_told = "", 0, limits_told

    def read(self, text: bytes) -> dict[str, str]:
        """The parameters, as texts. Raises ApiError."""
        try:
            said = _decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ApiError(errors.ILLEGAL, f"A request must be one JSON object: {str(error)[:100]}.") from None
        if not isinstance(said, dict):
            raise ApiError(errors.ILLEGAL, "A request must be one JSON object.")
        number, method, sent = said.get("id"), said.get("method"), said.get("params")
        if isinstance(number, int | str | None) and not isinstance(number, bool) and len(str(number)) <= ID_LENGTH_MAX:
            self.number = number
        else:
            raise ApiError(errors.ILLEGAL, "Illegal characters found in parameter 'id'; it is an integer or a text.")
        if not isinstance(method, str):
            raise ApiError(errors.MANDATORY, "Mandatory parameter 'method' was not sent, was empty/null, or malformed.")
        self.method = method
        if sent is None:
            sent = {}
        if not isinstance(sent, dict) or len(sent) > PARAMETER_COUNT_MAX:
            raise ApiError(errors.ILLEGAL, f"'params' must be an object of at most {PARAMETER_COUNT_MAX} members.")
        found = {name: _text(value) for name, value in sent.items() if value is not None}
        self.limits_told = found.get("returnRateLimits", "true" if self.limits_told else "false") == "true"
        return found


def _text(value: Any) -> str:
    """A parameter as a query would have it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else _encode(value).decode()


def _limit(kind: str, interval: str, number: int, limit: int, used: int) -> dict[str, str | int]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit, "count": used}


class _Open:
    """The sockets of one gateway, so that a change of keys reaches them."""

    def __init__(self, gateway: Gateway) -> None:
        self.sockets: set[ApiSocket] = set()
        gateway.keys.on_change(self._keys_changed)

    def _keys_changed(self) -> None:
        for one in list(self.sockets):
            one.keys_changed()


def _sockets(gateway: Gateway) -> set[ApiSocket]:
    found = gateway.shared.get(_Open)
    if not isinstance(found, _Open):
        found = gateway.shared[_Open] = _Open(gateway)
    return found.sockets


def _open(gateway: Gateway, request: Request) -> ApiSocket:
    if request.path.rstrip("/") != "/ws-api/v3":
        raise ApiError(errors.NOT_FOUND, detail=request.path[:200], hint="the WebSocket API is at /ws-api/v3")
    return ApiSocket(gateway, request, limits_told=b"returnRateLimits=false" not in request.query.split(b"&"))


SOCKETS: Final = (SocketRoute(prefix="/ws-api/v3", make=_open, summary="Requests over a WebSocket", tag="streams"),)
