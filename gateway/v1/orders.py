"""/api/v1/orders: list, look up, enter, amend, cancel. Everything that the engine knows of can be said here.

NewOrderBody ──▶ frames (nonce, text, terms, link, order) ──Line──▶ engine ──▶ replica ──▶ OrderResult
"""

from __future__ import annotations

from typing import Any, Final

from gateway import errors, past
from gateway.binance.orders import generated
from gateway.binance.refusals import refusal
from gateway.context import Gateway
from gateway.errors import ApiError
from gateway.events import Applied
from gateway.line import pack_nonce
from gateway.market import Order
from gateway.routing import Access, Call, Route
from gateway.symbols import Instrument, client_number
from gateway.v1 import shapes
from gateway.v1.account import bad_cursor
from gateway.v1.models import (
    AmendBody,
    CancelledOrders,
    NewOrderBody,
    OfSymbol,
    OrderInfo,
    OrderResult,
    OrdersQuery,
)
from gateway.v1.types import Page
from ironbook._commands import pack_one, pack_order, pack_text
from schemas.vocabulary import (
    Cancel,
    EventKind,
    LinkAction,
    MassCancel,
    OrderLink,
    OrderTerms,
    OrderType,
    Peg,
    Permission,
    Replace,
    SelfTradePrevention,
    Side,
    TermOption,
    TimeInForce,
    Trigger,
)

__all__ = ["ROUTES", "parts_of"]

OFFSET_TICKS_MAX: Final = 2**31 - 1
ORDER_ID_MAX: Final = (1 << 63) - 1


# ---- Reads -----------------------------------------------------------------------------------------------------------


async def orders(call: Call) -> Page[OrderInfo]:
    """Open orders by rising id; or all, newest first."""
    gateway, asked = call.gateway, call.parameters
    account = shapes.account_of(call)
    instrument = None if asked.symbol is None else gateway.mirror.instrument(asked.symbol)
    if asked.client_order_id is not None:
        found = await past.order(gateway, account, text=asked.client_order_id)
        if found is None or (instrument is not None and instrument.number != found.instrument):
            return Page(items=[])
        return Page(items=_infos(gateway, [found]))
    if asked.status == "open":
        number = None if instrument is None else instrument.number
        return Page(items=_infos(gateway, gateway.market.open_orders(account, number)))
    before = None if asked.after is None else _number(asked.after)
    newest = await past.orders(gateway, account, instrument=instrument, before_id=before, limit=asked.limit)
    items = _infos(gateway, newest[::-1])
    return Page(items=items, next=str(items[-1].order_id) if len(items) == asked.limit else None)


def _infos(gateway: Gateway, found: list[Order]) -> list[OrderInfo]:
    return [shapes.order_info(gateway.mirror.instruments[one.instrument], one) for one in found]


def _number(after: str) -> int:
    if not (after.isdecimal() and len(after) <= 19):
        raise bad_cursor(after)
    return int(after)


async def order(call: Call) -> OrderInfo:
    """One order, open or ended."""
    gateway = call.gateway
    found = await past.order(gateway, shapes.account_of(call), order_id=_order_id(call))
    if found is None:
        raise ApiError(errors.NO_SUCH_ORDER)
    return shapes.order_info(gateway.mirror.instruments[found.instrument], found)


def _order_id(call: Call) -> int:
    return shapes.whole(call.path["order_id"], "order_id", 1, ORDER_ID_MAX)


# ---- A new order -----------------------------------------------------------------------------------------------------


async def place(call: Call) -> OrderResult:
    """Enter an order.

    The answer comes when the order rests, has filled or has ended, with the fills that it brought at once. What the
    engine refuses has the code of the refusal in `detail`.
    """
    gateway, account = call.gateway, shapes.account_of(call)
    body: NewOrderBody = call.body
    instrument = gateway.mirror.instrument(body.symbol)
    if body.cancel_first is not None and call.caller is not None and not call.caller.may(Permission.CANCEL):
        raise ApiError(errors.KEY_REFUSED, detail="cancel_first needs the permission cancel, too")
    parts = parts_of(account, instrument, body)
    applied = await gateway.line.submit_parts((pack_nonce(call.nonce, call.timestamp_ns), *parts))
    return _told(gateway, account, applied, applied.sequence)


