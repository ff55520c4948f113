"""A key: what signs a client's logon. The secret never shows in a repr, a log or an error."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import orjson

from ironbook._errors import KeyInvalid

SECRET_BYTES = 32
KEY_ID_BYTES_MAX = 16


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Id (1 to 16 printable ASCII characters) and secret (32 bytes) of a client.

    >>> Key.from_hex("desk-1", "00" * 32)
    Key(key_id='desk-1')
    """

    key_id: str
    secret: bytes = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.key_id) <= KEY_ID_BYTES_MAX or not all("!" <= letter <= "~" for letter in self.key_id):
            raise KeyInvalid(
                f"a key id must be 1 to {KEY_ID_BYTES_MAX} printable ASCII characters without blanks, "
                f"was {len(self.key_id)} characters: {self.key_id[:40]!r}",
                hint="use the key id that `ironbook keys list` shows",
            )
        if len(self.secret) != SECRET_BYTES:
            raise KeyInvalid(
                f"a secret must be {SECRET_BYTES} bytes, was {len(self.secret)}",
                detail=f"key {self.key_id}",
                hint="give the secret as it was printed by `ironbook keys create`: 64 hexadecimal digits",
            )

    @property
    def key_id_bytes(self) -> bytes:
        """The id as it stands on the wire: ASCII, padded with zero bytes to 16."""
        return self.key_id.encode("ascii").ljust(KEY_ID_BYTES_MAX, b"\0")

    @classmethod
    def from_hex(cls, key_id: str, secret_hex: str) -> Key:
        """Make a key from a secret of 64 hexadecimal digits. Raises KeyInvalid."""
        return cls(key_id=key_id, secret=_secret_bytes(secret_hex, f"key {key_id}"))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Key:
        """Read a key file: JSON with `key_id` and `secret` (hexadecimal). Raises KeyInvalid.

        A file that other users may read is refused.
        """
        where = f"key file {os.fspath(path)}"
        try:
            with open(path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                data = file.read(65_536)
        except OSError as error:
            raise KeyInvalid(
                f"a key file must be readable, the system says: {error.strerror}",
                detail=where,
                hint="give the path of a file that `ironbook keys create` or `ironbook up` wrote",
            ) from error
        if mode & 0o077:
            raise KeyInvalid(
                f"a key file must be readable by its owner only (0600), its mode is 0{mode:o}",
                detail=where,
                hint="chmod 600 it, and rotate the key if others may have read it",
            )
        try:
            fields = orjson.loads(data)
            key_id, secret = fields["key_id"], fields["secret"]
            if not isinstance(key_id, str) or not isinstance(secret, str):
                raise TypeError
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise KeyInvalid(
                'a key file must be a JSON object with the texts "key_id" and "secret"',
                detail=where,
                hint="write it anew with `ironbook keys create` or `ironbook keys rotate`",
            ) from error
        return cls(key_id=key_id, secret=_secret_bytes(secret, where))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Key:
        """Read IRONBOOK_KEY_FILE, or IRONBOOK_KEY_ID with IRONBOOK_KEY_SECRET. Raises KeyInvalid."""
        variables = os.environ if environ is None else environ
        if path := variables.get("IRONBOOK_KEY_FILE"):
            return cls.from_file(path)
        key_id, secret = variables.get("IRONBOOK_KEY_ID"), variables.get("IRONBOOK_KEY_SECRET")
        if not key_id or not secret:
            raise KeyInvalid(
                "IRONBOOK_KEY_FILE, or both IRONBOOK_KEY_ID and IRONBOOK_KEY_SECRET must be set",
                detail="environment",
                hint="set IRONBOOK_KEY_FILE to a file of <data>/client-keys",
            )
        return cls(key_id=key_id, secret=_secret_bytes(secret, "IRONBOOK_KEY_SECRET"))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a key file that `from_file` reads, with mode 0600, in one step (written beside, then renamed)."""
        target = Path(path)
        beside = target.with_name(f".{target.name}.new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps({"key_id": self.key_id, "secret": self.secret.hex()}) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)


def _secret_bytes(secret_hex: str, where: str) -> bytes:
    try:
        secret = bytes.fromhex(secret_hex.strip())
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise KeyInvalid(
            f"a secret must be {SECRET_BYTES * 2} hexadecimal digits, was {len(secret_hex.strip())} characters",
            detail=where,
            hint="copy the whole secret; it is never shown in full by any error",
        ) from None
    return secret
