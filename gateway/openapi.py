"""The OpenAPI 3.1 document and the reference page, made from the table of routes that serves: gateway/routing.py.

    Route(path, parameters, body, returns, access, problems) ──▶ operation ──▶ /api/v1/openapi.json ──▶ page at /docs
          msgspec structs ──────────────────────────────────▶ parameters and components

Nothing is told here that the routes and their types do not say.
"""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway import errors
from gateway.errors import Problem
from gateway.routing import JSON, Access, Call, Response, Route, SocketRoute

__all__ = ["PATH", "document", "openapi_route", "page"]

PATH: Final = "/api/v1/openapi.json"
TEXT: Final = "text/plain"
REFERENCE: Final = "#/components/schemas/{name}"
DIALECT_PREFIXES: Final = ("/api/v3/", "/sapi/", "/fapi/", "/dapi/")
JsonObject = dict[str, Any]

DESCRIPTION: Final = """\
Two dialects over one engine. `/api/v3` is the Binance Spot dialect: point an existing client at it by its base URL.
`/api/v1` is Ironbook's own: snake_case, decimal texts, times in nanoseconds.

**Signing.** Header `X-MBX-APIKEY` names the key. `timestamp` (milliseconds) and, if it likes, `recvWindow`
(default 5000) go with the other parameters; `signature`, last, is the HMAC-SHA256 in hexadecimal, by the key's secret
as text, of the raw query followed by the raw body, without the signature itself; under `/api/v1` method, path and a
question mark stand before them: `POST /api/v1/orders?timestamp=1700000000000{…}`. In the Binance dialect the
parameters of a request that changes something may stand in a form body instead. The same signed request is taken once.

**The dashboard's cookie** stands for a key's signature under `/api/v1`; a call that changes something then needs the
header `X-Ironbook-Request`: 32 hexadecimal digits, new for each call. Its name is `ironbook_session`, and over TLS
`__Host-ironbook_session`, which browsers take from this very host alone; where TLS ends at the gateway no other counts.
A request with two of them is refused (401).
"""

PATH_PARTS: Final[Mapping[str, JsonObject]] = {
    "order_id": {"type": "integer", "minimum": 1, "maximum": (1 << 53) - 1, "description": "The engine's order id."},
    "symbol": {
        "type": "string",
        "pattern": "^[A-Za-z0-9._-]{1,36}$",
        "description": "Name of an instrument, such as BTCUSD.",
        "examples": ["BTCUSD"],
    },
    "key_id": {
        "type": "string",
        "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,15}$",
        "description": "Id of a key.",
        "examples": ["trader-1"],
    },
    "number": {"type": "integer", "minimum": 0, "maximum": (1 << 53) - 1, "description": "As the list tells it."},
}
SIGNED_PARAMETERS: Final = (
    {
        "name": "timestamp",
        "in": "query",
        "required": True,
        "description": "The client's time, in milliseconds since the epoch; goes with every signature.",
        "schema": {"type": "integer", "minimum": 0},
    },
    {
        "name": "recvWindow",
        "in": "query",
        "required": False,
        "description": "How old the request may be when it comes, in milliseconds.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 60000, "default": 5000},
    },
)
SECURITY_SCHEMES: Final = {
    "api_key": {"type": "apiKey", "in": "header", "name": "X-MBX-APIKEY", "description": "The key's id."},
    "signature": {
        "type": "apiKey",
        "in": "query",
        "name": "signature",
        "description": "HMAC-SHA256 in hexadecimal of query and body, by the key's secret.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "ironbook_session",
        "description": "A dashboard login, made by POST /api/v1/session; over TLS `__Host-ironbook_session`.",
    },
}
PERMISSIONS: Final = {
    Access.OPEN: "",
    Access.KEY: "A live key, not signed.",
    Access.READ: "Needs the permission `read`.",
    Access.TRADE: "Needs the permission `trade`.",
    Access.CANCEL: "Needs the permission `cancel`.",
    Access.ADMIN: "Needs the permission `admin`.",
}
ALWAYS: Final = (errors.TOO_MANY_REQUESTS, errors.BANNED, errors.STOPPING)
# Bytes that are refused before there is a path: in the Binance dialect's shape, whatever they ask for.
BELOW_ROUTING: Final = (errors.MALFORMED, errors.TOO_LATE, errors.TARGET_TOO_LONG, errors.HEADERS_TOO_LARGE)
OF_PARAMETERS: Final = (
    errors.MANDATORY,
    errors.ILLEGAL,
    errors.PARAMETER,
    errors.TOO_MANY_PARAMETERS,
    errors.UNREAD,
)
OF_BODIES: Final = (errors.PARAMETER, errors.BODY_TOO_LARGE, errors.MEDIA_TYPE)
OF_KEYS: Final = (errors.KEY_FORMAT, errors.KEY_REFUSED)
OF_SIGNATURES: Final = (errors.TIMESTAMP, errors.SIGNATURE)
OF_COMMANDS: Final = (errors.REPEATED, errors.ENGINE_AWAY, errors.OUTCOME_UNKNOWN)


