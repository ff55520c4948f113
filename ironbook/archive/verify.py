"""The archive proved: each digest, the chains of manifests and of records, every digest record against the state.

    entries ──▶ records of one object at a time ──▶ Replay ──▶ verified/<shard>/<last>.json
       ▲                                              ├─ each day that ended ──▶ statements/<shard>/<day>.…
       └─ from the first record, or from the checkpoint of the newest verified/…json (a snapshot as of the end of a day)
          or, in a full pass, from where its last run ended (verified/full/<shard>.json)

One object is in memory at a time; nothing is on disk. What is written is written only where nothing is, or where the
same is; a day's statement that was partial is replaced.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import orjson

from ironbook._errors import ArchiveInvalid, InputInvalid, ServiceFailed
from ironbook.archive.layout import Entry, Head, first_break, sha256
from ironbook.archive.reading import check_end, check_names, entries, entry_at, newest, read_head, records_of
from ironbook.archive.replay import SCALES, Closed, NoRoom, Replay, capacities
from ironbook.archive.statements import (
    Ledger,
    arrivals_key,
    day_of,
    day_text,
    parse_day,
    statement_key,
)
from ironbook.archive.stores import Found, Store
from schemas.vocabulary import RECORD_BYTES

if TYPE_CHECKING:
    from engine_node import _engine

__all__ = ["Checkpoint", "find_break", "head_and_checkpoint", "state_day", "verify"]

FORMAT: Final = 1
FULL: Final = "verified/full/"  # beside the shards: what a full pass keeps is nothing that a daily run begins at
PUTS_MAX: Final = 3  # of a statement, while other verifiers write it too
Told = Callable[[int], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A state that was verified: where a replay may begin. As of the end of a day."""

    key: str  # of the snapshot
    sha256: str
    sequence: int
    digest: str
    day: str  # the day that it ends
    scale: int  # capacities that had room for it
    ledger: dict[str, Any]


def _prefix(shard: int) -> str:
    return f"verified/{shard:05d}/"


def head_and_checkpoint(store: Store, shard: int) -> tuple[Head, Checkpoint | None]:
    """The head, and the checkpoint of the newest verified statement.

    The head is read behind the statement, so that it has all that was verified, whatever others write meanwhile.
    Raises ArchiveInvalid: more was verified than the archive has now.
    """
    names = [key for key in store.keys(_prefix(shard)) if key.endswith(".json")]
    head, _ = read_head(store, shard)
    if not names:
        return head, None
    found = store.get(names[-1])
    try:
        said = orjson.loads(found.data if found else b"")
        verified, point = int(said["sequence"]), said["checkpoint"]
        checkpoint = None if point is None else Checkpoint(**point)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ArchiveInvalid(
            f"a verifier's statement must be as it was written, is not: {type(error).__name__}",
            detail=store.place + names[-1],
            hint="bring its last good version back, or replay from the first record",
        ) from None
    if verified > head.last_sequence:
        raise ArchiveInvalid(
            f"the archive must reach what was verified, sequence {verified}, and ends at {head.last_sequence}",
            detail=f"{store.place}{names[-1]}",
            hint="the head was rolled back: bring its last version back",
        )
    return head, checkpoint


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """A full pass: a replay from the first record that goes on over several runs, and then begins anew.

    A run begins at the state that the run before it saved, under a key of the pass and known by its SHA-256. No state
    of a daily verification gets into it: what was altered in an object since that was proved is read again, and found.
    """

    key: str
    tag: str | None  # of what was read, by which it is replaced
    runs: int  # of this pass, before this one
    point: Checkpoint | None  # None: it begins at the first record

    @classmethod
    def read(cls, store: Store, shard: int) -> _Pass:
        """Raises ArchiveInvalid."""
        key = f"{FULL}{shard:05d}.json"
        found = store.get(key)
        if found is None:
            return cls(key=key, tag=None, runs=0, point=None)
        try:
            said = orjson.loads(found.data)
            point = None if said["checkpoint"] is None else Checkpoint(**said["checkpoint"])
            return cls(key=key, tag=found.tag, runs=0 if point is None else int(said["runs"]), point=point)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise ArchiveInvalid(
                f"the mark of a full pass must be as it was written, is not: {type(error).__name__}",
                detail=store.place + key,
                hint="bring its last good version back, or remove it: the pass begins anew",
            ) from None

    def write(self, store: Store, shard: int, answer: dict[str, Any], point: Checkpoint | None) -> None:
        """Where the next run begins: at `point`, or with None anew. Raises ServiceFailed."""
        said = {"format": FORMAT, "shard": shard, "runs": self.runs + 1, "sequence": answer["last_sequence"]}
        said["checkpoint"] = None if point is None else dataclasses.asdict(point)
        data = orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
        if store.put(self.key, data, self.tag) is None:
            raise _another_pass(store.place + self.key)


