"""One cancels other, in the Binance dialect: two orders, one lock, linked by the core itself.

    POST orderList/oco ──▶ one order, the other one + link to it ──one write──▶ engine
    core: the first of them that trades, fires or ends cancels the other

The first order has an engine's number that nobody can guess, and the link names it by that: so it is linked with what
this request enters, or refused. The list has the first order's id. If anything fails, the first order is cancelled by
the same number, behind both in the same session: nothing stays.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING, Final

from gateway import errors
from gateway.binance.changes import Target, pack_target, tell_cancelled
from gateway.binance.models import (
    CancelledList,
    CancelOrderList,
    ListedOrder,
    NewOrder,
    NewOrderList,
    OrderList,
    OrderResult,
)
from gateway.binance.orders import (
    NUMBERS,
    Entry,
    ListNames,
    caller_account,
    enter,
    generated,
    instrument_of,
    refuse_taken,
    tell,
)
from gateway.binance.refusals import refusal
from gateway.errors import ApiError
from gateway.events import Applied
from gateway.line import pack_nonce
from gateway.routing import Call
from gateway.symbols import Instrument
from ironbook._commands import pack_cancel, pack_one
from schemas.vocabulary import EventKind, LinkAction, OrderLink

if TYPE_CHECKING:
    from gateway.context import Gateway

__all__ = ["cancel_list", "place_list"]

NS_PER_MS: Final = 1_000_000
NAMES_MAX: Final = 100_000


async def place_list(call: Call) -> OrderList:
    """POST /api/v3/orderList/oco."""
    gateway, account = call.gateway, caller_account(call)
    asked: NewOrderList = call.parameters
    instrument = instrument_of(gateway, asked.symbol)
    legs = {side: _leg(asked, side) for side in ("above", "below")}
    for leg in legs.values():
        refuse_taken(gateway, account, leg.newClientOrderId)
    # What has no name of its client's has a number of its own anyway; else what waits, for it trades last
    first, second = sorted(legs, key=lambda side: (legs[side].newClientOrderId is not None, _is_maker(legs[side])))
    name = legs[first].newClientOrderId
    names: ListNames = gateway.shared.setdefault(ListNames, ListNames())
    if name is not None:
        if _named(gateway, account, name, 0):
            raise ApiError(errors.DUPLICATE)
        if len(names) >= NAMES_MAX:
            names.clear()
        names[account, name] = 0  # from here on no other order gets it
    try:
        reports = await _enter(call, account, instrument, legs, (first, second))
        if name is not None:
            names[account, name] = reports[first].orderId
    finally:
        if name is not None and not names.get((account, name)):
            names.pop((account, name), None)
    first_id = reports[first].orderId
    both = [reports["above"], reports["below"]]
    return OrderList(
        orderListId=first_id,
        listStatusType="EXEC_STARTED",
        listOrderStatus="EXECUTING",
        listClientOrderId=asked.listClientOrderId or str(generated()),
        transactionTime=max(one.transactTime for one in both),
        symbol=instrument.name,
        orders=[ListedOrder(instrument.name, one.orderId, one.clientOrderId) for one in both],
        orderReports=both,
    )


def _is_maker(order: NewOrder) -> bool:
    return order.type == "LIMIT_MAKER"


def _named(gateway: Gateway, account: int, name: str, besides: int) -> bool:
    """Has an open order of the account that name, besides one?"""
    return any(one.client_text == name and one.order_id != besides for one in gateway.market.open_orders(account))


async def _enter(
    call: Call, account: int, instrument: Instrument, legs: dict[str, NewOrder], order: tuple[str, str]
) -> dict[str, OrderResult]:
    """Both orders, by their sides. Raises ApiError; then nothing stays."""
    gateway, (first, second) = call.gateway, order
    core, number = gateway.mirror.core, secrets.randbelow(NUMBERS) + 1
    link = OrderLink(target_client_order_id=number, action=LinkAction.ONE_CANCELS_OTHER)
    entries = (
        enter(core, account, legs[first], instrument, (_nonce(call, b""),), number),
        enter(core, account, legs[second], instrument, (_nonce(call, b"second"), pack_one(link))),
    )
    futures = gateway.line.submit_linked([entry.parts for entry in entries])
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    told = [_told(entry, outcome) for entry, outcome in zip(entries, outcomes, strict=True)]
    if not isinstance(told[0], OrderResult) or not isinstance(told[1], OrderResult):
        raise await _undone(call, account, instrument, number, told)
    name = legs[first].newClientOrderId
    if name is not None and _named(gateway, account, name, told[0].orderId):  # one was on its way before
        raise await _undone(call, account, instrument, number, [told[0], ApiError(errors.DUPLICATE)])
    return {first: told[0], second: told[1]}


def _told(entry: Entry, outcome: Applied | BaseException) -> OrderResult | BaseException:
    if isinstance(outcome, BaseException):
        return outcome
    try:
        return tell(entry, outcome)
    except ApiError as error:
        return error


async def _undone(
    call: Call, account: int, instrument: Instrument, number: int, told: list[OrderResult | BaseException]
) -> BaseException:
    """Cancel the first order, if it may have been entered. What to raise."""
    first, second = told
    if isinstance(first, ApiError) and first.problem is not errors.OUTCOME_UNKNOWN:
        return first
    parts = (_nonce(call, b"undo"), pack_cancel(account, instrument.number, 0, number, generated()))
    try:
        future = call.gateway.line.submit_parts(parts)
    except ApiError:
        return ApiError(errors.OUTCOME_UNKNOWN, hint="see which orders are open")
    if isinstance(first, BaseException):  # no answer yet: nor will the cancel have one soon
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return first
    await asyncio.wait([future])
    if future.exception() is not None:
        return ApiError(errors.OUTCOME_UNKNOWN, hint="see which orders are open")
    if isinstance(second, ApiError) and second.problem is errors.CANCEL_REJECTED:
        text = f"Order was rejected: the first order of the list, {first.orderId}, ended before the other was entered."
        return ApiError(errors.ORDER_REJECTED, text)
    return second if isinstance(second, BaseException) else ApiError(errors.OUTCOME_UNKNOWN)


def _nonce(call: Call, part: bytes) -> bytes:
    """Each command has a nonce of its own, made from the request's: a repeated request enters none of them."""
    nonce = hashlib.sha256(call.nonce + part).digest()[:16] if part else call.nonce
    return pack_nonce(nonce, call.timestamp_ns)


