"""Orders of the Binance dialect: parameters become frames for the engine, its events become the answer.

    NewOrder ──enter──▶ Entry(frames) ──Line──▶ engine ──▶ replica ──Applied(events)──▶ told ──▶ ACK, RESULT, FULL

POST /api/v3/order is the hot path. What an order needs is worked out in whole numbers from the texts as they came,
frames are packed without dataclasses, and the answer is made from the command's own events: whatever happens to the
order afterwards does not get into it.
"""

from __future__ import annotations

import functools
import itertools
import secrets
from typing import TYPE_CHECKING, Final

from msgspec import UNSET, Raw, UnsetType

from engine_node._engine import Core
from gateway import errors
from gateway.binance import texts
from gateway.binance.models import (
    CommissionRates,
    Discount,
    NewOrder,
    OrderFill,
    OrderResult,
    TestedOrder,
    TestOrder,
)
from gateway.binance.refusals import filter_failure, refusal
from gateway.errors import ApiError
from gateway.events import Applied, Event
from gateway.line import pack_nonce
from gateway.routing import Call, Later
from gateway.symbols import Instrument, client_number, decimal_text
from ironbook._commands import pack_one, pack_order
from schemas.vocabulary import (
    PRICE_TICKS_MAX,
    Code,
    EventKind,
    Kind,
    OrderTerms,
    OrderType,
    ReportFlag,
    Side,
    Text,
    TimeInForce,
    TradingState,
    Trigger,
)
from schemas.vocabulary import NewOrder as Frame

if TYPE_CHECKING:
    from gateway.context import Gateway

__all__ = ["enter", "place", "tell", "test"]

NUMBERS: Final = 1 << 62  # generated client order ids lie below, those made from texts above
FREE_CAP_PPM: Final = 100_000  # highest price of a waiting market buy above its trigger, where no collar tells one
BOOK_ROOM: Final = 5_000
OFFSET_TICKS_MAX: Final = 2**31 - 1
NS_PER_MS: Final = 1_000_000

_REJECTED, _FILLED, _CANCELLED = int(EventKind.REJECTED), int(EventKind.FILLED), int(EventKind.CANCELLED)
_MORE: Final = frozenset((_REJECTED, _FILLED, _CANCELLED, int(EventKind.TRIGGERED)))
_DONE = int(ReportFlag.DONE)
_SELL = int(Side.SELL)
_LIMIT, _MARKET, _BY_QUOTE = int(OrderType.LIMIT), int(OrderType.MARKET), int(OrderType.MARKET_BY_QUOTE)
_GTC, _IOC = int(TimeInForce.GOOD_TILL_CANCELLED), int(TimeInForce.IMMEDIATE_OR_CANCEL)
_NUMBERS: Final = itertools.count(secrets.randbelow(NUMBERS))
_TEXT, _pack_text = int(Kind.TEXT), Text._STRUCT.pack
_NEW_ORDER, _pack_order = int(Kind.NEW_ORDER), Frame._STRUCT.pack
_TRIGGERS: Final = {
    "STOP_LOSS": Trigger.STOP,
    "STOP_LOSS_LIMIT": Trigger.STOP,
    "TAKE_PROFIT": Trigger.TAKE_PROFIT,
    "TAKE_PROFIT_LIMIT": Trigger.TAKE_PROFIT,
}
# Of each type: what must be there, and what must not
_MUST: Final[dict[str, tuple[str, ...]]] = {
    "LIMIT": ("timeInForce", "quantity", "price"),
    "LIMIT_MAKER": ("quantity", "price"),
    "MARKET": (),
    "STOP_LOSS": ("quantity",),
    "STOP_LOSS_LIMIT": ("timeInForce", "quantity", "price"),
    "TAKE_PROFIT": ("quantity",),
    "TAKE_PROFIT_LIMIT": ("timeInForce", "quantity", "price"),
}
_MUST_NOT: Final[dict[str, tuple[str, ...]]] = {
    "LIMIT": ("quoteOrderQty", "stopPrice", "trailingDelta"),
    "LIMIT_MAKER": ("timeInForce", "quoteOrderQty", "stopPrice", "trailingDelta"),
    "MARKET": ("timeInForce", "price", "stopPrice", "trailingDelta", "icebergQty"),
    "STOP_LOSS": ("timeInForce", "price", "quoteOrderQty", "icebergQty"),
    "STOP_LOSS_LIMIT": ("quoteOrderQty",),
    "TAKE_PROFIT": ("timeInForce", "price", "quoteOrderQty", "icebergQty"),
    "TAKE_PROFIT_LIMIT": ("quoteOrderQty",),
}


