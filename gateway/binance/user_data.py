"""User data of the Binance dialect: executionReport, outboundAccountPosition, balanceUpdate; and listen keys.

    Market ── orders, balances ──▶ Hub ── one message an event ──▶ feeds: sockets of streams.py and ws_api.py

An event's message says the order as it stood behind that event, also where one step of the mirror brought several. The
events of a step come in their order, then the balances that the step left. Nobody's messages are made while nobody of
the account listens.

Listen keys are the older way in: unguessable names of one key's stream, good for 60 minutes since they were last kept
alive. They live in this process: after a restart a client asks for another one. To ask for one is a signed request;
who knows one may follow, keep and end it, from where its key may be used.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from gateway import errors
from gateway.app import pairs
from gateway.auth import Caller
from gateway.binance import texts
from gateway.binance.signatures import signatures
from gateway.context import Gateway
from gateway.errors import ApiError
from gateway.events import RECORD_BYTES, Batch, Event, command_at
from gateway.market import Fill, Listener, Order
from gateway.routing import Access, Call, Route
from gateway.symbols import Instrument, client_text
from schemas import vocabulary as v

__all__ = ["ROUTES", "Feed", "Hub", "Tell", "execution_report", "hub", "reader"]

LISTEN_KEY_S: Final = 3_600
LISTEN_KEY_BYTES: Final = 32
NO_LIST: Final = -1

Tell = Callable[[bytes], None]  # sends one event to one client
_encode: Final = msgspec.json.Encoder().encode
_ASKED_FOR: Final = frozenset((int(v.Code.CANCELLED_BY_REQUEST), int(v.Code.CANCELLED_BY_MASS_CANCEL)))
_CANCELLED: Final = int(v.EventKind.CANCELLED)


class State(NamedTuple):
    """What changes of an order, as it was behind an event."""

    status: str
    price_ticks: int
    quantity_lots: int
    remaining_lots: int
    filled_lots: int
    notional_units: int
    working_ns: int


def state_of(order: Order) -> State:
    """As it stands now."""
    return State(
        texts.status_text(order), order.price_ticks, order.quantity_lots, order.remaining_lots, order.filled_lots,
        order.notional_units, order.working_ns,
    )  # fmt: skip


def cancel_text(batch: Batch, event: Event) -> str:
    """What the client called the cancel that made this event; empty if another kind of command made it."""
    command = command_at(batch.records, (event.sequence - batch.first_sequence) * RECORD_BYTES)
    if command.kind not in (v.Kind.CANCEL, v.Kind.MASS_CANCEL):
        return ""
    said = (v.Cancel if command.kind == v.Kind.CANCEL else v.MassCancel).unpack(command.closing)
    return client_text(said.client_order_id, v.Text.unpack(command.text).text if command.text else b"")


class Happening(NamedTuple):
    """An event of an order of somebody who listens."""

    order: Order
    event: Event
    fill: Fill | None
    state: State


class Feed:
    """One client's wish for the events of an account. listen_key, peer: by which, and from where, if by any."""

    __slots__ = ("account", "key_id", "listen_key", "peer", "tell")

    def __init__(self, account: int, key_id: str, tell: Tell) -> None:
        self.account, self.key_id, self.tell = account, key_id, tell
        self.listen_key = self.peer = ""


class ListenKey:
    """A name of one key's user data stream."""

    __slots__ = ("account", "expires_ns", "feeds", "key_id", "text", "timer")

    def __init__(self, account: int, key_id: str) -> None:
        self.account, self.key_id = account, key_id
        self.text = secrets.token_hex(LISTEN_KEY_BYTES)
        self.expires_ns = 0
        self.feeds: list[Feed] = []
        self.timer: asyncio.TimerHandle | None = None


