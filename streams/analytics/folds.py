"""Folds of whole topics: many events into keyed states and rows, and at each flush what has changed since the last.

A fold belongs to one partition number of a group of topics (a firm has the same partition in all topics keyed by firm;
so has a symbol), so that it can be handed over whole. It is pure: events in, `Changes` out. Who drives it (a worker
behind Kafka, or one process over a replica) stores the changes and only then calls the events done.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from streams.analytics import rules
from streams.analytics.rows import ALERT, AUDIT, KEY, REJECTION, SHAPES, Misshapen, Row, Shape, signed_64

Event = dict[str, Any]
State = dict[str, Any]

REMARKS_MAX = 500  # positions revalued in one flush; the rest waits for the next


@dataclasses.dataclass(slots=True, kw_only=True)
class Mark:
    """How far a source partition is folded: everything below next_offset; (shard, seq, n) of its last event."""

    next_offset: int
    shard: int = 0
    seq: int = 0
    n: int = 0


@dataclasses.dataclass(slots=True, kw_only=True)
class Message:
    """One event for a compacted topic. partition_key: a firm's number or a symbol decide the partition, as text."""

    topic: str
    partition_key: str
    key: str
    event: State


@dataclasses.dataclass(slots=True, kw_only=True)
class Changes:
    """What a flush stores: rows for the database, states by key, messages, and the marks that go with them.

    States are JSON texts: what the fold holds goes on changing while they are being stored.
    """

    rows: dict[str, list[Row]] = dataclasses.field(default_factory=dict)
    states: dict[str, bytes] = dataclasses.field(default_factory=dict)  # by key, such as positions/1:BTC/USD
    messages: list[Message] = dataclasses.field(default_factory=list)
    marks: dict[tuple[str, int], Mark] = dataclasses.field(default_factory=dict)
    event_count: int = 0

    def add(self, topic: str, partition_key: str, key: str, event: State) -> None:
        """A message more."""
        self.messages.append(Message(topic=topic, partition_key=partition_key, key=key, event=event))


def merge(parts: Sequence[Changes]) -> Changes:
    """The changes of several folds as one."""
    merged = Changes()
    for part in parts:
        for table, rows in part.rows.items():
            merged.rows.setdefault(table, []).extend(rows)
        merged.states |= part.states
        merged.messages += part.messages
        merged.marks |= part.marks
        merged.event_count += part.event_count
    return merged


@dataclasses.dataclass(slots=True, kw_only=True)
class Refused:
    """An event that could not be folded: its place in the message, and why."""

    index: int
    code: str
    text: str


Apply = Callable[[Event, int], None]


class Fold:
    """Common to all folds: events by topic and type, marks of the source, rows gathered until the next flush."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self._changes = Changes()
        self._handlers: dict[str, Callable[[Sequence[Event], int, int], list[Refused]]] = {}

    def apply(self, topic: str, offset: int, timestamp_ns: int, events: Sequence[Event]) -> list[Refused]:
        """Fold a message: events of one topic at an offset. What could not be folded is left out and told."""
        refused = self._handlers[topic](events, offset, timestamp_ns)
        changes = self._changes
        changes.event_count += len(events)
        mark = changes.marks.get((topic, self.partition))
        if mark is None:
            mark = changes.marks[topic, self.partition] = Mark(next_offset=offset + 1)
        mark.next_offset = offset + 1
        if events and not refused:
            last = events[-1]
            mark.shard, mark.seq, mark.n = last.get("shard", 0), last.get("seq", 0), last.get("n", 0)
        return refused

    @property
    def pending(self) -> bool:
        """Is there anything to flush?"""
        return bool(self._changes.marks)

    def take(self) -> Changes:
        """All that changed since the last time."""
        self._gather(self._changes)
        changes, self._changes = self._changes, Changes()
        return changes

    def load(self, key: str, stored: bytes | str) -> None:
        """A state as it was stored. A fold without states has none to take."""

    def _gather(self, changes: Changes) -> None:
        """Rows, states and messages of what is dirty."""

    def _rows(self, table: str) -> list[Row]:
        return self._changes.rows.setdefault(table, [])

    def _each(self, apply: Apply) -> Callable[[Sequence[Event], int, int], list[Refused]]:
        """One event at a time; an event that does not fit is refused alone."""

        def all_of(events: Sequence[Event], offset: int, timestamp_ns: int) -> list[Refused]:
            refused = []
            for index, event in enumerate(events):
                try:
                    apply(event, index)
                except Misshapen as error:
                    refused.append(Refused(index=index, code=error.code, text=str(error)))
            return refused

        return all_of


def shape_of(shapes: Mapping[str, Shape], event: Event) -> Shape:
    """The shape of an event's type. Raises Misshapen."""
    try:
        return shapes[event["type"]]
    except (KeyError, TypeError):
        raise Misshapen(f"the type must be one of {', '.join(shapes)}, was {event.get('type')!r}") from None