def parts_of(account: int, instrument: Instrument, body: NewOrderBody) -> tuple[bytes, ...]:
    """The frames of a new order, prefixes first. Raises ApiError; nothing is sent."""
    kind = OrderType[body.type.upper()]
    _check(body, kind)
    prefixes: list[bytes] = []
    number = generated() if body.client_order_id is None else client_number(body.client_order_id)
    if body.client_order_id is not None and body.client_order_id != str(number):
        prefixes.append(pack_text(body.client_order_id))
    terms = _terms(instrument, body)
    if terms != OrderTerms():
        prefixes.append(pack_one(terms))
    link, target = LinkAction.CANCEL_FIRST, body.cancel_first
    if body.one_cancels_other is not None:
        link, target = LinkAction.ONE_CANCELS_OTHER, body.one_cancels_other
    if target is not None:
        prefixes.append(pack_one(OrderLink(order_id=target, action=link)))
    quantity = (
        instrument.amount_units(body.amount or "", "amount")
        if kind is OrderType.MARKET_BY_QUOTE
        else instrument.quantity_lots(body.quantity or "")
    )
    rests = kind is OrderType.LIMIT
    lasting = TimeInForce.GOOD_TILL_CANCELLED if rests else TimeInForce.IMMEDIATE_OR_CANCEL
    frame = pack_order(
        account,
        instrument.number,
        Side[body.side.upper()],
        0 if body.price is None else instrument.price_ticks(body.price),
        quantity,
        number,
        kind,
        lasting if body.time_in_force is None else TimeInForce[body.time_in_force.upper()],
        SelfTradePrevention[body.self_trade_prevention.upper()],
        body.post_only,
    )
    return (*prefixes, frame)


def _check(body: NewOrderBody, kind: OrderType) -> None:
    """What must be there and what must not, of each type."""
    by_amount = kind is OrderType.MARKET_BY_QUOTE
    needs = [("amount" if by_amount else "quantity", True), ("quantity" if by_amount else "amount", False)]
    needs += [("price", True)] if kind is OrderType.LIMIT else []
    needs += [("trigger_price", body.trigger in ("stop", "take_profit"))]
    for name, wanted in needs:
        given = getattr(body, name) is not None
        if wanted and not given:
            raise ApiError(errors.MANDATORY, f"{name} must be given for this order.", hint="see docs/reference/orders")
        if given and not wanted:
            raise ApiError(errors.COMBINATION, f"{name} does not go with this order.", hint="leave it out")
    if (body.offset is not None) != (body.trigger == "trailing" or body.peg is not None):
        raise ApiError(errors.COMBINATION, "offset goes with trailing and pegged orders, and they need it.")
    if body.cancel_first is not None and body.one_cancels_other is not None:
        raise ApiError(errors.COMBINATION, "An order has one link: cancel_first or one_cancels_other.")


def _terms(instrument: Instrument, body: NewOrderBody) -> OrderTerms:
    chosen = {"hidden": TermOption.HIDDEN, "all_or_none": TermOption.ALL_OR_NONE, "day": TermOption.DAY}
    shown, least, trigger = body.display_quantity, body.minimum_quantity, body.trigger_price
    return OrderTerms(
        trigger=int(Trigger[body.trigger.upper()]) if body.trigger else 0,
        trigger_price_ticks=0 if trigger is None else instrument.price_ticks(trigger, "trigger_price"),
        display_lots=0 if shown is None else instrument.quantity_lots(shown, "display_quantity"),
        minimum_lots=0 if least is None else instrument.quantity_lots(least, "minimum_quantity"),
        expire_ns=body.expire_ns or 0,
        offset_ticks=0 if body.offset is None else _offset(instrument, body.offset),
        peg=int(Peg[body.peg.upper()]) if body.peg else 0,
        options=sum(option for name, option in chosen.items() if getattr(body, name)),
    )


def _offset(instrument: Instrument, text: str) -> int:
    """Ticks of a distance, which may be zero or below."""
    size = text.removeprefix("-")
    if not size.strip("0."):
        return 0
    ticks = instrument.price_ticks(size, "offset")
    if ticks > OFFSET_TICKS_MAX:
        raise ApiError(errors.PARAMETER, f"offset must be at most {instrument.price_text(OFFSET_TICKS_MAX)}.")
    return -ticks if text.startswith("-") else ticks


# ---- Answers ---------------------------------------------------------------------------------------------------------


def check(applied: Applied) -> Applied:
    """Raises ApiError if the engine refused, or if it is not known what came of it."""
    if applied.sequence == 0:
        raise ApiError(errors.OUTCOME_UNKNOWN, hint="look the order up")
    for event in applied.events:
        if event.kind == EventKind.REJECTED:
            raise refusal(event.code)
    return applied


def _told(gateway: Gateway, account: int, applied: Applied, order_id: int) -> OrderResult:
    """The order as it stands, and the fills of the command."""
    check(applied)
    found = gateway.market.order(order_id)
    if found is None:
        raise ApiError(errors.OUTCOME_UNKNOWN, hint="look the order up")
    instrument = gateway.mirror.instruments[found.instrument]
    fills = [
        shapes.execution(instrument, fill)
        for fill in gateway.market.fills_of(found)
        if fill.sequence == applied.sequence and fill.account == account
    ]
    return OrderResult(order=shapes.order_info(instrument, found), fills=fills, sequence=applied.sequence)


