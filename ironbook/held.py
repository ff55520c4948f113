"""What a running process holds: which versions of which secrets, told by fingerprints in a file of its own.

Whoever ends an old secret must know that nobody needs it any more. So each process says what it has really taken in,
not what it was given; `ironbook secrets follow` carries that from the file into the table secret_holders.

    process   Held(path, process_name("gateway"), "gateway")
              .say("cookie", accepts=[f1, f2], uses=f2)   after each change: the file is replaced whole, mode 0600
              .beat()                                     now and then: only the file's time moves
              .close()                                    at a clean stop: the file goes; after a crash it stays
    follower  read(path) -> Statement;  Statement.alive()

    {"format": 1, "process": "gateway@ip-10-0-1-7", "kind": "gateway", "host": "ip-10-0-1-7",
     "pid": 4242, "started": "<boot id>/<clock ticks>", "whole": true,
     "secrets": [{"secret": "cookie", "accepts": ["…", "…"], "uses": "…", "since_ns": 1790000000000000000}]}

The process id alone would name whoever has that number next; with the boot and the tick at which it started it names
one process for ever. `whole` comes with the first beat: until then a process that starts is still taking in its
secrets, and what it has not said yet it may hold all the same. A Held may be used by several threads. The engine node
imports this module too: it stands on nothing but the standard library.

Errors:

    HeldError
    ├── HeldInvalid      held_invalid       a name or fingerprint that cannot be said
    ├── HeldUnwritable   held_unwritable    the file cannot be written: nobody can know what this process holds
    └── HeldUnreadable   held_unreadable    no such file, or none of this format
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

__all__ = [
    "BEAT_S",
    "Held",
    "HeldError",
    "HeldInvalid",
    "HeldUnreadable",
    "HeldUnwritable",
    "Holding",
    "Statement",
    "alternating",
    "certificate_value",
    "fingerprint",
    "login_value",
    "process_name",
    "read",
]

BEAT_S: Final = 5.0  # how often a living process moves its file's time
SECRET_COUNT_MAX: Final = 65_536  # a key of every number, and a few more
ACCEPT_COUNT_MAX: Final = 8
FILE_BYTES_MAX: Final = 32 << 20
FORMAT: Final = 1

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,199}")
_SECRET = re.compile(r"[!-~]{1,200}")


class HeldError(Exception):
    """Base of all below: message (what must hold, what was found), detail (where), hint (what to do)."""

    code: ClassVar[str] = "held"

    def __init__(self, message: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return "; ".join(part for part in (self.message, self.detail, self.hint) if part)


class HeldInvalid(HeldError):
    """A name or a fingerprint that cannot be said."""

    code = "held_invalid"


class HeldUnwritable(HeldError):
    """The file cannot be written: nobody can know what this process holds, so no old secret can end."""

    code = "held_unwritable"


class HeldUnreadable(HeldError):
    """There is no such file, or it is none of this format."""

    code = "held_unreadable"


# ---- Fingerprints ----------------------------------------------------------------------------------------------------


def fingerprint(value: bytes) -> str:
    """16 hex digits that tell secrets apart and give nothing away.

    value: 32 raw bytes of an API key or of the cookie key; login_value(...); certificate_value(...).
    """
    return hashlib.sha256(b"ironbook-held\0" + value).hexdigest()[:16]


def login_value(username: str, password: str) -> bytes:
    """What is fingerprinted of a user of the database or of Kafka."""
    return username.encode() + b"\0" + password.encode()


def alternating(username: str) -> str:
    """What two users that take turns are called together: gateway_a and gateway_b are gateway."""
    return username[:-2] if username.endswith(("_a", "_b")) and len(username) > 2 else username


def process_name(stem: str) -> str:
    """A process's name: the same after a restart, another one on another machine."""
    return f"{stem}@" + re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())