class FirmFold(Fold):
    """Accounts: positions, profit and loss, statistics; and rows of executions, balances, rejections, alerts, audit."""

    def __init__(self, partition: int, instruments: Mapping[str, Event]) -> None:
        super().__init__(partition)
        self.positions: dict[tuple[int, str], State] = {}
        self.accounts: dict[int, State] = {}
        self._instruments = instruments
        self._dirty_positions: dict[tuple[int, str], State] = {}
        self._dirty_accounts: dict[int, State] = {}
        self._dirty_days: dict[tuple[int, str, str], tuple[State, State]] = {}
        self._balances: dict[tuple[int, int, str], Row] = {}
        self._held: dict[str, dict[tuple[int, str], State]] = {}  # symbol -> positions in it
        self._owned: dict[int, list[State]] = {}  # account -> its positions
        self._remarks: dict[tuple[int, str], State] = {}
        self._prices: dict[str, tuple[int, int, int]] = {}  # symbol -> (price_ticks, seq, received_ns)
        self._handlers = {
            "executions": self._executions,
            "balances": self._each(self._balance),
            "orders.rejected": self._each(self._rejection),
            "risk.alerts": self._each(self._alert),
            "risk.audit": self._each(self._audit),
        }

    def load(self, key: str, stored: bytes | str) -> None:
        """A state as it was stored."""
        state = rules.from_json(stored)
        if key.startswith("accounts/"):
            self.accounts[state["account"]] = state
        else:
            place = (state["account"], state["symbol"])
            state["day"] = rules.new_day("") | state["day"]  # a state of an earlier release lacks figures
            self.positions[place] = state
            self._hold(place, state)

    def _hold(self, place: tuple[int, str], position: State) -> None:
        self._held.setdefault(place[1], {})[place] = position
        self._owned.setdefault(place[0], []).append(position)

    @property
    def pending(self) -> bool:
        """Is there anything to flush?"""
        return super().pending or bool(self._remarks)

    def price(self, symbol: str, price_ticks: int, seq: int, time_ns: int) -> None:
        """A newer last price of a symbol: its positions are revalued at the next flushes."""
        known = self._prices.get(symbol)
        if known is not None and seq <= known[1]:
            return
        self._prices[symbol] = (price_ticks, seq, time_ns)
        if known is None or known[0] != price_ticks:
            self._remarks.update(self._held.get(symbol, {}))

    def _executions(self, events: Sequence[Event], offset: int, timestamp_ns: int) -> list[Refused]:
        refused: list[Refused] = []
        add, shapes = self._rows("executions").append, SHAPES["executions"]
        accounts, dirty = self.accounts, self._dirty_accounts
        for index, event in enumerate(events):
            try:
                add(shape_of(shapes, event).row(event))
            except Misshapen as error:
                refused.append(Refused(index=index, code=error.code, text=str(error)))
                continue
            kind = event["type"]
            if kind == "filled":
                self._fill(event, rules.fold_fill)
            elif kind == "adjustment":
                self._fill(event, rules.fold_adjustment)
            key = event["account"]
            account = accounts.get(key)
            if account is None:
                account = accounts[key] = rules.new_account(event)
            if rules.fold_account(account, event):
                dirty[key] = account
        return refused

    def _fill(self, event: Event, fold: Callable[[State, Event], bool]) -> None:
        key = (event["account"], event["symbol"])
        position = self.positions.get(key)
        if position is None:
            position = self.positions[key] = rules.new_position(event)
            self._hold(key, position)
        if fold(position, event):
            self._dirty_positions[key] = position
            day = position["day"]
            self._dirty_days[*key, day["day"]] = (position, day)

    def _balance(self, event: Event, index: int) -> None:
        kind = event.get("type")
        row = shape_of(SHAPES["balances"], event).row(event)
        if kind != "balance":
            self._rows("cash_flows").append(row)
            row = SHAPES["balances"]["balance"].row(event)
        key = (event["shard"], event["account"], event["asset"])
        known = self._balances.get(key)
        if known is None or row[1:3] >= known[1:3]:
            self._balances[key] = row

    def _rejection(self, event: Event, index: int) -> None:
        place = event.get("place")
        if not isinstance(place, Mapping):
            raise Misshapen("a rejection must have the field place")
        self._rows("order_rejections").append(REJECTION.row({**event, **place}))

    def _alert(self, event: Event, index: int) -> None:
        renamed = {**event, "limit_value": event.get("limit"), "found_value": event.get("found")}
        self._rows("alerts").append(ALERT.row(renamed))

    def _audit(self, event: Event, index: int) -> None:
        texts: State = {name: orjson.dumps(event[name]).decode() for name in ("before", "after") if name in event}
        self._rows("audit").append(AUDIT.row({**event, **texts}))

    # ---- flush -----------------------------------------------------------------------------------------------------

    def _gather(self, changes: Changes) -> None:
        self._remark_some()
        if self._balances:
            changes.rows["balances"] = list(self._balances.values())
            self._balances = {}
        self._gather_positions(changes)
        self._gather_days(changes)
        self._gather_accounts(changes)

    def _remark_some(self) -> None:
        for key in list(self._remarks)[:REMARKS_MAX]:
            position = self._remarks.pop(key)
            price_ticks, seq, time_ns = self._prices[position["symbol"]]
            if rules.remark(position, price_ticks, seq, time_ns):
                self._dirty_positions[key] = position
                day = position["day"]
                self._dirty_days[*key, day["day"]] = (position, day)

    def _gather_positions(self, changes: Changes) -> None:
        if not self._dirty_positions:
            return
        rows = changes.rows.setdefault("positions", [])
        for (account, symbol), position in self._dirty_positions.items():
            key = f"{account}:{symbol}"
            rows.append(position_row(position))
            changes.add("positions", str(account), key, position_event(position))
            changes.states[f"positions/{key}"] = rules.to_json(position)
        self._dirty_positions = {}

    def _gather_days(self, changes: Changes) -> None:
        if not self._dirty_days:
            return
        rows = changes.rows.setdefault("daily_pnl", [])
        for (account, symbol, name), (position, day) in self._dirty_days.items():
            instrument = self._instruments.get(symbol)
            unrealised = 0
            if instrument is not None:
                unrealised = rules.unrealised_units(position, instrument["quote_units_per_tick_lot"])
            rows.append(day_row(position, day, unrealised))
            changes.add("pnl", str(account), f"{account}:{symbol}:{name}", day_event(position, day, unrealised))
        self._dirty_days = {}

    def _gather_accounts(self, changes: Changes) -> None:
        if not self._dirty_accounts:
            return
        rows = changes.rows.setdefault("trade_statistics", [])
        for key, account in self._dirty_accounts.items():
            owned = self._owned.get(key, ())
            rows.append(account_row(account, owned))
            changes.add("statistics", str(key), f"account:{key}", account_event(account, owned))
            changes.states[f"accounts/{key}"] = rules.to_json(account)
        self._dirty_accounts = {}