class Hub(Listener):
    """All user data streams of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._feeds: dict[int, list[Feed]] = {}  # by account
        self._happened: list[Happening] = []
        self._deposits: list[Event] = []
        self._touched: set[tuple[int, int]] = set()
        self._listen_keys: dict[str, ListenKey] = {}
        self._of_key: dict[str, ListenKey] = {}
        gateway.market.on(self)
        gateway.keys.on_change(self._keys_changed)

    # ---- Who listens -------------------------------------------------------------------------------------------------

    def add(self, account: int, key_id: str, tell: Tell) -> Feed:
        """All events of an account from now on."""
        feed = Feed(account, key_id, tell)
        self._feeds.setdefault(account, []).append(feed)
        return feed

    def join(self, listen_key: str, peer: str, tell: Tell) -> Feed | None:
        """The events of a listen key's account; None: there is no such listen key for this address."""
        found = self._listen_keys.get(listen_key)
        if found is None:
            return None
        key = self.gateway.keys.lookup(found.key_id)
        if key is None or not key.allows(peer):
            return None
        feed = self.add(found.account, found.key_id, tell)
        feed.listen_key, feed.peer = found.text, peer
        found.feeds.append(feed)
        return feed

    def leave(self, feed: Feed) -> None:
        """No more of it."""
        mine = self._feeds.get(feed.account, [])
        if feed in mine:
            mine.remove(feed)
            if not mine:
                del self._feeds[feed.account]
        known = self._listen_keys.get(feed.listen_key)
        if known is not None and feed in known.feeds:
            known.feeds.remove(feed)

    # ---- Listen keys -------------------------------------------------------------------------------------------------

    def create(self, account: int, key_id: str) -> str:
        """The key's listen key, kept alive from now on."""
        found = self._of_key.get(key_id)
        if found is None or found.account != account:
            found = ListenKey(account, key_id)
            self._of_key[key_id] = self._listen_keys[found.text] = found
        self._extend(found)
        return found.text

    def keep(self, listen_key: str, account: int) -> None:
        """Another 60 minutes. Raises ApiError."""
        self._extend(self._known(listen_key, account))

    def close(self, listen_key: str, account: int) -> None:
        """It is no longer good. Raises ApiError."""
        self._expire(self._known(listen_key, account))

    def _known(self, listen_key: str, account: int) -> ListenKey:
        found = self._listen_keys.get(listen_key)
        if found is None or found.account != account:
            raise ApiError(errors.LISTEN_KEY, hint="ask for one with POST /api/v3/userDataStream")
        return found

    def _extend(self, found: ListenKey) -> None:
        if found.timer is not None:
            found.timer.cancel()
        found.timer = asyncio.get_running_loop().call_later(LISTEN_KEY_S, self._expire, found)

    def _expire(self, found: ListenKey) -> None:
        """Tell those who listen by it, and forget it."""
        if found.timer is not None:
            found.timer.cancel()
        self._listen_keys.pop(found.text, None)
        if self._of_key.get(found.key_id) is found:
            del self._of_key[found.key_id]
        self._end(found, found.feeds)
        found.feeds.clear()

    def _end(self, found: ListenKey, feeds: list[Feed]) -> None:
        message = _encode({"e": "listenKeyExpired", "E": self._now_ms(), "listenKey": found.text})
        for feed in list(feeds):
            feed.tell(message)
            self.leave(feed)

    def _keys_changed(self) -> None:
        """A key that is gone, may not read any more or is of another account has no stream any more.

        Nor has an address that it may not be used from any more.
        """
        for found in list(self._listen_keys.values()):
            live = self.gateway.keys.lookup(found.key_id)
            if live is None or live.account != found.account or not live.permissions & v.Permission.READ:
                self._expire(found)
            else:
                self._end(found, [feed for feed in found.feeds if not live.allows(feed.peer)])

    def _now_ms(self) -> int:
        return self.gateway.now_ns() // 1_000_000

    # ---- What happens ------------------------------------------------------------------------------------------------

    def order(self, order: Order, event: Event, fill: Fill | None) -> None:
        if order.account in self._feeds and self.gateway.mirror.live:
            self._happened.append(Happening(order, event, fill, state_of(order)))

    def money(self, event: Event) -> None:
        if event.account in self._feeds and self.gateway.mirror.live:
            self._deposits.append(event)

    def balances(self, touched: set[tuple[int, int]]) -> None:
        if self._feeds and self.gateway.mirror.live:
            self._touched |= {one for one in touched if one[0] in self._feeds}

    def done(self, batch: Batch) -> None:
        if not (self._happened or self._deposits or self._touched):
            return
        happened, self._happened = self._happened, []
        deposits, self._deposits = self._deposits, []
        touched, self._touched = self._touched, set()
        known = self.gateway.mirror.instruments
        for one in happened:
            instrument = known.get(one.order.instrument)
            if instrument is not None:
                self._tell(one.order.account, execution_report(instrument, one, batch))
        for event in deposits:
            self._tell(event.account, self._balance_update(event))
        accounts: dict[int, list[int]] = {}
        for account, asset in sorted(touched):
            accounts.setdefault(account, []).append(asset)
        for account, assets in accounts.items():
            self._tell(account, self._position(account, assets))

    def _tell(self, account: int, payload: bytes) -> None:
        for feed in list(self._feeds.get(account, ())):
            feed.tell(payload)

    def _balance_update(self, event: Event) -> bytes:
        asset, time_ms = self.gateway.mirror.assets[event.instrument], event.received_ns // 1_000_000
        change = asset.text(event.amount_units)
        return _encode({"e": "balanceUpdate", "E": time_ms, "a": asset.name, "d": change, "T": time_ms})

    def _position(self, account: int, numbers: list[int]) -> bytes:
        core, time_ms = self.gateway.mirror.core, self.gateway.mirror.core.received_ns() // 1_000_000
        told = []
        for number in numbers:
            asset = self.gateway.mirror.assets[number]
            free, locked = core.balance(account, number) or (0, 0)
            told.append({"a": asset.name, "f": asset.text(free), "l": asset.text(locked)})
        return _encode({"e": "outboundAccountPosition", "E": time_ms, "u": time_ms, "B": told})


