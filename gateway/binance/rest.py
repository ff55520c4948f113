"""The table of the Binance dialect's REST calls. Weights are Binance's own, so that clients' throttles fit."""

from __future__ import annotations

from typing import Any, Final

from gateway import errors
from gateway.binance import account, changes, exchange_info, market_data, order_lists, orders
from gateway.binance.models import (
    AccountInfo,
    AccountQuery,
    AggTrade,
    AggTradesQuery,
    AllOrdersQuery,
    Amend,
    AmendResult,
    AveragePrice,
    BookTicker,
    CancelledList,
    CancelledOrder,
    CancelOrder,
    CancelOrderList,
    CancelReplace,
    CancelReplaceResult,
    Commission,
    Depth,
    DepthQuery,
    ExchangeInfo,
    ExchangeInfoQuery,
    Kline,
    KlinesQuery,
    MaybeSymbol,
    MyTradesQuery,
    NewOrder,
    NewOrderList,
    NoSymbols,
    Nothing,
    OrderList,
    OrderQuery,
    OrderResult,
    OrderState,
    OwnTrade,
    PriceTicker,
    PublicTrade,
    RateLimit,
    ServerTime,
    SomeSymbols,
    SymbolOnly,
    SystemStatus,
    TestedOrder,
    TestOrder,
    Ticker,
    TickerSymbols,
    TradeFee,
    TradesQuery,
)
from gateway.routing import Access, Call, Handler, NoParameters, Route

__all__ = ["ROUTES"]

MARKET: Final = "market data"
TRADE: Final = "orders"
ACCOUNT: Final = "account"
ABSENT: Final = "what is not here"

ORDER_PROBLEMS: Final = (
    errors.FILTER,
    errors.MARKET_CLOSED,
    errors.SYMBOL,
    errors.COMBINATION,
    errors.NOT_REQUIRED,
    errors.PRECISION,
    errors.REPEATED,
    errors.ORDER_REJECTED,
    errors.INSUFFICIENT,
    errors.WOULD_TAKE,
    errors.TRIGGER_MET,
    errors.UNFILLABLE,
    errors.DUPLICATE,
    errors.NO_DEPTH,
    errors.ACCOUNT_HALTED,
    errors.TOO_MANY_ORDERS,
    errors.ENGINE_AWAY,
    errors.OUTCOME_UNKNOWN,
)
CANCEL_PROBLEMS: Final = (
    errors.SYMBOL,
    errors.CANCEL_REJECTED,
    errors.REPEATED,
    errors.ENGINE_AWAY,
    errors.OUTCOME_UNKNOWN,
)


def ping(call: Call) -> Nothing:
    """GET /api/v3/ping."""
    return Nothing()