class SymbolFold(Fold):
    """Symbols: candles, the day's figures, spread and depth, topic delay; and rows of trades and market states."""

    def __init__(self, partition: int, instruments: Mapping[str, Event]) -> None:
        super().__init__(partition)
        self.symbols: dict[str, State] = {}
        self._instruments = instruments
        self._samples: dict[str, list[int]] = {}
        self._dirty_symbols: dict[str, State] = {}
        self._traded: dict[str, State] = {}  # symbols whose candles have changed
        self._closed: dict[str, list[State]] = {}  # symbol -> candles that are over since the last flush
        self._handlers = {
            "trades": self._trades,
            "book.top": self._each(self._top),
            "book.snapshots": self._each(self._snapshot),
            "market.state": self._each(self._market_state),
        }

    def load(self, key: str, stored: bytes | str) -> None:
        """A state as it was stored."""
        state = rules.from_json(stored)
        self.symbols[state["symbol"]] = state

    def _symbol(self, event: Event) -> State:
        key = event["symbol"]
        symbol = self.symbols.get(key)
        if symbol is None:
            symbol = self.symbols[key] = rules.new_symbol(event)
        return symbol

    def _trades(self, events: Sequence[Event], offset: int, timestamp_ns: int) -> list[Refused]:
        refused: list[Refused] = []
        add, shapes = self._rows("trades").append, SHAPES["trades"]
        for index, event in enumerate(events):
            try:
                row = shape_of(shapes, event).row(event)
                if event["type"] == "trade" and type(event.get("price")) is not str:
                    raise Misshapen(f"the field price must be str, was {event.get('price')!r}")
            except Misshapen as error:
                refused.append(Refused(index=index, code=error.code, text=str(error)))
                continue
            add(row)
            if event["type"] != "trade":
                continue
            key = event["symbol"]
            symbol = self.symbols.get(key)
            if symbol is None:
                symbol = self.symbols[key] = rules.new_symbol(event)
            if rules.fold_trade(symbol, event, self._closed.setdefault(key, [])):
                self._traded[key] = self._dirty_symbols[key] = symbol
                delay_us = (timestamp_ns - event["received_ns"]) // 1000
                rules.fold_delay(symbol["delays"], self._samples.setdefault(key, []), timestamp_ns, delay_us)
        return refused

    def _top(self, event: Event, index: int) -> None:
        self._book(event, rules.fold_top)

    def _snapshot(self, event: Event, index: int) -> None:
        self._book(event, rules.fold_snapshot)

    def _book(self, event: Event, fold: Callable[[State, Event], bool]) -> None:
        try:
            symbol = self._symbol(event)
            if fold(symbol["book"], event):
                self._dirty_symbols[event["symbol"]] = symbol
        except (KeyError, TypeError, IndexError) as error:
            raise Misshapen(f"a book's event must be as its schema says: {error!r}") from None

    def _market_state(self, event: Event, index: int) -> None:
        self._rows("market_states").append(shape_of(SHAPES["market.state"], event).row(event))

    # ---- flush -----------------------------------------------------------------------------------------------------

    def _gather(self, changes: Changes) -> None:
        if self._traded:
            rows = changes.rows.setdefault("candles", [])
            for key, symbol in self._traded.items():
                instrument, closed = self._instruments.get(key), self._closed[key]
                rules.settle(symbol, closed)
                for candle in (*closed, *symbol["candles"].values()):
                    rows.append(candle_row(symbol, candle))
                    name = f"{key}:{candle['interval']}:{candle['start_ns']}"
                    changes.add("candles", key, name, candle_event(symbol, candle, instrument))
            self._traded, self._closed = {}, {}
        if self._dirty_symbols:
            rows = changes.rows.setdefault("symbol_statistics", [])
            for key, symbol in self._dirty_symbols.items():
                rows.append(symbol_row(symbol))
                changes.add("statistics", key, f"symbol:{key}", symbol_event(symbol, self._instruments.get(key)))
                changes.states[f"symbols/{key}"] = rules.to_json(symbol)
            self._dirty_symbols = {}


