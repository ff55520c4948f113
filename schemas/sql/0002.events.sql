-- depends: 0001.reference

CREATE FUNCTION unsigned_64(value bigint) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN value < 0 THEN value::numeric + 18446744073709551616 ELSE value::numeric END;

CREATE TABLE executions (                       -- Every report of the engine, one row an event; rows never change.
    shard bigint NOT NULL,                      -- whose journal
    seq bigint NOT NULL,                        -- sequence of the record that caused it
    n bigint NOT NULL,                          -- which event of that record
    received_ns bigint NOT NULL,                -- when the engine received that record, since the epoch
    type text NOT NULL,                         -- accepted, rejected, filled, cancelled, replaced, triggered, ...
    firm bigint NOT NULL,                       -- the account's firm
    account bigint NOT NULL,                    -- whose order
    key bigint NOT NULL,                        -- number of the key whose report it is; 0: the engine
    report_number bigint NOT NULL,              -- dense within the key
    code text NOT NULL,                         -- none, or why
    symbol text,                                -- instrument's name, where there is one
    instrument bigint,                          -- instrument's number, where there is one
    side text,                                  -- buy or sell
    order_id bigint,                            -- the order's number within the shard
    client_order_id numeric(20),                -- the client's number of it; 0: none
    price_ticks bigint,                         -- price in ticks
    quantity_lots bigint,                       -- quantity in lots
    remaining_lots bigint,                      -- open after it
    done boolean,                               -- nothing of the order is open
    order_type text,                            -- of accepted: limit, market or market_by_quote
    time_in_force text,                         -- of accepted
    post_only boolean,                          -- of accepted
    trade_id bigint,                            -- of filled, triggered and adjustment: dense within the symbol
    maker boolean,                              -- of filled: the order waited in the book
    auction boolean,                            -- of filled: in an auction
    notional_units bigint,                      -- of filled: price times quantity, units of the quote asset
    fee_units bigint,                           -- of filled: units of the quote asset; below zero: a rebate
    quote text,                                 -- of filled: the quote asset's name
    kind text,                                  -- of rejected and applied: kind of the command
    reference numeric(20),                      -- of rejected and applied: the client sequence
    order_count bigint,                         -- of applied: orders cancelled by it
    kept_priority boolean,                      -- of replaced
    position_change_lots bigint,                -- of adjustment
    amount_units bigint,                        -- of adjustment: change of quote units
    nonce text,                                 -- of the command, 32 hexadecimal digits
    text text,                                  -- of the command
    PRIMARY KEY (shard, seq, n)
);
CREATE INDEX executions_by_order ON executions (order_id, shard, seq, n) WHERE order_id IS NOT NULL;
CREATE INDEX executions_fills ON executions (account, symbol, trade_id) WHERE type = 'filled';
CREATE INDEX executions_by_time ON executions USING brin (received_ns);