# ---- Amend and cancel ------------------------------------------------------------------------------------------------


def _open(gateway: Gateway, account: int, order_id: int) -> Order:
    found = gateway.market.order(order_id)
    if found is None or found.account != account or not found.is_open:
        raise ApiError(errors.CANCEL_REJECTED, detail=f"order {order_id} must be open", hint="it may have filled")
    return found


async def amend(call: Call) -> OrderResult:
    """Change price and total quantity.

    At the same price and with no larger total the order keeps its place in the book, otherwise it goes to the back.
    """
    gateway, account, body = call.gateway, shapes.account_of(call), call.body
    found = _open(gateway, account, _order_id(call))
    if body.price is None and body.quantity is None:
        raise ApiError(errors.MANDATORY, "price or quantity must be given.")
    instrument = gateway.mirror.instruments[found.instrument]
    command = Replace(
        account=account,
        instrument=found.instrument,
        order_id=found.order_id,
        price_ticks=found.price_ticks if body.price is None else instrument.price_ticks(body.price),
        quantity_lots=found.quantity_lots if body.quantity is None else instrument.quantity_lots(body.quantity),
    )
    return _told(gateway, account, await _send(call, command), found.order_id)


async def cancel(call: Call) -> OrderResult:
    """Cancel one order."""
    gateway, account = call.gateway, shapes.account_of(call)
    found = _open(gateway, account, _order_id(call))
    command = Cancel(account=account, instrument=found.instrument, order_id=found.order_id)
    return _told(gateway, account, await _send(call, command), found.order_id)


async def cancel_all(call: Call) -> CancelledOrders:
    """Cancel all open orders, of one instrument or of all."""
    gateway, account, symbol = call.gateway, shapes.account_of(call), call.parameters.symbol
    instrument = 0 if symbol is None else gateway.mirror.instrument(symbol).number
    applied = check(await _send(call, MassCancel(account=account, instrument=instrument)))
    found = [
        gateway.market.order(event.order_id)
        for event in applied.events
        if event.kind == EventKind.CANCELLED and event.account == account
    ]
    return CancelledOrders(items=_infos(gateway, [one for one in found if one]), sequence=applied.sequence)


async def _send(call: Call, command: Cancel | MassCancel | Replace) -> Applied:
    parts = pack_nonce(call.nonce, call.timestamp_ns), pack_one(command)
    return await call.gateway.line.submit_parts(parts)


# ---- Routes ----------------------------------------------------------------------------------------------------------

OF_ENTRY: Final = (
    errors.FILTER, errors.ORDER_REJECTED, errors.INSUFFICIENT, errors.WOULD_TAKE, errors.DUPLICATE, errors.COMBINATION,
    errors.PRECISION, errors.SYMBOL,
)  # fmt: skip


def _route(method: str, path: str, handler: Any, access: Access, summary: str, **more: Any) -> Route:
    return Route(method=method, path=path, handler=handler, access=access, summary=summary, tag="trading", **more)


ROUTES: Final = (
    _route(
        "GET", "/api/v1/orders", orders, Access.READ, "Orders: open ones, or all.",
        parameters=OrdersQuery, returns=Page[OrderInfo], weight=10, problems=(errors.SYMBOL, errors.HISTORY_AWAY),
    ),
    _route(
        "POST", "/api/v1/orders", place, Access.TRADE, "Enter an order.",
        body=NewOrderBody, returns=OrderResult, orders=1, problems=OF_ENTRY,
    ),
    _route(
        "DELETE", "/api/v1/orders", cancel_all, Access.CANCEL, "Cancel all open orders.",
        parameters=OfSymbol, returns=CancelledOrders, problems=(errors.SYMBOL,),
    ),
    _route(
        "GET", "/api/v1/orders/{order_id}", order, Access.READ, "One order.",
        returns=OrderInfo, problems=(errors.NO_SUCH_ORDER, errors.HISTORY_AWAY),
    ),
    _route(
        "PATCH", "/api/v1/orders/{order_id}", amend, Access.TRADE, "Change price and quantity.",
        body=AmendBody, returns=OrderResult, problems=(errors.CANCEL_REJECTED, errors.AMEND_REJECTED, *OF_ENTRY),
    ),
    _route(
        "DELETE", "/api/v1/orders/{order_id}", cancel, Access.CANCEL, "Cancel one order.",
        returns=OrderResult, problems=(errors.CANCEL_REJECTED,),
    ),
)  # fmt: skip
