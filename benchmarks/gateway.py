"""The gateway under load: `python -m benchmarks.gateway [--smoke|--real]`.

    wrk ──signed POST /api/v3/order──▶ gateway ──signed frames──▶ engine      each order answered out of the replica
    wrk ──POST /echo──▶ the same gateway, with one route more
    wrk ──POST /echo──▶ bare Starlette; FastAPI                               uvicorn, uvloop, httptools

All servers stand at one CPU, the load at the other: only the server being measured may run, the others are stopped, and
they take turns in one run. The engine has the load's CPU, so that gateway and echoes have one for themselves; a further
row has engine and gateway on one. Orders are signed just before they are sent: buys and sells by two accounts at one
price, so half of them rest and half of them trade; the trades are counted afterwards, and a refused request ends the
run.

Then the engine's own latency (a signed frame to its report, from a client on the engine's CPU) while the gateway has
nothing to do, and while it gets wrong signatures and clients that never finish a request, in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import hmac
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import gateway_fanout, servers
from benchmarks.http_peers import ECHO_PATH
from benchmarks.machine import Placement, describe, placement
from benchmarks.servers import PROGRAMS, ROOT, Server
from engine_node.replica import Replica
from ironbook import Client, Key
from ironbook.cli._demo import define
from ironbook.keystore import KEY_FILE_NAME, KeyFile
from schemas.vocabulary import Permission

__all__ = ["REAL", "SMOKE", "Size", "main", "run"]

SCRIPT = ROOT / "benchmarks" / "gateway.lua"
TRADERS = {"buyer": 1, "seller": 2}
TRADER = int(Permission.TRADE | Permission.CANCEL | Permission.READ)
USUAL_MEDIAN_US, USUAL_REQUESTS_PER_S = 1_100, 2_000  # FastAPI to gRPC to an engine in Python, on such a machine
ORDER_COUNT_MAX, NONCE_COUNT_MAX = 1 << 19, 1 << 22
PRICE = "60000.00"
ONE_CPU = "and its engine"  # the same, with the engine on the gateway's CPU
WARM_S = 1.0
RESTING_ORDERS = 1_000
FLOOD_S = 600  # it is ended before
FLOOD_BEGINS_S = 30
FLOOD_BEGUN_COUNT = 100  # wrong signatures that the gateway has refused by then: more than there are connections
BODY = json.dumps(
    {"symbol": "BTCUSD", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.001", "price": PRICE}
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything."""

    rounds: int
    warm_rounds: int  # before them, not counted
    seconds: float  # of one server in a round
    connections: int  # of the rounds for requests a second; those for round trips have one
    requests_per_s_max: int  # so many are signed for each second
    trips: int  # at the engine's door, in a round
    slow_clients: int
    realtime_priority: int


SMOKE = Size(
    rounds=1, warm_rounds=0, seconds=1, connections=8, requests_per_s_max=4_000, trips=200, slow_clients=20,
    realtime_priority=0,  # a test must not keep a CPU from everybody else
)  # fmt: skip
REAL = Size(
    rounds=6, warm_rounds=1, seconds=4, connections=32, requests_per_s_max=30_000, trips=5_000, slow_clients=500,
    realtime_priority=10,
)  # fmt: skip


class BenchmarkFailed(RuntimeError):
    """An answer was wrong, or missing."""


# ---- Servers ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(slots=True)
class Stage:
    """What is running, and the secrets of its traders."""

    place: Placement
    size: Size
    directory: Path
    secrets: dict[str, str] = dataclasses.field(default_factory=dict)
    signed_count: int = 0  # of all requests so far: no two are alike
    refused_count: int = 0  # of the flood

    def make_keys(self, keys: KeyFile) -> None:
        """An administrator, the gateway's own key, traders."""
        self._make_key(keys, "admin", int(Permission.ADMIN | Permission.READ), 0)
        self._make_key(keys, "gateway-key", TRADER | int(Permission.DELEGATE), 0)
        for key_id, account in TRADERS.items():
            self._make_key(keys, key_id, TRADER, account)

    def _make_key(self, keys: KeyFile, key_id: str, permissions: int, account: int) -> None:
        made = keys.create_key(key_id, permissions=permissions, account=account)
        Key(key_id=key_id, secret=made.secret).write(self.directory / f"{key_id}.json")
        self.secrets[key_id] = made.secret.hex()


