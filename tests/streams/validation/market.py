"""A small market, keys and messages for the tests of validation."""

from __future__ import annotations

from typing import Any

import orjson

from ironbook import Key
from ironbook.envelope import sign_order
from schemas.vocabulary import Permission
from streams.validation.nonces import Nonces
from streams.validation.rules import Judgement, KeyRights, Known, Message, judge

NOW = 1_790_000_000_000_000_000
WINDOW_NS = 300_000_000_000
PARTITION = 3  # of firm 1
TRADE_CANCEL = int(Permission.TRADE | Permission.CANCEL)

BTC_USD: dict[str, Any] = {
    "instrument": 1, "symbol": "BTC/USD", "base": "BTC", "quote": "USD", "base_decimals": 8, "quote_decimals": 6,
    "base_units_per_lot": 10000, "quote_units_per_tick_lot": 1, "quantity_lots_min": 0, "quantity_lots_max": 0,
    "price_steps": [], "state": "open",
}  # fmt: skip
SMALL = BTC_USD | {
    "instrument": 2, "symbol": "ETH/USD", "quantity_lots_min": 10, "quantity_lots_max": 10_000,
    "price_steps": [[0, 5, 2], [100_000, 100, 1]],
}  # fmt: skip
NEW: dict[str, Any] = {
    "action": "new", "account": 1, "symbol": "BTC/USD", "side": "buy", "price": "60010.00", "quantity": "0.5",
}  # fmt: skip

DEMO = Key(key_id="demo-1", secret=bytes(range(32)))
SECOND_SECRET = Key(key_id="demo-1", secret=bytes(range(32, 64)))
READER = Key(key_id="reader", secret=bytes(range(1, 33)))
DELEGATE = Key(key_id="gateway", secret=bytes(range(2, 34)))
UNKNOWN = Key(key_id="nobody", secret=bytes(range(3, 35)))


def partition_of(firm: int) -> int:
    return {1: PARTITION, 2: PARTITION, 9: 5}[firm]


def known() -> Known:
    """Keys, accounts 1 (firm 1), 2 (firm 2) and 9 (firm 9, of another partition), two instruments."""
    return Known(
        {
            "demo-1": KeyRights([DEMO.secret, SECOND_SECRET.secret], 1, TRADE_CANCEL),
            "reader": KeyRights([READER.secret], 1, int(Permission.READ)),
            "gateway": KeyRights([DELEGATE.secret], 0, TRADE_CANCEL | int(Permission.DELEGATE)),
        },
        {"BTC/USD": BTC_USD, "ETH/USD": SMALL},
        {number: {"account": number, "firm": number, "halted": False} for number in (1, 2, 9)},
        partition_of,
        WINDOW_NS,
    )


def envelope(body: dict[str, Any] | str = NEW, key: Key = DEMO, at: int = NOW, nonce: str = "n-1") -> dict[str, Any]:
    return dict(sign_order(key, body, timestamp_ns=at, nonce=nonce))


def message(*events: Any, offset: int = 17, at: int = NOW, partition: int = PARTITION) -> Message:
    """As the worker hands it over: the bytes, and what they decode to."""
    return raw(orjson.dumps(list(events)), offset=offset, at=at, partition=partition)


def raw(value: bytes, *, offset: int = 17, at: int = NOW, partition: int = PARTITION) -> Message:
    events = orjson.loads(value)
    return Message(partition, offset, at, value, events if isinstance(events, list) else [events])


def decide(*events: Any, nonces: Nonces | None = None, **more: Any) -> Judgement:
    return judge(message(*events, **more), known(), nonces if nonces is not None else Nonces())


def code_of(event: Any, **more: Any) -> str:
    """The code that one envelope gets; "" if it is validated."""
    judged = decide(event, **more)
    if judged.unclaimed is not None:
        assert not judged.orders
        assert not judged.rejections
        return f"dead letter {judged.unclaimed.code}"
    assert len(judged.orders) + len(judged.rejections) == 1
    return str(judged.rejections[0]["code"]) if judged.rejections else ""
