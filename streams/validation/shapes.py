"""The schema of bodies: which fields, of which type. Looked up once for each order of names that clients write.

A body's names in the order in which they stand, with its action, are a *shape*. Clients use few of them, so what one
asks for is worked out once and kept: the types of its values, how many quotation marks its text must have (more, and a
name stands twice, which a JSON reader silently forgives), and whether it has fields beyond the common ones.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from schemas.vocabulary import OrderType, Peg, SelfTradePrevention, Side, TimeInForce, Trigger

BODY_BYTES_MAX: Final = 4096
U32_MAX: Final = 2**32 - 1
U64_MAX: Final = 2**64 - 1

TEXT, WHOLE, FLAG = str, int, bool
_TYPE_TEXT: Final = {TEXT: "a string", WHOLE: "a whole number", FLAG: "true or false"}

# Name -> type, as order_bodies of schemas/topics.json has them; a test compares the two.
FIELDS: Final[dict[str, dict[str, type]]] = {
    "new": {
        "action": TEXT, "account": WHOLE, "symbol": TEXT, "side": TEXT, "order_type": TEXT, "time_in_force": TEXT,
        "price": TEXT, "quantity": TEXT, "client_order_id": WHOLE, "self_trade_prevention": TEXT, "post_only": FLAG,
        "trigger": TEXT, "trigger_price": TEXT, "offset": TEXT, "display": TEXT, "minimum": TEXT, "expire_ns": WHOLE,
        "peg": TEXT, "hidden": FLAG, "all_or_none": FLAG, "day": FLAG,
    },
    "cancel": {
        "action": TEXT, "account": WHOLE, "symbol": TEXT, "order_id": WHOLE, "target_client_order_id": WHOLE,
        "client_order_id": WHOLE,
    },
    "replace": {
        "action": TEXT, "account": WHOLE, "symbol": TEXT, "order_id": WHOLE, "target_client_order_id": WHOLE,
        "price": TEXT, "quantity": TEXT,
    },
    "mass_cancel": {"action": TEXT, "account": WHOLE, "symbol": TEXT, "side": TEXT, "client_order_id": WHOLE},
}  # fmt: skip
REQUIRED: Final[dict[str, frozenset[str]]] = {
    "new": frozenset({"action", "account", "symbol", "side", "quantity"}),
    "cancel": frozenset({"action", "account", "symbol"}),
    "replace": frozenset({"action", "account", "symbol", "price", "quantity"}),
    "mass_cancel": frozenset({"action", "account"}),
}
ENUMERATIONS: Final[dict[str, dict[str, int]]] = {
    name: {member.name.lower(): int(member) for member in kind}
    for name, kind in {
        "side": Side, "order_type": OrderType, "time_in_force": TimeInForce,
        "self_trade_prevention": SelfTradePrevention, "trigger": Trigger, "peg": Peg,
    }.items()
}  # fmt: skip
TERMS: Final = frozenset(
    {"trigger", "trigger_price", "offset", "display", "minimum", "expire_ns", "peg", "hidden", "all_or_none", "day"}
)
_PLAIN: Final = frozenset({"action", "account", "symbol", "side", "price", "quantity", "client_order_id", "post_only"})
_SHAPES_MAX: Final = 4096  # a client that shuffles its names pays for it, and takes no more memory than this


class Refused(Exception):
    """An order is refused: code of stream_codes, and what must hold and was found."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class Shape:
    """What a body with these names must be."""

    __slots__ = ("action", "common", "plain", "quote_count", "types", "whole_names")

    def __init__(self, action: str, names: tuple[str, ...]) -> None:
        fields = FIELDS[action]
        for name in names:
            if name not in fields:
                raise _wrong(f"a body of action {action} must have fields of the schema only, has {name[:40]!r}")
        for name in sorted(REQUIRED[action].difference(names)):
            raise _wrong(f"a body of action {action} must have {name}")
        if action in ("cancel", "replace") and ("order_id" in names) == ("target_client_order_id" in names):
            raise _wrong(f"a {action} must name one order: order_id or target_client_order_id, and not both")
        self.action = action
        self.types = tuple(fields[name] for name in names)
        self.whole_names = tuple(name for name in names if fields[name] is WHOLE)
        self.quote_count = 2 * (len(names) + self.types.count(TEXT))
        self.common = TERMS.isdisjoint(names)
        self.plain = action == "new" and "price" in names and _PLAIN.issuperset(names)  # a limit order with defaults


class Shapes:
    """Shapes met so far."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, ...], Shape] = {}

    def read(self, text: str) -> tuple[dict[str, Any], Shape]:
        """The body of an envelope and its shape. Raises Refused (schema_invalid)."""
        try:
            body = orjson.loads(text)
        except ValueError as error:
            raise _wrong(f"a body must be JSON, is not: {str(error)[:120]}") from None
        if type(body) is not dict:
            raise _wrong(f"a body must be a JSON object, was {type(body).__name__}")
        action = body.get("action")
        if type(action) is not str or action not in FIELDS:
            raise _wrong(f"action must be one of {', '.join(FIELDS)}, was {_shown(action)}")
        key = (action, *body)
        shape = self._made.get(key)
        if shape is None:
            shape = Shape(action, key[1:])
            if len(self._made) < _SHAPES_MAX:
                self._made[key] = shape
        if tuple(map(type, body.values())) != shape.types:
            raise _wrong_type(body, shape)
        for name in shape.whole_names:
            if not 0 <= body[name] <= (U32_MAX if name == "account" else U64_MAX):
                raise _wrong(f"{name} must be within its bounds, was {body[name]}")
        if text.count('"') != shape.quote_count and _twice(text):
            raise _wrong("a body must name each field once, one stands there twice")
        return body, shape


def enumerated(body: dict[str, Any], name: str, default: str) -> str:
    """The name of a member of an enumeration. Raises Refused (schema_invalid)."""
    value = body.get(name, default)
    if value not in ENUMERATIONS[name]:
        raise _wrong(f"{name} must be one of {', '.join(ENUMERATIONS[name])}, was {_shown(value)}")
    return str(value)


def names_twice(value: bytes) -> list[bool]:
    """For each object of a message, whether a name stands in it twice. Slow, and exact."""
    try:
        events = json.loads(value, object_pairs_hook=_Pairs.made)
    except (ValueError, RecursionError):
        return []
    return [isinstance(event, _Pairs) for event in (events if isinstance(events, list) else [events])]


class _Pairs(dict[str, Any]):
    """An object in which a name stands twice."""

    @classmethod
    def made(cls, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        read = dict(pairs)
        return read if len(read) == len(pairs) else cls(read)


def _twice(text: str) -> bool:
    try:
        return isinstance(json.loads(text, object_pairs_hook=_Pairs.made), _Pairs)
    except (ValueError, RecursionError):  # what one reader takes and another does not is no body
        return True


def _wrong(text: str) -> Refused:
    return Refused("schema_invalid", text)


def _wrong_type(body: dict[str, Any], shape: Shape) -> Refused:
    for (name, value), wanted in zip(body.items(), shape.types, strict=True):
        if type(value) is not wanted:
            return _wrong(f"{name} must be {_TYPE_TEXT[wanted]}, was {_shown(value)}")
    return _wrong("a body must have the types of the schema")


def _shown(value: object) -> str:
    return ascii(value)[:60] if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
