"""Parameters and answers of the Binance dialect's REST calls, field for field as they stand on the wire.

Prices, quantities and amounts are decimal texts; ids and times (milliseconds) are integers. A field that is only
there for some orders is UNSET otherwise and then left out.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.symbols import DECIMAL_PATTERN

# ---- What parameters are made of -------------------------------------------------------------------------------------
# Of patterns: in Python $ alone would let a line break at the end pass

Decimal = Annotated[str, Meta(pattern=DECIMAL_PATTERN, description="A decimal without exponent.")]
ClientId = Annotated[
    str, Meta(pattern=r"^[.A-Z:/a-z0-9_-]{1,36}(?!\n)$", description="The client's own name of it, 1 to 36 characters.")
]
Symbol = Annotated[
    str, Meta(pattern=r"^[-A-Z0-9_./]{1,36}(?!\n)$", description="A symbol of exchangeInfo, such as BTCUSD.")
]
OrderId = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Milliseconds = Annotated[int, Meta(ge=0, le=2**53, description="Milliseconds since the epoch.")]
Count = Annotated[int, Meta(ge=1, le=1000)]
SideName = Literal["BUY", "SELL"]
TypeName = Literal["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]
TimeInForceName = Literal["GTC", "IOC", "FOK"]
PreventionName = Literal["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"]
AnswerName = Literal["ACK", "RESULT", "FULL"]
IntervalName = Literal[
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"
]
Symbols = Annotated[str, Meta(max_length=8192, description='A JSON array of symbols: ["BTCUSD","ETHUSD"].')]

# ---- Parameters: market data -----------------------------------------------------------------------------------------


class SymbolOnly(Struct, frozen=True, kw_only=True):
    symbol: Symbol


class MaybeSymbol(Struct, frozen=True, kw_only=True):
    symbol: Symbol | None = None


class SomeSymbols(Struct, frozen=True, kw_only=True):
    """Of one symbol, of some, or of all."""

    symbol: Symbol | None = None
    symbols: Symbols | None = None


class TickerSymbols(SomeSymbols, frozen=True, kw_only=True):
    type: Literal["FULL", "MINI"] = "FULL"


class ExchangeInfoQuery(SomeSymbols, frozen=True, kw_only=True):
    permissions: str | None = None  # all that is here is SPOT
    showPermissionSets: bool = True
    symbolStatus: Literal["TRADING", "HALT", "BREAK"] | None = None


class DepthQuery(Struct, frozen=True, kw_only=True):
    symbol: Symbol
    limit: Annotated[int, Meta(ge=1, le=5000)] = 100


class TradesQuery(Struct, frozen=True, kw_only=True):
    symbol: Symbol
    limit: Count = 500
    fromId: OrderId | None = None  # of historicalTrades


class AggTradesQuery(Struct, frozen=True, kw_only=True):
    symbol: Symbol
    fromId: OrderId | None = None
    startTime: Milliseconds | None = None
    endTime: Milliseconds | None = None
    limit: Count = 500


class KlinesQuery(Struct, frozen=True, kw_only=True):
    symbol: Symbol
    interval: IntervalName
    startTime: Milliseconds | None = None
    endTime: Milliseconds | None = None
    limit: Count = 500
    timeZone: Literal["0", "00:00", "+0", "+00:00"] = "0"


# ---- Parameters: orders ----------------------------------------------------------------------------------------------


class NewOrder(Struct, frozen=True, kw_only=True):
    symbol: Symbol
    side: SideName
    type: TypeName
    timeInForce: TimeInForceName | None = None
    quantity: Decimal | None = None
    quoteOrderQty: Decimal | None = None
    price: Decimal | None = None
    newClientOrderId: ClientId | None = None
    stopPrice: Decimal | None = None
    trailingDelta: Annotated[int, Meta(ge=1, le=10_000, description="Hundredths of a percent.")] | None = None
    icebergQty: Decimal | None = None
    newOrderRespType: AnswerName | None = None
    selfTradePreventionMode: PreventionName = "EXPIRE_TAKER"
    strategyId: int | None = None  # taken and not kept, as strategyType
    strategyType: int | None = None


class TestOrder(NewOrder, frozen=True, kw_only=True):
    computeCommissionRates: bool = False


class OrderQuery(Struct, frozen=True, kw_only=True):
    symbol: Symbol
    orderId: OrderId | None = None
    origClientOrderId: ClientId | None = None


class CancelOrder(OrderQuery, frozen=True, kw_only=True):
    newClientOrderId: ClientId | None = None
    cancelRestrictions: Literal["ONLY_NEW", "ONLY_PARTIALLY_FILLED"] | None = None


class CancelReplace(NewOrder, frozen=True, kw_only=True):
    cancelReplaceMode: Literal["STOP_ON_FAILURE", "ALLOW_FAILURE"]
    cancelOrderId: OrderId | None = None
    cancelOrigClientOrderId: ClientId | None = None
    cancelNewClientOrderId: ClientId | None = None
    cancelRestrictions: Literal["ONLY_NEW", "ONLY_PARTIALLY_FILLED"] | None = None


class Amend(OrderQuery, frozen=True, kw_only=True):
    newQty: Decimal
    newClientOrderId: ClientId | None = None


class NewOrderList(Struct, frozen=True, kw_only=True):
    """One cancels other: a limit order, and one that waits for a price."""

    symbol: Symbol
    side: SideName
    quantity: Decimal
    listClientOrderId: ClientId | None = None
    aboveType: Literal["STOP_LOSS_LIMIT", "STOP_LOSS", "LIMIT_MAKER", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]
    aboveClientOrderId: ClientId | None = None
    aboveIcebergQty: Decimal | None = None
    abovePrice: Decimal | None = None
    aboveStopPrice: Decimal | None = None
    aboveTrailingDelta: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    aboveTimeInForce: TimeInForceName | None = None
    belowType: Literal["STOP_LOSS_LIMIT", "STOP_LOSS", "LIMIT_MAKER", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]
    belowClientOrderId: ClientId | None = None
    belowIcebergQty: Decimal | None = None
    belowPrice: Decimal | None = None
    belowStopPrice: Decimal | None = None
    belowTrailingDelta: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    belowTimeInForce: TimeInForceName | None = None
    newOrderRespType: AnswerName | None = None
    selfTradePreventionMode: PreventionName = "EXPIRE_TAKER"


class CancelOrderList(Struct, frozen=True, kw_only=True):
    symbol: Symbol
    orderListId: OrderId
    newClientOrderId: ClientId | None = None


# ---- Parameters: an account ------------------------------------------------------------------------------------------


class AllOrdersQuery(Struct, frozen=True, kw_only=True):
    symbol: Symbol
    orderId: OrderId | None = None
    startTime: Milliseconds | None = None
    endTime: Milliseconds | None = None
    limit: Count = 500


class MyTradesQuery(Struct, frozen=True, kw_only=True):
    symbol: Symbol
    orderId: OrderId | None = None
    startTime: Milliseconds | None = None
    endTime: Milliseconds | None = None
    fromId: OrderId | None = None
    limit: Count = 500


class AccountQuery(Struct, frozen=True, kw_only=True):
    omitZeroBalances: bool = False


# ---- Answers: market data --------------------------------------------------------------------------------------------


class Nothing(Struct, frozen=True):
    """{}"""


class ServerTime(Struct, frozen=True):
    serverTime: int


class Depth(Struct, frozen=True):
    lastUpdateId: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class PublicTrade(Struct, frozen=True):
    id: int
    price: str
    qty: str
    quoteQty: str
    time: int
    isBuyerMaker: bool
    isBestMatch: bool = True


class AggTrade(Struct, frozen=True):
    """Each trade is an aggregate of its own."""

    a: int
    p: str
    q: str
    f: int
    l: int  # noqa: E741
    T: int
    m: bool
    M: bool = True


# open time, open, high, low, close, volume, close time, quote volume, trades, taker buy base, taker buy quote, unused
Kline = tuple[int, str, str, str, str, str, int, str, int, str, str, str]


class AveragePrice(Struct, frozen=True):
    mins: int
    price: str
    closeTime: int


class Ticker(Struct, frozen=True, kw_only=True):
    """The last 24 hours; MINI leaves out what has a default here."""

    symbol: str
    priceChange: str | UnsetType = UNSET
    priceChangePercent: str | UnsetType = UNSET
    weightedAvgPrice: str | UnsetType = UNSET
    prevClosePrice: str | UnsetType = UNSET
    lastPrice: str
    lastQty: str | UnsetType = UNSET
    bidPrice: str | UnsetType = UNSET
    bidQty: str | UnsetType = UNSET
    askPrice: str | UnsetType = UNSET
    askQty: str | UnsetType = UNSET
    openPrice: str
    highPrice: str
    lowPrice: str
    volume: str
    quoteVolume: str
    openTime: int
    closeTime: int
    firstId: int
    lastId: int
    count: int


class PriceTicker(Struct, frozen=True):
    symbol: str
    price: str


class BookTicker(Struct, frozen=True):
    symbol: str
    bidPrice: str
    bidQty: str
    askPrice: str
    askQty: str


# ---- Answers: exchangeInfo -------------------------------------------------------------------------------------------


class RateLimit(Struct, frozen=True, omit_defaults=True):
    rateLimitType: str
    interval: str
    intervalNum: int
    limit: int
    count: int | UnsetType = UNSET


class SymbolInfo(Struct, frozen=True, kw_only=True):
    symbol: str
    status: str
    baseAsset: str
    baseAssetPrecision: int
    quoteAsset: str
    quotePrecision: int
    quoteAssetPrecision: int
    baseCommissionPrecision: int
    quoteCommissionPrecision: int
    orderTypes: tuple[str, ...]
    icebergAllowed: bool = True
    ocoAllowed: bool = True
    otoAllowed: bool = False
    quoteOrderQtyMarketAllowed: bool = True
    allowTrailingStop: bool = True
    cancelReplaceAllowed: bool = True
    amendAllowed: bool = True
    pegInstructionsAllowed: bool = False
    isSpotTradingAllowed: bool = True
    isMarginTradingAllowed: bool = False
    filters: list[dict[str, str | int | bool]]
    permissions: tuple[str, ...] = ("SPOT",)
    permissionSets: tuple[tuple[str, ...], ...] = (("SPOT",),)
    defaultSelfTradePreventionMode: str = "EXPIRE_TAKER"
    allowedSelfTradePreventionModes: tuple[str, ...]


class ExchangeInfo(Struct, frozen=True):
    timezone: str
    serverTime: int
    rateLimits: list[RateLimit]
    exchangeFilters: list[dict[str, str | int]]
    symbols: list[SymbolInfo]


# ---- Answers: orders -------------------------------------------------------------------------------------------------


class OrderFill(Struct, frozen=True, gc=False):
    price: str
    qty: str
    commission: str
    commissionAsset: str
    tradeId: int


class OrderResult(Struct, kw_only=True):
    """ACK is the first five fields, RESULT has the others, and FULL the fills, too."""

    symbol: str
    orderId: int
    orderListId: int = -1
    clientOrderId: str
    transactTime: int
    price: str | UnsetType = UNSET
    origQty: str | UnsetType = UNSET
    executedQty: str | UnsetType = UNSET
    origQuoteOrderQty: str | UnsetType = UNSET
    cummulativeQuoteQty: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    timeInForce: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    side: str | UnsetType = UNSET
    workingTime: int | UnsetType = UNSET
    selfTradePreventionMode: str | UnsetType = UNSET
    fills: list[OrderFill] | UnsetType = UNSET
    stopPrice: str | UnsetType = UNSET
    icebergQty: str | UnsetType = UNSET
    trailingDelta: int | UnsetType = UNSET
    trailingTime: int | UnsetType = UNSET


class OrderState(Struct, kw_only=True):
    """An order as queries tell it."""

    symbol: str
    orderId: int
    orderListId: int = -1
    clientOrderId: str
    price: str
    origQty: str
    executedQty: str
    origQuoteOrderQty: str
    cummulativeQuoteQty: str
    status: str
    timeInForce: str
    type: str
    side: str
    stopPrice: str
    icebergQty: str
    time: int
    updateTime: int
    isWorking: bool
    workingTime: int
    selfTradePreventionMode: str


class CancelledOrder(Struct, kw_only=True):
    symbol: str
    origClientOrderId: str
    orderId: int
    orderListId: int = -1
    clientOrderId: str
    transactTime: int
    price: str
    origQty: str
    executedQty: str
    origQuoteOrderQty: str
    cummulativeQuoteQty: str
    status: str
    timeInForce: str
    type: str
    side: str
    selfTradePreventionMode: str
    stopPrice: str | UnsetType = UNSET
    icebergQty: str | UnsetType = UNSET


class CancelReplaceResult(Struct, frozen=True):
    """Both were done. What failed of them stands in the refusal's `data`, in the same shape."""

    cancelResult: str
    newOrderResult: str
    cancelResponse: CancelledOrder
    newOrderResponse: OrderResult