def certificate_value(pem: str | bytes) -> bytes:
    """What is fingerprinted of TLS: the leaf, which is the first certificate of a PEM chain. Raises HeldInvalid."""
    text = pem.decode("ascii", "replace") if isinstance(pem, bytes) else pem
    first = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)
    try:
        return ssl.PEM_cert_to_DER_cert(first[0]) if first else b""
    except ValueError:
        raise HeldInvalid("a certificate must be PEM, its body is no base64", hint="look at the file") from None


# ---- What is said ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One secret as one process has it."""

    secret: str  # api_key/<key id>, database/<alternating(user)>, kafka/<the same>, tls/<first name>, cookie
    accepts: tuple[str, ...]  # fingerprints of what it takes from others
    uses: str | None = None  # fingerprint of what it shows to others
    since_ns: int = 0  # since when it holds just these

    def __post_init__(self) -> None:
        if _SECRET.fullmatch(self.secret) is None:
            raise HeldInvalid(f"a secret's name must be 1 to 200 printable characters, was {self.secret[:60]!r}")
        if len(self.accepts) > ACCEPT_COUNT_MAX:
            raise HeldInvalid(f"a process accepts at most {ACCEPT_COUNT_MAX} versions, was {len(self.accepts)}")
        for one in (*self.accepts, *(() if self.uses is None else (self.uses,))):
            if _FINGERPRINT.fullmatch(one) is None:  # maybe the secret itself, by mistake: it is not repeated here
                raise HeldInvalid(
                    f"a fingerprint must be 16 hex digits, was a text of {len(one)}",
                    detail=self.secret,
                    hint="say fingerprint(value)",
                )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one file says."""

    process: str  # its name: engine-0@host-7
    kind: str  # engine, gateway, validation, risk, submitter, analytics, publisher
    host: str
    pid: int
    started: str
    whole: bool  # it has said all that it holds
    holdings: tuple[Holding, ...]
    seen_ns: int  # the file's time: the last beat

    def alive(self) -> bool:
        """Whether the very process that wrote it still runs, on this machine."""
        return bool(self.started) and self.started == _started(self.pid)


class Held:
    """The file in which this process says what it holds."""

    def __init__(self, path: Path, process: str, kind: str, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        for field, value in (("process", process), ("kind", kind)):
            if _NAME.fullmatch(value) is None:
                raise HeldInvalid(
                    f"{field} must be 1 to 200 of A-Z a-z 0-9 . _ @ -, was {value[:80]!r}",
                    hint="such as gateway@host-7",
                )
        self.path = path
        self.process = process
        self.kind = kind
        self._now_ns = now_ns
        self._held: dict[str, Holding] = {}
        self._guard = threading.Lock()
        self._written = False
        self._whole = False
        self._closed = False

    def __repr__(self) -> str:
        return f"Held({str(self.path)!r}, {self.process!r}, {self.kind!r})"

    def say(self, secret: str, accepts: Sequence[str], uses: str | None) -> None:
        """This process now holds just these of that secret; nothing at all: it no longer has it.

        Raises HeldInvalid, HeldUnwritable (what was said is kept, and the next beat tries again).
        """
        with self._guard:
            self._take({**self._held, secret: self._holding(secret, accepts, uses)})

    def replace(self, prefix: str, said: Mapping[str, tuple[Sequence[str], str | None]]) -> None:
        """All secrets whose names begin so, in one go: what is not said is no longer held. Raises as `say`."""
        with self._guard:
            kept = {name: held for name, held in self._held.items() if not name.startswith(prefix)}
            self._take(kept | {name: self._holding(name, *parts) for name, parts in said.items()})

    def beat(self) -> None:
        """Show that the process lives; the first time also that it has said everything. Raises HeldUnwritable."""
        with self._guard:
            if self._closed:
                return
            if self._written and self._whole:
                try:
                    now_ns = self._now_ns()
                    os.utime(self.path, ns=(now_ns, now_ns))
                    return
                except OSError:
                    self._written = False  # somebody removed it
            self._whole = True
            self._write()

    async def keep_beating(self, problem: Callable[[HeldUnwritable | None], None], interval_s: float = BEAT_S) -> None:
        """Beat until cancelled, off the loop. problem: told when a beat failed first, and with None when one worked."""
        broken = False
        while True:
            try:
                await asyncio.to_thread(self.beat)
            except HeldUnwritable as error:
                if not broken:
                    problem(error)
                broken = True
            else:
                if broken:
                    problem(None)
                broken = False
            await asyncio.sleep(interval_s)

    def close(self) -> None:
        """A clean stop: this process holds nothing any more. Again it does nothing."""
        with self._guard:
            self._closed = True
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _holding(self, secret: str, accepts: Sequence[str], uses: str | None) -> Holding:
        made = Holding(secret=secret, accepts=tuple(accepts), uses=uses, since_ns=self._now_ns())
        before = self._held.get(secret)
        if before is not None and (before.accepts, before.uses) == (made.accepts, made.uses):
            return before
        return made

    def _take(self, held: dict[str, Holding]) -> None:
        held = {name: one for name, one in held.items() if one.accepts or one.uses}
        if len(held) > SECRET_COUNT_MAX:
            raise HeldInvalid(f"a process holds at most {SECRET_COUNT_MAX} secrets, was {len(held)}")
        changed = held != self._held
        self._held = held
        if (changed or not self._written) and not self._closed:
            self._write()

    def _write(self) -> None:
        self._written = False
        document = {
            "format": FORMAT,
            "process": self.process,
            "kind": self.kind,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": _started(os.getpid()),
            "whole": self._whole,
            "secrets": [dataclasses.asdict(one) for one in self._held.values()],
        }
        data = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        now_ns = self._now_ns()
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(data)
            os.utime(beside, ns=(now_ns, now_ns))
            os.rename(beside, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise HeldUnwritable(
                f"the file that says which secrets this process holds must be writable: {error.strerror}",
                detail=str(self.path),
                hint="check its directory; until it is written no old secret can end",
            ) from None
        self._written = True


# ---- Reading ---------------------------------------------------------------------------------------------------------


def read(path: Path) -> Statement:
    """What the file says. Raises HeldUnreadable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would block
        with open(descriptor, "rb") as file:
            seen_ns = os.fstat(file.fileno()).st_mtime_ns
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise HeldUnreadable(f"the held file must be readable: {error.strerror}", detail=str(path)) from None
    if len(data) > FILE_BYTES_MAX:
        raise HeldUnreadable(f"a held file must have at most {FILE_BYTES_MAX} bytes, has more", detail=str(path))
    try:
        return _statement(json.loads(data), seen_ns)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, HeldInvalid) as error:
        raise HeldUnreadable(
            f"a held file must be of format {FORMAT}, is not ({type(error).__name__})",
            detail=str(path),
            hint="is the path that of a held file? its process writes it anew when it starts",
        ) from None


def _statement(document: Any, seen_ns: int) -> Statement:
    if document["format"] != FORMAT or len(document["secrets"]) > SECRET_COUNT_MAX:
        raise ValueError("another format")
    process, kind, host, started = (document[name] for name in ("process", "kind", "host", "started"))
    if not all(isinstance(text, str) for text in (process, kind, host, started)):
        raise TypeError("names are texts")
    if _NAME.fullmatch(process) is None or _NAME.fullmatch(kind) is None or len(host) > 255:
        raise ValueError("names are bounded")
    holdings = tuple(
        Holding(secret=one["secret"], accepts=tuple(one["accepts"]), uses=one["uses"], since_ns=int(one["since_ns"]))
        for one in document["secrets"]
    )
    return Statement(
        process=process,
        kind=kind,
        host=host,
        pid=int(document["pid"]),
        started=started,
        whole=document["whole"] is True,
        holdings=holdings,
        seen_ns=seen_ns,
    )


def _started(pid: int) -> str:
    """Which boot and at which tick of it a process started; "" if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the name in the brackets may hold anything
    return "" if fields[0] in ("Z", "X") else f"{boot}/{fields[19]}"
