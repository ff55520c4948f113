"""What clients may ask about orders, fills, trades and books: folds of the mirror's batches, without any I/O.

    Mirror ── Batch ──▶ Market ── order, trade, level, top, … in the order of the events ──▶ listeners

The core itself answers what is true now (balances, depth, limits); this keeps what has happened: orders that ended
and their fills, trades, candles. It keeps so much of each (settings); what is older is in the database.

While listeners are told of an event, the core stands at the end of the step, not at the event: ask it in `done`.
"""

from __future__ import annotations

import collections
import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from engine_node._engine import Core
from gateway.candles import Candle, Candles, Ticker
from gateway.events import PREFIX_KIND_MIN, RECORD_BYTES, Batch, Event, prefixes_at
from gateway.kept import FAR, Kept, fills_between, orders_between
from gateway.mirror import Mirror
from gateway.settings import GatewaySettings
from gateway.symbols import client_number, client_text
from schemas import vocabulary as v

__all__ = ["Book", "DepthChanges", "DepthTape", "Fill", "Listener", "Market", "Order", "OrderStatus", "Top", "Trade"]

Thing = TypeVar("Thing")
SELL: Final = int(v.ReportFlag.SELL)
MAKER: Final = int(v.ReportFlag.MAKER)
DONE: Final = int(v.ReportFlag.DONE)
AUCTION: Final = int(v.ReportFlag.AUCTION)
BUY_SIDE: Final = int(v.Side.BUY)
SELL_SIDE: Final = int(v.Side.SELL)
TEXT: Final = int(v.Kind.TEXT)
ORDER_TERMS: Final = int(v.Kind.ORDER_TERMS)
ORDER_LINK: Final = int(v.Kind.ORDER_LINK)
WAITS: Final = 3  # place of an order that has not fired yet, as the core tells it
HASHED: Final = 1 << 63
_NEW_ORDER: Final = v.NewOrder._STRUCT


class OrderStatus(enum.Enum):
    """Where an order stands."""

    WAITING = "waiting"  # for its trigger
    OPEN = "open"
    PARTLY = "partly_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"  # somebody asked for it
    EXPIRED = "expired"  # a rule took it: no counterpart, self-trade prevention, time, a link


_ENDED_BY_RULE: Final = frozenset(
    {
        v.Code.CANCELLED_UNFILLED, v.Code.CANCELLED_SELF_TRADE, v.Code.CANCELLED_AMOUNT_REACHED,
        v.Code.CANCELLED_LINKED, v.Code.CANCELLED_EXPIRED, v.Code.CANCELLED_SESSION_CLOSED,
        v.Code.CANCELLED_BY_BREAKER, v.Code.CANCELLED_WOULD_TAKE,
    }
)  # fmt: skip


class Order:
    """One order as it stands, open or ended: the same object through its life.

    quantity_lots   in all, as entered or last replaced; what `decrement` took off is not in it
    notional_units  of its fills together; fee_units likewise
    code            why it ended (schemas.vocabulary.Code); 0: it is open, or filled
    working_ns      since when it can trade; 0: it still waits
    entered_ns      0: it was open before this mirror's beginning, and the database has not told yet
    amount_units    of a market order by quote: what to spend or receive
    fills           how many
    """

    __slots__ = (
        "account", "amount_units", "client_order_id", "client_text", "code", "display_lots", "entered_ns", "expire_ns",
        "fee_units", "filled_lots", "fills", "instrument", "key", "last_fill", "linked_order_id", "notional_units",
        "order_id", "order_type", "post_only", "price_ticks", "quantity_lots", "remaining_lots",
        "self_trade_prevention", "side", "status", "term_options", "time_in_force",
        "trigger", "trigger_price_ticks", "updated_ns", "working_ns",
    )  # fmt: skip

    account: int
    amount_units: int
    client_order_id: int
    client_text: str
    code: int
    display_lots: int
    entered_ns: int
    expire_ns: int
    fee_units: int
    filled_lots: int
    fills: int
    instrument: int
    key: int
    last_fill: Fill | None
    linked_order_id: int
    notional_units: int
    order_id: int
    order_type: int
    post_only: bool
    price_ticks: int
    quantity_lots: int
    remaining_lots: int
    self_trade_prevention: int
    side: int
    status: OrderStatus
    term_options: int
    time_in_force: int
    trigger: int
    trigger_price_ticks: int
    updated_ns: int
    working_ns: int

    @property
    def is_open(self) -> bool:
        """Can it still trade or be cancelled?"""
        return self.status in _OPEN


