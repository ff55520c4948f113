-- What streams and people must know to read the other tables: assets, instruments, accounts and keys, each as it
-- stands now.
-- Numbers are whole and named by their unit (ticks, lots, units); the decimal views make texts for people of them.
-- bigint holds what the engine counts (its own maximum is 2^63 - 1); numeric(20) holds what may be any unsigned
-- 64-bit number.

CREATE TABLE assets (                           -- Each asset as defined.
    asset_number bigint PRIMARY KEY,            -- the engine's number of it
    asset text NOT NULL UNIQUE,                 -- its name
    decimals bigint NOT NULL,                   -- digits behind the point: one whole is 10^decimals units
    shard bigint NOT NULL,                      -- mark: whose journal
    seq bigint NOT NULL,                        -- mark: the record as of which this row stands
    n bigint NOT NULL,                          -- mark: which event of that record
    received_ns bigint NOT NULL                 -- when the engine received that record
);

CREATE TABLE instruments (                      -- Each instrument as it stands now.
    instrument bigint PRIMARY KEY,              -- the engine's number of it
    symbol text NOT NULL UNIQUE,                -- its name, such as BTC/USD
    base text NOT NULL,                         -- name of the asset that is traded
    quote text NOT NULL,                        -- name of the asset that pays
    base_asset bigint NOT NULL,                 -- its number
    quote_asset bigint NOT NULL,                -- its number
    base_decimals bigint NOT NULL,              -- digits of the base asset
    quote_decimals bigint NOT NULL,             -- digits of the quote asset
    base_units_per_lot numeric(20) NOT NULL,    -- units of the base asset in one lot
    quote_units_per_tick_lot numeric(20) NOT NULL, -- units of the quote asset that one lot costs at a price of one tick
    tick_size text NOT NULL,                    -- price of one tick
    lot_size text NOT NULL,                     -- quantity of one lot
    price_decimals bigint NOT NULL,             -- digits of a price
    quantity_decimals bigint NOT NULL,          -- digits of a quantity
    maker_fee_ppm bigint NOT NULL,              -- fee of who waited, in millionths; below zero: a rebate
    taker_fee_ppm bigint NOT NULL,              -- fee of who came, in millionths
    state text NOT NULL,                        -- open, halted, pre_open, auction or closed
    quantity_lots_min numeric(20) NOT NULL,     -- least quantity of an order; 0: none
    quantity_lots_max numeric(20) NOT NULL,     -- greatest quantity of an order; 0: none
    notional_units_min numeric(20) NOT NULL,    -- least notional of an order; 0: none
    collar_ppm bigint NOT NULL,                 -- how far a price may be from the reference price, in millionths
    reference_price_ticks numeric(20) NOT NULL, -- that reference price
    price_steps jsonb NOT NULL,                 -- array of [from_price_ticks, tick_multiple, lot_multiple]
    shard bigint NOT NULL,                      -- mark: whose journal
    seq bigint NOT NULL,                        -- mark: the record as of which this row stands
    n bigint NOT NULL,                          -- mark: which event of that record
    received_ns bigint NOT NULL                 -- when the engine received that record
);

CREATE TABLE accounts (                         -- Each account, its firm and the engine's limits on it.
    account bigint PRIMARY KEY,                 -- its number
    firm bigint NOT NULL,                       -- the firm it belongs to; itself by default
    halted boolean NOT NULL,                    -- may it trade
    fee_tier bigint NOT NULL,                   -- its fee tier; 0: the instruments' own rates
    open_orders_max bigint NOT NULL,            -- most open orders; 0: no limit, here and below
    order_rate_max bigint NOT NULL,             -- most orders in the window
    order_rate_window_ms bigint NOT NULL,       -- the window's length
    notional_units_max bigint NOT NULL,         -- greatest notional of an order
    position_lots_max bigint NOT NULL,          -- greatest position
    quantity_lots_max bigint NOT NULL,          -- greatest quantity of an order
    shard bigint NOT NULL,                      -- mark: whose journal
    seq bigint NOT NULL,                        -- mark: the record as of which this row stands
    n bigint NOT NULL,                          -- mark: which event of that record
    received_ns bigint NOT NULL                 -- when the engine received that record
);

CREATE TABLE keys (                             -- Each key, without its secrets; a row stays when its key is gone.
    key_id text PRIMARY KEY,                    -- its name
    number bigint NOT NULL,                     -- its number in reports; 0 when it is gone before it was known
    account bigint NOT NULL,                    -- whose; 0: none
    permissions text[] NOT NULL,                -- what it may do
    live boolean NOT NULL,                      -- false: revoked or gone
    secret_count bigint NOT NULL,               -- how many secrets are live
    version text NOT NULL,                      -- of the key file
    source_offset bigint NOT NULL               -- mark: offset in the topic keys
);