def rates_ppm(gateway: Gateway, account: int, instrument: Instrument) -> tuple[int, int]:
    """Maker's and taker's fee of the account in that symbol, in millionths."""
    core = gateway.mirror.core
    tier = (core.account(account) or {}).get("fee_tier", 0)
    if tier and (found := core.fee_tier(instrument.number, tier)) is not None:
        return found
    info = core.instrument(instrument.number) or {}
    return int(info.get("maker_fee_ppm", 0)), int(info.get("taker_fee_ppm", 0))


def rate_text(ppm: int) -> str:
    """A rate as Binance writes it, with eight digits."""
    return decimal_text(100 * ppm, 8)


def instrument_of(gateway: Gateway, symbol: str) -> Instrument:
    """Raises ApiError, Invalid symbol."""
    found = gateway.mirror.by_name.get(symbol)
    if found is None:
        raise ApiError(errors.SYMBOL, hint="exchangeInfo lists the symbols")
    return found


# ---- A new order: from parameters to frames --------------------------------------------------------------------------


class Entry:
    """A new order on its way: as the client said it, and as frames."""

    __slots__ = ("client_text", "instrument", "order", "parts", "price_ticks", "quantity_lots", "trigger_price_ticks")

    def __init__(self, order: NewOrder, instrument: Instrument, client_text: str) -> None:
        self.order, self.instrument, self.client_text = order, instrument, client_text
        self.parts: tuple[bytes, ...] = ()
        self.price_ticks = self.quantity_lots = self.trigger_price_ticks = 0


def enter(
    core: Core,
    account: int,
    order: NewOrder,
    instrument: Instrument,
    prefixes: tuple[bytes, ...] = (),
    number: int | None = None,
) -> Entry:
    """The frames of a new order, prefixes (nonce, link) among them. Raises ApiError; nothing is sent.

    number  what the engine calls the order, where that must not be what its client's name is made into
    """
    kind = order.type
    plain = _is_plain(order)
    if not plain:
        _present(order, kind)
    text = order.newClientOrderId
    if number is None:
        number = generated() if text is None else client_number(text)
    if number == 0:  # the engine's own sign for none
        raise ApiError(errors.ILLEGAL, "Illegal characters found in parameter 'newClientOrderId'; it must not be 0.")
    entry = Entry(order, instrument, str(number) if text is None else text)
    if text is not None and str(number) != text:
        prefixes = (pack_name(text), *prefixes)
    if plain and order.price is not None and order.quantity is not None and order.timeInForce is not None:
        entry.price_ticks = price_ticks = instrument.price_ticks(order.price)
        entry.quantity_lots = quantity_lots = instrument.quantity_lots(order.quantity)
        frame = _pack_order(
            _NEW_ORDER, account, instrument.number, price_ticks, quantity_lots, number, texts.SIDES[order.side], _LIMIT,
            texts.TIMES_IN_FORCE[order.timeInForce], texts.PREVENTIONS[order.selfTradePreventionMode], 0,
        )  # fmt: skip
        entry.parts = (*prefixes, frame)
        return entry
    order_type, time_in_force, post_only = _LIMIT, _GTC, False
    if kind == "LIMIT":
        time_in_force = texts.TIMES_IN_FORCE[order.timeInForce or "GTC"]
    elif kind == "LIMIT_MAKER":
        post_only = True
    elif kind == "MARKET":
        order_type, time_in_force = (_MARKET if order.quoteOrderQty is None else _BY_QUOTE), _IOC
    else:
        order_type = _LIMIT if order.price is not None else _MARKET
        time_in_force = _IOC if order_type == _MARKET else texts.TIMES_IN_FORCE[order.timeInForce or "GTC"]
        if time_in_force not in (_GTC, _IOC):
            raise ApiError(errors.COMBINATION, hint="an order that waits for a price cannot be FOK")
    _numbers(core, entry)
    if kind in _TRIGGERS or order.icebergQty is not None:
        prefixes = (*prefixes, _terms(core, entry, time_in_force))
    frame = pack_order(
        account,
        instrument.number,
        texts.SIDES[order.side],
        entry.price_ticks,
        entry.quantity_lots,
        number,
        order_type,
        time_in_force,
        texts.PREVENTIONS[order.selfTradePreventionMode],
        post_only,
    )
    entry.parts = (*prefixes, frame)
    return entry


