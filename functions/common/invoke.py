"""Run a function here, as Lambda would call it: its handler, an event, a context.

    names() ──▶ ["archiver", "canary", …]        invoke("canary", {}) ──▶ what the handler answered

The environment is the process's own: the same IRONBOOK_FUNCTION_… variables as in AWS, credentials as boto3 finds them.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import time
import uuid
from pathlib import Path
from typing import Any, Final

from functions.common.errors import EventInvalid

__all__ = ["EVENT_BYTES_MAX", "Context", "about", "dry", "example", "invoke", "names", "read_event"]

FOLDER: Final = Path(__file__).resolve().parent.parent
EVENT_BYTES_MAX: Final = 6 << 20  # of a call that waits for its answer
TIMEOUT_S: Final = 900.0  # the longest that Lambda gives
DRY_RUN: Final = ("rotation",)  # functions whose events know dry_run


@dataclasses.dataclass(slots=True)
class Context:
    """What Lambda hands a handler beside the event, as far as handlers use it."""

    function_name: str
    memory_limit_in_mb: int = 512
    function_version: str = "$LATEST"
    aws_request_id: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))
    deadline_s: float = dataclasses.field(default_factory=lambda: time.monotonic() + TIMEOUT_S)

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:local:000000000000:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.deadline_s - time.monotonic()) * 1000))


def names() -> list[str]:
    """The functions that there are."""
    return sorted(path.parent.name for path in FOLDER.glob("*/handler.py"))


def about(name: str) -> str:
    """The first line of what its package says of it."""
    text = importlib.import_module(f"functions.{name}").__doc__ or ""
    return text.strip().split("\n", 1)[0]


def example(name: str) -> Path:
    """The file of an event that the function takes."""
    return FOLDER / name / "event.example.json"


def read_event(path: Path) -> dict[str, Any]:
    """Raises EventInvalid."""
    try:
        if path.stat().st_size > EVENT_BYTES_MAX:
            raise EventInvalid(f"an event must have at most {EVENT_BYTES_MAX} bytes", detail=str(path))
        event = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise EventInvalid(
            f"an event must be a JSON object in a file: {why}",
            detail=str(path),
            hint="`ironbook functions list` names an event.example.json of each",
        ) from None
    if not isinstance(event, dict):
        raise EventInvalid(f"an event must be a JSON object, was a {type(event).__name__}", detail=str(path))
    return event


def dry(name: str, event: dict[str, Any]) -> dict[str, Any]:
    """The event that only asks what would be done. Raises EventInvalid for a function that knows no such."""
    if name not in DRY_RUN:
        raise EventInvalid(
            f"a dry run must be of {', '.join(DRY_RUN)}, was of {name!r}",
            hint="no other function has one, and nothing was done; `ironbook functions list` says what each does",
        )
    return event | {"dry_run": True}


def invoke(name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Call the handler. Raises EventInvalid for a name that is none, and whatever the function raises."""
    if name not in names():
        raise EventInvalid(f"a function must be one of {', '.join(names())}, was {name!r}")
    handler = importlib.import_module(f"functions.{name}.handler")
    answer: dict[str, Any] = handler.handle(event, Context(f"ironbook-{name}"))
    return answer
