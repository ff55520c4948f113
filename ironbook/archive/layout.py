"""Keys and bytes of the archive: schemas/archive.md in Python. No clock, no store.

Head ── head, sha256 ──▶ Entry ── previous, previous_sha256 ──▶ Entry ──▶ … ──▶ Entry (previous: null)
  └─ pending: what is being written now; a writer that died there is followed by one that writes just that
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import zlib
from collections.abc import Callable
from typing import Any, Final

import orjson

from ironbook._errors import ArchiveInvalid
from schemas.vocabulary import RECORD_BYTES, Kind

__all__ = [
    "FORMAT",
    "OBJECT_RECORDS_MAX",
    "Entry",
    "FindBreak",
    "Head",
    "check_records",
    "encode",
    "first_break",
    "head_key",
    "last_crc",
    "manifest_key",
    "object_key",
    "object_of",
    "pack",
    "parse_entry",
    "parse_head",
    "received_ns",
    "sha256",
    "snapshot_key",
    "snapshot_of",
    "snapshots_prefix",
    "unpack",
]

FORMAT: Final = 1
OBJECT_RECORDS_MAX: Final = 1 << 22  # 256 MiB of records: what a reader must be ready to hold
COMPRESSION: Final = 6
GZIP: Final = 31  # zlib's word for one gzip member; it writes mtime 0 and no name
SEQUENCE_MAX: Final = 1 << 62
_PREFIXES: Final = range(Kind.TEXT, Kind.ORDER_LINK + 1)
_OBJECT = re.compile(r"journal/([0-9]{5})/([0-9]{20})-([0-9]{20})\.records\.gz")
_SNAPSHOT = re.compile(r"snapshots/([0-9]{5})/([0-9]{20})-([0-9a-f]{16})\.snap")
_DIGEST = re.compile(r"[0-9a-f]{64}")
FindBreak = Callable[[bytes, int], int | None]  # records, crc before them; index of the first that does not fit
_HINT = "bring the object's last good version back (the bucket keeps versions); do not write one by hand"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The manifest of one object; once written it never changes."""

    shard: int
    first_sequence: int
    last_sequence: int
    key: str
    bytes: int  # as stored
    sha256: str  # of the stored bytes
    records_sha256: str  # of the raw records
    first_received_ns: int
    last_received_ns: int
    crc32c: int  # of the last record: what the next object's chain begins with
    previous: str | None  # key of the manifest before this; None: this is the first
    previous_sha256: str | None

    @property
    def manifest(self) -> str:
        """The key that it is stored under."""
        return manifest_key(self.shard, self.last_sequence)

    @property
    def records_count(self) -> int:
        return self.last_sequence - self.first_sequence + 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the archive ends; the one object that is replaced."""

    shard: int
    last_sequence: int = 0
    objects_count: int = 0
    head: str | None = None  # key of the newest manifest; None: there is none yet
    sha256: str | None = None  # of that manifest's bytes
    pending: tuple[int, int] | None = None  # (first, last) of the object that is being written

    def after(self, entry: Entry) -> Head:
        """The head once this entry is its newest."""
        return Head(
            shard=self.shard,
            last_sequence=entry.last_sequence,
            objects_count=self.objects_count + 1,
            head=entry.manifest,
            sha256=sha256(encode(entry)),
        )


def encode(manifest: Entry | Head) -> bytes:
    """The bytes that are stored: the same for the same fields."""
    fields = dataclasses.asdict(manifest)
    if isinstance(manifest, Head) and manifest.pending is not None:
        first, last = manifest.pending
        fields["pending"] = {"first_sequence": first, "last_sequence": last}
    return orjson.dumps({"format": FORMAT} | fields, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


# ---- Keys ------------------------------------------------------------------------------------------------------------


def head_key(shard: int) -> str:
    """Where the head is."""
    return f"journal/{shard:05d}/manifest.json"


def manifest_key(shard: int, last: int) -> str:
    """Where the manifest of the object that ends at `last` is."""
    return f"journal/{shard:05d}/manifest/{last:020d}.json"


def object_key(shard: int, first: int, last: int) -> str:
    """Where the records first..last are."""
    return f"journal/{shard:05d}/{first:020d}-{last:020d}.records.gz"


def object_of(key: str) -> tuple[int, int, int] | None:
    """(shard, first, last) of an object's key; None for another key."""
    parts = _OBJECT.fullmatch(key)
    return None if parts is None else (int(parts[1]), int(parts[2]), int(parts[3]))


