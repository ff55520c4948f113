"""Market data of the Binance dialect, read from the gateway's own replica: depth, trades, candles, tickers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway import past
from gateway.binance.account import span
from gateway.binance.exchange_info import chosen
from gateway.binance.models import (
    AggTrade,
    AggTradesQuery,
    AveragePrice,
    BookTicker,
    Depth,
    DepthQuery,
    Kline,
    KlinesQuery,
    PriceTicker,
    PublicTrade,
    SomeSymbols,
    SymbolOnly,
    Ticker,
    TickerSymbols,
    TradesQuery,
)
from gateway.binance.orders import instrument_of
from gateway.candles import INTERVALS, Candle, next_start, start_of
from gateway.market import Trade
from gateway.routing import Call
from gateway.symbols import Instrument, decimal_text
from schemas.vocabulary import Side

if TYPE_CHECKING:
    from gateway.context import Gateway

__all__ = [
    "agg_trades",
    "average_price",
    "depth",
    "depth_weight",
    "kline",
    "klines",
    "small_ticker_weight",
    "ticker_24h",
    "ticker_book",
    "ticker_price",
    "ticker_weight",
    "trades",
]

NS_PER_MS: Final = 1_000_000
AVERAGE_MINUTES: Final = 5
MINUTE_NS: Final = 60_000_000_000
FINER: Final = (("1h", 24 * 60 * MINUTE_NS), ("1m", 60 * MINUTE_NS), ("1s", MINUTE_NS))  # parts of a day, an hour, ...
PERCENT_DECIMALS: Final = 3
_SELL: Final = int(Side.SELL)
_BUY: Final = int(Side.BUY)

# ---- The book --------------------------------------------------------------------------------------------------------


def depth(call: Call) -> Depth:
    """GET /api/v3/depth."""
    asked: DepthQuery = call.parameters
    gateway = call.gateway
    instrument = instrument_of(gateway, asked.symbol)
    price, quantity, core = instrument.price_text, instrument.quantity_text, gateway.mirror.core
    return Depth(
        gateway.market.update_id(instrument.number),
        [(price(ticks), quantity(lots)) for ticks, lots, _ in core.levels(instrument.number, _BUY, asked.limit)],
        [(price(ticks), quantity(lots)) for ticks, lots, _ in core.levels(instrument.number, _SELL, asked.limit)],
    )


def depth_weight(asked: DepthQuery) -> int:
    """By how many levels are asked for."""
    return 5 if asked.limit <= 100 else 25 if asked.limit <= 500 else 50 if asked.limit <= 1000 else 250


def ticker_book(call: Call) -> BookTicker | list[BookTicker]:
    """GET /api/v3/ticker/bookTicker."""
    asked: SomeSymbols = call.parameters
    found = [_book_ticker(call.gateway, one) for one in chosen(call.gateway, asked.symbol, asked.symbols)]
    return found if asked.symbol is None else found[0]


def _book_ticker(gateway: Gateway, instrument: Instrument) -> BookTicker:
    top = gateway.market.top(instrument.number)
    return BookTicker(
        instrument.name,
        instrument.price_text(top.bid_ticks),
        instrument.quantity_text(top.bid_lots),
        instrument.price_text(top.ask_ticks),
        instrument.quantity_text(top.ask_lots),
    )


# ---- Trades ----------------------------------------------------------------------------------------------------------


async def trades(call: Call) -> list[PublicTrade]:
    """GET /api/v3/trades and historicalTrades: the newest, or from an id on; oldest first."""
    asked: TradesQuery = call.parameters
    instrument = instrument_of(call.gateway, asked.symbol)
    found = await past.trades(call.gateway, instrument, from_id=asked.fromId, limit=asked.limit)
    return [_public(one, instrument) for one in found]


def _public(trade: Trade, instrument: Instrument) -> PublicTrade:
    return PublicTrade(
        trade.trade_id,
        instrument.price_text(trade.price_ticks),
        instrument.quantity_text(trade.quantity_lots),
        instrument.amount_text(trade.notional_units),
        trade.received_ns // NS_PER_MS,
        trade.taker_side == _SELL,
    )


async def agg_trades(call: Call) -> list[AggTrade]:
    """GET /api/v3/aggTrades: each trade is an aggregate of its own."""
    asked: AggTradesQuery = call.parameters
    gateway = call.gateway
    instrument = instrument_of(gateway, asked.symbol)
    start_ns, end_ns = span(asked.startTime, asked.endTime)
    found = await past.trades(
        gateway, instrument, from_id=asked.fromId, start_ns=start_ns, end_ns=end_ns, limit=asked.limit
    )
    return [_aggregate(one, instrument) for one in found]


def _aggregate(trade: Trade, instrument: Instrument) -> AggTrade:
    return AggTrade(
        trade.trade_id,
        instrument.price_text(trade.price_ticks),
        instrument.quantity_text(trade.quantity_lots),
        trade.trade_id,
        trade.trade_id,
        trade.received_ns // NS_PER_MS,
        trade.taker_side == _SELL,
    )


# ---- Candles ---------------------------------------------------------------------------------------------------------


async def klines(call: Call) -> list[Kline]:
    """GET /api/v3/klines: from a time on, else the newest; those without a trade are flat.

    A time before the first trade means the first candle: so clients find out where a symbol begins.
    """
    asked: KlinesQuery = call.parameters
    gateway = call.gateway
    instrument = instrument_of(gateway, asked.symbol)
    start_ns, end_ns = span(asked.startTime, asked.endTime)
    if start_ns is not None:
        start_ns = max(start_ns, await _first_start(gateway, instrument, asked.interval, start_ns))
    found = await past.candles(gateway, instrument, asked.interval, start_ns=start_ns, end_ns=end_ns, limit=asked.limit)
    return [kline(one, asked.interval, instrument) for one in found]


async def _first_start(gateway: Gateway, instrument: Instrument, interval: str, asked_ns: int) -> int:
    """When the first candle begins, if that is behind the time asked for; else 0. Looked for from day to second."""
    days = gateway.market.books[instrument.number].candles.between("1d", 0, gateway.now_ns() + 1)
    if not days or asked_ns >= days[0].start_ns:
        return 0
    found_ns = days[0].start_ns
    for finer, whole_ns in FINER:
        if INTERVALS[interval][1] == 0 or INTERVALS[interval][1] >= whole_ns:
            break
        parts = await past.candles(gateway, instrument, finer, start_ns=found_ns, end_ns=found_ns + whole_ns - 1)
        found_ns = next((one.start_ns for one in parts if one.trade_count), found_ns)
    return start_of(interval, found_ns)


def kline(candle: Candle, interval: str, instrument: Instrument) -> Kline:
    """A candle as an array of 12."""
    start_ns = start_of(interval, candle.start_ns)
    return (
        start_ns // NS_PER_MS,
        instrument.price_text(candle.open_ticks),
        instrument.price_text(candle.high_ticks),
        instrument.price_text(candle.low_ticks),
        instrument.price_text(candle.close_ticks),
        instrument.quantity_text(candle.volume_lots),
        next_start(interval, start_ns) // NS_PER_MS - 1,
        instrument.amount_text(candle.notional_units),
        candle.trade_count,
        instrument.quantity_text(candle.buy_volume_lots),
        instrument.amount_text(candle.buy_notional_units),
        "0",
    )


def average_price(call: Call) -> AveragePrice:
    """GET /api/v3/avgPrice: of the trades of five minutes, else the last price."""
    asked: SymbolOnly = call.parameters
    gateway = call.gateway
    instrument = instrument_of(gateway, asked.symbol)
    now_ns = gateway.now_ns()
    recent = gateway.market.books[instrument.number].candles.between(
        "1m", now_ns - AVERAGE_MINUTES * MINUTE_NS, now_ns + 1
    )
    lots, units = sum(one.volume_lots for one in recent), sum(one.notional_units for one in recent)
    price = instrument.average_text(units, lots) if lots else _last_price(gateway, instrument)
    last = gateway.market.last_trade(instrument.number)
    return AveragePrice(AVERAGE_MINUTES, price, (last.received_ns if last is not None else now_ns) // NS_PER_MS)


# ---- Tickers ---------------------------------------------------------------------------------------------------------


def _last_price(gateway: Gateway, instrument: Instrument) -> str:
    """Of the last trade; before the first one the reference price."""
    info = gateway.mirror.core.instrument(instrument.number) or {}
    return instrument.price_text(int(info.get("reference_price_ticks", 0)))


def ticker_price(call: Call) -> PriceTicker | list[PriceTicker]:
    """GET /api/v3/ticker/price."""
    asked: SomeSymbols = call.parameters
    gateway = call.gateway
    found = [PriceTicker(one.name, _last_price(gateway, one)) for one in chosen(gateway, asked.symbol, asked.symbols)]
    return found if asked.symbol is None else found[0]


def small_ticker_weight(asked: SomeSymbols) -> int:
    """Of one symbol it costs less."""
    return 2 if asked.symbol is not None else 4


def ticker_weight(asked: TickerSymbols) -> int:
    """By how many symbols are asked for."""
    if asked.symbol is not None:
        return 2
    count = asked.symbols.count(",") + 1 if asked.symbols is not None else 101
    return 2 if count <= 20 else 40 if count <= 100 else 80


def ticker_24h(call: Call) -> Ticker | list[Ticker]:
    """GET /api/v3/ticker/24hr."""
    asked: TickerSymbols = call.parameters
    symbols = chosen(call.gateway, asked.symbol, asked.symbols)
    make = _mini if asked.type == "MINI" else _ticker
    found = [make(call.gateway, one) for one in symbols]
    return found if asked.symbol is None else found[0]


def _ticker(gateway: Gateway, instrument: Instrument) -> Ticker:
    day = gateway.market.ticker(instrument.number, gateway.now_ns())
    top = gateway.market.top(instrument.number)
    change = day.close_ticks - day.open_ticks
    percent = change * 100 * 10**PERCENT_DECIMALS // day.open_ticks if day.open_ticks else 0
    price, quantity = instrument.price_text, instrument.quantity_text
    return Ticker(
        symbol=instrument.name,
        priceChange=price(change),
        priceChangePercent=decimal_text(percent, PERCENT_DECIMALS),
        weightedAvgPrice=instrument.average_text(day.notional_units, day.volume_lots),
        prevClosePrice=price(day.previous_ticks),
        lastPrice=price(day.close_ticks),
        lastQty=quantity(day.last_lots),
        bidPrice=price(top.bid_ticks),
        bidQty=quantity(top.bid_lots),
        askPrice=price(top.ask_ticks),
        askQty=quantity(top.ask_lots),
        openPrice=price(day.open_ticks),
        highPrice=price(day.high_ticks),
        lowPrice=price(day.low_ticks),
        volume=quantity(day.volume_lots),
        quoteVolume=instrument.amount_text(day.notional_units),
        openTime=day.open_ns // NS_PER_MS,
        closeTime=day.close_ns // NS_PER_MS,
        firstId=day.first_trade_id,
        lastId=day.last_trade_id,
        count=day.trade_count,
    )


def _mini(gateway: Gateway, instrument: Instrument) -> Ticker:
    day = gateway.market.ticker(instrument.number, gateway.now_ns())
    price = instrument.price_text
    return Ticker(
        symbol=instrument.name,
        openPrice=price(day.open_ticks),
        highPrice=price(day.high_ticks),
        lowPrice=price(day.low_ticks),
        lastPrice=price(day.close_ticks),
        volume=instrument.quantity_text(day.volume_lots),
        quoteVolume=instrument.amount_text(day.notional_units),
        openTime=day.open_ns // NS_PER_MS,
        closeTime=day.close_ns // NS_PER_MS,
        firstId=day.first_trade_id,
        lastId=day.last_trade_id,
        count=day.trade_count,
    )
