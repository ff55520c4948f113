"""One cancels other, in the Binance dialect: two orders, one lock, linked by the core itself.

    POST orderList/oco ──▶ the order that waits ──its id──▶ the other one + link to it
    core: the first of them that trades, fires or ends cancels the other

The link names the first order by its id, which nothing but this request has entered. The list has that number. If the
second order is refused, the first is cancelled again: the answer is the refusal, and nothing stays.
"""

from __future__ import annotations

import hashlib
from typing import Final

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
from gateway.binance.orders import caller_account, enter, generated, instrument_of, tell
from gateway.binance.refusals import refusal
from gateway.errors import ApiError
from gateway.line import pack_nonce
from gateway.routing import Call
from gateway.symbols import Instrument
from ironbook._commands import pack_one
from schemas.vocabulary import EventKind, LinkAction, OrderLink

__all__ = ["cancel_list", "place_list"]

NS_PER_MS: Final = 1_000_000


async def place_list(call: Call) -> OrderList:
    """POST /api/v3/orderList/oco."""
    gateway, account = call.gateway, caller_account(call)
    asked: NewOrderList = call.parameters
    instrument = instrument_of(gateway, asked.symbol)
    legs = {side: _leg(asked, side) for side in ("above", "below")}
    order = sorted(legs, key=lambda side: legs[side].type == "LIMIT_MAKER")  # what waits trades last
    for leg in legs.values():  # what can be refused without the engine is refused before anything is entered
        enter(gateway.mirror.core, account, leg, instrument)
    reports = {order[0]: await _enter(call, legs[order[0]], instrument, 0)}
    first_id = reports[order[0]].orderId
    try:
        reports[order[1]] = await _enter(call, legs[order[1]], instrument, first_id)
    except ApiError as error:
        await _undo(call, account, instrument, first_id)
        if error.problem is not errors.CANCEL_REJECTED:
            raise
        text = f"Order was rejected: the first order of the list, {first_id}, ended before the other was entered."
        raise ApiError(errors.ORDER_REJECTED, text) from None
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


async def _enter(call: Call, order: NewOrder, instrument: Instrument, linked_id: int) -> OrderResult:
    """One order of a list. linked_id: the one that was entered before it; 0: it is the first."""
    gateway, account = call.gateway, caller_account(call)
    prefixes: tuple[bytes, ...] = (_nonce(call, b"second" if linked_id else b""),)
    if linked_id:
        prefixes += (pack_one(OrderLink(order_id=linked_id, action=LinkAction.ONE_CANCELS_OTHER)),)
    entry = enter(gateway.mirror.core, account, order, instrument, prefixes)
    return tell(entry, await gateway.line.submit_parts(entry.parts))


async def _undo(call: Call, account: int, instrument: Instrument, order_id: int) -> None:
    """Cancel the first order again. Raises ApiError (OUTCOME_UNKNOWN) if that cannot be done."""
    parts = (_nonce(call, b"undo"), pack_target(account, instrument, Target(order_id, 0, None)))
    try:
        await call.gateway.line.submit_parts(parts)
    except ApiError:
        text = f"Order {order_id} of the list was entered, the other was not; its cancel could not be sent."
        raise ApiError(errors.OUTCOME_UNKNOWN, text) from None


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
