"""What Kafka must have by the contract, and what of it differs: plans, without a Kafka."""

from __future__ import annotations

import dataclasses

import pytest

from ironbook.topics import (
    Found,
    Operation,
    Pattern,
    Resource,
    Rule,
    compare_rules,
    differences,
    planned,
    replication,
    rules,
)
from schemas.topics import load_topics

TOPICS = load_topics()


def plan(name: str, prefix: str = ""):
    return next(one for one in planned(TOPICS, prefix) if one.name == prefix + name)


def as_planned(name: str) -> Found:
    wanted = plan(name)
    return Found(partitions_count=wanted.partitions_count, replicas_count=1, settings=dict(wanted.settings))


def test_every_topic_of_the_contract_is_planned_under_its_prefix():
    assert [one.name for one in planned(TOPICS, "dev.")] == ["dev." + topic.name for topic in TOPICS]


def test_topics_of_one_group_have_one_count_of_partitions():
    for topic in TOPICS:
        assert plan(topic.name).partitions_count == TOPICS.data["partition_groups"][topic.partition_group]


def test_a_compacted_topic_has_no_retention_and_another_has_what_the_contract_says():
    assert plan("positions").settings["cleanup.policy"] == "compact"
    assert "retention.ms" not in plan("positions").settings
    assert plan("executions").settings["retention.ms"] == "604800000"
    assert plan("journal.0").settings["retention.ms"] == "-1"


def test_envelopes_have_the_brokers_time_and_events_the_writers():
    assert plan("orders.submitted").settings["message.timestamp.type"] == "LogAppendTime"
    assert plan("executions").settings["message.timestamp.type"] == "CreateTime"


@pytest.mark.parametrize(("brokers", "copies"), [(1, (1, 1)), (2, (2, 1)), (3, (3, 2)), (9, (3, 2))])
def test_with_three_brokers_two_must_have_a_record(brokers, copies):
    assert replication(brokers) == copies


def test_what_is_as_planned_has_no_differences():
    assert differences(plan("executions"), as_planned("executions")) == []


def test_a_missing_topic_is_a_difference():
    (wrong,) = differences(plan("executions"), None)
    assert (wrong.what, wrong.found) == ("topic", "missing")


def test_another_count_of_partitions_is_told_and_cannot_be_mended():
    found = dataclasses.replace(as_planned("executions"), partitions_count=3)
    (wrong,) = differences(plan("executions"), found)
    assert (wrong.what, wrong.planned, wrong.found, wrong.mendable) == ("partitions", "8", "3", False)


def test_another_setting_is_told_and_can_be_mended():
    found = as_planned("executions")
    found = dataclasses.replace(found, settings={**found.settings, "retention.ms": "1"})
    (wrong,) = differences(plan("executions"), found)
    assert (wrong.what, wrong.planned, wrong.found, wrong.mendable) == ("retention.ms", "604800000", "1", True)


def test_each_principal_may_write_and_read_exactly_what_its_row_says():
    made = rules(TOPICS, "dev.")
    for topic in TOPICS:
        for operation, principals in (
            (Operation.WRITE, topic.writers), (Operation.READ, topic.readers), (Operation.DELETE, topic.trimmers)
        ):  # fmt: skip
            users = {
                rule.user for rule in made
                if (rule.resource, rule.pattern, rule.name, rule.operation)
                == (Resource.TOPIC, Pattern.LITERAL, "dev." + topic.name, operation)
            }  # fmt: skip
            assert users == {f"User:{principal}" for principal in principals}, topic.name


def test_the_archiver_reads_and_trims_the_journal_and_may_do_nothing_else():
    may = {(rule.resource, rule.pattern, rule.name, rule.operation) for rule in rules(TOPICS, "dev.")
           if rule.user == "User:archiver"}  # fmt: skip
    journals = [topic.name for topic in TOPICS if topic.journal]
    assert may == {
        (Resource.TOPIC, Pattern.LITERAL, f"dev.{name}", operation)
        for name in journals
        for operation in (Operation.READ, Operation.DELETE)
    }


def test_only_the_archiver_deletes_records_and_only_of_the_journal():
    trimmed = {topic.name: topic.trimmers for topic in TOPICS if topic.trimmers}
    assert trimmed == {topic.name: ("archiver",) for topic in TOPICS if topic.journal}


def test_no_beginning_of_a_name_reaches_into_another_principals_or_a_topic_of_the_contract():
    beginnings = [
        rule for rule in rules(TOPICS, "") if rule.pattern == Pattern.PREFIXED and rule.resource == Resource.TOPIC
    ]
    assert {rule.user for rule in beginnings} == {f"User:{one}" for one in TOPICS.principals} - {"User:archiver"}
    assert len({rule.name for rule in beginnings}) == len(TOPICS.principals) - 1
    for rule in beginnings:
        assert not [topic.name for topic in TOPICS if topic.name.startswith(rule.name)]
    for one in TOPICS.principals:
        assert not [other for other in TOPICS.principals if other != one and other.startswith(one)]


def test_a_principal_can_be_several_users():
    made = rules(TOPICS, "", {"client": ["desk-1", "desk-2"]})
    writers = {rule.user for rule in made if rule.name == "orders.submitted" and rule.operation == Operation.WRITE}
    others = {f"User:{name}" for name in TOPICS["orders.submitted"].writers if name != "client"}
    assert writers == {"User:desk-1", "User:desk-2"} | others


def test_rules_that_the_contract_does_not_know_are_surplus_only_on_names_of_this_installation():
    wanted = rules(TOPICS, "dev.")
    ours = Rule("User:eve", Resource.TOPIC, Pattern.LITERAL, "dev.executions", Operation.WRITE)
    others = Rule("User:eve", Resource.TOPIC, Pattern.LITERAL, "executions", Operation.WRITE)
    missing, surplus = compare_rules(wanted, [*wanted[1:], ours, others], "dev.")
    assert (missing, surplus) == ([wanted[0]], [ours])


def test_a_rule_is_told_as_kafkas_own_command_takes_it():
    rule = Rule("User:risk", Resource.GROUP, Pattern.PREFIXED, "ironbook-risk", Operation.READ)
    assert " ".join(rule.command()) == (
        "--add --allow-principal User:risk --operation Read --group ironbook-risk --resource-pattern-type prefixed"
    )
