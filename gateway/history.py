"""What is older than the mirror's memory: reads of the tables of docs/reference/database.md.

    Market (memory) ◀── seeds: candles, orders that were open at the beginning ── History ── asyncpg pool ── PostgreSQL

Every query goes by an index and has a limit; connections, those who wait for one, and the time of each are bounded.
While the database is away, or behind where memory begins, a question that needs it is refused with HISTORY_AWAY: no
answer has a hole. `gateway/past.py` joins both.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from engine_node.logs import Log
from gateway.candles import BASES, Candle
from gateway.errors import HISTORY_AWAY, ApiError
from gateway.market import Fill, Market, Order, OrderStatus, Trade
from gateway.symbols import Instrument, client_number
from schemas import vocabulary as v

__all__ = ["History"]

Row = Any  # asyncpg.Record, whose fields have the names of the columns

CONNECTIONS: Final = 4
WAITING_MAX: Final = 64  # queries under way and waiting; more are refused
TIMEOUT_S: Final = 5.0
WARM_PAUSE_S: Final = 0.2
SETTLE_PAUSE_S: Final = 0.01
QUIET_S: Final = 5.0
ORDERS_AT_ONCE: Final = 500
SEEDS: Final = {"1s": 600, "1m": 3_000, "5m": 3_000, "1h": 3_000, "1d": 2_000}
AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
DIED: Final = (
    ConnectionError, asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError,
    asyncpg.InterfaceError, asyncpg.InternalClientError,
)  # fmt: skip
_CODES: Final = {one.name.lower(): int(one) for one in v.Code}
_TYPES: Final = {one.name.lower(): int(one) for one in v.OrderType}
_TIMES: Final = {one.name.lower(): int(one) for one in v.TimeInForce}
_BY_RULE: Final = frozenset(
    {
        "cancelled_unfilled", "cancelled_self_trade", "cancelled_amount_reached", "cancelled_linked",
        "cancelled_expired", "cancelled_session_closed", "cancelled_by_breaker", "cancelled_would_take",
    }
)  # fmt: skip
_ORDER: Final = (
    "order_id, account, key, instrument, side, client_order_id, order_type, time_in_force, post_only, price_ticks, "
    "quantity_lots, remaining_lots, filled_lots, filled_units, fees_units, fill_count, status, code, entered_ns, "
    "updated_ns, text"
)
_FILL: Final = (
    "account, order_id, trade_id, instrument, side, maker, price_ticks, quantity_lots, notional_units, fee_units, "
    "received_ns, seq, n"
)
_TRADE: Final = (
    "instrument, trade_id, price_ticks, quantity_lots, notional_units, side, received_ns, maker_order_id, "
    "taker_order_id, seq, auction"
)
_CANDLE: Final = (
    "start_ns, open_ticks, high_ticks, low_ticks, close_ticks, volume_lots, notional_units, buy_volume_lots, "
    "trade_count, first_trade_id, last_trade_id"
)
# Of one account, in each of some symbols: each index scan has its own limit. A cursor is a place (seq, n); in its own
# symbol it is a trade id, by which the index is entered.
_FILLS: Final = f"""
SELECT {_FILL} FROM unnest($2::text[]) AS wanted (symbol), LATERAL (
    SELECT e.* FROM executions AS e
    WHERE e.account = $1 AND e.symbol = wanted.symbol AND e.type = 'filled' AND e.shard = $3
        AND e.trade_id BETWEEN $4 AND $5 AND (e.seq, e.n) < ($6, $7) AND e.received_ns BETWEEN $8 AND $9
    ORDER BY e.trade_id %s, e.n %s LIMIT $10
) AS found ORDER BY seq %s, n %s LIMIT $10
"""
_OLD_ORDERS: Final = """
SELECT order_id, min(received_ns) FILTER (WHERE type = 'accepted') AS entered_ns, max(received_ns) AS updated_ns,
    max(text) AS text, coalesce(sum(notional_units), 0) AS notional_units, coalesce(sum(fee_units), 0) AS fee_units,
    count(*) FILTER (WHERE type = 'filled') AS fill_count
