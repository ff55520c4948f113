"""The process: makes every part, starts them in their order, and ends them in the reverse one.

    keys ─▶ HTTP (answers only of health) ─▶ history ─▶ mirror catches up ─▶ lines to the engine ─▶ open

What is away at the start is not waited for: the gateway is open, and not ready until it is there.
<state_directory>/gateway.json tells where it listens as long as it runs, and whether it is ready; the log tells when
that changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop

from engine_node.logs import Log
from gateway import live, openapi
from gateway.app import App
from gateway.assets import BUILT, Assets
from gateway.auth import KeyRing
from gateway.binance import rest, streams, user_data, ws_api
from gateway.context import Gateway
from gateway.countdown import COUNTDOWN_FILE, Countdowns
from gateway.history import History
from gateway.http import HttpServer
from gateway.limits import Limits
from gateway.line import Line
from gateway.market import Market
from gateway.measures import Measures
from gateway.metrics import Metrics
from gateway.mirror import Mirror
from gateway.renewals import key_paths, renewing
from gateway.routing import Route, SocketRoute
from gateway.sessions import Sessions
from gateway.settings import GatewaySettings
from gateway.sources import open_source
from gateway.topic_source import KafkaLogin
from gateway.v1 import (
    account,
    analytics,
    audit,
    backtests,
    control,
    dead_letters,
    instruments,
    keys,
    orders,
    risk,
    session,
    system,
)
from gateway.v1.holdings import Ledger
from ironbook import Key
from ironbook.keystore import KEY_FILE_NAME, KeyFile, select_passphrase

__all__ = ["ROUTES", "SOCKETS", "document", "run"]

VERSION: Final = "1"
STATE_FILE: Final = "gateway.json"
STOP_S: Final = 10.0
SETTLE_S: Final = 5.0  # for what memory wants of the database
READY_POLL_S: Final = 0.1
# Every module that serves something gives its tables here.
SOCKETS: Final[tuple[SocketRoute, ...]] = (*streams.SOCKETS, *ws_api.SOCKETS, *live.SOCKETS)


def _routes() -> tuple[Route, ...]:
    v1 = (
        account, analytics, audit, control, dead_letters, instruments, keys, orders, risk, session, system, backtests,
    )  # fmt: skip
    found = (*rest.ROUTES, *user_data.ROUTES, *(route for module in v1 for route in module.ROUTES))
    return (*found, openapi.openapi_route(found, SOCKETS, version=VERSION))


ROUTES: Final = _routes()


def document() -> dict[str, Any]:
    """The OpenAPI document of everything that is served."""
    return openapi.document(ROUTES, SOCKETS, version=VERSION)


def run(settings: GatewaySettings) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. Raises what keeps it from starting."""
    log = Log.open(settings.log_file, level=settings.log_level, queue_max=10_000, base={"process": "gateway"})
    try:
        uvloop.run(_serve(settings, log))
    finally:
        log.close()
    return 0


async def _serve(settings: GatewaySettings, log: Log) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with serving(settings, log) as (gateway, addresses):
        log.info("gateway_open", addresses=addresses, sequence=gateway.mirror.sequence)
        await ended.wait()
        log.info("gateway_stopping")
    log.info("gateway_stopped")


@contextlib.asynccontextmanager
async def serving(settings: GatewaySettings, log: Log) -> AsyncIterator[tuple[Gateway, list[str]]]:
    """A gateway that serves within the block. Raises what keeps it from starting."""
    data = Path(settings.data)
    state_path = Path(settings.state_file) if settings.state_file else settings.state_path / STATE_FILE
    async with contextlib.AsyncExitStack() as stack:
        gateway = _make(settings, data, log)
        await gateway.keys.open()
        stack.push_async_callback(gateway.keys.close)
        pages = Assets(Path(settings.assets) if settings.assets else BUILT)
        app = App(gateway, ROUTES, SOCKETS, log, pages)
        server = HttpServer(app.handle, app.upgrade, settings, gateway.metrics, gateway.now_ns, log)
        addresses = await server.start()
        stack.push_async_callback(server.stop, STOP_S)
        tell = functools.partial(_tell, state_path, settings, addresses, pages)
        tell(ready=False)
        stack.callback(state_path.unlink, missing_ok=True)
        before = None
        if gateway.history is not None:
            await gateway.history.open()
            stack.push_async_callback(gateway.history.close)
            before = await gateway.history.mark()
        await gateway.mirror.open(before)
        stack.push_async_callback(gateway.mirror.close)
        if gateway.history is not None:
            await gateway.history.settle(SETTLE_S)
        for line in (gateway.line, gateway.admin_line):
            if line is not None:
                await line.open()
                stack.push_async_callback(line.close)
        renewal = renewing(gateway, server, gateway.shared[KafkaLogin])
        await renewal.open()
        stack.push_async_callback(renewal.close)
        path = settings.state_path / COUNTDOWN_FILE
        countdowns = Countdowns(path, gateway.line, now_ns=gateway.now_ns, say=log.write)
        gateway.shared[Countdowns] = countdowns
        await countdowns.open()
        stack.push_async_callback(countdowns.close)
        readiness = asyncio.create_task(_tell_readiness(gateway, tell), name="readiness")
        stack.callback(readiness.cancel)
        stack.push_async_callback(server.stop, STOP_S)  # first at the end: requests under way need all of the above
        _settle_memory()
        gateway.open = True
        yield gateway, addresses
        gateway.open = False


