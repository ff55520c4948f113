"""How far the publisher came: compacted topic `publisher.progress`, key: the shard.

    {"type":"progress","shard":0,"seq":42,"time_ns":…,"offsets":{"trades":[1,0]},"last":{"trades":[[42,3],[0,0]]}}

All events up to seq are in the topics below these offsets; last is the place (seq, n) of the last event of each
partition, from which the chain of a restart goes on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from engine_node.errors import PublishError
from engine_node.publish.kafka import Kafka, last_message
from engine_node.publish.topics import PROGRESS_TOPIC

__all__ = ["Place", "Progress", "read_progress"]

Place = tuple[int, int]  # (seq, n)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One state of a shard's publisher."""

    seq: int = 0
    offsets: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)
    last: Mapping[str, Sequence[Place]] = dataclasses.field(default_factory=dict)

    def encode(self, shard: int, time_ns: int) -> bytes:
        """As a message's value."""
        head = {"type": "progress", "shard": shard, "seq": self.seq, "time_ns": time_ns}
        return orjson.dumps(head | {"offsets": self.offsets, "last": self.last})

    @classmethod
    def decode(cls, value: bytes, where: str) -> Progress:
        """From a message's value. Raises PublishError."""
        try:
            found = orjson.loads(value)
            last = {topic: [(int(seq), int(n)) for seq, n in places] for topic, places in dict(found["last"]).items()}
            offsets = {topic: [int(offset) for offset in ends] for topic, ends in dict(found["offsets"]).items()}
            return cls(seq=int(found["seq"]), offsets=offsets, last=last)
        except (ValueError, KeyError, TypeError) as error:
            raise PublishError(
                f"a progress must be as the contract says: {error!r}",
                detail=where,
                hint="something else wrote there; a tombstone under the shard's key makes the publisher begin anew",
            ) from None


async def read_progress(kafka: Kafka, shard: int) -> Progress | None:
    """The newest one of this shard; None: there is none."""
    key = str(shard).encode()

    def ours(message: Any) -> bool:
        return bool(message.key == key)

    async with kafka.consumer() as consumer:
        message = await last_message(consumer, kafka.prefix + PROGRESS_TOPIC, ours)
    if message is None or message.value is None:
        return None
    return Progress.decode(message.value, f"{message.topic}, offset {message.offset}")