def _is_plain(order: NewOrder) -> bool:
    """A limit order that says all that it must and nothing else: most are."""
    return (
        order.type == "LIMIT"
        and order.price is not None
        and order.quantity is not None
        and order.timeInForce is not None
        and order.icebergQty is None
        and order.quoteOrderQty is None
        and order.stopPrice is None
        and order.trailingDelta is None
    )


class ListNames(dict[tuple[int, str], int]):
    """Orders that have their client's name and not the number that is made from it, by account and name: of lists whose
    orders both have names. The order's id; 0: it is on its way."""


def refuse_taken(gateway: Gateway, account: int, text: str | None) -> None:
    """An open order of a list may have the name without its number, so that the core would not notice."""
    names = gateway.shared.get(ListNames)
    if names and text is not None and (order_id := names.get((account, text))) is not None:
        known = gateway.market.order(order_id) if order_id else None
        if order_id == 0 or (known is not None and known.is_open):
            raise ApiError(errors.DUPLICATE)
        del names[account, text]


def generated() -> int:
    """A client order id for an order or a cancel that came without one: from a random one on, so hardly anybody's."""
    return next(_NUMBERS) % NUMBERS + 1


def pack_name(text: str) -> bytes:
    """The text prefix of a client order id whose characters were looked at before."""
    return _pack_text(_TEXT, text.encode())


def _present(order: NewOrder, kind: str) -> None:
    for name in _MUST[kind]:
        if getattr(order, name) is None:
            raise missing(name)
    for name in _MUST_NOT[kind]:
        if getattr(order, name) is not None:
            raise ApiError(errors.NOT_REQUIRED, f"Parameter '{name}' sent when not required.")
    if kind == "MARKET" and (order.quantity is None) == (order.quoteOrderQty is None):
        raise ApiError(errors.COMBINATION, hint="a market order has either quantity or quoteOrderQty")
    if kind in _TRIGGERS:
        if order.stopPrice is None and order.trailingDelta is None:
            raise missing("stopPrice")
        if order.trailingDelta is not None and (order.stopPrice is not None or kind.startswith("TAKE_PROFIT")):
            raise ApiError(
                errors.COMBINATION,
                detail="trailingDelta goes with STOP_LOSS and STOP_LOSS_LIMIT, and not with stopPrice",
                hint="a trailing order follows the price from its entry on",
            )


