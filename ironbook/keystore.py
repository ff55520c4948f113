"""Keys and where they are kept: an encrypted file, behind an interface that another secret store can satisfy.

The engine loads keys from here, the command line edits them; both may import this module, it imports neither.

    keys.ironbook                                   passphrase (environment or a file of mode 0600; never argv)
    ┌──────────────────────────────┐                     │ scrypt(salt, N, r, p) -> 64 bytes
    │ header, 64 bytes, readable   │ ◀── check value ────┤ last 8 of them: tells a wrong passphrase from a damaged file
    ├──────────────────────────────┤                     │
    │ AES-256-GCM(JSON of the keys)│ ◀── key ────────────┘ first 32 of them
    │ + tag, 16 bytes              │     the header is the associated data: no byte of it can change unseen
    └──────────────────────────────┘

    header  0 magic "IRONKEYS" · 8 version u16 · 10 kdf u8 (1: scrypt) · 11 cipher u8 (1: AES-256-GCM) · 12 log2 N ·
            13 r · 14 p · 15 zero · 16 salt 16 · 32 nonce 12 · 44 body bytes u32 · 48 generation u64 · 56 check value 8

An edit takes `<file>.lock`, reads, writes a new file beside it, syncs it, renames it over the old one and syncs the
directory: a reader sees the old keys or the new ones, a power cut leaves one of them whole.

A key's life:   create_key ──▶ one secret ──begin_rotation──▶ two secrets (both open sessions) ──finish_rotation──▶ one
                                   └──────────────────── revoke ──▶ no secret; its number is never given again
                adopt_key ───▶ a key that was made elsewhere, number and secrets and all; again when it changed there
                hold_secrets ▶ exactly these one or two secrets, whatever it had

Errors (each with a stable code):

    KeyStoreError
    ├── KeyFileMissing      key_file_missing        no such file
    ├── KeyFileExists       key_file_exists         would be overwritten
    ├── KeyFileAccess       key_file_access         others may read it, or this user may not
    ├── KeyFileLocked       key_file_locked         another edit holds the lock
    ├── KeyFileVersion      key_file_version        written by a newer release
    ├── KeyFileDamaged      key_file_damaged        truncated, altered, or no key file at all
    ├── PassphraseMissing   passphrase_missing
    ├── PassphraseInvalid   passphrase_invalid      too short, or its file may be read by others
    ├── PassphraseWrong     passphrase_wrong
    ├── KeyUnknown          key_unknown             no live key of that id
    ├── KeyExists           key_exists              ids are used once
    ├── KeyNumberTaken      key_number_taken        the number is another key's, or the key has another number
    ├── KeyInvalid          key_invalid             a field of a key is out of range
    └── RotationRefused     rotation_refused        a second secret is there already, or is not there
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import hmac
import ipaddress
import json
import os
import re
import secrets
import stat
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from schemas.vocabulary import Permission

__all__ = [
    "KEY_FILE_NAME",
    "PASSPHRASE_FILE_VARIABLE",
    "PASSPHRASE_VARIABLE",
    "Key",
    "KeyExists",
    "KeyFile",
    "KeyFileAccess",
    "KeyFileDamaged",
    "KeyFileExists",
    "KeyFileLocked",
    "KeyFileMissing",
    "KeyFileVersion",
    "KeyInvalid",
    "KeyNumberTaken",
    "KeySet",
    "KeyStore",
    "KeyStoreError",
    "KeyUnknown",
    "NewSecret",
    "PassphraseInvalid",
    "PassphraseMissing",
    "PassphraseWrong",
    "RotationRefused",
    "Secret",
    "make_passphrase_file",
    "parse_permissions",
    "permission_names",
    "read_passphrase_file",
    "select_passphrase",
]

KEY_FILE_NAME: Final = "keys.ironbook"  # in the data directory, unless told otherwise
PASSPHRASE_VARIABLE: Final = "IRONBOOK_KEY_PASSPHRASE"
PASSPHRASE_FILE_VARIABLE: Final = "IRONBOOK_KEY_PASSPHRASE_FILE"

SECRET_BYTES: Final = 32
KEY_NUMBER_MAX: Final = 65534  # a key's number is 16 bits in a report
ACCOUNT_MAX: Final = 16777214
NETWORK_COUNT_MAX: Final = 16  # as many as the engine holds for a key
MESSAGE_RATE_MAX: Final = 100_000_000
NOTE_CHARACTERS_MAX: Final = 200
PASSPHRASE_BYTES_MIN: Final = 12
PASSPHRASE_BYTES_MAX: Final = 1024
FILE_BYTES_MAX: Final = 64 << 20

_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,15}")
_HEADER = struct.Struct("<8sHBBBBBx16s12sIQ8s")
_MAGIC: Final = b"IRONKEYS"
_VERSION: Final = 1
_KDF_SCRYPT: Final = 1
_CIPHER_AES_256_GCM: Final = 1
_TAG_BYTES: Final = 16
_SCRYPT_LOG2_N: Final = 15  # 32 MiB and about 0.1 s a guess
_SCRYPT_R: Final = 8
_SCRYPT_P: Final = 1
_SCRYPT_LOG2_N_RANGE: Final = (14, 20)  # a forged header must not cost more than 1 GiB before it is found out
_LOCK_POLL_S: Final = 0.02


class KeyStoreError(Exception):
    """Base of all below: message (what must hold, what was found), detail (where), hint (what to do)."""

    code: ClassVar[str] = "key_store"

    def __init__(self, message: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return "; ".join(part for part in (self.message, self.detail, self.hint) if part)


class KeyFileMissing(KeyStoreError):
    """There is no such file."""

    code = "key_file_missing"


class KeyFileExists(KeyStoreError):
    """A file is there already and would be overwritten."""

    code = "key_file_exists"


class KeyFileAccess(KeyStoreError):
    """Others may read the file, or this user may not."""

    code = "key_file_access"


class KeyFileLocked(KeyStoreError):
    """Another edit holds the lock."""

    code = "key_file_locked"


class KeyFileVersion(KeyStoreError):
    """The file was written in a version that this release does not read."""

    code = "key_file_version"


class KeyFileDamaged(KeyStoreError):
    """The file is truncated, altered, or no key file at all."""

    code = "key_file_damaged"


class PassphraseMissing(KeyStoreError):
    """No passphrase was given."""

    code = "passphrase_missing"


class PassphraseInvalid(KeyStoreError):
    """The passphrase is too short or too long, or others may read its file."""

    code = "passphrase_invalid"


class PassphraseWrong(KeyStoreError):
    """The passphrase does not open this file."""

    code = "passphrase_wrong"


class KeyUnknown(KeyStoreError):
    """There is no live key of that id."""

    code = "key_unknown"


class KeyExists(KeyStoreError):
    """A key of that id is there, or was; ids are used once."""

    code = "key_exists"


class KeyNumberTaken(KeyStoreError):
    """The number is another key's, or the key has another number; the journal knows a key by its number for ever."""

    code = "key_number_taken"


