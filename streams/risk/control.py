"""What risk wants done on the engine, done: an admin session on risk.actions, and each outcome in risk.audit.

Actions say what is to be, not what is to change: halting twice is harmless, so after a crash an action is carried out
again and told under the same id. While the engine is away the action waits, with backoff and a breaker, and those
behind it; nothing is given up. What the engine refuses is told as action_failed with its code.

account_limits sets all limits of an account at once on the engine; those that the action does not name stay as the
topic `accounts` has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from ironbook import AsyncClient, IronbookError, Key, LineError, Options, Outcome, SessionEnded
from schemas.vocabulary import Code
from streams.common.keys import key_holding
from streams.common.logs import LOGGER, fields
from streams.common.retry import Backoff, Breaker, retrying
from streams.common.worker import Batch
from streams.risk import topics
from streams.risk.app import worker

LIMITS: Final = (
    "open_orders_max", "order_rate_max", "order_rate_window_ms", "notional_units_max", "position_lots_max",
    "quantity_lots_max",
)  # fmt: skip
WAITS: Final = "engine"


class Control:
    """The admin session: connected when there is something to do."""

    def __init__(self, address: str, key: Key, timeout_s: float) -> None:
        self.address, self.key, self.timeout_s = address, key, timeout_s
        self.breaker = Breaker()
        self.backoff = Backoff()
        self._client: AsyncClient | None = None

    async def carry_out(self, action: Mapping[str, Any], account: Mapping[str, Any] | None) -> Outcome:
        """The engine's answer, however long it takes."""

        def away(error: BaseException, attempt: int, wait_s: float) -> None:
            worker.not_ready(WAITS, f"the engine at {self.address} must carry out {action['action_id']}: {error}")
            worker.counters["engine_retries"] += 1
            LOGGER.warning("engine_away", extra=fields(action=action["action_id"], why=str(error), attempt=attempt))

        outcome = await retrying(
            lambda: self._try(action, account), (LineError, SessionEnded, OSError, TimeoutError, IronbookError),
            breaker=self.breaker, backoff=self.backoff, failed=away,
        )  # fmt: skip
        worker.ready(WAITS)
        return outcome

    async def renew(self, key: Key) -> bool:
        """Use this secret of the key from now on, once the engine has taken it; is it another one?"""
        if key == self.key:
            return False
        client = self._client
        if client is not None:
            await client.use_key(key)
        else:
            async with AsyncClient(self.address, key, options=Options(keep_reports=False, keep_alive=False)):
                pass  # the engine takes it; a session that sends nothing never begins
        self.key = key
        return True

    async def _try(self, action: Mapping[str, Any], account: Mapping[str, Any] | None) -> Outcome:
        try:
            if self._client is None:
                client = AsyncClient(self.address, self.key, options=Options(keep_reports=False))
                await client.connect(new_reports_only=True)
                self._client = client
            return await self._send(self._client, action, account)
        except BaseException:
            await self.close()
            raise

    async def _send(self, client: AsyncClient, action: Mapping[str, Any], account: Mapping[str, Any] | None) -> Outcome:
        number = action["account"]
        if action["kind"] == "halt":
            return await client.halt(account=number, timeout_s=self.timeout_s)
        if action["kind"] == "resume":
            return await client.resume(account=number, timeout_s=self.timeout_s)
        limits = {name: (account or {}).get(name, 0) for name in LIMITS} | action["fields"]
        return await client.set_account_limits(number, timeout_s=self.timeout_s, **limits)

    async def close(self) -> None:
        """End the session."""
        client, self._client = self._client, None
        if client is not None:
            await asyncio.wait_for(client.close(), self.timeout_s)


def audit(action: Mapping[str, Any], account: Mapping[str, Any] | None, outcome: Outcome) -> dict[str, Any]:
    """What became of an action."""
    after: dict[str, Any] = {"kind": action["kind"], "reason": action["reason"], **action["fields"]}
    told: dict[str, Any] = {
        "type": "audit", "audit_id": action["action_id"], "who": "risk", "what": "action_done", "firm": action["firm"],
        "account": action["account"], "after": after, "time_ns": action["time_ns"],
    }  # fmt: skip
    if account is not None and action["kind"] == "account_limits":
        told["before"] = {name: account[name] for name in action["fields"]}
    if outcome.rejected:
        told |= {"what": "action_failed", "code": Code(outcome.answer.code).name.lower()}
    if outcome.answer.sequence:
        told["seq"] = outcome.answer.sequence
    return told


def attach() -> None:
    """Carry actions out if there is a key to do it with; without one they stay in the topic."""
    settings = worker.settings
    if not settings.engine_key:
        LOGGER.warning("control_off", extra=fields(why="no engine_key is set: risk stops orders of the stream only"))
        return
    control = Control(settings.engine, Key.from_file(settings.engine_key), settings.engine_timeout / 1000)

    async def renew() -> bool:
        new = await control.renew(await asyncio.to_thread(Key.from_file, settings.engine_key))
        worker.renewal.holdings.use(*key_holding(control.key))
        return new

    worker.renewal.holdings.use(*key_holding(control.key))
    worker.renewal.watch_files("engine key", [settings.engine_key], renew)

    async def act(batches: AsyncIterator[Batch]) -> None:
        async for batch in batches:
            told = []
            for action in batch.events:
                account = worker.reference.accounts.get(action["account"])
                told.append(audit(action, account, await control.carry_out(action, account)))
                worker.counters["actions"] += 1
            await worker.finish(batch, await worker.send(topics.AUDIT, batch.partition, told))

    worker.agent(topics.ACTIONS)(act)
