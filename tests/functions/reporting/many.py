"""A day of very many executions, made inside PostgreSQL: the tables are what analytics would have written.

Trade k (from 0) is two records: 2k + 1 enters a sell order that waits, 2k + 2 a buy order that takes it. That makes
four executions: accepted, accepted, filled (who came), filled (who waited). Buyers only buy and sellers only sell, so
positions, cost and money can be summed up from the executions.

    python -m tests.functions.reporting.many URL 2500000        ten million executions
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import asyncpg

from schemas.migrations import migrate

DAY: Final = "2026-03-02"
START_NS: Final = 1_772_409_600 * 10**9
NOW_NS: Final = START_NS + 100_000 * 10**9
PAIRS: Final = 50  # buyers 1 .. 50, sellers 51 .. 100
SYMBOLS: Final = 4
DEPOSIT: Final = 10**15

# Of trade k: $1 trades in all. Times run through the day; prices and quantities are drawn from k.
_TRADES: Final = f"""
SELECT k, 2 * k + 1 AS sell_seq, 2 * k + 2 AS buy_seq, {START_NS} + (k * (86400000000000 / $1::bigint)) AS time_ns,
       1 + k % {SYMBOLS} AS instrument, 'S' || (1 + k % {SYMBOLS}) || '/USD' AS symbol, 1 + k % {PAIRS} AS buyer,
       {PAIRS + 1} + k % {PAIRS} AS seller, 6000000 + k * 7919 % 1000 AS price, 1 + k % 10 AS lots,
       k / {SYMBOLS} + 1 AS trade_id
FROM generate_series(0, $1::bigint - 1) AS k"""
_VALUES: Final = "price * lots * 10 AS notional, (price * lots * 10 + 9999) / 10000 AS fee"

EXECUTIONS: Final = f"""
WITH t AS (SELECT *, {_VALUES}, 2 * (k / {PAIRS}) AS number FROM ({_TRADES}) made)
INSERT INTO executions (shard, seq, n, received_ns, type, firm, account, key, report_number, code, symbol, instrument,
    side, order_id, client_order_id, price_ticks, quantity_lots, remaining_lots, done, order_type, time_in_force,
    post_only, trade_id, maker, auction, notional_units, fee_units, quote, nonce, text)
SELECT 0, e.* FROM t, LATERAL (VALUES
    (sell_seq, 0, time_ns, 'accepted', seller, seller, seller, number + 1, 'none', symbol, instrument, 'sell', sell_seq,
     sell_seq::numeric, price, lots, lots, false, 'limit', 'good_till_cancelled', false, NULL::bigint, NULL::boolean,
     NULL::boolean, NULL::bigint, NULL::bigint, NULL::text, lpad(to_hex(sell_seq), 32, '0'), NULL::text),
    (buy_seq, 0, time_ns + 1000, 'accepted', buyer, buyer, buyer, number + 1, 'none', symbol, instrument, 'buy',
     buy_seq, buy_seq::numeric, price, lots, lots, false, 'limit', 'immediate_or_cancel', false, NULL, NULL, NULL, NULL,
     NULL, NULL, lpad(to_hex(buy_seq), 32, '0'), 'order ' || buy_seq),
    (buy_seq, 1, time_ns + 1000, 'filled', buyer, buyer, buyer, number + 2, 'none', symbol, instrument, 'buy', buy_seq,
     buy_seq::numeric, price, lots, 0, true, NULL, NULL, NULL, trade_id, false, false, notional, fee, 'USD',
     NULL, NULL),
    (buy_seq, 2, time_ns + 1000, 'filled', seller, seller, seller, number + 2, 'none', symbol, instrument, 'sell',
     sell_seq, sell_seq::numeric, price, lots, 0, true, NULL, NULL, NULL, trade_id, true, false, notional, 0, 'USD',
     NULL, NULL)
) e"""
TRADES: Final = f"""
WITH t AS (SELECT *, {_VALUES} FROM ({_TRADES}) made)
INSERT INTO trades SELECT 0, buy_seq, 3, time_ns + 1000, 'trade', symbol, instrument, trade_id, price, lots, 'buy',
    sell_seq, buy_seq, false, notional FROM t"""
ORDERS: Final = """
INSERT INTO orders SELECT a.shard, a.order_id, a.firm, a.account, a.key, a.symbol, a.instrument, a.side,
    a.client_order_id, a.order_type, a.time_in_force, a.post_only, a.price_ticks, a.quantity_lots, 0, a.quantity_lots,
    0, 0, 1, 'filled', 'none', a.received_ns, a.received_ns, a.nonce, a.text, a.seq, a.n
