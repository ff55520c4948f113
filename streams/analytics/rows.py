"""Rows of the database from events, and the check that an event is what its schema says.

A row is a tuple in the order of its table's columns. A `Shape` takes the fields of one type of event out of it, looks
at their types and bounds, and puts them in that order; whatever does not fit raises Misshapen, before any state is
touched. It is the hot path.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

Row = tuple[Any, ...]
Event = dict[str, Any]

I64_MAX = 2**63 - 1
U64_MAX = 2**64 - 1

MARK = "shard seq n received_ns"
REPORT = "firm account key report_number code"
ORDER = "symbol instrument side order_id client_order_id price_ticks quantity_lots remaining_lots done"

# Columns in the order of their rows. u64 values travel as signed 64-bit numbers of the same bits (UNSIGNED below).
COLUMNS: dict[str, tuple[str, ...]] = {}
for _line in (
    f"""
executions: {MARK} type {REPORT} {ORDER} order_type time_in_force post_only trade_id maker auction notional_units
    fee_units quote kind reference order_count kept_priority position_change_lots amount_units nonce text
trades: {MARK} type symbol instrument trade_id price_ticks quantity_lots side maker_order_id taker_order_id auction
    notional_units
cash_flows: {MARK} type firm account asset asset_number amount_units free_units locked_units reference
balances: {MARK} firm account asset asset_number free_units locked_units
market_states: {MARK} type scope state symbol instrument account auction_ends_ns breaker_level update_id price_ticks
    quantity_lots imbalance_lots side
order_rejections: topic partition offset index stage code text appended_ns key_id nonce firm account symbol
    client_order_id
alerts: alert_id code action scope firm account symbol limit_value found_value text time_ns
audit: audit_id who what firm account before after code seq time_ns
assets: {MARK} asset_number asset decimals
instruments: {MARK} instrument symbol base quote base_asset quote_asset base_decimals quote_decimals
    base_units_per_lot quote_units_per_tick_lot tick_size lot_size price_decimals quantity_decimals maker_fee_ppm
    taker_fee_ppm state quantity_lots_min quantity_lots_max notional_units_min collar_ppm reference_price_ticks
    price_steps
accounts: {MARK} account firm halted fee_tier open_orders_max order_rate_max order_rate_window_ms notional_units_max
    position_lots_max quantity_lots_max
keys: key_id number account permissions live secret_count version source_offset
positions: {MARK} account symbol firm instrument position_lots cost_units realised_units fees_units bought_lots
    sold_lots fill_count
daily_pnl: {MARK} account symbol day firm realised_units fees_units unrealised_units mark_price_ticks mark_price_seq
    fill_count winning_count losing_count volume_units profit_units loss_units
trade_statistics: {MARK} account firm orders_count rejected_count cancelled_count filled_orders_count fill_count
    ordered_lots filled_lots winning_count losing_count volume_units event_count
symbol_statistics: {MARK} symbol day instrument trade_count volume_lots buy_volume_lots notional_units spread_ticks
    bid_depth_lots ask_depth_lots imbalance_ppm topic_delay_us_p50 topic_delay_us_p99 book_seq
candles: {MARK} symbol interval start_ns instrument open_ticks high_ticks low_ticks close_ticks volume_lots
    notional_units buy_volume_lots trade_count first_trade_id last_trade_id
""".strip()
    .replace("\n    ", " ")
    .splitlines()
):
    _table, _names = _line.split(":")
    COLUMNS[_table] = tuple(_names.split())


def _names_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Columns numeric(20) that may be any u64: bigint in the staging table, unsigned again when merged.
UNSIGNED: dict[str, frozenset[str]] = {
    "executions": _names_of("client_order_id reference"),
    "cash_flows": _names_of("reference"),
    "order_rejections": _names_of("client_order_id"),
    "instruments": _names_of(
        "base_units_per_lot quote_units_per_tick_lot quantity_lots_min quantity_lots_max notional_units_min "
        "reference_price_ticks"
    ),
    "positions": _names_of("bought_lots sold_lots"),
    "daily_pnl": _names_of("volume_units"),
    "trade_statistics": _names_of("ordered_lots filled_lots volume_units"),
    "symbol_statistics": _names_of("volume_lots buy_volume_lots notional_units bid_depth_lots ask_depth_lots"),
    "candles": _names_of("volume_lots notional_units buy_volume_lots"),
}

_TEXTS = _names_of(
    "type code symbol side order_type time_in_force quote kind nonce text scope state asset topic stage key_id "
    "alert_id action audit_id who what tick_size lot_size base version"
)
_BOOLEANS = _names_of("done post_only maker auction kept_priority halted live")
_OBJECTS = _names_of("before after price_steps permissions")


class Misshapen(Exception):
    """An event is not what its schema says; the text says which field."""

    code = "schema_invalid"


def signed_64(value: int) -> int:
    """The signed number of the same 64 bits."""
    return value if value <= I64_MAX else value - 2**64


def kind_of(field: str) -> type:
    """The type that a field's value has."""
    if field in _TEXTS:
        return str
    return bool if field in _BOOLEANS else object if field in _OBJECTS else int


