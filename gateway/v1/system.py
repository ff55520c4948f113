"""/health, /ready, /live, /metrics: how the gateway and what it stands on are doing.

    gateway · engine (line) · administration (line) · replica (mirror) · database · kafka · one part for each worker

Whoever is not shown the parts (gateway/measures.py) is told whether it is up, and no more.

What costs a connection (Kafka, workers, the database's mark) is asked at most once in CHECK_S, however many ask here.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from gateway import errors
from gateway.context import Gateway
from gateway.errors import ApiError, Problem
from gateway.line import Line
from gateway.measures import Measures
from gateway.routing import JSON, Call, Response, Route
from gateway.v1.models import Health, Live, Part, Ready
from ironbook import __version__

__all__ = ["ROUTES", "brokers", "parts"]

CHECK_S: Final = 1.0
CONNECT_S: Final = 1.0
HELD: Final = ".held.json"  # what a worker says of its secrets stands beside its state
ANSWER_BYTES_MAX: Final = 1 << 16
WORKER_COUNT_MAX: Final = 64
BEHIND_NS_MAX: Final = 1_000_000_000  # further behind the engine, the replica is not up to date
BEHIND_RECORDS_MAX: Final = 50_000  # of the database
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
NEEDED: Final = ("engine", "replica")  # without these nobody trades
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
Status = Literal["up", "degraded", "down", "off"]
Labels = tuple[tuple[str, str], ...]


def _part(name: str, status: Status, detail: str = "", /, **figures: float) -> Part:
    return Part(name=name, status=status, detail=detail, figures=figures)


# ---- What is known without asking anybody ----------------------------------------------------------------------------


def _gateway(gateway: Gateway) -> Part:
    metrics = gateway.metrics
    figures: dict[str, float] = {
        "requests": metrics.answers.total(),
        "errors": sum(count for (_, status), count in metrics.answers.items() if status >= 500),
        "connections": metrics.gauges.get("http_connections_open", 0),
        "sockets": metrics.gauges.get("sockets_open", 0),
        "sockets_slow": metrics.counters["sockets_slow"],
        "memory_bytes": _memory_bytes(),
    }
    for group, latencies in metrics.latencies.items():
        for name, found in zip(("p50", "p99"), latencies.quantiles_ns(time.monotonic()), strict=False):
            figures[f"{group}_{name}_us"] = found / 1_000
    return _part("gateway", "up", "", **figures)


def _memory_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0


def _line(name: str, line: Line | None, lacks: str) -> Part:
    if line is None:
        return _part(name, "off", lacks)
    return _part(
        name,
        "up" if line.connected else "down",
        line.failure,
        commands=line.sent_count,
        refused=line.refused_count,
        timeouts=line.timeout_count,
        waiting=line.waiting_count,
        connects=line.connect_count,
    )


def _replica(gateway: Gateway) -> Part:
    mirror = gateway.mirror
    trouble, behind_ns = gateway.replica_trouble(), mirror.behind_ns()
    status: Status = "down" if trouble else "degraded" if behind_ns > BEHIND_NS_MAX else "up"
    return _part(
        "replica",
        status,
        trouble,
        sequence=mirror.sequence,
        lag_records=mirror.lag_records(),
        behind_ms=behind_ns / 1e6,
        events=mirror.event_count,
    )


# ---- What others are asked -------------------------------------------------------------------------------------------


async def _database(gateway: Gateway) -> Part:
    history = gateway.history
    if history is None:
        return _part("database", "off", "IRONBOOK_GATEWAY_DATABASE_URL is not set")
    mark = await history.mark()
    figures = {"queries": history.query_count, "errors": history.error_count}
    if mark is None:
        return _part("database", "down", "the database does not answer", **figures)
    lag = max(0, gateway.mirror.sequence - mark)
    late = lag > BEHIND_RECORDS_MAX
    detail = "what writes the database is behind" if late else ""
    return _part("database", "degraded" if late else "up", detail, mark=mark, lag_records=lag, **figures)


async def _kafka(gateway: Gateway) -> Part:
    if not gateway.settings.kafka:
        return _part("kafka", "off", "IRONBOOK_GATEWAY_KAFKA is not set")
    up, count = await brokers(gateway.settings.kafka)
    status: Status = "up" if up == count else "degraded" if up else "down"
    return _part("kafka", status, "" if up == count else f"{up} of {count} brokers take connections")


async def brokers(servers: str) -> tuple[int, int]:
    """How many of these take connections, and how many they are."""
    answers = await asyncio.gather(*(_connects(server.strip()) for server in servers.split(",")))
    return sum(answers), len(answers)


async def _connects(server: str) -> bool:
    host, _, port = server.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
    return True


def _state_files(chosen: str) -> list[Path]:
    """Files that workers keep: those of a directory, or as they are named."""
    found: list[Path] = []
    for one in (part.strip() for part in chosen.split(",")):
        path = Path(one)
        if one:
            inside = [file for file in sorted(path.glob("*.json")) if not file.name.endswith(HELD)]
            found += inside if path.is_dir() else [path]
    return found[:WORKER_COUNT_MAX]


def _state(path: Path) -> tuple[int, str, int]:
    """pid, and where its pages are."""
    said = msgspec.json.decode(path.read_bytes())
    return int(said["pid"]), str(said["web_host"]), int(said["web_port"])


async def _worker(path: Path) -> Part | None:
    """A worker by the file that it keeps; None: the file is of something else."""
    name = path.stem
    try:
        pid, host, port = _state(path)
        os.kill(pid, 0)
    except (KeyError, TypeError, ValueError, msgspec.DecodeError):
        return None
    except OSError as error:
        return _part(name, "down", f"its process does not run: {error.strerror}")
    try:
        async with asyncio.timeout(CONNECT_S):
            answer = await _ask(host, port)
    except (OSError, TimeoutError, ValueError, msgspec.DecodeError) as error:
        return _part(name, "down", f"its health page must answer, does not: {type(error).__name__}")
    lag = answer.get("lag") or {}
    waits_for = answer.get("waits_for") or {}
    figures = {f"lag_{topic.replace('.', '_')}": float(count) for topic, count in lag.items()}
    figures |= {"lag_messages": float(sum(lag.values()))}
    return _part(name, "up" if answer.get("ready") else "degraded", "; ".join(waits_for.values()), **figures)


async def _ask(host: str, port: int) -> dict[str, Any]:
    """What a worker's /ready says."""
    reader, writer = await asyncio.open_connection("127.0.0.1" if host in ("", "0.0.0.0") else host, port)
    try:
        writer.write(b"GET /ready HTTP/1.0\r\n\r\n")
        text = await reader.read(ANSWER_BYTES_MAX)
        while chunk := await reader.read(ANSWER_BYTES_MAX):
            text += chunk
            if len(text) > ANSWER_BYTES_MAX:
                raise ValueError("the answer is too long")
    finally:
        writer.close()
    found = msgspec.json.decode(text.partition(b"\r\n\r\n")[2])
    if not isinstance(found, dict):
        raise ValueError("the answer must be an object")
    return found


