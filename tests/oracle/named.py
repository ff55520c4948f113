"""Sections 6 and 15: the open order that a command or a link names."""

from __future__ import annotations

from tests.oracle.state import OrderState, State


def by_client(state: State, account: int, client_order_id: int) -> OrderState | None:
    for order in state.orders_of(account):
        if order.client_order_id == client_order_id:
            return order
    return None


def order(state: State, account: int, instrument: int, order_id: int, client_order_id: int) -> OrderState | None:
    """By its id or by the client's number; none if it is of another account or instrument."""
    found = state.orders.get(order_id) if order_id > 0 else by_client(state, account, client_order_id)
    if found is None or (found.account, found.instrument) != (account, instrument):
        return None
    return found
