"""Keys as the engine's ingress has them: the same encrypted file, looked at again and again, and told without secrets.

A file that cannot be read now (an edit by another user, a wrong mode) changes nothing: the keys that were read stay
good, and the log says so once for each new reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ironbook.keystore import Key, KeyFile, KeySet, KeyStore, KeyStoreError, permission_names, select_passphrase
from streams.common.logs import LOGGER, fields
from streams.common.settings import StreamSettings
from streams.validation.rules import KeyRights

__all__ = ["Keys", "open_keys"]


class Keys:
    """What is in a key store, kept up to date by refresh().

    rights   of each live key, by key id: a new map whenever something changed
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._mark = store.mark()
        self._complaint = ""
        self._told: dict[str, dict[str, Any]] = {}
        self._take(store.load())

    def refresh(self) -> bool:
        """Read the store again if it may have changed. Did it?"""
        mark = self._store.mark()
        if mark == self._mark:
            return False
        try:
            found = self._store.load()
        except KeyStoreError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                LOGGER.warning("keys_not_read", extra=fields(why=error.message, detail=error.detail, hint=error.hint))
            return False
        self._mark, self._complaint = mark, ""
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
