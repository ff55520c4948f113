"""Who is shown how the gateway and what it stands on are doing: figures of every part, and what is wrong with one.

    address in measures_networks ──┐
    cookie of a login with `read` ─┴──▶ all;   anybody else: whether it is up
"""

from __future__ import annotations

from typing import Final

from gateway.errors import ApiError
from gateway.networks import Networks
from gateway.routing import Request
from gateway.sessions import Sessions
from gateway.settings import GatewaySettings
from schemas.vocabulary import Permission

__all__ = ["Measures"]

HINT: Final = "such as 127.0.0.0/8,10.20.0.0/16; empty: nobody without a login"


class Measures:
    """Knows it of each request. Raises SettingsInvalid."""

    def __init__(self, settings: GatewaySettings, sessions: Sessions) -> None:
        self._networks = Networks("measures_networks", settings.measures_networks, HINT)
        self._sessions = sessions

    def shown(self, request: Request, now_ns: int) -> bool:
        """Is whoever asks shown all?"""
        return self.near(request.peer) or self._logged_in(request, now_ns)

    def near(self, address: str) -> bool:
        """Is the address in one of the networks?"""
        return address in self._networks

    def _logged_in(self, request: Request, now_ns: int) -> bool:
        try:
            self._sessions.authenticate(request, Permission.READ, now_ns)
        except ApiError:
            return False
        return True
