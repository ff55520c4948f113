"""Who calls: keys ready to verify signatures with, and what each may do.

    key file ──thread──▶ LiveKey by id ◀── authenticate(request) ──▶ Caller, nonce, timestamp
       ▲  renew(), when its mark changes        │ HMAC-SHA256 over what was received, never over what was parsed
       └── edit(), of /api/v1/keys            ▼ wrong ones are counted by address: 429, then 418

The secret of a client is the text of 64 hexadecimal digits that it was given, and its ASCII bytes are the HMAC's key.
Signed are the raw bytes of the query and behind them those of the body, without the pair `signature=…`. Under /api/v1
method and path stand before them (`POST /api/v1/orders?timestamp=…{…}`), so that what was signed for one operation is
good for no other one. The Binance dialect does not sign them: there, who sees the signed query of a read (in a log,
say) can send it as a cancel with the same parameters, for as long as its recvWindow lasts.

Every refusal costs two HMACs, whether the key is unknown, has one secret or two: what is not there has pads of nobody.
"""

from __future__ import annotations

import asyncio
import binascii
import functools
import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from gateway.errors import (
    ILLEGAL,
    KEY_FORMAT,
    KEY_REFUSED,
    MANDATORY,
    RECV_WINDOW,
    SIGNATURE,
    TIMESTAMP,
    TIMESTAMP_AHEAD,
    ApiError,
    Problem,
)
from gateway.limits import Limits
from gateway.routing import Request
from ironbook.held import fingerprint
from ironbook.keystore import Key, KeyFile, KeySet

__all__ = ["KEY_HEADER", "Caller", "KeyRing", "LiveKey", "Say"]

KEY_HEADER: Final = "x-mbx-apikey"
RECV_WINDOW_MS: Final = 5000  # where the caller names none
AHEAD_MS_MAX: Final = 1000  # a caller's clock may be ahead by so much
NONCE_BYTES: Final = 16
PADS_COUNT: Final = 2  # secrets that a key can have
SHA256_BLOCK_BYTES: Final = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,15}")
_DIGITS_MAX: Final = 17
_MICROSECONDS_MIN: Final = 10**15  # a timestamp from here on is in microseconds: no clock shows so many milliseconds
_NOWHERE: Final = -1  # the number of an address that is none

Answer = TypeVar("Answer")
Say = Callable[[str, str, Mapping[str, object]], None]  # a log line: level, event, fields; Log.write is one


class Caller:
    """Who made a request.

    secret  fingerprint of the secret that signed: a session ends when it is rotated away
    via     "signature", "cookie", or "name" where a key is named and nothing is signed
    """

    __slots__ = ("account", "key_id", "number", "permissions", "secret", "via")

    def __init__(self, key_id: str, number: int, account: int, permissions: int, secret: str, via: str) -> None:
        self.key_id, self.number, self.account = key_id, number, account
        self.permissions, self.secret, self.via = permissions, secret, via

    def may(self, permission: int) -> bool:
        """Has it all of these permissions?"""
        return self.permissions & permission == permission


class Pads:
    """One secret as the two states that an HMAC begins with; computed once, copied for each signature."""

    __slots__ = ("caller", "inner", "outer")

    def __init__(self, secret: bytes, caller: Caller | None) -> None:
        padded = secret.hex().encode().ljust(SHA256_BLOCK_BYTES, b"\0")
        self.inner = hashlib.sha256(padded.translate(_INNER))
        self.outer = hashlib.sha256(padded.translate(_OUTER))
        self.caller = caller

    def good(self, signed: bytes, tag: bytes) -> bool:
        """Is the tag that of these bytes? Takes as long for any wrong one."""
        inner = self.inner.copy()
        inner.update(signed)
        outer = self.outer.copy()
        outer.update(inner.digest())
        return hmac.compare_digest(outer.digest(), tag)


class LiveKey:
    """A key that can sign, as the key file has it now.

    fingerprints  of its secrets, oldest first: two while it rotates
    caller        who only names it, without a signature
    bound         it is for callers in its networks only
    """

    __slots__ = (
        "_networks", "account", "bound", "caller", "fingerprints", "key_id", "networks", "number", "pads",
        "permissions",
    )  # fmt: skip

    def __init__(self, key: Key) -> None:
        self.key_id, self.number, self.account, self.permissions = key.key_id, key.number, key.account, key.permissions
        self.networks = key.networks
        self.caller = Caller(key.key_id, key.number, key.account, key.permissions, "", "name")
        self.fingerprints = tuple(secret.fingerprint() for secret in key.secrets)
        pads = [
            Pads(secret.value, Caller(key.key_id, key.number, key.account, key.permissions, fingerprint, "signature"))
            for secret, fingerprint in zip(key.secrets, self.fingerprints, strict=True)
        ]
        self.pads = tuple(reversed(pads)) + NOBODY[len(pads) :]
        self.bound = bool(key.networks)
        self._networks = tuple((int.from_bytes(address), 128 - bits) for address, bits in key.network_bytes())

    def allows(self, peer: str) -> bool:
        """May it be used from this address?"""
        if not self._networks:
            return True
        number = _address_number(peer)
        return number != _NOWHERE and any((number ^ network) >> rest == 0 for network, rest in self._networks)


