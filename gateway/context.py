"""Everything that handlers use, in one place: made once at the start, closed at the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine_node.logs import Log
from gateway.auth import KeyRing
from gateway.history import History
from gateway.limits import Limits
from gateway.line import Line
from gateway.market import Market
from gateway.metrics import Metrics
from gateway.mirror import Mirror
from gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from gateway.sessions import Sessions


@dataclasses.dataclass(slots=True, kw_only=True)
class Gateway:
    """The parts of a running gateway.

    line        enters commands of traders, for their accounts
    admin_line  enters commands of administrators; None: this gateway has no admin key
    history     PostgreSQL; None: this gateway has none
    shared      objects that handlers share, by their type; made at first use
    open        all of it has been started, and none was stopped yet
    """

    settings: GatewaySettings
    keys: KeyRing
    sessions: Sessions
    limits: Limits
    mirror: Mirror
    market: Market
    line: Line
    admin_line: Line | None
    history: History | None
    metrics: Metrics
    log: Log
    now_ns: Callable[[], int]
    shared: dict[type, Any] = dataclasses.field(default_factory=dict)
    open: bool = False

    def replica_trouble(self) -> str:
        """Why what the replica tells is of the past, in words; empty: nothing here says so."""
        if not self.mirror.live:
            return self.mirror.trouble or "it is catching up"
        if self.mirror.client_sequence(self.line.key_number) < self.line.awaited:
            return "the engine has recorded commands of this gateway that do not come here; does the publisher run?"
        return ""

    def waits_for(self) -> list[str]:
        """Why no requests should be sent here now, in words; empty: it is ready."""
        found = [] if self.open else ["gateway: it starts or stops"]
        if replica := self.replica_trouble():
            found.append(f"replica: {replica}")
        return found if self.line.connected else [*found, f"engine: {self.line.failure}"]