@contextlib.contextmanager
def _engine(stage: Stage) -> Iterator[Server]:
    """An engine in which nothing is defined, on the CPU of the load."""
    room = {"ORDER_COUNT_MAX": str(ORDER_COUNT_MAX), "NONCE_COUNT_MAX": str(NONCE_COUNT_MAX)}
    with servers.engine(
        stage.place, stage.directory, name="engine", level="process", busy_poll=False, extra=room,
        more_keys=stage.make_keys, cpu=stage.place.load_cpu,
    ) as engine:  # fmt: skip
        yield engine


def _move(server: Server, cpu: int) -> None:
    """All its threads, to another CPU."""
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {cpu})


def _define(stage: Stage, engine: Server) -> None:
    """The demo's market, and money for the traders."""
    key = Key.from_file(stage.directory / "admin.json")
    with Replica.open(stage.directory / "engine") as replica, Client(("127.0.0.1", engine.port), key) as client:
        replica.catch_up()
        define(client, replica.core, lambda what: None)


def _settings(stage: Stage, engine: Server) -> dict[str, object]:
    """Of a gateway at that engine, with limits that no load reaches."""
    data, passphrase = stage.directory / "engine", stage.directory / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(engine.environment["IRONBOOK_KEY_PASSPHRASE"])
    limits = dict.fromkeys(("weight_per_minute", "orders_per_10s", "orders_per_day"), 1 << 30)
    bans = dict.fromkeys(("ban_after", "bad_signatures_max"), 1 << 20)
    places: dict[str, object] = {
        "data": data, "engine_key": stage.directory / "gateway-key.json", "key_file": data / KEY_FILE_NAME,
        "key_passphrase_file": passphrase, "cookie_secret_file": stage.directory / "cookie-secret",
    }  # fmt: skip
    return {**limits, **bans, **places, "log_level": "warning"}


@contextlib.contextmanager
def _gateway(stage: Stage, engine: Server) -> Iterator[Server]:
    """The gateway at that engine, with the echo's route."""
    module = ["benchmarks.http_peers", "gateway"]
    with servers.gateway(stage.place, stage.directory, module, _settings(stage, engine)) as gateway:
        yield gateway