# ---- executionReport -------------------------------------------------------------------------------------------------


def execution_report(one: Instrument, what: Happening, batch: Batch) -> bytes:
    """All fields, in the dialect's order."""
    order, event, fill, state = what
    cancelled, time_ms = event.kind == _CANCELLED, event.received_ns // 1_000_000
    name, original = order.client_text, ""
    if cancelled and event.code in _ASKED_FOR:
        name, original = cancel_text(batch, event) or name, name
    zero, limit = one.quantity_text(0), order.order_type == v.OrderType.LIMIT
    said: dict[str, Any] = {
        "e": "executionReport", "E": time_ms, "s": one.name, "c": name, "S": texts.side_text(order),
        "o": texts.type_text(order), "f": texts.time_in_force_text(order), "q": one.quantity_text(state.quantity_lots),
        "p": one.price_text(state.price_ticks if limit else 0), "P": one.price_text(order.trigger_price_ticks),
        "F": one.quantity_text(order.display_lots), "g": NO_LIST, "C": original, "x": _execution_type(what),
        "X": state.status, "r": "NONE", "i": order.order_id, "l": zero, "z": one.quantity_text(state.filled_lots),
        "L": one.price_text(0), "n": "0", "N": None, "T": time_ms, "t": -1, "I": event.sequence << 20 | event.n,
        "w": state.status in ("NEW", "PARTIALLY_FILLED") and bool(state.working_ns), "m": False, "M": False,
        "O": order.entered_ns // 1_000_000, "Z": one.amount_text(state.notional_units), "Y": one.amount_text(0),
        "Q": one.amount_text(order.amount_units), "V": texts.stp_text(order),
    }  # fmt: skip
    if fill is not None:
        said |= {
            "l": one.quantity_text(fill.quantity_lots), "L": one.price_text(fill.price_ticks),
            "n": one.amount_text(fill.fee_units), "N": one.quote.name, "t": fill.trade_id, "m": fill.maker, "M": True,
            "Y": one.amount_text(fill.notional_units),
        }  # fmt: skip
    if state.working_ns:
        said["W"] = state.working_ns // 1_000_000
    return _encode(said)


