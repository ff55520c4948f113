"""Lists that are longer than memory: what it no longer keeps comes from the database, without gap or repeat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Stack
from tests.support.node import wait_until
from tests.support.services import create_database, drop_database

COUNT = 160
KEPT = 100


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[Stack]:
    path: Path = tmp_path_factory.mktemp("history")
    url = create_database(postgres_server)
    with Stack(path, database=url, orders_kept=KEPT, trades_kept=KEPT) as made:
        for number in range(COUNT):
            made.order("alice", "BUY", "0.001", "60000", newClientOrderId=f"alice-{number}")
            made.order("bob", "SELL", "0.001", "60000")
        yield made
    drop_database(url, postgres_server)


def read(stack: Stack, path: str, **parameters: object) -> Any:
    """The answer, as soon as the database has come so far."""

    def answered() -> Any:
        status, answer = stack.signed("alice", "GET", f"/api/v3/{path}", symbol="BTCUSD", **parameters)
        assert status == 200 or (status == 503 and answer["code"] == -1001), (status, answer)
        return (answer,) if status == 200 else None

    return wait_until(answered, 30, "the database is behind")[0]


def test_all_orders_are_told_from_the_first_one_on(stack: Stack) -> None:
    every = read(stack, "allOrders", orderId=0, limit=1000)
    assert [one["clientOrderId"] for one in every] == [f"alice-{number}" for number in range(COUNT)]
    assert {one["status"] for one in every} == {"FILLED"}
    assert [one["orderId"] for one in read(stack, "allOrders", limit=5)] == [one["orderId"] for one in every[-5:]]
    page = read(stack, "allOrders", orderId=every[20]["orderId"], limit=10)
    assert page == every[20:30]


def test_an_old_order_is_found_by_either_name(stack: Stack) -> None:
    first = read(stack, "order", origClientOrderId="alice-0")
    assert (first["status"], first["executedQty"], first["type"]) == ("FILLED", "0.0010", "LIMIT")
    assert read(stack, "order", orderId=first["orderId"]) == first


def test_all_trades_are_told_from_the_first_one_on(stack: Stack) -> None:
    every = read(stack, "myTrades", fromId=0, limit=1000)
    assert [one["id"] for one in every] == list(range(1, COUNT + 1))
    assert {one["commission"] for one in every} == {"0.006000"}
    assert [one["id"] for one in read(stack, "myTrades", orderId=every[0]["orderId"])] == [1]
    status, public = stack.get("/api/v3/aggTrades", symbol="BTCUSD", fromId=1, limit=1000)
    assert status == 200
    assert [one["a"] for one in public] == list(range(1, COUNT + 1))
    status, public = stack.get("/api/v3/historicalTrades", symbol="BTCUSD", fromId=30, limit=3)
    assert [one["id"] for one in public] == [30, 31, 32]
