"""Topics of the submitter, by their names without prefix."""

from __future__ import annotations

from typing import Final

ACCEPTED: Final = "orders.accepted"
REJECTED: Final = "orders.rejected"
