"""Figures of the gateway and of what it stands on are for operators and logins; a stranger learns whether it is up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.measures import Measures
from gateway.settings import GatewaySettings, SettingsInvalid, load
from tests.support.gateway import Stack
from tests.support.node import wait_until

OPERATOR = "192.0.2.7"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Asked through a proxy on loopback, which is no network of the operator's."""
    with Stack(
        tmp_path_factory.mktemp("measures"), measures_networks="192.0.2.0/24", trusted_proxies="127.0.0.1"
    ) as made:
        yield made


def ask(stack: Stack, path: str, **headers: str) -> tuple[int, Any]:
    """As a proxy or a browser asks."""
    return stack.exchange("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})[:2]


def cookie(stack: Stack, key_id: str) -> str:
    """That of a login."""
    query = f"timestamp={stack.timestamp_ms()}"
    signature = stack.sign_v1(key_id, "POST", "/api/v1/session", query, "{}")
    headers = {"X-MBX-APIKEY": key_id, "Content-Type": "application/json"}
    status, answer, told = stack.exchange("POST", f"/api/v1/session?{query}&signature={signature}", "{}", headers)
    assert status == 201, answer
    return told["set-cookie"].partition(";")[0]


@pytest.mark.parametrize("path", ["/health", "/api/v1/health"])
def test_a_stranger_learns_that_it_is_up_and_of_no_part(stack: Stack, path: str) -> None:
    for headers in ({}, {"x_forwarded_for": "198.51.100.9"}, {"cookie": "ironbook_session=" + "A" * 80}):
        status, answer = ask(stack, path, **headers)
        assert (status, answer["status"], answer["parts"]) == (200, "up", [])


def test_a_stranger_is_refused_the_metrics(stack: Stack) -> None:
    status, answer = ask(stack, "/metrics")
    assert (status, answer["error"]["code"]) == (403, "measures_hidden")
    assert "IRONBOOK_GATEWAY_MEASURES_NETWORKS" in answer["error"]["hint"]


def test_the_operators_networks_are_shown_all(stack: Stack) -> None:
    assert {"gateway", "engine", "replica"} <= {one["name"] for one in ask_parts(stack, x_forwarded_for=OPERATOR)}
    status, text = ask(stack, "/metrics", x_forwarded_for=OPERATOR)
    assert status == 200
    assert b'part_up{part="engine"} 1' in text


def test_a_login_is_shown_all(stack: Stack) -> None:
    sent = cookie(stack, "alice")
    assert {"gateway", "engine", "replica"} <= {one["name"] for one in ask_parts(stack, cookie=sent)}
    assert ask(stack, "/metrics", cookie=sent)[0] == 200


def ask_parts(stack: Stack, **headers: str) -> list[dict[str, Any]]:
    """Parts of /health."""
    status, answer = ask(stack, "/health", **headers)
    assert status == 200
    found: list[dict[str, Any]] = answer["parts"]
    return found


def test_a_balancer_learns_that_it_is_not_ready_and_only_an_operator_why(stack: Stack) -> None:
    stack.node.stop()
    try:
        wait_until(lambda: ask(stack, "/ready")[0] == 503)
        status, answer = ask(stack, "/ready")
        assert (status, answer["ready"], answer["waits_for"]) == (503, False, ["engine"])
        [why] = ask(stack, "/ready", x_forwarded_for=OPERATOR)[1]["waits_for"]
        assert why.startswith("engine: ")
        assert ask(stack, "/health")[1]["status"] == "down"
    finally:
        stack.node.start()
        wait_until(lambda: ask(stack, "/ready")[0] == 200)


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("127.0.0.1", True), ("::1", True), ("10.9.8.7", True), ("172.31.0.1", True), ("192.168.1.1", True),
        ("fd00::1", True), ("172.32.0.1", False), ("8.8.8.8", False), ("2001:db8::1", False), ("nobody", False),
    ],
)  # fmt: skip
def test_unless_told_otherwise_loopback_and_private_networks_are_near(address: str, near: bool) -> None:
    assert Measures(load({}), sessions=None).near(address) is near  # type: ignore[arg-type]


def test_no_network_is_near_where_none_is_named_and_a_wrong_one_stops_the_start() -> None:
    nobody = Measures(GatewaySettings(measures_networks=""), sessions=None)  # type: ignore[arg-type]
    assert not nobody.near("127.0.0.1")
    with pytest.raises(SettingsInvalid, match="measures_networks must be networks"):
        Measures(GatewaySettings(measures_networks="10.0.0.0/33"), sessions=None)  # type: ignore[arg-type]
