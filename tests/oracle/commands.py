"""Records as commands: what was said, and whether its bytes were well formed."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from schemas import vocabulary
from schemas.vocabulary import Kind, NewOrder, Nonce, OrderLink, OrderTerms, Record, Text

Order: TypeAlias = (
    vocabulary.Cancel | vocabulary.CountdownCancel | vocabulary.MassCancel | vocabulary.NewOrder | vocabulary.Replace
)
Admin: TypeAlias = (
    vocabulary.Account
    | vocabulary.AccountLimits
    | vocabulary.Asset
    | vocabulary.BalanceFloor
    | vocabulary.CircuitBreaker
    | vocabulary.Deposit
    | vocabulary.FeePayout
    | vocabulary.FeeTier
    | vocabulary.Halt
    | vocabulary.Instrument
    | vocabulary.InstrumentLimits
    | vocabulary.InstrumentState
    | vocabulary.PriceStep
    | vocabulary.TradeBust
    | vocabulary.TradeCorrection
    | vocabulary.Withdrawal
)
System: TypeAlias = (
    vocabulary.ClockTick
    | vocabulary.Digest
    | vocabulary.Logoff
    | vocabulary.Logon
    | vocabulary.Refused
    | vocabulary.Term
)
Closing: TypeAlias = Order | Admin | System
Prefix: TypeAlias = Text | Nonce | OrderTerms | OrderLink
Command: TypeAlias = Closing | Prefix

LAYOUTS: dict[int, type[Command]] = {
    Kind.NEW_ORDER: vocabulary.NewOrder,
    Kind.CANCEL: vocabulary.Cancel,
    Kind.REPLACE: vocabulary.Replace,
    Kind.MASS_CANCEL: vocabulary.MassCancel,
    Kind.COUNTDOWN_CANCEL: vocabulary.CountdownCancel,
    Kind.ASSET: vocabulary.Asset,
    Kind.INSTRUMENT: vocabulary.Instrument,
    Kind.INSTRUMENT_LIMITS: vocabulary.InstrumentLimits,
    Kind.ACCOUNT: vocabulary.Account,
    Kind.ACCOUNT_LIMITS: vocabulary.AccountLimits,
    Kind.DEPOSIT: vocabulary.Deposit,
    Kind.WITHDRAWAL: vocabulary.Withdrawal,
    Kind.HALT: vocabulary.Halt,
    Kind.INSTRUMENT_STATE: vocabulary.InstrumentState,
    Kind.CIRCUIT_BREAKER: vocabulary.CircuitBreaker,
    Kind.FEE_TIER: vocabulary.FeeTier,
    Kind.PRICE_STEP: vocabulary.PriceStep,
    Kind.BALANCE_FLOOR: vocabulary.BalanceFloor,
    Kind.TRADE_BUST: vocabulary.TradeBust,
    Kind.TRADE_CORRECTION: vocabulary.TradeCorrection,
    Kind.FEE_PAYOUT: vocabulary.FeePayout,
    Kind.TERM: vocabulary.Term,
    Kind.LOGON: vocabulary.Logon,
    Kind.LOGOFF: vocabulary.Logoff,
    Kind.CLOCK_TICK: vocabulary.ClockTick,
    Kind.DIGEST: vocabulary.Digest,
    Kind.REFUSED: vocabulary.Refused,
    Kind.TEXT: vocabulary.Text,
    Kind.NONCE: vocabulary.Nonce,
    Kind.ORDER_TERMS: vocabulary.OrderTerms,
    Kind.ORDER_LINK: vocabulary.OrderLink,
}


def decode(record: Record) -> Command:
    return LAYOUTS[record.command[0]].unpack(record.command)


def well_formed(record: Record) -> bool:
    """No flag and no unused byte is set: packing what was read gives the same bytes."""
    command = decode(record)
    return command.flags == 0 and command.pack() == record.command


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A whole command: the record that closes it, and what its prefixes said."""

    command: Closing
    key: int  # that sent it
    received_ns: int
    bytes_valid: bool  # of every record of the group, and each prefix stands before what it can speak of
    text: bytes | None  # of a text prefix, as it came
    nonce: Nonce | None
    terms: OrderTerms  # all zero if there is no such prefix
    has_terms: bool
    link: OrderLink | None


def read_group(records: list[Record]) -> Group:
    closing = records[-1]
    command = decode(closing)
    assert not isinstance(command, Prefix)
    prefixes = {type(prefix): prefix for prefix in map(decode, records[:-1])}
    text, nonce, terms, link = (prefixes.get(kind) for kind in (Text, Nonce, OrderTerms, OrderLink))
    in_place = isinstance(command, NewOrder) or (terms is None and link is None)
    return Group(
        command=command,
        key=closing.key,
        received_ns=closing.received_ns,
        bytes_valid=in_place and all(well_formed(record) for record in records),
        text=text.text if isinstance(text, Text) else None,
        nonce=nonce if isinstance(nonce, Nonce) else None,
        has_terms=terms is not None,
        terms=terms if isinstance(terms, OrderTerms) else OrderTerms(),
        link=link if isinstance(link, OrderLink) else None,
    )