def missing(name: str) -> ApiError:
    """A parameter that must be there is not."""
    return ApiError(errors.MANDATORY, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def _numbers(core: Core, entry: Entry) -> None:
    """Price and quantity in ticks and lots; of a market order its cap."""
    order, instrument = entry.order, entry.instrument
    if order.price is not None:
        entry.price_ticks = instrument.price_ticks(order.price)
    if order.quantity is not None:
        entry.quantity_lots = instrument.quantity_lots(order.quantity)
    elif order.quoteOrderQty is not None:
        entry.quantity_lots = instrument.amount_units(order.quoteOrderQty, "quoteOrderQty")
    if order.stopPrice is not None:
        entry.trigger_price_ticks = instrument.price_ticks(order.stopPrice, "stopPrice")
    if order.price is None and order.side == "BUY":
        entry.price_ticks = _cap(core, entry)


def _cap(core: Core, entry: Entry) -> int:
    """The highest price of a market buy; 0 leaves it to the collar, or to a refusal where there is no depth."""
    order, instrument = entry.order, entry.instrument
    info = core.instrument(instrument.number) or {}
    collar_ppm, reference = int(info.get("collar_ppm", 0)), int(info.get("reference_price_ticks", 0))
    if order.type in _TRIGGERS:
        around = entry.trigger_price_ticks or reference
        return min(around * (1_000_000 + (collar_ppm or FREE_CAP_PPM)) // 1_000_000, PRICE_TICKS_MAX)
    if collar_ppm and reference:
        return 0
    rest, price = entry.quantity_lots, 0
    for price, lots, _count in core.levels(instrument.number, _SELL, BOOK_ROOM):
        rest -= lots if order.quoteOrderQty is None else instrument.notional_units(price, lots)
        if rest <= 0:
            break
    return price


def _terms(core: Core, entry: Entry, time_in_force: int) -> bytes:
    order, instrument = entry.order, entry.instrument
    display_lots = offset_ticks = 0
    trigger = _TRIGGERS.get(order.type, Trigger.NONE)
    if order.icebergQty is not None:
        if time_in_force != _GTC:
            raise ApiError(errors.COMBINATION, hint="an order with icebergQty must be GTC")
        display_lots = instrument.quantity_lots(order.icebergQty, "icebergQty")
        if display_lots > entry.quantity_lots:
            raise filter_failure("ICEBERG_PARTS")
    if order.trailingDelta is not None:
        trigger = Trigger.TRAILING
        reference = int((core.instrument(instrument.number) or {}).get("reference_price_ticks", 0))
        if reference == 0:
            raise refusal(Code.NO_REFERENCE_PRICE)
        offset_ticks = max(1, reference * order.trailingDelta // 10_000)
        if offset_ticks > OFFSET_TICKS_MAX:
            raise filter_failure("TRAILING_DELTA")
    return pack_one(
        OrderTerms(
            trigger=int(trigger),
            trigger_price_ticks=entry.trigger_price_ticks,
            display_lots=display_lots,
            offset_ticks=offset_ticks,
        )
    )


# ---- A new order: from events to the answer --------------------------------------------------------------------------


def place(call: Call) -> Later:
    """POST /api/v3/order; finishes with an OrderResult, or with its JSON."""
    gateway, account = call.gateway, caller_account(call)
    order: NewOrder = call.parameters
    instrument = instrument_of(gateway, order.symbol)
    refuse_taken(gateway, account, order.newClientOrderId)
    nonce = pack_nonce(call.nonce, call.timestamp_ns)
    entry = enter(gateway.mirror.core, account, order, instrument, (nonce,))
    return Later(gateway.line.submit_parts(entry.parts), functools.partial(_answer, entry))


def _answer(entry: Entry, applied: Applied) -> OrderResult | Raw:
    """What tell says; of an order that just rests, which most do, written at once."""
    order, order_id = entry.order, applied.sequence
    if order.type != "LIMIT" or order.newOrderRespType not in (None, "FULL") or order.icebergQty is not None:
        return tell(entry, applied)
    for event in applied.events:
        if event[0] in _MORE:
            return tell(entry, applied)
    if order_id == 0:
        return tell(entry, applied)
    instrument, now_ms = entry.instrument, applied.received_ns // NS_PER_MS
    none, zero = instrument.quantity_text(0), instrument.amount_text(0)
    return Raw(
        f'{{"symbol":"{instrument.name}","orderId":{order_id},"orderListId":-1,"clientOrderId":"{entry.client_text}",'
        f'"transactTime":{now_ms},"price":"{instrument.price_text(entry.price_ticks)}",'
        f'"origQty":"{instrument.quantity_text(entry.quantity_lots)}","executedQty":"{none}",'
        f'"origQuoteOrderQty":"{zero}","cummulativeQuoteQty":"{zero}","status":"NEW",'
        f'"timeInForce":"{order.timeInForce}","type":"LIMIT","side":"{order.side}","workingTime":{now_ms},'
        f'"selfTradePreventionMode":"{order.selfTradePreventionMode}","fills":[]}}'.encode()
    )


def caller_account(call: Call) -> int:
    """Whose orders and balances the call is about."""
    if call.caller is None:
        raise ApiError(errors.KEY_FORMAT)
    return call.caller.account


def tell(entry: Entry, applied: Applied) -> OrderResult:
    """The answer to a new order from the events of its command. Raises ApiError if it was refused."""
    order, instrument = entry.order, entry.instrument
    order_id = applied.sequence
    if order_id == 0:
        raise ApiError(errors.OUTCOME_UNKNOWN, hint="ask for the order by its client order id")
    wanted = order.newOrderRespType or ("FULL" if order.type in ("LIMIT", "MARKET") else "ACK")
    received_ms = applied.received_ns // NS_PER_MS
    executed = notional = code = 0
    done = False
    fills: list[OrderFill] = []
    for event in applied.events:
        kind = event.kind
        if kind == _REJECTED:
            raise refusal(event.code)
        if event.order_id != order_id or event.account == 0:
            continue
        if kind == _FILLED:
            done = event.flags & _DONE != 0
            executed += event.quantity_lots
            notional += instrument.notional_units(event.price_ticks, event.quantity_lots)
            if wanted == "FULL":
                fills.append(_fill(event, instrument))
        elif kind == _CANCELLED:
            if event.flags & _DONE:
                done, code = True, event.code
            else:  # self-trade prevention by decrement
                entry.quantity_lots -= event.quantity_lots
    if wanted == "ACK":
        return OrderResult(
            symbol=instrument.name, orderId=order_id, clientOrderId=entry.client_text, transactTime=received_ms
        )
    return _result(entry, order_id, received_ms, executed, notional, code, done, fills if wanted == "FULL" else UNSET)


def _fill(event: Event, instrument: Instrument) -> OrderFill:
    return OrderFill(
        instrument.price_text(event.price_ticks),
        instrument.quantity_text(event.quantity_lots),
        instrument.amount_text(event.amount_units),
        instrument.quote.name,
        event.reference,
    )


def _result(
    entry: Entry,
    order_id: int,
    received_ms: int,
    executed: int,
    notional: int,
    code: int,
    done: bool,
    fills: list[OrderFill] | UnsetType,
) -> OrderResult:
    order, instrument = entry.order, entry.instrument
    if code:
        status = texts.ended_text(code, executed)
    else:
        status = "FILLED" if done else "PARTIALLY_FILLED" if executed else "NEW"
    by_quote = order.quoteOrderQty is not None
    waits = order.type in _TRIGGERS
    zero = instrument.amount_text(0)
    return OrderResult(
        symbol=instrument.name,
        orderId=order_id,
        clientOrderId=entry.client_text,
        transactTime=received_ms,
        price=instrument.price_text(entry.price_ticks if order.price is not None else 0),
        origQty=instrument.quantity_text(executed if by_quote else entry.quantity_lots),
        executedQty=instrument.quantity_text(executed),
        origQuoteOrderQty=instrument.amount_text(entry.quantity_lots) if by_quote else zero,
        cummulativeQuoteQty=instrument.amount_text(notional) if notional else zero,
        status=status,
        timeInForce=order.timeInForce or "GTC",
        type=order.type,
        side=order.side,
        workingTime=-1 if waits else received_ms,
        selfTradePreventionMode=order.selfTradePreventionMode,
        fills=fills,
        stopPrice=instrument.price_text(entry.trigger_price_ticks) if order.stopPrice is not None else UNSET,
        icebergQty=UNSET
        if order.icebergQty is None
        else instrument.quantity_text(instrument.quantity_lots(order.icebergQty)),
        trailingDelta=UNSET if order.trailingDelta is None else order.trailingDelta,
        trailingTime=UNSET if order.trailingDelta is None else received_ms,
    )


def test(call: Call) -> TestedOrder:
    """POST /api/v3/order/test: all that can be told without the engine; funds and the market are its own affair."""
    gateway, account = call.gateway, caller_account(call)
    order: TestOrder = call.parameters
    instrument = instrument_of(gateway, order.symbol)
    core = gateway.mirror.core
    entry = enter(core, account, order, instrument, (pack_nonce(call.nonce, call.timestamp_ns),))
    info = core.instrument(instrument.number) or {}
    if core.everything_halted() or info.get("trading_state") in (TradingState.HALTED, TradingState.CLOSED):
        raise ApiError(errors.MARKET_CLOSED)
    lots = entry.quantity_lots
    if order.quoteOrderQty is None:
        most = int(info.get("quantity_lots_max", 0))
        if lots < int(info.get("quantity_lots_min", 0)) or (most and lots > most):
            raise filter_failure("LOT_SIZE")
    notional = lots if order.quoteOrderQty is not None else instrument.notional_units(entry.price_ticks, lots)
    if order.type != "MARKET" and notional < int(info.get("notional_units_min", 0)):
        raise filter_failure("NOTIONAL")
    if not order.computeCommissionRates:
        return TestedOrder()
    maker, taker = rates_ppm(gateway, account, instrument)
    none = CommissionRates(rate_text(0), rate_text(0))
    return TestedOrder(CommissionRates(rate_text(maker), rate_text(taker)), none, none, Discount())
