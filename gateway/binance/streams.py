"""Market streams of the Binance dialect: /ws, /ws/<name>/…, /stream?streams=<name>/…

    Market ── what happened ──▶ Hub ──▶ Stream ── one message for all who want it ──▶ sockets
                                 └── every 100 ms: streams that tell a state, or all changes of an interval

A stream exists while somebody wants it. Its message is made once, and framed once for those who want it plain and once
for those who want it as {"stream", "data"}. Messages that leave for many sockets do so in slices, so that an order's
answer need not wait for a thousand writes; the order of messages is the same for everybody.

Changes of depth are numbered by the core's own update ids, which are dense in an instrument: U of a message is u of
the one before + 1, in both speeds and after a restart, and `lastUpdateId` of a depth snapshot is of the same numbers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from gateway import errors
from gateway.binance import user_data
from gateway.candles import INTERVALS, Candle, next_start, start_of
from gateway.context import Gateway
from gateway.errors import ApiError
from gateway.events import Event
from gateway.market import Listener, Trade
from gateway.routing import Request, SocketRoute
from gateway.symbols import Instrument, decimal_text
from gateway.websocket import Socket, frame
from schemas.vocabulary import Side

__all__ = ["SOCKETS", "Hub", "StreamSocket", "hub"]

TICK_S: Final = 0.1
SLOW_TICKS: Final = 10  # streams without a speed in their name: once a second
KLINE_TICKS: Final = 2
GATHER_S: Final = 0.002  # messages of single events wait so long for those behind them, and leave in one write
SLICE_COUNT: Final = 64  # sockets written to before others have their turn
ALL_TICKERS_WEIGHT: Final = 80  # as in REST: its first message tells of every instrument
NAME_LENGTH_MAX: Final = 128
ALL: Final = 0  # no instrument's number: of all of them
ID_LENGTH_MAX: Final = 36
ALL_TICKERS: Final = frozenset(("!ticker@arr", "!miniTicker@arr"))
RESTART: Final = 1012  # RFC 6455's register: the service restarts; connect again

_encode: Final = msgspec.json.Encoder().encode


# ---- Streams ---------------------------------------------------------------------------------------------------------


class Stream:
    """One stream, while anybody wants it.

    ticks    every how many ticks it is asked for a message; 0: it has messages as events come
    trades, levels, tops   which events it takes
    """

    ticks = 0
    trades = levels = tops = False

    def __init__(self, hub_: Hub, name: str) -> None:
        self.hub, self.name = hub_, name
        self.plain: dict[StreamSocket, None] = {}
        self.wrapped: dict[StreamSocket, None] = {}
        self.waiting: list[bytes] = []  # messages that wait for the end of GATHER_S
        self._head = b'{"stream":' + _encode(name) + b',"data":'

    def instruments(self) -> Iterable[int]:
        """Whose events it takes."""
        return (ALL,)

    def trade(self, trade: Trade) -> None:
        """A trade of one of them."""

    def level(self, event: Event) -> None:
        """A level changed."""

    def top(self, event: Event) -> None:
        """A best level changed."""

    def made(self) -> bytes | None:
        """At a tick: the message, if there is one."""
        return None

    def present(self) -> bytes | None:
        """What somebody gets who has just joined; None: nothing, it tells of changes only."""
        return None

    def ended(self) -> None:
        """Nobody wants it any more."""

    def emit(self, payloads: list[bytes]) -> None:
        """Tell everybody."""
        if self.plain:
            self.hub.post(list(self.plain), b"".join([frame(one) for one in payloads]))
        if self.wrapped:
            self.hub.post(list(self.wrapped), b"".join([frame(self.wrap(one)) for one in payloads]))

    def wrap(self, payload: bytes) -> bytes:
        """As on /stream."""
        return self._head + payload + b"}"


class _OfOne(Stream):
    """A stream of one instrument."""

    def __init__(self, hub_: Hub, name: str, instrument: Instrument) -> None:
        super().__init__(hub_, name)
        self.instrument = instrument

    def instruments(self) -> Iterable[int]:
        return (self.instrument.number,)


class Trades(_OfOne):
    """@trade. The buyer is the maker where the taker sold."""

    trades = True

    def trade(self, trade: Trade) -> None:
        one, time_ms = self.instrument, trade.received_ns // 1_000_000
        self.hub.gather(
            self,
            f'{{"e":"trade","E":{time_ms},"s":"{one.name}","t":{trade.trade_id},'
            f'"p":"{one.price_text(trade.price_ticks)}","q":"{one.quantity_text(trade.quantity_lots)}",'
            f'"T":{time_ms},"m":{"true" if trade.taker_side == Side.SELL else "false"},"M":true}}',
        )


class AggregateTrades(_OfOne):
    """@aggTrade. Each trade is an aggregate of its own, as in REST."""

    trades = True

    def trade(self, trade: Trade) -> None:
        one, time_ms, number = self.instrument, trade.received_ns // 1_000_000, trade.trade_id
        self.hub.gather(
            self,
            f'{{"e":"aggTrade","E":{time_ms},"s":"{one.name}","a":{number},'
            f'"p":"{one.price_text(trade.price_ticks)}","q":"{one.quantity_text(trade.quantity_lots)}",'
            f'"f":{number},"l":{number},"T":{time_ms},"m":{"true" if trade.taker_side == Side.SELL else "false"},'
            f'"M":true}}',
        )


class BookTicker(_OfOne):
    """@bookTicker: each change of the best bid or ask, and the present ones to whoever joins."""

    tops = True

    def top(self, event: Event) -> None:
        self.hub.gather(self, book_ticker(self.hub, self.instrument))

    def present(self) -> bytes:
        return book_ticker(self.hub, self.instrument).encode()


class AllBookTickers(Stream):
    """!bookTicker: the same of all instruments."""

    tops = True

    def top(self, event: Event) -> None:
        instrument = self.hub.gateway.mirror.instruments.get(event.instrument)
        if instrument is not None:
            self.hub.gather(self, book_ticker(self.hub, instrument))


def book_ticker(hub_: Hub, one: Instrument) -> str:
    """Best bid and ask, 0 where a side is empty."""
    top = hub_.gateway.market.top(one.number)
    return (
        f'{{"u":{top.update_id},"s":"{one.name}","b":"{one.price_text(top.bid_ticks)}",'
        f'"B":"{one.quantity_text(top.bid_lots)}","a":"{one.price_text(top.ask_ticks)}",'
        f'"A":"{one.quantity_text(top.ask_lots)}"}}'
    )


class DiffDepth(_OfOne):
    """@depth, @depth@100ms: the levels that changed in an interval, each as it was at its end."""

    def __init__(self, hub_: Hub, name: str, instrument: Instrument, ticks: int) -> None:
        super().__init__(hub_, name, instrument)
        self.ticks = ticks
        self._tape = hub_.gateway.market.tape(instrument.number)

    def ended(self) -> None:
        self.hub.gateway.market.untape(self.instrument.number, self._tape)

    def made(self) -> bytes | None:
        changes = self._tape.take()
        if changes is None:
            return None
        return _encode(
            {
                "e": "depthUpdate", "E": self.hub.now_ms(), "s": self.instrument.name, "U": changes.first_id,
                "u": changes.last_id, "b": levels(self.instrument, changes.bids),
                "a": levels(self.instrument, changes.asks),
            }
        )  # fmt: skip


def levels(one: Instrument, found: Iterable[tuple[int, ...]]) -> list[tuple[str, str]]:
    """(price_ticks, quantity_lots, …) as texts."""
    price_text, quantity_text = one.price_text, one.quantity_text
    return [(price_text(level[0]), quantity_text(level[1])) for level in found]


class _State(Stream):
    """A stream that tells a state at ticks, when it changed, and at once to whoever joins."""

    changed = False

    def trade(self, trade: Trade) -> None:
        self.changed = True

    def level(self, event: Event) -> None:
        self.changed = True

    top = level

    def present(self) -> bytes | None:
        return self.message()

    def made(self) -> bytes | None:
        if not self.changed:
            return None
        self.changed = False
        return self.message()

    def message(self) -> bytes | None:
        """As it stands; None: there is nothing to tell yet."""
        raise AssertionError("a state has a message")


class PartialDepth(_State, _OfOne):
    """@depth5, @depth10, @depth20: the best levels."""

    levels = True

    def __init__(self, hub_: Hub, name: str, instrument: Instrument, depth: int, ticks: int) -> None:
        super().__init__(hub_, name, instrument)
        self.depth, self.ticks = depth, ticks

    def message(self) -> bytes:
        one, gateway = self.instrument, self.hub.gateway
        bids, asks = (
            levels(one, gateway.mirror.core.levels(one.number, side, self.depth)) for side in (Side.BUY, Side.SELL)
        )
        return _encode({"lastUpdateId": gateway.market.update_id(one.number), "bids": bids, "asks": asks})


class TickerStream(_State, _OfOne):
    """@ticker and @miniTicker: 24 hours up to now."""

    trades = tops = True
    ticks = SLOW_TICKS

    def __init__(self, hub_: Hub, name: str, instrument: Instrument, mini: bool) -> None:
        super().__init__(hub_, name, instrument)
        self._mini = mini

    def message(self) -> bytes:
        return _encode(ticker(self.hub, self.instrument, mini=self._mini))


class AllTickers(_State):
    """!ticker@arr and !miniTicker@arr: those that changed since the last time; all to whoever joins."""

    trades = tops = True
    ticks = SLOW_TICKS

    def __init__(self, hub_: Hub, name: str, mini: bool) -> None:
        super().__init__(hub_, name)
        self._mini = mini
        self._changed: set[int] = set()

    def trade(self, trade: Trade) -> None:
        self.changed = True
        self._changed.add(trade.instrument)

    def top(self, event: Event) -> None:
        self.changed = True
        self._changed.add(event.instrument)

    def present(self) -> bytes:
        return self._of(self.hub.gateway.mirror.instruments)

    def message(self) -> bytes:
        changed, self._changed = self._changed, set()
        return self._of(changed)

    def _of(self, numbers: Iterable[int]) -> bytes:
        known = self.hub.gateway.mirror.instruments
        return _encode([ticker(self.hub, known[one], mini=self._mini) for one in sorted(numbers) if one in known])


def ticker(hub_: Hub, one: Instrument, *, mini: bool) -> dict[str, Any]:
    """What @ticker or @miniTicker says of it."""
    gateway, now_ns = hub_.gateway, hub_.gateway.now_ns()
    found, price = gateway.market.ticker(one.number, now_ns), one.price_text
    said: dict[str, Any] = {"e": "24hrMiniTicker" if mini else "24hrTicker", "E": now_ns // 1_000_000, "s": one.name}
    said |= {
        "c": price(found.close_ticks), "o": price(found.open_ticks), "h": price(found.high_ticks),
        "l": price(found.low_ticks), "v": one.quantity_text(found.volume_lots),
        "q": one.amount_text(found.notional_units),
    }  # fmt: skip
    if mini:
        return said
    top, change = gateway.market.top(one.number), found.close_ticks - found.open_ticks
    said |= {
        "p": price(change), "P": decimal_text(change * 100_000 // found.open_ticks if found.open_ticks else 0, 3),
        "w": one.average_text(found.notional_units, found.volume_lots), "x": price(found.previous_ticks),
        "Q": one.quantity_text(found.last_lots),
        "b": price(top.bid_ticks), "B": one.quantity_text(top.bid_lots),
        "a": price(top.ask_ticks), "A": one.quantity_text(top.ask_lots),
        "O": found.open_ns // 1_000_000, "C": found.close_ns // 1_000_000,
        "F": found.first_trade_id, "L": found.last_trade_id, "n": found.trade_count,
    }  # fmt: skip
    return said


class KlineStream(_State, _OfOne):
    """@kline_<interval>: the candle that is being made, and once more when its time is over."""

    trades = True
    ticks = KLINE_TICKS

    def __init__(self, hub_: Hub, name: str, instrument: Instrument, interval: str) -> None:
        super().__init__(hub_, name, instrument)
        self._interval = interval
        self._open_ns: int | None = None  # begin of the candle told last, which was not closed

    def made(self) -> bytes | None:
        now_ns, candles = self.hub.gateway.now_ns(), self.hub.gateway.market.books[self.instrument.number].candles
        begin_ns = start_of(self._interval, now_ns)
        if self._open_ns is not None and self._open_ns < begin_ns:
            told_ns, self._open_ns, self.changed = self._open_ns, None, True
            closed = candles.now(self._interval, told_ns)
            if closed is not None:
                return self._message(closed, now_ns, closed=True)
        if not self.changed:
            return None
        self.changed = False
        return self.message()

    def message(self) -> bytes | None:
        now_ns = self.hub.gateway.now_ns()
        candle = self.hub.gateway.market.books[self.instrument.number].candles.now(self._interval, now_ns)
        if candle is None:
            return None
        if self._open_ns is None:
            self._open_ns = candle.start_ns
        return self._message(candle, now_ns, closed=False)

    def _message(self, candle: Candle, now_ns: int, *, closed: bool) -> bytes:
        one, price = self.instrument, self.instrument.price_text
        k: dict[str, Any] = {
            "t": candle.start_ns // 1_000_000,
            "T": next_start(self._interval, candle.start_ns) // 1_000_000 - 1,
            "s": one.name, "i": self._interval, "f": candle.first_trade_id, "L": candle.last_trade_id,
            "o": price(candle.open_ticks), "c": price(candle.close_ticks), "h": price(candle.high_ticks),
            "l": price(candle.low_ticks), "v": one.quantity_text(candle.volume_lots), "n": candle.trade_count,
            "x": closed, "q": one.amount_text(candle.notional_units), "V": one.quantity_text(candle.buy_volume_lots),
            "Q": one.amount_text(candle.buy_notional_units), "B": "0",
        }  # fmt: skip
        return _encode({"e": "kline", "E": now_ns // 1_000_000, "s": one.name, "k": k})


def make_stream(hub_: Hub, name: str) -> Stream | None:
    """The stream of that name; None: there is none."""
    if name in ALL_TICKERS:
        return AllTickers(hub_, name, mini=name == "!miniTicker@arr")
    if name == "!bookTicker":
        return AllBookTickers(hub_, name)
    symbol, _, kind = name.partition("@")
    kind, _, speed = kind.partition("@")
    one = hub_.by_stream_name(symbol)
    if one is None or (speed and (speed not in ("100ms", "1000ms") or not kind.startswith("depth"))):
        return None
    ticks = 1 if speed == "100ms" else SLOW_TICKS
    match kind:
        case "trade":
            return Trades(hub_, name, one)
        case "aggTrade":
            return AggregateTrades(hub_, name, one)
        case "bookTicker":
            return BookTicker(hub_, name, one)
        case "depth":
            return DiffDepth(hub_, name, one, ticks)
        case "depth5" | "depth10" | "depth20":
            return PartialDepth(hub_, name, one, int(kind[5:]), ticks)
        case "ticker" | "miniTicker":
            return TickerStream(hub_, name, one, mini=kind == "miniTicker")
    interval = kind.removeprefix("kline_")
    return KlineStream(hub_, name, one, interval) if kind != interval and interval in INTERVALS else None


# ---- The hub ---------------------------------------------------------------------------------------------------------


class Hub(Listener):
    """All streams of one gateway, and who wants them."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._streams: dict[str, Stream] = {}
        self._trades: dict[int, list[Stream]] = {}
        self._levels: dict[int, list[Stream]] = {}
        self._tops: dict[int, list[Stream]] = {}
        self._waiting: list[Stream] = []  # with messages that wait for GATHER_S
        self._jobs: deque[tuple[list[StreamSocket], bytes]] = deque()
        self._working = False
        self._timer: asyncio.TimerHandle | None = None
        self._tick = 0
        self.due_s = 0.0  # when this tick was due, on the loop's clock
        self._known: dict[str, Instrument] = {}  # the mirror's names that _names was made of
        self._names: dict[str, Instrument] = {}
        gateway.market.on(self)

    def now_ms(self) -> int:
        """For E."""
        return self.gateway.now_ns() // 1_000_000

    def by_stream_name(self, name: str) -> Instrument | None:
        """An instrument by its name in lower case, as names of streams have it."""
        known = self.gateway.mirror.by_name
        if self._known is not known:  # the mirror has another dict when instruments were defined
            self._known, self._names = known, {one.lower(): instrument for one, instrument in known.items()}
        return self._names.get(name)

    # ---- What happens ------------------------------------------------------------------------------------------------

    def trade(self, trade: Trade) -> None:
        if self._trades and self.gateway.mirror.live:
            for number in (trade.instrument, ALL):
                for stream in self._trades.get(number, ()):
                    stream.trade(trade)

    def level(self, event: Event) -> None:
        if self._levels and self.gateway.mirror.live:
            for number in (event.instrument, ALL):
                for stream in self._levels.get(number, ()):
                    stream.level(event)

    def top(self, event: Event) -> None:
        if self._tops and self.gateway.mirror.live:
            for number in (event.instrument, ALL):
                for stream in self._tops.get(number, ()):
                    stream.top(event)

    def begin(self) -> None:
        """The mirror has another state: what happened in between is not known here. Clients connect again."""
        for stream in list(self._streams.values()):
            for one in (*stream.plain, *stream.wrapped):
                one.socket.close(RESTART, "the market data begins anew; connect again")

    # ---- Who wants what ----------------------------------------------------------------------------------------------

    def join(self, name: str, who: StreamSocket, *, wrapped: bool) -> Stream | None:
        """None: there is no such stream."""
        stream = self._streams.get(name)
        if stream is None:
            stream = make_stream(self, name)
            if stream is None:
                return None
            self._streams[name] = stream
            self._register(stream)
        (stream.wrapped if wrapped else stream.plain)[who] = None
        asyncio.get_running_loop().call_soon(self._greet, stream, who)  # behind the answer to its request
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self.due_s = loop.time() + TICK_S
            self._timer = loop.call_at(self.due_s, self._on_tick)
        self.gateway.metrics.gauges["streams_open"] = len(self._streams)
        return stream

    def _greet(self, stream: Stream, who: StreamSocket) -> None:
        """The present state, to the one who has joined."""
        if not self.gateway.mirror.live or not (who in stream.plain or who in stream.wrapped):
            return
        payload = stream.present()
        if payload is not None:
            who.socket.send(payload if who in stream.plain else stream.wrap(payload))

    def leave(self, stream: Stream, who: StreamSocket) -> None:
        """It does not want it any more."""
        stream.plain.pop(who, None)
        stream.wrapped.pop(who, None)
        if stream.plain or stream.wrapped or self._streams.get(stream.name) is not stream:
            return
        del self._streams[stream.name]
        for index in (self._trades, self._levels, self._tops):
            for number in stream.instruments():
                takers = index.get(number, [])
                if stream in takers:
                    takers.remove(stream)
                    if not takers:
                        del index[number]
        stream.ended()
        if not self._streams and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.gateway.metrics.gauges["streams_open"] = len(self._streams)

    def wrap(self, stream: Stream, who: StreamSocket, *, wrapped: bool) -> None:
        """From now on it wants the stream so. It knows the present state and is not told it again."""
        here, there = (stream.plain, stream.wrapped) if wrapped else (stream.wrapped, stream.plain)
        here.pop(who, None)
        there[who] = None

    def _register(self, stream: Stream) -> None:
        for index, wanted in ((self._trades, stream.trades), (self._levels, stream.levels), (self._tops, stream.tops)):
            if wanted:
                for number in stream.instruments():
                    index.setdefault(number, []).append(stream)

    # ---- Messages ----------------------------------------------------------------------------------------------------

    def gather(self, stream: Stream, text: str) -> None:
        """A message of one event: it leaves together with those that come within GATHER_S."""
        if not stream.waiting:
            if not self._waiting:
                asyncio.get_running_loop().call_later(GATHER_S, self._gathered)
            self._waiting.append(stream)
        stream.waiting.append(text.encode())

    def _gathered(self) -> None:
        streams, self._waiting = self._waiting, []
        for stream in streams:
            payloads, stream.waiting = stream.waiting, []
            stream.emit(payloads)

    def _on_tick(self) -> None:
        """Each TICK_S after the one before; those that a busy loop has missed are left out."""
        loop = asyncio.get_running_loop()
        next_s = max(self.due_s + TICK_S, loop.time() + TICK_S / 2)
        self._timer = loop.call_at(next_s, self._on_tick)
        self._tick += 1
        for stream in list(self._streams.values()) if self.gateway.mirror.live else ():
            if stream.ticks and self._tick % stream.ticks == 0:
                payload = stream.made()
                if payload is not None:
                    stream.emit([payload])
        self.due_s = next_s

    def post(self, sockets: list[StreamSocket], ready: bytes) -> None:
        """Send it to all of them, some a turn of the loop."""
        self._jobs.append((sockets, ready))
        if not self._working:
            self._working = True
            self._work()

    def _work(self) -> None:
        room, jobs = SLICE_COUNT, self._jobs
        while jobs and room > 0:
            sockets, ready = jobs[0]
            for one in sockets[-room:]:
                one.socket.send_frame(ready)
            left = max(0, len(sockets) - room)
            room -= len(sockets) - left
            if left:
                del sockets[left:]
            else:
                jobs.popleft()
        self._working = bool(jobs)
        if jobs:
            asyncio.get_running_loop().call_soon(self._work)