def snapshots_prefix(shard: int) -> str:
    """Where a shard's published snapshots are."""
    return f"snapshots/{shard:05d}/"


def snapshot_key(shard: int, sequence: int, digest: int) -> str:
    """Where that snapshot is."""
    return f"{snapshots_prefix(shard)}{sequence:020d}-{digest:016x}.snap"


def snapshot_of(key: str) -> tuple[int, int, int] | None:
    """(shard, sequence, digest) of a snapshot's key; None for another key."""
    parts = _SNAPSHOT.fullmatch(key)
    return None if parts is None else (int(parts[1]), int(parts[2]), int(parts[3], 16))


# ---- Manifests -------------------------------------------------------------------------------------------------------


def parse_head(data: bytes, shard: int, where: str) -> Head:
    """Raises ArchiveInvalid."""
    known = _fields(data, Head, where)
    pending = known["pending"]
    if pending is not None:
        if not isinstance(pending, dict) or set(pending) != {"first_sequence", "last_sequence"}:
            raise _wrong("pending", "an object of first_sequence and last_sequence, or null", pending, where)
        pending = (_sequence(pending, "first_sequence", where), _sequence(pending, "last_sequence", where))
    last, count = _whole(known, "last_sequence", where), _whole(known, "objects_count", where)
    if (last == 0) != (count == 0) or (last == 0) != (known["head"] is None):
        raise _wrong("last_sequence, objects_count and head", "of one archive", (last, count, known["head"]), where)
    if last > 0 and known["head"] != manifest_key(shard, last):
        raise _wrong("head", manifest_key(shard, last), known["head"], where)
    if last > 0:
        _digest(known, "sha256", where)
    if pending is not None and (pending[0] != last + 1 or pending[1] < pending[0]):
        raise _wrong("pending", f"from sequence {last + 1} on", pending, where)
    _own_shard(known, shard, where)
    return Head(**known | {"pending": pending})


def parse_entry(data: bytes, shard: int, where: str) -> Entry:
    """Raises ArchiveInvalid."""
    known = _fields(data, Entry, where)
    _own_shard(known, shard, where)
    first, last = _sequence(known, "first_sequence", where), _sequence(known, "last_sequence", where)
    if not first <= last < first + OBJECT_RECORDS_MAX:
        raise _wrong("last_sequence", f"{first} to {first + OBJECT_RECORDS_MAX - 1}", last, where)
    if known["key"] != object_key(shard, first, last):
        raise _wrong("key", object_key(shard, first, last), known["key"], where)
    for name in ("bytes", "first_received_ns", "last_received_ns", "crc32c"):
        _whole(known, name, where)
    for name in ("sha256", "records_sha256"):
        _digest(known, name, where)
    if first == 1 and (known["previous"], known["previous_sha256"]) != (None, None):
        raise _wrong("previous", "null in the first manifest", known["previous"], where)
    if first > 1:
        if known["previous"] != manifest_key(shard, first - 1):
            raise _wrong("previous", manifest_key(shard, first - 1), known["previous"], where)
        _digest(known, "previous_sha256", where)
    entry = Entry(**known)
    if where and where != entry.manifest:
        raise _wrong("last_sequence", "what the manifest's key says", last, where)
    return entry


def _fields(data: bytes, kind: type[Entry] | type[Head], where: str) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ArchiveInvalid(f"a manifest must be JSON: {error}", detail=where, hint=_HINT) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        was = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise ArchiveInvalid(f"a manifest must be an object of format {FORMAT}, was {was!r}", detail=where, hint=_HINT)
    wanted = {field.name for field in dataclasses.fields(kind)}
    if set(found) != wanted | {"format"}:
        differs = ", ".join(sorted(set(found) ^ (wanted | {"format"})))
        raise ArchiveInvalid(f"a manifest must have its fields and no others, {differs} differs", detail=where)
    return {name: found[name] for name in wanted}


def _wrong(name: str, must: str, was: object, where: str) -> ArchiveInvalid:
    return ArchiveInvalid(f"{name} must be {must}, was {was!r}", detail=where, hint=_HINT)


