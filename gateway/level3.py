"""The channel `level3` of /api/v1/stream: every order of a displayed book, in its place in the queue.

    Market ── level3, trade, checksum ──▶ frames of a step ──▶ sockets
                                               └──▶ what was told, by the core's own numbers, for those who resume

`id` is the core's level 3 id: dense in an instrument, the same on every replica. A message of add, change or remove has
the id of the one before + 1; trade and checksum say the id that they stand behind. Trades have their own dense
`trade_id`. A checksum is the core's (docs/reference/rules.md, 21), over the levels that the orders make.

What was told is kept from the first subscriber on, and for LINGER_S after the last one has left.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections import deque
from typing import Any, Final

import msgspec

from gateway.context import Gateway
from gateway.events import Batch, Event
from gateway.market import Listener, Trade
from gateway.paced import Paced
from gateway.symbols import Instrument
from gateway.websocket import frame
from schemas.vocabulary import CHECKSUM_LEVEL_COUNT, EventKind, Level3Action, Side

__all__ = ["Level3Channels", "book_checksum"]

LINGER_S: Final = 600.0
KEPT: Final = 50_000  # messages of an instrument
ORDERS_A_MESSAGE: Final = 1_000
RESTART: Final = 1012
_LEVEL: Final = struct.Struct("<QQ")
_ACTIONS: Final = {int(action): action.name.lower() for action in Level3Action}
_SIDES: Final = {Side.BUY: "buy", Side.SELL: "sell"}
_CHECKSUM: Final = int(EventKind.BOOK_CHECKSUM)
_REMOVE: Final = int(Level3Action.REMOVE)
_encode: Final = msgspec.json.Encoder().encode


def book_checksum(gateway: Gateway, one: Instrument) -> int:
    """What the core's checksum of the book as it stands now would be."""
    data = b""
    for side in (Side.BUY, Side.SELL):
        for price_ticks, quantity_lots, _ in gateway.mirror.core.levels(one.number, side, CHECKSUM_LEVEL_COUNT):
            data += _LEVEL.pack(price_ticks, quantity_lots)
    return zlib.crc32(data)


class _Log:
    """One instrument's messages since somebody first asked.

    id, trade_id         of the newest change and trade told
    floor, trade_floor   all above these are here
    """

    __slots__ = ("floor", "fresh", "id", "instrument", "kept", "subscribers", "timer", "trade_floor", "trade_id")

    def __init__(self, instrument: Instrument, level3_id: int, trade_id: int) -> None:
        self.instrument = instrument
        self.floor = self.id = level3_id
        self.trade_floor = self.trade_id = trade_id
        self.kept: deque[tuple[int, int, bytes]] = deque()  # change's id or 0, trade's id or 0, frame
        self.fresh: list[bytes] = []  # of this step
        self.subscribers: dict[Paced, None] = {}
        self.timer: asyncio.TimerHandle | None = None

    def tell(self, change: int, trade: int, ready: bytes) -> None:
        """Once more of it."""
        self.fresh.append(ready)
        self.kept.append((change, trade, ready))
        if len(self.kept) > KEPT:
            old_change, old_trade, _ = self.kept.popleft()
            self.floor, self.trade_floor = max(self.floor, old_change), max(self.trade_floor, old_trade)

    def reaches(self, after: int, after_trade: int | None) -> bool:
        """Is everything behind these here?"""
        if after_trade is not None and not self.trade_floor <= after_trade <= self.trade_id:
            return False
        return self.floor <= after <= self.id


