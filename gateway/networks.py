"""A setting that names networks, such as 10.0.0.0/8,192.0.2.7: is an address in one of them?"""

from __future__ import annotations

import ipaddress

from gateway.settings import SettingsInvalid

__all__ = ["Networks"]


class Networks:
    """Those of one setting; none if its text is empty. Raises SettingsInvalid, with the setting's name."""

    def __init__(self, setting: str, text: str, hint: str) -> None:
        try:
            self._networks = tuple(ipaddress.ip_network(one.strip()) for one in text.split(",") if one.strip())
        except ValueError as error:
            raise SettingsInvalid(f"{setting} must be networks", detail=str(error), hint=hint) from None

    def __bool__(self) -> bool:
        """Are there any?"""
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        """False too for what is no address, such as that of a socket in the file system."""
        if not self:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)
