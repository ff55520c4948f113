"""A book kept from a snapshot and changes is the engine's, and says when it is not."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from ironbook import StreamGap, StreamInvalid
from ironbook._book_view import BookState
from ironbook.subscribe import BookView, events
from tests.support.topics import example, make_topics, partition, writing


def level(update_id: int, side: str, price_ticks: int, lots: int) -> dict[str, Any]:
    return example(
        "book", "level", seq=update_id, n=0, update_id=update_id, side=side, price_ticks=price_ticks, quantity_lots=lots
    )


def event(kind: type[Any], data: dict[str, Any]) -> Any:
    return kind.from_dict(data)


async def read_all(book: BookView) -> None:
    async for _ in book:
        pass


def snapshot_of(book: BookState) -> dict[str, Any]:
    rows = [
        [[one.price, one.quantity, one.price_ticks, one.quantity_lots, one.order_count] for one in side]
        for side in (book.bids(), book.asks())
    ]
    return example("book.snapshots", "snapshot", seq=book.seq, update_id=book.update_id, bids=rows[0], asks=rows[1])


def random_changes(seed: int, count: int) -> list[dict[str, Any]]:
    """Changes that leave the book uncrossed."""
    chance, made = random.Random(seed), []
    for update_id in range(1, count + 1):
        side = chance.choice(("buy", "sell"))
        price = chance.randint(900, 999) if side == "buy" else chance.randint(1000, 1100)
        made.append(level(update_id, side, price, chance.choice((0, 0, 1, 5, 70))))
    return made


def test_from_any_snapshot_on_the_same_book_comes_out() -> None:
    changes = random_changes(seed=3, count=400)
    whole = BookState("BTC/USD")
    middles = {}
    for number, change in enumerate(changes):
        assert whole.apply(event(events.Level, change))
        if number % 97 == 0:
            middles[number] = snapshot_of(whole)
    for middle in middles.values():
        book = BookState("BTC/USD")
        book.load(event(events.Snapshot, middle))
        for change in changes:
            book.apply(event(events.Level, change))
        assert [(one.price_ticks, one.quantity_lots) for one in book.bids() + book.asks()] == [
            (one.price_ticks, one.quantity_lots) for one in whole.bids() + whole.asks()
        ]
        assert book.crc32() == whole.crc32()


def test_the_best_levels_come_first() -> None:
    book = BookState("BTC/USD")
    for number, (side, price) in enumerate((("buy", 9), ("buy", 10), ("sell", 12), ("sell", 11)), 1):
        book.apply(event(events.Level, level(number, side, price, 1)))
    assert [one.price_ticks for one in book.bids()] == [10, 9]
    assert [one.price_ticks for one in book.asks(1)] == [11]


def test_a_change_that_is_missing_is_told() -> None:
    book = BookState("BTC/USD")
    book.apply(event(events.Level, level(1, "buy", 9, 1)))
    with pytest.raises(StreamGap) as told:
        book.apply(event(events.Level, level(4, "buy", 9, 1)))
    assert (told.value.after, told.value.until) == ((1, 0), (3, 0))


def test_a_checksum_that_differs_is_told_and_one_of_another_update_passed_over() -> None:
    book = BookState("BTC/USD")
    book.apply(event(events.Level, level(1, "buy", 9, 1)))
    good = example("book", "checksum", update_id=1, crc32=book.crc32())
    book.verify(event(events.Checksum, good))
    book.verify(event(events.Checksum, good | {"update_id": 2, "crc32": 7}))
    with pytest.raises(StreamInvalid, match="must have the checksum"):
        book.verify(event(events.Checksum, good | {"crc32": 7}))


def test_the_checksum_is_the_one_of_the_engine() -> None:
    """BTC/USD with one ask of 5,000 lots at 60,010.00: what an engine said of that book."""
    book = BookState("BTC/USD")
    book.apply(event(events.Level, level(1, "sell", 6_001_000, 5_000)))
    assert book.crc32() == 2871789005


def test_a_view_begins_with_the_snapshot_and_goes_on_with_what_changes(kafka: str, topic_prefix: str) -> None:
    async def body() -> None:
        await make_topics(kafka, topic_prefix, "book", "book.snapshots")
        at, changes = partition("book", "BTC/USD"), random_changes(seed=5, count=30)
        whole = BookState("BTC/USD")
        async with writing(kafka, topic_prefix) as writer:
            for number, change in enumerate(changes):
                await writer.send("book", at, [change])
                whole.apply(event(events.Level, change))
                if number == 19:
                    value = json.dumps(snapshot_of(whole)).encode()
                    await writer.send_raw("book.snapshots", at, value, b"BTC/USD")
            checksum = example("book", "checksum", seq=30, n=1, update_id=30, crc32=whole.crc32())
            await writer.send("book", at, [checksum])
            await writer.send("book", at, [level(31, "buy", 950, 3)])
            async with BookView(kafka, "BTC/USD", prefix=topic_prefix) as book:
                async with asyncio.timeout(20):
                    found = [(await anext(book)).update_id for _ in range(11)]
                assert found == list(range(21, 32))
                whole.apply(event(events.Level, level(31, "buy", 950, 3)))
                assert book.state.crc32() == whole.crc32()
            await writer.send("book", at, [example("book", "checksum", seq=32, n=0, update_id=31, crc32=1)])
            async with BookView(kafka, "BTC/USD", prefix=topic_prefix) as book:
                with pytest.raises(StreamInvalid):
                    await asyncio.wait_for(read_all(book), 20)

    asyncio.run(asyncio.wait_for(body(), 60))
