"""The terms and the link of an order, from the options of `ironbook order`.

People give prices, quantities and amounts in decimals (with --raw in ticks, lots and units), times as a duration
("90s", "2h") or as a moment of ISO 8601 ("2026-12-31T16:00:00+01:00").
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import time

import typer

from ironbook import LinkAction, OrderLink, OrderTerms, Peg, TermOption, Trigger, Units
from ironbook._decimals import amount_units

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TermWords:
    """What was typed, empty or False where nothing was."""

    stop: str | None = None
    take_profit: str | None = None
    trail: str | None = None
    display: str | None = None
    minimum: str | None = None
    peg: str | None = None
    has_price: bool = True
    offset: str | None = None
    expire: str | None = None
    hidden: bool = False
    all_or_none: bool = False
    day: bool = False


def order_terms(words: TermWords, units: Units | None) -> OrderTerms | None:
    """The prefix that says all this; None if there is nothing to say. units None: whole ticks and lots."""
    triggers = [
        (kind, text)
        for kind, text in (
            (Trigger.STOP, words.stop),
            (Trigger.TAKE_PROFIT, words.take_profit),
            (Trigger.TRAILING, words.trail),
        )
        if text is not None
    ]
    if len(triggers) > 1:
        raise typer.BadParameter("an order waits for one thing: give one of --stop, --take-profit and --trail")
    if words.offset is not None and words.peg is None:
        raise typer.BadParameter("--offset is added to a peg: give --peg too")
    if words.peg is not None and not words.has_price:
        raise typer.BadParameter("--peg needs --price: the limit that the order never goes beyond")
    trigger, at = triggers[0] if triggers else (Trigger.NONE, None)
    trailing = trigger is Trigger.TRAILING
    options = (
        (TermOption.HIDDEN if words.hidden else 0)
        | (TermOption.ALL_OR_NONE if words.all_or_none else 0)
        | (TermOption.DAY if words.day else 0)
    )
    terms = OrderTerms(
        trigger=trigger,
        trigger_price_ticks=0 if trailing else price_ticks(at, units),
        offset_ticks=price_ticks(at, units) if trailing else signed_ticks(words.offset, units),
        display_lots=quantity_lots(words.display, units),
        minimum_lots=quantity_lots(words.minimum, units),
        expire_ns=moment_ns(words.expire),
        peg=Peg[words.peg.upper()] if words.peg else Peg.NONE,
        options=options,
    )
    return None if terms == OrderTerms() else terms


def order_link(cancels: int, instead_of: int) -> OrderLink | None:
    """cancels: id of an open order, of the two only one is to trade; instead_of: id of the order to cancel first."""
    if cancels and instead_of:
        raise typer.BadParameter("an order has one link: give --one-cancels or --instead-of")
    if cancels:
        return OrderLink(order_id=cancels, action=LinkAction.ONE_CANCELS_OTHER)
    return OrderLink(order_id=instead_of, action=LinkAction.CANCEL_FIRST) if instead_of else None


def price_ticks(text: str | None, units: Units | None) -> int:
    """A price; 0 for none."""
    if text is None:
        return 0
    return units.price_ticks(text) if units is not None else _whole(text, "a price in ticks")


def signed_ticks(text: str | None, units: Units | None) -> int:
    """A difference of prices, which may be below zero; 0 for none."""
    if text is None:
        return 0
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    return sign * price_ticks(digits, units)


def quantity_lots(text: str | None, units: Units | None) -> int:
    """A quantity; 0 for none."""
    if text is None:
        return 0
    return units.quantity_lots(text) if units is not None else _whole(text, "a quantity in lots")


def quote_units(text: str, units: Units | None) -> int:
    """An amount of the quote asset."""
    return amount_units(text, units.quote_decimals) if units is not None else _whole(text, "an amount in units")


def moment_ns(text: str | None) -> int:
    """A moment, in ns since the epoch; 0 for none. A duration counts from now."""
    if text is None:
        return 0
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text):
        return time.time_ns() + int(float(match[1]) * _SECONDS[match[2]] * 1e9)
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"a time must be a duration like 90s or 2h, or a moment like 2026-12-31T16:00:00+01:00, was {text!r}"
        ) from None
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000


def duration_ms(text: str) -> int:
    """A duration like 500ms, 30s, 5m; 0 is none."""
    if text == "0":
        return 0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if match is None:
        raise typer.BadParameter(f"a duration must be a number with ms, s, m, h or d behind it, was {text!r}")
    return int(float(match[1]) * _SECONDS[match[2]] * 1000)


def _whole(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"with --raw {what} must be a whole number, was {text!r}") from None
