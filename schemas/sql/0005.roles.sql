-- depends: 0004.views

-- Three roles without login, to be granted to the users of an installation:
--   ironbook_owner   owns the tables and may change them: migrations
--   ironbook_writer  reads and writes rows, deletes none: the analytics worker
--   ironbook_reader  reads: gateway, reporting, people
-- Roles belong to the whole server, so those of another database of it may be there already.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['ironbook_owner', 'ironbook_writer', 'ironbook_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;                           -- another database of this server was quicker
            END;
        END IF;
    END LOOP;
    IF NOT pg_has_role(current_user, 'ironbook_owner', 'MEMBER') THEN
        EXECUTE format('GRANT ironbook_owner TO %I', current_user);
    END IF;
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO ironbook_writer', current_database());
END $$;

GRANT USAGE, CREATE ON SCHEMA public TO ironbook_owner;
GRANT USAGE ON SCHEMA public TO ironbook_writer, ironbook_reader;
GRANT SELECT ON assets, instruments, accounts, keys, executions, orders, trades, balances, cash_flows,
    market_states, order_rejections, alerts, audit,
    positions, daily_pnl, trade_statistics, symbol_statistics, candles, stream_marks, orders_decimal,
    fills_decimal, trades_decimal, trades_standing,
    balances_decimal, cash_flows_decimal, positions_decimal, daily_pnl_decimal, trade_statistics_ratios,
    symbol_statistics_decimal, candles_decimal
    TO ironbook_reader, ironbook_writer;
GRANT SELECT ON stream_states TO ironbook_writer;
-- Rows of events are only ever added; of these even the writer changes none.
GRANT INSERT ON executions, trades, cash_flows, market_states, order_rejections, alerts, audit TO ironbook_writer;
GRANT INSERT, UPDATE ON assets, instruments, accounts, keys, orders, balances, positions, daily_pnl,
    trade_statistics, symbol_statistics, candles,
    stream_marks, stream_states TO ironbook_writer;

DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT c.oid::regclass AS name FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v') AND c.relname IN (
            'assets', 'instruments', 'accounts', 'keys', 'executions', 'orders', 'trades', 'balances',
            'cash_flows', 'market_states', 'order_rejections', 'alerts',
            'audit', 'positions', 'daily_pnl', 'trade_statistics', 'symbol_statistics', 'candles', 'stream_marks',
            'stream_states', 'orders_decimal',
            'fills_decimal', 'trades_decimal', 'trades_standing', 'balances_decimal', 'cash_flows_decimal',
            'positions_decimal', 'daily_pnl_decimal',
            'trade_statistics_ratios', 'symbol_statistics_decimal', 'candles_decimal') LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO ironbook_owner', found.name);
    END LOOP;
END $$;
