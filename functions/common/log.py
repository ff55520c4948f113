"""Logs of the functions: JSON lines by AWS Lambda Powertools, with the request's id and whether the start was cold.

Secrets are kept out at the source: no call of a logger is ever given one.
"""

from __future__ import annotations

from aws_lambda_powertools import Logger

__all__ = ["logger"]


def logger(service: str) -> Logger:
    """The logger of one function; its level is the variable POWERTOOLS_LOG_LEVEL, info unless told."""
    return Logger(service=f"ironbook-{service}", use_rfc3339=True, utc=True)
