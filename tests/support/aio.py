"""Tests that are coroutines, and waiting in them."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

TIMEOUT_S = 60.0


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run the test in a loop of its own; its parameters are fixtures as ever."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*arguments, **named), TIMEOUT_S))

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    return run


async def until(what: Callable[[], Any], timeout_s: float = 15.0, why: str = "") -> Any:
    """Wait until `what` is true, and return it; the loop goes on meanwhile."""
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    while not (found := what()):
        assert asyncio.get_running_loop().time() < deadline_s, why or f"not within {timeout_s} s"
        await asyncio.sleep(0.002)
    return found