# ---- Load ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run of wrk at one server."""

    requests: int
    requests_per_s: float
    p50_us: float
    p99_us: float
    cpu_us: float  # of the server's process without the engine's, a request


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wrk(stage: Stage, server: Server, path: Path, *, connections: int, again: bool, seconds: float) -> Load:
    """Raises BenchmarkFailed if any request was refused or lost."""
    command = [
        "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT),
        f"http://127.0.0.1:{server.port}", "--", str(path), "again" if again else "once",
    ]  # fmt: skip
    before_s = _cpu_s(server.process.pid)
    done = subprocess.run(stage.place.command(stage.place.load_cpu, command), capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchmarkFailed(f"wrk at {server.name}: {done.stderr or done.stdout}")
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if said["refused"] or said["lost"] or not said["requests"]:
        raise BenchmarkFailed(f"{server.name} must answer every request with 2xx, found {said}")
    return Load(
        requests=int(said["requests"]),
        requests_per_s=said["requests"] / said["duration_us"] * 1e6,
        p50_us=said["p50_us"],
        p99_us=said["p99_us"],
        cpu_us=(_cpu_s(server.process.pid) - before_s) / said["requests"] * 1e6,
    )


def _head(line: str, port: int, *more: str) -> str:
    return "\r\n".join((f"{line} HTTP/1.1", f"Host: 127.0.0.1:{port}", *more, "", ""))


def _echo_file(stage: Stage, port: int) -> Path:
    path = stage.directory / f"echo-{port}"
    head = _head(
        f"POST {ECHO_PATH}", port, "Content-Type: application/json", "Accept: */*", f"Content-Length: {len(BODY)}"
    )
    path.write_text(head + BODY + "\0")
    return path


def _order_file(stage: Stage, port: int, count: int, *, wrong: bool = False) -> Path:
    """Signed orders that nobody has sent yet: a buy, then a sell of the same quantity, and so on."""
    path = stage.directory / "orders"
    keys = {key_id: secret.encode() for key_id, secret in stage.secrets.items() if key_id in TRADERS}
    sides = itertools.cycle((("buyer", "BUY"), ("seller", "SELL")))
    now_ms = time.time_ns() // 1_000_000
    with path.open("w") as file:
        for _ in range(count):
            key_id, side = next(sides)
            stage.signed_count += 1
            pair = stage.signed_count // 2
            query = (
                f"symbol=BTCUSD&side={side}&type=LIMIT&timeInForce=GTC&quantity=0.0002&price={PRICE}"
                f"&newClientOrderId=b-{pair:x}&recvWindow=60000&timestamp={now_ms}"
            )
            signature = hmac.new(keys[key_id], query.encode(), hashlib.sha256).hexdigest()
            if wrong:
                signature = signature[::-1]
            line = f"POST /api/v3/order?{query}&signature={signature}"
            file.write(_head(line, port, f"X-MBX-APIKEY: {key_id}", "Accept: */*", "Content-Length: 0") + "\0")
    return path


def _trade_count(gateway: Server) -> int:
    url = f"http://127.0.0.1:{gateway.port}/api/v3/ticker/24hr?symbol=BTCUSD"
    with urllib.request.urlopen(url, timeout=30) as page:
        return int(json.loads(page.read())["count"])


def _orders(stage: Stage, gateway: Server, connections: int, seconds: float) -> Load:
    """One run of signed orders; half as many trades must have come of it."""
    before = _trade_count(gateway)
    path = _order_file(stage, gateway.port, round(stage.size.requests_per_s_max * max(1.0, seconds)))
    load = _wrk(stage, gateway, path, connections=connections, again=False, seconds=seconds)
    time.sleep(0.1)
    trades = _trade_count(gateway) - before
    if abs(2 * trades - load.requests) > 4 * connections:
        raise BenchmarkFailed(f"{load.requests} orders that cross must be half as many trades, found {trades}")
    return load


# ---- Requests a second, round trips ----------------------------------------------------------------------------------


Found = dict[str, list[Load]]


Runs = dict[str, tuple[tuple[Server, ...], Callable[[], Load]]]


def _rounds(size: Size, runs: Runs) -> Found:
    """Each in its turn, in every round."""
    found: Found = {name: [] for name in runs}
    for number in range(size.warm_rounds + size.rounds):
        for name, (measured, measure) in runs.items():
            for server in measured:
                server.resume()
            time.sleep(0.05)
            load = measure()
            for server in measured:
                server.pause()
            if number >= size.warm_rounds:
                found[name].append(load)
    return found


def _ratio(found: Found, ours: str, theirs: str, value: Callable[[Load], float]) -> float:
    """Of each round, back to back; the middle of them."""
    pairs = zip(found[ours], found[theirs], strict=True)
    return round(statistics.median(value(mine) / value(other) for mine, other in pairs), 3)


def _tell(found: Found) -> None:
    for name, loads in found.items():
        rate, p50, p99, cpu = (
            statistics.median(getattr(one, field) for one in loads)
            for field in ("requests_per_s", "p50_us", "p99_us", "cpu_us")
        )
        total = sum(one.requests for one in loads)
        print(f"{name:15s} {rate:9,.0f} requests/s  p50 {p50:7.0f}  p99 {p99:7.0f}  CPU {cpu:5.1f} us  ({total})")


def _measure_http(stage: Stage, engine: Server) -> dict[str, float]:
    size, place = stage.size, stage.place
    _define(stage, engine)
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(_gateway(stage, engine))
        peers = [
            stack.enter_context(servers.python_server(place, stage.directory, name, ["benchmarks.http_peers", name]))
            for name in ("starlette", "fastapi")
        ]
        time.sleep(WARM_S)
        for server in (engine, gateway, *peers):
            server.pause()

        def echoes(server: Server, connections: int) -> Callable[[], Load]:
            path = _echo_file(stage, server.port)
            return lambda: _wrk(stage, server, path, connections=connections, again=True, seconds=size.seconds)

        def runs(connections: int) -> Runs:
            orders = ((engine, gateway), lambda: _orders(stage, gateway, connections, size.seconds))
            own = ((engine, gateway), echoes(gateway, connections))
            others: Runs = {f"{peer.name} echo": ((peer,), echoes(peer, connections)) for peer in peers}
            on_one: Runs = {ONE_CPU: ((engine, gateway), lambda: together(connections))}
            return {"signed order": orders} | on_one | {"its bare echo": own} | others

        def together(connections: int) -> Load:
            _move(engine, place.server_cpu)
            try:
                return _orders(stage, gateway, connections, size.seconds)
            finally:
                _move(engine, place.load_cpu)

        print(f"\n{size.connections} connections, median of {size.rounds} rounds")
        many = _rounds(size, runs(size.connections))
        _tell(many)
        print(f"\n1 connection, median of {size.rounds} rounds")
        single = _rounds(size, runs(1))
        _tell(single)
    return _figures(many, single)


def _figures(many: Found, single: Found) -> dict[str, float]:
    rate = statistics.median(one.requests_per_s for one in many["signed order"])
    median_us = statistics.median(one.p50_us for one in single["signed order"])
    usual = min(rate / USUAL_REQUESTS_PER_S, USUAL_MEDIAN_US / median_us)
    print(
        f"\nthe usual design (FastAPI to gRPC to an engine) was measured at {USUAL_REQUESTS_PER_S:,} requests/s and "
        f"{USUAL_MEDIAN_US:,} us: {rate / USUAL_REQUESTS_PER_S:.1f} and {USUAL_MEDIAN_US / median_us:.1f} times better"
    )
    return {
        "requests_per_s": round(rate),
        "fastapi_ratio": _ratio(many, "signed order", "fastapi echo", lambda one: one.requests_per_s),
        "starlette_ratio": _ratio(many, "signed order", "starlette echo", lambda one: one.requests_per_s),
        "median_ratio": _ratio(single, "signed order", "its bare echo", lambda one: one.p50_us),
        "p50_us": round(median_us, 1),
        "p99_us": round(statistics.median(one.p99_us for one in single["signed order"]), 1),
        "usual_ratio": round(usual, 2),
        "one_cpu_requests_per_s": round(statistics.median(one.requests_per_s for one in many[ONE_CPU])),
        "one_cpu_median_ratio": _ratio(single, ONE_CPU, "its bare echo", lambda one: one.p50_us),
    }


# ---- The engine, while the gateway is abused -------------------------------------------------------------------------


def _bad_signatures(gateway: Server) -> int:
    """So many the gateway has refused, by its own count."""
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.port}/metrics", timeout=30) as page:
        lines = page.read().decode().splitlines()
    name = "ironbook_gateway_bad_signatures_total "
    return next((int(line.removeprefix(name)) for line in lines if line.startswith(name)), 0)