_OPEN: Final = frozenset({OrderStatus.WAITING, OrderStatus.OPEN, OrderStatus.PARTLY})


class Trade:
    """One trade as printed. maker_order_id and taker_order_id of an auction: the sell's and the buy's."""

    __slots__ = (
        "auction", "instrument", "maker_order_id", "notional_units", "price_ticks", "quantity_lots", "received_ns",
        "sequence", "taker_order_id", "taker_side", "trade_id",
    )  # fmt: skip

    def __init__(
        self, instrument: int, trade_id: int, price_ticks: int, quantity_lots: int, notional_units: int,
        taker_side: int, received_ns: int, maker_order_id: int, taker_order_id: int, sequence: int, auction: bool,
    ) -> None:  # fmt: skip
        self.instrument, self.trade_id, self.price_ticks = instrument, trade_id, price_ticks
        self.quantity_lots, self.notional_units, self.taker_side = quantity_lots, notional_units, taker_side
        self.received_ns, self.maker_order_id, self.taker_order_id = received_ns, maker_order_id, taker_order_id
        self.sequence, self.auction = sequence, auction


class Fill:
    """One side of a trade. (sequence, n) names it for ever. previous: the one before it of the same order, if kept."""

    __slots__ = (
        "account", "fee_units", "instrument", "maker", "n", "notional_units", "order_id", "previous",
        "price_ticks", "quantity_lots", "received_ns", "sequence", "side", "trade_id",
    )  # fmt: skip

    def __init__(
        self, account: int, order_id: int, trade_id: int, instrument: int, side: int, maker: bool, price_ticks: int,
        quantity_lots: int, notional_units: int, fee_units: int, received_ns: int, sequence: int, n: int,
    ) -> None:  # fmt: skip
        self.account, self.order_id, self.trade_id, self.instrument = account, order_id, trade_id, instrument
        self.side, self.maker, self.price_ticks, self.quantity_lots = side, maker, price_ticks, quantity_lots
        self.notional_units, self.fee_units = notional_units, fee_units
        self.received_ns, self.sequence, self.n = received_ns, sequence, n
        self.previous: Fill | None = None


class Top:
    """The best levels of a book. Prices and lots are 0 where a side is empty. update_id: of the book, as of it."""

    __slots__ = ("ask_lots", "ask_ticks", "bid_lots", "bid_ticks", "update_id")

    def __init__(self) -> None:
        self.bid_ticks = self.bid_lots = self.ask_ticks = self.ask_lots = self.update_id = 0


class DepthChanges:
    """Levels that changed in a span of update ids, each as it stands at the end of it: (price_ticks, quantity_lots)."""

    __slots__ = ("asks", "bids", "first_id", "last_id", "received_ns")

    def __init__(
        self, first_id: int, last_id: int, received_ns: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]]
    ) -> None:
        self.first_id, self.last_id, self.received_ns, self.bids, self.asks = first_id, last_id, received_ns, bids, asks


class DepthTape:
    """Gathers the changes of one book from one take to the next. The first id of a take is the last one's of the one
    before plus 1: there are no gaps."""

    __slots__ = ("asks", "bids", "first_id", "last_id", "received_ns")

    def __init__(self, update_id: int) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.first_id, self.last_id, self.received_ns = update_id + 1, update_id, 0

    def take(self) -> DepthChanges | None:
        """What has changed since the last time; None: nothing."""
        if self.last_id < self.first_id:
            return None
        made = DepthChanges(
            self.first_id, self.last_id, self.received_ns, list(self.bids.items()), list(self.asks.items())
        )
        self.bids, self.asks, self.first_id = {}, {}, self.last_id + 1
        return made


