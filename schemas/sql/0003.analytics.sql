-- depends: 0002.events

CREATE TABLE positions (                        -- Position of an account in a symbol, at average cost.
    account bigint NOT NULL,                    -- whose
    symbol text NOT NULL,                       -- instrument's name
    firm bigint NOT NULL,                       -- the account's firm
    instrument bigint NOT NULL,                 -- instrument's number
    position_lots bigint NOT NULL,              -- below zero: short
    cost_units bigint NOT NULL,                 -- what it cost, quote units; of a short below zero: what it brought
    realised_units bigint NOT NULL,             -- since the beginning, fees not in it
    fees_units bigint NOT NULL,                 -- since the beginning
    bought_lots numeric(20) NOT NULL,           -- since the beginning
    sold_lots numeric(20) NOT NULL,             -- since the beginning
    fill_count bigint NOT NULL,                 -- since the beginning
    shard bigint NOT NULL,                      -- mark: whose journal
    seq bigint NOT NULL,                        -- mark: the last event in it
    n bigint NOT NULL,                          -- mark: which event of that record
    received_ns bigint NOT NULL,                -- when the engine received that record
    PRIMARY KEY (account, symbol)
);
CREATE INDEX positions_by_firm ON positions (firm, symbol);

CREATE TABLE daily_pnl (                        -- Profit and loss of an account in a symbol on a day (UTC).
    account bigint NOT NULL,                    -- whose
    symbol text NOT NULL,                       -- instrument's name
    day date NOT NULL,                          -- by received_ns of the fill
    firm bigint NOT NULL,                       -- the account's firm
    realised_units bigint NOT NULL,             -- of the day, fees not in it
    fees_units bigint NOT NULL,                 -- of the day
    unrealised_units bigint NOT NULL,           -- of the position at the mark price
    mark_price_ticks bigint NOT NULL,           -- the last price known; 0: none
    mark_price_seq bigint NOT NULL,             -- record of that price
    fill_count bigint NOT NULL,                 -- of the day
    winning_count bigint NOT NULL,              -- fills that closed with a profit
    losing_count bigint NOT NULL,               -- fills that closed with a loss
    volume_units numeric(20) NOT NULL,          -- notional traded
    shard bigint NOT NULL,                      -- mark: whose journal
    seq bigint NOT NULL,                        -- mark: the last event in it
    n bigint NOT NULL,                          -- mark: which event of that record
    received_ns bigint NOT NULL,                -- when the engine received that record
    PRIMARY KEY (account, symbol, day)
);
CREATE INDEX daily_pnl_by_day ON daily_pnl (day, account);

CREATE TABLE trade_statistics (                 -- Counts of an account, since the beginning.
    account bigint PRIMARY KEY,                 -- whose
    firm bigint NOT NULL,                       -- the account's firm
    orders_count bigint NOT NULL,               -- orders accepted
    rejected_count bigint NOT NULL,             -- commands that the engine refused
    cancelled_count bigint NOT NULL,            -- orders cancelled
    filled_orders_count bigint NOT NULL,        -- orders with at least one fill
    fill_count bigint NOT NULL,                 -- fills
    ordered_lots numeric(20) NOT NULL,          -- quantity of accepted orders
    filled_lots numeric(20) NOT NULL,           -- quantity filled
    winning_count bigint NOT NULL,              -- fills that closed with a profit
    losing_count bigint NOT NULL,               -- fills that closed with a loss
    volume_units numeric(20) NOT NULL,          -- notional traded
    event_count bigint NOT NULL,                -- mark: events in it; only grows, whatever the shards
    shard bigint NOT NULL,                      -- of the last event: whose journal
    seq bigint NOT NULL,                        -- of the last event
    n bigint NOT NULL,                          -- of the last event
    received_ns bigint NOT NULL                 -- of the last event
);

CREATE TABLE symbol_statistics (                -- Counts and measures of a symbol on a day (UTC).
    symbol text NOT NULL,                       -- instrument's name
    day date NOT NULL,                          -- by received_ns of the trade
    instrument bigint NOT NULL,                 -- instrument's number
    trade_count bigint NOT NULL,                -- of the day
    volume_lots numeric(20) NOT NULL,           -- of the day
    buy_volume_lots numeric(20) NOT NULL,       -- of the day, taken by buyers
    notional_units numeric(20) NOT NULL,        -- of the day; volume-weighted average price: notional / volume
    spread_ticks bigint,                        -- best ask less best bid, when last seen
    bid_depth_lots numeric(20) NOT NULL,        -- of the ten best levels, when last seen
    ask_depth_lots numeric(20) NOT NULL,        -- of the ten best levels, when last seen
    imbalance_ppm bigint NOT NULL,              -- (bid - ask) / (bid + ask) depth, in millionths
    topic_delay_us_p50 bigint,                  -- from the engine's receipt to the broker, over a second
    topic_delay_us_p99 bigint,                  -- from the engine's receipt to the broker, over a second
    book_seq bigint NOT NULL,                   -- mark: the record as of which the book was seen
    shard bigint NOT NULL,                      -- mark: whose journal
    seq bigint NOT NULL,                        -- mark: the last trade in it
    n bigint NOT NULL,                          -- mark: which event of that record
    received_ns bigint NOT NULL,                -- when the engine received that record
    PRIMARY KEY (symbol, day)
);

CREATE TABLE candles (                          -- Open, high, low, close and volume as printed.
    symbol text NOT NULL,                       -- instrument's name
    interval text NOT NULL,                     -- 1s, 1m, 5m, 1h or 1d
    start_ns bigint NOT NULL,                   -- its begin (UTC), since the epoch
    instrument bigint NOT NULL,                 -- instrument's number
    open_ticks bigint NOT NULL,                 -- first price
    high_ticks bigint NOT NULL,                 -- highest price
    low_ticks bigint NOT NULL,                  -- lowest price
    close_ticks bigint NOT NULL,                -- last price
    volume_lots numeric(20) NOT NULL,           -- quantity traded
    notional_units numeric(20) NOT NULL,        -- notional traded
    buy_volume_lots numeric(20) NOT NULL,       -- taken by buyers
    trade_count bigint NOT NULL,                -- trades
    first_trade_id bigint NOT NULL,             -- first trade
    last_trade_id bigint NOT NULL,              -- last trade
    shard bigint NOT NULL,                      -- mark: whose journal
    seq bigint NOT NULL,                        -- mark: the last trade in it
    n bigint NOT NULL,                          -- mark: which event of that record
    received_ns bigint NOT NULL,                -- when the engine received that record
    PRIMARY KEY (symbol, interval, start_ns)
);

CREATE TABLE stream_marks (                     -- How far each source partition is written, with its rows.
    consumer text NOT NULL,                     -- who reads: analytics, or embedded
    topic text NOT NULL,                        -- source topic
    partition bigint NOT NULL,                  -- source partition
    next_offset bigint NOT NULL,                -- everything below it is in the tables
    shard bigint NOT NULL,                      -- of the last event: whose journal
    seq bigint NOT NULL,                        -- of the last event
    n bigint NOT NULL,                          -- of the last event
    PRIMARY KEY (consumer, topic, partition)
);

CREATE TABLE stream_states (                    -- States of a consumer that has no changelog topics (embedded mode).
    consumer text NOT NULL,                     -- whose
    key text NOT NULL,                          -- of what
    value jsonb NOT NULL,                       -- the state with its own marks
    PRIMARY KEY (consumer, key)
);
