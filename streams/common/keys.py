"""Keys as workers have them: the one a worker logs on with, and those of the key file, read again when it changes."""

from __future__ import annotations

import abc
import asyncio
from pathlib import Path

from ironbook import Key
from ironbook.held import fingerprint
from ironbook.keystore import KeyFile, KeySet, KeyStore, select_passphrase
from streams.common.settings import StreamSettings

__all__ = ["FollowedKeys", "key_holding", "open_key_file"]


def key_holding(key: Key) -> tuple[str, str]:
    """Name and fingerprint of its secret, as ironbook.held has them."""
    return f"api_key/{key.key_id}", fingerprint(key.secret)


def open_key_file(settings: StreamSettings) -> KeyFile:
    """The key file of the settings. Raises KeyStoreError."""
    file = Path(settings.key_passphrase_file) if settings.key_passphrase_file else None
    return KeyFile(Path(settings.key_file), select_passphrase(settings.key_passphrase or None, file))


class FollowedKeys(abc.ABC):
    """What is in a key store, kept up to date by `renew`. Raises KeyStoreError if it cannot be read at first.

    A store that cannot be read later (an edit by another user, a wrong mode) changes nothing: what was read stays.

    held   fingerprints of the live keys' secrets, by their names in ironbook.held
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
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

    def _take(self, found: KeySet) -> None:
        self._version = found.version
        self.held = {
            f"api_key/{key.key_id}": [fingerprint(secret.value) for secret in key.secrets] for key in found.live()
        }
        self._taken(found)

    @abc.abstractmethod
    def _taken(self, found: KeySet) -> None:
        """What a worker makes of it."""