class Book:
    """What is kept of one instrument. update_id: of its last book_update; trades: dense, oldest first."""

    __slots__ = (
        "base_asset", "candles", "instrument", "level3_id", "quote_asset", "quote_units", "tapes", "top", "trades",
        "trades_need", "update_id",
    )  # fmt: skip

    def __init__(self, told: Mapping[str, int | str], complete_from_ns: int = 0, trades_need: int = 0) -> None:
        self.instrument, self.quote_units = int(told["instrument"]), int(told["quote_units_per_tick_lot"])
        self.base_asset, self.quote_asset = int(told["base_asset"]), int(told["quote_asset"])
        self.update_id = self.level3_id = 0
        self.top = Top()
        self.trades: list[Trade] = []
        self.trades_need = trades_need  # how far the database must be, so that no trade lies between it and these
        self.candles = Candles(complete_from_ns)
        self.tapes: list[DepthTape] = []


class Listener:
    """Whoever wants to know. Override what you need: what is not overridden costs nothing. Nothing may raise."""

    def order(self, order: Order, event: Event, fill: Fill | None) -> None:
        """An order was accepted, filled (with its fill), cancelled, replaced or triggered; it stands as of then."""

    def answer(self, event: Event) -> None:
        """A command was rejected or applied: no order changed by it."""

    def trade(self, trade: Trade) -> None:
        """A trade was printed; its fills follow."""

    def correction(self, event: Event) -> None:
        """A trade was busted or corrected (trade_bust, trade_correction), or an account adjusted for it."""

    def level(self, event: Event) -> None:
        """book_update: a level of a book changed."""

    def top(self, event: Event) -> None:
        """A best level changed; market.top(instrument) has both."""

    def level3(self, event: Event) -> None:
        """One order of a displayed book."""

    def state(self, event: Event) -> None:
        """Trading state of an instrument, an account or of everything."""

    def money(self, event: Event) -> None:
        """A deposit or withdrawal (balance)."""

    def checksum(self, event: Event) -> None:
        """book_checksum or indicative."""

    def balances(self, touched: set[tuple[int, int]]) -> None:
        """Told once a step, before done: (account, asset) whose balance may have changed; mirror.core has them."""

    def done(self, batch: Batch) -> None:
        """The step is over: the core and all that is kept here stand at its end."""

    def begin(self) -> None:
        """All is new: what was told before may be told again (mirror.live is False), or never was."""


_TOLD: Final = tuple(name for name in vars(Listener) if not name.startswith("_"))


class _Told:
    """Of each kind of news, whoever overrides it."""

    __slots__ = _TOLD

    def __init__(self, listeners: list[Listener]) -> None:
        for name in _TOLD:
            empty = getattr(Listener, name)
            setattr(self, name, tuple(getattr(one, name) for one in listeners if getattr(type(one), name) is not empty))

    answer: tuple[Callable[[Event], None], ...]
    balances: tuple[Callable[[set[tuple[int, int]]], None], ...]
    begin: tuple[Callable[[], None], ...]
    checksum: tuple[Callable[[Event], None], ...]
    correction: tuple[Callable[[Event], None], ...]
    done: tuple[Callable[[Batch], None], ...]
    level: tuple[Callable[[Event], None], ...]
    level3: tuple[Callable[[Event], None], ...]
    money: tuple[Callable[[Event], None], ...]
    order: tuple[Callable[[Order, Event, Fill | None], None], ...]
    state: tuple[Callable[[Event], None], ...]
    top: tuple[Callable[[Event], None], ...]
    trade: tuple[Callable[[Trade], None], ...]


