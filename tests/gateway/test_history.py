"""Memory that begins at a snapshot, and the database before it: together they say what a memory of everything says."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from engine_node import _engine
from gateway import past
from gateway.candles import INTERVALS, Candle
from gateway.errors import HISTORY_AWAY, ApiError
from gateway.history import History
from gateway.market import Fill, Market, Order, Trade
from gateway.mirror import Mirror
from gateway.settings import GatewaySettings
from gateway.symbols import client_number
from ironbook.embedded import Analytics
from schemas import vocabulary as v
from schemas.migrations import migrate
from streams.analytics.store import open_store
from tests.gateway.markets import Records, random_market
from tests.support.aio import in_loop, until
from tests.support.services import create_database, drop_database

SEED, COMMANDS, SLOWER = 5, 2500, 20_000_000  # a pause is 20 ms or 14 s, or some hours
ORDER_FIELDS = (
    "order_id", "account", "key", "instrument", "side", "client_order_id", "client_text", "post_only", "price_ticks",
    "remaining_lots", "filled_lots", "notional_units", "fee_units", "fills", "status", "code", "entered_ns",
    "updated_ns",
)  # fmt: skip


def fields(thing: Order | Fill | Trade | Candle, names: tuple[str, ...] = ()) -> tuple[object, ...]:
    return tuple(getattr(thing, name) for name in names or type(thing).__slots__ if name != "previous")


@dataclasses.dataclass
class Recorded:
    """A market's records, where its memory begins, how far its database is, and the end of it."""

    records: bytes
    options: dict[str, int]
    snapshot: bytes
    began_at: int
    stored_until: int
    url: str

    def gateway(self, market: Market, history: History | None) -> Any:
        return SimpleNamespace(market=market, history=history, now_ns=market.mirror.core.received_ns)

    @asynccontextmanager
    async def whole(self) -> AsyncIterator[Any]:
        """A gateway that has seen everything, without a database."""
        async with self._opened(Records(self.records, **self.options)) as (mirror, market):
            assert mirror.began_at == 0
            yield self.gateway(market, None)

    @asynccontextmanager
    async def late(self, url: str = "", **settings: int) -> AsyncIterator[Any]:
        """One whose memory begins at the snapshot."""
        chosen = GatewaySettings(**settings)
        source = Records(self.records, snapshot=self.snapshot, **self.options)
        mirror = Mirror(source, chosen)
        market = Market(mirror, chosen)
        history = History(url or self.url, market)
        await history.open()
        await mirror.open()
        assert (mirror.trouble, mirror.began_at) == ("", self.began_at)
        yield self.gateway(market, history)
        await mirror.close()
        await history.close()

    @asynccontextmanager
    async def _opened(self, source: Records) -> AsyncIterator[tuple[Mirror, Market]]:
        settings = GatewaySettings()
        mirror = Mirror(source, settings)
        market = Market(mirror, settings)
        await mirror.open()
        yield mirror, market
        await mirror.close()


def write_journal(directory: Path, records: bytes, options: dict[str, int]) -> None:
    directory.mkdir(parents=True)
    capacities = _engine.Core(**options).options()
    writer = _engine.JournalWriter(str(directory), shard=0, segment_records=4096, core_options=capacities)
    writer.append(_engine.seal(records))
    writer.close()


def fill_database(url: str, data: Path) -> None:
    """What `ironbook up` does beside its engine."""

    async def run() -> None:
        store = open_store(url, "embedded")
        analytics = Analytics(data, store)
        await analytics.open()
        while await analytics.step():
            pass
        analytics.close()
        await store.close()

    asyncio.run(run())


