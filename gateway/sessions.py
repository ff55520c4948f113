"""The dashboard's login: a signed cookie that says which key, which rights and until when. What lives is not kept here.

    POST /api/v1/session, signed by the key ──▶ Set-Cookie: ironbook_session=<base64url(body + tag)>
        its name begins with __Host- over TLS, so that no other host and nobody on the way can set it
        body  0 version u8 · 1 permissions u8 · 2 zero u16 · 4 expires u32, seconds · 8 fingerprint of the secret 4
              12 session id 8 · 20 key id, ASCII
        tag   HMAC-SHA256(cookie secret, "ironbook session" + body)

The key's secret never leaves the browser. A session ends when its time is over, when it is logged out, and at once when
its key is revoked, the secret that opened it is rotated away, or the caller's address leaves the key's networks. Its
rights are what was asked for, as far as the key has them now. It survives a restart of the gateway, and so does its end
by a logout (ended.py): at the gateway that was told, not at others that share its cookie secret.

The file of cookie secrets has one or two lines of 64 hexadecimal digits: the first one signs, both are good. A new line
put before the old one changes the secret without ending a session; the gateway looks at the file while it runs, and one
that cannot be used leaves the secrets that there were.

A cookie goes with every request of the browser, so a call that changes something needs two proofs that a page of ours
made it: the header X-Ironbook-Request, which other sites cannot set without our leave, and an Origin that is ours. The
header's 32 random digits are the call's nonce too: the core takes it once.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import re
import secrets
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.auth import Caller, KeyRing
from gateway.ended import ENDED_FILE, Ended
from gateway.errors import KEY_REFUSED, REPEATED, STATE_UNWRITABLE, TOO_MANY_REQUESTS, UNAUTHORIZED, ApiError
from gateway.routing import Request
from gateway.settings import GatewaySettings
from ironbook import IronbookError
from ironbook._secrets import write_secret
from schemas.vocabulary import Permission

__all__ = ["COOKIE", "COOKIE_SECRET_FILE", "REQUEST_HEADER", "CookieSecretInvalid", "Session", "Sessions"]

COOKIE: Final = "ironbook_session"
SECURE_COOKIE: Final = "__Host-ironbook_session"  # over TLS: browsers take this name from this very host alone
COOKIE_SECRET_FILE: Final = "cookie-secret"  # in the state directory, unless told otherwise
REQUEST_HEADER: Final = "x-ironbook-request"
COOKIE_CHARACTERS_MAX: Final = 160
SECRET_COUNT_MAX: Final = 2
LOGIN_COUNT_MAX: Final = 65_536
LOGIN_KEPT_NS: Final = 120_000_000_000  # longer than any recvWindow and what clocks may differ
RIGHTS_MAX: Final = int(sum(Permission))
_BODY: Final = struct.Struct("<BBHI4s8s")
_VERSION: Final = 1
_TAG_BYTES: Final = 32
_LABEL: Final = b"ironbook session"
_NONCE = re.compile(r"[0-9a-fA-F]{32}")
_SECRET = re.compile(r"[0-9a-fA-F]{64}")
_SAFE_METHODS: Final = ("GET", "HEAD")


class CookieSecretInvalid(IronbookError):
    """The file of cookie secrets cannot be used."""

    code = "cookie_secret_invalid"


class Session(Caller):
    """A caller that came with a cookie."""

    __slots__ = ("expires_ns", "session_id")

    def __init__(self, caller: Caller, permissions: int, expires_ns: int, session_id: bytes) -> None:
        super().__init__(caller.key_id, caller.number, caller.account, permissions, caller.secret, "cookie")
        self.expires_ns, self.session_id = expires_ns, session_id


class Sessions:
    """Makes cookies and knows them again. Reads the file of secrets, and makes it if it is not there.

    Raises CookieSecretInvalid, EndedUnreadable.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        keys: KeyRing,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._keys, self._random_bytes = keys, random_bytes
        file = settings.cookie_secret_file
        self._path = Path(file) if file else settings.state_path / COOKIE_SECRET_FILE
        self._hours = settings.session_hours
        self._tls = bool(settings.tls_certificate)
        self._origins = frozenset(one.strip() for one in settings.allowed_origins.split(",") if one.strip())
        self._ended = Ended(settings.state_path / ENDED_FILE)
        self._logins: dict[bytes, int] = {}  # nonces of logins, in this order: until when they are kept
        if not self._path.exists():
            write_secret(self._path, random_bytes(32).hex())
        self._secrets = self._read()

    # ---- Cookies ----------------------------------------------------------------------------------------------------

    def make(self, caller: Caller, rights: int, request: Request, now_ns: int) -> tuple[Session, str]:
        """A session of who signed this request, with at most these rights; the value of Set-Cookie."""
        expires_s = now_ns // 1_000_000_000 + self._hours * 3600
        permissions, session_id = caller.permissions & rights, self._random_bytes(8)
        body = _BODY.pack(_VERSION, permissions, 0, expires_s, bytes.fromhex(caller.secret), session_id)
        body += caller.key_id.encode()
        value = base64.urlsafe_b64encode(body + _tag(self._secrets[0], body)).decode().rstrip("=")
        made = Session(caller, permissions, expires_s * 1_000_000_000, session_id)
        return made, self._header(value, self._hours * 3600, request)

    def end(self, session: Session, request: Request, now_ns: int) -> str:
        """Log out: this gateway refuses the session from now on. The value of Set-Cookie that makes it forgotten.

        Raises ApiError if that cannot be kept: until a restart it is refused all the same.
        """
        try:
            self._ended.add(session.key_id, session.session_id, session.expires_ns, now_ns)
        except OSError as error:
            raise ApiError(
                STATE_UNWRITABLE, "The session is over here, but a restart of the gateway would take it up again.",
                detail=f"the file of ended sessions: {error.strerror}",
                hint="have the gateway's state directory made writable; a new cookie secret ends every session",
            ) from None  # fmt: skip
        return self._header("", 0, request)

    def _header(self, value: str, seconds: int, request: Request) -> str:
        secure = self._tls or request.headers.get("origin", "").startswith("https://")
        name, more = (SECURE_COOKIE, "; Secure") if secure else (COOKIE, "")
        return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{more}"

    def take_once(self, nonce: bytes, now_ns: int) -> None:
        """Take a login's nonce. Raises ApiError if it was taken here before, as long as its timestamp may be good."""
        while self._logins and next(iter(self._logins.values())) < now_ns:
            del self._logins[next(iter(self._logins))]
        if nonce in self._logins or len(self._logins) >= LOGIN_COUNT_MAX:
            raise ApiError(REPEATED if nonce in self._logins else TOO_MANY_REQUESTS)
        self._logins[nonce] = now_ns + LOGIN_KEPT_NS

    # ---- Callers ----------------------------------------------------------------------------------------------------

    def authenticate(self, request: Request, permission: int, now_ns: int) -> tuple[Session, bytes, int]:
        """Who sent the cookie, the call's nonce, and its time. Raises ApiError."""
        session = self._session(request, now_ns)
        if not session.may(permission):
            raise ApiError(KEY_REFUSED, hint="log in with more rights, or with another key")
        if request.method in _SAFE_METHODS:
            return session, b"", now_ns
        self._check_origin(request)
        digits = request.headers.get(REQUEST_HEADER, "")
        if _NONCE.fullmatch(digits) is None:
            raise ApiError(
                UNAUTHORIZED, "A call by cookie must have the header X-Ironbook-Request.",
                hint="32 random hexadecimal digits, new for each call",
            )  # fmt: skip
        nonce = hashlib.sha256(session.session_id + bytes.fromhex(digits)).digest()[:16]
        return session, nonce, now_ns

    def of_socket(self, request: Request, now_ns: int) -> Session | None:
        """Who opens a WebSocket, by cookie; None: no cookie came. Raises ApiError: also if a page of others asks."""
        if not self._sent(request):
            return None
        self._check_origin(request)
        return self._session(request, now_ns)

    def good(self, caller: Caller, peer: str, now_ns: int) -> bool:
        """Is what was good when it began good still? For sockets, which live on while keys change."""
        if isinstance(caller, Session) and caller.expires_ns <= now_ns:
            return False
        if isinstance(caller, Session) and self._ended.holds(caller.key_id, caller.session_id):
            return False
        key = self._keys.lookup(caller.key_id)
        return (
            key is not None
            and key.allows(peer)
            and key.permissions & caller.permissions == caller.permissions
            and (not caller.secret or caller.secret in key.fingerprints)
        )

    def _session(self, request: Request, now_ns: int) -> Session:
        value = self._sent(request)
        if not value:
            raise ApiError(UNAUTHORIZED, "A call must be signed or have the dashboard's cookie.", hint="log in first")
        body = self._body(value)
        if body is None:
            raise _over("the cookie is none of this gateway's")
        _, permissions, _, expires_s, fingerprint, session_id = _BODY.unpack_from(body)
        expires_ns = expires_s * 1_000_000_000
        if expires_ns <= now_ns:
            raise _over("its time is over")
        key_id = body[_BODY.size :].decode("ascii")
        if self._ended.holds(key_id, session_id):
            raise _over("it was logged out")
        key = self._keys.lookup(key_id)
        if key is None or fingerprint.hex() not in key.fingerprints or not key.allows(request.peer):
            raise _over("its key is revoked or was rotated, or does not allow this address")
        caller = Caller(key.key_id, key.number, key.account, key.permissions, fingerprint.hex(), "cookie")
        return Session(caller, permissions & key.permissions, expires_ns, session_id)

    def _sent(self, request: Request) -> str:
        """The cookie that came, "": none. Raises ApiError: two came, and only one of them can be the page's."""
        header = request.headers.get("cookie", "")
        if COOKIE not in header:
            return ""
        found = _cookies(header, SECURE_COOKIE)
        if not found and not self._tls:
            found = _cookies(header, COOKIE)
        if len(found) > 1:
            raise ApiError(
                UNAUTHORIZED, f"One session cookie must come, {len(found)} came.",
                hint="delete this site's cookies in the browser and log in again: somebody else has set one",
            )  # fmt: skip
        return found[0] if found else ""

    def _body(self, value: str) -> bytes | None:
        """What a cookie says, if a secret of ours signed it."""
        if len(value) > COOKIE_CHARACTERS_MAX:
            return None
        try:
            data = base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True)
        except ValueError:
            return None
        body, tag = data[:-_TAG_BYTES], data[-_TAG_BYTES:]
        found = [hmac.compare_digest(_tag(secret, body), tag) for secret in self._secrets]
        return body if any(found) and len(body) > _BODY.size and body[0] == _VERSION else None

    def _check_origin(self, request: Request) -> None:
        """Was the request made by a page of ours? Raises ApiError."""
        origin = request.headers.get("origin", "")
        own = origin.partition("://")[2]
        if origin in self._origins or (own and own.lower() == request.headers.get("host", "").lower()):
            return
        raise ApiError(
            UNAUTHORIZED, "A call by cookie must come from a page of this gateway.",
            detail=f"origin {origin[:100]!r}", hint="sign the call, or have the origin added to allowed_origins",
        )  # fmt: skip

    # ---- The file of secrets ----------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """Of the file of secrets."""
        return self._path

    @property
    def live_secrets(self) -> tuple[bytes, ...]:
        """The first one signs; cookies of all are good."""
        return self._secrets

    async def renew(self) -> bool:
        """Read the file again; has it other secrets? Raises CookieSecretInvalid: those that there were stay."""
        found = await asyncio.to_thread(self._read)
        if found == self._secrets:
            return False
        self._secrets = found
        return True

    def _read(self) -> tuple[bytes, ...]:
        try:
            with open(self._path, "rb") as file:
                status = os.fstat(file.fileno())
                lines = file.read(4096).decode("ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            raise CookieSecretInvalid(
                f"the file of cookie secrets must be readable: {error}", detail=str(self._path)
            ) from None
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise CookieSecretInvalid(
                f"the file of cookie secrets must have mode 0600, has {stat.S_IMODE(status.st_mode):04o}",
                detail=str(self._path), hint=f"chmod 600 {self._path}; if others may have read it, put in a new secret",
            )  # fmt: skip
        if not 1 <= len(lines) <= SECRET_COUNT_MAX or not all(_SECRET.fullmatch(line) for line in lines):
            raise CookieSecretInvalid(
                "the file of cookie secrets must have one or two lines of 64 hexadecimal digits, has others",
                detail=str(self._path), hint="for example: openssl rand -hex 32; or remove it, and a new one is made",
            )  # fmt: skip
        return tuple(bytes.fromhex(line) for line in lines)


def _tag(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, _LABEL + body, "sha256")


def _cookies(header: str, wanted: str) -> list[str]:
    """The values of the cookies of that name among those that were sent."""
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return [value for name, _, value in pairs if name == wanted]


def _over(why: str) -> ApiError:
    return ApiError(UNAUTHORIZED, "The session is over; log in again.", detail=why)
