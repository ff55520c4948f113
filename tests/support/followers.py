"""What a client of /api/v1/stream keeps: an account without gap or repeat, a book of single orders."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any


def _place(message: Any) -> tuple[int, int]:
    sequence, n = message["at"]
    return sequence, n


class Follower:
    """The account's channel as a client keeps it: never a gap, never a repeat."""

    def __init__(self) -> None:
        self.at: tuple[int, int] = (0, 0)
        self.taken: list[Any] = []

    def take(self, message: Any) -> None:
        if message.get("channel") != "account" or "previous" not in message:
            return
        assert tuple(message["previous"]) <= self.at < _place(message)
        self.at = _place(message)
        self.taken.append(message)


class Book:
    """A book of single orders, as a client rebuilds it from the channel."""

    def __init__(self, ticks: Callable[[str], int] | None = None, lots: Callable[[str], int] | None = None) -> None:
        self._ticks = ticks or (lambda text: round(float(text) * 100))
        self._lots = lots or (lambda text: round(float(text) * 10_000))
        self.id = self.trade_id = -1
        self.orders: dict[str, dict[str, dict[int, str]]] = {"buy": {}, "sell": {}}
        self.checked = 0
        self.trades: list[int] = []

    def take(self, one: Any) -> None:
        if one.get("channel") != "level3":
            return
        kind = one["type"]
        if kind == "snapshot":
            self.load(one)
        elif kind == "trade":
            assert one["trade_id"] == self.trade_id + 1
            self.trade_id = one["trade_id"]
            self.trades.append(one["trade_id"])
        elif kind == "checksum":
            assert one["id"] == self.id
            assert one["crc32"] == self.checksum()
            self.checked += 1
        else:
            self.change(one, kind)

    def load(self, one: Any) -> None:
        self.id, self.trade_id = one["id"], one["trade_id"]
        for side, rows in (("buy", one["bids"]), ("sell", one["asks"])):
            for order_id, price, quantity in rows:
                self.orders[side].setdefault(price, {})[order_id] = quantity
        if one["part"] == one["parts"]:
            assert one["crc32"] == self.checksum()

    def change(self, one: Any, kind: str) -> None:
        assert one["id"] == self.id + 1
        self.id = one["id"]
        side, price, number = self.orders[one["side"]], one["price"], one["order_id"]
        if kind == "remove":
            del side[price][number]
            if not side[price]:
                del side[price]
            return
        assert (kind == "change") == (number in side.get(price, {}))
        side.setdefault(price, {})[number] = one["quantity"]

    def rows(self, side: str) -> list[tuple[int, str, str]]:
        prices = sorted(self.orders[side], key=float, reverse=side == "buy")
        return [(number, price, lots) for price in prices for number, lots in self.orders[side][price].items()]

    def checksum(self) -> int:
        data = b""
        for side in ("buy", "sell"):
            for price in sorted(self.orders[side], key=float, reverse=side == "buy")[:10]:
                lots = sum(self._lots(quantity) for quantity in self.orders[side][price].values())
                data += struct.pack("<QQ", self._ticks(price), lots)
        return zlib.crc32(data)
