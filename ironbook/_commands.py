"""Commands as the wire knows them, and the fast way to pack the ones that are sent most.

Constructing and packing a frozen NewOrder costs 6 µs; packing its fields directly 1 µs. Both give the same bytes.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from ironbook._errors import InputInvalid
from schemas.vocabulary import (
    TEXT_BYTES_MAX,
    Account,
    AccountLimits,
    Asset,
    Cancel,
    Deposit,
    Halt,
    Instrument,
    InstrumentLimits,
    Kind,
    MassCancel,
    NewOrder,
    Nonce,
    OrderOption,
    OrderType,
    Replace,
    SelfTradePrevention,
    Text,
    TimeInForce,
    Withdrawal,
)

Command: TypeAlias = (
    NewOrder
    | Cancel
    | Replace
    | MassCancel
    | Asset
    | Instrument
    | InstrumentLimits
    | Account
    | AccountLimits
    | Deposit
    | Withdrawal
    | Halt
)

_LIMIT, _GTC = int(OrderType.LIMIT), int(TimeInForce.GOOD_TILL_CANCELLED)
_CANCEL_TAKER = int(SelfTradePrevention.CANCEL_TAKER)
_POST_ONLY = int(OrderOption.POST_ONLY)
_NEW_ORDER, _CANCEL = int(Kind.NEW_ORDER), int(Kind.CANCEL)
_pack_order = NewOrder._STRUCT.pack
_pack_cancel = Cancel._STRUCT.pack


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prefixed:
    """A command with what stands before it: a text (a name, 1 to 36 bytes) and, of delegates, a nonce."""

    command: Command
    text: str = ""
    nonce: Nonce | None = None


def pack(command: Command | Prefixed, text: str = "", nonce: Nonce | None = None) -> tuple[bytes, ...]:
    """Prefixes and command, 48 bytes each, without client sequences. Raises InputInvalid."""
    if isinstance(command, Prefixed):
        return pack(command.command, command.text, command.nonce)
    try:
        packed = command.pack()
        if not text and nonce is None:
            return (packed,)
        prefixes = [pack_text(text)] if text else []
        if nonce is not None:
            prefixes.append(nonce.pack())
        return (*prefixes, packed)
    except Exception as error:
        if isinstance(error, InputInvalid):
            raise
        raise _no_fit(type(command).__name__, error) from error


def pack_text(text: str) -> bytes:
    """A text prefix. Raises InputInvalid unless it is 1 to 36 bytes of ASCII."""
    try:
        encoded = text.encode("ascii")
    except UnicodeEncodeError:
        encoded = b""
    if not 1 <= len(encoded) <= TEXT_BYTES_MAX:
        raise InputInvalid(
            f"a text must be 1 to {TEXT_BYTES_MAX} ASCII characters, was {text!r}",
            hint="names are made of A-Z a-z 0-9 . _ - /",
        )
    return Text(text=encoded.ljust(TEXT_BYTES_MAX, b"\0")).pack()


def pack_order(
    account: int,
    instrument: int,
    side: int,
    price_ticks: int,
    quantity_lots: int,
    client_order_id: int = 0,
    order_type: int = _LIMIT,
    time_in_force: int = _GTC,
    self_trade_prevention: int = _CANCEL_TAKER,
    post_only: bool = False,
) -> bytes:
    """A NewOrder of 48 bytes. Raises InputInvalid if a field does not fit."""
    try:
        return _pack_order(
            _NEW_ORDER,
            account,
            instrument,
            price_ticks,
            quantity_lots,
            client_order_id,
            side,
            order_type,
            time_in_force,
            self_trade_prevention,
            _POST_ONLY if post_only else 0,
        )
    except Exception as error:
        raise _no_fit("NewOrder", error) from error


def pack_cancel(
    account: int, instrument: int, order_id: int = 0, target_client_order_id: int = 0, client_order_id: int = 0
) -> bytes:
    """A Cancel of 48 bytes. Raises InputInvalid if a field does not fit."""
    try:
        return _pack_cancel(_CANCEL, account, instrument, order_id, target_client_order_id, client_order_id)
    except Exception as error:
        raise _no_fit("Cancel", error) from error


def _no_fit(name: str, error: Exception) -> InputInvalid:
    hint = "see schemas/wire/frames.md for the size of each field"
    return InputInvalid(f"every field of a {name} must fit the wire: {error}", hint=hint)