class BinanceError(msgspec.Struct, frozen=True):
    """Why a request of the Binance dialect was refused."""

    code: int
    msg: str


class Refusal(msgspec.Struct, frozen=True):
    """Why a request was refused. code: stays the same; message: what must hold, what was found; detail: where."""

    code: str
    message: str
    request_id: str
    detail: str = ""
    hint: str = ""


class Refused(msgspec.Struct, frozen=True):
    """Answer of every refused request under /api/v1."""

    error: Refusal


def openapi_route(routes: Sequence[Route], sockets: Sequence[SocketRoute] = (), *, version: str) -> Route:
    """The route that serves the document of these routes and of itself. It is made at the first request."""
    kept: list[bytes] = []

    def serve(call: Call) -> Response:
        if not kept:
            kept.append(msgspec.json.encode(document([*routes, route], sockets, version=version)))
        return Response(200, kept[0])

    route = Route(
        method="GET", path=PATH, handler=serve, summary="This document.", tag="system", returns=dict[str, Any], weight=1
    )
    return route


def document(routes: Sequence[Route], sockets: Sequence[SocketRoute] = (), *, version: str) -> JsonObject:
    """OpenAPI 3.1 of what is served."""
    schemas = _Schemas(routes)
    paths: JsonObject = {}
    for route in routes:
        operations = paths.setdefault(route.path, {})
        if route.method.lower() in operations:
            raise ValueError(f"a path must have one route of a method, {route.method} {route.path} has two")
        operations[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ironbook", "version": version, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "examples": _examples(routes),
            "securitySchemes": SECURITY_SCHEMES,
        },
        "x-websockets": [{"path": each.prefix, "summary": each.summary, "tag": each.tag} for each in sockets],
    }


class _Schemas:
    """JSON Schemas of all types of all routes, under one set of names."""

    def __init__(self, routes: Iterable[Route]) -> None:
        types: dict[Any, None] = {BinanceError: None, Refused: None}
        asked: dict[type[msgspec.Struct], None] = {}
        for route in routes:
            asked[route.parameters] = None
            for one in (route.body, route.returns):
                if one is not None and one is not str:
                    types[one] = None
        found_for, components = msgspec.json.schema_components(list(types), ref_template=REFERENCE)
        shown = list(found_for)
        _mend(shown)
        self.components: dict[str, JsonObject] = {}
        for name, component in components.items():
            known = self.components.setdefault(component_name(name), component)
            if known.get("properties") != component.get("properties"):
                raise ValueError(f"types must have names of their own, {name} has that of another")
        self._of = dict(zip(types, shown, strict=True))
        self._parameters: dict[type[msgspec.Struct], list[JsonObject]] = {}
        for struct in asked:
            [found], parts = msgspec.json.schema_components([struct], ref_template=REFERENCE)
            own = parts.pop(found["$ref"].rpartition("/")[2])
            self.components |= {component_name(name): part for name, part in parts.items()}
            self._parameters[struct] = [_parameter(name, each, own) for name, each in own["properties"].items()]
        for component in self.components.values():
            _mend(component)
            if "description" in component:
                component["description"] = plain(component["description"])

    def of(self, type_: Any) -> JsonObject:
        """Schema of a body or of an answer."""
        found: JsonObject = self._of[type_]
        return found

    def parameters(self, struct: type[msgspec.Struct]) -> list[JsonObject]:
        """The fields of a struct, as parameters of the query."""
        return self._parameters[struct]


def _mend(schema: Any) -> None:
    """References to components by the names that they have here."""
    if isinstance(schema, list):
        for one in schema:
            _mend(one)
    elif isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            place, _, name = schema["$ref"].rpartition("/")
            schema["$ref"] = f"{place}/{component_name(name)}"
        for one in schema.values():
            _mend(one)


def component_name(name: str) -> str:
    """Page_Position_ is PositionPage; where two types have one name, that of the Binance dialect says so."""
    short = re.sub(r"^Page_(\w+)_$", r"\1Page", name.rpartition(".")[2])
    return f"Binance{short}" if ".binance." in name else short


