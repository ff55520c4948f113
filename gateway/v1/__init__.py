"""/api/v1: what Binance has not. Positions, P&L, analytics, risk, keys, audit, dead letters, health."""
