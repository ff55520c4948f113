"""What an installation's Kafka must have, by schemas/topics.json, and how it differs from what it has. Plans only.

    planned(topics, prefix)  ──▶ TopicPlan, one a topic        differences(plan, found) ──▶ what is not as planned
    rules(topics, prefix)    ──▶ Rule, Kafka's access rules    (found: Found, as read from the brokers)

Who may do what, for a principal P of the contract:

    a topic that P writes                           write
    a topic that P reads                            read
    a topic that P trims                            delete         (Kafka has no narrower one for its records)
    consumer groups   <prefix>ironbook-P...         read           (its own; the operator may describe all)
    topics            <prefix>ironbook-P-...        read, write, create    (changelogs of its tables, made by Faust)
    transactions      <prefix>ironbook-P...         write          (of who writes a journal: they are its fence)

Reading, writing and deleting include to describe. The archiver has neither groups nor topics of its own. There is no
rule that refuses: what no rule allows is refused.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence

from schemas.topics import Topic, Topics, with_prefix

OPERATOR = "operator"
GROUPLESS = ("archiver",)  # who is called and does not run: how far it is stands in the archive
APP = "ironbook-"  # names of consumer groups and of the tables' topics begin with it and the principal


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TopicPlan:
    """One topic as it must be. settings: Kafka's names of settings to values."""

    name: str
    partitions_count: int
    settings: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One topic as the brokers have it."""

    partitions_count: int
    replicas_count: int
    settings: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that is not as planned. mendable: a setting; counts of partitions are never changed, for a key would
    then be looked for in another partition than the one that has its past."""

    topic: str
    what: str
    planned: str
    found: str
    mendable: bool


def planned(topics: Topics, prefix: str, *, min_insync_count: int = 1) -> list[TopicPlan]:
    """All topics of the contract. min_insync_count: copies that must have a record before it is acknowledged."""
    return [
        TopicPlan(
            name=with_prefix(prefix, topic.name),
            partitions_count=topic.partitions_count,
            settings=_settings(topic, min_insync_count),
        )
        for topic in topics
    ]


def _settings(topic: Topic, min_insync_count: int) -> dict[str, str]:
    kept = {} if topic.retention_ms is None else {"retention.ms": str(topic.retention_ms)}
    return {
        "cleanup.policy": "compact" if topic.compacted else "delete",
        **kept,
        "message.timestamp.type": "LogAppendTime" if topic.log_append_time else "CreateTime",
        "min.insync.replicas": str(min_insync_count),
    }


def differences(plan: TopicPlan, found: Found | None) -> list[Difference]:
    """What of a topic is not as planned; nothing if all is."""
    if found is None:
        return [Difference(topic=plan.name, what="topic", planned="there", found="missing", mendable=True)]
    wrong = []
    if found.partitions_count != plan.partitions_count:
        wrong.append(
            Difference(
                topic=plan.name,
                what="partitions",
                planned=str(plan.partitions_count),
                found=str(found.partitions_count),
                mendable=False,
            )
        )
    for name, value in plan.settings.items():
        is_so = found.settings.get(name, "unknown")
        if is_so != value:
            wrong.append(Difference(topic=plan.name, what=name, planned=value, found=is_so, mendable=True))
    return wrong


def replication(brokers_count: int) -> tuple[int, int]:
    """(copies of each topic, how many of them must have a record) with so many brokers: 3 and 2 where there are 3."""
    copies_count = min(3, brokers_count)
    return copies_count, max(1, copies_count - 1)


# ---- access rules


class Resource(enum.IntEnum):
    """What a rule is about; Kafka's numbers."""

    TOPIC = 2
    GROUP = 3
    TRANSACTIONAL_ID = 5


class Pattern(enum.IntEnum):
    """Is a rule's name the whole name or its beginning? Kafka's numbers."""

    LITERAL = 3
    PREFIXED = 4


class Operation(enum.IntEnum):
    """What is allowed; Kafka's numbers."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    DESCRIBE = 8


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One access rule that allows, from any host. user: Kafka's name of a principal, with its type."""

    user: str
    resource: Resource
    pattern: Pattern
    name: str
    operation: Operation

    def command(self) -> list[str]:
        """The same as arguments of Kafka's own kafka-acls.sh."""
        kind = {Resource.TOPIC: "--topic", Resource.GROUP: "--group", Resource.TRANSACTIONAL_ID: "--transactional-id"}
        words = ["--add", "--allow-principal", self.user, "--operation", self.operation.name.capitalize()]
        return [*words, kind[self.resource], self.name, "--resource-pattern-type", self.pattern.name.lower()]


def rules(topics: Topics, prefix: str, users: Mapping[str, Sequence[str]] | None = None) -> list[Rule]:
    """All rules of the contract. users: who is which principal; a principal that is not named is a user of its name."""
    found = {
        Rule(f"User:{user}", resource, pattern, with_prefix(prefix, name), operation)
        for principal in topics.principals
        for resource, pattern, name, operation in _rights(topics, principal)
        for user in (users or {}).get(principal, (principal,))
    }
    return sorted(found)


def _rights(topics: Topics, principal: str) -> Iterator[tuple[Resource, Pattern, str, Operation]]:
    own = APP + principal
    for topic in topics:
        if principal in topic.writers:
            yield Resource.TOPIC, Pattern.LITERAL, topic.name, Operation.WRITE
            if topic.journal:
                yield Resource.TRANSACTIONAL_ID, Pattern.PREFIXED, own, Operation.WRITE
        if principal in topic.readers:
            yield Resource.TOPIC, Pattern.LITERAL, topic.name, Operation.READ
        if principal in topic.trimmers:
            yield Resource.TOPIC, Pattern.LITERAL, topic.name, Operation.DELETE
    if principal in GROUPLESS:
        return
    yield Resource.GROUP, Pattern.PREFIXED, own, Operation.READ
    for operation in (Operation.READ, Operation.WRITE, Operation.CREATE):
        yield Resource.TOPIC, Pattern.PREFIXED, own + "-", operation
    if principal == OPERATOR:
        yield Resource.GROUP, Pattern.PREFIXED, APP, Operation.DESCRIBE


def compare_rules(wanted: Sequence[Rule], found: Sequence[Rule], prefix: str) -> tuple[list[Rule], list[Rule]]:
    """(missing, surplus). Surplus are rules about names of this installation that the contract does not know."""
    names = {(rule.resource, rule.pattern, rule.name) for rule in wanted}
    about_us = [
        rule
        for rule in found
        if (rule.resource, rule.pattern, rule.name) in names or rule.name.startswith(with_prefix(prefix, APP))
    ]
    return sorted({*wanted} - {*found}), sorted({*about_us} - {*wanted})
