"""The canary against a running engine and gateway."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from functions.canary import handler
from functions.canary.errors import AnswerWrong, GatewayRefused, GatewaySilent
from functions.common.errors import EventInvalid, SecretInvalid, SettingsInvalid
from functions.common.invoke import Context, invoke
from ironbook.cli._app import run as command
from tests.support.aws import Aws
from tests.support.gateway import Stack
from tests.support.node import wait_until


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("canary"), key_poll=50) as made:
        made.order("bob", "BUY", "0.1", "59000.00")
        made.order("carol", "SELL", "0.1", "61000.00")
        yield made


class World:
    """The settings of a canary, its secret, and what is told to people."""

    def __init__(self, aws: Aws, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack = stack
        self.secrets = aws.client("secretsmanager")
        self.secrets.create_secret(Name="canary", SecretString=self.value(stack.keys["alice"]))
        self.alerts = aws.topic()
        self.set = monkeypatch.setenv
        for name, text in (
            ("GATEWAY_URL", stack.url), ("KEY_SECRET", "canary"), ("SYMBOL", "BTCUSD"),
            ("METRICS_ENVIRONMENT", "test"), ("ALERTS_TOPIC_ARN", self.alerts.arn),
        ):  # fmt: skip
            self.set(f"IRONBOOK_FUNCTION_{name}", text)

    @staticmethod
    def value(secret: bytes, key_id: str = "alice") -> str:
        return json.dumps({"key_id": key_id, "secret": secret.hex()})

    def open_orders(self) -> list[str]:
        return [one["clientOrderId"] for one in self.stack.signed("alice", "GET", "/api/v3/openOrders")[1]]

    def told(self) -> list[str]:
        return [told["Subject"] for told in self.alerts.told()]


@pytest.fixture
def world(aws: Aws, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    yield World(aws, stack, monkeypatch)
    stack.signed("alice", "DELETE", "/api/v3/openOrders", symbol="BTCUSD")


def call(event: dict[str, Any] | None = None) -> dict[str, Any]:
    return handler.handle(event or {}, Context("canary"))


def test_an_order_is_placed_and_cancelled_and_its_times_are_metrics(world: World, capsys) -> None:
    answer = call()
    assert answer["price"] == "53100.00"
    assert answer["order_us"] > 0
    assert answer["cancel_us"] > 0
    assert world.open_orders() == []
    found = world.stack.signed("alice", "GET", "/api/v3/allOrders", symbol="BTCUSD")[1][-1]
    assert (found["clientOrderId"], found["status"]) == (answer["client_order_id"], "CANCELED")
    said = capsys.readouterr().out
    metrics = [json.loads(line) for line in said.splitlines() if '"_aws"' in line]
    assert [next(iter(one.keys() & {"CanarySuccess", "CanaryOrder", "CanaryCancel"})) for one in metrics] == [
        "CanarySuccess", "CanaryOrder", "CanaryCancel",
    ]  # fmt: skip
    assert world.stack.secret("alice") not in said
    assert world.told() == []


def test_what_an_earlier_call_left_behind_is_cancelled_and_nobody_elses(world: World) -> None:
    world.stack.order("alice", "BUY", "0.1", "50000.00", newClientOrderId="canary-left")
    world.stack.order("alice", "BUY", "0.1", "50000.00", newClientOrderId="mine")
    assert call()["leftovers"] == ["canary-left"]
    assert world.open_orders() == ["mine"]


def test_what_was_left_behind_in_another_symbol_is_cancelled_too(world: World) -> None:
    world.stack.order("alice", "BUY", "1", "2000.00", symbol="ETHUSD", newClientOrderId="canary-there")
    assert call()["leftovers"] == ["canary-there"]
    assert world.open_orders() == []


def test_a_market_that_is_halted_gets_no_order_and_is_told(world: World) -> None:
    world.stack.order("alice", "BUY", "0.1", "50000.00", newClientOrderId="canary-left")
    with world.stack.client() as admin:
        admin.halt(instrument=1)
    try:
        with pytest.raises(AnswerWrong, match="must be TRADING"):
            call()
        assert world.open_orders() == []
    finally:
        with world.stack.client() as admin:
            admin.resume(instrument=1)
    assert call()["leftovers"] == []


class Silly(http.server.BaseHTTPRequestHandler):
    """A gateway that answers everything with an empty list."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        pass


