"""The worker of validation on a real broker: answers, keys, and nonces that outlive kill -9 and a rebalance."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from ironbook import Key, held, nonce_name, sign_order
from schemas.topics import load_topics
from schemas.vocabulary import Permission
from tests.streams.support import ACCOUNTS, KeyDirectory, make_market, read_events, read_messages, read_until, submit
from tests.support.topics import partition
from tests.support.workers import WorkerProcess

TRADE = int(Permission.TRADE | Permission.CANCEL)
MESSAGES, ORDERS = 40, 10  # of each firm, of each message


class Stage:
    """The topics of one test, keys, and workers of validation."""

    def __init__(self, kafka: str, prefix: str, directory: Path) -> None:
        self.kafka, self.prefix, self.directory = kafka, prefix, directory
        self.keys = KeyDirectory(directory / "keys")
        self.delegate = self.keys.make("gateway", TRADE | int(Permission.DELEGATE))
        asyncio.run(make_market(kafka, prefix, "orders.submitted", "orders.validated", "keys"))

    def worker(self, name: str = "one", **settings: object) -> WorkerProcess:
        return WorkerProcess(
            "streams.validation", self.kafka, self.prefix, self.directory / name, **self.keys.settings(), **settings
        )

    def submit(self, messages: list[tuple[int, Any]]) -> list[tuple[int, int]]:
        return asyncio.run(submit(self.kafka, self.prefix, "orders.submitted", messages))

    def read(self, topic: str) -> list[dict[str, Any]]:
        return asyncio.run(read_events(self.kafka, self.prefix, topic))

    def until(self, topic: str, holds: Any) -> list[dict[str, Any]]:
        return asyncio.run(read_until(self.kafka, self.prefix, topic, holds))

    def load(self, tag: str) -> list[tuple[int, list[dict[str, Any]]]]:
        """Messages of all firms in turn, signed now."""
        now = time.time_ns()
        return [
            (firm, [self.order(firm, f"{tag}-{number}-{index}", now) for index in range(ORDERS)])
            for number in range(MESSAGES)
            for firm in ACCOUNTS
        ]

    def order(self, account: int, nonce: str, now: int | None = None, key: Key | None = None) -> dict[str, Any]:
        body = {
            "action": "new", "account": account, "symbol": "BTC/USD", "side": "buy", "price": "60010.00",
            "quantity": "0.5",
        }  # fmt: skip
        at = time.time_ns() if now is None else now
        return dict(sign_order(key or self.delegate, body, timestamp_ns=at, nonce=f"{account}-{nonce}"))


pytestmark = pytest.mark.timeout(300)  # several starts of a worker each, on a machine that may be busy


@pytest.fixture
def stage(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Stage]:
    return Stage(kafka, topic_prefix, tmp_path)


def names(messages: list[tuple[int, list[dict[str, Any]]]]) -> list[str]:
    return [nonce_name(e["key_id"], e["timestamp_ns"], e["nonce"]) for _, events in messages for e in events]


def check_each_once(stage: Stage, sent: list[tuple[int, list[dict[str, Any]]]]) -> None:
    """Every nonce that was sent has been validated, at one place; repeats in the topic say the same."""
    by_nonce: dict[str, dict[str, Any]] = {}
    for order in stage.read("orders.validated"):
        assert by_nonce.setdefault(order["nonce"], order) == order
    assert sorted(by_nonce) == sorted(names(sent))


def check_replays_refused(stage: Stage, sent: list[tuple[int, list[dict[str, Any]]]], already: int = 0) -> None:
    """Everything once more, at other places: each is a repeat, and nothing is validated again."""
    before = len({order["nonce"] for order in stage.read("orders.validated")})
    stage.submit(sent)
    count = sum(len(events) for _, events in sent)
    rejections = stage.until("orders.rejected", lambda found: len({str(r["place"]) for r in found}) >= already + count)
    assert {rejection["code"] for rejection in rejections} == {"nonce_repeated"}
    assert len({order["nonce"] for order in stage.read("orders.validated")}) == before


def test_good_and_bad_orders_get_their_answers_in_the_firm_s_partition_and_the_stream_goes_on(stage: Stage) -> None:
    bad = stage.order(3, "c") | {"signature": "0" * 64}
    with stage.worker() as worker:
        stage.submit(
            [
                (1, [stage.order(1, "a")]),
                (3, b"\xff\xfe no JSON"),
                (3, [stage.order(3, "b"), bad, {"nonce": "nobody's"}]),
                (3, orjson.dumps(stage.order(3, "d"))),
            ]
        )
        validated = stage.until("orders.validated", lambda found: len(found) >= 3)
        (rejected,) = stage.until("orders.rejected", lambda found: found)
        letters = stage.until("dead-letters", lambda found: len(found) >= 2)
        worker.wait_idle()
        assert worker.stop() == 0
    assert sorted((order["account"], order["place"]["index"]) for order in validated) == [(1, 0), (3, 0), (3, 0)]
    assert (rejected["code"], rejected["place"]["index"]) == ("signature_invalid", 1)
    assert [letter["code"] for letter in letters] == ["undecodable", "schema_invalid"]
    assert base64.b64decode(letters[0]["value"]) == b"\xff\xfe no JSON"
    assert letters[1]["index"] == 2
    for topic in ("orders.validated", "orders.rejected"):
        for record in asyncio.run(read_messages(stage.kafka, stage.prefix, topic)):
            assert dict(record.headers)["schema"] == f"{topic}/1".encode()
            assert {e["place"]["partition"] for e in orjson.loads(record.value)} == {record.partition}
    assert {order["place"]["partition"] for order in validated} == {
        partition("orders.validated", firm) for firm in ("1", "3")
    }


def test_a_key_that_is_made_works_and_one_that_is_revoked_does_not_and_the_topic_tells_without_secrets(
    stage: Stage,
) -> None:
    path = stage.directory / "validation.held.json"

    def accepts() -> tuple[str, ...]:
        return {one.secret: one.accepts for one in held.read(path).holdings}.get("api_key/late", ())

    with stage.worker(held_file=path) as worker:
        worker.wait_ready()
        made = stage.keys.make("late", TRADE, account=5)
        stage.until("keys", lambda found: "late" in {event["key_id"] for event in found})
        worker.wait(lambda status: accepts() == (held.fingerprint(made.secret),))
        stage.submit([(5, [stage.order(5, "a", key=made)])])
        stage.until("orders.validated", lambda found: found)
        stage.keys.store.revoke("late")
        stage.until("keys", lambda found: [e for e in found if e["key_id"] == "late" and not e["live"]])
        stage.submit([(5, [stage.order(5, "b", key=made)])])
        (rejected,) = stage.until("orders.rejected", lambda found: found)
        worker.wait(lambda status: not accepts())
    assert rejected["code"] == "signature_invalid"
    fields = {name for name, *_ in load_topics()["keys"].data["events"][0]["fields"]}
    for record in asyncio.run(read_messages(stage.kafka, stage.prefix, "keys")):
        event = orjson.loads(record.value)
        assert event.keys() == fields
        assert record.key == event["key_id"].encode()
        assert made.secret.hex().encode() not in record.value


def test_killed_in_the_middle_of_a_load_everything_is_validated_once_and_replays_are_refused(stage: Stage) -> None:
    sent = stage.load("k")
    with stage.worker() as worker:
        worker.wait_ready()
        stage.submit(sent[: len(sent) // 2])
        stage.until("orders.validated", lambda found: len(found) >= 50)
        worker.kill()
        stage.submit(sent[len(sent) // 2 :])
        worker.start()
        worker.wait(lambda status: status["counters"].get("validated", 0) >= 50)
        worker.kill()
        worker.start()
        stage.until("orders.validated", lambda found: len({o["nonce"] for o in found}) >= MESSAGES * ORDERS * 8)
        check_each_once(stage, sent)
        check_replays_refused(stage, sent)
        worker.kill()
        worker.start()
        check_replays_refused(stage, sent[:80], already=MESSAGES * ORDERS * 8)
        check_each_once(stage, sent)


@pytest.mark.soak
def test_when_one_of_two_workers_dies_the_other_knows_its_nonces(stage: Stage) -> None:
    sent = stage.load("r")
    with stage.worker("one") as one, stage.worker("two") as two:
        for worker in (one, two):
            worker.wait_ready()
        stage.submit(sent[: len(sent) // 2])
        stage.until("orders.validated", lambda found: len(found) >= 50)
        one.kill()
        stage.submit(sent[len(sent) // 2 :])
        stage.until("orders.validated", lambda found: len({o["nonce"] for o in found}) >= MESSAGES * ORDERS * 8)
        check_each_once(stage, sent)
        check_replays_refused(stage, sent)
        two.wait_idle()