class ReferenceFold(Fold):
    """Rows of assets, instruments, accounts and keys, as they stand."""

    def __init__(self, partition: int) -> None:
        super().__init__(partition)
        self._latest: dict[str, dict[Any, Row]] = {}
        self._handlers = {
            "assets": self._each(functools.partial(self._defined, "assets", "asset_number")),
            "instruments": self._each(functools.partial(self._defined, "instruments", "instrument")),
            "accounts": self._each(functools.partial(self._defined, "accounts", "account")),
            "keys": self._keys,
        }

    def forget_key(self, key_id: str, offset: int) -> None:
        """A tombstone of the topic keys: the key is gone."""
        self._latest.setdefault("keys", {})[key_id] = (key_id, 0, 0, [], False, 0, "", offset)

    def _defined(self, table: str, key: str, event: Event, index: int) -> None:
        shape = shape_of(SHAPES[table], event)
        if "price_steps" in event:
            event = {**event, "price_steps": orjson.dumps(event["price_steps"]).decode()}
        self._latest.setdefault(table, {})[event.get(key)] = shape.row(event)

    def _keys(self, events: Sequence[Event], offset: int, timestamp_ns: int) -> list[Refused]:
        def one(event: Event, index: int) -> None:
            self._latest.setdefault("keys", {})[event.get("key_id")] = KEY.row({**event, "source_offset": offset})

        return self._each(one)(events, offset, timestamp_ns)

    def _gather(self, changes: Changes) -> None:
        for table, latest in self._latest.items():
            changes.rows[table] = list(latest.values())
        self._latest = {}