FROM executions a WHERE a.type = 'accepted'"""
SMALL: Final = f"""
INSERT INTO assets SELECT 1, 'USD', 6, 0, 1, 0, {START_NS - 10**12};
INSERT INTO assets SELECT i + 1, 'S' || i, 4, 0, 1, 0, {START_NS - 10**12} FROM generate_series(1, {SYMBOLS}) i;
INSERT INTO instruments SELECT i, 'S' || i || '/USD', 'S' || i, 'USD', i + 1, 1, 4, 6, 1, 10, '0.1', '0.0001', 1, 4, 0,
    100, 'open', 0, 0, 0, 0, 0, '[]', 0, 1, 0, {START_NS - 10**12} FROM generate_series(1, {SYMBOLS}) i;
INSERT INTO accounts SELECT a, a, false, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, {START_NS - 10**12}
FROM generate_series(1, {2 * PAIRS}) a;
INSERT INTO keys SELECT 'key-' || a, a, a, '{{trade}}', true, 1, '1', a FROM generate_series(1, {2 * PAIRS}) a;
INSERT INTO cash_flows SELECT 0, -a, 0, {START_NS - 10**12}, 'deposit', a, a, 'USD', 1, {DEPOSIT}, {DEPOSIT}, 0, 0
FROM generate_series(1, {2 * PAIRS}) a;
INSERT INTO positions SELECT account, symbol, min(firm), min(instrument),
    sum(CASE side WHEN 'buy' THEN quantity_lots ELSE -quantity_lots END),
    sum(CASE side WHEN 'buy' THEN notional_units ELSE -notional_units END), 0, sum(fee_units), 0, 0, count(*), 0,
    max(seq), 2, max(received_ns) FROM executions WHERE type = 'filled' GROUP BY account, symbol;
INSERT INTO daily_pnl (account, symbol, day, firm, realised_units, fees_units, unrealised_units, mark_price_ticks,
    mark_price_seq, fill_count, winning_count, losing_count, volume_units, shard, seq, n, received_ns)
SELECT account, symbol, '{DAY}', min(firm), 0, sum(fee_units), 0, 0, 0, count(*), 0, 0, sum(notional_units), 0,
    max(seq), 2, max(received_ns) FROM executions WHERE type = 'filled' GROUP BY account, symbol;
INSERT INTO balances SELECT 0, account, 'USD', 1, min(firm),
    {DEPOSIT} + sum(CASE side WHEN 'buy' THEN -notional_units ELSE notional_units END - fee_units), 0, max(seq), 9,
    max(received_ns) FROM executions WHERE type = 'filled' GROUP BY account;
INSERT INTO balances SELECT 0, account, 'S' || instrument, instrument + 1, min(firm),
    sum(CASE side WHEN 'buy' THEN quantity_lots ELSE -quantity_lots END), 0, max(seq), 9, max(received_ns)
FROM executions WHERE type = 'filled' GROUP BY account, instrument;
INSERT INTO market_states (shard, seq, n, received_ns, type, scope, state)
VALUES (0, 2000000000, 0, {START_NS + 86_400 * 10**9}, 'state', 'everything', 'open');
INSERT INTO stream_marks VALUES ('embedded', 'journal.0', 0, 2000000001, 0, 2000000000, 0);
"""


def fill(url: str, trade_count: int) -> None:
    """Migrate a database and write a day of four executions a trade."""
    migrate(url)
    asyncio.run(_fill(url, trade_count))


async def _fill(url: str, trade_count: int) -> None:
    connection = await asyncpg.connect(url, server_settings={"synchronous_commit": "off"})
    try:
        for statement in (EXECUTIONS, TRADES):
            await connection.execute(statement, trade_count)
        await connection.execute(ORDERS)
        await connection.execute(SMALL)
        for table in ("executions", "orders", "trades"):
            await connection.execute(f"VACUUM ANALYZE {table}")
    finally:
        await connection.close()


if __name__ == "__main__":
    fill(sys.argv[1], int(sys.argv[2]))
