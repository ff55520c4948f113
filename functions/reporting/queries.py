"""The SQL of reporting. Every list of rows has one order, so that the same rows give the same bytes."""

from __future__ import annotations

from typing import Final

from functions.reporting.rows import Account, Asset, Execution, Instrument, StreamRefusal, Trade

MISSING_TABLES: Final = "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL ORDER BY name"

ASSETS: Final = f"SELECT {', '.join(Asset._fields)} FROM assets ORDER BY asset"
INSTRUMENTS: Final = f"SELECT {', '.join(Instrument._fields)} FROM instruments ORDER BY symbol"
ACCOUNTS: Final = f"SELECT {', '.join(Account._fields)} FROM accounts ORDER BY account"

# How far each shard's events are in the tables: the newest mark of a topic that reports are made of (or of the journal,
# in embedded mode), and the newest time of the day's end or later.
REACH: Final = """
WITH later AS (
    SELECT shard, max(received_ns) AS received_ns FROM executions WHERE received_ns >= $1 GROUP BY shard
    UNION ALL SELECT shard, max(received_ns) FROM trades WHERE received_ns >= $1 GROUP BY shard
    UNION ALL SELECT shard, max(received_ns) FROM cash_flows WHERE received_ns >= $1 GROUP BY shard
    UNION ALL SELECT shard, max(received_ns) FROM market_states WHERE received_ns >= $1 GROUP BY shard
    UNION ALL SELECT shard, max(received_ns) FROM balances WHERE received_ns >= $1 GROUP BY shard
)
SELECT m.shard, max(m.seq), (SELECT max(l.received_ns) FROM later l WHERE l.shard = m.shard)
FROM stream_marks m
WHERE m.seq > 0 AND m.topic ~ '(executions|trades|balances|market\\.state|journal\\.[0-9]+)$'
GROUP BY m.shard ORDER BY m.shard"""

# Everything as it stands now.
POSITIONS: Final = """
SELECT p.account, p.symbol, p.firm, p.position_lots, p.cost_units, p.realised_units, p.fees_units, i.quote
FROM positions p LEFT JOIN instruments i ON i.instrument = p.instrument ORDER BY p.account, p.symbol"""
HOLDINGS: Final = """
SELECT shard, account, asset, free_units::numeric + locked_units FROM balances ORDER BY shard, account, asset"""

# What came since $1, behind $2 (the later time) or before it. A row of balances says how an account stood after its
# own record: of its money only what came up to there may be taken back.
_LOTS: Final = """CASE WHEN e.type = 'adjustment' THEN e.position_change_lots
    WHEN e.side = 'buy' THEN e.quantity_lots ELSE -e.quantity_lots END"""
_CASH: Final = """CASE WHEN e.type = 'adjustment' THEN e.amount_units
    WHEN e.side = 'buy' THEN -e.notional_units ELSE e.notional_units END"""
FLOWS: Final = f"""
SELECT e.received_ns >= $2 AS behind, e.shard, e.account, e.symbol, sum({_LOTS}) AS lots, sum({_CASH}) AS cash_units,
       coalesce(sum(e.fee_units), 0) AS fees_units,
       coalesce(sum({_LOTS}) FILTER (WHERE e.seq <= b.seq), 0) AS known_lots,
       coalesce(sum({_CASH} - coalesce(e.fee_units, 0)) FILTER (WHERE e.seq <= q.seq), 0) AS known_units
FROM executions e JOIN instruments i ON i.instrument = e.instrument
LEFT JOIN balances b ON b.account = e.account AND b.asset = i.base AND b.shard = e.shard
LEFT JOIN balances q ON q.account = e.account AND q.asset = i.quote AND q.shard = e.shard
WHERE e.type IN ('filled', 'adjustment') AND e.received_ns >= $1
GROUP BY behind, e.shard, e.account, e.symbol ORDER BY e.shard, e.account, e.symbol, behind"""
CASH_FLOWS: Final = """
SELECT c.received_ns >= $2 AS behind, c.shard, c.account, c.asset, sum(c.amount_units) AS units
FROM cash_flows c JOIN balances b ON b.account = c.account AND b.asset = c.asset AND b.shard = c.shard
WHERE c.received_ns >= $1 AND c.seq <= b.seq GROUP BY behind, c.shard, c.account, c.asset
ORDER BY c.shard, c.account, c.asset, behind"""
DAYS: Final = """
SELECT day >= $2 AS behind, account, symbol, sum(realised_units) AS realised_units FROM daily_pnl WHERE day >= $1
GROUP BY behind, account, symbol ORDER BY account, symbol, behind"""
REALISED: Final = """
SELECT account, symbol, sum(realised_units) AS realised_units FROM daily_pnl WHERE day < $1
GROUP BY account, symbol HAVING sum(realised_units) <> 0 ORDER BY account, symbol"""

