"""One cancels other, in the Binance dialect: two orders, one lock, linked by the core itself.

    POST orderList/oco ──▶ order above, order below + link to it ──one write──▶ core: the first that trades, fires or
                                                                                ends cancels the other

The list has the number of its first order. If one of the two is refused, the other is cancelled again: the answer is
the refusal, and nothing stays.
"""

from __future__ import annotations

import asyncio
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
from gateway.binance.orders import Entry, caller_account, enter, generated, instrument_of, tell
from gateway.binance.refusals import refusal
from gateway.errors import ApiError
from gateway.events import Applied
from gateway.line import pack_nonce
from gateway.routing import Call
from gateway.symbols import client_number
from ironbook._commands import pack_one
from schemas.vocabulary import EventKind, LinkAction, OrderLink

__all__ = ["cancel_list", "place_list"]

NS_PER_MS: Final = 1_000_000


async def place_list(call: Call) -> OrderList:
    """POST /api/v3/orderList/oco."""
    gateway, account = call.gateway, caller_account(call)
    asked: NewOrderList = call.parameters
    instrument = instrument_of(gateway, asked.symbol)
    core = gateway.mirror.core
    name = asked.aboveClientOrderId or str(generated())
    taken = gateway.market.order_by_text(account, name)
    if taken is not None and taken.is_open:  # the second order would be linked to that one
        raise ApiError(errors.DUPLICATE)
    first = enter(core, account, _leg(asked, "above", name), instrument, (_nonce(call, b""),))
    link = OrderLink(target_client_order_id=client_number(name), action=LinkAction.ONE_CANCELS_OTHER)
    below = _leg(asked, "below", asked.belowClientOrderId)
    second = enter(core, account, below, instrument, (_nonce(call, b"second"), pack_one(link)))
    futures = gateway.line.submit_linked([first.parts, second.parts])
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    told = [_told(entry, outcome) for entry, outcome in zip((first, second), outcomes, strict=True)]
    reports = [one for one in told if isinstance(one, OrderResult)]
    refused = next((one for one in told if isinstance(one, BaseException)), None)
    if refused is not None:
        for one in reports:
            undo = (_nonce(call, b"undo"), pack_target(account, instrument, Target(one.orderId, 0, None)))
            await gateway.line.submit_parts(undo)
        raise refused
    return OrderList(
        orderListId=reports[0].orderId,
        listStatusType="EXEC_STARTED",
        listOrderStatus="EXECUTING",
        listClientOrderId=asked.listClientOrderId or str(generated()),
        transactionTime=reports[0].transactTime,
        symbol=instrument.name,
        orders=[ListedOrder(instrument.name, one.orderId, one.clientOrderId) for one in reports],
        orderReports=reports,
    )


def _nonce(call: Call, part: bytes) -> bytes:
    """Each command has a nonce of its own, made from the request's: a repeated request enters none of them."""
    nonce = hashlib.sha256(call.nonce + part).digest()[:16] if part else call.nonce
    return pack_nonce(nonce, call.timestamp_ns)


def _leg(asked: NewOrderList, side: str, name: str | None) -> NewOrder:
    """The order above or below the price."""
    return NewOrder(
        symbol=asked.symbol,
        side=asked.side,
        type=getattr(asked, f"{side}Type"),
        timeInForce=getattr(asked, f"{side}TimeInForce"),
        quantity=asked.quantity,
        price=getattr(asked, f"{side}Price"),
        newClientOrderId=name,
        stopPrice=getattr(asked, f"{side}StopPrice"),
        trailingDelta=getattr(asked, f"{side}TrailingDelta"),
        icebergQty=getattr(asked, f"{side}IcebergQty"),
        newOrderRespType=asked.newOrderRespType or "RESULT",
        selfTradePreventionMode=asked.selfTradePreventionMode,
    )


def _told(entry: Entry, outcome: Applied | BaseException) -> OrderResult | BaseException:
    if isinstance(outcome, BaseException):
        return outcome
    try:
        return tell(entry, outcome)
    except ApiError as error:
        return error


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
