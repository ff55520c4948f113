"""The ledger's statement of a shard at a day's end, as the archive's verifier wrote it from the journal alone."""

from __future__ import annotations

import dataclasses


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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """There is no statement that can be used; reconciliation says so."""

    shard: int
    why: str  # what must hold, what was found
    where: str  # the object