def _another_pass(where: str) -> ServiceFailed:
    return ServiceFailed(
        "one full pass at a time must go on over a shard, another has meanwhile", detail=where,
        hint="what this run read is sound; let the next one go on",
    )  # fmt: skip


def _load(store: Store, point: Checkpoint, options: dict[str, int]) -> _engine.Core:
    from engine_node import _engine

    found = store.get(point.key)
    if found is None or sha256(found.data) != point.sha256:
        raise ArchiveInvalid(
            f"a checkpoint must be there with digest {point.sha256}, "
            + ("is missing" if found is None else f"has {sha256(found.data)}"),
            detail=store.place + point.key,
            hint=f"remove {FULL}….json of the shard: the full pass begins anew"
            if point.key.startswith(FULL)
            else "replay from the first record: ironbook journal verify --archive … without --resume",
        )
    core = _engine.Core.load(found.data, **options)
    if (core.sequence(), f"{core.digest():016x}") != (point.sequence, point.digest):
        raise ArchiveInvalid(
            f"a checkpoint must hold sequence {point.sequence} and digest {point.digest}, "
            f"holds {core.sequence()} and {core.digest():016x}",
            detail=store.place + point.key,
        )
    return core


def _begin(
    store: Store, shard: int, point: Checkpoint | None, scale: int,
    on_day: Callable[[Closed, Replay], None] | None, only: int | None = None,
) -> Replay:  # fmt: skip
    from engine_node import _engine

    options = capacities(scale, events=on_day is not None)
    if point is None:
        return Replay(_engine.Core(**options), shard=shard, on_day=on_day, only=only)
    ledger, day = Ledger.from_json(point.ledger), parse_day(point.day) + 1
    return Replay(_load(store, point, options), shard=shard, ledger=ledger, day=day, on_day=on_day, only=only)


def find_break(records: bytes, previous_crc: int) -> int | None:
    """first_break, by the engine's own code where nothing is broken."""
    from engine_node import _engine

    if 0 not in records[::RECORD_BYTES] and _engine.seal(records, previous_crc) == records:
        return None
    return first_break(records, previous_crc, _engine.crc32c)


def _records(store: Store, head: Head, above: int) -> Iterator[tuple[Entry, bytes]]:
    """Each entry behind a sequence, and its records that are behind it."""
    crc: int | None = None
    for entry in entries(store, head, above):
        if crc is None:
            before = entry.previous
            previous = (
                entry_at(store, head.shard, before, entry.previous_sha256, entry.manifest)
                if before is not None
                else None
            )
            crc = 0 if previous is None else previous.crc32c
        records = records_of(store, entry, crc, find_break)
        crc = entry.crc32c
        yield entry, records[max(0, above + 1 - entry.first_sequence) * RECORD_BYTES :]


# ---- Verify ----------------------------------------------------------------------------------------------------------


class _Enough(Exception):
    """What was wanted is there: the replay ends."""


@dataclasses.dataclass(slots=True)
class _Run:
    store: Store
    head: Head
    last_day: int  # of the archive's last record
    statements: bool
    record: bool
    late: Callable[[], bool]
    scale: int
    point: Checkpoint | None
    full_pass: bool
    written: list[str] = dataclasses.field(default_factory=list)

    def on_day(self, closed: Closed, replay: Replay) -> None:
        """A day's end: its statement, and a checkpoint at the last one that is whole."""
        if self.statements:
            self.written += put_statement(self.store, replay.shard, closed)
        if closed.partial or not self.record:
            return
        late = self.late()
        if late or (closed.day == self.last_day - 1 and not self.full_pass):
            self.point = self._save(replay, closed.day)
        if late:
            raise _Enough

    def _save(self, replay: Replay, day: int) -> Checkpoint:
        core = replay.core
        data = core.save()
        prefix = f"{FULL}{replay.shard:05d}/" if self.full_pass else _prefix(replay.shard)
        key = f"{prefix}{core.sequence():020d}-{core.digest():016x}.snap"
        if self.store.put(key, data, None) is None:
            found = self.store.get(key)
            if not self.full_pass:
                data = b"" if found is None else found.data  # the same state; a snapshot's bytes may differ
            elif not _put_over(self.store, key, found, data):  # of another pass: this one trusts its own bytes only
                raise _another_pass(self.store.place + key)
        return Checkpoint(
            key=key, sha256=sha256(data), sequence=core.sequence(), digest=f"{core.digest():016x}",
            day=day_text(day), scale=self.scale, ledger=replay.ledger.to_json(),
        )  # fmt: skip


