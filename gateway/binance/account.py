"""What an account asks about itself, in the Binance dialect: its orders, trades, balances, rates and counts."""

from __future__ import annotations

from typing import Final

from gateway import errors, past
from gateway.binance import exchange_info, texts
from gateway.binance.changes import price_of
from gateway.binance.models import (
    AccountInfo,
    AccountQuery,
    AllOrdersQuery,
    Balance,
    Commission,
    CommissionRates,
    Discount,
    MaybeSymbol,
    MyTradesQuery,
    OrderQuery,
    OrderState,
    OwnTrade,
    RateLimit,
    SymbolOnly,
    TradeFee,
)
from gateway.binance.orders import caller_account, instrument_of, rate_text, rates_ppm
from gateway.errors import ApiError
from gateway.market import Fill, Order, OrderStatus
from gateway.routing import Call
from gateway.symbols import Instrument
from schemas.vocabulary import Side

__all__ = ["account", "all_orders", "commission", "my_trades", "open_orders", "order", "order_counts", "trade_fees"]

NS_PER_MS: Final = 1_000_000
BASIS_POINT_PPM: Final = 100

# ---- Orders ----------------------------------------------------------------------------------------------------------


def state_of(order: Order, instrument: Instrument) -> OrderState:
    """An order as queries tell it."""
    return OrderState(
        symbol=instrument.name,
        orderId=order.order_id,
        orderListId=min(order.order_id, order.linked_order_id) if order.linked_order_id and order.is_open else -1,
        clientOrderId=order.client_text,
        price=price_of(order, instrument),
        origQty=instrument.quantity_text(texts.told_lots(order)),
        executedQty=instrument.quantity_text(order.filled_lots),
        origQuoteOrderQty=instrument.amount_text(order.amount_units),
        cummulativeQuoteQty=instrument.amount_text(order.notional_units),
        status=texts.status_text(order),
        timeInForce=texts.time_in_force_text(order),
        type=texts.type_text(order),
        side=texts.side_text(order),
        stopPrice=instrument.price_text(order.trigger_price_ticks),
        icebergQty=instrument.quantity_text(order.display_lots),
        time=order.entered_ns // NS_PER_MS,
        updateTime=order.updated_ns // NS_PER_MS,
        isWorking=order.status is not OrderStatus.WAITING,
        workingTime=order.working_ns // NS_PER_MS if order.working_ns else -1,
        selfTradePreventionMode=texts.stp_text(order),
    )


async def order(call: Call) -> OrderState:
    """GET /api/v3/order."""
    gateway, mine = call.gateway, caller_account(call)
    asked: OrderQuery = call.parameters
    instrument = instrument_of(gateway, asked.symbol)
    if asked.orderId is None and asked.origClientOrderId is None:
        raise ApiError(
            errors.MANDATORY, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
        )
    found = await past.order(gateway, mine, order_id=asked.orderId, text=asked.origClientOrderId)
    if found is None or found.instrument != instrument.number:
        raise ApiError(errors.NO_SUCH_ORDER)
    if asked.origClientOrderId is not None and found.client_text != asked.origClientOrderId:
        raise ApiError(errors.NO_SUCH_ORDER)
    return state_of(found, instrument)


def open_orders(call: Call) -> list[OrderState]:
    """GET /api/v3/openOrders: of one symbol or of all."""
    gateway, mine = call.gateway, caller_account(call)
    asked: MaybeSymbol = call.parameters
    number = None if asked.symbol is None else instrument_of(gateway, asked.symbol).number
    instruments = gateway.mirror.instruments
    return [state_of(one, instruments[one.instrument]) for one in gateway.market.open_orders(mine, number)]


def open_orders_weight(asked: MaybeSymbol) -> int:
    """Of all symbols it costs more."""
    return 6 if asked.symbol is not None else 80


async def all_orders(call: Call) -> list[OrderState]:
    """GET /api/v3/allOrders: from an id or a time on, else the newest; by rising id."""
    gateway, mine = call.gateway, caller_account(call)
    asked: AllOrdersQuery = call.parameters
    instrument = instrument_of(gateway, asked.symbol)
    start_ns, end_ns = span(asked.startTime, asked.endTime)
    found = await past.orders(
        gateway,
        mine,
        instrument=instrument,
        from_id=from_on(asked.orderId, start_ns),
        start_ns=start_ns,
        end_ns=end_ns,
        limit=asked.limit,
    )
    return [state_of(one, instrument) for one in found]


def span(start_ms: int | None, end_ms: int | None) -> tuple[int | None, int | None]:
    """The first and the last nanosecond that is meant. Raises ApiError."""
    if start_ms is not None and end_ms is not None and end_ms < start_ms:
        raise ApiError(errors.COMBINATION, hint="startTime must not be behind endTime")
    start_ns = None if start_ms is None else start_ms * NS_PER_MS
    return start_ns, None if end_ms is None else (end_ms + 1) * NS_PER_MS - 1


def from_on(first_id: int | None, start_ns: int | None) -> int | None:
    """Whoever names a time to start at wants the oldest from there on, as whoever names an id."""
    return 0 if first_id is None and start_ns is not None else first_id


