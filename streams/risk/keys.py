"""Keys as the engine's ingress has them, with what checks a signed limit."""

from __future__ import annotations

from collections.abc import Mapping

from ironbook.keystore import KeySet
from streams.common.keys import FollowedKeys, open_key_file
from streams.common.settings import StreamSettings
from streams.risk.envelopes import KeyRights

__all__ = ["Keys"]


class Keys(FollowedKeys):
    """Of the settings' key file. rights: of each live key, by key id."""

    def __init__(self, settings: StreamSettings) -> None:
        super().__init__(open_key_file(settings))

    def _taken(self, found: KeySet) -> None:
        self.rights: Mapping[str, KeyRights] = {
            key.key_id: KeyRights(tuple(secret.value for secret in key.secrets), key.permissions)
            for key in found.live()
        }
