"""Controls: halts and kill switches, circuit breakers, limits, cancel-all and the dead man's switch.

What an administrator does goes through the administrator's line, with his key's id and the reason in the command's
text: the journal says who did it and why, and every replica can show it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from gateway.countdown import Countdowns
from gateway.errors import (
    ENGINE_AWAY,
    KEY_REFUSED,
    NO_ADMIN_KEY,
    OUTCOME_UNKNOWN,
    PARAMETER,
    STATE_UNWRITABLE,
    SYMBOL,
    ApiError,
)
from gateway.line import pack_nonce
from gateway.routing import Access, Call, Route
from gateway.v1.administration import administer, answer_of, audit, caller_of, note, take_once
from gateway.v1.types import Count, Sequence, Struct, Symbol, SymbolName, TimeNs, TradingStateName
from ironbook._commands import pack_one
from ironbook.keystore import ACCOUNT_MAX
from schemas.vocabulary import (
    AccountLimits,
    CircuitBreaker,
    Halt,
    HaltAction,
    HaltScope,
    MassCancel,
    Permission,
    Side,
    TradingState,
)

if TYPE_CHECKING:
    from gateway.events import Applied

__all__ = ["ROUTES"]

_NUMBER = re.compile(r"[0-9]{1,9}")
HOUR_MS = 3_600_000
UNITS_MAX = 2**62
ACCOUNTS_A_TURN = 2_000  # looked through before others get their turn
ACTIONS = {"halt": HaltAction.HALT, "resume": HaltAction.RESUME, "halt_and_cancel": HaltAction.KILL}
SCOPES = {one.name.lower(): one for one in HaltScope}
Ppm = Annotated[int, Meta(ge=0, le=1_000_000)]
Span = Annotated[int, Meta(ge=0, le=86_400_000, description="Milliseconds.")]
Units = Annotated[int, Meta(ge=0, le=UNITS_MAX)] | None
Number = Annotated[int, Meta(ge=0, le=2**32 - 1)] | None
AccountNumber = Annotated[int, Meta(ge=1, le=ACCOUNT_MAX)]


class HaltOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """What to halt or resume. confirm: must be "everything" where everything is stopped."""

    scope: Literal["everything", "firm", "account", "instrument"]
    action: Annotated[
        Literal["halt", "resume", "halt_and_cancel"], Meta(description="Halted takes cancels and no orders.")
    ]
    reason: Annotated[
        str, Meta(min_length=1, max_length=200, description="For the journal, as much as fits, and for the log.")
    ]
    target: Annotated[
        int | Annotated[str, Meta(max_length=36)] | None,
        Meta(description="A symbol, or the number of an account or firm; null for everything.", examples=["BTC/USD"]),
    ] = None
    confirm: Annotated[str, Meta(max_length=36, examples=["everything"])] = ""


class Done(Struct, frozen=True):
    """What was done stands at this sequence of the journal. cancelled: open orders that it cancelled."""

    sequence: Sequence
    cancelled: Count = 0


class CancelAll(Struct, frozen=True, forbid_unknown_fields=True):
    """Which open orders: of an instrument or of all, of one side or of both. account: for administrators."""

    symbol: SymbolName | None = None
    side: Literal["buy", "sell"] | None = None
    account: AccountNumber | None = None


class CountdownOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """Cancel the account's open orders unless this comes again within the time. 0: no longer."""

    timeout_ms: Annotated[int, Meta(ge=0, le=24 * HOUR_MS)]


class CountdownState(Struct, frozen=True):
    """When the account's open orders are cancelled; null: they are not."""

    account: Count
    deadline_ns: TimeNs | None


class BreakerOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """An instrument's circuit breaker, whole: what is left out is off. A level of 0 ms halts until resumed."""

    band_ppm: Ppm = 0
    band_ms: Span = 0
    level1_ppm: Ppm = 0
    level1_ms: Span = 0
    level2_ppm: Ppm = 0
    level2_ms: Span = 0
    level3_ppm: Ppm = 0
    level3_ms: Span = 0


class LimitsOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of an account: 0 is none, and what is left out stays as it is."""

    account: AccountNumber
    open_orders_max: Number = None
    order_rate_max: Number = None
    order_rate_window_ms: Number = None
    notional_units_max: Units = None
    position_lots_max: Units = None
    quantity_lots_max: Units = None


class InstrumentControl(Struct, frozen=True):
    """An instrument's state."""

    symbol: Symbol
    state: TradingStateName


class Controls(Struct, frozen=True):
    """What is halted. halted_accounts: for administrators all of them, else only the caller's own."""

    everything_halted: bool
    account: Count
    account_halted: bool
    halted_accounts: list[Count]
    countdown_ns: TimeNs | None
    instruments: list[InstrumentControl]


# ---- What administrators do ------------------------------------------------------------------------------------------


async def _administer(call: Call, command: Any, reason: str, what: str, **more: object) -> Done:
    """Once, through the administrator's line, told to journal and log."""
    line = administer(call)
    await take_once(call, what)
    try:
        applied = await line.submit(command, text=note(call, reason))
        answer = answer_of(applied)
    except ApiError as error:
        audit(call, what, reason=reason, refused=error.text, **more)
        raise
    audit(call, what, reason=reason, sequence=applied.sequence, **more)
    return Done(sequence=applied.sequence, cancelled=answer.quantity_lots)


async def halt(call: Call) -> Done:
    """POST /controls/halt"""
    wanted: HaltOrder = call.body
    if wanted.scope == "everything" and wanted.action != "resume" and wanted.confirm != "everything":
        raise ApiError(
            PARAMETER, "confirm must be 'everything' where everything is stopped.",
            detail=f"was {wanted.confirm!r}", hint="it would stop every instrument and every account",
        )  # fmt: skip
    command = Halt(scope=SCOPES[wanted.scope], action=ACTIONS[wanted.action], target=_target(call, wanted))
    what = f"{wanted.action} {wanted.scope}"
    return await _administer(call, command, wanted.reason, what, target=wanted.target)


def _target(call: Call, wanted: HaltOrder) -> int:
    target = wanted.target
    if wanted.scope == "everything":
        if target is not None:
            raise ApiError(PARAMETER, "target must be null where everything is meant.", detail=f"was {target!r}")
        return 0
    if wanted.scope == "instrument" and isinstance(target, str):
        return call.gateway.mirror.instrument(target).number
    if wanted.scope != "instrument" and _NUMBER.fullmatch(str(target)) and 0 < int(str(target)) <= ACCOUNT_MAX:
        return int(str(target))
    must = "a symbol" if wanted.scope == "instrument" else f"a number from 1 to {ACCOUNT_MAX}"
    raise ApiError(PARAMETER, f"target must be {must}, was {target!r}.", detail=f"scope {wanted.scope}")


async def set_breaker(call: Call) -> Done:
    """PUT /controls/breaker/{symbol}"""
    instrument, wanted = call.gateway.mirror.instrument(call.path["symbol"]), call.body
    settings = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
    command = CircuitBreaker(instrument=instrument.number, **settings)
    what = f"breaker {instrument.name}"
    return await _administer(call, command, "breaker", what, symbol=instrument.symbol, **settings)


async def set_limits(call: Call) -> Done:
    """PUT /risk/limits"""
    wanted: LimitsOrder = call.body
    known = call.gateway.mirror.core.account(wanted.account)
    if known is None:
        raise ApiError(PARAMETER, f"account must have been defined, {wanted.account} was not.")
    before = AccountLimits(**{name: known[name] for name in wanted.__struct_fields__})
    asked = {name: getattr(wanted, name) for name in wanted.__struct_fields__ if getattr(wanted, name) is not None}
    command = dataclasses.replace(before, **asked)
    what = f"limits {wanted.account}"
    return await _administer(call, command, "limits", what, before=str(before), after=str(command))


# ---- What traders do -------------------------------------------------------------------------------------------------