def plain(text: str) -> str:
    """A docstring as one paragraph a paragraph."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))


def _parameter(name: str, schema: JsonObject, struct: JsonObject) -> JsonObject:
    """A field as a parameter: one that may be left out is never null, for a query has no null."""
    schema = dict(schema)
    if "anyOf" in schema:
        others = [one for one in schema["anyOf"] if one != {"type": "null"}]
        schema = others[0] if len(others) == 1 else {"anyOf": others}
    if schema.get("enum") and None in schema["enum"]:
        schema["enum"] = [one for one in schema["enum"] if one is not None]
    if schema.get("default", ...) is None:
        del schema["default"]
    description = schema.pop("description", "")
    parameter = {"name": name, "in": "query", "required": name in struct.get("required", ()), "schema": schema}
    return parameter | ({"description": description} if description else {})


def _operation(route: Route, schemas: _Schemas) -> JsonObject:
    signed = route.access not in (Access.OPEN, Access.KEY)
    parts = re.findall(r"\{(\w+)\}", route.path)
    parameters: list[JsonObject] = []
    for name in parts:
        schema = dict(PATH_PARTS[name])
        description = schema.pop("description")
        parameters.append({"name": name, "in": "path", "required": True, "description": description, "schema": schema})
    parameters += schemas.parameters(route.parameters)
    if signed:
        by_key_only = is_binance(route.path)
        parameters += (one | {"required": one["required"] and by_key_only} for one in SIGNED_PARAMETERS)
    operation: JsonObject = {
        "operationId": operation_id(route),
        "tags": [route.tag],
        "summary": route.summary,
        "description": describe(route),
        "parameters": parameters,
        "responses": _responses(route, schemas),
        "security": _security(route),
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(schemas.of(route.body))}
    if isinstance(route.weight, int):
        operation["x-weight"] = route.weight
    if route.orders:
        operation["x-orders"] = route.orders
    return operation


def operation_id(route: Route) -> str:
    """One of its own for each: get_v1_orders_order_id."""
    path = route.path.removeprefix("/api")
    return "_".join([route.method.lower(), *re.findall(r"[A-Za-z0-9]+", path)])


def describe(route: Route) -> str:
    """What the handler's docstring says beyond its first line, and what a caller needs."""
    doc = plain(route.handler.__doc__ or "")
    needs = PERMISSIONS[route.access]
    return "\n\n".join(part for part in (doc.partition("\n\n")[2], needs) if part)


def is_binance(path: str) -> bool:
    """Does a path answer in the Binance dialect?"""
    return path.startswith(DIALECT_PREFIXES)


def _security(route: Route) -> list[JsonObject]:
    if route.access is Access.OPEN:
        return []
    if route.access is Access.KEY:
        return [{"api_key": []}]
    by_key: JsonObject = {"api_key": [], "signature": []}
    return [by_key] if is_binance(route.path) else [by_key, {"session": []}]


def _responses(route: Route, schemas: _Schemas) -> JsonObject:
    answer: JsonObject = {"description": "Done."}
    if route.returns is str:
        answer["content"] = {TEXT: {"schema": {"type": "string"}}}
    elif route.status != 204:
        schema = {} if route.returns is None else schemas.of(route.returns)
        answer["content"] = _json(schema)
    # A path that is reserved is never done.
    responses: JsonObject = {str(route.status): answer} if route.status < 400 else {}
    by_status: defaultdict[int, list[Problem]] = defaultdict(list)
    for problem in dict.fromkeys(expected(route)):
        by_status[problem.status].append(problem)
    for status, problems in sorted(by_status.items()):
        responses.setdefault(str(status), _refusal(route.path, problems))
    if route.tag == "health":  # these are answered by whoever is not ready, too
        responses["503"] = answer | {"description": "Not ready."}
    return responses


def expected(route: Route) -> Iterator[Problem]:
    """Every problem that a caller of a route may meet."""
    yield from route.problems
    yield from OF_PARAMETERS
    if route.body is not None:
        yield from OF_BODIES
    if "{" in route.path:
        yield errors.NOT_FOUND
    if route.access is not Access.OPEN:
        yield from OF_KEYS
    if route.access not in (Access.OPEN, Access.KEY):
        yield from OF_SIGNATURES
        if not is_binance(route.path):
            yield errors.UNAUTHORIZED
    if route.access in (Access.TRADE, Access.CANCEL, Access.ADMIN):
        yield from OF_COMMANDS
    if route.orders:
        yield errors.TOO_MANY_ORDERS
    yield from ALWAYS
    yield from BELOW_ROUTING


