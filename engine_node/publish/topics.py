"""What the publisher must know of the topics: those it writes, which are chained, their schemas and partitions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

from schemas.topics import Topic, load_topics

__all__ = ["HEARTBEATS_TOPIC", "PROGRESS_TOPIC", "Topics", "groups_of_written"]

HEARTBEATS_TOPIC: Final = "heartbeats"
PROGRESS_TOPIC: Final = "publisher.progress"
PRINCIPAL: Final = "publisher"


def _written() -> list[Topic]:
    return [topic for topic in load_topics() if PRINCIPAL in topic.writers and not topic.journal]


def groups_of_written(shard: int) -> dict[str, str]:
    """Each topic that a publisher writes, to its group of one number of partitions."""
    return {topic.name: topic.partition_group for topic in _written()} | {f"journal.{shard}": "one"}


@dataclasses.dataclass(frozen=True, slots=True)
class Topics:
    """The topics that a publisher writes, with the partitions that brokers tell."""

    counts: Mapping[str, int]
    schemas: Mapping[str, bytes] = dataclasses.field(init=False)  # the header `schema` of each
    events: tuple[str, ...] = dataclasses.field(init=False)  # all but those about the publisher itself
    chained: tuple[str, ...] = dataclasses.field(init=False)  # those whose messages name what stood before them

    def __post_init__(self) -> None:
        """Take from the contract what does not depend on brokers."""
        topics, version = _written(), load_topics().version
        own = (PROGRESS_TOPIC, HEARTBEATS_TOPIC)
        for name, value in (
            ("schemas", {topic.name: f"{topic.name}/{version}".encode() for topic in topics}),
            ("events", tuple(topic.name for topic in topics if topic.name not in own)),
            ("chained", tuple(topic.name for topic in topics if topic.chained)),
        ):
            object.__setattr__(self, name, value)
