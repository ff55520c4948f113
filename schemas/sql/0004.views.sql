-- depends: 0003.analytics

-- Exact decimals of whole numbers, for people. price: one tick is quote_units_per_tick_lot / base_units_per_lot,
-- scaled by the decimals.
CREATE FUNCTION decimal_amount(units numeric,
    decimals bigint) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN round(units / power(10::numeric, decimals), decimals::integer);

CREATE FUNCTION decimal_price(ticks numeric,
    i instruments) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN round(ticks * (i).quote_units_per_tick_lot * power(10::numeric, (i).base_decimals)
                 / ((i).base_units_per_lot * power(10::numeric, (i).quote_decimals)), (i).price_decimals::integer);

CREATE FUNCTION decimal_quantity(lots numeric,
    i instruments) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN round(lots * (i).base_units_per_lot / power(10::numeric, (i).base_decimals),
    (i).quantity_decimals::integer);

CREATE FUNCTION time_of(ns bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN timestamptz 'epoch' + (ns / 1000) * interval '1 microsecond';

CREATE VIEW orders_decimal AS
    SELECT o.shard, o.order_id, o.firm, o.account, o.symbol, o.side, o.client_order_id, o.order_type,
           o.time_in_force, o.post_only, o.status, o.code, decimal_price(o.price_ticks, i) AS price,
           decimal_quantity(o.quantity_lots, i) AS quantity, decimal_quantity(o.remaining_lots, i) AS remaining,
           decimal_quantity(o.filled_lots, i) AS filled,
           decimal_amount(o.filled_units, i.quote_decimals) AS filled_amount,
           decimal_amount(o.fees_units, i.quote_decimals) AS fees, time_of(o.entered_ns) AS entered,
           time_of(o.updated_ns) AS updated
    FROM orders o JOIN instruments i ON i.instrument = o.instrument;

CREATE VIEW fills_decimal AS
    SELECT e.shard, e.seq, e.n, e.firm, e.account, e.symbol, e.trade_id, e.order_id, e.client_order_id, e.side,
           e.maker, e.auction, decimal_price(e.price_ticks, i) AS price,
           decimal_quantity(e.quantity_lots, i) AS quantity,
           decimal_amount(e.notional_units, i.quote_decimals) AS amount,
           decimal_amount(e.fee_units, i.quote_decimals) AS fee, e.quote, time_of(e.received_ns) AS received
    FROM executions e JOIN instruments i ON i.instrument = e.instrument WHERE e.type = 'filled';

CREATE VIEW trades_decimal AS
    SELECT t.shard, t.seq, t.n, t.type, t.symbol, t.trade_id, decimal_price(t.price_ticks, i) AS price,
           decimal_quantity(t.quantity_lots, i) AS quantity, t.side, t.auction, time_of(t.received_ns) AS received
    FROM trades t JOIN instruments i ON i.instrument = t.instrument;

-- Trades as they stand after busts and corrections.
CREATE VIEW trades_standing AS
    SELECT t.shard, t.symbol, t.instrument, t.trade_id, coalesce(c.price_ticks, t.price_ticks) AS price_ticks,
           coalesce(c.quantity_lots, t.quantity_lots) AS quantity_lots, t.side, t.auction, t.received_ns,
           c.seq IS NOT NULL AS corrected
    FROM trades t
    LEFT JOIN LATERAL (SELECT x.* FROM trades x
                       WHERE x.symbol = t.symbol AND x.trade_id = t.trade_id AND x.type <> 'trade'
                       ORDER BY x.seq DESC, x.n DESC LIMIT 1) c ON true
    WHERE t.type = 'trade' AND c.type IS DISTINCT FROM 'bust';

CREATE VIEW balances_decimal AS
    SELECT b.account, b.firm, b.asset, sum(decimal_amount(b.free_units, a.decimals)) AS free,
           sum(decimal_amount(b.locked_units, a.decimals)) AS locked
    FROM balances b JOIN assets a ON a.asset_number = b.asset_number GROUP BY b.account, b.firm, b.asset;

CREATE VIEW cash_flows_decimal AS
    SELECT c.shard, c.seq, c.n, c.type, c.firm, c.account, c.asset,
           decimal_amount(c.amount_units, a.decimals) AS amount, time_of(c.received_ns) AS received
    FROM cash_flows c JOIN assets a ON a.asset_number = c.asset_number;

CREATE VIEW positions_decimal AS
    SELECT p.account, p.firm, p.symbol, decimal_quantity(p.position_lots, i) AS position,
           decimal_amount(p.cost_units, i.quote_decimals) AS cost,
           CASE WHEN p.position_lots <> 0
               THEN decimal_price(p.cost_units::numeric / (p.position_lots * i.quote_units_per_tick_lot), i)
           END AS average_price,
           decimal_amount(p.realised_units, i.quote_decimals) AS realised,
           decimal_amount(p.fees_units, i.quote_decimals) AS fees, i.quote, p.fill_count
    FROM positions p JOIN instruments i ON i.instrument = p.instrument;

CREATE VIEW daily_pnl_decimal AS
    SELECT d.account, d.firm, d.symbol, d.day, decimal_amount(d.realised_units, i.quote_decimals) AS realised,
           decimal_amount(d.fees_units, i.quote_decimals) AS fees,
           decimal_amount(d.unrealised_units, i.quote_decimals) AS unrealised,
           decimal_price(nullif(d.mark_price_ticks, 0), i) AS mark_price, i.quote, d.fill_count, d.winning_count,
           d.losing_count, decimal_amount(d.volume_units, i.quote_decimals) AS volume
    FROM daily_pnl d JOIN instruments i ON i.symbol = d.symbol;

CREATE VIEW trade_statistics_ratios AS
    SELECT s.*, round(s.filled_lots / nullif(s.ordered_lots, 0), 6) AS fill_ratio,
           round(s.winning_count::numeric / nullif(s.winning_count + s.losing_count, 0), 6) AS win_rate
    FROM trade_statistics s;

CREATE VIEW symbol_statistics_decimal AS
    SELECT s.symbol, s.day, s.trade_count, decimal_quantity(s.volume_lots, i) AS volume,
           decimal_amount(s.notional_units, i.quote_decimals) AS turnover,
           decimal_price(s.notional_units / nullif(s.volume_lots * i.quote_units_per_tick_lot, 0), i) AS vwap,
           decimal_price(s.spread_ticks, i) AS spread, decimal_quantity(s.bid_depth_lots, i) AS bid_depth,
           decimal_quantity(s.ask_depth_lots, i) AS ask_depth, s.imbalance_ppm / 1000000.0 AS imbalance,
           s.topic_delay_us_p50, s.topic_delay_us_p99
    FROM symbol_statistics s JOIN instruments i ON i.instrument = s.instrument;

CREATE VIEW candles_decimal AS
    SELECT c.symbol, c.interval, time_of(c.start_ns) AS start, decimal_price(c.open_ticks, i) AS open,
           decimal_price(c.high_ticks, i) AS high, decimal_price(c.low_ticks, i) AS low,
           decimal_price(c.close_ticks, i) AS close, decimal_quantity(c.volume_lots, i) AS volume,
           decimal_amount(c.notional_units, i.quote_decimals) AS turnover,
           decimal_quantity(c.buy_volume_lots, i) AS buy_volume, c.trade_count
    FROM candles c JOIN instruments i ON i.instrument = c.instrument;
