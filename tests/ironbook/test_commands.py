"""What does not fit a frame is refused by its name, its value and its range; nothing of the packing shows through."""

from __future__ import annotations

from typing import Any

import pytest

from ironbook import Command, InputInvalid
from ironbook._commands import _ranges, pack, pack_cancel, pack_order
from ironbook._methods import CommandMethods
from schemas.vocabulary import (
    COMMANDS,
    AccountLimits,
    BalanceFloor,
    Deposit,
    Instrument,
    Kind,
    NewOrder,
    OrderLink,
    OrderTerms,
    Side,
)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (NewOrder(quantity_lots=10**20), "quantity_lots must be from 0 to 2^48-1, was 100000000000000000000"),
        (NewOrder(account=-1), "account must be from 0 to 2^32-1, was -1"),
        (NewOrder(side=256), "side must be from 0 to 255, was 256"),
        (Deposit(amount_units=1 << 70), f"amount_units must be from 0 to 2^62-1, was {1 << 70}"),
        (BalanceFloor(floor_units=1 << 70), f"floor_units must be from {1 - (1 << 62)} to 0, was {1 << 70}"),
        (AccountLimits(open_orders_max=-1), "open_orders_max must be from 0 to 2^32-1, was -1"),
        (Instrument(maker_fee_ppm=1 << 31), f"maker_fee_ppm must be from -100000 to 100000, was {1 << 31}"),
        (NewOrder(price_ticks=1.5), "price_ticks must be a whole number (int), was 1.5"),  # type: ignore[arg-type]
    ],
)
def test_a_field_out_of_range_is_named(command: Command, says: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        pack(command)
    assert says in caught.value.message
    assert type(command).__name__ in caught.value.detail


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"price_ticks": "60000"}, "price_ticks must be a whole number (int), was '60000' (str)"),
        ({"quantity_lots": 10**20}, "quantity_lots must be from 0 to 2^48-1"),
        ({"client_order_id": -1}, "client_order_id must be from 0 to 2^64-1, was -1"),
        ({"account": None}, "account must be a whole number (int), was None (NoneType)"),
    ],
)
def test_an_argument_of_an_order_is_named(fields: dict[str, Any], says: str) -> None:
    good: dict[str, Any] = {"account": 1, "instrument": 1, "side": 1, "price_ticks": 1, "quantity_lots": 1}
    assert len(pack_order(**good)) == 48
    with pytest.raises(InputInvalid) as caught:
        pack_order(**good | fields)
    assert says in caught.value.message


class Unsent(CommandMethods[None]):
    """Packs what it is asked for, and sends nothing."""

    def _do(self, group: tuple[bytes, ...], timeout_s: float | None) -> None:
        assert all(len(frame) == 48 for frame in group)

    @property
    def account(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"link": OrderLink(order_id=-4, action=2)}, "order_id must be from 0 to 2^64-1, was -4"),
        ({"terms": OrderTerms(display_lots=1 << 64)}, f"display_lots must be from 0 to 2^48-1, was {1 << 64}"),
        ({"terms": OrderTerms(offset_ticks=-7, peg=256)}, "peg must be from 0 to 255, was 256"),
    ],
)
def test_a_term_or_link_of_an_order_that_does_not_fit_is_named(more: dict[str, Any], says: str) -> None:
    Unsent().submit(1, Side.BUY, 1, 1, terms=OrderTerms(offset_ticks=-7), link=OrderLink(order_id=4, action=2))
    with pytest.raises(InputInvalid) as caught:
        Unsent().submit(1, Side.BUY, 1, 1, **more)
    assert says in caught.value.message


def test_an_argument_of_a_cancel_is_named() -> None:
    with pytest.raises(InputInvalid, match="order_id must be a whole number"):
        pack_cancel(1, 1, "7")  # type: ignore[arg-type]


def test_what_is_no_command_and_a_text_that_is_none_are_refused() -> None:
    with pytest.raises(InputInvalid, match=r"must be one of ironbook\.Command, was a str"):
        pack("buy")  # type: ignore[arg-type]
    with pytest.raises(InputInvalid, match="a text must be 1 to 36 ASCII characters, was 7"):
        pack(NewOrder(), 7)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", COMMANDS.values(), ids=lambda kind: kind.__name__)
def test_the_ranges_of_every_kind_follow_its_layout(kind: Any) -> None:
    assert kind.KIND in set(Kind)
    for name, span in _ranges(kind).items():
        if isinstance(span, tuple):
            for value in span:
                packed = kind(**{name: value}).pack()
                assert getattr(kind.unpack(packed), name) == value
