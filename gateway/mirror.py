"""The gateway's own core: it applies the journal as it grows, and tells what each step made.

    Source ── records ──▶ Core.apply ── events ──▶ Batch ──▶ listeners, in the order in which they came (Market first)
                                                     └─────▶ futures of whoever waits for a command

`advance` applies what is released now. A timer calls it, and so does whoever has just had an answer of the engine: an
order's answer is there in the same turn of the loop. Nothing here speaks HTTP.

A source that fails (the engine's directory is not there yet, Kafka is away, a record does not fit) is closed and opened
again with growing pauses; then the mirror begins anew, and tells so (`on_begin`).
"""

from __future__ import annotations

import asyncio
import contextlib
import operator
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Final

from engine_node import _engine
from engine_node.logs import Log
from gateway.errors import OUTCOME_UNKNOWN, SYMBOL, ApiError
from gateway.events import EVENT_LEVEL3, HEADER, PREFIX_KIND_MIN, RECORD_BYTES, Applied, Batch, Event, read_events
from gateway.settings import GatewaySettings
from gateway.sources import SOURCE_TROUBLE, Source, open_source
from gateway.symbols import Asset, Instrument
from schemas import vocabulary as v

__all__ = ["Applied", "Mirror", "open_source"]

ROOM_RECORDS: Final = 512  # applied in one go: some ten milliseconds at most, in which the loop does nothing else
IDLE_S_MAX: Final = 0.005
WAIT_S: Final = 0.001
PAUSE_S_MIN: Final = 0.05
PAUSE_S_MAX: Final = 2.0
DEFINES_ASSET: Final = bytes([v.Kind.ASSET])
DEFINES_INSTRUMENT: Final = bytes([v.Kind.INSTRUMENT])
EMPTY: Final = {
    "asset_count_max": 2, "instrument_count_max": 2, "account_count_max": 2, "key_count_max": 2, "order_count_max": 64,
    "level_count_max": 64, "ladder_count_max": 64, "balance_count_max": 64, "position_count_max": 64,
    "nonce_count_max": 64, "reports_kept": 0,
}  # fmt: skip


_sequence_of = operator.itemgetter(Event._fields.index("sequence"))