class KeyInvalid(KeyStoreError):
    """A field of a key is out of range."""

    code = "key_invalid"


class RotationRefused(KeyStoreError):
    """A second secret is there already, or is not there."""

    code = "rotation_refused"


# ---- What a key is ---------------------------------------------------------------------------------------------------


def permission_names(permissions: int) -> tuple[str, ...]:
    """The names of the bits set, in the order of their values."""
    return tuple(bit.name.lower() for bit in Permission if bit.name is not None and permissions & bit)


def parse_permissions(names: str | Iterable[str]) -> int:
    """Permission bits from names ("trade,cancel,read" or a sequence of names). Raises KeyInvalid."""
    known = {bit.name.lower(): int(bit) for bit in Permission if bit.name is not None}
    total = 0
    for name in names.split(",") if isinstance(names, str) else names:
        if name.strip().lower() not in known:
            raise KeyInvalid(
                f"a permission must be one of {', '.join(known)}; was {name.strip()!r}",
                hint="separate several by commas",
            )
        total |= known[name.strip().lower()]
    return total


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """One live secret of a key. Its value never shows in repr, logs or lists."""

    value: bytes = dataclasses.field(repr=False)  # SECRET_BYTES random bytes
    created_ns: int  # since the epoch

    def fingerprint(self) -> str:
        """Eight hex digits that tell secrets apart and give nothing away."""
        return hashlib.sha256(b"IRONBK01 fingerprint" + self.value).hexdigest()[:8]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key: who may log on, from where, and what for. Fields are checked when it is made (KeyInvalid)."""

    number: int  # 1 .. KEY_NUMBER_MAX, given once and for ever: the journal knows the key by it
    key_id: str  # 1 to 16 of A-Z a-z 0-9 . _ -
    secrets: tuple[Secret, ...] = ()  # oldest first: two while rotating, none when revoked
    permissions: int = 0  # Permission bits
    account: int = 0  # its own account; 0: none (an admin's key)
    networks: tuple[str, ...] = ()  # CIDR, IPv4 or IPv6; empty: any address
    message_rate_per_s: int = 0  # frames a second; 0: no limit
    message_burst: int = 0  # frames at once; 0 exactly when there is no rate
    created_ns: int = 0  # since the epoch
    rotated_ns: int = 0  # when a rotation was last begun; 0: never
    revoked_ns: int = 0  # 0: live
    note: str = ""

    def __post_init__(self) -> None:
        where = f"key {self.key_id!r}"
        _must(_KEY_ID.fullmatch(self.key_id) is not None, "key_id", "1 to 16 of A-Z a-z 0-9 . _ -", self.key_id, where)
        _must_range("number", self.number, 1, KEY_NUMBER_MAX, where)
        _must_range("permissions", self.permissions, 0, sum(Permission), where)
        _must_range("account", self.account, 0, ACCOUNT_MAX, where)
        _must_range("message_rate_per_s", self.message_rate_per_s, 0, MESSAGE_RATE_MAX, where)
        burst_min, burst_max = (1, MESSAGE_RATE_MAX) if self.message_rate_per_s else (0, 0)
        _must_range("message_burst", self.message_burst, burst_min, burst_max, where)
        _must(
            len(self.note) <= NOTE_CHARACTERS_MAX,
            "note",
            f"at most {NOTE_CHARACTERS_MAX} characters",
            len(self.note),
            where,
        )
        _must(self.note.isprintable(), "note", "printable characters", "others", where)
        _must(
            len(self.networks) <= NETWORK_COUNT_MAX,
            "networks",
            f"at most {NETWORK_COUNT_MAX}",
            len(self.networks),
            where,
        )
        object.__setattr__(self, "networks", tuple(_canonical_network(network, where) for network in self.networks))
        wanted = (0,) if self.revoked_ns else (1, 2)
        _must(len(self.secrets) in wanted, "secrets", " or ".join(map(str, wanted)), len(self.secrets), where)
        for secret in self.secrets:
            _must(len(secret.value) == SECRET_BYTES, "secret", f"{SECRET_BYTES} bytes", len(secret.value), where)

    @property
    def live(self) -> bool:
        """Whether anyone can log on with it."""
        return not self.revoked_ns

    def network_bytes(self) -> tuple[tuple[bytes, int], ...]:
        """The networks as the engine takes them: (16-byte IPv6 or IPv4-mapped address, prefix bits of 128)."""
        pairs = []
        for text in self.networks:
            network = ipaddress.ip_network(text)
            if isinstance(network, ipaddress.IPv4Network):
                pairs.append((bytes(10) + b"\xff\xff" + network.network_address.packed, 96 + network.prefixlen))
            else:
                pairs.append((network.network_address.packed, network.prefixlen))
        return tuple(pairs)

    def summary(self) -> dict[str, object]:
        """Everything but the secrets, ready for JSON."""
        return {
            "number": self.number,
            "key_id": self.key_id,
            "live": self.live,
            "permissions": list(permission_names(self.permissions)),
            "account": self.account,
            "networks": list(self.networks),
            "message_rate_per_s": self.message_rate_per_s,
            "message_burst": self.message_burst,
            "secrets": [{"fingerprint": s.fingerprint(), "created_ns": s.created_ns} for s in self.secrets],
            "created_ns": self.created_ns,
            "rotated_ns": self.rotated_ns,
            "revoked_ns": self.revoked_ns,
            "note": self.note,
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """All keys of a store at one version of it."""

    keys: tuple[Key, ...]  # by rising number, revoked ones too
    version: str  # differs whenever the content does

    def live(self) -> tuple[Key, ...]:
        """The keys that can log on."""
        return tuple(key for key in self.keys if key.live)

    def find(self, key_id: str) -> Key:
        """The live key of that id. Raises KeyUnknown."""
        for key in self.keys:
            if key.key_id == key_id and key.live:
                return key
        known = ", ".join(key.key_id for key in self.live()[:20]) or "none"
        raise KeyUnknown(f"the key must be a live one, was {key_id!r}", detail=f"live keys: {known}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    """A key and the secret that was just made for it: the only time that a secret is handed out."""

    key: Key
    secret: bytes = dataclasses.field(repr=False)


class KeyStore(Protocol):
    """Where keys come from. The encrypted file is one; a cloud's secret store can be another."""

    def load(self) -> KeySet:
        """All keys. Raises KeyStoreError; then the caller keeps the keys it has."""

    def mark(self) -> str:
        """A cheap mark that differs when the store may have changed; "" if it cannot be told now."""