# ---- Trades ----------------------------------------------------------------------------------------------------------


async def my_trades(call: Call) -> list[OwnTrade]:
    """GET /api/v3/myTrades: of an order, from an id or a time on, else the newest; by rising id."""
    gateway, mine = call.gateway, caller_account(call)
    asked: MyTradesQuery = call.parameters
    instrument = instrument_of(gateway, asked.symbol)
    start_ns, end_ns = span(asked.startTime, asked.endTime)
    found = await past.fills(
        gateway,
        mine,
        instrument=instrument,
        order_id=asked.orderId,
        from_id=from_on(asked.fromId, start_ns),
        start_ns=start_ns,
        end_ns=end_ns,
        limit=asked.limit + 1,
    )
    oldest_first = asked.fromId is not None or start_ns is not None or asked.orderId is not None
    return [own_trade(fill, instrument) for fill in _page(found, asked.limit, oldest_first)]


def _page(found: list[Fill], limit: int, oldest_first: bool) -> list[Fill]:
    """At most limit of one more. A trade with oneself is two rows of one id: a page has both or, if it can, neither."""
    if len(found) <= limit:
        return found
    if not oldest_first:
        split = found[0].trade_id == found[1].trade_id
        return found[2:] if split and limit > 1 else found if split else found[1:]
    if found[-1].trade_id != found[-2].trade_id:
        return found[:-1]
    return found[:-2] if limit > 1 else found


def my_trades_weight(asked: MyTradesQuery) -> int:
    """Of one order it costs less."""
    return 5 if asked.orderId is not None else 20


def own_trade(fill: Fill, instrument: Instrument) -> OwnTrade:
    """One side of a trade, as its owner sees it. Commission is always in the quote asset."""
    return OwnTrade(
        symbol=instrument.name,
        id=fill.trade_id,
        orderId=fill.order_id,
        price=instrument.price_text(fill.price_ticks),
        qty=instrument.quantity_text(fill.quantity_lots),
        quoteQty=instrument.amount_text(fill.notional_units),
        commission=instrument.amount_text(fill.fee_units),
        commissionAsset=instrument.quote.name,
        time=fill.received_ns // NS_PER_MS,
        isBuyer=fill.side == Side.BUY,
        isMaker=fill.maker,
    )


# ---- Balances, rates, counts -----------------------------------------------------------------------------------------


def account(call: Call) -> AccountInfo:
    """GET /api/v3/account. The rates are the highest of all symbols; account/commission has them by symbol."""
    gateway, mine = call.gateway, caller_account(call)
    asked: AccountQuery = call.parameters
    core, mirror = gateway.mirror.core, gateway.mirror
    rates = [rates_ppm(gateway, mine, one) for one in mirror.instruments.values()] or [(0, 0)]
    maker, taker = max(rate[0] for rate in rates), max(rate[1] for rate in rates)
    balances = []
    for number in sorted(mirror.assets):
        asset = mirror.assets[number]
        free, locked = core.balance(mine, number) or (0, 0)
        if free or locked or not asked.omitZeroBalances:
            balances.append(Balance(asset.name, asset.text(free), asset.text(locked)))
    return AccountInfo(
        makerCommission=-(-maker // BASIS_POINT_PPM),
        takerCommission=-(-taker // BASIS_POINT_PPM),
        commissionRates=CommissionRates(rate_text(maker), rate_text(taker)),
        canTrade=not core.everything_halted() and not (core.account(mine) or {"halted": 1})["halted"],
        updateTime=core.received_ns() // NS_PER_MS,
        balances=balances,
        uid=mine,
    )


def commission(call: Call) -> Commission:
    """GET /api/v3/account/commission."""
    gateway, mine = call.gateway, caller_account(call)
    asked: SymbolOnly = call.parameters
    instrument = instrument_of(gateway, asked.symbol)
    maker, taker = rates_ppm(gateway, mine, instrument)
    none = CommissionRates(rate_text(0), rate_text(0))
    return Commission(instrument.name, CommissionRates(rate_text(maker), rate_text(taker)), none, none, Discount())


def trade_fees(call: Call) -> list[TradeFee]:
    """GET /sapi/v1/asset/tradeFee: the rates of every symbol, or of one."""
    gateway, mine = call.gateway, caller_account(call)
    asked: MaybeSymbol = call.parameters
    found = []
    for instrument in exchange_info.chosen(gateway, asked.symbol, None):
        maker, taker = rates_ppm(gateway, mine, instrument)
        found.append(TradeFee(instrument.name, rate_text(maker), rate_text(taker)))
    return found


def order_counts(call: Call) -> list[RateLimit]:
    """GET /api/v3/rateLimit/order: what the account has used of its limits of new orders."""
    gateway, mine = call.gateway, caller_account(call)
    ten, day = gateway.limits.used_orders(mine, gateway.now_ns())
    settings = gateway.settings
    return [
        RateLimit("ORDERS", "SECOND", 10, settings.orders_per_10s, ten),
        RateLimit("ORDERS", "DAY", 1, settings.orders_per_day, day),
    ]
