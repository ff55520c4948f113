"""Topics of analytics, by their names without prefix: by what they are keyed, and where results go."""

from __future__ import annotations

from typing import Final

FIRM_TOPICS: Final = ("executions", "balances", "orders.rejected", "risk.alerts", "risk.audit")
SYMBOL_TOPICS: Final = ("trades", "book.top", "book.snapshots", "market.state")
REFERENCE_TOPICS: Final = ("assets", "instruments", "accounts", "keys")
RESULT_TOPICS: Final = ("positions", "pnl", "candles", "statistics")
# Topics that make keyed states: where to read on in them stands with the states.
FOLDED_TOPICS: Final = ("executions", "trades", "book.top", "book.snapshots")
