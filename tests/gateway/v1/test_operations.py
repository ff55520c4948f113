"""Dead letters and health, with a real broker and a real worker."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Stack
from tests.support.messages import make_all_topics, put, read
from tests.support.node import wait_until
from tests.support.services import delete_topics
from tests.support.workers import WorkerProcess

PREFIX = f"t{secrets.token_hex(4)}."
JUNK = b"\xff\x00 not json"
LETTERS = "/api/v1/dead-letters"


class Installation(Stack):
    """A stack whose gateway has topics with a prefix."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"IRONBOOK_TOPIC_PREFIX": PREFIX}


@pytest.fixture(scope="module")
def worker(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A processor that counts executions; what it cannot read it gives up."""
    make_all_topics(kafka, PREFIX)
    directory: Path = tmp_path_factory.mktemp("workers")
    with WorkerProcess("tests.streams.common.echo", kafka, PREFIX, directory) as running:
        yield running
    delete_topics(kafka, PREFIX)


@pytest.fixture(scope="module")
def stack(kafka: str, worker: WorkerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation(tmp_path_factory.mktemp("operations"), kafka=kafka, workers=worker.directory) as running:
        worker.wait_ready()
        put(kafka, PREFIX, [("executions", 3, JUNK), ("executions", 5, b"{")])
        wait_until(lambda: len(letters(running)) == 2, 30, "the worker must give both messages up")
        yield running


def letters(stack: Stack, **more: Any) -> list[dict[str, Any]]:
    """Dead letters, newest first."""
    status, answer = stack.signed("admin", "GET", LETTERS, **more)
    assert status == 200, answer
    found: list[dict[str, Any]] = answer["items"]
    return found


def part(stack: Stack, name: str) -> dict[str, Any]:
    """One part of /health."""
    status, answer = stack.get("/health")
    assert status == 200
    [found] = [one for one in answer["parts"] if one["name"] == name] or [{"status": "none"}]
    return dict(found)


def test_a_dead_letter_is_listed_and_shown_with_its_bytes(stack: Stack) -> None:
    [junk] = [one for one in letters(stack) if one["partition"] == 3]
    assert (junk["worker"], junk["code"], junk["topic"]) == ("echo", "undecodable", "executions")
    assert base64.b64decode(junk["value"]) == JUNK
    assert junk["value_text"] is None
    assert stack.signed("admin", "GET", f"{LETTERS}/{junk['number']}") == (200, junk)
    assert letters(stack, code="undecodable", worker="echo", topic="executions")
    assert letters(stack, worker="risk") == []
    assert len(letters(stack, limit=1)) == 1


def test_a_dead_letter_goes_back_where_it_came_from_once(stack: Stack, kafka: str) -> None:
    [junk] = [one for one in letters(stack) if one["partition"] == 3]
    status, answer = stack.signed("admin", "POST", f"{LETTERS}/{junk['number']}/replay")
    assert status == 200, answer
    assert (answer["number"], answer["topic"], answer["partition"]) == (junk["number"], "executions", 3)
    message = read(kafka, PREFIX, "executions")[3][-1]
    assert (message.offset, message.value) == (answer["offset"], JUNK)
    assert dict(message.headers)["replayed"] == f"dead-letters:{junk['number']}".encode()
    wait_until(lambda: len([one for one in letters(stack) if one["partition"] == 3]) == 2, 20, "given up once more")


def test_a_dead_letter_that_is_not_there_is_not_found(stack: Stack) -> None:
    for method, path in (("GET", f"{LETTERS}/99999"), ("POST", f"{LETTERS}/99999/replay")):
        status, answer = stack.signed("admin", method, path)
        assert (status, answer["error"]["code"]) == (404, "not_found")
    status, answer = stack.signed("admin", "GET", f"{LETTERS}/seven")
    assert (status, answer["error"]["code"]) == (400, "parameter")
    assert stack.signed("alice", "GET", LETTERS)[0] == 401


def test_health_tells_of_kafka_and_of_each_worker(stack: Stack, worker: WorkerProcess) -> None:
    assert part(stack, "kafka")["status"] == "up"
    found = wait_until(lambda: (one := part(stack, "echo"))["status"] == "up" and one, 20, "the worker must be up")
    assert found["figures"]["lag_messages"] == 0
    assert "lag_executions" in found["figures"]
    text = stack.get("/metrics")[1].decode()
    assert 'ironbook_gateway_part_up{part="echo"} 1' in text
    worker.kill()
    try:
        gone = wait_until(lambda: (one := part(stack, "echo"))["status"] == "down" and one, 20, "the worker is gone")
        assert "does not run" in gone["detail"]
        assert stack.get("/health")[1]["status"] == "degraded"
        assert stack.get("/ready") == (200, {"ready": True, "waits_for": []})
    finally:
        worker.start()


def test_an_engine_that_is_gone_makes_the_gateway_not_ready_and_alive(stack: Installation) -> None:
    stack.node.stop()
    answer = wait_until(lambda: (got := stack.get("/ready"))[0] == 503 and got[1], 20, "the engine is gone")
    assert answer["waits_for"][0].startswith("engine: ")
    assert stack.get("/live") == (200, {"live": True})
    assert part(stack, "engine")["status"] == "down"
    assert stack.get("/health")[1]["status"] == "down"
    body = {"symbol": "BTC/USD", "side": "buy", "price": "50000", "quantity": "0.1"}
    assert stack.signed("alice", "POST", "/api/v1/orders", json=body)[1]["error"]["code"] == "engine_away"
    stack.node.start()
    wait_until(lambda: stack.get("/ready")[0] == 200, 30, "the line must come back")


def test_kafka_that_is_away_is_told_at_once(stack: Installation) -> None:
    stack.settings["kafka"] = "127.0.0.1:1"
    stack.restart_gateway()
    assert part(stack, "kafka")["status"] == "down"
    status, answer = stack.signed("admin", "GET", LETTERS)
    assert (status, answer["error"]["code"]) == (503, "kafka_away")