CREATE TABLE orders (                           -- Each order as it stands after its last report.
    shard bigint NOT NULL,                      -- whose journal
    order_id bigint NOT NULL,                   -- the engine's number of it, within the shard
    firm bigint NOT NULL,                       -- the account's firm
    account bigint NOT NULL,                    -- whose
    key bigint NOT NULL,                        -- number of the key that sent it
    symbol text NOT NULL,                       -- instrument's name
    instrument bigint NOT NULL,                 -- instrument's number
    side text NOT NULL,                         -- buy or sell
    client_order_id numeric(20) NOT NULL,       -- the client's number of it; 0: none
    order_type text,                            -- limit, market or market_by_quote
    time_in_force text,                         -- good_till_cancelled, immediate_or_cancel or fill_or_kill
    post_only boolean,                          -- refused rather than matched on entry
    price_ticks bigint,                         -- limit price; of a replaced order the new one
    quantity_lots bigint,                       -- in all, as entered or last replaced
    remaining_lots bigint NOT NULL,             -- still open
    filled_lots bigint NOT NULL,                -- filled so far
    filled_units bigint NOT NULL,               -- notional filled so far, units of the quote asset
    fees_units bigint NOT NULL,                 -- fees so far, units of the quote asset
    fill_count bigint NOT NULL,                 -- fills so far
    status text NOT NULL,                       -- open, filled or cancelled
    code text NOT NULL,                         -- why it was cancelled; none
    entered_ns bigint NOT NULL,                 -- when its first report was
    updated_ns bigint NOT NULL,                 -- when its last report was
    nonce text,                                 -- of its command, 32 hexadecimal digits
    text text,                                  -- of its command
    seq bigint NOT NULL,                        -- mark: record of the last report in it
    n bigint NOT NULL,                          -- mark: which event of that record
    PRIMARY KEY (shard, order_id)
);
CREATE INDEX orders_by_account ON orders (account, entered_ns);
CREATE INDEX orders_by_account_symbol ON orders (account, symbol, order_id);
CREATE INDEX orders_by_client_order_id ON orders (account, client_order_id) WHERE client_order_id <> 0;
CREATE INDEX orders_open ON orders (account, symbol) WHERE status = 'open';

CREATE TABLE trades (                           -- Prints, busts and corrections, one row an event; rows never change.
    shard bigint NOT NULL,                      -- whose journal
    seq bigint NOT NULL,                        -- sequence of the record that caused it
    n bigint NOT NULL,                          -- which event of that record
    received_ns bigint NOT NULL,                -- when the engine received that record
    type text NOT NULL,                         -- trade, bust or correction
    symbol text NOT NULL,                       -- instrument's name
    instrument bigint NOT NULL,                 -- instrument's number
    trade_id bigint NOT NULL,                   -- dense within the symbol
    price_ticks bigint NOT NULL,                -- price; of a correction the new one
    quantity_lots bigint NOT NULL,              -- quantity; of a correction the new one
    side text,                                  -- of a trade: the taker's
    maker_order_id bigint,                      -- of a trade: who waited
    taker_order_id bigint,                      -- of a trade: who came
    auction boolean,                            -- of a trade: in an auction
    notional_units bigint,                      -- of a trade: price times quantity, units of the quote asset
    PRIMARY KEY (shard, seq, n)
);
CREATE INDEX trades_by_symbol ON trades (symbol, trade_id);
CREATE INDEX trades_by_time ON trades USING brin (received_ns);

CREATE TABLE balances (                         -- What each account has of each asset on each shard.
    shard bigint NOT NULL,                      -- mark: whose journal
    account bigint NOT NULL,                    -- whose
    asset text NOT NULL,                        -- asset's name
    asset_number bigint NOT NULL,               -- asset's number
    firm bigint NOT NULL,                       -- the account's firm
    free_units bigint NOT NULL,                 -- may be spent
    locked_units bigint NOT NULL,               -- held by open orders
    seq bigint NOT NULL,                        -- mark: the record as of which this row stands
    n bigint NOT NULL,                          -- mark: which event of that record
    received_ns bigint NOT NULL,                -- when the engine received that record
    PRIMARY KEY (account, asset, shard)
);

CREATE TABLE cash_flows (                       -- Deposits and withdrawals, one row an event; rows never change.
    shard bigint NOT NULL,                      -- whose journal
    seq bigint NOT NULL,                        -- sequence of the record that caused it
    n bigint NOT NULL,                          -- which event of that record
    received_ns bigint NOT NULL,                -- when the engine received that record
    type text NOT NULL,                         -- deposit or withdrawal
    firm bigint NOT NULL,                       -- the account's firm
    account bigint NOT NULL,                    -- whose
    asset text NOT NULL,                        -- asset's name
    asset_number bigint NOT NULL,               -- asset's number
    amount_units bigint NOT NULL,               -- below zero: a withdrawal
    free_units bigint NOT NULL,                 -- free after it
    locked_units bigint NOT NULL,               -- locked after it
    reference numeric(20) NOT NULL,             -- the sender's number of it
    PRIMARY KEY (shard, seq, n)
);
CREATE INDEX cash_flows_by_account ON cash_flows (account, received_ns);

