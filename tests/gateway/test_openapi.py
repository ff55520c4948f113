"""The OpenAPI document says what the routes say, and is one that tools take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import jsonschema
import msgspec
import pytest
from msgspec import Meta
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from gateway import errors, server
from gateway.openapi import document, openapi_route, page
from gateway.routing import Access, Call, Response, Route, SocketRoute
from gateway.v1.models import NewOrderBody, OrderResult, OrdersQuery, Position
from gateway.v1.types import Page
from tests.support.node import ROOT


class Query(msgspec.Struct, frozen=True):
    """A query with one of everything."""

    symbol: Annotated[str, Meta(pattern="^[A-Z]{1,8}$", description="Which.")]
    side: Literal["BUY", "SELL"] | None = None
    limit: Annotated[int, Meta(ge=1, le=10)] = 5


def handler(call: Call) -> Response:
    """Do it.

    With care.
    """
    return Response(200, b"{}")


def make(method: str, path: str, **more: Any) -> Route:
    """A route of the tests."""
    return Route(method=method, path=path, handler=handler, summary="Does it.", tag="trading", **more)


ROUTES = (
    make("GET", "/api/v3/depth", parameters=Query, problems=(errors.SYMBOL,)),
    make("POST", "/api/v1/orders", access=Access.TRADE, body=NewOrderBody, returns=OrderResult, orders=1),
    make("GET", "/api/v1/orders", access=Access.READ, parameters=OrdersQuery, returns=Page[Position]),
    make("DELETE", "/api/v1/orders/{order_id}", access=Access.CANCEL, returns=OrderResult),
    make("GET", "/metrics", returns=str),
)
SOCKETS = (SocketRoute(prefix="/api/v1/stream", make=lambda gateway, request: None, summary="Events.", tag="streams"),)


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """The document of ROUTES, as a client reads it."""
    encoded = msgspec.json.encode(document(ROUTES, SOCKETS, version="1.2.3"))
    found: dict[str, Any] = msgspec.json.decode(encoded)
    return found


def test_it_is_openapi_3_1_and_its_components_are_json_schemas(made: dict[str, Any]) -> None:
    OPENAPI_31_VALIDATOR.validate(made)
    for component in made["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(component)


def test_every_reference_leads_somewhere(made: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [found for each in node.values() for found in references(each)]
        return [found for each in node for found in references(each)] if isinstance(node, list) else []

    found = set(references(made))
    assert found
    known = {f"#/components/{kind}/{name}" for kind, parts in made["components"].items() for name in parts}
    assert found <= known


def test_a_query_parameter_has_the_bounds_of_its_field_and_is_never_null(made: dict[str, Any]) -> None:
    symbol, side, limit = made["paths"]["/api/v3/depth"]["get"]["parameters"]
    assert symbol == {
        "name": "symbol", "in": "query", "required": True, "description": "Which.",
        "schema": {"type": "string", "pattern": "^[A-Z]{1,8}$"},
    }  # fmt: skip
    assert side == {"name": "side", "in": "query", "required": False, "schema": {"enum": ["BUY", "SELL"]}}
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 10, "default": 5}


def test_an_operation_says_what_its_caller_needs(made: dict[str, Any]) -> None:
    order = made["paths"]["/api/v1/orders"]["post"]
    assert order["security"] == [{"api_key": [], "signature": []}, {"session": []}]
    assert order["description"] == "With care.\n\nNeeds the permission `trade`."
    assert order["x-orders"] == 1
    assert {"timestamp", "recvWindow"} <= {each["name"] for each in order["parameters"]}
    assert order["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/NewOrderBody")
    assert made["paths"]["/api/v3/depth"]["get"]["security"] == []


def test_refusals_have_the_shape_of_their_dialect(made: dict[str, Any]) -> None:
    def refused(path: str, method: str, status: str) -> dict[str, Any]:
        found: dict[str, Any] = made["paths"][path][method]["responses"][status]["content"]["application/json"]
        return found

    binance = refused("/api/v3/depth", "get", "400")
    assert binance["schema"]["$ref"].endswith("/BinanceError")
    named = binance["examples"]["symbol"]["$ref"].rpartition("/")[2]
    assert made["components"]["examples"][named]["value"] == {"code": -1121, "msg": "Invalid symbol."}
    ours = refused("/api/v1/orders", "post", "401")
    assert ours["schema"]["$ref"].endswith("/Refused")
    assert {"key_refused", "key_format", "unauthorized"} <= set(ours["examples"])
    assert "Retry-After" in made["paths"]["/metrics"]["get"]["responses"]["429"]["headers"]


def test_operations_have_ids_of_their_own(made: dict[str, Any]) -> None:
    ids = [operation["operationId"] for path in made["paths"].values() for operation in path.values()]
    assert sorted(ids) == sorted(set(ids))
    assert "delete_v1_orders_order_id" in ids


def test_two_routes_of_one_path_and_method_are_refused() -> None:
    with pytest.raises(ValueError, match="GET /metrics has two"):
        document([*ROUTES, ROUTES[-1]], version="1")


def test_the_document_tells_of_its_own_route_and_is_made_once() -> None:
    route = openapi_route(ROUTES, SOCKETS, version="1")
    first, second = route.handler(None), route.handler(None)  # type: ignore[arg-type]
    assert first.body is second.body
    assert "/api/v1/openapi.json" in msgspec.json.decode(first.body)["paths"]


def test_everything_that_the_gateway_serves_is_in_its_document() -> None:
    whole = msgspec.json.decode(msgspec.json.encode(server.document()))
    OPENAPI_31_VALIDATOR.validate(whole)
    found = {(method.upper(), path) for path, operations in whole["paths"].items() for method in operations}
    assert found == {(route.method, route.path) for route in server.ROUTES}
    for component in whole["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(component)


def test_the_page_of_the_reference_is_of_this_release() -> None:
    found = (ROOT / "docs/reference/api.md").read_text()
    assert found == page(server.ROUTES, server.SOCKETS), "run python -m gateway.openapi > docs/reference/api.md"


def test_the_page_has_a_row_for_each_operation_and_a_table_for_each_type() -> None:
    text = page(ROUTES, SOCKETS)
    assert "| `POST /api/v1/orders` | Does it. | trade | body [NewOrderBody](#neworderbody) |" in text
    assert "### OrderInfo" in text
    assert "| `trigger_price?` |" in text
    assert "| `/api/v1/stream` | Events. |" in text
