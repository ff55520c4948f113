"""Keys as the engine's ingress has them: the same encrypted file, read again when it changes.

A file that cannot be read now changes nothing: the keys that were read stay good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from ironbook.held import fingerprint
from ironbook.keystore import KeyFile, KeySet, select_passphrase
from streams.common.settings import StreamSettings
from streams.risk.envelopes import KeyRights

__all__ = ["Keys"]


class Keys:
    """What is in the key file, kept up to date by `renew`. Raises KeyStoreError if it cannot be read at first.

    held   fingerprints of the secrets, by their names in ironbook.held
    """

    def __init__(self, settings: StreamSettings) -> None:
        file = Path(settings.key_passphrase_file) if settings.key_passphrase_file else None
        self._store = KeyFile(Path(settings.key_file), select_passphrase(settings.key_passphrase or None, file))
        self.rights: Mapping[str, KeyRights] = {}
        self._take(self._store.load())

    def mark(self) -> str:
        """Differs when the file may have changed."""
        return self._store.mark()

    async def renew(self) -> bool:
        """Read the file again; had it changed? Raises KeyStoreError: what was read before stays."""
        found = await asyncio.to_thread(self._store.load)
        if found.version == self._version:
            return False
        self._take(found)
        return True

    def _take(self, found: KeySet) -> None:
        self._version = found.version
        self.rights = {
            key.key_id: KeyRights(tuple(secret.value for secret in key.secrets), key.permissions)
            for key in found.live()
        }
        self.held = {
            f"api_key/{key.key_id}": [fingerprint(secret.value) for secret in key.secrets] for key in found.live()
        }
