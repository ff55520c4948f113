"""The tables that analytics writes, and how rows get into them."""

from __future__ import annotations

from typing import Final

from streams.analytics.rows import COLUMNS, UNSIGNED
from streams.common.postgres import Mark, Store, Table, Told, insert_once, keep_newest, staged

__all__ = ["TABLES", "Mark", "Store", "open_store"]

# An order is what its reports say. Only reports that are new in `executions` count, so each counts once, and in a
# partition they come in order: the last of them tells how the order stands now.
_ORDERS: Final = f"""
WITH new AS (
    INSERT INTO executions ({", ".join(COLUMNS["executions"])})
    SELECT {staged(COLUMNS["executions"], UNSIGNED["executions"])} FROM stage_executions
    ON CONFLICT DO NOTHING
    RETURNING shard, seq, n, received_ns, type, firm, account, key, code, symbol, instrument, side, order_id,
        client_order_id, order_type, time_in_force, post_only, price_ticks, quantity_lots, remaining_lots, done,
        notional_units, fee_units, nonce, text
)
INSERT INTO orders AS t (shard, order_id, firm, account, key, symbol, instrument, side, client_order_id, order_type,
    time_in_force, post_only, price_ticks, quantity_lots, remaining_lots, filled_lots, filled_units, fees_units,
    fill_count, status, code, entered_ns, updated_ns, nonce, text, seq, n)
SELECT DISTINCT ON (shard, order_id) shard, order_id, firm, account, max(key) OVER w, symbol, instrument, side,
    client_order_id, max(order_type) OVER w, max(time_in_force) OVER w, bool_or(post_only) OVER w,
    first_value(CASE WHEN type IN ('accepted', 'replaced') THEN price_ticks END) OVER entered,
    first_value(CASE WHEN type IN ('accepted', 'replaced') THEN quantity_lots END) OVER entered, remaining_lots,
    coalesce(sum(quantity_lots) FILTER (WHERE type = 'filled') OVER w, 0),
    coalesce(sum(notional_units) OVER w, 0), coalesce(sum(fee_units) OVER w, 0),
    count(*) FILTER (WHERE type = 'filled') OVER w,
    CASE WHEN NOT done THEN 'open' WHEN type = 'filled' THEN 'filled' ELSE 'cancelled' END, code,
    min(received_ns) OVER w, received_ns, max(nonce) OVER w, max(text) OVER w, seq, n
FROM new WHERE type IN ('accepted', 'filled', 'cancelled', 'replaced', 'triggered')
WINDOW w AS (PARTITION BY shard, order_id),
    entered AS (PARTITION BY shard, order_id ORDER BY type NOT IN ('accepted', 'replaced'), seq DESC, n DESC)
ORDER BY shard, order_id, seq DESC, n DESC
ON CONFLICT (shard, order_id) DO UPDATE SET
    key = greatest(t.key, excluded.key),
    order_type = coalesce(t.order_type, excluded.order_type),
    time_in_force = coalesce(t.time_in_force, excluded.time_in_force),
    post_only = coalesce(t.post_only, excluded.post_only),
    price_ticks = coalesce(excluded.price_ticks, t.price_ticks),
    quantity_lots = coalesce(excluded.quantity_lots, t.quantity_lots),
    remaining_lots = excluded.remaining_lots,
    filled_lots = t.filled_lots + excluded.filled_lots,
    filled_units = t.filled_units + excluded.filled_units,
    fees_units = t.fees_units + excluded.fees_units,
    fill_count = t.fill_count + excluded.fill_count,
    status = excluded.status, code = excluded.code, updated_ns = excluded.updated_ns,
    nonce = coalesce(t.nonce, excluded.nonce), text = coalesce(t.text, excluded.text),
    seq = excluded.seq, n = excluded.n
"""


def _once(name: str) -> Table:
    return insert_once(name, COLUMNS[name], UNSIGNED.get(name, frozenset()))


def _newest(name: str, key: str, mark: str = "seq n") -> Table:
    return keep_newest(name, COLUMNS[name], key, mark, UNSIGNED.get(name, frozenset()))


TABLES: Final = (
    Table(name="executions", columns=COLUMNS["executions"], merge=_ORDERS, unsigned=UNSIGNED["executions"]),
    _once("trades"),
    _once("cash_flows"),
    _once("market_states"),
    _once("order_rejections"),
    _once("alerts"),
    _once("audit"),
    _newest("balances", "account asset shard"),
    _newest("assets", "asset_number"),
    _newest("instruments", "instrument"),
    _newest("accounts", "account"),
    _newest("keys", "key_id", "source_offset"),
    _newest("positions", "account symbol"),
    _newest("daily_pnl", "account symbol day", "seq n mark_price_seq"),
    _newest("trade_statistics", "account", "event_count"),
    _newest("symbol_statistics", "symbol day", "seq n book_seq"),
    _newest("candles", "symbol interval start_ns"),
)


def open_store(url: str, consumer: str, failed: Told | None = None) -> Store:
    """A store of these tables. consumer: whose marks, "analytics" or "embedded"."""
    return Store(url, consumer, TABLES, failed=failed)