def test_an_answer_of_another_form_is_told_and_counted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silly) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        world.set("IRONBOOK_FUNCTION_GATEWAY_URL", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(AnswerWrong, match="must be an object, was a list"):
            call()
        server.shutdown()
    assert "Ironbook canary: answer_wrong" in world.told()
    assert '"CanarySuccess":[0.0]' in capsys.readouterr().out.replace(" ", "")


def test_an_alert_that_cannot_be_published_hides_no_failure(world: World) -> None:
    world.set("IRONBOOK_FUNCTION_ALERTS_TOPIC_ARN", "arn:aws:sns:eu-central-1:123456789012:nowhere")
    world.set("IRONBOOK_FUNCTION_GATEWAY_URL", "http://127.0.0.1:1")
    with pytest.raises(GatewaySilent):
        call()


def test_another_symbol_is_asked_for_by_the_event(world: World) -> None:
    world.stack.order("bob", "BUY", "1", "2900.00", symbol="ETHUSD")
    assert call({"symbol": "ETHUSD"})["price"] == "2610.00"
    for wrong in ({"symbol": "BTC/USD"}, {"symbol": 5}, {"other": 1}):
        with pytest.raises(EventInvalid):
            call(wrong)


def test_a_refused_order_is_an_error_an_alert_and_no_leftover(world: World) -> None:
    world.set("IRONBOOK_FUNCTION_KEY_SECRET", "poor")
    poor = world.stack.keys["poor"] = world.stack.node.keys().create_key("poor", permissions=7, account=77).secret
    world.secrets.create_secret(Name="poor", SecretString=World.value(poor, "poor"))
    wait_until(lambda: world.stack.signed("poor", "GET", "/api/v1/session")[0] != 401, why="the key is not seen")
    with pytest.raises(GatewayRefused) as refused:
        call()
    assert refused.value.gateway_code == -2010
    assert poor.hex() not in str(refused.value)
    assert "Ironbook canary: gateway_refused" in world.told()


def test_a_secret_that_changes_under_it_is_read_again(world: World) -> None:
    """It reads the old one; by the time it signs, only the new one is good."""
    from functions.canary.gateway import Gateway
    from functions.common.runtime import now_ns

    good = {"key_id": "alice", "secret": world.stack.keys["alice"].hex()}
    values = [{**good, "secret": "00" * 32}, good]
    line = Gateway(world.stack.url, "", 5000, lambda: values.pop(0), now_ns)
    assert line.signed("GET", "/api/v3/openOrders", symbol="BTCUSD") == []
    assert not values
    wrong = {**good, "secret": "00" * 32}
    with pytest.raises(GatewayRefused, match=r"answered 40[01]"):
        Gateway(world.stack.url, "", 5000, lambda: wrong, now_ns).signed("GET", "/api/v3/openOrders", symbol="BTCUSD")


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("GATEWAY_URL", "", SettingsInvalid),
        ("GATEWAY_URL", "http://127.0.0.1:1", GatewaySilent),
        ("KEY_SECRET", "none", SecretInvalid),
        ("AWAY_PPM", "0", SettingsInvalid),
        ("SYMBOL", "NOPE", (GatewayRefused, AnswerWrong)),
    ],
)
def test_what_is_missing_or_wrong_is_told_and_nothing_is_ordered(world: World, variable, value, error) -> None:
    world.set(f"IRONBOOK_FUNCTION_{variable}", value)
    with pytest.raises(error) as failed:
        call()
    assert failed.value.detail or failed.value.hint
    assert world.open_orders() == []


def test_the_command_line_invokes_it(world: World, capfd) -> None:
    assert command(["functions", "invoke", "canary", "--json"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert json.loads(lines[-1])["symbol"] == "BTCUSD"
    world.set("IRONBOOK_FUNCTION_GATEWAY_URL", "http://127.0.0.1:1")
    assert command(["functions", "invoke", "canary"]) == 1
    assert "the gateway must answer within the time" in capfd.readouterr().err
    with pytest.raises(EventInvalid):
        invoke("nothing", {})