class AmendedOrder(Struct, frozen=True, kw_only=True):
    symbol: str
    orderId: int
    orderListId: int = -1
    origClientOrderId: str
    clientOrderId: str
    price: str
    qty: str
    executedQty: str
    preventedQty: str
    quoteOrderQty: str
    cumulativeQuoteQty: str
    status: str
    timeInForce: str
    type: str
    side: str
    workingTime: int
    selfTradePreventionMode: str


class AmendResult(Struct, frozen=True):
    transactTime: int
    executionId: int
    amendedOrder: AmendedOrder


class ListedOrder(Struct, frozen=True):
    symbol: str
    orderId: int
    clientOrderId: str


class OrderList(Struct, frozen=True, kw_only=True):
    """orderListId: the number of its first order."""

    orderListId: int
    contingencyType: str = "OCO"
    listStatusType: str
    listOrderStatus: str
    listClientOrderId: str
    transactionTime: int
    symbol: str
    orders: list[ListedOrder]
    orderReports: list[OrderResult]


class CancelledList(Struct, frozen=True, kw_only=True):
    orderListId: int
    contingencyType: str = "OCO"
    listStatusType: str
    listOrderStatus: str
    listClientOrderId: str
    transactionTime: int
    symbol: str
    orders: list[ListedOrder]
    orderReports: list[CancelledOrder]


