"""What the engine says of the keys that it accepts: <data>/engine.held.json, for whoever waits to end an old secret.

    loop      take(keys) after each set_keys: notes them, no more
    watcher   turn() now and then: writes what was noted, or shows that the process lives
    loop      close() at a clean stop: the file goes; a crash leaves it

Fingerprints are computed and files written in the watcher's thread, never in the loop's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ironbook.held import BEAT_S, Held, HeldError, fingerprint, process_name
from ironbook.keystore import Key, KeySet

__all__ = ["HeldKeys"]

PREFIX: Final = "api_key/"


class HeldKeys:
    """The keys in the engine, as others may know them.

    told: called in the watcher's thread when the file cannot be written, once, and with None when it can again.
    """

    def __init__(self, path: Path, shard: int, told: Callable[[HeldError | None], None]) -> None:
        self._held = Held(path, process_name(f"engine-{shard}"), "engine")
        self._told = told
        self._noted: KeySet | None = None
        self._broken = False
        self._beat_at_s = 0.0

    def take(self, keys: KeySet) -> None:
        """The engine has just these now."""
        self._noted = keys

    def turn(self) -> None:
        """Say what was noted, or beat when it is time."""
        keys, self._noted = self._noted, None
        try:
            if keys is not None:
                self._held.replace(PREFIX, {PREFIX + key.key_id: (_fingerprints(key), None) for key in keys.live()})
            elif time.monotonic() < self._beat_at_s:
                return
            self._held.beat()
        except HeldError as error:
            if not self._broken:
                self._told(error)
            self._broken = True
        else:
            if self._broken:
                self._told(None)
            self._broken = False
        self._beat_at_s = time.monotonic() + BEAT_S

    def close(self) -> None:
        """The engine holds nothing any more."""
        self._held.close()


def _fingerprints(key: Key) -> list[str]:
    return [fingerprint(secret.value) for secret in key.secrets]
