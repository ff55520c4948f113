"""Snapshots on disk: what they are called, how they are written, and which one a start may trust.

    <data>/snapshots/00000000000001048576-8f3a6c0d91e2b745.snap
                     └ sequence, 20 digits ┘ └ digest, 16 hex ┘

The name says what the content must be: a snapshot counts only if the core loads it and has that sequence and that
digest. Writing is a temporary file, fsync, rename, fsync of the directory; a half-written one never has the name.

A start takes the newest good one. A bad one is reported and the next older is tried; without any, the journal is
replayed from its beginning. Once an engine has started without a bad one, it sets it aside as `….snap.bad` for whoever
looks into it: it must not take the place of a good one when older ones are removed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from engine_node import _engine
from engine_node.errors import SnapshotError, parts_of

__all__ = [
    "BadSnapshot",
    "Snapshot",
    "list_snapshots",
    "load_snapshot",
    "newest_good",
    "prune",
    "set_aside",
    "write_snapshot",
]

_NAME = re.compile(r"([0-9]{20})-([0-9a-f]{16})\.snap")
TEMPORARY_SUFFIX: Final = ".tmp"
NEEDED_COUNT: Final = 2  # snapshots kept for a reader that is behind


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot file by what its name says."""

    path: Path
    sequence: int
    digest: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BadSnapshot:
    """A snapshot that could not be used, and why; for the log."""

    path: Path
    why: Mapping[str, str]  # code, message, detail, hint


def list_snapshots(directory: Path) -> list[Snapshot]:
    """All snapshots by name, newest first. A directory that is not there has none."""
    found = []
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            parts = _NAME.fullmatch(entry.name)
            if parts is not None:
                found.append(Snapshot(path=Path(entry.path), sequence=int(parts[1]), digest=int(parts[2], 16)))
    return sorted(found, key=lambda snapshot: snapshot.sequence, reverse=True)


def load_snapshot(snapshot: Snapshot, options: Mapping[str, int]) -> tuple[bytes, _engine.Core]:
    """Its bytes, and a core that has loaded them and is what the name says. Raises SnapshotError."""
    try:
        data = snapshot.path.read_bytes()
        core = _engine.Core.load(data, **options)
    except OSError as error:
        raise SnapshotError(f"a snapshot must be readable: {error.strerror}", detail=str(snapshot.path)) from None
    except _engine.SnapshotInvalid as error:
        raise SnapshotError(f"a snapshot must load: {error}", detail=str(snapshot.path), hint=error.hint) from error
    if (core.sequence(), core.digest()) != (snapshot.sequence, snapshot.digest):
        raise SnapshotError(
            f"a snapshot must hold what its name says, holds {core.sequence():020d}-{core.digest():016x}",
            detail=str(snapshot.path),
            hint="keep it for an inquiry; an older one and the journal give the same state",
        )
    return data, core


def newest_good(
    directory: Path, options: Mapping[str, int], *, sequence_max: int | None = None, before: int | None = None
) -> Iterator[tuple[Snapshot, bytes, _engine.Core] | BadSnapshot]:
    """From the newest on: each bad one and why, then the first good one, and no more.

    sequence_max: a newer one is bad, because the journal does not reach it.
    before: a newer one is passed over, because an older state is wanted.
    """
    for snapshot in list_snapshots(directory):
        if before is not None and snapshot.sequence > before:
            continue
        if sequence_max is not None and snapshot.sequence > sequence_max:
            message = f"a snapshot must not be newer than the journal, which ends at {sequence_max}"
            yield BadSnapshot(path=snapshot.path, why={"error": SnapshotError.code, "message": message})
            continue
        try:
            data, core = load_snapshot(snapshot, options)
        except SnapshotError as error:
            yield BadSnapshot(path=snapshot.path, why=parts_of(error))
            continue
        yield snapshot, data, core
        return


def write_snapshot(directory: Path, data: bytes, *, sequence: int, digest: int) -> Snapshot:
    """Write it durably under its name. Raises SnapshotError; then there is no file of that name that was not before."""
    path = directory / f"{sequence:020d}-{digest:016x}.snap"
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        raise SnapshotError(
            f"a snapshot of {len(data)} bytes must be written: {error.strerror}",
            detail=str(path),
            hint="make room on the disk; the journal holds everything until then",
        ) from None
    return Snapshot(path=path, sequence=sequence, digest=digest)


def set_aside(bad: BadSnapshot) -> None:
    """Rename it to `….snap.bad`. What the disk refuses does no harm: it is passed over again."""
    with contextlib.suppress(OSError):
        bad.path.rename(bad.path.with_name(bad.path.name + ".bad"))


def prune(directory: Path, keep_count: int, mark: int | None = None) -> list[Path]:
    """Remove all but the newest `keep_count` snapshots, and temporary files left by a crash. Returns what went.

    mark  a sequence that a reader begins at: the two newest snapshots not behind it stay too, as one may be bad.
    """
    found = list_snapshots(directory)
    needed = [snapshot for snapshot in found if mark is not None and snapshot.sequence <= mark][:NEEDED_COUNT]
    gone = [snapshot.path for snapshot in found[keep_count:] if snapshot not in needed]
    gone += [path for path in directory.glob(f".*.snap.*{TEMPORARY_SUFFIX}") if not _writer_lives(path)]
    for path in gone:
        path.unlink(missing_ok=True)
    return gone


def _writer_lives(path: Path) -> bool:
    writer = path.name.removesuffix(TEMPORARY_SUFFIX).rpartition(".")[2]
    return writer.isdigit() and Path(f"/proc/{writer}").exists()