def _must(holds: bool, field: str, rule: str, found: object, where: str) -> None:
    if not holds:
        raise KeyInvalid(f"{field} must be {rule}, was {found!r}", detail=where)


def _must_range(field: str, value: int, least: int, most: int, where: str) -> None:
    _must(least <= value <= most, field, f"{least} to {most}", value, where)


def _canonical_network(text: str, where: str) -> str:
    try:
        network = ipaddress.ip_network(text.strip(), strict=True)
    except ValueError as error:
        raise KeyInvalid(
            f"a network must be CIDR (10.0.0.0/8, 2001:db8::/32) with no bit set behind the prefix, was {text!r}",
            detail=f"{where}: {error}",
        ) from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise KeyInvalid(f"an IPv4 network must be written as such, was {text!r}", detail=where, hint="drop ::ffff:")
    return str(network)


# ---- Passphrases -----------------------------------------------------------------------------------------------------


def select_passphrase(value: str | None, file: Path | None) -> bytes:
    """The passphrase from the variable's value, else from the file. Raises PassphraseMissing, PassphraseInvalid."""
    if value:
        return _checked_passphrase(value.encode(), f"variable {PASSPHRASE_VARIABLE}")
    if file is not None:
        return read_passphrase_file(file)
    raise PassphraseMissing(
        "a passphrase must be given to open the key file, none was",
        hint=f"set {PASSPHRASE_VARIABLE}, or {PASSPHRASE_FILE_VARIABLE} to a file of mode 0600",
    )


