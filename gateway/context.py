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

    def waits_for(self) -> list[str]:
        """Why no requests should be sent here now, in words; empty: it is ready."""
        found = []
        if not self.mirror.live:
            found.append(f"replica: {self.mirror.trouble or 'it is catching up'}")
        return found if self.line.connected else [*found, f"engine: {self.line.failure}"]
