"""The dead man's switch of each account: unless it is set anew in time, all open orders of the account are cancelled.

The engine has one countdown a key, and everybody here shares the gateway's key, so the gateway counts down itself. The
deadlines stand in a file: a gateway that was away when one passed cancels as soon as it is back, and one that has no
engine tries until it has. A deadline that cannot be written is not set: a restart would lose it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson

from gateway.auth import Say
from gateway.errors import STATE_UNWRITABLE, ApiError
from gateway.line import Line
from ironbook._secrets import write_secret
from schemas.vocabulary import MassCancel

__all__ = ["COUNTDOWN_FILE", "Countdowns"]

COUNTDOWN_FILE: Final = "gateway-countdowns.json"  # in the state directory
AGAIN_S: Final = 0.1
LOOK_S_MAX: Final = 1.0  # the clock may be set


class Countdowns:
    """Deadlines by account, and the task that keeps them."""

    def __init__(self, path: Path, line: Line, *, now_ns: Callable[[], int], say: Say) -> None:
        self._path, self._line, self._now_ns, self._say = path, line, now_ns, say
        self._deadlines: dict[int, int] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Take up what was set before, and keep it."""
        try:
            self._deadlines = {int(account): int(at) for account, at in orjson.loads(self._path.read_bytes()).items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, AttributeError, TypeError) as error:
            self._say("warning", "countdowns_unreadable", {"error": str(error)})
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="countdowns")

    async def close(self) -> None:
        """Stop counting; the file has the deadlines."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def deadline_ns(self, account: int) -> int | None:
        """When the account's orders are cancelled; None: no countdown runs."""
        return self._deadlines.get(account)

    def set(self, account: int, timeout_ms: int) -> int | None:
        """Count down from now, 0: no longer. The deadline. Raises ApiError: all is as it was."""
        deadlines = dict(self._deadlines)
        if timeout_ms:
            deadlines[account] = self._now_ns() + timeout_ms * 1_000_000
        else:
            deadlines.pop(account, None)
        try:
            self._write(deadlines)
        except OSError as error:
            self._say("error", "countdowns_unwritable", {"account": account, "error": str(error)})
            raise ApiError(
                STATE_UNWRITABLE, "The dead man's switch could not be kept and is as it was.",
                detail=f"the file of countdowns: {error.strerror}",
                hint="cancel by other means, and have the gateway's state directory made writable",
            ) from None  # fmt: skip
        self._deadlines = deadlines
        self._changed.set()
        return self._deadlines.get(account)

    async def _keep(self) -> None:
        while True:
            now_ns = self._now_ns()
            due = [(account, deadline_ns) for account, deadline_ns in self._deadlines.items() if deadline_ns <= now_ns]
            await asyncio.gather(*(self._cancel(*one) for one in due))  # none waits for another's answer
            self._changed.clear()
            wait_s = LOOK_S_MAX
            if self._deadlines:
                wait_s = min(wait_s, max(0.0, (min(self._deadlines.values()) - self._now_ns()) / 1e9))
            try:
                async with asyncio.timeout(AGAIN_S if due else wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _cancel(self, account: int, deadline_ns: int) -> None:
        """Cancel; what fails stays due and is tried again. Cancelling twice does no harm."""
        if self._deadlines.get(account) != deadline_ns:
            return  # set anew or switched off meanwhile
        try:
            applied = await self._line.submit(MassCancel(account=account), text="countdown")
        except Exception as error:  # whatever it is, the others must go on, and this one again
            why = error.detail or error.text if isinstance(error, ApiError) else repr(error)
            self._say("warning", "countdown_held_up", {"account": account, "why": why})
            return
        self._say("warning", "countdown_cancelled", {"account": account, "sequence": applied.sequence})
        if self._deadlines.get(account) == deadline_ns:
            del self._deadlines[account]
            try:
                self._write(self._deadlines)
            except OSError as error:  # a restart would cancel once more
                self._say("error", "countdowns_unwritable", {"account": account, "error": str(error)})

    def _write(self, deadlines: dict[int, int]) -> None:
        write_secret(self._path, orjson.dumps({str(account): at for account, at in deadlines.items()}).decode())
