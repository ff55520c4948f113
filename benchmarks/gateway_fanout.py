"""The gateway's streams to many sockets: from the step of the replica to the client's socket.

    two clients ──crossing orders at a steady rate──▶ engine ──journal──▶ gateway's replica     stamp: step applied
                                                                              └─▶ 1,000 sockets of @depth@100ms
                                                                              └─▶ 50 sockets of @trade     stamp: came

The gateway has one CPU for itself; engine, load and the clients share the other one. Both stamps are of the machine's
monotonic clock. Of @depth@100ms the time counts from when the interval's message was due, of @trade from when the step
with the trade was applied. Every socket must get every change, without gap or repeat; one more socket reads nothing,
and must be dropped alone. Called by benchmarks/gateway.py.

    python -m benchmarks.gateway_fanout serve STAMPS                       the gateway, with stamps (settings as ever)
    python -m benchmarks.gateway_fanout read PORT PATH COUNT SECONDS OUT   sockets that only take the time
    python -m benchmarks.gateway_fanout trade PORT KEY KEY RATE            trades at a rate
"""

from __future__ import annotations

import asyncio
import base64
import bisect
import functools
import json
import pickle
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import servers
from benchmarks.machine import Placement
from benchmarks.servers import Server

__all__ = ["measure"]

PRICE_TICKS, LOTS = 6_000_000, 2
SLOW_STREAMS = "btcusd@trade/btcusd@aggTrade/btcusd@bookTicker/!bookTicker"
SLOW_BUFFER = 1 << 17  # of the gateway for one socket: the slow one fills it within the run
CONNECT_AT_ONCE = 50
START_S = 20.0
MS = 1_000_000


class FanoutFailed(RuntimeError):
    """A message was missing or repeated, or the slow reader was not dropped alone."""


# ---- The gateway, with stamps ----------------------------------------------------------------------------------------


def serve(path: str) -> int:
    """As shipped; beside it, when each step with a trade was applied and when each depth message was due."""
    from gateway import server
    from gateway.binance import streams
    from gateway.events import Batch
    from gateway.market import Listener, Market, Trade
    from gateway.settings import load

    applied: list[tuple[int, int]] = []
    due: list[tuple[int, int]] = []

    class Stamps(Listener):
        last = 0

        def trade(self, trade: Trade) -> None:
            self.last = trade.trade_id

        def done(self, batch: Batch) -> None:
            if self.last and (not applied or applied[-1][0] != self.last):
                applied.append((self.last, time.monotonic_ns()))

    class StampedMarket(Market):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.on(Stamps())

    class StampedDepth(streams.DiffDepth):
        def made(self) -> bytes | None:
            message = super().made()
            if message is not None:
                due.append((json.loads(message)["u"], round(self.hub.due_s * 1e9)))
            return message

    vars(server)["Market"], vars(streams)["DiffDepth"] = StampedMarket, StampedDepth
    code = server.run(load())
    Path(path).write_text(json.dumps({"applied": applied, "due": due}))
    return code


# ---- Clients that only take the time ---------------------------------------------------------------------------------


