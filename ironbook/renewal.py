"""Secrets that change under a running process: files that are looked at, tried, and taken up only when they are good.

    file ──mark, in a thread──▶ changed? ──▶ renew(): read it, try it, take it up ──▶ held.say, one line in the log
                                                 │ anything goes wrong
                                                 └──▶ what was in use stays in use; told once for each new reason

Half a file is no reason yet: what cannot be used is tried again at the next look, and is told only if the file is the
same still. After that it is tried again after RETRY_S, and after twice as long each time, since what is wrong may be
elsewhere: a database that is away, a password that is set a moment later. A change back to what is in use ends it.

Imports nothing of ours but what a process holds, so that the engine's helper processes may use it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from ironbook.held import BEAT_S, Held, HeldError, alternating, certificate_value, fingerprint, login_value

__all__ = [
    "Holdings",
    "Renewal",
    "Renewed",
    "Say",
    "SecretUnusable",
    "database_holding",
    "database_parts",
    "database_url",
    "file_marks",
    "kafka_holding",
    "private_text",
    "tls_holding",
]

RETRY_S: Final = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # after each failure of the same content
PRIVATE_BYTES_MAX: Final = 1 << 20
Say = Callable[[str, str, Mapping[str, object]], None]  # a log line: level, event, fields
Renewed = Callable[[], Awaitable[bool]]  # reads, tries and takes up; was there anything new? Raises what is wrong


class SecretUnusable(Exception):
    """A file of a secret that cannot be used: message, detail (where), hint. None of them says a secret."""

    code = "secret_unusable"

    def __init__(self, message: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__("; ".join(part for part in (message, detail, hint) if part))
        self.message, self.detail, self.hint = message, detail, hint


class Holdings:
    """What a process holds, put together from its parts: one lets others in with a secret, another shows it itself.

    changed   called after each change
    """

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._accepts: dict[str, tuple[str, ...]] = {}
        self._uses: dict[str, str] = {}

    def accept(self, secret: str, fingerprints: Sequence[str]) -> None:
        """Others are let in with these."""
        self._accepts[secret] = tuple(fingerprints)
        self.changed()

    def accept_only(self, prefix: str, known: Mapping[str, Sequence[str]]) -> None:
        """The same of all secrets whose names begin so: those that are not among them let nobody in any more."""
        kept = {name: found for name, found in self._accepts.items() if not name.startswith(prefix)}
        self._accepts = kept | {name: tuple(found) for name, found in known.items()}
        self.changed()

    def use(self, secret: str, fingerprint: str) -> None:
        """This process shows this one."""
        self._uses[secret] = fingerprint
        self.changed()

    def use_only(self, kind: str, secret: str, fingerprint: str) -> None:
        """The same, and no other secret of that kind any more: a login has another name, a certificate another host."""
        for name in [name for name in self._uses if name.partition("/")[0] == kind and name != secret]:
            del self._uses[name]
        self.use(secret, fingerprint)

    def said(self) -> dict[str, tuple[Sequence[str], str | None]]:
        """All of it, as ironbook.held takes it."""
        names = self._accepts.keys() | self._uses.keys()
        return {name: (self._accepts.get(name, ()), self._uses.get(name)) for name in names}


@dataclasses.dataclass(slots=True)
class _Watch:
    """One thing that is looked at. taken: the mark of what is in use; None: not known, so the first look renews."""

    name: str
    mark: Callable[[], object]
    renew: Renewed
    taken: object = None
    refused: object = None
    failures: int = 0
    again_s: float = 0.0
    complaint: str = ""


class Renewal:
    """The files of one process. Belongs to one loop; each file has a task of its own, so none waits for another.

    poll_s    how often to look
    say       the process's log
    held      where it says what it holds; None: nowhere
    holdings  of its parts, which must all have said what they begin with before `open`
    """

    def __init__(self, poll_s: float, say: Say, held: Held | None = None) -> None:
        self.holdings = Holdings()
        self._poll_s, self._say, self._held = poll_s, say, held
        self._watches: list[_Watch] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._running = False
        self._untold = asyncio.Event()
        self._complaint = ""

    def watch(self, name: str, mark: Callable[[], object], renew: Renewed) -> None:
        """Look at something from now on. mark: cheap, called in a thread, differs when there may be something new."""
        self._watches.append(_Watch(name, mark, renew))
        if self._running:
            self._begin(self._watches[-1])

    def watch_files(self, name: str, paths: Sequence[str | os.PathLike[str]], renew: Renewed) -> None:
        """The same for files."""
        self.watch(name, lambda: file_marks(paths), renew)

    async def open(self) -> None:
        """Begin to look, and say what is held. What changed since the process read it is found by the first look."""
        self._running = True
        for watch in self._watches:
            self._begin(watch)
        if self._held is not None:
            self.holdings.changed = self._untold.set
            await self._tell(self._held)
            self._tasks.append(asyncio.get_running_loop().create_task(self._keep_telling(self._held), name="held"))

    async def close(self) -> None:
        """The process ends: look no longer, hold nothing."""
        self._running = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._held is not None:
            self._held.close()

    def _begin(self, watch: _Watch) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(self._follow(watch), name=f"renew {watch.name}"))

    async def _keep_telling(self, held: Held) -> None:
        """Task: after each change what is held, and now and then that the process lives."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._untold.wait()
            await self._tell(held)

    async def _tell(self, held: Held) -> None:
        self._untold.clear()
        said = self.holdings.said()

        def write() -> None:
            held.replace("", said)
            held.beat()

        try:
            await asyncio.to_thread(write)
            self._complaint = ""
        except HeldError as error:  # nobody hears what this process holds; it goes on, and no old secret can end
            if self._complaint != error.message:
                self._complaint = error.message
                self._say("warning", "held_not_told", {"why": error.message, "detail": error.detail})

    async def _follow(self, watch: _Watch) -> None:
        while True:
            await self._look(watch)
            await asyncio.sleep(self._poll_s)

    async def look(self) -> None:
        """One look at everything, now."""
        for watch in self._watches:
            await self._look(watch)

    async def _look(self, watch: _Watch) -> None:
        mark = await asyncio.to_thread(watch.mark)
        if mark == watch.taken:
            watch.refused, watch.complaint = None, ""
            return
        now_s = asyncio.get_running_loop().time()
        if mark == watch.refused and now_s < watch.again_s:
            return
        try:
            new = await watch.renew()
        except Exception as error:  # whatever it is, the process goes on with what it has
            watch.failures = watch.failures + 1 if mark == watch.refused else 0
            watch.refused, watch.again_s = mark, now_s + RETRY_S[min(watch.failures, len(RETRY_S) - 1)]
            if watch.failures:
                self._complain(watch, error)
            return
        watch.taken, watch.refused, watch.complaint = mark, None, ""
        if new:
            self._say("info", "secret_renewed", {"of": watch.name})

    def _complain(self, watch: _Watch, error: Exception) -> None:
        why = str(getattr(error, "message", "") or error or type(error).__name__)
        more = {name: str(getattr(error, name)) for name in ("detail", "hint") if getattr(error, name, "")}
        if watch.complaint != why:
            watch.complaint = why
            kind = type(error).__name__
            self._say("warning", "secret_not_renewed", {"of": watch.name, "error": kind, "why": why[:500], **more})


