"""History in PostgreSQL: what is older than the mirror's memory."""

from __future__ import annotations


class History:
    """Reads of the tables of docs/reference/database.md."""
