"""Topics of validation, by their names without prefix."""

from __future__ import annotations

from typing import Final

SUBMITTED: Final = "orders.submitted"
VALIDATED: Final = "orders.validated"
REJECTED: Final = "orders.rejected"
KEYS: Final = "keys"
