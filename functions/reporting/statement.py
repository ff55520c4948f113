"""The ledger's statement of a shard at a day's end, as the archive's verifier wrote it from the journal alone."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

__all__ = ["FORMAT", "Missing", "Statement", "parse"]

FORMAT: Final = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What the engine's ledger says as of one sequence."""

    shard: int
    day: str
    partial: bool  # as of the archive's end, not the day's
    sequence: int
    digest: str
    decimals: dict[str, int]  # by asset
    balances: dict[tuple[int, str], tuple[int, int]]  # (account, asset): free, locked units
    positions: dict[tuple[int, str], int]  # (account, symbol): lots
    fees: dict[str, int]  # units by asset
    deposits: dict[str, int]  # units by asset
    withdrawals: dict[str, int]  # units by asset
    open_orders_count: int
    last_event_sequence: int  # of the last record that made any event


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """There is no statement that can be used; reconciliation says so."""

    shard: int
    why: str  # what must hold, what was found
    where: str  # the object


def parse(body: bytes, *, shard: int, day: str, where: str) -> Statement | Missing:
    """A statement as it was found. What is cut off, or of something else, is Missing."""
    try:
        found: dict[str, Any] = json.loads(body)
        if found["format"] != FORMAT:
            return Missing(shard=shard, why=f"its format must be {FORMAT}, was {found['format']!r}", where=where)
        if (found["shard"], found["day"]) != (shard, day):
            why = f"it must be of shard {shard} and {day}, was of {found['shard']} and {found['day']}"
            return Missing(shard=shard, why=why, where=where)
        return _statement(found)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        why = f"it must be a whole statement, is not: {type(error).__name__}: {error}"
        return Missing(shard=shard, why=why[:300], where=where)


def _statement(found: dict[str, Any]) -> Statement:
    return Statement(
        shard=int(found["shard"]),
        day=str(found["day"]),
        partial=bool(found["partial"]),
        sequence=int(found["sequence"]),
        digest=str(found["digest"]),
        decimals={str(asset): int(decimals) for asset, decimals in found["assets"].items()},
        balances={
            (int(row["account"]), str(row["asset"])): (int(row["free_units"]), int(row["locked_units"]))
            for row in found["balances"]
        },
        positions={(int(row["account"]), str(row["symbol"])): int(row["position_lots"]) for row in found["positions"]},
        fees=_units(found["fees"]),
        deposits=_units(found["deposits"]),
        withdrawals=_units(found["withdrawals"]),
        open_orders_count=int(found["open_orders_count"]),
        last_event_sequence=int(found.get("last_event_sequence", found["sequence"])),
    )


def _units(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {str(row["asset"]): int(row["units"]) for row in rows}