def read_passphrase_file(path: Path) -> bytes:
    """The first line of a file that only its owner may read. Raises PassphraseMissing, PassphraseInvalid."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise PassphraseMissing(
            f"the passphrase file must be readable: {error.strerror}",
            detail=str(path),
            hint=f"make it with mode 0600, or set {PASSPHRASE_VARIABLE}",
        ) from None
    with open(descriptor, "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise PassphraseInvalid(
                f"the passphrase file must have mode 0600 or 0400, had {mode:04o}",
                detail=str(path),
                hint=f"chmod 600 {path}",
            )
        line = file.read(PASSPHRASE_BYTES_MAX + 2).split(b"\n", 1)[0].rstrip(b"\r")
    return _checked_passphrase(line, str(path))


def make_passphrase_file(path: Path, *, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> bytes:
    """Write a new random passphrase to a new file of mode 0600 and return it. Raises KeyFileExists, KeyFileAccess."""
    passphrase = random_bytes(24).hex().encode()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise KeyFileExists(
            "the passphrase file must be a new one, but exists", detail=str(path), hint="use it, or remove it"
        ) from None
    except OSError as error:
        raise KeyFileAccess(f"the passphrase file must be writable: {error.strerror}", detail=str(path)) from None
    with open(descriptor, "wb") as file:
        file.write(passphrase + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return passphrase


def _checked_passphrase(value: bytes, where: str) -> bytes:
    if not PASSPHRASE_BYTES_MIN <= len(value) <= PASSPHRASE_BYTES_MAX:
        raise PassphraseInvalid(
            f"a passphrase must have {PASSPHRASE_BYTES_MIN} to {PASSPHRASE_BYTES_MAX} bytes, had {len(value)}",
            detail=where,
            hint="for example: openssl rand -hex 24",
        )
    return value


# ---- The file --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Content:
    keys: tuple[Key, ...]
    next_number: int
    generation: int
    nonce: bytes = b""  # as read: no two writings have the same, though a restored copy may count its edits alike


@dataclasses.dataclass(frozen=True, slots=True)
class _Derived:
    """What scrypt made of the passphrase for one salt; kept, so that a reload costs no second derivation."""

    parameters: tuple[int, int, int, bytes]  # log2 N, r, p, salt
    key: bytes = dataclasses.field(repr=False)
    check: bytes = dataclasses.field(repr=False)


class KeyFile:
    """The encrypted key file. Satisfies KeyStore; the edits are safe beside each other and beside readers.

    Not for use by several threads at once. Time and randomness are handed in.
    """

    def __init__(
        self,
        path: Path | str,
        passphrase: bytes,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        lock_timeout_s: float = 10.0,
    ) -> None:
        self.path = Path(path)
        self._passphrase = _checked_passphrase(passphrase, "argument passphrase")
        self._now_ns = now_ns
        self._random_bytes = random_bytes
        self._lock_timeout_s = lock_timeout_s
        self._derived: _Derived | None = None

    def __repr__(self) -> str:
        return f"KeyFile({str(self.path)!r})"

    def initialise(self) -> None:
        """Write a new file without keys. Raises KeyFileExists."""
        with self._locked():
            if self.path.exists():
                raise KeyFileExists(
                    "the key file must be a new one, but exists", detail=str(self.path), hint="use it, or move it away"
                )
            self._write(
                _Content((), 1, 1), self._derive((_SCRYPT_LOG2_N, _SCRYPT_R, _SCRYPT_P, self._random_bytes(16)))
            )

    def load(self) -> KeySet:
        """All keys, revoked ones too. Raises any KeyFile... error and PassphraseWrong."""
        content = self._read()
        return KeySet(keys=content.keys, version=f"{content.generation}-{content.nonce.hex()[:16]}")

    def summaries(self) -> list[dict[str, object]]:
        """Each key's summary, by number, without secrets."""
        return [key.summary() for key in self.load().keys]

    def mark(self) -> str:
        """Inode, size and time of the file: differs after every edit. "" if there is no file."""
        try:
            status = os.stat(self.path)
        except OSError:
            return ""
        return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"

    # Edits

    def create_key(
        self,
        key_id: str,
        *,
        permissions: int,
        account: int = 0,
        networks: Iterable[str] = (),
        message_rate_per_s: int = 0,
        message_burst: int | None = None,
        note: str = "",
    ) -> NewSecret:
        """A new key with one secret, which is returned here and never again. Raises KeyExists, KeyInvalid."""
        with self._edit() as edit:
            if any(key.key_id == key_id for key in edit.content.keys):
                raise KeyExists(
                    f"a key's id must be a new one, was {key_id!r}", hint="ids are used once, revoked ones too"
                )
            number = edit.content.next_number
            if number > KEY_NUMBER_MAX:
                raise KeyInvalid(
                    f"key numbers must be at most {KEY_NUMBER_MAX}; all are used", hint="start a new shard"
                )
            now = self._now_ns()
            secret = Secret(value=self._random_bytes(SECRET_BYTES), created_ns=now)
            key = Key(
                number=number,
                key_id=key_id,
                secrets=(secret,),
                permissions=permissions,
                account=account,
                networks=tuple(networks),
                message_rate_per_s=message_rate_per_s,
                message_burst=message_rate_per_s if message_burst is None else message_burst,
                created_ns=now,
                note=note,
            )
            edit.content = _Content((*edit.content.keys, key), number + 1, edit.content.generation)
        return NewSecret(key=key, secret=secret.value)

    def adopt_key(
        self,
        key_id: str,
        *,
        number: int,
        permissions: int,
        account: int = 0,
        networks: Iterable[str] = (),
        secrets: Sequence[bytes],
        note: str = "",
    ) -> Key:
        """A key that was made elsewhere is here exactly as it is there; again with the same it writes nothing.

        secrets: one, or the older and the newer. Message rate and an older note stay, as they are this file's own.
        Raises KeyNumberTaken; KeyExists where it was revoked here: that is not undone; KeyInvalid.
        """
        with self._edit() as edit:
            old = next((key for key in edit.content.keys if key.key_id == key_id), None)
            if old is not None and not old.live:
                raise KeyExists(
                    f"a key that was revoked here stays so, {key_id!r} was", hint="make a key with another id"
                )
            holder = next((key for key in edit.content.keys if key.number == number), old)
            if holder is not old or (old is not None and old.number != number):
                has = f"belongs to {holder.key_id!r}" if holder is not None and holder is not old else "is not its own"
                raise KeyNumberTaken(
                    f"a key's number is its own for ever, number {number} {has}",
                    detail=f"key {key_id!r}" + (f", whose number here is {old.number}" if old is not None else ""),
                    hint="make the key elsewhere with a number that no key has here",
                )
            now = self._now_ns()
            if old is None:
                fresh = Key(
                    number=number,
                    key_id=key_id,
                    secrets=_held_secrets((), secrets, now),
                    permissions=permissions,
                    account=account,
                    networks=tuple(networks),
                    created_ns=now,
                    note=note,
                )
                return edit.add(fresh)
            return edit.change(
                old,
                secrets=_held_secrets(old.secrets, secrets, now),
                permissions=permissions,
                account=account,
                networks=tuple(networks),
                note=old.note or note,
                now_ns=now,
            )

    def hold_secrets(self, key_id: str, secrets: Sequence[bytes]) -> Key:
        """The key has exactly these: one, or the older and the newer; again with the same it writes nothing.

        Raises KeyUnknown, KeyInvalid.
        """
        with self._edit() as edit:
            old, now = edit.find(key_id), self._now_ns()
            return edit.change(old, secrets=_held_secrets(old.secrets, secrets, now), now_ns=now)

    def begin_rotation(self, key_id: str) -> NewSecret:
        """Add a second secret; the first goes on working. Raises RotationRefused if there are two already."""
        with self._edit() as edit:
            old = edit.find(key_id)
            if len(old.secrets) > 1:
                raise RotationRefused(
                    f"a key must have one secret before a rotation, {key_id!r} has two",
                    hint="finish the rotation that was begun, or cancel it",
                )
            now = self._now_ns()
            secret = Secret(value=self._random_bytes(SECRET_BYTES), created_ns=now)
            key = edit.replace(old, secrets=(*old.secrets, secret), rotated_ns=now)
        return NewSecret(key=key, secret=secret.value)

    def finish_rotation(self, key_id: str) -> Key:
        """Drop the older secret: sessions under it end. Raises RotationRefused if there is only one."""
        return self._drop_secret(key_id, kept=-1)

    def cancel_rotation(self, key_id: str) -> Key:
        """Drop the newer secret. Raises RotationRefused if there is only one."""
        return self._drop_secret(key_id, kept=0)

    def revoke(self, key_id: str) -> Key:
        """Drop all secrets: its session ends, nobody logs on again. The number and the id stay taken."""
        with self._edit() as edit:
            return edit.replace(edit.find(key_id), secrets=(), revoked_ns=max(1, self._now_ns()))

    def set_networks(self, key_id: str, networks: Iterable[str]) -> Key:
        """Replace the allow list; empty allows any address."""
        with self._edit() as edit:
            return edit.replace(edit.find(key_id), networks=tuple(networks))

    def set_permissions(self, key_id: str, permissions: int) -> Key:
        """Replace the permissions."""
        with self._edit() as edit:
            return edit.replace(edit.find(key_id), permissions=permissions)

    def set_message_rate(self, key_id: str, message_rate_per_s: int, message_burst: int | None = None) -> Key:
        """Replace the message rate; 0 is no limit. The burst is one second's worth unless given."""
        burst = message_rate_per_s if message_burst is None else message_burst
        with self._edit() as edit:
            return edit.replace(edit.find(key_id), message_rate_per_s=message_rate_per_s, message_burst=burst)

    def set_note(self, key_id: str, note: str) -> Key:
        """Replace the note."""
        with self._edit() as edit:
            return edit.replace(edit.find(key_id), note=note)

    def change_passphrase(self, passphrase: bytes) -> None:
        """Encrypt the file anew, with a new salt. Raises PassphraseInvalid."""
        with self._locked():
            content = self._read()
            before = self._passphrase
            self._passphrase = _checked_passphrase(passphrase, "argument passphrase")
            try:
                derived = self._derive((_SCRYPT_LOG2_N, _SCRYPT_R, _SCRYPT_P, self._random_bytes(16)))
                self._write(dataclasses.replace(content, generation=content.generation + 1), derived)
            except BaseException:
                self._passphrase, self._derived = before, None
                raise

    def _drop_secret(self, key_id: str, kept: int) -> Key:
        with self._edit() as edit:
            old = edit.find(key_id)
            if len(old.secrets) != 2:
                raise RotationRefused(
                    f"a rotation must have been begun, {key_id!r} has {len(old.secrets)} secret",
                    hint="begin the rotation first",
                )
            return edit.replace(old, secrets=(old.secrets[kept],))

    @contextlib.contextmanager
    def _edit(self) -> Iterator[_Edit]:
        with self._locked():
            before = self._read()
            edit = _Edit(before)
            yield edit
            if edit.content is before:
                return  # all is as it was: readers need not load it again
            derived = self._derived
            if derived is None:
                raise KeyFileDamaged("the key file must have been read before it is written", detail=str(self.path))
            self._write(dataclasses.replace(edit.content, generation=edit.content.generation + 1), derived)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise KeyFileAccess(
                f"the lock beside the key file must be writable: {error.strerror}", detail=str(lock)
            ) from None
        try:
            deadline = time.monotonic() + self._lock_timeout_s
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise KeyFileLocked(
                            f"the lock must be free within {self._lock_timeout_s:g} s, was held",
                            detail=str(lock),
                            hint="wait for the other edit to end, then try again",
                        ) from None
                    time.sleep(_LOCK_POLL_S)
            yield
        finally:
            os.close(descriptor)

    # Bytes

    def _derive(self, parameters: tuple[int, int, int, bytes]) -> _Derived:
        if self._derived is None or self._derived.parameters != parameters:
            log2_n, r, p, salt = parameters
            made = Scrypt(salt=salt, length=64, n=1 << log2_n, r=r, p=p).derive(self._passphrase)
            self._derived = _Derived(parameters, made[:32], made[56:])
        return self._derived

    def _read(self) -> _Content:
        data = self._read_bytes()
        where = str(self.path)
        if len(data) < _HEADER.size:
            raise _damaged(f"it must have at least {_HEADER.size + _TAG_BYTES} bytes, has {len(data)}", where)
        magic, version, kdf, cipher, log2_n, r, p, salt, nonce, body_bytes, generation, check = _HEADER.unpack_from(
            data
        )
        if magic != _MAGIC:
            raise _damaged(f"it must begin with {_MAGIC!r}, begins with {magic!r}", where)
        if (version, kdf, cipher) != (_VERSION, _KDF_SCRYPT, _CIPHER_AES_256_GCM):
            raise KeyFileVersion(
                f"the key file must be of version {_VERSION}/1/1, was {version}/{kdf}/{cipher} (version/kdf/cipher)",
                detail=f"{where}, byte 8",
                hint="use the release that wrote it, or restore a copy",
            )
        if not _SCRYPT_LOG2_N_RANGE[0] <= log2_n <= _SCRYPT_LOG2_N_RANGE[1] or r != _SCRYPT_R or not 1 <= p <= 4:
            raise _damaged(f"its scrypt parameters must be sane, are N=2^{log2_n} r={r} p={p}", f"{where}, byte 12")
        if len(data) != _HEADER.size + body_bytes or body_bytes < _TAG_BYTES:
            raise _damaged(f"it must have {_HEADER.size + body_bytes} bytes, has {len(data)}", where)
        derived = self._derive((log2_n, r, p, salt))
        if not hmac.compare_digest(derived.check, check):
            self._derived = None
            raise PassphraseWrong(
                "the passphrase must be the one the key file was written with, was another",
                detail=where,
                hint=f"check {PASSPHRASE_VARIABLE} and {PASSPHRASE_FILE_VARIABLE} (or the header was altered)",
            )
        try:
            body = AESGCM(derived.key).decrypt(nonce, data[_HEADER.size :], data[: _HEADER.size])
        except InvalidTag:
            raise _damaged("its content must carry a right tag, does not: it was altered", where) from None
        return dataclasses.replace(_decode(body, generation, where), nonce=nonce)

    def _read_bytes(self) -> bytes:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would block
        except FileNotFoundError:
            raise KeyFileMissing(
                "the key file must exist, does not", detail=str(self.path), hint="make one: ironbook keys create"
            ) from None
        except OSError as error:
            raise KeyFileAccess(
                f"the key file must be readable: {error.strerror}", detail=str(self.path), hint="check its owner"
            ) from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise KeyFileAccess("the key file must be an ordinary file, is not", detail=str(self.path))
        with open(descriptor, "rb") as file:
            mode = stat.S_IMODE(status.st_mode)
            if mode & 0o077:
                raise KeyFileAccess(
                    f"the key file must have mode 0600, had {mode:04o}",
                    detail=str(self.path),
                    hint=f"chmod 600 {self.path}; if others may have read it, rotate the keys",
                )
            if status.st_size > FILE_BYTES_MAX:
                raise _damaged(f"it must have at most {FILE_BYTES_MAX} bytes, has {status.st_size}", str(self.path))
            return file.read(FILE_BYTES_MAX + 1)

    def _write(self, content: _Content, derived: _Derived) -> None:
        body = _encode(content)
        log2_n, r, p, salt = derived.parameters
        nonce = self._random_bytes(12)
        header = _HEADER.pack(
            _MAGIC, _VERSION, _KDF_SCRYPT, _CIPHER_AES_256_GCM, log2_n, r, p, salt, nonce,
            len(body) + _TAG_BYTES, content.generation, derived.check,
        )  # fmt: skip
        data = header + AESGCM(derived.key).encrypt(nonce, body, header)
        temporary = self.path.with_name(f".{self.path.name}.{self._random_bytes(4).hex()}.tmp")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with open(descriptor, "wb") as file:
                    self._keep_owner(file.fileno())
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(temporary, self.path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise KeyFileAccess(
                f"the key file must be writable: {error.strerror}",
                detail=str(self.path),
                hint="the keys are as they were",
            ) from None

    def _keep_owner(self, descriptor: int) -> None:
        """An edit by root must not take the file away from the engine's user."""
        with contextlib.suppress(FileNotFoundError):
            before = os.stat(self.path)
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, before.st_uid, before.st_gid)


