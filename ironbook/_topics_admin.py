"""What `ironbook topics` asks of the brokers and tells them: topics, their settings, access rules."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from ironbook._errors import ConnectionFailed, ServiceFailed
from ironbook._kafka import PLAIN_TEXT, Security, aiokafka, check_servers
from ironbook.topics import Found, Operation, Pattern, Resource, Rule, TopicPlan

START_TIMEOUT_S = 15.0
_ALLOW, _ANY, _ANY_PATTERN = 3, 1, 1
_TOPIC, _SET = 2, 0
_EXISTS = 36


class TopicAdmin:
    """A connection of an administrator. Use it with `async with`; errors are ConnectionFailed and ServiceFailed."""

    def __init__(self, servers: str, security: Security = PLAIN_TEXT) -> None:
        self.servers = check_servers(servers)
        self._admin = aiokafka().admin.AIOKafkaAdminClient(bootstrap_servers=servers, **security.options())

    async def __aenter__(self) -> TopicAdmin:
        try:
            await asyncio.wait_for(self._admin.start(), START_TIMEOUT_S)
        except (aiokafka().errors.KafkaError, OSError, TimeoutError) as error:
            await self._admin.close()
            raise ConnectionFailed(
                f"Kafka must answer, does not: {error or type(error).__name__}",
                detail=self.servers,
                hint="is it up (`ironbook services status`), are user, password and mechanism right?",
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._admin.close()

    async def brokers_count(self) -> int:
        """How many brokers there are."""
        return len((await self._admin.describe_cluster())["brokers"])

    async def found(self, names: Sequence[str]) -> dict[str, Found]:
        """Those of the topics that exist."""
        admin = aiokafka().admin
        there = {*await self._admin.list_topics()} & {*names}
        if not there:
            return {}
        described = {topic["topic"]: topic["partitions"] for topic in await self._admin.describe_topics(sorted(there))}
        asked = [admin.config_resource.ConfigResource(admin.config_resource.ConfigResourceType.TOPIC, t) for t in there]
        settings: dict[str, dict[str, str]] = {}
        for answer in await self._admin.describe_configs(asked):
            for code, message, _, name, entries in answer.resources:
                self._check(code, message, f"settings of {name}")
                settings[name] = {entry[0]: entry[1] for entry in entries}
        return {
            name: Found(
                partitions_count=len(partitions),
                replicas_count=min(len(partition["replicas"]) for partition in partitions),
                settings=settings[name],
            )
            for name, partitions in described.items()
        }

    async def create(self, plans: Sequence[TopicPlan], copies_count: int) -> list[str]:
        """Make topics; the names of those made. One that somebody else makes at the same time is no error."""
        new = aiokafka().admin.NewTopic
        wanted = [new(plan.name, plan.partitions_count, copies_count, topic_configs=plan.settings) for plan in plans]
        answer = await self._admin.create_topics(wanted)
        made = []
        for name, code, message in answer.topic_errors:
            if code != _EXISTS:
                self._check(code, message, name)
                made.append(name)
        return made

    async def mend(self, name: str, settings: Mapping[str, str]) -> None:
        """Set settings of a topic; the others stay as they are."""
        answer = await self._send(_change_settings(name, settings))
        for code, message, *_ in answer.responses:
            self._check(code, message, f"settings of {name}")

    async def rules(self) -> list[Rule]:
        """All rules that allow something from any host, about topics, groups and transactions."""
        from aiokafka.protocol.admin import DescribeAclsRequest

        found = []
        for resource in Resource:
            answer = await self._send(DescribeAclsRequest(resource, None, _ANY_PATTERN, None, None, _ANY, _ALLOW))
            self._check(answer.error_code, answer.error_message, "access rules")
            for _, name, pattern, allowed in answer.resources:
                found += [
                    Rule(user, resource, Pattern(pattern), name, operation)
                    for user, host, number, _ in allowed
                    if host == "*" and (operation := _operation(number)) is not None
                ]
        return found

    async def allow(self, rules: Sequence[Rule]) -> None:
        """Make rules; one that is there already stays."""
        from aiokafka.protocol.admin import CreateAclsRequest

        for rule in rules:
            answer = await self._send(CreateAclsRequest(*_words(rule)))
            for code, message in answer.creation_responses:
                self._check(code, message, f"rule of {rule.user} for {rule.name}")

    async def remove(self, rules: Sequence[Rule]) -> None:
        """Remove exactly these rules."""
        from aiokafka.protocol.admin import DeleteAclsRequest

        for rule in rules:
            answer = await self._send(DeleteAclsRequest(*_words(rule)))
            for code, message, _ in answer.filter_responses:
                self._check(code, message, f"rule of {rule.user} for {rule.name}")

    async def _send(self, request: Any) -> Any:
        return await self._admin._send_request(request)

    def _check(self, code: int, message: str | None, where: str) -> None:
        if code:
            error = aiokafka().errors.for_code(code)
            raise ServiceFailed(
                f"Kafka must do what it is asked, refused: {error.__name__}" + (f": {message}" if message else ""),
                detail=where,
                hint="topics and rules are made by Kafka's administrator: see --username",
            )


def _words(rule: Rule) -> tuple[int, str, int, str, str, int, int]:
    return rule.resource, rule.name, rule.pattern, rule.user, "*", rule.operation, _ALLOW


def _operation(number: int) -> Operation | None:
    return Operation(number) if number in {*Operation} else None


def _change_settings(topic: str, settings: Mapping[str, str]) -> Any:
    """IncrementalAlterConfigs, version 0, which aiokafka lacks: its AlterConfigs forgets all settings not named."""
    from aiokafka.protocol.api import Request, RequestStruct, Response
    from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

    text = String("utf-8")

    class Answer(Response):  # type: ignore[misc]
        API_KEY, API_VERSION = 44, 0
        one = Array(("error_code", Int16), ("error_message", text), ("resource_type", Int8), ("resource_name", text))
        SCHEMA = Schema(("throttle_time_ms", Int32), ("responses", one))

    class Struct(RequestStruct):  # type: ignore[misc]
        API_KEY, API_VERSION, RESPONSE_TYPE = 44, 0, Answer
        change = Array(("name", text), ("operation", Int8), ("value", text))
        SCHEMA = Schema(
            ("resources", Array(("resource_type", Int8), ("resource_name", text), ("configs", change))),
            ("validate_only", Boolean),
        )

    class Change(Request[Struct]):  # type: ignore[misc]
        API_KEY = 44

        def build(self, request_struct_class: type[Any]) -> Any:
            changes = [(name, _SET, value) for name, value in settings.items()]
            return request_struct_class([(_TOPIC, topic, changes)], False)

    return Change()
