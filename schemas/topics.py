"""The topics as typed data: schemas/topics.json, read once and checked.

    topics = load_topics()
    topics["executions"].partitions_count, topics["executions"].writers
    with_prefix("dev.", "executions") == "dev.executions"
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("topics.json")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic. data: its entry in topics.json, events and examples included."""

    name: str
    about: str
    key: str
    partition_group: str
    partitions_count: int
    compacted: bool
    retention_ms: int | None  # None: compacted; -1: for ever
    one_key: bool
    chained: bool
    log_append_time: bool
    journal: bool
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    trimmers: tuple[str, ...]  # who may delete its oldest records
    data: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """All topics, in the order of the file."""

    version: int
    limits: Mapping[str, int]
    principals: tuple[str, ...]
    topics: Mapping[str, Topic]
    data: Mapping[str, Any]

    def __getitem__(self, name: str) -> Topic:
        return self.topics[name]

    def __iter__(self) -> Iterator[Topic]:
        return iter(self.topics.values())

    def __len__(self) -> int:
        return len(self.topics)


def with_prefix(prefix: str, name: str) -> str:
    """The name of a topic, group or transactional id in an installation with that prefix."""
    return prefix + name


@functools.cache
def load_topics() -> Topics:
    """schemas/topics.json. Raises ValueError where it contradicts itself."""
    return read_topics(json.loads(_FILE.read_text()))


def read_topics(data: Mapping[str, Any]) -> Topics:
    """Topics of the data of a file. Raises ValueError where it contradicts itself."""
    topics: dict[str, Topic] = {}
    for entry in data["topics"]:
        topic = _topic(entry, data["partition_groups"])
        if topic.name in topics:
            raise ValueError(f"a topic must stand there once, {topic.name} stands there twice")
        if unknown := {*topic.writers, *topic.readers, *topic.trimmers} - {*data["principals"]}:
            raise ValueError(f"who has rights to {topic.name} must be a principal, {sorted(unknown)} are not")
        topics[topic.name] = topic
    return Topics(
        version=data["version"],
        limits=data["limits"],
        principals=tuple(data["principals"]),
        topics=topics,
        data=data,
    )


def _topic(entry: Mapping[str, Any], groups: Mapping[str, int]) -> Topic:
    name, cleanup, retention_ms = entry["name"], entry["cleanup"], entry.get("retention_ms")
    if cleanup not in ("delete", "compact"):
        raise ValueError(f"cleanup of {name} must be delete or compact, was {cleanup!r}")
    if (cleanup == "delete") != (retention_ms is not None):
        raise ValueError(f"{name} must have a retention if its cleanup is delete, and none if it is compact")
    if entry["partitions"] not in groups:
        raise ValueError(f"partitions of {name} must be one of {sorted(groups)}, was {entry['partitions']!r}")
    return Topic(
        name=name,
        about=entry["about"],
        key=entry["key"],
        partition_group=entry["partitions"],
        partitions_count=groups[entry["partitions"]],
        compacted=cleanup == "compact",
        retention_ms=retention_ms,
        one_key=entry.get("one_key", False),
        chained=entry.get("chained", False),
        log_append_time=entry.get("log_append_time", False),
        journal=entry.get("journal", False),
        writers=tuple(entry["writers"]),
        readers=tuple(entry["readers"]),
        trimmers=tuple(entry.get("trimmers", ())),
        data=entry,
    )
