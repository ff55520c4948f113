"""The worker of risk on a real broker: answers, limits by signed envelopes, and one answer an order through kill -9."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from ironbook import Key
from schemas.topics import load_topics
from streams.risk.rules import RiskState, Told
from tests.streams.risk.stage import Stage
from tests.streams.support import ACCOUNTS, read_messages, submit
from tests.support.topics import partition, writing

WINDOW_NS, MARGIN_NS = 300 * 10**9, 60 * 10**9
MESSAGES, ORDERS = 30, 10  # of each firm, of each message
LIMITS = {"gross_exposure_units": 850_000, "net_exposure_units": 450_000}

pytestmark = pytest.mark.timeout(300)  # several starts of a worker each, on a machine that may be busy


@pytest.fixture
def stage(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Stage]:
    return Stage(kafka, topic_prefix, tmp_path)


def check_shape(stage: Stage, *topics: str) -> None:
    """Messages carry their schema, stand in their firm's partition and have the fields of the contract."""
    for topic in topics:
        (told,) = (load_topics()[load_topics()[topic].data.get("same_as", topic)].data["events"],)
        names = {name.rstrip("?"): name.endswith("?") for name, *_ in told[0]["fields"]}
        for record in asyncio.run(read_messages(stage.kafka, stage.prefix, topic)):
            assert dict(record.headers)["schema"] == f"{topic}/1".encode()
            events = orjson.loads(record.value)
            for event in events if isinstance(events, list) else [events]:
                assert event.keys() <= {*names, "type"}, event
                assert {name for name, optional in names.items() if not optional} <= event.keys(), event
                assert partition(topic, str(event["firm"])) == record.partition


def test_limits_change_while_it_runs_and_only_by_an_admin_s_signature(stage: Stage) -> None:
    with stage.worker() as worker:
        worker.wait_ready()
        stage.send([stage.order(1, 1000)])
        stage.until("orders.accepted")
        stage.limit({"gross_exposure_units": 200_000})
        stage.limit({}, key=stage.trader)
        stage.limit({}, key=Key(key_id="boss", secret=bytes(32)))
        stage.limit({"weather": 1})
        audits = stage.until("risk.audit", 4)
        small, large = stage.order(1, 1000), stage.order(1, 1001)
        stage.send([large, small])
        accepted, rejected = stage.until("orders.accepted", 2), stage.until("orders.rejected")
        stage.until("risk.alerts")
        worker.wait_idle()
        assert worker.stop() == 0
    assert [(audit["who"], audit["what"], audit.get("code")) for audit in audits] == [
        ("boss", "limits_changed", None),
        ("trader", "limits_refused", "kind_forbidden"),
        ("boss", "limits_refused", "signature_invalid"),
        ("boss", "limits_refused", "schema_invalid"),
    ]
    assert accepted[1] == small
    assert [(event["code"], event["nonce"]) for event in rejected] == [("gross_exposure_exceeded", large["nonce"])]
    check_shape(stage, "orders.accepted", "orders.rejected", "risk.audit", "risk.alerts")


@pytest.mark.soak
def test_a_restart_goes_on_with_positions_reservations_limits_and_answers(stage: Stage) -> None:
    first, again = stage.order(1, 500), stage.order(1, 501)
    with stage.worker() as worker:
        worker.wait_ready()
        stage.limit({"gross_exposure_units": 100_000})
        stage.until("risk.audit")
        stage.buy(1000, 50)
        worker.wait(lambda status: status["counters"].get("messages", 0) >= 2)
        worker.wait_idle()
        stage.send([first, again])
        stage.until("orders.rejected")
        worker.wait_idle()
        worker.kill()
        worker.start()
        worker.wait_ready()
        stage.send([again, first, stage.order(1, 1)])
        rejected = stage.until("orders.rejected", 3)
        worker.wait_idle()
        assert worker.stop() == 0
    assert [event["nonce"] for event in rejected][:2] == [again["nonce"]] * 2
    assert rejected[0] == rejected[1]
    assert rejected[2]["code"] == "gross_exposure_exceeded"
    assert {order["nonce"] for order in stage.read("orders.accepted")} == {first["nonce"]}


def test_a_loss_by_a_price_alone_is_told_once_with_what_is_to_be_done(stage: Stage) -> None:
    with stage.worker() as worker:
        worker.wait_ready()
        stage.limit({"daily_loss_units": 9_999, "actions": {"daily_loss": "halt"}})
        stage.until("risk.audit")
        stage.buy(1000, 50)
        worker.wait(lambda status: status["counters"].get("messages", 0) >= 2)
        stage.price(40)
        (alert,) = stage.until("risk.alerts")
        (action,) = stage.until("risk.actions")
        stage.send([stage.order(1)])
        (rejected,) = stage.until("orders.rejected")
        worker.wait_idle()
        assert worker.stop() == 0
    assert (alert["code"], alert["action"], alert["found"]) == ("daily_loss_exceeded", "halt", 10_000)
    assert (action["kind"], action["account"]) == ("halt", 1)
    assert rejected["code"] == "account_halted"
    check_shape(stage, "risk.alerts", "risk.actions")


