"""`ironbook topics`: the topics of schemas/topics.json on a Kafka, and who may read and write them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ironbook.cli._kafka import Cluster, KafkaOption, LoginOption, PrefixOption, find_kafka
from ironbook.cli._output import JsonOption, plural, show, table
from ironbook.cli._place import DATA, DataOption
from ironbook.topics import Difference, Rule, TopicPlan, compare_rules, differences, planned, replication, rules
from schemas.topics import load_topics, with_prefix

if TYPE_CHECKING:
    from rich.console import Console

    from ironbook._topics_admin import TopicAdmin

app = typer.Typer(
    help="Topics on Kafka: create, check, and who may read and write.", no_args_is_help=True, rich_markup_mode="rich"
)
Answer = TypeVar("Answer")


@app.command("list")
def list_topics(prefix: PrefixOption = None, json: JsonOption = False) -> None:
    """All topics of the contract: how they are kept, who writes and who reads. Asks no Kafka.

    Example:  ironbook topics list
    """
    told: list[dict[str, Any]] = [
        {
            "topic": with_prefix(prefix or "", topic.name),
            "partitions": topic.partitions_count,
            "key": topic.key,
            "kept": "newest of a key" if topic.compacted else _duration(topic.retention_ms or 0),
            "writers": topic.writers,
            "readers": topic.readers,
            "trimmers": topic.trimmers,
        }
        for topic in load_topics()
    ]
    columns = ("topic", "partitions", "key", "kept", "writers", "readers")
    rows = ([", ".join(one[c]) if isinstance(one[c], tuple) else one[c] for c in columns] for one in told)
    listed = table("", columns, rows, right=("partitions",))
    show(json, {"topics": told}, lambda console: console.print(listed))


@app.command("create")
def create(
    kafka: KafkaOption = None,
    prefix: PrefixOption = None,
    mend: Annotated[bool, typer.Option("--mend", help="Set settings that are not as planned.")] = False,
    login: LoginOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Create the topics that are missing. What is there stays as it is; what differs is told. Exit code 1 if any does.

    With three brokers or more there are three copies of each, of which two must have a record; with fewer as many as
    there are brokers. --mend sets retention, compaction and the like; the number of partitions is never changed.

    Example:  ironbook topics create --prefix dev.
    """
    cluster = find_kafka(data, kafka, prefix, login)

    async def work(admin: TopicAdmin) -> tuple[list[str], list[str], list[Difference]]:
        plans, copies_count = await _plans(admin, cluster.prefix)
        found = await admin.found([plan.name for plan in plans])
        made = await admin.create([plan for plan in plans if plan.name not in found], copies_count)
        wrong = [one for plan in plans if plan.name in found for one in differences(plan, found[plan.name])]
        mended = sorted({one.topic for one in wrong if one.mendable}) if mend else []
        for name in mended:
            settings = {one.what: one.planned for one in wrong if one.topic == name and one.mendable}
            await admin.mend(name, settings)
        return made, mended, [one for one in wrong if one.topic not in mended or not one.mendable]

    made, mended, wrong = _with_admin(cluster, work)
    said = f"{plural(len(made), 'topic')} created, {len(mended)} mended"
    _tell(json, {"created": made, "mended": mended}, wrong, said)