# ---- states as rows and as events ----------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def _date(day: str) -> datetime.date:
    return datetime.date.fromisoformat(day)


POSITION_FIELDS = (
    "firm",
    "account",
    "symbol",
    "instrument",
    "position_lots",
    "cost_units",
    "realised_units",
    "fees_units",
    "bought_lots",
    "sold_lots",
    "fill_count",
)


def _marked(state: State) -> State:
    return dict(zip(("shard", "seq", "n", "received_ns"), rules.last_mark(state["marks"]), strict=True))


def position_row(p: State) -> Row:
    """A row of positions."""
    return (
        *rules.last_mark(p["marks"]),
        p["account"],
        p["symbol"],
        p["firm"],
        p["instrument"],
        p["position_lots"],
        p["cost_units"],
        p["realised_units"],
        p["fees_units"],
        signed_64(p["bought_lots"]),
        signed_64(p["sold_lots"]),
        p["fill_count"],
    )


def position_event(p: State) -> State:
    """An event of the topic positions."""
    return {"type": "position", **_marked(p), **{name: p[name] for name in POSITION_FIELDS}}


def day_row(p: State, day: State, unrealised: int) -> Row:
    """A row of daily_pnl."""
    return (
        *rules.last_mark(p["marks"]),
        p["account"],
        p["symbol"],
        _date(day["day"]),
        p["firm"],
        day["realised_units"],
        day["fees_units"],
        unrealised,
        p["price_ticks"],
        p["price_seq"],
        day["fill_count"],
        day["winning_count"],
        day["losing_count"],
        signed_64(day["volume_units"]),
        day["profit_units"],
        day["loss_units"],
    )


def day_event(p: State, day: State, unrealised: int) -> State:
    """An event of the topic pnl."""
    whose = {name: p[name] for name in ("firm", "account", "symbol")}
    return {
        "type": "pnl",
        **_marked(p),
        **whose,
        **day,
        "unrealised_units": unrealised,
        "mark_price_ticks": p["price_ticks"],
    }


def _outcomes(positions: Sequence[State]) -> tuple[int, int]:
    return sum(p["winning_count"] for p in positions), sum(p["losing_count"] for p in positions)


