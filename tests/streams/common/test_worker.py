"""The worker around a small processor, on real Kafka: nothing lost, nothing counted twice, whatever ends it."""

from __future__ import annotations

import base64
import collections
import signal
import time

import orjson
import pytest

from tests.support.messages import events, make_all_topics, put, read_named
from tests.support.workers import WorkerProcess

ECHO = "tests.streams.common.echo"
BATCHES, EACH = 240, 20


@pytest.fixture
def prefix(kafka, topic_prefix):
    make_all_topics(kafka, topic_prefix)
    return topic_prefix


def batch(number: int) -> list[dict[str, object]]:
    return [{"type": "x", "symbol": f"S{number % 7}", "i": number * EACH + n} for n in range(EACH)]


def load(kafka: str, prefix: str, first: int, count: int) -> None:
    put(kafka, prefix, [("executions", number % 8, batch(number)) for number in range(first, first + count)])


def expected(count: int) -> list[dict[str, int]]:
    """By partition: how often each symbol must have been counted."""
    counts: list[collections.Counter[str]] = [collections.Counter() for _ in range(8)]
    for number in range(count):
        counts[number % 8][f"S{number % 7}"] += EACH
    return [dict(count) for count in counts]


def counted(kafka: str, prefix: str) -> list[dict[str, int]]:
    """By partition: the newest counts in the changelog."""
    return [
        {
            key.partition(":")[2]: orjson.loads(message.value)["count"]
            for message in messages
            if not (key := orjson.loads(message.key)).partition(":")[2].startswith("@")
        }
        for messages in read_named(kafka, f"{prefix}ironbook-echo-counts-changelog", 8)
    ]


def wait_counted(kafka: str, prefix: str, count: int) -> None:
    """Until the changelog says what it must: who works on what, and when, is the group's business."""
    until_s = time.monotonic() + 60
    while (found := counted(kafka, prefix)) != expected(count):
        assert time.monotonic() < until_s, (found, expected(count))
        time.sleep(0.2)


def passed_on(kafka: str, prefix: str) -> list[list[int]]:
    """By partition: what was sent on, each once, in the order of the first time."""
    return [list(dict.fromkeys(event.get("i") for event in part)) for part in events(kafka, prefix, "orders.rejected")]


def in_order(count: int) -> list[list[int]]:
    return [[event["i"] for n in range(part, count, 8) for event in batch(n)] for part in range(8)]


def test_kills_in_the_middle_change_nothing(kafka, prefix, tmp_path):
    load(kafka, prefix, 0, BATCHES)
    worker = WorkerProcess(ECHO, kafka, prefix, tmp_path)
    with worker:
        for part in (0.2, 0.5):
            worker.wait(lambda status, part=part: status["counters"].get("messages", 0) > part * BATCHES / 2)
            worker.kill()
            worker.start()
        load(kafka, prefix, BATCHES, 16)
        worker.wait_idle()
        assert worker.stop() == 0
    assert counted(kafka, prefix) == expected(BATCHES + 16)
    assert passed_on(kafka, prefix) == in_order(BATCHES + 16)


def test_two_workers_share_and_one_takes_over_what_the_other_leaves(kafka, prefix, tmp_path):
    one, two = (WorkerProcess(ECHO, kafka, prefix, tmp_path / name) for name in ("one", "two"))
    with one, two:
        one.wait_ready()
        two.wait_ready()
        load(kafka, prefix, 0, BATCHES)
        two.wait(lambda status: status["counters"].get("messages", 0) > 5)
        one.wait(lambda status: status["counters"].get("messages", 0) > 5)
        one.kill()
        load(kafka, prefix, BATCHES, 16)
        wait_counted(kafka, prefix, BATCHES + 16)
    assert passed_on(kafka, prefix) == in_order(BATCHES + 16)


