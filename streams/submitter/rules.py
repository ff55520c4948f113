"""What the submitter decides: orders of orders.accepted to commands of the engine, and which are too old. Pure.

    order ──▶ nonce (16 bytes and the envelope's timestamp) [+ terms] + new_order | cancel | replace | mass_cancel

The nonce makes it safe to enter an order again whenever the outcome of the first time is not known: the engine has it
and says nonce_repeated, or has it not and takes it. Both are success.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

from ironbook import (
    Cancel,
    Code,
    Command,
    MassCancel,
    NewOrder,
    Nonce,
    OrderOption,
    OrderTerms,
    OrderType,
    Outcome,
    Prefixed,
    Replace,
    SelfTradePrevention,
    Side,
    TimeInForce,
)

STAGE: Final = "submitter"
_SIDE: Final = {side.name.lower(): int(side) for side in Side}
_ORDER_TYPE: Final = {kind.name.lower(): int(kind) for kind in OrderType}
_TIME_IN_FORCE: Final = {kind.name.lower(): int(kind) for kind in TimeInForce}
_SELF_TRADE: Final = {kind.name.lower(): int(kind) for kind in SelfTradePrevention}
_TOLD: Final = ("place", "appended_ns", "key_id", "nonce", "firm", "account", "symbol", "client_order_id")


class NoCommand(Exception):
    """An event that is no order: what must hold, what was found."""


def command(order: Mapping[str, Any]) -> Prefixed:
    """What the engine is sent. Raises NoCommand."""
    try:
        action = order["action"]
        terms = None
        made: Command
        if action == "new":
            made = _new(order)
            if "terms" in order:
                terms = OrderTerms(**order["terms"])
        elif action == "cancel":
            made = Cancel(
                account=order["account"], instrument=order["instrument"], order_id=order.get("order_id", 0),
                target_client_order_id=order.get("target_client_order_id", 0),
                client_order_id=order.get("client_order_id", 0),
            )  # fmt: skip
        elif action == "replace":
            made = Replace(
                account=order["account"], instrument=order["instrument"], order_id=order.get("order_id", 0),
                target_client_order_id=order.get("target_client_order_id", 0), price_ticks=order["price_ticks"],
                quantity_lots=order["quantity_lots"],
            )  # fmt: skip
        elif action == "mass_cancel":
            made = MassCancel(
                account=order["account"], instrument=order.get("instrument", 0),
                side=_SIDE[order["side"]] if "side" in order else 0, client_order_id=order.get("client_order_id", 0),
            )  # fmt: skip
        else:
            raise NoCommand(f"action must be new, cancel, replace or mass_cancel, was {ascii(action)[:60]}")
        nonce = Nonce(timestamp_ns=order["timestamp_ns"], nonce=bytes.fromhex(order["nonce"]))
        for part in (nonce, terms, made):
            if part is not None:
                part.pack()  # what does not fit is found here, and not in the middle of a group
    except (KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise NoCommand(f"an accepted order must have every field that its action needs: {error!r}"[:300]) from None
    if len(nonce.nonce) != 16:
        raise NoCommand("nonce must be 32 hexadecimal digits")
    return Prefixed(command=made, nonce=nonce, terms=terms)


def _new(order: Mapping[str, Any]) -> NewOrder:
    return NewOrder(
        account=order["account"], instrument=order["instrument"], price_ticks=order["price_ticks"],
        quantity_lots=order["quantity_lots"], client_order_id=order["client_order_id"], side=_SIDE[order["side"]],
        order_type=_ORDER_TYPE[order["order_type"]], time_in_force=_TIME_IN_FORCE[order["time_in_force"]],
        self_trade_prevention=_SELF_TRADE[order["self_trade_prevention"]],
        options=int(OrderOption.POST_ONLY) if order["post_only"] else 0,
    )  # fmt: skip


def is_expired(order: Mapping[str, Any], now_ns: int, window_ns: int) -> bool:
    """Has its timestamp left the window? The engine would refuse it."""
    return int(order["timestamp_ns"]) + window_ns < now_ns


def expired(order: Mapping[str, Any], now_ns: int, window_ns: int) -> dict[str, Any]:
    """The rejection of an order that is given up."""
    made: dict[str, Any] = {
        "stage": STAGE,
        "code": "expired",
        "text": f"an order must reach the engine within {window_ns // 1_000_000} ms of its timestamp, which is "
        f"{(now_ns - int(order['timestamp_ns'])) // 1_000_000} ms ago",
    }
    return made | {name: order[name] for name in _TOLD if name in order}


def verdict(outcome: Outcome) -> str:
    """For the counters: entered, repeated (it had been entered before) or refused (executions say why)."""
    if not outcome.rejected:
        return "entered"
    return "repeated" if outcome.answer.code is Code.NONCE_REPEATED else "refused"
