"""The errors of reporting.

FunctionError
├── DayInvalid         no day, a day to come, or one that is not over and was not asked for as partial
├── DatabaseAway       PostgreSQL does not answer, or refuses the user
├── DatabaseInvalid    a table or column is missing: the database is not migrated
└── AnalyticsBehind    the tables do not reach the day's end yet
"""

from __future__ import annotations

from typing import ClassVar

from functions.common.errors import FunctionError

__all__ = ["AnalyticsBehind", "DatabaseAway", "DatabaseInvalid", "DayInvalid"]


class DayInvalid(FunctionError):
    """A report cannot be made of this day as asked."""

    code: ClassVar[str] = "day"


class DatabaseAway(FunctionError):
    """PostgreSQL did not answer, or did not let the user in."""

    code: ClassVar[str] = "database_away"


class DatabaseInvalid(FunctionError):
    """PostgreSQL lacks a table, a column or a right."""

    code: ClassVar[str] = "database"


class AnalyticsBehind(FunctionError):
    """What the day holds is not all in the tables."""

    code: ClassVar[str] = "analytics_behind"