class Market:
    """All books and orders of one mirror."""

    def __init__(self, mirror: Mirror, settings: GatewaySettings) -> None:
        self.mirror = mirror
        self.trades_kept, self.orders_kept = settings.trades_kept, settings.orders_kept
        self._listeners: list[Listener] = []
        self._told = _Told([])
        self._batch = Batch(1, b"", [])
        self._handlers = self._table()
        self._clear()
        mirror.on_begin(self._begin)
        mirror.on_batch(self._fold)

    def on(self, listener: Listener) -> None:
        """Tell it too, behind those who came before."""
        self._listeners.append(listener)
        self._told = _Told(self._listeners)

    # ---- Questions ---------------------------------------------------------------------------------------------------

    def order(self, order_id: int) -> Order | None:
        """Open, or one that ended and is still kept."""
        return self._orders.get(order_id)

    def order_by_text(self, account: int, text: str) -> Order | None:
        """The newest order of that name that is kept."""
        found = self._by_text.get((account, text))
        if found is None:
            found = self._unnamed.get((account, client_number(text)))
            if found is not None:  # its hash is the text's: so this is what it is called
                self.name(found, text)
        return found

    def open_orders(self, account: int, instrument: int | None = None) -> list[Order]:
        """By rising id."""
        mine = self._open.get(account)
        if mine is None:
            return []
        return [one for one in mine.values() if instrument is None or one.instrument == instrument]

    def orders(
        self, account: int, instrument: int | None = None, *, first_id: int = 0, before_id: int = FAR,
        start_ns: int = 0, end_ns: int = FAR, newest: bool = True,
    ) -> Iterator[Order]:  # fmt: skip
        """Those of an account that are kept, newest first or oldest first; the times are those of their entry."""
        mine = self._of_account.get(account, {})
        lists = mine.values() if instrument is None else [mine[instrument]] if instrument in mine else []
        found = orders_between(lists, first_id, before_id, start_ns, end_ns, newest)
        return (one for one in found if one.order_id in self._orders)

    def fills(
        self, account: int, instrument: int | None = None, *, first: tuple[int, int] = (0, 0),
        before: tuple[int, int] = (FAR, 0), start_ns: int = 0, end_ns: int = FAR, newest: bool = True,
    ) -> Iterator[Fill]:  # fmt: skip
        """Those of an account that are kept, newest first or oldest first; first, before: places (sequence, n)."""
        mine = self._fills.get(account, {})
        lists = mine.values() if instrument is None else [mine[instrument]] if instrument in mine else []
        return fills_between(lists, first, before, start_ns, end_ns, newest)

    def fills_of(self, order: Order) -> list[Fill]:
        """Those of one order that are kept, oldest first."""
        found: list[Fill] = []
        fill = order.last_fill
        while fill is not None:
            found.append(fill)
            fill = fill.previous
        return found[::-1]

    def trades(self, instrument: int, limit: int, from_id: int | None = None) -> list[Trade]:
        """Newest last: the last ones, or those from an id on."""
        kept = self.books[instrument].trades
        if from_id is None:
            return kept[max(0, len(kept) - limit) :]
        start = max(0, from_id - kept[0].trade_id) if kept else 0
        return kept[start : start + limit]

    def last_trade(self, instrument: int) -> Trade | None:
        """The newest that is kept."""
        kept = self.books[instrument].trades
        return kept[-1] if kept else None

    def top(self, instrument: int) -> Top:
        """Best bid and ask."""
        return self.books[instrument].top

    def update_id(self, instrument: int) -> int:
        """Of the book as mirror.core.levels tells it now."""
        return self.books[instrument].update_id

    def ticker(self, instrument: int, now_ns: int) -> Ticker:
        """The last 24 hours."""
        return self.books[instrument].candles.ticker(now_ns)

    def candle(self, instrument: int, interval: str, now_ns: int) -> Candle | None:
        """The open candle of an interval, flat if nothing was traded in it yet; None: nothing ever was."""
        return self.books[instrument].candles.now(interval, now_ns)

    def tape(self, instrument: int) -> DepthTape:
        """Gathers that book's changes from now on, until it is given to `untape`."""
        book = self.books[instrument]
        made = DepthTape(book.update_id)
        book.tapes.append(made)
        return made

    def untape(self, instrument: int, tape: DepthTape) -> None:
        """Nobody takes it any more."""
        self.books[instrument].tapes.remove(tape)

    def name(self, order: Order, text: str) -> None:
        """It is known now what its client calls it."""
        if self._by_text.get((order.account, order.client_text)) is order:
            del self._by_text[order.account, order.client_text]
        order.client_text = text
        self._unnamed.pop((order.account, order.client_order_id), None)
        known = self._by_text.get((order.account, text))
        if known is None or known.order_id < order.order_id:
            self._by_text[order.account, text] = order

    def incomplete(self) -> list[Order]:
        """Orders that were open at the beginning, so that nobody here saw them entered."""
        return [one for one in self._orders.values() if one.entered_ns == 0]

    # ---- Beginning ---------------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        self.books = _Books(self.mirror)
        self._orders: dict[int, Order] = {}
        self._open: dict[int, dict[int, Order]] = {}
        self._of_account: dict[int, dict[int, Kept[Order]]] = {}  # by account and instrument
        self._by_text: dict[tuple[int, str], Order] = {}
        self._unnamed: dict[tuple[int, int], Order] = {}  # open at the beginning, with a number made from a text
        self._ended: collections.deque[tuple[Order, int]] = collections.deque()  # and the sequence of its end
        self._fills: dict[int, dict[int, Kept[Fill]]] = {}  # by account and instrument
        self._filled: collections.deque[Kept[Fill]] = collections.deque()  # where each fill is kept, oldest first
        self._touched: set[tuple[int, int]] = set()  # (account, instrument)
        self._moved: set[tuple[int, int]] = set()  # (account, asset)
        self.first_event = 0  # sequence of the first event since the beginning; 0: there was none
        self.orders_from = 0  # orders with an id from here on are all here; of others only those that were open
        self.orders_need = 0  # how far the database must be, so that nothing lies between it and memory
        self.fills_from = 0  # fills of a sequence from here on are all here

    def _begin(self) -> None:
        tapes = {number: book.tapes for number, book in self.books.items() if book.tapes}
        self._clear()
        core = self.mirror.core
        self.orders_need = self.mirror.sequence
        self.orders_from = self.fills_from = self.mirror.sequence + 1
        self._begin_books(core)
        found: list[dict[str, int]] = []
        for number in range(1, core.options()["account_count_max"]):
            account = core.account(number)
            if account is not None and account["open_orders"]:
                found += core.account_orders(number, 0, account["open_orders"])
        for one in sorted(found, key=lambda order: order["order_id"]):
            self._take_up(one)
        for number, kept in tapes.items():
            book = self.books[number]
            book.tapes = kept
            for tape in kept:
                tape.bids, tape.asks = {}, {}
                tape.first_id, tape.last_id = book.update_id + 1, book.update_id
        for tell in self._told.begin:
            tell()

    def _begin_books(self, core: Core) -> None:
        began_ns = core.received_ns() if self.mirror.sequence else 0
        for number in range(1, core.options()["instrument_count_max"]):
            told: Any = core.instrument(number)
            if told is None:
                continue
            book = self.books[number] = Book(told, began_ns, self.mirror.sequence)
            book.update_id, book.level3_id = told["book_update_id"], told["level3_id"]
            top = book.top
            for level in core.levels(number, BUY_SIDE, 1):
                top.bid_ticks, top.bid_lots = level[:2]
            for level in core.levels(number, SELL_SIDE, 1):
                top.ask_ticks, top.ask_lots = level[:2]
            top.update_id = book.update_id

    def _take_up(self, told: dict[str, int]) -> None:
        """An order that was open when the mirror began, as the core tells it."""
        order = Order()
        order.order_id, order.client_order_id = told["order_id"], told["client_order_id"]
        order.account, order.instrument, order.key, order.side = (
            told["account"], told["instrument"], told["key"], told["side"],
        )  # fmt: skip
        order.order_type, order.time_in_force = told["order_type"], told["time_in_force"]
        order.self_trade_prevention = told["self_trade_prevention"]
        order.post_only = bool(told["options"] & v.OrderOption.POST_ONLY)
        order.price_ticks, order.filled_lots, order.remaining_lots = (
            told["price_ticks"], told["filled_lots"], told["rest_lots"],
        )  # fmt: skip
        order.quantity_lots = order.filled_lots + order.remaining_lots
        order.trigger, order.trigger_price_ticks = told["trigger"], told["trigger_price_ticks"]
        order.display_lots, order.expire_ns = told["display_lots"], told["expire_ns"]
        order.linked_order_id, order.term_options = told["linked_order_id"], told["term_options"]
        order.notional_units = order.fee_units = order.amount_units = order.fills = order.code = 0
        order.last_fill = None
        order.entered_ns = order.updated_ns = order.working_ns = 0
        waits = told["place"] == WAITS
        order.status = OrderStatus.WAITING if waits else OrderStatus.PARTLY if order.filled_lots else OrderStatus.OPEN
        if order.client_order_id & HASHED:
            order.client_text = ""
            self._unnamed[order.account, order.client_order_id] = order
        else:
            order.client_text = client_text(order.client_order_id, b"")
        self._keep(order)

    def _keep(self, order: Order) -> None:
        account, order_id = order.account, order.order_id
        self._orders[order_id] = order
        mine = self._open.get(account)
        if mine is None:
            mine = self._open[account] = {}
        mine[order_id] = order
        _kept_of(self._of_account, account, order.instrument).things.append(order)
        if order.client_text:
            self._by_text[account, order.client_text] = order

    # ---- The fold ----------------------------------------------------------------------------------------------------

    def _table(self) -> list[Callable[[Event], None]]:
        """What is done with an event, by its kind."""
        kinds = v.EventKind
        table: list[Callable[[Event], None]] = [self._ignored] * 256
        table[kinds.ACCEPTED] = self._accepted
        table[kinds.FILLED] = self._fill
        table[kinds.CANCELLED] = self._cancelled
        table[kinds.REPLACED] = self._replaced
        table[kinds.TRIGGERED] = self._triggered
        table[kinds.REJECTED] = table[kinds.APPLIED] = self._answered
        table[kinds.TRADE] = self._trade
        table[kinds.BOOK_UPDATE] = self._level
        table[kinds.TOP] = self._top
        table[kinds.LEVEL3] = self._level3
        table[kinds.STATE] = self._state
        table[kinds.BALANCE] = self._balance
        table[kinds.BOOK_CHECKSUM] = table[kinds.INDICATIVE] = self._checksum
        table[kinds.TRADE_BUST] = table[kinds.TRADE_CORRECTION] = table[kinds.ADJUSTMENT] = self._corrected
        return table

    def _fold(self, batch: Batch) -> None:
        self._batch = batch
        if not self.first_event and batch.events:
            self.first_event = batch.events[0].sequence
        handlers = self._handlers
        for event in batch.events:
            handlers[event[0]](event)
        told = self._told
        if told.balances:
            self._tell_balances()
        for tell in told.done:
            tell(batch)

    def _tell_balances(self) -> None:
        moved, self._moved = self._moved, set()
        for account, number in self._touched:
            book = self.books[number]
            moved.add((account, book.base_asset))
            moved.add((account, book.quote_asset))
        self._touched.clear()
        if moved:
            for tell in self._told.balances:
                tell(moved)

    def _ignored(self, event: Event) -> None:
        """A kind that this release does not know of."""

    def _answered(self, event: Event) -> None:
        for tell in self._told.answer:
            tell(event)

    def _accepted(self, event: Event) -> None:
        order = self._entered(event)
        self._keep(order)
        told = self._told
        if told.balances:
            self._touched.add((event.account, event.instrument))
        for tell in told.order:
            tell(order, event, None)

    def _entered(self, event: Event) -> Order:
        """The order as the records say it."""
        batch, order = self._batch, Order()
        records, offset = batch.records, (event.sequence - batch.first_sequence) * RECORD_BYTES
        (_, _, _, _, _, _, side, order.order_type, order.time_in_force, order.self_trade_prevention, options) = (
            _NEW_ORDER.unpack_from(records, offset)
        )
        order.order_id, order.client_order_id, order.side = event.order_id, event.client_order_id, side
        order.account, order.instrument, order.key = event.account, event.instrument, event.key
        order.price_ticks, order.quantity_lots = event.price_ticks, event.quantity_lots
        order.remaining_lots, order.amount_units = event.remaining_lots, event.amount_units
        order.post_only = bool(options & 1)
        order.filled_lots = order.notional_units = order.fee_units = order.fills = order.code = 0
        order.last_fill = None
        order.entered_ns = order.updated_ns = order.working_ns = event.received_ns
        order.status = OrderStatus.OPEN
        order.trigger = order.trigger_price_ticks = order.display_lots = order.expire_ns = 0
        order.linked_order_id = order.term_options = 0
        text = b""
        if offset and records[offset - RECORD_BYTES] >= PREFIX_KIND_MIN:
            text = self._read_prefixes(order, records, offset)
        order.client_text = client_text(order.client_order_id, text)
        return order

    def _read_prefixes(self, order: Order, records: bytes, offset: int) -> bytes:
        text = b""
        for at in prefixes_at(records, offset):
            kind = records[at]
            if kind == TEXT:
                text = records[at + 8 : at + 8 + v.TEXT_BYTES_MAX]
            elif kind == ORDER_TERMS:
                terms = v.OrderTerms.unpack(records, at)
                order.trigger, order.trigger_price_ticks = terms.trigger, terms.trigger_price_ticks
                order.display_lots, order.expire_ns = terms.display_lots, terms.expire_ns
                order.term_options = terms.options
                if terms.trigger:
                    order.status, order.working_ns = OrderStatus.WAITING, 0
            elif kind == ORDER_LINK:
                link = v.OrderLink.unpack(records, at)
                if link.action == v.LinkAction.ONE_CANCELS_OTHER:
                    self._link(order, link)
        return text

    def _link(self, order: Order, link: v.OrderLink) -> None:
        for other in self._open.get(order.account, {}).values():
            named = other.order_id == link.order_id if link.order_id else (
                other.client_order_id == link.target_client_order_id and other.instrument == order.instrument
            )  # fmt: skip
            if named:
                order.linked_order_id, other.linked_order_id = other.order_id, order.order_id
                return

    def _fill(self, event: Event) -> None:
        flags, lots, order = event.flags, event.quantity_lots, self._orders[event.order_id]
        notional = event.price_ticks * lots * self.books[event.instrument].quote_units
        order.filled_lots += lots
        order.remaining_lots = event.remaining_lots
        order.notional_units += notional
        order.fee_units += event.amount_units
        order.fills += 1
        order.updated_ns = event.received_ns
        fill = Fill(
            event.account, event.order_id, event.reference, event.instrument, order.side, bool(flags & MAKER),
            event.price_ticks, lots, notional, event.amount_units, event.received_ns, event.sequence, event.n,
        )  # fmt: skip
        fill.previous, order.last_fill = order.last_fill, fill
        self._keep_fill(fill)
        if flags & DONE:
            self._end(order, OrderStatus.FILLED, event.sequence)
        else:
            order.status = OrderStatus.PARTLY
        told = self._told
        if told.balances:
            self._touched.add((event.account, event.instrument))
        for tell in told.order:
            tell(order, event, fill)

    def _keep_fill(self, fill: Fill) -> None:
        mine = _kept_of(self._fills, fill.account, fill.instrument)
        mine.things.append(fill)
        self._filled.append(mine)
        if len(self._filled) > self.orders_kept:
            gone = self._filled.popleft().drop_first()
            gone.previous = None  # else the chain of an order that fills for ever would keep all of them
            self.fills_from = gone.sequence + 1

    def _cancelled(self, event: Event) -> None:
        order = self._orders[event.order_id]
        order.remaining_lots, order.updated_ns = event.remaining_lots, event.received_ns
        if event.flags & DONE:
            order.code = event.code
            if event.code == v.Code.CANCELLED_AMOUNT_REACHED and order.filled_lots:
                self._end(order, OrderStatus.FILLED, event.sequence)  # it got what it asked for: an amount
            else:
                ended = OrderStatus.EXPIRED if event.code in _ENDED_BY_RULE else OrderStatus.CANCELLED
                self._end(order, ended, event.sequence)
        else:
            order.quantity_lots -= event.quantity_lots
        told = self._told
        if told.balances:
            self._touched.add((event.account, event.instrument))
        for tell in told.order:
            tell(order, event, None)

    def _replaced(self, event: Event) -> None:
        order = self._orders[event.order_id]
        order.price_ticks, order.quantity_lots = event.price_ticks, event.quantity_lots
        order.remaining_lots, order.updated_ns = event.remaining_lots, event.received_ns
        told = self._told
        if told.balances:
            self._touched.add((event.account, event.instrument))
        for tell in told.order:
            tell(order, event, None)

    def _triggered(self, event: Event) -> None:
        order = self._orders[event.order_id]
        order.status, order.remaining_lots = OrderStatus.OPEN, event.remaining_lots
        order.updated_ns = order.working_ns = event.received_ns
        for tell in self._told.order:
            tell(order, event, None)

    def _end(self, order: Order, status: OrderStatus, sequence: int) -> None:
        order.status = status
        if order.linked_order_id:
            other = self._orders.get(order.linked_order_id)
            if other is not None and other.linked_order_id == order.order_id:
                other.linked_order_id = 0
        self._open[order.account].pop(order.order_id, None)
        self._ended.append((order, sequence))
        if len(self._ended) > self.orders_kept:
            self._drop(*self._ended.popleft())

    def _drop(self, order: Order, sequence: int) -> None:
        orders = self._orders
        del orders[order.order_id]
        self._of_account[order.account][order.instrument].drop(lambda one: one.order_id in orders)
        if self._by_text.get((order.account, order.client_text)) is order:
            del self._by_text[order.account, order.client_text]
        if order.client_order_id & HASHED:
            self._unnamed.pop((order.account, order.client_order_id), None)
        self.orders_from, self.orders_need = max(self.orders_from, order.order_id + 1), sequence

    def _trade(self, event: Event) -> None:
        book, lots, ticks, flags = self.books[event.instrument], event.quantity_lots, event.price_ticks, event.flags
        trade = Trade(
            event.instrument, event.reference, ticks, lots, ticks * lots * book.quote_units,
            SELL_SIDE if flags & SELL else BUY_SIDE, event.received_ns, event.order_id, event.client_order_id,
            event.sequence, bool(flags & AUCTION),
        )  # fmt: skip
        kept = book.trades
        kept.append(trade)
        if len(kept) >= 2 * self.trades_kept:
            book.trades_need = kept[-self.trades_kept - 1].sequence
            del kept[: -self.trades_kept]
        book.candles.add(trade)
        for tell in self._told.trade:
            tell(trade)

    def _level(self, event: Event) -> None:
        book = self.books[event.instrument]
        book.update_id = event.reference
        for tape in book.tapes:
            (tape.asks if event.flags & SELL else tape.bids)[event.price_ticks] = event.quantity_lots
            tape.last_id, tape.received_ns = event.reference, event.received_ns
        for tell in self._told.level:
            tell(event)

    def _top(self, event: Event) -> None:
        book = self.books[event.instrument]
        top = book.top
        if event.flags & SELL:
            top.ask_ticks, top.ask_lots = event.price_ticks, event.quantity_lots
        else:
            top.bid_ticks, top.bid_lots = event.price_ticks, event.quantity_lots
        top.update_id = book.update_id
        for tell in self._told.top:
            tell(event)

    def _level3(self, event: Event) -> None:
        self.books[event.instrument].level3_id = event.reference
        for tell in self._told.level3:
            tell(event)

    def _state(self, event: Event) -> None:
        for tell in self._told.state:
            tell(event)

    def _balance(self, event: Event) -> None:
        told = self._told
        if told.balances:
            self._moved.add((event.account, event.instrument))
        for tell in told.money:
            tell(event)

    def _checksum(self, event: Event) -> None:
        for tell in self._told.checksum:
            tell(event)

    def _corrected(self, event: Event) -> None:
        told = self._told
        if event.account and told.balances:
            self._touched.add((event.account, event.instrument))
        for tell in told.correction:
            tell(event)


def _kept_of(kept: dict[int, dict[int, Kept[Thing]]], account: int, instrument: int) -> Kept[Thing]:
    mine = kept.get(account)
    if mine is None:
        mine = kept[account] = {}
    found = mine.get(instrument)
    if found is None:
        found = mine[instrument] = Kept()
    return found


class _Books(dict[int, Book]):
    """Books by number; one that is asked for the first time begins as the core has it."""

    def __init__(self, mirror: Mirror) -> None:
        super().__init__()
        self._mirror = mirror

    def __missing__(self, number: int) -> Book:
        core = self._mirror.core
        told: Any = core.instrument(number)
        if told is None:
            raise KeyError(number)
        book = self[number] = Book(told)
        return book
