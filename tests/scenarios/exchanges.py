"""The two exchanges that every scenario is run against: the oracle, and the compiled core."""

from __future__ import annotations

from typing import Protocol

from engine_node import _engine
from schemas.vocabulary import Side
from tests.oracle import book, groups
from tests.oracle.oracle import Oracle

OPTIONS = {"asset_count_max": 10, "instrument_count_max": 10, "account_count_max": 100, "key_count_max": 10}


class Invalid(Exception):
    """The records can't stand there."""


class Diverged(Exception):
    """A digest record names another state."""


class Exchange(Protocol):
    def apply(self, data: bytes) -> bytes: ...
    def digest(self) -> int: ...
    def levels(self, instrument: int, side: int) -> list[tuple[int, int]]: ...
    def balance(self, account: int, asset: int) -> tuple[int, int]: ...
    def floor(self, account: int, asset: int) -> int: ...
    def position(self, account: int, instrument: int) -> tuple[int, int, int]: ...
    def fees(self, asset: int) -> int: ...
    def reference_price(self, instrument: int) -> int: ...
    def check(self) -> None: ...


class OracleExchange:
    def __init__(self) -> None:
        self.oracle = Oracle(**OPTIONS)

    def apply(self, data: bytes) -> bytes:
        try:
            return b"".join(report.pack() for report in self.oracle.apply(data))
        except groups.RecordInvalid as error:
            raise Invalid(str(error)) from None
        except groups.Diverged as error:
            raise Diverged(str(error)) from None

    def digest(self) -> int:
        return self.oracle.digest()

    def levels(self, instrument: int, side: int) -> list[tuple[int, int]]:
        known = self.oracle.state.instruments[instrument]
        prices = book.prices_best_first(known, side)
        return [(price, book.shown_lots(known.levels[side][price])) for price in prices]

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        return self.oracle.balances().get((account, asset), (0, 0))

    def floor(self, account: int, asset: int) -> int:
        return self.oracle.state.balance(account, asset).floor

    def position(self, account: int, instrument: int) -> tuple[int, int, int]:
        position = self.oracle.state.positions.get((account, instrument))
        return (position.lots, position.open_buy, position.open_sell) if position else (0, 0, 0)

    def fees(self, asset: int) -> int:
        return self.oracle.state.assets[asset].fees_units

    def reference_price(self, instrument: int) -> int:
        return self.oracle.state.instruments[instrument].reference_price

    def check(self) -> None:
        self.oracle.check_conservation()


class CoreExchange:
    def __init__(self) -> None:
        self.core = _engine.Core(**OPTIONS)

    def apply(self, data: bytes) -> bytes:
        try:
            return self.core.apply(data)
        except _engine.CoreRecord as error:
            raise Invalid(str(error)) from None
        except _engine.CoreDiverged as error:
            raise Diverged(str(error)) from None

    def digest(self) -> int:
        return self.core.digest()

    def levels(self, instrument: int, side: int) -> list[tuple[int, int]]:
        return [(price, lots) for price, lots, _ in self.core.levels(instrument, side)]

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        return self.core.balance(account, asset) or (0, 0)

    def floor(self, account: int, asset: int) -> int:
        return self.core.floor(account, asset)

    def position(self, account: int, instrument: int) -> tuple[int, int, int]:
        return self.core.position(account, instrument) or (0, 0, 0)

    def fees(self, asset: int) -> int:
        known = self.core.asset(asset)
        assert known is not None
        return int(known["fees_units"])

    def reference_price(self, instrument: int) -> int:
        known = self.core.instrument(instrument)
        assert known is not None
        return int(known["reference_price_ticks"])

    def check(self) -> None:
        assert self.core.check() is None


EXCHANGES: dict[str, type[OracleExchange] | type[CoreExchange]] = {"oracle": OracleExchange, "core": CoreExchange}


def book_line(exchange: Exchange, instrument: int) -> str:
    """`98: 3, 97: 1 | 101: 2`: buys and sells, best first."""
    levels = [exchange.levels(instrument, side) for side in (Side.BUY, Side.SELL)]
    return " | ".join(", ".join(f"{price}: {lots}" for price, lots in side) for side in levels).strip()