def _execution_type(what: Happening) -> str:
    """x: what happened."""
    match what.event.kind:
        case v.EventKind.FILLED:
            return "TRADE"
        case v.EventKind.REPLACED:
            return "REPLACED"
        case v.EventKind.CANCELLED:
            if not what.event.done:
                return "TRADE_PREVENTION"  # `decrement` took lots off and left some
            return "CANCELED" if what.state.status == "CANCELED" else "EXPIRED"
    return "NEW"  # accepted; or triggered: from here on it works


# ---- Listen keys over HTTP -------------------------------------------------------------------------------------------


class ListenKeyAnswer(msgspec.Struct, frozen=True):
    """A name of a user data stream."""

    listenKey: str


class NewListenKey(msgspec.Struct, frozen=True, kw_only=True):
    """apiKey: the key's id once more, so that it is signed."""

    apiKey: Annotated[str, Meta(max_length=64)] | None = None


class ListenKeyParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Which one."""

    listenKey: Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[0-9A-Za-z]{1,128}(?!\n)$")]


class Nothing(msgspec.Struct, frozen=True):
    """An answer without members."""


def reader(caller: Caller | None) -> Caller:
    """A key that may read. Raises ApiError."""
    if caller is None or not caller.may(v.Permission.READ):
        raise ApiError(errors.KEY_REFUSED)
    return caller


def _create(call: Call) -> ListenKeyAnswer:
    """A key's name is no secret here, so it is not enough, unless the owner of the gateway says so.

    Signed is `apiKey` too, which no other REST call signs: none that somebody saw opens a stream.
    """
    gateway, request = call.gateway, call.request
    raw = request.query + b"&" + request.body
    if gateway.settings.unsigned_listen_keys and b"signature=" not in raw:
        caller = reader(call.caller)
    else:
        now_ns = gateway.now_ns()
        caller, nonce, _ = gateway.keys.authenticate(request, pairs(request, form=True), v.Permission.READ, now_ns)
        if call.parameters.apiKey != caller.key_id:
            raise ApiError(errors.MANDATORY, "Mandatory parameter 'apiKey' must be signed, and be the key's id.")
        names = [piece.partition(b"=")[0].decode("ascii", "replace") for piece in raw.split(b"&") if piece]
        signatures(gateway).begin(nonce, names, now_ns)
    return ListenKeyAnswer(hub(gateway).create(caller.account, caller.key_id))


def _keep(call: Call) -> Nothing:
    hub(call.gateway).keep(call.parameters.listenKey, reader(call.caller).account)
    return Nothing()


def _close(call: Call) -> Nothing:
    hub(call.gateway).close(call.parameters.listenKey, reader(call.caller).account)
    return Nothing()


_PATH: Final = "/api/v3/userDataStream"
_GOOD_FOR: Final = "It is good for 60 minutes from then on."
ROUTES: Final = (
    Route(
        method="POST", path=_PATH, handler=_create, tag="streams", access=Access.KEY, weight=2, returns=ListenKeyAnswer,
        parameters=NewListenKey, problems=(errors.SIGNATURE, errors.REPEATED),
        summary=f"A listen key for /ws/<listenKey>, or the one that the key has, kept alive. Signed. {_GOOD_FOR}",
    ),
    Route(
        method="PUT", path=_PATH, handler=_keep, tag="streams", access=Access.KEY, weight=2, returns=Nothing,
        parameters=ListenKeyParameters, problems=(errors.LISTEN_KEY,),
        summary=f"Keep a listen key alive. {_GOOD_FOR}",
    ),
    Route(
        method="DELETE", path=_PATH, handler=_close, tag="streams", access=Access.KEY, weight=2, returns=Nothing,
        parameters=ListenKeyParameters, problems=(errors.LISTEN_KEY,), summary="End a listen key.",
    ),
)  # fmt: skip


def hub(gateway: Gateway) -> Hub:
    """The gateway's one hub, made when it is first asked for."""
    found = gateway.shared.get(Hub)
    if not isinstance(found, Hub):
        found = gateway.shared[Hub] = Hub(gateway)
    return found