# ---- Answers: an account ---------------------------------------------------------------------------------------------


class OwnTrade(Struct, frozen=True, kw_only=True):
    symbol: str
    id: int
    orderId: int
    orderListId: int = -1
    price: str
    qty: str
    quoteQty: str
    commission: str
    commissionAsset: str
    time: int
    isBuyer: bool
    isMaker: bool
    isBestMatch: bool = True


class CommissionRates(Struct, frozen=True):
    maker: str
    taker: str
    buyer: str = "0.00000000"
    seller: str = "0.00000000"


class Balance(Struct, frozen=True):
    asset: str
    free: str
    locked: str


class AccountInfo(Struct, frozen=True, kw_only=True):
    makerCommission: int
    takerCommission: int
    buyerCommission: int = 0
    sellerCommission: int = 0
    commissionRates: CommissionRates
    canTrade: bool
    canWithdraw: bool = False
    canDeposit: bool = False
    brokered: bool = False
    requireSelfTradePrevention: bool = False
    preventSor: bool = False
    updateTime: int
    accountType: str = "SPOT"
    balances: list[Balance]
    permissions: tuple[str, ...] = ("SPOT",)
    uid: int


class Discount(Struct, frozen=True):
    """There is none."""

    enabledForAccount: bool = False
    enabledForSymbol: bool = False
    discountAsset: str = ""
    discount: str = "0.00000000"


class Commission(Struct, frozen=True):
    symbol: str
    standardCommission: CommissionRates
    taxCommission: CommissionRates
    specialCommission: CommissionRates
    discount: Discount


class TradeFee(Struct, frozen=True):
    symbol: str
    makerCommission: str
    takerCommission: str


class TestedOrder(Struct, frozen=True, omit_defaults=True):
    """{}, and the rates where they were asked for."""

    standardCommissionForOrder: CommissionRates | UnsetType = UNSET
    taxCommissionForOrder: CommissionRates | UnsetType = UNSET
    specialCommissionForOrder: CommissionRates | UnsetType = UNSET
    discount: Discount | UnsetType = UNSET


class SystemStatus(Struct, frozen=True):
    status: int
    msg: str


class NoSymbols(Struct, frozen=True):
    """exchangeInfo of markets that are not here."""

    timezone: str
    serverTime: int
    rateLimits: list[RateLimit] = msgspec.field(default_factory=list)
    exchangeFilters: list[dict[str, str]] = msgspec.field(default_factory=list)
    assets: list[dict[str, str]] = msgspec.field(default_factory=list)
    symbols: list[SymbolInfo] = msgspec.field(default_factory=list)
