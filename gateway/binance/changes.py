"""Changes of orders that are open, in the Binance dialect: cancel one or all, cancel and replace, amend."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from gateway import errors
from gateway.binance import texts
from gateway.binance.models import (
    Amend,
    AmendedOrder,
    AmendResult,
    CancelledOrder,
    CancelOrder,
    CancelReplace,
    CancelReplaceResult,
    OrderResult,
    SymbolOnly,
)
from gateway.binance.orders import caller_account, enter, generated, instrument_of, pack_name, tell
from gateway.binance.refusals import refusal
from gateway.errors import ApiError
from gateway.events import Applied, Event
from gateway.line import pack_nonce
from gateway.market import Order
from gateway.routing import Call, Later
from gateway.symbols import Instrument, client_number
from ironbook._commands import pack_cancel, pack_one
from schemas.vocabulary import Code, EventKind, LinkAction, MassCancel, OrderLink, OrderType, Permission, Replace

if TYPE_CHECKING:
    from gateway.context import Gateway

__all__ = ["Target", "amend", "cancel", "cancel_all", "cancel_replace", "pack_target", "price_of", "tell_cancelled"]

NS_PER_MS: Final = 1_000_000
_REJECTED, _CANCELLED = int(EventKind.REJECTED), int(EventKind.CANCELLED)
_LIMIT = int(OrderType.LIMIT)

# ---- Cancels ---------------------------------------------------------------------------------------------------------


class Target:
    """The order that a cancel or an amendment names, and the name of the cancel itself."""

    __slots__ = ("cancel_text", "number", "order_id", "prefixes", "target_number")

    def __init__(self, order_id: int, target_number: int, cancel_text: str | None) -> None:
        self.order_id, self.target_number = order_id, target_number
        self.number = generated() if cancel_text is None else client_number(cancel_text)
        self.cancel_text = str(self.number) if cancel_text is None else cancel_text
        self.prefixes = () if self.cancel_text == str(self.number) else (pack_name(self.cancel_text),)


def target(
    gateway: Gateway,
    account: int,
    instrument: Instrument,
    order_id: int | None,
    text: str | None,
    restriction: str | None = None,
    cancel_text: str | None = None,
) -> Target:
    """Which open order is meant. Raises ApiError if two names do not mean one order, or a restriction forbids it."""
    if order_id is None and text is None:
        raise ApiError(
            errors.MANDATORY, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
        )
    if (order_id is not None and text is not None) or restriction is not None:
        order = find_open(gateway, account, instrument, order_id, text)
        if restriction is not None and (restriction == "ONLY_NEW") != (order.filled_lots == 0):
            raise ApiError(errors.CANCEL_REJECTED, "Order was not canceled due to cancel restrictions.")
        return Target(order.order_id, 0, cancel_text)
    if order_id is not None:
        if order_id == 0:
            raise ApiError(errors.CANCEL_REJECTED)
        return Target(order_id, 0, cancel_text)
    number = client_number(text or "")
    known = gateway.market.order_by_text(account, text or "")
    if known is not None and known.is_open and known.client_order_id != number:  # of an order list
        return Target(known.order_id, 0, cancel_text)
    if number == 0:
        raise ApiError(errors.CANCEL_REJECTED)
    return Target(0, number, cancel_text)


def find_open(gateway: Gateway, account: int, instrument: Instrument, order_id: int | None, text: str | None) -> Order:
    """An open order of the account, by either name or both. Raises ApiError, Unknown order sent."""
    market = gateway.market
    order = market.order(order_id) if order_id is not None else market.order_by_text(account, text or "")
    if (
        order is None
        or order.account != account
        or order.instrument != instrument.number
        or (text is not None and order.client_text != text)
        or not texts.is_open(order)
    ):
        raise ApiError(errors.CANCEL_REJECTED)
    return order


def cancel(call: Call) -> Later:
    """DELETE /api/v3/order."""
    gateway, account = call.gateway, caller_account(call)
    asked: CancelOrder = call.parameters
    instrument = instrument_of(gateway, asked.symbol)
    found = target(
        gateway,
        account,
        instrument,
        asked.orderId,
        asked.origClientOrderId,
        asked.cancelRestrictions,
        asked.newClientOrderId,
    )
    nonce = pack_nonce(call.nonce, call.timestamp_ns)
    parts = (*found.prefixes, nonce, pack_target(account, instrument, found))
    finish = functools.partial(_cancelled, gateway, instrument, cancel_text=found.cancel_text)
    return Later(gateway.line.submit_parts(parts), finish)


def pack_target(account: int, instrument: Instrument, found: Target) -> bytes:
    """The cancel of that order."""
    return pack_cancel(account, instrument.number, found.order_id, found.target_number, found.number)


def _cancelled(gateway: Gateway, instrument: Instrument, applied: Applied, cancel_text: str) -> CancelledOrder:
    for event in applied.events:
        if event.kind == _REJECTED:
            raise refusal(event.code)
        if event.kind == _CANCELLED:
            return tell_cancelled(gateway, instrument, event.order_id, applied.received_ns, cancel_text)
    raise ApiError(errors.OUTCOME_UNKNOWN, hint="ask for the order")


def tell_cancelled(
    gateway: Gateway, instrument: Instrument, order_id: int, received_ns: int, cancel_text: str
) -> CancelledOrder:
    """A cancelled order as the answer to its cancel."""
    order = gateway.market.order(order_id)
    if order is None:
        raise ApiError(errors.OUTCOME_UNKNOWN, hint="it was cancelled; its state is no longer in memory")
    return _tell(order, instrument, received_ns, cancel_text)


def _tell(order: Order, instrument: Instrument, received_ns: int, cancel_text: str) -> CancelledOrder:
    return CancelledOrder(
        symbol=instrument.name,
        origClientOrderId=order.client_text,
        orderId=order.order_id,
        clientOrderId=cancel_text,
        transactTime=received_ns // NS_PER_MS,
        price=price_of(order, instrument),
        origQty=instrument.quantity_text(texts.told_lots(order)),
        executedQty=instrument.quantity_text(order.filled_lots),
        origQuoteOrderQty=instrument.amount_text(order.amount_units),
        cummulativeQuoteQty=instrument.amount_text(order.notional_units),
        status=texts.status_text(order),
        timeInForce=texts.time_in_force_text(order),
        type=texts.type_text(order),
        side=texts.side_text(order),
        selfTradePreventionMode=texts.stp_text(order),
        stopPrice=instrument.price_text(order.trigger_price_ticks) if order.trigger else UNSET,
        icebergQty=instrument.quantity_text(order.display_lots) if order.display_lots else UNSET,
    )


def price_of(order: Order, instrument: Instrument) -> str:
    """The limit price; of a market order 0, whatever its cap was."""
    return instrument.price_text(order.price_ticks if order.order_type == _LIMIT else 0)


async def cancel_all(call: Call) -> list[CancelledOrder]:
    """DELETE /api/v3/openOrders."""
    gateway, account = call.gateway, caller_account(call)
    asked: SymbolOnly = call.parameters
    instrument = instrument_of(gateway, asked.symbol)
    number = generated()
    command = MassCancel(account=account, instrument=instrument.number, client_order_id=number)
    parts = (pack_nonce(call.nonce, call.timestamp_ns), pack_one(command))
    known = {order.order_id: order for order in gateway.market.open_orders(account, instrument.number)}
    applied = await gateway.line.submit_parts(parts)
    gone: list[CancelledOrder] = []
    for event in applied.events:
        if event.kind == _REJECTED:
            raise refusal(event.code)
        if event.kind == _CANCELLED and event.account == account:
            order = known.get(event.order_id) or gateway.market.order(event.order_id)
            if order is not None:  # of more than are kept when they have ended those that were open before are known
                gone.append(_tell(order, instrument, applied.received_ns, str(number)))
    if not gone:
        raise ApiError(errors.CANCEL_REJECTED)
    return gone


# ---- Cancel and replace ----------------------------------------------------------------------------------------------


async def cancel_replace(call: Call) -> CancelReplaceResult:
    """POST /api/v3/order/cancelReplace: one command that cancels first, or a cancel and an order in one write."""
    gateway, account = call.gateway, caller_account(call)
    asked: CancelReplace = call.parameters
    if call.caller is None or not call.caller.may(Permission.CANCEL):
        raise ApiError(errors.KEY_REFUSED)
    instrument = instrument_of(gateway, asked.symbol)
    try:
        found = target(
            gateway,
            account,
            instrument,
            asked.cancelOrderId,
            asked.cancelOrigClientOrderId,
            asked.cancelRestrictions,
            asked.cancelNewClientOrderId,
        )
    except ApiError as error:
        if error.problem is not errors.CANCEL_REJECTED or asked.cancelReplaceMode == "ALLOW_FAILURE":
            raise
        raise _failed(error, None) from None
    if asked.cancelReplaceMode == "STOP_ON_FAILURE":
        return await _cancel_first(call, account, asked, instrument, found)
    return await _cancel_and_enter(call, account, asked, instrument, found)


async def _cancel_first(
    call: Call, account: int, asked: CancelReplace, instrument: Instrument, found: Target
) -> CancelReplaceResult:
    gateway = call.gateway
    link = OrderLink(
        order_id=found.order_id, target_client_order_id=found.target_number, action=LinkAction.CANCEL_FIRST
    )
    prefixes = (pack_nonce(call.nonce, call.timestamp_ns), pack_one(link))
    entry = enter(gateway.mirror.core, account, asked, instrument, prefixes)
    applied = await gateway.line.submit_parts(entry.parts)
    gone = next((event for event in applied.events if event.kind == _CANCELLED and _first(event, applied)), None)
    try:
        entered = tell(entry, applied)
    except ApiError as error:
        if gone is not None:
            done = tell_cancelled(gateway, instrument, gone.order_id, applied.received_ns, found.cancel_text)
            raise _failed(done, error) from None
        if error.problem is not errors.CANCEL_REJECTED:
            raise
        raise _failed(error, None) from None
    if gone is None:
        raise ApiError(errors.OUTCOME_UNKNOWN)
    done = tell_cancelled(gateway, instrument, gone.order_id, applied.received_ns, found.cancel_text)
    return CancelReplaceResult("SUCCESS", "SUCCESS", done, entered)


def _first(event: Event, applied: Applied) -> bool:
    """Is it the cancellation that the link asked for? Not that of the new order itself, nor of whom it met."""
    return event.order_id != applied.sequence and event.code == Code.CANCELLED_BY_REQUEST


async def _cancel_and_enter(
    call: Call, account: int, asked: CancelReplace, instrument: Instrument, found: Target
) -> CancelReplaceResult:
    gateway = call.gateway
    first = (*found.prefixes, pack_nonce(call.nonce, call.timestamp_ns), pack_target(account, instrument, found))
    # The second command has a nonce of its own, made from the request's: a repeated request enters neither
    second = hashlib.sha256(call.nonce + b"second").digest()[:16]
    entry = enter(gateway.mirror.core, account, asked, instrument, (pack_nonce(second, call.timestamp_ns),))
    futures = gateway.line.submit_linked([first, entry.parts])
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    cancelled: CancelledOrder | ApiError
    entered: OrderResult | ApiError
    try:
        cancelled = _cancelled(gateway, instrument, _applied(outcomes[0]), found.cancel_text)
    except ApiError as error:
        if error.problem.status >= 500 or error.problem in (errors.REPEATED, errors.TIMESTAMP):
            raise
        cancelled = error
    try:
        entered = tell(entry, _applied(outcomes[1]))
    except ApiError as error:
        entered = error
    if isinstance(cancelled, ApiError) or isinstance(entered, ApiError):
        raise _failed(cancelled, entered)
    return CancelReplaceResult("SUCCESS", "SUCCESS", cancelled, entered)


def _applied(outcome: Applied | BaseException) -> Applied:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _failed(cancelled: CancelledOrder | ApiError, entered: OrderResult | ApiError | None) -> ApiError:
    """One half failed: 409. Both, or the first so that the second was not tried: 400."""
    part = not isinstance(cancelled, ApiError) or isinstance(entered, OrderResult)
    done = {True: "FAILURE", False: "SUCCESS"}
    data = {
        "cancelResult": done[isinstance(cancelled, ApiError)],
        "newOrderResult": "NOT_ATTEMPTED" if entered is None else done[isinstance(entered, ApiError)],
        "cancelResponse": _half(cancelled),
        "newOrderResponse": None if entered is None else _half(entered),
    }
    return ApiError(errors.CANCEL_REPLACE_PART if part else errors.CANCEL_REPLACE_FAILED, more={"data": data})


def _half(outcome: CancelledOrder | OrderResult | ApiError) -> object:
    return {"code": outcome.problem.binance, "msg": outcome.text} if isinstance(outcome, ApiError) else outcome


# ---- Amend -----------------------------------------------------------------------------------------------------------


async def amend(call: Call) -> AmendResult:
    """PUT /api/v3/order/amend/keepPriority: less of an order that keeps its place, and its id."""
    gateway, account = call.gateway, caller_account(call)
    asked: Amend = call.parameters
    instrument = instrument_of(gateway, asked.symbol)
    if asked.newClientOrderId is not None and asked.newClientOrderId != asked.origClientOrderId:
        raise ApiError(errors.AMEND_REJECTED, "An amended order keeps its client order id; leave newClientOrderId out.")
    if asked.orderId is None and asked.origClientOrderId is None:
        target(gateway, account, instrument, None, None)
    try:
        order = find_open(gateway, account, instrument, asked.orderId, asked.origClientOrderId)
    except ApiError:
        raise ApiError(errors.NO_SUCH_ORDER) from None
    quantity_lots = instrument.quantity_lots(asked.newQty, "newQty")
    if quantity_lots >= order.quantity_lots:
        raise ApiError(errors.AMEND_REJECTED, "newQty must be below the order's quantity, so that it keeps its place.")
    command = Replace(
        account=account,
        instrument=instrument.number,
        order_id=order.order_id,
        price_ticks=order.price_ticks,
        quantity_lots=quantity_lots,
    )
    parts = (pack_nonce(call.nonce, call.timestamp_ns), pack_one(command))
    applied = await gateway.line.submit_parts(parts)
    for event in applied.events:
        if event.kind == _REJECTED:
            if event.code == Code.UNKNOWN_ORDER:
                raise ApiError(errors.NO_SUCH_ORDER)
            raise refusal(event.code)
    return AmendResult(applied.received_ns // NS_PER_MS, applied.sequence, _amended(order, instrument, quantity_lots))


def _amended(order: Order, instrument: Instrument, quantity_lots: int) -> AmendedOrder:
    return AmendedOrder(
        symbol=instrument.name,
        orderId=order.order_id,
        origClientOrderId=order.client_text,
        clientOrderId=order.client_text,
        price=price_of(order, instrument),
        qty=instrument.quantity_text(quantity_lots),
        executedQty=instrument.quantity_text(order.filled_lots),
        preventedQty=instrument.quantity_text(0),
        quoteOrderQty=instrument.amount_text(0),
        cumulativeQuoteQty=instrument.amount_text(order.notional_units),
        status=texts.status_text(order),
        timeInForce=texts.time_in_force_text(order),
        type=texts.type_text(order),
        side=texts.side_text(order),
        workingTime=order.working_ns // NS_PER_MS,
        selfTradePreventionMode=texts.stp_text(order),
    )
