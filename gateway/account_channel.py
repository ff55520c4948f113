"""The channel `account` of /api/v1/stream: everything that happens to an account, numbered, to be resumed after a cut.

    Market ── order, answer, money, correction, state ──▶ message with its place ──▶ log of the account ──▶ sockets
                                            core ── balances, positions behind each step ────────────────────▶ sockets

A place is [sequence, n]: the event's own name in the journal. A message says its place (`at`) and that of the message
before it (`previous`). Whoever has all up to a place has missed nothing as long as `previous` is not above that place.
Balances and positions are not events but what an event left: they are told as they stand, and are not numbered.

An account's log begins when somebody first subscribes and goes on for LINGER_S after the last one has left, so that a
client that was cut off finds what it missed. Where the log does not reach back, the channel begins with a snapshot.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import msgspec

from gateway.context import Gateway
from gateway.events import Batch, Event
from gateway.market import Fill, Listener, Order
from gateway.paced import Paced
from gateway.v1 import shapes
from gateway.v1.models import Balance
from gateway.websocket import frame
from schemas import vocabulary as v

__all__ = ["AccountChannels", "Place"]

LINGER_S: Final = 600.0
ORDERS_A_MESSAGE: Final = 200
RESTART: Final = 1012

Place = tuple[int, int]
_encode: Final = msgspec.json.Encoder().encode
_EVENTS: Final = {int(kind): kind.name.lower() for kind in v.EventKind}
_REJECTED, _ADJUSTMENT = int(v.EventKind.REJECTED), int(v.EventKind.ADJUSTMENT)


class _Log:
    """What has happened to one account since somebody first asked.

    floor  all messages above this place are here
    last   place of the newest message, or where the log began
    """

    __slots__ = ("account", "floor", "kept", "last", "subscribers", "timer")

    def __init__(self, account: int, floor: Place) -> None:
        self.account, self.floor, self.last = account, floor, floor
        self.kept: deque[tuple[Place, bytes]] = deque()
        self.subscribers: dict[Paced, None] = {}
        self.timer: asyncio.TimerHandle | None = None


class AccountChannels(Listener):
    """The account channels of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._logs: dict[int, _Log] = {}
        self._oldest: deque[_Log] = deque()  # the log of each message that is kept, oldest first
        self._told: dict[int, set[int]] = {}  # instruments of accounts whose positions may have changed in this step
        self._touched: set[tuple[int, int]] = set()
        gateway.market.on(self)

    # ---- Subscribers -------------------------------------------------------------------------------------------------

    def join(self, account: int, who: Paced, after: Place | None) -> tuple[Place, bool, list[bytes]]:
        """The channel's place now, whether it is resumed behind `after`, and the frames that come first."""
        log = self._logs.get(account)
        if log is None:
            log = self._logs[account] = _Log(account, self._now())
        if log.timer is not None:
            log.timer.cancel()
            log.timer = None
        log.subscribers[who] = None
        if after is not None and log.floor <= after <= max(log.last, self._now()):
            missed = [ready for place, ready in log.kept if place > after]
            self._gateway.metrics.counters["streams_resumed"] += 1
            return after, True, [*missed, *self._standing(log)]
        return log.last, False, self._snapshot(log)

    def leave(self, account: int, who: Paced) -> None:
        """It wants no more."""
        log = self._logs.get(account)
        if log is None or who not in log.subscribers:
            return
        del log.subscribers[who]
        if not log.subscribers:
            log.timer = asyncio.get_running_loop().call_later(LINGER_S, self._forget, log)

    def _forget(self, log: _Log) -> None:
        if not log.subscribers and self._logs.get(log.account) is log:
            del self._logs[log.account]
            log.kept.clear()

    def _now(self) -> Place:
        """A place behind everything up to now, and before all that will come."""
        return self._gateway.mirror.sequence, (1 << 32) - 1

    # ---- Messages ----------------------------------------------------------------------------------------------------

    def order(self, order: Order, event: Event, fill: Fill | None) -> None:
        log = self._logs.get(order.account)
        if log is None:
            return
        instrument = self._gateway.mirror.instruments.get(order.instrument)
        if instrument is None:
            return
        told = None if fill is None else shapes.execution(instrument, fill)
        if log.subscribers:
            self._told.setdefault(order.account, set()).add(order.instrument)
        said = {"event": _EVENTS[event.kind], "order": shapes.order_info(instrument, order), "fill": told}
        self._tell(log, event, "order", said)

    def answer(self, event: Event) -> None:
        log = self._logs.get(event.account)
        if log is None or event.kind != _REJECTED:
            return
        instrument = self._gateway.mirror.instruments.get(event.instrument)
        _, text, hint = v.CODE_TEXT[event.code]
        said = {
            "code": v.Code(event.code).name.lower(), "text": text, "hint": hint,
            "symbol": None if instrument is None else instrument.symbol, "side": "sell" if event.sells else "buy",
            "order_id": event.order_id or None, "client_order_number": event.client_order_id,
        }  # fmt: skip
        self._tell(log, event, "rejected", said)

    def money(self, event: Event) -> None:
        log, asset = self._logs.get(event.account), self._gateway.mirror.assets.get(event.instrument)
        if log is not None and asset is not None:
            said = {"asset": asset.name, "amount": asset.text(event.amount_units)}
            self._tell(log, event, "money", said)

    def correction(self, event: Event) -> None:
        log, instrument = self._logs.get(event.account), self._gateway.mirror.instruments.get(event.instrument)
        if log is None or instrument is None or event.kind != _ADJUSTMENT:
            return
        self._told.setdefault(event.account, set()).add(event.instrument)
        said = {
            "symbol": instrument.symbol, "side": "sell" if event.sells else "buy", "trade_id": event.reference,
            "price": instrument.price_text(event.price_ticks),
            "quantity": instrument.quantity_text(event.quantity_lots),
            "position_change": instrument.quantity_text(event.remaining_lots),
            "amount": instrument.amount_text(event.amount_units),
        }  # fmt: skip
        self._tell(log, event, "adjustment", said)

    def state(self, event: Event) -> None:
        log = self._logs.get(event.account) if event.account and not event.instrument else None
        if log is not None:
            self._tell(log, event, "state", {"halted": event.code == v.TradingState.HALTED})

    def _tell(self, log: _Log, event: Event, kind: str, said: dict[str, Any]) -> None:
        place = (event.sequence, event.n)
        if place <= log.last:
            return
        head = {"channel": "account", "type": kind, "at": place, "previous": log.last, "time_ns": event.received_ns}
        ready = frame(_encode(head | said))
        log.last = place
        log.kept.append((place, ready))
        self._oldest.append(log)
        if len(self._oldest) > self._gateway.settings.events_kept:
            oldest = self._oldest.popleft()
            if oldest.kept:
                oldest.floor = oldest.kept.popleft()[0]
        for one in log.subscribers:
            one.send(ready)

    # ---- What stands behind a step -----------------------------------------------------------------------------------

    def balances(self, touched: set[tuple[int, int]]) -> None:
        if self._logs:
            self._touched |= {one for one in touched if one[0] in self._logs}

    def done(self, batch: Batch) -> None:
        if not (self._touched or self._told):
            return
        touched, self._touched = self._touched, set()
        moved, self._told = self._told, {}
        for account in {account for account, _ in touched} | moved.keys():
            log = self._logs.get(account)
            if log is None or not log.subscribers:
                continue
            assets = sorted(asset for one, asset in touched if one == account)
            frames = b"".join(self._state_frames(log, assets, sorted(moved.get(account, ()))))
            for one in log.subscribers:
                one.send(frames)

    def _state_frames(self, log: _Log, assets: list[int], instruments: list[int]) -> list[bytes]:
        found = []
        if assets:
            told = {"items": self._balances(log.account, assets)}
            found.append(frame(_encode({"channel": "account", "type": "balances", "at": log.last} | told)))
        if instruments:
            items = self._positions(log.account, instruments)
            found.append(frame(_encode({"channel": "account", "type": "positions", "at": log.last, "items": items})))
        return found

    def _standing(self, log: _Log) -> list[bytes]:
        """All balances and positions as they are."""
        mirror = self._gateway.mirror
        return self._state_frames(log, sorted(mirror.assets), sorted(mirror.instruments))

    def _balances(self, account: int, assets: list[int]) -> list[Balance]:
        mirror = self._gateway.mirror
        found = []
        for number in assets:
            units = mirror.core.balance(account, number)
            if units is not None:
                found.append(shapes.balance(mirror.assets[number], *units))
        return found

    def _positions(self, account: int, numbers: list[int]) -> list[dict[str, Any]]:
        mirror = self._gateway.mirror
        found = []
        for number in numbers:
            told, one = mirror.core.position(account, number), mirror.instruments.get(number)
            if told is None or one is None:
                continue
            position, open_buy, open_sell = told
            found.append(
                {
                    "symbol": one.symbol, "position": one.quantity_text(position), "position_lots": position,
                    "open_buy": one.quantity_text(open_buy), "open_sell": one.quantity_text(open_sell),
                }
            )  # fmt: skip
        return found

    def _snapshot(self, log: _Log) -> list[bytes]:
        """Open orders, balances, positions; orders in parts."""
        mirror, market, account = self._gateway.mirror, self._gateway.market, log.account
        orders = [
            shapes.order_info(mirror.instruments[one.instrument], one)
            for one in market.open_orders(account)
            if one.instrument in mirror.instruments
        ]
        parts = [orders[at : at + ORDERS_A_MESSAGE] for at in range(0, len(orders), ORDERS_A_MESSAGE)] or [[]]
        head: dict[str, Any] = {"channel": "account", "type": "snapshot", "at": log.last, "parts": len(parts)}
        told: dict[str, Any] = {
            "balances": self._balances(account, sorted(mirror.assets)),
            "positions": self._positions(account, sorted(mirror.instruments)),
        }
        found = []
        for number, part in enumerate(parts, 1):
            found.append(frame(_encode(head | {"part": number, "orders": part} | told)))
            told = {}
        return found

    def begin(self) -> None:
        """The mirror has another state: clients connect again, and get a snapshot."""
        logs, self._logs = self._logs, {}
        self._oldest.clear()
        for log in logs.values():
            if log.timer is not None:
                log.timer.cancel()
            for one in list(log.subscribers):
                one.socket.close(RESTART, "the account's events begin anew; connect again")