NOBODY: Final = tuple(Pads(secrets.token_bytes(32), None) for _ in range(PADS_COUNT))


class KeyRing:
    """The live keys. Verifies what callers signed. Whoever runs it calls `renew` when the key file has changed.

    held  fingerprints of the secrets that are good, by their names in ironbook.held
    """

    def __init__(
        self,
        store: KeyFile,
        limits: Limits,
        *,
        recv_window_max_ms: int = 60_000,
        now_ns: Callable[[], int] = time.time_ns,
        say: Say = lambda level, event, fields: None,
    ) -> None:
        self.held: Mapping[str, Sequence[str]] = {}
        self._store, self._limits = store, limits
        self._recv_window_max_ms = recv_window_max_ms
        self._now_ns, self._say = now_ns, say
        self._live: dict[str, LiveKey] = {}
        self._version = ""
        self._listeners: list[Callable[[], None]] = []
        self._thread = ThreadPoolExecutor(1, "key file")  # a KeyFile is for one thread

    async def open(self) -> None:
        """Read the keys. Raises KeyStoreError."""
        await self.renew()

    async def close(self) -> None:
        """End its thread."""
        self._thread.shutdown(wait=False)

    # ---- The file ---------------------------------------------------------------------------------------------------

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this after keys have changed: what they were used for may have to end."""
        self._listeners.append(listener)

    async def edit(self, change: Callable[[KeyFile], Answer]) -> Answer:
        """Change the key file, in its thread; when this returns, the change rules here. Raises KeyStoreError."""

        answer, found = await self._in_thread(lambda: (change(self._store), self._store.load()))
        self._take(found)
        return answer

    def mark(self) -> str:
        """Differs when the file may have changed."""
        return self._store.mark()

    async def renew(self) -> bool:
        """Read the file again; has it other keys? Raises KeyStoreError: those that were read before go on."""
        return self._take(await self._in_thread(self._store.load))

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _take(self, found: KeySet) -> bool:
        if found.version == self._version:
            return False
        self._version = found.version
        self._live = {key.key_id: LiveKey(key) for key in found.live()}
        self.held = {
            f"api_key/{key.key_id}": [fingerprint(secret.value) for secret in key.secrets] for key in found.live()
        }
        self._say("info", "keys_read", {"count": len(self._live), "version": found.version})
        for listener in self._listeners:
            try:
                listener()
            except Exception as error:  # the keys have changed all the same, and others must hear of it
                self._say("error", "key_listener_failed", {"error": repr(error)})
        return True

    # ---- Callers ----------------------------------------------------------------------------------------------------

    def lookup(self, key_id: str) -> LiveKey | None:
        """The live key of that id."""
        return self._live.get(key_id)

    def named(self, key_id: str, peer: str) -> LiveKey:
        """The key that a request names without signing. Raises ApiError."""
        key = self._live.get(key_id)
        if key is None or not key.allows(peer):
            raise self._refused(KEY_REFUSED if _KEY_ID.fullmatch(key_id) else KEY_FORMAT, peer, self._now_ns())
        return key

    def authenticate(
        self, request: Request, sent: dict[str, str], permission: int, now_ns: int
    ) -> tuple[Caller, bytes, int]:
        """Who signed this request, its nonce, and its time in ns. `permission`: bits that are needed. Raises ApiError.

        sent: the parameters of its query and form, of which those that sign are taken out. The nonce is the first half
        of the signature's bytes, however they are spelled: over other bytes, or by another secret, it is another one.
        """
        query = request.query
        if query[-75:-64] == b"&signature=":  # where most clients put it
            signed, signature = query[:-75], query[-64:]
        else:
            signed, found = _take_signature(query)
            signature = found or b""
        if request.path.startswith("/api/v1/"):
            place = request.method.encode(), request.path.encode(errors="replace")
            signed = b"%b %b?%b%b" % (*place, signed, request.body)
        elif request.body:
            form, other = _take_signature(request.body)
            signed, signature = signed + form, signature or other or b""
        sent.pop("signature", None)
        timestamp, recv_window = sent.pop("timestamp", None), sent.pop("recvWindow", None)
        key_id = request.headers.get(KEY_HEADER, "")
        return self.verify(key_id, signed, signature, timestamp, recv_window, request.peer, permission, now_ns)

    def verify(
        self,
        key_id: str,
        signed: bytes,
        signature: bytes | str | None,
        timestamp: bytes | str | None,
        recv_window: bytes | str | None,
        peer: str,
        permission: int,
        now_ns: int,
    ) -> tuple[Caller, bytes, int]:
        """The same for bytes that were signed elsewhere than in a request. None: the parameter was not sent."""
        key = self._live.get(key_id)
        if key is None or (key.bound and not key.allows(peer)) or key.permissions & permission != permission:
            for pads in NOBODY:
                pads.good(signed, bytes(32))
            if key is not None and key.allows(peer):  # no guess at a key, only more than it may
                raise ApiError(KEY_REFUSED)
            raise self._refused(KEY_REFUSED if _KEY_ID.fullmatch(key_id) else KEY_FORMAT, peer, now_ns)
        timestamp_ns = self._check_time(timestamp, recv_window, now_ns)
        tag = _tag(signature)
        for pads in key.pads:
            if pads.good(signed, tag) and pads.caller is not None:
                return pads.caller, tag[:NONCE_BYTES], timestamp_ns
        raise self._refused(SIGNATURE, peer, now_ns)

    def _check_time(self, timestamp: bytes | str | None, recv_window: bytes | str | None, now_ns: int) -> int:
        """The timestamp in ns, if it is recent. Raises ApiError."""
        stamp = _whole("timestamp", timestamp)
        window_ms = RECV_WINDOW_MS if recv_window is None else _whole("recvWindow", recv_window)
        if window_ms > self._recv_window_max_ms:
            raise ApiError(RECV_WINDOW, f"recvWindow must be at most {self._recv_window_max_ms}, was {window_ms}.")
        stamp_ns = stamp * 1000 if stamp >= _MICROSECONDS_MIN else stamp * 1_000_000
        if stamp_ns >= now_ns + AHEAD_MS_MAX * 1_000_000:
            raise ApiError(TIMESTAMP_AHEAD, detail=f"timestamp {stamp}", hint="set the clock, or ask GET /api/v3/time")
        if now_ns - stamp_ns > window_ms * 1_000_000:
            raise ApiError(TIMESTAMP, detail=f"timestamp {stamp}, recvWindow {window_ms}", hint="sign it anew")
        return stamp_ns

    def _refused(self, problem: Problem, peer: str, now_ns: int) -> ApiError:
        """The refusal, counted against the address. Raises ApiError if there were too many."""
        self._limits.bad_signature(peer, now_ns)
        return ApiError(problem)


# ---- Raw bytes -------------------------------------------------------------------------------------------------------


def _take_signature(part: bytes) -> tuple[bytes, bytes | None]:
    """What is left of a query or form without its pair `signature=…`, and that pair's value."""
    begin = _find(part, b"signature=")
    if begin < 0:
        return part, None
    end = part.find(b"&", begin)
    if end < 0:
        return part[: max(0, begin - 1)], part[begin + 10 :]
    return part[:begin] + part[end + 1 :], part[begin + 10 : end]


def _find(part: bytes, name: bytes) -> int:
    """Where a pair with that name begins; -1 if there is none."""
    begin = part.find(name)
    while begin > 0 and part[begin - 1] != 0x26:
        begin = part.find(name, begin + 1)
    return begin


def _whole(name: str, text: bytes | str | None) -> int:
    if not text:
        raise ApiError(MANDATORY, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    if not (text.isdigit() and text.isascii() and len(text) <= _DIGITS_MAX):
        raise ApiError(ILLEGAL, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,17}}$'.")
    return int(text)


def _tag(signature: bytes | str | None) -> bytes:
    """The signature's bytes; of one that is malformed none, which no tag equals."""
    if not signature:
        raise ApiError(MANDATORY, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.")
    if len(signature) != 64:
        return b""
    try:
        tag = binascii.unhexlify(signature)
    except ValueError:
        return b""
    return tag


@functools.lru_cache(maxsize=4096)
def _address_number(peer: str) -> int:
    """An address as the number of its IPv6 form (IPv4: mapped)."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return _NOWHERE
    return int(address) | 0xFFFF << 32 if isinstance(address, ipaddress.IPv4Address) else int(address)
