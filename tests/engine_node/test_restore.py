"""A journal rebuilt from copies of its records is the journal that was lost, or no journal."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from engine_node import _engine
from engine_node.errors import RestoreError
from engine_node.replica import Replica
from engine_node.restore import RECORD_BYTES, Restored, write_journal
from schemas import vocabulary as v
from tests.support.node import Client, Node

SEGMENT_RECORDS = 4096
ORDERS = 9000
CORE_OPTIONS = {"order_count_max": 65536}
SHARD = 3


def ticks(count: int, previous_crc: int = 0, start_ns: int = 1) -> bytes:
    """That many clock ticks, chained."""
    bare = b"".join(
        v.ClockTick().pack() + bytes(8) + (start_ns + n).to_bytes(8, "little") for n in range(count)
    )  # key and crc, received_ns
    return _engine.seal(bare, previous_crc)


def cut(records: bytes, *places: int) -> list[tuple[int, bytes]]:
    """Batches that begin at sequence 1 and at these."""
    ends = [*places, len(records) // RECORD_BYTES + 1]
    return [(a, records[(a - 1) * 64 : (b - 1) * 64]) for a, b in zip([1, *places], ends, strict=True)]


def restore(directory: Path, batches: Iterable[tuple[int, bytes]]) -> Restored:
    return write_journal(
        directory, SHARD, batches, segment_records=SEGMENT_RECORDS, core_options=_engine.Core(**CORE_OPTIONS).options()
    )


def read(directory: Path) -> bytes:
    found = []
    with _engine.JournalReader(str(directory)) as reader:
        while records := reader.next():
            found.append(records)
    return b"".join(found)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "data", shard=SHARD, snapshot_process=False)
    yield made
    made.end()


def test_a_journal_rebuilt_from_its_records_starts_an_engine_in_the_same_state(node: Node) -> None:
    secret = node.make_key()
    node.start()
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    for begin in range(0, ORDERS, 500):
        orders = [client.order(v.Side.BUY, 100 + n % 50, 1 + n % 7) for n in range(begin, begin + 500)]
        client.send(*orders)
        for _ in orders:
            assert client.report().kind == v.EventKind.ACCEPTED
    assert node.stop() == 0
    journal = node.directory / "journal"
    with Replica.open(node.directory, use_snapshot=False) as replica:
        replica.catch_up()
        last, digest, options = replica.core.sequence(), replica.core.digest(), replica.core.options()
    records = read(journal)
    shutil.rmtree(journal)
    shutil.rmtree(node.directory / "snapshots")

    batches = [(n + 1, records[n * RECORD_BYTES : (n + 700) * RECORD_BYTES]) for n in range(0, last, 700)]
    done = write_journal(journal, SHARD, batches, segment_records=SEGMENT_RECORDS, core_options=options)
    assert (done.last_sequence, done.repeated_records) == (last, 0)
    assert read(journal) == records
    with _engine.JournalReader(str(journal)) as reader:
        assert (reader.durable(), reader.shipped()) == (last, last)
    with Replica.open(node.directory) as replica:
        replica.catch_up()
        assert (replica.core.sequence(), replica.core.digest()) == (last, digest)

    node.start()
    recovered = node.events("recovered")[-1]
    assert (recovered["last_sequence"], recovered["replayed_records"]) == (last, last)
    again = Client.connect(node.address(), "admin", secret)
    assert again.answer is not None
    assert again.answer.last_client_sequence == client.sequence
    assert again.ask(again.order(v.Side.BUY, 99, 1)).kind == v.EventKind.ACCEPTED
    assert node.stop() == 0


def test_batches_may_repeat_and_overlap_if_they_say_the_same(tmp_path: Path) -> None:
    records = ticks(10_000)
    one, two, three = cut(records, 4000, 9000)
    late = (3990, records[3989 * 64 : 5000 * 64])
    done = restore(tmp_path / "journal", [one, one, two, late, two, three, three])
    assert read(tmp_path / "journal") == records
    assert done.last_sequence == 10_000
    assert done.repeated_records == 3999 + 1011 + 5000 + 1001


def test_a_repeated_record_that_differs_is_refused(tmp_path: Path) -> None:
    mine, other = ticks(100), ticks(100, start_ns=1000)
    with pytest.raises(RestoreError, match="a record that comes again must be the same"):
        restore(tmp_path / "journal", [(1, mine), (51, other[50 * 64 :])])
    assert not (tmp_path / "journal").exists()


def test_a_gap_is_refused(tmp_path: Path) -> None:
    records = ticks(100)
    one, _, three = cut(records, 40, 60)
    with pytest.raises(RestoreError, match="the next record must be sequence 40, was 60"):
        restore(tmp_path / "journal", [one, three])
    with pytest.raises(RestoreError, match="the next record must be sequence 1, was 60"):
        restore(tmp_path / "journal", [three])
    with pytest.raises(RestoreError, match="was 0"):
        restore(tmp_path / "journal", [(0, records)])
    assert not (tmp_path / "journal").exists()


def test_a_record_that_does_not_continue_the_chain_is_named(tmp_path: Path) -> None:
    records = bytearray(ticks(100))
    records[70 * 64 + 9] ^= 1
    with pytest.raises(RestoreError, match="the record must fit the CRC chain: sequence 71 does not"):
        restore(tmp_path / "journal", cut(bytes(records), 50))
    empty = ticks(10) + bytes(64)
    with pytest.raises(RestoreError, match="sequence 11 does not"):
        restore(tmp_path / "journal", [(1, empty)])
    assert not (tmp_path / "journal").exists()


def test_half_a_record_and_no_record_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RestoreError, match="whole records"):
        restore(tmp_path / "journal", [(1, ticks(2)[:-1])])
    with pytest.raises(RestoreError, match="whole records"):
        restore(tmp_path / "journal", [(1, b"")])
    with pytest.raises(RestoreError, match="there were none"):
        restore(tmp_path / "journal", [])
    assert not (tmp_path / "journal").exists()


def test_a_journal_that_is_there_is_left_alone(tmp_path: Path) -> None:
    records = ticks(100)
    restore(tmp_path / "journal", [(1, records)])
    with pytest.raises(RestoreError, match="must be restored where none is"):
        restore(tmp_path / "journal", [(1, ticks(5))])
    assert read(tmp_path / "journal") == records


def test_an_attempt_that_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    def cut_short() -> Iterator[tuple[int, bytes]]:
        yield 1, ticks(5000)
        raise ConnectionError("the broker is gone")

    with pytest.raises(ConnectionError):
        restore(tmp_path / "journal", cut_short())
    assert not (tmp_path / "journal").exists()
    (tmp_path / "journal").mkdir()  # an empty directory, as a fresh mount may be, is no journal
    assert restore(tmp_path / "journal", [(1, ticks(10))]).last_sequence == 10
    assert not (tmp_path / "journal.restoring").exists()


def test_the_writer_itself_refuses_a_directory_with_records_and_use_after_close(tmp_path: Path) -> None:
    restore(tmp_path / "journal", [(1, ticks(10))])
    options = _engine.Core(**CORE_OPTIONS).options()
    with pytest.raises(_engine.OptionsError, match="into an empty directory"):
        _engine.JournalWriter(
            str(tmp_path / "journal"), shard=SHARD, segment_records=SEGMENT_RECORDS, core_options=options
        )
    writer = _engine.JournalWriter(
        str(tmp_path / "other"), shard=SHARD, segment_records=SEGMENT_RECORDS, core_options=options
    )
    with pytest.raises(ValueError, match="multiple of 64"):
        writer.append(b"x")
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="must be open"):
        writer.last()
    with pytest.raises(_engine.OptionsError, match="segment_records"):
        _engine.JournalWriter(str(tmp_path / "third"), shard=SHARD, segment_records=5, core_options=options)
