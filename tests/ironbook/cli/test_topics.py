"""The commands that read and write topics, on a real broker: watch TOPIC, workers, dead-letters."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from ironbook.cli._app import run
from tests.support.topics import example, make_topics, partition, trade, writing

Call = Callable[..., tuple[int, list[Any]]]
Write = list[tuple[str, int, bytes | None, bytes | None]]


@pytest.fixture
def call(kafka: str, topic_prefix: str, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command against the test's topics with --json; exit code and JSON lines."""

    def call(*arguments: str) -> tuple[int, list[Any]]:
        capsys.readouterr()
        code = run([*arguments, "--kafka", kafka, "--prefix", topic_prefix, "--json"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return call


def prepare(kafka: str, prefix: str, names: list[str], messages: Write) -> None:
    """Topics, and messages on them: (topic, partition, value, key)."""

    async def body() -> None:
        await make_topics(kafka, prefix, *names)
        async with writing(kafka, prefix) as writer:
            for topic, at, value, key in messages:
                await writer.send_raw(topic, at, value, key)

    asyncio.run(asyncio.wait_for(body(), 60))


def letter(code: str, value: bytes, **more: Any) -> bytes:
    changed = {"code": code, "value": base64.b64encode(value).decode(), "time_ns": time.time_ns(), **more}
    return json.dumps(example("dead-letters", "dead_letter", **changed)).encode()


def test_watch_shows_the_events_of_a_topic(kafka: str, topic_prefix: str, call: Call) -> None:
    at = partition("trades", "BTC/USD")
    other = next(name for number in range(99) if partition("trades", name := f"X{number}/USD") == at)
    events = [trade(1), trade(2, symbol=other), trade(3, trade_id=2)]
    prepare(kafka, topic_prefix, ["trades"], [("trades", at, json.dumps(events).encode(), None)])
    code, lines = call("watch", "trades", "--past", "--symbol", "BTC/USD", "--count", "2")
    assert (code, lines) == (0, [events[0], events[2]])
    assert call("watch", "trades", "--seconds", "0.2") == (0, [])


def test_watch_says_what_is_missing(kafka: str, topic_prefix: str, call: Call) -> None:
    at = partition("trades", "BTC/USD")
    value = json.dumps([trade(1), trade(2, trade_id=5)]).encode()
    prepare(kafka, topic_prefix, ["trades"], [("trades", at, value, None)])
    code, lines = call("watch", "trades", "--past", "--count", "3")
    assert code == 0
    assert lines[1]["error"] == "stream_gap"
    assert [lines[1][name] for name in ("what", "after", "until")] == ["trade_id", "1", "4"]


def test_watch_for_people_names_the_fields(kafka: str, topic_prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    at = partition("trades", "BTC/USD")
    prepare(kafka, topic_prefix, ["trades"], [("trades", at, json.dumps(trade(7)).encode(), None)])
    assert run(["watch", "trades", "--past", "--count", "1", "--kafka", kafka, "--prefix", topic_prefix]) == 0
    line = capsys.readouterr().out
    assert "trade" in line
    assert "symbol BTC/USD" in line


def test_workers_tell_who_is_ready_and_who_is_silent(kafka: str, topic_prefix: str, call: Call) -> None:
    now_ns = time.time_ns()

    def beat(worker: str, age_s: int, **more: Any) -> tuple[str, int, bytes, bytes]:
        said = {"worker": worker, "time_ns": now_ns - age_s * 10**9, "started_ns": now_ns - 90 * 10**9, **more}
        return "heartbeats", 0, json.dumps(example("heartbeats", "heartbeat", **said)).encode(), worker.encode()

    beats: Write = [beat("risk", 0), beat("validation", 60), beat("analytics", 0, ready=False, why="database")]
    prepare(kafka, topic_prefix, ["heartbeats"], beats)
    code, lines = call("workers", "--max-silence", "30")
    assert code == 1
    assert {line["worker"]: line["state"] for line in lines} == {
        "risk": "ready",
        "validation": "silent",
        "analytics": "not ready",
    }
    prepare_again: Write = [beat("validation", 0), beat("analytics", 0)]

    async def body() -> None:
        async with writing(kafka, topic_prefix) as writer:
            for topic, at, value, key in prepare_again:
                await writer.send_raw(topic, at, value, key)

    asyncio.run(body())
    assert call("workers", "--max-silence", "30")[0] == 0


def test_a_worker_that_another_has_followed_is_told_of_no_more(kafka: str, topic_prefix: str, call: Call) -> None:
    now_ns = time.time_ns()
    beats: Write = []
    for process, age_s in ((1, 500), (2, 0), (3, 0)):
        said = {"worker": "risk", "instance": f"node:{process}", "time_ns": now_ns - age_s * 10**9}
        value = json.dumps(example("heartbeats", "heartbeat", **said)).encode()
        beats.append(("heartbeats", 0, value, f"risk:node:{process}".encode()))
    prepare(kafka, topic_prefix, ["heartbeats"], beats)
    code, lines = call("workers", "--max-silence", "60")
    assert (code, [line["instance"] for line in lines]) == (0, ["node:2", "node:3"])


def test_dead_letters_are_listed_by_reason_and_one_is_shown_with_its_bytes(
    kafka: str, topic_prefix: str, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    letters: Write = [
        ("dead-letters", 0, letter("undecodable", b"\xff\x00not json"), None),
        ("dead-letters", 0, letter("schema_invalid", b'{"a": 1}', worker="risk"), None),
        ("dead-letters", 0, letter("undecodable", b"{"), None),
    ]
    prepare(kafka, topic_prefix, ["dead-letters"], letters)
    assert [line["number"] for line in call("dead-letters", "list")[1]] == [0, 1, 2]
    assert [line["number"] for line in call("dead-letters", "list", "--code", "undecodable")[1]] == [0, 2]
    assert [line["number"] for line in call("dead-letters", "list", "--worker", "risk")[1]] == [1]
    assert [line["number"] for line in call("dead-letters", "list", "--last", "1")[1]] == [2]
    code, [shown] = call("dead-letters", "show", "0")
    assert (code, shown["hex"], "text_value" in shown) == (0, b"\xff\x00not json".hex(), False)
    assert call("dead-letters", "show", "1")[1][0]["text_value"] == '{\n  "a": 1\n}'
    assert call("dead-letters", "show", "9")[0] == 1
    capsys.readouterr()
    assert run(["dead-letters", "list", "--kafka", kafka, "--prefix", topic_prefix]) == 0
    assert "3 dead letters: undecodable 2, schema_invalid 1" in capsys.readouterr().out


def test_a_dead_letter_goes_back_where_it_came_from_byte_for_byte(kafka: str, topic_prefix: str, call: Call) -> None:
    batch = [{"nonce": "a"}, {"nonce": "b"}]
    letters: Write = [
        ("dead-letters", 0, letter("undecodable", b"\xff\x00", partition=3, key=base64.b64encode(b"7").decode()), None),
        ("dead-letters", 0, letter("schema_invalid", json.dumps(batch).encode(), partition=5, index=1), None),
    ]
    prepare(kafka, topic_prefix, ["dead-letters", "orders.submitted"], letters)
    assert call("dead-letters", "replay")[0] == 1, "numbers or --all"
    assert call("dead-letters", "replay", "4", "--yes")[0] == 1, "there is none"
    code, lines = call("dead-letters", "replay", "--all", "--yes")
    assert (code, [(line["number"], line["partition"]) for line in lines]) == (0, [(0, 3), (1, 5)])
    assert call("dead-letters", "replay", "1", "--whole", "--yes")[0] == 0

    async def read() -> list[Any]:
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([TopicPartition(topic_prefix + "orders.submitted", at) for at in (3, 5)])
        found = [await consumer.getone() for _ in range(3)]
        await consumer.stop()
        return sorted(found, key=lambda message: (message.partition, message.offset))

    first, second, third = asyncio.run(asyncio.wait_for(read(), 30))
    assert (first.partition, first.key, first.value) == (3, b"7", b"\xff\x00")
    assert dict(first.headers) == {"schema": b"orders.submitted/1", "replayed": b"dead-letters:0"}
    assert (second.partition, json.loads(second.value)) == (5, {"nonce": "b"})
    assert json.loads(third.value) == batch


def test_nothing_goes_back_without_a_yes(
    kafka: str, topic_prefix: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    letters: Write = [("dead-letters", 0, letter("undecodable", b"{"), None)]
    prepare(kafka, topic_prefix, ["dead-letters", "orders.submitted"], letters)
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    code = run(["dead-letters", "replay", "0", "--kafka", kafka, "--prefix", topic_prefix])
    assert code != 0
    assert "put back" not in capsys.readouterr().out


def test_without_a_broker_a_command_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["workers", "--data", str(tmp_path), "--json"]) == 4
    assert "ironbook up --kafka local" in json.loads(capsys.readouterr().out)["hint"]


def test_a_login_file_that_others_can_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    login = tmp_path / "login.json"
    login.write_text('{"username": "risk", "password": "word"}')
    login.chmod(0o644)
    arguments = ["workers", "--kafka", "127.0.0.1:1", "--kafka-login", str(login), "--json"]
    assert run(arguments) == 1
    said = json.loads(capsys.readouterr().out)
    assert "its owner only" in said["message"]
    assert "word" not in json.dumps({**said, "message": said["message"].replace("password", "")})
