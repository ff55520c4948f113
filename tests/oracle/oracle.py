"""The whole oracle: 64-byte records in, events out, as docs/reference/rules.md says."""

from __future__ import annotations

import copy

from typing_extensions import Buffer

from schemas.vocabulary import (
    RECORD_BYTES,
    Account,
    AccountLimits,
    Asset,
    BalanceFloor,
    Cancel,
    CircuitBreaker,
    ClockTick,
    Code,
    CountdownCancel,
    Deposit,
    Digest,
    FeePayout,
    FeeTier,
    Halt,
    Header,
    Instrument,
    InstrumentLimits,
    InstrumentState,
    Kind,
    Logoff,
    Logon,
    MassCancel,
    NewOrder,
    PriceStep,
    Record,
    Refused,
    Replace,
    Report,
    Side,
    Term,
    TradeBust,
    TradeCorrection,
    Withdrawal,
)
from tests.oracle import admin, auctions, breaker, busts, checks, clock, digest, groups, ledger, orders, rates, sweeps
from tests.oracle.commands import Group, read_group
from tests.oracle.events import Events
from tests.oracle.state import Options, State


class Oracle:
    """One state and the records applied to it."""

    def __init__(self, **options: int) -> None:
        self.state = State(options=Options(**options))

    def apply(self, data: Buffer) -> list[Report]:
        """Apply whole groups of 64-byte records; all their events.

        Raises groups.RecordInvalid or groups.Diverged; the groups before the bad one stay applied.
        """
        records = [Record.unpack(data, offset) for offset in range(0, len(memoryview(data)), RECORD_BYTES)]
        whole = groups.whole_groups(records)
        if sum(len(group) for group in whole) < len(records):
            raise groups.RecordInvalid("groups must be whole: a prefix ends the records")
        return [event for group in whole for event in self.apply_group(group)]

    def apply_group(self, group: list[Record]) -> list[Report]:
        """Apply one group: nothing changes if it may not stand here."""
        groups.check_records(self.state, group)
        if groups.kind_of(group[-1]) == Kind.DIGEST and groups.digest_named(group[-1]) != self.digest():
            raise groups.Diverged("a digest record must name the state's digest")
        self.state.sequence += len(group)
        self.state.received_ns = group[-1].received_ns
        if groups.is_prefix(group[-1]):
            return []
        closing = Header.unpack(group[-1].command)
        if group[-1].key > 0 and groups.uses_client_sequence(closing.kind):
            self.state.key(group[-1].key).last_client_sequence = closing.client_sequence
        return self.apply_command(read_group(group))

    def apply_command(self, group: Group) -> list[Report]:
        events = Events(
            self.state,
            sequence=self.state.sequence,
            received_ns=group.received_ns,
            key=group.key,
            client_sequence=group.command.client_sequence,
        )
        code = checks.first_fault(self.state, group)
        if checks.nonce_counts(group) and code not in (Code.NONCE_STALE, Code.NONCE_REPEATED):
            assert group.nonce is not None
            admin.store_nonce(self.state, group.nonce.nonce, group.nonce.timestamp_ns, group.received_ns)
        if code == Code.NONE and isinstance(group.command, NewOrder):
            orders.cancel_first(self.state, events, group.command, group.link)
            code = checks.later_fault(self.state, group)
        if code != Code.NONE:
            events.rejected(code=code, **as_said(group.command))
        else:
            carry_out(self.state, events, group)
        return events.made

    def digest(self) -> int:
        return digest.digest(self.state)

    def balances(self) -> dict[tuple[int, int], tuple[int, int]]:
        """(account, asset): (free, locked), of every balance that is not nothing."""
        return {
            place: (balance.free, balance.locked)
            for place, balance in self.state.balances.items()
            if balance.free or balance.locked
        }

    def check_conservation(self) -> None:
        ledger.check_conservation(self.state)

    def copy(self) -> Oracle:
        """Another oracle in the same state."""
        return copy.deepcopy(self)


def carry_out(state: State, events: Events, group: Group) -> None:
    """What a good command does."""
    match group.command:
        case NewOrder() as command:
            orders.new_order(state, events, command, group)
        case Cancel() as command:
            orders.cancel(state, events, command)
        case Replace() as command:
            orders.replace(state, events, command)
        case MassCancel() as command:
            sweeps.mass_cancel(state, events, command)
        case CountdownCancel() as command:
            clock.countdown_cancel(state, events, command)
        case Asset() as command:
            admin.asset(state, events, command, admin.name_from(group.text))
        case Instrument() as command:
            admin.instrument(state, events, command, admin.name_from(group.text))
        case InstrumentLimits() as command:
            admin.instrument_limits(state, events, command)
        case Account() as command:
            admin.account(state, events, command)
        case AccountLimits() as command:
            admin.account_limits(state, events, command)
        case Deposit() as command:
            admin.deposit(state, events, command)
        case Withdrawal() as command:
            admin.withdrawal(state, events, command)
        case Halt() as command:
            admin.halt(state, events, command)
        case InstrumentState() as command:
            auctions.instrument_state(state, events, command)
        case CircuitBreaker() as command:
            breaker.set_breaker(state, events, command)
        case FeeTier() as command:
            rates.fee_tier(state, events, command)
        case PriceStep() as command:
            rates.price_step(state, events, command)
        case BalanceFloor() as command:
            rates.balance_floor(state, events, command)
        case TradeBust() as command:
            busts.bust(state, events, command)
        case TradeCorrection() as command:
            busts.correct(state, events, command)
        case FeePayout() as command:
            admin.fee_payout(state, events, command)
        case ClockTick() | Digest() | Logoff() | Logon() | Refused() | Term() as command:
            admin.system(state, events, command)


REJECT_FIELDS = ("account", "instrument", "order_id", "price_ticks", "quantity_lots", "client_order_id")


def as_said(command: object) -> dict[str, int]:
    """The fields of a reject: as the command said them, 0 where its kind has none."""
    fields = {name: getattr(command, name, 0) for name in REJECT_FIELDS}
    if isinstance(command, Replace):
        fields["client_order_id"] = command.target_client_order_id
    if getattr(command, "side", 0) == Side.SELL:
        fields["flags"] = 1
    return fields