# Fees paid out to an account are told as a deposit; the report of the command is what tells them apart.
_PAYOUT: Final = "EXISTS (SELECT FROM executions e WHERE e.shard = c.shard AND e.seq = c.seq AND e.kind = 'fee_payout')"
CASH: Final = f"""
SELECT shard, asset,
       coalesce(sum(amount_units) FILTER (WHERE amount_units > 0 AND NOT payout), 0) AS deposits_units,
       coalesce(-sum(amount_units) FILTER (WHERE amount_units < 0), 0) AS withdrawals_units,
       coalesce(sum(amount_units) FILTER (WHERE payout), 0) AS payouts_units
FROM (SELECT c.shard, c.asset, c.amount_units, {_PAYOUT} AS payout FROM cash_flows c WHERE c.received_ns < $1) f
GROUP BY shard, asset ORDER BY shard, asset"""

PROFITS: Final = """
SELECT d.account, d.symbol, d.firm, d.realised_units, d.fees_units, d.unrealised_units, d.mark_price_ticks,
       d.fill_count, d.winning_count, d.losing_count, d.volume_units, d.profit_units, d.loss_units, i.quote
FROM daily_pnl d LEFT JOIN instruments i ON i.symbol = d.symbol WHERE d.day = $1 ORDER BY d.account, d.symbol"""

# First and last sequence of a day, by shard: within a shard time never falls, so a day is one range of the key.
BOUNDS: Final = {
    table: f"""SELECT shard, min(seq) AS first, max(seq) AS last FROM {table}
               WHERE received_ns >= $1 AND received_ns < $2 GROUP BY shard ORDER BY shard"""
    for table in ("executions", "trades", "cash_flows")
} | {
    "audit_trail": """SELECT shard, min(seq) AS first, max(seq) AS last FROM executions
                      WHERE received_ns >= $1 AND received_ns < $2 GROUP BY shard ORDER BY shard"""
}
_RANGE: Final = "shard = $1 AND seq BETWEEN $2 AND $3 AND received_ns >= $4 AND received_ns < $5"

# The rows of a day. $1 shard, $2 first and $3 last sequence, $4 first nanosecond, $5 the one behind the day.
STREAMS: Final = {
    "executions": f"SELECT {', '.join(Execution._fields)} FROM executions WHERE {_RANGE} ORDER BY seq, n",
    "trades": f"SELECT {', '.join(Trade._fields)} FROM trades WHERE {_RANGE} ORDER BY seq, n",
    "cash_flows": f"""
        SELECT shard, seq, n, received_ns, CASE WHEN {_PAYOUT} THEN 'payout' ELSE type END AS type, firm, account,
               asset, amount_units, free_units, locked_units, reference
        FROM cash_flows c WHERE {_RANGE} ORDER BY seq, n""",
    "audit_trail": """
        SELECT e.shard, e.order_id, e.seq, e.n, e.received_ns, o.entered_ns, e.type, e.code, e.kind, e.firm, e.account,
               e.key, k.key_id, e.report_number, coalesce(e.client_order_id, o.client_order_id) AS client_order_id,
               coalesce(o.nonce, e.nonce) AS nonce, e.symbol, coalesce(e.side, o.side) AS side, o.order_type,
               o.time_in_force, o.post_only, e.price_ticks, e.quantity_lots, e.remaining_lots, e.done, e.trade_id,
               e.maker, e.notional_units, e.fee_units, coalesce(o.text, e.text) AS text
        FROM executions e LEFT JOIN orders o ON o.shard = $1 AND o.order_id = e.order_id AND o.updated_ns >= $4
        LEFT JOIN (SELECT DISTINCT ON (number) number, key_id FROM keys WHERE number > 0
                   ORDER BY number, live DESC, key_id) k ON k.number = e.key
        WHERE e.shard = $1 AND e.seq BETWEEN $2 AND $3 AND e.received_ns >= $4 AND e.received_ns < $5
              AND e.type IN ('accepted', 'rejected', 'filled', 'cancelled', 'replaced', 'triggered')
        ORDER BY e.order_id, e.seq, e.n""",
    "refusals": f"""
        SELECT {', '.join('"offset"' if name == "offset" else "index" if name == "place" else name
                          for name in StreamRefusal._fields)}
        FROM order_rejections WHERE appended_ns >= $4 AND appended_ns < $5 AND $1::bigint + $2::bigint + $3::bigint = 0
        ORDER BY topic, partition, "offset", index, stage""",
}  # fmt: skip

# The last record of each shard that the day's rows come from.
LASTS: Final = """
SELECT shard, max(seq) FROM (
    SELECT shard, seq FROM executions WHERE received_ns >= $1 AND received_ns < $2
    UNION ALL SELECT shard, seq FROM trades WHERE received_ns >= $1 AND received_ns < $2
    UNION ALL SELECT shard, seq FROM cash_flows WHERE received_ns >= $1 AND received_ns < $2
) f GROUP BY shard ORDER BY shard"""
