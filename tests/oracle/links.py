"""Section 15: orders that are tied to an open order of the same account and instrument.

What is tied is cancelled in cancels.py; here is who may be tied to whom, and what the two lock.
"""

from __future__ import annotations

from collections.abc import Iterator

from schemas.vocabulary import Code, LinkAction, NewOrder, OrderLink
from tests.oracle import ledger, named, terms, unlit
from tests.oracle.commands import Group
from tests.oracle.state import OrderState, State


def form_faults(command: NewOrder, group: Group) -> Iterator[Code]:
    if group.link is None:
        return
    if (group.link.order_id > 0) == (group.link.target_client_order_id > 0):
        yield Code.MALFORMED
    if group.link.action not in list(LinkAction):
        yield Code.MALFORMED
    if group.link.action == LinkAction.ONE_CANCELS_OTHER:
        stays = terms.can_rest(command) or terms.waits(group.terms)
        if not stays or terms.is_unlit(group.terms):
            yield Code.MALFORMED


def target(state: State, command: NewOrder, link: OrderLink) -> OrderState | None:
    """The open order that a link names, if it is of the new order's account and instrument."""
    return named.order(state, command.account, command.instrument, link.order_id, link.target_client_order_id)


def target_faults(state: State, command: NewOrder, link: OrderLink | None) -> Iterator[Code]:
    if link is None:
        return
    order = target(state, command, link)
    if order is None:
        yield Code.UNKNOWN_ORDER
        return
    fits = order.side == command.side and not order.linked and not unlit.is_unlit(order)
    if link.action == LinkAction.ONE_CANCELS_OTHER and not fits:
        yield Code.LINK_INVALID


def one_cancels_other(state: State, command: NewOrder, link: OrderLink | None) -> OrderState | None:
    """The order that the new one is to be linked with."""
    if link is None or link.action != LinkAction.ONE_CANCELS_OTHER:
        return None
    return target(state, command, link)


def lock_of_new(state: State, order: OrderState, other: OrderState | None) -> int:
    """What a new order locks: what its need exceeds the lock of the one that it is linked with by."""
    need = ledger.needed(state.instruments[order.instrument], order)
    return need if other is None else max(need - other.lock, 0)


def tie(order: OrderState, other: OrderState) -> None:
    order.linked, other.linked = other.id, order.id


def take_over_lock(state: State, stays: OrderState, ends: OrderState) -> None:
    """The lock of the cancelled one goes to the one that stays open, and what that does not need is freed."""
    stays.lock += ends.lock
    ends.lock = 0
    stays.linked = ends.linked = 0
    ledger.lower_lock(state, stays)
