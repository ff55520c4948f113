"""Limits of an account or a firm, and the bodies of the envelopes that set them. Pure.

A limit that is not named is none: its number is UNLIMITED, so that a comparison needs no question first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

WARN: Final = "warn"
REFUSE: Final = "refuse"
REDUCE_ONLY: Final = "reduce_only"
HALT: Final = "halt"
SEVERITY: Final = {WARN: 0, REFUSE: 1, REDUCE_ONLY: 2, HALT: 3}

UNLIMITED: Final = 1 << 200
LIMIT_MAX: Final = (1 << 63) - 1
PPM: Final = 1_000_000
NS_PER_MS: Final = 1_000_000

# Limit, without its unit -> the code of what breaks it.
CODES: Final = {
    "gross_exposure": "gross_exposure_exceeded",
    "net_exposure": "net_exposure_exceeded",
    "concentration": "concentration_exceeded",
    "daily_loss": "daily_loss_exceeded",
    "drawdown": "drawdown_exceeded",
    "order_rate": "order_rate_exceeded",
    "cancel_rate": "cancel_rate_exceeded",
    "price_distance": "price_too_far",
}
_NUMBERS: Final = {
    "gross_exposure_units": 0, "net_exposure_units": 0, "concentration_ppm": 0, "concentration_floor_units": 0,
    "daily_loss_units": 0, "drawdown_units": 0, "order_rate": 0, "order_window_ms": 1, "cancel_rate": 0,
    "cancel_window_ms": 1, "price_distance_ppm": 0,
}  # fmt: skip
_PAIRS: Final = (("order_rate", "order_window_ms"), ("cancel_rate", "cancel_window_ms"))
_BODY: Final = {"firm", "account", "limits", "resume"}


class LimitsInvalid(Exception):
    """The body of an envelope is not what `limit_body` says."""


class Limits:
    """Limits as the decision reads them."""

    __slots__ = (
        "cancel_rate",
        "cancel_window_ns",
        "concentrated",
        "concentration_floor",
        "concentration_ppm",
        "daily_loss",
        "drawdown",
        "gross_exposure",
        "in_money",
        "named",
        "net_exposure",
        "order_rate",
        "order_window_ns",
        "paced",
        "price_distance_ppm",
        "what",
    )

    def __init__(self, named: Mapping[str, Any]) -> None:
        self.named = dict(named)
        self.gross_exposure: int = named.get("gross_exposure_units", UNLIMITED)
        self.net_exposure: int = named.get("net_exposure_units", UNLIMITED)
        self.concentration_ppm: int = named.get("concentration_ppm", UNLIMITED)
        self.concentration_floor: int = named.get("concentration_floor_units", 0)
        self.daily_loss: int = named.get("daily_loss_units", UNLIMITED)
        self.drawdown: int = named.get("drawdown_units", UNLIMITED)
        self.order_rate: int = named.get("order_rate", UNLIMITED)
        self.order_window_ns: int = named.get("order_window_ms", 1000) * NS_PER_MS
        self.cancel_rate: int = named.get("cancel_rate", UNLIMITED)
        self.cancel_window_ns: int = named.get("cancel_window_ms", 1000) * NS_PER_MS
        self.price_distance_ppm: int = named.get("price_distance_ppm", UNLIMITED)
        self.what: dict[str, str] = dict.fromkeys(CODES, REFUSE) | named.get("actions", {})
        # What is not looked at costs nothing: which limits there are at all.
        self.concentrated = self.concentration_ppm != UNLIMITED
        self.paced = self.order_rate != UNLIMITED
        self.in_money = self.concentrated or min(self.gross_exposure, self.net_exposure) != UNLIMITED


def parse_body(body: Any) -> tuple[int, int, dict[str, Any], bool]:
    """Firm, account, limits and whether to resume. Raises LimitsInvalid."""
    if not isinstance(body, dict):
        raise LimitsInvalid("the body must be a JSON object")
    for name in ("firm", "account", "limits"):
        if name not in body:
            raise LimitsInvalid(f"the body must have {name}")
    if unknown := sorted(set(body) - _BODY):
        raise LimitsInvalid(f"the body must have firm, account, limits and resume only, has {unknown[0]!r:.40}")
    firm, account, resume = body["firm"], body["account"], body.get("resume", False)
    if not _whole(firm, 1, 2**32 - 1):
        raise LimitsInvalid("firm must be a whole number from 1 to 2^32 - 1")
    if not _whole(account, 0, 2**32 - 1):
        raise LimitsInvalid("account must be a whole number from 0 to 2^32 - 1")
    if not isinstance(resume, bool):
        raise LimitsInvalid("resume must be true or false")
    return firm, account, _limits(body["limits"]), resume


def _limits(limits: Any) -> dict[str, Any]:
    if not isinstance(limits, dict):
        raise LimitsInvalid("limits must be an object")
    for name, value in limits.items():
        if name == "actions":
            _check_actions(value)
        elif name not in _NUMBERS:
            raise LimitsInvalid(f"a limit must be one that is known, was {name!r:.40}")
        elif not _whole(value, _NUMBERS[name], LIMIT_MAX):
            raise LimitsInvalid(f"{name} must be a whole number from {_NUMBERS[name]} to 2^63 - 1")
    for rate, window in _PAIRS:
        if (rate in limits) != (window in limits):
            raise LimitsInvalid(f"{rate} and {window} must be given together")
    return dict(limits)


def _check_actions(actions: Any) -> None:
    if not isinstance(actions, dict):
        raise LimitsInvalid("actions must be an object")
    for name, action in actions.items():
        if name not in CODES:
            raise LimitsInvalid(f"actions must name limits without their unit, found {name!r:.40}")
        if not isinstance(action, str) or action not in SEVERITY:
            raise LimitsInvalid(f"the action of {name} must be warn, refuse, reduce_only or halt")


def _whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