def account_row(a: State, positions: Sequence[State]) -> Row:
    """A row of trade_statistics."""
    return (
        *rules.last_mark(a["marks"]),
        a["account"],
        a["firm"],
        a["orders_count"],
        a["rejected_count"],
        a["cancelled_count"],
        a["filled_orders_count"],
        a["fill_count"],
        signed_64(a["ordered_lots"]),
        signed_64(a["filled_lots"]),
        *_outcomes(positions),
        signed_64(a["volume_units"]),
        a["event_count"],
    )


def account_event(a: State, positions: Sequence[State]) -> State:
    """An event account_statistics of the topic statistics."""
    left_out = ("marks", "part_filled", "event_count")
    event = {"type": "account_statistics", **_marked(a)}
    event |= {name: value for name, value in a.items() if name not in left_out}
    event["winning_count"], event["losing_count"] = _outcomes(positions)
    return event


_NO_TRADES: State = {"trade_count": 0, "volume_lots": 0, "buy_volume_lots": 0, "notional_units": 0}


def _symbol_day(s: State) -> tuple[str, State]:
    """The newest day that is known of a symbol, and what was traded on it."""
    candle, book = s["candles"].get("1d"), s["book"]
    if candle is None or book["time_ns"] // rules.DAY_NS > candle["start_ns"] // rules.DAY_NS:
        return rules.day_of(book["time_ns"]), _NO_TRADES
    return rules.day_of(candle["start_ns"]), candle


def symbol_row(s: State) -> Row:
    """A row of symbol_statistics."""
    (day, traded), book, delays = _symbol_day(s), s["book"], s["delays"]
    return (
        *rules.last_mark(s["marks"]),
        s["symbol"],
        _date(day),
        s["instrument"],
        traded["trade_count"],
        signed_64(traded["volume_lots"]),
        signed_64(traded["buy_volume_lots"]),
        signed_64(traded["notional_units"]),
        book.get("spread_ticks"),
        signed_64(book["bid_depth_lots"]),
        signed_64(book["ask_depth_lots"]),
        book["imbalance_ppm"],
        delays.get("p50"),
        delays.get("p99"),
        max(book["top_seq"], book["depth_seq"]),
    )


def symbol_event(s: State, instrument: Event | None) -> State:
    """An event symbol_statistics of the topic statistics."""
    (day, traded), book, delays = _symbol_day(s), s["book"], s["delays"]
    event = {
        "type": "symbol_statistics",
        **_marked(s),
        "symbol": s["symbol"],
        "instrument": s["instrument"],
        "day": day,
    }
    event |= {name: traded[name] for name in ("trade_count", "volume_lots", "notional_units")}
    vwap = (
        rules.vwap_text(traded["notional_units"], traded["volume_lots"], instrument) if instrument is not None else None
    )
    if vwap is not None:
        event["vwap"] = vwap
    if "spread_ticks" in book:
        event["spread_ticks"] = book["spread_ticks"]
    event |= {name: book[name] for name in ("bid_depth_lots", "ask_depth_lots", "imbalance_ppm")}
    return event | {f"topic_delay_us_{name}": delays[name] for name in ("p50", "p99") if name in delays}


def candle_row(s: State, c: State) -> Row:
    """A row of candles."""
    return (
        *c["mark"],
        s["symbol"],
        c["interval"],
        c["start_ns"],
        s["instrument"],
        c["open_ticks"],
        c["high_ticks"],
        c["low_ticks"],
        c["close_ticks"],
        signed_64(c["volume_lots"]),
        signed_64(c["notional_units"]),
        signed_64(c["buy_volume_lots"]),
        c["trade_count"],
        c["first_trade_id"],
        c["last_trade_id"],
    )


def candle_event(s: State, c: State, instrument: Event | None) -> State:
    """An event of the topic candles."""
    event = {"type": "candle", **c, "symbol": s["symbol"], "instrument": s["instrument"]}
    event |= zip(("shard", "seq", "n", "received_ns"), event.pop("mark"), strict=True)
    del event["end_ns"]
    if instrument is not None:
        event["volume"] = rules.quantity_text(c["volume_lots"], instrument)
    return event
