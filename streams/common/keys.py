"""What a worker says of the key with which it logs on to the engine."""

from __future__ import annotations

from ironbook import Key
from ironbook.held import fingerprint

__all__ = ["key_holding"]


def key_holding(key: Key) -> tuple[str, str]:
    """Name and fingerprint of its secret, as ironbook.held has them."""
    return f"api_key/{key.key_id}", fingerprint(key.secret)