CREATE TABLE market_states (                    -- Halts, auctions, breakers; what auctions would give. Never changed.
    shard bigint NOT NULL,                      -- whose journal
    seq bigint NOT NULL,                        -- sequence of the record that caused it
    n bigint NOT NULL,                          -- which event of that record
    received_ns bigint NOT NULL,                -- when the engine received that record
    type text NOT NULL,                         -- state or indicative
    scope text,                                 -- of state: instrument, account or everything
    state text,                                 -- of state: open, halted, pre_open, auction or closed
    symbol text,                                -- instrument's name
    instrument bigint,                          -- instrument's number
    account bigint,                             -- of state: the account
    auction_ends_ns bigint,                     -- of state
    breaker_level bigint,                       -- of state: 0: none; 4: the band
    update_id bigint,                           -- of indicative
    price_ticks bigint,                         -- of indicative: the auction's price; 0: nothing would trade
    quantity_lots bigint,                       -- of indicative: what would trade
    imbalance_lots bigint,                      -- of indicative: what would be left
    side text,                                  -- of indicative: on which side
    PRIMARY KEY (shard, seq, n)
);
CREATE INDEX market_states_by_symbol ON market_states (symbol, received_ns);

CREATE TABLE order_rejections (                 -- Orders that a stage of the stream refused; rows never change.
    topic text NOT NULL,                        -- where the order stood first: topic
    partition bigint NOT NULL,                  -- partition
    "offset" bigint NOT NULL,                   -- offset
    index bigint NOT NULL,                      -- place within the message
    stage text NOT NULL,                        -- validation, risk or submitter
    code text NOT NULL,                         -- why
    text text NOT NULL,                         -- what must hold, what was found
    appended_ns bigint NOT NULL,                -- when the broker took the order
    key_id text,                                -- who signed, as claimed
    nonce text,                                 -- 32 hexadecimal digits
    firm bigint,                                -- as far as known
    account bigint,                             -- as far as known
    symbol text,                                -- as far as known
    client_order_id numeric(20),                -- as far as known
    PRIMARY KEY (topic, partition, "offset", index, stage)
);
CREATE INDEX order_rejections_by_account ON order_rejections (account, appended_ns);

CREATE TABLE alerts (                           -- A risk limit was reached or warned of; rows never change.
    alert_id text PRIMARY KEY,                  -- reason, account and the event that caused it
    code text NOT NULL,                         -- which limit
    action text NOT NULL,                       -- warn, refuse, reduce_only or halt
    scope text NOT NULL,                        -- account or firm
    firm bigint NOT NULL,                       -- whose
    account bigint NOT NULL,                    -- whose; 0: the firm
    symbol text,                                -- instrument's name, where there is one
    limit_value bigint NOT NULL,                -- what must hold
    found_value bigint NOT NULL,                -- what was found
    text text NOT NULL,                         -- both in words
    time_ns bigint NOT NULL                     -- of the event that caused it
);
CREATE INDEX alerts_by_account ON alerts (account, time_ns);

CREATE TABLE audit (                            -- Who changed what, and when; rows never change.
    audit_id text PRIMARY KEY,                  -- the same again after a crash
    who text NOT NULL,                          -- key id, or risk
    what text NOT NULL,                         -- limits_changed, limits_refused, action_done or action_failed
    firm bigint NOT NULL,                       -- whose
    account bigint NOT NULL,                    -- whose; 0: the firm
    before jsonb,                               -- limits before
    after jsonb,                                -- limits after
    code text,                                  -- why
    seq bigint,                                 -- of the engine's record, if there is one
    time_ns bigint NOT NULL                     -- of the envelope or action
);
CREATE INDEX audit_by_account ON audit (account, time_ns);
