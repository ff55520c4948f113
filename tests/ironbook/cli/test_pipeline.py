"""`ironbook up --kafka`: a signed order on a topic becomes a fill, a position and rows; helpers are started again."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import signal
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine_node import settings as engine_settings
from ironbook import Key, envelope
from ironbook._secrets import write_secret
from ironbook.cli._app import run, with_local_kafka
from ironbook.cli._children import Child, Children
from ironbook.cli._pipeline import Full
from ironbook.cli._place import client_key_path
from ironbook.subscribe import Subscription, events
from streams.common import settings as stream_settings
from tests.ironbook.cli.conftest import Up
from tests.support.node import wait_until
from tests.support.services import delete_topics
from tests.support.topics import partition, writing

pytestmark = pytest.mark.timeout(400)  # servers and workers start on whatever the machine leaves them
START_S = 150.0


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("IRONBOOK_") and "TEST" not in name]:
        monkeypatch.delenv(name)


@pytest.fixture
def pipeline(tmp_path: Path, kafka: str, topic_prefix: str, postgres_url: str) -> Iterator[Path]:
    """The data directory of a running `ironbook up --kafka`."""
    data = tmp_path / "data"
    place = ("--kafka", kafka, "--prefix", topic_prefix, "--database", postgres_url)
    up = Up(data, "--json", "--level", "process", "--http", "127.0.0.1:0", *place)
    try:
        said = orjson.loads(up.first_line())
        assert said.get("ready"), said
        assert sorted(said["workers"]) == ["analytics", "risk", "submitter", "validation"]
        yield data
    finally:
        code, _, err = up.stop()
    assert code == 0, err
    assert not (data / "pipeline.json").exists()
    for pid in said["workers"].values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def submit(kafka: str, prefix: str, data: Path, account: int, side: str, quantity: str) -> None:
    """A signed order of a demo trader on the topic."""
    key = Key.from_file(client_key_path(data, f"demo-{account}"))
    body = {"action": "new", "account": account, "symbol": "BTC/USD", "side": side, "price": "60000.00"}
    body |= {"quantity": quantity}
    signed = envelope.sign_order(key, body, timestamp_ns=time.time_ns(), nonce=uuid.uuid4().hex)
    async with writing(kafka, prefix) as writer:
        at = partition("orders.submitted", str(account))
        await writer.send_raw("orders.submitted", at, json.dumps(signed).encode(), schema=b"orders.submitted/1")


async def put_bytes(kafka: str, prefix: str, value: bytes) -> None:
    """Bytes that are no order, on the topic of orders."""
    async with writing(kafka, prefix) as writer:
        await writer.send_raw("orders.submitted", 0, value)


def lines(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[Any]:
    """What a command says with --json; nothing if it fails."""
    capsys.readouterr()
    code = run([*map(str, arguments), "--json"])
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return said if code == 0 else []


def over_http(data: Path, key_id: str, path: str) -> Any:
    """What the gateway of the data directory answers to a signed question."""
    key = Key.from_file(client_key_path(data, key_id))
    query = f"timestamp={time.time_ns() // 1_000_000}"
    signed = f"GET {path}?{query}"
    signature = hmac.new(key.secret.hex().encode(), signed.encode(), hashlib.sha256).hexdigest()
    url = json.loads((data / "gateway.json").read_bytes())["url"]
    request = urllib.request.Request(f"{url}{path}?{query}&signature={signature}", headers={"X-MBX-APIKEY": key_id})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def test_a_signed_order_on_a_topic_becomes_a_fill_a_position_and_rows(
    pipeline: Path, kafka: str, topic_prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def trade() -> tuple[list[Any], list[Any]]:
        async with (
            Subscription(kafka, "executions", prefix=topic_prefix) as executions,
            Subscription(kafka, "orders.rejected", prefix=topic_prefix) as rejected,
        ):
            await submit(kafka, topic_prefix, pipeline, 1, "sell", "0.5")
            await submit(kafka, topic_prefix, pipeline, 2, "buy", "0.2")
            await submit(kafka, topic_prefix, pipeline, 2, "buy", "NaN")
            found: list[Any] = []
            async with asyncio.timeout(60):
                async for item in executions:
                    found.append(item)
                    if sum(isinstance(one, events.Filled) for one in found) == 2:
                        break
                refused = [await anext(rejected)]
            return found, refused

    found, [refused] = asyncio.run(trade())
    accepted = [item for item in found if isinstance(item, events.Accepted)]
    assert {(item.account, item.quantity_lots) for item in accepted} == {(1, 5000), (2, 2000)}
    assert all(item.nonce is not None for item in accepted)
    filled = {item.account: item.quantity for item in found if isinstance(item, events.Filled)}
    assert filled == {1: "0.2000", 2: "0.2000"}
    assert (refused.account, refused.code) == (2, "number_invalid")

    place = ("--data", pipeline)
    rows = wait_until(lambda: lines(capsys, "positions", *place), 60, "no positions in Postgres")
    assert {row["account"]: row["position"] for row in rows} == {1: "-0.2000", 2: "0.2000"}
    [day] = lines(capsys, "candles", "BTC/USD", "--interval", "1d", *place)
    assert (day["volume"], day["trade_count"]) == ("0.2000", 1)
    watched = lines(capsys, "watch", "positions", "--past", "--count", "2", "--seconds", "30", *place)
    assert {event["account"]: event["position_lots"] for event in watched} == {1: -2000, 2: 2000}
    asyncio.run(put_bytes(kafka, topic_prefix, b"\xff\xfe no order"))
    [letter] = wait_until(lambda: lines(capsys, "dead-letters", "list", *place), 60, "no dead letter")
    assert (letter["worker"], letter["code"], letter["topic"]) == ("validation", "undecodable", "orders.submitted")
    assert lines(capsys, "dead-letters", "show", letter["number"], *place)[0]["hex"] == b"\xff\xfe no order".hex()
    [put_back] = lines(capsys, "dead-letters", "replay", letter["number"], "--yes", *place)
    wait_until(lambda: len(lines(capsys, "dead-letters", "list", *place)) == 2, 60, "what went back was not read")
    again = lines(capsys, "dead-letters", "list", *place)[1]
    assert (again["partition"], again["offset"]) == (put_back["partition"], put_back["offset"])

    letters = over_http(pipeline, "admin", "/api/v1/dead-letters")["items"]
    assert {one["code"] for one in letters} == {"undecodable"}
    [position] = over_http(pipeline, "demo-1", "/api/v1/positions")["items"]
    assert (position["symbol"], position["position"]) == ("BTC/USD", "-0.2000")
    parts = {one["name"]: one["status"] for one in over_http(pipeline, "demo-1", "/health")["parts"]}
    assert [parts[name] for name in ("validation", "risk", "submitter", "analytics")] == ["up"] * 4

    workers = wait_until(lambda: lines(capsys, "workers", *place), 60, "not all workers are ready")
    assert {one["name"] for one in workers} == {"publisher", "validation", "risk", "submitter", "analytics"}


def test_brokers_that_are_not_there_end_the_start_and_leave_nothing_running(tmp_path: Path, postgres_url: str) -> None:
    up = Up(tmp_path / "data", "--json", "--kafka", "127.0.0.1:1", "--database", postgres_url)
    code, out, err = up.end()
    assert code == 4, err
    assert "Kafka must answer" in json.loads(out)["message"]
    assert not (tmp_path / "data" / "engine.json").exists()


def test_engine_and_workers_are_told_of_brokers_login_and_keys_in_settings_that_they_take(tmp_path: Path) -> None:
    login = tmp_path / "login.json"
    login.write_text(json.dumps({"username": "operator", "password": "a secret", "mechanism": "SCRAM-SHA-256"}))
    login.chmod(0o600)
    data = tmp_path / "data"
    full = Full(data, "kafka-1:9092,kafka-2:9092", "dev.", login, None, lambda text: None)
    write_secret(data / "database-url", "postgresql://ironbook:word@db/ironbook")
    variables = full.engine_variables()
    engine = engine_settings.load(environment=variables | {"IRONBOOK_ENGINE_DATA_DIRECTORY": str(data)})
    assert (engine.kafka_bootstrap, engine.kafka_topic_prefix) == ("kafka-1:9092,kafka-2:9092", "dev.")
    assert (engine.kafka_security, engine.kafka_username) == ("sasl_plaintext", "operator")
    assert engine.kafka_sasl_mechanism == "SCRAM-SHA-256"
    assert Path(engine.kafka_password_file).read_text().strip() == "a secret"
    for worker, key in (("submitter", "submitter.json"), ("risk", "risk.json"), ("analytics", "")):
        given = full.worker_variables(worker, "127.0.0.1:7400")
        assert "a secret" not in given.values()
        settings = stream_settings.load(given)
        assert (settings.brokers, settings.topic_prefix) == (["kafka-1:9092", "kafka-2:9092"], "dev.")
        assert (settings.username, settings.password, settings.sasl_mechanism) == (
            "operator", "a secret", "SCRAM-SHA-256",
        )  # fmt: skip
        assert settings.database_url == "postgresql://ironbook:word@db/ironbook"
        assert Path(settings.engine_key).name == key
        assert (settings.engine, Path(settings.key_file).parent) == ("127.0.0.1:7400", data)


def test_the_demo_reconciles(kafka: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["demo", "--kafka", kafka, "--orders", "300", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (code, said.get("reconciles")) == (0, True), said
    assert said["totals"]["signed orders answered"] == 200
    assert said["topics"]["executions"] > said["totals"]["fills"] > 0
    assert said["topics"]["dead-letters"] == 0
    prefix = said["prefix"]
    assert prefix.startswith("demo-")
    delete_topics(kafka, prefix)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["up", "--kafka"], ["up", "--kafka", "local"]),
        (["demo", "--kafka", "--json"], ["demo", "--kafka", "local", "--json"]),
        (["up", "--kafka", "here:1", "--json"], ["up", "--kafka", "here:1", "--json"]),
        (["up", "--kafka=here:1"], ["up", "--kafka=here:1"]),
        (["watch", "trades", "--kafka"], ["watch", "trades", "--kafka"]),
        ([], []),
    ],
)
def test_kafka_without_an_address_is_one_of_this_machine(given: list[str], meant: list[str]) -> None:
    assert with_local_kafka(given) == meant


@pytest.mark.soak
def test_a_helper_that_is_killed_is_started_again_and_all_end_within_the_bound(tmp_path: Path) -> None:
    told: list[str] = []
    children = Children(told.append)
    steady = Child("steady", "http.server", ["--bind", "127.0.0.1", "0"], os.environ, tmp_path / "steady.log")
    wrong = Child("wrong", "there_is_no_such_module", [], os.environ, tmp_path / "wrong.log")
    children.add(steady)
    children.add(wrong)
    children.start()
    try:
        first = wait_until(lambda: steady.pid)
        os.kill(first, signal.SIGKILL)
        again = wait_until(lambda: steady.pid not in (None, first) and steady.pid)
        wait_until(lambda: wrong.restart_count > 1)
    finally:
        children.stop(10.0)
    assert any("steady ended with status -9 and is started again" in line for line in told)
    assert "there_is_no_such_module" in (tmp_path / "wrong.log").read_text()
    with pytest.raises(ProcessLookupError):
        os.kill(again, 0)