@pytest.mark.soak
def test_a_mark_that_a_worker_wrote_after_it_lost_the_partition_makes_nobody_miss_an_order(stage: Stage) -> None:
    number = partition("orders.validated", "1")
    with stage.worker() as worker:
        worker.wait_ready()
        stage.send([stage.order(1)])
        stage.until("orders.accepted")
        worker.wait_idle()
        worker.kill()
        key, changelog = orjson.dumps(f"{number}:@orders.validated"), "ironbook-risk-desks-changelog"
        asyncio.run(write_raw(stage, changelog, number, key, orjson.dumps(2)))
        missed = stage.order(1)
        stage.send([missed])
        worker.start()
        stage.until("orders.accepted", 2)
        assert worker.stop() == 0
    assert missed["nonce"] in {order["nonce"] for order in stage.read("orders.accepted")}


async def write_raw(stage: Stage, topic: str, number: int, key: bytes, value: bytes) -> None:
    async with writing(stage.kafka, stage.prefix) as writer:
        await writer.send_raw(topic, number, value, key)


def answers(stage: Stage) -> dict[str, str]:
    """What was said of each order; it must be one thing, however often."""
    found: dict[str, set[str]] = {}
    for order in stage.read("orders.accepted"):
        found.setdefault(order["nonce"], set()).add("")
    for event in stage.read("orders.rejected"):
        found.setdefault(event["nonce"], set()).add(event["code"])
    assert all(len(said) == 1 for said in found.values())
    return {nonce: said.pop() for nonce, said in found.items()}


def uninterrupted(stage: Stage, limits: dict[str, Any]) -> dict[str, str]:
    """The pure rules over the same messages, partition by partition."""
    found: dict[str, str] = {}
    states: dict[int, RiskState] = {}
    for record in asyncio.run(read_messages(stage.kafka, stage.prefix, "orders.validated")):
        state = states.get(record.partition)
        if state is None:
            state = states[record.partition] = RiskState(WINDOW_NS, MARGIN_NS)
            state.learn({"instruments": {"BTC/USD": [1, "USD", 0]}}, Told())
            for firm in ACCOUNTS:
                change = {"place": f"{firm}", "who": "boss", "firm": firm, "account": firm, "code": "", "resume": False}
                state.change(change | {"limits": limits}, 0, Told())
        told = Told()
        state.orders(orjson.loads(record.value), record.timestamp * 1_000_000, told)
        found |= {order["nonce"]: "" for order in told.passed}
        found |= {event["nonce"]: event["code"] for event in told.refused}
    return found


def load(stage: Stage, seed: int) -> list[tuple[int, list[dict[str, Any]]]]:
    """Messages of all firms in turn."""
    chance = random.Random(seed)

    def message(firm: int) -> list[dict[str, Any]]:
        return [stage.order(firm, chance.randint(1, 300), side=chance.choice(("buy", "sell"))) for _ in range(ORDERS)]

    return [(firm, message(firm)) for _ in range(MESSAGES) for firm in ACCOUNTS]


def check_answers(stage: Stage, messages: list[tuple[int, list[dict[str, Any]]]]) -> None:
    """Every order has one answer, that of an uninterrupted run."""
    found = answers(stage)
    assert len(found) == sum(len(orders) for _, orders in messages)
    assert found == uninterrupted(stage, LIMITS)
    assert set(found.values()) == {"", "gross_exposure_exceeded", "net_exposure_exceeded"}


def test_killed_in_the_middle_of_a_load_every_order_has_the_answer_of_an_uninterrupted_run(stage: Stage) -> None:
    messages = load(stage, 7)
    with stage.worker() as worker:
        worker.wait_ready()
        for firm in ACCOUNTS:
            stage.limit(LIMITS, firm)
        stage.until("risk.audit", len(ACCOUNTS))
        asyncio.run(submit(stage.kafka, stage.prefix, "orders.validated", messages[: len(messages) // 3]))
        stage.until("orders.accepted", 20)
        for part in (1, 2):
            worker.kill()
            share = messages[part * len(messages) // 3 : (part + 1) * len(messages) // 3]
            asyncio.run(submit(stage.kafka, stage.prefix, "orders.validated", share))
            worker.start()
            worker.wait(lambda status: status["counters"].get("passed", 0) > 0)
        worker.kill()
        worker.start()
        worker.wait_idle()
        assert worker.stop() == 0
    check_answers(stage, messages)


@pytest.mark.soak
def test_a_survivor_takes_over_the_firms_of_a_killed_worker_with_all_that_they_hold(stage: Stage) -> None:
    messages = load(stage, 8)
    half = len(messages) // 2
    with stage.worker("one") as one, stage.worker("two") as two:
        one.wait_ready()
        two.wait_ready()
        for firm in ACCOUNTS:
            stage.limit(LIMITS, firm)
        stage.until("risk.audit", len(ACCOUNTS))
        asyncio.run(submit(stage.kafka, stage.prefix, "orders.validated", messages[:half]))
        stage.until("orders.accepted", 20)
        one.kill()
        asyncio.run(submit(stage.kafka, stage.prefix, "orders.validated", messages[half:]))
        count = sum(len(orders) for _, orders in messages)
        until_s = time.monotonic() + 120
        while len(answers(stage)) < count:
            assert time.monotonic() < until_s, two.log()
            time.sleep(0.5)
        two.wait_idle()
        assert two.stop() == 0
    check_answers(stage, messages)