def time(call: Call) -> ServerTime:
    """GET /api/v3/time."""
    return ServerTime(call.gateway.now_ns() // 1_000_000)


def nothing(call: Call) -> list[Nothing]:
    """An empty list, for what this exchange has none of."""
    return []


def system_status(call: Call) -> SystemStatus:
    """GET /sapi/v1/system/status."""
    return SystemStatus(0, "normal")


def _read(
    path: str, handler: Handler, summary: str, returns: Any, parameters: type = NoParameters, **more: Any
) -> Route:
    return Route(
        method="GET",
        path=path,
        handler=handler,
        summary=summary,
        tag=MARKET,
        returns=returns,
        parameters=parameters,
        **more,
    )


def _mine(path: str, handler: Handler, summary: str, returns: Any, parameters: type, **more: Any) -> Route:
    return Route(
        method="GET",
        path=path,
        handler=handler,
        summary=summary,
        tag=ACCOUNT,
        access=Access.READ,
        returns=returns,
        parameters=parameters,
        **more,
    )


def _absent(path: str, returns: Any, handler: Handler = nothing, access: Access = Access.OPEN, **more: Any) -> Route:
    return Route(
        method="GET",
        path=path,
        handler=handler,
        summary="For clients that ask for it at the start",
        tag=ABSENT,
        access=access,
        returns=returns,
        **more,
    )


_MARKET_ROUTES: Final = (
    _read("/api/v3/ping", ping, "Is anybody there?", Nothing),
    _read("/api/v3/time", time, "The server's clock", ServerTime),
    _read(
        "/api/v3/exchangeInfo",
        exchange_info.exchange_info,
        "Symbols with their filters, and the limits",
        ExchangeInfo,
        ExchangeInfoQuery,
        weight=20,
        problems=(errors.SYMBOL,),
    ),
    _read(
        "/api/v3/depth",
        market_data.depth,
        "Levels of the book, best first",
        Depth,
        DepthQuery,
        weight=market_data.depth_weight,
        problems=(errors.SYMBOL,),
    ),
    _read(
        "/api/v3/trades", market_data.trades, "The newest trades", list[PublicTrade], TradesQuery,
        weight=25, problems=(errors.SYMBOL,),
    ),
    _read(
        "/api/v3/historicalTrades", market_data.trades, "Trades from an id on", list[PublicTrade], TradesQuery,
        weight=25, problems=(errors.SYMBOL,),
    ),
    _read(
        "/api/v3/aggTrades", market_data.agg_trades, "Trades from an id or a time on", list[AggTrade], AggTradesQuery,
        weight=4, problems=(errors.SYMBOL,),
    ),
    _read(
        "/api/v3/klines", market_data.klines, "Candles", list[Kline], KlinesQuery,
        weight=2, problems=(errors.SYMBOL, errors.INTERVAL),
    ),
    _read(
        "/api/v3/uiKlines", market_data.klines, "Candles", list[Kline], KlinesQuery,
        weight=2, problems=(errors.SYMBOL, errors.INTERVAL),
    ),
    _read(
        "/api/v3/avgPrice", market_data.average_price, "Average price of five minutes", AveragePrice, SymbolOnly,
        weight=2, problems=(errors.SYMBOL,),
    ),
    _read(
        "/api/v3/ticker/24hr", market_data.ticker_24h, "The last 24 hours",
        Ticker | list[Ticker], TickerSymbols,
        weight=market_data.ticker_weight, problems=(errors.SYMBOL,),
    ),
    _read(
        "/api/v3/ticker/price", market_data.ticker_price, "Last prices", PriceTicker | list[PriceTicker], SomeSymbols,
        weight=market_data.small_ticker_weight, problems=(errors.SYMBOL,),
    ),
    _read(
        "/api/v3/ticker/bookTicker", market_data.ticker_book, "Best prices", BookTicker | list[BookTicker], SomeSymbols,
        weight=market_data.small_ticker_weight, problems=(errors.SYMBOL,),
    ),
)  # fmt: skip

_ORDER_ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v3/order",
        handler=orders.place,
        summary="Enter an order",
        tag=TRADE,
        access=Access.TRADE,
        parameters=NewOrder,
        returns=OrderResult,
        orders=1,
        problems=ORDER_PROBLEMS,
    ),
    Route(
        method="POST",
        path="/api/v3/order/test",
        handler=orders.test,
        summary="Check an order without entering it",
        tag=TRADE,
        access=Access.TRADE,
        parameters=TestOrder,
        returns=TestedOrder,
        problems=ORDER_PROBLEMS,
    ),
    Route(
        method="DELETE",
        path="/api/v3/order",
        handler=changes.cancel,
        summary="Cancel an order",
        tag=TRADE,
        access=Access.CANCEL,
        parameters=CancelOrder,
        returns=CancelledOrder,
        problems=CANCEL_PROBLEMS,
    ),
    Route(
        method="DELETE",
        path="/api/v3/openOrders",
        handler=changes.cancel_all,
        summary="Cancel all open orders of a symbol",
        tag=TRADE,
        access=Access.CANCEL,
        parameters=SymbolOnly,
        returns=list[CancelledOrder],
        problems=CANCEL_PROBLEMS,
    ),
    Route(
        method="POST",
        path="/api/v3/order/cancelReplace",
        handler=changes.cancel_replace,
        summary="Cancel an order and enter another one",
        tag=TRADE,
        access=Access.TRADE,
        parameters=CancelReplace,
        returns=CancelReplaceResult,
        orders=1,
        problems=(*ORDER_PROBLEMS, errors.CANCEL_REPLACE_PART, errors.CANCEL_REPLACE_FAILED),
    ),
    Route(
        method="POST",
        path="/api/v3/orderList/oco",
        handler=order_lists.place_list,
        summary="Enter two orders; one cancels the other",
        tag=TRADE,
        access=Access.TRADE,
        parameters=NewOrderList,
        returns=OrderList,
        orders=2,
        problems=ORDER_PROBLEMS,
    ),
    Route(
        method="DELETE",
        path="/api/v3/orderList",
        handler=order_lists.cancel_list,
        summary="Cancel both orders of a list",
        tag=TRADE,
        access=Access.CANCEL,
        parameters=CancelOrderList,
        returns=CancelledList,
        problems=CANCEL_PROBLEMS,
    ),
    Route(
        method="PUT",
        path="/api/v3/order/amend/keepPriority",
        handler=changes.amend,
        summary="Lower an order's quantity; it keeps its place",
        tag=TRADE,
        access=Access.TRADE,
        parameters=Amend,
        returns=AmendResult,
        weight=4,
        problems=(errors.NO_SUCH_ORDER, errors.AMEND_REJECTED, errors.FILTER, errors.SYMBOL, errors.ENGINE_AWAY),
    ),
)

