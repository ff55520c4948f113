"""An archive that is whole is proved, and says what was held; what is altered in it is named by key and sequence."""

from __future__ import annotations

import dataclasses
import functools
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from engine_node import _engine
from ironbook import ArchiveInvalid, InputInvalid, ServiceFailed
from ironbook.archive import reading
from ironbook.archive.layout import Entry, encode, head_key, manifest_key
from ironbook.archive.reading import check_names, read_head
from ironbook.archive.replay import capacities
from ironbook.archive.statements import DAY_NS, parse_day
from ironbook.archive.stores import DirectoryStore, Found, S3Store, Store
from ironbook.archive.verify import state_day, verify
from schemas import vocabulary as v
from tests.support.archives import DAY, altered, closed_ends, put_over, replaced, three_days, write_archive
from tests.support.aws import Aws

SHARD = 0
RECORDS = three_days()
ENDS = closed_ends(RECORDS, [300] * 100)
LAST = len(RECORDS) // 64


@pytest.fixture
def directory(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, directory: DirectoryStore) -> Store:
    """An archive of three days in four objects, wherever it lies."""
    where: Store = directory
    if request.param == "s3":
        aws: Aws = request.getfixturevalue("aws")
        client = aws.client("s3")
        client.create_bucket(Bucket="archive", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        where = S3Store(client, "archive", "firm/")
    write_archive(where, SHARD, RECORDS, ENDS)
    return where


def replayed(last: int = LAST) -> _engine.Core:
    core = _engine.Core(**capacities(1))
    core.apply(RECORDS[: last * 64])
    return core


def statement(store: Store, day: int) -> dict[str, Any]:
    found = store.get(f"statements/00000/2026-01-{1 + day:02d}.json")
    assert found is not None
    said: dict[str, Any] = orjson.loads(found.data)
    return said


def test_a_whole_archive_is_proved_and_its_state_is_that_of_the_records(store: Store) -> None:
    answer = verify(store, SHARD, record=True, statements=True)
    assert (answer["sound"], answer["records"], answer["objects"]) == (True, LAST, len(ENDS))
    assert answer["digest"] == f"{replayed().digest():016x}"
    resumed = verify(store, SHARD, resume=True, record=True, statements=True)
    assert resumed["digest"] == answer["digest"]
    assert resumed["first_sequence"] == statement(store, 1)["sequence"] + 1, "it began behind the last whole day"
    before = {key: store.get(key) for key in store.keys("")}
    verify(store, SHARD, record=True, statements=True)
    assert {key: store.get(key) for key in store.keys("")} == before, "a rerun gives the same bytes"


def test_a_days_statement_is_the_ledger_after_its_last_record(store: Store) -> None:
    verify(store, SHARD, statements=True)
    seconds = [int.from_bytes(RECORDS[at + 56 : at + 64], "little") for at in range(0, len(RECORDS), 64)]
    for day in range(4):
        last = sum(at < (DAY + day + 1) * DAY_NS for at in seconds)
        said, core = statement(store, day), replayed(last)
        assert (said["sequence"], said["digest"]) == (last, f"{core.digest():016x}")
        assert said["partial"] == (day == 3)
        for row in said["balances"]:
            asset = {"BTC": 1, "USD": 2}[row["asset"]]
            assert core.balance(row["account"], asset) == (row["free_units"], row["locked_units"])
        for row in said["positions"]:
            book = {"BTC/USD": 1, "XBT/USD": 2}[row["symbol"]]
            position = core.position(row["account"], book)
            assert position is not None
            assert position[0] == row["position_lots"]
        assert said["open_orders_count"] == sum((core.account(n) or {})["open_orders"] for n in range(1, 5))
        for name in ("BTC", "USD"):
            flows = {flow: sum(r["units"] for r in said[flow] if r["asset"] == name) for flow in FLOWS}
            held = sum(r["free_units"] + r["locked_units"] for r in said["balances"] if r["asset"] == name)
            assert held + flows["fees"] == flows["deposits"] - flows["withdrawals"], "no money is made or lost"
    assert statement(store, 1)["withdrawals"] == [{"asset": "USD", "units": 5_000}]
    assert statement(store, 1)["fee_payouts"] == [{"asset": "USD", "units": 1}]
    assert statement(store, 2)["sequence"] == statement(store, 1)["sequence"], "a quiet day ends as it began"


FLOWS = ("fees", "deposits", "withdrawals")


def test_arrival_prices_are_the_best_levels_just_before_each_accepted_order(directory: DirectoryStore) -> None:
    write_archive(directory, SHARD, RECORDS, ENDS)
    verify(directory, SHARD, statements=True)
    rows = [row for day in range(1, 5) for row in pq.read_table(arrivals(directory, day)).to_pylist()]
    core, expected = _engine.Core(**capacities(1)), []
    at = 0
    while at < LAST:
        count = next(n for n in range(1, 6) if core.group_bytes(RECORDS[at * 64 : (at + n) * 64]))
        closing = RECORDS[(at + count - 1) * 64 : (at + count) * 64]
        book = int.from_bytes(closing[12:16], "little") if closing[0] == v.Kind.NEW_ORDER else 0
        best = [core.levels(book, side, 1) for side in (v.Side.BUY, v.Side.SELL)] if book else []
        events = core.apply(RECORDS[at * 64 : (at + count) * 64])
        at += count
        if book and events[0] == v.EventKind.ACCEPTED:
            bid, ask = (levels[0][0] if levels else None for levels in best)
            symbol = {1: "BTC/USD", 2: "XBT/USD"}[book]
            expected.append({"seq": at, "symbol": symbol, "bid_ticks": bid, "ask_ticks": ask})
    assert len(expected) > 800
    assert rows == expected


def arrivals(directory: DirectoryStore, day: int) -> Path:
    return Path(directory.place) / f"statements/00000/2026-01-{day:02d}.arrivals.parquet"


def test_one_day_by_itself_is_the_same_as_among_all(store: Store) -> None:
    alone = [state_day(store, SHARD, DAY + day) for day in range(4)]
    verify(store, SHARD, record=True, statements=True)
    again = state_day(store, SHARD, DAY + 3)  # from the checkpoint now
    for day, closed in enumerate([*alone[:3], again]):
        found = store.get(f"statements/00000/2026-01-{1 + day:02d}.json")
        assert found is not None
        assert found.data == closed.statement
    assert alone[3] == again
    with pytest.raises(InputInvalid, match="must reach 2026-01-05, ends on 2026-01-04"):
        state_day(store, SHARD, DAY + 4)
    with pytest.raises(InputInvalid, match="records of 2025-12-31"):
        state_day(store, SHARD, parse_day("2025-12-31"))


def test_a_partial_day_is_replaced_when_it_has_ended_and_a_whole_one_never(directory: DirectoryStore) -> None:
    day_two = next(end for end in ENDS if end >= 600)
    write_archive(directory, SHARD, RECORDS, [end for end in ENDS if end <= day_two])
    verify(directory, SHARD, record=True, statements=True)
    assert statement(directory, 1)["partial"]
    write_archive(directory, SHARD, RECORDS, ENDS)
    verify(directory, SHARD, resume=True, record=True, statements=True)
    assert not statement(directory, 1)["partial"]
    whole = statement(directory, 1) | {"digest": "0" * 16}
    put_over(directory, "statements/00000/2026-01-02.json", orjson.dumps(whole))
    with pytest.raises(ArchiveInvalid, match="must stay what it was"):
        verify(directory, SHARD, statements=True)
    put_over(directory, "statements/00000/2026-01-02.json", b"{")
    with pytest.raises(ArchiveInvalid, match="statement must be as it was written"):
        verify(directory, SHARD, statements=True)


# ---- What is altered -------------------------------------------------------------------------------------------------


Damage = Callable[[Store, list[Entry]], None]


def cut_short(store: Store, entries: list[Entry]) -> None:
    found = store.get(entries[1].key)
    assert found is not None
    put_over(store, entries[1].key, found.data[:-9])


def one_byte(store: Store, entries: list[Entry]) -> None:
    found = store.get(entries[1].key)
    assert found is not None
    raw = bytearray(gzip.decompress(found.data))
    raw[10 * 64 + 30] ^= 1
    put_over(store, entries[1].key, gzip.compress(bytes(raw)))


def resealed(store: Store, entries: list[Entry]) -> None:
    """Somebody who alters records and knows every digest, but not the chain of the next object."""
    altered_records = bytearray(RECORDS[: ENDS[1] * 64])
    altered_records[ENDS[0] * 64 + 16 + 64 * 5] ^= 1
    write_archive(store, SHARD, _engine.seal(bytes(altered_records), 0), ENDS[:2])
    for entry in entries[2:]:
        put_over(store, entry.manifest, encode(entry))
    put_over(store, head_key(SHARD), encode_head(entries))


def encode_head(entries: list[Entry]) -> bytes:
    from ironbook.archive.layout import Head

    head = Head(shard=SHARD)
    for entry in entries:
        head = head.after(entry)
    return encode(head)


def wrong_previous(store: Store, entries: list[Entry]) -> None:
    altered(store, entries[3].manifest, previous_sha256="0" * 64)
    found = store.get(entries[3].manifest)
    assert found is not None
    from ironbook.archive.layout import sha256

    altered(store, head_key(SHARD), sha256=sha256(found.data))


DAMAGES: list[tuple[Damage, str, str]] = [
    (cut_short, r"must be of \d+ bytes .* it is cut short", "{1.key}, sequences 301 to"),
    (one_byte, "must be of .* bytes with digest", "{1.key}, sequences 301 to"),
    (resealed, "a manifest must have the digest", "{1.manifest}, named by {2.manifest}"),
    (wrong_previous, "a manifest must have the digest 0000", "{2.manifest}, named by {3.manifest}"),
    (lambda s, e: forget(s, e[1].key), "each object of a manifest must be there", "{1.key}, sequences 301 to"),
    (lambda s, e: forget(s, e[1].manifest), "each manifest must be there", "{1.manifest}, named by {2.manifest}"),
    (lambda s, e: forget(s, e[3].key), "newest manifest's object must be of .* is missing", "{3.key}, sequences"),
    (lambda s, e: forget(s, head_key(SHARD)), "must have a head, has none", "manifest.json; the first object"),
    (lambda s, e: put_over(s, head_key(SHARD), encode_head(e[:2])), "nothing must be behind the head", "manifest.json"),
    (lambda s, e: put_over(s, "journal/00000/99999999999999999998-99999999999999999999.records.gz", b""),
     "nothing must be behind the head", "manifest.json"),
    (lambda s, e: altered(s, head_key(SHARD), objects_count=3), "the head must count the objects", "manifest.json"),
    (lambda s, e: altered(s, head_key(SHARD), shard=7), "must be of shard 0, is of 7", "manifest.json"),
    (lambda s, e: altered(s, head_key(SHARD), format=2), "of format 1, was 2", "manifest.json"),
    (lambda s, e: put_over(s, head_key(SHARD), b"{"), "must be JSON", "manifest.json"),
]  # fmt: skip


def forget(store: Store, key: str) -> None:
    (Path(store.place) / key).unlink()


@pytest.mark.parametrize(("damage", "message", "where"), DAMAGES)
def test_what_is_altered_is_named_and_nothing_is_written(
    directory: DirectoryStore, damage: Damage, message: str, where: str
) -> None:
    entries = write_archive(directory, SHARD, RECORDS, ENDS)
    damage(directory, entries)
    before = kept(directory)
    with pytest.raises(ArchiveInvalid, match=message) as found:
        verify(directory, SHARD, record=True, statements=True)
    assert where.format(*entries) in found.value.detail
    assert kept(directory) == before, "only statements of days before may have been written"


def kept(store: Store) -> dict[str, Found | None]:
    return {key: store.get(key) for key in store.keys("") if not key.startswith("statements/")}


def test_a_gap_between_objects_is_named(directory: DirectoryStore) -> None:
    entries = write_archive(directory, SHARD, RECORDS, ENDS)
    gap = replaced(entries[2], previous=manifest_key(SHARD, ENDS[0]))
    put_over(directory, entries[2].manifest, encode(gap))
    with pytest.raises(ArchiveInvalid, match="must have the digest"):
        verify(directory, SHARD)


def test_a_head_that_was_rolled_back_and_cleaned_up_is_known_by_what_was_verified(directory: DirectoryStore) -> None:
    entries = write_archive(directory, SHARD, RECORDS, ENDS)
    verify(directory, SHARD, record=True)
    for entry in entries[2:]:
        forget(directory, entry.key)
        forget(directory, entry.manifest)
    put_over(directory, head_key(SHARD), encode_head(entries[:2]))
    with pytest.raises(ArchiveInvalid, match="must reach what was verified"):
        verify(directory, SHARD)


@pytest.mark.parametrize("what", ["object", "manifest"])
def test_what_is_gone_behind_the_checkpoint_is_noticed_by_a_replay_that_resumes(
    directory: DirectoryStore, what: str
) -> None:
    entries = write_archive(directory, SHARD, RECORDS, ENDS)
    verify(directory, SHARD, record=True)
    assert verify(directory, SHARD, resume=True)["first_sequence"] > entries[1].last_sequence
    key = entries[1].key if what == "object" else entries[1].manifest
    forget(directory, key)
    with pytest.raises(ArchiveInvalid, match="must be there, one is missing") as found:
        verify(directory, SHARD, resume=True, record=True)
    assert (key if what == "manifest" else f"{entries[1].first_sequence:020d}-") in found.value.detail


@pytest.mark.parametrize("above", range(0, LAST, 97))
def test_what_is_missing_behind_a_record_is_found_without_listing_what_is_before_it(
    directory: DirectoryStore, monkeypatch: pytest.MonkeyPatch, above: int
) -> None:
    monkeypatch.setattr(reading, "OBJECT_RECORDS_MAX", 310)
    ends = closed_ends(RECORDS, [30] * 100)
    entries = write_archive(directory, SHARD, RECORDS, ends)
    head, _ = read_head(directory, SHARD)
    listed: list[str] = []

    class Listing(DirectoryStore):
        def keys(self, prefix: str, after: str = "") -> Iterator[str]:
            for key in super().keys(prefix, after):
                listed.append(key)
                yield key

    check_names(Listing(Path(directory.place)), head, above)
    wanted = sum(entry.last_sequence > above for entry in entries)
    assert len(listed) <= 2 * wanted + 310 // 30 + 2
    for entry in entries:
        for key in (entry.key, entry.manifest):
            found = directory.get(key)
            assert found is not None
            forget(directory, key)
            if entry.last_sequence > above:
                with pytest.raises(ArchiveInvalid, match="must be there, one is missing"):
                    check_names(directory, head, above)
            elif entry.last_sequence < above - 310:
                check_names(directory, head, above)
            put_over(directory, key, found.data)


def test_an_altered_checkpoint_is_not_begun_from(directory: DirectoryStore) -> None:
    write_archive(directory, SHARD, RECORDS, ENDS)
    verify(directory, SHARD, record=True)
    (key,) = [key for key in directory.keys("verified/") if key.endswith(".snap")]
    put_over(directory, key, b"something else")
    with pytest.raises(ArchiveInvalid, match="a checkpoint must be there with digest"):
        verify(directory, SHARD, resume=True)
    assert verify(directory, SHARD)["sound"], "a full replay needs none"


def test_a_full_pass_goes_on_over_runs_to_the_end_and_then_begins_anew(store: Store) -> None:
    verify(store, SHARD, record=True, statements=True)
    daily = {key: store.get(key) for key in store.keys("")}
    answers = [verify(store, SHARD, full_pass=True, record=True, statements=True, late=lambda: True) for _ in range(5)]
    assert [answer["complete"] for answer in answers] == [False, False, False, True, False]
    assert [answer["full_pass_runs"] for answer in answers] == [1, 2, 3, 4, 1]
    assert [answer["first_sequence"] for answer in answers[1:4]] == [a["last_sequence"] + 1 for a in answers[:3]]
    assert (answers[3]["last_sequence"], answers[3]["archive_last_sequence"]) == (LAST, LAST)
    assert (answers[4]["from"], answers[4]["first_sequence"]) == ("the first record", 1)
    assert {key: store.get(key) for key in daily} == daily, "what the daily run left is as it was"
    resumed = verify(store, SHARD, resume=True)
    assert resumed["from"].startswith("verified/00000/")
    whole = verify(store, SHARD, full_pass=True, record=True)
    assert (whole["complete"], whole["full_pass_runs"]) == (True, 2)


def test_a_full_pass_goes_on_at_its_own_states_only(directory: DirectoryStore) -> None:
    def run() -> dict[str, Any]:
        return verify(directory, SHARD, full_pass=True, record=True, statements=True, late=lambda: True)

    write_archive(directory, SHARD, RECORDS, ENDS)
    verify(directory, SHARD, record=True)
    daily = next(key for key in directory.keys("verified/00000/") if key.endswith(".snap"))
    put_over(directory, daily, b"something else")
    first = run()
    sequence = first["last_sequence"]
    state = f"verified/full/00000/{sequence:020d}-{first['digest']}.snap"
    while not run()["complete"]:
        pass
    put_over(directory, state, b"something else")
    assert run()["last_sequence"] == sequence, "a pass does not take what lies where it writes"
    assert run()["first_sequence"] == sequence + 1

    while not run()["complete"]:
        pass
    run()
    put_over(directory, state, b"something else")
    with pytest.raises(ArchiveInvalid, match="a checkpoint must be there with digest") as found:
        run()
    assert "the full pass begins anew" in found.value.hint
    put_over(directory, "verified/full/00000.json", b"{}")
    with pytest.raises(ArchiveInvalid, match="the mark of a full pass must be as it was written"):
        run()
    forget(directory, "verified/full/00000.json")
    assert run()["from"] == "the first record"


def test_two_full_passes_at_once_are_told(directory: DirectoryStore) -> None:
    write_archive(directory, SHARD, RECORDS, ENDS)

    def late() -> bool:  # while another ends
        verify(directory, SHARD, full_pass=True, record=True)
        return True

    with pytest.raises(ServiceFailed, match="one full pass at a time"):
        verify(directory, SHARD, full_pass=True, record=True, late=late)


def test_another_state_than_that_of_an_earlier_verification_is_a_fault(directory: DirectoryStore) -> None:
    write_archive(directory, SHARD, RECORDS, ENDS)
    key = verify(directory, SHARD, record=True)["verified"]
    found = directory.get(key)
    assert found is not None
    other = orjson.loads(found.data) | {"digest": "00" * 8}
    put_over(directory, key, orjson.dumps(other))
    with pytest.raises(ArchiveInvalid, match=f"sequence {LAST} must be that of the last verification, {'00' * 8}, is"):
        verify(directory, SHARD, record=True)


def test_an_archive_of_nothing_is_an_error(directory: DirectoryStore) -> None:
    with pytest.raises(ArchiveInvalid, match="must have records to be verified"):
        verify(directory, SHARD)


# ---- While others write ----------------------------------------------------------------------------------------------


class Busy:
    """A store in which somebody else does something just before the n-th call."""

    def __init__(self, store: Store, calls: int, other: Callable[[], object]) -> None:
        self._store, self._left, self._other = store, calls, other
        self.place = store.place

    def _call(self, name: str, *arguments: Any) -> Any:
        self._left -= 1
        if self._left == -1:
            self._other()
        return getattr(self._store, name)(*arguments)

    @property
    def done(self) -> bool:
        return self._left < 0

    def get(self, key: str) -> Found | None:
        return self._call("get", key)  # type: ignore[no-any-return]

    def size(self, key: str) -> int | None:
        return self._call("size", key)  # type: ignore[no-any-return]

    def put(self, key: str, data: bytes, tag: str | None, *, lock_days: int = 0) -> str | None:
        return self._call("put", key, data, tag)  # type: ignore[no-any-return]

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        return iter(list(self._call("keys", prefix, after)))


def begin_next(store: Store, entries: list[Entry]) -> None:
    """What an archiver has written in the middle of its next object: the claim and the object."""
    from ironbook.archive.layout import object_key, pack

    head, tag = read_head(store, SHARD)
    claim = ENDS[1] + 1, ENDS[2]
    assert store.put(head_key(SHARD), encode(dataclasses.replace(head, pending=claim)), tag) is not None
    assert store.put(object_key(SHARD, *claim), pack(RECORDS[ENDS[1] * 64 : ENDS[2] * 64]), None) is not None


def end_next(store: Store, entries: list[Entry]) -> None:
    write_archive(store, SHARD, RECORDS, ENDS)


@pytest.mark.parametrize("written", [begin_next, end_next])
def test_an_archiver_that_writes_meanwhile_is_no_fault(tmp_path: Path, written: Damage) -> None:
    calls = 0
    while True:
        place = DirectoryStore(tmp_path / str(calls))
        entries = write_archive(place, SHARD, RECORDS, ENDS[:2])
        busy = Busy(place, calls, functools.partial(written, place, entries))
        assert verify(busy, SHARD)["sound"], f"written before call {calls}"
        if not busy.done:
            break
        calls += 1
    assert calls > 8, "it was written before each of its calls"


def test_an_archive_that_begins_meanwhile_is_read_or_not_there_yet(tmp_path: Path) -> None:
    for calls in range(3):
        place = DirectoryStore(tmp_path / str(calls))
        busy = Busy(place, calls, functools.partial(write_archive, place, SHARD, RECORDS, ENDS))
        head, tag = read_head(busy, SHARD)
        begun = calls < 2  # a get and a listing: with neither of them it is there
        assert (head.last_sequence, tag is not None) == (LAST if begun else 0, begun), f"begun before call {calls}"


@pytest.mark.parametrize("archived", [2, 3], ids=["as far", "further"])
def test_a_verifier_that_ends_meanwhile_is_no_fault(tmp_path: Path, archived: int) -> None:
    calls = 0
    while True:
        place = DirectoryStore(tmp_path / str(calls))
        write_archive(place, SHARD, RECORDS, ENDS[:2])

        def other(place: Store = place) -> None:
            write_archive(place, SHARD, RECORDS, ENDS[:archived])
            verify(place, SHARD, record=True, statements=True)

        busy = Busy(place, calls, other)
        assert verify(busy, SHARD, record=True, statements=True)["sound"], f"ended before call {calls}"
        if not busy.done:
            break
        assert statement(place, 1)["partial"] == (archived == 2), "the day's end is not lost again"
        calls += 1
    assert calls > 12, "it ended before each of the other's calls"
