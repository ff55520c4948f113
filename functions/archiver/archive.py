"""One call of the archiver: what the topic has behind the archive's end becomes objects; then the topic is trimmed.

    head ── claim (pending first..last) ──▶ object ──▶ manifest ──▶ head
      If-Match        If-None-Match           If-None-Match         If-Match

The claim comes first and says exactly which records the next object has. So a call that dies anywhere is followed by
one that writes the very same object, and of two archivers only one can claim: the other changes nothing. Nothing but
the head is ever replaced, and that only over what was read.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Final

from functions.archiver.errors import ArchiveTaken, TopicInvalid
from functions.archiver.plan import Floor, Gathered, floor
from functions.archiver.settings import Settings
from functions.archiver.topic import JournalTopic, Message, crc32c
from ironbook import ArchiveInvalid
from ironbook.archive.layout import (
    Entry,
    Head,
    check_records,
    encode,
    first_break,
    head_key,
    last_crc,
    object_key,
    pack,
    received_ns,
    sha256,
    snapshot_of,
    snapshots_prefix,
    unpack,
)
from ironbook.archive.reading import check_end, check_names, read_head
from ironbook.archive.stores import Store
from schemas.vocabulary import RECORD_BYTES

__all__ = ["Archiver"]

FIND_BREAK: Final = functools.partial(first_break, crc32c=crc32c)
NS: Final = 1_000_000_000
TRIMMED: Final = (
    "the records between are in the journal's segments on the engine node, if anywhere: do not trim further"
)
SET_ASIDE: Final = "keep it for an inquiry under another key, remove it here, and let the archiver write it again"


class AnotherWon(Exception):
    """Another archiver has the head now: this one changes nothing more."""


@dataclasses.dataclass(slots=True)
class Archiver:
    """Belongs to one call. remaining_s: how long the call may still take."""

    store: Store
    topic: JournalTopic
    shard: int
    settings: Settings
    now_ns: int
    remaining_s: Callable[[], float]
    head: Head = dataclasses.field(init=False)
    tag: str | None = dataclasses.field(init=False, default=None)
    entry: Entry | None = dataclasses.field(init=False, default=None)
    objects: list[str] = dataclasses.field(init=False, default_factory=list)
    oldest_ns: int = dataclasses.field(init=False, default=0)  # of the first record that is not archived; 0: all are

    async def run(self, *, flush: bool) -> dict[str, Any]:
        """Archive, then trim; what was done. flush: a small object is written at once, however young it is.

        Raises ArchiveInvalid, ArchiverError, ServiceFailed: what was written before stays, and is whole.
        """
        self.head, self.tag = read_head(self.store, self.shard)
        self.entry = check_end(self.store, self.head)
        began = self.head.last_sequence
        answer: dict[str, Any] = {"shard": self.shard, "another_archiver": False}
        async with self.topic.open():
            try:
                waiting = await self._archive(flush)
            except AnotherWon:
                self.head, self.tag = read_head(self.store, self.shard)
                answer["another_archiver"], waiting = True, 0
                self.oldest_ns = 0
            answer |= {
                "archived_records": self.head.last_sequence - began if not answer["another_archiver"] else 0,
                "objects": self.objects,
                "last_sequence": self.head.last_sequence,
                "waiting_records": waiting,
                "lag_s": max(0, self.now_ns - self.oldest_ns) // NS if self.oldest_ns else 0,
            }
            if not answer["another_archiver"]:
                answer |= await self._trim()
        return answer

    # ---- Objects -----------------------------------------------------------------------------------------------------

    async def _archive(self, flush: bool) -> int:
        """Objects from the archive's end on; how many records of the topic stay unarchived for now."""
        start = await self._start()
        if start is None:
            return 0
        taken = 0
        gathered = self._next()
        async for message in self.topic.messages(start.offset):
            records = self._new(message, gathered.last + 1)
            while records:
                part = self._part(gathered, records)
                gathered.add(part)
                records = records[len(part) :]
                if self._complete(gathered, records):
                    taken += gathered.count
                    self._write(gathered)
                    gathered = self._next()
                    if taken >= self.settings.call_records_max or self.remaining_s() <= 0:
                        return await self._left(message, records)
        if self.head.pending is not None:
            raise TopicInvalid(
                f"the topic must have what was being archived, up to sequence {self.head.pending[1]}, "
                f"ends at {gathered.last}",
                detail=f"{self.topic.name}, offset {self.topic.end}",
                hint=TRIMMED,
            )
        if gathered.count and (flush or gathered.due(self.now_ns, self.settings.object_age_s)):
            self._write(gathered)
            return 0
        if gathered.count:
            self.oldest_ns = received_ns(gathered.parts[0], 0)
        return gathered.count

    async def _left(self, message: Message, records: bytes) -> int:
        """Records behind the call's last object, when it takes no more."""
        last = await self.topic.last()
        if last is None or last.last <= self.head.last_sequence:
            return 0
        behind = Message(0, records, 0) if records else await self.topic.message_at(message.offset + 1)
        self.oldest_ns = received_ns(behind.records, 0) if behind is not None else self.now_ns
        return last.last - self.head.last_sequence

    def _next(self) -> Gathered:
        most = self.settings.object_records
        if self.head.pending is not None:
            most = self.head.pending[1] - self.head.last_sequence
        return Gathered(self.head.last_sequence + 1, most)

    def _part(self, gathered: Gathered, records: bytes) -> bytes:
        """What of a message goes into this object: all of it, unless a claim of before says where the object ends."""
        if self.head.pending is not None:
            return records[: (self.head.pending[1] - gathered.last) * RECORD_BYTES]
        return records

    def _complete(self, gathered: Gathered, left: bytes) -> bool:
        return gathered.full if self.head.pending is None else gathered.last == self.head.pending[1]

    async def _start(self) -> Message | None:
        """The message to begin with: that of the archive's last record, or the first. None: the topic is empty."""
        last = self.head.last_sequence
        oldest = await self.topic.message_at(self.topic.begin)
        if oldest is None:
            if last == 0:
                return None
            raise TopicInvalid(
                f"the topic must hold record {last}, where the archive ends, and is empty",
                detail=f"{self.topic.name}, offsets {self.topic.begin} to {self.topic.end}",
                hint="was it made anew? Let the publisher ship the journal again, and see that no retention trims it",
            )
        if oldest.first > last + 1:
            raise TopicInvalid(
                f"the topic must go on at sequence {last + 1}, where the archive ends, and begins at {oldest.first}",
                detail=f"{self.topic.name}, offset {oldest.offset}; {self.store.place}{head_key(self.shard)}",
                hint=TRIMMED,
            )
        found = await self.topic.find(max(last, 1))
        start = oldest if found is None else found
        if last > 0 and found is not None and found.last < last:
            raise TopicInvalid(  # what was never compared with the archive must not be trimmed by it
                f"the topic must hold record {last}, where the archive ends, and ends at {found.last}, or has a gap",
                detail=f"{self.topic.name}, offset {found.offset}; {self.store.place}{head_key(self.shard)}",
                hint="is it the right shard, prefix and bucket? Was the engine begun anew under the same names?",
            )
        self._same_history(start)
        return start

    def _same_history(self, message: Message) -> None:
        """The archive's last record, where the message has it, must be the archive's."""
        if self.entry is None or not message.first <= self.entry.last_sequence <= message.last:
            return
        upto = message.records[: (self.entry.last_sequence - message.first + 1) * RECORD_BYTES]
        if last_crc(upto) != self.entry.crc32c:
            raise TopicInvalid(
                f"topic and archive must be of one journal, record {self.entry.last_sequence} differs",
                detail=f"{self.topic.name}, offset {message.offset}; {self.store.place}{self.entry.manifest}",
                hint="is it the right shard, prefix and bucket? Was the engine begun anew under the same names?",
            )

    def _new(self, message: Message, wanted: int) -> bytes:
        """What of a message is behind what was gathered. Raises TopicInvalid: a gap."""
        if message.first > wanted:
            raise TopicInvalid(
                f"the next record must be {wanted}, was {message.first}",
                detail=f"{self.topic.name}, offset {message.offset}",
                hint="records are missing in the topic: compare it with the engine's journal",
            )
        return message.records[max(0, wanted - message.first) * RECORD_BYTES :]

    # ---- Writing -----------------------------------------------------------------------------------------------------

    def _write(self, gathered: Gathered) -> None:
        records = gathered.records()
        crc = 0 if self.entry is None else self.entry.crc32c
        try:
            check_records(records, gathered.first, crc, FIND_BREAK, self.topic.name)
        except ArchiveInvalid as error:
            raise TopicInvalid(error.message, detail=error.detail, hint=error.hint) from error
        if self.head.pending is None:
            self._replace(dataclasses.replace(self.head, pending=(gathered.first, gathered.last)))
        entry = self._entry(gathered, records, self._put_object(gathered, records))
        self._put_same(entry.manifest, encode(entry))
        self._replace(self.head.after(entry))
        self.entry = entry
        self.objects.append(entry.key)

    def _replace(self, head: Head) -> None:
        """A new head over the one that was read. Raises AnotherWon."""
        key = head_key(self.shard)
        tag = self.store.put(key, encode(head), self.tag)
        if tag is None:
            found = self.store.get(key)
            if found is None or found.data != encode(head):  # or the answer to our own was lost, and it was repeated
                raise AnotherWon
            tag = found.tag
        self.head, self.tag = head, tag

    def _put_object(self, gathered: Gathered, records: bytes) -> bytes:
        """The stored bytes: ours, or those of the call before this one, which hold the same records."""
        key = object_key(self.shard, gathered.first, gathered.last)
        packed = pack(records)
        if self.store.put(key, packed, None) is not None:
            return packed
        found = self.store.get(key)
        if found is None or unpack(found.data, gathered.count, self.store.place + key) != records:
            raise ArchiveTaken(
                "an object that is there already must hold the records of its name, holds others",
                detail=f"{self.store.place}{key}, sequences {gathered.first} to {gathered.last}",
                hint=SET_ASIDE,
            )
        return found.data

    def _entry(self, gathered: Gathered, records: bytes, packed: bytes) -> Entry:
        before = self.entry
        return Entry(
            shard=self.shard,
            first_sequence=gathered.first,
            last_sequence=gathered.last,
            key=object_key(self.shard, gathered.first, gathered.last),
            bytes=len(packed),
            sha256=sha256(packed),
            records_sha256=sha256(records),
            first_received_ns=received_ns(records, 0),
            last_received_ns=received_ns(records, -1),
            crc32c=last_crc(records),
            previous=None if before is None else before.manifest,
            previous_sha256=None if before is None else self.head.sha256,
        )

    def _put_same(self, key: str, data: bytes) -> None:
        if self.store.put(key, data, None) is None:
            found = self.store.get(key)
            if found is None or found.data != data:
                raise ArchiveTaken(
                    "a manifest that is there already must be the one to be written, is another",
                    detail=f"{self.store.place}{key}",
                    hint=SET_ASIDE,
                )

    # ---- Trimming ----------------------------------------------------------------------------------------------------

    async def _trim(self) -> dict[str, Any]:
        """Delete messages that hold only records before the floor, all of them archived."""
        published = [found[1] for key in self.store.keys(snapshots_prefix(self.shard)) if (found := snapshot_of(key))]
        at = floor(self.head.last_sequence, self.settings.keep_records, published, self.settings.keep_snapshots)
        answer = {"floor_sequence": at.sequence, "floor_why": at.why, "trimmed_to_offset": None}
        offset = await self._trim_offset(at)
        if offset is None or not self.settings.trim:
            return answer
        confirmed, _ = read_head(self.store, self.shard)
        if confirmed.last_sequence < at.sequence:  # as the store says now, not as this call remembers it
            raise ArchiveInvalid(
                f"the archive must still reach sequence {at.sequence}, ends at {confirmed.last_sequence}",
                detail=f"{self.store.place}{head_key(self.shard)}",
                hint="its head was rolled back while this ran: bring its last version back; nothing was trimmed",
            )
        oldest = await self.topic.message_at(self.topic.begin)
        check_names(self.store, confirmed, 0 if oldest is None else oldest.first - 1)  # nothing of it may be missing
        await self.topic.trim(offset)
        return answer | {"trimmed_to_offset": offset}

    async def _trim_offset(self, at: Floor) -> int | None:
        if at.sequence == 0:
            return None
        found = await self.topic.find(at.sequence)
        return found.offset if found is not None and found.offset > self.topic.begin else None