async def cancel_all(call: Call) -> Done:
    """POST /controls/cancel-all"""
    caller, wanted = caller_of(call), call.body
    account = caller.account if wanted.account is None else wanted.account
    if account != caller.account and not caller.may(Permission.ADMIN):
        raise ApiError(KEY_REFUSED, hint="leave account out: it is the key's own")
    instrument = 0 if wanted.symbol is None else call.gateway.mirror.instrument(wanted.symbol).number
    side = 0 if wanted.side is None else Side[wanted.side.upper()]
    command = MassCancel(account=account, instrument=instrument, side=side)
    applied: Applied = await call.gateway.line.submit_parts(
        (pack_nonce(call.nonce, call.timestamp_ns), pack_one(command))
    )
    return Done(sequence=applied.sequence, cancelled=answer_of(applied).quantity_lots)


async def count_down(call: Call) -> CountdownState:
    """POST /controls/countdown"""
    caller = caller_of(call)
    if call.gateway.mirror.core.account(caller.account) is None:
        raise ApiError(KEY_REFUSED, hint="a countdown is of an account, and this key has none")
    await take_once(call, f"countdown {call.body.timeout_ms}")
    deadline_ns = call.gateway.shared[Countdowns].set(caller.account, call.body.timeout_ms)
    return CountdownState(account=caller.account, deadline_ns=deadline_ns)


async def show(call: Call) -> Controls:
    """GET /controls"""
    caller, mirror = caller_of(call), call.gateway.mirror
    accounts = [caller.account]
    if caller.may(Permission.ADMIN):
        accounts = list(range(1, mirror.core.options()["account_count_max"]))
    halted = []
    for index, account in enumerate(accounts):
        found = mirror.core.account(account)
        if found is not None and found["halted"]:
            halted.append(account)
        if index % ACCOUNTS_A_TURN == ACCOUNTS_A_TURN - 1:
            await asyncio.sleep(0)
    instruments = []
    for one in mirror.instruments.values():
        known = mirror.core.instrument(one.number)
        if known is not None:
            state: Any = TradingState(int(known["trading_state"])).name.lower()
            instruments.append(InstrumentControl(symbol=one.symbol, state=state))
    return Controls(
        everything_halted=mirror.core.everything_halted(),
        account=caller.account,
        account_halted=caller.account in halted,
        halted_accounts=halted,
        countdown_ns=call.gateway.shared[Countdowns].deadline_ns(caller.account),
        instruments=instruments,
    )


_COMMAND = (ENGINE_AWAY, OUTCOME_UNKNOWN)
_ADMIN = (*_COMMAND, NO_ADMIN_KEY, PARAMETER)
ROUTES = (
    Route(
        method="GET", path="/api/v1/controls", handler=show, tag="controls", access=Access.READ, weight=10,
        summary="What is halted", returns=Controls,
    ),
    Route(
        method="POST", path="/api/v1/controls/halt", handler=halt, tag="controls", access=Access.ADMIN,
        summary="Halt, resume, or halt and cancel", body=HaltOrder, returns=Done, problems=(*_ADMIN, SYMBOL),
    ),
    Route(
        method="PUT", path="/api/v1/controls/breaker/{symbol}", handler=set_breaker, tag="controls",
        access=Access.ADMIN, summary="Set an instrument's circuit breaker", body=BreakerOrder, returns=Done,
        problems=(*_ADMIN, SYMBOL),
    ),
    Route(
        method="PUT", path="/api/v1/risk/limits", handler=set_limits, tag="controls", access=Access.ADMIN,
        summary="Set an account's limits", body=LimitsOrder, returns=Done, problems=_ADMIN,
    ),
    Route(
        method="POST", path="/api/v1/controls/cancel-all", handler=cancel_all, tag="controls", access=Access.CANCEL,
        summary="Cancel all open orders of the account", body=CancelAll, returns=Done, problems=(*_COMMAND, SYMBOL),
    ),
    Route(
        method="POST", path="/api/v1/controls/countdown", handler=count_down, tag="controls", access=Access.CANCEL,
        summary="The dead man's switch of the account", body=CountdownOrder, returns=CountdownState,
        problems=(*_COMMAND, STATE_UNWRITABLE),
    ),
)  # fmt: skip