def hub(gateway: Gateway) -> Hub:
    """The gateway's one hub, made when it is first asked for."""
    found = gateway.shared.get(Hub)
    if not isinstance(found, Hub):
        found = gateway.shared[Hub] = Hub(gateway)
    return found


# ---- One socket ------------------------------------------------------------------------------------------------------


class _BadRequest(Exception):
    """What a client sent that is no request. code, text: of the answer."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class StreamSocket:
    """A client's connection to any number of streams. Names that nobody knows are taken and ignored.

    wrapped  events are sent as {"stream", "data"}: on /stream, until the client sets its property `combined`
    """

    socket: Socket

    def __init__(self, gateway: Gateway, names: list[str], *, wrapped: bool) -> None:
        self.wrapped = wrapped
        self._gateway, self._first = gateway, names
        self._hub, self._users = hub(gateway), user_data.hub(gateway)
        self._streams: dict[str, Stream | user_data.Feed] = {}

    def opened(self, socket: Socket) -> None:
        """Of websocket.SocketHandler."""
        self.socket = socket
        for name in self._first:
            self._join(name)

    def lost(self) -> None:
        """Of websocket.SocketHandler."""
        for name in list(self._streams):
            self._leave(name)

    def received(self, text: bytes) -> None:
        """Of websocket.SocketHandler: one request."""
        number: object = None
        try:
            said = _decode(text)
            number = _number(said)
            result = self._do(said)
        except _BadRequest as error:
            self._refuse(number, error.code, error.text)
            return
        except ApiError as error:
            self._refuse(number, error.problem.binance, error.text)
            return
        self.socket.send(_encode({"result": result, "id": number}))

    def _refuse(self, number: object, code: int, text: str) -> None:
        self.socket.send(_encode({"error": {"code": code, "msg": text}, "id": number}))

    def _count(self, weight: int) -> None:
        """Toward its address's limit. Raises ApiError beyond it."""
        self._gateway.limits.weight(self.socket.request.peer, max(1, weight), self._gateway.now_ns())

    def _do(self, said: dict[str, Any]) -> Any:
        method, parameters = said.get("method"), said.get("params", [])
        if "method" not in said:
            raise _BadRequest(2, "Invalid request: missing field `method`")
        if not isinstance(method, str):
            raise _BadRequest(2, "Invalid request: method name must be a string")
        if method not in METHODS:
            expected = ", ".join(f"`{one}`" for one in METHODS)
            raise _BadRequest(2, f"Invalid request: unknown variant `{method[:40]}`, expected one of {expected}")
        if extra := sorted(said.keys() - {"method", "params", "id"}):
            raise _BadRequest(2, f"Invalid request: unknown field `{extra[0][:40]}`")
        if not isinstance(parameters, list):
            raise _BadRequest(2, "Invalid request: params must be an array")
        if method == "LIST_SUBSCRIPTIONS":
            return list(self._streams)
        if method.endswith("PROPERTY"):
            return self._property(parameters, change=method == "SET_PROPERTY")
        return self._change(parameters, self._join if method == "SUBSCRIBE" else self._leave)

    def _change(self, names: list[Any], change: Any) -> None:
        if not all(isinstance(name, str) for name in names):
            raise _BadRequest(2, "Invalid request: each of params must be a string: the name of a stream")
        self._count(_weight(names) if change == self._join else len(names))
        if change == self._join:
            most = self._gateway.settings.socket_streams_max
            if len(self._streams.keys() | set(names)) > most:
                raise _BadRequest(2, f"Invalid request: too many parameters: a connection has at most {most} streams")
            if any(len(name) > NAME_LENGTH_MAX for name in names):
                raise _BadRequest(2, f"Invalid request: a name of a stream has at most {NAME_LENGTH_MAX} characters")
        for name in names:
            change(name)

    def _property(self, parameters: list[Any], *, change: bool) -> bool | None:
        if len(parameters) > 1 + change:
            raise _BadRequest(2, "Invalid request: too many parameters")
        if not parameters or not isinstance(parameters[0], str):
            raise _BadRequest(2, "Invalid request: property name must be a string")
        if parameters[0] != "combined":
            raise _BadRequest(0, "Unknown property")
        if not change:
            return self.wrapped
        if len(parameters) != 2 or not isinstance(parameters[1], bool):
            raise _BadRequest(1, "Invalid value type: expected Boolean")
        self._count(len(self._streams))
        self.wrapped = parameters[1]
        for name, stream in self._streams.items():
            if isinstance(stream, Stream):
                self._hub.wrap(stream, self, wrapped=self.wrapped)
            else:
                stream.tell = self._teller(name)
        return None

    def _join(self, name: str) -> None:
        if name in self._streams:
            return
        stream: Stream | user_data.Feed | None = self._hub.join(name, self, wrapped=self.wrapped)
        if stream is None:
            stream = self._users.join(name, self.socket.request.peer, self._teller(name))
        if stream is not None:
            self._streams[name] = stream

    def _teller(self, name: str) -> user_data.Tell:
        """What sends an event of a user data stream."""
        if not self.wrapped:
            return self._tell
        head = b'{"stream":' + _encode(name) + b',"data":'
        return lambda payload: self.socket.send(head + payload + b"}")

    def _tell(self, payload: bytes) -> None:
        self.socket.send(payload)

    def _leave(self, name: str) -> None:
        stream = self._streams.pop(name, None)
        if isinstance(stream, Stream):
            self._hub.leave(stream, self)
        elif stream is not None:
            self._users.leave(stream)


