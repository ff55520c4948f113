"""Logs of a worker: one JSON object a line on standard error, the form that the engine node's log has."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import orjson

from streams.common.errors import StreamError

__all__ = ["LOGGER", "fields", "set_up"]

LOGGER = logging.getLogger("ironbook.streams")
_QUIET = ("aiokafka", "faust", "mode", "aiohttp", "asyncio", "kafka")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time_ns": int(record.created * 1e9),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.name != LOGGER.name:
            entry["logger"] = record.name
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            if isinstance(error, StreamError):
                entry |= {"message": error.message, "detail": error.detail, "hint": error.hint}
            else:
                entry |= {"message": repr(error), "detail": "".join(traceback.format_exception(error))[-4000:]}
        return orjson.dumps(entry, default=str).decode()


def fields(**values: object) -> dict[str, dict[str, object]]:
    """For LOGGER.info("event", extra=fields(name=value)): what stands in the line beside the event."""
    return {"fields": values}


def set_up(level: str) -> None:
    """Everything that logs in this process writes such lines; libraries from warnings on, at debug from info on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    LOGGER.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.INFO if level == "debug" else logging.WARNING)