def _own_shard(known: dict[str, Any], shard: int, where: str) -> None:
    if known["shard"] != shard:
        raise ArchiveInvalid(
            f"the archive must be of shard {shard}, is of {known['shard']!r}",
            detail=where,
            hint="name another shard, or another bucket",
        )


def _whole(known: dict[str, Any], name: str, where: str) -> int:
    value = known[name]
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise _wrong(name, "a whole number", value, where)
    return value


def _sequence(known: dict[str, Any], name: str, where: str) -> int:
    value = _whole(known, name, where)
    if not 1 <= value <= SEQUENCE_MAX:
        raise _wrong(name, "a sequence", value, where)
    return value


def _digest(known: dict[str, Any], name: str, where: str) -> None:
    if not isinstance(known[name], str) or not _DIGEST.fullmatch(known[name]):
        raise _wrong(name, "64 hexadecimal digits", known[name], where)


# ---- Objects ---------------------------------------------------------------------------------------------------------


def sha256(data: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def pack(records: bytes) -> bytes:
    """Records as an object stores them: one gzip member without time or name, so that a second writing is the same."""
    packer = zlib.compressobj(COMPRESSION, zlib.DEFLATED, GZIP)
    return packer.compress(records) + packer.flush()


def unpack(data: bytes, records_count: int, where: str) -> bytes:
    """The raw records of an object. Never holds more than they may be. Raises ArchiveInvalid."""
    room = records_count * RECORD_BYTES
    reader = zlib.decompressobj(GZIP)
    try:
        records = reader.decompress(data, room + 1)
    except zlib.error as error:
        raise ArchiveInvalid(f"an object must be one whole gzip member: {error}", detail=where, hint=_HINT) from None
    if len(records) == room and not reader.eof:  # its end may still be unread
        records += reader.decompress(reader.unconsumed_tail, 1)
    if not reader.eof or reader.unused_data or len(records) != room:
        cut = "it is cut short" if not reader.eof and len(records) <= room else "it holds something else"
        raise ArchiveInvalid(
            f"an object must hold {records_count} records of {RECORD_BYTES} bytes in one gzip member, {cut}",
            detail=f"{where}, {len(data)} bytes stored, {len(records)} unpacked",
            hint=_HINT,
        )
    return records


def received_ns(records: bytes, index: int) -> int:
    """When the engine received a record; index -1: the last."""
    at = (index if index >= 0 else len(records) // RECORD_BYTES + index) * RECORD_BYTES + 56
    return int.from_bytes(records[at : at + 8], "little")


def last_crc(records: bytes) -> int:
    """The chain's value at the last record."""
    return int.from_bytes(records[-12:-8], "little")


def first_break(records: bytes, previous_crc: int, crc32c: Callable[[bytes], int]) -> int | None:
    """Index of the first record that is empty or does not continue the chain; None: all do."""
    crc = previous_crc.to_bytes(4, "little")
    for at in range(0, len(records), RECORD_BYTES):
        own = records[at + 52 : at + 56]
        found = crc32c(crc + records[at : at + 52] + records[at + 56 : at + 64])
        if records[at] == 0 or found.to_bytes(4, "little") != own:
            return at // RECORD_BYTES
        crc = own
    return None


def check_records(records: bytes, first: int, previous_crc: int, find_break: FindBreak, where: str) -> None:
    """Whole records that continue the chain and end at a closed command. Raises ArchiveInvalid, with the sequence.

    find_break  first_break with a crc32c, or what is quicker and finds the same
    """
    if not records or len(records) % RECORD_BYTES:
        raise ArchiveInvalid(
            f"records must be whole, {RECORD_BYTES} bytes each, were {len(records)} bytes", detail=where
        )
    broken = find_break(records, previous_crc)
    if broken is not None:
        raise ArchiveInvalid(
            f"each record must continue the chain, that of sequence {first + broken} does not",
            detail=f"{where}, sequence {first + broken}, offset {broken * RECORD_BYTES} of the raw records",
            hint="two histories were mixed, or bytes were altered: compare with the journal of the engine or a standby",
        )
    if records[-RECORD_BYTES] in _PREFIXES:
        last = first + len(records) // RECORD_BYTES - 1
        raise ArchiveInvalid(
            f"records must end at a closed command, sequence {last} is a prefix", detail=f"{where}, sequence {last}"
        )
