"""Does everything agree, to the unit? The engine's ledger, what executions and cash flows add up to, and the tables.

    statement before + executions and cash flows of the day  =  statement of the day  =  tables at the day's end

A statement is the engine's ledger after a record, made from the journal alone: balances, positions, fees, deposits,
withdrawals. Without one of the day before, a first day begins with nothing, any other with what the tables say less
what came since, and the report says so: then a row that was altered may show only where it meets a statement.

What moves money: a deposit or withdrawal its amount; a fill the base asset one way and notional and fee the other; a
bust or correction lots and cash, whose fees go back with it (over both sides the notional is zero, so what is left of
the cash is the fees); a payout moves fees to an account. Every difference is told with account, asset or symbol, what
each side says, and where.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from functions.reporting.market import Instrument, decimal_text
from functions.reporting.rows import Books, Reference
from functions.reporting.statement import Missing, Statement

__all__ = ["Difference", "Ledger", "Reconciliation", "Said"]

Row = Mapping[str, Any]

DIFFERENCES_KEPT = 200
NOTES_KEPT = 20
TOTALS = ("fees", "deposits", "withdrawals")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one side says: who, and how much in whole units or lots, and as text."""

    source: str
    value: int | None  # None: it knows nothing of it
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two or more sides that must say the same and do not."""

    what: str  # balance, position, fees, deposits, withdrawals, conservation, profit, trade …
    account: int  # 0: of no single one
    subject: str  # asset or symbol
    said: tuple[Said, ...]
    where: str
    note: str = ""

    def text(self) -> str:
        """One line."""
        who = f"account {self.account}, " if self.account else ""
        sides = "; ".join(f"{said.source}: {said.text}" for said in self.said)
        return f"{self.what} of {who}{self.subject}: {sides or self.note} ({self.where})"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What was compared, and what does not agree."""

    headline: str
    differences: tuple[Difference, ...]
    difference_count: int
    checks: Mapping[str, int]  # what was compared, how often
    notes: tuple[str, ...]  # what was not compared, and why
    with_engine: bool  # a statement of every shard was there, and everything up to it

    @property
    def ok(self) -> bool:
        """Nothing differs (of what could be compared)."""
        return self.difference_count == 0


class Sum:
    """Units (or lots) up to the statement, and what came later."""

    __slots__ = ("later", "units")

    def __init__(self, units: int = 0) -> None:
        self.units, self.later = units, 0

    def add(self, units: int, *, later: bool) -> None:
        """A change; later: behind the statement's record."""
        if later:
            self.later += units
        else:
            self.units += units

    @property
    def now(self) -> int:
        """With everything."""
        return self.units + self.later