async def _tell_readiness(gateway: Gateway, tell: Callable[..., None]) -> None:
    """Task: log and state file say what /ready says, whenever that changes."""
    was = False
    while True:
        waits_for = gateway.waits_for()
        if (ready := not waits_for) != was:
            was = ready
            if ready:
                gateway.log.info("gateway_ready", sequence=gateway.mirror.sequence)
            else:
                gateway.log.warning("gateway_not_ready", waits_for=waits_for)
            try:
                tell(ready=ready)
            except OSError as error:
                gateway.log.error("state_file_failed", error)
        await asyncio.sleep(READY_POLL_S)


def _settle_memory() -> None:
    """What the start has made stays: the collector need not look through it again, nor so often through the rest.

    A full collection over 200,000 kept orders takes 100 ms, in which nobody is answered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _make(settings: GatewaySettings, data: Path, log: Log) -> Gateway:
    """All parts; nothing is started."""
    metrics = Metrics()
    limits = Limits(settings, metrics.counters)
    passphrase = settings.key_passphrase or None
    file = settings.key_passphrase_file or str(data / "passphrase")
    store = KeyFile(
        Path(settings.key_file) if settings.key_file else data / KEY_FILE_NAME,
        select_passphrase(passphrase, None if passphrase else Path(file)),
    )
    keys_ring = KeyRing(
        store, limits, recv_window_max_ms=settings.recv_window_max, say=log.write
    )
    source = open_source(settings)
    mirror = Mirror(source, settings, log=log, now_ns=time.time_ns)
    market = Market(mirror, settings)
    orders_key, admin_key = key_paths(settings)
    line = _line(settings, data, mirror, log, "orders", orders_key)
    admin_line = _line(settings, data, mirror, log, "admin", admin_key) if admin_key else None
    history = None
    if settings.database_url:
        history = History(settings.database_url, market, shard=settings.shard, log=log)
    ledger = Ledger()
    sessions = Sessions(settings, keys_ring)
    market.on(ledger)
    return Gateway(
        settings=settings,
        keys=keys_ring,
        sessions=sessions,
        limits=limits,
        mirror=mirror,
        market=market,
        line=line,
        admin_line=admin_line,
        history=history,
        metrics=metrics,
        log=log,
        now_ns=time.time_ns,
        shared={
            Ledger: ledger,
            KafkaLogin: KafkaLogin(settings, source),
            Measures: Measures(settings, sessions),
        },
    )


def _line(settings: GatewaySettings, data: Path, mirror: Mirror, log: Log, name: str, key_path: str) -> Line:
    """A line whose key file and engine are looked for at each attempt: both may change while it is away."""
    Key.from_file(key_path)  # one that cannot be used is told at the start
    return Line(
        settings.engine or (lambda: _engine_address(data)),
        lambda: Key.from_file(key_path),
        mirror,
        timeout_s=settings.engine_timeout / 1_000,
        now_ns=time.time_ns,
        name=name,
        say=log.write,
    )


def _engine_address(data: Path) -> tuple[str, int]:
    """Of the engine that runs in the data directory. Raises ConnectionError."""
    try:
        state = orjson.loads((data / "engine.json").read_bytes())
        host, _, port = str(state["addresses"][0]).rpartition(":")
        return host.strip("[]"), int(port)
    except (OSError, orjson.JSONDecodeError, LookupError, TypeError, ValueError) as error:
        raise ConnectionError(f"no engine node runs in {data}") from error


def _tell(path: Path, settings: GatewaySettings, addresses: list[str], pages: Assets, *, ready: bool) -> None:
    """Write the state file, whole or not at all."""
    scheme = "https" if settings.tls_certificate else "http"
    url = f"{scheme}://{addresses[0]}"
    said = {"pid": os.getpid(), "addresses": addresses, "url": url, "ready": ready}
    said["dashboard"] = f"{url}/" if pages else ""
    new = path.with_name(path.name + ".new")
    new.write_bytes(orjson.dumps(said))
    new.rename(path)
