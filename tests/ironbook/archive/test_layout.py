"""What is read of an archive is what may stand there, and nothing else is taken for it."""

from __future__ import annotations

import dataclasses
import gzip
import json
import zlib
from typing import Any

import pytest

from engine_node import _engine
from ironbook import ArchiveInvalid
from ironbook.archive.layout import (
    Entry,
    Head,
    check_records,
    encode,
    first_break,
    manifest_key,
    object_key,
    object_of,
    pack,
    parse_entry,
    parse_head,
    snapshot_key,
    snapshot_of,
    unpack,
)
from schemas.vocabulary import Kind

DIGEST = "ab" * 32
ENTRY = Entry(
    shard=3, first_sequence=5, last_sequence=7, key=object_key(3, 5, 7), bytes=100, sha256=DIGEST,
    records_sha256=DIGEST, first_received_ns=1, last_received_ns=2, crc32c=9, previous=manifest_key(3, 4),
    previous_sha256=DIGEST,
)  # fmt: skip
HEAD = Head(shard=3, last_sequence=7, objects_count=2, head=manifest_key(3, 7), sha256=DIGEST, pending=(8, 9))


def test_keys_name_what_they_stand_for() -> None:
    assert object_of(object_key(3, 5, 7)) == (3, 5, 7)
    assert snapshot_of(snapshot_key(3, 7, 0xABC)) == (3, 7, 0xABC)
    assert object_of(manifest_key(3, 7)) is snapshot_of(object_key(3, 5, 7)) is None


def test_manifests_are_read_as_they_were_written() -> None:
    assert parse_entry(encode(ENTRY), 3, ENTRY.manifest) == ENTRY
    assert parse_head(encode(HEAD), 3, "head") == HEAD
    assert parse_head(encode(Head(shard=3)), 3, "head") == Head(shard=3)
    after = HEAD.after(dataclasses.replace(ENTRY, first_sequence=8, last_sequence=9))
    assert (after.last_sequence, after.objects_count, after.head, after.pending) == (9, 3, manifest_key(3, 9), None)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"format": 2}, "must be an object of format 1, was 2"),
        ({"more": 1}, "more differs"),
        ({"shard": 4}, "must be of shard 3, is of 4"),
        ({"last_sequence": 0}, "last_sequence, objects_count and head must be of one archive"),
        ({"head": manifest_key(3, 6)}, "head must be"),
        ({"sha256": None}, "sha256 must be 64 hexadecimal digits"),
        ({"objects_count": True}, "objects_count must be a whole number"),
        ({"pending": {"first_sequence": 9, "last_sequence": 9}}, "pending must be from sequence 8 on"),
        ({"pending": [8, 9]}, "pending must be an object"),
    ],
)
def test_a_head_that_cannot_be_is_refused(wrong: dict[str, Any], what: str) -> None:
    with pytest.raises(ArchiveInvalid, match=what):
        parse_head(json.dumps(json.loads(encode(HEAD)) | wrong).encode(), 3, "head")


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"last_sequence": 4}, "last_sequence must be 5 to"),
        ({"key": object_key(3, 5, 8)}, "key must be"),
        ({"crc32c": -1}, "crc32c must be a whole number"),
        ({"records_sha256": "AB" * 32}, "records_sha256 must be 64 hexadecimal digits"),
        ({"previous": manifest_key(3, 3)}, "previous must be"),
        ({"previous": None}, "previous must be"),
        ({"first_sequence": 1, "key": object_key(3, 1, 7)}, "previous must be null in the first manifest"),
        ({"last_sequence": 8, "key": object_key(3, 5, 8)}, "must be what the manifest's key says"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(wrong: dict[str, Any], what: str) -> None:
    with pytest.raises(ArchiveInvalid, match=what):
        parse_entry(json.dumps(json.loads(encode(ENTRY)) | wrong).encode(), 3, ENTRY.manifest)


def test_an_object_is_one_gzip_member_of_just_its_records() -> None:
    records = bytes(range(64)) * 3
    assert pack(records) == pack(records)
    assert gzip.decompress(pack(records)) == records
    assert unpack(pack(records), 3, "here") == records


@pytest.mark.parametrize(
    ("stored", "what"),
    [
        (b"no gzip", "one whole gzip member"),
        (pack(bytes(192))[:-4], "it is cut short"),
        (pack(bytes(191)), "it holds something else"),
        (pack(bytes(193)), "it holds something else"),
        (pack(bytes(1 << 20)), "it holds something else"),
        (pack(bytes(192)) + b"more", "it holds something else"),
        (zlib.compress(bytes(192)), "one whole gzip member"),
    ],
    ids=["not gzip", "cut", "a byte less", "a byte more", "far more", "more behind it", "zlib"],
)
def test_an_object_that_holds_anything_else_is_refused(stored: bytes, what: str) -> None:
    with pytest.raises(ArchiveInvalid, match=what):
        unpack(stored, 3, "here")


def sealed(*kinds: int) -> bytes:
    return _engine.seal(b"".join(bytes([kind]) + bytes(63) for kind in kinds), 0)


def broken(records: bytes, previous_crc: int) -> int | None:
    return first_break(records, previous_crc, _engine.crc32c)


def test_records_continue_the_chain_and_end_with_a_whole_command() -> None:
    good = sealed(Kind.TEXT, Kind.DIGEST, Kind.DIGEST)
    check_records(good, 5, 0, broken, "here")
    for wrong, what in (
        (b"", "records must be whole"),
        (good[:-1], "records must be whole"),
        (good[64:], "that of sequence 5 does not"),
        (good[:128] + sealed(Kind.DIGEST), "that of sequence 7 does not"),
        (good[:64], "records must end at a closed command, sequence 5 is a prefix"),
    ):
        with pytest.raises(ArchiveInvalid, match=what):
            check_records(wrong, 5, 0, broken, "here")