@pytest.mark.soak
def test_a_worker_paused_past_its_rebalance_sets_nothing_back(kafka, prefix, tmp_path):
    with WorkerProcess(ECHO, kafka, prefix, tmp_path / "one") as one:
        one.wait_ready()
        load(kafka, prefix, 0, BATCHES)
        one.wait(lambda status: status["counters"].get("messages", 0) > 5)
        one.process.send_signal(signal.SIGSTOP)
        with WorkerProcess(ECHO, kafka, prefix, tmp_path / "two") as two:
            two.wait(lambda status: status["ready"])
            load(kafka, prefix, BATCHES, 16)
            wait_counted(kafka, prefix, BATCHES + 16)
            one.process.send_signal(signal.SIGCONT)
            assert one.process.wait(30) == 70
            assert "must not stand still" in one.log()
            load(kafka, prefix, BATCHES + 16, 16)
    with one.start():  # what the paused one still wrote is older, and so is its mark: from there all is read anew
        wait_counted(kafka, prefix, BATCHES + 32)


def test_bytes_that_are_no_message_become_dead_letters_and_the_stream_goes_on(kafka, prefix, tmp_path):
    bad = [b"\xff\x00\xff", b"[1]", b""]
    put(kafka, prefix, [("executions", 3, value) for value in bad])
    put(kafka, prefix, [("executions", 3, batch(3))], headers=[("schema", b"executions/2")])
    load(kafka, prefix, 3, 1)
    with WorkerProcess(ECHO, kafka, prefix, tmp_path) as worker:
        worker.wait_idle()
        assert worker.status()["counters"]["dead_letters"] == 4
        status, metrics = worker.page("metrics")
        assert status == 200
        assert 'ironbook_dead_letters_total{worker="echo"} 4' in metrics
    letters = events(kafka, prefix, "dead-letters")[0]
    assert [base64.b64decode(letter["value"]) for letter in letters[:3]] == bad
    assert [(letter["topic"], letter["partition"], letter["offset"]) for letter in letters] == [
        ("executions", 3, offset) for offset in range(4)
    ]
    assert {letter["code"] for letter in letters} == {"undecodable"}
    assert passed_on(kafka, prefix)[3] == [event["i"] for event in batch(3)]


def test_what_nobody_expected_ends_the_process_unacknowledged(kafka, prefix, tmp_path):
    put(kafka, prefix, [("executions", 0, [{"type": "poison", "symbol": "S"}]), ("executions", 0, batch(0))])
    worker = WorkerProcess(ECHO, kafka, prefix, tmp_path, environment={"ECHO_POISON": "1"}).start()
    assert worker.process is not None
    assert worker.process.wait(60) == 70
    assert "an event that this body cannot bear" in worker.log()
    del worker.environment["ECHO_POISON"]
    with worker.start():
        worker.wait_idle()
    assert passed_on(kafka, prefix)[0] == [None, *(event["i"] for event in batch(0))]


def test_readiness_and_heartbeats_tell_what_is_waited_for(kafka, prefix, tmp_path):
    with WorkerProcess(ECHO, kafka, prefix, tmp_path, heartbeat_interval=100) as worker:
        worker.wait(lambda status: "waits_for" in status)
        assert worker.page("health")[0] == 200
        worker.wait_ready()
        load(kafka, prefix, 0, 8)
        worker.wait_idle()
        until_s = time.monotonic() + 20
        while True:
            beats = events(kafka, prefix, "heartbeats")[0]
            if beats and beats[-1]["counters"].get("events") == 8 * EACH:
                break
            assert time.monotonic() < until_s, beats
    assert beats[-1]["worker"] == "echo"
    assert beats[-1]["ready"] is True
    assert "executions" in beats[-1]["lag"]


def test_a_start_without_the_topics_says_what_to_do(kafka, topic_prefix, tmp_path):
    worker = WorkerProcess(ECHO, kafka, topic_prefix, tmp_path).start()
    assert worker.process is not None
    assert worker.process.wait(60) == 1
    assert "ironbook topics create" in worker.log()
