"""What a tape needs at the engine before it can be played: money, shares, instruments, accounts; and who sends.

    client      account                          sends
    taker       accounts[0]                      every recorded execution
    maker 1 …   accounts[1 …]                    arrivals, cancels and deletes, spread by order id
    admin       (any, with the admin permission) definitions and deposits, by signed frames like everybody

The first asset is the money, with six decimals; each symbol gets the next asset (its shares, none divisible) and the
next instrument, when the tape first has something to send for it. A lot is a share, a tick is `step` ten-thousandths of
the currency.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from engine_node._engine import Core
from ironbook import Outcome, Report
from schemas.vocabulary import UNITS_MAX, Cancel, Code, MassCancel, NewOrder, Replace

from ._outcome import CASH
from .errors import TapeFailed

CASH_NAME = "USD"
CASH_DECIMALS = 6
CASH_UNITS_PER_PRICE_UNIT = 1_000_000 // 10_000  # six decimals; a price is in ten-thousandths
SHARES_PER_ACCOUNT = 10**13
MAKER_FEE_PPM = -20
TAKER_FEE_PPM = 30
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._/-]")


class Trader(Protocol):
    """What the player needs of a client: `ironbook.Client` has it."""

    def request(self, command: NewOrder | Cancel | Replace | MassCancel) -> Outcome:
        """Carry out a command; every report that it caused for this key."""

    def take_reports(self, timeout_s: float = 0.0) -> list[Report]:
        """Reports that no outcome holds; waits up to `timeout_s` for the first."""


class Admin(Protocol):
    """What setting up needs of a client with the admin permission."""

    def define_asset(self, asset: int, name: str, decimals: int) -> Outcome: ...
    def define_instrument(
        self,
        instrument: int,
        symbol: str,
        *,
        base_asset: int,
        quote_asset: int,
        base_units_per_lot: int,
        quote_units_per_tick_lot: int,
        maker_fee_ppm: int = 0,
        taker_fee_ppm: int = 0,
    ) -> Outcome: ...
    def define_account(self, account: int) -> Outcome: ...
    def deposit(self, account: int, asset: int, amount_units: int) -> Outcome: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VenueOptions:
    """How symbols become instruments. Numbers count up from the first ones as symbols appear."""

    step: int  # ten-thousandths in a tick
    first_instrument: int = 1
    first_asset: int = 1  # the money; the shares of each symbol follow
    cash_units_per_account: int = 0  # deposited; 0: as much as the asset may have, shared out
    shares_per_account: int = SHARES_PER_ACCOUNT  # deposited of each symbol
    maker_fee_ppm: int = MAKER_FEE_PPM
    taker_fee_ppm: int = TAKER_FEE_PPM


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One account's balance of one asset, in units, as a replica of the journal has it and as the reports make it."""

    client: int
    asset: str  # `cash` or a symbol
    deposited: int
    change: int  # by fills and their fees, from the reports
    free: int  # at the replica
    locked: int

    @property
    def reconciles(self) -> bool:
        """Whether the two agree."""
        return self.free + self.locked == self.deposited + self.change


class Venue:
    """The engine as the tape sees it. Without an admin everything must be there already, defined as above."""

    def __init__(self, admin: Admin | None, accounts: Sequence[int], options: VenueOptions) -> None:
        self.admin = admin
        self.accounts = list(accounts)
        self.options = options
        self.symbols: dict[int, str] = {}  # by instrument
        self.cash_units_per_account = options.cash_units_per_account or UNITS_MAX // (2 * len(self.accounts))

    @property
    def cash_units_per_tick_lot(self) -> int:
        """Money that one share at one tick costs, in units."""
        return self.options.step * CASH_UNITS_PER_PRICE_UNIT

    def open(self) -> None:
        """Define money and accounts, and fund them. Raises TapeFailed with what the engine says."""
        if self.admin is None:
            return
        self._applied("the currency", self.admin.define_asset(self.options.first_asset, CASH_NAME, CASH_DECIMALS))
        for account in self.accounts:
            self._applied(f"account {account}", self.admin.define_account(account))
            outcome = self.admin.deposit(account, self.options.first_asset, self.cash_units_per_account)
            self._applied("a deposit", outcome)

    def instrument(self, symbol: str) -> int:
        """A symbol's instrument, defined when it is first asked for. Raises TapeFailed with what the engine says."""
        number = self.options.first_instrument + len(self.symbols)
        asset = self.share_asset(number)
        self.symbols[number] = symbol
        if self.admin is None:
            return number
        name = _NOT_IN_NAMES.sub("_", symbol) or "TAPE"
        self._applied(f"the shares of {name}", self.admin.define_asset(asset, name, 0))
        self._applied(
            f"instrument {number} ({name})",
            self.admin.define_instrument(
                number,
                f"{name}/{CASH_NAME}",
                base_asset=asset,
                quote_asset=self.options.first_asset,
                base_units_per_lot=1,
                quote_units_per_tick_lot=self.cash_units_per_tick_lot,
                maker_fee_ppm=self.options.maker_fee_ppm,
                taker_fee_ppm=self.options.taker_fee_ppm,
            ),
        )
        for account in self.accounts:
            self._applied("a deposit", self.admin.deposit(account, asset, self.options.shares_per_account))
        return number

    def share_asset(self, instrument: int) -> int:
        """The asset that an instrument trades."""
        return self.options.first_asset + 1 + instrument - self.options.first_instrument

    def balances(self, core: Core, changes: Mapping[tuple[int, str], int]) -> list[Balance]:
        """Every client's balance of every asset at a replica, beside what deposits and fills make of it."""
        first = self.options.first_asset
        assets = [(first, CASH, self.cash_units_per_account)]
        assets += [(self.share_asset(n), s, self.options.shares_per_account) for n, s in self.symbols.items()]
        found = []
        for client, account in enumerate(self.accounts):
            for asset, name, deposited in assets:
                free, locked = core.balance(account, asset) or (0, 0)
                change = changes.get((client, name), 0)
                found.append(
                    Balance(client=client, asset=name, deposited=deposited, change=change, free=free, locked=locked)
                )
        return found

    @staticmethod
    def _applied(what: str, outcome: Outcome) -> None:
        if outcome.rejected:
            code = outcome.answer.code
            hint = "play one symbol only, or raise the engine's capacity for assets and instruments"
            if code == Code.DEFINITION_CONFLICT:
                hint = "the engine has other definitions under these numbers: choose a free instrument"
            raise TapeFailed(
                f"{what} must be taken by the engine, was refused: {code.name.lower()}",
                detail=outcome.answer.text,
                hint=hint,
            )
