"""Whatever the OpenAPI document allows, and what it does not, is answered as the document says.

schemathesis makes requests for every operation of both dialects from the document that the server's own table of routes
gives; they go, signed by hand here, unsigned, and with a cookie of nobody, to a running stack. No answer may be a
server's error; status, media type and body are those that the document names; what breaks a rule of the document is
refused, and what is allowed in form is refused only for what it says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus, urlsplit, urlunsplit

import jsonschema
import msgspec
import pytest
import requests
import schemathesis
from schemathesis.checks import CHECKS, CheckFunction, load_all_checks
from schemathesis.config import SchemathesisConfig

from gateway import errors, server
from gateway.openapi import SIGNED_PARAMETERS
from gateway.routing import Access, Route
from schemas.vocabulary import Permission
from tests.support.gateway import Stack
from tests.support.services import create_database, drop_database

RESERVED = {(route.method, route.path) for route in server.ROUTES if route.status == errors.RESERVED.status}
LONG = bool(os.environ.get("IRONBOOK_SOAK"))
TIMEOUT_S = 20
SIGNING = frozenset(("timestamp", "signature", "recvWindow"))
ACCESS = {(route.method, route.path): route.access for route in server.ROUTES}
load_all_checks()
# A symbol that fits its pattern may name no instrument: allowed in form is not yet good.
LEFT_OUT = ("positive_data_acceptance", "ignored_auth", "ensure_resource_availability", "use_after_free")
CHECKED: list[CheckFunction] = [check for check in CHECKS.get_all() if check.__name__ not in LEFT_OUT]


DOCUMENT: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(server.document()))


def document() -> dict[str, Any]:
    """What is served, without what signing adds by itself, and without tuples, which schemathesis misreads."""
    found: dict[str, Any] = _without_tuples(DOCUMENT)
    names = {one["name"] for one in SIGNED_PARAMETERS}
    for path in found["paths"].values():
        for operation in path.values():
            operation["parameters"] = [one for one in operation["parameters"] if one["name"] not in names]
    return found


REFUSED = ["400", "401", "404", "405", "409", "413", "414", "415", "431"]


def _without_tuples(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_tuples(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    left_out = ("prefixItems", "items") if "prefixItems" in schema else ()
    return {name: _without_tuples(one) for name, one in schema.items() if name not in left_out}


CONFIG = SchemathesisConfig.from_dict(
    {
        "generation": {
            "max-examples": 60 if LONG else 6,
            "deterministic": not LONG,
            "with-security-parameters": False,
            "database": "none",
        },
        "checks": {"negative_data_rejection": {"expected-statuses": REFUSED}},
    }
)
schema = schemathesis.openapi.from_dict(document(), config=CONFIG)


class Signed(requests.auth.AuthBase):
    """Signs the very bytes that will be sent; whatever of signing was made up goes."""

    def __init__(self, stack: Stack, key_id: str) -> None:
        self.stack, self.key_id = stack, key_id

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        assert request.url is not None
        parts = urlsplit(request.url)
        pairs = [one for one in parts.query.split("&") if one and unquote_plus(one.partition("=")[0]) not in SIGNING]
        query = "&".join([*pairs, f"timestamp={self.stack.timestamp_ms()}"])
        body = request.body or b""
        text = body.decode("latin-1") if isinstance(body, bytes) else body
        if parts.path.startswith("/api/v1/"):
            signature = self.stack.sign_v1(self.key_id, str(request.method), parts.path, query, text)
        else:
            signature = self.stack.sign(self.key_id, query, text)
        request.url = urlunsplit(parts._replace(query=f"{query}&signature={signature}"))
        request.headers["X-MBX-APIKEY"] = self.key_id
        return request


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[Stack]:
    url = create_database(postgres_server)
    many = 1 << 20
    try:
        with Stack(
            tmp_path_factory.mktemp("conformance"), database=url, bad_signatures_max=many, ban_after=many
        ) as running:
            running.keys["blind"] = running.node.make_key("blind", int(Permission.TRADE), 4)
            for key_id, side in (("alice", "SELL"), ("bob", "BUY")):
                running.order(key_id, side, "0.5", "60000")
                running.order(key_id, side, "0.2", "60100" if side == "SELL" else "59900")
            yield running
    finally:
        drop_database(url, postgres_server)


@pytest.fixture(scope="module")
def line() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def ask(case: schemathesis.Case, stack: Stack, line: requests.Session) -> schemathesis.Response:
    """The case as a request, signed if its operation wants it. Nothing of one call is left for the next."""
    access = ACCESS.get((case.method, case.path), Access.OPEN)
    signer = None if access is Access.OPEN else Signed(stack, "admin" if access is Access.ADMIN else "alice")
    line.cookies.clear()
    return case.call(base_url=stack.url, session=line, auth=signer, timeout=TIMEOUT_S)


@schema.parametrize()
def test_every_operation_answers_as_its_document_says(
    case: schemathesis.Case, stack: Stack, line: requests.Session
) -> None:
    response = ask(case, stack, line)
    left_out = []
    if response.status_code == 414:  # a target that is too long is refused before anybody looks at the method
        left_out.append(CHECKS.get_one("unsupported_method"))
    if response.status_code == 501 and (case.method, case.path) in RESERVED:  # which is its good answer
        left_out.append(CHECKS.get_one("not_a_server_error"))
    case.validate_response(response, checks=CHECKED, excluded_checks=left_out)


# ---- Answers to requests that go through -----------------------------------------------------------------------------


class Caller:
    """Asks for operations by name, and holds each answer against the document."""

    def __init__(self, stack: Stack, line: requests.Session) -> None:
        self.stack, self.line = stack, line

    def __call__(
        self, method: str, path: str, query: dict[str, Any] | None = None, json: Any = None, **parts: Any
    ) -> Any:
        case = schema[path][method].Case(
            method=method, path_parameters=parts, query=query or {},
            **({} if json is None else {"body": json, "media_type": "application/json"}),
        )  # fmt: skip
        response = ask(case, self.stack, self.line)
        assert response.status_code == 200, (method, path, response.text)
        case.validate_response(response, checks=CHECKED)
        answer = response.json()
        self.hold(method, path, answer)
        return answer

    def hold(self, method: str, path: str, answer: Any) -> None:
        """The answer against its schema in the document itself, tuples and all."""
        operation = DOCUMENT["paths"][path][method.lower()]
        wanted = operation["responses"]["200"]["content"]["application/json"]["schema"]
        whole = wanted | {"components": DOCUMENT["components"]}
        jsonschema.validate(answer, whole, jsonschema.Draft202012Validator)


@pytest.fixture
def call(stack: Stack, line: requests.Session) -> Caller:
    return Caller(stack, line)


def test_an_orders_life_is_as_the_document_says_under_api_v1(call: Caller) -> None:
    body = {"symbol": "BTC/USD", "side": "buy", "price": "58000", "quantity": "0.1", "client_order_id": "life-1"}
    order = call("POST", "/api/v1/orders", json=body)["order"]
    assert call("GET", "/api/v1/orders")["items"]
    assert call("GET", "/api/v1/orders", {"status": "all", "limit": 1})["next"]
    call("GET", "/api/v1/orders/{order_id}", order_id=order["order_id"])
    call("PATCH", "/api/v1/orders/{order_id}", json={"quantity": "0.05"}, order_id=order["order_id"])
    call("DELETE", "/api/v1/orders/{order_id}", order_id=order["order_id"])
    call("DELETE", "/api/v1/orders", {"symbol": "BTCUSD"})


def test_an_orders_life_is_as_the_document_says_in_the_binance_dialect(call: Caller) -> None:
    limit = {"symbol": "BTCUSD", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    limit |= {"price": "58000", "quantity": "0.1"}
    order = call("POST", "/api/v3/order", limit)
    named = {"symbol": "BTCUSD", "orderId": order["orderId"]}
    call("GET", "/api/v3/order", named)
    assert call("GET", "/api/v3/openOrders", {"symbol": "BTCUSD"})
    call("PUT", "/api/v3/order/amend/keepPriority", named | {"newQty": "0.05"})
    replaced = {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": order["orderId"]}
    order = call("POST", "/api/v3/order/cancelReplace", limit | replaced)["newOrderResponse"]
    call("DELETE", "/api/v3/order", {"symbol": "BTCUSD", "orderId": order["orderId"]})
    for kind in ("ACK", "RESULT", "FULL"):
        call("POST", "/api/v3/order", limit | {"newOrderRespType": kind})
    call("POST", "/api/v3/order/test", limit)
    call("DELETE", "/api/v3/openOrders", {"symbol": "BTCUSD"})
    call("POST", "/api/v3/order", {"symbol": "BTCUSD", "side": "BUY", "type": "MARKET", "quantity": "0.01"})
    assert call("GET", "/api/v3/myTrades", {"symbol": "BTCUSD"})
    assert call("GET", "/api/v3/allOrders", {"symbol": "BTCUSD"})
    call("GET", "/api/v3/account")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/positions", "/api/v1/balances", "/api/v1/executions", "/api/v1/pnl", "/api/v1/pnl/daily",
        "/api/v1/portfolio", "/api/v1/analytics", "/api/v1/analytics/daily-pnl", "/api/v1/risk", "/api/v1/risk/alerts",
        "/api/v1/audit", "/api/v1/instruments", "/health", "/ready", "/live",
    ],
)  # fmt: skip
def test_what_is_read_is_as_the_document_says(call: Caller, path: str) -> None:
    assert call("GET", path)


@pytest.mark.parametrize("path", ["depth", "trades", "aggTrades", "klines", "ticker/24hr", "ticker/bookTicker"])
def test_market_data_of_a_symbol_that_trades_is_as_the_document_says(call: Caller, path: str) -> None:
    more = {"interval": "1m"} if path == "klines" else {}
    assert call("GET", f"/api/v3/{path}", {"symbol": "BTCUSD"} | more)


def test_what_is_reserved_says_so_to_whoever_may_read(stack: Stack) -> None:
    assert sorted(RESERVED) == [("GET", "/api/v1/backtests"), ("POST", "/api/v1/backtests")]
    for method, path in sorted(RESERVED):
        status, answer = stack.signed("alice", method, path)
        assert (status, answer["error"]["code"]) == (501, "reserved"), (method, path, answer)
        assert answer["error"]["message"] == errors.RESERVED.text
        assert "ironbook tape" in answer["error"]["hint"]
        operation = DOCUMENT["paths"][path][method.lower()]
        assert "not part of this release" in operation["summary"]
        assert not [told for told in operation["responses"] if told < "400"]


def test_metrics_are_text_that_names_each_group_and_part(stack: Stack) -> None:
    status, text, headers = stack.exchange("GET", "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'part_up{part="database"} 1' in text
    assert b'requests_total{group="trading",status="200"}' in text
    assert b"http_requests_total" in text


# ---- Who may ---------------------------------------------------------------------------------------------------------

SECURED = [route for route in server.ROUTES if route.access in (Access.READ, Access.TRADE, Access.CANCEL, Access.ADMIN)]


REFUSED_V1 = ("key_format", "key_refused", "signature", "parameter_missing", "unauthorized")


@pytest.mark.parametrize("route", SECURED, ids=lambda route: f"{route.method} {route.path}")
def test_without_a_good_signature_nothing_is_done(route: Route, stack: Stack) -> None:
    path = re.sub(r"{\w+}", "1", route.path)
    query = f"timestamp={stack.timestamp_ms()}"
    signature = stack.sign("bob", query)
    tries = [
        ("", {}),
        (f"?{query}&signature={signature}", {"X-MBX-APIKEY": "nobody"}),
        (f"?{query}&signature={signature}", {"X-MBX-APIKEY": "alice"}),
        (f"?{query}", {"X-MBX-APIKEY": "alice"}),
        (f"?{query}", {"Cookie": "ironbook_session=" + "A" * 80}),
    ]
    for more, headers in tries:
        status, answer, _ = stack.exchange(route.method, path + more, "", headers)
        assert status in (400, 401), (route.path, more, headers, answer)
        told = answer["code"] if "code" in answer else answer["error"]["code"]
        assert told in (-2014, -2015, -1022, -1102, *REFUSED_V1), (route.path, more, answer)


@pytest.mark.parametrize("route", SECURED, ids=lambda route: f"{route.method} {route.path}")
def test_a_key_without_the_permission_is_refused(route: Route, stack: Stack) -> None:
    key_id = {Access.READ: "blind", Access.ADMIN: "carol"}.get(route.access, "admin")
    status, answer = stack.signed(key_id, route.method, re.sub(r"{\w+}", "1", route.path))
    assert status == 401, answer
    assert (answer["code"] if "code" in answer else answer["error"]["code"]) in (-2015, "key_refused")


def test_a_parameter_is_not_left_out_by_saying_null(stack: Stack) -> None:
    order = stack.order("dave", "BUY", "0.01", "50000")
    for text in ("null", "NULL"):
        status, answer = stack.signed("dave", "DELETE", "/api/v1/orders", symbol=text)
        assert (status, answer["error"]["code"]) in ((400, "parameter_missing"), (400, "symbol"))
    [left] = stack.signed("dave", "GET", "/api/v1/orders")[1]["items"]
    assert left["order_id"] == order["orderId"]
