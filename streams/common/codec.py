"""Messages of the topics: JSON batches, their schema header, and the partition of a key.

    value  [event, event, …] or one event        schemas/topics/README.md
    header schema: executions/1
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from aiokafka.partitioner import murmur2

from streams.common.errors import Undecodable

__all__ = ["SCHEMA_HEADER", "decode", "encode", "partition_of", "schema_of", "split"]

SCHEMA_HEADER: Final = "schema"
VERSION: Final = 1
VERSION_BYTES: Final = str(VERSION).encode()


def decode(value: bytes | None) -> list[dict[str, Any]]:
    """The events of a message's value. Raises Undecodable, which says where the bytes stop making sense."""
    try:
        found = orjson.loads(value or b"")
    except orjson.JSONDecodeError as error:
        raise Undecodable(
            f"a message must be JSON in UTF-8, was not: {error.msg} at byte {error.pos}",
            hint="look at the bytes with `ironbook dead-letters show`",
        ) from None
    if isinstance(found, dict):
        return [found]
    if isinstance(found, list) and all(type(event) is dict for event in found):
        return found
    raise Undecodable(
        f"a message must be an object or an array of objects, was {_kind(found)}", hint="see schemas/topics/README.md"
    )


def _kind(value: object) -> str:
    if isinstance(value, list):
        odd = next(index for index, event in enumerate(value) if type(event) is not dict)
        return f"an array whose element {odd} is {type(value[odd]).__name__}"
    return type(value).__name__


def encode(events: object) -> bytes:
    """A message's value: a list of events as an array, one event as an object."""
    return orjson.dumps(events)


def schema_of(topic: str) -> list[tuple[str, bytes]]:
    """The headers of a message of this topic (its name without prefix)."""
    return [(SCHEMA_HEADER, f"{topic}/{VERSION}".encode())]


def split(events: Sequence[Any], bytes_max: int, count_max: int) -> Iterable[bytes]:
    """Values that hold all events in order, each within the bounds; one event alone may be as large as it is."""
    for start in range(0, len(events), count_max):
        part = events[start : start + count_max]
        value = orjson.dumps(part)
        if len(value) <= bytes_max or len(part) == 1:
            yield value
        else:
            half = (len(part) + 1) // 2
            yield from split(part, bytes_max, half)


@functools.lru_cache(maxsize=1 << 16)
def partition_of(key: str, count: int) -> int:
    """The partition of a key, as the Java client's default partitioner has it.

    >>> partition_of("BTC/USD", 8), partition_of("42", 8)
    (5, 4)
    """
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % count