def _handshake(path: str) -> bytes:
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    lines = (
        f"GET {path} HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}", "", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode()


class _Began:
    """Set when every reader has its first message."""

    def __init__(self, count: int) -> None:
        self.left, self.all = count, asyncio.Event()

    def one(self) -> None:
        self.left -= 1
        if not self.left:
            self.all.set()


class _Reader(asyncio.Protocol):
    """What came, and when."""

    def __init__(self, path: str, began: _Began) -> None:
        self.path, self._began = path, began
        self.chunks: list[tuple[int, bytes]] = []
        self.lost = False

    def connection_made(self, transport: Any) -> None:
        transport.write(_handshake(self.path))

    def data_received(self, data: bytes) -> None:
        self.chunks.append((time.monotonic_ns(), data))
        if len(self.chunks) == 2:  # behind the answer to the handshake
            self._began.one()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True


def _itself(one: _Reader) -> _Reader:
    return one


async def _read(port: int, path: str, count: int, seconds: float, out: str) -> None:
    loop = asyncio.get_running_loop()
    readers: list[_Reader] = []
    began = _Began(count)
    for first in range(0, count, CONNECT_AT_ONCE):
        some = [_Reader(path, began) for _ in range(first, min(count, first + CONNECT_AT_ONCE))]
        makers = [functools.partial(_itself, one) for one in some]
        await asyncio.gather(*(loop.create_connection(maker, "127.0.0.1", port) for maker in makers))
        readers += some
    async with asyncio.timeout(START_S):
        await began.all.wait()
    from_ns = time.monotonic_ns()
    await asyncio.sleep(seconds)
    found = [(one.lost, one.chunks) for one in readers]
    await asyncio.to_thread(lambda: Path(out).write_bytes(pickle.dumps((from_ns, found))))


def _trade(port: int, seller_key: str, buyer_key: str, rate: float) -> None:
    """Trades at a steady rate until SIGTERM, each of two orders that cross; behind schedule, as fast as they go."""
    from ironbook import Client, Key, Side

    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    with (
        Client(("127.0.0.1", port), Key.from_file(seller_key)) as seller,
        Client(("127.0.0.1", port), Key.from_file(buyer_key)) as buyer,
    ):
        began_s, count = time.monotonic(), 0
        while not ended:
            if count > (time.monotonic() - began_s) * rate:
                time.sleep(0.0002)
                continue
            seller.submit(1, Side.SELL, price_ticks=PRICE_TICKS, quantity_lots=LOTS).raise_if_rejected()
            buyer.submit(1, Side.BUY, price_ticks=PRICE_TICKS, quantity_lots=LOTS).raise_if_rejected()
            count += 1
        print(json.dumps({"trades": count, "seconds": time.monotonic() - began_s}))


# ---- Figures ---------------------------------------------------------------------------------------------------------


def _arrivals(chunks: list[tuple[int, bytes]], pattern: re.Pattern[bytes]) -> list[tuple[int, int, int]]:
    """First id, last id and time of arrival (of its last byte) of each message."""
    ends: list[int] = []
    size = 0
    for _, data in chunks:
        size += len(data)
        ends.append(size)
    whole = b"".join(data for _, data in chunks)
    found = []
    for match in pattern.finditer(whole):
        first, last = int(match[1]), int(match[match.lastindex or 1])
        found.append((first, last, chunks[bisect.bisect_left(ends, match.end())][0]))
    return found


def _latencies(path: Path, pattern: re.Pattern[bytes], stamps: list[tuple[int, int]]) -> list[int]:
    """Of each message at each socket, in ns. Raises FanoutFailed if one is missing."""
    ids, times = [one for one, _ in stamps], [one for _, one in stamps]
    latencies: list[int] = []
    from_ns, found = pickle.loads(path.read_bytes())
    for lost, chunks in found:
        if lost:
            raise FanoutFailed("a socket that reads must not be dropped")
        previous = 0
        for first, last, arrived_ns in _arrivals(chunks, pattern):
            if previous and first != previous + 1:
                raise FanoutFailed(f"a socket must get every message: after {previous} came {first}")
            previous = last
            if arrived_ns >= from_ns:
                latencies.append(arrived_ns - times[bisect.bisect_left(ids, last)])
        if not previous:
            raise FanoutFailed("a socket must get messages, got none")
    return sorted(latencies)


_TRADE = re.compile(rb'"e":"trade"[^}]*?"t":(\d+)')
_DEPTH = re.compile(rb'"U":(\d+),"u":(\d+)')


def _slow_reader(port: int) -> socket.socket:
    """Subscribes to much, and reads nothing."""
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    slow.connect(("127.0.0.1", port))
    slow.sendall(_handshake("/ws/" + SLOW_STREAMS))
    return slow


def _counter(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
        for line in page.read().decode().splitlines():
            if line.startswith(f"ironbook_gateway_{name}_total"):
                return float(line.split()[-1])
    return 0.0


def _run(
    place: Placement, directory: Path, engine: Server, traders: tuple[Path, Path], settings: dict[str, object],
    *, path: str, count: int, rate: int, seconds: float,
) -> dict[str, Any]:  # fmt: skip
    """One run: a gateway of its own, its sockets, the load."""
    directory.mkdir()
    stamps, out = directory / "stamps.json", directory / "arrived"
    said = settings | {
        "socket_buffer_max": SLOW_BUFFER, "connection_count_per_address_max": 10_000, "weight_per_minute": 1 << 30,
    }  # fmt: skip
    me = [sys.executable, "-m", "benchmarks.gateway_fanout"]
    with servers.gateway(place, directory, ["benchmarks.gateway_fanout", "serve", str(stamps)], said) as gateway:
        slow = _slow_reader(gateway.port)
        # The load begins before the sockets, so that the first messages come at once, and is ended after them.
        load = subprocess.Popen(
            place.command(
                place.load_cpu,
                [*me, "trade", str(engine.port), *map(str, traders), str(rate)],
                realtime=False,
            ),
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        read = subprocess.run(
            place.command(
                place.load_cpu, [*me, "read", str(gateway.port), path, str(count), str(seconds), str(out)],
            ),
            capture_output=True, text=True,
        )  # fmt: skip
        load.send_signal(signal.SIGTERM)
        made = json.loads(load.communicate()[0])
        if read.returncode != 0:
            raise FanoutFailed(f"the clients must live, ended with {read.returncode}: {read.stderr[-2000:]}")
        dropped = _counter(gateway.port, "sockets_slow")
        slow.close()
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(30)
    return {"out": out, "stamps": json.loads(stamps.read_text()), "dropped": dropped, "made": made}


def measure(
    place: Placement, directory: Path, engine: Server, traders: tuple[Path, Path], settings: dict[str, object],
    *, smoke: bool,
) -> dict[str, float]:  # fmt: skip
    """Both ways of fanning out; prints what it found, and returns the figures."""
    directory.mkdir(exist_ok=True)
    seconds, rate = (1.5, 200) if smoke else (10.0, 1_000)
    figures: dict[str, float] = {}
    runs = (
        ("fanout_100ms", "/ws/btcusd@depth@100ms", 40 if smoke else 1_000, _DEPTH, "due"),
        ("fanout_raw", "/ws/btcusd@trade", 8 if smoke else 50, _TRADE, "applied"),
    )
    for name, path, count, pattern, stamp in runs:
        found = _run(
            place, directory / name, engine, traders, settings, path=path, count=count, rate=rate, seconds=seconds
        )
        latencies = _latencies(found["out"], pattern, [tuple(one) for one in found["stamps"][stamp]])
        p50, p99, worst = (latencies[min(len(latencies) - 1, int(len(latencies) * part))] for part in (0.5, 0.99, 1))
        made = found["made"]
        print(
            f"{path} to {count} sockets, {made['trades'] / made['seconds']:,.0f} trades/s: {len(latencies):,} "
            f"messages, p50 {p50 / MS:.2f}  p99 {p99 / MS:.2f}  worst {worst / MS:.2f} ms; slow readers dropped: "
            f"{found['dropped']:.0f}"
        )
        if not smoke and found["dropped"] != 1:
            raise FanoutFailed(f"the one slow reader must be dropped alone, {found['dropped']:.0f} were")
        figures |= {f"{name}_p99_ms": round(p99 / MS, 2), f"{name}_messages_per_s": round(len(latencies) / seconds)}
    return figures


if __name__ == "__main__":
    what, *more = sys.argv[1:]
    if what == "serve":
        sys.exit(serve(more[0]))
    if what == "read":
        uvloop.run(_read(int(more[0]), more[1], int(more[2]), float(more[3]), more[4]))
    else:
        _trade(int(more[0]), more[1], more[2], float(more[3]))