def _await_flood(gateway: Server, before: int) -> None:
    deadline = time.monotonic() + FLOOD_BEGINS_S
    while (count := _bad_signatures(gateway) - before) < FLOOD_BEGUN_COUNT:
        if time.monotonic() > deadline:
            raise BenchmarkFailed(
                f"{FLOOD_BEGUN_COUNT} wrong signatures must be refused within {FLOOD_BEGINS_S} s, found {count}"
            )
        time.sleep(0.02)


@contextlib.contextmanager
def _abuse(stage: Stage, gateway: Server) -> Iterator[None]:
    """Wrong signatures as fast as they are answered, on the gateway's CPU; and clients that never end a request."""
    path = _order_file(stage, gateway.port, 2_000, wrong=True)
    command = [
        "wrk", "-t1", "-c32", f"-d{FLOOD_S}s", "-s", str(SCRIPT), f"http://127.0.0.1:{gateway.port}", "--", str(path),
        "again",
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        for _ in range(stage.size.slow_clients):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), 10))
            slow.sendall(b"POST /api/v3/order HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
        before = _bad_signatures(gateway)
        flood = subprocess.Popen(
            stage.place.command(stage.place.server_cpu, command, realtime=False), stdout=subprocess.PIPE, text=True
        )
        try:
            _await_flood(gateway, before)
            yield
            flood.send_signal(signal.SIGINT)
            said = json.loads(flood.communicate()[0].splitlines()[-1])
            if not said["refused"] or said["refused"] != said["requests"]:
                raise BenchmarkFailed(f"every wrong signature must be refused, found {said}")
            stage.refused_count += said["refused"]
        finally:
            flood.kill()
            flood.wait()


def _door(stage: Stage, engine: Server, *arguments: str) -> dict[str, Any]:
    """A client of the engine itself, which checks every report."""
    done = subprocess.run(
        stage.place.command(stage.place.load_cpu, [str(PROGRAMS / "load"), *arguments]), capture_output=True,
        text=True, env=dict(os.environ) | engine.environment,
    )  # fmt: skip
    if done.returncode != 0:
        raise BenchmarkFailed(f"load {arguments[0]}: {done.stderr.strip() or done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measure_abuse(stage: Stage, engine: Server) -> dict[str, float]:
    resting, samples = str(RESTING_ORDERS), str(stage.directory / "samples")
    found: dict[str, list[tuple[float, float]]] = {"quiet": [], "abused": []}

    def measure(name: str) -> None:
        said = _door(stage, engine, "trip", str(engine.port), resting, str(stage.size.trips), samples)
        found[name].append((float(said["p50_ns"]) / 1_000, float(said["p99_ns"]) / 1_000))

    _door(stage, engine, "setup", str(engine.port), resting)
    with _gateway(stage, engine) as gateway:
        for _ in range(stage.size.rounds):
            measure("quiet")
            with _abuse(stage, gateway):
                measure("abused")
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.port}/api/v3/ping", timeout=30) as page:
            if page.status != 200:
                raise BenchmarkFailed(f"the gateway must serve after the flood, found {page.status}")
    print(
        "\nthe engine's own round trip, signed frame to report, while the gateway is left alone; while it refused "
        f"{stage.refused_count:,} wrong signatures and had {stage.size.slow_clients} clients that never end a request"
    )
    for name, pairs in found.items():
        p50, p99 = (statistics.median(pair[which] for pair in pairs) for which in (0, 1))
        print(f"{name:15s} p50 {p50:7.1f}  p99 {p99:7.1f} us")

    def ratio(which: int) -> float:
        pairs = zip(found["abused"], found["quiet"], strict=True)
        return round(statistics.median(mine[which] / other[which] for mine, other in pairs), 3)

    return {"engine_p50_ratio_under_abuse": ratio(0), "engine_p99_ratio_under_abuse": ratio(1)}


# ---- Streams to many sockets ----------------------------------------------------------------------------------------


def _measure_fanout(stage: Stage, engine: Server) -> dict[str, float]:
    """benchmarks/gateway_fanout.py"""
    _define(stage, engine)
    print()
    keys = (stage.directory / "seller.json", stage.directory / "buyer.json")
    return gateway_fanout.measure(
        stage.place, stage.directory / "fanout", engine, keys, _settings(stage, engine), smoke=stage.size is SMOKE
    )


# ---- Command line ----------------------------------------------------------------------------------------------------


def run(size: Size, directory: Path) -> dict[str, Any]:
    """All of it; the figures."""
    place = placement(size.realtime_priority)
    print(*describe(place), sep="\n")
    figures: dict[str, Any] = {}
    for part in (_measure_http, _measure_fanout, _measure_abuse):
        stage = Stage(place, size, directory / part.__name__)
        stage.directory.mkdir()
        with _engine(stage) as engine:
            figures |= part(stage, engine)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. 0, or 1 with a sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__.splitlines()[0])
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--real", action="store_true", help="real sizes (four minutes)")
    sizes.add_argument("--smoke", action="store_true", help="small sizes: proves the answers (default)")
    chosen = parser.parse_args(arguments)
    if not (PROGRAMS / "load").exists() or shutil.which("wrk") is None:
        print("the programs must be built and wrk be there: `make build`, `ops/system-packages bench`", file=sys.stderr)
        return 1
    (ROOT / "build").mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=ROOT / "build"))
    try:
        print(json.dumps(run(REAL if chosen.real else SMOKE, directory)))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
