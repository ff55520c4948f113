"""Opening tapes: plain or gzip, told apart by their first bytes, read in pieces; never the whole file at once."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from .errors import TapeUnreadable

PIECE_BYTES = 1 << 18
GZIP_MAGIC = b"\x1f\x8b"


class TapeFile:
    """A tape's bytes, piece by piece. `consumed_bytes` counts bytes of the file itself (packed ones of a .gz), for
    progress.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._raw = path.open("rb")
            magic = self._raw.read(len(GZIP_MAGIC))
            self._raw.seek(0)
            self.total_bytes = path.stat().st_size
        except OSError as error:
            raise TapeUnreadable(
                f"a tape must be a readable file, was {path}: {error.strerror}", hint="check the path"
            ) from error
        self.packed = magic == GZIP_MAGIC
        self._unpacked: BinaryIO = cast(BinaryIO, gzip.GzipFile(fileobj=self._raw)) if self.packed else self._raw
        self.read_bytes = 0  # unpacked, so far

    def read(self, size: int = PIECE_BYTES) -> bytes:
        """Up to size bytes; fewer only at the end. Raises TapeUnreadable if a .gz is cut off or damaged."""
        try:
            piece = self._unpacked.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
            raise TapeUnreadable(
                f"a tape must be whole, but reading failed: {error}",
                detail=f"{self.path.name}, behind unpacked byte {self.read_bytes}",
                hint="get the file again; its copy is cut off or damaged",
            ) from error
        self.read_bytes += len(piece)
        return piece

    def consumed_bytes(self) -> int:
        """How far the file itself has been read."""
        return self._raw.tell()

    def close(self) -> None:
        """Close the file."""
        self._unpacked.close()
        self._raw.close()

    def __enter__(self) -> TapeFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


Progress = Callable[[int, int], None]  # (bytes of the file read, bytes in all)


def pieces(path: Path, progress: Progress | None) -> Iterator[bytes]:
    """The file's unpacked bytes in pieces, telling progress after each."""
    with TapeFile(path) as file:
        while piece := file.read():
            if progress is not None:
                progress(file.consumed_bytes(), file.total_bytes)
            yield piece
