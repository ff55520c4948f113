"""Analytics: positions, profit and loss, candles and statistics, into topics and Postgres."""
