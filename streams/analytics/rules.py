"""What analytics computes: pure folds of one event into one state. No Kafka, no database, no clock.

States are plain dicts of whole numbers and texts, so that they go to JSON and back unchanged. Each carries its own
mark, `marks`: shard -> [seq, n, received_ns] of the last event in it; what is not above it is a repeat and is dropped.
State and mark are one value: whoever has stored the state has stored how far it goes.

Positions are at average cost: ironbook/average_cost.py has the rule. A bust or correction comes as lots and cash
(`position_change_lots`, `amount_units`), fees included, and is a flow like any other; cash without lots (a corrected
price) is realised at once. It is neither a fill nor a win nor a loss.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from ironbook.average_cost import flow, share

Event = Mapping[str, Any]
State = dict[str, Any]
Marks = dict[int, list[int]]

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
MINUTE_NS = 60 * SECOND_NS
INTERVALS = (("1s", SECOND_NS), ("1m", MINUTE_NS), ("5m", 5 * MINUTE_NS), ("1h", 60 * MINUTE_NS), ("1d", DAY_NS))
DEPTH_LEVEL_COUNT = 10
DELAY_SAMPLES_MAX = 4096  # of one second; the first ones stand for the rest


def advance(marks: Marks, event: Event) -> bool:
    """Is an event above the mark? If so the mark is there now."""
    seq, n = event["seq"], event["n"]
    mark = marks.get(event["shard"])
    if mark is None:
        marks[event["shard"]] = [seq, n, event["received_ns"]]
        return True
    if seq < mark[0] or (seq == mark[0] and n <= mark[1]):
        return False
    mark[0], mark[1], mark[2] = seq, n, event["received_ns"]
    return True


def last_mark(marks: Marks) -> tuple[int, int, int, int]:
    """(shard, seq, n, received_ns) of the newest event; all 0 if there is none."""
    if not marks:
        return 0, 0, 0, 0
    shard = next(iter(marks)) if len(marks) == 1 else max(marks, key=lambda name: marks[name][2])
    seq, n, received_ns = marks[shard]
    return shard, seq, n, received_ns


def to_json(state: State) -> bytes:
    """A state as JSON; shards become texts there."""
    return orjson.dumps(state, option=orjson.OPT_NON_STR_KEYS)


def from_json(text: bytes | str) -> State:
    """The state that to_json told of."""
    state: State = orjson.loads(text)
    state["marks"] = {int(shard): mark for shard, mark in state["marks"].items()}
    return state


@functools.lru_cache(maxsize=4096)
def _day_text(day_index: int) -> str:
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day_index)).isoformat()


def day_of(time_ns: int) -> str:
    """The day (UTC) of a time, YYYY-MM-DD."""
    return _day_text(time_ns // DAY_NS)


# ---- positions and daily profit and loss ---------------------------------------------------------------------------


def new_position(event: Event) -> State:
    """No position yet of an account in a symbol."""
    return {
        "marks": {},
        "firm": event["firm"],
        "account": event["account"],
        "symbol": event["symbol"],
        "instrument": event["instrument"],
        "position_lots": 0,
        "cost_units": 0,
        "realised_units": 0,
        "fees_units": 0,
        "bought_lots": 0,
        "sold_lots": 0,
        "fill_count": 0,
        "winning_count": 0,
        "losing_count": 0,
        "price_ticks": 0,  # the last price known, and which record told it
        "price_seq": 0,
        "day": new_day(day_of(event["received_ns"])),
    }


def new_day(day: str) -> State:
    """Nothing happened on a day yet."""
    return {
        "day": day,
        "realised_units": 0,
        "fees_units": 0,
        "fill_count": 0,
        "winning_count": 0,
        "losing_count": 0,
        "profit_units": 0,
        "loss_units": 0,
        "volume_units": 0,
    }


def enter_day(position: State, time_ns: int) -> State:
    """The day's figures; new ones when a day has begun."""
    day: State = position["day"]
    name = _day_text(time_ns // DAY_NS)
    if day["day"] < name:
        day = position["day"] = new_day(name)
    return day


def fold_fill(position: State, fill: Event) -> bool:
    """A fill into its position; False if it is a repeat."""
    if not advance(position["marks"], fill):
        return False
    day = enter_day(position, fill["received_ns"])
    lots, notional_units, fee_units = fill["quantity_lots"], fill["notional_units"], fill["fee_units"]
    if fill["side"] == "buy":
        realised = flow(position, lots, -notional_units)
        position["bought_lots"] += lots
    else:
        realised = flow(position, -lots, notional_units)
        position["sold_lots"] += lots
    if realised:
        position["realised_units"] += realised
        day["realised_units"] += realised
        outcome = "winning_count" if realised > 0 else "losing_count"
        position[outcome] += 1
        day[outcome] += 1
        day["profit_units" if realised > 0 else "loss_units"] += abs(realised)
    position["fees_units"] += fee_units
    position["fill_count"] += 1
    position["price_ticks"], position["price_seq"] = fill["price_ticks"], fill["seq"]
    day["fees_units"] += fee_units
    day["fill_count"] += 1
    day["volume_units"] += notional_units
    return True


def fold_adjustment(position: State, adjustment: Event) -> bool:
    """A bust or correction into the position it changes; False if it is a repeat."""
    if not advance(position["marks"], adjustment):
        return False
    day = enter_day(position, adjustment["received_ns"])
    realised = flow(position, adjustment["position_change_lots"], adjustment["amount_units"])
    position["realised_units"] += realised
    day["realised_units"] += realised
    return True


def unrealised_units(position: State, quote_units_per_tick_lot: int) -> int:
    """Profit of what is open, at the last price known; 0 when there is none."""
    if position["price_seq"] == 0 or position["position_lots"] == 0:
        return 0
    value: int = position["position_lots"] * position["price_ticks"] * quote_units_per_tick_lot
    return value - int(position["cost_units"])


def remark(position: State, price_ticks: int, price_seq: int, time_ns: int) -> bool:
    """A newer price; does it change what is open? A day without fills begins with it."""
    if price_seq <= position["price_seq"]:
        return False
    changed: bool = price_ticks != position["price_ticks"] and position["position_lots"] != 0
    position["price_ticks"], position["price_seq"] = price_ticks, price_seq
    if changed:
        enter_day(position, time_ns)
    return changed


# ---- accounts ------------------------------------------------------------------------------------------------------


def new_account(event: Event) -> State:
    """An account of which nothing is known yet."""
    return {
        "marks": {},
        "event_count": 0,
        "firm": event["firm"],
        "account": event["account"],
        "orders_count": 0,
        "rejected_count": 0,
        "cancelled_count": 0,
        "filled_orders_count": 0,
        "fill_count": 0,
        "ordered_lots": 0,
        "filled_lots": 0,
        "volume_units": 0,
        "part_filled": {},  # open orders that have filled in part, so that an order counts once
    }


def fold_account(account: State, event: Event) -> bool:
    """A report into the counts of its account; False if it is a repeat.

    Wins and losses are counted with the position, which knows them: a state may depend on no other's, for after a
    crash one may be older than the other.
    """
    if not advance(account["marks"], event):
        return False
    account["event_count"] += 1
    kind = event["type"]
    if kind == "accepted":
        account["orders_count"] += 1
        account["ordered_lots"] += event["quantity_lots"]
    elif kind == "filled":
        account["fill_count"] += 1
        account["filled_lots"] += event["quantity_lots"]
        account["volume_units"] += event["notional_units"]
        order, part_filled = f"{event['shard']}:{event['order_id']}", account["part_filled"]
        if order not in part_filled:
            account["filled_orders_count"] += 1
            if not event["done"]:
                part_filled[order] = 1
        elif event["done"]:
            del part_filled[order]
    elif kind == "cancelled":
        if event["done"]:
            account["cancelled_count"] += 1
            account["part_filled"].pop(f"{event['shard']}:{event['order_id']}", None)
    elif kind == "rejected":
        account["rejected_count"] += 1
    return True


# ---- symbols: candles and the book ---------------------------------------------------------------------------------


def new_symbol(event: Event) -> State:
    """A symbol that has not traded yet."""
    return {
        "marks": {},
        "symbol": event["symbol"],
        "instrument": event["instrument"],
        "candles": {},
        "bar": None,
        "book": {
            "top_seq": 0,  # marks of their own: records as of which the best prices and the depth stand
            "depth_seq": 0,
            "time_ns": 0,
            "bid_depth_lots": 0,
            "ask_depth_lots": 0,
            "imbalance_ppm": 0,
        },
        "delays": {"second": 0},
    }


def _new_candle(bar: State, interval: str, start_ns: int, end_ns: int) -> State:
    return {**bar, "interval": interval, "start_ns": start_ns, "end_ns": end_ns}


def _new_bar(trade: Event) -> State:
    price, text = trade["price_ticks"], trade["price"]
    return {
        "second": trade["received_ns"] // SECOND_NS,
        "open_ticks": price,
        "high_ticks": price,
        "low_ticks": price,
        "close_ticks": price,
        "volume_lots": 0,
        "notional_units": 0,
        "buy_volume_lots": 0,
        "trade_count": 0,
        "first_trade_id": trade["trade_id"],
        "last_trade_id": 0,
        "open": text,
        "high": text,
        "low": text,
        "close": text,
        "mark": None,
    }


def fold_trade(symbol: State, trade: Event, closed: list[State]) -> bool:
    """A print into its symbol; False if it is a repeat.

    Trades of one second gather in a bar, and `settle` adds the bar to the candle of each interval: when the second is
    over, and before the state is stored or told. The day's figures are those of the candle 1d. Candles say what was
    printed: a bust or correction later does not rewrite them. (received_ns never falls within a shard, and a symbol has
    one shard, so a trade never belongs to a candle that is over.) Candles that are over go to `closed`.
    """
    if not advance(symbol["marks"], trade):
        return False
    bar = symbol["bar"]
    if bar is None or bar["second"] != trade["received_ns"] // SECOND_NS:
        settle(symbol, closed)
        bar = symbol["bar"] = _new_bar(trade)
    lots, price = trade["quantity_lots"], trade["price_ticks"]
    if price > bar["high_ticks"]:
        bar["high_ticks"], bar["high"] = price, trade["price"]
    elif price < bar["low_ticks"]:
        bar["low_ticks"], bar["low"] = price, trade["price"]
    bar["close_ticks"], bar["close"], bar["last_trade_id"] = price, trade["price"], trade["trade_id"]
    bar["mark"] = trade
    bar["volume_lots"] += lots
    bar["notional_units"] += trade["notional_units"]
    bar["trade_count"] += 1
    if trade["side"] == "buy":
        bar["buy_volume_lots"] += lots
    return True


def settle(symbol: State, closed: list[State]) -> None:
    """The bar of the present second goes into the candles of its symbol; none is left."""
    bar, symbol["bar"] = symbol["bar"], None
    if bar is None:
        return
    time_ns = bar.pop("second") * SECOND_NS
    last = bar["mark"]
    bar["mark"] = [last["shard"], last["seq"], last["n"], last["received_ns"]]
    candles: dict[str, State] = symbol["candles"]
    for interval, length_ns in INTERVALS:
        candle = candles.get(interval)
        if candle is not None and time_ns < candle["end_ns"]:
            _add_bar(candle, bar)
            continue
        if candle is not None:
            closed.append(candle)
        start_ns = time_ns - time_ns % length_ns
        candles[interval] = _new_candle(bar, interval, start_ns, start_ns + length_ns)


def _add_bar(candle: State, bar: State) -> None:
    if bar["high_ticks"] > candle["high_ticks"]:
        candle["high_ticks"], candle["high"] = bar["high_ticks"], bar["high"]
    if bar["low_ticks"] < candle["low_ticks"]:
        candle["low_ticks"], candle["low"] = bar["low_ticks"], bar["low"]
    for name in ("close_ticks", "close", "last_trade_id", "mark"):
        candle[name] = bar[name]
    for name in ("volume_lots", "notional_units", "buy_volume_lots", "trade_count"):
        candle[name] += bar[name]


def fold_delay(delays: State, samples: list[int], time_ns: int, delay_us: int) -> bool:
    """The delay of a message into the present second's; when a second has passed its quantiles are known (True).

    delays: {"second", "p50"?, "p99"?}; samples: of the present second, kept apart for they are not worth storing.
    """
    second = time_ns // SECOND_NS
    done = False
    if second > delays["second"]:
        if samples:
            samples.sort()
            delays["p50"] = samples[(len(samples) - 1) // 2]
            delays["p99"] = samples[(len(samples) - 1) * 99 // 100]
            samples.clear()
            done = True
        delays["second"] = second
    if len(samples) < DELAY_SAMPLES_MAX:
        samples.append(max(delay_us, 0))
    return done


def fold_top(book: State, top: Event) -> bool:
    """The best bid and ask into what is known of the book; False if it is a repeat."""
    if top["seq"] <= book["top_seq"]:
        return False
    book["top_seq"] = top["seq"]
    bid, ask = top.get("bid_price_ticks"), top.get("ask_price_ticks")
    if bid is None or ask is None:
        book.pop("spread_ticks", None)
    else:
        book["spread_ticks"] = ask - bid
    book["time_ns"] = max(book["time_ns"], top["received_ns"])
    return True


def fold_snapshot(book: State, snapshot: Event) -> bool:
    """The ten best levels into what is known of the book; False if it is a repeat."""
    if snapshot["seq"] <= book["depth_seq"]:
        return False
    book["depth_seq"] = snapshot["seq"]
    bid_lots, ask_lots = _depth(snapshot["bids"]), _depth(snapshot["asks"])
    book["bid_depth_lots"], book["ask_depth_lots"] = bid_lots, ask_lots
    book["imbalance_ppm"] = imbalance_ppm(bid_lots, ask_lots)
    book["time_ns"] = max(book["time_ns"], snapshot["received_ns"])
    return True


def imbalance_ppm(bid_lots: int, ask_lots: int) -> int:
    """(bid - ask) / (bid + ask) in millionths, its magnitude floored; 0 of an empty book."""
    total = bid_lots + ask_lots
    return share(bid_lots - ask_lots, 1_000_000, total) if total else 0


def _depth(levels: Sequence[Sequence[Any]]) -> int:
    return sum(level[3] for level in levels[:DEPTH_LEVEL_COUNT])


# ---- decimals ------------------------------------------------------------------------------------------------------


def decimal_text(digits: int, decimals: int) -> str:
    """An integer of 10^-decimals as text: (-12345, 2) is -123.45."""
    if decimals == 0:
        return str(digits)
    text = str(abs(digits)).rjust(decimals + 1, "0")
    return f"{'-' if digits < 0 else ''}{text[:-decimals]}.{text[-decimals:]}"


def quantity_text(lots: int, instrument: Event) -> str:
    """Lots as a decimal quantity, with the digits of the instrument."""
    decimals: int = instrument["quantity_decimals"]
    scale = instrument["base_decimals"] - decimals
    units = lots * int(instrument["base_units_per_lot"])
    return decimal_text(units // 10**scale if scale >= 0 else units * 10**-scale, decimals)


def vwap_text(notional_units: int, volume_lots: int, instrument: Event) -> str | None:
    """Notional / volume as a decimal price with the digits of the instrument, floored; None without volume."""
    if volume_lots <= 0:
        return None
    decimals: int = instrument["price_decimals"]
    digits = notional_units * 10 ** (instrument["base_decimals"] + decimals)
    base_units = volume_lots * int(instrument["base_units_per_lot"])
    return decimal_text(digits // (base_units * 10 ** instrument["quote_decimals"]), decimals)
