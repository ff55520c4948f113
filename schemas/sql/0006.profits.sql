-- depends: 0005.roles

-- What closing fills brought on a day, profits and losses apart: profit factor and average win come of them. Days from
-- before count as if they had none.
ALTER TABLE daily_pnl ADD COLUMN
    profit_units bigint NOT NULL DEFAULT 0;     -- of fills that closed with a profit, fees not in it
ALTER TABLE daily_pnl ADD COLUMN
    loss_units bigint NOT NULL DEFAULT 0;       -- of fills that closed with a loss: what was lost

-- Commands of administrators among the reports: few among many, and asked for by time.
CREATE INDEX executions_by_kind ON executions (kind, received_ns) WHERE kind IS NOT NULL;
