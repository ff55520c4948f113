"""Keys as the engine's ingress has them: the same encrypted file, read again when it changes, and told without secrets.

A file that cannot be read now (an edit by another user, a wrong mode) changes nothing: the keys that were read stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ironbook.held import fingerprint
from ironbook.keystore import Key, KeyFile, KeySet, KeyStore, permission_names, select_passphrase
from streams.common.settings import StreamSettings
from streams.validation.rules import KeyRights

__all__ = ["Keys", "open_keys"]


class Keys:
    """What is in a key store, kept up to date by `renew`.

    rights   of each live key, by key id: a new map whenever something changed
    held     fingerprints of their secrets, by their names in ironbook.held
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._told: dict[str, dict[str, Any]] = {}
        self._take(store.load())

    def mark(self) -> str:
        """Differs when the store may have changed."""
        return self._store.mark()

    async def renew(self) -> bool:
        """Read the store again; had it changed? Raises KeyStoreError: what was read before stays."""
        found = await asyncio.to_thread(self._store.load)
        if found.version == self._version:
            return False
        self._take(found)
        return True

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

    def _take(self, found: KeySet) -> None:
        self._keys, self._version = found.keys, found.version
        self.rights: Mapping[str, KeyRights] = {
            key.key_id: KeyRights([secret.value for secret in key.secrets], key.account, key.permissions)
            for key in found.live()
        }
        self.held = {
            f"api_key/{key.key_id}": [fingerprint(secret.value) for secret in key.secrets] for key in found.live()
        }


def open_keys(settings: StreamSettings) -> Keys:
    """The key file of the settings. Raises KeyStoreError."""
    file = Path(settings.key_passphrase_file) if settings.key_passphrase_file else None
    return Keys(KeyFile(Path(settings.key_file), select_passphrase(settings.key_passphrase or None, file)))


def _event(key: Key, version: str) -> dict[str, Any]:
    return {
        "type": "key", "key_id": key.key_id, "number": key.number, "account": key.account,
        "permissions": list(permission_names(key.permissions)), "live": key.live, "secret_count": len(key.secrets),
        "version": version,
    }  # fmt: skip


def _differs(told: dict[str, Any] | None, event: dict[str, Any]) -> bool:
    """The version of the file alone is no change of a key."""
    return told is None or told | {"version": ""} != event | {"version": ""}
