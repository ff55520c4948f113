DROP INDEX executions_by_kind;
ALTER TABLE daily_pnl DROP COLUMN loss_units;
ALTER TABLE daily_pnl DROP COLUMN profit_units;
