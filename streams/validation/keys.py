"""Keys as the engine's ingress has them, and told to the topic of keys without their secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ironbook.keystore import Key, KeySet, KeyStore, permission_names
from streams.common.keys import FollowedKeys, open_key_file
from streams.common.settings import StreamSettings
from streams.validation.rules import KeyRights

__all__ = ["Keys", "open_keys"]


class Keys(FollowedKeys):
    """Of a key store. rights: of each live key, by key id: a new map whenever something changed."""

    def __init__(self, store: KeyStore) -> None:
        self._told: dict[str, dict[str, Any]] = {}
        super().__init__(store)

    def untold(self) -> list[tuple[str, dict[str, Any] | None]]:
        """Keys whose event on the topic is not as they are now: (key id, event), None if the key is gone."""
        now = {key.key_id: _event(key, self._version) for key in self._keys}
        changed: list[tuple[str, dict[str, Any] | None]] = [
            (key_id, event) for key_id, event in now.items() if _differs(self._told.get(key_id), event)
        ]
        changed += [(key_id, None) for key_id in self._told.keys() - now.keys()]
        return changed

    def told(self, key_id: str, event: dict[str, Any] | None) -> None:
        """The topic has it."""
        if event is None:
            self._told.pop(key_id, None)
        else:
            self._told[key_id] = event

    def _taken(self, found: KeySet) -> None:
        self._keys = found.keys
        self.rights: Mapping[str, KeyRights] = {
            key.key_id: KeyRights([secret.value for secret in key.secrets], key.account, key.permissions)
            for key in found.live()
        }


def open_keys(settings: StreamSettings) -> Keys:
    """The key file of the settings. Raises KeyStoreError."""
    return Keys(open_key_file(settings))


def _event(key: Key, version: str) -> dict[str, Any]:
    return {
        "type": "key", "key_id": key.key_id, "number": key.number, "account": key.account,
        "permissions": list(permission_names(key.permissions)), "live": key.live, "secret_count": len(key.secrets),
        "version": version,
    }  # fmt: skip


def _differs(told: dict[str, Any] | None, event: dict[str, Any]) -> bool:
    """The version of the file alone is no change of a key."""
    return told is None or told | {"version": ""} != event | {"version": ""}