@app.command("check")
def check(
    kafka: KafkaOption = None,
    prefix: PrefixOption = None,
    login: LoginOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Compare the topics that are there with the contract. Exit code 1 if anything is missing or differs.

    Example:  ironbook topics check --kafka kafka-1:9092
    """
    cluster = find_kafka(data, kafka, prefix, login)

    async def work(admin: TopicAdmin) -> list[Difference]:
        plans, _ = await _plans(admin, cluster.prefix)
        found = await admin.found([plan.name for plan in plans])
        return [one for plan in plans for one in differences(plan, found.get(plan.name))]

    wrong = _with_admin(cluster, work)
    _tell(json, {}, wrong, "all topics are as planned" if not wrong else "")


@app.command("acls")
def acls(
    kafka: KafkaOption = None,
    prefix: PrefixOption = None,
    apply: Annotated[bool, typer.Option("--apply", help="Make the rules that are missing.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove rules that the contract does not know.")] = False,
    print_only: Annotated[
        bool, typer.Option("--print", help="Print all rules as arguments of kafka-acls.sh, and ask no Kafka.")
    ] = False,
    user: Annotated[
        list[str] | None,
        typer.Option(help="PRINCIPAL=USER: who is what; may be given again. A principal is its own user otherwise."),
    ] = None,
    login: LoginOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Kafka's access rules from the contract's rights. Exit code 1 if any are missing or too many.

    Examples:

      ironbook topics acls --apply --remove

      ironbook topics acls --print --user client=desk-1 --user client=desk-2
    """
    users = _users(user or [])
    if print_only:
        commands = [rule.command() for rule in rules(load_topics(), prefix or "", users)]
        text = "\n".join(map(" ".join, commands))
        show(json, {"rules": commands}, lambda console: console.print(text, soft_wrap=True, markup=False))
        return
    cluster = find_kafka(data, kafka, prefix, login)
    wanted = rules(load_topics(), cluster.prefix, users)

    async def work(admin: TopicAdmin) -> tuple[list[Rule], list[Rule]]:
        missing, surplus = compare_rules(wanted, await admin.rules(), cluster.prefix)
        await admin.allow(missing if apply else ())
        await admin.remove(surplus if remove else ())
        return missing, surplus

    missing, surplus = _with_admin(cluster, work)
    rows = [("made" if apply else "missing", *_rule(rule)) for rule in missing]
    rows += [("removed" if remove else "too many", *_rule(rule)) for rule in surplus]
    columns = ("state", "user", "operation", "on", "name")
    listed = table("", columns, rows)
    said = {"rules": len(wanted), "changes": [dict(zip(columns, row, strict=True)) for row in rows]}
    show(json, said, lambda console: console.print(listed if rows else f"all {len(wanted)} rules are there"))
    if (missing and not apply) or (surplus and not remove):
        raise typer.Exit(1)


def _users(given: Sequence[str]) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {}
    for one in given:
        principal, _, name = one.partition("=")
        if principal not in load_topics().principals or not name:
            known = ", ".join(load_topics().principals)
            raise typer.BadParameter(f"--user must be PRINCIPAL=USER with a principal of {known}, was {one!r}")
        users.setdefault(principal, []).append(name)
    return users


def _rule(rule: Rule) -> tuple[str, str, str, str]:
    end = "*" if rule.pattern.name == "PREFIXED" else ""
    return rule.user, rule.operation.name.lower(), rule.resource.name.lower(), rule.name + end


async def _plans(admin: TopicAdmin, prefix: str) -> tuple[list[TopicPlan], int]:
    copies_count, min_insync_count = replication(await admin.brokers_count())
    return planned(load_topics(), prefix, min_insync_count=min_insync_count), copies_count


def _with_admin(cluster: Cluster, work: Callable[[TopicAdmin], Coroutine[Any, Any, Answer]]) -> Answer:
    from ironbook._topics_admin import TopicAdmin

    async def run() -> Answer:
        async with TopicAdmin(cluster.servers, cluster.security) as admin:
            return await work(admin)

    return asyncio.run(run())


def _tell(json: bool, told: dict[str, Any], wrong: Sequence[Difference], said: str) -> None:
    columns = ("topic", "what", "planned", "found")
    rows = [(one.topic, one.what, one.planned, one.found) for one in wrong]
    differing = [dict(zip(columns, row, strict=True)) for row in rows]

    def render(console: Console) -> None:
        if said:
            console.print(said)
        if rows:
            console.print(table("", columns, rows, right=("planned", "found")))

    show(json, {**told, "differences": differing}, render)
    if wrong:
        raise typer.Exit(1)


def _duration(milliseconds: int) -> str:
    if milliseconds < 0:
        return "for ever"
    hours = milliseconds // 3_600_000
    return plural(hours // 24, "day") if hours % 24 == 0 else plural(hours, "hour")