def _weight(names: list[str]) -> int:
    """What it counts to want these streams."""
    return sum(ALL_TICKERS_WEIGHT if name in ALL_TICKERS else 1 for name in names)


def _decode(text: bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _BadRequest(3, f"Invalid JSON: {str(error)[:100]}") from None
    if not isinstance(said, dict):
        raise _BadRequest(2, "Invalid request: a request must be an object")
    return said


def _number(said: dict[str, Any]) -> int | str | None:
    """The id of a request, which its answer repeats: an integer or a short text, or none."""
    number = said.get("id")
    if number is None or (isinstance(number, int) and not isinstance(number, bool)):
        return number
    if isinstance(number, str) and len(number) <= ID_LENGTH_MAX:
        return number
    raise _BadRequest(2, "Invalid request: request ID must be an integer, null, or a text of at most 36 characters")


def _open(gateway: Gateway, request: Request) -> StreamSocket:
    """A socket of /ws, /ws/<name>/… or /stream?streams=<name>/…"""
    path = request.path.rstrip("/")
    wrapped = path == "/stream"
    if not wrapped and path != "/ws" and not path.startswith("/ws/"):
        raise ApiError(errors.NOT_FOUND, detail=request.path[:200], hint="market streams are at /ws and /stream")
    if wrapped:
        pairs = [piece.partition(b"=") for piece in request.query.split(b"&")]
        found = next((value for name, _, value in pairs if name == b"streams"), b"")
        text = unquote(found.decode("ascii", "replace"))
    else:
        text = path.removeprefix("/ws").lstrip("/")
    names = list(dict.fromkeys(name for name in text.split("/") if name))
    if len(names) > gateway.settings.socket_streams_max or any(len(name) > NAME_LENGTH_MAX for name in names):
        raise ApiError(
            errors.TOO_MANY_PARAMETERS, f"A connection has at most {gateway.settings.socket_streams_max} streams."
        )
    if names:
        gateway.limits.weight(request.peer, _weight(names), gateway.now_ns())
    return StreamSocket(gateway, names, wrapped=wrapped)


SOCKETS: Final = (
    SocketRoute(prefix="/ws", make=_open, summary="Market and user data streams by name", tag="streams"),
    SocketRoute(prefix="/stream", make=_open, summary='The same, each event as {"stream", "data"}', tag="streams"),
)