def _leg(asked: NewOrderList, side: str) -> NewOrder:
    """The order above or below the price."""
    return NewOrder(
        symbol=asked.symbol,
        side=asked.side,
        type=getattr(asked, f"{side}Type"),
        timeInForce=getattr(asked, f"{side}TimeInForce"),
        quantity=asked.quantity,
        price=getattr(asked, f"{side}Price"),
        newClientOrderId=getattr(asked, f"{side}ClientOrderId"),
        stopPrice=getattr(asked, f"{side}StopPrice"),
        trailingDelta=getattr(asked, f"{side}TrailingDelta"),
        icebergQty=getattr(asked, f"{side}IcebergQty"),
        newOrderRespType=asked.newOrderRespType or "RESULT",
        selfTradePreventionMode=asked.selfTradePreventionMode,
    )


async def cancel_list(call: Call) -> CancelledList:
    """DELETE /api/v3/orderList: whichever of the two is cancelled takes the other with it."""
    gateway, account = call.gateway, caller_account(call)
    asked: CancelOrderList = call.parameters
    instrument = instrument_of(gateway, asked.symbol)
    order = gateway.market.order(asked.orderListId)
    if order is None or order.account != account or order.instrument != instrument.number or not order.linked_order_id:
        raise ApiError(errors.CANCEL_REJECTED)
    found = Target(order.order_id, 0, asked.newClientOrderId)
    parts = (*found.prefixes, _nonce(call, b""), pack_target(account, instrument, found))
    applied = await gateway.line.submit_parts(parts)
    gone = []
    for event in applied.events:
        if event.kind == EventKind.REJECTED:
            raise refusal(event.code)
        if event.kind == EventKind.CANCELLED:
            gone.append(tell_cancelled(gateway, instrument, event.order_id, applied.received_ns, found.cancel_text))
    gone.sort(key=lambda one: one.orderId)
    return CancelledList(
        orderListId=asked.orderListId,
        listStatusType="ALL_DONE",
        listOrderStatus="ALL_DONE",
        listClientOrderId=found.cancel_text,
        transactionTime=applied.received_ns // NS_PER_MS,
        symbol=instrument.name,
        orders=[ListedOrder(instrument.name, one.orderId, one.origClientOrderId) for one in gone],
        orderReports=gone,
    )