@pytest.fixture(scope="module")
def recorded(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    records, options = random_market(SEED, COMMANDS, SLOWER)
    core, ends = _engine.Core(**options), []
    while core.sequence() * 64 < len(records):
        at, size = core.sequence() * 64, 64
        while core.group_bytes(records[at : at + size]) < size or records[at + size - 64] >= v.Kind.TEXT:
            size += 64
        core.apply(records[at : at + size])
        ends.append(core.sequence())
    began_at, stored_until = ends[len(ends) * 2 // 5], ends[len(ends) * 3 // 5]
    early = _engine.Core(**options)
    early.apply(records[: began_at * 64])
    url = create_database(postgres_server)
    migrate(url)
    data = tmp_path_factory.mktemp("history")
    write_journal(data / "journal", records[: stored_until * 64], options)
    fill_database(url, data)
    yield Recorded(records, options, early.save(), began_at, stored_until, url)
    drop_database(url, postgres_server)


async def compare(
    ask: Callable[[Any, Any], Any],
    whole: Any,
    late: Any,
    names: tuple[str, ...] = (),
    *,
    of: tuple[int, ...] = (1, 2, 3),
) -> int:
    """The same question to both, about each of these numbers; how many things were answered."""
    count = 0
    for number in of:
        wanted, found = await ask(whole, number), await ask(late, number)
        assert [fields(one, names) for one in found] == [fields(one, names) for one in wanted]
        count += len(found)
    return count


async def seeded(gateway: Any) -> None:
    await until(lambda: gateway.history.seeded)


@in_loop
async def test_orders_of_both_are_those_of_a_memory_of_everything(recorded: Recorded) -> None:
    async with recorded.whole() as whole, recorded.late() as late:
        await seeded(late)
        middle = recorded.began_at
        times = [order.entered_ns for order in whole.market.orders(1)]
        instrument = whole.market.mirror.instruments[1]
        count = 0
        for asked in (
            {"limit": 1000}, {"limit": 7}, {"limit": 40}, {"from_id": 0, "limit": 30},
            {"from_id": middle - 300, "limit": 30}, {"from_id": middle - 20, "limit": 100},
            {"from_id": middle + 100, "limit": 20}, {"before_id": middle, "limit": 9},
            {"before_id": middle + 200, "limit": 60}, {"before_id": 1, "limit": 9},
            {"before_id": middle - 200, "limit": 60}, {"start_ns": times[len(times) // 2], "limit": 25},
            {"end_ns": times[len(times) // 3], "limit": 25},
            {"start_ns": times[-5], "end_ns": times[5], "limit": 50}, {"start_ns": times[0] + 1, "limit": 50},
        ):  # fmt: skip
            for of in (None, instrument):
                asked["instrument"] = of  # type: ignore[assignment]
                count += await compare(
                    lambda gateway, account, asked=asked: past.orders(gateway, account, **asked),
                    whole, late, ORDER_FIELDS,
                )  # fmt: skip
        assert count > 300


@in_loop
async def test_an_order_is_found_by_its_number_and_by_its_clients_text_wherever_it_is_kept(recorded: Recorded) -> None:
    async with recorded.whole() as whole, recorded.late() as late:
        await seeded(late)
        every = [order for account in (1, 2, 3) for order in whole.market.orders(account)]
        assert {order.order_id < recorded.began_at for order in every} == {True, False}
        for order in every:
            found = await past.order(late, order.account, order_id=order.order_id)
            assert found is not None
            assert fields(found, ORDER_FIELDS) == fields(order, ORDER_FIELDS)
            assert await past.order(late, order.account + 1, order_id=order.order_id) is None
        for account, text in {
            (order.account, order.client_text)
            for order in every
            if order.client_text and order.client_order_id == client_number(order.client_text)
        }:
            found = await past.order(late, account, text=text)
            wanted = whole.market.order_by_text(account, text)
            assert found is not None
            assert wanted is not None
            assert found.order_id == wanted.order_id
        assert await past.order(late, 1, text="nobody") is None
        assert await past.order(late, 1, order_id=2**64 - 1) is None
        assert await past.order(late, 1, order_id=0) is None
        assert await past.order(late, 1) is None


@in_loop
async def test_fills_and_trades_of_both_are_those_of_a_memory_of_everything(recorded: Recorded) -> None:
    async with recorded.whole() as whole, recorded.late() as late:
        instruments = whole.market.mirror.instruments
        count = 0
        for instrument in instruments.values():
            trades = whole.market.trades(instrument.number, 10_000)
            if not trades:
                continue
            times = [trade.received_ns for trade in trades]
            for asked in (
                {"limit": 1000}, {"limit": 5}, {"from_id": 0, "limit": 20},
                {"from_id": len(trades) // 3, "limit": 1000}, {"from_id": len(trades), "limit": 5},
                {"from_id": len(trades) + 1, "limit": 5},
                {"start_ns": times[len(times) // 4], "limit": 12}, {"end_ns": times[len(times) // 4], "limit": 12},
                {"start_ns": times[0], "end_ns": times[-1], "limit": 1000}, {"start_ns": times[-1] + 1, "limit": 5},
            ):  # fmt: skip
                count += await compare(
                    lambda gateway, _, asked=asked, of=instrument: past.trades(gateway, of, **asked),
                    whole, late, of=(0,),
                )  # fmt: skip
                count += await compare(
                    lambda gateway, account, asked=asked, of=instrument: past.fills(
                        gateway, account, instrument=of, **asked
                    ),
                    whole, late,
                )  # fmt: skip
        places = [(fill.sequence, fill.n) for fill in whole.market.fills(1)]
        for before in (None, places[3], places[len(places) // 2], places[-1], (recorded.began_at, 0)):
            count += await compare(
                lambda gateway, account, before=before: past.fills(gateway, account, before=before, limit=11),
                whole, late,
            )  # fmt: skip
        assert count > 300
        for order in whole.market.orders(2):
            wanted = whole.market.fills_of(order)
            found = await past.fills(late, 2, order_id=order.order_id)
            assert [fields(one) for one in found] == [fields(one) for one in wanted]


@in_loop
async def test_both_fills_of_an_account_that_traded_with_itself_are_in_one_page(recorded: Recorded) -> None:
    async with recorded.whole() as whole, recorded.late() as late:
        pairs = 0
        for gateway in (whole, late):
            for number, instrument in gateway.market.mirror.instruments.items():
                every = [fill for fill in whole.market.fills(1) if fill.instrument == number][::-1]
                pairs += len(every) - len({fill.trade_id for fill in every})
                for limit in (1, 2, 3, 7):
                    found: list[Fill] = []
                    at = 0
                    while page := await past.fills(gateway, 1, instrument=instrument, from_id=at, limit=limit):
                        found += page
                        at = page[-1].trade_id + 1
                    assert [(fill.sequence, fill.n) for fill in found] == [(fill.sequence, fill.n) for fill in every]
        assert pairs


CANDLE_FIELDS = tuple(name for name in Candle.__slots__ if name != "buy_notional_units")  # the table does not have it


@in_loop
async def test_candles_and_the_days_figures_of_both_are_those_of_a_memory_of_everything(recorded: Recorded) -> None:
    async with recorded.whole() as whole, recorded.late() as late:
        await seeded(late)
        now_ns = whole.now_ns()
        count = 0
        for number, instrument in whole.market.mirror.instruments.items():
            times = [trade.received_ns for trade in whole.market.trades(number, 10_000)]
            for interval in INTERVALS:
                for asked in (
                    {"limit": 1000}, {"limit": 3}, {"start_ns": 0, "limit": 5},
                    {"start_ns": times[len(times) // 2], "limit": 9}, {"start_ns": now_ns + 1, "limit": 5},
                    {"start_ns": times[0], "end_ns": times[-1], "limit": 50},
                    {"end_ns": times[len(times) // 3], "limit": 20},
                ):  # fmt: skip
                    count += await compare(
                        lambda gateway, _, asked=asked, of=instrument, at=interval: past.candles(
                            gateway, of, at, **asked
                        ),
                        whole, late, CANDLE_FIELDS, of=(0,),
                    )  # fmt: skip
            for later_ns in (0, 10**9, 3600 * 10**9, 40 * 3600 * 10**9):
                ours, theirs = (gateway.market.ticker(number, now_ns + later_ns) for gateway in (late, whole))
                for name in type(ours).__slots__:
                    assert getattr(ours, name) == getattr(theirs, name), name
        assert count > 1000


@in_loop
async def test_orders_that_were_open_at_the_beginning_are_completed(recorded: Recorded) -> None:
    async with recorded.whole() as whole, recorded.late() as late:
        old = [order.order_id for order in late.market._orders.values() if order.order_id <= recorded.began_at]
        assert old
        await seeded(late)
        assert late.market.incomplete() == []
        for order_id in old:
            ours, theirs = late.market.order(order_id), whole.market.order(order_id)
            assert ours is not None
            assert fields(ours, ORDER_FIELDS) == fields(theirs, ORDER_FIELDS)


@in_loop
async def test_a_hole_between_database_and_memory_is_refused_and_what_needs_no_database_goes_on(
    recorded: Recorded, postgres_server: str
) -> None:
    url = await asyncio.get_running_loop().run_in_executor(None, create_database, postgres_server)
    await asyncio.get_running_loop().run_in_executor(None, migrate, url)
    async with recorded.late(url) as late:
        instrument = late.market.mirror.instruments[1]
        assert await late.history.mark() == 0
        for question in (
            past.orders(late, 1), past.fills(late, 1), past.trades(late, instrument), past.order(late, 1, order_id=5),
            past.order(late, 1, text="nobody"), past.candles(late, instrument, "1d"),
        ):  # fmt: skip
            with pytest.raises(ApiError, match="the database is still behind") as refused:
                await question
            assert refused.value.problem is HISTORY_AWAY
        assert not late.history.seeded
        newest = late.market.trades(1, 5)
        assert await past.trades(late, instrument, limit=5) == newest
        assert len(await past.orders(late, 1, limit=3)) == 3
    await asyncio.get_running_loop().run_in_executor(None, drop_database, url, postgres_server)


@in_loop
async def test_a_database_that_is_away_is_told_and_memory_answers_what_it_can(recorded: Recorded) -> None:
    async with recorded.late("postgresql://nobody:secret@127.0.0.1:1/nothing") as late:
        assert await late.history.mark() is None
        with pytest.raises(ApiError) as refused:
            await past.orders(late, 1)
        assert refused.value.problem is HISTORY_AWAY
        assert "secret" not in f"{refused.value} {refused.value.detail} {refused.value.hint}"
        assert len(await past.orders(late, 1, limit=3)) == 3
        assert late.history.error_count > 0


@in_loop
async def test_nothing_can_be_changed_through_it_and_no_statement_runs_for_ever(recorded: Recorded) -> None:
    async with recorded.late() as late:
        with pytest.raises(ApiError, match="the database is away"):
            await late.history.rows("DELETE FROM trades")
        [row] = await late.history.rows("SELECT current_setting('statement_timeout') AS timeout")
        assert row["timeout"] == "5s"
        crowd = [asyncio.create_task(late.history.rows("SELECT pg_sleep(0.2)")) for _ in range(200)]
        done = await asyncio.gather(*crowd, return_exceptions=True)
        assert sum(isinstance(one, ApiError) for one in done) >= 100


@in_loop
async def test_a_server_that_was_restarted_is_not_noticed(recorded: Recorded) -> None:
    async with recorded.late() as late:
        await seeded(late)
        await asyncio.gather(*(late.history.rows("SELECT 1") for _ in range(4)))
        killer = await asyncpg.connect(recorded.url)
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ironbook-gateway'"
        )
        await killer.close()
        assert await late.history.mark() == recorded.stored_until
        assert len(await past.orders(late, 1, limit=1000)) > 10
        assert late.history.error_count == 0


@in_loop
async def test_numbers_beyond_all_bounds_are_answered(recorded: Recorded) -> None:
    async with recorded.late() as late:
        instrument = late.market.mirror.instruments[1]
        for number in (-(2**70), -1, 0, 2**63 - 1, 2**63, 2**70):
            for question in (
                past.orders(late, 1, from_id=number), past.orders(late, 1, before_id=number),
                past.orders(late, 1, start_ns=number), past.orders(late, 1, end_ns=number),
                past.order(late, 1, order_id=number), past.order(late, 1, text=str(number)),
                past.fills(late, 1, instrument=instrument, from_id=number),
                past.fills(late, 1, before=(number, number)), past.fills(late, 1, order_id=number),
                past.fills(late, 1, start_ns=number, end_ns=number),
                past.trades(late, instrument, from_id=number), past.trades(late, instrument, start_ns=number),
                past.trades(late, instrument, end_ns=number), past.candles(late, instrument, "1M", start_ns=number),
                past.candles(late, instrument, "1w", end_ns=number),
                past.candles(late, instrument, "1s", start_ns=number, end_ns=number),
            ):  # fmt: skip
                found = await question
                assert found is None or isinstance(found, list | Order)
        assert late.history.error_count == 0


@in_loop
async def test_every_question_goes_by_an_index(recorded: Recorded) -> None:
    asked: list[tuple[str, tuple[object, ...]]] = []
    async with recorded.late() as late:
        rows = late.history.rows

        async def note(sql: str, *values: object) -> list[Any]:
            asked.append((sql, values))
            return await rows(sql, *values)

        late.history.rows = note
        instrument = late.market.mirror.instruments[1]
        await past.orders(late, 1)
        await past.orders(late, 1, instrument=instrument, from_id=1)
        await past.order(late, 1, order_id=5)
        await past.order(late, 1, text="nobody")
        await past.fills(late, 1)
        await past.fills(late, 1, order_id=5)
        await past.fills(late, 1, instrument=instrument, start_ns=1)
        await past.trades(late, instrument, start_ns=1)
        await past.candles(late, instrument, "1h", start_ns=1)
        late.history.rows = rows
        assert len({sql for sql, _ in asked}) >= 10
        for sql, values in asked:
            if "stream_marks" in sql:
                continue
            async with late.history._pool.acquire() as connection, connection.transaction():
                await connection.execute("SET LOCAL enable_seqscan = off")
                plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *values))
            assert "Seq Scan" not in plan, f"{sql}\n{plan}"
