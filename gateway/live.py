"""/api/v1/stream: an account's events with numbers and resumption, order-by-order books, and the state of the market.

    client ── {"op": "login" | "subscribe" | "unsubscribe" | "ping", …, "id"} ──▶ LiveSocket
    client ◀── {"op": the same or "error", …, "id"}      answers, each with the id of its request
    client ◀── {"channel": "account" | "level3" | "status", "type": …}

docs/reference/streams-websocket.md says every message. `account` needs a key that may read: by login (a signature over
"apiKey=…&timestamp=…"), or by the dashboard's cookie if the page is of this very host. The other channels are public.

A socket holds its account only as long as the key, or the session, does.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import msgspec

from gateway import errors
from gateway.account_channel import AccountChannels, Place
from gateway.auth import Caller
from gateway.binance.signatures import signatures
from gateway.context import Gateway
from gateway.errors import ApiError
from gateway.events import Event
from gateway.level3 import Level3Channels
from gateway.market import Listener
from gateway.paced import Paced
from gateway.routing import Request, SocketRoute
from gateway.symbols import Instrument
from gateway.v1.shapes import STATES
from gateway.websocket import Socket, frame
from schemas.vocabulary import Permission

__all__ = ["SOCKETS", "LiveSocket"]

SOCKET_WEIGHT: Final = 2
SUBSCRIBE_WEIGHT: Final = 5
SNAPSHOT_WEIGHT: Final = 50  # of a whole book
STATUS_S: Final = 1.0
LOOK_S: Final = 1.0  # how often a session is looked at that could have ended meanwhile
ID_LENGTH_MAX: Final = 64
_encode: Final = msgspec.json.Encoder().encode
_Number = int | str | None


class _Status(Listener):
    """The channel `status`: once a second, and at once when a trading state changes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._subscribers: dict[Paced, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._changed = False
        gateway.market.on(self)

    def join(self, who: Paced) -> list[bytes]:
        """Its first message."""
        self._subscribers[who] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(STATUS_S, self._tick)
        return [self._message()]

    def leave(self, who: Paced) -> None:
        """It wants no more."""
        self._subscribers.pop(who, None)

    def state(self, event: Event) -> None:
        if self._subscribers and not self._changed:
            self._changed = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(STATUS_S, self._tick) if self._subscribers else None
        self._tell()

    def _tell(self) -> None:
        self._changed = False
        if self._subscribers:
            ready = self._message()
            for one in list(self._subscribers):
                one.send(ready)

    def _message(self) -> bytes:
        gateway, mirror = self._gateway, self._gateway.mirror
        instruments = []
        for number in sorted(mirror.instruments):
            told: Any = mirror.core.instrument(number)
            if told is not None:
                instruments.append(
                    {
                        "symbol": mirror.instruments[number].symbol,
                        "state": STATES[told["trading_state"]],
                        "auction_ends_ns": told["auction_ends_ns"] or None,
                    }
                )
        said = {
            "channel": "status", "type": "status", "time_ns": gateway.now_ns(), "sequence": mirror.sequence,
            "live": mirror.live, "behind_ns": mirror.behind_ns(), "lag_records": mirror.lag_records(),
            "engine": gateway.line.connected, "everything_halted": mirror.core.everything_halted(),
            "instruments": instruments,
        }  # fmt: skip
        return frame(_encode(said))


class _Channels:
    """All channels of one gateway, and the sockets that hold an account."""

    def __init__(self, gateway: Gateway) -> None:
        self.account, self.level3, self.status = AccountChannels(gateway), Level3Channels(gateway), _Status(gateway)
        self.sockets: set[LiveSocket] = set()
        gateway.keys.on_change(self.look)

    def look(self) -> None:
        """Whose key or session has ended holds its account no longer."""
        for one in list(self.sockets):
            one.look()


def _channels(gateway: Gateway) -> _Channels:
    found = gateway.shared.get(_Channels)
    if not isinstance(found, _Channels):
        found = gateway.shared[_Channels] = _Channels(gateway)
    return found


class _Subscribe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may stand in a request of any op. after: [sequence, n] of account, the level 3 id of level3."""

    op: str
    id: int | str | None = None
    channel: str | None = None
    symbol: str | None = None
    after: int | tuple[int, int] | None = None
    after_trade: int | None = None
    key_id: str | None = None
    timestamp: int | str | None = None
    recv_window: int | str | None = None
    signature: str | None = None


_decode: Final = msgspec.json.Decoder(_Subscribe).decode


class LiveSocket:
    """One client of /api/v1/stream."""

    socket: Socket

    def __init__(self, gateway: Gateway, request: Request, caller: Caller | None) -> None:
        self._gateway, self._request, self._caller = gateway, request, caller
        self._channels = _channels(gateway)
        self._feeds: dict[tuple[str, str], tuple[Paced, Instrument | None]] = {}
        self._account = 0  # that the channel `account` is of
        self._timer: asyncio.TimerHandle | None = None

    def opened(self, socket: Socket) -> None:
        """Of websocket.SocketHandler."""
        self.socket = socket
        self._channels.sockets.add(self)
        if self._caller is not None and self._caller.via == "cookie":
            self._look_later()

    def lost(self) -> None:
        """Of websocket.SocketHandler."""
        self._channels.sockets.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        for name in list(self._feeds):
            self._drop(name)

    def received(self, text: bytes) -> None:
        """Of websocket.SocketHandler: one request."""
        number: _Number = None
        try:
            said = _read(text)
            number = said.id
            if isinstance(number, str) and len(number) > ID_LENGTH_MAX:
                number = None
                raise ApiError(errors.PARAMETER, f"id must have at most {ID_LENGTH_MAX} characters.")
            self._do(said)
        except ApiError as error:
            told: dict[str, object] = {"op": "error", "id": number, "code": error.problem.name, "message": error.text}
            told |= {name: text for name, text in (("detail", error.detail), ("hint", error.hint)) if text}
            if error.retry_after is not None:
                told["retry_after"] = error.retry_after
            self.socket.send(_encode(told))

    def _do(self, said: _Subscribe) -> None:
        match said.op:
            case "ping":
                self._answer("pong", said, time_ns=self._gateway.now_ns())
            case "login":
                self._login(said)
            case "subscribe":
                self._subscribe(said)
            case "unsubscribe":
                name = self._name(said)
                if name not in self._feeds:
                    raise ApiError(errors.PARAMETER, "A channel must have been subscribed to before it is left.")
                self._drop(name)
                self._answer("unsubscribed", said, channel=name[0], symbol=name[1] or None)
            case _:
                raise ApiError(errors.PARAMETER, "op must be login, subscribe, unsubscribe or ping.")

    def _answer(self, op: str, said: _Subscribe, **more: object) -> None:
        self.socket.send(_encode({"op": op, "id": said.id} | more))

    # ---- Who it is ---------------------------------------------------------------------------------------------------

    def _login(self, said: _Subscribe) -> None:
        if self._caller is not None:
            raise ApiError(errors.COMBINATION, "A socket is logged in once.", hint="open another one")
        signs = {"apiKey": said.key_id or "", "timestamp": str(said.timestamp or "")}
        if said.recv_window is not None:
            signs["recvWindow"] = str(said.recv_window)
        signed = "&".join(f"{name}={signs[name]}" for name in sorted(signs)).encode()
        gateway, now_ns = self._gateway, self._gateway.now_ns()
        gateway.limits.weight(self._request.peer, SOCKET_WEIGHT, now_ns)
        caller, nonce, _ = gateway.keys.verify(
            signs["apiKey"], signed, said.signature, signs["timestamp"], signs.get("recvWindow"), self._request.peer,
            Permission.READ, now_ns,
        )  # fmt: skip
        signatures(gateway).begin(nonce, signs, now_ns)
        self._caller = caller
        self._answer("login", said, key_id=self._caller.key_id, account=self._caller.account)

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look_again)

    def _look_again(self) -> None:
        self.look()
        if self._caller is not None:
            self._look_later()

    def look(self) -> None:
        """Its key must be live, be allowed here and may read; a session must go on."""
        gateway = self._gateway
        if self._caller is None:
            return
        if not gateway.sessions.good(self._caller, self._request.peer, gateway.now_ns()):
            self._caller = None
            if ("account", "") in self._feeds:
                self._drop(("account", ""))
            self.socket.send(
                _encode({"op": "logout", "id": None, "message": "The key or the session has ended; log in again."})
            )

    # ---- Channels ----------------------------------------------------------------------------------------------------

    def _name(self, said: _Subscribe) -> tuple[str, str]:
        """Channel and symbol, checked."""
        channel = said.channel
        if channel == "level3":
            if said.symbol is None:
                raise ApiError(errors.PARAMETER, "level3 must name a symbol.")
            return channel, self._gateway.mirror.instrument(said.symbol).symbol
        if channel not in ("account", "status"):
            raise ApiError(errors.PARAMETER, "channel must be account, level3 or status.")
        if said.symbol is not None:
            raise ApiError(errors.PARAMETER, f"{channel} must name no symbol.")
        return channel, ""

    def _subscribe(self, said: _Subscribe) -> None:
        gateway, name = self._gateway, self._name(said)
        if name in self._feeds:
            raise ApiError(errors.PARAMETER, "A channel must be left before it is subscribed to again.")
        if len(self._feeds) >= gateway.settings.socket_streams_max:
            raise ApiError(errors.PARAMETER, f"A socket has at most {gateway.settings.socket_streams_max} channels.")
        if not gateway.mirror.live and name[0] != "status":
            raise ApiError(errors.ENGINE_AWAY, "The gateway must have caught up; try again soon.", retry_after=1)
        weight = SNAPSHOT_WEIGHT if name[0] == "level3" else SUBSCRIBE_WEIGHT
        gateway.limits.weight(self._request.peer, weight, gateway.now_ns())
        feed = Paced(self.socket, gateway.settings.socket_buffer_max)
        if name[0] == "account":
            self._subscribe_account(said, feed)
        elif name[0] == "level3":
            self._subscribe_level3(said, feed, gateway.mirror.instrument(name[1]))
        else:
            self._feeds[name] = feed, None
            frames = self._channels.status.join(feed)
            self._answer("subscribed", said, channel="status")
            feed.begin(frames)

    def _subscribe_account(self, said: _Subscribe, feed: Paced) -> None:
        caller = self._caller
        if caller is None:
            raise ApiError(errors.UNAUTHORIZED, "The channel account needs a login.", hint="send op login first")
        if caller.account == 0:
            raise ApiError(errors.UNAUTHORIZED, "The key must belong to an account, it belongs to none.")
        after: Place | None = None
        if said.after is not None:
            if isinstance(said.after, int) or said.after_trade is not None:
                raise ApiError(errors.PARAMETER, "after must be [sequence, n] of the last message.")
            after = said.after
        self._account = caller.account
        self._feeds["account", ""] = feed, None
        at, resumed, frames = self._channels.account.join(caller.account, feed, after)
        self._answer("subscribed", said, channel="account", account=caller.account, at=at, resumed=resumed)
        feed.begin(frames)

    def _subscribe_level3(self, said: _Subscribe, feed: Paced, one: Instrument) -> None:
        if said.after is not None and not isinstance(said.after, int):
            raise ApiError(errors.PARAMETER, "after must be the id of the last change.")
        self._feeds["level3", one.symbol] = feed, one
        at, trade_id, resumed, frames = self._channels.level3.join(one, feed, said.after, said.after_trade)
        self._answer(
            "subscribed", said, channel="level3", symbol=one.symbol, at=at, trade_id=trade_id, resumed=resumed
        )  # fmt: skip
        feed.begin(frames)

    def _drop(self, name: tuple[str, str]) -> None:
        feed, instrument = self._feeds.pop(name)
        feed.end()
        if instrument is not None:
            self._channels.level3.leave(instrument, feed)
        elif name[0] == "account":
            self._channels.account.leave(self._account, feed)
        else:
            self._channels.status.leave(feed)


def _read(text: bytes) -> _Subscribe:
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ApiError(errors.ILLEGAL, f"A request must be one JSON object with op: {str(error)[:200]}.") from None


def _open(gateway: Gateway, request: Request) -> LiveSocket:
    """A socket; its caller is known already if the dashboard's cookie came from a page of this host."""
    if request.path.rstrip("/") != "/api/v1/stream":
        raise ApiError(errors.NOT_FOUND, detail=request.path[:200])
    caller: Caller | None = None
    with contextlib.suppress(ApiError):  # a session that has ended, or a page of others: nobody, who may log in
        caller = gateway.sessions.of_socket(request, gateway.now_ns())
        if caller is not None and not caller.may(Permission.READ):
            caller = None
    return LiveSocket(gateway, request, caller)


SOCKETS: Final = (
    SocketRoute(
        prefix="/api/v1/stream",
        make=_open,
        summary="An account's events, order-by-order books, and the market's state",
        tag="streams",
    ),
)