FROM executions WHERE order_id = ANY($1::bigint[]) AND shard = $2 AND seq <= $3 GROUP BY order_id
"""
_FAR: Final = (1 << 63) - 1


class History:
    """The database of one gateway. `open` never fails: a database that is away may come.

    A row is never changed here: the session is read-only. `renew` goes on with another user or password: the new pool
    has answered before it is used, and what runs over the old one is finished there.
    """

    def __init__(self, url: str, market: Market, *, shard: int = 0, log: Log | None = None) -> None:
        self.market = market
        self.query_count = self.error_count = 0
        self.seeded = False  # all that memory wants of before its beginning is there
        self._url, self._shard, self._log = url, shard, log
        self._pool: asyncpg.Pool[Any] | None = None
        self._draining: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._seen = -1  # the last mark that was read: it only rises
        self._away = False
        self._by_events = False
        self._began_s = 0.0
        self._settled = asyncio.Event()  # seeded, or the database is away
        self._warming: asyncio.Task[None] | None = None
        market.mirror.on_begin(self._begin)

    async def open(self) -> None:
        """Connects when it is needed."""
        self._pool = await _pool(self._url)

    @property
    def url(self) -> str:
        """Of the database, with the user and the password that are in use."""
        return self._url

    async def renew(self, url: str) -> bool:
        """Go on with this URL, once it has answered; is it another one? Raises AWAY, and then nothing has changed."""
        if url == self._url:
            return False
        pool = await _pool(url)
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                await pool.fetchval("SELECT seq FROM stream_marks LIMIT 1")
        except BaseException:
            pool.terminate()
            raise
        old, self._pool, self._url = self._pool, pool, url
        if old is not None:
            task = asyncio.get_running_loop().create_task(_drain(old), name="old database pool")
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)
        return True

    async def settle(self, timeout_s: float) -> bool:
        """Wait until memory has what it wants of the database, so that the first answers are whole; is it so?

        Not for ever: the database may be away, or so far behind that this takes long. It goes on in the background.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), timeout_s)
        return self.seeded

    async def close(self) -> None:
        """Drop what is under way."""
        if self._warming is not None:
            self._warming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._warming
        if self._pool is not None:
            self._pool.terminate()
        for task in list(self._draining):
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)

    async def mark(self) -> int | None:
        """Up to which sequence the engine's events are in the tables; None: nobody knows now. Never raises."""
        try:
            found = await self.rows("SELECT consumer, seq FROM stream_marks WHERE shard = $1", self._shard)
        except ApiError:
            return None
        self._by_events = any(row["consumer"] == "analytics" for row in found)
        self._seen = max([self._seen, *(row["seq"] for row in found)])
        return max(self._seen, 0)

    async def reaches(self, sequence: int) -> None:
        """Is everything up to that sequence in the tables? Raises ApiError (HISTORY_AWAY) if not yet."""
        if self._seen < sequence and (await self.mark() or 0) < sequence and not self._quiet():
            raise ApiError(
                HISTORY_AWAY,
                "History must be complete up to where memory begins, and the database is still behind.",
                detail=f"the database is at sequence {max(self._seen, 0)}, memory begins behind {sequence}",
                hint="try again soon; see that what writes the database runs",
            )

    def _quiet(self) -> bool:
        """Marks of the topics' workers move with events only. Where none came, they stand still, and lack nothing."""
        now_s = asyncio.get_running_loop().time()
        return self._by_events and self.market.first_event == 0 and now_s - self._began_s > QUIET_S

    async def rows(self, sql: str, *values: object) -> list[Row]:
        """What a query gives. Raises ApiError (HISTORY_AWAY)."""
        pool = self._pool
        if pool is None or self._waiting >= WAITING_MAX:
            raise ApiError(HISTORY_AWAY, detail="too many queries are waiting" if pool else "it is not open")
        self._waiting += 1
        self.query_count += 1
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                found: list[Row] = await self._fetch(pool, sql, values)
        except AWAY as error:
            self._fail(error)
            raise ApiError(HISTORY_AWAY, detail=type(error).__name__, hint="try again soon") from None
        finally:
            self._waiting -= 1
        self._away = False
        return found

    async def _fetch(self, pool: asyncpg.Pool[Any], sql: str, values: tuple[object, ...]) -> list[Row]:
        """Once more over another connection, if this one has died: the server was restarted, or the pool renewed."""
        try:
            return await pool.fetch(sql, *values)
        except DIED:
            if self._pool is pool or self._pool is None:
                await pool.expire_connections()
            return await (self._pool or pool).fetch(sql, *values)

    def _fail(self, error: BaseException) -> None:
        self.error_count += 1
        if not self._away and self._log is not None:
            self._log.warning("history_away", reason=f"{type(error).__name__}: {error}")
        self._away = True

    # ---- Orders ------------------------------------------------------------------------------------------------------

    async def order(self, account: int, order_id: int) -> Order | None:
        """One order of an account."""
        if not 0 < order_id <= _FAR:
            return None
        sql = f"SELECT {_ORDER} FROM orders WHERE shard = $1 AND order_id = $2 AND account = $3"
        found = await self.rows(sql, self._shard, order_id, account)
        return _order(found[0]) if found else None

    async def order_by_text(self, account: int, text: str) -> Order | None:
        """The newest one that its client called so. One whose number was not made from its text is not found here."""
        sql = (
            f"SELECT {_ORDER} FROM orders WHERE account = $1 AND client_order_id = $2::text::numeric "
            "AND client_order_id <> 0 AND shard = $3 ORDER BY order_id DESC LIMIT 16"
        )
        found = await self.rows(sql, account, str(client_number(text)), self._shard)
        made = [_order(row) for row in found]
        return next((order for order in made if order.client_text == text), None)

    async def orders(
        self, account: int, symbol: str | None, first_id: int, last_id: int, start_ns: int, end_ns: int, limit: int,
        newest: bool,
    ) -> list[Order]:  # fmt: skip
        """Of an account, with ids and times of entry from the first to the last; the newest or the oldest of them."""
        way = "DESC" if newest else "ASC"
        by = "order_id" if symbol is not None else "entered_ns"  # as the indexes have it; both rise together
        sql = (
            f"SELECT {_ORDER} FROM orders WHERE account = $1 AND ($2::text IS NULL OR symbol = $2) AND shard = $3 "
            f"AND order_id BETWEEN $4 AND $5 AND entered_ns BETWEEN $6 AND $7 ORDER BY {by} {way} LIMIT $8"
        )
        if symbol is not None:
            sql = sql.replace("($2::text IS NULL OR symbol = $2)", "symbol = $2")
        values = (account, symbol, self._shard, first_id, min(last_id, _FAR), start_ns, end_ns, limit)
        return sorted((_order(row) for row in await self.rows(sql, *values)), key=lambda order: order.order_id)

    # ---- Fills and trades --------------------------------------------------------------------------------------------

    async def fills(
        self, account: int, symbols: Sequence[str], first_id: int, last_id: int, before: tuple[int, int],
        start_ns: int, end_ns: int, limit: int, newest: bool,
    ) -> list[Fill]:  # fmt: skip
        """Of an account in some symbols, with trade ids from first to last, before a place; by rising place."""
        way = "DESC" if newest else "ASC"
        if len(symbols) == 1 and start_ns > 0 and first_id == 0:
            first_id = await self._first_trade_id(symbols[0], start_ns)
        values = (
            account, list(symbols), self._shard, first_id, min(last_id, _FAR), min(before[0], _FAR), before[1],
            start_ns, end_ns, limit,
        )  # fmt: skip
        found = await self.rows(_FILLS % (way, way, way, way), *values)
        return sorted((_fill(row) for row in found), key=lambda fill: (fill.sequence, fill.n))

    async def fills_of(self, account: int, order_id: int, limit: int) -> list[Fill]:
        """Of one order, oldest first."""
        if not 0 < order_id <= _FAR:
            return []
        sql = (
            f"SELECT {_FILL} FROM executions WHERE order_id = $1 AND shard = $2 AND account = $3 AND type = 'filled' "
            "ORDER BY seq, n LIMIT $4"
        )
        return [_fill(row) for row in await self.rows(sql, order_id, self._shard, account, limit)]

    async def trades(
        self, symbol: str, first_id: int, last_id: int, start_ns: int, end_ns: int, limit: int, newest: bool
    ) -> list[Trade]:
        """Of a symbol, with ids from first to last; by rising id."""
        if start_ns > 0:
            first_id = max(first_id, await self._first_trade_id(symbol, start_ns))
        sql = (
            f"SELECT {_TRADE} FROM trades WHERE symbol = $1 AND trade_id BETWEEN $2 AND $3 AND type = 'trade' "
            "AND shard = $4 AND received_ns BETWEEN $5 AND $6 "
            f"ORDER BY trade_id {'DESC' if newest else 'ASC'} LIMIT $7"
        )
        found = await self.rows(sql, symbol, first_id, min(last_id, _FAR), self._shard, start_ns, end_ns, limit)
        return sorted((_trade(row) for row in found), key=lambda trade: trade.trade_id)

    async def _first_trade_id(self, symbol: str, start_ns: int) -> int:
        """An id that no trade of that time or later is below: candles know it by their key."""
        sql = (
            "SELECT first_trade_id FROM candles WHERE symbol = $1 AND interval = '1m' AND start_ns >= $2 "
            "ORDER BY start_ns LIMIT 1"
        )
        found = await self.rows(sql, symbol, start_ns - start_ns % BASES["1m"])
        return int(found[0]["first_trade_id"]) if found else 0

    # ---- Candles -----------------------------------------------------------------------------------------------------

    async def candles(self, symbol: str, base: str, start_ns: int, end_ns: int, limit: int) -> list[Candle]:
        """Of a base interval, that begin from start_ns to below end_ns, and the last one before; oldest first."""
        sql = (
            f"(SELECT {_CANDLE} FROM candles WHERE symbol = $1 AND interval = $2 AND start_ns >= $3 AND start_ns < $4 "
            "ORDER BY start_ns DESC LIMIT $5) UNION ALL "
            f"(SELECT {_CANDLE} FROM candles WHERE symbol = $1 AND interval = $2 AND start_ns < $3 "
            "ORDER BY start_ns DESC LIMIT 1)"
        )
        found = await self.rows(sql, symbol, base, max(start_ns, 0), min(end_ns, _FAR), limit)
        return sorted((_candle(row) for row in found), key=lambda candle: candle.start_ns)

    async def first_start_ns(self, symbol: str, base: str, start_ns: int) -> int | None:
        """When the first candle from a time on begins."""
        sql = (
            "SELECT start_ns FROM candles WHERE symbol = $1 AND interval = $2 AND start_ns >= $3 "
            "ORDER BY start_ns LIMIT 1"
        )
        found = await self.rows(sql, symbol, base, min(start_ns, _FAR))
        return int(found[0]["start_ns"]) if found else None

    # ---- What memory begins with -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """The mirror has begun anew: what came before has to be fetched again."""
        if self._warming is not None:
            self._warming.cancel()
        self._began_s = asyncio.get_running_loop().time()
        self.seeded = self.market.mirror.began_at == 0  # then memory has everything
        if self.seeded:
            self._settled.set()
        else:
            self._warming = asyncio.get_running_loop().create_task(self._warm(self.market.mirror.began_at))

    async def _warm(self, began_at: int) -> None:
        """Candles, and what is not known of the orders that were open; again until the database has come so far."""
        mirror, seeded = self.market.mirror, set[int]()
        while not self.seeded:
            if not mirror.live:
                await asyncio.sleep(SETTLE_PAUSE_S)
                continue
            try:
                await self.reaches(began_at)
                for instrument in list(mirror.instruments.values()):
                    if instrument.number not in seeded and await self._seed(instrument):
                        seeded.add(instrument.number)
                await self._complete(began_at)
                self.seeded = len(seeded) == len(mirror.instruments)
            except ApiError:
                if self._away:
                    self._settled.set()  # waiting for it helps nobody
            if not self.seeded:
                await asyncio.sleep(WARM_PAUSE_S)
        self._settled.set()

    async def _seed(self, instrument: Instrument) -> bool:
        """Candles of before the beginning; False: the trades between are not in the database yet."""
        stored: dict[str, list[Candle]] = {}
        complete_from_ns = {}
        for base, limit in reversed(SEEDS.items()):  # the finest last: what is missing in it is in memory
            found = await self.candles(instrument.symbol, base, 0, _FAR, limit)
            stored[base] = found
            complete_from_ns[base] = found[0].start_ns if len(found) >= limit else 0
        last = min((found[-1].last_trade_id for found in stored.values() if found), default=0)
        if any(found and found[-1].last_trade_id != last for found in stored.values()):
            return False  # written between two of the queries: next time
        book = self.market.books[instrument.number]
        kept = book.trades
        told = self.market.mirror.core.instrument(instrument.number)
        newest = int(told["trade_id"]) if told is not None else 0
        if last > newest or last + 1 < (kept[0].trade_id if kept else newest + 1):
            return False
        book.candles.seed(stored, complete_from_ns, [trade for trade in kept if trade.trade_id > last])
        return True

    async def _complete(self, began_at: int) -> None:
        """Orders that were open at the beginning: when they were entered, their names, what they had filled."""
        missing = self.market.incomplete()
        for at in range(0, len(missing), ORDERS_AT_ONCE):
            some = {order.order_id: order for order in missing[at : at + ORDERS_AT_ONCE]}
            for row in await self.rows(_OLD_ORDERS, list(some), self._shard, began_at):
                order = some[row["order_id"]]
                if order.entered_ns or row["entered_ns"] is None:
                    continue
                order.entered_ns = row["entered_ns"]
                order.updated_ns = max(order.updated_ns, row["updated_ns"])
                if order.status is not OrderStatus.WAITING:
                    order.working_ns = order.working_ns or order.entered_ns
                order.notional_units += int(row["notional_units"])
                order.fee_units += int(row["fee_units"])
                order.fills += row["fill_count"]
                if row["text"] or (not order.client_text and order.client_order_id):
                    self.market.name(order, row["text"] or str(order.client_order_id))


