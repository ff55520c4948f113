"""A book kept from a snapshot and the changes behind it: no Kafka here.

snapshot (as of update_id u) ──▶ levels; then each level with update_id u + 1, u + 2, … ──▶ checksum: the same?
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from ironbook._errors import StreamGap, StreamInvalid
from schemas.events import Checksum, Level, Snapshot
from schemas.vocabulary import CHECKSUM_LEVEL_COUNT

SNAPSHOT_LEVELS_MAX = 1000  # of a side; deeper levels of a book that has more are not known
_LEVEL = struct.Struct("<QQ")

Side = dict[int, Level]


class BookState:
    """One symbol's displayed levels by price in ticks."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.update_id = 0
        self.seq = 0
        self._sides: dict[str, Side] = {"buy": {}, "sell": {}}

    def bids(self, count: int | None = None) -> list[Level]:
        """Best first."""
        side = self._sides["buy"]
        return [side[price] for price in sorted(side, reverse=True)[:count]]

    def asks(self, count: int | None = None) -> list[Level]:
        """Best first."""
        side = self._sides["sell"]
        return [side[price] for price in sorted(side)[:count]]

    def load(self, snapshot: Snapshot) -> None:
        """Begin here."""
        self.update_id, self.seq = snapshot.update_id, snapshot.seq
        for name, rows in (("buy", snapshot.bids), ("sell", snapshot.asks)):
            self._sides[name] = {
                price_ticks: Level(
                    shard=snapshot.shard, seq=snapshot.seq, n=snapshot.n, received_ns=snapshot.received_ns,
                    symbol=self.symbol, instrument=snapshot.instrument, update_id=snapshot.update_id, side=name,
                    price=price, quantity=quantity, price_ticks=price_ticks, quantity_lots=lots, order_count=orders,
                )
                for price, quantity, price_ticks, lots, orders in rows
            }  # fmt: skip

    def apply(self, level: Level) -> bool:
        """Take a change; False: the book is behind it already. Raises StreamGap if one before it is missing."""
        if level.update_id <= self.update_id:
            return False
        if level.update_id != self.update_id + 1:
            raise StreamGap(
                topic="book", partition=0, what="update_id", whose=self.symbol, shard=level.shard,
                after=(self.update_id, 0), until=(level.update_id - 1, 0),
            )  # fmt: skip
        side = self._sides[level.side]
        if level.quantity_lots:
            side[level.price_ticks] = level
        else:
            side.pop(level.price_ticks, None)
        self.update_id, self.seq = level.update_id, level.seq
        return True

    def verify(self, checksum: Checksum) -> None:
        """Compare with the engine's own book as of that update. Raises StreamInvalid."""
        if checksum.update_id != self.update_id:
            return
        found = self.crc32()
        if found != checksum.crc32:
            raise StreamInvalid(
                f"the book must have the checksum {checksum.crc32:08x}, has {found:08x}",
                detail=f"{self.symbol}, update {self.update_id}, sequence {checksum.seq}",
                hint="open the view again: it begins with a newer snapshot",
            )

    def crc32(self) -> int:
        """Of the best levels of both sides, as rules.md 21 has it."""
        return zlib.crc32(_bytes(self.asks(CHECKSUM_LEVEL_COUNT)), zlib.crc32(_bytes(self.bids(CHECKSUM_LEVEL_COUNT))))


def _bytes(levels: Iterable[Level]) -> bytes:
    return b"".join(_LEVEL.pack(level.price_ticks, level.quantity_lots) for level in levels)
