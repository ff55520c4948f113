"""A market without a network: the real core behind the real mirror, entered by the dialect's own routes.

What a route gives the line becomes records of the journal, as the engine would write them, and the mirror applies them
at once. Everything between the parameters and the answer is what is served.
"""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Sequence
from typing import Any

import msgspec

from engine_node import _engine
from gateway.binance import rest
from gateway.errors import ApiError
from gateway.events import Applied
from gateway.limits import Limits
from gateway.market import Market
from gateway.mirror import Mirror
from gateway.routing import Call, Request, Route
from gateway.settings import GatewaySettings
from schemas import vocabulary as v

START_NS = 1_700_000_000_000_000_000
GATEWAY_KEY = 9
ADMIN_KEY = 8
ACCOUNTS = (1, 2, 3)
ROUTES: dict[tuple[str, str], Route] = {(route.method, route.path): route for route in rest.ROUTES}


class Desk:
    """BTC/USD (tick 0.01, lot 0.0001, 100 and 300 ppm), a reference price of 60,000, a collar, three accounts."""

    def __init__(
        self, *, collar_ppm: int = 200_000, reference_ticks: int = 6_000_000, orders_kept: int = 1_000, **limits: int
    ) -> None:
        self.records = bytearray()
        self.at = 0
        self.arrived: Any = None
        self.now_ns = START_NS
        self.sequences = {GATEWAY_KEY: 0, ADMIN_KEY: 0}
        self.calls = 0
        settings = GatewaySettings(orders_kept=orders_kept)
        self.mirror = Mirror(self, settings, now_ns=lambda: self.now_ns)
        self.market = Market(self.mirror, settings)
        self.loop = asyncio.new_event_loop()
        self.gateway = types.SimpleNamespace(
            settings=settings, mirror=self.mirror, market=self.market, line=self, history=None, limits=Limits(settings),
            now_ns=lambda: self.now_ns, shared={},
        )  # fmt: skip
        self.write(0, [v.Term(term=1, node=1).pack()])
        self.define(collar_ppm, reference_ticks, limits)
        self.run(self.mirror.open())

    async def close(self) -> None:
        """As a source: there is nothing to close."""

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.mirror.close())
        self.loop.close()

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 20))

    def define(self, collar_ppm: int, reference_ticks: int, limits: dict[str, int]) -> None:
        for number, name, decimals in ((1, b"USD", 6), (2, b"BTC", 8)):
            self.admin(v.Asset(asset=number, decimals=decimals), name)
        self.admin(
            v.Instrument(
                instrument=1, base_asset=2, quote_asset=1, maker_fee_ppm=100, taker_fee_ppm=300, trading_state=1,
                base_units_per_lot=10_000, quote_units_per_tick_lot=1,
            ),
            b"BTC/USD",
        )  # fmt: skip
        limits = {"collar_ppm": collar_ppm, "reference_price_ticks": reference_ticks, "quantity_lots_min": 1} | limits
        self.admin(v.InstrumentLimits(instrument=1, **limits))
        for account in ACCOUNTS:
            self.admin(v.Account(account=account))
            self.admin(v.Deposit(account=account, asset=1, amount_units=10_000_000 * 10**6))
            self.admin(v.Deposit(account=account, asset=2, amount_units=100 * 10**8))

    def admin(self, command: Any, text: bytes = b"") -> None:
        """A command of administration, applied at once if the mirror is open."""
        parts = [v.Text(text=text.ljust(36, b"\0")).pack()] if text else []
        self.write(ADMIN_KEY, [*parts, command.pack()])
        self.mirror.advance()

    # ---- As a source -------------------------------------------------------------------------------------------------

    async def open(self, before: int | None, *, roomier: bool = False) -> _engine.Core:
        self.at = 0
        return _engine.Core(event_mask=_engine.EVENTS_ALL)

    def next(self, room: int) -> bytes:
        found = bytes(self.records[self.at : self.at + room * v.RECORD_BYTES])
        self.at += len(found)
        return found

    def behind(self) -> int:
        return (len(self.records) - self.at) // v.RECORD_BYTES

    def write(self, key: int, parts: Sequence[bytes]) -> int:
        """Records as the engine makes them; the client sequence of the last one."""
        self.now_ns += 1_000_000
        for part in parts:
            sequence = 0
            if key:
                sequence = self.sequences[key] = self.sequences[key] + 1
            command = part[:2] + sequence.to_bytes(6, "little") + part[8:]
            self.records += v.Record(command=command, key=key, received_ns=self.now_ns).pack()
        return self.sequences[key] if key else 0

    # ---- As the line -------------------------------------------------------------------------------------------------

    def submit_parts(self, parts: Sequence[bytes]) -> asyncio.Future[Applied]:
        future = self.mirror.when(GATEWAY_KEY, self.sequences[GATEWAY_KEY] + len(parts))
        self.write(GATEWAY_KEY, parts)
        self.mirror.advance()
        return future

    def submit_linked(self, groups: Sequence[Sequence[bytes]]) -> list[asyncio.Future[Applied]]:
        return [self.submit_parts(parts) for parts in groups]

    # ---- As a client -------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, account: int = 1, **parameters: object) -> Any:
        """The answer as JSON has it. Raises ApiError."""
        route = ROUTES[method, path]
        self.calls += 1
        made = msgspec.convert({name: str(one) for name, one in parameters.items()}, route.parameters, strict=False)
        caller = types.SimpleNamespace(
            key_id=f"key-{account}", number=account, account=account, may=lambda permission: True
        )
        request = Request(method, path, b"", {}, b"", "127.0.0.1", "0" * 32, self.now_ns)
        nonce = self.calls.to_bytes(16, "big")
        call = Call(self.gateway, request, caller, made, None, {}, nonce, self.now_ns)  # type: ignore[arg-type]

        async def run() -> Any:
            result = route.handler(call)
            return await result if inspect.isawaitable(result) else result

        return msgspec.json.decode(msgspec.json.encode(self.run(run())))

    def order(self, side: str = "BUY", account: int = 1, **parameters: object) -> Any:
        """POST /api/v3/order: a limit order of 0.1 at 60000 where nothing else is said. None leaves one out."""
        said: dict[str, object] = {"symbol": "BTCUSD", "side": side, "type": "LIMIT", "quantity": "0.1"}
        if parameters.get("type", "LIMIT") in ("LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"):
            said |= {"timeInForce": "GTC", "price": "60000"}
        elif parameters["type"] == "LIMIT_MAKER":
            said |= {"price": "60000"}
        said |= parameters
        return self.call("POST", "/api/v3/order", account, **{k: one for k, one in said.items() if one is not None})

    def refused(self, method: str, path: str, account: int = 1, **parameters: object) -> tuple[int, int, str]:
        """HTTP status, code and text of what must be refused."""
        return refusal_of(lambda: self.call(method, path, account, **parameters))

    def order_refused(self, side: str = "BUY", account: int = 1, **parameters: object) -> tuple[int, int, str]:
        """The same of an order."""
        return refusal_of(lambda: self.order(side, account, **parameters))


def refusal_of(what: Any) -> tuple[int, int, str]:
    """HTTP status, code and text of the ApiError that it raises."""
    try:
        answer = what()
    except ApiError as error:
        return error.problem.status, error.problem.binance, error.text
    raise AssertionError(f"it must be refused, and was answered with {answer}")