def file_marks(paths: Sequence[str | os.PathLike[str]]) -> tuple[tuple[int, ...], ...]:
    """Of each file what differs after a change of it, of its mode or owner; () if it cannot be told."""
    return tuple(_mark(path) for path in paths)


def _mark(path: str | os.PathLike[str]) -> tuple[int, ...]:
    try:
        told = os.stat(path)
    except OSError:
        return ()
    return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns


def private_text(path: str | os.PathLike[str], what: str) -> str:
    """The text of a file that only its owner may read. Raises SecretUnusable."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            text = file.read(PRIVATE_BYTES_MAX).decode()
    except OSError as error:
        raise SecretUnusable(f"the file of {what} must be readable: {error.strerror}", detail=str(path)) from None
    except UnicodeDecodeError:
        raise SecretUnusable(f"the file of {what} must be UTF-8, is not", detail=str(path)) from None
    if mode & 0o077:
        raise SecretUnusable(
            f"the file of {what} must be readable by its owner only, has mode {mode:04o}",
            detail=str(path),
            hint=f"chmod 600 {path}",
        )
    return text


def database_url(path: str | os.PathLike[str]) -> str:
    """The first line of a file, which must be a PostgreSQL URL. Raises SecretUnusable."""
    url = private_text(path, "the database's URL").split("\n", 1)[0].strip()
    try:
        good = urlsplit(url).scheme in ("postgresql", "postgres") and bool(database_parts(url)[0])
    except ValueError:  # its words may hold a part of the password
        good = False
    if not good:
        raise SecretUnusable(
            "the first line must be a PostgreSQL URL, is none",
            detail=str(path),
            hint="postgresql://user:password@host:port/database, the password percent-encoded",
        )
    return url


def database_parts(url: str) -> tuple[str, str, str]:
    """Database, user and password of a PostgreSQL URL. Raises ValueError."""
    parts = urlsplit(url)
    _ = parts.port  # a ValueError if it is none
    return unquote(parts.path.lstrip("/")), unquote(parts.username or ""), unquote(parts.password or "")


def certificate_name(path: str | os.PathLike[str]) -> str:
    """The first name of the certificate that stands first in a PEM file. Raises SecretUnusable."""
    from cryptography import x509

    try:
        leaf = x509.load_pem_x509_certificates(Path(path).read_bytes())[0]
        try:
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            found = [str(name.value) for name in names]
        except x509.ExtensionNotFound:
            found = [str(one.value) for one in leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    except (OSError, ValueError, IndexError) as error:
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise SecretUnusable(
            f"the certificate must be readable and PEM: {why}", detail=str(path), hint="the leaf first, then its chain"
        ) from None
    return found[0] if found else ""


def database_holding(url: str) -> tuple[str, str]:
    """Name and fingerprint of the secret in a PostgreSQL URL."""
    _, user, password = database_parts(url)
    return f"database/{alternating(user)}", fingerprint(login_value(user, password))


def kafka_holding(user: str, password: str) -> tuple[str, str]:
    """Name and fingerprint of a login to Kafka."""
    return f"kafka/{alternating(user)}", fingerprint(login_value(user, password))


def tls_holding(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Name and fingerprint of a certificate. Raises SecretUnusable, HeldInvalid."""
    return f"tls/{certificate_name(path)}", fingerprint(certificate_value(Path(path).read_bytes()))