class _Edit:
    """The content while the lock is held."""

    def __init__(self, content: _Content) -> None:
        self.content = content

    def find(self, key_id: str) -> Key:
        return KeySet(keys=self.content.keys, version="").find(key_id)

    def add(self, key: Key) -> Key:
        keys = tuple(sorted((*self.content.keys, key), key=lambda one: one.number))
        following = max(self.content.next_number, key.number + 1)
        self.content = dataclasses.replace(self.content, keys=keys, next_number=following)
        return key

    def change(self, old: Key, *, now_ns: int, **changes: object) -> Key:
        """Replace it where something differs; a secret that was not there before begins a rotation."""
        new = dataclasses.replace(old, **changes)  # type: ignore[arg-type]
        if new == old:
            return old
        begun = any(secret not in old.secrets for secret in new.secrets)
        return self.replace(old, **changes, rotated_ns=now_ns if begun else old.rotated_ns)

    def replace(self, old: Key, **changes: object) -> Key:
        new = dataclasses.replace(old, **changes)  # type: ignore[arg-type]
        keys = tuple(new if key is old else key for key in self.content.keys)
        self.content = dataclasses.replace(self.content, keys=keys)
        return new


def _held_secrets(old: Sequence[Secret], values: Sequence[bytes], now_ns: int) -> tuple[Secret, ...]:
    """These values, each with the time at which it came; two that are one and the same are one."""
    made: list[Secret] = []
    for value in values:
        known = next((one for one in (*made, *old) if hmac.compare_digest(one.value, value)), None)
        if known not in made:
            made.append(known or Secret(value=value, created_ns=now_ns))
    return tuple(made)