def verify(
    store: Store, shard: int, *, resume: bool = False, full_pass: bool = False, record: bool = False,
    statements: bool = False, told: Told = lambda sequence: None, late: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:  # fmt: skip
    """Prove the archive; what was found. Raises ArchiveInvalid, which names key, sequence and offset.

    resume      begin at the newest checkpoint, not at the first record
    full_pass   go on where the run before of a full pass was late; from the first record when it was not. With record
    record      write verified/…json, and a checkpoint at the end of the last whole day
    statements  write the statement of every day that was replayed
    late        asked at each day's end, when recording: True ends there, with a checkpoint to resume from
    """
    head, newer = head_and_checkpoint(store, shard)
    last = check_end(store, head)
    if last is None:
        raise ArchiveInvalid(
            "an archive must have records to be verified, has none",
            detail=f"{store.place}journal/{shard:05d}/",
            hint="is it the right shard? The archiver writes there",
        )
    going = _Pass.read(store, shard) if full_pass and record else None
    begin = going.point if going is not None else newer if resume else None
    if begin is not None:
        check_names(store, head)
    for scale in SCALES if begin is None else [scale for scale in SCALES if scale >= begin.scale]:
        last_day = day_of(last.last_received_ns)
        run = _Run(store, head, last_day, statements, record, late, scale, newer, going is not None)
        follow = run.on_day if statements or record else None
        try:
            replay = _begin(store, shard, begin, scale, follow)
            objects = _replay_until(replay, store, head, told)
            break
        except NoRoom as error:
            full = error
    else:
        raise ArchiveInvalid(f"a replay must have room for the state, has not: {full}", detail=store.place)
    answer = {
        "sound": True,
        "complete": replay.core.sequence() + replay.held_records == head.last_sequence,
        "archive": store.place,
        "shard": shard,
        "from": "the first record" if begin is None else begin.key,
        "first_sequence": 1 if begin is None else begin.sequence + 1,
        "last_sequence": replay.core.sequence(),
        "archive_last_sequence": head.last_sequence,
        "records": replay.records,
        "objects": objects,
        "digest_records": replay.digest_records,
        "terms": replay.terms,
        "open_prefixes": replay.held_records,
        "digest": f"{replay.core.digest():016x}",
        "statements": run.written,
    }
    if record:
        own = newer if newer is not None and newer.sequence <= replay.core.sequence() else None
        answer["verified"] = _put_verified(store, answer, run.point if going is None else own)
    if going is not None:
        going.write(store, shard, answer, None if answer["complete"] else run.point)
        answer["full_pass_runs"] = going.runs + 1
    return answer


def _replay(replay: Replay, store: Store, head: Head, told: Told) -> int:
    objects = 0
    for entry, records in _records(store, head, replay.core.sequence()):
        try:
            replay.feed(records)
        except ArchiveInvalid as error:
            offset = (replay.core.sequence() + 1 - entry.first_sequence) * RECORD_BYTES
            where = f"{store.place}{entry.key}, {error.detail}, offset {offset} of the raw records"
            raise ArchiveInvalid(error.message, detail=where, hint=error.hint) from error
        objects += 1
        told(entry.last_sequence)
    replay.end()
    return objects


def _replay_until(replay: Replay, store: Store, head: Head, told: Told) -> int:
    objects = 0

    def count(sequence: int) -> None:
        nonlocal objects
        objects += 1
        told(sequence)

    try:
        return _replay(replay, store, head, count)
    except _Enough:
        replay.check()
        return objects


def _put_verified(store: Store, answer: dict[str, Any], point: Checkpoint | None) -> str:
    """Write what was found, without anything that another run would say otherwise."""
    key = f"{_prefix(answer['shard'])}{answer['last_sequence']:020d}.json"
    said = {"format": FORMAT, "sequence": answer["last_sequence"]}
    said |= {name: answer[name] for name in ("shard", "digest", "from", "records", "objects", "digest_records")}
    said["checkpoint"] = None if point is None else dataclasses.asdict(point)
    data = orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
    if store.put(key, data, None) is not None:
        return key
    found = store.get(key)
    before = orjson.loads(found.data) if found is not None else {}
    if before.get("digest") != answer["digest"]:
        raise ArchiveInvalid(
            f"the state at sequence {answer['last_sequence']} must be that of the last verification, "
            f"{before.get('digest')}, is {answer['digest']}",
            detail=store.place + key,
            hint="the archive or this release differs from then: keep both, and compare with the engine's digests",
        )
    known = (before.get("checkpoint") or {}).get("day", "")
    if point is not None and found is not None and point.day > known:  # a day without records has ended behind it
        store.put(key, data, found.tag)
    return key


# ---- Statements ------------------------------------------------------------------------------------------------------


def put_statement(store: Store, shard: int, closed: Closed) -> list[str]:
    """Write a day's two objects: the prices first. A partial one is replaced; a whole one must be the same.

    Another verifier may write them too, so nothing is put over what was not looked at.
    Raises ArchiveInvalid, ServiceFailed.
    """
    key, prices = statement_key(shard, closed.day), arrivals_key(shard, closed.day)
    for _ in range(PUTS_MAX):
        found_prices, found = store.get(prices), store.get(key)
        if found is not None and found.data != closed.statement and _is_whole(found, closed, store.place + key):
            return []
        if _put_over(store, prices, found_prices, closed.arrivals) and _put_over(store, key, found, closed.statement):
            return [key, prices]
    raise ServiceFailed(
        "one verifier at a time must write a shard's statements, others do", detail=store.place + key,
        hint="nothing is known about the archive by this; let it run again",
    )  # fmt: skip


def _is_whole(found: Found, closed: Closed, where: str) -> bool:
    """Is the day's statement there, and ours of a part only? Raises ArchiveInvalid: two whole ones that differ."""
    try:
        before = orjson.loads(found.data)
        partial, was = before["partial"], f"sequence {before['sequence']} and digest {before['digest']}"
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ArchiveInvalid(
            f"a day's statement must be as it was written, is not: {type(error).__name__}",
            detail=where,
            hint="bring its last good version back, or remove it: it is written again",
        ) from None
    if not partial and not closed.partial:
        raise ArchiveInvalid(
            f"a day's statement must stay what it was, {was}, is another now",
            detail=where,
            hint="the archive or this release differs from then: keep both, and compare",
        )
    return not partial


def _put_over(store: Store, key: str, found: Found | None, data: bytes) -> bool:
    """Over what was found, unless it is the same; whether it is there now."""
    if found is not None and found.data == data:
        return True
    return store.put(key, data, None if found is None else found.tag) is not None


def state_day(store: Store, shard: int, day: int, *, told: Told = lambda sequence: None) -> Closed:
    """One day of an archive. Raises ArchiveInvalid, InputInvalid: the archive has nothing of that day yet."""
    head, point = head_and_checkpoint(store, shard)
    last = newest(store, head)
    if last is None or day_of(last.last_received_ns) < day:
        ends = "has no record" if last is None else f"ends on {day_text(day_of(last.last_received_ns))}"
        raise InputInvalid(f"the archive must reach {day_text(day)}, {ends}", detail=store.place)
    point = point if point is not None and parse_day(point.day) < day else None

    def replay(scale: int, on_day: Callable[[Closed, Replay], None]) -> None:
        made = _begin(store, shard, point, scale, on_day, day)
        _replay(made, store, head, told)

    return one_day(replay, day, store.place)


def one_day(replay: Callable[[int, Callable[[Closed, Replay], None]], None], day: int, where: str) -> Closed:
    """What a replay hands out for one day; it is ended there."""
    found: list[Closed] = []

    def on_day(closed: Closed, _replay: Replay) -> None:
        found.append(closed)
        raise _Enough

    for scale in SCALES:
        try:
            replay(scale, on_day)
        except _Enough:
            return found[0]
        except NoRoom:
            continue
        break
    raise InputInvalid(f"there must be records of {day_text(day)} or before it, there are none", detail=where)
