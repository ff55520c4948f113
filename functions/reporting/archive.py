"""What the archive says: the ledger's statements and the prices that orders arrived at, from S3.

Whatever is missing, cut off or of another day is told as such, and no reason to make no report: that there is nothing
to compare with is itself what the report says first.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet

from functions.common.aws import Clients, get_object, told
from functions.common.errors import CloudFailed
from functions.reporting.rows import Arrival
from functions.reporting.statement import Missing, Statement, parse

__all__ = ["Archive"]

READ_AHEAD_BYTES: Final = 4 << 20
BATCH_ROWS: Final = 16_384
PAGE_KEYS: Final = 1_000
_JOURNAL: Final = re.compile(r"journal/(\d+)/")
ARRIVAL_COLUMNS: Final = ["seq", "symbol", "bid_ticks", "ask_ticks"]


class Archive:
    """The archive's bucket; "" where there is none. notes: what a reader of the report must know about it."""

    def __init__(self, clients: Clients, bucket: str) -> None:
        self._clients, self._bucket = clients, bucket
        self.notes: list[str] = []

    def shards(self) -> list[int]:
        """Whose journals are in the archive, whatever the tables know of. Raises CloudFailed where S3 refuses."""
        if not self._bucket:
            return []
        found = []
        with told("the archive must be readable", f"s3://{self._bucket}/journal/"):
            pages = self._clients.get("s3").get_paginator("list_objects_v2")
            wanted = {"Bucket": self._bucket, "Prefix": "journal/", "Delimiter": "/"}
            for page in pages.paginate(**wanted, PaginationConfig={"PageSize": PAGE_KEYS}):
                found += [_JOURNAL.fullmatch(one["Prefix"]) for one in page.get("CommonPrefixes", [])]
        return sorted(int(match[1]) for match in found if match is not None)

    def statements(self, shards: Sequence[int], day: str) -> list[Statement | Missing]:
        """The ledger at the end of a day, of each shard. Raises CloudFailed where S3 refuses."""
        return [self._statement(shard, day) for shard in shards]

    def _statement(self, shard: int, day: str) -> Statement | Missing:
        key = f"statements/{shard:05d}/{day}.json"
        where = f"s3://{self._bucket}/{key}"
        if not self._bucket:
            return Missing(shard=shard, why="there must be an archive, none is set", where="setting archive_bucket")
        found = get_object(self._clients, self._bucket, key)
        if found is None:
            return Missing(shard=shard, why="it must be in the archive, is not (yet)", where=where)
        statement = parse(found[0], shard=shard, day=day, where=where)
        if isinstance(statement, Missing):
            return statement
        if statement.partial:
            why = f"it must be of the whole day, goes to sequence {statement.sequence} only"
            return Missing(shard=shard, why=why, where=where)
        reached = self._archived(shard)
        if reached < statement.sequence:
            why = f"the archive must reach its sequence {statement.sequence}, reaches {reached}"
            return Missing(shard=shard, why=why, where=f"s3://{self._bucket}/journal/{shard:05d}/manifest.json")
        return statement

    def _archived(self, shard: int) -> int:
        """The last sequence of a shard's journal in the archive; 0: none, or its manifest is not whole."""
        found = get_object(self._clients, self._bucket, f"journal/{shard:05d}/manifest.json")
        try:
            return int(json.loads(found[0])["last_sequence"]) if found is not None else 0
        except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
            return 0

    def arrivals(self, shards: Sequence[int], day: str) -> Iterator[Arrival] | None:
        """Prices just before each accepted order of the day, by shard and sequence; None where there are none."""
        files = [(shard, self._opened(shard, day)) for shard in shards]
        if not any(file for _, file in files):
            return None
        return self._rows([(shard, file) for shard, file in files if file is not None])

    def _opened(self, shard: int, day: str) -> pa.parquet.ParquetFile | None:
        if not self._bucket:
            return None
        key = f"statements/{shard:05d}/{day}.arrivals.parquet"
        where = f"s3://{self._bucket}/{key}"
        try:
            source = io.BufferedReader(_Object(self._clients, self._bucket, key), READ_AHEAD_BYTES)
            file = pa.parquet.ParquetFile(source)
            missing = set(ARRIVAL_COLUMNS) - set(file.schema_arrow.names)
        except CloudFailed as error:
            if error.aws_code not in ("404", "NoSuchKey"):
                raise
            self.notes.append(f"No arrival prices of shard {shard}: {where} is not there.")
            return None
        except (pa.ArrowException, OSError) as error:
            self.notes.append(f"No arrival prices of shard {shard}: {where} is not whole ({error}).")
            return None
        if missing:
            self.notes.append(f"No arrival prices of shard {shard}: {where} lacks {', '.join(sorted(missing))}.")
            return None
        return file

    def _rows(self, files: list[tuple[int, Any]]) -> Iterator[Arrival]:
        for shard, file in files:
            try:
                for batch in file.iter_batches(BATCH_ROWS, columns=ARRIVAL_COLUMNS):
                    seqs, symbols, bids, asks = (batch.column(name).to_pylist() for name in ARRIVAL_COLUMNS)
                    for seq, symbol, bid, ask in zip(seqs, symbols, bids, asks, strict=True):
                        yield Arrival(shard, seq, symbol, bid, ask)
            except (pa.ArrowException, OSError) as error:
                self.notes.append(f"The arrival prices of shard {shard} end early: {error}.")


class _Object(io.RawIOBase):
    """An object of S3 as a file to read, piece by piece. Raises CloudFailed."""

    def __init__(self, clients: Clients, bucket: str, key: str) -> None:
        super().__init__()
        self._s3, self._place = clients.get("s3"), {"Bucket": bucket, "Key": key}
        self._where = f"s3://{bucket}/{key}"
        with told("an object must be readable", self._where):
            head = self._s3.head_object(**self._place)
        self._size, self._etag, self._at = int(head["ContentLength"]), str(head["ETag"]), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        last = min(self._at + len(buffer), self._size) - 1
        if last < self._at:
            return 0
        with told("an object must be readable", self._where):
            answer = self._s3.get_object(**self._place, Range=f"bytes={self._at}-{last}", IfMatch=self._etag)
            data = answer["Body"].read()
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
