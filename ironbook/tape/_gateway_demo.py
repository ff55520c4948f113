"""The gateway beside a demonstration: a page to watch it on, and a replica over HTTP that must agree at the end."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import orjson

from engine_node.replica import Replica
from ironbook import Units, parse_decimal

from ._node import EngineNode
from .errors import TapeFailed

LEVELS_MAX = 1_000
TIMEOUT_S = 10.0


@contextlib.contextmanager
def gateway_of(node: EngineNode, told: Callable[[str], None]) -> Iterator[str]:
    """A gateway on the engine's journal at a free port, within the block; its URL. Raises EngineFailed."""
    from ironbook.cli._gateway import Gateway

    (node.directory / "client-keys").mkdir(mode=0o700, exist_ok=True)
    gateway = Gateway(node.directory, "127.0.0.1:0", told)
    gateway.prepare(node.keys)
    try:
        host, port = node.address
        yield str(gateway.start(f"{host}:{port}")["gateway"])
    finally:
        gateway.stop()


def compare_depth(directory: Path, url: str) -> int:
    """The books over HTTP and those of a replay of the journal; how many levels were equal. Raises TapeFailed."""
    count = 0
    with Replica.open(directory) as replica:
        replica.catch_up()
        core = replica.core
        for number in range(1, core.options()["instrument_count_max"]):
            one = core.instrument(number)
            if one is None:
                continue
            units = Units.of(one, core.asset(int(one["base_asset"])) or {}, core.asset(int(one["quote_asset"])) or {})
            dialect_name = "".join(letter for letter in str(one["name"]) if letter.isalnum()).upper()
            depth = _get(f"{url}/api/v3/depth?symbol={dialect_name}&limit={LEVELS_MAX}")
            for side, name in ((1, "bids"), (2, "asks")):
                levels = core.levels(number, side, LEVELS_MAX)
                wanted = [(units.tick * ticks, units.lot * lots) for ticks, lots, _ in levels]
                if [(parse_decimal(price), parse_decimal(quantity)) for price, quantity in depth[name]] != wanted:
                    raise TapeFailed(
                        f"the gateway's {name} must be the journal's, were others",
                        detail=f"{one['name']} at sequence {core.sequence()}",
                    )
                count += len(levels)
    return count


def _get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return orjson.loads(answer.read())
    except (URLError, OSError, orjson.JSONDecodeError) as error:
        raise TapeFailed(f"the gateway must answer, did not: {error}", detail=url) from error