class Mirror:
    """A replica that follows by itself. Belongs to one loop.

    core         ask it anything; it changes only in advance. Before the first opening it is empty.
    instruments  by number. by_name: by the dialect's name, by_symbol: by the engine's
    assets       by number
    sequence     of the last record applied
    live         it has caught up since it was opened; False: what is told is of the past
    trouble      why it is not open, in words; empty: it is
    """

    def __init__(
        self,
        source: Source,
        settings: GatewaySettings,
        *,
        log: Log | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.core = _engine.Core(**EMPTY)
        self.instruments: dict[int, Instrument] = {}
        self.by_name: dict[str, Instrument] = {}
        self.by_symbol: dict[str, Instrument] = {}
        self.assets: dict[int, Asset] = {}
        self.sequence = 0
        self.began_at = 0  # sequence of the state that it began with: what came before was never seen here
        self.began_count = 0
        self.live = False
        self.trouble = "it was not opened yet"
        self.failure: Exception | None = None  # the last one
        self.event_count = 0
        self._settings, self._log, self._now_ns = settings, log, now_ns
        self._source = source
        self._source.arrived = self.advance
        self._listeners: list[Callable[[Batch], None]] = []
        self._beginners: list[Callable[[], None]] = []
        self._waiting: dict[int, asyncio.Future[Applied]] = {}
        self._held = b""  # a prefix whose command has not come whole yet
        self._open = False
        self._advancing = False
        self._failure: Exception | None = None
        self._level_ns = 0  # when all that was there was applied the last time
        self._settled = asyncio.Event()  # it was live or in trouble once
        self._task: asyncio.Task[None] | None = None

    # ---- Whoever listens ---------------------------------------------------------------------------------------------

    def on_batch(self, listener: Callable[[Batch], None]) -> None:
        """Call it with each step, behind those who registered before. While `live` is False steps are of the past."""
        self._listeners.append(listener)

    def on_begin(self, listener: Callable[[], None]) -> None:
        """Call it when the mirror begins anew with another state: at the start, and after trouble with its source."""
        self._beginners.append(listener)

    def when(self, key: int, client_sequence: int) -> asyncio.Future[Applied]:
        """Done when that command is applied here, refused frames too. Ask before it is sent.

        Whoever gives up completes or cancels the future, or calls `forget`. Asking again replaces who asked before.
        """
        future: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        self._waiting[key << 48 | client_sequence] = future
        return future

    def forget(self, key: int, client_sequence: int) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(key << 48 | client_sequence, None)

    # ---- Life --------------------------------------------------------------------------------------------------------

    async def open(self, before: int | None = None) -> None:
        """Begin to follow. Returns when it has caught up, or at the first trouble (it goes on trying).

        before  a sequence not to begin behind, if there is such a state: how far the database is
        """
        self._task = asyncio.get_running_loop().create_task(self._follow(before))
        await self._settled.wait()

    async def close(self) -> None:
        """Stop following. The core can still be asked."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._open = self.live = False
        await self._source.close()

    def client_sequence(self, key: int) -> int:
        """The last one of that key that has come here; 0: none."""
        known = self.core.key(key)
        return 0 if known is None else known["last_client_sequence"]

    def lag_records(self) -> int:
        """Records that are there and not applied here."""
        return self._source.behind() + len(self._held) // RECORD_BYTES

    def behind_ns(self) -> int:
        """For how long there have been records that are not applied here; 0: there are none."""
        if not self.lag_records():
            return 0
        return max(0, self._now_ns() - max(self.core.received_ns(), self._level_ns))

    def instrument(self, text: str) -> Instrument:
        """By the dialect's name or the engine's. Raises ApiError."""
        found = self.by_name.get(text) or self.by_symbol.get(text)
        if found is None:
            raise ApiError(SYMBOL, detail=f"symbol {text[:40]!r}", hint="see exchangeInfo for the symbols there are")
        return found

    async def _follow(self, before: int | None) -> None:
        pause_s = PAUSE_S_MIN
        while True:
            try:
                roomier = isinstance(self.failure, _engine.CoreFull)
                self._begin(await self._source.open(before, roomier=roomier))
                await self._catch_up()
                pause_s = PAUSE_S_MIN
                await self._run()
            except Exception as error:  # the source's, or a fold's: both are mended, if at all, by beginning anew
                self._fail(error)
            self._settled.set()
            with contextlib.suppress(*SOURCE_TROUBLE):
                await self._source.close()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)
            before = None

    def _fail(self, error: Exception) -> None:
        self._open = self.live = False
        self._failure, self.failure = None, error
        told, self.trouble = self.trouble, f"{type(error).__name__}: {error}"
        if self._log is not None and told != self.trouble:
            self._log.error("mirror_failed", error, sequence=self.sequence)

    def _begin(self, core: _engine.Core) -> None:
        self.core, self.sequence, self._held = core, core.sequence(), b""
        self.began_at = self.sequence
        self.began_count += 1
        self.live = False
        self._define_all()
        for listener in self._beginners:
            listener()
        for name, future in list(self._waiting.items()):
            known = core.key(name >> 48)
            if known is not None and known["last_client_sequence"] >= name & (1 << 48) - 1:
                del self._waiting[name]
                if not future.done():
                    detail = "it is recorded; the gateway was not following when it was"
                    future.set_exception(ApiError(OUTCOME_UNKNOWN, detail=detail, hint="look at the order"))
                    future.exception()  # who waited may be gone
        self._open = True

    async def _catch_up(self) -> None:
        while (applied := self.advance()) or self._source.behind():
            if self._failure is not None:
                raise self._failure
            await asyncio.sleep(0 if applied else WAIT_S)
        if self._failure is not None:
            raise self._failure
        self.live, self.trouble = True, ""
        if self._log is not None:
            self._log.info("mirror_live", sequence=self.sequence, began_at=self.began_at)
        self._settled.set()

    async def _run(self) -> None:
        least_s = self._settings.poll_us / 1e6
        wait_s = least_s
        while self._failure is None:
            applied = self.advance()
            if self._source.behind():
                wait_s = 0.0
            else:
                self._level_ns = self._now_ns()
                wait_s = least_s if applied else min(max(wait_s, least_s) * 1.2, max(IDLE_S_MAX, least_s))
            await asyncio.sleep(wait_s)
        raise self._failure

    # ---- A step ------------------------------------------------------------------------------------------------------

    def advance(self) -> int:
        """Apply what is there now, a bounded part of it. Returns how many records that were."""
        if not self._open or self._advancing:
            return 0
        self._advancing = True
        try:
            return self._step()
        except Exception as error:  # also a fold that fails: the state that was told of is not to be trusted
            self._open = self.live = False
            self._failure = error
            return 0
        finally:
            self._advancing = False

    def _step(self) -> int:
        records = self._source.next(ROOM_RECORDS)
        if self._held:
            records = self._held + records
        if not records:
            return 0
        core = self.core
        whole = core.group_bytes(records)
        while whole and records[whole - RECORD_BYTES] >= PREFIX_KIND_MIN:
            whole -= RECORD_BYTES  # a void prefix: it can be applied when what follows is there
        if whole < len(records):
            self._held, records = records[whole:], records[:whole]
            if not records:
                return 0
        elif self._held:
            self._held = b""
        data = core.apply(records)
        first, count = self.sequence + 1, len(records) // RECORD_BYTES
        self.sequence += count
        kinds = records[::RECORD_BYTES]
        if DEFINES_ASSET in kinds or DEFINES_INSTRUMENT in kinds:
            self._define_all()
        batch = Batch(first, records, read_events(data))
        self.event_count += len(batch.events)
        for listener in self._listeners:
            listener(batch)
        if self._waiting:
            self._answer(batch)
        return count

    def _answer(self, batch: Batch) -> None:
        """Resolve those who wait for a command of this step."""
        waiting, sequence, events, end = self._waiting, batch.first_sequence, batch.events, 0
        for word, key, received_ns in HEADER.iter_unpack(batch.records):
            future = waiting.pop(key << 48 | word >> 16, None)
            if future is not None and not future.done():
                begin = bisect_left(events, sequence, end, key=_sequence_of)  # they stand by rising sequence
                end = bisect_right(events, sequence, begin, key=_sequence_of)
                own = tuple([event for event in events[begin:end] if event.kind != EVENT_LEVEL3])
                future.set_result(Applied(sequence, received_ns, own))
            sequence += 1

    def _define_all(self) -> None:
        """Assets and instruments as the core knows them now. What is known already stays the same object."""
        core, options = self.core, self.core.options()
        for gone in [number for number in self.instruments if core.instrument(number) is None]:
            del self.instruments[gone]  # of another journal
        for number in range(1, options["asset_count_max"]):
            found = core.asset(number)
            if found is not None:
                name, decimals = str(found["name"]), int(found["decimals"])
                known = self.assets.get(number)
                if known is None or (known.name, known.decimals) != (name, decimals):
                    self.assets[number] = Asset(number, name, decimals)
        for number in range(1, options["instrument_count_max"]):
            made = core.instrument(number)
            if made is not None:
                self._define(number, made)
        self.by_name = {one.name: one for one in self.instruments.values()}
        self.by_symbol = {one.symbol: one for one in self.instruments.values()}

    def _define(self, number: int, made: dict[str, int | str]) -> None:
        base, quote = self.core.asset(int(made["base_asset"])), self.core.asset(int(made["quote_asset"]))
        known = self.instruments.get(number)
        if base is None or quote is None or (known is not None and known.same(made, base, quote)):
            return
        self.instruments[number] = Instrument.of(made, base, quote)