class Shape:
    """How the events of one type become rows of one table.

    `_get` takes a whole row out of an event at once, in the order of the columns: a column that this type of event does
    not have is looked up under the name "", which is None.
    """

    def __init__(self, table: str, required: str, optional: str = "") -> None:
        self.fields = tuple(required.split())
        self._columns = tuple(name if name in self.fields else "" for name in COLUMNS[table])
        self._get: Callable[[Event], Row] = operator.itemgetter(*self._columns)
        self._types = tuple(kind_of(name) if name else type(None) for name in self._columns)
        numbers = [name for name in self.fields if kind_of(name) is int]
        self._numbers: Callable[[Event], tuple[int, ...]] = operator.itemgetter(*numbers, numbers[0])
        self._optional = tuple(optional.split())
        self._all = tuple(name if name in (*self.fields, *self._optional) else "" for name in COLUMNS[table])
        self._unsigned = UNSIGNED.get(table, frozenset())
        self._unsigned_fields = tuple(name for name in self.fields if name in self._unsigned)

    def row(self, event: Event) -> Row:
        """The event's row. Raises Misshapen."""
        event[""] = None
        try:
            row = self._get(event)
        except KeyError as missing:
            raise Misshapen(f"an event {event.get('type')!r} must have the field {missing.args[0]}") from None
        if tuple(map(type, row)) != self._types:
            return self._checked(event)
        numbers = self._numbers(event)
        if max(numbers) > I64_MAX or min(numbers) < -I64_MAX:
            return self._checked(event)
        for name in self._unsigned_fields:
            if event[name] < 0:
                return self._checked(event)
        for name in self._optional:
            if name in event:
                return self._checked(event)
        return row

    def _checked(self, event: Event) -> Row:
        """The row, value by value: types, bounds, unsigned numbers wrapped, texts as Postgres takes them (no NUL)."""
        checked: list[Any] = []
        for field in self._all:
            value: Any = event.get(field)
            wanted = kind_of(field)
            if value is None and field not in self.fields:
                checked.append(None)
                continue
            if wanted is not object and type(value) is not wanted:
                raise Misshapen(f"the field {field} must be {wanted.__name__}, was {type(value).__name__}")
            if wanted is int:
                unsigned = field in self._unsigned
                if not (0 <= value <= U64_MAX if unsigned else -I64_MAX <= value <= I64_MAX):
                    raise Misshapen(f"the field {field} must be a number of 64 bits, was {value}")
                value = signed_64(value)
            checked.append(value.replace("\0", "\N{REPLACEMENT CHARACTER}") if wanted is str else value)
        return tuple(checked)


def shapes() -> dict[str, dict[str, Shape]]:
    """Topic -> type of event -> its shape."""
    report = f"{MARK} type {REPORT}"
    order = f"{report} {ORDER}"
    return {
        "executions": {
            "accepted": Shape("executions", f"{order} order_type time_in_force post_only", "nonce text"),
            "rejected": Shape("executions", f"{report} kind client_order_id reference", "symbol instrument nonce text"),
            "filled": Shape("executions", f"{order} trade_id maker auction notional_units fee_units quote"),
            "cancelled": Shape("executions", order),
            "replaced": Shape("executions", f"{order} kept_priority", "nonce"),
            "triggered": Shape("executions", f"{order} trade_id"),
            "applied": Shape("executions", f"{report} kind order_count reference", "nonce text"),
            "adjustment": Shape(
                "executions",
                f"{report} symbol instrument side trade_id price_ticks quantity_lots position_change_lots amount_units",
            ),
        },
        "trades": {
            "trade": Shape(
                "trades",
                f"{MARK} type symbol instrument trade_id price_ticks quantity_lots side maker_order_id taker_order_id "
                "auction notional_units",
            ),
            "bust": Shape("trades", f"{MARK} type symbol instrument trade_id price_ticks quantity_lots"),
            "correction": Shape("trades", f"{MARK} type symbol instrument trade_id price_ticks quantity_lots"),
        },
        "balances": {
            "balance": Shape("balances", f"{MARK} firm account asset asset_number free_units locked_units"),
            "deposit": Shape("cash_flows", " ".join(COLUMNS["cash_flows"])),
            "withdrawal": Shape("cash_flows", " ".join(COLUMNS["cash_flows"])),
        },
        "market.state": {
            "state": Shape(
                "market_states",
                f"{MARK} type scope state",
                "symbol instrument account auction_ends_ns breaker_level",
            ),
            "indicative": Shape(
                "market_states",
                f"{MARK} type symbol instrument update_id price_ticks quantity_lots imbalance_lots side",
            ),
        },
        "assets": {"asset": Shape("assets", " ".join(COLUMNS["assets"]))},
        "instruments": {"instrument": Shape("instruments", " ".join(COLUMNS["instruments"]))},
        "accounts": {"account": Shape("accounts", " ".join(COLUMNS["accounts"]))},
    }


REJECTION = Shape(
    "order_rejections",
    "topic partition offset index stage code text appended_ns",
    "key_id nonce firm account symbol client_order_id",
)
ALERT = Shape("alerts", "alert_id code action scope firm account limit_value found_value text time_ns", "symbol")
AUDIT = Shape("audit", "audit_id who what firm account time_ns", "before after code seq")
KEY = Shape("keys", "key_id number account permissions live secret_count version source_offset")
SHAPES = shapes()
