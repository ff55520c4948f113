"""The files of one run: which there are, where they go, and what the manifest says of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from functions.reporting.files import Decimals, TableWriter
from functions.reporting.upload import Outbox, Upload

__all__ = ["TYPES", "Output", "Table"]

TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "html": "text/html; charset=utf-8",
}


class Output:
    """Files below one folder of S3. wanted: names of the reports that are asked for; others are not written."""

    def __init__(self, outbox: Outbox, folder: str, wanted: Sequence[str], decimals: Decimals) -> None:
        self.folder = folder
        self.files: list[dict[str, Any]] = []  # as the manifest lists them
        self._outbox, self._wanted, self._decimals = outbox, wanted, decimals

    def table(self, name: str, kind: type) -> Table:
        """A table, as Parquet and CSV."""
        if name not in self._wanted:
            return Table(None, [])
        uploads = [self._open(f"{name}.{end}") for end in ("csv", "parquet")]
        return Table(TableWriter(kind, self._decimals, parquet=uploads[1], csv=uploads[0]), uploads, self)

    def whole(self, name: str, kind: type, rows: Sequence[Iterable[Any]]) -> None:
        """A table whose rows are all there."""
        with self.table(name, kind) as table:
            table.write(rows)

    def text(self, name: str, body: bytes) -> None:
        """A file by itself."""
        if name.partition(".")[0] not in self._wanted:
            return
        upload = self._open(name)
        upload.write(body)
        self.add(upload, 0)

    def add(self, upload: Upload, row_count: int) -> None:
        """A file that is all written."""
        upload.close()
        name = upload.key.rpartition("/")[2]
        self.files.append({"name": name, "bytes": upload.byte_count, "sha256": upload.sha256, "rows": row_count})

    def manifest(self, **said: Any) -> bytes:
        """The manifest: what is said, and every file by name."""
        return json.dumps({**said, "files": self.listed()}, indent=1, sort_keys=True).encode() + b"\n"

    def listed(self) -> list[dict[str, Any]]:
        """The files so far, by name."""
        return sorted(self.files, key=lambda file: str(file["name"]))

    def _open(self, name: str) -> Upload:
        return self._outbox.open(f"{self.folder}/{name}", TYPES[name.rpartition(".")[2]])


class Table:
    """A table that is being written, or (without a writer) one that nobody asked for."""

    def __init__(self, writer: TableWriter | None, uploads: Sequence[Upload], output: Output | None = None) -> None:
        self._writer, self._uploads, self._output = writer, uploads, output

    def write(self, rows: Sequence[Iterable[Any]]) -> None:
        """Some rows more."""
        if self._writer is not None:
            self._writer.write(rows)

    def __enter__(self) -> Table:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None and self._writer is not None and self._output is not None:
            self._writer.close()
            for upload in self._uploads:
                self._output.add(upload, self._writer.row_count)