async def _pool(url: str) -> asyncpg.Pool[Any]:
    return await asyncpg.create_pool(
        url, min_size=0, max_size=CONNECTIONS, timeout=TIMEOUT_S, command_timeout=TIMEOUT_S,
        max_inactive_connection_lifetime=60.0,
        server_settings={
            "application_name": "ironbook-gateway", "default_transaction_read_only": "on",
            "statement_timeout": str(int(TIMEOUT_S * 1_000)),
        },
    )  # fmt: skip


async def _drain(pool: asyncpg.Pool[Any]) -> None:
    """Close it once what runs over it has ended, at the latest when that must have."""
    try:
        async with asyncio.timeout(2 * TIMEOUT_S):
            await pool.close()
    except (*AWAY, asyncio.CancelledError):
        pool.terminate()


# ---- Rows ------------------------------------------------------------------------------------------------------------


def _side(text: str | None) -> int:
    return int(v.Side.SELL) if text == "sell" else int(v.Side.BUY)


def _order(row: Row) -> Order:
    order = Order()
    order.order_id, order.account, order.key = row["order_id"], row["account"], row["key"]
    order.instrument, order.side = row["instrument"], _side(row["side"])
    order.client_order_id = int(row["client_order_id"])
    order.client_text = row["text"] or (str(order.client_order_id) if order.client_order_id else "")
    order.order_type = _TYPES.get(row["order_type"], int(v.OrderType.LIMIT))
    order.time_in_force = _TIMES.get(row["time_in_force"], int(v.TimeInForce.GOOD_TILL_CANCELLED))
    order.self_trade_prevention = int(v.SelfTradePrevention.CANCEL_TAKER)  # the usual one here: no table has it
    order.post_only = bool(row["post_only"])
    order.price_ticks, order.quantity_lots = row["price_ticks"] or 0, row["quantity_lots"] or 0
    order.remaining_lots, order.filled_lots = row["remaining_lots"], row["filled_lots"]
    order.notional_units, order.fee_units, order.fills = row["filled_units"], row["fees_units"], row["fill_count"]
    order.entered_ns, order.updated_ns, order.working_ns = row["entered_ns"], row["updated_ns"], row["entered_ns"]
    order.trigger = order.trigger_price_ticks = order.display_lots = order.expire_ns = 0
    order.linked_order_id = order.term_options = order.amount_units = 0
    order.last_fill = None
    code = row["code"]
    if row["status"] == "cancelled":
        order.code = _CODES.get(code, 0)
        whole = code == "cancelled_amount_reached" and order.filled_lots > 0
        ended = OrderStatus.EXPIRED if code in _BY_RULE else OrderStatus.CANCELLED
        order.status = OrderStatus.FILLED if whole else ended
    else:
        order.code = 0
        going = OrderStatus.PARTLY if order.filled_lots else OrderStatus.OPEN
        order.status = OrderStatus.FILLED if row["status"] == "filled" else going
    return order


def _fill(row: Row) -> Fill:
    return Fill(
        row["account"], row["order_id"], row["trade_id"], row["instrument"], _side(row["side"]), row["maker"],
        row["price_ticks"], row["quantity_lots"], row["notional_units"], row["fee_units"], row["received_ns"],
        row["seq"], row["n"],
    )  # fmt: skip


def _trade(row: Row) -> Trade:
    return Trade(
        row["instrument"], row["trade_id"], row["price_ticks"], row["quantity_lots"], row["notional_units"],
        _side(row["side"]), row["received_ns"], row["maker_order_id"], row["taker_order_id"], row["seq"],
        bool(row["auction"]),
    )  # fmt: skip


def _candle(row: Row) -> Candle:
    volume, notional, bought = int(row["volume_lots"]), int(row["notional_units"]), int(row["buy_volume_lots"])
    return Candle(
        row["start_ns"], row["open_ticks"], row["high_ticks"], row["low_ticks"], row["close_ticks"], volume, notional,
        bought, notional * bought // volume if volume else 0,  # the table has no notional of buyers: at the average
        row["trade_count"], row["first_trade_id"], row["last_trade_id"],
    )  # fmt: skip