class Ledger:
    """The engine's ledger once more, from executions and cash flows."""

    def __init__(
        self,
        reference: Reference,
        *,
        statements: Sequence[Statement | Missing],
        before: Sequence[Statement | Missing],
        opening: Books,
    ) -> None:
        self.reference = reference
        self.statements = {said.shard: said for said in statements if isinstance(said, Statement)}
        self.decimals = {name: asset.decimals for name, asset in reference.assets.items()}
        for statement in self.statements.values():
            self.decimals = dict(statement.decimals) | self.decimals
        self.balances: dict[tuple[int, int, str], Sum] = {}  # shard, account, asset
        self.positions: dict[tuple[int, str], Sum] = {}  # account, symbol: a symbol has one shard
        self.totals: dict[tuple[str, int, str], Sum] = {}  # fees | deposits | withdrawals, shard, asset
        self.shards: set[int] = {said.shard for said in (*statements, *before)}
        self._up_to = {shard: statement.sequence for shard, statement in self.statements.items()}
        self._found: list[Difference] = []
        self._count = 0
        self._checks: dict[str, int] = {}
        self._notes: list[str] = []
        for said in statements:
            if isinstance(said, Missing):
                self._note_missing(said)
            elif said.partial and not reference.partial:
                part = f"as of record {said.sequence:,}"
                self.note(f"The statement of shard {said.shard} is of a part of the day: {part}.")
        self.from_nothing = self._begin(before, opening)

    # ---- where it begins ---------------------------------------------------------------------------------------------

    def _begin(self, before: Sequence[Statement | Missing], opening: Books) -> bool:
        """What everybody had when the day began; True if that was nothing at all."""
        known = {said.shard: said for said in before if isinstance(said, Statement)}
        used = {row.shard for row in opening.cash if row.deposits_units or row.withdrawals_units}
        self.shards |= {holding.shard for holding in opening.holdings} | used
        for statement in known.values():
            self._begin_with(statement)
        for shard in sorted(used - set(known)):
            self.note(
                f"No statement of the engine's ledger of the day before is there for shard {shard}: the day begins "
                "with what the tables say less what came since, and a change of rows may not show."
            )
        derived = used - set(known)
        for holding in opening.holdings:
            if holding.shard in derived:
                self.balances[holding.shard, holding.account, holding.asset] = Sum(holding.total_units)
        for fees in opening.fees:
            if fees.shard in derived:
                self.totals["fees", fees.shard, fees.asset] = Sum(fees.fees_units)
        for cash in opening.cash:
            if cash.shard in derived:
                self.totals["deposits", cash.shard, cash.asset] = Sum(cash.deposits_units)
                self.totals["withdrawals", cash.shard, cash.asset] = Sum(cash.withdrawals_units)
        if derived:
            for position in opening.positions:
                self.positions.setdefault((position.account, position.symbol), Sum(position.position_lots))
        return not known and not used

    def _begin_with(self, statement: Statement) -> None:
        shard = statement.shard
        for (account, asset), parts in statement.balances.items():
            self.balances[shard, account, asset] = Sum(sum(parts))
        for key, lots in statement.positions.items():
            self.positions[key] = Sum(lots)
        for what, sums in zip(TOTALS, (statement.fees, statement.deposits, statement.withdrawals), strict=True):
            for asset, units in sums.items():
                self.totals[what, shard, asset] = Sum(units)

    def _note_missing(self, said: Missing) -> None:
        self.note(
            f"Not held against the engine's ledger of shard {said.shard}: {said.why} ({said.where}). "
            "Tables, executions and cash flows were held against each other."
        )

    # ---- what comes --------------------------------------------------------------------------------------------------

    def fill(self, row: Row, instrument: Instrument) -> None:
        """One side of a trade."""
        lots, fee = row["quantity_lots"], row["fee_units"]
        if row["side"] == "buy":
            self._move(row, instrument, lots, -row["notional_units"] - fee)
        else:
            self._move(row, instrument, -lots, row["notional_units"] - fee)
        self._total("fees", row, instrument.quote, fee)

    def adjustment(self, row: Row, instrument: Instrument) -> None:
        """One side of a bust or correction."""
        self._move(row, instrument, row["position_change_lots"], row["amount_units"])
        self._total("fees", row, instrument.quote, -row["amount_units"])

    def cash_flow(self, row: Row) -> None:
        """A deposit, a withdrawal (below zero), or a payout of fees."""
        units, asset = row["amount_units"], row["asset"]
        self._balance(row, asset, units)
        if row["type"] == "payout":
            self._total("fees", row, asset, -units)
        else:
            self._total("deposits" if row["type"] == "deposit" else "withdrawals", row, asset, abs(units))

    def _move(self, row: Row, instrument: Instrument, lots: int, units: int) -> None:
        key = row["account"], instrument.symbol
        position = self.positions.get(key)
        if position is None:
            position = self.positions[key] = Sum()
        position.add(lots, later=row["seq"] > self._up_to.get(row["shard"], row["seq"]))
        self._balance(row, instrument.base, lots * instrument.base_units_per_lot)
        self._balance(row, instrument.quote, units)

    def _balance(self, row: Row, asset: str, units: int) -> None:
        shard, seq = row["shard"], row["seq"]
        key = shard, row["account"], asset
        balance = self.balances.get(key)
        if balance is None:
            balance = self.balances[key] = Sum()
            self.shards.add(shard)
        balance.add(units, later=seq > self._up_to.get(shard, seq))

    def _total(self, what: str, row: Row, asset: str, units: int) -> None:
        shard, seq = row["shard"], row["seq"]
        total = self.totals.get((what, shard, asset))
        if total is None:
            total = self.totals[what, shard, asset] = Sum()
        total.add(units, later=seq > self._up_to.get(shard, seq))

    # ---- what is compared --------------------------------------------------------------------------------------------

    def differ(self, difference: Difference) -> None:
        """Something does not agree."""
        self._count += 1
        if len(self._found) < DIFFERENCES_KEPT:
            self._found.append(difference)

    def note(self, text: str) -> None:
        """Something could not be compared."""
        if len(self._notes) < NOTES_KEPT and text not in self._notes:
            self._notes.append(text)

    def checked(self, what: str, count: int = 1) -> None:
        """So many comparisons."""
        self._checks[what] = self._checks.get(what, 0) + count

    def close(self, closing: Books) -> None:
        """Hold all sides against each other. closing: the tables, as of the last row that was fed."""
        tables = {(row.shard, row.account, row.asset): row.total_units for row in closing.holdings}
        self.shards |= {row.shard for row in closing.holdings}
        told = {
            (shard, *key): sum(parts)
            for shard, statement in self.statements.items()
            for key, parts in statement.balances.items()
        }
        for key in sorted({*self.balances, *tables, *told}):
            self._compare_balance(key, told.get(key, 0), tables.get(key, 0))
        self._compare_positions(closing)
        for shard in sorted(self.statements):
            self._compare_decimals(self.statements[shard])
            self._compare_totals(self.statements[shard])
            self._conserve(self.statements[shard])
        self._compare_cash(closing)

    def _compare_balance(self, key: tuple[int, int, str], engine: int, table: int) -> None:
        shard, account, asset = key
        found, statement = self.balances.get(key) or Sum(), self.statements.get(shard)
        self.checked("balances: executions with tables")
        wrong = table != found.now
        if statement is not None:
            self.checked("balances: executions with the engine")
            wrong = wrong or engine != found.units
        if not wrong:
            return
        told, here = (engine, table - found.later) if statement is not None else (None, table)
        summed = found.units if statement is not None else found.now
        said = [] if told is None else [self._said("engine's ledger", told, asset)]
        said.append(self._said("executions and cash flows", summed, asset, told))
        said.append(self._said("table balances", here, asset, told if told is not None else summed))
        note, where = suspect(told, summed, here, "balances"), self._where(shard)
        self.differ(
            Difference(what="balance", account=account, subject=asset, said=tuple(said), where=where, note=note)
        )

    def _compare_positions(self, closing: Books) -> None:
        tables = {(row.account, row.symbol): row.position_lots for row in closing.positions}
        told = {
            key: (shard, lots)
            for shard, statement in self.statements.items()
            for key, lots in statement.positions.items()
        }
        whole = set(self.statements) >= self.shards  # then a position that no statement has is none
        for key in sorted({*self.positions, *tables, *told}):
            found, table = self.positions.get(key) or Sum(), tables.get(key, 0)
            shard, engine = told.get(key, (min(self.shards, default=0), 0 if whole else None))
            self.checked("positions: executions with tables")
            wrong = table != found.now
            if engine is not None:
                self.checked("positions: executions with the engine")
                wrong = wrong or engine != found.units
            if not wrong:
                continue
            here, summed = (table - found.later, found.units) if engine is not None else (table, found.now)
            said = [] if engine is None else [_lots("engine's ledger", engine)]
            said += [_lots("executions", summed), _lots("table positions", here)]
            note, where = suspect(engine, summed, here, "positions"), self._where(shard)
            self.differ(
                Difference(what="position", account=key[0], subject=key[1], said=tuple(said), where=where, note=note)
            )

    def _compare_cash(self, closing: Books) -> None:
        """Deposits and withdrawals of the tables from the beginning, where no statement was there to compare."""
        for row in closing.cash:
            if row.shard in self.statements:
                continue
            for what, units in (("deposits", row.deposits_units), ("withdrawals", row.withdrawals_units)):
                total = self.totals.get((what, row.shard, row.asset)) or Sum()
                self.checked("totals: cash flows with tables")
                if total.now != units:
                    said = (
                        self._said("cash flows", total.now, row.asset),
                        self._said("all cash flows", units, row.asset, total.now),
                    )
                    where = self._where(row.shard)
                    self.differ(Difference(what=what, account=0, subject=row.asset, said=said, where=where))

    def _compare_decimals(self, statement: Statement) -> None:
        """What a unit is worth: all amounts that people read depend on it."""
        for name in sorted(statement.decimals):
            told, asset = statement.decimals[name], self.reference.assets.get(name)
            sides = [("table assets", asset.decimals)] if asset is not None else []
            for symbol, row in sorted(self.reference.instruments.items()):
                for used, decimals in ((row.base, row.base_decimals), (row.quote, row.quote_decimals)):
                    if used == name:
                        sides.append((f"table instruments, {symbol}", decimals))
            self.checked("decimals of assets")
            for source, decimals in sides:
                if decimals != told:
                    said = (
                        Said(source="engine's ledger", value=told, text=str(told)),
                        Said(source=source, value=decimals, text=str(decimals)),
                    )
                    where = self._where(statement.shard)
                    self.differ(Difference(what="decimals", account=0, subject=name, said=said, where=where))
                    break

    def _compare_totals(self, statement: Statement) -> None:
        for what, engine in (
            ("fees", statement.fees),
            ("deposits", statement.deposits),
            ("withdrawals", statement.withdrawals),
        ):
            names = set(engine) | {key[2] for key in self.totals if key[:2] == (what, statement.shard)}
            for asset in sorted(names):
                total = self.totals.get((what, statement.shard, asset)) or Sum()
                told = engine.get(asset, 0)
                self.checked("totals: executions and cash flows with the engine")
                if told != total.units:
                    source = "executions" if what == "fees" else "cash flows"
                    said = (
                        self._said("engine's ledger", told, asset),
                        self._said(source, total.units, asset, told),
                    )
                    where = self._where(statement.shard)
                    self.differ(Difference(what=what, account=0, subject=asset, said=said, where=where))

    def _conserve(self, statement: Statement) -> None:
        """Deposits = accounts + fees + withdrawals, of each asset, by the statement alone."""
        accounts: dict[str, int] = {}
        for (_, asset), (free, locked) in statement.balances.items():
            accounts[asset] = accounts.get(asset, 0) + free + locked
        sides = statement.fees, statement.withdrawals
        for asset in sorted({*accounts, *statement.deposits, *statement.fees, *statement.withdrawals}):
            self.checked("conservation of assets")
            kept, taken = accounts.get(asset, 0), [side.get(asset, 0) for side in sides]
            came = statement.deposits.get(asset, 0)
            if came != kept + sum(taken):
                said = (
                    self._said("deposits", came, asset),
                    self._said("accounts", kept, asset),
                    self._said("fees", taken[0], asset),
                    self._said("withdrawals", taken[1], asset),
                )
                where = self._where(statement.shard)
                note = "deposits must be accounts + fees + withdrawals"
                self.differ(
                    Difference(what="conservation", account=0, subject=asset, said=said, where=where, note=note)
                )

    def _said(self, source: str, units: int, asset: str, than: int | None = None) -> Said:
        decimals = self.decimals.get(asset, 0)
        text = f"{decimal_text(units, decimals)} {asset}"
        if than is not None and units != than:
            text += f" ({decimal_text(abs(units - than), decimals)} {'more' if units > than else 'less'})"
        return Said(source=source, value=units, text=text)

    def _where(self, shard: int) -> str:
        statement = self.statements.get(shard)
        return f"shard {shard}, " + (
            f"as of record {statement.sequence:,}" if statement is not None else f"at the end of {self.reference.day}"
        )

    def result(self) -> Reconciliation:
        """What came of it."""
        with_engine = bool(self.statements) and set(self.statements) >= self.shards
        return Reconciliation(
            headline=self._headline(with_engine),
            differences=tuple(self._found),
            difference_count=self._count,
            checks=dict(sorted(self._checks.items())),
            notes=tuple(self._notes),
            with_engine=with_engine,
        )

    def _headline(self, with_engine: bool) -> str:
        if self._count:
            more = f" (and {self._count - 1:,} more)" if self._count > 1 else ""
            return f"{self._count:,} difference{'s' if self._count > 1 else ''}: {self._found[0].text()}{more}"
        if not self._checks:
            return "Nothing to reconcile: no balances, positions or executions."
        if not with_engine:
            return "The tables agree with each other; they were not held against the engine's ledger."
        return "Everything agrees to the unit: the engine's ledger, executions and cash flows, and the tables."


def suspect(engine: int | None, summed: int, table: int, name: str) -> str:
    """Who of three stands alone."""
    if engine is None:
        return ""
    if engine == table:
        return "executions or cash flows stand alone: a row is missing, too many or altered"
    if engine == summed:
        return f"the table {name} stands alone: its row is altered or old"
    return "the engine's ledger stands alone" if summed == table else "no two of them agree"


def _lots(source: str, lots: int) -> Said:
    return Said(source=source, value=lots, text=f"{lots:,} lots")
