"""Private files in one directory: each is there whole or not at all, whenever the follower is killed.

A file is written beside its place, synced and renamed over it; one that holds the same bytes already is not touched.
Certificate and key must change as one, so they stand in a directory of their own, which a link names:

    gateway.crt -> .tls-gateway/gateway.crt          these two are made once
    gateway.pem -> .tls-gateway/gateway.pem
    .tls-gateway -> .tls-gateway-1f0c…               renamed over the old link: both files change in that moment
    .tls-gateway-1f0c…/gateway.crt, gateway.pem      the older one is removed afterwards
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ironbook.secret_store.errors import FilesUnwritable, FollowerRunning

__all__ = ["Directory"]

FILE_BYTES_MAX: Final = 1 << 20


class Directory:
    """The directory of one follower, which it keeps others out of while it runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1

    def take(self) -> None:
        """Make the directory if it is not there, and lock it. Raises FollowerRunning, FilesUnwritable."""
        with self._told(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = self.path.stat().st_mode & 0o7777
        if mode & 0o002:
            raise FilesUnwritable(
                f"a directory of secrets must not be writable by everybody, has mode {mode:04o}",
                detail=str(self.path),
                hint=f"chmod 700 {self.path}; whoever may write there says where secrets go",
            )
        with self._told(self.path):
            lock = self.path / "follow.lock"
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.release()
            raise FollowerRunning(
                "one follower writes into a directory, another one does already",
                detail=str(self.path),
                hint="stop it first, or choose another directory",
            ) from None

    def release(self) -> None:
        """Let others in."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def read(self, name: str) -> bytes | None:
        """What a file holds; None if there is none. Raises FilesUnwritable."""
        try:
            with (self.path / name).open("rb") as file:
                return file.read(FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unwritable(self.path / name, error) from None

    def write(self, name: str, data: bytes) -> bool:
        """Make the file hold just this; whether that changed it. Raises FilesUnwritable."""
        path = self.path / name
        with self._told(path):
            if self._holds(path, data) and not path.is_symlink():
                return False
            _write_beside(path.with_name(f".{name}.tmp"), data)
            os.rename(path.with_name(f".{name}.tmp"), path)
            _sync(self.path)
        return True

    def write_together(self, stem: str, contents: Mapping[str, bytes]) -> bool:
        """Make several files change in one moment; whether that changed them. Raises FilesUnwritable."""
        link = self.path / f".tls-{stem}"
        digest = hashlib.sha256()
        for name, data in sorted(contents.items()):
            digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
        version = self.path / f".tls-{stem}-{digest.hexdigest()[:16]}"
        with self._told(link):
            if self._are_linked(link, version, contents):
                self._remove_others(stem, version)
                return False
            version.mkdir(mode=0o700, exist_ok=True)
            for name, data in contents.items():
                _write_beside(version / f".{name}.tmp", data)
                os.rename(version / f".{name}.tmp", version / name)
            _sync(version)
            _link(link, version.name)
            for name in contents:
                if not _points(self.path / name, f"{link.name}/{name}"):
                    _link(self.path / name, f"{link.name}/{name}")
            _sync(self.path)
            self._remove_others(stem, version)
        return True

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.path / name).is_file()

    def remove(self, name: str) -> None:
        """A file that is of no use any more. Raises FilesUnwritable."""
        with self._told(self.path / name):
            (self.path / name).unlink(missing_ok=True)

    def _are_linked(self, link: Path, version: Path, contents: Mapping[str, bytes]) -> bool:
        return _points(link, version.name) and all(
            _points(self.path / name, f"{link.name}/{name}") and self._holds(version / name, data)
            for name, data in contents.items()
        )

    def _remove_others(self, stem: str, version: Path) -> None:
        for other in self.path.glob(f".tls-{stem}-{'[0-9a-f]' * 16}"):
            if other != version and not other.is_symlink():
                shutil.rmtree(other, ignore_errors=True)

    @staticmethod
    def _holds(path: Path, data: bytes) -> bool:
        try:
            with path.open("rb") as file:
                private = os.fstat(file.fileno()).st_mode & 0o777 == 0o600
                return private and hmac.compare_digest(file.read(len(data) + 1), data)
        except FileNotFoundError:
            return False

    @contextlib.contextmanager
    def _told(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unwritable(path, error) from None


def _write_beside(path: Path, data: bytes) -> None:
    """A new file of mode 0600 on the disk; one that a killed follower left is written over."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _link(path: Path, target: str) -> None:
    beside = path.with_name(f".{path.name}.lnk")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    os.rename(beside, path)


def _points(path: Path, target: str) -> bool:
    return path.is_symlink() and os.readlink(path) == target


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> FilesUnwritable:
    return FilesUnwritable(
        f"the files of secrets must be writable: {error.strerror}",
        detail=str(path),
        hint="make room, or mend owner and rights; what was there is as it was",
    )
