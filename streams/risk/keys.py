"""Keys as the engine's ingress has them: the same encrypted file, looked at again and again.

A file that cannot be read now changes nothing: the keys that were read stay good, and the log says so once for each new
reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ironbook.keystore import KeyFile, KeySet, KeyStoreError, select_passphrase
from streams.common.logs import LOGGER, fields
from streams.common.settings import StreamSettings
from streams.risk.envelopes import KeyRights

__all__ = ["Keys"]


class Keys:
    """What is in the key file, kept up to date by refresh(). Raises KeyStoreError if it cannot be read at first."""

    def __init__(self, settings: StreamSettings) -> None:
        file = Path(settings.key_passphrase_file) if settings.key_passphrase_file else None
        self._store = KeyFile(Path(settings.key_file), select_passphrase(settings.key_passphrase or None, file))
        self._mark = self._store.mark()
        self._complaint = ""
        self.rights: Mapping[str, KeyRights] = {}
        self._take(self._store.load())

    def refresh(self) -> None:
        """Read the file again if it may have changed."""
        mark = self._store.mark()
        if mark == self._mark:
            return
        try:
            self._take(self._store.load())
        except KeyStoreError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                LOGGER.warning("keys_not_read", extra=fields(why=error.message, detail=error.detail, hint=error.hint))
            return
        self._mark, self._complaint = mark, ""

    def _take(self, found: KeySet) -> None:
        self.rights = {
            key.key_id: KeyRights(tuple(secret.value for secret in key.secrets), key.permissions)
            for key in found.live()
        }