class _Asked:
    """Answers of others, kept for CHECK_S; whoever asks meanwhile waits for the same ones."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.task: asyncio.Task[list[Part]] | None = None
        self.until_s = 0.0

    async def get(self, gateway: Gateway) -> list[Part]:
        now_s = time.monotonic()
        if self.task is None and now_s >= self.until_s:
            self.task = asyncio.get_running_loop().create_task(self._ask(gateway))
        if self.task is not None:
            return await asyncio.shield(self.task)
        return self.parts

    async def _ask(self, gateway: Gateway) -> list[Part]:
        try:
            asked: list[Awaitable[Part | None]] = [_database(gateway), _kafka(gateway)]
            asked += [_worker(path) for path in _state_files(gateway.settings.workers)]
            self.parts = [part for part in await asyncio.gather(*asked) if part is not None]
        finally:
            self.task, self.until_s = None, time.monotonic() + CHECK_S
        return self.parts


async def parts(gateway: Gateway) -> list[Part]:
    """Every part, as it is now."""
    own = [
        _gateway(gateway),
        _line("engine", gateway.line, ""),
        _line("administration", gateway.admin_line, "IRONBOOK_GATEWAY_ADMIN_KEY is not set"),
        _replica(gateway),
    ]
    asked: _Asked = gateway.shared.setdefault(_Asked, _Asked())
    return own + await asked.get(gateway)


# ---- Answers ---------------------------------------------------------------------------------------------------------


async def health(call: Call) -> Health:
    """Every part with its state and figures.

    Parts are for the networks of measures_networks and for logins with `read`; for others the list is empty.
    """
    found = await parts(call.gateway)
    down = any(part.status == "down" and part.name in NEEDED for part in found)
    late = any(part.status in ("down", "degraded") for part in found)
    status: Literal["up", "degraded", "down"] = "down" if down else "degraded" if late else "up"
    told = found if _shown(call) else []
    return Health(status=status, time_ns=call.gateway.now_ns(), version=__version__, parts=told)


def ready(call: Call) -> Response:
    """May requests be sent here?

    200 if so: it has started, its replica has caught up, and it has a session with the engine. Else 503, and what it
    waits for; why it does, as parts are shown.
    """
    waits_for = call.gateway.waits_for()
    if not _shown(call):
        waits_for = [one.partition(":")[0] for one in waits_for]
    body = msgspec.json.encode(Ready(ready=not waits_for, waits_for=waits_for))
    return Response(503 if waits_for else 200, body, JSON)


def live(call: Call) -> Live:
    """The process runs and answers."""
    return Live(live=True)


async def metrics(call: Call) -> Response:
    """Counters, gauges and latencies, in the text format of Prometheus.

    For the networks of measures_networks and for logins with `read`.
    """
    if not _shown(call):
        raise ApiError(
            errors.MEASURES_HIDDEN,
            detail=f"{call.request.peer} is in none of the networks, and has no login that may read",
            hint="log in, or add the network to IRONBOOK_GATEWAY_MEASURES_NETWORKS",
        )
    more = dict(_gauges(await parts(call.gateway)))
    return Response(200, call.gateway.metrics.text(more).encode(), PROMETHEUS)


def _shown(call: Call) -> bool:
    measures: Measures = call.gateway.shared[Measures]
    return measures.shown(call.request, call.gateway.now_ns())


def _gauges(found: Iterable[Part]) -> Iterable[tuple[tuple[str, Labels], float]]:
    for part in found:
        label: Labels = (("part", part.name),)
        if part.status != "off":
            yield ("part_up", label), float(part.status != "down")
        for name, value in part.figures.items():
            if not name.endswith("_us"):  # latencies are told by request_seconds
                yield (f"part_{name}", label), value


def _route(path: str, handler: Any, summary: str, returns: Any, *problems: Problem) -> Route:
    return Route(
        method="GET", path=path, handler=handler, summary=summary, tag="health", returns=returns, problems=problems
    )


_PAGES: Final[tuple[tuple[str, Any, str, Any], ...]] = (
    ("/health", health, "Every part with its state and figures.", Health),
    ("/ready", ready, "May requests be sent here?", Ready),
    ("/live", live, "The process runs.", Live),
)
ROUTES: Final = (
    *(_route(prefix + path, *more) for path, *more in _PAGES for prefix in ("", "/api/v1")),
    _route("/metrics", metrics, "Counters, gauges, latencies: Prometheus.", str, errors.MEASURES_HIDDEN),
)