_ACCOUNT_ROUTES: Final = (
    _mine(
        "/api/v3/order", account.order, "One order", OrderState, OrderQuery,
        weight=4, problems=(errors.SYMBOL, errors.NO_SUCH_ORDER),
    ),
    _mine(
        "/api/v3/openOrders", account.open_orders, "Open orders", list[OrderState], MaybeSymbol,
        weight=account.open_orders_weight, problems=(errors.SYMBOL,),
    ),
    _mine(
        "/api/v3/allOrders", account.all_orders, "Orders, open and ended", list[OrderState], AllOrdersQuery,
        weight=20, problems=(errors.SYMBOL, errors.HISTORY_AWAY),
    ),
    _mine(
        "/api/v3/myTrades", account.my_trades, "The account's trades", list[OwnTrade], MyTradesQuery,
        weight=account.my_trades_weight, problems=(errors.SYMBOL, errors.HISTORY_AWAY),
    ),
    _mine("/api/v3/account", account.account, "Balances and rates", AccountInfo, AccountQuery, weight=20),
    _mine(
        "/api/v3/account/commission", account.commission, "Rates of a symbol", Commission, SymbolOnly,
        weight=20, problems=(errors.SYMBOL,),
    ),
    _mine(
        "/api/v3/rateLimit/order", account.order_counts, "What is used of the order limits", list[RateLimit],
        NoParameters, weight=40,
    ),
)  # fmt: skip

_ABSENT_ROUTES: Final = (
    _absent("/sapi/v1/system/status", SystemStatus, system_status),
    _absent("/sapi/v1/capital/config/getall", list[Nothing], access=Access.READ),
    _absent("/sapi/v1/margin/allPairs", list[Nothing]),
    _absent("/sapi/v1/margin/isolated/allPairs", list[Nothing], access=Access.READ),
    _absent("/sapi/v1/asset/tradeFee", list[TradeFee], account.trade_fees, Access.READ, parameters=MaybeSymbol),
    _absent("/fapi/v1/exchangeInfo", NoSymbols, exchange_info.no_symbols),
    _absent("/dapi/v1/exchangeInfo", NoSymbols, exchange_info.no_symbols),
)

ROUTES: Final[tuple[Route, ...]] = (*_MARKET_ROUTES, *_ORDER_ROUTES, *_ACCOUNT_ROUTES, *_ABSENT_ROUTES)
