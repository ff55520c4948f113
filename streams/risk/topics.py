"""Names of the topics that risk reads and writes; all of them are keyed by firm."""

from __future__ import annotations

from typing import Final

VALIDATED: Final = "orders.validated"
EXECUTIONS: Final = "executions"
REJECTED: Final = "orders.rejected"
LIMITS: Final = "risk.limits"
ACTIONS: Final = "risk.actions"

ACCEPTED: Final = "orders.accepted"
ALERTS: Final = "risk.alerts"
AUDIT: Final = "risk.audit"

REFERENCE: Final = ("assets", "instruments", "accounts", "book.top")