def _refusal(path: str, problems: Sequence[Problem]) -> JsonObject:
    examples = {one.name: {"$ref": f"#/components/examples/{_example_name(path, one)}"} for one in problems}
    said = " ".join(dict.fromkeys(problem.text for problem in problems))
    content = _json(_refusal_schema(path, problems), examples=examples)
    response: JsonObject = {"description": said, "content": content}
    if problems[0].status in (418, 429):
        response["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return response


def _refusal_schema(path: str, problems: Sequence[Problem]) -> JsonObject:
    refused, binance = ({"$ref": REFERENCE.format(name=name)} for name in ("Refused", "BinanceError"))
    if is_binance(path) or all(one in BELOW_ROUTING for one in problems):
        return binance
    return {"anyOf": [refused, binance]} if any(one in BELOW_ROUTING for one in problems) else refused


def _example_name(path: str, problem: Problem) -> str:
    return f"{'binance' if is_binance(path) or problem in BELOW_ROUTING else 'v1'}_{problem.name}"


def _examples(routes: Iterable[Route]) -> JsonObject:
    """A refusal of each problem, as its dialect tells it."""
    found: JsonObject = {}
    for route in routes:
        for problem in expected(route):
            value: JsonObject = {"code": problem.binance, "msg": problem.text}
            if not is_binance(route.path) and problem not in BELOW_ROUTING:
                value = {"error": {"code": problem.name, "message": problem.text, "request_id": "5f0c2b1d9e3a4781"}}
            found[_example_name(route.path, problem)] = {"summary": problem.text, "value": value}
    return found


def _json(schema: JsonObject, **more: Any) -> JsonObject:
    return {JSON: {"schema": schema} | more}


# ---- The reference page ---------------------------------------------------------------------------------------------

HEAD: Final = """# The gateway's API

<!-- generated: python -m gateway.openapi -->

Every operation, from the table that serves them. The same as OpenAPI 3.1 at `/api/v1/openapi.json`, shown at `/docs`.
What the Binance dialect keeps and leaves out stands in [binance.md](binance.md).
"""


def page(routes: Sequence[Route], sockets: Sequence[SocketRoute] = ()) -> str:
    """docs/reference/api.md."""
    schemas = _Schemas(routes)
    lines = [HEAD, DESCRIPTION]
    for tag in dict.fromkeys(route.tag for route in routes):
        lines += [f"## {tag}", "", "| operation | | needs | takes | answers |", "|---|---|---|---|---|"]
        lines += [_row(route, schemas) for route in routes if route.tag == tag]
        lines.append("")
    lines += ["## WebSockets", "", "| path | |", "|---|---|"]
    lines += [f"| `{each.prefix}` | {each.summary} |" for each in sockets]
    lines += ["", "## Types", "", "`?`: may be null or left out.", ""]
    for name, component in sorted(schemas.components.items()):
        lines += _type(name, component)
    return "\n".join(lines).rstrip() + "\n"


def _row(route: Route, schemas: _Schemas) -> str:
    given = [one["name"] + ("" if one["required"] else "?") for one in schemas.parameters(route.parameters)]
    takes = ", ".join(f"`{name}`" for name in given)
    if route.body is not None:
        takes = "; ".join(part for part in (takes, f"body {_shown(schemas.of(route.body))}") if part)
    answers = "text" if route.returns is str else "" if route.returns is None else _shown(schemas.of(route.returns))
    needs = "" if route.access is Access.OPEN else route.access.value
    return f"| `{route.method} {route.path}` | {route.summary} | {needs} | {takes} | {answers} |"


def _shown(schema: JsonObject) -> str:
    """A type in a few characters."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_shown(one) for one in schema["anyOf"] if one != {"type": "null"})
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"] if one is not None)
    if "prefixItems" in schema:
        return f"[{', '.join(map(_shown, schema['prefixItems']))}]"
    if schema.get("type") == "array":
        return f"list of {_shown(schema['items'])}" if schema.get("items") else "list"
    return str(schema.get("type", "any"))


def _type(name: str, component: JsonObject) -> Iterator[str]:
    yield from (f"### {name}", "", component.get("description", ""), "")
    if "properties" not in component:
        yield from (_shown(component), "")
        return
    yield from ("| field | type |", "|---|---|")
    required = component.get("required", ())
    for field, schema in component["properties"].items():
        lacks = field not in required or {"type": "null"} in schema.get("anyOf", ())
        yield f"| `{field}{'?' if lacks else ''}` | {_shown(schema)} |"
    yield ""


if __name__ == "__main__":
    from gateway import server

    print(page(server.ROUTES, server.SOCKETS), end="")