class Level3Channels(Listener):
    """The level 3 channels of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._logs: dict[int, _Log] = {}
        self._fresh: list[_Log] = []  # logs with something new in this step
        gateway.market.on(self)

    # ---- Subscribers -------------------------------------------------------------------------------------------------

    def join(
        self, one: Instrument, who: Paced, after: int | None, after_trade: int | None
    ) -> tuple[int, int, bool, list[bytes]]:
        """Id and trade id that the frames behind follow, whether that is a resumption, and the first frames."""
        log = self._logs.get(one.number)
        if log is None:
            told: Any = self._gateway.mirror.core.instrument(one.number)
            log = self._logs[one.number] = _Log(one, told["level3_id"], told["trade_id"])
        if log.timer is not None:
            log.timer.cancel()
            log.timer = None
        log.subscribers[who] = None
        if after is not None and log.reaches(after, after_trade):
            self._gateway.metrics.counters["streams_resumed"] += 1
            return after, log.trade_id if after_trade is None else after_trade, True, _missed(log, after, after_trade)
        return log.id, log.trade_id, False, self._snapshot(log)

    def leave(self, one: Instrument, who: Paced) -> None:
        """It wants no more."""
        log = self._logs.get(one.number)
        if log is None or who not in log.subscribers:
            return
        del log.subscribers[who]
        if not log.subscribers:
            log.timer = asyncio.get_running_loop().call_later(LINGER_S, self._forget, log)

    def _forget(self, log: _Log) -> None:
        if not log.subscribers and self._logs.get(log.instrument.number) is log:
            del self._logs[log.instrument.number]

    def _snapshot(self, log: _Log) -> list[bytes]:
        """Every order of the book in its queue, in parts; the last part has the checksum."""
        one = log.instrument
        orders = [("bids", row) for row in self._orders(one, Side.BUY)]
        orders += [("asks", row) for row in self._orders(one, Side.SELL)]
        starts = range(0, len(orders), ORDERS_A_MESSAGE) or range(1)
        head: dict[str, Any] = {
            "channel": "level3", "symbol": one.symbol, "id": log.id, "type": "snapshot", "trade_id": log.trade_id,
            "update_id": self._gateway.market.update_id(one.number), "parts": len(starts),
        }  # fmt: skip
        found = []
        for number, start in enumerate(starts, 1):
            part = orders[start : start + ORDERS_A_MESSAGE]
            said = {"part": number} | {name: [row for side, row in part if side == name] for name in ("bids", "asks")}
            if number == len(starts):
                said["crc32"] = book_checksum(self._gateway, one)
            found.append(frame(_encode(head | said)))
        return found

    def _orders(self, one: Instrument, side: Side) -> list[tuple[int, str, str]]:
        """Best first, each level in time priority: order id, price, what it shows."""
        core = self._gateway.mirror.core
        found: list[tuple[int, str, str]] = []
        while True:
            part = core.book_orders(one.number, side, len(found), ORDERS_A_MESSAGE)
            found += [
                (
                    told["order_id"],
                    one.price_text(told["price_ticks"]),
                    one.quantity_text(told["rest_lots"] - told["reserve_lots"]),
                )
                for told in part
            ]
            if len(part) < ORDERS_A_MESSAGE:
                return found

    # ---- Messages ----------------------------------------------------------------------------------------------------

    def level3(self, event: Event) -> None:
        log = self._logs.get(event.instrument)
        if log is None:
            return
        one = log.instrument
        log.id = event.reference
        size = "" if event.code == _REMOVE else f',"quantity":"{one.quantity_text(event.quantity_lots)}"'
        self._tell(
            log, event.reference, 0,
            f'{{"channel":"level3","symbol":"{one.symbol}","id":{event.reference},"type":"{_ACTIONS[event.code]}",'
            f'"side":"{"sell" if event.sells else "buy"}","order_id":{event.order_id},'
            f'"price":"{one.price_text(event.price_ticks)}"{size},"time_ns":{event.received_ns}}}',
        )  # fmt: skip

    def trade(self, trade: Trade) -> None:
        log = self._logs.get(trade.instrument)
        if log is None:
            return
        one = log.instrument
        log.trade_id = trade.trade_id
        self._tell(
            log, 0, trade.trade_id,
            f'{{"channel":"level3","symbol":"{one.symbol}","id":{log.id},"type":"trade","trade_id":{trade.trade_id},'
            f'"side":"{"sell" if trade.taker_side == Side.SELL else "buy"}",'
            f'"price":"{one.price_text(trade.price_ticks)}","quantity":"{one.quantity_text(trade.quantity_lots)}",'
            f'"maker_order_id":{trade.maker_order_id},"taker_order_id":{trade.taker_order_id},'
            f'"auction":{"true" if trade.auction else "false"},"time_ns":{trade.received_ns}}}',
        )  # fmt: skip

    def checksum(self, event: Event) -> None:
        log = self._logs.get(event.instrument)
        if log is None or event.kind != _CHECKSUM:
            return
        self._tell(
            log, 0, 0,
            f'{{"channel":"level3","symbol":"{log.instrument.symbol}","id":{log.id},"type":"checksum",'
            f'"update_id":{event.reference},"crc32":{event.amount_units},"bids":{event.quantity_lots},'
            f'"asks":{event.remaining_lots},"time_ns":{event.received_ns}}}',
        )  # fmt: skip

    def _tell(self, log: _Log, change: int, trade: int, text: str) -> None:
        if not log.fresh:
            self._fresh.append(log)
        log.tell(change, trade, frame(text.encode()))

    def done(self, batch: Batch) -> None:
        if not self._fresh:
            return
        logs, self._fresh = self._fresh, []
        for log in logs:
            frames, log.fresh = b"".join(log.fresh), []
            for one in log.subscribers:
                one.send(frames)

    def begin(self) -> None:
        """The mirror has another state: clients connect again, and get a snapshot."""
        logs, self._logs = self._logs, {}
        self._fresh.clear()
        for log in logs.values():
            if log.timer is not None:
                log.timer.cancel()
            for one in list(log.subscribers):
                one.socket.close(RESTART, "the book begins anew; connect again")


def _missed(log: _Log, after: int, after_trade: int | None) -> list[bytes]:
    """Changes behind `after`, trades behind `after_trade` (not given: those told behind that change)."""
    found: list[bytes] = []
    reached = log.floor
    for change, trade, ready in log.kept:
        reached = change or reached
        if change:
            wanted = change > after
        elif trade:
            wanted = reached > after if after_trade is None else trade > after_trade
        else:
            wanted = reached > after  # a checksum of a book that the client has passed is of no use to it
        if wanted:
            found.append(ready)
    return found
