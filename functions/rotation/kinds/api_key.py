"""An API key: key id, 32 secret bytes, and what the key may do."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, ClassVar, Protocol

from functions.common.errors import SecretInvalid
from functions.rotation.kinds import SECRET_BYTES, Draw, Quiet, Value, need_hex
from ironbook.held import fingerprint
from ironbook.keystore import KeyStoreError, parse_permissions
from schemas.vocabulary import Permission

__all__ = ["ApiKey"]

_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,15}")


class Door(Protocol):
    """Where a secret of a key is tried: the engine's ingress, a gateway."""

    def try_key(self, key_id: str, secret: bytes) -> str:
        """What was tried. Raises NewSecretRefused."""


class ApiKey(Quiet):
    """A key that signs orders."""

    name: ClassVar[str] = "api_key"
    verified: ClassVar[bool] = True

    def __init__(self, draw: Draw, engine: Door | None, gateway: Door | None) -> None:
        self._draw, self._engine, self._gateway = draw, engine, gateway

    def check(self, value: Value, where: str) -> None:
        key_id = value.get("key_id")
        if not isinstance(key_id, str) or _KEY_ID.fullmatch(key_id) is None:
            raise SecretInvalid("key_id must be 1 to 16 of A-Z a-z 0-9 . _ -, is not", detail=where)
        need_hex(value, "secret", where)
        for field in ("permissions", "networks"):
            named = value.get(field, [])
            if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
                raise SecretInvalid(f"{field} must be a list of names, is not", detail=where)
        try:
            parse_permissions(value.get("permissions", []))
            for network in value.get("networks", []):
                ipaddress.ip_network(network)
        except (KeyStoreError, ValueError):  # they repeat what they found, which may be a secret misplaced
            raise SecretInvalid(
                f"permissions must be of {', '.join(bit.name.lower() for bit in Permission if bit.name)}, "
                "networks such as 10.0.0.0/8, are not",
                detail=where,
            ) from None

    def pair(self, new: Value, old: Value, where: str) -> None:
        kept = {field: old.get(field) for field in ("key_id", "number", "permissions", "account", "networks")}
        wrong = sorted(field for field, was in kept.items() if new.get(field) != was)
        if wrong:
            raise SecretInvalid(
                f"a rotation must change the secret of a key and nothing else, would change {', '.join(wrong)}",
                detail=where,
                hint="change what a key may do in the current version, when no rotation is under way",
            )

    def holder(self, value: Value) -> str:
        return f"api_key/{value['key_id']}"

    def fingerprint(self, value: Value) -> str:
        return fingerprint(bytes.fromhex(value["secret"]))

    def fresh(self, value: Value) -> dict[str, Any]:
        return {**value, "secret": self._draw(SECRET_BYTES).hex()}

    async def test(self, new: Value) -> list[str]:
        if new.get("networks"):
            return ["key bound to networks: tried by nobody here, its holders have it"]
        secret = bytes.fromhex(new["secret"])
        doors = [self._engine, self._gateway if "read" in new.get("permissions", []) else None]
        return [door.try_key(new["key_id"], secret) for door in doors if door is not None]
