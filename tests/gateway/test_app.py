"""From a request to its answer: routes, parameters, bodies, refusals in the shape of their dialect, CORS."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
import orjson
import pytest

from engine_node.logs import Log
from gateway import errors
from gateway.app import App
from gateway.auth import KeyRing
from gateway.errors import ApiError
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.routing import Access, Call, Later, Request, Response, Route, SocketRoute
from gateway.settings import GatewaySettings
from ironbook.keystore import KeyFile
from schemas.vocabulary import Permission
from tests.support.aio import in_loop

NOW_NS = 1_700_000_000_000 * 1_000_000


class Order(msgspec.Struct, frozen=True):
    symbol: str
    side: Literal["BUY", "SELL"]
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    interval: Literal["1m", "1h"] = "1m"


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    price: Annotated[str, msgspec.Meta(pattern=r"^[0-9.]+$")]


def say_order(call: Call) -> dict[str, Any]:
    return {"symbol": call.parameters.symbol, "limit": call.parameters.limit}


def say_caller(call: Call) -> dict[str, Any]:
    assert call.caller is not None
    return {"account": call.caller.account, "nonce": call.nonce.hex()}


async def say_later(call: Call) -> dict[str, Any]:
    await asyncio.sleep(0)
    if call.path["number"] == "13":
        raise ApiError(errors.NO_SUCH_ORDER, detail="order 13")
    return {"number": call.path["number"]}


def fail(call: Call) -> None:
    raise ZeroDivisionError("nobody expected this")


def change(call: Call) -> dict[str, str]:
    return {"price": call.body.price}


def route(method: str, path: str, handler: Any, **more: Any) -> Route:
    return Route(method=method, path=path, handler=handler, summary="", tag="tried", **more)


def no_funds(call: Call) -> None:
    raise ApiError(errors.INSUFFICIENT)


async def no_funds_later(call: Call) -> None:
    await asyncio.sleep(0)
    no_funds(call)


def no_funds_in_time(call: Call) -> Later:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return Later(future, lambda found: no_funds(call))


ROUTES = (
    route("GET", "/api/v3/things", say_order, parameters=Order),
    route("POST", "/api/v3/things", say_order, parameters=Order),
    route("POST", "/api/v3/mine", say_caller, access=Access.TRADE, orders=1),
    route("POST", "/api/v3/refused", no_funds, access=Access.TRADE, orders=1),
    route("POST", "/api/v3/refused/later", no_funds_later, access=Access.TRADE, orders=1),
    route("POST", "/api/v3/refused/in/time", no_funds_in_time, access=Access.TRADE, orders=2),
    route("POST", "/api/v3/refused/failed", fail, access=Access.TRADE, orders=1),
    route("GET", "/api/v1/things/{number}", say_later),
    route("GET", "/api/v3/fails", fail),
    route("GET", "/api/v1/fails", fail),
    route("PUT", "/api/v1/things/{number}", change, body=Change),
    route("GET", "/api/v3/page", lambda call: Response(200, b"as it is", "text/plain")),
    dataclasses.replace(route("GET", "/live", lambda call: {"status": "live"}), tag="health"),
    route("GET", "/api/v3/heavy", say_order, parameters=Order, weight=lambda parameters: parameters.limit),
)


class Socket:
    """A handler of a WebSocket."""


def make_socket(gateway: Any, request: Request) -> Any:
    if request.path.endswith("/fails"):
        raise ZeroDivisionError("nobody expected this")
    if request.path.endswith("/nothing"):
        raise ApiError(errors.NOT_FOUND)
    return Socket()


SOCKETS = (
    SocketRoute(prefix="/ws", make=make_socket, summary="", tag="streams"),
    SocketRoute(prefix="/ws-api/v3", make=lambda gateway, request: "api", summary="", tag="streams"),
)


@pytest.fixture
def log_path(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def app(tmp_path, log_path):
    settings = dataclasses.replace(GatewaySettings(), allowed_origins="https://desk.example", weight_per_minute=100)
    limits = Limits(settings)
    store = KeyFile(tmp_path / "keys", b"correct horse battery")
    gateway: Any = SimpleNamespace(
        settings=settings, limits=limits, keys=KeyRing(store, limits), metrics=Metrics(), now_ns=lambda: NOW_NS,
        mirror=SimpleNamespace(live=True), open=True,
    )  # fmt: skip
    log = Log.open(str(log_path), level="info", queue_max=100)
    made = App(gateway, ROUTES, SOCKETS, log)
    yield made
    log.close()


def ask(method: str, target: str, body: bytes = b"", **headers: str) -> Request:
    path, _, query = target.partition("?")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, path, query.encode(), named, body, "10.0.0.9", "request-1", NOW_NS)


def answer(app: App, *request: Any, **headers: str) -> tuple[int, Any, dict[str, str]]:
    found = app.handle(ask(*request, **headers))
    assert isinstance(found, Response)
    body = orjson.loads(found.body) if found.content_type == "application/json" and found.body else found.body
    return found.status, body, dict(found.headers)


def test_parameters_come_from_the_query_or_from_a_form_and_numbers_are_converted(app):
    assert answer(app, "GET", "/api/v3/things?symbol=A%2FB&side=BUY&limit=7")[1] == {"symbol": "A/B", "limit": 7}
    assert answer(app, "POST", "/api/v3/things", b"symbol=AB&side=SELL")[1] == {"symbol": "AB", "limit": 10}
    assert answer(app, "POST", "/api/v3/things?symbol=AB", b"side=SELL")[0] == 200


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ("side=BUY", -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        ("symbol=&side=BUY", -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        ("symbol=A&side=BUY&limit=Null", -1102, "Mandatory parameter 'limit' was not sent, was empty/null"),
        ("symbol=A&side=buy", -1117, "Invalid side."),
        ("symbol=A&side=BUY&interval=2m", -1120, "Invalid interval."),
        ("symbol=A&side=BUY&limit=0", -1100, "Illegal characters found in parameter 'limit'"),
        ("symbol=A&side=BUY&limit=x", -1100, "Illegal characters found in parameter 'limit'"),
        ("symbol=A&symbol=B&side=BUY", -1101, "Duplicate values for parameter 'symbol' detected."),
        ("symbol=%FF&side=BUY", -1100, "it must be UTF-8"),
        ("&".join(f"a{i}=1" for i in range(101)), -1101, "Too many parameters"),
    ],
)
def test_a_parameter_that_does_not_fit_has_the_dialects_code_and_text(app, query, code, text):
    status, said, _ = answer(app, "GET", f"/api/v3/things?{query}")
    assert (status, said["code"]) == (400, code)
    assert text in said["msg"]


def test_unknown_parameters_are_passed_over_by_reads_and_refused_by_what_changes_something(app):
    assert answer(app, "GET", "/api/v3/things?symbol=A&side=BUY&extra=1")[0] == 200
    status, said, _ = answer(app, "POST", "/api/v3/things?symbol=A&side=BUY&extra=1")
    assert (status, said["code"]) == (400, -1104)
    assert said["msg"] == "Not all sent parameters were read; read '2' parameter(s) but was sent '3'."


@pytest.mark.parametrize(
    ("body", "media", "code", "text"),
    [
        (b'{"price": "1.5"}', "application/json; charset=utf-8", None, None),
        (b'{"price": "1.5"}', "text/plain", "media_type", "A body must be application/json."),
        (b'{"price": "x"}', "application/json", "parameter", "price: Expected `str` matching regex"),
        (b"{}", "application/json", "parameter_missing", "Mandatory parameter 'price'"),
        (b'{"price": "1", "other": 1}', "application/json", "parameter", "unknown field `other`"),
        (b'{"price": "1"', "application/json", "illegal_parameter", "A body must be one JSON object."),
        (b'{"price": "\xff"}', "application/json", "illegal_parameter", "A body must be one JSON object."),
        (b"[" * 50_000, "application/json", "parameter", "the body: Expected `object`, got `array`"),
    ],
)
def test_a_body_is_one_json_object_of_its_type(app, body, media, code, text):
    status, said, _ = answer(app, "PUT", "/api/v1/things/4", body, content_type=media)
    if code is None:
        assert (status, said) == (200, {"price": "1.5"})
    else:
        assert said["error"]["code"] == code
        assert text in said["error"]["message"]
        assert said["error"]["request_id"] == "request-1"


@in_loop
async def test_a_handler_that_waits_is_waited_for_and_may_refuse(app):
    good = await app.handle(ask("GET", "/api/v1/things/4"))
    assert (good.status, orjson.loads(good.body)) == (200, {"number": "4"})
    refused = await app.handle(ask("GET", "/api/v1/things/13"))
    said = orjson.loads(refused.body)["error"]
    assert (refused.status, said["code"], said["detail"]) == (400, "no_such_order", "order 13")


def test_what_nobody_expected_is_told_in_the_shape_of_the_dialect_and_logged(app, log_path):
    status, said, _ = answer(app, "GET", "/api/v3/fails")
    assert (status, said) == (500, {"code": -1000, "msg": errors.INTERNAL.text})
    assert answer(app, "GET", "/api/v1/fails")[1]["error"]["code"] == "internal"
    app._log.flush()
    [line, _] = [orjson.loads(line) for line in log_path.read_bytes().splitlines()]
    assert (line["event"], line["request_id"]) == ("handler_failed", "request-1")
    assert "nobody expected this" in line["error"]


def test_a_path_or_method_that_is_not_there_is_told(app):
    assert answer(app, "GET", "/api/v3/nothing")[:2] == (404, {"code": -1000, "msg": errors.NOT_FOUND.text})
    status, said, headers = answer(app, "DELETE", "/api/v1/things/4")
    assert (status, said["error"]["code"]) == (405, "method_not_allowed")
    assert headers["Allow"] == "GET, PUT, OPTIONS"
    assert answer(app, "HEAD", "/live")[0] == 200


@pytest.mark.parametrize("path", ["/", "/risk", "/docs"])
def test_where_no_dashboard_was_built_its_pages_say_so(app, path):
    status, said, _ = answer(app, "GET", path)
    assert status == 404
    assert said["error"]["hint"] == "make dashboard builds it"


def test_every_answer_says_that_no_other_site_may_use_it(app):
    for target in ("/api/v3/things?symbol=A&side=BUY", "/api/v3/nothing", "/api/v3/fails", "/api/v3/page"):
        headers = answer(app, "GET", target)[2]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers


def test_an_origin_that_is_allowed_may_read_and_any_other_may_not(app):
    allowed = answer(app, "GET", "/live", origin="https://desk.example")[2]
    assert allowed["Access-Control-Allow-Origin"] == "https://desk.example"
    assert "Access-Control-Allow-Credentials" not in allowed
    assert "Access-Control-Allow-Origin" not in answer(app, "GET", "/live", origin="https://other.example")[2]
    status, _, headers = answer(app, "OPTIONS", "/api/v3/things", origin="https://desk.example")
    assert (status, headers["Access-Control-Allow-Methods"]) == (204, "GET, POST")
    other = answer(app, "OPTIONS", "/api/v3/things", origin="https://other.example")[2]
    assert "Access-Control-Allow-Methods" not in other


@pytest.mark.parametrize("what", ["starting", "behind"])
def test_while_it_starts_or_has_lost_the_journal_only_health_is_answered(app, what):
    app.gateway.open = what != "starting"
    app.gateway.mirror.live = what != "behind"
    assert answer(app, "GET", "/live")[0] == 200
    status, said, headers = answer(app, "GET", "/api/v3/things?symbol=A&side=BUY")
    assert (status, said["code"], headers["Retry-After"]) == (503, -1001, "1")


def test_weight_is_counted_by_what_is_asked_for_and_ends_in_429(app):
    headers = answer(app, "GET", "/api/v3/heavy?symbol=A&side=BUY&limit=90")[2]
    assert headers["X-MBX-USED-WEIGHT-1M"] == "90"
    status, said, headers = answer(app, "GET", "/api/v3/heavy?symbol=A&side=BUY&limit=90")
    assert (status, said["code"]) == (429, -1003)
    assert int(headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/api/v3/things?symbol=A&side=buy", 400),
        ("GET", "/api/v3/fails", 500),
        ("GET", "/api/v1/fails", 500),
        ("GET", "/api/v3/nothing", 404),
        ("DELETE", "/api/v3/things", 405),
        ("GET", "/api/v3/heavy?symbol=A&side=BUY&limit=101", 429),
        ("POST", "/api/v3/mine", 401),
    ],
)
def test_a_refusal_tells_what_is_used_of_the_limits(app, method, target, status):
    answer(app, "GET", "/api/v3/heavy?symbol=A&side=BUY&limit=7")
    found, _, headers = answer(app, method, target)
    assert found == status
    assert headers["X-MBX-USED-WEIGHT-1M"] == str(app.gateway.limits.used_weight("10.0.0.9", NOW_NS))
    assert int(headers["X-MBX-USED-WEIGHT-1M"]) >= 8
    assert "X-MBX-ORDER-COUNT-10S" not in headers


@contextlib.asynccontextmanager
async def signer(app: App, path: Path) -> AsyncIterator[Callable[[str], str]]:
    """What makes a signed target of a path, for a key `alice` of account 7."""
    store = KeyFile(path / "keys", b"correct horse battery")
    store.initialise()
    secret = store.create_key("alice", permissions=int(Permission.TRADE), account=7).secret.hex()
    await app.gateway.keys.open()
    query = urlencode({"timestamp": NOW_NS // 1_000_000})
    signature = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    try:
        yield lambda target: f"{target}?{query}&signature={signature}"
    finally:
        await app.gateway.keys.close()


@in_loop
async def test_a_signed_request_is_known_by_its_key_and_counts_as_an_order(app, tmp_path):
    async with signer(app, tmp_path) as signed:
        target = signed("/api/v3/mine")
        status, said, headers = answer(app, "POST", target, x_mbx_apikey="alice")
        assert (status, said["account"], len(said["nonce"])) == (200, 7, 32)
        assert headers["X-MBX-ORDER-COUNT-10S"] == "1"
        status, said, _ = answer(app, "POST", target[:-64] + "0" * 64, x_mbx_apikey="alice")
        assert (status, said) == (400, {"code": -1022, "msg": "Signature for this request is not valid."})
        assert answer(app, "POST", "/api/v3/mine")[0] == 401


@in_loop
async def test_an_order_that_counted_and_was_refused_tells_the_counts(app, tmp_path):
    async with signer(app, tmp_path) as signed:
        counts = 0
        for path, orders, expected in (
            ("refused", 1, 400),
            ("refused/later", 1, 400),
            ("refused/in/time", 2, 400),
            ("refused/failed", 1, 500),
        ):
            counts += orders
            found = app.handle(ask("POST", signed(f"/api/v3/{path}"), x_mbx_apikey="alice"))
            if not isinstance(found, Response):
                done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                found.add_done_callback(done.set_result)
                found = (await done).result()
            headers = dict(found.headers)
            assert found.status == expected
            assert headers["X-MBX-ORDER-COUNT-10S"] == headers["X-MBX-ORDER-COUNT-1D"] == str(counts)
            assert headers["X-MBX-USED-WEIGHT-1M"] == str(app.gateway.limits.used_weight("10.0.0.9", NOW_NS))


def test_who_is_banned_is_told_when_it_ends_and_no_weight(app):
    while answer(app, "GET", "/api/v3/heavy?symbol=A&side=BUY&limit=90")[0] != 418:
        pass
    status, _, headers = answer(app, "GET", "/api/v3/things?symbol=A&side=BUY")
    assert (status, headers["Retry-After"]) == (418, "120")
    assert "X-MBX-USED-WEIGHT-1M" not in headers


def test_a_websocket_goes_to_the_longest_prefix_and_is_refused_elsewhere(app):
    assert isinstance(app.upgrade(ask("GET", "/ws")), Socket)
    assert isinstance(app.upgrade(ask("GET", "/ws/btcusd@trade")), Socket)
    assert app.upgrade(ask("GET", "/ws-api/v3")) == "api"
    for path in ("/wsx", "/nothing", "/ws/nothing"):
        refused = app.upgrade(ask("GET", path))
        assert isinstance(refused, Response)
        assert refused.status == 404
    app.gateway.open = False
    assert app.upgrade(ask("GET", "/ws")).status == 503


def test_a_listen_key_is_never_in_the_log(app, log_path):
    refused = app.upgrade(ask("GET", "/ws/0123456789abcdef/fails"))
    assert isinstance(refused, Response)
    assert refused.status == 500
    app._log.flush()
    [line] = [orjson.loads(line) for line in log_path.read_bytes().splitlines()]
    assert (line["event"], line["path"]) == ("handler_failed", "/ws/...")
    assert "0123456789abcdef" not in log_path.read_text()


def test_a_route_stands_in_the_table_once(app):
    with pytest.raises(ValueError, match="is there twice"):
        App(app.gateway, (ROUTES[0], ROUTES[0]), (), app._log)


def later_route(future: asyncio.Future[int]) -> Route:
    return route("POST", "/api/v3/later", lambda call: Later(future, lambda found: {"found": 100 // found}))


@pytest.mark.parametrize(
    ("brings", "status", "code"), [(4, 200, None), (0, 500, -1000), ("refused", 400, -2010), ("cancelled", 504, -1007)]
)
@in_loop
async def test_an_answer_that_comes_with_a_future_is_made_in_its_callback(app, brings, status, code):
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    reply = App(app.gateway, (later_route(future),), (), app._log)
    answers: list[Any] = []
    pending = reply.handle(ask("POST", "/api/v3/later"))
    assert not pending.done()
    pending.add_done_callback(answers.append)
    if brings == "refused":
        future.set_exception(ApiError(errors.INSUFFICIENT))
    elif brings == "cancelled":
        future.cancel()
    else:
        future.set_result(brings)
    await asyncio.sleep(0)
    [answered] = answers
    said = orjson.loads(answered.result().body)
    assert (answered.result().status, said.get("code")) == (status, code)
    assert code is not None or said == {"found": 25}


@in_loop
async def test_what_comes_with_a_future_can_be_awaited_like_a_coroutine():
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(20)
    assert await Later(future, lambda found: found + 1) == 21