def _damaged(found: str, where: str) -> KeyFileDamaged:
    return KeyFileDamaged(f"the key file must be whole: {found}", detail=where, hint="restore a copy of it")


def _encode(content: _Content) -> bytes:
    keys = []
    for key in content.keys:
        entry: dict[str, object] = {name: getattr(key, name) for name in _PLAIN_FIELDS}
        entry["networks"] = list(key.networks)
        entry["secrets"] = [{"value": s.value.hex(), "created_ns": s.created_ns} for s in key.secrets]
        keys.append(entry)
    return json.dumps({"next_number": content.next_number, "keys": keys}, separators=(",", ":")).encode()


_PLAIN_FIELDS: Final = (
    "number", "key_id", "permissions", "account", "message_rate_per_s", "message_burst",
    "created_ns", "rotated_ns", "revoked_ns", "note",
)  # fmt: skip


def _decode(body: bytes, generation: int, where: str) -> _Content:
    try:
        document = json.loads(body)
        keys = tuple(
            Key(
                **{name: entry[name] for name in _PLAIN_FIELDS},
                networks=tuple(entry["networks"]),
                secrets=tuple(
                    Secret(value=bytes.fromhex(s["value"]), created_ns=s["created_ns"]) for s in entry["secrets"]
                ),
            )
            for entry in document["keys"]
        )
        next_number = int(document["next_number"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(f"its content must be keys, is not ({type(error).__name__})", where) from None
    numbers = [key.number for key in keys]
    if (
        numbers != sorted(set(numbers))
        or (numbers and numbers[-1] >= next_number)
        or len({k.key_id for k in keys}) != len(keys)
    ):
        raise _damaged("its keys must have rising numbers and ids of their own, do not", where)
    return _Content(keys, next_number, generation)
