"""The archiver, from real Kafka into an S3 server: every record once, in order, whatever happens between two calls."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine_node import _engine
from engine_node.replica import read_mark
from functions.archiver.archive import Archiver
from functions.archiver.errors import ArchiveTaken, BrokersFailed, TopicInvalid
from functions.archiver.handler import handle
from functions.archiver.settings import Settings
from functions.archiver.topic import JournalTopic
from functions.common.errors import EventInvalid, SettingsInvalid
from functions.common.invoke import Context
from ironbook import ArchiveInvalid
from ironbook._kafka import PLAIN_TEXT, Security
from ironbook._topics_admin import TopicAdmin
from ironbook.archive.layout import head_key, object_key, pack, parse_head, snapshot_key
from ironbook.archive.reading import entries, read_head, records_of
from ironbook.archive.stores import Found, S3Store, Store
from ironbook.archive.verify import find_break, verify
from ironbook.topics import rules
from schemas.topics import load_topics
from tests.support.archives import DAY, closed_ends, put_over, three_days, write_archive
from tests.support.aws import Aws
from tests.support.journal_topics import messages_of, ship
from tests.support.node import ROOT, Node
from tests.support.publishing import Market, PublisherProcess, journal_records, make_topics
from tests.support.services import Broker, delete_topics

BUCKET = "archive"
RECORDS = three_days()
LAST = len(RECORDS) // 64
MESSAGES = messages_of(RECORDS)
LATE_NS = (DAY + 30) * 86_400 * 10**9
SETTINGS = Settings(archive_bucket=BUCKET, object_records=300, keep_records=0, keep_snapshots=1)


@pytest.fixture(scope="module")
def prefix(kafka: str) -> Iterator[str]:
    """A prefix under which journal.0 holds all records, and journal.7 all but the last message."""
    made = f"t{secrets.token_hex(4)}."
    ship(kafka, f"{made}journal.0", MESSAGES)
    yield made
    delete_topics(kafka, made)


@pytest.fixture
def store(aws: Aws) -> S3Store:
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return S3Store(client, BUCKET)


def archive(
    kafka: str, prefix: str, store: Store, *, shard: int = 0, flush: bool = True, now_ns: int = LATE_NS,
    settings: Settings = SETTINGS, remaining_s: float = 60.0,
) -> dict[str, Any]:  # fmt: skip
    topic = JournalTopic(kafka, PLAIN_TEXT, prefix, shard)
    archiver = Archiver(store, topic, shard, settings, now_ns, lambda: remaining_s)
    return asyncio.run(archiver.run(flush=flush))


def everything(store: Store) -> dict[str, bytes]:
    return {key: found.data for key in store.keys("") if (found := store.get(key)) is not None}


def archived(store: Store, shard: int = 0) -> bytes:
    head, _ = read_head(store, shard)
    crc, parts = 0, []
    for entry in entries(store, head):
        parts.append(records_of(store, entry, crc, find_break))
        crc = entry.crc32c
    return b"".join(parts)


def first_offset(kafka: str, prefix: str, shard: int = 0, *, security: Security = PLAIN_TEXT) -> int:
    async def ask() -> int:
        async with JournalTopic(kafka, security, prefix, shard).open() as topic:
            return topic.begin

    return asyncio.run(ask())


def test_a_topic_becomes_objects_that_prove_themselves(kafka: str, prefix: str, store: S3Store) -> None:
    answer = archive(kafka, prefix, store)
    assert (answer["archived_records"], answer["last_sequence"], answer["waiting_records"]) == (LAST, LAST, 0)
    assert archived(store) == RECORDS
    assert len(answer["objects"]) == 4, "three full ones and the rest"
    assert verify(store, 0)["sound"]
    before = everything(store)
    again = archive(kafka, prefix, store)
    assert (again["archived_records"], again["objects"]) == (0, [])
    assert everything(store) == before, "a rerun changes nothing"


def test_a_small_object_waits_until_its_first_record_is_old(kafka: str, prefix: str, store: S3Store) -> None:
    young = (DAY + 3) * 86_400 * 10**9 + 8 * 10**9
    answer = archive(kafka, prefix, store, flush=False, now_ns=young)
    assert 0 < answer["waiting_records"] < 300
    assert answer["last_sequence"] == LAST - answer["waiting_records"]
    aged = archive(kafka, prefix, store, flush=False, now_ns=young + 301 * 10**9)
    assert (aged["last_sequence"], aged["waiting_records"]) == (LAST, 0)
    assert archived(store) == RECORDS


def test_a_call_takes_no_more_than_it_may_and_the_next_goes_on(kafka: str, prefix: str, store: S3Store) -> None:
    few = dataclasses.replace(SETTINGS, call_records_max=1)
    answer = archive(kafka, prefix, store, settings=few)
    assert (len(answer["objects"]), answer["waiting_records"]) == (1, LAST - answer["last_sequence"])
    oldest = int.from_bytes(RECORDS[answer["last_sequence"] * 64 + 56 :][:8], "little")
    assert answer["lag_s"] == (LATE_NS - oldest) // 10**9
    assert len(archive(kafka, prefix, store, remaining_s=0.0)["objects"]) == 1
    archive(kafka, prefix, store)
    assert archived(store) == RECORDS


# ---- Killed, and two at once -----------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """A store whose caller dies at the n-th call: before it is made, or after it was made and not answered."""

    def __init__(self, store: Store, calls: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, calls, after
        self.place = store.place

    def _call(self, name: str, *arguments: Any) -> Any:
        self._left -= 1
        if self._left < 0 and not self._after:
            raise Killed
        answer = getattr(self._store, name)(*arguments)
        if self._left < 0:
            raise Killed
        return answer

    def get(self, key: str) -> Found | None:
        return self._call("get", key)  # type: ignore[no-any-return]

    def size(self, key: str) -> int | None:
        return self._call("size", key)  # type: ignore[no-any-return]

    def put(self, key: str, data: bytes, tag: str | None, *, lock_days: int = 0) -> str | None:
        return self._call("put", key, data, tag)  # type: ignore[no-any-return]

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        return iter(list(self._call("keys", prefix, after)))


def test_a_call_killed_between_any_two_requests_is_finished_with_the_same_objects(
    kafka: str, prefix: str, aws: Aws, store: S3Store
) -> None:
    two = dataclasses.replace(SETTINGS, object_records=600)
    archive(kafka, prefix, store, settings=two)
    whole, killed, client = everything(store), 0, aws.client("s3")
    for after in (False, True):
        calls = 0
        while True:
            place = S3Store(client, BUCKET, f"{after}-{calls}/")
            try:
                archive(kafka, prefix, Mortal(place, calls, after=after), settings=two)
                break
            except Killed:
                killed += 1
            archive(kafka, prefix, place, settings=two)
            assert everything(place) == whole, f"killed {'after' if after else 'before'} call {calls}"
            calls += 1
    assert killed > 20, "it was killed at each of its calls"


def test_what_was_begun_is_finished_as_it_was_begun_though_the_topic_has_more_now(
    kafka: str, topic_prefix: str, store: S3Store
) -> None:
    ship(kafka, f"{topic_prefix}journal.0", MESSAGES[:4])
    with pytest.raises(Killed):
        archive(kafka, topic_prefix, Mortal(store, CLAIMED, after=True))
    head, _ = read_head(store, 0)
    assert head.pending == (1, MESSAGES[4][0] - 1)
    ship(kafka, f"{topic_prefix}journal.0", MESSAGES[4:])
    answer = archive(kafka, topic_prefix, store)
    assert answer["objects"][0] == object_key(0, *head.pending)
    assert archived(store) == RECORDS


CLAIMED = 4  # calls of a first run before its claim


class Raced(Mortal):
    """A store in which another archiver does its whole work just before the n-th write."""

    def __init__(self, store: Store, writes: int, other: Any) -> None:
        super().__init__(store, 1 << 30, after=False)
        self._writes, self._other = writes, other

    def put(self, key: str, data: bytes, tag: str | None, *, lock_days: int = 0) -> str | None:
        self._writes -= 1
        if self._writes == -1:
            self._other()
        return super().put(key, data, tag)


def test_of_two_archivers_one_wins_and_the_other_changes_nothing(
    kafka: str, prefix: str, aws: Aws, store: S3Store
) -> None:
    client = aws.client("s3")
    small = dataclasses.replace(SETTINGS, object_records=200)
    for writes in range(5):
        place = S3Store(client, BUCKET, f"race-{writes}/")
        others: list[dict[str, bytes]] = []

        def other(place: S3Store = place, others: list[dict[str, bytes]] = others) -> None:
            def run() -> None:
                asyncio.run(
                    Archiver(place, JournalTopic(kafka, PLAIN_TEXT, prefix, 0), 0, small, LATE_NS, lambda: 60.0).run(
                        flush=True
                    )
                )

            import threading

            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
            others.append(everything(place))

        answer = archive(kafka, prefix, Raced(place, writes, other))
        assert answer["another_archiver"], writes
        assert everything(place) == others[0], "whoever lost wrote nothing after the other"
        assert archived(place) == RECORDS


# ---- What cannot be --------------------------------------------------------------------------------------------------


def test_a_topic_trimmed_past_the_archive_is_loud_and_nothing_is_written(
    kafka: str, topic_prefix: str, store: S3Store
) -> None:
    topic = f"{topic_prefix}journal.0"
    ship(kafka, topic, MESSAGES[:10])
    archive(kafka, topic_prefix, store)
    before = everything(store)
    ship(kafka, topic, MESSAGES[11:])
    with pytest.raises(TopicInvalid, match=f"next record must be {MESSAGES[10][0]}, was {MESSAGES[11][0]}") as gap:
        archive(kafka, topic_prefix, store)
    assert f"{topic}, offset " in gap.value.detail
    asyncio.run(trim(kafka, topic_prefix, MESSAGES[11][0]))
    with pytest.raises(TopicInvalid, match=f"must go on at sequence {MESSAGES[10][0]}.*begins at {MESSAGES[11][0]}"):
        archive(kafka, topic_prefix, store)
    assert everything(store) == before


async def trim(kafka: str, prefix: str, sequence: int) -> None:
    async with JournalTopic(kafka, PLAIN_TEXT, prefix, 0).open() as topic:
        found = await topic.find(sequence)
        assert found is not None
        await topic.trim(found.offset)


def test_a_topic_whose_beginning_is_gone_does_not_begin_an_archive(
    kafka: str, topic_prefix: str, store: S3Store
) -> None:
    ship(kafka, f"{topic_prefix}journal.0", MESSAGES[3:])
    with pytest.raises(TopicInvalid, match="must go on at sequence 1, where the archive ends"):
        archive(kafka, topic_prefix, store)
    assert everything(store) == {}


def test_an_empty_topic_is_fine_for_an_empty_archive_only(
    kafka: str, topic_prefix: str, aws: Aws, store: S3Store
) -> None:
    ship(kafka, f"{topic_prefix}journal.0", [])
    answer = archive(kafka, topic_prefix, store)
    assert (answer["archived_records"], answer["last_sequence"]) == (0, 0)
    assert everything(store) == {}
    write_archive(store, 0, RECORDS, closed_ends(RECORDS, [300]))
    before = everything(store)
    with pytest.raises(TopicInvalid, match="must hold record 300, where the archive ends, and is empty"):
        archive(kafka, topic_prefix, store)
    assert everything(store) == before


def test_another_shard_or_another_history_is_refused(
    kafka: str, prefix: str, topic_prefix: str, store: S3Store
) -> None:
    archive(kafka, prefix, store)
    before = everything(store)
    with pytest.raises(TopicInvalid, match=r"must be there, is not: .*journal\.3"):
        archive(kafka, prefix, store, shard=3)
    other = _engine.seal(RECORDS[: 64 * 999] + RECORDS[64 * 998 :], 0)
    ship(kafka, f"{topic_prefix}journal.0", messages_of(other))
    with pytest.raises(TopicInvalid, match=f"of one journal, record {LAST} differs"):
        archive(kafka, topic_prefix, store)
    assert everything(store) == before


def test_a_topic_that_ends_before_the_archive_is_not_trimmed_by_it(
    kafka: str, topic_prefix: str, store: S3Store
) -> None:
    """The bucket of another installation, or an engine that was begun anew: nothing of this topic is archived."""
    write_archive(store, 0, RECORDS, closed_ends(RECORDS, [300, 300, 300, LAST]))
    publish_snapshot(store, 900)
    before = everything(store)
    other = _engine.seal(RECORDS[: 64 * 500], 1)
    ship(kafka, f"{topic_prefix}journal.0", messages_of(other)[:-1])
    with pytest.raises(TopicInvalid, match=f"must hold record {LAST}, where the archive ends, and ends at"):
        archive(kafka, topic_prefix, store)
    assert first_offset(kafka, topic_prefix) == 0
    assert everything(store) == before


def test_an_altered_record_is_named_by_offset_and_sequence(kafka: str, topic_prefix: str, store: S3Store) -> None:
    altered = [(first, bytearray(records)) for first, records in MESSAGES]
    altered[9][1][5 * 64 + 20] ^= 1
    ship(kafka, f"{topic_prefix}journal.0", [(first, bytes(records)) for first, records in altered])
    sequence = MESSAGES[9][0] + 5
    with pytest.raises(TopicInvalid, match=f"that of sequence {sequence} does not") as found:
        archive(kafka, topic_prefix, store)
    assert f"{topic_prefix}journal.0" in found.value.detail
    assert archived(store) == RECORDS[: read_head(store, 0)[0].last_sequence * 64], "what was written is whole"


def test_foreign_messages_are_refused(kafka: str, topic_prefix: str, store: S3Store) -> None:
    ship(kafka, f"{topic_prefix}journal.0", [(1, b"hello")])
    with pytest.raises(TopicInvalid, match="must be whole records with a header first_sequence"):
        archive(kafka, topic_prefix, store)


def test_a_half_written_or_altered_archive_is_not_gone_on_with(kafka: str, prefix: str, store: S3Store) -> None:
    ends = closed_ends(RECORDS, [300] * 2)
    made = write_archive(store, 0, RECORDS, ends)
    client = store._client

    def refused(message: str) -> None:
        before = everything(store)
        with pytest.raises((ArchiveInvalid, ArchiveTaken), match=message):
            archive(kafka, prefix, store)
        assert everything(store) == before

    def back() -> None:
        for key in list(store.keys("journal/")):
            client.delete_object(Bucket=BUCKET, Key=key)
        write_archive(store, 0, RECORDS, ends)

    client.delete_object(Bucket=BUCKET, Key=made[1].key)
    refused("newest manifest's object must be of .* is missing")
    back()
    put_over(store, object_key(0, ends[1] + 1, ends[1] + 50), pack(RECORDS[:64]))
    refused("nothing must be behind the head's sequence")
    back()
    put_over(store, made[1].manifest, b"{}")
    refused("a manifest must have the digest")
    back()
    before = everything(store)[head_key(0)]
    archive(kafka, prefix, store)
    put_over(store, head_key(0), before)
    refused("nothing must be behind the head's sequence")


def test_an_object_of_other_records_under_the_claimed_name_is_kept_and_named(
    kafka: str, prefix: str, store: S3Store
) -> None:
    with pytest.raises(Killed):
        archive(kafka, prefix, Mortal(store, CLAIMED, after=True))
    pending = parse_head(everything(store)[head_key(0)], 0, "").pending
    assert pending is not None
    put_over(store, object_key(0, *pending), pack(bytes(64 * pending[1])))
    before = everything(store)
    with pytest.raises(ArchiveTaken, match="must hold the records of its name, holds others") as found:
        archive(kafka, prefix, store)
    assert object_key(0, *pending) in found.value.detail
    assert everything(store) == before


# ---- Trimming --------------------------------------------------------------------------------------------------------


def publish_snapshot(store: Store, sequence: int) -> None:
    store.put(snapshot_key(0, sequence, 7), b"a snapshot", None)


def test_the_topic_keeps_what_the_newest_snapshots_need_and_what_is_to_be_kept(
    kafka: str, topic_prefix: str, store: S3Store
) -> None:
    ship(kafka, f"{topic_prefix}journal.0", MESSAGES)
    two = dataclasses.replace(SETTINGS, keep_snapshots=2)
    answer = archive(kafka, topic_prefix, store, settings=two)
    assert answer["trimmed_to_offset"] is None
    assert answer["floor_why"] == "2 published snapshots are needed, there are 0"
    publish_snapshot(store, 500)
    assert archive(kafka, topic_prefix, store, settings=two)["floor_sequence"] == 0
    publish_snapshot(store, 900)
    for settings, floor in (
        (dataclasses.replace(two, keep_records=LAST), 0),
        (dataclasses.replace(two, keep_records=LAST - 300), 300),
        (two, 500),
        (SETTINGS, 900),
    ):
        answer = archive(kafka, topic_prefix, store, settings=settings)
        assert answer["floor_sequence"] == floor
        if floor:
            assert oldest(kafka, topic_prefix) == max(m[0] for m in MESSAGES if m[0] <= floor), "its message stays"
    assert first_offset(kafka, topic_prefix) == answer["trimmed_to_offset"]
    assert archive(kafka, topic_prefix, store)["trimmed_to_offset"] is None, "once is enough"
    publish_snapshot(store, LAST + 5)  # newer than what is archived
    ends = archive(kafka, topic_prefix, store)
    assert (ends["floor_sequence"], oldest(kafka, topic_prefix)) == (LAST, MESSAGES[-1][0]), "the last message stays"
    ship(kafka, f"{topic_prefix}journal.0", messages_of(more(), LAST + 1))
    archive(kafka, topic_prefix, store)
    assert archived(store) == RECORDS + more(), "it goes on in a topic that was trimmed"


def more() -> bytes:
    ticks = RECORDS[-64:]
    tick = bytes([35]) + bytes(51) + ticks[52:]
    return _engine.seal(tick * 3, int.from_bytes(RECORDS[-12:-8], "little"))


def oldest(kafka: str, prefix: str) -> int:
    async def ask() -> int:
        async with JournalTopic(kafka, PLAIN_TEXT, prefix, 0).open() as topic:
            found = await topic.message_at(topic.begin)
            assert found is not None
            return found.first

    return asyncio.run(ask())


def test_nothing_is_trimmed_while_an_object_of_the_archive_is_missing(
    kafka: str, topic_prefix: str, store: S3Store
) -> None:
    ship(kafka, f"{topic_prefix}journal.0", MESSAGES)
    objects = archive(kafka, topic_prefix, store)["objects"]
    publish_snapshot(store, 900)
    store._client.delete_object(Bucket=BUCKET, Key=objects[1])
    with pytest.raises(ArchiveInvalid, match="must be there, one is missing"):
        archive(kafka, topic_prefix, store)
    assert first_offset(kafka, topic_prefix) == 0


def test_nothing_is_trimmed_where_it_is_switched_off(kafka: str, topic_prefix: str, store: S3Store) -> None:
    ship(kafka, f"{topic_prefix}journal.0", MESSAGES)
    publish_snapshot(store, 900)
    answer = archive(kafka, topic_prefix, store, settings=dataclasses.replace(SETTINGS, trim=False))
    assert (answer["floor_sequence"], answer["trimmed_to_offset"]) == (900, None)
    assert first_offset(kafka, topic_prefix) == 0


# ---- As Lambda calls it ----------------------------------------------------------------------------------------------


def test_the_handler_archives_what_a_real_engine_and_publisher_shipped(
    kafka: str, topic_prefix: str, tmp_path: Path, store: S3Store, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    make_topics(kafka, topic_prefix)
    node = Node(tmp_path / "data", snapshot_process=False, digest_interval_records=500)
    market = Market(node, seed=3)
    node.start()
    publisher = PublisherProcess(node, kafka, topic_prefix)
    try:
        publisher.wait_line("publisher_started")
        market.open().trade(2500)
        market.close()
        assert node.stop() == 0
        assert publisher.stop() == 0
    finally:
        publisher.end()
        node.end()
    values = {"ARCHIVE_BUCKET": BUCKET, "KAFKA": kafka, "TOPIC_PREFIX": topic_prefix}
    for name, value in (values | {"OBJECT_RECORDS": "4096", "METRICS_ENVIRONMENT": "here"}).items():
        monkeypatch.setenv(f"IRONBOOK_FUNCTION_{name}", value)
    answer = handle({"shard": 0, "flush": True}, Context("archiver"))
    records = journal_records(node)
    assert answer["archived_records"] == len(records) // 64 > 2500
    assert archived(store) == records
    assert read_mark(node.directory) == len(records) // 64, "the publisher's mark, for the node's retention"
    found = verify(store, 0)
    assert found["digest_records"] >= 4
    come_back(kafka, topic_prefix, store, node, tmp_path)
    (metric,) = [line for line in capsys.readouterr().out.splitlines() if "ArchiveLagSeconds" in line]
    assert orjson.loads(metric)["Environment"] == "here"
    assert orjson.loads(metric)["ArchiveLagSeconds"] == [0.0]


def come_back(kafka: str, prefix: str, store: S3Store, node: Node, tmp_path: Path) -> None:
    """The disk is gone and the topic's beginning too: archive and topic together are the journal."""
    records = journal_records(node)
    asyncio.run(trim(kafka, prefix, len(records) // 64))
    assert first_offset(kafka, prefix) > 0
    for key, data in everything(store).items():
        (tmp_path / "copy" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / key).write_bytes(data)
    shutil.rmtree(node.directory / "journal")
    command = [sys.executable, "-m", "engine_node", "restore", "--kafka", kafka, "--prefix", prefix]
    for more, code in (((), 1), (("--archive", str(tmp_path / "copy")), 0)):
        done = subprocess.run(
            [*command, *more], cwd=ROOT, env=node.environment(), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done.stderr + done.stdout
    assert journal_records(node) == records


def test_the_handler_archives_and_trims_with_the_rights_of_its_row_alone(
    sasl_kafka: Broker, aws: Aws, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"t{secrets.token_hex(4)}."
    words = sasl_kafka.server.users
    secret = {"username": "archiver", "password": words["archiver"], "mechanism": "SCRAM-SHA-512"}
    arn = aws.client("secretsmanager").create_secret(Name="kafka/archiver", SecretString=json.dumps(secret))["ARN"]
    values = {"ARCHIVE_BUCKET": BUCKET, "KAFKA": sasl_kafka.bootstrap, "KAFKA_SECRET_ARN": arn, "TOPIC_PREFIX": prefix,
              "KEEP_RECORDS": "0", "KEEP_SNAPSHOTS": "1"}  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(f"IRONBOOK_FUNCTION_{name}", value)
    ship(sasl_kafka.bootstrap, f"{prefix}journal.0", MESSAGES, sasl_kafka.login("admin"))
    publish_snapshot(store, 900)

    with pytest.raises(TopicInvalid, match="must be there, is not"):  # before it has any: it does not even see it
        handle({"shard": 0, "flush": True}, Context("archiver"))
    asyncio.run(give_rights(sasl_kafka, prefix))
    answer = handle({"shard": 0, "flush": True}, Context("archiver"))
    assert archived(store) == RECORDS
    security = Security(username="archiver", password=words["archiver"])
    assert first_offset(sasl_kafka.bootstrap, prefix, security=security) == answer["trimmed_to_offset"] > 0


async def give_rights(broker: Broker, prefix: str) -> None:
    """All of the contract, as the broker's administrator gives them."""
    async with TopicAdmin(broker.bootstrap, Security(username="admin", password=broker.server.users["admin"])) as admin:
        await admin.allow(rules(load_topics(), prefix))


def test_the_handler_refuses_what_it_cannot_do_and_tells_people(
    aws: Aws, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsInvalid, match="archive_bucket must be set"):
        handle({}, Context("archiver"))
    topic = aws.topic()
    values = {"ARCHIVE_BUCKET": BUCKET, "KAFKA": "127.0.0.1:1", "ALERTS_TOPIC_ARN": topic.arn}
    for name, value in values.items():
        monkeypatch.setenv(f"IRONBOOK_FUNCTION_{name}", value)
    for event in ({"shard": -1}, {"shard": "0"}, {"flush": 1}, {"shrad": 3}):
        with pytest.raises(EventInvalid, match="must be a shard"):
            handle(event, Context("archiver"))
    with pytest.raises(BrokersFailed, match="Kafka must answer"):
        handle({"shard": 0}, Context("archiver"))
    assert everything(store) == {}
    codes = [*["event"] * 4, "brokers_failed"]
    assert [told["Subject"] for told in topic.told()] == [f"Ironbook archiver: {code}" for code in codes]
